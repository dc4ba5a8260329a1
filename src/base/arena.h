/* Arena: many small load-time objects with one lifetime, freed at once. Memory:
 *
 *   arena -> [block: header | used ......... | free ] -> [older block] -> ...
 *
 * Objects are aligned to 16 bytes and zeroed. `limit` bounds the sum of all blocks, so that a hostile file cannot make an arena grow without end.
 * Thread: an arena belongs to one thread at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *newest;
    size_t total; /* bytes of all blocks */
    size_t limit; /* bytes */
};

void arena_init(struct arena *arena, size_t limit);
void arena_free(struct arena *arena); /* frees everything; the arena may be used again */

/* All return NULL when memory or the arena's limit is exhausted. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
