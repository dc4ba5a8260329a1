#include "fleet/local_executor.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/file_map.h"
#include "base/memory.h"
#include "fleet/cache_sizing.h"

#define HEALTH_INTERVAL_NS UINT64_C(1000000000)

struct local_factory {
    struct local_executor_options options; /* chip: owned copy */
    char *chip;
    bool has_maps; /* the program has mapped weights; map_losses: file_map_losses() before the first was read */
    uint64_t map_losses;
    _Atomic int64_t lose_after;
    pthread_mutex_t mutex; /* guards what follows: written by open, read by describe */
    bool described;
    struct chip_description chip_description;
    struct plan_description plan_description;
    struct plan_limits limits;
};

struct local_executor {
    struct executor executor; /* first */
    struct local_factory *factory;
    struct chip *chip;
    struct plan *plan;
    struct executor_description description;
    uint64_t asked_ns; /* when the chip was last asked how it is */
    bool lost;
};

/* ---- Sizes. */

/* What may go to the cache: what is free now, less the weights, the buffers, and a reserve for everything else in the process. */
static uint64_t measure_budget(const struct chip_description *chip, const struct plan_description *sizes)
{
    if (!chip->memory_available)
        return UINT64_MAX / 2; /* the chip does not know; its own allocation will tell */
    uint64_t taken = sizes->weight_bytes + sizes->buffer_bytes + machine_memory_reserve(chip->memory_available);
    return chip->memory_available > taken ? chip->memory_available - taken : 0;
}

/* What the plan takes beside the cache, and the bytes of a cache block. */
static int estimate_plan(const struct local_executor *local, struct plan_limits limits, struct plan_description *sizes, struct error *err)
{
    const struct program *program = local->factory->options.program;
    char profile[64];
    if (!chip_split_profile(local->factory->chip ? local->factory->chip : "", profile, sizeof profile))
        profile[0] = '\0'; /* the chip is open, so it was understood */
    limits.max_context = 1;
    for (int32_t g = 0; g < program->n_groups && g < STEP_MAX_GROUPS; g++)
        limits.n_blocks[g] = 1;
    return local->chip->interface->plan_estimate(profile, program, &limits, sizes, NULL, err);
}

static int choose_limits(const struct local_executor *local, const struct chip_description *chip, struct plan_limits *limits, struct error *err)
{
    const struct local_executor_options *options = &local->factory->options;
    struct plan_description plan;
    *limits = (struct plan_limits){
        .block_tokens = options->block_tokens ? options->block_tokens : chip->block_tokens,
        .cache_type = options->cache_type_given ? options->cache_type : chip->cache_type,
    };
    if (limits->block_tokens <= 0)
        limits->block_tokens = 32;
    step_sizes_choose(options->program, options->max_tokens, options->max_sequences, limits);
    if (chip->max_tokens && limits->max_tokens > chip->max_tokens)
        limits->max_tokens = chip->max_tokens;
    if (chip->max_tokens && limits->max_sequences > chip->max_tokens)
        limits->max_sequences = chip->max_tokens;
    if (limits->max_logit_rows > limits->max_tokens)
        limits->max_logit_rows = limits->max_tokens;
    int code = estimate_plan(local, *limits, &plan, err);
    if (code)
        return code;
    struct cache_demand demand = {
        .program = options->program,
        .cache_type = limits->cache_type,
        .block_tokens = limits->block_tokens,
        .max_tokens = limits->max_tokens,
        .max_sequences = limits->max_sequences,
        .context = options->max_context,
        .budget = options->cache_bytes ? options->cache_bytes : measure_budget(chip, &plan),
        .budget_is_given = options->cache_bytes != 0,
    };
    struct cache_sizes sizes;
    memcpy(demand.group_block_bytes, plan.group_block_bytes, sizeof demand.group_block_bytes);
    code = cache_sizes_choose(&demand, &sizes, err);
    if (code)
        return code;
    limits->max_context = sizes.context;
    memcpy(limits->n_blocks, sizes.n_blocks, sizeof limits->n_blocks);
    return 0;
}

/* ---- The executor. */

static enum executor_group_kind group_kind(enum cache_kind kind)
{
    if (kind == CACHE_RECURRENT_STATE)
        return EXECUTOR_GROUP_STATE;
    return kind == CACHE_SLIDING_WINDOW ? EXECUTOR_GROUP_WINDOW : EXECUTOR_GROUP_ALL_POSITIONS;
}

