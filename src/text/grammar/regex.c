#include "text/grammar/regex.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/grammar/character_set.h"

/* An automaton over characters. It is small beside the grammar made of it, so its parts may be copied for {m,n}: what a piece of the pattern made lies in one
 * run of nodes and one run of edges. */
struct character_edge {
    int32_t from, to;
    int32_t set; /* index, or -1: epsilon */
};

struct parser {
    struct grammar_builder *builder;
    const char *pattern;
    size_t length, at;
    int depth;
    struct character_edge *edges; /* owned */
    struct character_set *sets;   /* owned */
    int32_t *set_rules;           /* [n_sets], owned: rules of the builder, -1: none yet */
    size_t n_edges, edge_capacity, n_sets, set_capacity;
    int32_t n_nodes;
};

/* ---- Failures and memory. */

static void refuse(struct parser *parser, int code, const char *what)
{
    size_t left = parser->length - parser->at;
    builder_fail(parser->builder, code, "the pattern '%.*s' at byte %zu ('%.*s'): %s", (int)(parser->length < 200 ? parser->length : 200), parser->pattern,
                 parser->at, (int)(left < 8 ? left : 8), parser->pattern + parser->at, what);
}

static bool failed(const struct parser *parser)
{
    return parser->builder->status != 0;
}

static bool reserve(struct parser *parser, void **items, size_t *capacity, size_t wanted, size_t size)
{
    if (failed(parser))
        return false;
    if (wanted <= *capacity)
        return true;
    if (wanted > LIMIT_GRAMMAR_NODES) {
        refuse(parser, SAMPAN_ELIMIT, "it is too large once its repetitions are written out");
        return false;
    }
    size_t larger = *capacity ? *capacity * 2 : 64;
    larger = larger < wanted ? wanted : larger;
    void *memory = mem_realloc_array(*items, larger, size);
    if (!memory) {
        parser->builder->status = error_no_memory(parser->builder->err, "compiling a pattern");
        return false;
    }
    *items = memory;
    *capacity = larger;
    return true;
}

static int32_t new_node(struct parser *parser)
{
    if (parser->n_nodes >= LIMIT_GRAMMAR_NODES)
        refuse(parser, SAMPAN_ELIMIT, "it is too large once its repetitions are written out");
    return failed(parser) ? 0 : parser->n_nodes++;
}

static void add_edge(struct parser *parser, int32_t from, int32_t to, int32_t set)
{
    if (reserve(parser, (void **)&parser->edges, &parser->edge_capacity, parser->n_edges + 1, sizeof *parser->edges))
        parser->edges[parser->n_edges++] = (struct character_edge){from, to, set};
}

/* Takes the set over. */
static int32_t add_set(struct parser *parser, struct character_set *set)
{
    size_t capacity = parser->set_capacity;
    character_set_tidy(set);
    if (set->failed && !failed(parser))
        parser->builder->status = error_no_memory(parser->builder->err, "compiling a pattern");
    if (!reserve(parser, (void **)&parser->sets, &parser->set_capacity, parser->n_sets + 1, sizeof *parser->sets) ||
        !reserve(parser, (void **)&parser->set_rules, &capacity, parser->set_capacity, sizeof *parser->set_rules)) {
        character_set_free(set);
        return 0;
    }
    parser->sets[parser->n_sets] = *set;
    parser->set_rules[parser->n_sets] = -1;
    *set = (struct character_set){0};
    return (int32_t)parser->n_sets++;
}

static struct fragment set_fragment(struct parser *parser, struct character_set *set)
{
    int32_t start = new_node(parser), end = new_node(parser);
    add_edge(parser, start, end, add_set(parser, set));
    return (struct fragment){start, end};
}

/* ---- Named sets. */

