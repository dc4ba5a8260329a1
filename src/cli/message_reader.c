#include "cli/message_reader.h"

#include <string.h>
#include <unistd.h>

enum { MESSAGE_LIMIT = 16 << 20 };

static const char quotes[] = "\"\"\"";

static void remember(void *self, const char *text, size_t length)
{
    struct message_reader *reader = self;
    if (reader->editor)
        line_editor_remember(reader->editor, text, length);
}

void message_reader_init(struct message_reader *reader, bool keep_history)
{
    *reader = (struct message_reader){.editor = line_editor_create()};
    line_reader_init(&reader->plain, STDIN_FILENO);
    buffer_init(&reader->message, MESSAGE_LIMIT);
    history_init(&reader->history, keep_history && reader->editor);
    history_load(&reader->history, remember, reader);
}

void message_reader_free(struct message_reader *reader)
{
    line_editor_free(reader->editor);
    line_reader_free(&reader->plain);
    history_free(&reader->history);
    buffer_free(&reader->message);
}

static enum line_status read_line(struct message_reader *reader, const char *prompt, const char *initial, const char **line, size_t *length)
{
    if (reader->editor)
        return line_editor_read(reader->editor, prompt, initial, line, length);
    terminal_style(STYLE_BOLD);
    terminal_print("%s", prompt);
    terminal_style(STYLE_PLAIN);
    return line_reader_next(&reader->plain, line, length);
}

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t n = strlen(end);
    return length >= n && memcmp(text + length - n, end, n) == 0;
}

/* The rest of a block, whose first line (without the quotes) is given. */
static enum line_status read_block(struct message_reader *reader, const char *line, size_t length)
{
    enum line_status status = LINE_READ;
    bool first = true;
    for (;;) {
        bool ends = ends_with(line, length, quotes);
        if (!first && !(ends && length == strlen(quotes)))
            buffer_append_char(&reader->message, '\n');
        buffer_append(&reader->message, line, ends ? length - strlen(quotes) : length);
        first = first && !length; /* nothing behind the opening quotes: the text begins in the next line */
        if (ends)
            return LINE_READ;
        status = read_line(reader, "... ", NULL, &line, &length);
        if (status == LINE_END && reader->message.length)
            return LINE_READ; /* Ctrl-D ends the block too */
        if (status != LINE_READ)
            return status;
    }
}

/* Further lines while the one before ends with a backslash. */
static enum line_status read_continued(struct message_reader *reader, const char *line, size_t length)
{
    while (ends_with(line, length, "\\") && !ends_with(line, length, "\\\\")) {
        buffer_append(&reader->message, line, length - 1);
        buffer_append_char(&reader->message, '\n');
        enum line_status status = read_line(reader, "... ", NULL, &line, &length);
        if (status == LINE_END)
            return LINE_READ;
        if (status != LINE_READ)
            return status;
    }
    buffer_append(&reader->message, line, length);
    return LINE_READ;
}

static void keep(struct message_reader *reader)
{
    if (!reader->message.length)
        return;
    remember(reader, reader->message.data, reader->message.length);
    history_append(&reader->history, reader->message.data, reader->message.length);
}

enum line_status message_reader_next(struct message_reader *reader, const char *initial, const char **message, size_t *length, bool *is_block)
{
    const char *line;
    size_t n = 0;
    buffer_clear(&reader->message);
    enum line_status status = read_line(reader, "> ", initial, &line, &n);
    *length = n;
    if (status != LINE_READ)
        return status;
    *is_block = n >= strlen(quotes) && memcmp(line, quotes, strlen(quotes)) == 0;
    status = *is_block ? read_block(reader, line + strlen(quotes), n - strlen(quotes)) : read_continued(reader, line, n);
    *length = 1; /* something was typed */
    if (status != LINE_READ)
        return status;
    buffer_append(&reader->message, "", 0);
    if (reader->message.failed) {
        cli_fail("the message is too long, or memory is out");
        return LINE_FAILED;
    }
    keep(reader);
    *message = reader->message.data;
    *length = reader->message.length;
    return LINE_READ;
}
