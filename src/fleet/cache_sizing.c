#include "fleet/cache_sizing.h"

#include <inttypes.h>
#include <stdio.h>

struct size_text size_text(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    struct size_text result;
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1024;
    snprintf(result.text, sizeof result.text, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return result;
}

enum {
    DEFAULT_MAX_TOKENS = 512,
    DEFAULT_MAX_SEQUENCES = 16,
    LOGITS_BUFFER_BYTES = 32 << 20, /* logit rows of a step are limited so that they take about this much */
};

void step_sizes_choose(const struct program *program, int32_t max_tokens, int32_t max_sequences, struct plan_limits *limits)
{
    limits->max_sequences = max_sequences ? max_sequences : DEFAULT_MAX_SEQUENCES;
    limits->max_tokens = max_tokens ? max_tokens : DEFAULT_MAX_TOKENS;
    if (limits->max_tokens < limits->max_sequences)
        limits->max_tokens = limits->max_sequences; /* every running sequence decodes in every step */
    int64_t rows = LOGITS_BUFFER_BYTES / (4 * (int64_t)(program->n_vocabulary > 0 ? program->n_vocabulary : 1));
    if (rows < limits->max_sequences)
        rows = limits->max_sequences;
    limits->max_logit_rows = (int32_t)(rows < limits->max_tokens ? rows : limits->max_tokens);
}

static int64_t ceil_divide(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static uint64_t group_block_bytes(const struct cache_demand *demand, int32_t g)
{
    const struct program_cache_group *group = &demand->program->groups[g];
    if (demand->group_block_bytes[g])
        return demand->group_block_bytes[g];
    uint64_t element = (uint64_t)tensor_types[demand->cache_type].block_bytes;
    return (uint64_t)group->n_layers * (uint64_t)demand->block_tokens * cache_group_elements(group) * element; /* limits.h: below 2^63 */
}

int64_t cache_sequence_blocks(const struct cache_demand *demand, int32_t g, int32_t context)
{
    const struct program_cache_group *group = &demand->program->groups[g];
    int64_t all = ceil_divide(context, demand->block_tokens);
    if (group->kind != CACHE_SLIDING_WINDOW)
        return all;
    int64_t touched = ceil_divide((int64_t)group->window + demand->max_tokens, demand->block_tokens) + 1;
    return touched < all ? touched : all;
}

uint64_t cache_sequence_bytes(const struct cache_demand *demand, int32_t context)
{
    uint64_t sum = 0;
    for (int32_t g = 0; g < demand->program->n_groups; g++) {
        uint64_t bytes;
        if (__builtin_mul_overflow((uint64_t)cache_sequence_blocks(demand, g, context), group_block_bytes(demand, g), &bytes) ||
            __builtin_add_overflow(sum, bytes, &sum))
            return UINT64_MAX;
    }
    return sum;
}

/* Bytes grow with the context, so halving finds it. */
int32_t cache_longest_context(const struct cache_demand *demand, int32_t most)
{
    int32_t fits = 0, too_long = most;
    if (cache_sequence_bytes(demand, most) <= demand->budget)
        return most;
    while (too_long - fits > 1) {
        int32_t middle = fits + (too_long - fits) / 2;
        if (cache_sequence_bytes(demand, middle) <= demand->budget)
            fits = middle;
        else
            too_long = middle;
    }
    return fits;
}

static int refuse_context(const struct cache_demand *demand, int32_t context, int32_t fits, struct error *err)
{
    struct size_text needed = size_text(cache_sequence_bytes(demand, context)), there = size_text(demand->budget);
    const char *which = demand->budget_is_given ? "of cache memory were given" : "are free for it beside the weights";
    const char *remedy = demand->budget_is_given ? "give it more" : "free some memory";
    if (fits < demand->block_tokens)
        return error_set(err, SAMPAN_ENOMEM, "sizing the cache: a context of %" PRId32 " tokens needs %s, but only %s %s, too little for any context; %s",
                         context, needed.text, there.text, which, remedy);
    return error_set(err, SAMPAN_ENOMEM, "sizing the cache: a context of %" PRId32 " tokens needs %s, but only %s %s; use --context %" PRId32 " or less, or %s",
                     context, needed.text, there.text, which, fits, remedy);
}

static int check_demand(const struct cache_demand *demand, struct error *err)
{
    const struct program *program = demand->program;
    if (demand->context < 0 || demand->max_sequences < 1 || demand->max_tokens < 1 || demand->block_tokens < 1)
        return error_set(err, SAMPAN_EINVAL,
                         "sizing the cache: context %" PRId32 ", sequences %" PRId32 ", tokens per step %" PRId32 ", tokens per block %" PRId32
                         "; expected positive numbers",
                         demand->context, demand->max_sequences, demand->max_tokens, demand->block_tokens);
    if (demand->context > program->context_length)
        return error_set(err, SAMPAN_EINVAL,
                         "sizing the cache: a context of %" PRId32 " tokens was asked for, but the model was made for %" PRId32 "; use --context %" PRId32
                         " or less",
                         demand->context, program->context_length, program->context_length);
    for (int32_t g = 0; g < program->n_groups; g++)
        if (program->groups[g].kind == CACHE_RECURRENT_STATE)
            return error_set(err, SAMPAN_EUNSUPPORTED, "sizing the cache: group '%s' keeps recurrent state, which this executor cannot hold",
                             program->groups[g].name);
    return 0;
}

int cache_sizes_choose(const struct cache_demand *demand, struct cache_sizes *sizes, struct error *err)
{
    *sizes = (struct cache_sizes){0};
    int code = check_demand(demand, err);
    if (code)
        return code;
    int32_t wanted = demand->context ? demand->context : demand->program->context_length;
    int32_t context = cache_longest_context(demand, wanted);
    int32_t least = demand->block_tokens < wanted ? demand->block_tokens : wanted;
    if ((demand->context && context < wanted) || context < least)
        return refuse_context(demand, wanted, context, err);
    sizes->context = context;
    /* How many whole contexts fit: one at least, max_sequences at most. */
    uint64_t one = cache_sequence_bytes(demand, context);
    double share = one ? (double)demand->budget / (double)one : demand->max_sequences;
    if (share > demand->max_sequences)
        share = demand->max_sequences;
    for (int32_t g = 0; g < demand->program->n_groups; g++) {
        int64_t each = cache_sequence_blocks(demand, g, context);
        double blocks = (double)each * share;
        int64_t count = blocks < (double)INT32_MAX ? (int64_t)blocks : INT32_MAX;
        sizes->n_blocks[g] = (int32_t)(count < each ? each : count);
        sizes->bytes += (uint64_t)sizes->n_blocks[g] * group_block_bytes(demand, g);
    }
    return 0;
}
