#include "serve/metrics.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

/* Upper bounds of the buckets, seconds. */
static const double first_token_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
static const double per_token_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1};
static const double duration_bounds[] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};

#define MAX_BOUNDS 16
#define N_STATUSES 600

struct histogram {
    const char *name, *help;
    const double *bounds;
    int n_bounds;
    uint64_t counts[MAX_BOUNDS + 1];
    double sum;
};

struct metrics {
    uint64_t statuses[N_STATUSES];
    uint64_t finishes[SAMPAN_FINISH_ERROR + 1];
    uint64_t prompt_tokens, cached_tokens, generation_tokens;
    struct histogram first_token, per_token, duration;
};

#define HISTOGRAM(histogram_name, text, list)                                                                                                                  \
    (struct histogram)                                                                                                                                         \
    {                                                                                                                                                          \
        .name = histogram_name, .help = text, .bounds = list, .n_bounds = sizeof(list) / sizeof *(list)                                                        \
    }

int metrics_create(struct metrics **result, struct error *err)
{
    struct metrics *metrics = mem_zalloc(sizeof *metrics);
    *result = metrics;
    if (!metrics)
        return error_no_memory(err, "starting the server");
    metrics->first_token = HISTOGRAM("sampan_time_to_first_token_seconds", "From a request's arrival to its first token", first_token_bounds);
    metrics->per_token = HISTOGRAM("sampan_time_per_output_token_seconds", "Mean time between the tokens of an answer", per_token_bounds);
    metrics->duration = HISTOGRAM("sampan_request_duration_seconds", "From a request's arrival to the end of its answer", duration_bounds);
    return 0;
}

void metrics_free(struct metrics *metrics)
{
    mem_free(metrics);
}

static void observe(struct histogram *histogram, double seconds)
{
    int i = 0;
    while (i < histogram->n_bounds && seconds > histogram->bounds[i])
        i++;
    histogram->counts[i]++;
    histogram->sum += seconds;
}

void metrics_count_exchange(struct metrics *metrics, const struct exchange *exchange)
{
    if (exchange->status >= 0 && exchange->status < N_STATUSES)
        metrics->statuses[exchange->status]++;
}

void metrics_count_event(struct metrics *metrics, const struct generation *generation, const struct sampan_event *event)
{
    (void)generation;
    if (event->finish == SAMPAN_FINISH_NONE)
        return;
    metrics->finishes[event->finish]++;
    metrics->prompt_tokens += (uint64_t)event->n_prompt_tokens;
    metrics->cached_tokens += (uint64_t)event->n_cached_tokens;
    metrics->generation_tokens += (uint64_t)event->n_generated_tokens;
}

void metrics_count_generation(struct metrics *metrics, const struct generation *generation)
{
    uint64_t now = clock_now_ns(&clock_monotonic);
    int32_t n = generation_n_completion_tokens(generation) / generation->n_choices;
    observe(&metrics->duration, (double)(now - generation->started_ns) * 1e-9);
    if (generation->first_token_ns)
        observe(&metrics->first_token, (double)(generation->first_token_ns - generation->started_ns) * 1e-9);
    if (generation->first_token_ns && n > 1)
        observe(&metrics->per_token, (double)(now - generation->first_token_ns) * 1e-9 / (n - 1));
}

/* ---- Text. */

static void write_one(struct buffer *out, const char *name, const char *type, const char *help, double value)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

static void write_histogram(struct buffer *out, const struct histogram *histogram)
{
    uint64_t sum = 0;
    buffer_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", histogram->name, histogram->help, histogram->name);
    for (int i = 0; i <= histogram->n_bounds; i++) {
        sum += histogram->counts[i];
        if (i < histogram->n_bounds)
            buffer_printf(out, "%s_bucket{le=\"%g\"} %llu\n", histogram->name, histogram->bounds[i], (unsigned long long)sum);
        else
            buffer_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n", histogram->name, (unsigned long long)sum);
    }
    buffer_printf(out, "%s_sum %.9g\n%s_count %llu\n", histogram->name, histogram->sum, histogram->name, (unsigned long long)sum);
}

static void write_engine(struct buffer *out, const struct server *server)
{
    struct sampan_statistics s = {.size = sizeof s};
    if (sampan_engine_statistics(server->engine, &s))
        return;
    write_one(out, "sampan_requests_running", "gauge", "Choices being computed", s.n_running);
    write_one(out, "sampan_requests_waiting", "gauge", "Choices waiting for a place", s.n_waiting);
    write_one(out, "sampan_cache_blocks", "gauge", "Blocks of keys and values", s.n_blocks_total);
    write_one(out, "sampan_cache_blocks_used", "gauge", "Blocks that running choices hold", s.n_blocks_used);
    write_one(out, "sampan_cache_blocks_cached", "gauge", "Blocks kept for prompts that begin alike", s.n_blocks_cached);
    write_one(out, "sampan_engine_steps_total", "counter", "Steps computed", (double)s.n_steps);
    write_one(out, "sampan_preemptions_total", "counter", "Choices that gave their blocks back and were computed again", (double)s.n_preemptions);
    write_one(out, "sampan_chip_losses_total", "counter", "Losses of the chip, after which all choices went on", (double)s.n_rebuilds);
}

void metrics_write(const struct metrics *metrics, const struct server *server, struct buffer *out)
{
    static const char *const finishes[] = {NULL, "end", "stop", "length", "cancelled", "error"};
    buffer_printf(out,
                  "# HELP sampan_build_info Version and what runs\n# TYPE sampan_build_info gauge\nsampan_build_info{version=\"%s\",fingerprint=\"%s\"} 1\n",
                  sampan_version(), server->engine_description.system_fingerprint);
    buffer_printf(out, "# HELP sampan_http_requests_total Requests by the status of their answer\n# TYPE sampan_http_requests_total counter\n");
    for (int i = 0; i < N_STATUSES; i++)
        if (metrics->statuses[i])
            buffer_printf(out, "sampan_http_requests_total{status=\"%d\"} %llu\n", i, (unsigned long long)metrics->statuses[i]);
    buffer_printf(out, "# HELP sampan_choices_total Answers by how they ended\n# TYPE sampan_choices_total counter\n");
    for (int i = SAMPAN_FINISH_END; i <= SAMPAN_FINISH_ERROR; i++)
        buffer_printf(out, "sampan_choices_total{finish=\"%s\"} %llu\n", finishes[i], (unsigned long long)metrics->finishes[i]);
    write_one(out, "sampan_prompt_tokens_total", "counter", "Tokens of prompts", (double)metrics->prompt_tokens);
    write_one(out, "sampan_prompt_tokens_cached_total", "counter", "Tokens of prompts that were not computed again", (double)metrics->cached_tokens);
    write_one(out, "sampan_generation_tokens_total", "counter", "Tokens of answers", (double)metrics->generation_tokens);
    write_one(out, "sampan_connections", "gauge", "Open connections", server->n_connections);
    write_engine(out, server);
    write_histogram(out, &metrics->first_token);
    write_histogram(out, &metrics->per_token);
    write_histogram(out, &metrics->duration);
}
