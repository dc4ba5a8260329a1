/* Messages typed at a terminal: one line, or several. A line that ends with a backslash goes on in the next; a line that begins with three quotes opens a block
 * that ends with three quotes at the end of a line; Alt-Enter, where the terminal can, puts a newline into the line itself. */
#ifndef CLI_MESSAGE_READER_H
#define CLI_MESSAGE_READER_H

#include "cli/history.h"
#include "cli/line_editor.h"
#include "cli/terminal.h"

struct message_reader {
    struct line_editor *editor; /* NULL: plain lines */
    struct line_reader plain;
    struct history history;
    struct buffer message;
};

void message_reader_init(struct message_reader *reader, bool keep_history);
void message_reader_free(struct message_reader *reader);

/* The next message, NUL-terminated, with what stands there already (`initial`, may be NULL; a plain terminal shows none). It lives until the next call.
 * *is_block: it was written in quotes, so it is no command. LINE_INTERRUPTED: what was typed so far is dropped; *length is 0
 * where that was nothing. */
enum line_status message_reader_next(struct message_reader *reader, const char *initial, const char **message, size_t *length, bool *is_block);

#endif
