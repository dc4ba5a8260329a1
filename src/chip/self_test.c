#include "chip/self_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"

enum {
    ROWS = 5,
    HIDDEN = 256,
    HEADS = 4,
    KV_HEADS = 2,
    HEAD_WIDTH = 64,
    VOCABULARY = 512,
    MAX_BUFFERS = 4,
    MAX_BLOCKS = 8,
    MEMORY = 16 << 20,
};
#define WAIT_NS UINT64_C(20000000000) /* a chip that takes longer for five rows hangs */

/* One operation while it is tried. */
struct trial {
    struct chip *tested, *reference;
    const char *profile;
    struct chip_description description;
    struct arena arena;
    struct program_builder *builder;
    const struct program *program;
    uint32_t random;
    int32_t n_inputs, n_outputs;
    int32_t inputs[MAX_BUFFERS], outputs[MAX_BUFFERS]; /* buffers */
    float *values[MAX_BUFFERS];                        /* of inputs: [ROWS, width] */
    bool wants_logits;
    float *found[2][MAX_BUFFERS]; /* by chip, tested first: [ROWS, width] of each output; with wants_logits [0] holds the logits */
    int32_t argmax[2][ROWS];
    double rms, worst; /* error found, of all outputs */
    bool failed;       /* out of memory while building */
};

/* ---- Building. */

/* About normal, deviation 1: a sum of four uniforms. */
static float next_random(struct trial *trial)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        trial->random = trial->random * 1664525u + 1013904223u; /* Knuth, Lewis */
        sum += (float)(trial->random >> 8) / 16777216.0f - 0.5f;
    }
    return sum * 1.7320508f;
}

static float *make_values(struct trial *trial, size_t n, float deviation)
{
    float *values = arena_alloc_array(&trial->arena, n, sizeof *values);
    trial->failed = trial->failed || !values;
    for (size_t i = 0; values && i < n; i++)
        values[i] = deviation * next_random(trial);
    return values;
}

static int32_t add_input(struct trial *trial, const char *name, int32_t width, enum buffer_rows rows)
{
    int32_t i = trial->n_inputs++;
    trial->inputs[i] = program_add_buffer(trial->builder, name, width, rows);
    trial->values[i] = make_values(trial, (size_t)ROWS * (size_t)width, 1);
    return trial->inputs[i];
}

static int32_t add_output(struct trial *trial, const char *name, int32_t width, enum buffer_rows rows)
{
    return trial->outputs[trial->n_outputs++] = program_add_buffer(trial->builder, name, width, rows);
}

static int32_t add_weight(struct trial *trial, enum weight_role role, enum tensor_type type, int64_t rows, int64_t columns)
{
    uint64_t bytes = 0;
    struct weight_part part = {.name = "weight", .type = type, .rows = rows, .columns = columns};
    struct logical_weight weight = {.name = "weight",
                                    .role = role,
                                    .rows = rows,
                                    .columns = columns,
                                    .n_parts = 1,
                                    .parts = &part,
                                    .segments = 1,
                                    .unit_columns = tensor_types[type].block_elements};
    float *values = make_values(trial, (size_t)(rows * columns), role == WEIGHT_LINEAR ? 1.0f / 16 : 1);
    if (!values || !tensor_type_bytes(type, (uint64_t)rows, (uint64_t)columns, &bytes))
        return -1;
    void *memory = arena_alloc(&trial->arena, (size_t)bytes);
    trial->failed = trial->failed || !memory;
    if (memory)
        tensor_types[type].from_float(values, memory, (size_t)(rows * columns));
    part.memory = memory;
    part.bytes = bytes;
    return program_add_weight(trial->builder, &weight);
}

static void add_op(struct trial *trial, struct op op)
{
    op.label = op_kind_name(op.kind);
    program_add_op(trial->builder, &op);
}

static void build_embed(struct trial *trial, enum tensor_type type)
{
    int32_t table = add_weight(trial, WEIGHT_EMBEDDING, type, VOCABULARY, HIDDEN);
    add_op(trial, (struct op){.kind = OP_EMBED, .embed = {table, add_output(trial, "out", HIDDEN, ROWS_TOKENS), 1}});
}

static void build_norm(struct trial *trial, enum tensor_type type)
{
    int32_t x = add_input(trial, "x", HIDDEN, ROWS_TOKENS), residual = add_input(trial, "residual", HIDDEN, ROWS_TOKENS);
    add_op(trial, (struct op){.kind = OP_NORM,
                              .norm = {.kind = NORM_RMS,
                                       .x = x,
                                       .residual = residual,
                                       .weight = add_weight(trial, WEIGHT_VECTOR, type, 1, HIDDEN),
                                       .out = add_output(trial, "out", HIDDEN, ROWS_TOKENS),
                                       .epsilon = 1e-5f}});
}

