/* Measuring what this machine's arithmetic can do at most: nothing but independent multiplications and additions on registers. A kernel's distance from
 * this is what there is to gain. */
#ifndef CHIP_CPU_PEAKS_H
#define CHIP_CPU_PEAKS_H

#include "base/error.h"
#include "chip/chip.h"
#include "chip/cpu/kernels.h"

/* Operations per second of `threads` threads with the instructions of a dialect, a multiplication and an addition counted as two; the best of a few short
 * passes. 0 where the dialect or the machine has no such arithmetic. The dialect must be available. */
int cpu_measure_peaks(enum cpu_dialect dialect, int32_t threads, double peaks[RATE_COUNT], struct error *err);

/* Does `rounds` rounds of operations of a rate and returns how many operations that was; 0: it has none. One per dialect. */
uint64_t cpu_spin_portable(enum chip_rate rate, uint64_t rounds);
uint64_t cpu_spin_avx2(enum chip_rate rate, uint64_t rounds);
uint64_t cpu_spin_avx512(enum chip_rate rate, uint64_t rounds);

#endif
