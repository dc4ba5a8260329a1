#include "cli/session.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/terminal.h"

#define DEFAULT_MODEL "models/SmolLM2-135M-Instruct.Q4_1.gguf"

enum {
    PARENTS_SEARCHED = 4,    /* build/release/sampan lies two folders below the repository's root */
    POLL_MILLISECONDS = 200, /* a Ctrl-C that falls between looking and polling waits at most this long */
    PATH_LIMIT = 64 << 10,
};

int session_fail(void)
{
    return cli_fail("%s", sampan_error_message());
}

const char *format_bytes(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

/* ---- Which model. */

/* The default file beside or above the program itself. */
static bool find_beside_program(struct buffer *path)
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return false;
    program[length] = '\0';
    for (int i = 0; i < PARENTS_SEARCHED; i++) {
        char *slash = strrchr(program, '/');
        if (!slash)
            return false;
        *slash = '\0';
        buffer_clear(path);
        buffer_printf(path, "%s/%s", program, DEFAULT_MODEL);
        if (!path->failed && file_exists(path->data))
            return true;
    }
    return false;
}

int session_find_model(const struct arguments *arguments, struct buffer *path)
{
    const char *named = arguments->n_operands ? arguments->operands[0] : getenv("SAMPAN_MODEL");
    buffer_init(path, PATH_LIMIT);
    if (named && *named)
        buffer_append_string(path, named);
    else if (file_exists(DEFAULT_MODEL))
        buffer_append_string(path, DEFAULT_MODEL);
    else if (!find_beside_program(path))
        return cli_fail("no model was named and the default one (%s) is not here; ./run fetches it, or name a GGUF file or a model's folder", DEFAULT_MODEL);
    if (path->failed == SAMPAN_ENOMEM)
        return cli_fail("out of memory while looking for the model");
    if (path->failed)
        return cli_fail("the path of the model is longer than %d bytes", PATH_LIMIT);
    return EXIT_OK;
}

/* ---- Opening. */

int session_open_model(struct session *session, const struct arguments *arguments)
{
    struct buffer path;
    int status = session_find_model(arguments, &path);
    if (!status && sampan_model_open(path.data, &session->model))
        status = session_fail();
    buffer_free(&path);
    if (status)
        return status;
    session->model_description.size = sizeof session->model_description;
    return sampan_model_describe(session->model, &session->model_description) ? session_fail() : EXIT_OK;
}

int session_open_engine(struct session *session, const struct arguments *arguments, int32_t max_sequences)
{
    const struct option_value *values = arguments->values;
    struct progress_bar bar = {.label = "loading"};
    struct sampan_engine_options options = {
        .size = sizeof options,
        .chip = values[OPTION_CHIP].text,
        .threads = (int32_t)values[OPTION_THREADS].integer,
        .context = (int32_t)values[OPTION_CONTEXT].integer,
        .max_sequences = max_sequences,
        .segments = (int32_t)values[OPTION_SEGMENTS].integer,
        .cache_bytes = values[OPTION_CACHE_MEMORY].bytes,
        .cache_type = values[OPTION_CACHE_TYPE].text,
        .quantize = values[OPTION_QUANTIZE].text,
        .no_repack = values[OPTION_NO_REPACK].count != 0,
        .progress = progress_bar_report,
        .progress_self = &bar,
    };
    int code = sampan_engine_open(session->model, &options, &session->engine);
    progress_bar_end(&bar);
    if (code)
        return session_fail();
    session->engine_description.size = sizeof session->engine_description;
    return sampan_engine_describe(session->engine, &session->engine_description) ? session_fail() : EXIT_OK;
}

void session_close(struct session *session)
{
    sampan_engine_close(session->engine);
    sampan_model_close(session->model);
    *session = (struct session){0};
}

/* ---- One request. */

void answer_init(struct answer *answer)
{
    *answer = (struct answer){.end_token = -1};
    buffer_init(&answer->text, LIMIT_TEXT);
    buffer_init(&answer->tokens, (size_t)LIMIT_CONTEXT * sizeof(int32_t));
}

void answer_free(struct answer *answer)
{
    buffer_free(&answer->text);
    buffer_free(&answer->tokens);
}

static void take_event(struct answer *answer, const struct sampan_event *event)
{
    if (event->n_tokens || event->finish == SAMPAN_FINISH_END) {
        answer->ended_ns = clock_monotonic_ns();
        if (!answer->first_token_ns)
            answer->first_token_ns = answer->ended_ns;
        buffer_append(&answer->tokens, event->tokens, (size_t)event->n_tokens * sizeof *event->tokens);
    }
    buffer_append(&answer->text, event->text, event->text_length);
    answer->finish = event->finish;
    answer->end_token = event->end_token;
    answer->n_prompt_tokens = event->n_prompt_tokens;
    answer->n_cached_tokens = event->n_cached_tokens;
    answer->n_generated_tokens = event->n_generated_tokens;
}

int session_answer(struct session *session, const struct sampan_request *request, void (*on_event)(void *self, const struct sampan_event *event), void *self,
                   struct answer *answer)
{
    uint64_t id;
    bool cancelled = false;
    answer->started_ns = answer->ended_ns = clock_monotonic_ns();
    int code = sampan_submit(session->engine, request, &id);
    if (code) {
        session_fail();
        return code;
    }
    while (!code && answer->finish == SAMPAN_FINISH_NONE) {
        struct pollfd ready = {.fd = sampan_descriptor(session->engine), .events = POLLIN};
        struct sampan_event event = {.size = sizeof event};
        poll(&ready, 1, POLL_MILLISECONDS);
        if (!cancelled && (interrupts_pending() || terminal_output_is_gone())) {
            sampan_cancel(session->engine, id);
            cancelled = true;
        }
        code = sampan_next_event(session->engine, 0, &event);
        if (code == SAMPAN_ETIMEOUT) {
            code = 0;
            continue;
        }
        if (code)
            break;
        take_event(answer, &event);
        if (on_event)
            on_event(self, &event);
        if (event.finish == SAMPAN_FINISH_ERROR) {
            code = event.code ? event.code : SAMPAN_EINTERNAL;
            cli_fail("%s", event.message);
        }
    }
    sampan_release(session->engine, id);
    if (!code && (answer->text.failed || answer->tokens.failed)) {
        code = answer->text.failed ? answer->text.failed : answer->tokens.failed;
        cli_fail("keeping an answer: %s", error_code_name(code));
    }
    if (answer->finish == SAMPAN_FINISH_NONE && code)
        session_fail();
    return code;
}
