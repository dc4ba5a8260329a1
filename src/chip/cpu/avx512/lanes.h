/* Sixteen floats in one AVX-512 register. Included by this folder's files only. */
#ifndef CHIP_CPU_AVX512_LANES_H
#define CHIP_CPU_AVX512_LANES_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512 lanes;

#define LANES_ROWS_AT_ONCE 8 /* rows whose sums fit the registers, two each */

static inline __mmask16 lanes_mask(int n)
{
    return (__mmask16)((1u << n) - 1u);
}
static inline lanes lanes_zero(void)
{
    return _mm512_setzero_ps();
}
static inline lanes lanes_all(float value)
{
    return _mm512_set1_ps(value);
}
static inline lanes lanes_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline lanes lanes_load_first(const float *p, int n) /* n < 16; the others are 0 */
{
    return _mm512_maskz_loadu_ps(lanes_mask(n), p);
}
static inline void lanes_store(float *p, lanes v)
{
    _mm512_storeu_ps(p, v);
}
static inline void lanes_store_first(float *p, lanes v, int n)
{
    _mm512_mask_storeu_ps(p, lanes_mask(n), v);
}
static inline lanes lanes_add(lanes a, lanes b)
{
    return _mm512_add_ps(a, b);
}
static inline lanes lanes_sub(lanes a, lanes b)
{
    return _mm512_sub_ps(a, b);
}
static inline lanes lanes_mul(lanes a, lanes b)
{
    return _mm512_mul_ps(a, b);
}
static inline lanes lanes_div(lanes a, lanes b)
{
    return _mm512_div_ps(a, b);
}
static inline lanes lanes_fma(lanes a, lanes b, lanes c) /* a * b + c, one rounding */
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline lanes lanes_max(lanes a, lanes b) /* a > b ? a : b */
{
    return _mm512_max_ps(a, b);
}
static inline lanes lanes_min(lanes a, lanes b) /* a < b ? a : b */
{
    return _mm512_min_ps(a, b);
}
static inline lanes lanes_abs(lanes a)
{
    return _mm512_abs_ps(a);
}
static inline lanes lanes_round(lanes a) /* to the nearest integer, ties to even */
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline lanes lanes_power2(lanes n) /* 2^n for integral n in [-126, 127] */
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
static inline lanes lanes_keep_range(lanes v, int first, int last, lanes other) /* lanes outside [first, last) come from other; 0 <= first <= last <= 16 */
{
    return _mm512_mask_blend_ps((__mmask16)(((1u << last) - 1u) & ~((1u << first) - 1u)), other, v);
}
static inline lanes lanes_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline lanes lanes_load_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
/* Sixteen pairs: the first and the second of each. */
static inline void lanes_load_bf16_pairs(const uint16_t *p, lanes *first, lanes *second)
{
    __m512i pairs = _mm512_loadu_si512(p);
    *first = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    *second = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000u)));
}
static inline void lanes_store_f16(uint16_t *p, lanes v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Tree of the canonical order: lanes (i, i + 8), then (i, i + 4), (i, i + 2), (i, i + 1). */
static inline float lanes_sum(lanes v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline float lanes_largest(lanes v)
{
    return _mm512_reduce_max_ps(v);
}
/* Integral q in [-16256, 16256] as high = (q + 64) >> 7 and low = q - 128 high, both int8; the sum of high. */
static inline int32_t lanes_store_planes(lanes q, int8_t *high, int8_t *low)
{
    __m512i value = _mm512_cvtps_epi32(q);
    __m512i upper = _mm512_srai_epi32(_mm512_add_epi32(value, _mm512_set1_epi32(64)), 7);
    _mm_storeu_si128((__m128i *)high, _mm512_cvtepi32_epi8(upper));
    _mm_storeu_si128((__m128i *)low, _mm512_cvtepi32_epi8(_mm512_sub_epi32(value, _mm512_slli_epi32(upper, 7))));
    return _mm512_reduce_add_epi32(upper);
}
/* The first lane whose value equals x, or -1. */
static inline int lanes_find(lanes v, float x)
{
    unsigned mask = _mm512_cmp_ps_mask(v, _mm512_set1_ps(x), _CMP_EQ_OQ);
    return mask ? __builtin_ctz(mask) : -1;
}

#endif
