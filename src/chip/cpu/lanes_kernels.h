/* The float kernels, written once over `lanes` (sixteen floats) and compiled by each dialect with its own lanes.h: norm, rotation, activation, attention, fp32
 * dot products, quantisation of inputs. Since every lanes.h rounds alike and the order of operations is this text, all dialects give the same bits.
 *
 * Include after a lanes.h, in one file per dialect. The canonical orders are in README.md. */
#ifndef CHIP_CPU_LANES_KERNELS_H
#define CHIP_CPU_LANES_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "chip/cpu/kernels.h"
#include "tensor/half.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define SPAN 256 /* positions: ATTENTION_SPAN */

static inline lanes load_some(const float *p, int64_t n) /* n >= 16: all */
{
    return n >= LANES ? lanes_load(p) : lanes_load_first(p, (int)n);
}
static inline void store_some(float *p, lanes v, int64_t n)
{
    if (n >= LANES)
        lanes_store(p, v);
    else
        lanes_store_first(p, v, (int)n);
}

/* e^x with relative error below 2^-23: x = n ln 2 + r (Cody & Waite in two steps), |r| <= ln 2 / 2, Taylor to r^7 (remainder r^8 / 8! < 5.2e-9). 2^n in two
 * factors, so that the result underflows gradually to 0 below -87 and overflows to infinity above 88.7, as expf does. exp(0) = 1 exactly. NaN gives 0. */
static inline lanes lanes_exp(lanes x)
{
    x = lanes_min(lanes_max(x, lanes_all(-106.0f)), lanes_all(90.0f));
    lanes n = lanes_round(lanes_mul(x, lanes_all(0x1.715476p+0f)));
    lanes r = lanes_fma(n, lanes_all(-0x1.62e4p-1f), x);
    r = lanes_fma(n, lanes_all(-0x1.7f7d1cp-20f), r);
    lanes p = lanes_all(1.0f / 5040);
    p = lanes_fma(p, r, lanes_all(1.0f / 720));
    p = lanes_fma(p, r, lanes_all(1.0f / 120));
    p = lanes_fma(p, r, lanes_all(1.0f / 24));
    p = lanes_fma(p, r, lanes_all(1.0f / 6));
    p = lanes_fma(p, r, lanes_all(0.5f));
    p = lanes_fma(p, r, lanes_all(1.0f));
    p = lanes_fma(p, r, lanes_all(1.0f));
    lanes half = lanes_round(lanes_mul(n, lanes_all(0.5f)));
    return lanes_mul(lanes_mul(p, lanes_power2(half)), lanes_power2(lanes_sub(n, half)));
}

static inline float exp_one(float x)
{
    float all[LANES];
    lanes_store(all, lanes_exp(lanes_all(x)));
    return all[0];
}

/* ---- Linear */

static void lanes_quantize_row(const float *x, int32_t n_blocks, int8_t *high, int8_t *low, struct input_meta *meta, int32_t step)
{
    lanes limit = lanes_all(INPUT_RANGE), lowest = lanes_all(-INPUT_RANGE);
    for (int32_t b = 0; b < n_blocks; b++, x += LINEAR_BLOCK, high += (int64_t)step * LINEAR_BLOCK, low += (int64_t)step * LINEAR_BLOCK, meta += step) {
        lanes a = lanes_load(x), c = lanes_load(x + LANES);
        float largest = lanes_largest(lanes_max(lanes_abs(a), lanes_max(lanes_abs(c), lanes_zero())));
        bool some = largest > 1e-30f;
        lanes factor = lanes_all(some ? INPUT_RANGE / largest : 0.0f);
        lanes qa = lanes_min(lanes_max(lanes_round(lanes_mul(a, factor)), lowest), limit);
        lanes qc = lanes_min(lanes_max(lanes_round(lanes_mul(c, factor)), lowest), limit);
        int32_t sum = lanes_store_planes(qa, high, low), sum_last = lanes_store_planes(qc, high + LANES, low + LANES);
        float scale = some ? largest / 127 : 0.0f;
        sum += sum_last;
        *meta = (struct input_meta){.scale = scale, .scaled_sum = scale * (float)sum, .minus_sum = -sum, .minus_sum_last = -sum_last};
    }
}

