/* Unigram segmentation (Kudo 2018), private to text/: of all ways to cut a word into tokens the one with the highest sum of scores, by Viterbi's algorithm over
 * the trie of the vocabulary. A character that no token covers alone costs the lowest score less ten. O(n * longest token), the latter bounded by
 * LIMIT_PIECE_BYTES. Sums are doubles from left to right and the first of equals wins, as in the `tokenizers` library
 * (or floats, as in SentencePiece: with ties, as in long runs of one character, the rounding decides). */
#ifndef TEXT_TOKENIZER_UNIGRAM_H
#define TEXT_TOKENIZER_UNIGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer/trie.h"

struct unigram {
    struct trie trie;
    const struct tokenizer_token *tokens;
    double unknown_score;
    bool single_precision; /* sums are rounded to float, as SentencePiece adds them */
};

/* A token of the best segmentation: word[start..end); id UNIGRAM_UNKNOWN: a character without a token. */
enum { UNIGRAM_UNKNOWN = -1 };

struct unigram_place {
    double score;   /* of the best way to here */
    uint32_t start; /* where its last token begins */
    int32_t id;
};

/* Working memory of one caller: 16 bytes per byte of the longest word. {0} is empty. */
struct unigram_scratch {
    struct unigram_place *places; /* [capacity] */
    size_t capacity;
};
void unigram_scratch_free(struct unigram_scratch *scratch);

/* Segments word[0..length): afterwards places[0..*n_pieces) hold the tokens in order (start and id). 0 or SAMPAN_ENOMEM. */
int unigram_segment(const struct unigram *unigram, struct unigram_scratch *scratch, const char *word, size_t length, size_t *n_pieces);

#endif
