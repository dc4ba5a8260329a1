/* Matrices in memory: strided or in FRACTAL_NZ, and the operators that turn one into the other. Weights in NZ are read at their physical places: whoever tags a
 * plain matrix as NZ gets the wrong numbers the chip would give. */
#include "operators/matrix.h"

#include <stdlib.h>
#include <string.h>

static int64_t c0_of(aclDataType type)
{
    return 256 / type_bits(type); /* 32 bytes */
}

static int64_t nz_element(const struct matrix *m, int64_t row, int64_t column)
{
    int64_t r = m->swapped ? column : row, c = m->swapped ? row : column;
    return m->start + (c / m->c0 * m->r1 + r / 16) * 16 * m->c0 + r % 16 * m->c0 + c % m->c0;
}

int64_t matrix_element(const struct matrix *m, int64_t row, int64_t column)
{
    return m->nz ? nz_element(m, row, column) : m->start + row * m->row_stride + column * m->column_stride;
}

struct matrix matrix_of(const struct tensor *tensor, int64_t rows, int64_t columns, bool transposed, int64_t start)
{
    struct matrix m = {.tensor = tensor, .rows = rows, .columns = columns, .start = tensor->offset + start, .nz = tensor->format == ACL_FORMAT_FRACTAL_NZ};
    unsigned n = tensor->n_dims;
    int64_t first = n >= 2 ? tensor->strides[n - 2] : 0, second = n ? tensor->strides[n - 1] : 0;
    m.row_stride = transposed ? second : first;
    m.column_stride = transposed ? first : second;
    if (m.nz) {
        bool swapped_view = n >= 2 && !matrix_is_physical(tensor) && first == 1 && second != 1;
        m.swapped = transposed != swapped_view;
        m.c0 = c0_of(tensor->type);
        m.r1 = ((m.swapped ? columns : rows) + 15) / 16;
    }
    return m;
}

void matrix_column_int8(const struct matrix *m, int64_t column, int8_t *to)
{
    const struct tensor *t = m->tensor;
    int64_t run = m->nz && m->swapped ? m->c0 : !m->nz && m->row_stride == 1 ? m->rows : 1; /* elements along the column that lie side by side */
    for (int64_t r = 0; r < m->rows; r += run) {
        int64_t count = m->rows - r < run ? m->rows - r : run, at = matrix_element(m, r, column);
        if (t->type == ACL_INT8)
            memcpy(to + r, t->data + at, (size_t)count);
        else
            for (int64_t i = 0; i < count; i++)
                to[r + i] = (int8_t)element_whole(t, at + i);
    }
}

int64_t matrix_nz_elements(aclDataType type, int64_t rows, int64_t columns)
{
    int64_t c0 = c0_of(type);
    return (rows + 15) / 16 * 16 * ((columns + c0 - 1) / c0 * c0);
}

bool matrix_is_physical(const struct tensor *tensor)
{
    unsigned n = tensor->n_dims;
    return tensor->format == ACL_FORMAT_FRACTAL_NZ && n >= 4 && tensor->dims[n - 2] == 16 && tensor->dims[n - 1] == c0_of(tensor->type) &&
           tensor->n_storage == n;
}

int matrix_check_buffer(const struct call *call, const struct matrix *m, const char *name)
{
    char why[160];
    unsigned char *contents;
    if (!m->nz)
        return 0;
    int64_t elements = m->start + matrix_nz_elements(m->tensor->type, m->swapped ? m->columns : m->rows, m->swapped ? m->rows : m->columns);
    struct block *block = memory_pin(call->device, m->tensor->address, (uint64_t)(elements * type_bits(m->tensor->type) + 7) / 8, &contents, why);
    if (!block)
        return fail(RT_AICORE_EXCEPTION, "argument %s (FRACTAL_NZ): %s", name, why);
    memory_unpin(block);
    return 0;
}

static int64_t dim_from_end(const struct tensor *tensor, unsigned from_end)
{
    return tensor->n_dims >= from_end ? tensor->dims[tensor->n_dims - from_end] : 1;
}

/* k and n of b (rows x columns after transposition); k is -1 when a physical NZ view does not hold them. */
static void right_sizes(const struct tensor *b, const struct tensor *out, bool transposed, struct product *p, int64_t *k)
{
    if (matrix_is_physical(b)) {
        p->n = dim_from_end(out, 1);
        int64_t rows = transposed ? p->n : p->k, columns = transposed ? p->k : p->n, c0 = c0_of(b->type);
        bool holds = tensor_end(b, 3) == (rows + 15) / 16 && tensor_end(b, 4) == (columns + c0 - 1) / c0;
        *k = holds ? p->k : -1;
        return;
    }
    *k = b->n_dims >= 2 ? dim_from_end(b, transposed ? 1 : 2) : dim_from_end(b, 1);
    p->n = b->n_dims >= 2 ? dim_from_end(b, transposed ? 2 : 1) : 1;
}

