#include "support_simulated_executor.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_FLIGHT 8
#define MODEL_SEED 0x5eed5eed5eed5eedu

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static uint64_t join(uint64_t a, uint64_t b)
{
    return mix(a * 0x100000001B3u ^ mix(b));
}

struct simulation {
    struct simulation_options options;
    pthread_mutex_t lock; /* of everything below, in threaded mode */
    uint64_t random;
    char violation[512];
    struct simulation_counts counts;
    int64_t lose_at_step;
};

struct copied_step {
    struct step step;
    const struct step *original;
    uint64_t fingerprint;
    bool done;
    float *logits; /* [rows, n_vocabulary], and behind them the hidden rows [rows, hidden_width] */
    int32_t *argmax;
};

struct simulated_executor {
    struct executor base; /* first */
    struct simulation *simulation;
    struct executor_description description;
    uint64_t *cells[STEP_MAX_GROUPS];
    struct copied_step flight[MAX_FLIGHT];
    int32_t first, n_flight, n_done;
    int32_t *previous_argmax; /* of the last executed step, [n_previous] with its wants */
    int32_t *previous_wants;
    int32_t n_previous;
    int32_t last_submitted_rows;
    uint64_t next_id;
    bool lost;
    float *shown_logits;
    int32_t *shown_argmax;
    size_t shown_count;
    pthread_cond_t changed;
    pthread_t thread;
    bool closing;
};

/* ---- Chance and complaints. The lock is held. */

static uint64_t next_random(struct simulation *s)
{
    s->random = mix(s->random);
    return s->random;
}

static bool chance(struct simulation *s, uint32_t permille)
{
    return permille && next_random(s) % 1000 < permille;
}

