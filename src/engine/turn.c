/* One turn of the engine: messages in, steps out to the executor, the oldest result back; and what happens when the executor is lost. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine_state.h"

#define REOPEN_PAUSE_NS 10000000u /* after an opening that failed; doubled each time */
#define BUSY_PAUSE_NS 1000000u    /* an executor that is busy with nothing of ours in flight is asked again after this */
#define MOST_DOUBLINGS 8
#define BUSY_LIMIT_NS 30000000000u /* ... and taken as lost after this */
#define PATIENCE_NS 200000000u     /* a wait for a step is cut into such pieces, so that the engine can be stopped */

/* ---- Messages. */

static void take_message(struct engine *engine, const struct engine_message *message)
{
    struct stream *stream = message->stream;
    if (message->kind == MESSAGE_SUBMIT) {
        scheduler_add(&engine->scheduler, stream);
        if (engine->dead) {
            struct error failure;
            error_set(&failure, engine->dead, "the engine has stopped: %s", engine->outbox.dead_message);
            results_fail_stream(engine, stream, &failure);
            return;
        }
        struct error refusal;
        if (results_begin_grammar(engine, stream, &refusal)) {
            results_fail_stream(engine, stream, &refusal);
            return;
        }
        if (scheduler_capacity(&engine->scheduler.description) < stream->log.n_prompt + (stream->log.max_new > 0)) {
            struct error failure;
            error_set(&failure, SAMPAN_ELIMIT, "the prompt has %d tokens; the executor, opened again after a loss, holds %d", stream->log.n_prompt,
                      scheduler_capacity(&engine->scheduler.description));
            results_fail_stream(engine, stream, &failure);
        }
        return;
    }
    if (stream->state != STREAM_ENDED) {
        stream->progress.safe_text = stream->stops.count ? stream->stops.safe : UINT64_MAX;
        results_end_stream(engine, stream, FINISH_CANCELLED);
    }
    outbox_drop_reference(&engine->outbox, stream);
}

static bool take_messages(struct engine *engine)
{
    struct engine_message message;
    bool any = false;
    while (queue_pop(&engine->inbox, &message)) {
        take_message(engine, &message);
        any = true;
    }
    return any;
}

/* ---- Executors come and go. */

static void note_admitted(void *self, struct stream *stream)
{
    struct engine *engine = self;
    engine->statistics.n_prompt_tokens += (uint64_t)stream->log.n_prompt;
    outbox_admitted(&engine->outbox, stream);
}

static int prepare_for_executor(struct engine *engine, const struct executor_description *description, struct error *err)
{
    int32_t max_running = engine->options.max_running, chunk = engine->options.prefill_chunk;
    if (max_running <= 0 || max_running > description->max_sequences)
        max_running = description->max_sequences;
    if (chunk <= 0 || chunk > description->max_tokens)
        chunk = description->max_tokens;
    int status = scheduler_init(&engine->scheduler, description, max_running, chunk, !engine->options.no_prefix_reuse, err);
    if (status)
        return status;
    engine->scheduler.admitted = note_admitted;
    engine->scheduler.self = engine;
    if (engine->sampler.n_vocabulary != description->n_vocabulary)
        status = sampler_init(&engine->sampler, description->n_vocabulary, err);
    if (status)
        scheduler_free(&engine->scheduler);
    return status;
}

int turn_open_executor(struct engine *engine, struct error *err)
{
    struct executor *executor = NULL;
    int status = engine->factory.open(engine->factory.self, &executor, err);
    if (status)
        return status;
    struct executor_description description = {0};
    executor->interface->describe(executor, &description);
    if (engine->options.no_pipelining)
        description.max_steps_in_flight = 1;
    if (engine->sampler.n_vocabulary && engine->sampler.n_vocabulary != description.n_vocabulary)
        status = error_set(err, SAMPAN_EINVAL, "the executor came back with a vocabulary of %d tokens, it had %d", description.n_vocabulary,
                           engine->sampler.n_vocabulary);
    if (!status && engine->sampler.n_vocabulary && engine->scheduler.description.hidden_width != description.hidden_width)
        status = error_set(err, SAMPAN_EINVAL, "the executor came back with hidden rows of %d, they had %d", description.hidden_width,
                           engine->scheduler.description.hidden_width);
    if (!status)
        status = prepare_for_executor(engine, &description, err);
    if (status) {
        executor->interface->close(executor);
        return status;
    }
    engine->executor = executor;
    engine->next_step = 0;
    engine->first_plan = engine->n_in_flight = 0;
    engine->unsubmitted = false;
    return 0;
}

