/* A compiled program on an Ascend device: what lies where, and how a step is run. Private to chip/ascend/. README.md has a drawing of the memory. */
#ifndef CHIP_ASCEND_PLAN_H
#define CHIP_ASCEND_PLAN_H

#include "base/arena.h"
#include "chip/ascend/calls.h"

enum {
    PLAN_BLOCK_UNIT = 128, /* paged attention with several queries takes blocks of a multiple of this */
    PLAN_MAX_BUFFERS = 1024,
    PLAN_MAX_WINDOWS = 4,              /* different windows of a program's attention, "none" included */
    STEP_SLOTS = 3,                    /* host buffers of a step's inputs and results: two in flight and one being read */
    PLAN_MAX_GRAPHS = 96,              /* shapes kept for replay ... */
    PLAN_MAX_EAGER = 12,               /* ... and of steps that are queued call by call */
    TOP_CANDIDATES = STEP_MAX_TOP + 1, /* one more than can be asked for: shows whether the last one is tied */
};

/* ---- Weights (weights.c). */

enum weight_form {
    FORM_VECTOR,   /* [columns], element type */
    FORM_VECTOR32, /* [columns], f32: biases of int8 products */
    FORM_TABLE,    /* [rows, columns] as published, element type: looked up, and the second factor of a tied head */
    FORM_FRACTALS, /* [rows, columns] in FRACTAL_NZ, element type */
    FORM_INT8,     /* [rows, columns] in FRACTAL_NZ, int8, with a scale for each row */
};

/* One weight on the device: of one logical weight, or of two whose rows follow one another (gate and up). */
struct device_weight {
    enum weight_form form;
    int32_t n_members, members[2]; /* logical weights */
    int64_t rows, columns;
    uint64_t bytes, scale_bytes;
    int32_t shared_with; /* index of the device weight whose memory this one uses, or its own */
    void *data, *scales; /* device; scales f32 [rows] */
    double error;        /* FORM_INT8: root of the sum of squared errors over that of squared values */
};

/* ---- What becomes of each operation (layout.c). */

/* One product of a linear: a device weight, its bias, where its rows go. */
struct linear_product {
    int32_t weight, bias; /* device weights; bias -1: none */
    int32_t out;          /* buffer; -1: the plan's wide buffer (gate and up side by side) */
};

enum rope_form { ROPE_NONE, ROPE_APPLY, ROPE_BY_POSITION, ROPE_COMPOSED };

/* Cosines and sines of one rotation, shared by the layers that have it. */
struct rope_table {
    const double *frequencies;
    int32_t rotary_width, head_width;
    enum rope_pairing pairing;
    float magnitude;
    enum rope_form form;
    void *cosines, *sines;         /* [max_context, head_width], each angle twice; BY_POSITION: cosines is [max_context, rotary_width], cosines then sines */
    void *partners;                /* COMPOSED: [head_width, head_width], the signed permutation that brings an element its partner */
    void *row_cosines, *row_sines; /* [max_tokens, head_width]: of the step's positions */
};

struct planned_op {
    const struct op *op;
    int32_t n_products;
    struct linear_product products[OP_LINEAR_MAX];
    bool reads_wide;                      /* gated activation: gate and up lie in the wide buffer */
    int32_t weight, second;               /* device weights of norms, tables, query and key norm; -1: none */
    int32_t rope;                         /* index of the rope table, -1 */
    unsigned char query_place, out_place; /* attention: where its buffers lie, known once it was compiled */
};

struct plan_buffer {
    void *places[2]; /* an operation that cannot work in place writes to the other one */
    enum acl_type type;
    int32_t width;
    bool is_per_logit_row;
};

struct plan_group {
    char *memory; /* [layer][keys: n_blocks blocks | values: n_blocks blocks] */
    int32_t n_layers, n_heads, width[2];
    int32_t n_blocks;                     /* the engine's, then spare ones */
    int32_t null_block;                   /* always zero: stands in the block tables wherever nothing may be read */
    int32_t first_spare;                  /* padded rows write here, each into a slot of its own */
    uint64_t block_bytes[2], layer_bytes; /* of one layer; keys, values */
};

/* ---- Shapes of steps (variant.c). */

/* A run of rows that one call of attention serves. */
struct span {
    int32_t first_row, n_rows;
    bool is_rows;     /* every row is a sequence of its own, with true length or mask; else the rows are one sequence's, causal */
    int32_t n_tables; /* block tables: n_rows, or 1 */
    int32_t table_blocks;
    int32_t sequence;                    /* of the step: the first, or the one */
    uint64_t lengths_at;                 /* in the inputs: f32 [n_rows] where a mask is made */
    uint64_t tables_at[STEP_MAX_GROUPS]; /* i32 [n_tables, table_blocks] */
};

