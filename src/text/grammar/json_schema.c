/* From a JSON Schema to rules: keywords are checked by a table, combinations resolved (references, allOf, anyOf, oneOf), values built kind by kind. */
#include "text/grammar/json_schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "text/grammar/automaton.h"
#include "text/grammar/json_build.h"

/* ---- Keywords: what each may hold, of which kinds of value it speaks, and what does not work. */

enum keyword_form {
    FORM_ANY,
    FORM_NUMBER,
    FORM_COUNT,
    FORM_TEXT,
    FORM_FLAG,
    FORM_SCHEMA,
    FORM_SCHEMAS,
    FORM_NAMED_SCHEMAS,
    FORM_NAMES,
    FORM_VALUES,
    FORM_REFUSED
};

#define NUMBERS (KIND_BIT(KIND_INTEGER) | KIND_BIT(KIND_NUMBER))

static const struct keyword {
    const char *name;
    enum keyword_form form;
    unsigned kinds; /* that it speaks of; 0: of the schema as a whole */
} keywords[] = {
    {"type", FORM_ANY, 0},
    {"enum", FORM_VALUES, 0},
    {"const", FORM_ANY, 0},
    {"minimum", FORM_NUMBER, NUMBERS},
    {"maximum", FORM_NUMBER, NUMBERS},
    {"exclusiveMinimum", FORM_NUMBER, NUMBERS},
    {"exclusiveMaximum", FORM_NUMBER, NUMBERS},
    {"multipleOf", FORM_NUMBER, NUMBERS},
    {"minLength", FORM_COUNT, KIND_BIT(KIND_STRING)},
    {"maxLength", FORM_COUNT, KIND_BIT(KIND_STRING)},
    {"pattern", FORM_TEXT, KIND_BIT(KIND_STRING)},
    {"format", FORM_TEXT, KIND_BIT(KIND_STRING)},
    {"items", FORM_SCHEMA, KIND_BIT(KIND_ARRAY)},
    {"prefixItems", FORM_SCHEMAS, KIND_BIT(KIND_ARRAY)},
    {"minItems", FORM_COUNT, KIND_BIT(KIND_ARRAY)},
    {"maxItems", FORM_COUNT, KIND_BIT(KIND_ARRAY)},
    {"uniqueItems", FORM_FLAG, KIND_BIT(KIND_ARRAY)},
    {"properties", FORM_NAMED_SCHEMAS, KIND_BIT(KIND_OBJECT)},
    {"required", FORM_NAMES, KIND_BIT(KIND_OBJECT)},
    {"additionalProperties", FORM_SCHEMA, KIND_BIT(KIND_OBJECT)},
    {"propertyNames", FORM_SCHEMA, KIND_BIT(KIND_OBJECT)},
    {"minProperties", FORM_COUNT, KIND_BIT(KIND_OBJECT)},
    {"maxProperties", FORM_COUNT, KIND_BIT(KIND_OBJECT)},
    {"allOf", FORM_SCHEMAS, 0},
    {"anyOf", FORM_SCHEMAS, 0},
    {"oneOf", FORM_SCHEMAS, 0},
    {"$ref", FORM_TEXT, 0},
    {"$defs", FORM_NAMED_SCHEMAS, 0},
    {"definitions", FORM_NAMED_SCHEMAS, 0},
    /* They say nothing of what is valid. */
    {"$schema", FORM_ANY, 0},
    {"$id", FORM_ANY, 0},
    {"$comment", FORM_ANY, 0},
    {"title", FORM_ANY, 0},
    {"description", FORM_ANY, 0},
    {"default", FORM_ANY, 0},
    {"example", FORM_ANY, 0},
    {"examples", FORM_ANY, 0},
    {"deprecated", FORM_ANY, 0},
    {"readOnly", FORM_ANY, 0},
    {"writeOnly", FORM_ANY, 0},
    {"discriminator", FORM_ANY, 0},
    {"not", FORM_REFUSED, 0},
    {"if", FORM_REFUSED, 0},
    {"then", FORM_REFUSED, 0},
    {"else", FORM_REFUSED, 0},
    {"patternProperties", FORM_REFUSED, 0},
    {"dependentRequired", FORM_REFUSED, 0},
    {"dependentSchemas", FORM_REFUSED, 0},
    {"unevaluatedProperties", FORM_REFUSED, 0},
    {"unevaluatedItems", FORM_REFUSED, 0},
    {"contains", FORM_REFUSED, 0},
    {"minContains", FORM_REFUSED, 0},
    {"maxContains", FORM_REFUSED, 0},
};

