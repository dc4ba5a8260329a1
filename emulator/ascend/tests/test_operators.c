/* Every family of operators against results made by numpy (make_goldens.py), in each element type. */
#include "tests/golden.h"

#define DESTROY(...)                                                                                                                                           \
    do {                                                                                                                                                       \
        aclTensor *all[] = {__VA_ARGS__};                                                                                                                      \
        destroy_all(all, sizeof all / sizeof *all);                                                                                                            \
    } while (0)

static char *name_of(const char *prefix, const char *type)
{
    static char name[32];
    snprintf(name, sizeof name, "%s_%s", prefix, type);
    return name;
}

static void norms(const char *type)
{
    const char *rms = strdup(name_of("rms", type)), *added = strdup(name_of("addrms", type));
    aclTensor *x = input(golden(rms, "x")), *gamma = input(golden(rms, "gamma")), *y = output(golden(rms, "y")), *rstd = output(golden(rms, "rstd"));
    RUN(RmsNorm, x, gamma, 1e-5, y, rstd);
    compare(y, golden(rms, "y"), 1);
    compare(rstd, golden(rms, "rstd"), 1);
    aclTensor *x2 = input(golden(added, "x2")), *sum = output(golden(added, "x"));
    RUN(AddRmsNorm, x, x2, gamma, 1e-5, y, rstd, sum);
    compare(sum, golden(added, "x"), 0);
    compare(y, golden(added, "y"), 1);
    compare(rstd, golden(added, "rstd"), 1);
    RUN(InplaceAddRmsNorm, x, x2, gamma, 1e-5, rstd); /* x1 becomes y, x2 the sum */
    compare(x, golden(added, "y"), 1);
    compare(x2, golden(added, "x"), 0);
    DESTROY(x, gamma, y, rstd, x2, sum);
    free((void *)rms);
    free((void *)added);
}

static void products(const char *type)
{
    const char *mm = strdup(name_of("mm", type)), *bmm = strdup(name_of("bmm", type));
    const struct golden *out = golden(mm, "out"), *b = golden(mm, "b");
    bool half = strcmp(type, "f32") != 0;
    double steps = half ? 2 : 8; /* eighty products of either sign: the order of the sum shows */
    aclTensor *a = input(golden(mm, "a")), *plain = input(b), *result = output(out), *transposed = input(golden(mm, "bt"));
    void *address;
    RUN(Mm, a, plain, result, 0);
    compare(result, out, steps);
    CHECK_OK(aclGetRawTensorAddr(transposed, &address)); /* (k,n) seen in a stored (n,k): strides {1, k} */
    int64_t strides[2] = {1, b->dims[0]};
    aclTensor *view = aclCreateTensor(b->dims, 2, (aclDataType)b->type, strides, 0, ACL_FORMAT_ND, b->dims, 2, address);
    RUN(Matmul, a, view, result, 0);
    compare(result, out, steps);
    aclTensor *batch_a = input(golden(bmm, "a")), *batch_b = input(golden(bmm, "b")), *batch_out = output(golden(bmm, "out"));
    RUN(BatchMatMul, batch_a, batch_b, batch_out, 0);
    compare(batch_out, golden(bmm, "out"), 2);
    if (half) {
        const struct golden *nz = golden(mm, "nz"), *nzt = golden(mm, "nzt");
        aclTensor *stored = input(nz), *stored_t = input(nzt);
        void *from, *from_t;
        CHECK_OK(aclGetRawTensorAddr(stored, &from));
        CHECK_OK(aclGetRawTensorAddr(stored_t, &from_t));
        aclTensor *logical = aclCreateTensor(b->dims, 2, (aclDataType)b->type, NULL, 0, ACL_FORMAT_FRACTAL_NZ, nz->dims, 4, from);
        aclTensor *physical = aclCreateTensor(nz->dims, 4, (aclDataType)b->type, NULL, 0, ACL_FORMAT_FRACTAL_NZ, nz->dims, 4, from);
        aclTensor *swapped = aclCreateTensor(b->dims, 2, (aclDataType)b->type, strides, 0, ACL_FORMAT_FRACTAL_NZ, nzt->dims, 4, from_t);
        RUN(Mm, a, logical, result, 0);
        compare(result, out, steps);
        RUN(MatmulWeightNz, a, physical, result, 0);
        compare(result, out, steps);
        RUN(Mm, a, swapped, result, 0);
        compare(result, out, steps);
        /* and the conversion on the device */
        uint64_t elements;
        aclIntArray *shape = aclCreateIntArray(b->dims, 2);
        CHECK_OK(aclnnCalculateMatmulWeightSizeV2(shape, (aclDataType)b->type, &elements));
        CHECK(elements == nz->bytes / 2);
        void *memory = device_memory(elements * 2);
        CHECK_OK(aclrtMemcpy(memory, b->bytes, b->data, b->bytes, ACL_HOST_TO_DEVICE));
        aclTensor *weight = plain_tensor(b->dims, 2, b->type, memory);
        RUN(TransMatmulWeight, weight);
        compare(weight, &(struct golden){.type = nz->type, .n_dims = 4, .dims = {nz->dims[0], nz->dims[1], 16, 16}, .bytes = nz->bytes, .data = nz->data}, 0);
        CHECK_OK(aclDestroyIntArray(shape));
        DESTROY(stored, stored_t, logical, physical, swapped, weight);
    }
    DESTROY(a, plain, result, transposed, view, batch_a, batch_b, batch_out);
    free((void *)mm);
    free((void *)bmm);
}

