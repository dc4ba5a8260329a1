/* The way of a text through the tokenizer, as tokenizer.json lists it. Each part is an object with a "type", or null, or a Sequence of such. */
#include <string.h>

#include "base/limits.h"
#include "file/tokenizer_json_parts.h"

enum { MAX_LIST = 64, MAX_NESTING = 4 };

/* Calls `add` for each element of a part, which is one object or a Sequence (whose list is under `list_key`). Depth of recursion: MAX_NESTING. */
struct part {
    const char *name, *list_key;
    int (*add)(struct part *part, const json_t *element, const char *type);
    struct arena *arena;
    struct tokenizer_spec *spec;
    struct error *err;
    int count; /* elements added */
    union {
        struct tokenizer_stage *stages; /* [MAX_LIST] */
        enum normalizer_kind *normalizers;
        const json_t *special_tokens;
    } to;
};

static int walk(struct part *part, const json_t *element, int depth)
{
    if (!element || json_is_null(element))
        return 0;
    const char *type = json_type_of(element);
    if (!type)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' is not an object with a 'type'", part->name);
    if (strcmp(type, "Sequence") != 0) {
        if (part->count == MAX_LIST)
            return error_set(part->err, SAMPAN_ELIMIT, "'%s' has more than %d parts", part->name, MAX_LIST);
        int code = part->add(part, element, type);
        part->count++;
        return code;
    }
    const json_t *list = json_object_get(element, part->list_key);
    if (!json_is_array(list) || depth == MAX_NESTING)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Sequence without an array '%s', or Sequences nested deeper than %d", part->name, part->list_key,
                         MAX_NESTING);
    int code = 0;
    for (size_t i = 0; i < json_array_size(list) && !code; i++)
        code = walk(part, json_array_get(list, i), depth + 1);
    return code;
}

static int refuse_type(const struct part *part, const char *type, const char *known)
{
    return error_set(part->err, SAMPAN_EUNSUPPORTED, "its '%s' contains '%.60s', which is not supported yet (known: %s)", part->name, type, known);
}

/* ---- normalizer ---- */

static int add_normalizer(struct part *part, const json_t *element, const char *type)
{
    (void)element;
    if (strcmp(type, "NFC") != 0)
        return refuse_type(part, type, "NFC, Sequence");
    part->to.normalizers[part->spec->n_normalizers++] = NORMALIZER_NFC;
    return 0;
}

/* ---- pre-tokenizer ---- */

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
                     "'%s' has a Split whose 'behavior' is '%.60s', expected Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous", part->name,
                     name ? name : "(none)");
}

static int add_split(struct part *part, const json_t *element, struct tokenizer_stage *stage)
{
    const json_t *pattern = json_object_get(element, "pattern"), *text = json_object_get(pattern, "Regex");
    stage->kind = STAGE_SPLIT;
    if (!text) {
        text = json_object_get(pattern, "String");
        stage->literal = true;
    }
    if (!json_is_string(text) || !json_string_length(text) || json_object_size(pattern) != 1)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Split whose 'pattern' is neither {\"Regex\": ...} nor {\"String\": ...}", part->name);
    stage->pattern = (struct byte_string){arena_strndup(part->arena, json_string_value(text), json_string_length(text)), json_string_length(text)};
    if (!stage->pattern.data)
        return error_no_memory(part->err, "reading the pre-tokenizer");
    int code = json_read_flag(element, "invert", false, &stage->inverted, part->err);
    return code ? code : read_behavior(part, element, stage);
}

static int add_stage(struct part *part, const json_t *element, const char *type)
{
    struct tokenizer_stage *stage = &part->to.stages[part->spec->n_stages];
    bool flag = false;
    int code = 0;
    if (part->spec->n_stages && part->to.stages[part->spec->n_stages - 1].kind == STAGE_BYTE_LEVEL)
        return error_set(part->err, SAMPAN_EUNSUPPORTED, "its '%s' goes on behind 'ByteLevel' with '%.60s', which is not supported yet", part->name, type);
    if (strcmp(type, "Split") == 0) {
        code = add_split(part, element, stage);
    } else if (strcmp(type, "Digits") == 0) {
        stage->kind = STAGE_DIGITS;
        code = json_read_flag(element, "individual_digits", false, &flag, part->err);
        stage->behavior = flag ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
    } else if (strcmp(type, "ByteLevel") == 0) {
        stage->kind = STAGE_BYTE_LEVEL;
        code = json_read_flag(element, "use_regex", true, &stage->use_pattern, part->err);
        if (!code)
            code = json_read_flag(element, "add_prefix_space", true, &stage->add_prefix_space, part->err);
        if (!code && stage->add_prefix_space && part->spec->n_stages)
            code = error_set(part->err, SAMPAN_EUNSUPPORTED,
                             "its '%s' has a 'ByteLevel' with 'add_prefix_space' behind other stages, which is not supported yet", part->name);
    } else {
        return refuse_type(part, type, "Split, Digits, ByteLevel, Sequence");
    }
    part->spec->n_stages += !code;
    return code;
}

/* ---- post-processor ---- */

/* The ids of one special token of a TemplateProcessing, appended to *ids. */
static int append_special(struct part *part, const char *name, int32_t *ids, int *n)
{
    const json_t *list = name ? json_object_get(json_object_get(part->to.special_tokens, name), "ids") : NULL;
    if (!json_is_array(list))
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' uses the special token '%.60s' without saying its ids", part->name, name ? name : "(none)");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= LIMIT_VOCABULARY || *n == MAX_LIST)
            return error_set(part->err, SAMPAN_EFORMAT, "'%s' puts more than %d tokens around a text, or one that is no token id", part->name, MAX_LIST);
        ids[(*n)++] = (int32_t)value;
    }
    return 0;
}

