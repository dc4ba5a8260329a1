/* The model of tokenizer.json: vocabulary, merges, added tokens. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "file/tokenizer_json_parts.h"

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

static int look_at_id(const json_t *id, const char *text, size_t n_entries, json_int_t *largest, struct error *err)
{
    int code = check_id(id, text, n_entries, err);
    if (!code && json_integer_value(id) > *largest)
        *largest = json_integer_value(id);
    return code;
}

/* The number of tokens: the largest id of both lists and one more. The vocabulary is an object of ids, or a list. */
static int count_tokens(json_t *vocabulary, const json_t *added, int *n_tokens, struct error *err)
{
    size_t n_listed = json_array_size(vocabulary), n_entries = json_object_size(vocabulary) + n_listed + json_array_size(added);
    json_int_t largest = (json_int_t)n_listed - 1;
    const char *text;
    json_t *id;
    if (n_listed > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_ELIMIT, "the vocabulary has %zu tokens, expected at most %d", n_listed, LIMIT_VOCABULARY);
    json_object_foreach(vocabulary, text, id)
    {
        int code = look_at_id(id, text, n_entries, &largest, err);
        if (code)
            return code;
    }
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *token = json_array_get(added, i), *content = json_object_get(token, "content");
        if (!json_is_string(content) || !json_string_length(content))
            return error_set(err, SAMPAN_EFORMAT, "'added_tokens' entry %zu has no text ('content')", i);
        int code = look_at_id(json_object_get(token, "id"), json_string_value(content), n_entries, &largest, err);
        if (code)
            return code;
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
    if (code)
        return error_prefix(err, "added token '%.100s'", json_string_value(content)), code;
    flags[id] =
        (unsigned char)((before ? ADDED_TAKES_SPACE_BEFORE : 0) | (behind ? ADDED_TAKES_SPACE_BEHIND : 0) | (normalized ? ADDED_FOUND_AFTER_NORMALIZING : 0) |
                        (single_word ? ADDED_IS_WHOLE_WORD : 0) | (tokens[id].text.data ? ADDED_IS_IN_MODEL : 0));
    return put_token(tokens, id, json_string_value(content), json_string_length(content), special ? TOKEN_CONTROL : TOKEN_USER_DEFINED, arena, err);
}

/* <0x0A> */
static bool is_byte(struct byte_string text)
{
    static const char digits[] = "0123456789ABCDEF";
    return text.length == 6 && memcmp(text.data, "<0x", 3) == 0 && text.data[5] == '>' && text.data[3] && strchr(digits, text.data[3]) && text.data[4] &&
           strchr(digits, text.data[4]);
}

/* {"text": id, ...} */
static int put_named(json_t *vocabulary, struct tokenizer_token *tokens, struct arena *arena, struct error *err)
{
    const char *text;
    json_t *id;
    json_object_foreach(vocabulary, text, id)
    {
        int code = put_token(tokens, json_integer_value(id), text, strlen(text), TOKEN_NORMAL, arena, err);
        if (code)
            return code;
    }
    return 0;
}

/* A score as the `tokenizers` library reads it: its JSON reader makes an integer of the digits and divides it by a power of ten, which may miss the
 * nearest double by one unit. Unigram models have ties (long runs of one character), and such a unit decides them. Scores are published with the fewest
 * digits that tell a double. */
static double read_score(double exact)
{
    char text[40], *end;
    int digits = 15;
    snprintf(text, sizeof text, "%.*e", digits - 1, exact);
    if (exact == 0 || strtod(text, NULL) == exact)
        return exact; /* the integer and the power are exact */
    while (digits < 17 && strtod(text, NULL) != exact)
        snprintf(text, sizeof text, "%.*e", digits++, exact);
    bool negative = text[0] == '-';
    uint64_t significand = 0;
    int exponent = 0;
    const char *at = text + negative;
    for (; *at && *at != 'e'; at++) {
        if (*at < '0' || *at > '9')
            continue; /* the point */
        significand = significand * 10 + (uint64_t)(*at - '0');
        exponent--;
    }
    exponent += 1 + (int)strtol(*at ? at + 1 : "0", &end, 10);
    snprintf(text, sizeof text, "1e%d", exponent < 0 ? -exponent : exponent);
    double power = strtod(text, NULL), value = exponent < 0 ? (double)significand / power : (double)significand * power;
    return negative ? -value : value;
}

