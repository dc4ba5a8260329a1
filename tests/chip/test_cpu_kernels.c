/* The CPU chip's kernels: every dialect of this machine gives the portable one's bits, for shapes with every kind of edge; and a row gives the same bits alone,
 * in a tile, and whatever lies behind the part it may read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "chip/cpu/kernels.h"
#include "chip/cpu/pack.h"
#include "tensor/half.h"

enum { MAX_ROWS = LINEAR_TILE_ROWS, MAX_BLOCKS = 16, SPAN = 256, WIDTH = 80 };

static uint64_t random_state = 1;

static uint32_t random_bits(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static float random_float(float scale)
{
    return ((float)random_bits() / 2147483648.0f - 1.0f) * scale;
}

static void fill_floats(float *values, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++)
        values[i] = random_float(scale);
}

/* Tiles in plain C, on every machine. */
#define cpu_fill_amx fill_emulated_tiles
void fill_emulated_tiles(struct cpu_kernels *kernels);
#include "chip/cpu/amx/panels.c"
#undef cpu_fill_amx

static void for_each_dialect(void (*check)(const struct cpu_kernels *portable, const struct cpu_kernels *other))
{
    struct cpu_kernels portable, other;
    cpu_fill_kernels(&portable, DIALECT_PORTABLE);
    for (int d = 0; d < DIALECT_COUNT; d++) {
        if (!cpu_dialects[d].available())
            continue;
        cpu_fill_kernels(&other, (enum cpu_dialect)d);
        random_state = 1;
        check(&portable, &other);
    }
    other = portable;
    fill_emulated_tiles(&other);
    random_state = 1;
    check(&portable, &other);
}

/* ---- Linear */

enum { COLUMNS = MAX_BLOCKS * LINEAR_BLOCK, MAX_PANEL_BYTES = COLUMNS * PANEL_OUTPUTS * 4 };

struct linear_case {
    float x[MAX_ROWS][COLUMNS];
    uint8_t panel[MAX_PANEL_BYTES];
    int8_t high[MAX_BLOCKS * MAX_ROWS * LINEAR_BLOCK], low[MAX_BLOCKS * MAX_ROWS * LINEAR_BLOCK];
    struct input_meta meta[MAX_BLOCKS * MAX_ROWS];
    struct residual residuals[MAX_BLOCKS * MAX_ROWS];
    int32_t n_residuals;
    uint16_t bf16[MAX_ROWS][COLUMNS];
};

/* Sixteen rows of random published blocks (scales finite), and the floats they mean. */
static void make_panel(struct linear_case *c, enum panel_kind kind, float weights[PANEL_OUTPUTS][COLUMNS])
{
    static uint8_t published[COLUMNS * 4];
    const struct tensor_type_row *type = &tensor_types[panel_formats[kind].type];
    memset(c->panel, 0, sizeof c->panel);
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        float values[COLUMNS];
        fill_floats(values, COLUMNS, 0.1f);
        if (type->from_float) {
            type->from_float(values, published, COLUMNS);
        } else {
            for (size_t i = 0; i < sizeof published; i++)
                published[i] = i % 7 == 0 ? (uint8_t)(i & 1 ? 255 : 0) : (uint8_t)random_bits(); /* extremes too */
            for (int b = 0; b < COLUMNS / type->block_elements; b++) {
                uint16_t half = float_to_f16(random_float(0.01f));
                uint8_t *block = published + b * type->block_bytes;
                const bool leads = kind == PANEL_Q4_K || kind == PANEL_Q5_K; /* scale and minimum open the block; otherwise they close it */
                const int n = kind == PANEL_Q2_K || leads ? 2 : 1;
                for (int place = 0; place < n; place++)
                    memcpy(block + (leads ? 0 : type->block_bytes - 2 * n) + 2 * place, &half, 2);
            }
        }
        panel_pack_row(kind, published, COLUMNS, c->panel, lane);
        type->to_float(published, weights[lane], COLUMNS);
    }
}

static void make_linear(struct linear_case *c)
{
    fill_floats(&c->x[0][0], sizeof c->x / sizeof(float), 3.0f);
    c->x[0][3] = 1000.0f; /* an outlier, and a block of zeros */
    memset(&c->x[1][LINEAR_BLOCK], 0, LINEAR_BLOCK * sizeof(float));
}