static int add_template(struct part *part, const json_t *element, int32_t *before, int32_t *behind)
{
    const json_t *single = json_object_get(element, "single");
    bool text_seen = false;
    int code = 0;
    part->to.special_tokens = json_object_get(element, "special_tokens");
    if (!json_is_array(single))
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a TemplateProcessing whose 'single' is not an array", part->name);
    for (size_t i = 0; i < json_array_size(single) && !code; i++) {
        const json_t *piece = json_array_get(single, i), *special = json_object_get(piece, "SpecialToken");
        if (special) {
            const char *name = json_string_value(json_object_get(special, "id"));
            code = append_special(part, name, text_seen ? behind : before, text_seen ? &part->spec->n_behind : &part->spec->n_before);
        } else if (!text_seen && json_object_get(piece, "Sequence")) {
            text_seen = true;
        } else {
            return error_set(part->err, SAMPAN_EFORMAT, "'%s' has a template part that is neither a SpecialToken nor the one Sequence", part->name);
        }
    }
    if (!code && !text_seen)
        code = error_set(part->err, SAMPAN_EFORMAT, "'%s' has a template without the text itself (Sequence)", part->name);
    return code;
}

/* RobertaProcessing and BertProcessing: "cls": [text, id] in front, "sep" behind. */
static int add_pair(struct part *part, const json_t *element, int32_t *before, int32_t *behind)
{
    const json_t *first = json_array_get(json_object_get(element, "cls"), 1), *last = json_array_get(json_object_get(element, "sep"), 1);
    json_int_t ids[2] = {json_is_integer(first) ? json_integer_value(first) : -1, json_is_integer(last) ? json_integer_value(last) : -1};
    if (ids[0] < 0 || ids[0] >= LIMIT_VOCABULARY || ids[1] < 0 || ids[1] >= LIMIT_VOCABULARY)
        return error_set(part->err, SAMPAN_EFORMAT, "'%s' has no token ids in 'cls' and 'sep'", part->name);
    before[part->spec->n_before++] = (int32_t)ids[0];
    behind[part->spec->n_behind++] = (int32_t)ids[1];
    return 0;
}

static int add_post_processor(struct part *part, const json_t *element, const char *type)
{
    struct tokenizer_spec *spec = part->spec;
    if (strcmp(type, "ByteLevel") == 0)
        return 0; /* offsets only */
    bool is_template = strcmp(type, "TemplateProcessing") == 0;
    if (!is_template && strcmp(type, "RobertaProcessing") != 0 && strcmp(type, "BertProcessing") != 0)
        return refuse_type(part, type, "TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel, Sequence");
    if (spec->before)
        return error_set(part->err, SAMPAN_EUNSUPPORTED, "its '%s' has two parts that add tokens, which is not supported yet", part->name);
    int32_t *ids = arena_alloc_array(part->arena, 2 * MAX_LIST, sizeof *ids);
    if (!ids)
        return error_no_memory(part->err, "reading the post-processor");
    spec->before = ids;
    spec->behind = ids + MAX_LIST;
    return is_template ? add_template(part, element, ids, ids + MAX_LIST) : add_pair(part, element, ids, ids + MAX_LIST);
}

/* ---- decoder ---- */

static int add_decoder(struct part *part, const json_t *element, const char *type)
{
    (void)element;
    return strcmp(type, "ByteLevel") == 0 ? 0 : refuse_type(part, type, "ByteLevel");
}

/* ---- all ---- */

int tokenizer_json_fill_stages(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    struct part parts[] = {
        {.name = "normalizer", .list_key = "normalizers", .add = add_normalizer},
        {.name = "pre_tokenizer", .list_key = "pretokenizers", .add = add_stage},
        {.name = "post_processor", .list_key = "processors", .add = add_post_processor},
        {.name = "decoder", .list_key = "decoders", .add = add_decoder},
    };
    enum { NORMALIZER, PRE_TOKENIZER, POST_PROCESSOR, DECODER, N_PARTS };
    enum normalizer_kind *normalizers = arena_alloc_array(arena, MAX_LIST, sizeof *normalizers);
    struct tokenizer_stage *stages = arena_alloc_array(arena, MAX_LIST, sizeof *stages);
    if (!normalizers || !stages)
        return error_no_memory(err, "reading the stages of a tokenizer");
    spec->normalizers = parts[NORMALIZER].to.normalizers = normalizers;
    spec->stages = parts[PRE_TOKENIZER].to.stages = stages;
    for (int i = 0; i < N_PARTS; i++) {
        parts[i].arena = arena;
        parts[i].spec = spec;
        parts[i].err = err;
        int code = walk(&parts[i], json_object_get(root, parts[i].name), 0);
        if (code)
            return code;
    }
    if (!spec->n_stages || stages[spec->n_stages - 1].kind != STAGE_BYTE_LEVEL)
        return error_set(err, SAMPAN_EUNSUPPORTED, "its 'pre_tokenizer' does not end in 'ByteLevel': such BPE (as of SentencePiece) is not supported yet");
    if (parts[DECODER].count != 1)
        return error_set(err, SAMPAN_EUNSUPPORTED, "its 'decoder' has %d parts, only one 'ByteLevel' is supported yet", parts[DECODER].count);
    return 0;
}
