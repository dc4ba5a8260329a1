/* The prologue of latent attention (MlaProlog, MlaPrologV2WeightNz), bf16: from a token's hidden state to its absorbed query, its query rope, and its rows in
 * the two paged caches.
 *     c_q = RmsNorm(x Wdq);  [q | qr] of each head = c_q WuqQr;  query = q Wuk;  queryRope = rope(qr)
 *     [c | kr] = x WdkvKr;   kvCache[slot] = RmsNorm(c);         krCache[slot] = rope(kr)
 * Sums in fp32; what the kernel keeps between its stages is bf16 and rounded so. The rope takes pairs apart first, as InterleaveRope does. */
#include "operators/matrix.h"

#include <math.h>
#include <string.h>

struct prolog {
    const struct tensor *x, *dq, *uq, *uk, *dkv, *gamma_q, *gamma_kv, *sines, *cosines, *index, *kv_cache, *kr_cache, *query, *query_rope;
    int64_t tokens, hidden, rank_q, rank_kv, heads, width, rope;
    bool fractal; /* caches in NZ */
};

static struct prolog prolog_of(const struct call *call)
{
    struct prolog p = {.x = call_tensor(call, "tokenX"),
                       .dq = call_tensor(call, "weightDq"),
                       .uq = call_tensor(call, "weightUqQr"),
                       .uk = call_tensor(call, "weightUk"),
                       .dkv = call_tensor(call, "weightDkvKr"),
                       .gamma_q = call_tensor(call, "rmsnormGammaCq"),
                       .gamma_kv = call_tensor(call, "rmsnormGammaCkv"),
                       .sines = call_tensor(call, "ropeSin"),
                       .cosines = call_tensor(call, "ropeCos"),
                       .index = call_tensor(call, "cacheIndex"),
                       .kv_cache = call_tensor(call, "kvCacheRef"),
                       .kr_cache = call_tensor(call, "krCacheRef"),
                       .query = call_tensor(call, "queryOut"),
                       .query_rope = call_tensor(call, "queryRopeOut"),
                       .fractal = !strcmp(call_text(call, "cacheModeOptional"), "PA_NZ")};
    p.hidden = p.x->n_dims ? p.x->dims[p.x->n_dims - 1] : 0;
    p.tokens = p.hidden ? tensor_count(p.x) / p.hidden : 0;
    p.rank_q = tensor_count(p.gamma_q);
    p.rank_kv = tensor_count(p.gamma_kv);
    p.heads = p.uk->n_dims == 3 ? p.uk->dims[0] : 0;
    p.width = p.uk->n_dims == 3 ? p.uk->dims[1] : 0;
    p.rope = p.cosines->n_dims ? p.cosines->dims[p.cosines->n_dims - 1] : 0;
    return p;
}

/* A weight in NZ of rows x columns, its view logical or physical. */
static bool is_weight(const struct tensor *t, int64_t rows, int64_t columns)
{
    if (t->format != ACL_FORMAT_FRACTAL_NZ)
        return false;
    if (matrix_is_physical(t))
        return t->n_dims == 4 && t->dims[0] == (columns + 15) / 16 && t->dims[1] == (rows + 15) / 16;
    return t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == columns;
}

static bool is_cache(const struct prolog *p, const struct tensor *cache, int64_t width)
{
    return cache->n_dims == 4 &&
           (p->fractal ? cache->dims[1] * cache->dims[3] == width && cache->dims[3] == 16 : cache->dims[2] == 1 && cache->dims[3] == width);
}

