/* The engine against a simulated executor: each feature by name. */
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
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
    assert_int_equal(outcome->last.n_generated_tokens, outcome->n_tokens + (outcome->last.finish == FINISH_EOG));
    assert_int_equal(outcome->last.n_prompt_tokens, 11);
    bench_close(&bench);
}

/* Usage as vLLM and llama.cpp's server count it: every token that was computed for the answer. */
static void the_end_token_is_counted_and_not_delivered(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.eog_offset = 100; /* the model ends at once */
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(11, 3, 20);
    bench_submit(&bench, &request);
    request.request.ignore_eog = true;
    bench_submit(&bench, &request);
    bench_run(&bench);
    assert_int_equal(bench.outcomes[0].last.finish, FINISH_EOG);
    assert_int_equal(bench.outcomes[0].n_tokens, 0);
    assert_int_equal(bench.outcomes[0].last.n_generated_tokens, 1);
    assert_int_equal(bench.outcomes[1].n_tokens, 20);
    assert_int_equal(bench.outcomes[1].last.n_generated_tokens, 20);
    struct engine_statistics statistics;
    engine_get_statistics(bench.engine, &statistics);
    assert_int_equal(statistics.n_generated_tokens, 21);
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

static void a_shared_prefix_is_computed_once(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(41, 5, 6);
    bench_submit(&bench, &request);
    bench_run(&bench);
    assert_int_equal(bench.outcomes[0].last.n_cached_tokens, 0);
    bench_submit(&bench, &request); /* the very same: all but the last token, by a copy of the last block's beginning */
    request.prompt[30] = 1 - request.prompt[30] % 2;
    bench_submit(&bench, &request); /* the same up to position 30: seven whole blocks of four and two tokens of the eighth */
    bench_run(&bench);
    assert_int_equal(bench.outcomes[1].last.n_cached_tokens, 40);
    assert_int_equal(bench.outcomes[2].last.n_cached_tokens, 30);
    assert_true(simulation_get_counts(bench.simulation).n_copies >= 1);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void running_streams_share_their_prefix(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(40, 5, 40);
    request.request.ignore_eog = true;
    bench_submit(&bench, &request);
    for (int32_t i = 0; i < 3; i++)
        engine_turn(bench.engine, 0, NULL);
    for (uint32_t choice = 1; choice < 6; choice++) {
        request.request.sampling = (struct sampling_parameters){.temperature = 1, .seed = 3, .choice = choice};
        bench_submit(&bench, &request);
    }
    for (int32_t i = 0; i < 3; i++)
        engine_turn(bench.engine, 0, NULL);
    struct engine_statistics statistics;
    engine_get_statistics(bench.engine, &statistics);
    assert_int_equal(statistics.n_running, 6);
    assert_true(statistics.n_blocks_used < 9 + 6 * 3); /* nine shared blocks and a few of each, not sixty */
    bench_run(&bench);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void equal_prompts_in_one_step_end_up_in_one_set_of_blocks(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.description.max_tokens = 200;
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(40, 8, 30);
    request.request.ignore_eog = true;
    for (uint32_t choice = 0; choice < 4; choice++) {
        request.request.sampling = (struct sampling_parameters){.temperature = 1, .seed = 3, .choice = choice};
        bench_submit(&bench, &request);
    }
    for (int32_t i = 0; i < 2; i++)
        engine_turn(bench.engine, 0, NULL);
    struct engine_statistics statistics;
    engine_get_statistics(bench.engine, &statistics);
    assert_int_equal(statistics.n_running, 4);
    assert_true(statistics.n_blocks_used <= 10 + 4);
    bench_run(&bench);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void when_blocks_run_out_the_newest_is_preempted_and_rebuilt(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.description.groups[0].n_blocks = 20; /* 80 positions for three streams of 60 */
    bench_open(&bench, &options, NULL);
    for (int32_t i = 0; i < 3; i++) {
        struct test_request request = test_request_simple(10, i, 50);
        request.request.ignore_eog = true;
        bench_submit(&bench, &request);
    }
    bench_run(&bench);
    struct engine_statistics statistics;
    engine_get_statistics(bench.engine, &statistics);
    assert_true(statistics.n_preemptions >= 1);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void a_lost_executor_is_replaced_and_every_stream_goes_on(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.lose_at_step = 7;
    options.description.max_steps_in_flight = 2;
    bench_open(&bench, &options, NULL);
    for (int32_t i = 0; i < 4; i++) {
        struct test_request request = test_request_simple(10 + i, i, 30);
        request.request.ignore_eog = true;
        bench_submit(&bench, &request);
    }
    bench_run(&bench);
    assert_int_equal(simulation_get_counts(bench.simulation).n_opened, 2);
    assert_int_equal(bench.outcomes[0].last.n_rebuilds, 1);
    assert_false(bench.outcomes[0].last.numerics_changed);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void a_loss_at_submission_is_not_waited_out(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.lose_at_step = 0;
    options.open_failed_permille = 500;
    struct engine_options engine_options = {.max_rebuilds = 100};
    bench_open(&bench, &options, &engine_options);
    struct test_request request = test_request_simple(10, 1, 5);
    bench_submit(&bench, &request);
    while (engine_turn(bench.engine, bench.outcomes[0].ended ? 0 : UINT64_MAX, NULL) > 0) /* as the engine's thread does: a wait without end would hang here */
        test_take_events(bench.engine, bench.outcomes, bench.n);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void another_numerics_id_after_a_loss_is_reported(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.lose_at_step = 4;
    options.changes_numerics = true;
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(10, 2, 12);
    request.request.ignore_eog = true;
    bench_submit(&bench, &request);
    bench_run(&bench);
    assert_true(bench.outcomes[0].last.numerics_changed);
    bench_close(&bench);
}

static void a_failed_step_fails_its_requests_only(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.failed_permille = 1000;
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(10, 2, 12);
    bench_submit(&bench, &request);
    bench_run(&bench);
    assert_int_equal(bench.outcomes[0].last.finish, FINISH_ERROR);
    assert_int_equal(bench.outcomes[0].last.code, SAMPAN_EINTERNAL);
    assert_string_equal(bench.outcomes[0].message, "the simulated step failed");
    bench_submit(&bench, &request); /* still accepts */
    bench_run(&bench);
    assert_true(bench.outcomes[1].ended);
    bench_close(&bench);
}

static void nan_logits_fail_their_request_and_say_so(void **state)
{
    (void)state;
    for (int32_t sampled = 0; sampled < 2; sampled++) {
        struct bench bench;
        struct simulation_options options = test_simulation();
        options.nan_at_step = 3;
        bench_open(&bench, &options, NULL);
        struct test_request request = test_request_simple(10, 2, 12);
        request.request.ignore_eog = true;
        request.request.sampling.temperature = sampled;
        bench_submit(&bench, &request);
        bench_run(&bench);
        assert_int_equal(bench.outcomes[0].last.finish, FINISH_ERROR);
        assert_int_equal(bench.outcomes[0].n_tokens, 3);
        assert_non_null(strstr(bench.outcomes[0].message, "NaN"));
        bench_close(&bench);
    }
}

static void steps_overlap_where_the_next_token_is_the_argmax(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.description.max_steps_in_flight = 3;
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(10, 2, 60);
    request.request.ignore_eog = true;
    bench_submit(&bench, &request);
    bench_run(&bench);
    struct simulation_counts counts = simulation_get_counts(bench.simulation);
    assert_true(counts.n_chained_rows >= 55);
    assert_int_equal(counts.n_full_logit_rows, 0); /* greedy asks for no logits */
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void logits_are_fetched_only_for_the_streams_that_need_them(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    for (int32_t kind = 0; kind < 4; kind++) {
        struct test_request request = test_request_simple(10, kind, 20);
        request.request.ignore_eog = true;
        request.request.sampling.typical_p = 0.5; /* nothing without a temperature */
        request.request.sampling.n_biases = kind == 1;
        request.request.sampling.n_banned = kind == 2;
        request.request.n_stop_tokens = kind == 3; /* one that does not come */
        request.stop_tokens[0] = TEST_CONTROL;
        request.biases[0] = (struct sampling_bias){3, -5};
        request.banned[0].count = 2;
        bench_submit(&bench, &request);
    }
    bench_run(&bench);
    struct simulation_counts counts = simulation_get_counts(bench.simulation);
    assert_int_equal(counts.n_full_logit_rows, 40); /* of the second and third */
    assert_int_equal(counts.n_argmax_rows, 40);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void a_stop_token_ends_the_answer_although_end_tokens_are_ignored(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(10, 4, 30);
    request.request.ignore_eog = true;
    bench_submit(&bench, &request);
    bench_run(&bench);
    int32_t token = bench.outcomes[0].tokens[12], first = 0;
    while (bench.outcomes[0].tokens[first] != token)
        first++;
    request.request.n_stop_tokens = 2;
    request.stop_tokens[0] = TEST_CONTROL;
    request.stop_tokens[1] = token;
    int32_t stopped = bench_submit(&bench, &request);
    request.request.min_tokens = first + 1; /* then the same token may not come before that */
    int32_t later = bench_submit(&bench, &request);
    bench_run(&bench);
    assert_int_equal(bench.outcomes[stopped].last.finish, FINISH_EOG);
    assert_int_equal(bench.outcomes[stopped].last.eog_token, token);
    assert_int_equal(bench.outcomes[stopped].n_tokens, first);
    assert_memory_equal(bench.outcomes[stopped].tokens, bench.outcomes[0].tokens, (size_t)first * sizeof(int32_t));
    assert_true(bench.outcomes[later].n_tokens > first);
    assert_int_not_equal(bench.outcomes[later].tokens[first], token);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void lists_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    struct error err;
    uint64_t id;
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(10, 4, 30);
    test_request_point(&request);
    request.request.n_stop_tokens = 1;
    request.stop_tokens[0] = TEST_VOCABULARY;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "entry 0 of stop_tokens is token 40, expected 0 to 39"));
    request.request.n_stop_tokens = LIMIT_STOP_TOKENS + 1;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_ELIMIT);
    request.request.stop_tokens = NULL;
    request.request.n_stop_tokens = 1;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EINVAL);
    request.request.n_stop_tokens = 0;
    request.request.sampling.n_biases = 1;
    request.biases[0].id = -7;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "logit_bias names token -7"));
    bench_close(&bench);
}

static void prompts_are_cut_into_chunks_and_streams_go_on_between_them(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    struct engine_options engine_options = {.prefill_chunk = 8};
    bench_open(&bench, &options, &engine_options);
    struct test_request running = test_request_simple(4, 1, 100), large = test_request_simple(100, 2, 4);
    running.request.ignore_eog = large.request.ignore_eog = true;
    bench_submit(&bench, &running);
    engine_turn(bench.engine, 0, NULL);
    bench_submit(&bench, &large);
    for (int32_t turn = 0; turn < 12; turn++) {
        int32_t before = bench.outcomes[0].n_tokens;
        engine_turn(bench.engine, 0, NULL);
        test_take_events(bench.engine, bench.outcomes, bench.n);
        assert_true(bench.outcomes[0].n_tokens > before); /* a token in every step */
    }
    assert_int_equal(simulation_get_counts(bench.simulation).max_rows_of_prefill, 8);
    bench_run(&bench);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void prompts_make_progress_although_decoding_streams_could_fill_every_step(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.description.max_tokens = 4;
    bench_open(&bench, &options, NULL);
    for (int32_t i = 0; i < 7; i++) {
        struct test_request request = test_request_simple(2, i, 60);
        request.request.ignore_eog = true;
        bench_submit(&bench, &request);
    }
    for (int32_t i = 0; i < 30; i++)
        engine_turn(bench.engine, 0, NULL);
    struct test_request late = test_request_simple(20, 9, 5);
    late.request.ignore_eog = true;
    bench_submit(&bench, &late);
    for (int32_t i = 0; i < 35; i++)
        engine_turn(bench.engine, 0, NULL);
    test_take_events(bench.engine, bench.outcomes, bench.n);
    assert_true(bench.outcomes[7].n_tokens > 0); /* its 20 tokens took about 20 steps */
    int32_t least = 1000, most = 0;
    for (int32_t i = 0; i < 7; i++) {
        least = bench.outcomes[i].n_tokens < least ? bench.outcomes[i].n_tokens : least;
        most = bench.outcomes[i].n_tokens > most ? bench.outcomes[i].n_tokens : most;
    }
    assert_true(most - least < 8); /* and everybody took turns */
    bench_run(&bench);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

static void a_prompt_is_scored_without_generating(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.description.max_logit_rows = 5;
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(30, 1, 0);
    request.request.n_prompt_logprobs = 3;
    bench_submit(&bench, &request);
    request.request.max_tokens = 4;
    bench_submit(&bench, &request); /* must not take logits' positions from the cache */
    request.request.n_prompt_logprobs = -1;
    request.request.max_tokens = 0;
    bench_submit(&bench, &request);
    struct test_request one = test_request_simple(1, 1, 1);
    bench_submit(&bench, &one);
    bench_run(&bench);
    assert_int_equal(bench.outcomes[0].last.finish, FINISH_LENGTH);
    assert_int_equal(bench.outcomes[0].n_tokens, 0);
    assert_int_equal(bench.outcomes[0].prompt_logprobs.length, 30 * 3 * sizeof(struct engine_logprob));
    assert_int_equal(bench.outcomes[1].last.n_cached_tokens, 0);
    assert_int_equal(bench.outcomes[2].last.finish, FINISH_LENGTH);
    bench_expect_as_alone(&bench);
    bench_close(&bench);
}

/* The embedding of a request by an oracle without engine: the simulated model's rows one by one. */
static void expected_embedding(const struct bench *bench, const struct test_request *request, int32_t width, float *values)
{
    double sums[16] = {0}, squares = 0;
    int32_t n = (int32_t)request->request.n_prompt, first = request->request.pooling == POOLING_LAST ? n : 1;
    for (int32_t length = first; length <= n; length++) {
        float row[16];
        simulation_hidden(&bench->options, request->prompt, length, row);
        for (int32_t i = 0; i < width; i++)
            sums[i] += (double)row[i];
    }
    for (int32_t i = 0; i < width; i++) {
        sums[i] /= n - first + 1;
        squares += sums[i] * sums[i];
    }
    for (int32_t i = 0; i < width; i++)
        values[i] = (float)(sums[i] * (request->request.normalize ? 1 / sqrt(squares) : 1));
}

static void a_prompt_is_pooled_whatever_its_chunks_and_what_is_cached(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    int32_t width = options.description.hidden_width;
    options.description.max_logit_rows = 5;
    bench_open(&bench, &options, NULL);
    struct test_request generating = test_request_simple(30, 1, 3);
    bench_submit(&bench, &generating); /* leaves the prompt in the cache */
    bench_run(&bench);
    for (int i = 0; i < 4; i++) {
        struct test_request request = test_request_simple(30, 1, 0);
        request.request.pooling = i & 1 ? POOLING_MEAN : POOLING_LAST;
        request.request.normalize = i & 2;
        bench_submit(&bench, &request);
    }
    bench_run(&bench);
    for (int32_t i = 1; i < bench.n; i++) {
        float expected[16];
        expected_embedding(&bench, &bench.requests[i], width, expected);
        assert_int_equal(bench.outcomes[i].last.finish, FINISH_LENGTH);
        assert_int_equal(bench.outcomes[i].embedding.length, (size_t)width * sizeof(float));
        assert_memory_equal(bench.outcomes[i].embedding.data, expected, (size_t)width * sizeof(float));
        if (bench.requests[i].request.pooling == POOLING_MEAN)
            assert_int_equal(bench.outcomes[i].last.n_cached_tokens, 0);
        else
            assert_int_not_equal(bench.outcomes[i].last.n_cached_tokens, 0);
    }
    assert_int_equal(bench.outcomes[0].embedding.length, 0);
    bench_close(&bench);
}

static void what_cannot_be_done_is_refused_with_both_numbers(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.description.groups[0].n_blocks = 8;
    options.description.max_context = 100;
    bench_open(&bench, &options, NULL);
    struct error err;
    uint64_t id;
    struct test_request request = test_request_simple(100, 1, 5);
    test_request_point(&request);
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_ELIMIT);
    assert_non_null(strstr(err.message, "100 tokens"));
    request.request.n_prompt = 40;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_ELIMIT);
    assert_non_null(strstr(err.message, "has 40 tokens; all cache blocks together hold 32"));
    request.request.n_prompt = 0;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EINVAL);
    request.request.n_prompt = 5;
    request.prompt[3] = TEST_VOCABULARY;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "token 3 of the prompt is 40, expected 0 to 39"));
    request.prompt[3] = 1;
    request.request.n_logprobs = 100000;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EINVAL);
    request.request.n_logprobs = -1;
    request.request.pooling = POOLING_LAST;
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "max_tokens is 5, expected 0"));
    request.request.pooling = POOLING_NONE;
    request.request.max_tokens = 1000; /* generated at most: as many as fit */
    request.request.ignore_eog = true;
    bench_submit(&bench, &request);
    bench_run(&bench);
    assert_int_equal(bench.outcomes[0].n_tokens, 27);
    bench_close(&bench);
}

