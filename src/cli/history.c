#include "cli/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum {
    MOST_ENTRIES = 2000, /* in the file, before it is cut ... */
    KEPT_ENTRIES = 1000, /* ... to so many */
    FILE_LIMIT = 16 << 20,
    ENTRY_LIMIT = 64 << 10, /* bytes; a longer one (a pasted book) is not kept */
    PATH_LIMIT = 4096,
};

/* Makes the folders of a path, each readable by its owner alone. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return false;
    }
    return true;
}

void history_init(struct history *history, bool keep)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    buffer_init(&history->path, PATH_LIMIT);
    if (!keep)
        return;
    if (state && *state == '/') /* the specification: a relative one is ignored */
        buffer_printf(&history->path, "%s/sampan/history", state);
    else if (home && *home == '/')
        buffer_printf(&history->path, "%s/.local/state/sampan/history", home);
    if (history->path.failed || !history->path.length || !make_folders(history->path.data))
        buffer_clear(&history->path);
}

void history_free(struct history *history)
{
    buffer_free(&history->path);
}

/* ---- Entries. */

static void write_escaped(struct buffer *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\' || text[i] == '\n')
            buffer_append_string(out, text[i] == '\n' ? "\\n" : "\\\\");
        else if (text[i])
            buffer_append_char(out, text[i]);
    }
    buffer_append_char(out, '\n');
}

/* In place; returns the length. */
static size_t unescape(char *text, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\' && i + 1 < length)
            text[n++] = text[++i] == 'n' ? '\n' : text[i];
        else
            text[n++] = text[i];
    }
    return n;
}

/* Writes the file anew, beside it first. */
static void rewrite(const struct history *history, const char *text, size_t length)
{
    char path[PATH_LIMIT + 32];
    snprintf(path, sizeof path, "%s.%ld", history->path.data, (long)getpid());
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return;
    bool written = write(descriptor, text, length) == (ssize_t)length;
    if (close(descriptor) || !written || rename(path, history->path.data))
        unlink(path);
}

void history_load(const struct history *history, void (*take)(void *self, const char *text, size_t length), void *self)
{
    char *text = NULL;
    size_t length = 0, n_lines = 0;
    if (!history->path.length || file_read_whole(history->path.data, FILE_LIMIT, &text, &length, NULL))
        return;
    for (size_t i = 0; i < length; i++)
        n_lines += text[i] == '\n';
    char *at = text, *end = text + length;
    for (size_t skipped = n_lines > MOST_ENTRIES ? n_lines - KEPT_ENTRIES : 0; skipped; skipped--)
        at = (char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    if (at != text)
        rewrite(history, at, (size_t)(end - at));
    while (at < end) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line = newline ? (size_t)(newline - at) : (size_t)(end - at);
        take(self, at, unescape(at, line));
        at += line + (newline != NULL);
    }
    mem_free(text);
}

void history_append(const struct history *history, const char *text, size_t length)
{
    struct buffer out;
    if (!history->path.length || !length || length > ENTRY_LIMIT)
        return;
    buffer_init(&out, 2 * ENTRY_LIMIT + 2);
    write_escaped(&out, text, length);
    int descriptor = open(history->path.data, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor >= 0) {
        ssize_t written = out.failed ? 0 : write(descriptor, out.data, out.length); /* a lost line is no reason to disturb a chat */
        (void)written;
        close(descriptor);
    }
    buffer_free(&out);
}
