/* Operations that look at one row at a time: embed, norm, gated activation, row selection, rotation.
 *
 * Bounds (u = 2^-24, half a unit in the last place of fp32):
 *   embed     0: the table's row, bit for bit (with a scale, one rounding: the same on every chip)
 *   norm      |out| u (n / 16 + 12): a sum of n squares in fp32 over at least 8 lanes errs by n / 8 roundings, its root by half of that, and a few
 *             more for mean, root, quotient and the two products; x + residual: 0
 *   gated     |out| 16 u: an exponential good to some 8 ulp, a sum, a quotient, a product; where the exponential overflows (x below -87) it may be
 *             held at 2^124 or so: |x up| 2^-124
 *   select    0: copies, and one addition
 *   rotation  9 u (|a'| + |b'|): cos and sin may differ by an ulp, each product and the sum round once; with a norm in front its bound is added
 * On chips with a narrower element type (e: its unit roundoff) these grow by the roundings allowed: embed e (2 e with a scale), norm 5 e (weight, sum,
 * quotient, result, and the mean of such), gated 2 e, select e of a sum, rotation 6 e (|a'| + |b'|) (cosine, sine, two products, sum, result). */
#include <math.h>
#include <string.h>

#include "checkchip/checkchip.h"

#define U 0x1p-24
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int32_t rows_of(const struct context *context)
{
    return context->options->quick ? 34 : 130;
}

/* ---- embed */

static void bound_embed(struct rig *rig, int32_t output, const float *expected, double *bounds)
{
    int32_t width = rig_width(rig, rig->outputs[output]);
    double unit = element_unit(rig->context) * (rig->program->ops[0].embed.scale > 1 ? 2 : 1);
    for (int64_t i = 0; i < (int64_t)rig->n_rows * width; i++)
        bounds[i] = unit * (1 + unit) * fabs((double)expected[i]) + element_least(rig->context);
}

static void check_embed_case(struct context *context, enum tensor_type type, int32_t width, float scale)
{
    struct rig rig;
    enum { VOCABULARY = 301 };
    row_begin(context, "embed", "%s, width %d, scale %g", tensor_types[type].name, width, (double)scale);
    if (!rig_open(&rig, context, rows_of(context)))
        return;
    struct op op = {.kind = OP_EMBED, .label = "embed", .embed = {.scale = scale}};
    op.embed.table = rig_weight(&rig, "table", WEIGHT_EMBEDDING, type, VOCABULARY, width, 0.5f);
    op.embed.out = rig_output(&rig, "out", width, ROWS_TOKENS);
    program_add_op(rig.builder, &op);
    for (int32_t r = 0; r < rig.n_rows; r++)
        rig.tokens[r] = r == 0 ? VOCABULARY - 1 : r == 1 ? 0 : random_below(&context->random, VOCABULARY);
    if (rig_compile(&rig, VOCABULARY))
        check_rowwise(&rig, bound_embed);
    rig_close(&rig);
}

void check_embed(struct context *context)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++)
        if (type != TENSOR_I32)
            check_embed_case(context, (enum tensor_type)type, tensor_types[type].block_elements > 32 ? 512 : 576, 1.0f);
    check_embed_case(context, TENSOR_Q8_0, 32, 1.0f);
    check_embed_case(context, TENSOR_F32, 7, 22.627417f);
    check_embed_case(context, TENSOR_Q4_1, 96, 3.1f);
}

/* ---- norm */

static double norm_bound(double value, int32_t n)
{
    return fabs(value) * U * (n / 16.0 + 12.0) + 1e-38;
}

static void bound_norm(struct rig *rig, int32_t output, const float *expected, double *bounds)
{
    int32_t width = rig_width(rig, rig->outputs[output]);
    double unit = element_unit(rig->context), least = element_least(rig->context);
    for (int64_t i = 0; i < (int64_t)rig->n_rows * width; i++)
        bounds[i] =
            output == 0 ? norm_bound((double)expected[i], width) + 5 * unit * fabs((double)expected[i]) + 2 * least : unit * fabs((double)expected[i]) + least;
}

struct norm_case {
    int32_t width;
    enum tensor_type type;
    bool residual, weight;
    float deviation;
};

