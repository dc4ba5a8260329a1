/* Statements, and the parser's small change. Expressions are in parse_expression.c. */
#include "text/template/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "text/template/builtins.h"
#include "text/template/parser.h"

enum { PARSE_MEMORY = 512 << 20, MAX_TREE_DEPTH = 4 * LIMIT_TEMPLATE_DEPTH };

struct jinja_node *parser_node(struct jinja_parser *parser, enum jinja_node_kind kind, int line)
{
    if (++parser->n_nodes > LIMIT_TEMPLATE_NODES)
        return parser_fail(parser, SAMPAN_ELIMIT, "more than %d elements", LIMIT_TEMPLATE_NODES);
    struct jinja_node *node = arena_alloc(&parser->result->arena, sizeof *node);
    if (!node)
        return parser_fail(parser, SAMPAN_ENOMEM, "out of memory while reading a template");
    node->kind = kind;
    node->line = line;
    return node;
}

struct jinja_node *parser_fail(struct jinja_parser *parser, int code, const char *format, ...)
{
    if (parser->err->code)
        return NULL;
    va_list arguments;
    va_start(arguments, format);
    error_set_v(parser->err, code, format, arguments);
    va_end(arguments);
    error_prefix(parser->err, "line %d", parser_peek(parser, 0)->line);
    return NULL;
}

struct jinja_node *parser_fail_expected(struct jinja_parser *parser, const char *expected)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    switch (token->type) {
    case TOKEN_EOF: return parser_fail(parser, SAMPAN_EFORMAT, "the template ends where %s is expected", expected);
    case TOKEN_VARIABLE_END:
    case TOKEN_BLOCK_END: return parser_fail(parser, SAMPAN_EFORMAT, "the tag ends where %s is expected", expected);
    case TOKEN_DATA: return parser_fail(parser, SAMPAN_EFORMAT, "text where %s is expected", expected);
    default: return parser_fail(parser, SAMPAN_EFORMAT, "'%.*s' where %s is expected", (int)(token->length < 60 ? token->length : 60), token->text, expected);
    }
}

bool parser_name(struct jinja_parser *parser, const char *text, size_t length, uint32_t *name)
{
    struct jinja_template *result = parser->result;
    if (hash_map_get(&parser->names, text, length, name))
        return true;
    if (result->n_names == parser->name_capacity) {
        size_t capacity = parser->name_capacity ? parser->name_capacity * 2 : 64;
        unsigned char *flags = mem_realloc_array(parser->name_flags, capacity, 1);
        if (flags)
            parser->name_flags = flags;
        struct jinja_string **names = arena_alloc_array(&result->arena, capacity, sizeof *names);
        if (!flags || !names) {
            parser_fail(parser, SAMPAN_ENOMEM, "out of memory while reading a template");
            return false;
        }
        memset(flags + parser->name_capacity, 0, capacity - parser->name_capacity);
        if (result->n_names)
            memcpy(names, result->names, result->n_names * sizeof *names);
        result->names = names;
        parser->name_capacity = capacity;
    }
    struct jinja_string *string = arena_alloc(&result->arena, sizeof *string);
    char *copy = string ? arena_strndup(&result->arena, text, length) : NULL;
    if (!copy || hash_map_put(&parser->names, copy, length, result->n_names, NULL)) {
        parser_fail(parser, SAMPAN_ENOMEM, "out of memory while reading a template");
        return false;
    }
    *string = (struct jinja_string){.bytes = copy, .length = length, .origin = ORIGIN_TEMPLATE, .n_characters = -1};
    jinja_string_count(string);
    *name = result->n_names;
    result->names[result->n_names++] = string;
    return true;
}

bool parser_enter(struct jinja_parser *parser)
{
    if (parser->depth < LIMIT_TEMPLATE_DEPTH) {
        parser->depth++;
        return true;
    }
    parser_fail(parser, SAMPAN_ELIMIT, "nested more than %d levels deep", LIMIT_TEMPLATE_DEPTH);
    return false;
}

void parser_raise_depth(struct jinja_node *node, const struct jinja_node *child)
{
    if (child && child->depth >= node->depth)
        node->depth = child->depth + 1;
}

struct jinja_node *parser_close(struct jinja_parser *parser, struct jinja_node *node)
{
    const struct jinja_node *children[] = {node->a, node->b, node->c, node->d};
    for (size_t i = 0; i < sizeof children / sizeof *children; i++)
        parser_raise_depth(node, children[i]);
    const struct jinja_node *chains[] = {node->list, node->body, node->other};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++)
        for (const struct jinja_node *child = chains[i]; child; child = child->next)
            parser_raise_depth(node, child);
    if (node->depth > MAX_TREE_DEPTH)
        return parser_fail(parser, SAMPAN_ELIMIT, "an expression of more than %d operators in a row, or nested as deep", MAX_TREE_DEPTH);
    return node;
}

