/* What templates can call: filters, tests, functions, methods of values. Each is a row of a table: name, parameters, function. */
#ifndef TEXT_TEMPLATE_BUILTINS_H
#define TEXT_TEMPLATE_BUILTINS_H

#include "text/template/value.h"

enum { JINJA_MAX_PARAMETERS = 5 };

struct jinja_arguments {
    struct jinja_value *positional; /* [n_positional] */
    size_t n_positional;
    struct jinja_dict *keywords; /* NULL: none */
};

/* A builtin has `call` (its arguments are matched to `parameters`; those not given are JINJA_MISSING) or `call_with` (it sorts them out itself). */
struct jinja_builtin {
    const char *name;
    const char *parameters; /* names separated by spaces; "." can be given by position only */
    int required;           /* the first so many must be given */
    bool (*call)(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out);
    bool (*call_with)(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out);
};

const struct jinja_builtin *jinja_find_filter(const char *name, size_t length);
const struct jinja_builtin *jinja_find_test(const char *name, size_t length);
const struct jinja_builtin *jinja_find_function(const char *name, size_t length);
/* The method of values of that kind; NULL: there is none. *forbidden: it exists in Python but changes its object, which the sandbox refuses. */
const struct jinja_builtin *jinja_find_method(enum jinja_kind kind, const struct jinja_string *name, bool *forbidden);
bool jinja_method_is_missing(const struct jinja_string *name); /* a method of Python's str, list or dict that is not here */

/* Matches the arguments to the parameters and calls. */
bool jinja_call_builtin(struct jinja_run *run, const struct jinja_builtin *builtin, struct jinja_value self, const struct jinja_arguments *arguments,
                        struct jinja_value *out);
/* Calls whatever can be called (evaluate.c). */
bool jinja_call(struct jinja_run *run, struct jinja_value callee, const struct jinja_arguments *arguments, struct jinja_value *out);

/* The variable `loop` (evaluate.c). */
bool jinja_loop_length(struct jinja_run *run, struct jinja_loop *loop, int64_t *length);
bool jinja_loop_attribute(struct jinja_run *run, struct jinja_loop *loop, const struct jinja_string *name, struct jinja_value *out);

/* 'text' % values and 'text'.format(...) (format.c). */
bool jinja_format_percent(struct jinja_run *run, const struct jinja_string *format, struct jinja_value values, struct jinja_value *out);
bool jinja_format_braces(struct jinja_run *run, const struct jinja_string *format, const struct jinja_arguments *arguments, struct jinja_value *out);

/* JSON (json.c): of variables and from_json; json.dumps. */
bool jinja_json_parse(struct jinja_run *run, const char *text, size_t length, bool must_be_object, struct jinja_value *out);
struct jinja_json_style {
    bool ascii;                        /* ensure_ascii */
    bool sort;                         /* sort_keys */
    const struct jinja_string *indent; /* NULL: on one line */
    const struct jinja_string *item_separator, *key_separator;
};
bool jinja_json_write(struct jinja_run *run, struct jinja_value value, const struct jinja_json_style *style);

/* String work shared by methods and filters (methods.c). `chars` NULL: white space. */
enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };
bool jinja_strip(struct jinja_run *run, struct jinja_string *string, const struct jinja_string *chars, int sides, struct jinja_value *out);
bool jinja_replace(struct jinja_run *run, const struct jinja_string *string, const struct jinja_string *old, const struct jinja_string *new_text, int64_t count,
                   struct jinja_value *out);
enum jinja_casing { CASING_UPPER, CASING_LOWER, CASING_CAPITALIZE, CASING_TITLE, CASING_SWAP, CASING_FOLD };
bool jinja_convert_case(struct jinja_run *run, const struct jinja_string *string, enum jinja_casing casing, struct jinja_value *out);
bool jinja_pad(struct jinja_run *run, struct jinja_string *string, int64_t left, int64_t right, const struct jinja_string *fill, struct jinja_value *out);
bool jinja_string_is_case(const struct jinja_string *string, bool upper); /* isupper, islower */
bool jinja_split_lines(struct jinja_run *run, const struct jinja_string *string, bool keep_ends, struct jinja_list **list);

/* For tests: strftime_now uses this time (seconds since 1970, UTC); -1: the clock, local time. */
void jinja_fix_time(int64_t seconds);

#endif
