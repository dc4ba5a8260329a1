/* From a step's results to accepted tokens: log-probabilities, the choice, stop strings, and how a stream ends. */
#include <string.h>

#include "base/limits.h"
#include "engine/engine_state.h"

/* ---- Ends. */

void results_leave_step(struct engine *engine, struct step_plan *plan)
{
    for (int32_t i = 0; i < plan->n_entries; i++) {
        struct stream *stream = plan->entries[i].stream;
        if (--stream->n_in_flight == 0 && stream->state == STREAM_ENDED)
            outbox_drop_reference(&engine->outbox, stream);
    }
    plan->n_entries = 0;
}

void results_end_stream(struct engine *engine, struct stream *stream, enum engine_finish finish)
{
    if (finish == FINISH_CANCELLED)
        engine->statistics.n_cancelled++;
    stream->progress.finish = finish;
    stream->progress.n_tokens = stream->log.n_tokens;
    automata_leave(&engine->automata, stream->automaton);
    stream->automaton = NULL;
    scheduler_remove(&engine->scheduler, stream);
    outbox_publish(&engine->outbox, stream);
    if (stream->n_in_flight == 0)
        outbox_drop_reference(&engine->outbox, stream);
}

void results_fail_stream(struct engine *engine, struct stream *stream, const struct error *failure)
{
    memcpy(stream->message, failure->message, sizeof stream->message);
    stream->progress.code = failure->code ? failure->code : SAMPAN_EINTERNAL;
    stream->progress.safe_text = stream->stops.count ? stream->stops.safe : UINT64_MAX;
    results_end_stream(engine, stream, FINISH_ERROR);
}

void results_fail(struct engine *engine, struct step_plan *plan, const struct error *failure)
{
    for (int32_t i = 0; i < plan->n_entries; i++) {
        struct stream *stream = plan->entries[i].stream;
        if (stream->state != STREAM_ENDED && plan->entries[i].epoch == stream->epoch)
            results_fail_stream(engine, stream, failure);
    }
}

/* ---- Stop strings. */

/* Takes the text of one more token (or, with token -1, what the detokenizer held back) to the stop strings. */
static int look_for_stops(struct engine *engine, struct stream *stream, int32_t token, bool *found)
{
    buffer_clear(&engine->stop_text);
    int status =
        token >= 0 ? detokenizer_push(&stream->stop_detokenizer, token, &engine->stop_text) : detokenizer_finish(&stream->stop_detokenizer, &engine->stop_text);
    if (!status)
        *found = stop_strings_push(&stream->stops, engine->stop_text.data, engine->stop_text.length);
    stream->progress.safe_text = stream->stops.safe;
    return status;
}

/* Ends a stream in the way given, unless what was held back completes a stop string at the last moment. */
static void end_unless_stopped(struct engine *engine, struct stream *stream, enum engine_finish finish)
{
    bool found = false;
    if (stream->stops.count && stream->stops.found < 0) {
        look_for_stops(engine, stream, -1, &found);
        if (found) {
            stream->progress.stop_index = stream->stops.found;
            finish = FINISH_STOP;
        } else {
            stream->progress.safe_text = UINT64_MAX;
        }
    }
    if (finish != FINISH_EOG)
        stream->progress.eog_token = -1;
    results_end_stream(engine, stream, finish);
}

/* ---- Grammars. */

int results_begin_grammar(struct engine *engine, struct stream *stream, struct error *err)
{
    if (!stream->constraint)
        return 0;
    int status = automata_join(&engine->automata, stream->constraint, &stream->automaton, err);
    return status ? status : grammar_automaton_start(stream->automaton, &stream->grammar_state, err);
}

/* Takes one more token to the stream's grammar; *complete: nothing may follow it. */
static int follow_grammar(struct engine *engine, struct stream *stream, int32_t token, bool *complete, struct error *err)
{
    struct byte_string bytes = tokenizer_token_bytes(engine->tokenizer, token);
    int status = grammar_automaton_advance(stream->automaton, stream->grammar_state, bytes.data, bytes.length, &stream->grammar_state, err);
    *complete = !status && grammar_automaton_is_complete(stream->automaton, stream->grammar_state);
    if (!status && stream->grammar_state == GRAMMAR_STATE_DEAD)
        status = error_set(err, SAMPAN_EINTERNAL, "token %d was chosen although the grammar does not allow it", token);
    return status;
}

