/* Matrix products as the cube unit does them: fp16, bf16 or fp32 inputs, fp32 sums, one rounding on the way out; the order of a sum depends on the shapes (see
 * dot). int8 sums are exact in int32, then scaled in fp32. Weights in FRACTAL_NZ are read at their physical places: whoever tags a plain matrix as NZ gets the
 * wrong numbers the chip would give. Element (r,c) of an R x C matrix in NZ, C0 = 32 bytes' worth of elements, lies at
 *     ((c / C0) * ceil(R / 16) + r / 16) * 16 * C0 + (r % 16) * C0 + c % C0. */
#include "operators/support.h"

#include <math.h>
#include <string.h>

#define COLUMNS 16 /* of the weight, converted at a time */

struct matrix { /* rows x columns, of one batch entry */
    const struct tensor *tensor;
    int64_t rows, columns, row_stride, column_stride, start;
    bool nz, swapped; /* swapped: stored as columns x rows */
    int64_t c0, r1;
};

static int64_t nz_element(const struct matrix *m, int64_t row, int64_t column)
{
    int64_t r = m->swapped ? column : row, c = m->swapped ? row : column;
    return m->start + (c / m->c0 * m->r1 + r / 16) * 16 * m->c0 + r % 16 * m->c0 + c % m->c0;
}

static int64_t matrix_element(const struct matrix *m, int64_t row, int64_t column)
{
    return m->nz ? nz_element(m, row, column) : m->start + row * m->row_stride + column * m->column_stride;
}

/* rows x columns as the product needs them; transposed: the view holds columns x rows. */
static struct matrix matrix_of(const struct tensor *tensor, int64_t rows, int64_t columns, bool transposed, int64_t batch_start)
{
    struct matrix m = {
        .tensor = tensor, .rows = rows, .columns = columns, .start = tensor->offset + batch_start, .nz = tensor->format == ACL_FORMAT_FRACTAL_NZ};
    unsigned n = tensor->n_dims;
    int64_t first = n >= 2 ? tensor->strides[n - 2] : 0, second = n ? tensor->strides[n - 1] : 0;
    m.row_stride = transposed ? second : first;
    m.column_stride = transposed ? first : second;
    if (m.nz) {
        bool swapped_view = n == 2 && tensor->strides[0] == 1 && tensor->strides[1] != 1;
        m.swapped = transposed != swapped_view;
        m.c0 = 32 / (int64_t)type_size(tensor->type);
        m.r1 = ((m.swapped ? columns : rows) + 15) / 16;
    }
    return m;
}

static int64_t nz_bytes(const struct tensor *tensor, int64_t rows, int64_t columns)
{
    int64_t c0 = 32 / (int64_t)type_size(tensor->type);
    return (rows + 15) / 16 * 16 * ((columns + c0 - 1) / c0 * c0) * (int64_t)type_size(tensor->type);
}

/* Whether an NZ matrix lies inside its buffer: its view may be logical, smaller than what is stored. */
static int check_nz_buffer(const struct call *call, const struct matrix *m, const char *name)
{
    char why[160];
    unsigned char *contents;
    if (!m->nz)
        return 0;
    int64_t bytes = nz_bytes(m->tensor, m->swapped ? m->columns : m->rows, m->swapped ? m->rows : m->columns);
    struct block *block = memory_pin(call->device, m->tensor->address, (uint64_t)(m->start * (int64_t)type_size(m->tensor->type) + bytes), &contents, why);
    if (!block)
        return fail(RT_AICORE_EXCEPTION, "argument %s (FRACTAL_NZ): %s", name, why);
    memory_unpin(block);
    return 0;
}

static float element_float(const struct tensor *tensor, int64_t element)
{
    const uint16_t *halves = (const uint16_t *)(const void *)tensor->data;
    if (tensor->type == ACL_BF16)
        return bf16_to_float(halves[element]);
    return tensor->type == ACL_FLOAT16 ? half_to_float(halves[element]) : ((const float *)(const void *)tensor->data)[element];
}

