/* Device memory shared between processes. Export moves a buffer's contents into a POSIX shared-memory object whose name is the key: a header page (size,
 * who may import, how many have), then the contents. An importer maps the object and gets an address of its own. Importers close before the exporter. */
#include "emulator.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEY_BYTES 65
#define MAX_PIDS 64

struct shared_header {
    _Atomic uint32_t ready, importers, n_pids;
    uint32_t open_to_all;
    uint64_t size;
    _Atomic int32_t pids[MAX_PIDS];
};
_Static_assert(sizeof(struct shared_header) <= MEMORY_SHARED_HEADER, "the header fits its page");

struct shared_key { /* of this process */
    struct shared_key *next;
    char key[KEY_BYTES];
    void *pointer;
    struct shared_header *header; /* a mapping of its own, so that it outlives the buffer */
    bool exported;
};

static struct shared_key *keys;
static unsigned next_key;
static pthread_mutex_t keys_lock = PTHREAD_MUTEX_INITIALIZER;

static struct shared_key **find_key(const char *key)
{
    struct shared_key **at = &keys;
    while (*at && strncmp((*at)->key, key, KEY_BYTES))
        at = &(*at)->next;
    return at;
}

/* Both mappings of an object: the header, and everything. */
static bool map_object(const char *key, bool create, uint64_t bytes, struct shared_header **header, unsigned char **all)
{
    int file = shm_open(key, create ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0600);
    if (file < 0)
        return false;
    void *first = MAP_FAILED, *second = MAP_FAILED;
    if (!create || ftruncate(file, (off_t)bytes) == 0)
        first = mmap(NULL, MEMORY_SHARED_HEADER, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (first != MAP_FAILED && !create)
        bytes = MEMORY_SHARED_HEADER + ((struct shared_header *)first)->size;
    if (first != MAP_FAILED)
        second = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (second == MAP_FAILED) {
        if (first != MAP_FAILED)
            munmap(first, MEMORY_SHARED_HEADER);
        if (create)
            shm_unlink(key);
        return false;
    }
    *header = first;
    *all = second;
    return true;
}

static int remember(const char *key, void *pointer, struct shared_header *header, bool exported)
{
    struct shared_key *entry = calloc(1, sizeof *entry);
    if (!entry)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a key");
    snprintf(entry->key, sizeof entry->key, "%s", key);
    entry->pointer = pointer;
    entry->header = header;
    entry->exported = exported;
    pthread_mutex_lock(&keys_lock);
    entry->next = keys;
    keys = entry;
    pthread_mutex_unlock(&keys_lock);
    return 0;
}

EXPORT aclError aclrtDeviceGetBareTgid(int32_t *pid)
{
    ENTER();
    if (!pid)
        return fail(ACL_INVALID_PARAM, "pid is NULL");
    *pid = (int32_t)getpid();
    return 0;
}

EXPORT aclError aclrtIpcMemGetExportKey(void *pointer, size_t size, char *key, size_t length, uint64_t flags)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!pointer || !size || size > (size_t)1 << 40 || !key || length != KEY_BYTES || flags > 1)
        return fail(RT_PARAM_INVALID, "a pointer, a size, a key of exactly %d bytes (found %zu) and flags 0 or 1 are expected", KEY_BYTES, length);
    struct shared_header *header;
    unsigned char *all;
    pthread_mutex_lock(&keys_lock);
    snprintf(key, length, "/ascend-emulator-%d-%u", (int)getpid(), next_key++);
    pthread_mutex_unlock(&keys_lock);
    uint64_t bytes = MEMORY_SHARED_HEADER + size;
    if (!map_object(key, true, bytes, &header, &all))
        return fail(RT_MEMORY_ALLOCATION, "the host has no shared memory for %zu bytes", size);
    header->size = size;
    header->open_to_all = flags == 1;
    result = memory_share(pointer, size, all, bytes);
    if (result)
        munmap(all, bytes);
    else
        result = remember(key, pointer, header, true);
    if (result) {
        munmap(header, MEMORY_SHARED_HEADER);
        shm_unlink(key);
        return result;
    }
    atomic_store(&header->ready, 1);
    return 0;
}

