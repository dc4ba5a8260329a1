#include "tiny/gguf_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

#define WRITER_LIMIT ((size_t)1 << 31)

/* The writer's own failures end the program: a test has nothing to say about them. */
static _Noreturn void stop(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

static void append(struct buffer *buffer, const void *bytes, size_t length)
{
    if (buffer_append(buffer, bytes, length))
        stop("the GGUF writer cannot append %zu bytes", length);
}

static void append_u32(struct buffer *buffer, uint32_t value)
{
    append(buffer, &value, sizeof value);
}

static void append_u64(struct buffer *buffer, uint64_t value)
{
    append(buffer, &value, sizeof value);
}

static void append_string(struct buffer *buffer, const void *bytes, size_t length)
{
    append_u64(buffer, length);
    append(buffer, bytes, length);
}

static void pad(struct buffer *buffer, uint64_t alignment)
{
    while (buffer->length % alignment)
        append(buffer, "", 1);
}

void gguf_writer_init(struct gguf_writer *writer, uint32_t version)
{
    *writer = (struct gguf_writer){.version = version, .alignment = 32};
    buffer_init(&writer->metadata, WRITER_LIMIT);
    buffer_init(&writer->infos, WRITER_LIMIT);
    buffer_init(&writer->data, WRITER_LIMIT);
}

void gguf_writer_free(struct gguf_writer *writer)
{
    buffer_free(&writer->metadata);
    buffer_free(&writer->infos);
    buffer_free(&writer->data);
}

void gguf_add_raw(struct gguf_writer *writer, const char *key, size_t key_length, uint32_t type, const void *value, size_t bytes)
{
    append_string(&writer->metadata, key, key_length);
    append_u32(&writer->metadata, type);
    append(&writer->metadata, value, bytes);
    writer->n_metadata++;
}

void gguf_add_integer(struct gguf_writer *writer, const char *key, enum gguf_value_type type, int64_t value)
{
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 0, 1, 0, 0, 8, 8, 0};
    gguf_add_raw(writer, key, strlen(key), type, &value, sizes[type]);
}

void gguf_add_float(struct gguf_writer *writer, const char *key, float value)
{
    gguf_add_raw(writer, key, strlen(key), GGUF_FLOAT32, &value, sizeof value);
}

void gguf_add_double(struct gguf_writer *writer, const char *key, double value)
{
    gguf_add_raw(writer, key, strlen(key), GGUF_FLOAT64, &value, sizeof value);
}

void gguf_add_bool(struct gguf_writer *writer, const char *key, bool value)
{
    gguf_add_integer(writer, key, GGUF_BOOL, value);
}

void gguf_add_bytes(struct gguf_writer *writer, const char *key, const void *bytes, size_t length)
{
    gguf_add_raw(writer, key, strlen(key), GGUF_STRING, NULL, 0);
    append_string(&writer->metadata, bytes, length);
}

void gguf_add_string(struct gguf_writer *writer, const char *key, const char *text)
{
    gguf_add_bytes(writer, key, text, strlen(text));
}

void gguf_add_array(struct gguf_writer *writer, const char *key, enum gguf_value_type element_type, const void *elements, size_t count, size_t bytes)
{
    gguf_add_raw(writer, key, strlen(key), GGUF_ARRAY, NULL, 0);
    append_u32(&writer->metadata, element_type);
    append_u64(&writer->metadata, count);
    append(&writer->metadata, elements, bytes);
}

void gguf_begin_string_array(struct gguf_writer *writer, const char *key, size_t count)
{
    gguf_add_array(writer, key, GGUF_STRING, NULL, count, 0);
}

void gguf_append_string(struct gguf_writer *writer, const char *text, size_t length)
{
    append_string(&writer->metadata, text, length);
}

void gguf_add_string_array(struct gguf_writer *writer, const char *key, const char *const *texts, size_t count)
{
    gguf_begin_string_array(writer, key, count);
    for (size_t i = 0; i < count; i++)
        gguf_append_string(writer, texts[i], strlen(texts[i]));
}

