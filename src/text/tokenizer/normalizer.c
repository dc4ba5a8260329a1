#include "text/tokenizer/normalizer.h"

#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/tokenizer.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/characters.h"
#include "text/tokenizer/charsmap.h"
#include "text/tokenizer/compose.h"

static const char space_mark[] = "\xE2\x96\x81"; /* U+2581, what SentencePiece writes a space as */
enum { SPACE_MARK = sizeof space_mark - 1, MAPPED_BYTES = 12 };

struct step;
struct run;

/* A kind of step: either `apply` for the whole text, or `map` for one character. */
struct step_row {
    int (*apply)(const struct step *step, struct run *run);
    /* What becomes of a character: its number of bytes in `mapped`, or KEPT. */
    int (*map)(uint32_t character, char mapped[MAPPED_BYTES]);
    enum normal_form form;
    bool longest;
};

enum { KEPT = -1 };

struct step {
    const struct step_row *row;
    const struct tokenizer_normalizer *given;
    struct regex *regex;
    struct charsmap map;
};

struct normalizer {
    int n_steps;
    struct step steps[];
};

/* One step at work. */
struct run {
    struct normalizer_scratch *scratch;
    struct normal_text in;
    struct buffer *bytes, *origins; /* written so far */
    bool first;                     /* what was written first came from the start of the text */
    struct error *err;
};

/* ---- writing ---- */

/* in[from..to) stays as it is. */
static void keep(struct run *run, size_t from, size_t to)
{
    if (!run->bytes->length && from < to)
        run->first = from == 0;
    buffer_append(run->bytes, run->in.bytes + from, to - from);
    if (run->in.origins)
        buffer_append(run->origins, run->in.origins + from, to - from);
}

/* in[from..to) becomes these bytes; from == to: they are put in. */
static void put(struct run *run, const char *bytes, size_t length, size_t from, size_t to)
{
    if (!run->bytes->length && length)
        run->first = from == 0;
    buffer_append(run->bytes, bytes, length);
    if (!run->in.origins)
        return;
    bool is_data = from < to && memchr(run->in.origins + from, ORIGIN_DATA, to - from);
    if (buffer_reserve(run->origins, length))
        return;
    memset(run->origins->data + run->origins->length, is_data ? ORIGIN_DATA : ORIGIN_TEMPLATE, length);
    run->origins->length += length;
}

/* ---- steps on single characters ---- */

static int map_lower(uint32_t character, char mapped[MAPPED_BYTES])
{
    uint32_t lower[2];
    character_lower(character, lower);
    if (lower[0] == character)
        return KEPT;
    int n = utf8_encode(lower[0], mapped);
    return lower[1] ? n + utf8_encode(lower[1], mapped + n) : n;
}

static int map_accent(uint32_t character, char mapped[MAPPED_BYTES])
{
    (void)mapped;
    return character_flags(character) & CHARACTER_ACCENT ? 0 : KEPT;
}

static int map_bert_accent(uint32_t character, char mapped[MAPPED_BYTES])
{
    (void)mapped;
    return character_flags(character) & CHARACTER_BERT_ACCENT ? 0 : KEPT;
}

static int map_flags(uint32_t character, unsigned removed, unsigned space, char mapped[MAPPED_BYTES])
{
    unsigned flags = character_flags(character);
    mapped[0] = ' ';
    return flags & removed ? 0 : flags & space ? 1 : KEPT;
}

static int map_nmt(uint32_t character, char mapped[MAPPED_BYTES])
{
    return map_flags(character, CHARACTER_NMT_REMOVED, CHARACTER_NMT_SPACE, mapped);
}

static int map_clean(uint32_t character, char mapped[MAPPED_BYTES])
{
    return map_flags(character, CHARACTER_BERT_REMOVED, CHARACTER_BERT_SPACE, mapped);
}

static int map_chinese(uint32_t character, char mapped[MAPPED_BYTES])
{
    if (!(character_flags(character) & CHARACTER_CHINESE))
        return KEPT;
    mapped[0] = ' ';
    int n = 1 + utf8_encode(character, mapped + 1);
    mapped[n] = ' ';
    return n + 1;
}

