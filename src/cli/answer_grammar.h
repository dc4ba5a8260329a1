/* --json-object, --json-schema, --regex, --choice, --grammar: what an answer may be. */
#ifndef CLI_ANSWER_GRAMMAR_H
#define CLI_ANSWER_GRAMMAR_H

#include "cli/command.h"
#include "sampan.h"

/* The grammar that was asked for, compiled for the model; *grammar NULL where none was. An exit code: EXIT_USAGE when two were. */
int answer_grammar_make(const struct arguments *arguments, sampan_model *model, sampan_grammar **grammar);

#define OPTION_ROWS_GRAMMAR                                                                                                                                    \
    {OPTION_JSON_OBJECT, "json-object", OPTION_IS_FLAG, NULL, "the answer is a JSON object", 0, 0, false},                                                     \
        {OPTION_JSON_SCHEMA, "json-schema", OPTION_IS_TEXT, "SCHEMA", "the answer is JSON of this schema: its text, or a file's name", 0, 0, false},           \
        {OPTION_REGEX, "regex", OPTION_IS_TEXT, "PATTERN", "the whole answer matches this regular expression", 0, 0, false},                                   \
        {OPTION_CHOICE, "choice", OPTION_IS_TEXT, "TEXT", "the answer is one of the choices given", 0, 0, true},                                               \
    {                                                                                                                                                          \
        OPTION_GRAMMAR, "grammar", OPTION_IS_TEXT, "FILE", "the answer is of the grammar in this file (GBNF)", 0, 0, false                                     \
    }

#endif