static enum executor_guarantee executor_guarantee_of(enum chip_guarantee guarantee)
{
    static const enum executor_guarantee table[] = {
        [GUARANTEE_NONE] = EXECUTOR_GUARANTEE_NONE,
        [GUARANTEE_BATCH] = EXECUTOR_GUARANTEE_BATCH,
        [GUARANTEE_SPLIT] = EXECUTOR_GUARANTEE_SPLIT,
    };
    return table[guarantee];
}

static void fill_description(struct local_executor *local, const struct chip_description *chip, const struct plan_description *plan,
                             const struct plan_limits *limits)
{
    const struct program *program = local->factory->options.program;
    struct executor_description *description = &local->description;
    *description = (struct executor_description){
        .guarantee = executor_guarantee_of(chip->guarantee),
        .n_vocabulary = program->n_vocabulary,
        .max_tokens = limits->max_tokens,
        .max_sequences = limits->max_sequences,
        .max_logit_rows = limits->max_logit_rows,
        .max_context = limits->max_context,
        .max_steps_in_flight = chip->max_steps_in_flight > 0 ? chip->max_steps_in_flight : 1,
        .max_top = chip->max_top,
        .hidden_width = chip->gives_hidden_rows ? program_hidden_width(program) : 0,
        .n_groups = program->n_groups,
    };
    snprintf(description->numerics_id, sizeof description->numerics_id, "%s", plan->numerics_id);
    for (int32_t g = 0; g < program->n_groups; g++)
        description->groups[g] = (struct executor_group){
            .kind = group_kind(program->groups[g].kind),
            .block_tokens = limits->block_tokens,
            .n_blocks = limits->n_blocks[g],
            .window = program->groups[g].window,
            .block_bytes = plan->group_block_bytes[g],
        };
}

static void local_describe(const struct executor *executor, struct executor_description *description)
{
    *description = ((const struct local_executor *)executor)->description;
}

/* True when a drill wants this submit to find the executor lost. */
static bool drill_strikes(struct local_factory *factory)
{
    int64_t left = atomic_load(&factory->lose_after);
    if (left < 0)
        return false;
    return atomic_fetch_sub(&factory->lose_after, 1) == 0;
}

/* Between steps: a chip that is lost while idle, or whose fault no step has met yet, is found before work is given to it. */
static int ask_health(struct local_executor *local, struct error *err)
{
    uint64_t now = clock_monotonic_ns();
    if (now - local->asked_ns < HEALTH_INTERVAL_NS)
        return 0;
    local->asked_ns = now;
    int code = local->chip->interface->health(local->chip, err);
    if (code)
        error_prefix(err, "asking the chip how it is");
    return code;
}

static int local_submit(struct executor *executor, const struct step *step, struct error *err)
{
    struct local_executor *local = (struct local_executor *)executor;
    if (!local->lost && drill_strikes(local->factory))
        local->lost = true;
    if (local->lost)
        return error_set(err, SAMPAN_ELOST, "submitting step %" PRIu64 ": the executor is lost; open another", step->id);
    int code = ask_health(local, err);
    if (!code)
        code = local->plan->interface->plan_submit(local->plan, step, err);
    if (code == SAMPAN_ELOST)
        local->lost = true;
    return code;
}

static int local_wait(struct executor *executor, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    struct local_executor *local = (struct local_executor *)executor;
    if (local->lost)
        return error_set(err, SAMPAN_ELOST, "waiting for a step: the executor is lost; open another");
    int code = local->plan->interface->plan_wait(local->plan, timeout_ns, result, err);
    if (!code && local->factory->has_maps && file_map_losses() != local->factory->map_losses)
        return error_set(err, SAMPAN_EIO,
                         "a file of the model shrank or could not be read while it was computed from (no-repack); restore it and open the model again");
    if (code == SAMPAN_ETIMEOUT && ask_health(local, err) == SAMPAN_ELOST)
        code = SAMPAN_ELOST; /* a step that will never be done */
    if (code == SAMPAN_ELOST)
        local->lost = true;
    return code;
}

static void local_close(struct executor *executor)
{
    struct local_executor *local = (struct local_executor *)executor;
    if (local->plan)
        local->plan->interface->plan_free(local->plan);
    if (local->chip)
        local->chip->interface->close(local->chip);
    mem_free(local);
}

static const struct executor_interface local_interface = {local_describe, local_submit, local_wait, local_close};

/* ---- The factory. */

