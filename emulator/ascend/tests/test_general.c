/* The operators beside a decoder's main road, which the next families and other engines need: activations, rearrangements, reductions, sorting, norms, images,
 * solving, writes by index. Results against numpy's (make_general_goldens.py), in each element type. */
#include "tests/golden.h"

static char group[16];
static int32_t number; /* of the element type */

static const struct golden *of(const char *name)
{
    return golden(group, name);
}

/* The operator's last argument against the golden of that name. */
#define AGAINST(steps, result, operator, ...)                                                                                                                  \
    do {                                                                                                                                                       \
        aclTensor *made = output(of(result));                                                                                                                  \
        RUN(operator, __VA_ARGS__, made);                                                                                                                      \
        compare(made, of(result), steps);                                                                                                                      \
        CHECK_OK(aclDestroyTensor(made));                                                                                                                      \
    } while (0)

static aclScalar *scalar(float value)
{
    return aclCreateScalar(&value, ACL_FLOAT);
}

#define INTS(...) aclCreateIntArray((const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define NO_INTS aclCreateIntArray((const int64_t[]){0}, 0)
#define INPUT(salt, scale, ...) pattern_tensor(DIMS(__VA_ARGS__), number, salt, scale)

static void activations(void)
{
    aclTensor *x = INPUT(1, 6, 3, 20), *y = INPUT(2, 2, 3, 20), *whole = pattern_tensor(DIMS(3, 20), ACL_INT32, 3, 2), *mask = input(of("mask"));
    AGAINST(1, "leaky", LeakyRelu, x, scalar(0.125f));
    AGAINST(1, "elu", Elu, x, scalar(1.5f), scalar(0.5f), scalar(0.75f));
    AGAINST(1, "hardsigmoid", Hardsigmoid, x);
    AGAINST(1, "hardswish", Hardswish, x);
    AGAINST(1, "softplus", Softplus, x, scalar(2), scalar(8));
    AGAINST(1, "swish", Swish, x, scalar(1.5f));
    AGAINST(1, "fastgelu", FastGelu, x);
    AGAINST(0, "not", LogicalNot, whole);
    AGAINST(0, "where", SWhere, mask, x, y);
    aclTensor *glu = output(of("geglu")), *kept = output(of("gelu"));
    RUN(GeGluV3, x, -1, 0, true, glu, kept);
    compare(kept, of("gelu"), 2);
    compare(glu, of("geglu"), 4);
    aclTensor *threshold = INPUT(1, 6, 3, 20), *filled = INPUT(1, 6, 3, 20), *filled_too = INPUT(1, 6, 3, 20);
    float half = 0.5f;
    uint16_t bits = half_bits(number, half);
    aclTensor *value = tensor_from(DIMS(1), number, number == ACL_FLOAT ? (void *)&half : (void *)&bits);
    RUN(InplaceThreshold, threshold, scalar(0.25f), scalar(-3));
    compare(threshold, of("threshold"), 0);
    RUN(InplaceMaskedFillScalar, filled, mask, scalar(0.5f));
    compare(filled, of("filled"), 0);
    RUN(InplaceMaskedFillTensor, filled_too, mask, value);
    compare(filled_too, of("filled"), 0);
    aclTensor *power = input(of("abs"));
    AGAINST(8, "pow", PowTensorTensor, power, y);
    AGAINST(2, "scalarpow", PowScalarTensor, scalar(1.5f), x);
    RUN(InplacePowTensorTensor, power, y);
    compare(power, of("pow"), 8);
}

