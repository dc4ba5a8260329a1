#include "engine/scheduler.h"

#include <string.h>

#include "base/memory.h"
#include "engine/block_tables.h"
#include "engine/sampler.h"

/* ---- Life. */

static int32_t blocks_for(int32_t positions, int32_t block_tokens)
{
    return (int32_t)(((int64_t)positions + block_tokens - 1) / block_tokens);
}

int32_t scheduler_capacity(const struct executor_description *d)
{
    int64_t capacity = d->max_context;
    for (int32_t g = 0; g < d->n_groups; g++) {
        int64_t group = (int64_t)d->groups[g].n_blocks * d->groups[g].block_tokens;
        if (d->groups[g].kind == EXECUTOR_GROUP_ALL_POSITIONS && group < capacity)
            capacity = group;
    }
    return (int32_t)capacity;
}

static int check_group(const struct executor_description *d, int32_t g, struct error *err)
{
    const struct executor_group *group = &d->groups[g];
    if (group->kind == EXECUTOR_GROUP_STATE)
        return error_set(err, SAMPAN_EUNSUPPORTED, "cache group %d of the executor holds recurrent state, which the engine cannot schedule yet", g);
    if (group->block_tokens < 1 || group->n_blocks < 1 || (group->kind == EXECUTOR_GROUP_WINDOW && group->window < 1))
        return error_set(err, SAMPAN_EINVAL, "cache group %d of the executor has %d blocks of %d tokens and a window of %d; all must be positive", g,
                         group->n_blocks, group->block_tokens, group->window);
    if (group->kind != EXECUTOR_GROUP_WINDOW)
        return 0;
    int32_t span = group->window < d->max_context ? blocks_for(group->window - 1, group->block_tokens) + 1 : blocks_for(d->max_context, group->block_tokens);
    if (group->n_blocks < span)
        return error_set(err, SAMPAN_ELIMIT, "cache group %d of the executor has %d blocks; a window of %d positions in blocks of %d needs %d", g,
                         group->n_blocks, group->window, group->block_tokens, span);
    return 0;
}

static int check_description(const struct executor_description *d, struct error *err)
{
    if (d->n_vocabulary < 1 || d->max_tokens < 1 || d->max_sequences < 1 || d->max_logit_rows < 1 || d->max_context < 1 || d->max_steps_in_flight < 1 ||
        d->n_groups < 1 || d->n_groups > STEP_MAX_GROUPS)
        return error_set(
            err, SAMPAN_EINVAL,
            "the executor describes itself with vocabulary %d, rows %d, sequences %d, logit rows %d, context %d, steps in flight %d, groups %d; all must "
            "be at least 1 and groups at most %d",
            d->n_vocabulary, d->max_tokens, d->max_sequences, d->max_logit_rows, d->max_context, d->max_steps_in_flight, d->n_groups, STEP_MAX_GROUPS);
    for (int32_t g = 0; g < d->n_groups; g++) {
        int status = check_group(d, g, err);
        if (status)
            return status;
    }
    return 0;
}

/* An array of n * m + extra int32; *failed is set when it could not be had. */
static int32_t *make_array(int32_t n, int32_t m, int32_t extra, bool *failed)
{
    int32_t *array = mem_alloc_array((size_t)n * (size_t)m + (size_t)extra, sizeof *array);
    *failed = *failed || !array;
    return array;
}

static bool make_plan(const struct scheduler *s, struct step_plan *plan)
{
    const struct executor_description *d = &s->description;
    bool failed = false;
    plan->token_ids = make_array(d->max_tokens, 1, 0, &failed);
    plan->token_sources = make_array(d->max_tokens, 1, 0, &failed);
    plan->positions = make_array(d->max_tokens, 1, 0, &failed);
    plan->row_starts = make_array(d->max_sequences, 1, 1, &failed);
    plan->lengths = make_array(d->max_sequences, 1, 1, &failed);
    plan->slots = make_array(d->max_sequences, 1, 1, &failed);
    plan->logit_rows = make_array(d->max_logit_rows, 1, 0, &failed);
    plan->wants = make_array(d->max_logit_rows, 1, 0, &failed);
    for (int32_t g = 0; g < d->n_groups; g++)
        plan->tables[g] = make_array(d->max_sequences, s->table_stride[g], 0, &failed);
    plan->entries = mem_alloc_array((size_t)d->max_sequences, sizeof *plan->entries);
    plan->edits = mem_alloc_array((size_t)s->max_edits, sizeof *plan->edits);
    return !failed && plan->entries && plan->edits;
}

