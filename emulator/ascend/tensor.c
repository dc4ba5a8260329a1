/* Tensors, scalars, arrays and lists: descriptions the caller makes on the host. Creation copies everything; a list keeps its elements and destroys them. */
#include "operator.h"

#include <stdlib.h>
#include <string.h>

size_t type_size(aclDataType type)
{
    switch ((int)type) {
    case ACL_INT8:
    case ACL_UINT8:
    case ACL_BOOL:
    case ACL_INT4:
    case 35:
    case 36: return 1;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
    case ACL_UINT16: return 2;
    case ACL_FLOAT:
    case ACL_INT32:
    case ACL_UINT32: return 4;
    case ACL_INT64:
    case ACL_UINT64:
    case ACL_DOUBLE: return 8;
    default: return 0;
    }
}

int type_bits(aclDataType type)
{
    return type == ACL_INT4 ? 4 : 8 * (int)type_size(type);
}

const char *type_name(aclDataType type)
{
    static const struct {
        int type;
        const char *name;
    } names[] = {{ACL_FLOAT, "f32"}, {ACL_FLOAT16, "f16"}, {ACL_BF16, "bf16"},  {ACL_DOUBLE, "f64"}, {ACL_INT8, "i8"},
                 {ACL_UINT8, "u8"},  {ACL_INT16, "i16"},   {ACL_UINT16, "u16"}, {ACL_INT32, "i32"},  {ACL_UINT32, "u32"},
                 {ACL_INT64, "i64"}, {ACL_UINT64, "u64"},  {ACL_BOOL, "bool"},  {ACL_INT4, "i4"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].type == (int)type)
            return names[i].name;
    return "unknown type";
}

bool type_is_float(aclDataType type)
{
    return type == ACL_FLOAT || type == ACL_FLOAT16 || type == ACL_BF16 || type == ACL_DOUBLE;
}

int64_t tensor_count(const struct tensor *tensor)
{
    int64_t count = 1;
    for (unsigned i = 0; i < tensor->n_dims; i++)
        count *= tensor->dims[i];
    return count;
}

bool tensor_is_contiguous(const struct tensor *tensor)
{
    int64_t expected = 1;
    for (unsigned i = tensor->n_dims; i-- > 0;) {
        if (tensor->dims[i] != 1 && tensor->strides[i] != expected)
            return false;
        expected *= tensor->dims[i];
    }
    return true;
}

bool tensor_is_transposed(const struct tensor *tensor)
{
    struct tensor swapped = *tensor;
    if (tensor->n_dims < 2)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        swapped.dims[tensor->n_dims - 1 - i] = tensor->dims[tensor->n_dims - 2 + i];
        swapped.strides[tensor->n_dims - 1 - i] = tensor->strides[tensor->n_dims - 2 + i];
    }
    return tensor_is_contiguous(&swapped);
}

bool tensor_same_shape(const struct tensor *a, const struct tensor *b)
{
    return a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims);
}

uint64_t tensor_bytes(const struct tensor *tensor)
{
    int64_t last = tensor->offset;
    if (tensor->format == ACL_FORMAT_FRACTAL_NZ) {
        int64_t elements = 1;
        for (unsigned i = 0; i < tensor->n_storage; i++)
            elements *= tensor->storage[i];
        return (uint64_t)(elements * type_bits(tensor->type) + 7) / 8;
    }
    for (unsigned i = 0; i < tensor->n_dims; i++) {
        if (!tensor->dims[i])
            return 0;
        last += (tensor->dims[i] - 1) * tensor->strides[i];
    }
    return (uint64_t)((last + 1) * type_bits(tensor->type) + 7) / 8;
}

int64_t tensor_end(const struct tensor *tensor, unsigned back)
{
    return back <= tensor->n_dims ? tensor->dims[tensor->n_dims - back] : 1;
}

