/* Two schemas as one (allOf, keywords beside $ref or anyOf), references, and proofs that two schemas exclude one another (oneOf). */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "text/grammar/json_build.h"

static const char *const kind_names[KIND_COUNT] = {"null", "boolean", "integer", "number", "string", "array", "object"};

json_t *schema_own(struct schema_compiler *compiler, json_t *made)
{
    if (!made || json_array_append_new(compiler->made, made)) {
        schema_no_memory(compiler);
        return NULL;
    }
    return made;
}

/* ---- Types. */

static unsigned kind_of_name(struct schema_compiler *compiler, json_t *name)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        if (json_is_string(name) && strcmp(kind_names[kind], json_string_value(name)) == 0)
            return kind == KIND_NUMBER ? KIND_BIT(KIND_NUMBER) | KIND_BIT(KIND_INTEGER) : KIND_BIT(kind);
    builder_fail(compiler->builder, SAMPAN_EINVAL, "the JSON Schema has the type '%.60s', expected null, boolean, integer, number, string, array or object",
                 json_is_string(name) ? json_string_value(name) : "(no string)");
    return 0;
}

unsigned json_kinds(struct schema_compiler *compiler, json_t *schema)
{
    json_t *type = json_object_get(schema, "type");
    unsigned kinds = 0;
    if (!type)
        return ALL_KINDS;
    if (!json_is_array(type))
        return kind_of_name(compiler, type);
    for (size_t i = 0; i < json_array_size(type); i++)
        kinds |= kind_of_name(compiler, json_array_get(type, i));
    return kinds;
}

static json_t *type_of_kinds(unsigned kinds)
{
    json_t *names = json_array();
    for (unsigned kind = 0; names && kind < KIND_COUNT; kind++) {
        bool covered = kind == KIND_INTEGER && (kinds & KIND_BIT(KIND_NUMBER));
        if ((kinds & KIND_BIT(kind)) && !covered && json_array_append_new(names, json_string(kind_names[kind]))) {
            json_decref(names);
            return NULL;
        }
    }
    return names;
}

/* ---- References: "#", "#/$defs/node", with ~0 ~1 and %-escapes. */

