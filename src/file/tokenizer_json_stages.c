/* The way of a text to the model, as tokenizer.json lists it: normalizers and the stages of the pre-tokenizer. */
#include <string.h>

#include "base/limits.h"
#include "file/tokenizer_json_parts.h"

enum { LARGEST_PIECE = 1 << 20 /* characters of FixedLength */ };

/* ---- normalizer ---- */

static int add_normalizer(struct part *part, struct tokenizer_normalizer normalizer)
{
    if (part->spec->n_normalizers == PART_LIST)
        return error_set(part->err, SAMPAN_ELIMIT, "'%s' has more than %d parts", part->name, PART_LIST);
    part->to.normalizers[part->spec->n_normalizers++] = normalizer;
    return 0;
}

static int add_plain_normalizer(struct part *part, const json_t *element, int kind)
{
    (void)element;
    return add_normalizer(part, (struct tokenizer_normalizer){.kind = (enum normalizer_kind)kind});
}

static int add_strip(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_normalizer normalizer = {.kind = (enum normalizer_kind)kind};
    int code = json_read_flag(element, "strip_left", true, &normalizer.left, part->err);
    if (!code)
        code = json_read_flag(element, "strip_right", true, &normalizer.right, part->err);
    return code ? code : add_normalizer(part, normalizer);
}

static int add_replace(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_normalizer normalizer = {.kind = (enum normalizer_kind)kind};
    int code = part_read_pattern(part, element, &normalizer.pattern, &normalizer.literal);
    if (!code)
        code = part_read_text(part, element, "content", &normalizer.content);
    return code ? code : add_normalizer(part, normalizer);
}

static int add_prepend(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_normalizer normalizer = {.kind = (enum normalizer_kind)kind};
    int code = part_read_text(part, element, "prepend", &normalizer.content);
    return code ? code : add_normalizer(part, normalizer);
}

/* Base 64 (RFC 4648) of the map, wholly checked. */
static int add_charsmap(struct part *part, const json_t *element, int kind)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const json_t *text = json_object_get(element, "precompiled_charsmap");
    size_t length = json_string_length(text), n = 0;
    const char *at = json_string_value(text);
    while (length && at[length - 1] == '=')
        length--;
    if (!json_is_string(text) || !length || json_string_length(text) % 4)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Precompiled whose 'precompiled_charsmap' is no base64 text", part->name);
    char *bytes = arena_alloc(part->arena, length / 4 * 3 + 4);
    if (!bytes)
        return error_no_memory(part->err, "reading the normalizer");
    unsigned bits = 0, n_bits = 0;
    for (size_t i = 0; i < length; i++) {
        const char *digit = at[i] ? strchr(alphabet, at[i]) : NULL;
        if (!digit)
            return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Precompiled whose 'precompiled_charsmap' is no base64 text: character %zu", part->name, i);
        bits = (bits << 6 | (unsigned)(digit - alphabet)) & 0xFFFFFF;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            bytes[n++] = (char)(bits >> n_bits & 0xFF);
        }
    }
    return add_normalizer(part, (struct tokenizer_normalizer){.kind = (enum normalizer_kind)kind, .content = {bytes, n}});
}

/* One object for what are several steps here. */
static int add_bert(struct part *part, const json_t *element, int kind)
{
    bool clean, chinese, lower, accents;
    (void)kind;
    int code = json_read_flag(element, "clean_text", true, &clean, part->err);
    if (!code)
        code = json_read_flag(element, "handle_chinese_chars", true, &chinese, part->err);
    if (!code)
        code = json_read_flag(element, "lowercase", true, &lower, part->err);
    if (!code)
        code = json_read_flag(element, "strip_accents", lower, &accents, part->err);
    if (code)
        return code;
    const struct {
        bool wanted;
        enum normalizer_kind kind;
    } steps[] = {{clean, NORMALIZER_BERT_CLEAN},
                 {chinese, NORMALIZER_BERT_CHINESE},
                 {accents, NORMALIZER_NFD},
                 {accents, NORMALIZER_BERT_ACCENTS},
                 {lower, NORMALIZER_LOWERCASE}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !code; i++)
        if (steps[i].wanted)
            code = add_normalizer(part, (struct tokenizer_normalizer){.kind = steps[i].kind});
    return code;
}

static const struct part_row normalizers[] = {
    {"NFC", add_plain_normalizer, NORMALIZER_NFC},
    {"NFD", add_plain_normalizer, NORMALIZER_NFD},
    {"NFKC", add_plain_normalizer, NORMALIZER_NFKC},
    {"NFKD", add_plain_normalizer, NORMALIZER_NFKD},
    {"Lowercase", add_plain_normalizer, NORMALIZER_LOWERCASE},
    {"StripAccents", add_plain_normalizer, NORMALIZER_STRIP_ACCENTS},
    {"Strip", add_strip, NORMALIZER_STRIP},
    {"Replace", add_replace, NORMALIZER_REPLACE},
    {"Prepend", add_prepend, NORMALIZER_PREPEND},
    {"Nmt", add_plain_normalizer, NORMALIZER_NMT},
    {"BertNormalizer", add_bert, 0},
    {"Precompiled", add_charsmap, NORMALIZER_CHARSMAP},
    {"ByteLevel", add_plain_normalizer, NORMALIZER_BYTE_LEVEL},
    {0},
};

/* ---- pre-tokenizer ---- */

