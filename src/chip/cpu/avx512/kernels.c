/* AVX-512: the float kernels over this folder's lanes, and the table's rows. */
#include "chip/cpu/avx512/lanes.h"

#include "chip/cpu/avx512/panels.h"
#include "chip/cpu/kernels.h"
#include "chip/cpu/lanes_kernels.h"

void cpu_fill_avx512(struct cpu_kernels *kernels)
{
    lanes_fill(kernels);
    avx512_fill_panels(kernels);
}
