/* The program as calls over the plan's buffers, for one shape of step. Each operation becomes a few calls of the vendor's operators; where a fused one is
 * missing in the version found it is composed from simpler ones.
 *
 * Buffers have up to two places: an operation that changes a buffer writes the other place, because in-place forms of these operators are either missing
 * or do not say that input and output may overlap. Which place is current is known while compiling; every shape goes through the same operations, so it
 * is the same for all. */
#include <string.h>

#include "chip/ascend/plan.h"

/* What compiling one shape shares. */
struct compiler {
    struct ascend_plan *plan;
    struct variant *variant;
    struct call_list *calls;
    unsigned char place[PLAN_MAX_BUFFERS]; /* current place of each buffer */
    int32_t attention;                     /* ordinal of the next attention */
};

static void *current(const struct compiler *compiler, int32_t buffer)
{
    return compiler->plan->buffers[buffer].places[compiler->place[buffer]];
}

static void *other(const struct compiler *compiler, int32_t buffer)
{
    return compiler->plan->buffers[buffer].places[!compiler->place[buffer]];
}

static void flip(struct compiler *compiler, int32_t buffer)
{
    compiler->place[buffer] = !compiler->place[buffer];
}

static int64_t rows_of(const struct compiler *compiler, int32_t buffer)
{
    return compiler->plan->buffers[buffer].is_per_logit_row ? compiler->variant->key.n_logit_rows : compiler->variant->key.n_rows;
}

static struct view rows_at(const struct compiler *compiler, int32_t buffer, void *place)
{
    const struct plan_buffer *found = &compiler->plan->buffers[buffer];
    return view_2d(place, found->type, rows_of(compiler, buffer), found->width);
}

static struct view rows(const struct compiler *compiler, int32_t buffer)
{
    return rows_at(compiler, buffer, current(compiler, buffer));
}

static void *input_at(const struct ascend_plan *plan, uint64_t at)
{
    return plan->pool + plan->inputs_at + at;
}

/* ---- Operations. */

static void compile_embed(struct compiler *compiler, struct planned_op *planned)
{
    struct ascend_plan *plan = compiler->plan;
    const struct op_embed *embed = &planned->op->embed;
    const struct device_weight *table = &plan->weights[planned->weight];
    int64_t n = compiler->variant->key.n_rows, pool = (int64_t)((plan->inputs_at + compiler->variant->layout.tokens) / 4) + n;
    struct view tokens = view_1d(plan->tokens, ACL_I32, n), out = rows(compiler, embed->out);
    /* a row's token is one of this step's or the argmax of the step before: both lie in the pool */
    add_select(compiler->calls, view_1d(plan->pool, ACL_I32, pool), view_1d(input_at(plan, compiler->variant->layout.sources), ACL_I32, n), tokens);
    add_embedding(compiler->calls, view_2d(table->data, plan->type, table->rows, table->columns), tokens, out);
    if (embed->scale < 1 || embed->scale > 1) {
        add_times_scalar(compiler->calls, out, embed->scale, rows_at(compiler, embed->out, other(compiler, embed->out)));
        flip(compiler, embed->out);
    }
}

static void compile_norm(struct compiler *compiler, struct planned_op *planned)
{
    struct ascend_plan *plan = compiler->plan;
    const struct op_norm *norm = &planned->op->norm;
    double epsilon = (double)norm->epsilon;
    struct view gamma = view_1d(plan->weights[planned->weight].data, plan->type, plan->buffers[norm->x].width);
    struct view rstd = view_2d(plan->rstd, ACL_F32, rows_of(compiler, norm->x), 1), out = rows(compiler, norm->out);
    if (norm->residual < 0) {
        add_rms_norm(compiler->calls, rows(compiler, norm->x), gamma, epsilon, rstd, out);
        return;
    }
    struct view sum = rows_at(compiler, norm->x, other(compiler, norm->x));
    if (ascend_has(compiler->calls->library, OPERATOR_ADD_RMS_NORM)) {
        add_add_rms_norm(compiler->calls, rows(compiler, norm->x), rows(compiler, norm->residual), gamma, epsilon, rstd, sum, out);
    } else {
        add_sum(compiler->calls, rows(compiler, norm->x), rows(compiler, norm->residual), sum);
        add_rms_norm(compiler->calls, sum, gamma, epsilon, rstd, out);
    }
    flip(compiler, norm->x);
}