/* Which tokens the grammar allows now: in `input`, as the sampler takes them. The vocabulary may lack a token that the grammar needs. */
static int allow_by_grammar(struct stream *stream, struct sampler_input *input, struct error *err)
{
    input->n_allowed = stream->constraint->trie->n_tokens;
    int status = grammar_automaton_mask(stream->automaton, stream->grammar_state, &input->allowed, err);
    if (status)
        return status;
    if (grammar_automaton_may_end(stream->automaton, stream->grammar_state)) {
        input->ends = stream->lists.end_tokens;
        input->n_ends = stream->ignore_eog ? stream->lists.n_stop_tokens : stream->lists.n_end_tokens;
    }
    for (int32_t i = 0; i < (input->n_allowed + 31) / 32; i++)
        if (input->allowed[i])
            return 0;
    return input->n_ends ? 0
                         : error_set(err, SAMPAN_EUNSUPPORTED, "the model's vocabulary has no token for what the grammar wants next; allow other characters");
}

/* ---- Tokens. */

static bool is_eog(const struct engine *engine, int32_t token)
{
    return engine->tokenizer && tokenizer_is_eog(engine->tokenizer, token);
}

/* Appends a chosen token to the stream's log, or ends the stream by it. */
static void accept_token(struct engine *engine, struct stream *stream, int32_t token)
{
    engine->statistics.n_generated_tokens++;
    if ((is_eog(engine, token) && !stream->ignore_eog) || request_lists_has_stop_token(&stream->lists, token)) {
        stream->progress.eog_token = token;
        end_unless_stopped(engine, stream, FINISH_EOG);
        return;
    }
    struct error failure;
    bool complete = false;
    if (stream->automaton && follow_grammar(engine, stream, token, &complete, &failure)) {
        results_fail_stream(engine, stream, &failure);
        return;
    }
    stream->log.tokens[stream->log.n_tokens++] = token;
    if (stream->stops.count) {
        bool found = false;
        if (look_for_stops(engine, stream, token, &found)) {
            error_no_memory(&failure, "looking for stop strings");
            results_fail_stream(engine, stream, &failure);
            return;
        }
        if (found) {
            stream->progress.stop_index = stream->stops.found;
            results_end_stream(engine, stream, FINISH_STOP);
            return;
        }
    }
    if (complete) {
        stream->progress.eog_token = -1;
        end_unless_stopped(engine, stream, FINISH_EOG);
        return;
    }
    if (token_log_n_new(&stream->log) >= stream->log.max_new) {
        end_unless_stopped(engine, stream, FINISH_LENGTH);
        return;
    }
    stream->progress.n_tokens = stream->log.n_tokens;
    outbox_publish(&engine->outbox, stream);
}

/* The token of a logit row by the stream's parameters, with its log-probabilities. */
static int choose_by_logits(struct engine *engine, struct stream *stream, const float *logits, int32_t *token, struct error *err)
{
    struct token_log *log = &stream->log;
    struct sampler_input input = {
        .logits = logits, .parameters = &stream->sampling, .tokens = log->tokens, .n_prompt = log->n_prompt, .n_tokens = log->n_tokens};
    if (token_log_n_new(log) < stream->min_tokens) {
        input.held_back = stream->lists.end_tokens;
        input.n_held_back = stream->lists.n_end_tokens;
    }
    int status = stream->automaton ? allow_by_grammar(stream, &input, err) : 0;
    if (!status)
        status = sampler_choose(&engine->sampler, &input, token, err);
    if (!status && log->logprob_width)
        status = sampler_log_probabilities(&engine->sampler, logits, *token, log->logprob_width - 1,
                                           log->logprobs + (int64_t)token_log_n_new(log) * log->logprob_width, err);
    return status;
}

