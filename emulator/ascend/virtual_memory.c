/* Virtual memory: addresses are reserved, physical memory is allocated, and one is mapped to the other; a buffer that grows by mapping more is one range of
 * addresses, which an operator may cross. A reservation is a block whose contents are inaccessible host addresses (memory.c); physical memory is a memory file,
 * mapped into them. Physical memory lives until it was freed and its last mapping is gone. */
#include "emulator.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define POISONED_BYTES (256 * MIB) /* further bytes of one piece read as 0 instead of 0xFF: filling them would take host memory at once */

struct physical {
    struct object object;
    struct physical *next;
    struct device *device;
    uint64_t size;
    int file;
    unsigned mappings;
    bool freed;
};

struct mapping {
    struct mapping *next;
    void *address;
    struct physical *physical;
};

static struct physical *physicals;
static struct mapping *mappings;
static pthread_mutex_t virtual_lock = PTHREAD_MUTEX_INITIALIZER;

static int check_property(const aclrtPhysicalMemProp *property, uint64_t *granularity)
{
    if (!property)
        return fail(ACL_INVALID_PARAM, "prop is NULL");
    if (property->handleType != 0 && property->handleType != 2)
        return fail(RT_PARAM_INVALID, "handleType is %d; 0 (none) or 2 (POSIX) is expected", property->handleType);
    if (property->allocationType != 0 || property->locationType != 1)
        return fail(RT_PARAM_INVALID, "allocationType is %d and the location %d; 0 (pinned) and 1 (device) are expected", property->allocationType,
                    property->locationType);
    if (!device_at((int)property->locationId))
        return fail(RT_INVALID_DEVICE, "device %u does not exist; there are %u", property->locationId, emulator_settings()->n_devices);
    switch (property->memAttr) {
    case 4:
    case 2:
    case 13: *granularity = 2 * MIB; return 0;
    case 10:
    case 14: *granularity = 1024 * MIB; return 0;
    case 0:
    case 1:
    case 3:
    case 5:
    case 12: *granularity = 4096; return 0;
    default: return fail(RT_PARAM_INVALID, "memAttr %d is not known to the emulator; 4 (HBM, huge pages) is usual", property->memAttr);
    }
}

EXPORT aclError aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp *property, aclrtMemGranularityOptions option, size_t *granularity)
{
    ENTER();
    struct context *context;
    uint64_t bytes;
    int result = runtime_check(&context);
    if (!result)
        result = check_property(property, &bytes);
    if (result)
        return result;
    if (!granularity || ((int)option != 0 && (int)option != 1))
        return fail(ACL_INVALID_PARAM, "granularity is NULL, or option %d neither 0 (minimum) nor 1 (recommended)", (int)option);
    *granularity = bytes;
    return 0;
}

EXPORT aclError aclrtReserveMemAddress(void **pointer, size_t size, size_t alignment, void *expected, uint64_t flags)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!pointer || !size)
        return fail(ACL_INVALID_PARAM, pointer ? "size is 0" : "virPtr is NULL");
    if (alignment || expected || flags > 1)
        return fail(RT_PARAM_INVALID, "alignment %zu, expectPtr %p, flags %llu: 0, NULL and 0 or 1 (huge pages) are expected", alignment, expected,
                    (unsigned long long)flags);
    return memory_reserve(context->device, size, pointer);
}

EXPORT aclError aclrtReleaseMemAddress(void *pointer)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    return result ? result : memory_release(pointer);
}

/* A file of the size, its beginning full of 0xFF. */
static int make_file(uint64_t size)
{
    static const size_t chunk = 1 << 20;
    int file = memfd_create("ascend-emulator-physical", MFD_CLOEXEC);
    unsigned char *poison = malloc(chunk);
    bool good = file >= 0 && poison && ftruncate(file, (off_t)size) == 0;
    if (good)
        memset(poison, 0xFF, chunk);
    for (uint64_t at = 0; good && at < size && at < POISONED_BYTES; at += chunk) {
        size_t bytes = size - at < chunk ? (size_t)(size - at) : chunk;
        good = pwrite(file, poison, bytes, (off_t)at) == (ssize_t)bytes;
    }
    free(poison);
    if (!good && file >= 0)
        close(file);
    return good ? file : -1;
}

