/* POST /v1/chat/completions (OpenAI API reference, chat completions). */
#include <string.h>

#include "base/memory.h"
#include "serve/endpoints.h"
#include "serve/openai.h"

/* ---- Messages. */

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function"};

/* The text of a content given in parts; NULL and a refusal when a part is something else. New reference. */
static json_t *join_parts(json_t *parts, size_t message, struct refusal *refusal)
{
    struct buffer text;
    json_t *joined = NULL;
    buffer_init(&text, 64u << 20);
    for (size_t i = 0; i < json_array_size(parts); i++) {
        json_t *part = json_array_get(parts, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        json_t *piece = json_object_get(part, "text");
        if (!type || (strcmp(type, "text") != 0 && strcmp(type, "input_text") != 0 && strcmp(type, "refusal") != 0)) {
            refuse(refusal, 400, "messages", "part %zu of message %zu is of type '%.40s'; this model takes text only", i, message, type ? type : "(none)");
            goto end;
        }
        if (strcmp(type, "refusal") == 0)
            piece = json_object_get(part, "refusal");
        if (!json_is_string(piece)) {
            refuse(refusal, 400, "messages", "part %zu of message %zu has no text", i, message);
            goto end;
        }
        buffer_append(&text, json_string_value(piece), json_string_length(piece));
    }
    joined = text.failed ? NULL : json_stringn(text.data ? text.data : "", text.length);
    if (!joined)
        refuse(refusal, 503, NULL, "out of memory");
end:
    buffer_free(&text);
    return joined;
}

/* A message as templates know it: content is a string, "developer" is the newer word for "system". */
static int check_message(json_t *message, size_t index, struct refusal *refusal)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    json_t *content = json_object_get(message, "content");
    bool known = false;
    if (!json_is_object(message) || !role)
        return refuse(refusal, 400, "messages", "message %zu is not an object with a role", index);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        known |= strcmp(role, roles[i]) == 0;
    if (!known)
        return refuse(refusal, 400, "messages", "message %zu has the role '%.40s', expected system, developer, user, assistant or tool", index, role);
    if (json_is_array(content)) {
        json_t *joined = join_parts(content, index, refusal);
        if (!joined || json_object_set_new(message, "content", joined))
            return joined ? refuse(refusal, 503, NULL, "out of memory") : -1;
    } else if (!json_is_string(content) && !(strcmp(role, "assistant") == 0 && (!content || json_is_null(content)))) {
        return refuse(refusal, 400, "messages", "the content of message %zu is neither a string nor an array of parts", index);
    }
    if (!json_object_get(message, "content") || json_is_null(json_object_get(message, "content")))
        json_object_set_new(message, "content", json_string(""));
    if (strcmp(role, "developer") == 0)
        json_object_set_new(message, "role", json_string("system"));
    return 0;
}

static int check_messages(json_t *messages, struct refusal *refusal)
{
    if (!json_is_array(messages) || !json_array_size(messages))
        return refuse(refusal, 400, "messages", "messages is not an array of at least one message");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (check_message(json_array_get(messages, i), i, refusal))
            return -1;
    return 0;
}

/* What the template gets beside the messages. Names that stand for the model's own tokens, or for what is given otherwise, are nobody's to set. */
static int add_template_variables(json_t *conversation, json_t *variables, struct refusal *refusal)
{
    if (!variables || json_is_null(variables))
        return 0;
    if (!json_is_object(variables))
        return refuse(refusal, 400, "chat_template_kwargs", "chat_template_kwargs is no object");
    for (void *at = json_object_iter(variables); at; at = json_object_iter_next(variables, at)) {
        const char *name = json_object_iter_key(at);
        size_t length = strlen(name);
        if (json_object_get(conversation, name) || strcmp(name, "tools") == 0 || (length > 6 && strcmp(name + length - 6, "_token") == 0))
            return refuse(refusal, 400, "chat_template_kwargs", "chat_template_kwargs may not set '%.60s'", name);
        json_object_set(conversation, name, json_object_iter_value(at));
    }
    return 0;
}

static int make_prompt(struct server *server, json_t *body, int32_t **ids, size_t *n_ids, struct refusal *refusal)
{
    json_t *messages = json_object_get(body, "messages"), *add = json_object_get(body, "add_generation_prompt");
    if (check_messages(messages, refusal))
        return -1;
    if (add && !json_is_boolean(add))
        return refuse(refusal, 400, "add_generation_prompt", "add_generation_prompt is neither true nor false");
    json_t *conversation = json_pack("{s:O, s:b}", "messages", messages, "add_generation_prompt", add ? json_is_true(add) : 1);
    int status = conversation ? add_template_variables(conversation, json_object_get(body, "chat_template_kwargs"), refusal) : 0;
    char *text = conversation && !status ? json_dumps(conversation, JSON_COMPACT) : NULL;
    json_decref(conversation);
    if (!status && !text)
        status = refuse(refusal, 503, NULL, "out of memory");
    int code = status ? 0 : sampan_chat_tokenize(server->model, text, strlen(text), ids, n_ids);
    if (code)
        status = refuse(refusal, http_status_of(code), "messages", "%s", sampan_error_message());
    mem_free(text);
    return status;
}

