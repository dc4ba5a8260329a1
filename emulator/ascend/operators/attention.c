/* FusedInferAttentionScore: O = softmax(scale * Q K^T [+ pse] [masked]) V with grouped heads. Scores and softmax in fp32, probabilities rounded to the
 * input type before the second product, sums in fp32, one rounding at the end. The lengths of queries and keys are HOST arrays: they were copied in
 * phase one, so a captured call keeps the lengths it was captured with. Keys are taken in spans whose length depends on the batch and the longest
 * sequence (unless determinism is asked for), as the chip splits long sequences over its cores; a span's result is rescaled into the running one. */
#include "operators/support.h"

#include <math.h>
#include <string.h>

enum layout { LAYOUT_BSH, LAYOUT_BSND, LAYOUT_BNSD, LAYOUT_TND, LAYOUT_COUNT };
static const char *const layout_names[LAYOUT_COUNT] = {"BSH", "BSND", "BNSD", "TND"};

struct attention {
    const struct tensor *query, *key, *value, *mask, *bias, *table, *out, *lse;
    const struct value *query_lengths, *key_lengths, *keys, *values;
    enum layout layout;
    int64_t batches, heads, kv_heads, width, value_width, query_length, block_size, sparse, max_blocks;
    bool paged, cache_by_head; /* cache (blocks, N, block size, D) rather than (blocks, block size, N * D) */
};

/* Where head h of query token s of a batch lies, in elements. */
static int64_t token_element(const struct attention *a, const struct tensor *t, int64_t heads, int64_t width, int64_t batch, int64_t token, int64_t head)
{
    (void)heads;
    switch (a->layout) {
    case LAYOUT_BSH: return t->offset + batch * t->strides[0] + token * t->strides[1] + head * width * t->strides[2];
    case LAYOUT_BSND: return t->offset + batch * t->strides[0] + token * t->strides[1] + head * t->strides[2];
    case LAYOUT_BNSD: return t->offset + batch * t->strides[0] + head * t->strides[1] + token * t->strides[2];
    default: return t->offset + token * t->strides[0] + head * t->strides[1];
    }
}

static int read_shape(struct attention *a)
{
    const struct tensor *q = a->query;
    unsigned expected = a->layout == LAYOUT_BSH || a->layout == LAYOUT_TND ? 3 : 4;
    if (q->n_dims != expected || a->out->n_dims != expected)
        return fail(ACLNN_INNER_TILING, "inputLayout %s needs %u dimensions of query and attentionOut, found %u and %u", layout_names[a->layout], expected,
                    q->n_dims, a->out->n_dims);
    switch (a->layout) {
    case LAYOUT_BSH:
        a->batches = q->dims[0];
        a->query_length = q->dims[1];
        a->width = q->dims[2] / a->heads;
        return q->dims[2] % a->heads ? fail(ACLNN_INNER_TILING, "H %lld is no multiple of numHeads %lld", (long long)q->dims[2], (long long)a->heads) : 0;
    case LAYOUT_BSND:
        a->batches = q->dims[0];
        a->query_length = q->dims[1];
        a->width = q->dims[3];
        return q->dims[2] == a->heads ? 0 : fail(ACLNN_INNER_TILING, "query has %lld heads, numHeads is %lld", (long long)q->dims[2], (long long)a->heads);
    case LAYOUT_BNSD:
        a->batches = q->dims[0];
        a->query_length = q->dims[2];
        a->width = q->dims[3];
        return q->dims[1] == a->heads ? 0 : fail(ACLNN_INNER_TILING, "query has %lld heads, numHeads is %lld", (long long)q->dims[1], (long long)a->heads);
    default:
        a->batches = a->query_lengths ? (int64_t)a->query_lengths->count : 0;
        a->query_length = 0;
        a->width = q->dims[2];
        if (!a->batches)
            return fail(ACLNN_INNER_TILING, "layout TND needs actualSeqLengths (cumulative)");
        return q->dims[1] == a->heads ? 0 : fail(ACLNN_INNER_TILING, "query has %lld heads, numHeads is %lld", (long long)q->dims[1], (long long)a->heads);
    }
}

