/* Quantisers: DynamicQuant (per row), AscendQuant and its reverse (given scales), the packing of scales for the cube unit. Rounding to nearest even,
 * saturating. */
#include "operators/support.h"

#include <math.h>
#include <string.h>

float scale_unpack(uint64_t packed)
{
    uint32_t bits = (uint32_t)packed & 0xFFFFE000u;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

struct dynamic { /* DynamicQuant and V2 */
    const struct tensor *x, *smooth, *groups, *scale, *offset;
    struct tensor y; /* INT32-packed ones seen as int4 */
    int64_t width, rows;
};

static struct dynamic dynamic_of(const struct call *call)
{
    struct dynamic d = {.x = call_tensor(call, "x"),
                        .smooth = call_tensor(call, "smoothScalesOptional"),
                        .groups = call_tensor(call, "groupIndexOptional"),
                        .scale = call_tensor(call, "scaleOut"),
                        .offset = call_tensor(call, "offsetOut"),
                        .y = tensor_as_int4(call_tensor(call, "yOut"))};
    d.width = d.x->n_dims ? d.x->dims[d.x->n_dims - 1] : 0;
    d.rows = d.width ? tensor_count(d.x) / d.width : 0;
    return d;
}

static int check_dynamic(struct call *call)
{
    struct dynamic d = dynamic_of(call);
    bool small = emulator_settings()->soc.family == SOC_310P, second = call->row->detail == 2;
    int64_t wanted = call_integer(call, "dstType"), experts = d.groups ? tensor_count(d.groups) : 1;
    int result = check_type(d.x, "x", small ? "f16" : "f16 bf16");
    if (!result)
        result = check_type(&d.y, "yOut", small ? "i8" : "i8 i4");
    if (!result)
        result = check_type(d.scale, "scaleOut", "f32");
    if (!result && d.offset)
        result = check_type(d.offset, "offsetOut", "f32");
    if (!result && second && wanted != (int64_t)call_tensor(call, "yOut")->type)
        result = fail(ACLNN_PARAM_INVALID, "dstType is %lld, yOut is %s", (long long)wanted, type_name(call_tensor(call, "yOut")->type));
    if (!result)
        result = check_same_shape(d.x, "x", &d.y, "yOut");
    if (!result && (d.x->n_dims < 2 || tensor_count(d.scale) != d.rows || (d.offset && tensor_count(d.offset) != d.rows)))
        result = fail(ACLNN_PARAM_INVALID, "x needs two dimensions or more, scaleOut (and offsetOut) one element for each row of x");
    if (!result && d.y.type == ACL_INT4 && d.width % 2)
        result = fail(ACLNN_PARAM_INVALID, "int4 needs an even last dimension, found %lld", (long long)d.width);
    if (!result && d.smooth && (d.smooth->type != d.x->type || tensor_count(d.smooth) != d.width * experts))
        result = fail(ACLNN_PARAM_INVALID, "smoothScales must be of x's type with %lld x %lld elements", (long long)experts, (long long)d.width);
    if (!result && d.groups && (d.groups->type != ACL_INT32 || !d.smooth))
        result = fail(ACLNN_PARAM_INVALID, "groupIndex must be i32 and goes with smoothScales");
    if (!result && small && d.width % 32)
        result = fail(ACLNN_INNER_TILING, "the last axis must be a multiple of 32 on %s", emulator_settings()->soc.name);
    return result;
}

/* Which expert's smooth scales row r takes: groupIndex holds cumulative rows. */
static int64_t group_of(const struct dynamic *d, int64_t row)
{
    int64_t group = 0;
    while (d->groups && group + 1 < tensor_count(d->groups) && row >= element_whole(d->groups, element_at(d->groups, group)))
        group++;
    return group;
}

static int compute_dynamic(struct call *call)
{
    struct dynamic d = dynamic_of(call);
    bool smooth = d.smooth && emulator_settings()->soc.family != SOC_310P; /* ignored there */
    float top = d.y.type == ACL_INT4 ? 7.0f : 127.0f, whole = d.y.type == ACL_INT4 ? 15.0f : 255.0f;
    float *values = floats_load(call, d.x), *factors = smooth ? floats_load(call, d.smooth) : NULL;
    if (!values || (smooth && !factors))
        return call_no_memory();
    for (int64_t r = 0; r < d.rows; r++) {
        float *row = values + r * d.width, low = INFINITY, high = -INFINITY;
        const float *own = factors ? factors + group_of(&d, r) * d.width : NULL;
        for (int64_t i = 0; i < d.width; i++) {
            row[i] *= own ? own[i] : 1.0f;
            low = row[i] < low ? row[i] : low;
            high = row[i] > high ? row[i] : high;
        }
        float largest = -low > high ? -low : high, scale = d.offset ? (high - low) / whole : 1.0f / (top / largest);
        float shift = d.offset ? top - high / scale : 0;
        for (int64_t i = 0; i < d.width; i++) {
            float value = rintf(d.offset ? row[i] / scale + shift : row[i] * (top / largest));
            element_store(&d.y, element_at(&d.y, r * d.width + i), (double)value);
        }
        element_store(d.scale, element_at(d.scale, r), (double)scale);
        if (d.offset)
            element_store(d.offset, element_at(d.offset, r), (double)shift);
    }
    return 0;
}

const struct operator_implementation implementation_dynamic_quant = {.check = check_dynamic, .compute = compute_dynamic, .int4 = true};

/* ---- given scales: y = round(x * scale + offset), and back ---- */
struct given {
    const struct tensor *x, *scale, *offset;
    struct tensor y;
    int64_t inner; /* elements of x that share one scale, along its last dimensions */
    bool back;
};

static struct given given_of(const struct call *call)
{
    struct given g = {.x = call_tensor(call, "x"),
                      .scale = call_tensor(call, "scale"),
                      .offset = call_tensor(call, "offset"),
                      .y = *call_tensor(call, "y"),
                      .inner = 1,
                      .back = call->row->detail == 0};
    if (!g.back)
        g.y = tensor_as_int4(&g.y);
    if (call->row->detail == 3 && call_integer(call, "axis") == -2 && g.x->n_dims)
        g.inner = tensor_end(g.x, 1);
    return g;
}

static int check_given(struct call *call)
{
    struct given g = given_of(call);
    int64_t wanted = call_integer(call, "dstType"), axis = call_integer(call, "axis"), along = g.inner > 1 ? 2 : 1;
    const char *mode = call_text(call, "roundMode");
    int result = check_type(g.x, "x", g.back ? "i8 i4" : "f16 bf16 f32");
    if (!result)
        result = check_type(&g.y, "y", g.back ? "f16 bf16" : "i8 i4");
    if (!result && !g.back && (g.scale->type != g.x->type || (g.offset && g.offset->type != g.x->type)))
        result = fail(ACLNN_PARAM_INVALID, "x is %s, scale %s: one type is expected", type_name(g.x->type), type_name(g.scale->type));
    if (!result && g.back && g.scale->type != g.y.type)
        result = fail(ACLNN_PARAM_INVALID, "scale is %s, y %s: one type is expected", type_name(g.scale->type), type_name(g.y.type));
    if (!result && wanted != (int64_t)call_tensor(call, "y")->type)
        result = fail(ACLNN_PARAM_INVALID, "dstType is %lld, y is %s", (long long)wanted, type_name(call_tensor(call, "y")->type));
    if (!result && !g.back && strcmp(mode, "round") && strcmp(mode, "floor") && strcmp(mode, "ceil") && strcmp(mode, "trunc"))
        result = fail(ACLNN_PARAM_INVALID, "roundMode is \"%s\"; round, floor, ceil or trunc is expected", mode);
    if (!result && call->row->detail == 3 && axis != -1 && (axis != -2 || emulator_settings()->soc.family == SOC_310P))
        result = fail(ACLNN_PARAM_INVALID, "axis is %lld; -1%s is expected", (long long)axis, emulator_settings()->soc.family == SOC_310P ? "" : " or -2");
    if (!result)
        result = check_same_shape(g.x, "x", &g.y, "y");
    int64_t count = tensor_count(g.scale), n = (int64_t)g.x->n_dims >= along ? g.x->dims[g.x->n_dims - along] : 1;
    if (!result && ((count != 1 && count != n) || (g.offset && tensor_count(g.offset) != count)))
        result = fail(ACLNN_PARAM_INVALID, "scale must have 1 or %lld elements, offset as many; found %lld", (long long)n, (long long)count);
    return result;
}

static float round_by(const char *mode, float value)
{
    return *mode == 'f' ? floorf(value) : *mode == 'c' ? ceilf(value) : *mode == 't' ? truncf(value) : rintf(value);
}

static int compute_given(struct call *call)
{
    struct given g = given_of(call);
    float *scales = floats_load(call, g.scale), *offsets = g.offset ? floats_load(call, g.offset) : NULL;
    bool squared = call_integer(call, "sqrtMode") != 0;
    int64_t count = tensor_count(g.x), n = tensor_count(g.scale);
    if (!scales || (g.offset && !offsets))
        return call_no_memory();
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i / g.inner % n;
        float value = (float)element_load(g.x, element_at(g.x, i)), scale = scales[at] * (squared ? scales[at] : 1.0f), offset = offsets ? offsets[at] : 0;
        value = g.back ? (value + offset) * scale : round_by(call_text(call, "roundMode"), value * scale + offset);
        element_store(&g.y, element_at(&g.y, i), (double)value);
    }
    return 0;
}

