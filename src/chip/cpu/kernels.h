/* The CPU chip's kernels: a table of function pointers, filled by the portable dialect and overwritten by faster ones, as far as the machine goes and
 * the caller allows (dav1d's way). CPU_KERNELS states each signature once; the table, the dialects and the tests are made from it.
 *
 * Every kernel's canonical order of arithmetic is in README.md; all dialects keep the same one, so they give the same bits, and tests compare them
 * bit for bit.
 *
 * Quantised input. A linear over integer weights reads its input as two int8 planes per block of 32 columns: x ~ scale * (128 high + low), an integer
 * of 14 bits and a sign, so that the products are exact in int32 and the rounding of the input is 128 times finer than int8's. Rows lie in tiles of at most
 * LINEAR_TILE_ROWS; a tile of T rows over B blocks is
 *
 *   planes  [B][T][ 32 high | 32 low ] int8        meta  [B][T] struct input_meta
 *
 * Weight panel. PANEL_OUTPUTS outputs side by side, so that a lane is an output and one row meets the same order of additions as five hundred (weights.h). */
#ifndef CHIP_CPU_KERNELS_H
#define CHIP_CPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/type.h"

#define LANES 16
#define PANEL_OUTPUTS 16
#define LINEAR_BLOCK 32      /* columns per scale */
#define LINEAR_TILE_ROWS 16  /* rows that share one reading of a panel */
#define INPUT_BLOCK_BYTES 64 /* two planes of LINEAR_BLOCK */
#define INPUT_RANGE 16256    /* largest quantised magnitude: 127 * 128 */

struct input_meta {
    float scale;       /* x = scale * q */
    float scaled_sum;  /* scale * sum of q: what a weight's minimum is multiplied by */
    int32_t minus_sum; /* -sum of q: what a weight's bias is multiplied by */
    int32_t unused;
};

enum panel_kind { PANEL_U4, PANEL_U4_MIN, PANEL_U8, PANEL_U8_MIN, PANEL_KIND_COUNT };

/* One panel times a tile of rows over blocks [first_block, last_block): out[r * out_stride + lane]. */
struct panel_job {
    const uint8_t *scales; /* float16 [B][16], with minima [B][2][16] */
    const uint8_t *codes;  /* [B][256] or [B][512] */
    int32_t first_block, last_block;
    int32_t n_rows; /* T */
    const int8_t *planes;
    const struct input_meta *meta;
    float *out;
    int64_t out_stride; /* floats */
};

enum cache_element { CACHE_F16, CACHE_BF16, CACHE_F32, CACHE_ELEMENT_COUNT };

/* Queries against (part of) one span of the cache. Positions are counted from the span's start, in groups of LANES. */
struct span_job {
    int32_t n_queries;
    int32_t width;             /* of a query, or of a value row, a multiple of LANES for values */
    int64_t stride;            /* floats from one query to the next (queries, or outputs) */
    const void *const *groups; /* per group of 16 positions: keys [width][16], or values [16][width] */
    int32_t first, last;       /* positions wanted: [first, last) */
};

#define SPAN_GROUPS 16 /* ATTENTION_SPAN / LANES */

