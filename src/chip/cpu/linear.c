/* Norm, quantisation and linear products: the stages where the time goes. */
#include <string.h>

#include "chip/cpu/plan.h"

/* ---- Inputs */

static void norm_row(const struct cpu_plan *plan, const struct stage_norm *norm, int32_t row, float *sum, float *out)
{
    const float *residual = norm->residual.rows ? buffer_row(&norm->residual, row) : NULL;
    plan->chip->kernels.norm_rms(buffer_row(&norm->x, row), residual, norm->weight, norm->out.width, norm->epsilon, sum, out);
}

void cpu_quantize_row(const struct cpu_plan *plan, const struct quantized_rows *to, const float *x, int32_t first_block, int32_t n_blocks, int32_t row,
                      const struct quantized_shape *shape)
{
    int32_t step;
    int64_t index = quantized_index(row, shape->n_rows, shape->n_blocks, &step) + (int64_t)first_block * step;
    plan->chip->kernels.quantize_row(x, n_blocks, to->high + index * LINEAR_BLOCK, to->low + index * LINEAR_BLOCK, to->meta + index, step);
}

void cpu_run_norm(struct cpu_plan *plan, const struct stage_norm *norm, enum buffer_rows rows, int32_t worker)
{
    int32_t first, last;
    share_work(stage_rows(plan, rows), worker, plan->n_workers, &first, &last);
    for (int32_t r = first; r < last; r++)
        norm_row(plan, norm, r, norm->residual.rows ? buffer_row(&norm->sum, r) : NULL, buffer_row(&norm->out, r));
}

/* What a linear multiplies: floats, bf16, or quantised blocks with the residuals of each tile. */
struct linear_input {
    const float *rows;
    const uint16_t *bf16;
    int64_t stride; /* of both */
    struct quantized_rows quantized;
    const struct residual *residuals; /* [tile][most_residuals] */
    const int32_t *n_residuals;       /* [tile] */
    int32_t n_rows;
};

static bool find_segment(const struct cpu_weight *weight, int32_t i, int64_t *first, int64_t *last)
{
    struct logical_weight logical = {.columns = weight->columns,
                                     .segments = weight->segments,
                                     .unit_columns = weight->unit_columns,
                                     .first_segment = weight->first_segment,
                                     .whole_segments = weight->whole_segments,
                                     .whole_columns = weight->whole_columns};
    return weight_segment(&logical, i, first, last);
}

/* The low half of a block, as an input of its own: its scale is 128 times smaller. */
static struct input_meta measure_low(const int8_t *low, float scale)
{
    int32_t first = 0, last = 0;
    for (int c = 0; c < LINEAR_BLOCK / 2; c++) {
        first += low[c];
        last += low[LINEAR_BLOCK / 2 + c];
    }
    scale *= 1.0f / 128;
    return (struct input_meta){.scale = scale, .scaled_sum = scale * (float)(first + last), .minus_sum = -(first + last), .minus_sum_last = -last};
}

/* Which blocks [first, last) of a tile's rows get their low half: those whose largest value, squared, is more than RESIDUAL_FACTOR times the mean of the
 * row's (of the segment's). Where a few columns carry large values, 8 bits leave most of their error in these few blocks. */
static int32_t list_segment(const struct quantized_rows *rows, int64_t tile_index, int32_t n_rows, int64_t first, int64_t last, struct residual *list)
{
    double limits[LINEAR_TILE_ROWS] = {0};
    int32_t count = 0;
    const struct input_meta *meta = rows->meta + tile_index;
    for (int64_t b = first; b < last; b++) {
        for (int32_t r = 0; r < n_rows; r++)
            limits[r] += (double)meta[b * n_rows + r].scale * (double)meta[b * n_rows + r].scale;
    }
    for (int32_t r = 0; r < n_rows; r++)
        limits[r] *= RESIDUAL_FACTOR / (double)(last - first);
    for (int64_t b = first; b < last; b++) {
        for (int32_t r = 0; r < n_rows; r++) {
            float scale = meta[b * n_rows + r].scale;
            if (!((double)scale * (double)scale > limits[r]))
                continue;
            const int8_t *low = rows->low + (tile_index + b * n_rows + r) * LINEAR_BLOCK;
            list[count++] = (struct residual){.block = (int32_t)b, .row = r, .meta = measure_low(low, scale)};
        }
    }
    return count;
}

