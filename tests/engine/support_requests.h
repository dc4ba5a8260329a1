/* Requests, what came of them, and a small vocabulary, for the engine's tests. */
#ifndef TESTS_ENGINE_SUPPORT_REQUESTS_H
#define TESTS_ENGINE_SUPPORT_REQUESTS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "engine/engine.h"
#include "support_simulated_executor.h"

/* Sixteen letters and digits, words, halves of characters (so that text comes late), one control token and one that ends a generation. */
#define TEST_VOCABULARY 40
#define TEST_CONTROL 38
#define TEST_EOG 39
const struct tokenizer *test_tokenizer(void);

#define MAX_TEST_PROMPT 128
#define MAX_TEST_STOPS 4
#define MAX_TEST_LIST 4

struct test_request {
    struct engine_request request; /* prompt, stops and lists point into this struct: fill_pointers before use */
    int32_t prompt[MAX_TEST_PROMPT];
    struct engine_stop stops[MAX_TEST_STOPS];
    char stop_texts[MAX_TEST_STOPS][16];
    struct sampling_bias biases[MAX_TEST_LIST];
    struct token_sequence banned[MAX_TEST_LIST];
    int32_t banned_ids[MAX_TEST_LIST][2];
    int32_t stop_tokens[MAX_TEST_LIST];
};

void test_request_point(struct test_request *request);                                       /* after copying one */
struct test_request test_request_simple(int32_t n_prompt, int32_t seed, int32_t max_tokens); /* greedy, no log-probabilities */

/* Everything a stream gave, put together from its events. */
struct test_outcome {
    uint64_t id;
    int32_t n_tokens;
    int32_t tokens[1024];
    struct buffer text;
    struct buffer logprobs;        /* of struct engine_logprob */
    struct buffer prompt_logprobs; /* ditto */
    struct buffer embedding;       /* of float */
    int32_t n_events;
    struct engine_event last; /* pointers invalid */
    char message[ERROR_MESSAGE_SIZE];
    bool ended;
};

void test_outcome_init(struct test_outcome *outcome, uint64_t id);
void test_outcome_free(struct test_outcome *outcome);
void test_outcome_take(struct test_outcome *outcome, const struct engine_event *event);

/* A description that is never short of anything, with the same groups. */
struct simulation_options test_simulation(void);

/* Runs one request alone on a fresh engine without reuse, pipelining or shortage. */
void test_run_alone(const struct simulation_options *options, const struct test_request *request, struct test_outcome *outcome);

/* Turns an engine until nothing is left to do, handing events to the outcomes (matched by id). */
void test_run_all(struct engine *engine, struct test_outcome *outcomes, int32_t n_outcomes);
void test_take_events(struct engine *engine, struct test_outcome *outcomes, int32_t n_outcomes);

/* NULL when the same; otherwise what differs. With `prefix_only`, `actual` may have ended early (cancelled, failed). */
const char *test_outcomes_differ(const struct test_outcome *expected, const struct test_outcome *actual, bool prefix_only);

#endif
