/* The public API, second half: engines and requests. An engine handle joins three things: the program that the model's family writes, the executor that runs
 * it (fleet/), and the engine that schedules requests over it.
 *
 * Blocking calls (sampan_generate, sampan_score) share one stream of events. Whoever waits first becomes the reader; an event that belongs to another caller
 * is handed to that caller, and the reader waits until it was used, because its arrays live only until the next read. */
#include "sampan.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "fleet/local_executor.h"
#include "model/model.h"
#include "model/quantize.h"
#include "sampan_internal.h"

#define PROGRAM_MEMORY_LIMIT ((size_t)256 << 20) /* a program of 1,024 layers takes a few MB */

struct generation {
    uint64_t id;
    struct generation *next;
};

struct sampan_engine {
    struct arena arena; /* the program */
    struct local_factory *factory;
    struct engine *engine;
    char chip_name[128];
    char system_fingerprint[192];
    struct sampan_engine_description description;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct generation *generations;    /* blocking calls under way */
    bool reading;                      /* one of them is in engine_next_event, or its event is being used */
    const struct engine_event *handed; /* an event that waits for the call it belongs to; NULL once that has used it */
    uint64_t n_submitted;              /* by sampan_submit, not yet released */
};

/* ---- Opening. */

/* The chip string with the thread count put into it. */
static int compose_chip(const struct sampan_engine_options *options, char *out, size_t size, struct error *err)
{
    const char *chip = options->chip && strcmp(options->chip, "auto") != 0 ? options->chip : NULL;
    int written = 0;
    if (options->threads < 0 || options->threads > 4096)
        return error_set(err, SAMPAN_EINVAL, "opening an engine: %" PRId32 " threads; expected 1 to 4096, or 0 for as many as this process may use",
                         options->threads);
    if (options->threads)
        written = snprintf(out, size, "%s,threads=%" PRId32, chip ? chip : "cpu", options->threads);
    else
        written = snprintf(out, size, "%s", chip ? chip : "auto");
    if (written < 0 || (size_t)written >= size)
        return error_set(err, SAMPAN_EINVAL, "opening an engine: the name of the chip is longer than %zu bytes", size);
    return 0;
}

static int choose_cache_type(const struct sampan_engine_options *options, struct local_executor_options *executor, struct error *err)
{
    executor->cache_type_given = options->cache_type != NULL;
    if (!options->cache_type)
        return 0;
    if (tensor_type_from_name(options->cache_type, &executor->cache_type) &&
        (executor->cache_type == TENSOR_F16 || executor->cache_type == TENSOR_F32 || executor->cache_type == TENSOR_BF16))
        return 0;
    return error_set(err, SAMPAN_EINVAL, "opening an engine: the cache type is '%s'; expected f16, bf16 or f32", options->cache_type);
}

static int make_factory(sampan_engine *engine, const struct sampan_engine_options *options, const struct program *program, struct error *err)
{
    char chip[256];
    struct local_executor_options executor = {
        .chip = chip,
        .program = program,
        .max_context = options->context,
        .max_tokens = options->max_step_tokens,
        .max_sequences = options->max_sequences,
        .cache_bytes = options->cache_bytes,
        .progress = {options->progress, options->progress_self},
    };
    int code = compose_chip(options, chip, sizeof chip, err);
    if (!code)
        code = choose_cache_type(options, &executor, err);
    return code ? code : local_factory_create(&executor, &engine->factory, err);
}

