/* Subscripts, slices and arithmetic, as Python does them. Integers have 64 bits here: beyond them is an error, not a wrong number. */
#include <math.h>
#include <string.h>

#include "text/template/builtins.h"
#include "text/template/operate.h"

/* --- attributes and subscripts --- */

static bool make_undefined(struct jinja_run *run, struct jinja_value value, struct jinja_value key, struct jinja_value *out)
{
    struct jinja_string *name = NULL;
    if (key.kind == JINJA_STRING)
        name = key.as.string;
    else if (jinja_is_number(key) && !jinja_to_string(run, key, &name))
        return false;
    return jinja_undefined_make(run, NULL, name, jinja_type_name(value), out);
}

/* A real attribute (not an item); *out is JINJA_MISSING where there is none. */
static bool find_attribute(struct jinja_run *run, struct jinja_value value, struct jinja_string *name, struct jinja_value *out)
{
    out->kind = JINJA_MISSING;
    if (value.kind == JINJA_NAMESPACE) {
        const struct jinja_value *found = jinja_dict_find(run, value.as.dict, name->bytes, name->length);
        if (found)
            *out = *found;
        return !run->code;
    }
    if (value.kind == JINJA_LOOP)
        return jinja_loop_attribute(run, value.as.loop, name, out);
    if (value.kind == JINJA_RANGE && (jinja_string_is(name, "start") || jinja_string_is(name, "stop") || jinja_string_is(name, "step"))) {
        *out = jinja_int(name->bytes[2] == 'a' ? value.as.range->start : name->bytes[2] == 'o' ? value.as.range->stop : value.as.range->step);
        return true;
    }
    bool forbidden = false;
    const struct jinja_builtin *function = jinja_find_method(value.kind, name, &forbidden);
    if (forbidden)
        return jinja_undefined_make(run, "a method that would change a list or dict was used; templates may not change values", NULL, NULL, out);
    if (!function)
        return true;
    struct jinja_method *method = jinja_alloc(run, 1, sizeof *method);
    if (!method)
        return false;
    *method = (struct jinja_method){.self = value, .function = function};
    *out = (struct jinja_value){.kind = JINJA_METHOD, .as.method = method};
    return true;
}

static bool item_at(struct jinja_run *run, struct jinja_value value, int64_t index, struct jinja_value *out)
{
    int64_t length;
    if (!jinja_length(run, value, &length))
        return false;
    if (index < 0)
        index += length;
    out->kind = JINJA_MISSING;
    if (index < 0 || index >= length)
        return true;
    if (value.kind == JINJA_RANGE)
        *out = jinja_int(value.as.range->start + index * value.as.range->step);
    else if (value.kind != JINJA_STRING)
        *out = value.as.list->items[index];
    else
        return jinja_substring(run, value.as.string, jinja_string_offset(value.as.string, index), jinja_string_offset(value.as.string, index + 1), out);
    return true;
}

/* value[key] without the attributes; *out is JINJA_MISSING where Python raises TypeError or LookupError. */
static bool find_item(struct jinja_run *run, struct jinja_value value, struct jinja_value key, struct jinja_value *out)
{
    out->kind = JINJA_MISSING;
    bool sequence = value.kind == JINJA_STRING || value.kind == JINJA_LIST || value.kind == JINJA_TUPLE || value.kind == JINJA_RANGE;
    if (sequence && (key.kind == JINJA_INT || key.kind == JINJA_BOOL))
        return item_at(run, value, key.kind == JINJA_INT ? key.as.integer : key.as.boolean, out);
    if (value.kind != JINJA_DICT || !jinja_is_hashable(key))
        return true;
    const struct jinja_value *found;
    if (!jinja_dict_get(run, value.as.dict, key, &found))
        return false;
    if (found)
        *out = *found;
    return true;
}

bool jinja_get_attribute(struct jinja_run *run, struct jinja_value value, struct jinja_string *name, struct jinja_value *out)
{
    if (value.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, value);
    struct jinja_value key = jinja_string_value(name);
    if (!find_attribute(run, value, name, out))
        return false;
    if (out->kind == JINJA_MISSING && !find_item(run, value, key, out))
        return false;
    return out->kind != JINJA_MISSING || make_undefined(run, value, key, out);
}

