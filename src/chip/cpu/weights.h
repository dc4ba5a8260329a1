/* Weights in the CPU chip's own layout.
 *
 * Linears become panels of PANEL_OUTPUTS outputs (panel_formats.h), so that a lane is an output; rows missing in the last panel are zeros. What no panel fits
 * (columns that are no whole blocks, segments that cut one) keeps its published rows and goes through a general path: a few rows at a time, widened to fp32.
 * An embedding and a linear over the same published part share one copy of panels; an embedding alone keeps its rows.
 *
 * A mapped weight (weight_part.is_mapped) keeps its published rows in the file and goes through the general path, whatever its type.
 *
 * Loading is shared out among the workers, each reading and packing its share of every weight by itself, piece by piece: the peak is the final weights and a
 * piece for each worker, and memory is first touched, so placed, by the worker that will read most of it. */
#ifndef CHIP_CPU_WEIGHTS_H
#define CHIP_CPU_WEIGHTS_H

#include "base/error.h"
#include "chip/chip.h"
#include "chip/cpu/kernels.h"
#include "chip/cpu/pool.h"
#include "chip/program.h"

enum weight_layout {
    LAYOUT_VECTOR, /* float [columns], zero-padded to LANES */
    LAYOUT_ROWS,   /* published rows */
    LAYOUT_PANELS,
};

struct cpu_weight {
    enum weight_layout layout;
    enum panel_kind kind;  /* LAYOUT_PANELS */
    enum tensor_type type; /* LAYOUT_ROWS, as published */
    int64_t rows, columns;
    uint8_t *bytes;      /* 64-byte aligned; is_mapped: in the file, never written */
    uint64_t n_bytes;    /* 0: is_mapped */
    bool is_mapped;      /* LAYOUT_ROWS, computed from where they lie */
    int64_t row_bytes;   /* LAYOUT_ROWS */
    int64_t panel_bytes; /* LAYOUT_PANELS: of one panel */
    int32_t shared_with; /* index of the weight that owns `bytes`, or its own */
    int32_t segments;    /* S, and where they lie: as in logical_weight */
    int32_t unit_columns, first_segment, whole_segments;
    int64_t whole_columns;
};

/* Can this weight be used in this role? SAMPAN_EUNSUPPORTED with the reason. */
int cpu_weight_supports(const struct logical_weight *weight, struct error *err);

/* Decides layout and size of all weights: fills everything but `bytes`; *total is the sum of all sizes, each a multiple of 64. */
int cpu_weights_lay_out(const struct program *program, struct cpu_weight *weights, uint64_t *total, struct error *err);

/* What chip.h tells of a weight that was laid out, the i-th. */
struct weight_estimate cpu_weight_estimate(const struct cpu_weight *weight, int32_t i, bool products_of_bf16);

/* Reads all weights into their bytes, with all workers of the pool. Progress is reported from the calling thread, in published bytes. */
int cpu_weights_load(const struct program *program, struct cpu_weight *weights, struct pool *pool, const struct progress *progress, struct error *err);

/* Row `row` as float [columns]; exact as the published format defines it. */
void cpu_weight_read_row(const struct cpu_weight *weight, int64_t row, float *out);

#endif