struct product product_of(const struct tensor *a, const struct tensor *b, const struct tensor *out, bool transpose_a, bool transpose_b)
{
    bool physical = matrix_is_physical(b);
    struct product p = {.batches = 1};
    int64_t k;
    p.m = a->n_dims >= 2 ? dim_from_end(a, transpose_a ? 1 : 2) : 1;
    p.k = a->n_dims >= 2 ? dim_from_end(a, transpose_a ? 2 : 1) : dim_from_end(a, 1);
    right_sizes(b, out, transpose_b, &p, &k);
    unsigned a_batch = a->n_dims > 2 ? a->n_dims - 2 : 0, b_batch = b->n_dims > 2 ? b->n_dims - (physical ? 4 : 2) : 0;
    unsigned matrix_dims = (a->n_dims >= 2 ? 1u : 0u) + (b->n_dims >= 2 ? 1u : 0u);
    p.n_batch = a_batch > b_batch ? a_batch : b_batch;
    p.fits = k == p.k && out->n_dims == p.n_batch + matrix_dims;
    for (unsigned i = 0; i < p.n_batch && p.fits; i++) {
        int64_t from_a = i + a_batch >= p.n_batch ? a->dims[i + a_batch - p.n_batch] : 1;
        int64_t from_b = i + b_batch >= p.n_batch ? b->dims[i + b_batch - p.n_batch] : 1;
        int64_t size = from_a == 1 ? from_b : from_a;
        p.fits = (from_a == 1 || from_b == 1 || from_a == from_b) && out->dims[i] == size;
        p.batches *= size;
    }
    if (p.fits && a->n_dims >= 2)
        p.fits = out->dims[p.n_batch] == p.m;
    if (p.fits && b->n_dims >= 2)
        p.fits = tensor_end(out, 1) == p.n;
    return p;
}

int64_t product_batch_start(const struct tensor *tensor, unsigned own, const struct tensor *out, unsigned n_batch, int64_t batch)
{
    int64_t start = 0, stored = 0;
    if (tensor->format == ACL_FORMAT_FRACTAL_NZ && own) /* a batch entry's storage, padding included */
        stored = matrix_is_physical(tensor) ? tensor->strides[own - 1] : matrix_nz_elements(tensor->type, dim_from_end(tensor, 2), dim_from_end(tensor, 1));
    for (unsigned i = n_batch; i-- > 0;) {
        int64_t index = batch % out->dims[i];
        batch /= out->dims[i];
        if (i + own < n_batch)
            continue;
        unsigned d = i + own - n_batch;
        if (tensor->dims[d] != 1)
            start += index * (stored ? stored : tensor->strides[d]);
        stored *= stored ? tensor->dims[d] : 1;
    }
    return start;
}

/* ---- ND to NZ, in place ---- */
static int check_weight_nz(struct call *call)
{
    const struct tensor *weight = call_tensor(call, "mmWeightRef");
    int result = check_type(weight, "mmWeightRef", "f16 bf16 i8");
    if (!result && (weight->n_dims < 2 || weight->n_dims > 6 || weight->format == ACL_FORMAT_FRACTAL_NZ))
        result = fail(ACLNN_PARAM_INVALID, "mmWeightRef has %u dimensions and format %d; 2 to 6 and ND are expected", weight->n_dims, (int)weight->format);
    return result ? result : check_contiguous(weight, "mmWeightRef");
}

/* `batches` matrices of rows x columns, ND, from `from` to NZ at `to`. */
static void to_fractals(aclDataType type, int64_t batches, int64_t rows, int64_t columns, const unsigned char *from, unsigned char *to)
{
    size_t size = type_size(type);
    int64_t stored = matrix_nz_elements(type, rows, columns);
    struct matrix m = {.rows = rows, .columns = columns, .nz = true, .c0 = c0_of(type), .r1 = (rows + 15) / 16};
    memset(to, 0, (size_t)(stored * batches) * size);
    for (int64_t b = 0; b < batches; b++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c += m.c0) {
                int64_t run = columns - c < m.c0 ? columns - c : m.c0;
                memcpy(to + (size_t)(b * stored + nz_element(&m, r, c)) * size, from + (size_t)((b * rows + r) * columns + c) * size, (size_t)run * size);
            }
}

