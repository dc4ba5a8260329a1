/* Rows by index: embedding, gather; and data movement: permute, concatenate, slice. The chip does not check indices; the emulator reports a wrong one as a late
 * AI Core exception. */
#include "operators/support.h"

#include <string.h>

static const struct tensor *table_of(const struct call *call)
{
    return call->row->detail ? self_of(call) : call_tensor(call, "weight");
}

static const struct tensor *indices_of(const struct call *call)
{
    return call->row->detail ? call_tensor(call, "index") : call_tensor(call, "indices");
}

static int check_gather(struct call *call)
{
    const struct tensor *table = table_of(call), *indices = indices_of(call), *out = call_tensor(call, "out");
    int64_t dim = call_integer(call, "dim");
    int result = check_type(indices, "index", "i32 i64");
    if (!result)
        result = normalise_dim(&dim, table->n_dims, "dim");
    if (!result && out->type != table->type)
        result = fail(ACLNN_PARAM_INVALID, "out is %s, the table is %s", type_name(out->type), type_name(table->type));
    if (!result && call->row->detail == 2 && indices->n_dims > 1)
        result = fail(ACLNN_PARAM_INVALID, "index has %u dimensions; 0 or 1 is expected", indices->n_dims);
    if (!result && call->row->detail == 0 && table->n_dims != 2)
        result = fail(ACLNN_PARAM_INVALID, "weight has %u dimensions; 2 are expected", table->n_dims);
    unsigned n_index = call->row->detail == 2 ? 1 : indices->n_dims;
    bool fits = !result && out->n_dims + 1 == table->n_dims + n_index;
    for (unsigned d = 0; fits && d < out->n_dims; d++) {
        bool indexed = d >= dim && d < dim + n_index;
        int64_t from_index = indexed && indices->n_dims ? indices->dims[d - (unsigned)dim] : 1;
        fits = out->dims[d] == (indexed ? from_index : table->dims[d < dim ? d : d - n_index + 1]);
    }
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "out must have the table's shape with dimension %lld replaced by the index's", (long long)dim);
}

static int compute_gather(struct call *call)
{
    const struct tensor *table = table_of(call), *indices = indices_of(call), *out = call_tensor(call, "out");
    int64_t dim = call_integer(call, "dim"), outer, length, inner, count = tensor_count(indices);
    normalise_dim(&dim, table->n_dims, "dim");
    split_at(table, dim, &outer, &length, &inner);
    size_t size = type_size(table->type);
    bool plain = tensor_is_contiguous(table) && tensor_is_contiguous(out);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < count; i++) {
            int64_t row = (int64_t)element_load(indices, element_at(indices, i));
            if (row < 0 || row >= length)
                return fail(RT_AICORE_EXCEPTION, "index %lld at position %lld lies outside [0, %lld)", (long long)row, (long long)i, (long long)length);
            int64_t to = (o * count + i) * inner, from = (o * length + row) * inner;
            if (plain)
                memcpy(out->data + (size_t)(out->offset + to) * size, table->data + (size_t)(table->offset + from) * size, (size_t)inner * size);
            else
                for (int64_t j = 0; j < inner; j++)
                    memcpy(out->data + (size_t)element_at(out, to + j) * size, table->data + (size_t)element_at(table, from + j) * size, size);
        }
    return 0;
}

const struct operator_implementation implementation_gather = {.check = check_gather, .compute = compute_gather};

/* ---- movement ---- */
static void copy_elements(const struct tensor *from, int64_t from_element, const struct tensor *to, int64_t to_element)
{
    size_t size = type_size(to->type);
    memcpy(to->data + (size_t)to_element * size, from->data + (size_t)from_element * size, size);
}

static int check_permute(struct call *call)
{
    const struct tensor *self = call_tensor(call, "self"), *out = call_tensor(call, "out");
    const struct value *dims = call_value(call, "dims");
    unsigned seen = 0;
    bool fits = dims->count == self->n_dims && out->n_dims == self->n_dims && out->type == self->type;
    for (unsigned d = 0; fits && d < self->n_dims; d++) {
        int64_t from = dims->integers[d] < 0 ? dims->integers[d] + self->n_dims : dims->integers[d];
        fits = from >= 0 && from < self->n_dims && !(seen & 1u << from) && out->dims[d] == self->dims[from];
        seen |= fits ? 1u << from : 0;
    }
    return fits ? 0 : fail(ACLNN_PARAM_INVALID, "dims must name each of self's dimensions once and out have the permuted shape and the same type");
}

static int compute_permute(struct call *call)
{
    const struct tensor *self = call_tensor(call, "self"), *out = call_tensor(call, "out");
    const struct value *dims = call_value(call, "dims");
    struct tensor view = *self;
    for (unsigned d = 0; d < self->n_dims; d++) {
        int64_t from = dims->integers[d] < 0 ? dims->integers[d] + self->n_dims : dims->integers[d];
        view.dims[d] = self->dims[from];
        view.strides[d] = self->strides[from];
    }
    int64_t count = tensor_count(out);
    for (int64_t i = 0; i < count; i++)
        copy_elements(&view, element_at(&view, i), out, element_at(out, i));
    return 0;
}

const struct operator_implementation implementation_permute = {.check = check_permute, .compute = compute_permute};

