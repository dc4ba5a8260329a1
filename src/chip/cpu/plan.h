/* A compiled program: a flat list of stages that all workers walk together, meeting at a barrier behind each.
 *
 *   program ops                                          stages (a Llama layer: six barriers; five where no sequence has several rows)
 *   norm, linear q|k|v                                   LINEAR     norm and quantisation in front, repeated by each worker when rows are few
 *   rope + cache                                         ROPE       rows
 *   attention                                            ATTENTION  items (rows of a sequence x kv head), quantised at once for ...
 *   linear output                                        LINEAR
 *   norm, linear gate|up, gated activation               LINEAR     norm in front, activation and quantisation behind, per 32 columns
 *   linear down                                          LINEAR
 *
 * Fusing never changes a bit: the same kernels meet the same numbers in the same order. Intermediate floats that nobody else reads are not stored,
 * unless the plan keeps its buffers.
 *
 * Memory of a plan (each piece one allocation):
 *
 *   weights  | panels, rows and vectors of all weights, 64-byte aligned, huge pages advised |
 *   caches   | group 0: block 0 [layer 0: keys | values][layer 1 ...] | block 1 ... | group 1 ... |
 *   buffers  | program buffers | renamed buffers | rope tables | quantised inputs | results |
 *   scratch  | worker 0 | worker 1 | ... |
 *
 *   keys of a layer: [kv head][group of 16 positions][key_width][16 positions], values: [kv head][position][value_width rounded up to 16]
 *   (blocks of fewer than 16 positions: [kv head][key_width][positions], gathered before use) */
#ifndef CHIP_CPU_PLAN_H
#define CHIP_CPU_PLAN_H

#include "base/arena.h"
#include "chip/chip.h"
#include "chip/cpu/kernels.h"
#include "chip/cpu/pool.h"
#include "chip/cpu/weights.h"
#include "chip/cpu/work.h"

#define CPU_BLOCK_TOKENS 64             /* preferred tokens per cache block */
#define CPU_NUMERICS_FORMAT "cpu:%s:%d" /* dialect, generation */
#define CPU_NUMERICS_GENERATION 2       /* raised whenever a kernel's order of arithmetic changes */
#define REDUNDANT_ROWS 4                /* up to so many rows every worker norms and quantises all of them for itself: one barrier less */
#define RESIDUAL_FACTOR 4.0             /* see list_segment in linear.c */
#define ATTENTION_QUERIES 24            /* (row, head) pairs that share one reading of keys and values */
#define MAX_ROPE_TABLES 16
#define MAX_SEGMENT_DEPTH 8 /* of the binary tree: LIMIT_SPLIT_SEGMENTS = 2^6 */

struct cpu_chip {
    struct chip base;
    enum cpu_dialect dialect;
    struct cpu_kernels kernels;
    struct pool *pool;
    char cpu_model[96];
};

/* Rows of floats; stride is the width rounded up to LANES, the padding zero. */
struct row_buffer {
    float *rows;
    int64_t stride;
    int32_t width;
    enum buffer_rows kind;
};

/* Quantised rows, in tiles (kernels.h). */
struct quantized_rows {
    int8_t *high, *low;
    struct input_meta *meta;
};

struct quantized_shape {
    int32_t n_rows, n_blocks;
};

struct rope_table {
    const double *frequencies; /* [n_pairs], owned by the arena */
    int32_t n_pairs;
    float magnitude;
    float *cosines, *sines; /* [max_tokens, stride] */
    int64_t stride;
};

struct cache_group {
    int32_t n_layers, n_kv_heads, key_width, value_width;
    int32_t value_stride; /* value_width rounded up to LANES */
    uint64_t key_bytes;   /* of a layer in a block */
    uint64_t layer_bytes;
    uint64_t block_bytes;
    uint8_t *blocks;
};

enum stage_kind { STAGE_EMBED, STAGE_NORM, STAGE_LINEAR, STAGE_ROPE, STAGE_ATTENTION, STAGE_GATED, STAGE_SELECT, STAGE_LOGITS };

struct stage_norm {
    struct row_buffer x, residual, sum, out; /* residual.rows NULL: none */
    const float *weight;
    float epsilon;
    bool store_out;
};

