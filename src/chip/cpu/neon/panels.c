/* NEON with dot products (Armv8.2 SDOT): integer panels. A register holds 4 outputs x 4 columns; SDOT by lane multiplies it by 4 of 16 bytes of the input. All
 * codes are signed bytes here: 8-bit ones have their 128 taken off, shorter ones are below 128 anyway. */
#include "chip/cpu/neon/panels.h"

#include <arm_neon.h>
#include <stdint.h>

#include "chip/cpu/kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ROWS_AT_ONCE 4

static ALWAYS_INLINE float32x4_t load_halves(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vreinterpret_u16_u8(vld1_u8(p))));
}

/* 4 of 8 bytes, signed, times 4 floats. */
static ALWAYS_INLINE float32x4_t scale_bytes(int8x8_t bytes, float32x4_t factor)
{
    return vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes)))), factor);
}

/* ---- A block of a quarter of a panel: outputs 4 quarter .. 4 quarter + 3 */

struct block {
    int8x16_t codes[8];
    float32x4_t scales[2], minima[2];
};

static ALWAYS_INLINE uint8x16_t move_bits(uint8x16_t bytes, int from, int n, int to)
{
    return vandq_u8(vshlq_u8(bytes, vdupq_n_s8((int8_t)(to - from))), vdupq_n_u8((uint8_t)(((1 << n) - 1) << to)));
}

static ALWAYS_INLINE void load_codes(enum panel_kind kind, const uint8_t *codes, int8x16_t w[8])
{
    const int bits = panel_formats[kind].bits;
    const int low = bits == 8 ? 8 : bits >= 4 ? 4 : 2;
    uint8x16_t part[8];
    for (int i = 0; i < bits; i++)
        part[i] = vld1q_u8(codes + 64 * i);
    for (int j = 0; j < 8; j++) {
        uint8x16_t code = low == 8   ? veorq_u8(part[j], vdupq_n_u8(128))
                          : low == 4 ? move_bits(part[j % 4], j < 4 ? 0 : 4, 4, 0)
                                     : move_bits(part[j / 4], 2 * (j % 4), 2, 0);
        if (bits == 5 || bits == 3)
            code = vorrq_u8(code, move_bits(part[low], j, 1, low));
        else if (bits == 6)
            code = vorrq_u8(code, move_bits(part[4 + j / 4], 2 * (j % 4), 2, 4));
        w[j] = vreinterpretq_s8_u8(code);
    }
}

static ALWAYS_INLINE int8x8_t load_four(const uint8_t *p)
{
    uint32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return vreinterpret_s8_u32(vdup_n_u32(word));
}

static ALWAYS_INLINE void load_block(enum panel_kind kind, const uint8_t *panel, int32_t b, int quarter, struct block *block)
{
    const struct panel_format *format = &panel_formats[kind];
    const uint8_t *header = panel_header(kind, panel, (uint32_t)b), *scales = panel_scales(kind, header, (uint32_t)b);
    load_codes(kind, panel_codes(kind, header, (uint32_t)b) + 16 * quarter, block->codes);
    if (!panel_has_byte_scales(kind)) {
        block->scales[0] = load_halves(scales + 8 * quarter);
        if (format->minima)
            block->minima[0] = load_halves(header + 32 + 8 * quarter);
        return;
    }
    float32x4_t d = load_halves(header + 8 * quarter);
    int8x8_t first = load_four(scales + 4 * quarter), second = load_four(scales + 16 + 4 * quarter);
    if (format->minima) {
        float32x4_t m = vsubq_f32(vdupq_n_f32(0.0f), load_halves(header + 32 + 8 * quarter));
        int8x8_t nibble = vdup_n_s8(15);
        block->minima[0] = scale_bytes(format->halves ? vand_s8(vshr_n_s8(first, 4), nibble) : second, m);
        if (format->halves) {
            block->minima[1] = scale_bytes(vand_s8(vshr_n_s8(second, 4), nibble), m);
            first = vand_s8(first, nibble);
            second = vand_s8(second, nibble);
        }
    }
    block->scales[0] = scale_bytes(first, d);
    if (format->halves)
        block->scales[1] = scale_bytes(second, d);
}

/* ---- Products */

/* Code registers [first, first + 4) times 16 bytes of the input. */
static ALWAYS_INLINE int32x4_t multiply_half(int32x4_t sum, const struct block *block, int first, int8x16_t input)
{
    sum = vdotq_laneq_s32(sum, block->codes[first], input, 0);
    sum = vdotq_laneq_s32(sum, block->codes[first + 1], input, 1);
    sum = vdotq_laneq_s32(sum, block->codes[first + 2], input, 2);
    return vdotq_laneq_s32(sum, block->codes[first + 3], input, 3);
}

