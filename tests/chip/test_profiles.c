/* Profiles and estimates: what is known of a chip without opening it. An estimate must be what a plan then takes, to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/memory.h"
#include "chip/chip.h"
#include "file/checkpoint.h"
#include "model/model.h"
#include "tiny/tiny_model.h"

struct loaded {
    char path[TINY_MODEL_PATH];
    struct checkpoint *checkpoint;
    struct arena arena;
    const struct program *program;
};

static void load(struct loaded *loaded, const struct tiny_model_options *options)
{
    struct model_options model_options = {.segments = 4};
    struct error err = {0};
    arena_init(&loaded->arena, 64 << 20);
    if (tiny_model_make(options, loaded->path, &err) || checkpoint_open(loaded->path, &loaded->checkpoint, &err) ||
        model_write_program(loaded->checkpoint, &model_options, &loaded->arena, &loaded->program, &err))
        fail_msg("%s", err.message);
}

static void unload(struct loaded *loaded)
{
    checkpoint_close(loaded->checkpoint);
    arena_free(&loaded->arena);
    unlink(loaded->path);
}

static const struct plan_limits limits = {
    .max_tokens = 33, .max_sequences = 5, .max_logit_rows = 7, .max_context = 200, .block_tokens = 32, .n_blocks = {11}, .cache_type = TENSOR_BF16};

static void compare_with_plan(const char *chip_name, const struct program *program)
{
    struct plan_description estimated, real;
    struct weight_estimate *weights = mem_alloc_array((size_t)program->n_weights, sizeof *weights);
    struct error err = {0};
    struct chip *chip;
    struct plan *plan;
    uint64_t sum = 0;
    char profile[32];
    if (chip_open(chip_name, &chip, &err))
        fail_msg("%s", err.message);
    assert_true(chip_split_profile(chip_name, profile, sizeof profile));
    if (chip->interface->plan_estimate(profile, program, &limits, &estimated, weights, &err) ||
        chip->interface->plan_create(chip, program, &limits, NULL, &plan, &err))
        fail_msg("%s", err.message);
    chip->interface->plan_describe(plan, &real);
    assert_int_equal(estimated.weight_bytes, real.weight_bytes);
    assert_int_equal(estimated.cache_bytes, real.cache_bytes);
    assert_int_equal(estimated.buffer_bytes, real.buffer_bytes);
    assert_int_equal(estimated.group_block_bytes[0], real.group_block_bytes[0]);
    for (int32_t w = 0; w < program->n_weights; w++) {
        sum += weights[w].bytes;
        assert_true(weights[w].bytes ? weights[w].shared_with == w : weights[weights[w].shared_with].bytes > 0);
        assert_non_null(weights[w].form);
        assert_true(weights[w].passes >= 1);
    }
    assert_int_equal(sum, real.weight_bytes);
    chip->interface->plan_free(plan);
    chip->interface->close(chip);
    mem_free(weights);
}

static void an_estimate_is_what_a_plan_takes(void **state)
{
    (void)state;
    static const enum tensor_type types[] = {TENSOR_Q4_1, TENSOR_Q5_0, TENSOR_F32, TENSOR_BF16, TENSOR_Q8_0};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        struct tiny_model_options options = tiny_model_defaults();
        struct loaded loaded;
        options.type = types[t];
        options.tied = t % 2 == 0;
        options.n_vocabulary = 300 + (int32_t)t; /* no multiple of anything */
        load(&loaded, &options);
        compare_with_plan("cpu", loaded.program);
        compare_with_plan("cpu:portable", loaded.program);
        compare_with_plan("reference", loaded.program);
        unload(&loaded);
    }
}

/* 2 layers x 2 kv heads x (16 + 16) elements x 32 tokens x 2 bytes: the reference keeps nothing else. */
static void the_reference_keeps_what_arithmetic_says(void **state)
{
    (void)state;
    struct tiny_model_options options = tiny_model_defaults();
    struct loaded loaded;
    struct plan_description sizes;
    load(&loaded, &options);
    assert_int_equal(chip_find_kind("reference")->plan_estimate("", loaded.program, &limits, &sizes, NULL, NULL), 0);
    assert_int_equal(sizes.group_block_bytes[0], 2 * 2 * 32 * 32 * 2);
    assert_int_equal(sizes.cache_bytes, 11 * sizes.group_block_bytes[0]);
    assert_int_equal(sizes.weight_bytes, program_weight_bytes(loaded.program));
    unload(&loaded);
}

static void a_tied_head_is_held_once(void **state)
{
    (void)state;
    struct tiny_model_options options = tiny_model_defaults();
    struct plan_description tied, apart;
    struct loaded loaded;
    options.tied = true;
    load(&loaded, &options);
    assert_int_equal(chip_find_kind("cpu")->plan_estimate("", loaded.program, &limits, &tied, NULL, NULL), 0);
    unload(&loaded);
    options.tied = false;
    load(&loaded, &options);
    assert_int_equal(chip_find_kind("cpu")->plan_estimate("", loaded.program, &limits, &apart, NULL, NULL), 0);
    unload(&loaded);
    assert_int_equal(apart.weight_bytes - tied.weight_bytes, 288 * (64 / 32) * (2 + 32)); /* Q8_0: 288 rows of two blocks */
}