static void build_linear(struct trial *trial, enum tensor_type type)
{
    add_op(trial, (struct op){.kind = OP_LINEAR,
                              .linear = {.x = add_input(trial, "x", HIDDEN, ROWS_TOKENS),
                                         .n_outputs = 2,
                                         .weights = {add_weight(trial, WEIGHT_LINEAR, type, 128, HIDDEN), add_weight(trial, WEIGHT_LINEAR, type, 64, HIDDEN)},
                                         .biases = {add_weight(trial, WEIGHT_VECTOR, TENSOR_F32, 1, 128), -1},
                                         .outs = {add_output(trial, "first", 128, ROWS_TOKENS), add_output(trial, "second", 64, ROWS_TOKENS)}}});
}

/* Rotation, the write to the cache, and attention over it: the rows of one sequence. */
static void build_attention(struct trial *trial, enum tensor_type unused)
{
    (void)unused;
    struct program_cache_group group = {.name = "cache", .kind = CACHE_FULL_ATTENTION, .n_layers = 1, ATTENTION_STREAMS(KV_HEADS, HEAD_WIDTH, HEAD_WIDTH)};
    double *frequencies = arena_alloc_array(&trial->arena, HEAD_WIDTH / 2, sizeof *frequencies);
    int32_t g = program_add_group(trial->builder, &group);
    trial->failed = trial->failed || !frequencies;
    for (int i = 0; frequencies && i < HEAD_WIDTH / 2; i++)
        frequencies[i] = pow(10000, -2.0 * i / HEAD_WIDTH);
    struct op rope = {.kind = OP_ROPE_CACHE,
                      .rope_cache = {.query = add_input(trial, "query", HEADS * HEAD_WIDTH, ROWS_TOKENS),
                                     .key = add_input(trial, "key", KV_HEADS * HEAD_WIDTH, ROWS_TOKENS),
                                     .value = add_input(trial, "value", KV_HEADS * HEAD_WIDTH, ROWS_TOKENS),
                                     .query_norm = -1,
                                     .key_norm = -1,
                                     .n_heads = HEADS,
                                     .rotary_width = HEAD_WIDTH,
                                     .pairing = ROPE_HALVES,
                                     .frequencies = frequencies,
                                     .magnitude = 1,
                                     .group = g}};
    add_op(trial, rope);
    add_op(trial, (struct op){.kind = OP_ATTENTION,
                              .attention = {.query = rope.rope_cache.query,
                                            .out = add_output(trial, "out", HEADS * HEAD_WIDTH, ROWS_TOKENS),
                                            .n_heads = HEADS,
                                            .scale = 0.125f,
                                            .group = g}});
}

static void build_gated(struct trial *trial, enum tensor_type unused)
{
    (void)unused;
    int32_t gate = add_input(trial, "gate", HIDDEN, ROWS_TOKENS), up = add_input(trial, "up", HIDDEN, ROWS_TOKENS);
    add_op(trial, (struct op){.kind = OP_GATED_ACTIVATION, .gated = {ACTIVATION_SILU, gate, up, add_output(trial, "out", HIDDEN, ROWS_TOKENS)}});
}

/* Row selection, the head, and what the step hands out. */
static void build_logits(struct trial *trial, enum tensor_type type)
{
    int32_t x = add_input(trial, "x", HIDDEN, ROWS_TOKENS), residual = add_input(trial, "residual", HIDDEN, ROWS_TOKENS);
    int32_t rows = program_add_buffer(trial->builder, "rows", HIDDEN, ROWS_LOGITS);
    int32_t logits = program_add_buffer(trial->builder, "logits", VOCABULARY, ROWS_LOGITS);
    add_op(trial, (struct op){.kind = OP_SELECT_ROWS, .select_rows = {x, residual, rows}});
    add_op(
        trial,
        (struct op){
            .kind = OP_LINEAR,
            .linear = {.x = rows, .n_outputs = 1, .weights = {add_weight(trial, WEIGHT_LINEAR, type, VOCABULARY, HIDDEN)}, .biases = {-1}, .outs = {logits}}});
    add_op(trial, (struct op){.kind = OP_LOGITS, .logits = {.x = logits, .hidden = -1}});
    trial->wants_logits = true;
}

