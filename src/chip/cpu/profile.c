/* The CPU chip's profiles: one for each dialect. Memory is this machine's; peaks and bandwidth are measured when asked for. */
#include <stdio.h>
#include <string.h>

#include "base/bandwidth.h"
#include "base/machine.h"
#include "base/memory.h"
#include "chip/cpu/cpu.h"
#include "chip/cpu/peaks.h"
#include "chip/cpu/plan.h"

static void fill_profile(const struct cpu_dialect_row *dialect, const struct machine *machine, struct chip_profile *profile)
{
    *profile = (struct chip_profile){.is_here = dialect->available(), .guarantee = GUARANTEE_SPLIT, .cache_type = TENSOR_F16, .block_tokens = CPU_BLOCK_TOKENS};
    snprintf(profile->name, sizeof profile->name, "%s", dialect->name);
    if (!profile->is_here) {
        snprintf(profile->product, sizeof profile->product, "a CPU with %s", dialect->requires);
        return;
    }
    snprintf(profile->product, sizeof profile->product, "%s, %d worker%s, %s", machine->cpu_model, machine->n_usable, machine->n_usable == 1 ? "" : "s",
             dialect->name);
    profile->memory_bytes = machine->memory_total;
    profile->memory_free = machine->memory_available;
    profile->memory_reserved = machine_memory_reserve(machine->memory_available);
    profile->memory_source = "this machine, now";
}

int cpu_profiles(struct chip_profile *profiles, int max)
{
    struct machine *machine = mem_alloc(sizeof *machine);
    int count = 0;
    if (!machine)
        return 0;
    machine_inspect(machine);
    for (int dialect = DIALECT_COUNT - 1; dialect >= 0 && count < max; dialect--)
        fill_profile(&cpu_dialects[dialect], machine, &profiles[count++]);
    mem_free(machine);
    return count;
}

int cpu_measure(struct chip_profile *profile, struct error *err)
{
    struct machine *machine = mem_alloc(sizeof *machine);
    int dialect = 0, code = 0;
    if (!machine)
        return error_no_memory(err, "measuring the CPU");
    machine_inspect(machine);
    int32_t threads = machine->n_usable < POOL_MAX_WORKERS ? machine->n_usable : POOL_MAX_WORKERS;
    mem_free(machine);
    while (dialect < DIALECT_COUNT && strcmp(cpu_dialects[dialect].name, profile->name) != 0)
        dialect++;
    if (dialect == DIALECT_COUNT || !profile->is_here)
        return error_set(err, SAMPAN_EUNSUPPORTED, "measuring cpu:%s: this machine does not have it", profile->name);
    if (profile->memory_bandwidth <= 0)
        profile->memory_bandwidth = bandwidth_measure(threads);
    if (profile->memory_bandwidth > 0)
        profile->bandwidth_source = "measured now";
    code = cpu_measure_peaks((enum cpu_dialect)dialect, threads, profile->peak, err);
    profile->peak_source = "measured now";
    return code;
}
