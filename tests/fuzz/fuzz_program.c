/* Programs of any content: the tiny model's, changed in its numbers by the input, goes through program_check, and what that lets pass is compiled by the
 * reference chip and runs a step: an error with a reason or a step that touches nothing but its own (after program_check, indices may be trusted). */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "support_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* The numbers of each operation. */
#define FIELD(kind, member, field)                                                                                                                             \
    {                                                                                                                                                          \
        kind, offsetof(struct op, member.field)                                                                                                                \
    }
static const struct {
    enum op_kind kind;
    size_t offset;
} fields[] = {
    FIELD(OP_EMBED, embed, table),
    FIELD(OP_EMBED, embed, out),
    FIELD(OP_NORM, norm, kind),
    FIELD(OP_NORM, norm, x),
    FIELD(OP_NORM, norm, residual),
    FIELD(OP_NORM, norm, weight),
    FIELD(OP_NORM, norm, out),
    FIELD(OP_LINEAR, linear, x),
    FIELD(OP_LINEAR, linear, n_outputs),
    FIELD(OP_LINEAR, linear, weights[0]),
    FIELD(OP_LINEAR, linear, weights[1]),
    FIELD(OP_LINEAR, linear, weights[2]),
    FIELD(OP_LINEAR, linear, biases[0]),
    FIELD(OP_LINEAR, linear, outs[0]),
    FIELD(OP_LINEAR, linear, outs[1]),
    FIELD(OP_LINEAR, linear, outs[2]),
    FIELD(OP_ROPE_CACHE, rope_cache, query),
    FIELD(OP_ROPE_CACHE, rope_cache, key),
    FIELD(OP_ROPE_CACHE, rope_cache, value),
    FIELD(OP_ROPE_CACHE, rope_cache, query_norm),
    FIELD(OP_ROPE_CACHE, rope_cache, n_heads),
    FIELD(OP_ROPE_CACHE, rope_cache, pairing),
    FIELD(OP_ROPE_CACHE, rope_cache, group),
    FIELD(OP_ROPE_CACHE, rope_cache, layer),
    FIELD(OP_ATTENTION, attention, query),
    FIELD(OP_ATTENTION, attention, out),
    FIELD(OP_ATTENTION, attention, n_heads),
    FIELD(OP_ATTENTION, attention, window),
    FIELD(OP_ATTENTION, attention, group),
    FIELD(OP_ATTENTION, attention, layer),
    FIELD(OP_GATED_ACTIVATION, gated, kind),
    FIELD(OP_GATED_ACTIVATION, gated, gate),
    FIELD(OP_GATED_ACTIVATION, gated, up),
    FIELD(OP_GATED_ACTIVATION, gated, out),
    FIELD(OP_SELECT_ROWS, select_rows, x),
    FIELD(OP_SELECT_ROWS, select_rows, residual),
    FIELD(OP_SELECT_ROWS, select_rows, out),
    FIELD(OP_LOGITS, logits, x),
    FIELD(OP_LOGITS, logits, hidden),
};

/* A program whose arrays are our own. The parts of weights are shared: what they say about files belongs to file/. */
struct copy {
    struct program program;
    struct op *ops;
    struct program_buffer *buffers;
    struct logical_weight *weights;
    struct program_cache_group *groups;
};

static void *copy_array(const void *source, int32_t count, size_t size)
{
    void *made = malloc((size_t)count * size);
    support_require(made != NULL, "no memory");
    memcpy(made, source, (size_t)count * size);
    return made;
}

static void make_copy(struct copy *c)
{
    c->program = *support_program();
    c->program.ops = c->ops = copy_array(c->program.ops, c->program.n_ops, sizeof *c->ops);
    c->program.buffers = c->buffers = copy_array(c->program.buffers, c->program.n_buffers, sizeof *c->buffers);
    c->program.weights = c->weights = copy_array(c->program.weights, c->program.n_weights, sizeof *c->weights);
    c->program.groups = c->groups = copy_array(c->program.groups, c->program.n_groups, sizeof *c->groups);
}

