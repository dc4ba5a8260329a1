/* AVX2: integer panels. A register holds 8 outputs x 4 columns; VPMADDUBSW multiplies unsigned by signed bytes and adds pairs in int16, which saturates for
 * full unsigned bytes; so 8-bit codes go in as |w| with the input taking w's sign: 2 * 128 * 127 fits. Shorter codes are added up in int16 as far as
 * they fit: n pairs of codes below 2^bits with inputs of at most 127 give at most n * 2 * (2^bits - 1) * 127.
 *
 * Bound. One row: the panel's bytes from memory. Many rows: one multiply-add (VPMADDUBSW) for 32 products and one (VPMADDWD) for every sum in int16. */
#include "chip/cpu/avx2/panels.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "chip/cpu/kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ROWS_AT_ONCE 4

static ALWAYS_INLINE __m256i broadcast4(const int8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return _mm256_set1_epi32(word);
}

static ALWAYS_INLINE __m256 scale_bytes(__m128i bytes, __m256 factor)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), factor);
}

static ALWAYS_INLINE __m256 load_halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* ---- A block of half a panel: outputs 8 half .. 8 half + 7 */

struct block {
    __m256i codes[8]; /* 8 bits: signed, 128 taken off */
    __m256 scales[2], minima[2];
};

static ALWAYS_INLINE __m256i move_bits(__m256i bytes, int from, int n, int to)
{
    __m256i mask = _mm256_set1_epi8((char)(((1 << n) - 1) << to));
    return _mm256_and_si256(from > to ? _mm256_srli_epi16(bytes, from - to) : _mm256_slli_epi16(bytes, to - from), mask);
}

static ALWAYS_INLINE void load_codes(enum panel_kind kind, const uint8_t *codes, __m256i w[8])
{
    const int bits = panel_formats[kind].bits;
    const int low = bits == 8 ? 8 : bits >= 4 ? 4 : 2;
    __m256i part[8];
#pragma GCC unroll 8
    for (int i = 0; i < bits; i++)
        part[i] = _mm256_loadu_si256((const __m256i *)(codes + 64 * i));
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        w[j] = low == 8   ? _mm256_xor_si256(part[j], _mm256_set1_epi8((char)-128))
               : low == 4 ? move_bits(part[j % 4], j < 4 ? 0 : 4, 4, 0)
                          : move_bits(part[j / 4], 2 * (j % 4), 2, 0);
        if (bits == 5 || bits == 3)
            w[j] = _mm256_or_si256(w[j], move_bits(part[low], j, 1, low));
        else if (bits == 6)
            w[j] = _mm256_or_si256(w[j], move_bits(part[4 + j / 4], 2 * (j % 4), 2, 4));
    }
}

static ALWAYS_INLINE void load_block(enum panel_kind kind, const uint8_t *panel, int32_t b, int half, int64_t ahead, struct block *block)
{
    const struct panel_format *format = &panel_formats[kind];
    const uint8_t *header = panel_header(kind, panel, (uint32_t)b);
    const uint8_t *codes = panel_codes(kind, header, (uint32_t)b), *scales = panel_scales(kind, header, (uint32_t)b);
    if (ahead) {
#pragma GCC unroll 9
        for (int line = 0; line <= format->bits; line++)
            _mm_prefetch((const char *)codes + ahead + 64 * line, _MM_HINT_T0);
    }
    load_codes(kind, codes + 32 * half, block->codes);
    if (!panel_has_byte_scales(kind)) {
        block->scales[0] = load_halves(scales + 16 * half);
        if (format->minima)
            block->minima[0] = load_halves(header + 32 + 16 * half);
        return;
    }
    __m256 d = load_halves(header + 16 * half);
    __m128i first = _mm_loadl_epi64((const __m128i *)(scales + 8 * half)), second = _mm_loadl_epi64((const __m128i *)(scales + 16 + 8 * half));
    if (format->minima) {
        __m256 m = _mm256_sub_ps(_mm256_setzero_ps(), load_halves(header + 32 + 16 * half));
        __m128i nibble = _mm_set1_epi8(15);
        block->minima[0] = scale_bytes(format->halves ? _mm_and_si128(_mm_srli_epi16(first, 4), nibble) : second, m);
        if (format->halves) {
            block->minima[1] = scale_bytes(_mm_and_si128(_mm_srli_epi16(second, 4), nibble), m);
            first = _mm_and_si128(first, nibble);
            second = _mm_and_si128(second, nibble);
        }
    }
    block->scales[0] = scale_bytes(first, d);
    if (format->halves)
        block->scales[1] = scale_bytes(second, d);
}

/* ---- Products */

/* Code registers [first, first + 4) times 16 bytes of the input, int32 per output. */
static ALWAYS_INLINE __m256i multiply_half(enum panel_kind kind, const struct block *block, int first, const int8_t *input)
{
    const int bits = panel_formats[kind].bits, pairs_at_once = bits == 8 ? 1 : bits == 6 ? 2 : 4;
    __m256i ones = _mm256_set1_epi16(1), sum = _mm256_setzero_si256(), pairs = sum;
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m256i w = block->codes[first + j], x = broadcast4(input + 4 * j);
        __m256i products = bits == 8 ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)) : _mm256_maddubs_epi16(w, x);
        pairs = j % pairs_at_once ? _mm256_add_epi16(pairs, products) : products;
        if (j % pairs_at_once == pairs_at_once - 1)
            sum = j < pairs_at_once ? _mm256_madd_epi16(pairs, ones) : _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    return sum;
}

