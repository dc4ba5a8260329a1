#include "file/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "file/header_reader.h"
#include "file/recognise.h"

enum {
    GGUF_DEFAULT_ALIGNMENT = 32,
    GGUF_MAXIMUM_ALIGNMENT = 1 << 20,            /* a huge page; writers use 32 */
    GGUF_MINIMUM_ENTRY = 8 + 1 + 4 + 1,          /* bytes of a metadata entry: key length, one character, type, a one-byte value */
    GGUF_MINIMUM_TENSOR = 8 + 1 + 4 + 8 + 4 + 8, /* bytes of a tensor info: name, one dimension, type, offset */
};

/* Value types by their number in the file: the bytes of a scalar (of strings and arrays the least they take) and what the view calls it. */
enum { GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_VALUE_TYPES = 13 };

/* clang-format off */
static const struct value_type_row {
    int bytes;
    enum metadata_type type;
} value_types[GGUF_VALUE_TYPES] = {
    /* 0: uint8, int8, uint16, int16 */  {1, METADATA_UNSIGNED}, {1, METADATA_SIGNED}, {2, METADATA_UNSIGNED}, {2, METADATA_SIGNED},
    /* 4: uint32, int32, float32, bool */ {4, METADATA_UNSIGNED}, {4, METADATA_SIGNED}, {4, METADATA_FLOAT}, {1, METADATA_BOOL},
    /* 8: string, array, uint64, int64 */ {8, METADATA_STRING}, {12, METADATA_ARRAY}, {8, METADATA_UNSIGNED}, {8, METADATA_SIGNED},
    /* 12: float64 */                     {8, METADATA_FLOAT},
};
/* clang-format on */

/* Types of ggml that exist but are not in our table: a message with a name is worth more than a number. */
static const struct {
    uint32_t number;
    const char *name;
} other_tensor_types[] = {
    /* clang-format off */
    {4, "q4_2 (removed from ggml)"}, {5, "q4_3 (removed from ggml)"}, {9, "q8_1"}, {15, "q8_k"}, {16, "iq2_xxs"}, {17, "iq2_xs"}, {18, "iq3_xxs"},
    {19, "iq1_s"}, {20, "iq4_nl"}, {21, "iq3_s"}, {22, "iq2_s"}, {23, "iq4_xs"}, {24, "i8"}, {25, "i16"}, {27, "i64"}, {28, "f64"}, {29, "iq1_m"},
    {31, "q4_0_4_4 (removed from ggml)"}, {32, "q4_0_4_8 (removed from ggml)"}, {33, "q4_0_8_8 (removed from ggml)"}, {34, "tq1_0"}, {35, "tq2_0"},
    {39, "mxfp4"}, {40, "nvfp4"},
    /* clang-format on */
};

struct parser {
    struct header_reader reader;
    struct arena *arena;
    struct gguf *gguf;
    struct hash_map *keys, *names;
    uint32_t version;
    uint64_t alignment;
};

static const struct metadata_value *find_value(const struct parser *parser, const char *key)
{
    uint32_t index;
    return hash_map_get(parser->keys, key, strlen(key), &index) ? &parser->gguf->metadata[index].value : NULL;
}

/* ---- metadata ---- */

static int read_scalar(struct parser *parser, uint32_t type, struct metadata_value *value, struct error *err)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        float f32;
        uint64_t u64;
        int64_t i64;
        double f64;
    } raw = {0};
    uint64_t at = parser->reader.position;
    int code = header_read(&parser->reader, &raw, (size_t)value_types[type].bytes, err);
    if (code)
        return code;
    switch (type) {
    case 0: value->u = raw.u8; break;
    case 1: value->i = raw.i8; break;
    case 2: value->u = raw.u16; break;
    case 3: value->i = raw.i16; break;
    case 4: value->u = raw.u32; break;
    case 5: value->i = raw.i32; break;
    case 6: value->f = (double)raw.f32; break;
    case 7:
        if (raw.u8 > 1)
            return error_set(err, SAMPAN_EFORMAT, "the bool at offset %" PRIu64 " is %u, expected 0 or 1", at, raw.u8);
        value->b = raw.u8 != 0;
        break;
    case 10: value->u = raw.u64; break;
    case 11: value->i = raw.i64; break;
    default: value->f = raw.f64; break;
    }
    return 0;
}

