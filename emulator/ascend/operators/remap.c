/* Operators whose every output element is one input element, or a constant: repeats, rolls, pads, triangles, expansion, nearest upsampling, gathering. Each is
 * a row of a table: how the shapes must relate, and where an output index comes from. */
#include "operators/support.h"

#include <string.h>

struct remap {
    bool (*fits)(const struct call *call, const struct tensor *from, const struct tensor *out);
    bool (*source)(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in); /* false: the constant */
};

static const struct tensor *from_of(const struct call *call)
{
    const struct tensor *x = call_tensor(call, "x");
    return x ? x : self_of(call);
}

static const struct value *ints(const struct call *call, const char *name)
{
    return call_value(call, name);
}

static bool same_rank(const struct tensor *from, const struct tensor *out)
{
    return from->n_dims == out->n_dims;
}

static int64_t along(const struct call *call, const struct tensor *from) /* the attribute dim, normalised; -1: out of range */
{
    int64_t dim = call_integer(call, "dim"), n = from->n_dims;
    return dim >= -n && dim < n ? dim + (dim < 0 ? n : 0) : -1;
}

/* Repeat: the output has as many dimensions as repeats, the input's are the last. */
static bool fits_repeat(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    const struct value *repeats = ints(call, "repeats");
    bool fits = repeats->count == out->n_dims && from->n_dims <= out->n_dims;
    for (unsigned d = 0; fits && d < out->n_dims; d++) {
        unsigned missing = out->n_dims - from->n_dims;
        fits = repeats->integers[d] >= 0 && out->dims[d] == repeats->integers[d] * (d < missing ? 1 : from->dims[d - missing]);
    }
    return fits;
}

static bool source_modulo(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    (void)call;
    for (unsigned d = 0; d < from->n_dims; d++)
        in[d] = at[d + out->n_dims - from->n_dims] % from->dims[d];
    return true;
}

static bool fits_expand(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    const struct value *size = ints(call, "size");
    bool fits = size->count == out->n_dims && from->n_dims <= out->n_dims;
    for (unsigned d = 0; fits && d < out->n_dims; d++) {
        unsigned missing = out->n_dims - from->n_dims;
        int64_t own = d < missing ? 1 : from->dims[d - missing];
        fits = out->dims[d] == (size->integers[d] == -1 ? own : size->integers[d]) && (own == 1 || own == out->dims[d]);
    }
    return fits;
}

static bool fits_interleave(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    int64_t dim = along(call, from), repeats = call_integer(call, "repeats"), wide = 0;
    bool fits =
        dim >= 0 && same_rank(from, out) && repeats > 0 && !__builtin_mul_overflow(from->dims[dim], repeats, &wide) && call_integer(call, "outputSize") == wide;
    for (unsigned d = 0; fits && d < out->n_dims; d++)
        fits = out->dims[d] == (d == dim ? wide : from->dims[d]);
    return fits;
}

static bool source_interleave(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    (void)out;
    memcpy(in, at, from->n_dims * sizeof *in);
    in[along(call, from)] /= call_integer(call, "repeats");
    return true;
}

/* Roll: over named dimensions, or over the flattened tensor when none is named. */
static bool fits_roll(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    const struct value *shifts = ints(call, "shifts"), *dims = ints(call, "dims");
    bool fits = tensor_same_shape(from, out) && (dims->count ? dims->count == shifts->count : shifts->count == 1);
    for (size_t i = 0; fits && i < dims->count; i++)
        fits = dims->integers[i] >= -(int64_t)from->n_dims && dims->integers[i] < (int64_t)from->n_dims;
    return fits;
}

static int64_t modulo(int64_t a, int64_t n)
{
    return n ? (a % n + n) % n : 0;
}

static bool source_roll(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    const struct value *shifts = ints(call, "shifts"), *dims = ints(call, "dims");
    (void)out;
    memcpy(in, at, from->n_dims * sizeof *in);
    for (size_t i = 0; i < dims->count; i++) {
        int64_t d = dims->integers[i] + (dims->integers[i] < 0 ? from->n_dims : 0);
        in[d] = modulo(in[d] - shifts->integers[i], from->dims[d]);
    }
    if (dims->count)
        return true;
    int64_t flat = 0;
    for (unsigned d = 0; d < from->n_dims; d++)
        flat = flat * from->dims[d] + at[d];
    flat = modulo(flat - shifts->integers[0], tensor_count(from));
    for (unsigned d = from->n_dims; d-- > 0;) {
        in[d] = flat % from->dims[d];
        flat /= from->dims[d];
    }
    return true;
}

/* Pads: pairs (before, after) from the last dimension backwards. */
static int64_t pad_at(const struct value *pads, unsigned n_dims, unsigned d, int side)
{
    size_t pair = n_dims - 1 - d;
    return 2 * pair + 1 < pads->count ? pads->integers[2 * pair + (size_t)side] : 0;
}

static bool pads_fit(const struct value *pads, const struct tensor *from, const struct tensor *out)
{
    bool fits = same_rank(from, out) && pads->count % 2 == 0 && pads->count <= 2 * from->n_dims;
    for (unsigned d = 0; fits && d < from->n_dims; d++)
        fits = out->dims[d] == from->dims[d] + pad_at(pads, from->n_dims, d, 0) + pad_at(pads, from->n_dims, d, 1);
    return fits;
}

static bool fits_pad(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    return pads_fit(ints(call, "pad"), from, out);
}

static bool source_pad(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    (void)out;
    for (unsigned d = 0; d < from->n_dims; d++) {
        in[d] = at[d] - pad_at(ints(call, "pad"), from->n_dims, d, 0);
        if (in[d] < 0 || in[d] >= from->dims[d])
            return false;
    }
    return true;
}

