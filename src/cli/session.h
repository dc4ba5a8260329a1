/* What commands share when they work with a model: which file, opening it with the options given, and one request at a time to its end. All through
 * sampan.h. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "base/buffer.h"
#include "cli/command.h"
#include "sampan.h"

struct session {
    sampan_model *model;
    sampan_engine *engine;
    struct sampan_model_description model_description;
    struct sampan_engine_description engine_description;
};

/* The model named, or the default: environment SAMPAN_MODEL, models/<default file> below the working folder, or below the repository that the program was
 * built in. EXIT_OK and the path in `path` (NUL-terminated), or the exit code after a message. */
int session_find_model(const struct arguments *arguments, struct buffer *path);

/* Opens the model (first operand or the default). Exit code. */
int session_open_model(struct session *session, const struct arguments *arguments);
/* ... and an engine for at most max_sequences requests at once. Shows progress; Ctrl-C stops it where interrupts are caught. */
int session_open_engine(struct session *session, const struct arguments *arguments, int32_t max_sequences);
void session_close(struct session *session);

/* Prints the library's last message; an exit code. */
int session_fail(void);

/* ---- One request. */
struct answer {
    struct buffer text;
    struct buffer tokens; /* int32_t */
    int32_t finish;       /* enum sampan_finish */
    int32_t end_token;    /* -1: none */
    int32_t n_prompt_tokens, n_cached_tokens, n_generated_tokens;
    uint64_t started_ns, first_token_ns, ended_ns; /* clock_monotonic_ns */
};
void answer_init(struct answer *answer);
void answer_free(struct answer *answer);

/* Runs the request to its end. Each event is handed to on_event (may be NULL) as it comes; Ctrl-C and a lost output cancel it. 0 or a code of sampan_errors.h,
 * whose message was printed. */
int session_answer(struct session *session, const struct sampan_request *request, void (*on_event)(void *self, const struct sampan_event *event), void *self,
                   struct answer *answer);

/* A number of bytes for a person, in `text`. */
const char *format_bytes(uint64_t bytes, char text[32]);

#endif
