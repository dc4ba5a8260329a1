/* Normalisations. RmsNorm: everything in fp32, one rounding on store. AddRmsNorm rounds at the points its kernels do: fp16 adds in fp16 and norms the
 * rounded sum, x * rstd is rounded and multiplied in fp16; bf16 norms the unrounded fp32 sum, x * rstd is rounded to bf16, then multiplied in fp32 and
 * rounded again. */
#include "operators/support.h"

#include <math.h>

static float sum_of_squares(const float *x, int64_t count, uint64_t order)
{
    return dot(x, x, count, order);
}

static int check_gamma(const struct tensor *x, const struct tensor *gamma, int64_t *width)
{
    *width = tensor_count(gamma);
    bool fits = gamma->n_dims >= 1 && gamma->n_dims <= x->n_dims;
    for (unsigned d = 0; fits && d < gamma->n_dims; d++)
        fits = gamma->dims[d] == x->dims[x->n_dims - gamma->n_dims + d];
    return fits ? 0 : fail(ACLNN_INNER_TILING, "gamma's shape is not that of x's last dimensions");
}

static int check_rstd(const struct tensor *x, const struct tensor *gamma, const struct tensor *rstd)
{
    if (rstd->type != ACL_FLOAT)
        return fail(ACLNN_PARAM_INVALID, "rstdOut is %s, f32 is expected", type_name(rstd->type));
    bool fits = rstd->n_dims == x->n_dims;
    for (unsigned d = 0; fits && d < x->n_dims; d++)
        fits = rstd->dims[d] == (d < x->n_dims - gamma->n_dims ? x->dims[d] : 1);
    return fits ? 0 : fail(ACLNN_INNER_TILING, "rstdOut must have x's shape with the normed dimensions 1");
}

static int check_rms_norm(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *gamma = call_tensor(call, "gamma"), *y = call_tensor(call, "yOut");
    bool small = emulator_settings()->soc.family == SOC_310P;
    int64_t width;
    int result = check_type(x, "x", small ? "f16 f32" : "f16 bf16 f32");
    if (!result && gamma->type != x->type && (small || gamma->type != ACL_FLOAT))
        result =
            fail(ACLNN_PARAM_INVALID, "x is %s, gamma is %s; the same type%s is expected", type_name(x->type), type_name(gamma->type), small ? "" : " or f32");
    if (!result && y->type != x->type)
        result = fail(ACLNN_PARAM_INVALID, "x is %s, yOut is %s", type_name(x->type), type_name(y->type));
    if (!result)
        result = check_gamma(x, gamma, &width);
    if (!result && !tensor_same_shape(x, y))
        result = fail(ACLNN_INNER_TILING, "x and yOut differ in shape");
    if (!result)
        result = check_rstd(x, gamma, call_tensor(call, "rstdOut"));
    if (!result && small && tensor_end(x, 1) * (int64_t)type_size(x->type) < 32)
        result = fail(ACLNN_INNER_TILING, "the last axis is shorter than 32 bytes");
    return result;
}

static int compute_rms_norm(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *gamma = call_tensor(call, "gamma");
    float one = call->row->detail ? 1.0f : 0.0f; /* GemmaRmsNorm: times 1 + gamma */
    int64_t width = tensor_count(gamma), rows = width ? tensor_count(x) / width : 0;
    float *values = floats_load(call, x), *weights = floats_load(call, gamma), *rstds = call_scratch(call, (size_t)rows * sizeof *rstds);
    if (!values || !weights || !rstds)
        return call_no_memory();
    for (int64_t r = 0; r < rows; r++) {
        float *row = values + r * width;
        rstds[r] = 1.0f / sqrtf(sum_of_squares(row, width, call->order) / (float)width + (float)call_real(call, "epsilon"));
        for (int64_t i = 0; i < width; i++)
            row[i] = row[i] * rstds[r] * (one + weights[i]);
    }
    floats_store(call_tensor(call, "yOut"), values);
    floats_store(call_tensor(call, "rstdOut"), rstds);
    return 0;
}

