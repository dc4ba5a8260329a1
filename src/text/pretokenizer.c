#include "text/pretokenizer.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/pattern.h"
#include "text/stand_ins.h"

enum { MAX_STAGES = 16, MAX_ROW_STAGES = 4 }; /* published: up to 5 */

/* Backtracking of the patterns below is linear in the text, so these limits are only met by a pattern that is a bug. */
#define MATCH_STEPS_MINIMUM 10000000u
#define MATCH_STEPS_PER_BYTE 32u
#define MATCH_HEAP_KIB (64u << 10)   /* of PCRE2's interpreter, where there is no JIT */
#define JIT_STACK_MAXIMUM (1u << 20) /* bytes */

struct pretokenizer_row {
    const char *names; /* separated by spaces, as converters write them */
    bool prefers_whole_words;
    bool splits_digits; /* the first stage is the `Digits` splitter: its idea of a digit is one Unicode version newer, see stand_ins.h */
    const char *stages[MAX_ROW_STAGES];
};

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CL100K_START "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define CL100K_END "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Patterns as the models' tokenizer.json states them. Names: those that the converters of llama.cpp write into tokenizer.ggml.pre. */
static const struct pretokenizer_row rows[] = {
    {.names = "default gpt-2 phi-2 olmo jais mpt", .stages = {GPT2}},
    {.names = "smollm starcoder refact command-r codeshell", .splits_digits = true, .stages = {"\\p{N}", GPT2}},
    {.names = "llama-bpe llama3 llama-v3", .prefers_whole_words = true, .stages = {CL100K_START "\\p{N}{1,3}" CL100K_END}},
    {.names = "qwen2 deepseek-r1-qwen stablelm2", .stages = {CL100K_START "\\p{N}" CL100K_END}},
    {.names = "deepseek-v3",
     .stages = {"\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"
                "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
};

struct stage {
    pcre2_code *code;
    enum split_behavior behavior;
    bool inverted;
    char shown[64]; /* the beginning of the pattern, for messages */
};

struct pretokenizer {
    bool prefers_whole_words, splits_digits, adds_space;
    int n_stages;
    struct stage stages[MAX_STAGES];
};

static void *allocate(PCRE2_SIZE size, void *data)
{
    (void)data;
    return mem_alloc(size);
}

static void release(void *memory, void *data)
{
    (void)data;
    mem_free(memory);
}

static const struct pretokenizer_row *find_row(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (const char *at = rows[i].names; *at;) {
            size_t n = strcspn(at, " ");
            if (n == length && memcmp(at, name, n) == 0)
                return &rows[i];
            at += n + strspn(at + n, " ");
        }
    }
    return NULL;
}

static int refuse_name(const char *name, struct error *err)
{
    struct buffer known;
    buffer_init(&known, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buffer_printf(&known, "%s%s", i ? " " : "", rows[i].names);
    if (known.failed) {
        buffer_free(&known);
        return error_no_memory(err, "naming the known pre-tokenizers");
    }
    error_set(err, SAMPAN_EUNSUPPORTED,
              "the tokenizer names the pre-tokenizer '%.100s', which this version does not know (known: %s); use a model with one of these, or a newer version",
              name, known.data);
    buffer_free(&known);
    return SAMPAN_EUNSUPPORTED;
}

/* Adds a stage. `options`: PCRE2_LITERAL or 0. */
static int compile_stage(struct pretokenizer *pretokenizer, struct byte_string pattern, uint32_t options, pcre2_compile_context *context, struct error *err)
{
    int problem;
    PCRE2_SIZE offset;
    struct stage *stage = &pretokenizer->stages[pretokenizer->n_stages];
    options |= options ? PCRE2_UTF : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE; /* in Ruby's syntax '$' is the end of a line */
    snprintf(stage->shown, sizeof stage->shown, "%s", pattern.data);
    stage->code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.length, options, &problem, &offset, context);
    if (!stage->code) {
        if (problem == PCRE2_ERROR_NOMEMORY || problem == PCRE2_ERROR_HEAP_FAILED)
            return error_no_memory(err, "compiling a pre-tokenizer pattern");
        char text[200] = "?";
        pcre2_get_error_message(problem, (PCRE2_UCHAR *)text, sizeof text);
        return error_set(err, SAMPAN_EUNSUPPORTED, "compiling the pre-tokenizer pattern '%.300s': %s at byte %zu", pattern.data, text, (size_t)offset);
    }
    pcre2_jit_compile(stage->code, PCRE2_JIT_COMPLETE); /* a system without executable memory falls back to the interpreter: same matches, slower */
    pretokenizer->n_stages++;
    return 0;
}

static struct byte_string string_of(const char *text)
{
    return (struct byte_string){text, strlen(text)};
}

static int compile_row(struct pretokenizer *pretokenizer, const struct pretokenizer_row *row, pcre2_compile_context *context, struct error *err)
{
    int status = 0;
    pretokenizer->prefers_whole_words = row->prefers_whole_words;
    pretokenizer->splits_digits = row->splits_digits;
    for (int i = 0; i < MAX_ROW_STAGES && row->stages[i] && !status; i++)
        status = compile_stage(pretokenizer, string_of(row->stages[i]), 0, context, err);
    return status;
}

static int compile_given_stage(struct pretokenizer *pretokenizer, const struct tokenizer_stage *given, pcre2_compile_context *context, struct error *err)
{
    struct stage *stage = &pretokenizer->stages[pretokenizer->n_stages];
    stage->behavior = given->behavior;
    stage->inverted = given->inverted;
    switch (given->kind) {
    case STAGE_DIGITS: pretokenizer->splits_digits = true; return compile_stage(pretokenizer, string_of("\\p{N}"), 0, context, err);
    case STAGE_BYTE_LEVEL:
        pretokenizer->adds_space = given->add_prefix_space;
        *stage = (struct stage){0};
        return given->use_pattern ? compile_stage(pretokenizer, string_of(GPT2), 0, context, err) : 0;
    case STAGE_SPLIT: {
        int status = given->literal ? 0 : pattern_check(given->pattern, err);
        return status ? status : compile_stage(pretokenizer, given->pattern, given->literal ? PCRE2_LITERAL : 0, context, err);
    }
    }
    return error_set(err, SAMPAN_EINTERNAL, "a pre-tokenizer stage of the unknown kind %d", (int)given->kind);
}

/* From a row, or from stages where `row` is NULL. */
static int create(const struct pretokenizer_row *row, const struct tokenizer_stage *stages, int n_stages, struct pretokenizer **out, struct error *err)
{
    struct pretokenizer *pretokenizer = mem_zalloc(sizeof *pretokenizer);
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    int status = pretokenizer && context ? 0 : error_no_memory(err, "making a pre-tokenizer");
    if (!status)
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    if (!status && row)
        status = compile_row(pretokenizer, row, context, err);
    for (int i = 0; !status && !row && i < n_stages; i++)
        status = compile_given_stage(pretokenizer, &stages[i], context, err);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
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
    const struct pretokenizer_row *row = find_row(name);
    return row ? create(row, NULL, 0, pretokenizer, err) : refuse_name(name, err);
}

int pretokenizer_create_from_stages(const struct tokenizer_stage *stages, int n_stages, bool ignore_merges, struct pretokenizer **pretokenizer,
                                    struct error *err)
{
    *pretokenizer = NULL;
    if (n_stages > MAX_STAGES)
        return error_set(err, SAMPAN_ELIMIT, "the pre-tokenizer has %d stages, expected at most %d", n_stages, MAX_STAGES);
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
        pcre2_code_free(pretokenizer->stages[i].code);
    mem_free(pretokenizer);
}

bool pretokenizer_prefers_whole_words(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->prefers_whole_words;
}

bool pretokenizer_adds_space(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->adds_space;
}

static int prepare_scratch(struct pretokenizer_scratch *scratch, struct error *err)
{
    if (scratch->jit_stack)
        return 0;
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
    if (!general)
        return error_no_memory(err, "preparing to pre-tokenize");
    if (!scratch->match_data)
        scratch->match_data = pcre2_match_data_create(1, general);
    if (!scratch->match_context)
        scratch->match_context = pcre2_match_context_create(general);
    scratch->jit_stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_MAXIMUM, general);
    pcre2_general_context_free(general);
    if (!scratch->match_data || !scratch->match_context || !scratch->jit_stack)
        return error_no_memory(err, "preparing to pre-tokenize");
    pcre2_jit_stack_assign(scratch->match_context, NULL, scratch->jit_stack);
    pcre2_set_heap_limit(scratch->match_context, MATCH_HEAP_KIB);
    return 0;
}

