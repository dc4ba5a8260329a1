/* What never ends must end: executors that are lost again and again, by chance, by a request or always; that do not open, are busy for ever, or fail every
 * step; clocks that jump; readers that stop reading. Every request gets its end with a reason, what can go on does, and nobody turns in circles. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "support_requests.h"

enum { MOST_TURNS = 20000, DEADLY = 30 };

struct rig {
    struct simulation_options options;
    struct simulation *simulation;
    struct engine *engine;
    int32_t n;
    struct test_request requests[32];
    struct test_outcome outcomes[32];
};

static void rig_open(struct rig *rig, const struct simulation_options *options, const struct engine_options *engine_options)
{
    memset(rig, 0, sizeof *rig);
    rig->options = *options;
    rig->simulation = simulation_create(options);
    struct executor_factory factory = simulation_factory(rig->simulation);
    struct error err;
    if (engine_create(&factory, test_tokenizer(), engine_options, &rig->engine, &err))
        fail_msg("%s", err.message);
}

/* A request that never meets the deadly token, unless its prompt has it at `deadly_at`. */
static struct test_request make_request(int32_t n_prompt, int32_t seed, int32_t max_tokens, int32_t deadly_at)
{
    struct test_request request = test_request_simple(n_prompt, seed, max_tokens);
    request.request.ignore_eog = true;
    for (int32_t i = 0; i < n_prompt; i++)
        request.prompt[i] = i == deadly_at ? DEADLY : request.prompt[i] == DEADLY ? 1 : request.prompt[i];
    request.request.sampling.n_biases = 1;
    request.biases[0] = (struct sampling_bias){DEADLY, -INFINITY};
    return request;
}

static int32_t rig_submit(struct rig *rig, const struct test_request *request)
{
    struct error err;
    uint64_t id;
    rig->requests[rig->n] = *request;
    test_request_point(&rig->requests[rig->n]);
    if (engine_submit(rig->engine, &rig->requests[rig->n].request, &id, &err))
        fail_msg("%s", err.message);
    test_outcome_init(&rig->outcomes[rig->n], id);
    return rig->n++;
}

/* To the end of all, which must come; the status of the last turn. */
static int rig_run(struct rig *rig)
{
    struct error err;
    int status = 1, turns = 0;
    while (status > 0 && turns++ < MOST_TURNS) {
        status = engine_turn(rig->engine, 0, &err);
        test_take_events(rig->engine, rig->outcomes, rig->n);
    }
    assert_true(turns < MOST_TURNS);
    for (int32_t i = 0; i < rig->n; i++)
        assert_true(rig->outcomes[i].ended);
    return status;
}

static void expect_as_alone(struct rig *rig, int32_t i)
{
    struct test_outcome alone;
    test_run_alone(&rig->options, &rig->requests[i], &alone);
    const char *difference = test_outcomes_differ(&alone, &rig->outcomes[i], false);
    if (difference)
        fail_msg("request %d: %s differ(s): %s", i, difference, rig->outcomes[i].message);
    test_outcome_free(&alone);
}

static void expect_failed(struct rig *rig, int32_t i, int code, const char *message)
{
    assert_int_equal(rig->outcomes[i].last.finish, FINISH_ERROR);
    assert_int_equal(rig->outcomes[i].last.code, code);
    if (!strstr(rig->outcomes[i].message, message))
        fail_msg("'%s', expected '%s'", rig->outcomes[i].message, message);
}

static void rig_close(struct rig *rig)
{
    engine_free(rig->engine);
    if (simulation_violation(rig->simulation))
        fail_msg("%s", simulation_violation(rig->simulation));
    simulation_free(rig->simulation);
    for (int32_t i = 0; i < rig->n; i++)
        test_outcome_free(&rig->outcomes[i]);
}

