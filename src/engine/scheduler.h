/* The scheduler: which rows the next step contains, and which blocks they live in.
 *
 * Every step is filled in this order (continuous batching, Yu et al. 2022; chunked prefill mixed with decode, Agrawal et al. 2024; paged blocks, Kwon et al.
 * 2023):
 *
 *   1. secure   every running stream, oldest first, gets the block its next row needs; where none is left the newest running stream is preempted: it gives
 * up its
 *               cache, goes back to the waiting list and is rebuilt from its token log. The oldest stream can take blocks from all others, and each
 *               fits alone (checked when it is accepted): so the oldest always moves on, and there is no livelock.
 *   2. decode   one row for each stream that has one token to compute; while prompts wait, a quarter of the rows is left to them, and streams that found no
 *               room come first in the next step: gaps stay bounded on both sides.
 *   3. prefill  chunks of the running streams' prompts, oldest first, at most prefill_chunk rows together.
 *   4. admit    waiting streams in order of acceptance, when their whole known sequence fits into what is available (not only its first chunk: else they would
 *               be preempted half way and start again).
 *   5. decode   what is left of the rows goes to streams that found no room in 2.
 *
 * Pipelining. A stream whose last known token is already in a submitted step may go on without waiting for the result, where its next token is the plain
 * argmax: the row
 * names the previous step's logit row as its token. Such a row may turn out to lie behind the stream's end; then its result is dropped.
 *
 * Isolation. Streams that were computed by two lost executors without getting further in between are admitted alone, one after the other, each until it got
 * further than ever before: the one that cannot is found without the others' suffering for it (turn.c).
 *
 * Blocks are registered in the prefix index when their step came back, so nothing half-written is ever shared.
 * Thread: the engine's. Memory: all taken by scheduler_init. */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/executor.h"
#include "engine/kv_blocks.h"
#include "engine/prefix_index.h"
#include "engine/stream.h"

/* The rows of one stream in a step. */
struct plan_entry {
    struct stream *stream;
    uint32_t epoch;
    int32_t first; /* position of the first row */
    int32_t n_rows;
    int32_t first_logit_row;
    int32_t n_logit_rows;
    bool chooses; /* the last logit row chooses a token */
    bool by_argmax;
};

/* A step with the memory its arrays live in: all of it stays unchanged until the step was waited for. */
struct step_plan {
    struct step step;
    int32_t n_entries;
    struct plan_entry *entries;                     /* [max_sequences] */
    int32_t *token_ids, *token_sources, *positions; /* [max_tokens] */
    int32_t *row_starts, *lengths, *slots;          /* [max_sequences + 1] */
    int32_t *logit_rows, *wants;                    /* [max_logit_rows] */
    struct cache_edit *edits;                       /* [max_edits] */
    int32_t *tables[STEP_MAX_GROUPS];               /* [max_sequences * table_stride] */
};

/* The block table of one running stream in one group. */
struct block_table {
    int32_t *blocks;    /* [table_stride], -1: released or never needed */
    int32_t n_blocks;   /* entries in use */
    int32_t n_released; /* leading entries that left the window */
};

struct scheduler {
    struct executor_description description;
    int32_t max_running;
    int32_t prefill_chunk;
    struct kv_blocks kv;
    struct prefix_index index;
    int32_t table_stride[STEP_MAX_GROUPS];
    struct block_table *tables; /* [max_running * n_groups] */
    int32_t *table_memory;
    struct stream **running; /* [max_running], ascending id */
    int32_t n_running;
    int32_t *free_slots;                         /* [max_running], stack */
    struct stream *waiting_first, *waiting_last; /* ascending id */
    int32_t n_waiting;
    uint64_t decode_from;      /* id: streams from here on come first in the next step */
    int64_t blocked_available; /* blocks available when the first waiting stream last failed to be admitted; -1: it has not */
    struct step_plan *plans;   /* [n_plans], used in turn */
    int32_t n_plans;
    int32_t max_edits;
    uint64_t n_builds;
    uint64_t last_step; /* id of the step submitted last, UINT64_MAX: none */
    uint64_t n_preemptions, n_cached_tokens;
    uint64_t n_progress;                                 /* times that a stream got further than ever before */
    bool isolates;                                       /* suspects of a loss run alone, one after the other, until each got further */
    void (*admitted)(void *self, struct stream *stream); /* told on a stream's first admission */
    void *self;
};

int scheduler_init(struct scheduler *scheduler, const struct executor_description *description, int32_t max_running, int32_t prefill_chunk, bool reuse,
                   struct error *err);
void scheduler_free(struct scheduler *scheduler); /* streams are not touched */

/* The largest number of positions a stream may ever cache, alone. */
int32_t scheduler_capacity(const struct executor_description *description);

void scheduler_add(struct scheduler *scheduler, struct stream *stream);    /* to the waiting list, by id */
void scheduler_remove(struct scheduler *scheduler, struct stream *stream); /* it ended: its blocks are given back */

/* Fills a plan; false when no stream has anything to compute now. */
bool scheduler_build(struct scheduler *scheduler, struct step_plan *plan);
void scheduler_submitted(struct scheduler *scheduler, const struct step_plan *plan); /* the executor took it */
/* A step came back: these positions are in the cache. To be called before the step's token is appended. */
void scheduler_completed(struct scheduler *scheduler, const struct plan_entry *entry);

/* True when the stream's next token is the argmax of its row, whatever it is. */
bool scheduler_argmax_suffices(const struct stream *stream, int32_t position);

#endif