static void free_plan(struct step_plan *plan)
{
    int32_t *arrays[] = {plan->token_ids, plan->token_sources, plan->positions, plan->row_starts, plan->lengths, plan->slots, plan->logit_rows, plan->wants};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        mem_free(arrays[i]);
    for (int32_t g = 0; g < STEP_MAX_GROUPS; g++)
        mem_free(plan->tables[g]);
    mem_free(plan->entries);
    mem_free(plan->edits);
}

static bool make_tables(struct scheduler *s)
{
    int64_t per_stream = 0;
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        s->table_stride[g] = blocks_for(s->description.max_context, s->kv.groups[g].block_tokens) + 1;
        per_stream += s->table_stride[g];
    }
    s->tables = mem_zalloc_array((size_t)s->max_running * (size_t)s->kv.n_groups, sizeof *s->tables);
    s->table_memory = mem_alloc_array((size_t)s->max_running * (size_t)per_stream, sizeof *s->table_memory);
    s->running = mem_alloc_array((size_t)s->max_running, sizeof(struct stream *));
    s->free_slots = mem_alloc_array((size_t)s->max_running, sizeof *s->free_slots);
    if (!s->tables || !s->table_memory || !s->running || !s->free_slots)
        return false;
    int32_t *next = s->table_memory;
    for (int32_t i = 0; i < s->max_running; i++) {
        s->free_slots[i] = s->max_running - 1 - i;
        for (int32_t g = 0; g < s->kv.n_groups; g++) {
            s->tables[i * s->kv.n_groups + g].blocks = next;
            next += s->table_stride[g];
        }
    }
    return true;
}

#define MAX_EDITS 4096 /* of one step; a stream that would need more computes instead of copying */

int scheduler_init(struct scheduler *s, const struct executor_description *description, int32_t max_running, int32_t prefill_chunk, bool reuse,
                   struct error *err)
{
    *s = (struct scheduler){.description = *description,
                            .max_running = max_running,
                            .prefill_chunk = prefill_chunk,
                            .last_step = UINT64_MAX,
                            .blocked_available = -1,
                            .n_plans = description->max_steps_in_flight};
    int status = check_description(description, err);
    if (!status)
        status = kv_blocks_init(&s->kv, description, err);
    if (!status)
        status = prefix_index_init(&s->index, &s->kv, reuse, err);
    if (status) {
        scheduler_free(s);
        return status;
    }
    int64_t max_edits = (int64_t)max_running * s->index.blocks_per_node;
    s->max_edits = max_edits < MAX_EDITS ? (int32_t)max_edits : MAX_EDITS;
    s->plans = mem_zalloc_array((size_t)s->n_plans, sizeof *s->plans);
    bool made = s->plans && make_tables(s);
    for (int32_t i = 0; i < s->n_plans && made; i++)
        made = make_plan(s, &s->plans[i]);
    if (made)
        return 0;
    scheduler_free(s);
    return error_no_memory(err, "making the scheduler's tables");
}

void scheduler_free(struct scheduler *s)
{
    for (int32_t i = 0; i < s->n_plans && s->plans; i++)
        free_plan(&s->plans[i]);
    mem_free(s->plans);
    mem_free(s->tables);
    mem_free(s->table_memory);
    mem_free(s->running);
    mem_free(s->free_slots);
    prefix_index_free(&s->index);
    kv_blocks_free(&s->kv);
    *s = (struct scheduler){0};
}

/* ---- What a stream needs. */

bool scheduler_argmax_suffices(const struct stream *stream, int32_t position)
{
    int32_t n_new = position + 1 - stream->log.n_prompt; /* accepted before the token that follows this position */
    return sampling_parameters_are_plain_greedy(&stream->sampling) && !stream->constraint && stream->log.logprob_width == 0 && n_new >= stream->min_tokens;
}

/* The row behind all known tokens may be computed now, its token being the argmax of the last submitted step. */
static bool may_chain(const struct scheduler *s, const struct stream *stream)
{
    int32_t n_unknown = stream->n_scheduled - stream->log.n_tokens; /* tokens in flight before the one this row would give */
    return stream->argmax_step == s->last_step && s->last_step != UINT64_MAX && token_log_n_new(&stream->log) + n_unknown + 1 < stream->log.max_new;
}

