/* A grammar as the automaton reads it: nodes with their edges behind one another, rules, and which bytes never need telling apart. */
#ifndef TEXT_GRAMMAR_COMPILED_H
#define TEXT_GRAMMAR_COMPILED_H

#include <stdbool.h>
#include <stdint.h>

struct grammar_edge {
    int32_t to;
    int32_t rule;        /* of a call, else -1 */
    uint8_t kind;        /* enum edge_kind */
    uint8_t first, last; /* byte classes, inclusive */
    bool tail;           /* a call behind which the calling rule ends: nothing needs remembering */
};

struct grammar {
    int32_t n_nodes, n_edges, n_rules, n_classes;
    int32_t *first_edge; /* [n_nodes + 1] */
    struct grammar_edge *edges;
    int32_t *rule_starts;    /* [n_rules] nodes */
    unsigned char *is_end;   /* [n_nodes]: the end of a rule */
    uint8_t byte_class[256]; /* bytes that no edge tells apart share a class */
};

#endif
