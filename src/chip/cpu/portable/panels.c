/* Plain C: integer panels. The specification of the faster dialects: the same sums in the same order. */
#include "chip/cpu/portable/panels.h"

#include <math.h>
#include <string.h>

#include "chip/cpu/kernels.h"
#include "tensor/half.h"

static int32_t code_of(enum panel_kind kind, const uint8_t *codes, int column, int lane)
{
    if (kind == PANEL_U8 || kind == PANEL_U8_MIN)
        return codes[(column / 4 * PANEL_OUTPUTS + lane) * 4 + column % 4];
    int byte = codes[(column % 16 / 4 * PANEL_OUTPUTS + lane) * 4 + column % 4];
    return column < 16 ? byte & 15 : byte >> 4;
}

static void multiply(enum panel_kind kind, const struct panel_job *job)
{
    bool has_min = kind == PANEL_U4_MIN || kind == PANEL_U8_MIN;
    bool wide = kind == PANEL_U8 || kind == PANEL_U8_MIN;
    int bias = kind == PANEL_U4 ? 8 : kind == PANEL_U8 ? 128 : 0;
    for (int32_t r = 0; r < job->n_rows; r++)
        memset(job->out + r * job->out_stride, 0, PANEL_OUTPUTS * sizeof(float));
    for (int32_t b = job->first_block; b < job->last_block; b++) {
        const uint8_t *codes = job->codes + (int64_t)b * (wide ? 512 : 256);
        const uint8_t *scales = job->scales + (int64_t)b * (has_min ? 64 : 32);
        for (int32_t r = 0; r < job->n_rows; r++) {
            int64_t index = (int64_t)b * job->n_rows + r;
            const int8_t *high = job->planes + index * INPUT_BLOCK_BYTES, *low = high + LINEAR_BLOCK;
            const struct input_meta *meta = job->meta + index;
            float *out = job->out + r * job->out_stride;
            for (int lane = 0; lane < PANEL_OUTPUTS; lane++) {
                int32_t dot = bias * meta->minus_sum;
                for (int c = 0; c < LINEAR_BLOCK; c++)
                    dot += code_of(kind, codes, c, lane) * (128 * high[c] + low[c]);
                uint16_t half[2] = {0, 0};
                memcpy(&half[0], scales + lane * 2, 2);
                out[lane] = fmaf((float)dot, f16_to_float(half[0]) * meta->scale, out[lane]);
                if (has_min) {
                    memcpy(&half[1], scales + 32 + lane * 2, 2);
                    out[lane] = fmaf(f16_to_float(half[1]), meta->scaled_sum, out[lane]);
                }
            }
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
