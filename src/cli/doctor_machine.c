#include "cli/doctor_machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <jansson.h>
#include <pcre2.h>

#include "cli/session.h"
#include "sampan.h"

#define LITTLE_MEMORY ((uint64_t)512 << 20) /* below this hardly any model opens */

static uint64_t read_limit(__rlimit_resource_t resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit))
        return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

void doctor_inspect_machine(struct doctor_machine *found)
{
    machine_inspect(&found->machine);
    topology_inspect("", &found->machine, &found->topology);
    found->lock_limit = read_limit(RLIMIT_MEMLOCK);
    found->file_limit = read_limit(RLIMIT_NOFILE);
}

/* ---- The program. */

static void judge_program(struct report *report)
{
    char version[64] = "unknown";
    struct utsname system;
    report->section = "program";
    report_add(report, REPORT_FACT, "sampan", NULL, "%s, built with %s", sampan_version(),
#if defined(__clang__)
               "clang " __clang_version__);
#else
               "gcc " __VERSION__);
#endif
    pcre2_config(PCRE2_CONFIG_VERSION, version);
    report_add(report, REPORT_FACT, "libraries", NULL, "PCRE2 %s, jansson %s", version, jansson_version_str());
    uint32_t has_compiler = 0;
    pcre2_config(PCRE2_CONFIG_JIT, &has_compiler);
    if (!has_compiler)
        report_add(report, REPORT_WARNING, "pattern compiler", "install a PCRE2 that was built with JIT: tokenizing is several times slower without",
                   "this PCRE2 has none");
    if (!uname(&system))
        report_add(report, REPORT_FACT, "system", NULL, "%s %s, %s", system.sysname, system.release, system.machine);
}

/* ---- CPUs. */

static void judge_cpus(const struct doctor_machine *found, struct report *report)
{
    const struct machine *machine = &found->machine;
    const struct topology *topology = &found->topology;
    report->section = "cpu";
    report_add(report, REPORT_FACT, "model", NULL, "%s", machine->cpu_model);
    if (topology->n_online > machine->n_cpus)
        report_add(report, REPORT_FACT, "CPUs", NULL, "%" PRId32 " of the machine's %" PRId32 " (affinity)", machine->n_cpus, topology->n_online);
    else
        report_add(report, REPORT_FACT, "CPUs", NULL, "%" PRId32, machine->n_cpus);
    report_number(report, machine->n_cpus);
    if (machine->cpu_quota > 0 && machine->cpu_quota < machine->n_cpus) {
        bool whole = machine->cpu_quota >= (double)machine->n_usable;
        report_add(report, whole ? REPORT_FACT : REPORT_WARNING, "CPU quota",
                   whole ? NULL : "give the container whole CPUs (cpu.max): threads are stopped for the rest of each period once the quota is used up",
                   "%.2f CPUs' worth of time (cgroup)", machine->cpu_quota);
        report_number(report, machine->cpu_quota);
    }
    if (topology->n_cores && machine->n_usable > topology->n_cores)
        report_add(report, REPORT_WARNING, "cores", "try --threads N with the number of cores: two threads of a core share its arithmetic",
                   "%" PRId32 " cores for %" PRId32 " workers", topology->n_cores, machine->n_usable);
    else if (topology->n_cores)
        report_add(report, REPORT_FACT, "cores", NULL, "%" PRId32 " in %" PRId32 " package%s", topology->n_cores, topology->n_packages,
                   topology->n_packages == 1 ? "" : "s");
    else
        report_add(report, REPORT_FACT, "cores", NULL, "not known (/sys cannot be read)");
    report_add(report, REPORT_FACT, "workers", NULL, "%" PRId32, machine->n_usable);
    report_number(report, machine->n_usable);
    if (strcmp(topology->governor, "powersave") == 0)
        report_add(report, REPORT_WARNING, "clock", "set the governor to performance: cpupower frequency-set -g performance", "governor powersave");
    else if (*topology->governor)
        report_add(report, REPORT_FACT, "clock", NULL, "governor %s", topology->governor);
    for (int32_t i = 0; i < topology->n_caches; i++) {
        const struct topology_cache *cache = &topology->caches[i];
        char name[32], bytes[32], count[32] = "";
        snprintf(name, sizeof name, "L%" PRId32 "%s cache", cache->level, cache->kind == 'i' ? " instruction" : cache->kind == 'd' ? " data" : "");
        if (cache->count)
            snprintf(count, sizeof count, "%" PRId32 " x ", cache->count);
        report_add(report, REPORT_FACT, name, NULL, "%s%s", count, format_bytes(cache->bytes, bytes));
        report_number(report, (double)cache->bytes);
    }
}

