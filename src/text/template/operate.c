/* Truth, equality, order, hashing, printing, iteration. Every function that goes into containers counts depth and steps: a template can build a list
 * that holds itself twice, forty levels deep. Source: the Python language reference, "Data model" and "Expressions". */
#include "text/template/operate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_map.h"
#include "text/template/builtins.h"
#include "text/template/unicode.h"

const char *jinja_type_name(struct jinja_value value)
{
    static const char *const names[] = {
        [JINJA_MISSING] = "missing", [JINJA_UNDEFINED] = "Undefined", [JINJA_NONE] = "NoneType",       [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",         [JINJA_FLOAT] = "float",         [JINJA_STRING] = "str",          [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",     [JINJA_DICT] = "dict",           [JINJA_NAMESPACE] = "Namespace", [JINJA_RANGE] = "range",
        [JINJA_VIEW] = "dict view",  [JINJA_ITERATOR] = "generator",  [JINJA_FUNCTION] = "function",   [JINJA_METHOD] = "method",
        [JINJA_MACRO] = "Macro",     [JINJA_LOOP] = "LoopContext",    [JINJA_CYCLER] = "Cycler",       [JINJA_JOINER] = "Joiner",
    };
    return names[value.kind];
}

bool jinja_is_true(struct jinja_value value)
{
    switch (value.kind) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return value.as.boolean;
    case JINJA_INT: return value.as.integer != 0;
    case JINJA_FLOAT: return value.as.real != 0;
    case JINJA_STRING: return value.as.string->length != 0;
    case JINJA_LIST:
    case JINJA_TUPLE: return value.as.list->count != 0;
    case JINJA_DICT: return value.as.dict->count != 0;
    case JINJA_RANGE: return jinja_range_length(value.as.range) != 0;
    case JINJA_VIEW: return value.as.view->dict->count != 0;
    default: return true;
    }
}

bool jinja_is_number(struct jinja_value value)
{
    return value.kind == JINJA_BOOL || value.kind == JINJA_INT || value.kind == JINJA_FLOAT;
}

static int64_t as_integer(struct jinja_value value)
{
    return value.kind == JINJA_BOOL ? value.as.boolean : value.as.integer;
}

double jinja_as_real(struct jinja_value value)
{
    return value.kind == JINJA_FLOAT ? value.as.real : (double)as_integer(value);
}

bool jinja_to_int(struct jinja_run *run, struct jinja_value value, const char *what, int64_t *out)
{
    if (value.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, value);
    if (value.kind != JINJA_BOOL && value.kind != JINJA_INT)
        return jinja_fail(run, SAMPAN_EINVAL, "%s is a %s, expected an int", what, jinja_type_name(value));
    *out = as_integer(value);
    return true;
}

/* -1, 0, 1; 2 where a NaN has no order. long double holds every int64 and every double. */
static int compare_numbers(struct jinja_value a, struct jinja_value b)
{
    if (a.kind != JINJA_FLOAT && b.kind != JINJA_FLOAT)
        return (as_integer(a) > as_integer(b)) - (as_integer(a) < as_integer(b));
    long double x = a.kind == JINJA_FLOAT ? (long double)a.as.real : (long double)as_integer(a);
    long double y = b.kind == JINJA_FLOAT ? (long double)b.as.real : (long double)as_integer(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static bool equal_lists(struct jinja_run *run, const struct jinja_list *a, const struct jinja_list *b, bool *equal)
{
    *equal = a->count == b->count;
    for (size_t i = 0; a != b && *equal && i < a->count; i++)
        if (!jinja_equal(run, a->items[i], b->items[i], equal))
            return false;
    return true;
}

static bool equal_dicts(struct jinja_run *run, const struct jinja_dict *a, const struct jinja_dict *b, bool *equal)
{
    *equal = a->count == b->count;
    for (size_t i = 0; a != b && *equal && i < a->count; i++) {
        const struct jinja_value *other;
        if (!jinja_dict_get(run, b, a->entries[i].key, &other))
            return false;
        if (!other)
            *equal = false;
        else if (!jinja_equal(run, a->entries[i].value, *other, equal))
            return false;
    }
    return true;
}

static bool equal_ranges(const struct jinja_range *a, const struct jinja_range *b)
{
    int64_t length = jinja_range_length(a);
    return length == jinja_range_length(b) && (!length || (a->start == b->start && (length == 1 || a->step == b->step)));
}

static bool equal_same_kind(struct jinja_run *run, struct jinja_value a, struct jinja_value b, bool *equal)
{
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: *equal = true; return true;
    case JINJA_STRING: *equal = jinja_string_equal(a.as.string, b.as.string); return true;
    case JINJA_LIST:
    case JINJA_TUPLE: return equal_lists(run, a.as.list, b.as.list, equal);
    case JINJA_DICT: return equal_dicts(run, a.as.dict, b.as.dict, equal);
    case JINJA_RANGE: *equal = equal_ranges(a.as.range, b.as.range); return true;
    case JINJA_METHOD: *equal = a.as.method->function == b.as.method->function && a.as.method->self.as.dict == b.as.method->self.as.dict; return true;
    default: *equal = a.as.dict == b.as.dict; return true; /* identity */
    }
}

bool jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b, bool *equal)
{
    *equal = false;
    if (!jinja_step(run, 1))
        return false;
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *equal = compare_numbers(a, b) == 0;
        return true;
    }
    if (a.kind != b.kind)
        return true;
    if (!jinja_enter(run))
        return false;
    bool done = equal_same_kind(run, a, b, equal);
    run->depth--;
    return done;
}

