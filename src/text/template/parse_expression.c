/* Expressions: jinja2/parser.py's precedence, from loose to tight:
 *
 *   if-else | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | ** | unary - + | .x [x] (x) | filters and tests
 *
 * with its oddities: ~ binds tighter than +, a unary minus takes the name only (-x|abs is (-x)|abs), ** groups to the left. */
#include <string.h>

#include "text/template/builtins.h"
#include "text/template/operate.h"
#include "text/template/parser.h"

static struct jinja_node *parse_unary(struct jinja_parser *parser, bool with_filter);

static struct jinja_node *make_pair(struct jinja_parser *parser, enum jinja_node_kind kind, int detail, int line, struct jinja_node *a, struct jinja_node *b)
{
    struct jinja_node *node = parser_node(parser, kind, line);
    if (!node)
        return NULL;
    node->detail = detail;
    node->a = a;
    node->b = b;
    return parser_close(parser, node);
}

static bool make_text(struct jinja_parser *parser, const char *bytes, size_t length, struct jinja_value *out)
{
    struct jinja_string *string = arena_alloc(&parser->result->arena, sizeof *string);
    if (!string) {
        parser_fail(parser, SAMPAN_ENOMEM, "out of memory while reading a template");
        return false;
    }
    *string = (struct jinja_string){.bytes = bytes, .length = length, .origin = ORIGIN_TEMPLATE, .n_characters = -1};
    jinja_string_count(string); /* now: later, threads share it */
    *out = jinja_string_value(string);
    return true;
}

/* --- primaries --- */

static struct jinja_node *parse_string(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    size_t n = 0, length = 0;
    for (; parser_peek(parser, n)->type == TOKEN_STRING; n++)
        length += parser_peek(parser, n)->length;
    const char *bytes = token->text;
    if (n > 1) { /* neighbouring literals are one */
        char *joined = arena_alloc(&parser->result->arena, length + 1);
        if (!joined)
            return parser_fail(parser, SAMPAN_ENOMEM, "out of memory while reading a template");
        size_t done = 0;
        for (size_t i = 0; i < n; i++) {
            memcpy(joined + done, parser_peek(parser, i)->text, parser_peek(parser, i)->length);
            done += parser_peek(parser, i)->length;
        }
        bytes = joined;
    }
    struct jinja_node *node = parser_node(parser, NODE_CONSTANT, token->line);
    if (!node || !make_text(parser, bytes, length, &node->constant))
        return NULL;
    parser->at += n;
    return node;
}

static struct jinja_node *parse_name(struct jinja_parser *parser, bool with_namespace)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    struct jinja_node *node = parser_node(parser, NODE_CONSTANT, token->line);
    if (!node)
        return NULL;
    bool is_true = parser_is_name(parser, 0, "true") || parser_is_name(parser, 0, "True"),
         is_false = parser_is_name(parser, 0, "false") || parser_is_name(parser, 0, "False");
    bool is_none = parser_is_name(parser, 0, "none") || parser_is_name(parser, 0, "None");
    parser->at++;
    node->constant = is_none ? jinja_none() : jinja_bool(is_true);
    if (is_true || is_false || is_none)
        return node;
    node->kind = NODE_NAME;
    node->constant = (struct jinja_value){.kind = JINJA_MISSING};
    if (!parser_name(parser, token->text, token->length, &node->name))
        return NULL;
    const struct jinja_template *result = parser->result;
    if (with_namespace && parser_skip_operator(parser, ".")) {
        const struct jinja_token *attribute = parser_peek(parser, 0);
        if (attribute->type != TOKEN_NAME)
            return parser_fail_expected(parser, "the name of an attribute");
        parser->at++;
        node->kind = NODE_NAMESPACE_ATTRIBUTE;
        return make_text(parser, attribute->text, attribute->length, &node->constant) ? node : NULL;
    }
    parser->macro_uses |= node->name == result->caller_name     ? MACRO_USES_CALLER
                          : node->name == result->keywords_name ? MACRO_USES_KEYWORDS
                          : node->name == result->variadic_name ? MACRO_USES_VARIADIC
                                                                : 0;
    return node;
}

