/* The outbox: the table of streams that callers know, and the list of those with an event. The engine publishes a stream's progress into it; readers take turns
 * over the streams. One short lock guards all of it; it is never held while a step runs, tokens are chosen or text is made.
 *
 *   table:  [ stream | free | stream | ... ]   id = ordinal * capacity + place, so an old id never finds a newer stream
 *   ready:  stream -> stream -> ...            each at most once: its event carries everything since its last one
 */
#ifndef ENGINE_OUTBOX_H
#define ENGINE_OUTBOX_H

#include <pthread.h>

#include "base/queue.h"
#include "engine/stream.h"

struct outbox {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int descriptor;        /* eventfd: readable while `ready` is not empty */
    struct stream **table; /* [capacity], NULL: free */
    int32_t *free_places;  /* [capacity], stack */
    int32_t n_free;
    int32_t capacity;
    uint64_t ordinal;
    int32_t n_queued; /* accepted streams that were never admitted */
    int32_t max_queued;
    struct stream *ready_first, *ready_last;
    struct engine_statistics statistics; /* as of the engine's last turn */
    struct executor_description description;
    int dead; /* 0, or why nothing is accepted any more */
    char dead_message[ERROR_MESSAGE_SIZE];
};

int outbox_init(struct outbox *outbox, int32_t capacity, int32_t max_queued, struct error *err);
void outbox_free(struct outbox *outbox); /* frees all streams; no other thread may use it any more */

/* Gives a stream its id and place and puts it into the inbox, under the lock, so that ids ascend there. SAMPAN_EBUSY. */
int outbox_add(struct outbox *outbox, struct stream *stream, struct queue *inbox, uint64_t *id, struct error *err);
void outbox_cancel(struct outbox *outbox, uint64_t id, struct queue *inbox);
void outbox_release(struct outbox *outbox, uint64_t id, struct queue *inbox);
void outbox_give_up(struct outbox *outbox, struct stream *stream, struct queue *inbox); /* the reader: no further events, and a cancel */

/* The engine's side. */
void outbox_publish(struct outbox *outbox, struct stream *stream);  /* shared = progress; an event is due */
void outbox_admitted(struct outbox *outbox, struct stream *stream); /* no longer counts as queued */
void outbox_drop_reference(struct outbox *outbox, struct stream *stream);

/* The reader's side: the next stream with an event, with a reference and what was published; NULL when timeout_ns passed. */
struct stream *outbox_take_ready(struct outbox *outbox, uint64_t timeout_ns, struct stream_progress *progress);

/* What the engine reads from its inbox. */
struct engine_message {
    enum { MESSAGE_SUBMIT, MESSAGE_CANCEL } kind;
    struct stream *stream; /* with a reference */
};

#endif
