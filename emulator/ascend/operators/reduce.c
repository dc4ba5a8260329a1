/* Reductions, softmax, arg max and top k along one dimension, fp32 inside. Ties: the lowest index first (the chip may differ unless stable). */
#include "operators/support.h"

#include <math.h>
#include <stdlib.h>

static int check_softmax(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    int64_t dim = call_integer(call, "dim");
    int result = check_type(self, "self", "f16 bf16 f32");
    if (!result)
        result = normalise_dim(&dim, self->n_dims, "dim");
    return result ? result : check_same_shape(self, "self", out, "out");
}

static void softmax_line(float *values, int64_t length, int64_t step, bool logarithm)
{
    float largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < length; i++)
        largest = values[i * step] > largest ? values[i * step] : largest;
    for (int64_t i = 0; i < length; i++)
        sum += expf(values[i * step] - largest);
    for (int64_t i = 0; i < length; i++)
        values[i * step] = logarithm ? values[i * step] - largest - logf(sum) : expf(values[i * step] - largest) / sum;
}

static int compute_softmax(struct call *call)
{
    const struct tensor *self = self_of(call);
    int64_t dim = call_integer(call, "dim"), outer, length, inner;
    normalise_dim(&dim, self->n_dims, "dim");
    split_at(self, dim, &outer, &length, &inner);
    float *values = floats_load(call, self);
    if (!values)
        return call_no_memory();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++)
            softmax_line(values + o * length * inner + i, length, inner, call->row->detail);
    floats_store(output_of(call), values);
    return 0;
}

const struct operator_implementation implementation_softmax = {.check = check_softmax, .compute = compute_softmax};

/* ---- over several dimensions ---- */
static unsigned reduced_dims(const struct call *call)
{
    const struct value *dims = call_value(call, "dim");
    unsigned n = self_of(call)->n_dims, mask = dims && dims->count ? 0 : (1u << n) - 1;
    for (size_t i = 0; dims && i < dims->count; i++) {
        int64_t dim = dims->integers[i] + (dims->integers[i] < 0 ? n : 0);
        mask |= dim >= 0 && dim < n ? 1u << dim : 1u << 31;
    }
    return mask;
}

static int check_reduce(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    unsigned mask = reduced_dims(call), at = 0;
    bool keep = call_integer(call, "keepDim") != 0, fits = !(mask & 1u << 31);
    for (unsigned d = 0; d < self->n_dims && fits; d++) {
        bool gone = mask & 1u << d;
        if (gone && !keep)
            continue;
        fits = at < out->n_dims && out->dims[at] == (gone ? 1 : self->dims[d]);
        at++;
    }
    if (!fits || at != out->n_dims)
        return fail(ACLNN_PARAM_INVALID, "out must have self's shape without the reduced dimensions%s", keep ? " (kept as 1)" : "");
    if (call_value(call, "dtype") && call_integer(call, "dtype") != (int64_t)out->type)
        return fail(ACLNN_PARAM_INVALID, "dtype is %lld, out is %s", (long long)call_integer(call, "dtype"), type_name(out->type));
    return 0;
}

/* One more element of a running result. Log-sum-exp runs with its largest so far: see largest. */
static float join(const struct call *call, float result, float value)
{
    float p;
    switch (call->row->detail) {
    case REDUCE_MAX: return value > result || value != value ? value : result;
    case REDUCE_LOG_SUM_EXP: return result + expf(value);
    case REDUCE_NORM:
        p = (float)call_real(call, "pScalar");
        if (isinf(p))
            return p > 0 ? fmaxf(result, fabsf(value)) : fminf(result, fabsf(value));
        return result + (p == 0 ? value != 0 : p == 1 ? fabsf(value) : p == 2 ? value * value : powf(fabsf(value), p));
    default: return result + value;
    }
}

static float start_of(const struct call *call)
{
    if (call->row->detail == REDUCE_NORM)
        return call_real(call, "pScalar") == -INFINITY ? INFINITY : 0;
    return call->row->detail == REDUCE_MAX ? -INFINITY : 0;
}

static float finish(const struct call *call, float result, int64_t each, float largest)
{
    float p = (float)call_real(call, "pScalar");
    switch (call->row->detail) {
    case REDUCE_MEAN: return result / (float)each;
    case REDUCE_LOG_SUM_EXP: return largest + logf(result);
    case REDUCE_NORM: return isinf(p) || p == 0 || p == 1 ? result : p == 2 ? sqrtf(result) : powf(result, 1.0f / p);
    default: return result;
    }
}

