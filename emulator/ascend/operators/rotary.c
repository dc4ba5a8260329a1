/* Rotary embedding. Products and sum in fp32, one rounding on store. Cosine and sine tables hold each angle twice (RotaryPositionEmbedding, ApplyRotaryPosEmb)
 * or once, cosines before sines (RopeWithSinCosCache). */
#include "operators/support.h"

#include <string.h>

/* y = x * cos + rotated(x) * sin over one head; interleaved rotates pairs (2i, 2i+1), else halves. */
static void rotate(const float *x, const float *cosines, const float *sines, int64_t width, bool interleaved, float *y)
{
    int64_t half = width / 2;
    for (int64_t i = 0; i < width; i++) {
        float other = interleaved ? (i % 2 ? x[i - 1] : -x[i + 1]) : i < half ? -x[i + half] : x[i - half];
        y[i] = x[i] * cosines[i] + other * sines[i];
    }
}

static int check_tables(const struct tensor *x, const struct tensor *cosines, const struct tensor *sines)
{
    int result = check_type(x, "x", "f16 bf16 f32");
    if (!result && (cosines->type != x->type || sines->type != x->type))
        result =
            fail(ACLNN_PARAM_INVALID, "x is %s, cos %s, sin %s; one type is expected", type_name(x->type), type_name(cosines->type), type_name(sines->type));
    return result ? result : check_same_shape(cosines, "cos", sines, "sin");
}
/* cos may be 1 along heads, batch or sequence as the page lists: 11SD B1SD BNSD, 1S1D BS1D BSND, S11D SB1D SBND, T1D TND (F: as large as x). Interleaved: only
 * the forms with one cos for all batches and heads, and fewer than 1,000 of these. */
static int check_rotary_form(const struct tensor *x, const struct tensor *cosines, bool interleaved)
{
    static const char *const forms[] = {"11F", "1F1", "F11", "F1F", "FF1", "FFF"}, *const packed[] = {"F1", "FF"};
    unsigned n = x->n_dims - 1;
    bool found = false;
    int64_t heads = 1;
    for (size_t i = 0; i < (n == 3 ? interleaved ? 3u : 6u : interleaved ? 1u : 2u) && !found; i++) {
        const char *form = n == 3 ? forms[i] : packed[i];
        found = true;
        heads = 1;
        for (unsigned d = 0; d < n; d++) {
            found = found && cosines->dims[d] == (form[d] == 'F' ? x->dims[d] : 1);
            heads *= form[d] == '1' ? x->dims[d] : 1;
        }
    }
    if (!found)
        return fail(ACLNN_INNER_TILING,
                    "cos and sin are none of the forms for x: (1 or B,1 or N,S,D), (1 or B,S,1 or N,D), (S,1 or B,1 or N,D), (T,1 or N,D)%s",
                    interleaved ? "; interleaved takes 11SD, 1S1D, S11D and T1D" : "");
    return interleaved && heads >= 1000 ? fail(ACLNN_INNER_TILING, "batches times heads are %lld; interleaved takes fewer than 1,000", (long long)heads) : 0;
}

static int check_rotary(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *cosines = call_tensor(call, "cos"), *out = call_tensor(call, "out");
    int64_t mode = call_integer(call, "mode"), width = x->n_dims ? x->dims[x->n_dims - 1] : 0;
    int result = check_tables(x, cosines, call_tensor(call, "sin"));
    if (!result)
        result = check_same_shape(x, "x", out, "out");
    if (!result && (mode < 0 || mode > 1))
        result = fail(mode > 3 || mode < 0 ? ACLNN_PARAM_INVALID : ACLNN_INNER_TILING, "mode is %lld; %s takes 0 (half) and 1 (interleave)", (long long)mode,
                      emulator_settings()->soc.name);
    if (!result && (width % 2 || width >= 896 || width == 0))
        result = fail(ACLNN_INNER_TILING, "the head width %lld must be even and below 896", (long long)width);
    if (!result && (x->n_dims < 3 || x->n_dims > 4 || cosines->n_dims != x->n_dims || cosines->dims[x->n_dims - 1] != width))
        result = fail(ACLNN_INNER_TILING, "x has %u dimensions, cos %u; 3 or 4 of both and one width are expected", x->n_dims, cosines->n_dims);
    return result ? result : check_rotary_form(x, cosines, mode == 1);
}