static bool less_lists(struct jinja_run *run, const struct jinja_list *a, const struct jinja_list *b, bool *less)
{
    size_t count = a->count < b->count ? a->count : b->count;
    for (size_t i = 0; i < count; i++) {
        bool equal;
        if (!jinja_equal(run, a->items[i], b->items[i], &equal))
            return false;
        if (!equal)
            return jinja_less(run, a->items[i], b->items[i], less);
    }
    *less = a->count < b->count;
    return true;
}

bool jinja_less(struct jinja_run *run, struct jinja_value a, struct jinja_value b, bool *less)
{
    if (!jinja_step(run, 1))
        return false;
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, a.kind == JINJA_UNDEFINED ? a : b);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *less = compare_numbers(a, b) == -1;
        return true;
    }
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING) { /* UTF-8 has the order of the characters */
        size_t length = a.as.string->length < b.as.string->length ? a.as.string->length : b.as.string->length;
        int order = memcmp(a.as.string->bytes, b.as.string->bytes, length);
        *less = order ? order < 0 : a.as.string->length < b.as.string->length;
        return true;
    }
    if (a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) {
        if (!jinja_enter(run))
            return false;
        bool done = less_lists(run, a.as.list, b.as.list, less);
        run->depth--;
        return done;
    }
    return jinja_fail(run, SAMPAN_EINVAL, "%s and %s cannot be ordered ('<' or '>')", jinja_type_name(a), jinja_type_name(b));
}

/* Merge sort of the order, so that equal keys stay as they were. */
static bool sort_order(struct jinja_run *run, const struct jinja_value *keys, size_t *order, size_t *spare, size_t count, bool reverse)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin < count; begin += 2 * width) {
            size_t middle = begin + width < count ? begin + width : count, end = begin + 2 * width < count ? begin + 2 * width : count;
            size_t left = begin, right = middle;
            for (size_t out = begin; out < end; out++) {
                bool take_right = left >= middle;
                if (left < middle && right < end) {
                    struct jinja_value l = keys[order[left]], r = keys[order[right]];
                    if (!(reverse ? jinja_less(run, l, r, &take_right) : jinja_less(run, r, l, &take_right)))
                        return false;
                }
                spare[out] = take_right ? order[right++] : order[left++];
            }
        }
        memcpy(order, spare, count * sizeof *order);
    }
    return true;
}

bool jinja_sort(struct jinja_run *run, struct jinja_value *items, struct jinja_value *keys, size_t count, bool reverse)
{
    size_t *order = jinja_alloc(run, count, sizeof *order), *spare = jinja_alloc(run, count, sizeof *spare);
    struct jinja_value *sorted = jinja_alloc(run, count * 2, sizeof *sorted);
    if (!order || !spare || !sorted)
        return false;
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    if (!sort_order(run, keys, order, spare, count, reverse))
        return false;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = items[order[i]];
        sorted[count + i] = keys[order[i]];
    }
    if (count) {
        memcpy(items, sorted, count * sizeof *items);
        memcpy(keys, sorted + count, count * sizeof *keys);
    }
    return true;
}

bool jinja_is_hashable(struct jinja_value value)
{
    return value.kind != JINJA_LIST && value.kind != JINJA_DICT && value.kind != JINJA_VIEW;
}