static void rearrangements(void)
{
    aclTensor *x = INPUT(11, 1, 2, 3, 5), *narrow = INPUT(12, 1, 3, 1), *image = INPUT(13, 1, 1, 2, 3, 4), *index = input(of("index"));
    AGAINST(0, "repeat", Repeat, x, INTS(2, 1, 2, 3));
    AGAINST(0, "interleave", RepeatInterleaveIntWithDim, x, 3, 1, 9);
    AGAINST(0, "expand", Expand, narrow, INTS(2, -1, 4));
    AGAINST(0, "roll", Roll, x, INTS(1, -2), INTS(0, 2));
    AGAINST(0, "rollflat", Roll, x, INTS(4), NO_INTS);
    AGAINST(0, "pad", ConstantPadNd, x, INTS(2, 1, 1, 0), scalar(0.5f));
    AGAINST(0, "reflect", ReflectionPad1d, x, INTS(3, 2));
    AGAINST(0, "tril", Tril, x, 1);
    AGAINST(0, "triu", Triu, x, -1);
    AGAINST(0, "nearest", UpsampleNearest2d, image, INTS(7, 6));
    AGAINST(0, "gather", Gather, x, 1, index);
    aclTensor *lower = INPUT(11, 1, 2, 3, 5), *upper = INPUT(11, 1, 2, 3, 5), *filled = INPUT(11, 1, 2, 3, 5);
    RUN(InplaceTril, lower, 1);
    compare(lower, of("tril"), 0);
    RUN(InplaceTriu, upper, -1);
    compare(upper, of("triu"), 0);
    RUN(InplaceIndexFillTensor, filled, 2, INTS(1, -1), scalar(7));
    compare(filled, of("indexfill"), 0);
    const aclTensor *twice[2] = {INPUT(11, 1, 2, 3, 5), INPUT(11, 1, 2, 3, 5)}, *parts[2] = {output(of("first")), output(of("second"))};
    AGAINST(0, "stack", Stack, aclCreateTensorList(twice, 2), 1);
    RUN(SplitWithSize, x, INTS(2, 3), 2, aclCreateTensorList(parts, 2));
    compare(parts[0], of("first"), 0);
    compare(parts[1], of("second"), 0);
    int64_t ids[3] = {2, 0, 3};
    aclTensor *on = INPUT(0, 0, 1), *off = INPUT(0, 0, 1);
    RUN(InplaceFillScalar, on, scalar(1));
    RUN(InplaceFillScalar, off, scalar(-1));
    AGAINST(0, "onehot", OneHot, tensor_from(DIMS(3), ACL_INT64, ids), 4, on, off, -1);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnRollGetWorkspaceSize(x, INTS(1), INTS(0, 2), lower, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnRepeatGetWorkspaceSize(x, INTS(2, 2, 2), lower, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnReflectionPad1dGetWorkspaceSize(x, INTS(5, 0), lower, &size, &executor), ACLNN_PARAM_INVALID);
}

static void reductions(void)
{
    aclTensor *x = INPUT(21, 3, 2, 4, 30);
    AGAINST(2, "norm2", Norm, x, scalar(2), INTS(0, 2), false);
    AGAINST(2, "norm1", Norm, x, scalar(1), INTS(-1), true);
    AGAINST(0, "norminf", Norm, x, scalar(INFINITY), INTS(1), false);
    AGAINST(2, "lse", LogSumExp, x, INTS(2), false);
    AGAINST(0, "max", Max, x);
    aclTensor *largest = output(of("maxdim")), *at = output(of("maxat")), *sorted = output(of("sorted")), *order = output(of("order"));
    RUN(MaxDim, x, 1, false, largest, at);
    compare(largest, of("maxdim"), 0);
    compare(at, of("maxat"), 0);
    RUN(Sort, x, true, 1, false, sorted, order);
    compare(sorted, of("sorted"), 0);
    compare(order, of("order"), 0);
    AGAINST(0, "order", Argsort, x, 1, false);
    AGAINST(0, "down", Argsort, x, -1, true);
    AGAINST(8, "cumsum", Cumsum, x, 2, ACL_FLOAT);
    aclTensor *grouped = output(of("group")), *mean = output(of("mean")), *rstd = output(of("rstd"));
    RUN(GroupNorm, x, INPUT(22, 1, 4), INPUT(23, 1, 4), 2, 4, 30, 2, 1e-3, grouped, mean, rstd);
    compare(grouped, of("group"), 3);
    compare(mean, of("mean"), 2);
    compare(rstd, of("rstd"), 2);
    aclTensor *gemma = output(of("gemma")), *gemma_rstd = output(of("grstd"));
    RUN(GemmaRmsNorm, x, INPUT(24, 1, 30), 1e-5, gemma, gemma_rstd);
    compare(gemma, of("gemma"), 1);
    compare(gemma_rstd, of("grstd"), 1);
}

static void images(void)
{
    double steps = number == ACL_FLOAT ? 16 : 2;
    aclTensor *x = INPUT(31, 1, 2, 4, 7, 6), *w = INPUT(32, 1, 6, 2, 3, 2), *b = INPUT(33, 1, 6), *conv = output(of("conv"));
    RUN(Convolution, x, w, b, INTS(2, 1), INTS(1, 0), INTS(1, 2), false, INTS(0, 0), 2, conv, 0);
    compare(conv, of("conv"), steps);
    aclTensor *line = INPUT(34, 1, 1, 3, 9), *plain = output(of("line")), *up = output(of("transposed"));
    RUN(Convolution, line, INPUT(35, 1, 2, 3, 3), NULL, INTS(2), INTS(1), INTS(1), false, INTS(0), 1, plain, 0);
    compare(plain, of("line"), steps);
    RUN(Convolution, line, INPUT(36, 1, 3, 2, 3), NULL, INTS(2), INTS(1), INTS(1), true, INTS(0), 1, up, 0);
    compare(up, of("transposed"), steps);
    aclTensor *image = INPUT(37, 1, 1, 2, 5, 6);
    AGAINST(2, "avg", AvgPool2d, image, INTS(3, 2), INTS(2, 2), INTS(1, 1), false, true, 0, 0);
    AGAINST(0, "max", MaxPool, image, INTS(3, 2), INTS(2, 2), 0, INTS(1, 1, 1, 1), INTS(1, 1), 0);
    AGAINST(0, "patches", Im2col, image, INTS(3, 2), INTS(1, 1), INTS(1, 1), INTS(2, 2));
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnConvolutionGetWorkspaceSize(x, w, b, INTS(2, 2), INTS(1, 0), INTS(1, 2), false, INTS(0, 0), 2, conv, 0, &size, &executor),
               ACLNN_PARAM_INVALID);
}

