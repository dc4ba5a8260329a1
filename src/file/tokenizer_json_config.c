/* tokenizer_config.json: which tokens begin and end a text, the chat template; chat_template.jinja; what ends a generation. */
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "file/end_of_generation.h"
#include "file/tokenizer_json_parts.h"

/* A token as "text" or {"content": "text", ...}; -1 where the file has none or the vocabulary does not know it. */
static int read_token(const json_t *config, const char *key, const struct tokenizer_spec *spec, int32_t *id, struct error *err)
{
    const json_t *token = json_object_get(config, key);
    if (json_is_object(token))
        token = json_object_get(token, "content");
    if (!token)
        return 0;
    *id = -1;
    if (json_is_null(token))
        return 0;
    if (!json_is_string(token))
        return error_set(err, SAMPAN_EFORMAT, "'%s' is neither a text nor an object with 'content'", key);
    *id = tokenizer_spec_find(spec, json_string_value(token), json_string_length(token));
    return 0;
}

static int keep_template(const char *source, size_t length, bool is_for_tools, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const char *kept = arena_strndup(arena, source, length);
    if (!kept)
        return error_no_memory(err, "reading the chat template");
    if (length > LIMIT_TEMPLATE_SOURCE)
        return error_set(err, SAMPAN_ELIMIT, "the chat template has %zu bytes, expected at most %u", length, LIMIT_TEMPLATE_SOURCE);
    *(is_for_tools ? &spec->tool_template : &spec->chat_template) = kept;
    *(is_for_tools ? &spec->tool_template_length : &spec->chat_template_length) = length;
    return 0;
}

/* "default" serves all conversations, "tool_use" those with tools; others (for retrieval, ...) are left. */
static int read_named_templates(const json_t *list, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    int code = 0;
    for (size_t i = 0; !code && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *source = json_object_get(entry, "template");
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (!name || !json_is_string(source))
            return error_set(err, SAMPAN_EFORMAT, "'chat_template' entry %zu has no 'name' or no 'template'", i);
        bool is_for_tools = strcmp(name, "tool_use") == 0;
        if (is_for_tools || strcmp(name, "default") == 0)
            code = keep_template(json_string_value(source), json_string_length(source), is_for_tools, arena, spec, err);
    }
    return code;
}

/* A text, or a list of {"name", "template"}. */
static int read_template(const json_t *config, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *found = json_object_get(config, "chat_template");
    if (!found || json_is_null(found))
        return 0;
    if (json_is_array(found))
        return read_named_templates(found, arena, spec, err);
    if (!json_is_string(found))
        return error_set(err, SAMPAN_EFORMAT, "'chat_template' is neither a text nor a list");
    return keep_template(json_string_value(found), json_string_length(found), false, arena, spec, err);
}

/* The post-processor's template decides what is put around a text; where it puts nothing, tokenizer_config.json may ask for BOS and EOS. */
static int add_configured_tokens(struct tokenizer_spec *spec, struct error *err)
{
    if (spec->n_before + spec->n_behind > 0) {
        spec->add_bos = spec->add_eos = false;
        for (int i = 0; i < spec->n_before; i++)
            spec->add_bos |= spec->before[i] == spec->bos_id;
        for (int i = 0; i < spec->n_behind; i++)
            spec->add_eos |= spec->behind[i] == spec->eos_id;
        return 0;
    }
    if ((spec->add_bos && spec->bos_id < 0) || (spec->add_eos && spec->eos_id < 0))
        return error_set(err, SAMPAN_EFORMAT, "'%s' in tokenizer_config.json is true, but '%s' is not a token of the vocabulary",
                         spec->add_bos && spec->bos_id < 0 ? "add_bos_token" : "add_eos_token", spec->add_bos && spec->bos_id < 0 ? "bos_token" : "eos_token");
    return 0;
}

/* Older folders name the special tokens in a file of their own, too; tokenizer_config.json goes before it. */
static int fill_special_tokens(const json_t *config, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    (void)arena;
    int code = read_token(config, "bos_token", spec, &spec->bos_id, err);
    if (!code)
        code = read_token(config, "eos_token", spec, &spec->eos_id, err);
    if (!code)
        code = read_token(config, "pad_token", spec, &spec->padding_id, err);
    if (!code && spec->unknown_id < 0)
        code = read_token(config, "unk_token", spec, &spec->unknown_id, err);
    return code;
}

