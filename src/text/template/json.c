/* JSON in (jansson) and out (Python's json.dumps, which is what transformers puts behind `tojson`). What comes in has ORIGIN_DATA. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "text/template/builtins.h"
#include "text/template/operate.h"

/* --- reading --- */

static bool convert(struct jinja_run *run, const json_t *json, struct jinja_value *out);

static bool convert_array(struct jinja_run *run, const json_t *json, struct jinja_value *out)
{
    struct jinja_list *list;
    size_t count = json_array_size(json);
    if (!jinja_list_make(run, count, &list))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!convert(run, json_array_get(json, i), &list->items[list->count++]))
            return false;
    *out = (struct jinja_value){.kind = JINJA_LIST, .as.list = list};
    return true;
}

static bool convert_object(struct jinja_run *run, const json_t *json, struct jinja_value *out)
{
    struct jinja_dict *dict;
    json_t *object = (json_t *)(uintptr_t)json; /* the iterator functions lack const */
    if (!jinja_dict_make(run, json_object_size(json), &dict))
        return false;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        struct jinja_value key, value;
        if (!jinja_string_copy(run, json_object_iter_key(at), json_object_iter_key_len(at), ORIGIN_DATA, &key) ||
            !convert(run, json_object_iter_value(at), &value) || !jinja_dict_put(run, dict, key, value))
            return false;
    }
    *out = (struct jinja_value){.kind = JINJA_DICT, .as.dict = dict};
    return true;
}

static bool convert(struct jinja_run *run, const json_t *json, struct jinja_value *out)
{
    bool done = true;
    if (!jinja_step(run, 1) || !jinja_enter(run))
        return false;
    switch (json_typeof(json)) {
    case JSON_OBJECT: done = convert_object(run, json, out); break;
    case JSON_ARRAY: done = convert_array(run, json, out); break;
    case JSON_STRING: done = jinja_string_copy(run, json_string_value(json), json_string_length(json), ORIGIN_DATA, out); break;
    case JSON_INTEGER: *out = jinja_int(json_integer_value(json)); break;
    case JSON_REAL: *out = jinja_float(json_real_value(json)); break;
    case JSON_TRUE:
    case JSON_FALSE: *out = jinja_bool(json_is_true(json)); break;
    case JSON_NULL: *out = jinja_none(); break;
    }
    run->depth--;
    return done;
}

/* jansson takes some 250 bytes for an object that is three bytes of text: what it would need is estimated before it is asked, and so is the depth. */
static bool check_size(struct jinja_run *run, const char *text, size_t length)
{
    size_t estimate = length * 2;
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '"')
            in_string = !in_string;
        else if (in_string && c == '\\')
            i++;
        if (in_string)
            continue;
        estimate += c == '{' ? 300 : c == '[' ? 150 : c == ',' ? 100 : 0;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (depth > run->limits.depth)
            return jinja_fail(run, SAMPAN_ELIMIT, "JSON nested more than %d levels deep (at byte %zu)", run->limits.depth, i);
    }
    if (estimate <= run->limits.memory)
        return true;
    return jinja_fail(run, SAMPAN_ELIMIT, "JSON of %zu bytes would need some %zu MiB of memory, expected at most %zu", length, estimate >> 20,
                      run->limits.memory >> 20);
}

bool jinja_json_parse(struct jinja_run *run, const char *text, size_t length, bool must_be_object, struct jinja_value *out)
{
    if (!check_size(run, text, length))
        return false;
    struct error problem;
    json_t *json;
    int code = json_parse(text, length, JSON_PARSE_NUL | JSON_PARSE_ANY, &json, &problem);
    if (code)
        return jinja_fail(run, code, "%s%s", code == SAMPAN_EFORMAT ? "not valid JSON at " : "", problem.message);
    bool done = !must_be_object || json_is_object(json);
    if (!done)
        jinja_fail(run, SAMPAN_EINVAL, "the variables are not a JSON object; expected {\"messages\": [...], ...}");
    else
        done = convert(run, json, out);
    json_decref(json);
    return done;
}

/* --- writing --- */

static bool write_escape(struct jinja_run *run, uint32_t c, enum text_origin origin)
{
    char text[16];
    static const char plain[] = "\"\"\\\\\nn\rr\tt\ff\bb";
    for (size_t i = 0; i + 1 < sizeof plain; i += 2)
        if (c == (unsigned char)plain[i]) {
            snprintf(text, sizeof text, "\\%c", plain[i + 1]);
            return jinja_append_text(run, text, origin);
        }
    if (c > 0xFFFF)
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800u + ((c - 0x10000) >> 10), 0xDC00u + ((c - 0x10000) & 0x3FF));
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    return jinja_append_text(run, text, origin);
}

