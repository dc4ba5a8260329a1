/* Statements, loops, macros. */
#include "text/template/evaluate.h"

#include <string.h>

#include "text/template/evaluator.h"

bool scope_set(struct jinja_run *run, struct scope *scope, uint32_t name, struct jinja_value value)
{
    if (!scope->parent) {
        run->variables[name] = value;
        return true;
    }
    for (struct scope_binding *binding = scope->bindings; binding; binding = binding->next)
        if (binding->name == name) {
            binding->value = value;
            return true;
        }
    struct scope_binding *binding = jinja_alloc(run, 1, sizeof *binding);
    if (!binding)
        return false;
    *binding = (struct scope_binding){.name = name, .value = value, .next = scope->bindings};
    scope->bindings = binding;
    return true;
}

static struct scope *open_scope(struct jinja_run *run, struct scope *parent)
{
    struct scope *scope = jinja_alloc(run, 1, sizeof *scope);
    if (scope)
        scope->parent = parent;
    return scope;
}

static void forget_all(struct scope *scope)
{
    for (struct scope_binding *binding = scope->bindings; binding; binding = binding->next)
        binding->value.kind = JINJA_MISSING;
}

/* --- assignment --- */

static bool assign_attribute(struct jinja_run *run, struct scope *scope, const struct jinja_node *target, struct jinja_value value)
{
    struct jinja_node name = {.kind = NODE_NAME, .name = target->name, .line = target->line};
    struct jinja_value object;
    if (!evaluate(run, scope, &name, &object))
        return false;
    if (object.kind != JINJA_NAMESPACE)
        return jinja_fail(run, SAMPAN_EINVAL, "cannot assign an attribute of a %s; only a namespace() has attributes that can be set", jinja_type_name(object));
    if (target->constant.as.string->bytes[0] == '_')
        return jinja_fail(run, SAMPAN_EINVAL, "a namespace's attribute may not begin with an underscore");
    return jinja_dict_put(run, object.as.dict, target->constant, value);
}

bool assign_target(struct jinja_run *run, struct scope *scope, const struct jinja_node *target, struct jinja_value value)
{
    if (target->kind == NODE_NAME)
        return scope_set(run, scope, target->name, value);
    if (target->kind == NODE_NAMESPACE_ATTRIBUTE)
        return assign_attribute(run, scope, target, value);
    struct jinja_list *items;
    if (!jinja_to_list(run, value, &items))
        return false;
    if (items->count != (size_t)target->count)
        return jinja_fail(run, SAMPAN_EINVAL, "%zu values to unpack, expected %d", items->count, target->count);
    size_t i = 0;
    for (const struct jinja_node *item = target->list; item; item = item->next)
        if (!assign_target(run, scope, item, items->items[i++]))
            return false;
    return true;
}

/* --- loops --- */

struct jinja_loop {
    struct jinja_cursor cursor;
    const struct jinja_node *node;
    struct scope *outer;                                /* the condition is evaluated in a scope below this one */
    struct scope *test_scope;                           /* NULL: no condition */
    int64_t index0, length;                             /* length -1: not known yet */
    struct jinja_value before, current, after, changed; /* after: looked at ahead; MISSING: not */
    bool looked, exhausted;                             /* looked: `after` (or the end) is known */
};

/* The next item that the condition lets through; MISSING at the end. As in jinja2 the condition is evaluated when the item is asked for. */
static bool next_item(struct jinja_run *run, struct jinja_loop *loop, struct jinja_value *item)
{
    for (;;) {
        if (!jinja_cursor_next(run, &loop->cursor, item))
            return false;
        if (item->kind == JINJA_MISSING || !loop->test_scope)
            return true;
        struct jinja_value condition;
        if (!assign_target(run, loop->test_scope, loop->node->a, *item) || !evaluate(run, loop->test_scope, loop->node->c, &condition))
            return false;
        if (jinja_is_true(condition))
            return true;
    }
}

