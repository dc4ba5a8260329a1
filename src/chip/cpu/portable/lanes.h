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

#define LANES_ROWS_AT_ONCE 4

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
/* a * b + c with one rounding, without a call where the machine has no such instruction: the product is exact in double; the sum is rounded to odd (Boldo &
 * Melquiond 2008), from where rounding to float is right. */
static inline float fused_multiply_add(float a, float b, float c)
{
#ifdef __FP_FAST_FMAF
    return fmaf(a, b, c);
#else
    double product = (double)a * b;
    double sum = product + c;
    double part = sum - product;
    double error = (product - (sum - part)) + (c - part); /* exact: Knuth's two-sum */
    int64_t bits, up = (error > 0) == (sum > 0) ? 1 : -1;
    memcpy(&bits, &sum, sizeof bits);
    bits += (bits & 1) == 0 && (error > 0 || error < 0) ? up : 0;
    memcpy(&sum, &bits, sizeof sum);
    return (float)sum;
#endif
}
#ifndef __FP_FAST_FMAF
/* The same for two at a time, without a branch, in the compiler's own vectors (every 64-bit machine has them). */
typedef float pair_of_floats __attribute__((vector_size(8)));
typedef double pair_of_doubles __attribute__((vector_size(16)));
typedef int64_t pair_of_words __attribute__((vector_size(16)));

static inline void fused_multiply_add_pair(const float *a, const float *b, const float *c, float *out)
{
    pair_of_floats x, y, z;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    memcpy(&z, c, sizeof z);
    pair_of_doubles product = __builtin_convertvector(x, pair_of_doubles) * __builtin_convertvector(y, pair_of_doubles);
    pair_of_doubles addend = __builtin_convertvector(z, pair_of_doubles), sum = product + addend;
    pair_of_doubles part = sum - product, error = (product - (sum - part)) + (addend - part), zero = {0, 0};
    pair_of_words bits = (pair_of_words)sum, one = {1, 1};
    pair_of_words opposite = (pair_of_words)(error > zero) ^ (pair_of_words)(sum > zero);
    pair_of_words inexact = (pair_of_words)(error > zero) | (pair_of_words)(error < zero);
    bits += (opposite | one) & inexact & ((bits & one) - one); /* +1 or -1, where inexact and even */
    x = __builtin_convertvector((pair_of_doubles)bits, pair_of_floats);
    memcpy(out, &x, sizeof x);
}
#endif

static inline lanes lanes_fma(lanes x, lanes y, lanes z)
{
#ifdef __FP_FAST_FMAF
    LANES_DO(fmaf(x.v[i], y.v[i], z.v[i]));
#else
    lanes result;
    for (int i = 0; i < 16; i += 2)
        fused_multiply_add_pair(x.v + i, y.v + i, z.v + i, result.v + i);
    return result;
#endif
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
/* Sixteen pairs: the first and the second of each. */
static inline void lanes_load_bf16_pairs(const uint16_t *p, lanes *first, lanes *second)
{
    for (int i = 0; i < 16; i++) {
        first->v[i] = bf16_to_float(p[2 * i]);
        second->v[i] = bf16_to_float(p[2 * i + 1]);
    }
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
        sum += upper;
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
