/* Steps. submit chooses the shape, writes the numbers into page-locked memory, and queues: edits, one copy of the inputs, the graph (or the calls),
 * copies of the results, an event. wait waits for the event, bounded, and asks the stream for a fault. Nothing in between needs the host.
 *
 * Everything that can be refused is done before anything is queued, so that a refused submit leaves no trace; a failure after that means that the
 * device's state is not known: the plan is lost and the engine rebuilds. */
#include <string.h>

#include "base/clock.h"
#include "chip/ascend/plan.h"

/* ---- Shapes. */

static int32_t blocks_for(const struct ascend_plan *plan, int32_t length)
{
    return (length + plan->limits.block_tokens - 1) / plan->limits.block_tokens;
}

/* Attention wants that the cache has as many blocks as its lengths name, spare ones included. */
static bool has_blocks_for(const struct ascend_plan *plan, int64_t blocks)
{
    for (int32_t g = 0; g < plan->program->n_groups; g++)
        if (blocks > plan->groups[g].n_blocks)
            return false;
    return true;
}

static int32_t all_wants(const struct step *step)
{
    int32_t wants = 0;
    for (int32_t l = 0; l < step->n_logit_rows; l++)
        wants |= step->wants[l];
    return wants;
}

/* Blocks that a step's true lengths name when every row is a sequence; padded rows name one each. */
static int64_t count_blocks(const struct ascend_plan *plan, const struct step *step, int32_t n_rows)
{
    int64_t blocks = n_rows - step->n_tokens;
    for (int32_t r = 0; r < step->n_tokens; r++)
        blocks += blocks_for(plan, step->positions[r] + 1);
    return blocks;
}

static struct variant_key choose_key(const struct ascend_plan *plan, const struct step *step, int32_t wants)
{
    int32_t longest = 1, fixed = plan->chip->options.fixed_rows;
    for (int32_t s = 0; s < step->n_sequences; s++)
        longest = step->lengths[s] > longest ? step->lengths[s] : longest;
    struct variant_key key = {
        .n_rows = fixed ? fixed : ascend_pad_rows(step->n_tokens ? step->n_tokens : 1),
        .n_logit_rows = fixed ? plan->max_logit_rows : ascend_pad_rows(step->n_logit_rows),
        .has_head = wants != WANT_HIDDEN,
        .has_top = (wants & WANT_TOP) != 0,
    };
    if (key.n_rows > plan->row_sequences)
        return key;
    int32_t blocks = fixed ? plan->max_table_blocks : ascend_pad_blocks(blocks_for(plan, longest));
    blocks = blocks > plan->max_table_blocks ? plan->max_table_blocks : blocks;
    if (has_blocks_for(plan, plan->chip->options.updates ? count_blocks(plan, step, key.n_rows) : (int64_t)key.n_rows * blocks))
        key.table_blocks = blocks;
    return key;
}

/* ---- Steps whose attention is prepared call by call: pieces of prompts. */

static struct span next_span(const struct ascend_plan *plan, const struct step *step, int32_t first_sequence, int32_t *next_sequence)
{
    struct span span = {.first_row = step->row_starts[first_sequence], .sequence = first_sequence};
    int32_t s = first_sequence, most = plan->row_sequences * plan->max_table_blocks;
    while (s < step->n_sequences && step->row_starts[s + 1] - step->row_starts[s] == 1) {
        int32_t blocks = blocks_for(plan, step->lengths[s]);
        blocks = blocks > span.table_blocks ? blocks : span.table_blocks;
        if (span.n_rows && (span.n_rows + 1) * blocks > most)
            break; /* the masks of windows have no room for more */
        span.table_blocks = blocks;
        span.n_rows++;
        s++;
    }
    span.is_rows = span.n_rows > 0;
    if (!span.is_rows) {
        span.n_rows = step->row_starts[s + 1] - step->row_starts[s];
        span.table_blocks = blocks_for(plan, step->lengths[s]);
        s++;
    }
    span.n_tables = span.is_rows ? span.n_rows : 1;
    *next_sequence = s;
    return span;
}

static void find_spans(struct ascend_plan *plan, const struct step *step, uint64_t *end)
{
    plan->n_spans = 0;
    for (int32_t s = 0; s < step->n_sequences;) {
        struct span *span = &plan->spans[plan->n_spans++];
        *span = next_span(plan, step, s, &s);
        ascend_place_span(plan, span, end);
    }
}