/* [a, b] and {a: b}; a comma may end them. */
static struct jinja_node *parse_display(struct jinja_parser *parser, bool is_dict)
{
    const char *end = is_dict ? "}" : "]";
    struct jinja_node *node = parser_node(parser, is_dict ? NODE_DICT : NODE_LIST, parser_peek(parser, 0)->line);
    struct node_chain chain = {0};
    parser->at++;
    while (node && !parser_is_operator(parser, end)) {
        if (chain.count && !parser_expect_operator(parser, ","))
            return NULL;
        if (parser_is_operator(parser, end))
            break;
        struct jinja_node *item = parse_expression(parser, true);
        if (!item)
            return NULL;
        chain_add(&chain, item);
        if (!is_dict)
            continue;
        if (!parser_expect_operator(parser, ":") || !(item = parse_expression(parser, true)))
            return NULL;
        chain_add(&chain, item);
    }
    if (!node || !parser_expect_operator(parser, end))
        return NULL;
    node->list = chain.first;
    node->count = chain.count;
    return parser_close(parser, node);
}

static struct jinja_node *parse_number(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    struct jinja_node *node = parser_node(parser, NODE_CONSTANT, token->line);
    if (node)
        node->constant = token->type == TOKEN_INTEGER ? jinja_int(token->number.integer) : jinja_float(token->number.real);
    parser->at++;
    return node;
}

struct jinja_node *parse_primary(struct jinja_parser *parser, bool with_namespace)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    if (token->type == TOKEN_NAME)
        return parse_name(parser, with_namespace);
    if (token->type == TOKEN_STRING)
        return parse_string(parser);
    if (token->type == TOKEN_INTEGER || token->type == TOKEN_FLOAT)
        return parse_number(parser);
    if (parser_is_operator(parser, "[") || parser_is_operator(parser, "{"))
        return parse_display(parser, parser_is_operator(parser, "{"));
    if (!parser_skip_operator(parser, "("))
        return parser_fail_expected(parser, "an expression");
    struct jinja_node *node = parse_tuple(parser, true, NULL, true);
    return node && parser_expect_operator(parser, ")") ? node : NULL;
}

/* --- calls, subscripts, filters, tests --- */

static struct jinja_node *parse_argument(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    struct jinja_node *argument = parser_node(parser, NODE_ARGUMENT, token->line);
    if (!argument)
        return NULL;
    const struct jinja_token *behind = parser_peek(parser, 1);
    if (parser_skip_operator(parser, "*")) {
        argument->detail = ARGUMENT_UNPACK;
    } else if (parser_skip_operator(parser, "**")) {
        argument->detail = ARGUMENT_UNPACK_KEYWORDS;
    } else if (token->type == TOKEN_NAME && behind->type == TOKEN_OPERATOR && behind->length == 1 && *behind->text == '=') {
        argument->detail = ARGUMENT_KEYWORD;
        if (!make_text(parser, token->text, token->length, &argument->constant))
            return NULL;
        parser->at += 2;
    }
    argument->a = parse_expression(parser, true);
    return argument->a ? parser_close(parser, argument) : NULL;
}

/* "(...)" behind a callable, a filter or a test: fills node->list. */
static struct jinja_node *parse_arguments(struct jinja_parser *parser, struct jinja_node *node)
{
    struct node_chain chain = {0};
    int latest = ARGUMENT_POSITIONAL;
    if (!parser_expect_operator(parser, "("))
        return NULL;
    while (!parser_is_operator(parser, ")")) {
        if (chain.count && !parser_expect_operator(parser, ","))
            return NULL;
        if (parser_is_operator(parser, ")"))
            break;
        struct jinja_node *argument = parse_argument(parser);
        if (!argument)
            return NULL;
        /* jinja2: positional ones first, then keywords, one *x and one **x, nothing behind **x */
        bool wrong_order = latest == ARGUMENT_UNPACK_KEYWORDS || (argument->detail == ARGUMENT_POSITIONAL && latest != ARGUMENT_POSITIONAL) ||
                           (argument->detail == ARGUMENT_UNPACK && latest == ARGUMENT_UNPACK);
        if (wrong_order)
            return parser_fail(parser, SAMPAN_EFORMAT, "arguments in an order that no call allows");
        if (argument->detail != ARGUMENT_KEYWORD || latest == ARGUMENT_POSITIONAL)
            latest = argument->detail;
        chain_add(&chain, argument);
    }
    node->list = chain.first;
    node->count = chain.count;
    return parser_expect_operator(parser, ")") ? parser_close(parser, node) : NULL;
}

