#include "base/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { FIRST_CAPACITY = 32 };

void report_init(struct report *report)
{
    *report = (struct report){.section = ""};
}

void report_free(struct report *report)
{
    mem_free(report->rows);
    report_init(report);
}

/* Room for one more row; NULL with `failed` set. */
static struct report_row *append_row(struct report *report)
{
    if (report->n_rows == report->capacity) {
        size_t capacity = report->capacity ? 2 * report->capacity : FIRST_CAPACITY;
        struct report_row *rows = mem_realloc_array(report->rows, capacity, sizeof *rows);
        if (!rows) {
            report->failed = SAMPAN_ENOMEM;
            return NULL;
        }
        report->rows = rows;
        report->capacity = capacity;
    }
    return &report->rows[report->n_rows++];
}

void report_add(struct report *report, enum report_verdict verdict, const char *name, const char *advice, const char *format, ...)
{
    struct report_row *row = append_row(report);
    va_list arguments;
    if (!row)
        return;
    va_start(arguments, format);
    vsnprintf(row->value, sizeof row->value, format, arguments);
    va_end(arguments);
    row->verdict = verdict;
    row->number = -1;
    snprintf(row->section, sizeof row->section, "%s", report->section);
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->advice, sizeof row->advice, "%s", advice ? advice : "");
}

void report_number(struct report *report, double number)
{
    if (report->n_rows && !report->failed)
        report->rows[report->n_rows - 1].number = number;
}

size_t report_count(const struct report *report, enum report_verdict verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < report->n_rows; i++)
        count += report->rows[i].verdict == verdict;
    return count;
}

const char *report_verdict_name(enum report_verdict verdict)
{
    static const char *const names[REPORT_VERDICT_COUNT] = {"fact", "well", "warning", "broken"};
    return (unsigned)verdict < REPORT_VERDICT_COUNT ? names[verdict] : "unknown";
}
