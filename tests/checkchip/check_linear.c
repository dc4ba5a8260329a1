/* Linear operations, and the split-stable sums of DESIGN rule 4.
 *
 * Bound of one output y = sum_i w_i x_i. Allowed is what a chip of 8-bit activations does, and nothing worse:
 *   - quantised weights: x rounded to 8 bits per block of the weight's block size: an error uniform in +-s/2, s = max|x| / 127 over the block, of variance
 *     s^2 / 12 per element; the block's scale rounded to 11 bits: (block's sum 2^-11)^2 / 3;
 *   - f16 and bf16 weights: x rounded to bf16, relative 2^-9: variance (w x 2^-9)^2 / 3;
 *   - f32 weights: nothing.
 * The errors are independent and have mean 0, so the bound is 7 standard deviations, plus the rounding of fp32 sums, u (sqrt(n) + 8) sum |w x| + 2 u |y|,
 * u = 2^-24.
 * (The worst case, s/2 sum |w|, is some 30 times larger and would let a lost block pass.) */
#include <math.h>
#include <string.h>

#include "checkchip/checkchip.h"

#define U 0x1p-24
#define DEVIATIONS 7.0
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- The bound. */

/* What a narrower element type adds: a rounding of each weight (independent: they add like their root), of the result and, where a bias is added afterwards, of
 * the bias and of the sum. */
static double element_bound(const struct context *context, const float *w, const float *x, int64_t n, double result, double bias)
{
    double unit = element_unit(context), squares = 0;
    for (int64_t i = 0; unit > 0 && i < n; i++)
        squares += (double)w[i] * (double)x[i] * (double)w[i] * (double)x[i];
    return DEVIATIONS * sqrt(squares * unit * unit / 3) + unit * (2 * fabs(result) + 3 * fabs(bias)) + element_least(context);
}

/* Weights as int8 with a scale for each row, inputs as int8 with a scale for each row: an error of half a scale at most, spread evenly. */
static double int8_bound(const float *w, const float *x, int64_t n)
{
    double w_most = 0, x_most = 0, w_squares = 0, x_squares = 0;
    for (int64_t i = 0; i < n; i++) {
        w_most = fmax(w_most, fabs((double)w[i]));
        x_most = fmax(x_most, fabs((double)x[i]));
        w_squares += (double)w[i] * (double)w[i];
        x_squares += (double)x[i] * (double)x[i];
    }
    double w_scale = w_most / 127, x_scale = x_most / 127;
    return DEVIATIONS * sqrt((x_squares * w_scale * w_scale + w_squares * x_scale * x_scale) / 12 + (double)n * w_scale * w_scale * x_scale * x_scale / 144);
}

static double sum_bound(enum tensor_type type, const float *w, const float *x, int64_t n, double result)
{
    int block = tensor_types[type].block_elements;
    double variance = 0, magnitude = 0, relative = type == TENSOR_F16 || type == TENSOR_BF16 ? 0x1p-9 : 0;
    for (int64_t start = 0; start < n; start += block) {
        double largest = 0, dot = 0, squares = 0;
        for (int64_t i = start; i < start + block; i++) {
            double product = (double)w[i] * (double)x[i];
            largest = fmax(largest, fabs((double)x[i]));
            dot += product;
            squares += (double)w[i] * (double)w[i];
            magnitude += fabs(product);
            variance += product * product * relative * relative / 3;
        }
        if (block > 1)
            variance += squares * (largest / 127) * (largest / 127) / 12 + dot * dot * 0x1p-22 / 3;
    }
    return DEVIATIONS * sqrt(variance) + U * (sqrt((double)n) + 8) * magnitude + 2 * U * fabs(result) + 1e-38;
}

static enum tensor_type type_of_row(const struct logical_weight *weight, int64_t row)
{
    int32_t p = 0;
    for (; row >= weight->parts[p].rows; p++)
        row -= weight->parts[p].rows;
    return weight->parts[p].type;
}

