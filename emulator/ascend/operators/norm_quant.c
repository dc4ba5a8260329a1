/* Norms fused with quantisation: the sum and the norm as AddRmsNorm rounds them, then int8. */
#include "operators/support.h"

#include <math.h>

struct norm_quant {
    const struct tensor *x1, *x2, *gamma, *x_out, *factors[2], *zeros[2], *y[2], *scales[2];
    int64_t width, rows;
    bool dynamic;
};

static struct norm_quant norm_quant_of(const struct call *call)
{
    bool dynamic = call->row->detail == 1;
    struct norm_quant n = {
        .x1 = call_tensor(call, "x1"),
        .x2 = call_tensor(call, "x2"),
        .gamma = call_tensor(call, "gamma"),
        .x_out = call_tensor(call, "xOut"),
        .factors = {call_tensor(call, dynamic ? "smoothScale1Optional" : "scales1"), call_tensor(call, dynamic ? "smoothScale2Optional" : "scales2Optional")},
        .zeros = {call_tensor(call, "zeroPoints1Optional"), call_tensor(call, "zeroPoints2Optional")},
        .y = {call_tensor(call, "y1Out"), call_tensor(call, "y2Out")},
        .scales = {call_tensor(call, "scale1Out"), call_tensor(call, "scale2Out")},
        .dynamic = dynamic};
    n.width = n.x1->n_dims ? n.x1->dims[n.x1->n_dims - 1] : 0;
    n.rows = n.width ? tensor_count(n.x1) / n.width : 0;
    return n;
}

static int check_norm_quant(struct call *call)
{
    struct norm_quant n = norm_quant_of(call);
    bool small = emulator_settings()->soc.family == SOC_310P, both = n.factors[1] != NULL;
    int result = check_type(n.x1, "x1", small ? "f16" : "f16 bf16");
    if (!result && (n.x2->type != n.x1->type || n.gamma->type != n.x1->type || n.x_out->type != n.x1->type))
        result = fail(ACLNN_PARAM_INVALID, "x1, x2, gamma and xOut must have one type");
    if (!result && (!tensor_same_shape(n.x1, n.x2) || !tensor_same_shape(n.x1, n.x_out) || !tensor_same_shape(n.x1, n.y[0]) || n.gamma->n_dims != 1 ||
                    n.gamma->dims[0] != n.width || (both && !tensor_same_shape(n.x1, n.y[1]))))
        result = fail(ACLNN_INNER_TILING, "x1, x2, xOut, y1Out (y2Out with the second scales) must have one shape, gamma that of the last dimension");
    aclDataType factor = n.dynamic || n.x1->type == ACL_BF16 ? n.x1->type : ACL_FLOAT;
    for (int i = 0; i < 2 && !result; i++) {
        if (n.factors[i] && (n.factors[i]->type != factor || tensor_count(n.factors[i]) != n.width))
            result = fail(ACLNN_PARAM_INVALID, "scales %d must be %s with %lld elements", i + 1, type_name(factor), (long long)n.width);
        if (!result && n.zeros[i] && tensor_count(n.zeros[i]) != n.width)
            result = fail(ACLNN_PARAM_INVALID, "zeroPoints %d must have %lld elements", i + 1, (long long)n.width);
        if (!result && (i == 0 || both) && n.y[i]->type != ACL_INT8)
            result = fail(ACLNN_PARAM_INVALID, "y%dOut is %s; i8 is expected", i + 1, type_name(n.y[i]->type));
        if (!result && n.dynamic && (i == 0 || both) && (n.scales[i]->type != ACL_FLOAT || tensor_count(n.scales[i]) != n.rows))
            result = fail(ACLNN_PARAM_INVALID, "scale%dOut must be f32 with one element a row", i + 1);
    }
    if (!result && n.dynamic && both && !n.factors[0])
        result = fail(ACLNN_PARAM_INVALID, "the second smooth scales need the first");
    if (!result && !n.dynamic && (call_integer(call, "axis") != -1 || !call_integer(call, "divMode")))
        result = fail(ACLNN_PARAM_INVALID, "axis must be -1, divMode true");
    return result;
}

static void quantise_row(const struct norm_quant *n, int which, const float *y, int64_t row, const float *factors, const float *zeros)
{
    float largest = 0, inverse = 0;
    for (int64_t i = 0; i < n->width && n->dynamic; i++)
        largest = fmaxf(largest, fabsf(y[i] * (factors ? factors[i] : 1)));
    if (n->dynamic) {
        inverse = 127.0f / largest;
        element_store(n->scales[which], element_at(n->scales[which], row), (double)(1.0f / inverse));
    }
    for (int64_t i = 0; i < n->width; i++) {
        float value = n->dynamic ? y[i] * (factors ? factors[i] : 1) * inverse : y[i] / factors[i] + (zeros ? zeros[i] : 0);
        element_store(n->y[which], element_at(n->y[which], row * n->width + i), (double)rintf(value));
    }
}

static int compute_norm_quant(struct call *call)
{
    struct norm_quant n = norm_quant_of(call);
    float *sums, *y = norm_of_sum(call, n.x1, n.x2, n.gamma, &sums, NULL), *factors[2] = {0}, *zeros[2] = {0};
    for (int i = 0; i < 2; i++) {
        factors[i] = n.factors[i] ? floats_load(call, n.factors[i]) : NULL;
        zeros[i] = n.zeros[i] ? floats_load(call, n.zeros[i]) : NULL;
        if (!y || (n.factors[i] && !factors[i]) || (n.zeros[i] && !zeros[i]))
            return call_no_memory();
    }
    for (int64_t r = 0; r < n.rows; r++)
        for (int i = 0; i < 2; i++)
            if (i == 0 || n.factors[1])
                quantise_row(&n, i, y + r * n.width, r, factors[i], zeros[i]);
    floats_store(n.x_out, sums);
    return 0;
}

const struct operator_implementation implementation_norm_quant = {.check = check_norm_quant, .compute = compute_norm_quant};