/* The engine and the chip make threads: signals stay with the caller's, whose handlers they are meant for. */
static int start_engine(sampan_engine *engine, const struct tokenizer *tokenizer, const struct sampan_engine_options *options, struct error *err)
{
    struct engine_options engine_options = {.max_queued = options->max_queued, .no_prefix_reuse = options->no_prefix_reuse != 0};
    struct executor_factory factory = local_factory_interface(engine->factory);
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of mapped files: the thread that meets it must be able to go on */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = engine_create(&factory, tokenizer, &engine_options, &engine->engine, err);
    if (!code)
        code = engine_start(engine->engine, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void describe_engine(sampan_engine *engine)
{
    struct chip_description chip = {0};
    struct plan_description plan = {0};
    struct plan_limits limits = {0};
    struct executor_description executor;
    local_factory_describe(engine->factory, &chip, &plan, &limits);
    engine_describe_executor(engine->engine, &executor);
    snprintf(engine->chip_name, sizeof engine->chip_name, "%s", chip.name);
    snprintf(engine->system_fingerprint, sizeof engine->system_fingerprint, "%s", executor.numerics_id);
    engine->description = (struct sampan_engine_description){
        .size = sizeof engine->description,
        .chip = engine->chip_name,
        .system_fingerprint = engine->system_fingerprint,
        .n_vocabulary = executor.n_vocabulary,
        .context = executor.max_context,
        .max_sequences = executor.max_sequences,
        .max_step_tokens = executor.max_tokens,
        .weight_bytes = plan.weight_bytes,
        .cache_bytes = plan.cache_bytes,
        .buffer_bytes = plan.buffer_bytes,
        .cache_tokens = (uint64_t)limits.n_blocks[0] * (uint64_t)limits.block_tokens,
        .batch_invariant = executor.guarantee != EXECUTOR_GUARANTEE_NONE,
        .embedding_width = executor.hidden_width,
    };
}

static int open_parts(sampan_engine *engine, sampan_model *model, const struct sampan_engine_options *options, struct error *err)
{
    struct model_options model_options = {.segments = options->segments};
    enum tensor_type quantize;
    const struct program *program;
    const struct tokenizer *tokenizer = NULL;
    int code = options->quantize ? quantize_type_from_name(options->quantize, &quantize, err) : 0;
    model_options.quantize = options->quantize ? &quantize : NULL;
    model_options.is_mapped = options->no_repack != 0;
    if (!code && options->no_repack) {
        pthread_mutex_lock(&model->mutex);
        code = checkpoint_map(model->checkpoint, err);
        pthread_mutex_unlock(&model->mutex);
    }
    if (!code)
        code = model_write_program(model->checkpoint, &model_options, &engine->arena, &program, err);
    if (code)
        return error_prefix(err, "loading '%s'", model->checkpoint->path);
    if (model->checkpoint->has_tokenizer && api_model_tokenizer(model, &tokenizer, err) == SAMPAN_ENOMEM)
        return SAMPAN_ENOMEM; /* one that cannot be made for another reason: the engine works with ids, and who wants text gets the reason */
    code = make_factory(engine, options, program, err);
    if (code)
        return code;
    code = start_engine(engine, tokenizer, options, err);
    if (code)
        return error_prefix(err, "loading '%s'", model->checkpoint->path);
    describe_engine(engine);
    return 0;
}

int sampan_engine_open(sampan_model *model, const struct sampan_engine_options *options, sampan_engine **engine)
{
    struct error *err = api_error();
    struct sampan_engine_options ours = {.size = sizeof ours};
    if (!model || !engine)
        return api_invalid("opening an engine", "a parameter is NULL");
    *engine = NULL;
    int code = options ? api_read_struct(&ours, sizeof ours, options, "opening an engine", err) : 0;
    if (code)
        return code;
    if (ours.context < 0 || ours.max_sequences < 0 || ours.max_step_tokens < 0 || ours.max_queued < 0 || ours.segments < 0)
        return api_invalid("opening an engine", "a number is negative; expected 0 for the default or a positive number");
    sampan_engine *made = mem_zalloc(sizeof *made);
    if (!made)
        return error_no_memory(err, "opening an engine");
    arena_init(&made->arena, PROGRAM_MEMORY_LIMIT);
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->changed, NULL);
    code = open_parts(made, model, &ours, err);
    if (code) {
        sampan_engine_close(made);
        return code;
    }
    *engine = made;
    return 0;
}

void sampan_engine_close(sampan_engine *engine)
{
    if (!engine)
        return;
    engine_free(engine->engine);
    local_factory_free(engine->factory);
    arena_free(&engine->arena);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->mutex);
    mem_free(engine);
}

int sampan_engine_describe(const sampan_engine *engine, struct sampan_engine_description *description)
{
    if (!engine)
        return api_invalid("describing an engine", "the engine is NULL");
    return api_write_struct(description, &engine->description, sizeof engine->description, "describing an engine", api_error());
}

