#include "cli/line_editor.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/memory.h"
#include "base/utf8.h"

/* libedit asks for one character at a time. It gets what is queued (the initial text, a paste), else what the terminal sends, decoded here, so that nothing
 * depends on the locale but the width of characters.
 *
 * A pasted newline must not end the line. Terminals mark pastes (xterm's bracketed paste) when asked to; inside one, newlines become Alt-Enter. */

enum {
    HISTORY_ENTRIES = 1000,
    INPUT_BYTES = 4096,
    PASTE_PATIENCE_MS = 50, /* the rest of a paste's mark is awaited that long */
    LINE_BYTES = 16 << 20,
};

#define ESCAPE L'\033'
#define QUOTE_NEXT L'\026' /* Ctrl-V: the next character stands for itself */

static const char paste_begins[] = "\033[200~", paste_ends[] = "\033[201~";

struct line_editor {
    EditLine *edit;
    HistoryW *history;
    const char *prompt;
    wchar_t wide_prompt[64];
    char input[INPUT_BYTES]; /* read from the terminal and not yet given to libedit */
    size_t n_input;
    bool pasting;
    wchar_t *queue; /* owned: characters to be given first */
    size_t queue_length, queue_used, queue_room;
    enum line_status end; /* why the line ended without one */
    size_t n_typed;       /* characters of the line then */
    struct winsize size;
    struct buffer line;
};

static volatile sig_atomic_t was_continued;

static void note_continued(int number)
{
    (void)number;
    was_continued = 1;
}

/* ---- The queue. */

static void queue_character(struct line_editor *editor, wchar_t character)
{
    if (editor->queue_length == editor->queue_room) {
        size_t room = editor->queue_room ? editor->queue_room * 2 : 256;
        wchar_t *grown = mem_realloc_array(editor->queue, room, sizeof *grown);
        if (!grown)
            return; /* a character less */
        editor->queue = grown;
        editor->queue_room = room;
    }
    editor->queue[editor->queue_length++] = character;
}

/* A character that is meant as text, whatever key it would be. */
static void queue_text_character(struct line_editor *editor, uint32_t character)
{
    if (character == '\n') {
        queue_character(editor, ESCAPE);
        queue_character(editor, L'\r');
    } else if (character == '\t') {
        queue_character(editor, QUOTE_NEXT);
        queue_character(editor, L'\t');
    } else if (character >= 0x20 && character != 0x7F && !(character >= 0x80 && character < 0xA0)) {
        queue_character(editor, (wchar_t)character);
    }
}

static void queue_text(struct line_editor *editor, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t character = UTF8_REPLACEMENT;
        int n = utf8_decode(text + at, length - at, &character);
        queue_text_character(editor, n > 0 ? character : UTF8_REPLACEMENT);
        at += n > 0 ? (size_t)n : n < 0 ? (size_t)-n : length - at;
    }
}

/* ---- Characters. */

/* The terminal's size and modes may have changed while nobody looked. */
static void mind_the_terminal(struct line_editor *editor)
{
    struct winsize now;
    if (was_continued) {
        was_continued = 0;
        el_wset(editor->edit, EL_PREP_TERM, 1);
        el_wset(editor->edit, EL_REFRESH);
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) == 0 && (now.ws_col != editor->size.ws_col || now.ws_row != editor->size.ws_row)) {
        editor->size = now;
        el_resize(editor->edit);
    }
}

/* Reads once; false when there is no more: editor->end says why. */
static bool read_input(struct line_editor *editor)
{
    for (;;) {
        enum wait_result waited = terminal_wait_readable(STDIN_FILENO);
        if (waited == WAIT_INTERRUPTED) {
            editor->end = LINE_INTERRUPTED;
            return false;
        }
        mind_the_terminal(editor);
        if (waited == WAIT_DISTURBED)
            continue;
        ssize_t got = read(STDIN_FILENO, editor->input + editor->n_input, sizeof editor->input - editor->n_input);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            editor->end = LINE_END;
            return false;
        }
        editor->n_input += (size_t)got;
        return true;
    }
}

static void drop_input(struct line_editor *editor, size_t n)
{
    editor->n_input -= n;
    memmove(editor->input, editor->input + n, editor->n_input);
}

