/* Single operations of the reference chip against numbers that numpy computed from the formulas (make_reference_goldens.py), and rules that need no numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "chip/reference/reference.h"
#include "chip/reference_goldens.h"
#include "chip/support_program.h"

/* As input_values() in the script. */
static void fill_inputs(float *values, uint32_t seed, int n, float scale)
{
    for (int i = 0; i < n; i++) {
        uint32_t h = ((uint32_t)i + seed * 0x9E3779B1u) * 2654435761u;
        h ^= h >> 15;
        h *= 0x85EBCA6Bu;
        h ^= h >> 13;
        values[i] = scale * ((float)(h >> 8) / 8388608.0f - 1);
    }
}

static void assert_near(const float *found, const float *expected, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(found[i] - expected[i]) <= 1e-6f * (1 + fabsf(expected[i]))))
            fail_msg("element %d is %.9g, expected %.9g", i, (double)found[i], (double)expected[i]);
}

/* A program under construction and its plan. */
struct bench {
    struct arena arena;
    struct program_builder *builder;
    const struct program *program;
    struct chip *chip;
    struct plan *plan;
    struct error err;
};

static void begin(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    arena_init(&bench->arena, 16 << 20);
    assert_int_equal(program_builder_create(&bench->arena, "test", &bench->builder, &bench->err), 0);
}

static float *make_inputs(struct bench *bench, uint32_t seed, int n)
{
    float *values = arena_alloc_array(&bench->arena, (size_t)n, sizeof *values);
    fill_inputs(values, seed, n, 1);
    return values;
}

static int32_t add_vector(struct bench *bench, uint32_t seed, int n)
{
    return add_values(bench->builder, "vector", WEIGHT_VECTOR, 1, n, make_inputs(bench, seed, n));
}

static void compile(struct bench *bench, int32_t max_tokens)
{
    if (program_builder_finish(bench->builder, 1, 1, 2048, &bench->program, &bench->err))
        fail_msg("%s", bench->err.message);
    struct plan_limits limits = small_limits(bench->program);
    limits.max_tokens = max_tokens;
    limits.max_context = 2048;
    limits.n_blocks[0] = 128;
    assert_int_equal(chip_open("reference", &bench->chip, NULL), 0);
    bench->plan = make_plan(bench->chip, bench->program, &limits);
}

static void write_inputs(struct bench *bench, int32_t buffer, int32_t rows, uint32_t seed, float scale)
{
    static float values[600 * 16];
    fill_inputs(values, seed, rows * bench->program->buffers[buffer].width, scale);
    assert_int_equal(bench->plan->interface->plan_write_buffer(bench->plan, buffer, rows, values, NULL), 0);
}

/* One step of one sequence of `rows` tokens from `position` on. */
static void run_step(struct bench *bench, int32_t rows, int32_t position)
{
    static int32_t ids[600], positions[600], blocks[128];
    for (int32_t r = 0; r < rows; r++)
        positions[r] = position + r;
    for (int32_t i = 0; i < 128; i++)
        blocks[i] = 127 - i;
    int32_t row_starts[] = {0, rows}, length = position + rows, slot = 0;
    struct step step = {.n_tokens = rows,
                        .token_ids = ids,
                        .positions = positions,
                        .n_sequences = 1,
                        .row_starts = row_starts,
                        .lengths = &length,
                        .slots = &slot,
                        .n_groups = bench->program->n_groups,
                        .tables = {{blocks, 128}}};
    struct step_result result;
    if (bench->plan->interface->plan_submit(bench->plan, &step, &bench->err) ||
        bench->plan->interface->plan_wait(bench->plan, UINT64_MAX, &result, &bench->err))
        fail_msg("%s", bench->err.message);
}

static void assert_buffer(struct bench *bench, int32_t buffer, int32_t rows, const float *expected)
{
    static float values[600 * 24];
    assert_int_equal(bench->plan->interface->plan_read_buffer(bench->plan, buffer, rows, values, NULL), 0);
    assert_near(values, expected, rows * bench->program->buffers[buffer].width);
}

