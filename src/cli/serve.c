/* sampan serve: an HTTP server that speaks OpenAI's API. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "serve/server.h"

#define DEFAULT_PORT 8080
#define DEFAULT_SEQUENCES 16

/* What clients call the model: its file's or folder's name without ".gguf". Freed with mem_free. */
static char *name_of_path(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t begin = length;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (length - begin > 5 && strncmp(path + length - 5, ".gguf", 5) == 0)
        length -= 5;
    return mem_strndup(path + begin, length - begin);
}

static struct server_options read_options(const struct option_value *values, const char *name)
{
    return (struct server_options){
        .host = values[OPTION_HOST].text,
        .port = values[OPTION_PORT].count ? (int32_t)values[OPTION_PORT].integer : DEFAULT_PORT,
        .socket_path = values[OPTION_UNIX].text,
        .model_name = values[OPTION_MODEL_NAME].count ? values[OPTION_MODEL_NAME].text : name,
        .cors_origin = values[OPTION_CORS].text,
        .keys_file = values[OPTION_API_KEYS].text,
        .max_connections = (int32_t)values[OPTION_MAX_CONNECTIONS].integer,
        .drain_seconds = (int32_t)values[OPTION_DRAIN].integer,
    };
}

static int serve(struct session *session, const struct server_options *options)
{
    struct server *server = NULL;
    struct error err;
    if (server_create(session->model, session->engine, options, &server, &err))
        return cli_fail("%s", err.message);
    printf("%s\n", server_address(server));
    fflush(stdout);
    fprintf(stderr, "sampan: serving %s on %s; %d requests at once, %d tokens each; Ctrl-C ends it\n", options->model_name, session->engine_description.chip,
            (int)session->engine_description.max_sequences, (int)session->engine_description.context);
    int status = server_run(server, &err);
    server_free(server);
    return status ? cli_fail("%s", err.message) : EXIT_OK;
}

static int run_serve(const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    struct session session = {0};
    int32_t sequences = values[OPTION_MAX_SEQUENCES].count ? (int32_t)values[OPTION_MAX_SEQUENCES].integer : DEFAULT_SEQUENCES;
    if (values[OPTION_UNIX].count && (values[OPTION_HOST].count || values[OPTION_PORT].count))
        return cli_usage("--unix goes without --host and --port");
    signal(SIGPIPE, SIG_IGN);
    int status = session_open_model(&session, arguments);
    if (!status && !session.model_description.has_tokenizer)
        status = cli_fail("'%s' has no tokenizer, so there is no text to serve", session.model_description.path);
    if (!status)
        status = session_open_engine(&session, arguments, sequences);
    char *name = status ? NULL : name_of_path(session.model_description.path);
    if (!status && !name)
        status = cli_fail("out of memory while beginning");
    if (!status) {
        struct server_options options = read_options(values, name);
        status = serve(&session, &options);
    }
    mem_free(name);
    session_close(&session);
    return status;
}

static const struct option_row serve_options[] = {
    {OPTION_HOST, "host", OPTION_IS_TEXT, "ADDRESS", "numeric address to listen on (default: 127.0.0.1; 0.0.0.0: all)", 0, 0, false},
    {OPTION_PORT, "port", OPTION_IS_INTEGER, "N", "port to listen on (default: 8080; 0: one that is free)", 0, 65535, false},
    {OPTION_UNIX, "unix", OPTION_IS_TEXT, "PATH", "listen on a Unix socket instead", 0, 0, false},
    {OPTION_MODEL_NAME, "model-name", OPTION_IS_TEXT, "NAME", "what clients call the model (default: the name of its file)", 0, 0, false},
    {OPTION_API_KEYS, "api-keys", OPTION_IS_TEXT, "FILE", "ask for a key; lines 'name key'", 0, 0, false},
    {OPTION_CORS, "cors", OPTION_IS_TEXT, "ORIGIN", "let pages of this origin call (*: of any)", 0, 0, false},
    {OPTION_MAX_SEQUENCES, "max-sequences", OPTION_IS_INTEGER, "N", "answers computed at once (default: 16)", 1, LIMIT_SEQUENCES, false},
    {OPTION_MAX_CONNECTIONS, "max-connections", OPTION_IS_INTEGER, "N", "connections at once (default: 1024)", 1, 1000000, false},
    {OPTION_DRAIN, "drain", OPTION_IS_INTEGER, "SECONDS", "answers under way may take so long after SIGTERM (default: 30)", 1, 86400, false},
    OPTION_ROWS_ENGINE,
    OPTION_ROWS_END,
};

static const char *const serve_examples[] = {
    "sampan serve                                  # the default model on http://127.0.0.1:8080",
    "sampan serve model.gguf --host 0.0.0.0 --port 80 --api-keys keys.txt",
    "sampan serve model.gguf --unix /run/sampan.sock",
    "curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'",
    NULL,
};

const struct command serve_command = {
    "serve",
    "serve a model to clients of OpenAI's API",
    "[MODEL]",
    0,
    1,
    serve_options,
    serve_examples,
    "Prints the URL once it listens. Endpoints: /v1/chat/completions, /v1/completions, /v1/models, /tokenize, /detokenize, /apply_template, /health, "
    "/metrics,\n"
    "/version. SIGTERM and Ctrl-C let answers under way end and take no new ones; a second one ends it at once.",
    run_serve,
};