const struct operator_implementation implementation_rms_norm = {.check = check_rms_norm, .compute = compute_rms_norm};

struct add_norm {
    struct tensor *x1, *x2, *gamma, *y, *rstd, *x;
};

static struct add_norm add_norm_of(const struct call *call)
{
    bool in_place = call->row->detail;
    struct add_norm a = {.x1 = call_tensor(call, in_place ? "x1Ref" : "x1"),
                         .x2 = call_tensor(call, in_place ? "x2Ref" : "x2"),
                         .gamma = call_tensor(call, "gamma"),
                         .rstd = call_tensor(call, "rstdOut")};
    a.y = in_place ? a.x1 : call_tensor(call, "yOut");
    a.x = in_place ? a.x2 : call_tensor(call, "xOut");
    return a;
}

static int check_add_rms_norm(struct call *call)
{
    struct add_norm a = add_norm_of(call);
    int64_t width;
    int result = check_type(a.x1, "x1", emulator_settings()->soc.family == SOC_310P ? "f16 f32" : "f16 bf16 f32");
    if (!result && (a.x2->type != a.x1->type || a.gamma->type != a.x1->type || a.y->type != a.x1->type || (a.x && a.x->type != a.x1->type)))
        result = fail(ACLNN_PARAM_INVALID, "x1, x2, gamma, y and x must have one type; x1 is %s, x2 %s, gamma %s", type_name(a.x1->type), type_name(a.x2->type),
                      type_name(a.gamma->type));
    if (!result && (!tensor_same_shape(a.x1, a.x2) || !tensor_same_shape(a.x1, a.y) || (a.x && !tensor_same_shape(a.x1, a.x))))
        result = fail(ACLNN_INNER_TILING, "x1, x2, y and x differ in shape");
    bool row_gamma = a.gamma->n_dims == 2 && a.gamma->dims[0] == 1;
    if (!result && !a.rstd && !row_gamma)
        result = fail(ACLNN_PARAM_NULLPTR, "rstdOut is NULL (allowed only with a gamma of shape [1,H])");
    if (!result && !a.x && (a.rstd || !row_gamma))
        result = fail(ACLNN_PARAM_NULLPTR, "xOut is NULL");
    if (!result && !row_gamma)
        result = check_gamma(a.x1, a.gamma, &width);
    if (!result && row_gamma && a.gamma->dims[1] != tensor_end(a.x1, 1))
        result = fail(ACLNN_INNER_TILING, "gamma [1,%lld] does not fit x's last dimension", (long long)a.gamma->dims[1]);
    const struct tensor last = {.n_dims = 1, .dims = {tensor_end(a.gamma, 1)}}; /* what [1,H] norms */
    if (!result && a.rstd)
        result = check_rstd(a.x1, row_gamma ? &last : a.gamma, a.rstd);
    return result;
}

float *norm_of_sum(struct call *call, const struct tensor *x1, const struct tensor *x2, const struct tensor *gamma, float **sums, float **inverse)
{
    aclDataType type = x1->type;
    int64_t width = tensor_count(gamma), rows = width ? tensor_count(x1) / width : 0;
    float *first = floats_load(call, x1), *second = floats_load(call, x2), *weights = floats_load(call, gamma);
    float *rstds = call_scratch(call, (size_t)rows * sizeof *rstds);
    if (!first || !second || !weights || !rstds)
        return NULL;
    for (int64_t i = 0; i < rows * width; i++) {
        first[i] += second[i];
        second[i] = round_to_type(type, first[i]); /* xOut */
        if (type == ACL_FLOAT16)
            first[i] = second[i];
    }
    for (int64_t r = 0; r < rows; r++) {
        float *row = first + r * width;
        rstds[r] = 1.0f / sqrtf(sum_of_squares(row, width, call->order) / (float)width + (float)call_real(call, "epsilon"));
        for (int64_t i = 0; i < width; i++)
            row[i] = round_to_type(type, round_to_type(type, row[i] * rstds[r]) * weights[i]);
    }
    *sums = second;
    if (inverse)
        *inverse = rstds;
    return first;
}