static void end(struct bench *bench)
{
    bench->plan->interface->plan_free(bench->plan);
    bench->chip->interface->close(bench->chip);
    arena_free(&bench->arena);
}

static void norm_adds_the_residual_and_divides_by_the_root_of_the_mean_square(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    int32_t x = program_add_buffer(bench.builder, "x", 7, ROWS_TOKENS), residual = program_add_buffer(bench.builder, "residual", 7, ROWS_TOKENS);
    int32_t out = program_add_buffer(bench.builder, "out", 7, ROWS_TOKENS);
    struct op op = {.kind = OP_NORM, .label = "norm", .norm = {.x = x, .residual = residual, .out = out, .epsilon = 1e-2f}};
    op.norm.weight = add_vector(&bench, 3, 7);
    program_add_op(bench.builder, &op);
    compile(&bench, 8);
    write_inputs(&bench, x, 3, 1, 1);
    write_inputs(&bench, residual, 3, 2, 1);
    run_step(&bench, 3, 0);
    assert_buffer(&bench, x, 3, golden_norm_x);
    assert_buffer(&bench, out, 3, golden_norm);
    end(&bench);
}

static void linear_multiplies_and_adds_the_bias_in_any_number_of_segments(void **state)
{
    (void)state;
    for (int32_t segments = 1; segments <= 32; segments *= 2) {
        struct bench bench;
        begin(&bench);
        int32_t x = program_add_buffer(bench.builder, "x", 24, ROWS_TOKENS), out = program_add_buffer(bench.builder, "out", 6, ROWS_TOKENS);
        struct weight_part parts[2] = {
            {.name = "rows 0-1", .type = TENSOR_F32, .rows = 2, .columns = 24, .memory = make_inputs(&bench, 5, 6 * 24), .bytes = 2 * 24 * 4},
            {.name = "rows 2-5", .type = TENSOR_F32, .rows = 4, .columns = 24, .bytes = 4 * 24 * 4},
        };
        parts[1].memory = (const float *)parts[0].memory + 2 * 24;
        struct logical_weight weight = {
            .name = "w", .role = WEIGHT_LINEAR, .rows = 6, .columns = 24, .n_parts = 2, .parts = parts, .segments = segments, .unit_columns = 4};
        struct op op = {.kind = OP_LINEAR, .label = "linear", .linear = {.x = x, .n_outputs = 1, .outs = {out}}};
        op.linear.weights[0] = program_add_weight(bench.builder, &weight);
        op.linear.biases[0] = add_vector(&bench, 6, 6);
        program_add_op(bench.builder, &op);
        compile(&bench, 8);
        write_inputs(&bench, x, 5, 4, 1);
        run_step(&bench, 5, 0);
        assert_buffer(&bench, out, 5, golden_linear);
        end(&bench);
    }
}

