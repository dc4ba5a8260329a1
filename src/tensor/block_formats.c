/* The scalar reference conversions of block_formats.h: plain loops that follow the drawings there. Speed is the kernels' business; here every rounding
 * is in its place. */
#include "tensor/block_formats.h"

#include <math.h>
#include <string.h>

#include "tensor/half.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "block formats are read as little-endian structs");
_Static_assert(sizeof(struct block_q8_0) == 34 && sizeof(struct block_q4_0) == 18 && sizeof(struct block_q4_1) == 20, "packed");
_Static_assert(sizeof(struct block_q5_0) == 22 && sizeof(struct block_q5_1) == 24 && sizeof(struct block_q2_k) == 84, "packed");
_Static_assert(sizeof(struct block_q3_k) == 110 && sizeof(struct block_q4_k) == 144 && sizeof(struct block_q5_k) == 176, "packed");
_Static_assert(sizeof(struct block_q6_k) == 210, "packed");

/* ---- plain types ---- */

void block_f32_to_float(const void *source, float *destination, size_t n)
{
    memcpy(destination, source, n * sizeof(float));
}

void block_f32_from_float(const float *source, void *destination, size_t n)
{
    memcpy(destination, source, n * sizeof(float));
}

static uint16_t load_u16(const void *source, size_t index)
{
    uint16_t value;
    memcpy(&value, (const char *)source + index * sizeof value, sizeof value);
    return value;
}

static void store_u16(void *destination, size_t index, uint16_t value)
{
    memcpy((char *)destination + index * sizeof value, &value, sizeof value);
}

void block_f16_to_float(const void *source, float *destination, size_t n)
{
    for (size_t i = 0; i < n; i++)
        destination[i] = f16_to_float(load_u16(source, i));
}

void block_f16_from_float(const float *source, void *destination, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_u16(destination, i, float_to_f16(source[i]));
}

void block_bf16_to_float(const void *source, float *destination, size_t n)
{
    for (size_t i = 0; i < n; i++)
        destination[i] = bf16_to_float(load_u16(source, i));
}

void block_bf16_from_float(const float *source, void *destination, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_u16(destination, i, float_to_bf16(source[i]));
}

/* ---- blocks of 32, to float ---- */

void block_q8_0_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q8_0 *blocks = source;
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        float scale = f16_to_float(blocks[b].scale);
        for (size_t j = 0; j < 32; j++)
            destination[b * 32 + j] = (float)blocks[b].quants[j] * scale;
    }
}

void block_q4_0_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q4_0 *blocks = source;
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        float scale = f16_to_float(blocks[b].scale);
        for (size_t j = 0; j < 16; j++) {
            uint8_t pair = blocks[b].quants[j];
            destination[b * 32 + j] = scale * (float)((pair & 15) - 8);
            destination[b * 32 + j + 16] = scale * (float)((pair >> 4) - 8);
        }
    }
}

void block_q4_1_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q4_1 *blocks = source;
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        float scale = f16_to_float(blocks[b].scale);
        float minimum = f16_to_float(blocks[b].minimum);
        for (size_t j = 0; j < 16; j++) {
            uint8_t pair = blocks[b].quants[j];
            destination[b * 32 + j] = scale * (float)(pair & 15) + minimum;
            destination[b * 32 + j + 16] = scale * (float)(pair >> 4) + minimum;
        }
    }
}

/* The 5-bit quant of element j (0-31). */
static int five_bits(const uint8_t high_bits[4], const uint8_t quants[16], size_t j)
{
    int low = j < 16 ? quants[j] & 15 : quants[j - 16] >> 4;
    return low | (high_bits[j / 8] >> (j % 8) & 1) << 4;
}

void block_q5_0_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q5_0 *blocks = source;
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        float scale = f16_to_float(blocks[b].scale);
        for (size_t j = 0; j < 32; j++)
            destination[b * 32 + j] = scale * (float)(five_bits(blocks[b].high_bits, blocks[b].quants, j) - 16);
    }
}

void block_q5_1_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q5_1 *blocks = source;
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        float scale = f16_to_float(blocks[b].scale);
        float minimum = f16_to_float(blocks[b].minimum);
        for (size_t j = 0; j < 32; j++)
            destination[b * 32 + j] = scale * (float)five_bits(blocks[b].high_bits, blocks[b].quants, j) + minimum;
    }
}

/* ---- blocks of 256, to float ---- */

