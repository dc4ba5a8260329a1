/* Mixture of experts from gating to joining, grouped products in each of their type rows, norms fused with quantisation, top-k top-p: against numpy's results
 * (make_expert_goldens.py), and what they refuse. */
#include "tests/golden.h"

static char group[16];
static int32_t number; /* of the element type */

static const struct golden *of(const char *name)
{
    return golden(group, name);
}

#define INPUT(salt, scale, ...) pattern_tensor(DIMS(__VA_ARGS__), number, salt, scale)

static void gating(void)
{
    aclTensor *x = INPUT(1, 3, 5, 64), *bias = INPUT(2, 0.2f, 64), *y = output(of("soft")), *ids = output(of("softids")), *all = output(of("softall"));
    uint64_t size;
    aclOpExecutor *executor;
    RUN(MoeGatingTopK, x, bias, 6, 3, 8, 0, 0, 0, true, 2.5, 1e-20, y, ids, all);
    compare(y, of("soft"), 2);
    compare(ids, of("softids"), 0);
    compare(all, of("softall"), 2);
    RUN(MoeGatingTopK, x, bias, 6, 3, 8, 1, 0, 1, true, 2.5, 1e-20, y, ids, all);
    compare(y, of("sig"), 2);
    compare(ids, of("sigids"), 0);
    compare(all, of("sigall"), 2);
    CHECK_CODE(aclnnMoeGatingTopKGetWorkspaceSize(x, bias, 25, 3, 8, 0, 0, 0, false, 1, 0, y, ids, NULL, &size, &executor), ACLNN_INNER_TILING);
    CHECK_CODE(aclnnMoeGatingTopKGetWorkspaceSize(x, bias, 6, 3, 7, 0, 0, 0, false, 1, 0, y, ids, NULL, &size, &executor), ACLNN_INNER_TILING);
    CHECK_CODE(aclnnMoeGatingTopKGetWorkspaceSize(x, bias, 6, 3, 8, 0, 1, 0, false, 1, 0, y, ids, NULL, &size, &executor), ACLNN_INNER_TILING); /* renorm */
    bool done[5] = {false, false, true, false, false};
    aclTensor *top = output(of("top")), *top_ids = output(of("topids")), *rows = output(of("toprows")), *finished = tensor_from(DIMS(5), ACL_BOOL, done);
    RUN(MoeGatingTopKSoftmax, x, finished, 4, top, top_ids, rows);
    compare(top, of("top"), 2);
    compare(top_ids, of("finished"), 0);
    compare(rows, of("toprows"), 0);
    RUN(MoeGatingTopKSoftmaxV2, x, NULL, 4, 1, false, top, top_ids, NULL);
    compare(top, of("renormed"), 2);
    compare(top_ids, of("topids"), 0);
}

static void routing(void)
{
    aclTensor *x = INPUT(11, 1, 6, 16), *ids = input(of("ids")), *rows = output(of("x")), *where = output(of("where")), *counts = output(of("counts"));
    RUN(MoeInitRoutingV2, x, ids, 0, 0, 4, 0, 2, false, rows, where, counts, NULL);
    compare(rows, of("x"), 0);
    compare(where, of("where"), 0);
    compare(counts, of("counts"), 0);
    RUN(MoeInitRoutingV2, x, ids, 0, 0, 4, 0, 1, false, rows, where, counts, NULL);
    compare(counts, of("sums"), 0);
    aclTensor *padded = output(of("padded")), *places = output(of("places")), *before = output(of("counts"));
    RUN(MoeInitRoutingV2, x, ids, 0, 3, 4, 1, 0, true, padded, places, NULL, before);
    compare(padded, of("padded"), 0);
    compare(places, of("places"), 0);
    compare(before, of("counts"), 0);
    aclIntArray *range = aclCreateIntArray((const int64_t[]){1, 3}, 2), *every = aclCreateIntArray((const int64_t[]){0, 4}, 2);
    aclTensor *counts64 = output(of("counts64")), *pairs = output(of("pairs")), *place = output(of("place"));
    RUN(MoeInitRoutingV3, x, ids, NULL, NULL, 12, 0, 4, 0, 1, true, -1, every, 0, rows, where, counts64, NULL);
    compare(rows, of("x"), 0);
    compare(where, of("where"), 0);
    compare(counts64, of("counts64"), 0);
    const struct golden *q = of("q");
    aclTensor *smooth = input(of("smooth")), *codes = plain_tensor(DIMS(12, 16), ACL_INT8, device_memory(192)),
              *scales = plain_tensor(DIMS(12), ACL_FLOAT, device_memory(48));
    RUN(MoeInitRoutingV3, x, ids, smooth, NULL, 12, 0, 4, 0, 2, true, 1, range, 0, codes, place, pairs, scales);
    compare(codes, q, 0); /* the golden holds the local rows only */
    compare(scales, of("qscale"), 1);
    compare(place, of("place"), 0);
    compare(pairs, of("pairs"), 0);
    float twenty = 20, three = 3;
    aclTensor *fixed = output(of("static")), *factor = tensor_from(DIMS(1), ACL_FLOAT, &twenty), *shift = tensor_from(DIMS(1), ACL_FLOAT, &three);
    RUN(MoeInitRoutingQuantV2, x, ids, factor, shift, 0, 0, 4, 0, 2, false, 0, fixed, where, counts, NULL, NULL);
    compare(fixed, of("static"), 0);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnMoeInitRoutingV3GetWorkspaceSize(x, ids, NULL, NULL, 11, 0, 4, 0, 1, true, -1, every, 0, rows, where, counts64, NULL, &size, &executor),
               ACLNN_PARAM_INVALID); /* activeNum */
    CHECK_CODE(aclnnMoeInitRoutingV2GetWorkspaceSize(x, ids, 0, 0, 4, 1, 0, false, padded, places, NULL, NULL, &size, &executor), ACLNN_PARAM_INVALID);
}

