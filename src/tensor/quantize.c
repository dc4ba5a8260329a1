/* Quantisers of the formats of 256 elements (Q2_K to Q6_K). These formats say how a block is read, not how it is best made; here each block is made to have a
 * small sum of squared errors:
 *
 *   1. Each group of 16 or 32 elements is fitted alone, x = scale q [- minimum]: for some twenty guesses of the scale the quants are rounded and the best scale
 *      (and minimum) for these quants is solved for by least squares; the guess that explains most wins, and is refined by rounding again.
 *   2. The groups' scales and minima become small integers times the block's d and m; for each group the integers beside the rounded ones are tried too.
 *   3. d and m are solved for by least squares over the whole block, and the quants rounded a last time; kept where that is better.
 *
 * Sums over elements run in four lanes, joined in a fixed order: the same bytes everywhere. NaN gives some block. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "tensor/block_formats.h"
#include "tensor/half.h"

enum { MOST_GROUPS = 16, LANES = 4, GUESSES = 5, REFINEMENTS = 3 };

/* How a format codes its groups. */
struct group_format {
    int elements;     /* of a group */
    float most_quant; /* quants are 0 .. most_quant; without minima they stand for q - half */
    float half;       /* 0: with minima */
    int least_scale;  /* scales are least_scale .. most_scale, minima 0 .. most_scale */
    int most_scale;
};

static const struct group_format q2_k = {16, 3, 0, 0, 15}, q3_k = {16, 7, 4, -32, 31}, q4_k = {32, 15, 0, 0, 63}, q5_k = {32, 31, 0, 0, 63},
                                 q6_k = {16, 63, 32, -128, 127};

/* A block on its way: x[i] is coded as d scales[g] (quants[i] - half) - m minima[g]. */
struct coded_block {
    float d, m; /* exact in binary16 */
    int scales[MOST_GROUPS];
    int minima[MOST_GROUPS];
    float quants[BLOCK_LARGE];
};

/* ---- one group ---- */

/* Four lanes at once: an extension of gcc and clang. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lane_words __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline lanes load_lanes(const float *source)
{
    lanes loaded;
    memcpy(&loaded, source, sizeof loaded);
    return loaded;
}

static inline double join_lanes(lanes sums)
{
    return ((double)sums[0] + (double)sums[2]) + ((double)sums[1] + (double)sums[3]);
}

/* (x + shift) * inverse, rounded to whole numbers and limited to 0 .. most; NaN gives 0. Quants stay floats: exact. */
static inline lanes round_lanes(lanes x, float shift, float inverse, float most)
{
    lanes quants = (x + shift) * inverse + 0.5f;
    quants = (lanes)((lane_words)quants & (quants > 0.0f));
    lane_words is_less = quants < most;
    quants = (lanes)(((lane_words)quants & is_less) | ((lane_words)(quants * 0.0f + most) & ~is_less));
    return __builtin_convertvector(__builtin_convertvector(quants, lane_words), lanes);
}

struct sums {
    double x, xq; /* of x, x q */
    double q, qq; /* whole numbers */
};

/* Of the quants of a guess. */
static struct sums sum_guess(const float *x, int n, float shift, float inverse, float most, float half)
{
    lanes sums_x = {0}, sums_xq = {0}, sums_q = {0}, sums_qq = {0};
    for (int i = 0; i < n; i += LANES) {
        lanes values = load_lanes(x + i), quants = round_lanes(values, shift, inverse, most) - half;
        sums_x += values;
        sums_xq += values * quants;
        sums_q += quants;
        sums_qq += quants * quants;
    }
    return (struct sums){join_lanes(sums_x), join_lanes(sums_xq), join_lanes(sums_q), join_lanes(sums_qq)};
}

struct group_fit {
    float scale, minimum; /* minimum at least 0 */
    double explained;     /* by how much the squared error is below that of all zeros */
};

/* The best scale and minimum for given quants. */
static struct group_fit solve(const struct sums *sums, int n, bool has_minimum)
{
    double scale = sums->qq > 0 ? sums->xq / sums->qq : 0, offset = 0;
    double determinant = n * sums->qq - sums->q * sums->q;
    if (has_minimum && determinant > 0) {
        double with_offset = (n * sums->xq - sums->x * sums->q) / determinant;
        offset = (sums->x - with_offset * sums->q) / n;
        scale = offset < 0 ? with_offset : scale;
        offset = offset < 0 ? offset : 0; /* a minimum is subtracted, never added */
    }
    double explained = scale * (2 * sums->xq - scale * sums->qq - 2 * offset * sums->q) + offset * (2 * sums->x - n * offset);
    return (struct group_fit){(float)scale, (float)-offset, explained};
}

