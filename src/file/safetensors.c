#include "file/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/hash_map.h"
#include "base/json.h"
#include "base/memory.h"
#include "file/header_reader.h"
#include "file/recognise.h"

enum { LENGTH_BYTES = 8 };

/* Every dtype of the format; those without a type are refused by name. */
static const struct dtype_row {
    const char *name;
    bool is_read;
    enum tensor_type type;
} dtypes[] = {
    /* clang-format off */
    {"F32", true, TENSOR_F32}, {"F16", true, TENSOR_F16}, {"BF16", true, TENSOR_BF16}, {"I32", true, TENSOR_I32},
    {"BOOL", false, 0}, {"U8", false, 0}, {"I8", false, 0}, {"I16", false, 0}, {"U16", false, 0}, {"U32", false, 0}, {"I64", false, 0}, {"U64", false, 0},
    {"F64", false, 0}, {"C64", false, 0}, {"F8_E4M3", false, 0}, {"F8_E5M2", false, 0}, {"F8_E8M0", false, 0}, {"F8_E4M3FNUZ", false, 0},
    {"F8_E5M2FNUZ", false, 0}, {"F6_E2M3", false, 0}, {"F6_E3M2", false, 0}, {"F4", false, 0},
    /* clang-format on */
};

#define READ_DTYPES "F32, F16, BF16 and I32"

static int read_dtype(const json_t *json, enum tensor_type *type, struct error *err)
{
    const char *name = json_string_value(json);
    if (!name)
        return error_set(err, SAMPAN_EFORMAT, "its 'dtype' is missing or no string");
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(dtypes[i].name, name) != 0)
            continue;
        *type = dtypes[i].type;
        return dtypes[i].is_read ? 0 : error_set(err, SAMPAN_EUNSUPPORTED, "its dtype is %s, which sampan does not read yet; it reads " READ_DTYPES, name);
    }
    return error_set(err, SAMPAN_EUNSUPPORTED,
                     "its dtype is '%.32s', which sampan does not know; the file is newer than this program or damaged; it reads " READ_DTYPES, name);
}

/* Leaves shape and size in bytes. */
static int read_shape(const json_t *json, struct checkpoint_tensor *tensor, struct error *err)
{
    size_t n = json_array_size(json);
    uint64_t elements = 1;
    if (!json_is_array(json))
        return error_set(err, SAMPAN_EFORMAT, "its 'shape' is missing or no array");
    if (n > LIMIT_TENSOR_DIMENSIONS)
        return error_set(err, SAMPAN_ELIMIT, "it has %zu dimensions, expected at most %d", n, LIMIT_TENSOR_DIMENSIONS);
    tensor->n_dimensions = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *dimension = json_array_get(json, i);
        if (!json_is_integer(dimension) || json_integer_value(dimension) < 0)
            return error_set(err, SAMPAN_EFORMAT, "its dimension %zu is no integer from 0 on", i);
        tensor->shape[i] = (uint64_t)json_integer_value(dimension);
        if (tensor->shape[i] == 0)
            return error_set(err, SAMPAN_EUNSUPPORTED, "its dimension %zu is 0: sampan has no use for a tensor without elements", i);
        if (__builtin_mul_overflow(elements, tensor->shape[i], &elements))
            return error_set(err, SAMPAN_EFORMAT, "the product of its dimensions overflows 64 bits");
    }
    if (!tensor_type_bytes(tensor->type, 1, elements, &tensor->bytes))
        return error_set(err, SAMPAN_EFORMAT, "its size in bytes overflows 64 bits");
    return 0;
}

