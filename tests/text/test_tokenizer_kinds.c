/* Tokenizers of every kind - SentencePiece's BPE, Unigram, WordPiece - with every normalizer, pre-tokenizer and decoder, against the `tokenizers` library
 * (goldens: make_tokenizer_kinds_goldens.py); the same out of GGUF files; what no user's text may do; time and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "tiny/gguf_writer.h"
#include "support_strings.h"
#include "support_tokenizer_json.h"
#include "text/detokenizer.h"

#define KINDS TEST_DATA "/tokenizer_kinds"
enum { N = 400, BLOCK = 40, N_BLOCKS = N / BLOCK, MILLION = 1000000 };

static const char *const bases[] = {"sentencepiece", "unigram", "wordpiece"};
enum { N_BASES = sizeof bases / sizeof *bases };

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

static void open_base(const char *base, struct opened *opened)
{
    char folder[1000];
    snprintf(folder, sizeof folder, KINDS "/%s", base);
    open_folder(folder, opened);
}

/* Random ids: tokenizer_kinds.py, Oracle.random_ids. */
static size_t random_ids(uint64_t number, int n_tokens, int32_t ids[25])
{
    uint64_t state = number << 32;
    size_t n = random_next(&state) % 25;
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(random_next(&state) % (uint64_t)n_tokens);
    return n;
}

static void decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n, bool show_control, struct buffer *out)
{
    struct detokenizer detokenizer;
    buffer_clear(out);
    buffer_append_string(out, "");
    detokenizer_init(&detokenizer, tokenizer, show_control, false);
    for (size_t i = 0; i < n; i++)
        detokenizer_push(&detokenizer, ids[i], out);
    assert_int_equal(detokenizer_finish(&detokenizer, out), 0);
}

static void hash_decoded(const struct opened *opened, uint64_t out[N_BLOCKS])
{
    struct buffer text;
    buffer_init(&text, 1 << 24);
    for (size_t i = 0; i < N; i++) {
        int32_t ids[25];
        size_t n = random_ids(i, opened->spec.n_tokens, ids);
        decode(opened->tokenizer, ids, n, i % 2 == 1, &text);
        bool ill_formed = text.length && memmem(text.data, text.length, "\xEF\xBF\xBD", 3);
        uint64_t hash = i % BLOCK ? out[i / BLOCK] : FNV_START;
        out[i / BLOCK] = ill_formed ? fnv1a(hash, "?", 1) : fnv1a(hash, text.data, text.length);
    }
    buffer_free(&text);
}

static void every_variant_gives_the_ids_and_texts_of_the_tokenizers_library(void **state)
{
    (void)state;
    json_t *variants = json_load_file(KINDS "/variants.json", 0, NULL);
    size_t failed = 0;
    assert_true(json_array_size(variants) > 60);
    for (size_t i = 0; i < json_array_size(variants); i++) {
        const json_t *variant = json_array_get(variants, i);
        char folder[] = "/tmp/sampan_test_XXXXXX", source[1000];
        struct opened opened;
        uint64_t found[N_BLOCKS];
        snprintf(source, sizeof source, KINDS "/%s/tokenizer.json", json_string_value(json_object_get(variant, "base")));
        write_variant(source, json_object_get(variant, "replace"), folder);
        open_folder(folder, &opened);
        hash_strings(pools, &opened, false, N, BLOCK, found);
        size_t data = count_differences(found, N_BLOCKS, json_object_get(variant, "data"));
        hash_strings(pools, &opened, true, N, BLOCK, found);
        size_t template = count_differences(found, N_BLOCKS, json_object_get(variant, "template"));
        hash_decoded(&opened, found);
        size_t decoded = count_differences(found, N_BLOCKS, json_object_get(variant, "decode"));
        if (data || template || decoded)
            print_error("%s, '%s': blocks that differ: %zu of data, %zu of template, %zu decoded\n", source,
                        json_string_value(json_object_get(variant, "name")), data, template, decoded);
        failed += data || template || decoded;
        close_folder(&opened);
        remove_variant(folder);
    }
    json_decref(variants);
    assert_int_equal(failed, 0);
}

/* ---- the same tokenizer out of a GGUF file ---- */

