/* Filters: jinja2/filters.py, and transformers' tojson. What gives a generator there gives an iterator here, worked out at once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template/builtins.h"
#include "text/template/operate.h"
#include "text/template/unicode.h"

#define FILTER(name) static bool name(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out)

static bool is_given(struct jinja_value value)
{
    return value.kind != JINJA_MISSING && value.kind != JINJA_NONE;
}

static bool is_set(struct jinja_value value)
{
    return value.kind != JINJA_MISSING && jinja_is_true(value);
}

static bool make_iterator(struct jinja_run *run, const struct jinja_list *items, struct jinja_value *out)
{
    struct jinja_iterator *iterator = jinja_alloc(run, 1, sizeof *iterator);
    if (!iterator)
        return false;
    iterator->items = items;
    *out = (struct jinja_value){.kind = JINJA_ITERATOR, .as.iterator = iterator};
    return true;
}

static struct jinja_value list_value(struct jinja_list *list)
{
    return (struct jinja_value){.kind = JINJA_LIST, .as.list = list};
}

static bool ignore_case(struct jinja_run *run, struct jinja_value value, struct jinja_value *out)
{
    *out = value;
    return value.kind != JINJA_STRING || jinja_convert_case(run, value.as.string, CASING_LOWER, out);
}

/* item.a.0.b for attribute "a.0.b" (or a number); an undefined one on the way becomes `otherwise` where that is given. */
static bool get_path(struct jinja_run *run, struct jinja_value item, struct jinja_value attribute, struct jinja_value otherwise, struct jinja_value *out)
{
    *out = item;
    if (attribute.kind == JINJA_MISSING || attribute.kind == JINJA_NONE)
        return true;
    if (attribute.kind != JINJA_STRING)
        return jinja_get_item(run, item, attribute, out);
    const struct jinja_string *path = attribute.as.string;
    for (size_t begin = 0; begin <= path->length;) {
        const char *dot = memchr(path->bytes + begin, '.', path->length - begin);
        size_t end = dot ? (size_t)(dot - path->bytes) : path->length;
        struct jinja_value part;
        if (!jinja_substring(run, path, begin, end, &part))
            return false;
        bool digits = end > begin && end - begin < 18 && strspn(path->bytes + begin, "0123456789") >= end - begin;
        if (digits) {
            int64_t index = 0;
            for (size_t i = begin; i < end; i++)
                index = index * 10 + (path->bytes[i] - '0');
            part = jinja_int(index);
        }
        if (!jinja_get_item(run, *out, part, out))
            return false;
        if (out->kind == JINJA_UNDEFINED && is_given(otherwise))
            *out = otherwise;
        begin = end + 1;
    }
    return true;
}

/* --- text --- */

FILTER(filter_upper)
{
    struct jinja_string *string;
    (void)arguments;
    return jinja_to_string(run, self, &string) && jinja_convert_case(run, string, CASING_UPPER, out);
}

FILTER(filter_lower)
{
    struct jinja_string *string;
    (void)arguments;
    return jinja_to_string(run, self, &string) && jinja_convert_case(run, string, CASING_LOWER, out);
}

FILTER(filter_capitalize)
{
    struct jinja_string *string;
    (void)arguments;
    return jinja_to_string(run, self, &string) && jinja_convert_case(run, string, CASING_CAPITALIZE, out);
}

