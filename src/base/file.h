/* Files, read by pread: a mapped file that shrinks would raise SIGBUS. A `struct file` is immutable after opening and may be read from any
 * number of threads at once. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct file {
    int descriptor;
    uint64_t size; /* bytes, when it was opened */
    char *path;    /* owned; for messages */
};

/* Opens a regular file for reading; a folder, pipe or device is refused with a message that says so. SAMPAN_ENOTFOUND, SAMPAN_EIO, SAMPAN_ENOMEM. */
int file_open(const char *path, struct file **file, struct error *err);
void file_close(struct file *file); /* NULL is legal */

/* Reads exactly `length` bytes at `offset`; fewer is an error (SAMPAN_EIO) that names file, offset and what was found. */
int file_read(const struct file *file, uint64_t offset, void *destination, size_t length, struct error *err);

/* The whole of a file of at most `limit` bytes, NUL-terminated; *data is freed with mem_free. */
int file_read_whole(const char *path, size_t limit, char **data, size_t *length, struct error *err);

/* The beginning of a small file of /proc or /sys, NUL-terminated in text[capacity]; false: unreadable or empty. These files report size 0, so
 * file_read_whole does not serve. */
bool file_read_small(const char *path, char *text, size_t capacity);

bool file_is_folder(const char *path);
bool file_exists(const char *path);

/* For tests: the n-th read from now on (0 = the next) comes back short; -1 switches that off. */
void file_fail_read_after(int64_t n);

#endif
