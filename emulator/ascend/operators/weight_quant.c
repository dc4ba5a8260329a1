/* Weight-only quantised products: y = x @ ((weight + offset) * scale) + bias, the offset added BEFORE scaling. The weight is widened to x's type first (a
 * rounding), the product sums in fp32. Scales per tensor, per channel (n) or per group of rows (k/g, n). */
#include "operators/matrix.h"

#include <math.h>

struct weight_product {
    const struct tensor *x, *scale, *offset, *quant_scale, *quant_offset, *bias, *y;
    struct tensor weight; /* INT32-packed ones seen as int4 */
    struct product p;
    int64_t group, rows_of_scale; /* 1 but for groups */
    bool by_channel, nz, transposed;
};

static struct weight_product weight_of(const struct call *call)
{
    struct weight_product w = {.x = call_tensor(call, "x"),
                               .weight = tensor_as_int4(call_tensor(call, "weight")),
                               .scale = call_tensor(call, "antiquantScale"),
                               .offset = call_tensor(call, "antiquantOffsetOptional"),
                               .quant_scale = call_tensor(call, "quantScaleOptional"),
                               .quant_offset = call_tensor(call, "quantOffsetOptional"),
                               .bias = call_tensor(call, "biasOptional"),
                               .y = call_tensor(call, "y"),
                               .group = call_integer(call, "antiquantGroupSize")};
    w.nz = w.weight.format == ACL_FORMAT_FRACTAL_NZ;
    w.transposed = w.weight.n_dims == 2 && w.weight.strides[0] == 1 && w.weight.strides[1] > 1;
    w.p = product_of(w.x, &w.weight, w.y, false, false);
    int64_t count = tensor_count(w.scale);
    w.rows_of_scale = w.group > 0 ? (w.p.k + w.group - 1) / w.group : 1;
    w.by_channel = count == w.p.n * w.rows_of_scale && count != 1;
    return w;
}

static int check_weight_types(const struct weight_product *w)
{
    bool half = w->x->type == ACL_FLOAT16, packed = w->scale->type == ACL_UINT64 || w->scale->type == ACL_INT64;
    int result = check_type(w->x, "x", "f16 bf16");
    if (!result)
        result = check_type(&w->weight, "weight", "i8 i4");
    if (result)
        return result;
    if (w->scale->type != w->x->type && !(packed && half))
        return fail(ACLNN_PARAM_INVALID, "antiquantScale is %s; x's type %s (or u64/i64 with fp16) is expected", type_name(w->scale->type),
                    type_name(w->x->type));
    if (packed && (w->weight.type != ACL_INT8 || !w->transposed || w->group || !w->by_channel || w->p.m > 96 || w->p.k % 64 || w->p.n % 64 || w->nz))
        return fail(ACLNN_PARAM_INVALID, "a u64 antiquantScale takes a transposed int8 ND weight, one scale a channel, m up to 96, k and n multiples of 64");
    if (w->offset && w->offset->type != (packed ? ACL_INT32 : w->scale->type))
        return fail(ACLNN_PARAM_INVALID, "antiquantOffset is %s, antiquantScale is %s", type_name(w->offset->type), type_name(w->scale->type));
    if (w->bias && w->bias->type != (half ? ACL_FLOAT16 : ACL_FLOAT))
        return fail(ACLNN_PARAM_INVALID, "bias is %s; f16 for an fp16 x and f32 for a bf16 x is expected", type_name(w->bias->type));
    aclDataType out = w->quant_scale ? ACL_INT8 : w->x->type;
    return w->y->type == out ? 0 : fail(ACLNN_PARAM_INVALID, "y is %s; %s is expected (i8 with quantScale)", type_name(w->y->type), type_name(out));
}

