/* The reference chip's interface: opening, what it supports, steps. plan.c compiles; linear.c, attention.c, norm_rope.c and rows.c compute.
 *
 * A step runs inside wait, so that the results of the step before stay as they are until then. One step is in flight at a time. */
#include "chip/reference/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/bandwidth.h"
#include "base/machine.h"
#include "base/memory.h"
#include "chip/reference/plan.h"

static const char kind[] = "reference";

/* ---- The chip. */

static void reference_describe(const struct chip *chip, struct chip_description *description)
{
    struct machine machine;
    (void)chip;
    machine_inspect(&machine);
    *description = (struct chip_description){
        .name = "reference: scalar C, one thread, fp32",
        .numerics_id = REFERENCE_NUMERICS_ID,
        .guarantee = GUARANTEE_SPLIT,
        .memory_total = machine.memory_total,
        .memory_available = machine.memory_available,
        .block_tokens = REFERENCE_BLOCK_TOKENS,
        .max_steps_in_flight = 1,
        .max_top = STEP_MAX_TOP,
        .computes_from_maps = true,
        .gives_hidden_rows = true,
        .cache_type = TENSOR_F32,
    };
}

static int reference_probe(struct chip_description *descriptions, int max)
{
    if (max < 1)
        return 0;
    reference_describe(NULL, &descriptions[0]);
    return 1;
}

static int check_profile(const char *profile, struct error *err)
{
    if (profile && *profile)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the reference chip has no profile '%s': write \"reference\"", profile);
    return 0;
}

static int reference_open(const char *profile, const char *options, struct chip **chip, struct error *err)
{
    int status = check_profile(profile, err);
    if (status)
        return status;
    if (options && *options)
        return error_set(err, SAMPAN_EINVAL, "opening the reference chip: it has no options, found '%s'", options);
    struct chip *made = mem_zalloc(sizeof *made);
    if (!made)
        return error_no_memory(err, "opening the reference chip");
    made->interface = &reference_chip;
    *chip = made;
    return 0;
}

static void reference_close(struct chip *chip)
{
    mem_free(chip);
}

static int reference_health(struct chip *chip, struct error *err)
{
    (void)chip, (void)err;
    return 0;
}

/* All operations, all number types; the cache as F32, F16 or BF16. */
static int reference_supports(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err)
{
    int status = check_profile(profile, err);
    if (status)
        return status;
    if ((int)op->kind < 0 || op->kind >= OP_KIND_COUNT || !reference_operations[op->kind].run)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the reference chip has no operation '%s'", op_kind_name(op->kind));
    struct op_operands operands;
    op_get_operands(op, &operands);
    if (operands.group >= 0 && cache_type != TENSOR_F32 && cache_type != TENSOR_F16 && cache_type != TENSOR_BF16)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the reference chip keeps its cache in f32, f16 or bf16, not in %s",
                         (int)cache_type >= 0 && cache_type < TENSOR_TYPE_COUNT ? tensor_types[cache_type].name : "an unknown type");
    for (int32_t w = 0; w < operands.n_weights; w++) {
        const struct logical_weight *weight = &program->weights[operands.weights[w]];
        for (int32_t p = 0; p < weight->n_parts; p++)
            if (!tensor_types[weight->parts[p].type].to_float)
                return error_set(err, SAMPAN_EUNSUPPORTED, "the reference chip cannot convert %s, the type of '%s'", tensor_types[weight->parts[p].type].name,
                                 weight->parts[p].name);
    }
    return 0;
}

/* One profile, this machine. */
static int reference_profiles(struct chip_profile *profiles, int max)
{
    struct chip_description description;
    if (max < 1)
        return 0;
    reference_describe(NULL, &description);
    profiles[0] = (struct chip_profile){
        .is_here = true,
        .guarantee = description.guarantee,
        .cache_type = description.cache_type,
        .block_tokens = description.block_tokens,
        .memory_bytes = description.memory_total,
        .memory_free = description.memory_available,
        .memory_reserved = machine_memory_reserve(description.memory_available),
        .memory_source = "this machine, now",
    };
    snprintf(profiles[0].product, sizeof profiles[0].product, "%s", description.name);
    return 1;
}

/* One thread; what its scalar arithmetic can do is not worth knowing. */
static int reference_measure(struct chip_profile *profile, struct error *err)
{
    (void)err;
    if (profile->memory_bandwidth <= 0)
        profile->memory_bandwidth = bandwidth_measure(1);
    if (profile->memory_bandwidth > 0)
        profile->bandwidth_source = "measured now, one thread";
    return 0;
}

