/* The reference chip: a row's bits do not depend on what it shares a step with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "chip/support_program.h"

enum { N_TOKENS = 40, N_VOCABULARY = 50 };

/* Blocks in no order; two tables that share nothing. */
static const int32_t blocks_a[] = {7, 3, 40, 1, 12, 33, 20, 2, 9};
static const int32_t blocks_b[] = {8, 63, 0, 5, 4, 31, 21, 22, 10};

static void make_tokens(int32_t *tokens, int32_t n, uint32_t seed)
{
    for (int32_t i = 0; i < n; i++)
        tokens[i] = (int32_t)((uint32_t)(i * 7 + 3) * (seed * 2654435761u + 1) >> 8) % N_VOCABULARY;
}

/* Every variant of the small model that has an arithmetic of its own. */
static struct small_model_options variant(int i)
{
    struct small_model_options options = small_model_defaults();
    switch (i) {
    case 1: options.window = 10; break;
    case 2:
        options.biases = options.head_norms = true;
        options.pairing = ROPE_HALVES;
        options.rotary_width = 4;
        break;
    case 3: options.segments = 8; break;
    case 4:
        options.type = TENSOR_Q4_1;
        options.head_width = 32;
        options.rotary_width = 32;
        options.segments = 4;
        break;
    case 5:
        options.embed_scale = 3.3f;
        options.rotary_width = 0;
        break;
    default: break;
    }
    return options;
}
enum { N_VARIANTS = 6 };

struct fixture {
    struct arena arena;
    struct chip *chip;
    const struct program *program;
    struct plan_limits limits;
    struct plan *plan;
};

static void set_up(struct fixture *fixture, int i, int32_t block_tokens, enum tensor_type cache_type)
{
    struct small_model_options options = variant(i);
    arena_init(&fixture->arena, 64 << 20);
    assert_int_equal(chip_open("reference", &fixture->chip, NULL), 0);
    fixture->program = small_model_make(&fixture->arena, &options);
    fixture->limits = small_limits(fixture->program);
    fixture->limits.block_tokens = block_tokens;
    fixture->limits.cache_type = cache_type;
    fixture->plan = make_plan(fixture->chip, fixture->program, &fixture->limits);
}

static void tear_down(struct fixture *fixture)
{
    fixture->plan->interface->plan_free(fixture->plan);
    fixture->chip->interface->close(fixture->chip);
    arena_free(&fixture->arena);
}

static void run(struct fixture *fixture, const struct piece *pieces, int32_t n, float *logits)
{
    run_pieces(fixture->plan, fixture->program, fixture->limits.block_tokens, pieces, n, logits);
}

static float whole[N_TOKENS * N_VOCABULARY], other[2 * N_TOKENS * N_VOCABULARY];

static void assert_logits_differ_by_row(void)
{
    assert_memory_not_equal(whole, whole + N_VOCABULARY, N_VOCABULARY * sizeof *whole);
    for (int i = 0; i < N_TOKENS * N_VOCABULARY; i++)
        assert_true(whole[i] - whole[i] == 0); /* finite */
}

static void a_prompt_in_chunks_gives_the_same_bits_as_the_whole_prompt(void **state)
{
    (void)state;
    int32_t tokens[N_TOKENS];
    make_tokens(tokens, N_TOKENS, 1);
    for (int i = 0; i < N_VARIANTS; i++) {
        struct fixture fixture;
        set_up(&fixture, i, 16, TENSOR_F32);
        run(&fixture, &(struct piece){tokens, 0, N_TOKENS, blocks_a, 0}, 1, whole);
        assert_logits_differ_by_row();
        for (int32_t chunk = 1; chunk < N_TOKENS; chunk += 6) {
            for (int32_t at = 0; at < N_TOKENS; at += chunk) {
                int32_t count = N_TOKENS - at < chunk ? N_TOKENS - at : chunk;
                run(&fixture, &(struct piece){tokens, at, count, blocks_b, 3}, 1, other + at * N_VOCABULARY);
            }
            assert_memory_equal(whole, other, sizeof whole);
        }
        tear_down(&fixture);
    }
}

static void sequences_together_give_the_same_bits_as_each_alone(void **state)
{
    (void)state;
    int32_t tokens[N_TOKENS], others[N_TOKENS];
    make_tokens(tokens, N_TOKENS, 1);
    make_tokens(others, N_TOKENS, 2);
    for (int i = 0; i < N_VARIANTS; i++) {
        struct fixture fixture;
        set_up(&fixture, i, 16, TENSOR_F16);
        run(&fixture, &(struct piece){tokens, 0, N_TOKENS, blocks_a, 0}, 1, whole);
        const struct piece pieces[] = {{others, 0, 20, blocks_b, 5}, {tokens, 0, N_TOKENS, blocks_a, 1}};
        run(&fixture, pieces, 2, other);
        assert_memory_equal(whole, other + 20 * N_VOCABULARY, sizeof whole);
        tear_down(&fixture);
    }
}

static void the_size_of_blocks_does_not_change_a_bit(void **state)
{
    (void)state;
    int32_t tokens[N_TOKENS];
    make_tokens(tokens, N_TOKENS, 3);
    for (int i = 0; i < N_VARIANTS; i++) {
        for (int32_t block_tokens = 8; block_tokens <= 256; block_tokens *= 2) {
            struct fixture fixture;
            set_up(&fixture, i, block_tokens, TENSOR_BF16);
            run(&fixture, &(struct piece){tokens, 0, N_TOKENS, blocks_a, 0}, 1, block_tokens == 8 ? whole : other);
            if (block_tokens > 8)
                assert_memory_equal(whole, other, sizeof whole);
            tear_down(&fixture);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_in_chunks_gives_the_same_bits_as_the_whole_prompt),
        cmocka_unit_test(sequences_together_give_the_same_bits_as_each_alone),
        cmocka_unit_test(the_size_of_blocks_does_not_change_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
