/* --bench: each operation in the shapes of SmolLM2-135M (hidden 576, 9/3 heads of 64, feed-forward 1536, vocabulary 49152, Q4_1 and a Q8_0 head).
 *
 * The same operation stands `copies` times in the program, each over weights of its own, so that one submission is shared out and weights come from memory as
 * they do in a model (copies are chosen to exceed the caches). Time is that of submit + wait, the median of repetitions over some 0.2 s, divided
 * by copies. Stated are bytes that must be read or written at least, and multiplications plus additions. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "checkchip/checkchip.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define WEIGHT_BYTES ((int64_t)64 << 20)
#define MOST_SAMPLES 2000
#define SAMPLING_NS UINT64_C(200000000)

static int compare_times(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static double measure(struct rig *rig, const struct step *step)
{
    static uint64_t samples[MOST_SAMPLES];
    int n = 0;
    if (!rig_step(rig, PLAN_TESTED, step, NULL)) /* once for the caches */
        return 0;
    for (uint64_t start = clock_monotonic_ns(); n < MOST_SAMPLES && (n < 3 || clock_monotonic_ns() - start < SAMPLING_NS); n++) {
        uint64_t before = clock_monotonic_ns();
        if (!rig_step(rig, PLAN_TESTED, step, NULL))
            return 0;
        samples[n] = clock_monotonic_ns() - before;
    }
    qsort(samples, (size_t)n, sizeof *samples, compare_times);
    return (double)samples[n / 2];
}

static void report(struct context *context, double ns, int32_t copies, double bytes, double operations)
{
    if (context->failed || ns <= 0)
        return;
    ns /= copies;
    fprintf(context->options->out, "%-9s %-52s %12.0f ns %10.2f GB/s %10.2f GFLOP/s   (%.4g bytes, %.4g operations)\n", context->op, context->what, ns,
            bytes / ns, operations / ns, bytes, operations);
    fflush(context->options->out);
}

/* Compiles on the tested chip only; the reference would take long over these shapes. */
static bool compile_tested(struct rig *rig, int32_t n_vocabulary)
{
    struct context *context = rig->context;
    struct chip *reference = context->reference;
    context->reference = NULL;
    rig->limits.keep_buffers = false;
    bool good = rig_compile(rig, n_vocabulary);
    context->reference = reference;
    return good;
}

static void run_rows_bench(struct rig *rig, int32_t copies, double bytes, double operations)
{
    static struct stepper stepper;
    int32_t table[STEPPER_BLOCKS];
    for (int32_t i = 0; i < STEPPER_BLOCKS; i++)
        table[i] = i;
    stepper_init(&stepper);
    stepper_add(&stepper, 0, rig->n_rows, rig->tokens, rig->program->n_groups ? table : NULL, STEPPER_BLOCKS);
    report(rig->context, measure(rig, &stepper.step), copies, bytes, operations);
}

static int32_t copies_of(int64_t bytes)
{
    int64_t copies = WEIGHT_BYTES / bytes;
    return (int32_t)(copies < 1 ? 1 : copies > 64 ? 64 : copies);
}

void bench_embed(struct context *context)
{
    static const int32_t rows[] = {1, 64};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig rig;
        row_begin(context, "embed", "q8_0, width 576, %d rows", rows[i]);
        if (!rig_open(&rig, context, rows[i]))
            return;
        struct op op = {.kind = OP_EMBED, .label = "embed", .embed = {.scale = 1.0f}};
        op.embed.table = rig_weight(&rig, "table", WEIGHT_EMBEDDING, TENSOR_Q8_0, 49152, 576, 0.5f);
        op.embed.out = rig_output(&rig, "out", 576, ROWS_TOKENS);
        program_add_op(rig.builder, &op);
        for (int32_t r = 0; r < rows[i]; r++)
            rig.tokens[r] = random_below(&context->random, 49152);
        if (compile_tested(&rig, 49152))
            run_rows_bench(&rig, 1, rows[i] * (576.0 / 32 * 34 + 576 * 4), rows[i] * 576.0);
        rig_close(&rig);
    }
}

void bench_norm(struct context *context)
{
    static const int32_t rows[] = {1, 64};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig rig;
        row_begin(context, "norm", "residual, width 576, %d rows", rows[i]);
        if (!rig_open(&rig, context, rows[i]))
            return;
        struct op op = {.kind = OP_NORM, .label = "norm", .norm = {.kind = NORM_RMS, .epsilon = 1e-5f}};
        op.norm.x = rig_input(&rig, "x", 576, 1.0f);
        op.norm.residual = rig_input(&rig, "residual", 576, 1.0f);
        op.norm.weight = rig_weight(&rig, "weight", WEIGHT_VECTOR, TENSOR_F32, 1, 576, 1.0f);
        op.norm.out = rig_output(&rig, "out", 576, ROWS_TOKENS);
        for (int c = 0; c < 32; c++)
            program_add_op(rig.builder, &op);
        if (compile_tested(&rig, 1))
            run_rows_bench(&rig, 32, rows[i] * 576.0 * 16, rows[i] * 576.0 * 5);
        rig_close(&rig);
    }
}