static bool token_is(const struct jinja_token *token, enum jinja_token_type type, const char *text)
{
    return token->type == type && token->length == strlen(text) && memcmp(token->text, text, token->length) == 0;
}

bool parser_is_operator(const struct jinja_parser *parser, const char *sign)
{
    return token_is(parser_peek(parser, 0), TOKEN_OPERATOR, sign);
}

bool parser_is_name(const struct jinja_parser *parser, size_t ahead, const char *name)
{
    return token_is(parser_peek(parser, ahead), TOKEN_NAME, name);
}

bool parser_skip_operator(struct jinja_parser *parser, const char *sign)
{
    bool found = parser_is_operator(parser, sign);
    parser->at += found;
    return found;
}

bool parser_skip_name(struct jinja_parser *parser, const char *name)
{
    bool found = parser_is_name(parser, 0, name);
    parser->at += found;
    return found;
}

bool parser_expect_operator(struct jinja_parser *parser, const char *sign)
{
    if (parser_skip_operator(parser, sign))
        return true;
    char expected[16];
    snprintf(expected, sizeof expected, "'%s'", sign);
    parser_fail_expected(parser, expected);
    return false;
}

void chain_add(struct node_chain *chain, struct jinja_node *node)
{
    if (chain->last)
        chain->last->next = node;
    else
        chain->first = node;
    chain->last = node;
    chain->count++;
}

/* --- statements --- */

static struct jinja_node *parse_statement(struct jinja_parser *parser);

static bool expect_block_end(struct jinja_parser *parser)
{
    if (parser_peek(parser, 0)->type == TOKEN_BLOCK_END) {
        parser->at++;
        return true;
    }
    parser_fail_expected(parser, "'%}'");
    return false;
}

/* Which of the words (separated by spaces) the present name is, or -1. */
static int find_word(const struct jinja_parser *parser, const char *words)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    int n = 0;
    while (*words) {
        size_t length = strcspn(words, " ");
        if (token->type == TOKEN_NAME && token->length == length && memcmp(token->text, words, length) == 0)
            return n;
        words += length + (words[length] == ' ');
        n++;
    }
    return -1;
}

static struct jinja_node *parse_text(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    struct jinja_node *node = parser_node(parser, NODE_TEXT, token->line);
    struct jinja_string *string = node ? arena_alloc(&parser->result->arena, sizeof *string) : NULL;
    if (!string)
        return parser_fail(parser, SAMPAN_ENOMEM, "out of memory while reading a template");
    *string = (struct jinja_string){.bytes = token->text, .length = token->length, .origin = ORIGIN_TEMPLATE, .n_characters = -1};
    node->constant = jinja_string_value(string);
    parser->at++;
    return node;
}

static struct jinja_node *parse_output(struct jinja_parser *parser)
{
    struct jinja_node *node = parser_node(parser, NODE_OUTPUT, parser_peek(parser, 0)->line);
    parser->at++;
    if (!node || !(node->a = parse_tuple(parser, true, NULL, false)))
        return NULL;
    if (parser_peek(parser, 0)->type != TOKEN_VARIABLE_END)
        return parser_fail_expected(parser, "'}}'");
    parser->at++;
    return parser_close(parser, node);
}

/* Text, output and statements up to a tag that begins with one of `ends`; its number is put to *end and the word skipped. With ends == NULL, up to the
 * end of the template. */
static bool parse_body(struct jinja_parser *parser, const char *ends, struct jinja_node **first, int *end)
{
    struct node_chain chain = {0};
    int line = parser_peek(parser, 0)->line;
    if (!parser_enter(parser))
        return false;
    for (;;) {
        struct jinja_node *node = NULL;
        enum jinja_token_type type = parser_peek(parser, 0)->type;
        if (type == TOKEN_EOF) {
            if (ends)
                return parser_fail(parser, SAMPAN_EFORMAT, "the template ends where '%s' is expected (for the tag on line %d)", ends, line);
            break;
        }
        if (type == TOKEN_DATA) {
            node = parse_text(parser);
        } else if (type == TOKEN_VARIABLE_BEGIN) {
            node = parse_output(parser);
        } else {
            parser->at++;
            int found = ends ? find_word(parser, ends) : -1;
            if (found >= 0) {
                *end = found;
                parser->at++;
                break;
            }
            node = parse_statement(parser);
            if (node && !expect_block_end(parser))
                return false;
        }
        if (!node)
            return false;
        chain_add(&chain, node);
    }
    *first = chain.first;
    parser->depth--;
    return true;
}

