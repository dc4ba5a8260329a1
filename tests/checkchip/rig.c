/* The rig: a program under test, its inputs, and the same step on every chip; see checkchip.h. */
#include "checkchip/checkchip.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/half.h"

#define RIG_MEMORY ((size_t)4 << 30)
#define WAIT_NS UINT64_C(120000000000) /* a chip that takes longer for one small step hangs */

/* ---- Rows of the table. */

void row_begin(struct context *context, const char *op, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context->what, sizeof context->what, format, arguments);
    va_end(arguments);
    context->op = op;
    context->worst = 0;
    context->failed = false;
}

void row_fail(struct context *context, const char *format, ...)
{
    if (context->failed)
        return; /* the first reason is the telling one */
    context->failed = true;
    FILE *out = context->options->out;
    fprintf(out, "%-9s %-64s FAILED: ", context->op, context->what);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    fprintf(out, " (seed %llu)\n", (unsigned long long)context->options->seed);
    fflush(out);
}

void row_refused(struct context *context, const char *reason)
{
    if (context->options->require) {
        row_fail(context, "refused: %s", reason);
        context->totals.n_failed++;
        return;
    }
    fprintf(context->options->out, "%-9s %-64s refused: %s\n", context->op, context->what, reason);
    context->totals.n_refused++;
}

void row_end(struct context *context)
{
    if (context->failed) {
        context->totals.n_failed++;
        return;
    }
    context->totals.n_passed++;
    fprintf(context->options->out, "%-9s %-64s error/bound %-8.2g ok\n", context->op, context->what, context->worst);
    fflush(context->options->out);
}

bool compare_values(struct context *context, const char *where, const float *expected, const float *found, const double *bounds, int64_t n, int32_t width)
{
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&expected[i], &found[i], sizeof *found) == 0)
            continue;
        double error = fabs((double)expected[i] - (double)found[i]);
        if (bounds && error <= bounds[i]) { /* false for NaN */
            double ratio = error > 0 ? error / bounds[i] : 0;
            context->worst = ratio > context->worst ? ratio : context->worst;
            continue;
        }
        row_fail(context, "%s: row %lld, element %lld is %.9g, expected %.9g within %.3g", where, (long long)(i / width), (long long)(i % width),
                 (double)found[i], (double)expected[i], bounds ? bounds[i] : 0.0);
        return false;
    }
    return true;
}

/* ---- Element types. */

double element_unit(const struct context *context)
{
    return context->description.element_type == TENSOR_BF16 ? 0x1p-8 : context->description.element_type == TENSOR_F16 ? 0x1p-11 : 0;
}

double element_least(const struct context *context)
{
    return context->description.element_type == TENSOR_BF16 ? 0x1p-134 : context->description.element_type == TENSOR_F16 ? 0x1p-25 : 0;
}

static void round_inputs(struct rig *rig)
{
    enum tensor_type type = rig->context->description.element_type;
    for (int32_t i = 0; i < rig->n_inputs; i++)
        for (int64_t j = 0; j < (int64_t)rig->n_rows * rig_width(rig, rig->inputs[i]); j++) {
            float *value = &rig->values[i][j];
            *value = type == TENSOR_BF16 ? bf16_to_float(float_to_bf16(*value)) : type == TENSOR_F16 ? f16_to_float(float_to_f16(*value)) : *value;
        }
}

/* ---- Building. */

void *rig_memory(struct rig *rig, size_t count, size_t size)
{
    void *memory = arena_alloc_array(&rig->arena, count ? count : 1, size);
    if (!memory) {
        fprintf(stderr, "checkchip: out of memory\n");
        exit(1);
    }
    return memory;
}

float *rig_floats(struct rig *rig, int64_t n)
{
    return rig_memory(rig, (size_t)n, sizeof(float));
}

double *rig_doubles(struct rig *rig, int64_t n)
{
    return rig_memory(rig, (size_t)n, sizeof(double));
}

bool rig_open(struct rig *rig, struct context *context, int32_t n_rows)
{
    *rig = (struct rig){.context = context, .n_rows = n_rows};
    arena_init(&rig->arena, RIG_MEMORY);
    struct error err;
    if (program_builder_create(&rig->arena, "checkchip", &rig->builder, &err)) {
        row_fail(context, "%s", err.message);
        row_end(context);
        arena_free(&rig->arena);
        return false;
    }
    rig->limits = (struct plan_limits){.max_tokens = n_rows,
                                       .max_sequences = STEPPER_SEQUENCES,
                                       .max_logit_rows = n_rows,
                                       .max_context = n_rows,
                                       .keep_buffers = true,
                                       .block_tokens = context->description.block_tokens,
                                       .cache_type = context->description.cache_type};
    rig->tokens = rig_memory(rig, (size_t)n_rows, sizeof *rig->tokens);
    return true;
}

