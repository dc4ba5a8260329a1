/* A trie over byte strings, private to text/: for each place of a text, which tokens start there.
 *
 *   nodes   breadth first, so that the children of a node lie side by side, in order of their bytes: [id | first child, number of children]
 *   labels  the byte that leads to each node
 *
 * Built from sorted strings in time linear in their bytes; there is nothing in it that a hostile vocabulary could make slow. */
#ifndef TEXT_TOKENIZER_TRIE_H
#define TEXT_TOKENIZER_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "file/tokenizer_spec.h"

struct trie_node {
    int32_t id; /* of the string that ends here, -1: none */
    uint32_t first_child, n_children;
};

/* Immutable once made. {0} is empty. */
struct trie {
    struct trie_node *nodes; /* [n_nodes], node 0 is the root, owned */
    unsigned char *labels;   /* [n_nodes], owned */
    uint32_t n_nodes;
};

struct trie_entry {
    struct byte_string text; /* length > 0 */
    int32_t id;
};

/* Sorts the entries; of equal texts the last in the list stays. 0, SAMPAN_ENOMEM, or SAMPAN_ELIMIT (more than 2^32 nodes). */
int trie_make(struct trie *trie, struct trie_entry *entries, size_t n_entries);
void trie_free(struct trie *trie);

enum { TRIE_NONE = 0 }; /* the root is nobody's child */

/* The child of a node by a byte, TRIE_NONE: none. */
static inline uint32_t trie_step(const struct trie *trie, uint32_t node, unsigned char byte)
{
    uint32_t low = trie->nodes[node].first_child, high = low + trie->nodes[node].n_children, end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trie->labels[middle] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && trie->labels[low] == byte ? low : TRIE_NONE;
}

#endif