bool jinja_hash(struct jinja_run *run, struct jinja_value value, uint64_t *hash)
{
    if (!jinja_step(run, 1))
        return false;
    if (!jinja_is_hashable(value))
        return jinja_fail(run, SAMPAN_EINVAL, "unhashable type: '%s'", jinja_type_name(value));
    if (value.kind == JINJA_STRING) {
        *hash = hash_sip24(run->hash_key, value.as.string->bytes, value.as.string->length);
        return true;
    }
    struct {
        uint64_t kind, bits;
    } words = {value.kind, 0};
    if (jinja_is_number(value)) { /* equal numbers of different types have one hash */
        bool whole = value.kind != JINJA_FLOAT || (value.as.real >= -9e18 && value.as.real <= 9e18 && value.as.real == floor(value.as.real));
        words.kind = whole ? JINJA_INT : JINJA_FLOAT;
        words.bits = (uint64_t)(value.kind == JINJA_FLOAT && whole ? (int64_t)value.as.real : as_integer(value));
        if (!whole)
            memcpy(&words.bits, &value.as.real, sizeof words.bits);
    } else if (value.kind == JINJA_TUPLE) {
        if (!jinja_enter(run))
            return false;
        for (size_t i = 0; i < value.as.list->count; i++) {
            uint64_t item;
            if (!jinja_hash(run, value.as.list->items[i], &item))
                return false;
            words.bits = hash_sip24(run->hash_key, (uint64_t[]){words.bits, item}, 16);
        }
        run->depth--;
    } else if (value.kind != JINJA_NONE && value.kind != JINJA_UNDEFINED) {
        words.bits = value.kind == JINJA_RANGE    ? (uint64_t)jinja_range_length(value.as.range)
                     : value.kind == JINJA_METHOD ? 0
                                                  : (uint64_t)(uintptr_t)value.as.dict;
    }
    *hash = hash_sip24(run->hash_key, &words, sizeof words);
    return true;
}

bool jinja_length(struct jinja_run *run, struct jinja_value value, int64_t *length)
{
    switch (value.kind) {
    case JINJA_UNDEFINED: *length = 0; return true;
    case JINJA_STRING: *length = jinja_string_count(value.as.string); return true;
    case JINJA_LIST:
    case JINJA_TUPLE: *length = (int64_t)value.as.list->count; return true;
    case JINJA_DICT: *length = (int64_t)value.as.dict->count; return true;
    case JINJA_RANGE: *length = jinja_range_length(value.as.range); return true;
    case JINJA_VIEW: *length = (int64_t)value.as.view->dict->count; return true;
    case JINJA_LOOP: return jinja_loop_length(run, value.as.loop, length);
    default: return jinja_fail(run, SAMPAN_EINVAL, "object of type '%s' has no length", jinja_type_name(value));
    }
}

bool jinja_contains(struct jinja_run *run, struct jinja_value container, struct jinja_value item, bool *found)
{
    *found = false;
    if (container.kind == JINJA_STRING) {
        if (item.kind != JINJA_STRING)
            return jinja_fail(run, SAMPAN_EINVAL, "'in <string>' requires a string on its left, not %s", jinja_type_name(item));
        *found = jinja_string_find(run, container.as.string, item.as.string, 0, container.as.string->length) >= 0;
        return jinja_step(run, 1);
    }
    if (container.kind == JINJA_DICT || (container.kind == JINJA_VIEW && container.as.view->which == JINJA_VIEW_KEYS)) {
        const struct jinja_value *value;
        bool done = jinja_dict_get(run, container.kind == JINJA_DICT ? container.as.dict : container.as.view->dict, item, &value);
        *found = done && value;
        return done;
    }
    struct jinja_cursor cursor;
    if (!jinja_cursor_start(run, container, &cursor))
        return false;
    for (;;) {
        struct jinja_value candidate;
        if (!jinja_cursor_next(run, &cursor, &candidate))
            return false;
        if (candidate.kind == JINJA_MISSING)
            return true;
        if (!jinja_equal(run, candidate, item, found))
            return false;
        if (*found)
            return true;
    }
}

/* --- printing --- */

