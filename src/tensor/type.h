/* Element types of tensors as published: plain types and block-quantised formats, as a table of rows.
 *
 * A tensor is rows of `columns` elements; columns runs fastest and is a multiple of the type's block. Each row describes one type: how many
 * elements a block holds, how many bytes it takes, and the scalar reference conversion from and to float, bit for bit as the format's origin
 * (ggml's quantisation reference) defines it. Kernels elsewhere are checked against these.
 *
 * A new format is one enum value, one row here, one conversion in block_formats.c. */
#ifndef TENSOR_TYPE_H
#define TENSOR_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tensor_type {
    TENSOR_F32,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_I32,
    TENSOR_Q8_0,
    TENSOR_Q4_0,
    TENSOR_Q4_1,
    TENSOR_Q5_0,
    TENSOR_Q5_1,
    TENSOR_Q2_K,
    TENSOR_Q3_K,
    TENSOR_Q4_K,
    TENSOR_Q5_K,
    TENSOR_Q6_K,
    TENSOR_TYPE_COUNT
};

struct tensor_type_row {
    enum tensor_type type;
    const char *name;   /* "q4_1": lower case, as the command line takes it */
    int block_elements; /* 1 for plain types */
    int block_bytes;
    int ggml_type; /* the number in GGUF files, -1: not used there */
    /* n elements (a multiple of block_elements); source and destination do not overlap. NULL: not convertible (integers). */
    void (*to_float)(const void *source, float *destination, size_t n);
    /* Round-to-nearest reference quantiser (for tests, tools and --quantize). NULL: none yet. */
    void (*from_float)(const float *source, void *destination, size_t n);
};

extern const struct tensor_type_row tensor_types[TENSOR_TYPE_COUNT]; /* indexed by type */

bool tensor_type_from_ggml(uint32_t ggml_type, enum tensor_type *type);
bool tensor_type_from_name(const char *name, enum tensor_type *type);

/* Bytes of `rows` rows of `columns` elements. False: columns is not a multiple of the block, or overflow. */
bool tensor_type_bytes(enum tensor_type type, uint64_t rows, uint64_t columns, uint64_t *bytes);

#endif
