/* POST /v1/completions (OpenAI API reference, legacy completions): a text, several texts, or token ids, to be continued. */
#include <string.h>

#include "base/memory.h"
#include "serve/endpoints.h"
#include "serve/openai.h"

#define DEFAULT_MAX_TOKENS 16 /* the reference's own */

/* ---- The prompt. */

static int take_ids(struct server *server, json_t *list, int32_t **ids, size_t *n_ids, struct refusal *refusal)
{
    size_t n = json_array_size(list);
    *ids = mem_alloc_array(n + 1, sizeof **ids);
    if (!*ids)
        return refuse(refusal, 503, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= server->engine_description.n_vocabulary)
            return refuse(refusal, 400, "prompt", "entry %zu of the prompt is not a token id below %d", i, (int)server->engine_description.n_vocabulary);
        (*ids)[i] = (int32_t)json_integer_value(id);
    }
    *n_ids = n;
    return 0;
}

/* A string, an array with one string, an array of ids, or an array with one array of ids. */
static int make_prompt(struct server *server, json_t *body, int32_t **ids, size_t *n_ids, struct refusal *refusal)
{
    json_t *prompt = json_object_get(body, "prompt"), *first = json_array_get(prompt, 0);
    if (json_is_array(prompt) && json_array_size(prompt) > 1 && !json_is_integer(first))
        return refuse(refusal, 400, "prompt", "the prompt is an array of %zu texts; send one request for each", json_array_size(prompt));
    if (json_is_string(first) || json_is_array(first))
        prompt = first;
    if (json_is_array(prompt))
        return take_ids(server, prompt, ids, n_ids, refusal);
    if (!json_is_string(prompt))
        return refuse(refusal, 400, "prompt", "the prompt is not a string or an array of token ids");
    int code = sampan_tokenize(server->model, json_string_value(prompt), json_string_length(prompt), SAMPAN_TOKENIZE_BOS_EOS, ids, n_ids);
    return code ? refuse(refusal, http_status_of(code), "prompt", "%s", sampan_error_message()) : 0;
}

static int read_logprobs(json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    json_t *n = json_object_get(body, "logprobs");
    if (!n || json_is_null(n))
        return 0;
    if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > 5)
        return refuse(refusal, 400, "logprobs", "logprobs is not a whole number from 0 to 5");
    wishes->want_logprobs = true;
    wishes->request.want_logprobs = 1;
    wishes->request.n_alternatives = (int32_t)json_integer_value(n);
    return 0;
}

/* ---- Answers. */

/* Adds an event's tokens to the four lists of the reference. */
static void add_logprobs(const struct generation *generation, json_t *lists, const struct sampan_event *event, size_t offset)
{
    for (int32_t i = 0; i < event->n_tokens && event->n_logprobs; i++) {
        json_t *token = openai_token_logprob(generation->server, event->logprobs + (int64_t)i * event->n_logprobs, event->n_logprobs);
        json_t *top = json_object(), *list = json_object_get(token, "top_logprobs");
        json_object_set(top, json_string_value(json_object_get(token, "token")), json_object_get(token, "logprob"));
        for (size_t k = 0; k < json_array_size(list); k++) {
            json_t *one = json_array_get(list, k);
            json_object_set(top, json_string_value(json_object_get(one, "token")), json_object_get(one, "logprob"));
        }
        json_array_append(json_object_get(lists, "tokens"), json_object_get(token, "token"));
        json_array_append(json_object_get(lists, "token_logprobs"), json_object_get(token, "logprob"));
        json_array_append_new(json_object_get(lists, "top_logprobs"), top);
        json_array_append_new(json_object_get(lists, "text_offset"), json_integer((json_int_t)offset));
        offset += json_string_length(json_object_get(token, "token"));
        json_decref(token);
    }
}

static json_t *empty_lists(void)
{
    return json_pack("{s:[], s:[], s:[], s:[]}", "tokens", "token_logprobs", "top_logprobs", "text_offset");
}

static json_t *make_choice(int32_t index, const char *text, size_t length, json_t *logprobs, const char *finish)
{
    return json_pack("{s:s#, s:i, s:o, s:s?}", "text", text, length, "index", (int)index, "logprobs", logprobs, "finish_reason", finish);
}

