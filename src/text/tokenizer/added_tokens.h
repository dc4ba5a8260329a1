/* Finding added tokens ("<|im_start|>") in a text, private to text/.
 *
 * Among all tokens the one that starts leftmost wins, among those the longest, as in the `tokenizers` library. The automaton of Aho and Corasick (1975)
 * is built over the REVERSED tokens and run over the text from its end to its start: at each byte it then knows the longest token that starts there,
 * in time linear in the text whatever the tokens are. */
#ifndef TEXT_TOKENIZER_ADDED_TOKENS_H
#define TEXT_TOKENIZER_ADDED_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "file/tokenizer_spec.h"

struct added_token_node;

/* Immutable once made. */
struct added_tokens {
    struct added_token_node *nodes; /* [n_nodes], node 0 is the root, owned */
    uint32_t n_nodes, capacity;
    uint32_t root_children[256]; /* 0: none */
};

int added_tokens_init(struct added_tokens *added);                                     /* 0 or SAMPAN_ENOMEM */
int added_tokens_add(struct added_tokens *added, struct byte_string text, int32_t id); /* 0 or SAMPAN_ENOMEM; an empty text is passed over */
int added_tokens_finish(struct added_tokens *added);                                   /* after the last one; 0 or SAMPAN_ENOMEM */
void added_tokens_free(struct added_tokens *added);

struct added_token_match {
    size_t start;  /* byte in the text */
    size_t length; /* bytes */
    int32_t id;
};

/* Matches of a text, from its END to its start, overlapping ones included: the longest for each start. */
struct added_token_matches {
    struct added_token_match *items; /* owned */
    size_t count, capacity;
};

/* Appends the matches inside text[start..end). 0 or SAMPAN_ENOMEM. */
int added_tokens_find(const struct added_tokens *added, const char *text, size_t start, size_t end, struct added_token_matches *matches);

#endif