static int compute_add_rms_norm(struct call *call)
{
    struct add_norm a = add_norm_of(call);
    float *sums, *rstds, *y = norm_of_sum(call, a.x1, a.x2, a.gamma, &sums, &rstds);
    if (!y)
        return call_no_memory();
    if (a.x)
        floats_store(a.x, sums);
    floats_store(a.y, y);
    if (a.rstd)
        floats_store(a.rstd, rstds);
    return 0;
}

const struct operator_implementation implementation_add_rms_norm = {.check = check_add_rms_norm, .compute = compute_add_rms_norm};

static int check_layer_norm(struct call *call)
{
    const struct tensor *x = call_tensor(call, "input"), *out = call_tensor(call, "out");
    const struct value *shape = call_value(call, "normalizedShape");
    int result = check_type(x, "input", "f16 bf16 f32");
    bool fits = shape->count >= 1 && shape->count <= x->n_dims;
    for (size_t d = 0; fits && d < shape->count; d++)
        fits = shape->integers[d] == x->dims[x->n_dims - shape->count + d];
    if (!result && !fits)
        result = fail(ACLNN_PARAM_INVALID, "normalizedShape is not the shape of input's last dimensions");
    int64_t width = 1;
    for (size_t d = 0; fits && d < shape->count; d++)
        width *= shape->integers[d];
    for (unsigned i = 0; i < 4 && !result; i++) {
        static const char *const names[] = {"weightOptional", "biasOptional", "meanOutOptional", "rstdOutOptional"};
        const struct tensor *other = call_tensor(call, names[i]);
        int64_t expected = i < 2 ? width : width ? tensor_count(x) / width : 0;
        if (other && tensor_count(other) != expected)
            result = fail(ACLNN_PARAM_INVALID, "%s has %lld elements, not %lld", names[i], (long long)tensor_count(other), (long long)expected);
    }
    return result ? result : check_same_shape(x, "input", out, "out");
}

static int compute_layer_norm(struct call *call)
{
    const struct tensor *x = call_tensor(call, "input"), *weight = call_tensor(call, "weightOptional"), *bias = call_tensor(call, "biasOptional");
    const struct value *shape = call_value(call, "normalizedShape");
    int64_t width = 1;
    for (size_t d = 0; d < shape->count; d++)
        width *= shape->integers[d];
    int64_t rows = width ? tensor_count(x) / width : 0;
    float *values = floats_load(call, x), *scale = weight ? floats_load(call, weight) : NULL, *shift = bias ? floats_load(call, bias) : NULL;
    float *means = call_scratch(call, (size_t)rows * sizeof *means), *rstds = call_scratch(call, (size_t)rows * sizeof *rstds);
    if (!values || (weight && !scale) || (bias && !shift) || !means || !rstds)
        return call_no_memory();
    for (int64_t r = 0; r < rows; r++) {
        float *row = values + r * width, sum = 0, squares = 0;
        for (int64_t i = 0; i < width; i++)
            sum += row[i];
        means[r] = sum / (float)width;
        for (int64_t i = 0; i < width; i++)
            squares += (row[i] - means[r]) * (row[i] - means[r]);
        rstds[r] = 1.0f / sqrtf(squares / (float)width + (float)call_real(call, "eps"));
        for (int64_t i = 0; i < width; i++)
            row[i] = (row[i] - means[r]) * rstds[r] * (scale ? scale[i] : 1.0f) + (shift ? shift[i] : 0.0f);
    }
    floats_store(call_tensor(call, "out"), values);
    if (call_tensor(call, "meanOutOptional"))
        floats_store(call_tensor(call, "meanOutOptional"), means);
    if (call_tensor(call, "rstdOutOptional"))
        floats_store(call_tensor(call, "rstdOutOptional"), rstds);
    return 0;
}

