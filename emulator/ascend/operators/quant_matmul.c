/* int8 (and int4) products: exact int32 sums, then scales in fp32, bias, one rounding. A u64 scale is what TransQuantParamV2 packs: fp32 without its lower 13
 * bits, and a 9-bit offset. Which types go together is a table of rows for each chip. */
#include "operators/matrix.h"

#include <math.h>

static const struct legal {
    unsigned chips;
    const char *x, *scale, *offset, *bias, *token, *out; /* "-": absent */
} legal_rows[] = {
    {SOC_ALL, "i8", "u64 i64", "-", "- i32", "-", "f16"},
    {SOC_ALL, "i8", "u64 i64", "- f32", "- i32", "-", "i8"},
    {SOC_310P, "i8", "f32", "-", "- i32", "f32", "f16"},
    {SOC_ALL & ~SOC_310P, "i8", "f32 bf16", "-", "- i32 bf16 f32", "- f32", "bf16"},
    {SOC_ALL & ~SOC_310P, "i8", "f32", "-", "- i32 f16 f32", "f32", "f16"},
    {SOC_ALL & ~SOC_310P, "i8", "f32 bf16", "-", "- i32", "-", "i32"},
    {SOC_ALL & ~SOC_310P, "i4", "u64 i64", "-", "- i32", "-", "f16"},
    {SOC_ALL & ~SOC_310P, "i4", "f32 bf16", "-", "- i32 bf16 f32", "f32", "bf16"},
    {SOC_ALL & ~SOC_310P, "i4", "f32", "-", "- i32 f16 f32", "f32", "f16"},
    {SOC_950, "i8", "u64 i64", "-", "- i32", "-", "bf16"},
};

#define GROUP 128 /* of the blockwise form: scales for 1 x 128 of x1 and 128 x 128 of x2 */

struct quant_product {
    struct tensor x1, x2; /* int8 or int4; INT32-packed ones seen as int4 */
    const struct tensor *scale, *offset, *token_scale, *bias, *out;
    struct product p;
    bool transpose1, transpose2, blockwise;
};

static bool type_among(const struct tensor *tensor, const char *types)
{
    return type_listed(types, tensor ? type_name(tensor->type) : "-");
}

static struct quant_product quant_of(const struct call *call)
{
    bool older = call->row->detail <= 4;
    struct quant_product q = {.x1 = tensor_as_int4(call_tensor(call, "x1")),
                              .x2 = tensor_as_int4(call_tensor(call, "x2")),
                              .scale = call_tensor(call, older ? "scale" : "x2Scale"),
                              .offset = call_tensor(call, older ? "offset" : "x2Offset"),
                              .token_scale = call_tensor(call, older ? "pertokenScaleOptional" : "x1Scale"),
                              .bias = call_tensor(call, "bias"),
                              .out = call_tensor(call, "out"),
                              .transpose1 = call_integer(call, "transposeX1") != 0,
                              .transpose2 = call_integer(call, "transposeX2") != 0};
    q.p = product_of(&q.x1, &q.x2, q.out, q.transpose1, q.transpose2);
    q.blockwise = !older && q.scale->n_dims == 2 && q.token_scale && q.token_scale->n_dims == 2;
    return q;
}

static int check_types(const struct quant_product *q)
{
    unsigned chip = emulator_settings()->soc.family;
    for (size_t i = 0; i < sizeof legal_rows / sizeof *legal_rows; i++) {
        const struct legal *row = &legal_rows[i];
        if (row->chips & chip && type_among(&q->x1, row->x) && type_among(&q->x2, row->x) && type_among(q->scale, row->scale) &&
            type_among(q->offset, row->offset) && type_among(q->bias, row->bias) && type_among(q->token_scale, row->token) && type_among(q->out, row->out))
            return 0;
    }
    return fail(ACLNN_PARAM_INVALID, "x1 %s, x2 %s, scale %s, offset %s, bias %s, per-token scale %s, out %s: no legal row of %s", type_name(q->x1.type),
                type_name(q->x2.type), type_name(q->scale->type), q->offset ? type_name(q->offset->type) : "none", q->bias ? type_name(q->bias->type) : "none",
                q->token_scale ? type_name(q->token_scale->type) : "none", type_name(q->out->type), emulator_settings()->soc.name);
}