static bool write_string(struct jinja_run *run, const struct jinja_string *string, bool ascii)
{
    if (!jinja_append_text(run, "\"", ORIGIN_DATA))
        return false;
    size_t done = 0;
    for (size_t at = 0; at < string->length;) {
        uint32_t c = (unsigned char)string->bytes[at];
        int n = 1;
        if (c >= 0x80)
            n = jinja_string_decode(string, at, &c);
        if (c < 0x20 || c == '"' || c == '\\' || (ascii && c > 0x7E)) {
            if (!jinja_append_slice(run, string, done, at) || !write_escape(run, c, jinja_origin_at(string, at)))
                return false;
            done = at + (size_t)n;
        }
        at += (size_t)n;
    }
    return jinja_append_slice(run, string, done, string->length) && jinja_append_text(run, "\"", ORIGIN_DATA);
}

static bool write_number(struct jinja_run *run, struct jinja_value value)
{
    char text[40];
    if (value.kind == JINJA_BOOL)
        return jinja_append_text(run, value.as.boolean ? "true" : "false", ORIGIN_DATA);
    if (value.kind == JINJA_INT)
        snprintf(text, sizeof text, "%lld", (long long)value.as.integer);
    else if (isfinite(value.as.real))
        jinja_float_text(value.as.real, text);
    else
        snprintf(text, sizeof text, "%s", isnan(value.as.real) ? "NaN" : value.as.real < 0 ? "-Infinity" : "Infinity");
    return jinja_append_text(run, text, ORIGIN_DATA);
}

static bool write_value(struct jinja_run *run, struct jinja_value value, const struct jinja_json_style *style, int level);

static bool write_newline(struct jinja_run *run, const struct jinja_json_style *style, int level)
{
    if (!style->indent)
        return true;
    if (!jinja_append_text(run, "\n", ORIGIN_DATA))
        return false;
    for (int i = 0; i < level; i++)
        if (!jinja_append_string(run, style->indent))
            return false;
    return true;
}

static bool write_array(struct jinja_run *run, const struct jinja_list *list, const struct jinja_json_style *style, int level)
{
    if (!list->count)
        return jinja_append_text(run, "[]", ORIGIN_DATA);
    if (!jinja_append_text(run, "[", ORIGIN_DATA))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if ((i && !jinja_append_string(run, style->item_separator)) || !write_newline(run, style, level + 1) ||
            !write_value(run, list->items[i], style, level + 1))
            return false;
    return write_newline(run, style, level) && jinja_append_text(run, "]", ORIGIN_DATA);
}

static bool write_key(struct jinja_run *run, struct jinja_value key, const struct jinja_json_style *style)
{
    if (key.kind == JINJA_STRING)
        return write_string(run, key.as.string, style->ascii);
    if (key.kind == JINJA_NONE)
        return jinja_append_text(run, "\"null\"", ORIGIN_DATA);
    if (jinja_is_number(key))
        return jinja_append_text(run, "\"", ORIGIN_DATA) && write_number(run, key) && jinja_append_text(run, "\"", ORIGIN_DATA);
    return jinja_fail(run, SAMPAN_EINVAL, "tojson: a key is a %s, expected a str, int, float, bool or None", jinja_type_name(key));
}

static bool write_object(struct jinja_run *run, const struct jinja_dict *dict, const struct jinja_json_style *style, int level)
{
    size_t count = dict->count;
    if (!count)
        return jinja_append_text(run, "{}", ORIGIN_DATA);
    struct jinja_value *keys = jinja_alloc(run, count, sizeof *keys), *values = jinja_alloc(run, count, sizeof *values);
    if (!keys || !values)
        return false;
    for (size_t i = 0; i < count; i++) {
        keys[i] = dict->entries[i].key;
        values[i] = dict->entries[i].value;
    }
    if ((style->sort && !jinja_sort(run, values, keys, count, false)) || !jinja_append_text(run, "{", ORIGIN_DATA))
        return false;
    for (size_t i = 0; i < count; i++)
        if ((i && !jinja_append_string(run, style->item_separator)) || !write_newline(run, style, level + 1) || !write_key(run, keys[i], style) ||
            !jinja_append_string(run, style->key_separator) || !write_value(run, values[i], style, level + 1))
            return false;
    return write_newline(run, style, level) && jinja_append_text(run, "}", ORIGIN_DATA);
}

static bool write_value(struct jinja_run *run, struct jinja_value value, const struct jinja_json_style *style, int level)
{
    if (!jinja_step(run, 1) || !jinja_enter(run))
        return false;
    bool done;
    if (value.kind == JINJA_STRING)
        done = write_string(run, value.as.string, style->ascii);
    else if (jinja_is_number(value))
        done = write_number(run, value);
    else if (value.kind == JINJA_NONE)
        done = jinja_append_text(run, "null", ORIGIN_DATA);
    else if (value.kind == JINJA_LIST || value.kind == JINJA_TUPLE)
        done = write_array(run, value.as.list, style, level);
    else if (value.kind == JINJA_DICT)
        done = write_object(run, value.as.dict, style, level);
    else
        done = jinja_fail(run, SAMPAN_EINVAL, "tojson: an object of type %s has no JSON form", jinja_type_name(value));
    run->depth--;
    return done;
}

bool jinja_json_write(struct jinja_run *run, struct jinja_value value, const struct jinja_json_style *style)
{
    return write_value(run, value, style, 0);
}
