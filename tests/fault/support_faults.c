#include "support_faults.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const fault_names[FAULT_KINDS] = {"nothing fails",         "one allocation fails",  "memory is gone",       "a read fails",
                                              "the file ends early",   "a read is interrupted", "reads come in pieces", "the file was changed",
                                              "no descriptor is left", "no thread is left"};

enum counted { COUNTED_MEMORY, COUNTED_READ, COUNTED_OPEN, COUNTED_THREAD, COUNTED };

static const enum counted counted_as[FAULT_KINDS] = {
    [FAULT_MEMORY_ONCE] = COUNTED_MEMORY, [FAULT_MEMORY_GONE] = COUNTED_MEMORY,    [FAULT_READ_FAILS] = COUNTED_READ,
    [FAULT_READ_ENDS] = COUNTED_READ,     [FAULT_READ_INTERRUPTED] = COUNTED_READ, [FAULT_READ_SHORT] = COUNTED_READ,
    [FAULT_READ_CHANGED] = COUNTED_READ,  [FAULT_OPEN_FAILS] = COUNTED_OPEN,       [FAULT_THREAD_FAILS] = COUNTED_THREAD};
static const bool goes_on[FAULT_KINDS] = {[FAULT_MEMORY_GONE] = true, [FAULT_READ_ENDS] = true, [FAULT_READ_SHORT] = true};

static _Atomic int64_t counts[COUNTED], live;
static _Atomic int64_t first, last; /* counts at which the armed fault happens: first .. last */
static _Atomic int armed;           /* enum fault_kind */
static atomic_bool met;

void fault_arm(enum fault_kind kind, int64_t n)
{
    atomic_store(&met, false);
    atomic_store(&first, atomic_load(&counts[counted_as[kind]]) + n);
    atomic_store(&last, goes_on[kind] ? INT64_MAX : atomic_load(&first));
    atomic_store(&armed, kind);
}

void fault_disarm(void)
{
    atomic_store(&armed, FAULT_NONE);
}

bool fault_was_met(void)
{
    return atomic_load(&met);
}

int64_t fault_count(enum fault_kind kind)
{
    return atomic_load(&counts[counted_as[kind]]);
}

int64_t fault_live_allocations(void)
{
    return atomic_load(&live);
}

/* Counts a call; the fault that it is to meet. */
static enum fault_kind pass(enum counted counted)
{
    int64_t at = atomic_fetch_add(&counts[counted], 1);
    enum fault_kind kind = (enum fault_kind)atomic_load(&armed);
    if (kind == FAULT_NONE || counted_as[kind] != counted || at < atomic_load(&first) || at > atomic_load(&last))
        return FAULT_NONE;
    atomic_store(&met, true);
    return kind;
}

static void *count_live(void *memory)
{
    if (memory)
        atomic_fetch_add(&live, 1);
    return memory;
}

/* ---- What the linker puts in place of the C library's functions. */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void __real_free(void *memory);
ssize_t __real_pread(int descriptor, void *out, size_t length, off_t offset);
int __real_open(const char *path, int flags, ...);
int __real_eventfd(unsigned int initial, int flags);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void __wrap_free(void *memory);
ssize_t __wrap_pread(int descriptor, void *out, size_t length, off_t offset);
int __wrap_open(const char *path, int flags, ...);
int __wrap_eventfd(unsigned int initial, int flags);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument);

void *__wrap_malloc(size_t size)
{
    return pass(COUNTED_MEMORY) ? NULL : count_live(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return pass(COUNTED_MEMORY) ? NULL : count_live(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (pass(COUNTED_MEMORY))
        return NULL;
    void *grown = __real_realloc(memory, size);
    return memory ? grown : count_live(grown);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (pass(COUNTED_MEMORY))
        return ENOMEM;
    int failure = __real_posix_memalign(memory, alignment, size);
    if (!failure)
        count_live(*memory);
    return failure;
}

void __wrap_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&live, 1);
    __real_free(memory);
}

void faults_init(void)
{
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
}

ssize_t __wrap_pread(int descriptor, void *out, size_t length, off_t offset)
{
    enum fault_kind fault = pass(COUNTED_READ);
    if (fault == FAULT_READ_FAILS || fault == FAULT_READ_INTERRUPTED) {
        errno = fault == FAULT_READ_FAILS ? EIO : EINTR;
        return -1;
    }
    if (fault == FAULT_READ_ENDS)
        return 0;
    ssize_t got = __real_pread(descriptor, out, fault == FAULT_READ_SHORT ? (length + 1) / 2 : length, offset);
    for (ssize_t i = 0; fault == FAULT_READ_CHANGED && i < got; i++)
        ((unsigned char *)out)[i] = (unsigned char)~((unsigned char *)out)[i];
    return got;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (pass(COUNTED_OPEN)) {
        errno = EMFILE;
        return -1;
    }
    return __real_open(path, flags, mode);
}

int __wrap_eventfd(unsigned int initial, int flags)
{
    if (pass(COUNTED_OPEN)) {
        errno = EMFILE;
        return -1;
    }
    return __real_eventfd(initial, flags);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument)
{
    return pass(COUNTED_THREAD) ? EAGAIN : __real_pthread_create(thread, attributes, function, argument);
}
