#include "serve/wishes.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

int refuse(struct refusal *refusal, int status, const char *parameter, const char *format, ...)
{
    va_list arguments;
    refusal->status = status;
    snprintf(refusal->parameter, sizeof refusal->parameter, "%s", parameter ? parameter : "");
    va_start(arguments, format);
    vsnprintf(refusal->message, sizeof refusal->message, format, arguments);
    va_end(arguments);
    return -1;
}

void exchange_refuse(struct exchange *exchange, enum error_dialect dialect, const struct refusal *refusal)
{
    exchange_fail(exchange, dialect, refusal->status, *refusal->parameter ? refusal->parameter : NULL, refusal->code, refusal->message);
}

void exchange_respond_json(struct exchange *exchange, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text)
        exchange_respond(exchange, status, "application/json", text, strlen(text));
    else
        exchange_fail(exchange, DIALECT_OPENAI, 503, NULL, NULL, "out of memory");
    mem_free(text);
}

json_t *exchange_read_json(struct exchange *exchange, enum error_dialect dialect)
{
    const struct buffer *body = &exchange->request->body;
    struct refusal refusal = {0};
    json_error_t where;
    json_t *json = body->length ? json_loadb(body->data, body->length, JSON_REJECT_DUPLICATES, &where) : NULL;
    if (json_is_object(json))
        return json;
    if (!body->length)
        refuse(&refusal, 400, NULL, "the request has no body; expected a JSON object");
    else if (json)
        refuse(&refusal, 400, NULL, "the body is a JSON array; expected an object");
    else
        refuse(&refusal, 400, NULL, "the body is not valid JSON: line %d column %d: %s", where.line, where.column, where.text);
    json_decref(json);
    exchange_refuse(exchange, dialect, &refusal);
    return NULL;
}

int check_model(const struct server *server, json_t *body, struct refusal *refusal)
{
    json_t *model = json_object_get(body, "model");
    if (!model || json_is_null(model))
        return 0;
    if (!json_is_string(model))
        return refuse(refusal, 400, "model", "model is no string");
    if (strcmp(json_string_value(model), server->options.model_name) == 0)
        return 0;
    refusal->code = "model_not_found";
    return refuse(refusal, 404, "model", "the model '%.100s' is not served here; there is '%.200s'", json_string_value(model), server->options.model_name);
}

/* ---- Parameters that are a number or a flag. */

enum wish_kind { WISH_NUMBER, WISH_INTEGER, WISH_FLAG, WISH_SKIPPED, WISH_READ_ELSEWHERE, WISH_REFUSED };

#define IN_REQUEST(field) (offsetof(struct wishes, request) + offsetof(struct sampan_request, field))

static const struct wish {
    const char *name;
    enum wish_kind kind;
    double minimum, maximum;
    size_t offset;   /* of a double, an int32_t or a bool in struct wishes */
    const char *why; /* of WISH_REFUSED */
} table[] = {
    {"temperature", WISH_NUMBER, 0, 2, IN_REQUEST(temperature), NULL},
    {"top_p", WISH_NUMBER, 0, 1, IN_REQUEST(top_p), NULL},
    {"min_p", WISH_NUMBER, 0, 1, IN_REQUEST(min_p), NULL},
    {"typical_p", WISH_NUMBER, 0, 1, IN_REQUEST(typical_p), NULL},
    {"top_k", WISH_INTEGER, 0, INT32_MAX, IN_REQUEST(top_k), NULL},
    {"presence_penalty", WISH_NUMBER, -2, 2, IN_REQUEST(presence_penalty), NULL},
    {"frequency_penalty", WISH_NUMBER, -2, 2, IN_REQUEST(frequency_penalty), NULL},
    {"repetition_penalty", WISH_NUMBER, 0.01, 100, IN_REQUEST(repetition_penalty), NULL},
    {"min_tokens", WISH_INTEGER, 0, INT32_MAX, IN_REQUEST(min_tokens), NULL},
    {"n", WISH_INTEGER, 1, WISHES_MAX_CHOICES, offsetof(struct wishes, n), NULL},
    {"stream", WISH_FLAG, 0, 0, offsetof(struct wishes, stream), NULL},
    {"model", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"max_tokens", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"ignore_eos", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"seed", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"stop", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"stop_token_ids", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"logit_bias", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"stream_options", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"response_format", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"guided_json", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"guided_regex", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"guided_choice", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"grammar", WISH_READ_ELSEWHERE, 0, 0, 0, NULL},
    {"user", WISH_SKIPPED, 0, 0, 0, NULL},
    {"metadata", WISH_SKIPPED, 0, 0, 0, NULL},
    {"store", WISH_SKIPPED, 0, 0, 0, NULL},
    {"service_tier", WISH_SKIPPED, 0, 0, 0, NULL},
    {"prompt_cache_key", WISH_SKIPPED, 0, 0, 0, NULL},
    {"safety_identifier", WISH_SKIPPED, 0, 0, 0, NULL},
    {"best_of", WISH_REFUSED, 0, 0, 0, "choosing the best of several answers does not work; ask for n answers"},
    {"suffix", WISH_REFUSED, 0, 0, 0, "inserting text before a suffix does not work"},
    {"audio", WISH_REFUSED, 0, 0, 0, "this server makes text only"},
    {"modalities", WISH_REFUSED, 0, 0, 0, "this server makes text only"},
    {"prediction", WISH_REFUSED, 0, 0, 0, "predicted outputs do not work"},
    {"web_search_options", WISH_REFUSED, 0, 0, 0, "there is no web search"},
    {"tools", WISH_REFUSED, 0, 0, 0, "calling tools does not work yet; describe what is wanted in a message and ask for a response_format"},
    {"tool_choice", WISH_REFUSED, 0, 0, 0, "calling tools does not work yet"},
    {"parallel_tool_calls", WISH_REFUSED, 0, 0, 0, "calling tools does not work yet"},
    {"functions", WISH_REFUSED, 0, 0, 0, "calling functions does not work yet"},
    {"function_call", WISH_REFUSED, 0, 0, 0, "calling functions does not work yet"},
    {"reasoning_effort", WISH_REFUSED, 0, 0, 0, "use chat_template_kwargs to switch a model's thinking"},
    {"verbosity", WISH_REFUSED, 0, 0, 0, "say in a message how long the answer is to be"},
};

