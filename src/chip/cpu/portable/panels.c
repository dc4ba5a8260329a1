/* Plain C: integer panels. The specification of the faster dialects: the same sums in the same order. */
#include "chip/cpu/portable/panels.h"

#include <string.h>

#include "chip/cpu/kernels.h"
#include "chip/cpu/portable/lanes.h"
#include "tensor/half.h"

/* A block of a panel; lanes run fastest, so that a compiler can make vectors of them on any machine. */
struct block {
    int16_t codes[LINEAR_BLOCK][PANEL_OUTPUTS];
    float scales[2][PANEL_OUTPUTS], minima[2][PANEL_OUTPUTS];
};

/* Code of column 4j + t of an output: `byte` is 4 * output + t. */
static int code_of(int bits, const uint8_t *codes, int j, int byte)
{
    const uint8_t *at = codes + byte;
    switch (bits) {
    case 8: return at[64 * j];
    case 6: return (at[64 * (j % 4)] >> (j < 4 ? 0 : 4) & 15) | (at[64 * (4 + j / 4)] >> 2 * (j % 4) & 3) << 4;
    case 5: return (at[64 * (j % 4)] >> (j < 4 ? 0 : 4) & 15) | (at[64 * 4] >> j & 1) << 4;
    case 4: return at[64 * (j % 4)] >> (j < 4 ? 0 : 4) & 15;
    case 3: return (at[64 * (j / 4)] >> 2 * (j % 4) & 3) | (at[64 * 2] >> j & 1) << 2;
    default: return at[64 * (j / 4)] >> 2 * (j % 4) & 3;
    }
}

static float load_half(const uint8_t *halves, int lane)
{
    uint16_t half;
    memcpy(&half, halves + 2 * lane, sizeof half);
    return f16_to_float(half);
}

static void load_byte_scales(const struct panel_format *format, const uint8_t *header, const uint8_t *bytes, struct block *block)
{
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        float d = load_half(header, lane), m = 0.0f - load_half(header + 32, lane);
        int first = panel_signed_byte(bytes[lane]), second = panel_signed_byte(bytes[PANEL_OUTPUTS + lane]);
        if (format->minima && format->halves) {
            block->minima[0][lane] = (float)(first >> 4 & 15) * m;
            block->minima[1][lane] = (float)(second >> 4 & 15) * m;
            first &= 15;
            second &= 15;
        } else if (format->minima) {
            block->minima[0][lane] = (float)second * m;
        }
        block->scales[0][lane] = (float)first * d;
        block->scales[1][lane] = (float)second * d;
    }
}

static void load_block(enum panel_kind kind, const uint8_t *panel, int32_t b, struct block *block)
{
    const struct panel_format *format = &panel_formats[kind];
    const uint8_t *header = panel_header(kind, panel, (uint32_t)b);
    const uint8_t *codes = panel_codes(kind, header, (uint32_t)b), *scales = panel_scales(kind, header, (uint32_t)b);
    for (int c = 0; c < LINEAR_BLOCK; c++) {
        for (int lane = 0; lane < PANEL_OUTPUTS; lane++)
            block->codes[c][lane] = (int16_t)code_of(format->bits, codes, c / 4, 4 * lane + c % 4);
    }
    if (panel_has_byte_scales(kind)) {
        load_byte_scales(format, header, scales, block);
        return;
    }
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        block->scales[0][lane] = load_half(scales, lane);
        block->minima[0][lane] = format->minima ? load_half(header + 32, lane) : 0;
    }
}

/* Integer dot products of columns [first, last), with the bias taken off. */
static void multiply_columns(const struct block *block, int first, int last, const int8_t *input, int32_t start, int32_t dots[PANEL_OUTPUTS])
{
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++)
        dots[lane] = start;
    for (int c = first; c < last; c++) {
        for (int lane = 0; lane < PANEL_OUTPUTS; lane++)
            dots[lane] += block->codes[c][lane] * input[c];
    }
}

static void add_block(enum panel_kind kind, const struct block *block, const int8_t *input, const struct input_meta *meta, float *out)
{
    const struct panel_format *format = &panel_formats[kind];
    const int32_t bias = format->bias_shift ? 1 << format->bias_shift : 0;
    int32_t first[PANEL_OUTPUTS], last[PANEL_OUTPUTS];
    if (!format->halves) {
        multiply_columns(block, 0, LINEAR_BLOCK, input, bias * meta->minus_sum, first);
        for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
            out[lane] = fused_multiply_add((float)first[lane], block->scales[0][lane] * meta->scale, out[lane]);
            if (format->minima)
                out[lane] = fused_multiply_add(block->minima[0][lane], meta->scaled_sum, out[lane]);
        }
        return;
    }
    multiply_columns(block, 0, LINEAR_BLOCK / 2, input, bias * (meta->minus_sum - meta->minus_sum_last), first);
    multiply_columns(block, LINEAR_BLOCK / 2, LINEAR_BLOCK, input, bias * meta->minus_sum_last, last);
    float first_sum = meta->scale * (float)(meta->minus_sum_last - meta->minus_sum), last_sum = meta->scale * (float)-meta->minus_sum_last;
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        float dot = fused_multiply_add((float)last[lane], block->scales[1][lane], (float)first[lane] * block->scales[0][lane]);
        out[lane] = fused_multiply_add(dot, meta->scale, out[lane]);
        if (format->minima) {
            out[lane] = fused_multiply_add(block->minima[0][lane], first_sum, out[lane]);
            out[lane] = fused_multiply_add(block->minima[1][lane], last_sum, out[lane]);
        }
    }
}

static void multiply_panel(enum panel_kind kind, const struct panel_job *job)
{
    struct block block;
    for (int32_t r = 0; r < job->n_rows; r++)
        memset(job->out + r * job->out_stride, 0, PANEL_OUTPUTS * sizeof(float));
    for (int32_t b = job->first; b < job->last; b++) {
        load_block(kind, job->panel, b, &block);
        for (int32_t r = 0; r < job->n_rows; r++) {
            int64_t index = (int64_t)b * job->n_rows + r;
            add_block(kind, &block, job->high + index * LINEAR_BLOCK, job->meta + index, job->out + r * job->out_stride);
        }
    }
    for (int32_t i = 0; i < job->n_residuals; i++) {
        const struct residual *residual = &job->residuals[i];
        const int8_t *input = job->low + ((int64_t)residual->block * job->n_rows + residual->row) * LINEAR_BLOCK;
        load_block(kind, job->panel, residual->block, &block);
        add_block(kind, &block, input, &residual->meta, job->out + residual->row * job->out_stride);
    }
}

#define PANEL_KERNEL(name, kind)                                                                                                                               \
    static void name(const struct panel_job *job)                                                                                                              \
    {                                                                                                                                                          \
        multiply_panel(kind, job);                                                                                                                             \
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

void portable_fill_panels(struct cpu_kernels *kernels)
{
    kernels->panel_q4_0 = panel_q4_0;
    kernels->panel_q4_1 = panel_q4_1;
    kernels->panel_q5_0 = panel_q5_0;
    kernels->panel_q5_1 = panel_q5_1;
    kernels->panel_q8_0 = panel_q8_0;
    kernels->panel_q2_k = panel_q2_k;
    kernels->panel_q3_k = panel_q3_k;
    kernels->panel_q4_k = panel_q4_k;
    kernels->panel_q5_k = panel_q5_k;
    kernels->panel_q6_k = panel_q6_k;
}