/* ---- Memory. */

static void judge_room(const struct machine *machine, const struct topology *topology, struct report *report)
{
    char total[32], available[32], swap[32], used[32];
    report_add(report, REPORT_FACT, "total", NULL, "%s%s", machine->memory_total ? format_bytes(machine->memory_total, total) : "not known",
               machine->memory_limited ? " (limit of the cgroup)" : "");
    report_number(report, machine->memory_total ? (double)machine->memory_total : -1);
    bool little = machine->memory_available && machine->memory_available < LITTLE_MEMORY;
    report_add(report, little ? REPORT_WARNING : REPORT_FACT, "free", little ? "end other programs, or raise memory.max: few models open in so little" : NULL,
               "%s", machine->memory_available ? format_bytes(machine->memory_available, available) : "not known");
    report_number(report, machine->memory_available ? (double)machine->memory_available : -1);
    uint64_t in_use = topology->swap_total > topology->swap_free ? topology->swap_total - topology->swap_free : 0;
    bool swapping = in_use > machine->memory_total / 8 && machine->memory_total;
    report_add(report, swapping ? REPORT_WARNING : REPORT_FACT, "swap",
               swapping ? "much is swapped out already: weights that are swapped make every token wait for the disk; free memory first" : NULL,
               topology->swap_total ? "%s, %s in use" : "none", format_bytes(topology->swap_total, swap), format_bytes(in_use, used));
}

static void judge_pages(const struct doctor_machine *found, struct report *report)
{
    const struct topology *topology = &found->topology;
    char huge[32], limit[32];
    if (strcmp(topology->huge_pages, "never") == 0)
        report_add(report, REPORT_WARNING, "huge pages",
                   "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (weights are read with fewer misses)",
                   "transparent huge pages are switched off");
    else if (*topology->huge_pages)
        report_add(report, REPORT_WELL, "huge pages", NULL, "%s, %s", topology->huge_pages, format_bytes(found->machine.huge_page_bytes, huge));
    else
        report_add(report, REPORT_FACT, "huge pages", NULL, "not known (/sys cannot be read)");
    report_add(report, REPORT_FACT, "locked memory", NULL, "%s may be locked (nothing needs it on a CPU)",
               found->lock_limit == UINT64_MAX ? "any amount" : format_bytes(found->lock_limit, limit));
}

static void judge_nodes(const struct topology *topology, struct report *report)
{
    int32_t used = 0;
    for (int32_t i = 0; i < topology->n_nodes; i++)
        used += topology->nodes[i].n_cpus > 0;
    if (topology->n_nodes < 2) {
        report_add(report, REPORT_FACT, "NUMA", NULL, topology->n_nodes ? "one node" : "not known (/sys cannot be read)");
        return;
    }
    report_add(report, used > 1 ? REPORT_WARNING : REPORT_FACT, "NUMA",
               used > 1 ? "run one process per node where a model fits into one: numactl --cpunodebind=N --membind=N sampan ..." : NULL,
               "%" PRId32 " nodes, CPUs that may be used on %" PRId32, topology->n_nodes, used);
    for (int32_t i = 0; i < topology->n_nodes; i++) {
        const struct topology_node *node = &topology->nodes[i];
        char name[32], total[32], available[32];
        snprintf(name, sizeof name, "node %" PRId32, node->number);
        report_add(report, REPORT_FACT, name, NULL, "%" PRId32 " CPUs, %s, %s free", node->n_cpus, format_bytes(node->memory_total, total),
                   format_bytes(node->memory_free, available));
    }
}

void doctor_judge_machine(const struct doctor_machine *found, struct report *report)
{
    judge_program(report);
    judge_cpus(found, report);
    report->section = "memory";
    judge_room(&found->machine, &found->topology, report);
    judge_pages(found, report);
    judge_nodes(&found->topology, report);
    if (found->file_limit && found->file_limit < 256)
        report_add(report, REPORT_WARNING, "open files", "raise it: ulimit -n 1024 (a model of many shards keeps each open)", "at most %" PRIu64,
                   found->file_limit);
}