EXPORT aclError aclrtMallocPhysical(aclrtDrvMemHandle *handle, size_t size, const aclrtPhysicalMemProp *property, uint64_t flags)
{
    ENTER();
    struct context *context;
    uint64_t granularity = 0;
    int result = runtime_check(&context);
    if (!result)
        result = check_property(property, &granularity);
    if (result)
        return result;
    if (!handle || flags)
        return fail(ACL_INVALID_PARAM, handle ? "flags must be 0" : "handle is NULL");
    *handle = NULL;
    if (!size || size % granularity)
        return fail(RT_PARAM_INVALID, "size is %zu; a multiple of the granularity %llu is expected", size, (unsigned long long)granularity);
    struct device *device = device_at((int)property->locationId);
    result = memory_charge(device, size);
    if (result)
        return result;
    struct physical *made = calloc(1, sizeof *made);
    int file = made ? make_file(size) : -1;
    if (file < 0) {
        free(made);
        memory_discharge(device, size);
        return fail(RT_MEMORY_ALLOCATION, "no host memory behind %zu bytes of device %d", size, device->index);
    }
    made->device = device;
    made->size = size;
    made->file = file;
    object_add(&made->object, OBJECT_PHYSICAL);
    pthread_mutex_lock(&virtual_lock);
    made->next = physicals;
    physicals = made;
    pthread_mutex_unlock(&virtual_lock);
    *handle = made;
    return 0;
}

/* With the lock: gone when it was freed and nothing maps it any more. */
static void drop_if_unused(struct physical *physical)
{
    if (!physical->freed || physical->mappings)
        return;
    for (struct physical **at = &physicals; *at; at = &(*at)->next)
        if (*at == physical) {
            *at = physical->next;
            break;
        }
    memory_discharge(physical->device, physical->size);
    close(physical->file);
    free(physical);
}

EXPORT aclError aclrtFreePhysical(aclrtDrvMemHandle handle)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!object_take(handle, OBJECT_PHYSICAL))
        return object_refuse(handle, OBJECT_PHYSICAL);
    struct physical *physical = handle;
    pthread_mutex_lock(&virtual_lock);
    physical->freed = true;
    drop_if_unused(physical);
    pthread_mutex_unlock(&virtual_lock);
    return 0;
}

EXPORT aclError aclrtMapMem(void *pointer, size_t size, size_t offset, aclrtDrvMemHandle handle, uint64_t flags)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!object_is(handle, OBJECT_PHYSICAL))
        return object_refuse(handle, OBJECT_PHYSICAL);
    struct physical *physical = handle;
    if (offset || flags || size != physical->size)
        return fail(RT_PARAM_INVALID, "size %zu, offset %zu, flags %llu: the whole piece of %llu bytes from 0, and 0 are expected", size, offset,
                    (unsigned long long)flags, (unsigned long long)physical->size);
    struct mapping *mapping = calloc(1, sizeof *mapping);
    if (!mapping)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a mapping");
    pthread_mutex_lock(&virtual_lock);
    result = memory_map(pointer, size, physical->device, physical->file);
    if (!result) {
        *mapping = (struct mapping){mappings, pointer, physical};
        mappings = mapping;
        physical->mappings++;
    }
    pthread_mutex_unlock(&virtual_lock);
    if (result)
        free(mapping);
    return result;
}

EXPORT aclError aclrtUnmapMem(void *pointer)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    pthread_mutex_lock(&virtual_lock);
    struct mapping **at = &mappings;
    while (*at && (*at)->address != pointer)
        at = &(*at)->next;
    struct mapping *mapping = *at;
    result = mapping ? memory_unmap(pointer) : fail(RT_PARAM_INVALID, "nothing was mapped at %p by aclrtMapMem", pointer);
    if (mapping) {
        *at = mapping->next;
        mapping->physical->mappings--;
        drop_if_unused(mapping->physical);
        free(mapping);
    }
    pthread_mutex_unlock(&virtual_lock);
    return result;
}

/* A reset takes everything of the device; the reservations go with the other blocks. */
void virtual_memory_reset(struct device *device)
{
    pthread_mutex_lock(&virtual_lock);
    for (struct mapping **at = &mappings; *at;) {
        struct mapping *mapping = *at;
        if (mapping->physical->device != device) {
            at = &mapping->next;
            continue;
        }
        *at = mapping->next;
        mapping->physical->mappings--;
        free(mapping);
    }
    for (struct physical *p = physicals, *next; p; p = next) {
        next = p->next;
        if (p->device != device)
            continue;
        object_take(p, OBJECT_PHYSICAL);
        p->freed = true;
        p->mappings = 0;
        drop_if_unused(p);
    }
    pthread_mutex_unlock(&virtual_lock);
}