/* HF32: about eleven bits of mantissa, nearest even. */
static float to_hf32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7F800000) != 0x7F800000)
        bits = (bits + 0x7FF + (bits >> 12 & 1)) & 0xFFFFF000;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void narrow_inputs(const struct call *call, float *values, int64_t count, aclDataType type)
{
    int64_t mode = call_integer(call, "cubeMathType");
    if (type != ACL_FLOAT)
        return;
    bool half = mode == 2 || (mode == 1 && emulator_settings()->soc.family == SOC_310P);
    for (int64_t i = 0; i < count && (half || mode == 1 || mode == 3); i++)
        values[i] = half ? round_to_type(ACL_FLOAT16, values[i]) : to_hf32(values[i]);
}

/* values[c * rows + r]: a few columns, each contiguous. */
static void load_columns(const struct matrix *m, int64_t first, int64_t count, float *values)
{
    if (!m->nz && m->row_stride == 1) {
        for (int64_t c = 0; c < count; c++)
            floats_from(m->tensor->type, m->tensor->data + (size_t)matrix_element(m, 0, first + c) * type_size(m->tensor->type), m->rows, values + c * m->rows);
        return;
    }
    size_t size = type_size(m->tensor->type);
    if (m->nz && m->swapped) { /* runs of C0 along the column */
        for (int64_t c = 0; c < count; c++)
            for (int64_t r = 0; r < m->rows; r += m->c0)
                floats_from(m->tensor->type, m->tensor->data + (size_t)nz_element(m, r, first + c) * size, m->rows - r < m->c0 ? m->rows - r : m->c0,
                            values + c * m->rows + r);
        return;
    }
    bool runs = m->nz || m->column_stride == 1; /* along the row: of C0 in NZ, of any length otherwise */
    int64_t longest = m->nz ? m->c0 : COLUMNS;
    for (int64_t r = 0; r < m->rows; r++)
        for (int64_t c = 0, run; c < count; c += run) {
            float row[COLUMNS];
            run = !runs ? 1 : longest - (first + c) % longest;
            run = run > count - c ? count - c : run;
            floats_from(m->tensor->type, m->tensor->data + (size_t)matrix_element(m, r, first + c) * size, run, row);
            for (int64_t i = 0; i < run; i++)
                values[(c + i) * m->rows + r] = row[i];
        }
}

static int multiply(struct call *call, const struct matrix *a, const struct matrix *b, const struct tensor *out, int64_t out_start)
{
    int64_t m = a->rows, k = a->columns, n = b->columns;
    unsigned d = out->n_dims;
    int64_t row_stride = d >= 2 ? out->strides[d - 2] : 0, column_stride = d ? out->strides[d - 1] : 0;
    if (d == 1)
        row_stride = m > 1 ? out->strides[0] : 0;
    float *left = call_scratch(call, (size_t)(m * k + 1) * sizeof *left), *right = call_scratch(call, (size_t)(COLUMNS * k + 1) * sizeof *right);
    if (!left || !right)
        return call_no_memory();
    for (int64_t r = 0; r < m; r++)
        if (a->column_stride == 1 && !a->nz)
            floats_from(a->tensor->type, a->tensor->data + (size_t)matrix_element(a, r, 0) * type_size(a->tensor->type), k, left + r * k);
        else
            for (int64_t c = 0; c < k; c++)
                left[r * k + c] = element_float(a->tensor, matrix_element(a, r, c));
    narrow_inputs(call, left, m * k, a->tensor->type);
    for (int64_t first = 0; first < n; first += COLUMNS) {
        int64_t count = n - first < COLUMNS ? n - first : COLUMNS;
        load_columns(b, first, count, right);
        narrow_inputs(call, right, count * k, b->tensor->type);
        for (int64_t r = 0; r < m; r++)
            for (int64_t c = 0; c < count; c++)
                element_store(out, out_start + r * row_stride + (first + c) * column_stride, (double)dot(left + r * k, right + c * k, k, call->order));
    }
    return 0;
}

/* Sizes and batches of self @ mat2; 1-D operands are a row and a column. */
struct product {
    int64_t m, k, n, batches;
    bool fits;
};

static int64_t dim_from_end(const struct tensor *tensor, unsigned from_end)
{
    return tensor->n_dims >= from_end ? tensor->dims[tensor->n_dims - from_end] : 1;
}