static void check_norm_case(struct context *context, struct norm_case c)
{
    struct rig rig;
    row_begin(context, "norm", "%s, width %d%s%s, inputs of %g", tensor_types[c.type].name, c.width, c.residual ? ", residual" : "",
              c.weight ? "" : ", no weight", (double)c.deviation);
    if (!rig_open(&rig, context, rows_of(context)))
        return;
    struct op op = {.kind = OP_NORM, .label = "norm", .norm = {.kind = NORM_RMS, .residual = -1, .weight = -1, .epsilon = 1e-5f}};
    op.norm.x = rig_input(&rig, "x", c.width, c.deviation);
    op.norm.out = rig_output(&rig, "out", c.width, ROWS_TOKENS);
    if (c.residual) {
        op.norm.residual = rig_input(&rig, "residual", c.width, c.deviation);
        rig.outputs[rig.n_outputs++] = op.norm.x;
    }
    if (c.weight)
        op.norm.weight = rig_weight(&rig, "weight", WEIGHT_VECTOR, c.type, 1, c.width, 1.0f);
    memset(rig.values[0], 0, (size_t)c.width * sizeof(float)); /* a row of zeros: epsilon is all there is */
    program_add_op(rig.builder, &op);
    if (rig_compile(&rig, 1))
        check_rowwise(&rig, bound_norm);
    rig_close(&rig);
}

void check_norm(struct context *context)
{
    static const int32_t widths[] = {1, 5, 8, 31, 64, 576, 577, 2048, 4096};
    for (size_t i = 0; i < COUNT(widths); i++) {
        check_norm_case(context, (struct norm_case){widths[i], TENSOR_F32, false, true, 1.0f});
        check_norm_case(context, (struct norm_case){widths[i], TENSOR_F32, true, true, 1.0f});
    }
    check_norm_case(context, (struct norm_case){576, TENSOR_F32, true, false, 1.0f});
    check_norm_case(context, (struct norm_case){576, TENSOR_F16, true, true, 1.0f});
    check_norm_case(context, (struct norm_case){576, TENSOR_BF16, false, true, 1.0f});
    check_norm_case(context, (struct norm_case){576, TENSOR_F32, true, true, 300.0f});
    check_norm_case(context, (struct norm_case){576, TENSOR_F32, true, true, 1e-4f});
}

/* ---- gated activation */

static void bound_gated(struct rig *rig, int32_t output, const float *expected, double *bounds)
{
    int32_t width = rig_width(rig, rig->outputs[output]);
    for (int64_t i = 0; i < (int64_t)rig->n_rows * width; i++)
        bounds[i] = fabs((double)expected[i]) * (16 * U + 2 * element_unit(rig->context)) +
                    fabs((double)rig->values[1][i]) * (fabs((double)rig->values[0][i]) + 1) * 0x1p-124 + 1e-42 + element_least(rig->context);
}

static void check_gated_case(struct context *context, int32_t width, float deviation, int alias)
{
    static const char *const aliases[] = {"", ", out is gate", ", out is up"};
    static const float edges[] = {0.0f, -0.0f, 88.0f, -87.0f, -88.5f, -90.0f, -104.0f, 1000.0f, -1000.0f, 1e-30f, -1e-30f, 1e-42f};
    struct rig rig;
    row_begin(context, "gated", "silu, width %d, inputs of %g%s", width, (double)deviation, aliases[alias]);
    if (!rig_open(&rig, context, rows_of(context)))
        return;
    struct op op = {.kind = OP_GATED_ACTIVATION, .label = "gated", .gated = {.kind = ACTIVATION_SILU}};
    op.gated.gate = rig_input(&rig, "gate", width, deviation);
    op.gated.up = rig_input(&rig, "up", width, 1.0f);
    if (alias)
        op.gated.out = rig.outputs[rig.n_outputs++] = alias == 1 ? op.gated.gate : op.gated.up;
    else
        op.gated.out = rig_output(&rig, "out", width, ROWS_TOKENS);
    for (int32_t i = 0; i < width && i < (int32_t)COUNT(edges); i++)
        rig.values[0][i] = edges[i];
    program_add_op(rig.builder, &op);
    if (rig_compile(&rig, 1))
        check_rowwise(&rig, bound_gated);
    rig_close(&rig);
}