static void rope_rotates_normed_heads_and_writes_the_cache(void **state)
{
    (void)state;
    static const double frequencies[] = {1, 0.125};
    for (int halves = 0; halves < 2; halves++) {
        struct bench bench;
        begin(&bench);
        struct program_cache_group group = {.name = "cache", .n_layers = 2, ATTENTION_STREAMS(2, 6, 3)};
        struct op op = {.kind = OP_ROPE_CACHE,
                        .label = "rope",
                        .rope_cache = {.norm_epsilon = 1e-3f, .n_heads = 4, .rotary_width = 4, .frequencies = frequencies, .magnitude = 1, .layer = 1}};
        op.rope_cache.pairing = halves ? ROPE_HALVES : ROPE_ADJACENT;
        op.rope_cache.query = program_add_buffer(bench.builder, "query", 24, ROWS_TOKENS);
        op.rope_cache.key = program_add_buffer(bench.builder, "key", 12, ROWS_TOKENS);
        op.rope_cache.value = program_add_buffer(bench.builder, "value", 6, ROWS_TOKENS);
        op.rope_cache.group = program_add_group(bench.builder, &group);
        op.rope_cache.query_norm = add_vector(&bench, 9, 6);
        op.rope_cache.key_norm = add_vector(&bench, 10, 6);
        program_add_op(bench.builder, &op);
        compile(&bench, 8);
        write_inputs(&bench, op.rope_cache.query, 2, 7, 1);
        write_inputs(&bench, op.rope_cache.key, 2, 8, 1);
        write_inputs(&bench, op.rope_cache.value, 2, 16, 1);
        run_step(&bench, 2, 1000);
        assert_buffer(&bench, op.rope_cache.query, 2, halves ? golden_query_halves : golden_query_adjacent);

        /* Position 1000 is the eighth of table entry 62, block 127 - 62; layer 1 of two, 18 elements per token. */
        static float block[2 * 16 * 18], value[12];
        uint64_t length;
        assert_int_equal(bench.plan->interface->plan_read_block(bench.plan, 0, 127 - 62, block, sizeof block, &length, NULL), 0);
        assert_int_equal(length, sizeof block);
        const float *cached = block + (16 + 8) * 18, *key = halves ? golden_key_halves : golden_key_adjacent;
        fill_inputs(value, 16, 12, 1);
        for (int r = 0; r < 2; r++) {
            assert_near(cached + r * 18, key + r * 12, 12);
            assert_memory_equal(cached + r * 18 + 12, value + r * 6, 6 * sizeof *value);
        }
        end(&bench);
    }
}

static void attention_weighs_values_by_softmax_across_spans_and_windows(void **state)
{
    (void)state;
    static const int32_t rows[] = {0, 1, 255, 256, 257, 511, 512, 599};
    static float out[600 * 20];
    for (int32_t window = 0; window <= 300; window += 300) {
        struct bench bench;
        begin(&bench);
        struct program_cache_group group = {
            .name = "cache", .kind = window ? CACHE_SLIDING_WINDOW : CACHE_FULL_ATTENTION, .window = window, .n_layers = 1, ATTENTION_STREAMS(2, 3, 5)};
        struct op rope = {.kind = OP_ROPE_CACHE, .label = "cache", .rope_cache = {.query_norm = -1, .key_norm = -1, .n_heads = 4, .magnitude = 1}};
        rope.rope_cache.query = program_add_buffer(bench.builder, "query", 12, ROWS_TOKENS);
        rope.rope_cache.key = program_add_buffer(bench.builder, "key", 6, ROWS_TOKENS);
        rope.rope_cache.value = program_add_buffer(bench.builder, "value", 10, ROWS_TOKENS);
        rope.rope_cache.group = program_add_group(bench.builder, &group);
        program_add_op(bench.builder, &rope);
        struct op op = {
            .kind = OP_ATTENTION, .label = "attention", .attention = {.query = rope.rope_cache.query, .n_heads = 4, .scale = 0.5f, .window = window}};
        op.attention.out = program_add_buffer(bench.builder, "out", 20, ROWS_TOKENS);
        program_add_op(bench.builder, &op);
        compile(&bench, 600);
        write_inputs(&bench, rope.rope_cache.query, 600, 11, 4);
        write_inputs(&bench, rope.rope_cache.key, 600, 12, 4);
        write_inputs(&bench, rope.rope_cache.value, 600, 13, 1);
        run_step(&bench, 600, 0);
        assert_int_equal(bench.plan->interface->plan_read_buffer(bench.plan, op.attention.out, 600, out, NULL), 0);
        for (int i = 0; i < 8; i++)
            assert_near(out + rows[i] * 20, (window ? golden_attention_300 : golden_attention_0) + i * 20, 20);
        end(&bench);
    }
}