/* Words begin behind white space and any of - ( { [ < : jinja2's own rule, not str.title's. */
static bool is_word_break(uint32_t c)
{
    return unicode_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

/* string[from..to), a word: its first character in capitals, the rest small. */
static bool append_title_word(struct jinja_run *run, const struct jinja_string *string, size_t from, size_t to)
{
    struct jinja_value first, rest;
    uint32_t c;
    if (from == to)
        return true;
    size_t second = from + (size_t)jinja_string_decode(string, from, &c);
    return jinja_substring(run, string, from, second, &first) && jinja_convert_case(run, first.as.string, CASING_UPPER, &first) &&
           jinja_substring(run, string, second, to, &rest) && jinja_convert_case(run, rest.as.string, CASING_LOWER, &rest) &&
           jinja_append_string(run, first.as.string) && jinja_append_string(run, rest.as.string);
}

FILTER(filter_title)
{
    struct jinja_string *string;
    size_t begin = 0;
    (void)arguments;
    if (!jinja_to_string(run, self, &string) || !jinja_build(run))
        return false;
    for (size_t at = 0; at < string->length;) {
        uint32_t c;
        size_t end = at;
        at += (size_t)jinja_string_decode(string, at, &c);
        if (!is_word_break(c))
            continue;
        if (!jinja_step(run, 1) || !append_title_word(run, string, begin, end) || !jinja_append_slice(run, string, end, at))
            return false;
        begin = at;
    }
    return append_title_word(run, string, begin, string->length) && jinja_built(run, out);
}

FILTER(filter_trim)
{
    struct jinja_string *string;
    if (is_given(arguments[0]) && arguments[0].kind != JINJA_STRING)
        return jinja_fail(run, SAMPAN_EINVAL, "trim: chars is a %s, expected a str", jinja_type_name(arguments[0]));
    return jinja_to_string(run, self, &string) &&
           jinja_strip(run, string, is_given(arguments[0]) ? arguments[0].as.string : NULL, STRIP_LEFT | STRIP_RIGHT, out);
}

FILTER(filter_replace)
{
    struct jinja_string *string, *old, *new_text;
    int64_t count = -1;
    if (is_given(arguments[2]) && !jinja_to_int(run, arguments[2], "count", &count))
        return false;
    if (!jinja_to_string(run, self, &string) || !jinja_to_string(run, arguments[0], &old) || !jinja_to_string(run, arguments[1], &new_text) ||
        !jinja_replace(run, string, old, new_text, count, out))
        return false;
    out->as.string->markup = false;
    return true;
}

FILTER(filter_string)
{
    struct jinja_string *string;
    (void)arguments;
    if (!jinja_to_string(run, self, &string))
        return false;
    *out = jinja_string_value(string);
    return true;
}

static bool as_markup(struct jinja_run *run, struct jinja_value self, bool escape, struct jinja_value *out)
{
    struct jinja_string *string;
    if (!jinja_to_string(run, self, &string))
        return false;
    if (escape) {
        if (!jinja_build(run) || !jinja_append_escaped(run, string) || !jinja_built(run, out))
            return false;
    } else if (!jinja_substring(run, string, 0, string->length, out)) {
        return false;
    }
    out->as.string->markup = true;
    return true;
}

FILTER(filter_safe)
{
    (void)arguments;
    return as_markup(run, self, false, out);
}

FILTER(filter_escape)
{
    (void)arguments;
    return as_markup(run, self, self.kind != JINJA_STRING || !self.as.string->markup, out);
}

FILTER(filter_force_escape)
{
    (void)arguments;
    return as_markup(run, self, true, out);
}

FILTER(filter_center)
{
    static const struct jinja_string space = {.bytes = " ", .length = 1, .origin = ORIGIN_TEMPLATE, .n_characters = 1};
    struct jinja_string *string;
    int64_t width = 80;
    if (!jinja_to_string(run, self, &string) || (arguments[0].kind != JINJA_MISSING && !jinja_to_int(run, arguments[0], "width", &width)))
        return false;
    int64_t missing = width > jinja_string_count(string) ? width - jinja_string_count(string) : 0; /* no overflow with a width far below 0 */
    int64_t left = missing / 2 + (missing & width & 1);
    return jinja_pad(run, string, left, missing - left, &space, out);
}

static bool append_indent(struct jinja_run *run, const struct jinja_string *text, int64_t width)
{
    if (text)
        return jinja_append_string(run, text);
    for (int64_t i = 0; i < width; i++)
        if (!jinja_append_text(run, " ", ORIGIN_TEMPLATE))
            return false;
    return jinja_step(run, width > 0 ? (uint64_t)width : 0);
}

FILTER(filter_indent)
{
    int64_t width = 4;
    bool first = is_set(arguments[1]), blank = is_set(arguments[2]);
    const struct jinja_string *text = arguments[0].kind == JINJA_STRING ? arguments[0].as.string : NULL;
    struct jinja_list *lines;
    if (!text && arguments[0].kind != JINJA_MISSING && !jinja_to_int(run, arguments[0], "width", &width))
        return false;
    struct jinja_value newline, extended;
    if (!jinja_string_copy(run, "\n", 1, ORIGIN_TEMPLATE, &newline) || !jinja_arithmetic(run, JINJA_ADD, self, newline, &extended) ||
        !jinja_split_lines(run, extended.as.string, false, &lines) || !jinja_build(run))
        return false;
    for (size_t i = 0; i < lines->count; i++) {
        const struct jinja_string *line = lines->items[i].as.string;
        bool indents = i ? blank || line->length : first;
        if ((i && !jinja_append_text(run, "\n", ORIGIN_TEMPLATE)) || (indents && !append_indent(run, text, width)) || !jinja_append_string(run, line))
            return false;
    }
    return jinja_built(run, out);
}

FILTER(filter_truncate)
{
    int64_t length = 255, leeway = 5;
    bool kill_words = is_set(arguments[1]);
    struct jinja_value end = arguments[2], cut;
    if (self.kind != JINJA_STRING || (end.kind != JINJA_MISSING && end.kind != JINJA_STRING))
        return jinja_fail(run, SAMPAN_EINVAL, "truncate needs strings");
    if (end.kind == JINJA_MISSING && !jinja_string_copy(run, "...", 3, ORIGIN_TEMPLATE, &end))
        return false;
    if ((arguments[0].kind != JINJA_MISSING && !jinja_to_int(run, arguments[0], "length", &length)) ||
        (is_given(arguments[3]) && !jinja_to_int(run, arguments[3], "leeway", &leeway)))
        return false;
    struct jinja_string *string = self.as.string;
    if (length < jinja_string_count(end.as.string) || leeway < 0)
        return jinja_fail(run, SAMPAN_EINVAL, "truncate: length and leeway are too small");
    int64_t kept = length - jinja_string_count(end.as.string);
    *out = self;
    if (jinja_string_count(string) <= length || jinja_string_count(string) - length <= leeway) /* length + leeway may overflow */
        return true;
    size_t bytes = jinja_string_offset(string, kept);
    if (!kill_words)
        for (size_t i = bytes; i > 0; i--)
            if (string->bytes[i - 1] == ' ') {
                bytes = i - 1;
                break;
            }
    return jinja_substring(run, string, 0, bytes, &cut) && jinja_arithmetic(run, JINJA_ADD, cut, end, out);
}

FILTER(filter_wordcount)
{
    struct jinja_string *string;
    int64_t count = 0;
    bool in_word = false;
    (void)arguments;
    if (!jinja_to_string(run, self, &string))
        return false;
    for (size_t at = 0; at < string->length;) {
        uint32_t c;
        at += (size_t)jinja_string_decode(string, at, &c);
        bool word = c == '_' || unicode_is(c, UNICODE_ALPHABETIC) || unicode_is(c, UNICODE_NUMERIC) || unicode_is(c, UNICODE_DIGIT);
        count += word && !in_word;
        in_word = word;
    }
    *out = jinja_int(count);
    return jinja_step(run, string->length / 8);
}

static bool filter_format(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_string *string;
    struct jinja_list *list;
    if (arguments->n_positional && arguments->keywords)
        return jinja_fail(run, SAMPAN_EINVAL, "format: can't handle positional and keyword arguments at the same time");
    if (!jinja_to_string(run, self, &string) || !jinja_list_make(run, arguments->n_positional, &list))
        return false;
    for (size_t i = 0; i < arguments->n_positional; i++)
        list->items[list->count++] = arguments->positional[i];
    struct jinja_value values = {.kind = JINJA_TUPLE, .as.list = list};
    if (arguments->keywords)
        values = (struct jinja_value){.kind = JINJA_DICT, .as.dict = arguments->keywords};
    return jinja_format_percent(run, string, values, out);
}

/* --- JSON --- */

static bool separator_at(struct jinja_run *run, struct jinja_value separators, size_t at, const struct jinja_string **out)
{
    struct jinja_list *list;
    if (!jinja_to_list(run, separators, &list))
        return false;
    if (list->count != 2 || list->items[at].kind != JINJA_STRING)
        return jinja_fail(run, SAMPAN_EINVAL, "tojson: separators must be two strings");
    *out = list->items[at].as.string;
    return true;
}

FILTER(filter_tojson)
{
    static const struct jinja_string comma_space = {.bytes = ", ", .length = 2}, comma = {.bytes = ",", .length = 1},
                                     colon_space = {.bytes = ": ", .length = 2};
    struct jinja_json_style style = {
        .ascii = is_set(arguments[0]), .sort = is_set(arguments[3]), .item_separator = &comma_space, .key_separator = &colon_space};
    struct jinja_value indent = arguments[1];
    int64_t width = 0;
    if (is_given(indent)) {
        if (indent.kind != JINJA_STRING) {
            static const struct jinja_string space = {.bytes = " ", .length = 1}, nothing = {.bytes = "", .length = 0};
            if (!jinja_to_int(run, indent, "indent", &width) || !jinja_pad(run, (struct jinja_string *)(uintptr_t)&nothing, width, 0, &space, &indent))
                return false;
        }
        style.indent = indent.as.string;
        style.item_separator = &comma;
    }
    if (is_given(arguments[2]) && (!separator_at(run, arguments[2], 0, &style.item_separator) || !separator_at(run, arguments[2], 1, &style.key_separator)))
        return false;
    return jinja_build(run) && jinja_json_write(run, self, &style) && jinja_built(run, out);
}

/* Not in jinja2: some published templates use it for arguments of tool calls that are JSON text. It is Python's json.loads. */
FILTER(filter_from_json)
{
    (void)arguments;
    if (self.kind != JINJA_STRING)
        return jinja_fail(run, SAMPAN_EINVAL, "from_json needs a str, not %s", jinja_type_name(self));
    return jinja_json_parse(run, self.as.string->bytes, self.as.string->length, false, out);
}

/* --- numbers --- */

FILTER(filter_abs)
{
    (void)arguments;
    bool negative = jinja_is_number(self) && jinja_as_real(self) < 0;
    if (self.kind == JINJA_FLOAT) {
        *out = jinja_float(fabs(self.as.real));
        return true;
    }
    return jinja_negate(run, self, negative, out);
}

/* A number in a string as Python's int() and float() read it: white space around, single underscores between digits. NULL: not one. */
static const char *clean_number(const struct jinja_string *string, char *buffer, size_t size)
{
    size_t from = 0, to = string->length, n = 0;
    while (from < to && (unsigned char)string->bytes[from] < 0x80 && unicode_is_space((unsigned char)string->bytes[from]))
        from++;
    while (to > from && (unsigned char)string->bytes[to - 1] < 0x80 && unicode_is_space((unsigned char)string->bytes[to - 1]))
        to--;
    for (size_t i = from; i < to; i++) {
        char c = string->bytes[i];
        bool between = c == '_' && i > from && i + 1 < to && string->bytes[i - 1] != '_' && string->bytes[i + 1] != '_';
        if (c == '_' && between)
            continue;
        if (c == '_' || c == '\0' || n + 1 >= size)
            return NULL;
        buffer[n++] = c;
    }
    buffer[n] = '\0';
    return n ? buffer : NULL;
}

static bool read_float(struct jinja_value value, double *out)
{
    char buffer[400], *end;
    if (jinja_is_number(value)) {
        *out = jinja_as_real(value);
        return true;
    }
    const char *text = value.kind == JINJA_STRING ? clean_number(value.as.string, buffer, sizeof buffer) : NULL;
    if (!text || strpbrk(text, "xXpP") || unicode_is_space((unsigned char)*text))
        return false;
    *out = strtod(text, &end);
    return !*end && !strchr(text, '(');
}

static bool read_int(const struct jinja_string *string, int base, int64_t *out)
{
    char buffer[400];
    const char *text = clean_number(string, buffer, sizeof buffer);
    bool negative = text && *text == '-';
    if (!text)
        return false;
    text += *text == '-' || *text == '+';
    int prefix = *text == '0' && text[1] ? (text[1] | 0x20) == 'x' ? 16 : (text[1] | 0x20) == 'o' ? 8 : (text[1] | 0x20) == 'b' ? 2 : 0 : 0;
    if (prefix && (base == prefix || base == 0)) {
        base = prefix;
        text += 2;
    } else if (base == 0) {
        base = 10;
    }
    int64_t value = 0;
    for (const char *c = text; *c; c++) {
        int digit = *c >= '0' && *c <= '9' ? *c - '0' : (*c | 0x20) >= 'a' && (*c | 0x20) <= 'z' ? (*c | 0x20) - 'a' + 10 : 99;
        if (digit >= base || __builtin_mul_overflow(value, (int64_t)base, &value) || __builtin_add_overflow(value, (int64_t)digit, &value))
            return false;
    }
    *out = negative ? -value : value;
    return *text != '\0';
}

FILTER(filter_int)
{
    int64_t base = 10, integer;
    double real;
    if (arguments[1].kind != JINJA_MISSING && !jinja_to_int(run, arguments[1], "base", &base))
        return false;
    if (self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, self);
    *out = arguments[0].kind == JINJA_MISSING ? jinja_int(0) : arguments[0];
    if (self.kind == JINJA_BOOL || self.kind == JINJA_INT)
        *out = jinja_int(self.kind == JINJA_INT ? self.as.integer : self.as.boolean);
    else if (self.kind == JINJA_STRING && base >= 0 && base <= 36 && base != 1 && read_int(self.as.string, (int)base, &integer))
        *out = jinja_int(integer);
    else if (read_float(self, &real) && isfinite(real)) {
        if (fabs(real) >= 9.2e18)
            return jinja_fail(run, SAMPAN_ELIMIT, "an integer became larger than 64 bits");
        *out = jinja_int((int64_t)real);
    } else if (self.kind == JINJA_FLOAT && isinf(self.as.real))
        return jinja_fail(run, SAMPAN_EINVAL, "cannot convert float infinity to integer");
    return true;
}

FILTER(filter_float)
{
    double real;
    if (self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, self);
    *out = read_float(self, &real) ? jinja_float(real) : arguments[0].kind == JINJA_MISSING ? jinja_float(0) : arguments[0];
    return true;
}

/* Python's round(): to even among equally near ones, decided on the exact binary value, which is what printf does. */
static bool round_common(struct jinja_run *run, struct jinja_value self, int64_t precision, struct jinja_value *out)
{
    char text[800];
    if (self.kind != JINJA_FLOAT && precision >= 0) {
        *out = jinja_int(self.kind == JINJA_INT ? self.as.integer : self.as.boolean);
        return true;
    }
    double real = jinja_as_real(self), scale = 1;
    if (precision > 300 || !isfinite(real)) {
        *out = self;
        return true;
    }
    if (precision >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)precision, real);
        *out = jinja_float(strtod(text, NULL));
        return true;
    }
    if (precision < -300)
        precision = -300;
    for (int64_t i = precision; i < 0; i++)
        scale *= 10;
    double rounded = nearbyint(real / scale) * scale;
    if (self.kind == JINJA_FLOAT)
        *out = jinja_float(rounded);
    else if (fabs(rounded) >= 9.2e18)
        return jinja_fail(run, SAMPAN_ELIMIT, "an integer became larger than 64 bits");
    else
        *out = jinja_int((int64_t)rounded);
    return true;
}