static bool look_ahead(struct jinja_run *run, struct jinja_loop *loop)
{
    if (loop->looked)
        return true;
    loop->looked = true;
    return next_item(run, loop, &loop->after);
}

static bool advance(struct jinja_run *run, struct jinja_loop *loop, bool *more)
{
    if (!look_ahead(run, loop))
        return false;
    *more = loop->after.kind != JINJA_MISSING;
    loop->looked = false;
    loop->index0++;
    loop->before = loop->current;
    loop->current = loop->after;
    return true;
}

bool jinja_loop_length(struct jinja_run *run, struct jinja_loop *loop, int64_t *length)
{
    if (loop->length < 0) {
        struct jinja_list *rest;
        if (!loop->test_scope && loop->cursor.over.kind != JINJA_ITERATOR) {
            if (!jinja_length(run, loop->cursor.over, &loop->length))
                return false;
        } else { /* go through what is left, and go on with that */
            struct jinja_value item;
            if (!jinja_list_make(run, 0, &rest))
                return false;
            for (;;) {
                if (!next_item(run, loop, &item))
                    return false;
                if (item.kind == JINJA_MISSING)
                    break;
                if (!jinja_list_append(run, rest, item))
                    return false;
            }
            loop->length = (int64_t)rest->count + loop->index0 + 1 + (loop->looked && loop->after.kind != JINJA_MISSING);
            loop->cursor = (struct jinja_cursor){.over = {.kind = JINJA_LIST, .as.list = rest}};
            loop->test_scope = NULL;
        }
    }
    *length = loop->length;
    return true;
}

static bool loop_cycle(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    if (!arguments->n_positional || arguments->keywords)
        return jinja_fail(run, SAMPAN_EINVAL, "loop.cycle() needs values to cycle through");
    *out = arguments->positional[self.as.loop->index0 % (int64_t)arguments->n_positional];
    return true;
}

static bool loop_changed(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_loop *loop = self.as.loop;
    struct jinja_list *values;
    bool equal = false;
    if (!jinja_list_make(run, arguments->n_positional, &values))
        return false;
    for (size_t i = 0; i < arguments->n_positional; i++)
        values->items[values->count++] = arguments->positional[i];
    struct jinja_value given = {.kind = JINJA_TUPLE, .as.list = values};
    if (loop->changed.kind != JINJA_MISSING && !jinja_equal(run, loop->changed, given, &equal))
        return false;
    loop->changed = given;
    *out = jinja_bool(!equal);
    return true;
}

static const struct jinja_builtin loop_methods[] = {{"cycle", NULL, 0, NULL, loop_cycle}, {"changed", NULL, 0, NULL, loop_changed}};

static bool loop_number(struct jinja_run *run, struct jinja_loop *loop, const struct jinja_string *name, struct jinja_value *out)
{
    int64_t length;
    if (jinja_string_is(name, "index"))
        *out = jinja_int(loop->index0 + 1);
    else if (jinja_string_is(name, "index0"))
        *out = jinja_int(loop->index0);
    else if (jinja_string_is(name, "first"))
        *out = jinja_bool(loop->index0 == 0);
    else if (jinja_string_is(name, "depth") || jinja_string_is(name, "depth0"))
        *out = jinja_int(name->length == 5);
    else if (jinja_string_is(name, "length") || jinja_string_is(name, "revindex") || jinja_string_is(name, "revindex0")) {
        if (!jinja_loop_length(run, loop, &length))
            return false;
        *out = jinja_int(name->bytes[0] == 'l' ? length : length - loop->index0 - (name->length == 9));
    }
    return true;
}