static void list_residuals(const struct stage_linear *linear, const struct quantized_rows *rows, int32_t tile, int32_t n_rows, struct residual *list,
                           int32_t *n_residuals)
{
    const struct cpu_weight *weight = linear->weights[linear->first_quantized];
    const int32_t n_blocks = (int32_t)(weight->columns / LINEAR_BLOCK), first_row = tile * LINEAR_TILE_ROWS;
    const int32_t n = n_rows - first_row < LINEAR_TILE_ROWS ? n_rows - first_row : LINEAR_TILE_ROWS;
    *n_residuals = 0;
    for (int32_t s = 0; s < weight->segments; s++) {
        int64_t first = 0, last = weight->columns;
        if (weight->segments > 1 && !find_segment(weight, s, &first, &last))
            continue;
        *n_residuals += list_segment(rows, (int64_t)first_row * n_blocks, n, first / LINEAR_BLOCK, last / LINEAR_BLOCK, list + *n_residuals);
    }
}

/* A worker's share of the tiles; others read the lists behind the next barrier. */
static void list_shared_residuals(struct cpu_plan *plan, const struct stage_linear *linear, const struct quantized_rows *rows, int32_t n_rows, int32_t worker)
{
    int32_t first, last;
    share_work((n_rows + LINEAR_TILE_ROWS - 1) / LINEAR_TILE_ROWS, worker, plan->n_workers, &first, &last);
    for (int32_t tile = first; tile < last; tile++)
        list_residuals(linear, rows, tile, n_rows, plan->residuals + tile * plan->most_residuals, &plan->n_residuals[tile]);
}

/* One tile: every worker lists it for itself. */
static void list_private_residuals(struct cpu_plan *plan, const struct stage_linear *linear, int32_t worker, struct linear_input *input)
{
    struct worker_scratch *scratch = &plan->scratch[worker];
    list_residuals(linear, &input->quantized, 0, input->n_rows, scratch->residuals, &scratch->n_residuals);
    input->residuals = scratch->residuals;
    input->n_residuals = &scratch->n_residuals;
}

/* To bf16; an odd last column gets a zero for its partner. */
static void narrow_row(const struct cpu_plan *plan, const float *x, int32_t width, uint16_t *out)
{
    plan->chip->kernels.narrow_bf16(x, out, width);
    if (width % 2)
        out[width] = 0;
}

/* Few rows: every worker makes the whole input for itself, and nobody waits. The owner of a row also stores what others will read later. */
static void make_private_input(struct cpu_plan *plan, const struct stage_linear *linear, int32_t worker, struct linear_input *input)
{
    struct worker_scratch *scratch = &plan->scratch[worker];
    int32_t width = linear->has_norm ? linear->norm.out.width : linear->x.width;
    const struct quantized_shape shape = {.n_rows = input->n_rows, .n_blocks = width / LINEAR_BLOCK};
    input->stride = linear->has_norm ? round_up_lanes(width) : linear->x.stride;
    input->rows = linear->has_norm ? scratch->rows : linear->x.rows;
    input->bf16 = scratch->bf16_rows;
    input->quantized = scratch->private_rows;
    for (int32_t r = 0; r < input->n_rows; r++) {
        const float *x = input->rows + r * input->stride;
        if (linear->has_norm) {
            float *row = scratch->rows + r * input->stride;
            norm_row(plan, &linear->norm, r, scratch->sum, row);
            if (r % plan->n_workers == worker && linear->norm.residual.rows)
                memcpy(buffer_row(&linear->norm.sum, r), scratch->sum, (size_t)width * sizeof(float));
            if (r % plan->n_workers == worker && linear->norm.store_out)
                memcpy(buffer_row(&linear->norm.out, r), row, (size_t)width * sizeof(float));
        }
        if (linear->needs_quantized)
            cpu_quantize_row(plan, &scratch->private_rows, x, 0, shape.n_blocks, r, &shape);
        if (linear->needs_bf16)
            narrow_row(plan, x, width, scratch->bf16_rows + r * input->stride);
    }
    if (linear->needs_quantized)
        list_private_residuals(plan, linear, worker, input);
}