static const struct value *lengths_of(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    return value && value->present && value->count ? value : NULL;
}

static int read_cache_shape(struct attention *a)
{
    const struct tensor *k = a->key;
    if (a->table->n_dims != 2 || a->table->type != ACL_INT32)
        return fail(ACLNN_INNER_TILING, "blockTable must be 2-D (batch, blocks) of i32, found %u dimensions of %s", a->table->n_dims,
                    type_name(a->table->type));
    if (a->block_size <= 0 || a->block_size % 16 || a->block_size > (a->layout == LAYOUT_TND ? 1024 : 512))
        return fail(ACLNN_INNER_TILING, "blockSize is %lld; a multiple of 16 up to %d is expected", (long long)a->block_size,
                    a->layout == LAYOUT_TND ? 1024 : 512);
    a->max_blocks = a->table->dims[1];
    a->cache_by_head = k->n_dims == 4;
    int64_t block = a->cache_by_head ? k->dims[2] : k->n_dims == 3 ? k->dims[1] : -1;
    if (block != a->block_size || a->keys->count != 1 || a->values->count != 1 || a->value->n_dims != k->n_dims)
        return fail(ACLNN_INNER_TILING,
                    "a paged cache is one tensor (blocks, blockSize, N*D) or (blocks, N, blockSize, D); blockSize is %lld, the tensor's %lld",
                    (long long)a->block_size, (long long)block);
    if (!a->cache_by_head && a->kv_heads * a->width > 65535)
        return fail(ACLNN_INNER_TILING, "N*D of the cache is %lld, above 65,535", (long long)(a->kv_heads * a->width));
    int64_t key_width = a->cache_by_head ? k->dims[3] : k->dims[2] / a->kv_heads;
    a->value_width = a->cache_by_head ? a->value->dims[3] : a->value->dims[2] / a->kv_heads;
    if (key_width != a->width || (a->cache_by_head && k->dims[1] != a->kv_heads) || a->table->dims[0] < a->batches)
        return fail(ACLNN_INNER_TILING, "the cache's heads or width (%lld) do not fit the query's (%lld), or blockTable has fewer rows than the batch %lld",
                    (long long)key_width, (long long)a->width, (long long)a->batches);
    return a->key_lengths ? 0 : fail(ACLNN_INNER_TILING, "actualSeqLengthsKv is mandatory with a block table");
}

static int read_plain_kv(struct attention *a)
{
    const struct tensor *k = a->key;
    if (k->n_dims != a->query->n_dims || a->value->n_dims != k->n_dims)
        return fail(ACLNN_INNER_TILING, "key and value must have the query's %u dimensions", a->query->n_dims);
    if (a->keys->count != 1 && (a->layout == LAYOUT_TND || (int64_t)a->keys->count != a->batches || a->values->count != a->keys->count))
        return fail(ACLNN_INNER_TILING, "key holds %zu tensors; 1 or the batch %lld are expected", a->keys->count, (long long)a->batches);
    int64_t key_width = a->layout == LAYOUT_BSH ? k->dims[2] / a->kv_heads : k->dims[k->n_dims - 1];
    a->value_width = a->layout == LAYOUT_BSH ? a->value->dims[2] / a->kv_heads : a->value->dims[k->n_dims - 1];
    if (key_width != a->width)
        return fail(ACLNN_INNER_TILING, "the keys' width is %lld, the query's %lld", (long long)key_width, (long long)a->width);
    if (a->layout == LAYOUT_TND && (!a->key_lengths || (int64_t)a->key_lengths->count < a->batches))
        return fail(ACLNN_INNER_TILING, "layout TND needs actualSeqLengthsKv (cumulative)");
    return 0;
}

