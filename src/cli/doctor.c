/* sampan doctor: what this machine has and what is wrong with it; and the first-day report of a chip. Every row that is not well says what to do. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "chip/self_test.h"
#include "cli/doctor_machine.h"
#include "cli/session.h"
#include "cli/terminal.h"

enum { MAX_DEVICES = 64, MAX_KINDS = 16 };

struct doctor {
    struct doctor_machine machine;
    struct report report;
    struct chip_description devices[MAX_DEVICES];
    char sections[MAX_DEVICES][32]; /* of chips; the report refers to them */
    int n_sections;
};

static const char *make_section(struct doctor *doctor, const char *chip)
{
    char *section = doctor->sections[doctor->n_sections < MAX_DEVICES - 1 ? doctor->n_sections++ : MAX_DEVICES - 1];
    snprintf(section, sizeof doctor->sections[0], "chip %s", chip);
    return section;
}

/* ---- Chips. */

static void describe_chip(struct chip *chip, struct report *report)
{
    static const char *const guarantees[] = {
        [GUARANTEE_NONE] = "none: results may depend on what else runs",
        [GUARANTEE_BATCH] = "batch: a row's result does not depend on the others",
        [GUARANTEE_SPLIT] = "split: nor on how many chips share a sum",
    };
    struct chip_description description;
    char total[32], available[32];
    chip->interface->describe(chip, &description);
    report_add(report, REPORT_FACT, "name", NULL, "%s", description.name);
    report_add(report, REPORT_FACT, "numerics", NULL, "%s, guarantee %s", description.numerics_id, guarantees[description.guarantee]);
    if (description.memory_total)
        report_add(report, REPORT_FACT, "memory", NULL, "%s, %s free", format_bytes(description.memory_total, total),
                   format_bytes(description.memory_available, available));
}

static int examine_open_chip(struct chip *chip, const char *profile, struct report *report, struct error *err)
{
    struct error problem;
    describe_chip(chip, report);
    if (chip->interface->health(chip, &problem))
        report_add(report, REPORT_BROKEN, "health", "restart the device or its driver; see the chip's own message", "%s", problem.message);
    else
        report_add(report, REPORT_WELL, "health", NULL, "well");
    int code = chip->interface->diagnose ? chip->interface->diagnose(chip, report, err) : 0;
    return code ? code : chip_self_test(chip, profile, report, err);
}

static int examine_chip(struct doctor *doctor, const char *name)
{
    struct report *report = &doctor->report;
    struct error err;
    struct chip *chip;
    char profile[64];
    report->section = make_section(doctor, name);
    if (!chip_split_profile(name, profile, sizeof profile))
        return cli_usage("--chip is '%s': no profile has so long a name", name);
    if (chip_open(name, &chip, &err)) {
        report_add(report, REPORT_BROKEN, "open", "see the message; sampan doctor without --chip lists what is here", "%s", err.message);
        return EXIT_OK;
    }
    int code = examine_open_chip(chip, profile, report, &err);
    chip->interface->close(chip);
    return code ? cli_fail("%s", err.message) : EXIT_OK;
}

/* How many devices of a kind there are, each named. */
static int list_kind(struct doctor *doctor, const struct chip_interface *chip)
{
    int n = chip->probe(doctor->devices, MAX_DEVICES);
    for (int i = 0; i < n; i++)
        report_add(&doctor->report, REPORT_FACT, chip->kind, NULL, "%s", doctor->devices[i].name);
    if (n < 1)
        report_add(&doctor->report, REPORT_FACT, chip->kind, NULL, "none found");
    return n;
}

/* All kinds are listed, then the first device of each examined. The reference is what the others are compared with. */
static int examine_chips(struct doctor *doctor)
{
    bool found[MAX_KINDS] = {false};
    int status = EXIT_OK;
    doctor->report.section = "chips";
    for (size_t k = 0; k < MAX_KINDS && chip_registry[k]; k++)
        found[k] = list_kind(doctor, chip_registry[k]) > 0 && strcmp(chip_registry[k]->kind, "reference") != 0;
    for (size_t k = 0; !status && k < MAX_KINDS && chip_registry[k]; k++)
        if (found[k])
            status = examine_chip(doctor, chip_registry[k]->kind);
    return status;
}

/* ---- Telling. */

static void print_row(const struct report_row *row, bool new_section)
{
    static const char *const marks[REPORT_VERDICT_COUNT] = {"  ", "ok", "! ", "X "};
    bool loud = row->verdict == REPORT_WARNING || row->verdict == REPORT_BROKEN;
    if (new_section) {
        terminal_style(STYLE_BOLD);
        terminal_print("%s\n", row->section);
        terminal_style(STYLE_PLAIN);
    }
    if (loud)
        terminal_style(STYLE_BOLD);
    terminal_print("  %s %-26s ", marks[row->verdict], row->name);
    terminal_write_text(row->value, strlen(row->value));
    terminal_print("\n");
    if (loud)
        terminal_style(STYLE_PLAIN);
    if (*row->advice)
        terminal_print("     %-26s -> %s\n", "", row->advice);
}

