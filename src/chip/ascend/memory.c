/* Device memory of a plan: buffers, scratch, tables, caches. README.md has a drawing. Everything is counted and taken by the same code: without a chip it
 * only counts. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "chip/ascend/plan.h"
#include "tensor/half.h"

/* Counts while there is no chip; the first failure is kept. */
struct taker {
    struct ascend_plan *plan;
    uint64_t bytes;
    int status;
    struct error *err;
};

static void take(struct taker *taker, void *place, uint64_t bytes, const char *what)
{
    void *pointer = NULL;
    taker->bytes += ascend_padded(bytes);
    if (!taker->status && taker->plan->chip && bytes)
        taker->status = ascend_memory_take(taker->plan->chip, &taker->plan->memory, bytes, &pointer, what, taker->err);
    memcpy(place, &pointer, sizeof pointer);
}

/* ---- Buffers. */

static bool flips(const struct planned_op *planned, int32_t buffer)
{
    const struct op *op = planned->op;
    switch (op->kind) {
    case OP_EMBED: return op->embed.out == buffer && (op->embed.scale < 1 || op->embed.scale > 1);
    case OP_NORM: return op->norm.x == buffer && op->norm.residual >= 0;
    case OP_ROPE_CACHE: return op->rope_cache.query == buffer || op->rope_cache.key == buffer;
    default: return false;
    }
}

static bool needs_second_place(const struct ascend_plan *plan, int32_t buffer)
{
    for (int32_t i = 0; i < plan->program->n_ops; i++)
        if (flips(&plan->ops[i], buffer))
            return true;
    return false;
}

static void take_buffers(struct taker *taker)
{
    struct ascend_plan *plan = taker->plan;
    for (int32_t b = 0; b < plan->program->n_buffers; b++) {
        struct plan_buffer *buffer = &plan->buffers[b];
        uint64_t rows = (uint64_t)(buffer->is_per_logit_row ? plan->max_logit_rows : plan->max_rows);
        uint64_t bytes = rows * (uint64_t)buffer->width * acl_type_bytes(buffer->type);
        take(taker, &buffer->places[0], bytes, plan->program->buffers[b].name);
        if (needs_second_place(plan, b))
            take(taker, &buffer->places[1], bytes, plan->program->buffers[b].name);
    }
}

struct widths {
    int64_t wide, input, query, heads, selected;
    bool has_int8, has_composed, has_top;
};

static void measure_op(const struct ascend_plan *plan, const struct planned_op *planned, struct widths *widths)
{
    const struct op *op = planned->op;
    const struct program_buffer *buffers = plan->program->buffers;
    int64_t heads = 1, width = 0;
    switch (op->kind) {
    case OP_LINEAR:
        width = buffers[op->linear.x].width;
        for (int32_t p = 0; p < planned->n_products; p++)
            if (plan->weights[planned->products[p].weight].form == FORM_INT8) {
                widths->has_int8 = true;
                widths->input = width > widths->input ? width : widths->input;
            }
        break;
    case OP_GATED_ACTIVATION:
        width = 2 * (int64_t)buffers[op->gated.out].width;
        widths->wide = width > widths->wide ? width : widths->wide;
        break;
    case OP_ROPE_CACHE:
        heads = op->rope_cache.n_heads;
        width = buffers[op->rope_cache.query].width;
        widths->query = width > widths->query ? width : widths->query;
        widths->heads = heads > widths->heads ? heads : widths->heads;
        break;
    case OP_SELECT_ROWS:
        width = buffers[op->select_rows.x].width;
        widths->selected = width > widths->selected ? width : widths->selected;
        break;
    case OP_LOGITS: widths->has_top = true; break;
    default: break;
    }
}

