/* The program: a model's forward pass as data. A static list of operations over named buffers and logical weights, in the order in which one would
 * read it aloud. model/ writes it, a chip compiles it once into a plan of its own and runs that plan every step; `sampan inspect --program` prints it,
 * port/ walks it without hardware, fleet/ cuts it. It is a list, not a graph compiler: the only shapes are rows x width, where rows are the
 * step's tokens or its logit rows.
 *
 * Numerics. Every operation's comment gives its formula and its canonical order: the order of arithmetic that a batch-invariant chip keeps whatever
 * the number of rows, workers or chunks (one row alone gives the same bits as the same row among 512). The order may differ between
 * dialects (numerics ids), never within one. The reference chip computes everything in fp32 in the order "reference".
 *
 * Memory: a program and everything it points to lives in the arena it was built in. Thread: immutable once built. */
#ifndef CHIP_PROGRAM_H
#define CHIP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "tensor/type.h"

/* ---- Buffers: activations, float as seen by the program (a chip may store them narrower inside fused runs and says so in its numerics id). */

enum buffer_rows { ROWS_TOKENS, ROWS_LOGITS }; /* a row per token of the step, or per logit row */

struct program_buffer {
    const char *name; /* "hidden", "query", ... */
    int32_t width;    /* elements per row */
    enum buffer_rows rows;
};

/* ---- Logical weights: what the mathematics needs, with where to find its bytes as published. */

enum weight_role {
    WEIGHT_VECTOR,    /* norm weights, biases: [columns], rows = 1 */
    WEIGHT_LINEAR,    /* y = W x: [rows = outputs, columns = inputs] */
    WEIGHT_EMBEDDING, /* rows are looked up: [rows = vocabulary, columns = width]; a tied output head is a second logical weight over the same part */
};

/* A contiguous piece of a published tensor: `rows` rows of `columns` elements of `type`, row-major, at `offset` of `file`. The parts of a weight
 * are stacked along its rows (q, k and v published apart; or one fused tensor referred to by three weights). */
struct weight_part {
    const char *name;        /* as published, for messages */
    enum tensor_type type;   /* what a chip gets */
    const struct file *file; /* NULL: `memory` holds the bytes (tests, made weights) */
    uint64_t offset;
    const void *memory;
    uint64_t bytes; /* as `type` */
    int64_t rows;
    int64_t columns;
    bool is_mapped;               /* `memory` shows the published bytes in the mapped file, for a chip that computes from them as they are */
    bool is_quantized;            /* while it is read: file or memory hold stored_type (weight_part.h) */
    enum tensor_type stored_type; /* f32, f16 or bf16 */
};

struct logical_weight {
    const char *name; /* "layer 3 attention query" */
    enum weight_role role;
    int64_t rows;
    int64_t columns;
    int32_t n_parts;
    const struct weight_part *parts; /* [n_parts] */
    /* Split-stable sums: a linear whose inputs may be divided among chips adds its columns in `segments` fixed segments: segment i covers units
     * floor(i * U / S) .. floor((i + 1) * U / S) of unit_columns columns each (U = columns / unit_columns); empty segments are skipped; partial
     * sums are joined as a binary tree of adjacent halves in fp32. 1: one segment. */
    int32_t segments;
    int32_t unit_columns;
    /* A shard holds the columns of the adjacent segments first_segment .. first_segment + segments - 1 of a whole of whole_columns columns in whole_segments
     * segments, with the whole's bounds; first_segment is a multiple of `segments`, so that a shard is a subtree and partial sums of shards join to the
     * whole's bits. whole_segments 0: no shard. (Who holds other runs of segments writes one weight for each aligned run.) */
    int32_t first_segment;
    int32_t whole_segments;
    int64_t whole_columns;
};

/* ---- Cache groups: state per token or per sequence, in blocks. */

enum cache_kind {
    CACHE_FULL_ATTENTION,  /* keys and values of all positions */
    CACHE_SLIDING_WINDOW,  /* ... of the last `window` positions */
    CACHE_LATENT,          /* MLA's compressed keys and values */
    CACHE_SPARSE_INDEX,    /* DSA's indexer keys */
    CACHE_RECURRENT_STATE, /* per sequence, not per token */
};

