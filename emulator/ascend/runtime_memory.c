/* The exported calls on memory: device buffers, page-locked host buffers, copies and sets. A synchronous copy finds its direction from the addresses and waits
 * for no stream; an asynchronous one is a task, and what is wrong with its range surfaces at the next synchronisation. */
#include "emulator.h"

#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

struct host_buffer {
    struct host_buffer *next;
    unsigned char *address;
    size_t size;
    bool registered; /* by aclrtHostRegister: not ours to free */
};

static struct host_buffer *host_buffers;
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;

struct copy {
    unsigned char *destination;
    const unsigned char *source;
    size_t width, height, destination_pitch, source_pitch; /* a plain copy has height 1 */
    bool destination_on_device, source_on_device;
    int value; /* of a set, 0..255 */
};

bool memory_is_pinned_host(const void *pointer, size_t size)
{
    const unsigned char *address = pointer;
    bool found = false;
    pthread_mutex_lock(&host_lock);
    for (struct host_buffer *b = host_buffers; b && !found; b = b->next)
        found = address >= b->address && address + size <= b->address + b->size;
    pthread_mutex_unlock(&host_lock);
    return found;
}

static bool is_on_device(const void *pointer)
{
    int device;
    return memory_is_device(pointer, &device, NULL, NULL);
}

static uint64_t round_up(uint64_t size, uint64_t unit)
{
    return size > UINT64_MAX - unit ? size : (size + unit - 1) / unit * unit;
}

static bool is_single(aclrtMemMallocPolicy policy)
{
    return (unsigned)policy <= 7 || policy == 0x100 || policy == 0x1000 || policy == 0x100000;
}

static int allocate(void **pointer, size_t size, aclrtMemMallocPolicy policy, bool guard)
{
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (in_callback)
        return fail(RT_FEATURE_NOT_SUPPORT, "a callback of a stream may not allocate");
    if (!pointer || !size)
        return fail(ACL_INVALID_PARAM, pointer ? "size is 0" : "devPtr is NULL");
    *pointer = NULL;
    if (size > (size_t)1 << 46)
        return fail(RT_MEMORY_ALLOCATION, "out of memory on device %d: %zu bytes asked for", context->device->index, size);
    uint64_t charged = round_up(size, 32) + (guard && emulator_settings()->soc.family != SOC_950 ? 32 : 0);
    bool huge = policy == ACL_MEM_HUGE_ONLY || policy == 4 || (policy == ACL_MEM_HUGE_FIRST && size > MIB) || (policy == 3 && size > MIB) ||
                ((unsigned)policy > 7 && size >= 2 * MIB);
    bool giant = policy == ACL_MEM_HUGE1G_ONLY || policy == 7;
    charged = round_up(charged, giant ? 1024 * MIB : huge ? 2 * MIB : 4096);
    return memory_allocate(context->device, size, charged, pointer);
}

static int allocate_single(void **pointer, size_t size, aclrtMemMallocPolicy policy, bool guard)
{
    if (!is_single(policy))
        return fail(ACL_INVALID_PARAM, "policy is 0x%x; one of 0 to 7 is expected, combinations go to aclrtMallocWithCfg", (unsigned)policy);
    return allocate(pointer, size, policy, guard);
}

EXPORT aclError aclrtMallocWithCfg(void **pointer, size_t size, aclrtMemMallocPolicy policy, void *config)
{
    ENTER();
    if ((unsigned)policy & ~0x101107u || !is_single((aclrtMemMallocPolicy)((unsigned)policy & 7)))
        return fail(ACL_INVALID_PARAM, "policy is 0x%x, which has unknown bits", (unsigned)policy);
    if (config)
        return fail(RT_FEATURE_NOT_SUPPORT, "the emulator knows no aclrtMallocConfig: pass NULL");
    return allocate(pointer, size, (aclrtMemMallocPolicy)((unsigned)policy & 7), true);
}

EXPORT aclError aclrtMalloc(void **pointer, size_t size, aclrtMemMallocPolicy policy)
{
    ENTER();
    return allocate_single(pointer, size, policy, true);
}

EXPORT aclError aclrtMallocAlign32(void **pointer, size_t size, aclrtMemMallocPolicy policy)
{
    ENTER();
    return allocate_single(pointer, size, policy, false);
}

