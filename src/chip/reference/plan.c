/* Compiling for the reference chip: a copy of the program, its weights read as published, a buffer of its own for each program buffer, the caches. */
#include "chip/reference/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "chip/weight_part.h"

enum { PLAN_ARENA_LIMIT = 1 << 30, READ_PIECE = 8 << 20 /* bytes read between two reports of progress */ };

/* ---- Sizes. */

static int check_limits(struct plan_limits *limits, const struct program *program, struct error *err)
{
    if (!limits->block_tokens)
        limits->block_tokens = REFERENCE_BLOCK_TOKENS;
    if (limits->block_tokens < 1 || ATTENTION_SPAN % limits->block_tokens)
        return error_set(err, SAMPAN_EINVAL, "blocks of %d tokens, expected a divisor of %d", limits->block_tokens, ATTENTION_SPAN);
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
    for (int32_t g = 0; g < program->n_groups; g++)
        if (limits->n_blocks[g] < 1)
            return error_set(err, SAMPAN_EINVAL, "cache group '%s' has %d blocks, expected at least 1", program->groups[g].name, limits->n_blocks[g]);
    return 0;
}

/* ---- Weights. */

static void *keep_allocation(struct reference_plan *plan, void *memory)
{
    if (memory)
        plan->allocations[plan->n_allocations++] = memory;
    return memory;
}

/* The bytes of a part equal to this one that was read before, or NULL: a tied head shares its embedding's. */
static const unsigned char *find_loaded(const struct reference_plan *plan, int32_t weight, int32_t part)
{
    const struct weight_part *wanted = &plan->program->weights[weight].parts[part];
    for (int32_t w = 0; w <= weight; w++) {
        int32_t n_parts = w == weight ? part : plan->program->weights[w].n_parts;
        for (int32_t p = 0; p < n_parts; p++) {
            if (weight_part_is_same(&plan->program->weights[w].parts[p], wanted))
                return plan->weights[w].parts[p];
        }
    }
    return NULL;
}

static int read_part(const struct weight_part *part, unsigned char *bytes, const struct progress *progress, uint64_t done, uint64_t total, struct error *err)
{
    uint64_t row_bytes = part->bytes / (uint64_t)part->rows;
    int64_t piece = row_bytes < READ_PIECE ? (int64_t)(READ_PIECE / row_bytes) : 1;
    for (int64_t row = 0; row < part->rows; row += piece) {
        int64_t n = part->rows - row < piece ? part->rows - row : piece;
        int status = weight_part_read(part, row, n, bytes + (uint64_t)row * row_bytes, err);
        if (status)
            return status;
        if (progress && progress->report && progress->report(progress->self, done + (uint64_t)(row + n) * row_bytes, total))
            return error_set(err, SAMPAN_ECANCELLED, "loading was stopped while reading tensor '%s'", part->name);
    }
    return 0;
}

static int load_weight(struct reference_plan *plan, int32_t w, const struct progress *progress, uint64_t total, struct error *err)
{
    const struct logical_weight *weight = &plan->program->weights[w];
    struct reference_weight *loaded = &plan->weights[w];
    loaded->parts = arena_alloc_array(&plan->arena, (size_t)weight->n_parts, sizeof *loaded->parts);
    if (!loaded->parts)
        return error_no_memory(err, "loading weights");
    for (int32_t p = 0; p < weight->n_parts; p++) {
        loaded->parts[p] = find_loaded(plan, w, p);
        if (!loaded->parts[p] && weight->parts[p].is_mapped && weight->role != WEIGHT_VECTOR)
            loaded->parts[p] = weight->parts[p].memory;
        if (loaded->parts[p])
            continue;
        unsigned char *bytes = keep_allocation(plan, mem_alloc_aligned(64, (size_t)weight->parts[p].bytes));
        if (!bytes)
            return error_set(err, SAMPAN_ENOMEM, "out of memory while loading tensor '%s' (%llu bytes, after %llu of %llu)", weight->parts[p].name,
                             (unsigned long long)weight->parts[p].bytes, (unsigned long long)plan->description.weight_bytes, (unsigned long long)total);
        int status = read_part(&weight->parts[p], bytes, progress, plan->description.weight_bytes, total, err);
        if (status)
            return status;
        loaded->parts[p] = bytes;
        plan->description.weight_bytes += weight->parts[p].bytes;
    }
    if (weight->role != WEIGHT_VECTOR)
        return 0;
    loaded->vector = keep_allocation(plan, mem_alloc_array((size_t)weight->columns, sizeof *loaded->vector));
    if (!loaded->vector)
        return error_no_memory(err, "loading weights");
    reference_weight_row(plan, w, 0, loaded->vector);
    return 0;
}

