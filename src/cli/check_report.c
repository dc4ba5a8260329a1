#include "cli/check_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/session.h"
#include "cli/terminal.h"

static const char *const rate_names[RATE_COUNT] = {[RATE_F32] = "f32", [RATE_F16] = "f16", [RATE_BF16] = "bf16", [RATE_INT8] = "int8"};

/* A number for a person: three digits, "-" where it is not known. */
static const char *format_rate(double value, char text[32])
{
    if (value <= 0)
        snprintf(text, 32, "-");
    else
        snprintf(text, 32, value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
    return text;
}

static void print_field(struct buffer *out, const char *name)
{
    buffer_printf(out, "%-16s ", name);
}

/* ---- One chip in detail. */

static void write_refusals(const struct port_answer *answer, struct buffer *out)
{
    for (int32_t i = 0; i < answer->n_refusals; i++) {
        const struct port_refusal *refusal = &answer->refusals[i];
        buffer_printf(out, "  %s (%" PRId32 " operations, %s): %s\n", op_kind_name(refusal->kind), refusal->n_ops, refusal->where, refusal->reason);
    }
}

static void write_weights(const struct port_answer *answer, struct buffer *out)
{
    char published[32], held[32];
    print_field(out, "weights");
    buffer_printf(out, "%s (published: %s)\n", format_bytes(answer->sizes.weight_bytes, held), format_bytes(answer->published_bytes, published));
    for (int32_t i = 0; i < answer->n_forms; i++) {
        const struct port_form *form = &answer->forms[i];
        print_field(out, "");
        buffer_printf(out, "%5" PRId32 " of %-5s as %s: %s (%s)\n", form->n_weights, tensor_types[form->published].name, form->form,
                      format_bytes(form->held_bytes, held), weight_change_name(form->change));
    }
}

static void write_memory(const struct check_row *row, struct buffer *out)
{
    const struct port_answer *answer = &row->answer;
    const struct chip_profile *profile = &row->profile;
    char a[32], b[32], c[32];
    print_field(out, "memory");
    if (answer->sequences_fit < 0) {
        buffer_append_string(out, "not known\n");
    } else {
        bool free_now = profile->is_here && profile->memory_free;
        buffer_printf(out, "%s can be used: %s %s less %s for everything else (%s)\n", format_bytes(answer->usable_bytes, a),
                      format_bytes(free_now ? profile->memory_free : profile->memory_bytes, b), free_now ? "free now" : "in all",
                      format_bytes(profile->memory_reserved, c), profile->memory_source);
    }
    write_weights(answer, out);
    print_field(out, "step buffers");
    buffer_printf(out, "%s for steps of %" PRId32 " tokens\n", format_bytes(answer->sizes.buffer_bytes, a), answer->max_tokens);
    print_field(out, "keys and values");
    buffer_printf(out, "%s per token in %s; %s for a sequence of %" PRId32 " tokens, %s for %" PRId32 "\n", format_bytes(answer->token_bytes, a),
                  tensor_types[answer->cache_type].name, format_bytes(answer->sequence_bytes, b), answer->context, format_bytes(answer->sizes.cache_bytes, c),
                  answer->batch);
    if (answer->sequences_fit < 0)
        return;
    print_field(out, "fits");
    buffer_printf(out, "%s%" PRId64 " sequences of %" PRId32 " tokens; one of up to %" PRId32 " (the model's limit: %" PRId32 ")\n",
                  answer->sequences_fit == LIMIT_SEQUENCES ? "at least " : "", answer->sequences_fit, answer->context, answer->longest_context,
                  row->question.program->context_length);
}

static void write_figures(const struct check_row *row, struct buffer *out)
{
    const struct chip_profile *profile = &row->profile;
    print_field(out, "bandwidth");
    if (profile->memory_bandwidth > 0)
        buffer_printf(out, "%.1f GB/s (%s)\n", profile->memory_bandwidth * 1e-9, profile->bandwidth_source);
    else
        buffer_append_string(out, "not known\n");
    print_field(out, "peak");
    bool any = false;
    for (int rate = 0; rate < RATE_COUNT; rate++) {
        if (profile->peak[rate] > 0)
            buffer_printf(out, "%s%s %.3g T operations/s", any ? ", " : "", rate_names[rate], profile->peak[rate] * 1e-12);
        any = any || profile->peak[rate] > 0;
    }
    if (any)
        buffer_printf(out, " (%s)\n", profile->peak_source);
    else
        buffer_append_string(out, "not known\n");
}

static void write_speed(const struct port_speed *speed, const char *what, struct buffer *out)
{
    char rate[32], bytes[32];
    print_field(out, what);
    buffer_printf(out, "%8s tokens/s   a step moves %s", format_rate(speed->tokens_per_second, rate), format_bytes((uint64_t)speed->bytes, bytes));
    for (int i = 0; i < RATE_COUNT; i++)
        if (speed->operations[i] > 0)
            buffer_printf(out, ", %.3g G %s operations", speed->operations[i] * 1e-9, rate_names[i]);
    if (speed->tokens_per_second > 0)
        buffer_printf(out, "; bound by %s", speed->memory_bound ? "memory" : "arithmetic");
    buffer_append_string(out, "\n");
}

static void write_speeds(const struct check_row *row, struct buffer *out)
{
    const struct port_answer *answer = &row->answer;
    char what[64];
    write_figures(row, out);
    buffer_printf(out, "\nAt most, with %" PRId32 " tokens behind each sequence (and at the start):\n", answer->context);
    write_speed(&answer->speeds[SPEED_ONE_END], "one stream", out);
    write_speed(&answer->speeds[SPEED_ONE_START], "  at the start", out);
    snprintf(what, sizeof what, "%" PRId32 " streams", answer->batch);
    write_speed(&answer->speeds[SPEED_BATCH_END], what, out);
    write_speed(&answer->speeds[SPEED_BATCH_START], "  at the start", out);
    write_speed(&answer->speeds[SPEED_PREFILL], "prompts", out);
    if (row->question.price_per_hour <= 0)
        return;
    char generated[32], prompt[32];
    print_field(out, "cost");
    buffer_printf(out, "at least %s per million tokens generated (%" PRId32 " streams), %s per million of prompt, at %g per hour\n",
                  format_rate(answer->cost_per_million_generated, generated), answer->batch, format_rate(answer->cost_per_million_prompt, prompt),
                  row->question.price_per_hour);
}

static void write_model(const struct check_report *report, struct buffer *out)
{
    char bytes[32];
    print_field(out, "model");
    buffer_printf(out, "%s: %s, %.1f M parameters, %s\n", report->path, report->program->name, (double)report->n_parameters * 1e-6,
                  format_bytes(program_weight_bytes(report->program), bytes));
}

void check_write_detail(const struct check_report *report, const struct check_row *row, struct buffer *out)
{
    const struct port_answer *answer = &row->answer;
    write_model(report, out);
    print_field(out, "chip");
    buffer_printf(out, "%s: %s%s\n", row->name, row->profile.product, row->profile.is_here ? " (here)" : "");
    print_field(out, "runs");
    buffer_printf(out, "%s%s\n", answer->verdict == PORT_RUNS ? "yes" : "no: ", answer->problem);
    write_refusals(answer, out);
    if (answer->n_refusals)
        return;
    buffer_append_string(out, "\n");
    write_memory(row, out);
    buffer_append_string(out, "\n");
    write_speeds(row, out);
}

/* ---- A row for each chip. */

static void write_table_row(const struct check_row *row, bool price, struct buffer *out)
{
    const struct port_answer *answer = &row->answer;
    char weights[32], sequence[32], one[32], batch[32], prompt[32], cost[32], fit[32] = "-";
    buffer_printf(out, "%-22s %-5s ", row->name, answer->verdict == PORT_RUNS ? "yes" : "no");
    if (answer->n_refusals) {
        buffer_printf(out, "%s\n", answer->problem);
        return;
    }
    if (answer->sequences_fit >= 0)
        snprintf(fit, sizeof fit, "%s%" PRId64, answer->sequences_fit == LIMIT_SEQUENCES ? ">=" : "", answer->sequences_fit);
    buffer_printf(out, "%10s %10s %7s %7" PRId32 " %9s %9s %9s", format_bytes(answer->sizes.weight_bytes, weights),
                  format_bytes(answer->sequence_bytes, sequence), fit, answer->batch, format_rate(answer->speeds[SPEED_ONE_END].tokens_per_second, one),
                  format_rate(answer->speeds[SPEED_BATCH_END].tokens_per_second, batch), format_rate(answer->speeds[SPEED_PREFILL].tokens_per_second, prompt));
    if (price)
        buffer_printf(out, " %9s", format_rate(answer->cost_per_million_generated, cost));
    buffer_printf(out, "%s%s\n", *answer->problem ? "  " : "", answer->problem);
}

void check_write_table(const struct check_report *report, struct buffer *out)
{
    bool price = report->rows[0].question.price_per_hour > 0;
    write_model(report, out);
    buffer_printf(out, "\nEach sequence with %" PRId32 " tokens behind it. Speeds are bounds, tokens/s; --chip CHIP shows the figures behind a row.\n\n",
                  report->rows[0].answer.context);
    buffer_printf(out, "%-22s %-5s %10s %10s %7s %7s %9s %9s %9s%s\n", "chip", "runs", "weights", "sequence", "fit", "streams", "one", "all", "prompts",
                  price ? " cost/M" : "");
    for (int32_t i = 0; i < report->n_rows; i++)
        write_table_row(&report->rows[i], price, out);
}

/* ---- JSON. */

static void json_text(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, "\"%s\": ", name);
    if (text)
        json_append_string(out, text, strlen(text));
    else
        buffer_append_string(out, "null");
    buffer_append_string(out, ", ");
}

