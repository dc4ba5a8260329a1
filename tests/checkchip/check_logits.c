/* What a step hands out: logits, argmax, the largest (exact, known without a reference: the largest value, ties by the lowest id), tokens taken from the
 * step before, several steps in flight, and steps that are refused without harm. */
#include <math.h>
#include <string.h>

#include "checkchip/checkchip.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define LOGIT_ROWS 12

/* ---- logits, argmax, top */

/* Rows full of ties, equal everywhere, of infinities, of both zeros, with a lone maximum at either end; the rest random. */
static void make_logits(struct rig *rig, int32_t width)
{
    for (int32_t r = 0; r < rig->n_rows; r++) {
        float *row = rig->values[0] + (int64_t)r * width;
        for (int32_t i = 0; i < width; i++) {
            if (r == 0)
                row[i] = (float)random_below(&rig->context->random, 4) * 0.5f;
            else if (r == 1)
                row[i] = 1.25f;
            else if (r == 2)
                row[i] = i % 5 ? -INFINITY : (float)(i % 3);
            else if (r == 3)
                row[i] = i % 2 ? 0.0f : -0.0f;
            else if (r == 4)
                row[i] = -INFINITY;
        }
        if (r == 5)
            row[width - 1] = 100.0f;
        if (r == 6)
            row[0] = 100.0f;
    }
}

static int32_t next_largest(const float *row, int32_t width, const bool *taken)
{
    int32_t best = -1;
    for (int32_t i = 0; i < width; i++)
        if (!taken[i] && (best < 0 || row[i] > row[best]))
            best = i;
    return best;
}

static void check_row_result(struct rig *rig, const struct step_result *result, int32_t l, int32_t wants, int32_t n_top, const float *row, int32_t width)
{
    struct context *context = rig->context;
    bool *taken = rig_memory(rig, (size_t)width, sizeof *taken);
    if (wants & WANT_LOGITS) {
        if (!result->logits)
            row_fail(context, "logits of row %d were wanted and did not come", l);
        else
            compare_values(context, "logits", row, result->logits + (int64_t)l * width, NULL, width, width);
    }
    if (wants & WANT_HIDDEN) {
        if (!result->hidden)
            row_fail(context, "the hidden row %d was wanted and did not come", l);
        else
            compare_values(context, "hidden rows", row, result->hidden + (int64_t)l * width, NULL, width, width);
    }
    int32_t best = next_largest(row, width, taken);
    if (wants & WANT_ARGMAX && (!result->argmax || result->argmax[l] != best))
        row_fail(context, "argmax of row %d is %d, expected %d", l, result->argmax ? result->argmax[l] : -2, best);
    if (!(wants & WANT_ARGMAX) && result->argmax && result->argmax[l] != -1)
        row_fail(context, "argmax of row %d is %d though nobody asked: expected -1", l, result->argmax[l]);
    if (!(wants & WANT_TOP))
        return;
    if (!result->top_ids || !result->top_logits) {
        row_fail(context, "the largest of row %d were wanted and did not come", l);
        return;
    }
    for (int32_t k = 0; k < n_top; k++) {
        int32_t id = next_largest(row, width, taken);
        taken[id] = true;
        int64_t at = (int64_t)l * n_top + k;
        if (result->top_ids[at] != id || !(result->top_logits[at] == row[id]))
            row_fail(context, "candidate %d of row %d is %d (%g), expected %d (%g)", k, l, result->top_ids[at], (double)result->top_logits[at], id,
                     (double)row[id]);
    }
}

/* `may_want`: the bits that the chip can give. */
static void run_logits(struct rig *rig, enum rig_plan which, int32_t width, int32_t n_top, int32_t may_want)
{
    static struct stepper stepper;
    for (int32_t round = 0; round < 10 && !rig->context->failed; round++) {
        stepper_init(&stepper);
        stepper_add(&stepper, 0, rig->n_rows, rig->tokens, NULL, 0);
        stepper.step.n_top = n_top;
        for (int32_t r = 0; r < rig->n_rows; r++) /* 0: all of everything; 1 to 7: mixed; 8: no row at all; 9: hidden rows only */
            if (round != 8 && (round == 0 || (r + round) % 3))
                stepper_want(&stepper, r, (round == 9 ? WANT_HIDDEN : round ? (r + round) % 16 : 15) & may_want);
        struct step_result result;
        if (!rig_write(rig, which, rig->inputs[0], rig->n_rows, rig->values[0]) || !rig_step(rig, which, &stepper.step, &result))
            return;
        if (result.id != stepper.step.id || result.n_logit_rows != stepper.step.n_logit_rows)
            row_fail(rig->context, "the result is of step %llu with %d rows, expected %llu with %d", (unsigned long long)result.id, result.n_logit_rows,
                     (unsigned long long)stepper.step.id, stepper.step.n_logit_rows);
        for (int32_t l = 0; l < stepper.step.n_logit_rows && !rig->context->failed; l++)
            check_row_result(rig, &result, l, stepper.wants[l], n_top, rig->values[0] + (int64_t)stepper.logit_rows[l] * width, width);
    }
    float *row = rig->values[0]; /* NaN: any answer, no crash */
    for (int32_t i = 0; i < width; i += 2)
        row[i] = NAN;
    stepper_init(&stepper);
    stepper_add(&stepper, 0, 1, rig->tokens, NULL, 0);
    stepper.step.n_top = n_top;
    stepper_want(&stepper, 0, may_want);
    if (!rig->context->failed && rig_write(rig, which, rig->inputs[0], 1, row))
        rig_step(rig, which, &stepper.step, NULL);
    make_logits(rig, width); /* as before for the next chip, but for random elements of row 0 */
}

