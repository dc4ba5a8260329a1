/* The table of element types. */
#include "tensor/type.h"

#include <string.h>

#include "tensor/block_formats.h"

/* clang-format off */
const struct tensor_type_row tensor_types[TENSOR_TYPE_COUNT] = {
    /*              type         name   block  bytes                  ggml  to float             from float */
    [TENSOR_F32] = {TENSOR_F32, "f32", 1, 4, 0, block_f32_to_float, block_f32_from_float},
    [TENSOR_F16] = {TENSOR_F16, "f16", 1, 2, 1, block_f16_to_float, block_f16_from_float},
    [TENSOR_BF16] = {TENSOR_BF16, "bf16", 1, 2, 30, block_bf16_to_float, block_bf16_from_float},
    [TENSOR_I32] = {TENSOR_I32, "i32", 1, 4, 26, NULL, NULL},
    [TENSOR_Q8_0] = {TENSOR_Q8_0, "q8_0", 32, sizeof(struct block_q8_0), 8, block_q8_0_to_float, block_q8_0_from_float},
    [TENSOR_Q4_0] = {TENSOR_Q4_0, "q4_0", 32, sizeof(struct block_q4_0), 2, block_q4_0_to_float, block_q4_0_from_float},
    [TENSOR_Q4_1] = {TENSOR_Q4_1, "q4_1", 32, sizeof(struct block_q4_1), 3, block_q4_1_to_float, block_q4_1_from_float},
    [TENSOR_Q5_0] = {TENSOR_Q5_0, "q5_0", 32, sizeof(struct block_q5_0), 6, block_q5_0_to_float, block_q5_0_from_float},
    [TENSOR_Q5_1] = {TENSOR_Q5_1, "q5_1", 32, sizeof(struct block_q5_1), 7, block_q5_1_to_float, block_q5_1_from_float},
    [TENSOR_Q2_K] = {TENSOR_Q2_K, "q2_k", 256, sizeof(struct block_q2_k), 10, block_q2_k_to_float, block_q2_k_from_float},
    [TENSOR_Q3_K] = {TENSOR_Q3_K, "q3_k", 256, sizeof(struct block_q3_k), 11, block_q3_k_to_float, block_q3_k_from_float},
    [TENSOR_Q4_K] = {TENSOR_Q4_K, "q4_k", 256, sizeof(struct block_q4_k), 12, block_q4_k_to_float, block_q4_k_from_float},
    [TENSOR_Q5_K] = {TENSOR_Q5_K, "q5_k", 256, sizeof(struct block_q5_k), 13, block_q5_k_to_float, block_q5_k_from_float},
    [TENSOR_Q6_K] = {TENSOR_Q6_K, "q6_k", 256, sizeof(struct block_q6_k), 14, block_q6_k_to_float, block_q6_k_from_float},
};
/* clang-format on */

bool tensor_type_from_ggml(uint32_t ggml_type, enum tensor_type *type)
{
    for (int i = 0; i < TENSOR_TYPE_COUNT; i++)
        if (tensor_types[i].ggml_type >= 0 && (uint32_t)tensor_types[i].ggml_type == ggml_type) {
            *type = tensor_types[i].type;
            return true;
        }
    return false;
}

bool tensor_type_from_name(const char *name, enum tensor_type *type)
{
    for (int i = 0; i < TENSOR_TYPE_COUNT; i++)
        if (strcmp(tensor_types[i].name, name) == 0) {
            *type = tensor_types[i].type;
            return true;
        }
    return false;
}

bool tensor_type_bytes(enum tensor_type type, uint64_t rows, uint64_t columns, uint64_t *bytes)
{
    const struct tensor_type_row *row = &tensor_types[type];
    uint64_t row_bytes;
    if (columns % (uint64_t)row->block_elements)
        return false;
    return !__builtin_mul_overflow(columns / (uint64_t)row->block_elements, (uint64_t)row->block_bytes, &row_bytes) &&
           !__builtin_mul_overflow(row_bytes, rows, bytes);
}