static int read_value_type(struct parser *parser, uint32_t *type, struct error *err)
{
    uint64_t at = parser->reader.position;
    int code = header_read_u32(&parser->reader, type, err);
    if (code)
        return code;
    if (*type >= GGUF_VALUE_TYPES)
        return error_set(err, SAMPAN_EFORMAT, "the value type at offset %" PRIu64 " is %" PRIu32 ", expected 0 to %d", at, *type, GGUF_VALUE_TYPES - 1);
    return 0;
}

static int read_value(struct parser *parser, uint32_t type, int depth, struct metadata_value *value, struct error *err);

static int read_array(struct parser *parser, int depth, struct metadata_value *value, struct error *err)
{
    uint32_t element_type;
    size_t count;
    if (depth > LIMIT_METADATA_DEPTH)
        return error_set(err, SAMPAN_ELIMIT, "arrays are nested deeper than %d at offset %" PRIu64, LIMIT_METADATA_DEPTH, parser->reader.position);
    int code = read_value_type(parser, &element_type, err);
    if (code)
        return code;
    code = header_read_count(&parser->reader, (uint64_t)value_types[element_type].bytes, LIMIT_METADATA_ARRAY, "array elements", &count, err);
    if (code)
        return code;
    struct metadata_value *elements = arena_alloc_array(parser->arena, count, sizeof *elements);
    if (!elements)
        return header_arena_failed(parser->arena, count * sizeof *elements, "reading an array", err);
    for (size_t i = 0; !code && i < count; i++)
        code = read_value(parser, element_type, depth, &elements[i], err);
    value->array.element_type = value_types[element_type].type;
    value->array.count = count;
    value->array.elements = elements;
    return code;
}

static int read_value(struct parser *parser, uint32_t type, int depth, struct metadata_value *value, struct error *err)
{
    value->type = value_types[type].type;
    if (type == GGUF_STRING)
        return header_read_string(&parser->reader, parser->arena, LIMIT_METADATA_STRING, "string", &value->string, err);
    if (type == GGUF_ARRAY)
        return read_array(parser, depth + 1, value, err);
    return read_scalar(parser, type, value, err);
}

/* Keys and tensor names go to C strings and terminals: no empty one, no NUL, no broken UTF-8. */
static int check_name(const struct byte_string *name, const char *what, uint64_t at, struct error *err)
{
    if (name->length == 0)
        return error_set(err, SAMPAN_EFORMAT, "the %s at offset %" PRIu64 " is empty", what, at);
    if (memchr(name->data, '\0', name->length))
        return error_set(err, SAMPAN_EFORMAT, "the %s at offset %" PRIu64 " contains a NUL byte", what, at);
    if (!utf8_is_valid(name->data, name->length, NULL))
        return error_set(err, SAMPAN_EFORMAT, "the %s at offset %" PRIu64 " is not valid UTF-8", what, at);
    return 0;
}

static int read_metadata_entry(struct parser *parser, size_t index, struct error *err)
{
    struct metadata_entry *entry = &parser->gguf->metadata[index];
    struct byte_string key;
    uint32_t type;
    bool existed;
    uint64_t at = parser->reader.position;
    int code = header_read_string(&parser->reader, parser->arena, LIMIT_METADATA_KEY, "metadata key", &key, err);
    if (!code)
        code = check_name(&key, "metadata key", at, err);
    if (code) {
        error_prefix(err, "metadata entry %zu", index);
        return code;
    }
    entry->key = key.data;
    if (hash_map_put(parser->keys, key.data, key.length, (uint32_t)index, &existed))
        return error_no_memory(err, "indexing metadata");
    if (existed)
        return error_set(err, SAMPAN_EFORMAT, "metadata key '%s' occurs twice, again at offset %" PRIu64, key.data, at);
    code = read_value_type(parser, &type, err);
    if (!code)
        code = read_value(parser, type, 0, &entry->value, err);
    if (code)
        error_prefix(err, "metadata '%s'", key.data);
    return code;
}