/* Does the input begin with this mark? Where it may yet become one, the rest is awaited for a moment. */
static bool begins_with(struct line_editor *editor, const char *mark)
{
    size_t length = strlen(mark);
    for (;;) {
        size_t n = editor->n_input < length ? editor->n_input : length;
        struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
        if (memcmp(editor->input, mark, n) != 0)
            return false;
        if (n == length)
            return true;
        if (n < 2 || poll(&ready, 1, PASTE_PATIENCE_MS) <= 0 || !read_input(editor))
            return false;
    }
}

static bool take_paste_mark(struct line_editor *editor)
{
    const char *mark = editor->pasting ? paste_ends : paste_begins;
    if (!editor->n_input || editor->input[0] != '\033' || !begins_with(editor, mark))
        return false;
    editor->pasting = !editor->pasting;
    drop_input(editor, strlen(mark));
    return true;
}

/* The next character of the input; false: there is none. */
static bool next_character(struct line_editor *editor, uint32_t *character)
{
    for (;;) {
        while (!editor->n_input || take_paste_mark(editor))
            if (!editor->n_input && !read_input(editor))
                return false;
        int n = utf8_decode(editor->input, editor->n_input, character);
        if (n == 0) { /* the rest of it is on its way */
            if (!read_input(editor))
                return false;
            continue;
        }
        if (n < 0)
            *character = UTF8_REPLACEMENT;
        drop_input(editor, (size_t)(n < 0 ? -n : n));
        return true;
    }
}

/* What libedit calls: 1 and a character, or -1. */
static int get_character(EditLine *edit, wchar_t *out)
{
    struct line_editor *editor;
    uint32_t character;
    el_wget(edit, EL_CLIENTDATA, &editor);
    while (editor->queue_used == editor->queue_length) {
        editor->queue_used = editor->queue_length = 0;
        if (!next_character(editor, &character)) {
            const LineInfoW *typed = el_wline(edit);
            editor->n_typed = (size_t)(typed->lastchar - typed->buffer);
            return -1;
        }
        if (!editor->pasting) {
            /* A Ctrl-D typed while an answer was written was kept by the terminal as NUL. */
            *out = character ? (wchar_t)character : L'\004';
            return 1;
        }
        queue_text_character(editor, character == '\r' ? '\n' : character);
    }
    *out = editor->queue[editor->queue_used++];
    return 1;
}

/* ---- Keys and looks. */

static unsigned char insert_newline(EditLine *edit, wint_t key)
{
    (void)key;
    return el_winsertstr(edit, L"\n") ? CC_ERROR : CC_REFRESH;
}

static wchar_t *show_prompt(EditLine *edit)
{
    struct line_editor *editor;
    el_wget(edit, EL_CLIENTDATA, &editor);
    return editor->wide_prompt;
}

static void bind_keys(EditLine *edit)
{
    static const struct {
        const wchar_t *key, *does;
    } keys[] = {
        {L"\\e^M", L"sampan-newline"},  {L"\\e^J", L"sampan-newline"},   {L"\\e[H", L"ed-move-to-beg"},       {L"\\e[F", L"ed-move-to-end"},
        {L"\\e[1~", L"ed-move-to-beg"}, {L"\\e[4~", L"ed-move-to-end"},  {L"\\e[3~", L"ed-delete-next-char"}, {L"\\e[1;5C", L"em-next-word"},
        {L"\\e[1;5D", L"ed-prev-word"}, {L"^W", L"ed-delete-prev-word"}, {L"^R", L"em-inc-search-prev"},
    };
    el_wset(edit, EL_ADDFN, L"sampan-newline", L"insert a newline", insert_newline);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        el_wset(edit, EL_BIND, keys[i].key, keys[i].does, NULL);
}

/* ---- Life. */

/* Widths of characters need a locale with UTF-8; which language does not matter. */
static void choose_locale(void)
{
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static bool set_up(struct line_editor *editor)
{
    HistEventW event;
    choose_locale();
    editor->edit = el_init("sampan", stdin, stdout, stderr);
    editor->history = history_winit();
    if (!editor->edit || !editor->history)
        return false;
    history_w(editor->history, &event, H_SETSIZE, HISTORY_ENTRIES);
    history_w(editor->history, &event, H_SETUNIQUE, 1);
    el_wset(editor->edit, EL_CLIENTDATA, editor);
    el_wset(editor->edit, EL_EDITOR, L"emacs");
    el_wset(editor->edit, EL_SIGNAL, 0);
    el_wset(editor->edit, EL_HIST, history_w, editor->history);
    el_wset(editor->edit, EL_PROMPT_ESC, show_prompt, L'\1');
    el_wset(editor->edit, EL_GETCFN, get_character);
    bind_keys(editor->edit);
    el_source(editor->edit, NULL);
    struct sigaction action = {.sa_handler = note_continued};
    sigemptyset(&action.sa_mask);
    sigaction(SIGCONT, &action, NULL);
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &editor->size);
    return true;
}

