/* The CPU chip's interface: opening, steps, looking inside.
 *
 * A step runs inside wait, on the caller's thread and the pool's, so that the results of the step before stay as they are until then. */
#include "chip/cpu/cpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/memory.h"
#include "chip/cpu/plan.h"

static void cpu_describe(const struct chip *base, struct chip_description *description)
{
    const struct cpu_chip *chip = (const struct cpu_chip *)base;
    struct machine *machine = mem_alloc(sizeof *machine);
    memset(description, 0, sizeof *description);
    if (machine) {
        machine_inspect(machine);
        description->memory_total = machine->memory_total;
        description->memory_available = machine->memory_available;
        mem_free(machine);
    }
    const char *dialect = cpu_dialects[chip->dialect].name;
    snprintf(description->name, sizeof description->name, "%s, %d worker%s, %s", chip->cpu_model, pool_n_workers(chip->pool),
             pool_n_workers(chip->pool) == 1 ? "" : "s", dialect);
    snprintf(description->numerics_id, sizeof description->numerics_id, CPU_NUMERICS_FORMAT, dialect, CPU_NUMERICS_GENERATION);
    description->guarantee = GUARANTEE_SPLIT;
    description->block_tokens = CPU_BLOCK_TOKENS;
    description->max_steps_in_flight = 1;
    description->max_top = STEP_MAX_TOP;
    description->computes_from_maps = true;
    description->gives_hidden_rows = true;
    description->cache_type = TENSOR_F16;
}

static int cpu_probe(struct chip_description *descriptions, int max)
{
    if (max < 1)
        return 0;
    const char *dialect = cpu_dialects[cpu_best_dialect()].name;
    struct machine *machine = mem_alloc(sizeof *machine);
    if (machine)
        machine_inspect(machine);
    descriptions[0] = (struct chip_description){
        .guarantee = GUARANTEE_SPLIT,
        .memory_total = machine ? machine->memory_total : 0,
        .memory_available = machine ? machine->memory_available : 0,
        .block_tokens = CPU_BLOCK_TOKENS,
        .max_steps_in_flight = 1,
        .max_top = STEP_MAX_TOP,
        .computes_from_maps = true,
        .gives_hidden_rows = true,
        .cache_type = TENSOR_F16,
    };
    if (machine)
        snprintf(descriptions[0].name, sizeof descriptions[0].name, "%s, %d worker%s, %s", machine->cpu_model, machine->n_usable,
                 machine->n_usable == 1 ? "" : "s", dialect);
    else /* no memory to look closer: the chip is there all the same, or "auto" would quietly take another */
        snprintf(descriptions[0].name, sizeof descriptions[0].name, "CPU, %s", dialect);
    snprintf(descriptions[0].numerics_id, sizeof descriptions[0].numerics_id, CPU_NUMERICS_FORMAT, dialect, CPU_NUMERICS_GENERATION);
    mem_free(machine);
    return 1;
}

/* ---- Opening */

static int find_dialect(const char *profile, enum cpu_dialect *dialect, struct error *err)
{
    *dialect = cpu_best_dialect();
    if (!profile || !*profile)
        return 0;
    for (int i = 0; i < DIALECT_COUNT; i++) {
        if (strcmp(profile, cpu_dialects[i].name) != 0)
            continue;
        if (!cpu_dialects[i].available())
            return error_set(err, SAMPAN_EUNSUPPORTED, "opening chip 'cpu:%s': this machine's CPU or operating system lacks %s; the best it can do is cpu:%s",
                             profile, cpu_dialects[i].requires, cpu_dialects[*dialect].name);
        *dialect = (enum cpu_dialect)i;
        return 0;
    }
    return error_set(err, SAMPAN_ENOTFOUND,
                     "opening chip 'cpu:%s': there is no such dialect; there are amx, avx512-bf16, avx512, avx2, neon and portable, or just cpu", profile);
}

/* "threads=N", separated by commas. */
static int read_options(const char *options, int32_t *n_threads, struct error *err)
{
    for (const char *option = options; option && *option;) {
        size_t length = strcspn(option, ",");
        char *end = NULL;
        errno = 0;
        long value = length > 8 && strncmp(option, "threads=", 8) == 0 ? strtol(option + 8, &end, 10) : 0;
        if (!end || end != option + length || errno || value < 1 || value > POOL_MAX_WORKERS)
            return error_set(err, SAMPAN_EINVAL, "opening the CPU chip: option '%.*s' is not understood; there is threads=N with N from 1 to %d",
                             (int)(length < 60 ? length : 60), option, POOL_MAX_WORKERS);
        *n_threads = (int32_t)value;
        option += length + (option[length] == ',');
    }
    return 0;
}