static int hexadecimal(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One part of a pointer, up to the next slash, unescaped into `part`; returns what is behind it. */
static const char *read_part(const char *at, char *part)
{
    size_t n = 0;
    while (*at && *at != '/') {
        char c = *at++;
        if (c == '~' && (*at == '0' || *at == '1'))
            c = *at++ == '0' ? '~' : '/';
        else if (c == '%' && hexadecimal(at[0]) >= 0 && hexadecimal(at[1]) >= 0) {
            c = (char)(hexadecimal(at[0]) * 16 + hexadecimal(at[1]));
            at += 2;
        }
        part[n++] = c;
    }
    part[n] = '\0';
    return at;
}

json_t *resolve_reference(struct schema_compiler *compiler, const char *reference)
{
    json_t *at = reference[0] == '#' && (reference[1] == '/' || !reference[1]) ? compiler->root : NULL;
    char *part = mem_alloc(strlen(reference) + 1);
    if (!part) {
        schema_no_memory(compiler);
        return NULL;
    }
    for (const char *rest = reference + (at != NULL); at && *rest == '/';) {
        rest = read_part(rest + 1, part);
        if (json_is_array(at))
            at = part[0] >= '0' && part[0] <= '9' && strlen(part) < 9 ? json_array_get(at, (size_t)strtoul(part, NULL, 10)) : NULL;
        else
            at = json_object_get(at, part);
    }
    mem_free(part);
    if (!at)
        builder_fail(compiler->builder, SAMPAN_EINVAL, "the JSON Schema refers to '%.200s', which is not in it; references like #/$defs/name work", reference);
    return at;
}

/* ---- Merging. */

enum merge_rule {
    MERGE_LARGER, /* the larger number */
    MERGE_SMALLER,
    MERGE_BOTH,    /* schemas: {"allOf": [a, b]} */
    MERGE_UNION,   /* of two arrays */
    MERGE_EQUAL,   /* must be the same */
    MERGE_EITHER,  /* true where one is */
    MERGE_CROSS,   /* anyOf, oneOf: every pair */
    MERGE_JOIN,    /* allOf: behind one another */
    MERGE_SPECIAL, /* by code of their own */
    MERGE_DROP,    /* definitions: found from the root anyway */
};

static const struct {
    const char *key;
    enum merge_rule rule;
} merge_rows[] = {
    {"minimum", MERGE_LARGER},
    {"exclusiveMinimum", MERGE_LARGER},
    {"minLength", MERGE_LARGER},
    {"minItems", MERGE_LARGER},
    {"minProperties", MERGE_LARGER},
    {"maximum", MERGE_SMALLER},
    {"exclusiveMaximum", MERGE_SMALLER},
    {"maxLength", MERGE_SMALLER},
    {"maxItems", MERGE_SMALLER},
    {"maxProperties", MERGE_SMALLER},
    {"required", MERGE_UNION},
    {"pattern", MERGE_EQUAL},
    {"format", MERGE_EQUAL},
    {"multipleOf", MERGE_EQUAL},
    {"uniqueItems", MERGE_EITHER},
    {"propertyNames", MERGE_BOTH},
    {"anyOf", MERGE_CROSS},
    {"oneOf", MERGE_CROSS},
    {"allOf", MERGE_JOIN},
    {"type", MERGE_SPECIAL},
    {"enum", MERGE_SPECIAL},
    {"const", MERGE_SPECIAL},
    {"properties", MERGE_SPECIAL},
    {"additionalProperties", MERGE_SPECIAL},
    {"items", MERGE_SPECIAL},
    {"prefixItems", MERGE_SPECIAL},
    {"$defs", MERGE_DROP},
    {"definitions", MERGE_DROP},
};

static enum merge_rule rule_of_key(const char *key)
{
    for (size_t i = 0; i < sizeof merge_rows / sizeof *merge_rows; i++)
        if (strcmp(merge_rows[i].key, key) == 0)
            return merge_rows[i].rule;
    return MERGE_EITHER; /* annotations, and what schema_rule refuses by name afterwards */
}

/* New references, like every json_t that the helpers below return; NULL where memory ran out. */
static json_t *both(json_t *a, json_t *b)
{
    if (!a || !b || a == b)
        return json_incref(a ? a : b);
    return json_pack("{s:[O,O]}", "allOf", a, b);
}

static json_t *union_of(struct schema_compiler *compiler, json_t *a, json_t *b)
{
    json_t *all = json_copy(a);
    bool affordable = schema_work(compiler, json_array_size(a) * json_array_size(b));
    for (size_t i = 0; affordable && all && i < json_array_size(b); i++) {
        bool there = false;
        for (size_t k = 0; k < json_array_size(a) && !there; k++)
            there = json_equal(json_array_get(a, k), json_array_get(b, i));
        if (!there && json_array_append(all, json_array_get(b, i))) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *cross(struct schema_compiler *compiler, json_t *a, json_t *b)
{
    json_t *all = json_array();
    if (json_array_size(a) * json_array_size(b) > 256)
        builder_fail(compiler->builder, SAMPAN_ELIMIT, "the JSON Schema combines anyOf or oneOf with %zu and %zu alternatives; at most 256 pairs work",
                     json_array_size(a), json_array_size(b));
    for (size_t i = 0; all && i < json_array_size(a) && !compiler->builder->status; i++)
        for (size_t k = 0; k < json_array_size(b); k++)
            if (json_array_append_new(all, both(json_array_get(a, i), json_array_get(b, k))))
                schema_no_memory(compiler);
    return all;
}

static json_t *merge_values(struct schema_compiler *compiler, const char *key, json_t *a, json_t *b)
{
    json_t *joined;
    switch (rule_of_key(key)) {
    case MERGE_LARGER: return json_incref(json_number_value(a) >= json_number_value(b) ? a : b);
    case MERGE_SMALLER: return json_incref(json_number_value(a) <= json_number_value(b) ? a : b);
    case MERGE_BOTH: return both(a, b);
    case MERGE_UNION: return union_of(compiler, a, b);
    case MERGE_CROSS: return cross(compiler, a, b);
    case MERGE_JOIN:
        joined = json_copy(a);
        if (joined && json_array_extend(joined, b)) {
            json_decref(joined);
            return NULL;
        }
        return joined;
    case MERGE_EQUAL:
        if (!json_equal(a, b))
            builder_fail(compiler->builder, SAMPAN_EUNSUPPORTED, "the JSON Schema asks for two different values of %s at once (allOf, or beside $ref or anyOf)",
                         key);
        return json_incref(a);
    default: return json_incref(json_is_true(a) ? a : b);
    }
}

static void put(struct schema_compiler *compiler, json_t *merged, const char *key, json_t *value)
{
    if (json_object_set_new(merged, key, value))
        schema_no_memory(compiler);
}

static void merge_types(struct schema_compiler *compiler, json_t *merged, json_t *a, json_t *b)
{
    if (json_object_get(a, "type") || json_object_get(b, "type"))
        put(compiler, merged, "type", type_of_kinds(json_kinds(compiler, a) & json_kinds(compiler, b)));
}

/* The list of allowed values (new reference), or NULL where the schema names none. */
static json_t *allowed_values(struct schema_compiler *compiler, json_t *schema)
{
    json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum"), *values = NULL;
    if (!one)
        return json_incref(list);
    values = json_array();
    bool fits = !list;
    for (size_t i = 0; i < json_array_size(list) && !fits; i++)
        fits = json_equal(json_array_get(list, i), one);
    if (!values || (fits && json_array_append(values, one)))
        schema_no_memory(compiler);
    return values;
}

static void merge_allowed_values(struct schema_compiler *compiler, json_t *merged, json_t *a, json_t *b)
{
    json_t *x = allowed_values(compiler, a), *y = allowed_values(compiler, b), *shared = NULL;
    if (x && y) {
        bool affordable = schema_work(compiler, json_array_size(x) * json_array_size(y));
        shared = json_array();
        for (size_t i = 0; affordable && shared && i < json_array_size(x); i++)
            for (size_t k = 0; k < json_array_size(y); k++)
                if (json_equal(json_array_get(x, i), json_array_get(y, k)) && json_array_append(shared, json_array_get(x, i)))
                    schema_no_memory(compiler);
    }
    if (x || y)
        put(compiler, merged, "enum", x && y ? shared : json_incref(x ? x : y));
    json_decref(x);
    json_decref(y);
}

/* A property that one side declares must satisfy what the other says of properties it does not declare. */
static void add_properties(struct schema_compiler *compiler, json_t *properties, json_t *side, json_t *other)
{
    json_t *declared = json_object_get(side, "properties");
    for (void *at = json_object_iter(declared); at; at = json_object_iter_next(declared, at)) {
        const char *name = json_object_iter_key(at);
        json_t *there = json_object_get(json_object_get(other, "properties"), name);
        if (!json_object_get(properties, name))
            put(compiler, properties, name, both(json_object_iter_value(at), there ? there : json_object_get(other, "additionalProperties")));
    }
}

static void merge_objects(struct schema_compiler *compiler, json_t *merged, json_t *a, json_t *b)
{
    json_t *x = json_object_get(a, "additionalProperties"), *y = json_object_get(b, "additionalProperties");
    if (json_object_get(a, "properties") || json_object_get(b, "properties")) {
        json_t *properties = json_object();
        add_properties(compiler, properties, a, b);
        add_properties(compiler, properties, b, a);
        put(compiler, merged, "properties", properties);
    }
    if (x || y)
        put(compiler, merged, "additionalProperties", json_is_false(x) || json_is_false(y) ? json_false() : both(x, y));
}

static json_t *item_schema(json_t *schema, size_t i)
{
    json_t *prefix = json_object_get(schema, "prefixItems");
    return i < json_array_size(prefix) ? json_array_get(prefix, i) : json_object_get(schema, "items");
}

static void merge_arrays(struct schema_compiler *compiler, json_t *merged, json_t *a, json_t *b)
{
    json_t *x = json_object_get(a, "items"), *y = json_object_get(b, "items");
    size_t n = json_array_size(json_object_get(a, "prefixItems")), m = json_array_size(json_object_get(b, "prefixItems"));
    if (n || m) {
        json_t *prefix = json_array();
        for (size_t i = 0; prefix && i < (n > m ? n : m); i++) {
            json_t *p = item_schema(a, i), *q = item_schema(b, i);
            if (json_array_append_new(prefix, p || q ? both(p, q) : json_true()))
                schema_no_memory(compiler);
        }
        put(compiler, merged, "prefixItems", prefix);
    }
    if (x || y)
        put(compiler, merged, "items", both(x, y));
}

/* `a` without its reference: the schema it refers to, merged with what stands beside it. */
static json_t *follow_reference(struct schema_compiler *compiler, json_t *schema)
{
    json_t *reference = json_object_get(schema, "$ref");
    if (!reference)
        return schema;
    json_t *target = resolve_reference(compiler, json_string_value(reference)), *rest = schema_own(compiler, json_copy(schema));
    if (!target || !rest)
        return NULL;
    json_object_del(rest, "$ref");
    return merge_schemas(compiler, rest, target);
}

static json_t *merge_objects_of_keywords(struct schema_compiler *compiler, json_t *a, json_t *b)
{
    json_t *merged = schema_own(compiler, json_object());
    json_t *sides[2] = {a, b};
    if (!merged || !schema_work(compiler, 16 + json_object_size(json_object_get(a, "properties")) + json_object_size(json_object_get(b, "properties")) +
                                              json_array_size(json_object_get(a, "allOf")) + json_array_size(json_object_get(b, "allOf"))))
        return NULL;
    for (int side = 0; side < 2; side++) {
        for (void *at = json_object_iter(sides[side]); at && !compiler->builder->status; at = json_object_iter_next(sides[side], at)) {
            const char *key = json_object_iter_key(at);
            json_t *there = json_object_get(sides[1 - side], key);
            enum merge_rule rule = rule_of_key(key);
            if (rule == MERGE_SPECIAL || rule == MERGE_DROP || json_object_get(merged, key))
                continue;
            put(compiler, merged, key, there ? merge_values(compiler, key, json_object_iter_value(at), there) : json_incref(json_object_iter_value(at)));
        }
    }
    merge_types(compiler, merged, a, b);
    merge_allowed_values(compiler, merged, a, b);
    merge_objects(compiler, merged, a, b);
    merge_arrays(compiler, merged, a, b);
    return merged;
}

json_t *merge_schemas(struct schema_compiler *compiler, json_t *a, json_t *b)
{
    json_t *merged = NULL;
    if (++compiler->depth > LIMIT_GRAMMAR_DEPTH)
        builder_fail(compiler->builder, SAMPAN_ELIMIT, "the JSON Schema combines schemas (allOf, anyOf or $ref with other keywords) deeper than %d levels",
                     LIMIT_GRAMMAR_DEPTH);
    if (compiler->builder->status)
        return NULL;
    if (json_is_boolean(a) || json_is_boolean(b)) {
        merged = json_is_false(a) || json_is_true(b) ? a : b;
    } else {
        a = follow_reference(compiler, a);
        b = a ? follow_reference(compiler, b) : NULL;
        if (a && b)
            merged = json_is_boolean(a) || json_is_boolean(b) ? (json_is_false(a) || json_is_true(b) ? a : b) : merge_objects_of_keywords(compiler, a, b);
    }
    compiler->depth--;
    return compiler->builder->status ? NULL : merged;
}

/* ---- Excluding one another. */

static unsigned kind_of_value(json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL: return KIND_BIT(KIND_NULL);
    case JSON_TRUE:
    case JSON_FALSE: return KIND_BIT(KIND_BOOLEAN);
    case JSON_INTEGER: return KIND_BIT(KIND_INTEGER);
    case JSON_REAL: return KIND_BIT(KIND_NUMBER);
    case JSON_STRING: return KIND_BIT(KIND_STRING);
    case JSON_ARRAY: return KIND_BIT(KIND_ARRAY);
    default: return KIND_BIT(KIND_OBJECT);
    }
}

static unsigned possible_kinds(struct schema_compiler *compiler, json_t *schema, json_t *values)
{
    unsigned kinds = json_kinds(compiler, schema), of_values = 0;
    if (!json_object_get(schema, "type") && !values && schema_spoken_kinds(schema))
        kinds = schema_spoken_kinds(schema); /* only such values are made */
    for (size_t i = 0; i < json_array_size(values); i++)
        of_values |= kind_of_value(json_array_get(values, i));
    /* 1.0 is an integer too. */
    if (of_values & (KIND_BIT(KIND_INTEGER) | KIND_BIT(KIND_NUMBER)))
        of_values |= KIND_BIT(KIND_INTEGER) | KIND_BIT(KIND_NUMBER);
    if (kinds & KIND_BIT(KIND_INTEGER))
        kinds |= KIND_BIT(KIND_NUMBER);
    return values ? kinds & of_values : kinds;
}

static bool values_exclude(struct schema_compiler *compiler, json_t *x, json_t *y)
{
    if (!schema_work(compiler, json_array_size(x) * json_array_size(y)))
        return false;
    for (size_t i = 0; i < json_array_size(x); i++)
        for (size_t k = 0; k < json_array_size(y); k++)
            if (json_equal(json_array_get(x, i), json_array_get(y, k)) ||
                (json_is_number(json_array_get(x, i)) && json_number_value(json_array_get(x, i)) == json_number_value(json_array_get(y, k))))
                return false;
    return true;
}

static bool numbers_exclude(json_t *a, json_t *b)
{
    static const char *const low[] = {"minimum", "exclusiveMinimum"}, *const high[] = {"maximum", "exclusiveMaximum"};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            json_t *l = json_object_get(a, low[i]), *h = json_object_get(b, high[k]);
            bool open = i || k;
            if (l && h && (json_number_value(l) > json_number_value(h) || (open && json_number_value(l) == json_number_value(h))))
                return true;
        }
    }
    return false;
}