/* logprobs is a flag here, top_logprobs a number. */
static int read_logprobs(json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    json_t *flag = json_object_get(body, "logprobs"), *top = json_object_get(body, "top_logprobs");
    bool has_top = top && !json_is_null(top);
    if (flag && !json_is_null(flag) && !json_is_boolean(flag))
        return refuse(refusal, 400, "logprobs", "logprobs is neither true nor false");
    if (has_top && (!json_is_integer(top) || json_integer_value(top) < 0 || json_integer_value(top) > 20))
        return refuse(refusal, 400, "top_logprobs", "top_logprobs is not a whole number from 0 to 20");
    if (has_top && !json_is_true(flag))
        return refuse(refusal, 400, "top_logprobs", "top_logprobs needs logprobs: true");
    wishes->want_logprobs = json_is_true(flag);
    wishes->request.want_logprobs = wishes->want_logprobs;
    wishes->request.n_alternatives = has_top ? (int32_t)json_integer_value(top) : 0;
    return 0;
}

/* ---- Answers. */

static json_t *event_logprobs(const struct generation *generation, const struct sampan_event *event)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < event->n_tokens && event->n_logprobs; i++)
        json_array_append_new(list, openai_token_logprob(generation->server, event->logprobs + (int64_t)i * event->n_logprobs, event->n_logprobs));
    return list;
}

static json_t *chunk_choice(int32_t index, json_t *delta, json_t *logprobs, const char *finish)
{
    return json_pack("{s:i, s:o, s:o, s:s?}", "index", (int)index, "delta", delta, "logprobs", logprobs, "finish_reason", finish);
}

static void stream_event(struct generation *generation, int32_t index, const struct sampan_event *event)
{
    struct openai_answer *answer = generation->data;
    const char *finish = openai_finish_name(event->finish);
    bool has_logprobs = answer->want_logprobs && event->n_tokens;
    if (!answer->introduced[index])
        openai_send_chunk(generation, chunk_choice(index, json_pack("{s:s, s:s, s:n}", "role", "assistant", "content", "", "refusal"), json_null(), NULL));
    answer->introduced[index] = true;
    if (event->text_length || has_logprobs) {
        json_t *logprobs = has_logprobs ? json_pack("{s:o, s:n}", "content", event_logprobs(generation, event), "refusal") : json_null();
        openai_send_chunk(generation, chunk_choice(index, json_pack("{s:s#}", "content", event->text, event->text_length), logprobs, NULL));
    }
    if (finish)
        openai_send_chunk(generation, chunk_choice(index, json_object(), json_null(), finish));
}

static void on_event(struct generation *generation, int32_t index, const struct sampan_event *event)
{
    struct openai_answer *answer = generation->data;
    if (answer->stream) {
        stream_event(generation, index, event);
        return;
    }
    buffer_append(&generation->choices[index].text, event->text, event->text_length);
    if (answer->want_logprobs && event->n_tokens) {
        json_t *more = event_logprobs(generation, event);
        if (!answer->logprobs[index])
            answer->logprobs[index] = json_array();
        json_array_extend(answer->logprobs[index], more);
        json_decref(more);
    }
}

static json_t *whole_choice(const struct generation *generation, int32_t i)
{
    const struct openai_answer *answer = generation->data;
    const struct choice *choice = &generation->choices[i];
    json_t *message = json_pack("{s:s, s:s#, s:n, s:[]}", "role", "assistant", "content", choice->text.data ? choice->text.data : "", choice->text.length,
                                "refusal", "annotations");
    json_t *logprobs =
        answer->want_logprobs ? json_pack("{s:O, s:n}", "content", answer->logprobs[i] ? answer->logprobs[i] : json_array(), "refusal") : json_null();
    return json_pack("{s:i, s:o, s:o, s:s}", "index", (int)i, "message", message, "logprobs", logprobs, "finish_reason", openai_finish_name(choice->finish));
}

static void on_end(struct generation *generation)
{
    const struct openai_answer *answer = generation->data;
    if (answer->stream) {
        openai_end_stream(generation);
        return;
    }
    json_t *choices = json_array();
    for (int32_t i = 0; i < generation->n_choices; i++)
        json_array_append_new(choices, whole_choice(generation, i));
    exchange_respond_json(generation->exchange, 200, openai_envelope(generation, false, choices, openai_usage(generation)));
}

static const struct generation_handler handler = {on_event, on_end, openai_failed, openai_answer_free};

static int begin(struct exchange *exchange, json_t *body, struct wishes *wishes, struct refusal *refusal)
{
    static const char *const others[] = {"messages", "logprobs", "top_logprobs", "max_completion_tokens", "chat_template_kwargs", "add_generation_prompt",
                                         NULL};
    struct server *server = exchange->server;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int status = wishes_read(server, body, others, true, wishes, refusal);
    status = status ? status : read_logprobs(body, wishes, refusal);
    status = status ? status : make_prompt(server, body, &ids, &n_ids, refusal);
    status = status ? status : wishes_fit(server, wishes, n_ids, refusal);
    struct openai_answer *answer = status ? NULL : openai_answer_make(exchange, wishes, true);
    if (!status && !answer)
        status = refuse(refusal, 503, NULL, "out of memory");
    if (!status) {
        wishes->request.prompt = ids;
        wishes->request.n_prompt = n_ids;
        int code = generation_start(exchange, &wishes->request, wishes->n, &handler, answer);
        if (code) {
            struct generation none = {.data = answer};
            openai_answer_free(&none);
            status = refuse(refusal, http_status_of(code), NULL, "%s", sampan_error_message());
        }
    }
    sampan_free(ids);
    return status;
}

void openai_chat(struct exchange *exchange, const char *rest)
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