static int read_wish(const struct wish *wish, json_t *value, struct wishes *wishes, struct refusal *refusal)
{
    char *place = (char *)wishes + wish->offset;
    double number = json_number_value(value);
    bool is_number = json_is_number(value) && isfinite(number);
    switch (wish->kind) {
    case WISH_NUMBER:
        if (!is_number || number < wish->minimum || number > wish->maximum)
            return refuse(refusal, 400, wish->name, "%s is not a number from %g to %g", wish->name, wish->minimum, wish->maximum);
        *(double *)(void *)place = number;
        return 0;
    case WISH_INTEGER:
        if (!json_is_integer(value) || number < wish->minimum || number > wish->maximum)
            return refuse(refusal, 400, wish->name, "%s is not a whole number from %.0f to %.0f", wish->name, wish->minimum, wish->maximum);
        *(int32_t *)(void *)place = (int32_t)json_integer_value(value);
        return 0;
    case WISH_FLAG:
        if (!json_is_boolean(value))
            return refuse(refusal, 400, wish->name, "%s is neither true nor false", wish->name);
        *(bool *)(void *)place = json_is_true(value);
        return 0;
    case WISH_REFUSED: return refuse(refusal, 400, wish->name, "%s: %s", wish->name, wish->why);
    default: return 0;
    }
}