static int check_prolog(struct call *call)
{
    struct prolog p = prolog_of(call);
    static const char *const absent[] = {"dequantScaleXOptional", "dequantScaleWDqOptional", "dequantScaleWUqQrOptional", "dequantScaleWDkvKrOptional",
                                         "quantScaleCkvOptional", "quantScaleCkrOptional",   "smoothScalesCqOptional",    "dequantScaleQNopeOutOptional"};
    static const char *const floats[] = {"tokenX",  "weightDq", "weightUqQr", "weightUk",   "weightDkvKr", "rmsnormGammaCq", "rmsnormGammaCkv",
                                         "ropeSin", "ropeCos",  "kvCacheRef", "krCacheRef", "queryOut",    "queryRopeOut"};
    const char *mode = call_text(call, "cacheModeOptional");
    int result = check_type(p.index, "cacheIndex", "i64");
    for (size_t i = 0; i < sizeof absent / sizeof *absent && !result; i++)
        if (call_tensor(call, absent[i]))
            result = fail(ACLNN_PARAM_INVALID, "the emulator does not have %s in this operator: pass NULL", absent[i]);
    for (size_t i = 0; i < sizeof floats / sizeof *floats && !result; i++)
        result = check_type(call_tensor(call, floats[i]), floats[i], "bf16");
    if (!result && *mode && !p.fractal && strcmp(mode, "PA_BSND"))
        result = fail(ACLNN_PARAM_INVALID, "cacheMode is \"%s\"; PA_BSND or PA_NZ is expected", mode);
    if (!result &&
        (!is_weight(p.dq, p.hidden, p.rank_q) || !is_weight(p.uq, p.rank_q, p.heads * (p.width + p.rope)) || !is_weight(p.dkv, p.hidden, p.rank_kv + p.rope)))
        result = fail(ACLNN_INNER_TILING,
                      "weightDq (He,Hcq), weightUqQr (Hcq,N*(D+Dr)) and weightDkvKr (He,Hckv+Dr) in FRACTAL_NZ are expected with He=%lld Hcq=%lld "
                      "Hckv=%lld N=%lld D=%lld Dr=%lld",
                      (long long)p.hidden, (long long)p.rank_q, (long long)p.rank_kv, (long long)p.heads, (long long)p.width, (long long)p.rope);
    if (!result && (p.x->n_dims < 2 || p.x->n_dims > 3 || p.uk->n_dims != 3 || p.uk->dims[2] != p.rank_kv || p.rope % 2 ||
                    tensor_count(p.cosines) != p.tokens * p.rope || tensor_count(p.sines) != p.tokens * p.rope || tensor_count(p.index) != p.tokens))
        result = fail(ACLNN_INNER_TILING, "tokenX (T,He) or (B,S,He), weightUk (N,D,Hckv), ropeSin and ropeCos (T,Dr), cacheIndex (T) are expected");
    if (!result && (!is_cache(&p, p.kv_cache, p.rank_kv) || !is_cache(&p, p.kr_cache, p.rope) || p.kv_cache->dims[0] != p.kr_cache->dims[0]))
        result = fail(ACLNN_INNER_TILING, "kvCache and krCache must be %s with Hckv and Dr",
                      p.fractal ? "(blocks, width/16, block size, 16)" : "(blocks, block size, 1, width)");
    if (!result && (tensor_count(p.query) != p.tokens * p.heads * p.rank_kv || tensor_count(p.query_rope) != p.tokens * p.heads * p.rope))
        result = fail(ACLNN_INNER_TILING, "queryOut must be (T,N,Hckv), queryRopeOut (T,N,Dr)");
    return result;
}

/* to[c] = x . column c, rounded to bf16; rows of the weight as long as x. */
static int product_row(struct call *call, const float *x, const struct tensor *weight, const char *name, int64_t rows, int64_t columns, float *to)
{
    struct matrix m = matrix_of(weight, rows, columns, false, 0);
    float *column = call_scratch(call, (size_t)rows * sizeof *column);
    int result = matrix_check_buffer(call, &m, name);
    if (result || !column)
        return result ? result : call_no_memory();
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t r = 0; r < rows; r++)
            column[r] = (float)element_load(weight, matrix_element(&m, r, c));
        to[c] = round_to_type(ACL_BF16, dot(x, column, rows, call->order));
    }
    return 0;
}

static void norm_row(float *row, const float *gamma, int64_t width, float epsilon)
{
    float scale = 1.0f / sqrtf(dot(row, row, width, 0) / (float)width + epsilon);
    for (int64_t i = 0; i < width; i++)
        row[i] = round_to_type(ACL_BF16, row[i] * scale * gamma[i]);
}

static void rope_row(const float *x, const float *cosines, const float *sines, int64_t width, float *to)
{
    int64_t half = width / 2;
    for (int64_t i = 0; i < width; i++) {
        float own = x[i < half ? 2 * i : 2 * (i - half) + 1], other = i < half ? -x[2 * i + 1] : x[2 * (i - half)];
        to[i] = own * cosines[i] + other * sines[i];
    }
}

