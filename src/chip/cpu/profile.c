/* The CPU chip's profiles: one for each dialect. Memory is this machine's; peaks and bandwidth are measured when asked for. */
#include <stdio.h>

#include "base/machine.h"
#include "base/memory.h"
#include "chip/cpu/cpu.h"
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
