/* Arrays and objects under their keywords. */
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/grammar/json_build.h"

#define MAX_NAME 1024 /* characters of a property's name where others are allowed beside it */

static int64_t count_of(json_t *schema, const char *key, int64_t otherwise)
{
    json_t *json = json_object_get(schema, key);
    return json ? json_integer_value(json) : otherwise;
}

static struct fragment call_space(struct schema_compiler *compiler)
{
    return build_call(compiler->builder, common_rule(compiler, RULE_SPACE));
}

static struct fragment text_and_space(struct schema_compiler *compiler, const char *text)
{
    return build_sequence(compiler->builder, build_string(compiler->builder, text), call_space(compiler));
}

/* ---- Arrays. */

static void check_unique(struct schema_compiler *compiler, json_t *schema)
{
    if (json_is_true(json_object_get(schema, "uniqueItems")) && count_of(schema, "maxItems", 2) > 1)
        builder_fail(compiler->builder, SAMPAN_EUNSUPPORTED, "the JSON Schema asks for uniqueItems, which cannot be held while text is made; leave it out");
}

/* A node per number of items so far, until the items no longer differ. */
struct fragment build_array_value(struct schema_compiler *compiler, json_t *schema)
{
    struct grammar_builder *builder = compiler->builder;
    json_t *prefix = json_object_get(schema, "prefixItems"), *items = json_object_get(schema, "items");
    int64_t minimum = count_of(schema, "minItems", 0), maximum = count_of(schema, "maxItems", BUILD_UNBOUNDED);
    check_unique(compiler, schema);
    if (!prefix && !items && !minimum && maximum == BUILD_UNBOUNDED)
        return build_call(builder, common_rule(compiler, RULE_ARRAY));
    int64_t n_prefix = (int64_t)json_array_size(prefix), last = n_prefix > minimum ? n_prefix : minimum;
    int32_t rest = items && !json_is_true(items) ? schema_rule(compiler, items) : common_rule(compiler, RULE_VALUE);
    if (maximum != BUILD_UNBOUNDED)
        last = maximum;
    struct fragment open = text_and_space(compiler, "["), close = build_string(builder, "]");
    int32_t space = builder_node(builder), at = open.end;
    struct fragment before_close = call_space(compiler);
    builder_epsilon(builder, space, before_close.start);
    builder_epsilon(builder, before_close.end, close.start);
    if (minimum <= 0)
        builder_epsilon(builder, open.end, close.start);
    for (int64_t i = 0; i < last && !builder->status; i++) {
        int32_t rule = i < n_prefix ? schema_rule(compiler, json_array_get(prefix, (size_t)i)) : rest, next = builder_node(builder);
        struct fragment comma = i ? text_and_space(compiler, ",") : build_empty(builder);
        builder_epsilon(builder, at, comma.start);
        builder_call(builder, comma.end, next, rule);
        if (i + 1 >= minimum)
            builder_epsilon(builder, next, space);
        at = next;
    }
    if (maximum == BUILD_UNBOUNDED) {
        int32_t loop = builder_node(builder);
        struct fragment comma = text_and_space(compiler, ",");
        builder_epsilon(builder, loop, comma.start);
        builder_call(builder, comma.end, loop, rest);
        builder_epsilon(builder, loop, space);
        if (last)
            builder_epsilon(builder, at, loop);
        else
            builder_call(builder, at, loop, rest);
    }
    return (struct fragment){open.start, close.end};
}

/* ---- Names of properties that are not declared: every string but the declared ones. */

struct name {
    uint32_t *characters; /* [n] in the compiler's arena */
    size_t n;
};

static bool read_name(struct schema_compiler *compiler, const char *text, struct name *name)
{
    size_t length = strlen(text);
    if (length > MAX_NAME) {
        builder_fail(compiler->builder, SAMPAN_ELIMIT, "the JSON Schema declares a property with a name of %zu bytes, expected at most %d", length, MAX_NAME);
        return false;
    }
    name->n = 0;
    name->characters = arena_alloc_array(&compiler->arena, length + 1, sizeof *name->characters);
    if (!name->characters) {
        schema_no_memory(compiler);
        return false;
    }
    for (size_t i = 0; i < length;) {
        int n = utf8_decode(text + i, length - i, &name->characters[name->n++]);
        i += n > 0 ? (size_t)n : 1; /* jansson gives valid UTF-8 */
    }
    return true;
}

static uint32_t character_at(const struct name *name, size_t at)
{
    return at < name->n ? name->characters[at] : UINT32_MAX;
}

