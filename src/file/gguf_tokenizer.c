#include "file/gguf_tokenizer.h"

#include <inttypes.h>
#include <string.h>

#include "file/end_of_generation.h"

/* ---- arrays ---- */

/* An array under `key` of `element_type` with `expected` elements (0: any number above 0). Absent: *array is NULL. */
static int find_array(const struct checkpoint *checkpoint, const char *key, enum metadata_type element_type, size_t expected,
                      const struct metadata_value **array, struct error *err)
{
    static const char *const type_names[] = {"unsigned integers", "signed integers", "floats", "bools", "strings", "arrays"};
    *array = checkpoint_find(checkpoint, key);
    if (!*array)
        return 0;
    const struct metadata_value *value = *array;
    bool is_integer = element_type == METADATA_SIGNED && value->type == METADATA_ARRAY && value->array.element_type == METADATA_UNSIGNED;
    if (value->type != METADATA_ARRAY || (value->array.element_type != element_type && !is_integer))
        return error_set(err, SAMPAN_EFORMAT, "metadata '%s' is not an array of %s", key, type_names[element_type]);
    if (expected && value->array.count != expected)
        return error_set(err, SAMPAN_EFORMAT, "metadata '%s' has %zu elements, expected %zu, one per token", key, value->array.count, expected);
    return 0;
}

static int require_array(const struct checkpoint *checkpoint, const char *key, enum metadata_type element_type, const struct metadata_value **array,
                         struct error *err)
{
    int code = find_array(checkpoint, key, element_type, 0, array, err);
    if (!code && !*array)
        code = error_set(err, SAMPAN_EFORMAT, "metadata '%s' is missing, the tokenizer needs it", key);
    return code;
}

static int fill_kinds(const struct checkpoint *checkpoint, struct tokenizer_token *tokens, size_t n_tokens, struct error *err)
{
    /* By the number in the file; 0 is "undefined", which writers give to ordinary tokens. */
    static const enum token_kind kinds[] = {TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE};
    enum { N_KINDS = sizeof kinds / sizeof kinds[0] };
    const struct metadata_value *array;
    int code = find_array(checkpoint, "tokenizer.ggml.token_type", METADATA_SIGNED, n_tokens, &array, err);
    for (size_t i = 0; !code && array && i < n_tokens; i++) {
        uint64_t number = array->array.elements[i].u; /* a negative one is large */
        if (number >= N_KINDS)
            return error_set(err, SAMPAN_EFORMAT, "metadata 'tokenizer.ggml.token_type' gives token %zu the type %" PRId64 ", expected 0 to %d", i,
                             (int64_t)number, N_KINDS - 1);
        tokens[i].kind = kinds[number];
    }
    return code;
}

static int fill_tokens(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    const struct metadata_value *texts, *scores;
    int code = require_array(checkpoint, "tokenizer.ggml.tokens", METADATA_STRING, &texts, err);
    if (code)
        return code;
    size_t n = texts->array.count;
    if (n == 0)
        return error_set(err, SAMPAN_EFORMAT, "metadata 'tokenizer.ggml.tokens' is empty");
    if (n > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_ELIMIT, "the vocabulary has %zu tokens, expected at most %d", n, LIMIT_VOCABULARY);
    struct tokenizer_token *tokens = arena_alloc_array(arena, n, sizeof *tokens);
    if (!tokens)
        return error_no_memory(err, "reading the vocabulary");
    for (size_t i = 0; i < n; i++) {
        tokens[i].text = texts->array.elements[i].string;
        if (tokens[i].text.length > LIMIT_TOKEN_BYTES)
            return error_set(err, SAMPAN_ELIMIT, "token %zu has %zu bytes, expected at most %d", i, tokens[i].text.length, LIMIT_TOKEN_BYTES);
    }
    spec->tokens = tokens;
    spec->n_tokens = (int)n;
    code = find_array(checkpoint, "tokenizer.ggml.scores", METADATA_FLOAT, n, &scores, err);
    for (size_t i = 0; !code && scores && i < n; i++)
        tokens[i].score = (float)scores->array.elements[i].f;
    return code ? code : fill_kinds(checkpoint, tokens, n, err);
}

static int fill_merges(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    const struct metadata_value *array;
    int code = require_array(checkpoint, "tokenizer.ggml.merges", METADATA_STRING, &array, err);
    if (code)
        return code;
    if (array->array.count > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_ELIMIT, "the tokenizer has %zu merges, expected at most %d", array->array.count, LIMIT_VOCABULARY);
    struct byte_string *merges = arena_alloc_array(arena, array->array.count, sizeof *merges);
    if (!merges)
        return error_no_memory(err, "reading the merges");
    for (size_t i = 0; i < array->array.count; i++)
        merges[i] = array->array.elements[i].string;
    spec->merges = merges;
    spec->n_merges = (int)array->array.count;
    return 0;
}

/* ---- scalars ---- */