int sampan_engine_statistics(sampan_engine *engine, struct sampan_statistics *statistics)
{
    if (!engine)
        return api_invalid("reading statistics", "the engine is NULL");
    struct engine_statistics now;
    engine_get_statistics(engine->engine, &now);
    struct sampan_statistics ours = {
        .size = sizeof ours,
        .n_steps = now.n_steps,
        .n_prompt_tokens = now.n_prompt_tokens,
        .n_cached_tokens = now.n_cached_tokens,
        .n_generated_tokens = now.n_generated_tokens,
        .n_preemptions = now.n_preemptions,
        .n_rebuilds = now.n_rebuilds,
        .n_cancelled = now.n_cancelled,
        .n_running = now.n_running,
        .n_waiting = now.n_waiting,
        .n_blocks_total = now.n_blocks_total,
        .n_blocks_used = now.n_blocks_used,
        .n_blocks_cached = now.n_blocks_cached,
    };
    return api_write_struct(statistics, &ours, sizeof ours, "reading statistics", api_error());
}

/* ---- Requests: between the public structs and the engine's. */

/* The pairs are the same in memory, so arrays of one are given out as the other. */
_Static_assert(sizeof(struct sampan_logprob) == sizeof(struct engine_logprob) &&
                   offsetof(struct sampan_logprob, logprob) == offsetof(struct engine_logprob, logprob),
               "");
_Static_assert(sizeof(struct sampan_logit_bias) == sizeof(struct sampling_bias) &&
                   offsetof(struct sampan_logit_bias, bias) == offsetof(struct sampling_bias, bias),
               "");
_Static_assert(sizeof(struct sampan_tokens) == sizeof(struct token_sequence) && offsetof(struct sampan_tokens, count) == offsetof(struct token_sequence, count),
               "");
_Static_assert((int)SAMPAN_POOLING_LAST == (int)POOLING_LAST && (int)SAMPAN_POOLING_MEAN == (int)POOLING_MEAN, "");
_Static_assert(sizeof(struct sampan_text) == sizeof(struct engine_stop) && offsetof(struct sampan_text, length) == offsetof(struct engine_stop, length), "");

static int read_request(const struct sampan_request *theirs, struct engine_request *request, struct error *err)
{
    struct sampan_request ours;
    int code = api_read_struct(&ours, sizeof ours, theirs, "submitting a request", err);
    if (code)
        return code;
    if (ours.max_tokens < SAMPAN_PROMPT_ONLY)
        return error_set(err, SAMPAN_EINVAL, "submitting a request: max_tokens is %" PRId32 "; expected a positive number, 0 (no limit) or SAMPAN_PROMPT_ONLY",
                         ours.max_tokens);
    if (ours.n_alternatives < 0 || ours.n_prompt_logprobs < 0)
        return api_invalid("submitting a request", "n_alternatives or n_prompt_logprobs is negative");
    if (ours.n_banned > INT32_MAX)
        return api_invalid("submitting a request", "n_banned is beyond any limit");
    *request = (struct engine_request){
        .prompt = ours.prompt,
        .n_prompt = ours.n_prompt,
        .max_tokens = ours.max_tokens == 0                    ? -1
                      : ours.max_tokens == SAMPAN_PROMPT_ONLY ? 0
                                                              : ours.max_tokens,
        .min_tokens = ours.min_tokens,
        .sampling =
            {
                .temperature = ours.temperature,
                .top_k = ours.top_k,
                .top_p = ours.top_p,
                .min_p = ours.min_p,
                .typical_p = ours.typical_p,
                .repetition_penalty = ours.repetition_penalty,
                .presence_penalty = ours.presence_penalty,
                .frequency_penalty = ours.frequency_penalty,
                .penalty_window = ours.penalty_window,
                .biases = (const struct sampling_bias *)ours.logit_biases,
                .n_biases = ours.n_logit_biases < INT32_MAX ? (int32_t)ours.n_logit_biases : INT32_MAX, /* beyond the limit is refused */
                .banned = (const struct token_sequence *)ours.banned,
                .n_banned = (int32_t)ours.n_banned,
                .seed = ours.seed,
                .choice = ours.choice,
            },
        .ignore_eog = ours.ignore_end != 0,
        .stops = (const struct engine_stop *)ours.stops,
        .n_stops = ours.n_stops,
        .stop_tokens = ours.stop_tokens,
        .n_stop_tokens = ours.n_stop_tokens,
        .n_logprobs = ours.want_logprobs ? ours.n_alternatives : -1,
        .n_prompt_logprobs = ours.n_prompt_logprobs ? ours.n_prompt_logprobs : -1,
        .show_control = ours.show_control != 0,
        .pooling = (enum pooling_kind)ours.pooling,
        .normalize = ours.normalize != 0,
        .constraint = ours.grammar ? ours.grammar->constraint : NULL,
    };
    return 0;
}

