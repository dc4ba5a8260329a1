/* How the machine is built, as far as it concerns who runs inference on it: cores and their threads, caches, memory nodes, page sizes, swap. doctor tells it;
 * nothing depends on it. Read from /sys and /proc, which cover what is needed; whatever is missing (a container without /sys) stays unknown. */
#ifndef BASE_TOPOLOGY_H
#define BASE_TOPOLOGY_H

#include "base/machine.h"

enum { TOPOLOGY_MAX_CACHES = 8, TOPOLOGY_MAX_NODES = 64 };

struct topology_cache {
    int32_t level;
    char kind;      /* 'd' data, 'i' instructions, 'u' both */
    uint64_t bytes; /* of one */
    int32_t count;  /* how many the usable CPUs have; 0: unknown */
};

struct topology_node {
    int32_t number;
    int32_t n_cpus; /* usable ones */
    uint64_t memory_total, memory_free;
};

struct topology {
    int32_t n_online;   /* CPUs of the machine; 0: unknown */
    int32_t n_cores;    /* that the usable CPUs lie on; 0: unknown */
    int32_t n_packages; /* ditto */
    int32_t n_caches;
    struct topology_cache caches[TOPOLOGY_MAX_CACHES]; /* of the first usable CPU, by level */
    int32_t n_nodes;                                   /* 0: unknown */
    struct topology_node nodes[TOPOLOGY_MAX_NODES];
    char huge_pages[16]; /* transparent ones: "always", "madvise", "never"; "": unknown */
    char governor[32];   /* of the first usable CPU's clock: "performance", ...; "": unknown */
    uint64_t swap_total, swap_free;
};

/* Never fails. `root` is put in front of /sys and /proc: "" for this machine, a folder for tests. Only the CPUs of `machine` count. */
void topology_inspect(const char *root, const struct machine *machine, struct topology *topology);

/* Is `cpu` in a list like "0-3,8,10-11"? */
bool topology_list_has(const char *list, int32_t cpu);

#endif