struct stage_linear {
    bool has_norm, needs_quantized, needs_bf16;
    int32_t first_quantized; /* of the weights: the first that reads quantised input */
    bool quantized_before;   /* the stage before left its output in plan->produced */
    struct stage_norm norm;
    struct row_buffer x; /* without norm */
    int32_t n_outputs;
    const struct cpu_weight *weights[OP_LINEAR_MAX];
    const float *biases[OP_LINEAR_MAX];
    struct row_buffer outs[OP_LINEAR_MAX];
    int32_t n_units;  /* of 16 outputs, over all weights; of 32 columns when gated */
    bool gated;       /* outs[0] gate, outs[1] up */
    int32_t gate, up; /* which of the two outputs is which */
    bool store_outs, store_gated, quantize_gated;
    struct row_buffer gated_out;
};

struct stage_rope {
    struct row_buffer query, key, value;
    const float *query_norm, *key_norm;
    float epsilon;
    int32_t n_heads, n_pairs, table; /* table -1: no rotation */
    enum rope_pairing pairing;
    int32_t group, layer;
};

struct stage_attention {
    struct row_buffer query, out;
    int32_t n_heads, group, layer, window;
    float scale;
    bool store, quantize;
    const struct stage_rope *rope; /* the stage before, of the same layer: done here where no sequence has more than one row; NULL: always apart */
};

struct stage {
    enum stage_kind kind;
    enum buffer_rows rows;
    union {
        struct {
            const struct cpu_weight *table;
            struct row_buffer out;
            float scale;
        } embed;
        struct stage_norm norm;
        struct stage_linear linear;
        struct stage_rope rope;
        struct stage_attention attention;
        struct {
            struct row_buffer gate, up, out;
        } gated;
        struct {
            struct row_buffer x, residual, out;
        } select;
        struct {
            struct row_buffer x;
        } logits;
    };
};

struct attention_tile {
    int32_t sequence, first_row, n_rows;
};

/* What one worker needs for itself. */
struct worker_scratch {
    float *sum;          /* [max stride] */
    float *rows;         /* [REDUNDANT_ROWS, max stride] */
    uint16_t *bf16_rows; /* [REDUNDANT_ROWS, max stride] */
    struct quantized_rows private_rows;
    struct residual *residuals; /* [most_residuals] of one tile */
    int32_t n_residuals;
    float *weights;                           /* [4, max stride]: dequantised rows of the general path */
    float *queries;                           /* [ATTENTION_QUERIES, max head stride] */
    float *scores;                            /* [ATTENTION_QUERIES, 256] */
    float *span_out, *outs;                   /* [ATTENTION_QUERIES, max head stride] */
    uint8_t *gathered_keys, *gathered_values; /* one span, for blocks of fewer than 16 positions */
    /* Results of its part of the vocabulary. */
    float *best; /* [max_logit_rows] */
    int32_t *best_ids;
    float *top; /* [max_logit_rows, STEP_MAX_TOP], descending */
    int32_t *top_ids;
};

