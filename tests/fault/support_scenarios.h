/* Scenarios: what a program does with the library, from opening to closing, and what a person does with the commands. Each can be run any number of times,
 * gives a code and a digest of everything that came out, and leaves nothing behind. */
#ifndef TESTS_FAULT_SUPPORT_SCENARIOS_H
#define TESTS_FAULT_SUPPORT_SCENARIOS_H

#include <stdint.h>

struct scenario {
    const char *name;
    /* 0 or a code of sampan_errors.h, with its reason in `message` (ERROR_MESSAGE_SIZE bytes). */
    int (*run)(const struct scenario *scenario, uint64_t *digest, char *message);
    const char *model;        /* "gguf" or "folder" */
    const char *chip;         /* of those that open an engine */
    const char *const *words; /* of a command: [.., NULL] */
    const char *input;        /* ditto: standard input */
};

extern const struct scenario scenarios[]; /* ends with name NULL */

#endif
