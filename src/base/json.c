#include "base/json.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"

struct reader {
    const char *text;
    size_t length, at;
    uint32_t flags;
    int depth;
    struct buffer scratch; /* the string or number being read */
    struct error *err;
    int code;
};

static json_t *read_value(struct reader *reader);

/* ---- Failing. All return NULL or false, so that they can be returned. */

static void *fail_memory(struct reader *reader)
{
    reader->code = error_no_memory(reader->err, "reading JSON");
    return NULL;
}

static void *fail_at(struct reader *reader, size_t at, int code, const char *problem)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column = reader->text[i] == '\n' ? 1 : column + 1;
        line += reader->text[i] == '\n';
    }
    reader->code = error_set(reader->err, code, "line %zu, column %zu: %s", line, column, problem);
    return NULL;
}

static void *fail_expected(struct reader *reader, const char *expected)
{
    char problem[160], found[32];
    unsigned char c = reader->at < reader->length ? (unsigned char)reader->text[reader->at] : 0;
    if (reader->at >= reader->length)
        snprintf(found, sizeof found, "the end of the text");
    else if (c > ' ' && c < 127)
        snprintf(found, sizeof found, "'%c'", c);
    else
        snprintf(found, sizeof found, "byte 0x%02x", c);
    snprintf(problem, sizeof problem, "found %s, expected %s", found, expected);
    return fail_at(reader, reader->at, SAMPAN_EFORMAT, problem);
}

/* ---- Characters. */

static void skip_space(struct reader *reader)
{
    for (; reader->at < reader->length; reader->at++) {
        char c = reader->text[reader->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
    }
}

static bool take(struct reader *reader, char c)
{
    bool found = reader->at < reader->length && reader->text[reader->at] == c;
    reader->at += found;
    return found;
}

static bool is_digit(const struct reader *reader)
{
    return reader->at < reader->length && reader->text[reader->at] >= '0' && reader->text[reader->at] <= '9';
}

/* ---- Strings. */

/* Four hexadecimal digits. */
static bool read_unit(struct reader *reader, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, reader->at++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = reader->at < reader->length && reader->text[reader->at] ? strchr(digits, reader->text[reader->at]) : NULL;
        if (!digit)
            return fail_expected(reader, "four hexadecimal digits after \\u");
        *unit = *unit << 4 | (uint32_t)((digit - digits) & 15);
    }
    return true;
}

/* What follows "\u": one unit, or two that make a character. */
static bool read_code_point(struct reader *reader)
{
    size_t start = reader->at;
    uint32_t unit, low;
    char bytes[4];
    if (!read_unit(reader, &unit))
        return false;
    if (unit >= 0xD800 && unit < 0xDC00) {
        if (!take(reader, '\\') || !take(reader, 'u'))
            return fail_expected(reader, "the second half of a surrogate pair");
        if (!read_unit(reader, &low))
            return false;
        if (low < 0xDC00 || low > 0xDFFF)
            return fail_at(reader, start, SAMPAN_EFORMAT, "half a surrogate pair");
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    } else if (unit >= 0xDC00 && unit <= 0xDFFF) {
        return fail_at(reader, start, SAMPAN_EFORMAT, "half a surrogate pair");
    }
    if (!unit && !(reader->flags & JSON_PARSE_NUL))
        return fail_at(reader, start, SAMPAN_EFORMAT, "a NUL character in a string");
    return !buffer_append(&reader->scratch, bytes, (size_t)utf8_encode(unit, bytes));
}

static bool read_escape(struct reader *reader)
{
    static const char written[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (take(reader, 'u'))
        return read_code_point(reader);
    const char *found = reader->at < reader->length && reader->text[reader->at] ? strchr(written, reader->text[reader->at]) : NULL;
    if (!found)
        return fail_expected(reader, "one of \" \\ / b f n r t u after a backslash");
    reader->at++;
    return !buffer_append_char(&reader->scratch, meant[found - written]);
}

/* Characters that stand for themselves, as many as there are. */
static bool read_plain(struct reader *reader)
{
    size_t start = reader->at;
    while (reader->at < reader->length && reader->text[reader->at] != '"' && reader->text[reader->at] != '\\') {
        unsigned char c = (unsigned char)reader->text[reader->at];
        uint32_t character;
        int n = c < 0x80 ? 1 : utf8_decode(reader->text + reader->at, reader->length - reader->at, &character);
        if (c < ' ')
            return fail_expected(reader, "no control character in a string");
        if (n <= 0)
            return fail_expected(reader, "UTF-8");
        reader->at += (size_t)n;
    }
    return !buffer_append(&reader->scratch, reader->text + start, reader->at - start);
}

/* After the opening quotation mark; the bytes are in the scratch buffer. */
static bool read_string(struct reader *reader)
{
    buffer_clear(&reader->scratch);
    bool going = true;
    while (going && !take(reader, '"')) {
        if (reader->at >= reader->length)
            return fail_expected(reader, "'\"' at the end of a string");
        going = take(reader, '\\') ? read_escape(reader) : read_plain(reader);
    }
    if (!going && !reader->code)
        fail_memory(reader);
    return going;
}

static json_t *make_string(struct reader *reader)
{
    json_t *string = json_stringn_nocheck(reader->scratch.data ? reader->scratch.data : "", reader->scratch.length);
    return string ? string : fail_memory(reader);
}

/* ---- Numbers. */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a static object of the C library: cannot fail */
}

