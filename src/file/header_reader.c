#include "file/header_reader.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"

enum { HEADER_WINDOW = 128 * 1024 }; /* bytes: a vocabulary of 2 MB in some 16 reads */

int header_reader_open(struct header_reader *reader, const struct file *file, struct error *err)
{
    *reader = (struct header_reader){.file = file};
    reader->window = mem_alloc(HEADER_WINDOW);
    return reader->window ? 0 : error_no_memory(err, "reading a file header");
}

void header_reader_close(struct header_reader *reader)
{
    mem_free(reader->window);
    reader->window = NULL;
}

static int fill_window(struct header_reader *reader, struct error *err)
{
    uint64_t left = header_remaining(reader);
    size_t length = left < HEADER_WINDOW ? (size_t)left : HEADER_WINDOW;
    reader->window_length = 0;
    int code = file_read(reader->file, reader->position, reader->window, length, err);
    if (code)
        return code;
    reader->window_start = reader->position;
    reader->window_length = length;
    return 0;
}

int header_read(struct header_reader *reader, void *destination, size_t length, struct error *err)
{
    char *out = destination;
    if (length > header_remaining(reader))
        return error_set(err, SAMPAN_EFORMAT,
                         "%zu bytes expected at offset %" PRIu64 ", but the file ends after %" PRIu64 " bytes; it is truncated: fetch it again", length,
                         reader->position, reader->file->size);
    while (length) {
        uint64_t into = reader->position - reader->window_start;
        if (into >= reader->window_length) {
            int code = fill_window(reader, err);
            if (code)
                return code;
            into = 0;
        }
        size_t available = reader->window_length - (size_t)into;
        size_t chunk = length < available ? length : available;
        memcpy(out, reader->window + into, chunk);
        out += chunk;
        length -= chunk;
        reader->position += chunk;
    }
    return 0;
}

int header_read_u32(struct header_reader *reader, uint32_t *value, struct error *err)
{
    return header_read(reader, value, sizeof *value, err);
}

int header_read_u64(struct header_reader *reader, uint64_t *value, struct error *err)
{
    return header_read(reader, value, sizeof *value, err);
}

int header_read_count(struct header_reader *reader, uint64_t minimum_bytes, uint64_t limit, const char *what, size_t *count, struct error *err)
{
    uint64_t value;
    uint64_t at = reader->position;
    int code = header_read_u64(reader, &value, err);
    if (code)
        return code;
    if (value > header_remaining(reader) / minimum_bytes)
        return error_set(err, SAMPAN_EFORMAT,
                         "%" PRIu64 " %s are announced at offset %" PRIu64 ", but only %" PRIu64 " bytes follow; the file is damaged or truncated", value, what,
                         at, header_remaining(reader));
    if (value > limit)
        return error_set(err, SAMPAN_ELIMIT, "%" PRIu64 " %s are announced at offset %" PRIu64 ", expected at most %" PRIu64, value, what, at, limit);
    *count = (size_t)value;
    return 0;
}

int header_arena_failed(const struct arena *arena, size_t size, const char *what, struct error *err)
{
    if (size > arena->limit - arena->total)
        return error_set(err, SAMPAN_ELIMIT, "%s: the header needs more than %zu bytes of memory", what, arena->limit);
    return error_no_memory(err, what);
}

int header_read_string(struct header_reader *reader, struct arena *arena, uint64_t limit, const char *what, struct byte_string *string, struct error *err)
{
    size_t length = 0;
    uint64_t value;
    uint64_t at = reader->position;
    int code = header_read_u64(reader, &value, err);
    if (code)
        return code;
    if (value > header_remaining(reader))
        return error_set(err, SAMPAN_EFORMAT,
                         "the %s at offset %" PRIu64 " claims %" PRIu64 " bytes, but only %" PRIu64 " follow; the file is damaged or truncated", what, at,
                         value, header_remaining(reader));
    if (value > limit)
        return error_set(err, SAMPAN_ELIMIT, "the %s at offset %" PRIu64 " has %" PRIu64 " bytes, expected at most %" PRIu64, what, at, value, limit);
    length = (size_t)value;
    char *data = arena_alloc(arena, length + 1); /* zeroed: the NUL is there */
    if (!data)
        return header_arena_failed(arena, length + 1, what, err);
    *string = (struct byte_string){data, length};
    return header_read(reader, data, length, err);
}
