/* Plans on the emulated Ascend device: what a step costs in host calls, that replaying changes no bit, that fixed rows make rows independent, what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ascend/support_ascend.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "base/report.h"

enum { CAPACITY = 64 * 512 };

static float *run_whole_schedule(const char *chip, int64_t *n)
{
    static float logits[4][CAPACITY];
    static int next;
    float *out = logits[next++ % 4];
    struct bench bench;
    bench_open(&bench, chip, 0);
    *n = bench_run_schedule(&bench, out, CAPACITY);
    bench_close(&bench);
    return out;
}

static void replay_equals_eager_bit_for_bit(void **state)
{
    (void)state;
    int64_t n_replayed, n_eager;
    const float *replayed = run_whole_schedule("ascend:910B4", &n_replayed), *eager = run_whole_schedule("ascend:910B4,graphs=off", &n_eager);
    assert_int_equal(n_replayed, n_eager);
    assert_memory_equal(replayed, eager, (size_t)n_eager * sizeof(float));
}

/* True lengths by updated tasks and padded lengths under a mask are two ways to the same attention; the order of its sums differs. */
static void updated_attention_gives_what_masked_attention_gives(void **state)
{
    (void)state;
    int64_t n_masked, n_updated;
    const float *masked = run_whole_schedule("ascend:910B4,type=f16", &n_masked);
    const float *updated = run_whole_schedule("ascend:910B4,type=f16,attention=updates", &n_updated);
    assert_int_equal(n_masked, n_updated);
    for (int64_t i = 0; i < n_masked; i++)
        if (!(masked[i] - updated[i] < 0.02f && updated[i] - masked[i] < 0.02f))
            fail_msg("logit %lld: %g masked, %g updated", (long long)i, (double)masked[i], (double)updated[i]);
}

/* Host calls of one decoded step, two sequences, tokens chained, in the steady state. */
static double count_calls(const char *chip, int32_t n_layers, const char *figure)
{
    static struct stepper stepper;
    struct bench bench;
    enum { WARM = 3, STEPS = 40 };
    uint64_t before = 0;
    bench_open(&bench, chip, n_layers);
    for (int32_t i = 0; i < WARM + STEPS; i++) {
        if (i == WARM)
            before = emulator_count(figure);
        stepper_init(&stepper);
        bench_add(&bench, &stepper, 0, i, 1);
        bench_add(&bench, &stepper, 1, i, 1);
        stepper_want(&stepper, 0, WANT_ARGMAX);
        stepper_want(&stepper, 1, WANT_ARGMAX);
        stepper.token_sources[0] = 0;
        stepper.token_sources[1] = 1;
        stepper.step.token_sources = i ? stepper.token_sources : NULL;
        bench_step(&bench, &stepper, NULL, NULL);
    }
    double calls = (double)(emulator_count(figure) - before) / STEPS;
    bench_close(&bench);
    return calls;
}

static void a_decoded_step_takes_at_most_ten_host_calls_whatever_the_number_of_layers(void **state)
{
    (void)state;
    double few = count_calls("ascend:910B4", 2, "calls"), many = count_calls("ascend:910B4", 7, "calls");
    print_message("host calls per decoded step: %.2f with 2 layers, %.2f with 7; eager %.1f and %.1f; with updated attention %.1f and %.1f\n", few, many,
                  count_calls("ascend:910B4,graphs=off", 2, "calls"), count_calls("ascend:910B4,graphs=off", 7, "calls"),
                  count_calls("ascend:910B4,attention=updates", 2, "calls"), count_calls("ascend:910B4,attention=updates", 7, "calls"));
    assert_true(many <= 10);
    assert_true(few == many); /* exactly: the same calls */
}

static void a_decoded_step_allocates_nothing_on_the_host(void **state)
{
    (void)state;
    static struct stepper stepper;
    struct bench bench;
    uint64_t before = 0;
    bench_open(&bench, "ascend:910B4", 0);
    for (int32_t i = 0; i < 20; i++) {
        if (i == 4)
            before = mem_allocation_count();
        stepper_init(&stepper);
        bench_add(&bench, &stepper, 0, i, 1);
        stepper_want(&stepper, 0, WANT_ARGMAX);
        bench_step(&bench, &stepper, NULL, NULL);
    }
    assert_int_equal(mem_allocation_count(), before);
    bench_close(&bench);
}