bool jinja_loop_attribute(struct jinja_run *run, struct jinja_loop *loop, const struct jinja_string *name, struct jinja_value *out)
{
    out->kind = JINJA_MISSING;
    if (jinja_string_is(name, "last") || jinja_string_is(name, "nextitem")) {
        if (!look_ahead(run, loop))
            return false;
        if (name->length == 4)
            *out = jinja_bool(loop->after.kind == JINJA_MISSING);
        else if (loop->after.kind == JINJA_MISSING)
            return jinja_undefined_make(run, "there is no next item", NULL, NULL, out);
        else
            *out = loop->after;
        return true;
    }
    if (jinja_string_is(name, "previtem")) {
        if (!loop->index0)
            return jinja_undefined_make(run, "there is no previous item", NULL, NULL, out);
        *out = loop->before;
        return true;
    }
    for (size_t i = 0; i < 2; i++) {
        if (!jinja_string_is(name, loop_methods[i].name))
            continue;
        struct jinja_method *method = jinja_alloc(run, 1, sizeof *method);
        if (!method)
            return false;
        *method = (struct jinja_method){.self = {.kind = JINJA_LOOP, .as.loop = loop}, .function = &loop_methods[i]};
        *out = (struct jinja_value){.kind = JINJA_METHOD, .as.method = method};
        return true;
    }
    return loop_number(run, loop, name, out);
}

static bool start_loop(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_loop **out)
{
    struct jinja_loop *loop = jinja_alloc(run, 1, sizeof *loop);
    struct jinja_value iterable;
    if (!loop || !evaluate(run, scope, node->b, &iterable))
        return false;
    *loop = (struct jinja_loop){.node = node, .outer = scope, .index0 = -1, .length = -1};
    if (node->c && !(loop->test_scope = open_scope(run, scope)))
        return false;
    run->line = node->line;
    *out = loop;
    return jinja_cursor_start(run, iterable, &loop->cursor);
}

static enum flow execute_for(struct jinja_run *run, struct scope *scope, const struct jinja_node *node)
{
    struct jinja_loop *loop;
    struct scope *body = open_scope(run, scope);
    enum flow flow = FLOW_ON;
    bool more = false, any = false;
    if (!body || !start_loop(run, scope, node, &loop))
        return FLOW_FAILED;
    struct jinja_value loop_value = {.kind = JINJA_LOOP, .as.loop = loop};
    while (flow != FLOW_BREAK) {
        if (!advance(run, loop, &more))
            return FLOW_FAILED;
        if (!more)
            break;
        forget_all(body);
        if (!scope_set(run, body, run->template_->loop_name, loop_value) || !assign_target(run, body, node->a, loop->current))
            return FLOW_FAILED;
        flow = execute(run, body, node->body);
        if (flow == FLOW_FAILED)
            return FLOW_FAILED;
        any = any || flow == FLOW_ON; /* jinja2 notes an iteration at the end of the body: break and continue jump over that */
    }
    if (any || !node->other)
        return FLOW_ON;
    struct scope *other = open_scope(run, scope);
    return other ? execute(run, other, node->other) : FLOW_FAILED;
}

/* --- macros --- */

/* The keyword arguments that no parameter took. */
static bool other_keywords(struct jinja_run *run, const struct jinja_macro *macro, const struct jinja_dict *given, bool takes_caller, struct jinja_dict **rest)
{
    if (!jinja_dict_make(run, 0, rest))
        return false;
    for (size_t i = 0; given && i < given->count; i++) {
        const struct jinja_string *name = given->entries[i].key.as.string;
        bool taken = takes_caller && jinja_string_is(name, "caller");
        for (const struct jinja_node *parameter = macro->node->list; parameter && !taken; parameter = parameter->next)
            taken = jinja_string_equal(run->template_->names[parameter->name], name);
        if (!taken && !jinja_dict_put(run, *rest, given->entries[i].key, given->entries[i].value))
            return false;
    }
    return true;
}

