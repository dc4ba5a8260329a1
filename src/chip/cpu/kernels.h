/* The CPU chip's kernels: a table of function pointers, filled by the portable dialect and overwritten by faster ones, as far as the machine goes and
 * the caller allows (dav1d's way). CPU_KERNELS states each signature once; the table, the dialects and the tests are made from it.
 *
 * Every kernel's canonical order of arithmetic is in README.md; all dialects keep the same one, so they give the same bits, and tests compare them
 * bit for bit.
 *
 * Quantised input. A linear over integer weights reads its input in blocks of 32 columns: x ~ scale * (high + low / 128), both int8: high is the usual rounding
 * to 8 bits, low what it leaves. Every product is made with high; low is added only for the blocks where it matters (struct residual). Rows lie in tiles of at
 * most LINEAR_TILE_ROWS; a tile of T rows over B blocks is
 *
 *   high, low  [B][T][32] int8        meta  [B][T] struct input_meta (of high)
 *
 * Weight panels: panel_formats.h. */
#ifndef CHIP_CPU_KERNELS_H
#define CHIP_CPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "chip/cpu/panel_formats.h"
#include "tensor/type.h"

#define LINEAR_TILE_ROWS 16 /* rows that share one reading of a panel */
#define INPUT_RANGE 16256   /* largest magnitude of 128 high + low: 127 * 128 */

struct input_meta {
    float scale;            /* x = scale * q */
    float scaled_sum;       /* scale * sum of q: what a weight's minimum is multiplied by */
    int32_t minus_sum;      /* -sum of q: what a weight's bias is multiplied by */
    int32_t minus_sum_last; /* of the last 16 columns alone */
};

/* A block of a row whose low half is added as well, after all high ones of its segment. */
struct residual {
    int32_t block, row;
    struct input_meta meta; /* of low */
};

/* One panel times a tile of rows, over blocks (float panels: columns) [first, last): out[r * out_stride + lane]. */
struct panel_job {
    const uint8_t *panel;
    int32_t first, last;
    int32_t n_rows; /* T */
    int64_t ahead;  /* bytes behind each block that are fetched on the way, because panels come from memory; 0: none */
    /* Integer panels. */
    const int8_t *high, *low;
    const struct input_meta *meta;
    const struct residual *residuals; /* [n_residuals] of these blocks, by ascending block */
    int32_t n_residuals;
    /* Float panels. */
    const float *x;
    const uint16_t *x_bf16; /* instead, for PANEL_BF16 where the dialect has products of bf16; the same stride */
    int64_t x_stride;       /* elements */
    float *out;
    int64_t out_stride; /* floats */
};

typedef void (*panel_kernel)(const struct panel_job *job);

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
    /* Quantises n_blocks blocks of a row; successive blocks of high, low and meta are `step` rows apart (T of the tile). */                                   \
    KERNEL(void, quantize_row, (const float *x, int32_t n_blocks, int8_t *high, int8_t *low, struct input_meta *meta, int32_t step))                           \
    KERNEL(void, panel_q4_0, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q4_1, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q5_0, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q5_1, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q8_0, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q2_k, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q3_k, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q4_k, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q5_k, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_q6_k, (const struct panel_job *job))                                                                                                    \
    KERNEL(void, panel_f32, (const struct panel_job *job))                                                                                                     \
    KERNEL(void, panel_f16, (const struct panel_job *job))                                                                                                     \
    KERNEL(void, panel_bf16, (const struct panel_job *job))                                                                                                    \
    /* out[r * out_stride + o] = dot of row r of x with row o of w, n columns; n_outputs at most 4. */                                                         \
    KERNEL(void, dot_rows,                                                                                                                                     \
           (const float *w, int64_t w_stride, int32_t n_outputs, const float *x, int64_t x_stride, int32_t n_rows, int64_t n, float *out, int64_t out_stride)) \
    KERNEL(void, widen_f16, (const uint16_t *source, float *destination, int64_t n))                                                                           \
    KERNEL(void, widen_bf16, (const uint16_t *source, float *destination, int64_t n))                                                                          \
    KERNEL(void, narrow_f16, (const float *source, uint16_t *destination, int64_t n))                                                                          \
    KERNEL(void, narrow_bf16, (const float *source, uint16_t *destination, int64_t n))                                                                         \
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
    bool bf16_products; /* linears over bf16 weights read their input rounded to bf16 */
};

/* The dialects, best last. Each overwrites what it has. */
enum cpu_dialect { DIALECT_PORTABLE, DIALECT_NEON, DIALECT_AVX2, DIALECT_AVX512, DIALECT_AVX512_BF16, DIALECT_AMX, DIALECT_COUNT };

struct cpu_dialect_row {
    const char *name;
    const char *requires; /* for the message when the machine lacks it */
    bool (*available)(void);
    void (*fill)(struct cpu_kernels *kernels);
    bool only_by_name; /* never chosen by itself: it has not run on silicon yet */
};

extern const struct cpu_dialect_row cpu_dialects[DIALECT_COUNT];

enum cpu_dialect cpu_best_dialect(void);
void cpu_fill_kernels(struct cpu_kernels *kernels, enum cpu_dialect highest);

void cpu_fill_portable(struct cpu_kernels *kernels);
void cpu_fill_neon(struct cpu_kernels *kernels);
void cpu_fill_avx2(struct cpu_kernels *kernels);
void cpu_fill_avx512(struct cpu_kernels *kernels);
void cpu_fill_avx512_bf16(struct cpu_kernels *kernels);
void cpu_fill_amx(struct cpu_kernels *kernels);

/* The kernel of a kind of panel. */
panel_kernel cpu_panel_kernel(const struct cpu_kernels *kernels, enum panel_kind kind);

#endif