__attribute__((format(printf, 2, 3))) static void violate(struct simulation *s, const char *format, ...)
{
    if (s->violation[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->violation, sizeof s->violation, format, arguments);
    va_end(arguments);
}

/* ---- The model. */

static uint64_t cell_content(uint64_t context, int32_t token, int32_t position)
{
    return join(join(context, (uint64_t)token), (uint64_t)position + 1000003);
}

static void make_logits(const struct simulation_options *o, uint64_t state, float *logits)
{
    for (int32_t i = 0; i < o->description.n_vocabulary; i++)
        logits[i] = (float)(join(state, (uint64_t)i) % 96) / 12.0f - 4.0f; /* coarse: ties happen */
    if (o->eog_id >= 0)
        logits[o->eog_id] += o->eog_offset;
}

static void make_hidden(const struct simulation_options *o, uint64_t state, float *hidden)
{
    for (int32_t i = 0; i < o->description.hidden_width; i++)
        hidden[i] = (float)(join(~state, (uint64_t)i) % 65521) / 4096.0f - 8.0f;
}

static int32_t window_start(const struct executor_group *group, int32_t position)
{
    if (group->kind != EXECUTOR_GROUP_WINDOW || position < group->window)
        return 0;
    return position - group->window + 1;
}

static uint64_t state_after(const struct simulation_options *o, const int32_t *tokens, int32_t n)
{
    int32_t n_groups = o->description.n_groups;
    uint64_t *cells = calloc((size_t)n * (size_t)n_groups, sizeof *cells), state = 0;
    for (int32_t p = 0; p < n; p++) {
        uint64_t context = MODEL_SEED;
        for (int32_t g = 0; g < n_groups; g++)
            for (int32_t i = window_start(&o->description.groups[g], p); i < p; i++)
                context = join(context, cells[g * n + i]);
        for (int32_t g = 0; g < n_groups; g++)
            cells[g * n + p] = join(cell_content(context, tokens[p], p), (uint64_t)g);
        state = cell_content(context, tokens[p], p);
    }
    free(cells);
    return state;
}

void simulation_logits(const struct simulation_options *o, const int32_t *tokens, int32_t n, float *logits)
{
    make_logits(o, state_after(o, tokens, n), logits);
}

void simulation_hidden(const struct simulation_options *o, const int32_t *tokens, int32_t n, float *hidden)
{
    make_hidden(o, state_after(o, tokens, n), hidden);
}

/* ---- Execution. The lock is held. */

static uint64_t *cell(struct simulated_executor *e, const struct step *step, int32_t sequence, int32_t g, int32_t position)
{
    const struct executor_group *group = &e->description.groups[g];
    int32_t entry = position / group->block_tokens;
    if (entry >= step->tables[g].stride) {
        violate(e->simulation, "step %llu: sequence %d touches entry %d of a table of %d", (unsigned long long)step->id, sequence, entry,
                step->tables[g].stride);
        return NULL;
    }
    int32_t block = step->tables[g].blocks[(int64_t)sequence * step->tables[g].stride + entry];
    if (block < 0 || block >= group->n_blocks) {
        violate(e->simulation, "step %llu: sequence %d group %d position %d lies in block %d of %d", (unsigned long long)step->id, sequence, g, position, block,
                group->n_blocks);
        return NULL;
    }
    return &e->cells[g][(int64_t)block * group->block_tokens + position % group->block_tokens];
}

static void run_edits(struct simulated_executor *e, const struct step *step)
{
    for (int32_t i = 0; i < step->n_edits; i++) {
        const struct cache_edit *edit = &step->edits[i];
        if (edit->kind != CACHE_COPY || edit->group < 0 || edit->group >= e->description.n_groups) {
            violate(e->simulation, "edit %d has kind %d in group %d", i, edit->kind, edit->group);
            continue;
        }
        const struct executor_group *group = &e->description.groups[edit->group];
        if (edit->from < 0 || edit->to < 0 || edit->from >= group->n_blocks || edit->to >= group->n_blocks || edit->from == edit->to) {
            violate(e->simulation, "edit %d copies block %d to %d of %d", i, edit->from, edit->to, group->n_blocks);
            continue;
        }
        size_t n = (size_t)group->block_tokens;
        memcpy(&e->cells[edit->group][(size_t)edit->to * n], &e->cells[edit->group][(size_t)edit->from * n], n * sizeof(uint64_t));
        e->simulation->counts.n_copies++;
    }
}

/* Everything behind the length in the last block may be reused by the contract: nobody may read it before writing it. */
static void poison_tail(struct simulated_executor *e, const struct step *step, int32_t sequence)
{
    for (int32_t g = 0; g < e->description.n_groups; g++) {
        int32_t bt = e->description.groups[g].block_tokens, length = step->lengths[sequence];
        for (int32_t p = length; p % bt; p++) {
            uint64_t *c = cell(e, step, sequence, g, p);
            if (c)
                *c = next_random(e->simulation);
        }
    }
}

static uint64_t run_row(struct simulated_executor *e, const struct step *step, int32_t sequence, int32_t row)
{
    int32_t position = step->positions[row], token = step->token_ids[row];
    if (step->token_sources && step->token_sources[row] >= 0) {
        int32_t source = step->token_sources[row];
        if (source >= e->n_previous || !(e->previous_wants[source] & WANT_ARGMAX))
            violate(e->simulation, "step %llu row %d names logit row %d of the previous step, which gave no argmax", (unsigned long long)step->id, row, source);
        else
            token = e->previous_argmax[source];
        e->simulation->counts.n_chained_rows++;
    }
    if (token < 0 || token >= e->description.n_vocabulary)
        violate(e->simulation, "step %llu row %d has token %d", (unsigned long long)step->id, row, token);
    uint64_t context = MODEL_SEED;
    for (int32_t g = 0; g < e->description.n_groups; g++)
        for (int32_t p = window_start(&e->description.groups[g], position); p < position; p++) {
            const uint64_t *c = cell(e, step, sequence, g, p);
            context = join(context, c ? *c : 0);
        }
    for (int32_t g = 0; g < e->description.n_groups; g++) {
        uint64_t *c = cell(e, step, sequence, g, position);
        if (c)
            *c = join(cell_content(context, token, position), (uint64_t)g);
    }
    return cell_content(context, token, position);
}

static void give_logits(struct simulated_executor *e, struct copied_step *c, int32_t logit_row, uint64_t state)
{
    struct simulation *s = e->simulation;
    int32_t v = e->description.n_vocabulary, want = c->step.wants[logit_row];
    float *logits = malloc((size_t)v * sizeof *logits);
    make_logits(&s->options, state, logits);
    if (s->options.nan_at_step >= 0 && (int64_t)s->counts.n_steps == s->options.nan_at_step)
        for (int32_t i = 0; i < v; i += 3)
            logits[i] = NAN;
    if (want & WANT_LOGITS) {
        memcpy(c->logits + (int64_t)logit_row * v, logits, (size_t)v * sizeof *logits);
        s->counts.n_full_logit_rows++;
    }
    if (want & WANT_HIDDEN)
        make_hidden(&s->options, state, c->logits + (int64_t)c->step.n_logit_rows * v + (int64_t)logit_row * e->description.hidden_width);
    if (want & WANT_ARGMAX) {
        int32_t best = 0;
        for (int32_t i = 1; i < v; i++)
            best = logits[i] > logits[best] ? i : best;
        c->argmax[logit_row] = logits[best] == logits[best] ? best : -1;
        s->counts.n_argmax_rows++;
    }
    free(logits);
}

static void execute(struct simulated_executor *e, struct copied_step *c)
{
    const struct step *step = &c->step;
    int32_t n_logits = step->n_logit_rows, next_logit = 0, n_values = n_logits * (e->description.n_vocabulary + e->description.hidden_width);
    c->logits = malloc(((size_t)n_values + 1) * sizeof(float));
    c->argmax = malloc(((size_t)n_logits + 1) * sizeof(int32_t));
    for (int32_t i = 0; i < n_values; i++)
        c->logits[i] = (float)(int32_t)next_random(e->simulation);
    for (int32_t i = 0; i < n_logits; i++)
        c->argmax[i] = -1;
    run_edits(e, step);
    for (int32_t s = 0; s < step->n_sequences; s++) {
        for (int32_t row = step->row_starts[s]; row < step->row_starts[s + 1]; row++) {
            uint64_t state = run_row(e, step, s, row);
            if (next_logit < n_logits && step->logit_rows[next_logit] == row)
                give_logits(e, c, next_logit++, state);
        }
        poison_tail(e, step, s);
    }
    free(e->previous_argmax);
    free(e->previous_wants);
    e->previous_argmax = malloc(((size_t)n_logits + 1) * sizeof(int32_t));
    e->previous_wants = malloc(((size_t)n_logits + 1) * sizeof(int32_t));
    memcpy(e->previous_argmax, c->argmax, (size_t)n_logits * sizeof(int32_t));
    memcpy(e->previous_wants, step->wants, (size_t)n_logits * sizeof(int32_t));
    e->n_previous = n_logits;
    e->simulation->counts.n_steps++;
    e->simulation->counts.n_rows += (uint64_t)step->n_tokens;
    c->done = true;
}

/* ---- The contract, at submission. */

static uint64_t fingerprint(const struct step *step)
{
    uint64_t h = join(step->id, (uint64_t)step->n_tokens);
#define TAKE(array, count)                                                                                                                                     \
    for (int32_t i = 0; i < (count); i++)                                                                                                                      \
    h = join(h, (uint64_t)(uint32_t)(array)[i])
    TAKE(step->token_ids, step->n_tokens);
    if (step->token_sources)
        TAKE(step->token_sources, step->n_tokens);
    TAKE(step->positions, step->n_tokens);
    TAKE(step->row_starts, step->n_sequences + 1);
    TAKE(step->lengths, step->n_sequences);
    TAKE(step->slots, step->n_sequences);
    TAKE(step->logit_rows, step->n_logit_rows);
    TAKE(step->wants, step->n_logit_rows);
    for (int32_t g = 0; g < step->n_groups; g++)
        TAKE(step->tables[g].blocks, step->n_sequences * step->tables[g].stride);
    TAKE((const int32_t *)step->edits, step->n_edits * 4);
    return h;
}

static void check_sequences(struct simulated_executor *e, const struct step *step)
{
    struct simulation *sim = e->simulation;
    const struct executor_description *d = &e->description;
    if (step->row_starts[0] != 0 || step->row_starts[step->n_sequences] != step->n_tokens)
        violate(sim, "row_starts do not cover the rows");
    for (int32_t s = 0; s < step->n_sequences; s++) {
        int32_t first = step->row_starts[s], end = step->row_starts[s + 1];
        if (end <= first)
            violate(sim, "sequence %d has no row", s);
        for (int32_t r = first + 1; r < end; r++)
            if (step->positions[r] != step->positions[r - 1] + 1)
                violate(sim, "positions of sequence %d do not ascend by one", s);
        if (step->lengths[s] != step->positions[end - 1] + 1 || step->lengths[s] > d->max_context || step->positions[first] < 0)
            violate(sim, "sequence %d has length %d at position %d of at most %d", s, step->lengths[s], step->positions[end - 1], d->max_context);
        if (step->slots[s] < 0 || step->slots[s] >= d->max_sequences)
            violate(sim, "sequence %d has slot %d of %d", s, step->slots[s], d->max_sequences);
        for (int32_t other = 0; other < s; other++)
            if (step->slots[other] == step->slots[s])
                violate(sim, "sequences %d and %d have the same slot %d", other, s, step->slots[s]);
        if (end - first > sim->counts.max_rows_of_prefill)
            sim->counts.max_rows_of_prefill = end - first;
    }
}

/* A block that a row writes belongs to one sequence of the step alone. */
static void check_writers(struct simulated_executor *e, const struct step *step, int32_t g)
{
    const struct executor_group *group = &e->description.groups[g];
    int32_t *users = calloc((size_t)group->n_blocks, sizeof *users);
    for (int32_t s = 0; s < step->n_sequences; s++) {
        int32_t first = step->positions[step->row_starts[s]] / group->block_tokens, last = (step->lengths[s] - 1) / group->block_tokens;
        int32_t oldest = window_start(group, step->positions[step->row_starts[s]]) / group->block_tokens;
        for (int32_t i = oldest; i <= last && i < step->tables[g].stride; i++) {
            int32_t block = step->tables[g].blocks[(int64_t)s * step->tables[g].stride + i];
            if (block < 0 || block >= group->n_blocks)
                continue; /* found when it is touched */
            if (users[block] < 0 || (users[block] > 0 && i >= first))
                violate(e->simulation, "block %d of group %d is written by one sequence and used by another", block, g);
            users[block] = i >= first ? -1 : 1;
        }
    }
    free(users);
}

static void check_step(struct simulated_executor *e, const struct step *step)
{
    struct simulation *sim = e->simulation;
    const struct executor_description *d = &e->description;
    if (step->id != e->next_id)
        violate(sim, "step %llu was submitted, %llu is next", (unsigned long long)step->id, (unsigned long long)e->next_id);
    if (step->n_tokens < 1 || step->n_tokens > d->max_tokens || step->n_sequences < 1 || step->n_sequences > d->max_sequences ||
        step->n_logit_rows > d->max_logit_rows || step->n_groups != d->n_groups)
        violate(sim, "a step of %d rows, %d sequences, %d logit rows, %d groups", step->n_tokens, step->n_sequences, step->n_logit_rows, step->n_groups);
    check_sequences(e, step);
    for (int32_t i = 0; i < step->n_logit_rows; i++) {
        if (step->logit_rows[i] < 0 || step->logit_rows[i] >= step->n_tokens || (i && step->logit_rows[i] <= step->logit_rows[i - 1]))
            violate(sim, "logit rows do not ascend");
        if (step->wants[i] < 1 || step->wants[i] > 15 || (step->wants[i] & WANT_HIDDEN && d->hidden_width == 0))
            violate(sim, "logit row %d wants %d", i, step->wants[i]);
    }
    for (int32_t r = 0; r < step->n_tokens && step->token_sources; r++)
        if (step->token_sources[r] >= e->last_submitted_rows)
            violate(sim, "row %d names logit row %d of %d", r, step->token_sources[r], e->last_submitted_rows);
    for (int32_t g = 0; g < step->n_groups; g++)
        check_writers(e, step, g);
}

/* ---- The interface. */

static void describe(const struct executor *executor, struct executor_description *description)
{
    *description = ((const struct simulated_executor *)executor)->description;
}

static int lose(struct simulated_executor *e, struct error *err)
{
    e->lost = true;
    e->simulation->counts.n_lost++;
    return error_set(err, SAMPAN_ELOST, "the simulated executor is lost");
}

static bool is_deadly(const struct simulated_executor *e)
{
    int32_t deadly = e->simulation->options.deadly_token;
    for (int32_t i = 0; i < e->n_flight && deadly; i++) {
        const struct step *step = &e->flight[(e->first + i) % MAX_FLIGHT].step;
        for (int32_t row = 0; row < step->n_tokens; row++)
            if (step->token_ids[row] == deadly)
                return true;
    }
    return false;
}

static bool loses_now(struct simulated_executor *e)
{
    struct simulation *s = e->simulation;
    if (is_deadly(e) || (s->options.lives_steps && e->n_done >= s->options.lives_steps))
        return true;
    if (s->lose_at_step >= 0 && (int64_t)s->counts.n_steps >= s->lose_at_step) {
        s->lose_at_step = -1;
        return true;
    }
    return chance(s, s->options.lost_permille);
}

static int submit_locked(struct simulated_executor *e, const struct step *step, struct error *err)
{
    struct simulation *s = e->simulation;
    if (e->lost)
        violate(s, "a step was submitted to a lost executor");
    if (loses_now(e))
        return lose(e, err);
    if (e->n_flight == e->description.max_steps_in_flight)
        violate(s, "%d steps are in flight, the most that may be", e->n_flight);
    if (chance(s, s->options.busy_permille)) {
        s->counts.n_busy++;
        return error_set(err, SAMPAN_EBUSY, "the simulated executor is busy");
    }
    check_step(e, step);
    struct copied_step *c = &e->flight[(e->first + e->n_flight) % MAX_FLIGHT];
    *c = (struct copied_step){.step = *step, .original = step, .fingerprint = fingerprint(step)};
    e->n_flight++;
    e->next_id++;
    e->last_submitted_rows = step->n_logit_rows;
    pthread_cond_broadcast(&e->changed);
    return 0;
}

static int submit(struct executor *executor, const struct step *step, struct error *err)
{
    struct simulated_executor *e = (struct simulated_executor *)executor;
    pthread_mutex_lock(&e->simulation->lock);
    int status = submit_locked(e, step, err);
    pthread_mutex_unlock(&e->simulation->lock);
    return status;
}

static void execute_checked(struct simulated_executor *e, struct copied_step *c)
{
    if (fingerprint(c->original) != c->fingerprint)
        violate(e->simulation, "step %llu was changed while it was in flight", (unsigned long long)c->step.id);
    else
        execute(e, c);
    c->done = true;
}

static void hide_shown(struct simulated_executor *e)
{
    if (e->shown_logits)
        memset(e->shown_logits, 0xFF, e->shown_count * sizeof(float));
    free(e->shown_logits);
    free(e->shown_argmax);
    e->shown_logits = NULL;
    e->shown_argmax = NULL;
}

static int wait_locked(struct simulated_executor *e, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    struct simulation *s = e->simulation;
    if (e->lost || e->n_flight == 0)
        violate(s, "a wait without a step in flight, or on a lost executor");
    if (loses_now(e))
        return lose(e, err);
    struct copied_step *c = &e->flight[e->first];
    if (s->options.threaded) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        uint64_t ns = (uint64_t)until.tv_nsec + (timeout_ns < 1000000000u ? timeout_ns : 1000000000u);
        until.tv_sec += (time_t)(ns / 1000000000u);
        until.tv_nsec = (long)(ns % 1000000000u);
        while (!c->done)
            if (pthread_cond_timedwait(&e->changed, &s->lock, &until))
                break;
        if (!c->done)
            return error_set(err, SAMPAN_ETIMEOUT, "not yet");
    } else {
        if (chance(s, s->options.late_permille))
            return error_set(err, SAMPAN_ETIMEOUT, "not yet");
        execute_checked(e, c);
    }
    hide_shown(e);
    e->shown_logits = c->logits;
    e->shown_argmax = c->argmax;
    size_t n_logits = (size_t)c->step.n_logit_rows * (size_t)e->description.n_vocabulary;
    e->shown_count = n_logits + (size_t)c->step.n_logit_rows * (size_t)e->description.hidden_width;
    e->first = (e->first + 1) % MAX_FLIGHT;
    e->n_flight--;
    e->n_done++;
    if (chance(s, s->options.failed_permille))
        return error_set(err, SAMPAN_EINTERNAL, "the simulated step failed");
    *result =
        (struct step_result){.id = c->step.id, .n_logit_rows = c->step.n_logit_rows, .logits = c->logits, .argmax = c->argmax, .hidden = c->logits + n_logits};
    return 0;
}