static struct jinja_node *parse_call(struct jinja_parser *parser, struct jinja_node *callee)
{
    struct jinja_node *node = parser_node(parser, NODE_CALL, parser_peek(parser, 0)->line);
    if (!node)
        return NULL;
    node->a = callee;
    if (callee->kind == NODE_NAME)
        parser->name_flags[callee->name] |= NAME_CALLED;
    if (callee->kind == NODE_ATTRIBUTE && jinja_method_is_missing(callee->constant.as.string))
        return parser_fail(parser, SAMPAN_EUNSUPPORTED, "the method '%.*s' is not supported", JINJA_TEXT(callee->constant.as.string));
    return parse_arguments(parser, node);
}

/* One of x, x:y, x:y:z between brackets. */
static struct jinja_node *parse_subscript_item(struct jinja_parser *parser, struct jinja_node *object, int line)
{
    struct jinja_node *bounds[3] = {NULL};
    bool is_slice = false;
    for (int i = 0; i < 3; i++) {
        bool left_out = parser_is_operator(parser, ":") || parser_is_operator(parser, "]") || parser_is_operator(parser, ",");
        if (left_out && !is_slice && !parser_is_operator(parser, ":"))
            return parser_fail_expected(parser, "a subscript");
        if (!left_out && !(bounds[i] = parse_expression(parser, true)))
            return NULL;
        if (i == 2 || !parser_skip_operator(parser, ":"))
            break;
        is_slice = true;
    }
    struct jinja_node *node = parser_node(parser, is_slice ? NODE_SLICE : NODE_ITEM, line);
    if (!node)
        return NULL;
    node->a = object;
    node->b = bounds[0];
    node->c = bounds[1];
    node->d = bounds[2];
    return parser_close(parser, node);
}

static struct jinja_node *parse_subscript(struct jinja_parser *parser, struct jinja_node *object)
{
    int line = parser_peek(parser, 0)->line;
    if (parser_skip_operator(parser, ".")) {
        const struct jinja_token *token = parser_peek(parser, 0);
        if (token->type == TOKEN_INTEGER) {
            struct jinja_node *index = parse_number(parser);
            return index ? make_pair(parser, NODE_ITEM, 0, line, object, index) : NULL;
        }
        if (token->type != TOKEN_NAME)
            return parser_fail_expected(parser, "a name or a number behind '.'");
        struct jinja_node *node = parser_node(parser, NODE_ATTRIBUTE, line);
        if (!node || !make_text(parser, token->text, token->length, &node->constant))
            return NULL;
        parser->at++;
        node->a = object;
        return parser_close(parser, node);
    }
    parser->at++; /* [ */
    struct jinja_node *node = parse_subscript_item(parser, object, line);
    if (!node)
        return NULL;
    struct node_chain keys = {0};
    if (parser_is_operator(parser, ",")) { /* x[a, b]: the key is a tuple */
        if (node->kind == NODE_SLICE)
            return parser_fail(parser, SAMPAN_EUNSUPPORTED, "a subscript with several slices");
        chain_add(&keys, node->b);
    }
    while (keys.count && parser_skip_operator(parser, ",")) {
        struct jinja_node *key = parse_expression(parser, true);
        if (!key)
            return NULL;
        chain_add(&keys, key);
    }
    if (keys.count) {
        if (!(node->b = parser_node(parser, NODE_TUPLE, line)))
            return NULL;
        node->b->list = keys.first;
        node->b->count = keys.count;
        if (!parser_close(parser, node->b) || !parser_close(parser, node))
            return NULL;
    }
    return parser_expect_operator(parser, "]") ? node : NULL;
}

static struct jinja_node *parse_postfix(struct jinja_parser *parser, struct jinja_node *node)
{
    while (node) {
        if (parser_is_operator(parser, ".") || parser_is_operator(parser, "["))
            node = parse_subscript(parser, node);
        else if (parser_is_operator(parser, "("))
            node = parse_call(parser, node);
        else
            return node;
    }
    return NULL;
}

