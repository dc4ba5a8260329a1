/* What the parts of tokenizer.json have in common: each is an object with a "type", or null, or a Sequence of such. */
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "file/tokenizer_json_parts.h"

enum { MAX_NESTING = 4 };

static int refuse_type(const struct part *part, const char *type)
{
    struct buffer known;
    buffer_init(&known, 1024);
    for (const struct part_row *row = part->rows; row->type; row++)
        buffer_printf(&known, "%s, ", row->type);
    int code = error_set(part->err, SAMPAN_EUNSUPPORTED, "its '%s' contains '%.60s', which is not supported (known: %sSequence)", part->name, type,
                         known.length ? known.data : "");
    buffer_free(&known);
    return code;
}

static int add_element(struct part *part, const json_t *element, const char *type)
{
    const struct part_row *row = part->rows;
    while (row->type && strcmp(row->type, type) != 0)
        row++;
    if (!row->type)
        return refuse_type(part, type);
    if (part->count++ == PART_LIST)
        return error_set(part->err, SAMPAN_ELIMIT, "'%s' has more than %d parts", part->name, PART_LIST);
    return row->add(part, element, row->kind);
}

/* Depth of recursion: MAX_NESTING. */
static int walk(struct part *part, const json_t *element, int depth)
{
    if (!element || json_is_null(element))
        return 0;
    const char *type = json_type_of(element);
    if (!type)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' is not an object with a 'type'", part->name);
    if (strcmp(type, "Sequence") != 0)
        return add_element(part, element, type);
    const json_t *list = json_object_get(element, part->list_key);
    if (!json_is_array(list) || depth == MAX_NESTING)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Sequence without an array '%s', or Sequences nested deeper than %d", part->name, part->list_key,
                         MAX_NESTING);
    int code = 0;
    for (size_t i = 0; i < json_array_size(list) && !code; i++)
        code = walk(part, json_array_get(list, i), depth + 1);
    return code;
}

int part_walk(struct part *part, const json_t *element)
{
    return walk(part, element, 0);
}

int part_read_text(struct part *part, const json_t *element, const char *key, struct byte_string *text)
{
    const json_t *found = json_object_get(element, key);
    if (!json_is_string(found))
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a %s whose '%s' is not a text", part->name, json_type_of(element), key);
    *text = (struct byte_string){arena_strndup(part->arena, json_string_value(found), json_string_length(found)), json_string_length(found)};
    return text->data ? 0 : error_no_memory(part->err, "reading the stages of a tokenizer");
}

int part_read_pattern(struct part *part, const json_t *element, struct byte_string *text, bool *literal)
{
    const json_t *pattern = json_object_get(element, "pattern");
    *literal = json_object_get(pattern, "String") != NULL;
    const json_t *found = json_object_get(pattern, *literal ? "String" : "Regex");
    if (!json_is_string(found) || !json_string_length(found) || json_object_size(pattern) != 1)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a %s whose 'pattern' is neither {\"Regex\": ...} nor {\"String\": ...}", part->name,
                         json_type_of(element));
    return part_read_text(part, pattern, *literal ? "String" : "Regex", text);
}

/* Files of old say add_prefix_space instead of prepend_scheme. */
int part_read_metaspace(struct part *part, const json_t *element, struct byte_string *mark, enum prepend_scheme *prepend)
{
    static const char *const schemes[] = {[PREPEND_NEVER] = "never", [PREPEND_FIRST] = "first", [PREPEND_ALWAYS] = "always"};
    const json_t *scheme = json_object_get(element, "prepend_scheme");
    bool adds;
    uint32_t character;
    int code = part_read_text(part, element, "replacement", mark);
    if (!code && utf8_decode(mark->data, mark->length, &character) != (int)mark->length)
        code = error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Metaspace whose 'replacement' is not one character", part->name);
    if (!code)
        code = json_read_flag(element, "add_prefix_space", true, &adds, part->err);
    if (code)
        return code;
    *prepend = adds ? PREPEND_ALWAYS : PREPEND_NEVER;
    if (!scheme)
        return 0;
    for (int i = PREPEND_NEVER; i <= PREPEND_ALWAYS; i++) {
        if (json_is_string(scheme) && strcmp(json_string_value(scheme), schemes[i]) == 0) {
            *prepend = (enum prepend_scheme)i;
            return 0;
        }
    }
    return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Metaspace whose 'prepend_scheme' is none of never, first, always", part->name);
}
