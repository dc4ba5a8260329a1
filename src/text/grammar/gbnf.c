#include "text/grammar/gbnf.h"

#include <string.h>

#include "base/hash_map.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "text/grammar/character_set.h"

struct parser {
    struct grammar_builder *builder;
    const char *source;
    size_t length, at;
    int depth;             /* open groups */
    struct hash_map names; /* keys lie in the source */
};

static bool failed(const struct parser *parser)
{
    return parser->builder->status != 0;
}

static void refuse(struct parser *parser, const char *expected)
{
    size_t line = 1, begin = 0, at = parser->at < parser->length ? parser->at : parser->length;
    for (size_t i = 0; i < at; i++) {
        if (parser->source[i] == '\n') {
            line++;
            begin = i + 1;
        }
    }
    size_t left = parser->length - at;
    builder_fail(parser->builder, SAMPAN_EINVAL, "the grammar, line %zu column %zu ('%.*s'): expected %s", line, at - begin + 1, (int)(left < 12 ? left : 12),
                 parser->source + at, expected);
}

static bool at_end(const struct parser *parser)
{
    return failed(parser) || parser->at >= parser->length;
}

static char look(const struct parser *parser)
{
    return at_end(parser) ? '\0' : parser->source[parser->at];
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* White space and comments; line ends only where `lines`. */
static void skip_space(struct parser *parser, bool lines)
{
    while (!at_end(parser)) {
        char c = look(parser);
        if (c == '#') {
            while (!at_end(parser) && look(parser) != '\n' && look(parser) != '\r')
                parser->at++;
        } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
            parser->at++;
        } else {
            return;
        }
    }
}

/* ---- Characters. */

static uint32_t read_hexadecimal(struct parser *parser, int digits)
{
    uint32_t value = 0;
    for (int i = 0; i < digits; i++, parser->at++) {
        char c = look(parser);
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) {
            refuse(parser, "a hexadecimal digit");
            return 0;
        }
        value = value << 4 | (uint32_t)digit;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        refuse(parser, "the number of a character in front of this");
    return value;
}

static uint32_t read_character(struct parser *parser)
{
    static const char letters[] = "nrt\\\"[]-^", meanings[] = "\n\r\t\\\"[]-^";
    uint32_t character = 0;
    if (look(parser) != '\\') {
        int n = utf8_decode(parser->source + parser->at, parser->length - parser->at, &character);
        if (n <= 0)
            refuse(parser, "valid UTF-8");
        else
            parser->at += (size_t)n;
        return character;
    }
    parser->at++;
    char c = look(parser);
    const char *known = c ? strchr(letters, c) : NULL;
    if (known || c == 'x' || c == 'u' || c == 'U')
        parser->at++;
    else
        refuse(parser, "one of the escapes \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH");
    if (known)
        return (uint32_t)meanings[known - letters];
    return read_hexadecimal(parser, c == 'x' ? 2 : c == 'u' ? 4 : 8);
}

static struct fragment finish_set(struct parser *parser, struct character_set *set)
{
    character_set_tidy(set);
    if (set->failed && !failed(parser))
        parser->builder->status = error_no_memory(parser->builder->err, "compiling a grammar");
    struct fragment fragment = build_characters(parser->builder, set->ranges, set->n, FORM_PLAIN);
    character_set_free(set);
    return fragment;
}

static struct fragment parse_set(struct parser *parser)
{
    struct character_set set = {0};
    parser->at++;
    bool negated = look(parser) == '^';
    parser->at += negated;
    while (!at_end(parser) && look(parser) != ']') {
        uint32_t low = read_character(parser), high = low;
        if (look(parser) == '-' && parser->at + 1 < parser->length && parser->source[parser->at + 1] != ']') {
            parser->at++;
            high = read_character(parser);
        }
        if (high < low)
            refuse(parser, "a range that ends behind its beginning, in front of this");
        character_set_add(&set, low, high);
    }
    if (look(parser) != ']')
        refuse(parser, "']' at the end of the set");
    parser->at++;
    if (negated)
        character_set_negate(&set);
    return finish_set(parser, &set);
}

static struct fragment parse_text(struct parser *parser)
{
    struct fragment fragment = build_empty(parser->builder);
    parser->at++;
    while (!at_end(parser) && look(parser) != '"') {
        char bytes[4];
        int n = utf8_encode(read_character(parser), bytes);
        fragment = build_sequence(parser->builder, fragment, build_text(parser->builder, bytes, (size_t)n));
    }
    if (look(parser) != '"')
        refuse(parser, "'\"' at the end of the text");
    parser->at++;
    return fragment;
}

/* ---- Structure. */

static int32_t find_rule(struct parser *parser, const char *name, size_t length)
{
    uint32_t rule = 0;
    if (hash_map_get(&parser->names, name, length, &rule))
        return (int32_t)rule;
    rule = (uint32_t)builder_declare(parser->builder, name, length);
    if (!failed(parser) && hash_map_put(&parser->names, name, length, rule, NULL))
        parser->builder->status = error_no_memory(parser->builder->err, "compiling a grammar");
    return (int32_t)rule;
}

static struct fragment parse_alternatives(struct parser *parser);