static void compile_linear(struct compiler *compiler, struct planned_op *planned)
{
    struct ascend_plan *plan = compiler->plan;
    const struct op_linear *linear = &planned->op->linear;
    struct view x = rows(compiler, linear->x);
    int64_t n = rows_of(compiler, linear->x);
    struct view codes = view_2d(plan->quantised, ACL_I8, n, x.dims[1]), scales = view_1d(plan->row_scales, ACL_F32, n);
    bool is_quantised = false;
    for (int32_t p = 0; p < planned->n_products; p++) {
        const struct linear_product *product = &planned->products[p];
        const struct device_weight *weight = &plan->weights[product->weight];
        struct view out = product->out >= 0 ? rows(compiler, product->out) : view_2d(plan->wide, plan->type, n, weight->rows);
        if (weight->form == FORM_INT8) {
            if (!is_quantised)
                add_dynamic_quant(compiler->calls, x, codes, scales); /* once for all products of one input */
            is_quantised = true;
            add_quant_matmul(compiler->calls, codes, scales, view_quant_weight(weight->data, weight->rows, weight->columns),
                             view_1d(weight->scales, ACL_F32, weight->rows),
                             product->bias >= 0 ? view_1d(plan->weights[product->bias].data, ACL_F32, weight->rows) : (struct view){0}, out);
            continue;
        }
        add_matmul(compiler->calls, x, view_weight(weight->data, plan->type, weight->rows, weight->columns, weight->form == FORM_FRACTALS), out);
        if (product->bias >= 0)
            add_sum_in_place(compiler->calls, out, view_1d(plan->weights[product->bias].data, plan->type, weight->rows));
    }
}

/* Heads of a buffer normed into its other place. */
static void compile_head_norm(struct compiler *compiler, int32_t buffer, int64_t n_heads, int64_t width, int32_t weight, double epsilon)
{
    struct ascend_plan *plan = compiler->plan;
    int64_t n = rows_of(compiler, buffer);
    if (weight < 0)
        return;
    add_rms_norm(compiler->calls, view_3d(current(compiler, buffer), plan->type, n, n_heads, width), view_1d(plan->weights[weight].data, plan->type, width),
                 epsilon, view_3d(plan->rstd, ACL_F32, n, n_heads, 1), view_3d(other(compiler, buffer), plan->type, n, n_heads, width));
    flip(compiler, buffer);
}

/* out = x * cos + (x partners) * sin, for head widths or pairings that no fused operator takes. */
static void compile_composed_rope(struct compiler *compiler, const struct rope_table *rope, int32_t buffer, int64_t n_heads)
{
    struct ascend_plan *plan = compiler->plan;
    int64_t n = rows_of(compiler, buffer), width = rope->head_width;
    struct view x = view_3d(current(compiler, buffer), plan->type, n, n_heads, width), flat = view_2d(x.data, plan->type, n * n_heads, width);
    struct view partners = view_3d(plan->rope_scratch[0], plan->type, n, n_heads, width);
    struct view by_cosine = view_3d(plan->rope_scratch[1], plan->type, n, n_heads, width);
    struct view by_sine = view_3d(plan->rope_scratch[2], plan->type, n, n_heads, width);
    add_matmul(compiler->calls, flat, view_2d(rope->partners, plan->type, width, width), view_2d(partners.data, plan->type, n * n_heads, width));
    add_product(compiler->calls, x, view_3d(rope->row_cosines, plan->type, n, 1, width), by_cosine);
    add_product(compiler->calls, partners, view_3d(rope->row_sines, plan->type, n, 1, width), by_sine);
    add_sum(compiler->calls, by_cosine, by_sine, view_3d(other(compiler, buffer), plan->type, n, n_heads, width));
    flip(compiler, buffer);
}