static const struct keyword *find_keyword(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

unsigned schema_spoken_kinds(json_t *schema)
{
    unsigned kinds = 0;
    for (void *at = json_object_iter(schema); at; at = json_object_iter_next(schema, at)) {
        const struct keyword *keyword = find_keyword(json_object_iter_key(at));
        kinds |= keyword ? keyword->kinds : 0;
    }
    return kinds;
}

static bool is_schema(json_t *json)
{
    return json_is_object(json) || json_is_boolean(json);
}

static bool all_items(json_t *array, bool (*holds)(json_t *item))
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (!holds(json_array_get(array, i)))
            return false;
    return json_is_array(array);
}

static bool all_members(json_t *object, bool (*holds)(json_t *member))
{
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
        if (!holds(json_object_iter_value(at)))
            return false;
    return json_is_object(object);
}

static bool is_text(json_t *json)
{
    return json_is_string(json);
}

/* NULL when the value fits the form, else what was expected. */
static const char *misfit(enum keyword_form form, json_t *value)
{
    switch (form) {
    case FORM_NUMBER: return json_is_number(value) ? NULL : "a number";
    case FORM_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= LIMIT_GRAMMAR_NODES ? NULL : "a count from 0 to 400000";
    case FORM_TEXT: return json_is_string(value) ? NULL : "a string";
    case FORM_FLAG: return json_is_boolean(value) ? NULL : "true or false";
    case FORM_SCHEMA: return is_schema(value) ? NULL : "a schema";
    case FORM_SCHEMAS: return all_items(value, is_schema) && json_array_size(value) ? NULL : "an array of at least one schema";
    case FORM_NAMED_SCHEMAS: return all_members(value, is_schema) ? NULL : "an object of schemas";
    case FORM_NAMES: return all_items(value, is_text) ? NULL : "an array of strings";
    case FORM_VALUES: return json_is_array(value) ? NULL : "an array";
    default: return NULL;
    }
}

/* Every keyword is known, works and holds what it should. */
static bool check_keywords(struct schema_compiler *compiler, json_t *schema)
{
    for (void *at = json_object_iter(schema); at && !compiler->builder->status; at = json_object_iter_next(schema, at)) {
        const char *name = json_object_iter_key(at);
        const struct keyword *keyword = find_keyword(name);
        if (!keyword && strncmp(name, "x-", 2) == 0)
            continue;
        if (!keyword || keyword->form == FORM_REFUSED) {
            builder_fail(compiler->builder, SAMPAN_EUNSUPPORTED, "the JSON Schema uses '%.100s', which %s; say it with other keywords or leave it out", name,
                         keyword ? "does not work here" : "is no known keyword");
            break;
        }
        const char *expected = misfit(keyword->form, json_object_iter_value(at));
        if (expected)
            builder_fail(compiler->builder, SAMPAN_EINVAL, "the JSON Schema has a '%s' that is not %s", name, expected);
    }
    return !compiler->builder->status;
}

/* ---- enum and const. */

/* The rest of a schema that names its values, compiled for itself: a value's text is run through it. */
struct filter {
    struct grammar *grammar; /* NULL: nothing fits */
    struct grammar_automaton *automaton;
};

