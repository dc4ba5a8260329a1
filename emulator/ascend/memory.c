/* Device memory. A block has an address in its device's window (reserved without access rights: the host cannot read it) and contents elsewhere. Small
 * contents come from the heap, so that a sanitizer sees the edges; large ones are private mappings of one file full of 0xFF bytes, so that gigabytes of
 * "uninitialised" memory read as NaN and cost nothing until written. Addresses are given out upwards and reused only when the window is used up, so that
 * a freed buffer is recognised. */
#include "emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POISON 0xFF
#define POISON_FILE_BYTES ((uint64_t)16 << 20)
#define MAPPED_FROM ((uint64_t)1 << 20)
#define RESERVED_ALIGNMENT ((uint64_t)2 << 20)
#define WINDOW_LIMIT ((uint64_t)256 << 30)

struct mapped { /* a part of a reservation with physical memory behind it */
    uint64_t offset, size;
    bool live;
};

struct block {
    uint64_t address, size, spaced, charged; /* asked for; taken in the window; taken from the capacity */
    unsigned char *contents;
    uint64_t shared_bytes; /* of the mapping, when other processes may reach the contents: a header page and the contents; else 0 */
    struct device *device;
    unsigned pins;
    bool live;
    bool reserved; /* addresses only: contents are inaccessible but where mapped */
    bool torn;     /* a part was unmapped while in use */
    struct mapped *mapped;
    size_t n_mapped;
    uint64_t number; /* of this allocation in the process */
    const char *maker;
};

static struct block **blocks; /* sorted by address; dead ones stay until their addresses are needed */
static size_t n_blocks, max_blocks;
static uint64_t next_number = 1;
static int poison_file = -1;
static struct device devices[16];
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;

struct device *device_at(int index)
{
    return index >= 0 && (unsigned)index < emulator_settings()->n_devices ? &devices[index] : NULL;
}

