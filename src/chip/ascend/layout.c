/* What a program becomes on this chip, decided before anything is allocated: which device weights there are and in which form, which products a linear is
 * made of, how rotations are done, how large everything is. No device is touched, so the same decisions serve estimates for chips that are not here. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "chip/ascend/plan.h"

enum { INT8_LEAST_ROWS = 16, INT8_LEAST_COLUMNS = 32, ROW_SEQUENCES_LEAST = 16, ARENA_LIMIT = 256 << 20 };
#define MASK_ELEMENTS_MOST (INT64_C(1) << 25) /* of the masks of rows as sequences: some 300 MB of scratch */

/* ---- Padded sizes: few different shapes, little padding. */

static int32_t round_up_power(int32_t n)
{
    int32_t power = 1;
    while (power < n)
        power *= 2;
    return power;
}

int32_t ascend_pad_rows(int32_t n)
{
    if (n <= 16)
        return n == 0 ? 0 : round_up_power(n);
    int32_t unit = n <= 128 ? 16 : 64;
    return (n + unit - 1) / unit * unit;
}

/* 1, 2, 3, 4, 6, 8, 12, 16, ...: at most half as many again as needed, a fifth on average. */
int32_t ascend_pad_blocks(int32_t n)
{
    int32_t power = round_up_power(n);
    return power >= 4 && power / 4 * 3 >= n ? power / 4 * 3 : power;
}

/* ---- Device weights. */

static int32_t find_weight(const struct ascend_plan *plan, const struct device_weight *wanted)
{
    for (int32_t w = 0; w < plan->n_weights; w++) {
        const struct device_weight *found = &plan->weights[w];
        if (found->form == wanted->form && found->n_members == wanted->n_members && found->columns == wanted->columns &&
            memcmp(found->members, wanted->members, sizeof found->members) == 0)
            return w;
    }
    return -1;
}

static uint64_t bytes_of(const struct ascend_plan *plan, const struct device_weight *weight)
{
    switch (weight->form) {
    case FORM_VECTOR:
    case FORM_TABLE: return (uint64_t)weight->rows * (uint64_t)weight->columns * acl_type_bytes(plan->type);
    case FORM_VECTOR32: return (uint64_t)weight->columns * 4;
    case FORM_FRACTALS: return view_nz_bytes(plan->type, weight->rows, weight->columns);
    case FORM_INT8: return view_nz_bytes(ACL_I8, weight->rows, weight->columns);
    }
    return 0;
}

/* A weight of one or two members; no members: a vector of ones. */
static int32_t add_weight(struct ascend_plan *plan, enum weight_form form, int32_t first, int32_t second, int64_t columns)
{
    struct device_weight weight = {.form = form, .n_members = (first >= 0) + (second >= 0), .members = {first, second}, .rows = 1, .columns = columns};
    bool is_vector = form == FORM_VECTOR || form == FORM_VECTOR32;
    for (int32_t m = 0; m < weight.n_members; m++) {
        const struct logical_weight *member = &plan->program->weights[weight.members[m]];
        if (!is_vector)
            weight.rows = m ? weight.rows + member->rows : member->rows;
        weight.columns = is_vector && m ? weight.columns + member->columns : member->columns;
    }
    int32_t found = find_weight(plan, &weight);
    if (found >= 0)
        return found;
    weight.shared_with = plan->n_weights;
    weight.bytes = bytes_of(plan, &weight);
    weight.scale_bytes = form == FORM_INT8 ? (uint64_t)weight.rows * 4 : 0;
    plan->weights[plan->n_weights] = weight;
    return plan->n_weights++;
}

