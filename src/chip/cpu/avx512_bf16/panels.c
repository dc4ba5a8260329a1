/* AVX-512 BF16: panels of bf16 weights by VDPBF16PS, which multiplies pairs of bf16 and adds both products to an fp32 sum; everything else is avx512's. The
 * input is rounded to bf16 first. The instruction rounds to nearest even and flushes denormals; as its manual has it, the pair's second product is added
 * first. What it does with a pair is the same for one row and for many, and that is all the canonical order needs.
 *
 * Bound. One row: the panel's bytes from memory. Many rows: one VDPBF16PS for 512 products per cycle on a full-rate 512-bit unit, and as many loads of
 * broadcast pairs. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "chip/cpu/kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ROWS_AT_ONCE 8

static ALWAYS_INLINE __m512bh broadcast_pair(const uint16_t *pair)
{
    int32_t word;
    memcpy(&word, pair, sizeof word);
    return (__m512bh)_mm512_set1_epi32(word);
}

/* Both lines, or, where rows take two passes over a panel, one in each, so that memory works all the time. */
static ALWAYS_INLINE void fetch_ahead(const struct panel_job *job, const uint8_t *weights, int32_t first_row)
{
    const char *lines = (const char *)weights + job->ahead;
    if (!job->ahead || first_row > ROWS_AT_ONCE)
        return;
    if (job->n_rows > ROWS_AT_ONCE) {
        _mm_prefetch(lines + (first_row ? 64 : 0), _MM_HINT_T1);
        return;
    }
    _mm_prefetch(lines, _MM_HINT_T0);
    _mm_prefetch(lines + 64, _MM_HINT_T0);
}

/* Two accumulators per output: even and odd pairs, counted from the segment's first; added at the end. */
static ALWAYS_INLINE void multiply_rows(int n_rows, const struct panel_job *job, int32_t first_row)
{
    __m512 sums[ROWS_AT_ONCE][2];
    const uint16_t *x = job->x_bf16 + first_row * job->x_stride;
    const uint8_t *panel = job->panel;
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    int32_t c = job->first;
    for (; c + 4 <= job->last; c += 4) {
        __m512bh even = (__m512bh)_mm512_loadu_si512(panel + c * 32), odd = (__m512bh)_mm512_loadu_si512(panel + c * 32 + 64);
        fetch_ahead(job, panel + c * 32, first_row);
#pragma GCC unroll 8
        for (int r = 0; r < n_rows; r++) {
            const uint16_t *pairs = x + r * job->x_stride + c;
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], even, broadcast_pair(pairs));
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], odd, broadcast_pair(pairs + 2));
        }
    }
    for (int i = 0; c < job->last; c += 2, i++) {
        __m512bh weights = (__m512bh)_mm512_loadu_si512(panel + c * 32);
#pragma GCC unroll 8
        for (int r = 0; r < n_rows; r++)
            sums[r][i] = _mm512_dpbf16_ps(sums[r][i], weights, broadcast_pair(x + r * job->x_stride + c));
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
        _mm512_storeu_ps(job->out + (first_row + r) * job->out_stride, _mm512_add_ps(sums[r][0], sums[r][1]));
}

static void panel_bf16(const struct panel_job *job)
{
    int32_t row = 0;
    for (; row + ROWS_AT_ONCE <= job->n_rows; row += ROWS_AT_ONCE)
        multiply_rows(ROWS_AT_ONCE, job, row);
    for (; row + 4 <= job->n_rows; row += 4)
        multiply_rows(4, job, row);
    for (; row < job->n_rows; row++)
        multiply_rows(1, job, row);
}

/* Round to nearest even; denormals become zero, NaN stays NaN. */
static void narrow_bf16(const float *source, uint16_t *destination, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 mask = n - i >= 16 ? (__mmask16)0xFFFF : (__mmask16)((1u << (n - i)) - 1u);
        _mm256_mask_storeu_epi16(destination + i, mask, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, source + i)));
    }
}

void cpu_fill_avx512_bf16(struct cpu_kernels *kernels)
{
    kernels->panel_bf16 = panel_bf16;
    kernels->narrow_bf16 = narrow_bf16;
    kernels->bf16_products = true;
}
