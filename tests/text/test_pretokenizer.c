/* text/pretokenizer: every code point in every row against the goldens of the `tokenizers` library (make_tokenizer_goldens.py), ill-formed bytes, names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "support_strings.h"
#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/stand_ins.h"

static int add_length(void *context, const char *word, size_t length, bool ill_formed)
{
    (void)word;
    (void)ill_formed;
    int32_t number = (int32_t)length;
    uint64_t *hash = context;
    *hash = fnv1a(*hash, &number, sizeof number);
    return 0;
}

static void each_code_point_is_cut_as_the_tokenizers_library_cuts_it(void **state)
{
    static const char *const names[] = {"gpt-2",      "smollm", "llama-bpe", "qwen2",   "deepseek-v3",    "dbrx",   "qwen35", "minicpm5", "seed-coder",
                                        "bailingmoe", "tekken", "gpt-4o",    "kimi-k2", "deepseek-coder", "falcon", "bloom",  "viking"};
    (void)state;
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct pretokenizer *pretokenizer;
        assert_int_equal(pretokenizer_create(names[i], &pretokenizer, NULL), 0);
        struct pretokenizer_scratch scratch = {0};
        char path[512], *hashes;
        size_t size;
        snprintf(path, sizeof path, "%s/words_%s.bin", TEST_DATA, names[i]);
        assert_int_equal(file_read_whole(path, 1 << 20, &hashes, &size, NULL), 0);
        assert_true(size == 8 * 0x110000 / 1024 || size == 8 * 0x110000 / 8192);
        uint32_t block_size = 0x110000 * 8 / (uint32_t)size;
        for (uint32_t block = 0; block < 0x110000; block += block_size) {
            uint64_t expected, hash = FNV_START;
            memcpy(&expected, hashes + block / block_size * 8, 8);
            buffer_clear(&text);
            for (uint32_t character = block; character < block + block_size; character++) {
                if (character >= 0xD800 && character <= 0xDFFF)
                    continue;
                char c[5] = {0};
                int n = utf8_encode(character, c);
                static const char *const between[] = {"a", "b ", "1", "", "!", " ", "'", "\n"}; /* each but the last has the character behind it */
                for (int part = 0; part < 8; part++) {
                    buffer_append_string(&text, between[part]);
                    if (part < 7)
                        buffer_append(&text, c, (size_t)n);
                }
            }
            assert_int_equal(pretokenizer_split(pretokenizer, &scratch, text.data, text.length, true, add_length, &hash, NULL), 0);
            if (text.length && hash != expected)
                fail_msg("%s: a character of U+%04X..U+%04X is cut differently", names[i], (unsigned)block, (unsigned)(block + block_size - 1));
        }
        mem_free(hashes);
        pretokenizer_scratch_free(&scratch);
        pretokenizer_free(pretokenizer);
    }
    buffer_free(&text);
}

/* "[word][word]", ill-formed ones in < >. */
static int write_word(void *context, const char *word, size_t length, bool ill_formed)
{
    struct buffer *out = context;
    buffer_append_string(out, ill_formed ? "<" : "[");
    buffer_append(out, word, length);
    return buffer_append_string(out, ill_formed ? ">" : "]");
}

static void assert_words(const char *name, const char *text, const char *expected)
{
    struct pretokenizer *pretokenizer;
    struct pretokenizer_scratch scratch = {0};
    struct buffer out;
    buffer_init(&out, 1 << 16);
    assert_int_equal(pretokenizer_create(name, &pretokenizer, NULL), 0);
    assert_int_equal(pretokenizer_split(pretokenizer, &scratch, text, strlen(text), true, write_word, &out, NULL), 0);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
    pretokenizer_scratch_free(&scratch);
    pretokenizer_free(pretokenizer);
}

static void rows_differ_as_their_models_do(void **state)
{
    (void)state;
    assert_words("gpt-2", "Don't  pay 1234\n\n x", "[Don]['t][ ][ pay][ 1234][\n\n][ x]");
    assert_words("smollm", "Don't  pay 1234\n\n x", "[Don]['t][ ][ pay][ ][1][2][3][4][\n\n][ x]");
    assert_words("llama-bpe", "DON'T  pay 1234\n\n x", "[DON]['T][ ][ pay][ ][123][4][\n\n][ x]");
    assert_words("qwen2", "DON'T  pay 1234\n\n x", "[DON]['T][ ][ pay][ ][1][2][3][4][\n\n][ x]");
    assert_words("deepseek-v3", "x=foo(1234) \xE4\xBD\xA0\xE5\xA5\xBD!", "[x][=foo][(][123][4][)][ ][\xE4\xBD\xA0\xE5\xA5\xBD][!]");
    assert_words(NULL, "a b", "[a][ b]");
}

static void each_ill_formed_byte_is_a_word_of_its_own(void **state)
{
    (void)state;
    assert_words("gpt-2", "ab\xFF\xE2\x82  cd\xC3", "[ab]<\xFF><\xE2><\x82>[ ][ cd]<\xC3>");
}

static void stand_ins_have_the_length_of_what_they_stand_for(void **state)
{
    (void)state;
    for (uint32_t character = 0; character < 0x110000; character++) {
        for (int digits = 0; digits < 2; digits++) {
            char buffer[4];
            uint32_t shown = stand_in_find(character, digits);
            assert_int_equal(utf8_encode(shown, buffer), utf8_encode(character, buffer));
            assert_int_equal(stand_in_find(shown, digits), shown);
        }
    }
}

static void each_name_of_the_table_compiles(void **state)
{
    (void)state;
    struct pretokenizer *pretokenizer;
    struct error err = {0}, failure = {0};
    assert_int_equal(pretokenizer_create("no such", &pretokenizer, &err), SAMPAN_EUNSUPPORTED);
    char *names = strstr(err.message, "(known: ");
    assert_non_null(names);
    names += strlen("(known: ");
    *strchr(names, ')') = '\0';
    char *rest = names;
    for (char *name; (name = strsep(&rest, " "));) {
        if (pretokenizer_create(name, &pretokenizer, &failure))
            fail_msg("%s: %s", name, failure.message);
        pretokenizer_free(pretokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_code_point_is_cut_as_the_tokenizers_library_cuts_it),
        cmocka_unit_test(rows_differ_as_their_models_do),
        cmocka_unit_test(each_ill_formed_byte_is_a_word_of_its_own),
        cmocka_unit_test(stand_ins_have_the_length_of_what_they_stand_for),
        cmocka_unit_test(each_name_of_the_table_compiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