/* The table that an embedding made of the same bytes, -1: none. */
static int32_t find_tied_table(const struct ascend_plan *plan, const struct logical_weight *weight)
{
    for (int32_t w = 0; w < plan->n_weights; w++) {
        if (plan->weights[w].form != FORM_TABLE || plan->weights[w].n_members != 1)
            continue;
        const struct logical_weight *table = &plan->program->weights[plan->weights[w].members[0]];
        bool same = table->role == WEIGHT_EMBEDDING && table->n_parts == weight->n_parts && table->rows == weight->rows && table->columns == weight->columns;
        for (int32_t p = 0; same && p < weight->n_parts; p++)
            same = weight_part_is_same(&table->parts[p], &weight->parts[p]);
        if (same)
            return w;
    }
    return -1;
}

/* Whether a linear's outputs go straight into a gated activation: its inputs are the tamest of a layer, its weights the most. */
static bool feeds_gate(const struct program *program, int32_t index)
{
    const struct op_linear *linear = &program->ops[index].linear;
    const struct op *next = index + 1 < program->n_ops ? &program->ops[index + 1] : NULL;
    return next && next->kind == OP_GATED_ACTIVATION && linear->n_outputs == 2 && linear->outs[0] == next->gated.gate && linear->outs[1] == next->gated.up;
}

static enum weight_form choose_form(const struct ascend_plan *plan, const struct ascend_profile *profile, int32_t index, int64_t rows, int64_t columns)
{
    bool is_int8 = profile->int8 == INT8_ALL || (profile->int8 == INT8_GATES && feeds_gate(plan->program, index));
    if (is_int8 && plan->program->ops[index].layer >= 0 && rows >= INT8_LEAST_ROWS && columns >= INT8_LEAST_COLUMNS)
        return FORM_INT8;
    return rows == 1 || columns == 1 ? FORM_TABLE : FORM_FRACTALS; /* the vendor's conversion takes no single row or column */
}

/* ---- Linears. */

/* Whether every reader of gate and up is a gated activation right behind the linear that writes both: then the two are one product side by side. */
static bool is_gate_and_up(const struct ascend_plan *plan, int32_t index)
{
    const struct program *program = plan->program;
    const struct op_linear *linear = &program->ops[index].linear;
    if (plan->limits.keep_buffers || linear->n_outputs != 2 || index + 1 >= program->n_ops || program->ops[index + 1].kind != OP_GATED_ACTIVATION ||
        (linear->biases[0] >= 0) != (linear->biases[1] >= 0))
        return false;
    const struct op_gated_activation *gated = &program->ops[index + 1].gated;
    if (gated->gate != linear->outs[0] || gated->up != linear->outs[1])
        return false;
    for (int32_t i = 0; i < program->n_ops; i++) {
        struct op_operands operands;
        op_get_operands(&program->ops[i], &operands);
        bool reads = false;
        for (int32_t r = 0; r < operands.n_reads; r++)
            reads = reads || operands.reads[r] == gated->gate || operands.reads[r] == gated->up;
        if (!reads)
            continue;
        const struct op *before = i ? &program->ops[i - 1] : NULL, *op = &program->ops[i];
        if (op->kind != OP_GATED_ACTIVATION || op->gated.gate != gated->gate || op->gated.up != gated->up || !before || before->kind != OP_LINEAR ||
            before->linear.n_outputs != 2 || before->linear.outs[0] != gated->gate || before->linear.outs[1] != gated->up)
            return false;
    }
    return true;
}

static int32_t add_bias(struct ascend_plan *plan, enum weight_form form, int32_t first, int32_t second)
{
    return first < 0 ? -1 : add_weight(plan, form == FORM_INT8 ? FORM_VECTOR32 : FORM_VECTOR, first, second, 0);
}

