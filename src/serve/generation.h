/* Answers under way: one generation is one HTTP request's n choices, each a request of the engine. Its events come through the engine's descriptor into the
 * server's loop and from here to the dialect that asked. */
#ifndef SERVE_GENERATION_H
#define SERVE_GENERATION_H

#include "base/buffer.h"
#include "serve/server.h"

struct generation;

/* How an exchange wants its events. After `on_end` (all choices are over) or `on_failed` the generation is freed; neither comes when the client left before. */
struct generation_handler {
    void (*on_event)(struct generation *generation, int32_t choice, const struct sampan_event *event); /* also a choice's last one */
    void (*on_end)(struct generation *generation);
    void (*on_failed)(struct generation *generation, int code, const char *message); /* a choice failed; the others were cancelled */
    void (*on_free)(struct generation *generation);                                  /* frees what the dialect put beside it */
};

struct choice {
    uint64_t request; /* of the engine, 0: over or not begun */
    int32_t index;
    struct buffer text; /* where the handler collects it */
    int32_t finish;     /* enum sampan_finish */
    int32_t n_generated;
};

struct generation {
    struct server *server;
    struct exchange *exchange;
    const struct generation_handler *handler;
    void *data; /* the dialect's */
    int32_t n_choices, n_open;
    struct choice *choices; /* [n_choices], owned */
    int32_t n_prompt_tokens, n_cached_tokens;
    uint64_t started_ns, first_token_ns;
    struct generation *previous, *next;
};

/* Submits `n` requests that differ in `choice` alone. Errors of sampan_submit: nothing is left behind then and the exchange is still to be answered. */
int generation_start(struct exchange *exchange, struct sampan_request *request, int32_t n, const struct generation_handler *handler, void *data);

int32_t generation_n_completion_tokens(const struct generation *generation);

int generations_open(struct server *server, struct error *err); /* begins to listen to the engine */
void generations_close(struct server *server);                  /* cancels what is left */
int32_t generations_count(const struct server *server);

#endif