FILTER(filter_round)
{
    int64_t precision = 0;
    const struct jinja_string *method = arguments[1].kind == JINJA_STRING ? arguments[1].as.string : NULL;
    if (arguments[0].kind != JINJA_MISSING && !jinja_to_int(run, arguments[0], "precision", &precision))
        return false;
    if (self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, self);
    if (!jinja_is_number(self))
        return jinja_fail(run, SAMPAN_EINVAL, "round needs a number, not %s", jinja_type_name(self));
    if (arguments[1].kind == JINJA_MISSING || (method && jinja_string_is(method, "common")))
        return round_common(run, self, precision, out);
    if (!method || !(jinja_string_is(method, "ceil") || jinja_string_is(method, "floor")))
        return jinja_fail(run, SAMPAN_EINVAL, "round: method must be common, ceil or floor");
    double scale = pow(10, (double)precision), scaled = jinja_as_real(self) * scale;
    *out = jinja_float((method->bytes[0] == 'c' ? ceil(scaled) : floor(scaled)) / scale);
    return true;
}

/* --- sequences --- */

FILTER(filter_length)
{
    int64_t length;
    (void)arguments;
    if (!jinja_length(run, self, &length))
        return false;
    *out = jinja_int(length);
    return true;
}

FILTER(filter_list)
{
    struct jinja_list *list;
    (void)arguments;
    if (!jinja_to_list(run, self, &list))
        return false;
    *out = list_value(list);
    return true;
}

