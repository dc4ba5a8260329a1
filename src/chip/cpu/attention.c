/* Rotation, the cache, and attention over it.
 *
 * Attention of a tile of rows of one sequence and one kv head: the tile's rows x the heads of the group are the queries, so that keys and values are read
 * once for all of them. Spans of ATTENTION_SPAN positions at absolute multiples, as program.h demands: scores, maximum, exponentials, weighted sum,
 * then the join with the spans before. */
#include <math.h>
#include <string.h>

#include "chip/cpu/plan.h"
#include "tensor/half.h"

/* ---- Rotation and writing */

static void rotate(const struct cpu_plan *plan, const struct stage_rope *rope, float *head, int32_t row)
{
    if (rope->table < 0)
        return;
    const struct rope_table *table = &plan->rope_tables[rope->table];
    const float *cosines = table->cosines + row * table->stride, *sines = table->sines + row * table->stride;
    if (rope->pairing == ROPE_HALVES) {
        plan->chip->kernels.rotate_halves(head, rope->n_pairs, cosines, sines);
        return;
    }
    for (int32_t i = 0; i < rope->n_pairs; i++) {
        float a = head[2 * i], b = head[2 * i + 1];
        head[2 * i] = a * cosines[i] - b * sines[i];
        head[2 * i + 1] = a * sines[i] + b * cosines[i];
    }
}

/* Where layer `layer` of the block that holds `position` of sequence s begins. */
static uint8_t *find_layer(const struct cpu_plan *plan, int32_t group, int32_t layer, int32_t s, int32_t position)
{
    const struct cache_group *cache = &plan->groups[group];
    const struct step_block_table *table = &plan->step->tables[group];
    int32_t block = table->blocks[(int64_t)s * table->stride + position / plan->limits.block_tokens];
    return cache->blocks + (uint64_t)block * cache->block_bytes + (uint64_t)layer * cache->layer_bytes;
}

static void store_elements(const struct cpu_plan *plan, const float *source, void *destination, int64_t n, int64_t step)
{
    if (plan->element == CACHE_F32) {
        float *to = destination;
        for (int64_t i = 0; i < n; i++)
            to[i * step] = source[i];
        return;
    }
    uint16_t *to = destination;
    if (plan->element == CACHE_F16 && step == 1) {
        plan->chip->kernels.narrow_f16(source, to, n);
        return;
    }
    uint16_t narrow[LANES];
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = n - i < LANES ? n - i : LANES;
        if (plan->element == CACHE_F16)
            plan->chip->kernels.narrow_f16(source + i, narrow, some);
        else
            for (int64_t j = 0; j < some; j++)
                narrow[j] = float_to_bf16(source[i + j]);
        for (int64_t j = 0; j < some; j++)
            to[(i + j) * step] = narrow[j];
    }
}

static void write_cache(const struct cpu_plan *plan, const struct stage_rope *rope, int32_t row, int32_t kv_head)
{
    const struct cache_group *cache = &plan->groups[rope->group];
    int32_t position = plan->step->positions[row], tokens = plan->limits.block_tokens, at = position % tokens;
    uint8_t *layer = find_layer(plan, rope->group, rope->layer, plan->sequence_of_row[row], position);
    int64_t width = tokens < LANES ? tokens : LANES; /* positions side by side in a key group */
    int64_t key = ((int64_t)kv_head * tokens + at / width * width) * cache->key_width + at % width;
    int64_t value = ((int64_t)kv_head * tokens + at) * cache->value_stride;
    store_elements(plan, buffer_row(&rope->key, row) + kv_head * cache->key_width, layer + key * plan->element_bytes, cache->key_width, width);
    store_elements(plan, buffer_row(&rope->value, row) + kv_head * cache->value_width,
                   layer + cache->key_bytes + (uint64_t)value * (uint64_t)plan->element_bytes, cache->value_width, 1);
}

static void norm_head(const struct cpu_plan *plan, const struct stage_rope *rope, const float *weight, float *head, int32_t width)
{
    if (weight)
        plan->chip->kernels.norm_rms(head, NULL, weight, width, rope->epsilon, NULL, head);
}

