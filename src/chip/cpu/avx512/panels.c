/* AVX-512 VNNI: integer panels. A register holds 16 outputs x 4 columns of a weight; VPDPBUSD multiplies it by 4 bytes of the input, broadcast from memory.
 *
 * Bound. One row: the panel's bytes from memory; about 35 instructions for 320 bytes (U4 with minima), twice as fast as memory delivers. Many rows: VPDPBUSD on
 * the 512-bit units, 16 per 512 products, plus 3 multiplications of floats: at most 27 products per cycle where one 512-bit unit does one per cycle. */
#include "chip/cpu/avx512/panels.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "chip/cpu/kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE __m512i broadcast4(const int8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return _mm512_set1_epi32(word);
}

/* The eight registers of a block: columns 4j .. 4j + 3 of 16 outputs. */
static ALWAYS_INLINE void expand_codes(bool wide, const uint8_t *codes, __m512i weights[8])
{
    if (wide) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            weights[j] = _mm512_loadu_si512(codes + 64 * j);
        return;
    }
    __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m512i both = _mm512_loadu_si512(codes + 64 * j);
        weights[j] = _mm512_and_si512(both, nibble);
        weights[j + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
}

static ALWAYS_INLINE __m512 multiply_block(int bias_shift, const __m512i weights[8], const int8_t *planes, const struct input_meta *meta, __m512 scale,
                                           __m512 sum)
{
    __m512i high = _mm512_setzero_si512();
    __m512i low = bias_shift ? _mm512_slli_epi32(_mm512_set1_epi32(meta->minus_sum), (unsigned)bias_shift) : _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        high = _mm512_dpbusd_epi32(high, weights[j], broadcast4(planes + 4 * j));
        low = _mm512_dpbusd_epi32(low, weights[j], broadcast4(planes + LINEAR_BLOCK + 4 * j));
    }
    __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high, 7), low));
    return _mm512_fmadd_ps(dot, _mm512_mul_ps(scale, _mm512_set1_ps(meta->scale)), sum);
}

static ALWAYS_INLINE void multiply_rows(enum panel_kind kind, int n_rows, const struct panel_job *job, int32_t first_row)
{
    const bool wide = kind == PANEL_U8 || kind == PANEL_U8_MIN, has_min = kind == PANEL_U4_MIN || kind == PANEL_U8_MIN;
    const int bias_shift = kind == PANEL_U4 ? 3 : kind == PANEL_U8 ? 7 : 0;
    const int64_t code_bytes = wide ? 512 : 256, scale_bytes = has_min ? 64 : 32;
    __m512 sums[LINEAR_TILE_ROWS];
#pragma GCC unroll 16
    for (int r = 0; r < n_rows; r++)
        sums[r] = _mm512_setzero_ps();
    for (int32_t b = job->first_block; b < job->last_block; b++) {
        __m512i weights[8];
        const uint8_t *codes = job->codes + b * code_bytes;
        expand_codes(wide, codes, weights);
        _mm_prefetch((const char *)codes + 4096, _MM_HINT_T0);
        __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(job->scales + b * scale_bytes)));
        __m512 minimum = has_min ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(job->scales + b * scale_bytes + 32))) : _mm512_setzero_ps();
        int64_t index = (int64_t)b * job->n_rows + first_row;
        const int8_t *planes = job->planes + index * INPUT_BLOCK_BYTES;
        const struct input_meta *meta = job->meta + index;
#pragma GCC unroll 16
        for (int r = 0; r < n_rows; r++) {
            sums[r] = multiply_block(bias_shift, weights, planes + r * INPUT_BLOCK_BYTES, meta + r, scale, sums[r]);
            if (has_min)
                sums[r] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(meta[r].scaled_sum), sums[r]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < n_rows; r++)
        _mm512_storeu_ps(job->out + (first_row + r) * job->out_stride, sums[r]);
}

static ALWAYS_INLINE void multiply_tile(enum panel_kind kind, const struct panel_job *job)
{
    int32_t row = 0;
    for (; row + 16 <= job->n_rows; row += 16)
        multiply_rows(kind, 16, job, row);
    for (; row + 8 <= job->n_rows; row += 8)
        multiply_rows(kind, 8, job, row);
    for (; row + 4 <= job->n_rows; row += 4)
        multiply_rows(kind, 4, job, row);
    for (; row + 2 <= job->n_rows; row += 2)
        multiply_rows(kind, 2, job, row);
    for (; row < job->n_rows; row++)
        multiply_rows(kind, 1, job, row);
}

static void panel_u4(const struct panel_job *job)
{
    multiply_tile(PANEL_U4, job);
}
static void panel_u4_min(const struct panel_job *job)
{
    multiply_tile(PANEL_U4_MIN, job);
}
static void panel_u8(const struct panel_job *job)
{
    multiply_tile(PANEL_U8, job);
}
static void panel_u8_min(const struct panel_job *job)
{
    multiply_tile(PANEL_U8_MIN, job);
}

void avx512_fill_panels(struct cpu_kernels *kernels)
{
    kernels->panel_u4 = panel_u4;
    kernels->panel_u4_min = panel_u4_min;
    kernels->panel_u8 = panel_u8;
    kernels->panel_u8_min = panel_u8_min;
}