static void quantised(void)
{
    aclTensor *x = input(golden("dq", "x")), *q = output(golden("dq", "y")), *scale = output(golden("dq", "scale"));
    RUN(DynamicQuant, x, NULL, q, scale);
    compare(q, golden("dq", "y"), 0);
    compare(scale, golden("dq", "scale"), 1);
    aclTensor *w = input(golden("qmm", "w")), *nzt = input(golden("qmm", "wnzt")), *w_scale = input(golden("qmm", "scale")),
              *bias = input(golden("qmm", "bias"));
    aclTensor *out = output(golden("qmm", "out")), *sums = output(golden("qmm", "out32"));
    RUN(QuantMatmulV4, q, w, w_scale, NULL, scale, bias, false, false, out);
    compare(out, golden("qmm", "out"), 1);
    RUN(QuantMatmulV5, q, w, NULL, w_scale, NULL, NULL, NULL, NULL, NULL, false, false, 0, sums);
    compare(sums, golden("qmm", "out32"), 0);
    void *address;
    const int64_t *dims = golden("qmm", "wnzt")->dims;
    CHECK_OK(aclGetRawTensorAddr(nzt, &address));
    aclTensor *tagged = aclCreateTensor(dims, 4, ACL_INT8, NULL, 0, ACL_FORMAT_FRACTAL_NZ, dims, 4, address);
    RUN(QuantMatmulWeightNz, q, tagged, scale, w_scale, NULL, NULL, NULL, NULL, bias, false, true, 0, out);
    compare(out, golden("qmm", "out"), 1);
    DESTROY(x, q, scale, w, nzt, w_scale, bias, out, sums, tagged);
}

static void rotation(const char *type)
{
    const char *rope = name_of("rope", type);
    const struct golden *half = golden(rope, "half");
    aclTensor *x = input(golden(rope, "x")), *y = output(half), *cosines = input(golden(rope, "cos")), *sines = input(golden(rope, "sin"));
    aclTensor *cosines2 = input(golden(rope, "cos2")), *sines2 = input(golden(rope, "sin2")), *key = input(golden(rope, "x"));
    RUN(RotaryPositionEmbedding, x, cosines, sines, 0, y);
    compare(y, half, 1);
    RUN(RotaryPositionEmbedding, x, cosines2, sines2, 1, y);
    compare(y, golden(rope, "pairs"), 1);
    RUN(ApplyRotaryPosEmbV2, x, key, cosines, sines, 4, "half");
    compare(x, half, 1);
    compare(key, half, 1);
    DESTROY(x, y, cosines, sines, cosines2, sines2, key);
}

#define ATTEND(q, k, v, mask, q_lengths, k_lengths, table, heads, layout, kv_heads, mode, block, out)                                                          \
    RUN(FusedInferAttentionScoreV2, q, k, v, NULL, mask, q_lengths, k_lengths, NULL, NULL, NULL, NULL, NULL, NULL, NULL, table, NULL, NULL, NULL, NULL, NULL,  \
        NULL, NULL, NULL, NULL, heads, 0.17677669529663687, 2147483647, 2147483647, layout, kv_heads, mode, 0, block, 0, false, 0, 0, out, NULL)