static int32_t rows_wanted(const struct scheduler *s, const struct stream *stream)
{
    int32_t known = stream->log.n_tokens - stream->n_scheduled;
    if (known > 0)
        return known;
    return may_chain(s, stream) ? 1 : 0;
}

/* As many of the wanted rows as there are logit rows left for. */
static int32_t limit_by_logit_rows(const struct scheduler *s, const struct step_plan *plan, const struct stream *stream, int32_t rows)
{
    int32_t room = s->description.max_logit_rows - plan->step.n_logit_rows;
    int32_t end = stream->n_scheduled + rows;
    if (stream_takes_prompt_rows(stream)) {
        int32_t from = stream->log.n_prompt_taken > stream->n_scheduled ? stream->log.n_prompt_taken : stream->n_scheduled;
        return end > from + room ? from + room - stream->n_scheduled : rows;
    }
    bool chooses = end >= stream->log.n_tokens && (stream->log.max_new > 0 || stream->pooling.kind != POOLING_NONE);
    return chooses && room < 1 ? rows - 1 : rows;
}

/* ---- Preemption and the waiting list. */

void scheduler_add(struct scheduler *s, struct stream *stream)
{
    stream->state = STREAM_WAITING;
    struct stream *after = s->waiting_last;
    while (after && after->id > stream->id)
        after = after->previous;
    stream->previous = after;
    stream->next = after ? after->next : s->waiting_first;
    if (stream->next)
        stream->next->previous = stream;
    else
        s->waiting_last = stream;
    if (after)
        after->next = stream;
    else
        s->waiting_first = stream;
    s->n_waiting++;
    s->blocked_available = -1;
}

static void remove_waiting(struct scheduler *s, struct stream *stream)
{
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        s->waiting_first = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    else
        s->waiting_last = stream->previous;
    stream->previous = stream->next = NULL;
    s->n_waiting--;
    s->blocked_available = -1;
}

static void remove_running(struct scheduler *s, struct stream *stream)
{
    int32_t i = 0;
    while (s->running[i] != stream)
        i++;
    memmove(&s->running[i], &s->running[i + 1], (size_t)(s->n_running - i - 1) * sizeof(struct stream *));
    s->n_running--;
    block_tables_release(s, stream);
    prefix_index_move_user(&s->index, stream->node, PREFIX_ROOT);
    s->free_slots[s->max_running - s->n_running - 1] = stream->slot;
    stream->slot = -1;
    stream->node = PREFIX_ROOT;
    stream->n_scheduled = stream->n_completed = stream->n_registered = 0;
    stream->argmax_step = UINT64_MAX;
    stream->epoch++;
    s->blocked_available = -1;
}

void scheduler_remove(struct scheduler *s, struct stream *stream)
{
    if (stream->state == STREAM_RUNNING)
        remove_running(s, stream);
    else if (stream->state == STREAM_WAITING)
        remove_waiting(s, stream);
    stream->state = STREAM_ENDED;
}

static void preempt_newest(struct scheduler *s)
{
    struct stream *newest = s->running[s->n_running - 1];
    remove_running(s, newest);
    scheduler_add(s, newest);
    s->n_preemptions++;
}

/* Part 1 of the order above. */
static void secure_blocks(struct scheduler *s)
{
    for (int32_t i = 0; i < s->n_running; i++) {
        struct stream *stream = s->running[i];
        if (rows_wanted(s, stream) == 0)
            continue;
        while (i < s->n_running && !block_tables_extend(s, stream, stream->n_scheduled + 1))
            preempt_newest(s);
    }
}

/* ---- Rows. */

static void add_logit_row(struct step_plan *plan, struct plan_entry *entry, int32_t row, int32_t want)
{
    plan->logit_rows[plan->step.n_logit_rows] = row;
    plan->wants[plan->step.n_logit_rows] = want;
    plan->step.n_logit_rows++;
    entry->n_logit_rows++;
}

static int32_t want_of(const struct plan_entry *entry, const struct stream *stream, int32_t position, bool last)
{
    int32_t want = 0;
    if (stream_takes_prompt_rows(stream) && position >= stream->log.n_prompt_taken && position < stream->log.n_prompt)
        want |= (stream->scores_prompt ? WANT_LOGITS : 0) | (stream->pooling.kind == POOLING_MEAN ? WANT_HIDDEN : 0);
    if (stream->pooling.kind == POOLING_LAST && position == stream->log.n_prompt - 1)
        want |= WANT_HIDDEN;
    if (last && entry->chooses)
        want |= entry->by_argmax ? WANT_ARGMAX : WANT_LOGITS;
    return want;
}

