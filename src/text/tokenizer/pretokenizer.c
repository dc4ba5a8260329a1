#include "text/tokenizer/pretokenizer.h"

#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/characters.h"
#include "text/tokenizer/pretokenizer_names.h"

struct split;
struct stage;

/* Finds the next match in subject[0..length) (text is the same without stand-ins) from `at` on: 1, 0 or an error. */
typedef int find_match(const struct stage *stage, struct split *split, const char *text, const char *subject, size_t length, size_t at, size_t *start,
                       size_t *end);

struct stage {
    find_match *find; /* NULL: pieces stay whole */
    struct regex *regex;
    bool needs_shadow; /* the pattern looks at the subject, not at the text */
    enum split_behavior behavior;
    bool inverted;
    unsigned flags;              /* find_character: a character with any of these flags */
    uint32_t length;             /* find_fixed */
    enum prepend_scheme prepend; /* which pieces get `mark` in front */
    struct byte_string mark;     /* length 0: pieces are not rewritten */
    bool writes_alphabet;        /* the piece goes on in GPT-2's alphabet for bytes */
    bool replaces_spaces;        /* by the mark */
};

struct pretokenizer {
    bool prefers_whole_words, splits_digits, uses_regex;
    bool in_alphabet; /* words come out of the last stage in the alphabet */
    int n_stages;
    struct stage stages[PRETOKENIZER_STAGES];
};

/* A piece on its way. Patterns look at `subject`, words are given out of `text`; the two differ only in stand-ins, which have equal lengths. */
struct piece {
    const char *text, *subject;
    size_t length;
    bool first;     /* begins where the whole text does */
    bool continued; /* goes on behind an ill-formed byte: no mark is put in front */
};

struct split {
    const struct pretokenizer *pretokenizer;
    struct pretokenizer_scratch *scratch;
    pretokenizer_visit *visit;
    void *context;
    struct error *err;
};

/* ---- matches ---- */

static int find_regex(const struct stage *stage, struct split *split, const char *text, const char *subject, size_t length, size_t at, size_t *start,
                      size_t *end)
{
    return regex_find(stage->regex, &split->scratch->regex, stage->needs_shadow ? subject : text, length, at, start, end, split->err);
}

/* One character with any of the stage's flags. */
static int find_character(const struct stage *stage, struct split *split, const char *text, const char *subject, size_t length, size_t at, size_t *start,
                          size_t *end)
{
    (void)split;
    (void)subject;
    while (at < length) {
        uint32_t character = 0;
        int n = utf8_decode(text + at, length - at, &character);
        if (character_flags(character) & stage->flags) {
            *start = at;
            *end = at + (size_t)n;
            return 1;
        }
        at += (size_t)n;
    }
    return 0;
}

/* \w+|[^\w\s]+ */
static int find_run(const struct stage *stage, struct split *split, const char *text, const char *subject, size_t length, size_t at, size_t *start, size_t *end)
{
    unsigned kind = 0;
    bool found = false;
    (void)stage;
    (void)split;
    (void)subject;
    while (at < length) {
        uint32_t character = 0;
        int n = utf8_decode(text + at, length - at, &character);
        unsigned flags = character_flags(character) & (CHARACTER_WORD | CHARACTER_WHITE_SPACE);
        if (!found && flags != CHARACTER_WHITE_SPACE) {
            found = true;
            kind = flags & CHARACTER_WORD;
            *start = at;
        } else if (found && (flags == CHARACTER_WHITE_SPACE || (flags & CHARACTER_WORD) != kind)) {
            break;
        }
        at += (size_t)n;
    }
    *end = at;
    return found;
}

/* Up to where the script changes. As in the `tokenizers` library, characters of any script do not begin a piece: at the start of a text they are lost. */
static int find_script(const struct stage *stage, struct split *split, const char *text, const char *subject, size_t length, size_t at, size_t *start,
                       size_t *end)
{
    unsigned script = 0;
    (void)stage;
    (void)split;
    (void)subject;
    while (at < length) {
        uint32_t character = 0;
        int n = utf8_decode(text + at, length - at, &character);
        unsigned next = character_script(character);
        if (next && script && next != script)
            break;
        if (next && !script) {
            script = next;
            *start = at;
        }
        at += (size_t)n;
    }
    *end = at;
    return script != 0;
}

