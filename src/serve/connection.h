/* One client's connection. See server.h. */
#ifndef SERVE_CONNECTION_H
#define SERVE_CONNECTION_H

#include <event2/bufferevent.h>
#include <event2/util.h>

#include "serve/server.h"

struct connection {
    struct server *server;
    struct bufferevent *events; /* owned, with the socket */
    struct event *deadline;     /* owned: the request must be complete by then */
    struct event *resume;       /* owned: look at what the client sent ahead */
    struct http_parser parser;
    struct exchange exchange; /* of the request being answered */
    bool answering;
    bool chunked;     /* the stream being written is */
    bool close_after; /* once everything is written */
    bool lingering;   /* refused while it still sent: what comes is thrown away for a moment, so that the answer is not lost in a reset */
    bool told_to_continue;
    struct connection *previous, *next;
};

/* Takes the socket over. */
void connection_open(struct server *server, evutil_socket_t socket);
bool connection_is_busy(const struct connection *connection); /* answers, or has something to write */
void connection_close(struct connection *connection);         /* at once; tells a handler that answers */

#endif
