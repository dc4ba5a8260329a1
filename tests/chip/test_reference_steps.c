/* The reference chip as a chip: tokens from the step before, what is wanted of logits, edits, refusals, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "chip/support_program.h"

enum { N_VOCABULARY = 50 };

struct fixture {
    struct arena arena;
    const struct program *program;
    struct chip *chip;
    struct plan *plan;
    struct error err;
    /* A step of one sequence; the arrays it names. */
    int32_t ids[64], sources[64], positions[64], rows[64], wants[64], blocks[32], row_starts[2], length, slot;
    struct step step;
};

static void set_up(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    struct small_model_options options = small_model_defaults();
    arena_init(&f->arena, 16 << 20);
    f->program = small_model_make(&f->arena, &options);
    assert_int_equal(chip_open("reference", &f->chip, NULL), 0);
    struct plan_limits limits = small_limits(f->program);
    f->plan = make_plan(f->chip, f->program, &limits);
    for (int32_t i = 0; i < 32; i++)
        f->blocks[i] = i;
}

static void tear_down(struct fixture *f)
{
    f->plan->interface->plan_free(f->plan);
    f->chip->interface->close(f->chip);
    arena_free(&f->arena);
}

/* Makes f->step: tokens ids[0 .. n) at `position`, the logits of the last row wanted as `wants` says. */
static void make_step(struct fixture *f, int32_t n, int32_t position, int32_t wants)
{
    for (int32_t i = 0; i < n; i++) {
        f->positions[i] = position + i;
        f->sources[i] = -1;
    }
    f->row_starts[1] = n;
    f->length = position + n;
    f->rows[0] = n - 1;
    f->wants[0] = wants;
    f->step = (struct step){.id = f->step.id + 1,
                            .n_tokens = n,
                            .token_ids = f->ids,
                            .token_sources = f->sources,
                            .positions = f->positions,
                            .n_sequences = 1,
                            .row_starts = f->row_starts,
                            .lengths = &f->length,
                            .slots = &f->slot,
                            .n_groups = 1,
                            .tables = {{f->blocks, 32}},
                            .n_logit_rows = 1,
                            .logit_rows = f->rows,
                            .wants = f->wants,
                            .n_top = 7};
}

static struct step_result run(struct fixture *f)
{
    struct step_result result;
    if (f->plan->interface->plan_submit(f->plan, &f->step, &f->err) || f->plan->interface->plan_wait(f->plan, UINT64_MAX, &result, &f->err))
        fail_msg("%s", f->err.message);
    assert_int_equal(result.id, f->step.id);
    return result;
}

static void a_token_named_by_the_step_before_gives_the_same_bits_as_the_token_itself(void **state)
{
    (void)state;
    struct fixture f;
    float named[N_VOCABULARY];
    set_up(&f);
    for (int32_t i = 0; i < 5; i++)
        f.ids[i] = 3 * i;
    make_step(&f, 5, 0, WANT_ARGMAX);
    int32_t token = run(&f).argmax[0];
    make_step(&f, 1, 5, WANT_LOGITS | WANT_ARGMAX);
    f.ids[0] = 1000000; /* is not looked at */
    f.sources[0] = 0;
    memcpy(named, run(&f).logits, sizeof named);
    f.ids[0] = token;
    make_step(&f, 1, 5, WANT_LOGITS);
    assert_memory_equal(named, run(&f).logits, sizeof named);

    make_step(&f, 1, 6, 0);
    f.sources[0] = 0; /* the step before wanted logits only */
    assert_int_equal(f.plan->interface->plan_submit(f.plan, &f.step, &f.err), SAMPAN_EINVAL);
    assert_non_null(strstr(f.err.message, "did not ask for its argmax"));
    tear_down(&f);
}

static void argmax_and_top_are_the_largest_of_the_logits(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.ids[0] = 17;
    make_step(&f, 1, 0, WANT_LOGITS | WANT_ARGMAX | WANT_TOP);
    struct step_result result = run(&f);
    assert_int_equal(result.argmax[0], result.top_ids[0]);
    for (int32_t k = 0; k < 7; k++) {
        int32_t id = result.top_ids[k], larger = 0;
        assert_true(result.top_logits[k] == result.logits[id]);
        for (int32_t v = 0; v < N_VOCABULARY; v++)
            larger += result.logits[v] > result.logits[id] || (result.logits[v] == result.logits[id] && v < id);
        assert_int_equal(larger, k);
    }
    make_step(&f, 1, 1, 0);
    result = run(&f);
    assert_null(result.logits);
    assert_null(result.top_ids);
    assert_int_equal(result.argmax[0], -1);
    tear_down(&f);
}