struct tensor tensor_as_int4(const struct tensor *tensor)
{
    struct tensor view = *tensor;
    if (tensor->type != ACL_INT32 || !tensor->n_dims)
        return view;
    view.type = ACL_INT4;
    view.offset *= 8;
    unsigned inner = tensor->n_dims - 1;
    for (unsigned d = 0; d < tensor->n_dims; d++)
        if (tensor->strides[d] == 1 && tensor->dims[d] != 1)
            inner = d;
    for (unsigned d = 0; d < tensor->n_dims; d++)
        view.strides[d] *= d == inner ? 1 : 8;
    view.dims[inner] *= 8;
    if (view.n_storage)
        view.storage[view.n_storage - 1] *= 8;
    return view;
}

bool type_listed(const char *types, const char *own)
{
    size_t length = strlen(own);
    for (const char *at = types; (at = strstr(at, own)); at += length)
        if ((at == types || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

int check_type(const struct tensor *tensor, const char *name, const char *types)
{
    return type_listed(types, type_name(tensor->type))
               ? 0
               : fail(ACLNN_PARAM_INVALID, "%s is %s; %s takes %s", name, type_name(tensor->type), emulator_settings()->soc.name, types);
}

#define MAX_ELEMENTS ((int64_t)1 << 48)

static bool elements_grow(int64_t *elements, int64_t dimension)
{
    return !__builtin_mul_overflow(*elements, dimension ? dimension : 1, elements) && *elements <= MAX_ELEMENTS;
}

static bool fill_tensor(struct tensor *tensor, const int64_t *dims, uint64_t n_dims, aclDataType type, const int64_t *strides, int64_t offset, aclFormat format,
                        const int64_t *storage, uint64_t n_storage, void *data)
{
    if (n_dims > MAX_DIMS || n_storage > MAX_DIMS || (n_dims && !dims) || (n_storage && !storage) || !type_size(type)) {
        fail(ACLNN_PARAM_INVALID, "%llu view and %llu storage dimensions (at most 8 each, not NULL) of type %d", (unsigned long long)n_dims,
             (unsigned long long)n_storage, (int)type);
        return false;
    }
    *tensor = (struct tensor){.present = true,
                              .n_dims = (unsigned)n_dims,
                              .n_storage = (unsigned)n_storage,
                              .type = type,
                              .format = format,
                              .offset = offset,
                              .address = (uint64_t)(uintptr_t)data};
    int64_t stride = 1, elements = 1, extent = offset;
    for (unsigned i = (unsigned)n_dims; i-- > 0;) {
        tensor->dims[i] = dims[i];
        tensor->strides[i] = strides ? strides[i] : stride;
        if (dims[i] < 0 || tensor->strides[i] < 0) {
            fail(ACLNN_PARAM_INVALID, "dimension %u is %lld with stride %lld; neither may be negative", i, (long long)dims[i], (long long)tensor->strides[i]);
            return false;
        }
        int64_t reach = 0;
        if (!elements_grow(&elements, dims[i]) || tensor->strides[i] > MAX_ELEMENTS ||
            __builtin_mul_overflow(dims[i] ? dims[i] - 1 : 0, tensor->strides[i], &reach) || __builtin_add_overflow(extent, reach, &extent) ||
            extent > MAX_ELEMENTS) {
            fail(ACLNN_PARAM_INVALID, "dimension %u is %lld with stride %lld: the tensor would reach beyond 2^48 elements", i, (long long)dims[i],
                 (long long)tensor->strides[i]);
            return false;
        }
        stride *= dims[i];
    }
    int64_t stored = 1;
    for (unsigned i = 0; i < n_storage; i++)
        if (storage[i] < 0 || !elements_grow(&stored, storage[i])) {
            fail(ACLNN_PARAM_INVALID, "storage dimension %u is %lld: negative, or beyond 2^48 elements", i, (long long)storage[i]);
            return false;
        }
    if (n_storage)
        memcpy(tensor->storage, storage, n_storage * sizeof *storage);
    if (offset < 0)
        fail(ACLNN_PARAM_INVALID, "the offset is %lld", (long long)offset);
    return offset >= 0;
}

EXPORT aclTensor *aclCreateTensor(const int64_t *viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t *stride, int64_t offset, aclFormat format,
                                  const int64_t *storageDims, uint64_t storageDimsNum, void *tensorData)
{
    ENTER();
    aclTensor *tensor = calloc(1, sizeof *tensor);
    if (!tensor || !fill_tensor(&tensor->tensor, viewDims, viewDimsNum, dataType, stride, offset, format, storageDims, storageDimsNum, tensorData)) {
        free(tensor);
        return NULL;
    }
    object_add(&tensor->object, OBJECT_TENSOR);
    return tensor;
}

EXPORT aclnnStatus aclInitTensor(aclTensor *tensor, const int64_t *viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t *stride, int64_t offset,
                                 aclFormat format, const int64_t *storageDims, uint64_t storageDimsNum, void *tensorData)
{
    ENTER();
    if (!object_is(tensor, OBJECT_TENSOR))
        return object_refuse(tensor, OBJECT_TENSOR);
    return fill_tensor(&tensor->tensor, viewDims, viewDimsNum, dataType, stride, offset, format, storageDims, storageDimsNum, tensorData) ? 0
                                                                                                                                          : ACLNN_PARAM_INVALID;
}

static int destroy_plain(const void *handle, enum object_kind kind)
{
    if (!handle)
        return 0;
    if (!object_take(handle, kind))
        return object_refuse(handle, kind);
    free((void *)(uintptr_t)handle);
    return 0;
}

EXPORT aclnnStatus aclDestroyTensor(const aclTensor *tensor)
{
    ENTER();
    return destroy_plain(tensor, OBJECT_TENSOR);
}

static double scalar_value(const void *value, aclDataType type)
{
    struct tensor one = {.present = true, .type = type, .data = (unsigned char *)(uintptr_t)value};
    return element_load(&one, 0);
}

EXPORT aclScalar *aclCreateScalar(void *value, aclDataType dataType)
{
    ENTER();
    aclScalar *scalar = value && type_size(dataType) ? calloc(1, sizeof *scalar) : NULL;
    if (!scalar) {
        fail(ACLNN_PARAM_INVALID, "value is NULL, or type %d is unknown", (int)dataType);
        return NULL;
    }
    scalar->type = dataType;
    scalar->value = scalar_value(value, dataType);
    object_add(&scalar->object, OBJECT_SCALAR);
    return scalar;
}

EXPORT aclnnStatus aclDestroyScalar(const aclScalar *scalar)
{
    ENTER();
    return destroy_plain(scalar, OBJECT_SCALAR);
}

static void *create_array(const int64_t *integers, const float *floats, const bool *flags, uint64_t size, enum object_kind kind)
{
    struct array *array = size < (1u << 28) && (integers || floats || flags || !size) ? calloc(1, sizeof *array) : NULL;
    if (array) {
        array->integers = calloc(size + 1, sizeof *array->integers);
        array->reals = calloc(size + 1, sizeof *array->reals);
    }
    if (!array || !array->integers || !array->reals) {
        if (array) {
            free(array->integers);
            free(array->reals);
        }
        free(array);
        fail(ACLNN_PARAM_INVALID, "value is NULL, or too many elements (%llu)", (unsigned long long)size);
        return NULL;
    }
    array->size = size;
    for (uint64_t i = 0; i < size; i++) {
        array->integers[i] = integers ? integers[i] : floats ? 0 : flags[i];
        array->reals[i] = integers ? (double)integers[i] : floats ? (double)floats[i] : flags[i];
    }
    object_add(&array->object, kind);
    return array;
}

EXPORT aclIntArray *aclCreateIntArray(const int64_t *value, uint64_t size)
{
    ENTER();
    return create_array(value, NULL, NULL, size, OBJECT_INT_ARRAY);
}

EXPORT aclFloatArray *aclCreateFloatArray(const float *value, uint64_t size)
{
    ENTER();
    return create_array(NULL, value, NULL, size, OBJECT_FLOAT_ARRAY);
}

EXPORT aclBoolArray *aclCreateBoolArray(const bool *value, uint64_t size)
{
    ENTER();
    return create_array(NULL, NULL, value, size, OBJECT_BOOL_ARRAY);
}

static int destroy_array(const void *handle, enum object_kind kind)
{
    if (!handle)
        return 0;
    if (!object_take(handle, kind))
        return object_refuse(handle, kind);
    struct array *array = (struct array *)(uintptr_t)handle;
    free(array->integers);
    free(array->reals);
    free(array);
    return 0;
}

EXPORT aclnnStatus aclDestroyIntArray(const aclIntArray *array)
{
    ENTER();
    return destroy_array(array, OBJECT_INT_ARRAY);
}

EXPORT aclnnStatus aclDestroyFloatArray(const aclFloatArray *array)
{
    ENTER();
    return destroy_array(array, OBJECT_FLOAT_ARRAY);
}

EXPORT aclnnStatus aclDestroyBoolArray(const aclBoolArray *array)
{
    ENTER();
    return destroy_array(array, OBJECT_BOOL_ARRAY);
}

static void *create_list(const void *const *items, uint64_t size, enum object_kind kind)
{
    struct handle_list *list = items && size && size < 65536 ? calloc(1, sizeof *list) : NULL;
    if (list)
        list->items = calloc(size, sizeof *list->items);
    if (!list || !list->items) {
        free(list);
        fail(ACLNN_PARAM_INVALID, "value is NULL, or %llu elements; at least one is expected", (unsigned long long)size);
        return NULL;
    }
    list->size = size;
    memcpy(list->items, items, size * sizeof *items);
    object_add(&list->object, kind);
    return list;
}

EXPORT aclTensorList *aclCreateTensorList(const aclTensor *const *value, uint64_t size)
{
    ENTER();
    return create_list((const void *const *)value, size, OBJECT_TENSOR_LIST);
}

EXPORT aclScalarList *aclCreateScalarList(const aclScalar *const *value, uint64_t size)
{
    ENTER();
    return create_list((const void *const *)value, size, OBJECT_SCALAR_LIST);
}

static int destroy_list(const void *handle, enum object_kind kind, enum object_kind item_kind)
{
    if (!handle)
        return 0;
    if (!object_take(handle, kind))
        return object_refuse(handle, kind);
    struct handle_list *list = (struct handle_list *)(uintptr_t)handle;
    int result = 0;
    for (uint64_t i = 0; i < list->size; i++) {
        int one = destroy_plain(list->items[i], item_kind);
        if (one)
            result = fail(one, "element %llu was destroyed before its list: destroying a list destroys its elements", (unsigned long long)i);
    }
    free(list->items);
    free(list);
    return result;
}

EXPORT aclnnStatus aclDestroyTensorList(const aclTensorList *list)
{
    ENTER();
    return destroy_list(list, OBJECT_TENSOR_LIST, OBJECT_TENSOR);
}

EXPORT aclnnStatus aclDestroyScalarList(const aclScalarList *list)
{
    ENTER();
    return destroy_list(list, OBJECT_SCALAR_LIST, OBJECT_SCALAR);
}

#define REQUIRE(handle, kind, out)                                                                                                                             \
    do {                                                                                                                                                       \
        if (!object_is(handle, kind))                                                                                                                          \
            return object_refuse(handle, kind);                                                                                                                \
        if (!(out))                                                                                                                                            \
            return fail(ACLNN_PARAM_NULLPTR, "an out-pointer is NULL");                                                                                        \
    } while (0)

static int give_dims(const int64_t *values, unsigned count, int64_t **out, uint64_t *n)
{
    *out = calloc(count + 1, sizeof **out);
    if (!*out)
        return fail(ACLNN_INNER_NULLPTR, "no host memory");
    memcpy(*out, values, count * sizeof *values);
    *n = count;
    return 0;
}

EXPORT aclnnStatus aclGetViewShape(const aclTensor *tensor, int64_t **dims, uint64_t *count)
{
    ENTER();
    REQUIRE(tensor, OBJECT_TENSOR, dims && count);
    return give_dims(tensor->tensor.dims, tensor->tensor.n_dims, dims, count);
}

EXPORT aclnnStatus aclGetStorageShape(const aclTensor *tensor, int64_t **dims, uint64_t *count)
{
    ENTER();
    REQUIRE(tensor, OBJECT_TENSOR, dims && count);
    return give_dims(tensor->tensor.storage, tensor->tensor.n_storage, dims, count);
}

EXPORT aclnnStatus aclGetViewStrides(const aclTensor *tensor, int64_t **strides, uint64_t *count)
{
    ENTER();
    REQUIRE(tensor, OBJECT_TENSOR, strides && count);
    return give_dims(tensor->tensor.strides, tensor->tensor.n_dims, strides, count);
}

#define GETTER(name, handle_type, kind, out_type, expression)                                                                                                  \
    EXPORT aclnnStatus name(handle_type handle, out_type *out)                                                                                                 \
    {                                                                                                                                                          \
        ENTER();                                                                                                                                               \
        REQUIRE(handle, kind, out);                                                                                                                            \
        *out = expression;                                                                                                                                     \
        return 0;                                                                                                                                              \
    }

GETTER(aclGetViewOffset, const aclTensor *, OBJECT_TENSOR, int64_t, handle->tensor.offset)
GETTER(aclGetFormat, const aclTensor *, OBJECT_TENSOR, aclFormat, handle->tensor.format)
GETTER(aclGetDataType, const aclTensor *, OBJECT_TENSOR, aclDataType, handle->tensor.type)
GETTER(aclGetRawTensorAddr, const aclTensor *, OBJECT_TENSOR, void *, (void *)(uintptr_t)handle->tensor.address)
GETTER(aclGetIntArraySize, const aclIntArray *, OBJECT_INT_ARRAY, uint64_t, ((const struct array *)(const void *)handle)->size)
GETTER(aclGetFloatArraySize, const aclFloatArray *, OBJECT_FLOAT_ARRAY, uint64_t, ((const struct array *)(const void *)handle)->size)
GETTER(aclGetBoolArraySize, const aclBoolArray *, OBJECT_BOOL_ARRAY, uint64_t, ((const struct array *)(const void *)handle)->size)
GETTER(aclGetTensorListSize, const aclTensorList *, OBJECT_TENSOR_LIST, uint64_t, ((const struct handle_list *)(const void *)handle)->size)
GETTER(aclGetScalarListSize, const aclScalarList *, OBJECT_SCALAR_LIST, uint64_t, ((const struct handle_list *)(const void *)handle)->size)

EXPORT aclnnStatus aclSetRawTensorAddr(aclTensor *tensor, void *address)
{
    ENTER();
    REQUIRE(tensor, OBJECT_TENSOR, true);
    tensor->tensor.address = (uint64_t)(uintptr_t)address;
    return 0;
}

EXPORT size_t aclDataTypeSize(aclDataType dataType)
{
    return type_size(dataType);
}

EXPORT float aclFloat16ToFloat(uint16_t value)
{
    return half_to_float(value);
}

EXPORT uint16_t aclFloatToFloat16(float value)
{
    return float_to_half(value);
}

EXPORT aclnnStatus aclnnInit(const char *configPath)
{
    ENTER();
    (void)configPath;
    return 0;
}

EXPORT aclnnStatus aclnnFinalize(void)
{
    ENTER();
    return 0;
}