static void impossible_limits_are_refused(void **state)
{
    (void)state;
    struct tiny_model_options options = tiny_model_defaults();
    struct plan_description sizes;
    struct loaded loaded;
    struct plan_limits wrong = limits;
    load(&loaded, &options);
    wrong.n_blocks[0] = INT32_MAX;
    assert_int_equal(chip_find_kind("cpu")->plan_estimate("", loaded.program, &wrong, &sizes, NULL, NULL), 0); /* much, but it can be counted */
    wrong.n_blocks[0] = 0;
    assert_int_equal(chip_find_kind("cpu")->plan_estimate("", loaded.program, &wrong, &sizes, NULL, NULL), SAMPAN_EINVAL);
    assert_int_equal(chip_find_kind("reference")->plan_estimate("", loaded.program, &wrong, &sizes, NULL, NULL), SAMPAN_EINVAL);
    unload(&loaded);
}

static void every_profile_has_a_name_and_is_known_to_supports(void **state)
{
    (void)state;
    static struct chip_profile profiles[CHIP_MAX_PROFILES];
    struct tiny_model_options options = tiny_model_defaults();
    struct loaded loaded;
    struct error err = {0};
    load(&loaded, &options);
    for (size_t k = 0; chip_registry[k]; k++) {
        int n = chip_registry[k]->profiles(profiles, CHIP_MAX_PROFILES);
        assert_in_range(n, 1, CHIP_MAX_PROFILES);
        assert_int_equal(chip_registry[k]->profiles(profiles, 1), 1);
        assert_int_equal(chip_registry[k]->profiles(profiles, CHIP_MAX_PROFILES), n);
        for (int i = 0; i < n; i++) {
            assert_true(strlen(profiles[i].product) > 0);
            for (int j = 0; j < i; j++)
                assert_string_not_equal(profiles[i].name, profiles[j].name);
            assert_true((profiles[i].memory_bytes > 0) == (profiles[i].memory_source != NULL));
            assert_true((profiles[i].memory_bandwidth > 0) == (profiles[i].bandwidth_source != NULL));
            /* It may refuse with a reason of its own, but not because it does not know its name. */
            int code = chip_registry[k]->supports(profiles[i].name, loaded.program, &loaded.program->ops[0], profiles[i].cache_type, &err);
            assert_true(!code || !strstr(err.message, "no profile"));
        }
        assert_int_equal(chip_registry[k]->supports("no such thing", loaded.program, &loaded.program->ops[0], TENSOR_F16, &err), SAMPAN_EUNSUPPORTED);
    }
    unload(&loaded);
}

/* Positive where the arithmetic is there; how much depends on who else works on this machine. */
static void what_is_here_can_be_measured(void **state)
{
    (void)state;
    static struct chip_profile profiles[CHIP_MAX_PROFILES];
    const struct chip_interface *cpu = chip_find_kind("cpu");
    struct error err = {0};
    int n = cpu->profiles(profiles, CHIP_MAX_PROFILES), measured = 0;
    for (int i = 0; i < n; i++) {
        profiles[i].memory_bandwidth = measured ? 1 : 0; /* known: not measured again */
        int code = cpu->measure(&profiles[i], &err);
        assert_int_equal(code, profiles[i].is_here ? 0 : SAMPAN_EUNSUPPORTED);
        if (code)
            continue;
        measured++;
        assert_true(profiles[i].peak[RATE_F32] > 1e6);
        assert_true(measured > 1 ? profiles[i].memory_bandwidth <= 1 : profiles[i].memory_bandwidth > 1e6);
        assert_non_null(profiles[i].peak_source);
        assert_non_null(profiles[i].bandwidth_source);
    }
    assert_true(measured > 0);
}

static void names_of_chips_are_taken_apart(void **state)
{
    (void)state;
    char profile[8];
    assert_ptr_equal(chip_find_kind("cpu"), chip_find_kind("cpu:avx2,threads=2"));
    assert_ptr_equal(chip_find_kind("cpu,threads=2"), chip_find_kind("cpu"));
    assert_null(chip_find_kind("cp"));
    assert_null(chip_find_kind("cpux"));
    assert_null(chip_find_kind(""));
    assert_true(chip_split_profile("cpu:avx2,threads=2", profile, sizeof profile));
    assert_string_equal(profile, "avx2");
    assert_true(chip_split_profile("cpu,x=a:b", profile, sizeof profile));
    assert_string_equal(profile, "");
    assert_false(chip_split_profile("cpu:12345678", profile, sizeof profile));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_estimate_is_what_a_plan_takes),
        cmocka_unit_test(the_reference_keeps_what_arithmetic_says),
        cmocka_unit_test(a_tied_head_is_held_once),
        cmocka_unit_test(impossible_limits_are_refused),
        cmocka_unit_test(every_profile_has_a_name_and_is_known_to_supports),
        cmocka_unit_test(what_is_here_can_be_measured),
        cmocka_unit_test(names_of_chips_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
