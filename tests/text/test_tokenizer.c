/* text/tokenizer: exact ids against the goldens of the `tokenizers` library, origins, hostile vocabularies, long words, memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "support_strings.h"
#include "support_vocabulary.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

static struct checkpoint *model;          /* NULL: absent */
static struct tokenizer *real;            /* of the model */
static struct tiny_vocabulary vocabulary; /* each test starts from a fresh one */

static int open_model(void **state)
{
    (void)state;
    model = open_default_model();
    struct error err = {0};
    if (model && tokenizer_create(&model->tokenizer, &real, &err)) {
        print_error("%s\n", err.message);
        return 1;
    }
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    tokenizer_free(real);
    checkpoint_close(model);
    return 0;
}

static int fresh_vocabulary(void **state)
{
    (void)state;
    tiny_vocabulary_init(&vocabulary);
    return 0;
}

static struct tokenizer *create(void)
{
    struct tokenizer *tokenizer;
    struct error err = {0};
    if (tokenizer_create(&vocabulary.spec, &tokenizer, &err))
        fail_msg("%s", err.message);
    return tokenizer;
}

static void assert_refused(int code, const char *part)
{
    struct tokenizer *tokenizer;
    struct error err = {0};
    assert_int_equal(tokenizer_create(&vocabulary.spec, &tokenizer, &err), code);
    assert_null(tokenizer);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not contain '%s'", err.message, part);
}

/* Compares the ids of generated strings first..first+count with the stored hashes. */
static void compare_with_hashes(const char *path, uint64_t first, enum text_origin origin)
{
    if (!real)
        skip();
    struct pools *pools = pools_open(TEST_DATA "/pools.txt");
    assert_non_null(pools);
    char *hashes;
    size_t size;
    assert_int_equal(file_read_whole(path, 1 << 24, &hashes, &size, NULL), 0);
    struct buffer text;
    buffer_init(&text, 1 << 24);
    struct token_list list = {0};
    size_t different = 0;
    for (uint64_t i = 0; i < size / 8; i++) {
        pools_make_string(pools, first + i, &text);
        const struct text_span span = {text.length, origin};
        list.count = 0;
        assert_int_equal(tokenizer_encode(real, text.data, text.length, &span, 1, &list, NULL), 0);
        uint64_t expected;
        memcpy(&expected, hashes + 8 * i, 8);
        if (fnv1a(FNV_START, list.ids, 4 * list.count) != expected && different++ < 10)
            print_error("string %llu differs: '%.200s'\n", (unsigned long long)(first + i), text.data);
    }
    print_message("%zu strings, %zu differ\n", size / 8, different);
    token_list_free(&list);
    buffer_free(&text);
    mem_free(hashes);
    pools_close(pools);
    assert_int_equal(different, 0);
}

static void data_gives_the_ids_of_the_tokenizers_library(void **state)
{
    (void)state;
    compare_with_hashes(TEST_DATA "/smollm2_data.bin", 0, ORIGIN_DATA);
}

static void template_text_gives_the_ids_of_the_tokenizers_library_with_control_tokens(void **state)
{
    (void)state;
    compare_with_hashes(TEST_DATA "/smollm2_template.bin", 30000, ORIGIN_TEMPLATE);
}

