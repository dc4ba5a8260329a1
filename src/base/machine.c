#include "base/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"

#define LEAST_RESERVE ((uint64_t)64 << 20)

double machine_parse_cpu_max(const char *line)
{
    char *end;
    double quota = strtod(line, &end);
    if (end == line || !(quota > 0))
        return 0;
    double period = strtod(end, NULL);
    return period > 0 ? quota / period : 0;
}

uint64_t machine_parse_memory_limit(const char *line)
{
    char *end;
    if (*line < '0' || *line > '9')
        return 0;
    unsigned long long limit = strtoull(line, &end, 10);
    return limit >= (1ull << 60) ? 0 : (uint64_t)limit; /* v1 writes 2^63 rounded down to pages for "none" */
}

static uint64_t smaller_limit(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

struct cgroup_limits {
    double cpus;          /* 0: none */
    uint64_t memory;      /* 0: none */
    uint64_t memory_free; /* limit - usage of the tightest group; UINT64_MAX: none */
};

static void take_cpus(struct cgroup_limits *limits, double cpus)
{
    if (cpus > 0 && (limits->cpus <= 0 || cpus < limits->cpus))
        limits->cpus = cpus;
}

/* The number behind a name at the beginning of a line ("inactive_file 4096"); 0: not there. */
static uint64_t line_number(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return (uint64_t)strtoull(line + length, NULL, 10);
    }
    return 0;
}

/* How version 1 and 2 call the same. */
struct memory_names {
    const char *limit, *usage, *cached;
};

/* A group's usage counts the files that it has read, which the kernel gives up when memory is wanted; without this a model's own file would leave no room for
 * its cache. */
static void take_memory(struct cgroup_limits *limits, const char *folder, const struct memory_names *names)
{
    char path[1400], text[8192];
    snprintf(path, sizeof path, "%s/%s", folder, names->limit);
    if (!file_read_small(path, text, sizeof text))
        return;
    uint64_t limit = machine_parse_memory_limit(text);
    if (!limit)
        return;
    limits->memory = smaller_limit(limits->memory, limit);
    snprintf(path, sizeof path, "%s/%s", folder, names->usage);
    uint64_t usage = file_read_small(path, text, sizeof text) ? machine_parse_memory_limit(text) : 0;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    uint64_t cached = file_read_small(path, text, sizeof text) ? line_number(text, names->cached) : 0;
    usage -= cached < usage ? cached : usage;
    uint64_t left = limit > usage ? limit - usage : 0;
    if (left < limits->memory_free)
        limits->memory_free = left;
}

static void read_group_v2(struct cgroup_limits *limits, const char *folder)
{
    char path[1400], text[128];
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (file_read_small(path, text, sizeof text))
        take_cpus(limits, machine_parse_cpu_max(text));
    take_memory(limits, folder, &(struct memory_names){"memory.max", "memory.current", "inactive_file"});
}

static void read_group_v1(struct cgroup_limits *limits, const char *folder)
{
    char path[1400], quota[64], period[64], both[132];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (file_read_small(path, quota, sizeof quota)) {
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (file_read_small(path, period, sizeof period)) {
            snprintf(both, sizeof both, "%s %s", quota, period);
            take_cpus(limits, machine_parse_cpu_max(both));
        }
    }
    take_memory(limits, folder, &(struct memory_names){"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"});
}

/* Walks from the process's group up to the root of the hierarchy. In a container the path may not exist below the mount; then the mount itself is the group. */
static void walk_groups(struct cgroup_limits *limits, const char *mount, const char *group, void (*read_group)(struct cgroup_limits *, const char *))
{
    char folder[1200];
    int length = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (length < 0 || (size_t)length >= sizeof folder)
        return;
    size_t shortest = strlen(mount);
    for (;;) {
        read_group(limits, folder);
        if (strlen(folder) <= shortest)
            return;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < shortest)
            return;
        *slash = '\0';
    }
}

/* Reads the beginning of root + path. */
static bool read_below(const char *root, const char *path, char *text, size_t capacity)
{
    char whole[512];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    return length > 0 && (size_t)length < sizeof whole && file_read_small(whole, text, capacity);
}

