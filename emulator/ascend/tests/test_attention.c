/* FusedInferAttentionScore: every layout, cache and mask against numpy's results (make_attention_goldens.py), and everything its pages refuse, one row each. */
#include "tests/golden.h"

#define FAR 2147483647

struct attempt {
    int version;
    aclTensor *query, *key, *value, *bias, *mask, *table, *out, *lse, *query_rope, *key_rope;
    aclTensorList *keys, *values;          /* instead of key and value */
    aclTensor *quant_scale, *quant_offset; /* of int8 keys and values alike */
    int64_t quant_mode;
    int64_t query_lengths[4], key_lengths[4];
    uint64_t n_query_lengths, n_key_lengths;
    int64_t heads, kv_heads, sparse, precise, block, before, after;
    const char *layout;
    double scale;
};

#define NONE_6 NULL, NULL, NULL, NULL, NULL, NULL
#define NONE_7 NONE_6, NULL
#define QUANT t->quant_scale, t->quant_offset
#define FRONT t->query, k, v, t->bias, t->mask, ql, kl, NONE_7, t->table, NULL, NULL, QUANT, QUANT, NULL, NULL, NULL
#define ATTRIBUTES                                                                                                                                             \
    t->heads, t->scale, t->before, t->after, layout, t->kv_heads, t->sparse, t->precise, t->block, 0, t->lse != NULL, t->quant_mode, t->quant_mode
#define END t->out, t->lse, &size, &executor

static aclTensorList *list_of(aclTensor *tensor)
{
    const aclTensor *items[1] = {tensor};
    return aclCreateTensorList(items, 1);
}

/* Both phases; the first refusal, or 0. A list of one made here is abandoned: the caller's tensor lives on, so that an attempt can be changed and repeated. */
static int attend(const struct attempt *t)
{
    aclIntArray *ql = t->n_query_lengths ? aclCreateIntArray(t->query_lengths, t->n_query_lengths) : NULL;
    aclIntArray *kl = t->n_key_lengths ? aclCreateIntArray(t->key_lengths, t->n_key_lengths) : NULL;
    aclTensorList *k = t->keys ? t->keys : list_of(t->key), *v = t->values ? t->values : list_of(t->value);
    char layout[32];
    uint64_t size = 0;
    aclOpExecutor *executor = NULL;
    int code;
    snprintf(layout, sizeof layout, "%s", t->layout);
    if (t->version == 2)
        code = aclnnFusedInferAttentionScoreV2GetWorkspaceSize(FRONT, ATTRIBUTES, END);
    else if (t->version == 3)
        code = aclnnFusedInferAttentionScoreV3GetWorkspaceSize(FRONT, t->query_rope, t->key_rope, NULL, ATTRIBUTES, END);
    else if (t->version == 4)
        code = aclnnFusedInferAttentionScoreV4GetWorkspaceSize(FRONT, t->query_rope, t->key_rope, NULL, NULL, NULL, ATTRIBUTES, 0, END);
    else
        code = aclnnFusedInferAttentionScoreV5GetWorkspaceSize(FRONT, t->query_rope, t->key_rope, NULL, NULL, NULL, NULL, NULL, ATTRIBUTES, 0, 0, END);
    void *workspace = code ? NULL : device_memory(size);
    if (!code)
        code = t->version == 2   ? aclnnFusedInferAttentionScoreV2(workspace, size, executor, stream)
               : t->version == 3 ? aclnnFusedInferAttentionScoreV3(workspace, size, executor, stream)
               : t->version == 4 ? aclnnFusedInferAttentionScoreV4(workspace, size, executor, stream)
                                 : aclnnFusedInferAttentionScoreV5(workspace, size, executor, stream);
    if (!code)
        code = aclrtSynchronizeStream(stream);
    CHECK_OK(aclDestroyIntArray(ql));
    CHECK_OK(aclDestroyIntArray(kl));
    return code;
}

