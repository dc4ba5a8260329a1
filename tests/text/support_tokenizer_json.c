#include "support_tokenizer_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "base/buffer.h"

void open_folder(const char *folder, struct opened *opened)
{
    struct error err = {0};
    const char *problem;
    arena_init(&opened->arena, 1u << 30);
    if (tokenizer_json_read(folder, NULL, &opened->arena, &opened->spec, &problem, &err))
        fail_msg("%s", err.message);
    if (problem)
        fail_msg("%s", problem);
    if (tokenizer_create(&opened->spec, &opened->tokenizer, &err))
        fail_msg("%s", err.message);
}

void close_folder(struct opened *opened)
{
    tokenizer_free(opened->tokenizer);
    arena_free(&opened->arena);
}

/* String `i` of the template mode; see make_tokenizer_json_goldens.py. */
static void make_template_string(const struct pools *pools, const int32_t *added, size_t n, const struct tokenizer_spec *spec, uint64_t i, struct buffer *text)
{
    struct buffer part;
    buffer_init(&part, 1 << 24);
    pools_make_string(pools, i, text);
    const struct byte_string first = spec->tokens[added[i % n]].text, second = spec->tokens[added[i / n % n]].text;
    buffer_append(text, "  ", i % 3);
    buffer_append(text, first.data, first.length);
    buffer_append(text, "\n", i % 2);
    pools_make_string(pools, 50000 + i, &part);
    buffer_append(text, part.data, part.length);
    assert_int_equal(buffer_append(text, second.data, second.length), 0);
    buffer_free(&part);
}

/* Hashes of blocks of strings of one mode; *out has count / block places. */
void hash_strings(const struct pools *pools, const struct opened *opened, bool as_template, size_t count, size_t block, uint64_t *out)
{
    const struct tokenizer_spec *spec = &opened->spec;
    int32_t *added = calloc((size_t)spec->n_tokens, sizeof *added);
    size_t n_added = 0;
    for (int32_t id = 0; id < spec->n_tokens; id++)
        if (spec->tokens[id].kind == TOKEN_CONTROL || spec->tokens[id].kind == TOKEN_USER_DEFINED)
            added[n_added++] = id;
    struct token_list list = {0};
    struct buffer text;
    buffer_init(&text, 1 << 24);
    for (size_t i = 0; i < count; i++) {
        if (as_template)
            make_template_string(pools, added, n_added, spec, i, &text);
        else
            pools_make_string(pools, i, &text);
        const struct text_span span = {text.length, as_template ? ORIGIN_TEMPLATE : ORIGIN_DATA};
        struct error err = {0};
        list.count = 0;
        if (tokenizer_encode(opened->tokenizer, text.data, text.length, &span, 1, &list, &err))
            fail_msg("%s", err.message);
        out[i / block] = fnv1a(i % block ? out[i / block] : FNV_START, list.ids, 4 * list.count);
    }
    token_list_free(&list);
    buffer_free(&text);
    free(added);
}

void write_variant(const char *source, const json_t *replace, char *folder)
{
    char path[1000];
    json_t *root = json_load_file(source, 0, NULL), *part;
    const char *key;
    assert_non_null(root);
    json_object_foreach((json_t *)replace, key, part)
    {
        if (strcmp(key, "model") == 0)
            assert_int_equal(json_object_update(json_object_get(root, key), part), 0);
        else
            assert_int_equal(json_object_set(root, key, part), 0);
    }
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_int_equal(json_dump_file(root, path, JSON_COMPACT), 0);
    json_decref(root);
}

void remove_variant(const char *folder)
{
    char path[1000];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    unlink(path);
    rmdir(folder);
}

size_t count_differences(const uint64_t *found, size_t n, const json_t *expected)
{
    size_t different = 0;
    assert_int_equal(json_array_size(expected), n);
    for (size_t i = 0; i < n; i++)
        different += strtoull(json_string_value(json_array_get(expected, i)), NULL, 16) != found[i];
    return different;
}
