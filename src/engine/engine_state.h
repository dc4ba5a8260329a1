/* What an engine is made of, for the files of this room that share it: engine.c (life and callers), turn.c (one turn: submit, wait, rebuild), results.c (from a
 * step's logits to accepted tokens).
 *
 *   callers --inbox--> [ engine thread: scheduler, sampler, executor, all streams ] --outbox--> reader
 */
#ifndef ENGINE_ENGINE_STATE_H
#define ENGINE_ENGINE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/queue.h"
#include "engine/automata.h"
#include "engine/engine.h"
#include "engine/outbox.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"

struct engine {
    struct executor_factory factory;
    const struct tokenizer *tokenizer;
    struct engine_options options; /* zeros replaced by what they stand for, as far as they do not depend on the executor */
    struct queue inbox;            /* of struct engine_message */
    struct outbox outbox;

    /* The engine thread's. */
    struct executor *executor; /* NULL: lost, to be opened again */
    struct scheduler scheduler;
    struct sampler sampler;
    struct automata automata;
    struct buffer stop_text; /* text of one token, for the stop strings */
    int32_t first_plan;      /* plans [first_plan, + n_plans_used) are in use, in a ring: in flight, then at most one not submitted */
    int32_t n_in_flight;
    bool unsubmitted;          /* the executor was busy: the plan behind those in flight is to be submitted first */
    uint64_t next_step;        /* id */
    int32_t n_losses;          /* in a row, without any stream getting further */
    int32_t n_failed_openings; /* in a row */
    uint64_t busy_since;       /* ns of the clock: refused as busy with nothing in flight; 0: not */
    uint64_t reopen_at;        /* ns of the clock: not before */
    int dead;                  /* code: the engine can no longer work */
    struct engine_statistics statistics;

    pthread_t thread;
    bool has_thread;
    atomic_bool stopping;
};

/* turn.c */
int turn_open_executor(struct engine *engine, struct error *err);
int turn_run(struct engine *engine, uint64_t timeout_ns, struct error *err);

/* results.c */
void results_take(struct engine *engine, struct step_plan *plan, const struct step_result *result);
void results_fail(struct engine *engine, struct step_plan *plan, const struct error *failure); /* the streams of a step that failed */
void results_end_stream(struct engine *engine, struct stream *stream, enum engine_finish finish);
void results_fail_stream(struct engine *engine, struct stream *stream, const struct error *failure);
int results_begin_grammar(struct engine *engine, struct stream *stream, struct error *err); /* of a stream that came in; without one: nothing */
void results_leave_step(struct engine *engine, struct step_plan *plan);                     /* the step names its streams no longer */

#endif
