/* The engine's life, its thread, and what callers call. */
#include "engine/engine.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "engine/engine_state.h"

#define DEFAULT_MAX_QUEUED 1024
#define DEFAULT_MAX_REBUILDS 3
#define STOP_TEXT_ROOM (4u * LIMIT_TOKEN_BYTES) /* bytes: each of a token's bytes may become a replacement character of three */

/* ---- Life. */

static int check_options(const struct engine_options *options, struct error *err)
{
    if (options->max_queued < 0 || options->max_queued > LIMIT_QUEUED_REQUESTS)
        return error_set(err, SAMPAN_EINVAL, "max_queued is %d, expected 0 (default) to %d", options->max_queued, LIMIT_QUEUED_REQUESTS);
    if (options->max_running < 0 || options->max_running > LIMIT_SEQUENCES)
        return error_set(err, SAMPAN_EINVAL, "max_running is %d, expected 0 (the executor's) to %d", options->max_running, LIMIT_SEQUENCES);
    if (options->prefill_chunk < 0)
        return error_set(err, SAMPAN_EINVAL, "prefill_chunk is %d, expected 0 (the executor's) or more", options->prefill_chunk);
    return 0;
}

/* Places for streams: all that wait, all that run, and as many again that have ended and were not released. The inbox holds, for each place, the messages of
 * its
 * stream and of one successor (submit and cancel each): more cannot be under way, because the engine empties it before it ends the streams it knows of. */
static int make_channels(struct engine *engine, struct error *err)
{
    int32_t capacity = 2 * (engine->options.max_queued + engine->scheduler.max_running);
    int status = outbox_init(&engine->outbox, capacity, engine->options.max_queued, err);
    if (!status)
        status = queue_init(&engine->inbox, sizeof(struct engine_message), 4 * (size_t)capacity, err);
    return status;
}

int engine_create(const struct executor_factory *factory, const struct tokenizer *tokenizer, const struct engine_options *options, struct engine **engine,
                  struct error *err)
{
    static const struct engine_options defaults;
    if (!options)
        options = &defaults;
    int status = check_options(options, err);
    if (status)
        return status;
    struct engine *e = mem_zalloc(sizeof *e);
    if (!e)
        return error_no_memory(err, "making the engine");
    e->factory = *factory;
    e->tokenizer = tokenizer;
    e->options = *options;
    e->options.max_queued = options->max_queued ? options->max_queued : DEFAULT_MAX_QUEUED;
    e->options.max_rebuilds = options->max_rebuilds > 0 ? options->max_rebuilds : DEFAULT_MAX_REBUILDS;
    e->options.clock = options->clock ? options->clock : &clock_monotonic;
    buffer_init(&e->stop_text, STOP_TEXT_ROOM);
    if (buffer_reserve(&e->stop_text, STOP_TEXT_ROOM - 1))
        status = error_no_memory(err, "making the engine");
    if (!status)
        status = turn_open_executor(e, err);
    if (!status) {
        struct executor_description description = e->scheduler.description;
        status = make_channels(e, err);
        e->outbox.description = description;
    }
    if (status) {
        engine_free(e);
        return status;
    }
    *engine = e;
    return 0;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    if (engine->has_thread) {
        atomic_store(&engine->stopping, true);
        queue_wake(&engine->inbox);
        pthread_join(engine->thread, NULL);
    }
    if (engine->executor)
        engine->executor->interface->close(engine->executor);
    scheduler_free(&engine->scheduler);
    sampler_free(&engine->sampler);
    outbox_free(&engine->outbox);
    queue_free(&engine->inbox);
    buffer_free(&engine->stop_text);
    automata_free(&engine->automata);
    mem_free(engine);
}

static void *run_thread(void *argument)
{
    struct engine *engine = argument;
    while (!atomic_load(&engine->stopping))
        if (turn_run(engine, UINT64_MAX, NULL) < 0)
            queue_wait(&engine->inbox, UINT64_MAX); /* dead: only woken to be stopped or to refuse what came in meanwhile */
    return NULL;
}

int engine_start(struct engine *engine, struct error *err)
{
    if (engine->has_thread)
        return error_set(err, SAMPAN_EINVAL, "the engine's thread runs already");
    if (pthread_create(&engine->thread, NULL, run_thread, engine))
        return error_set(err, SAMPAN_ENOMEM, "making the engine's thread: the system has no room for another thread");
    engine->has_thread = true;
    return 0;
}

int engine_turn(struct engine *engine, uint64_t timeout_ns, struct error *err)
{
    if (engine->has_thread)
        return error_set(err, SAMPAN_EINVAL, "the engine has a thread of its own (engine_start); it takes its turns itself");
    return turn_run(engine, timeout_ns, err);
}

/* ---- Requests. */

static int check_counts(const struct engine_request *request, struct error *err)
{
    if (request->max_tokens < -1)
        return error_set(err, SAMPAN_EINVAL, "max_tokens is %d, expected -1 (as the context allows) or more", request->max_tokens);
    if (request->min_tokens < 0)
        return error_set(err, SAMPAN_EINVAL, "min_tokens is %d, expected 0 or more", request->min_tokens);
    if (request->n_logprobs < -1 || request->n_logprobs > LIMIT_LOGPROBS)
        return error_set(err, SAMPAN_EINVAL, "n_logprobs is %d, expected -1 (none) to %d", request->n_logprobs, LIMIT_LOGPROBS);
    if (request->n_prompt_logprobs < -1 || request->n_prompt_logprobs > LIMIT_LOGPROBS)
        return error_set(err, SAMPAN_EINVAL, "n_prompt_logprobs is %d, expected -1 (none) to %d", request->n_prompt_logprobs, LIMIT_LOGPROBS);
    if ((unsigned)request->pooling >= POOLING_KIND_COUNT)
        return error_set(err, SAMPAN_EINVAL, "the pooling is %d, expected 0 (none) to %d", (int)request->pooling, POOLING_KIND_COUNT - 1);
    if (request->pooling && request->max_tokens != 0)
        return error_set(err, SAMPAN_EINVAL, "an embedding is of the prompt alone: max_tokens is %d, expected 0 (nothing is generated)", request->max_tokens);
    return 0;
}

