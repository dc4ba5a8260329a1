/* A growable byte buffer with a limit. Growth is geometric, so appending n bytes costs O(n). Append functions return 0, SAMPAN_ENOMEM or SAMPAN_ELIMIT;
 * once one failed, `failed` keeps that code and later appends do nothing, so that a writer of many pieces may check once at the end.
 * data is NUL-terminated after every successful append (the NUL is not counted in length). Thread: one at a time. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data;      /* NULL while nothing was appended */
    size_t length;   /* bytes used */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* length never exceeds this */
    int failed;      /* 0, or the code of the first failure */
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_free(struct buffer *buffer);  /* back to empty, limit kept */
void buffer_clear(struct buffer *buffer); /* length 0, memory kept, failed reset */
int buffer_reserve(struct buffer *buffer, size_t additional);
int buffer_append(struct buffer *buffer, const void *bytes, size_t length);
int buffer_append_string(struct buffer *buffer, const char *text); /* NUL-terminated */
int buffer_append_char(struct buffer *buffer, char c);
int buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
