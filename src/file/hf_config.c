#include "file/hf_config.h"

#include <string.h>

#include "file/header_reader.h"
#include "file/json_text.h"

/* Goes over the values twice: without entries it counts, with them it fills. */
struct flattener {
    struct arena *arena;
    struct metadata_entry *entries; /* NULL: only count */
    const char **nulls;
    size_t count, n_nulls;
    struct hash_map *keys;
    struct error *err;
};

static int refuse_memory(const struct flattener *flattener, size_t size)
{
    return header_arena_failed(flattener->arena, size, "reading a configuration", flattener->err);
}

/* Which metadata type a JSON scalar is; false: none. */
static bool scalar_type(const json_t *json, enum metadata_type *type)
{
    double number;
    if (json_text_real(json, &number))
        *type = METADATA_FLOAT;
    else if (json_is_string(json))
        *type = METADATA_STRING;
    else if (json_is_integer(json))
        *type = json_integer_value(json) < 0 ? METADATA_SIGNED : METADATA_UNSIGNED;
    else if (json_is_boolean(json))
        *type = METADATA_BOOL;
    else
        return false;
    return true;
}

static bool is_number(enum metadata_type type)
{
    return type == METADATA_UNSIGNED || type == METADATA_SIGNED || type == METADATA_FLOAT;
}

/* Integers may be asked for as signed ones or floats: elements of an array are of one type. */
static int fill_scalar(struct flattener *flattener, const json_t *json, enum metadata_type type, struct metadata_value *value)
{
    value->type = type;
    switch (type) {
    case METADATA_UNSIGNED: value->u = (uint64_t)json_integer_value(json); break;
    case METADATA_SIGNED: value->i = json_integer_value(json); break;
    case METADATA_BOOL: value->b = json_is_true(json); break;
    case METADATA_FLOAT:
        if (!json_text_real(json, &value->f))
            value->f = (double)json_integer_value(json);
        break;
    case METADATA_STRING:
        value->string.length = json_string_length(json);
        value->string.data = arena_strndup(flattener->arena, json_string_value(json), value->string.length);
        return value->string.data ? 0 : refuse_memory(flattener, value->string.length);
    case METADATA_ARRAY: break;
    }
    return 0;
}

/* False: the elements are not scalars of one type. An empty array counts as one of strings. */
static bool element_type(const json_t *array, enum metadata_type *type)
{
    enum metadata_type other;
    *type = METADATA_STRING;
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (!scalar_type(json_array_get(array, i), &other))
            return false;
        if (i == 0 || *type == other)
            *type = other;
        else if (is_number(*type) && is_number(other))
            *type = *type == METADATA_FLOAT || other == METADATA_FLOAT ? METADATA_FLOAT : METADATA_SIGNED;
        else
            return false;
    }
    return true;
}

static int fill_array(struct flattener *flattener, const json_t *array, enum metadata_type type, struct metadata_value *value)
{
    size_t count = json_array_size(array);
    struct metadata_value *elements = arena_alloc_array(flattener->arena, count + 1, sizeof *elements); /* never empty */
    if (!elements)
        return refuse_memory(flattener, count * sizeof *elements);
    value->type = METADATA_ARRAY;
    value->array.element_type = type;
    value->array.count = count;
    value->array.elements = elements;
    int code = 0;
    for (size_t i = 0; !code && i < count; i++)
        code = fill_scalar(flattener, json_array_get(array, i), type, &elements[i]);
    return code;
}

static int add_entry(struct flattener *flattener, const char *key, const json_t *json, enum metadata_type type)
{
    size_t index = flattener->count++, length;
    bool existed;
    if (flattener->count > LIMIT_METADATA_KEYS)
        return error_set(flattener->err, SAMPAN_ELIMIT, "more than %d values", LIMIT_METADATA_KEYS);
    if (!flattener->entries)
        return 0;
    length = strlen(key);
    flattener->entries[index].key = key;
    if (hash_map_put(flattener->keys, key, length, (uint32_t)index, &existed))
        return error_no_memory(flattener->err, "indexing a configuration");
    if (existed)
        return error_set(flattener->err, SAMPAN_EFORMAT, "the key '%s' occurs twice (once of them with its dot as a nested object)", key);
    return json_is_array(json) ? fill_array(flattener, json, type, &flattener->entries[index].value)
                               : fill_scalar(flattener, json, type, &flattener->entries[index].value);
}

static int add_null(struct flattener *flattener, const char *key)
{
    if (flattener->n_nulls == LIMIT_METADATA_KEYS)
        return error_set(flattener->err, SAMPAN_ELIMIT, "more than %d values", LIMIT_METADATA_KEYS);
    if (flattener->entries)
        flattener->nulls[flattener->n_nulls] = key;
    flattener->n_nulls++;
    return 0;
}

