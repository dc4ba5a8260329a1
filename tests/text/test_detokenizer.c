/* text/detokenizer: whole characters only, U+FFFD as Python's bytes.decode(errors="replace") puts it, the same text wherever tokens begin and end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "support_strings.h"
#include "support_vocabulary.h"
#include "text/detokenizer.h"

static struct tiny_vocabulary vocabulary;
static struct tokenizer *tiny;

static int create_tiny(void **state)
{
    (void)state;
    tiny_vocabulary_init(&vocabulary);
    return tokenizer_create(&vocabulary.spec, &tiny, NULL);
}

static int free_tiny(void **state)
{
    (void)state;
    tokenizer_free(tiny);
    return 0;
}

static void push_bytes(struct detokenizer *detokenizer, const char *bytes, size_t length, struct buffer *out)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(detokenizer_push(detokenizer, TINY_BYTE + (unsigned char)bytes[i], out), 0);
}

static void a_character_comes_out_with_its_last_byte(void **state)
{
    (void)state;
    struct detokenizer detokenizer;
    struct buffer out;
    buffer_init(&out, 1000);
    buffer_reserve(&out, 1);
    detokenizer_init(&detokenizer, tiny, false, false);
    push_bytes(&detokenizer, "\xF0\x9F\x98", 3, &out);
    assert_int_equal(out.length, 0);
    push_bytes(&detokenizer, "\x80", 1, &out);
    assert_string_equal(out.data, "\xF0\x9F\x98\x80");
    push_bytes(&detokenizer, "\xE2\x82", 2, &out);
    assert_int_equal(out.length, 4);
    assert_int_equal(detokenizer_push(&detokenizer, 263, &out), 0); /* "hello": the held bytes cannot become a character any more */
    assert_string_equal(out.data, "\xF0\x9F\x98\x80\xEF\xBF\xBDhello");
    push_bytes(&detokenizer, "\xE2", 1, &out);
    assert_int_equal(detokenizer_finish(&detokenizer, &out), 0);
    assert_string_equal(out.data, "\xF0\x9F\x98\x80\xEF\xBF\xBDhello\xEF\xBF\xBD");
    assert_int_equal(detokenizer_finish(&detokenizer, &out), 0);
    assert_int_equal(out.length, 15);
    buffer_free(&out);
}

static void control_tokens_are_skipped_unless_wanted_and_do_not_break_a_character(void **state)
{
    (void)state;
    for (int show = 0; show < 2; show++) {
        struct detokenizer detokenizer;
        struct buffer out;
        buffer_init(&out, 1000);
        detokenizer_init(&detokenizer, tiny, show, false);
        push_bytes(&detokenizer, "\xC3", 1, &out);
        detokenizer_push(&detokenizer, TINY_CONTROL, &out);
        push_bytes(&detokenizer, "\xA9", 1, &out);
        detokenizer_push(&detokenizer, TINY_THINK, &out);
        detokenizer_push(&detokenizer, -5, &out);
        detokenizer_push(&detokenizer, TINY_N_TOKENS, &out);
        detokenizer_finish(&detokenizer, &out);
        assert_string_equal(out.data, show ? "\xEF\xBF\xBD<|im|>\xEF\xBF\xBD<think>" : "\xC3\xA9<think>");
        buffer_free(&out);
    }
}

static void raw_mode_gives_bytes_at_once(void **state)
{
    (void)state;
    struct detokenizer detokenizer;
    struct buffer out;
    buffer_init(&out, 1000);
    detokenizer_init(&detokenizer, tiny, false, true);
    push_bytes(&detokenizer, "\xFF\xE2", 2, &out);
    assert_string_equal(out.data, "\xFF\xE2");
    detokenizer_finish(&detokenizer, &out);
    assert_int_equal(out.length, 2);
    buffer_free(&out);
}

static void replacement_is_that_of_python(void **state)
{
    static const unsigned char interesting[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                                0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    (void)state;
    char *hashes;
    size_t size;
    assert_int_equal(file_read_whole(TEST_DATA "/replace.bin", 1 << 20, &hashes, &size, NULL), 0);
    struct buffer out;
    buffer_init(&out, 1000);
    for (uint64_t i = 0; i < size / 8; i++) {
        struct detokenizer detokenizer;
        detokenizer_init(&detokenizer, tiny, false, false);
        buffer_clear(&out);
        uint64_t random = i << 32, expected;
        for (uint64_t n = random_next(&random) % 40; n--;) {
            push_bytes(&detokenizer, (const char *)&interesting[random_next(&random) % sizeof interesting], 1, &out);
            assert_true(utf8_is_valid(out.length ? out.data : "", out.length, NULL)); /* at every moment */
            assert_true(detokenizer.n_held <= 3);
        }
        detokenizer_finish(&detokenizer, &out);
        memcpy(&expected, hashes + 8 * i, 8);
        if (fnv1a(FNV_START, out.data, out.length) != expected)
            fail_msg("case %llu", (unsigned long long)i);
    }
    buffer_free(&out);
    mem_free(hashes);
}

/* Random ids of the default model; the oracle joins all bytes and decodes them at once, so this also shows that token boundaries do not matter. */
static void decoding_agrees_with_the_tokenizers_library(void **state)
{
    (void)state;
    struct checkpoint *model = open_default_model();
    if (!model)
        skip();
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_create(&model->tokenizer, &tokenizer, NULL), 0);
    char *hashes;
    size_t size;
    assert_int_equal(file_read_whole(TEST_DATA "/smollm2_decode.bin", 1 << 20, &hashes, &size, NULL), 0);
    struct buffer out;
    buffer_init(&out, 1 << 16);
    for (uint64_t i = 0; i < size / 8; i++) {
        struct detokenizer detokenizer;
        detokenizer_init(&detokenizer, tokenizer, i % 2, false);
        buffer_clear(&out);
        uint64_t random = i << 32, expected;
        for (uint64_t n = random_next(&random) % 30; n--;) {
            bool low = random_next(&random) % 8 == 0;
            detokenizer_push(&detokenizer, (int32_t)(random_next(&random) % (low ? 20 : (uint64_t)tokenizer_n_tokens(tokenizer))), &out);
        }
        detokenizer_finish(&detokenizer, &out);
        memcpy(&expected, hashes + 8 * i, 8);
        if (fnv1a(FNV_START, out.data, out.length) != expected)
            fail_msg("case %llu: '%s'", (unsigned long long)i, out.data);
    }
    buffer_free(&out);
    mem_free(hashes);
    tokenizer_free(tokenizer);
    checkpoint_close(model);
}

static void a_full_buffer_is_reported(void **state)
{
    (void)state;
    struct detokenizer detokenizer;
    struct buffer out;
    buffer_init(&out, 3);
    detokenizer_init(&detokenizer, tiny, false, false);
    assert_int_equal(detokenizer_push(&detokenizer, 263, &out), SAMPAN_ELIMIT);
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_comes_out_with_its_last_byte),
        cmocka_unit_test(control_tokens_are_skipped_unless_wanted_and_do_not_break_a_character),
        cmocka_unit_test(raw_mode_gives_bytes_at_once),
        cmocka_unit_test(replacement_is_that_of_python),
        cmocka_unit_test(decoding_agrees_with_the_tokenizers_library),
        cmocka_unit_test(a_full_buffer_is_reported),
    };
    return cmocka_run_group_tests(tests, create_tiny, free_tiny);
}
