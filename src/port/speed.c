/* Bounds of speed: what a step must read and compute, over what the chip can. The rules are in check.h. */
#include "port/check.h"

/* What a step costs, by what it grows with. */
struct costs {
    double step_bytes;                   /* weights: once a step */
    double row_bytes;                    /* a row of the embedding, and one position written: for each token */
    double token_operations[RATE_COUNT]; /* of linears over token rows */
    double logit_operations[RATE_COUNT]; /* of linears over logit rows */
};

/* A copy that several weights lie in (query, key and value in one) is read once. */
static void add_weights_of_op(const struct port_question *question, const struct weight_estimate *weights, const struct op *op, bool *counted,
                              struct costs *costs)
{
    const struct program *program = question->program;
    struct op_operands operands;
    op_get_operands(op, &operands);
    for (int32_t i = 0; i < operands.n_weights; i++) {
        const struct logical_weight *weight = &program->weights[operands.weights[i]];
        int32_t owner = weights[operands.weights[i]].shared_with;
        double bytes = (double)weights[owner].bytes;
        if (weight->role == WEIGHT_EMBEDDING)
            costs->row_bytes += bytes / (double)weight->rows;
        else if (!counted[owner]) {
            costs->step_bytes += bytes;
            counted[owner] = true;
        }
    }
}

static void add_linear(const struct port_question *question, const struct weight_estimate *weights, const struct op_linear *linear, struct costs *costs)
{
    const struct program *program = question->program;
    for (int32_t i = 0; i < linear->n_outputs; i++) {
        const struct logical_weight *weight = &program->weights[linear->weights[i]];
        const struct weight_estimate *estimate = &weights[linear->weights[i]];
        double operations = 2.0 * (double)weight->rows * (double)weight->columns * estimate->passes;
        bool of_tokens = program->buffers[linear->x].rows == ROWS_TOKENS;
        (of_tokens ? costs->token_operations : costs->logit_operations)[estimate->rate] += operations;
    }
}

static struct costs add_up(const struct port_question *question, const struct weight_estimate *weights, bool *counted, const struct port_answer *answer)
{
    struct costs costs = {.row_bytes = (double)answer->token_bytes};
    for (int32_t i = 0; i < question->program->n_ops; i++) {
        const struct op *op = &question->program->ops[i];
        add_weights_of_op(question, weights, op, counted, &costs);
        if (op->kind == OP_LINEAR)
            add_linear(question, weights, &op->linear, &costs);
    }
    return costs;
}

/* Positions that a sequence at `position` attends to in a group. */
static double positions_read(const struct program_cache_group *group, double position)
{
    return group->kind == CACHE_SLIDING_WINDOW && position > group->window ? group->window : position;
}

/* ... and on average over a prompt of `tokens`: of a window w, w - w * w / 2 tokens. */
static double mean_positions_read(const struct program_cache_group *group, double tokens)
{
    double window = group->kind == CACHE_SLIDING_WINDOW ? group->window : tokens;
    return tokens > window ? window - window * window / (2 * tokens) : tokens / 2;
}

static double cache_bytes_read(const struct port_question *question, const struct port_answer *answer, double position)
{
    double bytes = 0;
    for (int32_t g = 0; g < question->program->n_groups; g++)
        bytes += (double)answer->group_token_bytes[g] * positions_read(&question->program->groups[g], position);
    return bytes;
}

typedef double (*positions_function)(const struct program_cache_group *group, double position);

/* Of one token, all layers. */
static double attention_operations(const struct port_question *question, positions_function positions, double position)
{
    double operations = 0;
    for (int32_t i = 0; i < question->program->n_ops; i++) {
        const struct op *op = &question->program->ops[i];
        if (op->kind != OP_ATTENTION)
            continue;
        const struct program_cache_group *group = &question->program->groups[op->attention.group];
        double width = group->streams[CACHE_KEYS].width + group->streams[CACHE_VALUES].width;
        operations += 2.0 * op->attention.n_heads * width * positions(group, position);
    }
    return operations;
}

