/* text/normalizer: NFC exactly as the `tokenizers` library makes it (make_tokenizer_json_goldens.py, nfc.bin), of whatever bytes, in time and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "support_strings.h"
#include "text/tokenizer/compose.h"

enum { BLOCK = 256, N_BLOCKS = 0x110000 / BLOCK, N_RANDOM = 2000 };

static char *hashes;

static int read_hashes(void **state)
{
    size_t size;
    (void)state;
    return file_read_whole(TEST_DATA "/tokenizer_json/nfc.bin", 1 << 20, &hashes, &size, NULL) || size != 8 * (N_BLOCKS + N_RANDOM);
}

static int free_hashes(void **state)
{
    (void)state;
    mem_free(hashes);
    return 0;
}

static void append(struct buffer *text, uint32_t character)
{
    char bytes[4];
    buffer_append(text, bytes, (size_t)utf8_encode(character, bytes));
}

static void assert_composes_to_hash(const struct buffer *text, size_t index)
{
    struct buffer out;
    uint64_t expected;
    buffer_init(&out, 1 << 20);
    assert_int_equal(compose_append(FORM_NFC, text->data, text->length, &out), 0);
    memcpy(&expected, hashes + 8 * index, 8);
    if (fnv1a(FNV_START, out.data, out.length) != expected)
        fail_msg("golden %zu differs", index);
    if (compose_is_normal(FORM_NFC, text->data, text->length))
        assert_true(out.length == text->length && memcmp(out.data, text->data, out.length) == 0); /* "nothing to do" must be true */
    buffer_free(&out);
}

static void every_code_point_composes_as_in_the_tokenizers_library(void **state)
{
    struct buffer text;
    (void)state;
    buffer_init(&text, 1 << 20);
    for (uint32_t block = 0; block < N_BLOCKS; block++) {
        buffer_clear(&text);
        if (block * BLOCK >= 0xD800 && block * BLOCK <= 0xDFFF)
            continue;
        for (uint32_t c = block * BLOCK; c < (block + 1) * BLOCK; c++) {
            const uint32_t shown[] = {'a', c, 0x345, c, 'e', 0x316, c, c, 0x301};
            for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
                append(&text, shown[i]);
        }
        assert_composes_to_hash(&text, block);
    }
    buffer_free(&text);
}

static void random_marks_and_jamo_compose_as_in_the_tokenizers_library(void **state)
{
    static const uint32_t pool[] = {0x41,   0x61,  0x65,  0x1EA1, 0x1D7,  0xF4,   0x300,  0x301,  0x302,   0x308,  0x30C,  0x316,  0x323,
                                    0x327,  0x334, 0x345, 0x34F,  0x1100, 0x1112, 0x1161, 0x1175, 0x11A7,  0x11A8, 0x11C2, 0xAC00, 0xAC01,
                                    0xD7A3, 0x915, 0x93C, 0x958,  0x9C7,  0x9BE,  0x212B, 0xFB1D, 0x1D15E, 0x1F82, 0x3B9,  0x313,  0x20};
    struct buffer text;
    (void)state;
    buffer_init(&text, 1 << 20);
    for (size_t i = 0; i < N_RANDOM; i++) {
        uint64_t random = (uint64_t)i << 32;
        buffer_clear(&text);
        uint64_t n = 1 + random_next(&random) % 30;
        for (uint64_t k = 0; k < n; k++)
            append(&text, pool[random_next(&random) % (sizeof pool / sizeof *pool)]);
        assert_composes_to_hash(&text, N_BLOCKS + i);
    }
    buffer_free(&text);
}

static void ill_formed_bytes_stay_and_compose_with_nothing(void **state)
{
    static const char text[] = "e\xCC\x81\xFF\xCC\x81\xCC"
                               "e\xCC\x81\xE2\x82";
    static const char expected[] = "\xC3\xA9\xFF\xCC\x81\xCC"
                                   "\xC3\xA9\xE2\x82";
    struct buffer out;
    (void)state;
    buffer_init(&out, 100);
    assert_false(compose_is_normal(FORM_NFC, text, sizeof text - 1));
    assert_int_equal(compose_append(FORM_NFC, text, sizeof text - 1, &out), 0);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
}

static void a_million_marks_are_no_attack_and_every_failing_allocation_is_reported(void **state)
{
    enum { N = 1000000 };
    struct buffer text, out;
    (void)state;
    buffer_init(&text, 4 * N);
    buffer_init(&out, 4 * N);
    append(&text, 'a');
    for (int i = 0; i < N; i++)
        append(&text, i % 2 ? 0x301 : 0x316);
    uint64_t start = clock_monotonic_ns();
    assert_int_equal(compose_append(FORM_NFC, text.data, text.length, &out), 0);
    assert_true(clock_monotonic_ns() - start < (uint64_t)20 * 1000 * 1000 * 1000);
    assert_int_equal(out.length, text.length - 1); /* one U+0301 joined the a */
    buffer_free(&out);
    int status = SAMPAN_ENOMEM;
    text.length = 1001; /* 500 of them are enough here */
    for (int64_t n = 0; status; n++) {
        buffer_init(&out, 4 * N);
        mem_fail_after(n);
        status = compose_append(FORM_NFC, text.data, text.length, &out);
        mem_fail_after(-1);
        assert_true(!status || status == SAMPAN_ENOMEM);
        buffer_free(&out);
    }
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_composes_as_in_the_tokenizers_library),
        cmocka_unit_test(random_marks_and_jamo_compose_as_in_the_tokenizers_library),
        cmocka_unit_test(ill_formed_bytes_stay_and_compose_with_nothing),
        cmocka_unit_test(a_million_marks_are_no_attack_and_every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, read_hashes, free_hashes);
}
