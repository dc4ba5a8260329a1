/* Constrained output: what a model may say, as a grammar over bytes.
 *
 * A grammar is compiled once from one of five sources and is immutable; an automaton (automaton.h) runs it token by token and says which tokens may come next.
 * All sources become the same thing: rules that are small non-deterministic automata over bytes and may call each other (a recursive transition network, Woods
 * 1970), so that JSON inside JSON needs no special case and one engine serves every dialect.
 *
 *     regex.c  gbnf.c  json_schema.c ...  ->  build.h: fragments, rules  ->  finish.c: trimmed, checked, packed  ->  automaton.c
 *
 * Two promises. Every text that ends where may_end says so belongs to the source (for JSON Schema: it validates), and there are no dead ends: whatever was
 * accepted so far can be completed, because nodes from which no rule's end can be reached were removed.
 *
 * Every source is hostile: nodes, edges and depth are bounded (base/limits.h), so that compiling takes milliseconds whatever it is given.
 * Thread: a grammar is immutable and may be used by any number of threads. */
#ifndef TEXT_GRAMMAR_GRAMMAR_H
#define TEXT_GRAMMAR_GRAMMAR_H

#include <stddef.h>

#include "base/error.h"

struct grammar;

enum grammar_kind {
    GRAMMAR_JSON_OBJECT, /* any JSON object; the source is empty */
    GRAMMAR_JSON_SCHEMA, /* JSON Schema 2020-12 as JSON text; see json_schema.h for the part that is supported */
    GRAMMAR_REGEX,       /* a regular expression that the whole text matches; see regex.h */
    GRAMMAR_CHOICES,     /* a JSON array of strings: one of them, exactly */
    GRAMMAR_GBNF,        /* a grammar in llama.cpp's notation; see gbnf.h */
    GRAMMAR_KIND_COUNT
};

const char *grammar_kind_name(enum grammar_kind kind); /* "JSON Schema": for messages */

/* SAMPAN_EINVAL: not well formed, or no text can satisfy it. SAMPAN_EUNSUPPORTED: a feature, by name and place. SAMPAN_ELIMIT, SAMPAN_ENOMEM. */
int grammar_compile(enum grammar_kind kind, const char *source, size_t length, struct grammar **grammar, struct error *err);
void grammar_free(struct grammar *grammar); /* NULL is legal */

#endif