/* The plans in use, oldest first. */
static struct step_plan *plan_in_use(struct engine *engine, int32_t i)
{
    return &engine->scheduler.plans[(engine->first_plan + i) % engine->scheduler.n_plans];
}

/* All streams of the lost executor's scheduler, running ones first given back to the waiting list; returned as a chain by `next`, ascending id. */
static struct stream *collect_streams(struct scheduler *scheduler)
{
    while (scheduler->n_running) {
        struct stream *stream = scheduler->running[scheduler->n_running - 1];
        scheduler_remove(scheduler, stream);
        scheduler_add(scheduler, stream);
    }
    return scheduler->waiting_first;
}

static void end_all(struct engine *engine, struct stream *streams, const struct error *failure)
{
    for (struct stream *stream = streams, *next; stream; stream = next) {
        next = stream->next;
        stream->previous = stream->next = NULL;
        stream->state = STREAM_ENDED; /* in no list any more */
        results_fail_stream(engine, stream, failure);
    }
}

/* Nothing works any more: every stream ends with the reason, and so does every later request. */
static int die(struct engine *engine, const struct error *failure, struct error *err)
{
    engine->dead = failure->code;
    pthread_mutex_lock(&engine->outbox.lock);
    engine->outbox.dead = failure->code;
    memcpy(engine->outbox.dead_message, failure->message, sizeof engine->outbox.dead_message);
    pthread_mutex_unlock(&engine->outbox.lock);
    log_write(LOG_ERROR, "the engine stops: %s", failure->message);
    struct stream *streams = collect_streams(&engine->scheduler);
    engine->scheduler.waiting_first = engine->scheduler.waiting_last = NULL;
    engine->scheduler.n_waiting = 0;
    end_all(engine, streams, failure);
    return error_set(err, failure->code, "%s", failure->message);
}

/* A stream goes on with the executor that was opened again. */
static void carry_over(struct engine *engine, struct stream *stream, bool numerics_changed)
{
    int32_t capacity = scheduler_capacity(&engine->scheduler.description);
    if (stream->started) {
        stream->progress.n_rebuilds++;
        stream->progress.numerics_changed |= numerics_changed;
    }
    if (stream->log.max_new > 0 && stream->log.n_prompt + stream->log.max_new > capacity)
        stream->log.max_new = capacity - stream->log.n_prompt;
    scheduler_add(&engine->scheduler, stream);
    if (stream->log.n_tokens + (stream->log.max_new > 0) > capacity || stream->log.max_new < 0) {
        struct error failure;
        error_set(&failure, SAMPAN_ELIMIT, "a stream of %d tokens cannot go on: the executor, opened again after a loss, holds %d", stream->log.n_tokens,
                  capacity);
        results_fail_stream(engine, stream, &failure);
    }
}

/* Opens an executor in place of the lost one and gives it all streams. */
static int reopen(struct engine *engine, struct error *err)
{
    struct error failure;
    char numerics[sizeof engine->scheduler.description.numerics_id];
    memcpy(numerics, engine->scheduler.description.numerics_id, sizeof numerics);
    struct scheduler old = engine->scheduler;
    int status = turn_open_executor(engine, &failure);
    if (status) {
        engine->scheduler = old;
        if (++engine->n_failed_openings > engine->options.max_rebuilds) {
            error_prefix(&failure, "opening the executor again after it was lost (attempt %d)", engine->n_failed_openings);
            return die(engine, &failure, err);
        }
        int32_t doublings = engine->n_failed_openings < MOST_DOUBLINGS ? engine->n_failed_openings : MOST_DOUBLINGS;
        engine->reopen_at = clock_now_ns(engine->options.clock) + ((uint64_t)REOPEN_PAUSE_NS << doublings);
        return 0;
    }
    pthread_mutex_lock(&engine->outbox.lock);
    engine->outbox.description = engine->scheduler.description;
    pthread_mutex_unlock(&engine->outbox.lock);
    engine->n_failed_openings = 0;
    engine->scheduler.isolates = true; /* as long as there are suspects */
    engine->scheduler.n_preemptions = old.n_preemptions;
    engine->scheduler.n_cached_tokens = old.n_cached_tokens;
    bool changed = strcmp(numerics, engine->scheduler.description.numerics_id) != 0;
    for (struct stream *stream = old.waiting_first, *next; stream; stream = next) {
        next = stream->next;
        carry_over(engine, stream, changed);
    }
    old.waiting_first = NULL;
    scheduler_free(&old);
    return 0;
}