static void bound_linear(struct rig *rig, int32_t output, const float *expected, double *bounds)
{
    const struct op_linear *linear = &rig->program->ops[0].linear;
    const struct logical_weight *weight = &rig->program->weights[linear->weights[output]];
    const float *w = rig_dequantise(rig, linear->weights[output]), *bias = linear->biases[output] >= 0 ? rig_dequantise(rig, linear->biases[output]) : NULL;
    bool is_int8 = rig_weight_is_int8(rig, linear->weights[output]);
    for (int32_t r = 0; r < rig->n_rows; r++)
        for (int64_t o = 0; o < weight->rows; o++) {
            int64_t i = r * weight->rows + o;
            bounds[i] = sum_bound(type_of_row(weight, o), w + o * weight->columns, rig->values[0] + r * weight->columns, weight->columns, (double)expected[i]);
            if (linear->biases[output] >= 0)
                bounds[i] += 8 * U;
            const float *row = w + o * weight->columns, *x = rig->values[0] + r * weight->columns;
            bounds[i] += element_bound(rig->context, row, x, weight->columns, (double)expected[i], bias ? (double)bias[o] : 0);
            if (is_int8)
                bounds[i] += int8_bound(row, x, weight->columns);
            if (rig->context->description.element_type == TENSOR_F16 && fabs((double)expected[i]) + bounds[i] > 65504)
                bounds[i] = INFINITY; /* beyond the type's range */
        }
}

/* ---- Shapes and types. */

struct linear_case {
    enum tensor_type type, second; /* of the second half of the rows; the same: one part */
    int32_t columns;
    int32_t outputs[OP_LINEAR_MAX]; /* 0: no such product */
    bool bias;
    int32_t segments, unit_columns; /* 0: one segment */
};

static int32_t add_weight(struct rig *rig, const struct linear_case *c, int32_t rows)
{
    struct weight_part parts[2];
    int64_t first = c->second == c->type ? rows : (rows + 1) / 2;
    int32_t n_parts = 0;
    for (int64_t at = 0; at < rows; at += parts[n_parts++].rows) {
        enum tensor_type type = n_parts ? c->second : c->type;
        int64_t n = n_parts ? rows - first : first;
        uint64_t bytes = 0;
        tensor_type_bytes(type, (uint64_t)n, (uint64_t)c->columns, &bytes);
        void *memory = rig_memory(rig, (size_t)bytes, 1);
        random_weights(&rig->context->random, type, 0.05f, memory, (size_t)(n * c->columns));
        parts[n_parts] =
            (struct weight_part){.name = n_parts ? "second" : "first", .type = type, .memory = memory, .bytes = bytes, .rows = n, .columns = c->columns};
    }
    struct logical_weight weight = {.name = "weight",
                                    .role = WEIGHT_LINEAR,
                                    .rows = rows,
                                    .columns = c->columns,
                                    .n_parts = n_parts,
                                    .parts = parts,
                                    .segments = c->segments ? c->segments : 1,
                                    .unit_columns = c->unit_columns ? c->unit_columns : tensor_types[c->type].block_elements};
    return program_add_weight(rig->builder, &weight);
}

/* Rows of all zeros, of one outlier, of small and of large values among ordinary ones. */
static void make_inputs_hard(struct rig *rig, int32_t columns)
{
    float *x = rig->values[0];
    memset(x, 0, (size_t)columns * sizeof *x);
    for (int32_t i = 0; i < columns; i++) {
        x[2 * columns + i] = i % 40 == 3 ? 100.0f : x[2 * columns + i];
        x[3 * columns + i] *= 1e-4f;
        x[4 * columns + i] *= 1e4f;
        x[5 * columns + i] = i % 64 < 32 ? 0.0f : x[5 * columns + i];
        x[6 * columns + i] = 127.0f; /* the same value everywhere: the sum of the weights */
    }
}