static void an_executor_that_is_always_lost_fails_the_request_and_in_the_end_stops_the_engine(void **state)
{
    (void)state;
    struct rig rig;
    struct simulation_options options = test_simulation();
    options.lost_permille = 1000;
    rig_open(&rig, &options, NULL);
    struct test_request request = make_request(10, 2, 12, -1);
    rig_submit(&rig, &request);
    assert_int_equal(rig_run(&rig), 0);
    expect_failed(&rig, 0, SAMPAN_ELOST, "lost 4 times while it computed this request, which got no further: the simulated executor is lost");
    rig_submit(&rig, &request);
    rig_submit(&rig, &request);
    assert_true(rig_run(&rig) < 0);
    expect_failed(&rig, 1, SAMPAN_ELOST, "lost 7 times in a row and no request got any further");
    expect_failed(&rig, 2, SAMPAN_ELOST, "lost 7 times in a row and no request got any further");
    struct error err;
    uint64_t id;
    test_request_point(&request);
    assert_int_equal(engine_submit(rig.engine, &request.request, &id, &err), SAMPAN_ELOST);
    assert_true(engine_turn(rig.engine, 0, &err) < 0);
    assert_int_equal(simulation_get_counts(rig.simulation).n_opened, 7); /* the first, and one after each loss but the last */
    rig_close(&rig);
}

/* One of several requests kills every executor that computes it: wherever its token stands, and however the steps are cut. */
static void a_request_that_kills_executors_fails_and_the_others_do_not(void **state)
{
    (void)state;
    for (int32_t deadly_at = 0; deadly_at < 20; deadly_at += 6)
        for (int32_t in_flight = 1; in_flight <= 3; in_flight++)
            for (int32_t deadly = 0; deadly < 5; deadly += 2) {
                struct rig rig;
                struct simulation_options options = test_simulation();
                options.deadly_token = DEADLY;
                options.description.max_steps_in_flight = in_flight;
                struct engine_options engine_options = {.prefill_chunk = 7};
                rig_open(&rig, &options, &engine_options);
                for (int32_t i = 0; i < 5; i++) {
                    struct test_request request = make_request(20, i, 10, i == deadly ? deadly_at : -1);
                    rig_submit(&rig, &request);
                }
                assert_int_equal(rig_run(&rig), 0);
                for (int32_t i = 0; i < 5; i++)
                    if (i == deadly)
                        expect_failed(&rig, i, SAMPAN_ELOST, "lost 4 times while it computed this request");
                    else
                        expect_as_alone(&rig, i);
                assert_true(simulation_get_counts(rig.simulation).n_lost <= 5);
                rig_close(&rig);
            }
}

static void several_deadly_requests_fail_one_by_one(void **state)
{
    (void)state;
    struct rig rig;
    struct simulation_options options = test_simulation();
    options.deadly_token = DEADLY;
    rig_open(&rig, &options, NULL);
    for (int32_t i = 0; i < 8; i++) {
        struct test_request request = make_request(12, i, 10, i % 4 == 1 ? 5 : -1);
        rig_submit(&rig, &request);
    }
    assert_int_equal(rig_run(&rig), 0);
    for (int32_t i = 0; i < 8; i++)
        if (i % 4 == 1)
            expect_failed(&rig, i, SAMPAN_ELOST, "which got no further");
        else
            expect_as_alone(&rig, i);
    rig_close(&rig);
}

/* An executor that lives for ten steps: what needs more than that from its beginning never gets further, although steps complete all the time. */
static void a_prompt_longer_than_an_executor_lives_fails_and_a_shorter_one_does_not(void **state)
{
    (void)state;
    struct rig rig;
    struct simulation_options options = test_simulation();
    options.lives_steps = 10;
    struct engine_options engine_options = {.prefill_chunk = 8};
    rig_open(&rig, &options, &engine_options);
    struct test_request large = make_request(100, 1, 5, -1), small = make_request(8, 2, 60, -1);
    int32_t failing = rig_submit(&rig, &large), going = rig_submit(&rig, &small);
    assert_int_equal(rig_run(&rig), 0);
    expect_failed(&rig, failing, SAMPAN_ELOST, "which got no further");
    expect_as_alone(&rig, going);
    assert_true(rig.outcomes[going].last.n_rebuilds >= 5);
    rig_close(&rig);
}