static int read_attention(const struct call *call, struct attention *a)
{
    const char *layout = call_text(call, "inputLayout");
    *a = (struct attention){.query = call_tensor(call, "query"),
                            .key = call_tensor(call, "key"),
                            .value = call_tensor(call, "value"),
                            .mask = call_tensor(call, "attenMaskOptional"),
                            .bias = call_tensor(call, "pseShiftOptional"),
                            .table = call_tensor(call, "blockTableOptional"),
                            .out = call_tensor(call, "attentionOut"),
                            .query_lengths = lengths_of(call, "actualSeqLengthsOptional"),
                            .key_lengths = lengths_of(call, "actualSeqLengthsKvOptional"),
                            .keys = call_value(call, "key"),
                            .values = call_value(call, "value"),
                            .heads = call_integer(call, "numHeads"),
                            .kv_heads = call_integer(call, "numKeyValueHeads"),
                            .block_size = call_integer(call, "blockSize"),
                            .sparse = call_integer(call, "sparseMode"),
                            .layout = LAYOUT_COUNT};
    a->lse = call_integer(call, "softmaxLseFlag") ? call_tensor(call, "softmaxLse") : NULL;
    a->kv_heads = a->kv_heads ? a->kv_heads : a->heads;
    a->paged = a->table != NULL;
    for (int i = 0; i < LAYOUT_COUNT; i++)
        if (!strcmp(layout, layout_names[i]))
            a->layout = (enum layout)i;
    if (a->layout == LAYOUT_COUNT)
        return fail(ACLNN_INNER_TILING, "inputLayout \"%s\" is not among those the emulator has: BSH, BSND, BNSD, TND", layout);
    if (a->heads <= 0 || a->heads > 256 || a->kv_heads < 0 || a->heads % a->kv_heads || a->heads / a->kv_heads > 64)
        return fail(ACLNN_INNER_TILING, "numHeads %lld and numKeyValueHeads %lld: up to 256 heads, a multiple of the KV heads, at most 64 times",
                    (long long)a->heads, (long long)a->kv_heads);
    int result = read_shape(a);
    if (!result)
        result = a->paged ? read_cache_shape(a) : read_plain_kv(a);
    if (!result && (a->width % 16 || a->width > 512 || a->value_width % 16 || a->value_width > 512))
        result = fail(ACLNN_INNER_TILING, "the head widths are %lld and %lld; multiples of 16 up to 512 are expected", (long long)a->width,
                      (long long)a->value_width);
    return result;
}

