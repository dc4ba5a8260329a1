/* How sampan check tells its answers: in detail for one chip, in one row each for several, or as JSON. */
#ifndef CLI_CHECK_REPORT_H
#define CLI_CHECK_REPORT_H

#include "base/buffer.h"
#include "port/check.h"

struct check_row {
    char name[64]; /* "ascend:910B4" */
    struct port_question question;
    struct chip_profile profile; /* what question.profile refers to */
    struct port_answer answer;
};

struct check_report {
    const char *path;
    uint64_t n_parameters;
    const struct program *program;
    int32_t n_rows;
    struct check_row *rows;
};

void check_write_detail(const struct check_report *report, const struct check_row *row, struct buffer *out);
void check_write_table(const struct check_report *report, struct buffer *out);
void check_write_json(const struct check_report *report, struct buffer *out);

#endif