static bool fits_reflect(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    const struct value *pads = ints(call, "padding");
    int64_t length = from->n_dims ? from->dims[from->n_dims - 1] : 0;
    return (from->n_dims == 2 || from->n_dims == 3) && pads->count == 2 && pads->integers[0] >= 0 && pads->integers[1] >= 0 && pads->integers[0] < length &&
           pads->integers[1] < length && pads_fit(pads, from, out);
}

static bool source_reflect(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    unsigned last = from->n_dims - 1;
    (void)out;
    memcpy(in, at, from->n_dims * sizeof *in);
    in[last] -= ints(call, "padding")->integers[0];
    in[last] = in[last] < 0 ? -in[last] : in[last] >= from->dims[last] ? 2 * (from->dims[last] - 1) - in[last] : in[last];
    return true;
}

static bool fits_triangle(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    (void)call;
    return from->n_dims >= 2 && tensor_same_shape(from, out);
}

static bool source_lower(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    (void)out;
    memcpy(in, at, from->n_dims * sizeof *in);
    return at[from->n_dims - 1] - at[from->n_dims - 2] <= call_integer(call, "diagonal");
}

static bool source_upper(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    (void)out;
    memcpy(in, at, from->n_dims * sizeof *in);
    return at[from->n_dims - 1] - at[from->n_dims - 2] >= call_integer(call, "diagonal");
}

static bool fits_upsample(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    const struct value *size = ints(call, "outputSize");
    return from->n_dims == 4 && out->n_dims == 4 && size->count == 2 && out->dims[0] == from->dims[0] && out->dims[1] == from->dims[1] &&
           out->dims[2] == size->integers[0] && out->dims[3] == size->integers[1];
}

static bool source_nearest(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    (void)call;
    for (unsigned d = 0; d < 4; d++)
        in[d] = d < 2 ? at[d] : at[d] * from->dims[d] / out->dims[d];
    return true;
}

/* Gather: the index along dim is read from a tensor of the output's shape; out of range is reported by the caller of `source`. */
static bool fits_gather(const struct call *call, const struct tensor *from, const struct tensor *out)
{
    const struct tensor *index = call_tensor(call, "index");
    int64_t dim = along(call, from);
    bool fits = dim >= 0 && same_rank(from, out) && tensor_same_shape(index, out) && (index->type == ACL_INT64 || index->type == ACL_INT32);
    for (unsigned d = 0; fits && d < from->n_dims; d++)
        fits = d == dim || out->dims[d] <= from->dims[d];
    return fits;
}

static bool source_gather(const struct call *call, const struct tensor *from, const struct tensor *out, const int64_t *at, int64_t *in)
{
    const struct tensor *index = call_tensor(call, "index");
    int64_t element = index->offset;
    (void)out;
    memcpy(in, at, from->n_dims * sizeof *in);
    for (unsigned d = 0; d < index->n_dims; d++)
        element += at[d] * index->strides[d];
    in[along(call, from)] = element_whole(index, element);
    return true;
}

static const struct remap remaps[] = {[REMAP_REPEAT] = {fits_repeat, source_modulo},
                                      [REMAP_EXPAND] = {fits_expand, source_modulo},
                                      [REMAP_REPEAT_INTERLEAVE] = {fits_interleave, source_interleave},
                                      [REMAP_ROLL] = {fits_roll, source_roll},
                                      [REMAP_PAD] = {fits_pad, source_pad},
                                      [REMAP_REFLECT] = {fits_reflect, source_reflect},
                                      [REMAP_LOWER] = {fits_triangle, source_lower},
                                      [REMAP_UPPER] = {fits_triangle, source_upper},
                                      [REMAP_NEAREST] = {fits_upsample, source_nearest},
                                      [REMAP_GATHER] = {fits_gather, source_gather}};

static int check_remap(struct call *call)
{
    const struct tensor *from = from_of(call), *out = output_of(call);
    if (from->type != out->type)
        return fail(ACLNN_PARAM_INVALID, "the input is %s, the output %s", type_name(from->type), type_name(out->type));
    return remaps[call->row->detail].fits(call, from, out) ? 0
                                                           : fail(ACLNN_PARAM_INVALID, "the output's shape, or an attribute, does not fit the input's shape");
}

static int compute_remap(struct call *call)
{
    const struct tensor *from = from_of(call), *out = output_of(call);
    const struct remap *remap = &remaps[call->row->detail];
    int64_t count = tensor_count(out), at[MAX_DIMS] = {0}, in[MAX_DIMS] = {0};
    size_t size = type_size(out->type);
    for (int64_t i = 0; i < count; i++) {
        int64_t element = from->offset;
        bool found = remap->source(call, from, out, at, in);
        for (unsigned d = 0; d < from->n_dims && found; d++) {
            if (in[d] < 0 || in[d] >= from->dims[d])
                return fail(RT_AICORE_EXCEPTION, "index %lld of element %lld lies outside [0, %lld)", (long long)in[d], (long long)i, (long long)from->dims[d]);
            element += in[d] * from->strides[d];
        }
        if (found)
            memmove(out->data + (size_t)element_at(out, i) * size, from->data + (size_t)element * size, size);
        else
            element_store(out, element_at(out, i), call_real(call, "value"));
        for (unsigned d = out->n_dims; d-- > 0 && ++at[d] == out->dims[d];)
            at[d] = 0;
    }
    return 0;
}

const struct operator_implementation implementation_remap = {.check = check_remap, .compute = compute_remap};