/* From `node`, where the names first .. last - 1 share `at` characters, to `end` by whatever is none of them; `free_node` takes any rest. Names are sorted. */
static void add_other_names(struct grammar_builder *builder, const struct name *names, size_t first, size_t last, size_t at, int32_t node, int32_t free_node,
                            int32_t end)
{
    uint32_t next_character = 0;
    bool is_name = first < last && names[first].n == at;
    if (!is_name)
        builder_epsilon(builder, node, end);
    for (size_t i = first + is_name; i <= last && !builder->status; i++) {
        uint32_t character = i < last ? character_at(&names[i], at) : 0x110000;
        if (i < last && i > first && character == character_at(&names[i - 1], at))
            continue;
        if (character > next_character) {
            struct character_range gap = {next_character, character - 1};
            struct fragment other = build_characters(builder, &gap, 1, FORM_JSON);
            builder_epsilon(builder, node, other.start);
            builder_epsilon(builder, other.end, free_node);
        }
        next_character = character + 1;
        if (i == last)
            break;
        size_t group_end = i;
        while (group_end < last && character_at(&names[group_end], at) == character)
            group_end++;
        struct character_range one = {character, character};
        struct fragment same = build_characters(builder, &one, 1, FORM_JSON);
        builder_epsilon(builder, node, same.start);
        add_other_names(builder, names, i, group_end, at + 1, same.end, free_node, end);
    }
}

static int compare_names(const struct name *a, const struct name *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (a->characters[i] != b->characters[i])
            return a->characters[i] < b->characters[i] ? -1 : 1;
    return a->n < b->n ? -1 : a->n > b->n;
}

/* Insertion by halves: the number of properties is small. */
static void sort_names(struct name *names, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct name name = names[i];
        size_t at = i;
        for (; at > 0 && compare_names(&name, &names[at - 1]) < 0; at--)
            names[at] = names[at - 1];
        names[at] = name;
    }
}

static struct fragment build_other_name(struct schema_compiler *compiler, json_t *properties)
{
    static const struct character_range all[] = {{0, 0x10FFFF}};
    struct grammar_builder *builder = compiler->builder;
    size_t n = json_object_size(properties), i = 0;
    struct name *names = arena_alloc_array(&compiler->arena, n + 1, sizeof *names);
    struct fragment open = build_string(builder, "\""), close = build_string(builder, "\"");
    if (!names) {
        schema_no_memory(compiler);
        return open;
    }
    for (void *at = json_object_iter(properties); at && read_name(compiler, json_object_iter_key(at), &names[i]); at = json_object_iter_next(properties, at))
        i++;
    sort_names(names, i);
    int32_t free_node = builder_node(builder);
    int32_t any = builder_rule(builder, "a character", build_characters(builder, all, 1, FORM_JSON));
    builder_call(builder, free_node, free_node, any);
    builder_epsilon(builder, free_node, close.start);
    if (!builder->status)
        add_other_names(builder, names, 0, i, 0, open.end, free_node, close.start);
    return (struct fragment){open.start, close.end};
}

/* ---- Objects. */

struct members {
    struct schema_compiler *compiler;
    json_t *properties; /* declared or required; owned by compiler->made */
    json_t *required;   /* array or NULL */
    int32_t other;      /* rule of a member that is not declared, or -1 */
    int32_t end;        /* behind the last member */
};

static bool is_required(json_t *required, const char *name)
{
    for (size_t i = 0; i < json_array_size(required); i++)
        if (strcmp(json_string_value(json_array_get(required, i)), name) == 0)
            return true;
    return false;
}

static struct fragment build_member(struct schema_compiler *compiler, struct fragment name, int32_t value)
{
    struct grammar_builder *builder = compiler->builder;
    return build_sequence(builder, build_sequence(builder, name, text_and_space(compiler, ":")), build_call(builder, value));
}

/* A chain over the properties in two lanes: nothing was written yet, something was (then a comma comes first). */
static void add_members(struct members *members, int32_t start)
{
    struct schema_compiler *compiler = members->compiler;
    struct grammar_builder *builder = compiler->builder;
    int32_t none = start, some = builder_node(builder); /* lanes; `none` ends for good at a required property */
    for (void *at = json_object_iter(members->properties); at && !builder->status; at = json_object_iter_next(members->properties, at)) {
        json_t *name = json_string(json_object_iter_key(at));
        if (!name) {
            schema_no_memory(compiler);
            return;
        }
        bool required = is_required(members->required, json_object_iter_key(at));
        struct fragment member = build_member(compiler, build_literal_value(compiler, name), schema_rule(compiler, json_object_iter_value(at)));
        int32_t rule = builder_rule(builder, "a property", member), next_none = builder_node(builder), next_some = builder_node(builder);
        struct fragment comma = text_and_space(compiler, ",");
        json_decref(name);
        builder_call(builder, none, next_some, rule);
        builder_epsilon(builder, some, comma.start);
        builder_call(builder, comma.end, next_some, rule);
        if (!required) {
            builder_epsilon(builder, none, next_none);
            builder_epsilon(builder, some, next_some);
        }
        none = next_none;
        some = next_some;
    }
    struct fragment space = call_space(compiler);
    builder_epsilon(builder, none, members->end);
    builder_epsilon(builder, some, space.start);
    builder_epsilon(builder, space.end, members->end);
    if (members->other >= 0) {
        struct fragment comma = text_and_space(compiler, ",");
        builder_call(builder, none, some, members->other);
        builder_epsilon(builder, some, comma.start);
        builder_call(builder, comma.end, some, members->other);
    }
}