/* Norms, rotates and writes what belongs to one key head: its queries, its key, its value. */
static void place_head(const struct cpu_plan *plan, const struct stage_rope *rope, int32_t row, int32_t kv_head)
{
    const struct cache_group *cache = &plan->groups[rope->group];
    int32_t heads = rope->n_heads / cache->n_kv_heads;
    for (int32_t h = kv_head * heads; h < (kv_head + 1) * heads; h++) {
        float *head = buffer_row(&rope->query, row) + h * cache->key_width;
        norm_head(plan, rope, rope->query_norm, head, cache->key_width);
        rotate(plan, rope, head, row);
    }
    float *head = buffer_row(&rope->key, row) + kv_head * cache->key_width;
    norm_head(plan, rope, rope->key_norm, head, cache->key_width);
    rotate(plan, rope, head, row);
    write_cache(plan, rope, row, kv_head);
}

void cpu_run_rope(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    int32_t n_kv_heads = plan->groups[stage->rope.group].n_kv_heads, first, last;
    share_work(plan->step->n_tokens * n_kv_heads, worker, plan->n_workers, &first, &last);
    for (int32_t item = first; item < last; item++)
        place_head(plan, &stage->rope, item / n_kv_heads, item % n_kv_heads);
}

/* ---- Attention */

/* Rows of a sequence in tiles; the tile's size depends only on where it begins, but no result depends on it. */
void cpu_list_attention_tiles(struct cpu_plan *plan, const struct step *step)
{
    int32_t most = ATTENTION_QUERIES;
    for (int32_t i = 0; i < plan->n_stages; i++) {
        if (plan->stages[i].kind != STAGE_ATTENTION)
            continue;
        const struct stage_attention *attention = &plan->stages[i].attention;
        int32_t group = attention->n_heads / plan->groups[attention->group].n_kv_heads;
        if (ATTENTION_QUERIES / group < most)
            most = ATTENTION_QUERIES / group;
    }
    most = most < 1 ? 1 : most > LINEAR_TILE_ROWS ? LINEAR_TILE_ROWS : most;
    plan->n_tiles = 0;
    plan->single_rows = true;
    for (int32_t s = 0; s < step->n_sequences; s++) {
        plan->single_rows &= step->row_starts[s + 1] - step->row_starts[s] <= 1;
        for (int32_t r = step->row_starts[s]; r < step->row_starts[s + 1]; r += most) {
            int32_t left = step->row_starts[s + 1] - r;
            plan->tiles[plan->n_tiles++] = (struct attention_tile){.sequence = s, .first_row = r, .n_rows = left < most ? left : most};
        }
    }
}

struct span {
    int32_t start;  /* absolute position */
    int32_t length; /* positions of it that are in the cache */
    const void *keys[SPAN_GROUPS], *values[SPAN_GROUPS];
};

/* Blocks of fewer than 16 positions: keys and values of a span side by side, as larger blocks have them. */
static void gather_span(const struct cpu_plan *plan, const struct stage_attention *attention, int32_t sequence, int32_t kv_head, struct worker_scratch *scratch,
                        struct span *span, int32_t first)
{
    const struct cache_group *cache = &plan->groups[attention->group];
    int32_t tokens = plan->limits.block_tokens;
    size_t e = (size_t)plan->element_bytes, value_row = (size_t)cache->value_stride * e;
    for (int32_t p = first / tokens * tokens; p < span->length; p += tokens) {
        const uint8_t *layer = find_layer(plan, attention->group, attention->layer, sequence, span->start + p);
        const uint8_t *keys = layer + (size_t)(kv_head * tokens * cache->key_width) * e;
        uint8_t *to = scratch->gathered_keys + ((size_t)(p / LANES * LANES) * (size_t)cache->key_width + (size_t)(p % LANES)) * e;
        for (int32_t d = 0; d < cache->key_width; d++)
            memcpy(to + (size_t)d * LANES * e, keys + (size_t)(d * tokens) * e, (size_t)tokens * e);
        const uint8_t *values = layer + cache->key_bytes + (size_t)(kv_head * tokens) * value_row;
        memcpy(scratch->gathered_values + (size_t)p * value_row, values, (size_t)tokens * value_row);
    }
    for (int32_t g = 0; g < SPAN_GROUPS; g++) {
        span->keys[g] = scratch->gathered_keys + (size_t)(g * LANES * cache->key_width) * e;
        span->values[g] = scratch->gathered_values + (size_t)(g * LANES) * value_row;
    }
}

