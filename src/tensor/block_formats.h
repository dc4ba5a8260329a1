/* Block-quantised formats: how ggml packs 32 or 256 elements into a block, as packed structs (every multi-byte field is little endian), and the scalar
 * reference conversions behind the table in type.h. Source: the ggml project's quantisation reference (its Python package `gguf` is the oracle of our tests).
 *
 * Words: a `scale` d and a `minimum` m are binary16; a quant q is a small unsigned integer. All arithmetic is float, one rounding per written operation,
 * never fused; the formula of each format says in which order.
 *
 * Two ways of packing 4-bit quants occur. Formats of 32: byte j of 16 holds element j in its low and element j + 16 in its high half.
 * Formats of 256: byte j of 32 holds element j in its low and element j + 32 in its high half, chunk of 64 elements after chunk. */
#ifndef TENSOR_BLOCK_FORMATS_H
#define TENSOR_BLOCK_FORMATS_H

#include <stddef.h>
#include <stdint.h>

enum { BLOCK_SMALL = 32, BLOCK_LARGE = 256 }; /* elements of a block */

#define TENSOR_PACKED __attribute__((packed))

/* Q8_0, 34 bytes: | d 2 | q 32 x int8 |           x = q * d */
struct TENSOR_PACKED block_q8_0 {
    uint16_t scale;
    int8_t quants[32];
};

/* Q4_0, 18 bytes: | d 2 | q 16 x (2 x 4 bit) |     x = d * (q - 8) */
struct TENSOR_PACKED block_q4_0 {
    uint16_t scale;
    uint8_t quants[16];
};

/* Q4_1, 20 bytes: | d 2 | m 2 | q 16 |             x = d * q + m */
struct TENSOR_PACKED block_q4_1 {
    uint16_t scale;
    uint16_t minimum;
    uint8_t quants[16];
};

/* Q5_0, 22 bytes: | d 2 | h 4 | q 16 |             x = d * (q - 16); bit j of h is bit 4 of element j's q */
struct TENSOR_PACKED block_q5_0 {
    uint16_t scale;
    uint8_t high_bits[4];
    uint8_t quants[16];
};

/* Q5_1, 24 bytes: | d 2 | m 2 | h 4 | q 16 |       x = d * q + m */
struct TENSOR_PACKED block_q5_1 {
    uint16_t scale;
    uint16_t minimum;
    uint8_t high_bits[4];
    uint8_t quants[16];
};

/* Q2_K, 84 bytes: | s 16 | q 64 | d 2 | m 2 |      x = (d * s_low) * q - (m * s_high)
 * s[i] belongs to elements 16 i .. 16 i + 15: scale in the low, minimum in the high half. Element 128 c + 32 p + j has its 2 bits in byte 32 c + j
 * at bit 2 p. */
struct TENSOR_PACKED block_q2_k {
    uint8_t scales[16];
    uint8_t quants[64];
    uint16_t scale;
    uint16_t minimum;
};

/* Q3_K, 110 bytes: | h 32 | q 64 | s 12 | d 2 |    x = (d * (s - 32)) * (q - (h ? 0 : 4))
 * 2 bits as in Q2_K; bit (4 c + p) of h[j] for element 128 c + 32 p + j. Sixteen 6-bit scales in 12 bytes: scale i has its low 4 bits in byte
 * i % 8 (low half for i < 8, high half above) and its high 2 bits in byte 8 + i % 4 at bit 2 (i / 4). */
struct TENSOR_PACKED block_q3_k {
    uint8_t high_bits[32];
    uint8_t quants[64];
    uint8_t scales[12];
    uint16_t scale;
};

