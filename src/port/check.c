#include "port/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "fleet/cache_sizing.h"

const char *port_verdict_name(enum port_verdict verdict)
{
    static const char *const names[PORT_VERDICT_COUNT] = {"runs", "refused", "context too long", "weights too large", "cache too large"};
    return (unsigned)verdict < PORT_VERDICT_COUNT ? names[verdict] : "unknown";
}

const char *weight_change_name(enum weight_change change)
{
    static const char *const names[] = {
        [WEIGHT_AS_PUBLISHED] = "as published",
        [WEIGHT_REARRANGED] = "same values",
        [WEIGHT_CONVERTED] = "rounded",
        [WEIGHT_REQUANTISED] = "re-quantised",
    };
    return (unsigned)change < sizeof names / sizeof names[0] ? names[change] : "unknown";
}

/* A question while it is answered. */
struct check {
    const struct port_question *question;
    struct arena *arena;
    struct port_answer *answer;
    struct plan_limits limits;
    struct cache_demand demand;
    struct weight_estimate *weights; /* [n_weights] */
};

/* ---- How weights are held. */

static struct port_form *find_form(struct port_form *forms, int32_t n, const struct port_form *wanted)
{
    for (int32_t i = 0; i < n; i++)
        if (forms[i].published == wanted->published && forms[i].change == wanted->change && strcmp(forms[i].form, wanted->form) == 0)
            return &forms[i];
    return NULL;
}

static int compare_forms(const void *a, const void *b)
{
    uint64_t x = ((const struct port_form *)a)->held_bytes, y = ((const struct port_form *)b)->held_bytes;
    return (x < y) - (x > y);
}

/* The type in the file, and the bytes there: other ones where a weight is quantised while it loads. */
static enum tensor_type published_type(const struct weight_part *part)
{
    return part->is_quantized ? part->stored_type : part->type;
}

static uint64_t published_bytes(const struct logical_weight *weight)
{
    uint64_t sum = 0, bytes;
    for (int32_t p = 0; p < weight->n_parts; p++)
        if (tensor_type_bytes(published_type(&weight->parts[p]), (uint64_t)weight->parts[p].rows, (uint64_t)weight->parts[p].columns, &bytes))
            sum += bytes;
    return sum;
}

static int list_forms(struct check *check, struct error *err)
{
    const struct program *program = check->question->program;
    struct port_form *forms = arena_alloc_array(check->arena, (size_t)program->n_weights, sizeof *forms);
    int32_t n = 0;
    if (!forms)
        return error_no_memory(err, "listing how weights are held");
    for (int32_t w = 0; w < program->n_weights; w++) {
        const struct weight_estimate *estimate = &check->weights[w];
        const struct weight_part *part = &program->weights[w].parts[0];
        struct port_form form = {.published = published_type(part), .form = estimate->form, .change = estimate->change};
        if (estimate->shared_with != w && weight_part_is_same(part, &program->weights[estimate->shared_with].parts[0]))
            continue; /* a tied head; what only lies in another's copy was published on its own */
        if (part->is_quantized)
            form.change = WEIGHT_REQUANTISED;
        struct port_form *found = find_form(forms, n, &form);
        if (!found) {
            found = &forms[n++];
            *found = form;
        }
        found->n_weights++;
        found->published_bytes += published_bytes(&program->weights[w]);
        found->held_bytes += estimate->bytes;
    }
    qsort(forms, (size_t)n, sizeof *forms, compare_forms);
    check->answer->forms = forms;
    check->answer->n_forms = n;
    for (int32_t i = 0; i < n; i++)
        check->answer->published_bytes += forms[i].published_bytes;
    return 0;
}

/* ---- Memory. */