/* A figure that is 0 where it is not known. */
static void json_known(struct buffer *out, const char *name, double value)
{
    if (value > 0)
        buffer_printf(out, "\"%s\": %.17g, ", name, value);
    else
        buffer_printf(out, "\"%s\": null, ", name);
}

static void json_count(struct buffer *out, const char *name, int64_t value)
{
    if (value < 0)
        buffer_printf(out, "\"%s\": null, ", name);
    else
        buffer_printf(out, "\"%s\": %" PRId64 ", ", name, value);
}

static void json_bytes(struct buffer *out, const char *name, uint64_t value)
{
    buffer_printf(out, "\"%s\": %" PRIu64 ", ", name, value);
}

static void json_refusals(const struct port_answer *answer, struct buffer *out)
{
    buffer_append_string(out, "\"refused\": [");
    for (int32_t i = 0; i < answer->n_refusals; i++) {
        const struct port_refusal *refusal = &answer->refusals[i];
        buffer_append_string(out, i ? ", {" : "{");
        json_text(out, "operation", op_kind_name(refusal->kind));
        json_text(out, "reason", refusal->reason);
        json_text(out, "where", refusal->where);
        buffer_printf(out, "\"operations\": %" PRId32 "}", refusal->n_ops);
    }
    buffer_append_string(out, "], ");
}