static int cpu_open(const char *profile, const char *options, struct chip **out, struct error *err)
{
    *out = NULL;
    enum cpu_dialect dialect;
    int32_t n_threads = 0;
    int code = find_dialect(profile, &dialect, err);
    if (!code)
        code = read_options(options, &n_threads, err);
    if (code)
        return code;
    struct cpu_chip *chip = mem_zalloc(sizeof *chip);
    struct machine *machine = mem_alloc(sizeof *machine);
    if (!chip || !machine) {
        mem_free(chip);
        mem_free(machine);
        return error_no_memory(err, "opening the CPU chip");
    }
    machine_inspect(machine);
    chip->base.interface = &cpu_chip_interface;
    chip->dialect = dialect;
    snprintf(chip->cpu_model, sizeof chip->cpu_model, "%s", machine->cpu_model);
    cpu_fill_kernels(&chip->kernels, dialect);
    int32_t usable = machine->n_usable < POOL_MAX_WORKERS ? machine->n_usable : POOL_MAX_WORKERS;
    code = pool_create(n_threads ? n_threads : usable, &chip->pool, err);
    mem_free(machine);
    if (code)
        mem_free(chip);
    else
        *out = &chip->base;
    return code;
}

static void cpu_close(struct chip *base)
{
    struct cpu_chip *chip = (struct cpu_chip *)base;
    if (!chip)
        return;
    pool_free(chip->pool);
    mem_free(chip);
}

static int cpu_health(struct chip *chip, struct error *err)
{
    (void)chip, (void)err;
    return 0;
}

/* ---- Steps */

static int cpu_submit(struct plan *base, const struct step *step, struct error *err)
{
    struct cpu_plan *plan = (struct cpu_plan *)base;
    if (plan->step)
        return error_set(err, SAMPAN_EBUSY, "the CPU chip runs one step at a time: wait for step %llu first", (unsigned long long)plan->step->id);
    int code = step_check(step, plan->program, &plan->limits, plan->previous_logit_rows, err);
    for (int32_t r = 0; !code && step->token_sources && r < step->n_tokens; r++) {
        if (step->token_sources[r] >= 0 && !(plan->previous_wants[step->token_sources[r]] & WANT_ARGMAX))
            code = error_set(err, SAMPAN_EINVAL, "step %llu: row %d takes its token from logit row %d of the previous step, which did not ask for its argmax",
                             (unsigned long long)step->id, r, step->token_sources[r]);
    }
    if (code)
        return code;
    plan->step = step;
    plan->previous_logit_rows = step->n_logit_rows;
    plan->wants = 0;
    for (int32_t l = 0; l < step->n_logit_rows; l++) {
        plan->previous_wants[l] = step->wants[l];
        plan->wants |= step->wants[l];
    }
    return 0;
}

/* Buffers that a norm moved go back to their first place, so that a plan whose buffers are kept reads and writes one place. */
static void settle_buffers(struct cpu_plan *plan)
{
    for (int32_t b = 0; b < plan->n_buffers; b++) {
        if (plan->current[b].rows != plan->buffers[b].rows)
            memcpy(plan->buffers[b].rows, plan->current[b].rows, (size_t)(stage_rows(plan, plan->buffers[b].kind) * plan->buffers[b].stride) * sizeof(float));
    }
}

/* The hidden rows without the buffer's padding. */
static const float *give_hidden(struct cpu_plan *plan, int32_t n_rows)
{
    const struct row_buffer *from = &plan->current[plan->program->ops->logits.hidden];
    for (int32_t l = 0; plan->hidden_results && l < n_rows; l++)
        memcpy(plan->hidden_results + (int64_t)l * from->width, buffer_row(from, l), (size_t)from->width * sizeof(float));
    return plan->hidden_results ? plan->hidden_results : from->rows;
}