static bool bind_parameters(struct jinja_run *run, const struct jinja_macro *macro, const struct jinja_arguments *arguments, struct scope *scope)
{
    size_t position = 0;
    for (const struct jinja_node *parameter = macro->node->list; parameter; parameter = parameter->next, position++) {
        const struct jinja_string *name = run->template_->names[parameter->name];
        const struct jinja_value *keyword = arguments->keywords ? jinja_dict_find(run, arguments->keywords, name->bytes, name->length) : NULL;
        struct jinja_value value;
        if (position < arguments->n_positional) {
            if (keyword)
                return jinja_fail(run, SAMPAN_EINVAL, "a macro was given its parameter '%.*s' twice", JINJA_TEXT(name));
            value = arguments->positional[position];
        } else if (keyword) {
            value = *keyword;
        } else {
            continue;
        }
        if (!scope_set(run, scope, parameter->name, value))
            return false;
    }
    position = 0; /* defaults see the parameters before them */
    for (const struct jinja_node *parameter = macro->node->list; parameter; parameter = parameter->next, position++) {
        const struct jinja_string *name = run->template_->names[parameter->name];
        if (position < arguments->n_positional || (arguments->keywords && jinja_dict_find(run, arguments->keywords, name->bytes, name->length)))
            continue;
        struct jinja_value value;
        bool done =
            parameter->a ? evaluate(run, scope, parameter->a, &value) : jinja_undefined_make(run, "a parameter of a macro was not given", name, NULL, &value);
        if (!done || !scope_set(run, scope, parameter->name, value))
            return false;
    }
    return true;
}

/* caller, kwargs, varargs: for macros that mention them. */
static bool bind_special(struct jinja_run *run, const struct jinja_macro *macro, const struct jinja_arguments *arguments, struct scope *scope)
{
    const struct jinja_template *parsed = run->template_;
    const struct jinja_node *node = macro->node;
    bool is_parameter[3] = {false};
    for (const struct jinja_node *parameter = node->list; parameter; parameter = parameter->next) {
        is_parameter[0] = is_parameter[0] || parameter->name == parsed->caller_name;
        is_parameter[1] = is_parameter[1] || parameter->name == parsed->keywords_name;
        is_parameter[2] = is_parameter[2] || parameter->name == parsed->variadic_name;
    }
    bool caller = (node->detail & MACRO_USES_CALLER) && !is_parameter[0], variadic = (node->detail & MACRO_USES_VARIADIC) && !is_parameter[2];
    bool keywords = (node->detail & MACRO_USES_KEYWORDS) && !is_parameter[1];
    struct jinja_dict *rest;
    struct jinja_value value;
    if (!other_keywords(run, macro, arguments->keywords, caller, &rest))
        return false;
    if (rest->count && !keywords)
        return jinja_fail(run, SAMPAN_EINVAL, "the macro '%.*s' takes no keyword argument '%.*s'", JINJA_TEXT(parsed->names[node->name]),
                          JINJA_TEXT(rest->entries[0].key.as.string));
    if (arguments->n_positional > (size_t)node->count && !variadic)
        return jinja_fail(run, SAMPAN_EINVAL, "the macro '%.*s' takes not more than %d arguments, %zu given", JINJA_TEXT(parsed->names[node->name]),
                          node->count, arguments->n_positional);
    if (keywords && !scope_set(run, scope, parsed->keywords_name, (struct jinja_value){.kind = JINJA_DICT, .as.dict = rest}))
        return false;
    if (caller) {
        const struct jinja_value *given = arguments->keywords ? jinja_dict_find(run, arguments->keywords, "caller", 6) : NULL;
        if (given)
            value = *given;
        else if (!jinja_undefined_make(run, "No caller defined", NULL, NULL, &value))
            return false;
        if (!scope_set(run, scope, parsed->caller_name, value))
            return false;
    }
    if (!variadic)
        return true;
    struct jinja_list *list;
    if (!jinja_list_make(run, 0, &list))
        return false;
    for (size_t i = (size_t)node->count; i < arguments->n_positional; i++)
        if (!jinja_list_append(run, list, arguments->positional[i]))
            return false;
    return scope_set(run, scope, parsed->variadic_name, (struct jinja_value){.kind = JINJA_TUPLE, .as.list = list});
}

