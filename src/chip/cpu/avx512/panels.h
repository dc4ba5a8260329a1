/* AVX-512: the integer panels (panels.c), joined to the table by kernels.c. */
#ifndef CHIP_CPU_AVX512_PANELS_H
#define CHIP_CPU_AVX512_PANELS_H

#include "chip/cpu/kernels.h"

/* The kernel of an integer kind, for dialects on top of this one. */
void avx512_panel(enum panel_kind kind, const struct panel_job *job);

void avx512_fill_panels(struct cpu_kernels *kernels);

#endif
