/* What FusedInferAttentionScore takes and refuses: layouts, caches, lengths, masks. The lengths are HOST arrays, so phase one can and does check them. Rules by
 * version: V2 and V3 as their pages say, V4 and V5 have wider blocks and more cache layouts. */
#include "operators/attention.h"

#include <string.h>

#define TRIANGLE 2048 /* side of the fixed mask of sparse modes 2 to 4 */

static const struct layout {
    const char *name, *in, *out;
    int since; /* version of the operator */
} layouts[] = {{"BSH", "BSH", "BSH", 2},        {"BSND", "BSND", "BSND", 2},    {"BNSD", "BNSD", "BNSD", 2},      {"BNSD_BSND", "BNSD", "BSND", 2},
               {"TND", "TND", "TND", 2},        {"BSH_NBSD", "BSH", "NBSD", 3}, {"BSND_NBSD", "BSND", "NBSD", 3}, {"BNSD_NBSD", "BNSD", "NBSD", 3},
               {"TND_NTD", "TND", "NTD", 3},    {"NTD_TND", "NTD", "TND", 3},   {"NTD", "NTD", "NTD", 4},         {"BSH_BNSD", "BSH", "BNSD", 4},
               {"BSND_BNSD", "BSND", "BNSD", 4}};

int64_t attention_axis(const struct tensor *tensor, const char *axes, char axis)
{
    const char *at = strchr(axes, axis);
    return at ? tensor->dims[at - axes] : -1;
}

int64_t attention_stride(const struct tensor *tensor, const char *axes, char axis)
{
    const char *at = strchr(axes, axis);
    return at ? tensor->strides[at - axes] : 0;
}

static const struct value *lengths_of(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    return value && value->present && value->count ? value : NULL;
}

/* Width of a head in a tensor of these axes; -1: it has not that many heads. */
static int64_t head_width(const struct tensor *tensor, const char *axes, int64_t heads)
{
    int64_t joined = attention_axis(tensor, axes, 'H');
    if (joined >= 0)
        return joined % heads ? -1 : joined / heads;
    return attention_axis(tensor, axes, 'N') == heads ? attention_axis(tensor, axes, 'D') : -1;
}

static int read_query(struct attention *a)
{
    const struct tensor *q = a->query, *out = a->out;
    if (q->n_dims != strlen(a->in) || out->n_dims != strlen(a->result))
        return fail(ACLNN_INNER_TILING, "inputLayout says query %s and attentionOut %s; they have %u and %u dimensions", a->in, a->result, q->n_dims,
                    out->n_dims);
    a->width = head_width(q, a->in, a->heads);
    if (a->width < 0)
        return fail(ACLNN_INNER_TILING, "query's N (or H) does not fit numHeads %lld", (long long)a->heads);
    a->packed = strchr(a->in, 'T') != NULL;
    a->batches = a->packed ? (a->query_lengths ? (int64_t)a->query_lengths->count : 0) : attention_axis(q, a->in, 'B');
    a->query_length = a->packed ? 0 : attention_axis(q, a->in, 'S');
    a->tokens = a->packed ? attention_axis(q, a->in, 'T') : 0;
    if (a->packed && (!a->batches || !a->key_lengths || (int64_t)a->key_lengths->count < a->batches))
        return fail(ACLNN_INNER_TILING, "layout %s needs actualSeqLengths (cumulative, one a sequence) and as many actualSeqLengthsKv", a->in);
    bool same = attention_axis(out, a->result, 'B') == attention_axis(q, a->in, 'B') && attention_axis(out, a->result, 'S') == attention_axis(q, a->in, 'S') &&
                attention_axis(out, a->result, 'T') == attention_axis(q, a->in, 'T');
    a->value_width = head_width(out, a->result, a->heads);
    a->decodes = !a->packed && a->query_length == 1 && !a->query_rope;
    return same && a->value_width >= 0 ? 0 : fail(ACLNN_INNER_TILING, "attentionOut must have query's batch, tokens and heads");
}

