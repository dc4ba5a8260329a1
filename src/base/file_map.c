#include "base/file_map.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"

/* What the handler looks at: written under the mutex, read by any thread at any time. begin 0: free. */
static struct {
    _Atomic uintptr_t begin, end;
} slots[LIMIT_SHARDS];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous; /* what was there before our handler */
static _Atomic uint64_t losses;
static uintptr_t page_bytes;

uint64_t file_map_losses(void)
{
    return atomic_load(&losses);
}

/* Zeros from the page of `address` to the end of its map; false: it lies in none. Calls only what a signal handler may. */
static bool replace_rest(uintptr_t address)
{
    for (size_t i = 0; i < LIMIT_SHARDS; i++) {
        uintptr_t begin = atomic_load(&slots[i].begin), end = atomic_load(&slots[i].end);
        if (!begin || address < begin || address >= end)
            continue;
        uintptr_t page = address & ~(page_bytes - 1);
        atomic_fetch_add(&losses, 1);
        /* The bare call: other threads go on reading these pages, which is meant; a library or sanitizer between would take it for a race. */
        return syscall(SYS_mmap, page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != -1;
    }
    return false;
}

static void handle_bus_error(int number, siginfo_t *information, void *context)
{
    int kept = errno;
    bool is_ours = replace_rest((uintptr_t)information->si_addr);
    errno = kept;
    if (is_ours)
        return;
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(number, information, context);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(number);
    else
        sigaction(SIGBUS, &previous, NULL); /* the access is tried again, and ends as it would have without us */
}

/* With every map, because somebody else may have put a handler of his own in its place since. */
static int install_handler(struct error *err)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART}, current;
    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    action.sa_sigaction = handle_bus_error;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &current))
        return error_set(err, SAMPAN_EIO, "mapping a file: handling SIGBUS failed: %s", strerror(errno));
    if (current.sa_flags & SA_SIGINFO && current.sa_sigaction == handle_bus_error)
        return 0;
    previous = current;
    if (sigaction(SIGBUS, &action, NULL))
        return error_set(err, SAMPAN_EIO, "mapping a file: handling SIGBUS failed: %s", strerror(errno));
    return 0;
}

static int take_slot(const struct file *file, struct file_map *map, struct error *err)
{
    for (int i = 0; i < LIMIT_SHARDS; i++) {
        if (atomic_load(&slots[i].begin))
            continue;
        uintptr_t rounded = ((uintptr_t)map->size + page_bytes - 1) & ~(page_bytes - 1);
        map->slot = i;
        atomic_store(&slots[i].end, (uintptr_t)map->bytes + rounded);
        atomic_store(&slots[i].begin, (uintptr_t)map->bytes);
        return 0;
    }
    return error_set(err, SAMPAN_ELIMIT, "mapping '%s': more than %d files are mapped", file->path, LIMIT_SHARDS);
}

int file_map_open(const struct file *file, struct file_map *map, struct error *err)
{
    *map = (struct file_map){0};
    if (!file->size)
        return error_set(err, SAMPAN_EFORMAT, "mapping '%s': it is empty", file->path);
    if (file->size > SIZE_MAX / 2)
        return error_set(err, SAMPAN_ELIMIT, "mapping '%s': %" PRIu64 " bytes are more than addresses reach", file->path, file->size);
    void *bytes = mmap(NULL, (size_t)file->size, PROT_READ, MAP_SHARED, file->descriptor, 0);
    if (bytes == MAP_FAILED)
        return error_set(err, errno == ENOMEM ? SAMPAN_ENOMEM : SAMPAN_EIO, "mapping '%s': %s", file->path, strerror(errno));
    *map = (struct file_map){.bytes = bytes, .size = file->size};
    pthread_mutex_lock(&mutex);
    int code = install_handler(err);
    if (!code)
        code = take_slot(file, map, err);
    pthread_mutex_unlock(&mutex);
    if (code) {
        munmap(bytes, (size_t)file->size);
        *map = (struct file_map){0};
    }
    return code;
}

void file_map_close(struct file_map *map)
{
    if (!map->bytes)
        return;
    pthread_mutex_lock(&mutex);
    atomic_store(&slots[map->slot].begin, 0);
    atomic_store(&slots[map->slot].end, 0);
    pthread_mutex_unlock(&mutex);
    munmap((void *)map->bytes, (size_t)map->size);
    *map = (struct file_map){0};
}
