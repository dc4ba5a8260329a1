/* Reading goldens (made by the make_*.py scripts), putting their tensors on the device, and comparing results with them. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "tests/check.h"

struct golden {
    char name[40];
    int32_t type;
    uint32_t n_dims;
    int64_t dims[8];
    uint64_t bytes;
    unsigned char *data;
};

static struct golden goldens[400];
static unsigned n_goldens;
static aclrtStream stream; /* the test's one stream */
static void *allocations[16384];
static unsigned n_allocations;

static inline void golden_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint32_t length;
    while (file && n_goldens < 400 && fread(&length, 4, 1, file) == 1 && length < 40) {
        struct golden *g = &goldens[n_goldens++];
        bool good = fread(g->name, 1, length, file) == length && fread(&g->type, 4, 1, file) == 1 && fread(&g->n_dims, 4, 1, file) == 1 && g->n_dims <= 8 &&
                    fread(g->dims, 8, g->n_dims, file) == g->n_dims && fread(&g->bytes, 8, 1, file) == 1 && g->bytes < 1 << 24;
        g->data = good ? malloc(g->bytes + 1) : NULL;
        CHECK(g->data && fread(g->data, 1, g->bytes, file) == g->bytes);
    }
    CHECK(n_goldens > 0);
    if (file)
        fclose(file);
}

static inline void golden_forget(void)
{
    while (n_goldens)
        free(goldens[--n_goldens].data);
}

static inline const struct golden *golden(const char *test, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", test, name);
    for (unsigned i = 0; i < n_goldens; i++)
        if (!strcmp(goldens[i].name, full))
            return &goldens[i];
    fprintf(stderr, "no golden %s\n", full);
    exit(1);
}

static inline void *device_memory(uint64_t bytes)
{
    void *memory = NULL;
    CHECK_OK(aclrtMalloc(&memory, bytes ? bytes : 32, ACL_MEM_HUGE_FIRST));
    allocations[n_allocations++] = memory;
    return memory;
}

static inline void device_free_all(void)
{
    while (n_allocations)
        CHECK_OK(aclrtFree(allocations[--n_allocations]));
}

static inline aclTensor *plain_tensor(const int64_t *dims, uint64_t n_dims, int32_t type, void *memory)
{
    return aclCreateTensor(dims, n_dims, (aclDataType)type, NULL, 0, ACL_FORMAT_ND, dims, n_dims, memory);
}

static inline aclTensor *input(const struct golden *g)
{
    void *memory = device_memory(g->bytes);
    CHECK_OK(aclrtMemcpy(memory, g->bytes, g->data, g->bytes, ACL_HOST_TO_DEVICE));
    return plain_tensor(g->dims, g->n_dims, g->type, memory);
}

static inline aclTensor *output(const struct golden *g)
{
    return plain_tensor(g->dims, g->n_dims, g->type, device_memory(g->bytes));
}

/* Inputs that are not stored: the same in golden_writer.py. */
static inline float pattern_value(uint32_t salt, uint64_t i)
{
    uint32_t bits = (uint32_t)i * 2654435761u + salt * 40503u + 12345u;
    bits = (bits ^ bits >> 15) * 2246822519u;
    return (float)(bits >> 8) / 8388608.0f - 1.0f;
}

static inline uint16_t half_bits(int32_t type, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return type == ACL_BF16 ? (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) : aclFloatToFloat16(value);
}

static inline aclTensor *pattern_tensor(const int64_t *dims, uint64_t n_dims, int32_t type, uint32_t salt, float scale)
{
    uint64_t count = 1, size = aclDataTypeSize((aclDataType)type);
    for (uint64_t d = 0; d < n_dims; d++)
        count *= (uint64_t)dims[d];
    unsigned char *host = malloc(count * size + 1);
    for (uint64_t i = 0; i < count; i++) {
        float value = pattern_value(salt, i) * scale;
        uint16_t half = half_bits(type, value);
        int64_t whole = (int64_t)value;
        bool integer = type != ACL_FLOAT && type != ACL_FLOAT16 && type != ACL_BF16;
        memcpy(host + i * size, integer ? (void *)&whole : size == 2 ? (void *)&half : (void *)&value, size);
    }
    void *memory = device_memory(count * size);
    CHECK_OK(aclrtMemcpy(memory, count * size, host, count * size, ACL_HOST_TO_DEVICE));
    free(host);
    return plain_tensor(dims, n_dims, type, memory);
}