/* What the plan takes with one cache block of each group: weights, buffers, and the size of a block. */
static int estimate_plan(struct check *check, struct error *err)
{
    const struct port_question *question = check->question;
    const struct program *program = question->program;
    struct port_answer *answer = check->answer;
    struct plan_limits *limits = &check->limits;
    *limits = (struct plan_limits){.block_tokens = question->profile->block_tokens, .cache_type = answer->cache_type, .max_context = answer->context};
    step_sizes_choose(program, 0, question->batch, limits);
    for (int32_t g = 0; g < program->n_groups; g++)
        limits->n_blocks[g] = 1;
    check->weights = arena_alloc_array(check->arena, (size_t)program->n_weights, sizeof *check->weights);
    if (!check->weights)
        return error_no_memory(err, "checking a model");
    int status = question->chip->plan_estimate(question->profile->name, program, limits, &answer->sizes, check->weights, err);
    if (status)
        return status;
    answer->block_tokens = limits->block_tokens;
    answer->max_tokens = limits->max_tokens;
    for (int32_t g = 0; g < program->n_groups; g++) {
        answer->group_token_bytes[g] = answer->sizes.group_block_bytes[g] / (uint64_t)limits->block_tokens;
        answer->token_bytes += answer->group_token_bytes[g];
    }
    check->demand =
        (struct cache_demand){.program = program, .cache_type = answer->cache_type, .block_tokens = limits->block_tokens, .max_tokens = limits->max_tokens};
    memcpy(check->demand.group_block_bytes, answer->sizes.group_block_bytes, sizeof check->demand.group_block_bytes);
    answer->sequence_bytes = cache_sequence_bytes(&check->demand, answer->context);
    return list_forms(check, err);
}

/* How many sequences, and how long a one, fit beside weights and buffers. */
static void fit_sequences(struct check *check)
{
    const struct chip_profile *profile = check->question->profile;
    struct port_answer *answer = check->answer;
    uint64_t memory = profile->is_here && profile->memory_free ? profile->memory_free : profile->memory_bytes;
    uint64_t taken = answer->sizes.weight_bytes + answer->sizes.buffer_bytes;
    answer->sequences_fit = answer->longest_context = -1;
    if (!memory)
        return;
    answer->usable_bytes = memory > profile->memory_reserved ? memory - profile->memory_reserved : 0;
    check->demand.budget = answer->usable_bytes > taken ? answer->usable_bytes - taken : 0;
    uint64_t fit = answer->sequence_bytes ? check->demand.budget / answer->sequence_bytes : LIMIT_SEQUENCES;
    answer->sequences_fit = fit > LIMIT_SEQUENCES ? LIMIT_SEQUENCES : (int64_t)fit;
    answer->longest_context = cache_longest_context(&check->demand, check->question->program->context_length);
}

/* The cache of the batch, as the plan reports it; where the plan cannot count that far, by multiplication. */
static void estimate_cache(struct check *check)
{
    const struct port_question *question = check->question;
    struct port_answer *answer = check->answer;
    struct plan_description whole;
    bool countable = true;
    for (int32_t g = 0; g < question->program->n_groups; g++) {
        int64_t blocks = cache_sequence_blocks(&check->demand, g, answer->context) * answer->batch;
        countable = countable && blocks <= INT32_MAX;
        check->limits.n_blocks[g] = (int32_t)(blocks <= INT32_MAX ? blocks : INT32_MAX);
    }
    if (countable && !question->chip->plan_estimate(question->profile->name, question->program, &check->limits, &whole, NULL, NULL))
        answer->sizes.cache_bytes = whole.cache_bytes;
    else if (__builtin_mul_overflow(answer->sequence_bytes, (uint64_t)answer->batch, &answer->sizes.cache_bytes))
        answer->sizes.cache_bytes = UINT64_MAX;
}

/* ---- The verdict. */

