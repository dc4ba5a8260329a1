/* Element types: loading, rounding, storing. Halves by bit arithmetic (IEEE 754 binary16; bfloat16 is the upper half of binary32), nearest with ties to
 * even. */
#include "operator.h"

#include <math.h>
#include <string.h>

float bf16_to_float(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

uint16_t float_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* Without branches, so that loops over halves are vectorised: exponent and mantissa in their places in binary32, times 2^112 (exact, denormals included); what
 * was infinity or NaN comes out at 65536 or above and gets its exponent back. */
static inline float widen_half(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7FFF) << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
    bits |= value >= 65536.0f ? 0x7F800000u : 0;
    bits |= (uint32_t)(half & 0x8000) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float half_to_float(uint16_t half)
{
    return widen_half(half);
}

uint16_t float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7FFFFFFF;
    bool saturates = emulator_settings()->soc.family == SOC_310P;
    if (magnitude > 0x7F800000)
        return sign | 0x7E00;
    if (magnitude >= 0x477FF000) /* 65520: half way to the next */
        return sign | (saturates ? 0x7BFF : 0x7C00);
    if (magnitude < 0x38800000) { /* denormal: round a multiple of 2^-24 */
        float scaled = fabsf(value) * 0x1p24f;
        return (uint16_t)(sign | (uint16_t)rintf(scaled));
    }
    magnitude -= 0x38000000;
    return (uint16_t)(sign | (magnitude + 0xFFF + (magnitude >> 13 & 1)) >> 13);
}

float round_to_type(aclDataType type, float value)
{
    if (type == ACL_FLOAT16)
        return half_to_float(float_to_half(value));
    return type == ACL_BF16 ? bf16_to_float(float_to_bf16(value)) : value;
}

/* int4: two in a byte, the lower half first. */
static int load_nibble(const struct tensor *tensor, int64_t element)
{
    int value = tensor->data[element / 2] >> (element % 2 ? 4 : 0) & 15;
    return value >= 8 ? value - 16 : value;
}

static void store_nibble(const struct tensor *tensor, int64_t element, double value)
{
    int whole = value != value ? 0 : value <= -8 ? -8 : value >= 7 ? 7 : (int)value;
    unsigned char *at = &tensor->data[element / 2];
    *at = (unsigned char)(element % 2 ? (*at & 0x0F) | (whole & 15) << 4 : (*at & 0xF0) | (whole & 15));
}

int64_t element_whole(const struct tensor *tensor, int64_t element)
{
    if (tensor->type == ACL_INT4)
        return load_nibble(tensor, element);
    if (tensor->type == ACL_INT8)
        return (int8_t)tensor->data[element];
    if (tensor->type != ACL_INT64 && tensor->type != ACL_UINT64)
        return (int64_t)element_load(tensor, element);
    int64_t whole;
    memcpy(&whole, tensor->data + (size_t)element * 8, 8);
    return whole;
}

double element_load(const struct tensor *tensor, int64_t element)
{
    if (tensor->type == ACL_INT4)
        return load_nibble(tensor, element);
    const unsigned char *at = tensor->data + (size_t)element * type_size(tensor->type);
    union {
        float f32;
        double f64;
        uint16_t u16;
        int16_t i16;
        int32_t i32;
        uint32_t u32;
        int64_t i64;
        uint64_t u64;
        int8_t i8;
        uint8_t u8;
    } bits;
    memcpy(&bits, at, type_size(tensor->type));
    switch (tensor->type) {
    case ACL_FLOAT: return (double)bits.f32;
    case ACL_DOUBLE: return bits.f64;
    case ACL_FLOAT16: return (double)half_to_float(bits.u16);
    case ACL_BF16: return (double)bf16_to_float(bits.u16);
    case ACL_INT16: return bits.i16;
    case ACL_UINT16: return bits.u16;
    case ACL_INT32: return bits.i32;
    case ACL_UINT32: return bits.u32;
    case ACL_INT64: return (double)bits.i64;
    case ACL_UINT64: return (double)bits.u64;
    case ACL_INT8: return bits.i8;
    default: return bits.u8;
    }
}

static int64_t to_integer(double value, double low, double high)
{
    return value != value ? 0 : value <= low ? (int64_t)low : value >= high ? (int64_t)high : (int64_t)value;
}

void element_store(const struct tensor *tensor, int64_t element, double value)
{
    if (tensor->type == ACL_INT4) {
        store_nibble(tensor, element, value);
        return;
    }
    unsigned char *at = tensor->data + (size_t)element * type_size(tensor->type);
    float single = (float)value;
    uint16_t half = tensor->type == ACL_BF16 ? float_to_bf16(single) : float_to_half(single);
    int64_t whole;
    uint64_t bits;
    switch (tensor->type) {
    case ACL_FLOAT: memcpy(at, &single, 4); return;
    case ACL_DOUBLE: memcpy(at, &value, 8); return;
    case ACL_FLOAT16:
    case ACL_BF16: memcpy(at, &half, 2); return;
    case ACL_BOOL: *at = value != 0; return;
    case ACL_UINT64:
        bits = value <= 0 ? 0 : (uint64_t)value;
        memcpy(at, &bits, 8);
        return;
    case ACL_INT8: whole = to_integer(value, -128, 127); break;
    case ACL_INT16: whole = to_integer(value, -32768, 32767); break;
    case ACL_INT32: whole = to_integer(value, INT32_MIN, INT32_MAX); break;
    case ACL_UINT8: whole = to_integer(value, 0, 255); break;
    case ACL_UINT16: whole = to_integer(value, 0, 65535); break;
    case ACL_UINT32: whole = to_integer(value, 0, UINT32_MAX); break;
    default: whole = to_integer(value, -0x1p63, 0x1.fffffffffffffp62); break;
    }
    memcpy(at, &whole, type_size(tensor->type)); /* little endian */
}