/* Seconds that nothing can beat; 0 where a peak that is needed is not known. */
static double compute_seconds(const struct chip_profile *profile, const double operations[RATE_COUNT])
{
    double most = 0;
    for (int rate = 0; rate < RATE_COUNT; rate++) {
        if (operations[rate] <= 0)
            continue;
        if (profile->peak[rate] <= 0)
            return 0;
        double seconds = operations[rate] / profile->peak[rate];
        most = seconds > most ? seconds : most;
    }
    return most;
}

/* Tokens that a step makes (decoding) or takes (prefill), over the longer of its two times. A missing peak leaves the memory's bound; a missing bandwidth
 * leaves none for decoding, where memory is what counts. */
static void bound(const struct chip_profile *profile, double tokens, bool prefill, struct port_speed *speed)
{
    speed->memory_seconds = profile->memory_bandwidth > 0 ? speed->bytes / profile->memory_bandwidth : 0;
    speed->compute_seconds = compute_seconds(profile, speed->operations);
    speed->memory_bound = speed->memory_seconds >= speed->compute_seconds;
    double seconds = speed->memory_bound ? speed->memory_seconds : speed->compute_seconds;
    bool known = prefill ? speed->compute_seconds > 0 : speed->memory_seconds > 0;
    speed->tokens_per_second = known && seconds > 0 ? tokens / seconds : 0;
}

static void bound_decoding(const struct port_question *question, const struct costs *costs, const struct port_answer *answer, struct port_speed *speed)
{
    double batch = speed->batch;
    speed->bytes = costs->step_bytes + batch * (costs->row_bytes + cache_bytes_read(question, answer, speed->position));
    for (int rate = 0; rate < RATE_COUNT; rate++)
        speed->operations[rate] = batch * (costs->token_operations[rate] + costs->logit_operations[rate]);
    speed->operations[question->profile->attention_rate] += batch * attention_operations(question, positions_read, speed->position);
    bound(question->profile, batch, false, speed);
}

/* A prompt of `position` tokens in steps of max_tokens: weights are read once a step, and the keys and values of the steps before. */
static void bound_prefill(const struct port_question *question, const struct costs *costs, const struct port_answer *answer, struct port_speed *speed)
{
    double tokens = speed->position < answer->max_tokens ? speed->position : answer->max_tokens;
    speed->bytes = costs->step_bytes + tokens * costs->row_bytes + cache_bytes_read(question, answer, (speed->position - tokens) / 2);
    for (int rate = 0; rate < RATE_COUNT; rate++)
        speed->operations[rate] = tokens * costs->token_operations[rate];
    speed->operations[question->profile->attention_rate] += tokens * attention_operations(question, mean_positions_read, speed->position);
    bound(question->profile, tokens, true, speed);
}

static double cost_per_million(double price_per_hour, double tokens_per_second)
{
    return tokens_per_second > 0 ? price_per_hour / (tokens_per_second * 3600.0) * 1e6 : 0;
}

void port_bound_speeds(const struct port_question *question, const struct weight_estimate *weights, bool *counted, struct port_answer *answer)
{
    struct costs costs = add_up(question, weights, counted, answer);
    for (int row = SPEED_ONE_START; row <= SPEED_BATCH_END; row++) {
        bool one = row == SPEED_ONE_START || row == SPEED_ONE_END, start = row == SPEED_ONE_START || row == SPEED_BATCH_START;
        answer->speeds[row] = (struct port_speed){.batch = one ? 1 : answer->batch, .position = start ? 0 : answer->context};
        bound_decoding(question, &costs, answer, &answer->speeds[row]);
    }
    answer->speeds[SPEED_PREFILL] = (struct port_speed){.batch = 1, .position = answer->context};
    bound_prefill(question, &costs, answer, &answer->speeds[SPEED_PREFILL]);
    answer->cost_per_million_generated = cost_per_million(question->price_per_hour, answer->speeds[SPEED_BATCH_END].tokens_per_second);
    answer->cost_per_million_prompt = cost_per_million(question->price_per_hour, answer->speeds[SPEED_PREFILL].tokens_per_second);
}