/* The 8 bits' bias is in the codes already. */
static ALWAYS_INLINE __m256i subtract_bias(enum panel_kind kind, __m256i dot, int32_t minus_sum)
{
    const int shift = panel_formats[kind].bits == 8 ? 0 : panel_formats[kind].bias_shift;
    return shift ? _mm256_add_epi32(dot, _mm256_slli_epi32(_mm256_set1_epi32(minus_sum), shift)) : dot;
}

static ALWAYS_INLINE __m256 add_block(enum panel_kind kind, const struct block *block, const int8_t *input, const struct input_meta *meta, __m256 sum)
{
    const struct panel_format *format = &panel_formats[kind];
    __m256 scale = _mm256_set1_ps(meta->scale);
    __m256i first = multiply_half(kind, block, 0, input), last = multiply_half(kind, block, 4, input + 16);
    if (!format->halves) {
        __m256 dot = _mm256_cvtepi32_ps(subtract_bias(kind, _mm256_add_epi32(first, last), meta->minus_sum));
        sum = _mm256_fmadd_ps(dot, _mm256_mul_ps(block->scales[0], scale), sum);
        return format->minima ? _mm256_fmadd_ps(block->minima[0], _mm256_set1_ps(meta->scaled_sum), sum) : sum;
    }
    first = subtract_bias(kind, first, meta->minus_sum - meta->minus_sum_last);
    last = subtract_bias(kind, last, meta->minus_sum_last);
    __m256 dot = _mm256_fmadd_ps(_mm256_cvtepi32_ps(last), block->scales[1], _mm256_mul_ps(_mm256_cvtepi32_ps(first), block->scales[0]));
    sum = _mm256_fmadd_ps(dot, scale, sum);
    if (format->minima) {
        float first_sum = meta->scale * (float)(meta->minus_sum_last - meta->minus_sum), last_sum = meta->scale * (float)-meta->minus_sum_last;
        sum = _mm256_fmadd_ps(block->minima[0], _mm256_set1_ps(first_sum), sum);
        sum = _mm256_fmadd_ps(block->minima[1], _mm256_set1_ps(last_sum), sum);
    }
    return sum;
}

static ALWAYS_INLINE void multiply_rows(enum panel_kind kind, int n_rows, const struct panel_job *job, int half, int32_t first_row)
{
    __m256 sums[ROWS_AT_ONCE];
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
        sums[r] = _mm256_setzero_ps();
    for (int32_t b = job->first; b < job->last; b++) {
        struct block block;
        load_block(kind, job->panel, b, half, half == 0 && first_row == 0 ? job->ahead : 0, &block);
        int64_t index = (int64_t)b * job->n_rows + first_row;
        const int8_t *input = job->high + index * LINEAR_BLOCK;
        const struct input_meta *meta = job->meta + index;
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++)
            sums[r] = add_block(kind, &block, input + r * LINEAR_BLOCK, meta + r, sums[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
        _mm256_storeu_ps(job->out + (first_row + r) * job->out_stride + 8 * half, sums[r]);
}

static ALWAYS_INLINE void add_residuals(enum panel_kind kind, const struct panel_job *job, int half)
{
    struct block block;
    for (int32_t i = 0; i < job->n_residuals; i++) {
        const struct residual *residual = &job->residuals[i];
        if (i == 0 || residual->block != residual[-1].block)
            load_block(kind, job->panel, residual->block, half, 0, &block);
        float *out = job->out + residual->row * job->out_stride + 8 * half;
        const int8_t *input = job->low + ((int64_t)residual->block * job->n_rows + residual->row) * LINEAR_BLOCK;
        _mm256_storeu_ps(out, add_block(kind, &block, input, &residual->meta, _mm256_loadu_ps(out)));
    }
}

static ALWAYS_INLINE void multiply_panel(enum panel_kind kind, const struct panel_job *job)
{
#pragma GCC unroll 1
    for (int half = 0; half < 2; half++) {
        int32_t row = 0;
        for (; row + ROWS_AT_ONCE <= job->n_rows; row += ROWS_AT_ONCE)
            multiply_rows(kind, ROWS_AT_ONCE, job, half, row);
        for (; row < job->n_rows; row++)
            multiply_rows(kind, 1, job, half, row);
        add_residuals(kind, job, half);
    }
}

#define PANEL_KERNEL(name, kind)                                                                                                                               \
    static void name(const struct panel_job *job)                                                                                                              \
    {                                                                                                                                                          \
        multiply_panel(kind, job);                                                                                                                             \
    }
PANEL_KERNEL(panel_q4_0, PANEL_Q4_0)
PANEL_KERNEL(panel_q4_1, PANEL_Q4_1)
PANEL_KERNEL(panel_q5_0, PANEL_Q5_0)
PANEL_KERNEL(panel_q5_1, PANEL_Q5_1)
PANEL_KERNEL(panel_q8_0, PANEL_Q8_0)
PANEL_KERNEL(panel_q2_k, PANEL_Q2_K)
PANEL_KERNEL(panel_q3_k, PANEL_Q3_K)
PANEL_KERNEL(panel_q4_k, PANEL_Q4_K)
PANEL_KERNEL(panel_q5_k, PANEL_Q5_K)
PANEL_KERNEL(panel_q6_k, PANEL_Q6_K)

void avx2_fill_panels(struct cpu_kernels *kernels)
{
    kernels->panel_q4_0 = panel_q4_0;
    kernels->panel_q4_1 = panel_q4_1;
    kernels->panel_q5_0 = panel_q5_0;
    kernels->panel_q5_1 = panel_q5_1;
    kernels->panel_q8_0 = panel_q8_0;
    kernels->panel_q2_k = panel_q2_k;
    kernels->panel_q3_k = panel_q3_k;
    kernels->panel_q4_k = panel_q4_k;
    kernels->panel_q5_k = panel_q5_k;
    kernels->panel_q6_k = panel_q6_k;
}
