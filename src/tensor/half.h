/* Scalar conversions between float and the 16-bit types: IEEE 754 binary16 and bfloat16, round to nearest even, subnormals and NaN kept. */
#ifndef TENSOR_HALF_H
#define TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float bf16_to_float(uint16_t value)
{
    return float_from_bits((uint32_t)value << 16);
}

static inline uint16_t float_to_bf16(float value)
{
    uint32_t bits = float_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 | 0x40u); /* a quiet NaN stays one */
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline float f16_to_float(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000u) << 16;
    uint32_t exponent = value >> 10 & 0x1Fu;
    uint32_t mantissa = value & 0x3FFu;
    if (exponent == 0x1F)
        return float_from_bits(sign | 0x7F800000u | mantissa << 13);
    if (exponent)
        return float_from_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
    float magnitude = (float)mantissa * 0x1p-24f; /* zero or subnormal: exact */
    return float_from_bits(sign | float_bits(magnitude));
}

static inline uint16_t float_to_f16(float value)
{
    uint32_t bits = float_bits(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u | (bits >> 13 & 0x3FFu));
    if (bits >= 0x477FF000u) /* 65520: rounds to infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (bits < 0x38800000u) { /* below 2^-14: subnormal; adding 0.5 aligns the mantissa and rounds to nearest even */
        float shifted = float_from_bits(bits) + 0.5f;
        return (uint16_t)(sign | (float_bits(shifted) - 0x3F000000u));
    }
    uint32_t odd = bits >> 13 & 1u;
    bits += 0xC8000FFFu + odd; /* exponent bias 127 -> 15 and the rounding increment */
    return (uint16_t)(sign | (uint16_t)(bits >> 13));
}

#endif