FILTER(filter_first)
{
    struct jinja_cursor cursor;
    (void)arguments;
    if (!jinja_cursor_start(run, self, &cursor) || !jinja_cursor_next(run, &cursor, out))
        return false;
    return out->kind != JINJA_MISSING || jinja_undefined_make(run, "No first item, sequence was empty.", NULL, NULL, out);
}

static bool check_reversible(struct jinja_run *run, struct jinja_value value)
{
    if (value.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, value);
    if (jinja_is_iterable(value) && value.kind != JINJA_ITERATOR)
        return true;
    return jinja_fail(run, SAMPAN_EINVAL, "'%s' object is not reversible", jinja_type_name(value));
}

FILTER(filter_last)
{
    struct jinja_list *list;
    (void)arguments;
    if (self.kind == JINJA_UNDEFINED)
        return jinja_undefined_make(run, "No last item, sequence was empty.", NULL, NULL, out);
    if (!check_reversible(run, self) || !jinja_to_list(run, self, &list))
        return false;
    if (!list->count)
        return jinja_undefined_make(run, "No last item, sequence was empty.", NULL, NULL, out);
    *out = list->items[list->count - 1];
    return true;
}

FILTER(filter_reverse)
{
    struct jinja_list *list;
    (void)arguments;
    if (self.kind == JINJA_STRING)
        return jinja_get_slice(run, self, (struct jinja_value[3]){{.kind = JINJA_MISSING}, {.kind = JINJA_MISSING}, jinja_int(-1)}, out);
    if (!jinja_to_list(run, self, &list))
        return false;
    for (size_t i = 0; i < list->count / 2; i++) {
        struct jinja_value other = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = other;
    }
    if (self.kind != JINJA_ITERATOR)
        return make_iterator(run, list, out);
    *out = list_value(list);
    return true;
}