static void check_logits_case(struct context *context, int32_t width, int32_t n_top)
{
    struct rig rig;
    row_begin(context, "logits", "vocabulary %d, top %d", width, n_top);
    if (!rig_open(&rig, context, LOGIT_ROWS))
        return;
    struct op select = {.kind = OP_SELECT_ROWS, .label = "select", .select_rows = {.residual = -1}}, logits = {.kind = OP_LOGITS, .label = "logits"};
    int32_t may_want = WANT_LOGITS | WANT_ARGMAX | (context->description.max_top >= n_top ? WANT_TOP : 0);
    may_want |= context->description.gives_hidden_rows ? WANT_HIDDEN : 0;
    select.select_rows.x = rig_input(&rig, "x", width, 3.0f);
    select.select_rows.out = logits.logits.x = logits.logits.hidden = rig_output(&rig, "logits", width, ROWS_LOGITS);
    program_add_op(rig.builder, &select);
    program_add_op(rig.builder, &logits);
    make_logits(&rig, width);
    if (rig_compile(&rig, width)) {
        run_logits(&rig, PLAN_REFERENCE, width, n_top, 15);
        for (enum rig_plan which = PLAN_TESTED; which < RIG_PLANS && !context->failed; which++)
            if (rig.plans[which])
                run_logits(&rig, which, width, n_top, may_want);
        row_end(context);
    }
    rig_close(&rig);
}

void check_logits(struct context *context)
{
    static const int32_t sizes[][2] = {{5, 1}, {5, 5}, {64, 7}, {301, 64}, {4099, 64}, {49152, 20}};
    for (size_t i = 0; i < COUNT(sizes); i++)
        check_logits_case(context, sizes[i][0], sizes[i][1]);
}

/* ---- token sources and steps in flight: an embedding whose row t is largest at next(t), and is itself the logits. */

#define RING 37

static int32_t next_token(int32_t token)
{
    return (token * 5 + 11) % RING;
}

static struct op embed_op(struct rig *rig)
{
    float *table = rig_floats(rig, RING * RING);
    for (int32_t t = 0; t < RING; t++)
        for (int32_t i = 0; i < RING; i++)
            table[t * RING + i] = i == next_token(t) ? 5.0f : random_uniform(&rig->context->random, -1.0f, 1.0f);
    struct weight_part part = {.name = "ring", .type = TENSOR_F32, .memory = table, .bytes = sizeof(float) * RING * RING, .rows = RING, .columns = RING};
    struct logical_weight weight = {
        .name = "ring", .role = WEIGHT_EMBEDDING, .rows = RING, .columns = RING, .n_parts = 1, .parts = &part, .segments = 1, .unit_columns = 1};
    struct op op = {.kind = OP_EMBED, .label = "embed", .embed = {.scale = 1.0f}};
    op.embed.table = program_add_weight(rig->builder, &weight);
    return op;
}

static void add_step(struct stepper *stepper, int32_t n, bool first, const int32_t *tokens)
{
    stepper_init(stepper);
    for (int32_t s = 0; s < n; s++) {
        stepper_add(stepper, first ? 0 : 1, 1, &tokens[s], NULL, 0);
        if (!first)
            stepper->token_sources[s] = s == 2 ? -1 : (s + 1) % n; /* from the neighbour's row; sequence 2 brings its own */
    }
    if (!first)
        stepper->step.token_sources = stepper->token_sources;
    for (int32_t s = 0; s < n; s++)
        stepper_want(stepper, s, WANT_ARGMAX);
}

