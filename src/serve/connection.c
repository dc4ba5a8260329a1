#include "serve/connection.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/memory.h"
#include "serve/metrics.h"

enum {
    HEAD_LIMIT = 32 << 10, /* bytes; browsers with many cookies stay below 8 kB */
    READ_AHEAD = 64 << 10, /* bytes of later requests that wait in our memory */
    IDLE_SECONDS = 75,     /* between requests */
    REQUEST_SECONDS = 30,  /* from a request's first byte to its last */
    LINGER_SECONDS = 2,
    WRITE_SECONDS = 60,      /* without a byte taken by the client */
    UNREAD_LIMIT = 16 << 20, /* bytes of an answer that a client has not taken */
};

static void look_at_input(struct connection *connection);

/* ---- Life. */

static void set_deadline(struct connection *connection, int seconds)
{
    struct timeval time = {.tv_sec = seconds};
    event_add(connection->deadline, &time);
}

void connection_close(struct connection *connection)
{
    struct server *server = connection->server;
    if (connection->answering) {
        connection->exchange.status = 499;
        metrics_count_exchange(server->metrics, &connection->exchange);
        if (connection->exchange.on_gone)
            connection->exchange.on_gone(&connection->exchange);
    }
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    server->n_connections--;
    server_connection_ended(server);
    http_parser_free(&connection->parser);
    event_free(connection->deadline);
    event_free(connection->resume);
    bufferevent_free(connection->events);
    mem_free(connection);
}

static void on_deadline(evutil_socket_t socket, short what, void *self)
{
    struct connection *connection = self;
    (void)socket;
    (void)what;
    if (connection->answering)
        return;
    if (connection->parser.n_seen == 0 || connection->close_after) { /* idle, or lingering */
        connection_close(connection);
        return;
    }
    static const char answer[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    connection->close_after = true;
    bufferevent_write(connection->events, answer, sizeof answer - 1);
}

static void on_event(struct bufferevent *events, short what, void *self)
{
    (void)events;
    (void)what; /* end of file, an error, or a client that does not read: nobody is there any more */
    connection_close(self);
}

/* The last answer is written: closes, or, where the client was still sending, says so and throws away what comes. */
static void end_connection(struct connection *connection)
{
    if (connection->parser.state != PARSER_FAILED) {
        connection_close(connection);
        return;
    }
    if (!connection->lingering) {
        connection->lingering = true;
        shutdown(bufferevent_getfd(connection->events), SHUT_WR);
        set_deadline(connection, LINGER_SECONDS);
    }
}

static void on_written(struct bufferevent *events, void *self)
{
    struct connection *connection = self;
    (void)events;
    if (connection->close_after && !connection->answering)
        end_connection(connection);
}

static void on_readable(struct bufferevent *events, void *self)
{
    struct connection *connection = self;
    if (connection->lingering)
        evbuffer_drain(bufferevent_get_input(events), SIZE_MAX);
    else
        look_at_input(connection);
}

static void on_resume(evutil_socket_t socket, short what, void *self)
{
    (void)socket;
    (void)what;
    look_at_input(self);
}

void connection_open(struct server *server, evutil_socket_t socket)
{
    struct connection *connection = mem_zalloc(sizeof *connection);
    struct bufferevent *events = connection ? bufferevent_socket_new(server->base, socket, BEV_OPT_CLOSE_ON_FREE) : NULL;
    struct event *deadline = events ? evtimer_new(server->base, on_deadline, connection) : NULL;
    struct event *resume = deadline ? evtimer_new(server->base, on_resume, connection) : NULL;
    if (!resume) {
        if (deadline)
            event_free(deadline);
        if (events)
            bufferevent_free(events);
        else
            evutil_closesocket(socket);
        mem_free(connection);
        return;
    }
    struct http_limits limits = {.head = HEAD_LIMIT, .body = server->options.max_body};
    struct timeval write_time = {.tv_sec = WRITE_SECONDS};
    *connection = (struct connection){.server = server, .events = events, .deadline = deadline, .resume = resume, .next = server->connections};
    if (server->connections)
        server->connections->previous = connection;
    server->connections = connection;
    server->n_connections++;
    http_parser_init(&connection->parser, &limits);
    bufferevent_setcb(events, on_readable, on_written, on_event, connection);
    bufferevent_setwatermark(events, EV_READ, 0, READ_AHEAD);
    bufferevent_set_timeouts(events, NULL, &write_time);
    bufferevent_enable(events, EV_READ | EV_WRITE);
    set_deadline(connection, IDLE_SECONDS);
}

/* ---- Requests. */

/* A name that a client gave its request, where it may stand in logs and headers as it is. */
static bool is_harmless_id(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    return length > 0 && length < sizeof((struct exchange *)0)->id &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == length;
}

static void begin_exchange(struct connection *connection)
{
    struct server *server = connection->server;
    struct exchange *exchange = &connection->exchange;
    *exchange = (struct exchange){
        .server = server, .connection = connection, .request = &connection->parser.request, .key = -1, .started_ns = clock_now_ns(&clock_monotonic)};
    const char *given = http_request_header(exchange->request, "x-request-id");
    if (is_harmless_id(given))
        snprintf(exchange->id, sizeof exchange->id, "%s", given);
    else
        snprintf(exchange->id, sizeof exchange->id, "%llx-%llx", (unsigned long long)server->started, (unsigned long long)++server->n_exchanges);
    connection->answering = true;
    event_del(connection->deadline);
    routes_dispatch(exchange);
}

static void refuse_request(struct connection *connection)
{
    struct exchange *exchange = &connection->exchange;
    *exchange = (struct exchange){.server = connection->server,
                                  .connection = connection,
                                  .request = &connection->parser.request,
                                  .key = -1,
                                  .started_ns = clock_now_ns(&clock_monotonic)};
    snprintf(exchange->id, sizeof exchange->id, "%llx-%llx", (unsigned long long)connection->server->started,
             (unsigned long long)++connection->server->n_exchanges);
    connection->answering = true;
    connection->close_after = true; /* nobody knows where the next request would begin */
    event_del(connection->deadline);
    exchange_fail(exchange, DIALECT_OPENAI, connection->parser.status, NULL, NULL, connection->parser.problem);
}

static void tell_to_continue(struct connection *connection)
{
    static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (connection->parser.request.expects_continue && !connection->told_to_continue)
        bufferevent_write(connection->events, answer, sizeof answer - 1);
    connection->told_to_continue = true;
}

/* Reads as far as the request at hand goes. Returns with nothing pending but what belongs to later requests. */
static void look_at_input(struct connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->events);
    struct http_parser *parser = &connection->parser;
    while (!connection->answering && !connection->close_after && parser->state != PARSER_FAILED) {
        struct evbuffer_iovec piece = {0};
        if (parser->state != PARSER_COMPLETE && evbuffer_peek(input, -1, NULL, &piece, 1) < 1 && parser->state != PARSER_HEAD)
            return;
        if (parser->n_seen == 0 && piece.iov_len)
            set_deadline(connection, REQUEST_SECONDS);
        if (parser->state == PARSER_HEAD)
            tell_to_continue(connection);
        evbuffer_drain(input, http_parser_feed(parser, piece.iov_base, piece.iov_len));
        if (parser->state == PARSER_FAILED) {
            refuse_request(connection);
            return;
        }
        if (parser->state == PARSER_COMPLETE) {
            begin_exchange(connection); /* may be over already, and the connection closed: look no more */
            return;
        }
    }
}