FILTER(filter_join)
{
    static struct jinja_string nothing = {.bytes = "", .length = 0, .origin = ORIGIN_TEMPLATE, .n_characters = 0};
    struct jinja_list *list;
    struct jinja_string *separator = &nothing;
    if ((arguments[0].kind != JINJA_MISSING && !jinja_to_string(run, arguments[0], &separator)) || !jinja_to_list(run, self, &list))
        return false;
    for (size_t i = 0; is_given(arguments[1]) && i < list->count; i++)
        if (!get_path(run, list->items[i], arguments[1], jinja_none(), &list->items[i]))
            return false;
    if (!jinja_build(run))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if ((i && !jinja_append_string(run, separator)) || !jinja_write(run, list->items[i]))
            return false;
    return jinja_built(run, out);
}

FILTER(filter_items)
{
    struct jinja_list *list;
    if (self.kind != JINJA_UNDEFINED && self.kind != JINJA_DICT)
        return jinja_fail(run, SAMPAN_EINVAL, "Can only get item pairs from a mapping.");
    (void)arguments;
    if (!jinja_list_make(run, 0, &list))
        return false;
    for (size_t i = 0; self.kind == JINJA_DICT && i < self.as.dict->count; i++) {
        struct jinja_value pair;
        if (!jinja_pair(run, self.as.dict->entries[i].key, self.as.dict->entries[i].value, &pair) || !jinja_list_append(run, list, pair))
            return false;
    }
    return make_iterator(run, list, out);
}

FILTER(filter_dictsort)
{
    bool case_sensitive = is_set(arguments[0]), by_value = false;
    if (self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, self);
    if (self.kind != JINJA_DICT)
        return jinja_fail(run, SAMPAN_EINVAL, "dictsort needs a dict, not %s", jinja_type_name(self));
    if (arguments[1].kind != JINJA_MISSING) {
        by_value = arguments[1].kind == JINJA_STRING && jinja_string_is(arguments[1].as.string, "value");
        if (!by_value && !(arguments[1].kind == JINJA_STRING && jinja_string_is(arguments[1].as.string, "key")))
            return jinja_fail(run, SAMPAN_EINVAL, "You can only sort by either \"key\" or \"value\"");
    }
    const struct jinja_dict *dict = self.as.dict;
    struct jinja_list *list, *keys;
    if (!jinja_list_make(run, dict->count, &list) || !jinja_list_make(run, dict->count, &keys))
        return false;
    for (size_t i = 0; i < dict->count; i++) {
        struct jinja_value key = by_value ? dict->entries[i].value : dict->entries[i].key;
        if (!jinja_pair(run, dict->entries[i].key, dict->entries[i].value, &list->items[i]) || (!case_sensitive && !ignore_case(run, key, &key)))
            return false;
        keys->items[i] = key;
    }
    list->count = keys->count = dict->count;
    *out = list_value(list);
    return jinja_sort(run, list->items, keys->items, list->count, is_set(arguments[2]));
}

