/* The executor of one chip: what it describes, that steps pass through, and losing it on purpose. On the reference chip with a tiny model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "file/checkpoint.h"
#include "fleet/local_executor.h"
#include "model/model.h"
#include "tiny/tiny_model.h"

struct fixture {
    char path[TINY_MODEL_PATH];
    struct checkpoint *checkpoint;
    struct arena arena;
    const struct program *program;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct tiny_model_options options = tiny_model_defaults();
    struct model_options model_options = {0};
    struct error err;
    arena_init(&fixture.arena, 64 << 20);
    if (tiny_model_make(&options, fixture.path, &err) || checkpoint_open(fixture.path, &fixture.checkpoint, &err) ||
        model_write_program(fixture.checkpoint, &model_options, &fixture.arena, &fixture.program, &err)) {
        print_error("%s\n", err.message);
        return 1;
    }
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    checkpoint_close(fixture->checkpoint);
    arena_free(&fixture->arena);
    unlink(fixture->path);
    return 0;
}

static struct local_factory *make_factory(const struct fixture *fixture, int32_t context, int32_t sequences)
{
    struct local_executor_options options = {
        .chip = "reference", .program = fixture->program, .max_context = context, .max_sequences = sequences, .max_tokens = 32};
    struct local_factory *factory;
    assert_int_equal(local_factory_create(&options, &factory, NULL), 0);
    return factory;
}

static struct executor *open_from(struct local_factory *factory)
{
    struct executor_factory interface = local_factory_interface(factory);
    struct executor *executor;
    struct error err;
    if (interface.open(interface.self, &executor, &err))
        fail_msg("%s", err.message);
    return executor;
}

/* One sequence of `n` tokens from position 0, in the first blocks; argmax of the last row, or the code of the first failing call. */
static int32_t run_step(struct executor *executor, int32_t n)
{
    struct executor_description description;
    int32_t ids[32], positions[32], blocks[64], row_starts[2] = {0, n}, slot = 0, row = n - 1, want = WANT_ARGMAX;
    executor->interface->describe(executor, &description);
    for (int32_t i = 0; i < 32; i++) {
        ids[i] = 3 + i;
        positions[i] = i;
    }
    for (int32_t i = 0; i < 64; i++)
        blocks[i] = i;
    struct step step = {.n_tokens = n,
                        .token_ids = ids,
                        .positions = positions,
                        .n_sequences = 1,
                        .row_starts = row_starts,
                        .lengths = &n,
                        .slots = &slot,
                        .n_groups = description.n_groups,
                        .n_logit_rows = 1,
                        .logit_rows = &row,
                        .wants = &want};
    for (int32_t g = 0; g < description.n_groups; g++)
        step.tables[g] = (struct step_block_table){blocks, description.max_context / description.groups[g].block_tokens};
    struct step_result result;
    struct error err;
    int code = executor->interface->submit(executor, &step, &err);
    if (!code)
        code = executor->interface->wait(executor, UINT64_MAX, &result, &err);
    return code ? code : result.argmax[0];
}

static void the_description_follows_the_program_and_the_options(void **state)
{
    struct fixture *fixture = *state;
    struct local_factory *factory = make_factory(fixture, 256, 2);
    struct chip_description chip;
    struct plan_description plan;
    struct plan_limits limits;
    assert_false(local_factory_describe(factory, &chip, &plan, &limits));
    struct executor *executor = open_from(factory);
    struct executor_description description;
    executor->interface->describe(executor, &description);
    assert_int_equal(description.max_context, 256);
    assert_int_equal(description.max_sequences, 2);
    assert_int_equal(description.max_tokens, 32);
    assert_int_equal(description.n_vocabulary, 288);
    assert_true(description.max_logit_rows >= 2);
    assert_int_equal(description.groups[0].n_blocks * description.groups[0].block_tokens, 512);
    assert_non_null(strstr(description.numerics_id, "reference"));
    assert_true(local_factory_describe(factory, &chip, &plan, &limits));
    assert_int_equal(limits.cache_type, TENSOR_F32);
    assert_true(plan.weight_bytes > 0);
    executor->interface->close(executor);
    local_factory_free(factory);
}

static void a_step_passes_through_and_again_after_a_loss(void **state)
{
    struct fixture *fixture = *state;
    struct local_factory *factory = make_factory(fixture, 0, 1);
    struct executor *executor = open_from(factory);
    int32_t token = run_step(executor, 7);
    assert_true(token >= 0);
    local_factory_lose_after(factory, 1);
    assert_int_equal(run_step(executor, 7), token);
    assert_int_equal(run_step(executor, 7), SAMPAN_ELOST);
    assert_int_equal(run_step(executor, 7), SAMPAN_ELOST); /* and it stays lost */
    executor->interface->close(executor);
    executor = open_from(factory);
    assert_int_equal(run_step(executor, 7), token);
    executor->interface->close(executor);
    local_factory_free(factory);
}

static void what_cannot_be_opened_says_why(void **state)
{
    struct fixture *fixture = *state;
    struct local_executor_options options = {.chip = "abacus", .program = fixture->program};
    struct local_factory *factory;
    struct executor *executor;
    struct error err;
    assert_int_equal(local_factory_create(&options, &factory, &err), 0);
    struct executor_factory interface = local_factory_interface(factory);
    assert_int_equal(interface.open(interface.self, &executor, &err), SAMPAN_ENOTFOUND);
    assert_non_null(strstr(err.message, "abacus"));
    assert_null(executor);
    local_factory_free(factory);
    options.chip = "reference";
    options.cache_bytes = 100;
    assert_int_equal(local_factory_create(&options, &factory, &err), 0);
    interface = local_factory_interface(factory);
    assert_int_equal(interface.open(interface.self, &executor, &err), SAMPAN_ENOMEM);
    assert_non_null(strstr(err.message, "100 bytes"));
    local_factory_free(factory);
    options.block_tokens = 48; /* no divisor of a span */
    assert_int_equal(local_factory_create(&options, &factory, &err), SAMPAN_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_description_follows_the_program_and_the_options),
        cmocka_unit_test(a_step_passes_through_and_again_after_a_loss),
        cmocka_unit_test(what_cannot_be_opened_says_why),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