void gguf_add_tensor_info(struct gguf_writer *writer, const char *name, size_t name_length, uint32_t n_dimensions, const uint64_t *dimensions,
                          uint32_t ggml_type, uint64_t offset)
{
    append_string(&writer->infos, name, name_length);
    append_u32(&writer->infos, n_dimensions);
    append(&writer->infos, dimensions, n_dimensions * sizeof *dimensions);
    append_u32(&writer->infos, ggml_type);
    append_u64(&writer->infos, offset);
    writer->n_tensors++;
}

void gguf_add_tensor(struct gguf_writer *writer, const char *name, enum tensor_type type, int n_dimensions, const uint64_t *shape, const void *data)
{
    uint64_t dimensions[LIMIT_TENSOR_DIMENSIONS], rows = 1, bytes;
    for (int i = 0; i < n_dimensions; i++) {
        dimensions[n_dimensions - 1 - i] = shape[i];
        if (i < n_dimensions - 1)
            rows *= shape[i];
    }
    if (!tensor_type_bytes(type, rows, dimensions[0], &bytes))
        stop("tensor '%s' has a shape that its type cannot have", name);
    pad(&writer->data, writer->alignment);
    gguf_add_tensor_info(writer, name, strlen(name), (uint32_t)n_dimensions, dimensions, (uint32_t)tensor_types[type].ggml_type, writer->data.length);
    append(&writer->data, data, (size_t)bytes);
}

void gguf_add_tensor_floats(struct gguf_writer *writer, const char *name, enum tensor_type type, int n_dimensions, const uint64_t *shape, const float *values)
{
    uint64_t n = 1, bytes = 0;
    for (int i = 0; i < n_dimensions; i++)
        n *= shape[i];
    if (!tensor_types[type].from_float || !tensor_type_bytes(type, 1, n, &bytes))
        stop("tensor '%s' cannot be quantised to %s", name, tensor_types[type].name);
    void *data = mem_alloc((size_t)bytes);
    tensor_types[type].from_float(values, data, (size_t)n);
    gguf_add_tensor(writer, name, type, n_dimensions, shape, data);
    mem_free(data);
}

void gguf_writer_finish(const struct gguf_writer *writer, struct buffer *file)
{
    append(file, "GGUF", 4);
    append_u32(file, writer->version);
    append_u64(file, writer->n_tensors);
    append_u64(file, writer->n_metadata);
    append(file, writer->metadata.data, writer->metadata.length);
    append(file, writer->infos.data, writer->infos.length);
    if (writer->data.length) {
        pad(file, writer->alignment);
        append(file, writer->data.data, writer->data.length);
    }
}

void gguf_writer_save(const struct gguf_writer *writer, const char *path)
{
    struct buffer file;
    buffer_init(&file, WRITER_LIMIT);
    gguf_writer_finish(writer, &file);
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(file.data, 1, file.length, out) != file.length || fclose(out))
        stop("cannot write '%s'", path);
    buffer_free(&file);
}

int gguf_writer_open(const struct gguf_writer *writer, struct checkpoint **checkpoint, struct error *err)
{
    struct buffer file;
    buffer_init(&file, WRITER_LIMIT);
    gguf_writer_finish(writer, &file);
    int code = open_bytes(file.data, file.length, checkpoint, err);
    buffer_free(&file);
    return code;
}

int open_bytes(const void *bytes, size_t length, struct checkpoint **checkpoint, struct error *err)
{
    char path[64];
    int descriptor = memfd_create("checkpoint", MFD_CLOEXEC);
    if (descriptor < 0)
        stop("memfd_create failed");
    for (size_t done = 0; done < length;) {
        ssize_t written = write(descriptor, (const char *)bytes + done, length - done);
        if (written <= 0)
            stop("writing to a memfd failed");
        done += (size_t)written;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    int code = checkpoint_open(path, checkpoint, err);
    close(descriptor); /* the checkpoint has its own descriptor of the same file */
    return code;
}