bool jinja_get_item(struct jinja_run *run, struct jinja_value value, struct jinja_value key, struct jinja_value *out)
{
    if (value.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, value);
    if (!find_item(run, value, key, out))
        return false;
    if (out->kind == JINJA_MISSING && key.kind == JINJA_STRING && !find_attribute(run, value, key.as.string, out))
        return false;
    return out->kind != JINJA_MISSING || make_undefined(run, value, key, out);
}

static bool slice_bound(struct jinja_run *run, struct jinja_value bound, int64_t left_out, int64_t length, int64_t step, int64_t *out)
{
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
    *out = left_out;
    if (bound.kind == JINJA_MISSING || bound.kind == JINJA_NONE)
        return true;
    if (!jinja_to_int(run, bound, "a slice index", out))
        return false;
    if (*out < 0)
        *out += length;
    *out = *out < low ? low : *out > high ? high : *out;
    return true;
}

static bool slice_string(struct jinja_run *run, struct jinja_string *string, int64_t start, int64_t step, int64_t count, struct jinja_value *out)
{
    if (step == 1 || count <= 1)
        return jinja_substring(run, string, count ? jinja_string_offset(string, start) : 0, count ? jinja_string_offset(string, start + count) : 0, out);
    /* Byte positions of all characters, so that any step costs O(n). */
    int64_t characters = jinja_string_count(string);
    uint32_t *offsets = jinja_alloc(run, (size_t)characters + 1, sizeof *offsets);
    if (!offsets || !jinja_build(run))
        return false;
    int64_t at = 0;
    for (size_t i = 0; i < string->length; i++)
        if (((unsigned char)string->bytes[i] & 0xC0) != 0x80)
            offsets[at++] = (uint32_t)i;
    offsets[characters] = (uint32_t)string->length;
    for (int64_t i = 0; i < count; i++) {
        int64_t character = start + i * step;
        if (!jinja_append_slice(run, string, offsets[character], offsets[character + 1]))
            return false;
    }
    if (!jinja_built(run, out))
        return false;
    out->as.string->markup = string->markup;
    return true;
}

bool jinja_get_slice(struct jinja_run *run, struct jinja_value value, const struct jinja_value bounds[3], struct jinja_value *out)
{
    int64_t length, start, stop, step = 1;
    if (value.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, value);
    if (value.kind != JINJA_STRING && value.kind != JINJA_LIST && value.kind != JINJA_TUPLE && value.kind != JINJA_RANGE)
        return jinja_fail(run, SAMPAN_EINVAL, "'%s' object cannot be sliced", jinja_type_name(value));
    if (bounds[2].kind != JINJA_MISSING && bounds[2].kind != JINJA_NONE && !jinja_to_int(run, bounds[2], "a slice step", &step))
        return false;
    if (step == 0)
        return jinja_fail(run, SAMPAN_EINVAL, "slice step cannot be zero");
    if (!jinja_length(run, value, &length) || !slice_bound(run, bounds[0], step < 0 ? length - 1 : 0, length, step, &start) ||
        !slice_bound(run, bounds[1], step < 0 ? -1 : length, length, step, &stop))
        return false;
    step = step > length ? length + 1 : step < -length ? -length - 1 : step; /* the same items, and no overflow */
    struct jinja_range range = {start, stop, step};
    int64_t count = jinja_range_length(&range);
    if (value.kind == JINJA_STRING)
        return slice_string(run, value.as.string, start, step, count, out);
    if (value.kind == JINJA_RANGE) {
        struct jinja_range *made = jinja_alloc(run, 1, sizeof *made), *from = value.as.range;
        if (!made)
            return false;
        /* What lies behind the last item may not fit into 64 bits. */
        bool overflow = __builtin_mul_overflow(start, from->step, &start) || __builtin_add_overflow(start, from->start, &start);
        overflow = overflow || __builtin_mul_overflow(stop, from->step, &stop) || __builtin_add_overflow(stop, from->start, &stop);
        if (overflow || __builtin_mul_overflow(step, from->step, &step))
            return jinja_fail(run, SAMPAN_ELIMIT, "an integer became larger than 64 bits");
        *made = (struct jinja_range){start, stop, step};
        *out = (struct jinja_value){.kind = JINJA_RANGE, .as.range = made};
        return true;
    }
    struct jinja_list *list;
    if (!jinja_step(run, (uint64_t)count / 8) || !jinja_list_make(run, (size_t)count, &list))
        return false;
    for (int64_t i = 0; i < count; i++)
        list->items[i] = value.as.list->items[start + i * step];
    list->count = (size_t)count;
    *out = (struct jinja_value){.kind = value.kind, .as.list = list};
    return true;
}

