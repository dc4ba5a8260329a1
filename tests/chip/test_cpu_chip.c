/* The CPU chip as a whole: opening, refusals, equal bits over dialects, workers and fusing, no allocation in a step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "chip/cpu/kernels.h"
#include "chip/support_program.h"

enum { N_TOKENS = 40, N_VOCABULARY = 50 };

static const int32_t blocks[] = {7, 3, 40, 1, 12, 33, 20, 2, 9};

static void make_tokens(int32_t *tokens)
{
    for (int32_t i = 0; i < N_TOKENS; i++)
        tokens[i] = (i * i * 7 + 3) % N_VOCABULARY;
}

static struct small_model_options variant(int i)
{
    struct small_model_options options = small_model_defaults();
    static const enum tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_Q4_1, TENSOR_Q5_0, TENSOR_Q5_1};
    options.type = types[i % 8];
    options.head_width = 32;
    options.rotary_width = i % 3 ? 32 : 16;
    options.segments = i % 8 > 4 ? 4 : 8;
    options.window = i == 3 ? 10 : 0;
    options.biases = i == 5;
    options.head_norms = i == 4;
    return options;
}
enum { N_VARIANTS = 8 };

/* Logits of all rows, in one step, or in pieces of `piece` tokens. */
static void run_model(const char *description, int i, int32_t piece, bool keep, float *logits)
{
    struct arena arena;
    struct chip *chip;
    struct small_model_options options = variant(i);
    int32_t tokens[N_TOKENS];
    make_tokens(tokens);
    arena_init(&arena, 64 << 20);
    assert_int_equal(chip_open(description, &chip, NULL), 0);
    const struct program *program = small_model_make(&arena, &options);
    struct plan_limits limits = small_limits(program);
    limits.cache_type = TENSOR_F16;
    limits.keep_buffers = keep;
    struct plan *plan = make_plan(chip, program, &limits);
    for (int32_t first = 0; first < N_TOKENS; first += piece) {
        struct piece one = {.tokens = tokens, .first = first, .count = N_TOKENS - first < piece ? N_TOKENS - first : piece, .blocks = blocks};
        run_pieces(plan, program, limits.block_tokens, &one, 1, logits + first * N_VOCABULARY);
    }
    plan->interface->plan_free(plan);
    chip->interface->close(chip);
    arena_free(&arena);
}

/* Products of bf16 round their input: bits of their own. */
static bool has_bits_of_its_own(int dialect, int i)
{
    return dialect == DIALECT_AVX512_BF16 && variant(i).type == TENSOR_BF16;
}