/* Many rows: workers share them by tiles. */
static void make_shared_input(struct cpu_plan *plan, const struct stage_linear *linear, int32_t worker, struct linear_input *input)
{
    int32_t first, last;
    const struct row_buffer *x = linear->has_norm ? &linear->norm.out : &linear->x;
    const struct quantized_shape shape = {.n_rows = input->n_rows, .n_blocks = x->width / LINEAR_BLOCK};
    bool one_tile = input->n_rows <= LINEAR_TILE_ROWS;
    share_work(one_tile ? input->n_rows : (input->n_rows + LINEAR_TILE_ROWS - 1) / LINEAR_TILE_ROWS, worker, plan->n_workers, &first, &last);
    if (!one_tile) {
        first *= LINEAR_TILE_ROWS;
        last = last * LINEAR_TILE_ROWS < input->n_rows ? last * LINEAR_TILE_ROWS : input->n_rows;
    }
    for (int32_t r = first; r < last; r++) {
        if (linear->has_norm)
            norm_row(plan, &linear->norm, r, linear->norm.residual.rows ? buffer_row(&linear->norm.sum, r) : NULL, buffer_row(x, r));
        if (linear->needs_quantized)
            cpu_quantize_row(plan, &plan->shared, buffer_row(x, r), 0, shape.n_blocks, r, &shape);
        if (linear->needs_bf16)
            narrow_row(plan, buffer_row(x, r), x->width, plan->shared_bf16 + r * x->stride);
    }
    input->rows = x->rows;
    input->bf16 = plan->shared_bf16;
    input->stride = x->stride;
    input->quantized = plan->shared;
    if (linear->needs_quantized && !one_tile)
        list_shared_residuals(plan, linear, &plan->shared, input->n_rows, worker);
    if (linear->has_norm || linear->needs_quantized || linear->needs_bf16)
        pool_barrier(plan->chip->pool);
    if (linear->needs_quantized && one_tile)
        list_private_residuals(plan, linear, worker, input);
}

/* The stage before left it quantised. */
static void take_produced_input(struct cpu_plan *plan, const struct stage_linear *linear, int32_t worker, struct linear_input *input)
{
    input->quantized = plan->produced;
    if (input->n_rows <= LINEAR_TILE_ROWS) {
        list_private_residuals(plan, linear, worker, input);
        return;
    }
    list_shared_residuals(plan, linear, &plan->produced, input->n_rows, worker);
    pool_barrier(plan->chip->pool);
}

/* ---- Products */

/* Partial sums of segments, joined as a binary tree of adjacent halves: the counter's trailing ones say how many levels are complete. */
struct segment_tree {
    float levels[MAX_SEGMENT_DEPTH][LINEAR_TILE_ROWS * PANEL_OUTPUTS];
    bool filled[MAX_SEGMENT_DEPTH]; /* false: all segments of that half were empty */
};

static void push_segment(struct segment_tree *tree, int32_t index, float *sums, bool filled, int32_t n)
{
    int level = 0;
    for (; index & 1; index >>= 1, level++) {
        if (!tree->filled[level])
            continue;
        if (!filled)
            memcpy(sums, tree->levels[level], (size_t)n * sizeof *sums);
        for (int32_t i = 0; filled && i < n; i++)
            sums[i] = tree->levels[level][i] + sums[i];
        filled = true;
    }
    tree->filled[level] = filled;
    if (filled)
        memcpy(tree->levels[level], sums, (size_t)n * sizeof *sums);
}

