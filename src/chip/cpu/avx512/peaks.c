/* AVX-512: fused multiply-adds of 16 floats, VPDPBUSD of 64 bytes, and VDPBF16PS of 32 bfloat16 pairs where the machine has it. */
#include "chip/cpu/peaks.h"

#include <immintrin.h>

enum { ACCUMULATORS = 16 };

static _Thread_local volatile float float_sink; /* so that the sums are made */
static _Thread_local volatile int integer_sink;

static uint64_t spin_floats(uint64_t rounds)
{
    __m512 sums[ACCUMULATORS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.0f);
    for (int k = 0; k < ACCUMULATORS; k++)
        sums[k] = _mm512_set1_ps((float)k);
    for (uint64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
        for (int k = 0; k < ACCUMULATORS; k++)
            sums[k] = _mm512_fmadd_ps(sums[k], a, b);
    }
    for (int k = 1; k < ACCUMULATORS; k++)
        sums[0] = _mm512_add_ps(sums[0], sums[k]);
    float_sink = _mm512_reduce_add_ps(sums[0]);
    return rounds * ACCUMULATORS * 16 * 2;
}

static uint64_t spin_bytes(uint64_t rounds)
{
    __m512i sums[ACCUMULATORS], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
    for (int k = 0; k < ACCUMULATORS; k++)
        sums[k] = _mm512_set1_epi32(k);
    for (uint64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
        for (int k = 0; k < ACCUMULATORS; k++)
            sums[k] = _mm512_dpbusd_epi32(sums[k], a, b);
    }
    for (int k = 1; k < ACCUMULATORS; k++)
        sums[0] = _mm512_add_epi32(sums[0], sums[k]);
    integer_sink = _mm512_reduce_add_epi32(sums[0]);
    return rounds * ACCUMULATORS * 64 * 2;
}

__attribute__((target("avx512bf16"))) static uint64_t spin_bfloats(uint64_t rounds)
{
    __m512 sums[ACCUMULATORS];
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f003f00), b = (__m512bh)_mm512_set1_epi32(0x3f803f80); /* 0.5 and 1 */
    for (int k = 0; k < ACCUMULATORS; k++)
        sums[k] = _mm512_set1_ps((float)k);
    for (uint64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
        for (int k = 0; k < ACCUMULATORS; k++)
            sums[k] = _mm512_dpbf16_ps(sums[k], a, b);
    }
    for (int k = 1; k < ACCUMULATORS; k++)
        sums[0] = _mm512_add_ps(sums[0], sums[k]);
    float_sink = _mm512_reduce_add_ps(sums[0]);
    return rounds * ACCUMULATORS * 32 * 2;
}

uint64_t cpu_spin_avx512(enum chip_rate rate, uint64_t rounds)
{
    switch (rate) {
    case RATE_F32: return spin_floats(rounds);
    case RATE_INT8: return spin_bytes(rounds);
    case RATE_BF16: return __builtin_cpu_supports("avx512bf16") ? spin_bfloats(rounds) : 0;
    default: return 0;
    }
}
