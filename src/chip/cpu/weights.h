/* Weights in the CPU chip's own layout.
 *
 * Block-quantised linears become panels of PANEL_OUTPUTS outputs, so that a lane is an output. A panel over B blocks of 32 columns:
 *
 *   | scales: B x [ 16 float16 d | 16 float16 m, where the type has minima ], rounded up to 64 bytes
 *   | codes:  B x [ 4 x 64 bytes (u4) or 8 x 64 bytes (u8) ]
 *
 *   u8: register j (0..7), output n, byte t = code of column 4j + t of output n
 *   u4: register j (0..3), output n, byte t = code of column 4j + t in the low nibble, of column 16 + 4j + t in the high one
 *
 *   value = d * (code - bias) [+ m]     bias 8 for u4 without minima, 128 for u8 without minima, else 0
 *
 * Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 fit this exactly (Q5 as u8). The bytes are those published (Q5: 8 bits for 5). Rows missing in the last panel have scale 0.
 * All other types keep their published rows and go through the general path: dequantised a few rows at a time into fp32.
 * An embedding and a linear over the same published part share one copy.
 *
 * Loading reads the published bytes piece by piece: the peak is the final weights and one piece. */
#ifndef CHIP_CPU_WEIGHTS_H
#define CHIP_CPU_WEIGHTS_H

#include "base/error.h"
#include "chip/chip.h"
#include "chip/cpu/kernels.h"
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
    uint8_t *bytes; /* 64-byte aligned */
    uint64_t n_bytes;
    int64_t row_bytes;               /* LAYOUT_ROWS */
    int32_t n_blocks;                /* LAYOUT_PANELS: per row */
    int64_t panel_bytes, scale_area; /* LAYOUT_PANELS: of one panel; of its scales */
    int32_t shared_with;             /* index of the weight that owns `bytes`, or its own */
    int32_t segments;                /* S, and where they lie: as in logical_weight */
    int32_t unit_columns, first_segment, whole_segments;
    int64_t whole_columns;
};

/* Can this weight be used in this role? SAMPAN_EUNSUPPORTED with the reason. */
int cpu_weight_supports(const struct logical_weight *weight, struct error *err);

/* Decides layout and size of all weights: fills everything but `bytes`; *total is the sum of all sizes, each a multiple of 64. */
int cpu_weights_lay_out(const struct program *program, struct cpu_weight *weights, uint64_t *total, struct error *err);

/* What chip.h tells of a weight that was laid out, the i-th. */
struct weight_estimate cpu_weight_estimate(const struct cpu_weight *weight, int32_t i);

/* Reads weight i into weights[i].bytes. `counted` counts published bytes read, for progress (total over the whole program). */
int cpu_weight_load(const struct program *program, struct cpu_weight *weights, int32_t i, uint64_t *counted, const struct progress *progress, uint64_t total,
                    struct error *err);

/* Row `row` as float [columns]; exact as the published format defines it. */
void cpu_weight_read_row(const struct cpu_weight *weight, int64_t row, float *out);

#endif
