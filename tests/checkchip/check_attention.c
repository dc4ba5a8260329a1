/* Attention over the paged cache, with the writing of keys and values in front of it, and the cache's edits.
 *
 * Bound. The cache type is the same on both chips, so keys and values are the same but where a rotated key lies next to a rounding boundary. A score errs by
 *   d = |scale| (u (sqrt(key_width) + 8) |q| |k| + flip max|q| max|k|) + 8 u,   u = 2^-24,
 * flip = one unit of the cache type (2^-10 for f16, 2^-7 for bf16, 2^-22 for f32) where keys are rotated or normalised, else 0; 8 u for the exponential.
 * The output is a mean of values with weights that err by 2 d at most:  4 d max|v| + u (sqrt(length) + 16) max|v|.
 *
 * A narrower element type (e: its unit roundoff) adds to d the roundings of rotated query and key, |scale| 12 e |q| |k|, and to the output those of values,
 * weights and result, 6 e max|v|.
 *
 * Bits (chips that promise them): the same sequence in chunks of any size, in other blocks, beside other sequences, with NaN in every element of the cache
 * that was not written for it, with one and two workers. */
#include <math.h>
#include <string.h>

#include "checkchip/checkchip.h"

#define U 0x1p-24
#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SPARE_BLOCKS 6

struct attention_case {
    int32_t n_heads, n_kv_heads, key_width, value_width, rotary_width;
    int32_t length, window;
    int32_t block_tokens; /* 0: the chip's preference */
    int cache_type;       /* -1: the chip's preference */
    bool sliding;         /* a cache group of the window only: block-table entries before it are -1 */
    bool norms;
};

struct attention_rig {
    struct rig rig;
    struct attention_case c;
    int32_t n_blocks;
    int32_t width[3]; /* of query, key, value rows */
    int32_t out, out_width;
    float *rows[3];  /* inputs of a step under construction, [max_tokens, width] */
    float *out_rows; /* its output */
};

/* ---- Building. */

static void add_ops(struct attention_rig *a)
{
    struct rig *rig = &a->rig;
    const struct attention_case *c = &a->c;
    struct program_cache_group group = {.name = "cache",
                                        .kind = c->sliding ? CACHE_SLIDING_WINDOW : CACHE_FULL_ATTENTION,
                                        .window = c->sliding ? c->window : 0,
                                        .n_layers = 2,
                                        ATTENTION_STREAMS(c->n_kv_heads, c->key_width, c->value_width)};
    struct op rope = {.kind = OP_ROPE_CACHE,
                      .label = "rope and cache",
                      .rope_cache = {.query_norm = -1,
                                     .key_norm = -1,
                                     .norm_epsilon = 1e-6f,
                                     .n_heads = c->n_heads,
                                     .rotary_width = c->rotary_width,
                                     .pairing = c->key_width % 3 ? ROPE_HALVES : ROPE_ADJACENT,
                                     .magnitude = 1.0f,
                                     .layer = 1}};
    double *frequencies = rig_doubles(rig, c->rotary_width / 2);
    for (int32_t i = 0; i < c->rotary_width / 2; i++)
        frequencies[i] = pow(10000.0, -2.0 * i / c->rotary_width);
    rope.rope_cache.frequencies = frequencies;
    a->width[0] = c->n_heads * c->key_width;
    a->width[1] = c->n_kv_heads * c->key_width;
    a->width[2] = c->n_kv_heads * c->value_width;
    a->out_width = c->n_heads * c->value_width;
    rope.rope_cache.query = rig_input(rig, "query", a->width[0], 1.0f);
    rope.rope_cache.key = rig_input(rig, "key", a->width[1], 1.0f);
    rope.rope_cache.value = rig_input(rig, "value", a->width[2], 1.0f);
    if (c->norms) {
        rope.rope_cache.query_norm = rig_weight(rig, "query norm", WEIGHT_VECTOR, TENSOR_F32, 1, c->key_width, 1.0f);
        rope.rope_cache.key_norm = rig_weight(rig, "key norm", WEIGHT_VECTOR, TENSOR_F32, 1, c->key_width, 1.0f);
    }
    rope.rope_cache.group = program_add_group(rig->builder, &group);
    program_add_op(rig->builder, &rope);
    a->out = rig_output(rig, "out", a->out_width, ROWS_TOKENS);
    struct op attention = {.kind = OP_ATTENTION,
                           .label = "attention",
                           .attention = {.query = rope.rope_cache.query,
                                         .out = a->out,
                                         .n_heads = c->n_heads,
                                         .scale = 1.0f / sqrtf((float)c->key_width),
                                         .window = c->window,
                                         .group = rope.rope_cache.group,
                                         .layer = 1}};
    program_add_op(rig->builder, &attention);
}