static int add_stage(struct part *part, struct tokenizer_stage stage)
{
    part->to.stages[part->spec->n_stages++] = stage;
    return 0;
}

static int add_plain_stage(struct part *part, const json_t *element, int kind)
{
    (void)element;
    return add_stage(part, (struct tokenizer_stage){.kind = (enum stage_kind)kind});
}

static int read_behavior(const struct part *part, const json_t *element, struct tokenizer_stage *stage)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"}; /* as enum split_behavior */
    const char *name = json_string_value(json_object_get(element, "behavior"));
    for (int i = 0; i < 5; i++) {
        if (name && strcmp(name, names[i]) == 0) {
            stage->behavior = (enum split_behavior)i;
            return 0;
        }
    }
    return error_set(part->err, SAMPAN_EFORMAT,
                     "'%s' has a stage whose 'behavior' is '%.60s', expected Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous", part->name,
                     name ? name : "(none)");
}

static int add_split(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_stage stage = {.kind = (enum stage_kind)kind};
    int code = part_read_pattern(part, element, &stage.pattern, &stage.literal);
    if (!code)
        code = json_read_flag(element, "invert", false, &stage.inverted, part->err);
    if (!code)
        code = read_behavior(part, element, &stage);
    return code ? code : add_stage(part, stage);
}

static int add_punctuation(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_stage stage = {.kind = (enum stage_kind)kind, .behavior = SPLIT_ISOLATED};
    int code = json_object_get(element, "behavior") ? read_behavior(part, element, &stage) : 0;
    return code ? code : add_stage(part, stage);
}

static int add_digits(struct part *part, const json_t *element, int kind)
{
    bool individual;
    int code = json_read_flag(element, "individual_digits", false, &individual, part->err);
    return code ? code : add_stage(part, (struct tokenizer_stage){.kind = (enum stage_kind)kind, .behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS});
}

static int add_byte_level(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_stage stage = {.kind = (enum stage_kind)kind};
    int code = json_read_flag(element, "use_regex", true, &stage.use_pattern, part->err);
    if (!code)
        code = json_read_flag(element, "add_prefix_space", true, &stage.add_prefix_space, part->err);
    return code ? code : add_stage(part, stage);
}

static int add_metaspace(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_stage stage = {.kind = (enum stage_kind)kind};
    int code = part_read_metaspace(part, element, &stage.pattern, &stage.prepend);
    if (!code)
        code = json_read_flag(element, "split", true, &stage.splits, part->err);
    return code ? code : add_stage(part, stage);
}

static int add_character(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_stage stage = {.kind = (enum stage_kind)kind};
    int code = part_read_text(part, element, "delimiter", &stage.pattern);
    if (!code && !stage.pattern.length)
        code = error_set(part->err, SAMPAN_EFORMAT, "'%s' has a CharDelimiterSplit without a 'delimiter'", part->name);
    return code ? code : add_stage(part, stage);
}

static int add_fixed_length(struct part *part, const json_t *element, int kind)
{
    const json_t *length = json_object_get(element, "length");
    json_int_t n = length ? json_integer_value(length) : 5; /* the library's default */
    if (n < 1 || n > LARGEST_PIECE)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a FixedLength whose 'length' is not a number from 1 to %d", part->name, LARGEST_PIECE);
    return add_stage(part, (struct tokenizer_stage){.kind = (enum stage_kind)kind, .length = (uint32_t)n});
}

static const struct part_row stages[] = {
    {"Split", add_split, STAGE_SPLIT},
    {"Digits", add_digits, STAGE_DIGITS},
    {"ByteLevel", add_byte_level, STAGE_BYTE_LEVEL},
    {"Metaspace", add_metaspace, STAGE_METASPACE},
    {"Whitespace", add_plain_stage, STAGE_WORDS},
    {"WhitespaceSplit", add_plain_stage, STAGE_WHITE_SPACE},
    {"Punctuation", add_punctuation, STAGE_PUNCTUATION},
    {"BertPreTokenizer", add_plain_stage, STAGE_BERT},
    {"CharDelimiterSplit", add_character, STAGE_CHARACTER},
    {"UnicodeScripts", add_plain_stage, STAGE_SCRIPTS},
    {"FixedLength", add_fixed_length, STAGE_FIXED_LENGTH},
    {0},
};

/* ---- both ---- */

bool tokenizer_spec_is_byte_level(const struct tokenizer_spec *spec)
{
    for (int i = 0; i < spec->n_stages; i++)
        if (spec->stages[i].kind == STAGE_BYTE_LEVEL)
            return true;
    return false;
}

int tokenizer_json_fill_stages(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    struct part normalizer = {"normalizer", "normalizers", normalizers, arena, spec, err, 0, {0}};
    struct part pretokenizer = {"pre_tokenizer", "pretokenizers", stages, arena, spec, err, 0, {0}};
    normalizer.to.normalizers = arena_alloc_array(arena, PART_LIST, sizeof *normalizer.to.normalizers);
    pretokenizer.to.stages = arena_alloc_array(arena, PART_LIST, sizeof *pretokenizer.to.stages);
    if (!normalizer.to.normalizers || !pretokenizer.to.stages)
        return error_no_memory(err, "reading the stages of a tokenizer");
    spec->normalizers = normalizer.to.normalizers;
    spec->stages = pretokenizer.to.stages;
    int code = part_walk(&normalizer, json_object_get(root, normalizer.name));
    return code ? code : part_walk(&pretokenizer, json_object_get(root, pretokenizer.name));
}