/* Adds `rows` rows of a stream, whose blocks are there. */
static void place_rows(struct scheduler *s, struct step_plan *plan, struct stream *stream, int32_t rows)
{
    int32_t first = stream->n_scheduled, end = first + rows;
    struct plan_entry *entry = &plan->entries[plan->n_entries];
    *entry = (struct plan_entry){.stream = stream,
                                 .epoch = stream->epoch,
                                 .first = first,
                                 .n_rows = rows,
                                 .first_logit_row = plan->step.n_logit_rows,
                                 .chooses = end >= stream->log.n_tokens && stream->log.max_new > 0,
                                 .by_argmax = scheduler_argmax_suffices(stream, end - 1)};
    for (int32_t position = first; position < end; position++) {
        int32_t row = plan->step.n_tokens++;
        bool known = position < stream->log.n_tokens;
        plan->token_ids[row] = known ? stream->log.tokens[position] : 0;
        plan->token_sources[row] = known ? -1 : stream->argmax_row;
        plan->positions[row] = position;
        int32_t want = want_of(entry, stream, position, position == end - 1);
        if (want)
            add_logit_row(plan, entry, row, want);
    }
    plan->row_starts[plan->n_entries + 1] = plan->step.n_tokens;
    plan->lengths[plan->n_entries] = end;
    plan->slots[plan->n_entries] = stream->slot;
    plan->n_entries++;
    stream->n_scheduled = end;
    stream->n_in_flight++;
    stream->placed_in = s->n_builds;
    stream->argmax_step = UINT64_MAX;
}

/* Streams with one row to compute, from decode_from on and around. */
static void place_decodes(struct scheduler *s, struct step_plan *plan, int32_t max_tokens)
{
    int32_t start = 0;
    while (start < s->n_running && s->running[start]->id < s->decode_from)
        start++;
    for (int32_t i = 0; i < s->n_running; i++) {
        struct stream *stream = s->running[(start + i) % s->n_running];
        if (rows_wanted(s, stream) != 1 || stream->placed_in == s->n_builds)
            continue;
        if (plan->step.n_tokens >= max_tokens || limit_by_logit_rows(s, plan, stream, 1) < 1) {
            s->decode_from = stream->id;
            return;
        }
        if (block_tables_extend(s, stream, stream->n_scheduled + 1))
            place_rows(s, plan, stream, 1);
    }
    s->decode_from = 0;
}

/* The next chunk of a prompt: as many rows as the step, the chunk, the logit rows and the blocks allow. */
static void place_chunk(struct scheduler *s, struct step_plan *plan, struct stream *stream, int32_t *chunk_left)
{
    int32_t rows = stream->log.n_tokens - stream->n_scheduled, room = s->description.max_tokens - plan->step.n_tokens;
    if (room > *chunk_left)
        room = *chunk_left;
    if (rows > room)
        rows = room;
    rows = limit_by_logit_rows(s, plan, stream, rows);
    if (rows < 1)
        return;
    int32_t fit = block_tables_fit(s, stream, stream->n_scheduled + rows) - stream->n_scheduled;
    if (fit < rows)
        rows = fit;
    if (rows < 1 || !block_tables_extend(s, stream, stream->n_scheduled + rows))
        return;
    *chunk_left -= rows;
    place_rows(s, plan, stream, rows);
}

static void place_prefills(struct scheduler *s, struct step_plan *plan, int32_t *chunk_left)
{
    for (int32_t i = 0; i<s->n_running && * chunk_left> 0; i++)
        if (s->running[i]->log.n_tokens - s->running[i]->n_scheduled > 1 && s->running[i]->placed_in != s->n_builds)
            place_chunk(s, plan, s->running[i], chunk_left);
}

/* ---- Admission. */

static int64_t total_available(const struct scheduler *s)
{
    int64_t sum = 0;
    for (int32_t g = 0; g < s->kv.n_groups; g++)
        sum += kv_blocks_available(&s->kv.groups[g]);
    return sum;
}

/* The stream to be admitted next, NULL when none is to be. */
static struct stream *next_waiting(struct scheduler *s)
{
    if (!s->isolates)
        return s->waiting_first;
    if (s->n_running > 0)
        return NULL;
    struct stream *stream = s->waiting_first;
    while (stream && stream->n_losses < STREAM_SUSPECT_LOSSES)
        stream = stream->next;
    s->isolates = stream != NULL;
    return stream ? stream : s->waiting_first;
}

