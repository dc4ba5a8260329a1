/* JSON texts: what is right is read, each fault is named with its place, and over thousands of damaged texts this reader and jansson's agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"

static void right_texts_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "-2e3",
        "1E-2",
        "0.1e+5",
        "1e-999",
        "true",
        " null\r\n\t",
        "\"\"",
        "[]",
        "{}",
        "[1,[2,[3]],{}]",
        "{\"a\":{\"b\":[null,false]},\"\":\"\"}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"",
        "\"\xC3\xA9\xF0\x9F\x98\x80\x7F\"",
        "\"a\\u0000b\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err;
        json_t *ours, *theirs = json_loads(texts[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (json_parse(texts[i], strlen(texts[i]), JSON_PARSE_ANY | JSON_PARSE_NUL, &ours, &err))
            fail_msg("%s: %s", texts[i], err.message);
        if (!json_equal(ours, theirs))
            fail_msg("%s: not what jansson reads", texts[i]);
        json_decref(ours);
        json_decref(theirs);
    }
}

static void each_fault_is_named_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t flags;
        const char *message;
    } cases[] = {
        {"", 0, "line 1, column 1: found the end of the text, expected a value"},
        {"{", 0, "line 1, column 2: found the end of the text, expected '\"' at the beginning of a name"},
        {"{\"a\" 1}", 0, "line 1, column 6: found '1', expected ':' after a name"},
        {"{\"a\":1,}", 0, "line 1, column 8: found '}', expected '\"' at the beginning of a name"},
        {"{\"a\":\n 1 2}", 0, "line 2, column 4: found '2', expected ',' or '}'"},
        {"{\"a\":1,\"a\":2}", 0, "column 8: duplicate name 'a'"},
        {"{\"a\\u0000\":1}", JSON_PARSE_NUL, "a NUL character in a name"},
        {"{\"a\":\"\\u0000\"}", 0, "a NUL character in a string"},
        {"[1,]", JSON_PARSE_ANY, "column 4: found ']', expected a value"},
        {"[1 2]", JSON_PARSE_ANY, "expected ',' or ']'"},
        {"[01]", JSON_PARSE_ANY, "found '1', expected ',' or ']'"},
        {"[-]", JSON_PARSE_ANY, "expected a digit after '-'"},
        {"[1.]", JSON_PARSE_ANY, "expected a digit after '.'"},
        {"[1e]", JSON_PARSE_ANY, "expected a digit of the exponent"},
        {"[.5]", JSON_PARSE_ANY, "found '.', expected a value"},
        {"[NaN]", JSON_PARSE_ANY, "found 'N', expected a value"},
        {"[9223372036854775808]", JSON_PARSE_ANY, "column 2: an integer beyond 64 bits"},
        {"[1e999]", JSON_PARSE_ANY, "column 2: a number beyond what a double holds"},
        {"[\"a]", JSON_PARSE_ANY, "expected '\"' at the end of a string"},
        {"[\"\n\"]", JSON_PARSE_ANY, "found byte 0x0a, expected no control character in a string"},
        {"[\"\xC0\x80\"]", JSON_PARSE_ANY, "found byte 0xc0, expected UTF-8"},
        {"[\"\xED\xA0\x80\"]", JSON_PARSE_ANY, "expected UTF-8"},
        {"[\"\\x41\"]", JSON_PARSE_ANY, "after a backslash"},
        {"[\"\\u12g4\"]", JSON_PARSE_ANY, "found 'g', expected four hexadecimal digits"},
        {"[\"\\ud83d\"]", JSON_PARSE_ANY, "expected the second half of a surrogate pair"},
        {"[\"\\ud83d\\u0041\"]", JSON_PARSE_ANY, "half a surrogate pair"},
        {"[\"\\ude00\"]", JSON_PARSE_ANY, "half a surrogate pair"},
        {"[] x", JSON_PARSE_ANY, "found 'x', expected the end of the text"},
        {"\xEF\xBB\xBF{}", 0, "found byte 0xef, expected a value"},
        {"[]", 0, "not a JSON object, expected an object"},
        {"{}", JSON_PARSE_ARRAY, "not a JSON array, expected an array"},
        {"1", 0, "expected an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        json_t *value;
        assert_int_equal(json_parse(cases[i].text, strlen(cases[i].text), cases[i].flags, &value, &err), SAMPAN_EFORMAT);
        assert_null(value);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: '%s', expected '%s'", cases[i].text, err.message, cases[i].message);
    }
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    static char text[2 * (LIMIT_JSON_DEPTH + 1)];
    for (int depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        struct error err;
        json_t *value;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        int code = json_parse(text, 2 * (size_t)depth, JSON_PARSE_ANY, &value, &err);
        assert_int_equal(code, depth > LIMIT_JSON_DEPTH ? SAMPAN_ELIMIT : 0);
        json_decref(value);
    }
}

static uint32_t pick(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static void damaged_texts_are_judged_as_jansson_does(void **state)
{
    (void)state;
    static const char seed[] =
        "{\"a\": [1, -2.5e3, true, null, \"x\\n\\u00e9\\ud83d\\ude00\"], \"bc\": {\"d\": [], \"e\": {}}, \"f\": \"\xC3\xA9 \xE2\x82\xAC\", \"a2\": 0}";
    static const char bytes[] = "{}[]\",:\\u0019aeE+-.ntrf \n\x80\xC3\xED\xF4\x01";
    uint64_t random = 7;
    int n_right = 0;
    for (int round = 0; round < 60000; round++) {
        char text[sizeof seed + 8];
        size_t length = sizeof seed - 1;
        memcpy(text, seed, length);
        for (uint32_t edits = 1 + pick(&random, 4); edits; edits--) {
            size_t at = pick(&random, (uint32_t)length);
            switch (pick(&random, 3)) {
            case 0: text[at] = bytes[pick(&random, sizeof bytes - 1)]; break;
            case 1: memmove(text + at, text + at + 1, --length - at); break;
            default: memmove(text + at + 1, text + at, length++ - at); text[at] = bytes[pick(&random, sizeof bytes - 1)];
            }
        }
        json_t *ours, *theirs = json_loadb(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        int code = json_parse(text, length, JSON_PARSE_ANY | JSON_PARSE_NUL, &ours, NULL);
        if (!theirs != !!code || (theirs && !json_equal(ours, theirs)))
            fail_msg("%.*s: code %d, jansson %s", (int)length, text, code, theirs ? "reads it" : "refuses it");
        n_right += !code;
        json_decref(ours);
        json_decref(theirs);
    }
    assert_true(n_right > 1000 && n_right < 59000);
}

static void written_strings_are_read_as_they_were(void **state)
{
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)(i < 128 ? i : 127);
    struct buffer out;
    json_t *value;
    buffer_init(&out, 1 << 16);
    json_append_string(&out, bytes, sizeof bytes);
    assert_int_equal(json_parse(out.data, out.length, JSON_PARSE_ANY | JSON_PARSE_NUL, &value, NULL), 0);
    assert_int_equal(json_string_length(value), sizeof bytes);
    assert_memory_equal(json_string_value(value), bytes, sizeof bytes);
    json_decref(value);
    buffer_clear(&out);
    json_append_string(&out, "\xFFz\xE2\x82", 4);
    assert_string_equal(out.data, "\"\xEF\xBF\xBDz\xEF\xBF\xBD\"");
    buffer_free(&out);
}

/* ---- one member at a time ---- */