/* One panel over all segments. */
static void multiply_segments(panel_kernel kernel, const struct cpu_weight *weight, struct panel_job *job)
{
    struct segment_tree tree = {.filled = {false}};
    float sums[LINEAR_TILE_ROWS * PANEL_OUTPUTS];
    float *out = job->out;
    int64_t out_stride = job->out_stride, unit = weight->kind < PANEL_INTEGER_COUNT ? LINEAR_BLOCK : 1;
    int32_t n = job->n_rows * PANEL_OUTPUTS, left = job->n_residuals, depth = 0;
    job->out = sums;
    job->out_stride = PANEL_OUTPUTS;
    for (int32_t s = 0; s < weight->segments; s++) {
        int64_t first = 0, last = 0;
        bool filled = find_segment(weight, s, &first, &last);
        if (filled) {
            job->first = (int32_t)(first / unit);
            job->last = (int32_t)(last / unit);
            for (job->n_residuals = 0; job->n_residuals < left && job->residuals[job->n_residuals].block < job->last;)
                job->n_residuals++;
            kernel(job);
            job->residuals += job->n_residuals;
            left -= job->n_residuals;
        }
        push_segment(&tree, s, sums, filled, n);
    }
    job->out = out;
    job->out_stride = out_stride;
    while (1 << depth < weight->segments)
        depth++;
    for (int32_t r = 0; r < job->n_rows; r++)
        memcpy(out + r * out_stride, tree.levels[depth] + r * PANEL_OUTPUTS, PANEL_OUTPUTS * sizeof *out);
}

#define FEW_ROWS 8       /* a kernel passes over a panel once */
#define AHEAD_BYTES 4096 /* then: some hundred nanoseconds; with more rows, a panel */

/* Outputs of panel `panel` for tile `tile`: out[r * out_stride + lane]. */
static void multiply_panel(const struct cpu_plan *plan, const struct cpu_weight *weight, int32_t panel, const struct linear_input *input, int32_t tile,
                           bool from_memory, float *out, int64_t out_stride)
{
    int32_t first_row = tile * LINEAR_TILE_ROWS, n = input->n_rows - first_row < LINEAR_TILE_ROWS ? input->n_rows - first_row : LINEAR_TILE_ROWS;
    struct panel_job job = {
        .panel = weight->bytes + panel * weight->panel_bytes,
        .last = (int32_t)weight->columns,
        .n_rows = n,
        .ahead = !from_memory    ? 0
                 : n <= FEW_ROWS ? AHEAD_BYTES
                                 : weight->panel_bytes,
        .out = out,
        .out_stride = out_stride,
    };
    if (weight->kind < PANEL_INTEGER_COUNT) {
        job.last = (int32_t)(weight->columns / LINEAR_BLOCK);
        int64_t index = (int64_t)first_row * job.last;
        job.high = input->quantized.high + index * LINEAR_BLOCK;
        job.low = input->quantized.low + index * LINEAR_BLOCK;
        job.meta = input->quantized.meta + index;
        job.residuals = input->residuals + tile * plan->most_residuals;
        job.n_residuals = input->n_residuals[tile];
    } else {
        job.x = input->rows + first_row * input->stride;
        job.x_bf16 = input->bf16 + first_row * input->stride;
        job.x_stride = input->stride;
    }
    panel_kernel kernel = cpu_panel_kernel(&plan->chip->kernels, weight->kind);
    if (weight->segments > 1)
        multiply_segments(kernel, weight, &job);
    else
        kernel(&job);
}

static void widen_row(const struct cpu_plan *plan, const struct cpu_weight *weight, int64_t row, float *out)
{
    const uint8_t *bytes = weight->bytes + row * weight->row_bytes;
    if (weight->type == TENSOR_F16)
        plan->chip->kernels.widen_f16((const uint16_t *)(const void *)bytes, out, weight->columns);
    else if (weight->type == TENSOR_BF16)
        plan->chip->kernels.widen_bf16((const uint16_t *)(const void *)bytes, out, weight->columns);
    else
        tensor_types[weight->type].to_float(bytes, out, (size_t)weight->columns);
}