struct jinja_node *parse_filters(struct jinja_parser *parser, struct jinja_node *operand, bool inline_start)
{
    struct jinja_node *node = operand;
    while (inline_start || parser_skip_operator(parser, "|")) {
        inline_start = false;
        const struct jinja_token *token = parser_peek(parser, 0);
        if (token->type != TOKEN_NAME)
            return parser_fail_expected(parser, "the name of a filter");
        struct jinja_node *filter = parser_node(parser, NODE_FILTER, token->line);
        if (!filter)
            return NULL;
        filter->function = jinja_find_filter(token->text, token->length);
        if (!filter->function)
            return parser_fail(parser, SAMPAN_EUNSUPPORTED, "there is no filter named '%.*s'", (int)(token->length < 100 ? token->length : 100), token->text);
        parser->at++;
        filter->a = node;
        node = parser_is_operator(parser, "(") ? parse_arguments(parser, filter) : parser_close(parser, filter);
        if (!node)
            return NULL;
    }
    return node;
}

/* "is [not] name", "is name(arguments)", "is name argument". */
static struct jinja_node *parse_test(struct jinja_parser *parser, struct jinja_node *operand)
{
    int line = parser_peek(parser, 0)->line;
    parser->at++; /* is */
    bool negated = parser_skip_name(parser, "not");
    const struct jinja_token *token = parser_peek(parser, 0);
    if (token->type != TOKEN_NAME)
        return parser_fail_expected(parser, "the name of a test");
    struct jinja_node *node = parser_node(parser, NODE_TEST, line);
    if (!node)
        return NULL;
    node->a = operand;
    node->function = jinja_find_test(token->text, token->length);
    if (!node->function)
        return parser_fail(parser, SAMPAN_EUNSUPPORTED, "there is no test named '%.*s'", (int)(token->length < 100 ? token->length : 100), token->text);
    if (operand->kind == NODE_NAME && (parser_is_name(parser, 0, "defined") || parser_is_name(parser, 0, "undefined")))
        parser->name_flags[operand->name] |= NAME_TESTED;
    parser->at++;
    const struct jinja_token *next = parser_peek(parser, 0);
    bool word_ends = parser_is_name(parser, 0, "else") || parser_is_name(parser, 0, "or") || parser_is_name(parser, 0, "and");
    if (parser_is_operator(parser, "(")) {
        node = parse_arguments(parser, node);
    } else if ((next->type == TOKEN_NAME && !word_ends) || next->type == TOKEN_STRING || next->type == TOKEN_INTEGER || next->type == TOKEN_FLOAT ||
               parser_is_operator(parser, "[") || parser_is_operator(parser, "{")) {
        if (parser_is_name(parser, 0, "is"))
            return parser_fail(parser, SAMPAN_EFORMAT, "several tests with 'is' in a row");
        struct jinja_node *argument = parser_node(parser, NODE_ARGUMENT, next->line);
        struct jinja_node *value = argument ? parse_postfix(parser, parse_primary(parser, false)) : NULL;
        if (!value)
            return NULL;
        argument->a = value;
        node->list = parser_close(parser, argument);
        node->count = 1;
        node = node->list ? parser_close(parser, node) : NULL;
    } else {
        node = parser_close(parser, node);
    }
    return node && negated ? make_pair(parser, NODE_NOT, 0, line, node, NULL) : node;
}

static struct jinja_node *parse_filters_and_tests(struct jinja_parser *parser, struct jinja_node *node)
{
    while (node) {
        if (parser_is_operator(parser, "|"))
            node = parse_filters(parser, node, false);
        else if (parser_is_name(parser, 0, "is"))
            node = parse_test(parser, node);
        else if (parser_is_operator(parser, "("))
            node = parse_call(parser, node);
        else
            return node;
    }
    return NULL;
}

/* --- operators --- */

static struct jinja_node *parse_unary(struct jinja_parser *parser, bool with_filter)
{
    if (!parser_enter(parser))
        return NULL;
    struct jinja_node *node;
    const struct jinja_token *token = parser_peek(parser, 0);
    if (parser_is_operator(parser, "-") || parser_is_operator(parser, "+")) {
        parser->at++;
        node = parse_unary(parser, false);
        if (node)
            node = make_pair(parser, NODE_NEGATE, *token->text, token->line, node, NULL);
    } else {
        node = parse_primary(parser, false);
    }
    node = parse_postfix(parser, node);
    if (with_filter)
        node = parse_filters_and_tests(parser, node);
    parser->depth--;
    return node;
}