static json_t *make_number(struct reader *reader, size_t start, bool whole)
{
    buffer_clear(&reader->scratch);
    if (buffer_append(&reader->scratch, reader->text + start, reader->at - start))
        return fail_memory(reader);
    json_t *number;
    errno = 0;
    if (whole) {
        number = json_integer(strtoll(reader->scratch.data, NULL, 10));
    } else {
        pthread_once(&c_locale_once, make_c_locale);
        double value = strtod_l(reader->scratch.data, NULL, c_locale); /* whatever locale the program has set */
        number = json_real(isinf(value) ? 0 : value);
        errno = isinf(value) ? ERANGE : 0;
    }
    if (errno == ERANGE) {
        json_decref(number);
        return fail_at(reader, start, SAMPAN_EFORMAT, whole ? "an integer beyond 64 bits" : "a number beyond what a double holds");
    }
    return number ? number : fail_memory(reader);
}

static json_t *read_number(struct reader *reader)
{
    size_t start = reader->at;
    bool whole = true;
    take(reader, '-');
    if (!is_digit(reader))
        return fail_expected(reader, reader->at > start ? "a digit after '-'" : "a value");
    if (!take(reader, '0'))
        while (is_digit(reader))
            reader->at++;
    if (take(reader, '.')) {
        whole = false;
        if (!is_digit(reader))
            return fail_expected(reader, "a digit after '.'");
        while (is_digit(reader))
            reader->at++;
    }
    if (take(reader, 'e') || take(reader, 'E')) {
        whole = false;
        if (!take(reader, '+'))
            take(reader, '-');
        if (!is_digit(reader))
            return fail_expected(reader, "a digit of the exponent");
        while (is_digit(reader))
            reader->at++;
    }
    return make_number(reader, start, whole);
}

/* ---- Arrays and objects. */

static bool add_element(struct reader *reader, json_t *array)
{
    json_t *element = read_value(reader);
    if (!element)
        return false;
    return json_array_append_new(array, element) == 0 || fail_memory(reader);
}

/* A member's name as a string; the colon behind it is left. */
static json_t *read_name(struct reader *reader)
{
    size_t start = reader->at;
    if (!take(reader, '"'))
        return fail_expected(reader, "'\"' at the beginning of a name");
    if (!read_string(reader))
        return NULL;
    if (reader->scratch.length && memchr(reader->scratch.data, 0, reader->scratch.length))
        return fail_at(reader, start, SAMPAN_EFORMAT, "a NUL character in a name");
    json_t *name = make_string(reader);
    if (name)
        skip_space(reader);
    return name;
}

static bool add_member(struct reader *reader, json_t *object)
{
    size_t start = reader->at;
    bool added = false;
    json_t *name = read_name(reader);
    if (!name)
        return false;
    if (json_object_get(object, json_string_value(name))) {
        char problem[96];
        snprintf(problem, sizeof problem, "duplicate name '%.60s'", json_string_value(name));
        fail_at(reader, start, SAMPAN_EFORMAT, problem);
    } else if (!take(reader, ':')) {
        fail_expected(reader, "':' after a name");
    } else {
        json_t *value = read_value(reader);
        added = value && (json_object_set_new_nocheck(object, json_string_value(name), value) == 0 || fail_memory(reader));
    }
    json_decref(name);
    return added;
}

/* After the opening bracket. Takes the container over. */
static json_t *read_container(struct reader *reader, json_t *container, char end, bool (*add)(struct reader *reader, json_t *container), const char *expected)
{
    if (!container)
        return fail_memory(reader);
    if (++reader->depth > LIMIT_JSON_DEPTH) {
        json_decref(container);
        return fail_at(reader, reader->at, SAMPAN_ELIMIT, "nested too deep");
    }
    skip_space(reader);
    bool going = !take(reader, end), right = true;
    while (going && right) {
        skip_space(reader);
        right = add(reader, container);
        skip_space(reader);
        going = right && take(reader, ',');
        if (right && !going && !take(reader, end))
            right = fail_expected(reader, expected);
    }
    reader->depth--;
    if (right)
        return container;
    json_decref(container);
    return NULL;
}

