#include "text/tokenizer/added_tokens.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

#define NONE UINT32_MAX

struct added_token_node {
    uint32_t first_child, next_sibling; /* 0: none (the root is nobody's child) */
    uint32_t failure;                   /* the node of the longest proper suffix */
    uint32_t longest;                   /* this node or the nearest on its way of failures where a token ends, NONE: no token */
    uint32_t depth;                     /* bytes from the root */
    int32_t id;                         /* of the token that ends here, -1: none */
    unsigned char byte;
};

static int add_node(struct added_tokens *added, unsigned char byte, uint32_t depth, uint32_t *index)
{
    if (added->n_nodes == added->capacity) {
        uint32_t capacity = added->capacity ? 2 * added->capacity : 256;
        struct added_token_node *nodes = mem_realloc_array(added->nodes, capacity, sizeof *nodes);
        if (!nodes)
            return SAMPAN_ENOMEM;
        added->nodes = nodes;
        added->capacity = capacity;
    }
    *index = added->n_nodes++;
    added->nodes[*index] = (struct added_token_node){.byte = byte, .depth = depth, .id = -1, .longest = NONE};
    return 0;
}

int added_tokens_init(struct added_tokens *added)
{
    *added = (struct added_tokens){0};
    uint32_t root;
    return add_node(added, 0, 0, &root);
}

void added_tokens_free(struct added_tokens *added)
{
    mem_free(added->nodes);
    *added = (struct added_tokens){0};
}

static uint32_t find_child(const struct added_tokens *added, uint32_t node, unsigned char byte)
{
    if (!node)
        return added->root_children[byte];
    uint32_t child = added->nodes[node].first_child;
    while (child && added->nodes[child].byte != byte)
        child = added->nodes[child].next_sibling;
    return child;
}

int added_tokens_add(struct added_tokens *added, struct byte_string text, int32_t id)
{
    if (!text.length)
        return 0;
    uint32_t node = 0;
    for (size_t i = text.length; i-- > 0;) {
        unsigned char byte = (unsigned char)text.data[i];
        uint32_t child = find_child(added, node, byte);
        if (!child) {
            int status = add_node(added, byte, added->nodes[node].depth + 1, &child);
            if (status)
                return status;
            added->nodes[child].next_sibling = added->nodes[node].first_child;
            added->nodes[node].first_child = child;
            if (!node)
                added->root_children[byte] = child;
        }
        node = child;
    }
    if (added->nodes[node].id < 0)
        added->nodes[node].id = id; /* of two with the same text the first counts */
    return 0;
}

static uint32_t step(const struct added_tokens *added, uint32_t node, unsigned char byte)
{
    for (;;) {
        uint32_t child = find_child(added, node, byte);
        if (child || !node)
            return child;
        node = added->nodes[node].failure;
    }
}

/* Breadth first: a node's failure is nearer to the root, so it is finished before the node is looked at. */
int added_tokens_finish(struct added_tokens *added)
{
    uint32_t *queue = mem_alloc_array(added->n_nodes, sizeof *queue);
    if (!queue)
        return SAMPAN_ENOMEM;
    size_t head = 0, tail = 0;
    queue[tail++] = 0;
    while (head < tail) {
        uint32_t parent = queue[head++];
        for (uint32_t child = added->nodes[parent].first_child; child; child = added->nodes[child].next_sibling) {
            struct added_token_node *node = &added->nodes[child];
            node->failure = parent ? step(added, added->nodes[parent].failure, node->byte) : 0;
            node->longest = node->id >= 0 ? child : added->nodes[node->failure].longest;
            queue[tail++] = child;
        }
    }
    mem_free(queue);
    return 0;
}

int added_tokens_find(const struct added_tokens *added, const char *text, size_t start, size_t end, struct added_token_matches *matches)
{
    uint32_t node = 0;
    for (size_t at = end; at-- > start;) {
        node = step(added, node, (unsigned char)text[at]);
        uint32_t longest = added->nodes[node].longest;
        if (longest == NONE)
            continue;
        if (matches->count == matches->capacity) {
            size_t capacity = matches->capacity ? 2 * matches->capacity : 64;
            struct added_token_match *items = mem_realloc_array(matches->items, capacity, sizeof *items);
            if (!items)
                return SAMPAN_ENOMEM;
            matches->items = items;
            matches->capacity = capacity;
        }
        const struct added_token_node *token = &added->nodes[longest];
        matches->items[matches->count++] = (struct added_token_match){.start = at, .length = token->depth, .id = token->id};
    }
    return 0;
}
