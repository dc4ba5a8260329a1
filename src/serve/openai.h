/* What chat and plain completions share. */
#ifndef SERVE_OPENAI_H
#define SERVE_OPENAI_H

#include "serve/generation.h"
#include "serve/wishes.h"

struct openai_answer {
    char id[64];
    const char *object, *chunk_object; /* "chat.completion", "chat.completion.chunk" */
    bool stream, include_usage;
    bool want_logprobs;
    bool began;        /* the stream's head was sent */
    json_t **logprobs; /* [n_choices] arrays of a whole answer's tokens, NULL where not asked; owned */
    json_t **echoes;   /* [n_choices] plain completions: the prompt in front, or NULL; owned */
    bool *introduced;  /* [n_choices] the role chunk was sent; owned */
};

struct openai_answer *openai_answer_make(struct exchange *exchange, const struct wishes *wishes, bool is_chat); /* NULL: out of memory */
void openai_answer_free(struct generation *generation);                                                         /* as on_free */

/* "stop", "length"; NULL while it goes on. */
const char *openai_finish_name(int32_t finish);
json_t *openai_usage(const struct generation *generation);
/* {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}; takes both references over. */
json_t *openai_envelope(const struct generation *generation, bool chunk, json_t *choices, json_t *usage);
/* One token with its log-probability and alternatives, as chat writes it. */
json_t *openai_token_logprob(const struct server *server, const struct sampan_logprob *logprobs, int32_t n);

/* Sends one chunk with one choice; takes the reference over. Begins the stream when it is the first. */
void openai_send_chunk(struct generation *generation, json_t *choice);
void openai_end_stream(struct generation *generation);                            /* usage where it was asked for, [DONE], the end */
void openai_failed(struct generation *generation, int code, const char *message); /* as on_failed */

#endif