static aclTensor *triangle;

static void make_triangle(void)
{
    unsigned char *host = malloc(2048 * 2048);
    for (int i = 0; i < 2048 * 2048; i++)
        host[i] = i % 2048 > i / 2048;
    triangle = tensor_from(DIMS(2048, 2048), ACL_BOOL, host);
    free(host);
}

static aclTensor *blocks_of(int64_t rows, int64_t columns, const int32_t *entries)
{
    return tensor_from(DIMS(rows, columns), ACL_INT32, entries);
}

static struct attempt prefill_attempt(void)
{
    return (struct attempt){.version = 2,
                            .query = pattern_tensor(DIMS(2, 8, 4, 64), ACL_FLOAT16, 1, 1),
                            .key = pattern_tensor(DIMS(5, 128, 128), ACL_FLOAT16, 2, 2),
                            .value = pattern_tensor(DIMS(5, 128, 128), ACL_FLOAT16, 3, 1),
                            .mask = triangle,
                            .table = blocks_of(2, 2, (const int32_t[]){4, 0, 1, 3}),
                            .out = pattern_tensor(DIMS(2, 8, 4, 64), ACL_FLOAT16, 0, 0),
                            .query_lengths = {8, 5},
                            .n_query_lengths = 2,
                            .key_lengths = {100, 140},
                            .n_key_lengths = 2,
                            .heads = 4,
                            .kv_heads = 2,
                            .sparse = 3,
                            .block = 128,
                            .before = FAR,
                            .after = FAR,
                            .layout = "BSND",
                            .scale = 0.125};
}

/* `count` sequences' rows of the result, sequence after sequence; each sequence's golden is out0, out1. */
static void compare_part(const aclTensor *tensor, uint64_t offset, const struct golden *g)
{
    void *address;
    CHECK_OK(aclGetRawTensorAddr(tensor, &address));
    aclTensor *part = plain_tensor(g->dims, g->n_dims, g->type, (char *)address + offset);
    compare(part, g, 2);
    CHECK_OK(aclDestroyTensor(part));
}

static void paged_prefill_masks_by_the_fixed_triangle(void)
{
    struct attempt t = prefill_attempt();
    for (t.version = 2; t.version <= 5; t.version++) {
        CHECK_OK(attend(&t));
        compare_part(t.out, 0, golden("prefill", "out0"));
        compare_part(t.out, (size_t)8 * 4 * 64 * 2, golden("prefill", "out1"));
    }
    t.version = 2;
    unsigned char *zeros = calloc(2048, 2048);
    t.mask = tensor_from(DIMS(2048, 2048), ACL_BOOL, zeros); /* the chip reads the triangle: zeros hide nothing */
    free(zeros);
    CHECK_OK(attend(&t));
    float first[2];
    for (int i = 0; i < 2; i++) {
        void *address;
        uint16_t half;
        CHECK_OK(aclGetRawTensorAddr(t.out, &address));
        CHECK_OK(aclrtMemcpy(&half, 2, address, 2, ACL_DEVICE_TO_HOST));
        first[i] = aclFloat16ToFloat(half);
        t.mask = triangle;
        CHECK_OK(attend(&t));
    }
    CHECK(first[0] != first[1]);
}