static void joining(void)
{
    aclTensor *x = INPUT(11, 1, 6, 16), *ids = input(of("ids")), *where = input(of("where")), *y = INPUT(13, 1, 12, 16), *scales = INPUT(14, 1, 6, 2);
    aclTensor *bias = INPUT(15, 1, 4, 16), *x1 = INPUT(16, 1, 6, 16), *x2 = INPUT(17, 1, 6, 16), *joined = output(of("joined"));
    RUN(MoeFinalizeRoutingV2, y, where, x1, x2, bias, scales, ids, 2, joined);
    compare(joined, of("joined"), 2);
    aclTensor *padded = input(of("padded")), *places = input(of("places"));
    RUN(MoeFinalizeRoutingV2, padded, places, x1, NULL, NULL, scales, NULL, 3, joined);
    compare(joined, of("dropped"), 2);
    aclTensor *rows = output(of("x")), *sorted = output(of("where"));
    RUN(MoeTokenPermute, x, ids, 0, false, rows, sorted);
    compare(rows, of("x"), 0);
    compare(sorted, of("where"), 0);
    RUN(MoeTokenUnpermute, y, sorted, scales, false, NULL, joined);
    compare(joined, of("unpermuted"), 2);
    int32_t experts[12] = {0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 3, 3};
    aclTensor *sums = output(of("sums"));
    RUN(MoeComputeExpertTokens, tensor_from(DIMS(12), ACL_INT32, experts), 4, sums);
    compare(sums, of("sums"), 0);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnMoeFinalizeRoutingV2GetWorkspaceSize(y, where, NULL, x2, bias, scales, ids, 2, joined, &size, &executor), ACLNN_PARAM_INVALID);
    int32_t wrong[12] = {99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    CHECK_OK(aclnnMoeFinalizeRoutingV2GetWorkspaceSize(y, tensor_from(DIMS(12), ACL_INT32, wrong), x1, x2, bias, scales, ids, 2, joined, &size, &executor));
    CHECK_OK(aclnnMoeFinalizeRoutingV2(NULL, size, executor, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_AICORE_EXCEPTION);
}

static aclTensorList *one(aclTensor *tensor)
{
    const aclTensor *items[1] = {tensor};
    return aclCreateTensorList(items, 1);
}

struct group_call {
    aclTensor *x, *w, *bias, *scale, *anti_scale, *anti_offset, *token, *list, *out;
    int64_t split, type, list_type, activation;
};

static int run_groups(const struct group_call *g)
{
    aclTensor *none = plain_tensor(DIMS(0), ACL_FLOAT, NULL); /* as some callers say "absent" */
    uint64_t size;
    aclOpExecutor *executor;
    int code = aclnnGroupedMatmulV4GetWorkspaceSize(one(g->x), one(g->w), g->bias ? one(g->bias) : NULL, g->scale ? one(g->scale) : one(none), NULL,
                                                    g->anti_scale ? one(g->anti_scale) : NULL, g->anti_offset ? one(g->anti_offset) : NULL,
                                                    g->token ? one(g->token) : NULL, g->list, NULL, NULL, NULL, g->split, g->type, g->list_type, g->activation,
                                                    one(g->out), NULL, NULL, &size, &executor);
    if (!code)
        code = aclnnGroupedMatmulV4(device_memory(size), size, executor, stream);
    return code ? code : aclrtSynchronizeStream(stream);
}

static aclTensor *sevens(const struct golden *g)
{
    float seven = 7;
    aclTensor *tensor = output(g);
    RUN(InplaceFillScalar, tensor, aclCreateScalar(&seven, ACL_FLOAT));
    return tensor;
}

static const int64_t counts[4] = {3, 0, 4, 2}, sums[4] = {3, 3, 7, 9}, pairs[6] = {0, 3, 2, 4, 3, 2};

static void grouped(void)
{
    bool whole = number == ACL_FLOAT;
    struct group_call g = {.x = INPUT(21, 1, 10, 48),
                           .w = INPUT(22, 1, 4, 48, 32),
                           .bias = pattern_tensor(DIMS(4, 32), number == ACL_FLOAT16 ? ACL_FLOAT16 : ACL_FLOAT, 23, 1),
                           .list = tensor_from(DIMS(4), ACL_INT64, counts),
                           .out = sevens(of("out")),
                           .split = 3,
                           .list_type = 1};
    double steps = whole ? 16 : 2;
    CHECK_OK(run_groups(&g));
    compare(g.out, of("out"), steps); /* rows behind the total stay */
    g.activation = 5;
    CHECK_OK(run_groups(&g));
    compare(g.out, of("silu"), steps);
    g.activation = 0;
    struct group_call changed = g;
    changed.list = tensor_from(DIMS(4), ACL_INT64, sums);
    changed.list_type = 0;
    changed.out = sevens(of("out"));
    CHECK_OK(run_groups(&changed));
    compare(changed.out, of("out"), steps);
    changed.list = tensor_from(DIMS(3, 2), ACL_INT64, pairs);
    changed.list_type = 2;
    changed.out = sevens(of("out"));
    CHECK_OK(run_groups(&changed));
    compare(changed.out, of("out"), steps);
    const struct golden *nz = of("nz");
    aclTensor *stored = input(nz);
    void *address;
    CHECK_OK(aclGetRawTensorAddr(stored, &address));
    changed = g;
    changed.out = sevens(of("out"));
    changed.w = aclCreateTensor(nz->dims, 5, (aclDataType)number, NULL, 0, ACL_FORMAT_FRACTAL_NZ, nz->dims, 5, address);
    CHECK_OK(run_groups(&changed));
    compare(changed.out, of("out"), steps);
    changed.w = aclCreateTensor((const int64_t[]){4, 48, 32}, 3, (aclDataType)number, NULL, 0, ACL_FORMAT_FRACTAL_NZ, nz->dims, 5, address);
    CHECK_OK(run_groups(&changed));
    compare(changed.out, of("out"), steps);
    if (whole)
        return;
    changed = g;
    changed.bias = NULL;
    changed.w = pattern_tensor(DIMS(4, 48, 32), ACL_INT8, 24, 127);
    changed.anti_scale = input(of("scale"));
    changed.anti_offset = input(of("offset"));
    changed.out = sevens(of("wide"));
    CHECK_OK(run_groups(&changed));
    compare(changed.out, of("wide"), 2);
    void *four = device_memory(of("w4")->bytes);
    CHECK_OK(aclrtMemcpy(four, of("w4")->bytes, of("w4")->data, of("w4")->bytes, ACL_HOST_TO_DEVICE));
    changed.w = plain_tensor(DIMS(4, 48, 32), ACL_INT4, four);
    changed.anti_scale = input(of("parts"));
    changed.anti_offset = NULL;
    CHECK_OK(run_groups(&changed));
    compare(changed.out, of("four"), 2);
}

static void grouped_int8_and_what_is_refused(void)
{
    snprintf(group, sizeof group, "gq");
    struct group_call g = {.x = pattern_tensor(DIMS(10, 48), ACL_INT8, 31, 127),
                           .w = pattern_tensor(DIMS(4, 48, 32), ACL_INT8, 32, 127),
                           .bias = pattern_tensor(DIMS(4, 32), ACL_INT32, 33, 5000),
                           .list = tensor_from(DIMS(4), ACL_INT64, counts),
                           .out = sevens(of("i32")),
                           .split = 2,
                           .list_type = 1};
    CHECK_OK(run_groups(&g));
    compare(g.out, of("i32"), 0);
    g.token = input(of("token"));
    g.scale = input(of("scale"));
    g.out = sevens(of("f16"));
    CHECK_OK(run_groups(&g));
    compare(g.out, of("f16"), 1);
    g.scale = input(of("scale16"));
    CHECK_CODE(run_groups(&g), ACLNN_PARAM_INVALID); /* a bf16 scale gives bf16 */
    g.out = sevens(of("bf16"));
    CHECK_OK(run_groups(&g));
    compare(g.out, of("bf16"), 1);
    static const struct {
        int64_t split, type, list_type, activation;
    } wrong[] = {{0, 0, 1, 0}, {2, 1, 1, 0}, {2, 2, 1, 0}, {2, 0, 3, 0}, {2, 0, 1, 3}, {2, 0, 1, 6}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct group_call bad = g;
        bad.split = wrong[i].split, bad.type = wrong[i].type, bad.list_type = wrong[i].list_type, bad.activation = wrong[i].activation;
        CHECK_CODE(run_groups(&bad), ACLNN_PARAM_INVALID);
    }
    int64_t many[4] = {3, 0, 4, 9}, falling[4] = {3, 2, 7, 9};
    g.list = tensor_from(DIMS(4), ACL_INT64, many);
    CHECK_CODE(run_groups(&g), RT_AICORE_EXCEPTION);
    g.list = tensor_from(DIMS(4), ACL_INT64, falling);
    g.list_type = 0;
    CHECK_CODE(run_groups(&g), RT_AICORE_EXCEPTION);
}

static void grouped_lists(void)
{
    static const int64_t m[3] = {3, 1, 5}, k[3] = {16, 32, 16}, n[3] = {8, 24, 16};
    const aclTensor *x[3], *w[3], *out[3];
    uint64_t size;
    aclOpExecutor *executor;
    snprintf(group, sizeof group, "gl");
    for (uint32_t e = 0; e < 3; e++) {
        x[e] = pattern_tensor(DIMS(m[e], k[e]), ACL_FLOAT16, 41 + e, 1);
        w[e] = pattern_tensor(DIMS(k[e], n[e]), ACL_FLOAT16, 44 + e, 1);
        out[e] = pattern_tensor(DIMS(m[e], n[e]), ACL_FLOAT16, 0, 0);
    }
    CHECK_OK(aclnnGroupedMatmulV5GetWorkspaceSize(aclCreateTensorList(x, 3), aclCreateTensorList(w, 3), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                                  NULL, 0, -1, 0, 0, NULL, aclCreateTensorList(out, 3), NULL, NULL, &size, &executor));
    CHECK_OK(aclnnGroupedMatmulV5(device_memory(size), size, executor, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    for (int e = 0; e < 3; e++) {
        char name[8];
        snprintf(name, sizeof name, "out%d", e);
        compare(out[e], of(name), 2);
    }
}

static void fused_norms(void)
{
    aclTensor *x1 = INPUT(51, 2, 3, 64), *x2 = INPUT(52, 1, 3, 64), *gamma = INPUT(53, 1, 64), *sum = output(of("x")), *scales = input(of("scales"));
    aclTensor *zeros = input(of("zeros")), *q = output(of("q")), *q2 = output(of("q")), *smooth = input(of("smooth"));
    aclTensor *scale = output(of("dscale")), *scale2 = output(of("dscale")), *dummy = plain_tensor(DIMS(1), ACL_INT8, device_memory(32));
    RUN(AddRmsNormQuant, x1, x2, gamma, scales, NULL, zeros, NULL, -1, 1e-5, true, q, dummy, sum);
    compare(q, of("q"), 0);
    compare(sum, of("x"), 0);
    RUN(AddRmsNormQuant, x1, x2, gamma, scales, scales, NULL, zeros, -1, 1e-5, true, q, q2, sum);
    compare(q, of("plain"), 0);
    compare(q2, of("q"), 0);
    RUN(AddRmsNormDynamicQuant, x1, x2, gamma, NULL, NULL, 1e-5, q, dummy, sum, scale, scale2);
    compare(q, of("dq"), 0);
    compare(scale, of("dscale"), 2);
    RUN(AddRmsNormDynamicQuant, x1, x2, gamma, smooth, smooth, 1e-5, q, q2, sum, scale, scale2);
    compare(q, of("sq"), 0);
    compare(q2, of("sq"), 0);
    compare(scale2, of("sscale"), 2);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnAddRmsNormQuantGetWorkspaceSize(x1, x2, gamma, scales, NULL, NULL, NULL, -1, 1e-5, false, q, dummy, sum, &size, &executor),
               ACLNN_PARAM_INVALID);
}

static aclTensor *weight(const char *name, int64_t rows, int64_t columns)
{
    const struct golden *g = of(name);
    aclTensor *stored = input(g);
    void *address;
    CHECK_OK(aclGetRawTensorAddr(stored, &address));
    return aclCreateTensor((const int64_t[]){rows, columns}, 2, ACL_BF16, NULL, 0, ACL_FORMAT_FRACTAL_NZ, g->dims, g->n_dims, address);
}

static aclTensor *minus_ones(const struct golden *g)
{
    float minus = -1;
    aclTensor *tensor = output(g);
    RUN(InplaceFillScalar, tensor, aclCreateScalar(&minus, ACL_FLOAT));
    return tensor;
}

static void the_prologue_of_latent_attention(void)
{
    snprintf(group, sizeof group, "mla");
    number = ACL_BF16;
    aclTensor *x = INPUT(71, 1, 3, 32), *dq = weight("dq", 32, 48), *uq = weight("uq", 48, 64), *uk = INPUT(74, 0.3f, 2, 16, 32), *dkv = weight("dkv", 32, 48);
    aclTensor *gq = INPUT(76, 1, 48), *gkv = INPUT(77, 1, 32), *cosines = input(of("cos")), *sines = input(of("sin")), *slots = input(of("slots"));
    aclTensor *kv = minus_ones(of("kv")), *kr = minus_ones(of("kr")), *query = output(of("query")), *rope = output(of("rope"));
    RUN(MlaProlog, x, dq, uq, uk, dkv, gq, gkv, sines, cosines, slots, kv, kr, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1e-5, 1e-5, "PA_BSND", query, rope);
    compare(query, of("query"), 3);
    compare(rope, of("rope"), 2);
    compare(kv, of("kv"), 2);
    compare(kr, of("kr"), 2);
    aclTensor *fractal = minus_ones(of("kvnz")), *fractal_rope = minus_ones(of("krnz"));
    uint64_t size;
    aclOpExecutor *executor;
    RUN(MlaPrologV2WeightNz, x, dq, uq, uk, dkv, gq, gkv, sines, cosines, slots, fractal, fractal_rope, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1e-5, 1e-5,
        "PA_NZ", query, rope, NULL);
    compare(query, of("query"), 3);
    compare(fractal, of("kvnz"), 2);
    compare(fractal_rope, of("krnz"), 2);
    CHECK_CODE(aclnnMlaPrologV2WeightNzGetWorkspaceSize(x, dq, uq, uk, dkv, gq, gkv, sines, cosines, slots, kv, kr, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                                        1e-5, 1e-5, "PA_NZ", query, rope, NULL, &size, &executor),
               ACLNN_INNER_TILING); /* caches of the other layout */
    CHECK_CODE(aclnnMlaPrologV2WeightNzGetWorkspaceSize(x, uq, uq, uk, dkv, gq, gkv, sines, cosines, slots, kv, kr, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                                        1e-5, 1e-5, "PA_BSND", query, rope, NULL, &size, &executor),
               ACLNN_INNER_TILING);
}

static void sampling(void)
{
    snprintf(group, sizeof group, "sample");
    aclTensor *logits = pattern_tensor(DIMS(4, 40), ACL_FLOAT, 61, 5), *out = pattern_tensor(DIMS(4, 40), ACL_FLOAT, 0, 0);
    float before[160], after[160];
    void *from, *to;
    RUN(ApplyTopKTopP, logits, input(of("p")), input(of("k")), out);
    CHECK_OK(aclGetRawTensorAddr(logits, &from));
    CHECK_OK(aclGetRawTensorAddr(out, &to));
    CHECK_OK(aclrtMemcpy(before, sizeof before, from, sizeof before, ACL_DEVICE_TO_HOST));
    CHECK_OK(aclrtMemcpy(after, sizeof after, to, sizeof after, ACL_DEVICE_TO_HOST));
    for (int i = 0; i < 160; i++)
        CHECK(of("kept")->data[i] ? after[i] == before[i] : after[i] == -INFINITY);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnApplyTopKTopPGetWorkspaceSize(logits, NULL, NULL, out, &size, &executor), ACLNN_PARAM_NULLPTR);
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1); /* tensors and lists are left to the end of the process */
    golden_read(TEST_DATA "/experts.bin");
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
    } families[] = {{"gate", gating}, {"route", routing}, {"route", joining}, {"gmm", grouped}, {"nq", fused_norms}};
    for (int i = 0; i < 3; i++)
        for (int f = 0; f < 5; f++) {
            number = types[i].number;
            snprintf(group, sizeof group, "%s_%s", families[f].name, types[i].name);
            if (i || families[f].run != fused_norms)
                families[f].run();
        }
    grouped_int8_and_what_is_refused();
    grouped_lists();
    the_prologue_of_latent_attention();
    sampling();
    device_free_all();
    golden_forget();
    return checks_failed();
}
