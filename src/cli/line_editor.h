/* A line typed at a terminal, with the keys people expect: arrows, history, Ctrl-R, Alt-Enter for a new line within it; by libedit (~/.editrc is respected).
 * Pasted text of several lines stays one line of input. Ctrl-C, Ctrl-Z and a window that changes its size are minded. */
#ifndef CLI_LINE_EDITOR_H
#define CLI_LINE_EDITOR_H

#include <stddef.h>

#include "cli/terminal.h"

struct line_editor;

/* NULL where the terminal cannot (TERM is not set or "dumb") or memory is out: read plain lines then. */
struct line_editor *line_editor_create(void);
void line_editor_free(struct line_editor *editor);

/* Adds an entry to what the arrows go back to. UTF-8; may contain newlines. */
void line_editor_remember(struct line_editor *editor, const char *text, size_t length);

/* Asks with a prompt (ASCII); `initial` (NULL: none) stands there already, to be changed. *line is UTF-8 without the last newline and lives until the next
 * call. LINE_END: Ctrl-D on an empty line, or the terminal is gone. LINE_INTERRUPTED: *length tells how much had been typed. */
enum line_status line_editor_read(struct line_editor *editor, const char *prompt, const char *initial, const char **line, size_t *length);

#endif