/* Leaves the absolute offset; what lies where is checked for all tensors together. */
static int read_offsets(const json_t *json, uint64_t data_start, uint64_t data_bytes, struct checkpoint_tensor *tensor, struct error *err)
{
    const json_t *begin = json_array_get(json, 0), *end = json_array_get(json, 1);
    if (json_array_size(json) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return error_set(err, SAMPAN_EFORMAT, "its 'data_offsets' are missing or not two integers");
    json_int_t from = json_integer_value(begin), to = json_integer_value(end);
    if (from < 0 || to < from)
        return error_set(err, SAMPAN_EFORMAT, "its data offsets are %" PRId64 " and %" PRId64 ", expected begin and end", (int64_t)from, (int64_t)to);
    if ((uint64_t)to > data_bytes)
        return error_set(err, SAMPAN_EFORMAT,
                         "its data end at offset %" PRId64 ", but the file has only %" PRIu64 " bytes of data; the file is truncated: fetch it again",
                         (int64_t)to, data_bytes);
    if ((uint64_t)(to - from) != tensor->bytes)
        return error_set(err, SAMPAN_EFORMAT, "it has %" PRId64 " bytes, expected %" PRIu64 " by its dtype and shape", (int64_t)(to - from), tensor->bytes);
    tensor->offset = data_start + (uint64_t)from;
    return 0;
}

static int read_tensor(const char *name, const json_t *json, const struct file *file, uint64_t data_start, struct arena *arena,
                       struct checkpoint_tensor *tensor, struct error *err)
{
    size_t length = strlen(name);
    if (length == 0 || length > LIMIT_TENSOR_NAME)
        return error_set(err, SAMPAN_EFORMAT, "a tensor's name has %zu bytes, expected 1 to %d", length, LIMIT_TENSOR_NAME);
    tensor->name = arena_strndup(arena, name, length);
    tensor->file = file;
    if (!tensor->name)
        return header_arena_failed(arena, length, "reading tensor names", err);
    int code = json_object_size(json) == 3 ? 0 : error_set(err, SAMPAN_EFORMAT, "expected an object of 'dtype', 'shape' and 'data_offsets'");
    if (!code)
        code = read_dtype(json_object_get(json, "dtype"), &tensor->type, err);
    if (!code)
        code = read_shape(json_object_get(json, "shape"), tensor, err);
    if (!code)
        code = read_offsets(json_object_get(json, "data_offsets"), data_start, file->size - data_start, tensor, err);
    if (code)
        error_prefix(err, "tensor '%s'", name);
    return code;
}

/* Free text by whoever wrote the file ({"format": "pt"}); only its form is checked. */
static int check_comment(const json_t *json, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) if (!json_is_string(value)) return error_set(err, SAMPAN_EFORMAT,
                                                                                                 "'__metadata__' has a value that is no string");
    return json_is_object(json) ? 0 : error_set(err, SAMPAN_EFORMAT, "'__metadata__' is no object");
}

static int compare_offsets(const void *a, const void *b)
{
    const struct checkpoint_tensor *first = *(const struct checkpoint_tensor *const *)a, *second = *(const struct checkpoint_tensor *const *)b;
    return (first->offset > second->offset) - (first->offset < second->offset);
}

/* In the order of their offsets each tensor begins where the one before it ends. */
static int check_cover(const struct file *file, uint64_t data_start, const struct checkpoint_tensor *const *order, size_t n, struct error *err)
{
    uint64_t end = data_start;
    for (size_t i = 0; i < n; i++) {
        if (order[i]->offset < end)
            return error_set(err, SAMPAN_EFORMAT, "tensors '%s' and '%s' overlap at data offset %" PRIu64, order[i - 1]->name, order[i]->name,
                             order[i]->offset - data_start);
        if (order[i]->offset > end)
            return error_set(err, SAMPAN_EFORMAT, "%" PRIu64 " bytes before tensor '%s' belong to no tensor, which the format forbids", order[i]->offset - end,
                             order[i]->name);
        end += order[i]->bytes;
    }
    if (end != file->size)
        return error_set(err, SAMPAN_EFORMAT, "%" PRIu64 " bytes behind the last tensor belong to none, which the format forbids", file->size - end);
    return 0;
}

static int check_extents(const struct file *file, uint64_t data_start, const struct safetensors *safetensors, struct error *err)
{
    size_t n = safetensors->n_tensors;
    const struct checkpoint_tensor **order = mem_alloc_array(n, sizeof *order);
    if (!order)
        return error_no_memory(err, "checking tensor extents");
    for (size_t i = 0; i < n; i++)
        order[i] = &safetensors->tensors[i];
    qsort(order, n, sizeof *order, compare_offsets);
    int code = check_cover(file, data_start, order, n, err);
    mem_free(order);
    return code;
}

/* While the header is read, member by member. */
struct header_reading {
    const struct file *file;
    uint64_t data_start;
    struct arena *arena;
    struct buffer tensors; /* struct checkpoint_tensor, so far */
    struct hash_map names;
    bool has_comment;
    bool is_refused; /* what the JSON says is wrong, not the JSON */
};

