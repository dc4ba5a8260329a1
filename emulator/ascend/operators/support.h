/* What several operator implementations share. */
#ifndef OPERATORS_SUPPORT_H
#define OPERATORS_SUPPORT_H

#include "operator.h"
#include "operator_table.h"

struct tensor *self_of(const struct call *call);   /* "self" or "selfRef" */
struct tensor *output_of(const struct call *call); /* "out", or "selfRef" of an in-place operator */
aclDataType promote(aclDataType a, aclDataType b); /* as PyTorch; UNDEFINED where the types do not mix */
int normalise_dim(int64_t *dim, unsigned n_dims, const char *name);
int check_same_shape(const struct tensor *a, const char *name_a, const struct tensor *b, const char *name_b);
int check_contiguous(const struct tensor *tensor, const char *name);
/* As AddRmsNorm rounds: the normed rows of x1 + x2, and through the pointers the sums and (if not NULL) 1/rms of each row. NULL: no memory. */
float *norm_of_sum(struct call *call, const struct tensor *x1, const struct tensor *x2, const struct tensor *gamma, float **sums, float **inverse);
float scale_unpack(uint64_t packed); /* of TransQuantParamV2's form: fp32 without its lower 13 bits */
void split_at(const struct tensor *tensor, int64_t dim, int64_t *outer, int64_t *length, int64_t *inner); /* row-major */

#endif
