/* Text from tokenizer.json: a tiny tokenizer with all its variants, always; published ones (20,000 strings each, as data and as template text) where they lie
 * beside the source tree. Goldens: make_tokenizer_json_goldens.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/memory.h"
#include "file/tokenizer_json.h"
#include "support_strings.h"
#include "support_tokenizer_json.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

#define TINY TEST_DATA "/tokenizer_json"
#define PUBLISHED SOURCE_ROOT "/../shared/tokenizers"
enum { BLOCK = 10, N_VARIANT = 400, N_PUBLISHED = 20000 };

static struct pools *pools;

static int open_pools(void **state)
{
    (void)state;
    return !(pools = pools_open(TEST_DATA "/pools.txt"));
}

static int close_pools(void **state)
{
    (void)state;
    pools_close(pools);
    return 0;
}

static void compare_published(const char *name)
{
    char folder[1000], path[1000], *hashes;
    size_t size;
    snprintf(folder, sizeof folder, "%s/%s", PUBLISHED, name);
    snprintf(path, sizeof path, "%s/%s.bin", TINY, name);
    if (!file_is_folder(folder)) {
        print_message("skipped: %s is absent\n", folder);
        skip();
    }
    assert_int_equal(file_read_whole(path, 1 << 20, &hashes, &size, NULL), 0);
    assert_int_equal(size, 2 * 8 * N_PUBLISHED / BLOCK);
    struct opened opened;
    open_folder(folder, &opened);
    uint64_t *found = calloc(N_PUBLISHED / BLOCK, sizeof *found);
    for (int mode = 0; mode < 2; mode++) {
        size_t different = 0;
        hash_strings(pools, &opened, mode, N_PUBLISHED, BLOCK, found);
        for (size_t i = 0; i < N_PUBLISHED / BLOCK; i++) {
            uint64_t expected;
            memcpy(&expected, hashes + 8 * ((size_t)mode * (N_PUBLISHED / BLOCK) + i), 8);
            if (found[i] != expected && different++ < 10)
                print_error("%s, mode %d: one of the strings %zu to %zu differs\n", name, mode, i * BLOCK, i * BLOCK + BLOCK - 1);
        }
        assert_int_equal(different, 0);
    }
    free(found);
    mem_free(hashes);
    close_folder(&opened);
}

static void qwen3_gives_the_ids_of_the_tokenizers_library(void **state)
{
    (void)state;
    compare_published("qwen3");
}

static void deepseek_v3_gives_the_ids_of_the_tokenizers_library(void **state)
{
    (void)state;
    compare_published("deepseek_v3");
}

static void every_variant_of_the_stages_gives_the_ids_of_the_tokenizers_library(void **state)
{
    (void)state;
    json_t *variants = json_load_file(TINY "/variants.json", 0, NULL);
    size_t failed = 0;
    assert_true(json_array_size(variants) > 20);
    for (size_t i = 0; i < json_array_size(variants); i++) {
        const json_t *variant = json_array_get(variants, i);
        char folder[] = "/tmp/sampan_test_XXXXXX";
        write_variant(TINY "/tokenizer.json", json_object_get(variant, "replace"), folder);
        struct opened opened;
        open_folder(folder, &opened);
        uint64_t found[N_VARIANT / BLOCK];
        hash_strings(pools, &opened, false, N_VARIANT, BLOCK, found);
        size_t data = count_differences(found, N_VARIANT / BLOCK, json_object_get(variant, "data"));
        hash_strings(pools, &opened, true, N_VARIANT, BLOCK, found);
        size_t template = count_differences(found, N_VARIANT / BLOCK, json_object_get(variant, "template"));
        if (data || template)
            print_error("variant '%s': %zu blocks of data, %zu of template differ\n", json_string_value(json_object_get(variant, "name")), data, template);
        failed += data || template;
        close_folder(&opened);
        remove_variant(folder);
    }
    json_decref(variants);
    assert_int_equal(failed, 0);
}

static void plain_text_gets_what_the_post_processor_puts_around_it(void **state)
{
    (void)state;
    struct opened opened;
    struct token_list list = {0};
    open_folder(TINY, &opened);
    int32_t end = tokenizer_find_token(opened.tokenizer, "<|end|>", 7);
    assert_int_equal(tokenizer_encode_plain(opened.tokenizer, "<|end|>", 7, true, &list, NULL), 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.ids[0], end);
    assert_int_equal(list.ids[1], end);
    list.count = 0;
    assert_int_equal(tokenizer_encode_plain(opened.tokenizer, "<|end|>", 7, false, &list, NULL), 0); /* data never becomes a control token */
    assert_int_equal(list.ids[0], end);
    for (size_t i = 1; i < list.count; i++)
        assert_int_equal(tokenizer_token_kind(opened.tokenizer, list.ids[i]), TOKEN_NORMAL);
    assert_true(tokenizer_is_eog(opened.tokenizer, end));
    token_list_free(&list);
    close_folder(&opened);
}