struct binary_level {
    const char *signs[5];
    int operators[4];
};
static const struct binary_level levels[] = {
    {{"+", "-"}, {JINJA_ADD, JINJA_SUBTRACT}},
    {{"~"}, {0}},
    {{"*", "/", "//", "%"}, {JINJA_MULTIPLY, JINJA_DIVIDE, JINJA_FLOOR_DIVIDE, JINJA_MODULO}},
    {{"**"}, {JINJA_POWER}},
};
enum { LEVEL_SUM = 0, LEVEL_CONCAT = 1, LEVEL_UNARY = 4 };

static struct jinja_node *parse_binary(struct jinja_parser *parser, int level);

static struct jinja_node *parse_concat(struct jinja_parser *parser, struct jinja_node *first, int line)
{
    struct node_chain chain = {0};
    struct jinja_node *node = parser_node(parser, NODE_CONCAT, line);
    chain_add(&chain, first);
    while (node && parser_skip_operator(parser, "~")) {
        struct jinja_node *part = parse_binary(parser, LEVEL_CONCAT + 1);
        if (!part)
            return NULL;
        chain_add(&chain, part);
    }
    if (!node)
        return NULL;
    node->list = chain.first;
    node->count = chain.count;
    return parser_close(parser, node);
}

static struct jinja_node *parse_binary(struct jinja_parser *parser, int level)
{
    if (level == LEVEL_UNARY)
        return parse_unary(parser, true);
    int line = parser_peek(parser, 0)->line;
    struct jinja_node *left = parse_binary(parser, level + 1);
    if (left && level == LEVEL_CONCAT)
        return parser_is_operator(parser, "~") ? parse_concat(parser, left, line) : left;
    while (left) {
        int found = -1;
        for (int i = 0; found < 0 && levels[level].signs[i]; i++)
            if (parser_is_operator(parser, levels[level].signs[i]))
                found = i;
        if (found < 0)
            return left;
        parser->at++;
        struct jinja_node *right = parse_binary(parser, level + 1);
        left = right ? make_pair(parser, NODE_BINARY, levels[level].operators[found], line, left, right) : NULL;
    }
    return NULL;
}

/* The comparison at the present position, skipped; -1: none. */
static int skip_comparison(struct jinja_parser *parser)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    for (int i = 0; i < 6; i++)
        if (parser_skip_operator(parser, signs[i]))
            return i;
    if (parser_skip_name(parser, "in"))
        return COMPARE_IN;
    if (parser_is_name(parser, 0, "not") && parser_is_name(parser, 1, "in")) {
        parser->at += 2;
        return COMPARE_NOT_IN;
    }
    return -1;
}

static struct jinja_node *parse_compare(struct jinja_parser *parser)
{
    int line = parser_peek(parser, 0)->line;
    struct jinja_node *first = parse_binary(parser, LEVEL_SUM), *node = NULL;
    struct node_chain chain = {0};
    for (int comparison; first && (comparison = skip_comparison(parser)) >= 0;) {
        if (!node && !(node = parser_node(parser, NODE_COMPARE, line)))
            return NULL;
        struct jinja_node *right = parse_binary(parser, LEVEL_SUM);
        struct jinja_node *operand = right ? make_pair(parser, NODE_OPERAND, comparison, line, right, NULL) : NULL;
        if (!operand)
            return NULL;
        chain_add(&chain, operand);
    }
    if (!node)
        return first;
    node->a = first;
    node->list = chain.first;
    node->count = chain.count;
    return parser_close(parser, node);
}

static struct jinja_node *parse_not(struct jinja_parser *parser)
{
    int line = parser_peek(parser, 0)->line;
    if (!parser_skip_name(parser, "not"))
        return parse_compare(parser);
    if (!parser_enter(parser))
        return NULL;
    struct jinja_node *operand = parse_not(parser);
    parser->depth--;
    return operand ? make_pair(parser, NODE_NOT, 0, line, operand, NULL) : NULL;
}

static struct jinja_node *parse_and(struct jinja_parser *parser)
{
    int line = parser_peek(parser, 0)->line;
    struct jinja_node *left = parse_not(parser);
    while (left && parser_skip_name(parser, "and")) {
        struct jinja_node *right = parse_not(parser);
        left = right ? make_pair(parser, NODE_AND, 0, line, left, right) : NULL;
    }
    return left;
}