void jinja_float_text(double real, char text[40])
{
    if (isnan(real) || isinf(real)) {
        snprintf(text, 40, "%s", isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
        return;
    }
    char scientific[40];
    int precision = 0;
    do
        snprintf(scientific, sizeof scientific, "%.*e", precision, real);
    while (strtod(scientific, NULL) != real && ++precision < 17);
    int exponent = (int)strtol(strchr(scientific, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        memcpy(text, scientific, sizeof scientific);
        return;
    }
    int decimals = precision - exponent;
    snprintf(text, 40, "%.*f", decimals > 1 ? decimals : 1, real);
}

static bool write_repr_string(struct jinja_run *run, const struct jinja_string *string)
{
    bool has_single = memchr(string->bytes, '\'', string->length) != NULL, has_double = memchr(string->bytes, '"', string->length) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    if (!jinja_append(run, &quote, 1, ORIGIN_DATA))
        return false;
    for (size_t at = 0; at < string->length;) {
        uint32_t c;
        int n = jinja_string_decode(string, at, &c);
        char escape[16];
        bool plain = false;
        if (c == '\\' || c == (unsigned char)quote)
            snprintf(escape, sizeof escape, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c >= 0x20 && (c < 0x7F || (c > 0x7F && !unicode_is(c, UNICODE_UNPRINTABLE))))
            plain = true;
        else
            snprintf(escape, sizeof escape, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        if (!(plain ? jinja_append_slice(run, string, at, at + (size_t)n) : jinja_append_text(run, escape, jinja_origin_at(string, at))))
            return false;
        at += (size_t)n;
    }
    return jinja_append(run, &quote, 1, ORIGIN_DATA);
}

static bool write_items(struct jinja_run *run, const struct jinja_list *list, bool tuple)
{
    if (!jinja_append_text(run, tuple ? "(" : "[", ORIGIN_DATA))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if ((i && !jinja_append_text(run, ", ", ORIGIN_DATA)) || !jinja_write_repr(run, list->items[i]))
            return false;
    return jinja_append_text(run, tuple ? list->count == 1 ? ",)" : ")" : "]", ORIGIN_DATA);
}

static bool write_dict(struct jinja_run *run, const struct jinja_dict *dict)
{
    if (!jinja_append_text(run, "{", ORIGIN_DATA))
        return false;
    for (size_t i = 0; i < dict->count; i++)
        if ((i && !jinja_append_text(run, ", ", ORIGIN_DATA)) || !jinja_write_repr(run, dict->entries[i].key) || !jinja_append_text(run, ": ", ORIGIN_DATA) ||
            !jinja_write_repr(run, dict->entries[i].value))
            return false;
    return jinja_append_text(run, "}", ORIGIN_DATA);
}

static bool write_view(struct jinja_run *run, const struct jinja_view *view)
{
    static const char *const names[] = {"dict_keys(", "dict_values(", "dict_items("};
    struct jinja_list *list;
    struct jinja_value over = {.kind = JINJA_VIEW, .as.view = (struct jinja_view *)(uintptr_t)view};
    return jinja_append_text(run, names[view->which], ORIGIN_DATA) && jinja_to_list(run, over, &list) && write_items(run, list, false) &&
           jinja_append_text(run, ")", ORIGIN_DATA);
}

static bool write_range(struct jinja_run *run, const struct jinja_range *range)
{
    char text[100];
    if (range->step == 1)
        snprintf(text, sizeof text, "range(%lld, %lld)", (long long)range->start, (long long)range->stop);
    else
        snprintf(text, sizeof text, "range(%lld, %lld, %lld)", (long long)range->start, (long long)range->stop, (long long)range->step);
    return jinja_append_text(run, text, ORIGIN_DATA);
}

/* Numbers, True, None: the interpreter's own text, so a template may write <|image_{{ n }}|>. */
static bool write_plain(struct jinja_run *run, struct jinja_value value)
{
    char text[40];
    if (value.kind == JINJA_BOOL)
        return jinja_append_text(run, value.as.boolean ? "True" : "False", ORIGIN_TEMPLATE);
    if (value.kind == JINJA_FLOAT)
        jinja_float_text(value.as.real, text);
    else
        snprintf(text, sizeof text, "%lld", (long long)value.as.integer);
    return jinja_append_text(run, text, ORIGIN_TEMPLATE);
}

static bool write_container(struct jinja_run *run, struct jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED: return jinja_append_text(run, "Undefined", ORIGIN_DATA);
    case JINJA_STRING:
        return (!value.as.string->markup || jinja_append_text(run, "Markup(", ORIGIN_DATA)) && write_repr_string(run, value.as.string) &&
               (!value.as.string->markup || jinja_append_text(run, ")", ORIGIN_DATA));
    case JINJA_LIST:
    case JINJA_TUPLE: return write_items(run, value.as.list, value.kind == JINJA_TUPLE);
    case JINJA_DICT: return write_dict(run, value.as.dict);
    case JINJA_NAMESPACE:
        return jinja_append_text(run, "<Namespace ", ORIGIN_DATA) && write_dict(run, value.as.dict) && jinja_append_text(run, ">", ORIGIN_DATA);
    case JINJA_RANGE: return write_range(run, value.as.range);
    case JINJA_VIEW: return write_view(run, value.as.view);
    default:
        return jinja_fail(run, SAMPAN_EUNSUPPORTED, "a %s is printed, which in Python shows a memory address; print what it holds (for an iterator: '| list')",
                          jinja_type_name(value));
    }
}

bool jinja_write_repr(struct jinja_run *run, struct jinja_value value)
{
    if (!jinja_step(run, 1) || !jinja_enter(run))
        return false;
    bool done;
    if (jinja_is_number(value))
        done = write_plain(run, value);
    else if (value.kind == JINJA_NONE)
        done = jinja_append_text(run, "None", ORIGIN_TEMPLATE);
    else
        done = write_container(run, value);
    run->depth--;
    return done;
}

bool jinja_write(struct jinja_run *run, struct jinja_value value)
{
    if (value.kind == JINJA_STRING)
        return jinja_step(run, 1) && jinja_append_string(run, value.as.string);
    if (value.kind == JINJA_UNDEFINED)
        return true;
    return jinja_write_repr(run, value);
}

bool jinja_to_string(struct jinja_run *run, struct jinja_value value, struct jinja_string **out)
{
    struct jinja_value written = value;
    if (value.kind != JINJA_STRING && (!jinja_build(run) || !jinja_write(run, value) || !jinja_built(run, &written)))
        return false;
    *out = written.as.string;
    return true;
}

/* --- iteration --- */

bool jinja_is_iterable(struct jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED:
    case JINJA_STRING:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_RANGE:
    case JINJA_VIEW:
    case JINJA_ITERATOR: return true;
    default: return false;
    }
}

bool jinja_cursor_start(struct jinja_run *run, struct jinja_value over, struct jinja_cursor *cursor)
{
    *cursor = (struct jinja_cursor){.over = over};
    if (jinja_is_iterable(over))
        return true;
    return jinja_fail(run, SAMPAN_EINVAL, "'%s' object is not iterable", jinja_type_name(over));
}

static bool next_character(struct jinja_run *run, const struct jinja_string *string, size_t *at, struct jinja_value *item)
{
    uint32_t character;
    if (*at >= string->length)
        return true;
    size_t begin = *at;
    *at += (size_t)jinja_string_decode(string, begin, &character);
    return jinja_substring(run, string, begin, *at, item);
}

bool jinja_cursor_next(struct jinja_run *run, struct jinja_cursor *cursor, struct jinja_value *item)
{
    struct jinja_value over = cursor->over;
    item->kind = JINJA_MISSING;
    if (!jinja_step(run, 1))
        return false;
    switch (over.kind) {
    case JINJA_STRING: return next_character(run, over.as.string, &cursor->at, item);
    case JINJA_LIST:
    case JINJA_TUPLE:
        if (cursor->at < over.as.list->count)
            *item = over.as.list->items[cursor->at++];
        return true;
    case JINJA_DICT:
        if (cursor->at < over.as.dict->count)
            *item = over.as.dict->entries[cursor->at++].key;
        return true;
    case JINJA_RANGE:
        if (cursor->at < (size_t)jinja_range_length(over.as.range))
            *item = jinja_int(over.as.range->start + (int64_t)cursor->at++ * over.as.range->step);
        return true;
    case JINJA_VIEW: return cursor->at >= over.as.view->dict->count || jinja_view_item(run, over.as.view, cursor->at++, item);
    case JINJA_ITERATOR:
        if (over.as.iterator->position < over.as.iterator->items->count)
            *item = over.as.iterator->items->items[over.as.iterator->position++];
        return true;
    default: return true;
    }
}

bool jinja_to_list(struct jinja_run *run, struct jinja_value iterable, struct jinja_list **list)
{
    struct jinja_cursor cursor;
    if (!jinja_cursor_start(run, iterable, &cursor) || !jinja_list_make(run, 0, list))
        return false;
    for (;;) {
        struct jinja_value item;
        if (!jinja_cursor_next(run, &cursor, &item))
            return false;
        if (item.kind == JINJA_MISSING)
            return true;
        if (!jinja_list_append(run, *list, item))
            return false;
    }
}
