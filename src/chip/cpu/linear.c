/* Norm, quantisation and linear products: the stages where the time goes. */
#include <string.h>

#include "chip/cpu/plan.h"

/* ---- Inputs */

static void norm_row(const struct cpu_plan *plan, const struct stage_norm *norm, int32_t row, float *sum, float *out)
{
    const float *residual = norm->residual.rows ? buffer_row(&norm->residual, row) : NULL;
    plan->chip->kernels.norm_rms(buffer_row(&norm->x, row), residual, norm->weight, norm->out.width, norm->epsilon, sum, out);
}

static void quantize_row(const struct cpu_plan *plan, const struct quantized_rows *to, const float *x, int32_t n_blocks, int32_t row, int32_t n_rows)
{
    int32_t step;
    int64_t index = quantized_index(row, n_rows, n_blocks, &step);
    plan->chip->kernels.quantize_row(x, n_blocks, to->planes + index * INPUT_BLOCK_BYTES, to->meta + index, step);
}

void cpu_run_norm(struct cpu_plan *plan, const struct stage_norm *norm, enum buffer_rows rows, int32_t worker)
{
    int32_t first, last;
    share_work(stage_rows(plan, rows), worker, plan->n_workers, &first, &last);
    for (int32_t r = first; r < last; r++)
        norm_row(plan, norm, r, norm->residual.rows ? buffer_row(&norm->sum, r) : NULL, buffer_row(&norm->out, r));
}

/* What a linear multiplies: floats, planes, or both. */
struct linear_input {
    const float *rows;
    int64_t stride;
    struct quantized_rows planes;
    int32_t n_rows;
};

/* Few rows: every worker makes the whole input for itself, and nobody waits. The owner of a row also stores what others will read later. */
static void make_private_input(struct cpu_plan *plan, const struct stage_linear *linear, int32_t worker, struct linear_input *input)
{
    struct worker_scratch *scratch = &plan->scratch[worker];
    int32_t width = linear->has_norm ? linear->norm.out.width : linear->x.width;
    int64_t stride = round_up_lanes(width);
    input->rows = linear->has_norm ? scratch->rows : linear->x.rows;
    input->stride = linear->has_norm ? stride : linear->x.stride;
    input->planes = scratch->private_rows;
    for (int32_t r = 0; r < input->n_rows; r++) {
        if (linear->has_norm) {
            float *row = scratch->rows + r * stride;
            norm_row(plan, &linear->norm, r, scratch->sum, row);
            if (r % plan->n_workers == worker && linear->norm.residual.rows)
                memcpy(buffer_row(&linear->norm.sum, r), scratch->sum, (size_t)width * sizeof(float));
            if (r % plan->n_workers == worker && linear->norm.store_out)
                memcpy(buffer_row(&linear->norm.out, r), row, (size_t)width * sizeof(float));
        }
        if (linear->needs_planes)
            quantize_row(plan, &scratch->private_rows, input->rows + r * input->stride, width / LINEAR_BLOCK, r, input->n_rows);
    }
}