/* -1 where the key is absent or says "none", which some writers give as -1 in either signedness. */
static int read_id(const struct checkpoint *checkpoint, const char *key, int n_tokens, int32_t *id, struct error *err)
{
    int64_t value;
    bool found;
    *id = -1;
    int code = checkpoint_get_int(checkpoint, key, -1, UINT32_MAX, &value, &found, err);
    if (code || !found || value == -1 || value == UINT32_MAX)
        return code;
    if (value >= n_tokens)
        return error_set(err, SAMPAN_EFORMAT, "metadata '%s' is %" PRId64 ", but the vocabulary has %d tokens", key, value, n_tokens);
    *id = (int32_t)value;
    return 0;
}

static int read_flag(const struct checkpoint *checkpoint, const char *key, bool fallback, bool *value, struct error *err)
{
    bool found;
    int code = checkpoint_get_bool(checkpoint, key, value, &found, err);
    if (!code && !found)
        *value = fallback;
    return code;
}

/* Files made before the converter wrote add_bos_token: the pre-tokenizer's family decides. */
static bool default_add_bos(const char *pretokenizer)
{
    static const char *const with_bos[] = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "tekken"};
    for (size_t i = 0; i < sizeof with_bos / sizeof with_bos[0]; i++)
        if (strcmp(pretokenizer, with_bos[i]) == 0)
            return true;
    return false;
}

static int fill_scalars(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, int32_t *eom_id, struct error *err)
{
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", &spec->bos_id},         {"tokenizer.ggml.eos_token_id", &spec->eos_id},
        {"tokenizer.ggml.eot_token_id", &spec->eot_id},         {"tokenizer.ggml.eom_token_id", eom_id},
        {"tokenizer.ggml.unknown_token_id", &spec->unknown_id}, {"tokenizer.ggml.padding_token_id", &spec->padding_id},
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        int code = read_id(checkpoint, ids[i].key, spec->n_tokens, ids[i].id, err);
        if (code)
            return code;
    }
    bool found;
    int code = checkpoint_get_string(checkpoint, "tokenizer.ggml.pre", &spec->pretokenizer, &found, err);
    if (code)
        return code;
    if (!found)
        spec->pretokenizer = "default";
    code = read_flag(checkpoint, "tokenizer.ggml.add_bos_token", default_add_bos(spec->pretokenizer), &spec->add_bos, err);
    if (!code)
        code = read_flag(checkpoint, "tokenizer.ggml.add_eos_token", false, &spec->add_eos, err);
    if (!code)
        code = read_flag(checkpoint, "tokenizer.ggml.add_space_prefix", false, &spec->add_space_prefix, err);
    if (code)
        return code;
    if (spec->add_bos && spec->bos_id < 0)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer adds a BOS token (tokenizer.ggml.add_bos_token), but tokenizer.ggml.bos_token_id is missing");
    if (spec->add_eos && spec->eos_id < 0)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer adds an EOS token (tokenizer.ggml.add_eos_token), but tokenizer.ggml.eos_token_id is missing");
    return 0;
}

static int fill_chat_template(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct error *err)
{
    const struct metadata_value *value = checkpoint_find(checkpoint, "tokenizer.chat_template");
    if (!value)
        return 0;
    if (value->type != METADATA_STRING)
        return error_set(err, SAMPAN_EFORMAT, "metadata 'tokenizer.chat_template' is not a string");
    spec->chat_template = value->string.data;
    spec->chat_template_length = value->string.length;
    return 0;
}

int gguf_fill_tokenizer(struct checkpoint *checkpoint, struct arena *arena, struct error *err)
{
    struct tokenizer_spec *spec = &checkpoint->tokenizer;
    const char *model;
    bool found;
    int32_t eom_id = -1;
    int code = checkpoint_get_string(checkpoint, "tokenizer.ggml.model", &model, &found, err);
    if (code)
        return code;
    if (!found || strcmp(model, "gpt2") != 0) {
        checkpoint->tokenizer_problem =
            !found ? "the file has no tokenizer (metadata 'tokenizer.ggml.model' is missing)"
                   : arena_printf(arena, "its tokenizer is of the kind '%.100s', which sampan does not know yet (byte-level BPE, 'gpt2', works)", model);
        return checkpoint->tokenizer_problem ? 0 : error_no_memory(err, "reading the tokenizer");
    }
    spec->model = TOKENIZER_BPE_BYTE_LEVEL;
    code = fill_tokens(checkpoint, spec, arena, err);
    if (!code)
        code = fill_merges(checkpoint, spec, arena, err);
    if (!code)
        code = fill_scalars(checkpoint, spec, &eom_id, err);
    if (!code)
        code = fill_chat_template(checkpoint, spec, err);
    if (!code)
        code = end_of_generation_fill(spec, (int32_t[]){spec->eos_id, spec->eot_id, eom_id}, 3, arena, err);
    checkpoint->has_tokenizer = code == 0;
    return code;
}