static struct product product_of(const struct call *call)
{
    const struct tensor *a = call_tensor(call, "self"), *b = call_tensor(call, "mat2"), *out = call_tensor(call, "out");
    bool physical = b->format == ACL_FORMAT_FRACTAL_NZ && b->n_dims == 4;
    struct product p = {.m = a->n_dims >= 2 ? dim_from_end(a, 2) : 1, .k = dim_from_end(a, 1), .batches = 1};
    int64_t k = b->n_dims >= 2 ? dim_from_end(b, 2) : dim_from_end(b, 1);
    p.n = b->n_dims >= 2 ? dim_from_end(b, 1) : 1;
    if (physical) {
        p.n = dim_from_end(out, 1);
        bool holds = b->dims[1] == (p.k + 15) / 16 && b->dims[0] == (p.n + b->dims[3] - 1) / b->dims[3];
        k = holds ? p.k : -1;
    }
    p.fits = k == p.k;
    unsigned a_batch = a->n_dims > 2 ? a->n_dims - 2 : 0, b_batch = !physical && b->n_dims > 2 ? b->n_dims - 2 : 0;
    unsigned n_batch = a_batch > b_batch ? a_batch : b_batch, matrix_dims = (a->n_dims >= 2 ? 1u : 0u) + (b->n_dims >= 2 ? 1u : 0u);
    p.fits = p.fits && out->n_dims == n_batch + matrix_dims;
    for (unsigned i = 0; i < n_batch && p.fits; i++) {
        int64_t from_a = i + a_batch >= n_batch ? a->dims[i + a_batch - n_batch] : 1, from_b = i + b_batch >= n_batch ? b->dims[i + b_batch - n_batch] : 1;
        int64_t size = from_a == 1 ? from_b : from_a;
        p.fits = (from_a == 1 || from_b == 1 || from_a == from_b) && out->dims[i] == size;
        p.batches *= size;
    }
    if (p.fits && a->n_dims >= 2)
        p.fits = out->dims[n_batch] == p.m;
    if (p.fits && b->n_dims >= 2)
        p.fits = out->dims[out->n_dims - 1] == p.n;
    return p;
}

static int check_matmul_types(struct call *call)
{
    const struct tensor *a = call_tensor(call, "self"), *b = call_tensor(call, "mat2"), *out = call_tensor(call, "out");
    int64_t mode = call_integer(call, "cubeMathType");
    bool small = emulator_settings()->soc.family == SOC_310P;
    int result = check_type(a, "self", "f16 bf16 f32");
    if (!result)
        result = check_type(b, "mat2", "f16 bf16 f32");
    if (!result)
        result = check_type(out, "out", "f16 bf16 f32");
    if (result)
        return result;
    if (a->type != b->type && (a->type == ACL_BF16 || b->type == ACL_BF16))
        return fail(ACLNN_PARAM_INVALID, "self is %s and mat2 is %s; %s does not mix bf16 with another type", type_name(a->type), type_name(b->type),
                    emulator_settings()->soc.name);
    if (out->type != promote(a->type, b->type) && out->type != ACL_FLOAT)
        return fail(ACLNN_PARAM_INVALID, "out is %s for inputs %s and %s", type_name(out->type), type_name(a->type), type_name(b->type));
    if (mode < 0 || mode > 4)
        return fail(ACLNN_PARAM_INVALID, "cubeMathType is %lld; 0 to 4 is expected", (long long)mode);
    if (small && (a->type == ACL_FLOAT || b->type == ACL_FLOAT) && mode == 0)
        return fail(ACLNN_PARAM_INVALID, "%s has no fp32 product: pass cubeMathType 1, which computes in fp16", emulator_settings()->soc.name);
    if (call->row->detail != 2 && mode == 2 && a->type == ACL_BF16)
        return fail(ACLNN_PARAM_INVALID, "cubeMathType 2 (USE_FP16) with bf16");
    if (mode == 3 && (small || (call->row->detail != 2 && a->type != ACL_FLOAT)))
        return fail(ACLNN_PARAM_INVALID, "cubeMathType 3 (USE_HF32) is for fp32 inputs, and not on 310P");
    return 0;
}

