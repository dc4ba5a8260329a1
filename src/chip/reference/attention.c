/* Attention over the paged cache, and the cache itself.
 *
 * Canonical order: for each row and head, spans of ATTENTION_SPAN positions at absolute multiples of it, ascending. Within a span: scores
 * s[p] = (sum over elements, ascending, of q k[p]) * scale, their maximum m, weights e[p] = exp(s[p] - m), l = sum of e[p] and a = sum of e[p] v[p], both in
 * ascending position. Joined with what came before (M, L, A):  N = max(M, m);  L = L exp(M - N) + l exp(m - N);  A likewise;  M = N. At the end
 * out = A / L. Everything in double from the first product to that quotient, which is rounded to fp32.
 *
 * Keys and values of a span are loaded once for all rows of a sequence and all heads that share them. */
#include <math.h>
#include <string.h>

#include "chip/reference/reference.h"
#include "tensor/half.h"

/* ---- The cache. */

uint64_t reference_cache_element_bytes(enum tensor_type type)
{
    return (uint64_t)tensor_types[type].block_bytes; /* plain types: blocks of one */
}

void reference_cache_store(enum tensor_type type, const float *values, void *cached, int64_t n)
{
    uint16_t *narrow = cached;
    if (type == TENSOR_F32)
        memcpy(cached, values, (size_t)n * sizeof *values);
    else if (type == TENSOR_F16)
        for (int64_t i = 0; i < n; i++)
            narrow[i] = float_to_f16(values[i]);
    else
        for (int64_t i = 0; i < n; i++)
            narrow[i] = float_to_bf16(values[i]);
}

void reference_cache_load(enum tensor_type type, const void *cached, float *values, int64_t n)
{
    const uint16_t *narrow = cached;
    if (type == TENSOR_F32)
        memcpy(values, cached, (size_t)n * sizeof *values);
    else if (type == TENSOR_F16)
        for (int64_t i = 0; i < n; i++)
            values[i] = f16_to_float(narrow[i]);
    else
        for (int64_t i = 0; i < n; i++)
            values[i] = bf16_to_float(narrow[i]);
}

unsigned char *reference_cache_token(const struct reference_plan *plan, const struct step *step, int32_t group, int32_t layer, int32_t sequence,
                                     int32_t position)
{
    const struct reference_cache *cache = &plan->caches[group];
    const struct step_block_table *table = &step->tables[group];
    int32_t block_tokens = plan->limits.block_tokens;
    int32_t block = table->blocks[(int64_t)sequence * table->stride + position / block_tokens];
    return cache->bytes + (uint64_t)block * cache->block_bytes + (uint64_t)layer * cache->layer_bytes +
           (uint64_t)(position % block_tokens) * cache->token_bytes;
}

/* ---- One key-value head. */

/* Running state of one row and head, in scratch: maximum, sum, then [value_width] weighted values. */
enum { STATE_MAXIMUM, STATE_SUM, STATE_VALUES };

struct head {
    const struct reference_plan *plan;
    const struct step *step;
    const struct op_attention *attention;
    const struct program_cache_group *group;
    int32_t kv_head;
    int32_t n_shared; /* query heads that share this key-value head */
    int32_t sequence;
    double *keys;    /* [key_width][ATTENTION_SPAN] of the span: transposed, so that scores of many positions are summed side by side */
    double *values;  /* [ATTENTION_SPAN][value_width] */
    double *partial; /* [value_width] of one span */
    double *states;  /* [rows of the sequence][n_shared][2 + value_width] */
};

uint64_t reference_attention_scratch(const struct program *program, const struct plan_limits *limits, const struct op_attention *attention)
{
    const struct program_cache_group *group = &program->groups[attention->group];
    uint64_t key_width = (uint64_t)group->streams[CACHE_KEYS].width, value_width = (uint64_t)group->streams[CACHE_VALUES].width;
    uint64_t n_shared = (uint64_t)(attention->n_heads / group->streams[CACHE_KEYS].n_heads);
    return (key_width + value_width) * ATTENTION_SPAN + value_width + (uint64_t)limits->max_tokens * n_shared * (STATE_VALUES + value_width);
}

/* Loads positions first .. last of this head into keys and values, at their place within the span. */
static void load_span(const struct head *head, int32_t first, int32_t last)
{
    const struct program_cache_group *group = head->group;
    enum tensor_type type = head->plan->limits.cache_type;
    uint64_t element = reference_cache_element_bytes(type);
    float loaded[LIMIT_HEAD_WIDTH];
    for (int32_t position = first; position <= last; position++) {
        const unsigned char *token = reference_cache_token(head->plan, head->step, head->attention->group, head->attention->layer, head->sequence, position);
        int32_t at = position % ATTENTION_SPAN;
        reference_cache_load(type, token + (uint64_t)head->kv_head * (uint64_t)group->streams[CACHE_KEYS].width * element, loaded,
                             group->streams[CACHE_KEYS].width);
        for (int32_t i = 0; i < group->streams[CACHE_KEYS].width; i++)
            head->keys[(int64_t)i * ATTENTION_SPAN + at] = (double)loaded[i];
        token += (uint64_t)group->streams[CACHE_KEYS].n_heads * (uint64_t)group->streams[CACHE_KEYS].width * element;
        reference_cache_load(type, token + (uint64_t)head->kv_head * (uint64_t)group->streams[CACHE_VALUES].width * element, loaded,
                             group->streams[CACHE_VALUES].width);
        for (int32_t i = 0; i < group->streams[CACHE_VALUES].width; i++)
            head->values[(int64_t)at * group->streams[CACHE_VALUES].width + i] = (double)loaded[i];
    }
}