EXPORT aclError aclrtMallocCached(void **pointer, size_t size, aclrtMemMallocPolicy policy)
{
    ENTER();
    return allocate_single(pointer, size, policy, true);
}

static int release(void *pointer, bool synchronize)
{
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (in_callback)
        return fail(RT_FEATURE_NOT_SUPPORT, "a callback of a stream may not free");
    if (!pointer)
        return fail(ACL_INVALID_PARAM, "devPtr is NULL");
    if (synchronize)
        result = streams_wait_context(context, -1);
    return result ? result : memory_free(context->device, pointer);
}

EXPORT aclError aclrtFree(void *pointer)
{
    ENTER();
    return release(pointer, false);
}

EXPORT aclError aclrtFreeWithDevSync(void *pointer)
{
    ENTER();
    return release(pointer, true);
}

static int add_host_buffer(void *address, size_t size, bool registered)
{
    struct host_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a record");
    buffer->address = address;
    buffer->size = size;
    buffer->registered = registered;
    pthread_mutex_lock(&host_lock);
    buffer->next = host_buffers;
    host_buffers = buffer;
    pthread_mutex_unlock(&host_lock);
    return 0;
}

static bool take_host_buffer(const void *address, bool registered)
{
    bool found = false;
    pthread_mutex_lock(&host_lock);
    for (struct host_buffer **at = &host_buffers; *at; at = &(*at)->next)
        if ((*at)->address == address && (*at)->registered == registered) {
            struct host_buffer *buffer = *at;
            *at = buffer->next;
            free(buffer);
            found = true;
            break;
        }
    pthread_mutex_unlock(&host_lock);
    return found;
}

EXPORT aclError aclrtMallocHost(void **pointer, size_t size)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!pointer || !size)
        return fail(ACL_INVALID_PARAM, pointer ? "size is 0" : "hostPtr is NULL");
    void *address = size < (size_t)1 << 46 ? aligned_alloc(64, round_up(size, 64)) : NULL;
    if (!address)
        return fail(RT_MEMORY_ALLOCATION, "the host has no %zu bytes of page-locked memory", size);
    memset(address, 0xFF, size < MIB ? size : MIB);
    result = add_host_buffer(address, size, false);
    if (result)
        free(address);
    else
        *pointer = address;
    return result;
}

EXPORT aclError aclrtFreeHost(void *pointer)
{
    ENTER();
    if (!pointer)
        return fail(ACL_INVALID_PARAM, "hostPtr is NULL");
    if (!take_host_buffer(pointer, false))
        return fail(RT_PARAM_INVALID, "%p is not a live buffer of aclrtMallocHost", pointer);
    free(pointer);
    return 0;
}

EXPORT aclError aclrtHostRegister(void *pointer, uint64_t size, int type, void **device_pointer)
{
    ENTER();
    (void)type;
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (emulator_settings()->soc.family == SOC_310P)
        return fail(RT_FEATURE_NOT_SUPPORT, "%s cannot register host memory", emulator_settings()->soc.name);
    if (!pointer || !size || !device_pointer || (uintptr_t)pointer % 4096)
        return fail(RT_PARAM_INVALID, "a host address aligned to 4096, a size and an out-pointer are expected");
    *device_pointer = NULL; /* kernels cannot reach host memory here; the registration makes copies asynchronous */
    return add_host_buffer(pointer, size, true);
}

EXPORT aclError aclrtHostUnregister(void *pointer)
{
    ENTER();
    return take_host_buffer(pointer, true) ? 0 : fail(507911, "%p is not registered", pointer);
}

static unsigned char *pin_side(struct device *device, const void *address, bool on_device, size_t span, struct block **block, char why[160])
{
    unsigned char *contents = (unsigned char *)(uintptr_t)address;
    *block = NULL;
    if (on_device) {
        *block = memory_pin(device, (uint64_t)(uintptr_t)address, span, &contents, why);
        if (!*block)
            return NULL;
    }
    return contents;
}