/* --- arithmetic --- */

static bool add_strings(struct jinja_run *run, struct jinja_string *a, struct jinja_string *b, struct jinja_value *out)
{
    bool markup = a->markup || b->markup;
    if (!jinja_build(run) || !(markup && !a->markup ? jinja_append_escaped(run, a) : jinja_append_string(run, a)) ||
        !(markup && !b->markup ? jinja_append_escaped(run, b) : jinja_append_string(run, b)) || !jinja_built(run, out))
        return false;
    out->as.string->markup = markup;
    return true;
}

static bool add_lists(struct jinja_run *run, enum jinja_kind kind, const struct jinja_list *a, const struct jinja_list *b, struct jinja_value *out)
{
    struct jinja_list *list;
    if (!jinja_list_make(run, a->count + b->count, &list))
        return false;
    if (a->count)
        memcpy(list->items, a->items, a->count * sizeof *a->items);
    if (b->count)
        memcpy(list->items + a->count, b->items, b->count * sizeof *b->items);
    list->count = a->count + b->count;
    *out = (struct jinja_value){.kind = kind, .as.list = list};
    return jinja_step(run, list->count / 8);
}

static bool repeat(struct jinja_run *run, struct jinja_value value, int64_t times, struct jinja_value *out)
{
    if (times < 0)
        times = 0;
    if (value.kind == JINJA_STRING) {
        if (!jinja_build(run))
            return false;
        for (int64_t i = 0; i < times && value.as.string->length; i++)
            if (!jinja_step(run, 1) || !jinja_append_string(run, value.as.string))
                return false;
        if (!jinja_built(run, out))
            return false;
        out->as.string->markup = value.as.string->markup;
        return true;
    }
    struct jinja_list *list;
    if (!jinja_list_make(run, 0, &list))
        return false;
    for (int64_t i = 0; i < times && value.as.list->count; i++)
        for (size_t j = 0; j < value.as.list->count; j++)
            if (!jinja_step(run, 1) || !jinja_list_append(run, list, value.as.list->items[j]))
                return false;
    *out = (struct jinja_value){.kind = value.kind, .as.list = list};
    return true;
}

static bool integer_power(struct jinja_run *run, int64_t base, int64_t exponent, struct jinja_value *out)
{
    int64_t result = 1;
    bool overflow = false;
    while (exponent > 0 && !overflow) {
        if (exponent & 1)
            overflow = __builtin_mul_overflow(result, base, &result);
        exponent >>= 1;
        if (exponent && !overflow)
            overflow = __builtin_mul_overflow(base, base, &base);
    }
    *out = jinja_int(result);
    return !overflow || jinja_fail(run, SAMPAN_ELIMIT, "an integer became larger than 64 bits");
}

static bool integer_arithmetic(struct jinja_run *run, enum jinja_operator operator, int64_t a, int64_t b, struct jinja_value *out)
{
    int64_t result = 0;
    bool overflow = false;
    switch (operator) {
    case JINJA_ADD: overflow = __builtin_add_overflow(a, b, &result); break;
    case JINJA_SUBTRACT: overflow = __builtin_sub_overflow(a, b, &result); break;
    case JINJA_MULTIPLY: overflow = __builtin_mul_overflow(a, b, &result); break;
    case JINJA_FLOOR_DIVIDE: /* towards minus infinity */
        overflow = a == INT64_MIN && b == -1;
        result = overflow ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case JINJA_MODULO: result = b == -1 ? 0 : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); break;
    default: return integer_power(run, a, b, out);
    }
    *out = jinja_int(result);
    return !overflow || jinja_fail(run, SAMPAN_ELIMIT, "an integer became larger than 64 bits");
}