/* Which result the i-th element of self goes to. */
static int64_t result_of(const struct tensor *self, unsigned mask, int64_t i)
{
    int64_t to = 0, step = 1;
    for (unsigned d = self->n_dims; d-- > 0;) {
        if (!(mask & 1u << d)) {
            to += i % self->dims[d] * step;
            step *= self->dims[d];
        }
        i /= self->dims[d];
    }
    return to;
}

static int compute_reduce(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    unsigned mask = reduced_dims(call);
    bool shifted = call->row->detail == REDUCE_LOG_SUM_EXP;
    int64_t count = tensor_count(self), results = tensor_count(out);
    float *values = floats_load(call, self), *sums = call_scratch(call, (size_t)(results + 1) * sizeof *sums);
    float *largest = call_scratch(call, (size_t)(results + 1) * sizeof *largest);
    if (!values || !sums || !largest)
        return call_no_memory();
    for (int64_t i = 0; i < results; i++) {
        sums[i] = start_of(call);
        largest[i] = shifted ? -INFINITY : 0;
    }
    for (int64_t i = 0; i < count && shifted; i++)
        largest[result_of(self, mask, i)] = fmaxf(largest[result_of(self, mask, i)], values[i]);
    for (int64_t i = 0; i < count; i++) {
        int64_t to = result_of(self, mask, i);
        sums[to] = join(call, sums[to], shifted ? values[i] - largest[to] : values[i]);
    }
    for (int64_t i = 0; i < results; i++)
        sums[i] = finish(call, sums[i], results ? count / results : 0, largest[i]);
    floats_store(out, sums);
    return 0;
}

const struct operator_implementation implementation_reduce = {.check = check_reduce, .compute = compute_reduce};

/* ---- which is largest ---- */
/* ArgMax writes the index to out; MaxDim the value to out and the index to indices. */
static const struct tensor *index_out(const struct call *call)
{
    return call->row->detail ? call_tensor(call, "indices") : output_of(call);
}

static int check_arg_max(struct call *call)
{
    const struct tensor *self = self_of(call), *out = index_out(call);
    int64_t dim = call_integer(call, "dim");
    int result = check_type(out, "out", "i32 i64");
    if (!result)
        result = normalise_dim(&dim, self->n_dims, "dim");
    if (!result && tensor_count(out) * (self->n_dims ? self->dims[dim] : 1) != tensor_count(self))
        result = fail(ACLNN_PARAM_INVALID, "out must have self's shape without dimension %lld", (long long)dim);
    if (!result && !tensor_count(self) && tensor_count(out))
        result = fail(ACLNN_PARAM_INVALID, "self is empty: there is no largest element for out");
    if (!result && call->row->detail && (output_of(call)->type != self->type || tensor_count(output_of(call)) != tensor_count(out)))
        result = fail(ACLNN_PARAM_INVALID, "out must be of self's type and as large as indices");
    return result;
}

static int compute_arg_max(struct call *call)
{
    const struct tensor *self = self_of(call), *out = index_out(call);
    int64_t dim = call_integer(call, "dim"), outer, length, inner;
    normalise_dim(&dim, self->n_dims, "dim");
    split_at(self, dim, &outer, &length, &inner);
    float *values = floats_load(call, self);
    if (!values)
        return call_no_memory();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const float *line = values + o * length * inner + i;
            int64_t best = 0;
            for (int64_t j = 1; j < length; j++)
                if (line[j * inner] > line[best * inner] || (line[j * inner] != line[j * inner] && line[best * inner] == line[best * inner]))
                    best = j;
            element_store(out, element_at(out, o * inner + i), (double)best);
            if (call->row->detail)
                element_store(output_of(call), element_at(output_of(call), o * inner + i), (double)line[best * inner]);
        }
    return 0;
}

const struct operator_implementation implementation_arg_max = {.check = check_arg_max, .compute = compute_arg_max};

/* ---- top k and sorting ---- */
struct ranked {
    double key; /* descending; NaN counts as larger than everything */
    int64_t index;
};