/* A tensor of the given bytes; dims ends where n_dims says. */
static inline aclTensor *tensor_from(const int64_t *dims, uint64_t n_dims, int32_t type, const void *host)
{
    uint64_t bytes = aclDataTypeSize((aclDataType)type);
    for (uint64_t d = 0; d < n_dims; d++)
        bytes *= (uint64_t)dims[d];
    void *memory = device_memory(bytes);
    CHECK_OK(aclrtMemcpy(memory, bytes, host, bytes, ACL_HOST_TO_DEVICE));
    return plain_tensor(dims, n_dims, type, memory);
}

static inline double golden_value(int32_t type, const unsigned char *data, uint64_t i)
{
    uint16_t half;
    uint32_t wide;
    float value;
    int64_t whole;
    switch (type) {
    case ACL_FLOAT: memcpy(&value, data + 4 * i, 4); return (double)value;
    case ACL_FLOAT16: memcpy(&half, data + 2 * i, 2); return (double)aclFloat16ToFloat(half);
    case ACL_BF16:
        memcpy(&half, data + 2 * i, 2);
        wide = (uint32_t)half << 16;
        memcpy(&value, &wide, 4);
        return (double)value;
    case ACL_INT32: memcpy(&wide, data + 4 * i, 4); return (int32_t)wide;
    case ACL_INT64: memcpy(&whole, data + 8 * i, 8); return (double)whole;
    default: return (int8_t)data[i];
    }
}

/* The result on the device agrees with the golden within the type's precision (times steps: how many roundings may differ), integers exactly. */
static inline void compare(const aclTensor *tensor, const struct golden *g, double steps)
{
    void *address;
    uint64_t elements = 1, worst_at = 0, n_equal = 0;
    double worst = 0, unit = g->type == ACL_FLOAT ? 2e-6 : g->type == ACL_FLOAT16 ? 1e-3 : g->type == ACL_BF16 ? 8e-3 : 0;
    unsigned char *back = malloc(g->bytes + 8);
    for (uint32_t d = 0; d < g->n_dims; d++)
        elements *= (uint64_t)g->dims[d];
    CHECK_OK(aclGetRawTensorAddr(tensor, &address));
    CHECK_OK(aclrtMemcpy(back, g->bytes, address, g->bytes, ACL_DEVICE_TO_HOST));
    for (uint64_t i = 0; i < elements; i++) {
        double found = golden_value(g->type, back, i), expected = golden_value(g->type, g->data, i);
        double error = found == expected ? 0 : fabs(found - expected) / (fabs(expected) + 0.05 + (unit == 0 ? 1e9 : 0));
        n_equal += found == expected;
        if (unit == 0 && found != expected)
            error = 1;
        if (!(error <= worst)) {
            worst = error;
            worst_at = i;
        }
    }
    bool rounds_alike = steps > 1 || g->type == ACL_FLOAT || n_equal * 20 >= elements * 19; /* the same roundings: hardly any element differs at all */
    if (!rounds_alike)
        fprintf(stderr, "%s: only %llu of %llu elements are equal\n", g->name, (unsigned long long)n_equal, (unsigned long long)elements);
    n_failed += !rounds_alike;
    if (!(worst <= unit * steps)) {
        n_failed++;
        fprintf(stderr, "%s: element %llu is %g, expected %g (error %g, allowed %g)\n", g->name, (unsigned long long)worst_at,
                golden_value(g->type, back, worst_at), golden_value(g->type, g->data, worst_at), worst, unit * steps);
    }
    free(back);
}

/* Both phases on the test's stream, and a synchronisation. */
#define RUN(operator, ...)                                                                                                                                     \
    do {                                                                                                                                                       \
        uint64_t workspace_size = 0;                                                                                                                           \
        aclOpExecutor *run_executor = NULL;                                                                                                                    \
        CHECK_OK(aclnn##operator##GetWorkspaceSize(__VA_ARGS__, &workspace_size, &run_executor));                                                              \
        if (run_executor)                                                                                                                                      \
            CHECK_OK(aclnn##operator(workspace_size ? device_memory(workspace_size) : NULL, workspace_size, run_executor, stream));                            \
        CHECK_OK(aclrtSynchronizeStream(stream));                                                                                                              \
    } while (0)

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static inline void destroy_all(aclTensor **tensors, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        CHECK_OK(aclDestroyTensor(tensors[i]));
}

#endif