static aclTensorList *list_of(aclTensor *tensor)
{
    const aclTensor *items[1] = {tensor};
    return aclCreateTensorList(items, 1);
}

static aclTensor *upper_triangle(void)
{
    unsigned char *host = malloc(2048 * 2048);
    for (int i = 0; i < 2048 * 2048; i++)
        host[i] = i % 2048 > i / 2048;
    void *memory = device_memory(2048 * 2048);
    CHECK_OK(aclrtMemcpy(memory, 2048 * 2048, host, 2048 * 2048, ACL_HOST_TO_DEVICE));
    free(host);
    return plain_tensor((const int64_t[]){2048, 2048}, 2, ACL_BOOL, memory);
}

static void attention(const char *type)
{
    const char *plain = strdup(name_of("fia", type)), *paged = strdup(name_of("paged", type));
    aclTensor *triangle = upper_triangle(), *mask = input(golden(plain, "mask"));
    aclTensor *q = input(golden(plain, "q")), *out = output(golden(plain, "out"));
    aclTensorList *k = list_of(input(golden(plain, "k"))), *v = list_of(input(golden(plain, "v")));
    ATTEND(q, k, v, triangle, NULL, NULL, NULL, 6, "BNSD", 2, 3, 0, out);
    compare(out, golden(plain, "out"), 3);
    ATTEND(q, k, v, mask, NULL, NULL, NULL, 6, "BNSD", 2, 0, 0, out);
    compare(out, golden(plain, "out"), 3);
    aclTensor *packed = input(golden(paged, "q")), *packed_out = output(golden(paged, "out")), *table = input(golden(paged, "table"));
    aclTensorList *cache_k = list_of(input(golden(paged, "k"))), *cache_v = list_of(input(golden(paged, "v")));
    aclIntArray *q_ends = aclCreateIntArray((const int64_t[]){5, 6, 15}, 3), *lengths = aclCreateIntArray((const int64_t[]){37, 50, 9}, 3);
    ATTEND(packed, cache_k, cache_v, triangle, q_ends, lengths, table, 6, "TND", 2, 3, 16, packed_out);
    compare(packed_out, golden(paged, "out"), 3);
    CHECK_OK(aclDestroyTensorList(k));
    CHECK_OK(aclDestroyTensorList(v));
    CHECK_OK(aclDestroyTensorList(cache_k));
    CHECK_OK(aclDestroyTensorList(cache_v));
    CHECK_OK(aclDestroyIntArray(q_ends));
    CHECK_OK(aclDestroyIntArray(lengths));
    DESTROY(triangle, mask, q, out, packed, packed_out, table);
    free((void *)plain);
    free((void *)paged);
}

static void elementwise(const char *type)
{
    const char *el = name_of("el", type);
    float half = 0.5f, three = 3;
    aclScalar *alpha = aclCreateScalar(&half, ACL_FLOAT), *factor = aclCreateScalar(&three, ACL_FLOAT);
    aclTensor *x = input(golden(el, "x")), *y = input(golden(el, "y")), *row = input(golden(el, "row")), *out = output(golden(el, "x"));
    RUN(Add, x, y, alpha, out);
    compare(out, golden(el, "add"), 0);
    RUN(Mul, x, row, out);
    compare(out, golden(el, "mul"), 0);
    RUN(Muls, x, factor, out);
    compare(out, golden(el, "muls"), 0);
    RUN(Silu, x, out);
    compare(out, golden(el, "silu"), 1);
    RUN(Softmax, x, -1, out);
    compare(out, golden(el, "softmax"), 1);
    aclTensor *gated = output(golden(el, "swiglu")), *top = output(golden(el, "top")), *top_ids = output(golden(el, "topi"));
    aclTensor *best = output(golden(el, "argmax")), *ids = input(golden(el, "ids")), *rows = output(golden(el, "rows"));
    RUN(SwiGlu, x, -1, gated);
    compare(gated, golden(el, "swiglu"), 1);
    RUN(Topk, x, 5, -1, true, true, top, top_ids);
    compare(top, golden(el, "top"), 0);
    compare(top_ids, golden(el, "topi"), 0);
    RUN(ArgMax, x, -1, false, best);
    compare(best, golden(el, "argmax"), 0);
    RUN(Embedding, x, ids, rows);
    compare(rows, golden(el, "rows"), 0);
    RUN(GatherV2, x, 0, ids, rows);
    compare(rows, golden(el, "rows"), 0);
    RUN(InplaceCopy, out, x);
    compare(out, golden(el, "x"), 0);
    RUN(InplaceAdd, out, y, alpha);
    compare(out, golden(el, "add"), 0);
    CHECK_OK(aclDestroyScalar(alpha));
    CHECK_OK(aclDestroyScalar(factor));
    DESTROY(x, y, row, out, gated, top, top_ids, best, ids, rows);
}

