/* From operations to stages: one pass over the list that keeps track of where each buffer is and joins neighbours. */
#include <string.h>

#include "chip/cpu/plan.h"

struct compiler {
    struct cpu_plan *plan;
    const struct program *program;
    bool *moved; /* [n_buffers] the buffer is in its second place now */
};

static struct row_buffer place(const struct compiler *compiler, int32_t buffer)
{
    return compiler->moved[buffer] ? compiler->plan->renamed[buffer] : compiler->plan->buffers[buffer];
}

static const float *vector(const struct compiler *compiler, int32_t weight)
{
    return weight < 0 ? NULL : (const float *)(const void *)compiler->plan->weights[weight].bytes;
}

static bool contains(const int32_t *list, int32_t n, int32_t value)
{
    for (int32_t i = 0; i < n; i++) {
        if (list[i] == value)
            return true;
    }
    return false;
}

/* Does any operation behind `after` read what `buffer` holds there, apart from operation `except`? */
static bool is_read_later(const struct program *program, int32_t buffer, int32_t after, int32_t except)
{
    for (int32_t i = after + 1; i < program->n_ops; i++) {
        struct op_operands operands;
        op_get_operands(&program->ops[i], &operands);
        if (i != except && contains(operands.reads, operands.n_reads, buffer))
            return true;
        if (i > except && contains(operands.writes, operands.n_writes, buffer))
            return false;
    }
    return false;
}

static bool must_store(const struct compiler *compiler, int32_t buffer, int32_t after, int32_t except)
{
    return compiler->plan->limits.keep_buffers || is_read_later(compiler->program, buffer, after, except);
}

static void compile_norm(struct compiler *compiler, int32_t i, struct stage_norm *norm)
{
    const struct op_norm *op = &compiler->program->ops[i].norm;
    norm->x = place(compiler, op->x);
    norm->weight = vector(compiler, op->weight);
    norm->epsilon = op->epsilon;
    if (op->residual >= 0) {
        norm->residual = place(compiler, op->residual);
        compiler->moved[op->x] = !compiler->moved[op->x];
        norm->sum = place(compiler, op->x);
    }
    norm->out = place(compiler, op->out);
    norm->store_out = true;
}

static void compile_linear(struct compiler *compiler, int32_t i, struct stage_linear *linear)
{
    const struct op_linear *op = &compiler->program->ops[i].linear;
    linear->x = place(compiler, op->x);
    linear->n_outputs = op->n_outputs;
    linear->store_outs = true;
    for (int32_t o = 0; o < op->n_outputs; o++) {
        const struct cpu_weight *weight = &compiler->plan->weights[op->weights[o]];
        linear->weights[o] = weight;
        linear->biases[o] = vector(compiler, op->biases[o]);
        linear->outs[o] = place(compiler, op->outs[o]);
        linear->n_units += (int32_t)((weight->rows + PANEL_OUTPUTS - 1) / PANEL_OUTPUTS);
        if (weight->layout == LAYOUT_PANELS && weight->kind < PANEL_INTEGER_COUNT) {
            linear->first_quantized = linear->needs_quantized ? linear->first_quantized : o;
            linear->needs_quantized = true;
        } else if (weight->layout == LAYOUT_PANELS && weight->kind == PANEL_BF16 && compiler->plan->chip->kernels.bf16_products) {
            linear->needs_bf16 = true;
        }
    }
}

/* The gated activation behind the linear at i, when it can be computed with it. */
static bool can_gate(const struct compiler *compiler, int32_t i, const struct stage_linear *linear)
{
    if (i + 1 >= compiler->program->n_ops || compiler->program->ops[i + 1].kind != OP_GATED_ACTIVATION || linear->n_outputs != 2 ||
        linear->weights[0]->layout != LAYOUT_PANELS || linear->weights[1]->layout != LAYOUT_PANELS)
        return false;
    const struct op_linear *op = &compiler->program->ops[i].linear;
    const struct op_gated_activation *gated = &compiler->program->ops[i + 1].gated;
    bool straight = gated->gate == op->outs[0] && gated->up == op->outs[1], crossed = gated->gate == op->outs[1] && gated->up == op->outs[0];
    return (straight || crossed) && linear->weights[0]->rows % LINEAR_BLOCK == 0 && gated->out != op->outs[0] && gated->out != op->outs[1];
}

