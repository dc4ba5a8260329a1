#include "text/tokenizer/pretokenizer.h"

#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
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
    enum split_behavior behavior;
    bool inverted;
    unsigned flags;              /* find_character: a character with any of these flags */
    uint32_t length;             /* find_fixed */
    enum prepend_scheme prepend; /* which pieces get `mark` in front */
    struct byte_string mark;     /* length 0: pieces are not rewritten */
    bool replaces_spaces;        /* by the mark */
};

struct pretokenizer {
    bool prefers_whole_words, splits_digits, uses_regex;
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
    (void)text;
    return regex_find(stage->regex, &split->scratch->regex, subject, length, at, start, end, split->err);
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

/* The next stage to fill. */
static int add_stage(struct pretokenizer *pretokenizer, find_match *find, enum split_behavior behavior, struct stage **stage, struct error *err)
{
    if (pretokenizer->n_stages == PRETOKENIZER_STAGES)
        return error_set(err, SAMPAN_ELIMIT, "the pre-tokenizer has more than %d stages", PRETOKENIZER_STAGES);
    *stage = &pretokenizer->stages[pretokenizer->n_stages++];
    **stage = (struct stage){.find = find, .behavior = behavior};
    return 0;
}

static int add_regex(struct pretokenizer *pretokenizer, struct byte_string pattern, enum regex_source source, enum split_behavior behavior,
                     struct stage **stage, struct error *err)
{
    int status = add_stage(pretokenizer, find_regex, behavior, stage, err);
    pretokenizer->uses_regex = true;
    return status ? status : regex_compile(pattern, source, &(*stage)->regex, err);
}

static int add_metaspace(struct pretokenizer *pretokenizer, const struct tokenizer_stage *given, struct error *err)
{
    struct stage *stage = NULL;
    int status = given->splits ? add_regex(pretokenizer, given->pattern, REGEX_LITERAL, SPLIT_MERGED_WITH_NEXT, &stage, err)
                               : add_stage(pretokenizer, NULL, SPLIT_ISOLATED, &stage, err);
    if (status)
        return status;
    stage->mark = given->pattern;
    stage->prepend = given->prepend;
    stage->replaces_spaces = true;
    return 0;
}

static int add_byte_level(struct pretokenizer *pretokenizer, const struct tokenizer_stage *given, struct error *err)
{
    struct stage *stage = NULL;
    int status = given->use_pattern ? add_regex(pretokenizer, string_of(GPT2_PATTERN), REGEX_TRUSTED, SPLIT_ISOLATED, &stage, err)
                                    : add_stage(pretokenizer, NULL, SPLIT_ISOLATED, &stage, err);
    if (status)
        return status;
    if (given->add_prefix_space) {
        stage->mark = string_of(" ");
        stage->prepend = PREPEND_ALWAYS;
    }
    return 0;
}

static int add_given_stage(struct pretokenizer *pretokenizer, const struct tokenizer_stage *given, struct error *err)
{
    struct stage *stage = NULL;
    int status = 0;
    switch (given->kind) {
    case STAGE_SPLIT:
        status = add_regex(pretokenizer, given->pattern, given->literal ? REGEX_LITERAL : REGEX_PUBLISHED, given->behavior, &stage, err);
        if (stage)
            stage->inverted = given->inverted;
        return status;
    case STAGE_DIGITS: pretokenizer->splits_digits = true; return add_regex(pretokenizer, string_of("\\p{N}"), REGEX_TRUSTED, given->behavior, &stage, err);
    case STAGE_BYTE_LEVEL: return add_byte_level(pretokenizer, given, err);
    case STAGE_METASPACE: return add_metaspace(pretokenizer, given, err);
    case STAGE_WORDS:
        status = add_stage(pretokenizer, find_run, SPLIT_REMOVED, &stage, err);
        if (!status)
            stage->inverted = true;
        return status;
    case STAGE_BERT:
    case STAGE_WHITE_SPACE:
        status = add_stage(pretokenizer, find_character, SPLIT_REMOVED, &stage, err);
        if (!status)
            stage->flags = CHARACTER_WHITE_SPACE;
        if (status || given->kind != STAGE_BERT)
            return status;
        status = add_stage(pretokenizer, find_character, SPLIT_ISOLATED, &stage, err);
        if (!status)
            stage->flags = CHARACTER_PUNCTUATION;
        return status;
    case STAGE_PUNCTUATION:
        status = add_stage(pretokenizer, find_character, given->behavior, &stage, err);
        if (!status)
            stage->flags = CHARACTER_PUNCTUATION;
        return status;
    case STAGE_CHARACTER: return add_regex(pretokenizer, given->pattern, REGEX_LITERAL, SPLIT_REMOVED, &stage, err);
    case STAGE_SCRIPTS:
        status = add_stage(pretokenizer, find_script, SPLIT_REMOVED, &stage, err);
        if (!status)
            stage->inverted = true;
        return status;
    case STAGE_FIXED_LENGTH:
        status = add_stage(pretokenizer, find_fixed, SPLIT_ISOLATED, &stage, err);
        if (!status)
            stage->length = given->length;
        return status;
    }
    return error_set(err, SAMPAN_EINTERNAL, "a pre-tokenizer stage of the unknown kind %d", (int)given->kind);
}

static int fill_from_row(struct pretokenizer *pretokenizer, const struct pretokenizer_row *row, struct error *err)
{
    int status = 0;
    struct stage *stage = NULL;
    pretokenizer->prefers_whole_words = row->prefers_whole_words;
    pretokenizer->splits_digits = row->splits_digits;
    for (int i = 0; i < NAMED_STAGES && row->stages[i] && !status; i++)
        status = add_regex(pretokenizer, string_of(row->stages[i]), REGEX_TRUSTED, SPLIT_ISOLATED, &stage, err);
    return status;
}

/* From a row, or from stages where `row` is NULL. */
static int create(const struct pretokenizer_row *row, const struct tokenizer_stage *stages, int n_stages, struct pretokenizer **out, struct error *err)
{
    struct pretokenizer *pretokenizer = mem_zalloc(sizeof *pretokenizer);
    int status = pretokenizer ? 0 : error_no_memory(err, "making a pre-tokenizer");
    if (!status && row)
        status = fill_from_row(pretokenizer, row, err);
    for (int i = 0; !status && !row && i < n_stages; i++)
        status = add_given_stage(pretokenizer, &stages[i], err);
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
    return row ? create(row, NULL, 0, pretokenizer, err) : pretokenizer_refuse_name(name, err);
}

int pretokenizer_create_from_stages(const struct tokenizer_stage *stages, int n_stages, bool ignore_merges, struct pretokenizer **pretokenizer,
                                    struct error *err)
{
    *pretokenizer = NULL;
    int status = create(NULL, stages, n_stages, pretokenizer, err);
    if (!status)
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

/* Cuts a piece from stage `at` on. Depth of recursion: the number of stages. An empty match cuts where it stands, except directly behind
 * another match. */
static int cut(struct split *split, int at_stage, struct piece piece)
{
    if (!piece.length)
        return 0;
    if (at_stage == split->pretokenizer->n_stages)
        return split->visit(split->context, piece.text, piece.length, false);
    const struct stage *stage = &split->pretokenizer->stages[at_stage];
    int status = stage->mark.length ? rewrite(split, at_stage, &piece) : 0;
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
