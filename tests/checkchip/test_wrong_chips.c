/* checkchip catches chips that are wrong: each is the reference chip with one fault, wrapped from outside. A checker that passes a wrong chip is worse than
 * none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "checkchip/checkchip.h"
#include "tensor/half.h"

enum fault {
    FAULT_NONE,
    FAULT_ONE_BIT,          /* the lowest bit of one element of one row, in steps of one row only: within every bound, but not the same bits */
    FAULT_DEPENDS_ON_BATCH, /* one unit in the last place in steps of more than 8 rows */
    FAULT_LOST_BLOCK,       /* the first output misses what a block of 32 columns adds: simulated as a relative error of 2 % */
    FAULT_NAN_LEAKS,        /* NaN anywhere in a step reaches row 0 */
    FAULT_ARGMAX_LAST,      /* ties go to the highest id */
    FAULT_TOP_UNSORTED,     /* the first two candidates change places */
    FAULT_NO_COPIES,        /* edits are not run */
    FAULT_EDITS_BACKWARDS,  /* ... or from last to first */
    FAULT_OLD_SOURCES,      /* token sources are ignored */
    FAULT_WRONG_POSITION,   /* the second block of a table is read as the first */
    FAULT_ACCEPTS_ALL,      /* bad steps are not refused but dropped */
    FAULT_REFUSES,          /* supports() says no to everything */
    FAULT_TWO_WORKERS,      /* other bits with threads=2 */
};

static enum fault fault;
static const struct chip_interface *real;

struct wrong_plan {
    struct plan base;
    struct plan *inner;
    const struct program *program;
    int workers;
    struct step step; /* as handed on */
    struct cache_edit edits[16];
    int32_t *blocks;
    bool dropped;
    int32_t argmax[STEPPER_ROWS];
    int32_t top_ids[STEPPER_ROWS * 64];
};

struct wrong_chip {
    struct chip base;
    struct chip *inner;
    int workers;
};

static const struct chip_interface wrong_chip_interface;

static int wrong_open(const char *profile, const char *options, struct chip **chip, struct error *err)
{
    (void)profile;
    if (*options && fault != FAULT_TWO_WORKERS)
        return error_set(err, SAMPAN_EINVAL, "no options");
    struct wrong_chip *made = mem_zalloc(sizeof *made);
    assert_non_null(made);
    made->base.interface = &wrong_chip_interface;
    made->workers = strcmp(options, "threads=2") == 0 ? 2 : 1;
    assert_int_equal(real->open("", "", &made->inner, err), 0);
    *chip = &made->base;
    return 0;
}

static void wrong_close(struct chip *chip)
{
    real->close(((struct wrong_chip *)chip)->inner);
    mem_free(chip);
}

static void wrong_describe(const struct chip *chip, struct chip_description *description)
{
    real->describe(((const struct wrong_chip *)chip)->inner, description);
}

static int wrong_supports(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err)
{
    if (fault == FAULT_REFUSES)
        return error_set(err, SAMPAN_EUNSUPPORTED, "not today");
    return real->supports(profile, program, op, cache_type, err);
}

static int wrong_plan_create(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress,
                             struct plan **plan, struct error *err)
{
    struct wrong_plan *made = mem_zalloc(sizeof *made);
    assert_non_null(made);
    made->base.interface = &wrong_chip_interface;
    made->program = program;
    made->workers = ((struct wrong_chip *)chip)->workers;
    made->blocks = mem_zalloc_array(STEPPER_SEQUENCES * STEPPER_BLOCKS, sizeof *made->blocks);
    int code = real->plan_create(((struct wrong_chip *)chip)->inner, program, limits, progress, &made->inner, err);
    *plan = code ? NULL : &made->base;
    if (code) {
        mem_free(made->blocks);
        mem_free(made);
    }
    return code;
}

static void wrong_plan_free(struct plan *plan)
{
    struct wrong_plan *wrong = (struct wrong_plan *)plan;
    if (!wrong)
        return;
    real->plan_free(wrong->inner);
    mem_free(wrong->blocks);
    mem_free(wrong);
}

static void wrong_plan_describe(const struct plan *plan, struct plan_description *description)
{
    real->plan_describe(((const struct wrong_plan *)plan)->inner, description);
}

