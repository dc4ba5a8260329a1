/* The terminal and the standard streams: messages, output that notices a reader who left, colour, harmless text, progress, Ctrl-C, and lines of input. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

/* Looks at the streams, ignores SIGPIPE. Once, at the start. */
void terminal_init(void);

/* ---- Messages: one line on standard error, "sampan: ...". They return the exit code that goes with them. */
int cli_fail(const char *format, ...) BASE_PRINTF(1, 2);
int cli_usage(const char *format, ...) BASE_PRINTF(1, 2);
void cli_note(const char *format, ...) BASE_PRINTF(1, 2);

/* ---- Output. After a failed write (the reader of a pipe left, the disk is full) nothing more is written and terminal_output_is_gone() is true. */
void terminal_write(const void *bytes, size_t length);
void terminal_print(const char *format, ...) BASE_PRINTF(1, 2);
void terminal_flush(void);
bool terminal_output_is_gone(void);
int terminal_finish(int exit_code); /* flushes; the exit code of the program: a reader that left is no failure, a full disk is */

/* Text of a model or a file: on a terminal control characters other than newline and tab are shown as ^[ or \u009b, so that none reaches the terminal;
 * elsewhere the bytes are as they are. Whole UTF-8 characters. */
void terminal_write_text(const char *text, size_t length);

/* ---- Looks. */
bool terminal_is_interactive(void); /* standard input and output are a terminal */
bool terminal_has_progress(void);   /* standard error is one */

enum terminal_style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM };
bool terminal_has_colour(void);                 /* standard output is a terminal that may be coloured */
void terminal_style(enum terminal_style style); /* nothing unless standard output has colour */

/* A bar on standard error while bytes are loaded; appears when it takes more than a moment. For sampan_engine_options.progress (self: a struct
 * progress_bar). */
struct progress_bar {
    const char *label;
    uint64_t started_ns, drawn_ns;
    bool visible;
};
int progress_bar_report(void *self, uint64_t done, uint64_t total);
void progress_bar_end(struct progress_bar *bar);

/* ---- Ctrl-C: counted instead of ending the program, once this was called. */
void interrupts_catch(void);
int interrupts_take(void); /* how many since the last call */
bool interrupts_pending(void);

/* Waits until the descriptor can be read; INTERRUPTED: Ctrl-C came first (or before), DISTURBED: another signal. */
enum wait_result { WAIT_READY, WAIT_INTERRUPTED, WAIT_DISTURBED };
enum wait_result terminal_wait_readable(int descriptor);

/* ---- Lines of input. Standard output is flushed before it waits for more. */
struct line_reader {
    int descriptor;
    struct buffer bytes; /* read and not yet given out */
    size_t used;         /* of bytes: given out */
    bool ended;
};
enum line_status { LINE_READ, LINE_END, LINE_INTERRUPTED, LINE_FAILED };

void line_reader_init(struct line_reader *reader, int descriptor);
void line_reader_free(struct line_reader *reader);
/* The next line without its newline (and without a carriage return before it); lives until the next call. LINE_FAILED was reported. */
enum line_status line_reader_next(struct line_reader *reader, const char **line, size_t *length);

#endif
