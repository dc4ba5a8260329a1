#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t fail_countdown = -1;
static _Atomic uint64_t allocation_count;

/* Counts the allocation; true when a test wants this one to fail. */
static bool must_fail(void)
{
    atomic_fetch_add_explicit(&allocation_count, 1, memory_order_relaxed);
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 0;
}

bool mem_multiply(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

bool mem_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

void *mem_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *mem_zalloc(size_t size)
{
    return must_fail() ? NULL : calloc(1, size ? size : 1);
}

void *mem_alloc_array(size_t count, size_t size)
{
    size_t total;
    return mem_multiply(count, size, &total) ? mem_alloc(total) : NULL;
}

void *mem_zalloc_array(size_t count, size_t size)
{
    size_t total;
    return mem_multiply(count, size, &total) ? mem_zalloc(total) : NULL;
}

void *mem_realloc_array(void *memory, size_t count, size_t size)
{
    size_t total;
    if (!mem_multiply(count, size, &total) || must_fail())
        return NULL;
    return realloc(memory, total ? total : 1);
}

char *mem_strndup(const char *text, size_t length)
{
    size_t size;
    if (!mem_add(length, 1, &size))
        return NULL;
    char *copy = mem_alloc(size);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void *mem_alloc_aligned(size_t alignment, size_t size)
{
    void *memory;
    if (must_fail() || posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size ? size : 1))
        return NULL;
    return memory;
}

void mem_free(void *memory)
{
    free(memory);
}

void mem_fail_after(int64_t n)
{
    atomic_store(&fail_countdown, n);
}

uint64_t mem_allocation_count(void)
{
    return atomic_load_explicit(&allocation_count, memory_order_relaxed);
}