static void readable_goldens_agree(void **state)
{
    (void)state;
    if (!real)
        skip();
    char *data;
    size_t size, n_lines = 0;
    assert_int_equal(file_read_whole(TEST_DATA "/smollm2_readable.txt", 1 << 22, &data, &size, NULL), 0);
    for (char *line = data; *line; n_lines++) {
        char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
        *end = '\0';
        json_t *text = json_loadb(line, (size_t)(tab - line), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(text);
        struct token_list list = {0};
        assert_int_equal(tokenizer_encode(real, json_string_value(text), json_string_length(text), NULL, 0, &list, NULL), 0);
        char *at = tab + 1;
        for (size_t i = 0; i < list.count; i++)
            if (strtol(at, &at, 10) != list.ids[i])
                fail_msg("token %zu of %s", i, line);
        if (*at)
            fail_msg("more tokens expected for %s", line);
        token_list_free(&list);
        json_decref(text);
        line = end + 1;
    }
    assert_true(n_lines > 300);
    mem_free(data);
}

static void merges_are_taken_by_rank_and_leftmost_first(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    assert_string_equal(encode_as_text(tokenizer, "hello world", 11, NULL, 0), "263 265 118 112 104"); /* hello, " wo", r, l, d */
    assert_string_equal(encode_as_text(tokenizer, "aaaaaaa", 7, NULL, 0), "267 266 101");              /* aaaa, aa, a */
    assert_string_equal(encode_as_text(tokenizer, "", 0, NULL, 0), "");
    tokenizer_free(tokenizer);
}

static void added_tokens_are_found_only_inside_one_run_of_template_text(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    const char *text = "<|im|><think>";
    const struct text_span all[] = {{13, ORIGIN_TEMPLATE}}, split[] = {{3, ORIGIN_TEMPLATE}, {3, ORIGIN_TEMPLATE}, {7, ORIGIN_DATA}},
                           broken[] = {{3, ORIGIN_TEMPLATE}, {1, ORIGIN_DATA}, {9, ORIGIN_TEMPLATE}},
                           with_empty[] = {{3, ORIGIN_TEMPLATE}, {0, ORIGIN_DATA}, {10, ORIGIN_TEMPLATE}};
    const char *as_data = "64 128 109 113 128 66"; /* "<" "|" "i" "m" "|" ">" as bytes */
    char expected[200];
    assert_string_equal(encode_as_text(tokenizer, text, 13, all, 1), "1 2");
    assert_string_equal(encode_as_text(tokenizer, text, 13, with_empty, 3), "1 2");
    snprintf(expected, sizeof expected, "1 %s", "64 120 108 109 114 111 66");
    assert_string_equal(encode_as_text(tokenizer, text, 13, split, 3), expected);
    snprintf(expected, sizeof expected, "%s 2", as_data);
    assert_string_equal(encode_as_text(tokenizer, text, 13, broken, 3), expected);
    snprintf(expected, sizeof expected, "%s 64 120 108 109 114 111 66", as_data);
    assert_string_equal(encode_as_text(tokenizer, text, 13, NULL, 0), expected);
    tokenizer_free(tokenizer);
}

static void the_longest_of_the_leftmost_added_tokens_wins(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    const struct text_span span = {14, ORIGIN_TEMPLATE};
    assert_string_equal(encode_as_text(tokenizer, "<|im|>s<|im|>t", 14, &span, 1), "3 1 120");
    const struct text_span two[] = {{6, ORIGIN_TEMPLATE}, {1, ORIGIN_DATA}};
    assert_string_equal(encode_as_text(tokenizer, "<|im|>s", 7, two, 2), "1 119"); /* the s is data: the shorter token */
    tokenizer_free(tokenizer);
}

static void merges_go_across_a_change_of_origin(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    const struct text_span spans[] = {{2, ORIGIN_TEMPLATE}, {3, ORIGIN_DATA}};
    assert_string_equal(encode_as_text(tokenizer, "hello", 5, spans, 2), "263");
    tokenizer_free(tokenizer);
}

static void spans_that_do_not_cover_the_text_are_refused(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    struct token_list list = {0};
    struct error err;
    const struct text_span one = {4, ORIGIN_DATA}, huge[] = {{5, ORIGIN_DATA}, {SIZE_MAX, ORIGIN_TEMPLATE}};
    assert_int_equal(tokenizer_encode(tokenizer, "hello", 5, &one, 1, &list, &err), SAMPAN_EINVAL);
    assert_non_null(strstr(err.message, "cover only 4"));
    assert_int_equal(tokenizer_encode(tokenizer, "hello", 5, huge, 2, &list, &err), SAMPAN_EINVAL);
    assert_int_equal(tokenizer_encode(tokenizer, "", (size_t)LIMIT_TEXT + 1, NULL, 0, &list, &err), SAMPAN_ELIMIT);
    assert_int_equal(list.count, 0);
    tokenizer_free(tokenizer);
}

static void bos_and_eos_are_added_only_to_plain_text(void **state)
{
    (void)state;
    vocabulary.spec.add_bos = vocabulary.spec.add_eos = true;
    struct tokenizer *tokenizer = create();
    struct token_list list = {0};
    assert_int_equal(tokenizer_encode_plain(tokenizer, "<|im|>hello", 11, true, &list, NULL), 0);
    assert_int_equal(list.count, 4);
    assert_memory_equal(list.ids, ((int32_t[]){TINY_END, TINY_CONTROL, 263, TINY_END}), 16);
    list.count = 0;
    assert_int_equal(tokenizer_encode_plain(tokenizer, "<|im|>hello", 11, false, &list, NULL), 0);
    assert_int_equal(list.count, 9); /* six bytes and "hello" between BOS and EOS */
    assert_int_equal(list.ids[1], TINY_BYTE + '<');
    token_list_free(&list);
    assert_string_equal(encode_as_text(tokenizer, "hello", 5, NULL, 0), "263");
    tokenizer_free(tokenizer);
}

static void tokens_are_found_by_published_text_and_give_their_bytes(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    assert_int_equal(tokenizer_n_tokens(tokenizer), TINY_N_TOKENS);
    assert_int_equal(tokenizer_find_token(tokenizer, "<|im|>", 6), TINY_CONTROL);
    assert_int_equal(tokenizer_find_token(tokenizer, "\xC4\xA0wo", 4), 265);
    assert_int_equal(tokenizer_find_token(tokenizer, " wo", 3), -1);
    assert_int_equal(tokenizer_find_token(tokenizer, "", 0), -1);
    struct byte_string bytes = tokenizer_token_bytes(tokenizer, 265);
    assert_int_equal(bytes.length, 3);
    assert_memory_equal(bytes.data, " wo", 3);
    assert_int_equal(tokenizer_token_bytes(tokenizer, -1).length, 0);
    assert_int_equal(tokenizer_token_bytes(tokenizer, TINY_N_TOKENS).length, 0);
    assert_true(tokenizer_is_eog(tokenizer, TINY_END));
    assert_false(tokenizer_is_eog(tokenizer, TINY_CONTROL));
    assert_false(tokenizer_is_eog(tokenizer, INT32_MIN));
    assert_int_equal(tokenizer_token_kind(tokenizer, TINY_THINK), TOKEN_USER_DEFINED);
    tokenizer_free(tokenizer);
}

static void faulty_vocabularies_are_refused_by_name(void **state)
{
    vocabulary.spec.pretokenizer = "klingon";
    assert_refused(SAMPAN_EUNSUPPORTED, "'klingon'");
    assert_refused(SAMPAN_EUNSUPPORTED, "smollm");
    fresh_vocabulary(state);
    vocabulary.merges[2] = (struct tokenizer_merge){"xy z", 2, 1};
    assert_refused(SAMPAN_EFORMAT, "merge 2 is 'xy z', but its left token");
    vocabulary.merges[2] = (struct tokenizer_merge){"x y", 1, 1};
    assert_refused(SAMPAN_EFORMAT, "the token it makes");
    vocabulary.merges[2] = (struct tokenizer_merge){"x ", 1, 0};
    assert_refused(SAMPAN_EFORMAT, "tokens of 1 and 0 bytes");
    fresh_vocabulary(state);
    vocabulary.tokens[261].text = vocabulary.tokens[260].text;
    assert_refused(SAMPAN_EFORMAT, "tokens 260 and 261");
    fresh_vocabulary(state);
    vocabulary.tokens[263].kind = TOKEN_CONTROL; /* "hello" */
    assert_refused(SAMPAN_EFORMAT, "control token 263");
    fresh_vocabulary(state);
    vocabulary.spec.eos_id = TINY_N_TOKENS;
    assert_refused(SAMPAN_EFORMAT, "EOS token is 268");
    fresh_vocabulary(state);
    vocabulary.eog_ids[0] = -7;
    assert_refused(SAMPAN_EFORMAT, "end-of-generation");
    fresh_vocabulary(state);
    vocabulary.spec.add_bos = true;
    vocabulary.spec.bos_id = -1;
    assert_refused(SAMPAN_EFORMAT, "BOS");
    vocabulary.spec.n_tokens = 0;
    assert_refused(SAMPAN_EFORMAT, "0 tokens");
}

static void odd_but_published_vocabularies_are_accepted(void **state)
{
    (void)state;
    vocabulary.tokens[TINY_BYTE + 'z'].text = (struct byte_string){"", 0};                                     /* padding, and no token for z */
    vocabulary.tokens[TINY_BYTE + 0xFF].text = (struct byte_string){"\xE6\xBC\xA2 x", 5};                      /* outside the alphabet */
    vocabulary.tokens[TINY_BYTE + 'q'] = (struct tokenizer_token){.text = {"hello", 5}, .kind = TOKEN_UNUSED}; /* a second "hello", never used */
    struct tokenizer *tokenizer = create();
    assert_string_equal(encode_as_text(tokenizer, "xzx", 3, NULL, 0), "124 124");      /* z is left out */
    assert_string_equal(encode_as_text(tokenizer, "\xFF", 1, NULL, 0), "243 195 193"); /* an ill-formed byte becomes U+FFFD */
    assert_string_equal(encode_as_text(tokenizer, "\xE6\xBC\xA2 x", 5, NULL, 0), "234 192 166 36 124");
    assert_int_equal(tokenizer_token_bytes(tokenizer, TINY_BYTE + 0xFF).length, 5);
    tokenizer_free(tokenizer);
}

static void random_bytes_come_back_from_raw_decoding(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    struct buffer text, back;
    buffer_init(&text, 1 << 20);
    buffer_init(&back, 1 << 20);
    struct token_list list = {0};
    for (uint64_t seed = 0; seed < 20000; seed++) {
        uint64_t random = seed << 32;
        buffer_clear(&text);
        buffer_clear(&back);
        list.count = 0;
        for (uint64_t n = random_next(&random) % 64; n--;) {
            uint64_t draw = random_next(&random);
            buffer_append_char(&text, draw & 1 ? (char)(draw >> 8) : "ahelo wz\xE2\x82\xAC\xF0\x9F\x98\x80\xED"[(draw >> 8) % 16]);
        }
        const struct text_span span = {text.length, seed % 2 ? ORIGIN_TEMPLATE : ORIGIN_DATA};
        assert_int_equal(tokenizer_encode(tokenizer, text.data, text.length, &span, 1, &list, NULL), 0);
        struct detokenizer detokenizer;
        detokenizer_init(&detokenizer, tokenizer, true, true);
        for (size_t i = 0; i < list.count; i++)
            assert_int_equal(detokenizer_push(&detokenizer, list.ids[i], &back), 0);
        assert_int_equal(back.length, text.length);
        if (text.length)
            assert_memory_equal(back.data, text.data, text.length);
    }
    token_list_free(&list);
    buffer_free(&text);
    buffer_free(&back);
    tokenizer_free(tokenizer);
}

/* A million characters in one word: with a quadratic step anywhere these would take hours. The bound is generous for sanitizers. */
static void words_of_a_million_characters_take_no_more_than_moments(void **state)
{
    (void)state;
    if (!real)
        skip();
    static const char *const units[] = {"a",        " ",   "\n",   "7",   ".", "ab",           " \t",       "\xE4\xBD\xA0",
                                        "\xCC\x81", "the", "\xFF", " \n", "'", "<|im_start|>", "<|im_start"};
    const size_t size = 1000000;
    char *text = mem_alloc(size + 1);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]), length = size / unit * unit;
        for (size_t at = 0; at < length; at += unit)
            memcpy(text + at, units[i], unit);
        text[length] = 'x'; /* after spaces: the look-ahead fails and backtracks once */
        struct token_list list = {0};
        const struct text_span span = {length + 1, ORIGIN_TEMPLATE};
        uint64_t start = clock_monotonic_ns();
        assert_int_equal(tokenizer_encode(real, text, length + 1, &span, 1, &list, NULL), 0);
        uint64_t milliseconds = (clock_monotonic_ns() - start) / 1000000;
        if (milliseconds > 20000)
            fail_msg("unit '%s' took %llu ms", units[i], (unsigned long long)milliseconds);
        token_list_free(&list);
    }
    mem_free(text);
}

