/* An HTTP/1.1 request, read piece by piece (RFC 9110, 9112). Strict where two readers could disagree about where a request ends: such requests are refused,
 * because a proxy in front might have read them the other way (request smuggling).
 *
 *     bytes -> http_parser_feed -> PARSER_HEAD (once: length and expectations are known, nothing of the body was read) -> PARSER_COMPLETE, or PARSER_FAILED
 *
 * Refused with the status that `status` holds: bare line feeds, folded lines, NUL and control characters, white space before a colon, two Content-Length,
 * Content-Length beside Transfer-Encoding, any coding but chunked, chunk sizes that are not plain hexadecimal, HTTP/1.1 without exactly one Host, and whatever
 * exceeds a limit (before its body is read where a length announces it). Pure: no sockets. Thread: one at a time per parser. */
#ifndef SERVE_HTTP_REQUEST_H
#define SERVE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define HTTP_MAX_HEADERS 100 /* clients send some ten, proxies add a few */

struct http_header {
    const char *name;  /* lower case */
    const char *value; /* without white space around */
};

struct http_request {
    const char *method; /* "GET" */
    const char *path;   /* of the target, as sent, from '/' to before '?' */
    const char *query;  /* behind '?', or "" */
    int minor_version;  /* of HTTP/1.x */
    int n_headers;
    struct http_header headers[HTTP_MAX_HEADERS];
    bool keep_alive;
    bool expects_continue; /* waits for "100 Continue" before it sends its body */
    bool has_body;
    bool chunked;
    uint64_t content_length; /* where not chunked */
    struct buffer body;
};

enum http_parser_state { PARSER_READING_HEAD, PARSER_HEAD, PARSER_READING_BODY, PARSER_COMPLETE, PARSER_FAILED };

struct http_limits {
    size_t head; /* bytes of request line and headers */
    size_t body; /* bytes of a body, decoded */
};

struct http_parser {
    struct http_limits limits;
    enum http_parser_state state;
    struct http_request request; /* its strings lie in `head` */
    struct buffer head;
    int status;          /* PARSER_FAILED: 400, 413, ... */
    const char *problem; /* PARSER_FAILED: for a person */
    size_t n_seen;       /* bytes of this request so far */

    /* Chunked bodies. */
    int chunk_state;
    uint64_t chunk_left;
    size_t line_length; /* of the size line or trailer being read */
    int size_digits;
};

void http_parser_init(struct http_parser *parser, const struct http_limits *limits);
void http_parser_free(struct http_parser *parser);
void http_parser_reset(struct http_parser *parser); /* for the next request of the connection */

/* Takes bytes until something is to be done: returns how many were used; look at `state` then. PARSER_HEAD is left by the next call. */
size_t http_parser_feed(struct http_parser *parser, const char *bytes, size_t length);

/* NULL where the request has no such header; `name` in lower case. */
const char *http_request_header(const struct http_request *request, const char *name);

#endif