/* "[:] %}" and the body of a statement. */
static bool parse_block(struct jinja_parser *parser, const char *ends, struct jinja_node **first, int *end)
{
    parser_skip_operator(parser, ":");
    return expect_block_end(parser) && parse_body(parser, ends, first, end);
}

static struct jinja_node *parse_if(struct jinja_parser *parser, struct jinja_node *node)
{
    struct node_chain chain = {0};
    enum { END_ELIF, END_ELSE, END_IF };
    int end = END_ELIF;
    while (end != END_IF) {
        struct jinja_node *branch = parser_node(parser, NODE_BRANCH, parser_peek(parser, 0)->line);
        if (!branch)
            return NULL;
        if (end == END_ELIF && !(branch->a = parse_tuple(parser, false, NULL, false)))
            return NULL;
        if (!parse_block(parser, end == END_ELSE ? "endif" : "elif else endif", &branch->body, &end))
            return NULL;
        if (!branch->a)
            end = END_IF;
        if (!parser_close(parser, branch))
            return NULL;
        chain_add(&chain, branch);
    }
    node->list = chain.first;
    node->count = chain.count;
    return node;
}

static struct jinja_node *parse_for(struct jinja_parser *parser, struct jinja_node *node)
{
    int end;
    parser->for_depth++; /* from here on, 'loop' may not be assigned */
    if (!(node->a = parse_target(parser, "in", false)))
        return NULL;
    if (!parser_skip_name(parser, "in"))
        return parser_fail_expected(parser, "'in'");
    if (!(node->b = parse_tuple(parser, false, "recursive", false)))
        return NULL;
    if (parser_skip_name(parser, "if") && !(node->c = parse_expression(parser, true)))
        return NULL;
    if (parser_is_name(parser, 0, "recursive"))
        return parser_fail(parser, SAMPAN_EUNSUPPORTED, "recursive for loops are not supported");
    parser->loop_depth++;
    if (!parse_block(parser, "endfor else", &node->body, &end))
        return NULL;
    parser->loop_depth--;
    if (end == 1 && !parse_block(parser, "endfor", &node->other, &end))
        return NULL;
    parser->for_depth--;
    return node;
}

static struct jinja_node *parse_set(struct jinja_parser *parser, struct jinja_node *node)
{
    int end;
    if (!(node->a = parse_target(parser, NULL, true)))
        return NULL;
    if (parser_skip_operator(parser, "=")) {
        node->b = parse_tuple(parser, true, NULL, false);
        return node->b ? node : NULL;
    }
    node->kind = NODE_SET_BLOCK;
    if (parser_is_operator(parser, "|") && !(node->b = parse_filters(parser, NULL, false)))
        return NULL;
    return parse_block(parser, "endset", &node->body, &end) ? node : NULL;
}

static bool parse_parameters(struct jinja_parser *parser, struct jinja_node *macro)
{
    struct node_chain chain = {0};
    bool has_default = false;
    if (!parser_expect_operator(parser, "("))
        return false;
    while (!parser_is_operator(parser, ")")) {
        if (chain.count && !parser_expect_operator(parser, ","))
            return false;
        const struct jinja_token *token = parser_peek(parser, 0);
        struct jinja_node *parameter = parser_node(parser, NODE_PARAMETER, token->line);
        if (!parameter)
            return false;
        if (token->type != TOKEN_NAME)
            return parser_fail_expected(parser, "the name of a parameter");
        if (find_word(parser, "true false none True False None") >= 0)
            return parser_fail(parser, SAMPAN_EFORMAT, "'%.*s' cannot name a parameter", (int)token->length, token->text);
        if (!parser_name(parser, token->text, token->length, &parameter->name))
            return false;
        parser->name_flags[parameter->name] |= NAME_STORED;
        for (const struct jinja_node *other = chain.first; other; other = other->next)
            if (other->name == parameter->name)
                return parser_fail(parser, SAMPAN_EFORMAT, "two parameters of one name");
        parser->at++;
        if (parser_skip_operator(parser, "=")) {
            has_default = true;
            if (!(parameter->a = parse_expression(parser, true)) || !parser_close(parser, parameter))
                return false;
        } else if (has_default) {
            return parser_fail(parser, SAMPAN_EFORMAT, "a parameter without a default behind one that has a default");
        }
        chain_add(&chain, parameter);
    }
    macro->list = chain.first;
    macro->count = chain.count;
    return parser_expect_operator(parser, ")");
}