static void decode_takes_the_true_lengths_from_a_mask(void)
{
    unsigned char hidden[2 * 64];
    for (int i = 0; i < 64; i++)
        hidden[i] = i >= 37, hidden[64 + i] = i >= 50;
    struct attempt t = {.version = 3,
                        .query = pattern_tensor(DIMS(2, 6, 1, 64), ACL_BF16, 4, 1),
                        .key = pattern_tensor(DIMS(9, 2, 16, 64), ACL_BF16, 5, 2),
                        .value = pattern_tensor(DIMS(9, 2, 16, 64), ACL_BF16, 6, 1),
                        .table = blocks_of(2, 4, (const int32_t[]){8, 1, 5, 0, 2, 7, 3, 6}),
                        .out = output(golden("decode", "out")),
                        .key_lengths = {64, 64},
                        .n_key_lengths = 2,
                        .heads = 6,
                        .kv_heads = 2,
                        .block = 16,
                        .before = FAR,
                        .after = FAR,
                        .layout = "BNSD",
                        .scale = 0.125};
    aclTensor *masks[3] = {tensor_from(DIMS(2, 64), ACL_BOOL, hidden), tensor_from(DIMS(2, 1, 64), ACL_UINT8, hidden),
                           tensor_from(DIMS(2, 1, 1, 64), ACL_INT8, hidden)};
    for (int i = 0; i < 3; i++) {
        t.mask = masks[i];
        CHECK_OK(attend(&t));
        compare(t.out, golden("decode", "out"), 2);
    }
    t.key_lengths[0] = 37; /* and the same from exact lengths */
    t.key_lengths[1] = 50;
    t.mask = NULL;
    CHECK_OK(attend(&t));
    compare(t.out, golden("decode", "out"), 2);
}

static void a_cache_may_lie_in_fractals(void)
{
    struct attempt t = {.version = 4,
                        .query = pattern_tensor(DIMS(2, 1, 4, 64), ACL_FLOAT16, 7, 1),
                        .key = pattern_tensor(DIMS(4, 2, 4, 16, 16), ACL_FLOAT16, 8, 2),
                        .value = pattern_tensor(DIMS(4, 2, 4, 16, 16), ACL_FLOAT16, 9, 1),
                        .table = blocks_of(2, 2, (const int32_t[]){3, 1, 0, 2}),
                        .out = output(golden("nz", "out")),
                        .key_lengths = {20, 32},
                        .n_key_lengths = 2,
                        .heads = 4,
                        .kv_heads = 2,
                        .block = 16,
                        .layout = "BSND",
                        .scale = 0.125};
    CHECK_OK(attend(&t));
    compare(t.out, golden("nz", "out"), 2);
    t.version = 3; /* only for latent attention there */
    CHECK_CODE(attend(&t), ACLNN_INNER_TILING);
}

static void a_cache_may_be_int8(void)
{
    struct attempt t = {.version = 2,
                        .query = pattern_tensor(DIMS(2, 4, 1, 64), ACL_FLOAT16, 31, 1),
                        .key = pattern_tensor(DIMS(5, 2, 32, 64), ACL_INT8, 32, 127),
                        .value = pattern_tensor(DIMS(5, 2, 32, 64), ACL_INT8, 33, 127),
                        .table = blocks_of(2, 2, (const int32_t[]){4, 1, 0, 3}),
                        .out = output(golden("quant", "channel")),
                        .quant_scale = input(golden("quant", "scale")),
                        .quant_offset = input(golden("quant", "offset")),
                        .key_lengths = {40, 64},
                        .n_key_lengths = 2,
                        .heads = 4,
                        .kv_heads = 2,
                        .block = 32,
                        .layout = "BNSD",
                        .scale = 0.125};
    CHECK_OK(attend(&t));
    compare(t.out, golden("quant", "channel"), 2);
    t.quant_mode = 1;
    CHECK_CODE(attend(&t), ACLNN_PARAM_INVALID); /* by token: fp32 */
    t.quant_scale = input(golden("quant", "tokens"));
    t.quant_offset = NULL;
    CHECK_OK(attend(&t));
    compare(t.out, golden("quant", "token"), 2);
    t.quant_mode = 5;
    CHECK_CODE(attend(&t), ACLNN_INNER_TILING);
    t.quant_scale = input(golden("quant", "blocks"));
    CHECK_OK(attend(&t));
    compare(t.out, golden("quant", "block"), 2);
    struct attempt bad = t;
    bad.quant_scale = NULL;
    CHECK_CODE(attend(&bad), ACLNN_PARAM_INVALID);
    CHECK_MESSAGE("i8 with keyAntiquantScale");
    bad = t;
    bad.query = pattern_tensor(DIMS(2, 4, 2, 64), ACL_FLOAT16, 31, 1);
    bad.out = pattern_tensor(DIMS(2, 4, 2, 64), ACL_FLOAT16, 31, 1);
    CHECK_CODE(attend(&bad), ACLNN_INNER_TILING); /* one query a sequence */
}

