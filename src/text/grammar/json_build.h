/* What the files of the JSON Schema front end share. */
#ifndef TEXT_GRAMMAR_JSON_BUILD_H
#define TEXT_GRAMMAR_JSON_BUILD_H

#include <jansson.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "text/grammar/build.h"

enum json_kind { KIND_NULL, KIND_BOOLEAN, KIND_INTEGER, KIND_NUMBER, KIND_STRING, KIND_ARRAY, KIND_OBJECT, KIND_COUNT };
#define KIND_BIT(kind) (1u << (kind))
#define ALL_KINDS ((1u << KIND_COUNT) - 1)

/* Rules that many schemas use, made when first asked for. */
enum common_rule {
    RULE_SPACE, /* nothing, a space, or a line break and indentation */
    RULE_VALUE, /* any value */
    RULE_OBJECT,
    RULE_ARRAY,
    RULE_STRING,
    RULE_CHARACTER, /* of a string, in any of its spellings */
    RULE_NUMBER,
    RULE_INTEGER,
    RULE_BOOLEAN,
    RULE_NULL,
    COMMON_RULE_COUNT
};

struct schema_compiler {
    struct grammar_builder *builder;
    json_t *root;                      /* borrowed */
    json_t *made;                      /* an array that owns merged schemas */
    struct arena arena;                /* keys of `rules` */
    struct hash_map rules;             /* from a schema's address to its rule */
    int32_t common[COMMON_RULE_COUNT]; /* -1: not made */
    int depth, nesting;                /* of merging; of schemas in one another */
    int64_t work;                      /* keywords merged and compared: bounds what a schema may cost */
};

void schema_compiler_init(struct schema_compiler *compiler, struct grammar_builder *builder, json_t *root);
void schema_compiler_free(struct schema_compiler *compiler);
void schema_no_memory(struct schema_compiler *compiler);
/* Counts work against LIMIT_SCHEMA_WORK; false, and a failure, once it is used up. */
bool schema_work(struct schema_compiler *compiler, size_t amount);
int32_t common_rule(struct schema_compiler *compiler, enum common_rule which);

/* The rule of a schema (borrowed, or owned by compiler->made); the same schema always has the same rule, which is how recursion ends. */
int32_t schema_rule(struct schema_compiler *compiler, json_t *schema);

/* One kind of value under a schema's keywords, all checked and merged. */
struct fragment build_string_value(struct schema_compiler *compiler, json_t *schema);
struct fragment build_number_value(struct schema_compiler *compiler, json_t *schema, bool integer);
struct fragment build_array_value(struct schema_compiler *compiler, json_t *schema);
struct fragment build_object_value(struct schema_compiler *compiler, json_t *schema);
struct fragment build_literal_value(struct schema_compiler *compiler, json_t *value); /* as JSON */

/* The kinds of value that a schema's keywords speak of; 0: none in particular. */
unsigned schema_spoken_kinds(json_t *schema);

/* ---- json_merge.c */

unsigned json_kinds(struct schema_compiler *compiler, json_t *schema); /* bits of the `type` keyword; ALL_KINDS where there is none */
/* A schema that means both; owned by compiler->made. */
json_t *merge_schemas(struct schema_compiler *compiler, json_t *a, json_t *b);
json_t *resolve_reference(struct schema_compiler *compiler, const char *reference);      /* NULL and a failure where there is nothing */
bool schemas_exclude(struct schema_compiler *compiler, json_t *a, json_t *b, int depth); /* provably no value satisfies both */
json_t *schema_own(struct schema_compiler *compiler, json_t *made);                      /* takes the reference over; NULL: out of memory */

#endif
