/* Writes by index: rows into the paged KV cache, into a dimension, into slices. The chip does not check indices; the emulator reports a wrong one as a late AI
 * Core exception. Where two rows go to one place the winner is undefined: which one it is here depends on the order of the call, as that of sums does. */
#include "operators/support.h"

#include <string.h>

/* The i-th of `count` rows to be written. */
static int64_t turn(const struct call *call, int64_t i, int64_t count)
{
    return call->order & 2 ? count - 1 - i : i;
}

static void copy_element(const struct tensor *from, int64_t from_element, const struct tensor *to, int64_t to_element)
{
    size_t size = type_size(to->type);
    memcpy(to->data + (size_t)to_element * size, from->data + (size_t)from_element * size, size);
}

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
    for (int64_t n = 0; n < count; n++) {
        int64_t i = turn(call, n, count), row = element_whole(index, element_at(index, i));
        if (row < 0 || row >= length)
            return fail(RT_AICORE_EXCEPTION, "index %lld at position %lld lies outside [0, %lld)", (long long)row, (long long)i, (long long)length);
        for (int64_t o = 0; o < outer; o++)
            for (int64_t j = 0; j < inner; j++)
                copy_element(source, element_at(source, (o * count + i) * inner + j), self, element_at(self, (o * length + row) * inner + j));
    }
    return 0;
}

const struct operator_implementation implementation_index_copy = {.check = check_index_copy, .compute = compute_index_copy};

/* ---- paged KV cache: (T,N,D) rows to slots = block * block size + offset of (blocks, block size, N, D), or of NZ (blocks, N*D/last, block size, last) ---- */
static bool is_fractal(const struct call *call)
{
    return !strcmp(call_text(call, "cacheModeOptional"), "PA_NZ");
}

static bool is_strided(const struct call *call)
{
    return !strcmp(call_text(call, "scatterModeOptional"), "Nct");
}

static int check_cache(const struct call *call, const char *name, const char *cache_name)
{
    const struct tensor *rows = call_tensor(call, name), *cache = call_tensor(call, cache_name), *slots = call_tensor(call, "slotMapping");
    int64_t last = rows->type == ACL_INT8 ? 32 : 16;
    int result = check_type(rows, name, "f16 bf16 i8");
    if (result)
        return result;
    bool fits = rows->type == cache->type && rows->n_dims == 3 && cache->n_dims == 4 && rows->dims[0] == slots->dims[0];
    if (fits && is_fractal(call))
        fits = cache->dims[3] == last && cache->dims[1] * last == rows->dims[1] * rows->dims[2];
    else if (fits)
        fits = cache->dims[2] == rows->dims[1] && cache->dims[3] == rows->dims[2];
    if (!fits)
        return fail(ACLNN_PARAM_INVALID, "%s (T,N,D) and its cache %s do not fit in type or shape", name,
                    is_fractal(call) ? "(blocks, N*D/last, block size, last) with last 16, or 32 for int8," : "(blocks, block size, N, D)");
    result = is_strided(call) ? 0 : check_contiguous(rows, name);
    return result ? result : check_contiguous(cache, cache_name);
}

/* Token strides and offsets of key and value: given with "Nct", else unused. */
static int check_strides(const struct call *call)
{
    static const char *const names[2] = {"stridesOptional", "offsetsOptional"};
    for (int i = 0; i < 2; i++) {
        const struct value *array = call_value(call, names[i]);
        if (is_strided(call) && (!array->present || array->count != 2 || array->integers[0] < 0 || array->integers[1] < 0))
            return fail(ACLNN_PARAM_INVALID, "scatterMode \"Nct\" needs %s of two numbers, of key and value", names[i]);
        if (array->present && array->count != 2)
            return fail(ACLNN_PARAM_INVALID, "%s has %zu elements; two are expected", names[i], array->count);
    }
    return 0;
}

