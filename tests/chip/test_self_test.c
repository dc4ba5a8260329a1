/* The self-test of a chip: right chips pass it, and every kind of wrong one is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "chip/self_test.h"

static void run(const char *chip_name, const struct chip_interface *instead, struct report *report)
{
    struct error err = {0};
    struct chip *chip;
    report_init(report);
    if (chip_open(chip_name, &chip, &err))
        fail_msg("%s", err.message);
    const struct chip_interface *real = chip->interface;
    if (instead)
        chip->interface = instead;
    int code = chip_self_test(chip, "", report, &err);
    chip->interface = real;
    real->close(chip);
    if (code)
        fail_msg("%s", err.message);
}

static void right_chips_pass(void **state)
{
    (void)state;
    static const char *const names[] = {"cpu", "cpu:portable", "reference"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct report report;
        run(names[i], NULL, &report);
        assert_true(report.n_rows >= 10);
        assert_int_equal(report_count(&report, REPORT_WELL), report.n_rows);
        report_free(&report);
    }
}

/* ---- Chips that are wrong on purpose: the CPU's with one function exchanged. Plans keep the CPU's own interface, so what a plan does is exchanged in it. */

static struct chip_interface wrong;
static const struct chip_interface *cpu;

static int create_wrong_plan(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress,
                             struct plan **plan, struct error *err)
{
    int code = cpu->plan_create(chip, program, limits, progress, plan, err);
    if (!code)
        (*plan)->interface = &wrong;
    return code;
}

static int refuse_plan(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress, struct plan **plan,
                       struct error *err)
{
    (void)chip, (void)program, (void)limits, (void)progress, (void)plan;
    return error_set(err, SAMPAN_ENOMEM, "the device has no memory left");
}

/* One element of the last row is off by its own size. */
static int read_one_wrong(struct plan *plan, int32_t buffer, int32_t n_rows, float *values, struct error *err)
{
    int code = cpu->plan_read_buffer(plan, buffer, n_rows, values, err);
    values[1] = values[1] < 1 && values[1] > -1 ? 4 : 0;
    return code;
}

static int read_all_a_little_wrong(struct plan *plan, int32_t buffer, int32_t n_rows, float *values, struct error *err)
{
    int code = cpu->plan_read_buffer(plan, buffer, n_rows, values, err);
    for (int i = 0; i < 5 * 64; i++)
        values[i] *= 1.1f;
    return code;
}

static int read_not_a_number(struct plan *plan, int32_t buffer, int32_t n_rows, float *values, struct error *err)
{
    int code = cpu->plan_read_buffer(plan, buffer, n_rows, values, err);
    values[0] = (values[0] - values[0]) / (values[0] - values[0]);
    return code;
}

static int wait_wrong_argmax(struct plan *plan, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    static int32_t argmax[64];
    int code = cpu->plan_wait(plan, timeout_ns, result, err);
    if (code || !result->n_logit_rows)
        return code;
    memcpy(argmax, result->argmax, (size_t)result->n_logit_rows * sizeof *argmax);
    argmax[3] ^= 1;
    result->argmax = argmax;
    return 0;
}

static int wait_without_logits(struct plan *plan, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    int code = cpu->plan_wait(plan, timeout_ns, result, err);
    result->logits = NULL;
    return code;
}

static int submit_lost(struct plan *plan, const struct step *step, struct error *err)
{
    (void)plan, (void)step;
    return error_set(err, SAMPAN_ELOST, "the device has stopped");
}

static int refuse_attention(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err)
{
    return op->kind == OP_ATTENTION ? error_set(err, SAMPAN_EUNSUPPORTED, "no paged attention here") : cpu->supports(profile, program, op, cache_type, err);
}

/* Runs the test on the wrong chip; how many rows are broken, and whether one of them has these words. */
static size_t count_broken(const char *words)
{
    struct report report;
    bool found = false;
    run("cpu", &wrong, &report);
    size_t broken = report_count(&report, REPORT_BROKEN);
    for (size_t i = 0; i < report.n_rows; i++) {
        found = found || (report.rows[i].verdict == REPORT_BROKEN && strstr(report.rows[i].value, words));
        assert_true(report.rows[i].verdict != REPORT_BROKEN || *report.rows[i].advice);
    }
    report_free(&report);
    if (broken && !found)
        fail_msg("no broken row says '%s'", words);
    return broken;
}

static int set_up(void **state)
{
    (void)state;
    cpu = chip_find_kind("cpu");
    wrong = *cpu;
    wrong.plan_create = create_wrong_plan;
    return 0;
}

static void wrong_numbers_are_told(void **state)
{
    (void)state;
    wrong.plan_read_buffer = read_one_wrong;
    assert_true(count_broken("worst element") >= 9);
    wrong.plan_read_buffer = read_all_a_little_wrong;
    assert_true(count_broken("differs from the reference") >= 9);
    wrong.plan_read_buffer = read_not_a_number;
    assert_true(count_broken("differs from the reference") >= 9);
}

static void wrong_results_are_told(void **state)
{
    (void)state;
    wrong.plan_wait = wait_wrong_argmax;
    assert_int_equal(count_broken("argmax"), 1);
    wrong.plan_wait = wait_without_logits;
    assert_int_equal(count_broken("did not come"), 1);
}

static void failures_are_told_in_the_chips_words(void **state)
{
    (void)state;
    wrong.plan_submit = submit_lost;
    assert_true(count_broken("the device has stopped") >= 10);
    wrong.plan_create = refuse_plan;
    assert_true(count_broken("no memory left") >= 10);
}

static void what_is_not_supported_is_a_fact(void **state)
{
    (void)state;
    struct report report;
    wrong.supports = refuse_attention;
    run("cpu", &wrong, &report);
    assert_int_equal(report_count(&report, REPORT_FACT), 1);
    assert_int_equal(report_count(&report, REPORT_WELL), report.n_rows - 1);
    report_free(&report);
}

/* Whatever allocation fails, nothing crashes and nothing is left behind (the sanitizers look). */
static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    struct chip *chip;
    assert_int_equal(chip_open("cpu", &chip, NULL), 0);
    for (int64_t n = 0; n < 400; n += 3) {
        struct report report;
        struct error err = {0};
        report_init(&report);
        mem_fail_after(n);
        int code = chip_self_test(chip, "", &report, &err);
        mem_fail_after(-1);
        assert_true(code == SAMPAN_ENOMEM || (!code && (report.failed || report.n_rows >= 10))); /* a chip's own failure is a row */
        report_free(&report);
    }
    chip->interface->close(chip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_chips_pass),
        cmocka_unit_test_setup(wrong_numbers_are_told, set_up),
        cmocka_unit_test_setup(wrong_results_are_told, set_up),
        cmocka_unit_test_setup(failures_are_told_in_the_chips_words, set_up),
        cmocka_unit_test_setup(what_is_not_supported_is_a_fact, set_up),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
