/* AVX2: the float kernels over this folder's lanes, and the table's rows. */
#include "chip/cpu/avx2/lanes.h"

#include "chip/cpu/avx2/panels.h"
#include "chip/cpu/kernels.h"
#include "chip/cpu/lanes_kernels.h"

void cpu_fill_avx2(struct cpu_kernels *kernels)
{
    lanes_fill(kernels);
    avx2_fill_panels(kernels);
}