static void spoil_step(struct wrong_plan *plan)
{
    struct step *step = &plan->step;
    if (fault == FAULT_NO_COPIES)
        step->n_edits = 0;
    if (fault == FAULT_OLD_SOURCES)
        step->token_sources = NULL;
    for (int32_t e = 0; fault == FAULT_EDITS_BACKWARDS && e < step->n_edits; e++)
        plan->edits[e] = step->edits[step->n_edits - 1 - e];
    if (fault == FAULT_EDITS_BACKWARDS)
        step->edits = plan->edits;
    if (fault != FAULT_WRONG_POSITION || step->n_groups == 0 || step->tables[0].stride != STEPPER_BLOCKS)
        return;
    memcpy(plan->blocks, step->tables[0].blocks, (size_t)step->n_sequences * STEPPER_BLOCKS * sizeof *plan->blocks);
    if (plan->blocks[1] >= 0 && step->n_tokens > 1)
        plan->blocks[1] = plan->blocks[0];
    step->tables[0].blocks = plan->blocks;
}

static int wrong_submit(struct plan *base, const struct step *step, struct error *err)
{
    struct wrong_plan *plan = (struct wrong_plan *)base;
    struct step before = plan->step;
    plan->step = *step;
    spoil_step(plan);
    int code = real->plan_submit(plan->inner, &plan->step, err);
    if (code == SAMPAN_EBUSY)
        plan->step = before; /* it is still in flight */
    plan->dropped = code && code != SAMPAN_EBUSY && fault == FAULT_ACCEPTS_ALL;
    return plan->dropped ? 0 : code;
}

static int wrong_wait(struct plan *base, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    struct wrong_plan *plan = (struct wrong_plan *)base;
    if (plan->dropped) {
        *result = (struct step_result){0};
        return 0;
    }
    int code = real->plan_wait(plan->inner, timeout_ns, result, err);
    if (code)
        return code;
    int32_t width = plan->program->n_vocabulary;
    for (int32_t l = 0; fault == FAULT_ARGMAX_LAST && result->logits && l < result->n_logit_rows; l++) {
        plan->argmax[l] = result->argmax[l];
        for (int32_t i = 0; plan->step.wants[l] & WANT_ARGMAX && i < width; i++)
            if (!(result->logits[(int64_t)l * width + i] < result->logits[(int64_t)l * width + plan->argmax[l]]))
                plan->argmax[l] = i;
    }
    if (fault == FAULT_ARGMAX_LAST && result->logits)
        result->argmax = plan->argmax;
    if (fault == FAULT_TOP_UNSORTED && result->top_ids && plan->step.n_top > 1) {
        memcpy(plan->top_ids, result->top_ids, (size_t)(result->n_logit_rows * plan->step.n_top) * sizeof *plan->top_ids);
        plan->top_ids[0] = result->top_ids[1];
        plan->top_ids[1] = result->top_ids[0];
        result->top_ids = plan->top_ids;
    }
    return 0;
}

static void next_float(float *value)
{
    *value = float_from_bits(float_bits(*value) ^ 1u);
}

static int wrong_read(struct plan *base, int32_t buffer, int32_t n_rows, float *values, struct error *err)
{
    struct wrong_plan *plan = (struct wrong_plan *)base;
    int code = real->plan_read_buffer(plan->inner, buffer, n_rows, values, err);
    if (code || n_rows == 0)
        return code;
    int32_t width = plan->program->buffers[buffer].width;
    if (fault == FAULT_ONE_BIT && n_rows == 1)
        next_float(&values[width / 2]);
    if (fault == FAULT_DEPENDS_ON_BATCH && n_rows > 8)
        next_float(&values[(int64_t)n_rows * width - 1]);
    if (fault == FAULT_TWO_WORKERS && plan->workers == 2)
        next_float(&values[width - 1]);
    if (fault == FAULT_LOST_BLOCK)
        values[(int64_t)n_rows * width - 1] *= 1.02f;
    for (int64_t i = 0; fault == FAULT_NAN_LEAKS && i < (int64_t)n_rows * width; i++)
        if (isnan(values[i]))
            values[0] = NAN;
    return 0;
}

static int wrong_write(struct plan *base, int32_t buffer, int32_t n_rows, const float *values, struct error *err)
{
    return real->plan_write_buffer(((struct wrong_plan *)base)->inner, buffer, n_rows, values, err);
}