/* Attention of all operations and spans with the step's true lengths; place_ends says where each operation's calls end. */
static int prepare_attention(struct ascend_plan *plan, const struct step *step, struct error *err)
{
    struct call_list *calls = &plan->step_calls;
    int32_t attention = 0;
    calls_clear(calls);
    for (int32_t i = 0; i < plan->program->n_ops; i++) {
        const struct planned_op *planned = &plan->ops[i];
        if (planned->op->kind != OP_ATTENTION)
            continue;
        for (int32_t n = 0; n < plan->n_spans; n++) {
            const struct span *span = &plan->spans[n];
            for (int32_t t = 0; t < span->n_tables; t++)
                plan->span_lengths[t] = step->lengths[span->sequence + t];
            calls->label = planned->op->label;
            if (span->is_rows && planned->op->attention.window)
                ascend_add_mask(plan, calls, span, ascend_window_index(plan, planned->op->attention.window));
            ascend_add_attention(plan, calls, planned, span, plan->span_lengths, false);
        }
        plan->place_ends[attention++] = calls->count;
    }
    int status = calls_prepare(plan->chip, calls, 0, false, err);
    plan->counters.preparations += (uint64_t)calls->count;
    return status ? status : ascend_workspace_reserve(plan, calls->workspace_bytes, err);
}

/* ---- Captured attention with true lengths: the tasks are replaced before each replay (four calls for each attention). */

static int update_attention(struct ascend_plan *plan, struct variant *variant, const struct step *step, struct error *err)
{
    const struct ascend_library *library = plan->chip->library;
    struct call_list *calls = &plan->step_calls;
    int32_t group = 0, sequence = 0;
    for (int32_t r = 0; r < variant->key.n_rows; r++) {
        while (r < step->n_tokens && r >= step->row_starts[sequence + 1])
            sequence++;
        plan->span_lengths[r] = r < step->n_tokens ? step->positions[r] + 1 : 1;
    }
    calls_clear(calls);
    for (int32_t i = 0; i < plan->program->n_ops; i++)
        if (plan->ops[i].op->kind == OP_ATTENTION)
            ascend_add_attention(plan, calls, &plan->ops[i], &variant->span, plan->span_lengths, false);
    int status = calls_prepare(plan->chip, calls, 0, false, err);
    plan->counters.preparations += (uint64_t)calls->count;
    if (!status)
        status = ascend_workspace_reserve(plan, calls->workspace_bytes, err);
    for (int32_t i = 0; !status && variant->graph && i < calls->count; i++) {
        int code = library->begin_update(plan->stream, variant->groups[group]);
        if (!code)
            status = ascend_launch(plan, calls, i, i + 1, err);
        int end = code ? code : library->end_update(plan->stream);
        group++;
        if (!status && end)
            status = ascend_chip_fail(plan->chip, end, err, "updating captured attention");
    }
    return status;
}

/* ---- Queueing. */

/* Block `from` of all layers to block `to`: one copy for keys and one for values. */
static int queue_block_copy(struct ascend_plan *plan, int32_t g, int32_t from, int32_t to, struct error *err)
{
    const struct plan_group *group = &plan->groups[g];
    for (int i = 0; i < 2 && from != to; i++) {
        char *stream = group->memory + (i ? group->block_bytes[0] * (uint64_t)group->n_blocks : 0);
        uint64_t bytes = group->block_bytes[i];
        int code = plan->chip->library->copy_2d_async(stream + bytes * (uint64_t)to, group->layer_bytes, stream + bytes * (uint64_t)from, group->layer_bytes,
                                                      bytes, (size_t)group->n_layers, ACL_ON_DEVICE, plan->stream);
        if (code)
            return ascend_chip_fail(plan->chip, code, err, "copying cache block %d to %d (aclrtMemcpy2dAsync)", from, to);
    }
    return 0;
}

static int queue_edit(struct ascend_plan *plan, const struct cache_edit *edit, struct error *err)
{
    return queue_block_copy(plan, edit->group, edit->kind == CACHE_ZERO ? plan->groups[edit->group].null_block : edit->from, edit->to, err);
}

/* A block in which a sequence begins to write is zeroed first, all but what this step fills whole: padded attention reads to the end of the block, a mask
 * takes those keys out by a weight of zero, and zero times what an earlier owner left there must not be NaN. Once in block_tokens tokens of a sequence. */