static void take_scratch(struct taker *taker)
{
    struct ascend_plan *plan = taker->plan;
    struct widths widths = {.heads = 1};
    for (int32_t i = 0; i < plan->program->n_ops; i++)
        measure_op(plan, &plan->ops[i], &widths);
    uint64_t rows = (uint64_t)plan->max_rows, logit_rows = (uint64_t)plan->max_logit_rows, element = acl_type_bytes(plan->type);
    uint64_t most_rows = rows > logit_rows ? rows : logit_rows;
    take(taker, &plan->tokens, rows * 4, "tokens");
    take(taker, &plan->rstd, most_rows * (uint64_t)widths.heads * 4, "norms");
    take(taker, &plan->wide, most_rows * (uint64_t)widths.wide * element, "gate and up");
    take(taker, &plan->selected, logit_rows * (uint64_t)widths.selected * element, "selected rows");
    take(taker, &plan->quantised, widths.has_int8 ? most_rows * (uint64_t)widths.input : 0, "quantised rows");
    take(taker, &plan->row_scales, widths.has_int8 ? most_rows * 4 : 0, "scales of rows");
    for (int32_t i = 0; i < plan->n_ropes; i++)
        widths.has_composed = widths.has_composed || plan->ropes[i].form == ROPE_COMPOSED;
    for (int32_t i = 0; i < 3; i++)
        take(taker, &plan->rope_scratch[i], widths.has_composed ? rows * (uint64_t)widths.query * element : 0, "rotation");
    take(taker, &plan->logits, widths.has_top ? logit_rows * (uint64_t)plan->program->n_vocabulary * 4 : 0, "logits");
    take(taker, &plan->top_values, widths.has_top ? logit_rows * TOP_CANDIDATES * 4 : 0, "candidates");
    take(taker, &plan->top_ids, widths.has_top ? logit_rows * TOP_CANDIDATES * 8 : 0, "candidates");
}

static void take_attention(struct taker *taker)
{
    struct ascend_plan *plan = taker->plan;
    uint64_t keys = (uint64_t)plan->max_table_blocks * (uint64_t)plan->limits.block_tokens;
    uint64_t elements = (uint64_t)plan->row_sequences * keys;
    if (!plan->n_attentions)
        return;
    take(taker, &plan->key_positions, keys * 4, "positions of keys");
    take(taker, &plan->distances[0], elements * 4, "masks");
    bool has_window = plan->n_windows > 1 || plan->windows[0] != 0;
    take(taker, &plan->distances[1], has_window ? elements * 4 : 0, "masks");
    take(taker, &plan->distances[2], has_window ? elements * 4 : 0, "masks");
    for (int32_t i = 0; i < plan->n_windows; i++)
        take(taker, &plan->masks[i], elements, "masks");
    take(taker, &plan->triangle, (uint64_t)ACL_CAUSAL_MASK * ACL_CAUSAL_MASK, "the causal mask");
}

static void take_ropes(struct taker *taker)
{
    struct ascend_plan *plan = taker->plan;
    uint64_t context = (uint64_t)plan->limits.max_context, rows = (uint64_t)plan->max_rows, element = acl_type_bytes(plan->type);
    for (int32_t i = 0; i < plan->n_ropes; i++) {
        struct rope_table *rope = &plan->ropes[i];
        uint64_t width = (uint64_t)(rope->form == ROPE_BY_POSITION ? rope->rotary_width : rope->head_width);
        take(taker, &rope->cosines, context * width * element, "cosines and sines");
        if (rope->form == ROPE_BY_POSITION)
            continue;
        take(taker, &rope->sines, context * width * element, "cosines and sines");
        take(taker, &rope->row_cosines, rows * width * element, "cosines and sines");
        take(taker, &rope->row_sines, rows * width * element, "cosines and sines");
        if (rope->form == ROPE_COMPOSED)
            take(taker, &rope->partners, width * width * element, "partners of a rotation");
    }
}

static uint64_t measure_inputs(const struct ascend_plan *plan)
{
    uint64_t rows = (uint64_t)plan->row_sequences, sequences = (uint64_t)plan->limits.max_sequences, groups = (uint64_t)plan->program->n_groups;
    uint64_t tables = (rows > sequences ? rows : sequences) * ((uint64_t)plan->max_table_blocks * 4 + 64);
    return ascend_input_layout(plan, plan->max_rows, plan->max_logit_rows).end + groups * tables + ((uint64_t)plan->max_rows + sequences * 16) * 4 + 256;
}

