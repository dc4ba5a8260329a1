/* FusedInferAttentionScore: O = softmax(scale * Q K^T [+ pse] [masked]) V with grouped heads. Scores and softmax in fp32, probabilities rounded to the
 * input type before the second product, sums in fp32, one rounding at the end. The lengths of queries and keys are HOST arrays: they were copied in
 * phase one, so a captured call keeps the lengths it was captured with. Keys are taken in spans whose length depends on the batch and the longest
 * sequence (unless determinism is asked for), as the chip splits long sequences over its cores; a span's result is rescaled into the running one. */
#include "operators/attention.h"

#include <math.h>
#include <string.h>

/* Where head h of a token lies, in elements; width: of a head. */
static int64_t token_element(const struct tensor *t, const char *axes, int64_t width, int64_t batch, int64_t token, int64_t head)
{
    int64_t along = attention_stride(t, axes, 'S') + attention_stride(t, axes, 'T'); /* one of them is there */
    return t->offset + batch * attention_stride(t, axes, 'B') + token * along +
           head * (attention_stride(t, axes, 'N') + width * attention_stride(t, axes, 'H'));
}

struct place { /* of one key: in its sequence, and in the paged cache */
    int64_t batch, position, head, block, offset;
};

/* int8 to floating, rounded to the query's type as the cube unit takes it. */
static void widen(const struct attention *a, const struct antiquant *q, const struct place *p, int64_t width, float *row)
{
    const struct tensor *s = q->scale;
    int64_t last = s->n_dims ? s->dims[s->n_dims - 1] : 1;
    const int64_t first[] = {p->head * width,
                             p->batch * last + p->position,
                             p->head,
                             (p->batch * a->kv_heads + p->head) * last + p->position,
                             p->block * a->block_size + p->offset,
                             (p->block * a->kv_heads + p->head) * a->block_size + p->offset};
    for (int64_t d = 0; d < width; d++) {
        int64_t at = q->mode == 0 ? (tensor_count(s) == 1 ? 0 : first[0] + d) : first[q->mode];
        float offset = q->offset ? (float)element_load(q->offset, element_at(q->offset, at)) : 0;
        row[d] = round_to_type(a->query->type, (row[d] + offset) * (float)element_load(s, element_at(s, at)));
    }
}

/* Key (or value, or key rope) `position` of a head as fp32. A block number outside the cache is reported: the chip would read elsewhere. */
static int load_row(const struct attention *a, const struct tensor *t, int64_t width, const struct sequence *s, struct place *p, float *to)
{
    int64_t position = p->position, head = p->head;
    size_t size = type_size(t->type);
    if (!a->table) {
        int64_t batch = a->keys->count > 1 ? 0 : s->batch;
        int64_t element = token_element(t, a->in, width, a->packed ? 0 : batch, s->first_key + position, head);
        floats_from(t->type, t->data + (size_t)element * size, width, to);
        return 0;
    }
    int64_t index = position / a->block_size, offset = position % a->block_size;
    int64_t block = (int64_t)element_load(a->table, element_at(a->table, s->batch * a->max_blocks + index));
    if (block < 0 || block >= t->dims[0])
        return fail(RT_AICORE_EXCEPTION, "block table entry %lld of batch %lld is %lld; the cache has %lld blocks", (long long)index, (long long)s->batch,
                    (long long)block, (long long)t->dims[0]);
    int64_t element = t->offset + block * t->strides[0];
    p->block = block;
    p->offset = offset;
    if (a->cache == CACHE_NZ) {
        int64_t run = t->dims[4];
        for (int64_t part = 0; part * run < width; part++) {
            int64_t at = element + head * t->strides[1] + part * t->strides[2] + offset * t->strides[3];
            floats_from(t->type, t->data + (size_t)at * size, run, to + part * run);
        }
        return 0;
    }
    element += a->cache == CACHE_BLOCK_ND ? head * t->strides[1] + offset * t->strides[2] : offset * t->strides[1] + head * width * t->strides[2];
    floats_from(t->type, t->data + (size_t)element * size, width, to);
    return 0;
}

/* What the fixed triangle says about a key this far behind (<= 0) or ahead (> 0) of the diagonal. Its contents count: a zeroed one hides nothing. */
static bool triangle_hides(const struct tensor *triangle, int64_t ahead, int64_t query)
{
    int64_t side = tensor_end(triangle, 1), row = query % side, column = row + ahead;
    if (ahead <= -side || ahead >= side)
        return ahead > 0;
    if (column < 0)
        row -= column, column = 0;
    if (column >= side)
        row -= column - (side - 1), column = side - 1;
    return triangle->data[triangle->offset + row * side + column] != 0;
}