static int queue_fresh_blocks(struct ascend_plan *plan, const struct step *step, struct error *err)
{
    int32_t block = plan->limits.block_tokens;
    for (int32_t s = 0; s < step->n_sequences; s++) {
        int32_t first = step->positions[step->row_starts[s]], last = step->lengths[s] - 1, index = last / block;
        if (first > index * block || (last + 1) % block == 0)
            continue;
        for (int32_t g = 0; g < plan->program->n_groups; g++) {
            int status = queue_block_copy(plan, g, plan->groups[g].null_block, step->tables[g].blocks[(int64_t)s * step->tables[g].stride + index], err);
            if (status)
                return status;
        }
    }
    return 0;
}

static int queue_copy(struct ascend_plan *plan, void *to, const void *from, uint64_t bytes, enum acl_copy_kind kind, const char *what, struct error *err)
{
    int code = bytes ? plan->chip->library->copy_async(to, bytes, from, bytes, (int)kind, plan->stream) : 0;
    return code ? ascend_chip_fail(plan->chip, code, err, "copying %s (aclrtMemcpyAsync)", what) : 0;
}

/* The calls of a shape, with those of the step in their places. */
static int queue_calls(struct ascend_plan *plan, struct variant *variant, struct error *err)
{
    int32_t done = 0;
    for (int32_t i = 0; i < variant->calls.count; i++) {
        struct call *call = &variant->calls.calls[i];
        int32_t end = call->name == CALL_NO_OPERATOR ? plan->place_ends[call->numbers[0]] : 0;
        int status =
            call->name == CALL_NO_OPERATOR ? ascend_launch(plan, &plan->step_calls, done, end, err) : ascend_launch(plan, &variant->calls, i, i + 1, err);
        if (status)
            return status;
        done = end > done ? end : done;
    }
    return 0;
}

static int queue_work(struct ascend_plan *plan, struct variant *variant, const struct step *step, struct error *err)
{
    if (plan->chip->options.updates && variant->key.table_blocks) {
        int status = update_attention(plan, variant, step, err);
        if (status)
            return status;
    }
    if (!variant->graph)
        return queue_calls(plan, variant, err);
    int code = plan->chip->library->replay(variant->graph, plan->stream);
    plan->counters.replays++;
    return code ? ascend_chip_fail(plan->chip, code, err, "replaying a step (aclmdlRIExecuteAsync)") : 0;
}

/* What the step's rows want, into the slot's page-locked buffers. */
static int queue_results(struct ascend_plan *plan, struct step_slot *slot, struct error *err)
{
    const struct step *step = slot->step;
    const struct program *program = plan->program;
    const struct op *last = &program->ops[program->n_ops - 1];
    uint64_t n = (uint64_t)step->n_logit_rows, k = (uint64_t)(program->n_vocabulary < TOP_CANDIDATES ? program->n_vocabulary : TOP_CANDIDATES);
    int status = 0;
    if (slot->wants & WANT_ARGMAX)
        status = queue_copy(plan, slot->argmax, plan->pool, n * 4, ACL_TO_HOST, "the largest logits' tokens", err);
    if (!status && slot->wants & (WANT_LOGITS | WANT_TOP)) { /* whole rows also settle a tie at the last candidate */
        const struct plan_buffer *buffer = &plan->buffers[last->logits.x];
        const void *logits = buffer->type == ACL_F32 ? ascend_buffer_end(plan, last->logits.x) : plan->logits;
        status = queue_copy(plan, slot->logits, logits, n * (uint64_t)program->n_vocabulary * 4, ACL_TO_HOST, "logits", err);
    }
    if (!status && slot->wants & WANT_TOP)
        status = queue_copy(plan, slot->top_values, plan->top_values, n * k * 4, ACL_TO_HOST, "candidates", err);
    if (!status && slot->wants & WANT_TOP)
        status = queue_copy(plan, slot->top_ids, plan->top_ids, n * k * 8, ACL_TO_HOST, "candidates", err);
    if (!status && slot->wants & WANT_HIDDEN)
        status = queue_copy(plan, slot->hidden_bits, ascend_buffer_end(plan, last->logits.hidden),
                            n * (uint64_t)program_hidden_width(program) * acl_type_bytes(plan->type), ACL_TO_HOST, "hidden rows", err);
    return status;
}

