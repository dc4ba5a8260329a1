/* The history of what was typed in chats, kept between them: $XDG_STATE_HOME/sampan/history (default ~/.local/state/sampan/history), readable by its
 * owner alone.
 *
 * One entry a line, "\\" and newlines written as "\\\\" and "\\n". Each is appended when it is typed, so several chats at once keep all of theirs; a file that
 * has grown long is cut to its last entries when it is read. Nothing here ever fails a chat: without a home there is no history. */
#ifndef CLI_HISTORY_H
#define CLI_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct history {
    struct buffer path; /* empty: none is kept */
};

void history_init(struct history *history, bool keep);
void history_free(struct history *history);

/* Hands each entry to `take`, oldest first. */
void history_load(const struct history *history, void (*take)(void *self, const char *text, size_t length), void *self);
void history_append(const struct history *history, const char *text, size_t length);

#endif