static int apply_map(const struct step *step, struct run *run)
{
    size_t kept = 0, at = 0;
    while (at < run->in.length) {
        uint32_t character = 0;
        char mapped[MAPPED_BYTES];
        int n = utf8_decode(run->in.bytes + at, run->in.length - at, &character);
        size_t end = at + (n > 0 ? (size_t)n : 1);
        int length = n > 0 ? step->row->map(character, mapped) : KEPT;
        if (length != KEPT) {
            keep(run, kept, at);
            put(run, mapped, (size_t)length, at, end);
            kept = end;
        }
        at = end;
    }
    keep(run, kept, at);
    return 0;
}

/* ---- steps on the whole text ---- */

static int write_segment(void *context, size_t start, size_t end, const char *written, size_t length)
{
    struct run *run = context;
    if (written)
        put(run, written, length, start, end);
    else
        keep(run, start, end);
    return 0;
}

static int apply_form(const struct step *step, struct run *run)
{
    if (compose_is_normal(step->row->form, run->in.bytes, run->in.length)) {
        keep(run, 0, run->in.length);
        return 0;
    }
    return compose_segments(step->row->form, run->in.bytes, run->in.length, write_segment, run);
}

static int apply_strip(const struct step *step, struct run *run)
{
    const char *text = run->in.bytes;
    size_t start = 0, end = run->in.length;
    uint32_t character = 0;
    for (int n; step->given->left && start < end && (n = utf8_decode(text + start, end - start, &character)) > 0; start += (size_t)n)
        if (!(character_flags(character) & CHARACTER_WHITE_SPACE))
            break;
    while (step->given->right && end > start) {
        size_t at = end - 1;
        while (at > start && end - at < 4 && ((unsigned char)text[at] & 0xC0) == 0x80)
            at--;
        if (utf8_decode(text + at, end - at, &character) != (int)(end - at) || !(character_flags(character) & CHARACTER_WHITE_SPACE))
            break;
        end = at;
    }
    keep(run, start, end);
    return 0;
}

static int apply_prepend(const struct step *step, struct run *run)
{
    put(run, step->given->content.data, step->given->content.length, 0, 0);
    keep(run, 0, run->in.length);
    return 0;
}

/* Ill-formed bytes match nothing: patterns are shown the stretches between them. */
static int apply_replace(const struct step *step, struct run *run)
{
    const struct byte_string content = step->given->content;
    size_t kept = 0, base = 0, stretch = 0;
    int status = regex_prepare(&run->scratch->regex, run->in.length, run->err);
    for (; base < run->in.length && !status; base += stretch ? stretch : 1) {
        stretch = run->in.length - base;
        utf8_is_valid(run->in.bytes + base, stretch, &stretch);
        const char *subject = run->in.bytes + base;
        if (regex_needs_shadow(step->regex))
            subject = regex_shadow(&run->scratch->regex, subject, stretch, false, run->err);
        if (!subject)
            return SAMPAN_ENOMEM;
        size_t at = 0, start = 0, end = 0, last_end = SIZE_MAX;
        while (stretch && at <= stretch && (status = regex_find(step->regex, &run->scratch->regex, subject, stretch, at, &start, &end, run->err)) > 0) {
            if (start == end && end == last_end) {
                uint32_t character;
                at += at < stretch ? (size_t)utf8_decode(subject + at, stretch - at, &character) : 1;
                continue;
            }
            keep(run, kept, base + start);
            put(run, content.data, content.length, base + start, base + end);
            kept = base + end;
            at = last_end = end;
        }
        if (status > 0)
            status = 0;
        if (run->bytes->failed)
            return 0; /* told by the caller */
    }
    keep(run, kept, run->in.length);
    return status;
}

static int apply_byte_level(const struct step *step, struct run *run)
{
    (void)step;
    for (size_t at = 0; at < run->in.length; at++) {
        char character[4];
        put(run, character, (size_t)utf8_encode(byte_alphabet_character((unsigned char)run->in.bytes[at]), character), at, at + 1);
    }
    return 0;
}

/* As the `tokenizers` library does: a grapheme cluster below six bytes is replaced whole where it begins with a key - the shortest counts -, else each of its
 * characters that begins with one. */