static void an_executor_that_fails_every_step_fails_its_requests_and_takes_more(void **state)
{
    (void)state;
    struct rig rig;
    struct simulation_options options = test_simulation();
    options.failed_permille = 1000;
    rig_open(&rig, &options, NULL);
    for (int32_t i = 0; i < 10; i++) {
        struct test_request request = make_request(10, i, 5, -1);
        rig_submit(&rig, &request);
        assert_int_equal(rig_run(&rig), 0);
        expect_failed(&rig, i, SAMPAN_EINTERNAL, "the simulated step failed");
    }
    assert_int_equal(simulation_get_counts(rig.simulation).n_opened, 1);
    rig_close(&rig);
}

/* ---- Clocks. */

struct fake_clock {
    uint64_t now, step;
};

static uint64_t read_fake(void *self)
{
    struct fake_clock *fake = self;
    return fake->now += fake->step;
}

static void an_executor_that_is_busy_for_ever_is_taken_as_lost(void **state)
{
    (void)state;
    struct rig rig;
    struct fake_clock fake = {1, 1000000000};
    struct clock clock = {read_fake, &fake};
    struct simulation_options options = test_simulation();
    struct engine_options engine_options = {.clock = &clock};
    options.busy_permille = 1000;
    rig_open(&rig, &options, &engine_options);
    struct test_request request = make_request(10, 2, 12, -1);
    rig_submit(&rig, &request);
    assert_int_equal(rig_run(&rig), 0);
    expect_failed(&rig, 0, SAMPAN_ELOST, "refused a step as busy for 30 s");
    rig_close(&rig);
}

static void an_executor_that_does_not_open_again_stops_the_engine(void **state)
{
    (void)state;
    struct rig rig;
    struct fake_clock fake = {1, 1000000};
    struct clock clock = {read_fake, &fake};
    struct simulation_options options = test_simulation();
    struct engine_options engine_options = {.clock = &clock, .max_rebuilds = 5};
    options.open_failed_permille = 1000;
    options.lose_at_step = 3;
    rig_open(&rig, &options, &engine_options);
    struct test_request request = make_request(10, 2, 12, -1);
    rig_submit(&rig, &request);
    assert_true(rig_run(&rig) < 0);
    expect_failed(&rig, 0, SAMPAN_EIO, "opening the executor again after it was lost (attempt 6)");
    rig_close(&rig);
}

static void a_clock_that_jumps_changes_nothing_but_the_pause(void **state)
{
    (void)state;
    struct rig rig;
    struct fake_clock fake = {UINT64_C(1) << 60, 1000};
    struct clock clock = {read_fake, &fake};
    struct simulation_options options = test_simulation();
    struct engine_options engine_options = {.clock = &clock, .max_rebuilds = 1000};
    options.lost_permille = 100;
    options.open_failed_permille = 500;
    rig_open(&rig, &options, &engine_options);
    for (int32_t i = 0; i < 6; i++) {
        struct test_request request = make_request(10 + i, i, 20, -1);
        rig_submit(&rig, &request);
    }
    for (int32_t turns = 0; engine_turn(rig.engine, 0, NULL) > 0; turns++) {
        assert_true(turns < MOST_TURNS);
        test_take_events(rig.engine, rig.outcomes, rig.n);
        fake.now = turns % 3 == 0 ? fake.now - (UINT64_C(3600) << 30) : turns % 3 == 1 ? fake.now + (UINT64_C(1800) << 30) : fake.now;
    }
    test_take_events(rig.engine, rig.outcomes, rig.n);
    assert_true(simulation_get_counts(rig.simulation).n_lost > 3);
    for (int32_t i = 0; i < 6; i++)
        expect_as_alone(&rig, i);
    rig_close(&rig);
}

/* ---- Callers. */