static int load_weights(struct reference_plan *plan, const struct progress *progress, struct error *err)
{
    const struct program *program = plan->program;
    size_t n_allocations = 0;
    for (int32_t w = 0; w < program->n_weights; w++)
        n_allocations += (size_t)program->weights[w].n_parts + 1;
    plan->weights = arena_alloc_array(&plan->arena, (size_t)program->n_weights, sizeof *plan->weights);
    plan->allocations = arena_alloc_array(&plan->arena, n_allocations, sizeof *plan->allocations);
    if (!plan->weights || !plan->allocations)
        return error_no_memory(err, "loading weights");
    uint64_t total = program_weight_bytes(program);
    for (int32_t w = 0; w < program->n_weights; w++) {
        int status = load_weight(plan, w, progress, total, err);
        if (status)
            return status;
    }
    return 0;
}

/* ---- Buffers, caches, results. */

static size_t buffer_bytes(const struct program_buffer *buffer, const struct plan_limits *limits)
{
    int32_t rows = buffer->rows == ROWS_TOKENS ? limits->max_tokens : limits->max_logit_rows;
    return (size_t)rows * (size_t)buffer->width * sizeof(float); /* below 2^26 * 2^22 * 4 */
}

static int make_buffers(struct reference_plan *plan, struct error *err)
{
    const struct program *program = plan->program;
    plan->buffers = arena_alloc_array(&plan->arena, (size_t)program->n_buffers, sizeof *plan->buffers);
    if (!plan->buffers)
        return error_no_memory(err, "making buffers");
    for (int32_t b = 0; b < program->n_buffers; b++) {
        size_t bytes = buffer_bytes(&program->buffers[b], &plan->limits);
        plan->buffers[b] = mem_zalloc(bytes);
        if (!plan->buffers[b])
            return error_set(err, SAMPAN_ENOMEM, "out of memory while making buffer '%s', %d wide (%zu bytes): use a smaller max_tokens",
                             program->buffers[b].name, program->buffers[b].width, bytes);
        plan->description.buffer_bytes += bytes;
    }
    return 0;
}

static struct reference_cache measure_cache(const struct program_cache_group *group, const struct plan_limits *limits)
{
    struct reference_cache cache = {0};
    /* At most 2^12 heads * 2^11 elements * 4 bytes * 2^8 tokens * 2^10 layers = 2^43 */
    cache.token_bytes = cache_group_elements(group) * reference_cache_element_bytes(limits->cache_type);
    cache.layer_bytes = cache.token_bytes * (uint64_t)limits->block_tokens;
    cache.block_bytes = cache.layer_bytes * (uint64_t)group->n_layers;
    return cache;
}

