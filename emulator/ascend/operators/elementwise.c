/* Elementwise operators: everything in fp32 (fp64 for doubles), rounded to the promoted type, then converted to the output's. Integers are exact to 2^53. */
#include "operators/support.h"

#include <math.h>
#include <string.h>

static int check_output_type(aclDataType computed, const struct tensor *out)
{
    if (computed == ACL_DT_UNDEFINED)
        return fail(ACLNN_PARAM_INVALID, "the input types do not mix");
    if (type_is_float(computed) && !type_is_float(out->type))
        return fail(ACLNN_PARAM_INVALID, "the result is %s, out is %s: a floating result is not converted to integers", type_name(computed),
                    type_name(out->type));
    return 0;
}

static double narrow(aclDataType type, double value)
{
    return type == ACL_DOUBLE ? value : type_is_float(type) ? (double)round_to_type(type, (float)value) : trunc(value);
}

static int store_all(struct call *call, aclDataType type, const double *values)
{
    struct tensor *out = output_of(call);
    int64_t count = tensor_count(out);
    for (int64_t i = 0; i < count; i++)
        element_store(out, element_at(out, i), narrow(type, values[i]));
    return 0;
}

/* ---- one input ---- */
static float gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
}

static float unary(int which, float x, bool exact)
{
    switch (which) {
    case UNARY_SILU: return x / (1.0f + expf(-x));
    case UNARY_GELU: return exact ? 0.5f * x * (1.0f + erff(x * 0.7071067812f)) : gelu_tanh(x);
    case UNARY_SIGMOID: return 1.0f / (1.0f + expf(-x));
    case UNARY_RELU: return x > 0 || x != x ? x : 0;
    case UNARY_TANH: return tanhf(x);
    case UNARY_EXP: return expf(x);
    case UNARY_NEG: return -x;
    case UNARY_ABS: return fabsf(x);
    case UNARY_SQRT: return sqrtf(x);
    case UNARY_RSQRT: return 1.0f / sqrtf(x);
    case UNARY_SIN: return sinf(x);
    case UNARY_COS: return cosf(x);
    case UNARY_LOG: return logf(x);
    default: return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
    }
}

static int check_unary(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    int result = check_type(self, "self", "f16 bf16 f32");
    if (!result)
        result = check_output_type(self->type, out);
    if (!result && call_value(call, "approximate") && call_integer(call, "approximate") > 1)
        result = fail(ACLNN_PARAM_INVALID, "approximate is %lld; 0 (erf) or 1 (tanh) is expected", (long long)call_integer(call, "approximate"));
    return result ? result : check_same_shape(self, "self", out, "out");
}

static int compute_unary(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    float *values = floats_load(call, self);
    if (!values)
        return call_no_memory();
    bool exact = call_value(call, "approximate") && call_integer(call, "approximate") == 0;
    int64_t count = tensor_count(self);
    for (int64_t i = 0; i < count; i++)
        values[i] = round_to_type(self->type, unary(call->row->detail, values[i], exact));
    floats_store(out, values);
    return 0;
}

const struct operator_implementation implementation_unary = {.check = check_unary, .compute = compute_unary};

/* ---- two inputs, or one and a scalar ---- */
static bool compares(int which)
{
    return which >= BINARY_EQUAL && which <= BINARY_LESS;
}

static aclDataType binary_type(const struct call *call)
{
    const struct tensor *self = self_of(call), *other = call_tensor(call, "other");
    if (other)
        return promote(self->type, other->type);
    aclDataType scalar = call_value(call, "other")->scalar_type;
    bool widens = type_is_float(scalar) && !type_is_float(self->type);
    return widens ? ACL_FLOAT : self->type; /* a scalar never widens within its category */
}

static int check_broadcast(const struct call *call)
{
    const struct tensor *self = self_of(call), *other = call_tensor(call, "other"), *out = output_of(call);
    const struct tensor *inputs[2] = {self, other};
    unsigned n_dims = other && other->n_dims > self->n_dims ? other->n_dims : self->n_dims;
    bool fits = out->n_dims == n_dims;
    for (unsigned d = 0; d < n_dims && fits; d++) {
        int64_t size = 1;
        for (int i = 0; i < 2; i++) {
            int64_t own = inputs[i] && d + inputs[i]->n_dims >= n_dims ? inputs[i]->dims[d + inputs[i]->n_dims - n_dims] : 1;
            fits = fits && (own == 1 || size == 1 || own == size);
            size = own == 1 ? size : own;
        }
        fits = fits && out->dims[d] == size;
    }
    return fits ? 0 : fail(ACLNN_PARAM_INVALID, "self and other do not broadcast to the shape of the output");
}

