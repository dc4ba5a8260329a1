/* AVX2: integer panels. A register holds 8 outputs x 4 columns; VPMADDUBSW multiplies unsigned by signed bytes and adds pairs in int16, which saturates for
 * full unsigned bytes; so 8-bit codes go in as |w| with the input taking w's sign: 2 * 128 * 127 fits.
 *
 * Bound. One row: the panel's bytes from memory. Many rows: two multiply-adds (VPMADDUBSW, VPMADDWD) for 32 products. */
#include "chip/cpu/avx2/panels.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "chip/cpu/kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE __m256i broadcast4(const int8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return _mm256_set1_epi32(word);
}

/* Eight registers: columns 4j .. 4j + 3 of the panel's outputs 8 half .. 8 half + 7. Wide codes come out signed. */
static ALWAYS_INLINE void expand_codes(bool wide, const uint8_t *codes, int half, __m256i weights[8])
{
    if (wide) {
        __m256i top = _mm256_set1_epi8((char)-128);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            weights[j] = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(codes + 64 * j + 32 * half)), top);
        return;
    }
    __m256i nibble = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m256i both = _mm256_loadu_si256((const __m256i *)(codes + 64 * j + 32 * half));
        weights[j] = _mm256_and_si256(both, nibble);
        weights[j + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
    }
}

/* Sum over a block of weight * plane, int32 per output. Narrow codes: pairs are at most 2 * 15 * 128, so eight of them still fit int16. */
static ALWAYS_INLINE __m256i multiply_plane(bool wide, const __m256i weights[8], const int8_t *plane)
{
    __m256i ones = _mm256_set1_epi16(1);
    if (!wide) {
        __m256i pairs = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(weights[j], broadcast4(plane + 4 * j)));
        return _mm256_madd_epi16(pairs, ones);
    }
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights[j]), _mm256_sign_epi8(broadcast4(plane + 4 * j), weights[j]));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    return sum;
}

static ALWAYS_INLINE void multiply_rows(enum panel_kind kind, int n_rows, const struct panel_job *job, int half, int32_t first_row)
{
    const bool wide = kind == PANEL_U8 || kind == PANEL_U8_MIN, has_min = kind == PANEL_U4_MIN || kind == PANEL_U8_MIN;
    const int64_t code_bytes = wide ? 512 : 256, scale_bytes = has_min ? 64 : 32;
    __m256 sums[4];
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
        sums[r] = _mm256_setzero_ps();
    for (int32_t b = job->first_block; b < job->last_block; b++) {
        __m256i weights[8];
        expand_codes(wide, job->codes + b * code_bytes, half, weights);
        const uint8_t *halves = job->scales + b * scale_bytes + 16 * half;
        __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves));
        __m256 minimum = has_min ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + 32))) : _mm256_setzero_ps();
        int64_t index = (int64_t)b * job->n_rows + first_row;
        const int8_t *planes = job->planes + index * INPUT_BLOCK_BYTES;
        const struct input_meta *meta = job->meta + index;
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++) {
            __m256i high = multiply_plane(wide, weights, planes + r * INPUT_BLOCK_BYTES);
            __m256i low = multiply_plane(wide, weights, planes + r * INPUT_BLOCK_BYTES + LINEAR_BLOCK);
            __m256i dot = _mm256_add_epi32(_mm256_slli_epi32(high, 7), low);
            if (kind == PANEL_U4)
                dot = _mm256_add_epi32(dot, _mm256_set1_epi32(8 * meta[r].minus_sum));
            if (kind == PANEL_U8_MIN) /* the codes are unsigned here: give back the 128 that were taken off */
                dot = _mm256_sub_epi32(dot, _mm256_set1_epi32(128 * meta[r].minus_sum));
            sums[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(scale, _mm256_set1_ps(meta[r].scale)), sums[r]);
            if (has_min)
                sums[r] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(meta[r].scaled_sum), sums[r]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
        _mm256_storeu_ps(job->out + (first_row + r) * job->out_stride + 8 * half, sums[r]);
}

static ALWAYS_INLINE void multiply_tile(enum panel_kind kind, const struct panel_job *job)
{
    int32_t row = 0;
    for (; row + 4 <= job->n_rows; row += 4) {
        multiply_rows(kind, 4, job, 0, row);
        multiply_rows(kind, 4, job, 1, row);
    }
    for (; row < job->n_rows; row++) {
        multiply_rows(kind, 1, job, 0, row);
        multiply_rows(kind, 1, job, 1, row);
    }
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

void avx2_fill_panels(struct cpu_kernels *kernels)
{
    kernels->panel_u4 = panel_u4;
    kernels->panel_u4_min = panel_u4_min;
    kernels->panel_u8 = panel_u8;
    kernels->panel_u8_min = panel_u8_min;
}
