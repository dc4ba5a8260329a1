/* Plain C: integer panels. The specification of the faster dialects: the same sums in the same order. */
#include "chip/cpu/portable/panels.h"

#include <string.h>

#include "chip/cpu/kernels.h"
#include "chip/cpu/portable/lanes.h"
#include "tensor/half.h"

static int32_t code_of(enum panel_kind kind, const uint8_t *codes, int column, int lane)
{
    if (kind == PANEL_U8 || kind == PANEL_U8_MIN)
        return codes[(column / 4 * PANEL_OUTPUTS + lane) * 4 + column % 4];
    int byte = codes[(column % 16 / 4 * PANEL_OUTPUTS + lane) * 4 + column % 4];
    return column < 16 ? byte & 15 : byte >> 4;
}

/* Lanes run fastest, so that a compiler can make vectors of them on any machine. */
static void expand_codes(enum panel_kind kind, const uint8_t *codes, int16_t weights[LINEAR_BLOCK][PANEL_OUTPUTS])
{
    for (int c = 0; c < LINEAR_BLOCK; c++) {
        for (int lane = 0; lane < PANEL_OUTPUTS; lane++)
            weights[c][lane] = (int16_t)code_of(kind, codes, c, lane);
    }
}

static void multiply_block(int bias, const int16_t weights[LINEAR_BLOCK][PANEL_OUTPUTS], const int8_t *planes, const struct input_meta *meta,
                           const float *scales, const float *minima, float *out)
{
    int32_t dots[PANEL_OUTPUTS];
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++)
        dots[lane] = bias * meta->minus_sum;
    for (int c = 0; c < LINEAR_BLOCK; c++) {
        int16_t x = (int16_t)(128 * planes[c] + planes[LINEAR_BLOCK + c]);
        for (int lane = 0; lane < PANEL_OUTPUTS; lane++)
            dots[lane] += weights[c][lane] * x;
    }
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        out[lane] = fused_multiply_add((float)dots[lane], scales[lane] * meta->scale, out[lane]);
        if (minima)
            out[lane] = fused_multiply_add(minima[lane], meta->scaled_sum, out[lane]);
    }
}

static void widen_halves(const uint8_t *halves, float *out)
{
    for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
        uint16_t half;
        memcpy(&half, halves + 2 * lane, sizeof half);
        out[lane] = f16_to_float(half);
    }
}

static void multiply(enum panel_kind kind, const struct panel_job *job)
{
    bool has_min = kind == PANEL_U4_MIN || kind == PANEL_U8_MIN;
    bool wide = kind == PANEL_U8 || kind == PANEL_U8_MIN;
    int bias = kind == PANEL_U4 ? 8 : kind == PANEL_U8 ? 128 : 0;
    for (int32_t r = 0; r < job->n_rows; r++)
        memset(job->out + r * job->out_stride, 0, PANEL_OUTPUTS * sizeof(float));
    for (int32_t b = job->first_block; b < job->last_block; b++) {
        int16_t weights[LINEAR_BLOCK][PANEL_OUTPUTS];
        float scales[PANEL_OUTPUTS], minima[PANEL_OUTPUTS];
        const uint8_t *halves = job->scales + (int64_t)b * (has_min ? 64 : 32);
        expand_codes(kind, job->codes + (int64_t)b * (wide ? 512 : 256), weights);
        widen_halves(halves, scales);
        if (has_min)
            widen_halves(halves + 32, minima);
        for (int32_t r = 0; r < job->n_rows; r++) {
            int64_t index = (int64_t)b * job->n_rows + r;
            multiply_block(bias, weights, job->planes + index * INPUT_BLOCK_BYTES, job->meta + index, scales, has_min ? minima : NULL,
                           job->out + r * job->out_stride);
        }
    }
}

static void panel_u4(const struct panel_job *job)
{
    multiply(PANEL_U4, job);
}
static void panel_u4_min(const struct panel_job *job)
{
    multiply(PANEL_U4_MIN, job);
}
static void panel_u8(const struct panel_job *job)
{
    multiply(PANEL_U8, job);
}
static void panel_u8_min(const struct panel_job *job)
{
    multiply(PANEL_U8_MIN, job);
}

void portable_fill_panels(struct cpu_kernels *kernels)
{
    kernels->panel_u4 = panel_u4;
    kernels->panel_u4_min = panel_u4_min;
    kernels->panel_u8 = panel_u8;
    kernels->panel_u8_min = panel_u8_min;
}