/* Block size of a cache tensor of heads of that width, and its layout; -1: neither. */
static int64_t cache_block(const struct attention *a, const struct tensor *t, int64_t width, enum cache_layout *layout)
{
    int64_t c = 32 / (int64_t)type_size(t->type);
    if (t->n_dims == 3 && t->dims[2] == a->kv_heads * width) {
        *layout = CACHE_BLOCK_H;
        return t->dims[1];
    }
    if (t->n_dims == 4 && t->dims[1] == a->kv_heads && t->dims[3] == width) {
        *layout = CACHE_BLOCK_ND;
        return t->dims[2];
    }
    if (t->n_dims == 5 && t->dims[1] == a->kv_heads && t->dims[2] * c == width && t->dims[4] == c) {
        *layout = CACHE_NZ;
        return t->dims[3];
    }
    return -1;
}

static int read_cache(struct attention *a)
{
    if (a->table->n_dims != 2 || a->table->type != ACL_INT32)
        return fail(ACLNN_INNER_TILING, "blockTable must be 2-D (batch, blocks) of i32, found %u dimensions of %s", a->table->n_dims,
                    type_name(a->table->type));
    a->max_blocks = a->table->dims[1];
    enum cache_layout value_layout = CACHE_NONE, rope_layout = CACHE_NONE;
    int64_t block = cache_block(a, a->key, a->width, &a->cache), value_block = cache_block(a, a->value, a->value_width, &value_layout);
    int64_t rope_block = a->key_rope ? cache_block(a, a->key_rope, a->rope_width, &rope_layout) : block;
    if (a->keys->count != 1 || a->values->count != 1)
        return fail(ACLNN_INNER_TILING, "a paged cache is one tensor, key holds %zu", a->keys->count);
    if (block < 0 || block != a->block_size || value_block != block || value_layout != a->cache || rope_block != block ||
        (a->key_rope && rope_layout != a->cache) || a->key->dims[0] != a->value->dims[0])
        return fail(ACLNN_INNER_TILING,
                    "key and value are no paged cache of %lld heads of %lld with blocks of %lld: (blocks, blockSize, N*D), (blocks, N, blockSize, D) or NZ "
                    "(blocks, N, D/16, blockSize, 16)",
                    (long long)a->kv_heads, (long long)a->width, (long long)a->block_size);
    if (a->table->dims[0] != a->batches)
        return fail(ACLNN_INNER_TILING, "blockTable has %lld rows, the batch is %lld: they must be equal", (long long)a->table->dims[0], (long long)a->batches);
    if (a->cache == CACHE_BLOCK_H && a->kv_heads * a->width > 65535)
        return fail(ACLNN_INNER_TILING, "N*D of the cache is %lld, above 65,535: use (blocks, N, blockSize, D)", (long long)(a->kv_heads * a->width));
    return a->key_lengths ? 0 : fail(ACLNN_INNER_TILING, "actualSeqLengthsKv is mandatory with a block table");
}

static int read_keys(struct attention *a)
{
    bool listed = a->keys->count != 1;
    if (listed && (a->packed || (int64_t)a->keys->count != a->batches || a->values->count != a->keys->count || a->batches > 256))
        return fail(ACLNN_INNER_TILING, "key holds %zu tensors, value %zu; 1, or the batch %lld (at most 256) are expected", a->keys->count, a->values->count,
                    (long long)a->batches);
    for (size_t i = 0; i < a->keys->count; i++) {
        const struct tensor *k = &a->keys->tensors[i], *v = &a->values->tensors[i];
        if (k->n_dims != strlen(a->in) || v->n_dims != k->n_dims)
            return fail(ACLNN_INNER_TILING, "key and value must have query's %zu dimensions (%s)", strlen(a->in), a->in);
        int64_t batch = attention_axis(k, a->in, 'B');
        if (head_width(k, a->in, a->kv_heads) != a->width || head_width(v, a->in, a->kv_heads) != a->value_width ||
            (!a->packed && batch != (listed ? 1 : a->batches)) || attention_axis(v, a->in, 'B') != batch ||
            attention_axis(v, a->in, 'S') != attention_axis(k, a->in, 'S') || attention_axis(v, a->in, 'T') != attention_axis(k, a->in, 'T'))
            return fail(ACLNN_INNER_TILING, "key and value must have query's batch, %lld heads of %lld (key) and %lld (value, as attentionOut), and one length",
                        (long long)a->kv_heads, (long long)a->width, (long long)a->value_width);
        int64_t length = attention_axis(k, a->in, a->packed ? 'T' : 'S');
        a->key_length = a->key_length > length ? a->key_length : length;
    }
    a->key_tokens = a->packed ? a->key_length : 0;
    return a->key_rope && head_width(a->key_rope, a->in, a->kv_heads) != a->rope_width
               ? fail(ACLNN_INNER_TILING, "keyRope must have key's shape with a width of %lld", (long long)a->rope_width)
               : 0;
}