/* The key to sort by: a list of the values of "a,b.c", compared one after the other. */
static bool sort_key(struct jinja_run *run, struct jinja_value item, struct jinja_value attribute, bool case_sensitive, struct jinja_value *out)
{
    struct jinja_list *key;
    if (!jinja_list_make(run, 1, &key))
        return false;
    size_t begin = 0, length = attribute.kind == JINJA_STRING ? attribute.as.string->length : 0;
    while (begin <= length) {
        struct jinja_value part = attribute, value;
        const char *comma = length ? memchr(attribute.as.string->bytes + begin, ',', length - begin) : NULL;
        size_t end = comma ? (size_t)(comma - attribute.as.string->bytes) : length;
        if (attribute.kind == JINJA_STRING && !jinja_substring(run, attribute.as.string, begin, end, &part))
            return false;
        if (!get_path(run, item, part, jinja_none(), &value) || (!case_sensitive && !ignore_case(run, value, &value)) || !jinja_list_append(run, key, value))
            return false;
        begin = end + 1;
    }
    *out = list_value(key);
    return true;
}

FILTER(filter_sort)
{
    struct jinja_list *list, *keys;
    if (!jinja_to_list(run, self, &list) || !jinja_list_make(run, list->count, &keys))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (!sort_key(run, list->items[i], arguments[2], is_set(arguments[1]), &keys->items[i]))
            return false;
    *out = list_value(list);
    return jinja_sort(run, list->items, keys->items, list->count, is_set(arguments[0]));
}

FILTER(filter_unique)
{
    struct jinja_list *list, *kept;
    struct jinja_dict *seen;
    if (!jinja_to_list(run, self, &list) || !jinja_list_make(run, 0, &kept) || !jinja_dict_make(run, 0, &seen))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        struct jinja_value key;
        const struct jinja_value *found;
        if (!get_path(run, list->items[i], arguments[1], jinja_none(), &key) || (!is_set(arguments[0]) && !ignore_case(run, key, &key)) ||
            !jinja_dict_get(run, seen, key, &found))
            return false;
        if (!found && (!jinja_dict_put(run, seen, key, jinja_none()) || !jinja_list_append(run, kept, list->items[i])))
            return false;
    }
    return make_iterator(run, kept, out);
}

static bool find_extreme(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, bool largest, struct jinja_value *out)
{
    struct jinja_list *list;
    struct jinja_value best_key = {.kind = JINJA_MISSING};
    if (!jinja_to_list(run, self, &list))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        struct jinja_value key;
        bool better = i == 0;
        if (!get_path(run, list->items[i], arguments[1], jinja_none(), &key) || (!is_set(arguments[0]) && !ignore_case(run, key, &key)))
            return false;
        if (i && !(largest ? jinja_less(run, best_key, key, &better) : jinja_less(run, key, best_key, &better)))
            return false;
        if (better) {
            best_key = key;
            *out = list->items[i];
        }
    }
    return list->count || jinja_undefined_make(run, "No aggregated item, sequence was empty.", NULL, NULL, out);
}

FILTER(filter_min)
{
    return find_extreme(run, self, arguments, false, out);
}

FILTER(filter_max)
{
    return find_extreme(run, self, arguments, true, out);
}

FILTER(filter_sum)
{
    struct jinja_list *list;
    *out = arguments[1].kind == JINJA_MISSING ? jinja_int(0) : arguments[1];
    if (out->kind == JINJA_STRING)
        return jinja_fail(run, SAMPAN_EINVAL, "sum() can't sum strings");
    if (!jinja_to_list(run, self, &list))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        struct jinja_value value;
        if (!get_path(run, list->items[i], arguments[0], jinja_none(), &value) || !jinja_arithmetic(run, JINJA_ADD, *out, value, out))
            return false;
    }
    return true;
}

/* Appends items[from..to) as a list. */
static bool add_group(struct jinja_run *run, const struct jinja_list *items, size_t from, size_t to, size_t fill, struct jinja_value filler,
                      struct jinja_list *groups)
{
    struct jinja_list *group;
    if (!jinja_list_make(run, to - from, &group))
        return false;
    for (size_t i = from; i < to; i++)
        group->items[group->count++] = items->items[i];
    for (size_t i = 0; i < fill; i++)
        if (!jinja_step(run, 1) || !jinja_list_append(run, group, filler))
            return false;
    return jinja_list_append(run, groups, list_value(group));
}

FILTER(filter_batch)
{
    struct jinja_list *list, *groups;
    int64_t size;
    if (!jinja_to_int(run, arguments[0], "linecount", &size) || !jinja_to_list(run, self, &list) || !jinja_list_make(run, 0, &groups))
        return false;
    size_t step = size > 0 ? (size_t)size : list->count + 1; /* len(tmp) == linecount is never true for a negative one */
    if (size == 0 && list->count && !jinja_list_make(run, 0, &list))
        return false;
    for (size_t from = 0; from < list->count; from += step) {
        size_t to = list->count - from > step ? from + step : list->count;
        if (!add_group(run, list, from, to, is_given(arguments[1]) && size > 0 ? from + step - to : 0, arguments[1], groups))
            return false;
    }
    return make_iterator(run, groups, out);
}