/* The residuals are those of every third block and row, so that rows have different ones. */
static void quantize(const struct cpu_kernels *kernels, struct linear_case *c, int32_t first_row, int32_t n_rows)
{
    c->n_residuals = 0;
    for (int32_t r = 0; r < n_rows; r++) {
        kernels->quantize_row(c->x[first_row + r], MAX_BLOCKS, c->high + r * LINEAR_BLOCK, c->low + r * LINEAR_BLOCK, c->meta + r, n_rows);
        kernels->narrow_bf16(c->x[first_row + r], c->bf16[r], COLUMNS);
    }
    for (int32_t b = 0; b < MAX_BLOCKS; b++) {
        for (int32_t r = 0; r < n_rows; r++) {
            if ((b + first_row + r) % 3)
                continue;
            struct residual *residual = &c->residuals[c->n_residuals++];
            const int8_t *low = c->low + (b * n_rows + r) * LINEAR_BLOCK;
            *residual = (struct residual){.block = b, .row = r, .meta.scale = c->meta[b * n_rows + r].scale / 128};
            for (int i = 0; i < LINEAR_BLOCK; i++) {
                residual->meta.minus_sum -= low[i];
                residual->meta.minus_sum_last -= i < LINEAR_BLOCK / 2 ? 0 : low[i];
            }
            residual->meta.scaled_sum = residual->meta.scale * (float)-residual->meta.minus_sum;
        }
    }
}

static void multiply(const struct cpu_kernels *kernels, enum panel_kind kind, const struct linear_case *c, int32_t first_row, int32_t n_rows, int32_t first,
                     int32_t last, float *out)
{
    bool integer = kind < PANEL_INTEGER_COUNT;
    struct panel_job job = {.panel = c->panel,
                            .first = first * (integer ? 1 : LINEAR_BLOCK),
                            .last = last * (integer ? 1 : LINEAR_BLOCK),
                            .n_rows = n_rows,
                            .high = c->high,
                            .low = c->low,
                            .meta = c->meta,
                            .residuals = c->residuals,
                            .x = c->x[first_row],
                            .x_bf16 = c->bf16[0],
                            .x_stride = COLUMNS,
                            .out = out,
                            .out_stride = PANEL_OUTPUTS};
    while (job.n_residuals < c->n_residuals && c->residuals[job.n_residuals].block < last)
        job.n_residuals++;
    for (; job.n_residuals && job.residuals->block < first; job.n_residuals--)
        job.residuals++;
    cpu_panel_kernel(kernels, kind)(&job);
}

static void compare_panels(const struct cpu_kernels *portable, const struct cpu_kernels *other)
{
    static struct linear_case c, same;
    static float expected[MAX_ROWS * PANEL_OUTPUTS], found[MAX_ROWS * PANEL_OUTPUTS], weights[PANEL_OUTPUTS][COLUMNS];
    make_linear(&c);
    for (int kind = 0; kind < PANEL_KIND_COUNT; kind++) {
        if (kind == PANEL_BF16 && other->bf16_products)
            continue;
        make_panel(&c, (enum panel_kind)kind, weights);
        for (int32_t n = 1; n <= MAX_ROWS; n++) {
            quantize(portable, &c, 0, n);
            same = c;
            quantize(other, &same, 0, n);
            assert_memory_equal(c.high, same.high, (size_t)(MAX_BLOCKS * n * LINEAR_BLOCK));
            assert_memory_equal(c.low, same.low, (size_t)(MAX_BLOCKS * n * LINEAR_BLOCK));
            assert_memory_equal(c.meta, same.meta, (size_t)(MAX_BLOCKS * n) * sizeof *c.meta);
            for (int32_t first = 0; first < 3; first += 2) {
                multiply(portable, (enum panel_kind)kind, &c, 0, n, first, MAX_BLOCKS, expected);
                multiply(other, (enum panel_kind)kind, &c, 0, n, first, MAX_BLOCKS, found);
                assert_memory_equal(expected, found, (size_t)n * PANEL_OUTPUTS * sizeof(float));
            }
        }
    }
}

static void panels_give_the_same_bits_in_every_dialect(void **state)
{
    (void)state;
    for_each_dialect(compare_panels);
}