/* Where a step's numbers lie in the inputs, in bytes. */
struct input_layout {
    uint64_t tokens, sources, positions, long_positions, logit_rows, slots[STEP_MAX_GROUPS];
    uint64_t end;
};

struct variant_key {
    int32_t n_rows;       /* padded */
    int32_t n_logit_rows; /* padded */
    int32_t table_blocks; /* of rows as sequences; 0: attention is prepared for each step */
    bool has_head, has_top;
};

struct variant {
    struct variant_key key;
    struct input_layout layout;
    struct span span; /* of a step whose rows are all sequences */
    struct call_list calls;
    int64_t *lengths;  /* [n_rows], all table_blocks * block_tokens: what the captured attention is told */
    acl_graph graph;   /* NULL: not captured */
    acl_group *groups; /* [n attention operations], with attention=updates */
    uint64_t used;     /* ordinal of the step that used it last */
    bool is_in_use;
};

/* ---- A step in flight. */

struct step_slot {
    const struct step *step;
    char *inputs; /* page-locked, like the rest */
    int32_t *argmax;
    float *logits, *top_values;
    uint16_t *hidden_bits; /* element type */
    float *hidden;         /* on the host, as are the results below */
    int64_t *top_ids;
    int32_t *result_argmax, *result_top_ids;
    float *result_top_logits;
    int32_t wants;
    acl_event done;
    uint64_t submitted_ns;
};

struct plan_counters {
    uint64_t steps, replays, launches, preparations; /* for plan_print and tests */
};

struct ascend_plan {
    struct plan base; /* first */
    struct ascend_chip *chip;
    struct arena arena;
    const struct program *program;
    struct plan_limits limits;
    enum acl_type type; /* of activations */
    struct plan_description description;

    struct planned_op *ops; /* [n_ops] */
    int32_t n_weights;
    struct device_weight *weights;
    int32_t n_ropes;
    struct rope_table *ropes;
    int32_t n_attentions;
    int32_t n_windows, windows[PLAN_MAX_WINDOWS];
    struct plan_buffer *buffers;               /* [program->n_buffers] */
    unsigned char end_place[PLAN_MAX_BUFFERS]; /* which place is current at the end */
    struct plan_group groups[STEP_MAX_GROUPS];

    struct ascend_memory memory;      /* weights, caches, buffers */
    int32_t max_rows, max_logit_rows; /* padded */
    int32_t row_sequences;            /* steps of at most this many rows run each row as a sequence */
    int32_t max_table_blocks;
    void *tokens;                     /* i32 [max_rows]: of the step, sources resolved */
    void *selected;                   /* [max_logit_rows, width]: rows of a residual */
    void *wide;                       /* [max_rows, 2 * feed-forward] */
    void *rstd;                       /* f32 */
    void *quantised, *row_scales;     /* int8 [max_rows, widest input], f32 [max_rows] */
    void *rope_scratch[3];            /* [max_rows, widest query] */
    void *key_positions;              /* f32 [max_table_blocks * block_tokens]: 0, 1, 2, ... */
    void *distances[3];               /* f32 [rows as sequences, keys] */
    void *masks[PLAN_MAX_WINDOWS];    /* bool, ditto */
    void *triangle;                   /* bool [ACL_CAUSAL_MASK, ACL_CAUSAL_MASK] */
    void *logits;                     /* f32 [max_logit_rows, vocabulary] */
    void *top_values, *top_ids;       /* f32, i64 [max_logit_rows, TOP_CANDIDATES] */
    char *pool;                       /* i32: argmax of the step before [max_logit_rows], then the inputs of the step */
    uint64_t inputs_at, inputs_bytes; /* in the pool */
    void *workspace;
    uint64_t workspace_bytes;

    acl_stream stream;
    struct step_slot slots[STEP_SLOTS];
    uint64_t n_submitted, n_waited; /* steps */
    uint64_t last_done_ns;
    int32_t previous_logit_rows;
    int32_t *previous_wants;
    bool broken; /* a fault inside a step: only freeing is left */
    bool asked_for_determinism;
    bool no_graphs; /* capture was refused once: steps are queued call by call */