bool call_macro(struct jinja_run *run, const struct jinja_macro *macro, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct scope *scope = open_scope(run, macro->scope);
    if (!scope || !jinja_enter(run))
        return false;
    if (!bind_parameters(run, macro, arguments, scope) || !bind_special(run, macro, arguments, scope))
        return false;
    bool done = jinja_build(run) && execute(run, scope, macro->node->body) != FLOW_FAILED && jinja_built(run, out);
    run->depth--;
    return done;
}

bool jinja_call(struct jinja_run *run, struct jinja_value callee, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    switch (callee.kind) {
    case JINJA_UNDEFINED: return jinja_fail_undefined(run, callee);
    case JINJA_FUNCTION: return jinja_call_builtin(run, callee.as.function, jinja_none(), arguments, out);
    case JINJA_METHOD: return jinja_call_builtin(run, callee.as.method->function, callee.as.method->self, arguments, out);
    case JINJA_MACRO: return call_macro(run, callee.as.macro, arguments, out);
    case JINJA_JOINER: /* nothing the first time, then the separator */
        if (arguments->n_positional || arguments->keywords)
            return jinja_fail(run, SAMPAN_EINVAL, "a joiner takes no arguments");
        *out = callee.as.cycler->items->items[callee.as.cycler->position ? 1 : 0];
        callee.as.cycler->position = 1;
        return true;
    default: return jinja_fail(run, SAMPAN_EINVAL, "'%s' object is not callable", jinja_type_name(callee));
    }
}

static bool make_macro(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out)
{
    struct jinja_macro *macro = jinja_alloc(run, 1, sizeof *macro);
    if (!macro)
        return false;
    *macro = (struct jinja_macro){.node = node, .scope = scope};
    *out = (struct jinja_value){.kind = JINJA_MACRO, .as.macro = macro};
    return true;
}

static bool execute_call_block(struct jinja_run *run, struct scope *scope, const struct jinja_node *node)
{
    static const struct jinja_string caller_key = {.bytes = "caller", .length = 6, .n_characters = 6, .origin = ORIGIN_TEMPLATE};
    struct jinja_value callee, caller, result;
    struct jinja_arguments arguments;
    struct jinja_dict *keywords;
    if (!make_macro(run, scope, node->b, &caller) || !evaluate(run, scope, node->a->a, &callee) || !evaluate_arguments(run, scope, node->a->list, &arguments))
        return false;
    if (!jinja_dict_make(run, 2, &keywords))
        return false;
    for (size_t i = 0; arguments.keywords && i < arguments.keywords->count; i++)
        if (!jinja_dict_put(run, keywords, arguments.keywords->entries[i].key, arguments.keywords->entries[i].value))
            return false;
    struct jinja_value key = jinja_string_value((struct jinja_string *)(uintptr_t)&caller_key);
    arguments.keywords = keywords;
    run->line = node->line;
    return jinja_dict_put(run, keywords, key, caller) && jinja_call(run, callee, &arguments, &result) && jinja_write(run, result);
}

/* --- the other statements --- */

/* Runs a body into a builder of its own; *out is what it wrote where it ran to its end. */
static enum flow capture(struct jinja_run *run, struct scope *scope, const struct jinja_node *body, struct jinja_value *out)
{
    struct scope *inner = open_scope(run, scope);
    if (!inner || !jinja_build(run))
        return FLOW_FAILED;
    enum flow flow = execute(run, inner, body);
    if (flow == FLOW_FAILED)
        return flow;
    if (flow != FLOW_ON) {
        jinja_build_drop(run);
        return flow;
    }
    return jinja_built(run, out) ? FLOW_ON : FLOW_FAILED;
}

static enum flow execute_captured(struct jinja_run *run, struct scope *scope, const struct jinja_node *node)
{
    struct jinja_value text;
    const struct jinja_node *filter = node->kind == NODE_FILTER_BLOCK ? node->a : node->b;
    enum flow flow = capture(run, scope, node->body, &text);
    if (flow != FLOW_ON)
        return flow;
    if (filter && !evaluate_filter(run, scope, filter, text, &text))
        return FLOW_FAILED;
    bool done = node->kind == NODE_FILTER_BLOCK ? jinja_write(run, text) : assign_target(run, scope, node->a, text);
    return done ? FLOW_ON : FLOW_FAILED;
}