static int find_fixed(const struct stage *stage, struct split *split, const char *text, const char *subject, size_t length, size_t at, size_t *start,
                      size_t *end)
{
    (void)split;
    (void)subject;
    *start = at;
    for (uint32_t i = 0; i < stage->length && at < length; i++) {
        uint32_t character;
        at += (size_t)utf8_decode(text + at, length - at, &character);
    }
    *end = at;
    return at > *start;
}

/* ---- creation ---- */

static struct byte_string string_of(const char *text)
{
    return (struct byte_string){text, strlen(text)};
}

/* The next stage to fill; NULL: there are too many. */
static struct stage *add_stage(struct pretokenizer *pretokenizer, find_match *find, enum split_behavior behavior, struct error *err)
{
    if (pretokenizer->n_stages == PRETOKENIZER_STAGES) {
        error_set(err, SAMPAN_ELIMIT, "the pre-tokenizer has more than %d stages", PRETOKENIZER_STAGES);
        return NULL;
    }
    struct stage *stage = &pretokenizer->stages[pretokenizer->n_stages++];
    *stage = (struct stage){.find = find, .behavior = behavior};
    return stage;
}

/* A stage by a pattern, or (length 0) one that leaves pieces whole. */
static int add_regex(struct pretokenizer *pretokenizer, struct byte_string pattern, enum regex_source source, const struct stage *settings, struct error *err)
{
    struct stage *stage = add_stage(pretokenizer, pattern.length ? find_regex : NULL, settings->behavior, err);
    if (!stage)
        return SAMPAN_ELIMIT;
    stage->inverted = settings->inverted;
    stage->mark = settings->mark;
    stage->prepend = settings->prepend;
    stage->replaces_spaces = settings->replaces_spaces;
    if (!pattern.length)
        return 0;
    pretokenizer->uses_regex = true;
    int status = regex_compile(pattern, source, &stage->regex, err);
    stage->needs_shadow = !status && regex_needs_shadow(stage->regex);
    return status;
}

/* A stage by characters, runs or lengths. `inverted`: what is found is kept, the rest is what `behavior` speaks of. */
static int add_found(struct pretokenizer *pretokenizer, find_match *find, enum split_behavior behavior, bool inverted, unsigned flags, struct error *err)
{
    struct stage *stage = add_stage(pretokenizer, find, behavior, err);
    if (!stage)
        return SAMPAN_ELIMIT;
    stage->inverted = inverted;
    stage->flags = flags;
    return 0;
}

/* Stages behind it see bytes as characters of the alphabet ("\u0432" as two, of which the second is a superscript two). */
static int add_byte_level(struct pretokenizer *pretokenizer, const struct tokenizer_stage *given, bool is_last, struct error *err)
{
    const struct stage settings = {.mark = string_of(given->add_prefix_space ? " " : ""), .prepend = PREPEND_ALWAYS};
    int status = add_regex(pretokenizer, string_of(given->use_pattern ? GPT2_PATTERN : ""), REGEX_TRUSTED, &settings, err);
    if (status || is_last)
        return status;
    struct stage *stage = add_stage(pretokenizer, NULL, SPLIT_ISOLATED, err);
    if (!stage)
        return SAMPAN_ELIMIT;
    stage->writes_alphabet = pretokenizer->in_alphabet = true;
    return 0;
}

static int add_metaspace(struct pretokenizer *pretokenizer, const struct tokenizer_stage *given, struct error *err)
{
    const struct stage settings = {.behavior = SPLIT_MERGED_WITH_NEXT, .mark = given->pattern, .prepend = given->prepend, .replaces_spaces = true};
    return add_regex(pretokenizer, given->splits ? given->pattern : string_of(""), REGEX_LITERAL, &settings, err);
}

static int add_fixed_length(struct pretokenizer *pretokenizer, uint32_t length, struct error *err)
{
    struct stage *stage = add_stage(pretokenizer, find_fixed, SPLIT_ISOLATED, err);
    if (stage)
        stage->length = length;
    return stage ? 0 : SAMPAN_ELIMIT;
}