static void json_figures(const struct chip_profile *profile, struct buffer *out)
{
    buffer_append_string(out, "\"figures\": {");
    json_known(out, "memory_bytes", (double)profile->memory_bytes);
    json_known(out, "memory_free_bytes", (double)profile->memory_free);
    json_bytes(out, "memory_reserved_bytes", profile->memory_reserved);
    json_text(out, "memory_source", profile->memory_source);
    json_known(out, "bandwidth_bytes_per_second", profile->memory_bandwidth);
    json_text(out, "bandwidth_source", profile->bandwidth_source);
    for (int rate = 0; rate < RATE_COUNT; rate++) {
        char name[64];
        snprintf(name, sizeof name, "peak_%s_operations_per_second", rate_names[rate]);
        json_known(out, name, profile->peak[rate]);
    }
    buffer_append_string(out, "\"peak_source\": ");
    if (profile->peak_source)
        json_append_string(out, profile->peak_source, strlen(profile->peak_source));
    else
        buffer_append_string(out, "null");
    buffer_append_string(out, "}, ");
}

static void json_forms(const struct port_answer *answer, struct buffer *out)
{
    buffer_append_string(out, "\"held_as\": [");
    for (int32_t i = 0; i < answer->n_forms; i++) {
        const struct port_form *form = &answer->forms[i];
        buffer_append_string(out, i ? ", {" : "{");
        json_text(out, "published", tensor_types[form->published].name);
        json_text(out, "form", form->form);
        json_text(out, "change", weight_change_name(form->change));
        json_bytes(out, "published_bytes", form->published_bytes);
        json_bytes(out, "bytes", form->held_bytes);
        buffer_printf(out, "\"weights\": %" PRId32 "}", form->n_weights);
    }
    buffer_append_string(out, "], ");
}