static int compute_weight_nz(struct call *call)
{
    struct tensor *weight = call_tensor(call, "mmWeightRef");
    int64_t rows = dim_from_end(weight, 2), columns = dim_from_end(weight, 1), batches = tensor_count(weight) / (rows * columns);
    size_t size = type_size(weight->type);
    uint64_t bytes = (uint64_t)(matrix_nz_elements(weight->type, rows, columns) * batches) * size;
    char why[160];
    unsigned char *to, *copy = call_scratch(call, (size_t)tensor_count(weight) * size);
    if (!copy)
        return call_no_memory();
    struct block *block = memory_pin(call->device, weight->address + (uint64_t)weight->offset * size, bytes, &to, why);
    if (!block)
        return fail(RT_AICORE_EXCEPTION, "mmWeightRef: the buffer must have the size that aclnnCalculateMatmulWeightSizeV2 gives: %s", why);
    memcpy(copy, to, (size_t)tensor_count(weight) * size);
    to_fractals(weight->type, batches, rows, columns, copy, to);
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
    int64_t count = matrix_nz_elements(type, shape->integers[shape->size - 2], shape->integers[shape->size - 1]);
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

/* ---- ND to NZ and back, into another buffer ---- */
static int check_format_cast(struct call *call)
{
    const struct tensor *from = call_tensor(call, "srcTensor"), *to = call_tensor(call, "dstTensor");
    bool to_nz = from->format != ACL_FORMAT_FRACTAL_NZ && to->format == ACL_FORMAT_FRACTAL_NZ;
    bool back = from->format == ACL_FORMAT_FRACTAL_NZ && to->format != ACL_FORMAT_FRACTAL_NZ;
    const struct tensor *plain = back ? to : from, *fractal = back ? from : to;
    int result = check_type(from, "srcTensor", "f16 bf16 f32 i8 i32");
    if (!result && (to->type != from->type || (!to_nz && !back)))
        result = fail(ACLNN_RUNTIME_ERROR, "%s of format %d to %s of format %d: ND to FRACTAL_NZ (29) or back in one type is expected", type_name(from->type),
                      (int)from->format, type_name(to->type), (int)to->format);
    if (!result && (plain->n_dims < 2 || plain->n_dims > 6))
        result = fail(ACLNN_PARAM_INVALID, "the ND tensor has %u dimensions; 2 to 6 are expected", plain->n_dims);
    int64_t stored = 1, needed = result ? 0 : matrix_nz_elements(plain->type, dim_from_end(plain, 2), dim_from_end(plain, 1));
    for (unsigned d = 0; d < fractal->n_storage; d++)
        stored *= fractal->storage[d];
    for (unsigned d = 0; !result && d + 2 < plain->n_dims; d++)
        needed *= plain->dims[d];
    if (!result && (fractal->n_storage < 4 || stored != needed))
        result = fail(ACLNN_PARAM_INVALID, "the NZ tensor stores %lld elements in %u dimensions; %lld in at least 4 are expected", (long long)stored,
                      fractal->n_storage, (long long)needed);
    return result ? result : check_contiguous(plain, back ? "dstTensor" : "srcTensor");
}

static int compute_format_cast(struct call *call)
{
    const struct tensor *from = call_tensor(call, "srcTensor"), *to = call_tensor(call, "dstTensor");
    bool back = from->format == ACL_FORMAT_FRACTAL_NZ;
    const struct tensor *plain = back ? to : from;
    int64_t rows = dim_from_end(plain, 2), columns = dim_from_end(plain, 1), batches = tensor_count(plain) / (rows * columns);
    int64_t stored = matrix_nz_elements(plain->type, rows, columns);
    size_t size = type_size(plain->type);
    if (!back) {
        to_fractals(plain->type, batches, rows, columns, from->data + (size_t)from->offset * size, to->data + (size_t)to->offset * size);
        return 0;
    }
    struct matrix m = {.rows = rows, .columns = columns, .nz = true, .c0 = c0_of(plain->type), .r1 = (rows + 15) / 16};
    for (int64_t i = 0; i < tensor_count(plain); i++) {
        int64_t inside = i % (rows * columns), at = from->offset + i / (rows * columns) * stored + nz_element(&m, inside / columns, inside % columns);
        memcpy(to->data + (size_t)(to->offset + i) * size, from->data + (size_t)at * size, size);
    }
    return 0;
}

const struct operator_implementation implementation_format_cast = {.check = check_format_cast, .compute = compute_format_cast};

EXPORT aclnnStatus aclnnNpuFormatCastCalculateSizeAndFormat(const aclTensor *source, int dstFormat, int additionalDtype, int64_t **dstShape,
                                                            uint64_t *dstShapeSize, int *actualFormat)
{
    ENTER();
    if (!source || !dstShape || !dstShapeSize || !actualFormat)
        return fail(ACLNN_PARAM_NULLPTR, "srcTensor or an out-pointer is NULL");
    if (!object_is(source, OBJECT_TENSOR))
        return object_refuse(source, OBJECT_TENSOR);
    const struct tensor *from = &source->tensor;
    aclDataType type = additionalDtype < 0 ? from->type : (aclDataType)additionalDtype;
    if (dstFormat != ACL_FORMAT_FRACTAL_NZ || from->n_dims < 2 || from->n_dims > 6 || !type_size(type))
        return fail(ACLNN_RUNTIME_ERROR, "format %d of %u dimensions: FRACTAL_NZ (29) of 2 to 6 is expected", dstFormat, from->n_dims);
    int64_t *shape = malloc((from->n_dims + 2) * sizeof *shape), c0 = c0_of(type);
    if (!shape)
        return fail(RT_INTERNAL_ERROR, "no host memory for a shape");
    memcpy(shape, from->dims, (from->n_dims - 2) * sizeof *shape);
    int64_t *end = shape + from->n_dims - 2;
    end[0] = (dim_from_end(from, 1) + c0 - 1) / c0;
    end[1] = (dim_from_end(from, 2) + 15) / 16;
    end[2] = 16;
    end[3] = c0;
    *dstShape = shape;
    *dstShapeSize = from->n_dims + 2;
    *actualFormat = ACL_FORMAT_FRACTAL_NZ;
    return 0;
}
