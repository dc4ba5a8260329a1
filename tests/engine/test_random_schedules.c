/* The proof that scheduling changes nothing: thousands of random schedules (executors of every shape, tiny pools, shared prefixes, choices, arrivals,
 * cancels, losses, failures,
 * busy and late executors) on the simulated executor, whose logits depend on the whole reachable cache. Each stream must give exactly what its request gives
 * alone.
 *
 * SAMPAN_TEST_SCHEDULES=n changes how many; SAMPAN_TEST_SEED=n runs that one alone. A failure prints its seed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "engine/sampler.h"
#include "text/detokenizer.h"
#include "support_requests.h"

#define MAX_REQUESTS 16
#define DEFAULT_SCHEDULES 3000

static uint64_t random_state;

static uint32_t pick(uint32_t n) /* 0 .. n - 1; SplitMix64 */
{
    uint64_t x = random_state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((x ^ x >> 31) >> 16) % n;
}

static int32_t between(int32_t low, int32_t high)
{
    return low + (int32_t)pick((uint32_t)(high - low + 1));
}

static bool once_in(uint32_t n)
{
    return pick(n) == 0;
}

static uint64_t fake_now(void *self)
{
    return *(uint64_t *)self += 3000000;
}

struct schedule {
    struct simulation_options simulation;
    struct engine_options engine;
    bool troubled; /* steps may fail */
    int32_t n_requests;
    struct test_request requests[MAX_REQUESTS];
    struct test_outcome outcomes[MAX_REQUESTS];
    bool cancelled[MAX_REQUESTS];
    int32_t n_submitted;
};

static void make_groups(struct executor_description *d)
{
    static const int32_t sizes[] = {1, 2, 3, 4, 4, 6, 8, 16};
    d->n_groups = once_in(2) ? 1 : between(2, 3);
    int32_t tight = between(1, 4); /* how many full contexts fit, in halves */
    for (int32_t g = 0; g < d->n_groups; g++) {
        struct executor_group *group = &d->groups[g];
        group->block_tokens = sizes[pick(8)];
        group->kind = g > 0 || once_in(6) ? (once_in(3) ? EXECUTOR_GROUP_ALL_POSITIONS : EXECUTOR_GROUP_WINDOW) : EXECUTOR_GROUP_ALL_POSITIONS;
        group->window = group->kind == EXECUTOR_GROUP_WINDOW ? between(1, 24) : 0;
        int32_t full = (d->max_context + group->block_tokens - 1) / group->block_tokens;
        group->n_blocks = full * tight / 2 + 1;
        if (group->kind == EXECUTOR_GROUP_WINDOW) {
            int32_t span = (group->window - 1 + group->block_tokens - 1) / group->block_tokens + 1;
            group->n_blocks = span * between(1, 5) + between(0, 3);
        }
    }
}

static void make_simulation(struct schedule *s)
{
    s->simulation = test_simulation();
    struct executor_description *d = &s->simulation.description;
    d->max_context = between(20, 120);
    d->max_tokens = once_in(4) ? between(1, 4) : between(4, 48);
    d->max_sequences = between(1, 8);
    d->max_logit_rows = once_in(3) ? between(1, 3) : between(4, 48);
    d->max_steps_in_flight = between(1, 4);
    make_groups(d);
    s->simulation.seed = (uint64_t)pick(1u << 30);
    s->simulation.late_permille = once_in(2) ? pick(600) : 0;
    s->simulation.busy_permille = once_in(3) ? pick(300) : 0;
    s->simulation.lost_permille = once_in(3) ? pick(40) : 0;
    s->simulation.open_failed_permille = once_in(2) ? 300 : 0;
    s->troubled = once_in(8);
    s->simulation.failed_permille = s->troubled ? 10 : 0;
    s->simulation.eog_offset = -3.0f + (float)pick(4);
    s->engine = (struct engine_options){.max_queued = MAX_REQUESTS,
                                        .prefill_chunk = once_in(2) ? between(1, 16) : 0,
                                        .max_running = once_in(3) ? between(1, 8) : 0,
                                        .no_prefix_reuse = once_in(6),
                                        .no_pipelining = once_in(6),
                                        .max_rebuilds = 1000000};
}