static void dialects_workers_pieces_and_kept_buffers_change_no_bit(void **state)
{
    (void)state;
    static float expected[N_TOKENS * N_VOCABULARY], found[N_TOKENS * N_VOCABULARY];
    for (int i = 0; i < N_VARIANTS; i++) {
        run_model("cpu:portable,threads=1", i, N_TOKENS, true, expected);
        for (int d = 0; d < DIALECT_COUNT; d++) {
            char description[64];
            if (!cpu_dialects[d].available())
                continue;
            if (has_bits_of_its_own(d, i)) {
                snprintf(description, sizeof description, "cpu:%s,threads=1", cpu_dialects[d].name);
                run_model(description, i, N_TOKENS, true, expected);
            }
            for (int threads = 1; threads <= 3; threads++) {
                snprintf(description, sizeof description, "cpu:%s,threads=%d", cpu_dialects[d].name, threads);
                static const int32_t pieces[] = {N_TOKENS, 1, 3, 17};
                for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
                    run_model(description, i, pieces[p], false, found);
                    assert_memory_equal(expected, found, sizeof found);
                }
            }
        }
    }
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    struct arena arena;
    struct chip *chip;
    struct small_model_options options = variant(5);
    int32_t tokens[N_TOKENS];
    static float logits[N_TOKENS * N_VOCABULARY];
    make_tokens(tokens);
    arena_init(&arena, 64 << 20);
    assert_int_equal(chip_open("cpu,threads=2", &chip, NULL), 0);
    const struct program *program = small_model_make(&arena, &options);
    struct plan_limits limits = small_limits(program);
    limits.cache_type = TENSOR_F16;
    struct plan *plan = make_plan(chip, program, &limits);
    struct piece one = {.tokens = tokens, .first = 0, .count = 4, .blocks = blocks};
    int32_t token = 1, position = 0, starts[] = {0, 1}, length = 1, slot = 0, row = 0, want = WANT_ARGMAX;
    run_pieces(plan, program, limits.block_tokens, &one, 1, logits);
    struct step step = {.n_tokens = 1,
                        .token_ids = &token,
                        .positions = &position,
                        .n_sequences = 1,
                        .row_starts = starts,
                        .lengths = &length,
                        .slots = &slot,
                        .n_groups = program->n_groups,
                        .n_logit_rows = 1,
                        .logit_rows = &row,
                        .wants = &want};
    for (int32_t g = 0; g < program->n_groups; g++)
        step.tables[g] = (struct step_block_table){.blocks = blocks, .stride = 9};
    uint64_t before = mem_allocation_count();
    struct step_result result;
    assert_int_equal(plan->interface->plan_submit(plan, &step, NULL), 0);
    assert_int_equal(plan->interface->plan_submit(plan, &step, NULL), SAMPAN_EBUSY);
    assert_int_equal(plan->interface->plan_wait(plan, UINT64_MAX, &result, NULL), 0);
    assert_int_equal(plan->interface->plan_wait(plan, 0, &result, NULL), SAMPAN_EINVAL);
    assert_true(mem_allocation_count() == before);
    plan->interface->plan_free(plan);
    chip->interface->close(chip);
    arena_free(&arena);
}

static void every_allocation_of_a_plan_may_fail(void **state)
{
    (void)state;
    struct arena arena;
    struct chip *chip;
    struct small_model_options options = variant(5);
    arena_init(&arena, 64 << 20);
    assert_int_equal(chip_open("cpu,threads=2", &chip, NULL), 0);
    const struct program *program = small_model_make(&arena, &options);
    struct plan_limits limits = small_limits(program);
    limits.cache_type = TENSOR_F16;
    int failures = 0, code = SAMPAN_ENOMEM;
    for (; code == SAMPAN_ENOMEM; failures++) {
        struct plan *plan = NULL;
        struct error err;
        mem_fail_after(failures);
        code = chip->interface->plan_create(chip, program, &limits, NULL, &plan, &err);
        mem_fail_after(-1);
        if (!code)
            plan->interface->plan_free(plan);
        else
            assert_null(plan);
    }
    assert_int_equal(code, 0);
    assert_true(failures > 10);
    chip->interface->close(chip);
    arena_free(&arena);
}

static void what_cannot_be_opened_is_refused_with_what_can(void **state)
{
    (void)state;
    struct chip *chip = NULL;
    struct error err;
    assert_int_equal(chip_open("cpu:sse9", &chip, &err), SAMPAN_ENOTFOUND);
    assert_non_null(strstr(err.message, "avx512"));
    assert_int_equal(chip_open("cpu,threads=0", &chip, &err), SAMPAN_EINVAL);
    assert_int_equal(chip_open("cpu,threads=2x", &chip, &err), SAMPAN_EINVAL);
    assert_int_equal(chip_open("cpu,speed=9", &chip, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "threads=N"));
    for (int d = 0; d < DIALECT_COUNT; d++) {
        char description[64];
        snprintf(description, sizeof description, "cpu:%s", cpu_dialects[d].name);
        int code = chip_open(description, &chip, &err);
        assert_int_equal(code, cpu_dialects[d].available() ? 0 : SAMPAN_EUNSUPPORTED);
        if (!code)
            chip->interface->close(chip);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialects_workers_pieces_and_kept_buffers_change_no_bit),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(every_allocation_of_a_plan_may_fail),
        cmocka_unit_test(what_cannot_be_opened_is_refused_with_what_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
