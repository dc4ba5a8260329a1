/* AMX: integer panels by tiles. A block's codes, a byte each, are a tile of weights as they lie ([8 registers][16 outputs][4 columns]); a tile of input rows is
 * multiplied with it at once, and the exact int32 sums are scaled and added as every dialect does it: the same bits. A few rows go to avx512.
 *
 * Bound. One tile product (16 rows x 16 outputs x 32 columns) a block, then 3 to 4 vector operations a row: the scaling, not the tiles, is the limit. */
#include <math.h>
#include <string.h>

#include "chip/cpu/amx/tiles.h"
#include "chip/cpu/kernels.h"
#include "tensor/half.h"
#ifdef __AMX_INT8__
#include "chip/cpu/avx512/panels.h"

#define FEW_ROWS 4
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))

struct block {
    const uint8_t *codes; /* [8][64] */
    uint8_t spread[8 * 64];
    float scales[2][PANEL_OUTPUTS], minima[2][PANEL_OUTPUTS];
};

static ALWAYS_INLINE void move_bits(const uint8_t *from, int shift, int mask, int to, uint8_t *out)
{
    for (int i = 0; i < 64; i++)
        out[i] = (uint8_t)(out[i] | (from[i] >> shift & mask) << to);
}

static ALWAYS_INLINE void spread_codes(int bits, const uint8_t *codes, struct block *block)
{
    block->codes = bits == 8 ? codes : block->spread;
    if (bits == 8)
        return;
    memset(block->spread, 0, sizeof block->spread);
    for (int j = 0; j < 8; j++) {
        uint8_t *out = block->spread + 64 * j;
        if (bits >= 4)
            move_bits(codes + 64 * (j % 4), j < 4 ? 0 : 4, 15, 0, out);
        else
            move_bits(codes + 64 * (j / 4), 2 * (j % 4), 3, 0, out);
        if (bits == 5 || bits == 3)
            move_bits(codes + 64 * (bits - 1), j, 1, bits - 1, out);
        else if (bits == 6)
            move_bits(codes + 64 * (4 + j / 4), 2 * (j % 4), 3, 4, out);
    }
}

static ALWAYS_INLINE float load_half(const uint8_t *halves, int lane)
{
    uint16_t half;
    memcpy(&half, halves + 2 * lane, sizeof half);
    return f16_to_float(half);
}

static ALWAYS_INLINE void load_scales(enum panel_kind kind, const uint8_t *header, const uint8_t *scales, struct block *block)
{
    const struct panel_format *format = &panel_formats[kind];
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        float d = load_half(panel_has_byte_scales(kind) ? header : scales, lane), m = format->minima ? load_half(header + 32, lane) : 0.0f;
        if (!panel_has_byte_scales(kind)) {
            block->scales[0][lane] = d;
            block->minima[0][lane] = m;
            continue;
        }
        int first = panel_signed_byte(scales[lane]), second = panel_signed_byte(scales[PANEL_OUTPUTS + lane]);
        if (format->minima && format->halves) {
            block->minima[0][lane] = (float)(first >> 4 & 15) * (0.0f - m);
            block->minima[1][lane] = (float)(second >> 4 & 15) * (0.0f - m);
            first &= 15;
            second &= 15;
        } else if (format->minima) {
            block->minima[0][lane] = (float)second * (0.0f - m);
        }
        block->scales[0][lane] = (float)first * d;
        block->scales[1][lane] = (float)second * d;
    }
}

/* Columns [first, first + bytes) of all rows: sums[r][output], the bias taken off. */
static ALWAYS_INLINE void multiply_columns(const struct block *block, int first, const int8_t *input, int32_t sums[][PANEL_OUTPUTS])
{
    tiles_clear_sums();
    tiles_load_input(input + first, LINEAR_BLOCK);
    tiles_load_weights(block->codes + first * PANEL_OUTPUTS);
    tiles_multiply();
    tiles_store_sums(&sums[0][0]);
}

static ALWAYS_INLINE void add_sums(enum panel_kind kind, const struct block *block, const struct input_meta *meta, const int32_t *first, const int32_t *last,
                                   float *out)
{
    const struct panel_format *format = &panel_formats[kind];
    const int32_t bias = format->bias_shift ? 1 << format->bias_shift : 0;
    const float first_sum = meta->scale * (float)(meta->minus_sum_last - meta->minus_sum), last_sum = meta->scale * (float)-meta->minus_sum_last;
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        if (!format->halves) {
            float dot = (float)(first[lane] + bias * meta->minus_sum);
            out[lane] = fmaf(dot, block->scales[0][lane] * meta->scale, out[lane]);
            if (format->minima)
                out[lane] = fmaf(block->minima[0][lane], meta->scaled_sum, out[lane]);
            continue;
        }
        float a = (float)(first[lane] + bias * (meta->minus_sum - meta->minus_sum_last)), b = (float)(last[lane] + bias * meta->minus_sum_last);
        out[lane] = fmaf(fmaf(b, block->scales[1][lane], a * block->scales[0][lane]), meta->scale, out[lane]);
        if (format->minima) {
            out[lane] = fmaf(block->minima[0][lane], first_sum, out[lane]);
            out[lane] = fmaf(block->minima[1][lane], last_sum, out[lane]);
        }
    }
}

