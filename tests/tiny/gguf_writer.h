/* A small GGUF writer for tests: valid files of any content, and, through the raw functions, files that lie.
 *
 *     struct gguf_writer writer;
 *     gguf_writer_init(&writer, 3);
 *     gguf_add_string(&writer, "general.architecture", "llama");
 *     gguf_add_integer(&writer, "llama.block_count", GGUF_UINT32, 2);
 *     gguf_add_tensor_floats(&writer, "token_embd.weight", TENSOR_Q4_1, 2, (uint64_t[]){100, 64}, values);    outermost first
 *     gguf_writer_save(&writer, path);                                                                      or gguf_writer_open for a checkpoint
 *     gguf_writer_free(&writer);
 *
 * Linked into every test program, as the rest of this folder is. Failures of the writer itself end the program with a line that says why. */
#ifndef TESTS_TINY_GGUF_WRITER_H
#define TESTS_TINY_GGUF_WRITER_H

#include "base/buffer.h"
#include "file/checkpoint.h"

enum gguf_value_type {
    GGUF_UINT8,
    GGUF_INT8,
    GGUF_UINT16,
    GGUF_INT16,
    GGUF_UINT32,
    GGUF_INT32,
    GGUF_FLOAT32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_UINT64,
    GGUF_INT64,
    GGUF_FLOAT64,
};

struct gguf_writer {
    uint32_t version;
    uint64_t alignment; /* 32; after a change write the key general.alignment as well */
    uint64_t n_metadata, n_tensors;
    struct buffer metadata; /* entries as in the file */
    struct buffer infos;    /* tensor infos as in the file */
    struct buffer data;     /* tensor data, each tensor aligned */
};

void gguf_writer_init(struct gguf_writer *writer, uint32_t version);
void gguf_writer_free(struct gguf_writer *writer);

/* Metadata. Integers of any type, and bools, by their value's low bytes. */
void gguf_add_integer(struct gguf_writer *writer, const char *key, enum gguf_value_type type, int64_t value);
void gguf_add_float(struct gguf_writer *writer, const char *key, float value);
void gguf_add_double(struct gguf_writer *writer, const char *key, double value);
void gguf_add_bool(struct gguf_writer *writer, const char *key, bool value);
void gguf_add_string(struct gguf_writer *writer, const char *key, const char *text);
void gguf_add_bytes(struct gguf_writer *writer, const char *key, const void *bytes, size_t length); /* a string with any bytes */
void gguf_add_string_array(struct gguf_writer *writer, const char *key, const char *const *texts, size_t count);
/* ... one by one: as many strings as announced follow. */
void gguf_begin_string_array(struct gguf_writer *writer, const char *key, size_t count);
void gguf_append_string(struct gguf_writer *writer, const char *text, size_t length);
/* `elements` as the file has them (little endian); `bytes` all together. */
void gguf_add_array(struct gguf_writer *writer, const char *key, enum gguf_value_type element_type, const void *elements, size_t count, size_t bytes);
/* Anything: the type's number and the value's bytes. */
void gguf_add_raw(struct gguf_writer *writer, const char *key, size_t key_length, uint32_t type, const void *value, size_t bytes);

/* Tensors; shape outermost first. data: as many bytes as type and shape ask for. floats: quantised by the type's from_float. */
void gguf_add_tensor(struct gguf_writer *writer, const char *name, enum tensor_type type, int n_dimensions, const uint64_t *shape, const void *data);
void gguf_add_tensor_floats(struct gguf_writer *writer, const char *name, enum tensor_type type, int n_dimensions, const uint64_t *shape, const float *values);
/* An info that says anything; dimensions in file order (fastest first). No data. */
void gguf_add_tensor_info(struct gguf_writer *writer, const char *name, size_t name_length, uint32_t n_dimensions, const uint64_t *dimensions,
                          uint32_t ggml_type, uint64_t offset);

/* The whole file, appended to `file`. */
void gguf_writer_finish(const struct gguf_writer *writer, struct buffer *file);
void gguf_writer_save(const struct gguf_writer *writer, const char *path);
/* Opens it as a checkpoint, through memory. */
int gguf_writer_open(const struct gguf_writer *writer, struct checkpoint **checkpoint, struct error *err);

/* Opens any bytes as a checkpoint through a file that lives in memory (memfd). */
int open_bytes(const void *bytes, size_t length, struct checkpoint **checkpoint, struct error *err);

#endif
