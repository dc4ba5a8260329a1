#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "cli/command.h"

enum {
    LINE_LIMIT = 16 << 20, /* bytes of one input line */
    READ_PIECE = 64 << 10,
    PROGRESS_DELAY_MS = 150, /* a load shorter than this shows no bar */
    PROGRESS_STEP_MS = 50,
};

static bool input_is_terminal, output_is_terminal, error_is_terminal, output_has_colour;
static int output_error; /* errno of the first failed write */
static volatile sig_atomic_t interrupt_count;

void terminal_init(void)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    input_is_terminal = isatty(STDIN_FILENO);
    output_is_terminal = isatty(STDOUT_FILENO);
    error_is_terminal = isatty(STDERR_FILENO);
    output_has_colour = output_is_terminal && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
    signal(SIGPIPE, SIG_IGN);
}

/* ---- Messages. */

static void print_message(const char *format, va_list arguments)
{
    struct error line; /* for its way with control characters */
    error_set_v(&line, 0, format, arguments);
    terminal_flush();
    fprintf(stderr, "sampan: %s\n", line.message);
}

int cli_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

int cli_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

void cli_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(format, arguments);
    va_end(arguments);
}

/* ---- Output. */

void terminal_write(const void *bytes, size_t length)
{
    if (!output_error && fwrite(bytes, 1, length, stdout) != length)
        output_error = errno ? errno : EIO;
}

void terminal_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!output_error && vfprintf(stdout, format, arguments) < 0)
        output_error = errno ? errno : EIO;
    va_end(arguments);
}

void terminal_flush(void)
{
    if (!output_error && fflush(stdout))
        output_error = errno ? errno : EIO;
}

bool terminal_output_is_gone(void)
{
    return output_error != 0;
}

int terminal_finish(int exit_code)
{
    terminal_flush();
    if (!output_error || exit_code != EXIT_OK)
        return exit_code;
    return output_error == EPIPE ? EXIT_OK : cli_fail("writing the output: %s", strerror(output_error));
}

void terminal_write_text(const char *text, size_t length)
{
    if (!output_is_terminal) {
        terminal_write(text, length);
        return;
    }
    for (size_t at = 0; at < length;) {
        uint32_t character = 0;
        int n = utf8_decode(text + at, length - at, &character);
        if (n <= 0) {
            terminal_write("\xEF\xBF\xBD", 3);
            at += n < 0 ? (size_t)-n : length - at;
            continue;
        }
        if (character < 0x20 && character != '\n' && character != '\t')
            terminal_print("^%c", (char)(character + '@'));
        else if (character == 0x7F)
            terminal_print("^?");
        else if (character >= 0x80 && character < 0xA0)
            terminal_print("\\u%04x", (unsigned)character);
        else
            terminal_write(text + at, (size_t)n);
        at += (size_t)n;
    }
}

/* ---- Looks. */

bool terminal_is_interactive(void)
{
    return input_is_terminal && output_is_terminal;
}

bool terminal_has_progress(void)
{
    return error_is_terminal;
}

bool terminal_has_colour(void)
{
    return output_has_colour;
}

void terminal_style(enum terminal_style style)
{
    static const char *const codes[] = {[STYLE_PLAIN] = "\033[0m", [STYLE_BOLD] = "\033[1m", [STYLE_DIM] = "\033[2m"};
    if (output_has_colour)
        terminal_write(codes[style], strlen(codes[style]));
}

static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int progress_bar_report(void *self, uint64_t done, uint64_t total)
{
    struct progress_bar *bar = self;
    uint64_t now = clock_monotonic_ns();
    if (interrupts_pending())
        return 1;
    if (!bar->started_ns)
        bar->started_ns = now;
    if (!error_is_terminal || !total || now - bar->started_ns < PROGRESS_DELAY_MS * 1000000ull || now - bar->drawn_ns < PROGRESS_STEP_MS * 1000000ull)
        return 0;
    int width = terminal_width() - (int)strlen(bar->label) - 10;
    double share = done < total ? (double)done / (double)total : 1;
    width = width > 40 ? 40 : width < 4 ? 4 : width;
    fprintf(stderr, "\r%s [", bar->label);
    for (int i = 0; i < width; i++)
        fputc(i < (int)(share * width) ? '#' : '.', stderr);
    fprintf(stderr, "] %3.0f%%", share * 100);
    fflush(stderr);
    bar->visible = true;
    bar->drawn_ns = now;
    return 0;
}