int attention_read(const struct call *call, struct attention *a)
{
    *a = (struct attention){
        .version = call->row->detail % 10,
        .query = call_tensor(call, "query"),
        .key = call_tensor(call, "key"),
        .value = call_tensor(call, "value"),
        .mask = call_tensor(call, "attenMaskOptional"),
        .bias = call_tensor(call, "pseShiftOptional"),
        .table = call_tensor(call, "blockTableOptional"),
        .out = call_tensor(call, "attentionOut"),
        .query_rope = call_tensor(call, "queryRopeOptional"),
        .key_rope = call_tensor(call, "keyRopeOptional"),
        .query_lengths = lengths_of(call, "actualSeqLengthsOptional"),
        .key_lengths = lengths_of(call, "actualSeqLengthsKvOptional"),
        .keys = call_value(call, "key"),
        .values = call_value(call, "value"),
        .heads = call_integer(call, "numHeads"),
        .kv_heads = call_integer(call, "numKeyValueHeads"),
        .key_quant = {call_tensor(call, "keyAntiquantScaleOptional"), call_tensor(call, "keyAntiquantOffsetOptional"), call_integer(call, "keyAntiquantMode")},
        .value_quant = {call_tensor(call, "valueAntiquantScaleOptional"), call_tensor(call, "valueAntiquantOffsetOptional"),
                        call_integer(call, "valueAntiquantMode")},
        .block_size = call_integer(call, "blockSize"),
        .sparse = call_integer(call, "sparseMode"),
        .precise = call_integer(call, "innerPrecise"),
        .before = call_integer(call, "preTokens"),
        .after = call_integer(call, "nextTokens"),
        .scale = (float)call_real(call, "scaleValue")};
    const char *layout = call_text(call, "inputLayout");
    a->lse = call_integer(call, "softmaxLseFlag") ? call_tensor(call, "softmaxLse") : NULL;
    a->kv_heads = a->kv_heads ? a->kv_heads : a->heads;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (!strcmp(layout, layouts[i].name) && a->version >= layouts[i].since) {
            a->in = layouts[i].in;
            a->result = layouts[i].out;
        }
    if (call->row->detail >= 10 && a->in && (strchr(a->in, 'T') || strcmp(a->in, a->result) != 0))
        a->in = NULL; /* the older operators have BSH, BSND and BNSD */
    if (!a->in)
        return fail(ACLNN_INNER_TILING, "inputLayout \"%s\" is none that %s has", layout, call->row->name);
    if (a->heads <= 0 || a->heads > 256 || a->kv_heads <= 0 || a->heads % a->kv_heads || a->heads / a->kv_heads > (a->query_rope ? 128 : 64))
        return fail(ACLNN_INNER_TILING, "numHeads %lld and numKeyValueHeads %lld: up to 256 heads, a multiple of the KV heads, at most 64 times",
                    (long long)a->heads, (long long)a->kv_heads);
    int result = read_query(a);
    if (!result && a->query_rope)
        a->rope_width = a->query_rope->n_dims == a->query->n_dims ? head_width(a->query_rope, a->in, a->heads) : -1;
    if (!result)
        result = a->table ? read_cache(a) : read_keys(a);
    return result;
}

