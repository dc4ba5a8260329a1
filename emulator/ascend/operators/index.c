/* Rows by index: embedding, gather, index copy, writes to the paged KV cache; and data movement: permute, concatenate, slice. The chip does not check indices;
 * the emulator reports a wrong one as a late AI Core exception. */
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

static int check_index_copy(struct call *call)
{
    const struct tensor *self = self_of(call), *index = call_tensor(call, "index"), *source = call_tensor(call, "source");
    int64_t dim = call_integer(call, "dim");
    int result = check_type(index, "index", "i32 i64");
    if (!result)
        result = normalise_dim(&dim, self->n_dims, "dim");
    if (!result && source->type != self->type)
        result = fail(ACLNN_PARAM_INVALID, "self is %s, source is %s", type_name(self->type), type_name(source->type));
    bool fits = !result && index->n_dims == 1 && source->n_dims == self->n_dims;
    for (unsigned d = 0; fits && d < self->n_dims; d++)
        fits = source->dims[d] == (d == dim ? index->dims[0] : self->dims[d]);
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "source must have self's shape with dimension %lld of the index's length", (long long)dim);
}

static int compute_index_copy(struct call *call)
{
    const struct tensor *self = self_of(call), *index = call_tensor(call, "index"), *source = call_tensor(call, "source");
    int64_t dim = call_integer(call, "dim"), outer, length, inner, count = index->dims[0];
    normalise_dim(&dim, self->n_dims, "dim");
    split_at(self, dim, &outer, &length, &inner);
    size_t size = type_size(self->type);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = (int64_t)element_load(index, element_at(index, i));
        if (row < 0 || row >= length)
            return fail(RT_AICORE_EXCEPTION, "index %lld at position %lld lies outside [0, %lld)", (long long)row, (long long)i, (long long)length);
        for (int64_t o = 0; o < outer; o++)
            for (int64_t j = 0; j < inner; j++)
                memcpy(self->data + (size_t)element_at(self, (o * length + row) * inner + j) * size,
                       source->data + (size_t)element_at(source, (o * count + i) * inner + j) * size, size);
    }
    return 0;
}

const struct operator_implementation implementation_index_copy = {.check = check_index_copy, .compute = compute_index_copy};

/* ---- paged KV cache: (T,N,D) rows to slots = block * block size + offset of (blocks, block size, N, D) ---- */
static int check_cache(const struct tensor *rows, const struct tensor *cache, const struct tensor *slots, const char *name)
{
    int result = check_type(rows, name, "f16 bf16 i8");
    if (!result && (rows->type != cache->type || rows->n_dims != 3 || cache->n_dims != 4 || cache->dims[2] != rows->dims[1] ||
                    cache->dims[3] != rows->dims[2] || rows->dims[0] != slots->dims[0]))
        result = fail(ACLNN_PARAM_INVALID, "%s (T,N,D) and its cache (blocks, block size, N, D) do not fit in type or shape", name);
    return result ? result : check_contiguous(rows, name);
}

static int check_scatter_kv(struct call *call)
{
    const struct tensor *slots = call_tensor(call, "slotMapping");
    const char *cache_mode = call_text(call, "cacheModeOptional"), *scatter_mode = call_text(call, "scatterModeOptional");
    int result = check_type(slots, "slotMapping", "i32 i64");
    if (!result && slots->n_dims != 1)
        result = fail(ACLNN_PARAM_INVALID, "slotMapping has %u dimensions; 1 is expected", slots->n_dims);
    if (!result && ((*cache_mode && strcmp(cache_mode, "Norm")) || (*scatter_mode && strcmp(scatter_mode, "None"))))
        result =
            fail(ACLNN_PARAM_INVALID, "the emulator has cacheMode \"Norm\" and scatterMode \"None\" only; found \"%s\" and \"%s\"", cache_mode, scatter_mode);
    if (!result && (call_tensor(call, "compressLensOptional") || call_tensor(call, "compressSeqOffsetOptional") || call_tensor(call, "seqLensOptional")))
        result = fail(ACLNN_PARAM_INVALID, "compressLens, compressSeqOffset and seqLens must be NULL in the plain form");
    if (!result)
        result = check_cache(call_tensor(call, "key"), call_tensor(call, "keyCacheRef"), slots, "key");
    return result ? result : check_cache(call_tensor(call, "value"), call_tensor(call, "valueCacheRef"), slots, "value");
}

static int scatter(struct call *call, const char *rows_name, const char *cache_name)
{
    const struct tensor *rows = call_tensor(call, rows_name), *cache = call_tensor(call, cache_name), *slots = call_tensor(call, "slotMapping");
    int64_t width = rows->dims[1] * rows->dims[2], capacity = cache->dims[0] * cache->dims[1];
    size_t size = type_size(rows->type);
    bool plain = tensor_is_contiguous(cache);
    for (int64_t t = 0; t < rows->dims[0]; t++) {
        int64_t slot = (int64_t)element_load(slots, element_at(slots, t));
        if (slot < 0 || slot >= capacity)
            return fail(RT_AICORE_EXCEPTION, "slot %lld of token %lld lies outside the cache of %lld", (long long)slot, (long long)t, (long long)capacity);
        for (int64_t i = 0; i < width; i += plain ? width : 1)
            memcpy(cache->data + (size_t)element_at(cache, slot * width + i) * size, rows->data + (size_t)(rows->offset + t * width + i) * size,
                   (size_t)(plain ? width : 1) * size);
    }
    return 0;
}

static int compute_scatter_kv(struct call *call)
{
    int result = scatter(call, "key", "keyCacheRef");
    return result ? result : scatter(call, "value", "valueCacheRef");
}

const struct operator_implementation implementation_scatter_kv = {.check = check_scatter_kv, .compute = compute_scatter_kv};

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

static int check_concatenate(struct call *call)
{
    const struct value *list = call_value(call, "tensors");
    const struct tensor *out = call_tensor(call, "out");
    int64_t dim = call_integer(call, "dim"), total = 0;
    int result = normalise_dim(&dim, out->n_dims, "dim");
    bool fits = !result;
    for (size_t i = 0; fits && i < list->count; i++) {
        const struct tensor *one = &list->tensors[i];
        fits = one->n_dims == out->n_dims && one->type == out->type;
        for (unsigned d = 0; fits && d < out->n_dims; d++)
            fits = d == dim || one->dims[d] == out->dims[d];
        total += fits ? one->dims[dim] : 0;
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
        const struct tensor *one = &list->tensors[i];
        struct tensor part = *out;
        memcpy(part.dims, one->dims, sizeof part.dims);
        part.offset += done * out->strides[dim];
        int64_t count = tensor_count(one);
        for (int64_t e = 0; e < count; e++)
            copy_elements(one, element_at(one, e), &part, element_at(&part, e));
        done += one->dims[dim];
    }
    return 0;
}

const struct operator_implementation implementation_concatenate = {.check = check_concatenate, .compute = compute_concatenate};

static struct tensor slice_of(const struct call *call, bool *good)
{
    struct tensor view = *call_tensor(call, "self");
    int64_t dim = call_integer(call, "dim"), step = call_integer(call, "step");
    *good = step > 0 && view.n_dims > 0 && dim >= -(int64_t)view.n_dims && dim < (int64_t)view.n_dims;
    if (!*good)
        return view;
    dim += dim < 0 ? view.n_dims : 0;
    int64_t size = view.dims[dim], start = call_integer(call, "start"), end = call_integer(call, "end");
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
