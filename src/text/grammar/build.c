#include "text/grammar/build.h"

#include <stdarg.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"

/* ---- Life and failure. */

void builder_init(struct grammar_builder *builder, struct error *err)
{
    *builder = (struct grammar_builder){.err = err};
    builder_declare(builder, "root", 4);
}

void builder_free(struct grammar_builder *builder)
{
    mem_free(builder->edges);
    mem_free(builder->rules);
    *builder = (struct grammar_builder){0};
}

int builder_fail(struct grammar_builder *builder, int code, const char *format, ...)
{
    if (builder->status)
        return builder->status;
    va_list arguments;
    va_start(arguments, format);
    builder->status = error_set_v(builder->err, code, format, arguments);
    va_end(arguments);
    return builder->status;
}

/* Room for one more of *items; false and a failure otherwise. */
static bool grow(struct grammar_builder *builder, void **items, size_t *capacity, size_t count, size_t size, size_t limit, const char *what)
{
    if (builder->status)
        return false;
    if (count < *capacity)
        return true;
    if (count >= limit) {
        builder_fail(builder, SAMPAN_ELIMIT, "the grammar needs more than %zu %s; make it smaller (fewer alternatives, shorter repetitions)", limit, what);
        return false;
    }
    size_t wanted = *capacity ? *capacity * 2 : 256;
    void *larger = mem_realloc_array(*items, wanted, size);
    if (!larger) {
        builder->status = error_no_memory(builder->err, "compiling a grammar");
        return false;
    }
    *items = larger;
    *capacity = wanted;
    return true;
}

/* ---- Nodes, edges, rules. */

int32_t builder_node(struct grammar_builder *builder)
{
    if (builder->n_nodes >= LIMIT_GRAMMAR_NODES)
        builder_fail(builder, SAMPAN_ELIMIT, "the grammar needs more than %d nodes; make it smaller (fewer alternatives, shorter repetitions)",
                     LIMIT_GRAMMAR_NODES);
    return builder->status ? 0 : builder->n_nodes++;
}

static void add_edge(struct grammar_builder *builder, struct build_edge edge)
{
    if (grow(builder, (void **)&builder->edges, &builder->edge_capacity, builder->n_edges, sizeof *builder->edges, LIMIT_GRAMMAR_EDGES, "edges"))
        builder->edges[builder->n_edges++] = edge;
}

void builder_epsilon(struct grammar_builder *builder, int32_t from, int32_t to)
{
    add_edge(builder, (struct build_edge){.from = from, .to = to, .rule = -1, .kind = EDGE_EPSILON});
}

void builder_bytes(struct grammar_builder *builder, int32_t from, int32_t to, uint8_t first, uint8_t last)
{
    add_edge(builder, (struct build_edge){.from = from, .to = to, .rule = -1, .kind = EDGE_BYTES, .first = first, .last = last});
}

void builder_call(struct grammar_builder *builder, int32_t from, int32_t to, int32_t rule)
{
    add_edge(builder, (struct build_edge){.from = from, .to = to, .rule = rule, .kind = EDGE_CALL});
}

int32_t builder_declare(struct grammar_builder *builder, const char *name, size_t length)
{
    if (!grow(builder, (void **)&builder->rules, &builder->rule_capacity, builder->n_rules, sizeof *builder->rules, LIMIT_GRAMMAR_RULES, "rules"))
        return 0;
    struct build_rule *rule = &builder->rules[builder->n_rules];
    *rule = (struct build_rule){.start = -1, .end = -1};
    memcpy(rule->name, name, length < sizeof rule->name ? length : sizeof rule->name - 1);
    return (int32_t)builder->n_rules++;
}

void builder_define(struct grammar_builder *builder, int32_t rule, struct fragment body)
{
    if (builder->status)
        return;
    builder->rules[rule].start = body.start;
    builder->rules[rule].end = body.end;
}

int32_t builder_rule(struct grammar_builder *builder, const char *name, struct fragment body)
{
    int32_t rule = builder_declare(builder, name, strlen(name));
    builder_define(builder, rule, body);
    return rule;
}

/* ---- Fragments. */

static struct fragment new_fragment(struct grammar_builder *builder)
{
    int32_t start = builder_node(builder);
    return (struct fragment){start, builder_node(builder)};
}

struct fragment build_empty(struct grammar_builder *builder)
{
    int32_t node = builder_node(builder);
    return (struct fragment){node, node};
}

struct fragment build_text(struct grammar_builder *builder, const char *text, size_t length)
{
    struct fragment fragment = build_empty(builder);
    for (size_t i = 0; i < length && !builder->status; i++) {
        int32_t next = builder_node(builder);
        builder_bytes(builder, fragment.end, next, (uint8_t)text[i], (uint8_t)text[i]);
        fragment.end = next;
    }
    return fragment;
}

struct fragment build_string(struct grammar_builder *builder, const char *text)
{
    return build_text(builder, text, strlen(text));
}

struct fragment build_call(struct grammar_builder *builder, int32_t rule)
{
    struct fragment fragment = new_fragment(builder);
    builder_call(builder, fragment.start, fragment.end, rule);
    return fragment;
}

struct fragment build_sequence(struct grammar_builder *builder, struct fragment a, struct fragment b)
{
    builder_epsilon(builder, a.end, b.start);
    return (struct fragment){a.start, b.end};
}