static void what_is_encoded_comes_back(void **state)
{
    (void)state;
    struct opened opened;
    struct token_list list = {0};
    struct buffer text, back;
    open_folder(TINY, &opened);
    buffer_init(&text, 1 << 24);
    buffer_init(&back, 1 << 24);
    for (uint64_t i = 0; i < 1000; i++) {
        struct detokenizer detokenizer;
        pools_make_string(pools, i, &text);
        list.count = 0;
        buffer_clear(&back);
        assert_int_equal(tokenizer_encode(opened.tokenizer, text.data, text.length, NULL, 0, &list, NULL), 0);
        detokenizer_init(&detokenizer, opened.tokenizer, true, true);
        for (size_t k = 0; k < list.count; k++)
            detokenizer_push(&detokenizer, list.ids[k], &back);
        assert_int_equal(back.length, text.length);
        assert_true(!back.length || memcmp(back.data, text.data, back.length) == 0);
    }
    buffer_free(&text);
    buffer_free(&back);
    token_list_free(&list);
    close_folder(&opened);
}

static void patterns_that_pcre2_would_read_differently_are_refused_by_name(void **state)
{
    static const char *const patterns[][2] = {
        {"\\w+", "'\\w' at byte 0"},
        {"a\\h", "'\\h' at byte 1"},
        {"\\p{Han}", "'\\p{Han}'"},
        {"[a-z&&[aeiou]]", "intersections"},
        {"[[:alpha:]]", "sets in sets"},
        {"^a", "start of a line"},
        {"\\p{N}{1,3}+", "repeated"},
        {"a{,3}", "{0,n}"},
        {"(?m:a.b)", "of the groups"},
        {"(*LIMIT_MATCH=1)a", "'*'"},
        {"(a)\\1", "'\\1'"},
        {"[]a]", "empty set"},
        {"\\u4e00", "'\\u' at byte 0"},
        {"(", "missing"},
        {"[a", "missing"},
        {"\\", "at end"},
        {"(?<=a+)b", "lookbehind"},
        {"\\p{^L}", "general categories"},
        {"\\xE9", "\\x{...}"},
        {"\\p", "general categories"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const struct tokenizer_stage stages[] = {{.kind = STAGE_SPLIT, .pattern = {patterns[i][0], strlen(patterns[i][0])}}, {.kind = STAGE_BYTE_LEVEL}};
        const struct tokenizer_token token = {.text = {"a", 1}};
        const struct tokenizer_spec spec = {
            .n_tokens = 1, .tokens = &token, .n_stages = 2, .stages = stages, .bos_id = -1, .eos_id = -1, .eot_id = -1, .unknown_id = -1, .padding_id = -1};
        struct tokenizer *tokenizer;
        struct error err = {0};
        if (tokenizer_create(&spec, &tokenizer, &err) != SAMPAN_EUNSUPPORTED || !strstr(err.message, patterns[i][1]))
            fail_msg("pattern %s: %s", patterns[i][0], err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_of_the_stages_gives_the_ids_of_the_tokenizers_library),
        cmocka_unit_test(qwen3_gives_the_ids_of_the_tokenizers_library),
        cmocka_unit_test(deepseek_v3_gives_the_ids_of_the_tokenizers_library),
        cmocka_unit_test(plain_text_gets_what_the_post_processor_puts_around_it),
        cmocka_unit_test(what_is_encoded_comes_back),
        cmocka_unit_test(patterns_that_pcre2_would_read_differently_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, open_pools, close_pools);
}