static double key_of(double value, bool descending)
{
    double size = value != value ? INFINITY : value == INFINITY ? 1e300 : value == -INFINITY ? -1e300 : value;
    return descending ? size : -size;
}

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

struct ranking {                                  /* Topk, Sort, Argsort */
    const struct tensor *self, *values, *indices; /* values: NULL for Argsort */
    int64_t dim, k;
    bool descending;
};

static int read_ranking(const struct call *call, struct ranking *r)
{
    bool top = call->row->detail == RANK_TOP;
    *r = (struct ranking){.self = self_of(call),
                          .values = call_tensor(call, "valuesOut"),
                          .indices = call_tensor(call, call->row->detail == RANK_INDICES ? "out" : "indicesOut"),
                          .dim = call_integer(call, "dim"),
                          .descending = call_integer(call, top ? "largest" : "descending") != 0};
    int result = normalise_dim(&r->dim, r->self->n_dims, "dim");
    int64_t size = r->self->n_dims && !result ? r->self->dims[r->dim] : 1;
    r->k = top ? call_integer(call, "k") : size;
    return !result && (r->k < 0 || r->k > size) ? fail(ACLNN_PARAM_INVALID, "k is %lld; 0 to %lld is expected", (long long)r->k, (long long)size) : result;
}

static int check_ranking(struct call *call)
{
    struct ranking r;
    int result = read_ranking(call, &r);
    if (!result)
        result = check_type(r.indices, "indices", "i64");
    if (!result && r.values && r.values->type != r.self->type)
        result = fail(ACLNN_PARAM_INVALID, "self is %s, valuesOut is %s", type_name(r.self->type), type_name(r.values->type));
    bool fits = r.indices->n_dims == r.self->n_dims && (!r.values || tensor_same_shape(r.values, r.indices));
    for (unsigned d = 0; fits && d < r.self->n_dims; d++)
        fits = r.indices->dims[d] == (d == r.dim ? r.k : r.self->dims[d]);
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "valuesOut and indicesOut must have self's shape with k along dim");
}

static int compute_ranking(struct call *call)
{
    struct ranking r;
    int64_t outer, length, inner;
    read_ranking(call, &r);
    split_at(r.self, r.dim, &outer, &length, &inner);
    double *values = call_scratch(call, (size_t)tensor_count(r.self) * sizeof *values);
    struct ranked *line = call_scratch(call, (size_t)length * sizeof *line);
    if (!values || !line)
        return call_no_memory();
    doubles_load_broadcast(r.self, r.self->dims, r.self->n_dims, values);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            for (int64_t j = 0; j < length; j++)
                line[j] = (struct ranked){key_of(values[(o * length + j) * inner + i], r.descending), j};
            qsort(line, (size_t)length, sizeof *line, compare_ranked);
            for (int64_t j = 0; j < r.k; j++) {
                int64_t at = (o * r.k + j) * inner + i;
                if (r.values)
                    element_store(r.values, element_at(r.values, at), values[(o * length + line[j].index) * inner + i]);
                element_store(r.indices, element_at(r.indices, at), (double)line[j].index);
            }
        }
    return 0;
}

const struct operator_implementation implementation_ranking = {.check = check_ranking, .compute = compute_ranking};

/* ---- running sums ---- */
static int check_cumsum(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    int64_t dim = call_integer(call, "dim");
    int result = normalise_dim(&dim, self->n_dims, "dim");
    if (!result && call_integer(call, "dtype") != (int64_t)out->type)
        result = fail(ACLNN_PARAM_INVALID, "dtype is %lld, out is %s", (long long)call_integer(call, "dtype"), type_name(out->type));
    return result ? result : check_same_shape(self, "self", out, "out");
}

static int compute_cumsum(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    int64_t dim = call_integer(call, "dim"), outer, length, inner;
    normalise_dim(&dim, self->n_dims, "dim");
    split_at(self, dim, &outer, &length, &inner);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double whole = 0;
            float part = 0;
            for (int64_t j = 0; j < length; j++) {
                int64_t at = (o * length + j) * inner + i;
                double value = element_load(self, element_at(self, at));
                whole += value;
                part += (float)value;
                element_store(out, element_at(out, at), type_is_float(out->type) && out->type != ACL_DOUBLE ? (double)part : whole);
            }
        }
    return 0;
}

const struct operator_implementation implementation_cumsum = {.check = check_cumsum, .compute = compute_cumsum};