static void compare_one_row_with_many(const struct cpu_kernels *portable, const struct cpu_kernels *kernels)
{
    static struct linear_case c;
    static float many[MAX_ROWS * PANEL_OUTPUTS], one[PANEL_OUTPUTS], weights[PANEL_OUTPUTS][COLUMNS];
    (void)portable;
    make_linear(&c);
    for (int kind = 0; kind < PANEL_KIND_COUNT; kind++) {
        make_panel(&c, (enum panel_kind)kind, weights);
        for (int32_t n = 2; n <= MAX_ROWS; n++) {
            quantize(kernels, &c, 0, n);
            multiply(kernels, (enum panel_kind)kind, &c, 0, n, 0, MAX_BLOCKS, many);
            for (int32_t r = 0; r < n; r++) {
                quantize(kernels, &c, r, 1);
                multiply(kernels, (enum panel_kind)kind, &c, r, 1, 0, MAX_BLOCKS, one);
                assert_memory_equal(one, many + r * PANEL_OUTPUTS, sizeof one);
            }
        }
    }
}

static void a_row_alone_gives_the_bits_it_has_among_many(void **state)
{
    (void)state;
    for_each_dialect(compare_one_row_with_many);
}

/* The panel holds the published values exactly; its product with the input as it was rounded (high, and low where there is a residual) is exact but for the
 * roundings of fp32 sums, with bf16 products of the input too. */
static void check_values(const struct cpu_kernels *portable, const struct cpu_kernels *kernels)
{
    static struct linear_case c;
    static float weights[PANEL_OUTPUTS][COLUMNS], row[COLUMNS];
    float out[PANEL_OUTPUTS];
    (void)portable;
    make_linear(&c);
    for (int kind = 0; kind < PANEL_KIND_COUNT; kind++) {
        make_panel(&c, (enum panel_kind)kind, weights);
        quantize(kernels, &c, 2, 1);
        multiply(kernels, (enum panel_kind)kind, &c, 2, 1, 0, MAX_BLOCKS, out);
        for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
            double sum = 0, size = 0;
            panel_read_row((enum panel_kind)kind, c.panel, lane, COLUMNS, row);
            assert_memory_equal(row, weights[lane], sizeof row);
            for (int i = 0; i < COLUMNS; i++) {
                int b = i / LINEAR_BLOCK;
                double x = c.x[2][i];
                if (kind < PANEL_INTEGER_COUNT)
                    x = (double)c.meta[b].scale * (c.high[i] + ((b + 2) % 3 ? 0.0 : c.low[i] / 128.0));
                sum += row[i] * x;
                size += fabs(row[i] * x) + fabs(x) * 0.2; /* minima and biases cancel in part */
            }
            assert_true(fabs(out[lane] - sum) <= size * (kernels->bf16_products && kind == PANEL_BF16 ? 0x1p-9 : 2e-6));
        }
    }
}

static void a_panel_is_the_product_it_claims_to_be(void **state)
{
    (void)state;
    for_each_dialect(check_values);
}

/* ---- Floats */

static void compare_rows(const struct cpu_kernels *portable, const struct cpu_kernels *other)
{
    static float a[WIDTH], b[WIDTH], weight[WIDTH], expected[2][WIDTH], found[2][WIDTH];
    static const float scales[] = {1e-20f, 1.0f, 200.0f};
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        for (int64_t n = 1; n <= WIDTH; n++) {
            fill_floats(a, WIDTH, scales[s]);
            fill_floats(b, WIDTH, scales[s]);
            fill_floats(weight, WIDTH, 2.0f);
            memset(expected, 0, sizeof expected);
            memset(found, 0, sizeof found);
            portable->norm_rms(a, b, weight, n, 1e-5f, expected[0], expected[1]);
            other->norm_rms(a, b, weight, n, 1e-5f, found[0], found[1]);
            assert_memory_equal(expected, found, sizeof found); /* what lies behind n stays untouched as well */
            portable->gate_silu(a, b, expected[0], n);
            other->gate_silu(a, b, found[0], n);
            portable->dot_rows(a, n, 1, b, n, 1, n, &expected[1][0], 1);
            other->dot_rows(a, n, 1, b, n, 1, n, &found[1][0], 1);
            assert_memory_equal(expected, found, sizeof found);
            assert_int_equal(portable->find_argmax(a, (int32_t)n), other->find_argmax(a, (int32_t)n));
        }
    }
}

