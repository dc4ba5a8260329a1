/* The parser: tokens to a tree, by jinja2's grammar. Filters, tests and tags that are not known are refused here, by name and line. The tree and all
 * constants lie in the template's arena and never change afterwards: any number of threads may evaluate it. */
#ifndef TEXT_TEMPLATE_PARSE_H
#define TEXT_TEMPLATE_PARSE_H

#include "base/hash_map.h"
#include "text/template/lexer.h"
#include "text/template/value.h"

enum jinja_node_kind {
    /* Expressions: list = items, a = operand (object, left), b = right (key), c = third */
    NODE_CONSTANT,
    NODE_NAME,
    NODE_LIST,
    NODE_TUPLE,
    NODE_DICT,      /* list: key, value, key, value, ... */
    NODE_ATTRIBUTE, /* a.constant */
    NODE_ITEM,      /* a[b] */
    NODE_SLICE,     /* a[b:c:d] */
    NODE_CALL,      /* a(list, keywords) */
    NODE_FILTER,    /* a | function(list, keywords); a is NULL in a filter block */
    NODE_TEST,      /* a is function(list, keywords) */
    NODE_NOT,
    NODE_NEGATE, /* detail: '-' or '+' */
    NODE_BINARY, /* detail: enum jinja_operator */
    NODE_AND,
    NODE_OR,
    NODE_CONCAT,              /* list */
    NODE_COMPARE,             /* a, then list of NODE_OPERAND */
    NODE_OPERAND,             /* detail: enum jinja_comparison, a */
    NODE_CONDITIONAL,         /* b if a else c (NULL: undefined) */
    NODE_NAMESPACE_ATTRIBUTE, /* target of an assignment: name.constant */
    NODE_ARGUMENT,            /* detail: enum jinja_argument_kind, a, constant: the keyword */
    /* Statements: body, other */
    NODE_TEXT,         /* constant */
    NODE_OUTPUT,       /* a */
    NODE_IF,           /* list of NODE_BRANCH */
    NODE_BRANCH,       /* a (NULL: else), body */
    NODE_FOR,          /* a: target, b: iterable, c: condition or NULL, body, other: else */
    NODE_SET,          /* a: target, b: value */
    NODE_SET_BLOCK,    /* a: target, b: filter or NULL, body */
    NODE_MACRO,        /* name, list of NODE_PARAMETER, body, detail: MACRO_USES_* */
    NODE_PARAMETER,    /* name, a: default or NULL */
    NODE_CALL_BLOCK,   /* a: call, b: the caller as NODE_MACRO */
    NODE_FILTER_BLOCK, /* a: filter, body */
    NODE_WITH,         /* list of NODE_SET, body */
    NODE_SCOPE,        /* body: {% generation %} */
    NODE_BREAK,
    NODE_CONTINUE
};

enum jinja_comparison { COMPARE_EQUAL, COMPARE_UNEQUAL, COMPARE_LESS, COMPARE_LESS_EQUAL, COMPARE_GREATER, COMPARE_GREATER_EQUAL, COMPARE_IN, COMPARE_NOT_IN };
enum jinja_argument_kind { ARGUMENT_POSITIONAL, ARGUMENT_KEYWORD, ARGUMENT_UNPACK, ARGUMENT_UNPACK_KEYWORDS };
enum { MACRO_USES_CALLER = 1, MACRO_USES_KEYWORDS = 2, MACRO_USES_VARIADIC = 4 };

struct jinja_node {
    enum jinja_node_kind kind;
    int detail;
    int line;
    int depth;     /* levels of nodes below: bounds the evaluator's recursion */
    uint32_t name; /* number of the name */
    const struct jinja_builtin *function;
    struct jinja_value constant;
    struct jinja_node *a, *b, *c, *d;
    struct jinja_node *list; /* first of a chain through `next` */
    struct jinja_node *body, *other;
    struct jinja_node *next;
    int count; /* nodes in `list` */
};

struct jinja_template {
    struct arena arena;
    struct jinja_node *body;
    struct jinja_string **names; /* [n_names]: what a name is called */
    uint32_t n_names;
    uint32_t loop_name, caller_name, keywords_name, variadic_name;
};

/* SAMPAN_EFORMAT (syntax), SAMPAN_EUNSUPPORTED (something unknown, named), SAMPAN_ELIMIT, SAMPAN_ENOMEM. */
int jinja_parse(const char *source, size_t length, struct jinja_template *parsed, struct error *err);
void jinja_template_free(struct jinja_template *parsed);

#endif
