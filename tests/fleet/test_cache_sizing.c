/* How context and cache follow from what is free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/cache_sizing.h"

/* 2 layers, 4 kv heads of 64 + 64: 2048 bytes per token in f16, so that a block of 32 tokens takes 64 KiB. */
static const struct program_cache_group full_group = {.name = "all", .kind = CACHE_FULL_ATTENTION, .n_layers = 2, ATTENTION_STREAMS(4, 64, 64)};
static const struct program one_group = {.name = "test", .context_length = 4096, .n_groups = 1, .groups = &full_group};

static struct cache_demand make_demand(const struct program *program)
{
    return (struct cache_demand){
        .program = program, .cache_type = TENSOR_F16, .block_tokens = 32, .max_tokens = 512, .max_sequences = 4, .budget = (uint64_t)1 << 40};
}

static void plenty_of_memory_gives_every_sequence_the_whole_context(void **state)
{
    (void)state;
    struct cache_demand demand = make_demand(&one_group);
    struct cache_sizes sizes;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, NULL), 0);
    assert_int_equal(sizes.context, 4096);
    assert_int_equal(sizes.n_blocks[0], 4 * 4096 / 32);
    assert_int_equal(sizes.bytes, (uint64_t)4 * 4096 * 2048);
}

static void less_memory_gives_fewer_blocks_but_one_whole_context(void **state)
{
    (void)state;
    struct cache_demand demand = make_demand(&one_group);
    struct cache_sizes sizes;
    demand.budget = (uint64_t)4096 * 2048 * 3 / 2;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, NULL), 0);
    assert_int_equal(sizes.context, 4096);
    assert_int_equal(sizes.n_blocks[0], 4096 / 32 * 3 / 2);
}

static void a_context_that_was_not_asked_for_shrinks_to_what_fits(void **state)
{
    (void)state;
    struct cache_demand demand = make_demand(&one_group);
    struct cache_sizes sizes;
    demand.budget = (uint64_t)1000 * 2048;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, NULL), 0);
    assert_int_equal(sizes.context, 992); /* whole blocks of 32 */
    assert_int_equal(sizes.n_blocks[0], 31);
    assert_true(sizes.bytes <= demand.budget);
}

static void a_context_that_was_asked_for_and_does_not_fit_is_refused_with_what_would(void **state)
{
    (void)state;
    struct cache_demand demand = make_demand(&one_group);
    struct cache_sizes sizes;
    struct error err;
    demand.context = 2048;
    demand.budget = (uint64_t)1000 * 2048;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, &err), SAMPAN_ENOMEM);
    assert_non_null(strstr(err.message, "2048 tokens needs 4.0 MiB"));
    assert_non_null(strstr(err.message, "2.0 MiB"));
    assert_non_null(strstr(err.message, "--context 992"));
}

static void a_context_beyond_the_models_is_refused(void **state)
{
    (void)state;
    struct cache_demand demand = make_demand(&one_group);
    struct cache_sizes sizes;
    struct error err;
    demand.context = 4097;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "made for 4096"));
}

static void no_memory_at_all_is_refused_even_when_no_context_was_asked_for(void **state)
{
    (void)state;
    struct cache_demand demand = make_demand(&one_group);
    struct cache_sizes sizes;
    struct error err;
    demand.budget = 1000;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, &err), SAMPAN_ENOMEM);
    assert_non_null(strstr(err.message, "1000 bytes"));
}

static void a_sliding_window_needs_only_the_blocks_it_can_touch(void **state)
{
    (void)state;
    struct program_cache_group groups[2] = {full_group, full_group};
    struct program program = one_group;
    struct cache_sizes sizes;
    groups[1].kind = CACHE_SLIDING_WINDOW;
    groups[1].window = 256;
    program.n_groups = 2;
    program.groups = groups;
    struct cache_demand demand = make_demand(&program);
    demand.max_sequences = 1;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, NULL), 0);
    assert_int_equal(sizes.n_blocks[0], 128);
    assert_int_equal(sizes.n_blocks[1], (256 + 512) / 32 + 1);
}

static void huge_sizes_do_not_overflow(void **state)
{
    (void)state;
    struct program_cache_group group = {
        .kind = CACHE_FULL_ATTENTION, .n_layers = LIMIT_LAYERS, ATTENTION_STREAMS(LIMIT_HEADS, LIMIT_HEAD_WIDTH, LIMIT_HEAD_WIDTH)};
    struct program program = {.context_length = LIMIT_CONTEXT, .n_groups = 1, .groups = &group};
    struct cache_demand demand = make_demand(&program);
    struct cache_sizes sizes;
    demand.block_tokens = 256;
    demand.cache_type = TENSOR_F32;
    demand.max_sequences = LIMIT_SEQUENCES;
    demand.budget = (uint64_t)64 << 30;
    assert_int_equal(cache_sizes_choose(&demand, &sizes, NULL), SAMPAN_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plenty_of_memory_gives_every_sequence_the_whole_context),
        cmocka_unit_test(less_memory_gives_fewer_blocks_but_one_whole_context),
        cmocka_unit_test(a_context_that_was_not_asked_for_shrinks_to_what_fits),
        cmocka_unit_test(a_context_that_was_asked_for_and_does_not_fit_is_refused_with_what_would),
        cmocka_unit_test(a_context_beyond_the_models_is_refused),
        cmocka_unit_test(no_memory_at_all_is_refused_even_when_no_context_was_asked_for),
        cmocka_unit_test(a_sliding_window_needs_only_the_blocks_it_can_touch),
        cmocka_unit_test(huge_sizes_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