/* [["text", score], ...] */
static int put_scored(const json_t *vocabulary, struct tokenizer_token *tokens, struct arena *arena, struct error *err)
{
    int code = 0;
    for (size_t i = 0; i < json_array_size(vocabulary) && !code; i++) {
        const json_t *entry = json_array_get(vocabulary, i), *text = json_array_get(entry, 0), *score = json_array_get(entry, 1);
        if (!json_is_string(text) || !json_is_number(score))
            return error_set(err, SAMPAN_EFORMAT, "'model.vocab' entry %zu is not [\"text\", score]", i);
        code = put_token(tokens, (json_int_t)i, json_string_value(text), json_string_length(text), TOKEN_NORMAL, arena, err);
        tokens[i].score = read_score(json_number_value(score));
    }
    return code;
}

static int fill_tokens(const json_t *root, json_t *vocabulary, bool scored, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *added = json_object_get(root, "added_tokens");
    if (scored ? !json_is_array(vocabulary) : !json_is_object(vocabulary))
        return error_set(err, SAMPAN_EFORMAT, "'model.vocab' is not an %s", scored ? "array" : "object");
    if (added && !json_is_array(added) && !json_is_null(added))
        return error_set(err, SAMPAN_EFORMAT, "'added_tokens' is not an array");
    int code = count_tokens(vocabulary, added, &spec->n_tokens, err);
    if (code)
        return code;
    struct tokenizer_token *tokens = arena_alloc_array(arena, (size_t)spec->n_tokens, sizeof *tokens);
    unsigned char *flags = arena_alloc_array(arena, (size_t)spec->n_tokens, sizeof *flags);
    if (!tokens || !flags)
        return error_no_memory(err, "reading the vocabulary");
    code = scored ? put_scored(vocabulary, tokens, arena, err) : put_named(vocabulary, tokens, arena, err);
    for (int i = 0; i < spec->n_tokens && !code && spec->byte_fallback; i++)
        if (tokens[i].text.data && is_byte(tokens[i].text))
            tokens[i].kind = TOKEN_BYTE;
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
static int read_merge(const json_t *merge, size_t rank, struct tokenizer_merge *result, struct arena *arena, struct error *err)
{
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    const char *left_text, *right_text;
    size_t n_left, n_right;
    if (json_is_string(merge)) {
        const char *space = strchr(json_string_value(merge), ' ');
        left_text = json_string_value(merge);
        right_text = space ? space + 1 : "";
        n_left = space ? (size_t)(space - left_text) : 0;
        n_right = space ? json_string_length(merge) - n_left - 1 : 0;
        if (memchr(right_text, ' ', n_right))
            n_right = 0;
    } else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right)) {
        left_text = json_string_value(left);
        right_text = json_string_value(right);
        n_left = json_string_length(left);
        n_right = json_string_length(right);
    } else {
        return error_set(err, SAMPAN_EFORMAT, "merge %zu is neither \"left right\" nor [\"left\", \"right\"]", rank);
    }
    if (!n_left || !n_right)
        return error_set(err, SAMPAN_EFORMAT, "merge %zu is '%.100s', expected two tokens%s", rank, left_text,
                         json_is_string(merge) ? " with one space between them" : "");
    if (n_left > LIMIT_TOKEN_BYTES || n_right > LIMIT_TOKEN_BYTES)
        return error_set(err, SAMPAN_ELIMIT, "merge %zu has %zu bytes, expected at most %d", rank, n_left + n_right, 2 * LIMIT_TOKEN_BYTES);
    char *text = arena_alloc(arena, n_left + n_right + 2);
    if (!text)
        return error_no_memory(err, "reading the merges");
    memcpy(text, left_text, n_left);
    text[n_left] = ' ';
    memcpy(text + n_left + 1, right_text, n_right);
    *result = (struct tokenizer_merge){text, (uint32_t)n_left, (uint32_t)n_right};
    return 0;
}

