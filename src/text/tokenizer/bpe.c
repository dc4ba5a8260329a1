#include "text/tokenizer/bpe.h"

#include <string.h>
#include <sys/random.h>

#include "base/memory.h"

struct bpe_pair {
    int32_t left, right;
    uint32_t rank; /* BPE_NO_RANK: a free slot */
    int32_t joined;
};

/* The table holds its 8-byte keys inline, because this lookup is the inner loop of tokenization. Multiply-shift hashing (Dietzfelbinger et al. 1997)
 * with multipliers drawn per table: a hostile file cannot choose pairs that collide. */
int bpe_init(struct bpe *bpe, size_t n_merges)
{
    *bpe = (struct bpe){.capacity = 16, .shift = 60};
    while (bpe->capacity / 2 < n_merges) {
        bpe->capacity *= 2;
        bpe->shift--;
    }
    bpe->pairs = mem_alloc_array(bpe->capacity, sizeof *bpe->pairs);
    if (!bpe->pairs)
        return SAMPAN_ENOMEM;
    for (size_t i = 0; i < bpe->capacity; i++)
        bpe->pairs[i].rank = BPE_NO_RANK;
    if (getrandom(bpe->multipliers, sizeof bpe->multipliers, GRND_NONBLOCK) != (ssize_t)sizeof bpe->multipliers) {
        bpe->multipliers[0] = (uint64_t)(uintptr_t)bpe->pairs * 0x9E3779B97F4A7C15u; /* early boot: address randomisation is better than nothing */
        bpe->multipliers[1] = (uint64_t)(uintptr_t)bpe * 0xC2B2AE3D27D4EB4Fu;
    }
    bpe->multipliers[0] |= 1;
    bpe->multipliers[1] |= 1;
    return 0;
}

void bpe_free(struct bpe *bpe)
{
    mem_free(bpe->pairs);
    *bpe = (struct bpe){0};
}

/* The slot of the pair, or the free slot where it belongs; the table is at most half full, so the probe ends. */
static struct bpe_pair *find_pair(const struct bpe *bpe, int32_t left, int32_t right)
{
    uint64_t hash = bpe->multipliers[0] * (uint32_t)left + bpe->multipliers[1] * (uint32_t)right;
    for (size_t i = (size_t)(hash >> bpe->shift);; i = (i + 1) & (bpe->capacity - 1)) {
        struct bpe_pair *pair = &bpe->pairs[i];
        if (pair->rank == BPE_NO_RANK || (pair->left == left && pair->right == right))
            return pair;
    }
}

void bpe_put(struct bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t joined)
{
    *find_pair(bpe, left, right) = (struct bpe_pair){.left = left, .right = right, .rank = rank, .joined = joined};
}

void bpe_scratch_free(struct bpe_scratch *scratch)
{
    mem_free(scratch->symbols);
    mem_free(scratch->heap);
    *scratch = (struct bpe_scratch){0};
}

static int reserve_scratch(struct bpe_scratch *scratch, size_t n)
{
    if (n <= scratch->capacity)
        return 0;
    size_t capacity = scratch->capacity ? scratch->capacity : 64;
    while (capacity < n)
        capacity *= 2;
    bpe_scratch_free(scratch); /* nothing in it outlives a word */
    scratch->symbols = mem_alloc_array(capacity, sizeof *scratch->symbols);
    scratch->heap = mem_alloc_array(capacity, 2 * sizeof *scratch->heap);
    if (!scratch->symbols || !scratch->heap) {
        bpe_scratch_free(scratch);
        return SAMPAN_ENOMEM;
    }
    scratch->capacity = capacity;
    return 0;
}

static void sift_down(uint64_t *heap, size_t count, size_t at)
{
    uint64_t item = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= item)
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void sift_up(uint64_t *heap, size_t at)
{
    uint64_t item = heap[at];
    for (; at && heap[(at - 1) / 2] > item; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

/* Ranks the pair that starts at `at`; adds it to the heap when there is one. Returns the new number of candidates. */
static size_t add_candidate(const struct bpe *bpe, struct bpe_symbol *symbols, uint64_t *heap, size_t count, uint32_t at)
{
    struct bpe_symbol *left = &symbols[at];
    left->rank = BPE_NO_RANK;
    if (left->next == BPE_NO_SYMBOL)
        return count;
    left->rank = find_pair(bpe, left->id, symbols[left->next].id)->rank;
    if (left->rank == BPE_NO_RANK)
        return count;
    heap[count] = (uint64_t)left->rank << 32 | at;
    return count + 1;
}

/* Each merge takes one candidate away and adds at most two, and there are fewer than n merges: the heap never exceeds 2n. */
static void merge_symbols(const struct bpe *bpe, struct bpe_symbol *symbols, uint32_t n, uint64_t *heap)
{
    size_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count = add_candidate(bpe, symbols, heap, count, i);
    for (size_t i = count / 2; i-- > 0;)
        sift_down(heap, count, i);
    while (count) {
        uint32_t at = (uint32_t)heap[0], rank = (uint32_t)(heap[0] >> 32);
        heap[0] = heap[--count];
        if (count)
            sift_down(heap, count, 0);
        struct bpe_symbol *left = &symbols[at];
        if (left->rank != rank)
            continue;
        struct bpe_symbol *right = &symbols[left->next];
        left->id = find_pair(bpe, left->id, right->id)->joined;
        left->next = right->next;
        right->rank = BPE_NO_RANK;
        if (left->next != BPE_NO_SYMBOL)
            symbols[left->next].previous = at;
        uint32_t changed[2] = {at, left->previous};
        for (int i = 0; i < 2; i++) {
            size_t before = count;
            if (changed[i] != BPE_NO_SYMBOL)
                count = add_candidate(bpe, symbols, heap, count, changed[i]);
            if (count > before)
                sift_up(heap, count - 1);
        }
    }
}

int bpe_begin_word(struct bpe_scratch *scratch, size_t most)
{
    scratch->count = 0;
    return reserve_scratch(scratch, most);
}

int bpe_end_word(const struct bpe *bpe, struct bpe_scratch *scratch, struct token_list *list)
{
    struct bpe_symbol *symbols = scratch->symbols;
    int status = 0;
    if (!scratch->count)
        return 0;
    symbols[scratch->count - 1].next = BPE_NO_SYMBOL;
    merge_symbols(bpe, symbols, scratch->count, scratch->heap);
    for (uint32_t at = 0; at != BPE_NO_SYMBOL && !status; at = symbols[at].next)
        status = token_list_append(list, symbols[at].id);
    return status;
}
