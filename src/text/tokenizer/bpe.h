/* Ranked merges over symbols (Sennrich et al. 2016), private to text/.
 *
 * A word starts as one symbol per byte or character. The pair with the lowest rank - the leftmost of them - is joined, again and again, until no
 * neighbours form a known pair. Symbols are a linked list in an array, candidates lie in a binary heap, so a word of n bytes costs O(n log n):
 *
 *   symbols  [id prev next rank] [id prev next rank] ...   rank: of the pair (this symbol, next), BPE_NO_RANK where it is none
 *   heap     rank << 32 | position                         stale when symbols[position].rank has become another one
 *
 * Where several pairs share a rank (merges by score) an entry may stand for another pair than the one it was made for: merging that one is as right. */
#ifndef TEXT_TOKENIZER_BPE_H
#define TEXT_TOKENIZER_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

#define BPE_NO_RANK UINT32_MAX
#define BPE_NO_SYMBOL UINT32_MAX

struct bpe_pair;

struct bpe_symbol {
    int32_t id;
    uint32_t previous, next; /* positions, BPE_NO_SYMBOL at the ends */
    uint32_t rank;
};

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
    uint32_t count; /* symbols of the word at hand */
};

int bpe_init(struct bpe *bpe, size_t n_merges); /* 0 or SAMPAN_ENOMEM; room for n_merges pairs */
void bpe_free(struct bpe *bpe);

/* A pair that is there already gets the new rank, as in the `tokenizers` library. No more than n_merges pairs may be put. */
void bpe_put(struct bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t joined);

/* A word: begin with room for `most` symbols (0 or SAMPAN_ENOMEM), push its symbols, end: appends what the merges make of them (0 or SAMPAN_ENOMEM). */
int bpe_begin_word(struct bpe_scratch *scratch, size_t most);
static inline void bpe_push(struct bpe_scratch *scratch, int32_t id)
{
    uint32_t n = scratch->count++;
    scratch->symbols[n] = (struct bpe_symbol){.id = id, .previous = n - 1, .next = n + 1, .rank = BPE_NO_RANK}; /* 0 - 1 is BPE_NO_SYMBOL */
}
int bpe_end_word(const struct bpe *bpe, struct bpe_scratch *scratch, struct token_list *list);

void bpe_scratch_free(struct bpe_scratch *scratch);

#endif