/* ---- Rows, for the operations. */

int32_t reference_rows(const struct reference_plan *plan, const struct step *step, int32_t buffer)
{
    return plan->program->buffers[buffer].rows == ROWS_TOKENS ? step->n_tokens : step->n_logit_rows;
}

float *reference_row(const struct reference_plan *plan, int32_t buffer, int32_t row)
{
    return plan->buffers[buffer] + (int64_t)row * plan->program->buffers[buffer].width;
}

void reference_weight_row(const struct reference_plan *plan, int32_t weight, int64_t row, float *values)
{
    const struct logical_weight *logical = &plan->program->weights[weight];
    int32_t p = 0;
    for (; row >= logical->parts[p].rows; p++)
        row -= logical->parts[p].rows;
    const struct weight_part *part = &logical->parts[p];
    uint64_t row_bytes = part->bytes / (uint64_t)part->rows;
    tensor_types[part->type].to_float(plan->weights[weight].parts[p] + (uint64_t)row * row_bytes, values, (size_t)logical->columns);
}

const float *reference_vector(const struct reference_plan *plan, int32_t weight)
{
    return weight >= 0 ? plan->weights[weight].vector : NULL;
}

/* ---- Steps. */

const struct reference_operation reference_operations[OP_KIND_COUNT] = {
    [OP_EMBED] = {reference_embed},
    [OP_NORM] = {reference_norm},
    [OP_LINEAR] = {reference_linear},
    [OP_ROPE_CACHE] = {reference_rope_cache},
    [OP_ATTENTION] = {reference_attention},
    [OP_GATED_ACTIVATION] = {reference_gated_activation},
    [OP_SELECT_ROWS] = {reference_select_rows},
    [OP_LOGITS] = {reference_logits},
};

static int check_sources(const struct reference_plan *plan, const struct step *step, struct error *err)
{
    for (int32_t r = 0; step->token_sources && r < step->n_tokens; r++)
        if (step->token_sources[r] >= 0 && !(plan->previous_wants[step->token_sources[r]] & WANT_ARGMAX))
            return error_set(err, SAMPAN_EINVAL, "step %llu: row %d takes its token from logit row %d of the previous step, which did not ask for its argmax",
                             (unsigned long long)step->id, r, step->token_sources[r]);
    return 0;
}

static int reference_submit(struct plan *base, const struct step *step, struct error *err)
{
    struct reference_plan *plan = (struct reference_plan *)base;
    if (plan->in_flight)
        return error_set(err, SAMPAN_EBUSY, "the reference chip runs one step at a time: wait for step %llu first", (unsigned long long)plan->in_flight->id);
    int status = step_check(step, plan->program, &plan->limits, plan->previous_logit_rows, err);
    if (!status)
        status = check_sources(plan, step, err);
    if (status)
        return status;
    plan->in_flight = step;
    plan->previous_logit_rows = step->n_logit_rows;
    if (step->n_logit_rows)
        memcpy(plan->previous_wants, step->wants, (size_t)step->n_logit_rows * sizeof *step->wants);
    return 0;
}

static void apply_edits(struct reference_plan *plan, const struct step *step)
{
    for (int32_t e = 0; e < step->n_edits; e++) {
        const struct cache_edit *edit = &step->edits[e];
        const struct reference_cache *cache = &plan->caches[edit->group];
        unsigned char *to = cache->bytes + (uint64_t)edit->to * cache->block_bytes;
        if (edit->kind == CACHE_ZERO)
            memset(to, 0, cache->block_bytes);
        else if (edit->from != edit->to)
            memcpy(to, cache->bytes + (uint64_t)edit->from * cache->block_bytes, cache->block_bytes);
    }
}

static int reference_wait(struct plan *base, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    struct reference_plan *plan = (struct reference_plan *)base;
    const struct step *step = plan->in_flight;
    (void)timeout_ns; /* the step runs here, so it is always done in the end */
    if (!step)
        return error_set(err, SAMPAN_EINVAL, "waiting for a step of the reference chip, but none was submitted");
    plan->in_flight = NULL;
    for (int32_t r = 0; r < step->n_tokens; r++) {
        int32_t source = step->token_sources ? step->token_sources[r] : -1;
        plan->token_ids[r] = source >= 0 ? plan->argmax[source] : step->token_ids[r];
    }
    apply_edits(plan, step);
    int32_t wants = 0;
    for (int32_t l = 0; l < step->n_logit_rows; l++) {
        wants |= step->wants[l];
        plan->argmax[l] = -1;
    }
    int32_t n_ops = wants == WANT_HIDDEN ? program_head_begin(plan->program) : plan->program->n_ops;
    for (int32_t i = 0; i < n_ops; i++)
        reference_operations[plan->program->ops[i].kind].run(plan, step, &plan->program->ops[i]);

    const struct op *last = &plan->program->ops[plan->program->n_ops - 1];
    *result = (struct step_result){
        .id = step->id,
        .n_logit_rows = step->n_logit_rows,
        .logits = wants & WANT_LOGITS ? plan->buffers[last->logits.x] : NULL,
        .argmax = plan->argmax,
        .top_ids = wants & WANT_TOP ? plan->top_ids : NULL,
        .top_logits = wants & WANT_TOP ? plan->top_logits : NULL,
        .hidden = wants & WANT_HIDDEN ? plan->buffers[last->logits.hidden] : NULL,
    };
    return 0;
}