static void plan_linear(struct ascend_plan *plan, const struct ascend_profile *profile, int32_t index)
{
    struct planned_op *planned = &plan->ops[index];
    const struct op_linear *linear = &planned->op->linear;
    const struct logical_weight *weights = plan->program->weights;
    if (is_gate_and_up(plan, index)) {
        const struct logical_weight *gate = &weights[linear->weights[0]];
        enum weight_form form = choose_form(plan, profile, index, 2 * gate->rows, gate->columns);
        planned->n_products = 1;
        planned->products[0] = (struct linear_product){.weight = add_weight(plan, form, linear->weights[0], linear->weights[1], 0), .out = -1};
        planned->products[0].bias = add_bias(plan, form, linear->biases[0], linear->biases[1]);
        plan->ops[index + 1].reads_wide = true;
        return;
    }
    planned->n_products = linear->n_outputs;
    for (int32_t i = 0; i < linear->n_outputs; i++) {
        const struct logical_weight *weight = &weights[linear->weights[i]];
        enum weight_form form = choose_form(plan, profile, index, weight->rows, weight->columns);
        int32_t tied = form == FORM_INT8 ? -1 : find_tied_table(plan, weight);
        planned->products[i] = (struct linear_product){.weight = tied >= 0 ? tied : add_weight(plan, form, linear->weights[i], -1, 0), .out = linear->outs[i]};
        planned->products[i].bias = add_bias(plan, form, linear->biases[i], -1);
    }
}

/* ---- Rotations. */

static int32_t add_rope(struct ascend_plan *plan, const struct ascend_profile *profile, const struct op_rope_cache *rope)
{
    struct rope_table table = {
        .frequencies = rope->frequencies,
        .rotary_width = rope->rotary_width,
        .head_width = plan->program->groups[rope->group].streams[CACHE_KEYS].width,
        .pairing = rope->pairing,
        .magnitude = rope->magnitude,
        .form = ascend_choose_rope(plan->chip ? plan->chip->library : NULL, profile, plan->program, rope, plan->type),
    };
    if (table.form == ROPE_NONE)
        return -1;
    for (int32_t t = 0; t < plan->n_ropes; t++) {
        const struct rope_table *found = &plan->ropes[t];
        if (found->rotary_width == table.rotary_width && found->head_width == table.head_width && found->pairing == table.pairing &&
            !(found->magnitude < table.magnitude) && !(found->magnitude > table.magnitude) && found->form == table.form &&
            memcmp(found->frequencies, table.frequencies, (size_t)table.rotary_width / 2 * sizeof *table.frequencies) == 0)
            return t;
    }
    plan->ropes[plan->n_ropes] = table;
    return plan->n_ropes++;
}

int32_t ascend_window_index(const struct ascend_plan *plan, int32_t window)
{
    for (int32_t i = 0; i < plan->n_windows; i++)
        if (plan->windows[i] == window)
            return i;
    return -1;
}

static int plan_op(struct ascend_plan *plan, const struct ascend_profile *profile, int32_t index, struct error *err)
{
    const struct op *op = &plan->program->ops[index];
    struct planned_op *planned = &plan->ops[index];
    planned->op = op;
    planned->weight = planned->second = planned->rope = -1;
    switch (op->kind) {
    case OP_EMBED: planned->weight = add_weight(plan, FORM_TABLE, op->embed.table, -1, 0); break;
    case OP_NORM: planned->weight = add_weight(plan, FORM_VECTOR, op->norm.weight, -1, plan->program->buffers[op->norm.x].width); break;
    case OP_LINEAR: plan_linear(plan, profile, index); break;
    case OP_ROPE_CACHE:
        planned->weight = op->rope_cache.query_norm < 0 ? -1 : add_weight(plan, FORM_VECTOR, op->rope_cache.query_norm, -1, 0);
        planned->second = op->rope_cache.key_norm < 0 ? -1 : add_weight(plan, FORM_VECTOR, op->rope_cache.key_norm, -1, 0);
        planned->rope = add_rope(plan, profile, &op->rope_cache);
        break;
    case OP_ATTENTION:
        plan->n_attentions++;
        if (ascend_window_index(plan, op->attention.window) >= 0)
            break;
        if (plan->n_windows == PLAN_MAX_WINDOWS)
            return error_set(err, SAMPAN_EUNSUPPORTED, "%s: more than %d different attention windows in one program", op->label, PLAN_MAX_WINDOWS);
        plan->windows[plan->n_windows++] = op->attention.window;
        break;
    default: break;
    }
    return 0;
}

/* ---- Sizes. */

