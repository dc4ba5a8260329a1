/* What a request asks of its answer: a grammar, and the vocabulary it is held against. Shared by requests and by the engines they go to, in any thread; the
 * last one that lets go frees it. */
#ifndef TEXT_GRAMMAR_CONSTRAINT_H
#define TEXT_GRAMMAR_CONSTRAINT_H

#include <stdatomic.h>

#include "text/grammar/grammar.h"
#include "text/grammar/token_trie.h"

struct constraint {
    struct grammar *grammar;       /* owned */
    const struct token_trie *trie; /* outlives it */
    atomic_int references;
};

/* Errors as grammar_compile. */
int constraint_create(enum grammar_kind kind, const char *source, size_t length, const struct token_trie *trie, struct constraint **constraint,
                      struct error *err);
struct constraint *constraint_retain(struct constraint *constraint); /* NULL is legal */
void constraint_release(struct constraint *constraint);              /* NULL is legal */

#endif