/* The 8 bits' bias is in the codes already. */
static ALWAYS_INLINE int32x4_t start_dot(enum panel_kind kind, int32_t minus_sum)
{
    const int shift = panel_formats[kind].bits == 8 ? 0 : panel_formats[kind].bias_shift;
    return vdupq_n_s32(shift ? minus_sum * (1 << shift) : 0);
}

static ALWAYS_INLINE float32x4_t add_block(enum panel_kind kind, const struct block *block, const int8_t *input, const struct input_meta *meta, float32x4_t sum)
{
    const struct panel_format *format = &panel_formats[kind];
    int8x16_t first_input = vld1q_s8(input), last_input = vld1q_s8(input + 16);
    if (!format->halves) {
        int32x4_t dot = multiply_half(multiply_half(start_dot(kind, meta->minus_sum), block, 0, first_input), block, 4, last_input);
        sum = vfmaq_f32(sum, vcvtq_f32_s32(dot), vmulq_f32(block->scales[0], vdupq_n_f32(meta->scale)));
        return format->minima ? vfmaq_f32(sum, block->minima[0], vdupq_n_f32(meta->scaled_sum)) : sum;
    }
    int32x4_t first = multiply_half(start_dot(kind, meta->minus_sum - meta->minus_sum_last), block, 0, first_input);
    int32x4_t last = multiply_half(start_dot(kind, meta->minus_sum_last), block, 4, last_input);
    float32x4_t dot = vfmaq_f32(vmulq_f32(vcvtq_f32_s32(first), block->scales[0]), vcvtq_f32_s32(last), block->scales[1]);
    sum = vfmaq_f32(sum, dot, vdupq_n_f32(meta->scale));
    if (format->minima) {
        float first_sum = meta->scale * (float)(meta->minus_sum_last - meta->minus_sum), last_sum = meta->scale * (float)-meta->minus_sum_last;
        sum = vfmaq_f32(sum, block->minima[0], vdupq_n_f32(first_sum));
        sum = vfmaq_f32(sum, block->minima[1], vdupq_n_f32(last_sum));
    }
    return sum;
}

static ALWAYS_INLINE void multiply_rows(enum panel_kind kind, int n_rows, const struct panel_job *job, int quarter, int32_t first_row)
{
    float32x4_t sums[ROWS_AT_ONCE];
    for (int r = 0; r < n_rows; r++)
        sums[r] = vdupq_n_f32(0.0f);
    for (int32_t b = job->first; b < job->last; b++) {
        struct block block;
        load_block(kind, job->panel, b, quarter, &block);
        int64_t index = (int64_t)b * job->n_rows + first_row;
        for (int r = 0; r < n_rows; r++)
            sums[r] = add_block(kind, &block, job->high + (index + r) * LINEAR_BLOCK, job->meta + index + r, sums[r]);
    }
    for (int r = 0; r < n_rows; r++)
        vst1q_f32(job->out + (first_row + r) * job->out_stride + 4 * quarter, sums[r]);
}

static ALWAYS_INLINE void add_residuals(enum panel_kind kind, const struct panel_job *job, int quarter)
{
    struct block block;
    for (int32_t i = 0; i < job->n_residuals; i++) {
        const struct residual *residual = &job->residuals[i];
        if (i == 0 || residual->block != residual[-1].block)
            load_block(kind, job->panel, residual->block, quarter, &block);
        float *out = job->out + residual->row * job->out_stride + 4 * quarter;
        const int8_t *input = job->low + ((int64_t)residual->block * job->n_rows + residual->row) * LINEAR_BLOCK;
        vst1q_f32(out, add_block(kind, &block, input, &residual->meta, vld1q_f32(out)));
    }
}

static ALWAYS_INLINE void multiply_panel(enum panel_kind kind, const struct panel_job *job)
{
    for (int quarter = 0; quarter < 4; quarter++) {
        int32_t row = 0;
        for (; row + ROWS_AT_ONCE <= job->n_rows; row += ROWS_AT_ONCE)
            multiply_rows(kind, ROWS_AT_ONCE, job, quarter, row);
        for (; row < job->n_rows; row++)
            multiply_rows(kind, 1, job, quarter, row);
        add_residuals(kind, job, quarter);
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

void neon_fill_panels(struct cpu_kernels *kernels)
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