static void an_overlong_added_token_does_not_make_the_search_quadratic(void **state)
{
    (void)state;
    const size_t size = 60000, length = 4000000;
    char *a = mem_alloc(length);
    memset(a, 'a', length);
    char *token = mem_strndup(a, size);
    token[size - 1] = 'b'; /* aaa...ab nearly matches everywhere */
    vocabulary.tokens[TINY_CONTROL].text = (struct byte_string){token, size};
    struct tokenizer *tokenizer = create();
    struct token_list list = {0};
    const struct text_span span = {length, ORIGIN_TEMPLATE};
    uint64_t start = clock_monotonic_ns();
    assert_int_equal(tokenizer_encode(tokenizer, a, length, &span, 1, &list, NULL), 0);
    assert_true(clock_monotonic_ns() - start < 60000000000u);
    assert_int_equal(list.count, length / 4);
    token_list_free(&list);
    tokenizer_free(tokenizer);
    mem_free(token);
    mem_free(a);
}

static void each_allocation_may_fail_while_creating_and_encoding(void **state)
{
    (void)state;
    vocabulary.spec.pretokenizer = "smollm";
    static const char text[] =
        "<|im|>hello world 12\xFF \xF0\x90\x97\x80 and \xF0\x9F\x98\x80 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const struct text_span span = {sizeof text - 1, ORIGIN_TEMPLATE};
    bool created = false;
    for (int64_t n = 0; !created; n++) {
        struct tokenizer *tokenizer;
        struct error err = {0};
        mem_fail_after(n);
        int status = tokenizer_create(&vocabulary.spec, &tokenizer, &err);
        created = !status;
        if (status) {
            assert_int_equal(status, SAMPAN_ENOMEM);
            assert_int_equal(err.code, SAMPAN_ENOMEM);
        }
        mem_fail_after(-1);
        tokenizer_free(tokenizer);
    }
    struct tokenizer *tokenizer = create();
    bool encoded = false;
    for (int64_t n = 0; !encoded; n++) {
        struct token_list list = {0};
        struct error err = {0};
        mem_fail_after(n);
        int status = tokenizer_encode(tokenizer, text, sizeof text - 1, &span, 1, &list, &err);
        mem_fail_after(-1);
        encoded = !status;
        if (status) {
            assert_int_equal(status, SAMPAN_ENOMEM);
            assert_int_equal(err.code, SAMPAN_ENOMEM);
            assert_int_equal(list.count, 0);
        }
        token_list_free(&list);
    }
    tokenizer_free(tokenizer);
}