int32_t rig_input(struct rig *rig, const char *name, int32_t width, float deviation)
{
    int32_t buffer = program_add_buffer(rig->builder, name, width, ROWS_TOKENS), i = rig->n_inputs++;
    rig->inputs[i] = buffer;
    rig->values[i] = rig_floats(rig, (int64_t)rig->n_rows * width);
    for (int64_t j = 0; j < (int64_t)rig->n_rows * width; j++)
        rig->values[i][j] = deviation * random_normal(&rig->context->random);
    return buffer;
}

int32_t rig_output(struct rig *rig, const char *name, int32_t width, enum buffer_rows rows)
{
    return rig->outputs[rig->n_outputs++] = program_add_buffer(rig->builder, name, width, rows);
}

int32_t rig_weight(struct rig *rig, const char *name, enum weight_role role, enum tensor_type type, int64_t rows, int64_t columns, float deviation)
{
    uint64_t bytes = 0;
    if (!tensor_type_bytes(type, (uint64_t)rows, (uint64_t)columns, &bytes))
        return -1; /* the builder reports it */
    void *memory = rig_memory(rig, (size_t)bytes, 1);
    random_weights(&rig->context->random, type, deviation, memory, (size_t)(rows * columns));
    struct weight_part part = {.name = name, .type = type, .memory = memory, .bytes = bytes, .rows = rows, .columns = columns};
    struct logical_weight weight = {.name = name,
                                    .role = role,
                                    .rows = rows,
                                    .columns = columns,
                                    .n_parts = 1,
                                    .parts = &part,
                                    .segments = 1,
                                    .unit_columns = tensor_types[type].block_elements};
    return program_add_weight(rig->builder, &weight);
}

static int compile(struct rig *rig, struct chip *chip, enum rig_plan which, struct error *err)
{
    return chip ? chip->interface->plan_create(chip, rig->program, &rig->limits, NULL, &rig->plans[which], err) : 0;
}

static int ask_supports(struct rig *rig, struct error *err)
{
    const struct context *context = rig->context;
    const char *name = context->options->chip ? context->options->chip : "", *colon = strchr(name, ':');
    char profile[64] = "";
    if (colon)
        snprintf(profile, sizeof profile, "%.*s", (int)strcspn(colon + 1, ","), colon + 1);
    int code = 0;
    for (int32_t i = 0; !code && i < rig->program->n_ops; i++)
        code = context->tested->interface->supports(profile, rig->program, &rig->program->ops[i], rig->limits.cache_type, err);
    return code;
}

bool rig_compile(struct rig *rig, int32_t n_vocabulary)
{
    struct context *context = rig->context;
    struct error err = {0};
    int code = program_builder_finish(rig->builder, n_vocabulary, 1, rig->limits.max_context, &rig->program, &err);
    if (!code && ask_supports(rig, &err)) {
        row_refused(context, err.message);
        return false;
    }
    if (!code)
        code = compile(rig, context->reference, PLAN_REFERENCE, &err);
    if (!code && compile(rig, context->tested, PLAN_TESTED, &err) == SAMPAN_EUNSUPPORTED) { /* of limits that supports() is not told: sizes of blocks */
        row_refused(context, err.message);
        return false;
    }
    code = code || rig->plans[PLAN_TESTED] ? code : err.code;
    if (!code)
        round_inputs(rig);
    if (!code)
        code = compile(rig, context->workers[0], PLAN_ONE_WORKER, &err);
    if (!code)
        code = compile(rig, context->workers[1], PLAN_TWO_WORKERS, &err);
    if (code) {
        row_fail(context, "compiling: %s", err.message);
        row_end(context);
    }
    return !code;
}

void rig_close(struct rig *rig)
{
    for (int i = 0; i < RIG_PLANS; i++)
        if (rig->plans[i])
            rig->plans[i]->interface->plan_free(rig->plans[i]);
    arena_free(&rig->arena);
}

int32_t rig_width(const struct rig *rig, int32_t buffer)
{
    return rig->program->buffers[buffer].width;
}

bool rig_weight_is_int8(struct rig *rig, int32_t weight)
{
    const struct chip_interface *chip = rig->context->tested->interface;
    struct plan_description sizes;
    char profile[64];
    struct weight_estimate *weights = rig_memory(rig, (size_t)rig->program->n_weights, sizeof *weights);
    if (!chip->plan_estimate || !rig->context->options->chip || !chip_split_profile(rig->context->options->chip, profile, sizeof profile) ||
        chip->plan_estimate(profile, rig->program, &rig->limits, &sizes, weights, NULL))
        return false;
    return weights[weight].rate == RATE_INT8 && weights[weight].change == WEIGHT_REQUANTISED && element_unit(rig->context) > 0;
}

