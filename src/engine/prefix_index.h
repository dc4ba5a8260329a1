/* The prefix index: which cached blocks hold the keys and values of which token sequence, so that a prompt that begins like another one is not computed again.
 *
 * A tree. A node stands for one chunk of `unit` tokens after its parent's chunks; unit is the least common multiple of the groups' block sizes, so that a
 * chunk is whole blocks in every group. Nodes are found by a hash of (parent, tokens), and the tokens are always compared in full: a collision costs time,
 * never a
 * wrong answer. A node owns the blocks of its chunk; those of a window group may be missing (left the window, or dropped).
 *
 *   root --[tokens 0..U)--> node --[tokens U..2U)--> node ...      node: parent, children, tokens[U], blocks[group][U / block_tokens]
 *
 * Reuse of n chunks needs: every block of the path in groups that keep all positions; in a window group the blocks of the last window - 1 positions.
 *
 * Blocks without reference are dropped least recently used first. With a block of a group that keeps all positions goes its whole subtree, which nobody can
 * use any more:
 * a sequence holds references to all such blocks of its path (own copies are exchanged for the index's when a chunk is registered), so
 * nothing in that subtree is in use. A block of a window group goes alone.
 *
 * Memory: all taken at the start; as many nodes as there are blocks of the largest group. Thread: the engine's. */
#ifndef ENGINE_PREFIX_INDEX_H
#define ENGINE_PREFIX_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/kv_blocks.h"

#define PREFIX_ROOT 0
#define PREFIX_MAX_UNIT 65536 /* tokens; a larger common multiple switches reuse off */

struct prefix_node {
    int32_t parent; /* -1: root, or a free node */
    int32_t first_child, next_sibling, previous_sibling;
    int32_t next_in_hash; /* or the next free node */
    int32_t n_users;      /* sequences whose last registered chunk this is */
    uint64_t hash;
};

struct prefix_index {
    struct kv_blocks *kv;
    int32_t unit; /* tokens per chunk; 0: reuse is off */
    int32_t n_nodes;
    struct prefix_node *nodes; /* [n_nodes] */
    int32_t *tokens;           /* [n_nodes, unit] */
    int32_t *blocks;           /* [n_nodes, blocks_per_node], -1: missing */
    int32_t blocks_per_node;
    int32_t group_offset[STEP_MAX_GROUPS]; /* of a group's blocks within a node's */
    int32_t group_count[STEP_MAX_GROUPS];  /* blocks of a chunk */
    int32_t *hash_heads;                   /* [n_heads], -1 */
    int32_t n_heads;                       /* a power of two */
    int32_t first_free;
    uint64_t hash_key[2];
};

/* With `enabled` false, or where the unit would be too large, nothing is ever found. */
int prefix_index_init(struct prefix_index *index, struct kv_blocks *kv, bool enabled, struct error *err);
void prefix_index_free(struct prefix_index *index);

/* The child of a node that has these `unit` tokens; -1. */
int32_t prefix_index_find(const struct prefix_index *index, int32_t node, const int32_t *tokens);
/* The child whose first tokens agree with tokens[0 .. n) the furthest (only some of the newest children are looked at); *n_common says how far. -1. */
int32_t prefix_index_find_partial(const struct prefix_index *index, int32_t node, const int32_t *tokens, int32_t n, int32_t *n_common);
/* Adds a child without blocks; -1 when no node is free. */
int32_t prefix_index_add(struct prefix_index *index, int32_t node, const int32_t *tokens);
void prefix_index_set_block(struct prefix_index *index, int32_t node, int32_t group, int32_t i, int32_t block);

static inline int32_t *prefix_index_blocks(const struct prefix_index *index, int32_t node, int32_t group)
{
    return index->blocks + (int64_t)node * index->blocks_per_node + index->group_offset[group];
}

/* Makes one cached block of the group free again: the least recently used. False when there is none. */
bool prefix_index_drop_oldest(struct prefix_index *index, int32_t group);

/* A sequence's last registered chunk moves from one node to another. */
void prefix_index_move_user(struct prefix_index *index, int32_t from, int32_t to);

#endif