static bool try_guess(const float *x, const struct group_format *format, float shift, float inverse, struct group_fit *best)
{
    struct sums sums = sum_guess(x, format->elements, shift, inverse, format->most_quant, format->half);
    struct group_fit fit = solve(&sums, format->elements, !(format->half > 0.0f));
    if (!(fit.explained > best->explained) || (!(format->half > 0.0f) && fit.scale < 0.0f))
        return false;
    *best = fit;
    return true;
}

static struct group_fit fit_with_minimum(const float *x, const struct group_format *format)
{
    float least = 0.0f, most = x[0];
    for (int i = 0; i < format->elements; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    struct group_fit best = {0.0f, -least, -DBL_MAX};
    if (!(most > least) || !isfinite(most - least))
        return best;
    for (int guess = -GUESSES; guess <= GUESSES; guess++)
        try_guess(x, format, -least, (format->most_quant + 0.2f * (float)guess) / (most - least), &best);
    for (int i = 0; i < REFINEMENTS && best.scale > 0.0f; i++)
        if (!try_guess(x, format, best.minimum, 1.0f / best.scale, &best))
            break;
    return best;
}

/* The extreme becomes the quant that is farthest from 0, -half, so the scale may be negative. */
static struct group_fit fit_symmetric(const float *x, const struct group_format *format)
{
    float extreme = 0.0f, half = format->half;
    for (int i = 0; i < format->elements; i++)
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    struct group_fit best = {0.0f, 0.0f, 0.0};
    if (extreme == 0.0f || !isfinite(extreme))
        return best;
    for (int guess = -GUESSES; guess <= GUESSES; guess++) {
        float scale = extreme / -(half + 0.2f * (float)guess);
        try_guess(x, format, half * scale, 1.0f / scale, &best);
    }
    for (int i = 0; i < REFINEMENTS && best.scale != 0.0f; i++)
        if (!try_guess(x, format, half * best.scale, 1.0f / best.scale, &best))
            break;
    return best;
}

/* ---- the block ---- */

/* Rounds a group's quants for the scales that the block now has; returns the squared error. */
static double code_group(const float *x, const struct group_format *format, const struct coded_block *block, int scale, int minimum, float *quants)
{
    float group_scale = block->d * (float)scale, group_minimum = block->m * (float)minimum;
    float inverse = group_scale != 0.0f ? 1.0f / group_scale : 0.0f;
    float shift = format->half > 0.0f ? format->half * group_scale : group_minimum;
    if (!isfinite(inverse))
        shift = inverse = 0.0f;
    lanes errors = {0};
    for (int i = 0; i < format->elements; i += LANES) {
        lanes values = load_lanes(x + i), rounded = round_lanes(values, shift, inverse, format->most_quant);
        lanes error = values - (group_scale * (rounded - format->half) - group_minimum);
        errors += error * error;
        memcpy(quants + i, &rounded, sizeof rounded);
    }
    return join_lanes(errors);
}

static int limit_whole(float value, int least, int most)
{
    float rounded = roundf(value);
    return rounded >= (float)most ? most : rounded > (float)least ? (int)rounded : least;
}

/* The integers beside the rounded ones, too. Returns the squared error. */
static double choose_scales(const float *x, const struct group_format *format, struct coded_block *block, int g, const struct group_fit *fit)
{
    int scale = limit_whole(block->d != 0.0f ? fit->scale / block->d : 0.0f, format->least_scale, format->most_scale);
    int minimum = limit_whole(block->m != 0.0f ? fit->minimum / block->m : 0.0f, 0, format->most_scale);
    double best = DBL_MAX;
    float quants[32];
    for (int s = scale - 1; s <= scale + 1; s++) {
        for (int m = format->half > 0.0f ? minimum : minimum - 1; m <= (format->half > 0.0f ? minimum : minimum + 1); m++) {
            if (s < format->least_scale || s > format->most_scale || m < 0 || m > format->most_scale)
                continue;
            double error = code_group(x, format, block, s, m, quants);
            if (!(error < best) && best < DBL_MAX)
                continue;
            best = error;
            block->scales[g] = s;
            block->minima[g] = m;
            memcpy(block->quants + g * format->elements, quants, (size_t)format->elements * sizeof *quants);
        }
    }
    return best;
}

static struct sums sum_coded(const float *x, const float *coded, int n, float half)
{
    lanes sums_x = {0}, sums_xq = {0}, sums_q = {0}, sums_qq = {0};
    for (int i = 0; i < n; i += LANES) {
        lanes values = load_lanes(x + i), quants = load_lanes(coded + i) - half;
        sums_x += values;
        sums_xq += values * quants;
        sums_q += quants;
        sums_qq += quants * quants;
    }
    return (struct sums){join_lanes(sums_x), join_lanes(sums_xq), join_lanes(sums_q), join_lanes(sums_qq)};
}

/* d and m for the block's quants, scales and minima: x = d (scale q) - m minimum by least squares. False: they are not determined. */
static bool solve_block(const float *x, const struct group_format *format, const struct coded_block *block, float *d, float *m)
{
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int g = 0; g < BLOCK_LARGE / format->elements; g++) {
        const float *group = x + g * format->elements, *quants = block->quants + g * format->elements;
        struct sums sums = sum_coded(group, quants, format->elements, format->half);
        double scale = block->scales[g], minimum = block->minima[g];
        aa += scale * scale * sums.qq;
        ab -= scale * minimum * sums.q;
        bb += minimum * minimum * format->elements;
        xa += scale * sums.xq;
        xb -= minimum * sums.x;
    }
    double determinant = aa * bb - ab * ab;
    if (bb > 0 && determinant > 1e-6 * aa * bb) {
        *d = (float)((xa * bb - xb * ab) / determinant);
        *m = (float)((xb * aa - xa * ab) / determinant);
    } else if (aa > 0 && !(bb > 0)) {
        *d = (float)(xa / aa);
        *m = block->m;
    } else {
        return false;
    }
    return isfinite(*d) && isfinite(*m) && *m >= 0.0f && (format->half > 0.0f || *d >= 0.0f);
}