static int flatten(struct flattener *flattener, const char *key, json_t *json, int depth);

/* One member or element; the key is needed only when filling. */
static int flatten_child(struct flattener *flattener, const char *prefix, const char *name, json_t *json, int depth)
{
    const char *key = NULL;
    if (flattener->entries) {
        key = *prefix ? arena_printf(flattener->arena, "%s.%s", prefix, name) : arena_strndup(flattener->arena, name, strlen(name));
        if (!key)
            return refuse_memory(flattener, strlen(name));
        if (!*name)
            return error_set(flattener->err, SAMPAN_EFORMAT, "an empty name in '%s'", prefix);
    }
    return flatten(flattener, key, json, depth + 1);
}

static int flatten(struct flattener *flattener, const char *key, json_t *json, int depth)
{
    enum metadata_type type;
    int code = 0;
    if (depth > LIMIT_CONFIG_DEPTH)
        return error_set(flattener->err, SAMPAN_ELIMIT, "values are nested deeper than %d", LIMIT_CONFIG_DEPTH);
    if (json_is_null(json))
        return add_null(flattener, key);
    if (scalar_type(json, &type) || (json_is_array(json) && element_type(json, &type)))
        return add_entry(flattener, key, json, type);
    for (void *at = json_object_iter(json); !code && at; at = json_object_iter_next(json, at))
        code = flatten_child(flattener, key, json_object_iter_key(at), json_object_iter_value(at), depth);
    for (size_t i = 0; !code && json_is_array(json) && i < json_array_size(json); i++) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        code = flatten_child(flattener, key, index, json_array_get(json, i), depth);
    }
    return code;
}

static int set_architecture(struct hf_config *config, const struct hash_map *keys, struct error *err)
{
    uint32_t index;
    const struct metadata_value *value = NULL;
    if (hash_map_get(keys, "architectures", strlen("architectures"), &index))
        value = &config->entries[index].value;
    if (!value || value->type != METADATA_ARRAY || value->array.count == 0 || value->array.element_type != METADATA_STRING ||
        !value->array.elements[0].string.length)
        return error_set(err, SAMPAN_EFORMAT,
                         "'architectures' is missing, empty or no array of strings, expected the model family's class, as [\"LlamaForCausalLM\"]");
    config->architecture = value->array.elements[0].string.data;
    return 0;
}

static int load_file(const char *folder, const char *name, bool is_optional, struct arena *arena, json_t **json, struct error *err)
{
    const char *path = arena_printf(arena, "%s/%s", folder, name);
    *json = NULL;
    if (!path)
        return error_no_memory(err, "reading a configuration");
    if (is_optional && !file_exists(path))
        return 0;
    return json_text_parse_file(path, LIMIT_CONFIG_FILE, JSON_TEXT_PYTHON, json, err);
}

static int flatten_file(struct flattener *flattener, const char *folder, const char *name, const char *prefix, json_t *json)
{
    int code = json ? flatten(flattener, prefix, json, 0) : 0;
    if (code)
        error_prefix(flattener->err, "reading '%s/%s'", folder, name);
    return code;
}

static int flatten_both(struct flattener *flattener, const char *folder, json_t *config, json_t *generation)
{
    int code = flatten_file(flattener, folder, "config.json", "", config);
    return code ? code : flatten_file(flattener, folder, "generation_config.json", "generation_config", generation);
}

int hf_config_read(const char *folder, struct arena *arena, struct hf_config *config, struct hash_map *keys, struct error *err)
{
    json_t *json, *generation = NULL;
    struct flattener flattener = {.arena = arena, .keys = keys, .err = err};
    *config = (struct hf_config){0};
    int code = load_file(folder, "config.json", false, arena, &json, err);
    if (!code)
        code = load_file(folder, "generation_config.json", true, arena, &generation, err);
    if (!code)
        code = flatten_both(&flattener, folder, json, generation);
    if (!code) {
        config->n_entries = flattener.count;
        config->entries = arena_alloc_array(arena, flattener.count + 1, sizeof *config->entries); /* never empty */
        config->nulls = arena_alloc_array(arena, flattener.n_nulls + 1, sizeof *config->nulls);
        config->n_nulls = flattener.n_nulls;
        if (!config->entries || !config->nulls)
            code = refuse_memory(&flattener, flattener.count * sizeof *config->entries);
    }
    if (!code) {
        flattener.entries = config->entries;
        flattener.nulls = config->nulls;
        flattener.count = flattener.n_nulls = 0;
        code = flatten_both(&flattener, folder, json, generation);
    }
    if (!code && (code = set_architecture(config, keys, err)))
        error_prefix(err, "reading '%s/config.json'", folder);
    json_decref(json);
    json_decref(generation);
    return code;
}
