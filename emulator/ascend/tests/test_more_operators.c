/* The operators beside the main road of a decoder against numpy's results: elementwise, movement, reductions, LayerNorm, rotary with a position table. */
#include "tests/golden.h"

static char name[3][16];

#define DESTROY(...)                                                                                                                                           \
    do {                                                                                                                                                       \
        aclTensor *tensors[] = {__VA_ARGS__};                                                                                                                  \
        destroy_all(tensors, sizeof tensors / sizeof *tensors);                                                                                                \
    } while (0)

/* The operator's only output against the golden of that name. */
#define AGAINST(steps, result, operator, ...)                                                                                                                  \
    do {                                                                                                                                                       \
        aclTensor *out = output(golden(name[0], result));                                                                                                      \
        RUN(operator, __VA_ARGS__, out);                                                                                                                       \
        compare(out, golden(name[0], result), steps);                                                                                                          \
        CHECK_OK(aclDestroyTensor(out));                                                                                                                       \
    } while (0)

static aclScalar *scalar(float value)
{
    return aclCreateScalar(&value, ACL_FLOAT);
}

static void elementwise(aclTensor *x, aclTensor *y)
{
    aclScalar *half = scalar(0.5f), *two = scalar(2), *low = scalar(-0.5f), *high = scalar(1.5f);
    AGAINST(0, "sub", Sub, x, y, half);
    AGAINST(1, "div", Div, x, y);
    AGAINST(0, "max", Maximum, x, y);
    AGAINST(1, "square", PowTensorScalar, x, two);
    AGAINST(0, "clamp", Clamp, x, low, high);
    AGAINST(0, "gt", GtScalar, x, half);
    AGAINST(0, "eq", EqTensor, x, x);
    AGAINST(1, "erf", GeluV2, x, 0);
    AGAINST(1, "tanh", GeluV2, x, 1);
    AGAINST(1, "tanh", Gelu, x);
    AGAINST(1, "sigmoid", Sigmoid, x);
    AGAINST(2, "logsoftmax", LogSoftmax, x, 1);
    CHECK_OK(aclDestroyScalar(half));
    CHECK_OK(aclDestroyScalar(two));
    CHECK_OK(aclDestroyScalar(low));
    CHECK_OK(aclDestroyScalar(high));
}

static void movement(aclTensor *x, aclTensor *y, aclDataType type)
{
    aclIntArray *order = aclCreateIntArray((const int64_t[]){2, 0, -2}, 3), *ends = aclCreateIntArray((const int64_t[]){0, 2}, 2);
    aclIntArray *middle = aclCreateIntArray((const int64_t[]){1}, 1), *last = aclCreateIntArray((const int64_t[]){-1}, 1);
    aclTensor *again = input(golden(name[0], "x")), *first = input(golden(name[0], "x")), *second = input(golden(name[0], "y"));
    const aclTensor *items[3] = {first, second, again};
    aclTensorList *list = aclCreateTensorList(items, 3);
    aclTensor *ids = input(golden(name[0], "ids"));
    AGAINST(0, "permuted", Permute, x, order);
    AGAINST(0, "joined", Cat, list, 1);
    AGAINST(0, "slice", Slice, x, 2, 3, 17, 4);
    AGAINST(0, "picked", IndexSelect, x, -1, ids);
    AGAINST(4, "sum", ReduceSum, x, ends, false, type);
    AGAINST(2, "mean", Mean, x, middle, true, type);
    AGAINST(0, "amax", Amax, x, last, false);
    CHECK_OK(aclDestroyTensorList(list));
    CHECK_OK(aclDestroyIntArray(order));
    CHECK_OK(aclDestroyIntArray(ends));
    CHECK_OK(aclDestroyIntArray(middle));
    CHECK_OK(aclDestroyIntArray(last));
    (void)y;
    DESTROY(ids);
}