static float round_to_half(float value)
{
    return f16_to_float(float_to_f16(value));
}

static void refine_block(const float *x, const struct group_format *format, struct coded_block *block, double error)
{
    struct coded_block refined = *block;
    for (int i = 0; i < REFINEMENTS && solve_block(x, format, &refined, &refined.d, &refined.m); i++) {
        double refined_error = 0;
        refined.d = round_to_half(refined.d);
        refined.m = round_to_half(refined.m);
        for (int g = 0; g < BLOCK_LARGE / format->elements; g++)
            refined_error +=
                code_group(x + g * format->elements, format, &refined, refined.scales[g], refined.minima[g], refined.quants + g * format->elements);
        if (!(refined_error < error))
            return;
        error = refined_error;
        *block = refined;
    }
}

static void code_block(const float *x, const struct group_format *format, struct coded_block *block)
{
    struct group_fit fits[MOST_GROUPS];
    float scale = 0.0f, minimum = 0.0f;
    double error = 0;
    *block = (struct coded_block){0};
    for (int g = 0; g < BLOCK_LARGE / format->elements; g++) {
        const float *group = x + g * format->elements;
        fits[g] = format->half > 0.0f ? fit_symmetric(group, format) : fit_with_minimum(group, format);
        scale = fabsf(fits[g].scale) > fabsf(scale) ? fits[g].scale : scale;
        minimum = fits[g].minimum > minimum ? fits[g].minimum : minimum;
    }
    block->d = round_to_half(scale / (float)(format->half > 0.0f ? format->least_scale : format->most_scale));
    block->m = round_to_half(minimum / (float)format->most_scale);
    for (int g = 0; g < BLOCK_LARGE / format->elements; g++)
        error += choose_scales(x + g * format->elements, format, block, g, &fits[g]);
    refine_block(x, format, block, error);
}

/* ---- packing: the drawings of block_formats.h the other way round ---- */

static void store_quants(const struct coded_block *coded, uint8_t quants[BLOCK_LARGE])
{
    for (size_t i = 0; i < BLOCK_LARGE; i++)
        quants[i] = (uint8_t)coded->quants[i];
}

/* Two bits of each quant as Q2_K and Q3_K have them. */
static void pack_two_bits(const uint8_t quants[BLOCK_LARGE], uint8_t packed[64])
{
    memset(packed, 0, 64);
    for (size_t i = 0; i < BLOCK_LARGE; i++)
        packed[i / 128 * 32 + i % 32] |= (uint8_t)((quants[i] & 3) << (i % 128 / 32 * 2));
}

static void pack_four_bits(const uint8_t quants[BLOCK_LARGE], uint8_t packed[128])
{
    for (size_t i = 0; i < 128; i++)
        packed[i] = (uint8_t)((quants[i / 32 * 64 + i % 32] & 15) | (quants[i / 32 * 64 + 32 + i % 32] & 15) << 4);
}