static struct sampan_event make_event(const struct engine_event *event)
{
    static const enum sampan_finish finishes[] = {
        [FINISH_NONE] = SAMPAN_FINISH_NONE,           [FINISH_EOG] = SAMPAN_FINISH_END,
        [FINISH_STOP] = SAMPAN_FINISH_STOP,           [FINISH_LENGTH] = SAMPAN_FINISH_LENGTH,
        [FINISH_CANCELLED] = SAMPAN_FINISH_CANCELLED, [FINISH_ERROR] = SAMPAN_FINISH_ERROR,
    };
    return (struct sampan_event){
        .size = sizeof(struct sampan_event),
        .request = event->request,
        .n_tokens = event->n_tokens,
        .tokens = event->tokens,
        .text = event->text ? event->text : "",
        .text_length = event->text_length,
        .n_logprobs = event->n_logprobs,
        .logprobs = (const struct sampan_logprob *)event->logprobs,
        .n_prompt_positions = event->n_prompt_positions,
        .n_prompt_logprobs = event->n_prompt_logprobs,
        .prompt_logprobs = (const struct sampan_logprob *)event->prompt_logprobs,
        .finish = (int32_t)finishes[event->finish],
        .stop_index = event->stop_index,
        .end_token = event->eog_token,
        .n_prompt_tokens = event->n_prompt_tokens,
        .n_cached_tokens = event->n_cached_tokens,
        .n_generated_tokens = event->n_generated_tokens,
        .n_rebuilds = event->n_rebuilds,
        .numerics_changed = event->numerics_changed,
        .code = event->code,
        .message = event->message ? event->message : "",
        .n_embedding = event->n_embedding,
        .embedding = event->embedding,
    };
}

int sampan_submit(sampan_engine *engine, const struct sampan_request *request, uint64_t *id)
{
    struct error *err = api_error();
    struct engine_request ours;
    if (!engine || !id)
        return api_invalid("submitting a request", "a parameter is NULL");
    *id = 0;
    int code = read_request(request, &ours, err);
    if (code)
        return code;
    pthread_mutex_lock(&engine->mutex);
    if (engine->generations)
        code =
            error_set(err, SAMPAN_EBUSY, "submitting a request: sampan_generate or sampan_score is running on this engine; use one way or the other at a time");
    else
        code = engine_submit(engine->engine, &ours, id, err);
    if (!code)
        engine->n_submitted++;
    pthread_mutex_unlock(&engine->mutex);
    return code;
}

int sampan_next_event(sampan_engine *engine, uint64_t timeout_ns, struct sampan_event *event)
{
    struct error *err = api_error();
    struct engine_event ours;
    if (!engine || !event)
        return api_invalid("waiting for an event", "a parameter is NULL");
    int code = engine_next_event(engine->engine, timeout_ns, &ours, err);
    if (code)
        return code;
    struct sampan_event made = make_event(&ours);
    return api_write_struct(event, &made, sizeof made, "waiting for an event", err);
}

void sampan_cancel(sampan_engine *engine, uint64_t id)
{
    if (engine)
        engine_cancel(engine->engine, id);
}

void sampan_release(sampan_engine *engine, uint64_t id)
{
    if (!engine)
        return;
    engine_release(engine->engine, id);
    pthread_mutex_lock(&engine->mutex);
    if (engine->n_submitted)
        engine->n_submitted--;
    pthread_mutex_unlock(&engine->mutex);
}

int sampan_descriptor(const sampan_engine *engine)
{
    return engine ? engine_descriptor(engine->engine) : api_invalid("asking for a descriptor", "the engine is NULL");
}

/* ---- Blocking calls. */

struct call {
    struct generation generation;
    int (*on_event)(void *self, const struct sampan_event *event);
    void *self;
    bool stopped; /* by the callback */
    bool finished;
    int code;
};