static bool full_mask_hides(const struct attention *a, const struct sequence *s, int64_t query, int64_t key)
{
    const struct tensor *m = a->mask;
    unsigned n = m->n_dims;
    int64_t element = m->offset + key * m->strides[n - 1];
    if (a->decodes)
        return m->data[element + s->batch * m->strides[0]] != 0;
    element += query * m->strides[n - 2];
    if (n > 2 && m->dims[0] > 1)
        element += s->batch * m->strides[0];
    return m->data[element] != 0;
}

static bool is_masked(const struct attention *a, const struct sequence *s, int64_t query, int64_t key)
{
    int64_t shift = s->keys - s->queries;
    if (!a->mask)
        return false;
    if (a->decodes || a->sparse == 1)
        return full_mask_hides(a, s, query, key);
    switch (a->sparse) {
    case 0: return key > query + a->after || key < query - a->before || full_mask_hides(a, s, query, key);
    case 2: return triangle_hides(a->mask, key - query, query);
    case 3: return triangle_hides(a->mask, key - query - shift, query);
    default: return triangle_hides(a->mask, key - query - shift - a->after, query) || triangle_hides(a->mask, query + shift - a->before - key, query);
    }
}

static float bias_at(const struct attention *a, const struct sequence *s, int64_t head, int64_t query, int64_t key)
{
    const struct tensor *b = a->bias;
    return (float)element_load(b, b->offset + (b->dims[0] > 1 ? s->batch * b->strides[0] : 0) + head * b->strides[1] + query * b->strides[2] +
                                      key * b->strides[3]);
}

