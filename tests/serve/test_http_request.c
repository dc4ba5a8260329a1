/* Requests as bytes: what is read, and what is refused because two readers could read it differently. Everything is fed whole, byte by byte, and cut at every
 * place: the outcome is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "serve/http_request.h"

#define HOST "Host: a\r\n"

static const struct http_limits limits = {.head = 1024, .body = 100};

/* Feeds `length` bytes in pieces of at most `piece`; returns how many were used. */
static size_t feed(struct http_parser *parser, const char *bytes, size_t length, size_t piece)
{
    size_t used = 0;
    while (parser->state != PARSER_COMPLETE && parser->state != PARSER_FAILED) {
        size_t n = length - used < piece ? length - used : piece;
        if (!n && parser->state != PARSER_HEAD)
            break;
        used += http_parser_feed(parser, bytes + used, n);
    }
    return used;
}

static const struct {
    const char *bytes;
    const char *method, *path, *query, *body;
    bool keep_alive;
} good[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", "", true},
    {"\r\nGET /a/b?c=d&e HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "GET", "/a/b", "c=d&e", "", false},
    {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "", "", false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", "", true},
    {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "POST", "/x", "", "hello", true},
    {"POST /x HTTP/1.1\r\n" HOST "Content-Length:0\r\n\r\n", "POST", "/x", "", "", true},
    {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n", "POST", "/x", "", "hello!", true},
    {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", "POST", "/x", "", "0123456789", true},
    {"GET http://a.example/p?q HTTP/1.1\r\n" HOST "\r\n", "GET", "/p", "q", "", true},
    {"OPTIONS * HTTP/1.1\r\n" HOST "X-Empty:\r\n\r\n", "OPTIONS", "*", "", "", true},
};

static void requests_are_read_however_they_come_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t length = strlen(good[i].bytes);
        for (size_t piece = 1; piece <= length; piece++) {
            struct http_parser parser;
            http_parser_init(&parser, &limits);
            size_t used = feed(&parser, good[i].bytes, length, piece);
            if (parser.state != PARSER_COMPLETE || used != length)
                fail_msg("request %zu in pieces of %zu: %d %s", i, piece, parser.status, parser.problem ? parser.problem : "incomplete");
            assert_string_equal(parser.request.method, good[i].method);
            assert_string_equal(parser.request.path, good[i].path);
            assert_string_equal(parser.request.query, good[i].query);
            assert_string_equal(parser.request.body.data ? parser.request.body.data : "", good[i].body);
            assert_int_equal(parser.request.keep_alive, good[i].keep_alive);
            http_parser_free(&parser);
        }
    }
}

static const struct {
    int status;
    const char *bytes;
} bad[] = {
    {400, "GET / HTTP/1.1\r\n\r\n"},              /* no Host */
    {400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"}, /* two */
    {400, "GET / HTTP/1.1\n" HOST "\r\n"},        /* bare line feed */
    {400, "GET / HTTP/1.1\r\n" HOST "A: b\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n"}, /* folded */
    {400, "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n"},      /* space before the colon */
    {400, "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST "A b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n"},
    {400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /a b HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET /\x7f HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET a HTTP/1.1\r\n" HOST "\r\n"},
    {400, "G(T / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET / FTP/1.1\r\n" HOST "\r\n"},
    {505, "GET / HTTP/2.0\r\n" HOST "\r\n"},
    {400, "\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\n" HOST "Content-Length: 101\r\n\r\n"}, /* before its body is read */
    {413, "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999999\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n123456789\r\n"},
    {413, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
          "32\r\n01234567890123456789012345678901234567890123456789\r\n32\r\n01234567890123456789012345678901234567890123456789\r\n1\r\nx\r\n"},
    {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n"},
    {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n"},
    {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n"},
    {415, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx"},
    {417, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nExpect: tea\r\n\r\nx"},
};

static void what_two_readers_could_read_differently_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t length = strlen(bad[i].bytes);
        for (size_t piece = 1; piece <= length; piece += piece < 8 ? 1 : 13) {
            struct http_parser parser;
            http_parser_init(&parser, &limits);
            feed(&parser, bad[i].bytes, length, piece);
            if (parser.state != PARSER_FAILED || parser.status != bad[i].status || !parser.problem)
                fail_msg("request %zu in pieces of %zu: state %d status %d, expected %d", i, piece, (int)parser.state, parser.status, bad[i].status);
            http_parser_free(&parser);
        }
    }
}

static void a_nul_in_the_head_is_refused(void **state)
{
    (void)state;
    static const char bytes[] = "GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n";
    struct http_parser parser;
    http_parser_init(&parser, &limits);
    feed(&parser, bytes, sizeof bytes - 1, 64);
    assert_int_equal(parser.status, 400);
    http_parser_free(&parser);
}

static void heads_are_bounded(void **state)
{
    (void)state;
    struct http_parser parser;
    char line[64];
    http_parser_init(&parser, &limits);
    feed(&parser, "GET / HTTP/1.1\r\n" HOST, 25, 25);
    for (int i = 0; i < 100 && parser.state == PARSER_READING_HEAD; i++) {
        int n = snprintf(line, sizeof line, "Name-%d: some value\r\n", i);
        feed(&parser, line, (size_t)n, (size_t)n);
    }
    assert_int_equal(parser.status, 431);
    http_parser_free(&parser);
}

/* What follows a request is not touched: it is the next one. */
static void a_request_ends_where_it_ends(void **state)
{
    (void)state;
    static const char two[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nabGET /second HTTP/1.1\r\n" HOST "\r\n";
    struct http_parser parser;
    http_parser_init(&parser, &limits);
    size_t first = feed(&parser, two, sizeof two - 1, sizeof two);
    assert_int_equal(parser.state, PARSER_COMPLETE);
    http_parser_reset(&parser);
    size_t second = feed(&parser, two + first, sizeof two - 1 - first, sizeof two);
    assert_int_equal(parser.state, PARSER_COMPLETE);
    assert_string_equal(parser.request.path, "/second");
    assert_int_equal(first + second, sizeof two - 1);
    http_parser_free(&parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_however_they_come_in), cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(a_nul_in_the_head_is_refused),           cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(a_request_ends_where_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