static void check_ring(struct rig *rig, int in_flight)
{
    static struct stepper steps[2];
    enum { N = 6 };
    struct context *context = rig->context;
    struct plan *plan = rig->plans[PLAN_TESTED];
    const struct chip_interface *chip = plan->interface;
    struct error err = {0};
    struct step_result result;
    int32_t tokens[N], own[N] = {3, 3, 3, 3, 3, 3}, wanted[N];
    for (int32_t s = 0; s < N; s++)
        tokens[s] = random_below(&context->random, RING);
    for (int32_t s = 0; s < N; s++)
        wanted[s] = next_token(s == 2 ? own[s] : next_token(tokens[(s + 1) % N]));
    add_step(&steps[0], N, true, tokens);
    add_step(&steps[1], N, false, own);
    int code = chip->plan_submit(plan, &steps[0].step, &err);
    if (!code && in_flight > 1)
        code = chip->plan_submit(plan, &steps[1].step, &err);
    else if (!code && chip->plan_submit(plan, &steps[1].step, &err) != SAMPAN_EBUSY)
        row_fail(context, "a second step in flight was not refused with SAMPAN_EBUSY");
    code = code ? code : chip->plan_wait(plan, UINT64_MAX, &result, &err);
    for (int32_t s = 0; !code && s < N; s++)
        if (result.argmax[s] != next_token(tokens[s]))
            row_fail(context, "the first step's row %d says %d, expected %d", s, result.argmax[s], next_token(tokens[s]));
    if (!code && in_flight <= 1)
        code = chip->plan_submit(plan, &steps[1].step, &err);
    code = code ? code : chip->plan_wait(plan, UINT64_MAX, &result, &err);
    for (int32_t s = 0; !code && s < N; s++)
        if (result.argmax[s] != wanted[s])
            row_fail(context, "row %d of a step that takes its tokens from the step before says %d, expected %d", s, result.argmax[s], wanted[s]);
    if (code)
        row_fail(context, "%s", err.message);
}

/* Steps that contradict their limits are refused, and the plan works on. */
static void check_bad_steps(struct rig *rig)
{
    static struct stepper stepper;
    struct plan *plan = rig->plans[PLAN_TESTED];
    int32_t token = 1;
    for (int bad = 0; bad < 6; bad++) {
        struct error err = {0};
        stepper_init(&stepper);
        stepper_add(&stepper, 0, 2, NULL, NULL, 0);
        stepper_want(&stepper, 1, WANT_ARGMAX);
        stepper.step.token_sources = stepper.token_sources;
        if (bad == 0)
            stepper.token_ids[1] = RING;
        else if (bad == 1)
            stepper.token_ids[0] = -1;
        else if (bad == 2)
            stepper.logit_rows[0] = 2;
        else if (bad == 3)
            stepper.positions[1] = 5;
        else if (bad == 4)
            stepper.lengths[0] = rig->limits.max_context + 1;
        else
            stepper.token_sources[0] = 1000;
        int code = plan->interface->plan_submit(plan, &stepper.step, &err);
        if (!code) {
            struct step_result result;
            row_fail(rig->context, "bad step %d was accepted", bad);
            plan->interface->plan_wait(plan, UINT64_MAX, &result, &err);
        } else if (code != SAMPAN_EINVAL || !err.message[0]) {
            row_fail(rig->context, "bad step %d: code %d, message '%s': expected SAMPAN_EINVAL and a reason", bad, code, err.message);
        }
    }
    stepper_init(&stepper);
    stepper_add(&stepper, 0, 1, &token, NULL, 0);
    rig_step(rig, PLAN_TESTED, &stepper.step, NULL);
}

void check_sources(struct context *context)
{
    struct rig rig;
    row_begin(context, "steps", "tokens from the step before, %d in flight, bad steps", context->description.max_steps_in_flight);
    if (!rig_open(&rig, context, 16))
        return;
    struct op embed = embed_op(&rig), select = {.kind = OP_SELECT_ROWS, .label = "select", .select_rows = {.residual = -1}},
              logits = {.kind = OP_LOGITS, .label = "logits", .logits = {.hidden = -1}};
    embed.embed.out = select.select_rows.x = rig_output(&rig, "x", RING, ROWS_TOKENS);
    select.select_rows.out = logits.logits.x = rig_output(&rig, "logits", RING, ROWS_LOGITS);
    program_add_op(rig.builder, &embed);
    program_add_op(rig.builder, &select);
    program_add_op(rig.builder, &logits);
    if (rig_compile(&rig, RING)) {
        for (int i = 0; i < 5 && !context->failed; i++)
            check_ring(&rig, context->description.max_steps_in_flight);
        if (!context->failed)
            check_bad_steps(&rig);
        if (!context->failed)
            check_ring(&rig, context->description.max_steps_in_flight);
        row_end(context);
    }
    rig_close(&rig);
}
