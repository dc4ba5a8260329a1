/* Vocabulary, merges and added tokens. The file is parsed whole (jansson, whose hash tables are seeded at random), copied into the arena and let go. */
#include "file/tokenizer_json.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "file/tokenizer_json_parts.h"

/* ---- helpers for all parts ---- */

static int parse_object(const char *data, size_t length, json_t **root, struct error *err)
{
    int code = json_parse(data, length, JSON_PARSE_NUL, root, err);
    if (code == SAMPAN_EFORMAT)
        error_prefix(err, "the file is damaged or no JSON, fetch it again");
    return code;
}

int json_file_read(const char *path, size_t limit, json_t **root, struct error *err)
{
    char *data;
    size_t length;
    *root = NULL;
    int code = file_read_whole(path, limit, &data, &length, err);
    if (code)
        return code;
    code = parse_object(data, length, root, err);
    mem_free(data);
    if (code)
        error_prefix(err, "reading '%s'", path);
    return code;
}

const char *json_type_of(const json_t *object)
{
    return json_string_value(json_object_get(object, "type"));
}

int json_read_flag(const json_t *object, const char *key, bool fallback, bool *value, struct error *err)
{
    const json_t *found = json_object_get(object, key);
    *value = found && !json_is_null(found) ? json_is_true(found) : fallback;
    if (found && !json_is_null(found) && !json_is_boolean(found))
        return error_set(err, SAMPAN_EFORMAT, "'%s' is neither true nor false", key);
    return 0;
}

int32_t tokenizer_spec_find(const struct tokenizer_spec *spec, const char *text, size_t length)
{
    for (int32_t i = 0; i < spec->n_tokens && length; i++)
        if (spec->tokens[i].text.length == length && memcmp(spec->tokens[i].text.data, text, length) == 0)
            return i;
    return -1;
}

/* ---- vocabulary ---- */

/* Ids may have gaps, but not so many that a small file asks for much memory. */
enum { LARGEST_GAP = 65536 };

static int check_id(const json_t *id, const char *text, size_t n_entries, struct error *err)
{
    json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
    if (value < 0)
        return error_set(err, SAMPAN_EFORMAT, "the id of the token '%.100s' is not a number from 0 on", text);
    if (value >= LIMIT_VOCABULARY || (size_t)value >= 2 * n_entries + LARGEST_GAP)
        return error_set(err, SAMPAN_ELIMIT, "the token '%.100s' has the id %" PRId64 ", too large for a vocabulary of %zu tokens (at most %d)", text,
                         (int64_t)value, n_entries, LIMIT_VOCABULARY);
    return 0;
}

/* The number of tokens: the largest id of both lists and one more. */
static int count_tokens(json_t *vocabulary, const json_t *added, int *n_tokens, struct error *err)
{
    size_t n_entries = json_object_size(vocabulary) + json_array_size(added);
    json_int_t largest = -1;
    const char *text;
    json_t *id;
    json_object_foreach(vocabulary, text, id)
    {
        int code = check_id(id, text, n_entries, err);
        if (code)
            return code;
        largest = json_integer_value(id) > largest ? json_integer_value(id) : largest;
    }
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *token = json_array_get(added, i), *content = json_object_get(token, "content");
        if (!json_is_string(content) || !json_string_length(content))
            return error_set(err, SAMPAN_EFORMAT, "'added_tokens' entry %zu has no text ('content')", i);
        int code = check_id(json_object_get(token, "id"), json_string_value(content), n_entries, err);
        if (code)
            return code;
        json_int_t value = json_integer_value(json_object_get(token, "id"));
        largest = value > largest ? value : largest;
    }
    *n_tokens = (int)(largest + 1);
    return *n_tokens ? 0 : error_set(err, SAMPAN_EFORMAT, "the vocabulary is empty");
}

static int put_token(struct tokenizer_token *tokens, json_int_t id, const char *text, size_t length, enum token_kind kind, struct arena *arena,
                     struct error *err)
{
    struct tokenizer_token *token = &tokens[id];
    if (length > LIMIT_TOKEN_BYTES)
        return error_set(err, SAMPAN_ELIMIT, "token %d has %zu bytes, expected at most %d", (int)id, length, LIMIT_TOKEN_BYTES);
    if (token->text.data && (token->text.length != length || memcmp(token->text.data, text, length) != 0))
        return error_set(err, SAMPAN_EFORMAT, "the id %d is given to two tokens, '%.100s' and '%.100s'", (int)id, token->text.data, text);
    if (!token->text.data)
        token->text = (struct byte_string){arena_strndup(arena, text, length), length};
    token->kind = kind;
    return token->text.data ? 0 : error_no_memory(err, "reading the vocabulary");
}