/* The copy or set itself; the code for a bad range depends on who asks: a synchronous call or a device task. */
static int perform_copy(const struct copy *copy, struct device *device, int bad_range_code)
{
    char why[160] = "";
    struct block *to, *from = NULL;
    size_t to_span = copy->height ? (copy->height - 1) * copy->destination_pitch + copy->width : 0;
    size_t from_span = copy->height ? (copy->height - 1) * copy->source_pitch + copy->width : 0;
    unsigned char *destination = pin_side(device, copy->destination, copy->destination_on_device, to_span, &to, why);
    if (!destination)
        return fail(bad_range_code, "destination: %s", why);
    const unsigned char *source = NULL;
    if (copy->source) {
        source = pin_side(device, copy->source, copy->source_on_device, from_span, &from, why);
        if (!source) {
            if (to)
                memory_unpin(to);
            return fail(bad_range_code, "source: %s", why);
        }
    }
    for (size_t row = 0; row < copy->height; row++)
        if (source)
            memmove(destination + row * copy->destination_pitch, source + row * copy->source_pitch, copy->width);
        else
            memset(destination + row * copy->destination_pitch, copy->value, copy->width);
    bool live = !to || memory_unpin(to);
    live = (!from || memory_unpin(from)) && live;
    return live ? 0 : fail(bad_range_code, "a buffer was freed while the copy was at work");
}

static int run_copy(struct task *task, struct stream *stream)
{
    struct copy *copy = task->payload;
    int result = perform_copy(copy, stream->context->device, RT_SYS_DMA_ERROR);
    if (!result && task->fault == FAULT_BIT && copy->width) {
        unsigned char *contents;
        char why[160];
        struct block *block;
        contents = pin_side(stream->context->device, copy->destination, copy->destination_on_device, copy->width, &block, why);
        if (contents)
            contents[copy->width / 2] ^= 0x10;
        if (block)
            memory_unpin(block);
    }
    return result;
}

static double copy_time(const struct copy *copy)
{
    double bytes = (double)copy->width * (double)copy->height;
    double rate = copy->destination_on_device && (copy->source_on_device || !copy->source) ? emulator_settings()->soc.bandwidth / 2 : 25e9;
    return 3000 + bytes / rate * 1e9; /* host link: 25 GB/s */
}