static int check_matmul(struct call *call)
{
    const struct tensor *a = call_tensor(call, "self"), *b = call_tensor(call, "mat2");
    int which = call->row->detail;
    int result = check_matmul_types(call);
    if (result)
        return result;
    bool nz = b->format == ACL_FORMAT_FRACTAL_NZ;
    if (a->format == ACL_FORMAT_FRACTAL_NZ)
        return fail(ACLNN_PARAM_INVALID, "self is in FRACTAL_NZ; only mat2 may be");
    if ((which == 0 && (a->n_dims != 2 || (b->n_dims != 2 && !nz))) || (which == 2 && (a->n_dims != 3 || b->n_dims != 3)) || a->n_dims < 1 || a->n_dims > 6 ||
        b->n_dims < 1 || b->n_dims > 6)
        return fail(ACLNN_PARAM_INVALID, "self has %u and mat2 %u dimensions; %s is expected", a->n_dims, b->n_dims,
                    which == 0   ? "2 each"
                    : which == 2 ? "3 each"
                                 : "1 to 6 each");
    if (which == 3 && (!nz || a->n_dims != 2))
        return fail(ACLNN_PARAM_INVALID, "a 2-D self and a mat2 of format 29 (FRACTAL_NZ) are expected");
    struct product p = product_of(call);
    if (!p.fits)
        return fail(ACLNN_PARAM_INVALID, "the shapes do not fit: self gives m=%lld k=%lld, mat2 n=%lld; K, the batches and out must agree", (long long)p.m,
                    (long long)p.k, (long long)p.n);
    if (which == 3 && (p.k == 1 || p.n == 1))
        return fail(ACLNN_PARAM_INVALID, "k or n is 1, which FRACTAL_NZ weights do not allow");
    return 0;
}

static int64_t batch_offset(const struct tensor *tensor, const struct tensor *out, unsigned n_batch, int64_t batch)
{
    unsigned own = tensor->n_dims > 2 ? tensor->n_dims - 2 : 0;
    int64_t start = 0;
    for (unsigned i = n_batch; i-- > 0;) {
        int64_t index = batch % out->dims[i];
        batch /= out->dims[i];
        if (i + own >= n_batch && tensor->dims[i + own - n_batch] != 1)
            start += index * tensor->strides[i + own - n_batch];
    }
    return start;
}

static int compute_matmul(struct call *call)
{
    struct tensor *a = call_tensor(call, "self"), *b = call_tensor(call, "mat2"), *out = call_tensor(call, "out");
    struct product p = product_of(call);
    bool nz = b->format == ACL_FORMAT_FRACTAL_NZ;
    unsigned n_batch = out->n_dims - (a->n_dims >= 2 ? 1u : 0u) - (b->n_dims >= 2 ? 1u : 0u);
    for (int64_t batch = 0; batch < p.batches; batch++) {
        struct matrix left = matrix_of(a, p.m, p.k, false, batch_offset(a, out, n_batch, batch));
        struct matrix right = matrix_of(b, p.k, p.n, false, nz ? 0 : batch_offset(b, out, n_batch, batch));
        if (b->n_dims == 1) {
            right.row_stride = b->strides[0];
            right.column_stride = 0;
        }
        int64_t out_start = out->offset;
        int64_t rest = batch;
        for (unsigned i = n_batch; i-- > 0;) {
            out_start += rest % out->dims[i] * out->strides[i];
            rest /= out->dims[i];
        }
        int result = check_nz_buffer(call, &right, "mat2");
        if (!result)
            result = multiply(call, &left, &right, out, out_start);
        if (result)
            return result;
    }
    return 0;
}

static double matmul_operations(const struct call *call)
{
    struct product p = product_of(call);
    return 2.0 * (double)p.m * (double)p.k * (double)p.n * (double)p.batches;
}

static uint64_t matmul_workspace(const struct call *call)
{
    struct product p = product_of(call);
    return 16384 + (uint64_t)(p.m * p.n) * 4; /* room for partial sums */
}

const struct operator_implementation implementation_matmul = {check_matmul, compute_matmul, matmul_operations, matmul_workspace};

/* ---- ND to NZ, in place ---- */
static int check_weight_nz(struct call *call)
{
    const struct tensor *weight = call_tensor(call, "mmWeightRef");
    int result = check_type(weight, "mmWeightRef", "f16 bf16 i8");
    if (!result && weight->n_dims < 2)
        result = fail(ACLNN_PARAM_INVALID, "mmWeightRef has %u dimensions, at least 2 are expected", weight->n_dims);
    return result ? result : check_contiguous(weight, "mmWeightRef");
}