static void *encode_often(void *tokenizer)
{
    for (int i = 0; i < 2000; i++) {
        struct token_list list = {0};
        const struct text_span span = {18, ORIGIN_TEMPLATE};
        if (tokenizer_encode(tokenizer, "<|im|>hello world!", 18, &span, 1, &list, NULL) || list.count != 7 || list.ids[1] != 263)
            return tokenizer;
        token_list_free(&list);
    }
    return NULL;
}

static void one_tokenizer_serves_many_threads(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = create();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, tokenizer), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(data_gives_the_ids_of_the_tokenizers_library, fresh_vocabulary),
        cmocka_unit_test_setup(template_text_gives_the_ids_of_the_tokenizers_library_with_control_tokens, fresh_vocabulary),
        cmocka_unit_test_setup(readable_goldens_agree, fresh_vocabulary),
        cmocka_unit_test_setup(merges_are_taken_by_rank_and_leftmost_first, fresh_vocabulary),
        cmocka_unit_test_setup(added_tokens_are_found_only_inside_one_run_of_template_text, fresh_vocabulary),
        cmocka_unit_test_setup(the_longest_of_the_leftmost_added_tokens_wins, fresh_vocabulary),
        cmocka_unit_test_setup(merges_go_across_a_change_of_origin, fresh_vocabulary),
        cmocka_unit_test_setup(spans_that_do_not_cover_the_text_are_refused, fresh_vocabulary),
        cmocka_unit_test_setup(bos_and_eos_are_added_only_to_plain_text, fresh_vocabulary),
        cmocka_unit_test_setup(tokens_are_found_by_published_text_and_give_their_bytes, fresh_vocabulary),
        cmocka_unit_test_setup(faulty_vocabularies_are_refused_by_name, fresh_vocabulary),
        cmocka_unit_test_setup(odd_but_published_vocabularies_are_accepted, fresh_vocabulary),
        cmocka_unit_test_setup(random_bytes_come_back_from_raw_decoding, fresh_vocabulary),
        cmocka_unit_test_setup(words_of_a_million_characters_take_no_more_than_moments, fresh_vocabulary),
        cmocka_unit_test_setup(an_overlong_added_token_does_not_make_the_search_quadratic, fresh_vocabulary),
        cmocka_unit_test_setup(one_tokenizer_serves_many_threads, fresh_vocabulary),
        cmocka_unit_test_setup(each_allocation_may_fail_while_creating_and_encoding, fresh_vocabulary),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
