/* The table of checks and the loop over it. */
#include <string.h>

#include "checkchip/checkchip.h"

const struct check_row check_table[] = {
    {"embed", check_embed, bench_embed},    {"norm", check_norm, bench_norm},    {"linear", check_linear, bench_linear},
    {"split", check_split, NULL},           {"rope", check_rope, bench_rope},    {"attention", check_attention, bench_attention},
    {"edits", check_edits, NULL},           {"gated", check_gated, bench_gated}, {"select", check_select, NULL},
    {"logits", check_logits, bench_logits}, {"steps", check_sources, NULL},      {NULL, NULL, NULL},
};

void checkchip_list(FILE *out)
{
    for (const struct check_row *row = check_table; row->name; row++)
        fprintf(out, "%s%s\n", row->name, row->bench ? " (with --bench)" : "");
}

static int open_chip(const struct checkchip_options *options, const char *more, struct chip **chip, struct error *err)
{
    if (options->interface)
        return options->interface->open("", more, chip, err);
    if (!*more)
        return chip_open(options->chip, chip, err);
    char name[256];
    snprintf(name, sizeof name, "%s,%s", options->chip ? options->chip : "auto", more);
    return chip_open(name, chip, err);
}

static void close_chip(struct chip *chip)
{
    if (chip)
        chip->interface->close(chip);
}

static void run_table(struct context *context)
{
    const struct checkchip_options *options = context->options;
    for (const struct check_row *row = check_table; row->name; row++) {
        if (options->op && strncmp(row->name, options->op, strlen(options->op)) != 0)
            continue;
        context->random.state = options->seed; /* a check alone is the same as among all */
        if (!options->bench)
            row->check(context);
        else if (row->bench)
            row->bench(context);
    }
}

int checkchip_run(const struct checkchip_options *options, struct checkchip_totals *totals, struct error *err)
{
    struct context context = {.options = options};
    *totals = context.totals;
    int code = chip_open("reference", &context.reference, err);
    if (code)
        return code;
    code = open_chip(options, "", &context.tested, err);
    if (code) {
        close_chip(context.reference);
        return code;
    }
    context.tested->interface->describe(context.tested, &context.description);
    const char *given = options->chip ? options->chip : "";
    if (!options->bench && !strstr(given, "threads="))
        for (int w = 0; w < 2; w++)
            if (open_chip(options, w ? "threads=2" : "threads=1", &context.workers[w], NULL))
                context.workers[w] = NULL;
    static const char *const guarantees[] = {"none", "batch", "split"};
    fprintf(options->out, "%s (%s), promises: %s, worker counts compared: %s, seed %llu\n", context.description.name, context.description.numerics_id,
            guarantees[context.description.guarantee], context.workers[0] && context.workers[1] ? "1 and 2" : "none", (unsigned long long)options->seed);
    run_table(&context);
    *totals = context.totals;
    close_chip(context.workers[0]);
    close_chip(context.workers[1]);
    close_chip(context.tested);
    close_chip(context.reference);
    return 0;
}