static int read_metadata(struct parser *parser, size_t count, struct error *err)
{
    parser->gguf->metadata = arena_alloc_array(parser->arena, count, sizeof *parser->gguf->metadata);
    if (!parser->gguf->metadata)
        return header_arena_failed(parser->arena, count * sizeof *parser->gguf->metadata, "reading metadata", err);
    parser->gguf->n_metadata = count;
    for (size_t i = 0; i < count; i++) {
        int code = read_metadata_entry(parser, i, err);
        if (code)
            return code;
    }
    return 0;
}

static int apply_alignment(struct parser *parser, struct error *err)
{
    const struct metadata_value *value = find_value(parser, "general.alignment");
    parser->alignment = GGUF_DEFAULT_ALIGNMENT;
    if (!value)
        return 0;
    if (value->type != METADATA_UNSIGNED)
        return error_set(err, SAMPAN_EFORMAT, "metadata 'general.alignment' is not an unsigned integer");
    if (value->u < 8 || value->u > GGUF_MAXIMUM_ALIGNMENT || (value->u & (value->u - 1)))
        return error_set(err, SAMPAN_EFORMAT, "metadata 'general.alignment' is %" PRIu64 ", expected a power of two from 8 to %d", value->u,
                         GGUF_MAXIMUM_ALIGNMENT);
    parser->alignment = value->u;
    return 0;
}

static int refuse_split(const struct parser *parser, struct error *err)
{
    const struct metadata_value *count = find_value(parser, "split.count");
    const struct metadata_value *number = find_value(parser, "split.no");
    if (!count || count->type != METADATA_UNSIGNED || count->u <= 1)
        return 0;
    return error_set(err, SAMPAN_EUNSUPPORTED,
                     "this is part %" PRIu64 " of a GGUF split into %" PRIu64
                     " files, which sampan does not read yet; join them into one file (llama-gguf-split --merge) and open that",
                     number && number->type == METADATA_UNSIGNED ? number->u + 1 : 1, count->u);
}

/* ---- tensors ---- */

static int refuse_tensor_type(uint32_t number, struct error *err)
{
    char readable[256] = "";
    size_t length = 0;
    for (int i = 0; i < TENSOR_TYPE_COUNT && length < sizeof readable; i++)
        length += (size_t)snprintf(readable + length, sizeof readable - length, "%s%s", i ? " " : "", tensor_types[i].name);
    for (size_t i = 0; i < sizeof other_tensor_types / sizeof other_tensor_types[0]; i++)
        if (other_tensor_types[i].number == number)
            return error_set(err, SAMPAN_EUNSUPPORTED, "its type is %s (ggml type %" PRIu32 "), which sampan does not read yet; it reads %s",
                             other_tensor_types[i].name, number, readable);
    return error_set(err, SAMPAN_EUNSUPPORTED,
                     "its type is ggml type %" PRIu32 ", which sampan does not know; the file is newer than this program or damaged; it reads %s", number,
                     readable);
}

/* Dimensions in file order, fastest first; leaves the shape outermost first and the size in bytes. */
static int set_shape(struct checkpoint_tensor *tensor, const uint64_t *dimensions, struct error *err)
{
    uint64_t rows = 1;
    for (int i = 0; i < tensor->n_dimensions; i++) {
        uint64_t dimension = dimensions[i];
        if (dimension == 0)
            return error_set(err, SAMPAN_EFORMAT, "its dimension %d is 0", i);
        if (i > 0 && __builtin_mul_overflow(rows, dimension, &rows))
            return error_set(err, SAMPAN_EFORMAT, "the product of its dimensions overflows 64 bits");
        tensor->shape[tensor->n_dimensions - 1 - i] = dimension;
    }
    const struct tensor_type_row *row = &tensor_types[tensor->type];
    if (dimensions[0] % (uint64_t)row->block_elements)
        return error_set(err, SAMPAN_EFORMAT, "its rows have %" PRIu64 " elements, expected a multiple of %s's block of %d", dimensions[0], row->name,
                         row->block_elements);
    if (!tensor_type_bytes(tensor->type, rows, dimensions[0], &tensor->bytes))
        return error_set(err, SAMPAN_EFORMAT, "its size in bytes overflows 64 bits");
    return 0;
}