/* A prompt position whose row is wanted for its log-probabilities. */
static int score_position(struct engine *engine, struct stream *stream, const float *logits, struct error *err)
{
    struct token_log *log = &stream->log;
    int status = sampler_log_probabilities(&engine->sampler, logits, -1, log->prompt_logprob_width,
                                           log->prompt_logprobs + (int64_t)log->n_prompt_taken * log->prompt_logprob_width, err);
    stream->progress.prompt_scored = !status && log->n_prompt_taken + 1 == log->n_prompt;
    return status;
}

/* What is wanted of the prompt's rows: `position` is the next one, or, for the last row alone, the last. */
static int take_prompt_row(struct engine *engine, struct stream *stream, int32_t position, const float *logits, const float *hidden, struct error *err)
{
    struct token_log *log = &stream->log;
    int status = 0;
    bool is_next = stream_takes_prompt_rows(stream) && position == log->n_prompt_taken;
    if (is_next && stream->scores_prompt)
        status = score_position(engine, stream, logits, err);
    if (hidden && !stream->progress.pooled && (stream->pooling.kind == POOLING_LAST || is_next))
        pooling_add(&stream->pooling, hidden);
    if (is_next)
        log->n_prompt_taken++;
    if (hidden && position == log->n_prompt - 1 && !stream->progress.pooled) {
        pooling_finish(&stream->pooling);
        stream->progress.pooled = true;
    }
    return status;
}

static int take_logit_row(struct engine *engine, const struct step_plan *plan, const struct plan_entry *entry, const struct step_result *result, int32_t row,
                          int32_t *token, struct error *err)
{
    struct stream *stream = entry->stream;
    int32_t position = plan->positions[plan->logit_rows[row]], n_vocabulary = engine->sampler.n_vocabulary;
    const float *logits = plan->wants[row] & WANT_LOGITS ? result->logits + (int64_t)row * n_vocabulary : NULL;
    const float *hidden = plan->wants[row] & WANT_HIDDEN ? result->hidden + (int64_t)row * stream->pooling.width : NULL;
    if (position < stream->log.n_prompt) {
        int status = take_prompt_row(engine, stream, position, logits, hidden, err);
        if (status)
            return status;
    }
    if (!entry->chooses || position + 1 != stream->log.n_tokens)
        return 0;
    if (!entry->by_argmax)
        return choose_by_logits(engine, stream, logits, token, err);
    *token = result->argmax[row];
    if (*token < 0 || *token >= n_vocabulary)
        return error_set(err, SAMPAN_EINTERNAL, "the largest logit has id %d of %d: the logits may be NaN; try another chip or file", *token, n_vocabulary);
    return 0;
}

static void take_entry(struct engine *engine, const struct step_plan *plan, const struct plan_entry *entry, const struct step_result *result)
{
    struct stream *stream = entry->stream;
    if (stream->state == STREAM_ENDED || entry->epoch != stream->epoch)
        return; /* ended, or preempted meanwhile: computed again from the log */
    scheduler_completed(&engine->scheduler, entry);
    struct error failure;
    int32_t token = -1;
    bool had_scores = stream->progress.prompt_scored;
    for (int32_t i = 0; i < entry->n_logit_rows; i++)
        if (take_logit_row(engine, plan, entry, result, entry->first_logit_row + i, &token, &failure)) {
            error_prefix(&failure, "choosing token %d of a request", token_log_n_new(&stream->log));
            results_fail_stream(engine, stream, &failure);
            return;
        }
    if (token >= 0)
        accept_token(engine, stream, token);
    else if (stream->log.max_new == 0 && stream->n_completed == stream->log.n_prompt)
        results_end_stream(engine, stream, FINISH_LENGTH);
    else if (stream->progress.prompt_scored && !had_scores)
        outbox_publish(&engine->outbox, stream);
}

void results_take(struct engine *engine, struct step_plan *plan, const struct step_result *result)
{
    for (int32_t i = 0; i < plan->n_entries; i++)
        take_entry(engine, plan, &plan->entries[i], result);
}