static void use_event(sampan_engine *engine, struct call *call, const struct engine_event *event, struct error *err)
{
    struct sampan_event made = make_event(event);
    if (!call->stopped && call->on_event && call->on_event(call->self, &made)) {
        call->stopped = true;
        engine_cancel(engine->engine, call->generation.id);
    }
    if (event->finish == FINISH_NONE)
        return;
    call->finished = true;
    if (event->finish == FINISH_ERROR)
        call->code = error_set(err, event->code ? event->code : SAMPAN_EINTERNAL, "%s", made.message);
    else if (call->stopped || event->finish == FINISH_CANCELLED)
        call->code = error_set(err, SAMPAN_ECANCELLED, "the request was cancelled");
}

static bool is_registered(const sampan_engine *engine, uint64_t id)
{
    const struct generation *generation = engine->generations;
    while (generation && generation->id != id)
        generation = generation->next;
    return generation != NULL;
}

/* Gives an event to the call it belongs to and waits until that has used it. The mutex is held. */
static void hand_over(sampan_engine *engine, const struct engine_event *event)
{
    if (!is_registered(engine, event->request))
        return; /* released while its event was on the way */
    engine->handed = event;
    pthread_cond_broadcast(&engine->changed);
    while (engine->handed)
        pthread_cond_wait(&engine->changed, &engine->mutex);
}

/* Reads one event, for this call or another. The mutex is held at entry and return, not while waiting or while the callback runs. */
static int read_one(sampan_engine *engine, struct call *call, struct error *err)
{
    struct engine_event event;
    engine->reading = true;
    pthread_mutex_unlock(&engine->mutex);
    int code = engine_next_event(engine->engine, UINT64_MAX, &event, err);
    bool mine = !code && event.request == call->generation.id;
    if (mine)
        use_event(engine, call, &event, err);
    pthread_mutex_lock(&engine->mutex);
    if (!code && !mine)
        hand_over(engine, &event);
    engine->reading = false;
    pthread_cond_broadcast(&engine->changed);
    return code == SAMPAN_ETIMEOUT ? 0 : code;
}

/* Until this call's last event: reads where nobody else does, takes what is handed over otherwise. The mutex is held. */
static int wait_for_end(sampan_engine *engine, struct call *call, struct error *err)
{
    while (!call->finished) {
        if (engine->handed && engine->handed->request == call->generation.id) {
            const struct engine_event *event = engine->handed;
            pthread_mutex_unlock(&engine->mutex);
            use_event(engine, call, event, err);
            pthread_mutex_lock(&engine->mutex);
            engine->handed = NULL;
            pthread_cond_broadcast(&engine->changed);
        } else if (engine->reading) {
            pthread_cond_wait(&engine->changed, &engine->mutex);
        } else {
            int code = read_one(engine, call, err);
            if (code)
                return code;
        }
    }
    return call->code;
}

static void leave_generations(sampan_engine *engine, const struct generation *generation)
{
    struct generation **link = &engine->generations;
    while (*link != generation)
        link = &(*link)->next;
    *link = generation->next;
}

int sampan_generate(sampan_engine *engine, const struct sampan_request *request, int (*on_event)(void *self, const struct sampan_event *event), void *self)
{
    struct error *err = api_error();
    struct engine_request ours;
    struct call call = {.on_event = on_event, .self = self};
    if (!engine)
        return api_invalid("generating", "the engine is NULL");
    int code = read_request(request, &ours, err);
    if (code)
        return code;
    pthread_mutex_lock(&engine->mutex);
    if (engine->n_submitted)
        code = error_set(err, SAMPAN_EBUSY, "generating: requests of sampan_submit are not yet released on this engine; use one way or the other at a time");
    else
        code = engine_submit(engine->engine, &ours, &call.generation.id, err);
    if (!code) { /* registered under the same lock: its first event cannot be read before */
        call.generation.next = engine->generations;
        engine->generations = &call.generation;
        code = wait_for_end(engine, &call, err);
        leave_generations(engine, &call.generation);
        engine_release(engine->engine, call.generation.id);
    }
    pthread_mutex_unlock(&engine->mutex);
    return code;
}

/* ---- Scoring. */

struct scoring {
    struct sampan_logprob *logprobs; /* [n_positions, n_top] */
    int32_t n_positions, n_top;
    bool complete;
};

static int take_scores(void *self, const struct sampan_event *event)
{
    struct scoring *scoring = self;
    if (event->n_prompt_positions == 0)
        return 0;
    if (event->n_prompt_positions != scoring->n_positions || event->n_prompt_logprobs != scoring->n_top)
        return 0; /* reported as incomplete */
    memcpy(scoring->logprobs, event->prompt_logprobs, (size_t)scoring->n_positions * (size_t)scoring->n_top * sizeof *scoring->logprobs);
    scoring->complete = true;
    return 0;
}

