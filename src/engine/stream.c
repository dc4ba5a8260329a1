#include "engine/stream.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"

int stream_create(const struct engine_request *request, const struct tokenizer *tokenizer, int32_t max_new, int32_t hidden_width, struct stream **stream,
                  struct error *err)
{
    struct stream *s = mem_zalloc(sizeof *s);
    if (!s)
        return error_no_memory(err, "accepting a request");
    s->sampling = request->sampling;
    s->min_tokens = request->min_tokens;
    s->ignore_eog = request->ignore_eog;
    s->show_control = request->show_control;
    s->scores_prompt = request->n_prompt_logprobs > 0;
    s->constraint = constraint_retain(request->constraint);
    s->slot = -1;
    s->argmax_step = UINT64_MAX;
    int status = token_log_init(&s->log, request->prompt, (int32_t)request->n_prompt, max_new, request->n_logprobs < 0 ? 0 : 1 + request->n_logprobs,
                                s->scores_prompt ? request->n_prompt_logprobs : 0, err);
    if (!status)
        status = request_lists_init(&s->lists, request, tokenizer, &s->sampling, err);
    if (!status)
        status = stop_strings_init(&s->stops, request->stops, request->n_stops, err);
    if (!status)
        status = pooling_init(&s->pooling, request->pooling, request->normalize, hidden_width, err);
    if (status) {
        stream_free(s);
        return status;
    }
    s->tokens_taken = s->log.n_prompt;
    s->progress = (struct stream_progress){.n_tokens = s->log.n_prompt, .safe_text = s->stops.count ? 0 : UINT64_MAX, .stop_index = -1, .eog_token = -1};
    s->shared = s->progress;
    buffer_init(&s->text, SIZE_MAX / 2);
    if (tokenizer) {
        detokenizer_init(&s->detokenizer, tokenizer, request->show_control, false);
        s->stop_detokenizer = s->detokenizer;
    }
    *stream = s;
    return 0;
}

void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    token_log_free(&stream->log);
    request_lists_free(&stream->lists);
    stop_strings_free(&stream->stops);
    pooling_free(&stream->pooling);
    constraint_release(stream->constraint);
    buffer_free(&stream->text);
    mem_free(stream);
}

/* Text of the tokens that were published since the last event; what may not be shown yet stays in `text`. */
static int take_text(struct stream *stream, const struct stream_progress *progress, struct engine_event *event, struct error *err)
{
    if (stream->text_taken) {
        memmove(stream->text.data, stream->text.data + stream->text_taken, stream->text.length - stream->text_taken);
        stream->text.length -= stream->text_taken;
        stream->text_start += stream->text_taken;
        stream->text_taken = 0;
    }
    int status = 0;
    for (; stream->tokens_taken < progress->n_tokens && !status; stream->tokens_taken++)
        status = detokenizer_push(&stream->detokenizer, stream->log.tokens[stream->tokens_taken], &stream->text);
    if (!status && progress->finish != FINISH_NONE && !stream->ended) {
        status = detokenizer_finish(&stream->detokenizer, &stream->text);
        stream->ended = true;
    }
    if (status)
        return error_no_memory(err, "making the text of a stream");
    uint64_t safe = progress->safe_text > stream->text_start ? progress->safe_text - stream->text_start : 0;
    stream->text_taken = safe < stream->text.length ? (size_t)safe : stream->text.length;
    event->text = stream->text.data ? stream->text.data : "";
    event->text_length = stream->text_taken;
    return 0;
}

int stream_take_event(struct stream *stream, const struct stream_progress *progress, struct engine_event *event, struct error *err)
{
    const struct token_log *log = &stream->log;
    int32_t first = stream->tokens_taken;
    *event = (struct engine_event){.request = stream->id,
                                   .n_tokens = progress->n_tokens - first,
                                   .tokens = log->tokens + first,
                                   .text = "",
                                   .finish = progress->finish,
                                   .stop_index = progress->stop_index,
                                   .eog_token = progress->eog_token,
                                   .n_prompt_tokens = log->n_prompt,
                                   .n_cached_tokens = progress->n_cached_tokens,
                                   .n_generated_tokens = progress->n_tokens - log->n_prompt + (progress->eog_token >= 0),
                                   .n_rebuilds = progress->n_rebuilds,
                                   .numerics_changed = progress->numerics_changed,
                                   .code = progress->code,
                                   .message = progress->code ? stream->message : ""};
    if (stream->detokenizer.tokenizer) {
        int status = take_text(stream, progress, event, err);
        if (status)
            return status;
    }
    stream->tokens_taken = progress->n_tokens;
    if (log->logprob_width) {
        event->n_logprobs = log->logprob_width;
        event->logprobs = log->logprobs + (int64_t)(first - log->n_prompt) * log->logprob_width;
    }
    if (progress->prompt_scored && !stream->prompt_scores_taken) {
        stream->prompt_scores_taken = true;
        event->n_prompt_positions = log->n_prompt;
        event->n_prompt_logprobs = log->prompt_logprob_width;
        event->prompt_logprobs = log->prompt_logprobs;
    }
    if (progress->pooled) {
        event->n_embedding = stream->pooling.width;
        event->embedding = stream->pooling.values;
    }
    return 0;
}