/* A program that hands out what a test wrote: embedding rows are the logits. */
static void ties_go_to_the_lower_id_and_nan_never_wins(void **state)
{
    (void)state;
    enum { N = 6 };
    static float table[N * N] = {
        1,   3,        3,   2,        3,         0,   /* ties */
        NAN, -5,       NAN, -4,       -INFINITY, -4,  /* not a number first */
        NAN, NAN,      NAN, NAN,      NAN,       NAN, /* nothing else */
        0,   INFINITY, 1,   INFINITY, 2,         3,   /* infinity */
    };
    static const int32_t expected[4][3] = {{1, 2, 4}, {3, 5, 1}, {0, 1, 2}, {1, 3, 5}};
    struct arena arena;
    struct program_builder *builder;
    const struct program *program;
    struct error err = {0};
    struct chip *chip;
    arena_init(&arena, 1 << 20);
    assert_int_equal(program_builder_create(&arena, "table", &builder, &err), 0);
    int32_t x = program_add_buffer(builder, "x", N, ROWS_TOKENS), out = program_add_buffer(builder, "out", N, ROWS_LOGITS);
    struct op embed = {.kind = OP_EMBED, .label = "embed", .embed = {.out = x, .scale = 1}};
    embed.embed.table = add_values(builder, "table", WEIGHT_EMBEDDING, N, N, table);
    program_add_op(builder, &embed);
    program_add_op(builder, &(struct op){.kind = OP_SELECT_ROWS, .label = "select", .select_rows = {.x = x, .residual = -1, .out = out}});
    program_add_op(builder, &(struct op){.kind = OP_LOGITS, .label = "logits", .logits = {.x = out, .hidden = -1}});
    assert_int_equal(program_builder_finish(builder, N, 0, 8, &program, &err), 0);
    struct plan_limits limits = small_limits(program);
    assert_int_equal(chip_open("reference", &chip, &err), 0);
    struct plan *plan = make_plan(chip, program, &limits);
    int32_t ids[] = {0, 1, 2, 3}, row_starts[] = {0, 4}, length = 4, slot = 0, wants[] = {6, 6, 6, 6};
    struct step step = {.n_tokens = 4,
                        .token_ids = ids,
                        .positions = ids,
                        .n_sequences = 1,
                        .row_starts = row_starts,
                        .lengths = &length,
                        .slots = &slot,
                        .n_logit_rows = 4,
                        .logit_rows = ids,
                        .wants = wants,
                        .n_top = 3};
    struct step_result result;
    assert_int_equal(plan->interface->plan_submit(plan, &step, &err), 0);
    assert_int_equal(plan->interface->plan_wait(plan, 0, &result, &err), 0);
    for (int r = 0; r < 4; r++) {
        assert_int_equal(result.argmax[r], expected[r][0]);
        assert_memory_equal(result.top_ids + r * 3, expected[r], sizeof expected[r]);
    }
    plan->interface->plan_free(plan);
    chip->interface->close(chip);
    arena_free(&arena);
}

static void edits_run_in_order_before_the_step(void **state)
{
    (void)state;
    struct fixture f;
    float expected[N_VOCABULARY];
    static unsigned char first[4096], second[4096];
    uint64_t length;
    set_up(&f);
    for (int32_t i = 0; i < 20; i++)
        f.ids[i] = i;
    make_step(&f, 20, 0, 0);
    run(&f);
    f.ids[0] = 9;
    make_step(&f, 1, 20, WANT_LOGITS);
    memcpy(expected, run(&f).logits, sizeof expected);

    /* Block 1 goes to 30, then is cleared; the sequence goes on with the copy. */
    const struct cache_edit edits[] = {{CACHE_COPY, 0, 1, 30}, {CACHE_ZERO, 0, -1, 1}};
    f.blocks[1] = 30;
    make_step(&f, 1, 20, WANT_LOGITS);
    f.step.edits = edits;
    f.step.n_edits = 2;
    assert_memory_equal(expected, run(&f).logits, sizeof expected);
    assert_int_equal(f.plan->interface->plan_read_block(f.plan, 0, 1, first, sizeof first, &length, NULL), 0);
    assert_int_equal(length, sizeof first); /* 2 layers * 16 tokens * 2 heads * (8 + 8) floats */
    assert_int_equal(f.plan->interface->plan_read_block(f.plan, 0, 31, second, sizeof second, &length, NULL), 0);
    assert_memory_equal(first, second, sizeof first); /* block 31 was never written */
    assert_int_equal(f.plan->interface->plan_read_block(f.plan, 0, 1, first, 10, &length, NULL), SAMPAN_EINVAL);
    assert_int_equal(f.plan->interface->plan_read_block(f.plan, 0, 64, first, sizeof first, &length, NULL), SAMPAN_EINVAL);
    tear_down(&f);
}

