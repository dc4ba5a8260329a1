#include "file/json_text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

/* Marks a string that stands for a number; no published string begins with this control character. */
#define MARK "\x01"

static const struct {
    const char *written;
    const char *replacement; /* a JSON string */
    const char *value;       /* what that string is */
    double number;
} words[] = {
    {"NaN", "\"\\u0001NaN\"", MARK "NaN", (double)NAN},
    {"Infinity", "\"\\u0001Infinity\"", MARK "Infinity", (double)INFINITY},
    {"-Infinity", "\"\\u0001-Infinity\"", MARK "-Infinity", -(double)INFINITY},
};

enum { WORDS = sizeof words / sizeof words[0], LONG_INTEGER = 19 /* digits; int64 holds every integer of 18 */ };

static size_t string_length(const char *text, size_t length)
{
    size_t i = 1;
    while (i < length && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return i < length ? i + 1 : length;
}

static size_t number_length(const char *text, size_t length, bool *is_long_integer)
{
    size_t i = 0, digits = 0;
    bool is_real = false;
    for (; i < length && (isdigit((unsigned char)text[i]) || strchr("+-.eE", text[i])) && text[i]; i++) {
        digits += isdigit((unsigned char)text[i]) != 0;
        is_real |= !isdigit((unsigned char)text[i]) && i > 0;
    }
    *is_long_integer = !is_real && digits >= LONG_INTEGER;
    return i;
}

/* Copies text[0..] up to the end of one piece (a string, a number, a word, or one other character) and returns its length. */
static size_t copy_piece(const char *text, size_t length, struct buffer *out)
{
    for (size_t i = 0; i < WORDS; i++) {
        size_t n = strlen(words[i].written);
        if (n <= length && memcmp(text, words[i].written, n) == 0) {
            buffer_append_string(out, words[i].replacement);
            return n;
        }
    }
    size_t n = 1;
    bool is_long = false;
    if (*text == '"')
        n = string_length(text, length);
    else if (*text == '-' || isdigit((unsigned char)*text))
        n = number_length(text, length, &is_long);
    buffer_append(out, text, n);
    if (is_long)
        buffer_append_string(out, ".0");
    return n;
}

static int parse_strict(const char *text, size_t length, json_t **json, struct error *err)
{
    int code = json_parse(text, length, 0, json, err);
    if (code == SAMPAN_EFORMAT)
        error_prefix(err, "broken JSON");
    return code;
}

int json_text_parse(const char *text, size_t length, enum json_text_dialect dialect, json_t **json, struct error *err)
{
    struct buffer strict;
    *json = NULL;
    if (dialect == JSON_TEXT_STRICT)
        return parse_strict(text, length, json, err);
    buffer_init(&strict, length * 8 + 16); /* "NaN" grows to 11 characters, the most of all */
    for (size_t i = 0; i < length && !strict.failed;)
        i += copy_piece(text + i, length - i, &strict);
    int code = strict.failed ? error_no_memory(err, "reading JSON") : parse_strict(strict.data ? strict.data : "", strict.length, json, err);
    buffer_free(&strict);
    return code;
}

int json_text_parse_file(const char *path, size_t limit, enum json_text_dialect dialect, json_t **json, struct error *err)
{
    char *text;
    size_t length;
    *json = NULL;
    int code = file_read_whole(path, limit, &text, &length, err);
    if (code)
        return code;
    code = json_text_parse(text, length, dialect, json, err);
    if (code)
        error_prefix(err, "reading '%s'", path);
    mem_free(text);
    return code;
}

bool json_text_real(const json_t *json, double *number)
{
    const json_t *inner = json_is_object(json) && json_object_size(json) == 1 ? json_object_get(json, "__float__") : NULL;
    const char *text = json_string_value(inner ? inner : json);
    if (json_is_real(json)) {
        *number = json_real_value(json);
        return true;
    }
    for (size_t i = 0; text && i < WORDS; i++) {
        if (strcmp(text, inner ? words[i].written : words[i].value) == 0) {
            *number = words[i].number;
            return true;
        }
    }
    return false;
}