static int add_given_stage(struct pretokenizer *pretokenizer, const struct tokenizer_stage *given, enum regex_source source, bool is_last, struct error *err)
{
    const struct stage settings = {.behavior = given->behavior, .inverted = given->inverted}, removed = {.behavior = SPLIT_REMOVED};
    int status;
    switch (given->kind) {
    case STAGE_SPLIT: return add_regex(pretokenizer, given->pattern, given->literal ? REGEX_LITERAL : source, &settings, err);
    case STAGE_DIGITS: pretokenizer->splits_digits = true; return add_regex(pretokenizer, string_of("\\p{N}"), REGEX_TRUSTED, &settings, err);
    case STAGE_BYTE_LEVEL: return add_byte_level(pretokenizer, given, is_last, err);
    case STAGE_METASPACE: return add_metaspace(pretokenizer, given, err);
    case STAGE_WORDS: return add_found(pretokenizer, find_run, SPLIT_REMOVED, true, 0, err);
    case STAGE_WHITE_SPACE: return add_found(pretokenizer, find_character, SPLIT_REMOVED, false, CHARACTER_WHITE_SPACE, err);
    case STAGE_PUNCTUATION: return add_found(pretokenizer, find_character, given->behavior, false, CHARACTER_PUNCTUATION, err);
    case STAGE_BERT:
        status = add_found(pretokenizer, find_character, SPLIT_REMOVED, false, CHARACTER_WHITE_SPACE, err);
        return status ? status : add_found(pretokenizer, find_character, SPLIT_ISOLATED, false, CHARACTER_PUNCTUATION, err);
    case STAGE_CHARACTER: return add_regex(pretokenizer, given->pattern, REGEX_LITERAL, &removed, err);
    case STAGE_SCRIPTS: return add_found(pretokenizer, find_script, SPLIT_REMOVED, true, 0, err);
    case STAGE_FIXED_LENGTH: return add_fixed_length(pretokenizer, given->length, err);
    }
    return error_set(err, SAMPAN_EINTERNAL, "a pre-tokenizer stage of the unknown kind %d", (int)given->kind);
}

static int create(const struct tokenizer_stage *stages, int n_stages, enum regex_source source, struct pretokenizer **out, struct error *err)
{
    struct pretokenizer *pretokenizer = mem_zalloc(sizeof *pretokenizer);
    int status = 0;
    if (!pretokenizer)
        return error_no_memory(err, "making a pre-tokenizer");
    for (int i = 0; !status && i < n_stages; i++)
        status = add_given_stage(pretokenizer, &stages[i], source, i + 1 == n_stages, err);
    if (status)
        pretokenizer_free(pretokenizer);
    else
        *out = pretokenizer;
    return status;
}

int pretokenizer_create(const char *name, struct pretokenizer **pretokenizer, struct error *err)
{
    *pretokenizer = NULL;
    if (!name || !*name)
        name = "default";
    const struct pretokenizer_row *row = pretokenizer_find_row(name);
    if (!row)
        return pretokenizer_refuse_name(name, err);
    int status = create(row->stages, row->n_stages, REGEX_TRUSTED, pretokenizer, err);
    if (*pretokenizer)
        (*pretokenizer)->prefers_whole_words = row->prefers_whole_words;
    return status;
}

int pretokenizer_create_from_stages(const struct tokenizer_stage *stages, int n_stages, bool ignore_merges, struct pretokenizer **pretokenizer,
                                    struct error *err)
{
    *pretokenizer = NULL;
    int status = create(stages, n_stages, REGEX_PUBLISHED, pretokenizer, err);
    if (*pretokenizer)
        (*pretokenizer)->prefers_whole_words = ignore_merges;
    return status;
}

void pretokenizer_free(struct pretokenizer *pretokenizer)
{
    if (!pretokenizer)
        return;
    for (int i = 0; i < pretokenizer->n_stages; i++)
        regex_free(pretokenizer->stages[i].regex);
    mem_free(pretokenizer);
}

