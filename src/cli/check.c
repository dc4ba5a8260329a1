/* sampan check: will this model run on that chip, how much of it fits, how fast can it be at most, what does it cost. It reads headers only, so it answers for
 * models far larger than this machine, and for chips that are not here. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cli/check_report.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "file/checkpoint.h"
#include "model/model.h"
#include "model/quantize.h"
#include "port/ops_table.h"

#define PROGRAM_MEMORY_LIMIT ((size_t)1 << 30)

struct checking {
    const struct option_value *values;
    struct buffer path;
    struct checkpoint *checkpoint;
    struct arena arena;
    struct check_report report;
    struct buffer out;
};

/* ---- The model. */

static int open_model(struct checking *checking, const struct arguments *arguments)
{
    struct check_report *report = &checking->report;
    struct model_options options = {0};
    enum tensor_type quantize;
    struct error err;
    const char *asked = checking->values[OPTION_QUANTIZE].text;
    if (asked && quantize_type_from_name(asked, &quantize, &err))
        return cli_usage("%s", err.message);
    options.quantize = asked ? &quantize : NULL;
    int status = session_find_model(arguments, &checking->path);
    if (status)
        return status;
    if (checkpoint_open(checking->path.data, &checking->checkpoint, &err) ||
        model_write_program(checking->checkpoint, &options, &checking->arena, &report->program, &err))
        return cli_fail("%s", err.message);
    report->path = checking->path.data;
    for (size_t i = 0; i < checking->checkpoint->n_tensors; i++) {
        uint64_t elements = 1;
        for (int d = 0; d < checking->checkpoint->tensors[i].n_dimensions; d++)
            elements *= checking->checkpoint->tensors[i].shape[d]; /* the reader checked that their bytes lie in the file */
        report->n_parameters += elements;
    }
    return EXIT_OK;
}

/* ---- The chips. */

static int add_row(struct checking *checking, const struct chip_interface *chip, const struct chip_profile *profile, int32_t capacity)
{
    struct check_report *report = &checking->report;
    if (report->n_rows == capacity)
        return cli_fail("more than %d profiles", capacity);
    struct check_row *row = &report->rows[report->n_rows++];
    snprintf(row->name, sizeof row->name, "%s%s%s", chip->kind, *profile->name ? ":" : "", profile->name);
    row->profile = *profile;
    row->question.chip = chip;
    return EXIT_OK;
}