int sampan_score(sampan_engine *engine, const int32_t *ids, size_t n_ids, int32_t n_top, struct sampan_logprob **logprobs)
{
    struct error *err = api_error();
    if (!engine || !ids || !logprobs)
        return api_invalid("scoring", "a parameter is NULL");
    *logprobs = NULL;
    if (n_top < 1 || n_top > LIMIT_LOGPROBS || n_top > engine->description.n_vocabulary)
        return error_set(err, SAMPAN_EINVAL, "scoring: %" PRId32 " tokens per position were asked for; expected 1 to %d", n_top,
                         LIMIT_LOGPROBS < engine->description.n_vocabulary ? LIMIT_LOGPROBS : (int)engine->description.n_vocabulary);
    if (!n_ids || n_ids > (size_t)engine->description.context)
        return error_set(err, SAMPAN_ELIMIT, "scoring: %zu tokens, expected 1 to the context of %" PRId32, n_ids, engine->description.context);
    size_t count;
    struct scoring scoring = {.n_positions = (int32_t)n_ids, .n_top = n_top};
    if (!mem_multiply(n_ids, (size_t)n_top, &count) || !(scoring.logprobs = mem_alloc_array(count, sizeof *scoring.logprobs)))
        return error_no_memory(err, "scoring");
    struct sampan_request request = {
        .size = sizeof request,
        .prompt = ids,
        .n_prompt = n_ids,
        .max_tokens = SAMPAN_PROMPT_ONLY,
        .n_prompt_logprobs = n_top,
    };
    int code = sampan_generate(engine, &request, take_scores, &scoring);
    if (!code && !scoring.complete)
        code = error_set(err, SAMPAN_EINTERNAL, "scoring: the engine ended without giving the log-probabilities of all %zu positions", n_ids);
    if (code)
        mem_free(scoring.logprobs);
    else
        *logprobs = scoring.logprobs;
    return code;
}

/* ---- Embeddings. */

struct embedding {
    float *values;
    int32_t width;
    bool complete;
};

static int take_embedding(void *self, const struct sampan_event *event)
{
    struct embedding *embedding = self;
    if (event->n_embedding == 0 || event->n_embedding != embedding->width)
        return 0; /* reported as incomplete */
    memcpy(embedding->values, event->embedding, (size_t)embedding->width * sizeof *embedding->values);
    embedding->complete = true;
    return 0;
}

int sampan_embed(sampan_engine *engine, const int32_t *ids, size_t n_ids, int32_t pooling, int32_t normalize, float **values, size_t *width)
{
    struct error *err = api_error();
    if (!engine || !ids || !values || !width)
        return api_invalid("embedding", "a parameter is NULL");
    *values = NULL;
    *width = 0;
    if (pooling != SAMPAN_POOLING_LAST && pooling != SAMPAN_POOLING_MEAN)
        return error_set(err, SAMPAN_EINVAL, "embedding: the pooling is %" PRId32 "; expected SAMPAN_POOLING_LAST or SAMPAN_POOLING_MEAN", pooling);
    struct embedding embedding = {.width = engine->description.embedding_width};
    if (!embedding.width)
        return error_set(err, SAMPAN_EUNSUPPORTED, "embedding: the chip '%s' hands out no hidden rows; open the engine on another (\"cpu\")",
                         engine->description.chip);
    if (!(embedding.values = mem_alloc_array((size_t)embedding.width, sizeof *embedding.values)))
        return error_no_memory(err, "embedding");
    struct sampan_request request = {
        .size = sizeof request, .prompt = ids, .n_prompt = n_ids, .max_tokens = SAMPAN_PROMPT_ONLY, .pooling = pooling, .normalize = normalize};
    int code = sampan_generate(engine, &request, take_embedding, &embedding);
    if (!code && !embedding.complete)
        code = error_set(err, SAMPAN_EINTERNAL, "embedding: the engine ended without giving the vector of %zu tokens", n_ids);
    if (code) {
        mem_free(embedding.values);
        return code;
    }
    *values = embedding.values;
    *width = (size_t)embedding.width;
    return 0;
}