static void check_linear_case(struct context *context, const struct linear_case *c)
{
    struct rig rig;
    char outputs[64] = "", extra[96] = "";
    for (int i = 0; i < OP_LINEAR_MAX && c->outputs[i]; i++)
        snprintf(outputs + strlen(outputs), sizeof outputs - strlen(outputs), "%s%d", i ? "+" : "", c->outputs[i]);
    if (c->second != c->type)
        snprintf(extra, sizeof extra, ", second part %s", tensor_types[c->second].name);
    if (c->segments)
        snprintf(extra + strlen(extra), sizeof extra - strlen(extra), ", %d segments of units of %d", c->segments, c->unit_columns);
    row_begin(context, "linear", "%s, %d -> %s%s%s", tensor_types[c->type].name, c->columns, outputs, c->bias ? ", bias" : "", extra);
    if (!rig_open(&rig, context, context->options->quick ? 19 : 130))
        return;
    struct op op = {.kind = OP_LINEAR, .label = "linear"};
    op.linear.x = rig_input(&rig, "x", c->columns, 1.0f);
    make_inputs_hard(&rig, c->columns);
    for (int i = 0; i < OP_LINEAR_MAX; i++) {
        op.linear.weights[i] = op.linear.biases[i] = op.linear.outs[i] = -1;
        if (!c->outputs[i])
            continue;
        op.linear.n_outputs = i + 1;
        op.linear.weights[i] = add_weight(&rig, c, c->outputs[i]);
        if (c->bias)
            op.linear.biases[i] = rig_weight(&rig, "bias", WEIGHT_VECTOR, TENSOR_F32, 1, c->outputs[i], 1.0f);
        op.linear.outs[i] = rig_output(&rig, "out", c->outputs[i], ROWS_TOKENS);
    }
    program_set_layer(rig.builder, 0);
    program_add_op(rig.builder, &op);
    if (rig_compile(&rig, 1))
        check_rowwise(&rig, bound_linear);
    rig_close(&rig);
}

static void check_random_case(struct context *context)
{
    static const enum tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_Q4_1, TENSOR_Q5_0, TENSOR_Q5_1, TENSOR_Q6_K};
    struct random *random = &context->random;
    struct linear_case c = {.type = types[random_below(random, (int32_t)COUNT(types))], .bias = random_below(random, 2)};
    c.second = random_below(random, 3) ? c.type : TENSOR_Q8_0;
    int32_t block = tensor_types[c.type].block_elements > tensor_types[c.second].block_elements ? tensor_types[c.type].block_elements
                                                                                                : tensor_types[c.second].block_elements;
    c.columns = block * (1 + random_below(random, block == 1 ? 300 : block == 32 ? 40 : 6));
    for (int i = 0, n = 1 + random_below(random, OP_LINEAR_MAX); i < n; i++)
        c.outputs[i] = 2 + random_below(random, 150);
    if (random_below(random, 2)) {
        c.segments = 2 << random_below(random, 3);
        c.unit_columns = block;
    }
    check_linear_case(context, &c);
}