static void compile_rotation(struct compiler *compiler, const struct planned_op *planned, int64_t kv_heads)
{
    struct ascend_plan *plan = compiler->plan;
    const struct op_rope_cache *op = &planned->op->rope_cache;
    const struct rope_table *rope = &plan->ropes[planned->rope];
    int64_t n = compiler->variant->key.n_rows, width = rope->head_width;
    if (rope->form == ROPE_COMPOSED) {
        compile_composed_rope(compiler, rope, op->query, op->n_heads);
        compile_composed_rope(compiler, rope, op->key, kv_heads);
    } else if (rope->form == ROPE_APPLY) {
        add_rotary(compiler->calls, view_3d(current(compiler, op->query), plan->type, n, op->n_heads, width),
                   view_3d(current(compiler, op->key), plan->type, n, kv_heads, width), view_3d(rope->row_cosines, plan->type, n, 1, width),
                   view_3d(rope->row_sines, plan->type, n, 1, width));
    } else {
        add_rope_by_position(compiler->calls, view_1d(input_at(plan, compiler->variant->layout.long_positions), ACL_I64, n), rows(compiler, op->query),
                             rows(compiler, op->key), view_2d(rope->cosines, plan->type, plan->limits.max_context, rope->rotary_width), width,
                             rope->pairing == ROPE_HALVES, rows_at(compiler, op->query, other(compiler, op->query)),
                             rows_at(compiler, op->key, other(compiler, op->key)));
        flip(compiler, op->query);
        flip(compiler, op->key);
    }
}

static char *layer_cache(const struct plan_group *group, int32_t layer, int stream)
{
    return group->memory + (uint64_t)layer * group->layer_bytes + (stream ? group->block_bytes[0] * (uint64_t)group->n_blocks : 0);
}

static void compile_cache_write(struct compiler *compiler, const struct op_rope_cache *op)
{
    struct ascend_plan *plan = compiler->plan;
    const struct plan_group *group = &plan->groups[op->group];
    int64_t n = compiler->variant->key.n_rows, block = plan->limits.block_tokens;
    struct view slots = view_1d(input_at(plan, compiler->variant->layout.slots[op->group]), ACL_I32, n), sources[2], caches[2];
    const int32_t buffers[] = {op->key, op->value};
    bool has_scatter = ascend_has(compiler->calls->library, OPERATOR_SCATTER_KV);
    for (int i = 0; i < 2; i++) {
        int64_t width = group->width[i], heads = group->n_heads;
        char *cache = layer_cache(group, op->layer, i);
        sources[i] = has_scatter ? view_3d(current(compiler, buffers[i]), plan->type, n, heads, width) : rows(compiler, buffers[i]);
        caches[i] =
            has_scatter ? view_4d(cache, plan->type, group->n_blocks, block, heads, width) : view_2d(cache, plan->type, group->n_blocks * block, heads * width);
    }
    if (has_scatter)
        add_scatter_kv(compiler->calls, sources[0], caches[0], slots, sources[1], caches[1]);
    for (int i = 0; i < 2 && !has_scatter; i++)
        add_index_copy(compiler->calls, caches[i], slots, sources[i]);
}

static void compile_rope_cache(struct compiler *compiler, struct planned_op *planned)
{
    const struct op_rope_cache *op = &planned->op->rope_cache;
    const struct plan_group *group = &compiler->plan->groups[op->group];
    compile_head_norm(compiler, op->query, op->n_heads, group->width[0], planned->weight, (double)op->norm_epsilon);
    compile_head_norm(compiler, op->key, group->n_heads, group->width[0], planned->second, (double)op->norm_epsilon);
    if (planned->rope >= 0)
        compile_rotation(compiler, planned, group->n_heads);
    compile_cache_write(compiler, op);
}

static void compile_gated(struct compiler *compiler, struct planned_op *planned)
{
    struct ascend_plan *plan = compiler->plan;
    const struct op_gated_activation *gated = &planned->op->gated;
    struct view out = rows(compiler, gated->out), wide = view_2d(plan->wide, plan->type, out.dims[0], 2 * out.dims[1]);
    if (!planned->reads_wide)
        add_concatenate(compiler->calls, rows(compiler, gated->gate), rows(compiler, gated->up), wide);
    add_swiglu(compiler->calls, wide, out);
}

static void compile_select(struct compiler *compiler, struct planned_op *planned)
{
    struct ascend_plan *plan = compiler->plan;
    const struct op_select_rows *select = &planned->op->select_rows;
    int64_t n = compiler->variant->key.n_logit_rows;
    struct view wanted = view_1d(input_at(plan, compiler->variant->layout.logit_rows), ACL_I32, n), out = rows(compiler, select->out);
    add_select(compiler->calls, rows(compiler, select->x), wanted, out);
    if (select->residual < 0)
        return;
    struct view residual = view_2d(plan->selected, plan->type, n, out.dims[1]);
    add_select(compiler->calls, rows(compiler, select->residual), wanted, residual);
    add_sum_in_place(compiler->calls, out, residual);
}