const struct operator_implementation implementation_given_quant = {.check = check_given, .compute = compute_given, .int4 = true};

/* ---- scales for the cube unit's output: bits(scale) without the lower 13 | 1 << 46 | 9-bit offset << 37 ---- */
static int check_pack_scale(struct call *call)
{
    const struct tensor *scale = call_tensor(call, "scale"), *offset = call_tensor(call, "offset"), *out = call_tensor(call, "out");
    int64_t n = tensor_count(scale), others = offset ? tensor_count(offset) : 1, longest = n > others ? n : others;
    int result = check_type(scale, "scale", "f32");
    if (!result && offset)
        result = check_type(offset, "offset", "f32");
    if (!result)
        result = check_type(out, "out", "u64 i64");
    if (!result && ((n != 1 && n != longest) || (others != 1 && others != longest) || tensor_count(out) != longest))
        result = fail(ACLNN_PARAM_INVALID, "scale has %lld elements, offset %lld, out %lld: 1 or one number n, and out n", (long long)n, (long long)others,
                      (long long)tensor_count(out));
    return result;
}

static int compute_pack_scale(struct call *call)
{
    const struct tensor *scale = call_tensor(call, "scale"), *offset = call_tensor(call, "offset"), *out = call_tensor(call, "out");
    int64_t n = tensor_count(scale), others = offset ? tensor_count(offset) : 1;
    for (int64_t i = 0; i < tensor_count(out); i++) {
        float value = (float)element_load(scale, element_at(scale, n == 1 ? 0 : i));
        uint32_t bits;
        memcpy(&bits, &value, 4);
        uint64_t packed = (bits & 0xFFFFE000u) | (uint64_t)1 << 46;
        if (offset) {
            double rounded = rint(element_load(offset, element_at(offset, others == 1 ? 0 : i)));
            int64_t nine = (int64_t)(rounded < -256 ? -256 : rounded > 255 ? 255 : rounded);
            packed = (packed & 0x4000FFFFFFFFu) | ((uint64_t)nine & 0x1FF) << 37;
        }
        memcpy(out->data + (size_t)element_at(out, i) * 8, &packed, 8);
    }
    return 0;
}

const struct operator_implementation implementation_pack_scale = {.check = check_pack_scale, .compute = compute_pack_scale};