static void take_pool(struct taker *taker)
{
    struct ascend_plan *plan = taker->plan;
    plan->inputs_at = ((uint64_t)plan->max_logit_rows * 4 + 63) / 64 * 64;
    plan->inputs_bytes = measure_inputs(plan);
    take(taker, &plan->pool, plan->inputs_at + plan->inputs_bytes, "a step's inputs");
}

static void take_all(struct taker *taker)
{
    take_buffers(taker);
    take_scratch(taker);
    take_attention(taker);
    take_ropes(taker);
    take_pool(taker);
}

uint64_t ascend_buffer_bytes(struct ascend_plan *plan)
{
    struct taker taker = {.plan = plan};
    take_all(&taker);
    return taker.bytes;
}

/* ---- Constants. */

static uint16_t narrow(const struct ascend_plan *plan, double value)
{
    return plan->type == ACL_F16 ? float_to_f16((float)value) : float_to_bf16((float)value);
}

/* Row `position` of the cosines (which = 0) or sines of whole heads: each angle at both elements of its pair, 1 or 0 beyond the rotated part. */
static void fill_head(const struct ascend_plan *plan, const struct rope_table *rope, int32_t position, int which, uint16_t *row)
{
    int32_t half = rope->rotary_width / 2;
    for (int32_t e = 0; e < rope->head_width; e++)
        row[e] = narrow(plan, which ? 0 : 1);
    for (int32_t i = 0; i < half; i++) {
        double angle = position * rope->frequencies[i], value = (double)(float)(which ? sin(angle) : cos(angle)) * (double)rope->magnitude;
        int32_t first = rope->pairing == ROPE_HALVES ? i : 2 * i, second = rope->pairing == ROPE_HALVES ? i + half : 2 * i + 1;
        row[first] = row[second] = narrow(plan, value);
    }
}

static void fill_by_position(const struct ascend_plan *plan, const struct rope_table *rope, int32_t position, uint16_t *row)
{
    int32_t half = rope->rotary_width / 2;
    for (int32_t i = 0; i < half; i++) {
        double angle = position * rope->frequencies[i];
        row[i] = narrow(plan, (double)(float)cos(angle) * (double)rope->magnitude);
        row[half + i] = narrow(plan, (double)(float)sin(angle) * (double)rope->magnitude);
    }
}

static int upload_table(struct ascend_plan *plan, const struct rope_table *rope, void *device, int which, struct error *err)
{
    int32_t width = rope->form == ROPE_BY_POSITION ? rope->rotary_width : rope->head_width, rows = 4096;
    uint16_t *values = mem_alloc_array((size_t)rows * (size_t)width, sizeof *values);
    int status = values ? 0 : error_no_memory(err, "making the table of a rotation");
    for (int32_t first = 0; !status && first < plan->limits.max_context; first += rows) {
        int32_t n = plan->limits.max_context - first < rows ? plan->limits.max_context - first : rows;
        for (int32_t r = 0; r < n; r++)
            if (rope->form == ROPE_BY_POSITION)
                fill_by_position(plan, rope, first + r, values + (int64_t)r * width);
            else
                fill_head(plan, rope, first + r, which, values + (int64_t)r * width);
        status = ascend_upload(plan->chip, (uint16_t *)device + (int64_t)first * width, values, (uint64_t)n * (uint64_t)width * 2, "a rotation's table", err);
    }
    mem_free(values);
    return status;
}

/* partners[i][j]: what element i gives to place j: out = x * cos + (x partners) * sin, with a' = a cos - b sin, b' = b cos + a sin. Exact: each sum has
 * one term. */
static int upload_partners(struct ascend_plan *plan, const struct rope_table *rope, struct error *err)
{
    int32_t width = rope->head_width, half = rope->rotary_width / 2;
    uint16_t *values = mem_zalloc_array((size_t)width * (size_t)width, sizeof *values);
    if (!values)
        return error_no_memory(err, "making the table of a rotation");
    for (int32_t i = 0; i < half; i++) {
        int32_t a = rope->pairing == ROPE_HALVES ? i : 2 * i, b = rope->pairing == ROPE_HALVES ? i + half : 2 * i + 1;
        values[b * width + a] = narrow(plan, -1);
        values[a * width + b] = narrow(plan, 1);
    }
    int status = ascend_upload(plan->chip, rope->partners, values, (uint64_t)width * (uint64_t)width * 2, "a rotation's table", err);
    mem_free(values);
    return status;
}

