/* A stream: one request on its way. Three parties touch it, each its own part:
 *
 *   caller's thread   makes it (engine_submit) and gives it up (engine_release)
 *   engine's thread   owns log, stops and the scheduling state
 *   reader            turns published tokens into an event (text is made here, from the log)
 *
 * `shared` is what the engine has published to the reader; it and the fields beside it are guarded by the outbox's lock. A stream is freed with its last
 * reference: one of the engine until it has ended and no step in flight names it, one of the caller until it released it, one of each message under way,
 * one of a reader while it makes an event. */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/step.h"
#include "engine/engine.h"
#include "engine/request_lists.h"
#include "engine/stop_strings.h"
#include "engine/token_log.h"
#include "text/detokenizer.h"

#define STREAM_SUSPECT_LOSSES 2

enum stream_state { STREAM_WAITING, STREAM_RUNNING, STREAM_ENDED };

/* What a reader may see. */
struct stream_progress {
    int32_t n_tokens;   /* of the log: prompt + accepted */
    uint64_t safe_text; /* bytes of text that may be shown, from the start of the output; UINT64_MAX: all */
    bool prompt_scored; /* the prompt's log-probabilities are complete */
    bool pooled;        /* the embedding is complete */
    enum engine_finish finish;
    int32_t stop_index;
    int32_t eog_token;
    int32_t n_cached_tokens;
    int32_t n_rebuilds;
    bool numerics_changed;
    int code;
};

struct stream {
    uint64_t id; /* ascending in the order of acceptance */

    /* The request; never changes, except that a smaller executor after a loss may lower log.max_new. */
    struct sampling_parameters sampling; /* its arrays in `lists` */
    struct request_lists lists;
    int32_t min_tokens;
    bool ignore_eog;
    bool show_control;
    bool scores_prompt;
    struct pooling pooling;        /* the engine's until it is published as complete */
    struct constraint *constraint; /* a reference of its own; NULL: none */

    /* The engine's. */
    struct token_log log;
    struct stop_strings stops;
    struct detokenizer stop_detokenizer;
    struct grammar_automaton *automaton; /* of the constraint, while the stream lives in the engine; NULL: none */
    int32_t grammar_state;               /* of it, after the accepted tokens */
    struct stream_progress progress;     /* published by outbox_publish */
    char message[ERROR_MESSAGE_SIZE];    /* for FINISH_ERROR; written before it is published */
    enum stream_state state;
    bool started;         /* was admitted at least once */
    int32_t n_scheduled;  /* positions [0, n_scheduled) are in the cache or in a submitted step */
    int32_t n_completed;  /* ... in the cache: their step came back */
    int32_t n_registered; /* chunks of the prefix index that stand for the beginning */
    int32_t node;         /* the last of them */
    int32_t n_in_flight;  /* entries of submitted steps that name this stream */
    uint32_t epoch;       /* raised when the cache is given up: results of older steps are dropped */
    int32_t slot;         /* while running, -1 */
    uint64_t argmax_step; /* the step whose logit row argmax_row is the argmax of the last scheduled position; UINT64_MAX: none */
    int32_t argmax_row;
    uint64_t placed_in;             /* the scheduler's build that gave it rows last */
    int32_t furthest;               /* largest n_completed there ever was: progress, also over rebuilds */
    int32_t n_losses;               /* of executors that were computing it, since it got any further; from 2 on it is a suspect */
    uint64_t counted_loss;          /* the last of them, so that each counts once */
    struct stream *previous, *next; /* waiting list */

    /* Guarded by the outbox's lock. */
    struct stream_progress shared;
    int32_t references;
    bool queued;    /* counts as waiting for its first admission */
    bool cancelled; /* the message is under way */
    bool released;
    bool given_up; /* its last event was an error of making events: no further one comes */
    bool ready;    /* in the list of streams with an event */
    struct stream *ready_previous, *ready_next;

    /* The reader's. */
    struct detokenizer detokenizer;
    struct buffer text;   /* bytes from text_start on that were not taken yet */
    uint64_t text_start;  /* of `text` within the output */
    size_t text_taken;    /* bytes of `text` that the last event showed */
    int32_t tokens_taken; /* log position up to which events went */
    bool prompt_scores_taken;
    bool ended; /* the detokenizer was finished */
};

int stream_create(const struct engine_request *request, const struct tokenizer *tokenizer, int32_t max_new, int32_t hidden_width, struct stream **stream,
                  struct error *err);
void stream_free(struct stream *stream);

/* Every position of the prompt must be computed with its row handed out: none may come from the cache. */
static inline bool stream_takes_prompt_rows(const struct stream *stream)
{
    return (stream->scores_prompt || stream->pooling.kind == POOLING_MEAN) && stream->log.n_prompt_taken < stream->log.n_prompt;
}

/* Makes the event of everything that was published since the last one. The reader, without lock. */
int stream_take_event(struct stream *stream, const struct stream_progress *progress, struct engine_event *event, struct error *err);

#endif
