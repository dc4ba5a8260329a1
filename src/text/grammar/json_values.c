/* JSON itself (RFC 8259), as rules: what a schema leaves open. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "text/grammar/json_build.h"
#include "text/grammar/json_schema.h"

#define MAX_INDENTATION 40 /* spaces or tabs behind a line break */
#define MAX_DIGITS 16      /* in front of and behind the point: what a double tells apart; and a model that likes zeros ends */

void schema_compiler_init(struct schema_compiler *compiler, struct grammar_builder *builder, json_t *root)
{
    *compiler = (struct schema_compiler){.builder = builder, .root = root};
    arena_init(&compiler->arena, 64u << 20);
    memset(compiler->common, -1, sizeof compiler->common);
    compiler->made = json_array();
    if (!compiler->made)
        schema_no_memory(compiler);
}

void schema_compiler_free(struct schema_compiler *compiler)
{
    json_decref(compiler->made);
    hash_map_free(&compiler->rules);
    arena_free(&compiler->arena);
}

void schema_no_memory(struct schema_compiler *compiler)
{
    if (!compiler->builder->status)
        compiler->builder->status = error_no_memory(compiler->builder->err, "compiling a JSON Schema");
}

bool schema_work(struct schema_compiler *compiler, size_t amount)
{
    compiler->work += (int64_t)(amount < LIMIT_SCHEMA_WORK ? amount : LIMIT_SCHEMA_WORK);
    if (compiler->work > LIMIT_SCHEMA_WORK)
        builder_fail(compiler->builder, SAMPAN_ELIMIT,
                     "the JSON Schema takes too much work to combine (allOf, anyOf, oneOf, long lists of values or properties); make it simpler");
    return !compiler->builder->status;
}

/* ---- Pieces. */

static struct fragment ranges(struct grammar_builder *builder, const char *pairs)
{
    struct character_range list[8];
    size_t n = strlen(pairs) / 2;
    for (size_t i = 0; i < n && i < sizeof list / sizeof *list; i++)
        list[i] = (struct character_range){(unsigned char)pairs[2 * i], (unsigned char)pairs[2 * i + 1]};
    return build_characters(builder, list, n, FORM_PLAIN);
}

static struct fragment repeat_range(struct grammar_builder *builder, const char *pairs, int64_t minimum, int64_t maximum)
{
    return build_repeat(builder, builder_rule(builder, "characters", ranges(builder, pairs)), minimum, maximum);
}

static struct fragment sequence3(struct grammar_builder *builder, struct fragment a, struct fragment b, struct fragment c)
{
    return build_sequence(builder, build_sequence(builder, a, b), c);
}

static struct fragment call(struct schema_compiler *compiler, enum common_rule rule)
{
    return build_call(compiler->builder, common_rule(compiler, rule));
}

static struct fragment make_space(struct schema_compiler *compiler)
{
    struct grammar_builder *b = compiler->builder;
    struct fragment line = build_sequence(b, build_string(b, "\n"), repeat_range(b, "  \t\t", 0, MAX_INDENTATION));
    return build_optional(b, build_either(b, build_string(b, " "), line));
}

/* A character as it is or escaped; \u of a character that is no surrogate. */
static struct fragment make_character(struct schema_compiler *compiler)
{
    static const struct character_range all[] = {{0, 0x10FFFF}};
    struct grammar_builder *b = compiler->builder;
    struct fragment below_d = sequence3(b, ranges(b, "09acefACEF"), repeat_range(b, "09afAF", 3, 3), build_empty(b));
    struct fragment d = sequence3(b, ranges(b, "ddDD"), ranges(b, "07"), repeat_range(b, "09afAF", 2, 2));
    struct fragment unicode = build_sequence(b, build_string(b, "\\u"), build_either(b, below_d, d));
    return build_either(b, build_either(b, unicode, build_string(b, "\\/")), build_characters(b, all, 1, FORM_JSON));
}

static struct fragment make_string(struct schema_compiler *compiler)
{
    struct grammar_builder *b = compiler->builder;
    return sequence3(b, build_string(b, "\""), build_repeat(b, common_rule(compiler, RULE_CHARACTER), 0, BUILD_UNBOUNDED), build_string(b, "\""));
}

static struct fragment make_integer(struct schema_compiler *compiler)
{
    struct grammar_builder *b = compiler->builder;
    struct fragment digits = build_sequence(b, ranges(b, "19"), repeat_range(b, "09", 0, MAX_DIGITS - 1));
    return build_sequence(b, build_optional(b, build_string(b, "-")), build_either(b, build_string(b, "0"), digits));
}

