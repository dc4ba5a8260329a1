/* Which dialects there are, which this machine can run, and the table made of them. */
#include "chip/cpu/kernels.h"

#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static bool always_available(void)
{
    return true;
}

#if defined(__x86_64__)
/* The compiler's own detection also asks XGETBV whether the operating system saves the wide registers. */
static bool avx2_available(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

static bool avx512_available(void)
{
    return avx2_available() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

static bool avx512_bf16_available(void)
{
    return avx512_available() && __builtin_cpu_supports("avx512bf16");
}

#define XTILEDATA 18 /* the part of a thread's state that tiles are; the kernel gives it on request, to the whole process */
#define REQUEST_STATE 0x1023

static bool amx_available(void)
{
    unsigned eax, ebx, ecx, edx;
    if (!avx512_bf16_available() || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return false;
    bool tiles = edx >> 24 & 1, bytes = edx >> 25 & 1;
    return tiles && bytes && syscall(SYS_arch_prctl, REQUEST_STATE, XTILEDATA) == 0;
}
#else
static bool avx2_available(void)
{
    return false;
}
static bool avx512_available(void)
{
    return false;
}
static bool avx512_bf16_available(void)
{
    return false;
}
static bool amx_available(void)
{
    return false;
}
void cpu_fill_amx(struct cpu_kernels *kernels)
{
    (void)kernels;
}
void cpu_fill_avx2(struct cpu_kernels *kernels)
{
    (void)kernels;
}
void cpu_fill_avx512(struct cpu_kernels *kernels)
{
    (void)kernels;
}
void cpu_fill_avx512_bf16(struct cpu_kernels *kernels)
{
    (void)kernels;
}
#endif

#if defined(__aarch64__)
static bool neon_available(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}
#else
static bool neon_available(void)
{
    return false;
}
void cpu_fill_neon(struct cpu_kernels *kernels)
{
    (void)kernels;
}
#endif

const struct cpu_dialect_row cpu_dialects[DIALECT_COUNT] = {
    [DIALECT_PORTABLE] = {"portable", "any CPU", always_available, cpu_fill_portable, false},
    [DIALECT_NEON] = {"neon", "Armv8.2 with dot products", neon_available, cpu_fill_neon, false},
    [DIALECT_AVX2] = {"avx2", "AVX2, FMA, F16C and BMI2", avx2_available, cpu_fill_avx2, false},
    [DIALECT_AVX512] = {"avx512", "AVX-512 F, BW, VL, DQ and VNNI", avx512_available, cpu_fill_avx512, false},
    [DIALECT_AVX512_BF16] = {"avx512-bf16", "AVX-512 F, BW, VL, DQ, VNNI and BF16", avx512_bf16_available, cpu_fill_avx512_bf16, false},
    [DIALECT_AMX] = {"amx", "AMX tiles of int8 and what avx512-bf16 needs", amx_available, cpu_fill_amx, true},
};

enum cpu_dialect cpu_best_dialect(void)
{
    int best = DIALECT_PORTABLE;
    for (int i = 0; i < DIALECT_COUNT; i++) {
        if (!cpu_dialects[i].only_by_name && cpu_dialects[i].available())
            best = i;
    }
    return (enum cpu_dialect)best;
}

void cpu_fill_kernels(struct cpu_kernels *kernels, enum cpu_dialect highest)
{
    memset(kernels, 0, sizeof *kernels);
    for (int i = 0; i <= (int)highest; i++)
        cpu_dialects[i].fill(kernels); /* those of other machines fill in nothing */
}

panel_kernel cpu_panel_kernel(const struct cpu_kernels *kernels, enum panel_kind kind)
{
    const panel_kernel all[PANEL_KIND_COUNT] = {
        [PANEL_Q4_0] = kernels->panel_q4_0, [PANEL_Q4_1] = kernels->panel_q4_1, [PANEL_Q5_0] = kernels->panel_q5_0, [PANEL_Q5_1] = kernels->panel_q5_1,
        [PANEL_Q8_0] = kernels->panel_q8_0, [PANEL_Q2_K] = kernels->panel_q2_k, [PANEL_Q3_K] = kernels->panel_q3_k, [PANEL_Q4_K] = kernels->panel_q4_k,
        [PANEL_Q5_K] = kernels->panel_q5_k, [PANEL_Q6_K] = kernels->panel_q6_k, [PANEL_F32] = kernels->panel_f32,   [PANEL_F16] = kernels->panel_f16,
        [PANEL_BF16] = kernels->panel_bf16,
    };
    return all[kind];
}