static int write_cache(const struct prolog *p, const struct tensor *cache, int64_t token, const float *row, int64_t width)
{
    int64_t slot = element_whole(p->index, element_at(p->index, token)), size = cache->dims[p->fractal ? 2 : 1];
    if (slot < 0 || slot >= cache->dims[0] * size)
        return fail(RT_AICORE_EXCEPTION, "cacheIndex %lld of token %lld lies outside the cache of %lld", (long long)slot, (long long)token,
                    (long long)(cache->dims[0] * size));
    for (int64_t i = 0; i < width; i++) {
        int64_t at = p->fractal ? ((slot / size * cache->dims[1] + i / 16) * size + slot % size) * 16 + i % 16 : slot * width + i;
        element_store(cache, element_at(cache, at), (double)row[i]);
    }
    return 0;
}

struct tables {
    float *x, *gamma_q, *gamma_kv, *cosines, *sines, *uk, *latent, *heads, *kv, *turned;
};

static int one_token(struct call *call, const struct prolog *p, const struct tables *t, int64_t token)
{
    const float *x = t->x + token * p->hidden, *cosines = t->cosines + token * p->rope, *sines = t->sines + token * p->rope;
    int64_t each = p->width + p->rope;
    int result = product_row(call, x, p->dq, "weightDq", p->hidden, p->rank_q, t->latent);
    if (result)
        return result;
    norm_row(t->latent, t->gamma_q, p->rank_q, (float)call_real(call, "rmsnormEpsilonCq"));
    result = product_row(call, t->latent, p->uq, "weightUqQr", p->rank_q, p->heads * each, t->heads);
    for (int64_t h = 0; h < p->heads && !result; h++) {
        for (int64_t c = 0; c < p->rank_kv; c++) {
            float sum = 0;
            for (int64_t i = 0; i < p->width; i++)
                sum += t->heads[h * each + i] * t->uk[(h * p->width + i) * p->rank_kv + c];
            element_store(p->query, element_at(p->query, (token * p->heads + h) * p->rank_kv + c), (double)sum);
        }
        rope_row(t->heads + h * each + p->width, cosines, sines, p->rope, t->turned);
        for (int64_t i = 0; i < p->rope; i++)
            element_store(p->query_rope, element_at(p->query_rope, (token * p->heads + h) * p->rope + i), (double)t->turned[i]);
    }
    if (!result)
        result = product_row(call, x, p->dkv, "weightDkvKr", p->hidden, p->rank_kv + p->rope, t->kv);
    if (result)
        return result;
    norm_row(t->kv, t->gamma_kv, p->rank_kv, (float)call_real(call, "rmsnormEpsilonCkv"));
    rope_row(t->kv + p->rank_kv, cosines, sines, p->rope, t->turned);
    result = write_cache(p, p->kv_cache, token, t->kv, p->rank_kv);
    return result ? result : write_cache(p, p->kr_cache, token, t->turned, p->rope);
}

static int compute_prolog(struct call *call)
{
    struct prolog p = prolog_of(call);
    struct tables t = {.x = floats_load(call, p.x),
                       .gamma_q = floats_load(call, p.gamma_q),
                       .gamma_kv = floats_load(call, p.gamma_kv),
                       .cosines = floats_load(call, p.cosines),
                       .sines = floats_load(call, p.sines),
                       .uk = floats_load(call, p.uk),
                       .latent = call_scratch(call, (size_t)p.rank_q * sizeof(float)),
                       .heads = call_scratch(call, (size_t)(p.heads * (p.width + p.rope)) * sizeof(float)),
                       .kv = call_scratch(call, (size_t)(p.rank_kv + p.rope) * sizeof(float)),
                       .turned = call_scratch(call, (size_t)p.rope * sizeof(float))};
    if (!t.x || !t.gamma_q || !t.gamma_kv || !t.cosines || !t.sines || !t.uk || !t.latent || !t.heads || !t.kv || !t.turned)
        return call_no_memory();
    int result = 0;
    for (int64_t token = 0; token < p.tokens && !result; token++)
        result = one_token(call, &p, &t, token);
    return result;
}

static double prolog_operations(const struct call *call)
{
    struct prolog p = prolog_of(call);
    int64_t each = p.heads * (p.width + p.rope);
    return 2.0 * (double)p.tokens * (double)(p.hidden * (p.rank_q + p.rank_kv + p.rope) + p.rank_q * each + p.heads * p.width * p.rank_kv);
}

static uint64_t prolog_workspace(const struct call *call)
{
    (void)call;
    return 1 << 20;
}

const struct operator_implementation implementation_mla_prolog = {
    .check = check_prolog, .compute = compute_prolog, .cube_operations = prolog_operations, .workspace = prolog_workspace};
