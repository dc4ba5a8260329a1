/* Sixteen floats in an array: any machine. Included by this folder's files only. */
#ifndef CHIP_CPU_PORTABLE_LANES_H
#define CHIP_CPU_PORTABLE_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/half.h"

typedef struct {
    float v[16];
} lanes;

#define LANES_DO(expression)                                                                                                                                   \
    lanes result;                                                                                                                                              \
    for (int i = 0; i < 16; i++)                                                                                                                               \
        result.v[i] = (expression);                                                                                                                            \
    return result

static inline lanes lanes_zero(void)
{
    LANES_DO(0.0f);
}
static inline lanes lanes_all(float value)
{
    LANES_DO(value);
}
static inline lanes lanes_load(const float *p)
{
    LANES_DO(p[i]);
}
static inline lanes lanes_load_first(const float *p, int n)
{
    LANES_DO(i < n ? p[i] : 0.0f);
}
static inline void lanes_store(float *p, lanes x)
{
    memcpy(p, x.v, sizeof x.v);
}
static inline void lanes_store_first(float *p, lanes x, int n)
{
    memcpy(p, x.v, (size_t)n * sizeof *p);
}
static inline lanes lanes_add(lanes x, lanes y)
{
    LANES_DO(x.v[i] + y.v[i]);
}
static inline lanes lanes_sub(lanes x, lanes y)
{
    LANES_DO(x.v[i] - y.v[i]);
}
static inline lanes lanes_mul(lanes x, lanes y)
{
    LANES_DO(x.v[i] * y.v[i]);
}
static inline lanes lanes_div(lanes x, lanes y)
{
    LANES_DO(x.v[i] / y.v[i]);
}
static inline lanes lanes_fma(lanes x, lanes y, lanes z)
{
    LANES_DO(fmaf(x.v[i], y.v[i], z.v[i]));
}
static inline lanes lanes_max(lanes x, lanes y)
{
    LANES_DO(x.v[i] > y.v[i] ? x.v[i] : y.v[i]);
}
static inline lanes lanes_min(lanes x, lanes y)
{
    LANES_DO(x.v[i] < y.v[i] ? x.v[i] : y.v[i]);
}
static inline lanes lanes_abs(lanes x)
{
    LANES_DO(fabsf(x.v[i]));
}
static inline lanes lanes_round(lanes x)
{
    LANES_DO(rintf(x.v[i]));
}
static inline lanes lanes_power2(lanes n)
{
    LANES_DO(float_from_bits((uint32_t)((int32_t)n.v[i] + 127) << 23));
}
static inline lanes lanes_keep_range(lanes x, int first, int last, lanes other)
{
    LANES_DO(i >= first && i < last ? x.v[i] : other.v[i]);
}
static inline lanes lanes_load_f16(const uint16_t *p)
{
    LANES_DO(f16_to_float(p[i]));
}
static inline lanes lanes_load_bf16(const uint16_t *p)
{
    LANES_DO(bf16_to_float(p[i]));
}
static inline void lanes_store_f16(uint16_t *p, lanes x)
{
    for (int i = 0; i < 16; i++)
        p[i] = float_to_f16(x.v[i]);
}
static inline float lanes_sum(lanes x)
{
    for (int half = 8; half; half /= 2) {
        for (int i = 0; i < half; i++)
            x.v[i] += x.v[i + half];
    }
    return x.v[0];
}
static inline float lanes_largest(lanes x)
{
    float largest = x.v[0];
    for (int i = 1; i < 16; i++)
        largest = x.v[i] > largest ? x.v[i] : largest;
    return largest;
}
static inline int32_t lanes_store_planes(lanes q, int8_t *high, int8_t *low)
{
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) {
        int32_t value = (int32_t)q.v[i];
        int32_t upper = (value + 64 + (1 << 20)) / 128 - (1 << 13); /* floor((value + 64) / 128) */
        high[i] = (int8_t)upper;
        low[i] = (int8_t)(value - 128 * upper);
        sum += value;
    }
    return sum;
}
static inline int lanes_find(lanes x, float wanted)
{
    for (int i = 0; i < 16; i++) {
        if (x.v[i] == wanted)
            return i;
    }
    return -1;
}

#endif
