/* Ranked merges over symbols (Sennrich et al. 2016), private to text/.
 *
 * A word starts as one symbol per byte. The pair with the lowest rank - the leftmost of them - is joined, again and again, until no neighbours form
 * a known pair. Symbols are a linked list in an array, candidates lie in a binary heap, so a word of n bytes costs O(n log n):
 *
 *   symbols  [id prev next rank] [id prev next rank] ...   rank: of the pair (this symbol, next), NO_RANK where it is none
 *   heap     rank << 32 | position                         stale when symbols[position].rank has become another one
 *
 * A pair's symbols only ever grow, so a rank that left a position never comes back: comparing ranks is enough to know stale entries. */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

struct bpe_pair;

/* The merges: pair of ids -> rank and joined id. Immutable once filled. */
struct bpe {
    struct bpe_pair *pairs; /* [capacity], open addressing, owned */
    size_t capacity;        /* a power of two */
    int shift;
    uint64_t multipliers[2];
};

/* Working memory of one caller; grows to 32 bytes per byte of the longest word and is kept between words. {0} is empty. */
struct bpe_scratch {
    struct bpe_symbol *symbols; /* [capacity] */
    uint64_t *heap;             /* [2 * capacity] */
    size_t capacity;
};

int bpe_init(struct bpe *bpe, size_t n_merges); /* 0 or SAMPAN_ENOMEM; room for n_merges pairs */
void bpe_free(struct bpe *bpe);

/* A pair that is there already gets the new rank, as in the `tokenizers` library. No more than n_merges pairs may be put. */
void bpe_put(struct bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t joined);

/* Appends the tokens of a word that is given as ids of its bytes, ids[0..n); entries below 0 are left out. 0 or SAMPAN_ENOMEM. */
int bpe_encode_word(const struct bpe *bpe, const int32_t byte_ids[256], const char *word, size_t length, struct bpe_scratch *scratch, struct token_list *list);

void bpe_scratch_free(struct bpe_scratch *scratch);

#endif
