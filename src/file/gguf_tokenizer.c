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
        tokens[i].score = scores->array.elements[i].f;
    return code ? code : fill_kinds(checkpoint, tokens, n, err);
}

/* "left right": two tokens with one space between them. */
static int split_merge(struct byte_string text, size_t rank, struct tokenizer_merge *merge, struct error *err)
{
    const char *space = text.length ? memchr(text.data, ' ', text.length) : NULL;
    size_t n_left = space ? (size_t)(space - text.data) : 0, n_right = space ? text.length - n_left - 1 : 0;
    if (!n_left || !n_right || memchr(space + 1, ' ', n_right))
        return error_set(err, SAMPAN_EFORMAT, "merge %zu is '%.100s', expected two tokens with one space between them", rank, text.data);
    if (n_left > LIMIT_TOKEN_BYTES || n_right > LIMIT_TOKEN_BYTES)
        return error_set(err, SAMPAN_EFORMAT, "merge %zu has %zu bytes, expected at most %d", rank, text.length, 2 * LIMIT_TOKEN_BYTES + 1);
    *merge = (struct tokenizer_merge){text.data, (uint32_t)n_left, (uint32_t)n_right};
    return 0;
}

static int fill_merges(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    const struct metadata_value *array;
    int code = require_array(checkpoint, "tokenizer.ggml.merges", METADATA_STRING, &array, err);
    if (code)
        return code;
    if (array->array.count > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_ELIMIT, "the tokenizer has %zu merges, expected at most %d", array->array.count, LIMIT_VOCABULARY);
    struct tokenizer_merge *merges = arena_alloc_array(arena, array->array.count, sizeof *merges);
    if (!merges)
        return error_no_memory(err, "reading the merges");
    for (size_t i = 0; i < array->array.count; i++) {
        code = split_merge(array->array.elements[i].string, i, &merges[i], err);
        if (code)
            return code;
    }
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

/* What a kind of tokenizer has where the file does not say otherwise; ids that llama.cpp's converters leave out. */
struct tokenizer_row {
    const char *name; /* tokenizer.ggml.model */
    enum tokenizer_model model;
    int (*fill)(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct arena *arena, struct error *err);
    int32_t bos_id, eos_id, unknown_id, padding_id; /* -1: none */
    bool add_bos, add_eos;
};

static int fill_ids(const struct checkpoint *checkpoint, const struct tokenizer_row *row, struct tokenizer_spec *spec, int32_t *eom_id, struct error *err)
{
    const struct {
        const char *key;
        int32_t *id, usual;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", &spec->bos_id, row->bos_id},
        {"tokenizer.ggml.eos_token_id", &spec->eos_id, row->eos_id},
        {"tokenizer.ggml.eot_token_id", &spec->eot_id, -1},
        {"tokenizer.ggml.eom_token_id", eom_id, -1},
        {"tokenizer.ggml.unknown_token_id", &spec->unknown_id, row->unknown_id},
        {"tokenizer.ggml.padding_token_id", &spec->padding_id, row->padding_id},
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        int code = read_id(checkpoint, ids[i].key, spec->n_tokens, ids[i].id, err);
        if (code)
            return code;
        if (!checkpoint_find(checkpoint, ids[i].key) && ids[i].usual < spec->n_tokens)
            *ids[i].id = ids[i].usual;
    }
    return 0;
}

static int fill_scalars(const struct checkpoint *checkpoint, const struct tokenizer_row *row, struct tokenizer_spec *spec, int32_t *eom_id, struct error *err)
{
    bool found;
    int code = fill_ids(checkpoint, row, spec, eom_id, err);
    if (!code)
        code = checkpoint_get_string(checkpoint, "tokenizer.ggml.pre", &spec->pretokenizer, &found, err);
    if (code)
        return code;
    if (!found)
        spec->pretokenizer = "default";
    bool adds_bos = row->add_bos || (row->model == TOKENIZER_BPE_BYTE_LEVEL && default_add_bos(spec->pretokenizer));
    code = read_flag(checkpoint, "tokenizer.ggml.add_bos_token", adds_bos, &spec->add_bos, err);
    if (!code)
        code = read_flag(checkpoint, "tokenizer.ggml.add_eos_token", row->add_eos, &spec->add_eos, err);
    if (code)
        return code;
    if (spec->add_bos && spec->bos_id < 0)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer adds a BOS token (tokenizer.ggml.add_bos_token), but tokenizer.ggml.bos_token_id is missing");
    if (spec->add_eos && spec->eos_id < 0)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer adds an EOS token (tokenizer.ggml.add_eos_token), but tokenizer.ggml.eos_token_id is missing");
    return 0;
}

/* ---- SentencePiece: "llama" (BPE by score), "t5" (Unigram) ---- */

static const char space_mark[] = "\xE2\x96\x81"; /* U+2581 */

/* The compiled character map: an array of bytes of either signedness. */
static int fill_charsmap(const struct checkpoint *checkpoint, struct byte_string *map, struct arena *arena, struct error *err)
{
    const struct metadata_value *array;
    *map = (struct byte_string){NULL, 0};
    int code = find_array(checkpoint, "tokenizer.ggml.precompiled_charsmap", METADATA_SIGNED, 0, &array, err);
    if (code || !array || !array->array.count)
        return code;
    char *bytes = arena_alloc(arena, array->array.count);
    if (!bytes)
        return error_no_memory(err, "reading the tokenizer's character map");
    for (size_t i = 0; i < array->array.count; i++)
        bytes[i] = (char)(array->array.elements[i].u & 0xFF);
    *map = (struct byte_string){bytes, array->array.count};
    return 0;
}

/* Pieces that the user of SentencePiece defined are in its model as well. Byte tokens, where there are any, stand for what has no piece. */
static int fill_pieces(struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    unsigned char *flags = arena_alloc_array(arena, (size_t)spec->n_tokens, sizeof *flags);
    if (!flags)
        return error_no_memory(err, "reading the vocabulary");
    for (int i = 0; i < spec->n_tokens; i++) {
        flags[i] = spec->tokens[i].kind == TOKEN_USER_DEFINED ? ADDED_IS_IN_MODEL : 0;
        spec->byte_fallback |= spec->tokens[i].kind == TOKEN_BYTE;
    }
    spec->added_flags = flags;
    spec->fuse_unknown = true;
    spec->single_precision = true;
    return 0;
}

static int fill_sentencepiece(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    struct tokenizer_normalizer *normalizers = arena_alloc_array(arena, 2, sizeof *normalizers);
    struct tokenizer_decoder *decoders = arena_alloc_array(arena, 4, sizeof *decoders);
    struct tokenizer_normalizer spaces = {.kind = NORMALIZER_SENTENCEPIECE}, map = {.kind = NORMALIZER_CHARSMAP_LONGEST};
    if (!normalizers || !decoders)
        return error_no_memory(err, "reading the tokenizer");
    if (!checkpoint_find(checkpoint, "tokenizer.ggml.scores"))
        return error_set(err, SAMPAN_EFORMAT, "metadata 'tokenizer.ggml.scores' is missing, the tokenizer needs it");
    int code = fill_pieces(spec, arena, err);
    if (!code)
        code = read_flag(checkpoint, "tokenizer.ggml.add_space_prefix", true, &spaces.left, err);
    if (!code)
        code = read_flag(checkpoint, "tokenizer.ggml.remove_extra_whitespaces", false, &spaces.collapses, err);
    if (!code)
        code = fill_charsmap(checkpoint, &map.content, arena, err);
    if (map.content.length)
        normalizers[spec->n_normalizers++] = map;
    normalizers[spec->n_normalizers++] = spaces;
    spec->normalizers = normalizers;
    decoders[0] = (struct tokenizer_decoder){.kind = DECODER_REPLACE, .literal = true, .pattern = {space_mark, 3}, .content = {" ", 1}};
    decoders[1] = (struct tokenizer_decoder){.kind = DECODER_BYTE_FALLBACK};
    decoders[2] = (struct tokenizer_decoder){.kind = DECODER_FUSE};
    decoders[3] = (struct tokenizer_decoder){.kind = DECODER_STRIP, .pattern = {" ", 1}, .start = spaces.collapses ? UINT32_MAX : 1};
    spec->decoders = decoders;
    spec->n_decoders = spaces.left || spaces.collapses ? 4 : 3;
    return code;
}

/* ---- "bert" ---- */

/* Converters write "ing" for "##ing" and "\u2581run" for "run"; control tokens as they are. Here they are again as BERT has them. */
static int restore_prefixes(struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    struct tokenizer_token *tokens = arena_alloc_array(arena, (size_t)spec->n_tokens, sizeof *tokens);
    if (!tokens)
        return error_no_memory(err, "reading the vocabulary");
    memcpy(tokens, spec->tokens, (size_t)spec->n_tokens * sizeof *tokens);
    for (int i = 0; i < spec->n_tokens; i++) {
        struct byte_string *text = &tokens[i].text;
        if (tokens[i].kind == TOKEN_CONTROL || tokens[i].kind == TOKEN_UNKNOWN || !text->length)
            continue;
        if (text->length > 3 && memcmp(text->data, space_mark, 3) == 0) {
            *text = (struct byte_string){text->data + 3, text->length - 3};
            continue;
        }
        char *written = arena_alloc(arena, text->length + 3);
        if (!written)
            return error_no_memory(err, "reading the vocabulary");
        memcpy(written, "##", 2);
        memcpy(written + 2, text->data, text->length);
        *text = (struct byte_string){written, text->length + 2};
    }
    spec->tokens = tokens;
    return 0;
}

/* The file does not say how texts are normalized: as for the uncased models. [CLS] in front, [SEP] behind. */
static int fill_wordpiece(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    enum { BERT_CLS = 101, BERT_SEP = 102, LONGEST_WORD = 100 };
    static const struct tokenizer_normalizer normalizers[] = {{.kind = NORMALIZER_BERT_CLEAN},
                                                              {.kind = NORMALIZER_BERT_CHINESE},
                                                              {.kind = NORMALIZER_NFD},
                                                              {.kind = NORMALIZER_BERT_ACCENTS},
                                                              {.kind = NORMALIZER_LOWERCASE}};
    static const struct tokenizer_stage stages[] = {{.kind = STAGE_BERT}};
    static const struct tokenizer_decoder decoders[] = {{.kind = DECODER_WORDPIECE, .cleans = true, .pattern = {"##", 2}}};
    int32_t *around = arena_alloc_array(arena, 2, sizeof *around);
    int code = around ? restore_prefixes(spec, arena, err) : error_no_memory(err, "reading the tokenizer");
    if (!code)
        code = read_id(checkpoint, "tokenizer.ggml.cls_token_id", spec->n_tokens, &around[0], err);
    if (!code && around[0] < 0)
        code = read_id(checkpoint, "tokenizer.ggml.bos_token_id", spec->n_tokens, &around[0], err);
    if (!code)
        code = read_id(checkpoint, "tokenizer.ggml.seperator_token_id", spec->n_tokens, &around[1], err);
    if (code)
        return code;
    around[0] = around[0] < 0 && BERT_CLS < spec->n_tokens ? BERT_CLS : around[0];
    around[1] = around[1] < 0 && BERT_SEP < spec->n_tokens ? BERT_SEP : around[1];
    spec->n_before = around[0] >= 0;
    spec->n_behind = around[1] >= 0;
    spec->before = &around[0];
    spec->behind = &around[1];
    spec->normalizers = normalizers;
    spec->n_normalizers = sizeof normalizers / sizeof *normalizers;
    spec->stages = stages;
    spec->n_stages = 1;
    spec->decoders = decoders;
    spec->n_decoders = 1;
    spec->subword_prefix = decoders[0].pattern;
    spec->longest_word = LONGEST_WORD;
    return 0;
}

static int fill_byte_level(const struct checkpoint *checkpoint, struct tokenizer_spec *spec, struct arena *arena, struct error *err)
{
    return fill_merges(checkpoint, spec, arena, err);
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

static const struct tokenizer_row rows[] = {
    {"gpt2", TOKENIZER_BPE_BYTE_LEVEL, fill_byte_level, -1, -1, -1, -1, false, false},
    {"llama", TOKENIZER_BPE_SCORED, fill_sentencepiece, 1, 2, 0, -1, true, false},
    {"t5", TOKENIZER_UNIGRAM, fill_sentencepiece, -1, 1, 2, 0, false, true},
    {"bert", TOKENIZER_WORDPIECE, fill_wordpiece, -1, -1, 100, 0, false, false},
};

static const struct tokenizer_row *find_row(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
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
    const struct tokenizer_row *row = found ? find_row(model) : NULL;
    if (!row) {
        checkpoint->tokenizer_problem =
            !found ? "the file has no tokenizer (metadata 'tokenizer.ggml.model' is missing)"
                   : arena_printf(arena, "its tokenizer is of the kind '%.100s', which sampan does not know (known: gpt2, llama, t5, bert)", model);
        return checkpoint->tokenizer_problem ? 0 : error_no_memory(err, "reading the tokenizer");
    }
    spec->model = row->model;
    code = fill_tokens(checkpoint, spec, arena, err);
    if (!code)
        code = fill_scalars(checkpoint, row, spec, &eom_id, err);
    if (!code)
        code = row->fill(checkpoint, spec, arena, err);
    if (!code)
        code = fill_chat_template(checkpoint, spec, err);
    if (!code)
        code = end_of_generation_fill(spec, (int32_t[]){spec->eos_id, spec->eot_id, eom_id}, 3, arena, err);
    checkpoint->has_tokenizer = code == 0;
    return code;
}