/* The streams of a step that the lost executor was computing are suspects. */
static void suspect_streams(struct engine *engine, const struct step_plan *plan)
{
    for (int32_t i = 0; i < plan->n_entries; i++) {
        struct stream *stream = plan->entries[i].stream;
        if (stream->counted_loss == engine->statistics.n_rebuilds)
            continue;
        stream->counted_loss = engine->statistics.n_rebuilds;
        stream->n_losses++;
    }
}

/* Fails the waiting streams with which executors were lost too often. */
static void fail_suspects(struct engine *engine, const struct error *loss)
{
    for (struct stream *stream = engine->scheduler.waiting_first, *next; stream; stream = next) {
        next = stream->next;
        if (stream->n_losses <= engine->options.max_rebuilds)
            continue;
        struct error failure = *loss;
        error_prefix(&failure, "the executor was lost %d times while it computed this request, which got no further", stream->n_losses);
        results_fail_stream(engine, stream, &failure);
    }
}

/* The executor is gone: close it, forget what was in flight and cached, let every stream wait for the next one.
 *
 * How often. A stream that executors were computing when they were lost fails after max_rebuilds + 1 losses in which it got no further than ever before;
 * from the second on it runs alone, so that the others are not failed with it. When nothing at all gets further, with other streams neither, the executor
 * itself is broken: after twice max_rebuilds the engine stops. */
static int lose_executor(struct engine *engine, const struct error *loss, struct error *err)
{
    log_write(LOG_WARNING, "the executor was lost (%s); %d streams are rebuilt from their token logs", loss->message, engine->scheduler.n_running);
    engine->executor->interface->close(engine->executor);
    engine->executor = NULL;
    engine->statistics.n_rebuilds++;
    for (int32_t i = 0; i < engine->n_in_flight + engine->unsubmitted; i++) {
        suspect_streams(engine, plan_in_use(engine, i));
        results_leave_step(engine, plan_in_use(engine, i));
    }
    engine->n_in_flight = 0;
    engine->unsubmitted = false;
    engine->busy_since = 0;
    collect_streams(&engine->scheduler);
    engine->reopen_at = clock_now_ns(engine->options.clock);
    if (++engine->n_losses > 2 * (int64_t)engine->options.max_rebuilds) {
        struct error failure = *loss;
        error_prefix(&failure, "the executor was lost %d times in a row and no request got any further", engine->n_losses);
        return die(engine, &failure, err);
    }
    fail_suspects(engine, loss);
    return 0;
}

/* ---- Steps. */

static void fail_plan(struct engine *engine, struct step_plan *plan, const struct error *failure)
{
    log_write(LOG_WARNING, "a step failed: %s", failure->message);
    results_fail(engine, plan, failure);
    results_leave_step(engine, plan);
}

/* An executor that is busy with nothing of ours in flight is waited for, but not for ever. */
static int note_busy(struct engine *engine, struct error *err)
{
    uint64_t now = clock_now_ns(engine->options.clock);
    if (engine->n_in_flight > 0 || !engine->busy_since)
        engine->busy_since = now;
    if (now < engine->busy_since || now - engine->busy_since < BUSY_LIMIT_NS)
        return 0;
    struct error failure;
    error_set(&failure, SAMPAN_ELOST, "it refused a step as busy for %d s with nothing in flight", (int)(BUSY_LIMIT_NS / 1000000000u));
    return lose_executor(engine, &failure, err);
}

/* Submits the plan behind those in flight. *submitted says whether the executor has it. */
static int submit_plan(struct engine *engine, bool *submitted, struct error *err)
{
    struct step_plan *plan = plan_in_use(engine, engine->n_in_flight);
    struct error failure;
    plan->step.id = engine->next_step;
    int status = engine->executor->interface->submit(engine->executor, &plan->step, &failure);
    *submitted = status == 0;
    engine->unsubmitted = status == SAMPAN_EBUSY;
    if (status == 0) {
        engine->next_step++;
        engine->n_in_flight++;
        engine->busy_since = 0;
        engine->statistics.n_steps++;
        engine->statistics.n_tokens += (uint64_t)plan->step.n_tokens;
        scheduler_submitted(&engine->scheduler, plan);
    } else if (status == SAMPAN_ELOST) {
        engine->unsubmitted = true; /* its streams are to leave it */
        return lose_executor(engine, &failure, err);
    } else if (status == SAMPAN_EBUSY) {
        return note_busy(engine, err);
    } else {
        fail_plan(engine, plan, &failure);
    }
    return 0;
}

static int submit_steps(struct engine *engine, bool *any, struct error *err)
{
    while (engine->executor && engine->n_in_flight < engine->scheduler.n_plans) {
        if (!engine->unsubmitted && !scheduler_build(&engine->scheduler, plan_in_use(engine, engine->n_in_flight)))
            return 0;
        bool submitted;
        int status = submit_plan(engine, &submitted, err);
        if (status)
            return status;
        *any = *any || submitted;
        if (engine->unsubmitted)
            return 0;
    }
    return 0;
}

