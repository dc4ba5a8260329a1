/* The engine: many requests over one executor. It owns all sequence state, decides what each step contains, samples, and keeps every stream's token log.
 *
 * Pure logic: base/ and text/ only. It runs in a thread of its own (engine_start) or, in tests, turn by turn (engine_turn) against a simulated executor and
 * clock. Callers talk to it through three calls (submit, next_event, cancel) and a descriptor that polls readable while an event waits.
 *
 * Flow control: a full queue is a clear refusal (SAMPAN_EBUSY), never growth. A slow reader costs nothing: each stream has at most one event
 * pending, which carries
 * everything since the last one; what was not read yet lives in the stream's own token log, whose size is known when the request is accepted.
 *
 * Determinism: with an executor that guarantees GUARANTEE_BATCH, a request's tokens are a function of (model, prompt, parameters, seed) alone: not of what else
 * runs, of chunking, prefix reuse, preemption, pipelining, or of an executor lost and rebuilt on the way. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "engine/executor.h"
#include "engine/pooling.h"
#include "text/grammar/constraint.h"
#include "text/tokenizer.h"

struct engine;

struct engine_options {
    int32_t max_queued;    /* requests waiting, at most; 0: 1024 */
    int32_t prefill_chunk; /* prompt tokens per step at most; 0: the executor's max_tokens */
    int32_t max_running;   /* sequences at once; 0: the executor's max_sequences */
    bool no_prefix_reuse;
    bool no_pipelining;        /* never more than one step in flight */
    int32_t max_rebuilds;      /* losses of the executor while it computes a request that gets no further, before that fails; 0: 3. See README.md */
    const struct clock *clock; /* NULL: clock_monotonic */
};

struct sampling_bias {
    int32_t id;
    float bias; /* added to the logit: -LIMIT_LOGIT_BIAS to LIMIT_LOGIT_BIAS, or -INFINITY: never chosen */
};

struct token_sequence {
    const int32_t *ids; /* [count], at least one */
    size_t count;
};

/* How to choose a token. The order is: biases, bans, penalties, temperature, top-k, top-p, min-p, typical-p (as published peers have it), then one draw.
 * Zero-initialised is greedy: the largest logit, lowest id on ties. With temperature 0 what only narrows a draw does nothing. */
struct sampling_parameters {
    double temperature;                 /* 0: greedy */
    int32_t top_k;                      /* 0: off */
    double top_p;                       /* 0 or 1: off */
    double min_p;                       /* 0: off */
    double typical_p;                   /* 0 or 1: off; locally typical sampling (Meister et al. 2022) */
    double repetition_penalty;          /* 0 or 1: off; divides positive, multiplies negative logits of tokens in prompt and output (Keskar et al. 2019) */
    double presence_penalty;            /* 0: off; of tokens in the output (OpenAI's definition) */
    double frequency_penalty;           /* 0: off */
    int32_t penalty_window;             /* the penalties look at so many last tokens of prompt and output; 0: at all */
    const struct sampling_bias *biases; /* [n_biases]; of one id given twice the sum counts */
    int32_t n_biases;
    const struct token_sequence *banned; /* [n_banned] never completed: where prompt and output end in all but its last id, that one is not chosen */
    int32_t n_banned;
    uint64_t seed;
    uint32_t choice; /* index among n choices: enters the random stream */
};

struct engine_stop {
    const char *text; /* UTF-8 */
    size_t length;
};

struct engine_request {
    const int32_t *prompt;               /* copied */
    size_t n_prompt;                     /* at least 1, below max_context */
    int32_t max_tokens;                  /* generated at most; 0: score the prompt only; -1: as the context allows */
    int32_t min_tokens;                  /* EOG ids and stop tokens are not chosen before that many */
    struct sampling_parameters sampling; /* its arrays are copied */
    bool ignore_eog;
    const struct engine_stop *stops; /* [n_stops], copied */
    size_t n_stops;
    const int32_t *stop_tokens; /* [n_stop_tokens], copied: end the answer as an EOG id does, also with ignore_eog */
    size_t n_stop_tokens;
    int32_t n_logprobs;        /* alternatives per generated token, 0..LIMIT_LOGPROBS; -1: none, not even the chosen token's */
    int32_t n_prompt_logprobs; /* the same for each prompt position (position i: distribution of the token after prompt[0..i]); -1: none */
    bool show_control;         /* control tokens appear in the text */
    enum pooling_kind pooling; /* not NONE: an embedding of the prompt; max_tokens is 0 then */
    bool normalize;            /* it is scaled to length 1 */
    /* The answer belongs to this grammar: tokens that it does not allow are not chosen, and the answer ends (FINISH_EOG, by no token) once it is complete and
     * nothing may follow. Needs a tokenizer. NULL: none. The engine keeps a reference of its own. */
    struct constraint *constraint;
};