FILTER(filter_slice)
{
    struct jinja_list *list, *groups;
    int64_t slices;
    if (!jinja_to_int(run, arguments[0], "slices", &slices) || !jinja_to_list(run, self, &list) || !jinja_list_make(run, 0, &groups))
        return false;
    if (slices == 0)
        return jinja_fail(run, SAMPAN_EINVAL, "integer division or modulo by zero");
    size_t offset = 0;
    for (int64_t i = 0; i < slices; i++) {
        size_t count = list->count / (size_t)slices + ((size_t)i < list->count % (size_t)slices);
        bool fills = is_given(arguments[1]) && (size_t)i >= list->count % (size_t)slices;
        if (!jinja_step(run, 1) || !add_group(run, list, offset, offset + count, fills, arguments[1], groups))
            return false;
        offset += count;
    }
    return make_iterator(run, groups, out);
}

FILTER(filter_groupby)
{
    struct jinja_list *list, *keys, *groups, *members = NULL;
    bool case_sensitive = is_set(arguments[2]);
    if (!jinja_to_list(run, self, &list) || !jinja_list_make(run, list->count, &keys) || !jinja_list_make(run, 0, &groups))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (!get_path(run, list->items[i], arguments[0], arguments[1], &keys->items[i]) ||
            (!case_sensitive && !ignore_case(run, keys->items[i], &keys->items[i])))
            return false;
    if (!jinja_sort(run, list->items, keys->items, list->count, false))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        bool same = false;
        if (i && !jinja_equal(run, keys->items[i - 1], keys->items[i], &same))
            return false;
        struct jinja_value grouper, pair;
        if (!same && (!jinja_list_make(run, 1, &members) || !get_path(run, list->items[i], arguments[0], arguments[1], &grouper) ||
                      !jinja_pair(run, grouper, list_value(members), &pair) || !jinja_list_append(run, groups, pair)))
            return false;
        if (!jinja_list_append(run, members, list->items[i]))
            return false;
    }
    *out = list_value(groups);
    return true;
}

/* --- filters over filters and tests --- */

FILTER(filter_default)
{
    static struct jinja_string nothing = {.bytes = "", .length = 0, .origin = ORIGIN_TEMPLATE, .n_characters = 0};
    bool replaces = self.kind == JINJA_UNDEFINED || (is_set(arguments[1]) && !jinja_is_true(self));
    (void)run;
    *out = !replaces ? self : arguments[0].kind == JINJA_MISSING ? jinja_string_value(&nothing) : arguments[0];
    return true;
}

static struct jinja_arguments arguments_behind(const struct jinja_arguments *arguments, size_t n)
{
    return (struct jinja_arguments){arguments->positional + n, arguments->n_positional - n, arguments->keywords};
}

static const struct jinja_value *find_keyword(struct jinja_run *run, const struct jinja_arguments *arguments, const char *name)
{
    return arguments->keywords ? jinja_dict_find(run, arguments->keywords, name, strlen(name)) : NULL;
}

static bool filter_map(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_list *list;
    const struct jinja_value *attribute = arguments->n_positional ? NULL : find_keyword(run, arguments, "attribute"),
                             *otherwise = find_keyword(run, arguments, "default");
    const struct jinja_builtin *filter = NULL;
    if (!jinja_is_true(self))
        return jinja_list_make(run, 0, &list) && make_iterator(run, list, out);
    if (attribute) {
        if (arguments->keywords->count > 1 + (otherwise != NULL))
            return jinja_fail(run, SAMPAN_EINVAL, "map: unexpected keyword argument");
    } else {
        if (!arguments->n_positional || arguments->positional[0].kind != JINJA_STRING)
            return jinja_fail(run, SAMPAN_EINVAL, "map requires a filter argument");
        const struct jinja_string *name = arguments->positional[0].as.string;
        if (!(filter = jinja_find_filter(name->bytes, name->length)))
            return jinja_fail(run, SAMPAN_EUNSUPPORTED, "map: there is no filter named '%.*s'", (int)(name->length < 100 ? name->length : 100), name->bytes);
    }
    if (!jinja_to_list(run, self, &list))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        struct jinja_arguments rest = filter ? arguments_behind(arguments, 1) : (struct jinja_arguments){0};
        if (!(filter ? jinja_call_builtin(run, filter, list->items[i], &rest, &list->items[i])
                     : get_path(run, list->items[i], *attribute, otherwise ? *otherwise : jinja_none(), &list->items[i])))
            return false;
    }
    return make_iterator(run, list, out);
}