static bool open_attention(struct attention_rig *a, struct context *context, const struct attention_case *c)
{
    *a = (struct attention_rig){.c = *c};
    if (!rig_open(&a->rig, context, c->length))
        return false;
    struct plan_limits *limits = &a->rig.limits;
    if (c->block_tokens)
        limits->block_tokens = c->block_tokens;
    if (c->cache_type >= 0)
        limits->cache_type = (enum tensor_type)c->cache_type;
    a->n_blocks = (c->length + limits->block_tokens - 1) / limits->block_tokens + SPARE_BLOCKS;
    limits->n_blocks[0] = a->n_blocks;
    limits->max_tokens = c->length + 8;
    limits->max_context = a->n_blocks * limits->block_tokens;
    add_ops(a);
    for (int i = 0; i < 3; i++)
        a->rows[i] = rig_floats(&a->rig, (int64_t)limits->max_tokens * a->width[i]);
    a->out_rows = rig_floats(&a->rig, (int64_t)limits->max_tokens * a->out_width);
    if (rig_compile(&a->rig, 1))
        return true;
    rig_close(&a->rig);
    return false;
}

/* ---- Running. */

static bool run_step(struct attention_rig *a, enum rig_plan which, const struct step *step)
{
    for (int i = 0; i < 3; i++)
        if (!rig_write(&a->rig, which, a->rig.inputs[i], step->n_tokens, a->rows[i]))
            return false;
    return rig_step(&a->rig, which, step, NULL) && rig_read(&a->rig, which, a->out, step->n_tokens, a->out_rows);
}

static void put_rows(struct attention_rig *a, int32_t at, int32_t position, int32_t n)
{
    for (int i = 0; i < 3; i++)
        memcpy(a->rows[i] + (int64_t)at * a->width[i], a->rig.values[i] + (int64_t)position * a->width[i], (size_t)n * (size_t)a->width[i] * sizeof(float));
}

/* Runs the whole sequence in chunks (a cyclic list), where wanted beside companions (other sequences in the last two blocks of the table).
 * out: [length, out_width]. */
static bool run_chunks(struct attention_rig *a, enum rig_plan which, const int32_t *chunks, int32_t n_chunks, const int32_t *table, bool companions, float *out)
{
    static struct stepper stepper;
    int32_t bt = a->rig.limits.block_tokens, entries[STEPPER_BLOCKS];
    for (int32_t position = 0, c = 0; position < a->c.length; c++) {
        int32_t n = chunks[c % n_chunks] < a->c.length - position ? chunks[c % n_chunks] : a->c.length - position, at = 0;
        stepper_init(&stepper);
        for (int32_t i = 0; i < a->n_blocks; i++)
            entries[i] = a->c.sliding && (i + 1) * bt <= position - a->c.window + 1 ? -1 : table[i];
        if (companions) {
            at = 1 + c % (bt < 3 ? bt : 3);
            put_rows(a, 0, a->c.length / 2, at); /* other rows at positions 0.. */
            stepper_add(&stepper, 0, at, NULL, &table[a->n_blocks - 1], 1);
        }
        put_rows(a, at, position, n);
        stepper_add(&stepper, position, n, NULL, entries, (position + n + bt - 1) / bt);
        if (companions) {
            put_rows(a, at + n, a->c.length / 3, 1);
            stepper_add(&stepper, 0, 1, NULL, &table[a->n_blocks - 2], 1);
        }
        if (!run_step(a, which, &stepper.step))
            return false;
        memcpy(out + (int64_t)position * a->out_width, a->out_rows + (int64_t)at * a->out_width, (size_t)n * (size_t)a->out_width * sizeof(float));
        position += n;
    }
    return true;
}

/* NaN in every key and value of every block: each is for a moment a sequence of its own, which costs least. */
static bool poison(struct attention_rig *a, enum rig_plan which)
{
    static struct stepper stepper;
    int32_t bt = a->rig.limits.block_tokens, most = a->rig.limits.max_tokens;
    for (int i = 0; i < 3; i++)
        for (int64_t j = 0; j < (int64_t)most * a->width[i]; j++)
            a->rows[i][j] = NAN;
    for (int32_t block = 0; block < a->n_blocks; block++)
        for (int32_t position = 0; position < bt; position += most) {
            stepper_init(&stepper);
            stepper_add(&stepper, position, bt - position < most ? bt - position : most, NULL, &block, 1);
            if (!run_step(a, which, &stepper.step))
                return false;
        }
    return true;
}

