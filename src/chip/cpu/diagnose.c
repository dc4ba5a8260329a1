/* What the CPU chip tells of itself: which dialect runs and why, what the machine's instructions are, what memory and arithmetic give. */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/report.h"
#include "chip/cpu/cpu.h"
#include "chip/cpu/plan.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Instructions that matter here and where CPUID tells of them (Intel's and AMD's manuals: leaf, subleaf, register, bit). */
static const struct {
    const char *name;
    unsigned leaf, subleaf;
    int reg; /* 0 eax, 1 ebx, 2 ecx, 3 edx */
    int bit;
} features[] = {
    {"AVX2", 7, 0, 1, 5},       {"FMA", 1, 0, 2, 12},       {"F16C", 1, 0, 2, 29},        {"AVX-VNNI", 7, 1, 0, 4},    {"AVX-512F", 7, 0, 1, 16},
    {"AVX-512BW", 7, 0, 1, 30}, {"AVX-512VL", 7, 0, 1, 31}, {"AVX-512VNNI", 7, 0, 2, 11}, {"AVX-512BF16", 7, 1, 0, 5}, {"AVX-512FP16", 7, 0, 3, 23},
    {"AMX-TILE", 7, 0, 3, 24},  {"AMX-INT8", 7, 0, 3, 25},  {"AMX-BF16", 7, 0, 3, 22},
};

static void list_features(struct buffer *out)
{
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        unsigned registers[4] = {0};
        if (!__get_cpuid_count(features[i].leaf, features[i].subleaf, &registers[0], &registers[1], &registers[2], &registers[3]))
            continue;
        if (registers[features[i].reg] >> features[i].bit & 1)
            buffer_printf(out, "%s%s", out->length ? ", " : "", features[i].name);
    }
}
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

static void list_features(struct buffer *out)
{
    unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    const struct {
        const char *name;
        unsigned long found;
    } known[] = {{"NEON", first & HWCAP_ASIMD}, {"FP16", first & HWCAP_ASIMDHP}, {"DOTPROD", first & HWCAP_ASIMDDP},
                 {"SVE", first & HWCAP_SVE},    {"I8MM", second & HWCAP2_I8MM},  {"BF16", second & HWCAP2_BF16}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].found)
            buffer_printf(out, "%s%s", out->length ? ", " : "", known[i].name);
}
#else
static void list_features(struct buffer *out)
{
    (void)out;
}
#endif

static void tell_dialects(const struct cpu_chip *chip, struct report *report)
{
    enum cpu_dialect best = cpu_best_dialect();
    const char *name = cpu_dialects[chip->dialect].name;
    if (chip->dialect != best)
        report_add(report, REPORT_FACT, "dialect", NULL, "%s, as asked for; the best here is %s", name, cpu_dialects[best].name);
    else if (best == DIALECT_PORTABLE)
        report_add(report, REPORT_WARNING, "dialect",
                   "expect a small part of the speed of newer machines; in a virtual machine, have the host pass its CPU through (CPU type 'host')",
                   "portable C: this CPU has none of the instructions that a faster one needs");
    else
        report_add(report, REPORT_WELL, "dialect", NULL, "%s, the best of those that this CPU can run (it has %s)", name, cpu_dialects[best].requires);
    for (int dialect = DIALECT_COUNT - 1; dialect > (int)best; dialect--)
        report_add(report, REPORT_FACT, cpu_dialects[dialect].name, NULL, "not here: it needs %s", cpu_dialects[dialect].requires);
}

static void tell_figures(const struct chip_profile *profile, struct report *report)
{
    static const char *const names[RATE_COUNT] = {[RATE_F32] = "fp32 peak", [RATE_F16] = "fp16 peak", [RATE_BF16] = "bf16 peak", [RATE_INT8] = "int8 peak"};
    if (profile->memory_bandwidth > 0)
        report_add(report, REPORT_FACT, "memory bandwidth", NULL, "%.1f GB/s, read by all CPUs that may be used", profile->memory_bandwidth * 1e-9);
    else
        report_add(report, REPORT_WARNING, "memory bandwidth", "free some memory: a model that needs more than is free will not open",
                   "too little memory is free to measure it");
    report_number(report, profile->memory_bandwidth > 0 ? profile->memory_bandwidth : -1);
    for (int rate = 0; rate < RATE_COUNT; rate++)
        if (profile->peak[rate] > 0) {
            report_add(report, REPORT_FACT, names[rate], NULL, "%.0f G operations/s", profile->peak[rate] * 1e-9);
            report_number(report, profile->peak[rate]);
        }
}

int cpu_diagnose(struct chip *base, struct report *report, struct error *err)
{
    const struct cpu_chip *chip = (const struct cpu_chip *)base;
    struct chip_profile profiles[DIALECT_COUNT];
    struct buffer list;
    buffer_init(&list, 4096);
    list_features(&list);
    report_add(report, REPORT_FACT, "instructions", NULL, "%s", list.length ? list.data : "nothing beyond the baseline, or not known");
    buffer_free(&list);
    tell_dialects(chip, report);
    int n = cpu_profiles(profiles, DIALECT_COUNT);
    for (int i = 0; i < n; i++) {
        if (strcmp(profiles[i].name, cpu_dialects[chip->dialect].name) != 0)
            continue;
        int code = cpu_measure(&profiles[i], err);
        if (code)
            return code;
        tell_figures(&profiles[i], report);
    }
    return report->failed ? error_no_memory(err, "diagnosing the CPU") : 0;
}
