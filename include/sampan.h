/* sampan: run large language models on the chip you have. The public C API.
 *
 * Two handles. A `sampan_model` is an opened checkpoint: its description, its tokenizer, its chat template; opening reads headers only. A `sampan_engine` is
 * that model loaded on a chip and running: it takes requests, many at once, and gives events.
 *
 *     sampan_model *model;
 *     sampan_engine *engine;
 *     if (sampan_model_open("model.gguf", &model) || sampan_engine_open(model, NULL, &engine))
 *         fprintf(stderr, "%s\n", sampan_error_message());
 *     ...
 *     sampan_engine_close(engine);
 *     sampan_model_close(model);
 *
 * Errors. A function that can fail returns an int: 0, or a negative code of sampan_errors.h. sampan_error_message() then gives one line for a person: what
 * was being done, what was found, what was expected, what to do. It belongs to the calling thread and changes with that thread's next failing call. Out
 * parameters are set to NULL or 0 on failure. The library never ends the process and prints nothing but rare warnings on standard error.
 *
 * Growing. Structs that are passed in or filled start with `size`: set it to sizeof of the struct as you compiled it (`struct sampan_request request =
 * {.size = sizeof request};`) and leave zero what you do not care for: zero is every field's default. Newer libraries add fields at the end and read or
 * write only what you have.
 *
 * Ownership. What a function hands out through a `**` parameter, text or array, is freed with sampan_free(); strings inside descriptions belong to the
 * handle; the arrays of an event live until the next call of sampan_next_event on that engine, or until the callback of sampan_generate returns. What you
 * pass in is copied: nothing of it is needed after the call.
 *
 * Threads. A model is immutable: any number of threads. An engine's functions may be called from any thread; one thread at a time reads its events. The
 * engine works in threads of its own, which receive no signals. Close a handle when no other thread uses it, engines before their model. After fork() the
 * child may use none of the parent's handles.
 *
 * Units. Sizes in bytes, lengths of text in bytes of UTF-8, positions and contexts in tokens, times in nanoseconds, log-probabilities in nats. */
#ifndef SAMPAN_H
#define SAMPAN_H

#include <stddef.h>
#include <stdint.h>

#include "sampan_errors.h"

#if defined(__GNUC__)
#define SAMPAN_API __attribute__((visibility("default")))
#else
#define SAMPAN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sampan_model sampan_model;
typedef struct sampan_engine sampan_engine;
typedef struct sampan_grammar sampan_grammar;

#define SAMPAN_FOREVER UINT64_MAX /* as a timeout */

/* ---- The library. */

SAMPAN_API const char *sampan_version(void);        /* "0.1.0" */
SAMPAN_API const char *sampan_error_message(void);  /* of this thread's last failing call; "" before one */
SAMPAN_API const char *sampan_error_name(int code); /* "out of memory" */
SAMPAN_API void sampan_free(void *memory);          /* what the library handed out; NULL is legal */

/* ---- Models. */

/* Opens a GGUF file, or a folder with config.json, safetensors and tokenizer.json. Weights stay in the files until an engine loads them (again, after a chip
 * was lost), so these must stay as they are while engines of this model live. An architecture that no engine can run opens too: it can be described, and its
 * tokenizer used. SAMPAN_ENOTFOUND: no such file; SAMPAN_EFORMAT: malformed or cut off; SAMPAN_EUNSUPPORTED; SAMPAN_EIO. */
SAMPAN_API int sampan_model_open(const char *path, sampan_model **model);
SAMPAN_API void sampan_model_close(sampan_model *model); /* NULL is legal */

struct sampan_model_description {
    size_t size;
    const char *path;
    const char *name;         /* as its maker calls it; "" when the file does not say */
    const char *architecture; /* "llama" */
    uint64_t n_parameters;    /* elements of all tensors */
    uint64_t weight_bytes;    /* as published */
    int32_t n_layers;         /* the numbers below: 0 when the file does not say */
    int32_t hidden_size;
    int32_t context_length;                   /* positions the model was made for */
    int32_t n_vocabulary;                     /* of the tokenizer; 0: no tokenizer */
    int32_t bos_token, eos_token;             /* -1: none */
    int32_t has_tokenizer, has_chat_template; /* 0 or 1 */
    const char *quantization;                 /* "q4_1": the type that holds most bytes */
};
SAMPAN_API int sampan_model_describe(const sampan_model *model, struct sampan_model_description *description);

