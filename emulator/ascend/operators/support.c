/* Shared by operator implementations: type promotion, dimensions, common refusals. */
#include "operators/support.h"

#include <string.h>

struct tensor *self_of(const struct call *call)
{
    struct tensor *self = call_tensor(call, "self");
    return self ? self : call_tensor(call, "selfRef");
}

struct tensor *output_of(const struct call *call)
{
    struct tensor *out = call_tensor(call, "out");
    return out ? out : call_tensor(call, "selfRef");
}

static int rank_of(aclDataType type)
{
    switch (type) {
    case ACL_BOOL: return 0;
    case ACL_UINT8:
    case ACL_INT8: return 1;
    case ACL_INT16: return 2;
    case ACL_INT32: return 3;
    case ACL_INT64: return 4;
    case ACL_FLOAT16:
    case ACL_BF16: return 5;
    case ACL_FLOAT: return 6;
    case ACL_DOUBLE: return 7;
    default: return -1;
    }
}

aclDataType promote(aclDataType a, aclDataType b)
{
    if (a == b)
        return a;
    int rank_a = rank_of(a), rank_b = rank_of(b);
    if (rank_a < 0 || rank_b < 0)
        return ACL_DT_UNDEFINED;
    if (rank_a == 5 && rank_b == 5)
        return ACL_FLOAT; /* fp16 with bf16 */
    if (rank_a == 1 && rank_b == 1)
        return ACL_INT16; /* int8 with uint8 */
    return rank_a > rank_b ? a : b;
}

int normalise_dim(int64_t *dim, unsigned n_dims, const char *name)
{
    int64_t n = n_dims ? n_dims : 1;
    if (*dim < -n || *dim >= n)
        return fail(ACLNN_PARAM_INVALID, "%s is %lld; the tensor has %u dimensions", name, (long long)*dim, n_dims);
    *dim += *dim < 0 ? n : 0;
    return 0;
}

int check_same_shape(const struct tensor *a, const char *name_a, const struct tensor *b, const char *name_b)
{
    return tensor_same_shape(a, b) ? 0 : fail(ACLNN_PARAM_INVALID, "%s and %s must have the same shape", name_a, name_b);
}

int check_contiguous(const struct tensor *tensor, const char *name)
{
    return tensor_is_contiguous(tensor) ? 0 : fail(ACLNN_PARAM_INVALID, "%s is not contiguous, which this operator needs", name);
}

void split_at(const struct tensor *tensor, int64_t dim, int64_t *outer, int64_t *length, int64_t *inner)
{
    *outer = *inner = 1;
    *length = tensor->n_dims ? tensor->dims[dim] : 1;
    for (unsigned i = 0; i < tensor->n_dims; i++)
        if (i < dim)
            *outer *= tensor->dims[i];
        else if (i > dim)
            *inner *= tensor->dims[i];
}