bool pretokenizer_prefers_whole_words(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->prefers_whole_words;
}

void pretokenizer_scratch_free(struct pretokenizer_scratch *scratch)
{
    regex_scratch_free(&scratch->regex);
    for (int i = 0; i < PRETOKENIZER_STAGES; i++)
        for (int k = 0; k < 2; k++)
            buffer_free(&scratch->rewritten[i][k]);
    buffer_free(&scratch->word);
}

/* ---- cutting ---- */

static int cut(struct split *split, int stage, struct piece piece);

/* The pieces of one stage in one piece of the stage before: matches and what lies between them arrive in order; as soon as nothing more can be joined to a
 * piece it goes on to the next stage. */
struct pieces {
    struct split *split;
    int stage;
    const struct piece *whole;
    size_t start, end; /* the piece that waits; empty: start == end */
    bool has_waiting;
    bool last_counts; /* did the last part count as a match? */
};

static int flush_piece(struct pieces *pieces)
{
    const struct piece *whole = pieces->whole;
    bool at_start = pieces->start == 0;
    if (!pieces->has_waiting)
        return 0;
    pieces->has_waiting = false;
    return cut(pieces->split, pieces->stage + 1,
               (struct piece){whole->text + pieces->start, whole->subject + pieces->start, pieces->end - pieces->start, at_start && whole->first,
                              at_start && whole->continued});
}

/* A match (`matched`) or what lies between two of them. What is joined to what: as the `tokenizers` library does, empty matches included. */
static int add_part(struct pieces *pieces, size_t start, size_t end, bool matched)
{
    const struct stage *stage = &pieces->split->pretokenizer->stages[pieces->stage];
    bool counts = matched != stage->inverted, joins = false;
    if (stage->behavior == SPLIT_CONTIGUOUS)
        joins = counts == pieces->last_counts;
    else if (stage->behavior == SPLIT_MERGED_WITH_PREVIOUS)
        joins = counts && !pieces->last_counts;
    else if (stage->behavior == SPLIT_MERGED_WITH_NEXT) /* the library goes from the end: of neighbouring matches only the last joins */
        joins = !counts && pieces->last_counts;
    pieces->last_counts = counts;
    if (joins && pieces->has_waiting) {
        pieces->end = end;
        return 0;
    }
    int status = flush_piece(pieces);
    pieces->has_waiting = stage->behavior != SPLIT_REMOVED || !counts;
    pieces->start = start;
    pieces->end = end;
    return status;
}

static size_t character_length(const char *text, size_t length)
{
    uint32_t character;
    int n = utf8_decode(text, length, &character);
    return n > 0 ? (size_t)n : 1;
}

/* The piece with spaces as marks and a mark in front, in the scratch of the stage. */
static int rewrite(struct split *split, int at, struct piece *piece)
{
    const struct stage *stage = &split->pretokenizer->stages[at];
    const struct byte_string mark = stage->mark;
    const char *sources[2] = {piece->text, piece->subject};
    bool marked = (piece->length >= mark.length && memcmp(piece->text, mark.data, mark.length) == 0) || (stage->replaces_spaces && piece->text[0] == ' ');
    bool prepends = !marked && !piece->continued && (stage->prepend == PREPEND_ALWAYS || (stage->prepend == PREPEND_FIRST && piece->first));
    bool replaces = stage->replaces_spaces && memchr(piece->text, ' ', piece->length);
    int n = piece->text == piece->subject ? 1 : 2, status = 0;
    if (!prepends && !replaces)
        return 0;
    for (int i = 0; i < n && !status; i++) {
        struct buffer *out = &split->scratch->rewritten[at][i];
        if (!out->limit)
            buffer_init(out, SIZE_MAX / 2);
        buffer_clear(out);
        if (prepends)
            buffer_append(out, mark.data, mark.length);
        for (size_t from = 0, end; from < piece->length; from = end + 1) {
            const char *space = replaces ? memchr(sources[i] + from, ' ', piece->length - from) : NULL;
            end = space ? (size_t)(space - sources[i]) : piece->length;
            buffer_append(out, sources[i] + from, end - from);
            if (space)
                buffer_append(out, mark.data, mark.length);
        }
        status = out->failed;
    }
    if (status)
        return error_no_memory(split->err, "pre-tokenizing");
    piece->text = split->scratch->rewritten[at][0].data;
    piece->subject = split->scratch->rewritten[at][n - 1].data;
    piece->length = split->scratch->rewritten[at][0].length;
    return 0;
}