/* In isolation a stream that got further makes room for the next suspect. */
static void release_cleared(struct scheduler *scheduler)
{
    for (int32_t i = scheduler->n_running - 1; i >= 0; i--) {
        struct stream *stream = scheduler->running[i];
        if (stream->n_losses >= STREAM_SUSPECT_LOSSES)
            continue;
        scheduler_remove(scheduler, stream);
        scheduler_add(scheduler, stream);
    }
}

static int wait_for_step(struct engine *engine, uint64_t timeout_ns, bool *any, struct error *err)
{
    struct step_result result = {0};
    struct error failure;
    struct step_plan *plan = plan_in_use(engine, 0);
    int status = engine->executor->interface->wait(engine->executor, timeout_ns < PATIENCE_NS ? timeout_ns : PATIENCE_NS, &result, &failure);
    if (status == SAMPAN_ETIMEOUT)
        return 0;
    *any = true;
    if (status == SAMPAN_ELOST)
        return lose_executor(engine, &failure, err);
    if (!status && result.id != plan->step.id)
        status = error_set(&failure, SAMPAN_EINTERNAL, "the executor returned step %" PRIu64 ", step %" PRIu64 " was the oldest", result.id, plan->step.id);
    if (status) {
        fail_plan(engine, plan, &failure);
    } else {
        uint64_t before = engine->scheduler.n_progress;
        results_take(engine, plan, &result);
        if (engine->scheduler.n_progress > before)
            engine->n_losses = 0;
        if (engine->scheduler.isolates)
            release_cleared(&engine->scheduler);
        results_leave_step(engine, plan);
    }
    engine->first_plan = (engine->first_plan + 1) % engine->scheduler.n_plans;
    engine->n_in_flight--;
    return 0;
}

/* ---- The turn. */

static void publish_statistics(struct engine *engine)
{
    struct engine_statistics *statistics = &engine->statistics;
    const struct scheduler *scheduler = &engine->scheduler;
    const struct kv_group *group = &scheduler->kv.groups[0];
    statistics->n_preemptions = scheduler->n_preemptions;
    statistics->n_cached_tokens = scheduler->n_cached_tokens;
    statistics->n_running = scheduler->n_running;
    statistics->n_waiting = scheduler->n_waiting;
    statistics->n_blocks_total = group->n_blocks;
    statistics->n_blocks_cached = group->n_cached;
    statistics->n_blocks_used = group->n_blocks - group->n_free - group->n_cached;
    pthread_mutex_lock(&engine->outbox.lock);
    engine->outbox.statistics = *statistics;
    pthread_mutex_unlock(&engine->outbox.lock);
}

/* A clock that jumps back must not put the opening off for ever. */
static bool opening_is_due(const struct engine *engine)
{
    uint64_t now = clock_now_ns(engine->options.clock), longest = (uint64_t)REOPEN_PAUSE_NS << MOST_DOUBLINGS;
    return now >= engine->reopen_at || engine->reopen_at - now > longest;
}

/* Without an executor nobody waits longer than until the next attempt to open one is due. */
static uint64_t limit_wait(const struct engine *engine, uint64_t timeout_ns)
{
    if (engine->unsubmitted)
        return timeout_ns < BUSY_PAUSE_NS ? timeout_ns : BUSY_PAUSE_NS;
    if (engine->executor)
        return timeout_ns;
    uint64_t now = clock_now_ns(engine->options.clock), left = engine->reopen_at > now ? engine->reopen_at - now : 0;
    return timeout_ns < left ? timeout_ns : left;
}

int turn_run(struct engine *engine, uint64_t timeout_ns, struct error *err)
{
    bool any = take_messages(engine);
    if (engine->dead)
        return error_set(err, engine->dead, "%s", engine->outbox.dead_message);
    int status = 0;
    if (!engine->executor && opening_is_due(engine))
        status = reopen(engine, err);
    if (!status)
        status = submit_steps(engine, &any, err);
    bool at_work = !engine->executor || engine->n_in_flight > 0 || engine->unsubmitted;
    if (!status && engine->executor && engine->n_in_flight > 0) {
        status = wait_for_step(engine, timeout_ns, &any, err);
    } else if (!status && !any) {
        timeout_ns = limit_wait(engine, timeout_ns);
        any = timeout_ns && queue_wait(&engine->inbox, timeout_ns);
    }
    publish_statistics(engine);
    return status ? status : any || at_work;
}
