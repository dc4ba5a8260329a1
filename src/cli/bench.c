/* sampan bench: how fast a model runs here, and how near to what the machine's memory allows.
 *
 * Decoding reads every weight once per step, so its limit is memory bandwidth: bytes read per token = weights as published that a step reads (the embedding
 * table is looked up, not read) + keys and values of the positions so far. The bandwidth is measured in the same run, with as many threads. Prompts are made
 * of pseudo-random ids, another one each time, so that nothing is reused. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bandwidth.h"
#include "base/clock.h"
#include "base/machine.h"
#include "base/memory.h"
#include "chip/program.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "file/checkpoint.h"
#include "model/model.h"

enum {
    PREFILL_TOKENS = 512,
    DECODE_PROMPT = 16,
    DECODE_TOKENS = 96,
    BATCH = 16,
    BATCH_TOKENS = 48,
    DEFAULT_RUNS = 5,
    MAX_RUNS = 100,
};
#define PROGRAM_MEMORY_LIMIT ((size_t)256 << 20)

struct measurement {
    const char *name, *label;
    bool wanted;
    int32_t n_tokens;       /* per run, as the label says */
    double rates[MAX_RUNS]; /* tokens/s */
    double median, best;
};

struct bench {
    struct session session;
    int32_t n_runs, threads;
    uint64_t random;
    uint64_t weight_bytes; /* read per step, as published */
    double operations_per_token;
    double cache_bytes_per_token;
    double bandwidth; /* bytes/s; 0: could not be measured */
    int32_t decode_prompt;
    int32_t *prompt; /* [the longest] */
    struct measurement prefill, decode, batch;
};

/* ---- What a step reads. */

static uint64_t weights_read(const struct program *program)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; i < program->n_ops; i++) {
        struct op_operands operands;
        op_get_operands(&program->ops[i], &operands);
        for (int32_t w = 0; w < operands.n_weights; w++) {
            const struct logical_weight *weight = &program->weights[operands.weights[w]];
            for (int32_t p = 0; p < weight->n_parts && weight->role != WEIGHT_EMBEDDING; p++)
                bytes += weight->parts[p].bytes;
        }
    }
    return bytes;
}

/* Of the linears that run over every token: two for each weight. */
static double operations_per_token(const struct program *program)
{
    double operations = 0;
    for (int32_t i = 0; i < program->n_ops; i++) {
        const struct op_linear *linear = &program->ops[i].linear;
        for (int32_t o = 0; program->ops[i].kind == OP_LINEAR && o < linear->n_outputs; o++) {
            const struct logical_weight *weight = &program->weights[linear->weights[o]];
            if (program->buffers[linear->x].rows == ROWS_TOKENS)
                operations += 2.0 * (double)weight->rows * (double)weight->columns;
        }
    }
    return operations;
}

static int find_weights_read(struct bench *bench)
{
    struct checkpoint *checkpoint;
    struct arena arena;
    struct error err;
    const struct program *program;
    struct model_options options = {0};
    arena_init(&arena, PROGRAM_MEMORY_LIMIT);
    int code = checkpoint_open(bench->session.model_description.path, &checkpoint, &err);
    if (!code)
        code = model_write_program(checkpoint, &options, &arena, &program, &err);
    if (!code)
        bench->weight_bytes = weights_read(program);
    if (!code)
        bench->operations_per_token = operations_per_token(program);
    arena_free(&arena);
    checkpoint_close(checkpoint);
    return code ? cli_fail("%s", err.message) : EXIT_OK;
}

/* ---- Measuring. */

static void make_prompt(struct bench *bench, int32_t *ids, int32_t n)
{
    uint32_t n_vocabulary = (uint32_t)bench->session.engine_description.n_vocabulary;
    for (int32_t i = 0; i < n; i++) {
        bench->random = bench->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
        ids[i] = (int32_t)((uint32_t)(bench->random >> 33) % n_vocabulary);
    }
}

/* Rate of the tokens that come after the first event of one request; where all came with the first (a model so fast that this thread saw it only once), of
 * all of them since the request. */