static int add_member(struct header_reading *reading, const char *name, const json_t *value, struct error *err)
{
    struct checkpoint_tensor tensor = {0};
    bool existed = false;
    if (strcmp(name, "__metadata__") == 0) {
        if (reading->has_comment)
            return error_set(err, SAMPAN_EFORMAT, "duplicate name '__metadata__'");
        reading->has_comment = true;
        return check_comment(value, err);
    }
    int code = read_tensor(name, value, reading->file, reading->data_start, reading->arena, &tensor, err);
    if (code)
        return code;
    if (hash_map_put(&reading->names, tensor.name, strlen(tensor.name), 0, &existed))
        return error_no_memory(err, "reading tensor infos");
    if (existed)
        return error_set(err, SAMPAN_EFORMAT, "duplicate name: tensor '%s' is there twice", name);
    code = buffer_append(&reading->tensors, &tensor, sizeof tensor);
    if (code == SAMPAN_ELIMIT)
        return error_set(err, SAMPAN_ELIMIT, "it has more than %d tensors", LIMIT_TENSORS);
    return code ? error_no_memory(err, "reading tensor infos") : 0;
}

static int take_member(void *self, const char *name, const json_t *value, struct error *err)
{
    struct header_reading *reading = self;
    int code = add_member(reading, name, value, err);
    reading->is_refused = code != 0;
    return code;
}

static int keep_tensors(const struct header_reading *reading, struct safetensors *safetensors, struct error *err)
{
    size_t n = reading->tensors.length / sizeof *safetensors->tensors;
    safetensors->tensors = arena_alloc_array(reading->arena, n + 1, sizeof *safetensors->tensors); /* never empty */
    if (!safetensors->tensors)
        return header_arena_failed(reading->arena, n * sizeof *safetensors->tensors, "reading tensor infos", err);
    if (n)
        memcpy(safetensors->tensors, reading->tensors.data, reading->tensors.length);
    safetensors->n_tensors = n;
    return 0;
}

static int read_header(const struct file *file, const char *text, uint64_t length, struct arena *arena, struct safetensors *safetensors, struct error *err)
{
    struct header_reading reading = {.file = file, .data_start = LENGTH_BYTES + length, .arena = arena};
    buffer_init(&reading.tensors, LIMIT_TENSORS * sizeof(struct checkpoint_tensor));
    int code = json_parse_members(text, (size_t)length, LIMIT_SAFETENSORS_MEMBER, take_member, &reading, err);
    if (code && !reading.is_refused)
        error_prefix(err, code == SAMPAN_EFORMAT ? "the header: broken JSON" : "the header");
    if (!code)
        code = keep_tensors(&reading, safetensors, err);
    if (!code)
        code = check_extents(file, reading.data_start, safetensors, err);
    buffer_free(&reading.tensors);
    hash_map_free(&reading.names);
    return code;
}

/* The header's text, freed with mem_free. */
static int load_header(const struct file *file, char **text, uint64_t *length, struct error *err)
{
    unsigned char bytes[LENGTH_BYTES];
    *text = NULL;
    *length = 0;
    int code = file_read(file, 0, bytes, LENGTH_BYTES, err);
    if (code)
        return code;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        *length = *length << 8 | bytes[i];
    if (*length > LIMIT_SAFETENSORS_HEADER)
        return error_set(err, SAMPAN_ELIMIT, "the header's length is %" PRIu64 ", expected at most %u: this is no safetensors file, or a damaged one", *length,
                         LIMIT_SAFETENSORS_HEADER);
    if (*length > file->size - LENGTH_BYTES)
        return error_set(err, SAMPAN_EFORMAT, "the header has %" PRIu64 " bytes, but the file only %" PRIu64 " in all; the file is truncated: fetch it again",
                         *length, file->size);
    *text = mem_alloc((size_t)*length + 1);
    return *text ? file_read(file, LENGTH_BYTES, *text, (size_t)*length, err) : error_no_memory(err, "reading a safetensors header");
}

int safetensors_parse(const struct file *file, struct arena *arena, struct safetensors *safetensors, struct error *err)
{
    struct error local = {0};
    char *text = NULL;
    uint64_t length;
    err = err ? err : &local;
    *safetensors = (struct safetensors){0};
    int code = recognise_safetensors(file, err);
    if (!code)
        code = load_header(file, &text, &length, err);
    if (!code && (length == 0 || *text != '{'))
        code = error_set(err, SAMPAN_EFORMAT, "the header does not begin with '{': this is no safetensors file, or a damaged one");
    if (!code)
        code = read_header(file, text, length, arena, safetensors, err);
    mem_free(text);
    return code;
}
