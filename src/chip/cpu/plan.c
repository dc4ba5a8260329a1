/* Compiling: checks, the layout of all memory, the weights, the stages. The drawing is in plan.h. */
#include "chip/cpu/plan.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/machine.h"
#include "base/memory.h"
#include "chip/cpu/cpu.h"

#define PLAN_ARENA_LIMIT ((size_t)1 << 30)
#define HUGE_PAGE ((uint64_t)2 << 20)
#define MEMORY_LIMIT ((uint64_t)1 << 46) /* of one piece: far above any machine, far below overflow */

/* ---- Support */

static bool same_segments(const struct program *program, const struct op_linear *op)
{
    const struct logical_weight *first = &program->weights[op->weights[0]];
    for (int32_t o = 1; o < op->n_outputs; o++) {
        const struct logical_weight *other = &program->weights[op->weights[o]];
        if (other->segments != first->segments || other->unit_columns != first->unit_columns)
            if (other->segments > 1 || first->segments > 1)
                return false;
    }
    return true;
}

int cpu_supports(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err)
{
    bool known = !profile || !*profile;
    for (int i = 0; i < DIALECT_COUNT && !known; i++)
        known = strcmp(profile, cpu_dialects[i].name) == 0;
    if (!known)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the CPU chip has no profile '%s'; there are amx, avx512-bf16, avx512, avx2, neon and portable", profile);
    if ((int)op->kind < 0 || op->kind >= OP_KIND_COUNT)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the CPU chip has no operation '%s'", op_kind_name(op->kind));
    struct op_operands operands;
    op_get_operands(op, &operands);
    if (operands.group >= 0 && cache_type != TENSOR_F16 && cache_type != TENSOR_BF16 && cache_type != TENSOR_F32)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the CPU chip keeps its cache in f16, bf16 or f32, not in %s",
                         (unsigned)cache_type < TENSOR_TYPE_COUNT ? tensor_types[cache_type].name : "an unknown type");
    if (operands.group >= 0) {
        const struct program_cache_group *group = &program->groups[operands.group];
        if (group->kind != CACHE_FULL_ATTENTION && group->kind != CACHE_SLIDING_WINDOW)
            return error_set(err, SAMPAN_EUNSUPPORTED, "the CPU chip has no cache of the kind of group '%s' yet", group->name);
        if (op->kind == OP_ATTENTION && op->attention.n_heads / group->streams[CACHE_KEYS].n_heads > ATTENTION_QUERIES)
            return error_set(err, SAMPAN_EUNSUPPORTED, "the CPU chip computes at most %d query heads per key head, found %d", ATTENTION_QUERIES,
                             op->attention.n_heads / group->streams[CACHE_KEYS].n_heads);
    }
    if (op->kind == OP_LINEAR && !same_segments(program, &op->linear))
        return error_set(err, SAMPAN_EUNSUPPORTED, "the CPU chip computes several products of one input only where all are cut into the same segments");
    for (int32_t w = 0; w < operands.n_weights; w++) {
        int code = cpu_weight_supports(&program->weights[operands.weights[w]], err);
        if (code)
            return code;
    }
    return 0;
}

/* ---- Memory: everything is laid out twice by the same code, first to count, then to hand out. */

struct bump {
    uint8_t *base; /* NULL: counting */
    uint64_t used;
    bool overflow;
};

static void *take(struct bump *bump, int64_t count, uint64_t size)
{
    unsigned __int128 bytes = (unsigned __int128)(uint64_t)(count < 0 ? 0 : count) * size;
    uint64_t at = (bump->used + 63) / 64 * 64;
    if (bytes > MEMORY_LIMIT || at + (uint64_t)bytes > MEMORY_LIMIT) {
        bump->overflow = true;
        return NULL;
    }
    bump->used = at + (uint64_t)bytes;
    return bump->base ? bump->base + at : NULL;
}