struct visit {
    char text[256];
    int stop_at; /* member at which `take` refuses, -1: never */
    int n;
};

static int take_member(void *self, const char *name, const json_t *value, struct error *err)
{
    struct visit *visit = self;
    if (visit->n == visit->stop_at)
        return error_set(err, SAMPAN_EBUSY, "enough at '%s'", name);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t length = strlen(visit->text);
    snprintf(visit->text + length, sizeof visit->text - length, "%s=%s;", name, text);
    free(text);
    visit->n++;
    return 0;
}

static void members_come_one_by_one_in_their_order(void **state)
{
    (void)state;
    static const char text[] = " {\"b\": [1, {\"x\": 2}], \"a\" : \"s\" ,\"b\":null} ";
    struct visit visit = {.stop_at = -1};
    assert_int_equal(json_parse_members(text, strlen(text), 100, take_member, &visit, NULL), 0);
    assert_string_equal(visit.text, "b=[1,{\"x\":2}];a=\"s\";b=null;"); /* equal names are the caller's to refuse */
    struct error err = {0};
    visit = (struct visit){.stop_at = 1};
    assert_int_equal(json_parse_members(text, strlen(text), 100, take_member, &visit, &err), SAMPAN_EBUSY);
    assert_string_equal(err.message, "enough at 'a'");
    visit = (struct visit){.stop_at = -1};
    assert_int_equal(json_parse_members("{}", 2, 100, take_member, &visit, NULL), 0);
    assert_int_equal(visit.n, 0);
}