static int check_small_chip(const struct call *call, const struct quant_product *q)
{
    bool nz = q->x2.format == ACL_FORMAT_FRACTAL_NZ, newer = call->row->detail >= 5;
    if (emulator_settings()->soc.family != SOC_310P)
        return 0;
    if ((nz && !q->transpose2) || (q->token_scale && (!nz || !q->transpose2)) || (newer && (q->transpose1 || !q->transpose2)))
        return fail(ACLNN_PARAM_INVALID, "%s takes x2 transposed in FRACTAL_NZ (from TransMatmulWeight), and with a per-token scale nothing else",
                    emulator_settings()->soc.name);
    return 0;
}

static bool is_vector(const struct tensor *tensor, int64_t count)
{
    return tensor->n_dims == 1 && (tensor->dims[0] == 1 || tensor->dims[0] == count);
}

static int check_vectors(const struct quant_product *q)
{
    int64_t m = q->p.m, n = q->p.n;
    if (!is_vector(q->scale, n) || (q->offset && !is_vector(q->offset, n)))
        return fail(ACLNN_PARAM_INVALID, "the scale (and offset) must have one dimension of 1 or n=%lld", (long long)n);
    if (q->token_scale && (q->token_scale->n_dims != 1 || q->token_scale->dims[0] != m))
        return fail(ACLNN_PARAM_INVALID, "the per-token scale must have one dimension of m=%lld", (long long)m);
    bool by_batch =
        q->bias && q->bias->n_dims == 3 && q->out->n_dims == 3 && q->bias->dims[0] == q->out->dims[0] && q->bias->dims[1] == 1 && q->bias->dims[2] == n;
    if (q->bias && !by_batch && (q->bias->n_dims != 1 || q->bias->dims[0] != n))
        return fail(ACLNN_PARAM_INVALID, "the bias must be (n), or (batch,1,n) with a 3-D out; n=%lld", (long long)n);
    bool wide_scale = q->scale->type == ACL_UINT64 || q->scale->type == ACL_INT64 || q->x1.type == ACL_INT4;
    int64_t last1 = tensor_end(&q->x1, 1), last2 = matrix_is_physical(&q->x2) ? 0 : tensor_end(&q->x2, 1);
    if (wide_scale && (last1 > 65535 || last2 > 65535))
        return fail(ACLNN_PARAM_INVALID, "the last dimension of x1 or x2 is above 65,535");
    return 0;
}

static int check_blockwise(const struct call *call, const struct quant_product *q)
{
    int64_t sizes = call_integer(call, "groupSize"), k = q->p.k, n = q->p.n;
    int64_t of_k = sizes & 0xFFFF, of_n = sizes >> 16 & 0xFFFF, of_m = sizes >> 32 & 0xFFFF;
    bool groups = (!of_k || of_k == GROUP) && (!of_n || of_n == GROUP) && of_m <= 1;
    bool types = q->x1.type == ACL_INT8 && q->scale->type == ACL_FLOAT && q->token_scale->type == ACL_FLOAT && q->out->type == ACL_BF16 &&
                 (!q->bias || q->bias->type == ACL_FLOAT) && !q->offset;
    bool shapes = k % 512 == 0 && n % 256 == 0 && q->transpose2 && !q->transpose1 && q->p.n_batch == 0 && q->token_scale->dims[0] == q->p.m &&
                  q->token_scale->dims[1] == k / GROUP && q->scale->dims[0] == n / GROUP && q->scale->dims[1] == k / GROUP;
    if (emulator_settings()->soc.family & ~(unsigned)(SOC_A2 | SOC_A3) || !groups || !types || !shapes)
        return fail(ACLNN_PARAM_INVALID,
                    "two-dimensional scales take int8 with f32 scales (m,k/128) and (n/128,k/128), groups [1,128,128], k a multiple of 512, n of "
                    "256, x2 transposed, bf16 out; on A2 and A3");
    return 0;
}