/* ---- Fixed rows: guarantee `batch`. */

/* Positions 0 .. n - 1 of sequence 0 in pieces of `chunk`, beside another sequence or alone; the logits of each row. */
static void run_pieces_of(struct bench *bench, int32_t n, int32_t chunk, bool beside, float *logits)
{
    static struct stepper stepper;
    static float found[16 * 512];
    for (int32_t position = 0, other = 0; position < n; position += chunk, other++) {
        int32_t rows = n - position < chunk ? n - position : chunk, first = 0;
        stepper_init(&stepper);
        if (beside) {
            bench_add(bench, &stepper, 2, other * 2, 2);
            first = 2;
        }
        bench_add(bench, &stepper, 0, position, rows);
        for (int32_t r = 0; r < rows; r++)
            stepper_want(&stepper, first + r, WANT_LOGITS);
        bench_step(bench, &stepper, found, NULL);
        memcpy(logits + (int64_t)position * bench->vocabulary, found, (size_t)rows * (size_t)bench->vocabulary * sizeof *logits);
    }
}

static void with_fixed_rows_a_row_has_the_same_bits_whatever_else_runs(void **state)
{
    (void)state;
    enum { N = 40 };
    static float expected[N * 512], found[N * 512];
    struct bench bench;
    struct chip_description description;
    bench_open(&bench, "ascend:910B4,rows=14", 0);
    bench.chip->interface->describe(bench.chip, &description);
    assert_int_equal(description.guarantee, GUARANTEE_BATCH);
    assert_int_equal(description.max_tokens, 14);
    size_t bytes = (size_t)N * (size_t)bench.vocabulary * sizeof(float);
    run_pieces_of(&bench, N, 1, false, expected);
    static const int32_t chunks[] = {12, 5, 3, 1};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        memset(found, 0, sizeof found);
        run_pieces_of(&bench, N, chunks[i], true, found);
        assert_memory_equal(found, expected, bytes);
    }
    bench_close(&bench);
}

/* Without them they are not: otherwise the test above could not fail. */
static void without_fixed_rows_bits_depend_on_the_batch(void **state)
{
    (void)state;
    enum { N = 40 };
    static float alone[N * 512], chunked[N * 512];
    struct bench bench;
    bench_open(&bench, "ascend:910B4", 0);
    run_pieces_of(&bench, N, 1, false, alone);
    run_pieces_of(&bench, N, 12, true, chunked);
    assert_memory_not_equal(alone, chunked, (size_t)N * (size_t)bench.vocabulary * sizeof(float));
    bench_close(&bench);
}

/* What it costs, in modelled time of the device per decoded step of two sequences. */
static void the_cost_of_fixed_rows_is_counted(void **state)
{
    (void)state;
    static const char *const chips[] = {"ascend:910B4", "ascend:910B4,rows=16", "ascend:910B4,rows=64"};
    double calls[3], device[3];
    for (int i = 0; i < 3; i++) {
        calls[i] = count_calls(chips[i], 2, "calls");
        device[i] = count_calls(chips[i], 2, "device_ns");
        print_message("%-24s %5.2f host calls, %7.1f us of modelled device time per decoded step of 2 sequences\n", chips[i], calls[i], device[i] * 1e-3);
    }
    assert_true(calls[1] <= calls[0] && calls[2] <= calls[0]); /* one shape for everything */
    assert_true(device[0] <= device[1] && device[1] <= device[2]);
}

/* ---- Refusals. */