struct cpu_plan {
    struct plan base;
    struct cpu_chip *chip;
    struct arena arena;
    struct plan_limits limits;
    struct plan_description description;
    const struct program *program; /* a copy without files: sizes and buffers, for checks */
    struct cpu_weight *weights;
    int32_t n_weights;
    int32_t n_stages;
    struct stage *stages;
    int32_t head_stage; /* a step that wants hidden rows alone ends before it */
    bool head_has_norm; /* ... but for the final norm, which is joined with the head's linear */
    int32_t n_buffers;
    struct row_buffer *buffers; /* as named by the program */
    struct row_buffer *renamed; /* rows NULL where a buffer has only one place */
    struct row_buffer *current; /* where each buffer is when a step is done */
    int32_t n_groups;
    struct cache_group *groups;
    enum cache_element element;
    int element_bytes;
    int32_t n_rope_tables;
    struct rope_table rope_tables[MAX_ROPE_TABLES];
    struct quantized_rows shared;   /* made in front of a linear */
    struct quantized_rows produced; /* left behind by attention and gated activation */
    uint16_t *shared_bf16;          /* [max_tokens, max stride]; NULL where nothing reads it */
    struct residual *residuals;     /* [tile][most_residuals], where there are several tiles */
    int32_t *n_residuals;           /* [tile] */
    int64_t most_residuals;
    struct worker_scratch *scratch; /* [n_workers] */
    int32_t n_workers;
    struct attention_tile *tiles; /* [max_tokens], of the step */
    int32_t n_tiles;
    bool single_rows; /* no sequence has more than one row */
    bool products_of_bf16;
    int32_t *sequence_of_row; /* [max_tokens] */
    int32_t *token_ids;       /* [max_tokens], sources resolved */
    const struct step *step;  /* in flight, or NULL */
    int32_t previous_logit_rows;
    int32_t *previous_wants; /* [max_logit_rows] */
    float *results;          /* [max_logit_rows, n_vocabulary] where the logits buffer is padded, else NULL */
    float *hidden_results;   /* [max_logit_rows, hidden width] where that buffer is padded, else NULL */
    int32_t wants;           /* of all rows of the step in flight */
    int32_t *argmax;         /* [max_logit_rows] */
    int32_t *top_ids;
    float *top_logits;
    /* Owned memory. */
    void *weight_memory, *cache_memory, *buffer_memory, *scratch_memory;
};

/* plan.c */
int cpu_plan_create(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress, struct plan **plan,
                    struct error *err);
void cpu_plan_free(struct plan *plan);
int cpu_supports(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err);
int cpu_plan_estimate(const char *profile, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                      struct weight_estimate *weights, struct error *err);

/* profile.c */
int cpu_profiles(struct chip_profile *profiles, int max);
int cpu_measure(struct chip_profile *profile, struct error *err);

/* diagnose.c */
int cpu_diagnose(struct chip *chip, struct report *report, struct error *err);

/* compile.c: the stages of a program; buffers, weights and groups are laid out already. */
int cpu_compile_stages(struct cpu_plan *plan, const struct program *program, struct error *err);

/* run.c: what pool_run calls; argument is the plan. */
void cpu_run_step(void *plan, int32_t worker);

/* linear.c, attention.c, logits.c: a worker's part of a stage. */
/* Quantises n_blocks blocks of row `row`, from block first_block on, to their places among `shape`. */
void cpu_quantize_row(const struct cpu_plan *plan, const struct quantized_rows *to, const float *x, int32_t first_block, int32_t n_blocks, int32_t row,
                      const struct quantized_shape *shape);
void cpu_run_linear(struct cpu_plan *plan, const struct stage *stage, int32_t worker);
void cpu_run_norm(struct cpu_plan *plan, const struct stage_norm *norm, enum buffer_rows rows, int32_t worker);
void cpu_run_rope(struct cpu_plan *plan, const struct stage *stage, int32_t worker);
void cpu_run_attention(struct cpu_plan *plan, const struct stage *stage, int32_t worker);
void cpu_run_logits(struct cpu_plan *plan, const struct stage *stage, int32_t worker);
void cpu_join_logits(struct cpu_plan *plan);
void cpu_list_attention_tiles(struct cpu_plan *plan, const struct step *step);

static inline int32_t stage_rows(const struct cpu_plan *plan, enum buffer_rows rows)
{
    return rows == ROWS_TOKENS ? plan->step->n_tokens : plan->step->n_logit_rows;
}

static inline float *buffer_row(const struct row_buffer *buffer, int64_t row)
{
    return buffer->rows + row * buffer->stride;
}

/* Where row r of n_rows with n_blocks blocks begins, and the distance of its blocks in rows. */
static inline int64_t quantized_index(int32_t row, int32_t n_rows, int32_t n_blocks, int32_t *step)
{
    int32_t tile = row / LINEAR_TILE_ROWS, first = tile * LINEAR_TILE_ROWS;
    *step = n_rows - first < LINEAR_TILE_ROWS ? n_rows - first : LINEAR_TILE_ROWS;
    return (int64_t)first * n_blocks + (row - first);
}

static inline int64_t round_up_lanes(int64_t value)
{
    return (value + LANES - 1) / LANES * LANES;
}

#endif
