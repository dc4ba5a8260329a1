/* The values of a template, as Python would have them, and one rendering's state.
 *
 * Everything a rendering makes lies in one arena and dies with it; nothing is ever changed in place except namespaces (and the position of an
 * iterator), as in jinja2's immutable sandbox. A string knows for each of its bytes whether it was written by the template or came in with the
 * variables: `origins` is NULL while all bytes share `origin`. Strings are UTF-8; Python's indices count characters.
 *
 * Functions that can fail return false after jinja_fail(): the message is in the run, and everything unwinds. */
#ifndef TEXT_TEMPLATE_VALUE_H
#define TEXT_TEMPLATE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "text/tokenizer.h"

struct jinja_run;
struct jinja_builtin;
struct jinja_macro;
struct jinja_loop;

enum jinja_kind {
    JINJA_MISSING, /* internal: no value here (an unset variable, an argument not given) */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_RANGE,
    JINJA_VIEW,     /* dict.keys(), .values(), .items() */
    JINJA_ITERATOR, /* what map, select and their like give: to be gone through once */
    JINJA_FUNCTION,
    JINJA_METHOD, /* a function bound to its object */
    JINJA_MACRO,
    JINJA_LOOP,
    JINJA_CYCLER,
    JINJA_JOINER
};

struct jinja_string {
    const char *bytes;
    size_t length;
    const unsigned char *origins; /* [length] enum text_origin; NULL: all are `origin` */
    int64_t n_characters;         /* -1: not counted yet */
    unsigned char origin;
    bool markup; /* went through `safe` or `escape`: adding a plain string escapes that one (markupsafe) */
};

struct jinja_value {
    enum jinja_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct jinja_string *string;
        struct jinja_list *list;
        struct jinja_dict *dict; /* of a namespace as well */
        struct jinja_range *range;
        struct jinja_view *view;
        struct jinja_iterator *iterator;
        struct jinja_undefined *undefined;
        const struct jinja_builtin *function;
        struct jinja_method *method;
        struct jinja_macro *macro;
        struct jinja_loop *loop;
        struct jinja_iterator *cycler; /* and joiner: items, position */
    } as;
};

struct jinja_list {
    struct jinja_value *items;
    size_t count, capacity;
};

struct jinja_entry {
    struct jinja_value key, value;
    uint64_t hash;
};

struct jinja_dict {
    struct jinja_entry *entries; /* [count], in the order of insertion */
    size_t count, capacity;
    uint32_t *index; /* [index_size] entry + 1, or 0; NULL while the dict is small */
    size_t index_size;
};

struct jinja_range {
    int64_t start, stop, step;
};

enum jinja_view_kind { JINJA_VIEW_KEYS, JINJA_VIEW_VALUES, JINJA_VIEW_ITEMS };
struct jinja_view {
    const struct jinja_dict *dict;
    enum jinja_view_kind which;
};

struct jinja_iterator {
    const struct jinja_list *items;
    size_t position;
};

/* Why it is undefined: a hint, or the name that was looked up (in an object of that type). */
struct jinja_undefined {
    const char *hint;
    const struct jinja_string *name;
    const char *object_type;
};

struct jinja_method {
    struct jinja_value self;
    const struct jinja_builtin *function;
};

/* A string under construction; builders form a stack, see jinja_build. */
struct jinja_builder {
    char *bytes;            /* [capacity], owned */
    unsigned char *origins; /* [capacity], owned; filled while `mixed` */
    size_t length, capacity, origins_capacity;
    bool mixed;
    unsigned char origin;
    struct jinja_builder *below;
};

struct jinja_limits {
    uint64_t steps;
    size_t memory, output;
    int depth;
};

struct jinja_run {
    const struct jinja_template *template_;
    struct jinja_limits limits;
    struct arena arena;
    struct error *err;
    int code; /* 0, or why it failed */
    int line; /* being executed, for messages */
    int depth, macro_depth;
    uint64_t steps;
    size_t builder_bytes;          /* capacity of all builders */
    struct jinja_builder *builder; /* the innermost */
    struct jinja_builder *spare;
    uint64_t hash_key[2];
    struct jinja_value *variables; /* [n_names], the outermost scope: what was given, built-in functions, top-level assignments */
};

void jinja_run_init(struct jinja_run *run, const struct jinja_limits *limits, struct error *err);
void jinja_run_free(struct jinja_run *run);

/* Records the failure (the first one wins) with the line in front; returns false. */
bool jinja_fail(struct jinja_run *run, int code, const char *format, ...) BASE_PRINTF(3, 4);
bool jinja_fail_memory(struct jinja_run *run);