static int check_binary(struct call *call)
{
    aclDataType type = binary_type(call);
    int result =
        compares(call->row->detail) ? (type == ACL_DT_UNDEFINED ? check_output_type(type, output_of(call)) : 0) : check_output_type(type, output_of(call));
    return result ? result : check_broadcast(call);
}

static double binary(int which, aclDataType type, double a, double b)
{
    bool single = type_is_float(type) && type != ACL_DOUBLE;
    switch (which) {
    case BINARY_ADD: return single ? (double)((float)a + (float)b) : a + b;
    case BINARY_SUB: return single ? (double)((float)a - (float)b) : a - b;
    case BINARY_MUL: return single ? (double)((float)a * (float)b) : a * b;
    case BINARY_DIV: return single ? (double)((float)a / (float)b) : a / b;
    case BINARY_MAXIMUM: return a != a || a > b ? a : b;
    case BINARY_MINIMUM: return a != a || a < b ? a : b;
    case BINARY_POWER: return single ? (double)powf((float)a, (float)b) : pow(a, b);
    case BINARY_POWER_OF_SCALAR: return single ? (double)powf((float)b, (float)a) : pow(b, a);
    case BINARY_EQUAL: return a == b;
    case BINARY_GREATER_EQUAL: return a >= b;
    case BINARY_GREATER: return a > b;
    default: return a < b;
    }
}

static int compute_binary(struct call *call)
{
    const struct tensor *self = self_of(call), *other = call_tensor(call, "other"), *out = output_of(call);
    aclDataType type = binary_type(call);
    int64_t count = tensor_count(out);
    double *a = call_scratch(call, (size_t)count * sizeof *a), *b = call_scratch(call, (size_t)count * sizeof *b);
    if (!a || !b)
        return call_no_memory();
    doubles_load_broadcast(self, out->dims, out->n_dims, a);
    if (other)
        doubles_load_broadcast(other, out->dims, out->n_dims, b);
    else
        for (int64_t i = 0; i < count; i++)
            b[i] = call_real(call, "other");
    double alpha = call_value(call, "alpha") ? call_real(call, "alpha") : 1;
    for (int64_t i = 0; i < count; i++) {
        double second = alpha == 1 ? b[i] : type_is_float(type) && type != ACL_DOUBLE ? (double)((float)alpha * (float)b[i]) : alpha * b[i];
        a[i] = binary(call->row->detail, type, a[i], second);
    }
    return store_all(call, compares(call->row->detail) ? ACL_BOOL : type, a);
}

const struct operator_implementation implementation_binary = {.check = check_binary, .compute = compute_binary};

/* ---- limits, copies, constants ---- */
static int check_clamp(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    int result = check_output_type(self->type, out);
    return result ? result : check_same_shape(self, "self", out, "out");
}

static int compute_clamp(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    const struct value *low = call_value(call, "clipValueMin"), *high = call_value(call, "clipValueMax");
    int64_t count = tensor_count(self);
    for (int64_t i = 0; i < count; i++) {
        double value = element_load(self, element_at(self, i));
        if (low && (low->present || low->kind == ARGUMENT_REAL) && value < low->real)
            value = low->real;
        if (high && high->present && value > high->real)
            value = high->real;
        element_store(out, element_at(out, i), value);
    }
    return 0;
}

const struct operator_implementation implementation_clamp = {.check = check_clamp, .compute = compute_clamp};

static const struct tensor *copy_source(const struct call *call)
{
    return call->row->detail ? call_tensor(call, "src") : call_tensor(call, "self");
}

static int check_copy(struct call *call)
{
    const struct tensor *from = copy_source(call), *out = output_of(call);
    if (!call->row->detail && call_integer(call, "dtype") != (int64_t)out->type)
        return fail(ACLNN_PARAM_INVALID, "dtype is %lld, out is %s (%d)", (long long)call_integer(call, "dtype"), type_name(out->type), (int)out->type);
    if (out->type == ACL_INT4)
        return fail(ACLNN_PARAM_INVALID, "%s does not cast to int4", emulator_settings()->soc.name);
    if (!call->row->detail)
        return check_same_shape(from, "self", out, "out");
    bool fits = from->n_dims <= out->n_dims;
    for (unsigned d = 0; d < from->n_dims && fits; d++) {
        int64_t size = out->dims[out->n_dims - from->n_dims + d];
        fits = from->dims[d] == 1 || from->dims[d] == size;
    }
    return fits ? 0 : fail(ACLNN_PARAM_INVALID, "src does not broadcast to the shape of self");
}