static void print_report(const struct report *report)
{
    size_t warnings = report_count(report, REPORT_WARNING), broken = report_count(report, REPORT_BROKEN);
    for (size_t i = 0; i < report->n_rows; i++)
        print_row(&report->rows[i], !i || strcmp(report->rows[i].section, report->rows[i - 1].section) != 0);
    if (broken)
        terminal_print("\n%zu broken, %zu warning%s.\n", broken, warnings, warnings == 1 ? "" : "s");
    else if (warnings)
        terminal_print("\nNothing is broken; %zu warning%s.\n", warnings, warnings == 1 ? "" : "s");
    else
        terminal_print("\nAll is well.\n");
}

static void json_member(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, "\"%s\": ", name);
    json_append_string(out, text, strlen(text));
    buffer_append_string(out, ", ");
}

static int print_json(const struct report *report)
{
    size_t warnings = report_count(report, REPORT_WARNING), broken = report_count(report, REPORT_BROKEN);
    struct buffer out;
    buffer_init(&out, 16 << 20);
    buffer_printf(&out, "{\"verdict\": \"%s\", \"warnings\": %zu, \"broken\": %zu, \"rows\": [",
                  broken     ? "broken"
                  : warnings ? "warnings"
                             : "well",
                  warnings, broken);
    for (size_t i = 0; i < report->n_rows; i++) {
        const struct report_row *row = &report->rows[i];
        buffer_append_string(&out, i ? ",\n{" : "\n{");
        json_member(&out, "section", row->section);
        json_member(&out, "name", row->name);
        json_member(&out, "value", row->value);
        if (row->number >= 0)
            buffer_printf(&out, "\"number\": %.17g, ", row->number);
        json_member(&out, "advice", row->advice);
        buffer_printf(&out, "\"verdict\": \"%s\"}", report_verdict_name(row->verdict));
    }
    buffer_append_string(&out, "]}\n");
    int status = out.failed ? cli_fail("out of memory while writing the report") : EXIT_OK;
    if (!status)
        terminal_write(out.data, out.length);
    buffer_free(&out);
    return status;
}

static int examine(struct doctor *doctor, const struct option_value *chip)
{
    if (chip->count)
        return examine_chip(doctor, chip->text);
    doctor_inspect_machine(&doctor->machine);
    doctor_judge_machine(&doctor->machine, &doctor->report);
    return examine_chips(doctor);
}

static int run_doctor(const struct arguments *arguments)
{
    struct doctor *doctor = mem_zalloc(sizeof *doctor);
    if (!doctor)
        return cli_fail("out of memory while looking at this machine");
    report_init(&doctor->report);
    int status = examine(doctor, &arguments->values[OPTION_CHIP]);
    if (!status && doctor->report.failed)
        status = cli_fail("out of memory while looking at this machine");
    if (!status && arguments->values[OPTION_JSON].count)
        status = print_json(&doctor->report);
    else if (!status)
        print_report(&doctor->report);
    if (!status && report_count(&doctor->report, REPORT_BROKEN))
        status = EXIT_FAILED;
    report_free(&doctor->report);
    mem_free(doctor);
    return status;
}

static const struct option_row doctor_options[] = {
    {OPTION_CHIP, "chip", OPTION_IS_TEXT, "CHIP", "only this chip, its first-day report: cpu, cpu:avx2, reference, ... (default: the machine, every chip)", 0,
     0, false},
    {OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "print one JSON object", 0, 0, false},
    OPTION_ROWS_END,
};

static const char *const doctor_examples[] = {
    "sampan doctor                   # this machine: CPUs, memory, chips, and what to do about it",
    "sampan doctor --chip cpu:avx2   # one chip: each operation beside the reference, bandwidth, peaks",
    "sampan doctor --json            # to send with a question",
    NULL,
};

const struct command doctor_command = {
    "doctor",
    "this machine and its chips: what is there, what is wrong, what to do",
    "",
    0,
    0,
    doctor_options,
    doctor_examples,
    "Looks at CPUs, caches, memory, limits and chips; measures memory bandwidth and peak arithmetic; tries every operation of each chip on a small shape "
    "beside\n"
    "the reference chip. Rows marked ! could be better, rows marked X are broken; each says what to do. Exit code 1: something is broken.",
    run_doctor,
};