static bool is_among(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static int read_table(json_t *body, const char *const *others, struct wishes *wishes, struct refusal *refusal)
{
    for (void *at = json_object_iter(body); at; at = json_object_iter_next(body, at)) {
        const char *name = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        const struct wish *found = NULL;
        if (is_among(others, name))
            continue;
        for (size_t i = 0; i < sizeof table / sizeof *table && !found; i++)
            found = strcmp(table[i].name, name) == 0 ? &table[i] : NULL;
        if (!found)
            return refuse(refusal, 400, name, "there is no parameter '%.60s'", name);
        if (!json_is_null(value) && read_wish(found, value, wishes, refusal))
            return -1;
    }
    return 0;
}

/* ---- The others. */

/* Absent or null. */
static json_t *given(json_t *body, const char *name)
{
    json_t *value = json_object_get(body, name);
    return json_is_null(value) ? NULL : value;
}

static int read_stops(json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    json_t *stop = given(body, "stop");
    size_t n = json_is_array(stop) ? json_array_size(stop) : stop != NULL;
    if (n > WISHES_MAX_STOPS)
        return refuse(refusal, 400, "stop", "stop has %zu entries, expected at most %d", n, WISHES_MAX_STOPS);
    for (size_t i = 0; i < n; i++) {
        json_t *text = json_is_array(stop) ? json_array_get(stop, i) : stop;
        if (!json_is_string(text) || !json_string_length(text))
            return refuse(refusal, 400, "stop", "stop is not a string or an array of strings, none of them empty");
        wishes->stops[i] = (struct sampan_text){json_string_value(text), json_string_length(text)};
    }
    wishes->request.stops = wishes->stops;
    wishes->request.n_stops = n;
    return 0;
}

static int read_stop_tokens(json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    json_t *list = given(body, "stop_token_ids");
    size_t n = json_array_size(list);
    if (list && !json_is_array(list))
        return refuse(refusal, 400, "stop_token_ids", "stop_token_ids is no array");
    wishes->stop_tokens = mem_alloc_array(n + 1, sizeof *wishes->stop_tokens);
    if (!wishes->stop_tokens)
        return refuse(refusal, 503, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return refuse(refusal, 400, "stop_token_ids", "stop_token_ids holds something that is no token id");
        wishes->stop_tokens[i] = (int32_t)json_integer_value(id);
    }
    wishes->request.stop_tokens = wishes->stop_tokens;
    wishes->request.n_stop_tokens = n;
    return 0;
}

static int read_biases(json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    json_t *biases = given(body, "logit_bias");
    if (biases && !json_is_object(biases))
        return refuse(refusal, 400, "logit_bias", "logit_bias is no object of token ids and biases");
    wishes->biases = mem_alloc_array(json_object_size(biases) + 1, sizeof *wishes->biases);
    if (!wishes->biases)
        return refuse(refusal, 503, NULL, "out of memory");
    for (void *at = json_object_iter(biases); at; at = json_object_iter_next(biases, at)) {
        const char *key = json_object_iter_key(at);
        char *end = NULL;
        errno = 0;
        long id = strtol(key, &end, 10);
        double bias = json_number_value(json_object_iter_value(at));
        if (*end || !*key || errno || id < 0 || id > INT32_MAX)
            return refuse(refusal, 400, "logit_bias", "logit_bias has the key '%.40s', expected a token id", key);
        if (!json_is_number(json_object_iter_value(at)) || !(bias >= -100 && bias <= 100))
            return refuse(refusal, 400, "logit_bias", "logit_bias of token %ld is not a number from -100 to 100", id);
        wishes->biases[wishes->request.n_logit_biases++] = (struct sampan_logit_bias){(int32_t)id, (float)bias};
    }
    wishes->request.logit_biases = wishes->biases;
    return 0;
}

static int read_numbers(json_t *body, bool is_chat, struct wishes *wishes, struct refusal *refusal)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens"};
    json_t *seed = given(body, "seed"), *ignore = given(body, "ignore_eos"), *options = given(body, "stream_options");
    for (int i = is_chat ? 0 : 1; i < 2 && !wishes->max_tokens_given; i++) {
        json_t *maximum = given(body, names[i]);
        if (!maximum)
            continue;
        if (!json_is_integer(maximum) || json_integer_value(maximum) < (is_chat ? 1 : 0))
            return refuse(refusal, 400, names[i], "%s is not a whole number of at least %d", names[i], is_chat ? 1 : 0);
        wishes->max_tokens_given = true;
        wishes->max_tokens = json_integer_value(maximum);
    }
    if (seed && !json_is_integer(seed))
        return refuse(refusal, 400, "seed", "seed is no whole number");
    if (ignore && !json_is_boolean(ignore))
        return refuse(refusal, 400, "ignore_eos", "ignore_eos is neither true nor false");
    if (options && (!json_is_object(options) || !wishes->stream))
        return refuse(refusal, 400, "stream_options", "stream_options is an object, and goes with stream: true");
    json_t *usage = given(options, "include_usage");
    if (usage && !json_is_boolean(usage))
        return refuse(refusal, 400, "stream_options", "stream_options.include_usage is neither true nor false");
    wishes->include_usage = json_is_true(usage);
    wishes->request.ignore_end = json_is_true(ignore);
    wishes->request.seed = seed ? (uint64_t)json_integer_value(seed) : clock_now_ns(&clock_monotonic) * 0x9E3779B97F4A7C15u;
    return 0;
}

/* ---- The form of the answer. */

static int compile(struct server *server, enum sampan_grammar_kind kind, const char *source, const char *parameter, struct wishes *wishes,
                   struct refusal *refusal)
{
    if (wishes->grammar)
        return refuse(refusal, 400, parameter, "of response_format, guided_json, guided_regex, guided_choice and grammar only one can be given");
    int code = sampan_grammar_compile(server->model, (int32_t)kind, source, strlen(source), &wishes->grammar);
    if (code)
        return refuse(refusal, http_status_of(code), parameter, "%s: %s", parameter, sampan_error_message());
    wishes->request.grammar = wishes->grammar;
    return 0;
}