static void a_member_that_is_wrong_or_too_long_ends_the_reading(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *saying;
    } rows[] = {
        {"", SAMPAN_EFORMAT, "not a JSON object"},
        {"[1]", SAMPAN_EFORMAT, "not a JSON object"},
        {"{", SAMPAN_EFORMAT, "at the beginning of a name"},
        {"{\"a\"", SAMPAN_EFORMAT, "':' after a name"},
        {"{\"a\": }", SAMPAN_EFORMAT, "expected a value"},
        {"{\"a\": 1", SAMPAN_EFORMAT, "',' or '}'"},
        {"{\"a\": 1,}", SAMPAN_EFORMAT, "at the beginning of a name"},
        {"{\"a\": 1} 2", SAMPAN_EFORMAT, "the end of the text"},
        {"{\"a\\u0000\": 1}", SAMPAN_EFORMAT, "NUL"},
        {"{\"a\": {\"x\": 1, \"x\": 2}}", SAMPAN_EFORMAT, "duplicate name 'x'"},
        {"{\"a\": [1,2,3,4,5,6,7,8,9,10]}", 0, NULL},
        {"{\"a\": [1,2,3,4,5,6,7,8,9,10,11,12,13]}", SAMPAN_ELIMIT, "column 6: a member of the object is too long"},
        {"{\"a\": \"0123456789012345678901234567890123456789\"}", SAMPAN_ELIMIT, "too long"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct visit visit = {.stop_at = -1};
        struct error err = {0};
        int code = json_parse_members(rows[i].text, strlen(rows[i].text), 30, take_member, &visit, &err);
        if (code != rows[i].code || (code && !strstr(err.message, rows[i].saying)))
            fail_msg("%s: code %d, '%s', expected %d, '%s'", rows[i].text, code, err.message, rows[i].code, rows[i].saying ? rows[i].saying : "");
    }
}

static void memory_may_run_out_at_any_member(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1, \"xyz\", {\"b\": 2.5}], \"c\": \"d\"}";
    int code = SAMPAN_ENOMEM;
    for (int64_t n = 0; code; n++) {
        struct visit visit = {.stop_at = -1};
        mem_fail_after(n);
        code = json_parse_members(text, strlen(text), 100, take_member, &visit, NULL);
        mem_fail_after(-1);
        assert_true(!code || code == SAMPAN_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_texts_are_read),
        cmocka_unit_test(each_fault_is_named_with_its_place),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(damaged_texts_are_judged_as_jansson_does),
        cmocka_unit_test(written_strings_are_read_as_they_were),
        cmocka_unit_test(members_come_one_by_one_in_their_order),
        cmocka_unit_test(a_member_that_is_wrong_or_too_long_ends_the_reading),
        cmocka_unit_test(memory_may_run_out_at_any_member),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