/* tokenizer.ggml.*, as llama.cpp's converters write it from this tokenizer. */
static struct checkpoint *open_as_gguf(const struct tokenizer_spec *spec, const char *model, bool add_space_prefix)
{
    static const int32_t types[] = {
        [TOKEN_NORMAL] = 1, [TOKEN_CONTROL] = 3, [TOKEN_USER_DEFINED] = 4, [TOKEN_UNUSED] = 5, [TOKEN_BYTE] = 6, [TOKEN_UNKNOWN] = 2};
    size_t n = (size_t)spec->n_tokens;
    struct gguf_writer writer;
    struct error err = {0};
    struct checkpoint *checkpoint;
    const char **texts = calloc(n, sizeof *texts);
    float *scores = calloc(n, sizeof *scores);
    int32_t *kinds = calloc(n, sizeof *kinds);
    bool is_bert = strcmp(model, "bert") == 0;
    for (size_t i = 0; i < n; i++) {
        const struct tokenizer_token *token = &spec->tokens[i];
        texts[i] = token->text.data;
        scores[i] = (float)token->score;
        kinds[i] = types[token->kind];
        if (is_bert && token->kind != TOKEN_CONTROL) {
            bool inside = strncmp(texts[i], "##", 2) == 0;
            char *written = calloc(token->text.length + 4, 1);
            sprintf(written, "%s%s", inside ? "" : "\xE2\x96\x81", texts[i] + (inside ? 2 : 0));
            texts[i] = written;
        }
    }
    /* Scores of a BPE are the ranks of the first merges that make its tokens. */
    for (int rank = spec->n_merges; rank-- > 0;) {
        const struct tokenizer_merge *merge = &spec->merges[rank];
        for (size_t i = 0; i < n; i++)
            if (spec->tokens[i].text.length == merge->left_length + merge->right_length && memcmp(texts[i], merge->text, merge->left_length) == 0 &&
                memcmp(texts[i] + merge->left_length, merge->text + merge->left_length + 1, merge->right_length) == 0)
                scores[i] = (float)-rank;
    }
    gguf_writer_init(&writer, 3);
    gguf_add_string(&writer, "general.architecture", "llama");
    gguf_add_string(&writer, "tokenizer.ggml.model", model);
    gguf_add_string_array(&writer, "tokenizer.ggml.tokens", texts, n);
    gguf_add_array(&writer, "tokenizer.ggml.scores", GGUF_FLOAT32, scores, n, 4 * n);
    gguf_add_array(&writer, "tokenizer.ggml.token_type", GGUF_INT32, kinds, n, 4 * n);
    gguf_add_integer(&writer, "tokenizer.ggml.unknown_token_id", GGUF_UINT32, spec->unknown_id);
    if (spec->n_before) {
        gguf_add_integer(&writer, "tokenizer.ggml.cls_token_id", GGUF_UINT32, spec->before[0]);
        gguf_add_integer(&writer, "tokenizer.ggml.seperator_token_id", GGUF_UINT32, spec->behind[0]);
    }
    gguf_add_bool(&writer, "tokenizer.ggml.add_space_prefix", add_space_prefix);
    for (int i = 0; i < spec->n_normalizers; i++)
        if (spec->normalizers[i].kind == NORMALIZER_CHARSMAP)
            gguf_add_array(&writer, "tokenizer.ggml.precompiled_charsmap", GGUF_UINT8, spec->normalizers[i].content.data, spec->normalizers[i].content.length,
                           spec->normalizers[i].content.length);
    if (gguf_writer_open(&writer, &checkpoint, &err))
        fail_msg("%s", err.message);
    gguf_writer_free(&writer);
    for (size_t i = 0; is_bert && i < n; i++)
        if (texts[i] != spec->tokens[i].text.data)
            free((char *)(uintptr_t)texts[i]);
    free(texts);
    free(scores);
    free(kinds);
    if (!checkpoint->has_tokenizer)
        fail_msg("%s", checkpoint->tokenizer_problem);
    return checkpoint;
}