/* ---- Comparing. */

static double largest(const float *values, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)values[i]));
    return most;
}

static double largest_length(const float *values, int64_t n_vectors, int32_t width)
{
    double most = 0;
    for (int64_t v = 0; v < n_vectors; v++) {
        double squares = 0;
        for (int32_t i = 0; i < width; i++)
            squares += (double)values[v * width + i] * (double)values[v * width + i];
        most = fmax(most, squares);
    }
    return sqrt(most);
}

static void bound_attention(struct attention_rig *a, double *bounds)
{
    const struct attention_case *c = &a->c;
    int64_t rows = c->length;
    enum tensor_type cache = a->rig.limits.cache_type;
    double q = largest(a->rig.values[0], rows * a->width[0]), k = largest(a->rig.values[1], rows * a->width[1]),
           v = largest(a->rig.values[2], rows * a->width[2]);
    double q_length = largest_length(a->rig.values[0], rows * c->n_heads, c->key_width),
           k_length = largest_length(a->rig.values[1], rows * c->n_kv_heads, c->key_width);
    if (c->norms) { /* each head has length sqrt(width) before its weights, which stay below 4 */
        q = k = 4 * sqrt((double)c->key_width);
        q_length = k_length = 4 * sqrt((double)c->key_width);
    }
    double flip = !c->rotary_width && !c->norms ? 0 : cache == TENSOR_F16 ? 0x1p-10 : cache == TENSOR_BF16 ? 0x1p-7 : 0x1p-22;
    double d = (U * (sqrt((double)c->key_width) + 8) * q_length * k_length + flip * q * k) / sqrt((double)c->key_width) + 8 * U;
    double unit = element_unit(a->rig.context);
    d += 12 * unit * q_length * k_length / sqrt((double)c->key_width);
    for (int64_t i = 0; i < rows * a->out_width; i++)
        bounds[i] = 4 * d * v + (U * (sqrt((double)rows) + 16) + 6 * unit) * v;
}

struct variant {
    const char *name;
    int32_t chunks[5], n_chunks;
    bool permuted, poisoned, companions;
    int32_t longest; /* skipped beyond this length when quick */
};

static const struct variant variants[] = {
    {"in other blocks, poisoned", {1 << 20}, 1, true, true, false, 1 << 20},
    {"token by token", {1}, 1, true, true, false, 80},
    {"in chunks of 7, 64, 1, 33, 2", {7, 64, 1, 33, 2}, 5, true, true, false, 1 << 20},
    {"in chunks of 16 beside others", {16}, 1, true, true, true, 300},
    {"in chunks of 1, 5, 130 beside others", {1, 5, 130}, 3, false, false, true, 1 << 20},
};

static void check_variant(struct attention_rig *a, const struct variant *variant, const float *whole, const double *bounds, float *out)
{
    struct context *context = a->rig.context;
    int32_t table[STEPPER_BLOCKS];
    if (context->options->quick && a->c.length > variant->longest)
        return;
    for (int32_t i = 0; i < a->n_blocks; i++)
        table[i] = i;
    for (int32_t i = a->n_blocks - 1; variant->permuted && i > 0; i--) {
        int32_t j = random_below(&context->random, i + 1), swapped = table[i];
        table[i] = table[j];
        table[j] = swapped;
    }
    if (variant->poisoned && !poison(a, PLAN_TESTED))
        return;
    if (run_chunks(a, PLAN_TESTED, variant->chunks, variant->n_chunks, table, variant->companions, out))
        compare_values(context, variant->name, whole, out, promises_bits(context) ? NULL : bounds, (int64_t)a->c.length * a->out_width, a->out_width);
}

