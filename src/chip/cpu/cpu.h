/* The CPU chip: vector kernels in dialects, a pool of workers, weights kept quantised. "cpu", "cpu:avx2", "cpu:avx512,threads=2". */
#ifndef CHIP_CPU_CPU_H
#define CHIP_CPU_CPU_H

#include "chip/chip.h"

extern const struct chip_interface cpu_chip_interface;

#endif
