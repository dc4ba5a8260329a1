#include "cli/answer_grammar.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/session.h"
#include "cli/terminal.h"

static const struct {
    enum option_id option;
    enum sampan_grammar_kind kind;
    bool may_be_file, is_file;
} rows[] = {
    {OPTION_JSON_OBJECT, SAMPAN_GRAMMAR_JSON_OBJECT, false, false},
    {OPTION_JSON_SCHEMA, SAMPAN_GRAMMAR_JSON_SCHEMA, true, false},
    {OPTION_REGEX, SAMPAN_GRAMMAR_REGEX, false, false},
    {OPTION_CHOICE, SAMPAN_GRAMMAR_CHOICES, false, false},
    {OPTION_GRAMMAR, SAMPAN_GRAMMAR_GBNF, true, true},
};

/* The choices as a JSON array; freed with free(). */
static char *write_choices(const struct option_value *value)
{
    json_t *list = json_array();
    for (int i = 0; list && i < value->count; i++)
        json_array_append_new(list, json_string(value->texts[i]));
    char *text = json_array_size(list) == (size_t)value->count ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    return text;
}

/* What begins like JSON is the schema itself, anything else names its file. */
static bool looks_like_json(const char *text)
{
    text += strspn(text, " \t\r\n");
    return *text == '{' || strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static int compile(size_t row, const struct option_value *value, sampan_model *model, sampan_grammar **grammar)
{
    bool from_file = rows[row].is_file || (rows[row].may_be_file && !looks_like_json(value->text));
    const char *source = value->text ? value->text : "";
    char *choices = NULL, *file = NULL;
    size_t length = strlen(source);
    struct error err;
    if (rows[row].option == OPTION_CHOICE) {
        if (!(choices = write_choices(value)))
            return cli_fail("the choices are not valid UTF-8, or memory ran out");
        source = choices;
        length = strlen(choices);
    }
    if (from_file) {
        if (file_read_whole(source, LIMIT_GRAMMAR_SOURCE, &file, &length, &err))
            return cli_fail("%s", err.message);
        source = file;
    }
    int status = sampan_grammar_compile(model, (int32_t)rows[row].kind, source, length, grammar) ? session_fail() : EXIT_OK;
    mem_free(choices);
    mem_free(file);
    return status;
}

int answer_grammar_make(const struct arguments *arguments, sampan_model *model, sampan_grammar **grammar)
{
    int chosen = -1;
    *grammar = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!arguments->values[rows[i].option].count)
            continue;
        if (chosen >= 0)
            return cli_usage("--json-object, --json-schema, --regex, --choice and --grammar exclude one another");
        chosen = (int)i;
    }
    return chosen < 0 ? EXIT_OK : compile((size_t)chosen, &arguments->values[rows[chosen].option], model, grammar);
}