static void latent_attention_splits_the_rope(void)
{
    struct attempt t = {.version = 3,
                        .query = pattern_tensor(DIMS(2, 1, 4, 512), ACL_BF16, 10, 1),
                        .query_rope = pattern_tensor(DIMS(2, 1, 4, 64), ACL_BF16, 11, 1),
                        .key = pattern_tensor(DIMS(3, 16, 512), ACL_BF16, 12, 1),
                        .value = pattern_tensor(DIMS(3, 16, 512), ACL_BF16, 12, 1),
                        .key_rope = pattern_tensor(DIMS(3, 16, 64), ACL_BF16, 13, 1),
                        .table = blocks_of(2, 2, (const int32_t[]){2, 0, 1, 0}),
                        .out = output(golden("latent", "out")),
                        .key_lengths = {20, 9},
                        .n_key_lengths = 2,
                        .heads = 4,
                        .kv_heads = 1,
                        .block = 16,
                        .layout = "BSND",
                        .scale = 0.07};
    CHECK_OK(attend(&t));
    compare(t.out, golden("latent", "out"), 2);
    t.key_rope = NULL;
    CHECK_CODE(attend(&t), ACLNN_INNER_TILING);
}

static void a_row_that_sees_nothing_is_a_mean_or_corrected(void)
{
    unsigned char hidden[3 * 20];
    for (int i = 0; i < 60; i++)
        hidden[i] = i / 20 == 1 || i % 20 % 3 == i / 20;
    struct attempt t = {.version = 2,
                        .query = pattern_tensor(DIMS(1, 2, 3, 32), ACL_FLOAT16, 14, 1),
                        .key = pattern_tensor(DIMS(1, 2, 20, 32), ACL_FLOAT16, 15, 1),
                        .value = pattern_tensor(DIMS(1, 2, 20, 32), ACL_FLOAT16, 16, 1),
                        .bias = pattern_tensor(DIMS(1, 2, 3, 20), ACL_FLOAT16, 17, 4),
                        .mask = tensor_from(DIMS(3, 20), ACL_BOOL, hidden),
                        .out = output(golden("biased", "out")),
                        .heads = 2,
                        .kv_heads = 0,
                        .before = FAR,
                        .after = FAR,
                        .layout = "BNSD_BSND",
                        .scale = 0.2};
    CHECK_OK(attend(&t));
    compare(t.out, golden("biased", "out"), 3);
    t.precise = 2;
    CHECK_OK(attend(&t));
    compare(t.out, golden("biased", "corrected"), 3);
    for (int i = 20; i < 40; i++)
        hidden[i] = i % 20 % 3 == 1;
    t.mask = tensor_from(DIMS(1, 1, 3, 20), ACL_BOOL, hidden);
    t.lse = output(golden("biased", "lse"));
    CHECK_OK(attend(&t));
    compare(t.lse, golden("biased", "lse"), 4);
    t.lse = output(golden("biased", "out"));
    CHECK_CODE(attend(&t), ACLNN_INNER_TILING); /* not [B,N,Q_S,1] in fp32 */
}

