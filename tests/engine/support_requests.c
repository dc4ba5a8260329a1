#include "support_requests.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"

/* Texts in the byte alphabet of GPT-2: bytes A1..AC and AE..FF stand for themselves as Latin-1, a space is U+0120. */
static const char *const texts[TEST_VOCABULARY] = {"a",
                                                   "b",
                                                   "c",
                                                   "d",
                                                   "e",
                                                   "f",
                                                   "g",
                                                   "h",
                                                   "\xc4\xa0",
                                                   "1",
                                                   "2",
                                                   "3",
                                                   ".",
                                                   ",",
                                                   "ab",
                                                   "abc",
                                                   "bca",
                                                   "cab",
                                                   "\xc4\xa0"
                                                   "a",
                                                   "\xc4\xa0"
                                                   "de",
                                                   "fgh",
                                                   "hh",
                                                   "gg",
                                                   "12",
                                                   "\xc3\x83", /* byte C3 */
                                                   "\xc2\xa9" /* byte A9: C3 A9 is e acute */,
                                                   "\xc3\xb0" /* F0 */,
                                                   "\xc2\xa9"
                                                   "a" /* A9 'a' */,
                                                   "\xc3\x83"
                                                   "\xc2\xa9",
                                                   "dd",
                                                   "ee",
                                                   "ba",
                                                   "ca",
                                                   "aa",
                                                   "bb",
                                                   "cc",
                                                   "fe",
                                                   "ef",
                                                   "<control>",
                                                   "<end>"};

const struct tokenizer *test_tokenizer(void)
{
    static struct tokenizer *tokenizer;
    static struct tokenizer_token tokens[TEST_VOCABULARY];
    static const int32_t eog = TEST_EOG;
    static struct tokenizer_spec spec = {.model = TOKENIZER_BPE_BYTE_LEVEL,
                                         .n_tokens = TEST_VOCABULARY,
                                         .tokens = tokens,
                                         .pretokenizer = "smollm",
                                         .bos_id = -1,
                                         .eos_id = TEST_EOG,
                                         .eot_id = -1,
                                         .unknown_id = -1,
                                         .padding_id = -1,
                                         .n_eog_ids = 1,
                                         .eog_ids = &eog};
    if (tokenizer)
        return tokenizer;
    for (int32_t i = 0; i < TEST_VOCABULARY; i++)
        tokens[i] = (struct tokenizer_token){.text = {texts[i], strlen(texts[i])}, .kind = i >= TEST_CONTROL ? TOKEN_CONTROL : TOKEN_NORMAL};
    struct error err;
    if (tokenizer_create(&spec, &tokenizer, &err))
        fail_msg("%s", err.message);
    return tokenizer;
}

void test_request_point(struct test_request *request)
{
    request->request.prompt = request->prompt;
    request->request.stops = request->stops;
    request->request.sampling.biases = request->biases;
    request->request.sampling.banned = request->banned;
    request->request.stop_tokens = request->stop_tokens;
    for (int32_t i = 0; i < request->request.sampling.n_banned; i++)
        request->banned[i].ids = request->banned_ids[i];
    for (size_t i = 0; i < request->request.n_stops; i++)
        request->stops[i] = (struct engine_stop){request->stop_texts[i], strlen(request->stop_texts[i])};
}

struct test_request test_request_simple(int32_t n_prompt, int32_t seed, int32_t max_tokens)
{
    struct test_request r = {.request = {.n_prompt = (size_t)n_prompt, .max_tokens = max_tokens, .n_logprobs = -1, .n_prompt_logprobs = -1}};
    for (int32_t i = 0; i < n_prompt; i++)
        r.prompt[i] = (int32_t)(((uint32_t)(i * 7 + seed * 31) * 2654435761u >> 16) % TEST_CONTROL);
    return r;
}

void test_outcome_init(struct test_outcome *outcome, uint64_t id)
{
    memset(outcome, 0, sizeof *outcome);
    outcome->id = id;
    buffer_init(&outcome->text, 1 << 20);
    buffer_init(&outcome->logprobs, 1 << 24);
    buffer_init(&outcome->prompt_logprobs, 1 << 24);
    buffer_init(&outcome->embedding, 1 << 16);
}

void test_outcome_free(struct test_outcome *outcome)
{
    buffer_free(&outcome->text);
    buffer_free(&outcome->logprobs);
    buffer_free(&outcome->prompt_logprobs);
    buffer_free(&outcome->embedding);
}

void test_outcome_take(struct test_outcome *outcome, const struct engine_event *event)
{
    assert_false(outcome->ended);
    assert_true(outcome->n_tokens + event->n_tokens <= 1024);
    if (event->n_tokens)
        memcpy(outcome->tokens + outcome->n_tokens, event->tokens, (size_t)event->n_tokens * sizeof(int32_t));
    outcome->n_tokens += event->n_tokens;
    buffer_append(&outcome->text, event->text, event->text_length);
    if (event->n_logprobs && event->n_tokens)
        buffer_append(&outcome->logprobs, event->logprobs, (size_t)event->n_tokens * (size_t)event->n_logprobs * sizeof *event->logprobs);
    if (event->n_prompt_positions)
        buffer_append(&outcome->prompt_logprobs, event->prompt_logprobs,
                      (size_t)event->n_prompt_positions * (size_t)event->n_prompt_logprobs * sizeof *event->prompt_logprobs);
    if (event->n_embedding)
        buffer_append(&outcome->embedding, event->embedding, (size_t)event->n_embedding * sizeof *event->embedding);
    outcome->n_events++;
    outcome->last = *event;
    outcome->ended = event->finish != FINISH_NONE;
    if (outcome->ended)
        strncpy(outcome->message, event->message, sizeof outcome->message - 1);
}