static int apply_charsmap(const struct step *step, struct run *run)
{
    enum { WHOLE_CLUSTER = 6 };
    size_t kept = 0, at = 0;
    while (at < run->in.length) {
        const char *text = run->in.bytes + at;
        size_t left = run->in.length - at;
        uint32_t character;
        struct byte_string normalized;
        int n = utf8_decode(text, left, &character);
        size_t length = n > 0 ? (size_t)n : 1, cluster = length;
        if (n > 0 && left > length)
            cluster = character_cluster(text, left);
        bool found = n > 0 && cluster < WHOLE_CLUSTER && charsmap_find(&step->map, text, cluster, false, &normalized);
        size_t end = found ? cluster : length;
        for (size_t part = 0; !found && n > 0 && part < cluster; part += length) {
            length = (size_t)utf8_decode(text + part, cluster - part, &character);
            if (charsmap_find(&step->map, text + part, length, false, &normalized)) {
                keep(run, kept, at + part);
                put(run, normalized.data, normalized.length, at + part, at + part + length);
                kept = at + part + length;
            }
            end = part + length;
        }
        if (found) {
            keep(run, kept, at);
            put(run, normalized.data, normalized.length, at, at + end);
            kept = at + end;
        }
        at += end;
        if (run->bytes->failed)
            return 0;
    }
    keep(run, kept, at);
    run->first = true; /* whatever was dropped in front: the library loses count of it */
    return 0;
}

/* As SentencePiece does: the longest key first. */
static int apply_charsmap_longest(const struct step *step, struct run *run)
{
    size_t kept = 0, at = 0;
    while (at < run->in.length) {
        uint32_t character;
        struct byte_string normalized;
        int n = utf8_decode(run->in.bytes + at, run->in.length - at, &character);
        size_t length = n > 0 ? charsmap_find(&step->map, run->in.bytes + at, run->in.length - at, true, &normalized) : 0;
        if (!length) {
            at += n > 0 ? (size_t)n : 1;
            continue;
        }
        keep(run, kept, at);
        put(run, normalized.data, normalized.length, at, at + length);
        kept = at += length;
        if (run->bytes->failed)
            return 0;
    }
    keep(run, kept, at);
    return 0;
}

/* SentencePiece's white space: every space a mark; one in front or behind; collapsed runs and no ends. */
static int apply_sentencepiece(const struct step *step, struct run *run)
{
    const struct tokenizer_normalizer *given = step->given;
    size_t at = 0, length = run->in.length;
    bool after_space = given->collapses;
    while (given->collapses && at < length && run->in.bytes[at] == ' ')
        at++;
    if (at == length)
        return 0;
    if (given->left)
        put(run, space_mark, SPACE_MARK, 0, 0);
    while (at < length) {
        const char *space = memchr(run->in.bytes + at, ' ', length - at);
        size_t end = space ? (size_t)(space - run->in.bytes) : length;
        keep(run, at, end);
        after_space = after_space && end == at;
        if (space && !(after_space && given->collapses))
            put(run, space_mark, SPACE_MARK, end, end + 1);
        after_space = given->collapses;
        at = end + (space != NULL);
    }
    struct buffer *bytes = run->bytes;
    while (given->collapses && bytes->length >= SPACE_MARK && memcmp(bytes->data + bytes->length - SPACE_MARK, space_mark, SPACE_MARK) == 0) {
        bytes->length -= SPACE_MARK;
        run->origins->length -= run->in.origins ? SPACE_MARK : 0;
    }
    if (given->right)
        put(run, space_mark, SPACE_MARK, 0, 0);
    return 0;
}

/* ---- all ---- */

static const struct step_row rows[] = {
    [NORMALIZER_NFC] = {.apply = apply_form, .form = FORM_NFC},
    [NORMALIZER_NFD] = {.apply = apply_form, .form = FORM_NFD},
    [NORMALIZER_NFKC] = {.apply = apply_form, .form = FORM_NFKC},
    [NORMALIZER_NFKD] = {.apply = apply_form, .form = FORM_NFKD},
    [NORMALIZER_LOWERCASE] = {.apply = apply_map, .map = map_lower},
    [NORMALIZER_STRIP_ACCENTS] = {.apply = apply_map, .map = map_accent},
    [NORMALIZER_STRIP] = {.apply = apply_strip},
    [NORMALIZER_REPLACE] = {.apply = apply_replace},
    [NORMALIZER_PREPEND] = {.apply = apply_prepend},
    [NORMALIZER_NMT] = {.apply = apply_map, .map = map_nmt},
    [NORMALIZER_BERT_CLEAN] = {.apply = apply_map, .map = map_clean},
    [NORMALIZER_BERT_ACCENTS] = {.apply = apply_map, .map = map_bert_accent},
    [NORMALIZER_BERT_CHINESE] = {.apply = apply_map, .map = map_chinese},
    [NORMALIZER_CHARSMAP] = {.apply = apply_charsmap},
    [NORMALIZER_CHARSMAP_LONGEST] = {.apply = apply_charsmap_longest},
    [NORMALIZER_BYTE_LEVEL] = {.apply = apply_byte_level},
    [NORMALIZER_SENTENCEPIECE] = {.apply = apply_sentencepiece},
};