/* Stack: each tensor as if it had a dimension of 1 at dim. */
static struct tensor part_of(const struct call *call, const struct tensor *one, int64_t dim)
{
    struct tensor part = *one;
    if (!call->row->detail || one->n_dims == MAX_DIMS || dim > (int64_t)one->n_dims)
        return part;
    memmove(part.dims + dim + 1, part.dims + dim, (one->n_dims - (size_t)dim) * sizeof *part.dims);
    memmove(part.strides + dim + 1, part.strides + dim, (one->n_dims - (size_t)dim) * sizeof *part.strides);
    part.dims[dim] = 1;
    part.n_dims++;
    return part;
}

static int check_concatenate(struct call *call)
{
    const struct value *list = call_value(call, "tensors");
    const struct tensor *out = call_tensor(call, "out");
    int64_t dim = call_integer(call, "dim"), total = 0;
    int result = normalise_dim(&dim, out->n_dims, "dim");
    bool fits = !result;
    for (size_t i = 0; fits && i < list->count; i++) {
        struct tensor one = part_of(call, &list->tensors[i], dim);
        fits = one.n_dims == out->n_dims && one.type == out->type;
        for (unsigned d = 0; fits && d < out->n_dims; d++)
            fits = d == dim || one.dims[d] == out->dims[d];
        total += fits ? one.dims[dim] : 0;
    }
    return result || (fits && total == out->dims[dim]) ? result : fail(ACLNN_PARAM_INVALID, "the tensors do not join to out along dim %lld", (long long)dim);
}

static int compute_concatenate(struct call *call)
{
    const struct value *list = call_value(call, "tensors");
    const struct tensor *out = call_tensor(call, "out");
    int64_t dim = call_integer(call, "dim"), done = 0;
    normalise_dim(&dim, out->n_dims, "dim");
    for (size_t i = 0; i < list->count; i++) {
        struct tensor one = part_of(call, &list->tensors[i], dim), part = *out;
        memcpy(part.dims, one.dims, sizeof part.dims);
        part.offset += done * out->strides[dim];
        int64_t count = tensor_count(&one);
        for (int64_t e = 0; e < count; e++)
            copy_elements(&one, element_at(&one, e), &part, element_at(&part, e));
        done += one.dims[dim];
    }
    return 0;
}

const struct operator_implementation implementation_concatenate = {.check = check_concatenate, .compute = compute_concatenate};

static int check_split(struct call *call)
{
    const struct tensor *self = call_tensor(call, "self");
    const struct value *sizes = call_value(call, "splitSize"), *list = call_value(call, "out");
    int64_t dim = call_integer(call, "dim"), total = 0;
    int result = normalise_dim(&dim, self->n_dims, "dim");
    bool fits = !result && sizes->count == list->count;
    for (size_t i = 0; fits && i < list->count; i++) {
        const struct tensor *one = &list->tensors[i];
        fits = one->n_dims == self->n_dims && one->type == self->type;
        for (unsigned d = 0; fits && d < self->n_dims; d++)
            fits = one->dims[d] == (d == dim ? sizes->integers[i] : self->dims[d]);
        total += sizes->integers[i];
    }
    if (result || (fits && total == self->dims[dim]))
        return result;
    return fail(ACLNN_PARAM_INVALID, "splitSize and the tensors of out do not divide self along dim %lld", (long long)dim);
}

static int compute_split(struct call *call)
{
    const struct tensor *self = call_tensor(call, "self");
    const struct value *list = call_value(call, "out");
    int64_t dim = call_integer(call, "dim");
    struct tensor part = *self;
    normalise_dim(&dim, self->n_dims, "dim");
    for (size_t i = 0; i < list->count; i++) {
        const struct tensor *one = &list->tensors[i];
        part.dims[dim] = one->dims[dim];
        int64_t count = tensor_count(one);
        for (int64_t e = 0; e < count; e++)
            copy_elements(&part, element_at(&part, e), one, element_at(one, e));
        part.offset += one->dims[dim] * part.strides[dim];
    }
    return 0;
}

const struct operator_implementation implementation_split = {.check = check_split, .compute = compute_split};

static struct tensor slice_of(const struct call *call, bool *good)
{
    struct tensor view = *call_tensor(call, "self");
    int64_t dim = call_integer(call, "dim"), step = call_integer(call, "step");
    *good = step > 0 && view.n_dims > 0 && dim >= -(int64_t)view.n_dims && dim < (int64_t)view.n_dims;
    if (!*good)
        return view;
    dim += dim < 0 ? view.n_dims : 0;
    int64_t size = view.dims[dim], start = call_integer(call, "start"), end = call_integer(call, "end");
    step = step > size ? size + 1 : step;
    start = start < 0 ? start + size : start;
    end = end < 0 ? end + size : end;
    start = start < 0 ? 0 : start > size ? size : start;
    end = end < start ? start : end > size ? size : end;
    view.offset += start * view.strides[dim];
    view.dims[dim] = (end - start + step - 1) / step;
    view.strides[dim] *= step;
    return view;
}

static int check_slice(struct call *call)
{
    bool good;
    struct tensor view = slice_of(call, &good), *out = call_tensor(call, "out");
    return good && tensor_same_shape(&view, out) && view.type == out->type ? 0
                                                                           : fail(ACLNN_PARAM_INVALID, "dim, step or out's shape or type do not fit the slice");
}

static int compute_slice(struct call *call)
{
    bool good;
    struct tensor view = slice_of(call, &good), *out = call_tensor(call, "out");
    int64_t count = tensor_count(out);
    for (int64_t i = 0; i < count; i++)
        copy_elements(&view, element_at(&view, i), out, element_at(out, i));
    return 0;
}

const struct operator_implementation implementation_slice = {.check = check_slice, .compute = compute_slice};
