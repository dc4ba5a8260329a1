/* Sixteen floats in four NEON registers. Included by this folder's files only. */
#ifndef CHIP_CPU_NEON_LANES_H
#define CHIP_CPU_NEON_LANES_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    float32x4_t v[4]; /* lanes 4i .. 4i + 3 */
} lanes;

#define LANES_ROWS_AT_ONCE 2

#define LANES_DO(expression)                                                                                                                                   \
    lanes result;                                                                                                                                              \
    for (int i = 0; i < 4; i++)                                                                                                                                \
        result.v[i] = (expression);                                                                                                                            \
    return result

static inline lanes lanes_zero(void)
{
    LANES_DO(vdupq_n_f32(0.0f));
}
static inline lanes lanes_all(float value)
{
    LANES_DO(vdupq_n_f32(value));
}
static inline lanes lanes_load(const float *p)
{
    LANES_DO(vld1q_f32(p + 4 * i));
}
static inline lanes lanes_load_first(const float *p, int n)
{
    float copy[16] = {0};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return lanes_load(copy);
}
static inline void lanes_store(float *p, lanes x)
{
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, x.v[i]);
}
static inline void lanes_store_first(float *p, lanes x, int n)
{
    float copy[16];
    lanes_store(copy, x);
    memcpy(p, copy, (size_t)n * sizeof *p);
}
static inline lanes lanes_add(lanes x, lanes y)
{
    LANES_DO(vaddq_f32(x.v[i], y.v[i]));
}
static inline lanes lanes_sub(lanes x, lanes y)
{
    LANES_DO(vsubq_f32(x.v[i], y.v[i]));
}
static inline lanes lanes_mul(lanes x, lanes y)
{
    LANES_DO(vmulq_f32(x.v[i], y.v[i]));
}
static inline lanes lanes_div(lanes x, lanes y)
{
    LANES_DO(vdivq_f32(x.v[i], y.v[i]));
}
static inline lanes lanes_fma(lanes x, lanes y, lanes z)
{
    LANES_DO(vfmaq_f32(z.v[i], x.v[i], y.v[i]));
}
static inline lanes lanes_max(lanes x, lanes y) /* x > y ? x : y, so that NaN gives y: not what the instruction of that name does */
{
    LANES_DO(vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]));
}
static inline lanes lanes_min(lanes x, lanes y)
{
    LANES_DO(vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]));
}
static inline lanes lanes_abs(lanes x)
{
    LANES_DO(vabsq_f32(x.v[i]));
}
static inline lanes lanes_round(lanes x)
{
    LANES_DO(vrndnq_f32(x.v[i]));
}
static inline lanes lanes_power2(lanes n)
{
    LANES_DO(vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23)));
}
static inline lanes lanes_keep_range(lanes x, int first, int last, lanes other)
{
    static const int32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    int32x4_t before = vdupq_n_s32(first - 1), after = vdupq_n_s32(last);
    LANES_DO(vbslq_f32(vandq_u32(vcgtq_s32(vld1q_s32(numbers + 4 * i), before), vcltq_s32(vld1q_s32(numbers + 4 * i), after)), x.v[i], other.v[i]));
}
static inline lanes lanes_load_f16(const uint16_t *p)
{
    LANES_DO(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
static inline lanes lanes_load_bf16(const uint16_t *p)
{
    LANES_DO(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
/* Sixteen pairs: the first and the second of each. */
static inline void lanes_load_bf16_pairs(const uint16_t *p, lanes *first, lanes *second)
{
    for (int i = 0; i < 4; i++) {
        uint32x4_t pairs = vreinterpretq_u32_u16(vld1q_u16(p + 8 * i));
        first->v[i] = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
        second->v[i] = vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xFFFF0000u)));
    }
}
static inline void lanes_store_f16(uint16_t *p, lanes x)
{
    for (int i = 0; i < 4; i++)
        vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}
/* Tree of the canonical order: lanes (i, i + 8), then (i, i + 4), (i, i + 2), (i, i + 1). */
static inline float lanes_sum(lanes x)
{
    float32x4_t four = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
static inline float lanes_largest(lanes x)
{
    float all[16], largest;
    lanes_store(all, x);
    largest = all[0];
    for (int i = 1; i < 16; i++)
        largest = all[i] > largest ? all[i] : largest;
    return largest;
}
/* Integral q in [-16256, 16256] as high = (q + 64) >> 7 and low = q - 128 high, both int8; the sum of high. */
static inline int32_t lanes_store_planes(lanes q, int8_t *high, int8_t *low)
{
    int32x4_t sum = vdupq_n_s32(0);
    for (int i = 0; i < 4; i++) {
        int32x4_t value = vcvtnq_s32_f32(q.v[i]), upper = vshrq_n_s32(vaddq_s32(value, vdupq_n_s32(64)), 7);
        int16x4_t upper_words = vmovn_s32(upper), lower_words = vmovn_s32(vsubq_s32(value, vshlq_n_s32(upper, 7)));
        int8x8_t bytes = vmovn_s16(vcombine_s16(upper_words, lower_words));
        memcpy(high + 4 * i, &bytes, 4);
        memcpy(low + 4 * i, (const char *)&bytes + 4, 4);
        sum = vaddq_s32(sum, upper);
    }
    return vaddvq_s32(sum);
}
static inline int lanes_find(lanes x, float wanted)
{
    float all[16];
    lanes_store(all, x);
    for (int i = 0; i < 16; i++) {
        if (all[i] == wanted)
            return i;
    }
    return -1;
}

#undef LANES_DO
#endif