static int check_limits(struct ascend_plan *plan, const struct ascend_options *options, struct error *err)
{
    struct plan_limits *limits = &plan->limits;
    limits->block_tokens = limits->block_tokens ? limits->block_tokens : PLAN_BLOCK_UNIT;
    if (plan->program->n_groups && (limits->block_tokens % PLAN_BLOCK_UNIT || ATTENTION_SPAN % limits->block_tokens))
        return error_set(err, SAMPAN_EUNSUPPORTED, "blocks of %d tokens; paged attention of several queries takes blocks of %d or %d", limits->block_tokens,
                         PLAN_BLOCK_UNIT, ATTENTION_SPAN);
    if (options && options->fixed_rows && limits->max_tokens > options->fixed_rows)
        return error_set(err, SAMPAN_EUNSUPPORTED, "steps of up to %d rows, but option rows=%d fixes their number", limits->max_tokens, options->fixed_rows);
    if (plan->program->n_groups && limits->cache_type != (plan->type == ACL_F16 ? TENSOR_F16 : TENSOR_BF16))
        return error_set(err, SAMPAN_EUNSUPPORTED, "a cache of %s with activations of %s: fused attention takes one type for both (option type=bf16|f16)",
                         tensor_types[limits->cache_type].name, plan->type == ACL_F16 ? "f16" : "bf16");
    const struct {
        const char *what;
        int32_t found, least, most;
    } sizes[] = {
        {"max_tokens", limits->max_tokens, 1, LIMIT_CONTEXT},
        {"max_sequences", limits->max_sequences, 1, LIMIT_SEQUENCES},
        {"max_logit_rows", limits->max_logit_rows, 0, LIMIT_CONTEXT},
        {"max_context", limits->max_context, 1, LIMIT_CONTEXT},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].found < sizes[i].least || sizes[i].found > sizes[i].most)
            return error_set(err, SAMPAN_EINVAL, "%s is %d, expected %d to %d", sizes[i].what, sizes[i].found, sizes[i].least, sizes[i].most);
    for (int32_t g = 0; g < plan->program->n_groups; g++)
        if (limits->n_blocks[g] < 1)
            return error_set(err, SAMPAN_EINVAL, "cache group '%s' has %d blocks, expected at least 1", plan->program->groups[g].name, limits->n_blocks[g]);
    return 0;
}

static void choose_rows(struct ascend_plan *plan, const struct ascend_options *options)
{
    const struct plan_limits *limits = &plan->limits;
    int32_t fixed = options ? options->fixed_rows : 0;
    plan->max_table_blocks = ascend_pad_blocks((limits->max_context + limits->block_tokens - 1) / limits->block_tokens);
    plan->row_sequences = limits->max_sequences > ROW_SEQUENCES_LEAST ? ascend_pad_rows(limits->max_sequences) : ROW_SEQUENCES_LEAST;
    int64_t keys = (int64_t)plan->max_table_blocks * limits->block_tokens;
    while (plan->row_sequences > 1 && plan->row_sequences * keys > MASK_ELEMENTS_MOST)
        plan->row_sequences /= 2;
    plan->row_sequences = fixed ? fixed : plan->row_sequences;
    plan->max_rows = ascend_pad_rows(limits->max_tokens);
    plan->max_rows = plan->max_rows > plan->row_sequences ? plan->max_rows : plan->row_sequences;
    plan->max_logit_rows = ascend_pad_rows(limits->max_logit_rows ? limits->max_logit_rows : 1);
}