static void solving(void)
{
    snprintf(group, sizeof group, "so");
    static const struct {
        const char *name;
        bool upper, transpose, unit;
    } ways[] = {{"upper", true, false, false}, {"lower", false, false, false}, {"upper_t", true, true, false}, {"unit", false, false, true}};
    aclTensor *a = input(of("a")), *b = pattern_tensor(DIMS(2, 4, 3), ACL_FLOAT, 42, 1), *copy = output(of("a"));
    for (int i = 0; i < 4; i++) {
        aclTensor *x = output(of(ways[i].name));
        RUN(TriangularSolve, b, a, ways[i].upper, ways[i].transpose, ways[i].unit, x, copy);
        compare(x, of(ways[i].name), 16);
    }
    compare(copy, of("a"), 0);
    aclTensor *loss = output(of("loss")), *gradient = output(of("gradient"));
    RUN(SoftmaxCrossEntropyWithLogits, pattern_tensor(DIMS(3, 8), ACL_FLOAT, 43, 3), input(of("labels")), loss, gradient);
    compare(loss, of("loss"), 4);
    compare(gradient, of("gradient"), 4);
}

static aclTensor *minus_ones(const struct golden *g)
{
    aclTensor *tensor = output(g);
    RUN(InplaceFillScalar, tensor, scalar(-1));
    return tensor;
}

static void writes_by_index(void)
{
    snprintf(group, sizeof group, "sc");
    number = ACL_FLOAT16;
    aclTensor *k = INPUT(51, 1, 3, 2, 32), *slots = input(of("slots")), *norm = minus_ones(of("norm")), *other = minus_ones(of("norm"));
    RUN(ScatterPaKvCache, k, norm, slots, k, other, NULL, NULL, NULL, "Norm", "None", INTS(1, 1), INTS(0, 0));
    compare(norm, of("norm"), 0);
    compare(other, of("norm"), 0);
    aclTensor *fractal = minus_ones(of("fractal")), *fractal2 = minus_ones(of("fractal"));
    RUN(ScatterPaKvCache, k, fractal, slots, k, fractal2, NULL, NULL, NULL, "PA_NZ", NULL, NULL, NULL);
    compare(fractal, of("fractal"), 0);
    compare(fractal2, of("fractal"), 0);
    void *address; /* the same rows as they lie inside wider ones, as keys of a fused projection do */
    CHECK_OK(aclGetRawTensorAddr(k, &address));
    char *wide = device_memory(3 * 200);
    for (int i = 0; i < 3; i++)
        CHECK_OK(aclrtMemcpy(wide + 200 * i + 32, 128, (char *)address + 128 * i, 128, ACL_DEVICE_TO_DEVICE));
    int64_t dims[3] = {3, 2, 32}, strides[3] = {100, 32, 1}, storage[1] = {300};
    aclTensor *view = aclCreateTensor(dims, 3, ACL_FLOAT16, strides, 0, ACL_FORMAT_ND, storage, 1, wide), *again = minus_ones(of("norm"));
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnScatterPaKvCacheGetWorkspaceSize(view, again, slots, k, other, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &size, &executor),
               ACLNN_PARAM_INVALID);
    CHECK_MESSAGE("not contiguous");
    aclTensor *token_view = aclCreateTensor(dims, 3, ACL_FLOAT16, strides, 0, ACL_FORMAT_ND, storage, 1, wide + 32);
    RUN(ScatterPaKvCache, token_view, again, slots, k, other, NULL, NULL, NULL, NULL, "Nct", INTS(100, 64), INTS(0, 0));
    compare(again, of("norm"), 0);
    int32_t places[4] = {3, 2, 0, 1}, offsets[2] = {1, 4}, beyond[2] = {1, 5};
    aclTensor *nd = minus_ones(of("nd")), *update = minus_ones(of("update"));
    RUN(ScatterNdUpdate, nd, tensor_from(DIMS(2, 2), ACL_INT32, places), INPUT(52, 1, 2, 5));
    compare(nd, of("nd"), 0);
    aclTensor *rows = INPUT(53, 1, 2, 2, 2, 3);
    RUN(InplaceScatterUpdate, update, tensor_from(DIMS(2), ACL_INT32, offsets), rows, -2);
    compare(update, of("update"), 0);
    CHECK_OK(aclnnInplaceScatterUpdateGetWorkspaceSize(update, tensor_from(DIMS(2), ACL_INT32, beyond), rows, -2, &size, &executor));
    CHECK_OK(aclnnInplaceScatterUpdate(NULL, size, executor, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_AICORE_EXCEPTION); /* the device does not check: late */
}