static void one_step_is_in_flight_at_a_time_and_a_refused_one_is_not(void **state)
{
    (void)state;
    struct fixture f;
    struct step_result result;
    float values[32];
    set_up(&f);
    assert_int_equal(f.plan->interface->plan_wait(f.plan, 0, &result, &f.err), SAMPAN_EINVAL);
    make_step(&f, 1, 0, 0);
    f.ids[0] = 50;
    assert_int_equal(f.plan->interface->plan_submit(f.plan, &f.step, &f.err), SAMPAN_EINVAL);
    f.ids[0] = 49;
    assert_int_equal(f.plan->interface->plan_submit(f.plan, &f.step, &f.err), 0);
    assert_int_equal(f.plan->interface->plan_submit(f.plan, &f.step, &f.err), SAMPAN_EBUSY);
    assert_int_equal(f.plan->interface->plan_read_buffer(f.plan, 0, 1, values, &f.err), SAMPAN_EBUSY);
    assert_int_equal(f.plan->interface->plan_wait(f.plan, 0, &result, &f.err), 0);
    assert_int_equal(f.plan->interface->plan_read_buffer(f.plan, 0, 1, values, &f.err), 0);
    assert_int_equal(f.plan->interface->plan_read_buffer(f.plan, 99, 1, values, &f.err), SAMPAN_EINVAL);
    assert_int_equal(f.plan->interface->plan_read_buffer(f.plan, 0, 65, values, &f.err), SAMPAN_EINVAL);
    tear_down(&f);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    uint64_t before = mem_allocation_count();
    for (int32_t i = 0; i < 30; i++) {
        make_step(&f, 1, i, WANT_LOGITS | WANT_ARGMAX | WANT_TOP);
        run(&f);
    }
    assert_int_equal(mem_allocation_count(), before);
    tear_down(&f);
}

static void compiling_fails_cleanly_wherever_memory_runs_out(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct plan_limits limits = small_limits(f.program);
    int64_t n = 0;
    for (;; n++) {
        struct plan *plan = NULL;
        mem_fail_after(n);
        int status = f.chip->interface->plan_create(f.chip, f.program, &limits, NULL, &plan, &f.err);
        mem_fail_after(-1);
        f.chip->interface->plan_free(plan);
        if (!status)
            break;
        assert_int_equal(status, SAMPAN_ENOMEM);
        assert_non_null(strstr(f.err.message, "out of memory"));
        assert_null(plan);
    }
    assert_true(n > 20); /* buffers, caches, weights: each was refused once */
    tear_down(&f);
}

static void limits_that_make_no_sense_are_refused_by_name(void **state)
{
    (void)state;
    struct fixture f;
    struct plan *plan = NULL;
    set_up(&f);
    const struct plan_limits good = small_limits(f.program);
    struct plan_limits bad[] = {good, good, good, good, good, good, good};
    static const char *const reasons[] = {"max_tokens is 0", "max_sequences is 4097", "max_context is -1",   "blocks of 48 tokens",
                                          "has 0 blocks",    "not in q4_1",           "max_logit_rows is -1"};
    bad[0].max_tokens = 0;
    bad[1].max_sequences = LIMIT_SEQUENCES + 1;
    bad[2].max_context = -1;
    bad[3].block_tokens = 48;
    bad[4].n_blocks[0] = 0;
    bad[5].cache_type = TENSOR_Q4_1;
    bad[6].max_logit_rows = -1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(f.chip->interface->plan_create(f.chip, f.program, &bad[i], NULL, &plan, &f.err) < 0);
        if (!strstr(f.err.message, reasons[i]))
            fail_msg("expected '%s', found '%s'", reasons[i], f.err.message);
    }
    tear_down(&f);
}