static void make_filter(struct schema_compiler *compiler, json_t *rest, struct filter *filter)
{
    struct grammar_builder builder;
    struct schema_compiler inner;
    struct error err = {0};
    *filter = (struct filter){0};
    builder_init(&builder, &err);
    schema_compiler_init(&inner, &builder, compiler->root);
    inner.work = compiler->work;
    inner.nesting = compiler->nesting + 1;
    builder_define(&builder, 0, build_call(&builder, schema_rule(&inner, rest)));
    bool built = builder.status == 0;
    int status = builder_finish(&builder, &filter->grammar);
    if (built && status == SAMPAN_EINVAL)
        status = 0; /* a contradiction: nothing fits */
    if (!status && filter->grammar)
        status = grammar_automaton_create(filter->grammar, NULL, &filter->automaton, &err);
    if (status)
        builder_fail(compiler->builder, status, "%s", err.message);
    compiler->work = inner.work;
    schema_compiler_free(&inner);
    builder_free(&builder);
}

static bool value_fits(struct schema_compiler *compiler, struct filter *filter, json_t *value)
{
    struct error err = {0};
    int32_t state = GRAMMAR_STATE_DEAD;
    char *text = filter->automaton ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    int status = 0;
    if (filter->automaton && !text)
        status = error_no_memory(&err, "compiling a JSON Schema");
    if (text)
        status = grammar_automaton_start(filter->automaton, &state, &err);
    if (text && !status)
        status = grammar_automaton_advance(filter->automaton, state, text, strlen(text), &state, &err);
    if (status)
        builder_fail(compiler->builder, status, "%s", err.message);
    mem_free(text);
    return !status && filter->automaton && grammar_automaton_may_end(filter->automaton, state);
}

static struct fragment build_values(struct schema_compiler *compiler, json_t *schema)
{
    struct grammar_builder *builder = compiler->builder;
    json_t *values = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    json_t *rest = schema_own(compiler, json_copy(schema));
    int32_t start = builder_node(builder), end = builder_node(builder);
    if (!rest)
        return (struct fragment){start, end};
    json_object_del(rest, "enum");
    json_object_del(rest, "const");
    size_t n = values ? json_array_size(values) : 1;
    bool restricted = json_object_size(rest) > 0;
    struct filter filter = {0};
    if (restricted)
        make_filter(compiler, rest, &filter);
    for (size_t i = 0; i < n && !builder->status; i++) {
        json_t *value = values ? json_array_get(values, i) : one;
        if ((values && one && !json_equal(value, one)) || (restricted && !value_fits(compiler, &filter, value)))
            continue;
        struct fragment literal = build_literal_value(compiler, value);
        builder_epsilon(builder, start, literal.start);
        builder_epsilon(builder, literal.end, end);
    }
    grammar_automaton_free(filter.automaton);
    grammar_free(filter.grammar);
    return (struct fragment){start, end};
}

/* ---- Combinations. */

static json_t *without(struct schema_compiler *compiler, json_t *schema, const char *key)
{
    json_t *rest = schema_own(compiler, json_copy(schema));
    if (rest)
        json_object_del(rest, key);
    return rest;
}

static struct fragment build_merged(struct schema_compiler *compiler, json_t *a, json_t *b)
{
    json_t *merged = a && b ? merge_schemas(compiler, a, b) : NULL;
    return merged ? build_call(compiler->builder, schema_rule(compiler, merged)) : build_empty(compiler->builder);
}

/* Nothing beside a reference but names, notes and definitions. */
static bool says_nothing(json_t *schema)
{
    static const char *const constraints[] = {"type", "enum", "const", "allOf", "anyOf", "oneOf", "$ref"};
    for (size_t i = 0; i < sizeof constraints / sizeof *constraints; i++)
        if (json_object_get(schema, constraints[i]))
            return false;
    for (void *at = json_object_iter(schema); at; at = json_object_iter_next(schema, at)) {
        const struct keyword *keyword = find_keyword(json_object_iter_key(at));
        if (keyword && (keyword->kinds || keyword->form == FORM_REFUSED))
            return false;
    }
    return true;
}