static void keys_may_come_as_a_list(void)
{
    const aclTensor *keys[2], *values[2];
    for (int b = 0; b < 2; b++) {
        keys[b] = pattern_tensor(DIMS(1, b ? 7 : 11, 1, 32), ACL_FLOAT16, (uint32_t)(19 + 2 * b), 1);
        values[b] = pattern_tensor(DIMS(1, b ? 7 : 11, 1, 32), ACL_FLOAT16, (uint32_t)(20 + 2 * b), 1);
    }
    struct attempt t = {.version = 2,
                        .query = pattern_tensor(DIMS(2, 1, 2, 32), ACL_FLOAT16, 18, 1),
                        .keys = aclCreateTensorList(keys, 2),
                        .values = aclCreateTensorList(values, 2),
                        .out = output(golden("listed", "out")),
                        .heads = 2,
                        .kv_heads = 1,
                        .layout = "BSND",
                        .scale = 0.2};
    CHECK_OK(attend(&t));
    compare(t.out, golden("listed", "out"), 2);
}

static struct attempt band_attempt(void)
{
    return (struct attempt){.version = 3,
                            .query = pattern_tensor(DIMS(9, 4, 128), ACL_BF16, 23, 1),
                            .key = pattern_tensor(DIMS(30, 2, 128), ACL_BF16, 24, 1),
                            .value = pattern_tensor(DIMS(30, 2, 128), ACL_BF16, 25, 1),
                            .mask = triangle,
                            .out = pattern_tensor(DIMS(9, 4, 128), ACL_BF16, 0, 0),
                            .query_lengths = {4, 9},
                            .n_query_lengths = 2,
                            .key_lengths = {10, 30},
                            .n_key_lengths = 2,
                            .heads = 4,
                            .kv_heads = 2,
                            .sparse = 4,
                            .before = 4,
                            .after = 1,
                            .layout = "TND",
                            .scale = 0.09};
}

/* IncreFlashAttention and PromptFlashAttention: the same computation behind older argument lists. */
static void the_older_operators_agree(void)
{
    uint64_t size;
    aclOpExecutor *executor;
    char bnsd[] = "BNSD", tnd[] = "TND", bsnd[] = "BSND";
    aclTensor *q = pattern_tensor(DIMS(2, 6, 1, 64), ACL_BF16, 4, 1), *table = blocks_of(2, 4, (const int32_t[]){8, 1, 5, 0, 2, 7, 3, 6});
    aclTensorList *k = list_of(pattern_tensor(DIMS(9, 2, 16, 64), ACL_BF16, 5, 2)), *v = list_of(pattern_tensor(DIMS(9, 2, 16, 64), ACL_BF16, 6, 1));
    aclTensor *out = output(golden("decode", "out")), *two = pattern_tensor(DIMS(2, 6, 2, 64), ACL_BF16, 4, 1);
    aclIntArray *lengths = aclCreateIntArray((const int64_t[]){37, 50}, 2);
    RUN(IncreFlashAttentionV4, q, k, v, NULL, NULL, lengths, NONE_7, table, NULL, 6, 0.125, bnsd, 2, 16, 0, out);
    compare(out, golden("decode", "out"), 2);
    CHECK_CODE(aclnnIncreFlashAttentionV4GetWorkspaceSize(q, k, v, NULL, NULL, lengths, NONE_7, table, NULL, 6, 0.125, tnd, 2, 16, 0, out, &size, &executor),
               ACLNN_INNER_TILING);
    CHECK_CODE(aclnnIncreFlashAttentionV4GetWorkspaceSize(two, k, v, NULL, NULL, lengths, NONE_7, table, NULL, 6, 0.125, bnsd, 2, 16, 0, two, &size, &executor),
               ACLNN_INNER_TILING);
    CHECK_MESSAGE("takes one");
    unsigned char hidden[3 * 20];
    for (int i = 0; i < 60; i++)
        hidden[i] = i % 20 % 3 == i / 20 || i / 20 == 1;
    aclTensor *prompt = pattern_tensor(DIMS(1, 2, 3, 32), ACL_FLOAT16, 14, 1), *keys = pattern_tensor(DIMS(1, 2, 20, 32), ACL_FLOAT16, 15, 1);
    aclTensor *values = pattern_tensor(DIMS(1, 2, 20, 32), ACL_FLOAT16, 16, 1), *bias = pattern_tensor(DIMS(1, 2, 3, 20), ACL_FLOAT16, 17, 4);
    aclTensor *result = pattern_tensor(DIMS(1, 2, 3, 32), ACL_FLOAT16, 0, 0), *mask = tensor_from(DIMS(3, 20), ACL_BOOL, hidden);
    aclTensor *turned = output(golden("biased", "corrected"));
    RUN(PromptFlashAttentionV3, prompt, keys, values, bias, mask, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, 0.2, FAR, FAR, bnsd, 0, 0, 2, result);
    aclIntArray *order = aclCreateIntArray((const int64_t[]){0, 2, 1, 3}, 4); /* the golden is BSND */
    RUN(Permute, result, order, turned);
    compare(turned, golden("biased", "corrected"), 3);
    CHECK_CODE(aclnnPromptFlashAttentionV3GetWorkspaceSize(prompt, keys, values, bias, mask, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, 0.2, FAR, FAR, bsnd,
                                                           0, 0, 2, result, &size, &executor),
               ACLNN_INNER_TILING);
}