static int measure_one(struct bench *bench, int32_t n_prompt, int32_t n_tokens, bool prefill, double *rate)
{
    struct answer answer;
    struct sampan_request request = {.size = sizeof request, .prompt = bench->prompt, .n_prompt = (size_t)n_prompt, .max_tokens = n_tokens, .ignore_end = 1};
    make_prompt(bench, bench->prompt, n_prompt);
    answer_init(&answer);
    int code = session_answer(&bench->session, &request, NULL, NULL, &answer);
    double first = (double)(answer.first_token_ns - answer.started_ns) * 1e-9, rest = (double)(answer.ended_ns - answer.first_token_ns) * 1e-9;
    *rate = prefill ? n_prompt / first : rest > 0 ? (answer.n_generated_tokens - 1) / rest : answer.n_generated_tokens / first;
    int status = code ? EXIT_FAILED : EXIT_OK;
    if (!status && answer.n_generated_tokens != n_tokens)
        status = cli_fail("%" PRId32 " of %" PRId32 " tokens were generated", answer.n_generated_tokens, n_tokens);
    answer_free(&answer);
    return status;
}

struct batch_state {
    int32_t n_started, n_finished, n_tokens; /* n_tokens: of all streams */
    bool started[BATCH];
    uint64_t ids[BATCH];
    uint64_t submitted_ns, all_started_ns, first_finished_ns, ended_ns;
    int32_t tokens_when_started, tokens_when_finished;
};

static void count_batch_event(struct batch_state *state, const struct sampan_event *event)
{
    state->n_tokens += event->n_tokens;
    for (int i = 0; i < BATCH; i++)
        if (state->ids[i] == event->request && event->n_tokens && !state->started[i]) {
            state->started[i] = true;
            if (++state->n_started == BATCH) {
                state->all_started_ns = clock_monotonic_ns();
                state->tokens_when_started = state->n_tokens;
            }
        }
    if (event->finish != SAMPAN_FINISH_NONE && !state->n_finished++) {
        state->first_finished_ns = clock_monotonic_ns();
        state->tokens_when_finished = state->n_tokens;
    }
}

/* Tokens of all streams from the moment when the last one has begun until the first one ends. Where there was no such moment (a model so fast that streams end
 * before this thread has seen all begin), all tokens from the first request to the last end: a lower bound. */
static double batch_rate(const struct batch_state *state)
{
    if (state->n_started == BATCH && state->first_finished_ns > state->all_started_ns && state->tokens_when_finished > state->tokens_when_started)
        return (state->tokens_when_finished - state->tokens_when_started) / ((double)(state->first_finished_ns - state->all_started_ns) * 1e-9);
    return state->ended_ns > state->submitted_ns ? state->n_tokens / ((double)(state->ended_ns - state->submitted_ns) * 1e-9) : 0;
}