/* Two accumulators per output: even and odd columns, counted from the first; added at the end. */
static ALWAYS_INLINE void float_panel_rows(enum panel_kind kind, int n_rows, const struct panel_job *job, int32_t first_row)
{
    lanes sums[LANES_ROWS_AT_ONCE][2];
    const float *x = job->x + first_row * job->x_stride;
    for (int r = 0; r < n_rows; r++)
        sums[r][0] = sums[r][1] = lanes_zero();
    for (int64_t c = job->first; c < job->last; c += 2) {
        lanes even, odd;
        bool both = c + 1 < job->last;
        if (kind == PANEL_BF16) {
            lanes_load_bf16_pairs((const uint16_t *)(const void *)job->panel + c * LANES, &even, &odd);
        } else if (kind == PANEL_F16) {
            const uint16_t *w = (const uint16_t *)(const void *)job->panel + c * LANES;
            even = lanes_load_f16(w);
            odd = both ? lanes_load_f16(w + LANES) : lanes_zero();
        } else {
            const float *w = (const float *)(const void *)job->panel + c * LANES;
            even = lanes_load(w);
            odd = both ? lanes_load(w + LANES) : lanes_zero();
        }
        for (int r = 0; r < n_rows; r++) {
            const float *pair = x + r * job->x_stride + c;
            sums[r][0] = lanes_fma(even, lanes_all(pair[0]), sums[r][0]);
            if (both)
                sums[r][1] = lanes_fma(odd, lanes_all(pair[1]), sums[r][1]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        lanes_store(job->out + (first_row + r) * job->out_stride, lanes_add(sums[r][0], sums[r][1]));
}

static ALWAYS_INLINE void float_panel(enum panel_kind kind, const struct panel_job *job)
{
    int32_t row = 0;
    for (; row + LANES_ROWS_AT_ONCE <= job->n_rows; row += LANES_ROWS_AT_ONCE)
        float_panel_rows(kind, LANES_ROWS_AT_ONCE, job, row);
    for (; row < job->n_rows; row++)
        float_panel_rows(kind, 1, job, row);
}

static void lanes_panel_f32(const struct panel_job *job)
{
    float_panel(PANEL_F32, job);
}
static void lanes_panel_f16(const struct panel_job *job)
{
    float_panel(PANEL_F16, job);
}
static void lanes_panel_bf16(const struct panel_job *job)
{
    float_panel(PANEL_BF16, job);
}

static ALWAYS_INLINE void dot_tile(int n_outputs, int n_rows, const float *w, int64_t w_stride, const float *x, int64_t x_stride, int64_t n, float *out,
                                   int64_t out_stride)
{
    lanes sums[4][4];
    for (int o = 0; o < n_outputs; o++) {
        for (int r = 0; r < n_rows; r++)
            sums[o][r] = lanes_zero();
    }
    for (int64_t i = 0; i < n; i += LANES) {
        lanes inputs[4];
        for (int r = 0; r < n_rows; r++)
            inputs[r] = load_some(x + r * x_stride + i, n - i);
        for (int o = 0; o < n_outputs; o++) {
            lanes weight = load_some(w + o * w_stride + i, n - i);
            for (int r = 0; r < n_rows; r++)
                sums[o][r] = lanes_fma(weight, inputs[r], sums[o][r]);
        }
    }
    for (int o = 0; o < n_outputs; o++) {
        for (int r = 0; r < n_rows; r++)
            out[r * out_stride + o] = lanes_sum(sums[o][r]);
    }
}

static void lanes_dot_rows(const float *w, int64_t w_stride, int32_t n_outputs, const float *x, int64_t x_stride, int32_t n_rows, int64_t n, float *out,
                           int64_t out_stride)
{
    int32_t r = 0;
    if (n_outputs == 4) {
        for (; r + 4 <= n_rows; r += 4)
            dot_tile(4, 4, w, w_stride, x + r * x_stride, x_stride, n, out + r * out_stride, out_stride);
        for (; r < n_rows; r++)
            dot_tile(4, 1, w, w_stride, x + r * x_stride, x_stride, n, out + r * out_stride, out_stride);
    }
    for (; r < n_rows; r++) {
        for (int32_t o = 0; o < n_outputs; o++)
            dot_tile(1, 1, w + o * w_stride, w_stride, x + r * x_stride, x_stride, n, out + r * out_stride + o, out_stride);
    }
}

static void lanes_widen_f16(const uint16_t *source, float *destination, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(destination + i, lanes_load_f16(source + i));
    for (; i < n; i++)
        destination[i] = f16_to_float(source[i]);
}

static void lanes_widen_bf16(const uint16_t *source, float *destination, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(destination + i, lanes_load_bf16(source + i));
    for (; i < n; i++)
        destination[i] = bf16_to_float(source[i]);
}

static void lanes_narrow_f16(const float *source, uint16_t *destination, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store_f16(destination + i, lanes_load(source + i));
    for (; i < n; i++)
        destination[i] = float_to_f16(source[i]);
}

static void lanes_narrow_bf16(const float *source, uint16_t *destination, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        destination[i] = float_to_bf16(source[i]);
}

/* ---- Rows */

static void lanes_norm_rms(const float *x, const float *residual, const float *weight, int64_t n, float epsilon, float *sum, float *out)
{
    lanes squares = lanes_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        lanes value = load_some(x + i, n - i);
        if (residual) {
            value = lanes_add(value, load_some(residual + i, n - i));
            store_some(sum + i, value, n - i);
        }
        squares = lanes_fma(value, value, squares);
    }
    const float *source = residual ? sum : x;
    lanes factor = lanes_all(1.0f / sqrtf(lanes_sum(squares) / (float)n + epsilon));
    for (int64_t i = 0; i < n; i += LANES) {
        lanes value = lanes_mul(load_some(source + i, n - i), factor);
        if (weight)
            value = lanes_mul(value, load_some(weight + i, n - i));
        store_some(out + i, value, n - i);
    }
}

static void lanes_rotate_halves(float *head, int32_t n_pairs, const float *cosines, const float *sines)
{
    for (int32_t i = 0; i < n_pairs; i += LANES) {
        int32_t left = n_pairs - i;
        lanes a = load_some(head + i, left), b = load_some(head + n_pairs + i, left);
        lanes c = load_some(cosines + i, left), s = load_some(sines + i, left);
        store_some(head + i, lanes_sub(lanes_mul(a, c), lanes_mul(b, s)), left);
        store_some(head + n_pairs + i, lanes_add(lanes_mul(a, s), lanes_mul(b, c)), left);
    }
}

static void lanes_gate_silu(const float *gate, const float *up, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        lanes g = load_some(gate + i, n - i), u = load_some(up + i, n - i);
        lanes e = lanes_exp(lanes_sub(lanes_zero(), g));
        store_some(out + i, lanes_mul(lanes_div(g, lanes_add(lanes_all(1.0f), e)), u), n - i);
    }
}

static void lanes_add_rows(const float *a, const float *b, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES)
        store_some(out + i, lanes_add(load_some(a + i, n - i), load_some(b + i, n - i)), n - i);
}

