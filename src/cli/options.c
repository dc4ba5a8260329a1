#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/terminal.h"

enum { LONGEST_WORD = 64, HELP_COLUMN = 26 };

/* ---- What was perhaps meant: edit distance (Levenshtein 1966, with swaps of neighbours) in two moving rows. */

static int smallest(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

static int edit_distance(const char *a, const char *b)
{
    size_t n = strlen(b);
    int rows[3][LONGEST_WORD + 1];
    if (strlen(a) > LONGEST_WORD || n > LONGEST_WORD)
        return LONGEST_WORD;
    for (size_t j = 0; j <= n; j++)
        rows[1][j] = (int)j;
    for (size_t i = 1; i <= strlen(a); i++) {
        int *now = rows[(i + 1) % 3], *before = rows[i % 3], *older = rows[(i + 2) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            now[j] = smallest(before[j] + 1, now[j - 1] + 1, before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && older[j - 2] + 1 < now[j])
                now[j] = older[j - 2] + 1;
        }
    }
    return rows[(strlen(a) + 1) % 3][n];
}

const char *options_nearest(const char *word, const char *(*name_at)(const void *table, int index), const void *table)
{
    const char *best = NULL;
    int best_distance = strlen(word) <= 3 ? 2 : 3; /* at this distance it is another word */
    for (int i = 0; name_at(table, i); i++) {
        const char *name = name_at(table, i);
        int distance = edit_distance(word, name);
        if (strlen(word) >= 3 && strncmp(word, name, strlen(word)) == 0)
            distance = 1; /* a beginning */
        if (distance < best_distance) {
            best = name;
            best_distance = distance;
        }
    }
    return best;
}

/* ---- Values. */

static int wrong_value(const struct option_row *row, const char *text, const char *expected)
{
    return cli_usage("--%s %s: expected %s", row->name, text, expected);
}

static int parse_bytes(const struct option_row *row, const char *text, struct option_value *value)
{
    static const char suffixes[] = "KMGT";
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    double scale = 1;
    const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
    if (suffix) {
        for (const char *s = suffixes; s <= suffix; s++)
            scale *= 1024;
        end++;
        if (*end == 'i')
            end++;
        if (*end == 'B')
            end++;
    }
    if (end == text || *end || errno || !(number * scale >= 1) || number * scale > 0x1p62)
        return wrong_value(row, text, "a size like 512M or 1.5G");
    value->bytes = (uint64_t)(number * scale);
    return EXIT_OK;
}

static int parse_number(const struct option_row *row, const char *text, struct option_value *value)
{
    char expected[128], *end;
    errno = 0;
    if (row->kind == OPTION_IS_INTEGER) {
        value->integer = strtoll(text, &end, 10);
        value->number = (double)value->integer;
        snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", row->minimum, row->maximum);
    } else {
        value->number = strtod(text, &end);
        snprintf(expected, sizeof expected, "a number from %g to %g", row->minimum, row->maximum);
    }
    if (end == text || *end || errno || !(value->number >= row->minimum && value->number <= row->maximum))
        return wrong_value(row, text, expected);
    return EXIT_OK;
}

int options_take_value(const struct option_row *row, const char *text, struct option_value *value)
{
    if (value->count && !row->repeats && row->kind != OPTION_IS_FLAG)
        return cli_usage("--%s was given twice", row->name);
    if (value->count >= LIMIT_STOP_STRINGS)
        return cli_usage("--%s was given more than %d times", row->name, LIMIT_STOP_STRINGS);
    value->text = text;
    value->texts[value->count++] = text;
    switch (row->kind) {
    case OPTION_IS_BYTES: return parse_bytes(row, text, value);
    case OPTION_IS_INTEGER:
    case OPTION_IS_NUMBER: return parse_number(row, text, value);
    default: return EXIT_OK;
    }
}

/* ---- Parsing. */

static const struct option_row help_row = {OPTION_HELP, "help", OPTION_IS_FLAG, NULL, "print this help", 0, 0, false};

static const struct option_row *find_row(const struct command *command, const char *name, size_t length)
{
    if (length == strlen(help_row.name) && strncmp(name, help_row.name, length) == 0)
        return &help_row;
    for (const struct option_row *row = command->options; row->name; row++)
        if (strlen(row->name) == length && strncmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

static const char *option_name_at(const void *table, int index)
{
    return ((const struct option_row *)table)[index].name;
}

static int unknown_option(const struct command *command, const char *name, size_t length)
{
    char word[LONGEST_WORD + 1];
    snprintf(word, sizeof word, "%.*s", (int)(length < LONGEST_WORD ? length : LONGEST_WORD), name);
    const char *nearest = options_nearest(word, option_name_at, command->options);
    if (nearest)
        return cli_usage("%s has no option --%s; did you mean --%s?", command->name, word, nearest);
    return cli_usage("%s has no option --%s; see sampan %s --help", command->name, word, command->name);
}

/* One "--name", "--name=value" or "--name value" at argv[*at]; moves *at to the last word used. */
static int parse_option(const struct command *command, int argc, char **argv, int *at, struct arguments *arguments)
{
    const char *name = argv[*at] + 2;
    size_t length = strcspn(name, "=");
    const char *given = name[length] == '=' ? name + length + 1 : NULL;
    const struct option_row *row = find_row(command, name, length);
    if (!row)
        return unknown_option(command, name, length);
    if (row->kind == OPTION_IS_FLAG && given)
        return cli_usage("--%s takes no value", row->name);
    if (row->kind != OPTION_IS_FLAG && !given) {
        if (*at + 1 >= argc)
            return cli_usage("--%s needs a value: --%s %s", row->name, row->name, row->value_name);
        given = argv[++*at];
    }
    return options_take_value(row, given, &arguments->values[row->id]);
}

static int check_operands(const struct command *command, const struct arguments *arguments)
{
    if (arguments->n_operands < command->min_operands)
        return cli_usage("%s: something is missing; usage: sampan %s %s [options]", command->name, command->name, command->operands);
    if (arguments->n_operands > command->max_operands)
        return cli_usage("%s: '%s' is one word too many; usage: sampan %s %s [options]", command->name, arguments->operands[command->max_operands],
                         command->name, command->operands);
    return EXIT_OK;
}

int options_parse(const struct command *command, int argc, char **argv, struct arguments *arguments)
{
    bool only_operands = false;
    arguments->operands = argv;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strcmp(word, "-h") == 0) {
            arguments->values[OPTION_HELP].count = 1;
        } else if (!only_operands && strncmp(word, "--", 2) == 0) {
            int status = parse_option(command, argc, argv, &i, arguments);
            if (status)
                return status;
        } else if (!only_operands && word[0] == '-' && word[1]) {
            return cli_usage("%s has no option %s; options are written with two dashes, see sampan %s --help", command->name, word, command->name);
        } else {
            argv[arguments->n_operands++] = word;
        }
    }
    return arguments->values[OPTION_HELP].count ? EXIT_OK : check_operands(command, arguments);
}

/* ---- Help. */

static void print_row(const struct option_row *row, FILE *out)
{
    char left[LONGEST_WORD];
    snprintf(left, sizeof left, "--%s%s%s", row->name, row->value_name ? " " : "", row->value_name ? row->value_name : "");
    fprintf(out, "  %-*s %s%s\n", HELP_COLUMN, left, row->help, row->repeats ? " (may be repeated)" : "");
}

void options_print_help(const struct command *command, FILE *out)
{
    fprintf(out, "sampan %s: %s\n\nUsage: sampan %s%s%s [options]\n\nOptions:\n", command->name, command->summary, command->name, *command->operands ? " " : "",
            command->operands);
    for (const struct option_row *row = command->options; row->name; row++)
        print_row(row, out);
    print_row(&help_row, out);
    if (command->details)
        fprintf(out, "\n%s\n", command->details);
    fprintf(out, "\nExamples:\n");
    for (const char *const *example = command->examples; *example; example++)
        fprintf(out, "  %s\n", *example);
}
