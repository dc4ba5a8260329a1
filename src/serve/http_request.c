#include "serve/http_request.h"

#include <string.h>
#include <strings.h>

enum chunk_state { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, TRAILER_START, TRAILER_LINE, TRAILER_LF, LAST_LF };

#define MAX_CHUNK_LINE 256 /* bytes of a size with its extensions */
#define MAX_TRAILER 8192   /* bytes of all trailer lines */
#define MAX_EMPTY_LINES 4  /* bytes in front of a request line: some clients send a CRLF too many */

/* ---- Life. */

void http_parser_init(struct http_parser *parser, const struct http_limits *limits)
{
    *parser = (struct http_parser){.limits = *limits};
    buffer_init(&parser->head, limits->head);
    buffer_init(&parser->request.body, limits->body);
}

void http_parser_free(struct http_parser *parser)
{
    buffer_free(&parser->head);
    buffer_free(&parser->request.body);
}

void http_parser_reset(struct http_parser *parser)
{
    struct http_limits limits = parser->limits;
    http_parser_free(parser); /* an idle connection holds no memory for requests */
    http_parser_init(parser, &limits);
}

static void fail(struct http_parser *parser, int status, const char *problem)
{
    parser->state = PARSER_FAILED;
    parser->status = status;
    parser->problem = problem;
}

/* ---- Characters. */

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool all_tokens(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (!is_token(*text))
            return false;
    return true;
}

static int hexadecimal(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* ---- The head. */

/* Whether the comma-separated list holds the word, in any case. */
static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    while (*list) {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, " \t,");
        if (n == length && strncasecmp(list, word, n) == 0)
            return true;
        list += n;
    }
    return false;
}

/* "METHOD /path?query HTTP/1.1"; an absolute target (as proxies send it) loses its scheme and host. */
static void read_request_line(struct http_parser *parser, char *line)
{
    struct http_request *request = &parser->request;
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
    if (!target || !version || strchr(version + 1, ' ')) {
        fail(parser, 400, "the request line is not 'METHOD /path HTTP/1.1'");
        return;
    }
    *target++ = *version++ = '\0';
    if (!all_tokens(line))
        fail(parser, 400, "the method has characters that no method has");
    else if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8 || version[6] != '.')
        fail(parser, 400, "the request line does not end with HTTP/1.1");
    else if (version[5] != '1' || (version[7] != '0' && version[7] != '1'))
        fail(parser, 505, "the version is not HTTP/1.0 or HTTP/1.1");
    for (const char *c = target; *c && parser->state != PARSER_FAILED; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7F || *c == '#')
            fail(parser, 400, "the target has characters that must be escaped");
    if (parser->state == PARSER_FAILED)
        return;
    request->minor_version = version[7] - '0';
    request->method = line;
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        target = strchr(strstr(target, "//") + 2, '/');
        target = target ? target : "/";
    }
    if (*target != '/' && strcmp(target, "*") != 0) {
        fail(parser, 400, "the target is no path");
        return;
    }
    char *question = strchr(target, '?');
    request->path = target;
    request->query = question ? question + 1 : "";
    if (question)
        *question = '\0';
}