/* ---- Attention */

static inline lanes load_cached(enum cache_element element, const void *p, int64_t index)
{
    if (element == CACHE_F16)
        return lanes_load_f16((const uint16_t *)p + index);
    if (element == CACHE_BF16)
        return lanes_load_bf16((const uint16_t *)p + index);
    return lanes_load((const float *)p + index);
}

/* One accumulator per (query, position); key elements in ascending order. */
static ALWAYS_INLINE void scores_tile(enum cache_element element, int n_queries, int n_groups, const struct span_job *job, const float *queries, int group,
                                      float *scores)
{
    lanes sums[8];
    for (int i = 0; i < n_queries * n_groups; i++)
        sums[i] = lanes_zero();
    for (int32_t d = 0; d < job->width; d++) {
        lanes keys[2];
        for (int g = 0; g < n_groups; g++)
            keys[g] = load_cached(element, job->groups[group + g], (int64_t)d * LANES);
        for (int q = 0; q < n_queries; q++) {
            lanes query = lanes_all(queries[q * job->stride + d]);
            for (int g = 0; g < n_groups; g++)
                sums[q * n_groups + g] = lanes_fma(query, keys[g], sums[q * n_groups + g]);
        }
    }
    for (int q = 0; q < n_queries; q++) {
        for (int g = 0; g < n_groups; g++)
            lanes_store(scores + q * SPAN + (group + g) * LANES, sums[q * n_groups + g]);
    }
}

