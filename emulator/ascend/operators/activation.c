/* Activations with attributes, gated ones, and choices by a mask. fp32 inside, one rounding on store. */
#include "operators/support.h"

#include <math.h>
#include <string.h>

static float scalar_of(const struct call *call, const char *name, float otherwise)
{
    const struct value *value = call_value(call, name);
    return value && value->present ? (float)value->real : otherwise;
}

static float elu(const struct call *call, float x)
{
    float alpha = scalar_of(call, "alpha", 1), scale = scalar_of(call, "scale", 1), input = scalar_of(call, "inputScale", 1);
    return x > 0 ? scale * x : scale * alpha * (expf(input * x) - 1.0f);
}

static float softplus(const struct call *call, float x)
{
    float beta = scalar_of(call, "beta", 1);
    return beta * x > scalar_of(call, "threshold", 20) ? x : log1pf(expf(beta * x)) / beta;
}

static float activate(const struct call *call, float x)
{
    switch (call->row->detail) {
    case ACTIVATION_LEAKY_RELU: return x > 0 ? x : x * scalar_of(call, "negativeSlope", 0.01f);
    case ACTIVATION_ELU: return elu(call, x);
    case ACTIVATION_HARD_SIGMOID: return fminf(fmaxf(x / 6.0f + 0.5f, 0), 1);
    case ACTIVATION_HARD_SWISH: return x * fminf(fmaxf(x + 3.0f, 0), 6) / 6.0f;
    case ACTIVATION_SOFTPLUS: return softplus(call, x);
    case ACTIVATION_THRESHOLD: return x > scalar_of(call, "threshold", 0) ? x : scalar_of(call, "value", 0);
    case ACTIVATION_SWISH: return x / (1.0f + expf(-scalar_of(call, "betaOptional", 1) * x));
    case ACTIVATION_FAST_GELU: return x / (1.0f + expf(-1.702f * fabsf(x))) * expf(0.851f * (x - fabsf(x)));
    default: return x == 0 ? 1.0f : 0.0f; /* LogicalNot */
    }
}

static int check_activation(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    bool logical = call->row->detail == ACTIVATION_LOGICAL_NOT;
    int result = logical ? 0 : check_type(self, "self", "f16 bf16 f32");
    if (!result && !logical && !type_is_float(out->type))
        result = fail(ACLNN_PARAM_INVALID, "out is %s; a floating result is not converted to integers", type_name(out->type));
    return result ? result : check_same_shape(self, "self", out, "out");
}

static int compute_activation(struct call *call)
{
    const struct tensor *self = self_of(call);
    float *values = floats_load(call, self);
    int64_t count = tensor_count(self);
    if (!values)
        return call_no_memory();
    for (int64_t i = 0; i < count; i++)
        values[i] = round_to_type(self->type, activate(call, values[i]));
    floats_store(output_of(call), values);
    return 0;
}

const struct operator_implementation implementation_activation = {.check = check_activation, .compute = compute_activation};

/* ---- GeGluV3: gelu(one half) * the other ---- */
static int check_geglu(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call), *gelu = call_tensor(call, "outGelu");
    int64_t dim = call_integer(call, "dim"), approximate = call_integer(call, "approximate");
    int result = check_type(self, "self", "f16 bf16 f32");
    if (!result)
        result = normalise_dim(&dim, self->n_dims, "dim");
    if (!result && (out->type != self->type || gelu->type != self->type || !tensor_same_shape(out, gelu) || out->n_dims != self->n_dims ||
                    self->dims[dim] != 2 * out->dims[dim] || tensor_count(self) != 2 * tensor_count(out)))
        result = fail(ACLNN_PARAM_INVALID, "out and outGelu must be of self's type with half its size along dim %lld", (long long)dim);
    return result || approximate == 0 || approximate == 1
               ? result
               : fail(ACLNN_PARAM_INVALID, "approximate is %lld; 0 (erf) or 1 (tanh) is expected", (long long)approximate);
}

static int compute_geglu(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call), *kept = call_tensor(call, "outGelu");
    int64_t dim = call_integer(call, "dim"), outer, length, inner;
    normalise_dim(&dim, self->n_dims, "dim");
    split_at(self, dim, &outer, &length, &inner);
    int64_t half = length / 2 * inner;
    bool left = call_integer(call, "activateLeft") != 0, exact = call_integer(call, "approximate") == 0;
    float *values = floats_load(call, self);
    if (!values)
        return call_no_memory();
    for (int64_t i = 0; i < outer * half; i++) {
        const float *pair = values + i / half * 2 * half + i % half;
        float x = left ? pair[0] : pair[half], other = left ? pair[half] : pair[0];
        float gelu = exact ? 0.5f * x * (1.0f + erff(x * 0.7071067812f)) : 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
        element_store(kept, element_at(kept, i), (double)gelu);
        element_store(out, element_at(out, i), (double)(gelu * other));
    }
    return 0;
}

const struct operator_implementation implementation_geglu = {.check = check_geglu, .compute = compute_geglu};

/* ---- SWhere, InplaceMaskedFill*: out = condition ? first : second, all broadcast ---- */
struct choice {
    const struct tensor *condition, *first, *second, *out; /* first NULL: the scalar "value" */
};

static struct choice choice_of(const struct call *call)
{
    bool where = call->row->detail == 0;
    return (struct choice){.condition = call_tensor(call, where ? "condition" : "mask"),
                           .first = where ? call_tensor(call, "self") : call_tensor(call, "value"),
                           .second = where ? call_tensor(call, "other") : call_tensor(call, "selfRef"),
                           .out = where ? call_tensor(call, "out") : call_tensor(call, "selfRef")};
}

static int check_choice(struct call *call)
{
    struct choice c = choice_of(call);
    const struct tensor *parts[3] = {c.condition, c.first, c.second};
    int result = check_type(c.condition, "condition", "bool i8 u8");
    bool fits = true;
    for (int i = 0; i < 3; i++)
        for (unsigned d = 0; parts[i] && d < parts[i]->n_dims && fits; d++)
            fits = parts[i]->n_dims <= c.out->n_dims && (parts[i]->dims[d] == 1 || parts[i]->dims[d] == c.out->dims[c.out->n_dims - parts[i]->n_dims + d]);
    if (!result && !fits)
        result = fail(ACLNN_PARAM_INVALID, "the condition and both choices do not broadcast to the output");
    if (!result && call->row->detail == 0 && c.out->type != promote(c.first->type, c.second->type))
        result = fail(ACLNN_PARAM_INVALID, "self is %s, other %s, out %s", type_name(c.first->type), type_name(c.second->type), type_name(c.out->type));
    return result;
}

static int compute_choice(struct call *call)
{
    struct choice c = choice_of(call);
    int64_t count = tensor_count(c.out);
    double *values[3];
    const struct tensor *parts[3] = {c.condition, c.first, c.second};
    for (int i = 0; i < 3; i++) {
        values[i] = call_scratch(call, (size_t)count * sizeof(double));
        if (!values[i])
            return call_no_memory();
        if (parts[i])
            doubles_load_broadcast(parts[i], c.out->dims, c.out->n_dims, values[i]);
    }
    for (int64_t i = 0; i < count; i++)
        element_store(c.out, element_at(c.out, i), values[0][i] != 0 ? (c.first ? values[1][i] : call_real(call, "value")) : values[2][i]);
    return 0;
}

const struct operator_implementation implementation_choice = {.check = check_choice, .compute = compute_choice};