static int fill_merges(const json_t *array, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    size_t n = json_array_size(array);
    if (!json_is_array(array))
        return error_set(err, SAMPAN_EFORMAT, "'model.merges' is not an array");
    if (n > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_ELIMIT, "the tokenizer has %zu merges, expected at most %d", n, LIMIT_VOCABULARY);
    struct tokenizer_merge *merges = arena_alloc_array(arena, n, sizeof *merges);
    if (n && !merges)
        return error_no_memory(err, "reading the merges");
    int code = 0;
    for (size_t i = 0; i < n && !code; i++)
        code = read_merge(json_array_get(array, i), i, &merges[i], arena, err);
    spec->merges = merges;
    spec->n_merges = (int)n;
    return code;
}

/* ---- the models ---- */

static bool is_absent_or_empty(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_string(value) && !json_string_length(value));
}

/* An optional text; absent: length 0. */
static int read_affix(const json_t *model, const char *key, struct byte_string *text, struct arena *arena, struct error *err)
{
    const json_t *found = json_object_get(model, key);
    *text = (struct byte_string){"", 0};
    if (is_absent_or_empty(found))
        return 0;
    if (!json_is_string(found))
        return error_set(err, SAMPAN_EFORMAT, "'model.%s' is not a text", key);
    *text = (struct byte_string){arena_strndup(arena, json_string_value(found), json_string_length(found)), json_string_length(found)};
    return text->data ? 0 : error_no_memory(err, "reading the model of a tokenizer");
}

static int read_unknown(const json_t *model, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *unknown = json_object_get(model, "unk_token");
    if (is_absent_or_empty(unknown))
        return 0;
    if (json_is_string(unknown))
        spec->unknown_id = tokenizer_spec_find(spec, json_string_value(unknown), json_string_length(unknown));
    if (spec->unknown_id >= 0)
        return 0;
    return error_set(err, SAMPAN_EFORMAT, "'model.unk_token' is not a token of the vocabulary");
}

/* Byte-level: what has no token is left out; a vocabulary that wants an unknown token or the tokens of bytes there instead must have all bytes. */
static int check_bytes(const json_t *model, struct tokenizer_spec *spec, struct error *err)
{
    int n_single = 0;
    if (is_absent_or_empty(json_object_get(model, "unk_token")) && !spec->byte_fallback)
        return 0;
    for (int i = 0; i < spec->n_tokens; i++) {
        const struct tokenizer_token *token = &spec->tokens[i];
        unsigned char first = token->text.length ? (unsigned char)token->text.data[0] : 0;
        n_single += token->kind == TOKEN_NORMAL && (token->text.length == 1 || (token->text.length == 2 && first >= 0xC2 && first <= 0xC5));
    }
    if (n_single < 256)
        return error_set(err, SAMPAN_EUNSUPPORTED,
                         "its model is byte-level and has an 'unk_token' or 'byte_fallback', but no tokens for some bytes, which is not supported");
    const json_t *unknown = json_object_get(model, "unk_token");
    if (json_is_string(unknown))
        spec->unknown_id = tokenizer_spec_find(spec, json_string_value(unknown), json_string_length(unknown));
    return 0;
}

