/* NEON: the float kernels over this folder's lanes, and the table's rows. */
#include "chip/cpu/neon/lanes.h"

#include "chip/cpu/kernels.h"
#include "chip/cpu/lanes_kernels.h"
#include "chip/cpu/neon/panels.h"

void cpu_fill_neon(struct cpu_kernels *kernels)
{
    lanes_fill(kernels);
    neon_fill_panels(kernels);
}
