#include "serve/openai.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

struct openai_answer *openai_answer_make(struct exchange *exchange, const struct wishes *wishes, bool is_chat)
{
    struct openai_answer *answer = mem_zalloc(sizeof *answer);
    if (!answer)
        return NULL;
    snprintf(answer->id, sizeof answer->id, "%s-%s", is_chat ? "chatcmpl" : "cmpl", exchange->id);
    answer->object = is_chat ? "chat.completion" : "text_completion";
    answer->chunk_object = is_chat ? "chat.completion.chunk" : "text_completion";
    answer->stream = wishes->stream;
    answer->include_usage = wishes->include_usage;
    answer->want_logprobs = wishes->want_logprobs;
    answer->logprobs = mem_zalloc_array((size_t)wishes->n, sizeof *answer->logprobs);
    answer->echoes = mem_zalloc_array((size_t)wishes->n, sizeof *answer->echoes);
    answer->introduced = mem_zalloc_array((size_t)wishes->n, sizeof *answer->introduced);
    if (answer->logprobs && answer->introduced && answer->echoes)
        return answer;
    mem_free(answer->logprobs);
    mem_free(answer->echoes);
    mem_free(answer->introduced);
    mem_free(answer);
    return NULL;
}

void openai_answer_free(struct generation *generation)
{
    struct openai_answer *answer = generation->data;
    for (int32_t i = 0; i < generation->n_choices; i++) {
        json_decref(answer->logprobs[i]);
        json_decref(answer->echoes[i]);
    }
    mem_free(answer->logprobs);
    mem_free(answer->echoes);
    mem_free(answer->introduced);
    mem_free(answer);
}

const char *openai_finish_name(int32_t finish)
{
    switch (finish) {
    case SAMPAN_FINISH_NONE: return NULL;
    case SAMPAN_FINISH_LENGTH: return "length";
    default: return "stop";
    }
}

json_t *openai_usage(const struct generation *generation)
{
    int32_t n = generation_n_completion_tokens(generation);
    return json_pack("{s:i, s:i, s:i, s:{s:i, s:i}, s:{s:i, s:i, s:i, s:i}}", "prompt_tokens", (int)generation->n_prompt_tokens, "completion_tokens", (int)n,
                     "total_tokens", (int)(generation->n_prompt_tokens + n), "prompt_tokens_details", "cached_tokens", (int)generation->n_cached_tokens,
                     "audio_tokens", 0, "completion_tokens_details", "reasoning_tokens", 0, "audio_tokens", 0, "accepted_prediction_tokens", 0,
                     "rejected_prediction_tokens", 0);
}

json_t *openai_envelope(const struct generation *generation, bool chunk, json_t *choices, json_t *usage)
{
    const struct openai_answer *answer = generation->data;
    const struct server *server = generation->server;
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:o, s:s, s:n}", "id", answer->id, "object", chunk ? answer->chunk_object : answer->object, "created",
                     (json_int_t)(server->started + (int64_t)((generation->started_ns - server->started_ns) / 1000000000u)), "model",
                     server->options.model_name, "choices", choices, "usage", usage, "system_fingerprint", server->engine_description.system_fingerprint,
                     "service_tier");
}

/* The text of a token; where it is only a part of a character, what can be shown. `bytes` tells exactly. */
static json_t *token_object(const struct server *server, const struct sampan_logprob *logprob)
{
    const char *text = "";
    char *shown = NULL;
    size_t length = 0, shown_length = 0;
    json_t *bytes = json_array();
    sampan_token_text(server->model, logprob->id, &text, &length);
    sampan_detokenize(server->model, &logprob->id, 1, SAMPAN_DETOKENIZE_CONTROL, &shown, &shown_length);
    for (size_t i = 0; i < length; i++)
        json_array_append_new(bytes, json_integer((unsigned char)text[i]));
    double value = (double)logprob->logprob < -9999 ? -9999 : (double)logprob->logprob;
    json_t *object = json_pack("{s:s#, s:f, s:o}", "token", shown ? shown : "", shown_length, "logprob", value, "bytes", bytes);
    sampan_free(shown);
    return object;
}

json_t *openai_token_logprob(const struct server *server, const struct sampan_logprob *logprobs, int32_t n)
{
    json_t *token = token_object(server, &logprobs[0]), *top = json_array();
    for (int32_t i = 1; i < n; i++)
        if (logprobs[i].id >= 0)
            json_array_append_new(top, token_object(server, &logprobs[i]));
    json_object_set_new(token, "top_logprobs", top);
    return token;
}

/* ---- Streams. */

static void send_data(struct generation *generation, json_t *json)
{
    struct openai_answer *answer = generation->data;
    struct exchange *exchange = generation->exchange;
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!answer->began)
        exchange_stream_begin(exchange, 200, "text/event-stream");
    answer->began = true;
    if (text) {
        struct buffer line;
        buffer_init(&line, 64u << 20);
        buffer_printf(&line, "data: %s\n\n", text);
        if (!line.failed)
            exchange_stream_write(exchange, line.data, line.length);
        buffer_free(&line);
    }
    mem_free(text);
}

void openai_send_chunk(struct generation *generation, json_t *choice)
{
    json_t *choices = json_array();
    json_array_append_new(choices, choice);
    send_data(generation, openai_envelope(generation, true, choices, json_null()));
}

void openai_end_stream(struct generation *generation)
{
    struct openai_answer *answer = generation->data;
    if (answer->include_usage)
        send_data(generation, openai_envelope(generation, true, json_array(), openai_usage(generation)));
    exchange_stream_write(generation->exchange, "data: [DONE]\n\n", 14);
    exchange_stream_end(generation->exchange);
}

void openai_failed(struct generation *generation, int code, const char *message)
{
    struct openai_answer *answer = generation->data;
    if (!answer->began) {
        exchange_fail(generation->exchange, DIALECT_OPENAI, http_status_of(code), NULL, NULL, message);
        return;
    }
    send_data(generation, json_pack("{s:{s:s, s:s, s:n, s:n}}", "error", "message", message, "type", "server_error", "param", "code"));
    exchange_stream_write(generation->exchange, "data: [DONE]\n\n", 14);
    exchange_stream_end(generation->exchange);
}