static int compute_rotary(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x");
    int64_t count = tensor_count(x), width = tensor_end(x, 1);
    float *values = floats_load(call, x), *results = call_scratch(call, (size_t)count * sizeof *results);
    double *wide = call_scratch(call, 2 * (size_t)count * sizeof *wide);
    float *tables = call_scratch(call, 2 * (size_t)width * sizeof *tables);
    if (!values || !results || !wide || !tables)
        return call_no_memory();
    doubles_load_broadcast(call_tensor(call, "cos"), x->dims, x->n_dims, wide);
    doubles_load_broadcast(call_tensor(call, "sin"), x->dims, x->n_dims, wide + count);
    for (int64_t at = 0; at < count; at += width) {
        for (int64_t i = 0; i < width; i++) {
            tables[i] = (float)wide[at + i];
            tables[width + i] = (float)wide[count + at + i];
        }
        rotate(values + at, tables, tables + width, width, call_integer(call, "mode") == 1, results + at);
    }
    floats_store(call_tensor(call, "out"), results);
    return 0;
}

const struct operator_implementation implementation_rotary = {.check = check_rotary, .compute = compute_rotary};

/* ---- InterleaveRope: pairs are taken apart (even elements, then odd ones), then halves rotated ---- */
static int check_interleave(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *cosines = call_tensor(call, "cos"), *out = call_tensor(call, "out");
    int result = check_type(x, "x", "f16 bf16");
    if (!result)
        result = check_tables(x, cosines, call_tensor(call, "sin"));
    if (!result && out->type != x->type)
        result = fail(ACLNN_PARAM_INVALID, "x is %s, out is %s", type_name(x->type), type_name(out->type));
    if (!result)
        result = check_same_shape(x, "x", out, "out");
    if (!result && (x->n_dims != 4 || x->dims[3] != 64 || cosines->n_dims != 4 || cosines->dims[0] != x->dims[0] || cosines->dims[1] != 1 ||
                    (cosines->dims[2] != 1 && cosines->dims[2] != x->dims[2]) || cosines->dims[3] != 64))
        result = fail(ACLNN_INNER_TILING, "x (B,N,S,64) with cos and sin (B,1,S or 1,64) are expected");
    if (!result)
        result = check_contiguous(x, "x");
    if (!result)
        result = check_contiguous(cosines, "cos");
    return result ? result : check_contiguous(out, "out");
}

static int compute_interleave(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *table = call_tensor(call, "cos");
    int64_t batches = x->dims[0], heads = x->dims[1], length = x->dims[2], width = 64;
    float *values = floats_load(call, x), *cosines = floats_load(call, table), *sines = floats_load(call, call_tensor(call, "sin"));
    float *results = call_scratch(call, (size_t)tensor_count(x) * sizeof *results), apart[64];
    if (!values || !cosines || !sines || !results)
        return call_no_memory();
    for (int64_t row = 0; row < batches * heads * length; row++) {
        int64_t at = (row / (heads * length) * table->dims[2] + (table->dims[2] == 1 ? 0 : row % length)) * width;
        for (int64_t i = 0; i < width; i++)
            apart[i] = values[row * width + (i < width / 2 ? 2 * i : 2 * i - width + 1)];
        rotate(apart, cosines + at, sines + at, width, false, results + row * width);
    }
    floats_store(call_tensor(call, "out"), results);
    return 0;
}

const struct operator_implementation implementation_interleave_rope = {.check = check_interleave, .compute = compute_interleave};