static void a_refused_submit_consumes_nothing(void **state)
{
    (void)state;
    static struct stepper steps[4];
    struct bench bench;
    struct step_result result;
    struct error err = {0};
    bench_open(&bench, "ascend:910B4", 0);
    const struct chip_interface *chip = bench.plan->interface;
    uint64_t length = 0;
    static unsigned char before[1 << 20], after[1 << 20];
    stepper_init(&steps[0]);
    bench_add(&bench, &steps[0], 0, 0, 7);
    stepper_want(&steps[0], 6, WANT_ARGMAX);
    bench_step(&bench, &steps[0], NULL, NULL);
    assert_int_equal(chip->plan_read_block(bench.plan, 0, 0, before, sizeof before, &length, &err), 0);

    stepper_init(&steps[1]); /* wrong: a position that does not follow */
    bench_add(&bench, &steps[1], 0, 7, 2);
    steps[1].positions[1] = 30;
    stepper_edit(&steps[1], CACHE_ZERO, 0, 0);
    assert_int_equal(chip->plan_submit(bench.plan, &steps[1].step, &err), SAMPAN_EINVAL);

    for (int i = 1; i < 3; i++) { /* two in flight; the third is one too many, and its edit does not run */
        stepper_init(&steps[i]);
        bench_add(&bench, &steps[i], 1, i - 1, 1);
        stepper_want(&steps[i], 0, WANT_ARGMAX);
        steps[i].token_sources[0] = 0; /* the first names the step before the refused one */
        steps[i].step.token_sources = steps[i].token_sources;
        assert_int_equal(chip->plan_submit(bench.plan, &steps[i].step, &err), 0);
    }
    stepper_init(&steps[3]);
    bench_add(&bench, &steps[3], 1, 2, 1);
    stepper_edit(&steps[3], CACHE_ZERO, 0, 0);
    assert_int_equal(chip->plan_submit(bench.plan, &steps[3].step, &err), SAMPAN_EBUSY);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(chip->plan_wait(bench.plan, UINT64_MAX, &result, &err), 0);
        assert_int_equal(result.id, steps[i].step.id);
    }
    assert_int_equal(chip->plan_wait(bench.plan, 0, &result, &err), SAMPAN_EINVAL); /* nothing is in flight */
    assert_int_equal(chip->plan_read_block(bench.plan, 0, 0, after, sizeof after, &length, &err), 0);
    assert_memory_equal(before, after, length);
    bench_close(&bench);
}

static bool is_zero(const unsigned char *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Masked attention reads to the end of a block with weight zero: what an earlier sequence left there must be gone, or its NaN would come back. */
static void a_block_is_zeroed_before_a_sequence_begins_in_it(void **state)
{
    (void)state;
    static struct stepper stepper;
    static unsigned char block[1 << 20];
    struct bench bench;
    struct error err = {0};
    uint64_t length = 0;
    bench_open(&bench, "ascend:910B4", 0);
    for (int32_t position = 0; position < 128; position += 64) {
        stepper_init(&stepper);
        bench_add(&bench, &stepper, 0, position, 64); /* fills block 0 */
        bench_step(&bench, &stepper, NULL, NULL);
    }
    stepper_init(&stepper);
    bench_add(&bench, &stepper, 0, 0, 3); /* another sequence, in the same block */
    bench_step(&bench, &stepper, NULL, NULL);
    assert_int_equal(bench.plan->interface->plan_read_block(bench.plan, 0, 0, block, sizeof block, &length, &err), 0);
    uint64_t row = 2 * 32 * 2; /* heads, width, bytes */
    assert_false(is_zero(block, 3 * row));
    assert_true(is_zero(block + 3 * row, 125 * row));
    bench_close(&bench);
}

static void an_estimate_is_what_a_plan_takes(void **state)
{
    (void)state;
    static const char *const profiles[] = {"910B4", "910B4+int8", "910B4+w8a8"};
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
        struct bench bench;
        struct plan_description plan, estimate = {0};
        struct error err = {0};
        char chip[64];
        snprintf(chip, sizeof chip, "ascend:%s", profiles[i]);
        bench_open(&bench, chip, 0);
        bench.plan->interface->plan_describe(bench.plan, &plan);
        assert_int_equal(bench.chip->interface->plan_estimate(profiles[i], bench.program, &bench.limits, &estimate, NULL, &err), 0);
        assert_int_equal(plan.weight_bytes, estimate.weight_bytes);
        assert_int_equal(plan.cache_bytes, estimate.cache_bytes);
        assert_int_equal(plan.group_block_bytes[0], estimate.group_block_bytes[0]);
        assert_true(plan.buffer_bytes >= estimate.buffer_bytes); /* the operators' workspace comes on top */
        bench_close(&bench);
    }
}