static int wrong_read_block(struct plan *base, int32_t group, int32_t block, void *bytes, uint64_t capacity, uint64_t *length, struct error *err)
{
    return real->plan_read_block(((struct wrong_plan *)base)->inner, group, block, bytes, capacity, length, err);
}

static const struct chip_interface wrong_chip_interface = {
    .kind = "wrong",
    .open = wrong_open,
    .close = wrong_close,
    .describe = wrong_describe,
    .supports = wrong_supports,
    .plan_create = wrong_plan_create,
    .plan_free = wrong_plan_free,
    .plan_describe = wrong_plan_describe,
    .plan_submit = wrong_submit,
    .plan_wait = wrong_wait,
    .plan_read_buffer = wrong_read,
    .plan_write_buffer = wrong_write,
    .plan_read_block = wrong_read_block,
};

static struct checkchip_totals run_with(enum fault wanted, const char *op, bool require)
{
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    struct checkchip_options options = {
        .interface = &wrong_chip_interface, .op = op, .seed = 3, .quick = true, .require = require, .out = getenv("CHECKCHIP_SHOW") ? stdout : out};
    struct checkchip_totals totals;
    struct error err = {0};
    fault = wanted;
    assert_int_equal(checkchip_run(&options, &totals, &err), 0);
    fclose(out);
    return totals;
}

static void caught(enum fault wanted, const char *op)
{
    struct checkchip_totals totals = run_with(wanted, op, false);
    if (totals.n_failed == 0)
        fail_msg("a chip with fault %d passes %s", (int)wanted, op);
}

static void passes(const char *op)
{
    struct checkchip_totals totals = run_with(FAULT_NONE, op, false);
    assert_int_equal(totals.n_failed, 0);
    assert_true(totals.n_passed > 0);
}

static void a_chip_without_fault_passes(void **state)
{
    (void)state;
    passes("norm");
    passes("edits");
    passes("logits");
    passes("steps");
    passes("select");
}

static void one_bit_is_caught(void **state)
{
    (void)state;
    caught(FAULT_ONE_BIT, "norm");
    caught(FAULT_ONE_BIT, "gated");
    caught(FAULT_ONE_BIT, "embed");
    caught(FAULT_ONE_BIT, "rope");
}

static void bits_that_depend_on_the_batch_or_on_workers_are_caught(void **state)
{
    (void)state;
    caught(FAULT_DEPENDS_ON_BATCH, "norm");
    caught(FAULT_DEPENDS_ON_BATCH, "attention");
    caught(FAULT_TWO_WORKERS, "norm");
}

static void errors_beyond_the_arithmetic_are_caught(void **state)
{
    (void)state;
    caught(FAULT_LOST_BLOCK, "norm");
    caught(FAULT_LOST_BLOCK, "select");
    caught(FAULT_LOST_BLOCK, "attention");
    caught(FAULT_WRONG_POSITION, "attention");
    caught(FAULT_NAN_LEAKS, "norm");
}

static void wrong_results_and_edits_are_caught(void **state)
{
    (void)state;
    caught(FAULT_ARGMAX_LAST, "logits");
    caught(FAULT_TOP_UNSORTED, "logits");
    caught(FAULT_NO_COPIES, "edits");
    caught(FAULT_EDITS_BACKWARDS, "edits");
    caught(FAULT_OLD_SOURCES, "steps");
    caught(FAULT_ACCEPTS_ALL, "steps");
}

static void a_refusal_is_no_failure_unless_required(void **state)
{
    (void)state;
    struct checkchip_totals totals = run_with(FAULT_REFUSES, "norm", false);
    assert_true(totals.n_refused > 0 && totals.n_failed == 0 && totals.n_passed == 0);
    totals = run_with(FAULT_REFUSES, "norm", true);
    assert_true(totals.n_failed > 0);
}

int main(void)
{
    real = NULL;
    for (int i = 0; chip_registry[i]; i++)
        if (strcmp(chip_registry[i]->kind, "reference") == 0)
            real = chip_registry[i];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chip_without_fault_passes),
        cmocka_unit_test(one_bit_is_caught),
        cmocka_unit_test(bits_that_depend_on_the_batch_or_on_workers_are_caught),
        cmocka_unit_test(errors_beyond_the_arithmetic_are_caught),
        cmocka_unit_test(wrong_results_and_edits_are_caught),
        cmocka_unit_test(a_refusal_is_no_failure_unless_required),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