/* What is kept per token and layer: one stream for each kind of row. Attention keeps CACHE_KEYS and CACHE_VALUES (with as many heads each); latent attention
 * keeps the compressed row and its rotated part, a sparse index the indexer's key. */
#define CACHE_MAX_STREAMS 4
enum { CACHE_KEYS, CACHE_VALUES }; /* streams of an attention group */

struct cache_stream {
    const char *name;
    int32_t n_heads;
    int32_t width; /* elements of one head */
};

struct program_cache_group {
    const char *name;
    enum cache_kind kind;
    int32_t window;   /* positions; 0 unless CACHE_SLIDING_WINDOW */
    int32_t n_layers; /* layers that keep state in this group; ops name (group, layer index within the group) */
    int32_t n_streams;
    struct cache_stream streams[CACHE_MAX_STREAMS];
};

/* The streams of an attention group, as an initialiser. */
#define ATTENTION_STREAMS(heads, key_width, value_width)                                                                                                       \
    .n_streams = 2, .streams = {[CACHE_KEYS] = {"keys", heads, key_width}, [CACHE_VALUES] = {"values", heads, value_width}}

/* Elements per token and layer, all streams. */
uint64_t cache_group_elements(const struct program_cache_group *group);

/* ---- Operations. x, y: indices of buffers. w: indices of logical weights. -1 = none. */

enum op_kind { OP_EMBED, OP_NORM, OP_LINEAR, OP_ROPE_CACHE, OP_ATTENTION, OP_GATED_ACTIVATION, OP_SELECT_ROWS, OP_LOGITS, OP_KIND_COUNT };

/* out[r] = table[token[r]] * scale. Exact per element (one rounding for the scale when it is not 1). */
struct op_embed {
    int32_t table; /* weight, WEIGHT_EMBEDDING */
    int32_t out;   /* buffer */
    float scale;
};

/* RMS norm (Zhang & Sennrich 2019) with the residual addition fused, as every vendor's fused kernel has it:
 *   if residual >= 0: x[r] += residual[r]          (elementwise fp32, written back to x)
 *   out[r] = x[r] * (1 / sqrt(mean(x[r]^2) + epsilon)) * weight
 * Canonical order (reference): squares added in ascending index order in double, one rounding of the mean to fp32. Chips state theirs. */
enum norm_kind { NORM_RMS };

struct op_norm {
    enum norm_kind kind;
    int32_t x;        /* buffer, read and (with residual) written */
    int32_t residual; /* buffer or -1 */
    int32_t weight;   /* WEIGHT_VECTOR or -1 */
    int32_t out;      /* buffer; may not be x */
    float epsilon;
};

/* One input, up to three products: out[i][r] = W[i] x[r] (+ bias[i]). One quantisation of x serves all of them.
 * Canonical order (reference): per output one fp32... see each chip's README; joined over segments as logical_weight says; bias added last. */
#define OP_LINEAR_MAX 3

struct op_linear {
    int32_t x;
    int32_t n_outputs;
    int32_t weights[OP_LINEAR_MAX]; /* WEIGHT_LINEAR */
    int32_t biases[OP_LINEAR_MAX];  /* WEIGHT_VECTOR or -1 */
    int32_t outs[OP_LINEAR_MAX];    /* buffers */
};

/* Rotary embedding (Su et al. 2021) of query and key, then key and value are written to the cache at the row's position.
 *   angle(position, i) = position * frequencies[i],  i = 0 .. rotary_width / 2 - 1   (product in double, cos and sin of it rounded to fp32 and multiplied by
 *   magnitude); pairs are (i, i + rotary_width / 2) for ROPE_HALVES, (2i, 2i + 1) for ROPE_ADJACENT:
 *   a' = a cos - b sin,  b' = a sin + b cos        (each product rounded, then the sum: no fma)
 * Elements beyond rotary_width are unchanged. query is rotated in place; key and value buffers are left in any state. With query_norm/key_norm >= 0 each
 * head is RMS-normalised with that weight first (Qwen3). The cache holds keys rotated, rounded to the plan's cache type. */
