#include "base/topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum { PATH_SIZE = 512, TEXT_SIZE = 4096, MAX_CACHE_INDEX = 16, MAX_NODE = 1024 };

/* Reads "<root><format...>" into text, without the last newline. */
static bool read_text(char text[TEXT_SIZE], const char *root, const char *path)
{
    char whole[PATH_SIZE];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    if (length < 0 || (size_t)length >= sizeof whole || !file_read_small(whole, text, TEXT_SIZE))
        return false;
    text[strcspn(text, "\n")] = '\0';
    return true;
}

static bool read_cpu_text(char text[TEXT_SIZE], const char *root, int cpu, const char *name)
{
    char path[PATH_SIZE / 2];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, name);
    return read_text(text, root, path);
}

bool topology_list_has(const char *list, int32_t cpu)
{
    while (*list >= '0' && *list <= '9') {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        if (first <= cpu && cpu <= last)
            return true;
        list = end + (*end == ',');
    }
    return false;
}

static int32_t count_list(const char *list)
{
    int32_t count = 0;
    for (int32_t cpu = 0; cpu < 4 * MACHINE_MAX_CPUS; cpu++)
        count += topology_list_has(list, cpu);
    return count;
}

/* How many different values a file of each usable CPU begins with (the first CPU of a list of siblings names the list); 0: it cannot be read. */
static int32_t count_distinct(const char *root, const struct machine *machine, const char *name)
{
    bool seen[4 * MACHINE_MAX_CPUS] = {false};
    char text[TEXT_SIZE];
    int32_t count = 0;
    for (int32_t i = 0; i < machine->n_cpus; i++) {
        if (!read_cpu_text(text, root, machine->cpus[i], name))
            return 0;
        long first = strtol(text, NULL, 10);
        if (first < 0 || first >= 4 * MACHINE_MAX_CPUS)
            return 0;
        count += !seen[first];
        seen[first] = true;
    }
    return count;
}

static uint64_t parse_size(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    return *end == 'K' ? value << 10 : *end == 'M' ? value << 20 : value;
}

static void read_caches(const char *root, const struct machine *machine, struct topology *topology)
{
    char text[TEXT_SIZE], name[64];
    for (int index = 0; index < MAX_CACHE_INDEX && topology->n_caches < TOPOLOGY_MAX_CACHES; index++) {
        struct topology_cache cache = {0};
        snprintf(name, sizeof name, "cache/index%d/level", index);
        if (!read_cpu_text(text, root, machine->cpus[0], name))
            return;
        cache.level = (int32_t)strtol(text, NULL, 10);
        snprintf(name, sizeof name, "cache/index%d/type", index);
        cache.kind = !read_cpu_text(text, root, machine->cpus[0], name) || text[0] == 'U' ? 'u' : text[0] == 'I' ? 'i' : 'd';
        snprintf(name, sizeof name, "cache/index%d/size", index);
        cache.bytes = read_cpu_text(text, root, machine->cpus[0], name) ? parse_size(text) : 0;
        snprintf(name, sizeof name, "cache/index%d/shared_cpu_list", index);
        cache.count = count_distinct(root, machine, name);
        if (cache.bytes)
            topology->caches[topology->n_caches++] = cache;
    }
}

/* Without /sys the C library may know (on x86 from CPUID). */
static void ask_library(struct topology *topology)
{
    static const struct {
        int name;
        int32_t level;
        char kind;
    } caches[] = {{_SC_LEVEL1_DCACHE_SIZE, 1, 'd'}, {_SC_LEVEL2_CACHE_SIZE, 2, 'u'}, {_SC_LEVEL3_CACHE_SIZE, 3, 'u'}};
    for (size_t i = 0; i < sizeof caches / sizeof caches[0]; i++) {
        long bytes = sysconf(caches[i].name);
        if (bytes > 0)
            topology->caches[topology->n_caches++] = (struct topology_cache){caches[i].level, caches[i].kind, (uint64_t)bytes, 0};
    }
}

static uint64_t find_kilobytes(const char *text, const char *key)
{
    const char *found = strstr(text, key);
    return found ? strtoull(found + strlen(key), NULL, 10) << 10 : 0;
}

static void read_nodes(const char *root, const struct machine *machine, struct topology *topology)
{
    char text[TEXT_SIZE], path[PATH_SIZE / 2];
    for (int32_t number = 0; number < MAX_NODE && topology->n_nodes < TOPOLOGY_MAX_NODES; number++) {
        struct topology_node node = {.number = number};
        snprintf(path, sizeof path, "/sys/devices/system/node/node%d/cpulist", number);
        if (!read_text(text, root, path)) {
            if (number > topology->n_nodes + 8)
                return; /* numbers may have gaps, not large ones */
            continue;
        }
        for (int32_t i = 0; i < machine->n_cpus; i++)
            node.n_cpus += topology_list_has(text, machine->cpus[i]);
        snprintf(path, sizeof path, "%s/sys/devices/system/node/node%d/meminfo", root, number);
        if (file_read_small(path, text, sizeof text)) {
            node.memory_total = find_kilobytes(text, "MemTotal:");
            node.memory_free = find_kilobytes(text, "MemFree:");
        }
        topology->nodes[topology->n_nodes++] = node;
    }
}

/* "always [madvise] never": the word in brackets. */
static void read_huge_pages(const char *root, struct topology *topology)
{
    char text[TEXT_SIZE];
    if (!read_text(text, root, "/sys/kernel/mm/transparent_hugepage/enabled"))
        return;
    const char *open = strchr(text, '[');
    size_t length = open ? strcspn(open + 1, "]") : 0;
    if (length && length < sizeof topology->huge_pages)
        memcpy(topology->huge_pages, open + 1, length);
}

void topology_inspect(const char *root, const struct machine *machine, struct topology *topology)
{
    char text[TEXT_SIZE], path[PATH_SIZE];
    memset(topology, 0, sizeof *topology);
    if (read_text(text, root, "/sys/devices/system/cpu/online"))
        topology->n_online = count_list(text);
    topology->n_cores = count_distinct(root, machine, "topology/thread_siblings_list");
    topology->n_packages = count_distinct(root, machine, "topology/physical_package_id");
    read_caches(root, machine, topology);
    if (!topology->n_caches && !*root)
        ask_library(topology);
    read_nodes(root, machine, topology);
    read_huge_pages(root, topology);
    if (read_cpu_text(text, root, machine->cpus[0], "cpufreq/scaling_governor"))
        snprintf(topology->governor, sizeof topology->governor, "%.31s", text);
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (file_read_small(path, text, sizeof text)) {
        topology->swap_total = find_kilobytes(text, "SwapTotal:");
        topology->swap_free = find_kilobytes(text, "SwapFree:");
    }
}