static ALWAYS_INLINE void load_block(enum panel_kind kind, const uint8_t *panel, int32_t b, struct block *block)
{
    const uint8_t *header = panel_header(kind, panel, (uint32_t)b);
    spread_codes(panel_formats[kind].bits, panel_codes(kind, header, (uint32_t)b), block);
    load_scales(kind, header, panel_scales(kind, header, (uint32_t)b), block);
}

/* n_rows rows (their tile's distance between blocks is job->n_rows) against one block. */
static ALWAYS_INLINE void add_rows(enum panel_kind kind, const struct panel_job *job, const struct block *block, int n_rows, const int8_t *input,
                                   const struct input_meta *meta, float *out)
{
    int32_t first[TILE_MAX_ROWS][PANEL_OUTPUTS], last[TILE_MAX_ROWS][PANEL_OUTPUTS];
    multiply_columns(block, 0, input, first);
    if (panel_formats[kind].halves)
        multiply_columns(block, LINEAR_BLOCK / 2, input, last);
    for (int r = 0; r < n_rows; r++)
        add_sums(kind, block, meta + r, first[r], last[r], out + r * job->out_stride);
}

/* Few rows would leave tiles mostly empty. (Emulated tiles have nobody else to ask.) */
static ALWAYS_INLINE bool use_few_rows(enum panel_kind kind, const struct panel_job *job)
{
#ifdef __AMX_INT8__
    if (job->n_rows < FEW_ROWS) {
        avx512_panel(kind, job);
        return true;
    }
#else
    (void)kind, (void)job;
#endif
    return false;
}

static ALWAYS_INLINE void multiply_panel(enum panel_kind kind, const struct panel_job *job)
{
    const int bytes = panel_formats[kind].halves ? LINEAR_BLOCK / 2 : LINEAR_BLOCK;
    struct block block;
    for (int32_t r = 0; r < job->n_rows; r++)
        memset(job->out + r * job->out_stride, 0, PANEL_OUTPUTS * sizeof(float));
    tiles_shape(job->n_rows, bytes);
    for (int32_t b = job->first; b < job->last; b++) {
        int64_t index = (int64_t)b * job->n_rows;
        load_block(kind, job->panel, b, &block);
        add_rows(kind, job, &block, job->n_rows, job->high + index * LINEAR_BLOCK, job->meta + index, job->out);
    }
    if (job->n_residuals)
        tiles_shape(1, bytes);
    for (int32_t i = 0; i < job->n_residuals; i++) {
        const struct residual *residual = &job->residuals[i];
        if (i == 0 || residual->block != residual[-1].block)
            load_block(kind, job->panel, residual->block, &block);
        const int8_t *input = job->low + ((int64_t)residual->block * job->n_rows + residual->row) * LINEAR_BLOCK;
        add_rows(kind, job, &block, 1, input, &residual->meta, job->out + residual->row * job->out_stride);
    }
    tiles_release();
}

#define PANEL_KERNEL(name, kind)                                                                                                                               \
    static void amx_##name(const struct panel_job *job)                                                                                                        \
    {                                                                                                                                                          \
        if (!use_few_rows(kind, job))                                                                                                                          \
            multiply_panel(kind, job);                                                                                                                         \
    }
PANEL_KERNEL(panel_q4_0, PANEL_Q4_0)
PANEL_KERNEL(panel_q4_1, PANEL_Q4_1)
PANEL_KERNEL(panel_q5_0, PANEL_Q5_0)
PANEL_KERNEL(panel_q5_1, PANEL_Q5_1)
PANEL_KERNEL(panel_q8_0, PANEL_Q8_0)
PANEL_KERNEL(panel_q2_k, PANEL_Q2_K)
PANEL_KERNEL(panel_q3_k, PANEL_Q3_K)
PANEL_KERNEL(panel_q4_k, PANEL_Q4_K)
PANEL_KERNEL(panel_q5_k, PANEL_Q5_K)
PANEL_KERNEL(panel_q6_k, PANEL_Q6_K)

void cpu_fill_amx(struct cpu_kernels *kernels)
{
    kernels->panel_q4_0 = amx_panel_q4_0;
    kernels->panel_q4_1 = amx_panel_q4_1;
    kernels->panel_q5_0 = amx_panel_q5_0;
    kernels->panel_q5_1 = amx_panel_q5_1;
    kernels->panel_q8_0 = amx_panel_q8_0;
    kernels->panel_q2_k = amx_panel_q2_k;
    kernels->panel_q3_k = amx_panel_q3_k;
    kernels->panel_q4_k = amx_panel_q4_k;
    kernels->panel_q5_k = amx_panel_q5_k;
    kernels->panel_q6_k = amx_panel_q6_k;
}