/* ---- Text. */

enum sampan_tokenize_flag {
    SAMPAN_TOKENIZE_CONTROL = 1, /* control tokens written in the text are recognised: only for text you trust as much as a program */
    SAMPAN_TOKENIZE_BOS_EOS = 2, /* the tokens that the model expects around a plain text */
};
/* Text of any bytes to ids; without flags all of it is data, whatever it looks like. *ids is an array also where *n_ids is 0. SAMPAN_EUNSUPPORTED: the model
 * has no tokenizer that can be used; SAMPAN_ELIMIT: longer than 64 MiB. */
SAMPAN_API int sampan_tokenize(const sampan_model *model, const char *text, size_t length, uint32_t flags, int32_t **ids, size_t *n_ids);

enum sampan_detokenize_flag {
    SAMPAN_DETOKENIZE_CONTROL = 1, /* control tokens in their written form; otherwise they are left out */
    SAMPAN_DETOKENIZE_BYTES = 2,   /* bytes as they are; otherwise what is not UTF-8 becomes U+FFFD */
};
/* Ids to text, NUL-terminated (the NUL is not counted). An id outside the vocabulary is SAMPAN_EINVAL. */
SAMPAN_API int sampan_detokenize(const sampan_model *model, const int32_t *ids, size_t n_ids, uint32_t flags, char **text, size_t *length);

/* The bytes of one token (control tokens: their written form); they live as long as the model. */
SAMPAN_API int sampan_token_text(const sampan_model *model, int32_t id, const char **text, size_t *length);
/* 1 when the token ends an answer, 0 when not or unknown. */
SAMPAN_API int sampan_token_ends_answer(const sampan_model *model, int32_t id);

/* ---- Chats. A conversation is a JSON object as in an OpenAI request: {"messages": [{"role": "user", "content": "..."}], "tools": [...],
 * "add_generation_prompt": true}; every further key is a variable of the model's template. bos_token and eos_token are the model's unless given. */

/* The prompt as text, NUL-terminated: to look at. Do not tokenize it: it no longer knows what the users wrote. SAMPAN_EFORMAT: the conversation is no JSON;
 * SAMPAN_EUNSUPPORTED: the model has no template, or one that cannot be read; SAMPAN_EINVAL: the template refuses the conversation, and says why. */
SAMPAN_API int sampan_chat_render(const sampan_model *model, const char *conversation, size_t length, char **text, size_t *text_length);
/* The prompt as ids: control tokens come from the template alone, so that nothing written in a message can become one. */
SAMPAN_API int sampan_chat_tokenize(const sampan_model *model, const char *conversation, size_t length, int32_t **ids, size_t *n_ids);

/* ---- Grammars: what an answer may be. A request that carries one gets an answer of it, whatever the model would rather say, at any temperature; an answer
 * that ends by itself (SAMPAN_FINISH_END) is complete, one cut off by max_tokens is a beginning of one. */

enum sampan_grammar_kind {
    SAMPAN_GRAMMAR_JSON_OBJECT = 0, /* any JSON object; the source is empty */
    SAMPAN_GRAMMAR_JSON_SCHEMA = 1, /* JSON Schema 2020-12, as JSON text. What is not supported is refused by name: SAMPAN_EUNSUPPORTED */
    SAMPAN_GRAMMAR_REGEX = 2,       /* a regular expression that the whole answer matches */
    SAMPAN_GRAMMAR_CHOICES = 3,     /* a JSON array of strings: one of them */
    SAMPAN_GRAMMAR_GBNF = 4,        /* a grammar in llama.cpp's notation */
};
/* Compiles for a model's vocabulary: milliseconds, in the calling thread. Any number of requests of any engines of that model may carry it at once; what one of
 * them learned serves the others. SAMPAN_EINVAL: not well formed, or nothing satisfies it; SAMPAN_EUNSUPPORTED; SAMPAN_ELIMIT: too large. */
