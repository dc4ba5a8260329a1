/* sampan completion: what a shell needs to complete commands, options and their values, made from the same rows as --help.
 *
 * Each script has a part for every command: its options, the options that take a value with what may stand there, and its operands. What a value may be
 * follows from its name in the row ("CHIP", "FILE.json", ...): words, files, or nothing that could be guessed. */
#include <stdio.h>
#include <string.h>

#include "chip/chip.h"
#include "cli/command.h"
#include "cli/terminal.h"

enum { CANDIDATE_BYTES = 4096 };

enum candidate_kind { CANDIDATES_NONE, CANDIDATES_WORDS, CANDIDATES_FILES };

struct candidates {
    enum candidate_kind kind;
    char words[CANDIDATE_BYTES]; /* with spaces between */
};

/* ---- What may stand in a place. */

static void add_word(struct candidates *candidates, const char *kind, const char *separator, const char *name)
{
    size_t used = strlen(candidates->words);
    candidates->kind = CANDIDATES_WORDS;
    snprintf(candidates->words + used, sizeof candidates->words - used, "%s%s%s%s", used ? " " : "", kind, separator, name);
}

static void add_chips(struct candidates *candidates)
{
    static struct chip_profile profiles[CHIP_MAX_PROFILES];
    for (const struct chip_interface *const *chip = chip_registry; *chip; chip++) {
        int n = (*chip)->profiles ? (*chip)->profiles(profiles, CHIP_MAX_PROFILES) : 0;
        add_word(candidates, (*chip)->kind, "", "");
        for (int i = 0; i < n; i++)
            if (*profiles[i].name)
                add_word(candidates, (*chip)->kind, ":", profiles[i].name);
    }
}

static void add_commands(struct candidates *candidates)
{
    for (const struct command *const *command = commands; *command; command++)
        add_word(candidates, (*command)->name, "", "");
}

/* `place` is an option's value name or a command's operands; what is not known completes to nothing. */
static void find_candidates(const char *place, struct candidates *candidates)
{
    static const struct {
        const char *part; /* of the place's name */
        enum candidate_kind kind;
        const char *words;
        void (*add)(struct candidates *candidates);
    } rows[] = {
        {"CHIP", CANDIDATES_WORDS, "", add_chips},        {"COMMAND", CANDIDATES_WORDS, "", add_commands}, {"SHELL", CANDIDATES_WORDS, "bash zsh fish", NULL},
        {"TYPE", CANDIDATES_WORDS, "f16 bf16 f32", NULL}, {"MODEL", CANDIDATES_FILES, "", NULL},           {"FILE", CANDIDATES_FILES, "", NULL},
        {"DIRECTORY", CANDIDATES_FILES, "", NULL},
    };
    *candidates = (struct candidates){.kind = CANDIDATES_NONE};
    for (size_t i = 0; place && i < sizeof rows / sizeof rows[0]; i++)
        if (strstr(place, rows[i].part)) {
            candidates->kind = rows[i].kind;
            snprintf(candidates->words, sizeof candidates->words, "%s", rows[i].words);
            if (rows[i].add)
                rows[i].add(candidates);
            return;
        }
}

/* Text between single quotes of a shell, `also` escaped with a backslash besides. */
static void print_quoted(const char *text, const char *also)
{
    for (; *text; text++) {
        if (*text == '\'')
            terminal_print("'\\''");
        else if (*also && strchr(also, *text))
            terminal_print("\\%c", *text);
        else
            terminal_print("%c", *text);
    }
}

/* ---- bash. */

static const char bash_head[] = "# Completion of sampan for bash. Made by: sampan completion bash\n"
                                "_sampan()\n"
                                "{\n"
                                "    local line=${COMP_LINE:0:$COMP_POINT} current= previous command options= values= files= words\n"
                                "    read -r -a words <<< \"$line\"\n"
                                "    [[ $line == *[[:space:]] ]] || { current=${words[${#words[@]}-1]}; words=(\"${words[@]:0:${#words[@]}-1}\"); }\n"
                                "    previous=${words[${#words[@]}-1]} command=${words[1]-}\n"
                                "    [[ $current != --*=* ]] || { previous=${current%%=*}; current=${current#*=}; }\n"
                                "    case $command in\n";

static const char bash_tail[] = "    esac\n"
                                "    [[ $current != -* ]] || { values=$options; files=; }\n"
                                "    if [[ $files ]]; then\n"
                                "        compopt -o filenames 2> /dev/null\n"
                                "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
                                "    else\n"
                                "        mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$current\")\n"
                                "    fi\n"
                                "    # bash cuts words at ':' and '=' and wants only what comes behind\n"
                                "    local before=${current%\"${current##*[:=]}\"}\n"
                                "    COMPREPLY=(\"${COMPREPLY[@]#\"$before\"}\")\n"
                                "}\n"
                                "complete -F _sampan sampan\n";

static void print_bash_place(const struct candidates *candidates)
{
    if (candidates->kind == CANDIDATES_FILES)
        terminal_print("files=1");
    else
        terminal_print("values='%s'", candidates->words);
}

