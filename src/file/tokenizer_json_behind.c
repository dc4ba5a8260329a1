/* What comes behind the model, as tokenizer.json lists it: the tokens that the post-processor puts around a text, and the decoders. */
#include <string.h>

#include "base/limits.h"
#include "file/tokenizer_json_parts.h"

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
        if (value < 0 || value >= LIMIT_VOCABULARY || *n == PART_LIST)
            return error_set(part->err, SAMPAN_EFORMAT, "'%s' puts more than %d tokens around a text, or one that is no token id", part->name, PART_LIST);
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

/* Room for what is put around a text. */
static int begin_tokens(struct part *part)
{
    struct tokenizer_spec *spec = part->spec;
    if (spec->before)
        return error_set(part->err, SAMPAN_EUNSUPPORTED, "its '%s' has two parts that add tokens, which is not supported yet", part->name);
    part->to.ids = arena_alloc_array(part->arena, 2 * PART_LIST, sizeof *part->to.ids);
    if (!part->to.ids)
        return error_no_memory(part->err, "reading the post-processor");
    spec->before = part->to.ids;
    spec->behind = part->to.ids + PART_LIST;
    return 0;
}

static int add_template_processing(struct part *part, const json_t *element, int kind)
{
    (void)kind;
    int code = begin_tokens(part);
    return code ? code : add_template(part, element, part->to.ids, part->to.ids + PART_LIST);
}

static int add_pair_processing(struct part *part, const json_t *element, int kind)
{
    (void)kind;
    int code = begin_tokens(part);
    return code ? code : add_pair(part, element, part->to.ids, part->to.ids + PART_LIST);
}

static int add_nothing(struct part *part, const json_t *element, int kind)
{
    (void)part;
    (void)element;
    (void)kind;
    return 0; /* offsets only */
}

static const struct part_row processors[] = {
    {"TemplateProcessing", add_template_processing, 0},
    {"RobertaProcessing", add_pair_processing, 0},
    {"BertProcessing", add_pair_processing, 0},
    {"ByteLevel", add_nothing, 0},
    {0},
};

/* ---- decoders ---- */

static int add_decoder(struct part *part, struct tokenizer_decoder decoder)
{
    part->to.decoders[part->spec->n_decoders++] = decoder;
    return 0;
}

static int add_plain_decoder(struct part *part, const json_t *element, int kind)
{
    (void)element;
    return add_decoder(part, (struct tokenizer_decoder){.kind = (enum decoder_kind)kind});
}

static int add_metaspace(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_decoder decoder = {.kind = (enum decoder_kind)kind};
    int code = part_read_metaspace(part, element, &decoder.pattern, &decoder.prepend);
    return code ? code : add_decoder(part, decoder);
}

static int add_wordpiece(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_decoder decoder = {.kind = (enum decoder_kind)kind};
    int code = part_read_text(part, element, "prefix", &decoder.pattern);
    if (!code)
        code = json_read_flag(element, "cleanup", true, &decoder.cleans, part->err);
    return code ? code : add_decoder(part, decoder);
}

static int add_word_suffix(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_decoder decoder = {.kind = (enum decoder_kind)kind};
    int code = part_read_text(part, element, "suffix", &decoder.pattern);
    return code ? code : add_decoder(part, decoder);
}

static int read_count(struct part *part, const json_t *element, const char *key, uint32_t *count)
{
    const json_t *found = json_object_get(element, key);
    json_int_t n = json_is_integer(found) ? json_integer_value(found) : -1;
    *count = (uint32_t)n;
    return n >= 0 && n <= LIMIT_TOKEN_BYTES
               ? 0
               : error_set(part->err, SAMPAN_EFORMAT, "'%s' has a Strip whose '%s' is not a number from 0 to %d", part->name, key, LIMIT_TOKEN_BYTES);
}

static int add_strip(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_decoder decoder = {.kind = (enum decoder_kind)kind};
    int code = part_read_text(part, element, "content", &decoder.pattern);
    if (!code)
        code = read_count(part, element, "start", &decoder.start);
    if (!code)
        code = read_count(part, element, "stop", &decoder.stop);
    return code ? code : add_decoder(part, decoder);
}

static int add_replace(struct part *part, const json_t *element, int kind)
{
    struct tokenizer_decoder decoder = {.kind = (enum decoder_kind)kind};
    int code = part_read_pattern(part, element, &decoder.pattern, &decoder.literal);
    if (!code)
        code = part_read_text(part, element, "content", &decoder.content);
    return code ? code : add_decoder(part, decoder);
}

static const struct part_row decoders[] = {
    {"ByteLevel", add_plain_decoder, DECODER_BYTE_LEVEL},
    {"Metaspace", add_metaspace, DECODER_METASPACE},
    {"WordPiece", add_wordpiece, DECODER_WORDPIECE},
    {"BPEDecoder", add_word_suffix, DECODER_WORD_SUFFIX},
    {"ByteFallback", add_plain_decoder, DECODER_BYTE_FALLBACK},
    {"Fuse", add_plain_decoder, DECODER_FUSE},
    {"Strip", add_strip, DECODER_STRIP},
    {"Replace", add_replace, DECODER_REPLACE},
    {0},
};

int tokenizer_json_fill_behind(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    struct part processor = {"post_processor", "processors", processors, arena, spec, err, 0, {0}};
    struct part decoder = {"decoder", "decoders", decoders, arena, spec, err, 0, {0}};
    decoder.to.decoders = arena_alloc_array(arena, PART_LIST + 1, sizeof *decoder.to.decoders);
    if (!decoder.to.decoders)
        return error_no_memory(err, "reading the decoders of a tokenizer");
    spec->decoders = decoder.to.decoders;
    int code = part_walk(&processor, json_object_get(root, processor.name));
    if (!code)
        code = part_walk(&decoder, json_object_get(root, decoder.name));
    if (!code && !spec->n_decoders && tokenizer_spec_is_byte_level(spec))
        code = error_set(err, SAMPAN_EUNSUPPORTED, "it is byte-level and has no 'decoder', so that tokens cannot become text again; expected 'ByteLevel'");
    if (!code && !spec->n_decoders) /* the library then puts spaces between tokens */
        code = add_decoder(&decoder, (struct tokenizer_decoder){.kind = DECODER_WORDPIECE, .pattern = {"", 0}});
    return code;
}
