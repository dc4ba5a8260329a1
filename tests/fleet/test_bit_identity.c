/* Bit-identity on real chips: random schedules (arrivals, chunks, small caches that force preemption, shared prefixes, losses of the executor) through the
 * local executor
 * give each request exactly the tokens and log-probabilities that it has alone, on the reference chip and the CPU chip with a tiny model, and on the default
 * model where it is there. Each request's answer alone is computed once per chip. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/engine.h"
#include "file/checkpoint.h"
#include "fleet/local_executor.h"
#include "model/model.h"
#include "tiny/tiny_model.h"

#define N_REQUESTS 12
#define MAX_PROMPT 64
#define MAX_NEW 24
#define MAX_LOGPROBS 3
#define CONTEXT 96

static uint64_t random_state;

static uint32_t pick(uint32_t n) /* SplitMix64 */
{
    uint64_t x = random_state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((x ^ x >> 31) >> 16) % n;
}

struct answer {
    int32_t n_tokens;
    int32_t tokens[MAX_NEW];
    struct engine_logprob logprobs[MAX_NEW * MAX_LOGPROBS];
    struct engine_logprob prompt_logprobs[MAX_PROMPT];
    int32_t n_rebuilds;
    bool ended;
};

struct model {
    struct checkpoint *checkpoint;
    struct arena arena;
    const struct program *program;
    struct engine_request requests[N_REQUESTS];
    int32_t prompts[N_REQUESTS][MAX_PROMPT];
    struct answer alone[N_REQUESTS];
};

static void open_model(struct model *model, const char *path)
{
    struct model_options options = {0};
    struct error err;
    memset(model, 0, sizeof *model);
    arena_init(&model->arena, 256 << 20);
    if (checkpoint_open(path, &model->checkpoint, &err) || model_write_program(model->checkpoint, &options, &model->arena, &model->program, &err))
        fail_msg("%s", err.message);
}

static void close_model(struct model *model)
{
    checkpoint_close(model->checkpoint);
    arena_free(&model->arena);
}

/* Prompts that share beginnings; greedy and sampled; with and without log-probabilities. */
static void make_requests(struct model *model, int32_t max_new)
{
    random_state = 42;
    for (int32_t i = 0; i < N_REQUESTS; i++) {
        int32_t n = 5 + (int32_t)pick(MAX_PROMPT - 5), shared = i ? (int32_t)pick((uint32_t)n) : 0;
        for (int32_t k = 0; k < n; k++)
            model->prompts[i][k] = k < shared && k < (int32_t)model->requests[i - 1].n_prompt ? model->prompts[i - 1][k]
                                                                                              : 3 + (int32_t)pick((uint32_t)model->program->n_vocabulary - 3);
        model->requests[i] = (struct engine_request){.prompt = model->prompts[i],
                                                     .n_prompt = (size_t)n,
                                                     .max_tokens = max_new,
                                                     .n_logprobs = i % 3 == 1 ? MAX_LOGPROBS - 1 : -1,
                                                     .n_prompt_logprobs = i % 4 == 2 ? 1 : -1,
                                                     .sampling = {.temperature = i % 3 ? 0.9 : 0, .seed = (uint64_t)i, .top_p = i % 2 ? 0.9 : 0}};
    }
}

static void take_answer(struct answer *answer, const struct engine_event *event)
{
    assert_true(event->finish != FINISH_ERROR);
    assert_true(answer->n_tokens + event->n_tokens <= MAX_NEW);
    if (event->n_tokens)
        memcpy(answer->tokens + answer->n_tokens, event->tokens, (size_t)event->n_tokens * sizeof(int32_t));
    if (event->n_tokens && event->n_logprobs)
        memcpy(answer->logprobs + answer->n_tokens * event->n_logprobs, event->logprobs,
               (size_t)event->n_tokens * (size_t)event->n_logprobs * sizeof *event->logprobs);
    if (event->n_prompt_positions)
        memcpy(answer->prompt_logprobs, event->prompt_logprobs, (size_t)event->n_prompt_positions * sizeof *event->prompt_logprobs);
    answer->n_tokens += event->n_tokens;
    answer->n_rebuilds = event->n_rebuilds;
    answer->ended = event->finish != FINISH_NONE;
}

static bool same_answer(const struct answer *a, const struct answer *b)
{
    return a->ended && b->ended && a->n_tokens == b->n_tokens && memcmp(a->tokens, b->tokens, sizeof a->tokens) == 0 &&
           memcmp(a->logprobs, b->logprobs, sizeof a->logprobs) == 0 && memcmp(a->prompt_logprobs, b->prompt_logprobs, sizeof a->prompt_logprobs) == 0;
}

/* Runs the chosen requests, each arriving at a random turn, and gathers their answers by request. */
static void run_requests(struct engine *engine, const struct model *model, const int32_t *chosen, int32_t n, struct answer *answers)
{
    uint64_t ids[N_REQUESTS];
    int32_t n_submitted = 0, n_ended = 0;
    struct engine_event event;
    struct error err;
    while (n_ended < n) {
        while (n_submitted < n && (n_submitted == n_ended || pick(3) == 0)) {
            if (engine_submit(engine, &model->requests[chosen[n_submitted]], &ids[n_submitted], &err))
                fail_msg("%s", err.message);
            n_submitted++;
        }
        if (engine_turn(engine, UINT64_MAX, &err) < 0)
            fail_msg("%s", err.message);
        while (engine_next_event(engine, 0, &event, NULL) == 0) {
            int32_t i = 0;
            while (ids[i] != event.request)
                i++;
            take_answer(&answers[i], &event);
            n_ended += answers[i].ended;
            if (answers[i].ended)
                engine_release(engine, event.request);
        }
    }
}