static void layer_norm(aclTensor *x)
{
    aclTensor *weight = input(golden(name[0], "weight")), *bias = input(golden(name[0], "bias")), *out = output(golden(name[0], "layer"));
    aclIntArray *shape = aclCreateIntArray((const int64_t[]){20}, 1);
    RUN(LayerNorm, x, shape, weight, bias, 1e-5, out, NULL, NULL);
    compare(out, golden(name[0], "layer"), 3);
    CHECK_OK(aclDestroyIntArray(shape));
    DESTROY(weight, bias, out);
}

static void rotary_with_positions(void)
{
    aclTensor *positions = input(golden(name[1], "positions")), *q = input(golden(name[1], "q")), *k = input(golden(name[1], "k"));
    aclTensor *cache = input(golden(name[1], "cache")), *q_out = output(golden(name[1], "neox")), *k_out = output(golden(name[1], "neoxk"));
    RUN(RopeWithSinCosCache, positions, q, k, cache, NULL, 64, true, q_out, k_out);
    compare(q_out, golden(name[1], "neox"), 1);
    compare(k_out, golden(name[1], "neoxk"), 1);
    RUN(RopeWithSinCosCache, positions, q, k, cache, NULL, 64, false, q_out, k_out);
    compare(q_out, golden(name[1], "pairs"), 1);
    compare(k_out, golden(name[1], "pairsk"), 1);
    DESTROY(positions, q, k, cache, q_out, k_out);
}

/* Constants and ranges need no golden. */
static void constants(void)
{
    int64_t five[1] = {5}, host[5], zero = 0, step = 3, end = 15;
    void *memory = device_memory(sizeof host);
    aclTensor *whole = plain_tensor(five, 1, ACL_INT64, memory);
    aclScalar *from = aclCreateScalar(&zero, ACL_INT64), *to = aclCreateScalar(&end, ACL_INT64), *by = aclCreateScalar(&step, ACL_INT64);
    RUN(Arange, from, to, by, whole);
    CHECK_OK(aclrtMemcpy(host, sizeof host, memory, sizeof host, ACL_DEVICE_TO_HOST));
    CHECK(host[0] == 0 && host[1] == 3 && host[4] == 12);
    RUN(InplaceMuls, whole, by);
    CHECK_OK(aclrtMemcpy(host, sizeof host, memory, sizeof host, ACL_DEVICE_TO_HOST));
    CHECK(host[4] == 36);
    RUN(InplaceFillScalar, whole, to);
    CHECK_OK(aclrtMemcpy(host, sizeof host, memory, sizeof host, ACL_DEVICE_TO_HOST));
    CHECK(host[0] == 15 && host[4] == 15);
    RUN(InplaceZero, whole);
    CHECK_OK(aclrtMemcpy(host, sizeof host, memory, sizeof host, ACL_DEVICE_TO_HOST));
    CHECK(host[0] == 0 && host[4] == 0);
    CHECK_OK(aclDestroyScalar(from));
    CHECK_OK(aclDestroyScalar(to));
    CHECK_OK(aclDestroyScalar(by));
    DESTROY(whole);
}

int main(void)
{
    static const struct {
        const char *name;
        aclDataType type;
    } types[] = {{"f32", ACL_FLOAT}, {"f16", ACL_FLOAT16}, {"bf16", ACL_BF16}};
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    golden_read(TEST_DATA "/goldens.bin");
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    for (int i = 0; i < 3; i++) {
        snprintf(name[0], sizeof name[0], "mo_%s", types[i].name);
        snprintf(name[1], sizeof name[1], "rc_%s", types[i].name);
        aclTensor *x = input(golden(name[0], "x")), *y = input(golden(name[0], "y"));
        elementwise(x, y);
        movement(x, y, types[i].type);
        layer_norm(x);
        rotary_with_positions();
        DESTROY(x, y);
        device_free_all();
    }
    constants();
    device_free_all();
    CHECK_OK(aclrtDestroyStream(stream));
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclFinalize());
    golden_forget();
    return checks_failed();
}
