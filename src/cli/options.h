/* The options parser and the help text, both driven by a command's rows. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdio.h>

#include "cli/command.h"

/* Parses argv[0..argc) (what follows the command's name). Accepts "--name value", "--name=value", and "--" before operands. Returns EXIT_OK, or EXIT_USAGE
 * after printing what is wrong and what was perhaps meant. Operands are gathered at the front of argv. */
int options_parse(const struct command *command, int argc, char **argv, struct arguments *arguments);

/* One value of an option into `value`, checked; EXIT_USAGE after saying what is wrong with it. The text must outlive the value. */
int options_take_value(const struct option_row *row, const char *text, struct option_value *value);

void options_print_help(const struct command *command, FILE *out);

/* Of `n` names the one nearest to `word`, when it is near enough to have been meant; NULL otherwise. */
const char *options_nearest(const char *word, const char *(*name_at)(const void *table, int index), const void *table);

#endif