static void assert_same_encoding(const struct tokenizer *one, const struct tokenizer *other, const struct buffer *text, bool special, size_t number)
{
    struct token_list first = {0}, second = {0};
    assert_int_equal(tokenizer_encode_plain(one, text->data, text->length, special, &first, NULL), 0);
    assert_int_equal(tokenizer_encode_plain(other, text->data, text->length, special, &second, NULL), 0);
    if (first.count != second.count || (first.count && memcmp(first.ids, second.ids, 4 * first.count) != 0))
        fail_msg("string %zu becomes %zu and %zu tokens", number, first.count, second.count);
    struct buffer back, again;
    buffer_init(&back, 1 << 24);
    buffer_init(&again, 1 << 24);
    decode(one, first.ids, first.count, special, &back);
    decode(other, first.ids, first.count, special, &again);
    assert_string_equal(back.data, again.data);
    buffer_free(&back);
    buffer_free(&again);
    token_list_free(&first);
    token_list_free(&second);
}

/* The tokenizer.json with these parts replaced, and the GGUF file made of it, agree. */
static void assert_gguf_agrees(const char *base, const char *replace, const char *model, bool add_space_prefix)
{
    char folder[] = "/tmp/sampan_test_XXXXXX", source[1000];
    struct opened opened;
    struct tokenizer *other;
    struct error err = {0};
    json_t *parts = json_loads(replace, 0, NULL);
    snprintf(source, sizeof source, KINDS "/%s/tokenizer.json", base);
    assert_non_null(parts);
    write_variant(source, parts, folder);
    json_decref(parts);
    open_folder(folder, &opened);
    struct checkpoint *checkpoint = open_as_gguf(&opened.spec, model, add_space_prefix);
    checkpoint->tokenizer.add_bos = checkpoint->tokenizer.add_eos = false; /* what is put around a text is compared elsewhere */
    checkpoint->tokenizer.single_precision = false;                        /* ties: SentencePiece adds floats, the `tokenizers` library doubles */
    if (tokenizer_create(&checkpoint->tokenizer, &other, &err))
        fail_msg("%s", err.message);
    struct buffer text;
    buffer_init(&text, 1 << 24);
    for (size_t i = 0; i < 1000; i++) {
        pools_make_string(pools, i % 400 ? i : i + 1, &text); /* long runs of one character have ties, which each oracle breaks in its own way */
        assert_same_encoding(opened.tokenizer, other, &text, false, i);
        buffer_append_string(&text, i % 2 ? "</s>" : "[SEP] <s>x");
        assert_same_encoding(opened.tokenizer, other, &text, true, i);
    }
    buffer_free(&text);
    tokenizer_free(other);
    checkpoint_close(checkpoint);
    close_folder(&opened);
    remove_variant(folder);
}

static void sentencepiece_out_of_gguf_agrees_with_tokenizer_json(void **state)
{
    (void)state;
    assert_gguf_agrees("sentencepiece",
                       "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":1,\"content\":\"<s>\",\"special\":true},"
                       "{\"id\":2,\"content\":\"</s>\",\"special\":true}]}",
                       "llama", true);
}

static void unigram_out_of_gguf_agrees_with_tokenizer_json(void **state)
{
    (void)state;
    assert_gguf_agrees("unigram",
                       "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":1,\"content\":\"<s>\",\"special\":true},"
                       "{\"id\":2,\"content\":\"</s>\",\"special\":true}],\"normalizer\":null,\"post_processor\":null,"
                       "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"split\":false,\"prepend_scheme\":\"never\"},"
                       "\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"split\":false,\"prepend_scheme\":\"never\"}}",
                       "t5", false);
}

static void wordpiece_out_of_gguf_agrees_with_tokenizer_json(void **state)
{
    (void)state;
    assert_gguf_agrees("wordpiece", "{}", "bert", false);
}

/* ---- what no text may do ---- */

static void data_never_becomes_a_control_token(void **state)
{
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        struct opened opened;
        struct token_list list = {0};
        struct buffer text;
        open_base(bases[b], &opened);
        buffer_init(&text, 1 << 24);
        for (int32_t id = 0; id < opened.spec.n_tokens; id++) {
            const struct byte_string written = opened.spec.tokens[id].text;
            if (opened.spec.tokens[id].kind == TOKEN_CONTROL) {
                buffer_append(&text, written.data, written.length);
                buffer_append_string(&text, " x");
                buffer_append(&text, written.data, written.length);
            }
        }
        assert_int_equal(tokenizer_encode(opened.tokenizer, text.data, text.length, NULL, 0, &list, NULL), 0);
        for (size_t i = 0; i < list.count; i++)
            assert_true(tokenizer_token_kind(opened.tokenizer, list.ids[i]) != TOKEN_CONTROL || list.ids[i] == opened.spec.unknown_id);
        buffer_free(&text);
        token_list_free(&list);
        close_folder(&opened);
    }
}

