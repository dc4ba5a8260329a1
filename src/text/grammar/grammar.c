#include "text/grammar/grammar.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "text/grammar/build.h"
#include "text/grammar/gbnf.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/regex.h"

static void build_any_object(struct grammar_builder *builder, const char *source, size_t length)
{
    (void)source;
    (void)length;
    build_json_object(builder);
}

static void build_expression(struct grammar_builder *builder, const char *source, size_t length)
{
    struct regex_options options = {.form = FORM_PLAIN, .maximum = BUILD_UNBOUNDED};
    builder_define(builder, 0, build_regex(builder, source, length, &options));
}

static const struct {
    const char *name;
    void (*build)(struct grammar_builder *builder, const char *source, size_t length); /* defines rule 0 */
} kinds[GRAMMAR_KIND_COUNT] = {
    [GRAMMAR_JSON_OBJECT] = {"JSON object", build_any_object},
    [GRAMMAR_JSON_SCHEMA] = {"JSON Schema", build_json_schema},
    [GRAMMAR_REGEX] = {"regular expression", build_expression},
    [GRAMMAR_CHOICES] = {"list of choices", build_choices},
    [GRAMMAR_GBNF] = {"grammar", build_gbnf},
};

const char *grammar_kind_name(enum grammar_kind kind)
{
    return kind >= 0 && kind < GRAMMAR_KIND_COUNT ? kinds[kind].name : "unknown kind of grammar";
}

int grammar_compile(enum grammar_kind kind, const char *source, size_t length, struct grammar **grammar, struct error *err)
{
    *grammar = NULL;
    if (kind < 0 || kind >= GRAMMAR_KIND_COUNT)
        return error_set(err, SAMPAN_EINVAL, "compiling a grammar: its kind is %d, expected 0 to %d", (int)kind, GRAMMAR_KIND_COUNT - 1);
    if (length > LIMIT_GRAMMAR_SOURCE)
        return error_set(err, SAMPAN_ELIMIT, "compiling a %s: it has %zu bytes, expected at most %u", kinds[kind].name, length, LIMIT_GRAMMAR_SOURCE);
    size_t bad = 0;
    if (!utf8_is_valid(source, length, &bad))
        return error_set(err, SAMPAN_EINVAL, "compiling a %s: it is not valid UTF-8 at byte %zu", kinds[kind].name, bad);
    struct grammar_builder builder;
    builder_init(&builder, err);
    if (!builder.status)
        kinds[kind].build(&builder, source, length);
    int status = builder_finish(&builder, grammar);
    builder_free(&builder);
    return status;
}