static enum flow execute_if(struct jinja_run *run, struct scope *scope, const struct jinja_node *node)
{
    for (const struct jinja_node *branch = node->list; branch; branch = branch->next) {
        struct jinja_value condition = jinja_bool(true);
        if (branch->a && !evaluate(run, scope, branch->a, &condition))
            return FLOW_FAILED;
        if (jinja_is_true(condition))
            return execute(run, scope, branch->body);
    }
    return FLOW_ON;
}

static enum flow execute_with(struct jinja_run *run, struct scope *scope, const struct jinja_node *node)
{
    struct scope *inner = open_scope(run, scope);
    if (!inner)
        return FLOW_FAILED;
    for (const struct jinja_node *set = node->list; set; set = set->next) {
        struct jinja_value value;
        if (!evaluate(run, scope, set->b, &value) || !assign_target(run, inner, set->a, value))
            return FLOW_FAILED;
    }
    return execute(run, inner, node->body);
}

static bool execute_simple(struct jinja_run *run, struct scope *scope, const struct jinja_node *node)
{
    struct jinja_value value;
    switch (node->kind) {
    case NODE_TEXT: return jinja_append_string(run, node->constant.as.string);
    case NODE_OUTPUT: return evaluate(run, scope, node->a, &value) && jinja_write(run, value);
    case NODE_SET: return evaluate(run, scope, node->b, &value) && assign_target(run, scope, node->a, value);
    case NODE_MACRO: return make_macro(run, scope, node, &value) && scope_set(run, scope, node->name, value);
    case NODE_CALL_BLOCK: return execute_call_block(run, scope, node);
    default: return jinja_fail(run, SAMPAN_EINTERNAL, "a statement of kind %d", (int)node->kind);
    }
}

static enum flow execute_one(struct jinja_run *run, struct scope *scope, const struct jinja_node *node)
{
    struct scope *inner;
    switch (node->kind) {
    case NODE_IF: return execute_if(run, scope, node);
    case NODE_FOR: return execute_for(run, scope, node);
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK: return execute_captured(run, scope, node);
    case NODE_WITH: return execute_with(run, scope, node);
    case NODE_SCOPE: return (inner = open_scope(run, scope)) ? execute(run, inner, node->body) : FLOW_FAILED;
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    default: return execute_simple(run, scope, node) ? FLOW_ON : FLOW_FAILED;
    }
}

enum flow execute(struct jinja_run *run, struct scope *scope, const struct jinja_node *first)
{
    enum flow flow = FLOW_ON;
    if (!jinja_enter(run))
        return FLOW_FAILED;
    for (const struct jinja_node *node = first; node && flow == FLOW_ON; node = node->next) {
        run->line = node->line;
        flow = jinja_step(run, 1) ? execute_one(run, scope, node) : FLOW_FAILED;
    }
    run->depth--;
    return flow;
}

bool jinja_render(struct jinja_run *run, const struct jinja_template *parsed, struct jinja_value variables)
{
    struct scope outermost = {0};
    run->template_ = parsed;
    run->variables = jinja_alloc(run, parsed->n_names, sizeof *run->variables); /* zero: JINJA_MISSING */
    if (!run->variables)
        return false;
    for (uint32_t i = 0; i < parsed->n_names; i++) {
        const struct jinja_string *name = parsed->names[i];
        const struct jinja_builtin *function = jinja_find_function(name->bytes, name->length);
        const struct jinja_value *given = jinja_dict_find(run, variables.as.dict, name->bytes, name->length);
        if (given)
            run->variables[i] = *given;
        else if (function)
            run->variables[i] = (struct jinja_value){.kind = JINJA_FUNCTION, .as.function = function};
    }
    return !run->code && execute(run, &outermost, parsed->body) != FLOW_FAILED;
}