static void print_bash_command(const struct command *command)
{
    struct candidates candidates;
    terminal_print("    %s)\n        options='--help", command->name);
    for (const struct option_row *row = command->options; row->name; row++)
        terminal_print(" --%s", row->name);
    terminal_print("'\n        case $previous in\n");
    for (const struct option_row *row = command->options; row->name; row++) {
        if (row->kind == OPTION_IS_FLAG)
            continue;
        find_candidates(row->value_name, &candidates);
        terminal_print("        --%s) ", row->name);
        print_bash_place(&candidates);
        terminal_print(" options= ;;\n");
    }
    find_candidates(command->operands, &candidates);
    terminal_print("        *) ");
    print_bash_place(&candidates);
    terminal_print(" ;;\n        esac\n        ;;\n");
}

static void print_bash(void)
{
    struct candidates names;
    find_candidates("COMMAND", &names);
    terminal_print("%s", bash_head);
    terminal_print("    '') values='%s help' options='--help --version' ;;\n    help) values='%s' ;;\n", names.words, names.words);
    for (const struct command *const *command = commands; *command; command++)
        print_bash_command(*command);
    terminal_print("%s", bash_tail);
}

/* ---- zsh. */

static void print_zsh_place(const char *place)
{
    struct candidates candidates;
    find_candidates(place, &candidates);
    terminal_print(":");
    print_quoted(place, ":\\");
    terminal_print(":");
    if (candidates.kind == CANDIDATES_FILES)
        terminal_print("_files");
    else if (candidates.kind == CANDIDATES_WORDS) {
        terminal_print("(");
        print_quoted(candidates.words, ":");
        terminal_print(")");
    }
}

static void print_zsh_command(const struct command *command)
{
    terminal_print("    (%s)\n        _arguments '--help[print this help]'", command->name);
    for (const struct option_row *row = command->options; row->name; row++) {
        terminal_print(" \\\n            '%s--%s%s[", row->repeats ? "*" : "", row->name, row->kind == OPTION_IS_FLAG ? "" : "=");
        print_quoted(row->help, "[]\\");
        terminal_print("]");
        if (row->kind != OPTION_IS_FLAG)
            print_zsh_place(row->value_name);
        terminal_print("'");
    }
    if (command->max_operands) {
        terminal_print(" \\\n            '1");
        print_zsh_place(command->operands);
        terminal_print("'");
    }
    terminal_print("\n        ;;\n");
}

static void print_zsh(void)
{
    struct candidates names;
    find_candidates("COMMAND", &names);
    terminal_print("#compdef sampan\n# Completion of sampan for zsh. Made by: sampan completion zsh\n_sampan()\n{\n    local -a names\n    names=(");
    for (const struct command *const *command = commands; *command; command++) {
        terminal_print("\n        '%s:", (*command)->name);
        print_quoted((*command)->summary, ":\\");
        terminal_print("'");
    }
    terminal_print("\n        'help:explain a command'\n    )\n"
                   "    if (( CURRENT == 2 )); then\n        _describe command names\n        return\n    fi\n"
                   "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n    (help)\n        _arguments '1:COMMAND:(%s)'\n "
                   "       ;;\n",
                   names.words);
    for (const struct command *const *command = commands; *command; command++)
        print_zsh_command(*command);
    terminal_print("    esac\n}\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    _sampan \"$@\"\nelse\n    compdef _sampan sampan\nfi\n");
}

/* ---- fish. */

static void print_fish_command(const struct command *command)
{
    struct candidates candidates;
    terminal_print("complete -c sampan -f -n __fish_use_subcommand -a %s -d '", command->name);
    print_quoted(command->summary, "\\");
    terminal_print("'\n");
    find_candidates(command->operands, &candidates);
    if (candidates.kind != CANDIDATES_FILES)
        terminal_print("complete -c sampan -f -n '__fish_seen_subcommand_from %s' -a '%s'\n", command->name, candidates.words);
    terminal_print("complete -c sampan -n '__fish_seen_subcommand_from %s' -l help -d 'print this help'\n", command->name);
    for (const struct option_row *row = command->options; row->name; row++) {
        terminal_print("complete -c sampan -n '__fish_seen_subcommand_from %s' -l %s", command->name, row->name);
        find_candidates(row->value_name, &candidates);
        if (row->kind != OPTION_IS_FLAG)
            terminal_print(candidates.kind == CANDIDATES_FILES ? " -r -F" : " -x -a '%s'", candidates.words);
        terminal_print(" -d '");
        print_quoted(row->help, "\\");
        terminal_print("'\n");
    }
}

static void print_fish(void)
{
    terminal_print("# Completion of sampan for fish. Made by: sampan completion fish\n");
    for (const struct command *const *command = commands; *command; command++)
        print_fish_command(*command);
}

/* ---- The command. */

static int run_completion(const struct arguments *arguments)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(arguments->operands[0], shells[i].name) == 0) {
            shells[i].print();
            return EXIT_OK;
        }
    return cli_usage("there is no completion for '%s'; expected bash, zsh or fish", arguments->operands[0]);
}

static const struct option_row completion_options[] = {OPTION_ROWS_END};

static const char *const completion_examples[] = {
    "source <(sampan completion bash)                               # in this shell",
    "sampan completion bash > ~/.local/share/bash-completion/completions/sampan",
    "sampan completion zsh > ~/.zfunc/_sampan                       # a folder of $fpath",
    "sampan completion fish > ~/.config/fish/completions/sampan.fish",
    NULL,
};

const struct command completion_command = {
    "completion",
    "print the completion script of a shell",
    "SHELL",
    1,
    1,
    completion_options,
    completion_examples,
    "SHELL is bash, zsh or fish. `make install` puts all three where the shells look for them.",
    run_completion,
};
