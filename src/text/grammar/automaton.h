/* Running a grammar token by token.
 *
 * Where a text stands in a grammar is a set of (node, stack of calls to return to). Equal sets are one state with a number, and what follows a state - by a
 * byte class, as a mask of tokens - is remembered when it was first asked for: a lazily determinised push-down automaton. A JSON object visits a few dozen
 * states again and again, so after the first answer a step costs a table look-up; a state met for the first time costs one walk over the trie (about 0.3 ms
 * for 50,000 tokens).
 *
 *   stacks: (return node, parent) -> number, 0 is empty      states: sorted set -> number, 0 is dead      both are interned and only grow
 *
 * Memory is bounded (LIMIT_AUTOMATON_MEMORY): masks are dropped and made again; states and stacks beyond it are SAMPAN_ELIMIT, which ends the one stream
 * that needed them, as is nesting deeper than LIMIT_GRAMMAR_STACK.
 *
 * Pure: which tokens are allowed depends on the grammar, the vocabulary and the text alone, never on what was asked before.
 * Thread: one at a time per automaton; grammar and trie may be shared. */
#ifndef TEXT_GRAMMAR_AUTOMATON_H
#define TEXT_GRAMMAR_AUTOMATON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "text/grammar/grammar.h"
#include "text/grammar/token_trie.h"

struct grammar_automaton;

#define GRAMMAR_STATE_DEAD 0 /* nothing can follow and nothing could end here */

/* Grammar and trie outlive the automaton. `trie` may be NULL where only texts are matched. */
int grammar_automaton_create(const struct grammar *grammar, const struct token_trie *trie, struct grammar_automaton **automaton, struct error *err);
void grammar_automaton_free(struct grammar_automaton *automaton); /* NULL is legal */

int grammar_automaton_start(struct grammar_automaton *automaton, int32_t *state, struct error *err);
/* The state after `length` more bytes; GRAMMAR_STATE_DEAD where the grammar does not allow them. SAMPAN_ELIMIT, SAMPAN_ENOMEM. */
int grammar_automaton_advance(struct grammar_automaton *automaton, int32_t state, const char *bytes, size_t length, int32_t *next, struct error *err);
bool grammar_automaton_may_end(const struct grammar_automaton *automaton, int32_t state); /* the text so far is complete */

/* The text so far is complete and nothing may follow it. */
bool grammar_automaton_is_complete(const struct grammar_automaton *automaton, int32_t state);

/* Which tokens may come next: bit id % 32 of word id / 32; words = ceil(n_tokens / 32). The mask stays valid until the next call. End tokens are
 * not in it: they are allowed where may_end says so. */
int grammar_automaton_mask(struct grammar_automaton *automaton, int32_t state, const uint32_t **mask, struct error *err);

struct grammar_automaton_statistics {
    int64_t n_states, n_stacks, n_masks_made;
    size_t memory; /* bytes */
};
void grammar_automaton_get_statistics(const struct grammar_automaton *automaton, struct grammar_automaton_statistics *statistics);

#endif
