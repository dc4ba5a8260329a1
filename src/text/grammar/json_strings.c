/* Strings under length, pattern and format. */
#include <string.h>

#include "base/limits.h"
#include "text/grammar/json_build.h"
#include "text/grammar/regex.h"

/* Formats as expressions that every text made here satisfies, whatever checks it (RFC 3339, 4122, 5321, 2673). */
#define YEAR "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
#define LEAP_YEAR "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                                                                                   \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)"
#define HOUR_MINUTE "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define TIME HOUR_MINUTE ":[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-]" HOUR_MINUTE ")"
#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "T" TIME},
    {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
    {"email", "[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,32}){0,2}@" LABEL "(?:\\." LABEL "){1,3}"},
    {"ipv4", OCTET "\\." OCTET "\\." OCTET "\\." OCTET},
};

static const char *find_format(struct schema_compiler *compiler, const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return formats[i].pattern;
    builder_fail(compiler->builder, SAMPAN_EUNSUPPORTED,
                 "the JSON Schema asks for the format '%.60s'; date, time, date-time, uuid, email and ipv4 work, or write a pattern", name);
    return "";
}

struct fragment build_string_value(struct schema_compiler *compiler, json_t *schema)
{
    struct grammar_builder *builder = compiler->builder;
    json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    json_t *minimum = json_object_get(schema, "minLength"), *maximum = json_object_get(schema, "maxLength");
    if (!pattern && !format && !minimum && !maximum)
        return build_call(builder, common_rule(compiler, RULE_STRING));
    if (pattern && format)
        builder_fail(builder, SAMPAN_EUNSUPPORTED, "the JSON Schema has a pattern and a format for one string; keep one of them");
    struct regex_options options = {.form = FORM_JSON, .search = !format, .minimum = json_integer_value(minimum), .maximum = BUILD_UNBOUNDED};
    if (maximum)
        options.maximum = json_integer_value(maximum);
    const char *source = pattern ? json_string_value(pattern) : format ? find_format(compiler, json_string_value(format)) : "";
    size_t length = pattern ? json_string_length(pattern) : strlen(source);
    struct fragment text = build_regex(builder, source, length, &options);
    return build_sequence(builder, build_sequence(builder, build_string(builder, "\""), text), build_string(builder, "\""));
}