static void a_reader_that_stops_reading_holds_nobody_up(void **state)
{
    (void)state;
    struct rig rig;
    struct simulation_options options = test_simulation();
    struct engine_options engine_options = {.max_queued = 6};
    options.description.max_sequences = 4;
    rig_open(&rig, &options, &engine_options);
    for (int32_t round = 0; round < 3; round++)
        for (int32_t i = 0; i < 6; i++) {
            struct test_request request = make_request(10, i, 20, -1);
            rig_submit(&rig, &request);
            while (i == 5 && engine_turn(rig.engine, 0, NULL) > 0)
                ;
        }
    struct engine_statistics statistics;
    engine_get_statistics(rig.engine, &statistics);
    assert_int_equal(statistics.n_running + statistics.n_waiting, 0); /* all done, none read */
    struct error err;
    uint64_t id;
    struct test_request more = make_request(10, 1, 20, -1);
    test_request_point(&more);
    int32_t accepted = 0;
    while (engine_submit(rig.engine, &more.request, &id, &err) == 0 && accepted++ < 100)
        while (engine_turn(rig.engine, 0, NULL) > 0)
            ;
    assert_true(accepted < 100); /* what was not read is bounded, and the refusal says what to do */
    assert_non_null(strstr(err.message, "release"));
    for (int32_t i = 0; i < rig.n; i++)
        rig.outcomes[i].ended = false;
    struct engine_event event;
    int32_t n_ended = 0;
    while (engine_next_event(rig.engine, 0, &event, NULL) == 0) {
        n_ended += event.finish != FINISH_NONE;
        assert_int_equal(event.n_tokens, 20); /* everything in one event */
        engine_release(rig.engine, event.request);
    }
    assert_int_equal(n_ended, 18 + accepted);
    assert_int_equal(engine_submit(rig.engine, &more.request, &id, &err), 0);
    rig_close(&rig);
}

static void a_prompt_is_cancelled_between_its_chunks(void **state)
{
    (void)state;
    for (int32_t turns = 0; turns < 12; turns++) {
        struct rig rig;
        struct simulation_options options = test_simulation();
        struct engine_options engine_options = {.prefill_chunk = 10};
        options.description.max_steps_in_flight = 2;
        options.late_permille = 300;
        rig_open(&rig, &options, &engine_options);
        struct test_request large = make_request(100, 1, 5, -1), small = make_request(5, 2, 20, -1);
        int32_t cancelled = rig_submit(&rig, &large), going = rig_submit(&rig, &small);
        for (int32_t i = 0; i < turns; i++)
            engine_turn(rig.engine, 0, NULL);
        engine_cancel(rig.engine, rig.outcomes[cancelled].id);
        assert_int_equal(rig_run(&rig), 0);
        assert_true(rig.outcomes[cancelled].last.finish == FINISH_CANCELLED || turns > 9);
        expect_as_alone(&rig, going);
        struct engine_statistics statistics;
        engine_get_statistics(rig.engine, &statistics);
        assert_int_equal(statistics.n_blocks_used, 0);
        rig_close(&rig);
    }
}

static void ignore_line(void *self, enum log_level level, const char *line)
{
    (void)self, (void)level, (void)line;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_executor_that_is_always_lost_fails_the_request_and_in_the_end_stops_the_engine),
        cmocka_unit_test(a_request_that_kills_executors_fails_and_the_others_do_not),
        cmocka_unit_test(several_deadly_requests_fail_one_by_one),
        cmocka_unit_test(a_prompt_longer_than_an_executor_lives_fails_and_a_shorter_one_does_not),
        cmocka_unit_test(an_executor_that_fails_every_step_fails_its_requests_and_takes_more),
        cmocka_unit_test(an_executor_that_is_busy_for_ever_is_taken_as_lost),
        cmocka_unit_test(an_executor_that_does_not_open_again_stops_the_engine),
        cmocka_unit_test(a_clock_that_jumps_changes_nothing_but_the_pause),
        cmocka_unit_test(a_reader_that_stops_reading_holds_nobody_up),
        cmocka_unit_test(a_prompt_is_cancelled_between_its_chunks),
    };
    log_set_sink(ignore_line, NULL);
    return cmocka_run_group_tests_name("engine: losses", tests, NULL, NULL);
}