static void compile_logits(struct compiler *compiler, struct planned_op *planned)
{
    struct ascend_plan *plan = compiler->plan;
    int64_t n = compiler->variant->key.n_logit_rows;
    struct view x = rows(compiler, planned->op->logits.x), logits = view_2d(plan->logits, ACL_F32, n, plan->program->n_vocabulary);
    if (x.type == ACL_F32)
        logits = x;
    else
        add_cast(compiler->calls, x, logits);
    add_arg_max(compiler->calls, logits, view_1d(plan->pool, ACL_I32, n));
    int64_t k = plan->program->n_vocabulary < TOP_CANDIDATES ? plan->program->n_vocabulary : TOP_CANDIDATES;
    if (compiler->variant->key.has_top)
        add_top_k(compiler->calls, logits, k, view_2d(plan->top_values, ACL_F32, n, k), view_2d(plan->top_ids, ACL_I64, n, k));
}

/* ---- Attention. */

/* Bool masks of a span whose rows are sequences: 1 where a key may not be seen. distance = key - length is below 0 for keys of the sequence; a window
 * keeps those of -window <= distance, and (distance + window) * (distance + 1) is above 0 outside [-window, -1]. All of it exact in f32 (positions stay
 * below 2^24). */
void ascend_add_mask(struct ascend_plan *plan, struct call_list *calls, const struct span *span, int32_t window)
{
    int64_t n = span->n_rows, keys = (int64_t)span->table_blocks * plan->limits.block_tokens;
    struct view distance = view_2d(plan->distances[0], ACL_F32, n, keys), mask = view_2d(plan->masks[window], ACL_BOOL, n, keys);
    add_difference(calls, view_2d(plan->key_positions, ACL_F32, 1, keys), view_2d(input_at(plan, span->lengths_at), ACL_F32, n, 1), distance);
    if (plan->windows[window] == 0) {
        add_at_least(calls, distance, 0, mask);
        return;
    }
    struct view from_window = view_2d(plan->distances[1], ACL_F32, n, keys), from_end = view_2d(plan->distances[2], ACL_F32, n, keys);
    add_plus_scalar(calls, distance, (float)plan->windows[window], from_window);
    add_plus_scalar(calls, distance, 1, from_end);
    add_product(calls, from_window, from_end, distance);
    add_above(calls, distance, 0, mask);
}

void ascend_add_attention(struct ascend_plan *plan, struct call_list *calls, const struct planned_op *planned, const struct span *span, const int64_t *lengths,
                          bool is_masked)
{
    const struct op_attention *op = &planned->op->attention;
    const struct plan_group *group = &plan->groups[op->group];
    const struct plan_buffer *query = &plan->buffers[op->query], *out = &plan->buffers[op->out];
    int64_t block = plan->limits.block_tokens, heads = op->n_heads, batch = span->is_rows ? span->n_rows : 1, queries = span->is_rows ? 1 : span->n_rows;
    uint64_t at = (uint64_t)span->first_row * acl_type_bytes(plan->type);
    char *query_rows = query->places[planned->query_place], *out_rows = out->places[planned->out_place];
    struct attention_call call = {
        .query = view_4d(query_rows + at * (uint64_t)query->width, plan->type, batch, queries, heads, group->width[0]),
        .out = view_4d(out_rows + at * (uint64_t)out->width, plan->type, batch, queries, heads, group->width[1]),
        .keys = view_3d(layer_cache(group, op->layer, 0), plan->type, group->n_blocks, block, (int64_t)group->n_heads * group->width[0]),
        .values = view_3d(layer_cache(group, op->layer, 1), plan->type, group->n_blocks, block, (int64_t)group->n_heads * group->width[1]),
        .table = view_2d(input_at(plan, span->tables_at[op->group]), ACL_I32, batch, span->table_blocks),
        .lengths = lengths,
        .batch = (int32_t)batch,
        .n_heads = heads,
        .n_kv_heads = group->n_heads,
        .block_tokens = block,
        .scale = (double)op->scale,
        .sparse = span->is_rows ? ACL_SPARSE_NONE
                  : op->window  ? ACL_SPARSE_BAND
                                : ACL_SPARSE_CAUSAL,
        .before = op->window ? op->window - 1 : 0,
    };
    if (!span->is_rows)
        call.mask = view_2d(plan->triangle, ACL_BOOL, ACL_CAUSAL_MASK, ACL_CAUSAL_MASK);
    else if (is_masked || op->window)
        call.mask = view_4d(plan->masks[ascend_window_index(plan, op->window)], ACL_BOOL, batch, 1, 1, (int64_t)span->table_blocks * block);
    calls->label = planned->op->label;
    add_attention(calls, &call);
}

