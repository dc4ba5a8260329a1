#include "text/grammar/token_trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct entry {
    struct byte_string bytes;
    int32_t id;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t shorter = x->bytes.length < y->bytes.length ? x->bytes.length : y->bytes.length;
    int order = memcmp(x->bytes.data, y->bytes.data, shorter);
    if (order)
        return order;
    if (x->bytes.length != y->bytes.length)
        return x->bytes.length < y->bytes.length ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static size_t common_length(struct byte_string a, struct byte_string b)
{
    size_t n = a.length < b.length ? a.length : b.length, i = 0;
    while (i < n && a.data[i] == b.data[i])
        i++;
    return i;
}

/* The tokens that may be part of a text, sorted by their bytes; returns their number. */
static size_t list_entries(const struct tokenizer *tokenizer, struct entry *entries)
{
    size_t n = 0;
    for (int32_t id = 0; id < tokenizer_n_tokens(tokenizer); id++) {
        enum token_kind kind = tokenizer_token_kind(tokenizer, id);
        struct byte_string bytes = tokenizer_token_bytes(tokenizer, id);
        if (kind != TOKEN_CONTROL && kind != TOKEN_UNUSED && kind != TOKEN_UNKNOWN && bytes.length && bytes.length <= UINT16_MAX)
            entries[n++] = (struct entry){bytes, id};
    }
    qsort(entries, n, sizeof *entries, compare_entries);
    return n;
}

static size_t count_nodes(const struct entry *entries, size_t n)
{
    size_t nodes = 0;
    for (size_t i = 0; i < n; i++)
        nodes += entries[i].bytes.length - (i ? common_length(entries[i - 1].bytes, entries[i].bytes) : 0);
    return nodes;
}

/* Appends the nodes of each token beyond what it shares with the one before; a node's `next` is set when the walk leaves its subtree. */
static void lay_out(const struct entry *entries, size_t n, struct token_trie *trie, int32_t *path)
{
    size_t depth = 0; /* nodes on the path to the last token */
    for (size_t i = 0; i < n; i++) {
        struct byte_string bytes = entries[i].bytes;
        size_t shared = i ? common_length(entries[i - 1].bytes, bytes) : 0;
        while (depth > shared)
            trie->nodes[path[--depth]].next = trie->n_nodes;
        while (depth < bytes.length) {
            trie->nodes[trie->n_nodes] = (struct token_trie_node){.byte = (uint8_t)bytes.data[depth], .depth = (uint16_t)(depth + 1), .token = -1};
            path[depth++] = trie->n_nodes++;
        }
        struct token_trie_node *last = &trie->nodes[path[depth - 1]];
        trie->same[entries[i].id] = last->token;
        last->token = entries[i].id;
        if ((int32_t)depth > trie->max_depth)
            trie->max_depth = (int32_t)depth;
    }
    while (depth)
        trie->nodes[path[--depth]].next = trie->n_nodes;
}

int token_trie_create(const struct tokenizer *tokenizer, struct token_trie **result, struct error *err)
{
    *result = NULL;
    size_t n_tokens = (size_t)tokenizer_n_tokens(tokenizer);
    struct entry *entries = mem_alloc_array(n_tokens + 1, sizeof *entries);
    int32_t *path = mem_alloc_array(UINT16_MAX, sizeof *path);
    struct token_trie *trie = mem_zalloc(sizeof *trie);
    int status = entries && path && trie ? 0 : error_no_memory(err, "making the trie of a vocabulary");
    size_t n = status ? 0 : list_entries(tokenizer, entries), n_nodes = count_nodes(entries, n);
    if (!status && n_nodes > INT32_MAX)
        status = error_set(err, SAMPAN_ELIMIT, "making the trie of a vocabulary: its tokens have %zu bytes, expected below 2^31", n_nodes);
    if (!status) {
        trie->n_tokens = (int32_t)n_tokens;
        trie->nodes = mem_alloc_array(n_nodes + 1, sizeof *trie->nodes);
        trie->same = mem_alloc_array(n_tokens + 1, sizeof *trie->same);
        status = trie->nodes && trie->same ? 0 : error_no_memory(err, "making the trie of a vocabulary");
    }
    if (!status) {
        memset(trie->same, -1, n_tokens * sizeof *trie->same);
        lay_out(entries, n, trie, path);
        *result = trie;
    } else {
        token_trie_free(trie);
    }
    mem_free(entries);
    mem_free(path);
    return status;
}

void token_trie_free(struct token_trie *trie)
{
    if (!trie)
        return;
    mem_free(trie->nodes);
    mem_free(trie->same);
    mem_free(trie);
}