static int wait_step(struct executor *executor, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    struct simulated_executor *e = (struct simulated_executor *)executor;
    pthread_mutex_lock(&e->simulation->lock);
    int status = wait_locked(e, timeout_ns, result, err);
    pthread_mutex_unlock(&e->simulation->lock);
    return status;
}

static void *run_thread(void *argument)
{
    struct simulated_executor *e = argument;
    struct simulation *s = e->simulation;
    pthread_mutex_lock(&s->lock);
    while (!e->closing) {
        struct copied_step *c = NULL;
        for (int32_t i = 0; i < e->n_flight && !c; i++)
            if (!e->flight[(e->first + i) % MAX_FLIGHT].done)
                c = &e->flight[(e->first + i) % MAX_FLIGHT];
        if (!c) {
            pthread_cond_wait(&e->changed, &s->lock);
            continue;
        }
        struct timespec pause = {.tv_nsec = s->options.slow_microseconds ? (long)(next_random(s) % s->options.slow_microseconds) * 1000 : 0};
        pthread_mutex_unlock(&s->lock);
        if (pause.tv_nsec)
            nanosleep(&pause, NULL);
        pthread_mutex_lock(&s->lock);
        if (e->closing)
            break;
        execute_checked(e, c);
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void close_executor(struct executor *executor)
{
    struct simulated_executor *e = (struct simulated_executor *)executor;
    if (e->simulation->options.threaded) {
        pthread_mutex_lock(&e->simulation->lock);
        e->closing = true;
        pthread_cond_broadcast(&e->changed);
        pthread_mutex_unlock(&e->simulation->lock);
        pthread_join(e->thread, NULL);
    }
    for (int32_t i = 0; i < e->n_flight; i++) {
        free(e->flight[(e->first + i) % MAX_FLIGHT].logits);
        free(e->flight[(e->first + i) % MAX_FLIGHT].argmax);
    }
    hide_shown(e);
    for (int32_t g = 0; g < STEP_MAX_GROUPS; g++)
        free(e->cells[g]);
    free(e->previous_argmax);
    free(e->previous_wants);
    pthread_cond_destroy(&e->changed);
    free(e);
}

static const struct executor_interface interface = {describe, submit, wait_step, close_executor};

static int open_executor(void *self, struct executor **executor, struct error *err)
{
    struct simulation *s = self;
    pthread_mutex_lock(&s->lock);
    if (s->counts.n_opened > 0 && chance(s, s->options.open_failed_permille)) {
        pthread_mutex_unlock(&s->lock);
        return error_set(err, SAMPAN_EIO, "the simulated chip does not open");
    }
    struct simulated_executor *e = calloc(1, sizeof *e);
    e->base.interface = &interface;
    e->simulation = s;
    e->description = s->options.description;
    snprintf(e->description.numerics_id, sizeof e->description.numerics_id, "simulated:%llu",
             s->options.changes_numerics ? (unsigned long long)s->counts.n_opened : 1);
    for (int32_t g = 0; g < e->description.n_groups; g++) {
        int64_t n = (int64_t)e->description.groups[g].n_blocks * e->description.groups[g].block_tokens;
        e->cells[g] = malloc((size_t)n * sizeof(uint64_t));
        for (int64_t i = 0; i < n; i++)
            e->cells[g][i] = next_random(s);
    }
    pthread_cond_init(&e->changed, NULL);
    s->counts.n_opened++;
    pthread_mutex_unlock(&s->lock);
    if (s->options.threaded)
        pthread_create(&e->thread, NULL, run_thread, e);
    *executor = &e->base;
    return 0;
}

/* ---- The factory. */

struct simulation *simulation_create(const struct simulation_options *options)
{
    struct simulation *s = calloc(1, sizeof *s);
    s->options = *options;
    s->random = mix(options->seed);
    s->lose_at_step = options->lose_at_step;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void simulation_free(struct simulation *simulation)
{
    pthread_mutex_destroy(&simulation->lock);
    free(simulation);
}

struct executor_factory simulation_factory(struct simulation *simulation)
{
    return (struct executor_factory){open_executor, simulation};
}

const char *simulation_violation(const struct simulation *simulation)
{
    return simulation->violation[0] ? simulation->violation : NULL;
}

struct simulation_counts simulation_get_counts(struct simulation *simulation)
{
    pthread_mutex_lock(&simulation->lock);
    struct simulation_counts counts = simulation->counts;
    pthread_mutex_unlock(&simulation->lock);
    return counts;
}

void simulation_set_lose_at(struct simulation *simulation, int64_t step)
{
    pthread_mutex_lock(&simulation->lock);
    simulation->lose_at_step = step;
    pthread_mutex_unlock(&simulation->lock);
}