static bool requires(json_t *schema, const char *name)
{
    json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++)
        if (strcmp(json_string_value(json_array_get(required, i)), name) == 0)
            return true;
    return false;
}

/* Where both are objects: a property that `a` requires and that `b` forbids, or of which both say things that exclude one another while one requires it. */
static bool objects_exclude(struct schema_compiler *compiler, json_t *a, json_t *b, int depth)
{
    json_t *required = json_object_get(a, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        json_t *x = json_object_get(json_object_get(a, "properties"), name), *y = json_object_get(json_object_get(b, "properties"), name);
        if (!y && json_is_false(json_object_get(b, "additionalProperties")))
            return true;
        if (x && y && requires(b, name) && schemas_exclude(compiler, x, y, depth + 1))
            return true;
    }
    return false;
}

bool schemas_exclude(struct schema_compiler *compiler, json_t *a, json_t *b, int depth)
{
    if (json_is_false(a) || json_is_false(b))
        return true;
    if (depth > 8 || !json_is_object(a) || !json_is_object(b) || !schema_work(compiler, 16))
        return false;
    a = follow_reference(compiler, a);
    b = a ? follow_reference(compiler, b) : NULL;
    if (!a || !b || !json_is_object(a) || !json_is_object(b))
        return false;
    json_t *x = allowed_values(compiler, a), *y = allowed_values(compiler, b);
    unsigned shared = possible_kinds(compiler, a, x) & possible_kinds(compiler, b, y);
    unsigned numeric = KIND_BIT(KIND_INTEGER) | KIND_BIT(KIND_NUMBER);
    bool exclude = (x && y && values_exclude(compiler, x, y)) || shared == 0;
    json_decref(x);
    json_decref(y);
    if (!exclude && (shared & ~numeric) == 0)
        exclude = numbers_exclude(a, b) || numbers_exclude(b, a);
    if (!exclude && shared == KIND_BIT(KIND_OBJECT))
        exclude = objects_exclude(compiler, a, b, depth) || objects_exclude(compiler, b, a, depth);
    return exclude;
}