static int put_added_token(const json_t *token, struct tokenizer_token *tokens, unsigned char *flags, struct arena *arena, struct error *err)
{
    const json_t *content = json_object_get(token, "content");
    json_int_t id = json_integer_value(json_object_get(token, "id"));
    bool special, before, behind, normalized, single_word;
    int code = json_read_flag(token, "special", false, &special, err);
    if (!code)
        code = json_read_flag(token, "lstrip", false, &before, err);
    if (!code)
        code = json_read_flag(token, "rstrip", false, &behind, err);
    if (!code)
        code = json_read_flag(token, "normalized", !special, &normalized, err);
    if (!code)
        code = json_read_flag(token, "single_word", false, &single_word, err);
    if (!code && single_word)
        code = error_set(err, SAMPAN_EUNSUPPORTED, "the flag 'single_word' is not supported yet");
    if (code)
        return error_prefix(err, "added token '%.100s'", json_string_value(content)), code;
    flags[id] =
        (unsigned char)((before ? ADDED_TAKES_SPACE_BEFORE : 0) | (behind ? ADDED_TAKES_SPACE_BEHIND : 0) | (normalized ? ADDED_FOUND_AFTER_NORMALIZING : 0));
    return put_token(tokens, id, json_string_value(content), json_string_length(content), special ? TOKEN_CONTROL : TOKEN_USER_DEFINED, arena, err);
}

static int fill_tokens(const json_t *root, json_t *vocabulary, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *added = json_object_get(root, "added_tokens");
    if (!json_is_object(vocabulary))
        return error_set(err, SAMPAN_EFORMAT, "'model.vocab' is not an object");
    if (added && !json_is_array(added) && !json_is_null(added))
        return error_set(err, SAMPAN_EFORMAT, "'added_tokens' is not an array");
    int code = count_tokens(vocabulary, added, &spec->n_tokens, err);
    if (code)
        return code;
    struct tokenizer_token *tokens = arena_alloc_array(arena, (size_t)spec->n_tokens, sizeof *tokens);
    unsigned char *flags = arena_alloc_array(arena, (size_t)spec->n_tokens, sizeof *flags);
    if (!tokens || !flags)
        return error_no_memory(err, "reading the vocabulary");
    const char *text;
    json_t *id;
    json_object_foreach(vocabulary, text, id)
    {
        code = put_token(tokens, json_integer_value(id), text, strlen(text), TOKEN_NORMAL, arena, err);
        if (code)
            return code;
    }
    for (size_t i = 0; i < json_array_size(added) && !code; i++)
        code = put_added_token(json_array_get(added, i), tokens, flags, arena, err);
    for (int i = 0; i < spec->n_tokens; i++) {
        if (tokens[i].text.data)
            continue;
        tokens[i].text.data = ""; /* a gap */
        tokens[i].kind = TOKEN_UNUSED;
    }
    spec->tokens = tokens;
    spec->added_flags = flags;
    return code;
}

/* ---- merges ---- */

/* "a b", or ["a", "b"] as newer files write it. */
static int read_merge(const json_t *merge, size_t rank, struct byte_string *result, struct arena *arena, struct error *err)
{
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    char *text;
    size_t length;
    if (json_is_string(merge)) {
        length = json_string_length(merge);
        text = length <= 2 * LIMIT_TOKEN_BYTES + 1 ? arena_strndup(arena, json_string_value(merge), length) : NULL;
    } else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right)) {
        size_t n_left = json_string_length(left), n_right = json_string_length(right);
        length = n_left + 1 + n_right;
        text = length <= 2 * LIMIT_TOKEN_BYTES + 1 ? arena_alloc(arena, length + 1) : NULL;
        if (text) {
            memcpy(text, json_string_value(left), n_left);
            text[n_left] = ' ';
            memcpy(text + n_left + 1, json_string_value(right), n_right);
        }
    } else {
        return error_set(err, SAMPAN_EFORMAT, "merge %zu is neither \"left right\" nor [\"left\", \"right\"]", rank);
    }
    if (length > 2 * LIMIT_TOKEN_BYTES + 1)
        return error_set(err, SAMPAN_ELIMIT, "merge %zu has %zu bytes, expected at most %d", rank, length, 2 * LIMIT_TOKEN_BYTES + 1);
    *result = (struct byte_string){text, length};
    return text ? 0 : error_no_memory(err, "reading the merges");
}

static int fill_merges(const json_t *array, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    size_t n = json_array_size(array);
    if (!json_is_array(array))
        return error_set(err, SAMPAN_EFORMAT, "'model.merges' is not an array");
    if (n > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_ELIMIT, "the tokenizer has %zu merges, expected at most %d", n, LIMIT_VOCABULARY);
    struct byte_string *merges = arena_alloc_array(arena, n, sizeof *merges);
    if (n && !merges)
        return error_no_memory(err, "reading the merges");
    int code = 0;
    for (size_t i = 0; i < n && !code; i++)
        code = read_merge(json_array_get(array, i), i, &merges[i], arena, err);
    spec->merges = merges;
    spec->n_merges = (int)n;
    return code;
}