static int compute_weight_nz(struct call *call)
{
    struct tensor *weight = call_tensor(call, "mmWeightRef");
    int64_t rows = dim_from_end(weight, 2), columns = dim_from_end(weight, 1), batches = tensor_count(weight) / (rows * columns);
    size_t size = type_size(weight->type);
    int64_t bytes = nz_bytes(weight, rows, columns);
    char why[160];
    unsigned char *to, *copy = call_scratch(call, (size_t)tensor_count(weight) * size);
    if (!copy)
        return call_no_memory();
    struct block *block = memory_pin(call->device, weight->address + (uint64_t)weight->offset * size, (uint64_t)(bytes * batches), &to, why);
    if (!block)
        return fail(RT_AICORE_EXCEPTION, "mmWeightRef: the buffer must have the size that aclnnCalculateMatmulWeightSizeV2 gives: %s", why);
    memcpy(copy, to, (size_t)tensor_count(weight) * size);
    memset(to, 0, (size_t)(bytes * batches));
    struct tensor logical = *weight;
    logical.format = ACL_FORMAT_FRACTAL_NZ;
    for (int64_t b = 0; b < batches; b++) {
        struct matrix m = {.tensor = &logical, .rows = rows, .columns = columns, .nz = true, .c0 = 32 / (int64_t)size, .r1 = (rows + 15) / 16};
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++)
                memcpy(to + (size_t)b * (size_t)bytes + (size_t)nz_element(&m, r, c) * size, copy + (size_t)((b * rows + r) * columns + c) * size, size);
    }
    return memory_unpin(block) ? 0 : fail(RT_AICORE_EXCEPTION, "mmWeightRef was freed while it was converted");
}

const struct operator_implementation implementation_weight_nz = {.check = check_weight_nz, .compute = compute_weight_nz};

static int weight_size(const aclIntArray *handle, aclDataType type, uint64_t *elements)
{
    const struct array *shape = (const struct array *)(const void *)handle;
    if (!object_is(handle, OBJECT_INT_ARRAY))
        return object_refuse(handle, OBJECT_INT_ARRAY);
    if (!elements)
        return fail(ACLNN_PARAM_NULLPTR, "the out-pointer is NULL");
    if (shape->size < 2 || shape->size > 6 || !type_size(type))
        return fail(ACLNN_PARAM_INVALID, "the shape has %llu dimensions (2 to 6 are expected), type %d", (unsigned long long)shape->size, (int)type);
    int64_t c0 = 32 / (int64_t)type_size(type), count = (shape->integers[shape->size - 1] + c0 - 1) / c0 * c0;
    count *= (shape->integers[shape->size - 2] + 15) / 16 * 16;
    for (uint64_t i = 0; i + 2 < shape->size; i++)
        count *= shape->integers[i];
    *elements = (uint64_t)count;
    return 0;
}

EXPORT aclnnStatus aclnnCalculateMatmulWeightSize(const aclIntArray *shape, uint64_t *elements)
{
    ENTER();
    return weight_size(shape, ACL_FLOAT16, elements);
}

EXPORT aclnnStatus aclnnCalculateMatmulWeightSizeV2(const aclIntArray *shape, aclDataType dataType, uint64_t *elements)
{
    ENTER();
    return weight_size(shape, dataType, elements);
}

/* ---- int8 ---- */
static int check_dynamic_quant(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *y = call_tensor(call, "yOut"), *scale = call_tensor(call, "scaleOut");
    bool small = emulator_settings()->soc.family == SOC_310P;
    int result = check_type(x, "x", small ? "f16" : "f16 bf16");
    if (!result)
        result = check_type(y, "yOut", "i8");
    if (!result)
        result = check_type(scale, "scaleOut", "f32");
    if (!result)
        result = check_same_shape(x, "x", y, "yOut");
    if (!result && (x->n_dims < 2 || tensor_count(scale) * x->dims[x->n_dims - 1] != tensor_count(x)))
        result = fail(ACLNN_PARAM_INVALID, "x needs two dimensions or more, scaleOut one element for each row of x");
    if (!result && small && x->dims[x->n_dims - 1] % 32)
        result = fail(ACLNN_INNER_TILING, "the last axis must be a multiple of 32 on %s", emulator_settings()->soc.name);
    return result;
}

