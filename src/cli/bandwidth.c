#include "cli/bandwidth.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

/* Each thread sums its own part of an array several times larger than the caches that servers have per core; a pass takes tens of milliseconds, so that
 * making its threads does not count. The sums are kept, so that the reading is not optimised away; four running sums of vectors hide the latency of the
 * additions. */
enum {
    PART_BYTES = 192 << 20,
    PASSES = 5,
    MAX_THREADS = 64,
    VECTORS_AT_ONCE = 4,
};

typedef uint64_t vector __attribute__((vector_size(64)));

struct reader {
    pthread_t thread;
    const vector *part; /* [PART_BYTES / 64] */
    volatile uint64_t sum;
};

static uint64_t sum_part(const vector *part)
{
    vector sums[VECTORS_AT_ONCE];
    uint64_t total = 0;
    memset(sums, 0, sizeof sums);
    for (size_t i = 0; i < PART_BYTES / sizeof(vector); i += VECTORS_AT_ONCE)
        for (size_t k = 0; k < VECTORS_AT_ONCE; k++)
            sums[k] += part[i + k];
    for (size_t k = 0; k < VECTORS_AT_ONCE; k++)
        for (size_t e = 0; e < sizeof(vector) / sizeof(uint64_t); e++)
            total += sums[k][e];
    return total;
}

static void *read_part(void *self)
{
    struct reader *reader = self;
    reader->sum += sum_part(reader->part);
    return NULL;
}

/* Nanoseconds of one pass over all parts, the last in this thread; UINT64_MAX: a thread could not be made. */
static uint64_t run_pass(struct reader *readers, int32_t n)
{
    int32_t made = 0;
    uint64_t started = clock_monotonic_ns();
    while (made + 1 < n && !pthread_create(&readers[made].thread, NULL, read_part, &readers[made]))
        made++;
    read_part(&readers[n - 1]);
    for (int32_t i = 0; i < made; i++)
        pthread_join(readers[i].thread, NULL);
    return made + 1 == n ? clock_monotonic_ns() - started : UINT64_MAX;
}

double bandwidth_measure(int32_t threads)
{
    struct reader readers[MAX_THREADS];
    int32_t n = threads > MAX_THREADS ? MAX_THREADS : threads < 1 ? 1 : threads;
    char *memory = mem_alloc_aligned(sizeof(vector), (size_t)n * PART_BYTES);
    uint64_t best = UINT64_MAX;
    if (!memory)
        return 0;
    memset(memory, 1, (size_t)n * PART_BYTES); /* real pages, not the one page of zeros */
    for (int32_t i = 0; i < n; i++)
        readers[i] = (struct reader){.part = (const vector *)(const void *)(memory + (size_t)i * PART_BYTES)};
    for (int pass = 0; pass < PASSES; pass++) {
        uint64_t time = run_pass(readers, n);
        best = time < best ? time : best;
    }
    mem_free(memory);
    return best == UINT64_MAX || !best ? 0 : (double)n * PART_BYTES / ((double)best * 1e-9);
}
