/* Inside of the evaluator: what statements (evaluate.c) and expressions (evaluate_expression.c) share.
 *
 * Scopes are a chain that follows the text of the template. for, macro, call, with, filter, set-blocks and generation open one, if does not; the
 * outermost is run->variables. A macro keeps the scope it was defined in, as a Python closure does. */
#ifndef TEXT_TEMPLATE_EVALUATOR_H
#define TEXT_TEMPLATE_EVALUATOR_H

#include "text/template/builtins.h"
#include "text/template/operate.h"
#include "text/template/parse.h"

struct scope_binding {
    uint32_t name;
    struct jinja_value value; /* JINJA_MISSING: not set at present */
    struct scope_binding *next;
};

struct scope {
    struct scope *parent; /* NULL: the outermost */
    struct scope_binding *bindings;
};

struct jinja_macro {
    const struct jinja_node *node;
    struct scope *scope; /* where it was defined */
};

enum flow { FLOW_FAILED, FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

bool scope_set(struct jinja_run *run, struct scope *scope, uint32_t name, struct jinja_value value);
bool evaluate(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value *out);
bool evaluate_arguments(struct jinja_run *run, struct scope *scope, const struct jinja_node *list, struct jinja_arguments *arguments);
bool evaluate_filter(struct jinja_run *run, struct scope *scope, const struct jinja_node *node, struct jinja_value input,
                     struct jinja_value *out); /* a chain */
bool assign_target(struct jinja_run *run, struct scope *scope, const struct jinja_node *target, struct jinja_value value);
enum flow execute(struct jinja_run *run, struct scope *scope, const struct jinja_node *first);
bool call_macro(struct jinja_run *run, const struct jinja_macro *macro, const struct jinja_arguments *arguments, struct jinja_value *out);

#endif