static int measure_batch(struct bench *bench, double *rate)
{
    struct batch_state state = {.submitted_ns = clock_monotonic_ns()};
    int32_t ids[DECODE_PROMPT];
    int n_submitted = 0, code = 0;
    for (; n_submitted < BATCH && !code; n_submitted += !code) {
        struct sampan_request request = {.size = sizeof request, .prompt = ids, .n_prompt = DECODE_PROMPT, .max_tokens = BATCH_TOKENS, .ignore_end = 1};
        make_prompt(bench, ids, DECODE_PROMPT);
        code = sampan_submit(bench->session.engine, &request, &state.ids[n_submitted]);
    }
    int status = code ? session_fail() : EXIT_OK;
    while (!status && state.n_finished < BATCH) {
        struct sampan_event event = {.size = sizeof event};
        if (sampan_next_event(bench->session.engine, SAMPAN_FOREVER, &event))
            status = session_fail();
        else if (event.finish == SAMPAN_FINISH_ERROR)
            status = cli_fail("%s", event.message);
        else
            count_batch_event(&state, &event);
    }
    state.ended_ns = clock_monotonic_ns();
    for (int i = 0; i < n_submitted; i++)
        sampan_release(bench->session.engine, state.ids[i]);
    *rate = batch_rate(&state);
    return status;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise(struct bench *bench, struct measurement *measurement)
{
    double sorted[MAX_RUNS];
    size_t n = (size_t)bench->n_runs;
    memcpy(sorted, measurement->rates, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_numbers);
    measurement->median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    measurement->best = sorted[n - 1];
}

static int measure_all(struct bench *bench)
{
    double warm_up;
    int status = measure_one(bench, DECODE_PROMPT, 8, false, &warm_up);
    for (int32_t i = 0; i < bench->n_runs && !status; i++) {
        if (bench->prefill.wanted)
            status = measure_one(bench, bench->prefill.n_tokens, 1, true, &bench->prefill.rates[i]);
        if (!status && bench->decode.wanted)
            status = measure_one(bench, bench->decode_prompt, DECODE_TOKENS, false, &bench->decode.rates[i]);
        if (!status && bench->batch.wanted)
            status = measure_batch(bench, &bench->batch.rates[i]);
    }
    summarise(bench, &bench->prefill);
    summarise(bench, &bench->decode);
    summarise(bench, &bench->batch);
    return status;
}

/* What to measure, with prompts of which length; all must fit the context. */
static int choose(struct bench *bench, const struct option_value *values)
{
    const char *only = values[OPTION_MEASURE].text;
    int32_t asked = (int32_t)values[OPTION_PROMPT_TOKENS].integer, context = bench->session.engine_description.context;
    int32_t n_prefill = asked ? asked : context - 2 < PREFILL_TOKENS ? context - 2 : PREFILL_TOKENS;
    bench->decode_prompt = asked ? asked : DECODE_PROMPT;
    bench->prefill = (struct measurement){.name = "prefill", .label = "prompt", .n_tokens = n_prefill};
    bench->decode = (struct measurement){.name = "decode", .label = "one stream", .n_tokens = DECODE_TOKENS};
    bench->batch = (struct measurement){.name = "batch_decode", .label = "16 streams", .n_tokens = BATCH * BATCH_TOKENS};
    struct measurement *all[] = {&bench->prefill, &bench->decode, &bench->batch};
    bool any = false;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        all[i]->wanted = !only || strcmp(only, all[i]->name) == 0;
        any |= all[i]->wanted;
    }
    if (!any)
        return cli_fail("--measure %s is unknown; there are prefill, decode and batch_decode", only);
    int32_t longest = bench->decode_prompt > n_prefill ? bench->decode_prompt : n_prefill, needed = DECODE_PROMPT + DECODE_TOKENS + 1;
    if (bench->prefill.wanted && n_prefill + 2 > needed)
        needed = n_prefill + 2;
    if (bench->decode.wanted && bench->decode_prompt + DECODE_TOKENS + 1 > needed)
        needed = bench->decode_prompt + DECODE_TOKENS + 1;
    if (context < needed)
        return cli_fail("the context holds %" PRId32 " tokens, bench needs %" PRId32 "; use --context N", context, needed);
    bench->prompt = mem_alloc_array((size_t)(longest > DECODE_PROMPT ? longest : DECODE_PROMPT), sizeof *bench->prompt);
    return bench->prompt ? EXIT_OK : cli_fail("out of memory for a prompt of %" PRId32 " tokens", longest);
}

/* ---- Reporting. */

/* Bytes read per token of the one-stream measurement, on average. */
static double bytes_per_token(const struct bench *bench)
{
    return (double)bench->weight_bytes + bench->cache_bytes_per_token * (bench->decode_prompt + DECODE_TOKENS / 2.0);
}

static double share_of_limit(const struct bench *bench)
{
    return bench->bandwidth > 0 ? bench->decode.median * bytes_per_token(bench) / bench->bandwidth : 0;
}

static void print_table(const struct bench *bench)
{
    char bytes[32];
    const struct sampan_engine_description *engine = &bench->session.engine_description;
    const struct measurement *rows[] = {&bench->prefill, &bench->decode, &bench->batch};
    terminal_print("model      %s (%s)\n", bench->session.model_description.path, bench->session.model_description.quantization);
    terminal_print("chip       %s\nnumerics   %s\n\n", engine->chip, engine->system_fingerprint);
    terminal_print("%-14s %-11s %7s %14s %10s\n", "", "", "tokens", "median tok/s", "best");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i]->wanted)
            continue;
        terminal_print("%-14s %-11s %7" PRId32 " %14.1f %10.1f\n", rows[i]->name, rows[i]->label, rows[i]->n_tokens, rows[i]->median, rows[i]->best);
    }
    if (!bench->decode.wanted)
        return;
    terminal_print("\n%s read per token of one stream", format_bytes((uint64_t)bytes_per_token(bench), bytes));
    if (bench->bandwidth > 0)
        terminal_print("; memory gives %.1f GB/s to %" PRId32 " threads, so at most %.1f tokens/s: %.0f%% of that reached\n", bench->bandwidth * 1e-9,
                       bench->threads, bench->bandwidth / bytes_per_token(bench), 100 * share_of_limit(bench));
    else
        terminal_print("; the memory bandwidth could not be measured\n");
}

