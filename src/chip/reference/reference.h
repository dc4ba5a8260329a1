/* The reference chip: every operation as the plainest scalar C, the oracle that other chips are compared with (checkchip). It is exact where that is
 * cheap, slow, needs nothing of the machine, and runs whole models.
 *
 * Canonical order "reference". Activations and results are fp32; every sum and every exponential in between is carried in double, in
 * ascending order of index, and rounded once. The order never depends on the number of rows, on chunks or on block numbers. Each function states its own.
 *
 * Weights stay in memory as published and are converted to float a few rows at a time. */
#ifndef CHIP_REFERENCE_REFERENCE_H
#define CHIP_REFERENCE_REFERENCE_H

#include "chip/chip.h"

extern const struct chip_interface reference_chip;

/* ---- Inside chip/reference/ only. */

/* A logical weight in the plan's memory. */
struct reference_weight {
    const unsigned char **parts; /* [n_parts] bytes as published, owned by the plan (shared by a tied embedding and its head) */
    float *vector;               /* [columns] converted, for WEIGHT_VECTOR; else NULL */
};

/* The cache of one group. A block is
 *   [n_layers][block_tokens][ keys: n_kv_heads * key_width | values: n_kv_heads * value_width ]   elements of the cache type */
struct reference_cache {
    unsigned char *bytes; /* [n_blocks * block_bytes] */
    uint64_t block_bytes;
    uint64_t layer_bytes; /* of one layer in a block */
    uint64_t token_bytes; /* of one token in a layer */
};

struct reference_plan {
    struct plan base;
    struct arena arena;            /* owns the copy of the program and all small tables */
    const struct program *program; /* the plan's own copy: files and builder may be gone */
    struct plan_limits limits;     /* resolved: block_tokens is set */
    struct plan_description description;

    struct reference_weight *weights; /* [n_weights] */
    void **allocations;               /* weight bytes, freed with the plan */
    int32_t n_allocations;
    float **buffers;                /* [n_buffers][rows of the buffer * width] */
    struct reference_cache *caches; /* [n_groups] */

    double *scratch; /* of one operation: linear's inputs, attention's spans and sums */

    const struct step *in_flight; /* NULL: none. Executed by wait */
    int32_t previous_logit_rows;  /* of the step last submitted */
    int32_t *previous_wants;      /* [max_logit_rows] of the step last submitted */
    int32_t *token_ids;           /* [max_tokens] of the step running, sources resolved */

    /* Results of the step last waited for. */
    int32_t *argmax;   /* [max_logit_rows] */
    int32_t *top_ids;  /* [max_logit_rows * STEP_MAX_TOP] */
    float *top_logits; /* ditto */
};

/* Elements of double that an operation needs in `scratch`; 0 for most. */
uint64_t reference_linear_scratch(const struct program *program, const struct op_linear *linear);
uint64_t reference_attention_scratch(const struct program *program, const struct plan_limits *limits, const struct op_attention *attention);

/* One function per operation: the whole step, all rows. None can fail: everything was checked before. */
void reference_embed(struct reference_plan *plan, const struct step *step, const struct op *op);
void reference_norm(struct reference_plan *plan, const struct step *step, const struct op *op);
void reference_linear(struct reference_plan *plan, const struct step *step, const struct op *op);
void reference_rope_cache(struct reference_plan *plan, const struct step *step, const struct op *op);
void reference_attention(struct reference_plan *plan, const struct step *step, const struct op *op);
void reference_gated_activation(struct reference_plan *plan, const struct step *step, const struct op *op);
void reference_select_rows(struct reference_plan *plan, const struct step *step, const struct op *op);
void reference_logits(struct reference_plan *plan, const struct step *step, const struct op *op);

/* Rows that a buffer has in this step. */
int32_t reference_rows(const struct reference_plan *plan, const struct step *step, int32_t buffer);
float *reference_row(const struct reference_plan *plan, int32_t buffer, int32_t row);
/* Row `row` of a weight as float. */
void reference_weight_row(const struct reference_plan *plan, int32_t weight, int64_t row, float *values);
/* NULL where index is -1. */
const float *reference_vector(const struct reference_plan *plan, int32_t weight);

/* Keys and values of one token: start of its key elements in layer `layer` of the block that holds `position` of sequence s. */
unsigned char *reference_cache_token(const struct reference_plan *plan, const struct step *step, int32_t group, int32_t layer, int32_t sequence,
                                     int32_t position);
void reference_cache_store(enum tensor_type type, const float *values, void *cached, int64_t n);
void reference_cache_load(enum tensor_type type, const void *cached, float *values, int64_t n);
uint64_t reference_cache_element_bytes(enum tensor_type type);

/* x * (1 / sqrt(mean(x^2) + epsilon)) * weight (NULL: 1) of n elements; x and out may be the same. */
void reference_rms_norm(const float *x, const float *weight, float epsilon, int64_t n, float *out);

/* Joins the sums of a weight's segments as a binary tree of adjacent halves; present[i] is false for an empty segment, which is skipped. Overwrites sums. */
float reference_join_segments(float *sums, const bool *present, int32_t segments);

#endif