static void make_sampling(struct sampling_parameters *p)
{
    *p = (struct sampling_parameters){0};
    if (once_in(2))
        return;
    p->temperature = once_in(4) ? 0 : 0.2 + pick(20) / 10.0;
    p->seed = pick(100);
    p->choice = pick(3);
    p->top_k = once_in(3) ? between(1, 45) : 0;
    p->top_p = once_in(3) ? 0.1 + pick(9) / 10.0 : 0;
    p->min_p = once_in(3) ? pick(50) / 100.0 : 0;
    p->typical_p = once_in(3) ? 0.1 + pick(9) / 10.0 : 0;
    p->penalty_window = once_in(3) ? between(1, 8) : 0;
    p->repetition_penalty = once_in(4) ? 1.3 : 0;
    p->presence_penalty = once_in(4) ? 0.7 : 0;
    p->frequency_penalty = once_in(4) ? -0.4 : 0;
}

/* Biases, banned sequences, tokens that end the answer. */
static void make_lists(struct test_request *r)
{
    static const float biases[] = {-3, -0.5f, 0.5f, 2, -INFINITY};
    r->request.sampling.n_biases = between(0, MAX_TEST_LIST);
    r->request.sampling.n_banned = between(0, MAX_TEST_LIST);
    r->request.n_stop_tokens = pick(3);
    for (int32_t i = 0; i < MAX_TEST_LIST; i++) {
        r->biases[i] = (struct sampling_bias){between(0, TEST_VOCABULARY - 1), biases[pick(5)]};
        r->banned[i].count = 1 + pick(2);
        r->banned_ids[i][0] = between(0, 12);
        r->banned_ids[i][1] = between(0, 12);
        r->stop_tokens[i] = between(0, TEST_VOCABULARY - 1);
    }
}

static void make_prompt(struct schedule *s, struct test_request *r, int32_t most)
{
    int32_t n = between(1, most), shared = 0;
    if (s->n_requests > 0 && !once_in(3)) { /* begins like an earlier one: a prefix, all of it, or the very same */
        const struct test_request *other = &s->requests[pick((uint32_t)s->n_requests)];
        shared = once_in(2) ? (int32_t)other->request.n_prompt : between(1, (int32_t)other->request.n_prompt);
        if (once_in(3) || shared > n)
            n = shared;
        memcpy(r->prompt, other->prompt, (size_t)shared * sizeof(int32_t));
    }
    for (int32_t i = shared; i < n; i++)
        r->prompt[i] = between(0, once_in(2) ? 3 : TEST_VOCABULARY - 1);
    r->request.n_prompt = (size_t)n;
}

static int32_t capacity_of(const struct executor_description *d)
{
    int32_t capacity = d->max_context;
    for (int32_t g = 0; g < d->n_groups; g++)
        if (d->groups[g].kind == EXECUTOR_GROUP_ALL_POSITIONS && d->groups[g].n_blocks * d->groups[g].block_tokens < capacity)
            capacity = d->groups[g].n_blocks * d->groups[g].block_tokens;
    return capacity;
}

static void make_request(struct schedule *s, struct test_request *r)
{
    static const char *const stops[] = {"a", "ab", "bca", "\xc3\xa9", " d", "aa", "hh", "12", "ef f", "abca", "\xef\xbf\xbd"};
    int32_t capacity = capacity_of(&s->simulation.description);
    memset(r, 0, sizeof *r);
    make_prompt(s, r, capacity - 1 < MAX_TEST_PROMPT ? capacity - 1 : MAX_TEST_PROMPT);
    int32_t room = capacity - (int32_t)r->request.n_prompt;
    r->request.max_tokens = once_in(8) ? 0 : once_in(4) ? room : between(1, room < 40 ? room : 40);
    r->request.min_tokens = once_in(5) ? between(1, 10) : 0;
    r->request.ignore_eog = once_in(4);
    r->request.show_control = once_in(4);
    r->request.n_logprobs = once_in(4) ? between(0, 5) : -1;
    r->request.n_prompt_logprobs = once_in(4) ? between(0, 4) : -1;
    if (r->request.max_tokens == 0) {
        r->request.pooling = (enum pooling_kind)pick(POOLING_KIND_COUNT);
        r->request.normalize = once_in(2);
    }
    make_sampling(&r->request.sampling);
    if (once_in(4))
        make_lists(r);
    r->request.n_stops = once_in(2) ? pick(MAX_TEST_STOPS + 1) : 0;
    for (size_t i = 0; i < r->request.n_stops; i++)
        strcpy(r->stop_texts[i], stops[pick(sizeof stops / sizeof stops[0])]);
    test_request_point(r);
}

static void make_schedule(struct schedule *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    random_state = seed * 0x2545F4914F6CDD1Du + 77;
    make_simulation(s);
    int32_t n = between(1, MAX_REQUESTS);
    for (; s->n_requests < n; s->n_requests++) {
        struct test_request *r = &s->requests[s->n_requests];
        if (s->n_requests > 0 && once_in(4)) { /* another choice of the same request */
            *r = s->requests[s->n_requests - 1];
            r->request.sampling.choice++;
            test_request_point(r);
        } else {
            make_request(s, r);
        }
    }
}

