/* Plain C: the float kernels over this folder's lanes, and the table's rows. */
#include "chip/cpu/portable/lanes.h"

#include "chip/cpu/portable/panels.h"
#include "chip/cpu/kernels.h"
#include "chip/cpu/lanes_kernels.h"

void cpu_fill_portable(struct cpu_kernels *kernels)
{
    lanes_fill(kernels);
    portable_fill_panels(kernels);
}