void check_linear(struct context *context)
{
    static const int32_t shapes[][1 + OP_LINEAR_MAX] = {{576, 576, 192, 192}, {1536, 576}, {576, 1536, 1536}, {32, 1}, {64, 3}, {96, 17},
                                                        {288, 577},           {2048, 100}};
    static const int32_t large_shapes[][1 + OP_LINEAR_MAX] = {{256, 33}, {512, 17, 5}, {2048, 100}};
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        enum tensor_type type = (enum tensor_type)t;
        if (type == TENSOR_I32)
            continue;
        bool large = tensor_types[type].block_elements > 32, main_type = type == TENSOR_Q4_1 || type == TENSOR_Q8_0;
        for (size_t s = 0; s < (large ? COUNT(large_shapes) : COUNT(shapes)); s++) {
            const int32_t *shape = large ? large_shapes[s] : shapes[s];
            if (context->options->quick && !main_type && shape[0] > 512)
                continue;
            check_linear_case(context, &(struct linear_case){.type = type, .second = type, .columns = shape[0], .outputs = {shape[1], shape[2], shape[3]}});
        }
    }
    static const struct linear_case special[] = {
        {.type = TENSOR_Q4_1, .second = TENSOR_Q4_1, .columns = 576, .outputs = {576, 192, 192}, .bias = true},
        {.type = TENSOR_F32, .second = TENSOR_F32, .columns = 77, .outputs = {31, 1}, .bias = true},
        {.type = TENSOR_Q4_1, .second = TENSOR_Q8_0, .columns = 576, .outputs = {65, 64}},
        {.type = TENSOR_F16, .second = TENSOR_F32, .columns = 64, .outputs = {40}},
        {.type = TENSOR_Q4_1, .second = TENSOR_Q4_1, .columns = 576, .outputs = {100}, .segments = 4, .unit_columns = 64},
        {.type = TENSOR_Q4_1, .second = TENSOR_Q4_1, .columns = 576, .outputs = {100}, .segments = 8, .unit_columns = 64},
        {.type = TENSOR_Q4_1, .second = TENSOR_Q4_1, .columns = 576, .outputs = {100}, .segments = 16, .unit_columns = 64},
        {.type = TENSOR_Q8_0, .second = TENSOR_Q8_0, .columns = 1536, .outputs = {576}, .segments = 8, .unit_columns = 32},
        {.type = TENSOR_Q4_0, .second = TENSOR_Q4_0, .columns = 96, .outputs = {33}, .segments = 2, .unit_columns = 32, .bias = true},
        {.type = TENSOR_F32, .second = TENSOR_F32, .columns = 60, .outputs = {33}, .segments = 4, .unit_columns = 12},
        {.type = TENSOR_BF16, .second = TENSOR_BF16, .columns = 640, .outputs = {33}, .segments = 8, .unit_columns = 64},
    };
    for (size_t i = 0; i < COUNT(special); i++)
        check_linear_case(context, &special[i]);
    for (int i = 0; i < (context->options->quick ? 6 : 40); i++)
        check_random_case(context);
}

/* ---- Split: each shard of one or two segments summed by a program of its own, the partial sums joined here as rule 4 says, must give the whole's bits. */

static bool run_shard(struct context *context, const struct rig *whole, int32_t first_segment, int32_t n_segments, int64_t first, int64_t last, float *partial)
{
    const struct logical_weight *weight = &whole->program->weights[0];
    const struct weight_part *part = &weight->parts[0];
    const struct tensor_type_row *type = &tensor_types[part->type];
    size_t row_bytes = (size_t)(weight->columns / type->block_elements * type->block_bytes),
           skipped = (size_t)(first / type->block_elements * type->block_bytes);
    size_t kept = (size_t)((last - first) / type->block_elements * type->block_bytes);
    struct rig rig;
    if (!rig_open(&rig, context, whole->n_rows))
        return false;
    unsigned char *memory = rig_memory(&rig, (size_t)weight->rows * kept, 1);
    for (int64_t r = 0; r < weight->rows; r++)
        memcpy(memory + (size_t)r * kept, (const unsigned char *)part->memory + (size_t)r * row_bytes + skipped, kept);
    struct weight_part slice = {
        .name = "slice", .type = part->type, .memory = memory, .bytes = (size_t)weight->rows * kept, .rows = weight->rows, .columns = last - first};
    struct logical_weight shard = {.name = "shard",
                                   .role = WEIGHT_LINEAR,
                                   .rows = weight->rows,
                                   .columns = last - first,
                                   .n_parts = 1,
                                   .parts = &slice,
                                   .segments = n_segments,
                                   .unit_columns = weight->unit_columns,
                                   .first_segment = first_segment,
                                   .whole_segments = weight->segments,
                                   .whole_columns = weight->columns};
    struct op op = {.kind = OP_LINEAR, .label = "shard", .linear = {.n_outputs = 1, .weights = {0, -1, -1}, .biases = {-1, -1, -1}, .outs = {-1, -1, -1}}};
    op.linear.x = rig_input(&rig, "x", (int32_t)(last - first), 1.0f);
    op.linear.outs[0] = rig_output(&rig, "out", (int32_t)weight->rows, ROWS_TOKENS);
    op.linear.weights[0] = program_add_weight(rig.builder, &shard);
    for (int32_t r = 0; r < rig.n_rows; r++)
        memcpy(rig.values[0] + r * (last - first), whole->values[0] + r * weight->columns + first, (size_t)(last - first) * sizeof(float));
    program_add_op(rig.builder, &op);
    bool good = rig_compile(&rig, 1) && rig_run_rows(&rig, PLAN_TESTED, 0, rig.n_rows, &partial);
    rig_close(&rig);
    return good;
}

