#include "cli/quantization_report.h"

#include <inttypes.h>
#include <string.h>

#include "chip/weight_part.h"
#include "cli/session.h"
#include "cli/terminal.h"

struct report {
    struct buffer *out;
    bool json;
    int n_written;
    uint64_t stored_bytes, bytes;
};

static void write_part(struct report *report, const struct weight_part *part, const struct quantization_error *measured)
{
    const char *stored = tensor_types[part->stored_type].name, *type = tensor_types[part->type].name;
    if (report->json) {
        buffer_append_string(report->out, report->n_written ? ",\n{\"name\": " : "\n{\"name\": ");
        json_append_string(report->out, part->name, strlen(part->name));
        buffer_printf(report->out, ", \"from\": \"%s\", \"to\": \"%s\", \"relative_rms\": %.6g, \"largest\": %.6g}", stored, type, measured->relative_rms,
                      measured->largest);
    } else {
        buffer_printf(report->out, "  %-52s %4s > %-5s  %.6f  %.6g\n", part->name, stored, type, measured->relative_rms, measured->largest);
    }
    report->n_written++;
    report->stored_bytes += weight_part_stored_bytes(part);
    report->bytes += part->bytes;
}

/* A tied head refers to the embedding's part a second time. */
static bool was_written(const struct program *program, int32_t weight, const struct weight_part *part)
{
    for (int32_t w = 0; w < weight; w++)
        for (int32_t p = 0; p < program->weights[w].n_parts; p++)
            if (weight_part_is_same(&program->weights[w].parts[p], part))
                return true;
    return false;
}

int quantization_report(const struct program *program, bool json, struct buffer *out)
{
    struct report report = {.out = out, .json = json};
    char before[32], after[32];
    buffer_append_string(out, json ? ",\n\"quantization\": [" : "\nquantised while loading: relative root-mean-square error, largest error\n");
    for (int32_t w = 0; w < program->n_weights; w++) {
        for (int32_t p = 0; p < program->weights[w].n_parts; p++) {
            const struct weight_part *part = &program->weights[w].parts[p];
            struct quantization_error measured;
            struct error err;
            if (!part->is_quantized || was_written(program, w, part))
                continue;
            if (interrupts_pending())
                return EXIT_FAILED;
            if (weight_part_measure_error(part, &measured, &err))
                return cli_fail("%s", err.message);
            write_part(&report, part, &measured);
        }
    }
    if (json)
        buffer_append_char(out, ']');
    else
        buffer_printf(out, "  %d tensors, %s become %s\n", report.n_written, format_bytes(report.stored_bytes, before), format_bytes(report.bytes, after));
    return EXIT_OK;
}