static void norms_gates_and_dot_products_give_the_same_bits_in_every_dialect(void **state)
{
    (void)state;
    for_each_dialect(compare_rows);
}

static void check_gate(const struct cpu_kernels *portable, const struct cpu_kernels *kernels)
{
    (void)portable;
    for (float g = -120.0f; g < 120.0f; g += 0.37f) {
        float gate[LANES], up[LANES], out[LANES];
        for (int i = 0; i < LANES; i++) {
            gate[i] = g;
            up[i] = 1.0f;
        }
        kernels->gate_silu(gate, up, out, LANES);
        double expected = g / (1.0 + exp(-(double)g));
        assert_true(fabs(out[0] - expected) <= fabs(expected) * 4e-7 + 1e-36);
    }
}

static void the_gate_is_exact_to_a_few_roundings_and_vanishes_far_below_zero(void **state)
{
    (void)state;
    for_each_dialect(check_gate);
}

/* ---- Attention */

enum { KEY_WIDTH = 24, VALUE_WIDTH = 80, QUERIES = 11 };

static void compare_attention(const struct cpu_kernels *portable, const struct cpu_kernels *other)
{
    static float queries[QUERIES][KEY_WIDTH], scores[2][QUERIES][SPAN], outs[2][QUERIES][VALUE_WIDTH];
    static uint16_t keys[SPAN * KEY_WIDTH], values[SPAN * VALUE_WIDTH];
    const void *key_groups[SPAN_GROUPS], *value_groups[SPAN_GROUPS];
    fill_floats(&queries[0][0], QUERIES * KEY_WIDTH, 2.0f);
    for (size_t i = 0; i < SPAN * KEY_WIDTH; i++)
        keys[i] = float_to_f16(random_float(1.0f));
    for (size_t i = 0; i < SPAN * VALUE_WIDTH; i++)
        values[i] = float_to_f16(random_float(1.0f));
    for (int g = 0; g < SPAN_GROUPS; g++) {
        key_groups[g] = keys + g * LANES * KEY_WIDTH;
        value_groups[g] = values + g * LANES * VALUE_WIDTH;
    }
    static const int32_t ranges[][2] = {{0, 1}, {0, 16}, {3, 17}, {0, 256}, {37, 201}, {255, 256}, {15, 49}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        for (int n = 1; n <= QUERIES; n++) {
            struct span_job key_job = {
                .n_queries = n, .width = KEY_WIDTH, .stride = KEY_WIDTH, .groups = key_groups, .first = ranges[i][0], .last = ranges[i][1]};
            struct span_job value_job = {
                .n_queries = n, .width = VALUE_WIDTH, .stride = VALUE_WIDTH, .groups = value_groups, .first = ranges[i][0], .last = ranges[i][1]};
            memset(scores, 0, sizeof scores);
            memset(outs, 0, sizeof outs);
            const struct cpu_kernels *both[] = {portable, other};
            for (int k = 0; k < 2; k++) {
                float maximum = 0, sum = 0;
                both[k]->scores_f16(&key_job, &queries[0][0], &scores[k][0][0]);
                for (int q = 0; q < n; q++)
                    both[k]->softmax_span(scores[k][q], ranges[i][0], ranges[i][1], 0.2f, &maximum, &sum);
                both[k]->values_f16(&value_job, &scores[k][0][0], &outs[k][0][0]);
                both[k]->join_spans(&maximum, &sum, outs[k][0], maximum + 0.5f, 2.0f, outs[k][n - 1], VALUE_WIDTH);
            }
            assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
            assert_memory_equal(outs[0], outs[1], sizeof outs[0]);
        }
    }
}

static void attention_gives_the_same_bits_in_every_dialect(void **state)
{
    (void)state;
    for_each_dialect(compare_attention);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panels_give_the_same_bits_in_every_dialect),
        cmocka_unit_test(a_row_alone_gives_the_bits_it_has_among_many),
        cmocka_unit_test(a_panel_is_the_product_it_claims_to_be),
        cmocka_unit_test(norms_gates_and_dot_products_give_the_same_bits_in_every_dialect),
        cmocka_unit_test(the_gate_is_exact_to_a_few_roundings_and_vanishes_far_below_zero),
        cmocka_unit_test(attention_gives_the_same_bits_in_every_dialect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