static struct fragment build_reference(struct schema_compiler *compiler, json_t *schema)
{
    json_t *target = resolve_reference(compiler, json_string_value(json_object_get(schema, "$ref")));
    json_t *rest = without(compiler, schema, "$ref");
    if (!target || !rest)
        return build_empty(compiler->builder);
    if (!is_schema(target))
        builder_fail(compiler->builder, SAMPAN_EINVAL, "the JSON Schema refers to '%.200s', which is no schema",
                     json_string_value(json_object_get(schema, "$ref")));
    if (says_nothing(rest))
        return build_call(compiler->builder, schema_rule(compiler, target));
    return build_merged(compiler, rest, target);
}

static struct fragment build_all_of(struct schema_compiler *compiler, json_t *schema)
{
    json_t *list = json_object_get(schema, "allOf"), *merged = without(compiler, schema, "allOf");
    size_t n = json_array_size(list);
    for (size_t i = 0; i + 1 < n && merged; i++)
        merged = merge_schemas(compiler, merged, json_array_get(list, i));
    return build_merged(compiler, merged, json_array_get(list, n - 1));
}

static void check_exclusive(struct schema_compiler *compiler, json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        for (size_t k = i + 1; k < json_array_size(list) && !compiler->builder->status; k++)
            if (!schemas_exclude(compiler, json_array_get(list, i), json_array_get(list, k), 0))
                builder_fail(compiler->builder, SAMPAN_EUNSUPPORTED,
                             "the JSON Schema has a oneOf whose alternatives %zu and %zu may hold at once; tell them apart (another type, a required property "
                             "with another const) or write anyOf",
                             i, k);
}

static struct fragment build_alternatives(struct schema_compiler *compiler, json_t *schema, const char *key)
{
    struct grammar_builder *builder = compiler->builder;
    json_t *list = json_object_get(schema, key), *rest = without(compiler, schema, key);
    int32_t start = builder_node(builder), end = builder_node(builder);
    if (strcmp(key, "oneOf") == 0)
        check_exclusive(compiler, list);
    for (size_t i = 0; i < json_array_size(list) && !builder->status; i++) {
        struct fragment one = build_merged(compiler, rest, json_array_get(list, i));
        builder_epsilon(builder, start, one.start);
        builder_epsilon(builder, one.end, end);
    }
    return (struct fragment){start, end};
}

/* ---- One schema. */

static struct fragment build_kind(struct schema_compiler *compiler, json_t *schema, enum json_kind kind)
{
    switch (kind) {
    case KIND_NULL: return build_call(compiler->builder, common_rule(compiler, RULE_NULL));
    case KIND_BOOLEAN: return build_call(compiler->builder, common_rule(compiler, RULE_BOOLEAN));
    case KIND_INTEGER: return build_number_value(compiler, schema, true);
    case KIND_NUMBER: return build_number_value(compiler, schema, false);
    case KIND_STRING: return build_string_value(compiler, schema);
    case KIND_ARRAY: return build_array_value(compiler, schema);
    default: return build_object_value(compiler, schema);
    }
}

static struct fragment build_kinds(struct schema_compiler *compiler, json_t *schema, unsigned spoken_of)
{
    struct grammar_builder *builder = compiler->builder;
    unsigned kinds = json_kinds(compiler, schema);
    /* Without a type, keywords about strings say nothing of numbers; whoever wrote them means strings. */
    if (!json_object_get(schema, "type") && spoken_of)
        kinds &= spoken_of;
    if (kinds & KIND_BIT(KIND_NUMBER))
        kinds &= ~KIND_BIT(KIND_INTEGER);
    int32_t start = builder_node(builder), end = builder_node(builder);
    for (unsigned kind = 0; kind < KIND_COUNT && !builder->status; kind++) {
        if (!(kinds & KIND_BIT(kind)))
            continue;
        struct fragment one = build_kind(compiler, schema, (enum json_kind)kind);
        builder_epsilon(builder, start, one.start);
        builder_epsilon(builder, one.end, end);
    }
    return (struct fragment){start, end};
}