static void json_speed(const struct port_speed *speed, const char *name, struct buffer *out)
{
    buffer_printf(out, "\"%s\": {\"streams\": %" PRId32 ", \"position\": %" PRId32 ", \"bytes_per_step\": %.0f, ", name, speed->batch, speed->position,
                  speed->bytes);
    for (int rate = 0; rate < RATE_COUNT; rate++)
        if (speed->operations[rate] > 0)
            buffer_printf(out, "\"%s_operations_per_step\": %.0f, ", rate_names[rate], speed->operations[rate]);
    json_known(out, "memory_seconds", speed->memory_seconds);
    json_known(out, "compute_seconds", speed->compute_seconds);
    json_known(out, "tokens_per_second", speed->tokens_per_second);
    buffer_printf(out, "\"bound_by\": %s}", speed->tokens_per_second <= 0 ? "null" : speed->memory_bound ? "\"memory\"" : "\"arithmetic\"");
}

static void json_memory(const struct port_answer *answer, struct buffer *out)
{
    json_text(out, "cache_type", tensor_types[answer->cache_type].name);
    json_count(out, "context", answer->context);
    json_count(out, "streams", answer->batch);
    json_forms(answer, out);
    json_bytes(out, "published_weight_bytes", answer->published_bytes);
    json_bytes(out, "weight_bytes", answer->sizes.weight_bytes);
    json_bytes(out, "buffer_bytes", answer->sizes.buffer_bytes);
    json_bytes(out, "cache_bytes_per_token", answer->token_bytes);
    json_bytes(out, "cache_bytes_per_sequence", answer->sequence_bytes);
    json_bytes(out, "cache_bytes", answer->sizes.cache_bytes);
    json_known(out, "usable_bytes", (double)answer->usable_bytes);
    json_count(out, "sequences_fit", answer->sequences_fit);
    json_count(out, "longest_context", answer->longest_context);
}

static void json_row(const struct check_row *row, struct buffer *out)
{
    static const char *const speed_names[PORT_SPEEDS] = {"one_stream_start", "one_stream", "all_streams_start", "all_streams", "prompt"};
    const struct port_answer *answer = &row->answer;
    buffer_append_string(out, "{");
    json_text(out, "chip", row->name);
    json_text(out, "product", row->profile.product);
    buffer_printf(out, "\"here\": %s, \"runs\": %s, ", row->profile.is_here ? "true" : "false", answer->verdict == PORT_RUNS ? "true" : "false");
    json_text(out, "verdict", port_verdict_name(answer->verdict));
    json_text(out, "problem", *answer->problem ? answer->problem : NULL);
    json_refusals(answer, out);
    if (!answer->n_refusals) {
        json_memory(answer, out);
        buffer_append_string(out, "\"speeds\": {");
        for (int i = 0; i < PORT_SPEEDS; i++) {
            buffer_append_string(out, i ? ", " : "");
            json_speed(&answer->speeds[i], speed_names[i], out);
        }
        buffer_append_string(out, "}, ");
        json_known(out, "price_per_hour", row->question.price_per_hour);
        json_known(out, "cost_per_million_generated", answer->cost_per_million_generated);
        json_known(out, "cost_per_million_prompt", answer->cost_per_million_prompt);
    }
    json_figures(&row->profile, out);
    out->length -= 2; /* the last comma and space */
    buffer_append_string(out, "}");
}

void check_write_json(const struct check_report *report, struct buffer *out)
{
    buffer_append_string(out, "{");
    json_text(out, "model", report->path);
    json_text(out, "program", report->program->name);
    json_bytes(out, "parameters", report->n_parameters);
    json_bytes(out, "weight_bytes", program_weight_bytes(report->program));
    json_count(out, "context", report->program->context_length);
    buffer_append_string(out, "\"chips\": [");
    for (int32_t i = 0; i < report->n_rows; i++) {
        buffer_append_string(out, i ? ",\n" : "\n");
        json_row(&report->rows[i], out);
    }
    buffer_append_string(out, "]}\n");
}