static struct fragment make_number(struct schema_compiler *compiler)
{
    struct grammar_builder *b = compiler->builder;
    struct fragment fraction = build_sequence(b, build_string(b, "."), repeat_range(b, "09", 1, MAX_DIGITS));
    struct fragment exponent = sequence3(b, ranges(b, "eeEE"), build_optional(b, ranges(b, "++--")), repeat_range(b, "09", 1, 2));
    return sequence3(b, call(compiler, RULE_INTEGER), build_optional(b, fraction), build_optional(b, exponent));
}

/* open space (item (, space item)* space)? close */
static struct fragment make_list(struct schema_compiler *compiler, const char *open, struct fragment item, const char *close)
{
    struct grammar_builder *b = compiler->builder;
    int32_t item_rule = builder_rule(b, "a member", item);
    struct fragment another = sequence3(b, build_string(b, ","), call(compiler, RULE_SPACE), build_call(b, item_rule));
    struct fragment more = build_repeat(b, builder_rule(b, "another member", another), 0, BUILD_UNBOUNDED);
    struct fragment items = sequence3(b, build_call(b, item_rule), more, call(compiler, RULE_SPACE));
    return sequence3(b, build_sequence(b, build_string(b, open), call(compiler, RULE_SPACE)), build_optional(b, items), build_string(b, close));
}

static struct fragment make_object(struct schema_compiler *compiler)
{
    struct grammar_builder *b = compiler->builder;
    struct fragment colon = build_sequence(b, build_string(b, ":"), call(compiler, RULE_SPACE));
    return make_list(compiler, "{", sequence3(b, call(compiler, RULE_STRING), colon, call(compiler, RULE_VALUE)), "}");
}

static struct fragment make_array(struct schema_compiler *compiler)
{
    return make_list(compiler, "[", call(compiler, RULE_VALUE), "]");
}

static struct fragment make_boolean(struct schema_compiler *compiler)
{
    return build_either(compiler->builder, build_string(compiler->builder, "true"), build_string(compiler->builder, "false"));
}

static struct fragment make_null(struct schema_compiler *compiler)
{
    return build_string(compiler->builder, "null");
}

static struct fragment make_value(struct schema_compiler *compiler)
{
    static const enum common_rule kinds[] = {RULE_OBJECT, RULE_ARRAY, RULE_STRING, RULE_NUMBER, RULE_BOOLEAN};
    struct fragment value = call(compiler, RULE_NULL);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        value = build_either(compiler->builder, value, call(compiler, kinds[i]));
    return value;
}

int32_t common_rule(struct schema_compiler *compiler, enum common_rule which)
{
    static const struct {
        const char *name;
        struct fragment (*make)(struct schema_compiler *compiler);
    } rows[COMMON_RULE_COUNT] = {
        [RULE_SPACE] = {"space", make_space},    [RULE_VALUE] = {"value", make_value},       [RULE_OBJECT] = {"object", make_object},
        [RULE_ARRAY] = {"array", make_array},    [RULE_STRING] = {"string", make_string},    [RULE_CHARACTER] = {"character", make_character},
        [RULE_NUMBER] = {"number", make_number}, [RULE_INTEGER] = {"integer", make_integer}, [RULE_BOOLEAN] = {"boolean", make_boolean},
        [RULE_NULL] = {"null", make_null},
    };
    if (compiler->common[which] < 0) {
        /* Declared before it is made: an array holds values, which may be arrays. */
        compiler->common[which] = builder_declare(compiler->builder, rows[which].name, strlen(rows[which].name));
        struct fragment body = rows[which].make(compiler);
        builder_define(compiler->builder, compiler->common[which], body);
    }
    return compiler->common[which];
}

struct fragment build_literal_value(struct schema_compiler *compiler, json_t *value)
{
    struct fragment fragment = {0, 0};
    char *text = NULL;
    /* The shortest form of a number that reads back as the same one. */
    for (size_t precision = 15; precision <= 17; precision++) {
        mem_free(text);
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(precision));
        json_t *again = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
        bool same = again && json_equal(again, value);
        json_decref(again);
        if (same)
            break;
    }
    if (text)
        fragment = build_string(compiler->builder, text);
    else
        schema_no_memory(compiler);
    mem_free(text);
    return fragment;
}

void build_json_object(struct grammar_builder *builder)
{
    struct schema_compiler compiler;
    schema_compiler_init(&compiler, builder, NULL);
    builder_define(builder, 0, call(&compiler, RULE_OBJECT));
    schema_compiler_free(&compiler);
}
