/* The engine against a simulated executor: each feature by name. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "support_requests.h"

struct bench {
    struct simulation_options options;
    struct simulation *simulation;
    struct engine *engine;
    struct test_request requests[64];
    struct test_outcome outcomes[64];
    int32_t n;
};

static void bench_open(struct bench *bench, const struct simulation_options *options, const struct engine_options *engine_options)
{
    memset(bench, 0, sizeof *bench);
    bench->options = *options;
    bench->simulation = simulation_create(options);
    struct executor_factory factory = simulation_factory(bench->simulation);
    struct error err;
    if (engine_create(&factory, test_tokenizer(), engine_options, &bench->engine, &err))
        fail_msg("%s", err.message);
}

static int32_t bench_submit(struct bench *bench, const struct test_request *request)
{
    struct error err;
    uint64_t id;
    bench->requests[bench->n] = *request;
    test_request_point(&bench->requests[bench->n]);
    if (engine_submit(bench->engine, &bench->requests[bench->n].request, &id, &err))
        fail_msg("%s", err.message);
    test_outcome_init(&bench->outcomes[bench->n], id);
    return bench->n++;
}

static void bench_run(struct bench *bench)
{
    test_run_all(bench->engine, bench->outcomes, bench->n);
}

/* Every stream gave what it gives alone. */
static void bench_expect_as_alone(struct bench *bench)
{
    for (int32_t i = 0; i < bench->n; i++) {
        struct test_outcome alone;
        assert_true(bench->outcomes[i].ended);
        test_run_alone(&bench->options, &bench->requests[i], &alone);
        const char *difference = test_outcomes_differ(&alone, &bench->outcomes[i], false);
        if (difference)
            fail_msg("request %d: %s differ(s)", i, difference);
        test_outcome_free(&alone);
    }
}

static void bench_close(struct bench *bench)
{
    engine_free(bench->engine);
    if (simulation_violation(bench->simulation))
        fail_msg("%s", simulation_violation(bench->simulation));
    simulation_free(bench->simulation);
    for (int32_t i = 0; i < bench->n; i++)
        test_outcome_free(&bench->outcomes[i]);
}

static void a_request_gives_the_models_greedy_tokens(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(11, 3, 20);
    bench_submit(&bench, &request);
    bench_run(&bench);
    struct test_outcome *outcome = &bench.outcomes[0];
    assert_true(outcome->ended);
    /* The oracle: the model without engine. */
    int32_t tokens[64], n = 11;
    memcpy(tokens, request.prompt, sizeof(int32_t) * 11);
    for (int32_t i = 0; i < 20; i++) {
        float logits[TEST_VOCABULARY];
        simulation_logits(&options, tokens, n, logits);
        int32_t best = 0;
        for (int32_t v = 1; v < TEST_VOCABULARY; v++)
            best = logits[v] > logits[best] ? v : best;
        if (best == TEST_EOG) {
            assert_int_equal(outcome->last.finish, FINISH_EOG);
            assert_int_equal(outcome->last.eog_token, TEST_EOG);
            assert_int_equal(outcome->n_tokens, i);
            break;
        }
        assert_int_equal(outcome->tokens[i], best);
        tokens[n++] = best;
    }
    assert_int_equal(outcome->last.n_generated_tokens, outcome->n_tokens);
    assert_int_equal(outcome->last.n_prompt_tokens, 11);
    bench_close(&bench);
}

static void many_requests_at_once_give_what_each_gives_alone(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    for (int32_t i = 0; i < 20; i++) {
        struct test_request request = test_request_simple(1 + i * 3, i, 30);
        request.request.sampling.temperature = i % 2 ? 0.8 : 0;
        request.request.sampling.seed = (uint64_t)i;
        request.request.n_logprobs = i % 3 ? -1 : 2;
        bench_submit(&bench, &request);
    }
    bench_run(&bench);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void a_cancelled_request_ends_with_that_and_the_rest_goes_on(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(9, 5, 100);
    request.request.ignore_eog = true;
    bench_submit(&bench, &request);
    bench_submit(&bench, &request);
    for (int32_t i = 0; i < 5; i++)
        assert_true(engine_turn(bench.engine, 0, NULL) >= 0);
    engine_cancel(bench.engine, bench.outcomes[0].id);
    engine_cancel(bench.engine, bench.outcomes[0].id);
    engine_cancel(bench.engine, 123456789);
    bench_run(&bench);
    assert_int_equal(bench.outcomes[0].last.finish, FINISH_CANCELLED);
    assert_true(bench.outcomes[0].n_tokens >= 3 && bench.outcomes[0].n_tokens <= 5);
    assert_int_equal(bench.outcomes[1].last.finish, FINISH_LENGTH);
    assert_int_equal(bench.outcomes[1].n_tokens, 100);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_gives_the_models_greedy_tokens),
        cmocka_unit_test(many_requests_at_once_give_what_each_gives_alone),
        cmocka_unit_test(a_cancelled_request_ends_with_that_and_the_rest_goes_on),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