/* The general path: n_outputs (at most 4) published rows, widened to fp32, with up to LINEAR_TILE_ROWS rows of x at a time. */
static void multiply_rows(struct cpu_plan *plan, const struct cpu_weight *weight, int64_t output, int32_t n_outputs, const struct linear_input *input,
                          int32_t first_row, int32_t n_rows, int32_t worker, float *out, int64_t out_stride)
{
    float *wide = plan->scratch[worker].weights;
    int64_t w_stride = round_up_lanes(weight->columns);
    for (int32_t o = 0; o < n_outputs; o++)
        widen_row(plan, weight, output + o, wide + o * w_stride);
    for (int32_t r = first_row; r < first_row + n_rows; r += LINEAR_TILE_ROWS) {
        int32_t n = first_row + n_rows - r < LINEAR_TILE_ROWS ? first_row + n_rows - r : LINEAR_TILE_ROWS;
        const float *x = input->rows + r * input->stride;
        float *to = out + r * out_stride;
        if (weight->segments <= 1) {
            plan->chip->kernels.dot_rows(wide, w_stride, n_outputs, x, input->stride, n, weight->columns, to, out_stride);
            continue;
        }
        struct segment_tree tree = {.filled = {false}};
        float sums[LINEAR_TILE_ROWS * PANEL_OUTPUTS];
        int depth = 0;
        for (int32_t s = 0; s < weight->segments; s++) {
            int64_t first = 0, last = 0;
            bool filled = find_segment(weight, s, &first, &last);
            if (filled)
                plan->chip->kernels.dot_rows(wide + first, w_stride, n_outputs, x + first, input->stride, n, last - first, sums, n_outputs);
            push_segment(&tree, s, sums, filled, n * n_outputs);
        }
        while (1 << depth < weight->segments)
            depth++;
        for (int32_t i = 0; i < n; i++)
            memcpy(to + i * out_stride, tree.levels[depth] + i * n_outputs, (size_t)n_outputs * sizeof *to);
    }
}

static void add_bias(const struct stage_linear *linear, int32_t o, int32_t panel, int32_t first_row, int32_t n_rows, float *out, int64_t out_stride)
{
    const float *bias = linear->biases[o];
    if (!bias)
        return;
    int64_t left = linear->weights[o]->rows - (int64_t)panel * PANEL_OUTPUTS;
    for (int32_t r = first_row; r < first_row + n_rows; r++) {
        for (int32_t i = 0; i < PANEL_OUTPUTS && i < left; i++)
            out[r * out_stride + i] += bias[panel * PANEL_OUTPUTS + i];
    }
}

/* One unit of 16 outputs for rows [first_row, first_row + n_rows); first_row is a multiple of the tile. */
static void run_unit(struct cpu_plan *plan, const struct stage_linear *linear, const struct linear_input *input, int32_t unit, int32_t first_row,
                     int32_t n_rows, int32_t worker)
{
    int32_t o = 0;
    for (; unit >= (linear->weights[o]->rows + PANEL_OUTPUTS - 1) / PANEL_OUTPUTS; o++)
        unit -= (int32_t)((linear->weights[o]->rows + PANEL_OUTPUTS - 1) / PANEL_OUTPUTS);
    const struct cpu_weight *weight = linear->weights[o];
    const struct row_buffer *to = &linear->outs[o];
    float *out = to->rows + (int64_t)unit * PANEL_OUTPUTS;
    if (weight->layout == LAYOUT_PANELS) {
        for (int32_t r = first_row; r < first_row + n_rows; r += LINEAR_TILE_ROWS)
            multiply_panel(plan, weight, unit, input, r / LINEAR_TILE_ROWS, r == first_row, out + r * to->stride, to->stride);
    } else {
        int64_t first = (int64_t)unit * PANEL_OUTPUTS;
        for (int32_t i = 0; i < PANEL_OUTPUTS && first + i < weight->rows; i += 4) {
            int32_t n_outputs = weight->rows - first - i < 4 ? (int32_t)(weight->rows - first - i) : 4;
            multiply_rows(plan, weight, first + i, n_outputs, input, first_row, n_rows, worker, out + i, to->stride);
        }
    }
    add_bias(linear, o, unit, first_row, n_rows, out, to->stride);
}

