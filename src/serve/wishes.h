/* What a client asks of its answer, read from the body of a request: the parameters that chat and plain completions share, as a table. Every parameter of the
 * published references is honoured, is without meaning here (and skipped), or is refused by name. */
#ifndef SERVE_WISHES_H
#define SERVE_WISHES_H

#include <jansson.h>

#include "serve/server.h"

#define WISHES_MAX_STOPS 16
#define WISHES_MAX_CHOICES 64

struct wishes {
    struct sampan_request request; /* its pointers lead into this struct */
    int32_t n;
    bool stream, include_usage;
    bool want_logprobs;
    int32_t top_logprobs;
    bool max_tokens_given;
    int64_t max_tokens;
    struct sampan_text stops[WISHES_MAX_STOPS]; /* texts of the body: it must live as long */
    struct sampan_logit_bias *biases;           /* owned */
    int32_t *stop_tokens;                       /* owned */
    sampan_grammar *grammar;                    /* owned */
};

/* Why a body is refused. */
struct refusal {
    int status;
    char parameter[64]; /* "" : none */
    const char *code;   /* or NULL */
    char message[600];
};
int refuse(struct refusal *refusal, int status, const char *parameter, const char *format, ...) BASE_PRINTF(4, 5); /* returns -1 */

/* Reads all members of `body` that it knows; `others` (NULL-terminated) names those that the caller reads itself. Anything else is refused. 0 or -1. */
int wishes_read(struct server *server, json_t *body, const char *const *others, bool is_chat, struct wishes *wishes, struct refusal *refusal);
void wishes_free(struct wishes *wishes);

/* The prompt is known: checks that it fits, and how much may follow. 0 or -1 with context_length_exceeded and both numbers. */
int wishes_fit(struct server *server, struct wishes *wishes, size_t n_prompt, struct refusal *refusal);

/* The body as a JSON object; NULL, and the exchange is answered, when it is none. */
json_t *exchange_read_json(struct exchange *exchange, enum error_dialect dialect);
/* The model that a body names must be ours; absent is fine. 0 or -1. */
int check_model(const struct server *server, json_t *body, struct refusal *refusal);
void exchange_refuse(struct exchange *exchange, enum error_dialect dialect, const struct refusal *refusal);
/* Takes the reference over; NULL (out of memory) is a 503. */
void exchange_respond_json(struct exchange *exchange, int status, json_t *json);

#endif