    struct variant *variants;    /* [PLAN_MAX_GRAPHS + PLAN_MAX_EAGER] */
    struct call_list step_calls; /* prepared for one step: attention of true lengths */
    int32_t *place_ends;         /* [n_attentions]: calls of the step up to and including each attention */
    struct span *spans;          /* [max_sequences] of the step */
    int32_t n_spans;
    int64_t *span_lengths; /* [max_rows] */
    struct plan_counters counters;
};

/* layout.c: decides weights, products, ropes, windows; counts memory. No device is touched, so that estimates use it too. */
int32_t ascend_pad_rows(int32_t n);
int32_t ascend_pad_blocks(int32_t n);
int ascend_layout_make(struct ascend_plan *plan, const struct ascend_profile *profile, struct error *err);
uint64_t ascend_weight_bytes(const struct ascend_plan *plan);
void ascend_layout_groups(struct ascend_plan *plan);
int ascend_plan_estimate(const char *profile, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                         struct weight_estimate *weights, struct error *err);

/* weights.c */
int ascend_weights_load(struct ascend_plan *plan, const struct progress *progress, struct error *err);

/* memory.c: buffers, caches, tables. */
int ascend_buffers_make(struct ascend_plan *plan, struct error *err);
uint64_t ascend_buffer_bytes(struct ascend_plan *plan); /* what ascend_buffers_make takes, without the caches */
int ascend_workspace_reserve(struct ascend_plan *plan, uint64_t bytes, struct error *err);

/* compile.c: the program as calls on the buffers of a shape. */
void ascend_compile(struct ascend_plan *plan, struct variant *variant);
/* Attention of one operation for one span: of true lengths, or of padded ones with the mask that ascend_add_mask made. A window needs the mask in any case. */
void ascend_add_attention(struct ascend_plan *plan, struct call_list *calls, const struct planned_op *planned, const struct span *span, const int64_t *lengths,
                          bool is_masked);
void ascend_add_mask(struct ascend_plan *plan, struct call_list *calls, const struct span *span, int32_t window);
int32_t ascend_window_index(const struct ascend_plan *plan, int32_t window);
/* Where a buffer lies after the whole program; an input is expected at places[0]. */
void *ascend_buffer_end(const struct ascend_plan *plan, int32_t buffer);

/* variant.c */
int ascend_variant_get(struct ascend_plan *plan, const struct variant_key *key, struct variant **variant, struct error *err);
void ascend_variants_free(struct ascend_plan *plan);
struct input_layout ascend_input_layout(const struct ascend_plan *plan, int32_t n_rows, int32_t n_logit_rows);
/* Places lengths and tables of a span behind what is there. */
void ascend_place_span(const struct ascend_plan *plan, struct span *span, uint64_t *end);
int ascend_launch(struct ascend_plan *plan, struct call_list *calls, int32_t first, int32_t end, struct error *err);

/* step.c */
int ascend_plan_submit(struct plan *plan, const struct step *step, struct error *err);
int ascend_plan_wait(struct plan *plan, uint64_t timeout_ns, struct step_result *result, struct error *err);

/* inputs.c: a step's numbers as the device reads them. */
void ascend_pack_rows(struct ascend_plan *plan, const struct step *step, const struct variant_key *key, const struct input_layout *layout, char *inputs);
void ascend_pack_span(struct ascend_plan *plan, const struct step *step, const struct span *span, char *inputs);

/* plan.c */
int ascend_plan_create(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress, struct plan **plan,
                       struct error *err);
void ascend_plan_free(struct plan *plan);
void ascend_plan_describe(const struct plan *plan, struct plan_description *description);
void ascend_plan_print(const struct plan *plan, struct buffer *out);
int ascend_plan_fail(struct ascend_plan *plan, int status, struct error *err); /* after a fault inside a step: the plan is lost; returns SAMPAN_ELOST */

/* inspect.c */
int ascend_plan_read_buffer(struct plan *plan, int32_t buffer, int32_t n_rows, float *values, struct error *err);
int ascend_plan_write_buffer(struct plan *plan, int32_t buffer, int32_t n_rows, const float *values, struct error *err);
int ascend_plan_read_block(struct plan *plan, int32_t group, int32_t block, void *bytes, uint64_t capacity, uint64_t *length, struct error *err);

/* diagnose.c */
int ascend_chip_diagnose(struct chip *chip, struct report *report, struct error *err);

/* supports.c */
int ascend_supports(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err);
enum rope_form ascend_choose_rope(const struct ascend_library *library, const struct ascend_profile *profile, const struct program *program,
                                  const struct op_rope_cache *rope, enum acl_type type);

#endif