void memory_reserve_windows(void)
{
    const struct settings *settings = emulator_settings();
    pthread_mutex_lock(&memory_lock);
    for (unsigned i = 0; i < settings->n_devices; i++) {
        struct device *device = &devices[i];
        if (device->window)
            continue;
        device->index = (int)i;
        device->capacity = settings->memory_bytes;
        device->window_size = 2 * settings->memory_bytes > WINDOW_LIMIT ? 2 * settings->memory_bytes : 4 * settings->memory_bytes;
        void *window = mmap(NULL, device->window_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (window != MAP_FAILED)
            device->window = (uint64_t)(uintptr_t)window;
    }
    pthread_mutex_unlock(&memory_lock);
}

/* First block that ends above the address. */
static size_t find_index(uint64_t address)
{
    size_t low = 0, high = n_blocks;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (blocks[middle]->address + blocks[middle]->spaced <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool contents_map(struct block *block)
{
    if (poison_file < 0) {
        unsigned char page[4096];
        memset(page, POISON, sizeof page);
        poison_file = memfd_create("ascend-emulator-poison", MFD_CLOEXEC);
        for (uint64_t at = 0; poison_file >= 0 && at < POISON_FILE_BYTES; at += sizeof page)
            if (write(poison_file, page, sizeof page) != (ssize_t)sizeof page)
                return false;
    }
    uint64_t length = (block->size + 4095) / 4096 * 4096;
    unsigned char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    for (uint64_t at = 0; at < length; at += POISON_FILE_BYTES) {
        uint64_t piece = length - at < POISON_FILE_BYTES ? length - at : POISON_FILE_BYTES;
        if (mmap(base + at, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, poison_file, 0) == MAP_FAILED) {
            munmap(base, length);
            return false;
        }
    }
    block->contents = base;
    return true;
}

static bool contents_make(struct block *block)
{
    if (block->size > MAPPED_FROM)
        return contents_map(block);
    block->contents = aligned_alloc(64, (block->size + 63) / 64 * 64);
    if (block->contents)
        memset(block->contents, POISON, (block->size + 63) / 64 * 64);
    return block->contents != NULL;
}

static void contents_drop(struct block *block)
{
    if (block->reserved) {
        if (block->contents)
            munmap(block->contents, (block->size + 4095) / 4096 * 4096);
        free(block->mapped);
        block->mapped = NULL;
        block->n_mapped = 0;
    } else if (block->contents && block->shared_bytes)
        munmap(block->contents - MEMORY_SHARED_HEADER, block->shared_bytes);
    else if (block->contents && block->size > MAPPED_FROM)
        munmap(block->contents, (block->size + 4095) / 4096 * 4096);
    else
        free(block->contents);
    block->contents = NULL;
}

static void forget_block(size_t index)
{
    free(blocks[index]);
    memmove(blocks + index, blocks + index + 1, (n_blocks - index - 1) * sizeof *blocks);
    n_blocks--;
}

/* A free range in the window from the cursor upwards, once around; dead blocks in the way are forgotten. 0: none. */
static uint64_t find_range(struct device *device, uint64_t spaced)
{
    uint64_t end = device->window + device->window_size;
    uint64_t at = device->window + device->cursor;
    for (int turn = 0; turn < 2; turn++, at = device->window) {
        while (at + spaced <= end) {
            size_t index = find_index(at);
            bool blocked = false;
            while (index < n_blocks && blocks[index]->address < at + spaced) {
                if (blocks[index]->live || blocks[index]->pins) {
                    at = blocks[index]->address + blocks[index]->spaced;
                    blocked = true;
                    break;
                }
                forget_block(index);
            }
            if (!blocked)
                return at;
        }
    }
    return 0;
}

static int insert_block(struct block *block)
{
    if (n_blocks == max_blocks) {
        size_t larger = max_blocks ? 2 * max_blocks : 256;
        struct block **grown = realloc(blocks, larger * sizeof *blocks);
        if (!grown)
            return 1;
        blocks = grown;
        max_blocks = larger;
    }
    size_t index = find_index(block->address);
    memmove(blocks + index + 1, blocks + index, (n_blocks - index) * sizeof *blocks);
    blocks[index] = block;
    n_blocks++;
    return 0;
}

/* A block of which only the addresses are given out; contents from elsewhere when `contents` is not NULL. alignment: of the address, a power of two. */
static struct block *place_block(struct device *device, uint64_t size, uint64_t charged, uint64_t alignment, unsigned char *contents, uint64_t shared_bytes)
{
    struct block *block = calloc(1, sizeof *block);
    if (!block)
        return NULL;
    *block = (struct block){.size = size, .charged = charged, .device = device, .live = true, .maker = entry_name(), .number = next_number++};
    block->spaced = (size + 32 + 511) / 512 * 512 + 512; /* a gap, so that neighbours never touch */
    uint64_t range = find_range(device, block->spaced + alignment);
    block->address = range ? (range + alignment - 1) / alignment * alignment : 0;
    block->contents = contents;
    block->shared_bytes = shared_bytes;
    if (!block->address || (!contents && !contents_make(block)) || insert_block(block)) {
        if (!contents)
            contents_drop(block);
        free(block);
        return NULL;
    }
    device->cursor = block->address + block->spaced - device->window;
    device->used += charged;
    return block;
}

static int allocate_locked(struct device *device, uint64_t size, uint64_t charged, void **pointer)
{
    if (!device->window)
        return fail(RT_MEMORY_ALLOCATION, "device %d has no address window (the process's address space is limited)", device->index);
    if (charged < size || device->used + charged > device->capacity)
        return fail(RT_MEMORY_ALLOCATION, "out of memory on device %d: %llu bytes asked for (%llu with page rounding), %llu of %llu are free", device->index,
                    (unsigned long long)size, (unsigned long long)charged, (unsigned long long)(device->capacity - device->used),
                    (unsigned long long)device->capacity);
    struct block *block = place_block(device, size, charged, 64, NULL, 0);
    if (!block)
        return fail(RT_MEMORY_ALLOCATION, "no host memory behind %llu bytes of device %d", (unsigned long long)size, device->index);
    *pointer = (void *)(uintptr_t)block->address;
    return 0;
}

int memory_allocate(struct device *device, uint64_t size, uint64_t charged, void **pointer)
{
    if (fault_take_oom())
        return fail(RT_MEMORY_ALLOCATION, "out of memory on device %d (ordered by ASCEND_EMULATOR_FAULT)", device->index);
    pthread_mutex_lock(&memory_lock);
    int result = allocate_locked(device, size, charged, pointer);
    pthread_mutex_unlock(&memory_lock);
    return result;
}

static void kill_block(struct block *block)
{
    block->live = false;
    block->device->used -= block->charged;
    if (!block->pins)
        contents_drop(block);
}

int memory_free(struct device *device, void *pointer)
{
    uint64_t address = (uint64_t)(uintptr_t)pointer;
    pthread_mutex_lock(&memory_lock);
    size_t index = find_index(address);
    struct block *block = index < n_blocks && blocks[index]->address <= address ? blocks[index] : NULL;
    int result = 0;
    if (!block)
        result = fail(RT_PARAM_INVALID, "%p was not allocated by aclrtMalloc", pointer);
    else if (block->address != address)
        result = fail(RT_PARAM_INVALID, "%p points %llu bytes into a buffer of %llu bytes; only its start can be freed", pointer,
                      (unsigned long long)(address - block->address), (unsigned long long)block->size);
    else if (!block->live)
        result = fail(RT_PARAM_INVALID, "%p (%llu bytes, allocation %llu) was freed before: double free", pointer, (unsigned long long)block->size,
                      (unsigned long long)block->number);
    else if (block->reserved)
        result = fail(RT_PARAM_INVALID, "%p comes from aclrtReserveMemAddress: release it by aclrtReleaseMemAddress", pointer);
    else if (block->device != device)
        result = fail(RT_PARAM_INVALID, "%p belongs to device %d, the current context to device %d", pointer, block->device->index, device->index);
    else
        kill_block(block);
    pthread_mutex_unlock(&memory_lock);
    return result;
}

void memory_free_all(struct device *device)
{
    pthread_mutex_lock(&memory_lock);
    for (size_t i = 0; i < n_blocks; i++)
        if (blocks[i]->device == device && blocks[i]->live)
            kill_block(blocks[i]);
    pthread_mutex_unlock(&memory_lock);
}

/* Whether all of a reservation's range has physical memory behind it; several mappings may join. */
static bool is_mapped(const struct block *block, uint64_t offset, uint64_t bytes)
{
    while (bytes) {
        const struct mapped *found = NULL;
        for (size_t i = 0; i < block->n_mapped && !found; i++)
            if (block->mapped[i].live && offset - block->mapped[i].offset < block->mapped[i].size)
                found = &block->mapped[i];
        if (!found)
            return false;
        uint64_t rest = found->offset + found->size - offset, step = rest < bytes ? rest : bytes;
        offset += step;
        bytes -= step;
    }
    return true;
}

static struct block *pin_locked(struct device *device, uint64_t address, uint64_t bytes, char why[160])
{
    size_t index = find_index(address);
    struct block *block = index < n_blocks && blocks[index]->address <= address ? blocks[index] : NULL;
    if (!block) {
        snprintf(why, 160, address ? "0x%llx is not device memory (a host pointer, or never allocated)" : "the address is NULL", (unsigned long long)address);
    } else if (!block->live) {
        snprintf(why, 160, "0x%llx lies in a buffer of %llu bytes that was freed (allocation %llu)", (unsigned long long)address,
                 (unsigned long long)block->size, (unsigned long long)block->number);
    } else if (address + bytes > block->address + block->size) {
        snprintf(why, 160, "%llu bytes from 0x%llx reach %llu beyond the buffer of %llu bytes (allocation %llu)", (unsigned long long)bytes,
                 (unsigned long long)address, (unsigned long long)(address + bytes - block->address - block->size), (unsigned long long)block->size,
                 (unsigned long long)block->number);
    } else if (block->device != device && !(device->peers & 1u << block->device->index)) {
        snprintf(why, 160, "0x%llx lies on device %d, which device %d has no peer access to", (unsigned long long)address, block->device->index, device->index);
    } else if (block->reserved && !is_mapped(block, address - block->address, bytes)) {
        snprintf(why, 160, "%llu bytes from 0x%llx lie in reserved addresses that no physical memory is mapped to, or only in part", (unsigned long long)bytes,
                 (unsigned long long)address);
    } else {
        return block;
    }
    return NULL;
}

struct block *memory_pin(struct device *device, uint64_t address, uint64_t bytes, unsigned char **contents, char why[160])
{
    pthread_mutex_lock(&memory_lock);
    struct block *block = pin_locked(device, address, bytes, why);
    if (block) {
        block->pins++;
        *contents = block->contents + (address - block->address);
    }
    pthread_mutex_unlock(&memory_lock);
    return block;
}

/* Parts that were unmapped become inaccessible once nobody is at work in the reservation. */
static void sweep(struct block *block)
{
    for (size_t i = block->n_mapped; i-- > 0;) {
        struct mapped *m = &block->mapped[i];
        if (m->live)
            continue;
        mmap(block->contents + m->offset, m->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        *m = block->mapped[--block->n_mapped];
    }
}

bool memory_unpin(struct block *block)
{
    pthread_mutex_lock(&memory_lock);
    bool whole = block->live && !block->torn;
    if (!--block->pins) {
        if (!block->live)
            contents_drop(block);
        else if (block->torn)
            sweep(block);
        block->torn = false;
    }
    pthread_mutex_unlock(&memory_lock);
    return whole;
}

int memory_charge(struct device *device, uint64_t bytes)
{
    if (fault_take_oom())
        return fail(RT_MEMORY_ALLOCATION, "out of memory on device %d (ordered by ASCEND_EMULATOR_FAULT)", device->index);
    pthread_mutex_lock(&memory_lock);
    bool fits = device->capacity - device->used >= bytes;
    device->used += fits ? bytes : 0;
    uint64_t left = device->capacity - device->used;
    pthread_mutex_unlock(&memory_lock);
    return fits ? 0
                : fail(RT_MEMORY_ALLOCATION, "out of memory on device %d: %llu bytes asked for, %llu are free", device->index, (unsigned long long)bytes,
                       (unsigned long long)left);
}

void memory_discharge(struct device *device, uint64_t bytes)
{
    pthread_mutex_lock(&memory_lock);
    device->used -= bytes;
    pthread_mutex_unlock(&memory_lock);
}

int memory_reserve(struct device *device, uint64_t size, void **pointer)
{
    *pointer = NULL;
    if (size > device->window_size)
        return fail(RT_MEMORY_ALLOCATION, "%llu bytes are more than device %d has addresses", (unsigned long long)size, device->index);
    uint64_t length = (size + 4095) / 4096 * 4096;
    unsigned char *contents = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (contents == MAP_FAILED)
        return fail(RT_MEMORY_ALLOCATION, "no host addresses for a reservation of %llu bytes", (unsigned long long)size);
    pthread_mutex_lock(&memory_lock);
    struct block *block = place_block(device, size, 0, RESERVED_ALIGNMENT, contents, 0);
    if (block)
        block->reserved = true;
    pthread_mutex_unlock(&memory_lock);
    if (!block) {
        munmap(contents, length);
        return fail(RT_MEMORY_ALLOCATION, "no addresses for a reservation of %llu bytes on device %d", (unsigned long long)size, device->index);
    }
    *pointer = (void *)(uintptr_t)block->address;
    return 0;
}

/* With the lock: the live reservation that holds the address. */
static struct block *find_reserved(uint64_t address)
{
    size_t index = find_index(address);
    struct block *block = index < n_blocks && blocks[index]->address <= address ? blocks[index] : NULL;
    return block && block->live && block->reserved && address - block->address < block->size ? block : NULL;
}

int memory_release(void *pointer)
{
    uint64_t address = (uint64_t)(uintptr_t)pointer;
    pthread_mutex_lock(&memory_lock);
    struct block *block = find_reserved(address);
    size_t mapped = 0;
    for (size_t i = 0; block && i < block->n_mapped; i++)
        mapped += block->mapped[i].live;
    int result = 0;
    if (!block || block->address != address)
        result = fail(RT_PARAM_INVALID, "%p is not what aclrtReserveMemAddress gave, or was released", pointer);
    else if (mapped)
        result = fail(RT_PARAM_INVALID, "%zu pieces of physical memory are still mapped there: unmap them first", mapped);
    else
        kill_block(block);
    pthread_mutex_unlock(&memory_lock);
    return result;
}

static int map_locked(uint64_t address, uint64_t size, const struct device *device, int file)
{
    struct block *block = find_reserved(address);
    uint64_t offset = block ? address - block->address : 0;
    if (!block || block->device != device)
        return fail(RT_PARAM_INVALID, "0x%llx lies in no reservation of device %d", (unsigned long long)address, device->index);
    if (offset % 4096 || offset + size > block->size)
        return fail(RT_PARAM_INVALID, "%llu bytes at offset %llu do not fit the reservation of %llu", (unsigned long long)size, (unsigned long long)offset,
                    (unsigned long long)block->size);
    for (size_t i = 0; i < block->n_mapped; i++)
        if (offset < block->mapped[i].offset + block->mapped[i].size && block->mapped[i].offset < offset + size)
            return fail(RT_PARAM_INVALID, "a part of the range is mapped already%s",
                        block->mapped[i].live ? "" : " (unmapped, but a task is still at work there)");
    struct mapped *grown = realloc(block->mapped, (block->n_mapped + 1) * sizeof *grown);
    if (grown)
        block->mapped = grown;
    if (!grown || mmap(block->contents + offset, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED)
        return fail(RT_MEMORY_ALLOCATION, "no host memory to map %llu bytes", (unsigned long long)size);
    block->mapped[block->n_mapped++] = (struct mapped){offset, size, true};
    return 0;
}

int memory_map(void *pointer, uint64_t size, const struct device *device, int file)
{
    pthread_mutex_lock(&memory_lock);
    int result = map_locked((uint64_t)(uintptr_t)pointer, size, device, file);
    pthread_mutex_unlock(&memory_lock);
    return result;
}

int memory_unmap(void *pointer)
{
    uint64_t address = (uint64_t)(uintptr_t)pointer;
    int result = fail(RT_PARAM_INVALID, "nothing is mapped at %p", pointer);
    pthread_mutex_lock(&memory_lock);
    struct block *block = find_reserved(address);
    for (size_t i = 0; block && i < block->n_mapped; i++)
        if (block->mapped[i].live && block->mapped[i].offset == address - block->address) {
            block->mapped[i].live = false;
            result = 0;
        }
    if (!result && block->pins)
        block->torn = true;
    else if (!result)
        sweep(block);
    pthread_mutex_unlock(&memory_lock);
    return result;
}

bool memory_is_device(const void *pointer, int *device, void **base, size_t *size)
{
    uint64_t address = (uint64_t)(uintptr_t)pointer;
    bool inside = false;
    pthread_mutex_lock(&memory_lock);
    for (unsigned i = 0; i < emulator_settings()->n_devices; i++)
        if (address - devices[i].window < devices[i].window_size && devices[i].window) {
            inside = true;
            *device = (int)i;
        }
    if (inside && base) {
        size_t index = find_index(address);
        bool found = index < n_blocks && blocks[index]->address <= address && blocks[index]->live;
        *base = found ? (void *)(uintptr_t)blocks[index]->address : NULL;
        *size = found ? blocks[index]->size : 0;
    }
    pthread_mutex_unlock(&memory_lock);
    return inside;
}

int memory_share(void *pointer, uint64_t size, unsigned char *mapping, uint64_t mapped)
{
    uint64_t address = (uint64_t)(uintptr_t)pointer;
    pthread_mutex_lock(&memory_lock);
    size_t index = find_index(address);
    struct block *block = index < n_blocks && blocks[index]->address == address && blocks[index]->live ? blocks[index] : NULL;
    int result = 0;
    if (!block || size > block->size)
        result = fail(RT_PARAM_INVALID, "%p with %llu bytes is not a live buffer, from its start and within its size", pointer, (unsigned long long)size);
    else if (block->reserved)
        result = fail(RT_FEATURE_NOT_SUPPORT, "the emulator does not export reserved addresses");
    else if (block->pins || block->shared_bytes)
        result = fail(RT_PARAM_INVALID, "the buffer is in use by a running task, or exported already");
    else if (mapped < MEMORY_SHARED_HEADER + block->size)
        result = fail(RT_PARAM_INVALID, "size is %llu, the buffer has %llu bytes: export it whole", (unsigned long long)size, (unsigned long long)block->size);
    if (!result) {
        memcpy(mapping + MEMORY_SHARED_HEADER, block->contents, block->size);
        contents_drop(block);
        block->contents = mapping + MEMORY_SHARED_HEADER;
        block->shared_bytes = mapped;
    }
    pthread_mutex_unlock(&memory_lock);
    return result;
}

int memory_import(struct device *device, uint64_t size, unsigned char *mapping, uint64_t mapped, void **pointer)
{
    pthread_mutex_lock(&memory_lock);
    struct block *block = place_block(device, size, 0, 64, mapping + MEMORY_SHARED_HEADER, mapped);
    pthread_mutex_unlock(&memory_lock);
    if (!block)
        return fail(RT_MEMORY_ALLOCATION, "no addresses for an imported buffer");
    *pointer = (void *)(uintptr_t)block->address;
    return 0;
}

void memory_damage(struct device *device)
{
    struct block *found = NULL;
    pthread_mutex_lock(&memory_lock);
    for (size_t i = 0; i < n_blocks; i++) /* the newest: most likely in use */
        if (blocks[i]->device == device && blocks[i]->live && !blocks[i]->reserved && (!found || blocks[i]->number > found->number))
            found = blocks[i];
    device->damaged = found ? (void *)(uintptr_t)found->address : NULL;
    device->damaged_bytes = found ? (size_t)(found->size < 4096 ? found->size : 4096) : 0;
    if (found && !found->pins)
        memset(found->contents, POISON, device->damaged_bytes);
    pthread_mutex_unlock(&memory_lock);
}

uint64_t memory_free_bytes(const struct device *device)
{
    pthread_mutex_lock(&memory_lock);
    uint64_t bytes = device->capacity - device->used;
    pthread_mutex_unlock(&memory_lock);
    return bytes;
}

uint64_t memory_allocated(void)
{
    uint64_t total = 0;
    pthread_mutex_lock(&memory_lock);
    for (unsigned i = 0; i < emulator_settings()->n_devices; i++)
        total += devices[i].used;
    pthread_mutex_unlock(&memory_lock);
    return total;
}

unsigned memory_list_leaks(void)
{
    unsigned leaks = 0;
    uint64_t bytes = 0;
    pthread_mutex_lock(&memory_lock);
    for (size_t i = 0; i < n_blocks; i++) {
        struct block *block = blocks[i];
        if (block->live) {
            if (++leaks <= 8 && !emulator_settings()->quiet_leaks)
                fprintf(stderr, "ascend emulator: leak: %llu bytes on device %d (allocation %llu, by %s)\n", (unsigned long long)block->size,
                        block->device->index, (unsigned long long)block->number, block->maker);
            bytes += block->size;
        }
        if (!block->pins) { /* a worker may still be at work on the others: the process ends under it */
            contents_drop(block);
            free(block);
        }
    }
    free(blocks);
    blocks = NULL;
    n_blocks = max_blocks = 0;
    if (leaks > 8 && !emulator_settings()->quiet_leaks)
        fprintf(stderr, "ascend emulator: leak: %u buffers of device memory in all, %llu bytes\n", leaks, (unsigned long long)bytes);
    pthread_mutex_unlock(&memory_lock);
    return leaks;
}