const float *rig_dequantise(struct rig *rig, int32_t index)
{
    const struct logical_weight *weight = &rig->program->weights[index];
    float *values = rig_floats(rig, weight->rows * weight->columns), *next = values;
    for (int32_t p = 0; p < weight->n_parts; p++) {
        size_t n = (size_t)(weight->parts[p].rows * weight->columns);
        tensor_types[weight->parts[p].type].to_float(weight->parts[p].memory, next, n);
        next += n;
    }
    return values;
}

/* ---- Steps. */

void stepper_init(struct stepper *stepper)
{
    static uint64_t next_id;
    stepper->step = (struct step){.id = next_id++,
                                  .token_ids = stepper->token_ids,
                                  .positions = stepper->positions,
                                  .row_starts = stepper->row_starts,
                                  .lengths = stepper->lengths,
                                  .slots = stepper->slots,
                                  .logit_rows = stepper->logit_rows,
                                  .wants = stepper->wants,
                                  .edits = stepper->edits};
    stepper->row_starts[0] = 0;
}

void stepper_add(struct stepper *stepper, int32_t position, int32_t n, const int32_t *tokens, const int32_t *table, int32_t n_entries)
{
    struct step *step = &stepper->step;
    int32_t s = step->n_sequences++;
    for (int32_t i = 0; i < n; i++) {
        stepper->token_ids[step->n_tokens + i] = tokens ? tokens[i] : 0;
        stepper->token_sources[step->n_tokens + i] = -1;
        stepper->positions[step->n_tokens + i] = position + i;
    }
    step->n_tokens += n;
    stepper->row_starts[s + 1] = step->n_tokens;
    stepper->lengths[s] = position + n;
    stepper->slots[s] = s;
    if (!table)
        return;
    step->n_groups = 1;
    step->tables[0] = (struct step_block_table){stepper->blocks, STEPPER_BLOCKS};
    for (int32_t i = 0; i < STEPPER_BLOCKS; i++)
        stepper->blocks[s * STEPPER_BLOCKS + i] = i < n_entries ? table[i] : -1;
}

void stepper_want(struct stepper *stepper, int32_t row, int32_t wants)
{
    stepper->logit_rows[stepper->step.n_logit_rows] = row;
    stepper->wants[stepper->step.n_logit_rows++] = wants;
}

void stepper_edit(struct stepper *stepper, enum cache_edit_kind kind, int32_t from, int32_t to)
{
    stepper->edits[stepper->step.n_edits++] = (struct cache_edit){.kind = (int32_t)kind, .group = 0, .from = from, .to = to};
}

bool rig_step(struct rig *rig, enum rig_plan which, const struct step *step, struct step_result *result)
{
    struct plan *plan = rig->plans[which];
    struct step_result ignored;
    struct error err = {0};
    int code = plan->interface->plan_submit(plan, step, &err);
    if (!code)
        code = plan->interface->plan_wait(plan, WAIT_NS, result ? result : &ignored, &err);
    if (code)
        row_fail(rig->context, "%s step: %s", which == PLAN_REFERENCE ? "reference" : "tested", err.message);
    return !code;
}

bool rig_write(struct rig *rig, enum rig_plan which, int32_t buffer, int32_t n_rows, const float *values)
{
    struct error err = {0};
    int code = rig->plans[which]->interface->plan_write_buffer(rig->plans[which], buffer, n_rows, values, &err);
    if (code)
        row_fail(rig->context, "writing a buffer: %s", err.message);
    return !code;
}

bool rig_read(struct rig *rig, enum rig_plan which, int32_t buffer, int32_t n_rows, float *values)
{
    struct error err = {0};
    int code = rig->plans[which]->interface->plan_read_buffer(rig->plans[which], buffer, n_rows, values, &err);
    if (code)
        row_fail(rig->context, "reading a buffer: %s", err.message);
    return !code;
}

