#include "chip/cpu/pack.h"

#include <string.h>

#include "tensor/block_formats.h"
#include "tensor/half.h"

int panel_kind_of(enum tensor_type type)
{
    for (int kind = 0; kind < PANEL_KIND_COUNT; kind++) {
        if (panel_formats[kind].type == type)
            return kind;
    }
    return -1;
}

int64_t panel_bytes(enum panel_kind kind, int64_t columns)
{
    const struct panel_format *format = &panel_formats[kind];
    if (kind >= PANEL_INTEGER_COUNT)
        return (columns + 1) / 2 * 2 * PANEL_OUTPUTS * format->bits / 8;
    int64_t blocks = columns / LINEAR_BLOCK;
    return (blocks + format->group_blocks - 1) / format->group_blocks * panel_group_bytes(kind);
}

/* ---- Published blocks, spread out: a byte per code */

struct spread {
    uint16_t d, m;
    uint8_t scales[16]; /* byte scales as the panel holds them: of 32 columns at [b], or of 16 at [2b], [2b + 1] */
    uint8_t minima[8];  /* of 32 columns; those of 16 are in the scales' high bits */
    _Alignas(8) uint8_t codes[BLOCK_LARGE];
};

/* 16 bytes of two nibbles: the low ones first. */
static void spread_nibbles(const uint8_t *bytes, int n, uint8_t *low, uint8_t *high)
{
    for (int i = 0; i < n; i++) {
        low[i] = bytes[i] & 15;
        high[i] = bytes[i] >> 4;
    }
}

static void add_fifth_bits(const uint8_t *bits, uint8_t *codes)
{
    for (int c = 0; c < BLOCK_SMALL; c++)
        codes[c] = (uint8_t)(codes[c] | (bits[c / 8] >> (c % 8) & 1) << 4);
}

static void spread_q4_0(const void *published, struct spread *out)
{
    const struct block_q4_0 *block = published;
    out->d = block->scale;
    spread_nibbles(block->quants, 16, out->codes, out->codes + 16);
}

static void spread_q4_1(const void *published, struct spread *out)
{
    const struct block_q4_1 *block = published;
    out->d = block->scale;
    out->m = block->minimum;
    spread_nibbles(block->quants, 16, out->codes, out->codes + 16);
}

static void spread_q5_0(const void *published, struct spread *out)
{
    const struct block_q5_0 *block = published;
    out->d = block->scale;
    spread_nibbles(block->quants, 16, out->codes, out->codes + 16);
    add_fifth_bits(block->high_bits, out->codes);
}

static void spread_q5_1(const void *published, struct spread *out)
{
    const struct block_q5_1 *block = published;
    out->d = block->scale;
    out->m = block->minimum;
    spread_nibbles(block->quants, 16, out->codes, out->codes + 16);
    add_fifth_bits(block->high_bits, out->codes);
}

static void spread_q8_0(const void *published, struct spread *out)
{
    const struct block_q8_0 *block = published;
    out->d = block->scale;
    for (int c = 0; c < BLOCK_SMALL; c++)
        out->codes[c] = (uint8_t)(block->quants[c] + 128);
}

/* Element 128 c + 32 p + j: two bits of byte 32 c + j. */
static void spread_pairs_of_bits(const uint8_t *bytes, uint8_t *codes)
{
    for (int c = 0; c < 2; c++) {
        for (int p = 0; p < 4; p++) {
            for (int j = 0; j < 32; j++)
                codes[128 * c + 32 * p + j] = bytes[32 * c + j] >> 2 * p & 3;
        }
    }
}

static void spread_q2_k(const void *published, struct spread *out)
{
    const struct block_q2_k *block = published;
    out->d = block->scale;
    out->m = block->minimum;
    memcpy(out->scales, block->scales, sizeof out->scales);
    spread_pairs_of_bits(block->quants, out->codes);
}

static void spread_q3_k(const void *published, struct spread *out)
{
    const struct block_q3_k *block = published;
    out->d = block->scale;
    for (int i = 0; i < 16; i++) {
        int low = i < 8 ? block->scales[i] & 15 : block->scales[i - 8] >> 4, high = block->scales[8 + i % 4] >> 2 * (i / 4) & 3;
        out->scales[i] = (uint8_t)((low | high << 4) - 32);
    }
    spread_pairs_of_bits(block->quants, out->codes);
    for (int g = 0; g < 8; g++) {
        for (int j = 0; j < 32; j++)
            out->codes[32 * g + j] = (uint8_t)(out->codes[32 * g + j] | (block->high_bits[j] >> g & 1) << 2);
    }
}

static void spread_four_bits_k(const uint8_t scales[12], const uint8_t *quants, struct spread *out)
{
    for (int g = 0; g < 8; g++)
        block_unpack_scale_minimum(scales, g, &out->scales[g], &out->minima[g]);
    for (int c = 0; c < 4; c++)
        spread_nibbles(quants + 32 * c, 32, out->codes + 64 * c, out->codes + 64 * c + 32);
}