static int compile_json(struct server *server, enum sampan_grammar_kind kind, json_t *source, const char *parameter, struct wishes *wishes,
                        struct refusal *refusal)
{
    char *text = json_dumps(source, JSON_COMPACT | JSON_ENCODE_ANY);
    int status = text ? compile(server, kind, text, parameter, wishes, refusal) : refuse(refusal, 503, NULL, "out of memory");
    mem_free(text);
    return status;
}

static int read_response_format(struct server *server, json_t *format, struct wishes *wishes, struct refusal *refusal)
{
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!type)
        return refuse(refusal, 400, "response_format", "response_format is not an object with a type: text, json_object or json_schema");
    if (strcmp(type, "text") == 0)
        return 0;
    if (strcmp(type, "json_object") == 0)
        return compile(server, SAMPAN_GRAMMAR_JSON_OBJECT, "", "response_format", wishes, refusal);
    if (strcmp(type, "json_schema") != 0)
        return refuse(refusal, 400, "response_format", "response_format has the type '%.40s', expected text, json_object or json_schema", type);
    json_t *outer = json_object_get(format, "json_schema"), *schema = json_object_get(outer, "schema");
    if (!json_is_object(schema))
        return refuse(refusal, 400, "response_format", "response_format.json_schema.schema is no object");
    return compile_json(server, SAMPAN_GRAMMAR_JSON_SCHEMA, schema, "response_format", wishes, refusal);
}

static int read_forms(struct server *server, json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    json_t *format = given(body, "response_format"), *schema = given(body, "guided_json"), *choices = given(body, "guided_choice");
    static const struct {
        const char *name;
        enum sampan_grammar_kind kind;
    } texts[] = {{"guided_regex", SAMPAN_GRAMMAR_REGEX}, {"grammar", SAMPAN_GRAMMAR_GBNF}};
    if (format && read_response_format(server, format, wishes, refusal))
        return -1;
    if (schema && (json_is_string(schema) ? compile(server, SAMPAN_GRAMMAR_JSON_SCHEMA, json_string_value(schema), "guided_json", wishes, refusal)
                                          : compile_json(server, SAMPAN_GRAMMAR_JSON_SCHEMA, schema, "guided_json", wishes, refusal)))
        return -1;
    if (choices && compile_json(server, SAMPAN_GRAMMAR_CHOICES, choices, "guided_choice", wishes, refusal))
        return -1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *source = given(body, texts[i].name);
        if (source && !json_is_string(source))
            return refuse(refusal, 400, texts[i].name, "%s is no string", texts[i].name);
        if (source && compile(server, texts[i].kind, json_string_value(source), texts[i].name, wishes, refusal))
            return -1;
    }
    return 0;
}

int wishes_read(struct server *server, json_t *body, const char *const *others, bool is_chat, struct wishes *wishes, struct refusal *refusal)
{
    *wishes = (struct wishes){.request = {.size = sizeof wishes->request, .temperature = 1, .top_p = 1}, .n = 1};
    if (sampan_model_recommend(server->model, &wishes->request, NULL))
        return refuse(refusal, 500, NULL, "%s", sampan_error_message());
    int status = read_table(body, others, wishes, refusal);
    status = status ? status : check_model(server, body, refusal);
    status = status ? status : read_numbers(body, is_chat, wishes, refusal);
    status = status ? status : read_stops(body, wishes, refusal);
    status = status ? status : read_stop_tokens(body, wishes, refusal);
    status = status ? status : read_biases(body, wishes, refusal);
    return status ? status : read_forms(server, body, wishes, refusal);
}

void wishes_free(struct wishes *wishes)
{
    mem_free(wishes->biases);
    mem_free(wishes->stop_tokens);
    sampan_grammar_free(wishes->grammar);
}

int wishes_fit(struct server *server, struct wishes *wishes, size_t n_prompt, struct refusal *refusal)
{
    int64_t context = server->engine_description.context, room = context - (int64_t)n_prompt;
    int64_t wanted = wishes->max_tokens_given ? wishes->max_tokens : 1;
    if (n_prompt && room >= (wanted > 0 ? wanted : 0)) {
        wishes->request.max_tokens = wishes->max_tokens_given ? (wishes->max_tokens ? (int32_t)wishes->max_tokens : SAMPAN_PROMPT_ONLY) : 0;
        return 0;
    }
    if (!n_prompt)
        return refuse(refusal, 400, NULL, "the prompt is empty");
    refusal->code = "context_length_exceeded";
    return refuse(
        refusal, 400, "messages",
        "This model's maximum context length is %lld tokens. However, you requested %lld tokens (%zu in the prompt, %lld for the answer). Please reduce the "
        "length of the prompt or of the answer.",
        (long long)context, (long long)n_prompt + (long long)wanted, n_prompt, (long long)wanted);
}
