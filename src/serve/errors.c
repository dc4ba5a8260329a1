/* Errors as each dialect writes them. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "serve/server.h"

/* What a status is called: by OpenAI, by Anthropic. */
static const struct {
    int status;
    const char *openai, *anthropic;
} kinds[] = {
    {400, "invalid_request_error", "invalid_request_error"}, {401, "authentication_error", "authentication_error"},
    {403, "permission_error", "permission_error"},           {404, "not_found_error", "not_found_error"},
    {405, "invalid_request_error", "invalid_request_error"}, {413, "invalid_request_error", "request_too_large"},
    {429, "rate_limit_error", "rate_limit_error"},           {500, "server_error", "api_error"},
    {503, "service_unavailable_error", "overloaded_error"},
};

static const char *kind_of(int status, enum error_dialect dialect)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].status == status)
            return dialect == DIALECT_OPENAI ? kinds[i].openai : kinds[i].anthropic;
    return status < 500 ? "invalid_request_error" : dialect == DIALECT_OPENAI ? "server_error" : "api_error";
}

static json_t *make_error(enum error_dialect dialect, int status, const char *parameter, const char *code, const char *message, const char *id)
{
    if (dialect == DIALECT_ANTHROPIC)
        return json_pack("{s:s, s:{s:s, s:s}, s:s}", "type", "error", "error", "type", kind_of(status, dialect), "message", message, "request_id", id);
    return json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", message, "type", kind_of(status, dialect), "param", parameter, "code", code);
}

void exchange_fail(struct exchange *exchange, enum error_dialect dialect, int status, const char *parameter, const char *code, const char *message)
{
    json_t *error = make_error(dialect, status, parameter, code, message, exchange->id);
    char *text = error ? json_dumps(error, JSON_COMPACT) : NULL;
    json_decref(error);
    if ((status == 429 || status == 503) && !strstr(exchange->extra_headers, "Retry-After")) {
        size_t used = strlen(exchange->extra_headers);
        snprintf(exchange->extra_headers + used, sizeof exchange->extra_headers - used, "Retry-After: %d\r\n", status == 429 ? 1 : 5);
    }
    if (text)
        exchange_respond(exchange, status, "application/json", text, strlen(text));
    else
        exchange_respond(exchange, 503, "text/plain", "out of memory", 13);
    mem_free(text);
}

int http_status_of(int code)
{
    switch (code) {
    case SAMPAN_EINVAL:
    case SAMPAN_ELIMIT:
    case SAMPAN_EFORMAT:
    case SAMPAN_EUNSUPPORTED: return 400;
    case SAMPAN_EBUSY: return 429;
    case SAMPAN_ENOMEM:
    case SAMPAN_ELOST: return 503;
    default: return 500;
    }
}