void block_q2_k_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q2_k *blocks = source;
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        const struct block_q2_k *block = &blocks[b];
        float scale = f16_to_float(block->scale);
        float minimum = f16_to_float(block->minimum);
        for (size_t i = 0; i < 256; i++) {
            float group_scale = scale * (float)(block->scales[i / 16] & 15);
            float group_minimum = minimum * (float)(block->scales[i / 16] >> 4);
            int quant = block->quants[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            destination[b * 256 + i] = group_scale * (float)quant - group_minimum;
        }
    }
}

void block_q3_k_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q3_k *blocks = source;
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        const struct block_q3_k *block = &blocks[b];
        float scale = f16_to_float(block->scale);
        float group_scales[16];
        for (size_t g = 0; g < 16; g++) {
            int low = block->scales[g % 8] >> (g / 8 * 4) & 15;
            int high = block->scales[8 + g % 4] >> (g / 4 * 2) & 3;
            group_scales[g] = scale * (float)((low | high << 4) - 32);
        }
        for (size_t i = 0; i < 256; i++) {
            int quant = block->quants[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            int high = block->high_bits[i % 32] >> (i / 32) & 1;
            destination[b * 256 + i] = group_scales[i / 16] * (float)(quant - (high ? 0 : 4));
        }
    }
}

void block_unpack_scale_minimum(const uint8_t scales[12], int group, uint8_t *scale, uint8_t *minimum)
{
    if (group < 4) {
        *scale = scales[group] & 63;
        *minimum = scales[group + 4] & 63;
    } else {
        *scale = (uint8_t)((scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4);
        *minimum = (uint8_t)((scales[group + 4] >> 4) | (scales[group] >> 6) << 4);
    }
}

void block_q4_k_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q4_k *blocks = source;
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        const struct block_q4_k *block = &blocks[b];
        for (size_t g = 0; g < 8; g++) {
            uint8_t scale, minimum;
            block_unpack_scale_minimum(block->scales, (int)g, &scale, &minimum);
            float group_scale = f16_to_float(block->scale) * (float)scale;
            float group_minimum = f16_to_float(block->minimum) * (float)minimum;
            for (size_t j = 0; j < 32; j++) {
                int quant = block->quants[g / 2 * 32 + j] >> (g % 2 * 4) & 15;
                destination[b * 256 + g * 32 + j] = group_scale * (float)quant - group_minimum;
            }
        }
    }
}

void block_q5_k_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q5_k *blocks = source;
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        const struct block_q5_k *block = &blocks[b];
        for (size_t g = 0; g < 8; g++) {
            uint8_t scale, minimum;
            block_unpack_scale_minimum(block->scales, (int)g, &scale, &minimum);
            float group_scale = f16_to_float(block->scale) * (float)scale;
            float group_minimum = f16_to_float(block->minimum) * (float)minimum;
            for (size_t j = 0; j < 32; j++) {
                int quant = (block->quants[g / 2 * 32 + j] >> (g % 2 * 4) & 15) | (block->high_bits[j] >> g & 1) << 4;
                destination[b * 256 + g * 32 + j] = group_scale * (float)quant - group_minimum;
            }
        }
    }
}

void block_q6_k_to_float(const void *source, float *destination, size_t n)
{
    const struct block_q6_k *blocks = source;
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        const struct block_q6_k *block = &blocks[b];
        float scale = f16_to_float(block->scale);
        for (size_t i = 0; i < 256; i++) {
            size_t half = i / 128, part = i % 128 / 32, j = i % 32;
            int low = block->low_bits[half * 64 + part % 2 * 32 + j] >> (part / 2 * 4) & 15;
            int high = block->high_bits[half * 32 + j] >> (part * 2) & 3;
            float group_scale = scale * (float)block->scales[i / 16];
            destination[b * 256 + i] = group_scale * (float)((low | high << 4) - 32);
        }
    }
}

/* ---- blocks of 32, from float ---- */

/* 1 / d, or 0 for d = 0. Infinite for the smallest subnormal d, which is 0 in binary16, so that any quant stands for the same value. */
static float reciprocal(float scale)
{
    return scale != 0.0f ? 1.0f / scale : 0.0f;
}

/* trunc(value) limited to [0, maximum]; NaN gives 0. */
static uint8_t clamp_quant(float value, int maximum)
{
    if (!(value >= 1.0f))
        return 0;
    return value >= (float)maximum ? (uint8_t)maximum : (uint8_t)value;
}

/* The element of largest magnitude, with its sign; the first on ties. */
static float signed_extreme(const float *source)
{
    float largest = 0.0f, extreme = 0.0f;
    for (int j = 0; j < 32; j++)
        if (fabsf(source[j]) > largest) {
            largest = fabsf(source[j]);
            extreme = source[j];
        }
    return extreme;
}