/* ---- the model ---- */

static bool is_absent_or_empty(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_string(value) && !json_string_length(value));
}

static int check_model(const json_t *model, struct error *err)
{
    const char *type = json_type_of(model);
    const json_t *dropout = json_object_get(model, "dropout");
    bool byte_fallback;
    if (!json_is_object(model))
        return error_set(err, SAMPAN_EFORMAT, "'model' is not an object");
    if (!type || strcmp(type, "BPE") != 0)
        return error_set(err, SAMPAN_EUNSUPPORTED, "its model is of the type '%.60s', which is not supported yet (byte-level BPE works)",
                         type ? type : "(none)");
    int code = json_read_flag(model, "byte_fallback", false, &byte_fallback, err);
    if (!code && byte_fallback)
        code = error_set(err, SAMPAN_EUNSUPPORTED, "its model is BPE with byte fallback (SentencePiece), which is not supported yet (byte-level BPE works)");
    if (!code && !(is_absent_or_empty(dropout) || json_number_value(dropout) == 0.0))
        code = error_set(err, SAMPAN_EUNSUPPORTED, "its model drops merges at random ('dropout'), which is for training");
    static const char *const unsupported[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2 && !code; i++)
        if (!is_absent_or_empty(json_object_get(model, unsupported[i])))
            code = error_set(err, SAMPAN_EUNSUPPORTED, "its model has a '%s', which is not supported yet", unsupported[i]);
    return code;
}

/* What has no token is left out; a vocabulary that wants an unknown token there instead must have all bytes. */
static int check_unknown(const json_t *model, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *unknown = json_object_get(model, "unk_token");
    int n_single = 0;
    if (is_absent_or_empty(unknown))
        return 0;
    for (int i = 0; i < spec->n_tokens; i++) {
        const struct tokenizer_token *token = &spec->tokens[i];
        unsigned char first = token->text.length ? (unsigned char)token->text.data[0] : 0;
        n_single += token->kind == TOKEN_NORMAL && (token->text.length == 1 || (token->text.length == 2 && first >= 0xC2 && first <= 0xC5));
    }
    if (n_single < 256)
        return error_set(err, SAMPAN_EUNSUPPORTED, "its model has an 'unk_token' and no tokens for some bytes, which is not supported yet");
    if (json_is_string(unknown))
        spec->unknown_id = tokenizer_spec_find(spec, json_string_value(unknown), json_string_length(unknown));
    return 0;
}

static int fill_spec(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *model = json_object_get(root, "model");
    int code = check_model(model, err);
    if (!code) /* before the vocabulary: what is not supported is said first */
        code = tokenizer_json_fill_stages(root, arena, spec, err);
    if (!code)
        code = json_read_flag(model, "ignore_merges", false, &spec->ignore_merges, err);
    if (!code)
        code = fill_tokens(root, json_object_get(model, "vocab"), arena, spec, err);
    if (!code)
        code = fill_merges(json_object_get(model, "merges"), arena, spec, err);
    return code ? code : check_unknown(model, spec, err);
}

static void begin_spec(struct tokenizer_spec *spec)
{
    *spec = (struct tokenizer_spec){.bos_id = -1, .eos_id = -1, .eot_id = -1, .unknown_id = -1, .padding_id = -1};
}

int tokenizer_json_parse(const char *data, size_t length, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    struct error local = {0};
    json_t *root;
    err = err ? err : &local;
    begin_spec(spec);
    int code = parse_object(data, length, &root, err);
    if (!code)
        code = fill_spec(root, arena, spec, err);
    json_decref(root);
    return code;
}

int tokenizer_json_read(const char *folder, const struct checkpoint *view, struct arena *arena, struct tokenizer_spec *spec, const char **problem,
                        struct error *err)
{
    struct error local = {0};
    err = err ? err : &local;
    json_t *root;
    *problem = NULL;
    begin_spec(spec);
    char *path = arena_printf(arena, "%s/tokenizer.json", folder);
    if (!path)
        return error_no_memory(err, "reading the tokenizer");
    if (!file_exists(path)) {
        *problem = "the folder has no tokenizer.json";
        return 0;
    }
    int code = json_file_read(path, LIMIT_TOKENIZER_JSON, &root, err);
    if (code)
        return code;
    code = fill_spec(root, arena, spec, err);
    json_decref(root);
    if (code)
        error_prefix(err, "reading '%s'", path);
    else
        code = tokenizer_json_fill_config(folder, view, arena, spec, err);
    if (code != SAMPAN_EUNSUPPORTED)
        return code;
    *problem = arena_printf(arena, "%s", err->message);
    return *problem ? 0 : error_no_memory(err, "reading the tokenizer");
}
