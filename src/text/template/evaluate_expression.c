/* Expressions. The recursion is bounded by the depth of the tree, which the parser bounded, and by run->depth. */
#include <string.h>

#include "text/template/evaluator.h"

static bool look_up(struct jinja_run *run, const struct scope *scope, uint32_t name, struct jinja_value *out)
{
    for (; scope->parent; scope = scope->parent)
        for (const struct scope_binding *binding = scope->bindings; binding; binding = binding->next)
            if (binding->name == name && binding->value.kind != JINJA_MISSING) {
                *out = binding->value;
                return true;
            }
    *out = run->variables[name];
    if (out->kind != JINJA_MISSING)
        return true;
    return jinja_undefined_make(run, NULL, run->template_->names[name], NULL, out);
}

static bool evaluate_list(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_list *list;
    if (!jinja_list_make(run, (size_t)node->count, &list))
        return false;
    for (const struct jinja_node *item = node->list; item; item = item->next)
        if (!evaluate(run, scope, item, &list->items[list->count++]))
            return false;
    *out = (struct jinja_value){.kind = node->kind == NODE_LIST ? JINJA_LIST : JINJA_TUPLE, .as.list = list};
    return true;
}

static bool evaluate_dict(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_dict *dict;
    if (!jinja_dict_make(run, (size_t)node->count / 2, &dict))
        return false;
    for (const struct jinja_node *item = node->list; item; item = item->next->next) {
        struct jinja_value key, value;
        if (!evaluate(run, scope, item, &key) || !evaluate(run, scope, item->next, &value) || !jinja_dict_put(run, dict, key, value))
            return false;
    }
    *out = (struct jinja_value){.kind = JINJA_DICT, .as.dict = dict};
    return true;
}

static bool evaluate_slice(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_value object, bounds[3] = {{.kind = JINJA_MISSING}, {.kind = JINJA_MISSING}, {.kind = JINJA_MISSING}};
    const struct jinja_node *parts[3] = {node->b, node->c, node->d};
    if (!evaluate(run, scope, node->a, &object))
        return false;
    for (int i = 0; i < 3; i++)
        if (parts[i] && !evaluate(run, scope, parts[i], &bounds[i]))
            return false;
    return jinja_get_slice(run, object, bounds, out);
}

/* Puts the items of *x or the entries of **x among the arguments. */
static bool unpack_argument(struct jinja_run *run, int detail, struct jinja_value value, struct jinja_list *positional, struct jinja_dict *keywords)
{
    if (detail == ARGUMENT_UNPACK_KEYWORDS) {
        if (value.kind != JINJA_DICT)
            return jinja_fail(run, SAMPAN_EINVAL, "the argument behind ** is a %s, expected a dict", jinja_type_name(value));
        for (size_t i = 0; i < value.as.dict->count; i++)
            if (value.as.dict->entries[i].key.kind != JINJA_STRING)
                return jinja_fail(run, SAMPAN_EINVAL, "keywords must be strings");
            else if (!jinja_dict_put(run, keywords, value.as.dict->entries[i].key, value.as.dict->entries[i].value))
                return false;
        return true;
    }
    struct jinja_list *items;
    if (!jinja_to_list(run, value, &items))
        return false;
    for (size_t i = 0; i < items->count; i++)
        if (!jinja_list_append(run, positional, items->items[i]))
            return false;
    return true;
}

bool evaluate_arguments(struct jinja_run *run, struct scope *scope, const struct jinja_node *first, struct jinja_arguments *arguments)
{
    *arguments = (struct jinja_arguments){0};
    if (!first)
        return true;
    struct jinja_list *positional;
    struct jinja_dict *keywords = NULL;
    if (!jinja_list_make(run, 2, &positional))
        return false;
    for (const struct jinja_node *argument = first; argument; argument = argument->next) {
        struct jinja_value value;
        bool keyword = argument->detail == ARGUMENT_KEYWORD || argument->detail == ARGUMENT_UNPACK_KEYWORDS;
        if (!evaluate(run, scope, argument->a, &value) || (keyword && !keywords && !jinja_dict_make(run, 2, &keywords)))
            return false;
        bool done;
        if (argument->detail == ARGUMENT_POSITIONAL)
            done = jinja_list_append(run, positional, value);
        else if (argument->detail == ARGUMENT_KEYWORD)
            done = jinja_dict_put(run, keywords, argument->constant, value);
        else
            done = unpack_argument(run, argument->detail, value, positional, keywords);
        if (!done)
            return false;
    }
    arguments->positional = positional->items;
    arguments->n_positional = positional->count;
    arguments->keywords = keywords && keywords->count ? keywords : NULL;
    return true;
}

static bool evaluate_call(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_value callee;
    struct jinja_arguments arguments;
    if (!evaluate(run, scope, node->a, &callee))
        return false;
    if (!evaluate_arguments(run, scope, node->list, &arguments))
        return false;
    run->line = node->line;
    return jinja_call(run, callee, &arguments, out);
}

static bool apply(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value input, struct jinja_value *out)
{
    struct jinja_arguments arguments;
    if (!evaluate_arguments(run, scope, node->list, &arguments))
        return false;
    run->line = node->line;
    return jinja_call_builtin(run, node->function, input, &arguments, out);
}

