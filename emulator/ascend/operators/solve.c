/* TriangularSolve: X with A X = B, A triangular; SoftmaxCrossEntropyWithLogits: loss and its gradient. fp32 inside. And two operators that fill by position:
 * InplaceIndexFillTensor, OneHot. */
#include "operators/support.h"

#include <math.h>

static int check_solve(struct call *call)
{
    const struct tensor *b = self_of(call), *a = call_tensor(call, "A"), *x = call_tensor(call, "xOut"), *m = call_tensor(call, "mOut");
    int result = check_type(b, "self", "f32");
    if (!result && (a->type != b->type || x->type != b->type || m->type != b->type))
        result = fail(ACLNN_PARAM_INVALID, "self, A, xOut and mOut must have one type");
    bool fits = b->n_dims >= 2 && a->n_dims == b->n_dims && tensor_same_shape(b, x) && tensor_same_shape(a, m);
    for (unsigned d = 0; fits && d + 2 < b->n_dims; d++)
        fits = a->dims[d] == b->dims[d];
    if (fits)
        fits = tensor_end(a, 1) == tensor_end(a, 2) && tensor_end(a, 1) == tensor_end(b, 2);
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "self (batch,n,k), A (batch,n,n), xOut as self and mOut as A are expected");
}

static int compute_solve(struct call *call)
{
    const struct tensor *b = self_of(call), *a = call_tensor(call, "A");
    int64_t n = tensor_end(b, 2), k = tensor_end(b, 1), batches = n && k ? tensor_count(b) / (n * k) : 0;
    bool transpose = call_integer(call, "transpose") != 0, upper = (call_integer(call, "upper") != 0) != transpose,
         unit = call_integer(call, "unitriangular") != 0;
    float *x = floats_load(call, b), *matrix = floats_load(call, a);
    if (!x || !matrix)
        return call_no_memory();
    floats_store(call_tensor(call, "mOut"), matrix);
    for (int64_t batch = 0; batch < batches; batch++)
        for (int64_t c = 0; c < k; c++)
            for (int64_t step = 0; step < n; step++) {
                int64_t i = upper ? n - 1 - step : step;
                float *column = x + batch * n * k + c, sum = column[i * k];
                const float *own = matrix + batch * n * n;
                for (int64_t j = upper ? i + 1 : 0; j < (upper ? n : i); j++)
                    sum -= (transpose ? own[j * n + i] : own[i * n + j]) * column[j * k];
                column[i * k] = unit ? sum : sum / own[i * n + i];
            }
    floats_store(call_tensor(call, "xOut"), x);
    return 0;
}

const struct operator_implementation implementation_triangular_solve = {.check = check_solve, .compute = compute_solve};

static int check_cross_entropy(struct call *call)
{
    const struct tensor *features = call_tensor(call, "features"), *labels = call_tensor(call, "labels"), *loss = call_tensor(call, "loss");
    const struct tensor *gradient = call_tensor(call, "backprop");
    int result = check_type(features, "features", "f16 bf16 f32");
    if (!result && (labels->type != features->type || loss->type != features->type || gradient->type != features->type))
        result = fail(ACLNN_PARAM_INVALID, "features, labels, loss and backprop must have one type");
    bool fits = features->n_dims == 2 && tensor_same_shape(features, labels) && tensor_same_shape(features, gradient) && loss->n_dims == 1 &&
                loss->dims[0] == features->dims[0];
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "features (n,classes), labels and backprop alike and loss (n) are expected");
}

static int compute_cross_entropy(struct call *call)
{
    const struct tensor *features = call_tensor(call, "features"), *loss = call_tensor(call, "loss");
    int64_t rows = features->dims[0], width = features->dims[1];
    float *x = floats_load(call, features), *labels = floats_load(call, call_tensor(call, "labels"));
    if (!x || !labels)
        return call_no_memory();
    for (int64_t r = 0; r < rows; r++) {
        float *row = x + r * width, largest = -INFINITY, sum = 0, total = 0;
        for (int64_t i = 0; i < width; i++)
            largest = fmaxf(largest, row[i]);
        for (int64_t i = 0; i < width; i++)
            sum += expf(row[i] - largest);
        for (int64_t i = 0; i < width; i++) {
            float log_probability = row[i] - largest - logf(sum);
            total -= labels[r * width + i] * log_probability;
            row[i] = expf(log_probability) - labels[r * width + i];
        }
        element_store(loss, element_at(loss, r), (double)total);
    }
    floats_store(call_tensor(call, "backprop"), x);
    return 0;
}

const struct operator_implementation implementation_cross_entropy = {.check = check_cross_entropy, .compute = compute_cross_entropy};

static int check_index_fill(struct call *call)
{
    const struct tensor *self = self_of(call);
    const struct value *index = call_value(call, "index");
    int64_t dim = call_integer(call, "dim");
    int result = normalise_dim(&dim, self->n_dims, "dim");
    for (size_t i = 0; i < index->count && !result; i++)
        if (index->integers[i] < -self->dims[dim] || index->integers[i] >= self->dims[dim])
            result = fail(ACLNN_PARAM_INVALID, "index %lld lies outside dimension %lld of %lld", (long long)index->integers[i], (long long)dim,
                          (long long)self->dims[dim]);
    return result;
}

static int compute_index_fill(struct call *call)
{
    const struct tensor *self = self_of(call);
    const struct value *index = call_value(call, "index");
    int64_t dim = call_integer(call, "dim"), outer, length, inner;
    normalise_dim(&dim, self->n_dims, "dim");
    split_at(self, dim, &outer, &length, &inner);
    for (size_t n = 0; n < index->count; n++)
        for (int64_t i = 0; i < outer * inner; i++) {
            int64_t row = index->integers[n] + (index->integers[n] < 0 ? length : 0);
            element_store(self, element_at(self, (i / inner * length + row) * inner + i % inner), call_real(call, "value"));
        }
    return 0;
}

const struct operator_implementation implementation_index_fill = {.check = check_index_fill, .compute = compute_index_fill};

static int check_one_hot(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call), *on = call_tensor(call, "onValue"), *off = call_tensor(call, "offValue");
    int64_t axis = call_integer(call, "axis");
    int result = check_type(self, "self", "i32 i64");
    axis = axis == -1 ? self->n_dims : axis;
    if (!result && (on->type != out->type || off->type != out->type || tensor_count(on) != 1 || tensor_count(off) != 1))
        result = fail(ACLNN_PARAM_INVALID, "onValue and offValue must be one element each, of out's type");
    bool fits = axis >= 0 && axis <= (int64_t)self->n_dims && out->n_dims == self->n_dims + 1;
    for (unsigned d = 0; fits && d < out->n_dims; d++)
        fits = out->dims[d] == (d == axis ? call_integer(call, "numClasses") : self->dims[d > axis ? d - 1 : d]);
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "out must have self's shape with numClasses at axis");
}

static int compute_one_hot(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call), *on = call_tensor(call, "onValue"), *off = call_tensor(call, "offValue");
    int64_t axis = call_integer(call, "axis") == -1 ? self->n_dims : call_integer(call, "axis"), outer, classes, inner;
    split_at(out, axis, &outer, &classes, &inner);
    for (int64_t i = 0; i < outer * classes * inner; i++) {
        int64_t from = i / (classes * inner) * inner + i % inner;
        bool hot = element_whole(self, element_at(self, from)) == i / inner % classes;
        const struct tensor *value = hot ? on : off;
        element_store(out, element_at(out, i), element_load(value, value->offset));
    }
    return 0;
}

const struct operator_implementation implementation_one_hot = {.check = check_one_hot, .compute = compute_one_hot};
