/* Bookkeeping of cache blocks, per group. The engine only hands out numbers; what is in a block belongs to the executor.
 *
 * A block is in one of three states:
 *
 *   free ---- take ----> used (references > 0) ---- last reference gone ----> free      (not in the prefix index)
 *                          ^                                            \---> cached    (in the prefix index: kept, least recently used first to go)
 *                          '------------------ reuse --------------------------'
 *
 * Steps run in the order of submission, so a freed block may be given away at once even while a submitted step still reads it.
 *
 * Memory: one struct kv_block per block; free blocks are a stack linked through `next`, cached ones a doubly linked list per group. Thread: the engine's. */
#ifndef ENGINE_KV_BLOCKS_H
#define ENGINE_KV_BLOCKS_H

#include <stdint.h>

#include "base/error.h"
#include "engine/executor.h"

struct kv_block {
    int32_t references;     /* sequences that have it in their tables */
    int32_t node;           /* of the prefix index that owns it; -1: none */
    int32_t previous, next; /* in the free stack or the list of cached blocks */
};

struct kv_group {
    enum executor_group_kind kind;
    int32_t block_tokens;
    int32_t window;
    int32_t n_blocks;
    int32_t n_free;
    int32_t n_cached;
    int32_t first_free;      /* top of the stack, -1 */
    int32_t oldest, newest;  /* cached blocks, -1 */
    struct kv_block *blocks; /* [n_blocks] */
};

struct kv_blocks {
    int32_t n_groups;
    struct kv_group groups[STEP_MAX_GROUPS];
};

int kv_blocks_init(struct kv_blocks *kv, const struct executor_description *description, struct error *err);
void kv_blocks_free(struct kv_blocks *kv);

/* A free block with one reference; -1 when no block is free (cached ones must be dropped from the prefix index first). */
int32_t kv_blocks_take(struct kv_group *group);
void kv_blocks_reference(struct kv_group *group, int32_t block);
void kv_blocks_release(struct kv_group *group, int32_t block);
/* The prefix index takes a used block in, or gives a block up (a cached one becomes free). */
void kv_blocks_own(struct kv_group *group, int32_t block, int32_t node);
void kv_blocks_disown(struct kv_group *group, int32_t block);

static inline int32_t kv_blocks_available(const struct kv_group *group)
{
    return group->n_free + group->n_cached;
}

#endif