/* "<s>" half from the template and half from data, for tokens of both passes and all normalizers of the three. */
static void a_control_token_of_two_origins_is_not_found(void **state)
{
    static const char *const written[] = {"<l>", "<Norm>"};
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        struct opened opened;
        open_base(bases[b], &opened);
        for (int w = 0; w < 2; w++) {
            int32_t wanted = tokenizer_find_token(opened.tokenizer, written[w], strlen(written[w]));
            assert_true(wanted >= 0);
            for (size_t at = 0; at <= strlen(written[w]); at++) {
                struct token_list list = {0};
                char text[40];
                size_t n = (size_t)snprintf(text, sizeof text, "%s", written[w]), found = 0;
                const struct text_span spans[] = {{at, ORIGIN_TEMPLATE}, {n - at, ORIGIN_DATA}};
                assert_int_equal(tokenizer_encode(opened.tokenizer, text, n, spans, 2, &list, NULL), 0);
                for (size_t i = 0; i < list.count; i++)
                    found += list.ids[i] == wanted;
                assert_int_equal(found, at == n);
                token_list_free(&list);
            }
        }
        close_folder(&opened);
    }
}

/* ---- any bytes ---- */

static void random_bytes_come_back_where_the_model_has_byte_tokens(void **state)
{
    struct opened opened;
    struct token_list list = {0};
    struct buffer back;
    uint64_t random = 7;
    (void)state;
    open_base("sentencepiece", &opened);
    buffer_init(&back, 1 << 20);
    for (int i = 0; i < 3000; i++) {
        char text[64];
        size_t n = random_next(&random) % sizeof text;
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(random_next(&random) % 3 ? random_next(&random) : 'a' + random_next(&random) % 3);
        struct detokenizer detokenizer;
        list.count = 0;
        buffer_clear(&back);
        assert_int_equal(tokenizer_encode(opened.tokenizer, text, n, NULL, 0, &list, NULL), 0);
        detokenizer_init(&detokenizer, opened.tokenizer, true, true);
        for (size_t k = 0; k < list.count; k++)
            detokenizer_push(&detokenizer, list.ids[k], &back);
        assert_int_equal(back.length, n);
        assert_true(!n || memcmp(back.data, text, n) == 0);
    }
    token_list_free(&list);
    buffer_free(&back);
    close_folder(&opened);
}

static void a_stream_gives_the_same_text_wherever_it_is_looked_at(void **state)
{
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        struct opened opened;
        struct buffer whole, stream;
        open_base(bases[b], &opened);
        buffer_init(&whole, 1 << 20);
        buffer_init(&stream, 1 << 20);
        for (size_t i = 0; i < 500; i++) {
            int32_t ids[25];
            size_t n = random_ids(i + 1000, opened.spec.n_tokens, ids);
            struct detokenizer detokenizer;
            decode(opened.tokenizer, ids, n, true, &whole);
            detokenizer_init(&detokenizer, opened.tokenizer, true, false);
            buffer_clear(&stream);
            for (size_t k = 0; k < n; k++) {
                size_t before = stream.length;
                struct detokenizer copy = detokenizer; /* a value that may be copied */
                detokenizer_push(&copy, ids[k], &stream);
                assert_true(utf8_is_valid(stream.data ? stream.data + before : "", stream.length - before, NULL));
                detokenizer = copy;
            }
            detokenizer_finish(&detokenizer, &stream);
            assert_int_equal(stream.length, whole.length);
            assert_true(!whole.length || memcmp(stream.data, whole.data, whole.length) == 0);
        }
        buffer_free(&whole);
        buffer_free(&stream);
        close_folder(&opened);
    }
}

/* ---- time and memory ---- */