static const struct {
    const char *name;
    void (*build)(struct trial *trial, enum tensor_type type);
    enum tensor_type type;
} cases[] = {
    {"embed, bf16", build_embed, TENSOR_BF16},
    {"embed, q8_0", build_embed, TENSOR_Q8_0},
    {"norm with residual", build_norm, TENSOR_F32},
    {"linear, bf16", build_linear, TENSOR_BF16},
    {"linear, f16", build_linear, TENSOR_F16},
    {"linear, q8_0", build_linear, TENSOR_Q8_0},
    {"linear, q4_0", build_linear, TENSOR_Q4_0},
    {"linear, q4_1", build_linear, TENSOR_Q4_1},
    {"rotation, cache, attention", build_attention, TENSOR_F32},
    {"gated activation", build_gated, TENSOR_F32},
    {"rows, head, logits, argmax", build_logits, TENSOR_BF16},
};

/* ---- Running. */

static int run_step(struct trial *trial, struct plan *plan, int which, struct error *err)
{
    int32_t tokens[ROWS] = {3, 1, 4, 1, 5}, positions[ROWS] = {0, 1, 2, 3, 4}, row_starts[2] = {0, ROWS}, lengths[1] = {ROWS}, slots[1] = {0};
    int32_t blocks[MAX_BLOCKS] = {0, 1, 2, 3, 4, 5, 6, 7}, logit_rows[ROWS] = {0, 1, 2, 3, 4}, wants[ROWS];
    struct step_result result;
    struct step step = {.token_ids = tokens,
                        .n_tokens = ROWS,
                        .positions = positions,
                        .n_sequences = 1,
                        .row_starts = row_starts,
                        .lengths = lengths,
                        .slots = slots,
                        .n_groups = trial->program->n_groups,
                        .tables = {{blocks, MAX_BLOCKS}},
                        .n_logit_rows = trial->wants_logits ? ROWS : 0,
                        .logit_rows = logit_rows,
                        .wants = wants};
    for (int r = 0; r < ROWS; r++)
        wants[r] = WANT_LOGITS | WANT_ARGMAX;
    int code = plan->interface->plan_submit(plan, &step, err);
    if (!code)
        code = plan->interface->plan_wait(plan, WAIT_NS, &result, err);
    if (code || !trial->wants_logits)
        return code;
    if (!result.logits || !result.argmax)
        return error_set(err, SAMPAN_EINTERNAL, "logits and argmax were wanted and did not come");
    memcpy(trial->found[which][0], result.logits, (size_t)ROWS * VOCABULARY * sizeof(float));
    memcpy(trial->argmax[which], result.argmax, sizeof trial->argmax[which]);
    return 0;
}

static int run_plan(struct trial *trial, struct plan *plan, int which, struct error *err)
{
    const struct chip_interface *chip = plan->interface;
    int code = 0;
    for (int32_t i = 0; !code && i < trial->n_inputs; i++)
        code = chip->plan_write_buffer(plan, trial->inputs[i], ROWS, trial->values[i], err);
    if (!code)
        code = run_step(trial, plan, which, err);
    for (int32_t i = 0; !code && i < trial->n_outputs; i++)
        code = chip->plan_read_buffer(plan, trial->outputs[i], ROWS, trial->found[which][i], err);
    return code;
}

static int run_chip(struct trial *trial, int which, struct error *err)
{
    struct chip *chip = which ? trial->reference : trial->tested;
    struct plan_limits limits = {.max_tokens = ROWS,
                                 .max_sequences = 1,
                                 .max_logit_rows = ROWS,
                                 .max_context = ROWS,
                                 .block_tokens = trial->description.block_tokens,
                                 .cache_type = trial->description.cache_type,
                                 .n_blocks = {MAX_BLOCKS},
                                 .keep_buffers = true};
    struct plan *plan = NULL;
    int code = chip->interface->plan_create(chip, trial->program, &limits, NULL, &plan, err);
    if (!code)
        code = run_plan(trial, plan, which, err);
    if (plan)
        chip->interface->plan_free(plan);
    return code;
}

/* ---- Judging. */

static int32_t output_width(const struct trial *trial, int32_t i)
{
    return trial->wants_logits ? VOCABULARY : trial->program->buffers[trial->outputs[i]].width;
}