/* NULL: none is there, or it does not fit now. */
static struct stream *admit_next(struct scheduler *s, struct step_plan *plan)
{
    struct stream *stream = next_waiting(s);
    if (!stream || s->n_running == s->max_running || plan->n_entries == s->description.max_sequences || plan->step.n_tokens >= s->description.max_tokens)
        return NULL;
    if (s->n_running > 0 && s->blocked_available >= 0 && total_available(s) <= s->blocked_available)
        return NULL; /* nothing was given back since the last attempt */
    stream->slot = s->free_slots[s->max_running - s->n_running - 1];
    int32_t n_cached = block_tables_begin(s, plan, stream);
    if (n_cached < 0) {
        stream->slot = -1;
        s->blocked_available = total_available(s);
        return NULL;
    }
    remove_waiting(s, stream);
    int32_t at = s->n_running++;
    for (; at > 0 && s->running[at - 1]->id > stream->id; at--)
        s->running[at] = s->running[at - 1];
    s->running[at] = stream;
    stream->state = STREAM_RUNNING;
    if (!stream->started) {
        stream->started = true;
        stream->progress.n_cached_tokens = n_cached;
        s->n_cached_tokens += (uint64_t)n_cached;
        s->admitted(s->self, stream);
    }
    return stream;
}

static void admit_waiting(struct scheduler *s, struct step_plan *plan, int32_t *chunk_left)
{
    while (*chunk_left > 0 && s->waiting_first) {
        struct stream *stream = admit_next(s, plan);
        if (!stream)
            return;
        place_chunk(s, plan, stream, chunk_left);
    }
}

/* ---- The step. */

static bool prompts_wait(const struct scheduler *s)
{
    if (s->waiting_first && s->n_running < s->max_running)
        return true;
    for (int32_t i = 0; i < s->n_running; i++)
        if (s->running[i]->log.n_tokens - s->running[i]->n_scheduled > 1)
            return true;
    return false;
}

static void finish_step(struct scheduler *s, struct step_plan *plan)
{
    struct step *step = &plan->step;
    step->token_ids = plan->token_ids;
    step->token_sources = plan->token_sources;
    step->positions = plan->positions;
    step->n_sequences = plan->n_entries;
    step->row_starts = plan->row_starts;
    step->lengths = plan->lengths;
    step->slots = plan->slots;
    step->n_groups = s->kv.n_groups;
    step->logit_rows = plan->logit_rows;
    step->wants = plan->wants;
    step->edits = plan->edits;
    block_tables_write(s, plan);
}

bool scheduler_build(struct scheduler *s, struct step_plan *plan)
{
    plan->step = (struct step){0};
    plan->n_entries = 0;
    plan->row_starts[0] = 0;
    s->n_builds++;
    int32_t max_tokens = s->description.max_tokens, chunk_left = s->prefill_chunk;
    secure_blocks(s);
    int32_t reserve = prompts_wait(s) && max_tokens > 1 ? (max_tokens + 3) / 4 : 0;
    place_decodes(s, plan, max_tokens - reserve);
    place_prefills(s, plan, &chunk_left);
    admit_waiting(s, plan, &chunk_left);
    if (reserve)
        place_decodes(s, plan, max_tokens);
    if (plan->n_entries == 0)
        return false;
    finish_step(s, plan);
    return true;
}

void scheduler_submitted(struct scheduler *s, const struct step_plan *plan)
{
    s->last_step = plan->step.id;
    for (int32_t i = 0; i < plan->n_entries; i++) {
        const struct plan_entry *entry = &plan->entries[i];
        struct stream *stream = entry->stream;
        if (entry->epoch != stream->epoch || !entry->chooses || !entry->by_argmax)
            continue;
        stream->argmax_step = plan->step.id;
        stream->argmax_row = entry->first_logit_row + entry->n_logit_rows - 1;
    }
}

void scheduler_completed(struct scheduler *s, const struct plan_entry *entry)
{
    struct stream *stream = entry->stream;
    if (entry->epoch != stream->epoch || stream->state != STREAM_RUNNING)
        return;
    stream->n_completed = entry->first + entry->n_rows;
    if (stream->n_completed > stream->furthest) {
        stream->furthest = stream->n_completed;
        stream->n_losses = 0;
        s->n_progress++;
    }
    block_tables_register(s, stream);
}