enum rope_pairing { ROPE_HALVES, ROPE_ADJACENT };

struct op_rope_cache {
    int32_t query, key, value;    /* buffers [n_heads * key_width], [n_kv_heads * key_width], [n_kv_heads * value_width] */
    int32_t query_norm, key_norm; /* WEIGHT_VECTOR [key_width] or -1 */
    float norm_epsilon;
    int32_t n_heads;
    int32_t rotary_width; /* even, at most key_width; 0: no rotation */
    enum rope_pairing pairing;
    const double *frequencies; /* [rotary_width / 2], radians per position, scaling rules already applied; lives as long as the program */
    float magnitude;           /* of cos and sin; 1 unless a scaling rule says otherwise */
    int32_t group, layer;      /* cache group, layer index within it */
};

/* Attention of each row over the cached positions 0 .. its own (causal), grouped heads: head h reads kv head h / (n_heads / n_kv_heads).
 *   s[p] = (q . k[p]) * scale;   out = sum_p softmax(s)[p] v[p]      window > 0: only p > position - window
 * Canonical order: positions in spans of ATTENTION_SPAN at absolute multiples of it; within a span the maximum, then the exponentials and the weighted sum in
 * ascending position; spans joined in ascending order by the usual rescaling (online softmax, Milakov & Gimelshein 2018). So the result does not depend on
 * block size, block numbers, or on how many rows run together. */
#define ATTENTION_SPAN 256

struct op_attention {
    int32_t query; /* buffer [n_heads * key_width] */
    int32_t out;   /* buffer [n_heads * value_width] */
    int32_t n_heads;
    float scale;
    int32_t window;
    int32_t group, layer;
};

/* out[r] = activation(gate[r]) * up[r]; SwiGLU: x / (1 + exp(-x)). Elementwise. */
enum activation_kind { ACTIVATION_SILU };

struct op_gated_activation {
    enum activation_kind kind;
    int32_t gate, up, out;
};

/* out[l] = x[logit_rows[l]] (+ residual[logit_rows[l]]): from token rows to logit rows, so that the final norm and the head run only where wanted. */
struct op_select_rows {
    int32_t x;
    int32_t residual; /* or -1 */
    int32_t out;      /* buffer with ROWS_LOGITS */
};

/* Hands `x` (ROWS_LOGITS, width = vocabulary) out: what the step's `wants` ask of it (whole rows, argmax, top), and `hidden`, the rows of the final norm, for
 * WANT_HIDDEN. The last operation. The operations behind the one that writes `hidden` are the head: a step none of whose rows wants logits ends before them. */
struct op_logits {
    int32_t x;
    int32_t hidden; /* buffer with ROWS_LOGITS, or -1: this program hands none out */
};

struct op {
    enum op_kind kind;
    const char *label; /* "layer 3 attention output": for printing, messages and profiles */
    int32_t layer;     /* of the model, 0 .. n_layers - 1; -1: in none. Stages of a pipeline cut here (the builder fills it in) */
    union {
        struct op_embed embed;
        struct op_norm norm;
        struct op_linear linear;
        struct op_rope_cache rope_cache;
        struct op_attention attention;
        struct op_gated_activation gated;
        struct op_select_rows select_rows;
        struct op_logits logits;
    };
};

struct program {
    const char *name; /* "llama, 30 layers" */
    int32_t n_vocabulary;
    int32_t n_layers;
    int32_t context_length; /* positions the model was made for */
    int32_t n_buffers;
    const struct program_buffer *buffers;
    int32_t n_weights;
    const struct logical_weight *weights;
    int32_t n_groups;
    const struct program_cache_group *groups;
    int32_t n_ops;
    const struct op *ops;
};

/* What an operation reads, writes and is called, as data: the one place that knows the fields of each kind, so that printing, checking, cutting and
 * estimating need no switch of their own. Lists hold at most OP_MAX_OPERANDS entries. */