static void a_full_queue_refuses_and_takes_again_later(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    struct engine_options engine_options = {.max_queued = 2, .max_running = 1};
    bench_open(&bench, &options, &engine_options);
    struct test_request request = test_request_simple(5, 1, 3);
    bench_submit(&bench, &request);
    bench_submit(&bench, &request);
    struct error err;
    uint64_t id;
    test_request_point(&request);
    assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), SAMPAN_EBUSY);
    bench_run(&bench);
    bench_submit(&bench, &request);
    bench_run(&bench);
    assert_true(bench.outcomes[2].ended);
    bench_close(&bench);
}

static void recurrent_state_is_refused_for_now(void **state)
{
    (void)state;
    struct simulation_options options = test_simulation();
    options.description.groups[0].kind = EXECUTOR_GROUP_STATE;
    struct simulation *simulation = simulation_create(&options);
    struct executor_factory factory = simulation_factory(simulation);
    struct engine *engine;
    struct error err;
    assert_int_equal(engine_create(&factory, NULL, NULL, &engine, &err), SAMPAN_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "recurrent state"));
    options.description.groups[0] = (struct executor_group){.kind = EXECUTOR_GROUP_WINDOW, .block_tokens = 4, .n_blocks = 2, .window = 100};
    struct simulation *small = simulation_create(&options);
    factory = simulation_factory(small);
    assert_int_equal(engine_create(&factory, NULL, NULL, &engine, &err), SAMPAN_ELIMIT);
    simulation_free(simulation);
    simulation_free(small);
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    options.description.max_steps_in_flight = 2;
    options.description.groups[0].n_blocks = 40;
    bench_open(&bench, &options, NULL);
    for (int32_t i = 0; i < 6; i++) {
        struct test_request request = test_request_simple(30, i % 3, 60);
        request.request.ignore_eog = true;
        request.request.sampling.temperature = i % 2;
        request.request.sampling.repetition_penalty = i % 3 ? 0 : 1.1;
        request.request.n_logprobs = i % 2 ? 3 : -1;
        request.request.n_stops = 1;
        strcpy(request.stop_texts[0], "never this");
        bench_submit(&bench, &request);
    }
    uint64_t before = mem_allocation_count();
    for (int32_t i = 0; i < 80; i++)
        engine_turn(bench.engine, 0, NULL);
    assert_int_equal(mem_allocation_count(), before); /* admission, prefill, decode, preemption, sampling, stop strings */
    bench_run(&bench);
    bench_close(&bench);
}