static bool reads_only_quantized(const struct compiler *compiler, int32_t i, int32_t x)
{
    if (i >= compiler->program->n_ops || compiler->program->ops[i].kind != OP_LINEAR || compiler->program->ops[i].linear.x != x)
        return false;
    const struct op_linear *op = &compiler->program->ops[i].linear;
    for (int32_t o = 0; o < op->n_outputs; o++) {
        const struct cpu_weight *weight = &compiler->plan->weights[op->weights[o]];
        if (weight->layout != LAYOUT_PANELS || weight->kind >= PANEL_INTEGER_COUNT)
            return false;
    }
    return true;
}

static void add_gate(struct compiler *compiler, int32_t i, struct stage_linear *linear)
{
    const struct op_gated_activation *op = &compiler->program->ops[i + 1].gated;
    const struct op_linear *first = &compiler->program->ops[i].linear;
    linear->gated = true;
    linear->gate = op->gate == first->outs[0] ? 0 : 1;
    linear->up = 1 - linear->gate;
    linear->gated_out = place(compiler, op->out);
    linear->n_units = (int32_t)(linear->weights[0]->rows / LINEAR_BLOCK);
    linear->store_outs = must_store(compiler, op->gate, i, i + 1) || must_store(compiler, op->up, i, i + 1);
    linear->quantize_gated = reads_only_quantized(compiler, i + 2, op->out);
    linear->store_gated = !linear->quantize_gated || must_store(compiler, op->out, i + 1, i + 2);
}

static void compile_rope(struct compiler *compiler, int32_t i, struct stage_rope *rope)
{
    const struct op_rope_cache *op = &compiler->program->ops[i].rope_cache;
    *rope = (struct stage_rope){
        .query = place(compiler, op->query),
        .key = place(compiler, op->key),
        .value = place(compiler, op->value),
        .query_norm = vector(compiler, op->query_norm),
        .key_norm = vector(compiler, op->key_norm),
        .epsilon = op->norm_epsilon,
        .n_heads = op->n_heads,
        .n_pairs = op->rotary_width / 2,
        .table = -1,
        .pairing = op->pairing,
        .group = op->group,
        .layer = op->layer,
    };
    for (int32_t t = 0; rope->n_pairs && t < compiler->plan->n_rope_tables; t++) {
        const struct rope_table *table = &compiler->plan->rope_tables[t];
        if (table->n_pairs == rope->n_pairs && table->magnitude == op->magnitude &&
            !memcmp(table->frequencies, op->frequencies, (size_t)rope->n_pairs * sizeof(double)))
            rope->table = t;
    }
}

static void compile_attention(struct compiler *compiler, int32_t i, struct stage_attention *attention)
{
    const struct op_attention *op = &compiler->program->ops[i].attention;
    attention->query = place(compiler, op->query);
    attention->out = place(compiler, op->out);
    attention->n_heads = op->n_heads;
    attention->rope = NULL; /* see join_rope */
    attention->group = op->group;
    attention->layer = op->layer;
    attention->window = op->window;
    attention->scale = op->scale;
    attention->quantize = compiler->plan->groups[op->group].value_width % LINEAR_BLOCK == 0 && reads_only_quantized(compiler, i + 1, op->out);
    attention->store = !attention->quantize || must_store(compiler, op->out, i, i + 1);
}

static void compile_row_stage(struct compiler *compiler, const struct op *op, struct stage *stage)
{
    switch (op->kind) {
    case OP_EMBED:
        stage->embed.table = &compiler->plan->weights[op->embed.table];
        stage->embed.out = place(compiler, op->embed.out);
        stage->embed.scale = op->embed.scale;
        break;
    case OP_GATED_ACTIVATION:
        stage->gated.gate = place(compiler, op->gated.gate);
        stage->gated.up = place(compiler, op->gated.up);
        stage->gated.out = place(compiler, op->gated.out);
        break;
    case OP_SELECT_ROWS:
        stage->select.x = place(compiler, op->select_rows.x);
        if (op->select_rows.residual >= 0)
            stage->select.residual = place(compiler, op->select_rows.residual);
        stage->select.out = place(compiler, op->select_rows.out);
        break;
    default: stage->logits.x = place(compiler, op->logits.x); break;
    }
}

static const enum stage_kind stage_of_op[OP_KIND_COUNT] = {
    [OP_EMBED] = STAGE_EMBED,        [OP_NORM] = STAGE_NORM,           [OP_LINEAR] = STAGE_LINEAR,
    [OP_ROPE_CACHE] = STAGE_ROPE,    [OP_ATTENTION] = STAGE_ATTENTION, [OP_GATED_ACTIVATION] = STAGE_GATED,
    [OP_SELECT_ROWS] = STAGE_SELECT, [OP_LOGITS] = STAGE_LOGITS,
};