SAMPAN_API int sampan_grammar_compile(sampan_model *model, int32_t kind, const char *source, size_t length, sampan_grammar **grammar);
SAMPAN_API void sampan_grammar_free(sampan_grammar *grammar); /* at any time before the model is closed, also while requests carry it; NULL is legal */

/* ---- Engines. */

struct sampan_engine_options {
    size_t size;
    const char *chip;        /* "cpu", "cpu:avx2", "reference", ...; NULL: the best there is */
    int32_t threads;         /* workers of a CPU; 0: as many as this process may use */
    int32_t context;         /* positions of one request at most; 0: the model's, as far as memory allows */
    int32_t max_sequences;   /* requests running at once; 0: 16 */
    int32_t max_step_tokens; /* tokens computed in one step; 0: 512 */
    int32_t max_queued;      /* requests waiting at most; 0: 1,024 */
    int32_t segments;        /* fixed segments of the sums that several chips may share; 0: by the size of the model */
    uint64_t cache_bytes;    /* memory for keys and values; 0: from what is free */
    const char *cache_type;  /* "f16", "f32"; NULL: the chip's preference */
    int32_t no_prefix_reuse; /* 1: every prompt is computed from its beginning */
    /* Called while weights load, from the thread that opens the engine. Non-zero stops it: SAMPAN_ECANCELLED. */
    int (*progress)(void *progress_self, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_self;
    const char *quantize; /* "q8_0", "q4_k", ...: matrices published in f32, f16 or bf16 become about this type while they load; NULL: as published */
    int32_t no_repack; /* 1: compute from the mapped file, for models larger than memory: slower, and the file must stay as it is. If it shrinks, requests fail
                          with SAMPAN_EIO; a change in place is not noticed. Not every chip can */
};

/* Loads the model and starts the engine; returns when it can take requests. `options` NULL: all defaults. The model outlives the engine. SAMPAN_ENOTFOUND: no
 * such chip; SAMPAN_EUNSUPPORTED: the chip cannot run this model; SAMPAN_ENOMEM: too large; SAMPAN_EINVAL, SAMPAN_ELIMIT: an option. */
SAMPAN_API int sampan_engine_open(sampan_model *model, const struct sampan_engine_options *options, sampan_engine **engine);
SAMPAN_API void sampan_engine_close(sampan_engine *engine); /* running requests end without further events, within a step; NULL is legal */

struct sampan_engine_description {
    size_t size;
    const char *chip;               /* for a person */
    const char *system_fingerprint; /* numerics id: within one, the same request gives the same tokens */
    int32_t n_vocabulary;
    int32_t context; /* positions of one request at most */
    int32_t max_sequences;
    int32_t max_step_tokens;
    uint64_t weight_bytes, cache_bytes, buffer_bytes; /* held on the chip */
    uint64_t cache_tokens;                            /* positions that the cache holds in all */
    int32_t batch_invariant;                          /* 1: results do not depend on what else runs */
    int32_t embedding_width;                          /* elements of an embedding; 0: this chip or model gives none */
};
SAMPAN_API int sampan_engine_describe(const sampan_engine *engine, struct sampan_engine_description *description);

struct sampan_statistics { /* since the engine was opened */
    size_t size;
    uint64_t n_steps;
    uint64_t n_prompt_tokens, n_cached_tokens, n_generated_tokens; /* of all requests; cached ones are among those of prompts */
    uint64_t n_preemptions;                                        /* requests that gave their cache to others and were computed again */
    uint64_t n_rebuilds;                                           /* losses of the chip */
    uint64_t n_cancelled;
    int32_t n_running, n_waiting;                           /* requests now */
    int32_t n_blocks_total, n_blocks_used, n_blocks_cached; /* of the cache: used by requests, kept for prompts that begin alike */
};
SAMPAN_API int sampan_engine_statistics(sampan_engine *engine, struct sampan_statistics *statistics);

/* ---- Requests. */

struct sampan_text {
    const char *data;
    size_t length;
};

struct sampan_logit_bias {
    int32_t id;
    float bias; /* -1,000 to 1,000, or -INFINITY: never chosen */
};

struct sampan_tokens {
    const int32_t *ids;
    size_t count; /* 1 to 64 */
};

#define SAMPAN_PROMPT_ONLY (-1) /* as max_tokens: nothing is generated */

/* How the hidden rows of a prompt's tokens (the output of the final norm) become one vector. */
enum sampan_pooling {
    SAMPAN_POOLING_NONE = 0, /* no embedding */
    SAMPAN_POOLING_LAST = 1, /* the row of the last token */
    SAMPAN_POOLING_MEAN = 2, /* the mean over all tokens */
};

/* A request: zero is every field's default. How a token is chosen: logit biases, banned sequences, the grammar, penalties, temperature, top-k, top-p, min-p,
 * typical-p, in this order, then one draw by seed, choice and position alone: the same request gives the same answer. */
struct sampan_request {
    size_t size;
    const int32_t *prompt; /* [n_prompt] ids of the vocabulary */
    size_t n_prompt;       /* at least 1, below the engine's context */
    int32_t max_tokens;    /* generated at most; 0: as the context allows; SAMPAN_PROMPT_ONLY */
    int32_t min_tokens;    /* tokens that end an answer are not chosen before that many */