/* (B,S,N,D) or (T,N,D): tokens, heads, width. */
static bool read_layout(const struct tensor *tensor, int64_t layout, int64_t *tokens, int64_t *heads, int64_t *width)
{
    if (tensor->n_dims != (layout == 4 ? 3 : 4))
        return false;
    *width = tensor_end(tensor, 1);
    *heads = tensor_end(tensor, 2);
    *tokens = layout == 4 ? tensor->dims[0] : tensor->dims[0] * tensor->dims[1];
    return true;
}

static int check_working_set(const struct tensor *query, int64_t heads, int64_t width)
{
    int64_t size = (int64_t)type_size(query->type), table = query->type == ACL_BF16 ? 4 : size;
    int64_t bytes = heads * width * table * 5 + width * size * 4 + (query->type == ACL_BF16 ? width * 8 : 0);
    return bytes <= 192 * 1024 ? 0
                               : fail(ACLNN_INNER_TILING, "%lld heads of %lld need %lld bytes of the unified buffer; it has %d", (long long)heads,
                                      (long long)width, (long long)bytes, 192 * 1024);
}

static int check_apply_rotary(struct call *call)
{
    const struct tensor *query = call_tensor(call, "queryRef"), *key = call_tensor(call, "keyRef"), *cosines = call_tensor(call, "cos");
    int64_t layout = call_integer(call, "layout"), tokens, heads, width, key_tokens, key_heads, key_width, table_tokens, one, table_width;
    const char *mode = call->row->detail == 2 ? call_text(call, "rotaryMode") : "half";
    int result = check_tables(query, cosines, call_tensor(call, "sin"));
    if (!result && key->type != query->type)
        result = fail(ACLNN_PARAM_INVALID, "query is %s, key is %s", type_name(query->type), type_name(key->type));
    if (!result && ((layout != 1 && layout != 4) || strcmp(mode, "half")))
        result = fail(ACLNN_PARAM_INVALID, "layout %lld with rotaryMode \"%s\"; %s takes layouts 1 (BSND) and 4 (TND) with \"half\"", (long long)layout, mode,
                      emulator_settings()->soc.name);
    if (result)
        return result;
    if (!read_layout(query, layout, &tokens, &heads, &width) || !read_layout(key, layout, &key_tokens, &key_heads, &key_width) ||
        !read_layout(cosines, layout, &table_tokens, &one, &table_width))
        return fail(ACLNN_PARAM_INVALID, "layout %lld needs %d dimensions of query, key, cos and sin", (long long)layout, layout == 4 ? 3 : 4);
    if (tokens != key_tokens || tokens != table_tokens || one != 1 || key_width != width || table_width != width)
        return fail(ACLNN_INNER_TILING, "query, key and cos disagree in tokens or width, or cos has more than one head");
    if (width != 64 && width != 128)
        return fail(ACLNN_INNER_TILING, "the head width is %lld; 64 or 128 is expected", (long long)width);
    result = check_contiguous(query, "queryRef");
    if (!result)
        result = check_contiguous(key, "keyRef");
    return result ? result : check_working_set(query, heads + key_heads, width);
}

static int compute_apply_rotary(struct call *call)
{
    const char *const names[2] = {"queryRef", "keyRef"};
    float *cosines = floats_load(call, call_tensor(call, "cos")), *sines = floats_load(call, call_tensor(call, "sin"));
    if (!cosines || !sines)
        return call_no_memory();
    for (int which = 0; which < 2; which++) {
        const struct tensor *tensor = call_tensor(call, names[which]);
        int64_t tokens = 0, heads = 0, width = 0;
        read_layout(tensor, call_integer(call, "layout"), &tokens, &heads, &width);
        float *values = floats_load(call, tensor), *results = call_scratch(call, (size_t)tensor_count(tensor) * sizeof *results);
        if (!values || !results)
            return call_no_memory();
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t h = 0; h < heads; h++)
                rotate(values + (t * heads + h) * width, cosines + t * width, sines + t * width, width, false, results + (t * heads + h) * width);
        floats_store(tensor, results);
    }
    return 0;
}

