/* Portable: multiplications and additions as the compiler's baseline has them. Only fp32: its integer kernels are plain C loops, which no peak describes. */
#include "chip/cpu/peaks.h"

#include <string.h>

enum { ACCUMULATORS = 10, FLOATS = 4 };

typedef float vector __attribute__((vector_size(FLOATS * sizeof(float))));

static _Thread_local volatile float sink; /* so that the sums are made */

uint64_t cpu_spin_portable(enum chip_rate rate, uint64_t rounds)
{
    vector sums[ACCUMULATORS], a = {0.5f, 0.25f, 0.125f, 0.75f}, b = {1.0f, 2.0f, 3.0f, 4.0f};
    if (rate != RATE_F32)
        return 0;
    memset(sums, 0, sizeof sums);
    for (uint64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 10
        for (int k = 0; k < ACCUMULATORS; k++)
            sums[k] = sums[k] * a + b;
    }
    for (int k = 1; k < ACCUMULATORS; k++)
        sums[0] += sums[k];
    sink = sums[0][0];
    return rounds * ACCUMULATORS * FLOATS * 2;
}
