/* Matrix products as the cube unit does them: fp16, bf16 or fp32 inputs, fp32 sums, one rounding on the way out; the order of a sum depends on the shapes (see
 * dot). */
#include "operators/matrix.h"

#include <math.h>
#include <string.h>

#define COLUMNS 16 /* of the weight, converted at a time */

enum which { MATMUL_MM, MATMUL_ANY, MATMUL_BATCH, MATMUL_NZ, MATMUL_BATCH_NZ, MATMUL_VECTOR, MATMUL_ADD };

struct operands {
    struct tensor *a, *b, *out, *added; /* out = beta * added + alpha * a @ b */
};

static struct operands operands_of(const struct call *call)
{
    bool adds = call->row->detail == MATMUL_ADD;
    return (struct operands){.a = call_tensor(call, adds ? "mat1" : "self"),
                             .b = call_tensor(call, call->row->detail == MATMUL_VECTOR ? "vec" : "mat2"),
                             .out = call_tensor(call, "out"),
                             .added = adds ? call_tensor(call, "self") : NULL};
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
                floats_from(m->tensor->type, m->tensor->data + (size_t)matrix_element(m, r, first + c) * size, m->rows - r < m->c0 ? m->rows - r : m->c0,
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

/* One sum: `at` its element of out, `logical` its place in the rows x columns. */
static void store_product(const struct call *call, const struct operands *o, int64_t at, int64_t logical, float sum)
{
    if (o->added) {
        const struct tensor *t = o->added;
        unsigned d = t->n_dims;
        int64_t row = logical / o->out->dims[1], column = logical % o->out->dims[1], from = t->offset;
        from += d >= 2 && t->dims[d - 2] != 1 ? row * t->strides[d - 2] : 0;
        from += d >= 1 && t->dims[d - 1] != 1 ? column * t->strides[d - 1] : 0;
        sum = (float)call_real(call, "beta") * (float)element_load(t, from) + (float)call_real(call, "alpha") * sum;
    }
    element_store(o->out, at, (double)sum);
}

static int multiply(struct call *call, const struct matrix *a, const struct matrix *b, const struct operands *o, int64_t out_start)
{
    const struct tensor *out = o->out;
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
                store_product(call, o, out_start + r * row_stride + (first + c) * column_stride, r * n + first + c,
                              dot(left + r * k, right + c * k, k, call->order));
    }
    return 0;
}

static int check_matmul_types(struct call *call)
{
    struct operands o = operands_of(call);
    const struct tensor *a = o.a, *b = o.b, *out = o.out;
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
    if (call->row->detail != MATMUL_BATCH && call->row->detail != MATMUL_BATCH_NZ && mode == 2 && a->type == ACL_BF16)
        return fail(ACLNN_PARAM_INVALID, "cubeMathType 2 (USE_FP16) with bf16");
    if (mode == 3 && (small || (call->row->detail != MATMUL_BATCH && call->row->detail != MATMUL_BATCH_NZ && a->type != ACL_FLOAT)))
        return fail(ACLNN_PARAM_INVALID, "cubeMathType 3 (USE_HF32) is for fp32 inputs, and not on 310P");
    bool fractal = call->row->detail == MATMUL_NZ || call->row->detail == MATMUL_BATCH_NZ;
    if (fractal && emulator_settings()->soc.family == SOC_950 && (a->type == ACL_FLOAT || mode == 1 || mode == 3 || mode == 4))
        return fail(ACLNN_PARAM_INVALID, "%s takes no fp32 and no cubeMathType 1, 3 or 4 with FRACTAL_NZ weights", emulator_settings()->soc.name);
    if (o.added && o.added->type != out->type)
        return fail(ACLNN_PARAM_INVALID, "self is %s, out is %s", type_name(o.added->type), type_name(out->type));
    return 0;
}

static const struct ranks { /* dimensions, apart from the two more that a physical NZ view has */
    unsigned a_least, a_most, b_least, b_most;
    const char *text;
} ranks[] = {[MATMUL_MM] = {2, 2, 2, 2, "2 each"},
             [MATMUL_ANY] = {1, 6, 1, 6, "1 to 6 each"},
             [MATMUL_BATCH] = {3, 3, 3, 3, "3 each"},
             [MATMUL_NZ] = {2, 2, 2, 2, "2, and mat2 in FRACTAL_NZ"},
             [MATMUL_BATCH_NZ] = {3, 3, 3, 3, "3, and mat2 in FRACTAL_NZ"},
             [MATMUL_VECTOR] = {2, 2, 1, 1, "2 and 1"},
             [MATMUL_ADD] = {2, 2, 2, 2, "2 each"}};

static int check_added(const struct operands *o)
{
    const struct tensor *t = o->added;
    bool fits = t->n_dims <= 2;
    for (unsigned d = 0; fits && d < t->n_dims; d++)
        fits = t->dims[d] == 1 || t->dims[d] == o->out->dims[2 - t->n_dims + d];
    return fits ? 0 : fail(ACLNN_PARAM_INVALID, "self does not broadcast to out");
}

static int check_matmul(struct call *call)
{
    struct operands o = operands_of(call);
    int which = call->row->detail;
    const struct ranks *rank = &ranks[which];
    int result = check_matmul_types(call);
    if (result)
        return result;
    bool nz = o.b->format == ACL_FORMAT_FRACTAL_NZ;
    unsigned b_dims = o.b->n_dims - (matrix_is_physical(o.b) ? 2 : 0);
    if (o.a->format == ACL_FORMAT_FRACTAL_NZ)
        return fail(ACLNN_PARAM_INVALID, "self is in FRACTAL_NZ; only mat2 may be");
    if (o.a->n_dims < rank->a_least || o.a->n_dims > rank->a_most || b_dims < rank->b_least || b_dims > rank->b_most ||
        ((which == MATMUL_NZ || which == MATMUL_BATCH_NZ) && !nz))
        return fail(ACLNN_PARAM_INVALID, "self has %u and mat2 %u dimensions (format %d); %s is expected", o.a->n_dims, o.b->n_dims, (int)o.b->format,
                    rank->text);
    struct product p = product_of(o.a, o.b, o.out, false, false);
    if (!p.fits)
        return fail(ACLNN_PARAM_INVALID, "the shapes do not fit: self gives m=%lld k=%lld, mat2 n=%lld; K, the batches and out must agree", (long long)p.m,
                    (long long)p.k, (long long)p.n);
    if (nz && (p.k == 1 || p.n == 1))
        return fail(ACLNN_PARAM_INVALID, "k or n is 1, which FRACTAL_NZ weights do not allow");
    return o.added ? check_added(&o) : 0;
}

static int compute_matmul(struct call *call)
{
    struct operands o = operands_of(call);
    struct product p = product_of(o.a, o.b, o.out, false, false);
    unsigned own_a = o.a->n_dims > 2 ? o.a->n_dims - 2 : 0, own_b = o.b->n_dims > 2 ? o.b->n_dims - (matrix_is_physical(o.b) ? 4 : 2) : 0;
    for (int64_t batch = 0; batch < p.batches; batch++) {
        struct matrix left = matrix_of(o.a, p.m, p.k, false, product_batch_start(o.a, own_a, o.out, p.n_batch, batch));
        struct matrix right = matrix_of(o.b, p.k, p.n, false, product_batch_start(o.b, own_b, o.out, p.n_batch, batch));
        if (o.b->n_dims == 1) {
            right.row_stride = o.b->strides[0];
            right.column_stride = 0;
        }
        int result = matrix_check_buffer(call, &right, "mat2");
        if (!result)
            result = multiply(call, &left, &right, &o, o.out->offset + product_batch_start(o.out, p.n_batch, o.out, p.n_batch, batch));
        if (result)
            return result;
    }
    return 0;
}

static double matmul_operations(const struct call *call)
{
    struct operands o = operands_of(call);
    struct product p = product_of(o.a, o.b, o.out, false, false);
    return 2.0 * (double)p.m * (double)p.k * (double)p.n * (double)p.batches;
}

static uint64_t matmul_workspace(const struct call *call)
{
    struct operands o = operands_of(call);
    struct product p = product_of(o.a, o.b, o.out, false, false);
    return 16384 + (uint64_t)(p.m * p.n) * 4; /* room for partial sums */
}

const struct operator_implementation implementation_matmul = {
    .check = check_matmul, .compute = compute_matmul, .cube_operations = matmul_operations, .workspace = matmul_workspace, .transposes = true};
