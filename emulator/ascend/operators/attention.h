/* FusedInferAttentionScore, as read from a call: attention_shape.c reads and checks (phase one), attention.c computes. */
#ifndef OPERATORS_ATTENTION_H
#define OPERATORS_ATTENTION_H

#include "operators/support.h"

enum cache_layout {
    CACHE_NONE,     /* not paged */
    CACHE_BLOCK_H,  /* (blocks, block size, N*D) */
    CACHE_BLOCK_ND, /* (blocks, N, block size, D) */
    CACHE_NZ        /* (blocks, N, D/c, block size, c), c = 32 bytes' worth of elements */
};

/* Keys or values in int8: (x + offset) * scale, by mode: 0 a channel (or one scale for all), 1 a token, 2 a head, 3 a token and head, 4 a token of a block,
 * 5 a token and head of a block. */
struct antiquant {
    const struct tensor *scale, *offset; /* scale NULL: not quantised */
    int64_t mode;
};

struct attention {
    int version; /* 2 to 5: which of the operators */
    const struct tensor *query, *key, *value, *mask, *bias, *table, *out, *lse, *query_rope, *key_rope;
    const struct value *query_lengths, *key_lengths, *keys, *values;
    const char *in, *result; /* axes of query (and of keys that are not paged) and of attentionOut: "BSND", "TND", ... H is N*D */
    bool packed;             /* T instead of B and S: lengths of queries are cumulative */
    bool decodes;            /* one query a sequence, not packed, no split rope: sparseMode is ignored, the mask is one row a sequence */
    enum cache_layout cache;
    int64_t batches, heads, kv_heads, width, rope_width, value_width, query_length, tokens, key_length, key_tokens, block_size, max_blocks;
    struct antiquant key_quant, value_quant;
    int64_t sparse, precise, before, after;
    float scale;
};

/* One sequence: where its queries begin and how many there are, and its keys. */
struct sequence {
    int64_t batch, first_query, queries, first_key, keys;
};

int attention_read(const struct call *call, struct attention *a); /* shapes; 0 or a refusal */
int attention_check(struct call *call);                           /* everything that phase one refuses */
struct sequence attention_sequence(const struct attention *a, int64_t batch);
int64_t attention_axis(const struct tensor *tensor, const char *axes, char axis);   /* size, -1: no such axis */
int64_t attention_stride(const struct tensor *tensor, const char *axes, char axis); /* 0: no such axis */

#endif
