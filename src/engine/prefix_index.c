#include "engine/prefix_index.h"

#include <string.h>
#include <sys/random.h>

#include "base/hash_map.h"
#include "base/memory.h"

#define MAX_SIBLINGS_LOOKED_AT 32 /* bounds the search for a partial match under one node */

static int64_t least_common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Sizes of everything; unit stays 0 where reuse is off. */
static void plan_layout(struct prefix_index *index, bool enabled)
{
    int64_t unit = 1;
    for (int32_t g = 0; g < index->kv->n_groups && unit <= PREFIX_MAX_UNIT; g++)
        unit = least_common_multiple(unit, index->kv->groups[g].block_tokens);
    if (!enabled || unit > PREFIX_MAX_UNIT)
        return;
    index->unit = (int32_t)unit;
    for (int32_t g = 0; g < index->kv->n_groups; g++) {
        const struct kv_group *group = &index->kv->groups[g];
        index->group_offset[g] = index->blocks_per_node;
        index->group_count[g] = index->unit / group->block_tokens;
        index->blocks_per_node += index->group_count[g];
        if (group->n_blocks / index->group_count[g] + 1 > index->n_nodes)
            index->n_nodes = group->n_blocks / index->group_count[g] + 1;
    }
    index->n_heads = 16;
    while (index->n_heads < index->n_nodes)
        index->n_heads *= 2;
}

int prefix_index_init(struct prefix_index *index, struct kv_blocks *kv, bool enabled, struct error *err)
{
    *index = (struct prefix_index){.kv = kv, .first_free = -1};
    plan_layout(index, enabled);
    if (getrandom(index->hash_key, sizeof index->hash_key, GRND_NONBLOCK) != (ssize_t)sizeof index->hash_key)
        index->hash_key[0] = (uint64_t)(uintptr_t)index; /* early boot: only the cost of made collisions depends on it */
    if (index->unit == 0)
        return 0;
    size_t n = (size_t)index->n_nodes, n_tokens, n_blocks;
    if (mem_multiply(n, (size_t)index->unit, &n_tokens) && mem_multiply(n, (size_t)index->blocks_per_node, &n_blocks)) {
        index->nodes = mem_zalloc_array(n, sizeof *index->nodes);
        index->tokens = mem_alloc_array(n_tokens, sizeof *index->tokens);
        index->blocks = mem_alloc_array(n_blocks, sizeof *index->blocks);
        index->hash_heads = mem_alloc_array((size_t)index->n_heads, sizeof *index->hash_heads);
    }
    if (!index->nodes || !index->tokens || !index->blocks || !index->hash_heads) {
        prefix_index_free(index);
        return error_no_memory(err, "making the prefix index");
    }
    memset(index->hash_heads, -1, (size_t)index->n_heads * sizeof *index->hash_heads);
    index->nodes[PREFIX_ROOT] = (struct prefix_node){.parent = -1, .first_child = -1, .next_sibling = -1, .previous_sibling = -1, .n_users = 1};
    for (int32_t i = index->n_nodes - 1; i > PREFIX_ROOT; i--) {
        index->nodes[i].next_in_hash = index->first_free;
        index->first_free = i;
    }
    return 0;
}

void prefix_index_free(struct prefix_index *index)
{
    mem_free(index->nodes);
    mem_free(index->tokens);
    mem_free(index->blocks);
    mem_free(index->hash_heads);
    *index = (struct prefix_index){.first_free = -1};
}

static int32_t *node_tokens(const struct prefix_index *index, int32_t node)
{
    return index->tokens + (int64_t)node * index->unit;
}

static uint64_t hash_child(const struct prefix_index *index, int32_t node, const int32_t *tokens)
{
    uint64_t key[2] = {index->hash_key[0] ^ (uint64_t)node, index->hash_key[1]};
    return hash_sip24(key, tokens, (size_t)index->unit * sizeof *tokens);
}

int32_t prefix_index_find(const struct prefix_index *index, int32_t node, const int32_t *tokens)
{
    if (!index->unit)
        return -1;
    uint64_t hash = hash_child(index, node, tokens);
    for (int32_t i = index->hash_heads[hash & (uint64_t)(index->n_heads - 1)]; i >= 0; i = index->nodes[i].next_in_hash)
        if (index->nodes[i].hash == hash && index->nodes[i].parent == node && memcmp(node_tokens(index, i), tokens, (size_t)index->unit * sizeof *tokens) == 0)
            return i;
    return -1;
}

int32_t prefix_index_find_partial(const struct prefix_index *index, int32_t node, const int32_t *tokens, int32_t n, int32_t *n_common)
{
    int32_t best = -1;
    *n_common = 0;
    if (!index->unit)
        return -1;
    if (n > index->unit)
        n = index->unit;
    int32_t looked_at = 0;
    for (int32_t i = index->nodes[node].first_child; i >= 0 && looked_at < MAX_SIBLINGS_LOOKED_AT; i = index->nodes[i].next_sibling, looked_at++) {
        const int32_t *theirs = node_tokens(index, i);
        int32_t common = 0;
        while (common < n && theirs[common] == tokens[common])
            common++;
        if (common > *n_common) {
            *n_common = common;
            best = i;
        }
    }
    return best;
}

