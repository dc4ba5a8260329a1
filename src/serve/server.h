/* The HTTP server: sockets, connections, and the one loop that everything here runs in (libevent). Handlers get an exchange - one request and the answer to
 * it - and answer at once or later; what they need of the model they take from `server`.
 *
 *     listener -> connection: bytes -> http_request -> routes -> handler -> exchange_respond, or exchange_stream_* piece by piece
 *                                                         \-> generation: sampan_submit ... engine's descriptor -> events -> handler's callbacks
 *
 * A connection works on one request at a time; what a client sends ahead waits in its socket, so answers keep their order. Everything is bounded: connections,
 * heads, bodies, the time until a request is complete, the time a client may take to read.
 *
 * Thread: all of it runs in the thread of server_run; server_stop may be called from a signal handler of libevent (and is). */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sampan.h"
#include "serve/http_request.h"

struct api_keys;
struct event_base;
struct metrics;

struct server_options {
    const char *host;        /* to listen on: a numeric address; NULL: 127.0.0.1 */
    int32_t port;            /* 0: one that is free */
    const char *socket_path; /* a Unix socket instead; NULL: none */
    const char *model_name;  /* as clients name it */
    const char *cors_origin; /* "*" or one origin; NULL: none is allowed */
    const char *keys_file;   /* lines "name key"; NULL: no key is asked for */
    int32_t max_connections; /* 0: 1,024 */
    int32_t max_per_key;     /* requests at once of one key; 0: no limit */
    int32_t drain_seconds;   /* after SIGTERM running answers have so long; 0: 30 */
    size_t max_body;         /* bytes; 0: 16 MiB */
};

struct generations; /* generation.h */

struct server {
    sampan_model *model;
    sampan_engine *engine;
    struct sampan_model_description model_description;
    struct sampan_engine_description engine_description;
    struct server_options options;
    int64_t started;     /* seconds since 1970 */
    uint64_t started_ns; /* of the monotonic clock */
    bool draining;
    struct event_base *base;
    struct listeners *listeners; /* server.c */
    struct generations *generations;
    struct api_keys *keys; /* NULL: open to all */
    struct metrics *metrics;
    struct connection *connections; /* list */
    int32_t n_connections;
    uint64_t n_exchanges; /* for ids */
};

/* Opens sockets; the model and engine outlive the server. SAMPAN_EIO: the address cannot be had; SAMPAN_EINVAL. */
int server_create(sampan_model *model, sampan_engine *engine, const struct server_options *options, struct server **server, struct error *err);
/* Runs until SIGTERM or SIGINT came and the answers under way have ended, or the time for that is over; a second signal ends it at once. */
int server_run(struct server *server, struct error *err);
void server_free(struct server *server); /* NULL is legal */
/* Where it listens, for a person: "http://127.0.0.1:8080" or the socket's path. */
const char *server_address(const struct server *server);

/* A place became free (connection.c). */
void server_connection_ended(struct server *server);

/* ---- Exchanges. */

struct exchange {
    struct server *server;
    struct connection *connection;
    const struct http_request *request;
    char id[33];                                /* given by the client (X-Request-Id) where it is harmless, or made */
    int32_t key;                                /* index of the API key, -1: none */
    void *handler_data;                         /* of whoever answers later */
    void (*on_gone)(struct exchange *exchange); /* the client left before the answer was complete; NULL: nothing to do */
    char extra_headers[256];                    /* "Name: value\r\n", of the handler */
    uint64_t started_ns;
    int status; /* what was answered, 0: not yet */
    bool streaming;
};

/* Answers as a whole. The exchange is over then, and must not be touched again. */
void exchange_respond(struct exchange *exchange, int status, const char *type, const void *body, size_t length);

/* Answers piece by piece; server-sent events and the like. The pieces reach the client when the loop comes to it. */
void exchange_stream_begin(struct exchange *exchange, int status, const char *type);
void exchange_stream_write(struct exchange *exchange, const void *bytes, size_t length);
void exchange_stream_end(struct exchange *exchange); /* over, as above */

/* ---- Routes (routes.c): what is called by which method and path. */

struct route {
    const char *method;
    const char *path; /* a final "*" stands for any rest without '/' */
    void (*handle)(struct exchange *exchange, const char *rest);
    bool open;   /* no key is asked for */
    int dialect; /* how errors look: enum error_dialect */
};

extern const struct route routes[]; /* method NULL ends it */

/* Finds and calls the handler; answers 404, 405 (with Allow) and what keys forbid itself. */
void routes_dispatch(struct exchange *exchange);

/* ---- Errors, in the shape of the dialect that was called (errors.c). */

enum error_dialect { DIALECT_OPENAI, DIALECT_ANTHROPIC };

/* `parameter`: the name of the field that is wrong, or NULL; `code`: a machine's word, or NULL. */
void exchange_fail(struct exchange *exchange, enum error_dialect dialect, int status, const char *parameter, const char *code, const char *message);
/* The status of a library error: 400, 404, 429, 500, 503. */
int http_status_of(int code);

#endif
