/* Linear, embedding rows: y = W x + b over weights as published.
 *
 * Canonical order: for each output and segment, products (exact in double) are added in ascending column in double and the sum is rounded to fp32; the
 * segments' sums are joined as a binary tree of adjacent halves in fp32; the bias is added last, in fp32.
 *
 * Speed without another order: a tile of outputs and rows is summed at once, each sum with an accumulator of its own. Bound by double arithmetic;
 * weights are converted once for every CHUNK_ROWS rows of the step. */
#include <string.h>

#include "chip/reference/reference.h"

enum { TILE_OUTPUTS = 4, TILE_ROWS = 4, CHUNK_ROWS = 64 };

/* The scratch of a linear: inputs of a chunk in tiles of TILE_ROWS rows, [CHUNK_ROWS / TILE_ROWS][columns][TILE_ROWS] double, then TILE_OUTPUTS rows of
 * weights as float. */
uint64_t reference_linear_scratch(const struct program *program, const struct op_linear *linear)
{
    uint64_t columns = (uint64_t)program->weights[linear->weights[0]].columns;
    return columns * (CHUNK_ROWS + TILE_OUTPUTS);
}

float reference_join_segments(float *sums, const bool *present, int32_t segments)
{
    bool has[LIMIT_SPLIT_SEGMENTS];
    memcpy(has, present, (size_t)segments * sizeof *has);
    for (int32_t half = 1; half < segments; half *= 2) {
        for (int32_t i = 0; i < segments; i += 2 * half) {
            if (has[i] && has[i + half]) {
                sums[i] = sums[i] + sums[i + half];
            } else if (has[i + half]) {
                sums[i] = sums[i + half];
                has[i] = true;
            }
        }
    }
    return sums[0];
}

/* sums[o][r] = sum over columns first .. last - 1, ascending, of weights[o][c] * inputs[c][r]. `rows` is a constant where inlined: 1 or TILE_ROWS. */
static inline __attribute__((always_inline)) void sum_columns(const float *weights, int64_t columns, const double *inputs, int64_t first, int64_t last,
                                                              int rows, double sums[TILE_OUTPUTS][TILE_ROWS])
{
    double a[TILE_ROWS] = {0}, b[TILE_ROWS] = {0}, c[TILE_ROWS] = {0}, d[TILE_ROWS] = {0};
    for (int64_t column = first; column < last; column++) {
        double w0 = (double)weights[column], w1 = (double)weights[columns + column];
        double w2 = (double)weights[2 * columns + column], w3 = (double)weights[3 * columns + column];
        for (int r = 0; r < rows; r++) {
            double x = inputs[column * TILE_ROWS + r];
            a[r] += w0 * x;
            b[r] += w1 * x;
            c[r] += w2 * x;
            d[r] += w3 * x;
        }
    }
    memcpy(sums[0], a, sizeof a);
    memcpy(sums[1], b, sizeof b);
    memcpy(sums[2], c, sizeof c);
    memcpy(sums[3], d, sizeof d);
}

/* What is the same for all tiles of one product. */
struct product {
    const struct logical_weight *weight;
    const float *bias;    /* [outputs] or NULL */
    const float *weights; /* [TILE_OUTPUTS][columns] of this tile */
    int64_t first_output; /* of this tile */
    int n_outputs;        /* of this tile: at most TILE_OUTPUTS */
    float *out;           /* first row of the chunk */
    int64_t out_width;
};

static void multiply_tile(const struct product *product, const double *inputs, int32_t first_row, int rows)
{
    const struct logical_weight *weight = product->weight;
    float partial[TILE_OUTPUTS][TILE_ROWS][LIMIT_SPLIT_SEGMENTS];
    bool present[LIMIT_SPLIT_SEGMENTS];
    for (int32_t s = 0; s < weight->segments; s++) {
        int64_t first, last;
        double sums[TILE_OUTPUTS][TILE_ROWS];
        present[s] = weight_segment(weight, s, &first, &last);
        if (rows == 1)
            sum_columns(product->weights, weight->columns, inputs, first, last, 1, sums);
        else
            sum_columns(product->weights, weight->columns, inputs, first, last, TILE_ROWS, sums);
        for (int o = 0; o < TILE_OUTPUTS; o++)
            for (int r = 0; r < TILE_ROWS; r++)
                partial[o][r][s] = (float)sums[o][r];
    }
    for (int o = 0; o < product->n_outputs; o++) {
        for (int r = 0; r < rows; r++) {
            float sum = reference_join_segments(partial[o][r], present, weight->segments);
            if (product->bias)
                sum += product->bias[product->first_output + o];
            product->out[(first_row + r) * product->out_width + product->first_output + o] = sum;
        }
    }
}

/* One weight over the inputs of a chunk of `rows` rows. */
static void multiply_chunk(struct reference_plan *plan, int32_t weight_index, struct product *product, const double *inputs, float *weights, int32_t rows)
{
    const struct logical_weight *weight = &plan->program->weights[weight_index];
    product->weight = weight;
    product->weights = weights;
    for (product->first_output = 0; product->first_output < weight->rows; product->first_output += TILE_OUTPUTS) {
        int64_t left = weight->rows - product->first_output;
        product->n_outputs = left < TILE_OUTPUTS ? (int)left : TILE_OUTPUTS;
        for (int o = 0; o < product->n_outputs; o++)
            reference_weight_row(plan, weight_index, product->first_output + o, weights + o * weight->columns);
        for (int32_t r = 0; r < rows; r += TILE_ROWS)
            multiply_tile(product, inputs + (int64_t)r * weight->columns, r, rows - r < TILE_ROWS ? rows - r : TILE_ROWS);
    }
}

static void arrange_inputs(const struct reference_plan *plan, int32_t buffer, int32_t first_row, int32_t rows, int64_t columns, double *inputs)
{
    for (int32_t r = 0; r < rows; r++) {
        const float *x = reference_row(plan, buffer, first_row + r);
        double *tile = inputs + (int64_t)(r / TILE_ROWS) * TILE_ROWS * columns + r % TILE_ROWS;
        for (int64_t c = 0; c < columns; c++)
            tile[c * TILE_ROWS] = (double)x[c];
    }
}

void reference_linear(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    const struct op_linear *linear = &op->linear;
    int64_t columns = plan->program->weights[linear->weights[0]].columns;
    double *inputs = plan->scratch;
    float *weights = (float *)(plan->scratch + columns * CHUNK_ROWS);
    memset(weights, 0, (size_t)columns * TILE_OUTPUTS * sizeof *weights); /* outputs beyond the last are summed and dropped */
    int32_t n_rows = reference_rows(plan, step, linear->x);
    for (int32_t first = 0; first < n_rows; first += CHUNK_ROWS) {
        int32_t rows = n_rows - first < CHUNK_ROWS ? n_rows - first : CHUNK_ROWS;
        memset(inputs, 0, (size_t)columns * CHUNK_ROWS * sizeof *inputs); /* so are rows beyond the last */
        arrange_inputs(plan, linear->x, first, rows, columns, inputs);
        for (int32_t i = 0; i < linear->n_outputs; i++) {
            struct product product = {
                .bias = reference_vector(plan, linear->biases[i]),
                .out = reference_row(plan, linear->outs[i], first),
                .out_width = plan->program->buffers[linear->outs[i]].width,
            };
            multiply_chunk(plan, linear->weights[i], &product, inputs, weights, rows);
        }
    }
}