bool rig_run_rows(struct rig *rig, enum rig_plan which, int32_t first, int32_t n, float *const outs[])
{
    static struct stepper stepper;
    int32_t table[STEPPER_BLOCKS];
    for (int32_t i = 0; i < STEPPER_BLOCKS; i++)
        table[i] = i;
    stepper_init(&stepper);
    int32_t block_tokens = rig->limits.block_tokens, n_entries = block_tokens ? (first + n + block_tokens - 1) / block_tokens : 0;
    stepper_add(&stepper, first, n, rig->tokens + first, rig->program->n_groups ? table : NULL, n_entries);
    for (int32_t i = 0; i < rig->n_inputs; i++)
        if (!rig_write(rig, which, rig->inputs[i], n, rig->values[i] + (int64_t)first * rig_width(rig, rig->inputs[i])))
            return false;
    if (!rig_step(rig, which, &stepper.step, NULL))
        return false;
    for (int32_t i = 0; i < rig->n_outputs; i++)
        if (!rig_read(rig, which, rig->outputs[i], n, outs[i] + (int64_t)first * rig_width(rig, rig->outputs[i])))
            return false;
    return true;
}

/* ---- The check of an operation that looks at rows one by one. */

static bool compare_outputs(struct rig *rig, const char *where, float *const expected[], float *const found[], double *const bounds[])
{
    bool good = true;
    for (int32_t i = 0; good && i < rig->n_outputs; i++) {
        int32_t width = rig_width(rig, rig->outputs[i]);
        good = compare_values(rig->context, where, expected[i], found[i], bounds ? bounds[i] : NULL, (int64_t)rig->n_rows * width, width);
    }
    return good;
}

static void make_outputs(struct rig *rig, float *outs[])
{
    for (int32_t i = 0; i < rig->n_outputs; i++)
        outs[i] = rig_floats(rig, (int64_t)rig->n_rows * rig_width(rig, rig->outputs[i]));
}

/* The same rows in batches of other sizes: the same bits. */
static void check_batches(struct rig *rig, float *const whole[], float *const outs[])
{
    static const int32_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64, 128};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0] && sizes[s] < rig->n_rows; s++) {
        for (int32_t first = 0; first < rig->n_rows; first += sizes[s]) {
            int32_t n = rig->n_rows - first < sizes[s] ? rig->n_rows - first : sizes[s];
            if (!rig_run_rows(rig, PLAN_TESTED, first, n, outs))
                return;
        }
        char where[64];
        snprintf(where, sizeof where, "bits change in batches of %d", sizes[s]);
        if (!compare_outputs(rig, where, whole, outs, NULL))
            return;
    }
}

/* NaN and infinity in one row do not crash, and stay in that row. */
static void check_not_a_number(struct rig *rig, float *const whole[], float *const outs[])
{
    if (rig->n_inputs == 0 || rig->n_rows < 3)
        return;
    for (int32_t i = 0; i < rig->n_inputs; i++) {
        int32_t width = rig_width(rig, rig->inputs[i]);
        for (int32_t j = 0; j < width; j++)
            rig->values[i][width + j] = j % 3 == 0 ? NAN : j % 3 == 1 ? INFINITY : -INFINITY;
    }
    if (!rig_run_rows(rig, PLAN_TESTED, 0, rig->n_rows, outs) || !promises_bits(rig->context))
        return;
    for (int32_t i = 0; i < rig->n_outputs; i++) {
        int32_t width = rig_width(rig, rig->outputs[i]);
        memcpy(outs[i] + width, whole[i] + width, (size_t)width * sizeof **outs);
    }
    compare_outputs(rig, "NaN in row 1 reaches another row", whole, outs, NULL);
}

void check_rowwise(struct rig *rig, bound_function *bound)
{
    float *expected[RIG_MAX_BUFFERS], *whole[RIG_MAX_BUFFERS], *outs[RIG_MAX_BUFFERS];
    double *bounds[RIG_MAX_BUFFERS];
    make_outputs(rig, expected);
    make_outputs(rig, whole);
    make_outputs(rig, outs);
    bool good = rig_run_rows(rig, PLAN_REFERENCE, 0, rig->n_rows, expected) && rig_run_rows(rig, PLAN_TESTED, 0, rig->n_rows, whole);
    for (int32_t i = 0; good && i < rig->n_outputs; i++) {
        bounds[i] = rig_doubles(rig, (int64_t)rig->n_rows * rig_width(rig, rig->outputs[i]));
        bound(rig, i, expected[i], bounds[i]);
    }
    good = good && compare_outputs(rig, "against the reference", expected, whole, bounds);
    if (good && promises_bits(rig->context)) {
        check_batches(rig, whole, outs);
        for (enum rig_plan which = PLAN_ONE_WORKER; which <= PLAN_TWO_WORKERS && !rig->context->failed; which++)
            if (rig->plans[which] && rig_run_rows(rig, which, 0, rig->n_rows, outs))
                compare_outputs(rig, which == PLAN_ONE_WORKER ? "bits change with one worker" : "bits change with two workers", whole, outs, NULL);
    }
    if (good && !rig->context->failed)
        check_not_a_number(rig, whole, outs);
    row_end(rig->context);
}