void ascend_layout_groups(struct ascend_plan *plan)
{
    int32_t block = plan->limits.block_tokens, spare = (plan->max_rows + block - 1) / block;
    int32_t fixed = plan->chip && plan->chip->options.fixed_rows ? plan->chip->options.fixed_rows * plan->max_table_blocks : 0;
    if (plan->chip && plan->chip->options.updates) /* padded rows have a length of one block each */
        spare = spare > plan->row_sequences ? spare : plan->row_sequences;
    plan->description.cache_bytes = 0;
    for (int32_t g = 0; g < plan->program->n_groups; g++) {
        const struct program_cache_group *from = &plan->program->groups[g];
        struct plan_group *group = &plan->groups[g];
        *group = (struct plan_group){.n_layers = from->n_layers, .n_heads = from->streams[CACHE_KEYS].n_heads};
        group->null_block = plan->limits.n_blocks[g];
        group->first_spare = group->null_block + 1;
        group->n_blocks = group->first_spare + spare;
        group->n_blocks = group->n_blocks > fixed ? group->n_blocks : fixed; /* attention wants as many blocks as its lengths name */
        for (int i = 0; i < 2; i++) {
            group->width[i] = from->streams[i].width;
            group->block_bytes[i] = (uint64_t)block * (uint64_t)group->n_heads * (uint64_t)group->width[i] * acl_type_bytes(plan->type);
        }
        group->layer_bytes = (group->block_bytes[0] + group->block_bytes[1]) * (uint64_t)group->n_blocks;
        plan->description.group_block_bytes[g] = (group->block_bytes[0] + group->block_bytes[1]) * (uint64_t)group->n_layers;
        plan->description.cache_bytes += group->layer_bytes * (uint64_t)group->n_layers;
    }
}

uint64_t ascend_weight_bytes(const struct ascend_plan *plan)
{
    uint64_t bytes = 0;
    for (int32_t w = 0; w < plan->n_weights; w++)
        bytes += ascend_padded(plan->weights[w].bytes) + (plan->weights[w].scale_bytes ? ascend_padded(plan->weights[w].scale_bytes) : 0);
    return bytes;
}

/* A buffer that only linears write and that is handed out as logits stays in f32: rounding logits to bf16 would tie many of them. */
static bool is_wide_logits(const struct ascend_plan *plan, int32_t buffer)
{
    const struct program *program = plan->program;
    const struct op *last = &program->ops[program->n_ops - 1];
    bool is_written = false;
    if (last->kind != OP_LOGITS || last->logits.x != buffer)
        return false;
    for (int32_t i = 0; i < program->n_ops - 1; i++) {
        struct op_operands operands;
        op_get_operands(&program->ops[i], &operands);
        for (int32_t r = 0; r < operands.n_reads; r++)
            if (operands.reads[r] == buffer)
                return false;
        for (int32_t w = 0; w < operands.n_writes; w++) {
            if (operands.writes[w] != buffer)
                continue;
            if (program->ops[i].kind != OP_LINEAR || plan->weights[plan->ops[i].products[0].weight].form == FORM_INT8)
                return false;
            is_written = true;
        }
    }
    return is_written;
}

static int make_tables(struct ascend_plan *plan, struct error *err)
{
    const struct program *program = plan->program;
    size_t n_ops = (size_t)program->n_ops;
    if (program->n_buffers > PLAN_MAX_BUFFERS)
        return error_set(err, SAMPAN_ELIMIT, "%d buffers, at most %d", program->n_buffers, PLAN_MAX_BUFFERS);
    plan->ops = arena_alloc_array(&plan->arena, n_ops, sizeof *plan->ops);
    plan->ropes = arena_alloc_array(&plan->arena, n_ops, sizeof *plan->ropes);
    plan->weights = arena_alloc_array(&plan->arena, n_ops * (2 * OP_LINEAR_MAX) + 1, sizeof *plan->weights);
    plan->buffers = arena_alloc_array(&plan->arena, (size_t)program->n_buffers, sizeof *plan->buffers);
    return plan->ops && plan->ropes && plan->weights && plan->buffers ? 0 : error_no_memory(err, "planning a program");
}