/* The rows an operation runs over: those of what it writes, or, for the logits, of what it reads. */
static enum buffer_rows rows_of_op(const struct program *program, const struct op *op)
{
    struct op_operands operands;
    op_get_operands(op, &operands);
    int32_t buffer = operands.n_writes ? operands.writes[0] : operands.reads[0];
    return program->buffers[buffer].rows;
}

/* Compiles the operation at i and those joined to it; returns how many that are. */
static int32_t compile_stage(struct compiler *compiler, int32_t i, bool quantized, struct stage *stage)
{
    const struct program *program = compiler->program;
    const struct op *op = &program->ops[i];
    int32_t taken = 1;
    stage->kind = stage_of_op[op->kind];
    stage->rows = rows_of_op(program, op);
    if (op->kind == OP_NORM) {
        struct stage_norm norm = {0};
        compile_norm(compiler, i, &norm);
        bool joined = i + 1 < program->n_ops && program->ops[i + 1].kind == OP_LINEAR && program->ops[i + 1].linear.x == op->norm.out;
        if (!joined) {
            stage->norm = norm;
            return 1;
        }
        memset(&stage->linear, 0, sizeof stage->linear);
        norm.store_out = must_store(compiler, op->norm.out, i, i + 1);
        stage->kind = STAGE_LINEAR;
        stage->linear.norm = norm;
        stage->linear.has_norm = true;
        i++;
        op++;
        taken++;
    }
    if (op->kind == OP_LINEAR) {
        compile_linear(compiler, i, &stage->linear);
        stage->linear.quantized_before = quantized;
        if (can_gate(compiler, i, &stage->linear)) {
            add_gate(compiler, i, &stage->linear);
            taken++;
        }
    } else if (op->kind == OP_ROPE_CACHE) {
        compile_rope(compiler, i, &stage->rope);
    } else if (op->kind == OP_ATTENTION) {
        compile_attention(compiler, i, &stage->attention);
    } else {
        compile_row_stage(compiler, op, stage);
    }
    return taken;
}

static bool leaves_quantized(const struct stage *stage)
{
    return (stage->kind == STAGE_ATTENTION && stage->attention.quantize) ||
           (stage->kind == STAGE_LINEAR && stage->linear.gated && stage->linear.quantize_gated);
}

/* A row's key head needs nothing of the others: where each sequence has one row, rotation goes with attention. */
static void join_rope(struct cpu_plan *plan)
{
    for (int32_t i = 1; i < plan->n_stages; i++) {
        const struct stage *before = &plan->stages[i - 1];
        struct stage_attention *attention = &plan->stages[i].attention;
        if (plan->stages[i].kind == STAGE_ATTENTION && before->kind == STAGE_ROPE && before->rope.group == attention->group &&
            before->rope.layer == attention->layer && before->rope.n_heads == attention->n_heads && before->rope.query.rows == attention->query.rows)
            attention->rope = &before->rope;
    }
}

int cpu_compile_stages(struct cpu_plan *plan, const struct program *program, struct error *err)
{
    struct compiler compiler = {.plan = plan, .program = program};
    int32_t head = program_head_begin(program);
    compiler.moved = arena_alloc_array(&plan->arena, (size_t)program->n_buffers + 1, sizeof *compiler.moved);
    plan->stages = arena_alloc_array(&plan->arena, (size_t)program->n_ops, sizeof *plan->stages);
    if (!compiler.moved || !plan->stages)
        return error_no_memory(err, "the stages of a plan");
    for (int32_t i = 0; i < program->n_ops;) {
        bool quantized = plan->n_stages && leaves_quantized(&plan->stages[plan->n_stages - 1]);
        int32_t taken = compile_stage(&compiler, i, quantized, &plan->stages[plan->n_stages]);
        const struct stage *stage = &plan->stages[plan->n_stages];
        plan->head_has_norm |= i + 1 == head && taken > 1 && stage->kind == STAGE_LINEAR && stage->linear.has_norm;
        if (i < head)
            plan->head_stage = plan->head_has_norm ? plan->n_stages : plan->n_stages + 1;
        i += taken;
        plan->n_stages++;
    }
    join_rope(plan);
    for (int32_t b = 0; b < program->n_buffers; b++)
        plan->current[b] = place(&compiler, b);
    return 0;
}