/* Gate and up for 32 columns, the activation, and its quantisation for the linear behind. */
static void run_gated_unit(struct cpu_plan *plan, const struct stage_linear *linear, const struct linear_input *input, int32_t unit, int32_t first_row,
                           int32_t n_rows)
{
    float halves[2][LINEAR_TILE_ROWS * LINEAR_BLOCK];
    for (int32_t r = first_row; r < first_row + n_rows; r += LINEAR_TILE_ROWS) {
        int32_t n = input->n_rows - r < LINEAR_TILE_ROWS ? input->n_rows - r : LINEAR_TILE_ROWS;
        for (int32_t o = 0; o < 2; o++) {
            for (int32_t p = 0; p < 2; p++) {
                float *out = halves[o] + p * PANEL_OUTPUTS;
                multiply_panel(plan, linear->weights[o], 2 * unit + p, input, r / LINEAR_TILE_ROWS, r == first_row, out, LINEAR_BLOCK);
                add_bias(linear, o, 2 * unit + p, 0, n, out, LINEAR_BLOCK);
            }
            for (int32_t i = 0; linear->store_outs && i < n; i++)
                memcpy(buffer_row(&linear->outs[o], r + i) + unit * LINEAR_BLOCK, halves[o] + i * LINEAR_BLOCK, LINEAR_BLOCK * sizeof(float));
        }
        float *gate = halves[linear->gate];
        plan->chip->kernels.gate_silu(gate, halves[linear->up], gate, (int64_t)n * LINEAR_BLOCK);
        for (int32_t i = 0; linear->store_gated && i < n; i++)
            memcpy(buffer_row(&linear->gated_out, r + i) + unit * LINEAR_BLOCK, gate + i * LINEAR_BLOCK, LINEAR_BLOCK * sizeof(float));
        const struct quantized_shape shape = {.n_rows = input->n_rows, .n_blocks = linear->gated_out.width / LINEAR_BLOCK};
        for (int32_t i = 0; linear->quantize_gated && i < n; i++)
            cpu_quantize_row(plan, &plan->produced, gate + i * LINEAR_BLOCK, unit, 1, r + i, &shape);
    }
}

#define PIECES_PER_WORKER 8 /* of a linear with few rows */
#define CHUNK_ROWS 128      /* rows of one piece of work in prefill */

static void run_units(struct cpu_plan *plan, const struct stage_linear *linear, const struct linear_input *input, int32_t first, int32_t last,
                      int32_t first_row, int32_t n_rows, int32_t worker)
{
    for (int32_t unit = first; unit < last; unit++) {
        if (linear->gated)
            run_gated_unit(plan, linear, input, unit, first_row, n_rows);
        else
            run_unit(plan, linear, input, unit, first_row, n_rows, worker);
    }
}

void cpu_run_linear(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    const struct stage_linear *linear = &stage->linear;
    struct linear_input input = {.n_rows = stage_rows(plan, stage->rows), .residuals = plan->residuals, .n_residuals = plan->n_residuals};
    if (linear->quantized_before)
        take_produced_input(plan, linear, worker, &input);
    else if (input.n_rows <= REDUNDANT_ROWS)
        make_private_input(plan, linear, worker, &input);
    else
        make_shared_input(plan, linear, worker, &input);
    if (input.n_rows <= LINEAR_TILE_ROWS) {
        int32_t n_pieces = plan->n_workers * PIECES_PER_WORKER < linear->n_units ? plan->n_workers * PIECES_PER_WORKER : linear->n_units;
        for (int32_t piece; (piece = pool_take(plan->chip->pool, n_pieces, worker)) >= 0;) {
            int32_t first, last;
            share_work(linear->n_units, piece, n_pieces, &first, &last);
            run_units(plan, linear, &input, first, last, 0, input.n_rows, worker);
        }
        return;
    }
    int32_t group = linear->gated ? 2 : 4;
    int32_t n_groups = (linear->n_units + group - 1) / group, n_chunks = (input.n_rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    for (int32_t item = pool_ticket(plan->chip->pool); item < n_groups * n_chunks; item = pool_ticket(plan->chip->pool)) {
        int32_t first = item % n_groups * group, first_row = item / n_groups * CHUNK_ROWS;
        int32_t last = first + group < linear->n_units ? first + group : linear->n_units;
        int32_t n_rows = input.n_rows - first_row < CHUNK_ROWS ? input.n_rows - first_row : CHUNK_ROWS;
        run_units(plan, linear, &input, first, last, first_row, n_rows, worker);
    }
}
