/* NEON: the integer panels (panels.c), joined to the table by kernels.c. */
#ifndef CHIP_CPU_NEON_PANELS_H
#define CHIP_CPU_NEON_PANELS_H

struct cpu_kernels;

void neon_fill_panels(struct cpu_kernels *kernels);

#endif