/* Adds adjacent halves; an empty half leaves the other as it is. NULL: all empty. */
static float *join_segments(float *const partials[], int32_t first, int32_t count, int64_t n)
{
    if (count == 1)
        return partials[first];
    float *left = join_segments(partials, first, count / 2, n), *right = join_segments(partials, first + count / 2, count / 2, n);
    for (int64_t i = 0; left && right && i < n; i++)
        left[i] += right[i];
    return left ? left : right;
}

/* Sums shards of `width` segments each apart, and joins them. */
static void check_shards(struct rig *whole, int32_t width, const float *expected)
{
    const struct logical_weight *weight = &whole->program->weights[0];
    float *partials[LIMIT_SPLIT_SEGMENTS] = {NULL};
    int64_t n = (int64_t)whole->n_rows * weight->rows;
    for (int32_t s = 0; s < weight->segments; s += width) {
        int64_t first, last, unused;
        weight_segment(weight, s, &first, &unused);
        weight_segment(weight, s + width - 1, &unused, &last);
        if (first == last)
            continue;
        partials[s / width] = rig_floats(whole, n);
        if (!run_shard(whole->context, whole, s, width, first, last, partials[s / width]))
            return;
    }
    const float *joined = join_segments(partials, 0, weight->segments / width, n);
    compare_values(whole->context, width == 1 ? "segments summed apart and joined" : "pairs of segments summed apart and joined", expected, joined, NULL, n,
                   (int32_t)weight->rows);
}

static void check_split_case(struct context *context, enum tensor_type type, int32_t columns, int32_t segments, int32_t unit_columns)
{
    struct rig rig;
    struct linear_case c = {.type = type, .second = type, .columns = columns, .segments = segments, .unit_columns = unit_columns};
    row_begin(context, "split", "%s, %d -> 45 in %d segments of units of %d, joined apart", tensor_types[type].name, columns, segments, unit_columns);
    if (!rig_open(&rig, context, 9))
        return;
    struct op op = {.kind = OP_LINEAR, .label = "linear", .linear = {.n_outputs = 1, .weights = {-1, -1, -1}, .biases = {-1, -1, -1}, .outs = {-1, -1, -1}}};
    op.linear.x = rig_input(&rig, "x", columns, 1.0f);
    op.linear.outs[0] = rig_output(&rig, "out", 45, ROWS_TOKENS);
    op.linear.weights[0] = add_weight(&rig, &c, 45);
    program_add_op(rig.builder, &op);
    if (!rig_compile(&rig, 1)) {
        rig_close(&rig);
        return;
    }
    float *whole = rig_floats(&rig, (int64_t)rig.n_rows * 45);
    if (rig_run_rows(&rig, PLAN_TESTED, 0, rig.n_rows, &whole)) {
        check_shards(&rig, 1, whole);
        check_shards(&rig, 2, whole);
    }
    row_end(context);
    rig_close(&rig);
}

void check_split(struct context *context)
{
    if (context->description.guarantee != GUARANTEE_SPLIT)
        return;
    check_split_case(context, TENSOR_Q4_1, 576, 4, 64);
    check_split_case(context, TENSOR_Q4_1, 576, 8, 64);
    check_split_case(context, TENSOR_Q4_1, 576, 16, 64);
    check_split_case(context, TENSOR_Q8_0, 1536, 8, 32);
    check_split_case(context, TENSOR_Q4_0, 96, 2, 32);
    check_split_case(context, TENSOR_F32, 60, 4, 12);
    check_split_case(context, TENSOR_F16, 640, 8, 64);
    check_split_case(context, TENSOR_BF16, 640, 8, 64);
}