struct simulation_options test_simulation(void)
{
    return (struct simulation_options){
        .description = {.guarantee = EXECUTOR_GUARANTEE_BATCH,
                        .n_vocabulary = TEST_VOCABULARY,
                        .max_tokens = 64,
                        .max_sequences = 8,
                        .max_logit_rows = 64,
                        .max_context = 256,
                        .max_steps_in_flight = 1,
                        .hidden_width = 6,
                        .n_groups = 1,
                        .groups = {{.kind = EXECUTOR_GROUP_ALL_POSITIONS, .block_tokens = 4, .n_blocks = 256, .block_bytes = 64}}},
        .seed = 1,
        .eog_id = TEST_EOG,
        .eog_offset = -1.5f,
        .lose_at_step = -1,
        .nan_at_step = -1};
}

void test_take_events(struct engine *engine, struct test_outcome *outcomes, int32_t n_outcomes)
{
    struct engine_event event;
    while (engine_next_event(engine, 0, &event, NULL) == 0) {
        int32_t i = 0;
        while (i < n_outcomes && outcomes[i].id != event.request)
            i++;
        assert_true(i < n_outcomes);
        test_outcome_take(&outcomes[i], &event);
        if (event.finish != FINISH_NONE)
            engine_release(engine, event.request);
    }
}

void test_run_all(struct engine *engine, struct test_outcome *outcomes, int32_t n_outcomes)
{
    struct error err;
    int status;
    while ((status = engine_turn(engine, 0, &err)) > 0)
        test_take_events(engine, outcomes, n_outcomes);
    if (status < 0)
        print_message("engine_turn: %s\n", err.message);
    test_take_events(engine, outcomes, n_outcomes);
}

void test_run_alone(const struct simulation_options *options, const struct test_request *request, struct test_outcome *outcome)
{
    struct simulation_options alone = {
        .description = options->description, .seed = 99, .eog_id = options->eog_id, .eog_offset = options->eog_offset, .lose_at_step = -1, .nan_at_step = -1};
    alone.description.max_tokens = alone.description.max_logit_rows = 256;
    alone.description.max_steps_in_flight = 1;
    for (int32_t g = 0; g < alone.description.n_groups; g++)
        alone.description.groups[g].n_blocks = 512;
    struct simulation *simulation = simulation_create(&alone);
    struct executor_factory factory = simulation_factory(simulation);
    struct engine_options engine_options = {.no_prefix_reuse = true, .no_pipelining = true};
    struct engine *engine;
    struct error err;
    struct test_request copy = *request;
    test_request_point(&copy);
    if (engine_create(&factory, test_tokenizer(), &engine_options, &engine, &err))
        fail_msg("%s", err.message);
    uint64_t id;
    if (engine_submit(engine, &copy.request, &id, &err))
        fail_msg("%s", err.message);
    test_outcome_init(outcome, id);
    test_run_all(engine, outcome, 1);
    assert_true(outcome->ended);
    engine_free(engine);
    assert_null(simulation_violation(simulation));
    simulation_free(simulation);
}

static bool same_bytes(const struct buffer *expected, const struct buffer *actual, bool prefix_only)
{
    if (prefix_only ? actual->length > expected->length : actual->length != expected->length)
        return false;
    return actual->length == 0 || memcmp(expected->data, actual->data, actual->length) == 0;
}

const char *test_outcomes_differ(const struct test_outcome *expected, const struct test_outcome *actual, bool prefix_only)
{
    if (prefix_only ? actual->n_tokens > expected->n_tokens : actual->n_tokens != expected->n_tokens)
        return "number of tokens";
    if (memcmp(expected->tokens, actual->tokens, (size_t)actual->n_tokens * sizeof(int32_t)) != 0)
        return "tokens";
    /* A stream that was cut short shows what it held back, which a stop string may have cut off in the whole answer. */
    if (!prefix_only && !same_bytes(&expected->text, &actual->text, false))
        return "text";
    if (!same_bytes(&expected->logprobs, &actual->logprobs, prefix_only))
        return "log-probabilities";
    if (!same_bytes(&expected->prompt_logprobs, &actual->prompt_logprobs, prefix_only))
        return "log-probabilities of the prompt";
    if (!same_bytes(&expected->embedding, &actual->embedding, prefix_only))
        return "embedding";
    if (prefix_only)
        return NULL;
    if (expected->last.finish != actual->last.finish || expected->last.stop_index != actual->last.stop_index ||
        expected->last.eog_token != actual->last.eog_token)
        return "the way it ended";
    return NULL;
}