static int make_caches(struct reference_plan *plan, struct error *err)
{
    const struct program *program = plan->program;
    plan->caches = arena_alloc_array(&plan->arena, (size_t)program->n_groups, sizeof *plan->caches);
    if (!plan->caches)
        return error_no_memory(err, "making the cache");
    for (int32_t g = 0; g < program->n_groups; g++) {
        const struct program_cache_group *group = &program->groups[g];
        struct reference_cache *cache = &plan->caches[g];
        *cache = measure_cache(group, &plan->limits);
        cache->bytes = mem_zalloc_array((size_t)plan->limits.n_blocks[g], (size_t)cache->block_bytes);
        if (!cache->bytes)
            return error_set(err, SAMPAN_ENOMEM, "out of memory while making cache group '%s': %d blocks of %llu bytes; use fewer blocks or a smaller context",
                             group->name, plan->limits.n_blocks[g], (unsigned long long)cache->block_bytes);
        plan->description.group_block_bytes[g] = cache->block_bytes;
        plan->description.cache_bytes += cache->block_bytes * (uint64_t)plan->limits.n_blocks[g];
    }
    return 0;
}

static uint64_t scratch_doubles(const struct program *program, const struct plan_limits *limits)
{
    uint64_t most = 1;
    for (int32_t i = 0; i < program->n_ops; i++) {
        const struct op *op = &program->ops[i];
        uint64_t needed = op->kind == OP_LINEAR      ? reference_linear_scratch(program, &op->linear)
                          : op->kind == OP_ATTENTION ? reference_attention_scratch(program, limits, &op->attention)
                                                     : 0;
        most = needed > most ? needed : most;
    }
    return most;
}

static int make_scratch(struct reference_plan *plan, struct error *err)
{
    uint64_t most = scratch_doubles(plan->program, &plan->limits);
    size_t rows = (size_t)plan->limits.max_logit_rows;
    plan->scratch = mem_alloc_array((size_t)most, sizeof *plan->scratch);
    plan->token_ids = mem_alloc_array((size_t)plan->limits.max_tokens, sizeof *plan->token_ids);
    plan->previous_wants = mem_zalloc_array(rows, sizeof *plan->previous_wants);
    plan->argmax = mem_zalloc_array(rows, sizeof *plan->argmax);
    plan->top_ids = mem_zalloc_array(rows, STEP_MAX_TOP * sizeof *plan->top_ids);
    plan->top_logits = mem_zalloc_array(rows, STEP_MAX_TOP * sizeof *plan->top_logits);
    if (!plan->scratch || !plan->token_ids || !plan->previous_wants || !plan->argmax || !plan->top_ids || !plan->top_logits)
        return error_no_memory(err, "making room for the results of a step");
    plan->description.buffer_bytes += most * sizeof *plan->scratch;
    return 0;
}

/* "reference:1;weights=q4_1+q8_0;cache=f32;segments=8": all that bit identity depends on. Weights: the linears' and embeddings' types. */
static void write_numerics_id(struct reference_plan *plan)
{
    int32_t segments;
    char types[TENSOR_TYPE_COUNT * 8 + 1];
    program_describe_weights(plan->program, types, sizeof types, &segments);
    snprintf(plan->description.numerics_id, sizeof plan->description.numerics_id, "%s;weights=%s;cache=%s;segments=%d", REFERENCE_NUMERICS_ID, types,
             tensor_types[plan->limits.cache_type].name, segments);
}

/* ---- Create and free. */

static int prepare(struct reference_plan *plan, const struct program *program, struct error *err)
{
    int status = program_check(program, err);
    for (int32_t i = 0; !status && i < program->n_ops; i++) {
        status = reference_chip.supports("", program, &program->ops[i], plan->limits.cache_type, err);
        if (status)
            error_prefix(err, "operation %d (%s)", i, program->ops[i].label);
    }
    return status ? status : check_limits(&plan->limits, program, err);
}

static int compile(struct reference_plan *plan, const struct program *program, const struct progress *progress, struct error *err)
{
    int status = prepare(plan, program, err);
    if (!status)
        status = program_copy(&plan->arena, program, &plan->program, err);
    if (!status)
        status = make_buffers(plan, err);
    if (!status)
        status = make_caches(plan, err);
    if (!status)
        status = make_scratch(plan, err);
    if (!status)
        status = load_weights(plan, progress, err);
    if (!status)
        write_numerics_id(plan);
    return status;
}