/* Counts work; false when the limit is reached. */
bool jinja_step(struct jinja_run *run, uint64_t steps);
bool jinja_enter(struct jinja_run *run); /* one level deeper; undone by run->depth-- */

void *jinja_alloc(struct jinja_run *run, size_t count, size_t size); /* NULL: failed */

static inline struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.kind = JINJA_NONE};
}
static inline struct jinja_value jinja_bool(bool boolean)
{
    return (struct jinja_value){.kind = JINJA_BOOL, .as.boolean = boolean};
}
static inline struct jinja_value jinja_int(int64_t integer)
{
    return (struct jinja_value){.kind = JINJA_INT, .as.integer = integer};
}
static inline struct jinja_value jinja_float(double real)
{
    return (struct jinja_value){.kind = JINJA_FLOAT, .as.real = real};
}
static inline struct jinja_value jinja_string_value(struct jinja_string *string)
{
    return (struct jinja_value){.kind = JINJA_STRING, .as.string = string};
}

/* Strings. `bytes` (and origins) must live as long as the run. */
bool jinja_string_make(struct jinja_run *run, const char *bytes, size_t length, const unsigned char *origins, unsigned char origin, struct jinja_value *out);
bool jinja_string_copy(struct jinja_run *run, const char *bytes, size_t length, enum text_origin origin, struct jinja_value *out);
bool jinja_substring(struct jinja_run *run, const struct jinja_string *string, size_t from, size_t to, struct jinja_value *out); /* byte positions */
int64_t jinja_string_count(struct jinja_string *string);                                                                         /* characters */
size_t jinja_string_offset(struct jinja_string *string, int64_t character);                 /* byte position of a character, 0..n */
int jinja_string_decode(const struct jinja_string *string, size_t at, uint32_t *character); /* bytes of the character at a byte position */
bool jinja_string_is(const struct jinja_string *string, const char *text);
bool jinja_string_equal(const struct jinja_string *a, const struct jinja_string *b);
/* The byte position of `needle` in string[from..to), or -1. */
int64_t jinja_string_find(struct jinja_run *run, const struct jinja_string *string, const struct jinja_string *needle, size_t from, size_t to);

/* For messages: the arguments of a "%.*s". */
#define JINJA_TEXT(string) (int)((string)->length < 100 ? (string)->length : 100), (string)->bytes

/* Building: jinja_build opens a builder on top of the stack, jinja_built makes its content a string and closes it, jinja_build_drop closes it. */
bool jinja_build(struct jinja_run *run);
bool jinja_built(struct jinja_run *run, struct jinja_value *out);
void jinja_build_drop(struct jinja_run *run);
bool jinja_append(struct jinja_run *run, const char *bytes, size_t length, enum text_origin origin);
bool jinja_append_text(struct jinja_run *run, const char *text, enum text_origin origin);
bool jinja_append_slice(struct jinja_run *run, const struct jinja_string *string, size_t from, size_t to);
bool jinja_append_string(struct jinja_run *run, const struct jinja_string *string);
bool jinja_append_character(struct jinja_run *run, uint32_t character, enum text_origin origin);
bool jinja_append_escaped(struct jinja_run *run, const struct jinja_string *string); /* HTML, as markupsafe */
enum text_origin jinja_origin_at(const struct jinja_string *string, size_t at);

/* Lists and dicts. */
bool jinja_list_make(struct jinja_run *run, size_t capacity, struct jinja_list **list);
bool jinja_list_append(struct jinja_run *run, struct jinja_list *list, struct jinja_value value);
bool jinja_dict_make(struct jinja_run *run, size_t capacity, struct jinja_dict **dict);
bool jinja_dict_put(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value key, struct jinja_value value);
/* *found is NULL when absent; an unhashable key fails. */
bool jinja_dict_get(struct jinja_run *run, const struct jinja_dict *dict, struct jinja_value key, const struct jinja_value **found);
const struct jinja_value *jinja_dict_find(struct jinja_run *run, const struct jinja_dict *dict, const char *name, size_t length);
bool jinja_view_item(struct jinja_run *run, const struct jinja_view *view, size_t at, struct jinja_value *out);
bool jinja_pair(struct jinja_run *run, struct jinja_value first, struct jinja_value second, struct jinja_value *out); /* a tuple */
int64_t jinja_range_length(const struct jinja_range *range);

bool jinja_undefined_make(struct jinja_run *run, const char *hint, const struct jinja_string *name, const char *object_type, struct jinja_value *out);
bool jinja_fail_undefined(struct jinja_run *run, struct jinja_value value); /* fails with jinja2's words */

#endif