static void free_copy(struct copy *c)
{
    free(c->ops);
    free(c->buffers);
    free(c->weights);
    free(c->groups);
}

static void change_op(struct copy *c, uint32_t where, int32_t value)
{
    struct op *op = &c->ops[where % (uint32_t)c->program.n_ops];
    for (size_t i = 0, n = sizeof fields / sizeof *fields; i < n; i++) {
        size_t at = (i + where) % n;
        if (fields[at].kind != op->kind)
            continue;
        memcpy((char *)op + fields[at].offset, &value, sizeof value);
        return;
    }
}

static void change_weight(struct logical_weight *weight, uint32_t where, int32_t value)
{
    switch (where % 6) {
    case 0: weight->rows = value; break;
    case 1: weight->columns = value; break;
    case 2: weight->role = (enum weight_role)(value & 3); break;
    case 3: weight->segments = value; break;
    case 4: weight->unit_columns = value; break;
    default: weight->n_parts = value < weight->n_parts ? value : weight->n_parts; break;
    }
}

static void change_group(struct program_cache_group *group, uint32_t where, int32_t value)
{
    switch (where % 6) {
    case 0: group->kind = (enum cache_kind)(value & 7); break;
    case 1: group->window = value; break;
    case 2: group->n_layers = value; break;
    case 3: group->n_streams = value; break;
    case 4: group->streams[value & 1].n_heads = value; break;
    default: group->streams[value & 1].width = value; break;
    }
}

static void change(struct copy *c, struct input *input)
{
    uint32_t what = (uint32_t)support_number(input), where = (uint32_t)support_number(input) * 7u + (uint32_t)support_number(input);
    int32_t value = support_number(input);
    struct program *p = &c->program;
    int32_t *const counts[] = {&p->n_vocabulary, &p->n_layers, &p->context_length, &p->n_buffers, &p->n_weights, &p->n_groups, &p->n_ops};
    switch (what % 8) {
    case 0:
        if (where % 7 < 3 || value < *counts[where % 7]) /* arrays only become shorter */
            *counts[where % 7] = value;
        break;
    case 1: c->buffers[where % (uint32_t)support_program()->n_buffers].width = value; break;
    case 2: change_weight(&c->weights[where % (uint32_t)support_program()->n_weights], where / 31, value); break;
    case 3: change_group(&c->groups[where % (uint32_t)support_program()->n_groups], where / 7, value); break;
    default:
        if (p->n_ops > 0)
            change_op(c, where, value);
    }
}

static void run_step(struct plan *plan)
{
    static const int32_t zero[] = {0}, one[] = {1}, starts[] = {0, 1}, wants[] = {WANT_LOGITS | WANT_ARGMAX};
    struct step step = {.n_tokens = 1,
                        .token_ids = zero,
                        .positions = zero,
                        .n_sequences = 1,
                        .row_starts = starts,
                        .lengths = one,
                        .slots = zero,
                        .n_groups = 1,
                        .tables = {{zero, 1}},
                        .n_logit_rows = 1,
                        .logit_rows = zero,
                        .wants = wants};
    struct step_result result;
    struct error err;
    if (!plan->interface->plan_submit(plan, &step, &err))
        plan->interface->plan_wait(plan, 1000000000u, &result, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct input input = {bytes, length};
    struct copy copy;
    struct error err = {0};
    struct plan *plan;
    if (length > 128)
        return 0;
    make_copy(&copy);
    while (input.length)
        change(&copy, &input);
    int code = program_check(&copy.program, &err);
    support_require(!code || err.message[0], "a refusal without a reason");
    if (!code) {
        struct plan_limits limits = support_limits(&copy.program);
        if (!support_chip()->interface->plan_create(support_chip(), &copy.program, &limits, NULL, &plan, &err)) {
            run_step(plan);
            plan->interface->plan_free(plan);
        }
    }
    free_copy(&copy);
    return 0;
}