/* Zeroed memory, untouched until used; *base is aligned to a huge page, and huge pages are advised. */
static void *allocate(uint64_t bytes, uint8_t **base)
{
    uint8_t *memory = mem_zalloc((size_t)(bytes + HUGE_PAGE));
    if (!memory)
        return NULL;
    uint64_t offset = (HUGE_PAGE - (uint64_t)(uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    *base = memory + offset;
    if (bytes >= HUGE_PAGE)
        (void)madvise(*base, (size_t)(bytes / HUGE_PAGE * HUGE_PAGE), MADV_HUGEPAGE); /* only advice */
    return memory;
}

static int out_of_memory(const char *what, uint64_t bytes, const char *advice, struct error *err)
{
    return error_set(err, SAMPAN_ENOMEM, "no room for %s: %llu MB; %s", what, (unsigned long long)(bytes >> 20), advice);
}

static int64_t rows_of(const struct cpu_plan *plan, enum buffer_rows rows)
{
    return rows == ROWS_TOKENS ? plan->limits.max_tokens : plan->limits.max_logit_rows;
}

static void lay_out_buffer(struct cpu_plan *plan, struct bump *bump, const struct program_buffer *buffer, struct row_buffer *out)
{
    *out = (struct row_buffer){.stride = round_up_lanes(buffer->width), .width = buffer->width, .kind = buffer->rows};
    out->rows = take(bump, rows_of(plan, buffer->rows) * out->stride, sizeof(float));
}

/* The largest blocks x rows of any quantised input. */
static int64_t most_quantized_blocks(const struct cpu_plan *plan, const struct program *program)
{
    int64_t most = 0;
    for (int32_t i = 0; i < program->n_ops; i++) {
        if (program->ops[i].kind != OP_LINEAR)
            continue;
        const struct program_buffer *x = &program->buffers[program->ops[i].linear.x];
        int64_t blocks = rows_of(plan, x->rows) * ((x->width + LINEAR_BLOCK - 1) / LINEAR_BLOCK);
        most = blocks > most ? blocks : most;
    }
    return most;
}

/* Columns of the widest linear. */
static int64_t widest_input(const struct program *program)
{
    int64_t widest = 0;
    for (int32_t w = 0; w < program->n_weights; w++)
        widest = program->weights[w].role == WEIGHT_LINEAR && program->weights[w].columns > widest ? program->weights[w].columns : widest;
    return widest;
}

static bool reads_bf16(const struct cpu_plan *plan, const struct program *program)
{
    for (int32_t w = 0; w < program->n_weights; w++) {
        if (plan->products_of_bf16 && program->weights[w].role == WEIGHT_LINEAR && program->weights[w].parts[0].type == TENSOR_BF16)
            return true;
    }
    return false;
}

static void lay_out_quantized(struct bump *bump, int64_t blocks, struct quantized_rows *rows)
{
    rows->high = take(bump, blocks, LINEAR_BLOCK);
    rows->low = take(bump, blocks, LINEAR_BLOCK);
    rows->meta = take(bump, blocks, sizeof(struct input_meta));
}

static void lay_out_buffers(struct cpu_plan *plan, const struct program *program, struct bump *bump)
{
    for (int32_t b = 0; b < program->n_buffers; b++)
        lay_out_buffer(plan, bump, &program->buffers[b], &plan->buffers[b]);
    for (int32_t i = 0; i < program->n_ops; i++) {
        const struct op_norm *norm = &program->ops[i].norm;
        if (program->ops[i].kind == OP_NORM && norm->residual >= 0 && !plan->renamed[norm->x].rows)
            lay_out_buffer(plan, bump, &program->buffers[norm->x], &plan->renamed[norm->x]);
    }
    for (int32_t t = 0; t < plan->n_rope_tables; t++) {
        struct rope_table *table = &plan->rope_tables[t];
        table->stride = round_up_lanes(table->n_pairs);
        table->cosines = take(bump, plan->limits.max_tokens * table->stride, sizeof(float));
        table->sines = take(bump, plan->limits.max_tokens * table->stride, sizeof(float));
    }
    int64_t blocks = most_quantized_blocks(plan, program);
    lay_out_quantized(bump, blocks, &plan->shared);
    lay_out_quantized(bump, blocks, &plan->produced);
    int64_t tiles = (plan->limits.max_tokens + LINEAR_TILE_ROWS - 1) / LINEAR_TILE_ROWS, widest = widest_input(program);
    plan->most_residuals = LINEAR_TILE_ROWS * (widest / LINEAR_BLOCK / (int64_t)RESIDUAL_FACTOR); /* fewer than 1 of RESIDUAL_FACTOR can be above its limit */
    plan->residuals = take(bump, tiles * plan->most_residuals, sizeof *plan->residuals);
    plan->n_residuals = take(bump, tiles, sizeof *plan->n_residuals);
    plan->shared_bf16 = take(bump, reads_bf16(plan, program) ? plan->limits.max_tokens * round_up_lanes(widest) : 0, sizeof *plan->shared_bf16);
    plan->tiles = take(bump, plan->limits.max_tokens, sizeof *plan->tiles);
    plan->sequence_of_row = take(bump, plan->limits.max_tokens, sizeof *plan->sequence_of_row);
    plan->token_ids = take(bump, plan->limits.max_tokens, sizeof *plan->token_ids);
    int64_t logit_rows = plan->limits.max_logit_rows;
    plan->previous_wants = take(bump, logit_rows, sizeof *plan->previous_wants);
    if (program->n_vocabulary % LANES)
        plan->results = take(bump, logit_rows * program->n_vocabulary, sizeof *plan->results);
    if (program_hidden_width(program) % LANES)
        plan->hidden_results = take(bump, logit_rows * program_hidden_width(program), sizeof *plan->hidden_results);
    plan->argmax = take(bump, logit_rows, sizeof *plan->argmax);
    plan->top_ids = take(bump, logit_rows * STEP_MAX_TOP, sizeof *plan->top_ids);
    plan->top_logits = take(bump, logit_rows * STEP_MAX_TOP, sizeof *plan->top_logits);
}

struct scratch_sizes {
    int64_t stride, head_stride, gathered_keys, gathered_values;
};

static struct scratch_sizes measure_scratch(const struct cpu_plan *plan, const struct program *program)
{
    struct scratch_sizes sizes = {.stride = LANES, .head_stride = LANES};
    for (int32_t b = 0; b < program->n_buffers; b++)
        sizes.stride = plan->buffers[b].stride > sizes.stride && program->buffers[b].width != program->n_vocabulary ? plan->buffers[b].stride : sizes.stride;
    for (int32_t w = 0; w < program->n_weights; w++) {
        int64_t columns = round_up_lanes(program->weights[w].columns);
        sizes.stride = columns > sizes.stride ? columns : sizes.stride;
    }
    for (int32_t g = 0; g < plan->n_groups; g++) {
        int64_t key = round_up_lanes(plan->groups[g].key_width), value = plan->groups[g].value_stride;
        sizes.head_stride = key > sizes.head_stride ? key : sizes.head_stride;
        sizes.head_stride = value > sizes.head_stride ? value : sizes.head_stride;
    }
    if (plan->limits.block_tokens < LANES)
        sizes.gathered_keys = sizes.gathered_values = ATTENTION_SPAN * sizes.head_stride * plan->element_bytes;
    return sizes;
}

static void lay_out_scratch(const struct cpu_plan *plan, const struct scratch_sizes *sizes, struct bump *bump, struct worker_scratch *scratch)
{
    scratch->sum = take(bump, sizes->stride, sizeof(float));
    scratch->rows = take(bump, REDUNDANT_ROWS * sizes->stride, sizeof(float));
    scratch->bf16_rows = take(bump, REDUNDANT_ROWS * sizes->stride, sizeof *scratch->bf16_rows);
    lay_out_quantized(bump, REDUNDANT_ROWS * (sizes->stride / LANES), &scratch->private_rows);
    scratch->residuals = take(bump, plan->most_residuals, sizeof *scratch->residuals);
    scratch->weights = take(bump, 4 * sizes->stride, sizeof(float));
    scratch->queries = take(bump, ATTENTION_QUERIES * sizes->head_stride, sizeof(float));
    scratch->scores = take(bump, ATTENTION_QUERIES * ATTENTION_SPAN, sizeof(float));
    scratch->span_out = take(bump, ATTENTION_QUERIES * sizes->head_stride, sizeof(float));
    scratch->outs = take(bump, ATTENTION_QUERIES * sizes->head_stride, sizeof(float));
    scratch->gathered_keys = take(bump, sizes->gathered_keys, 1);
    scratch->gathered_values = take(bump, sizes->gathered_values, 1);
    int64_t logit_rows = plan->limits.max_logit_rows;
    scratch->best = take(bump, logit_rows, sizeof *scratch->best);
    scratch->best_ids = take(bump, logit_rows, sizeof *scratch->best_ids);
    scratch->top = take(bump, logit_rows * STEP_MAX_TOP, sizeof *scratch->top);
    scratch->top_ids = take(bump, logit_rows * STEP_MAX_TOP, sizeof *scratch->top_ids);
    bump->used = (bump->used + 4095) / 4096 * 4096; /* workers share no page */
}

static int make_buffers(struct cpu_plan *plan, const struct program *program, struct error *err)
{
    struct bump counting = {0}, giving = {0};
    lay_out_buffers(plan, program, &counting);
    plan->buffer_memory = counting.overflow ? NULL : allocate(counting.used, &giving.base);
    if (!plan->buffer_memory)
        return out_of_memory("the buffers of a step", counting.used, "choose a smaller max_tokens", err);
    memset(plan->renamed, 0, (size_t)program->n_buffers * sizeof *plan->renamed);
    lay_out_buffers(plan, program, &giving);
    plan->description.buffer_bytes = counting.used;
    return 0;
}

static int make_scratch(struct cpu_plan *plan, const struct program *program, struct error *err)
{
    struct scratch_sizes sizes = measure_scratch(plan, program);
    struct bump counting = {0}, giving = {0};
    for (int32_t w = 0; w < plan->n_workers; w++)
        lay_out_scratch(plan, &sizes, &counting, &plan->scratch[w]);
    plan->scratch_memory = counting.overflow ? NULL : allocate(counting.used, &giving.base);
    if (!plan->scratch_memory)
        return out_of_memory("the workers' scratch", counting.used, "choose fewer threads", err);
    for (int32_t w = 0; w < plan->n_workers; w++)
        lay_out_scratch(plan, &sizes, &giving, &plan->scratch[w]);
    plan->description.buffer_bytes += counting.used;
    return 0;
}

/* Sizes of the groups; counts their blocks. */
static void lay_out_caches(struct cpu_plan *plan, const struct program *program, struct bump *bump)
{
    uint64_t tokens = (uint64_t)plan->limits.block_tokens, element = (uint64_t)plan->element_bytes;
    for (int32_t g = 0; g < plan->n_groups; g++) {
        const struct program_cache_group *from = &program->groups[g];
        struct cache_group *group = &plan->groups[g];
        *group = (struct cache_group){.n_layers = from->n_layers,
                                      .n_kv_heads = from->streams[CACHE_KEYS].n_heads,
                                      .key_width = from->streams[CACHE_KEYS].width,
                                      .value_width = from->streams[CACHE_VALUES].width};
        group->value_stride = (int32_t)round_up_lanes(group->value_width);
        group->key_bytes = ((uint64_t)group->n_kv_heads * (uint64_t)group->key_width * tokens * element + 63) / 64 * 64;
        group->layer_bytes = group->key_bytes + ((uint64_t)group->n_kv_heads * (uint64_t)group->value_stride * tokens * element + 63) / 64 * 64;
        group->block_bytes = group->layer_bytes * (uint64_t)from->n_layers;
        plan->description.group_block_bytes[g] = group->block_bytes;
        take(bump, plan->limits.n_blocks[g], group->block_bytes);
    }
    plan->description.cache_bytes = bump->used;
}

static int make_caches(struct cpu_plan *plan, const struct program *program, struct error *err)
{
    struct bump counting = {0}, giving = {0};
    lay_out_caches(plan, program, &counting);
    plan->cache_memory = counting.overflow ? NULL : allocate(counting.used, &giving.base);
    if (!plan->cache_memory)
        return out_of_memory("the key/value cache", counting.used, "choose fewer blocks or a shorter context", err);
    for (int32_t g = 0; g < plan->n_groups; g++)
        plan->groups[g].blocks = take(&giving, plan->limits.n_blocks[g], plan->groups[g].block_bytes);
    return 0;
}

static int load_weights(struct cpu_plan *plan, const struct program *program, const struct progress *progress, struct error *err)
{
    uint64_t total = 0;
    struct bump giving = {0};
    int code = cpu_weights_lay_out(program, plan->weights, &total, err);
    if (code)
        return code;
    plan->weight_memory = total > MEMORY_LIMIT ? NULL : allocate(total, &giving.base);
    if (!plan->weight_memory)
        return out_of_memory("the weights", total, "choose a smaller or more strongly quantised model", err);
    plan->description.weight_bytes = total;
    for (int32_t i = 0; i < program->n_weights; i++) {
        struct cpu_weight *weight = &plan->weights[i];
        if (weight->is_mapped)
            weight->bytes = (uint8_t *)(uintptr_t)program->weights[i].parts[0].memory; /* read only, as every weight after loading */
        else
            weight->bytes = weight->shared_with == i ? take(&giving, (int64_t)weight->n_bytes, 1) : plan->weights[weight->shared_with].bytes;
    }
    return cpu_weights_load(program, plan->weights, plan->chip->pool, progress, err);
}

/* ---- Compiling */

static int check_limits(struct plan_limits *limits, const struct program *program, struct error *err)
{
    if (!limits->block_tokens)
        limits->block_tokens = CPU_BLOCK_TOKENS;
    if (limits->block_tokens < 1 || ATTENTION_SPAN % limits->block_tokens)
        return error_set(err, SAMPAN_EINVAL, "blocks of %d tokens: a divisor of %d is needed", limits->block_tokens, ATTENTION_SPAN);
    if (limits->max_tokens < 1 || limits->max_tokens > LIMIT_CONTEXT || limits->max_sequences < 1 || limits->max_sequences > LIMIT_SEQUENCES ||
        limits->max_logit_rows < 0 || limits->max_logit_rows > limits->max_tokens || limits->max_context < 1 || limits->max_context > LIMIT_CONTEXT)
        return error_set(err, SAMPAN_EINVAL, "a plan for %d tokens, %d sequences, %d logit rows and %d positions is outside what is possible",
                         limits->max_tokens, limits->max_sequences, limits->max_logit_rows, limits->max_context);
    for (int32_t g = 0; g < program->n_groups; g++) {
        if (limits->n_blocks[g] < 1)
            return error_set(err, SAMPAN_EINVAL, "cache group '%s' has %d blocks; at least 1 is needed", program->groups[g].name, limits->n_blocks[g]);
    }
    return 0;
}

/* The sizes a step is checked against; the program itself may be gone later. */
static int copy_sizes(struct cpu_plan *plan, const struct program *program, struct error *err)
{
    size_t n_buffers = (size_t)program->n_buffers, n_groups = (size_t)program->n_groups;
    struct program *copy = arena_alloc(&plan->arena, sizeof *copy);
    struct program_buffer *buffers = arena_alloc_array(&plan->arena, n_buffers + 1, sizeof *buffers);
    struct program_cache_group *groups = arena_alloc_array(&plan->arena, n_groups + 1, sizeof *groups);
    struct op *last = arena_alloc(&plan->arena, sizeof *last);
    plan->weights = arena_alloc_array(&plan->arena, (size_t)program->n_weights + 1, sizeof *plan->weights);
    plan->buffers = arena_alloc_array(&plan->arena, n_buffers + 1, sizeof *plan->buffers);
    plan->renamed = arena_alloc_array(&plan->arena, n_buffers + 1, sizeof *plan->renamed);
    plan->current = arena_alloc_array(&plan->arena, n_buffers + 1, sizeof *plan->current);
    plan->groups = arena_alloc_array(&plan->arena, n_groups + 1, sizeof *plan->groups);
    plan->scratch = arena_alloc_array(&plan->arena, (size_t)plan->n_workers, sizeof *plan->scratch);
    if (!copy || !buffers || !groups || !last || !plan->weights || !plan->buffers || !plan->renamed || !plan->current || !plan->groups || !plan->scratch)
        return error_no_memory(err, "compiling a program");
    memcpy(buffers, program->buffers, n_buffers * sizeof *buffers);
    if (n_groups)
        memcpy(groups, program->groups, n_groups * sizeof *groups);
    for (size_t i = 0; i < n_buffers; i++)
        buffers[i].name = arena_strndup(&plan->arena, buffers[i].name, strlen(buffers[i].name));
    for (size_t i = 0; i < n_groups; i++)
        groups[i].name = arena_strndup(&plan->arena, groups[i].name, strlen(groups[i].name));
    *last = program->ops[program->n_ops - 1];
    last->label = "last";
    *copy = *program;
    copy->name = "compiled";
    copy->buffers = buffers;
    copy->groups = groups;
    copy->ops = last;
    copy->n_ops = 1;
    copy->weights = NULL;
    copy->n_weights = 0;
    plan->program = copy;
    plan->n_buffers = program->n_buffers;
    plan->n_weights = program->n_weights;
    plan->n_groups = program->n_groups;
    return 0;
}

static int list_rope_tables(struct cpu_plan *plan, const struct program *program, struct error *err)
{
    for (int32_t i = 0; i < program->n_ops; i++) {
        const struct op_rope_cache *op = &program->ops[i].rope_cache;
        if (program->ops[i].kind != OP_ROPE_CACHE || !op->rotary_width)
            continue;
        size_t bytes = (size_t)(op->rotary_width / 2) * sizeof(double);
        int32_t t = 0;
        while (t < plan->n_rope_tables && (plan->rope_tables[t].n_pairs != op->rotary_width / 2 || plan->rope_tables[t].magnitude != op->magnitude ||
                                           memcmp(plan->rope_tables[t].frequencies, op->frequencies, bytes)))
            t++;
        if (t < plan->n_rope_tables)
            continue;
        double *frequencies = arena_alloc(&plan->arena, bytes);
        if (t == MAX_ROPE_TABLES)
            return error_set(err, SAMPAN_EUNSUPPORTED, "the program has more than %d kinds of rotation", MAX_ROPE_TABLES);
        if (!frequencies)
            return error_no_memory(err, "compiling a program");
        memcpy(frequencies, op->frequencies, bytes);
        plan->rope_tables[plan->n_rope_tables++] = (struct rope_table){.frequencies = frequencies, .n_pairs = op->rotary_width / 2, .magnitude = op->magnitude};
    }
    return 0;
}

/* "cpu:avx512:1;weights=q4_1+q8_0;cache=f16;segments=1": all that bit identity depends on. */
static void write_numerics_id(struct cpu_plan *plan, const struct program *program)
{
    int32_t segments;
    char types[TENSOR_TYPE_COUNT * 8 + 1];
    program_describe_weights(program, types, sizeof types, &segments);
    snprintf(plan->description.numerics_id, sizeof plan->description.numerics_id, CPU_NUMERICS_FORMAT ";weights=%s%s;cache=%s;segments=%d",
             cpu_dialects[plan->chip->dialect].name, CPU_NUMERICS_GENERATION, types, program_has_maps(program) ? ";layout=published" : "",
             tensor_types[plan->limits.cache_type].name, segments);
}

/* Everything before memory is taken: checks, and the sizes of what the program names. */
static int prepare(struct cpu_plan *plan, const struct program *program, struct error *err)
{
    int code = program_check(program, err);
    for (int32_t i = 0; !code && i < program->n_ops; i++) {
        code = cpu_supports("", program, &program->ops[i], plan->limits.cache_type, err);
        if (code)
            error_prefix(err, "operation %d (%s)", i, program->ops[i].label);
    }
    if (!code)
        code = check_limits(&plan->limits, program, err);
    plan->element = plan->limits.cache_type == TENSOR_F32 ? CACHE_F32 : plan->limits.cache_type == TENSOR_BF16 ? CACHE_BF16 : CACHE_F16;
    plan->element_bytes = plan->element == CACHE_F32 ? 4 : 2;
    if (!code)
        code = copy_sizes(plan, program, err);
    return code ? code : list_rope_tables(plan, program, err);
}

static int compile(struct cpu_plan *plan, const struct program *program, const struct progress *progress, struct error *err)
{
    int code = prepare(plan, program, err);
    if (!code)
        code = make_caches(plan, program, err);
    if (!code)
        code = make_buffers(plan, program, err);
    if (!code)
        code = make_scratch(plan, program, err);
    if (!code)
        code = load_weights(plan, program, progress, err);
    if (!code)
        code = cpu_compile_stages(plan, program, err);
    if (!code)
        write_numerics_id(plan, program);
    return code;
}

static enum cpu_dialect dialect_of(const char *profile)
{
    for (int i = 0; profile && i < DIALECT_COUNT; i++) {
        if (strcmp(profile, cpu_dialects[i].name) == 0)
            return (enum cpu_dialect)i;
    }
    return cpu_best_dialect();
}

/* The same layouts as compile, counted only. */
static int estimate(struct cpu_plan *plan, const struct program *program, struct weight_estimate *weights, struct error *err)
{
    int code = prepare(plan, program, err);
    if (!code)
        code = cpu_weights_lay_out(program, plan->weights, &plan->description.weight_bytes, err);
    if (code)
        return code;
    struct bump caches = {0}, buffers = {0};
    lay_out_caches(plan, program, &caches);
    lay_out_buffers(plan, program, &buffers);
    struct scratch_sizes sizes = measure_scratch(plan, program);
    struct bump scratch = {0};
    for (int32_t w = 0; w < plan->n_workers; w++)
        lay_out_scratch(plan, &sizes, &scratch, &plan->scratch[w]);
    if (caches.overflow)
        return out_of_memory("the key/value cache", caches.used, "choose fewer blocks or a shorter context", err);
    if (buffers.overflow || scratch.overflow)
        return out_of_memory("the buffers of a step", buffers.used, "choose a smaller max_tokens", err);
    plan->description.buffer_bytes = buffers.used + scratch.used;
    for (int32_t w = 0; weights && w < program->n_weights; w++)
        weights[w] = cpu_weight_estimate(&plan->weights[w], w, plan->products_of_bf16);
    return 0;
}

int cpu_plan_estimate(const char *profile, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                      struct weight_estimate *weights, struct error *err)
{
    struct cpu_kernels kernels;
    struct machine *machine = mem_alloc(sizeof *machine);
    struct cpu_plan *plan = mem_zalloc(sizeof *plan);
    int code = machine && plan ? 0 : error_no_memory(err, "estimating a plan");
    if (!code) {
        machine_inspect(machine);
        plan->n_workers = machine->n_usable < POOL_MAX_WORKERS ? machine->n_usable : POOL_MAX_WORKERS;
        plan->limits = *limits;
        cpu_fill_kernels(&kernels, dialect_of(profile));
        plan->products_of_bf16 = kernels.bf16_products;
        arena_init(&plan->arena, PLAN_ARENA_LIMIT);
        code = estimate(plan, program, weights, err);
        *sizes = plan->description;
        arena_free(&plan->arena);
    }
    mem_free(machine);
    mem_free(plan);
    return code;
}

int cpu_plan_create(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress, struct plan **out,
                    struct error *err)
{
    struct cpu_plan *plan = mem_zalloc(sizeof *plan);
    *out = NULL;
    if (!plan)
        return error_no_memory(err, "compiling a program");
    plan->base.interface = &cpu_chip_interface;
    plan->chip = (struct cpu_chip *)chip;
    plan->n_workers = pool_n_workers(plan->chip->pool);
    plan->products_of_bf16 = plan->chip->kernels.bf16_products;
    plan->limits = *limits;
    arena_init(&plan->arena, PLAN_ARENA_LIMIT);
    int code = compile(plan, program, progress, err);
    if (code) {
        error_prefix(err, "compiling '%s' for the CPU", program->name);
        cpu_plan_free(&plan->base);
        return code;
    }
    *out = &plan->base;
    return 0;
}

void cpu_plan_free(struct plan *base)
{
    struct cpu_plan *plan = (struct cpu_plan *)base;
    if (!plan)
        return;
    mem_free(plan->weight_memory);
    mem_free(plan->cache_memory);
    mem_free(plan->buffer_memory);
    mem_free(plan->scratch_memory);
    arena_free(&plan->arena);
    mem_free(plan);
}