static int compute_dynamic_quant(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *smooth = call_tensor(call, "smoothScalesOptional");
    int64_t width = x->dims[x->n_dims - 1], rows = width ? tensor_count(x) / width : 0;
    float *values = floats_load(call, x), *factors = smooth ? floats_load(call, smooth) : NULL, *scales = call_scratch(call, (size_t)rows * sizeof *scales);
    if (!values || !scales || (smooth && !factors))
        return call_no_memory();
    for (int64_t r = 0; r < rows; r++) {
        float *row = values + r * width, largest = 0;
        for (int64_t i = 0; i < width; i++) {
            row[i] *= factors ? factors[i] : 1.0f;
            largest = fabsf(row[i]) > largest ? fabsf(row[i]) : largest;
        }
        float inverse = 127.0f / largest;
        for (int64_t i = 0; i < width; i++)
            row[i] = rintf(row[i] * inverse);
        scales[r] = 1.0f / inverse;
    }
    floats_store(call_tensor(call, "yOut"), values);
    floats_store(call_tensor(call, "scaleOut"), scales);
    return 0;
}

const struct operator_implementation implementation_dynamic_quant = {.check = check_dynamic_quant, .compute = compute_dynamic_quant};

struct quant_product {
    const struct tensor *x1, *x2, *scale, *token_scale, *bias, *out;
    int64_t m, k, n;
    bool transpose1, transpose2, fits;
};

static struct quant_product quant_of(const struct call *call)
{
    bool fourth = call->row->detail == 4;
    struct quant_product q = {.x1 = call_tensor(call, "x1"),
                              .x2 = call_tensor(call, "x2"),
                              .scale = call_tensor(call, fourth ? "scale" : "x2Scale"),
                              .token_scale = call_tensor(call, fourth ? "pertokenScaleOptional" : "x1Scale"),
                              .bias = call_tensor(call, "bias"),
                              .out = call_tensor(call, "out"),
                              .transpose1 = call_integer(call, "transposeX1") != 0,
                              .transpose2 = call_integer(call, "transposeX2") != 0};
    if (q.x1->n_dims != 2 || q.out->n_dims != 2)
        return q;
    q.m = q.x1->dims[q.transpose1];
    q.k = q.x1->dims[!q.transpose1];
    q.n = q.out->dims[1];
    q.fits = q.out->dims[0] == q.m;
    if (q.x2->n_dims == 2)
        q.fits = q.fits && q.x2->dims[q.transpose2] == q.k && q.x2->dims[!q.transpose2] == q.n;
    else
        q.fits = q.fits && q.x2->format == ACL_FORMAT_FRACTAL_NZ && q.x2->n_dims == 4 && q.x2->dims[0] == ((q.transpose2 ? q.k : q.n) + 31) / 32 &&
                 q.x2->dims[1] == ((q.transpose2 ? q.n : q.k) + 15) / 16;
    return q;
}

static int check_quant_types(const struct quant_product *q)
{
    aclDataType out = q->out->type, bias = q->bias ? q->bias->type : ACL_INT32;
    bool legal = (q->scale->type == ACL_FLOAT || (q->scale->type == ACL_BF16 && out != ACL_FLOAT16)) && (!q->token_scale || q->token_scale->type == ACL_FLOAT);
    if (out == ACL_BF16)
        legal = legal && (bias == ACL_INT32 || bias == ACL_BF16 || bias == ACL_FLOAT);
    else if (out == ACL_FLOAT16)
        legal = legal && q->token_scale && (bias == ACL_INT32 || bias == ACL_FLOAT16 || bias == ACL_FLOAT);
    else
        legal = legal && out == ACL_INT32 && bias == ACL_INT32;
    return legal
               ? 0
               : fail(ACLNN_PARAM_INVALID, "scale %s, per-token scale %s, bias %s, out %s are no legal row for int8 (or one the emulator does not have)",
                      type_name(q->scale->type), q->token_scale ? type_name(q->token_scale->type) : "none", q->bias ? type_name(bias) : "none", type_name(out));
}

