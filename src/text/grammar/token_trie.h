/* The vocabulary as a trie, laid out in the order of a depth-first walk, so that asking "which tokens may come next" is one pass from left to right that
 * jumps over whatever an automaton rejects.
 *
 *   node: byte | depth | next = the node behind this one's subtree | the tokens that end here
 *
 * Control and unused tokens are not in it: a constrained text never holds them. Thread: immutable; any number of threads. */
#ifndef TEXT_GRAMMAR_TOKEN_TRIE_H
#define TEXT_GRAMMAR_TOKEN_TRIE_H

#include <stdint.h>

#include "base/error.h"
#include "text/tokenizer.h"

struct token_trie_node {
    uint8_t byte;
    uint16_t depth; /* of the root's children: 1 */
    int32_t next;   /* index */
    int32_t token;  /* a token that ends here, -1: none; more of the same bytes by token_trie.same */
};

struct token_trie {
    int32_t n_tokens; /* of the vocabulary: the width of a mask */
    int32_t n_nodes;
    int32_t max_depth;             /* bytes of the longest token */
    struct token_trie_node *nodes; /* [n_nodes]; the root is not among them */
    int32_t *same;                 /* [n_tokens]: another token of the same bytes, -1 */
};

int token_trie_create(const struct tokenizer *tokenizer, struct token_trie **trie, struct error *err); /* SAMPAN_ENOMEM, SAMPAN_ELIMIT */
void token_trie_free(struct token_trie *trie);                                                         /* NULL is legal */

#endif
