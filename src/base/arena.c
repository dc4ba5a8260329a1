#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { ARENA_ALIGNMENT = 16, ARENA_BLOCK_SIZE = 64 * 1024 };

struct arena_block {
    struct arena_block *older;
    size_t size; /* bytes of data */
    size_t used;
    _Alignas(ARENA_ALIGNMENT) unsigned char data[];
};

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

void arena_free(struct arena *arena)
{
    while (arena->newest) {
        struct arena_block *block = arena->newest;
        arena->newest = block->older;
        mem_free(block);
    }
    arena->total = 0;
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    size_t data_size = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
    if (data_size > arena->limit - arena->total) {
        data_size = size; /* near the limit: exactly what is asked */
        if (data_size > arena->limit - arena->total)
            return NULL;
    }
    struct arena_block *block = mem_zalloc(sizeof *block + data_size);
    if (!block)
        return NULL;
    block->size = data_size;
    block->older = arena->newest;
    arena->newest = block;
    arena->total += data_size;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    struct arena_block *block = arena->newest;
    if (!block || block->size - block->used < size) {
        block = add_block(arena, size);
        if (!block)
            return NULL;
    }
    void *object = block->data + block->used;
    block->used += size;
    return object;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    return mem_multiply(count, size, &total) ? arena_alloc(arena, total) : NULL;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    if (length == SIZE_MAX)
        return NULL;
    char *copy = arena_alloc(arena, length + 1);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