static int check_quant_matmul(struct call *call)
{
    struct quant_product q = quant_of(call);
    static const char *const absent[] = {"yScale", "x1Offset", "yOffset"};
    bool packed = call_tensor(call, "x1")->type == ACL_INT32 || call_tensor(call, "x2")->type == ACL_INT32;
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (call_tensor(call, absent[i]))
            return fail(ACLNN_PARAM_INVALID, "the emulator does not have %s in this operator: pass NULL", absent[i]);
    if (packed && emulator_settings()->soc.family == SOC_950)
        return fail(ACLNN_PARAM_INVALID, "%s does not take int4 packed in i32", emulator_settings()->soc.name);
    if (!q.p.fits)
        return fail(ACLNN_PARAM_INVALID, "x1 (batch, m,k), x2 (batch, k,n) or transposed or NZ, out (batch, m,n) do not fit: m=%lld k=%lld n=%lld",
                    (long long)q.p.m, (long long)q.p.k, (long long)q.p.n);
    if (call->row->detail == 6 && q.x2.format != ACL_FORMAT_FRACTAL_NZ)
        return fail(ACLNN_PARAM_INVALID, "x2 has format %d; FRACTAL_NZ (29) is expected", (int)q.x2.format);
    if (q.x1.format == ACL_FORMAT_FRACTAL_NZ)
        return fail(ACLNN_PARAM_INVALID, "x1 is in FRACTAL_NZ; only x2 may be");
    if (q.blockwise)
        return check_blockwise(call, &q);
    int result = check_types(&q);
    if (!result && q.x1.type == ACL_INT4 && (q.transpose1 || q.p.k % 2 || (q.bias && q.bias->n_dims != 1)))
        result = fail(ACLNN_PARAM_INVALID, "int4 takes no transposed x1, an even k and a one-dimensional bias");
    if (!result && call_integer(call, "groupSize"))
        result = fail(ACLNN_PARAM_INVALID, "groupSize must be 0 with one-dimensional scales");
    if (!result)
        result = check_vectors(&q);
    return result ? result : check_small_chip(call, &q);
}

struct scaling { /* of column c: value * scale + offset */
    float *scales, *offsets, *tokens, *bias;
};

static bool load_scaling(struct call *call, const struct quant_product *q, struct scaling *s)
{
    int64_t n = q->p.n;
    s->scales = call_scratch(call, (size_t)n * sizeof *s->scales);
    s->offsets = call_scratch(call, (size_t)n * sizeof *s->offsets);
    s->tokens = q->token_scale ? floats_load(call, q->token_scale) : NULL;
    s->bias = q->bias ? floats_load(call, q->bias) : NULL;
    if (!s->scales || !s->offsets || (q->token_scale && !s->tokens) || (q->bias && !s->bias))
        return false;
    for (int64_t c = 0; c < n && !q->blockwise; c++) {
        int64_t at = element_at(q->scale, q->scale->dims[0] == 1 ? 0 : c);
        s->offsets[c] = q->offset ? (float)element_load(q->offset, element_at(q->offset, q->offset->dims[0] == 1 ? 0 : c)) : 0;
        if (q->scale->type != ACL_UINT64 && q->scale->type != ACL_INT64) {
            s->scales[c] = (float)element_load(q->scale, at);
            continue;
        }
        uint64_t packed = (uint64_t)element_whole(q->scale, at);
        int32_t nine = (int32_t)(packed >> 37 & 0x1FF);
        s->scales[c] = scale_unpack(packed);
        s->offsets[c] += q->out->type == ACL_INT8 ? (float)(nine >= 256 ? nine - 512 : nine) : 0;
    }
    return true;
}

