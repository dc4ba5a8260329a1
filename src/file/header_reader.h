/* Reads a file's header from front to back through a buffer, by pread. Every read says how many bytes it needs; more than the file still has is
 * an error of the format, found before anything is allocated. Errors name the offset. */
#ifndef FILE_HEADER_READER_H
#define FILE_HEADER_READER_H

#include "base/arena.h"
#include "base/file.h"
#include "file/tokenizer_spec.h"

struct header_reader {
    const struct file *file;
    uint64_t position; /* of the next byte, from the start of the file */
    char *window;      /* [HEADER_WINDOW] bytes of the file from window_start on, owned */
    uint64_t window_start;
    size_t window_length;
};

int header_reader_open(struct header_reader *reader, const struct file *file, struct error *err);
void header_reader_close(struct header_reader *reader);

static inline uint64_t header_remaining(const struct header_reader *reader)
{
    return reader->file->size - reader->position;
}

/* SAMPAN_EFORMAT: the file ends before; SAMPAN_EIO. */
int header_read(struct header_reader *reader, void *destination, size_t length, struct error *err);
int header_read_u32(struct header_reader *reader, uint32_t *value, struct error *err);
int header_read_u64(struct header_reader *reader, uint64_t *value, struct error *err);

/* A count of things that take at least `minimum_bytes` each in the file: refused where the rest of the file cannot hold them (SAMPAN_EFORMAT) or where
 * it is above `limit` (SAMPAN_ELIMIT). `what` in the plural: "tensors". */
int header_read_count(struct header_reader *reader, uint64_t minimum_bytes, uint64_t limit, const char *what, size_t *count, struct error *err);

/* Length u64, then the bytes; the copy in the arena is NUL-terminated. */
int header_read_string(struct header_reader *reader, struct arena *arena, uint64_t limit, const char *what, struct byte_string *string, struct error *err);

/* The arena's answer as an error: out of memory, or its limit reached. */
int header_arena_failed(const struct arena *arena, size_t size, const char *what, struct error *err);

#endif
