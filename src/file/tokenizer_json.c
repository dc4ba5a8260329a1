/* The file is parsed whole (jansson, whose hash tables are seeded at random), copied into the arena and let go. */
#include "file/tokenizer_json.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "file/tokenizer_json_parts.h"

/* ---- helpers for all parts ---- */

static int parse_object(const char *data, size_t length, json_t **root, struct error *err)
{
    int code = json_parse(data, length, JSON_PARSE_NUL, root, err);
    if (code == SAMPAN_EFORMAT)
        error_prefix(err, "the file is damaged or no JSON, fetch it again");
    return code;
}

int json_file_read(const char *path, size_t limit, json_t **root, struct error *err)
{
    char *data;
    size_t length;
    *root = NULL;
    int code = file_read_whole(path, limit, &data, &length, err);
    if (code)
        return code;
    code = parse_object(data, length, root, err);
    mem_free(data);
    if (code)
        error_prefix(err, "reading '%s'", path);
    return code;
}

const char *json_type_of(const json_t *object)
{
    return json_string_value(json_object_get(object, "type"));
}

int json_read_flag(const json_t *object, const char *key, bool fallback, bool *value, struct error *err)
{
    const json_t *found = json_object_get(object, key);
    *value = found && !json_is_null(found) ? json_is_true(found) : fallback;
    if (found && !json_is_null(found) && !json_is_boolean(found))
        return error_set(err, SAMPAN_EFORMAT, "'%s' is neither true nor false", key);
    return 0;
}

int32_t tokenizer_spec_find(const struct tokenizer_spec *spec, const char *text, size_t length)
{
    for (int32_t i = 0; i < spec->n_tokens && length; i++)
        if (spec->tokens[i].text.length == length && memcmp(spec->tokens[i].text.data, text, length) == 0)
            return i;
    return -1;
}

static int fill_spec(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    int code = tokenizer_json_fill_stages(root, arena, spec, err); /* before the vocabulary: what is not supported is said first */
    if (!code)
        code = tokenizer_json_fill_behind(root, arena, spec, err);
    return code ? code : tokenizer_json_fill_model(root, arena, spec, err);
}

static void begin_spec(struct tokenizer_spec *spec)
{
    *spec = (struct tokenizer_spec){.bos_id = -1, .eos_id = -1, .eot_id = -1, .unknown_id = -1, .padding_id = -1};
}

int tokenizer_json_parse(const char *data, size_t length, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    struct error local = {0};
    json_t *root;
    err = err ? err : &local;
    begin_spec(spec);
    int code = parse_object(data, length, &root, err);
    if (!code)
        code = fill_spec(root, arena, spec, err);
    json_decref(root);
    return code;
}

int tokenizer_json_read(const char *folder, const struct checkpoint *view, struct arena *arena, struct tokenizer_spec *spec, const char **problem,
                        struct error *err)
{
    struct error local = {0};
    err = err ? err : &local;
    json_t *root;
    *problem = NULL;
    begin_spec(spec);
    char *path = arena_printf(arena, "%s/tokenizer.json", folder);
    if (!path)
        return error_no_memory(err, "reading the tokenizer");
    if (!file_exists(path)) {
        *problem = "the folder has no tokenizer.json";
        return 0;
    }
    int code = json_file_read(path, LIMIT_TOKENIZER_JSON, &root, err);
    if (code)
        return code;
    code = fill_spec(root, arena, spec, err);
    json_decref(root);
    if (code)
        error_prefix(err, "reading '%s'", path);
    else
        code = tokenizer_json_fill_config(folder, view, arena, spec, err);
    if (code != SAMPAN_EUNSUPPORTED)
        return code;
    *problem = arena_printf(arena, "%s", err->message);
    return *problem ? 0 : error_no_memory(err, "reading the tokenizer");
}