static int queue_step(struct ascend_plan *plan, struct variant *variant, struct step_slot *slot, uint64_t input_bytes, struct error *err)
{
    const struct step *step = slot->step;
    int status = 0;
    for (int32_t e = 0; !status && e < step->n_edits; e++)
        status = queue_edit(plan, &step->edits[e], err);
    if (!status)
        status = queue_fresh_blocks(plan, step, err);
    if (!status && step->n_tokens) {
        status = queue_copy(plan, plan->pool + plan->inputs_at, slot->inputs, input_bytes, ACL_TO_DEVICE, "a step's inputs", err);
        if (!status)
            status = queue_work(plan, variant, step, err);
        if (!status)
            status = queue_results(plan, slot, err);
    }
    if (status)
        return status;
    int code = plan->chip->library->record_event(slot->done, plan->stream);
    return code ? ascend_chip_fail(plan->chip, code, err, "recording the end of a step (aclrtRecordEvent)") : 0;
}

/* ---- submit */

static int check_sources(const struct ascend_plan *plan, const struct step *step, struct error *err)
{
    for (int32_t r = 0; step->token_sources && r < step->n_tokens; r++)
        if (step->token_sources[r] >= 0 && !(plan->previous_wants[step->token_sources[r]] & WANT_ARGMAX))
            return error_set(err, SAMPAN_EINVAL, "step %llu: row %d takes its token from logit row %d of the previous step, which did not ask for its argmax",
                             (unsigned long long)step->id, r, step->token_sources[r]);
    return 0;
}

static int check_submit(struct ascend_plan *plan, const struct step *step, struct error *err)
{
    if (plan->broken)
        return error_set(err, SAMPAN_ELOST, "the plan was lost by an earlier fault of the device; open it again");
    if (plan->n_submitted - plan->n_waited >= STEP_SLOTS - 1)
        return error_set(err, SAMPAN_EBUSY, "%d steps are in flight on the Ascend chip: wait for step %llu first", STEP_SLOTS - 1,
                         (unsigned long long)plan->slots[plan->n_waited % STEP_SLOTS].step->id);
    int status = step_check(step, plan->program, &plan->limits, plan->previous_logit_rows, err);
    if (!status)
        status = check_sources(plan, step, err);
    return status ? status : ascend_bind(plan->chip, err);
}

/* Everything that may be refused; fills the slot's inputs. */
static int prepare_step(struct ascend_plan *plan, const struct step *step, const struct variant_key *key, char *inputs, struct variant **variant,
                        uint64_t *input_bytes, struct error *err)
{
    int status = ascend_variant_get(plan, key, variant, err);
    if (status)
        return status;
    *input_bytes = (*variant)->layout.end;
    if (key->table_blocks == 0) {
        find_spans(plan, step, input_bytes);
        status = prepare_attention(plan, step, err);
        if (status)
            return status;
    }
    if (*input_bytes > plan->inputs_bytes)
        return error_set(err, SAMPAN_EINTERNAL, "a step's inputs take %llu bytes, %llu were reckoned", (unsigned long long)*input_bytes,
                         (unsigned long long)plan->inputs_bytes);
    ascend_pack_rows(plan, step, key, &(*variant)->layout, inputs);
    if (key->table_blocks)
        ascend_pack_span(plan, step, &(*variant)->span, inputs);
    for (int32_t n = 0; key->table_blocks == 0 && n < plan->n_spans; n++)
        ascend_pack_span(plan, step, &plan->spans[n], inputs);
    return 0;
}

int ascend_plan_submit(struct plan *base, const struct step *step, struct error *err)
{
    struct ascend_plan *plan = (struct ascend_plan *)base;
    struct variant *variant = NULL;
    uint64_t input_bytes = 0;
    int status = check_submit(plan, step, err);
    if (status)
        return status;
    struct step_slot *slot = &plan->slots[plan->n_submitted % STEP_SLOTS];
    int32_t wants = all_wants(step);
    struct variant_key key = choose_key(plan, step, wants);
    if (step->n_tokens)
        status = prepare_step(plan, step, &key, slot->inputs, &variant, &input_bytes, err);
    if (status)
        return status == SAMPAN_ELOST ? ascend_plan_fail(plan, status, err) : status;
    slot->step = step;
    slot->wants = wants;
    status = queue_step(plan, variant, slot, input_bytes, err);
    if (status)
        return ascend_plan_fail(plan, status, err);
    slot->submitted_ns = clock_monotonic_ns();
    plan->n_submitted++;
    if (variant)
        variant->used = plan->n_submitted;
    plan->counters.steps++;
    plan->previous_logit_rows = step->n_logit_rows;
    if (step->n_logit_rows)
        memcpy(plan->previous_wants, step->wants, (size_t)step->n_logit_rows * sizeof *step->wants);
    return 0;
}