/* New ends around both, because an end may have edges of its own (a loop) and a start edges into it. */
struct fragment build_either(struct grammar_builder *builder, struct fragment a, struct fragment b)
{
    struct fragment fragment = new_fragment(builder);
    builder_epsilon(builder, fragment.start, a.start);
    builder_epsilon(builder, fragment.start, b.start);
    builder_epsilon(builder, a.end, fragment.end);
    builder_epsilon(builder, b.end, fragment.end);
    return fragment;
}

struct fragment build_optional(struct grammar_builder *builder, struct fragment a)
{
    return build_either(builder, build_empty(builder), a);
}

struct fragment build_repeat(struct grammar_builder *builder, int32_t rule, int64_t minimum, int64_t maximum)
{
    struct fragment fragment = build_empty(builder);
    for (int64_t i = 0; i < minimum && !builder->status; i++)
        fragment = build_sequence(builder, fragment, build_call(builder, rule));
    if (maximum == BUILD_UNBOUNDED) {
        int32_t loop = builder_node(builder), end = builder_node(builder);
        builder_epsilon(builder, fragment.end, loop);
        builder_call(builder, loop, loop, rule);
        builder_epsilon(builder, loop, end);
        return (struct fragment){fragment.start, end};
    }
    int32_t end = builder_node(builder), at = fragment.end;
    for (int64_t i = minimum; i < maximum && !builder->status; i++) {
        int32_t next = builder_node(builder);
        builder_epsilon(builder, at, end);
        builder_call(builder, at, next, rule);
        at = next;
    }
    builder_epsilon(builder, at, end);
    return (struct fragment){fragment.start, end};
}

/* ---- Characters as UTF-8. */

/* Adds paths from `start` to `end` for the characters first..last, which all take n bytes. Splits the range where a leading byte's continuation bytes do not
 * run from 80 to BF in full, so that each path is a product of byte ranges. */
static void add_utf8_range(struct grammar_builder *builder, int32_t start, int32_t end, uint32_t first, uint32_t last, int n)
{
    static const uint8_t marks[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    if (builder->status)
        return;
    for (int tail = n - 1; tail > 0; tail--) {
        uint32_t mask = (1u << (6 * tail)) - 1;
        if ((first & ~mask) == (last & ~mask))
            continue; /* the same leading part */
        if (first & mask) {
            add_utf8_range(builder, start, end, first, first | mask, n);
            add_utf8_range(builder, start, end, (first | mask) + 1, last, n);
            return;
        }
        if ((last & mask) != mask) {
            add_utf8_range(builder, start, end, first, (last & ~mask) - 1, n);
            add_utf8_range(builder, start, end, last & ~mask, last, n);
            return;
        }
    }
    int32_t at = start;
    for (int i = 0; i < n; i++) {
        unsigned shift = 6u * (unsigned)(n - 1 - i);
        uint8_t mark = i ? 0x80 : marks[n];
        uint32_t low = i ? (first >> shift) & 0x3F : first >> shift, high = i ? (last >> shift) & 0x3F : last >> shift;
        int32_t next = i == n - 1 ? end : builder_node(builder);
        builder_bytes(builder, at, next, (uint8_t)(mark | low), (uint8_t)(mark | high));
        at = next;
    }
}

static void add_plain_range(struct grammar_builder *builder, int32_t start, int32_t end, uint32_t first, uint32_t last)
{
    static const struct {
        uint32_t first, last;
        int n; /* bytes of UTF-8 */
    } planes[] = {{0, 0x7F, 1}, {0x80, 0x7FF, 2}, {0x800, 0xD7FF, 3}, {0xE000, 0xFFFF, 3}, {0x10000, 0x10FFFF, 4}};
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) {
        uint32_t low = first > planes[i].first ? first : planes[i].first, high = last < planes[i].last ? last : planes[i].last;
        if (low <= high)
            add_utf8_range(builder, start, end, low, high, planes[i].n);
    }
}

/* The one escaped form of a character that a JSON string may not hold as it is. */
static void add_escape(struct grammar_builder *builder, int32_t start, int32_t end, uint32_t character)
{
    static const char letters[] = "\b\t\n\f\r\"\\", shown[] = "btnfr\"\\";
    static const char digits[] = "0123456789abcdef";
    char text[8] = "\\u00xx";
    const char *at = character ? strchr(letters, (int)character) : NULL;
    if (at) {
        text[1] = shown[at - letters];
        text[2] = '\0';
    } else {
        text[4] = digits[character >> 4];
        text[5] = digits[character & 15];
    }
    struct fragment escape = build_string(builder, text);
    builder_epsilon(builder, start, escape.start);
    builder_epsilon(builder, escape.end, end);
}

static void add_json_range(struct grammar_builder *builder, int32_t start, int32_t end, struct character_range range)
{
    static const struct character_range plain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};
    for (uint32_t c = range.first; c <= range.last && c <= '\\'; c++)
        if (c < 0x20 || c == '"' || c == '\\')
            add_escape(builder, start, end, c);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        uint32_t low = range.first > plain[i].first ? range.first : plain[i].first, high = range.last < plain[i].last ? range.last : plain[i].last;
        if (low <= high)
            add_plain_range(builder, start, end, low, high);
    }
}

struct fragment build_characters(struct grammar_builder *builder, const struct character_range *ranges, size_t n, enum character_form form)
{
    struct fragment fragment = new_fragment(builder);
    for (size_t i = 0; i < n && !builder->status; i++) {
        if (form == FORM_JSON)
            add_json_range(builder, fragment.start, fragment.end, ranges[i]);
        else
            add_plain_range(builder, fragment.start, fragment.end, ranges[i].first, ranges[i].last);
    }
    return fragment;
}
