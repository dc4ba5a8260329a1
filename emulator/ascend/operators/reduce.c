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
    unsigned n = self_of(call)->n_dims, mask = dims->count ? 0 : (1u << n) - 1;
    for (size_t i = 0; i < dims->count; i++) {
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

static int compute_reduce(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    unsigned mask = reduced_dims(call);
    int64_t count = tensor_count(self), results = tensor_count(out);
    float *values = floats_load(call, self), *sums = call_scratch(call, (size_t)(results + 1) * sizeof *sums);
    if (!values || !sums)
        return call_no_memory();
    for (int64_t i = 0; i < results; i++)
        sums[i] = call->row->detail == REDUCE_MAX ? -INFINITY : 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, to = 0, step = 1;
        for (unsigned d = self->n_dims; d-- > 0;) {
            if (!(mask & 1u << d)) {
                to += rest % self->dims[d] * step;
                step *= self->dims[d];
            }
            rest /= self->dims[d];
        }
        if (call->row->detail == REDUCE_MAX)
            sums[to] = values[i] > sums[to] || values[i] != values[i] ? values[i] : sums[to];
        else
            sums[to] += values[i];
    }
    for (int64_t i = 0; i < results && call->row->detail == REDUCE_MEAN; i++)
        sums[i] /= (float)(count / results);
    floats_store(out, sums);
    return 0;
}

const struct operator_implementation implementation_reduce = {.check = check_reduce, .compute = compute_reduce};

/* ---- which is largest ---- */
static int check_arg_max(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    int64_t dim = call_integer(call, "dim");
    int result = check_type(out, "out", "i32 i64");
    if (!result)
        result = normalise_dim(&dim, self->n_dims, "dim");
    if (!result && self->n_dims && tensor_count(out) * self->dims[dim] != tensor_count(self))
        result = fail(ACLNN_PARAM_INVALID, "out must have self's shape without dimension %lld", (long long)dim);
    return result;
}

static int compute_arg_max(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
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
        }
    return 0;
}

const struct operator_implementation implementation_arg_max = {.check = check_arg_max, .compute = compute_arg_max};

struct ranked {
    float value; /* negated when the smallest are wanted */
    int64_t index;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    bool x_nan = x->value != x->value, y_nan = y->value != y->value;
    if (x_nan || y_nan)
        return x_nan && y_nan ? (x->index > y->index) - (x->index < y->index) : y_nan - x_nan;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static int check_topk(struct call *call)
{
    const struct tensor *self = self_of(call), *values = call_tensor(call, "valuesOut"), *indices = call_tensor(call, "indicesOut");
    int64_t dim = call_integer(call, "dim"), k = call_integer(call, "k");
    int result = normalise_dim(&dim, self->n_dims, "dim");
    if (!result)
        result = check_type(indices, "indicesOut", "i64");
    if (!result && values->type != self->type)
        result = fail(ACLNN_PARAM_INVALID, "self is %s, valuesOut is %s", type_name(self->type), type_name(values->type));
    int64_t size = self->n_dims ? self->dims[result ? 0 : dim] : 1;
    if (!result && (k < 0 || k > size))
        result = fail(ACLNN_PARAM_INVALID, "k is %lld; 0 to %lld is expected", (long long)k, (long long)size);
    bool fits = values->n_dims == self->n_dims && tensor_same_shape(values, indices);
    for (unsigned d = 0; fits && d < self->n_dims; d++)
        fits = values->dims[d] == (d == dim ? k : self->dims[d]);
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "valuesOut and indicesOut must have self's shape with k along dim");
}

static int compute_topk(struct call *call)
{
    const struct tensor *self = self_of(call), *values_out = call_tensor(call, "valuesOut"), *indices_out = call_tensor(call, "indicesOut");
    int64_t dim = call_integer(call, "dim"), k = call_integer(call, "k"), outer, length, inner;
    normalise_dim(&dim, self->n_dims, "dim");
    split_at(self, dim, &outer, &length, &inner);
    float *values = floats_load(call, self), sign = call_integer(call, "largest") ? 1.0f : -1.0f;
    struct ranked *line = call_scratch(call, (size_t)length * sizeof *line);
    if (!values || !line)
        return call_no_memory();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            for (int64_t j = 0; j < length; j++)
                line[j] = (struct ranked){sign * values[(o * length + j) * inner + i], j};
            qsort(line, (size_t)length, sizeof *line, compare_ranked);
            for (int64_t j = 0; j < k; j++) {
                int64_t at = (o * k + j) * inner + i;
                element_store(values_out, element_at(values_out, at), (double)(sign * line[j].value));
                element_store(indices_out, element_at(indices_out, at), (double)line[j].index);
            }
        }
    return 0;
}

const struct operator_implementation implementation_topk = {.check = check_topk, .compute = compute_topk};