const struct operator_implementation implementation_apply_rotary = {.check = check_apply_rotary, .compute = compute_apply_rotary};

static int check_rope_cache(struct call *call)
{
    const struct tensor *positions = call_tensor(call, "positions"), *query = call_tensor(call, "queryIn"), *key = call_tensor(call, "keyIn");
    const struct tensor *cache = call_tensor(call, "cosSinCache");
    int64_t head = call_integer(call, "headSize"), unit = query->type == ACL_FLOAT ? 16 : 32;
    int result = check_type(query, "queryIn", "f16 bf16 f32");
    if (!result)
        result = check_type(positions, "positions", "i64");
    if (!result && (key->type != query->type || cache->type != query->type))
        result = fail(ACLNN_PARAM_INVALID, "queryIn, keyIn and cosSinCache must have one type");
    if (!result && call_value(call, "mropeSection")->present)
        result = fail(ACLNN_PARAM_INVALID, "the emulator does not have mrope: pass NULL as mropeSection");
    if (!result && (positions->n_dims != 1 || query->n_dims != 2 || key->n_dims != 2 || cache->n_dims != 2 || query->dims[0] != positions->dims[0] ||
                    key->dims[0] != positions->dims[0]))
        result = fail(ACLNN_INNER_TILING, "positions (T), queryIn (T, N*headSize), keyIn (T, N*headSize) and cosSinCache (positions, rotary) are expected");
    if (!result && (head <= 0 || head % unit || cache->dims[1] % unit || cache->dims[1] > head || query->dims[1] % head || key->dims[1] % head))
        result = fail(ACLNN_INNER_TILING, "headSize %lld and the cache's width %lld must be multiples of %lld, the width at most headSize", (long long)head,
                      (long long)cache->dims[1], (long long)unit);
    return result;
}

static int rotate_rows(struct call *call, const struct tensor *from, const struct tensor *to, const float *cache)
{
    const struct tensor *positions = call_tensor(call, "positions"), *shape = call_tensor(call, "cosSinCache");
    int64_t rotary = shape->dims[1], head = call_integer(call, "headSize"), tokens = from->dims[0], heads = from->dims[1] / head;
    bool interleaved = !call_integer(call, "isNeoxStyle");
    float *values = floats_load(call, from), *results = call_scratch(call, (size_t)tensor_count(from) * sizeof *results);
    float *tables = call_scratch(call, 2 * (size_t)rotary * sizeof *tables);
    if (!values || !results || !tables)
        return call_no_memory();
    memcpy(results, values, (size_t)tensor_count(from) * sizeof *results);
    for (int64_t t = 0; t < tokens; t++) {
        int64_t position = (int64_t)element_load(positions, element_at(positions, t));
        if (position < 0 || position >= shape->dims[0])
            return fail(RT_AICORE_EXCEPTION, "position %lld of token %lld lies outside the cache of %lld", (long long)position, (long long)t,
                        (long long)shape->dims[0]);
        for (int64_t i = 0; i < rotary; i++) {
            int64_t angle = interleaved ? i / 2 : i % (rotary / 2);
            tables[i] = cache[position * rotary + angle];
            tables[rotary + i] = cache[position * rotary + rotary / 2 + angle];
        }
        for (int64_t h = 0; h < heads; h++)
            rotate(values + (t * heads + h) * head, tables, tables + rotary, rotary, interleaved, results + (t * heads + h) * head);
    }
    floats_store(to, results);
    return 0;
}

static int compute_rope_cache(struct call *call)
{
    float *cache = floats_load(call, call_tensor(call, "cosSinCache"));
    if (!cache)
        return call_no_memory();
    int result = rotate_rows(call, call_tensor(call, "queryIn"), call_tensor(call, "queryOut"), cache);
    return result ? result : rotate_rows(call, call_tensor(call, "keyIn"), call_tensor(call, "keyOut"), cache);
}

const struct operator_implementation implementation_rope_cache = {.check = check_rope_cache, .compute = compute_rope_cache};