/* The body of a function: a macro, what a call block hands over, a generation block. */
static bool parse_function_body(struct jinja_parser *parser, struct jinja_node *function, const char *ends)
{
    int end, loop_depth = parser->loop_depth, uses = parser->macro_uses;
    parser->loop_depth = 0;
    parser->macro_uses = 0;
    if (!parse_block(parser, ends, &function->body, &end))
        return false;
    function->detail = parser->macro_uses;
    parser->loop_depth = loop_depth;
    parser->macro_uses |= uses;
    return true;
}

static struct jinja_node *parse_macro(struct jinja_parser *parser, struct jinja_node *node)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    if (token->type != TOKEN_NAME)
        return parser_fail_expected(parser, "the name of a macro");
    if (find_word(parser, "true false none True False None") >= 0)
        return parser_fail(parser, SAMPAN_EFORMAT, "'%.*s' cannot name a macro", (int)token->length, token->text);
    parser->at++;
    if (!parser_name(parser, token->text, token->length, &node->name) || !parse_parameters(parser, node))
        return NULL;
    parser->name_flags[node->name] |= NAME_STORED;
    return parse_function_body(parser, node, "endmacro") ? node : NULL;
}

static struct jinja_node *parse_call_block(struct jinja_parser *parser, struct jinja_node *node)
{
    struct jinja_node *caller = parser_node(parser, NODE_MACRO, node->line);
    if (!caller)
        return NULL;
    caller->name = parser->result->caller_name;
    if (parser_is_operator(parser, "(") && !parse_parameters(parser, caller))
        return NULL;
    if (!(node->a = parse_expression(parser, true)))
        return NULL;
    if (node->a->kind != NODE_CALL)
        return parser_fail(parser, SAMPAN_EFORMAT, "'call' is followed by something else than a call");
    if (!parse_function_body(parser, caller, "endcall") || !(node->b = parser_close(parser, caller)))
        return NULL;
    return node;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *parser, struct jinja_node *node)
{
    int end;
    if (!(node->a = parse_filters(parser, NULL, true)))
        return NULL;
    return parse_block(parser, "endfilter", &node->body, &end) ? node : NULL;
}

static struct jinja_node *parse_with(struct jinja_parser *parser, struct jinja_node *node)
{
    int end;
    struct node_chain chain = {0};
    while (parser_peek(parser, 0)->type != TOKEN_BLOCK_END) {
        if (chain.count && !parser_expect_operator(parser, ","))
            return NULL;
        struct jinja_node *set = parser_node(parser, NODE_SET, parser_peek(parser, 0)->line);
        if (!set || !(set->a = parse_target(parser, NULL, false)) || !parser_expect_operator(parser, "=") || !(set->b = parse_expression(parser, true)))
            return NULL;
        if (!parser_close(parser, set))
            return NULL;
        chain_add(&chain, set);
    }
    node->list = chain.first;
    node->count = chain.count;
    return parse_block(parser, "endwith", &node->body, &end) ? node : NULL;
}

static struct jinja_node *parse_generation(struct jinja_parser *parser, struct jinja_node *node)
{
    return parse_function_body(parser, node, "endgeneration") ? node : NULL;
}

static struct jinja_node *parse_loop_control(struct jinja_parser *parser, struct jinja_node *node)
{
    return parser->loop_depth ? node : parser_fail(parser, SAMPAN_EFORMAT, "'%s' outside of a loop", node->kind == NODE_BREAK ? "break" : "continue");
}

/* {% print a, b %}: each printed on its own. A scope-less chain would need a node of its own; an if that is always true serves. */
static struct jinja_node *parse_print(struct jinja_parser *parser, struct jinja_node *node)
{
    struct node_chain chain = {0};
    while (parser_peek(parser, 0)->type != TOKEN_BLOCK_END) {
        if (chain.count && !parser_expect_operator(parser, ","))
            return NULL;
        struct jinja_node *output = parser_node(parser, NODE_OUTPUT, node->line);
        if (!output || !(output->a = parse_expression(parser, true)) || !parser_close(parser, output))
            return NULL;
        chain_add(&chain, output);
    }
    struct jinja_node *branch = parser_node(parser, NODE_BRANCH, node->line);
    if (!branch)
        return NULL;
    branch->body = chain.first;
    node->list = parser_close(parser, branch);
    node->count = 1;
    return node->list ? node : NULL;
}