static struct engine *make_engine(const struct local_executor_options *options, const struct engine_options *engine_options, struct local_factory **factory)
{
    struct engine *engine;
    struct error err;
    if (local_factory_create(options, factory, &err))
        fail_msg("%s", err.message);
    struct executor_factory interface = local_factory_interface(*factory);
    if (engine_create(&interface, NULL, engine_options, &engine, &err))
        fail_msg("%s", err.message);
    return engine;
}

static void run_alone(struct model *model, const char *chip)
{
    struct local_executor_options options = {.chip = chip, .program = model->program, .max_context = CONTEXT, .max_tokens = 128, .max_sequences = 1};
    struct engine_options engine_options = {.no_prefix_reuse = true, .no_pipelining = true};
    struct local_factory *factory;
    struct engine *engine = make_engine(&options, &engine_options, &factory);
    memset(model->alone, 0, sizeof model->alone);
    for (int32_t i = 0; i < N_REQUESTS; i++)
        run_requests(engine, model, &i, 1, &model->alone[i]);
    engine_free(engine);
    local_factory_free(factory);
}

struct totals {
    uint64_t preemptions, cached, rebuilds, schedules;
};

static void run_schedule(struct model *model, const char *chip, int32_t element_bytes, uint64_t seed, struct totals *totals)
{
    static const int32_t block_sizes[] = {8, 16, 32};
    static struct answer answers[N_REQUESTS];
    random_state = seed * 7919;
    uint64_t per_token = program_cache_bytes_per_token(model->program, element_bytes);
    struct local_executor_options options = {.chip = chip,
                                             .program = model->program,
                                             .max_context = CONTEXT,
                                             .max_tokens = 1 + (int32_t)pick(40),
                                             .max_sequences = 1 + (int32_t)pick(6),
                                             .block_tokens = block_sizes[pick(3)],
                                             .cache_bytes = per_token * (CONTEXT + pick(3 * CONTEXT))};
    struct engine_options engine_options = {.prefill_chunk = pick(2) ? 1 + (int32_t)pick(16) : 0, .no_prefix_reuse = pick(5) == 0, .max_rebuilds = 10};
    struct local_factory *factory;
    struct engine *engine = make_engine(&options, &engine_options, &factory);
    if (pick(3) == 0)
        local_factory_lose_after(factory, (int64_t)pick(30));
    int32_t chosen[N_REQUESTS], n = 1 + (int32_t)pick(6);
    for (int32_t i = 0; i < n; i++)
        chosen[i] = (int32_t)pick(N_REQUESTS);
    memset(answers, 0, sizeof answers);
    run_requests(engine, model, chosen, n, answers);
    engine_turn(engine, 0, NULL);
    struct engine_statistics statistics;
    engine_get_statistics(engine, &statistics);
    totals->preemptions += statistics.n_preemptions;
    totals->cached += statistics.n_cached_tokens;
    totals->rebuilds += statistics.n_rebuilds;
    totals->schedules++;
    engine_free(engine);
    local_factory_free(factory);
    for (int32_t i = 0; i < n; i++)
        if (!same_answer(&model->alone[chosen[i]], &answers[i]))
            fail_msg("%s, schedule %llu: request %d differs from what it gives alone", chip, (unsigned long long)seed, chosen[i]);
}

static void run_schedules(struct model *model, const char *chip, int32_t element_bytes, int32_t max_new, uint64_t n, uint64_t seconds)
{
    struct totals totals = {0};
    make_requests(model, max_new);
    run_alone(model, chip);
    uint64_t start = clock_monotonic_ns();
    for (uint64_t seed = 1; seed <= n && (clock_monotonic_ns() - start) / 1000000000u < seconds; seed++)
        run_schedule(model, chip, element_bytes, seed, &totals);
    print_message("%s: %llu schedules, %llu preemptions, %llu cached tokens, %llu rebuilds\n", chip, (unsigned long long)totals.schedules,
                  (unsigned long long)totals.preemptions, (unsigned long long)totals.cached, (unsigned long long)totals.rebuilds);
    if (n >= 100 && totals.schedules == n)
        assert_true(totals.preemptions > 0 && totals.cached > 0 && totals.rebuilds > 0);
}

static void with_tiny_model(const char *chip, int32_t element_bytes, uint64_t n)
{
    static struct model model;
    struct tiny_model_options options = tiny_model_defaults();
    char path[TINY_MODEL_PATH];
    struct error err;
    if (tiny_model_make(&options, path, &err))
        fail_msg("%s", err.message);
    open_model(&model, path);
    run_schedules(&model, chip, element_bytes, MAX_NEW, n, 60);
    close_model(&model);
    unlink(path);
}

static void schedules_change_nothing_on_the_reference_chip(void **state)
{
    (void)state;
    with_tiny_model("reference", 4, 120);
}

static void schedules_change_nothing_on_the_cpu_chip(void **state)
{
    (void)state;
    with_tiny_model("cpu", 2, 300);
}

static void schedules_change_nothing_with_the_default_model(void **state)
{
    (void)state;
    static struct model model;
    const char *path = getenv("SAMPAN_TEST_MODEL");
    if (!path)
        path = SOURCE_ROOT "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!file_exists(path)) {
        print_message("skipped: no model at %s (set SAMPAN_TEST_MODEL)\n", path);
        skip();
    }
    open_model(&model, path);
    run_schedules(&model, "cpu", 2, 8, 10, 40); /* each loads the weights again: that is what takes the time */
    close_model(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_change_nothing_on_the_reference_chip),
        cmocka_unit_test(schedules_change_nothing_on_the_cpu_chip),
        cmocka_unit_test(schedules_change_nothing_with_the_default_model),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("bit-identity on chips", tests, NULL, NULL);
}