/* Finds the groups of [first, length) of a span; the blocks before may be gone (sliding window). */
static void find_span(const struct cpu_plan *plan, const struct stage_attention *attention, int32_t sequence, int32_t kv_head, struct worker_scratch *scratch,
                      struct span *span, int32_t first)
{
    const struct cache_group *cache = &plan->groups[attention->group];
    int32_t tokens = plan->limits.block_tokens;
    if (tokens < LANES) {
        gather_span(plan, attention, sequence, kv_head, scratch, span, first);
        return;
    }
    for (int32_t p = first / LANES * LANES; p < span->length; p += LANES) {
        int32_t position = span->start + p, at = position % tokens;
        const uint8_t *layer = find_layer(plan, attention->group, attention->layer, sequence, position);
        int64_t row = (int64_t)kv_head * tokens + at;
        span->keys[p / LANES] = layer + (uint64_t)(row * cache->key_width * plan->element_bytes);
        span->values[p / LANES] = layer + cache->key_bytes + (uint64_t)(row * cache->value_stride * plan->element_bytes);
    }
}

/* The queries of one (tile, kv head). Query i is row i / heads, head i % heads of the group. */
struct attention_item {
    const struct stage_attention *attention;
    const struct cache_group *cache;
    struct worker_scratch *scratch;
    int32_t n_queries, heads;
    int32_t first_position;
    int64_t query_stride, out_stride;
    float maximum[ATTENTION_QUERIES], sum[ATTENTION_QUERIES];
    bool begun[ATTENTION_QUERIES];
};

static void query_range(const struct attention_item *item, int32_t query, const struct span *span, int32_t *first, int32_t *last)
{
    int32_t position = item->first_position + query / item->heads;
    int32_t lowest = item->attention->window > 0 && position >= item->attention->window ? position - item->attention->window + 1 : 0;
    int32_t end = position + 1 - span->start;
    *first = lowest > span->start ? lowest - span->start : 0;
    *last = end < ATTENTION_SPAN ? end : ATTENTION_SPAN;
    if (*last < *first)
        *last = *first;
}

typedef void (*span_kernel)(const struct span_job *job, const float *in, float *out);

static void add_values(const struct cpu_plan *plan, const struct attention_item *item, const struct span *span, int32_t query, int32_t n_queries, int32_t first,
                       int32_t last)
{
    const span_kernel kernels[CACHE_ELEMENT_COUNT] = {plan->chip->kernels.values_f16, plan->chip->kernels.values_bf16, plan->chip->kernels.values_f32};
    if (first >= last)
        return;
    struct span_job job = {
        .n_queries = n_queries, .width = item->cache->value_stride, .stride = item->out_stride, .groups = span->values, .first = first, .last = last};
    kernels[plan->element](&job, item->scratch->scores + (int64_t)query * ATTENTION_SPAN, item->scratch->span_out + query * item->out_stride);
}

/* Weighted sums of all queries: positions that all see go in one reading, those before and behind by each alone, ascending all the same. */
static void sum_values(const struct cpu_plan *plan, const struct attention_item *item, const struct span *span)
{
    int32_t common_first = 0, common_last = ATTENTION_SPAN;
    memset(item->scratch->span_out, 0, (size_t)(item->n_queries * item->out_stride) * sizeof(float));
    for (int32_t q = 0; q < item->n_queries; q++) {
        int32_t first, last;
        query_range(item, q, span, &first, &last);
        common_first = first > common_first ? first : common_first;
        common_last = last < common_last ? last : common_last;
    }
    if (common_last < common_first)
        common_last = common_first;
    for (int32_t q = 0; q < item->n_queries; q++) {
        int32_t first, last;
        query_range(item, q, span, &first, &last);
        add_values(plan, item, span, q, 1, first, last < common_first ? last : common_first);
    }
    add_values(plan, item, span, 0, item->n_queries, common_first, common_last);
    for (int32_t q = 0; q < item->n_queries; q++) {
        int32_t first, last;
        query_range(item, q, span, &first, &last);
        add_values(plan, item, span, q, 1, first > common_last ? first : common_last, last);
    }
}