/* ---- Looking inside. */

static int find_buffer(struct reference_plan *plan, int32_t buffer, int32_t n_rows, size_t *n_values, struct error *err)
{
    if (!plan->limits.keep_buffers)
        return error_set(err, SAMPAN_EINVAL, "buffers can be read and written only in a plan made with keep_buffers");
    if (plan->in_flight)
        return error_set(err, SAMPAN_EBUSY, "buffers can be read and written only while no step is in flight");
    if (buffer < 0 || buffer >= plan->program->n_buffers)
        return error_set(err, SAMPAN_EINVAL, "buffer %d, but the program has %d", buffer, plan->program->n_buffers);
    int32_t most = plan->program->buffers[buffer].rows == ROWS_TOKENS ? plan->limits.max_tokens : plan->limits.max_logit_rows;
    if (n_rows < 0 || n_rows > most)
        return error_set(err, SAMPAN_EINVAL, "%d rows of buffer '%s', which has %d", n_rows, plan->program->buffers[buffer].name, most);
    *n_values = (size_t)n_rows * (size_t)plan->program->buffers[buffer].width;
    return 0;
}

static int reference_read_buffer(struct plan *base, int32_t buffer, int32_t n_rows, float *values, struct error *err)
{
    struct reference_plan *plan = (struct reference_plan *)base;
    size_t n_values = 0;
    int status = find_buffer(plan, buffer, n_rows, &n_values, err);
    if (!status && n_values)
        memcpy(values, plan->buffers[buffer], n_values * sizeof *values);
    return status;
}

static int reference_write_buffer(struct plan *base, int32_t buffer, int32_t n_rows, const float *values, struct error *err)
{
    struct reference_plan *plan = (struct reference_plan *)base;
    size_t n_values = 0;
    int status = find_buffer(plan, buffer, n_rows, &n_values, err);
    if (!status && n_values)
        memcpy(plan->buffers[buffer], values, n_values * sizeof *values);
    return status;
}

static int reference_read_block(struct plan *base, int32_t group, int32_t block, void *bytes, uint64_t capacity, uint64_t *length, struct error *err)
{
    struct reference_plan *plan = (struct reference_plan *)base;
    if (group < 0 || group >= plan->program->n_groups || block < 0 || block >= plan->limits.n_blocks[group])
        return error_set(err, SAMPAN_EINVAL, "block %d of cache group %d does not exist", block, group);
    const struct reference_cache *cache = &plan->caches[group];
    *length = cache->block_bytes;
    if (capacity < cache->block_bytes)
        return error_set(err, SAMPAN_EINVAL, "a block of cache group %d has %llu bytes, room for %llu was given", group, (unsigned long long)cache->block_bytes,
                         (unsigned long long)capacity);
    memcpy(bytes, cache->bytes + (uint64_t)block * cache->block_bytes, cache->block_bytes);
    return 0;
}

static void reference_plan_describe(const struct plan *base, struct plan_description *description)
{
    *description = ((const struct reference_plan *)base)->description;
}

const struct chip_interface reference_chip = {
    .kind = kind,
    .probe = reference_probe,
    .open = reference_open,
    .close = reference_close,
    .describe = reference_describe,
    .health = reference_health,
    .supports = reference_supports,
    .profiles = reference_profiles,
    .measure = reference_measure,
    .plan_estimate = reference_plan_estimate,
    .plan_create = reference_plan_create,
    .plan_free = reference_plan_free,
    .plan_describe = reference_plan_describe,
    .plan_submit = reference_submit,
    .plan_wait = reference_wait,
    .plan_read_buffer = reference_read_buffer,
    .plan_write_buffer = reference_write_buffer,
    .plan_read_block = reference_read_block,
};
