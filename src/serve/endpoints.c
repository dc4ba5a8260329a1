/* The small endpoints: models, text, health, version, metrics. */
#include "serve/endpoints.h"

#include <string.h>

#include "base/memory.h"
#include "serve/generation.h"
#include "serve/metrics.h"
#include "serve/wishes.h"

/* ---- Models. */

static json_t *model_object(const struct server *server)
{
    const struct sampan_model_description *model = &server->model_description;
    return json_pack("{s:s, s:s, s:I, s:s, s:i, s:s, s:s, s:I}", "id", server->options.model_name, "object", "model", "created", (json_int_t)server->started,
                     "owned_by", "sampan", "max_model_len", (int)server->engine_description.context, "architecture", model->architecture, "quantization",
                     model->quantization, "n_parameters", (json_int_t)model->n_parameters);
}

void models_list(struct exchange *exchange, const char *rest)
{
    (void)rest;
    exchange_respond_json(exchange, 200, json_pack("{s:s, s:[o]}", "object", "list", "data", model_object(exchange->server)));
}

void models_get(struct exchange *exchange, const char *rest)
{
    if (strcmp(rest, exchange->server->options.model_name) == 0)
        exchange_respond_json(exchange, 200, model_object(exchange->server));
    else
        exchange_fail(exchange, DIALECT_OPENAI, 404, "model", "model_not_found", "this model is not served here; GET /v1/models lists what is");
}

/* ---- Text. */

static json_t *ids_to_json(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

static int read_flag(json_t *body, const char *name, bool otherwise, bool *flag, struct refusal *refusal)
{
    json_t *value = json_object_get(body, name);
    *flag = value ? json_is_true(value) : otherwise;
    return value && !json_is_boolean(value) ? refuse(refusal, 400, name, "%s is neither true nor false", name) : 0;
}

static int answer_tokenize(struct exchange *exchange, json_t *body, struct refusal *refusal)
{
    json_t *text = json_object_get(body, "prompt") ? json_object_get(body, "prompt") : json_object_get(body, "content");
    bool special = true;
    int32_t *ids;
    size_t n;
    if (check_model(exchange->server, body, refusal) || read_flag(body, "add_special_tokens", true, &special, refusal))
        return -1;
    if (!json_is_string(text))
        return refuse(refusal, 400, "prompt", "prompt is no string");
    int code = sampan_tokenize(exchange->server->model, json_string_value(text), json_string_length(text), special ? SAMPAN_TOKENIZE_BOS_EOS : 0, &ids, &n);
    if (code)
        return refuse(refusal, http_status_of(code), "prompt", "%s", sampan_error_message());
    json_t *list = ids_to_json(ids, n);
    sampan_free(ids);
    exchange_respond_json(
        exchange, 200,
        json_pack("{s:o, s:I, s:i}", "tokens", list, "count", (json_int_t)n, "max_model_len", (int)exchange->server->engine_description.context));
    return 0;
}

static int answer_detokenize(struct exchange *exchange, json_t *body, struct refusal *refusal)
{
    json_t *list = json_object_get(body, "tokens");
    size_t n = json_array_size(list), length = 0;
    char *text = NULL;
    if (check_model(exchange->server, body, refusal))
        return -1;
    if (!json_is_array(list))
        return refuse(refusal, 400, "tokens", "tokens is no array of ids");
    int32_t *ids = mem_alloc_array(n + 1, sizeof *ids);
    if (!ids)
        return refuse(refusal, 503, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        json_t *id = json_array_get(list, i);
        bool fits = json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) <= INT32_MAX;
        ids[i] = fits ? (int32_t)json_integer_value(id) : -1; /* refused below, by its index */
    }
    int code = sampan_detokenize(exchange->server->model, ids, n, SAMPAN_DETOKENIZE_CONTROL, &text, &length);
    mem_free(ids);
    if (code)
        return refuse(refusal, http_status_of(code), "tokens", "%s", sampan_error_message());
    exchange_respond_json(exchange, 200, json_pack("{s:s#}", "prompt", text, length));
    sampan_free(text);
    return 0;
}

static int answer_template(struct exchange *exchange, json_t *body, struct refusal *refusal)
{
    char *text = NULL, *variables = json_dumps(body, JSON_COMPACT);
    size_t length = 0;
    if (!variables)
        return refuse(refusal, 503, NULL, "out of memory");
    int code = sampan_chat_render(exchange->server->model, variables, strlen(variables), &text, &length);
    mem_free(variables);
    if (code)
        return refuse(refusal, http_status_of(code), "messages", "%s", sampan_error_message());
    exchange_respond_json(exchange, 200, json_pack("{s:s#}", "prompt", text, length));
    sampan_free(text);
    return 0;
}

static void answer_by(struct exchange *exchange, int (*answer)(struct exchange *, json_t *, struct refusal *))
{
    struct refusal refusal = {0};
    json_t *body = exchange_read_json(exchange, DIALECT_OPENAI);
    if (body && answer(exchange, body, &refusal))
        exchange_refuse(exchange, DIALECT_OPENAI, &refusal);
    json_decref(body);
}

void tokenize(struct exchange *exchange, const char *rest)
{
    (void)rest;
    answer_by(exchange, answer_tokenize);
}

void detokenize(struct exchange *exchange, const char *rest)
{
    (void)rest;
    answer_by(exchange, answer_detokenize);
}

void apply_template(struct exchange *exchange, const char *rest)
{
    (void)rest;
    answer_by(exchange, answer_template);
}

/* ---- The server itself. */

void health(struct exchange *exchange, const char *rest)
{
    (void)rest;
    if (exchange->server->draining)
        exchange_fail(exchange, DIALECT_OPENAI, 503, NULL, "draining", "this server is about to stop");
    else
        exchange_respond_json(exchange, 200, json_pack("{s:s}", "status", "ok"));
}

void version(struct exchange *exchange, const char *rest)
{
    (void)rest;
    exchange_respond_json(exchange, 200,
                          json_pack("{s:s, s:s}", "version", sampan_version(), "system_fingerprint", exchange->server->engine_description.system_fingerprint));
}

void metrics_page(struct exchange *exchange, const char *rest)
{
    struct buffer text;
    (void)rest;
    buffer_init(&text, 1 << 20);
    metrics_write(exchange->server->metrics, exchange->server, &text);
    if (text.failed)
        exchange_fail(exchange, DIALECT_OPENAI, 503, NULL, NULL, "out of memory");
    else
        exchange_respond(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.length);
    buffer_free(&text);
}
