/* Stop strings: found wherever the text is cut, never leaked, and nothing else withheld. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/engine.h"
#include "engine/stop_strings.h"

static struct stop_strings make(const char *const *texts, size_t n)
{
    struct engine_stop stops[8];
    struct stop_strings strings;
    for (size_t i = 0; i < n; i++)
        stops[i] = (struct engine_stop){texts[i], strlen(texts[i])};
    assert_int_equal(stop_strings_init(&strings, stops, n, NULL), 0);
    return strings;
}

static void text_that_may_become_a_stop_is_held_back_and_given_when_it_does_not(void **state)
{
    (void)state;
    const char *const texts[] = {"END."};
    struct stop_strings s = make(texts, 1);
    assert_false(stop_strings_push(&s, "the E", 5));
    assert_int_equal(s.safe, 4);
    assert_false(stop_strings_push(&s, "N", 1));
    assert_int_equal(s.safe, 4);
    assert_false(stop_strings_push(&s, "EN", 2)); /* ENEN: only the last two may still become it */
    assert_int_equal(s.safe, 6);
    assert_false(stop_strings_push(&s, "X", 1));
    assert_int_equal(s.safe, 9);
    assert_true(stop_strings_push(&s, " END. more", 10));
    assert_int_equal(s.safe, 10);
    assert_int_equal(s.found, 0);
    stop_strings_free(&s);
}

static void the_earliest_end_wins_then_the_longest_then_the_first(void **state)
{
    (void)state;
    const char *const texts[] = {"c", "abcd", "bc", "bc"};
    struct stop_strings s = make(texts, 4);
    assert_true(stop_strings_push(&s, "xabcd", 5));
    assert_int_equal(s.found, 2);
    assert_int_equal(s.safe, 2);
    stop_strings_free(&s);
}

static void a_stop_with_borders_is_found_in_a_text_of_its_own_beginnings(void **state)
{
    (void)state;
    const char *const texts[] = {"aabaaab"};
    struct stop_strings s = make(texts, 1);
    const char *text = "aabaabaaaabaabaaab";
    size_t at = 0;
    while (!stop_strings_push(&s, text + at, 1))
        at++;
    assert_int_equal(at, strlen(text) - 1);
    assert_int_equal(s.safe, strlen(text) - 7);
    stop_strings_free(&s);
}

/* Against the plain definition, on random texts over two letters, cut at random. */
static void it_agrees_with_a_plain_search_whatever_the_cuts(void **state)
{
    (void)state;
    uint32_t random = 1;
#define NEXT() (random = random * 1664525u + 1013904223u, random >> 16)
    for (int round = 0; round < 3000; round++) {
        char texts[4][8], text[64];
        const char *pointers[4];
        size_t n = 1 + NEXT() % 4, length = NEXT() % 60;
        for (size_t i = 0; i < n; i++) {
            size_t l = 1 + NEXT() % 6;
            for (size_t j = 0; j < l; j++)
                texts[i][j] = (char)('a' + NEXT() % 2);
            texts[i][l] = 0;
            pointers[i] = texts[i];
        }
        for (size_t j = 0; j < length; j++)
            text[j] = (char)('a' + NEXT() % 3 % 2);
        size_t end = length, start = length;
        int32_t found = -1;
        for (size_t e = 1; e <= length && found < 0; e++)
            for (size_t i = 0; i < n; i++) {
                size_t l = strlen(texts[i]);
                if (l <= e && memcmp(text + e - l, texts[i], l) == 0 && (found < 0 || l > strlen(texts[found]))) {
                    found = (int32_t)i;
                    end = e;
                    start = e - l;
                }
            }
        struct stop_strings s = make(pointers, n);
        uint64_t safe = 0;
        for (size_t at = 0; at < length;) {
            size_t piece = 1 + NEXT() % 5;
            piece = piece > length - at ? length - at : piece;
            bool hit = stop_strings_push(&s, text + at, piece);
            at += piece;
            assert_true(hit == (found >= 0 && at >= end));
            assert_true(s.safe >= safe && s.safe <= start); /* never back, never into the stop */
            safe = s.safe;
        }
        assert_int_equal(s.found, found);
        if (found >= 0)
            assert_int_equal(s.safe, start);
        stop_strings_free(&s);
    }
}

static void empty_and_too_long_stops_are_refused_by_number(void **state)
{
    (void)state;
    struct stop_strings s;
    struct error err;
    static char large[5000];
    struct engine_stop stops[2] = {{"a", 1}, {"", 0}};
    assert_int_equal(stop_strings_init(&s, stops, 2, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "stop string 1 is empty"));
    stops[1] = (struct engine_stop){large, sizeof large};
    assert_int_equal(stop_strings_init(&s, stops, 2, &err), SAMPAN_EINVAL);
    assert_int_equal(stop_strings_init(&s, stops, 65, &err), SAMPAN_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_may_become_a_stop_is_held_back_and_given_when_it_does_not),
        cmocka_unit_test(the_earliest_end_wins_then_the_longest_then_the_first),
        cmocka_unit_test(a_stop_with_borders_is_found_in_a_text_of_its_own_beginnings),
        cmocka_unit_test(it_agrees_with_a_plain_search_whatever_the_cuts),
        cmocka_unit_test(empty_and_too_long_stops_are_refused_by_number),
    };
    return cmocka_run_group_tests_name("stop strings", tests, NULL, NULL);
}