static void spread_q4_k(const void *published, struct spread *out)
{
    const struct block_q4_k *block = published;
    out->d = block->scale;
    out->m = block->minimum;
    spread_four_bits_k(block->scales, block->quants, out);
}

static void spread_q5_k(const void *published, struct spread *out)
{
    const struct block_q5_k *block = published;
    out->d = block->scale;
    out->m = block->minimum;
    spread_four_bits_k(block->scales, block->quants, out);
    for (int g = 0; g < 8; g++) {
        for (int j = 0; j < 32; j++)
            out->codes[32 * g + j] = (uint8_t)(out->codes[32 * g + j] | (block->high_bits[j] >> g & 1) << 4);
    }
}

static void spread_q6_k(const void *published, struct spread *out)
{
    const struct block_q6_k *block = published;
    out->d = block->scale;
    memcpy(out->scales, block->scales, sizeof out->scales);
    spread_pairs_of_bits(block->high_bits, out->codes);
    for (int c = 0; c < 2; c++) {
        for (int p = 0; p < 4; p++) {
            for (int j = 0; j < 32; j++) {
                uint8_t *code = &out->codes[128 * c + 32 * p + j];
                *code = (uint8_t)(*code << 4 | (block->low_bits[64 * c + 32 * (p % 2) + j] >> (p < 2 ? 0 : 4) & 15));
            }
        }
    }
}

static void (*const spreaders[PANEL_INTEGER_COUNT])(const void *published, struct spread *out) = {
    [PANEL_Q4_0] = spread_q4_0, [PANEL_Q4_1] = spread_q4_1, [PANEL_Q5_0] = spread_q5_0, [PANEL_Q5_1] = spread_q5_1, [PANEL_Q8_0] = spread_q8_0,
    [PANEL_Q2_K] = spread_q2_k, [PANEL_Q3_K] = spread_q3_k, [PANEL_Q4_K] = spread_q4_k, [PANEL_Q5_K] = spread_q5_k, [PANEL_Q6_K] = spread_q6_k,
};

/* ---- Into the panel. Four codes at a time in a word: shifts never carry a kept bit from one byte to the next, so the machine's byte order does not matter. */

#define EACH_BYTE(bits) (0x01010101u * (bits))

/* One register of 2-bit fields from bits [from, from + 2) of code words first .. first + 3. */
static uint32_t join_pairs_of_bits(const uint32_t *words, int from)
{
    uint32_t joined = 0;
    for (int j = 0; j < 4; j++)
        joined |= (words[j] >> from & EACH_BYTE(3u)) << 2 * j;
    return joined;
}

static uint32_t join_bits(const uint32_t *words, int from)
{
    uint32_t joined = 0;
    for (int j = 0; j < 8; j++)
        joined |= (words[j] >> from & EACH_BYTE(1u)) << j;
    return joined;
}

static void pack_block(int bits, const uint8_t *codes, uint8_t *to, int lane)
{
    uint32_t words[8], packed[8] = {0};
    memcpy(words, codes, sizeof words);
    for (int j = 0; j < 4 && bits >= 4; j++)
        packed[j] = (words[j] & EACH_BYTE(15u)) | (words[j + 4] & EACH_BYTE(15u)) << 4;
    switch (bits) {
    case 8: memcpy(packed, words, sizeof packed); break;
    case 6:
        packed[4] = join_pairs_of_bits(words, 4);
        packed[5] = join_pairs_of_bits(words + 4, 4);
        break;
    case 5: packed[4] = join_bits(words, 4); break;
    case 2:
    case 3:
        packed[0] = join_pairs_of_bits(words, 0);
        packed[1] = join_pairs_of_bits(words + 4, 0);
        packed[2] = join_bits(words, 2);
        break;
    default: break;
    }
    for (int i = 0; i < bits; i++)
        memcpy(to + 64 * i + 4 * lane, &packed[i], 4);
}

static void pack_integers(enum panel_kind kind, const uint8_t *published, int64_t columns, uint8_t *panel, int lane)
{
    const struct panel_format *format = &panel_formats[kind];
    const int spread_blocks = panel_has_byte_scales(kind) ? 8 : 1, published_bytes = tensor_types[format->type].block_bytes;
    struct spread spread;
    for (uint32_t b = 0; b < (uint64_t)columns / LINEAR_BLOCK; b++) {
        uint8_t *header = (uint8_t *)(uintptr_t)panel_header(kind, panel, b), *scales = (uint8_t *)(uintptr_t)panel_scales(kind, header, b);
        int at = (int)(b % (uint32_t)spread_blocks);
        if (at == 0) {
            spreaders[kind](published, &spread);
            published += published_bytes;
        }
        if (spread_blocks == 1) {
            memcpy(scales + 2 * lane, &spread.d, 2);
        } else {
            memcpy(header + 2 * lane, &spread.d, 2);
            scales[lane] = spread.scales[format->halves ? 2 * at : at];
            scales[PANEL_OUTPUTS + lane] = format->halves ? spread.scales[2 * at + 1] : spread.minima[at];
        }
        if (format->minima)
            memcpy(header + 32 + 2 * lane, &spread.m, 2);
        pack_block(format->bits, spread.codes + at * LINEAR_BLOCK, (uint8_t *)(uintptr_t)panel_codes(kind, header, b), lane);
    }
}

