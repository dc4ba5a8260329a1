/* What can be called, as a table, and the way from a request to its handler. */
#include <stdio.h>
#include <string.h>

#include "serve/api_keys.h"
#include "serve/endpoints.h"
#include "serve/server.h"

const struct route routes[] = {
    {"POST", "/v1/chat/completions", openai_chat, false, DIALECT_OPENAI},
    {"POST", "/v1/completions", openai_completions, false, DIALECT_OPENAI},
    {"GET", "/v1/models", models_list, false, DIALECT_OPENAI},
    {"GET", "/v1/models/*", models_get, false, DIALECT_OPENAI},
    {"POST", "/tokenize", tokenize, false, DIALECT_OPENAI},
    {"POST", "/detokenize", detokenize, false, DIALECT_OPENAI},
    {"POST", "/apply_template", apply_template, false, DIALECT_OPENAI},
    {"GET", "/health", health, true, DIALECT_OPENAI},
    {"GET", "/version", version, true, DIALECT_OPENAI},
    {"GET", "/metrics", metrics_page, true, DIALECT_OPENAI},
    {NULL, NULL, NULL, false, DIALECT_OPENAI},
};

/* What stands for the star, "" where there is none; NULL: another path. */
static const char *match(const char *pattern, const char *path)
{
    size_t length = strcspn(pattern, "*");
    if (strncmp(pattern, path, length) != 0)
        return NULL;
    const char *rest = path + length;
    if (!pattern[length])
        return *rest ? NULL : rest;
    return *rest && !strchr(rest, '/') ? rest : NULL;
}

static bool method_fits(const char *of_route, const char *method)
{
    return strcmp(of_route, method) == 0 || (strcmp(of_route, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* "GET, HEAD" of every route with this path, into `list`. */
static void list_methods(const char *path, char *list, size_t size)
{
    size_t used = 0;
    *list = '\0';
    for (const struct route *route = routes; route->method && used < size; route++)
        if (match(route->path, path))
            used += (size_t)snprintf(list + used, size - used, "%s%s", used ? ", " : "", strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method);
}

/* A browser asks before it sends a request of another origin. */
static void answer_preflight(struct exchange *exchange, const char *methods)
{
    snprintf(exchange->extra_headers, sizeof exchange->extra_headers,
             "Allow: %s, OPTIONS\r\nAccess-Control-Allow-Methods: %s, OPTIONS\r\nAccess-Control-Allow-Headers: *\r\n", methods, methods);
    exchange_respond(exchange, 204, NULL, NULL, 0);
}

static void refuse_method(struct exchange *exchange, const char *methods)
{
    char message[256];
    snprintf(message, sizeof message, "%.20s does not work on this path; it knows %s", exchange->request->method, methods);
    snprintf(exchange->extra_headers, sizeof exchange->extra_headers, "Allow: %s\r\n", methods);
    exchange_fail(exchange, DIALECT_OPENAI, 405, NULL, "method_not_allowed", message);
}

static bool may_pass(struct exchange *exchange, const struct route *route)
{
    struct server *server = exchange->server;
    if (!server->keys || route->open)
        return true;
    exchange->key = api_keys_find(server->keys, exchange->request);
    if (exchange->key >= 0)
        return true;
    exchange_fail(exchange, (enum error_dialect)route->dialect, 401, NULL, "invalid_api_key",
                  "this server wants an API key: Authorization: Bearer KEY, or x-api-key: KEY");
    return false;
}

void routes_dispatch(struct exchange *exchange)
{
    const struct http_request *request = exchange->request;
    char methods[64];
    for (const struct route *route = routes; route->method; route++) {
        const char *rest = match(route->path, request->path);
        if (!rest || !method_fits(route->method, request->method))
            continue;
        if (may_pass(exchange, route))
            route->handle(exchange, rest);
        return;
    }
    list_methods(request->path, methods, sizeof methods);
    if (!*methods)
        exchange_fail(exchange, DIALECT_OPENAI, 404, NULL, "not_found", "there is nothing at this path");
    else if (exchange->server->options.cors_origin && strcmp(request->method, "OPTIONS") == 0)
        answer_preflight(exchange, methods);
    else
        refuse_method(exchange, methods);
}