static void on_event(struct generation *generation, int32_t index, const struct sampan_event *event)
{
    struct openai_answer *answer = generation->data;
    struct choice *choice = &generation->choices[index];
    const char *finish = openai_finish_name(event->finish);
    size_t offset = choice->text.length;
    json_t *echo = answer->echoes[index];
    if (!answer->introduced[index] && echo) {
        if (answer->stream)
            openai_send_chunk(generation, make_choice(index, json_string_value(echo), json_string_length(echo), json_null(), NULL));
        buffer_append(&choice->text, json_string_value(echo), json_string_length(echo));
        offset = choice->text.length;
    }
    answer->introduced[index] = true;
    buffer_append(&choice->text, event->text, event->text_length);
    if (answer->stream) {
        json_t *lists = answer->want_logprobs && event->n_tokens ? empty_lists() : NULL;
        if (lists)
            add_logprobs(generation, lists, event, offset);
        if (lists || event->text_length || finish)
            openai_send_chunk(generation, make_choice(index, event->text, event->text_length, lists ? lists : json_null(), finish));
    } else if (answer->want_logprobs) {
        if (!answer->logprobs[index])
            answer->logprobs[index] = empty_lists();
        add_logprobs(generation, answer->logprobs[index], event, offset);
    }
}

static void on_end(struct generation *generation)
{
    const struct openai_answer *answer = generation->data;
    if (answer->stream) {
        openai_end_stream(generation);
        return;
    }
    json_t *choices = json_array();
    for (int32_t i = 0; i < generation->n_choices; i++) {
        const struct choice *choice = &generation->choices[i];
        json_array_append_new(choices, make_choice(i, choice->text.data ? choice->text.data : "", choice->text.length,
                                                   answer->logprobs[i] ? json_incref(answer->logprobs[i]) : json_null(), openai_finish_name(choice->finish)));
    }
    exchange_respond_json(generation->exchange, 200, openai_envelope(generation, false, choices, openai_usage(generation)));
}

static const struct generation_handler handler = {on_event, on_end, openai_failed, openai_answer_free};

static int read_echo(struct server *server, json_t *body, const int32_t *ids, size_t n_ids, struct wishes *wishes, struct openai_answer *answer,
                     struct refusal *refusal)
{
    json_t *echo = json_object_get(body, "echo"), *prompt = json_object_get(body, "prompt");
    if (!echo || json_is_null(echo) || json_is_false(echo))
        return 0;
    if (!json_is_true(echo))
        return refuse(refusal, 400, "echo", "echo is neither true nor false");
    if (wishes->want_logprobs)
        return refuse(refusal, 400, "echo", "echo together with logprobs does not work yet");
    prompt = json_is_array(prompt) && json_is_string(json_array_get(prompt, 0)) ? json_array_get(prompt, 0) : prompt;
    char *text = NULL;
    size_t length = 0;
    if (!json_is_string(prompt) && sampan_detokenize(server->model, ids, n_ids, SAMPAN_DETOKENIZE_CONTROL, &text, &length))
        return refuse(refusal, 400, "prompt", "%s", sampan_error_message());
    for (int32_t i = 0; i < wishes->n; i++)
        answer->echoes[i] = text ? json_stringn(text, length) : json_incref(prompt);
    sampan_free(text);
    return 0;
}

static int begin(struct exchange *exchange, json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    static const char *const others[] = {"prompt", "logprobs", "echo", NULL};
    struct server *server = exchange->server;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int status = wishes_read(server, body, others, false, wishes, refusal);
    if (!status && !wishes->max_tokens_given) {
        wishes->max_tokens_given = true;
        wishes->max_tokens = DEFAULT_MAX_TOKENS;
    }
    status = status ? status : read_logprobs(body, wishes, refusal);
    status = status ? status : make_prompt(server, body, &ids, &n_ids, refusal);
    status = status ? status : wishes_fit(server, wishes, n_ids, refusal);
    struct openai_answer *answer = status ? NULL : openai_answer_make(exchange, wishes, false);
    if (!status && !answer)
        status = refuse(refusal, 503, NULL, "out of memory");
    status = status ? status : read_echo(server, body, ids, n_ids, wishes, answer, refusal);
    if (!status) {
        wishes->request.prompt = ids;
        wishes->request.n_prompt = n_ids;
        int code = generation_start(exchange, &wishes->request, wishes->n, &handler, answer);
        if (code)
            status = refuse(refusal, http_status_of(code), NULL, "%s", sampan_error_message());
    }
    if (status && answer) {
        struct generation none = {.data = answer, .n_choices = wishes->n};
        openai_answer_free(&none);
    }
    sampan_free(ids);
    return status;
}

void openai_completions(struct exchange *exchange, const char *rest)
{
    struct wishes wishes = {0};
    struct refusal refusal = {0};
    json_t *body = exchange_read_json(exchange, DIALECT_OPENAI);
    (void)rest;
    if (!body)
        return;
    if (begin(exchange, body, &wishes, &refusal))
        exchange_refuse(exchange, DIALECT_OPENAI, &refusal);
    wishes_free(&wishes);
    json_decref(body);
}