static bool select_items(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, bool by_attribute, bool wanted,
                         struct jinja_value *out)
{
    struct jinja_list *list, *kept;
    struct jinja_arguments rest = *arguments;
    struct jinja_value attribute = jinja_none();
    const struct jinja_builtin *test = NULL;
    if (!jinja_list_make(run, 0, &kept) || !make_iterator(run, kept, out))
        return false;
    if (!jinja_is_true(self))
        return true;
    if (by_attribute) {
        if (!rest.n_positional)
            return jinja_fail(run, SAMPAN_EINVAL, "Missing parameter for attribute name");
        attribute = rest.positional[0];
        rest = arguments_behind(&rest, 1);
    }
    if (rest.n_positional) {
        const struct jinja_string *name = rest.positional[0].kind == JINJA_STRING ? rest.positional[0].as.string : NULL;
        if (!name || !(test = jinja_find_test(name->bytes, name->length)))
            return jinja_fail(run, SAMPAN_EUNSUPPORTED, "select or reject: there is no test named '%.*s'",
                              name ? (int)(name->length < 100 ? name->length : 100) : 0, name ? name->bytes : "");
        rest = arguments_behind(&rest, 1);
    }
    if (!jinja_to_list(run, self, &list))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        struct jinja_value value;
        if (!get_path(run, list->items[i], attribute, jinja_none(), &value) || (test && !jinja_call_builtin(run, test, value, &rest, &value)))
            return false;
        if (jinja_is_true(value) == wanted && !jinja_list_append(run, kept, list->items[i]))
            return false;
    }
    return true;
}

#define SELECT_FILTER(name, by_attribute, wanted)                                                                                                              \
    static bool name(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)                         \
    {                                                                                                                                                          \
        return select_items(run, self, arguments, by_attribute, wanted, out);                                                                                  \
    }
SELECT_FILTER(filter_select, false, true)
SELECT_FILTER(filter_reject, false, false)
SELECT_FILTER(filter_selectattr, true, true)
SELECT_FILTER(filter_rejectattr, true, false)

FILTER(filter_attr)
{
    if (arguments[0].kind != JINJA_STRING)
        return jinja_fail(run, SAMPAN_EINVAL, "attr needs the name of an attribute");
    if (self.kind == JINJA_DICT) { /* attributes only, no items: of a dict, its methods */
        bool forbidden;
        if (!jinja_find_method(self.kind, arguments[0].as.string, &forbidden) && !forbidden)
            return jinja_undefined_make(run, NULL, arguments[0].as.string, jinja_type_name(self), out);
    }
    return jinja_get_attribute(run, self, arguments[0].as.string, out);
}

static const struct jinja_builtin filters[] = {
    {"abs", "", 0, filter_abs, NULL},
    {"attr", "name", 1, filter_attr, NULL},
    {"batch", "linecount fill_with", 1, filter_batch, NULL},
    {"capitalize", "", 0, filter_capitalize, NULL},
    {"center", "width", 0, filter_center, NULL},
    {"count", "", 0, filter_length, NULL},
    {"d", "default_value boolean", 0, filter_default, NULL},
    {"default", "default_value boolean", 0, filter_default, NULL},
    {"dictsort", "case_sensitive by reverse", 0, filter_dictsort, NULL},
    {"e", "", 0, filter_escape, NULL},
    {"escape", "", 0, filter_escape, NULL},
    {"first", "", 0, filter_first, NULL},
    {"float", "default", 0, filter_float, NULL},
    {"forceescape", "", 0, filter_force_escape, NULL},
    {"format", NULL, 0, NULL, filter_format},
    {"from_json", "", 0, filter_from_json, NULL},
    {"groupby", "attribute default case_sensitive", 1, filter_groupby, NULL},
    {"indent", "width first blank", 0, filter_indent, NULL},
    {"int", "default base", 0, filter_int, NULL},
    {"items", "", 0, filter_items, NULL},
    {"join", "d attribute", 0, filter_join, NULL},
    {"last", "", 0, filter_last, NULL},
    {"length", "", 0, filter_length, NULL},
    {"list", "", 0, filter_list, NULL},
    {"lower", "", 0, filter_lower, NULL},
    {"map", NULL, 0, NULL, filter_map},
    {"max", "case_sensitive attribute", 0, filter_max, NULL},
    {"min", "case_sensitive attribute", 0, filter_min, NULL},
    {"reject", NULL, 0, NULL, filter_reject},
    {"rejectattr", NULL, 0, NULL, filter_rejectattr},
    {"replace", "old new count", 2, filter_replace, NULL},
    {"reverse", "", 0, filter_reverse, NULL},
    {"round", "precision method", 0, filter_round, NULL},
    {"safe", "", 0, filter_safe, NULL},
    {"select", NULL, 0, NULL, filter_select},
    {"selectattr", NULL, 0, NULL, filter_selectattr},
    {"slice", "slices fill_with", 1, filter_slice, NULL},
    {"sort", "reverse case_sensitive attribute", 0, filter_sort, NULL},
    {"string", "", 0, filter_string, NULL},
    {"sum", "attribute start", 0, filter_sum, NULL},
    {"title", "", 0, filter_title, NULL},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson, NULL},
    {"trim", "chars", 0, filter_trim, NULL},
    {"truncate", "length killwords end leeway", 0, filter_truncate, NULL},
    {"unique", "case_sensitive attribute", 0, filter_unique, NULL},
    {"upper", "", 0, filter_upper, NULL},
    {"wordcount", "", 0, filter_wordcount, NULL},
};

const struct jinja_builtin *jinja_find_filter(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strlen(filters[i].name) == length && memcmp(filters[i].name, name, length) == 0)
            return &filters[i];
    return NULL;
}