static void every_allocation_may_fail_when_the_engine_is_made_and_a_request_accepted(void **state)
{
    (void)state;
    struct simulation_options options = test_simulation();
    struct simulation *simulation = simulation_create(&options);
    struct executor_factory factory = simulation_factory(simulation);
    struct test_request request = test_request_simple(10, 1, 4);
    request.request.n_stops = 1;
    strcpy(request.stop_texts[0], "x");
    request.request.n_stop_tokens = 1;
    request.request.n_logprobs = request.request.n_prompt_logprobs = 2;
    test_request_point(&request);
    test_tokenizer();
    int32_t failures = 0;
    for (int64_t n = 0; n < 200; n++) {
        struct engine *engine = NULL;
        struct error err;
        uint64_t id;
        mem_fail_after(n);
        int status = engine_create(&factory, test_tokenizer(), NULL, &engine, &err);
        if (!status)
            status = engine_submit(engine, &request.request, &id, &err);
        mem_fail_after(-1);
        assert_true(status == 0 || status == SAMPAN_ENOMEM);
        failures += status != 0;
        engine_free(engine);
    }
    assert_true(failures > 20);
    simulation_free(simulation);
}

static void an_event_that_cannot_be_made_ends_its_request_and_nothing_else(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(10, 1, 20);
    request.request.ignore_eog = true;
    int32_t failing = bench_submit(&bench, &request);
    int32_t other = bench_submit(&bench, &request);
    struct engine_event event = {0};
    while (engine_turn(bench.engine, 0, NULL) > 0) {
        if (bench.outcomes[failing].ended)
            continue;
        mem_fail_after(0); /* the text's first piece of memory */
        if (engine_next_event(bench.engine, 0, &event, NULL) == 0 && event.request == bench.outcomes[failing].id) {
            assert_int_equal(event.finish, FINISH_ERROR);
            assert_int_equal(event.code, SAMPAN_ENOMEM);
            assert_non_null(strstr(event.message, "out of memory"));
            bench.outcomes[failing].ended = true;
            mem_fail_after(-1);
            break;
        }
        mem_fail_after(-1);
    }
    assert_true(bench.outcomes[failing].ended);
    bench_run(&bench); /* no further event of the first: test_outcome_take would refuse it */
    assert_true(bench.outcomes[other].ended);
    assert_int_equal(bench.outcomes[other].n_tokens, 20);
    engine_release(bench.engine, bench.outcomes[failing].id);
    struct engine_statistics statistics;
    engine_get_statistics(bench.engine, &statistics);
    assert_int_equal(statistics.n_cancelled, 1);
    bench_close(&bench);
}