static int submit_copy(aclrtStream handle, const struct copy *copy, enum task_kind kind)
{
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    bool to_pinned = copy->destination_on_device || memory_is_pinned_host(copy->destination, copy->width);
    bool from_pinned = copy->source_on_device || !copy->source || memory_is_pinned_host(copy->source, copy->width);
    bool blocking = !to_pinned || !from_pinned;
    pthread_mutex_lock(&emulator_lock);
    result = blocking ? capture_refuses_pageable() : 0;
    bool capturing = stream->capture != NULL;
    pthread_mutex_unlock(&emulator_lock);
    if (result)
        return result;
    struct task *task = task_create(kind, entry_name(), sizeof *copy);
    if (task) {
        *(struct copy *)task->payload = *copy;
        task->run = run_copy;
        task->modelled_ns = copy_time(copy);
    }
    count_add(COUNT_COPIES, 1);
    result = stream_submit(stream, task);
    if (result || !blocking || capturing)
        return result;
    pthread_mutex_lock(&emulator_lock); /* pageable host memory: returns after the copy */
    uint64_t ticket = stream->submitted;
    while (stream->completed < ticket && !stream->aborting)
        wait_until(NULL);
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

static int check_copy(struct copy *copy, size_t maximum)
{
    if (!copy->destination || !copy->source)
        return fail(RT_PARAM_INVALID, "%s is NULL", copy->destination ? "src" : "dst");
    if (!maximum || !copy->width || copy->width > maximum)
        return fail(RT_PARAM_INVALID, "%zu bytes into a destination of %zu (destMax); at least one byte and no more than destMax is expected", copy->width,
                    maximum);
    copy->destination_on_device = is_on_device(copy->destination);
    copy->source_on_device = is_on_device(copy->source);
    return 0;
}

static int check_kind(const struct copy *copy, aclrtMemcpyKind kind, bool asynchronous)
{
    static const char *const names[] = {"host", "device"};
    static const signed char expected[8][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {-1, -1}, {0, 1}, {1, 1}, {1, 1}}; /* source, destination */
    if ((int)kind < 0 || kind > 7)
        return fail(RT_PARAM_INVALID, "kind is %d; 0 to 7 is expected", (int)kind);
    if (asynchronous && (kind == ACL_HOST_TO_HOST || (!copy->source_on_device && !copy->destination_on_device)))
        return fail(RT_FEATURE_NOT_SUPPORT, "asynchronous copies from host to host do not exist on this machine");
    if (expected[kind][0] >= 0 && (expected[kind][0] != copy->source_on_device || expected[kind][1] != copy->destination_on_device))
        return fail(RT_PARAM_INVALID, "kind says %s to %s, but the source is %s and the destination %s memory", names[expected[kind][0]],
                    names[expected[kind][1]], names[copy->source_on_device], names[copy->destination_on_device]);
    return 0;
}

static int begin_sync(struct context **context)
{
    int result = runtime_check(context);
    if (result)
        return result;
    pthread_mutex_lock(&emulator_lock);
    result = capture_refuses_sync_copy();
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

EXPORT aclError aclrtMemcpy(void *destination, size_t maximum, const void *source, size_t count, aclrtMemcpyKind kind)
{
    ENTER();
    (void)kind; /* the real call ignores it as well */
    struct context *context;
    int result = begin_sync(&context);
    struct copy copy = {.destination = destination, .source = source, .width = count, .height = 1};
    if (!result)
        result = check_copy(&copy, maximum);
    if (result)
        return result;
    count_add(COUNT_COPIES, 1);
    return perform_copy(&copy, context->device, RT_PARAM_INVALID);
}

EXPORT aclError aclrtMemcpyAsync(void *destination, size_t maximum, const void *source, size_t count, aclrtMemcpyKind kind, aclrtStream stream)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    struct copy copy = {.destination = destination, .source = source, .width = count, .height = 1};
    if (!result)
        result = check_copy(&copy, maximum);
    if (!result)
        result = check_kind(&copy, kind, true);
    return result ? result : submit_copy(stream, &copy, TASK_COPY);
}

static int check_copy_2d(struct copy *copy, aclrtMemcpyKind kind)
{
    if (copy->width > copy->destination_pitch || copy->width > copy->source_pitch || copy->width > 5000000 || copy->height > 5242880 || !copy->height)
        return fail(ACL_INVALID_PARAM,
                    "width %zu, height %zu, pitches %zu and %zu: width within both pitches and 5,000,000, height 1 to 5,242,880 are expected", copy->width,
                    copy->height, copy->destination_pitch, copy->source_pitch);
    int result = check_copy(copy, copy->destination_pitch);
    if (!result && kind != ACL_HOST_TO_DEVICE && kind != ACL_DEVICE_TO_HOST && (kind != ACL_DEVICE_TO_DEVICE || emulator_settings()->soc.family == SOC_310P))
        result = fail(ACL_INVALID_PARAM, "kind %d is not among those of a two-dimensional copy", (int)kind);
    return result ? result : check_kind(copy, kind, false);
}

EXPORT aclError aclrtMemcpy2d(void *destination, size_t destination_pitch, const void *source, size_t source_pitch, size_t width, size_t height,
                              aclrtMemcpyKind kind)
{
    ENTER();
    struct context *context;
    int result = begin_sync(&context);
    struct copy copy = {destination, source, width, height, destination_pitch, source_pitch, false, false, 0};
    if (!result)
        result = check_copy_2d(&copy, kind);
    return result ? result : perform_copy(&copy, context->device, RT_PARAM_INVALID);
}

EXPORT aclError aclrtMemcpy2dAsync(void *destination, size_t destination_pitch, const void *source, size_t source_pitch, size_t width, size_t height,
                                   aclrtMemcpyKind kind, aclrtStream stream)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    struct copy copy = {destination, source, width, height, destination_pitch, source_pitch, false, false, 0};
    if (!result)
        result = check_copy_2d(&copy, kind);
    return result ? result : submit_copy(stream, &copy, TASK_COPY);
}

static int check_set(struct copy *copy, void *pointer, size_t maximum, int32_t value, size_t count)
{
    if (!pointer || !count || count > maximum)
        return fail(RT_PARAM_INVALID, "%zu bytes of a buffer of %zu (maxCount) at %p: a pointer and 1 to maxCount bytes are expected", count, maximum, pointer);
    *copy = (struct copy){.destination = pointer, .width = count, .height = 1, .value = value & 0xFF, .destination_on_device = is_on_device(pointer)};
    if (!copy->destination_on_device && !memory_is_pinned_host(pointer, count))
        return fail(RT_PARAM_INVALID, "%p is neither device memory nor host memory of aclrtMallocHost", pointer);
    return 0;
}

