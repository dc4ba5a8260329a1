/* The program: a table of commands, and the way from the command line to one of them. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "sampan.h"

const struct command *const commands[] = {
    &run_command,    &serve_command,      &inspect_command, &check_command,   &bench_command, &doctor_command, &score_command, &tokenize_command,
    &render_command, &completion_command, &man_command,     &version_command, NULL,
};

static int run_version(const struct arguments *arguments)
{
    if (arguments->values[OPTION_JSON].count)
        terminal_print("{\"version\": \"%s\"}\n", sampan_version());
    else
        terminal_print("sampan %s\n", sampan_version());
    return EXIT_OK;
}

static const struct option_row version_options[] = {{OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "print one JSON object", 0, 0, false}, OPTION_ROWS_END};
static const char *const version_examples[] = {"sampan version   # the version of this program", NULL};

const struct command version_command = {"version", "print the version", "", 0, 0, version_options, version_examples, NULL, run_version};

static void print_usage(FILE *out)
{
    fprintf(out, "sampan %s: run large language models on the chip you have\n\nUsage: sampan COMMAND [options]\n\nCommands:\n", sampan_version());
    for (const struct command *const *command = commands; *command; command++)
        fprintf(out, "  %-10s %s\n", (*command)->name, (*command)->summary);
    fprintf(out, "\nsampan COMMAND --help explains a command, with examples.\n\nExamples:\n"
                 "  sampan run                                   # chat with the default model\n"
                 "  sampan run model.gguf --prompt \"What is 2+2?\" # one answer\n"
                 "  sampan inspect model.gguf                    # what is in a file\n");
}

static const char *command_name_at(const void *table, int index)
{
    const struct command *command = ((const struct command *const *)table)[index];
    return command ? command->name : NULL;
}

const struct command *command_find(const char *name)
{
    for (const struct command *const *command = commands; *command; command++)
        if (strcmp((*command)->name, name) == 0)
            return *command;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *nearest = options_nearest(name, command_name_at, commands);
    if (nearest)
        return cli_usage("there is no command '%s'; did you mean '%s'?", name, nearest);
    return cli_usage("there is no command '%s'; sampan --help lists them", name);
}

static int run_help(int argc, char **argv)
{
    if (argc < 3) {
        print_usage(stdout);
        return EXIT_OK;
    }
    const struct command *command = command_find(argv[2]);
    if (!command)
        return unknown_command(argv[2]);
    options_print_help(command, stdout);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    static struct arguments arguments; /* some 20 KB */
    terminal_init();
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return terminal_finish(run_help(argc, argv));
    const struct command *command = command_find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
    if (!command)
        return argv[1][0] == '-' ? cli_usage("there is no option %s here; sampan --help lists the commands", argv[1]) : unknown_command(argv[1]);
    int status = options_parse(command, argc - 2, argv + 2, &arguments);
    if (!status && arguments.values[OPTION_HELP].count)
        options_print_help(command, stdout);
    else if (!status)
        status = command->run(&arguments);
    return terminal_finish(status);
}