static void check_attention_case(struct context *context, const struct attention_case *c)
{
    static const int32_t all[] = {1 << 20};
    struct attention_rig a;
    int32_t table[STEPPER_BLOCKS];
    enum tensor_type cache = c->cache_type >= 0 ? (enum tensor_type)c->cache_type : context->description.cache_type;
    row_begin(context, "attention", "%d/%d heads of %d/%d, %d tokens, window %d%s, %s%s, blocks %d", c->n_heads, c->n_kv_heads, c->key_width, c->value_width,
              c->length, c->window, c->sliding ? " kept" : "", tensor_types[cache].name, c->norms ? ", norms" : "",
              c->block_tokens ? c->block_tokens : context->description.block_tokens);
    if (!open_attention(&a, context, c))
        return;
    for (int32_t i = 0; i < a.n_blocks; i++)
        table[i] = i;
    int64_t n = (int64_t)c->length * a.out_width;
    float *expected = rig_floats(&a.rig, n), *whole = rig_floats(&a.rig, n), *out = rig_floats(&a.rig, n);
    double *bounds = rig_doubles(&a.rig, n);
    bound_attention(&a, bounds);
    bool good = run_chunks(&a, PLAN_REFERENCE, all, 1, table, false, expected) && run_chunks(&a, PLAN_TESTED, all, 1, table, false, whole) &&
                compare_values(context, "against the reference", expected, whole, bounds, n, a.out_width);
    for (size_t v = 0; good && v < COUNT(variants) && !context->failed; v++)
        check_variant(&a, &variants[v], whole, bounds, out);
    for (enum rig_plan which = PLAN_ONE_WORKER; good && which <= PLAN_TWO_WORKERS && promises_bits(context) && !context->failed; which++)
        if (a.rig.plans[which] && run_chunks(&a, which, all, 1, table, false, out))
            compare_values(context, which == PLAN_ONE_WORKER ? "bits change with one worker" : "bits change with two workers", whole, out, NULL, n,
                           a.out_width);
    row_end(context);
    rig_close(&a.rig);
}