static ALWAYS_INLINE void scores_queries(enum cache_element element, int n_queries, const struct span_job *job, const float *queries, float *scores)
{
    int group = job->first / LANES;
    int last = (job->last + LANES - 1) / LANES;
    if (n_queries <= 4) {
        for (; group + 2 <= last; group += 2)
            scores_tile(element, n_queries, 2, job, queries, group, scores);
    }
    for (; group < last; group++)
        scores_tile(element, n_queries, 1, job, queries, group, scores);
}

static ALWAYS_INLINE void scores_all(enum cache_element element, const struct span_job *job, const float *queries, float *scores)
{
    for (int q = 0; q < job->n_queries;) {
        int left = job->n_queries - q;
        const float *some = queries + q * job->stride;
        float *row = scores + (int64_t)q * SPAN;
        if (left >= 8) {
            scores_queries(element, 8, job, some, row);
            q += 8;
        } else if (left >= 4) {
            scores_queries(element, 4, job, some, row);
            q += 4;
        } else if (left == 3) {
            scores_queries(element, 3, job, some, row);
            q += 3;
        } else {
            scores_queries(element, 1, job, some, row);
            q += 1;
        }
    }
}

static void lanes_softmax_span(float *scores, int32_t first, int32_t last, float scale, float *maximum, float *sum)
{
    lanes factor = lanes_all(scale), lowest = lanes_all(-INFINITY), largest = lowest;
    int32_t begin = first / LANES * LANES;
    for (int32_t p = begin; p < last; p += LANES) {
        lanes s = lanes_mul(lanes_load(scores + p), factor);
        s = lanes_keep_range(s, first > p ? first - p : 0, last - p < LANES ? last - p : LANES, lowest);
        largest = lanes_max(s, largest);
        lanes_store(scores + p, s);
    }
    *maximum = lanes_largest(largest);
    lanes total = lanes_zero(), offset = lanes_all(*maximum);
    for (int32_t p = begin; p < last; p += LANES) {
        lanes e = lanes_exp(lanes_sub(lanes_load(scores + p), offset));
        e = lanes_keep_range(e, first > p ? first - p : 0, last - p < LANES ? last - p : LANES, lanes_zero());
        total = lanes_add(total, e);
        lanes_store(scores + p, e);
    }
    *sum = lanes_sum(total);
}

/* One accumulator per (query, element); positions in ascending order. */
static ALWAYS_INLINE void values_tile(enum cache_element element, int n_queries, int n_lanes, const struct span_job *job, const float *weights, int64_t column,
                                      float *out)
{
    lanes sums[16];
    for (int q = 0; q < n_queries; q++) {
        for (int l = 0; l < n_lanes; l++)
            sums[q * n_lanes + l] = lanes_load(out + q * job->stride + column + l * LANES);
    }
    for (int32_t p = job->first; p < job->last; p++) {
        const void *group = job->groups[p / LANES];
        int64_t row = (int64_t)(p % LANES) * job->width + column;
        lanes values[4];
        for (int l = 0; l < n_lanes; l++)
            values[l] = load_cached(element, group, row + l * LANES);
        for (int q = 0; q < n_queries; q++) {
            lanes weight = lanes_all(weights[q * SPAN + p]);
            for (int l = 0; l < n_lanes; l++)
                sums[q * n_lanes + l] = lanes_fma(weight, values[l], sums[q * n_lanes + l]);
        }
    }
    for (int q = 0; q < n_queries; q++) {
        for (int l = 0; l < n_lanes; l++)
            lanes_store(out + q * job->stride + column + l * LANES, sums[q * n_lanes + l]);
    }
}

static ALWAYS_INLINE void values_queries(enum cache_element element, int n_queries, const struct span_job *job, const float *weights, float *out)
{
    int64_t column = 0;
    for (; column + 4 * LANES <= job->width; column += 4 * LANES)
        values_tile(element, n_queries, 4, job, weights, column, out);
    for (; column < job->width; column += LANES)
        values_tile(element, n_queries, 1, job, weights, column, out);
}