static int fill_ropes(struct ascend_plan *plan, struct error *err)
{
    int status = 0;
    for (int32_t i = 0; !status && i < plan->n_ropes; i++) {
        const struct rope_table *rope = &plan->ropes[i];
        status = upload_table(plan, rope, rope->cosines, 0, err);
        if (!status && rope->form != ROPE_BY_POSITION)
            status = upload_table(plan, rope, rope->sines, 1, err);
        if (!status && rope->form == ROPE_COMPOSED)
            status = upload_partners(plan, rope, err);
    }
    return status;
}

static int fill_masks(struct ascend_plan *plan, struct error *err)
{
    size_t keys = (size_t)plan->max_table_blocks * (size_t)plan->limits.block_tokens;
    float *positions = plan->n_attentions ? mem_alloc_array(keys, sizeof *positions) : NULL;
    unsigned char *triangle = plan->n_attentions ? mem_alloc_array(ACL_CAUSAL_MASK, ACL_CAUSAL_MASK) : NULL;
    int status = 0;
    if (plan->n_attentions && (!positions || !triangle)) {
        status = error_no_memory(err, "making masks");
    } else if (plan->n_attentions) {
        for (size_t p = 0; p < keys; p++)
            positions[p] = (float)p;
        for (size_t r = 0; r < ACL_CAUSAL_MASK; r++)
            for (size_t c = 0; c < ACL_CAUSAL_MASK; c++)
                triangle[r * ACL_CAUSAL_MASK + c] = c > r;
        status = ascend_upload(plan->chip, plan->key_positions, positions, keys * sizeof *positions, "positions of keys", err);
        if (!status)
            status = ascend_upload(plan->chip, plan->triangle, triangle, (uint64_t)ACL_CAUSAL_MASK * ACL_CAUSAL_MASK, "the causal mask", err);
    }
    mem_free(positions);
    mem_free(triangle);
    return status;
}

static int make_caches(struct ascend_plan *plan, struct error *err)
{
    int status = 0;
    for (int32_t g = 0; !status && g < plan->program->n_groups; g++) {
        struct plan_group *group = &plan->groups[g];
        void *memory = NULL;
        uint64_t bytes = group->layer_bytes * (uint64_t)group->n_layers;
        status = ascend_memory_take(plan->chip, &plan->memory, bytes, &memory, plan->program->groups[g].name, err);
        group->memory = memory;
        if (!status) /* masked places are read too: what lies there must be finite */
            status = ascend_zero(plan->chip, memory, bytes, "the cache", err);
    }
    return status;
}

int ascend_buffers_make(struct ascend_plan *plan, struct error *err)
{
    struct taker taker = {.plan = plan, .err = err};
    take_all(&taker);
    int status = taker.status;
    plan->description.buffer_bytes = taker.bytes;
    if (!status)
        status = fill_ropes(plan, err);
    if (!status)
        status = fill_masks(plan, err);
    if (!status)
        status = ascend_zero(plan->chip, plan->pool, plan->inputs_at + plan->inputs_bytes, "a step's inputs", err);
    return status ? status : make_caches(plan, err);
}

int ascend_workspace_reserve(struct ascend_plan *plan, uint64_t bytes, struct error *err)
{
    if (bytes <= plan->workspace_bytes)
        return 0;
    uint64_t larger = bytes + bytes / 4;
    void *workspace = NULL;
    int status = ascend_memory_take(plan->chip, &plan->memory, larger, &workspace, "the operators' workspace", err);
    if (status)
        return status;
    plan->workspace = workspace; /* graphs captured earlier go on using the old one, which lives as long as the plan */
    plan->workspace_bytes = larger;
    plan->description.buffer_bytes += ascend_padded(larger);
    return 0;
}