static void pack_scales_minima(const struct coded_block *coded, uint8_t scales[12])
{
    for (int g = 0; g < 4; g++) {
        int scale = coded->scales[g + 4], minimum = coded->minima[g + 4];
        scales[g] = (uint8_t)(coded->scales[g] | scale >> 4 << 6);
        scales[g + 4] = (uint8_t)(coded->minima[g] | minimum >> 4 << 6);
        scales[g + 8] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
    }
}

void block_q2_k_from_float(const float *source, void *destination, size_t n)
{
    struct block_q2_k *blocks = destination;
    struct coded_block coded;
    uint8_t quants[BLOCK_LARGE];
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        code_block(source + b * BLOCK_LARGE, &q2_k, &coded);
        store_quants(&coded, quants);
        blocks[b].scale = float_to_f16(coded.d);
        blocks[b].minimum = float_to_f16(coded.m);
        for (int g = 0; g < 16; g++)
            blocks[b].scales[g] = (uint8_t)(coded.scales[g] | coded.minima[g] << 4);
        pack_two_bits(quants, blocks[b].quants);
    }
}

void block_q3_k_from_float(const float *source, void *destination, size_t n)
{
    struct block_q3_k *blocks = destination;
    struct coded_block coded;
    uint8_t quants[BLOCK_LARGE];
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        code_block(source + b * BLOCK_LARGE, &q3_k, &coded);
        store_quants(&coded, quants);
        memset(&blocks[b], 0, sizeof blocks[b]);
        blocks[b].scale = float_to_f16(coded.d);
        for (int g = 0; g < 16; g++) {
            int scale = coded.scales[g] + 32;
            blocks[b].scales[g % 8] |= (uint8_t)((scale & 15) << (g / 8 * 4));
            blocks[b].scales[8 + g % 4] |= (uint8_t)(scale >> 4 << (g / 4 * 2));
        }
        pack_two_bits(quants, blocks[b].quants);
        for (size_t i = 0; i < BLOCK_LARGE; i++)
            blocks[b].high_bits[i % 32] |= (uint8_t)(quants[i] >> 2 << (i / 32));
    }
}

void block_q4_k_from_float(const float *source, void *destination, size_t n)
{
    struct block_q4_k *blocks = destination;
    struct coded_block coded;
    uint8_t quants[BLOCK_LARGE];
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        code_block(source + b * BLOCK_LARGE, &q4_k, &coded);
        store_quants(&coded, quants);
        blocks[b].scale = float_to_f16(coded.d);
        blocks[b].minimum = float_to_f16(coded.m);
        pack_scales_minima(&coded, blocks[b].scales);
        pack_four_bits(quants, blocks[b].quants);
    }
}

void block_q5_k_from_float(const float *source, void *destination, size_t n)
{
    struct block_q5_k *blocks = destination;
    struct coded_block coded;
    uint8_t quants[BLOCK_LARGE];
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        code_block(source + b * BLOCK_LARGE, &q5_k, &coded);
        store_quants(&coded, quants);
        blocks[b].scale = float_to_f16(coded.d);
        blocks[b].minimum = float_to_f16(coded.m);
        pack_scales_minima(&coded, blocks[b].scales);
        pack_four_bits(quants, blocks[b].quants);
        memset(blocks[b].high_bits, 0, sizeof blocks[b].high_bits);
        for (size_t i = 0; i < BLOCK_LARGE; i++)
            blocks[b].high_bits[i % 32] |= (uint8_t)(quants[i] >> 4 << (i / 32));
    }
}

void block_q6_k_from_float(const float *source, void *destination, size_t n)
{
    struct block_q6_k *blocks = destination;
    struct coded_block coded;
    uint8_t quants[BLOCK_LARGE];
    for (size_t b = 0; b < n / BLOCK_LARGE; b++) {
        code_block(source + b * BLOCK_LARGE, &q6_k, &coded);
        store_quants(&coded, quants);
        memset(&blocks[b], 0, sizeof blocks[b]);
        blocks[b].scale = float_to_f16(coded.d);
        for (int g = 0; g < 16; g++)
            blocks[b].scales[g] = (int8_t)coded.scales[g];
        for (size_t i = 0; i < BLOCK_LARGE; i++) {
            size_t half = i / 128, part = i % 128 / 32, j = i % 32;
            blocks[b].low_bits[half * 64 + part % 2 * 32 + j] |= (uint8_t)((quants[i] & 15) << (part / 2 * 4));
            blocks[b].high_bits[half * 32 + j] |= (uint8_t)(quants[i] >> 4 << (part * 2));
        }
    }
}