int64_t element_at(const struct tensor *tensor, int64_t logical)
{
    int64_t element = tensor->offset;
    for (unsigned i = tensor->n_dims; i-- > 0;) {
        element += logical % tensor->dims[i] * tensor->strides[i];
        logical /= tensor->dims[i];
    }
    return element;
}

void floats_from(aclDataType type, const unsigned char *from, int64_t count, float *to)
{
    if (count <= 0)
        return; /* an empty tensor may have no address */
    if (type == ACL_FLOAT) {
        memcpy(to, from, (size_t)count * sizeof *to);
    } else if (type == ACL_BF16) {
        const uint16_t *bits = (const uint16_t *)(const void *)from;
        uint32_t *wide = (uint32_t *)(void *)to;
        for (int64_t i = 0; i < count; i++)
            wide[i] = (uint32_t)bits[i] << 16;
    } else if (type == ACL_FLOAT16) {
        const uint16_t *bits = (const uint16_t *)(const void *)from;
        for (int64_t i = 0; i < count; i++)
            to[i] = widen_half(bits[i]);
    } else {
        const struct tensor plain = {.type = type, .data = (unsigned char *)(uintptr_t)from};
        for (int64_t i = 0; i < count; i++)
            to[i] = (float)element_load(&plain, i);
    }
}

float *floats_load(struct call *call, const struct tensor *tensor)
{
    int64_t count = tensor_count(tensor);
    float *values = call_scratch(call, (size_t)(count + 1) * sizeof *values);
    if (!values)
        return NULL;
    int64_t inner = tensor->n_dims ? tensor->dims[tensor->n_dims - 1] : 1;
    bool rows = tensor->n_dims && tensor->strides[tensor->n_dims - 1] == 1;
    if (tensor_is_contiguous(tensor) && type_size(tensor->type))
        floats_from(tensor->type, tensor->data + (size_t)tensor->offset * type_size(tensor->type), count, values);
    else
        for (int64_t i = 0; i < count; i += rows ? inner : 1) {
            int64_t element = element_at(tensor, i);
            if (rows)
                floats_from(tensor->type, tensor->data + (size_t)element * type_size(tensor->type), inner, values + i);
            else
                values[i] = (float)element_load(tensor, element);
        }
    return values;
}

void floats_store(const struct tensor *tensor, const float *values)
{
    int64_t count = tensor_count(tensor);
    bool contiguous = tensor_is_contiguous(tensor);
    if (count && contiguous && tensor->type == ACL_FLOAT) {
        memcpy(tensor->data + (size_t)tensor->offset * sizeof *values, values, (size_t)count * sizeof *values);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        element_store(tensor, contiguous ? tensor->offset + i : element_at(tensor, i), (double)values[i]);
}

void doubles_load_broadcast(const struct tensor *tensor, const int64_t *dims, unsigned n_dims, double *to)
{
    int64_t count = 1;
    for (unsigned i = 0; i < n_dims; i++)
        count *= dims[i];
    unsigned missing = n_dims - tensor->n_dims;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, element = tensor->offset;
        for (unsigned d = n_dims; d-- > missing;) {
            int64_t index = rest % dims[d];
            rest /= dims[d];
            if (tensor->dims[d - missing] != 1)
                element += index * tensor->strides[d - missing];
        }
        to[i] = element_load(tensor, element);
    }
}

/* The inner loops compiled for wider registers as well, chosen at load. The order of each sum and its roundings stay the same, so do the bits. Not under the
 * sanitizers, which cannot run the choice. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("arch=skylake-avx512", "avx2", "default")))
#else
#define WIDE
#endif

/* Sixteen running sums, joined pairwise: what one part of the range gives. */
WIDE static float dot_part(const float *restrict a, const float *restrict b, int64_t count)
{
    float sums[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (int lane = 0; lane < 16; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    for (int lane = 0; i < count; i++, lane++)
        sums[lane] += a[i] * b[i];
    for (int width = 8; width; width /= 2)
        for (int lane = 0; lane < width; lane++)
            sums[lane] += sums[lane + width];
    return sums[0];
}

float dot(const float *a, const float *b, int64_t count, uint64_t order)
{
    int64_t parts = order ? 1 + (int64_t)(order % 5) : 1, each = (count / parts + 15) / 16 * 16;
    if (parts == 1 || each == 0 || each >= count) /* each 0: fewer elements than parts */
        return dot_part(a, b, count);
    float sum = 0;
    for (int64_t start = 0; start < count; start += each)
        sum += dot_part(a + start, b + start, count - start < each ? count - start : each);
    return sum;
}

WIDE int32_t dot_int8(const int8_t *a, const int8_t *b, int64_t count)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}
