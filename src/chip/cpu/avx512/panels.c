/* AVX-512 VNNI: integer panels. A register holds 16 outputs x 4 columns of a weight; VPDPBUSD multiplies it by 4 bytes of the input, broadcast from memory.
 *
 * Bound. One row: the panel's bytes from memory; 20 to 45 instructions a block, faster from the second-level cache than memory delivers. Many rows:
 * the 512-bit multiplier: 8 VPDPBUSD and 2 (with minima 3) multiplications of floats for 512 products. */
#include "chip/cpu/avx512/panels.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "chip/cpu/kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ROWS_AT_ONCE 8

static ALWAYS_INLINE __m512i broadcast4(const int8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return _mm512_set1_epi32(word);
}

/* 16 bytes, signed, times 16 floats. */
static ALWAYS_INLINE __m512 scale_bytes(__m128i bytes, __m512 factor)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), factor);
}

static ALWAYS_INLINE __m512 load_halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* ---- A block of a panel */

struct block {
    __m512i codes[8];
    __m512 scales[2], minima[2]; /* the second ones where halves have their own */
};

/* Bits [from, from + n) of every byte, moved to bit `to`; n bits fit behind it. */
static ALWAYS_INLINE __m512i move_bits(__m512i bytes, int from, int n, int to)
{
    __m512i mask = _mm512_set1_epi8((char)(((1 << n) - 1) << to));
    return _mm512_and_si512(from > to ? _mm512_srli_epi16(bytes, from - to) : _mm512_slli_epi16(bytes, to - from), mask);
}

static ALWAYS_INLINE void load_codes(enum panel_kind kind, const uint8_t *codes, __m512i w[8])
{
    const int bits = panel_formats[kind].bits;
    const int low = bits == 8 ? 8 : bits >= 4 ? 4 : 2; /* bits of the first part */
    __m512i part[8];
#pragma GCC unroll 8
    for (int i = 0; i < bits; i++)
        part[i] = _mm512_loadu_si512(codes + 64 * i);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        /* cppcheck-suppress uninitvar ; only registers of the kind's bits are read */
        w[j] = low == 8 ? part[j] : low == 4 ? move_bits(part[j % 4], j < 4 ? 0 : 4, 4, 0) : move_bits(part[j / 4], 2 * (j % 4), 2, 0);
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        if (bits == 5 || bits == 3)
            w[j] = _mm512_or_si512(w[j], move_bits(part[low], j, 1, low));
        else if (bits == 6)
            w[j] = _mm512_or_si512(w[j], move_bits(part[4 + j / 4], 2 * (j % 4), 2, 4));
    }
}

static ALWAYS_INLINE void load_block(enum panel_kind kind, const uint8_t *panel, int32_t b, struct block *block)
{
    const struct panel_format *format = &panel_formats[kind];
    const uint8_t *header = panel_header(kind, panel, (uint32_t)b);
    const uint8_t *codes = panel_codes(kind, header, (uint32_t)b), *scales = panel_scales(kind, header, (uint32_t)b);
    load_codes(kind, codes, block->codes);
    if (!panel_has_byte_scales(kind)) {
        block->scales[0] = load_halves(scales);
        if (format->minima)
            block->minima[0] = load_halves(header + 32);
        return;
    }
    __m512 d = load_halves(header);
    __m128i first = _mm_loadu_si128((const __m128i *)scales), second = _mm_loadu_si128((const __m128i *)(scales + 16));
    if (format->minima) {
        __m512 m = _mm512_sub_ps(_mm512_setzero_ps(), load_halves(header + 32));
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

static ALWAYS_INLINE __m512i start_dot(enum panel_kind kind, int32_t minus_sum)
{
    const int shift = panel_formats[kind].bias_shift;
    return shift ? _mm512_slli_epi32(_mm512_set1_epi32(minus_sum), (unsigned)shift) : _mm512_setzero_si512();
}

/* sum + block . input. Two chains of integer sums, so that a single row is not slowed by their latency. */
static ALWAYS_INLINE __m512 add_block(enum panel_kind kind, const struct block *block, const int8_t *input, const struct input_meta *meta, __m512 sum)
{
    const struct panel_format *format = &panel_formats[kind];
    __m512 scale = _mm512_set1_ps(meta->scale);
    __m512i first = start_dot(kind, format->halves ? meta->minus_sum - meta->minus_sum_last : meta->minus_sum);
    __m512i last = format->halves ? start_dot(kind, meta->minus_sum_last) : _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        first = _mm512_dpbusd_epi32(first, block->codes[j], broadcast4(input + 4 * j));
        last = _mm512_dpbusd_epi32(last, block->codes[j + 4], broadcast4(input + 16 + 4 * j));
    }
    if (!format->halves) {
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(first, last)), _mm512_mul_ps(block->scales[0], scale), sum);
        return format->minima ? _mm512_fmadd_ps(block->minima[0], _mm512_set1_ps(meta->scaled_sum), sum) : sum;
    }
    __m512 dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(last), block->scales[1], _mm512_mul_ps(_mm512_cvtepi32_ps(first), block->scales[0]));
    sum = _mm512_fmadd_ps(dot, scale, sum);
    if (format->minima) {
        float first_sum = meta->scale * (float)(meta->minus_sum_last - meta->minus_sum), last_sum = meta->scale * (float)-meta->minus_sum_last;
        sum = _mm512_fmadd_ps(block->minima[0], _mm512_set1_ps(first_sum), sum);
        sum = _mm512_fmadd_ps(block->minima[1], _mm512_set1_ps(last_sum), sum);
    }
    return sum;
}