void bench_gated(struct context *context)
{
    static const int32_t rows[] = {1, 64};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig rig;
        row_begin(context, "gated", "silu, width 1536, %d rows", rows[i]);
        if (!rig_open(&rig, context, rows[i]))
            return;
        struct op op = {.kind = OP_GATED_ACTIVATION, .label = "gated", .gated = {.kind = ACTIVATION_SILU}};
        op.gated.gate = rig_input(&rig, "gate", 1536, 1.0f);
        op.gated.up = rig_input(&rig, "up", 1536, 1.0f);
        op.gated.out = rig_output(&rig, "out", 1536, ROWS_TOKENS);
        for (int c = 0; c < 32; c++)
            program_add_op(rig.builder, &op);
        if (compile_tested(&rig, 1))
            run_rows_bench(&rig, 32, rows[i] * 1536.0 * 12, rows[i] * 1536.0 * 4);
        rig_close(&rig);
    }
}

/* ---- linear */

static void bench_linear_case(struct context *context, enum tensor_type type, int32_t columns, const int32_t outputs[OP_LINEAR_MAX], int32_t rows)
{
    struct rig rig;
    int32_t total = outputs[0] + outputs[1] + outputs[2];
    int64_t bytes = (int64_t)total * columns / tensor_types[type].block_elements * tensor_types[type].block_bytes;
    int32_t copies = copies_of(bytes);
    row_begin(context, "linear", "%s, %d -> %d in %d products, %d rows", tensor_types[type].name, columns, total, 1 + (outputs[1] > 0) + (outputs[2] > 0),
              rows);
    if (!rig_open(&rig, context, rows))
        return;
    struct op op = {.kind = OP_LINEAR, .label = "linear", .linear = {.biases = {-1, -1, -1}}};
    op.linear.x = rig_input(&rig, "x", columns, 1.0f);
    for (int i = 0; i < OP_LINEAR_MAX && outputs[i]; i++)
        op.linear.outs[op.linear.n_outputs++] = rig_output(&rig, "out", outputs[i], ROWS_TOKENS);
    for (int32_t c = 0; c < copies; c++) {
        for (int32_t i = 0; i < op.linear.n_outputs; i++)
            op.linear.weights[i] = rig_weight(&rig, "weight", WEIGHT_LINEAR, type, outputs[i], columns, 0.05f);
        program_add_op(rig.builder, &op);
    }
    if (compile_tested(&rig, 1))
        run_rows_bench(&rig, copies, (double)bytes + rows * 4.0 * (columns + total), 2.0 * rows * columns * total);
    rig_close(&rig);
}

void bench_linear(struct context *context)
{
    static const int32_t attention[] = {576, 192, 192}, square[] = {576, 0, 0}, gate_up[] = {1536, 1536, 0}, head[] = {49152, 0, 0},
                         rows[] = {1, 4, 16, 64, 256};
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench_linear_case(context, TENSOR_Q4_1, 576, attention, rows[i]);
        bench_linear_case(context, TENSOR_Q4_1, 576, square, rows[i]);
        bench_linear_case(context, TENSOR_Q4_1, 576, gate_up, rows[i]);
        bench_linear_case(context, TENSOR_Q4_1, 1536, square, rows[i]);
        if (rows[i] <= 16)
            bench_linear_case(context, TENSOR_Q8_0, 576, head, rows[i]);
    }
    static const enum tensor_type others[] = {TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_BF16, TENSOR_F16, TENSOR_F32, TENSOR_Q5_0};
    for (size_t i = 0; i < COUNT(others); i++) {
        bench_linear_case(context, others[i], 576, gate_up, 1);
        bench_linear_case(context, others[i], 576, gate_up, 64);
    }
}

/* ---- rotation and attention */