void panel_pack_row(enum panel_kind kind, const uint8_t *published, int64_t columns, uint8_t *panel, int lane)
{
    if (kind < PANEL_INTEGER_COUNT) {
        pack_integers(kind, published, columns, panel, lane);
        return;
    }
    for (int64_t c = 0; c < columns; c++) {
        if (kind == PANEL_F32)
            memcpy(panel + (c * LANES + lane) * 4, published + 4 * c, 4);
        else if (kind == PANEL_F16)
            memcpy(panel + (c * LANES + lane) * 2, published + 2 * c, 2);
        else
            memcpy(panel + (c / 2 * 2 * LANES + lane * 2 + c % 2) * 2, published + 2 * c, 2);
    }
}

/* ---- Reading rows back */

static int read_code(int bits, const uint8_t *codes, int column, int lane)
{
    const int j = column / 4;
    const uint8_t *at = codes + 4 * lane + column % 4;
    if (bits == 8)
        return at[64 * j];
    if (bits < 4)
        return (at[64 * (j / 4)] >> 2 * (j % 4) & 3) | (bits == 3 ? (at[64 * 2] >> j & 1) << 2 : 0);
    int low = at[64 * (j % 4)] >> (j < 4 ? 0 : 4) & 15;
    return low | (bits == 5 ? (at[64 * 4] >> j & 1) << 4 : bits == 6 ? (at[64 * (4 + j / 4)] >> 2 * (j % 4) & 3) << 4 : 0);
}

static float read_half(const uint8_t *halves, int lane)
{
    uint16_t half;
    memcpy(&half, halves + 2 * lane, sizeof half);
    return f16_to_float(half);
}

/* Scale and minimum (as added) of columns 16 half .. 16 half + 15 of block b. */
static void read_scales(enum panel_kind kind, const uint8_t *header, uint32_t b, int half, int lane, float *scale, float *minimum)
{
    const struct panel_format *format = &panel_formats[kind];
    const uint8_t *scales = panel_scales(kind, header, b);
    float m = format->minima ? read_half(header + 32, lane) : 0.0f;
    if (!panel_has_byte_scales(kind)) {
        *scale = read_half(scales, lane);
        *minimum = m;
        return;
    }
    int byte = panel_signed_byte(scales[(format->halves ? half * PANEL_OUTPUTS : 0) + lane]);
    int minimum_byte = !format->minima ? 0 : format->halves ? byte >> 4 & 15 : scales[PANEL_OUTPUTS + lane];
    if (format->minima && format->halves)
        byte &= 15;
    *scale = read_half(header, lane) * (float)byte;
    *minimum = 0.0f - m * (float)minimum_byte;
}

static void read_integers(enum panel_kind kind, const uint8_t *panel, int lane, int64_t columns, float *out)
{
    const struct panel_format *format = &panel_formats[kind];
    const int bias = format->bias_shift ? 1 << format->bias_shift : 0;
    for (int64_t first = 0; first < columns; first += LINEAR_BLOCK / 2) {
        uint32_t b = (uint32_t)(first / LINEAR_BLOCK);
        int half = (int)(first / (LINEAR_BLOCK / 2) % 2);
        const uint8_t *header = panel_header(kind, panel, b), *codes = panel_codes(kind, header, b);
        float scale, minimum;
        read_scales(kind, header, b, half, lane, &scale, &minimum);
        for (int c = 0; c < LINEAR_BLOCK / 2; c++) {
            float value = scale * (float)(read_code(format->bits, codes, half * (LINEAR_BLOCK / 2) + c, lane) - bias);
            out[first + c] = format->minima ? value + minimum : value;
        }
    }
}

void panel_read_row(enum panel_kind kind, const uint8_t *panel, int lane, int64_t columns, float *out)
{
    if (kind < PANEL_INTEGER_COUNT) {
        read_integers(kind, panel, lane, columns, out);
        return;
    }
    for (int64_t c = 0; c < columns; c++) {
        int64_t at = kind == PANEL_BF16 ? c / 2 * 2 * LANES + lane * 2 + c % 2 : c * LANES + lane;
        uint16_t half;
        memcpy(&half, panel + at * 2, 2);
        if (kind == PANEL_F32)
            memcpy(&out[c], panel + at * 4, 4);
        else
            out[c] = kind == PANEL_F16 ? f16_to_float(half) : bf16_to_float(half);
    }
}