/* The chip splits keys over its cores by batch and length, so a row's bits depend on its company, unless determinism is asked for. */
static void results_vary_with_the_batch_unless_told_otherwise(void)
{
    float lse[2][2];
    for (int level = 0; level < 3; level += 2) {
        bool differ = false;
        CHECK_OK(aclrtSetSysParamOpt(ACL_OPT_DETERMINISTIC, level));
        for (int batch = 1; batch <= 2; batch++) {
            struct attempt t = {.version = 3,
                                .query = pattern_tensor(DIMS(batch, 6, 1, 64), ACL_BF16, 4, 1),
                                .key = pattern_tensor(DIMS(9, 2, 128, 64), ACL_BF16, 5, 2),
                                .value = pattern_tensor(DIMS(9, 2, 128, 64), ACL_BF16, 6, 1),
                                .table = blocks_of(batch, 4, (const int32_t[]){0, 1, 2, 3, 4, 5, 6, 7}),
                                .out = pattern_tensor(DIMS(batch, 6, 1, 64), ACL_BF16, 0, 0),
                                .lse = pattern_tensor(DIMS(batch, 6, 1, 1), ACL_FLOAT, 0, 0),
                                .key_lengths = {500, 500},
                                .n_key_lengths = (uint64_t)batch,
                                .heads = 6,
                                .kv_heads = 2,
                                .block = 128,
                                .layout = "BNSD",
                                .scale = 0.125};
            void *address;
            CHECK_OK(attend(&t));
            CHECK_OK(aclGetRawTensorAddr(t.lse, &address));
            CHECK_OK(aclrtMemcpy(lse[batch - 1], 8, address, 8, ACL_DEVICE_TO_HOST));
        }
        differ = memcmp(lse[0], lse[1], 8) != 0;
        CHECK(differ == (level == 0));
    }
    CHECK_OK(aclrtSetSysParamOpt(ACL_OPT_DETERMINISTIC, 0));
}

static void packed_queries_take_bands(void)
{
    struct attempt t = band_attempt();
    CHECK_OK(attend(&t));
    compare(t.out, golden("band", "out"), 3);
    t.lse = output(golden("band", "lse"));
    CHECK_OK(attend(&t));
    compare(t.lse, golden("band", "lse"), 8);
    t.lse = NULL;
    t.layout = "TND_NTD";
    t.out = output(golden("band", "ntd"));
    CHECK_OK(attend(&t));
    compare(t.out, golden("band", "ntd"), 3);
}

#define REFUSED(change, code)                                                                                                                                  \
    do {                                                                                                                                                       \
        struct attempt t = good;                                                                                                                               \
        change;                                                                                                                                                \
        CHECK_CODE(attend(&t), code);                                                                                                                          \
    } while (0)