/* Bytes as characters of the alphabet, in the scratch of the stage. */
static int write_in_alphabet(struct split *split, int at, struct piece *piece)
{
    struct buffer *out = &split->scratch->rewritten[at][0];
    if (!out->limit)
        buffer_init(out, SIZE_MAX / 2);
    buffer_clear(out);
    for (size_t i = 0; i < piece->length; i++) {
        char character[4];
        buffer_append(out, character, (size_t)utf8_encode(byte_alphabet_character((unsigned char)piece->text[i]), character));
    }
    piece->text = piece->subject = out->data;
    piece->length = out->length;
    return out->failed ? error_no_memory(split->err, "pre-tokenizing") : 0;
}

static int visit_word(struct split *split, struct piece piece)
{
    struct buffer *out = &split->scratch->word;
    size_t n = 0;
    if (!split->pretokenizer->in_alphabet)
        return split->visit(split->context, piece.text, piece.length, false);
    if (!out->limit)
        buffer_init(out, SIZE_MAX / 2);
    buffer_clear(out);
    if (buffer_reserve(out, piece.length))
        return error_no_memory(split->err, "pre-tokenizing");
    byte_alphabet_to_bytes(piece.text, piece.length, out->data, &n);
    return split->visit(split->context, out->data, n, false);
}

/* Cuts a piece from stage `at` on. Depth of recursion: the number of stages. An empty match cuts where it stands, except directly behind
 * another match. */
static int cut(struct split *split, int at_stage, struct piece piece)
{
    if (!piece.length)
        return 0;
    if (at_stage == split->pretokenizer->n_stages)
        return visit_word(split, piece);
    const struct stage *stage = &split->pretokenizer->stages[at_stage];
    int status = stage->mark.length ? rewrite(split, at_stage, &piece) : stage->writes_alphabet ? write_in_alphabet(split, at_stage, &piece) : 0;
    if (status)
        return status;
    if (!stage->find)
        return cut(split, at_stage + 1, piece);
    struct pieces pieces = {.split = split, .stage = at_stage, .whole = &piece};
    size_t at = 0, done = 0, last_end = SIZE_MAX, start = 0, end = 0;
    while (at <= piece.length && !status) {
        int found = stage->find(stage, split, piece.text, piece.subject, piece.length, at, &start, &end);
        if (found <= 0) {
            status = found;
            break;
        }
        if (start == end && end == last_end) {
            at += character_length(piece.subject + at, piece.length - at);
            continue;
        }
        if (done < start)
            status = add_part(&pieces, done, start, false);
        if (!status)
            status = add_part(&pieces, start, end, true);
        done = at = last_end = end;
    }
    if (!status && done < piece.length)
        status = add_part(&pieces, done, piece.length, false);
    return status ? status : flush_piece(&pieces);
}

int pretokenizer_split(const struct pretokenizer *pretokenizer, struct pretokenizer_scratch *scratch, const char *text, size_t length, bool first,
                       pretokenizer_visit *visit, void *context, struct error *err)
{
    struct split split = {pretokenizer, scratch, visit, context, err};
    int status = pretokenizer->uses_regex ? regex_prepare(&scratch->regex, length, err) : 0;
    for (size_t at = 0; at < length && !status;) {
        size_t stretch = length - at;
        if (!utf8_is_valid(text + at, length - at, &stretch) && !stretch) {
            status = visit(context, text + at++, 1, true);
            continue;
        }
        struct piece piece = {text + at, text + at, stretch, first && !at, at > 0};
        if (pretokenizer->uses_regex)
            piece.subject = regex_shadow(&scratch->regex, piece.text, stretch, pretokenizer->splits_digits, err);
        status = piece.subject ? cut(&split, 0, piece) : SAMPAN_ENOMEM;
        at += stretch;
    }
    return status;
}
