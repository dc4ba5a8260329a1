/* The evaluator: walks the tree with one rendering's state. */
#ifndef TEXT_TEMPLATE_EVALUATE_H
#define TEXT_TEMPLATE_EVALUATE_H

#include "text/template/parse.h"
#include "text/template/value.h"

/* Renders into the innermost builder. `variables`: a dict. */
bool jinja_render(struct jinja_run *run, const struct jinja_template *parsed, struct jinja_value variables);

#endif