static struct fragment parse_group(struct parser *parser)
{
    parser->at++;
    if (++parser->depth > LIMIT_GRAMMAR_DEPTH)
        builder_fail(parser->builder, SAMPAN_ELIMIT, "the grammar's groups are nested deeper than %d", LIMIT_GRAMMAR_DEPTH);
    struct fragment fragment = parse_alternatives(parser);
    parser->depth--;
    if (look(parser) != ')')
        refuse(parser, "')'");
    parser->at++;
    return fragment;
}

static int64_t read_count(struct parser *parser)
{
    int64_t count = 0;
    if (look(parser) < '0' || look(parser) > '9')
        refuse(parser, "a number of repetitions");
    for (; look(parser) >= '0' && look(parser) <= '9'; parser->at++)
        count = count > LIMIT_GRAMMAR_NODES ? count : count * 10 + (look(parser) - '0');
    return count;
}

static bool parse_repetition(struct parser *parser, int64_t *minimum, int64_t *maximum)
{
    char c = look(parser);
    if (c == '*' || c == '+' || c == '?') {
        parser->at++;
        *minimum = c == '+';
        *maximum = c == '?' ? 1 : BUILD_UNBOUNDED;
        return true;
    }
    if (c != '{')
        return false;
    parser->at++;
    skip_space(parser, true);
    *minimum = *maximum = look(parser) == ',' ? 0 : read_count(parser);
    skip_space(parser, true);
    if (look(parser) == ',') {
        parser->at++;
        skip_space(parser, true);
        *maximum = look(parser) == '}' ? BUILD_UNBOUNDED : read_count(parser);
        skip_space(parser, true);
    }
    if (look(parser) != '}' || (*maximum != BUILD_UNBOUNDED && *maximum < *minimum))
        refuse(parser, "{m}, {m,}, {,n} or {m,n} with m <= n");
    parser->at++;
    return !failed(parser);
}

static struct fragment parse_atom(struct parser *parser)
{
    char c = look(parser);
    if (c == '"')
        return parse_text(parser);
    if (c == '[')
        return parse_set(parser);
    if (c == '(')
        return parse_group(parser);
    if (c == '.') {
        struct character_set set = {0};
        parser->at++;
        character_set_add(&set, 0, 0x10FFFF);
        return finish_set(parser, &set);
    }
    size_t begin = parser->at;
    while (is_name(look(parser)))
        parser->at++;
    if (parser->at == begin)
        refuse(parser, "a text, a set, a group or the name of a rule");
    return build_call(parser->builder, find_rule(parser, parser->source + begin, parser->at - begin));
}

static bool ends_sequence(const struct parser *parser)
{
    char c = look(parser);
    return at_end(parser) || c == '|' || c == '\n' || c == '\r' || (c == ')' && parser->depth > 0);
}

static struct fragment parse_sequence(struct parser *parser)
{
    struct fragment fragment = build_empty(parser->builder);
    skip_space(parser, parser->depth > 0);
    while (!ends_sequence(parser)) {
        int64_t minimum, maximum;
        struct fragment atom = parse_atom(parser);
        skip_space(parser, parser->depth > 0);
        while (!failed(parser) && parse_repetition(parser, &minimum, &maximum)) {
            int32_t rule = builder_rule(parser->builder, "a repeated part", atom);
            atom = build_repeat(parser->builder, rule, minimum, maximum);
            skip_space(parser, parser->depth > 0);
        }
        fragment = build_sequence(parser->builder, fragment, atom);
    }
    return fragment;
}

/* A line that begins with | goes on with the rule above it. */
static void skip_to_bar(struct parser *parser)
{
    size_t at = parser->at;
    skip_space(parser, true);
    if (look(parser) != '|')
        parser->at = at;
}

static struct fragment parse_alternatives(struct parser *parser)
{
    struct fragment fragment = parse_sequence(parser);
    for (;;) {
        skip_to_bar(parser);
        if (look(parser) != '|')
            return fragment;
        parser->at++;
        skip_space(parser, true);
        fragment = build_either(parser->builder, fragment, parse_sequence(parser));
    }
}

static void parse_rule(struct parser *parser)
{
    size_t begin = parser->at;
    while (is_name(look(parser)))
        parser->at++;
    size_t length = parser->at - begin;
    if (!length)
        refuse(parser, "the name of a rule");
    skip_space(parser, false);
    if (parser->length - parser->at < 3 || memcmp(parser->source + parser->at, "::=", 3) != 0)
        refuse(parser, "'::='");
    if (failed(parser))
        return;
    parser->at += 3;
    skip_space(parser, true);
    int32_t rule = find_rule(parser, parser->source + begin, length);
    if (!failed(parser) && parser->builder->rules[rule].start >= 0) {
        parser->at = begin;
        refuse(parser, "a rule that was not defined before");
    }
    struct fragment body = parse_alternatives(parser);
    if (!at_end(parser) && look(parser) != '\n' && look(parser) != '\r')
        refuse(parser, "the end of the line");
    builder_define(parser->builder, rule, body);
}

void build_gbnf(struct grammar_builder *builder, const char *source, size_t length)
{
    struct parser parser = {.builder = builder, .source = source, .length = length};
    if (hash_map_put(&parser.names, "root", 4, 0, NULL))
        builder->status = error_no_memory(builder->err, "compiling a grammar");
    skip_space(&parser, true);
    while (!at_end(&parser)) {
        parse_rule(&parser);
        skip_space(&parser, true);
    }
    hash_map_free(&parser.names);
}
