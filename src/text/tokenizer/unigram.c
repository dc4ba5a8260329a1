#include "text/tokenizer/unigram.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/utf8.h"

#define UNREACHED UINT32_MAX

void unigram_scratch_free(struct unigram_scratch *scratch)
{
    mem_free(scratch->places);
    *scratch = (struct unigram_scratch){0};
}

static int reserve_places(struct unigram_scratch *scratch, size_t n)
{
    if (n <= scratch->capacity)
        return 0;
    size_t capacity = scratch->capacity ? scratch->capacity : 64;
    while (capacity < n)
        capacity *= 2;
    unigram_scratch_free(scratch); /* nothing in it outlives a word */
    scratch->places = mem_alloc_array(capacity, sizeof *scratch->places);
    if (!scratch->places)
        return SAMPAN_ENOMEM;
    scratch->capacity = capacity;
    return 0;
}

static void offer(const struct unigram *unigram, struct unigram_place *place, double score, size_t start, int32_t id)
{
    score = unigram->single_precision ? (double)(float)score : score;
    if (place->start == UNREACHED || score > place->score)
        *place = (struct unigram_place){score, (uint32_t)start, id};
}

/* Offers every token that starts at `at`. */
static void offer_tokens(const struct unigram *unigram, struct unigram_place *places, const char *word, size_t length, size_t at, size_t character)
{
    const struct trie_node *nodes = unigram->trie.nodes;
    double so_far = places[at].score;
    bool covers_character = false;
    uint32_t node = 0;
    for (size_t end = at; end < length && (node = trie_step(&unigram->trie, node, (unsigned char)word[end])) != TRIE_NONE;) {
        end++;
        if (nodes[node].id < 0)
            continue;
        offer(unigram, &places[end], unigram->tokens[nodes[node].id].score + so_far, at, nodes[node].id);
        covers_character = covers_character || end == at + character;
    }
    if (!covers_character)
        offer(unigram, &places[at + character], unigram->unknown_score + so_far, at, UNIGRAM_UNKNOWN);
}

int unigram_segment(const struct unigram *unigram, struct unigram_scratch *scratch, const char *word, size_t length, size_t *n_pieces)
{
    if (reserve_places(scratch, length + 1))
        return SAMPAN_ENOMEM;
    struct unigram_place *places = scratch->places;
    for (size_t i = 1; i <= length; i++)
        places[i].start = UNREACHED;
    places[0] = (struct unigram_place){0};
    for (size_t at = 0; at < length;) {
        uint32_t character;
        int n = utf8_decode(word + at, length - at, &character);
        size_t step = n > 0 ? (size_t)n : 1;
        offer_tokens(unigram, places, word, length, at, step);
        at += step;
    }
    /* From the end back; the tokens are gathered at the end of the array and then moved to its front. */
    size_t n = 0;
    for (size_t at = length; at > 0; n++) {
        struct unigram_place piece = places[at];
        places[length - n] = piece;
        at = piece.start;
    }
    for (size_t i = 0; i < n; i++)
        places[i] = places[length - n + 1 + i];
    *n_pieces = n;
    return 0;
}