void pretokenizer_scratch_free(struct pretokenizer_scratch *scratch)
{
    pcre2_match_data_free(scratch->match_data);
    pcre2_match_context_free(scratch->match_context);
    pcre2_jit_stack_free(scratch->jit_stack);
    mem_free(scratch->shadow);
    *scratch = (struct pretokenizer_scratch){0};
}

/* One split in progress. Patterns look at `subject`, words are given out of `text`; the two differ only in stand-ins, which have equal lengths. */
struct split {
    const struct pretokenizer *pretokenizer;
    struct pretokenizer_scratch *scratch;
    const char *text, *subject;
    pretokenizer_visit *visit;
    void *context;
    struct error *err;
};

static int match_failed(int result, const char *pattern, size_t length, struct error *err)
{
    char text[200] = "?";
    pcre2_get_error_message(result, (PCRE2_UCHAR *)text, sizeof text);
    int code = result == PCRE2_ERROR_NOMEMORY ? SAMPAN_ENOMEM : SAMPAN_ELIMIT;
    return error_set(err, code, "pre-tokenizing a piece of %zu bytes with '%.60s': %s; shorten or break up the text", length, pattern, text);
}

static int cut(struct split *split, int stage, size_t start, size_t end);

/* The pieces of one stage in one piece of the stage before: matches and what lies between them arrive in order; as soon as nothing more can be joined to a
 * piece it goes on to the next stage. */