EXPORT aclError aclrtIpcMemSetImportPid(const char *key, int32_t *pids, size_t count)
{
    ENTER();
    if (!key || !pids || !count)
        return fail(RT_PARAM_INVALID, "key or pid is NULL, or num is 0");
    pthread_mutex_lock(&keys_lock);
    struct shared_key *entry = *find_key(key);
    struct shared_header *header = entry && entry->exported ? entry->header : NULL;
    uint32_t used = header ? atomic_load(&header->n_pids) : 0;
    bool fits = header && count <= MAX_PIDS - used;
    for (size_t i = 0; fits && i < count; i++)
        atomic_store(&header->pids[used + i], pids[i]);
    if (fits)
        atomic_store(&header->n_pids, used + (uint32_t)count);
    pthread_mutex_unlock(&keys_lock);
    return fits ? 0 : fail(RT_PARAM_INVALID, "the key was not exported by this process, or it lists more than %d processes", MAX_PIDS);
}

static bool may_import(struct shared_header *header)
{
    bool listed = header->open_to_all;
    for (uint32_t i = 0; i < atomic_load(&header->n_pids) && !listed; i++)
        listed = atomic_load(&header->pids[i]) == (int32_t)getpid();
    return listed && atomic_load(&header->ready);
}

EXPORT aclError aclrtIpcMemImportByKey(void **pointer, const char *key, uint64_t flags)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!pointer || !key || flags > 1 || strncmp(key, "/ascend-emulator-", 17))
        return fail(RT_PARAM_INVALID, "a pointer, a key made by aclrtIpcMemGetExportKey and flags 0 or 1 are expected");
    struct shared_header *header;
    unsigned char *all;
    if (!map_object(key, false, 0, &header, &all))
        return fail(RT_PARAM_INVALID, "the key names no exported memory (closed, or never exported)");
    uint64_t size = header->size, bytes = MEMORY_SHARED_HEADER + size;
    if (!may_import(header))
        result = fail(RT_PARAM_INVALID, "this process (%d) is not in the key's list: the exporter calls aclrtIpcMemSetImportPid, or exports with flags 1",
                      (int)getpid());
    else
        result = memory_import(context->device, size, all, bytes, pointer);
    if (result)
        munmap(all, bytes);
    else
        result = remember(key, *pointer, header, false);
    if (result)
        munmap(header, MEMORY_SHARED_HEADER);
    else
        atomic_fetch_add(&header->importers, 1);
    return result;
}

EXPORT aclError aclrtIpcMemClose(const char *key)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!key)
        return fail(RT_PARAM_INVALID, "key is NULL");
    pthread_mutex_lock(&keys_lock);
    struct shared_key **at = find_key(key), *entry = *at;
    bool busy = entry && entry->exported && atomic_load(&entry->header->importers) > 0;
    if (entry && !busy)
        *at = entry->next;
    pthread_mutex_unlock(&keys_lock);
    if (!entry || busy)
        return fail(RT_PARAM_INVALID, entry ? "importers still have this memory open; they close before the exporter" : "the key is not open in this process");
    if (entry->exported) {
        shm_unlink(entry->key);
    } else {
        atomic_fetch_sub(&entry->header->importers, 1);
        result = memory_free(context->device, entry->pointer);
    }
    munmap(entry->header, MEMORY_SHARED_HEADER);
    free(entry);
    return result;
}

/* Objects of this process do not stay in the system. */
__attribute__((destructor)) static void unlink_all(void)
{
    pthread_mutex_lock(&keys_lock);
    while (keys) {
        struct shared_key *entry = keys;
        keys = entry->next;
        if (entry->exported)
            shm_unlink(entry->key);
        munmap(entry->header, MEMORY_SHARED_HEADER);
        free(entry);
    }
    pthread_mutex_unlock(&keys_lock);
}