/*        result, name, arguments */
#define CPU_KERNELS(KERNEL)                                                                                                                                    \
    /* Quantises n_blocks blocks of a row; successive blocks of planes and meta are `step` rows apart (T of the tile). */                                      \
    KERNEL(void, quantize_row, (const float *x, int32_t n_blocks, int8_t *planes, struct input_meta *meta, int32_t step))                                      \
    KERNEL(void, panel_u4, (const struct panel_job *job))                                                                                                      \
    KERNEL(void, panel_u4_min, (const struct panel_job *job))                                                                                                  \
    KERNEL(void, panel_u8, (const struct panel_job *job))                                                                                                      \
    KERNEL(void, panel_u8_min, (const struct panel_job *job))                                                                                                  \
    /* out[r * out_stride + o] = dot of row r of x with row o of w, n columns; n_outputs at most 4. */                                                         \
    KERNEL(void, dot_rows,                                                                                                                                     \
           (const float *w, int64_t w_stride, int32_t n_outputs, const float *x, int64_t x_stride, int32_t n_rows, int64_t n, float *out, int64_t out_stride)) \
    KERNEL(void, widen_f16, (const uint16_t *source, float *destination, int64_t n))                                                                           \
    KERNEL(void, widen_bf16, (const uint16_t *source, float *destination, int64_t n))                                                                          \
    KERNEL(void, narrow_f16, (const float *source, uint16_t *destination, int64_t n))                                                                          \
    /* sum = x + residual (residual NULL: sum is not written), out = norm(sum) * weight (NULL: ones). */                                                       \
    KERNEL(void, norm_rms, (const float *x, const float *residual, const float *weight, int64_t n, float epsilon, float *sum, float *out))                     \
    KERNEL(void, rotate_halves, (float *head, int32_t n_pairs, const float *cosines, const float *sines))                                                      \
    KERNEL(void, gate_silu, (const float *gate, const float *up, float *out, int64_t n))                                                                       \
    KERNEL(void, add, (const float *a, const float *b, float *out, int64_t n))                                                                                 \
    /* scores[q * 256 + p] = query q . key p, for whole groups covering [first, last). */                                                                      \
    KERNEL(void, scores_f16, (const struct span_job *job, const float *queries, float *scores))                                                                \
    KERNEL(void, scores_bf16, (const struct span_job *job, const float *queries, float *scores))                                                               \
    KERNEL(void, scores_f32, (const struct span_job *job, const float *queries, float *scores))                                                                \
    /* Scores [first, last) become exp(score * scale - maximum); gives the maximum of score * scale and the sum. */                                            \
    KERNEL(void, softmax_span, (float *scores, int32_t first, int32_t last, float scale, float *maximum, float *sum))                                          \
    /* out[q] += sum over [first, last) of weight[q * 256 + p] * value[p]. */                                                                                  \
    KERNEL(void, values_f16, (const struct span_job *job, const float *weights, float *out))                                                                   \
    KERNEL(void, values_bf16, (const struct span_job *job, const float *weights, float *out))                                                                  \
    KERNEL(void, values_f32, (const struct span_job *job, const float *weights, float *out))                                                                   \
    /* The online softmax's step: maximum, sum and out of what came before are joined with those of the next span. */                                          \
    KERNEL(void, join_spans, (float *maximum, float *sum, float *out, float span_maximum, float span_sum, const float *span_out, int64_t n))                   \
    KERNEL(void, scale_row, (float *x, float divisor, int64_t n))                                                                                              \
    KERNEL(int32_t, find_argmax, (const float *x, int32_t n))

struct cpu_kernels {
#define KERNEL_FIELD(result, name, arguments) result(*name) arguments;
    CPU_KERNELS(KERNEL_FIELD)
#undef KERNEL_FIELD
};

/* The dialects, best last. Each overwrites what it has. */
enum cpu_dialect { DIALECT_PORTABLE, DIALECT_AVX2, DIALECT_AVX512, DIALECT_COUNT };

struct cpu_dialect_row {
    const char *name;
    const char *requires; /* for the message when the machine lacks it */
    bool (*available)(void);
    void (*fill)(struct cpu_kernels *kernels);
};

extern const struct cpu_dialect_row cpu_dialects[DIALECT_COUNT];

enum cpu_dialect cpu_best_dialect(void);
void cpu_fill_kernels(struct cpu_kernels *kernels, enum cpu_dialect highest);

void cpu_fill_portable(struct cpu_kernels *kernels);
void cpu_fill_avx2(struct cpu_kernels *kernels);
void cpu_fill_avx512(struct cpu_kernels *kernels);

#endif
