/* Sixteen floats in two AVX registers. Included by this folder's files only. */
#ifndef CHIP_CPU_AVX2_LANES_H
#define CHIP_CPU_AVX2_LANES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    __m256 a, b; /* lanes 0-7, 8-15 */
} lanes;

#define LANES_ROWS_AT_ONCE 2

static inline lanes lanes_make(__m256 a, __m256 b)
{
    lanes v = {a, b};
    return v;
}
static inline lanes lanes_zero(void)
{
    return lanes_make(_mm256_setzero_ps(), _mm256_setzero_ps());
}
static inline lanes lanes_all(float value)
{
    return lanes_make(_mm256_set1_ps(value), _mm256_set1_ps(value));
}
static inline lanes lanes_load(const float *p)
{
    return lanes_make(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
static inline lanes lanes_load_first(const float *p, int n)
{
    float copy[16] = {0};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return lanes_load(copy);
}
static inline void lanes_store(float *p, lanes v)
{
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
static inline void lanes_store_first(float *p, lanes v, int n)
{
    float copy[16];
    lanes_store(copy, v);
    memcpy(p, copy, (size_t)n * sizeof *p);
}
static inline lanes lanes_add(lanes x, lanes y)
{
    return lanes_make(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b));
}
static inline lanes lanes_sub(lanes x, lanes y)
{
    return lanes_make(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b));
}
static inline lanes lanes_mul(lanes x, lanes y)
{
    return lanes_make(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b));
}
static inline lanes lanes_div(lanes x, lanes y)
{
    return lanes_make(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b));
}
static inline lanes lanes_fma(lanes x, lanes y, lanes z)
{
    return lanes_make(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
static inline lanes lanes_max(lanes x, lanes y)
{
    return lanes_make(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b));
}
static inline lanes lanes_min(lanes x, lanes y)
{
    return lanes_make(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b));
}
static inline lanes lanes_abs(lanes x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return lanes_make(_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b));
}
static inline lanes lanes_round(lanes x)
{
    return lanes_make(_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline __m256 power2_half(__m256 n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline lanes lanes_power2(lanes n)
{
    return lanes_make(power2_half(n.a), power2_half(n.b));
}
static inline lanes lanes_keep_range(lanes v, int first, int last, lanes other)
{
    __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i high = _mm256_add_epi32(low, _mm256_set1_epi32(8));
    __m256i before = _mm256_set1_epi32(first - 1);
    __m256i after = _mm256_set1_epi32(last);
    __m256i keep_low = _mm256_and_si256(_mm256_cmpgt_epi32(low, before), _mm256_cmpgt_epi32(after, low));
    __m256i keep_high = _mm256_and_si256(_mm256_cmpgt_epi32(high, before), _mm256_cmpgt_epi32(after, high));
    return lanes_make(_mm256_blendv_ps(other.a, v.a, _mm256_castsi256_ps(keep_low)), _mm256_blendv_ps(other.b, v.b, _mm256_castsi256_ps(keep_high)));
}
static inline lanes lanes_load_f16(const uint16_t *p)
{
    return lanes_make(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}
static inline __m256 widen_bf16_half(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
static inline lanes lanes_load_bf16(const uint16_t *p)
{
    return lanes_make(widen_bf16_half(p), widen_bf16_half(p + 8));
}
static inline __m256 second_of_pairs(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xFFFF0000u)));
}
/* Sixteen pairs: the first and the second of each. */
static inline void lanes_load_bf16_pairs(const uint16_t *p, lanes *first, lanes *second)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)p), b = _mm256_loadu_si256((const __m256i *)(p + 16));
    *first = lanes_make(_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16)));
    *second = lanes_make(second_of_pairs(a), second_of_pairs(b));
}
static inline void lanes_store_f16(uint16_t *p, lanes v)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
}
static inline float lanes_sum(lanes v)
{
    __m256 a = _mm256_add_ps(v.a, v.b);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline float lanes_largest(lanes v)
{
    __m256 a = _mm256_max_ps(v.a, v.b);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
static inline int32_t store_planes_half(__m256 q, int8_t *high, int8_t *low)
{
    __m256i value = _mm256_cvtps_epi32(q);
    __m256i upper = _mm256_srai_epi32(_mm256_add_epi32(value, _mm256_set1_epi32(64)), 7);
    __m256i lower = _mm256_sub_epi32(value, _mm256_slli_epi32(upper, 7));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(upper, lower), 0xD8); /* 8 upper, 8 lower */
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64((__m128i *)high, bytes);
    _mm_storel_epi64((__m128i *)low, _mm_unpackhi_epi64(bytes, bytes));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
}
static inline int32_t lanes_store_planes(lanes q, int8_t *high, int8_t *low)
{
    return store_planes_half(q.a, high, low) + store_planes_half(q.b, high + 8, low + 8);
}
static inline int lanes_find(lanes v, float x)
{
    __m256 wanted = _mm256_set1_ps(x);
    unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(v.a, wanted, _CMP_EQ_OQ)) | (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(v.b, wanted, _CMP_EQ_OQ))
                                                                                               << 8;
    return mask ? __builtin_ctz(mask) : -1;
}

#endif