static int open_plan(struct local_executor *local, struct error *err)
{
    struct local_factory *factory = local->factory;
    struct chip_description chip;
    struct plan_description plan;
    struct plan_limits limits;
    int code = chip_open(factory->chip, &local->chip, err);
    if (code)
        return code;
    const struct chip_interface *interface = local->chip->interface;
    interface->describe(local->chip, &chip);
    if (factory->has_maps && !chip.computes_from_maps)
        return error_set(err, SAMPAN_EUNSUPPORTED, "computing from the mapped file (no-repack): the chip '%s' needs its weights in a layout of its own",
                         chip.name);
    if (factory->described) /* opened again after a loss: streams are rebuilt into what they had. Only this thread writes these. */
        limits = factory->limits;
    else
        code = choose_limits(local, &chip, &limits, err);
    if (!code)
        code = interface->plan_create(local->chip, factory->options.program, &limits, &factory->options.progress, &local->plan, err);
    if (code)
        return code;
    interface->plan_describe(local->plan, &plan);
    fill_description(local, &chip, &plan, &limits);
    pthread_mutex_lock(&factory->mutex);
    factory->chip_description = chip;
    factory->plan_description = plan;
    factory->limits = limits;
    factory->described = true;
    pthread_mutex_unlock(&factory->mutex);
    return 0;
}

static int open_executor(void *self, struct executor **executor, struct error *err)
{
    *executor = NULL;
    struct local_executor *local = mem_zalloc(sizeof *local);
    if (!local)
        return error_no_memory(err, "opening an executor");
    local->executor.interface = &local_interface;
    local->factory = self;
    int code = open_plan(local, err);
    if (code) {
        local_close(&local->executor);
        return code;
    }
    *executor = &local->executor;
    return 0;
}

static int check_options(const struct local_executor_options *options, struct error *err)
{
    if (!options->program)
        return error_set(err, SAMPAN_EINVAL, "making an executor: no program was given");
    if (options->max_context < 0 || options->max_tokens < 0 || options->max_sequences < 0 || options->block_tokens < 0)
        return error_set(err, SAMPAN_EINVAL,
                         "making an executor: context %" PRId32 ", tokens per step %" PRId32 ", sequences %" PRId32 ", tokens per block %" PRId32
                         "; expected 0 or positive numbers",
                         options->max_context, options->max_tokens, options->max_sequences, options->block_tokens);
    if (options->max_sequences > LIMIT_SEQUENCES)
        return error_set(err, SAMPAN_ELIMIT, "making an executor: %" PRId32 " sequences, at most %d", options->max_sequences, LIMIT_SEQUENCES);
    if (options->block_tokens && ATTENTION_SPAN % options->block_tokens)
        return error_set(err, SAMPAN_EINVAL, "making an executor: blocks of %" PRId32 " tokens, expected a divisor of %d", options->block_tokens,
                         ATTENTION_SPAN);
    return 0;
}

int local_factory_create(const struct local_executor_options *options, struct local_factory **factory, struct error *err)
{
    *factory = NULL;
    int code = check_options(options, err);
    if (code)
        return code;
    struct local_factory *made = mem_zalloc(sizeof *made);
    if (!made)
        return error_no_memory(err, "making an executor");
    made->options = *options;
    made->map_losses = file_map_losses();
    made->has_maps = program_has_maps(options->program);
    made->options.chip = NULL;
    if (options->chip && !(made->chip = mem_strndup(options->chip, strlen(options->chip)))) {
        mem_free(made);
        return error_no_memory(err, "making an executor");
    }
    atomic_store(&made->lose_after, -1);
    pthread_mutex_init(&made->mutex, NULL);
    *factory = made;
    return 0;
}

void local_factory_free(struct local_factory *factory)
{
    if (!factory)
        return;
    pthread_mutex_destroy(&factory->mutex);
    mem_free(factory->chip);
    mem_free(factory);
}

struct executor_factory local_factory_interface(struct local_factory *factory)
{
    return (struct executor_factory){open_executor, factory};
}

bool local_factory_describe(const struct local_factory *factory, struct chip_description *chip, struct plan_description *plan, struct plan_limits *limits)
{
    struct local_factory *shared = (struct local_factory *)factory; /* for the mutex: what is described stays as it is */
    pthread_mutex_lock(&shared->mutex);
    bool described = factory->described;
    if (described) {
        *chip = factory->chip_description;
        *plan = factory->plan_description;
        *limits = factory->limits;
    }
    pthread_mutex_unlock(&shared->mutex);
    return described;
}

void local_factory_lose_after(struct local_factory *factory, int64_t n)
{
    atomic_store(&factory->lose_after, n);
}