struct line_editor *line_editor_create(void)
{
    const char *term = getenv("TERM");
    if (!term || !*term || strcmp(term, "dumb") == 0)
        return NULL;
    struct line_editor *editor = mem_zalloc(sizeof *editor);
    if (!editor)
        return NULL;
    buffer_init(&editor->line, LINE_BYTES);
    if (set_up(editor))
        return editor;
    line_editor_free(editor);
    return NULL;
}

void line_editor_free(struct line_editor *editor)
{
    if (!editor)
        return;
    if (editor->edit)
        el_end(editor->edit);
    if (editor->history)
        history_wend(editor->history);
    mem_free(editor->queue);
    buffer_free(&editor->line);
    mem_free(editor);
}

void line_editor_remember(struct line_editor *editor, const char *text, size_t length)
{
    HistEventW event;
    size_t n = 0;
    wchar_t *wide = mem_alloc_array(length + 1, sizeof *wide);
    for (size_t at = 0; wide && at < length;) {
        uint32_t character = UTF8_REPLACEMENT;
        int taken = utf8_decode(text + at, length - at, &character);
        wide[n++] = (wchar_t)(taken > 0 ? character : UTF8_REPLACEMENT);
        at += taken > 0 ? (size_t)taken : taken < 0 ? (size_t)-taken : length - at;
    }
    if (wide) {
        wide[n] = L'\0';
        history_w(editor->history, &event, H_ENTER, wide);
    }
    mem_free(wide);
}

/* ---- A line. */

static void write_to_terminal(const char *text)
{
    terminal_write(text, strlen(text));
    terminal_flush();
}

static void take_line(struct line_editor *editor, const wchar_t *wide, int count)
{
    char bytes[4];
    buffer_clear(&editor->line);
    buffer_append(&editor->line, "", 0);
    for (int i = 0; i < count && !(i == count - 1 && wide[i] == L'\n'); i++)
        buffer_append(&editor->line, bytes, (size_t)utf8_encode((uint32_t)wide[i], bytes));
}

static void make_prompt(struct line_editor *editor, const char *prompt)
{
    bool bold = terminal_has_colour();
    size_t n = 0;
    for (const char *c = bold ? "\1\033[1m\1" : ""; *c; c++)
        editor->wide_prompt[n++] = (wchar_t)*c;
    for (const char *c = prompt; *c && n < 40; c++)
        editor->wide_prompt[n++] = (wchar_t)*c;
    for (const char *c = bold ? "\1\033[0m\1" : ""; *c; c++)
        editor->wide_prompt[n++] = (wchar_t)*c;
    editor->wide_prompt[n] = L'\0';
}

enum line_status line_editor_read(struct line_editor *editor, const char *prompt, const char *initial, const char **line, size_t *length)
{
    int count = 0;
    make_prompt(editor, prompt);
    editor->queue_used = editor->queue_length = 0;
    editor->pasting = false;
    editor->end = LINE_END;
    if (initial)
        queue_text(editor, initial, strlen(initial));
    editor->n_typed = 0;
    el_wset(editor->edit, EL_PREP_TERM, 1); /* before anything is shown: whoever sees the prompt may type any key */
    write_to_terminal("\033[?2004h");
    const wchar_t *wide = el_wgets(editor->edit, &count);
    write_to_terminal("\033[?2004l");
    if (!wide || count <= 0) {
        *length = editor->n_typed;
        return interrupts_pending() ? LINE_INTERRUPTED : editor->end;
    }
    take_line(editor, wide, count);
    if (editor->line.failed) {
        cli_fail("the line is too long, or memory is out");
        return LINE_FAILED;
    }
    *line = editor->line.data;
    *length = editor->line.length;
    return LINE_READ;
}
