#include "support_strings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"

#define MAX_POOLS 32
#define MAX_PIECES 64
#define MAX_PIECE 64

struct piece {
    uint32_t first, size; /* a range when size > 0 */
    char text[MAX_PIECE];
    size_t length;
};

struct pools {
    int n_pools;
    uint32_t n_pieces[MAX_POOLS];
    struct piece pieces[MAX_POOLS][MAX_PIECES];
};

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint64_t fnv1a(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ in[i]) * 0x100000001B3u;
    return hash;
}

static void read_piece(struct piece *piece, const char *line)
{
    unsigned first, last;
    int consumed = 0;
    if (sscanf(line, "[%X-%X]%n", &first, &last, &consumed) == 2 && consumed && !line[consumed]) {
        piece->first = first;
        piece->size = last - first + 1;
        return;
    }
    while (*line) {
        if (strncmp(line, "\\u{", 3) == 0) {
            char *end;
            piece->length += (size_t)utf8_encode((uint32_t)strtoul(line + 3, &end, 16), piece->text + piece->length);
            line = end + 1;
        } else {
            piece->text[piece->length++] = *line++;
        }
    }
}

struct pools *pools_open(const char *path)
{
    char *data;
    size_t length;
    if (file_read_whole(path, 1 << 20, &data, &length, NULL))
        return NULL;
    struct pools *pools = mem_zalloc(sizeof *pools);
    for (char *line = data; pools && *line;) {
        char *end = strchr(line, '\n');
        *end = '\0';
        if (strncmp(line, "== ", 3) == 0) {
            pools->n_pools++;
        } else if (*line != '#') {
            int pool = pools->n_pools - 1;
            read_piece(&pools->pieces[pool][pools->n_pieces[pool]++], line);
        }
        line = end + 1;
    }
    mem_free(data);
    return pools;
}

void pools_close(struct pools *pools)
{
    mem_free(pools);
}

static void append_part(const struct pools *pools, uint64_t *state, bool long_run, struct buffer *out)
{
    uint64_t pool = random_next(state) % (uint64_t)pools->n_pools;
    const struct piece *piece = &pools->pieces[pool][random_next(state) % pools->n_pieces[pool]];
    char character[4];
    const char *text = piece->text;
    size_t length = piece->length;
    if (piece->size) {
        length = (size_t)utf8_encode(piece->first + (uint32_t)(random_next(state) % piece->size), character);
        text = character;
    }
    uint64_t times = 1;
    if (long_run)
        times = 1 + random_next(state) % 4000;
    else if (random_next(state) % 24 == 0)
        times = 1 + random_next(state) % 40;
    while (times--)
        buffer_append(out, text, length);
}

void pools_make_string(const struct pools *pools, uint64_t index, struct buffer *out)
{
    uint64_t state = index << 32;
    bool long_run = index % 400 == 0;
    uint64_t n_parts = long_run ? 1 : random_next(&state) % 20;
    buffer_clear(out);
    buffer_reserve(out, 1);
    while (n_parts--)
        append_part(pools, &state, long_run, out);
}