static void compare(struct trial *trial)
{
    int32_t n = trial->wants_logits ? 1 : trial->n_outputs;
    for (int32_t i = 0; i < n; i++) {
        double errors = 0, expected = 0, worst = 0;
        int32_t count = ROWS * output_width(trial, i);
        for (int32_t j = 0; j < count; j++) {
            double b = (double)trial->found[1][i][j], difference = fabs((double)trial->found[0][i][j] - b);
            if (!(difference < HUGE_VAL))
                difference = HUGE_VAL; /* NaN, too */
            errors += difference * difference;
            expected += b * b;
            worst = difference > worst ? difference : worst;
        }
        double scale = sqrt(expected / count);
        double rms = scale > 0 ? sqrt(errors / count) / scale : HUGE_VAL;
        trial->rms = rms > trial->rms ? rms : trial->rms;
        trial->worst = scale > 0 && worst / scale < HUGE_VAL ? fmax(trial->worst, worst / scale) : HUGE_VAL;
    }
}

/* The argmax must be that of the chip's own logits, the lowest id on ties. */
static bool is_argmax_right(const struct trial *trial)
{
    for (int r = 0; trial->wants_logits && r < ROWS; r++) {
        const float *row = trial->found[0][0] + (size_t)r * VOCABULARY;
        int32_t best = 0;
        for (int32_t i = 1; i < VOCABULARY; i++)
            best = row[i] > row[best] ? i : best;
        if (trial->argmax[0][r] != best)
            return false;
    }
    return true;
}

static void judge(struct trial *trial, const char *name, struct report *report)
{
    static const char advice[] = "results of this chip cannot be trusted: report it with this output, and run checkchip for details";
    compare(trial);
    if (trial->rms > SELF_TEST_RMS || trial->worst > SELF_TEST_WORST)
        report_add(report, REPORT_BROKEN, name, advice,
                   "differs from the reference: error %.3g of the outputs' size (at most %g), worst element %.3g (at most %g)", trial->rms, SELF_TEST_RMS,
                   trial->worst, SELF_TEST_WORST);
    else if (!is_argmax_right(trial))
        report_add(report, REPORT_BROKEN, name, advice, "the argmax handed out is not that of the logits handed out");
    else
        report_add(report, REPORT_WELL, name, NULL, "as the reference, error %.1e of the outputs' size", trial->rms);
}

static int build(struct trial *trial, size_t index, struct error *err)
{
    int code = program_builder_create(&trial->arena, cases[index].name, &trial->builder, err);
    if (code)
        return code;
    trial->random = 1 + (uint32_t)index;
    cases[index].build(trial, cases[index].type);
    if (trial->failed)
        return error_no_memory(err, "testing a chip's operations");
    code = program_builder_finish(trial->builder, VOCABULARY, 1, ROWS, &trial->program, err);
    for (int32_t i = 0; !code && i < (trial->wants_logits ? 1 : trial->n_outputs); i++)
        for (int which = 0; which < 2; which++) {
            trial->found[which][i] = arena_alloc_array(&trial->arena, (size_t)ROWS * (size_t)output_width(trial, i), sizeof(float));
            if (!trial->found[which][i])
                return error_no_memory(err, "testing a chip's operations");
        }
    return code;
}

/* The code of what the test needs itself; what the chip does wrong is in the report. */
static int try_case(struct trial *trial, size_t index, struct report *report, struct error *err)
{
    const struct chip_interface *chip = trial->tested->interface;
    struct error problem = {0};
    int code = build(trial, index, err);
    if (code)
        return code;
    for (int32_t i = 0; i < trial->program->n_ops; i++)
        if (chip->supports(trial->profile, trial->program, &trial->program->ops[i], trial->description.cache_type, &problem)) {
            report_add(report, REPORT_FACT, cases[index].name, NULL, "not supported: %s", problem.message);
            return 0;
        }
    code = run_chip(trial, 1, err);
    if (code)
        return code;
    if (run_chip(trial, 0, &problem))
        report_add(report, REPORT_BROKEN, cases[index].name, "report it with this output; the message is the chip's own", "failed: %s", problem.message);
    else
        judge(trial, cases[index].name, report);
    return 0;
}

int chip_self_test(struct chip *chip, const char *profile, struct report *report, struct error *err)
{
    struct chip *reference;
    int code = chip_open("reference", &reference, err);
    if (code)
        return code;
    for (size_t i = 0; !code && i < sizeof cases / sizeof cases[0]; i++) {
        struct trial trial = {.tested = chip, .reference = reference, .profile = profile};
        chip->interface->describe(chip, &trial.description);
        arena_init(&trial.arena, MEMORY);
        code = try_case(&trial, i, report, err);
        arena_free(&trial.arena);
    }
    reference->interface->close(reference);
    return code;
}