static int fill_from_config(const json_t *config, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    int code = fill_special_tokens(config, arena, spec, err);
    if (!code)
        code = read_template(config, arena, spec, err);
    if (!code)
        code = json_read_flag(config, "add_bos_token", false, &spec->add_bos, err);
    return code ? code : json_read_flag(config, "add_eos_token", false, &spec->add_eos, err);
}

/* Files of their own stand for the templates in tokenizer_config.json. */
static int read_template_file(const char *folder, const char *name, bool is_for_tools, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const char *path = arena_printf(arena, "%s/%s", folder, name);
    char *data;
    size_t length;
    if (!path)
        return error_no_memory(err, "reading the chat template");
    if (!file_exists(path))
        return 0;
    int code = file_read_whole(path, LIMIT_TEMPLATE_SOURCE, &data, &length, err);
    if (code)
        return code;
    code = keep_template(data, length, is_for_tools, arena, spec, err);
    mem_free(data);
    return code;
}

/* ---- what ends a generation ---- */

enum { MAX_ENDS = 64 };

/* The ids under a key of the folder's configuration: one number or a list of them. Ids beyond the vocabulary (padded models) are passed over. */
static int collect_ends(const struct checkpoint *view, const char *key, int n_tokens, int32_t *ids, size_t *n, struct error *err)
{
    const struct metadata_value *value = view ? checkpoint_find(view, key) : NULL;
    bool is_array = value && value->type == METADATA_ARRAY;
    size_t count = !value ? 0 : is_array ? value->array.count : 1;
    for (size_t i = 0; i < count; i++) {
        const struct metadata_value *element = is_array ? &value->array.elements[i] : value;
        enum metadata_type type = is_array ? value->array.element_type : value->type;
        if (type != METADATA_UNSIGNED && type != METADATA_SIGNED)
            return error_set(err, SAMPAN_EFORMAT, "'%s' is neither a token id nor a list of them", key);
        if (element->u < (uint64_t)n_tokens && *n < MAX_ENDS)
            ids[(*n)++] = (int32_t)element->u;
    }
    return 0;
}

static int fill_ends(const struct checkpoint *view, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    int32_t ids[MAX_ENDS] = {spec->eos_id};
    size_t n = 1;
    int code = collect_ends(view, "generation_config.eos_token_id", spec->n_tokens, ids, &n, err);
    if (!code)
        code = collect_ends(view, "eos_token_id", spec->n_tokens, ids, &n, err);
    return code ? code : end_of_generation_fill(spec, ids, n, arena, err);
}

/* A JSON file beside tokenizer.json, handed to `take`; absent: nothing. */
static int read_beside(const char *folder, const char *name, int (*take)(const json_t *, struct arena *, struct tokenizer_spec *, struct error *),
                       struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const char *path = arena_printf(arena, "%s/%s", folder, name);
    json_t *json = NULL;
    if (!path)
        return error_no_memory(err, "reading the tokenizer's configuration");
    if (!file_exists(path))
        return 0;
    int code = json_file_read(path, LIMIT_CONFIGURATION, &json, err);
    if (code)
        return code;
    code = take(json, arena, spec, err);
    json_decref(json);
    if (code)
        error_prefix(err, "reading '%s'", path);
    return code;
}

int tokenizer_json_fill_config(const char *folder, const struct checkpoint *view, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    int code = read_beside(folder, "special_tokens_map.json", fill_special_tokens, arena, spec, err);
    if (!code)
        code = read_beside(folder, "chat_template.json", read_template, arena, spec, err);
    if (!code)
        code = read_beside(folder, "tokenizer_config.json", fill_from_config, arena, spec, err);
    if (!code)
        code = read_template_file(folder, "chat_template.jinja", false, arena, spec, err);
    if (!code)
        code = read_template_file(folder, "additional_chat_templates/tool_use.jinja", true, arena, spec, err);
    if (!code)
        code = add_configured_tokens(spec, err);
    return code ? code : fill_ends(view, arena, spec, err);
}