void progress_bar_end(struct progress_bar *bar)
{
    if (bar->visible)
        fprintf(stderr, "\r\033[K");
    bar->visible = false;
}

/* ---- Ctrl-C. */

static void count_interrupt(int number)
{
    (void)number;
    interrupt_count++;
}

void interrupts_catch(void)
{
    struct sigaction action = {.sa_handler = count_interrupt}; /* no SA_RESTART: a read that waits comes back */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int interrupts_take(void)
{
    int count = (int)interrupt_count;
    interrupt_count = 0;
    return count;
}

bool interrupts_pending(void)
{
    return interrupt_count != 0;
}

/* ---- Lines. */

void line_reader_init(struct line_reader *reader, int descriptor)
{
    *reader = (struct line_reader){.descriptor = descriptor};
    buffer_init(&reader->bytes, LINE_LIMIT + READ_PIECE);
}

void line_reader_free(struct line_reader *reader)
{
    buffer_free(&reader->bytes);
}

/* The signal is let in only while waiting, so that none is lost between looking and waiting. */
enum wait_result terminal_wait_readable(int descriptor)
{
    struct pollfd ready = {.fd = descriptor, .events = POLLIN};
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    bool disturbed = !interrupt_count && ppoll(&ready, 1, NULL, &before) < 0 && errno == EINTR;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return interrupt_count ? WAIT_INTERRUPTED : disturbed ? WAIT_DISTURBED : WAIT_READY;
}

/* Makes room and reads once. The bytes given out are dropped first. */
static enum line_status read_more(struct line_reader *reader)
{
    struct buffer *bytes = &reader->bytes;
    if (reader->used) {
        memmove(bytes->data, bytes->data + reader->used, bytes->length - reader->used);
        bytes->length -= reader->used;
        reader->used = 0;
    }
    int code = buffer_reserve(bytes, READ_PIECE);
    if (code) {
        if (code == SAMPAN_ELIMIT)
            cli_fail("reading the input: a line is longer than %d MiB", LINE_LIMIT >> 20);
        else
            cli_fail("out of memory while reading the input");
        return LINE_FAILED;
    }
    terminal_flush();
    enum wait_result waited;
    while ((waited = terminal_wait_readable(reader->descriptor)) == WAIT_DISTURBED)
        continue;
    if (waited == WAIT_INTERRUPTED)
        return LINE_INTERRUPTED;
    ssize_t got = read(reader->descriptor, bytes->data + bytes->length, READ_PIECE);
    if (got < 0 && errno == EINTR)
        return LINE_INTERRUPTED;
    if (got < 0) {
        cli_fail("reading the input: %s", strerror(errno));
        return LINE_FAILED;
    }
    bytes->length += (size_t)got;
    reader->ended = got == 0;
    return LINE_READ;
}

enum line_status line_reader_next(struct line_reader *reader, const char **line, size_t *length)
{
    struct buffer *bytes = &reader->bytes;
    size_t searched = 0;
    for (;;) {
        size_t waiting = bytes->length - reader->used;
        char *start = bytes->data ? bytes->data + reader->used : NULL;
        char *newline = waiting > searched ? memchr(start + searched, '\n', waiting - searched) : NULL;
        if (newline || (reader->ended && waiting)) {
            size_t n = newline ? (size_t)(newline - start) : waiting;
            reader->used += n + (newline != NULL);
            *line = start;
            *length = n && start[n - 1] == '\r' ? n - 1 : n;
            return LINE_READ;
        }
        if (reader->ended)
            return LINE_END;
        searched = waiting;
        enum line_status status = read_more(reader);
        if (status != LINE_READ)
            return status;
    }
}
