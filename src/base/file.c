#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static _Atomic int64_t fail_countdown = -1;

void file_fail_read_after(int64_t n)
{
    atomic_store(&fail_countdown, n);
}

static bool must_come_short(void)
{
    return atomic_load_explicit(&fail_countdown, memory_order_relaxed) >= 0 && atomic_fetch_sub(&fail_countdown, 1) == 0;
}

static int check_regular(const char *path, const struct stat *status, struct error *err)
{
    if (S_ISREG(status->st_mode))
        return 0;
    return error_set(err, SAMPAN_EIO, "opening '%s': it is %s, expected a regular file", path,
                     S_ISDIR(status->st_mode) ? "a folder" : "a pipe, socket or device");
}

int file_open(const char *path, struct file **file, struct error *err)
{
    *file = NULL;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a pipe without a writer must not hang us */
    if (descriptor < 0)
        return error_set(err, errno == ENOENT || errno == ENOTDIR ? SAMPAN_ENOTFOUND : SAMPAN_EIO, "opening '%s': %s", path, strerror(errno));
    struct stat status;
    int code = 0;
    if (fstat(descriptor, &status))
        code = error_set(err, SAMPAN_EIO, "opening '%s': %s", path, strerror(errno));
    else
        code = check_regular(path, &status, err);
    struct file *opened = code ? NULL : mem_zalloc(sizeof *opened);
    if (opened)
        opened->path = mem_strndup(path, strlen(path));
    if (!code && (!opened || !opened->path))
        code = error_no_memory(err, "opening a file");
    if (code) {
        mem_free(opened);
        close(descriptor);
        return code;
    }
    opened->descriptor = descriptor;
    opened->size = (uint64_t)status.st_size;
    *file = opened;
    return 0;
}

void file_close(struct file *file)
{
    if (!file)
        return;
    close(file->descriptor);
    mem_free(file->path);
    mem_free(file);
}

int file_read(const struct file *file, uint64_t offset, void *destination, size_t length, struct error *err)
{
    char *out = destination;
    size_t done = 0;
    if (offset > INT64_MAX - length)
        return error_set(err, SAMPAN_EFORMAT, "reading '%s': offset %" PRIu64 " is beyond any file", file->path, offset);
    while (done < length) {
        size_t chunk = length - done < (1u << 30) ? length - done : 1u << 30;
        ssize_t got = must_come_short() ? 0 : pread(file->descriptor, out + done, chunk, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, SAMPAN_EIO, "reading '%s' at offset %" PRIu64 ": %s", file->path, offset + done, strerror(errno));
        if (got == 0)
            return error_set(err, SAMPAN_EIO,
                             "reading '%s': the file ends at offset %" PRIu64 ", expected %zu more bytes; it is truncated or was changed while it was read",
                             file->path, offset + done, length - done);
        done += (size_t)got;
    }
    return 0;
}

int file_read_whole(const char *path, size_t limit, char **data, size_t *length, struct error *err)
{
    struct file *file;
    *data = NULL;
    *length = 0;
    int code = file_open(path, &file, err);
    if (code)
        return code;
    char *bytes = NULL;
    if (file->size > limit)
        code = error_set(err, SAMPAN_ELIMIT, "reading '%s': %" PRIu64 " bytes, expected at most %zu", path, file->size, limit);
    else if (!(bytes = mem_alloc((size_t)file->size + 1)))
        code = error_no_memory(err, "reading a whole file");
    else
        code = file_read(file, 0, bytes, (size_t)file->size, err);
    if (code) {
        mem_free(bytes);
    } else {
        bytes[file->size] = '\0';
        *data = bytes;
        *length = (size_t)file->size;
    }
    file_close(file);
    return code;
}

bool file_read_small(const char *path, char *text, size_t capacity)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    size_t length = 0;
    while (length + 1 < capacity) {
        ssize_t got = read(descriptor, text + length, capacity - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(descriptor);
    text[length] = '\0';
    return length > 0;
}

bool file_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool file_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}
