/* AVX2: fused multiply-adds of 8 floats; VPMADDUBSW of 32 bytes with an addition of pairs, as the integer panels do at their fastest. */
#include "chip/cpu/peaks.h"

#include <immintrin.h>

enum { ACCUMULATORS = 10 };

static _Thread_local volatile float float_sink; /* so that the sums are made */
static _Thread_local volatile int integer_sink;

static uint64_t spin_floats(uint64_t rounds)
{
    __m256 sums[ACCUMULATORS], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
    for (int k = 0; k < ACCUMULATORS; k++)
        sums[k] = _mm256_set1_ps((float)k);
    for (uint64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 10
        for (int k = 0; k < ACCUMULATORS; k++)
            sums[k] = _mm256_fmadd_ps(sums[k], a, b);
    }
    for (int k = 1; k < ACCUMULATORS; k++)
        sums[0] = _mm256_add_ps(sums[0], sums[k]);
    float_sink = _mm256_cvtss_f32(sums[0]);
    return rounds * ACCUMULATORS * 8 * 2;
}

static uint64_t spin_bytes(uint64_t rounds)
{
    __m256i sums[ACCUMULATORS], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
    for (int k = 0; k < ACCUMULATORS; k++)
        sums[k] = _mm256_set1_epi16((short)k);
    for (uint64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 10
        for (int k = 0; k < ACCUMULATORS; k++) {
            __asm__ volatile("" : "+x"(a)); /* as if it were another input: each product is computed */
            sums[k] = _mm256_add_epi16(sums[k], _mm256_maddubs_epi16(a, b));
        }
    }
    for (int k = 1; k < ACCUMULATORS; k++)
        sums[0] = _mm256_add_epi16(sums[0], sums[k]);
    integer_sink = _mm256_extract_epi16(sums[0], 0);
    return rounds * ACCUMULATORS * 32 * 2;
}

uint64_t cpu_spin_avx2(enum chip_rate rate, uint64_t rounds)
{
    return rate == RATE_F32 ? spin_floats(rounds) : rate == RATE_INT8 ? spin_bytes(rounds) : 0;
}