static void attend_span(const struct cpu_plan *plan, struct attention_item *item, const struct span *span, int32_t first)
{
    const span_kernel kernels[CACHE_ELEMENT_COUNT] = {plan->chip->kernels.scores_f16, plan->chip->kernels.scores_bf16, plan->chip->kernels.scores_f32};
    struct worker_scratch *scratch = item->scratch;
    struct span_job job = {.n_queries = item->n_queries,
                           .width = item->cache->key_width,
                           .stride = item->query_stride,
                           .groups = span->keys,
                           .first = first,
                           .last = span->length};
    kernels[plan->element](&job, scratch->queries, scratch->scores);
    float maximum[ATTENTION_QUERIES], sum[ATTENTION_QUERIES];
    for (int32_t q = 0; q < item->n_queries; q++) {
        int32_t begin, end;
        query_range(item, q, span, &begin, &end);
        if (begin < end)
            plan->chip->kernels.softmax_span(scratch->scores + (int64_t)q * ATTENTION_SPAN, begin, end, item->attention->scale, &maximum[q], &sum[q]);
    }
    sum_values(plan, item, span);
    for (int32_t q = 0; q < item->n_queries; q++) {
        int32_t begin, end;
        query_range(item, q, span, &begin, &end);
        if (begin >= end)
            continue;
        float *out = scratch->outs + q * item->out_stride, *span_out = scratch->span_out + q * item->out_stride;
        if (item->begun[q]) {
            plan->chip->kernels.join_spans(&item->maximum[q], &item->sum[q], out, maximum[q], sum[q], span_out, item->out_stride);
            continue;
        }
        memcpy(out, span_out, (size_t)item->out_stride * sizeof *out);
        item->maximum[q] = maximum[q];
        item->sum[q] = sum[q];
        item->begun[q] = true;
    }
}

/* Divides by the sums and hands the rows out: to the buffer, quantised, or both. */
static void finish_item(const struct cpu_plan *plan, struct attention_item *item, const struct attention_tile *tile, int32_t kv_head)
{
    const struct stage_attention *attention = item->attention;
    int32_t width = item->cache->value_width;
    for (int32_t q = 0; q < item->n_queries; q++) {
        float *out = item->scratch->outs + q * item->out_stride;
        plan->chip->kernels.scale_row(out, item->sum[q], item->out_stride);
        int32_t row = tile->first_row + q / item->heads, head = kv_head * item->heads + q % item->heads;
        if (attention->store)
            memcpy(buffer_row(&attention->out, row) + head * width, out, (size_t)width * sizeof *out);
        if (attention->quantize) {
            const struct quantized_shape shape = {.n_rows = plan->step->n_tokens, .n_blocks = attention->out.width / LINEAR_BLOCK};
            cpu_quantize_row(plan, &plan->produced, out, head * width / LINEAR_BLOCK, width / LINEAR_BLOCK, row, &shape);
        }
    }
}

static void attend(struct cpu_plan *plan, const struct stage_attention *attention, const struct attention_tile *tile, int32_t kv_head,
                   struct worker_scratch *scratch)
{
    const struct cache_group *cache = &plan->groups[attention->group];
    int32_t heads = attention->n_heads / cache->n_kv_heads;
    struct attention_item item = {
        .attention = attention,
        .cache = cache,
        .scratch = scratch,
        .n_queries = tile->n_rows * heads,
        .heads = heads,
        .first_position = plan->step->positions[tile->first_row],
        .query_stride = round_up_lanes(cache->key_width),
        .out_stride = cache->value_stride,
    };
    for (int32_t q = 0; q < item.n_queries; q++) {
        const float *head = buffer_row(&attention->query, tile->first_row + q / heads) + (kv_head * heads + q % heads) * cache->key_width;
        memcpy(scratch->queries + q * item.query_stride, head, (size_t)cache->key_width * sizeof(float));
    }
    int32_t length = item.first_position + tile->n_rows;
    int32_t lowest = attention->window > 0 && item.first_position >= attention->window ? item.first_position - attention->window + 1 : 0;
    for (int32_t start = lowest / ATTENTION_SPAN * ATTENTION_SPAN; start < length; start += ATTENTION_SPAN) {
        struct span span = {.start = start, .length = length - start < ATTENTION_SPAN ? length - start : ATTENTION_SPAN};
        int32_t first = lowest > start ? lowest - start : 0;
        find_span(plan, attention, tile->sequence, kv_head, scratch, &span, first);
        attend_span(plan, &item, &span, first);
    }
    finish_item(plan, &item, tile, kv_head);
}

void cpu_run_attention(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    const struct stage_attention *attention = &stage->attention;
    int32_t n_kv_heads = plan->groups[attention->group].n_kv_heads;
    int32_t n_items = plan->n_tiles * n_kv_heads;
    for (int32_t item = pool_ticket(plan->chip->pool); item < n_items; item = pool_ticket(plan->chip->pool)) {
        int32_t tile = plan->n_tiles - 1 - item / n_kv_heads; /* the longest first */
        if (attention->rope && plan->single_rows)
            place_head(plan, attention->rope, plan->tiles[tile].first_row, item % n_kv_heads);
        attend(plan, attention, &plan->tiles[tile], item % n_kv_heads, &plan->scratch[worker]);
    }
}