static void judge_memory(struct check *check)
{
    const struct port_question *question = check->question;
    struct port_answer *answer = check->answer;
    struct size_text usable = size_text(answer->usable_bytes), weights = size_text(answer->sizes.weight_bytes), one = size_text(answer->sequence_bytes);
    struct size_text buffers = size_text(answer->sizes.buffer_bytes), left = size_text(check->demand.budget);
    uint64_t taken = answer->sizes.weight_bytes + answer->sizes.buffer_bytes;
    if (answer->sequences_fit < 0)
        return;
    if (taken > answer->usable_bytes || !answer->longest_context) {
        answer->verdict = PORT_WEIGHTS_LARGE;
        snprintf(answer->problem, sizeof answer->problem,
                 "weights of %s and step buffers of %s leave no room for any context in the %s that can be used; choose a smaller or more strongly quantised "
                 "model, or a chip with more memory",
                 weights.text, buffers.text, usable.text);
    } else if (answer->sequences_fit < 1) {
        answer->verdict = PORT_CACHE_LARGE;
        snprintf(answer->problem, sizeof answer->problem,
                 "one sequence of %" PRId32 " tokens needs %s for keys and values, %s are left beside the weights; a context of %" PRId32 " fits",
                 answer->context, one.text, left.text, answer->longest_context);
    } else if (answer->sequences_fit < question->batch) {
        answer->verdict = PORT_CACHE_LARGE;
        snprintf(answer->problem, sizeof answer->problem,
                 "%" PRId32 " sequences of %" PRId32 " tokens were asked for, %" PRId64 " fit into the %s left beside the weights (%s each); choose a smaller "
                 "batch or context",
                 question->batch, answer->context, answer->sequences_fit, left.text, one.text);
    }
}

static int32_t choose_batch(const struct port_question *question, const struct port_answer *answer)
{
    if (question->batch)
        return question->batch;
    if (answer->sequences_fit < 0 || answer->sequences_fit >= PORT_DEFAULT_BATCH)
        return PORT_DEFAULT_BATCH;
    return answer->sequences_fit > 0 ? (int32_t)answer->sequences_fit : 1;
}

/* True where the question can be answered no further. */
static bool judge_support(struct check *check, int *status, struct error *err)
{
    const struct port_question *question = check->question;
    struct port_answer *answer = check->answer;
    *status = port_list_refusals(question, answer->cache_type, check->arena, answer, err);
    if (*status)
        return true;
    if (answer->n_refusals) {
        answer->verdict = PORT_REFUSED;
        snprintf(answer->problem, sizeof answer->problem, "%s", answer->refusals[0].reason);
        return true;
    }
    if (answer->context > question->program->context_length) {
        answer->verdict = PORT_CONTEXT_LONG;
        snprintf(answer->problem, sizeof answer->problem,
                 "a context of %" PRId32 " tokens was asked for, the model was made for %" PRId32 "; use %" PRId32 " or less", answer->context,
                 question->program->context_length, question->program->context_length);
    }
    return false;
}

static int check_question(const struct port_question *question, struct error *err)
{
    if (question->context < 0 || question->context > LIMIT_CONTEXT || question->batch < 0 || question->batch > LIMIT_SEQUENCES ||
        !(question->price_per_hour >= 0))
        return error_set(err, SAMPAN_EINVAL, "checking a model: context %" PRId32 ", batch %" PRId32 ", price %g; expected 0 to %d, 0 to %d, and 0 or more",
                         question->context, question->batch, question->price_per_hour, LIMIT_CONTEXT, LIMIT_SEQUENCES);
    return program_check(question->program, err);
}

int port_check(const struct port_question *question, struct arena *arena, struct port_answer *answer, struct error *err)
{
    struct check check = {.question = question, .arena = arena, .answer = answer};
    int32_t model_context = question->program->context_length;
    *answer = (struct port_answer){.cache_type = question->cache_type_given ? question->cache_type : question->profile->cache_type};
    int status = check_question(question, err);
    if (status)
        return status;
    answer->context = question->context ? question->context : model_context < PORT_DEFAULT_CONTEXT ? model_context : PORT_DEFAULT_CONTEXT;
    if (judge_support(&check, &status, err))
        return status;
    status = estimate_plan(&check, err);
    if (status)
        return status;
    fit_sequences(&check);
    if (answer->verdict == PORT_RUNS)
        judge_memory(&check);
    answer->batch = choose_batch(question, answer);
    estimate_cache(&check);
    bool *counted = arena_alloc_array(arena, (size_t)question->program->n_weights, sizeof *counted);
    if (!counted)
        return error_no_memory(err, "checking a model");
    port_bound_speeds(question, check.weights, counted, answer);
    return 0;
}
