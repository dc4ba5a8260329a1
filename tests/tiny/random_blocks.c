/* Random weights; see random_blocks.h. Block layouts are ggml's; `spread` of a row is the standard deviation of a block's values at scale 1 when its bits
 * are uniform, so that scale = deviation / spread. */
#include "tiny/random_blocks.h"

#include <string.h>

#include "tensor/half.h"

uint64_t random_u64(struct random *random)
{
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

int32_t random_below(struct random *random, int32_t n)
{
    return (int32_t)((random_u64(random) >> 32) * (uint64_t)n >> 32);
}

float random_uniform(struct random *random, float low, float high)
{
    return low + (high - low) * ((float)(random_u64(random) >> 40) * 0x1p-24f);
}

float random_normal(struct random *random)
{
    float sum = -6.0f;
    for (int i = 0; i < 4; i++) {
        uint64_t bits = random_u64(random);
        for (int j = 0; j < 3; j++, bits >>= 21)
            sum += (float)(bits & 0x1FFFFF) * 0x1p-21f;
    }
    return sum;
}

/* Where a quantised block keeps its 16-bit scale and, where it has one, its 16-bit minimum; everything else is uniform bits. */
struct block_layout {
    int scale_offset;
    int minimum_offset; /* -1: none */
    float spread;
    float minimum_ratio; /* minimum = ratio * scale, so that the mean is about zero */
    bool signed_scale;
};

static const struct block_layout layouts[TENSOR_TYPE_COUNT] = {
    [TENSOR_Q8_0] = {0, -1, 73.9f, 0, false},    [TENSOR_Q4_0] = {0, -1, 4.61f, 0, true},      [TENSOR_Q4_1] = {0, 2, 4.61f, -7.5f, false},
    [TENSOR_Q5_0] = {0, -1, 9.23f, 0, true},     [TENSOR_Q5_1] = {0, 2, 9.23f, -15.5f, false}, [TENSOR_Q2_K] = {80, 82, 13.9f, 1.5f, false},
    [TENSOR_Q3_K] = {108, -1, 43.0f, 0, true},   [TENSOR_Q4_K] = {0, 2, 258.0f, 7.5f, false},  [TENSOR_Q5_K] = {0, 2, 527.0f, 15.5f, false},
    [TENSOR_Q6_K] = {208, -1, 1365.0f, 0, true},
};

static void put_half(unsigned char *destination, float value)
{
    uint16_t half = float_to_f16(value);
    memcpy(destination, &half, sizeof half);
}

static void fill_block(struct random *random, const struct block_layout *layout, float deviation, unsigned char *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        block[i] = (unsigned char)(random_u64(random) >> 56);
    float scale = deviation / layout->spread * random_uniform(random, 0.6f, 1.4f);
    if (random_below(random, 64) == 0)
        scale = 0.0f;
    if (layout->signed_scale && random_below(random, 2))
        scale = -scale;
    put_half(block + layout->scale_offset, scale);
    if (layout->minimum_offset >= 0)
        put_half(block + layout->minimum_offset, scale * layout->minimum_ratio * random_uniform(random, 0.9f, 1.1f));
}

void random_weights(struct random *random, enum tensor_type type, float deviation, void *destination, size_t n)
{
    unsigned char *bytes = destination;
    const struct tensor_type_row *row = &tensor_types[type];
    for (size_t i = 0; i < n; i += (size_t)row->block_elements, bytes += row->block_bytes) {
        float value = type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16 ? deviation * random_normal(random) : 0.0f;
        uint16_t half = type == TENSOR_F16 ? float_to_f16(value) : float_to_bf16(value);
        if (type == TENSOR_F32)
            memcpy(bytes, &value, sizeof value);
        else if (type == TENSOR_F16 || type == TENSOR_BF16)
            memcpy(bytes, &half, sizeof half);
        else if (type == TENSOR_I32)
            memset(bytes, 0, 4);
        else
            fill_block(random, &layouts[type], deviation, bytes, (size_t)row->block_bytes);
    }
}