static bool real_arithmetic(struct jinja_run *run, enum jinja_operator operator, double a, double b, struct jinja_value *out)
{
    double result = 0;
    switch (operator) {
    case JINJA_ADD: result = a + b; break;
    case JINJA_SUBTRACT: result = a - b; break;
    case JINJA_MULTIPLY: result = a * b; break;
    case JINJA_DIVIDE: result = a / b; break;
    case JINJA_FLOOR_DIVIDE:
    case JINJA_MODULO: {
        double modulus = fmod(a, b), quotient = (a - modulus) / b;
        if (modulus != 0 && (b < 0) != (modulus < 0)) {
            modulus += b;
            quotient -= 1;
        }
        if (modulus == 0)
            modulus = copysign(0, b);
        double whole = floor(quotient);
        result = operator== JINJA_MODULO ? modulus : quotient - whole> 0.5 ? whole + 1 : quotient == 0 ? copysign(0, a / b) : whole;
        break;
    }
    case JINJA_POWER:
        if (a < 0 && b != floor(b))
            return jinja_fail(run, SAMPAN_EUNSUPPORTED, "a power of a negative number is complex");
        result = pow(a, b);
        break;
    }
    bool overflow = operator== JINJA_POWER && isinf(result) && isfinite(a) && isfinite(b);
    *out = jinja_float(result);
    return !overflow || jinja_fail(run, SAMPAN_EINVAL, "numerical result out of range");
}

static bool number_arithmetic(struct jinja_run *run, enum jinja_operator operator, struct jinja_value a, struct jinja_value b, struct jinja_value *out)
{
    bool divides = operator== JINJA_DIVIDE || operator== JINJA_FLOOR_DIVIDE || operator== JINJA_MODULO;
    if ((divides && jinja_as_real(b) == 0) || (operator== JINJA_POWER && jinja_as_real(a) == 0 && jinja_as_real(b) < 0))
        return jinja_fail(run, SAMPAN_EINVAL, "division by zero");
    bool integers = a.kind != JINJA_FLOAT && b.kind != JINJA_FLOAT && operator!= JINJA_DIVIDE;
    int64_t x = 0, y = 0;
    if (!integers || !jinja_to_int(run, a, "a number", &x) || !jinja_to_int(run, b, "a number", &y) || (operator== JINJA_POWER && y<0))
        return !run->code && real_arithmetic(run, operator, jinja_as_real(a), jinja_as_real(b), out);
    return integer_arithmetic(run, operator, x, y, out);
}

bool jinja_arithmetic(struct jinja_run *run, enum jinja_operator operator, struct jinja_value a, struct jinja_value b, struct jinja_value *out)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    bool a_sequence = a.kind == JINJA_STRING || a.kind == JINJA_LIST || a.kind == JINJA_TUPLE;
    bool b_sequence = b.kind == JINJA_STRING || b.kind == JINJA_LIST || b.kind == JINJA_TUPLE;
    if (operator== JINJA_MODULO && a.kind == JINJA_STRING)
        return jinja_format_percent(run, a.as.string, b, out);
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, a.kind == JINJA_UNDEFINED ? a : b);
    if (jinja_is_number(a) && jinja_is_number(b))
        return number_arithmetic(run, operator, a, b, out);
    if (operator== JINJA_ADD && a.kind == b.kind && a_sequence)
        return a.kind == JINJA_STRING ? add_strings(run, a.as.string, b.as.string, out) : add_lists(run, a.kind, a.as.list, b.as.list, out);
    if (operator==
        JINJA_MULTIPLY &&((a_sequence && (b.kind == JINJA_INT || b.kind == JINJA_BOOL)) || (b_sequence && (a.kind == JINJA_INT || a.kind == JINJA_BOOL)))) {
        int64_t times = 0;
        return jinja_to_int(run, a_sequence ? b : a, "a factor", &times) && repeat(run, a_sequence ? a : b, times, out);
    }
    return jinja_fail(run, SAMPAN_EINVAL, "unsupported operands for %s: '%s' and '%s'", signs[operator], jinja_type_name(a), jinja_type_name(b));
}

bool jinja_negate(struct jinja_run *run, struct jinja_value value, bool minus, struct jinja_value *out)
{
    if (value.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, value);
    if (!jinja_is_number(value))
        return jinja_fail(run, SAMPAN_EINVAL, "bad operand for unary %c: '%s'", minus ? '-' : '+', jinja_type_name(value));
    if (value.kind == JINJA_FLOAT) {
        *out = jinja_float(minus ? -value.as.real : value.as.real);
        return true;
    }
    int64_t integer;
    if (!jinja_to_int(run, value, "a number", &integer))
        return false;
    if (minus && integer == INT64_MIN)
        return jinja_fail(run, SAMPAN_ELIMIT, "an integer became larger than 64 bits");
    *out = jinja_int(minus ? -integer : integer);
    return true;
}