static int cpu_wait(struct plan *base, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    struct cpu_plan *plan = (struct cpu_plan *)base;
    (void)timeout_ns; /* the step runs here, so it is always done in the end */
    if (!plan->step)
        return error_set(err, SAMPAN_EINVAL, "waiting for a step of the CPU chip, but none was submitted");
    pool_run(plan->chip->pool, cpu_run_step, plan);
    cpu_join_logits(plan);
    if (plan->limits.keep_buffers)
        settle_buffers(plan);
    const struct step *step = plan->step;
    const struct op *last = plan->program->ops;
    int32_t wants = plan->wants;
    *result = (struct step_result){.id = step->id, .n_logit_rows = step->n_logit_rows, .argmax = plan->argmax};
    if (wants & WANT_LOGITS && last->kind == OP_LOGITS)
        result->logits = plan->results ? plan->results : plan->current[last->logits.x].rows;
    if (wants & WANT_TOP) {
        result->top_ids = plan->top_ids;
        result->top_logits = plan->top_logits;
    }
    if (wants & WANT_HIDDEN)
        result->hidden = give_hidden(plan, step->n_logit_rows);
    plan->step = NULL;
    return 0;
}

/* ---- Looking inside */

static int find_buffer(struct cpu_plan *plan, int32_t buffer, int32_t n_rows, struct error *err)
{
    if (!plan->limits.keep_buffers)
        return error_set(err, SAMPAN_EINVAL, "buffers can be read and written only in a plan made with keep_buffers");
    if (plan->step)
        return error_set(err, SAMPAN_EBUSY, "buffers can be read and written only while no step is in flight");
    if (buffer < 0 || buffer >= plan->n_buffers)
        return error_set(err, SAMPAN_EINVAL, "buffer %d, but the program has %d", buffer, plan->n_buffers);
    int32_t most = plan->buffers[buffer].kind == ROWS_TOKENS ? plan->limits.max_tokens : plan->limits.max_logit_rows;
    if (n_rows < 0 || n_rows > most)
        return error_set(err, SAMPAN_EINVAL, "%d rows of buffer '%s', which has %d", n_rows, plan->program->buffers[buffer].name, most);
    return 0;
}

static int cpu_read_buffer(struct plan *base, int32_t buffer, int32_t n_rows, float *values, struct error *err)
{
    struct cpu_plan *plan = (struct cpu_plan *)base;
    int code = find_buffer(plan, buffer, n_rows, err);
    if (code)
        return code;
    const struct row_buffer *from = &plan->buffers[buffer];
    for (int32_t r = 0; r < n_rows; r++)
        memcpy(values + (int64_t)r * from->width, buffer_row(from, r), (size_t)from->width * sizeof *values);
    return 0;
}

static int cpu_write_buffer(struct plan *base, int32_t buffer, int32_t n_rows, const float *values, struct error *err)
{
    struct cpu_plan *plan = (struct cpu_plan *)base;
    int code = find_buffer(plan, buffer, n_rows, err);
    if (code)
        return code;
    const struct row_buffer *to = &plan->buffers[buffer];
    for (int32_t r = 0; r < n_rows; r++)
        memcpy(buffer_row(to, r), values + (int64_t)r * to->width, (size_t)to->width * sizeof *values);
    return 0;
}

static int cpu_read_block(struct plan *base, int32_t group, int32_t block, void *bytes, uint64_t capacity, uint64_t *length, struct error *err)
{
    struct cpu_plan *plan = (struct cpu_plan *)base;
    if (group < 0 || group >= plan->n_groups || block < 0 || block >= plan->limits.n_blocks[group])
        return error_set(err, SAMPAN_EINVAL, "block %d of cache group %d does not exist", block, group);
    const struct cache_group *cache = &plan->groups[group];
    *length = cache->block_bytes;
    if (capacity < cache->block_bytes)
        return error_set(err, SAMPAN_EINVAL, "a block of cache group %d has %llu bytes, room for %llu was given", group, (unsigned long long)cache->block_bytes,
                         (unsigned long long)capacity);
    memcpy(bytes, cache->blocks + (uint64_t)block * cache->block_bytes, cache->block_bytes);
    return 0;
}

static void cpu_plan_describe(const struct plan *base, struct plan_description *description)
{
    *description = ((const struct cpu_plan *)base)->description;
}

const struct chip_interface cpu_chip_interface = {
    .kind = "cpu",
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .describe = cpu_describe,
    .health = cpu_health,
    .supports = cpu_supports,
    .profiles = cpu_profiles,
    .measure = cpu_measure,
    .plan_estimate = cpu_plan_estimate,
    .plan_create = cpu_plan_create,
    .plan_free = cpu_plan_free,
    .plan_describe = cpu_plan_describe,
    .plan_submit = cpu_submit,
    .plan_wait = cpu_wait,
    .plan_read_buffer = cpu_read_buffer,
    .plan_write_buffer = cpu_write_buffer,
    .plan_read_block = cpu_read_block,
    .diagnose = cpu_diagnose,
};