/* A million times one piece: quadratic work would take hours, and the test has minutes. */
static void a_word_of_a_million_characters_is_no_attack(void **state)
{
    static const char *const pieces[] = {"a", "e\xCC\x81", "\xE2\x96\x81", "<", "\xF0\x9F\x98\x80", "#", "\xCC\x81", " ", "\xFF", "ab"};
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        struct opened opened;
        open_base(bases[b], &opened);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            struct token_list list = {0};
            struct buffer text;
            buffer_init(&text, 1 << 24);
            for (int i = 0; i < MILLION; i++)
                buffer_append_string(&text, pieces[p]);
            const struct text_span span = {text.length, ORIGIN_TEMPLATE};
            assert_int_equal(tokenizer_encode(opened.tokenizer, text.data, text.length, &span, 1, &list, NULL), 0);
            token_list_free(&list);
            buffer_free(&text);
        }
        close_folder(&opened);
    }
}

static void every_failing_allocation_is_an_error_and_leaks_nothing(void **state)
{
    static const char text[] = "Hello  w\xC3\xB6rld\xFF <Norm> \xEF\xAC\x81 <x>";
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        struct opened opened;
        open_base(bases[b], &opened);
        int code = SAMPAN_ENOMEM;
        for (int64_t n = 0; code; n += n < 200 ? 1 : 1 + n / 50) { /* loading a token is the same for every token */
            struct tokenizer *tokenizer = NULL;
            struct token_list list = {0};
            const struct text_span span = {sizeof text - 1, ORIGIN_TEMPLATE};
            mem_fail_after(n);
            code = tokenizer_create(&opened.spec, &tokenizer, NULL);
            if (!code)
                code = tokenizer_encode(tokenizer, text, sizeof text - 1, &span, 1, &list, NULL);
            mem_fail_after(-1);
            assert_true(!code || code == SAMPAN_ENOMEM);
            token_list_free(&list);
            tokenizer_free(tokenizer);
        }
        struct token_list list = {0};
        code = SAMPAN_ENOMEM;
        for (int64_t n = 0; code; n++) {
            const struct text_span span = {sizeof text - 1, ORIGIN_TEMPLATE};
            mem_fail_after(n);
            code = tokenizer_encode(opened.tokenizer, text, sizeof text - 1, &span, 1, &list, NULL);
            mem_fail_after(-1);
            assert_true(!code || code == SAMPAN_ENOMEM);
            token_list_free(&list);
        }
        close_folder(&opened);
    }
}

/* The same for reading each kind from its file; the vocabularies are alike entry by entry, so the steps grow. */
static void every_failing_allocation_while_reading_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (int b = 0; b < N_BASES; b++) {
        char folder[1000];
        int code = SAMPAN_ENOMEM;
        snprintf(folder, sizeof folder, KINDS "/%s", bases[b]);
        for (int64_t n = 0; code; n += 1 + n / 4) {
            struct arena arena;
            struct tokenizer_spec spec;
            const char *problem;
            arena_init(&arena, 1u << 30);
            mem_fail_after(n);
            code = tokenizer_json_read(folder, NULL, &arena, &spec, &problem, NULL);
            mem_fail_after(-1);
            assert_true(!code || code == SAMPAN_ENOMEM);
            arena_free(&arena);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_gives_the_ids_and_texts_of_the_tokenizers_library),
        cmocka_unit_test(sentencepiece_out_of_gguf_agrees_with_tokenizer_json),
        cmocka_unit_test(unigram_out_of_gguf_agrees_with_tokenizer_json),
        cmocka_unit_test(wordpiece_out_of_gguf_agrees_with_tokenizer_json),
        cmocka_unit_test(data_never_becomes_a_control_token),
        cmocka_unit_test(a_control_token_of_two_origins_is_not_found),
        cmocka_unit_test(random_bytes_come_back_where_the_model_has_byte_tokens),
        cmocka_unit_test(a_stream_gives_the_same_text_wherever_it_is_looked_at),
        cmocka_unit_test(a_word_of_a_million_characters_is_no_attack),
        cmocka_unit_test(every_failing_allocation_is_an_error_and_leaks_nothing),
        cmocka_unit_test(every_failing_allocation_while_reading_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_pools, close_pools);
}