static int check_absent(const struct call *call)
{
    static const char *const absent[] = {"deqScale1Optional",
                                         "quantScale1Optional",
                                         "deqScale2Optional",
                                         "quantScale2Optional",
                                         "quantOffset2Optional",
                                         "antiquantScaleOptional",
                                         "antiquantOffsetOptional",
                                         "queryPaddingSizeOptional",
                                         "kvPaddingSizeOptional",
                                         "keyAntiquantScaleOptional",
                                         "keyAntiquantOffsetOptional",
                                         "valueAntiquantScaleOptional",
                                         "valueAntiquantOffsetOptional",
                                         "keySharedPrefixOptional",
                                         "valueSharedPrefixOptional",
                                         "queryRopeOptional",
                                         "keyRopeOptional",
                                         "keyRopeAntiquantScaleOptional",
                                         "dequantScaleQueryOptional",
                                         "learnableSinkOptional"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (call_tensor(call, absent[i]))
            return fail(ACLNN_PARAM_INVALID, "the emulator does not have %s in this operator: pass NULL", absent[i]);
    return 0;
}

static int check_mask(const struct attention *a)
{
    if (a->sparse < 0 || a->sparse > 4)
        return fail(ACLNN_INNER_TILING, "sparseMode is %lld; 0 to 4 is expected", (long long)a->sparse);
    if (a->mask && (a->mask->type != ACL_BOOL && a->mask->type != ACL_INT8 && a->mask->type != ACL_UINT8))
        return fail(ACLNN_PARAM_INVALID, "attenMask is %s; bool, i8 or u8 is expected", type_name(a->mask->type));
    bool decodes = a->layout != LAYOUT_TND && a->query_length == 1; /* then the mode is not looked at */
    if (a->sparse && !a->mask && !decodes)
        return fail(ACLNN_INNER_TILING, "sparseMode %lld needs attenMask", (long long)a->sparse);
    if (a->sparse >= 2 && a->mask && !decodes &&
        (a->mask->n_dims < 2 || a->mask->dims[a->mask->n_dims - 1] != 2048 || a->mask->dims[a->mask->n_dims - 2] != 2048))
        return fail(ACLNN_INNER_TILING, "sparseMode %lld needs the fixed 2048 x 2048 upper triangle as attenMask", (long long)a->sparse);
    return 0;
}

static int check_attention(struct call *call)
{
    struct attention a;
    const struct tensor *query = call_tensor(call, "query"), *key = call_tensor(call, "key"), *value = call_tensor(call, "value");
    int result = check_type(query, "query", "f16 bf16");
    if (!result && (key->type != query->type || value->type != query->type || call_tensor(call, "attentionOut")->type != query->type))
        result = fail(ACLNN_PARAM_INVALID, "query is %s, key %s, value %s: one type is expected (the emulator has no quantised KV here)",
                      type_name(query->type), type_name(key->type), type_name(value->type));
    if (!result)
        result = check_absent(call);
    if (!result)
        result = read_attention(call, &a);
    if (!result)
        result = check_mask(&a);
    if (!result && ((a.query_lengths && (int64_t)a.query_lengths->count < a.batches && a.query_lengths->count != 1) ||
                    (a.key_lengths && (int64_t)a.key_lengths->count < a.batches && a.key_lengths->count != 1)))
        result = fail(ACLNN_INNER_TILING, "a length array has neither 1 nor at least %lld (the batch) elements", (long long)a.batches);
    if (!result && a.bias && a.bias->type != query->type)
        result = fail(ACLNN_PARAM_INVALID, "pseShift is %s, query is %s", type_name(a.bias->type), type_name(query->type));
    return result;
}

static int64_t length_at(const struct value *lengths, int64_t batch)
{
    return lengths->integers[lengths->count == 1 ? 0 : (size_t)batch];
}

/* One sequence: where its queries begin and how many there are, and its keys. */
struct sequence {
    int64_t batch, first_query, queries, first_key, keys;
};

static struct sequence sequence_of(const struct attention *a, int64_t batch)
{
    struct sequence s = {.batch = batch};
    if (a->layout == LAYOUT_TND) {
        s.first_query = batch ? a->query_lengths->integers[batch - 1] : 0;
        s.queries = a->query_lengths->integers[batch] - s.first_query;
        s.first_key = batch && !a->paged ? a->key_lengths->integers[batch - 1] : 0;
        s.keys = a->key_lengths->integers[batch] - s.first_key;
        return s;
    }
    unsigned dim = a->layout == LAYOUT_BNSD ? 2 : 1;
    s.queries = a->query_lengths ? length_at(a->query_lengths, batch) : a->query_length;
    s.queries = s.queries > a->query_length ? a->query_length : s.queries;
    s.keys = a->key_lengths ? length_at(a->key_lengths, batch) : a->keys->tensors[a->keys->count > 1 ? (size_t)batch : 0].dims[dim];
    return s;
}

/* Bytes of head h of key (or value) position p. NULL: a block number outside the cache, reported. */
static const unsigned char *kv_row(const struct attention *a, const struct value *list, int64_t width, const struct sequence *s, int64_t position, int64_t head)
{
    const struct tensor *t = &list->tensors[list->count > 1 ? (size_t)s->batch : 0];
    size_t size = type_size(t->type);
    if (!a->paged) {
        int64_t batch = list->count > 1 ? 0 : s->batch;
        bool inside = a->layout == LAYOUT_TND ? s->first_key + position < t->dims[0] : position < t->dims[a->layout == LAYOUT_BNSD ? 2 : 1];
        if (!inside)
            fail(RT_AICORE_EXCEPTION, "key position %lld of batch %lld lies outside the tensor", (long long)position, (long long)s->batch);
        return inside ? t->data + (size_t)token_element(a, t, a->kv_heads, width, batch, s->first_key + position, head) * size : NULL;
    }
    int64_t index = position / a->block_size, offset = position % a->block_size;
    int64_t block = index < a->max_blocks ? (int64_t)element_load(a->table, element_at(a->table, s->batch * a->max_blocks + index)) : -1;
    if (block < 0 || block >= t->dims[0]) {
        fail(RT_AICORE_EXCEPTION, "block table entry %lld of batch %lld is %lld; the table has %lld entries, the cache %lld blocks", (long long)index,
             (long long)s->batch, (long long)block, (long long)a->max_blocks, (long long)t->dims[0]);
        return NULL;
    }
    int64_t element = t->offset + block * t->strides[0];
    element += a->cache_by_head ? head * t->strides[1] + offset * t->strides[2] : offset * t->strides[1] + head * width * t->strides[2];
    return t->data + (size_t)element * size;
}

static bool mask_says(const struct attention *a, const struct sequence *s, int64_t query, int64_t key)
{
    const struct tensor *m = a->mask;
    int64_t element = m->offset + query * m->strides[m->n_dims - 2] + key * m->strides[m->n_dims - 1];
    if (query >= m->dims[m->n_dims - 2] || key >= m->dims[m->n_dims - 1])
        return true;
    if (m->n_dims > 2 && m->dims[0] > 1)
        element += s->batch * m->strides[0];
    return m->data[element] != 0;
}

static bool is_masked(const struct call *call, const struct attention *a, const struct sequence *s, int64_t query, int64_t key)
{
    bool decodes = a->layout != LAYOUT_TND && a->query_length == 1;
    int64_t shift = s->keys - s->queries, before = call_integer(call, "preTokens"), after = call_integer(call, "nextTokens");
    if (!decodes && a->sparse == 2)
        return key > query;
    if (!decodes && a->sparse == 3)
        return key > query + shift;
    if (!decodes && a->sparse == 4)
        return key > query + shift + after || key < query + shift - before;
    if (!a->mask)
        return false;
    bool window = !decodes && a->sparse == 0 && (key > query + after || key < query - before);
    return window || mask_says(a, s, query, key);
}

static float bias_at(const struct attention *a, const struct sequence *s, int64_t head, int64_t query, int64_t key)
{
    const struct tensor *b = a->bias;
    return (float)element_load(b, b->offset + (b->dims[0] > 1 ? s->batch * b->strides[0] : 0) + head * b->strides[1] + query * b->strides[2] +
                                      key * b->strides[3]);
}

/* The keys and values of one head of one sequence, as fp32. */
static int load_head(const struct attention *a, const struct sequence *s, int64_t head, float *keys, float *values)
{
    for (int64_t p = 0; p < s->keys; p++) {
        const unsigned char *key = kv_row(a, a->keys, a->width, s, p, head), *value = key ? kv_row(a, a->values, a->value_width, s, p, head) : NULL;
        if (!value)
            return RT_AICORE_EXCEPTION;
        floats_from(a->key->type, key, a->width, keys + p * a->width);
        floats_from(a->value->type, value, a->value_width, values + p * a->value_width);
    }
    return 0;
}

struct row_state {
    float largest, sum;
    float *result; /* [value_width] */
};

static void attend_span(const struct attention *a, struct row_state *row, const float *scores, const float *values, int64_t count)
{
    float largest = row->largest;
    for (int64_t i = 0; i < count; i++)
        largest = scores[i] > largest ? scores[i] : largest;
    if (largest == -INFINITY)
        return;
    float rescale = row->largest == -INFINITY ? 0 : expf(row->largest - largest);
    row->sum *= rescale;
    for (int64_t d = 0; d < a->value_width; d++)
        row->result[d] *= rescale;
    for (int64_t i = 0; i < count; i++) {
        float weight = expf(scores[i] - largest);
        row->sum += weight;
        weight = round_to_type(a->query->type, weight);
        for (int64_t d = 0; d < a->value_width && weight != 0; d++)
            row->result[d] += weight * values[i * a->value_width + d];
    }
    row->largest = largest;
}

struct work { /* buffers of one call */
    float *query, *keys, *values, *scores, *result;
    int64_t span;
};

static void attend_row(const struct call *call, const struct attention *a, const struct sequence *s, int64_t head, int64_t query, const struct work *w)
{
    struct row_state row = {-INFINITY, 0, w->result};
    memset(w->result, 0, (size_t)a->value_width * sizeof *w->result);
    for (int64_t start = 0; start < s->keys; start += w->span) {
        int64_t count = s->keys - start < w->span ? s->keys - start : w->span;
        for (int64_t i = 0; i < count; i++) {
            bool masked = is_masked(call, a, s, query, start + i);
            float score = masked ? 0 : dot(w->query, w->keys + (start + i) * a->width, a->width, 0) * (float)call_real(call, "scaleValue");
            w->scores[i] = masked ? -INFINITY : score + (a->bias ? bias_at(a, s, head, query, start + i) : 0);
        }
        attend_span(a, &row, w->scores, w->values + start * a->value_width, count);
    }
    int64_t to = token_element(a, a->out, a->heads, a->value_width, s->batch, s->first_query + query, head);
    for (int64_t d = 0; d < a->value_width; d++)
        element_store(a->out, to + d, row.sum > 0 ? (double)(row.result[d] / row.sum) : 0);
    if (a->lse) {
        float lse = row.sum > 0 ? row.largest + logf(row.sum) : INFINITY;
        int64_t rows = a->layout == LAYOUT_TND ? (s->first_query + query) * a->heads + head : (s->batch * a->heads + head) * a->query_length + query;
        element_store(a->lse, element_at(a->lse, rows), (double)lse);
    }
}

static int64_t choose_span(const struct call *call, const struct attention *a, int64_t longest)
{
    if (!call->order)
        return 256;
    uint64_t hash = (call->order ^ (uint64_t)(a->batches * 31 + longest / 512)) * 0x9E3779B97F4A7C15u;
    static const int64_t spans[] = {64, 96, 128, 192, 256, 384, 512, 1024};
    return spans[hash >> 61];
}

static int compute_attention(struct call *call)
{
    struct attention a;
    int result = read_attention(call, &a);
    int64_t longest = 1;
    for (int64_t b = 0; b < a.batches && !result; b++) {
        struct sequence s = sequence_of(&a, b);
        longest = s.keys > longest ? s.keys : longest;
        bool inside = s.queries >= 0 && s.keys >= 0 && s.keys < 1 << 24 && (a.layout != LAYOUT_TND || s.first_query + s.queries <= a.query->dims[0]);
        if (!inside)
            result =
                fail(RT_AICORE_EXCEPTION, "batch %lld has %lld queries and %lld keys, which do not fit", (long long)b, (long long)s.queries, (long long)s.keys);
    }
    if (result)
        return result;
    struct work w = {.span = choose_span(call, &a, longest)};
    w.query = call_scratch(call, (size_t)a.width * sizeof *w.query);
    w.keys = call_scratch(call, (size_t)(longest * a.width) * sizeof *w.keys);
    w.values = call_scratch(call, (size_t)(longest * a.value_width) * sizeof *w.values);
    w.scores = call_scratch(call, (size_t)w.span * sizeof *w.scores);
    w.result = call_scratch(call, (size_t)a.value_width * sizeof *w.result);
    if (!w.query || !w.keys || !w.values || !w.scores || !w.result)
        return call_no_memory();
    size_t size = type_size(a.query->type);
    for (int64_t b = 0; b < a.batches && !result; b++) {
        struct sequence s = sequence_of(&a, b);
        for (int64_t kv = 0; kv < a.kv_heads && !result && s.queries; kv++) {
            result = load_head(&a, &s, kv, w.keys, w.values);
            for (int64_t h = kv * (a.heads / a.kv_heads); h < (kv + 1) * (a.heads / a.kv_heads) && !result; h++)
                for (int64_t q = 0; q < s.queries; q++) {
                    int64_t from = token_element(&a, a.query, a.heads, a.width, b, s.first_query + q, h);
                    floats_from(a.query->type, a.query->data + (size_t)from * size, a.width, w.query);
                    attend_row(call, &a, &s, h, q, &w);
                }
        }
    }
    return result;
}

static double attention_operations(const struct call *call)
{
    struct attention a;
    double total = 0;
    if (read_attention(call, &a))
        return 0;
    for (int64_t b = 0; b < a.batches; b++) {
        struct sequence s = sequence_of(&a, b);
        total += 2.0 * (double)s.queries * (double)s.keys * (double)(a.width + a.value_width) * (double)a.heads;
    }
    return total;
}

static uint64_t attention_workspace(const struct call *call)
{
    (void)call;
    return 65536;
}

const struct operator_implementation implementation_attention = {check_attention, compute_attention, attention_operations, attention_workspace};