static int fill_bpe(const json_t *root, const json_t *model, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *dropout = json_object_get(model, "dropout");
    bool byte_level = tokenizer_spec_is_byte_level(spec);
    spec->model = byte_level ? TOKENIZER_BPE_BYTE_LEVEL : TOKENIZER_BPE;
    int code = json_read_flag(model, "byte_fallback", false, &spec->byte_fallback, err);
    if (!code)
        code = json_read_flag(model, "fuse_unk", false, &spec->fuse_unknown, err);
    if (!code)
        code = json_read_flag(model, "ignore_merges", false, &spec->ignore_merges, err);
    if (!code && !(is_absent_or_empty(dropout) || json_number_value(dropout) == 0.0))
        code = error_set(err, SAMPAN_EUNSUPPORTED, "its model drops merges at random ('dropout'), which is for training");
    if (!code)
        code = read_affix(model, "continuing_subword_prefix", &spec->subword_prefix, arena, err);
    if (!code)
        code = read_affix(model, "end_of_word_suffix", &spec->word_suffix, arena, err);
    if (!code)
        code = fill_tokens(root, json_object_get(model, "vocab"), false, arena, spec, err);
    if (!code)
        code = fill_merges(json_object_get(model, "merges"), arena, spec, err);
    if (code)
        return code;
    return byte_level ? check_bytes(model, spec, err) : read_unknown(model, spec, err);
}

static int fill_unigram(const json_t *root, const json_t *model, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *unknown = json_object_get(model, "unk_id");
    spec->model = TOKENIZER_UNIGRAM;
    spec->fuse_unknown = true;
    int code = json_read_flag(model, "byte_fallback", false, &spec->byte_fallback, err);
    if (!code)
        code = fill_tokens(root, json_object_get(model, "vocab"), true, arena, spec, err);
    if (code || !unknown || json_is_null(unknown))
        return code;
    json_int_t id = json_is_integer(unknown) ? json_integer_value(unknown) : -1;
    if (id < 0 || id >= spec->n_tokens)
        return error_set(err, SAMPAN_EFORMAT, "'model.unk_id' is not the id of a token");
    spec->unknown_id = (int32_t)id;
    return 0;
}

static int fill_wordpiece(const json_t *root, const json_t *model, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    const json_t *longest = json_object_get(model, "max_input_chars_per_word");
    json_int_t n = longest ? json_integer_value(longest) : 100; /* the library's default */
    spec->model = TOKENIZER_WORDPIECE;
    if (n < 1 || n > UINT32_MAX)
        return error_set(err, SAMPAN_EFORMAT, "'model.max_input_chars_per_word' is not a number above 0");
    spec->longest_word = (uint32_t)n;
    int code = read_affix(model, "continuing_subword_prefix", &spec->subword_prefix, arena, err);
    if (!code)
        code = fill_tokens(root, json_object_get(model, "vocab"), false, arena, spec, err);
    return code ? code : read_unknown(model, spec, err);
}

int tokenizer_json_fill_model(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    static const struct {
        const char *type;
        int (*fill)(const json_t *root, const json_t *model, struct arena *arena, struct tokenizer_spec *spec, struct error *err);
    } rows[] = {{"BPE", fill_bpe}, {"Unigram", fill_unigram}, {"WordPiece", fill_wordpiece}};
    const json_t *model = json_object_get(root, "model");
    const char *type = json_type_of(model);
    if (!json_is_object(model))
        return error_set(err, SAMPAN_EFORMAT, "'model' is not an object");
    if (!type) /* files of old do not say */
        type = json_object_get(model, "merges") ? "BPE" : json_is_array(json_object_get(model, "vocab")) ? "Unigram" : "(none)";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].type, type) != 0)
            continue;
        int code = rows[i].fill(root, model, arena, spec, err);
        bool byte_level = tokenizer_spec_is_byte_level(spec);
        if (!code && byte_level && spec->model != TOKENIZER_BPE_BYTE_LEVEL)
            code = error_set(err, SAMPAN_EUNSUPPORTED, "its model is of the type '%s' behind the pre-tokenizer 'ByteLevel', which is not supported (BPE is)",
                             type);
        return code;
    }
    return error_set(err, SAMPAN_EUNSUPPORTED, "its model is of the type '%.60s', which is not supported (known: BPE, Unigram, WordPiece)", type);
}
