/* Which type a weight takes when it is quantised while it loads: the type asked for, with the two exceptions that published quantised files make, too. */
#ifndef MODEL_QUANTIZE_H
#define MODEL_QUANTIZE_H

#include "base/error.h"
#include "tensor/type.h"

/* "q4_k" and its like; SAMPAN_EINVAL lists those there are. */
int quantize_type_from_name(const char *name, enum tensor_type *type, struct error *err);

/* The type for a matrix of `columns` columns, stored as `stored`. Only f32, f16 and bf16 are quantised. Rows that are no multiple of 256 take a format of 32
 * of no fewer bits (Q4_K: Q5_0); the embedding and the output head take at least six bits, because they cost little and err most. What fits none stays as
 * it is. */
enum tensor_type quantize_choose(enum tensor_type asked, enum tensor_type stored, int64_t columns, bool is_vocabulary);

#endif