static int32_t add_attention_ops(struct rig *rig, bool attend)
{
    struct program_cache_group group = {.name = "cache", .kind = CACHE_FULL_ATTENTION, .n_layers = 1, ATTENTION_STREAMS(3, 64, 64)};
    struct op rope = {.kind = OP_ROPE_CACHE,
                      .label = "rope",
                      .rope_cache = {.query_norm = -1, .key_norm = -1, .n_heads = 9, .rotary_width = 64, .pairing = ROPE_ADJACENT, .magnitude = 1.0f}};
    double *frequencies = rig_doubles(rig, 32);
    for (int32_t i = 0; i < 32; i++)
        frequencies[i] = pow(100000.0, -i / 32.0);
    rope.rope_cache.frequencies = frequencies;
    rope.rope_cache.query = rig_input(rig, "query", 576, 1.0f);
    rope.rope_cache.key = rig_input(rig, "key", 192, 1.0f);
    rope.rope_cache.value = rig_input(rig, "value", 192, 1.0f);
    rope.rope_cache.group = program_add_group(rig->builder, &group);
    program_add_op(rig->builder, &rope);
    struct op attention = {.kind = OP_ATTENTION,
                           .label = "attention",
                           .attention = {.query = rope.rope_cache.query, .n_heads = 9, .scale = 0.125f, .group = rope.rope_cache.group}};
    attention.attention.out = rig_output(rig, "out", 576, ROWS_TOKENS);
    int32_t copies = attend ? 16 : 0;
    for (int32_t c = 0; c < copies; c++)
        program_add_op(rig->builder, &attention);
    return copies;
}

void bench_rope(struct context *context)
{
    static const int32_t rows[] = {1, 64};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig rig;
        row_begin(context, "rope", "9/3 heads of 64, %d rows", rows[i]);
        if (!rig_open(&rig, context, rows[i]))
            return;
        add_attention_ops(&rig, false);
        rig.limits.n_blocks[0] = STEPPER_BLOCKS;
        if (compile_tested(&rig, 1))
            run_rows_bench(&rig, 1, rows[i] * (576 * 8 + 192 * 12.0), rows[i] * 768.0 * 3);
        rig_close(&rig);
    }
}

/* `rows` tokens at the end of a context of `length`. */
static void bench_attention_case(struct context *context, int32_t length, int32_t rows)
{
    static struct stepper stepper;
    struct rig rig;
    int32_t table[STEPPER_BLOCKS];
    row_begin(context, "attention", "9/3 heads of 64, context %d, %d rows", length, rows);
    if (!rig_open(&rig, context, rows > 128 ? rows : 128))
        return;
    int32_t copies = add_attention_ops(&rig, true), bt = rig.limits.block_tokens;
    rig.limits.max_context = length;
    rig.limits.n_blocks[0] = (length + bt - 1) / bt;
    for (int32_t i = 0; i < STEPPER_BLOCKS; i++)
        table[i] = i;
    if (rig.limits.n_blocks[0] <= STEPPER_BLOCKS && compile_tested(&rig, 1)) {
        bool good = true;
        for (int32_t position = 0; good && position < length - rows; position += 128) {
            stepper_init(&stepper);
            stepper_add(&stepper, position, length - rows - position < 128 ? length - rows - position : 128, NULL, table, rig.limits.n_blocks[0]);
            good = rig_step(&rig, PLAN_TESTED, &stepper.step, NULL);
        }
        stepper_init(&stepper);
        stepper_add(&stepper, length - rows, rows, NULL, table, rig.limits.n_blocks[0]);
        double element = tensor_types[rig.limits.cache_type].block_bytes, seen = length - (rows - 1) / 2.0;
        if (good)
            report(context, measure(&rig, &stepper.step), copies, 2 * 192 * element * length + rows * 576 * 8.0, rows * seen * 576 * 4);
    }
    rig_close(&rig);
}

void bench_attention(struct context *context)
{
    static const int32_t lengths[] = {128, 1024, 4096};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        bench_attention_case(context, lengths[i], 1);
        bench_attention_case(context, lengths[i], 64);
    }
}

void bench_logits(struct context *context)
{
    static const struct {
        const char *name;
        int32_t wants;
    } cases[] = {{"logits", WANT_LOGITS}, {"argmax", WANT_ARGMAX}, {"top 64", WANT_TOP}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        static struct stepper stepper;
        struct rig rig;
        row_begin(context, "logits", "%s of one row of 49152", cases[i].name);
        if (cases[i].wants == WANT_TOP && context->description.max_top < STEP_MAX_TOP)
            continue;
        if (!rig_open(&rig, context, 1))
            return;
        struct op select = {.kind = OP_SELECT_ROWS, .label = "select", .select_rows = {.residual = -1}},
                  logits = {.kind = OP_LOGITS, .label = "logits", .logits = {.hidden = -1}};
        select.select_rows.x = rig_input(&rig, "x", 49152, 3.0f);
        select.select_rows.out = logits.logits.x = rig_output(&rig, "logits", 49152, ROWS_LOGITS);
        program_add_op(rig.builder, &select);
        program_add_op(rig.builder, &logits);
        if (compile_tested(&rig, 49152)) {
            stepper_init(&stepper);
            stepper_add(&stepper, 0, 1, rig.tokens, NULL, 0);
            stepper.step.n_top = STEP_MAX_TOP;
            stepper_want(&stepper, 0, cases[i].wants);
            report(context, measure(&rig, &stepper.step), 1, 49152.0 * 4, 49152.0);
        }
        rig_close(&rig);
    }
}