static int stop_at_once(void *self, uint64_t done, uint64_t total)
{
    ++*(int *)self;
    return done > total || done;
}

static void the_registry_opens_by_name_and_says_what_there_is(void **state)
{
    (void)state;
    struct error err = {0};
    struct chip *chip = NULL;
    assert_int_equal(chip_open("abacus", &chip, &err), SAMPAN_ENOTFOUND);
    assert_non_null(strstr(err.message, "'abacus'"));
    assert_non_null(strstr(err.message, "reference"));
    assert_int_equal(chip_open("", &chip, &err), SAMPAN_ENOTFOUND);
    assert_int_equal(chip_open("reference:fast", &chip, &err), SAMPAN_EUNSUPPORTED);
    assert_int_equal(chip_open("reference,threads=2", &chip, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "threads=2"));
    assert_int_equal(chip_open(NULL, &chip, &err), 0);
    chip->interface->close(chip);
    assert_int_equal(chip_open("reference", &chip, &err), 0);
    struct chip_description description;
    chip->interface->describe(chip, &description);
    assert_string_equal(description.numerics_id, "reference:1");
    assert_true(description.memory_available > 0 && description.memory_available <= description.memory_total);
    assert_int_equal(chip->interface->health(chip, &err), 0);
    chip->interface->close(chip);
}

static void loading_reads_files_reports_progress_and_can_be_stopped(void **state)
{
    (void)state;
    struct fixture f;
    struct file *file;
    struct plan *plan = NULL;
    char path[] = "/tmp/sampan_test_XXXXXX";
    int calls = 0, descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    set_up(&f);
    /* The embedding comes from a file, twice the same bytes as in memory. */
    struct program program = *f.program;
    struct logical_weight weights[64];
    memcpy(weights, program.weights, (size_t)program.n_weights * sizeof *weights);
    struct weight_part part = weights[program.ops[0].embed.table].parts[0];
    assert_int_equal(write(descriptor, part.memory, part.bytes), part.bytes);
    close(descriptor);
    assert_int_equal(file_open(path, &file, &f.err), 0);
    part.file = file;
    part.memory = NULL;
    weights[program.ops[0].embed.table].parts = &part;
    program.weights = weights;
    struct plan_limits limits = small_limits(&program);
    struct progress progress = {stop_at_once, &calls};
    assert_int_equal(f.chip->interface->plan_create(f.chip, &program, &limits, &progress, &plan, &f.err), SAMPAN_ECANCELLED);
    assert_int_equal(calls, 1);
    file_fail_read_after(0);
    assert_int_equal(f.chip->interface->plan_create(f.chip, &program, &limits, NULL, &plan, &f.err), SAMPAN_EIO);
    assert_non_null(strstr(f.err.message, "'embedding'"));
    file_fail_read_after(-1);
    assert_int_equal(f.chip->interface->plan_create(f.chip, &program, &limits, NULL, &plan, &f.err), 0);
    file_close(file); /* the plan needs it no longer */
    f.plan->interface->plan_free(f.plan);
    f.plan = plan;
    make_step(&f, 3, 0, WANT_ARGMAX);
    assert_in_range(run(&f).argmax[0], 0, N_VOCABULARY - 1);
    struct plan_description description;
    plan->interface->plan_describe(plan, &description);
    assert_string_equal(description.numerics_id, "reference:1;weights=f32;cache=f32;segments=1");
    assert_int_equal(description.weight_bytes, program_weight_bytes(f.program));
    assert_int_equal(description.group_block_bytes[0], 4096);
    unlink(path);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_named_by_the_step_before_gives_the_same_bits_as_the_token_itself),
        cmocka_unit_test(argmax_and_top_are_the_largest_of_the_logits),
        cmocka_unit_test(ties_go_to_the_lower_id_and_nan_never_wins),
        cmocka_unit_test(edits_run_in_order_before_the_step),
        cmocka_unit_test(one_step_is_in_flight_at_a_time_and_a_refused_one_is_not),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(compiling_fails_cleanly_wherever_memory_runs_out),
        cmocka_unit_test(limits_that_make_no_sense_are_refused_by_name),
        cmocka_unit_test(the_registry_opens_by_name_and_says_what_there_is),
        cmocka_unit_test(loading_reads_files_reports_progress_and_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