static void store_quantised(const struct quant_product *q, const struct scaling *s, int64_t at, int32_t sum, int64_t row, int64_t column, int64_t bias_at)
{
    bool whole_bias = q->bias && q->bias->type == ACL_INT32;
    if (whole_bias)
        sum = (int32_t)((uint32_t)sum + (uint32_t)(int32_t)s->bias[bias_at]);
    if (q->out->type == ACL_INT32) {
        element_store(q->out, at, sum);
        return;
    }
    float value = (float)sum * s->scales[column] + s->offsets[column];
    if (s->tokens)
        value *= s->tokens[row];
    if (q->bias && !whole_bias)
        value += s->bias[bias_at];
    element_store(q->out, at, q->out->type == ACL_INT8 ? (double)rintf(value) : (double)value);
}

static float sum_blocks(const struct quant_product *q, const struct scaling *s, const int8_t *left, const int8_t *right, int64_t row, int64_t column)
{
    int64_t groups = q->p.k / GROUP;
    float total = 0;
    for (int64_t g = 0; g < groups; g++) {
        total += (float)dot_int8(left + g * GROUP, right + g * GROUP, GROUP) * s->tokens[row * groups + g] *
                 (float)element_load(q->scale, element_at(q->scale, column / GROUP * groups + g));
    }
    return q->bias ? total + s->bias[column] : total;
}

static int compute_batch(struct call *call, const struct quant_product *q, const struct scaling *s, int64_t batch)
{
    const struct product *p = &q->p;
    unsigned own1 = q->x1.n_dims - 2, own2 = q->x2.n_dims - (matrix_is_physical(&q->x2) ? 4 : 2);
    struct matrix a = matrix_of(&q->x1, p->m, p->k, q->transpose1, product_batch_start(&q->x1, own1, q->out, p->n_batch, batch));
    struct matrix b = matrix_of(&q->x2, p->k, p->n, q->transpose2, product_batch_start(&q->x2, own2, q->out, p->n_batch, batch));
    int result = matrix_check_buffer(call, &b, "x2");
    int8_t *left = call_scratch(call, (size_t)(p->m * p->k + 1)), *right = call_scratch(call, (size_t)(p->k + 1));
    if (result || !left || !right)
        return result ? result : call_no_memory();
    struct matrix rows = a; /* rows of x1 are columns of its transpose */
    rows.rows = a.columns;
    rows.columns = a.rows;
    rows.row_stride = a.column_stride;
    rows.column_stride = a.row_stride;
    for (int64_t r = 0; r < p->m; r++)
        matrix_column_int8(&rows, r, left + r * p->k);
    for (int64_t c = 0; c < p->n; c++) {
        matrix_column_int8(&b, c, right);
        for (int64_t r = 0; r < p->m; r++) {
            int64_t at = element_at(q->out, (batch * p->m + r) * p->n + c), bias_at = q->bias && q->bias->n_dims == 3 ? batch * p->n + c : c;
            if (q->blockwise)
                element_store(q->out, at, (double)sum_blocks(q, s, left + r * p->k, right, r, c));
            else
                store_quantised(q, s, at, dot_int8(left + r * p->k, right, p->k), r, c, bias_at);
        }
    }
    return 0;
}

static int compute_quant_matmul(struct call *call)
{
    struct quant_product q = quant_of(call);
    struct scaling s;
    if (!load_scaling(call, &q, &s))
        return call_no_memory();
    int result = 0;
    for (int64_t batch = 0; batch < q.p.batches && !result; batch++)
        result = compute_batch(call, &q, &s, batch);
    return result;
}

static double quant_operations(const struct call *call)
{
    struct quant_product q = quant_of(call);
    return (double)q.p.m * (double)q.p.k * (double)q.p.n * (double)q.p.batches; /* int8 runs at twice the fp16 rate */
}

static uint64_t quant_workspace(const struct call *call)
{
    struct quant_product q = quant_of(call);
    return 16384 + (uint64_t)(q.p.m * q.p.n) * 4;
}

const struct operator_implementation implementation_quant_matmul = {.check = check_quant_matmul,
                                                                    .compute = compute_quant_matmul,
                                                                    .cube_operations = quant_operations,
                                                                    .workspace = quant_workspace,
                                                                    .transposes = true,
                                                                    .int4 = true};