void check_gated(struct context *context)
{
    static const int32_t widths[] = {1, 7, 16, 33, 1536, 1537};
    for (size_t i = 0; i < COUNT(widths); i++)
        check_gated_case(context, widths[i], 2.0f, 0);
    check_gated_case(context, 1536, 30.0f, 0);
    check_gated_case(context, 128, 1e-3f, 0);
    check_gated_case(context, 1536, 2.0f, 1);
    check_gated_case(context, 1536, 2.0f, 2);
}

/* ---- row selection: it makes logit rows, so it is run by hand. The expected rows are exact and need no reference. */

static void check_select_rows(struct rig *rig, int32_t width, bool residual, enum rig_plan which)
{
    static struct stepper stepper;
    static const int32_t counts[] = {0, 1, 2, 5, 17};
    float *found = rig_floats(rig, (int64_t)rig->n_rows * width), *expected = rig_floats(rig, (int64_t)rig->n_rows * width);
    double *bounds = rig_doubles(rig, (int64_t)rig->n_rows * width), unit = residual && which != PLAN_REFERENCE ? element_unit(rig->context) : 0;
    for (size_t c = 0; c < COUNT(counts); c++) {
        stepper_init(&stepper);
        stepper_add(&stepper, 0, rig->n_rows, rig->tokens, NULL, 0);
        for (int32_t l = 0; l < counts[c]; l++) {
            int32_t row = counts[c] == 1 ? rig->n_rows - 1 : l * (rig->n_rows - 1) / (counts[c] - 1);
            stepper_want(&stepper, row, 0);
            for (int32_t i = 0; i < width; i++) {
                float x = rig->values[0][(int64_t)row * width + i];
                expected[(int64_t)l * width + i] = residual ? x + rig->values[1][(int64_t)row * width + i] : x;
                bounds[(int64_t)l * width + i] = unit * fabs((double)expected[(int64_t)l * width + i]) + (unit > 0 ? element_least(rig->context) : 0);
            }
        }
        for (int32_t i = 0; i < rig->n_inputs; i++)
            if (!rig_write(rig, which, rig->inputs[i], rig->n_rows, rig->values[i]))
                return;
        if (!rig_step(rig, which, &stepper.step, NULL) || !rig_read(rig, which, rig->outputs[0], counts[c], found) ||
            !compare_values(rig->context, "selected rows", expected, found, unit > 0 ? bounds : NULL, (int64_t)counts[c] * width, width))
            return;
    }
}

static void check_select_case(struct context *context, int32_t width, bool residual)
{
    struct rig rig;
    row_begin(context, "select", "width %d%s", width, residual ? ", residual" : "");
    if (!rig_open(&rig, context, rows_of(context)))
        return;
    struct op op = {.kind = OP_SELECT_ROWS, .label = "select", .select_rows = {.residual = -1}};
    op.select_rows.x = rig_input(&rig, "x", width, 1.0f);
    if (residual)
        op.select_rows.residual = rig_input(&rig, "residual", width, 1.0f);
    op.select_rows.out = rig_output(&rig, "out", width, ROWS_LOGITS);
    program_add_op(rig.builder, &op);
    if (rig_compile(&rig, 1)) {
        for (enum rig_plan which = PLAN_REFERENCE; which < RIG_PLANS && !context->failed; which++)
            if (rig.plans[which])
                check_select_rows(&rig, width, residual, which);
        row_end(context);
    }
    rig_close(&rig);
}

void check_select(struct context *context)
{
    check_select_case(context, 576, false);
    check_select_case(context, 576, true);
    check_select_case(context, 3, true);
}

/* ---- rotation: what it does to the query. Keys and values are seen through attention (check_attention.c). */