static int check_quant_matmul(struct call *call)
{
    struct quant_product q = quant_of(call);
    static const char *const absent[] = {"offset", "yScale", "x1Offset", "x2Offset", "yOffset"};
    int result = check_type(q.x1, "x1", "i8");
    if (!result)
        result = check_type(q.x2, "x2", "i8");
    for (size_t i = 0; i < sizeof absent / sizeof *absent && !result; i++)
        if (call_tensor(call, absent[i]))
            result = fail(ACLNN_PARAM_INVALID, "the emulator does not have %s in this operator: pass NULL", absent[i]);
    if (!result)
        result = check_quant_types(&q);
    if (!result && !q.fits)
        result = fail(ACLNN_PARAM_INVALID, "x1 (m,k), x2 (k,n) or transposed or NZ, out (m,n) do not fit: m=%lld k=%lld n=%lld", (long long)q.m, (long long)q.k,
                      (long long)q.n);
    if (!result && (q.scale->n_dims != 1 || (q.scale->dims[0] != 1 && q.scale->dims[0] != q.n) || (q.token_scale && tensor_count(q.token_scale) != q.m) ||
                    (q.bias && tensor_count(q.bias) != q.n)))
        result = fail(ACLNN_PARAM_INVALID, "the scale must have 1 or n=%lld elements, the per-token scale m=%lld, the bias n", (long long)q.n, (long long)q.m);
    if (!result && call_integer(call, "groupSize"))
        result = fail(ACLNN_PARAM_INVALID, "groupSize must be 0 with one-dimensional scales");
    bool small = emulator_settings()->soc.family == SOC_310P;
    if (!result && small && (q.out->type != ACL_FLOAT16 || q.x2->format != ACL_FORMAT_FRACTAL_NZ || !q.transpose2 || q.transpose1))
        result = fail(ACLNN_PARAM_INVALID, "%s needs an fp16 output and x2 in FRACTAL_NZ with transposeX2", emulator_settings()->soc.name);
    return result;
}

static float finish_quantised(const struct quant_product *q, int32_t sum, int64_t row, int64_t column, const float *bias)
{
    float scale = (float)element_load(q->scale, element_at(q->scale, q->scale->dims[0] == 1 ? 0 : column));
    if (q->bias && q->bias->type == ACL_INT32)
        sum = (int32_t)((uint32_t)sum + (uint32_t)(int32_t)bias[column]);
    float value = (float)sum * scale;
    if (q->token_scale)
        value *= (float)element_load(q->token_scale, element_at(q->token_scale, row));
    return q->bias && q->bias->type != ACL_INT32 ? value + bias[column] : value;
}

static int compute_quant_matmul(struct call *call)
{
    struct quant_product q = quant_of(call);
    struct matrix a = matrix_of(q.x1, q.m, q.k, q.transpose1, 0), b = matrix_of(q.x2, q.k, q.n, q.transpose2, 0);
    int result = check_nz_buffer(call, &b, "x2");
    int8_t *left = call_scratch(call, (size_t)(q.m * q.k + 1)), *right = call_scratch(call, (size_t)(q.k + 1));
    float *bias = q.bias ? floats_load(call, q.bias) : NULL;
    if (result || !left || !right || (q.bias && !bias))
        return result ? result : call_no_memory();
    const int8_t *from1 = (const int8_t *)q.x1->data, *from2 = (const int8_t *)q.x2->data;
    for (int64_t i = 0; i < q.m * q.k; i++)
        left[i] = from1[matrix_element(&a, i / q.k, i % q.k)];
    for (int64_t c = 0; c < q.n; c++) {
        for (int64_t r = 0; r < q.k; r++)
            right[r] = from2[matrix_element(&b, r, c)];
        for (int64_t r = 0; r < q.m; r++) {
            int32_t sum = 0;
            for (int64_t i = 0; i < q.k; i++)
                sum += left[r * q.k + i] * right[i];
            int64_t at = element_at(q.out, r * q.n + c);
            if (q.out->type == ACL_INT32)
                element_store(q.out, at, sum + (bias ? (double)bias[c] : 0));
            else
                element_store(q.out, at, (double)finish_quantised(&q, sum, r, c, bias));
        }
    }
    return 0;
}

static double quant_operations(const struct call *call)
{
    struct quant_product q = quant_of(call);
    return (double)q.m * (double)q.k * (double)q.n; /* int8 runs at twice the fp16 rate */
}

static uint64_t quant_workspace(const struct call *call)
{
    struct quant_product q = quant_of(call);
    return 16384 + (uint64_t)(q.m * q.n) * 4;
}

const struct operator_implementation implementation_quant_matmul = {check_quant_matmul, compute_quant_matmul, quant_operations, quant_workspace};