#define OP_MAX_OPERANDS 8

struct op_operands {
    int32_t n_reads, reads[OP_MAX_OPERANDS];     /* buffers */
    int32_t n_writes, writes[OP_MAX_OPERANDS];   /* buffers */
    int32_t n_weights, weights[OP_MAX_OPERANDS]; /* logical weights */
    int32_t group, layer;                        /* cache touched, -1: none */
};

const char *op_kind_name(enum op_kind kind);
const char *cache_kind_name(enum cache_kind kind); /* "all positions", "a window" */
void op_get_operands(const struct op *op, struct op_operands *operands);

/* Checks a program: indices in range, widths that fit each operation, buffers written before they are read, parts that make up their weights.
 * A buffer that no operation writes without reading it is an input, written from outside (plan_write_buffer: tests of single operations); model/ never
 * leaves one. SAMPAN_EINVAL with the operation's label. Chips call it before compiling: after it, indices may be trusted. */
int program_check(const struct program *program, struct error *err);

/* Bytes of all weights as published; bytes of cache per token (all groups) with `element_bytes` per element. */
uint64_t program_weight_bytes(const struct program *program);
uint64_t program_cache_bytes_per_token(const struct program *program, int element_bytes);

/* Reads the program aloud: sizes, then one operation per line with its buffers, widths, weights and types. Runs of layers that differ only in their number are
 * told once ("layers 1 to 29 as layer 0") unless `whole`. A failure is kept in the buffer (out->failed). */
struct buffer;
void program_print(const struct program *program, bool whole, struct buffer *out);

/* The first operation of the head (see op_logits), and the width of the rows in front of it; n_ops and 0 where the program hands no hidden rows out. */
int32_t program_head_begin(const struct program *program);
int32_t program_hidden_width(const struct program *program);

/* The number of inputs of a program (see program_check); *first names one. */
int32_t program_count_inputs(const struct program *program, int32_t *first);

bool program_has_maps(const struct program *program); /* some part is_mapped */

/* The types of all matrices ("q4_1+q8_0"; quantised while loading: "bf16>q4_k") and the largest number of segments: what chips put into their numerics id. */
void program_describe_weights(const struct program *program, char *types, size_t size, int32_t *segments);

/* Columns [*first, *last) of segment i of a weight or shard (see logical_weight), counted from the weight's own first column; false where it is empty. */
bool weight_segment(const struct logical_weight *weight, int32_t i, int64_t *first, int64_t *last);

/* Do both name the same bytes? (A tied head names its embedding's part again.) */
bool weight_part_is_same(const struct weight_part *a, const struct weight_part *b);

/* ---- Building: a small growing builder on an arena, used by model/ and by tests. Functions return the new index; a failure (memory, limits) is kept
 * in the builder and reported by program_builder_finish. Names and labels are copied; frequencies, files and memory of parts are only referred to. */

struct program_builder;

int program_builder_create(struct arena *arena, const char *name, struct program_builder **builder, struct error *err);
int32_t program_add_buffer(struct program_builder *builder, const char *name, int32_t width, enum buffer_rows rows);
int32_t program_add_weight(struct program_builder *builder, const struct logical_weight *weight); /* copies it and its parts */
int32_t program_add_group(struct program_builder *builder, const struct program_cache_group *group);
/* The layer of the operations added from here on; -1, as at the beginning: in none. */
void program_set_layer(struct program_builder *builder, int32_t layer);
void program_add_op(struct program_builder *builder, const struct op *op); /* copies it, label included; `layer` is the builder's */
/* A copy in `arena` of everything but the bytes of the weights: what a chip keeps when the program may be gone after compiling. */
int program_copy(struct arena *arena, const struct program *program, const struct program **copy, struct error *err);
/* Runs program_check; *program lives in the arena. */
int program_builder_finish(struct program_builder *builder, int32_t n_vocabulary, int32_t n_layers, int32_t context_length, const struct program **program,
                           struct error *err);

#endif