static const struct {
    const char *word;
    enum jinja_node_kind kind;
    struct jinja_node *(*parse)(struct jinja_parser *parser, struct jinja_node *node);
} statements[] = {
    {"if", NODE_IF, parse_if},
    {"for", NODE_FOR, parse_for},
    {"set", NODE_SET, parse_set},
    {"macro", NODE_MACRO, parse_macro},
    {"call", NODE_CALL_BLOCK, parse_call_block},
    {"filter", NODE_FILTER_BLOCK, parse_filter_block},
    {"with", NODE_WITH, parse_with},
    {"generation", NODE_SCOPE, parse_generation},
    {"break", NODE_BREAK, parse_loop_control},
    {"continue", NODE_CONTINUE, parse_loop_control},
    {"print", NODE_IF, parse_print},
};

static struct jinja_node *parse_statement(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser_peek(parser, 0);
    if (token->type != TOKEN_NAME)
        return parser_fail_expected(parser, "the name of a tag");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!token_is(token, TOKEN_NAME, statements[i].word))
            continue;
        struct jinja_node *node = parser_node(parser, statements[i].kind, token->line);
        parser->at++;
        node = node ? statements[i].parse(parser, node) : NULL;
        return node ? parser_close(parser, node) : NULL;
    }
    if (find_word(parser, "block extends include import from autoescape") >= 0)
        return parser_fail(parser, SAMPAN_EUNSUPPORTED, "the tag '%.*s' is not supported: a chat template is one file without inheritance", (int)token->length,
                           token->text);
    if (token->length > 3 && memcmp(token->text, "end", 3) == 0)
        return parser_fail(parser, SAMPAN_EFORMAT, "'%.*s' ends nothing that is open here", (int)(token->length < 60 ? token->length : 60), token->text);
    return parser_fail(parser, SAMPAN_EUNSUPPORTED, "there is no tag named '%.*s'", (int)(token->length < 60 ? token->length : 60), token->text);
}

/* A function that is called, that nothing defines and that no "is defined" guards can only fail: say so now. */
static bool check_functions(struct jinja_parser *parser)
{
    for (uint32_t name = 0; name < parser->result->n_names; name++) {
        const struct jinja_string *string = parser->result->names[name];
        if ((parser->name_flags[name] & (NAME_CALLED | NAME_STORED | NAME_TESTED)) != NAME_CALLED || jinja_find_function(string->bytes, string->length))
            continue;
        if (name == parser->result->caller_name || name == parser->result->loop_name)
            continue;
        error_set(parser->err, SAMPAN_EUNSUPPORTED, "there is no function named '%.*s'", JINJA_TEXT(string));
        for (size_t i = 0; i + 1 < parser->tokens.count; i++)
            if (token_is(&parser->tokens.items[i], TOKEN_NAME, string->bytes) && token_is(&parser->tokens.items[i + 1], TOKEN_OPERATOR, "(")) {
                error_prefix(parser->err, "line %d", parser->tokens.items[i].line);
                break;
            }
        return false;
    }
    return true;
}

/* A copy with \r\n and \r as \n, in the arena: tokens and tree point into it. */
static char *normalise_newlines(struct arena *arena, const char *source, size_t length, size_t *out_length)
{
    char *out = arena_alloc(arena, length + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < length; i++) {
        if (source[i] == '\r' && i + 1 < length && source[i + 1] == '\n')
            continue;
        out[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    *out_length = n;
    return out;
}

int jinja_parse(const char *source, size_t length, struct jinja_template *parsed, struct error *err)
{
    struct error local = {0};
    struct jinja_parser parser = {.result = parsed, .err = err ? err : &local};
    *parser.err = (struct error){0};
    *parsed = (struct jinja_template){0};
    arena_init(&parsed->arena, PARSE_MEMORY);
    size_t normal_length = 0;
    char *normal = normalise_newlines(&parsed->arena, source, length, &normal_length);
    int code = normal ? jinja_tokenize(normal, normal_length, &parsed->arena, &parser.tokens, parser.err) : error_no_memory(parser.err, "reading a template");
    int end;
    if (!code && (!parser_name(&parser, "loop", 4, &parsed->loop_name) || !parser_name(&parser, "caller", 6, &parsed->caller_name) ||
                  !parser_name(&parser, "kwargs", 6, &parsed->keywords_name) || !parser_name(&parser, "varargs", 7, &parsed->variadic_name) ||
                  !parse_body(&parser, NULL, &parsed->body, &end) || !check_functions(&parser)))
        code = parser.err->code ? parser.err->code : SAMPAN_EINTERNAL;
    jinja_tokens_free(&parser.tokens);
    hash_map_free(&parser.names);
    mem_free(parser.name_flags);
    if (code)
        jinja_template_free(parsed);
    return code;
}

void jinja_template_free(struct jinja_template *parsed)
{
    arena_free(&parsed->arena);
    *parsed = (struct jinja_template){0};
}