/* Q4_K, 144 bytes: | d 2 | m 2 | s 12 | q 128 |    x = (d * s) * q - (m * s')
 * Eight 6-bit scales s and eight 6-bit minima s' (one pair per 32 elements) in 12 bytes, letters a-h the scales, A-H the minima:
 *
 *   byte   0 .. 3    eeaaaaaa ffbbbbbb ggcccccc hhdddddd      low 6 bits: scales 0-3;  top 2 bits: of scales 4-7
 *   byte   4 .. 7    EEAAAAAA FFBBBBBB GGCCCCCC HHDDDDDD      low 6 bits: minima 0-3;  top 2 bits: of minima 4-7
 *   byte   8 .. 11   EEEEeeee FFFFffff GGGGgggg HHHHhhhh      low 4 bits of scales and minima 4-7 */
struct TENSOR_PACKED block_q4_k {
    uint16_t scale;
    uint16_t minimum;
    uint8_t scales[12];
    uint8_t quants[128];
};

/* Q5_K, 176 bytes: | d 2 | m 2 | s 12 | h 32 | q 128 |   as Q4_K; bit g of h[j] is bit 4 of element 32 g + j's q */
struct TENSOR_PACKED block_q5_k {
    uint16_t scale;
    uint16_t minimum;
    uint8_t scales[12];
    uint8_t high_bits[32];
    uint8_t quants[128];
};

/* Q6_K, 210 bytes: | l 128 | h 64 | s 16 x int8 | d 2 |  x = (d * s) * (q - 32), s[i] for elements 16 i .. 16 i + 15
 * Per half c of 128 elements, element 32 p + j: low 4 bits in byte 64 c + 32 (p % 2) + j of l (high half of it for p >= 2), high 2 bits in byte
 * 32 c + j of h at bit 2 p. */
struct TENSOR_PACKED block_q6_k {
    uint8_t low_bits[128];
    uint8_t high_bits[64];
    int8_t scales[16];
    uint16_t scale;
};

/* Scale and minimum of 32-element group `group` (0-7) of a Q4_K or Q5_K block. */
void block_unpack_scale_minimum(const uint8_t scales[12], int group, uint8_t *scale, uint8_t *minimum);

/* n is a multiple of the block (1 for plain types); alignment of `source` and `destination` bytes does not matter, floats are aligned. */
void block_f32_to_float(const void *source, float *destination, size_t n);
void block_f16_to_float(const void *source, float *destination, size_t n);
void block_bf16_to_float(const void *source, float *destination, size_t n);
void block_q8_0_to_float(const void *source, float *destination, size_t n);
void block_q4_0_to_float(const void *source, float *destination, size_t n);
void block_q4_1_to_float(const void *source, float *destination, size_t n);
void block_q5_0_to_float(const void *source, float *destination, size_t n);
void block_q5_1_to_float(const void *source, float *destination, size_t n);
void block_q2_k_to_float(const void *source, float *destination, size_t n);
void block_q3_k_to_float(const void *source, float *destination, size_t n);
void block_q4_k_to_float(const void *source, float *destination, size_t n);
void block_q5_k_to_float(const void *source, float *destination, size_t n);
void block_q6_k_to_float(const void *source, float *destination, size_t n);

/* Quantisers by rounding, without search. NaN and infinity have no meaning in a block format: they give some block, never undefined behaviour. */
void block_f32_from_float(const float *source, void *destination, size_t n);
void block_f16_from_float(const float *source, void *destination, size_t n);
void block_bf16_from_float(const float *source, void *destination, size_t n);
void block_q8_0_from_float(const float *source, void *destination, size_t n);
void block_q4_0_from_float(const float *source, void *destination, size_t n);
void block_q4_1_from_float(const float *source, void *destination, size_t n);
void block_q5_0_from_float(const float *source, void *destination, size_t n);
void block_q5_1_from_float(const float *source, void *destination, size_t n);

/* Quantisers that search for a small squared error (quantize.c); the same bytes everywhere. NaN as above. */
void block_q2_k_from_float(const float *source, void *destination, size_t n);
void block_q3_k_from_float(const float *source, void *destination, size_t n);
void block_q4_k_from_float(const float *source, void *destination, size_t n);
void block_q5_k_from_float(const float *source, void *destination, size_t n);
void block_q6_k_from_float(const float *source, void *destination, size_t n);

#endif