static void read_cgroups(const char *root, struct cgroup_limits *limits)
{
    static const char *const v1_controllers[] = {"cpu", "cpu,cpuacct", "cpuacct,cpu", "memory"};
    char text[4096];
    if (!read_below(root, "/proc/self/cgroup", text, sizeof text))
        return;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        controllers++;
        if (!*controllers) { /* "0::/path": the unified hierarchy */
            char mount[512];
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
            walk_groups(limits, mount, group, read_group_v2);
            continue;
        }
        for (size_t i = 0; i < sizeof v1_controllers / sizeof *v1_controllers; i++) {
            if (strcmp(controllers, v1_controllers[i]) != 0)
                continue;
            char mount[512];
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, v1_controllers[i]);
            walk_groups(limits, mount, group, read_group_v1);
        }
    }
}

static uint64_t meminfo_bytes(const char *text, const char *key)
{
    const char *line = strstr(text, key);
    return line ? (uint64_t)strtoull(line + strlen(key), NULL, 10) * 1024u : 0;
}

static void read_memory(const char *root, struct machine *machine, const struct cgroup_limits *limits)
{
    char text[4096];
    if (read_below(root, "/proc/meminfo", text, sizeof text)) {
        machine->memory_total = meminfo_bytes(text, "MemTotal:");
        machine->memory_available = meminfo_bytes(text, "MemAvailable:");
    }
    if (!limits->memory)
        return;
    machine->memory_available = smaller_limit(machine->memory_available, limits->memory_free ? limits->memory_free : 1);
    if (!machine->memory_total || limits->memory < machine->memory_total) {
        machine->memory_limited = true;
        machine->memory_total = limits->memory;
    }
}

static void read_affinity(struct machine *machine)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE && machine->n_cpus < MACHINE_MAX_CPUS; cpu++) {
            if (CPU_ISSET((size_t)cpu, &set))
                machine->cpus[machine->n_cpus++] = (int16_t)cpu;
        }
    }
    if (!machine->n_cpus)
        machine->n_cpus = 1; /* CPU 0, as initialised */
}

static void read_cpu_model(const char *root, struct machine *machine)
{
    char text[8192];
    if (read_below(root, "/proc/cpuinfo", text, sizeof text)) {
        const char *line = strstr(text, "model name");
        const char *colon = line ? strchr(line, ':') : NULL;
        if (colon) {
            colon++;
            colon += strspn(colon, " \t");
            size_t length = strcspn(colon, "\n");
            snprintf(machine->cpu_model, sizeof machine->cpu_model, "%.*s", (int)(length < 90 ? length : 90), colon);
            return;
        }
    }
    struct utsname name;
    snprintf(machine->cpu_model, sizeof machine->cpu_model, "%.90s", uname(&name) == 0 ? name.machine : "unknown CPU");
}

uint64_t machine_memory_reserve(uint64_t available)
{
    return available / 8 > LEAST_RESERVE ? available / 8 : LEAST_RESERVE;
}

void machine_inspect_below(const char *root, struct machine *machine)
{
    memset(machine, 0, sizeof *machine);
    struct cgroup_limits limits = {.memory_free = UINT64_MAX};
    char text[128];
    read_affinity(machine);
    read_cgroups(root, &limits);
    read_memory(root, machine, &limits);
    read_cpu_model(root, machine);
    machine->cpu_quota = limits.cpus;
    machine->n_usable = machine->n_cpus;
    if (limits.cpus > 0 && limits.cpus < machine->n_cpus) {
        int32_t whole = (int32_t)limits.cpus;
        machine->n_usable = whole + ((double)whole < limits.cpus);
        if (machine->n_usable < 1)
            machine->n_usable = 1;
    }
    long page = sysconf(_SC_PAGESIZE);
    machine->page_bytes = page > 0 ? (uint64_t)page : 4096;
    if (read_below(root, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", text, sizeof text))
        machine->huge_page_bytes = machine_parse_memory_limit(text);
}

void machine_inspect(struct machine *machine)
{
    machine_inspect_below("", machine);
}