/* ---- Estimates. */

/* The weight whose part this one shares, or -1. */
static int32_t find_owner(const struct program *program, int32_t weight, int32_t part)
{
    for (int32_t w = 0; w <= weight; w++) {
        int32_t n_parts = w == weight ? part : program->weights[w].n_parts;
        for (int32_t p = 0; p < n_parts; p++)
            if (weight_part_is_same(&program->weights[w].parts[p], &program->weights[weight].parts[part]))
                return w;
    }
    return -1;
}

static struct weight_estimate estimate_weight(const struct program *program, int32_t w)
{
    const struct logical_weight *weight = &program->weights[w];
    struct weight_estimate estimate = {
        .shared_with = w, .change = WEIGHT_AS_PUBLISHED, .form = tensor_types[weight->parts[0].type].name, .rate = RATE_F32, .passes = 1};
    for (int32_t p = 0; p < weight->n_parts; p++) {
        int32_t owner = find_owner(program, w, p);
        if (owner < 0)
            estimate.bytes += weight->parts[p].bytes;
        else if (!estimate.bytes)
            estimate.shared_with = owner;
    }
    if (estimate.bytes)
        estimate.shared_with = w;
    return estimate;
}

int reference_plan_estimate(const char *profile, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                            struct weight_estimate *weights, struct error *err)
{
    (void)profile;
    struct reference_plan plan = {.limits = *limits};
    int status = prepare(&plan, program, err);
    if (status)
        return status;
    *sizes = (struct plan_description){.buffer_bytes = scratch_doubles(program, &plan.limits) * sizeof *plan.scratch};
    for (int32_t b = 0; b < program->n_buffers; b++)
        sizes->buffer_bytes += buffer_bytes(&program->buffers[b], &plan.limits);
    for (int32_t g = 0; g < program->n_groups; g++) {
        sizes->group_block_bytes[g] = measure_cache(&program->groups[g], &plan.limits).block_bytes;
        sizes->cache_bytes += sizes->group_block_bytes[g] * (uint64_t)plan.limits.n_blocks[g];
    }
    for (int32_t w = 0; w < program->n_weights; w++) {
        struct weight_estimate estimate = estimate_weight(program, w);
        sizes->weight_bytes += estimate.bytes;
        if (weights)
            weights[w] = estimate;
    }
    return 0;
}

int reference_plan_create(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress,
                          struct plan **plan, struct error *err)
{
    (void)chip;
    struct reference_plan *made = mem_zalloc(sizeof *made);
    if (!made)
        return error_no_memory(err, "compiling a program for the reference chip");
    made->base.interface = &reference_chip;
    made->limits = *limits;
    arena_init(&made->arena, PLAN_ARENA_LIMIT);
    int status = compile(made, program, progress, err);
    if (status) {
        error_prefix(err, "compiling '%s' for the reference chip", program->name);
        reference_plan_free(&made->base);
        return status;
    }
    *plan = &made->base;
    return 0;
}

void reference_plan_free(struct plan *base)
{
    struct reference_plan *plan = (struct reference_plan *)base;
    if (!plan)
        return;
    for (int32_t i = 0; i < plan->n_allocations; i++)
        mem_free(plan->allocations[i]);
    for (int32_t b = 0; plan->buffers && b < plan->program->n_buffers; b++)
        mem_free(plan->buffers[b]);
    for (int32_t g = 0; plan->caches && g < plan->program->n_groups; g++)
        mem_free(plan->caches[g].bytes);
    mem_free(plan->scratch);
    mem_free(plan->token_ids);
    mem_free(plan->previous_wants);
    mem_free(plan->argmax);
    mem_free(plan->top_ids);
    mem_free(plan->top_logits);
    arena_free(&plan->arena);
    mem_free(plan);
}