/* The profile asked for; without one the best that is here, else the best there is. */
static int add_named_chip(struct checking *checking, const struct chip_interface *chip, const char *wanted, const struct chip_profile *profiles, int n)
{
    struct buffer names;
    int chosen = -1;
    for (int i = 0; i < n && chosen < 0; i++)
        if (*wanted ? strcmp(profiles[i].name, wanted) == 0 : profiles[i].is_here)
            chosen = i;
    if (chosen < 0 && !*wanted && n)
        chosen = 0;
    if (chosen >= 0)
        return add_row(checking, chip, &profiles[chosen], 1);
    buffer_init(&names, 4096);
    for (int i = 0; i < n; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", *profiles[i].name ? profiles[i].name : "none needed");
    int status = cli_fail("the chip '%s' has no profile '%s'; there are: %s", chip->kind, wanted, names.data ? names.data : "none");
    buffer_free(&names);
    return status;
}

static int list_named(struct checking *checking, struct chip_profile *profiles)
{
    const char *name = checking->values[OPTION_CHIP].text;
    const struct chip_interface *chip = chip_find_kind(name);
    char wanted[64];
    if (strchr(name, ','))
        return cli_usage("--chip takes KIND or KIND:PROFILE here, without options: '%s'", name);
    if (!chip) {
        struct error err;
        chip_refuse_kind(name, &err);
        return cli_fail("%s", err.message);
    }
    if (!chip_split_profile(name, wanted, sizeof wanted))
        return cli_fail("the chip '%s' has no profile with so long a name", chip->kind);
    return add_named_chip(checking, chip, wanted, profiles, chip->profiles(profiles, CHIP_MAX_PROFILES));
}

static int list_all(struct checking *checking, struct chip_profile *profiles, int32_t capacity)
{
    int status = EXIT_OK;
    for (size_t k = 0; !status && chip_registry[k]; k++) {
        int n = chip_registry[k]->profiles(profiles, CHIP_MAX_PROFILES);
        for (int i = 0; !status && i < n; i++)
            status = add_row(checking, chip_registry[k], &profiles[i], capacity);
    }
    return status;
}

static int list_chips(struct checking *checking)
{
    int32_t kinds = 0;
    while (chip_registry[kinds])
        kinds++;
    int32_t capacity = kinds * CHIP_MAX_PROFILES;
    struct chip_profile *profiles = mem_alloc_array(CHIP_MAX_PROFILES, sizeof *profiles);
    checking->report.rows = mem_zalloc_array((size_t)capacity, sizeof *checking->report.rows);
    if (!profiles || !checking->report.rows) {
        mem_free(profiles);
        return cli_fail("out of memory while checking a model");
    }
    int status = checking->values[OPTION_CHIP].count ? list_named(checking, profiles) : list_all(checking, profiles, capacity);
    mem_free(profiles);
    return status;
}

/* Unknown figures of chips that are here are measured. The bandwidth of a kind is that of its first profile: it is the same memory. */
static int measure(struct check_report *report, int32_t i)
{
    struct check_row *row = &report->rows[i];
    struct error err;
    if (!row->profile.is_here || !row->question.chip->measure)
        return EXIT_OK;
    if (i && report->rows[i - 1].question.chip == row->question.chip && row->profile.memory_bandwidth <= 0)
        row->profile.memory_bandwidth = report->rows[i - 1].profile.memory_bandwidth;
    return row->question.chip->measure(&row->profile, &err) ? cli_fail("%s", err.message) : EXIT_OK;
}

static int choose_cache_type(const struct option_value *value, struct port_question *question)
{
    question->cache_type_given = value->count > 0;
    if (!value->count)
        return EXIT_OK;
    if (!tensor_type_from_name(value->text, &question->cache_type))
        return cli_usage("--cache-type is '%s'; expected f16, bf16, f32 or another element type", value->text);
    return EXIT_OK;
}

static int answer_all(struct checking *checking)
{
    const struct option_value *values = checking->values;
    struct error err;
    int status = EXIT_OK;
    for (int32_t i = 0; !status && i < checking->report.n_rows; i++) {
        struct check_row *row = &checking->report.rows[i];
        row->question.program = checking->report.program;
        row->question.profile = &row->profile;
        row->question.context = (int32_t)values[OPTION_CONTEXT].integer;
        row->question.batch = (int32_t)values[OPTION_BATCH].integer;
        row->question.price_per_hour = values[OPTION_PRICE].number;
        status = choose_cache_type(&values[OPTION_CACHE_TYPE], &row->question);
        if (!status && !values[OPTION_NO_MEASURE].count)
            status = measure(&checking->report, i);
        if (!status && port_check(&row->question, &checking->arena, &row->answer, &err))
            status = cli_fail("%s", err.message);
    }
    return status;
}

/* ---- The command. */

static int print_ops(struct checking *checking)
{
    struct error err;
    if (port_write_ops_table(&checking->out, &err))
        return cli_fail("%s", err.message);
    terminal_write(checking->out.data, checking->out.length);
    return EXIT_OK;
}

/* 1 where the model runs on none of the chips asked about, with a line that says why. */
static int judge(const struct check_report *report)
{
    for (int32_t i = 0; i < report->n_rows; i++)
        if (report->rows[i].answer.verdict == PORT_RUNS)
            return EXIT_OK;
    if (report->n_rows == 1)
        return cli_fail("'%s' does not run on %s: %s", report->path, report->rows[0].name, report->rows[0].answer.problem);
    return cli_fail("'%s' runs on none of %d chips", report->path, report->n_rows);
}

static int print_answers(struct checking *checking)
{
    struct check_report *report = &checking->report;
    if (checking->values[OPTION_JSON].count)
        check_write_json(report, &checking->out);
    else if (checking->values[OPTION_CHIP].count)
        check_write_detail(report, &report->rows[0], &checking->out);
    else
        check_write_table(report, &checking->out);
    if (checking->out.failed)
        return cli_fail("out of memory while writing the report");
    terminal_write_text(checking->out.data, checking->out.length);
    terminal_flush();
    return judge(report);
}

static int run_check(const struct arguments *arguments)
{
    static struct checking checking;
    checking.values = arguments->values;
    bool ops = arguments->values[OPTION_OPS].count;
    if (ops && arguments->n_operands)
        return cli_usage("--ops is about chips, not about a model: leave '%s' out", arguments->operands[0]);
    buffer_init(&checking.path, (size_t)64 << 10);
    buffer_init(&checking.out, (size_t)256 << 20);
    arena_init(&checking.arena, PROGRAM_MEMORY_LIMIT);
    int status = ops ? print_ops(&checking) : open_model(&checking, arguments);
    if (!status && !ops)
        status = list_chips(&checking);
    if (!status && !ops)
        status = answer_all(&checking);
    if (!status && !ops)
        status = print_answers(&checking);
    mem_free(checking.report.rows);
    arena_free(&checking.arena);
    checkpoint_close(checking.checkpoint);
    buffer_free(&checking.out);
    buffer_free(&checking.path);
    return status;
}

static const struct option_row check_options[] = {
    {OPTION_CHIP, "chip", OPTION_IS_TEXT, "CHIP", "one chip in detail: cpu, cpu:avx2, ascend:910B4, ... (default: a row for each)", 0, 0, false},
    {OPTION_CONTEXT, "context", OPTION_IS_INTEGER, "N", "tokens of each sequence (default: 4096, or the model's where that is less)", 1, LIMIT_CONTEXT, false},
    {OPTION_BATCH, "batch", OPTION_IS_INTEGER, "N", "sequences at once (default: 16, or as many as fit)", 1, LIMIT_SEQUENCES, false},
    {OPTION_PRICE, "price", OPTION_IS_NUMBER, "X", "price of the chip per hour, for the cost of tokens", 0, 1e9, false},
    OPTION_ROW_CACHE_TYPE,
    OPTION_ROW_QUANTIZE,
    {OPTION_NO_MEASURE, "no-measure", OPTION_IS_FLAG, NULL, "leave this machine's bandwidth and peaks unknown: no bounds of its speed, but at once", 0, 0,
     false},
    {OPTION_OPS, "ops", OPTION_IS_FLAG, NULL, "instead: the table of operations that each chip supports", 0, 0, false},
    {OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "print one JSON object", 0, 0, false},
    OPTION_ROWS_END,
};

static const char *const check_examples[] = {
    "sampan check model.gguf                                   # every chip known, a row each",
    "sampan check model.gguf --chip cpu --context 32768        # one chip, every figure",
    "sampan check folder --batch 64 --price 1.80 --json        # what 64 streams would cost",
    "sampan check folder --quantize q4_k                       # what --quantize would make of it",
    "sampan check --ops                                        # operation by type by chip",
    NULL,
};

const struct command check_command = {
    "check",
    "will a model run on a chip, how fast at most, at what cost",
    "[MODEL]",
    0,
    1,
    check_options,
    check_examples,
    "Reads headers only; the chip need not be here, and the model may be larger than this machine. Memory is exact, speeds are bounds (memory bandwidth and\n"
    "peak arithmetic), and every figure used is shown with its source. Exit code 1: it would not run; what is refused is told once for each reason.",
    run_check,
};