static int check_weight_shapes(const struct weight_product *w)
{
    int64_t k = w->p.k, n = w->p.n, scales = tensor_count(w->scale);
    if (!w->p.fits || w->x->n_dims != 2)
        return fail(ACLNN_PARAM_INVALID, "x (m,k), weight (k,n) and y (m,n) do not fit: m=%lld k=%lld n=%lld", (long long)w->p.m, (long long)k, (long long)n);
    if (k < 1 || k > 65535 || n < 1 || n > 65535)
        return fail(ACLNN_PARAM_INVALID, "k is %lld and n %lld; 1 to 65,535 is expected of both", (long long)k, (long long)n);
    if (w->group && (w->group % 32 || w->group < 32 || w->group > k - 1))
        return fail(ACLNN_PARAM_INVALID, "antiquantGroupSize is %lld; 0, or a multiple of 32 from 32 to k-1=%lld is expected", (long long)w->group,
                    (long long)(k - 1));
    if (!w->by_channel && scales != 1)
        return fail(ACLNN_PARAM_INVALID, "antiquantScale has %lld elements; 1, n=%lld or (ceil(k/g), n) are expected", (long long)scales, (long long)n);
    if (w->offset && tensor_count(w->offset) != scales)
        return fail(ACLNN_PARAM_INVALID, "antiquantOffset has %lld elements, antiquantScale %lld", (long long)tensor_count(w->offset), (long long)scales);
    if (w->bias && tensor_count(w->bias) != n)
        return fail(ACLNN_PARAM_INVALID, "bias has %lld elements, n is %lld", (long long)tensor_count(w->bias), (long long)n);
    if (w->weight.type == ACL_INT4 && w->weight.dims[w->transposed ? 0 : 1] % 2)
        return fail(ACLNN_PARAM_INVALID, "the inner axis of an int4 weight must be even");
    if (w->quant_scale && (w->quant_scale->type != ACL_UINT64 && w->quant_scale->type != ACL_FLOAT))
        return fail(ACLNN_PARAM_INVALID, "quantScale is %s; f32 or u64 is expected", type_name(w->quant_scale->type));
    bool four = w->weight.type == ACL_INT4;
    if (w->nz && (w->group ? !four || (w->group != 64 && w->group != 128) || k % w->group || n % 64 || w->transposed || w->quant_scale : !w->by_channel))
        return fail(ACLNN_PARAM_INVALID, "an NZ weight takes int8 or int4 with one scale a channel, or int4 in groups of 64 or 128, k a multiple, n of 64, not "
                                         "transposed, y not int8");
    return 0;
}

static int check_weight_quant(struct call *call)
{
    struct weight_product w = weight_of(call);
    int result = check_weight_types(&w);
    if (!result)
        result = check_weight_shapes(&w);
    if (!result && emulator_settings()->soc.family == SOC_310P && (w.x->type != ACL_FLOAT16 || w.weight.type != ACL_INT8 || w.quant_scale))
        result = fail(ACLNN_PARAM_INVALID, "%s takes fp16 with an int8 weight and no quantScale", emulator_settings()->soc.name);
    int64_t precise = call_integer(call, "innerPrecise");
    return result || precise == 0 || precise == 1 ? result : fail(ACLNN_PARAM_INVALID, "innerPrecise is %lld; 0 or 1 is expected", (long long)precise);
}

/* (weight + offset) * scale of one column, rounded to x's type. */
static void widen_column(const struct weight_product *w, const struct matrix *b, int64_t column, const float *scales, const float *offsets, float *to)
{
    for (int64_t r = 0; r < w->p.k; r++) {
        int64_t at = !w->by_channel ? 0 : (w->group ? r / w->group * w->p.n : 0) + column;
        float value = (float)element_whole(&w->weight, matrix_element(b, r, column)) + (offsets ? offsets[at] : 0.0f);
        to[r] = round_to_type(w->x->type, value * scales[at]);
    }
}

static float *load_scales(struct call *call, const struct tensor *scale)
{
    float *scales = floats_load(call, scale);
    if (scale->type == ACL_UINT64 || scale->type == ACL_INT64)
        for (int64_t i = 0; scales && i < tensor_count(scale); i++)
            scales[i] = scale_unpack((uint64_t)element_whole(scale, element_at(scale, i)));
    return scales;
}