static void compile_attention(struct compiler *compiler, struct planned_op *planned)
{
    struct ascend_plan *plan = compiler->plan;
    planned->query_place = compiler->place[planned->op->attention.query]; /* the same in every shape */
    planned->out_place = compiler->place[planned->op->attention.out];
    if (compiler->variant->key.table_blocks == 0)
        add_place(compiler->calls, compiler->attention++);
    else
        ascend_add_attention(plan, compiler->calls, planned, &compiler->variant->span, compiler->variant->lengths, !plan->chip->options.updates);
}

/* ---- The whole. */

/* The step's rows of cosines and sines, for the rotations that take them. */
static void compile_rope_rows(struct compiler *compiler)
{
    struct ascend_plan *plan = compiler->plan;
    int64_t n = compiler->variant->key.n_rows;
    compiler->calls->label = "cosines and sines of the step";
    for (int32_t i = 0; i < plan->n_ropes; i++) {
        const struct rope_table *rope = &plan->ropes[i];
        struct view positions = view_1d(input_at(plan, compiler->variant->layout.positions), ACL_I32, n);
        if (rope->form == ROPE_BY_POSITION)
            continue;
        add_select(compiler->calls, view_2d(rope->cosines, plan->type, plan->limits.max_context, rope->head_width), positions,
                   view_2d(rope->row_cosines, plan->type, n, rope->head_width));
        add_select(compiler->calls, view_2d(rope->sines, plan->type, plan->limits.max_context, rope->head_width), positions,
                   view_2d(rope->row_sines, plan->type, n, rope->head_width));
    }
}

static void (*const compilers[OP_KIND_COUNT])(struct compiler *, struct planned_op *) = {
    [OP_EMBED] = compile_embed,           [OP_NORM] = compile_norm,           [OP_LINEAR] = compile_linear,
    [OP_ROPE_CACHE] = compile_rope_cache, [OP_ATTENTION] = compile_attention, [OP_GATED_ACTIVATION] = compile_gated,
    [OP_SELECT_ROWS] = compile_select,    [OP_LOGITS] = compile_logits,
};

/* Whether an operation works on logit rows, of which a step may have none. */
static bool is_of_logit_rows(const struct ascend_plan *plan, const struct op *op)
{
    struct op_operands operands;
    op_get_operands(op, &operands);
    return op->kind == OP_LOGITS || plan->buffers[operands.writes[0]].is_per_logit_row;
}

/* A buffer that is written anew begins at its first place. */
static void reset_places(struct compiler *compiler, const struct op *op)
{
    struct op_operands operands;
    op_get_operands(op, &operands);
    for (int32_t w = 0; w < operands.n_writes; w++) {
        bool is_read = false;
        for (int32_t r = 0; r < operands.n_reads; r++)
            is_read = is_read || operands.reads[r] == operands.writes[w];
        if (!is_read)
            compiler->place[operands.writes[w]] = 0;
    }
}

void ascend_compile(struct ascend_plan *plan, struct variant *variant)
{
    struct compiler compiler = {.plan = plan, .variant = variant, .calls = &variant->calls};
    int32_t n_ops = variant->key.has_head ? plan->program->n_ops : program_head_begin(plan->program);
    compile_rope_rows(&compiler);
    compiler.calls->label = "masks of the step";
    for (int32_t w = 0; variant->key.table_blocks && w < plan->n_windows; w++)
        if (plan->windows[w] || !plan->chip->options.updates)
            ascend_add_mask(plan, compiler.calls, &variant->span, w);
    for (int32_t i = 0; i < n_ops; i++) {
        struct planned_op *planned = &plan->ops[i];
        compiler.calls->label = planned->op->label;
        if (!variant->key.n_logit_rows && is_of_logit_rows(plan, planned->op))
            continue;
        reset_places(&compiler, planned->op);
        compilers[planned->op->kind](&compiler, planned);
    }
    if (n_ops == plan->program->n_ops)
        memcpy(plan->end_place, compiler.place, (size_t)plan->program->n_buffers);
}

void *ascend_buffer_end(const struct ascend_plan *plan, int32_t buffer)
{
    return plan->buffers[buffer].places[plan->end_place[buffer]];
}
