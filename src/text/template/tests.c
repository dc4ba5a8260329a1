/* Tests: what may stand behind `is`. Source: jinja2/tests.py. */
#include <string.h>

#include "text/template/builtins.h"
#include "text/template/operate.h"

#define TEST(name) static bool name(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out)
#define KIND_TEST(name, condition)                                                                                                                             \
    TEST(name)                                                                                                                                                 \
    {                                                                                                                                                          \
        (void)run;                                                                                                                                             \
        (void)arguments;                                                                                                                                       \
        *out = jinja_bool(condition);                                                                                                                          \
        return true;                                                                                                                                           \
    }

KIND_TEST(is_defined, self.kind != JINJA_UNDEFINED)
KIND_TEST(is_undefined, self.kind == JINJA_UNDEFINED)
KIND_TEST(is_none, self.kind == JINJA_NONE)
KIND_TEST(is_boolean, self.kind == JINJA_BOOL)
KIND_TEST(is_true, self.kind == JINJA_BOOL && self.as.boolean)
KIND_TEST(is_false, self.kind == JINJA_BOOL && !self.as.boolean)
KIND_TEST(is_integer, self.kind == JINJA_INT)
KIND_TEST(is_float, self.kind == JINJA_FLOAT)
KIND_TEST(is_number, jinja_is_number(self))
KIND_TEST(is_string, self.kind == JINJA_STRING)
KIND_TEST(is_mapping, self.kind == JINJA_DICT)
KIND_TEST(is_sequence, self.kind == JINJA_UNDEFINED || self.kind == JINJA_STRING || self.kind == JINJA_LIST || self.kind == JINJA_TUPLE ||
                           self.kind == JINJA_DICT || self.kind == JINJA_RANGE)
KIND_TEST(is_iterable, jinja_is_iterable(self) || self.kind == JINJA_LOOP)
KIND_TEST(is_callable, self.kind == JINJA_FUNCTION || self.kind == JINJA_METHOD || self.kind == JINJA_MACRO || self.kind == JINJA_JOINER ||
                           self.kind == JINJA_LOOP || self.kind == JINJA_UNDEFINED)
KIND_TEST(is_escaped, self.kind == JINJA_STRING && self.as.string->markup)

/* value % number == 0, which works for floats as well */
static bool remainder_is(struct jinja_run *run, struct jinja_value value, struct jinja_value number, int64_t wanted, struct jinja_value *out)
{
    struct jinja_value remainder;
    bool equal;
    if (!jinja_arithmetic(run, JINJA_MODULO, value, number, &remainder) || !jinja_equal(run, remainder, jinja_int(wanted), &equal))
        return false;
    *out = jinja_bool(equal);
    return true;
}

TEST(is_odd)
{
    (void)arguments;
    return remainder_is(run, self, jinja_int(2), 1, out);
}

TEST(is_even)
{
    (void)arguments;
    return remainder_is(run, self, jinja_int(2), 0, out);
}

TEST(is_divisible_by)
{
    return remainder_is(run, self, arguments[0], 0, out);
}

static bool test_case(struct jinja_run *run, struct jinja_value self, bool upper, struct jinja_value *out)
{
    struct jinja_string *string;
    if (!jinja_to_string(run, self, &string))
        return false;
    *out = jinja_bool(jinja_string_is_case(string, upper));
    return true;
}

TEST(is_lower)
{
    (void)arguments;
    return test_case(run, self, false, out);
}

TEST(is_upper)
{
    (void)arguments;
    return test_case(run, self, true, out);
}

TEST(is_same_as)
{
    struct jinja_value other = arguments[0];
    bool equal = false;
    bool plain = self.kind == JINJA_NONE || jinja_is_number(self) || self.kind == JINJA_STRING;
    if (self.kind == other.kind && plain) { /* Python's small objects are mostly shared; a template cannot rely on more */
        if (!jinja_equal(run, self, other, &equal))
            return false;
    } else {
        equal = self.kind == other.kind && self.as.dict == other.as.dict;
    }
    *out = jinja_bool(equal);
    return true;
}

