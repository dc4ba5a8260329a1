/* A report on something's health: rows of what was found, a verdict, and what to do about it. doctor prints it; chips add rows about themselves.
 *
 * Texts are copied and cut at their size; a failure to grow is kept in `failed`, so that a writer of many rows checks once at the end.
 * Thread: one at a time. */
#ifndef BASE_REPORT_H
#define BASE_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum report_verdict {
    REPORT_FACT,    /* neither good nor bad */
    REPORT_WELL,    /* looked at, and as it should be */
    REPORT_WARNING, /* works, but could be better: the advice says how */
    REPORT_BROKEN,  /* does not work: the advice says what to do */
    REPORT_VERDICT_COUNT
};

struct report_row {
    char section[32]; /* "memory" */
    char name[64];    /* "huge pages" */
    char value[256];  /* "2 MiB, madvise" */
    double number;    /* the value where it is one, in units of 1 (bytes, bytes/s, ...); negative: it is none */
    enum report_verdict verdict;
    char advice[256]; /* "" for facts and what is well */
};

struct report {
    const char *section; /* of the rows added next; a static string */
    struct report_row *rows;
    size_t n_rows, capacity;
    int failed; /* 0, or SAMPAN_ENOMEM */
};

void report_init(struct report *report);
void report_free(struct report *report);

/* Adds a row; advice may be NULL. */
void report_add(struct report *report, enum report_verdict verdict, const char *name, const char *advice, const char *format, ...) BASE_PRINTF(5, 6);

/* Gives the row added last its number. */
void report_number(struct report *report, double number);

size_t report_count(const struct report *report, enum report_verdict verdict);
const char *report_verdict_name(enum report_verdict verdict); /* "fact", "well", "warning", "broken" */

#endif