    double temperature;        /* 0: greedy, the most probable token each time (the lowest id where several are) */
    int32_t top_k;             /* 0: off */
    int32_t penalty_window;    /* the penalties look at so many last tokens; 0: at all */
    double top_p;              /* 0 or 1: off */
    double min_p;              /* 0: off */
    double typical_p;          /* 0 or 1: off */
    double repetition_penalty; /* of tokens in prompt and answer: divides positive, multiplies negative logits; 0 or 1: off */
    double presence_penalty;   /* of tokens in the answer, once; 0: off */
    double frequency_penalty;  /* ... for each time; 0: off */
    uint64_t seed;
    uint32_t choice;      /* which of several answers to the same prompt and seed */
    int32_t ignore_end;   /* 1: the model's own end tokens do not end the answer */
    int32_t show_control; /* 1: control tokens appear in the text */

    int32_t want_logprobs;     /* 1: the log-probability of each generated token, and n_alternatives more */
    int32_t n_alternatives;    /* best tokens beside the chosen one; 0 to 1,024 */
    int32_t n_prompt_logprobs; /* above 0: that many best tokens after every position of the prompt */
    int32_t pooling;           /* enum sampan_pooling; not NONE: an embedding of the prompt. max_tokens is SAMPAN_PROMPT_ONLY then */
    int32_t normalize;         /* 1: the embedding is scaled to length 1 */

