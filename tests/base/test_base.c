/* base/: errors, buffers, arenas, hash map, UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/hash_map.h"
#include "base/memory.h"
#include "base/utf8.h"

static void messages_grow_from_the_inside_out_and_carry_no_control_characters(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_set(&err, SAMPAN_EFORMAT, "tensor '%s' is missing", "a\x1b[31m"), SAMPAN_EFORMAT);
    assert_int_equal(error_prefix(&err, "loading %s", "m.gguf"), SAMPAN_EFORMAT);
    assert_string_equal(err.message, "loading m.gguf: tensor 'a?[31m' is missing");
    char large[3000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    error_set(&err, SAMPAN_EIO, "%s", large);
    assert_string_equal(err.message + strlen(err.message) - 3, "...");
}

static void a_buffer_stops_at_its_limit_and_remembers_that_it_failed(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 10);
    assert_int_equal(buffer_append_string(&buffer, "12345678"), 0);
    assert_int_equal(buffer_append_string(&buffer, "abc"), SAMPAN_ELIMIT);
    assert_int_equal(buffer_append_string(&buffer, "d"), SAMPAN_ELIMIT);
    assert_string_equal(buffer.data, "12345678");
    buffer_free(&buffer);
}

static void an_arena_respects_its_limit(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000);
    assert_non_null(arena_alloc(&arena, 900));
    assert_null(arena_alloc(&arena, 200));
    assert_null(arena_alloc_array(&arena, SIZE_MAX / 2, 4));
    assert_string_equal(arena_printf(&arena, "%d", 42), "42");
    arena_free(&arena);
}

static void a_hash_map_finds_what_was_put_and_nothing_else(void **state)
{
    (void)state;
    struct hash_map map = {0};
    static char keys[5000][8];
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(keys[i], &i, 4);
        bool existed;
        assert_int_equal(hash_map_put(&map, keys[i], 4, i * 3, &existed), 0);
        assert_false(existed);
    }
    bool existed;
    assert_int_equal(hash_map_put(&map, keys[7], 4, 1, &existed), 0);
    assert_true(existed);
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t value = 0;
        assert_int_equal(hash_map_get(&map, &i, 4, &value), i < 5000);
        if (i < 5000)
            assert_int_equal(value, i * 3);
    }
    hash_map_free(&map);
}

static void siphash_gives_the_published_vector(void **state)
{
    (void)state; /* Appendix A of the SipHash paper: key 00..0f, message 00..0e */
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    unsigned char message[15];
    for (int i = 0; i < 15; i++)
        message[i] = (unsigned char)i;
    assert_true(hash_sip24(key, message, 15) == 0xa129ca6149be45e5u);
}

static void utf8_accepts_exactly_the_well_formed(void **state)
{
    (void)state;
    char bytes[4];
    uint32_t decoded;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        int n = utf8_encode(c, bytes);
        assert_int_equal(utf8_decode(bytes, (size_t)n, &decoded), n);
        assert_int_equal(decoded, c >= 0xD800 && c <= 0xDFFF ? UTF8_REPLACEMENT : c);
        if (n > 1)
            assert_int_equal(utf8_decode(bytes, (size_t)n - 1, &decoded), 0);
    }
    assert_int_equal(utf8_decode("\xC0\x80", 2, &decoded), -1);
    assert_int_equal(utf8_decode("\xE0\x80\x80", 3, &decoded), -1);
    assert_int_equal(utf8_decode("\xED\xA0\x80", 3, &decoded), -1);
    assert_int_equal(utf8_decode("\xF4\x90\x80\x80", 4, &decoded), -1);
    assert_int_equal(utf8_decode("\xE2\x82x", 3, &decoded), -2);
    assert_int_equal(utf8_decode("\xF0\x9F\x98x", 4, &decoded), -3);
}

static void the_chosen_allocation_fails_once(void **state)
{
    (void)state;
    mem_fail_after(1);
    void *first = mem_alloc(1);
    void *second = mem_alloc(1);
    void *third = mem_alloc(1);
    mem_fail_after(-1);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    mem_free(first);
    mem_free(third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_grow_from_the_inside_out_and_carry_no_control_characters),
        cmocka_unit_test(a_buffer_stops_at_its_limit_and_remembers_that_it_failed),
        cmocka_unit_test(an_arena_respects_its_limit),
        cmocka_unit_test(a_hash_map_finds_what_was_put_and_nothing_else),
        cmocka_unit_test(siphash_gives_the_published_vector),
        cmocka_unit_test(utf8_accepts_exactly_the_well_formed),
        cmocka_unit_test(the_chosen_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