const struct operator_implementation implementation_layer_norm = {.check = check_layer_norm, .compute = compute_layer_norm};

/* ---- GroupNorm over (N, C, HxW) ---- */
static int check_group_norm(struct call *call)
{
    const struct tensor *x = self_of(call), *out = output_of(call), *mean = call_tensor(call, "meanOut"), *rstd = call_tensor(call, "rstdOut");
    int64_t n = call_integer(call, "N"), c = call_integer(call, "C"), plane = call_integer(call, "HxW"), groups = call_integer(call, "group");
    int result = check_type(x, "self", "f16 bf16 f32");
    if (!result && (out->type != x->type || !tensor_same_shape(x, out)))
        result = fail(ACLNN_PARAM_INVALID, "out must have self's type and shape");
    if (!result && (n < 0 || c <= 0 || plane < 0 || groups <= 0 || c % groups || tensor_count(x) != n * c * plane))
        result = fail(ACLNN_PARAM_INVALID, "N %lld, C %lld, HxW %lld and group %lld do not fit self's %lld elements", (long long)n, (long long)c,
                      (long long)plane, (long long)groups, (long long)tensor_count(x));
    if (!result && (tensor_count(mean) != n * groups || tensor_count(rstd) != n * groups))
        result = fail(ACLNN_PARAM_INVALID, "meanOut and rstdOut must have N*group = %lld elements", (long long)(n * groups));
    for (int i = 0; i < 2 && !result; i++) {
        const struct tensor *one = call_tensor(call, i ? "beta" : "gamma");
        if (one && tensor_count(one) != c)
            result = fail(ACLNN_PARAM_INVALID, "%s has %lld elements, C is %lld", i ? "beta" : "gamma", (long long)tensor_count(one), (long long)c);
    }
    return result;
}

static int compute_group_norm(struct call *call)
{
    const struct tensor *x = self_of(call), *gamma = call_tensor(call, "gamma"), *beta = call_tensor(call, "beta");
    int64_t c = call_integer(call, "C"), plane = call_integer(call, "HxW"), groups = call_integer(call, "group"), each = c / groups * plane;
    int64_t n_groups = call_integer(call, "N") * groups;
    float *values = floats_load(call, x), *scale = gamma ? floats_load(call, gamma) : NULL, *shift = beta ? floats_load(call, beta) : NULL;
    float *means = call_scratch(call, (size_t)n_groups * sizeof *means), *rstds = call_scratch(call, (size_t)n_groups * sizeof *rstds);
    if (!values || (gamma && !scale) || (beta && !shift) || !means || !rstds)
        return call_no_memory();
    for (int64_t g = 0; g < n_groups; g++) {
        float *group = values + g * each, sum = 0, squares = 0;
        for (int64_t i = 0; i < each; i++)
            sum += group[i];
        means[g] = sum / (float)each;
        for (int64_t i = 0; i < each; i++)
            squares += (group[i] - means[g]) * (group[i] - means[g]);
        rstds[g] = 1.0f / sqrtf(squares / (float)each + (float)call_real(call, "eps"));
        for (int64_t i = 0; i < each; i++) {
            int64_t channel = g % groups * (c / groups) + i / plane;
            group[i] = (group[i] - means[g]) * rstds[g] * (scale ? scale[channel] : 1.0f) + (shift ? shift[channel] : 0.0f);
        }
    }
    floats_store(output_of(call), values);
    floats_store(call_tensor(call, "meanOut"), means);
    floats_store(call_tensor(call, "rstdOut"), rstds);
    return 0;
}

const struct operator_implementation implementation_group_norm = {.check = check_group_norm, .compute = compute_group_norm};