static void the_descriptor_is_readable_while_an_event_waits(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct pollfd poll_descriptor = {.fd = engine_descriptor(bench.engine), .events = POLLIN};
    struct engine_event event;
    assert_int_equal(poll(&poll_descriptor, 1, 0), 0);
    assert_int_equal(engine_next_event(bench.engine, 1000, &event, NULL), SAMPAN_ETIMEOUT);
    struct test_request request = test_request_simple(5, 1, 8);
    bench_submit(&bench, &request);
    while (engine_turn(bench.engine, 0, NULL) > 0)
        ;
    assert_int_equal(poll(&poll_descriptor, 1, 0), 1);
    test_take_events(bench.engine, bench.outcomes, bench.n);
    assert_int_equal(poll(&poll_descriptor, 1, 0), 0);
    assert_true(bench.outcomes[0].ended);
    assert_int_equal(bench.outcomes[0].n_events, 1); /* a slow reader gets everything in one */
    bench_close(&bench);
}

static void a_released_stream_is_cancelled_and_gives_no_event(void **state)
{
    (void)state;
    struct bench bench;
    struct simulation_options options = test_simulation();
    bench_open(&bench, &options, NULL);
    struct test_request request = test_request_simple(5, 1, 100);
    request.request.ignore_eog = true;
    for (int32_t i = 0; i < 3000; i++) { /* more than there are places */
        struct error err;
        uint64_t id;
        test_request_point(&request);
        assert_int_equal(engine_submit(bench.engine, &request.request, &id, &err), 0);
        if (i % 2)
            engine_turn(bench.engine, 0, NULL);
        engine_release(bench.engine, id);
        engine_turn(bench.engine, 0, NULL);
    }
    while (engine_turn(bench.engine, 0, NULL) > 0)
        ;
    struct engine_event event;
    assert_int_equal(engine_next_event(bench.engine, 0, &event, NULL), SAMPAN_ETIMEOUT);
    struct engine_statistics statistics;
    engine_get_statistics(bench.engine, &statistics);
    assert_int_equal(statistics.n_running + statistics.n_waiting + statistics.n_blocks_used, 0);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_gives_the_models_greedy_tokens),
        cmocka_unit_test(the_end_token_is_counted_and_not_delivered),
        cmocka_unit_test(many_requests_at_once_give_what_each_gives_alone),
        cmocka_unit_test(a_cancelled_request_ends_with_that_and_the_rest_goes_on),
        cmocka_unit_test(a_shared_prefix_is_computed_once),
        cmocka_unit_test(running_streams_share_their_prefix),
        cmocka_unit_test(equal_prompts_in_one_step_end_up_in_one_set_of_blocks),
        cmocka_unit_test(when_blocks_run_out_the_newest_is_preempted_and_rebuilt),
        cmocka_unit_test(a_lost_executor_is_replaced_and_every_stream_goes_on),
        cmocka_unit_test(a_loss_at_submission_is_not_waited_out),
        cmocka_unit_test(another_numerics_id_after_a_loss_is_reported),
        cmocka_unit_test(a_failed_step_fails_its_requests_only),
        cmocka_unit_test(nan_logits_fail_their_request_and_say_so),
        cmocka_unit_test(steps_overlap_where_the_next_token_is_the_argmax),
        cmocka_unit_test(logits_are_fetched_only_for_the_streams_that_need_them),
        cmocka_unit_test(a_stop_token_ends_the_answer_although_end_tokens_are_ignored),
        cmocka_unit_test(lists_that_cannot_be_are_refused),
        cmocka_unit_test(prompts_are_cut_into_chunks_and_streams_go_on_between_them),
        cmocka_unit_test(prompts_make_progress_although_decoding_streams_could_fill_every_step),
        cmocka_unit_test(a_prompt_is_scored_without_generating),
        cmocka_unit_test(a_prompt_is_pooled_whatever_its_chunks_and_what_is_cached),
        cmocka_unit_test(what_cannot_be_done_is_refused_with_both_numbers),
        cmocka_unit_test(a_full_queue_refuses_and_takes_again_later),
        cmocka_unit_test(recurrent_state_is_refused_for_now),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(every_allocation_may_fail_when_the_engine_is_made_and_a_request_accepted),
        cmocka_unit_test(an_event_that_cannot_be_made_ends_its_request_and_nothing_else),
        cmocka_unit_test(the_descriptor_is_readable_while_an_event_waits),
        cmocka_unit_test(a_released_stream_is_cancelled_and_gives_no_event),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