struct sequence attention_sequence(const struct attention *a, int64_t batch)
{
    struct sequence s = {.batch = batch};
    if (a->packed) {
        s.first_query = batch ? a->query_lengths->integers[batch - 1] : 0;
        s.queries = a->query_lengths->integers[batch] - s.first_query;
        s.first_key = batch && !a->table ? a->key_lengths->integers[batch - 1] : 0;
        s.keys = a->key_lengths->integers[batch] - s.first_key;
        return s;
    }
    int64_t listed = attention_axis(&a->keys->tensors[a->keys->count > 1 ? (size_t)batch : 0], a->in, 'S');
    size_t at = (size_t)batch;
    s.queries = a->query_lengths && a->query_length != 1 ? a->query_lengths->integers[a->query_lengths->count == 1 ? 0 : at] : a->query_length;
    s.keys = a->key_lengths ? a->key_lengths->integers[a->key_lengths->count == 1 ? 0 : at] : listed;
    return s;
}

static int check_absent(const struct call *call)
{
    static const char *const absent[] = {"deqScale1Optional",         "quantScale1Optional",     "deqScale2Optional",         "quantScale2Optional",
                                         "quantOffset2Optional",      "antiquantScaleOptional",  "antiquantOffsetOptional",   "queryPaddingSizeOptional",
                                         "kvPaddingSizeOptional",     "keySharedPrefixOptional", "valueSharedPrefixOptional", "keyRopeAntiquantScaleOptional",
                                         "dequantScaleQueryOptional", "learnableSinkOptional"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (call_tensor(call, absent[i]))
            return fail(ACLNN_PARAM_INVALID, "the emulator does not have %s in this operator: pass NULL", absent[i]);
    if (lengths_of(call, "qStartIdxOptional") || lengths_of(call, "kvStartIdxOptional") || call_integer(call, "pseType"))
        return fail(ACLNN_PARAM_INVALID, "the emulator does not have qStartIdx, kvStartIdx and pseType in this operator: pass NULL and 0");
    return 0;
}

static int check_types(const struct call *call)
{
    const struct tensor *query = call_tensor(call, "query"), *out = call_tensor(call, "attentionOut"), *mask = call_tensor(call, "attenMaskOptional");
    static const char *const optional[] = {"pseShiftOptional", "queryRopeOptional", "keyRopeOptional"};
    static const char *const scales[2] = {"keyAntiquantScaleOptional", "valueAntiquantScaleOptional"};
    const struct value *lists[2] = {call_value(call, "key"), call_value(call, "value")};
    int result = check_type(query, "query", "f16 bf16");
    if (!result)
        result = check_contiguous(query, "query");
    for (int i = 0; i < 2; i++)
        for (size_t j = 0; j < lists[i]->count && !result; j++) {
            const struct tensor *one = &lists[i]->tensors[j];
            if (one->type != query->type && !(one->type == ACL_INT8 && call_tensor(call, scales[i])))
                return fail(ACLNN_PARAM_INVALID, "query is %s, %s is %s: one type is expected, or i8 with %s", type_name(query->type), lists[i]->name,
                            type_name(one->type), scales[i]);
            result = check_contiguous(one, lists[i]->name);
        }
    for (size_t i = 0; i < sizeof optional / sizeof *optional && !result; i++) {
        const struct tensor *one = call_tensor(call, optional[i]);
        if (one && one->type != query->type)
            return fail(ACLNN_PARAM_INVALID, "query is %s, %s is %s: one type is expected", type_name(query->type), optional[i], type_name(one->type));
        result = one ? check_contiguous(one, optional[i]) : 0;
    }
    if (!result && out->type != query->type)
        return fail(ACLNN_PARAM_INVALID, "query is %s, attentionOut is %s", type_name(query->type), type_name(out->type));
    if (!result)
        result = check_contiguous(out, "attentionOut");
    if (!result && mask)
        result = check_type(mask, "attenMask", "bool i8 u8");
    return !result && mask ? check_contiguous(mask, "attenMask") : result;
}

static int check_lengths(const struct attention *a)
{
    const struct value *arrays[2] = {a->query_lengths, a->key_lengths};
    static const char *const names[2] = {"actualSeqLengths", "actualSeqLengthsKv"};
    int64_t blocks = 0;
    for (int i = 0; i < 2; i++)
        if (arrays[i] && (int64_t)arrays[i]->count < a->batches && arrays[i]->count != 1)
            return fail(ACLNN_INNER_TILING, "%s has %zu elements; 1 or at least %lld (the batch) are expected", names[i], arrays[i]->count,
                        (long long)a->batches);
    if (a->batches > (a->packed ? 4096 : 65536))
        return fail(ACLNN_INNER_TILING, "the batch is %lld; at most %d sequences are expected", (long long)a->batches, a->packed ? 4096 : 65536);
    for (int64_t b = 0; b < a->batches; b++) {
        struct sequence s = attention_sequence(a, b);
        int64_t room = a->table ? a->max_blocks * a->block_size : a->packed ? a->key_tokens - s.first_key : a->key_length;
        if (s.queries < 0 || s.queries > (a->packed ? a->tokens - s.first_query : a->query_length))
            return fail(ACLNN_INNER_TILING, "actualSeqLengths gives sequence %lld %lld queries; query has room for %lld%s", (long long)b, (long long)s.queries,
                        (long long)(a->packed ? a->tokens - s.first_query : a->query_length), a->packed ? " (cumulative, ascending)" : "");
        if (s.keys < 0 || s.keys > room)
            return fail(ACLNN_INNER_TILING, "actualSeqLengthsKv gives sequence %lld %lld keys; %s has room for %lld", (long long)b, (long long)s.keys,
                        a->table ? "its row of blockTable" : "key", (long long)room);
        if (a->packed && a->sparse == 3 && s.queries > s.keys)
            return fail(ACLNN_INNER_TILING, "sequence %lld has %lld queries but %lld keys; sparseMode 3 with %s needs as many keys at least", (long long)b,
                        (long long)s.queries, (long long)s.keys, a->in);
        blocks += a->table ? (s.keys + a->block_size - 1) / a->block_size : 0;
    }
    if (a->table && blocks > a->key->dims[0])
        return fail(ACLNN_INNER_TILING, "the lengths need %lld blocks in all, the cache has %lld", (long long)blocks, (long long)a->key->dims[0]);
    return 0;
}

/* Block sizes and cache layouts, by version. */
static int check_paging(const struct attention *a)
{
    bool newer = a->version >= 4, usual = newer && (a->width == 64 || a->width == 128), latent = a->query_rope && a->width == 512;
    int64_t unit = 16, largest = 512;
    bool layout = true;
    if (latent) {
        largest = newer ? 1024 : 128;
        layout = a->cache != CACHE_NZ || newer || (a->block_size != 16 && strcmp(a->in, "BNSD") != 0);
    } else if (usual) {
        largest = 1024;
    } else if (a->packed) {
        largest = 128;
        layout = a->cache == CACHE_BLOCK_H;
    } else {
        unit = a->query_length == 1 ? 16 : 128;
        largest = newer && a->query_length != 1 ? 1024 : 512;
        layout = newer || a->cache == CACHE_BLOCK_H || (a->cache == CACHE_BLOCK_ND && !strcmp(a->in, "BNSD"));
    }
    if (a->block_size <= 0 || a->block_size % unit || a->block_size > largest)
        return fail(ACLNN_INNER_TILING, "blockSize is %lld; V%d with layout %s, heads of %lld and %s takes multiples of %lld up to %lld",
                    (long long)a->block_size, a->version, a->in, (long long)a->width, a->query_length == 1 ? "one query" : "several queries", (long long)unit,
                    (long long)largest);
    return layout ? 0
                  : fail(ACLNN_INNER_TILING, "V%d with layout %s and heads of %lld takes a cache of (blocks, blockSize, N*D)%s", a->version, a->in,
                         (long long)a->width, a->packed || a->in[1] == 'S' ? " only" : " or (blocks, N, blockSize, D)");
}

/* What packed layouts (TND, NTD) are limited to. */
static int check_packed(const struct attention *a)
{
    bool equal = a->width == a->value_width, grouped = a->heads != a->kv_heads, bf16 = a->query->type == ACL_BF16, by_head = a->in[0] == 'N';
    bool wide = a->width == 192 && (a->value_width == 128 || a->value_width == 192);
    bool fits = a->width == 512 ? a->query_rope && a->table : a->query_rope ? a->width == 128 && equal : (equal && a->width <= 256) || wide;
    if (by_head && a->version < 4)
        fits = fits && bf16 && a->value_width == 128 && (a->width == 128 || a->width == 192) && !a->table;
    if (emulator_settings()->version_81 && a->width != 512)
        fits = fits && bf16 && (a->width == 128 || wide);
    if (!fits)
        return fail(ACLNN_INNER_TILING, "layout %s does not take %s with heads of %lld (query, key) and %lld (value)%s", a->in, type_name(a->query->type),
                    (long long)a->width, (long long)a->value_width,
                    emulator_settings()->version_81 ? "; CANN 8.1 takes bf16 with 128, or 192 and 128 or 192" : "");
    bool mask = a->sparse == 0 ? !a->mask : a->mask && (a->sparse == 3 || a->sparse == 4);
    if (!mask)
        return fail(ACLNN_INNER_TILING, "layout %s takes sparseMode 0 without attenMask, or 3 or 4 with the triangle; found %lld %s attenMask", a->in,
                    (long long)a->sparse, a->mask ? "with" : "without");
    if (a->precise != 0 && (grouped || bf16 || a->precise > 1) && a->width != 512)
        return fail(ACLNN_INNER_TILING, "innerPrecise is %lld; layout %s takes 0 (1 as well for fp16 with as many KV heads as heads)", (long long)a->precise,
                    a->in);
    return a->bias ? fail(ACLNN_INNER_TILING, "layout %s does not take pseShift", a->in) : 0;
}

/* The head split into 512 (or 128) without and 64 with rotary positions, as latent attention has it. */
static int check_rope(const struct attention *a)
{
    if (!a->query_rope != !a->key_rope)
        return fail(ACLNN_INNER_TILING, "queryRope and keyRope go together: one of them is NULL");
    if (!a->query_rope)
        return a->width == 512 && a->packed ? fail(ACLNN_INNER_TILING, "heads of 512 in layout %s need queryRope and keyRope", a->in) : 0;
    if (a->rope_width != 64 || (a->width != 512 && a->width != 128))
        return fail(ACLNN_INNER_TILING, "with queryRope heads of 512 or 128 and a rope of 64 are expected, found %lld and %lld", (long long)a->width,
                    (long long)a->rope_width);
    if (a->width == 128)
        return a->table || (!a->packed && a->version < 4) ? fail(ACLNN_INNER_TILING, "heads of 128 with a split rope take packed layouts without paging") : 0;
    bool count = a->heads <= 128 && !(a->heads & (a->heads - 1));
    if (!count || a->kv_heads != 1 || !a->table || a->lse || a->bias)
        return fail(ACLNN_INNER_TILING, "heads of 512 need a power of two up to 128 heads, one KV head, a block table, and neither pseShift nor softmaxLse");
    return a->packed || a->query_length <= 16
               ? 0
               : fail(ACLNN_INNER_TILING, "heads of 512 take 1 to 16 queries a sequence, found %lld", (long long)a->query_length);
}

static int64_t longest_keys(const struct attention *a)
{
    int64_t longest = 0;
    for (int64_t b = 0; b < a->batches; b++) {
        struct sequence s = attention_sequence(a, b);
        longest = s.keys > longest ? s.keys : longest;
    }
    return longest;
}

/* How far a mask or bias must reach along the keys. */
static int64_t keys_covered(const struct attention *a)
{
    if (!a->table)
        return a->key_length;
    return a->query_length == 1 ? a->max_blocks * a->block_size : (longest_keys(a) + a->block_size - 1) / a->block_size * a->block_size;
}

static int check_full_mask(const struct attention *a)
{
    const struct tensor *m = a->mask;
    unsigned n = m->n_dims;
    bool fits = n >= 2 && n <= 4 && m->dims[n - 1] >= keys_covered(a);
    if (a->decodes) {
        fits = fits && m->dims[0] == a->batches;
        for (unsigned d = 1; fits && d + 1 < n; d++)
            fits = m->dims[d] == 1;
        return fits ? 0
                    : fail(ACLNN_INNER_TILING,
                           "with one query a sequence sparseMode is ignored and attenMask is (B,KV_S), (B,1,KV_S) or (B,1,1,KV_S) with B=%lld and KV_S at "
                           "least %lld",
                           (long long)a->batches, (long long)keys_covered(a));
    }
    fits = fits && m->dims[n - 2] >= a->query_length && (n == 2 || m->dims[0] == 1 || m->dims[0] == a->batches) && (n != 4 || m->dims[1] == 1);
    return fits ? 0
                : fail(ACLNN_INNER_TILING, "attenMask must be (Q_S,KV_S), (B or 1,Q_S,KV_S) or (B or 1,1,Q_S,KV_S) with Q_S=%lld and KV_S at least %lld",
                       (long long)a->query_length, (long long)keys_covered(a));
}

static int check_mask(const struct attention *a)
{
    const struct tensor *m = a->mask, *b = a->bias;
    if (a->sparse < 0 || a->sparse > 4)
        return fail(ACLNN_INNER_TILING, "sparseMode is %lld; 0 to 4 is expected", (long long)a->sparse);
    if (a->precise < 0 || a->precise > 3)
        return fail(ACLNN_INNER_TILING, "innerPrecise is %lld; 0 to 3 is expected", (long long)a->precise);
    if (a->sparse && !m && !a->decodes)
        return fail(ACLNN_INNER_TILING, "sparseMode %lld needs attenMask", (long long)a->sparse);
    if (!a->decodes && a->sparse >= 2) {
        unsigned n = m->n_dims;
        bool fits = n >= 2 && n <= 4 && m->dims[n - 1] == TRIANGLE && m->dims[n - 2] == TRIANGLE;
        for (unsigned d = 0; fits && d + 2 < n; d++)
            fits = m->dims[d] == 1;
        if (!fits)
            return fail(ACLNN_INNER_TILING, "sparseMode %lld needs the fixed 2048 x 2048 upper triangle as attenMask", (long long)a->sparse);
    } else if (m) {
        int result = check_full_mask(a);
        if (result)
            return result;
    }
    if (b && (b->n_dims != 4 || (b->dims[0] != 1 && b->dims[0] != a->batches) || b->dims[1] != a->heads || b->dims[2] < a->query_length ||
              b->dims[3] < keys_covered(a)))
        return fail(ACLNN_INNER_TILING, "pseShift must be (B or 1, N, Q_S, KV_S) with N=%lld, Q_S=%lld and KV_S at least %lld", (long long)a->heads,
                    (long long)a->query_length, (long long)keys_covered(a));
    return 0;
}

/* Scales (and offsets) of int8 keys or values, by mode. */
static int check_antiquant(const struct attention *a, const struct tensor *cache, const struct antiquant *q, int64_t width, const char *name)
{
    bool by_token = q->mode == 1 || q->mode >= 3;
    aclDataType type = by_token ? ACL_FLOAT : a->query->type;
    const struct tensor *s = q->scale;
    int64_t count = tensor_count(s), last = s->n_dims ? s->dims[s->n_dims - 1] : 0, room = a->table ? a->max_blocks * a->block_size : a->key_length;
    int64_t blocks = a->table ? a->key->dims[0] * a->block_size : -1;
    const int64_t expected[] = {a->kv_heads * width, a->batches * last, a->kv_heads, a->batches * a->kv_heads * last, blocks, blocks * a->kv_heads};
    if (cache->type != ACL_INT8)
        return fail(ACLNN_PARAM_INVALID, "%s: there is an antiquant scale, but the tensor is %s", name, type_name(cache->type));
    if (q->mode < 0 || q->mode > 5 || (q->mode >= 4 && !a->table))
        return fail(ACLNN_PARAM_INVALID, "%sAntiquantMode is %lld; 0 to 3, or 4 and 5 with a block table", name, (long long)q->mode);
    if (s->type != type || (q->offset && (q->offset->type != type || !tensor_same_shape(q->offset, s))))
        return fail(ACLNN_PARAM_INVALID, "%s: antiquant scale %s, %s is expected in mode %lld, and an offset alike", name, type_name(s->type), type_name(type),
                    (long long)q->mode);
    bool fits = count == expected[q->mode] || (q->mode == 0 && count == 1);
    if (!fits || ((q->mode == 1 || q->mode == 3) && last < room))
        return fail(ACLNN_INNER_TILING, "%s: the antiquant scale has %lld elements; mode %lld takes %lld%s", name, (long long)count, (long long)q->mode,
                    (long long)expected[q->mode], q->mode == 1 || q->mode == 3 ? " (a sequence as long as its blocks)" : "");
    return width % 32 ? fail(ACLNN_INNER_TILING, "%s: int8 takes heads of multiples of 32, found %lld", name, (long long)width) : 0;
}

static int check_quantised(const struct attention *a)
{
    bool keys = a->key_quant.scale != NULL, values = a->value_quant.scale != NULL;
    if (!keys && !values)
        return 0;
    if (!keys || !values || (a->key_quant.mode != a->value_quant.mode && !(a->key_quant.mode == 0 && a->value_quant.mode == 1)))
        return fail(ACLNN_PARAM_INVALID, "keys and values are quantised together, in one mode (or keys by channel and values by token)");
    if (!a->decodes)
        return fail(ACLNN_INNER_TILING, "the emulator has int8 keys and values with one query a sequence only, not packed and without split rope");
    if (a->table && a->block_size % 32)
        return fail(ACLNN_INNER_TILING, "blockSize is %lld; int8 takes multiples of 32", (long long)a->block_size);
    int result = check_antiquant(a, a->key, &a->key_quant, a->width, "key");
    return result ? result : check_antiquant(a, a->value, &a->value_quant, a->value_width, "value");
}

static int check_lse(const struct attention *a, const struct call *call)
{
    const struct tensor *lse = a->lse;
    if (!call_integer(call, "softmaxLseFlag"))
        return 0;
    if (!lse)
        return fail(ACLNN_PARAM_NULLPTR, "softmaxLseFlag is true and softmaxLse NULL");
    bool shape = a->packed ? lse->n_dims == 3 && lse->dims[0] == a->tokens && lse->dims[1] == a->heads && lse->dims[2] == 1
                           : lse->n_dims == 4 && lse->dims[0] == a->batches && lse->dims[1] == a->heads && lse->dims[2] == a->query_length && lse->dims[3] == 1;
    return lse->type == ACL_FLOAT && shape ? 0 : fail(ACLNN_INNER_TILING, "softmaxLse must be f32 of shape %s", a->packed ? "[T,N,1]" : "[B,N,Q_S,1]");
}

int attention_check(struct call *call)
{
    struct attention a = {0};
    int result = check_types(call);
    if (!result)
        result = check_absent(call);
    if (!result)
        result = attention_read(call, &a);
    if (!result && (a.width % 16 || a.width > 512 || a.value_width % 16 || a.value_width > 512))
        result =
            fail(ACLNN_INNER_TILING, "the head widths are %lld and %lld; multiples of 16 up to 512 are expected", (long long)a.width, (long long)a.value_width);
    if (!result && call->row->detail == ATTENTION_DECODE && !a.decodes)
        result = fail(ACLNN_INNER_TILING, "query has %lld tokens a sequence; this operator takes one", (long long)a.query_length);
    if (!result)
        result = check_rope(&a);
    if (!result)
        result = check_quantised(&a);
    if (!result && a.packed)
        result = check_packed(&a);
    if (!result && a.table)
        result = check_paging(&a);
    if (!result)
        result = check_lengths(&a);
    if (!result)
        result = check_mask(&a);
    return result ? result : check_lse(&a, call);
}