static void act_at_random(struct schedule *s, struct engine *engine)
{
    struct error err;
    while (s->n_submitted < s->n_requests && once_in(3)) {
        struct test_request *r = &s->requests[s->n_submitted];
        uint64_t id;
        test_request_point(r);
        int status = engine_submit(engine, &r->request, &id, &err);
        if (status)
            fail_msg("submit: %s", err.message);
        test_outcome_init(&s->outcomes[s->n_submitted++], id);
    }
    if (s->n_submitted && once_in(60)) {
        uint32_t i = pick((uint32_t)s->n_submitted);
        engine_cancel(engine, s->outcomes[i].id);
        s->cancelled[i] = true;
    }
}

static const char *run_schedule(struct schedule *s, struct engine *engine)
{
    for (int32_t turns = 0;; turns++) {
        act_at_random(s, engine);
        struct error err;
        int status = engine_turn(engine, 0, &err);
        if (status < 0)
            fail_msg("turn: %s", err.message);
        if (!once_in(3))
            test_take_events(engine, s->outcomes, s->n_submitted);
        if (status == 0 && s->n_submitted == s->n_requests)
            break;
        if (turns > 100000)
            return "no end: streams do not move on";
    }
    test_take_events(engine, s->outcomes, s->n_submitted);
    return NULL;
}

/* An oracle that shares nothing with the engine but the sampler and the detokenizer: the model without blocks, token by token, and a plain search for stop
 * strings. */
static int32_t oracle_tokens(const struct schedule *s, const struct test_request *r, int32_t *log)
{
    int32_t n = (int32_t)r->request.n_prompt, end_tokens[MAX_TEST_LIST + 1] = {TEST_EOG}, n_end = 1 + (int32_t)r->request.n_stop_tokens;
    struct sampler sampler = {0};
    assert_int_equal(sampler_init(&sampler, TEST_VOCABULARY, NULL), 0);
    memcpy(log, r->prompt, (size_t)n * sizeof *log);
    memcpy(end_tokens + 1, r->stop_tokens, (size_t)(n_end - 1) * sizeof *end_tokens);
    for (int32_t i = 0; i < r->request.max_tokens; i++) {
        float logits[TEST_VOCABULARY];
        int32_t token;
        simulation_logits(&s->simulation, log, n, logits);
        struct sampler_input input = {.logits = logits,
                                      .parameters = &r->request.sampling,
                                      .tokens = log,
                                      .n_prompt = (int32_t)r->request.n_prompt,
                                      .n_tokens = n,
                                      .held_back = end_tokens,
                                      .n_held_back = i < r->request.min_tokens ? n_end : 0};
        assert_int_equal(sampler_choose(&sampler, &input, &token, NULL), 0);
        bool ends = token == TEST_EOG && !r->request.ignore_eog;
        for (int32_t k = 1; k < n_end; k++)
            ends = ends || token == end_tokens[k];
        if (ends)
            break;
        log[n++] = token;
    }
    sampler_free(&sampler);
    return n - (int32_t)r->request.n_prompt;
}

/* The text up to the stop string that ends first; the longest of those. */
static void cut_at_stop(const struct test_request *r, struct buffer *text)
{
    for (size_t end = 1; end <= text->length; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < r->request.n_stops; i++) {
            size_t l = r->stops[i].length;
            if (l <= end && l > longest && memcmp(text->data + end - l, r->stops[i].text, l) == 0)
                longest = l;
        }
        if (longest) {
            text->length = end - longest;
            return;
        }
    }
}

static const char *compare_with_oracle(const struct schedule *s, int32_t i, const struct test_outcome *outcome)
{
    const struct test_request *r = &s->requests[i];
    int32_t log[256], n = oracle_tokens(s, r, log);
    if (outcome->last.finish == FINISH_STOP ? outcome->n_tokens > n : outcome->n_tokens != n)
        return "number of tokens against the oracle";
    if (memcmp(outcome->tokens, log + r->request.n_prompt, (size_t)outcome->n_tokens * sizeof(int32_t)) != 0)
        return "tokens against the oracle";
    struct buffer text;
    struct detokenizer detokenizer;
    buffer_init(&text, 1 << 20);
    detokenizer_init(&detokenizer, test_tokenizer(), r->request.show_control, false);
    for (int32_t k = 0; k < n; k++)
        detokenizer_push(&detokenizer, log[r->request.n_prompt + (size_t)k], &text);
    detokenizer_finish(&detokenizer, &text);
    cut_at_stop(r, &text);
    bool same = text.length == outcome->text.length && (text.length == 0 || memcmp(text.data, outcome->text.data, text.length) == 0);
    buffer_free(&text);
    return same ? NULL : "text against the oracle";
}