enum engine_finish { FINISH_NONE, FINISH_EOG, FINISH_STOP, FINISH_LENGTH, FINISH_CANCELLED, FINISH_ERROR };

struct engine_logprob {
    int32_t id;
    float logprob; /* natural logarithm, of the distribution before temperature and truncation, after no penalties: the model's own */
};

/* What happened on one stream since its last event. Pointers live until the next engine_next_event of the same reader or engine_release. */
struct engine_event {
    uint64_t request;
    int32_t n_tokens; /* new tokens (an EOG token is not among them) */
    const int32_t *tokens;
    const char *text; /* new text: whole UTF-8 characters; never a part of a stop string, nor text that may still become one */
    size_t text_length;
    int32_t n_logprobs;                                           /* per token: 1 (the chosen token) + alternatives; 0: none asked */
    const struct engine_logprob *logprobs;                        /* [n_tokens, n_logprobs], the chosen token first, then alternatives descending */
    int32_t n_prompt_positions;                                   /* > 0 once, when the prompt's log-probabilities are complete */
    int32_t n_prompt_logprobs;                                    /* per position */
    const struct engine_logprob *prompt_logprobs;                 /* [n_prompt_positions, n_prompt_logprobs], descending */
    int32_t n_embedding;                                          /* > 0 in the last event of a request that asked for pooling */
    const float *embedding;                                       /* [n_embedding] */
    enum engine_finish finish;                                    /* not FINISH_NONE: the stream's last event */
    int32_t stop_index;                                           /* which stop string, for FINISH_STOP; -1 */
    int32_t eog_token;                                            /* the token that ended it, for FINISH_EOG; -1: its grammar was complete */
    int32_t n_prompt_tokens, n_cached_tokens, n_generated_tokens; /* totals; the token that ended the stream is among the generated */
    int32_t n_rebuilds;                                           /* executor losses this stream lived through */
    bool numerics_changed; /* a rebuild came back with another numerics id: accepted tokens were kept, later ones may differ */
    int code;              /* for FINISH_ERROR */
    const char *message;   /* ditto */
};

/* The engine opens its first executor at once. `tokenizer` may be NULL: then events carry no text and stops are refused; otherwise it outlives the engine. */
int engine_create(const struct executor_factory *factory, const struct tokenizer *tokenizer, const struct engine_options *options, struct engine **engine,
                  struct error *err);
void engine_free(struct engine *engine); /* stops the thread; streams end without further events. NULL is legal */

int engine_start(struct engine *engine, struct error *err); /* makes the engine's thread */
/* One turn: takes in messages, submits what can be submitted, waits at most timeout_ns for a step and takes its results in. Returns 1 while there is
 * anything left to do, 0 when there is not, or a negative code when the engine can no longer work. Only without engine_start. */
int engine_turn(struct engine *engine, uint64_t timeout_ns, struct error *err);

/* ---- Callers; any thread. */

/* Accepts a request or refuses it: SAMPAN_EINVAL (parameters, named), SAMPAN_ELIMIT (prompt longer than the context or than all blocks: both
 * numbers), SAMPAN_EBUSY. */
int engine_submit(struct engine *engine, const struct engine_request *request, uint64_t *id, struct error *err);
void engine_cancel(struct engine *engine, uint64_t id); /* its last event is FINISH_CANCELLED, unless it ended just before; unknown ids are ignored */

/* The next event of any stream: waits at most timeout_ns; SAMPAN_ETIMEOUT when there is none. Streams take turns. After the event with finish set, the stream's
 * memory is kept until engine_release. One reader thread at a time. */
int engine_next_event(struct engine *engine, uint64_t timeout_ns, struct engine_event *event, struct error *err);
void engine_release(struct engine *engine, uint64_t id); /* after the last event (or at any time: then it also cancels) */
int engine_descriptor(const struct engine *engine);      /* readable (poll) while an event waits; never read from it */

struct engine_statistics {
    uint64_t n_steps, n_tokens, n_prompt_tokens, n_generated_tokens, n_cached_tokens, n_preemptions, n_rebuilds, n_cancelled;
    int32_t n_running, n_waiting;
    int32_t n_blocks_total, n_blocks_used, n_blocks_cached; /* of group 0 */
};
void engine_get_statistics(struct engine *engine, struct engine_statistics *statistics);
void engine_describe_executor(struct engine *engine, struct executor_description *description);

#endif