static void find_range(const float *source, float *minimum, float *maximum)
{
    *minimum = *maximum = source[0];
    for (int j = 1; j < 32; j++) {
        if (source[j] < *minimum)
            *minimum = source[j];
        if (source[j] > *maximum)
            *maximum = source[j];
    }
}

static void pack_four_bits(const uint8_t quants[32], uint8_t packed[16])
{
    for (int j = 0; j < 16; j++)
        packed[j] = (uint8_t)((quants[j] & 15) | quants[j + 16] << 4);
}

static void pack_high_bits(const uint8_t quants[32], uint8_t high_bits[4])
{
    memset(high_bits, 0, 4);
    for (int j = 0; j < 32; j++)
        high_bits[j / 8] = (uint8_t)(high_bits[j / 8] | (quants[j] >> 4 & 1) << (j % 8));
}

/* d = max|x| / 127, q = round half away from zero of x / d */
void block_q8_0_from_float(const float *source, void *destination, size_t n)
{
    struct block_q8_0 *blocks = destination;
    for (size_t b = 0; b < n / BLOCK_SMALL; b++, source += 32) {
        float scale = fabsf(signed_extreme(source)) / 127.0f;
        float inverse = reciprocal(scale);
        blocks[b].scale = float_to_f16(scale);
        for (int j = 0; j < 32; j++) {
            float quant = roundf(source[j] * inverse);
            blocks[b].quants[j] = quant >= 127.0f ? 127 : quant <= -127.0f ? -127 : quant == quant ? (int8_t)quant : 0;
        }
    }
}

/* d = extreme / -2^(bits-1), q = trunc(x / d + 2^(bits-1) + 0.5): the extreme itself becomes q = 0, exactly. */
static float quantize_symmetric(const float *source, int bits, uint8_t quants[32])
{
    float half = (float)(1 << (bits - 1));
    float scale = signed_extreme(source) / -half;
    float inverse = reciprocal(scale);
    for (int j = 0; j < 32; j++)
        quants[j] = clamp_quant(source[j] * inverse + (half + 0.5f), (1 << bits) - 1);
    return scale;
}

/* d = (max - min) / (2^bits - 1), m = min, q = trunc((x - m) / d + 0.5) */
static float quantize_with_minimum(const float *source, int bits, uint8_t quants[32], float *minimum)
{
    float maximum;
    find_range(source, minimum, &maximum);
    float scale = (maximum - *minimum) / (float)((1 << bits) - 1);
    float inverse = reciprocal(scale);
    for (int j = 0; j < 32; j++)
        quants[j] = clamp_quant((source[j] - *minimum) * inverse + 0.5f, (1 << bits) - 1);
    return scale;
}

void block_q4_0_from_float(const float *source, void *destination, size_t n)
{
    struct block_q4_0 *blocks = destination;
    uint8_t quants[32];
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        blocks[b].scale = float_to_f16(quantize_symmetric(source + b * 32, 4, quants));
        pack_four_bits(quants, blocks[b].quants);
    }
}

void block_q4_1_from_float(const float *source, void *destination, size_t n)
{
    struct block_q4_1 *blocks = destination;
    uint8_t quants[32];
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        float minimum;
        blocks[b].scale = float_to_f16(quantize_with_minimum(source + b * 32, 4, quants, &minimum));
        blocks[b].minimum = float_to_f16(minimum);
        pack_four_bits(quants, blocks[b].quants);
    }
}

void block_q5_0_from_float(const float *source, void *destination, size_t n)
{
    struct block_q5_0 *blocks = destination;
    uint8_t quants[32];
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        blocks[b].scale = float_to_f16(quantize_symmetric(source + b * 32, 5, quants));
        pack_four_bits(quants, blocks[b].quants);
        pack_high_bits(quants, blocks[b].high_bits);
    }
}

void block_q5_1_from_float(const float *source, void *destination, size_t n)
{
    struct block_q5_1 *blocks = destination;
    uint8_t quants[32];
    for (size_t b = 0; b < n / BLOCK_SMALL; b++) {
        float minimum;
        blocks[b].scale = float_to_f16(quantize_with_minimum(source + b * 32, 5, quants, &minimum));
        blocks[b].minimum = float_to_f16(minimum);
        pack_four_bits(quants, blocks[b].quants);
        pack_high_bits(quants, blocks[b].high_bits);
    }
}