/* A map: no declared property, a bounded number of members. */
static void add_counted_members(struct members *members, int32_t start, int64_t minimum, int64_t maximum)
{
    struct schema_compiler *compiler = members->compiler;
    struct grammar_builder *builder = compiler->builder;
    if (members->other < 0 || maximum == 0) {
        if (minimum <= 0)
            builder_epsilon(builder, start, members->end);
        return;
    }
    struct fragment another = build_sequence(builder, text_and_space(compiler, ","), build_call(builder, members->other));
    struct fragment more = build_repeat(builder, builder_rule(builder, "another member", another), minimum > 1 ? minimum - 1 : 0,
                                        maximum == BUILD_UNBOUNDED ? BUILD_UNBOUNDED : maximum - 1);
    struct fragment all = build_sequence(builder, build_sequence(builder, build_call(builder, members->other), more), call_space(compiler));
    builder_epsilon(builder, start, all.start);
    builder_epsilon(builder, all.end, members->end);
    if (minimum <= 0)
        builder_epsilon(builder, start, members->end);
}

/* Declared properties, and required ones that are not declared as what additionalProperties says of them. */
static json_t *list_properties(struct schema_compiler *compiler, json_t *schema)
{
    json_t *declared = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    json_t *other = json_object_get(schema, "additionalProperties"), *all = schema_own(compiler, declared ? json_copy(declared) : json_object());
    for (size_t i = 0; all && i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (json_object_get(all, name))
            continue;
        if (json_object_set_new(all, name, other ? json_incref(other) : json_true()))
            schema_no_memory(compiler);
    }
    return all;
}

static int32_t make_other_rule(struct schema_compiler *compiler, json_t *schema, json_t *properties)
{
    json_t *other = json_object_get(schema, "additionalProperties"), *names = json_object_get(schema, "propertyNames");
    if (json_is_false(other))
        return -1;
    if (names && json_object_size(properties))
        builder_fail(compiler->builder, SAMPAN_EUNSUPPORTED,
                     "the JSON Schema has propertyNames beside declared properties; it works for objects without declared properties only");
    int32_t value = other ? schema_rule(compiler, other) : common_rule(compiler, RULE_VALUE);
    struct fragment name =
        names ? build_string_value(compiler, json_is_object(names) ? names : schema_own(compiler, json_object())) : build_other_name(compiler, properties);
    return builder_rule(compiler->builder, "a member", build_member(compiler, name, value));
}

struct fragment build_object_value(struct schema_compiler *compiler, json_t *schema)
{
    struct grammar_builder *builder = compiler->builder;
    int64_t minimum = count_of(schema, "minProperties", 0), maximum = count_of(schema, "maxProperties", BUILD_UNBOUNDED);
    struct members members = {.compiler = compiler, .properties = list_properties(compiler, schema), .required = json_object_get(schema, "required")};
    if (builder->status ||
        !schema_work(compiler, json_object_size(members.properties) * (json_array_size(members.required) + json_object_size(members.properties) / 4)))
        return (struct fragment){0, 0};
    int64_t n = (int64_t)json_object_size(members.properties), n_required = 0;
    for (void *at = json_object_iter(members.properties); at; at = json_object_iter_next(members.properties, at))
        n_required += is_required(members.required, json_object_iter_key(at));
    members.other = make_other_rule(compiler, schema, members.properties);
    bool counted = n == 0, follows = minimum <= n_required && (maximum == BUILD_UNBOUNDED || (members.other < 0 && maximum >= n));
    if (!counted && !follows)
        builder_fail(builder, SAMPAN_EUNSUPPORTED,
                     "the JSON Schema has minProperties or maxProperties beside declared properties; say by required and additionalProperties which there are");
    struct fragment open = text_and_space(compiler, "{"), close = build_string(builder, "}");
    members.end = close.start;
    if (counted)
        add_counted_members(&members, open.end, minimum, maximum);
    else
        add_members(&members, open.end);
    return (struct fragment){open.start, close.end};
}