static int read_tensor_body(struct parser *parser, struct checkpoint_tensor *tensor, struct error *err)
{
    uint32_t n_dimensions, type;
    uint64_t dimensions[LIMIT_TENSOR_DIMENSIONS];
    int code = header_read_u32(&parser->reader, &n_dimensions, err);
    if (code)
        return code;
    if (n_dimensions < 1 || n_dimensions > LIMIT_TENSOR_DIMENSIONS)
        return error_set(err, SAMPAN_EFORMAT, "it has %" PRIu32 " dimensions, expected 1 to %d", n_dimensions, LIMIT_TENSOR_DIMENSIONS);
    tensor->n_dimensions = (int)n_dimensions;
    code = header_read(&parser->reader, dimensions, n_dimensions * sizeof dimensions[0], err);
    if (!code)
        code = header_read_u32(&parser->reader, &type, err);
    if (!code)
        code = header_read_u64(&parser->reader, &tensor->offset, err);
    if (code)
        return code;
    if (!tensor_type_from_ggml(type, &tensor->type))
        return refuse_tensor_type(type, err);
    return set_shape(tensor, dimensions, err);
}

static int read_tensor(struct parser *parser, size_t index, struct error *err)
{
    struct checkpoint_tensor *tensor = &parser->gguf->tensors[index];
    struct byte_string name;
    bool existed;
    uint64_t at = parser->reader.position;
    int code = header_read_string(&parser->reader, parser->arena, LIMIT_TENSOR_NAME, "tensor name", &name, err);
    if (!code)
        code = check_name(&name, "tensor name", at, err);
    if (code) {
        error_prefix(err, "tensor %zu", index);
        return code;
    }
    tensor->name = name.data;
    tensor->file = parser->reader.file;
    if (hash_map_put(parser->names, name.data, name.length, (uint32_t)index, &existed))
        return error_no_memory(err, "indexing tensors");
    if (existed)
        return error_set(err, SAMPAN_EFORMAT, "tensor '%s' occurs twice, again at offset %" PRIu64, name.data, at);
    code = read_tensor_body(parser, tensor, err);
    if (code)
        error_prefix(err, "tensor '%s'", name.data);
    return code;
}

/* Offsets become absolute once the end of the header is known. */
static int place_tensors(struct parser *parser, struct error *err)
{
    uint64_t size = parser->reader.file->size;
    uint64_t start = (parser->reader.position + parser->alignment - 1) & ~(parser->alignment - 1);
    for (size_t i = 0; i < parser->gguf->n_tensors; i++) {
        struct checkpoint_tensor *tensor = &parser->gguf->tensors[i];
        if (tensor->offset % parser->alignment)
            return error_set(err, SAMPAN_EFORMAT, "tensor '%s': its data offset %" PRIu64 " is not a multiple of the alignment %" PRIu64, tensor->name,
                             tensor->offset, parser->alignment);
        if (start > size || tensor->offset > size - start || tensor->bytes > size - start - tensor->offset)
            return error_set(err, SAMPAN_EFORMAT,
                             "tensor '%s': its %" PRIu64 " bytes at data offset %" PRIu64 " (data start at %" PRIu64
                             ") reach beyond the end of the file at %" PRIu64 "; the file is truncated: fetch it again",
                             tensor->name, tensor->bytes, tensor->offset, start, size);
        tensor->offset += start;
    }
    return 0;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t first = (*(const struct checkpoint_tensor *const *)a)->offset, second = (*(const struct checkpoint_tensor *const *)b)->offset;
    return (first > second) - (first < second);
}