static void interleaved_rope(const char *type)
{
    char name[3][16];
    snprintf(group, sizeof group, "sc");
    snprintf(name[0], 16, "cos_%s", type);
    snprintf(name[1], 16, "sin_%s", type);
    snprintf(name[2], 16, "rope_%s", type);
    aclTensor *x = INPUT(54, 1, 2, 3, 5, 64), *out = output(of(name[2])), *narrow = INPUT(54, 1, 2, 3, 5, 32);
    RUN(InterleaveRope, x, input(of(name[0])), input(of(name[1])), out);
    compare(out, of(name[2]), 1);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnInterleaveRopeGetWorkspaceSize(narrow, narrow, narrow, narrow, &size, &executor), ACLNN_INNER_TILING);
}

/* The forms of cos that RotaryPositionEmbedding's page lists, and no others. */
static void rotary_forms(void)
{
    static const struct {
        int64_t dims[4];
        int64_t mode;
        int code;
    } forms[] = {{{1, 1, 4, 64}, 0, 0},
                 {{2, 1, 4, 64}, 0, 0},
                 {{2, 3, 4, 64}, 0, 0},
                 {{1, 3, 1, 64}, 0, 0},
                 {{2, 3, 1, 64}, 0, 0},
                 {{2, 1, 1, 64}, 0, 0},
                 {{1, 1, 1, 64}, 0, ACLNN_INNER_TILING},
                 {{1, 3, 4, 64}, 0, ACLNN_INNER_TILING},
                 {{1, 1, 4, 64}, 1, 0},
                 {{2, 1, 4, 64}, 1, ACLNN_INNER_TILING},
                 {{1, 3, 1, 64}, 1, 0},
                 {{2, 3, 4, 64}, 1, ACLNN_INNER_TILING},
                 {{1, 1, 4, 64}, 2, ACLNN_INNER_TILING}};
    number = ACL_FLOAT16;
    aclTensor *x = INPUT(61, 1, 2, 3, 4, 64), *out = INPUT(61, 1, 2, 3, 4, 64);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        aclTensor *table = pattern_tensor(forms[i].dims, 4, ACL_FLOAT16, 1, 1);
        uint64_t size;
        aclOpExecutor *executor;
        CHECK_CODE(aclnnRotaryPositionEmbeddingGetWorkspaceSize(x, table, table, forms[i].mode, out, &size, &executor), forms[i].code);
    }
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1); /* tensors and scalars are left to the end of the process */
    golden_read(TEST_DATA "/general.bin");
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    static const struct {
        const char *name;
        int32_t number;
    } types[] = {{"f32", ACL_FLOAT}, {"f16", ACL_FLOAT16}, {"bf16", ACL_BF16}};
    static const struct {
        const char *name;
        void (*run)(void);
    } families[] = {{"ac", activations}, {"re", rearrangements}, {"rd", reductions}, {"im", images}};
    for (int i = 0; i < 3; i++) {
        for (int f = 0; f < 4; f++) {
            number = types[i].number;
            snprintf(group, sizeof group, "%s_%s", families[f].name, types[i].name);
            families[f].run();
        }
        if (i)
            interleaved_rope(types[i].name);
    }
    solving();
    writes_by_index();
    rotary_forms();
    device_free_all();
    golden_forget();
    return checks_failed();
}