static const char *compare_with_alone(struct schedule *s, int32_t i)
{
    struct test_outcome alone, *actual = &s->outcomes[i];
    if (!actual->ended)
        return "its end is missing";
    bool cut_short = (s->cancelled[i] && actual->last.finish == FINISH_CANCELLED) || (s->troubled && actual->last.finish == FINISH_ERROR);
    test_run_alone(&s->simulation, &s->requests[i], &alone);
    const char *difference = test_outcomes_differ(&alone, actual, cut_short);
    if (!difference && cut_short && s->requests[i].request.n_stops &&
        (actual->text.length > alone.text.length || (actual->text.length && memcmp(actual->text.data, alone.text.data, actual->text.length) != 0)))
        difference = "text of a stream cut short";
    if (!difference && i % 3 == 0)
        difference = compare_with_oracle(s, i, &alone);
    test_outcome_free(&alone);
    return difference;
}

struct totals {
    uint64_t steps, preemptions, cached, rebuilds, copies, chained, busy, tokens;
};

static const char *run_seed(uint64_t seed, struct totals *totals, int32_t *request)
{
    static struct schedule s;
    make_schedule(&s, seed);
    uint64_t now = 0;
    struct clock clock = {fake_now, &now};
    s.engine.clock = &clock;
    struct simulation *simulation = simulation_create(&s.simulation);
    struct executor_factory factory = simulation_factory(simulation);
    struct engine *engine;
    struct error err;
    if (engine_create(&factory, test_tokenizer(), &s.engine, &engine, &err))
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
    const char *problem = run_schedule(&s, engine);
    struct engine_statistics statistics;
    engine_get_statistics(engine, &statistics);
    struct simulation_counts counts = simulation_get_counts(simulation);
    if (!problem && (statistics.n_running || statistics.n_waiting || statistics.n_blocks_used))
        problem = "blocks or streams are left over";
    totals->steps += counts.n_steps;
    totals->copies += counts.n_copies;
    totals->chained += counts.n_chained_rows;
    totals->busy += counts.n_busy;
    totals->tokens += statistics.n_generated_tokens;
    totals->preemptions += statistics.n_preemptions;
    totals->cached += statistics.n_cached_tokens;
    totals->rebuilds += statistics.n_rebuilds;
    engine_free(engine);
    static char violation[512];
    if (simulation_violation(simulation)) {
        snprintf(violation, sizeof violation, "%s", simulation_violation(simulation));
        problem = violation;
    }
    simulation_free(simulation);
    for (int32_t i = 0; i < s.n_requests && !problem; i++) {
        *request = i;
        problem = compare_with_alone(&s, i);
    }
    for (int32_t i = 0; i < s.n_submitted; i++)
        test_outcome_free(&s.outcomes[i]);
    return problem;
}

static void whatever_the_schedule_each_stream_gives_what_it_gives_alone(void **state)
{
    (void)state;
    const char *one = getenv("SAMPAN_TEST_SEED"), *how_many = getenv("SAMPAN_TEST_SCHEDULES");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, n = one ? 1 : how_many ? strtoull(how_many, NULL, 10) : DEFAULT_SCHEDULES;
    struct totals totals = {0};
    for (uint64_t seed = first; seed < first + n; seed++) {
        int32_t request = -1;
        const char *problem = run_seed(seed, &totals, &request);
        if (problem)
            fail_msg("seed %llu, request %d: %s", (unsigned long long)seed, request, problem);
    }
    print_message(
        "%llu schedules from seed %llu: %llu steps, %llu tokens, %llu preemptions, %llu cached tokens, %llu copies, %llu chained rows, %llu rebuilds, "
        "%llu busy\n",
        (unsigned long long)n, (unsigned long long)first, (unsigned long long)totals.steps, (unsigned long long)totals.tokens,
        (unsigned long long)totals.preemptions, (unsigned long long)totals.cached, (unsigned long long)totals.copies, (unsigned long long)totals.chained,
        (unsigned long long)totals.rebuilds, (unsigned long long)totals.busy);
    /* The schedules meet what they are made for. */
    if (n >= 1000)
        assert_true(totals.preemptions > n / 10 && totals.cached > n && totals.copies > n / 10 && totals.chained > n && totals.rebuilds > n / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_the_schedule_each_stream_gives_what_it_gives_alone)};
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("engine: random schedules", tests, NULL, NULL);
}
