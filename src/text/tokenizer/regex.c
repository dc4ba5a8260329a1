#include "text/tokenizer/regex.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "text/tokenizer/pattern.h"
#include "text/tokenizer/stand_ins.h"

/* Backtracking of published patterns is linear in the text, so these limits are only met by a pattern that is a bug. */
#define MATCH_STEPS_MINIMUM 10000000u
#define MATCH_STEPS_PER_BYTE 32u
#define MATCH_HEAP_KIB (64u << 10)   /* of PCRE2's interpreter, where there is no JIT */
#define JIT_STACK_MAXIMUM (1u << 20) /* bytes */

struct regex {
    pcre2_code *code;
    bool needs_shadow;
    char shown[64]; /* the beginning of the pattern, for messages */
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

static int refuse_pattern(struct byte_string pattern, int problem, size_t offset, struct error *err)
{
    char text[200] = "?";
    if (problem == PCRE2_ERROR_NOMEMORY || problem == PCRE2_ERROR_HEAP_FAILED)
        return error_no_memory(err, "compiling a pattern of the tokenizer");
    pcre2_get_error_message(problem, (PCRE2_UCHAR *)text, sizeof text);
    return error_set(err, SAMPAN_EUNSUPPORTED, "compiling the tokenizer's pattern '%.300s': %s at byte %zu", pattern.data, text, offset);
}

static bool asks_for_categories(struct byte_string pattern)
{
    for (size_t at = 0; at + 1 < pattern.length; at++) {
        if (pattern.data[at] == '\\' && strchr("pPsSdDwW", pattern.data[at + 1]))
            return true;
        at += pattern.data[at] == '\\';
    }
    return pattern.length && memmem(pattern.data, pattern.length, "(?i", 3);
}

int regex_compile(struct byte_string pattern, enum regex_source source, struct regex **out, struct error *err)
{
    int status = source == REGEX_PUBLISHED ? pattern_check(pattern, err) : 0, problem = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE offset = 0;
    *out = NULL;
    if (status)
        return status;
    struct regex *regex = mem_zalloc(sizeof *regex);
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    if (regex && context) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        /* in Ruby's syntax '$' is the end of a line */
        uint32_t options = source == REGEX_LITERAL ? PCRE2_LITERAL | PCRE2_UTF : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;
        snprintf(regex->shown, sizeof regex->shown, "%s", pattern.data);
        regex->code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.length, options, &problem, &offset, context);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    if (!regex || !regex->code) {
        mem_free(regex);
        return refuse_pattern(pattern, problem, (size_t)offset, err);
    }
    regex->needs_shadow = source != REGEX_LITERAL && asks_for_categories(pattern);
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* a system without executable memory falls back to the interpreter: same matches, slower */
    *out = regex;
    return 0;
}

void regex_free(struct regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    mem_free(regex);
}

bool regex_needs_shadow(const struct regex *regex)
{
    return regex->needs_shadow;
}

void regex_scratch_free(struct regex_scratch *scratch)
{
    pcre2_match_data_free(scratch->match_data);
    pcre2_match_context_free(scratch->match_context);
    pcre2_jit_stack_free(scratch->jit_stack);
    mem_free(scratch->shadow);
    *scratch = (struct regex_scratch){0};
}

int regex_prepare(struct regex_scratch *scratch, size_t length, struct error *err)
{
    if (!scratch->match_context) {
        pcre2_general_context *general = pcre2_general_context_create(allocate, release, NULL);
        if (general) {
            scratch->match_data = pcre2_match_data_create(1, general);
            scratch->match_context = pcre2_match_context_create(general);
            scratch->jit_stack = pcre2_jit_stack_create(32u << 10, JIT_STACK_MAXIMUM, general); /* NULL: the small stack on the machine's own */
        }
        pcre2_general_context_free(general);
        if (!scratch->match_data || !scratch->match_context) {
            regex_scratch_free(scratch);
            return error_no_memory(err, "preparing to match a pattern");
        }
        pcre2_set_heap_limit(scratch->match_context, MATCH_HEAP_KIB);
        if (scratch->jit_stack)
            pcre2_jit_stack_assign(scratch->match_context, NULL, scratch->jit_stack);
    }
    size_t steps = MATCH_STEPS_MINIMUM + MATCH_STEPS_PER_BYTE * length;
    pcre2_set_match_limit(scratch->match_context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    return 0;
}

/* The first byte of the first character that needs a stand-in, or the length. */
static size_t find_stand_in(const char *text, size_t length, bool digits)
{
    size_t at = 0;
    while (at < length) {
        uint32_t character = 0;
        if (!((unsigned char)text[at] & 0x80)) {
            at++;
            continue;
        }
        int n = utf8_decode(text + at, length - at, &character);
        if (stand_in_find(character, digits) != character)
            break;
        at += (size_t)n;
    }
    return at;
}

const char *regex_shadow(struct regex_scratch *scratch, const char *text, size_t length, bool digits, struct error *err)
{
    size_t at = find_stand_in(text, length, digits);
    if (at == length)
        return text;
    if (length > scratch->shadow_capacity) {
        mem_free(scratch->shadow);
        scratch->shadow_capacity = 0;
        scratch->shadow = mem_alloc(length);
        if (!scratch->shadow) {
            error_no_memory(err, "preparing to match a pattern");
            return NULL;
        }
        scratch->shadow_capacity = length;
    }
    memcpy(scratch->shadow, text, length);
    while (at < length) {
        uint32_t character = 0;
        int n = utf8_decode(text + at, length - at, &character);
        uint32_t shown = stand_in_find(character, digits);
        if (shown != character)
            utf8_encode(shown, scratch->shadow + at);
        at += (size_t)n;
    }
    return scratch->shadow;
}

static int match_failed(int result, const char *shown, size_t length, struct error *err)
{
    if (result == PCRE2_ERROR_NOMEMORY)
        return error_no_memory(err, "matching a pattern of the tokenizer");
    char text[200] = "?";
    pcre2_get_error_message(result, (PCRE2_UCHAR *)text, sizeof text);
    return error_set(err, SAMPAN_ELIMIT, "matching the tokenizer's pattern '%s' in %zu bytes of text: %s; shorten the text", shown, length, text);
}

int regex_find(const struct regex *regex, struct regex_scratch *scratch, const char *subject, size_t length, size_t at, size_t *start, size_t *end,
               struct error *err)
{
    int result = pcre2_match(regex->code, (PCRE2_SPTR)subject, length, at, PCRE2_NO_UTF_CHECK, scratch->match_data, scratch->match_context);
    if (result == PCRE2_ERROR_NOMATCH)
        return 0;
    if (result < 0)
        return match_failed(result, regex->shown, length, err);
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(scratch->match_data);
    *start = found[0];
    *end = found[1];
    return 1;
}