static json_t *read_value(struct reader *reader)
{
    static const struct {
        const char *word;
        json_t *(*make)(void);
    } words[] = {{"true", json_true}, {"false", json_false}, {"null", json_null}};
    skip_space(reader);
    if (take(reader, '{'))
        return read_container(reader, json_object(), '}', add_member, "',' or '}'");
    if (take(reader, '['))
        return read_container(reader, json_array(), ']', add_element, "',' or ']'");
    if (take(reader, '"'))
        return read_string(reader) ? make_string(reader) : NULL;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].word);
        if (reader->length - reader->at >= n && memcmp(reader->text + reader->at, words[i].word, n) == 0) {
            reader->at += n;
            return words[i].make();
        }
    }
    return read_number(reader);
}

int json_parse(const char *text, size_t length, uint32_t flags, json_t **value, struct error *err)
{
    struct reader reader = {.text = text, .length = length, .flags = flags, .err = err};
    buffer_init(&reader.scratch, length + 1);
    json_t *made = read_value(&reader);
    if (made) {
        skip_space(&reader);
        if (reader.at < length)
            fail_expected(&reader, "the end of the text");
        else if (flags & JSON_PARSE_ARRAY ? !json_is_array(made) : !(flags & JSON_PARSE_ANY) && !json_is_object(made))
            fail_at(&reader, 0, SAMPAN_EFORMAT,
                    flags & JSON_PARSE_ARRAY ? "it is not a JSON array, expected an array [...]" : "it is not a JSON object, expected an object {...}");
    }
    if (reader.code) {
        json_decref(made);
        made = NULL;
    }
    buffer_free(&reader.scratch);
    *value = made;
    return reader.code;
}

/* ---- One member at a time. */

struct members {
    size_t limit; /* bytes of a member's text */
    int (*take)(void *self, const char *name, const json_t *value, struct error *err);
    void *self;
};

/* The value behind a name, handed over. The reader sees no more of the text than a member may have. */
static bool visit_value(struct reader *reader, const struct members *members, const char *name)
{
    size_t whole = reader->length;
    bool is_cut = whole - reader->at > members->limit;
    if (is_cut)
        reader->length = reader->at + members->limit;
    size_t start = reader->at;
    json_t *value = read_value(reader);
    if (is_cut && !value && reader->at >= reader->length)
        fail_at(reader, start, SAMPAN_ELIMIT, "a member of the object is too long");
    reader->length = whole;
    if (value && members->take(members->self, name, value, reader->err))
        reader->code = reader->err ? reader->err->code : SAMPAN_EINTERNAL;
    json_decref(value);
    return !reader->code;
}

static bool visit_member(struct reader *reader, const struct members *members)
{
    skip_space(reader);
    json_t *name = read_name(reader);
    if (name && !take(reader, ':'))
        fail_expected(reader, "':' after a name");
    bool visited = name && !reader->code && visit_value(reader, members, json_string_value(name));
    json_decref(name);
    return visited;
}

int json_parse_members(const char *text, size_t length, size_t member_limit,
                       int (*take_member)(void *self, const char *name, const json_t *value, struct error *err), void *self, struct error *err)
{
    struct error local = {0};
    struct reader reader = {.text = text, .length = length, .err = err ? err : &local, .depth = 1};
    struct members members = {member_limit, take_member, self};
    buffer_init(&reader.scratch, length + 1);
    skip_space(&reader);
    if (!take(&reader, '{'))
        fail_at(&reader, 0, SAMPAN_EFORMAT, "it is not a JSON object, expected an object {...}");
    skip_space(&reader);
    bool going = !reader.code && !take(&reader, '}');
    while (going && visit_member(&reader, &members)) {
        skip_space(&reader);
        going = take(&reader, ',');
        if (!going && !take(&reader, '}'))
            fail_expected(&reader, "',' or '}'");
    }
    skip_space(&reader);
    if (!reader.code && reader.at < length)
        fail_expected(&reader, "the end of the text");
    buffer_free(&reader.scratch);
    return reader.code;
}

/* ---- Writing. */

void json_append_string(struct buffer *out, const char *text, size_t length)
{
    buffer_append_char(out, '"');
    for (size_t at = 0; at < length;) {
        uint32_t character = 0;
        int n = utf8_decode(text + at, length - at, &character);
        if (n <= 0) {
            buffer_append(out, "\xEF\xBF\xBD", 3);
            at += n < 0 ? (size_t)-n : length - at;
            continue;
        }
        if (character == '"' || character == '\\')
            buffer_printf(out, "\\%c", (char)character);
        else if (character == '\n')
            buffer_append(out, "\\n", 2);
        else if (character < 0x20)
            buffer_printf(out, "\\u%04x", (unsigned)character);
        else
            buffer_append(out, text + at, (size_t)n);
        at += (size_t)n;
    }
    buffer_append_char(out, '"');
}
