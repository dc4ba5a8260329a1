/* How many cache blocks, and how long a context: from what a program keeps per token and what memory is free. Pure arithmetic, so that it is tested without
 * memory.
 *
 * A group keeps, per block, n_layers * block_tokens * cache_group_elements elements. A sequence of `context` positions needs
 * ceil(context / block_tokens) blocks of every group that keeps all positions, and of a sliding window those that window and one step's rows can touch.
 * The cache gets what max_sequences whole contexts need, where that fits in the budget, and never less than one whole context. */
#ifndef FLEET_CACHE_SIZING_H
#define FLEET_CACHE_SIZING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/step.h"
#include "chip/chip.h"
#include "chip/program.h"

struct cache_demand {
    const struct program *program;
    enum tensor_type cache_type;
    int32_t block_tokens;
    uint64_t group_block_bytes[STEP_MAX_GROUPS]; /* of a block in the chip's layout (plan_estimate); 0: just the elements */
    int32_t max_tokens;                          /* rows of a step */
    int32_t max_sequences;
    int32_t context;      /* positions asked for; 0: the program's, as far as the budget allows */
    uint64_t budget;      /* bytes that the cache may take */
    bool budget_is_given; /* by the caller, not measured: for the message */
};

struct cache_sizes {
    int32_t context;
    int32_t n_blocks[STEP_MAX_GROUPS];
    uint64_t bytes;
};

/* SAMPAN_EINVAL: a context beyond the model's. SAMPAN_ENOMEM: one context does not fit; the message says what it needs, what there is, and what would fit. */
int cache_sizes_choose(const struct cache_demand *demand, struct cache_sizes *sizes, struct error *err);

/* Blocks of group g that one sequence of `context` positions may hold at once, and the bytes of all groups' (saturates). The longest context, up to `most`, of
 * which one fits in the budget. The demand's block_tokens, max_tokens and cache type count, its context does not. */
int64_t cache_sequence_blocks(const struct cache_demand *demand, int32_t g, int32_t context);
uint64_t cache_sequence_bytes(const struct cache_demand *demand, int32_t context);
int32_t cache_longest_context(const struct cache_demand *demand, int32_t most);

/* Fills the rows of a step: max_tokens and max_sequences as given or, where 0, as usual; logit rows so that they take a bounded buffer. */
void step_sizes_choose(const struct program *program, int32_t max_tokens, int32_t max_sequences, struct plan_limits *limits);

/* "1.5 GiB": for messages. */
struct size_text {
    char text[32];
};
struct size_text size_text(uint64_t bytes);

#endif
