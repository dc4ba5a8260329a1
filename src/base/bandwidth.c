#include "base/bandwidth.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/memory.h"

/* Each thread sums its own part of an array several times larger than the caches that servers have per core; a pass takes tens of milliseconds, so that
 * making its threads does not count. The sums are kept, so that the reading is not optimised away; four running sums of vectors hide the latency of the
 * additions. */
enum {
    PART_BYTES = 192 << 20,   /* of each thread, where that much is free */
    LEAST_BYTES = 64 << 20,   /* of all together */
    MOST_MEGABYTES = 6 << 10, /* of all together */
    PASSES = 5,
    MAX_THREADS = 64,
    VECTORS_AT_ONCE = 4,
    HUGE_PAGE = 2 << 20,
};

typedef uint64_t vector __attribute__((vector_size(64)));

struct reader {
    pthread_t thread;
    const vector *part; /* [n_vectors] */
    size_t n_vectors;   /* a multiple of VECTORS_AT_ONCE */
    volatile uint64_t sum;
};

static uint64_t sum_part(const vector *part, size_t n_vectors)
{
    vector sums[VECTORS_AT_ONCE];
    uint64_t total = 0;
    memset(sums, 0, sizeof sums);
    for (size_t i = 0; i < n_vectors; i += VECTORS_AT_ONCE)
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
    reader->sum += sum_part(reader->part, reader->n_vectors);
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

/* Bytes for each of n threads, a multiple of what is summed at once; 0: too little is free. */
static size_t choose_part(int32_t n)
{
    struct machine *machine = mem_alloc(sizeof *machine);
    uint64_t total = (uint64_t)n * PART_BYTES, most = (uint64_t)MOST_MEGABYTES << 20;
    if (!machine)
        return 0;
    machine_inspect(machine);
    if (machine->memory_available && machine->memory_available / 4 < most)
        most = machine->memory_available / 4;
    mem_free(machine);
    total = total < most ? total : most;
    size_t step = VECTORS_AT_ONCE * sizeof(vector);
    return total < LEAST_BYTES ? 0 : (size_t)total / (size_t)n / step * step;
}

double bandwidth_measure(int32_t threads)
{
    struct reader readers[MAX_THREADS];
    int32_t n = threads > MAX_THREADS ? MAX_THREADS : threads < 1 ? 1 : threads;
    size_t part = choose_part(n);
    char *memory = part ? mem_alloc_aligned(HUGE_PAGE, (size_t)n * part) : NULL;
    uint64_t best = UINT64_MAX;
    if (!memory)
        return 0;
    (void)madvise(memory, (size_t)n * part, MADV_HUGEPAGE); /* only advice: fewer page faults */
    memset(memory, 1, (size_t)n * part);                    /* real pages, not the one page of zeros */
    for (int32_t i = 0; i < n; i++)
        readers[i] = (struct reader){.part = (const vector *)(const void *)(memory + (size_t)i * part), .n_vectors = part / sizeof(vector)};
    for (int pass = 0; pass < PASSES; pass++) {
        uint64_t time = run_pass(readers, n);
        best = time < best ? time : best;
    }
    mem_free(memory);
    return best == UINT64_MAX || !best ? 0 : (double)n * (double)part / ((double)best * 1e-9);
}