static int compute_weight_quant(struct call *call)
{
    struct weight_product w = weight_of(call);
    struct matrix b = matrix_of(&w.weight, w.p.k, w.p.n, false, 0);
    int result = matrix_check_buffer(call, &b, "weight");
    float *left = floats_load(call, w.x), *column = call_scratch(call, (size_t)(w.p.k + 1) * sizeof *column), *scales = load_scales(call, w.scale);
    float *offsets = w.offset ? floats_load(call, w.offset) : NULL, *bias = w.bias ? floats_load(call, w.bias) : NULL;
    float *again = w.quant_scale ? load_scales(call, w.quant_scale) : NULL, *shift = w.quant_offset ? floats_load(call, w.quant_offset) : NULL;
    if (result || !left || !column || !scales || (w.offset && !offsets) || (w.bias && !bias) || (w.quant_scale && !again) || (w.quant_offset && !shift))
        return result ? result : call_no_memory();
    bool each = w.quant_scale && tensor_count(w.quant_scale) == w.p.n;
    for (int64_t c = 0; c < w.p.n; c++) {
        widen_column(&w, &b, c, scales, offsets, column);
        for (int64_t r = 0; r < w.p.m; r++) {
            float value = dot(left + r * w.p.k, column, w.p.k, call->order) + (bias ? bias[c] : 0.0f);
            if (again)
                value = rintf(value * again[each ? c : 0] + (shift ? shift[each ? c : 0] : 0.0f));
            element_store(w.y, element_at(w.y, r * w.p.n + c), (double)value);
        }
    }
    return 0;
}

static double weight_quant_operations(const struct call *call)
{
    struct weight_product w = weight_of(call);
    return 2.0 * (double)w.p.m * (double)w.p.k * (double)w.p.n;
}

static uint64_t weight_quant_workspace(const struct call *call)
{
    struct weight_product w = weight_of(call);
    return 16384 + (uint64_t)(w.p.k * w.p.n) * 2;
}

const struct operator_implementation implementation_weight_quant = {.check = check_weight_quant,
                                                                    .compute = compute_weight_quant,
                                                                    .cube_operations = weight_quant_operations,
                                                                    .workspace = weight_quant_workspace,
                                                                    .transposes = true,
                                                                    .int4 = true};

/* ---- int32 with one int4 each -> int4, or eight packed in an int32; into FRACTAL_NZ where the output says so ---- */
static int check_pack(struct call *call)
{
    const struct tensor *from = call_tensor(call, "weight"), *packed = call_tensor(call, "weightInt4Pack");
    struct tensor to = tensor_as_int4(packed);
    int result = check_type(from, "weight", "i32");
    if (!result)
        result = check_type(packed, "weightInt4Pack", "i4 i32");
    if (!result && (from->n_dims < 2 || tensor_end(from, 1) % (packed->type == ACL_INT32 ? 8 : 2)))
        result = fail(ACLNN_PARAM_INVALID, "weight needs two dimensions, the last a multiple of %d", packed->type == ACL_INT32 ? 8 : 2);
    if (!result && packed->format != ACL_FORMAT_FRACTAL_NZ && !tensor_same_shape(from, &to))
        result = fail(ACLNN_PARAM_INVALID, "weightInt4Pack must hold as many int4 as weight has elements");
    return result ? result : check_contiguous(from, "weight");
}

static int compute_pack(struct call *call)
{
    const struct tensor *from = call_tensor(call, "weight");
    struct tensor to = tensor_as_int4(call_tensor(call, "weightInt4Pack"));
    int64_t columns = tensor_end(from, 1), rows = tensor_end(from, 2), size = rows * columns, count = tensor_count(from);
    bool nz = to.format == ACL_FORMAT_FRACTAL_NZ;
    struct matrix m = matrix_of(&to, rows, columns, false, 0);
    int result = matrix_check_buffer(call, &m, "weightInt4Pack");
    int64_t stored = nz ? matrix_nz_elements(ACL_INT4, rows, columns) : size;
    for (int64_t i = 0; nz && i < stored * (count / size) && !result; i++)
        element_store(&to, to.offset + i, 0);
    for (int64_t i = 0; i < count && !result; i++) {
        int64_t value = element_whole(from, from->offset + i) & 15, inside = i % size;
        int64_t at = nz ? i / size * stored + matrix_element(&m, inside / columns, inside % columns) : element_at(&to, i);
        element_store(&to, at, (double)(value >= 8 ? value - 16 : value));
    }
    return result;
}

const struct operator_implementation implementation_pack_int4 = {.check = check_pack, .compute = compute_pack, .int4 = true};