static void the_error_of_each_int8_weight_is_told(void **state)
{
    (void)state;
    struct bench bench;
    struct buffer out;
    bench_open(&bench, "ascend:910B4+w8a8", 2);
    buffer_init(&out, 1 << 16);
    bench.plan->interface->plan_print(bench.plan, &out);
    int count = 0;
    for (const char *at = out.data; (at = strstr(at, "int8, relative error 0.00")); at++)
        count++;
    assert_int_equal(count, 2 * 6); /* query, key, value, output, gate with up, down */
    buffer_free(&out);
    bench_close(&bench);
}

static void what_cannot_be_opened_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *chip;
        int code;
        const char *reason;
    } cases[] = {
        {"ascend:910B4,library=/nowhere", SAMPAN_ENOTFOUND, "found in none of: /nowhere"},
        {"ascend:910X", SAMPAN_EUNSUPPORTED, "'910X' is not known; there are 910B4"},
        {"ascend:310P3", SAMPAN_EUNSUPPORTED, "no paged attention"},
        {"ascend:950PR", SAMPAN_EUNSUPPORTED, "not served yet"},
        {"ascend:910B3", SAMPAN_EUNSUPPORTED, "asked for a 910B3, but device 0 is a 910B4"},
        {"ascend:910B4@7.0", SAMPAN_EUNSUPPORTED, "from 8.1 on"},
        {"ascend:910B4,device=7", SAMPAN_ENOTFOUND, "device 7, but there are 1"},
        {"ascend:910B4,type=f64", SAMPAN_EINVAL, "expected f16 or bf16"},
        {"ascend:910B4,rows=0", SAMPAN_EINVAL, "from 1 to"},
        {"ascend:910B4,colour=red", SAMPAN_EINVAL, "unknown option 'colour'"},
        {"ascend:910B4,graphs", SAMPAN_EINVAL, "key=value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chip *chip = NULL;
        struct error err = {0};
        assert_int_equal(chip_open(cases[i].chip, &chip, &err), cases[i].code);
        if (!strstr(err.message, cases[i].reason))
            fail_msg("'%s' does not say '%s'", err.message, cases[i].reason);
    }
}

static void the_first_day_report_finds_nothing_broken(void **state)
{
    (void)state;
    struct chip *chip = NULL;
    struct report report;
    struct error err = {0};
    assert_int_equal(chip_open("ascend", &chip, &err), 0);
    report_init(&report);
    assert_int_equal(chip->interface->diagnose(chip, &report, &err), 0);
    assert_true(report.n_rows >= 8);
    assert_int_equal(report_count(&report, REPORT_BROKEN), 0);
    assert_true(report_count(&report, REPORT_WELL) >= 2);
    report_free(&report);
    chip->interface->close(chip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_equals_eager_bit_for_bit),
        cmocka_unit_test(updated_attention_gives_what_masked_attention_gives),
        cmocka_unit_test(a_decoded_step_takes_at_most_ten_host_calls_whatever_the_number_of_layers),
        cmocka_unit_test(a_decoded_step_allocates_nothing_on_the_host),
        cmocka_unit_test(with_fixed_rows_a_row_has_the_same_bits_whatever_else_runs),
        cmocka_unit_test(without_fixed_rows_bits_depend_on_the_batch),
        cmocka_unit_test(the_cost_of_fixed_rows_is_counted),
        cmocka_unit_test(a_refused_submit_consumes_nothing),
        cmocka_unit_test(a_block_is_zeroed_before_a_sequence_begins_in_it),
        cmocka_unit_test(an_estimate_is_what_a_plan_takes),
        cmocka_unit_test(the_error_of_each_int8_weight_is_told),
        cmocka_unit_test(the_first_day_report_finds_nothing_broken),
        cmocka_unit_test(what_cannot_be_opened_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