static int check_scatter_kv(struct call *call)
{
    const struct tensor *slots = call_tensor(call, "slotMapping");
    const char *cache_mode = call_text(call, "cacheModeOptional"), *scatter_mode = call_text(call, "scatterModeOptional");
    int result = check_type(slots, "slotMapping", "i32 i64");
    if (!result && slots->n_dims != 1)
        result = fail(ACLNN_PARAM_INVALID, "slotMapping has %u dimensions; 1 is expected", slots->n_dims);
    if (!result && ((*cache_mode && strcmp(cache_mode, "Norm") && !is_fractal(call)) || (*scatter_mode && strcmp(scatter_mode, "None") && !is_strided(call))))
        result = fail(ACLNN_PARAM_INVALID, "cacheMode \"%s\" with scatterMode \"%s\": the emulator has \"Norm\" and \"PA_NZ\", \"None\" and \"Nct\"",
                      cache_mode, scatter_mode);
    if (!result && (call_tensor(call, "compressLensOptional") || call_tensor(call, "compressSeqOffsetOptional") || call_tensor(call, "seqLensOptional")))
        result = fail(ACLNN_PARAM_INVALID, "compressLens, compressSeqOffset and seqLens must be NULL in the plain form");
    if (!result)
        result = check_strides(call);
    if (!result)
        result = check_cache(call, "key", "keyCacheRef");
    return result ? result : check_cache(call, "value", "valueCacheRef");
}

static int scatter(struct call *call, int which)
{
    static const char *const row_names[2] = {"key", "value"}, *const cache_names[2] = {"keyCacheRef", "valueCacheRef"};
    const struct tensor *rows = call_tensor(call, row_names[which]), *cache = call_tensor(call, cache_names[which]), *slots = call_tensor(call, "slotMapping");
    bool fractal = is_fractal(call), strided = is_strided(call);
    int64_t width = rows->dims[1] * rows->dims[2], count = rows->dims[0], size = cache->dims[fractal ? 2 : 1], capacity = cache->dims[0] * size;
    int64_t step = strided ? call_value(call, "stridesOptional")->integers[which] : width;
    int64_t first = rows->offset + (strided ? call_value(call, "offsetsOptional")->integers[which] : 0), run = fractal ? cache->dims[3] : width;
    size_t bytes = type_size(rows->type);
    if (count && first + (count - 1) * step + width > (int64_t)(tensor_bytes(rows) / bytes))
        return fail(RT_AICORE_EXCEPTION, "%s: strides and offsets reach beyond the tensor", row_names[which]);
    for (int64_t n = 0; n < count; n++) {
        int64_t t = turn(call, n, count), slot = element_whole(slots, element_at(slots, t));
        if (slot < 0 || slot >= capacity)
            return fail(RT_AICORE_EXCEPTION, "slot %lld of token %lld lies outside the cache of %lld", (long long)slot, (long long)t, (long long)capacity);
        for (int64_t i = 0; i < width; i += run) {
            int64_t to = fractal ? (slot / size * cache->dims[1] + i / run) * size * run + slot % size * run : slot * width;
            memcpy(cache->data + (size_t)(cache->offset + to) * bytes, rows->data + (size_t)(first + t * step + i) * bytes, (size_t)run * bytes);
        }
    }
    return 0;
}

static int compute_scatter_kv(struct call *call)
{
    int result = scatter(call, 0);
    return result ? result : scatter(call, 1);
}

const struct operator_implementation implementation_scatter_kv = {.check = check_scatter_kv, .compute = compute_scatter_kv};

/* ---- ScatterNdUpdate: the last axis of indices names the first dimensions of var ---- */
static int check_scatter_nd(struct call *call)
{
    const struct tensor *var = call_tensor(call, "varRef"), *indices = call_tensor(call, "indices"), *updates = call_tensor(call, "updates");
    int result = check_type(indices, "indices", "i32 i64");
    if (!result && updates->type != var->type)
        result = fail(ACLNN_PARAM_INVALID, "varRef is %s, updates is %s", type_name(var->type), type_name(updates->type));
    unsigned deep = indices->n_dims ? (unsigned)tensor_end(indices, 1) : 0, outer = indices->n_dims ? indices->n_dims - 1 : 0;
    bool fits = indices->n_dims >= 1 && deep >= 1 && deep <= var->n_dims && updates->n_dims == outer + var->n_dims - deep;
    for (unsigned d = 0; fits && d < updates->n_dims; d++)
        fits = updates->dims[d] == (d < outer ? indices->dims[d] : var->dims[d - outer + deep]);
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "updates must have the shape of indices without its last axis, then var's remaining dimensions");
}

