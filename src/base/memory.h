/* Allocation. Everything in src/ allocates through these functions, for three reasons: sizes are multiplied with an overflow check, tests count
 * allocations (none in the step loop) and make the n-th one fail (every call site's error path is run). Thread: all functions may be called
 * from any thread. Fresh memory from mem_alloc and mem_alloc_aligned is uninitialised. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size);                                     /* NULL when out of memory; size 0 gives a unique pointer */
void *mem_zalloc(size_t size);                                    /* zeroed */
void *mem_alloc_array(size_t count, size_t size);                 /* NULL on overflow of count * size as well */
void *mem_zalloc_array(size_t count, size_t size);                /* zeroed */
void *mem_realloc_array(void *memory, size_t count, size_t size); /* NULL leaves `memory` as it was */
char *mem_strndup(const char *text, size_t length);               /* NUL-terminated copy */
void *mem_alloc_aligned(size_t alignment, size_t size);           /* alignment: a power of two; free with mem_free */
void mem_free(void *memory);                                      /* NULL is legal */

/* True and *product = a * b unless that overflows size_t. */
bool mem_multiply(size_t a, size_t b, size_t *product);
bool mem_add(size_t a, size_t b, size_t *sum);

/* For tests. mem_fail_after(n): the n-th allocation from now on (0 = the next), of whichever thread, fails once; -1 switches that off.
 * mem_allocation_count(): allocations since the program started. */
void mem_fail_after(int64_t n);
uint64_t mem_allocation_count(void);

#endif
