/* What can be done with values, by Python's rules: truth, equality, order, hashing, printing, iteration, subscripts, arithmetic. */
#ifndef TEXT_TEMPLATE_OPERATE_H
#define TEXT_TEMPLATE_OPERATE_H

#include "text/template/value.h"

const char *jinja_type_name(struct jinja_value value); /* as Python names it */
bool jinja_is_true(struct jinja_value value);
bool jinja_is_number(struct jinja_value value);                                                     /* bool, int, float */
double jinja_as_real(struct jinja_value value);                                                     /* of a number */
bool jinja_to_int(struct jinja_run *run, struct jinja_value value, const char *what, int64_t *out); /* int and bool; anything else fails */

bool jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b, bool *equal);
bool jinja_less(struct jinja_run *run, struct jinja_value a, struct jinja_value b, bool *less); /* a < b; fails where Python has no order */
bool jinja_hash(struct jinja_run *run, struct jinja_value value, uint64_t *hash);
bool jinja_is_hashable(struct jinja_value value);
bool jinja_contains(struct jinja_run *run, struct jinja_value container, struct jinja_value item, bool *found);
bool jinja_length(struct jinja_run *run, struct jinja_value value, int64_t *length);

/* Sorts stably by keys[i] (items move along); fails where keys have no order. */
bool jinja_sort(struct jinja_run *run, struct jinja_value *items, struct jinja_value *keys, size_t count, bool reverse);

/* Appends str(value) or repr(value) to the innermost builder. */
bool jinja_write(struct jinja_run *run, struct jinja_value value);
bool jinja_write_repr(struct jinja_run *run, struct jinja_value value);
/* A string stays itself, anything else becomes str(value). */
bool jinja_to_string(struct jinja_run *run, struct jinja_value value, struct jinja_string **out);
void jinja_float_text(double real, char text[40]); /* the shortest form that reads back the same, as Python prints it */

/* Going through an iterable. */
struct jinja_cursor {
    struct jinja_value over;
    size_t at;
};
bool jinja_is_iterable(struct jinja_value value);
bool jinja_cursor_start(struct jinja_run *run, struct jinja_value over, struct jinja_cursor *cursor);
bool jinja_cursor_next(struct jinja_run *run, struct jinja_cursor *cursor, struct jinja_value *item); /* item is JINJA_MISSING at the end */
bool jinja_to_list(struct jinja_run *run, struct jinja_value iterable, struct jinja_list **list);     /* a fresh list */

/* value.name, value[key], value[start:stop:step] (JINJA_MISSING: left out), by jinja2's rules: an absent one is undefined. */
bool jinja_get_attribute(struct jinja_run *run, struct jinja_value value, struct jinja_string *name, struct jinja_value *out);
bool jinja_get_item(struct jinja_run *run, struct jinja_value value, struct jinja_value key, struct jinja_value *out);
bool jinja_get_slice(struct jinja_run *run, struct jinja_value value, const struct jinja_value bounds[3], struct jinja_value *out);

enum jinja_operator { JINJA_ADD, JINJA_SUBTRACT, JINJA_MULTIPLY, JINJA_DIVIDE, JINJA_FLOOR_DIVIDE, JINJA_MODULO, JINJA_POWER };
bool jinja_arithmetic(struct jinja_run *run, enum jinja_operator operator, struct jinja_value a, struct jinja_value b, struct jinja_value *out);
bool jinja_negate(struct jinja_run *run, struct jinja_value value, bool minus, struct jinja_value *out);

#endif
