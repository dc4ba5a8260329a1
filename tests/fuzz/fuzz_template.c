/* Template source and variables from the input, cut at the first NUL; limits low, so that a run takes milliseconds. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/evaluate.h"
#include "text/template/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char variables_text[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9\"}], \"s\": \"a,b\", \"n\": 3, \"f\": 2.5, \"l\": [3, 1, 2]}";
    static const struct jinja_limits limits = {.steps = 20000, .memory = 4 << 20, .output = 1 << 16, .depth = 2000};
    const char *source = (const char *)data, *nul = size ? memchr(source, '\0', size) : NULL;
    size_t length = nul ? (size_t)(nul - source) : size;
    if (size > 65536 || !utf8_is_valid(source, length, NULL))
        return 0;
    struct jinja_template parsed;
    struct error err;
    jinja_fix_time(1718454645);
    if (jinja_parse(source, length, &parsed, &err))
        return 0;
    struct jinja_run run;
    struct jinja_value variables;
    jinja_run_init(&run, &limits, &err);
    bool given = nul && nul + 1 < source + size;
    const char *json = given ? nul + 1 : variables_text;
    if (jinja_json_parse(&run, json, given ? size - length - 1 : sizeof variables_text - 1, true, &variables) && jinja_build(&run))
        jinja_render(&run, &parsed, variables);
    jinja_run_free(&run);
    jinja_template_free(&parsed);
    return 0;
}