TEST(is_in)
{
    bool found;
    if (!jinja_contains(run, arguments[0], self, &found))
        return false;
    *out = jinja_bool(found);
    return true;
}

TEST(is_equal)
{
    bool equal;
    if (!jinja_equal(run, self, arguments[0], &equal))
        return false;
    *out = jinja_bool(equal);
    return true;
}

TEST(is_unequal)
{
    if (!is_equal(run, self, arguments, out))
        return false;
    out->as.boolean = !out->as.boolean;
    return true;
}

TEST(is_less)
{
    bool less;
    if (!jinja_less(run, self, arguments[0], &less))
        return false;
    *out = jinja_bool(less);
    return true;
}

TEST(is_greater)
{
    return is_less(run, arguments[0], &self, out);
}

TEST(is_less_or_equal)
{
    return is_less(run, self, arguments, out) && (out->as.boolean || is_equal(run, self, arguments, out));
}

TEST(is_greater_or_equal)
{
    return is_less(run, arguments[0], &self, out) && (out->as.boolean || is_equal(run, self, arguments, out));
}

static bool find_by_value(struct jinja_run *run, struct jinja_value self, const struct jinja_builtin *(*find)(const char *name, size_t length),
                          struct jinja_value *out)
{
    if (!jinja_is_hashable(self))
        return jinja_fail(run, SAMPAN_EINVAL, "unhashable type: '%s'", jinja_type_name(self));
    *out = jinja_bool(self.kind == JINJA_STRING && find(self.as.string->bytes, self.as.string->length));
    return true;
}

TEST(is_filter)
{
    (void)arguments;
    return find_by_value(run, self, jinja_find_filter, out);
}

TEST(is_test)
{
    (void)arguments;
    return find_by_value(run, self, jinja_find_test, out);
}

static const struct jinja_builtin tests[] = {
    {"defined", "", 0, is_defined, NULL},
    {"undefined", "", 0, is_undefined, NULL},
    {"none", "", 0, is_none, NULL},
    {"boolean", "", 0, is_boolean, NULL},
    {"true", "", 0, is_true, NULL},
    {"false", "", 0, is_false, NULL},
    {"integer", "", 0, is_integer, NULL},
    {"float", "", 0, is_float, NULL},
    {"number", "", 0, is_number, NULL},
    {"string", "", 0, is_string, NULL},
    {"mapping", "", 0, is_mapping, NULL},
    {"sequence", "", 0, is_sequence, NULL},
    {"iterable", "", 0, is_iterable, NULL},
    {"callable", "", 0, is_callable, NULL},
    {"escaped", "", 0, is_escaped, NULL},
    {"odd", "", 0, is_odd, NULL},
    {"even", "", 0, is_even, NULL},
    {"divisibleby", "num", 1, is_divisible_by, NULL},
    {"lower", "", 0, is_lower, NULL},
    {"upper", "", 0, is_upper, NULL},
    {"sameas", "other", 1, is_same_as, NULL},
    {"in", "seq", 1, is_in, NULL},
    {"==", ".", 1, is_equal, NULL},
    {"eq", ".", 1, is_equal, NULL},
    {"equalto", ".", 1, is_equal, NULL},
    {"!=", ".", 1, is_unequal, NULL},
    {"ne", ".", 1, is_unequal, NULL},
    {">", ".", 1, is_greater, NULL},
    {"gt", ".", 1, is_greater, NULL},
    {"greaterthan", ".", 1, is_greater, NULL},
    {"ge", ".", 1, is_greater_or_equal, NULL},
    {">=", ".", 1, is_greater_or_equal, NULL},
    {"<", ".", 1, is_less, NULL},
    {"lt", ".", 1, is_less, NULL},
    {"lessthan", ".", 1, is_less, NULL},
    {"<=", ".", 1, is_less_or_equal, NULL},
    {"le", ".", 1, is_less_or_equal, NULL},
    {"filter", "", 0, is_filter, NULL},
    {"test", "", 0, is_test, NULL},
};

const struct jinja_builtin *jinja_find_test(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strlen(tests[i].name) == length && memcmp(tests[i].name, name, length) == 0)
            return &tests[i];
    return NULL;
}