bool connection_is_busy(const struct connection *connection)
{
    return connection->answering || evbuffer_get_length(bufferevent_get_output(connection->events)) > 0;
}

/* ---- Answers. */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Unknown";
}

static bool is_head_request(const struct exchange *exchange)
{
    return exchange->request->method && strcmp(exchange->request->method, "HEAD") == 0;
}

/* `length` -1: the body comes in pieces. */
static void write_head(struct exchange *exchange, int status, const char *type, int64_t length)
{
    struct connection *connection = exchange->connection;
    struct server *server = exchange->server;
    struct evbuffer *output = bufferevent_get_output(connection->events);
    exchange->status = status;
    connection->chunked = length < 0 && exchange->request->minor_version == 1;
    if (!exchange->request->keep_alive || server->draining || (length < 0 && !connection->chunked))
        connection->close_after = true;
    evbuffer_add_printf(output, "HTTP/1.1 %d %s\r\nServer: sampan/%s\r\nX-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n", status, reason_of(status),
                        sampan_version(), exchange->id);
    if (type)
        evbuffer_add_printf(output, "Content-Type: %s\r\n", type);
    if (length < 0)
        evbuffer_add_printf(output, "Cache-Control: no-store\r\n%s", connection->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    else
        evbuffer_add_printf(output, "Content-Length: %lld\r\n", (long long)length);
    if (server->options.cors_origin)
        evbuffer_add_printf(output, "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n", server->options.cors_origin);
    evbuffer_add_printf(output, "%sConnection: %s\r\n\r\n", exchange->extra_headers, connection->close_after ? "close" : "keep-alive");
}

/* The answer is complete: on to the next request, or to the end. */
static void finish_exchange(struct exchange *exchange)
{
    struct connection *connection = exchange->connection;
    metrics_count_exchange(exchange->server->metrics, exchange);
    connection->answering = false;
    connection->told_to_continue = false;
    exchange->on_gone = NULL;
    if (connection->close_after) {
        if (evbuffer_get_length(bufferevent_get_output(connection->events)) == 0)
            end_connection(connection);
        return;
    }
    http_parser_reset(&connection->parser);
    set_deadline(connection, IDLE_SECONDS);
    /* What the client sent ahead is looked at from the loop, so that a thousand small requests do not nest a thousand calls. */
    struct timeval now = {0};
    if (evbuffer_get_length(bufferevent_get_input(connection->events)))
        event_add(connection->resume, &now);
}

void exchange_respond(struct exchange *exchange, int status, const char *type, const void *body, size_t length)
{
    write_head(exchange, status, type, (int64_t)length);
    if (length && !is_head_request(exchange))
        bufferevent_write(exchange->connection->events, body, length);
    finish_exchange(exchange);
}

void exchange_stream_begin(struct exchange *exchange, int status, const char *type)
{
    exchange->streaming = true;
    write_head(exchange, status, type, -1);
}

void exchange_stream_write(struct exchange *exchange, const void *bytes, size_t length)
{
    struct evbuffer *output = bufferevent_get_output(exchange->connection->events);
    if (!length || is_head_request(exchange) || evbuffer_get_length(output) > UNREAD_LIMIT)
        return; /* a client that does not read is cut off by the write timeout */
    if (exchange->connection->chunked)
        evbuffer_add_printf(output, "%zx\r\n", length);
    evbuffer_add(output, bytes, length);
    if (exchange->connection->chunked)
        evbuffer_add(output, "\r\n", 2);
}

void exchange_stream_end(struct exchange *exchange)
{
    if (exchange->connection->chunked && !is_head_request(exchange))
        bufferevent_write(exchange->connection->events, "0\r\n\r\n", 5);
    finish_exchange(exchange);
}