static void make_shared_input(struct cpu_plan *plan, const struct stage_linear *linear, int32_t worker, struct linear_input *input)
{
    int32_t first, last;
    const struct row_buffer *x = linear->has_norm ? &linear->norm.out : &linear->x;
    share_work(input->n_rows, worker, plan->n_workers, &first, &last);
    for (int32_t r = first; r < last; r++) {
        if (linear->has_norm)
            norm_row(plan, &linear->norm, r, linear->norm.residual.rows ? buffer_row(&linear->norm.sum, r) : NULL, buffer_row(x, r));
        if (linear->needs_planes)
            quantize_row(plan, &plan->shared, buffer_row(x, r), x->width / LINEAR_BLOCK, r, input->n_rows);
    }
    input->rows = x->rows;
    input->stride = x->stride;
    input->planes = plan->shared;
    if (linear->has_norm || linear->needs_planes)
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

typedef void (*panel_kernel)(const struct panel_job *job);

static panel_kernel find_panel_kernel(const struct cpu_plan *plan, enum panel_kind kind)
{
    const struct cpu_kernels *kernels = &plan->chip->kernels;
    const panel_kernel all[PANEL_KIND_COUNT] = {kernels->panel_u4, kernels->panel_u4_min, kernels->panel_u8, kernels->panel_u8_min};
    return all[kind];
}

/* One panel over all segments. */
static void multiply_segments(panel_kernel kernel, const struct cpu_weight *weight, struct panel_job *job)
{
    struct segment_tree tree = {.filled = {false}};
    float sums[LINEAR_TILE_ROWS * PANEL_OUTPUTS];
    float *out = job->out;
    int64_t out_stride = job->out_stride;
    int32_t n = job->n_rows * PANEL_OUTPUTS;
    job->out = sums;
    job->out_stride = PANEL_OUTPUTS;
    int depth = 0;
    for (int32_t s = 0; s < weight->segments; s++) {
        int64_t first = 0, last = 0;
        bool filled = find_segment(weight, s, &first, &last);
        if (filled) {
            job->first_block = (int32_t)(first / LINEAR_BLOCK);
            job->last_block = (int32_t)(last / LINEAR_BLOCK);
            kernel(job);
        }
        push_segment(&tree, s, sums, filled, n);
    }
    while (1 << depth < weight->segments)
        depth++;
    for (int32_t r = 0; r < job->n_rows; r++)
        memcpy(out + r * out_stride, tree.levels[depth] + r * PANEL_OUTPUTS, PANEL_OUTPUTS * sizeof *out);
}

/* Outputs of panel `panel` for tile `tile`: out[r * out_stride + lane]. */
static void multiply_panel(const struct cpu_plan *plan, const struct cpu_weight *weight, int32_t panel, const struct linear_input *input, int32_t tile,
                           float *out, int64_t out_stride)
{
    int32_t first_row = tile * LINEAR_TILE_ROWS;
    int64_t index = (int64_t)first_row * weight->n_blocks;
    const uint8_t *base = weight->bytes + panel * weight->panel_bytes;
    struct panel_job job = {
        .scales = base,
        .codes = base + weight->scale_area,
        .first_block = 0,
        .last_block = weight->n_blocks,
        .n_rows = input->n_rows - first_row < LINEAR_TILE_ROWS ? input->n_rows - first_row : LINEAR_TILE_ROWS,
        .planes = input->planes.planes + index * INPUT_BLOCK_BYTES,
        .meta = input->planes.meta + index,
        .out = out,
        .out_stride = out_stride,
    };
    panel_kernel kernel = find_panel_kernel(plan, weight->kind);
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
            multiply_panel(plan, weight, unit, input, r / LINEAR_TILE_ROWS, out + r * to->stride, to->stride);
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
                multiply_panel(plan, linear->weights[o], 2 * unit + p, input, r / LINEAR_TILE_ROWS, out, LINEAR_BLOCK);
                add_bias(linear, o, 2 * unit + p, 0, n, out, LINEAR_BLOCK);
            }
            for (int32_t i = 0; linear->store_outs && i < n; i++)
                memcpy(buffer_row(&linear->outs[o], r + i) + unit * LINEAR_BLOCK, halves[o] + i * LINEAR_BLOCK, LINEAR_BLOCK * sizeof(float));
        }
        float *gate = halves[linear->gate];
        plan->chip->kernels.gate_silu(gate, halves[linear->up], gate, (int64_t)n * LINEAR_BLOCK);
        for (int32_t i = 0; linear->store_gated && i < n; i++)
            memcpy(buffer_row(&linear->gated_out, r + i) + unit * LINEAR_BLOCK, gate + i * LINEAR_BLOCK, LINEAR_BLOCK * sizeof(float));
        for (int32_t i = 0; linear->quantize_gated && i < n; i++) {
            int32_t step;
            int64_t index = quantized_index(r + i, input->n_rows, linear->gated_out.width / LINEAR_BLOCK, &step) + (int64_t)unit * step;
            plan->chip->kernels.quantize_row(gate + i * LINEAR_BLOCK, 1, plan->produced.planes + index * INPUT_BLOCK_BYTES, plan->produced.meta + index, step);
        }
    }
}

#define CHUNK_ROWS 128 /* rows of one piece of work in prefill */

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
    struct linear_input input = {.n_rows = stage_rows(plan, stage->rows)};
    if (linear->quantized_before)
        input.planes = plan->produced;
    else if (input.n_rows <= REDUNDANT_ROWS)
        make_private_input(plan, linear, worker, &input);
    else
        make_shared_input(plan, linear, worker, &input);
    if (input.n_rows <= LINEAR_TILE_ROWS) {
        int32_t first, last;
        share_work(linear->n_units, worker, plan->n_workers, &first, &last);
        run_units(plan, linear, &input, first, last, 0, input.n_rows, worker);
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