struct pieces {
    struct split *split;
    int stage;
    size_t start, end; /* the piece that waits; empty: start == end */
    bool has_waiting;
    bool last_counts; /* did the last part count as a match? */
};

static int flush_piece(struct pieces *pieces)
{
    bool waiting = pieces->has_waiting;
    pieces->has_waiting = false;
    return waiting ? cut(pieces->split, pieces->stage + 1, pieces->start, pieces->end) : 0;
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

/* Cuts text[start..end) from stage `stage` on. Depth of recursion: the number of stages. An empty match cuts where it stands, except directly behind
 * another match. */
static int cut(struct split *split, int stage, size_t start, size_t end)
{
    if (start == end)
        return 0;
    if (stage == split->pretokenizer->n_stages)
        return split->visit(split->context, split->text + start, end - start, false);
    const struct stage *stages = &split->pretokenizer->stages[stage];
    const char *subject = split->subject + start;
    struct pieces pieces = {.split = split, .stage = stage};
    size_t length = end - start, at = 0, done = 0, last_end = SIZE_MAX;
    int status = 0;
    while (at <= length && !status) {
        int result = pcre2_match(stages->code, (PCRE2_SPTR)subject, length, at, PCRE2_NO_UTF_CHECK, split->scratch->match_data, split->scratch->match_context);
        if (result == PCRE2_ERROR_NOMATCH)
            break;
        if (result < 0)
            return match_failed(result, stages->shown, length, split->err);
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(split->scratch->match_data);
        size_t match_start = found[0], match_end = found[1];
        if (match_start == match_end && match_end == last_end) {
            at += character_length(subject + at, length - at);
            continue;
        }
        if (done < match_start)
            status = add_part(&pieces, start + done, start + match_start, false);
        if (!status)
            status = add_part(&pieces, start + match_start, start + match_end, true);
        done = at = last_end = match_end;
    }
    if (!status && done < length)
        status = add_part(&pieces, start + done, end, false);
    return status ? status : flush_piece(&pieces);
}

/* The well-formed stretch at the start of text: its length, and the first byte of the first character that needs a stand-in (or the length). */
static size_t measure_stretch(const char *text, size_t length, bool digits, size_t *first_stand_in)
{
    size_t at = 0;
    *first_stand_in = SIZE_MAX;
    while (at < length) {
        if (!((unsigned char)text[at] & 0x80)) {
            at++;
            continue;
        }
        uint32_t character;
        int n = utf8_decode(text + at, length - at, &character);
        if (n <= 0)
            break;
        if (*first_stand_in == SIZE_MAX && stand_in_find(character, digits) != character)
            *first_stand_in = at;
        at += (size_t)n;
    }
    return at;
}

/* A copy of a well-formed stretch with all stand-ins in place. */
static int make_shadow(struct split *split, size_t length, size_t first, struct error *err)
{
    struct pretokenizer_scratch *scratch = split->scratch;
    if (length > scratch->shadow_capacity) {
        mem_free(scratch->shadow);
        scratch->shadow_capacity = 0;
        scratch->shadow = mem_alloc(length);
        if (!scratch->shadow)
            return error_no_memory(err, "pre-tokenizing");
        scratch->shadow_capacity = length;
    }
    memcpy(scratch->shadow, split->text, length);
    for (size_t at = first; at < length;) {
        uint32_t character = 0;
        int n = utf8_decode(split->text + at, length - at, &character);
        uint32_t shown = stand_in_find(character, split->pretokenizer->splits_digits);
        if (shown != character)
            utf8_encode(shown, scratch->shadow + at);
        at += (size_t)n;
    }
    split->subject = scratch->shadow;
    return 0;
}

int pretokenizer_split(const struct pretokenizer *pretokenizer, struct pretokenizer_scratch *scratch, const char *text, size_t length,
                       pretokenizer_visit *visit, void *context, struct error *err)
{
    int status = prepare_scratch(scratch, err);
    if (status)
        return status;
    size_t steps = MATCH_STEPS_MINIMUM + MATCH_STEPS_PER_BYTE * length;
    pcre2_set_match_limit(scratch->match_context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    size_t at = 0;
    while (at < length && !status) {
        struct split split = {pretokenizer, scratch, text + at, text + at, visit, context, err};
        size_t first_stand_in;
        size_t stretch = measure_stretch(split.text, length - at, pretokenizer->splits_digits, &first_stand_in);
        if (first_stand_in < stretch)
            status = make_shadow(&split, stretch, first_stand_in, err);
        if (!status)
            status = cut(&split, 0, 0, stretch);
        at += stretch;
        if (!status && at < length)
            status = visit(context, text + at++, 1, true);
    }
    return status;
}