static int check_prompt(const struct engine_request *request, const struct executor_description *description, struct error *err)
{
    int32_t capacity = scheduler_capacity(description), room = request->max_tokens == 0 ? 0 : 1;
    if (request->n_prompt == 0 || !request->prompt)
        return error_set(err, SAMPAN_EINVAL, "the prompt is empty; give at least one token");
    if (request->n_prompt > (size_t)(description->max_context - room)) /* n_prompt is the caller's: a sum with it may overflow */
        return error_set(err, SAMPAN_ELIMIT,
                         "the prompt has %zu tokens; the context is %d tokens, of which %d must be left; shorten the prompt or open the model "
                         "with a larger context",
                         request->n_prompt, description->max_context, room);
    if (request->n_prompt > (size_t)(capacity - room))
        return error_set(err, SAMPAN_ELIMIT, "the prompt has %zu tokens; all cache blocks together hold %d; shorten the prompt or give the cache more memory",
                         request->n_prompt, capacity);
    for (size_t i = 0; i < request->n_prompt; i++)
        if (request->prompt[i] < 0 || request->prompt[i] >= description->n_vocabulary)
            return error_set(err, SAMPAN_EINVAL, "token %zu of the prompt is %d, expected 0 to %d", i, request->prompt[i], description->n_vocabulary - 1);
    return 0;
}

int engine_submit(struct engine *engine, const struct engine_request *request, uint64_t *id, struct error *err)
{
    struct executor_description description;
    engine_describe_executor(engine, &description);
    int status = check_counts(request, err);
    if (!status)
        status = check_prompt(request, &description, err);
    if (!status)
        status = sampling_parameters_check(&request->sampling, description.n_vocabulary, err);
    if (!status)
        status = request_lists_check(request, description.n_vocabulary, err);
    if (!status && request->pooling && description.hidden_width == 0)
        status = error_set(err, SAMPAN_EUNSUPPORTED, "this chip hands out no hidden rows, which embeddings are made of; use --chip cpu");
    if (!status && request->n_stops && !engine->tokenizer)
        status = error_set(err, SAMPAN_EINVAL, "stop strings need text, and this engine has no tokenizer");
    if (!status && request->constraint && !engine->tokenizer)
        status = error_set(err, SAMPAN_EINVAL, "a grammar needs text, and this engine has no tokenizer");
    if (!status && request->constraint && request->constraint->trie->n_tokens != tokenizer_n_tokens(engine->tokenizer))
        status = error_set(err, SAMPAN_EINVAL, "the grammar was compiled for a vocabulary of %d tokens, this model's has %d; compile it for this model",
                           request->constraint->trie->n_tokens, tokenizer_n_tokens(engine->tokenizer));
    if (status)
        return status;
    int32_t max_new = scheduler_capacity(&description) - (int32_t)request->n_prompt;
    if (request->max_tokens >= 0 && request->max_tokens < max_new)
        max_new = request->max_tokens;
    struct stream *stream;
    status = stream_create(request, engine->tokenizer, max_new, description.hidden_width, &stream, err);
    if (status)
        return status;
    status = outbox_add(&engine->outbox, stream, &engine->inbox, id, err);
    if (status)
        stream_free(stream);
    return status;
}

void engine_cancel(struct engine *engine, uint64_t id)
{
    outbox_cancel(&engine->outbox, id, &engine->inbox);
}

void engine_release(struct engine *engine, uint64_t id)
{
    outbox_release(&engine->outbox, id, &engine->inbox);
}

/* ---- Events. */

int engine_next_event(struct engine *engine, uint64_t timeout_ns, struct engine_event *event, struct error *err)
{
    struct stream_progress progress;
    struct stream *stream = outbox_take_ready(&engine->outbox, timeout_ns, &progress);
    if (!stream)
        return error_set(err, SAMPAN_ETIMEOUT, "no stream had an event in time");
    if (stream_take_event(stream, &progress, event, NULL)) {
        /* What was to be told cannot be told again: the request ends, and its caller learns of it. */
        *event = (struct engine_event){.request = stream->id,
                                       .text = "",
                                       .finish = FINISH_ERROR,
                                       .stop_index = -1,
                                       .eog_token = -1,
                                       .code = SAMPAN_ENOMEM,
                                       .message = "out of memory while making the text of an answer"};
        outbox_give_up(&engine->outbox, stream, &engine->inbox);
    }
    outbox_drop_reference(&engine->outbox, stream);
    return 0;
}

int engine_descriptor(const struct engine *engine)
{
    return engine->outbox.descriptor;
}

void engine_get_statistics(struct engine *engine, struct engine_statistics *statistics)
{
    pthread_mutex_lock(&engine->outbox.lock);
    *statistics = engine->outbox.statistics;
    pthread_mutex_unlock(&engine->outbox.lock);
}

void engine_describe_executor(struct engine *engine, struct executor_description *description)
{
    pthread_mutex_lock(&engine->outbox.lock);
    *description = engine->outbox.description;
    pthread_mutex_unlock(&engine->outbox.lock);
}