void check_attention(struct context *context)
{
    static const int32_t lengths[] = {5, 17, 257, 1, 2, 255, 256, 300, 600}; /* the first three when quick */
    for (size_t i = 0; i < (context->options->quick ? 3 : COUNT(lengths)); i++)
        check_attention_case(context, &(struct attention_case){9, 3, 64, 64, 64, lengths[i], 0, 0, -1, false, false});
    static const struct attention_case cases[] = {
        {9, 3, 64, 64, 0, 300, 0, 0, -1, false, false},          {4, 4, 64, 64, 64, 70, 0, 0, -1, false, false},
        {8, 1, 128, 128, 128, 70, 0, 0, -1, false, false},       {8, 2, 128, 128, 128, 60, 0, 0, -1, false, true},
        {4, 2, 80, 80, 80, 70, 0, 0, -1, false, false},          {6, 2, 96, 64, 48, 70, 0, 0, -1, false, false},
        {4, 2, 16, 16, 16, 300, 0, 0, -1, false, false},         {2, 1, 10, 6, 6, 40, 0, 0, -1, false, false},
        {9, 3, 64, 64, 64, 300, 1, 0, -1, false, false},         {9, 3, 64, 64, 64, 300, 100, 0, -1, false, false},
        {9, 3, 64, 64, 64, 600, 300, 0, -1, false, false},       {9, 3, 64, 64, 64, 300, 100, 0, -1, true, false},
        {4, 2, 16, 16, 16, 600, 270, 0, -1, true, false},        {9, 3, 64, 64, 64, 300, 0, 16, -1, false, false},
        {9, 3, 64, 64, 64, 300, 0, 256, -1, false, false},       {4, 2, 16, 16, 16, 300, 100, 0, -1, false, false},
        {4, 2, 16, 16, 16, 300, 100, 0, -1, true, false},        {4, 2, 16, 16, 16, 300, 0, 16, -1, false, false},
        {4, 2, 16, 16, 16, 300, 0, 0, TENSOR_F32, false, false}, {4, 2, 16, 16, 16, 300, 0, 0, TENSOR_BF16, false, false},
        {4, 2, 16, 16, 16, 100, 0, 1, -1, false, false},         {9, 3, 64, 64, 64, 300, 0, 64, TENSOR_F16, false, false},
        {9, 3, 64, 64, 64, 300, 0, 0, TENSOR_F32, false, false}, {9, 3, 64, 64, 64, 300, 0, 0, TENSOR_BF16, false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (!context->options->quick || cases[i].length * cases[i].n_heads < 1500)
            check_attention_case(context, &cases[i]);
}

/* ---- Edits: copies are equal, zeros are zero, both in order; a sequence that goes on in copied blocks sees the same bits. */

static bool read_block(struct attention_rig *a, int32_t block, unsigned char *bytes, uint64_t length)
{
    struct error err = {0};
    uint64_t found = 0;
    struct plan *plan = a->rig.plans[PLAN_TESTED];
    if (plan->interface->plan_read_block(plan, 0, block, bytes, length, &found, &err)) {
        row_fail(a->rig.context, "reading block %d: %s", block, err.message);
        return false;
    }
    if (found != length)
        row_fail(a->rig.context, "block %d has %llu bytes, the plan says %llu", block, (unsigned long long)found, (unsigned long long)length);
    return found == length;
}

static bool all_zero(const unsigned char *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

/* One more token of the sequence in `table`, after the edits already in the stepper. */
static bool run_next_token(struct attention_rig *a, struct stepper *stepper, int32_t position, const int32_t *table, float *out)
{
    int32_t bt = a->rig.limits.block_tokens;
    put_rows(a, 0, position, 1);
    stepper_add(stepper, position, 1, NULL, table, position / bt + 1);
    if (!run_step(a, PLAN_TESTED, &stepper->step))
        return false;
    memcpy(out, a->out_rows, (size_t)a->out_width * sizeof *out);
    return true;
}

static void check_edit_steps(struct attention_rig *a)
{
    static struct stepper stepper;
    static const int32_t all[] = {1 << 20}, table[STEPPER_BLOCKS] = {0, 1, 2, 3, 4, 5, 6, 7, 8}, copied[STEPPER_BLOCKS] = {4, 5, 6};
    struct rig *rig = &a->rig;
    struct context *context = rig->context;
    int32_t bt = rig->limits.block_tokens, position = 2 * bt + 1;
    struct plan_description description;
    rig->plans[PLAN_TESTED]->interface->plan_describe(rig->plans[PLAN_TESTED], &description);
    uint64_t length = description.group_block_bytes[0];
    unsigned char *from = rig_memory(rig, (size_t)length, 1), *to = rig_memory(rig, (size_t)length, 1);
    float *out = rig_floats(rig, (int64_t)a->c.length * a->out_width), *first = rig_floats(rig, a->out_width), *second = rig_floats(rig, a->out_width);
    if (!run_chunks(a, PLAN_TESTED, all, 1, table, false, out))
        return;
    stepper_init(&stepper);
    for (int32_t i = 0; i < 3; i++)
        stepper_edit(&stepper, CACHE_COPY, i, copied[i]);
    if (!run_next_token(a, &stepper, position, table, first))
        return;
    stepper_init(&stepper);
    stepper_edit(&stepper, CACHE_ZERO, 0, 0); /* the original may go: the copy stays */
    if (!run_next_token(a, &stepper, position, copied, second))
        return;
    if (promises_bits(context) && !compare_values(context, "a sequence in copied blocks", first, second, NULL, a->out_width, a->out_width))
        return;
    if (!read_block(a, 1, from, length) || !read_block(a, 5, to, length))
        return;
    if (memcmp(from, to, length) != 0 || all_zero(from, length))
        row_fail(context, "a copied block differs from its origin, or is empty");
    if (read_block(a, 0, from, length) && !all_zero(from, length))
        row_fail(context, "a zeroed block is not zero");
    /* Order: block 1 goes to 7 before it is zeroed; block 8 takes the zeros of 1, not its keys. */
    stepper_init(&stepper);
    stepper_edit(&stepper, CACHE_COPY, 1, 7);
    stepper_edit(&stepper, CACHE_ZERO, 1, 1);
    stepper_edit(&stepper, CACHE_COPY, 1, 8);
    if (!run_next_token(a, &stepper, position, copied, second) || !read_block(a, 7, from, length) || !read_block(a, 8, to, length))
        return;
    if (all_zero(from, length) || !all_zero(to, length))
        row_fail(context, "edits of one step do not run in order");
    if (promises_bits(context))
        compare_values(context, "a sequence beside edits of other blocks", first, second, NULL, a->out_width, a->out_width);
}

void check_edits(struct context *context)
{
    int32_t bt = context->description.block_tokens;
    struct attention_case c = {4, 2, 32, 32, 32, 2 * bt + 2, 0, 0, -1, false, false};
    struct attention_rig a;
    row_begin(context, "edits", "copy, zero, in order, blocks of %d", bt);
    if (bt > 500 || !open_attention(&a, context, &c))
        return;
    check_edit_steps(&a);
    row_end(context);
    rig_close(&a.rig);
}