EXPORT aclError aclrtMemset(void *pointer, size_t maximum, int32_t value, size_t count)
{
    ENTER();
    struct context *context;
    struct copy copy;
    int result = begin_sync(&context);
    if (!result)
        result = check_set(&copy, pointer, maximum, value, count);
    return result ? result : perform_copy(&copy, context->device, RT_PARAM_INVALID);
}

EXPORT aclError aclrtMemsetAsync(void *pointer, size_t maximum, int32_t value, size_t count, aclrtStream stream)
{
    ENTER();
    struct context *context;
    struct copy copy;
    int result = runtime_check(&context);
    if (!result)
        result = check_set(&copy, pointer, maximum, value, count);
    return result ? result : submit_copy(stream, &copy, TASK_SET);
}

EXPORT aclError aclrtGetMemInfo(aclrtMemAttr attribute, size_t *free_bytes, size_t *total_bytes)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!free_bytes || !total_bytes || (int)attribute < 0 || (int)attribute > 17)
        return fail(ACL_INVALID_PARAM, "an out-pointer is NULL, or attribute %d is unknown", (int)attribute);
    bool ddr = attribute == ACL_DDR_MEM && emulator_settings()->soc.family != SOC_310P;
    *total_bytes = ddr ? 0 : context->device->capacity;
    *free_bytes = ddr ? 0 : memory_free_bytes(context->device);
    return 0;
}

EXPORT aclError aclrtPointerGetAttributes(const void *pointer, aclrtPtrAttributes *attributes)
{
    ENTER();
    if (!attributes)
        return fail(ACL_INVALID_PARAM, "attributes is NULL");
    int device = 0;
    bool on_device = memory_is_device(pointer, &device, NULL, NULL);
    *attributes = (aclrtPtrAttributes){.id = (uint32_t)device, .type = on_device ? 1 : memory_is_pinned_host(pointer, 1) ? 0 : 2, .pageSize = 4096};
    return 0;
}

EXPORT aclError aclrtMemGetAddressRange(void *pointer, void **base, size_t *size)
{
    ENTER();
    int device;
    if (!base || !size || !memory_is_device(pointer, &device, base, size) || !*base)
        return fail(RT_PARAM_INVALID, "%p lies in no device buffer", pointer);
    return 0;
}

EXPORT aclError aclrtMallocHostWithCfg(void **pointer, uint64_t size, void *config)
{
    ENTER();
    return config ? fail(RT_FEATURE_NOT_SUPPORT, "the emulator knows no aclrtMallocConfig: pass NULL") : aclrtMallocHost(pointer, (size_t)size);
}

EXPORT aclError aclrtMemsetD32(void *pointer, size_t maximum, uint32_t value, size_t count)
{
    ENTER();
    if (count > maximum / 4)
        return fail(RT_PARAM_INVALID, "%zu words are more than the %zu bytes that memSize gives", count, maximum);
    for (int byte = 0; byte < 4; byte++) /* equal bytes are the usual case: one set */
        if ((value >> 8 * byte & 0xFF) != (value & 0xFF))
            return fail(RT_FEATURE_NOT_SUPPORT, "the emulator sets words of four equal bytes only, found 0x%x", value);
    return aclrtMemset(pointer, maximum, (int32_t)(value & 0xFF), 4 * count);
}

static int touch(void *pointer, size_t size)
{
    struct context *context;
    unsigned char *contents;
    char why[160];
    int result = runtime_check(&context);
    if (result)
        return result;
    struct block *block = size ? memory_pin(context->device, (uint64_t)(uintptr_t)pointer, size, &contents, why) : NULL;
    if (!block)
        return fail(RT_PARAM_INVALID, "%s", size ? why : "size is 0");
    memory_unpin(block);
    return 0;
}

EXPORT aclError aclrtMemFlush(void *pointer, size_t size)
{
    ENTER();
    return touch(pointer, size);
}

EXPORT aclError aclrtMemInvalidate(void *pointer, size_t size)
{
    ENTER();
    return touch(pointer, size);
}