/* Fetches what is read `ahead` bytes later. Where rows take two passes over a panel, each fetches every other line, so that memory works all the time. */
static ALWAYS_INLINE void fetch_ahead(enum panel_kind kind, const struct panel_job *job, int32_t b, int32_t first_row)
{
    const char *line = (const char *)panel_codes(kind, panel_header(kind, job->panel, (uint32_t)b), (uint32_t)b) + job->ahead;
    if (!job->ahead || first_row > ROWS_AT_ONCE)
        return;
    if (job->n_rows <= ROWS_AT_ONCE) {
#pragma GCC unroll 9
        for (int i = 0; i <= panel_formats[kind].bits; i++)
            _mm_prefetch(line + 64 * i, _MM_HINT_T0);
        return;
    }
    line += first_row ? 64 : 0;
#pragma GCC unroll 5
    for (int i = 0; i <= panel_formats[kind].bits; i += 2)
        _mm_prefetch(line + 64 * i, _MM_HINT_T1);
}

static ALWAYS_INLINE void multiply_rows(enum panel_kind kind, int n_rows, const struct panel_job *job, int32_t first_row)
{
    __m512 sums[ROWS_AT_ONCE];
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
        sums[r] = _mm512_setzero_ps();
    for (int32_t b = job->first; b < job->last; b++) {
        struct block block;
        fetch_ahead(kind, job, b, first_row);
        load_block(kind, job->panel, b, &block);
        int64_t index = (int64_t)b * job->n_rows + first_row;
        const int8_t *input = job->high + index * LINEAR_BLOCK;
        const struct input_meta *meta = job->meta + index;
#pragma GCC unroll 8
        for (int r = 0; r < n_rows; r++)
            sums[r] = add_block(kind, &block, input + r * LINEAR_BLOCK, meta + r, sums[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
        _mm512_storeu_ps(job->out + (first_row + r) * job->out_stride, sums[r]);
}

static ALWAYS_INLINE void add_residuals(enum panel_kind kind, const struct panel_job *job)
{
    struct block block;
    for (int32_t i = 0; i < job->n_residuals; i++) {
        const struct residual *residual = &job->residuals[i];
        if (i == 0 || residual->block != residual[-1].block)
            load_block(kind, job->panel, residual->block, &block);
        float *out = job->out + residual->row * job->out_stride;
        const int8_t *input = job->low + ((int64_t)residual->block * job->n_rows + residual->row) * LINEAR_BLOCK;
        _mm512_storeu_ps(out, add_block(kind, &block, input, &residual->meta, _mm512_loadu_ps(out)));
    }
}

static ALWAYS_INLINE void multiply_panel(enum panel_kind kind, const struct panel_job *job)
{
    int32_t row = 0;
    for (; row + 8 <= job->n_rows; row += 8)
        multiply_rows(kind, 8, job, row);
    for (; row + 4 <= job->n_rows; row += 4)
        multiply_rows(kind, 4, job, row);
    for (; row + 2 <= job->n_rows; row += 2)
        multiply_rows(kind, 2, job, row);
    for (; row < job->n_rows; row++)
        multiply_rows(kind, 1, job, row);
    add_residuals(kind, job);
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

void avx512_panel(enum panel_kind kind, const struct panel_job *job)
{
    static const panel_kernel all[PANEL_INTEGER_COUNT] = {
        [PANEL_Q4_0] = panel_q4_0, [PANEL_Q4_1] = panel_q4_1, [PANEL_Q5_0] = panel_q5_0, [PANEL_Q5_1] = panel_q5_1, [PANEL_Q8_0] = panel_q8_0,
        [PANEL_Q2_K] = panel_q2_k, [PANEL_Q3_K] = panel_q3_k, [PANEL_Q4_K] = panel_q4_k, [PANEL_Q5_K] = panel_q5_k, [PANEL_Q6_K] = panel_q6_k,
    };
    all[kind](job);
}

void avx512_fill_panels(struct cpu_kernels *kernels)
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