/* Scores of positions at .. end - 1 within the span, turned into exponentials; returns their maximum, *sum their sum. */
static double weigh_positions(const struct head *head, const float *query, int32_t at, int32_t end, double *weights, double *sum)
{
    for (int32_t p = at; p < end; p++)
        weights[p] = 0;
    for (int32_t i = 0; i < head->group->streams[CACHE_KEYS].width; i++) {
        const double *keys = head->keys + (int64_t)i * ATTENTION_SPAN;
        double q = (double)query[i];
        for (int32_t p = at; p < end; p++)
            weights[p] += q * keys[p];
    }
    double maximum = -INFINITY;
    for (int32_t p = at; p < end; p++) {
        weights[p] *= (double)head->attention->scale;
        maximum = weights[p] > maximum ? weights[p] : maximum;
    }
    *sum = 0;
    for (int32_t p = at; p < end; p++) {
        weights[p] = exp(weights[p] - maximum);
        *sum += weights[p];
    }
    return maximum;
}

/* Adds positions at .. end - 1 of the loaded span to the state of one row and head. */
static void add_span(const struct head *head, const float *query, int32_t at, int32_t end, double *state)
{
    int32_t width = head->group->streams[CACHE_VALUES].width;
    double weights[ATTENTION_SPAN], sum;
    double maximum = weigh_positions(head, query, at, end, weights, &sum);
    memset(head->partial, 0, (size_t)width * sizeof *head->partial);
    for (int32_t p = at; p < end; p++)
        for (int32_t i = 0; i < width; i++)
            head->partial[i] += weights[p] * head->values[(int64_t)p * width + i];

    bool is_first = state[STATE_SUM] == 0;
    double joined = is_first || maximum > state[STATE_MAXIMUM] ? maximum : state[STATE_MAXIMUM];
    double before = is_first ? 0 : exp(state[STATE_MAXIMUM] - joined), now = exp(maximum - joined);
    state[STATE_MAXIMUM] = joined;
    state[STATE_SUM] = state[STATE_SUM] * before + sum * now;
    for (int32_t i = 0; i < width; i++)
        state[STATE_VALUES + i] = state[STATE_VALUES + i] * before + head->partial[i] * now;
}

/* The first position that a row at `position` sees. */
static int32_t first_visible(const struct op_attention *attention, int32_t position)
{
    return attention->window && position >= attention->window ? position - attention->window + 1 : 0;
}

/* All rows of the sequence, all query heads of this key-value head. */
static void attend_head(const struct head *head)
{
    const struct op_attention *attention = head->attention;
    const struct step *step = head->step;
    int32_t first_row = step->row_starts[head->sequence], end_row = step->row_starts[head->sequence + 1];
    int32_t key_width = head->group->streams[CACHE_KEYS].width, width = head->group->streams[CACHE_VALUES].width;
    int64_t state_size = STATE_VALUES + width;
    memset(head->states, 0, (size_t)((end_row - first_row) * head->n_shared * state_size) * sizeof *head->states);
    int32_t last = step->positions[end_row - 1], first = first_visible(attention, step->positions[first_row]);
    for (int32_t span = first / ATTENTION_SPAN * ATTENTION_SPAN; span <= last; span += ATTENTION_SPAN) {
        int32_t span_last = last < span + ATTENTION_SPAN - 1 ? last : span + ATTENTION_SPAN - 1;
        load_span(head, first > span ? first : span, span_last);
        for (int32_t r = first_row; r < end_row; r++) {
            int32_t position = step->positions[r], visible = first_visible(attention, position);
            int32_t at = visible > span ? visible - span : 0, end = (position < span_last ? position : span_last) - span + 1;
            if (at >= end)
                continue;
            const float *query = reference_row(head->plan, attention->query, r) + (int64_t)head->kv_head * head->n_shared * key_width;
            for (int32_t h = 0; h < head->n_shared; h++)
                add_span(head, query + (int64_t)h * key_width, at, end, head->states + ((r - first_row) * head->n_shared + h) * state_size);
        }
    }
    for (int32_t r = first_row; r < end_row; r++) {
        float *out = reference_row(head->plan, attention->out, r) + (int64_t)head->kv_head * head->n_shared * width;
        for (int32_t h = 0; h < head->n_shared; h++) {
            const double *state = head->states + ((r - first_row) * head->n_shared + h) * state_size;
            for (int32_t i = 0; i < width; i++)
                out[(int64_t)h * width + i] = (float)(state[STATE_VALUES + i] / state[STATE_SUM]);
        }
    }
}

void reference_attention(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    const struct op_attention *attention = &op->attention;
    const struct program_cache_group *group = &plan->program->groups[attention->group];
    struct head head = {
        .plan = plan, .step = step, .attention = attention, .group = group, .n_shared = attention->n_heads / group->streams[CACHE_KEYS].n_heads};
    head.keys = plan->scratch;
    head.values = head.keys + (int64_t)group->streams[CACHE_KEYS].width * ATTENTION_SPAN;
    head.partial = head.values + (int64_t)group->streams[CACHE_VALUES].width * ATTENTION_SPAN;
    head.states = head.partial + group->streams[CACHE_VALUES].width;
    for (head.sequence = 0; head.sequence < step->n_sequences; head.sequence++)
        for (head.kv_head = 0; head.kv_head < group->streams[CACHE_KEYS].n_heads; head.kv_head++)
            attend_head(&head);
}
