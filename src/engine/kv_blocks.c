#include "engine/kv_blocks.h"

#include "base/memory.h"

int kv_blocks_init(struct kv_blocks *kv, const struct executor_description *description, struct error *err)
{
    *kv = (struct kv_blocks){.n_groups = description->n_groups};
    for (int32_t g = 0; g < kv->n_groups; g++) {
        const struct executor_group *from = &description->groups[g];
        struct kv_group *group = &kv->groups[g];
        *group = (struct kv_group){.kind = from->kind,
                                   .block_tokens = from->block_tokens,
                                   .window = from->window,
                                   .n_blocks = from->n_blocks,
                                   .n_free = from->n_blocks,
                                   .first_free = 0,
                                   .oldest = -1,
                                   .newest = -1};
        group->blocks = mem_alloc_array((size_t)from->n_blocks, sizeof *group->blocks);
        if (!group->blocks) {
            kv_blocks_free(kv);
            return error_no_memory(err, "making the table of cache blocks");
        }
        for (int32_t b = 0; b < group->n_blocks; b++)
            group->blocks[b] = (struct kv_block){.node = -1, .previous = -1, .next = b + 1 < group->n_blocks ? b + 1 : -1};
    }
    return 0;
}

void kv_blocks_free(struct kv_blocks *kv)
{
    for (int32_t g = 0; g < kv->n_groups; g++)
        mem_free(kv->groups[g].blocks);
    *kv = (struct kv_blocks){0};
}

static void push_free(struct kv_group *group, int32_t block)
{
    group->blocks[block].next = group->first_free;
    group->first_free = block;
    group->n_free++;
}

static void push_cached(struct kv_group *group, int32_t block)
{
    struct kv_block *b = &group->blocks[block];
    b->previous = group->newest;
    b->next = -1;
    if (group->newest >= 0)
        group->blocks[group->newest].next = block;
    else
        group->oldest = block;
    group->newest = block;
    group->n_cached++;
}

static void remove_cached(struct kv_group *group, int32_t block)
{
    struct kv_block *b = &group->blocks[block];
    if (b->previous >= 0)
        group->blocks[b->previous].next = b->next;
    else
        group->oldest = b->next;
    if (b->next >= 0)
        group->blocks[b->next].previous = b->previous;
    else
        group->newest = b->previous;
    group->n_cached--;
}

int32_t kv_blocks_take(struct kv_group *group)
{
    int32_t block = group->first_free;
    if (block < 0)
        return -1;
    group->first_free = group->blocks[block].next;
    group->n_free--;
    group->blocks[block].references = 1;
    return block;
}

void kv_blocks_reference(struct kv_group *group, int32_t block)
{
    struct kv_block *b = &group->blocks[block];
    if (b->references++ == 0)
        remove_cached(group, block);
}

void kv_blocks_release(struct kv_group *group, int32_t block)
{
    struct kv_block *b = &group->blocks[block];
    if (--b->references > 0)
        return;
    if (b->node >= 0)
        push_cached(group, block);
    else
        push_free(group, block);
}

void kv_blocks_own(struct kv_group *group, int32_t block, int32_t node)
{
    group->blocks[block].node = node;
}

void kv_blocks_disown(struct kv_group *group, int32_t block)
{
    struct kv_block *b = &group->blocks[block];
    b->node = -1;
    if (b->references == 0) {
        remove_cached(group, block);
        push_free(group, block);
    }
}