static ALWAYS_INLINE void values_all(enum cache_element element, const struct span_job *job, const float *weights, float *out)
{
    for (int q = 0; q < job->n_queries;) {
        int left = job->n_queries - q;
        const float *row = weights + (int64_t)q * SPAN;
        float *some = out + q * job->stride;
        if (left >= 4) {
            values_queries(element, 4, job, row, some);
            q += 4;
        } else if (left == 3) {
            values_queries(element, 3, job, row, some);
            q += 3;
        } else {
            values_queries(element, 1, job, row, some);
            q += 1;
        }
    }
}

#define CACHE_KERNELS(suffix, element)                                                                                                                         \
    static void lanes_scores_##suffix(const struct span_job *job, const float *queries, float *scores)                                                         \
    {                                                                                                                                                          \
        scores_all(element, job, queries, scores);                                                                                                             \
    }                                                                                                                                                          \
    static void lanes_values_##suffix(const struct span_job *job, const float *weights, float *out)                                                            \
    {                                                                                                                                                          \
        values_all(element, job, weights, out);                                                                                                                \
    }
CACHE_KERNELS(f16, CACHE_F16)
CACHE_KERNELS(bf16, CACHE_BF16)
CACHE_KERNELS(f32, CACHE_F32)

static void lanes_join_spans(float *maximum, float *sum, float *out, float span_maximum, float span_sum, const float *span_out, int64_t n)
{
    float largest = span_maximum > *maximum ? span_maximum : *maximum;
    float before = exp_one(*maximum - largest), now = exp_one(span_maximum - largest);
    *maximum = largest;
    *sum = fmaf(span_sum, now, *sum * before);
    lanes b = lanes_all(before), f = lanes_all(now);
    for (int64_t i = 0; i < n; i += LANES)
        lanes_store(out + i, lanes_fma(lanes_load(span_out + i), f, lanes_mul(lanes_load(out + i), b)));
}

static void lanes_scale_row(float *x, float divisor, int64_t n)
{
    lanes d = lanes_all(divisor);
    for (int64_t i = 0; i < n; i += LANES)
        lanes_store(x + i, lanes_div(lanes_load(x + i), d));
}

/* NaN never wins; the lowest index among equals does. */
static int32_t lanes_find_argmax(const float *x, int32_t n)
{
    lanes best = lanes_all(-INFINITY);
    int32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        best = lanes_max(lanes_load(x + i), best);
    float largest = lanes_largest(best);
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (i = 0; i + LANES <= n; i += LANES) {
        int lane = lanes_find(lanes_load(x + i), largest);
        if (lane >= 0)
            return i + lane;
    }
    for (; i < n; i++) {
        if (x[i] == largest)
            return i;
    }
    return 0;
}

static void lanes_fill(struct cpu_kernels *kernels)
{
    kernels->quantize_row = lanes_quantize_row;
    kernels->panel_f32 = lanes_panel_f32;
    kernels->panel_f16 = lanes_panel_f16;
    kernels->panel_bf16 = lanes_panel_bf16;
    kernels->narrow_bf16 = lanes_narrow_bf16;
    kernels->dot_rows = lanes_dot_rows;
    kernels->widen_f16 = lanes_widen_f16;
    kernels->widen_bf16 = lanes_widen_bf16;
    kernels->narrow_f16 = lanes_narrow_f16;
    kernels->norm_rms = lanes_norm_rms;
    kernels->rotate_halves = lanes_rotate_halves;
    kernels->gate_silu = lanes_gate_silu;
    kernels->add = lanes_add_rows;
    kernels->scores_f16 = lanes_scores_f16;
    kernels->scores_bf16 = lanes_scores_bf16;
    kernels->scores_f32 = lanes_scores_f32;
    kernels->softmax_span = lanes_softmax_span;
    kernels->values_f16 = lanes_values_f16;
    kernels->values_bf16 = lanes_values_bf16;
    kernels->values_f32 = lanes_values_f32;
    kernels->join_spans = lanes_join_spans;
    kernels->scale_row = lanes_scale_row;
    kernels->find_argmax = lanes_find_argmax;
}

#endif