static void print_json(const struct bench *bench)
{
    const struct sampan_engine_description *engine = &bench->session.engine_description;
    const struct measurement *rows[] = {&bench->prefill, &bench->decode, &bench->batch};
    struct buffer out;
    buffer_init(&out, 1 << 20);
    buffer_append_string(&out, "{\"model\": ");
    json_append_string(&out, bench->session.model_description.path, strlen(bench->session.model_description.path));
    buffer_append_string(&out, ", \"chip\": ");
    json_append_string(&out, engine->chip, strlen(engine->chip));
    buffer_append_string(&out, ", \"system_fingerprint\": ");
    json_append_string(&out, engine->system_fingerprint, strlen(engine->system_fingerprint));
    buffer_printf(&out, ", \"runs\": %" PRId32 ", \"threads\": %" PRId32, bench->n_runs, bench->threads);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i]->wanted)
            continue;
        buffer_printf(&out, ", \"%s\": {\"tokens\": %" PRId32 ", \"tokens_per_second\": %.3f, \"best\": %.3f}", rows[i]->name, rows[i]->n_tokens,
                      rows[i]->median, rows[i]->best);
    }
    buffer_printf(
        &out, ", \"streams\": %d, \"bytes_per_token\": %.0f, \"operations_per_token\": %.0f, \"bandwidth_bytes_per_second\": %.0f, \"share_of_limit\": %.4f}\n",
        BATCH, bytes_per_token(bench), bench->operations_per_token, bench->bandwidth, share_of_limit(bench));
    if (!out.failed)
        terminal_write(out.data, out.length);
    buffer_free(&out);
}

/* ---- The command. */

static int run_bench(const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    static struct bench bench;
    bench = (struct bench){0};
    struct machine machine;
    machine_inspect(&machine);
    bench.n_runs = values[OPTION_RUNS].count ? (int32_t)values[OPTION_RUNS].integer : DEFAULT_RUNS;
    bench.threads = values[OPTION_THREADS].count ? (int32_t)values[OPTION_THREADS].integer : machine.n_usable;
    bench.random = 1;
    int status = session_open_model(&bench.session, arguments);
    if (!status)
        status = session_open_engine(&bench.session, arguments, BATCH);
    if (!status)
        status = find_weights_read(&bench);
    if (!status) {
        const struct sampan_engine_description *engine = &bench.session.engine_description;
        bench.cache_bytes_per_token = engine->cache_tokens ? (double)engine->cache_bytes / (double)engine->cache_tokens : 0;
        status = choose(&bench, values);
    }
    if (!status) {
        bench.bandwidth = bandwidth_measure(bench.threads);
        status = measure_all(&bench);
    }
    mem_free(bench.prompt);
    if (!status && values[OPTION_JSON].count)
        print_json(&bench);
    else if (!status)
        print_table(&bench);
    session_close(&bench.session);
    return status;
}

static const struct option_row bench_options[] = {
    {OPTION_RUNS, "runs", OPTION_IS_INTEGER, "N", "measure so many times and take the median (default: 5)", 1, MAX_RUNS, false},
    {OPTION_MEASURE, "measure", OPTION_IS_TEXT, "NAME", "only one of prefill, decode (of one stream), batch_decode (of 16)", 0, 0, false},
    {OPTION_PROMPT_TOKENS, "prompt-tokens", OPTION_IS_INTEGER, "N", "length of the prompt (default: 512 in prefill, 16 before decoding)", 1, LIMIT_CONTEXT - 1,
     false},
    {OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "print one JSON object", 0, 0, false},
    OPTION_ROWS_ENGINE,
    OPTION_ROWS_END,
};

static const char *const bench_examples[] = {
    "sampan bench                              # the default model on the best chip",
    "sampan bench model.gguf --chip cpu:avx2   # a lower path",
    "sampan bench model.gguf --runs 9 --json",
    NULL,
};

const struct command bench_command = {
    "bench",
    "how fast a model runs here, and how near to the limit",
    "[MODEL]",
    0,
    1,
    bench_options,
    bench_examples,
    "Measures prefill (a prompt of 512 tokens), decoding of one stream and of 16 at once, and the memory bandwidth that limits decoding.",
    run_bench,
};