/* The keys (with their rope part behind) and values of one head of one sequence, as fp32. */
static int load_head(const struct attention *a, const struct sequence *s, int64_t head, float *keys, float *values)
{
    size_t which = a->keys->count > 1 ? (size_t)s->batch : 0;
    int64_t stride = a->width + a->rope_width;
    int result = 0;
    for (int64_t n = 0; n < s->keys && !result; n++) {
        struct place p = {.batch = s->batch, .position = n, .head = head};
        float *key = keys + n * stride, *value = values + n * a->value_width;
        result = load_row(a, &a->keys->tensors[which], a->width, s, &p, key);
        if (!result && a->key_quant.scale)
            widen(a, &a->key_quant, &p, a->width, key);
        if (!result && a->key_rope)
            result = load_row(a, a->key_rope, a->rope_width, s, &p, key + a->width);
        if (!result)
            result = load_row(a, &a->values->tensors[which], a->value_width, s, &p, value);
        if (!result && a->value_quant.scale)
            widen(a, &a->value_quant, &p, a->value_width, value);
    }
    return result;
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

/* A row that attends to nothing: zeros, where the operator sees it beforehand or is asked to correct it (bit 1 of innerPrecise); else the mask only made all
 * scores equally low, and the row is the mean of the values. */
static void fill_hidden_row(const struct attention *a, const struct sequence *s, struct row_state *row, const float *values)
{
    if (!s->keys || a->precise & 2 || a->sparse >= 2)
        return;
    for (int64_t p = 0; p < s->keys; p++)
        for (int64_t d = 0; d < a->value_width; d++)
            row->result[d] += values[p * a->value_width + d];
    row->sum = (float)s->keys;
}

static void store_row(const struct attention *a, const struct sequence *s, int64_t head, int64_t query, const struct row_state *row)
{
    int64_t to = token_element(a->out, a->result, a->value_width, s->batch, s->first_query + query, head);
    for (int64_t d = 0; d < a->value_width; d++)
        element_store(a->out, to + d, row->sum > 0 ? (double)(row->result[d] / row->sum) : 0);
    if (a->lse) {
        float lse = row->sum > 0 && row->largest > -INFINITY ? row->largest + logf(row->sum) : INFINITY;
        int64_t rows = a->packed ? (s->first_query + query) * a->heads + head : (s->batch * a->heads + head) * a->query_length + query;
        element_store(a->lse, element_at(a->lse, rows), (double)lse);
    }
}

static void attend_row(const struct attention *a, const struct sequence *s, int64_t head, int64_t query, const struct work *w)
{
    struct row_state row = {-INFINITY, 0, w->result};
    bool fast = a->precise & 1 && a->query->type == ACL_FLOAT16 && !a->bias; /* fp16 scores */
    int64_t width = a->width + a->rope_width;
    memset(w->result, 0, (size_t)a->value_width * sizeof *w->result);
    for (int64_t start = 0; start < s->keys; start += w->span) {
        int64_t count = s->keys - start < w->span ? s->keys - start : w->span;
        for (int64_t i = 0; i < count; i++) {
            bool masked = is_masked(a, s, query, start + i);
            float score = masked ? 0 : dot(w->query, w->keys + (start + i) * width, width, 0) * a->scale;
            score = fast ? round_to_type(ACL_FLOAT16, score) : score;
            w->scores[i] = masked ? -INFINITY : score + (a->bias ? bias_at(a, s, head, query, start + i) : 0);
        }
        attend_span(a, &row, w->scores, w->values + start * a->value_width, count);
    }
    if (row.largest == -INFINITY)
        fill_hidden_row(a, s, &row, w->values);
    store_row(a, s, head, query, &row);
}

static int64_t choose_span(const struct call *call, const struct attention *a, int64_t longest)
{
    if (!call->order)
        return 256;
    uint64_t hash = (call->order ^ (uint64_t)(a->batches * 31 + longest / 512)) * 0x9E3779B97F4A7C15u;
    static const int64_t spans[] = {64, 96, 128, 192, 256, 384, 512, 1024};
    return spans[hash >> 61];
}

static int attend_head(const struct attention *a, const struct sequence *s, int64_t kv, const struct work *w)
{
    int64_t group = a->heads / a->kv_heads;
    size_t size = type_size(a->query->type);
    int result = load_head(a, s, kv, w->keys, w->values);
    for (int64_t h = kv * group; h < (kv + 1) * group && !result; h++)
        for (int64_t q = 0; q < s->queries; q++) {
            int64_t from = token_element(a->query, a->in, a->width, s->batch, s->first_query + q, h);
            floats_from(a->query->type, a->query->data + (size_t)from * size, a->width, w->query);
            if (a->query_rope) {
                from = token_element(a->query_rope, a->in, a->rope_width, s->batch, s->first_query + q, h);
                floats_from(a->query->type, a->query_rope->data + (size_t)from * size, a->rope_width, w->query + a->width);
            }
            attend_row(a, s, h, q, w);
        }
    return result;
}

static int compute_attention(struct call *call)
{
    struct attention a;
    int result = attention_read(call, &a);
    int64_t longest = 1;
    if (result)
        return result;
    for (int64_t b = 0; b < a.batches; b++) {
        struct sequence s = attention_sequence(&a, b);
        longest = s.keys > longest ? s.keys : longest;
    }
    struct work w = {.span = choose_span(call, &a, longest)};
    int64_t width = a.width + a.rope_width;
    w.query = call_scratch(call, (size_t)width * sizeof *w.query);
    w.keys = call_scratch(call, (size_t)(longest * width) * sizeof *w.keys);
    w.values = call_scratch(call, (size_t)(longest * a.value_width) * sizeof *w.values);
    w.scores = call_scratch(call, (size_t)w.span * sizeof *w.scores);
    w.result = call_scratch(call, (size_t)a.value_width * sizeof *w.result);
    if (!w.query || !w.keys || !w.values || !w.scores || !w.result)
        return call_no_memory();
    for (int64_t b = 0; b < a.batches && !result; b++) {
        struct sequence s = attention_sequence(&a, b);
        for (int64_t kv = 0; kv < a.kv_heads && !result && s.queries; kv++)
            result = attend_head(&a, &s, kv, &w);
    }
    return result;
}

static double attention_operations(const struct call *call)
{
    struct attention a;
    double total = 0;
    if (attention_read(call, &a))
        return 0;
    for (int64_t b = 0; b < a.batches; b++) {
        struct sequence s = attention_sequence(&a, b);
        total += 2.0 * (double)s.queries * (double)s.keys * (double)(a.width + a.rope_width + a.value_width) * (double)a.heads;
    }
    return total;
}

static uint64_t attention_workspace(const struct call *call)
{
    (void)call;
    return 65536;
}

const struct operator_implementation implementation_attention = {
    .check = attention_check, .compute = compute_attention, .cube_operations = attention_operations, .workspace = attention_workspace};