static void shapes_and_lengths_are_refused_in_phase_one(void)
{
    static unsigned char zeros[8 * 256];
    struct attempt good = prefill_attempt();
    CHECK_OK(attend(&good));
    REFUSED(t.layout = "SBH", ACLNN_INNER_TILING);
    REFUSED(t.layout = "BSND_BNSD", ACLNN_INNER_TILING); /* from V4 on */
    REFUSED(t.heads = 3, ACLNN_INNER_TILING);
    REFUSED(t.kv_heads = 3, ACLNN_INNER_TILING);
    REFUSED(t.kv_heads = 1, ACLNN_INNER_TILING); /* not the cache's */
    REFUSED(t.out = pattern_tensor(DIMS(2, 8, 4, 32), ACL_FLOAT16, 0, 0), ACLNN_INNER_TILING);
    REFUSED(t.out = pattern_tensor(DIMS(2, 8, 4, 64), ACL_BF16, 0, 0), ACLNN_PARAM_INVALID);
    REFUSED(t.value = pattern_tensor(DIMS(5, 128, 128), ACL_BF16, 0, 0), ACLNN_PARAM_INVALID);
    REFUSED(t.key = pattern_tensor(DIMS(5, 2, 128, 64), ACL_FLOAT16, 0, 0), ACLNN_INNER_TILING);
    REFUSED((t.key = pattern_tensor(DIMS(5, 2, 128, 64), ACL_FLOAT16, 0, 0), t.value = t.key), ACLNN_INNER_TILING); /* BSND queries: (blocks, size, H) only */
    REFUSED((t.key = pattern_tensor(DIMS(10, 64, 128), ACL_FLOAT16, 0, 0), t.value = t.key, t.block = 64), ACLNN_INNER_TILING); /* 128 and up */
    REFUSED(t.block = 0, ACLNN_INNER_TILING);
    REFUSED(t.n_key_lengths = 0, ACLNN_INNER_TILING);
    REFUSED(t.key_lengths[0] = 257, ACLNN_INNER_TILING); /* more than its row of the table */
    REFUSED(t.key_lengths[0] = -1, ACLNN_INNER_TILING);
    REFUSED(t.query_lengths[1] = 9, ACLNN_INNER_TILING);
    REFUSED(t.table = blocks_of(3, 2, (const int32_t[]){4, 0, 1, 3, 2, 2}), ACLNN_INNER_TILING);
    REFUSED(t.table = pattern_tensor(DIMS(2, 2), ACL_FLOAT, 0, 0), ACLNN_INNER_TILING);
    REFUSED((t.key = pattern_tensor(DIMS(2, 128, 128), ACL_FLOAT16, 0, 0), t.value = t.key), ACLNN_INNER_TILING); /* too few blocks in all */
    REFUSED(t.table = blocks_of(2, 2, (const int32_t[]){4, 0, 1, 7}), RT_AICORE_EXCEPTION);                       /* the device does not check: late */
    REFUSED(t.mask = NULL, ACLNN_INNER_TILING);
    REFUSED(t.sparse = 5, ACLNN_INNER_TILING);
    REFUSED(t.precise = 4, ACLNN_INNER_TILING);
    REFUSED(t.mask = pattern_tensor(DIMS(2048, 2048), ACL_FLOAT16, 0, 0), ACLNN_PARAM_INVALID);
    REFUSED((t.sparse = 0, t.mask = tensor_from(DIMS(8, 128), ACL_BOOL, zeros)), ACLNN_INNER_TILING); /* must cover whole blocks: 256 */
    REFUSED((t.sparse = 1, t.mask = tensor_from(DIMS(8, 256), ACL_BOOL, zeros)), 0);
    REFUSED(t.bias = pattern_tensor(DIMS(1, 4, 8, 128), ACL_FLOAT16, 0, 0), ACLNN_INNER_TILING);
    int64_t strides[4] = {8 * 6 * 64, 6 * 64, 64, 1}, dims[4] = {2, 8, 4, 64};
    void *wide = device_memory(2 * 8 * 6 * 64 * 2);
    REFUSED(t.query = aclCreateTensor(dims, 4, ACL_FLOAT16, strides, 0, ACL_FORMAT_ND, dims, 4, wide), ACLNN_PARAM_INVALID); /* a view of fused q|k|v */
    good.query = pattern_tensor(DIMS(2, 1, 4, 64), ACL_FLOAT16, 1, 1); /* decode: the mode is ignored, so the triangle is the wrong shape */
    good.out = pattern_tensor(DIMS(2, 1, 4, 64), ACL_FLOAT16, 1, 1);
    REFUSED(t.sparse = 3, ACLNN_INNER_TILING);
    REFUSED(t.mask = NULL, 0);
    REFUSED((t.mask = NULL, t.layout = "BSND", t.sparse = 9), ACLNN_INNER_TILING);
}