int ascend_layout_make(struct ascend_plan *plan, const struct ascend_profile *profile, struct error *err)
{
    const struct program *program = plan->program;
    const struct ascend_options *options = plan->chip ? &plan->chip->options : NULL;
    int status = check_limits(plan, options, err);
    if (!status)
        status = make_tables(plan, err);
    for (int32_t i = 0; !status && i < program->n_ops; i++)
        status = plan_op(plan, profile, i, err);
    if (status)
        return status;
    for (int32_t b = 0; b < program->n_buffers; b++)
        plan->buffers[b] = (struct plan_buffer){.type = is_wide_logits(plan, b) ? ACL_F32 : plan->type,
                                                .width = program->buffers[b].width,
                                                .is_per_logit_row = program->buffers[b].rows == ROWS_LOGITS};
    choose_rows(plan, options);
    ascend_layout_groups(plan);
    plan->description.weight_bytes = ascend_weight_bytes(plan);
    return 0;
}

/* ---- Estimates. */

static bool is_exact(const struct logical_weight *weight, enum tensor_type type)
{
    for (int32_t p = 0; p < weight->n_parts; p++)
        if (weight->parts[p].type != type)
            return false;
    return true;
}

static void fill_weight_estimates(const struct ascend_plan *plan, struct weight_estimate *estimates)
{
    static const char *const forms[] = {[FORM_VECTOR] = "vector",
                                        [FORM_VECTOR32] = "f32 vector",
                                        [FORM_TABLE] = "table",
                                        [FORM_FRACTALS] = "fractals (NZ)",
                                        [FORM_INT8] = "int8 fractals (NZ)"};
    enum tensor_type type = plan->type == ACL_F16 ? TENSOR_F16 : TENSOR_BF16;
    memset(estimates, 0, (size_t)plan->program->n_weights * sizeof *estimates);
    for (int32_t w = 0; w < plan->n_weights; w++)
        for (int32_t m = 0; m < plan->weights[w].n_members; m++) {
            const struct device_weight *weight = &plan->weights[w];
            struct weight_estimate *estimate = &estimates[weight->members[m]];
            bool is_int8 = weight->form == FORM_INT8;
            *estimate = (struct weight_estimate){
                .bytes = m ? 0 : ascend_padded(weight->bytes) + (weight->scale_bytes ? ascend_padded(weight->scale_bytes) : 0),
                .shared_with = weight->members[0],
                .change = is_int8                                                       ? WEIGHT_REQUANTISED
                          : is_exact(&plan->program->weights[weight->members[m]], type) ? WEIGHT_REARRANGED
                                                                                        : WEIGHT_CONVERTED,
                .form = forms[weight->form],
                .rate = is_int8              ? RATE_INT8
                        : type == TENSOR_F16 ? RATE_F16
                                             : RATE_BF16,
                .passes = 1,
            };
        }
    for (int32_t i = 0; i < plan->program->n_ops; i++) /* tied heads share a table */
        for (int32_t p = 0; plan->ops[i].op->kind == OP_LINEAR && p < plan->ops[i].n_products; p++) {
            const struct device_weight *weight = &plan->weights[plan->ops[i].products[p].weight];
            int32_t logical = plan->ops[i].op->linear.weights[p];
            if (weight->form == FORM_TABLE && weight->members[0] != logical) {
                estimates[logical] = estimates[weight->members[0]];
                estimates[logical].bytes = 0;
            }
        }
}

int ascend_plan_estimate(const char *text, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                         struct weight_estimate *weights, struct error *err)
{
    struct ascend_profile profile;
    int status = ascend_profile_read(text, &profile, err);
    struct ascend_plan *plan = status ? NULL : mem_zalloc(sizeof *plan);
    if (status)
        return status;
    if (!plan)
        return error_no_memory(err, "estimating a plan");
    arena_init(&plan->arena, ARENA_LIMIT);
    plan->program = program;
    plan->limits = *limits;
    plan->type = limits->cache_type == TENSOR_F16 ? ACL_F16 : ACL_BF16;
    status = ascend_layout_make(plan, &profile, err);
    if (!status) {
        *sizes = plan->description;
        sizes->buffer_bytes = ascend_buffer_bytes(plan);
        if (weights)
            fill_weight_estimates(plan, weights);
    }
    arena_free(&plan->arena);
    mem_free(plan);
    return status;
}
