#include "text/tokenizer/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* A node that waits for its children: the entries that begin with its string. */
struct range {
    size_t first, last;
};

static int compare_entries(const void *left, const void *right)
{
    const struct trie_entry *a = left, *b = right;
    size_t n = a->text.length < b->text.length ? a->text.length : b->text.length;
    int order = memcmp(a->text.data, b->text.data, n);
    if (order)
        return order;
    if (a->text.length != b->text.length)
        return a->text.length < b->text.length ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* One node for each different beginning of a string: by what neighbours in the sorted list have in common. */
static size_t count_nodes(const struct trie_entry *entries, size_t n_entries)
{
    size_t n = 1;
    for (size_t i = 0; i < n_entries; i++) {
        size_t common = 0;
        const struct byte_string text = entries[i].text;
        if (i)
            while (common < text.length && common < entries[i - 1].text.length && text.data[common] == entries[i - 1].text.data[common])
                common++;
        n += text.length - common;
    }
    return n;
}

/* The children of `node`, whose string has `depth` bytes; entries that end here come first. */
static void make_children(struct trie *trie, struct range *ranges, const struct trie_entry *entries, uint32_t node, size_t depth)
{
    size_t at = ranges[node].first, last = ranges[node].last;
    for (; at < last && entries[at].text.length == depth; at++)
        trie->nodes[node].id = entries[at].id;
    trie->nodes[node].first_child = trie->n_nodes;
    while (at < last) {
        unsigned char byte = (unsigned char)entries[at].text.data[depth];
        uint32_t child = trie->n_nodes++;
        trie->labels[child] = byte;
        trie->nodes[child].id = -1;
        ranges[child].first = at;
        while (at < last && (unsigned char)entries[at].text.data[depth] == byte)
            at++;
        ranges[child].last = at;
    }
    trie->nodes[node].n_children = trie->n_nodes - trie->nodes[node].first_child;
}

int trie_make(struct trie *trie, struct trie_entry *entries, size_t n_entries)
{
    *trie = (struct trie){0};
    if (n_entries)
        qsort(entries, n_entries, sizeof *entries, compare_entries);
    size_t n_nodes = count_nodes(entries, n_entries);
    if (n_nodes >= UINT32_MAX)
        return SAMPAN_ELIMIT;
    struct range *ranges = mem_alloc_array(n_nodes, sizeof *ranges);
    trie->nodes = mem_zalloc_array(n_nodes, sizeof *trie->nodes);
    trie->labels = mem_zalloc_array(n_nodes, 1);
    if (!ranges || !trie->nodes || !trie->labels) {
        mem_free(ranges);
        trie_free(trie);
        return SAMPAN_ENOMEM;
    }
    trie->n_nodes = 1;
    trie->nodes[0].id = -1;
    ranges[0] = (struct range){0, n_entries};
    size_t depth = 0;
    for (uint32_t node = 0, level_end = 1; node < trie->n_nodes; node++) {
        if (node == level_end) {
            level_end = trie->n_nodes;
            depth++;
        }
        make_children(trie, ranges, entries, node, depth);
    }
    mem_free(ranges);
    return 0;
}

void trie_free(struct trie *trie)
{
    mem_free(trie->nodes);
    mem_free(trie->labels);
    *trie = (struct trie){0};
}