static int compute_scatter_nd(struct call *call)
{
    const struct tensor *var = call_tensor(call, "varRef"), *indices = call_tensor(call, "indices"), *updates = call_tensor(call, "updates");
    int64_t deep = tensor_end(indices, 1), count = deep ? tensor_count(indices) / deep : 0, inner = 1;
    for (unsigned d = (unsigned)deep; d < var->n_dims; d++)
        inner *= var->dims[d];
    for (int64_t n = 0; n < count; n++) {
        int64_t i = turn(call, n, count), row = 0;
        for (int64_t d = 0; d < deep; d++) {
            int64_t index = element_whole(indices, element_at(indices, i * deep + d));
            if (index < 0 || index >= var->dims[d])
                return fail(RT_AICORE_EXCEPTION, "index %lld of entry %lld lies outside [0, %lld)", (long long)index, (long long)i, (long long)var->dims[d]);
            row = row * var->dims[d] + index;
        }
        for (int64_t j = 0; j < inner; j++)
            copy_element(updates, element_at(updates, i * inner + j), var, element_at(var, row * inner + j));
    }
    return 0;
}

const struct operator_implementation implementation_scatter_nd = {.check = check_scatter_nd, .compute = compute_scatter_nd};

/* ---- InplaceScatterUpdate: updates[i] goes to data[i] (or the batch that a two-column index names) at offset indices[i] of the axis ---- */
static int check_scatter_update(struct call *call)
{
    const struct tensor *data = call_tensor(call, "data"), *indices = call_tensor(call, "indices"), *updates = call_tensor(call, "updates");
    int64_t axis = call_integer(call, "axis");
    int result = check_type(data, "data", "i8 u8 f16 f32 i32 bf16");
    if (!result)
        result = check_type(indices, "indices", "i32 i64");
    if (!result && (updates->type != data->type || updates->n_dims != data->n_dims || data->n_dims < 2 || indices->n_dims > 2))
        result = fail(ACLNN_PARAM_INVALID, "data and updates must have one type and rank (2 to 8), indices at most two dimensions");
    if (!result)
        result = normalise_dim(&axis, data->n_dims, "axis");
    bool fits = !result && axis != 0 && updates->dims[0] <= data->dims[0] && updates->dims[0] == (indices->n_dims ? indices->dims[0] : 1) &&
                (indices->n_dims != 2 || indices->dims[1] == 2) && updates->dims[axis] <= data->dims[axis];
    for (unsigned d = 1; fits && d < data->n_dims; d++)
        fits = d == axis || updates->dims[d] == data->dims[d];
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "updates must have data's shape but for axis (not 0) and dimension 0, which is indices' length");
}

static int compute_scatter_update(struct call *call)
{
    const struct tensor *data = call_tensor(call, "data"), *indices = call_tensor(call, "indices"), *updates = call_tensor(call, "updates");
    int64_t axis = call_integer(call, "axis"), count = updates->dims[0], each = count ? tensor_count(updates) / count : 0;
    normalise_dim(&axis, data->n_dims, "axis");
    for (int64_t n = 0; n < count; n++) {
        int64_t i = turn(call, n, count), two = indices->n_dims == 2;
        int64_t batch = two ? element_whole(indices, element_at(indices, 2 * i)) : i, at = element_whole(indices, element_at(indices, two ? 2 * i + 1 : i));
        if (batch < 0 || batch >= data->dims[0] || at < 0 || at + updates->dims[axis] > data->dims[axis])
            return fail(RT_AICORE_EXCEPTION, "entry %lld (batch %lld, offset %lld) lies outside data", (long long)i, (long long)batch, (long long)at);
        for (int64_t e = 0; e < each; e++) {
            int64_t rest = e, to = data->offset + batch * data->strides[0];
            for (unsigned d = data->n_dims; d-- > 1;) {
                to += (rest % updates->dims[d] + (d == axis ? at : 0)) * data->strides[d];
                rest /= updates->dims[d];
            }
            copy_element(updates, element_at(updates, i * each + e), data, to);
        }
    }
    return 0;
}

const struct operator_implementation implementation_scatter_update = {.check = check_scatter_update, .compute = compute_scatter_update};