static int prepare_step(struct step *step, struct error *err)
{
    const struct tokenizer_normalizer *given = step->given;
    if ((unsigned)given->kind >= sizeof rows / sizeof *rows)
        return error_set(err, SAMPAN_EINTERNAL, "a normalizer of the unknown kind %d", (int)given->kind);
    step->row = &rows[given->kind];
    if (given->kind == NORMALIZER_REPLACE)
        return regex_compile(given->pattern, given->literal ? REGEX_LITERAL : REGEX_PUBLISHED, &step->regex, err);
    if (given->kind == NORMALIZER_CHARSMAP || given->kind == NORMALIZER_CHARSMAP_LONGEST)
        return charsmap_open(given->content, &step->map, err);
    return 0;
}

int normalizer_create(const struct tokenizer_normalizer *steps, int n_steps, struct normalizer **out, struct error *err)
{
    int status = 0;
    *out = NULL;
    struct normalizer *normalizer = mem_zalloc(sizeof *normalizer + (size_t)n_steps * sizeof *normalizer->steps);
    if (!normalizer)
        return error_no_memory(err, "making a normalizer");
    for (int i = 0; i < n_steps && !status; i++) {
        normalizer->steps[normalizer->n_steps++].given = &steps[i];
        status = prepare_step(&normalizer->steps[i], err);
    }
    if (status)
        normalizer_free(normalizer);
    else
        *out = normalizer;
    return status;
}

void normalizer_free(struct normalizer *normalizer)
{
    if (!normalizer)
        return;
    for (int i = 0; i < normalizer->n_steps; i++)
        regex_free(normalizer->steps[i].regex);
    mem_free(normalizer);
}

void normalizer_scratch_free(struct normalizer_scratch *scratch)
{
    regex_scratch_free(&scratch->regex);
    for (int i = 0; i < 2; i++) {
        buffer_free(&scratch->bytes[i]);
        buffer_free(&scratch->origins[i]);
    }
}

/* Would the step change nothing? Cautious for "no". */
static bool changes_nothing(const struct step *step, struct normal_text text)
{
    return !text.length || (step->row->apply == apply_form && compose_is_normal(step->row->form, text.bytes, text.length));
}

/* What a text may become, in bytes: NFKD grows one at most eighteenfold, other published steps less; steps that a hostile file repeats may double it each. */
static size_t growth_limit(size_t length)
{
    size_t most = 18 * (size_t)LIMIT_TEXT, usual = 64 * length + 65536;
    return usual < most ? usual : most;
}

int normalizer_run(const struct normalizer *normalizer, struct normalizer_scratch *scratch, struct normal_text text, struct normal_text *out, struct error *err)
{
    size_t limit = growth_limit(text.length);
    for (int i = 0, side = 0; i < normalizer->n_steps; i++) {
        const struct step *step = &normalizer->steps[i];
        if (changes_nothing(step, text))
            continue;
        struct run run = {scratch, text, &scratch->bytes[side], &scratch->origins[side], false, err};
        struct buffer *buffers[2] = {run.bytes, run.origins};
        for (int k = 0; k < 2; k++) {
            buffers[k]->limit = limit;
            buffer_clear(buffers[k]);
        }
        int status = step->row->apply(step, &run);
        if (status)
            return status == SAMPAN_ENOMEM ? error_no_memory(err, "normalizing a text") : status;
        for (int k = 0; k < 2; k++)
            if (buffers[k]->failed)
                return error_set(err, buffers[k]->failed, "normalizing a text of %zu bytes: %s", text.length, error_code_name(buffers[k]->failed));
        text = (struct normal_text){run.bytes->length ? run.bytes->data : "", run.bytes->length, text.origins ? (const unsigned char *)run.origins->data : NULL,
                                    text.first && run.first};
        side = !side;
    }
    *out = text;
    return 0;
}
