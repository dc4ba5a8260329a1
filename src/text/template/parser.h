/* Inside of the parser: what statements (parse.c) and expressions (parse_expression.c) share. */
#ifndef TEXT_TEMPLATE_PARSER_H
#define TEXT_TEMPLATE_PARSER_H

#include "text/template/parse.h"

struct jinja_parser {
    struct jinja_template *result;
    struct jinja_tokens tokens;
    size_t at;
    struct hash_map names;     /* text -> number */
    unsigned char *name_flags; /* [name_capacity] NAME_* */
    size_t name_capacity;
    int n_nodes, depth;
    int loop_depth;    /* loops around this place of the same function: break and continue need one */
    int for_depth;     /* all loops around: `loop` may not be assigned there */
    int macro_uses;    /* MACRO_USES_* of the macro being parsed */
    struct error *err; /* never NULL */
};
enum { NAME_STORED = 1, NAME_TESTED = 2, NAME_CALLED = 4 };

/* The node, or NULL after an error. */
struct jinja_node *parser_node(struct jinja_parser *parser, enum jinja_node_kind kind, int line);
struct jinja_node *parser_fail(struct jinja_parser *parser, int code, const char *format, ...) BASE_PRINTF(3, 4);
struct jinja_node *parser_fail_expected(struct jinja_parser *parser, const char *expected); /* "expected ..., found ..." */
bool parser_name(struct jinja_parser *parser, const char *text, size_t length, uint32_t *name);
bool parser_enter(struct jinja_parser *parser); /* undone by parser->depth-- */
void parser_raise_depth(struct jinja_node *node, const struct jinja_node *child);
struct jinja_node *parser_close(struct jinja_parser *parser, struct jinja_node *node); /* computes depth from all children; refuses too deep ones */

static inline const struct jinja_token *parser_peek(const struct jinja_parser *parser, size_t ahead)
{
    size_t at = parser->at + ahead;
    return &parser->tokens.items[at < parser->tokens.count ? at : parser->tokens.count - 1];
}
bool parser_is_operator(const struct jinja_parser *parser, const char *sign);
bool parser_is_name(const struct jinja_parser *parser, size_t ahead, const char *name);
bool parser_skip_operator(struct jinja_parser *parser, const char *sign); /* true when it was there */
bool parser_skip_name(struct jinja_parser *parser, const char *name);
bool parser_expect_operator(struct jinja_parser *parser, const char *sign);

/* A list under construction. */
struct node_chain {
    struct jinja_node *first, *last;
    int count;
};
void chain_add(struct node_chain *chain, struct jinja_node *node);

struct jinja_node *parse_expression(struct jinja_parser *parser, bool with_conditional);
/* jinja2's parse_tuple: expressions with commas between make a tuple. `end`: a word that ends it ("in"), or NULL. */
struct jinja_node *parse_tuple(struct jinja_parser *parser, bool with_conditional, const char *end, bool parentheses);
struct jinja_node *parse_primary(struct jinja_parser *parser, bool with_namespace);
/* Filters behind `operand` (NULL in blocks); `inline_start`: the first comes without '|'. */
struct jinja_node *parse_filters(struct jinja_parser *parser, struct jinja_node *operand, bool inline_start);
/* The target of set, for, with: a name, a namespace attribute where allowed, or a tuple of them. */
struct jinja_node *parse_target(struct jinja_parser *parser, const char *end, bool with_namespace);

#endif