static int refuse_overlap(const struct gguf *gguf, struct error *err)
{
    size_t n = gguf->n_tensors;
    const struct checkpoint_tensor **order = mem_alloc_array(n, sizeof *order);
    if (!order)
        return error_no_memory(err, "checking tensor extents");
    for (size_t i = 0; i < n; i++)
        order[i] = &gguf->tensors[i];
    qsort(order, n, sizeof *order, compare_offsets);
    int code = 0;
    for (size_t i = 1; !code && i < n; i++)
        if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes)
            code = error_set(err, SAMPAN_EFORMAT, "tensors '%s' and '%s' overlap at offset %" PRIu64, order[i - 1]->name, order[i]->name, order[i]->offset);
    mem_free(order);
    return code;
}

static int read_tensors(struct parser *parser, size_t count, struct error *err)
{
    struct gguf *gguf = parser->gguf;
    /* n_tensors was compared with the size of the file before the metadata was read; now it is known how much of the file is left. */
    if (count > header_remaining(&parser->reader) / GGUF_MINIMUM_TENSOR)
        return error_set(err, SAMPAN_EFORMAT,
                         "%zu tensors are announced, but only %" PRIu64 " bytes follow the metadata; the file is truncated: fetch it again", count,
                         header_remaining(&parser->reader));
    gguf->tensors = arena_alloc_array(parser->arena, count, sizeof *gguf->tensors);
    if (!gguf->tensors)
        return header_arena_failed(parser->arena, count * sizeof *gguf->tensors, "reading tensor infos", err);
    gguf->n_tensors = count;
    if (hash_map_reserve(parser->names, count))
        return error_no_memory(err, "indexing tensors");
    for (size_t i = 0; i < count; i++) {
        int code = read_tensor(parser, i, err);
        if (code)
            return code;
    }
    int code = place_tensors(parser, err);
    return code ? code : refuse_overlap(gguf, err);
}

/* ---- the whole ---- */

static int read_version(struct parser *parser, struct error *err)
{
    char magic[4];
    int code = header_read(&parser->reader, magic, sizeof magic, err);
    if (!code)
        code = header_read_u32(&parser->reader, &parser->version, err);
    if (code)
        return code;
    if (parser->version == 2 || parser->version == 3)
        return 0;
    if ((parser->version & 0xFFFF) == 0 && parser->version)
        return error_set(err, SAMPAN_EUNSUPPORTED, "this GGUF is big endian; sampan reads little-endian files (convert it with gguf-convert-endian)");
    return error_set(err, SAMPAN_EUNSUPPORTED, "this GGUF has version %" PRIu32 ", expected 2 or 3; %s", parser->version,
                     parser->version == 1 ? "convert it again with a current converter" : "it is newer than this program or damaged");
}

static int parse(struct parser *parser, struct error *err)
{
    size_t n_tensors, n_metadata;
    int code = read_version(parser, err);
    if (!code)
        code = header_read_count(&parser->reader, GGUF_MINIMUM_TENSOR, LIMIT_TENSORS, "tensors", &n_tensors, err);
    if (!code)
        code = header_read_count(&parser->reader, GGUF_MINIMUM_ENTRY, LIMIT_METADATA_KEYS, "metadata entries", &n_metadata, err);
    if (!code)
        code = read_metadata(parser, n_metadata, err);
    if (!code)
        code = refuse_split(parser, err);
    if (!code)
        code = apply_alignment(parser, err);
    return code ? code : read_tensors(parser, n_tensors, err);
}

int gguf_parse(const struct file *file, struct arena *arena, struct gguf *gguf, struct hash_map *keys, struct hash_map *names, struct error *err)
{
    struct parser parser = {.arena = arena, .gguf = gguf, .keys = keys, .names = names};
    *gguf = (struct gguf){0};
    int code = recognise_gguf(file, err);
    if (code)
        return code;
    code = header_reader_open(&parser.reader, file, err);
    if (!code)
        code = parse(&parser, err);
    header_reader_close(&parser.reader);
    return code;
}