static int compute_copy(struct call *call)
{
    const struct tensor *from = copy_source(call), *out = output_of(call);
    int64_t count = tensor_count(out);
    size_t size = type_size(from->type);
    if (from->type == out->type && tensor_same_shape(from, out)) {
        for (int64_t i = 0; i < count; i++) /* bit for bit, NaN payloads and 64-bit integers included */
            memmove(out->data + (size_t)element_at(out, i) * size, from->data + (size_t)element_at(from, i) * size, size);
        return 0;
    }
    double *values = call_scratch(call, (size_t)count * sizeof *values);
    if (!values)
        return call_no_memory();
    doubles_load_broadcast(from, out->dims, out->n_dims, values);
    for (int64_t i = 0; i < count; i++)
        element_store(out, element_at(out, i), values[i]);
    return 0;
}

const struct operator_implementation implementation_copy = {.check = check_copy, .compute = compute_copy};

static int compute_fill(struct call *call)
{
    const struct tensor *out = output_of(call);
    int64_t count = tensor_count(out);
    double value = call->row->detail == 2 ? call_real(call, "value") : call->row->detail;
    for (int64_t i = 0; i < count; i++)
        element_store(out, element_at(out, i), value);
    return 0;
}

const struct operator_implementation implementation_fill = {.compute = compute_fill};

static int check_arange(struct call *call)
{
    const struct tensor *out = output_of(call);
    double step = call_real(call, "step"), length = step != 0 ? ceil((call_real(call, "end") - call_real(call, "start")) / step) : -1;
    return out->n_dims == 1 && length == (double)out->dims[0]
               ? 0
               : fail(ACLNN_PARAM_INVALID, "start, end and step give %g elements, out has another shape", length);
}

static int compute_arange(struct call *call)
{
    const struct tensor *out = output_of(call);
    for (int64_t i = 0; i < out->dims[0]; i++)
        element_store(out, element_at(out, i), call_real(call, "start") + (double)i * call_real(call, "step"));
    return 0;
}

const struct operator_implementation implementation_arange = {.check = check_arange, .compute = compute_arange};

/* ---- SwiGlu: silu(first half) * second half, fp32 inside ---- */
static int check_swiglu(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *out = call_tensor(call, "out");
    int64_t dim = call_integer(call, "dim");
    int result = check_type(x, "x", "f16 bf16 f32");
    if (!result)
        result = normalise_dim(&dim, x->n_dims, "dim");
    if (!result && out->type != x->type)
        result = fail(ACLNN_PARAM_INVALID, "x is %s, out is %s", type_name(x->type), type_name(out->type));
    if (!result)
        result = check_contiguous(x, "x");
    if (!result)
        result = check_contiguous(out, "out");
    if (!result && (x->n_dims != out->n_dims || x->dims[dim] % 2 || out->dims[dim] * 2 != x->dims[dim] || tensor_count(x) != 2 * tensor_count(out)))
        result = fail(ACLNN_PARAM_INVALID, "out must have half of x's (even) size %lld along dim %lld, and the same shape otherwise", (long long)x->dims[dim],
                      (long long)dim);
    bool aligned = !result && emulator_settings()->soc.family == SOC_310P
                       ? tensor_count(out) && tensor_end(out, 1) * (int64_t)type_size(out->type) % 64 == 0
                       : true;
    return result || aligned ? result
                             : fail(ACLNN_INNER_TILING, "%s takes no empty tensors and last dimensions of whole 64 bytes", emulator_settings()->soc.name);
}

static int compute_swiglu(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *out = call_tensor(call, "out");
    int64_t dim = call_integer(call, "dim"), outer, length, inner;
    normalise_dim(&dim, x->n_dims, "dim");
    split_at(x, dim, &outer, &length, &inner);
    float *values = floats_load(call, x), *results = call_scratch(call, (size_t)tensor_count(out) * sizeof *results);
    if (!values || !results)
        return call_no_memory();
    int64_t half = length / 2 * inner;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < half; i++) {
            float gate = values[o * 2 * half + i];
            results[o * half + i] = gate / (1.0f + expf(-gate)) * values[o * 2 * half + half + i];
        }
    floats_store(out, results);
    return 0;
}

const struct operator_implementation implementation_swiglu = {.check = check_swiglu, .compute = compute_swiglu};