static void read_header_line(struct http_parser *parser, char *line)
{
    struct http_request *request = &parser->request;
    char *colon = strchr(line, ':');
    if (*line == ' ' || *line == '\t') {
        fail(parser, 400, "a header is folded over two lines");
        return;
    }
    if (colon)
        *colon = '\0';
    if (!colon || !all_tokens(line)) {
        fail(parser, 400, "a header line is not 'name: value'");
        return;
    }
    if (request->n_headers == HTTP_MAX_HEADERS) {
        fail(parser, 431, "there are too many headers");
        return;
    }
    for (char *c = line; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 32) : *c;
    char *value = colon + 1 + strspn(colon + 1, " \t"), *end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    for (const char *c = value; *c; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7F)
            fail(parser, 400, "a header's value has control characters");
    request->headers[request->n_headers++] = (struct http_header){line, value};
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    for (int i = 0; i < request->n_headers; i++)
        if (strcmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

static int count_headers(const struct http_request *request, const char *name)
{
    int n = 0;
    for (int i = 0; i < request->n_headers; i++)
        n += strcmp(request->headers[i].name, name) == 0;
    return n;
}

static void read_content_length(struct http_parser *parser, const char *text)
{
    uint64_t length = 0;
    if (!*text)
        fail(parser, 400, "Content-Length is empty");
    for (; *text && parser->state != PARSER_FAILED; text++) {
        if (*text < '0' || *text > '9')
            fail(parser, 400, "Content-Length is no number");
        else
            length = length > UINT64_MAX / 16 ? length : length * 10 + (uint64_t)(*text - '0');
    }
    if (parser->state != PARSER_FAILED && length > parser->limits.body)
        fail(parser, 413, "the body is longer than this server takes");
    parser->request.content_length = length;
    parser->request.has_body = length > 0;
}

/* How long the body is, said exactly once. */
static void frame_body(struct http_parser *parser)
{
    struct http_request *request = &parser->request;
    const char *length = http_request_header(request, "content-length"), *coding = http_request_header(request, "transfer-encoding");
    if (count_headers(request, "content-length") > 1 || count_headers(request, "transfer-encoding") > 1 || (length && coding)) {
        fail(parser, 400, "the length of the body is given more than once");
    } else if (coding && request->minor_version == 0) {
        fail(parser, 400, "HTTP/1.0 has no Transfer-Encoding");
    } else if (coding && strcasecmp(coding, "chunked") != 0) {
        fail(parser, 501, "of the transfer codings only chunked works");
    } else if (coding) {
        request->has_body = request->chunked = true;
    } else if (length) {
        read_content_length(parser, length);
    }
}

static void check_head(struct http_parser *parser)
{
    struct http_request *request = &parser->request;
    const char *connection = http_request_header(request, "connection"), *expect = http_request_header(request, "expect");
    const char *encoding = http_request_header(request, "content-encoding");
    int hosts = count_headers(request, "host");
    request->keep_alive = request->minor_version == 1 ? !connection || !list_has(connection, "close") : connection && list_has(connection, "keep-alive");
    if (hosts > 1 || (hosts == 0 && request->minor_version == 1)) {
        fail(parser, 400, "HTTP/1.1 needs exactly one Host header");
    } else if (expect && strcasecmp(expect, "100-continue") != 0) {
        fail(parser, 417, "of the expectations only 100-continue works");
    } else if (encoding && strcasecmp(encoding, "identity") != 0) {
        fail(parser, 415, "compressed bodies are not taken");
    } else {
        frame_body(parser);
        request->expects_continue = expect && request->has_body && request->minor_version == 1;
    }
}

/* The head is complete and ends with an empty line: cuts it into lines. */
static void read_head(struct http_parser *parser)
{
    char *line = parser->head.data;
    parser->state = PARSER_HEAD;
    if (memchr(line, '\0', parser->head.length)) {
        fail(parser, 400, "the head has a NUL");
        return;
    }
    for (bool first = true; parser->state != PARSER_FAILED; first = false) {
        char *end = strstr(line, "\r\n");
        if (!end || end == line)
            break;
        *end = '\0';
        if (strchr(line, '\n') || strchr(line, '\r'))
            fail(parser, 400, "a line ends without carriage return and line feed");
        else if (first)
            read_request_line(parser, line);
        else
            read_header_line(parser, line);
        line = end + 2;
    }
    if (parser->state != PARSER_FAILED)
        check_head(parser);
}

/* Takes bytes up to the empty line. */
static size_t feed_head(struct http_parser *parser, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        size_t n = parser->head.length;
        if (n == 0 && (c == '\r' || c == '\n')) { /* in front of the request line */
            if (++parser->line_length > MAX_EMPTY_LINES)
                fail(parser, 400, "empty lines where a request should be");
            if (parser->state == PARSER_FAILED)
                return i + 1;
            continue;
        }
        if (c == '\n' && (n == 0 || parser->head.data[n - 1] != '\r')) {
            fail(parser, 400, "a line ends without carriage return and line feed");
            return i + 1;
        }
        if (buffer_append_char(&parser->head, c)) {
            fail(parser, parser->head.failed == SAMPAN_ENOMEM ? 503 : 431, "the head of the request is longer than this server takes");
            return i + 1;
        }
        if (c == '\n' && n >= 3 && memcmp(parser->head.data + n - 3, "\r\n\r", 3) == 0) {
            read_head(parser);
            return i + 1;
        }
    }
    return length;
}

/* ---- The body. */

static bool append_body(struct http_parser *parser, const char *bytes, size_t length)
{
    if (length && buffer_append(&parser->request.body, bytes, length))
        fail(parser, parser->request.body.failed == SAMPAN_ENOMEM ? 503 : 413, "the body is longer than this server takes");
    return parser->state != PARSER_FAILED;
}

static size_t feed_plain_body(struct http_parser *parser, const char *bytes, size_t length)
{
    uint64_t left = parser->request.content_length - parser->request.body.length;
    size_t n = length < left ? length : (size_t)left;
    if (append_body(parser, bytes, n) && n == left)
        parser->state = PARSER_COMPLETE;
    return n;
}

/* Size lines: hexadecimal digits, perhaps extensions that nobody uses. */
static void take_size_character(struct http_parser *parser, char c)
{
    int digit = hexadecimal(c);
    if (++parser->line_length > MAX_CHUNK_LINE) {
        fail(parser, 400, "a chunk's size line is too long");
    } else if (parser->chunk_state == CHUNK_SIZE && digit >= 0) {
        if (++parser->size_digits > 8)
            fail(parser, 413, "a chunk is longer than this server takes");
        parser->chunk_left = parser->chunk_left * 16 + (uint64_t)digit;
    } else if (parser->chunk_state == CHUNK_SIZE && !parser->size_digits) {
        fail(parser, 400, "a chunk does not begin with its size in hexadecimal digits");
    } else if (c == '\r') {
        parser->chunk_state = CHUNK_SIZE_LF;
    } else if (parser->chunk_state == CHUNK_SIZE && c != ';') {
        fail(parser, 400, "a chunk's size is followed by something else than an extension");
    } else if ((unsigned char)c < ' ' && c != '\t') {
        fail(parser, 400, "a chunk's extension has control characters");
    } else {
        parser->chunk_state = CHUNK_EXTENSION;
    }
}

/* Trailers are read over. */
static void take_trailer_character(struct http_parser *parser, char c)
{
    if (++parser->line_length > MAX_TRAILER)
        fail(parser, 431, "the trailers are longer than this server takes");
    else if (parser->chunk_state == TRAILER_START && c == '\r')
        parser->chunk_state = LAST_LF;
    else if (c == '\n')
        fail(parser, 400, "a line ends without carriage return and line feed");
    else
        parser->chunk_state = c == '\r' ? TRAILER_LF : TRAILER_LINE;
}

static void take_line_end(struct http_parser *parser, char c, char expected, int next)
{
    if (c != expected)
        fail(parser, 400, "a chunk does not end where its size says");
    else
        parser->chunk_state = next;
}

static void begin_chunk(struct http_parser *parser)
{
    parser->chunk_left = 0;
    parser->size_digits = 0;
    parser->line_length = 0;
}

static void take_chunk_character(struct http_parser *parser, char c)
{
    switch (parser->chunk_state) {
    case CHUNK_SIZE:
    case CHUNK_EXTENSION: take_size_character(parser, c); break;
    case CHUNK_SIZE_LF:
        take_line_end(parser, c, '\n', parser->chunk_left ? CHUNK_DATA : TRAILER_START);
        parser->line_length = 0;
        break;
    case CHUNK_DATA_CR: take_line_end(parser, c, '\r', CHUNK_DATA_LF); break;
    case CHUNK_DATA_LF:
        take_line_end(parser, c, '\n', CHUNK_SIZE);
        begin_chunk(parser);
        break;
    case TRAILER_START:
    case TRAILER_LINE: take_trailer_character(parser, c); break;
    case TRAILER_LF: take_line_end(parser, c, '\n', TRAILER_START); break;
    default:
        take_line_end(parser, c, '\n', LAST_LF);
        if (parser->state != PARSER_FAILED)
            parser->state = PARSER_COMPLETE;
    }
}

static size_t feed_chunked_body(struct http_parser *parser, const char *bytes, size_t length)
{
    size_t used = 0;
    while (used < length && parser->state == PARSER_READING_BODY) {
        if (parser->chunk_state != CHUNK_DATA) {
            take_chunk_character(parser, bytes[used++]);
            continue;
        }
        size_t n = length - used < parser->chunk_left ? length - used : (size_t)parser->chunk_left;
        append_body(parser, bytes + used, n);
        used += n;
        parser->chunk_left -= n;
        if (!parser->chunk_left)
            parser->chunk_state = CHUNK_DATA_CR;
    }
    return used;
}

size_t http_parser_feed(struct http_parser *parser, const char *bytes, size_t length)
{
    size_t used = 0;
    if (parser->state == PARSER_HEAD) {
        parser->state = parser->request.has_body ? PARSER_READING_BODY : PARSER_COMPLETE;
        begin_chunk(parser);
    }
    if (parser->state == PARSER_READING_HEAD)
        used = feed_head(parser, bytes, length);
    else if (parser->state == PARSER_READING_BODY)
        used = parser->request.chunked ? feed_chunked_body(parser, bytes, length) : feed_plain_body(parser, bytes, length);
    parser->n_seen += used;
    return used;
}
