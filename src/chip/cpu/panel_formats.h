/* Weight panels: PANEL_OUTPUTS outputs side by side, so that a lane is an output and one row of input meets the same order of additions as five hundred.
 *
 * Integer panels. A block is LINEAR_BLOCK columns; `group_blocks` blocks share a header, so that all of a panel is read in one ascending stream and codes begin
 * on a cache line:
 *
 *   | header | codes of block 0 | codes of block 1 | ... |   one group; the last group of a panel may be partly unused
 *
 *   header, float16 scales (64 bytes):  d [group_blocks][16], then with minima m [16]
 *   header, byte scales (320 bytes):    d float16 [16], m float16 [16] (unused without minima), then 32 bytes for each block:
 *                                         [16 scales | 16 minima], with halves [16 scales of columns 0-15 | 16 of columns 16-31],
 *                                         with halves and minima the same with the minimum in each byte's high 4 bits
 *
 *   value = scale * (code - bias) - or + minimum    scale = d, or d * the byte; minimum = + m, or - m * the byte
 *
 *   codes of `bits` bits, `bits` registers of 64 bytes; byte 4n + t of code register j (0..7) is column 4j + t of output n:
 *     8 bits   8 registers as they are
 *     4 bits   register i: code registers i in the low, i + 4 in the high nibble
 *     2 bits   registers 0, 1: code registers 4i .. 4i + 3, two bits each, from the lowest
 *     5 = 4 and one register, 3 = 2 and one register: bit j is the highest bit of code register j
 *     6 = 4 and two registers, packed as 2 bits are: the two highest bits
 *
 * Bytes as published, apart from these: 6-bit scales take 8 (Q4_K +2.8%, Q5_K +2.3%, Q3_K +5.5%, Q6_K +0.9%).
 *
 * Float panels. F32, F16: [column][16]. BF16: [pair of columns][16][2], an odd last column followed by zeros. */
#ifndef CHIP_CPU_PANEL_FORMATS_H
#define CHIP_CPU_PANEL_FORMATS_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/type.h"

#define LANES 16
#define PANEL_OUTPUTS 16
#define LINEAR_BLOCK 32 /* columns of a block */

enum panel_kind {
    PANEL_Q4_0,
    PANEL_Q4_1,
    PANEL_Q5_0,
    PANEL_Q5_1,
    PANEL_Q8_0,
    PANEL_Q2_K,
    PANEL_Q3_K,
    PANEL_Q4_K,
    PANEL_Q5_K,
    PANEL_Q6_K,
    PANEL_INTEGER_COUNT,
    PANEL_F32 = PANEL_INTEGER_COUNT,
    PANEL_F16,
    PANEL_BF16,
    PANEL_KIND_COUNT
};

struct panel_format {
    enum tensor_type type;
    int bits;
    int bias_shift;   /* bias = 1 << bias_shift, 0: none */
    int group_blocks; /* 8: byte scales */
    bool minima;
    bool halves; /* a scale for every 16 columns */
};

static const struct panel_format panel_formats[PANEL_KIND_COUNT] = {
    [PANEL_Q4_0] = {.type = TENSOR_Q4_0, .bits = 4, .bias_shift = 3, .group_blocks = 2},
    [PANEL_Q4_1] = {.type = TENSOR_Q4_1, .bits = 4, .group_blocks = 1, .minima = true},
    [PANEL_Q5_0] = {.type = TENSOR_Q5_0, .bits = 5, .bias_shift = 4, .group_blocks = 2},
    [PANEL_Q5_1] = {.type = TENSOR_Q5_1, .bits = 5, .group_blocks = 1, .minima = true},
    [PANEL_Q8_0] = {.type = TENSOR_Q8_0, .bits = 8, .bias_shift = 7, .group_blocks = 2},
    [PANEL_Q2_K] = {.type = TENSOR_Q2_K, .bits = 2, .group_blocks = 8, .minima = true, .halves = true},
    [PANEL_Q3_K] = {.type = TENSOR_Q3_K, .bits = 3, .bias_shift = 2, .group_blocks = 8, .halves = true},
    [PANEL_Q4_K] = {.type = TENSOR_Q4_K, .bits = 4, .group_blocks = 8, .minima = true},
    [PANEL_Q5_K] = {.type = TENSOR_Q5_K, .bits = 5, .group_blocks = 8, .minima = true},
    [PANEL_Q6_K] = {.type = TENSOR_Q6_K, .bits = 6, .bias_shift = 5, .group_blocks = 8, .halves = true},
    [PANEL_F32] = {.type = TENSOR_F32, .bits = 32},
    [PANEL_F16] = {.type = TENSOR_F16, .bits = 16},
    [PANEL_BF16] = {.type = TENSOR_BF16, .bits = 16},
};

/* A byte scale as what it means. */
static inline __attribute__((always_inline)) int panel_signed_byte(uint8_t byte)
{
    return byte < 128 ? byte : byte - 256;
}

static inline __attribute__((always_inline)) bool panel_has_byte_scales(enum panel_kind kind)
{
    return panel_formats[kind].group_blocks == 8;
}

static inline __attribute__((always_inline)) int panel_header_bytes(enum panel_kind kind)
{
    return panel_has_byte_scales(kind) ? 320 : 64;
}

static inline __attribute__((always_inline)) int panel_code_bytes(enum panel_kind kind) /* of a block */
{
    return panel_formats[kind].bits * 64;
}

static inline __attribute__((always_inline)) int panel_group_bytes(enum panel_kind kind)
{
    return panel_header_bytes(kind) + panel_formats[kind].group_blocks * panel_code_bytes(kind);
}

/* Header of the group of block b. */
static inline __attribute__((always_inline)) const uint8_t *panel_header(enum panel_kind kind, const uint8_t *panel, uint32_t b)
{
    return panel + (uint64_t)(b / (uint32_t)panel_formats[kind].group_blocks) * (uint64_t)panel_group_bytes(kind);
}

static inline __attribute__((always_inline)) const uint8_t *panel_codes(enum panel_kind kind, const uint8_t *header, uint32_t b)
{
    return header + panel_header_bytes(kind) + b % (uint32_t)panel_formats[kind].group_blocks * (uint32_t)panel_code_bytes(kind);
}

/* Where block b's float16 scales, or its 32 bytes of byte scales, lie. */
static inline __attribute__((always_inline)) const uint8_t *panel_scales(enum panel_kind kind, const uint8_t *header, uint32_t b)
{
    return header + (panel_has_byte_scales(kind) ? 64 : 0) + b % (uint32_t)panel_formats[kind].group_blocks * 32;
}

#endif
