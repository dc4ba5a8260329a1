/* sampan man: the manual pages, made from the same rows as --help, in the man(7) macros that every man program reads. One page for sampan and one for each
 * command; `make install` writes them all by --directory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "sampan.h"

enum { PAGE_LIMIT = 1 << 20 };

/* ---- Text of a page: nothing in it may be taken for a macro or an escape. */

static void add_text(struct buffer *page, const char *text)
{
    bool at_start = page->length && page->data[page->length - 1] == '\n';
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\''))
            buffer_append_string(page, "\\&");
        if (*text == '\\')
            buffer_append_string(page, "\\e");
        else if (*text == '-')
            buffer_append_string(page, "\\-");
        else
            buffer_append_char(page, *text);
        at_start = *text == '\n';
    }
}

static void add_line(struct buffer *page, const char *macro, const char *text, const char *rest)
{
    buffer_append_string(page, macro);
    add_text(page, text);
    add_text(page, rest);
    buffer_append_char(page, '\n');
}

static void add_title(struct buffer *page, const char *name, const char *summary)
{
    buffer_append_string(page, ".TH ");
    for (const char *c = name; *c; c++)
        buffer_append_char(page, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
    buffer_printf(page, " 1 \"\" \"sampan %s\"\n.SH NAME\n", sampan_version());
    add_text(page, name);
    buffer_append_string(page, " \\- ");
    add_text(page, summary);
    buffer_append_string(page, "\n");
}

static void add_option(struct buffer *page, const struct option_row *row)
{
    buffer_append_string(page, ".TP\n\\fB");
    add_text(page, "--");
    add_text(page, row->name);
    buffer_append_string(page, "\\fR");
    if (row->value_name) {
        buffer_append_string(page, " \\fI");
        add_text(page, row->value_name);
        buffer_append_string(page, "\\fR");
    }
    buffer_append_char(page, '\n');
    add_line(page, "", row->help, row->repeats ? " (may be repeated)" : "");
}

/* Lines as they are: "command line  # what it does". */
static void add_examples(struct buffer *page, const char *const *examples)
{
    buffer_append_string(page, ".SH EXAMPLES\n.nf\n");
    for (; *examples; examples++)
        add_line(page, "", *examples, "");
    buffer_append_string(page, ".fi\n");
}

static void add_exit_status(struct buffer *page)
{
    buffer_append_string(page, ".SH EXIT STATUS\n0 it worked, 1 it failed (one line on standard error says why), 2 it was called wrongly.\n");
}

static void add_see_also(struct buffer *page, const struct command *but)
{
    const char *separator = "";
    buffer_append_string(page, ".SH SEE ALSO\n");
    if (but) {
        buffer_append_string(page, ".BR sampan (1)");
        separator = ",\n";
    }
    for (const struct command *const *command = commands; *command; command++) {
        if (*command == but)
            continue;
        buffer_printf(page, "%s.BR sampan\\-%s (1)", separator, (*command)->name);
        separator = " ,\n";
    }
    buffer_append_char(page, '\n');
}

/* ---- Pages. */

static void write_command_page(struct buffer *page, const struct command *command)
{
    char name[64];
    snprintf(name, sizeof name, "sampan-%s", command->name);
    add_title(page, name, command->summary);
    buffer_append_string(page, ".SH SYNOPSIS\n\\fBsampan ");
    add_text(page, command->name);
    buffer_append_string(page, "\\fR ");
    add_text(page, command->operands);
    buffer_append_string(page, *command->operands ? " [options]\n" : "[options]\n");
    if (command->details) {
        buffer_append_string(page, ".SH DESCRIPTION\n");
        add_line(page, "", command->details, "");
    }
    buffer_append_string(page, ".SH OPTIONS\n");
    for (const struct option_row *row = command->options; row->name; row++)
        add_option(page, row);
    add_option(page, &(struct option_row){.name = "help", .help = "print a short help"});
    add_examples(page, command->examples);
    add_exit_status(page);
    add_see_also(page, command);
}

static void write_main_page(struct buffer *page)
{
    static const struct {
        const char *name, *meaning;
    } variables[] = {
        {"SAMPAN_MODEL", "the model where none is named: a GGUF file or a model's folder"},
        {"NO_COLOR", "set to anything: no colour, also on a terminal"},
        {"XDG_STATE_HOME", "a chat keeps the history of its lines in sampan/history below it (default: ~/.local/state)"},
    };
    add_title(page, "sampan", "run large language models on the chip you have");
    buffer_append_string(page, ".SH SYNOPSIS\n\\fBsampan\\fR \\fICOMMAND\\fR [options]\n.SH DESCRIPTION\n");
    buffer_append_string(
        page, "An engine that answers with large language models as their makers publish them: GGUF files, or folders with config.json and safetensors.\n"
              "\\fBsampan\\fR \\fICOMMAND\\fR \\fB\\-\\-help\\fR explains a command in short.\n.SH COMMANDS\n");
    for (const struct command *const *command = commands; *command; command++) {
        buffer_printf(page, ".TP\n.BR sampan\\-%s (1)\n", (*command)->name);
        add_line(page, "", (*command)->summary, "");
    }
    buffer_append_string(page, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        add_line(page, ".TP\n.B ", variables[i].name, "");
        add_line(page, "", variables[i].meaning, "");
    }
    add_exit_status(page);
    add_see_also(page, NULL);
}

/* `command` NULL: the page of sampan itself. */
static int make_page(struct buffer *page, const struct command *command)
{
    buffer_init(page, PAGE_LIMIT);
    if (command)
        write_command_page(page, command);
    else
        write_main_page(page);
    return page->failed ? cli_fail("out of memory while writing a manual page") : EXIT_OK;
}

static int save_page(const char *directory, const struct command *command)
{
    char path[4096];
    struct buffer page;
    int written = snprintf(path, sizeof path, "%s/sampan%s%s.1", directory, command ? "-" : "", command ? command->name : "");
    if (written < 0 || (size_t)written >= sizeof path)
        return cli_fail("the path of the folder is too long");
    int status = make_page(&page, command);
    if (status) {
        buffer_free(&page);
        return status;
    }
    FILE *file = fopen(path, "w");
    bool failed = !file || fwrite(page.data, 1, page.length, file) != page.length;
    if (file && fclose(file))
        failed = true;
    buffer_free(&page);
    return failed ? cli_fail("writing '%s': %s", path, strerror(errno)) : EXIT_OK;
}

static int save_pages(const char *directory)
{
    int status = save_page(directory, NULL);
    for (const struct command *const *command = commands; !status && *command; command++)
        status = save_page(directory, *command);
    return status;
}

/* ---- The command. */

static int run_man(const struct arguments *arguments)
{
    const struct command *command = NULL;
    struct buffer page;
    if (arguments->values[OPTION_DIRECTORY].count)
        return arguments->n_operands ? cli_usage("--directory writes all pages; do not name one") : save_pages(arguments->values[OPTION_DIRECTORY].text);
    if (arguments->n_operands && !(command = command_find(arguments->operands[0])))
        return cli_usage("there is no command '%s'; sampan --help lists them", arguments->operands[0]);
    int status = make_page(&page, command);
    if (!status)
        terminal_write(page.data, page.length);
    buffer_free(&page);
    return status;
}

static const struct option_row man_options[] = {
    {OPTION_DIRECTORY, "directory", OPTION_IS_TEXT, "DIRECTORY", "write all pages into this folder instead", 0, 0, false},
    OPTION_ROWS_END,
};

static const char *const man_examples[] = {
    "sampan man run | man -l -              # read a page that is not installed",
    "sampan man --directory /usr/share/man/man1",
    NULL,
};

const struct command man_command = {
    "man",   "print a manual page", "[COMMAND]",  0,
    1,       man_options,           man_examples, "Without COMMAND the page of sampan itself. `make install` installs all pages.",
    run_man,
};