static const struct character_range digit_ranges[] = {{'0', '9'}};
static const struct character_range word_ranges[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct character_range space_ranges[] = {{'\t', '\r'}, {' ', ' '}};
/* What every dialect counts as no digit and no part of a word: ASCII's other characters. */
static const struct character_range other_than_digit[] = {{0, '/'}, {':', 0x7F}};
static const struct character_range other_than_word[] = {{0, '/'}, {':', '@'}, {'[', '^'}, {'`', '`'}, {'{', 0x7F}};
/* ... and as no space: everything but Unicode's and Python's spaces. */
static const struct character_range other_than_space[] = {{0, 8},           {0x0E, 0x1B},     {0x21, 0x84},     {0x86, 0x9F},
                                                          {0xA1, 0x167F},   {0x1681, 0x1FFF}, {0x200B, 0x2027}, {0x202A, 0x202E},
                                                          {0x2030, 0x205E}, {0x2060, 0x2FFF}, {0x3001, 0xFEFE}, {0xFF00, 0x10FFFF}};
/* Not a line's end in any dialect. */
static const struct character_range any_but_line_end[] = {{0, 9}, {0x0B, 0x0C}, {0x0E, 0x84}, {0x86, 0x2027}, {0x202A, 0x10FFFF}};
static const struct character_range any_character[] = {{0, 0x10FFFF}};

#define SET_ROW(letter, ranges)                                                                                                                                \
    {                                                                                                                                                          \
        letter, ranges, sizeof(ranges) / sizeof *(ranges)                                                                                                      \
    }
static const struct {
    char letter;
    const struct character_range *ranges;
    size_t n;
} named_sets[] = {
    SET_ROW('d', digit_ranges),    SET_ROW('D', other_than_digit), SET_ROW('w', word_ranges),
    SET_ROW('W', other_than_word), SET_ROW('s', space_ranges),     SET_ROW('S', other_than_space),
};

/* ---- Characters and escapes. */

static bool at_end(const struct parser *parser)
{
    return failed(parser) || parser->at >= parser->length;
}

static bool next_is(const struct parser *parser, char c)
{
    return !at_end(parser) && parser->pattern[parser->at] == c;
}

static bool begins(const struct parser *parser, const char *text)
{
    size_t length = strlen(text);
    return !failed(parser) && length <= parser->length - parser->at && memcmp(parser->pattern + parser->at, text, length) == 0;
}

static uint32_t read_character(struct parser *parser)
{
    uint32_t character = 0;
    int n = utf8_decode(parser->pattern + parser->at, parser->length - parser->at, &character);
    if (n <= 0) {
        refuse(parser, SAMPAN_EINVAL, "is not valid UTF-8");
        return 0;
    }
    parser->at += (size_t)n;
    return character;
}

/* n hexadecimal digits (n 0: up to the closing brace). */
static uint32_t read_hexadecimal(struct parser *parser, size_t n)
{
    uint32_t value = 0;
    size_t digits = 0;
    for (; !at_end(parser) && (n == 0 || digits < n); digits++) {
        char c = parser->pattern[parser->at];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            break;
        value = value < 0x1000000 ? value * 16 + (uint32_t)digit : value;
        parser->at++;
    }
    if (!digits || (n && digits != n) || value > 0x10FFFF)
        refuse(parser, SAMPAN_EINVAL, "expected hexadecimal digits of a character");
    return value;
}

/* Behind a backslash: one character in *character, or (returning true) a whole set added to `set`. */
static bool read_escape(struct parser *parser, struct character_set *set, uint32_t *character)
{
    static const char letters[] = "tnrfv0", meanings[] = "\t\n\r\f\v";
    *character = 0;
    if (at_end(parser)) {
        refuse(parser, SAMPAN_EINVAL, "ends with a backslash");
        return false;
    }
    char c = parser->pattern[parser->at];
    for (size_t i = 0; i < sizeof named_sets / sizeof *named_sets; i++) {
        if (named_sets[i].letter == c) {
            parser->at++;
            character_set_add_all(set, named_sets[i].ranges, named_sets[i].n);
            return true;
        }
    }
    const char *known = memchr(letters, c, sizeof letters - 1);
    bool letter_or_digit = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (known) {
        parser->at++;
        *character = (uint32_t)meanings[known - letters];
    } else if (c == 'x' || c == 'u') {
        parser->at++;
        bool braced = c == 'u' && next_is(parser, '{');
        parser->at += braced;
        *character = read_hexadecimal(parser, braced ? 0 : c == 'x' ? 2 : 4);
        if (braced && !next_is(parser, '}'))
            refuse(parser, SAMPAN_EINVAL, "expected '}'");
        parser->at += braced;
        if (!failed(parser) && *character >= 0xD800 && *character <= 0xDFFF)
            refuse(parser, SAMPAN_EUNSUPPORTED, "surrogates are no characters; write the character itself or \\u{...}");
    } else if (letter_or_digit) {
        refuse(parser, SAMPAN_EUNSUPPORTED, "of the escapes \\d \\D \\w \\W \\s \\S \\t \\n \\r \\f \\v \\0 \\xHH \\uHHHH \\u{H} and escaped punctuation work");
    } else {
        *character = read_character(parser);
    }
    return false;
}

/* [...], behind the bracket. */
static struct fragment parse_set(struct parser *parser)
{
    struct character_set set = {0};
    bool negated = next_is(parser, '^');
    parser->at += negated;
    for (bool first = true; !at_end(parser) && (first || !next_is(parser, ']')); first = false) {
        if (begins(parser, "[:") || begins(parser, "&&") || begins(parser, "--")) {
            refuse(parser, SAMPAN_EUNSUPPORTED, "sets in sets and named classes; escape the character if it is meant");
            break;
        }
        if (first && next_is(parser, ']')) {
            refuse(parser, SAMPAN_EUNSUPPORTED, "an empty set, or a ']' at its start, which dialects read differently; write '\\]' for the character");
            break;
        }
        uint32_t low, high;
        bool escaped = next_is(parser, '\\');
        parser->at += escaped;
        if (escaped && read_escape(parser, &set, &low))
            continue;
        if (!escaped)
            low = read_character(parser);
        high = low;
        if (next_is(parser, '-') && parser->at + 1 < parser->length && parser->pattern[parser->at + 1] != ']') {
            parser->at++;
            bool escaped_end = next_is(parser, '\\');
            parser->at += escaped_end;
            if (escaped_end && read_escape(parser, &set, &high)) {
                refuse(parser, SAMPAN_EINVAL, "a range cannot end with a set");
                break;
            }
            if (!escaped_end)
                high = read_character(parser);
        }
        if (high < low)
            refuse(parser, SAMPAN_EINVAL, "the range ends before it begins");
        character_set_add(&set, low, high);
    }
    if (!failed(parser) && !next_is(parser, ']'))
        refuse(parser, SAMPAN_EINVAL, "a set is not closed by ']'");
    parser->at++;
    if (negated)
        character_set_negate(&set);
    return set_fragment(parser, &set);
}

/* ---- Structure. */

static struct fragment parse_alternatives(struct parser *parser);

static struct fragment parse_group(struct parser *parser)
{
    if (begins(parser, "?:"))
        parser->at += 2;
    else if (next_is(parser, '?'))
        refuse(parser, SAMPAN_EUNSUPPORTED, "of the groups (...) and (?:...) work");
    if (++parser->depth > LIMIT_GRAMMAR_DEPTH)
        refuse(parser, SAMPAN_ELIMIT, "its groups are nested too deep");
    struct fragment fragment = parse_alternatives(parser);
    parser->depth--;
    if (!failed(parser) && !next_is(parser, ')'))
        refuse(parser, SAMPAN_EINVAL, "a group is not closed by ')'");
    parser->at++;
    return fragment;
}

static struct fragment parse_atom(struct parser *parser)
{
    struct character_set set = {0};
    char c = parser->pattern[parser->at];
    if ((c && strchr("*+?{", c)) || c == ')' || c == '^' || c == '$') {
        refuse(parser, c == '^' || c == '$' ? SAMPAN_EUNSUPPORTED : SAMPAN_EINVAL,
               c == '^' || c == '$' ? "an anchor elsewhere than at the ends of the outermost alternatives"
               : c == ')'           ? "a ')' without its group"
                                    : "nothing in front that could be repeated");
        return (struct fragment){0, 0};
    }
    if (c == '(' || c == '[') {
        parser->at++;
        return c == '(' ? parse_group(parser) : parse_set(parser);
    }
    if (c == '.') {
        parser->at++;
        character_set_add_all(&set, any_but_line_end, sizeof any_but_line_end / sizeof *any_but_line_end);
    } else {
        uint32_t character = 0;
        bool escaped = c == '\\';
        parser->at += escaped;
        if (!escaped)
            character = read_character(parser);
        if (!escaped || !read_escape(parser, &set, &character))
            character_set_add(&set, character, character);
    }
    return set_fragment(parser, &set);
}

/* "{m}", "{m,}", "{m,n}" or one of * + ?; false where there is none. A lazy mark behind it changes no text. */
static bool parse_repetition(struct parser *parser, int64_t *minimum, int64_t *maximum)
{
    if (next_is(parser, '*') || next_is(parser, '+') || next_is(parser, '?')) {
        char c = parser->pattern[parser->at++];
        *minimum = c == '+';
        *maximum = c == '?' ? 1 : BUILD_UNBOUNDED;
    } else if (next_is(parser, '{')) {
        int64_t numbers[2] = {-1, -1};
        int which = 0;
        for (parser->at++; !at_end(parser) && !next_is(parser, '}'); parser->at++) {
            char c = parser->pattern[parser->at];
            if (c == ',' && which == 0 && numbers[0] >= 0)
                which = 1;
            else if (c >= '0' && c <= '9')
                numbers[which] = numbers[which] < 0 ? c - '0' : numbers[which] > LIMIT_GRAMMAR_NODES ? numbers[which] : numbers[which] * 10 + (c - '0');
            else
                refuse(parser, SAMPAN_EINVAL, "expected {m}, {m,} or {m,n}; write '\\{' for the character");
        }
        *minimum = numbers[0];
        *maximum = which ? numbers[1] : numbers[0];
        if (!failed(parser) && (at_end(parser) || *minimum < 0 || (*maximum >= 0 && *maximum < *minimum)))
            refuse(parser, SAMPAN_EINVAL, "expected {m}, {m,} or {m,n} with m <= n; write '\\{' for the character");
        parser->at++;
    } else {
        return false;
    }
    if (next_is(parser, '?'))
        parser->at++;
    else if (next_is(parser, '+'))
        refuse(parser, SAMPAN_EUNSUPPORTED, "possessive repetitions");
    return !failed(parser);
}

/* What a piece of the pattern made, so that it can be copied. */
struct piece {
    struct fragment fragment;
    int32_t first_node, last_node; /* [first, last) */
    size_t first_edge, last_edge;
};

static struct fragment copy_piece(struct parser *parser, const struct piece *piece)
{
    int32_t offset = parser->n_nodes - piece->first_node, n = piece->last_node - piece->first_node;
    if (n > LIMIT_GRAMMAR_NODES - parser->n_nodes)
        refuse(parser, SAMPAN_ELIMIT, "it is too large once its repetitions are written out");
    if (failed(parser))
        return piece->fragment;
    parser->n_nodes += n;
    for (size_t i = piece->first_edge; i < piece->last_edge && !failed(parser); i++) {
        struct character_edge edge = parser->edges[i];
        add_edge(parser, edge.from + offset, edge.to + offset, edge.set);
    }
    return (struct fragment){piece->fragment.start + offset, piece->fragment.end + offset};
}

static struct fragment repeat(struct parser *parser, const struct piece *piece, int64_t minimum, int64_t maximum)
{
    int64_t copies = maximum == BUILD_UNBOUNDED ? (minimum ? minimum : 1) : maximum;
    int32_t start = new_node(parser), end = new_node(parser), at = start;
    struct fragment copy = piece->fragment;
    for (int64_t i = 0; i < copies && !failed(parser); i++) {
        copy = i ? copy_piece(parser, piece) : piece->fragment;
        if (i >= minimum)
            add_edge(parser, at, end, -1);
        add_edge(parser, at, copy.start, -1);
        at = copy.end;
    }
    if (maximum == BUILD_UNBOUNDED)
        add_edge(parser, at, copy.start, -1);
    add_edge(parser, at, end, -1);
    return (struct fragment){start, end};
}

static bool ends_sequence(const struct parser *parser)
{
    if (at_end(parser) || next_is(parser, '|') || (parser->depth > 0 && next_is(parser, ')')))
        return true;
    /* An anchor that ends an outermost alternative. */
    return parser->depth == 0 && next_is(parser, '$') && (parser->at + 1 == parser->length || parser->pattern[parser->at + 1] == '|');
}

static struct fragment parse_sequence(struct parser *parser)
{
    int32_t start = new_node(parser), end = start;
    while (!ends_sequence(parser)) {
        struct piece piece = {.first_node = parser->n_nodes, .first_edge = parser->n_edges};
        int64_t minimum, maximum;
        piece.fragment = parse_atom(parser);
        piece.last_node = parser->n_nodes;
        piece.last_edge = parser->n_edges;
        if (parse_repetition(parser, &minimum, &maximum))
            piece.fragment = repeat(parser, &piece, minimum, maximum);
        add_edge(parser, end, piece.fragment.start, -1);
        end = piece.fragment.end;
    }
    return (struct fragment){start, end};
}

static struct fragment parse_alternatives(struct parser *parser)
{
    int32_t start = new_node(parser), end = new_node(parser);
    for (;;) {
        struct fragment fragment = parse_sequence(parser);
        add_edge(parser, start, fragment.start, -1);
        add_edge(parser, fragment.end, end, -1);
        if (!next_is(parser, '|'))
            return (struct fragment){start, end};
        parser->at++;
    }
}

/* Any text, as a loop on one node. */
static void add_anything(struct parser *parser, int32_t node)
{
    struct character_set set = {0};
    character_set_add_all(&set, any_character, 1);
    add_edge(parser, node, node, add_set(parser, &set));
}

/* The outermost alternatives, each with its anchors: where one is missing in a search, anything may stand there. */
static struct fragment parse_pattern(struct parser *parser, bool search)
{
    int32_t start = new_node(parser), end = new_node(parser);
    for (;;) {
        bool at_start = next_is(parser, '^');
        parser->at += at_start;
        int32_t before = new_node(parser), behind;
        struct fragment fragment = parse_sequence(parser);
        bool to_the_end = next_is(parser, '$');
        parser->at += to_the_end;
        behind = new_node(parser);
        add_edge(parser, start, before, -1);
        add_edge(parser, before, fragment.start, -1);
        add_edge(parser, fragment.end, behind, -1);
        add_edge(parser, behind, end, -1);
        if (search && !at_start)
            add_anything(parser, before);
        if (search && !to_the_end)
            add_anything(parser, behind);
        if (!next_is(parser, '|'))
            break;
        parser->at++;
    }
    if (!at_end(parser))
        refuse(parser, SAMPAN_EINVAL, "a ')' without its group");
    return (struct fragment){start, end};
}

/* ---- From characters to bytes, with the length counted. */

struct product {
    struct parser *parser;
    const struct regex_options *options;
    int64_t n_counts; /* counts that are told apart: 0 .. n_counts - 1; the last also stands for more where there is no maximum */
    int32_t *nodes;   /* [n_nodes * n_counts], -1: not made */
    size_t *pending;  /* [n_nodes * n_counts] */
    size_t n_pending;
    int32_t *first;  /* [n_nodes + 1] edges by start */
    int32_t *sorted; /* [n_edges] */
};

static int32_t product_node(struct product *product, int32_t node, int64_t count)
{
    size_t index = (size_t)node * (size_t)product->n_counts + (size_t)count;
    if (product->nodes[index] < 0) {
        product->nodes[index] = builder_node(product->parser->builder);
        product->pending[product->n_pending++] = index;
    }
    return product->nodes[index];
}

static int32_t set_rule(struct parser *parser, int32_t set, enum character_form form)
{
    if (parser->set_rules[set] < 0) {
        struct fragment characters = build_characters(parser->builder, parser->sets[set].ranges, parser->sets[set].n, form);
        parser->set_rules[set] = builder_rule(parser->builder, "a set of characters", characters);
    }
    return parser->set_rules[set];
}

static void add_product_edges(struct product *product, size_t index)
{
    struct parser *parser = product->parser;
    int32_t node = (int32_t)(index / (size_t)product->n_counts), from = product->nodes[index];
    int64_t count = (int64_t)(index % (size_t)product->n_counts);
    for (int32_t i = product->first[node]; i < product->first[node + 1] && !failed(parser); i++) {
        const struct character_edge *edge = &parser->edges[product->sorted[i]];
        if (edge->set < 0) {
            builder_epsilon(parser->builder, from, product_node(product, edge->to, count));
            continue;
        }
        bool last = count == product->n_counts - 1;
        if (last && product->options->maximum != BUILD_UNBOUNDED)
            continue;
        builder_call(parser->builder, from, product_node(product, edge->to, last ? count : count + 1), set_rule(parser, edge->set, product->options->form));
    }
}

static void sort_edges(struct product *product)
{
    const struct parser *parser = product->parser;
    for (size_t i = 0; i < parser->n_edges; i++)
        product->first[parser->edges[i].from + 1]++;
    for (int32_t i = 0; i < parser->n_nodes; i++)
        product->first[i + 1] += product->first[i];
    for (size_t i = parser->n_edges; i-- > 0;)
        product->sorted[--product->first[parser->edges[i].from + 1]] = (int32_t)i;
    for (int32_t i = 0; i < parser->n_nodes; i++) /* first[i + 1] is now where the run of i begins */
        product->first[i] = product->first[i + 1];
    product->first[parser->n_nodes] = (int32_t)parser->n_edges;
}

static struct fragment run_product(struct product *product, struct fragment pattern)
{
    struct grammar_builder *builder = product->parser->builder;
    int32_t start = product_node(product, pattern.start, 0), end = builder_node(builder);
    while (product->n_pending && !builder->status) {
        size_t index = product->pending[--product->n_pending];
        int32_t node = (int32_t)(index / (size_t)product->n_counts);
        int64_t count = (int64_t)(index % (size_t)product->n_counts);
        add_product_edges(product, index);
        if (node == pattern.end && count >= product->options->minimum)
            builder_epsilon(builder, product->nodes[index], end);
    }
    return (struct fragment){start, end};
}

static struct fragment count_lengths(struct parser *parser, struct fragment pattern, const struct regex_options *options)
{
    bool bounded = options->maximum != BUILD_UNBOUNDED;
    struct product product = {.parser = parser, .options = options, .n_counts = 1 + (bounded ? options->maximum : options->minimum)};
    struct fragment result = {0, 0};
    if (!failed(parser) && product.n_counts > LIMIT_GRAMMAR_NODES / parser->n_nodes)
        builder_fail(parser->builder, SAMPAN_ELIMIT, "the pattern '%.*s' with a length of up to %lld characters is too large; lower the length",
                     (int)(parser->length < 200 ? parser->length : 200), parser->pattern, (long long)(product.n_counts - 1));
    if (failed(parser))
        return result;
    size_t n = (size_t)parser->n_nodes * (size_t)product.n_counts;
    product.nodes = mem_alloc_array(n, sizeof *product.nodes);
    product.pending = mem_alloc_array(n, sizeof *product.pending);
    product.first = mem_zalloc_array((size_t)parser->n_nodes + 1, sizeof *product.first);
    product.sorted = mem_alloc_array(parser->n_edges + 1, sizeof *product.sorted);
    if (product.nodes && product.pending && product.first && product.sorted) {
        memset(product.nodes, -1, n * sizeof *product.nodes);
        sort_edges(&product);
        result = run_product(&product, pattern);
    } else {
        parser->builder->status = error_no_memory(parser->builder->err, "compiling a pattern");
    }
    mem_free(product.nodes);
    mem_free(product.pending);
    mem_free(product.first);
    mem_free(product.sorted);
    return result;
}

struct fragment build_regex(struct grammar_builder *builder, const char *pattern, size_t length, const struct regex_options *options)
{
    struct parser parser = {.builder = builder, .pattern = pattern, .length = length};
    struct fragment fragment = parse_pattern(&parser, options->search);
    if (!failed(&parser))
        fragment = count_lengths(&parser, fragment, options);
    for (size_t i = 0; i < parser.n_sets; i++)
        character_set_free(&parser.sets[i]);
    mem_free(parser.sets);
    mem_free(parser.set_rules);
    mem_free(parser.edges);
    return fragment;
}