int32_t prefix_index_add(struct prefix_index *index, int32_t node, const int32_t *tokens)
{
    int32_t added = index->first_free;
    if (added < 0)
        return -1;
    struct prefix_node *parent = &index->nodes[node];
    index->first_free = index->nodes[added].next_in_hash;
    uint64_t hash = hash_child(index, node, tokens);
    int32_t *head = &index->hash_heads[hash & (uint64_t)(index->n_heads - 1)];
    index->nodes[added] = (struct prefix_node){
        .parent = node, .first_child = -1, .next_sibling = parent->first_child, .previous_sibling = -1, .next_in_hash = *head, .hash = hash};
    *head = added;
    if (parent->first_child >= 0)
        index->nodes[parent->first_child].previous_sibling = added;
    parent->first_child = added;
    memcpy(node_tokens(index, added), tokens, (size_t)index->unit * sizeof *tokens);
    for (int32_t i = 0; i < index->blocks_per_node; i++)
        index->blocks[(int64_t)added * index->blocks_per_node + i] = -1;
    return added;
}

void prefix_index_set_block(struct prefix_index *index, int32_t node, int32_t group, int32_t i, int32_t block)
{
    prefix_index_blocks(index, node, group)[i] = block;
    kv_blocks_own(&index->kv->groups[group], block, node);
}

/* ---- Dropping. */

/* Takes a leaf out of the tree; its blocks become free or simply unowned. */
static void remove_leaf(struct prefix_index *index, int32_t node)
{
    struct prefix_node *n = &index->nodes[node];
    for (int32_t g = 0; g < index->kv->n_groups; g++) {
        int32_t *blocks = prefix_index_blocks(index, node, g);
        for (int32_t i = 0; i < index->group_count[g]; i++)
            if (blocks[i] >= 0)
                kv_blocks_disown(&index->kv->groups[g], blocks[i]);
    }
    if (n->previous_sibling >= 0)
        index->nodes[n->previous_sibling].next_sibling = n->next_sibling;
    else
        index->nodes[n->parent].first_child = n->next_sibling;
    if (n->next_sibling >= 0)
        index->nodes[n->next_sibling].previous_sibling = n->previous_sibling;
    int32_t *link = &index->hash_heads[n->hash & (uint64_t)(index->n_heads - 1)];
    while (*link != node)
        link = &index->nodes[*link].next_in_hash;
    *link = n->next_in_hash;
    *n = (struct prefix_node){.parent = -1, .first_child = -1, .next_in_hash = index->first_free};
    index->first_free = node;
}

/* Leaves first, without recursion: a chain may be thousands of nodes long. */
static void remove_subtree(struct prefix_index *index, int32_t top)
{
    int32_t node = top;
    for (;;) {
        while (index->nodes[node].first_child >= 0)
            node = index->nodes[node].first_child;
        int32_t parent = index->nodes[node].parent;
        remove_leaf(index, node);
        if (node == top)
            return;
        node = parent;
    }
}

static bool has_blocks(const struct prefix_index *index, int32_t node)
{
    const int32_t *blocks = index->blocks + (int64_t)node * index->blocks_per_node;
    for (int32_t i = 0; i < index->blocks_per_node; i++)
        if (blocks[i] >= 0)
            return true;
    return false;
}

/* Leaves that hold nothing and serve nobody, upwards (happens where every group is a window). */
static void remove_empty_leaves(struct prefix_index *index, int32_t node)
{
    while (node != PREFIX_ROOT && index->nodes[node].first_child < 0 && index->nodes[node].n_users == 0 && !has_blocks(index, node)) {
        int32_t parent = index->nodes[node].parent;
        remove_leaf(index, node);
        node = parent;
    }
}

bool prefix_index_drop_oldest(struct prefix_index *index, int32_t group)
{
    struct kv_group *kv = &index->kv->groups[group];
    int32_t block = kv->oldest;
    if (block < 0)
        return false;
    int32_t node = kv->blocks[block].node;
    if (kv->kind == EXECUTOR_GROUP_ALL_POSITIONS) {
        remove_subtree(index, node);
        return true;
    }
    int32_t *blocks = prefix_index_blocks(index, node, group);
    for (int32_t i = 0; i < index->group_count[group]; i++)
        if (blocks[i] == block)
            blocks[i] = -1;
    kv_blocks_disown(kv, block);
    remove_empty_leaves(index, node);
    return true;
}

void prefix_index_move_user(struct prefix_index *index, int32_t from, int32_t to)
{
    if (!index->unit || from == to)
        return;
    index->nodes[from].n_users--;
    index->nodes[to].n_users++;
    remove_empty_leaves(index, from);
}