static void bound_rope(struct rig *rig, int32_t output, const float *expected, double *bounds)
{
    const struct op_rope_cache *rope = &rig->program->ops[0].rope_cache;
    int32_t head_width = rig->program->groups[0].streams[CACHE_KEYS].width, width = rope->n_heads * head_width, half = rope->rotary_width / 2;
    (void)output;
    for (int64_t i = 0; i < (int64_t)rig->n_rows * width; i++) {
        int64_t head = i / head_width * head_width;
        int32_t e = (int32_t)(i - head);
        bool rotated = e < rope->rotary_width;
        int64_t pair = rope->pairing == ROPE_ADJACENT ? head + (e ^ 1) : head + (e < half ? e + half : e - half);
        double reach = fabs((double)expected[i]) + (rotated ? fabs((double)expected[pair]) : 0); /* at least the length of (a, b) */
        double unit = element_unit(rig->context);
        bounds[i] = rotated ? (9 * U + 6 * unit) * reach : 0;
        if (rope->query_norm >= 0)
            bounds[i] += norm_bound(reach, head_width) + 4 * unit * reach;
        bounds[i] += 4 * element_least(rig->context);
    }
}

struct rope_case {
    int32_t n_heads, n_kv_heads, head_width, rotary_width;
    enum rope_pairing pairing;
    bool norms;
    float magnitude;
};

static void check_rope_case(struct context *context, const struct rope_case *c)
{
    struct rig rig;
    row_begin(context, "rope", "%d/%d heads of %d, %d rotated, %s%s, magnitude %g", c->n_heads, c->n_kv_heads, c->head_width, c->rotary_width,
              c->pairing == ROPE_HALVES ? "halves" : "adjacent", c->norms ? ", norms" : "", (double)c->magnitude);
    if (!rig_open(&rig, context, rows_of(context)))
        return;
    struct program_cache_group group = {
        .name = "cache", .kind = CACHE_FULL_ATTENTION, .n_layers = 1, ATTENTION_STREAMS(c->n_kv_heads, c->head_width, c->head_width)};
    struct op op = {.kind = OP_ROPE_CACHE,
                    .label = "rope",
                    .rope_cache = {.query_norm = -1,
                                   .key_norm = -1,
                                   .norm_epsilon = 1e-6f,
                                   .n_heads = c->n_heads,
                                   .rotary_width = c->rotary_width,
                                   .pairing = c->pairing,
                                   .magnitude = c->magnitude}};
    double *frequencies = rig_doubles(&rig, c->rotary_width / 2);
    for (int32_t i = 0; i < c->rotary_width / 2; i++)
        frequencies[i] = pow(100000.0, -2.0 * i / c->rotary_width);
    op.rope_cache.frequencies = frequencies;
    op.rope_cache.query = rig_input(&rig, "query", c->n_heads * c->head_width, 1.0f);
    op.rope_cache.key = rig_input(&rig, "key", c->n_kv_heads * c->head_width, 1.0f);
    op.rope_cache.value = rig_input(&rig, "value", c->n_kv_heads * c->head_width, 1.0f);
    rig.outputs[rig.n_outputs++] = op.rope_cache.query;
    if (c->norms) {
        op.rope_cache.query_norm = rig_weight(&rig, "query norm", WEIGHT_VECTOR, TENSOR_F32, 1, c->head_width, 1.0f);
        op.rope_cache.key_norm = rig_weight(&rig, "key norm", WEIGHT_VECTOR, TENSOR_F32, 1, c->head_width, 1.0f);
    }
    op.rope_cache.group = program_add_group(rig.builder, &group);
    program_add_op(rig.builder, &op);
    rig.limits.n_blocks[0] = rig.n_rows + 1;
    if (rig_compile(&rig, 1))
        check_rowwise(&rig, bound_rope);
    rig_close(&rig);
}

void check_rope(struct context *context)
{
    static const struct rope_case cases[] = {
        {9, 3, 64, 64, ROPE_ADJACENT, false, 1.0f}, {9, 3, 64, 64, ROPE_HALVES, false, 1.0f},  {8, 2, 128, 128, ROPE_HALVES, true, 1.0f},
        {4, 4, 80, 32, ROPE_HALVES, false, 1.2f},   {4, 1, 96, 24, ROPE_ADJACENT, true, 0.8f}, {2, 1, 6, 2, ROPE_HALVES, false, 1.0f},
        {2, 2, 16, 0, ROPE_HALVES, false, 1.0f},    {3, 1, 10, 6, ROPE_ADJACENT, false, 1.0f},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check_rope_case(context, &cases[i]);
}
