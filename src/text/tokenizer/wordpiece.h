/* WordPiece (Schuster & Nakajima 2012; as BERT uses it), private to text/: from left to right the longest token that fits, of the tokens that begin a
 * word at its start and of those written with a prefix ("##") inside it. A word that cannot be covered so, or is too long, is one unknown token. O(n *
 * longest token), the latter bounded by LIMIT_PIECE_BYTES. */
#ifndef TEXT_TOKENIZER_WORDPIECE_H
#define TEXT_TOKENIZER_WORDPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"
#include "text/tokenizer/trie.h"

struct wordpiece {
    struct trie words, subwords; /* the latter without the prefix */
    uint32_t longest_word;       /* characters */
};

/* Appends the tokens of a word; *covered says whether there are any. 0 or SAMPAN_ENOMEM. */
int wordpiece_encode_word(const struct wordpiece *wordpiece, const char *word, size_t length, struct token_list *list, bool *covered);

#endif