bool evaluate_filter(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value input, struct jinja_value *out)
{
    if (node->a) {
        if (!jinja_enter(run))
            return false;
        bool done = evaluate_filter(run, scope, node->a, input, &input);
        run->depth--;
        if (!done)
            return false;
    }
    return apply(run, scope, node, input, out);
}

static bool compare(struct jinja_run *run, int comparison, struct jinja_value left, struct jinja_value right, bool *result)
{
    bool done, equal = false;
    switch (comparison) {
    case COMPARE_EQUAL: return jinja_equal(run, left, right, result);
    case COMPARE_UNEQUAL: done = jinja_equal(run, left, right, result); break;
    case COMPARE_LESS: return jinja_less(run, left, right, result);
    case COMPARE_GREATER: return jinja_less(run, right, left, result);
    case COMPARE_LESS_EQUAL:
    case COMPARE_GREATER_EQUAL:
        done = comparison == COMPARE_LESS_EQUAL ? jinja_less(run, left, right, result) : jinja_less(run, right, left, result);
        if (!done || *result)
            return done;
        done = jinja_equal(run, left, right, &equal);
        *result = equal;
        return done;
    case COMPARE_IN: return jinja_contains(run, right, left, result);
    default: done = jinja_contains(run, right, left, result); break;
    }
    *result = !*result;
    return done;
}

static bool evaluate_compare(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_value left, right;
    bool result = true;
    if (!evaluate(run, scope, node->a, &left))
        return false;
    for (const struct jinja_node *operand = node->list; result && operand; operand = operand->next) {
        if (!evaluate(run, scope, operand->a, &right) || !compare(run, operand->detail, left, right, &result))
            return false;
        left = right;
    }
    *out = jinja_bool(result);
    return true;
}

static bool evaluate_concat(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_list *parts;
    struct jinja_value list;
    if (!jinja_list_make(run, (size_t)node->count, &parts))
        return false;
    for (const struct jinja_node *item = node->list; item; item = item->next) {
        if (!evaluate(run, scope, item, &list) || !jinja_list_append(run, parts, list))
            return false;
    }
    if (!jinja_build(run))
        return false;
    for (size_t i = 0; i < parts->count; i++)
        if (!jinja_write(run, parts->items[i]))
            return false;
    return jinja_built(run, out);
}

static bool evaluate_conditional(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_value condition;
    if (!evaluate(run, scope, node->a, &condition))
        return false;
    if (jinja_is_true(condition))
        return evaluate(run, scope, node->b, out);
    if (node->c)
        return evaluate(run, scope, node->c, out);
    return jinja_undefined_make(run, "an inline if without else was false, so its value is undefined", NULL, NULL, out);
}

static bool evaluate_two(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_value left, right;
    if (!evaluate(run, scope, node->a, &left))
        return false;
    if (node->kind == NODE_AND || node->kind == NODE_OR) {
        *out = left;
        return jinja_is_true(left) == (node->kind == NODE_OR) || evaluate(run, scope, node->b, out);
    }
    if (!evaluate(run, scope, node->b, &right))
        return false;
    run->line = node->line;
    return node->kind == NODE_ITEM ? jinja_get_item(run, left, right, out) : jinja_arithmetic(run, (enum jinja_operator)node->detail, left, right, out);
}

static bool evaluate_one(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_value operand;
    if (!evaluate(run, scope, node->a, &operand))
        return false;
    run->line = node->line;
    switch (node->kind) {
    case NODE_ATTRIBUTE: return jinja_get_attribute(run, operand, node->constant.as.string, out);
    case NODE_NEGATE: return jinja_negate(run, operand, node->detail == '-', out);
    case NODE_NOT: *out = jinja_bool(!jinja_is_true(operand)); return true;
    default: return apply(run, scope, node, operand, out); /* filter, test */
    }
}

static bool evaluate_kind(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    switch (node->kind) {
    case NODE_CONSTANT: *out = node->constant; return true;
    case NODE_NAME: return look_up(run, scope, node->name, out);
    case NODE_LIST:
    case NODE_TUPLE: return evaluate_list(run, scope, node, out);
    case NODE_DICT: return evaluate_dict(run, scope, node, out);
    case NODE_SLICE: return evaluate_slice(run, scope, node, out);
    case NODE_CALL: return evaluate_call(run, scope, node, out);
    case NODE_CONCAT: return evaluate_concat(run, scope, node, out);
    case NODE_COMPARE: return evaluate_compare(run, scope, node, out);
    case NODE_CONDITIONAL: return evaluate_conditional(run, scope, node, out);
    case NODE_AND:
    case NODE_OR:
    case NODE_BINARY:
    case NODE_ITEM: return evaluate_two(run, scope, node, out);
    case NODE_ATTRIBUTE:
    case NODE_NEGATE:
    case NODE_NOT:
    case NODE_FILTER:
    case NODE_TEST: return evaluate_one(run, scope, node, out);
    default: return jinja_fail(run, SAMPAN_EINTERNAL, "an expression of kind %d", (int)node->kind);
    }
}

bool evaluate(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    if (!jinja_step(run, 1) || !jinja_enter(run))
        return false;
    run->line = node->line;
    bool done = evaluate_kind(run, scope, node, out);
    run->depth--;
    return done;
}