    const struct sampan_text *stops; /* [n_stops], at most 64: the answer ends before the first of these; none of it is given out */
    size_t n_stops;
    const int32_t *stop_tokens; /* [n_stop_tokens], at most 1,024: end the answer as the model's own end tokens do, also with ignore_end */
    size_t n_stop_tokens;
    const struct sampan_logit_bias *logit_biases; /* [n_logit_biases], at most 16,384: added to the logits before anything else */
    size_t n_logit_biases;
    const struct sampan_tokens *banned; /* [n_banned], at most 1,024: sequences whose last token is not chosen where it would complete them */
    size_t n_banned;
    const sampan_grammar *grammar; /* the answer is of this grammar; NULL: of none. Not needed any more once the request was submitted */
};

enum sampan_finish {
    SAMPAN_FINISH_NONE = 0,   /* not yet */
    SAMPAN_FINISH_END = 1,    /* the model ended its answer */
    SAMPAN_FINISH_STOP = 2,   /* a stop text */
    SAMPAN_FINISH_LENGTH = 3, /* max_tokens, or the context is full */
    SAMPAN_FINISH_CANCELLED = 4,
    SAMPAN_FINISH_ERROR = 5, /* see code and message */
};

struct sampan_logprob {
    int32_t id;
    float logprob; /* of the model's own distribution, before temperature and truncation */
};

/* What happened to one request since its last event. */
struct sampan_event {
    size_t size;
    uint64_t request;
    int32_t n_tokens;
    const int32_t *tokens; /* [n_tokens] new ones */
    const char *text;      /* new text, whole UTF-8 characters */
    size_t text_length;
    int32_t n_logprobs;                    /* per token: 1 + n_alternatives; 0: not asked */
    const struct sampan_logprob *logprobs; /* [n_tokens, n_logprobs]: the chosen token, then the best in descending order */
    int32_t n_prompt_positions;            /* above 0 once: the prompt's log-probabilities */
    int32_t n_prompt_logprobs;
    const struct sampan_logprob *prompt_logprobs;                 /* [n_prompt_positions, n_prompt_logprobs] of the token after each position, descending */
    int32_t finish;                                               /* enum sampan_finish; not NONE: this is the request's last event */
    int32_t stop_index;                                           /* which stop text, or -1 */
    int32_t end_token;                                            /* which token ended the answer, or -1 */
    int32_t n_prompt_tokens, n_cached_tokens, n_generated_tokens; /* in all: usage as OpenAI's API has it; the end token is among the generated */
    int32_t n_rebuilds;                                           /* losses of the chip that this request lived through */
    int32_t numerics_changed; /* 1: after such a loss another kind of chip went on; later tokens may differ from what it would have given */
    int code;                 /* for SAMPAN_FINISH_ERROR */
    const char *message;      /* ditto; otherwise "" */
    int32_t n_embedding;      /* above 0 in the last event of a request that asked for pooling */
    const float *embedding;   /* [n_embedding] */
};

/* Sets what the model's maker recommends for sampling (generation_config.json of a folder, general.sampling of a GGUF file): temperature, top_k, top_p, min_p,
 * typical_p and repetition_penalty of a request, as far as the maker says something; the rest stays. *n_set (may be NULL): how many were set.
 * SAMPAN_EFORMAT, and nothing is set: a recommendation makes no sense. */
SAMPAN_API int sampan_model_recommend(const sampan_model *model, struct sampan_request *request, int32_t *n_set);

/* Accepts a request or refuses it: SAMPAN_EINVAL (a parameter), SAMPAN_ELIMIT (longer than the context), SAMPAN_EBUSY (the queue is full, or blocking calls
 * are under way). Does not wait. *id is never 0. */
SAMPAN_API int sampan_submit(sampan_engine *engine, const struct sampan_request *request, uint64_t *id);
/* The next event of any submitted request; requests take turns. timeout_ns 0 does not wait, SAMPAN_FOREVER waits for one. SAMPAN_ETIMEOUT: there was none in
 * time. */
SAMPAN_API int sampan_next_event(sampan_engine *engine, uint64_t timeout_ns, struct sampan_event *event);
/* Its last event then is SAMPAN_FINISH_CANCELLED, unless it ended just before. Ids that are not known are ignored. */
SAMPAN_API void sampan_cancel(sampan_engine *engine, uint64_t id);
/* Gives a request's memory back after its last event (before it: cancels, and no further event comes). Every submitted request needs it. */
SAMPAN_API void sampan_release(sampan_engine *engine, uint64_t id);
/* A descriptor for poll, select or epoll: readable while an event waits. Never read from it or close it; it lives as long as the engine. */
SAMPAN_API int sampan_descriptor(const sampan_engine *engine);

/* Runs one request to its end and calls `on_event` (may be NULL) with each event; a non-zero return cancels: SAMPAN_ECANCELLED. Several threads may do this
 * on one engine at once; while they do, sampan_submit is refused with SAMPAN_EBUSY, and the other way round. Returns the message of a failed request as its
 * own. */
SAMPAN_API int sampan_generate(sampan_engine *engine, const struct sampan_request *request, int (*on_event)(void *self, const struct sampan_event *event),
                               void *self);

/* The log-probabilities of the `n_top` best tokens after each of the ids: *logprobs is [n_ids, n_top], descending. Threads as sampan_generate. */
SAMPAN_API int sampan_score(sampan_engine *engine, const int32_t *ids, size_t n_ids, int32_t n_top, struct sampan_logprob **logprobs);

/* One vector for all of the ids: *embedding is [*width]. `pooling` is LAST or MEAN of enum sampan_pooling (the model's card says which it was trained for);
 * `normalize` 1 scales it to length 1. A text becomes ids by sampan_tokenize, usually with SAMPAN_TOKENIZE_BOS_EOS. Threads as sampan_generate. */
SAMPAN_API int sampan_embed(sampan_engine *engine, const int32_t *ids, size_t n_ids, int32_t pooling, int32_t normalize, float **embedding, size_t *width);

#ifdef __cplusplus
}
#endif

#endif
