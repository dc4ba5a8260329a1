/* Matrices as the cube unit reads them: strided, or in FRACTAL_NZ. Element (r,c) of an R x C matrix in NZ, C0 = 32 bytes' worth of elements, lies at
 *     ((c / C0) * ceil(R / 16) + r / 16) * 16 * C0 + (r % 16) * C0 + c % C0. */
#ifndef OPERATORS_MATRIX_H
#define OPERATORS_MATRIX_H

#include "operators/support.h"

struct matrix { /* rows x columns, of one batch entry */
    const struct tensor *tensor;
    int64_t rows, columns, row_stride, column_stride, start;
    bool nz, swapped; /* swapped: stored as columns x rows */
    int64_t c0, r1;
};

/* Sizes and batches of a @ b; 1-D operands are a row and a column. */
struct product {
    int64_t m, k, n, batches;
    unsigned n_batch; /* leading dimensions of out */
    bool fits;
};

/* rows x columns as the product needs them; transposed: the view holds columns x rows. start: elements from the tensor's own. */
struct matrix matrix_of(const struct tensor *tensor, int64_t rows, int64_t columns, bool transposed, int64_t start);
int64_t matrix_element(const struct matrix *m, int64_t row, int64_t column);
void matrix_column_int8(const struct matrix *m, int64_t column, int8_t *to); /* of int8 or int4 */
int64_t matrix_nz_elements(aclDataType type, int64_t rows, int64_t columns); /* stored, padding included */
bool matrix_is_physical(const struct tensor *tensor);                        /* NZ whose view has the storage's four dimensions behind the batch's */
/* Whether an NZ matrix lies inside its buffer: its view may be logical, smaller than what is stored. 0 or a late error. */
int matrix_check_buffer(const struct call *call, const struct matrix *m, const char *name);

struct product product_of(const struct tensor *a, const struct tensor *b, const struct tensor *out, bool transpose_a, bool transpose_b);
/* Where entry `batch` of out's leading dimensions lies in a tensor with `own` leading dimensions of its own (broadcast where 1). */
int64_t product_batch_start(const struct tensor *tensor, unsigned own, const struct tensor *out, unsigned n_batch, int64_t batch);

#endif