static void conversions(void)
{
    aclTensor *x = input(golden("cast", "f32")), *b = output(golden("cast", "bf16")), *h = output(golden("cast", "f16"));
    aclTensor *small = input(golden("cast", "small")), *whole = output(golden("cast", "i32"));
    RUN(Cast, x, ACL_BF16, b);
    compare(b, golden("cast", "bf16"), 0);
    RUN(Cast, x, ACL_FLOAT16, h);
    compare(h, golden("cast", "f16"), 0);
    RUN(Cast, small, ACL_INT32, whole);
    compare(whole, golden("cast", "i32"), 0);
    DESTROY(x, b, h, small, whole);
}

/* Rows scattered to slots of a paged cache are found there, and nothing else was touched. */
static void cache_writes(void)
{
    const struct golden *g = golden("paged_f16", "k"); /* (10, 16, 64) as (10, 16, 2, 32) */
    int64_t rows[3] = {3, 2, 32}, cache[4] = {10, 16, 2, 32}, slots[3] = {159, 17, 0}, one[1] = {3};
    uint16_t host[3 * 64], back[10 * 16 * 64];
    memcpy(host, g->data, sizeof host);
    void *from = device_memory(sizeof host), *keys = device_memory(sizeof back), *values = device_memory(sizeof back), *where = device_memory(sizeof slots);
    CHECK_OK(aclrtMemcpy(from, sizeof host, host, sizeof host, ACL_HOST_TO_DEVICE));
    CHECK_OK(aclrtMemcpy(where, sizeof slots, slots, sizeof slots, ACL_HOST_TO_DEVICE));
    aclTensor *k = plain_tensor(rows, 3, ACL_FLOAT16, from), *k_cache = plain_tensor(cache, 4, ACL_FLOAT16, keys);
    aclTensor *v_cache = plain_tensor(cache, 4, ACL_FLOAT16, values), *mapping = plain_tensor(one, 1, ACL_INT64, where);
    RUN(ScatterPaKvCache, k, k_cache, mapping, k, v_cache, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CHECK_OK(aclrtMemcpy(back, sizeof back, values, sizeof back, ACL_DEVICE_TO_HOST));
    for (int t = 0; t < 3; t++)
        CHECK(!memcmp(back + slots[t] * 64, host + t * 64, 128));
    CHECK(back[64] == 0xFFFF && back[158 * 64] == 0xFFFF);
    int64_t flat[2] = {160, 64}, two[2] = {3, 64};
    aclTensor *table = plain_tensor(flat, 2, ACL_FLOAT16, keys), *source = plain_tensor(two, 2, ACL_FLOAT16, from);
    RUN(InplaceIndexCopy, table, 0, mapping, source); /* the way of CANN 8.1 */
    CHECK_OK(aclrtMemcpy(back, sizeof back, keys, sizeof back, ACL_DEVICE_TO_HOST));
    CHECK(!memcmp(back + 17 * 64, host + 64, 128));
    DESTROY(k, k_cache, v_cache, mapping, table, source);
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    static const char *const types[] = {"f32", "f16", "bf16"};
    golden_read(TEST_DATA "/goldens.bin");
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    for (int i = 0; i < 3; i++) {
        norms(types[i]);
        products(types[i]);
        rotation(types[i]);
        elementwise(types[i]);
        if (i)
            attention(types[i]);
        device_free_all();
    }
    quantised();
    conversions();
    cache_writes();
    device_free_all();
    CHECK_OK(aclrtDestroyStream(stream));
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclFinalize());
    golden_forget();
    return checks_failed();
}
