/* Building a grammar: fragments with one start and one end, joined as Thompson (1968) does for regular expressions, and rules that fragments may call.
 *
 * A failure (memory, limits, a refusal) is kept in the builder; later calls do nothing and give fragments that must not be looked at, so that a front end
 * checks once, at the end. A fragment is used once: joining it into another gives its nodes away. What is to appear many times becomes a rule. */
#ifndef TEXT_GRAMMAR_BUILD_H
#define TEXT_GRAMMAR_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct grammar;

enum edge_kind { EDGE_EPSILON, EDGE_BYTES, EDGE_CALL };

struct build_edge {
    int32_t from, to;
    int32_t rule;        /* EDGE_CALL: `to` is where it goes on once the rule ended */
    uint8_t kind;        /* enum edge_kind */
    uint8_t first, last; /* EDGE_BYTES: inclusive */
};

struct build_rule {
    char name[64];      /* for messages */
    int32_t start, end; /* -1: declared, not defined */
};

struct grammar_builder {
    struct build_edge *edges; /* [n_edges], owned */
    struct build_rule *rules; /* [n_rules], owned; rule 0 is where the text starts */
    size_t n_edges, edge_capacity, n_rules, rule_capacity;
    int32_t n_nodes;
    int status; /* 0 or the first failure */
    struct error *err;
};

struct fragment {
    int32_t start, end; /* nodes */
};

struct character_range {
    uint32_t first, last; /* code points, inclusive */
};

/* How characters are written: as they are, or inside a JSON string. There each character has exactly one form (quote, backslash and control
 * characters escaped, everything else as it is), so that a name or a pattern cannot be met in a second spelling. */
enum character_form { FORM_PLAIN, FORM_JSON };

void builder_init(struct grammar_builder *builder, struct error *err); /* makes rule 0, undefined */
void builder_free(struct grammar_builder *builder);
int builder_fail(struct grammar_builder *builder, int code, const char *format, ...) BASE_PRINTF(3, 4); /* the first failure stays */

int32_t builder_node(struct grammar_builder *builder);
void builder_epsilon(struct grammar_builder *builder, int32_t from, int32_t to);
void builder_bytes(struct grammar_builder *builder, int32_t from, int32_t to, uint8_t first, uint8_t last);
void builder_call(struct grammar_builder *builder, int32_t from, int32_t to, int32_t rule);

int32_t builder_declare(struct grammar_builder *builder, const char *name, size_t length);
void builder_define(struct grammar_builder *builder, int32_t rule, struct fragment body);
int32_t builder_rule(struct grammar_builder *builder, const char *name, struct fragment body); /* both */

struct fragment build_empty(struct grammar_builder *builder);
struct fragment build_text(struct grammar_builder *builder, const char *text, size_t length); /* bytes */
struct fragment build_string(struct grammar_builder *builder, const char *text);              /* NUL-terminated */
/* One character of the ranges (ascending, disjoint; may be empty: then nothing matches). */
struct fragment build_characters(struct grammar_builder *builder, const struct character_range *ranges, size_t n, enum character_form form);
struct fragment build_call(struct grammar_builder *builder, int32_t rule);
struct fragment build_sequence(struct grammar_builder *builder, struct fragment a, struct fragment b);
struct fragment build_either(struct grammar_builder *builder, struct fragment a, struct fragment b);
struct fragment build_optional(struct grammar_builder *builder, struct fragment a);
#define BUILD_UNBOUNDED (-1)
struct fragment build_repeat(struct grammar_builder *builder, int32_t rule, int64_t minimum, int64_t maximum);

/* Trims, checks (undefined rules, left recursion, nothing that can be said) and packs what rule 0 leads to. */
int builder_finish(struct grammar_builder *builder, struct grammar **grammar);

#endif