static void activation_gates_without_overflow(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    struct op op = {.kind = OP_GATED_ACTIVATION, .label = "gated"};
    op.gated.gate = program_add_buffer(bench.builder, "gate", 12, ROWS_TOKENS);
    op.gated.up = program_add_buffer(bench.builder, "up", 12, ROWS_TOKENS);
    op.gated.out = program_add_buffer(bench.builder, "out", 12, ROWS_TOKENS);
    program_add_op(bench.builder, &op);
    compile(&bench, 8);
    write_inputs(&bench, op.gated.gate, 1, 14, 20);
    write_inputs(&bench, op.gated.up, 1, 15, 1);
    run_step(&bench, 1, 0);
    assert_buffer(&bench, op.gated.out, 1, golden_gated);

    const float gate[12] = {-1000, 1000, 0}, up[12] = {1, 2, 3}, expected[12] = {0, 2000, 0};
    assert_int_equal(bench.plan->interface->plan_write_buffer(bench.plan, op.gated.gate, 1, gate, NULL), 0);
    assert_int_equal(bench.plan->interface->plan_write_buffer(bench.plan, op.gated.up, 1, up, NULL), 0);
    run_step(&bench, 1, 0);
    assert_buffer(&bench, op.gated.out, 1, expected);
    end(&bench);
}

/* Sums whose order shows in their bits. */
static void any_aligned_group_of_segments_may_be_summed_elsewhere(void **state)
{
    (void)state;
    enum { S = 16 };
    for (uint32_t trial = 0; trial < 2000; trial++) {
        float sums[S], whole[S], left[S];
        bool present[S];
        fill_inputs(sums, trial, S, 1);
        for (int i = 0; i < S; i++) {
            sums[i] *= i % 3 ? 1e4f : 1e-3f;
            present[i] = trial % 5 == 0 ? i % 2 : (trial * 7 + (uint32_t)i * 13) % 8 != 0;
        }
        memcpy(whole, sums, sizeof sums);
        float expected = reference_join_segments(whole, present, S);
        for (int32_t group = 2; group < S; group *= 2) {
            /* Each chip sums its own segments; the joined partial sums are then joined by the same tree. */
            float partial[S];
            bool has[S];
            for (int32_t g = 0; g < S / group; g++) {
                memcpy(left, sums + g * group, (size_t)group * sizeof *left);
                has[g] = false;
                for (int32_t i = 0; i < group; i++)
                    has[g] = has[g] || present[g * group + i];
                partial[g] = reference_join_segments(left, present + g * group, group);
            }
            float joined = reference_join_segments(partial, has, S / group);
            assert_memory_equal(&joined, &expected, sizeof joined);
        }
    }
}

static void a_tree_of_one_segment_is_that_segment_and_empty_ones_do_not_count(void **state)
{
    (void)state;
    float sums[] = {-0.0f, 5, 5, 5};
    const bool present[] = {true, false, false, false};
    float joined = reference_join_segments(sums, present, 4);
    assert_true(signbit(joined)); /* nothing was added to it, not even zero */
    float last[] = {9, 9, 9, 3};
    const bool only_last[] = {false, false, false, true};
    assert_true(reference_join_segments(last, only_last, 4) == 3);
    float four[] = {1e8f, -1e8f, 1, 1};
    const bool all[] = {true, true, true, true};
    assert_true(reference_join_segments(four, all, 4) == 2); /* (a + b) + (c + d) */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_adds_the_residual_and_divides_by_the_root_of_the_mean_square),
        cmocka_unit_test(linear_multiplies_and_adds_the_bias_in_any_number_of_segments),
        cmocka_unit_test(rope_rotates_normed_heads_and_writes_the_cache),
        cmocka_unit_test(attention_weighs_values_by_softmax_across_spans_and_windows),
        cmocka_unit_test(activation_gates_without_overflow),
        cmocka_unit_test(any_aligned_group_of_segments_may_be_summed_elsewhere),
        cmocka_unit_test(a_tree_of_one_segment_is_that_segment_and_empty_ones_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