static void packed_layouts_have_limits_of_their_own(void)
{
    struct attempt good = band_attempt();
    CHECK_OK(attend(&good));
    REFUSED((t.sparse = 2), ACLNN_INNER_TILING);
    REFUSED((t.sparse = 0), ACLNN_INNER_TILING); /* with a mask */
    REFUSED((t.sparse = 0, t.mask = NULL), 0);
    REFUSED((t.precise = 1), ACLNN_INNER_TILING);
    REFUSED((t.n_query_lengths = 0), ACLNN_INNER_TILING);
    REFUSED((t.n_key_lengths = 1), ACLNN_INNER_TILING);
    REFUSED((t.query_lengths[1] = 3), ACLNN_INNER_TILING); /* cumulative, so they ascend */
    REFUSED((t.query_lengths[1] = 10), ACLNN_INNER_TILING);
    REFUSED((t.sparse = 3, t.key_lengths[0] = 3), ACLNN_INNER_TILING); /* fewer keys than queries */
    REFUSED((t.bias = pattern_tensor(DIMS(1, 4, 9, 30), ACL_BF16, 0, 0)), ACLNN_INNER_TILING);
    REFUSED((t.query = pattern_tensor(DIMS(9, 4, 512), ACL_BF16, 0, 0), t.key = pattern_tensor(DIMS(30, 2, 512), ACL_BF16, 0, 0), t.value = t.key,
             t.out = pattern_tensor(DIMS(9, 4, 512), ACL_BF16, 0, 0)),
            ACLNN_INNER_TILING); /* 512 needs the split rope */
    good.table = blocks_of(2, 2, (const int32_t[]){0, 1, 2, 3});
    good.key_lengths[1] = 20;
    good.key = good.value = pattern_tensor(DIMS(4, 16, 256), ACL_BF16, 24, 1);
    good.block = 16;
    CHECK_OK(attend(&good));
    REFUSED((t.key = t.value = pattern_tensor(DIMS(4, 256, 256), ACL_BF16, 0, 0), t.block = 256), ACLNN_INNER_TILING);
    REFUSED((t.key = t.value = pattern_tensor(DIMS(4, 256, 256), ACL_BF16, 0, 0), t.block = 256, t.version = 4), 0);
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1); /* attempts are abandoned on purpose */
    golden_read(TEST_DATA "/attention.bin");
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    make_triangle();
    paged_prefill_masks_by_the_fixed_triangle();
    decode_takes_the_true_lengths_from_a_mask();
    a_cache_may_lie_in_fractals();
    a_cache_may_be_int8();
    latent_attention_splits_the_rope();
    a_row_that_sees_nothing_is_a_mean_or_corrected();
    keys_may_come_as_a_list();
    packed_queries_take_bands();
    the_older_operators_agree();
    results_vary_with_the_batch_unless_told_otherwise();
    shapes_and_lengths_are_refused_in_phase_one();
    packed_layouts_have_limits_of_their_own();
    device_free_all();
    golden_forget();
    return checks_failed();
}