static struct jinja_node *parse_or(struct jinja_parser *parser)
{
    int line = parser_peek(parser, 0)->line;
    struct jinja_node *left = parse_and(parser);
    while (left && parser_skip_name(parser, "or")) {
        struct jinja_node *right = parse_and(parser);
        left = right ? make_pair(parser, NODE_OR, 0, line, left, right) : NULL;
    }
    return left;
}

static struct jinja_node *parse_conditional(struct jinja_parser *parser)
{
    struct jinja_node *node = parse_or(parser);
    while (node && parser_is_name(parser, 0, "if")) {
        struct jinja_node *conditional = parser_node(parser, NODE_CONDITIONAL, parser_peek(parser, 0)->line);
        parser->at++;
        if (!conditional || !(conditional->a = parse_or(parser)))
            return NULL;
        conditional->b = node;
        if (parser_skip_name(parser, "else") && !(conditional->c = parse_expression(parser, true)))
            return NULL;
        node = parser_close(parser, conditional);
    }
    return node;
}

struct jinja_node *parse_expression(struct jinja_parser *parser, bool with_conditional)
{
    if (!parser_enter(parser))
        return NULL;
    struct jinja_node *node = with_conditional ? parse_conditional(parser) : parse_or(parser);
    parser->depth--;
    return node;
}

/* --- tuples and targets --- */

static bool is_tuple_end(const struct jinja_parser *parser, const char *end)
{
    enum jinja_token_type type = parser_peek(parser, 0)->type;
    return type == TOKEN_VARIABLE_END || type == TOKEN_BLOCK_END || parser_is_operator(parser, ")") || (end && parser_is_name(parser, 0, end));
}

enum tuple_of { TUPLE_OF_EXPRESSIONS, TUPLE_OF_PLAIN_EXPRESSIONS, TUPLE_OF_PRIMARIES, TUPLE_OF_TARGETS };

static struct jinja_node *parse_tuple_of(struct jinja_parser *parser, enum tuple_of what, const char *end, bool parentheses)
{
    int line = parser_peek(parser, 0)->line;
    struct node_chain chain = {0};
    bool is_tuple = false;
    for (;;) {
        if (chain.count && !parser_expect_operator(parser, ","))
            return NULL;
        if (is_tuple_end(parser, end))
            break;
        struct jinja_node *item =
            what >= TUPLE_OF_PRIMARIES ? parse_primary(parser, what == TUPLE_OF_TARGETS) : parse_expression(parser, what == TUPLE_OF_EXPRESSIONS);
        if (!item)
            return NULL;
        chain_add(&chain, item);
        if (!parser_is_operator(parser, ","))
            break;
        is_tuple = true;
    }
    if (!is_tuple && chain.count)
        return chain.first;
    if (!is_tuple && !parentheses)
        return parser_fail_expected(parser, "an expression");
    struct jinja_node *node = parser_node(parser, NODE_TUPLE, line);
    if (!node)
        return NULL;
    node->list = chain.first;
    node->count = chain.count;
    return parser_close(parser, node);
}

struct jinja_node *parse_tuple(struct jinja_parser *parser, bool with_conditional, const char *end, bool parentheses)
{
    return parse_tuple_of(parser, with_conditional ? TUPLE_OF_EXPRESSIONS : TUPLE_OF_PLAIN_EXPRESSIONS, end, parentheses);
}

static bool check_target(struct jinja_parser *parser, const struct jinja_node *node)
{
    if (node->kind == NODE_NAME) {
        parser->name_flags[node->name] |= NAME_STORED;
        if (node->name != parser->result->loop_name || !parser->for_depth)
            return true;
        parser_fail(parser, SAMPAN_EFORMAT, "'loop' cannot be assigned inside a for loop");
        return false;
    }
    if (node->kind == NODE_NAMESPACE_ATTRIBUTE)
        return true;
    if (node->kind != NODE_TUPLE) {
        parser_fail(parser, SAMPAN_EFORMAT, "this cannot be assigned to; expected a name, a namespace's attribute or several of them");
        return false;
    }
    for (const struct jinja_node *item = node->list; item; item = item->next)
        if (!check_target(parser, item))
            return false;
    return true;
}

struct jinja_node *parse_target(struct jinja_parser *parser, const char *end, bool with_namespace)
{
    struct jinja_node *node = parse_tuple_of(parser, with_namespace ? TUPLE_OF_TARGETS : TUPLE_OF_PRIMARIES, end, false);
    return node && check_target(parser, node) ? node : NULL;
}
