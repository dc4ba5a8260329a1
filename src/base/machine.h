/* What this process may use of the machine it runs on: CPUs after affinity and cgroup quota, memory after cgroup limits, page sizes. A container often sees
 * 64 CPUs and may use two; whoever sizes thread pools and caches asks here, and doctor prints it.
 *
 * Sources: sched_getaffinity(2); cgroup v2 cpu.max and memory.max, cgroup v1 cpu.cfs_quota_us and memory.limit_in_bytes, each along the whole path of the
 * process's own group (a limit of any ancestor binds; what it holds of files that were read does not count, it can be given up); /proc/meminfo. */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_MAX_CPUS 1024

struct machine {
    int32_t n_cpus;                 /* in the affinity mask, at least 1 */
    int16_t cpus[MACHINE_MAX_CPUS]; /* [n_cpus] their numbers, ascending */
    double cpu_quota;               /* CPUs' worth of time per period granted by cgroups; 0: no quota */
    int32_t n_usable;               /* min(n_cpus, quota rounded up), at least 1: how many threads can run at once */
    uint64_t memory_total;          /* bytes: the machine's, or the cgroup's limit where that is lower; 0: unknown */
    uint64_t memory_available;      /* bytes that may be taken now without swapping or meeting a limit; 0: unknown, 1: none */
    bool memory_limited;            /* a cgroup's limit is below the machine's memory */
    uint64_t page_bytes;
    uint64_t huge_page_bytes; /* transparent huge page size; 0: none */
    char cpu_model[96];       /* "AMD EPYC 9454", or the architecture's name */
};

/* Never fails: what cannot be read is left at its neutral value. Reads a few small files; call it when opening, not in loops. */
void machine_inspect(struct machine *machine);
/* The same with /proc and /sys below `root` (tests); the affinity is this process's. */
void machine_inspect_below(const char *root, struct machine *machine);

/* Bytes of `available` that a model leaves to everything else: an eighth, 64 MiB at least. */
uint64_t machine_memory_reserve(uint64_t available);

/* Parsing, apart so that tests can feed it: CPUs granted by a cgroup v2 cpu.max line ("150000 100000" = 1.5, "max 100000" = 0: none, malformed = 0). */
double machine_parse_cpu_max(const char *line);
/* Bytes in a memory limit file ("max" and the kernel's "no limit" numbers give 0). */
uint64_t machine_parse_memory_limit(const char *line);

#endif