static struct fragment build_schema(struct schema_compiler *compiler, json_t *schema)
{
    struct grammar_builder *builder = compiler->builder;
    unsigned spoken_of = schema_spoken_kinds(schema);
    if (json_is_true(schema))
        return build_call(builder, common_rule(compiler, RULE_VALUE));
    if (json_is_false(schema)) {
        int32_t start = builder_node(builder);
        return (struct fragment){start, builder_node(builder)}; /* no way through */
    }
    if (!check_keywords(compiler, schema))
        return build_empty(builder);
    if (json_object_get(schema, "$ref"))
        return build_reference(compiler, schema);
    if (json_object_get(schema, "allOf"))
        return build_all_of(compiler, schema);
    if (json_object_get(schema, "anyOf"))
        return build_alternatives(compiler, schema, "anyOf");
    if (json_object_get(schema, "oneOf"))
        return build_alternatives(compiler, schema, "oneOf");
    if (json_object_get(schema, "enum") || json_object_get(schema, "const"))
        return build_values(compiler, schema);
    if (!spoken_of && !json_object_get(schema, "type"))
        return build_call(builder, common_rule(compiler, RULE_VALUE));
    return build_kinds(compiler, schema, spoken_of);
}

int32_t schema_rule(struct schema_compiler *compiler, json_t *schema)
{
    struct grammar_builder *builder = compiler->builder;
    uint32_t rule = 0;
    json_t **key;
    if (builder->status)
        return 0;
    if (hash_map_get(&compiler->rules, &schema, sizeof schema, &rule))
        return (int32_t)rule;
    key = arena_alloc(&compiler->arena, sizeof *key);
    rule = (uint32_t)builder_declare(builder, "a schema", 8);
    if (key)
        *key = schema;
    if (!key || hash_map_put(&compiler->rules, key, sizeof *key, rule, NULL)) {
        schema_no_memory(compiler);
        return 0;
    }
    if (++compiler->nesting > LIMIT_SCHEMA_NESTING)
        builder_fail(builder, SAMPAN_ELIMIT, "the JSON Schema is nested deeper than %d schemas", LIMIT_SCHEMA_NESTING);
    struct fragment body = build_schema(compiler, schema);
    compiler->nesting--;
    builder_define(builder, (int32_t)rule, body);
    return (int32_t)rule;
}

/* ---- Entry points. */

static json_t *read_json(struct grammar_builder *builder, const char *source, size_t length, const char *what)
{
    json_error_t where;
    json_t *json = json_loadb(source, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!json)
        builder_fail(builder, SAMPAN_EINVAL, "the %s is not valid JSON: line %d column %d: %s", what, where.line, where.column, where.text);
    return json;
}

void build_json_schema(struct grammar_builder *builder, const char *source, size_t length)
{
    struct schema_compiler compiler;
    json_t *root = read_json(builder, source, length, "JSON Schema");
    if (root && !is_schema(root))
        builder_fail(builder, SAMPAN_EINVAL, "the JSON Schema is neither an object nor true or false");
    if (!builder->status) {
        schema_compiler_init(&compiler, builder, root);
        builder_define(builder, 0, build_call(builder, schema_rule(&compiler, root)));
        schema_compiler_free(&compiler);
    }
    json_decref(root);
}

void build_choices(struct grammar_builder *builder, const char *source, size_t length)
{
    json_t *list = read_json(builder, source, length, "list of choices");
    int32_t start = builder_node(builder), end = builder_node(builder);
    if (list && (!all_items(list, is_text) || !json_array_size(list)))
        builder_fail(builder, SAMPAN_EINVAL, "the choices are not a JSON array of at least one string");
    for (size_t i = 0; i < json_array_size(list) && !builder->status; i++) {
        json_t *choice = json_array_get(list, i);
        struct fragment one = build_text(builder, json_string_value(choice), json_string_length(choice));
        builder_epsilon(builder, start, one.start);
        builder_epsilon(builder, one.end, end);
    }
    builder_define(builder, 0, (struct fragment){start, end});
    json_decref(list);
}
