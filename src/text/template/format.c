/* 'text' % values and 'text'.format(...). Both reduce to: a value, a specification, padded text. Source: the Python library reference, "printf-style
 * String Formatting" and "Format String Syntax". */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/template/builtins.h"
#include "text/template/operate.h"

struct format_spec {
    uint32_t fill; /* character */
    char align;    /* < > ^ =, 0: by type */
    char sign;     /* - + space */
    bool alternate, zero;
    char grouping;        /* , _ or 0 */
    int width, precision; /* precision -1: none */
    char type;            /* 0: by value */
};

enum { MAX_FORMAT_WIDTH = 1 << 20, MAX_PRECISION = 300 };

static size_t put_digits(char *out, uint64_t magnitude, unsigned base, bool upper)
{
    char reversed[64];
    size_t n = 0;
    do {
        unsigned digit = (unsigned)(magnitude % base);
        reversed[n++] = (char)(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
        magnitude /= base;
    } while (magnitude);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
    return n;
}

/* Puts separators between groups of digits at the start of `digits`. */
static void group_digits(char *digits, size_t size, const struct format_spec *spec)
{
    size_t whole = strspn(digits, "0123456789abcdefABCDEF"), step = spec->type == 'x' || spec->type == 'X' || spec->type == 'o' || spec->type == 'b' ? 4 : 3;
    size_t commas = spec->grouping && whole ? (whole - 1) / step : 0, length = strlen(digits);
    if (!commas || length + commas + 1 > size)
        return;
    memmove(digits + whole + commas, digits + whole, length - whole + 1);
    for (size_t from = whole, to = whole + commas, n = 0; from > 0 && to > from; n++) {
        if (n && n % step == 0)
            digits[--to] = spec->grouping;
        digits[--to] = digits[--from];
    }
}

static bool pad_text(struct jinja_run *run, const struct jinja_string *text, const struct format_spec *spec, char align, size_t sign_length)
{
    struct jinja_string copy = *text;
    int64_t missing = spec->width - jinja_string_count(&copy);
    if (missing < 0)
        missing = 0;
    int64_t left = align == '>' || align == '=' ? missing : align == '^' ? missing / 2 : 0;
    if (align != '=')
        sign_length = 0;
    if (!jinja_append_slice(run, text, 0, sign_length))
        return false;
    for (int64_t i = 0; i < left; i++)
        if (!jinja_append_character(run, spec->fill, ORIGIN_TEMPLATE))
            return false;
    if (!jinja_append_slice(run, text, sign_length, text->length))
        return false;
    for (int64_t i = left; i < missing; i++)
        if (!jinja_append_character(run, spec->fill, ORIGIN_TEMPLATE))
            return false;
    return jinja_step(run, (uint64_t)missing);
}

/* Appends sign, prefix and digits, padded. */
static bool write_padded_number(struct jinja_run *run, bool negative, const char *prefix, char *digits, size_t size, const struct format_spec *spec)
{
    char text[800];
    group_digits(digits, size, spec);
    const char *sign = negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
    int length = snprintf(text, sizeof text, "%s%s%s", sign, prefix, digits);
    struct jinja_string string = {.bytes = text, .length = (size_t)length, .origin = ORIGIN_TEMPLATE, .n_characters = length};
    return pad_text(run, &string, spec, spec->align ? spec->align : '>', strlen(sign) + strlen(prefix));
}

static bool write_integer(struct jinja_run *run, int64_t value, const struct format_spec *spec)
{
    char digits[700];
    unsigned base = spec->type == 'x' || spec->type == 'X' ? 16 : spec->type == 'o' ? 8 : spec->type == 'b' ? 2 : 10;
    const char *prefix = !spec->alternate || base == 10 ? "" : spec->type == 'x' ? "0x" : spec->type == 'X' ? "0X" : base == 8 ? "0o" : "0b";
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char plain[72];
    size_t n = put_digits(plain, magnitude, base, spec->type == 'X'), zeros = 0;
    if (spec->precision > 0 && (size_t)spec->precision > n)
        zeros = (size_t)spec->precision - n;
    memset(digits, '0', zeros);
    memcpy(digits + zeros, plain, n + 1);
    return write_padded_number(run, value < 0, prefix, digits, sizeof digits, spec);
}

/* The text of |real| in the way of e, f, g or (type 0, no precision) repr. */
static void float_digits(double real, const struct format_spec *spec, char *digits, size_t size)
{
    char type = spec->type;
    int precision = spec->precision < 0 ? 6 : spec->precision;
    bool upper = type == 'E' || type == 'F' || type == 'G';
    if (!isfinite(real)) {
        snprintf(digits, size, "%s", isnan(real) ? upper ? "NAN" : "nan" : upper ? "INF" : "inf");
    } else if (!type && spec->precision < 0) {
        char text[40];
        jinja_float_text(real, text);
        snprintf(digits, size, "%s", text);
    } else if (type == '%') {
        snprintf(digits, size, "%.*f%%", precision, real * 100);
    } else if (type == 'f' || type == 'F') {
        snprintf(digits, size, "%.*f", precision, real);
    } else if (type == 'e' || type == 'E') {
        snprintf(digits, size, type == 'e' ? "%.*e" : "%.*E", precision, real);
    } else {
        snprintf(digits, size, type == 'G' ? "%.*G" : "%.*g", precision, real);
        if (!type && !strpbrk(digits, ".e") && strlen(digits) + 2 < size)
            memcpy(digits + strlen(digits), ".0", 3);
    }
}

static bool write_float(struct jinja_run *run, double real, const struct format_spec *spec)
{
    char digits[800];
    if (spec->precision > MAX_PRECISION)
        return jinja_fail(run, SAMPAN_ELIMIT, "a precision of %d, expected at most %d", spec->precision, MAX_PRECISION);
    float_digits(fabs(real), spec, digits, sizeof digits);
    return write_padded_number(run, signbit(real) && !isnan(real), "", digits, sizeof digits, spec);
}

static bool write_formatted_text(struct jinja_run *run, struct jinja_string *text, const struct format_spec *spec)
{
    struct jinja_value cut = jinja_string_value(text);
    if (spec->precision >= 0 && jinja_string_count(text) > spec->precision && !jinja_substring(run, text, 0, jinja_string_offset(text, spec->precision), &cut))
        return false;
    return pad_text(run, cut.as.string, spec, spec->align ? spec->align : '<', 0);
}

static bool write_character(struct jinja_run *run, struct jinja_value value, const struct format_spec *spec)
{
    struct jinja_value text = value;
    if (value.kind == JINJA_INT) {
        if (value.as.integer < 0 || value.as.integer > 0x10FFFF)
            return jinja_fail(run, SAMPAN_EINVAL, "%%c arg not in range(0x110000)");
        if (!jinja_build(run) || !jinja_append_character(run, (uint32_t)value.as.integer, ORIGIN_TEMPLATE) || !jinja_built(run, &text))
            return false;
    } else if (value.kind != JINJA_STRING || jinja_string_count(value.as.string) != 1) {
        return jinja_fail(run, SAMPAN_EINVAL, "%%c requires an int or a single character");
    }
    return pad_text(run, text.as.string, spec, spec->align ? spec->align : '<', 0);
}

/* --- % --- */

struct percent_arguments {
    struct jinja_value values;
    size_t used;
};

static bool next_percent_value(struct jinja_run *run, struct percent_arguments *arguments, struct jinja_value *out)
{
    size_t count = arguments->values.kind == JINJA_TUPLE ? arguments->values.as.list->count : 1;
    if (arguments->used >= count)
        return jinja_fail(run, SAMPAN_EINVAL, "not enough arguments for format string");
    *out = arguments->values.kind == JINJA_TUPLE ? arguments->values.as.list->items[arguments->used] : arguments->values;
    arguments->used++;
    return true;
}

static bool write_percent(struct jinja_run *run, struct jinja_value value, struct format_spec *spec)
{
    struct jinja_string *text;
    struct jinja_value written = value;
    int64_t integer;
    bool number = jinja_is_number(value);
    if (spec->zero && number && !spec->align && spec->type != 's' && spec->type != 'r') {
        spec->fill = '0';
        spec->align = '=';
    }
    if (!spec->align && spec->width)
        spec->align = '>';
    switch (spec->type) {
    case 's': return jinja_to_string(run, value, &text) && write_formatted_text(run, text, spec);
    case 'r': return jinja_build(run) && jinja_write_repr(run, value) && jinja_built(run, &written) && write_formatted_text(run, written.as.string, spec);
    case 'c': return write_character(run, value, spec);
    case 'd':
    case 'i':
    case 'u':
        if (value.kind == JINJA_FLOAT && fabs(value.as.real) < 9e18)
            return write_integer(run, (int64_t)value.as.real, spec);
        return jinja_to_int(run, value, "a value for %d", &integer) && write_integer(run, integer, spec);
    case 'x':
    case 'X':
    case 'o': return jinja_to_int(run, value, "a value for %x or %o", &integer) && write_integer(run, integer, spec);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        if (!number)
            return jinja_fail(run, SAMPAN_EINVAL, "must be real number, not %s", jinja_type_name(value));
        return write_float(run, jinja_as_real(value), spec);
    default: return jinja_fail(run, SAMPAN_EINVAL, "unsupported format character '%c'", spec->type);
    }
}

/* A number or '*' at format[*at]. */
static bool read_percent_number(struct jinja_run *run, const struct jinja_string *format, size_t *at, struct percent_arguments *arguments, int *out)
{
    struct jinja_value value;
    int64_t number = 0;
    if (*at < format->length && format->bytes[*at] == '*') {
        ++*at;
        if (!next_percent_value(run, arguments, &value) || !jinja_to_int(run, value, "'*'", &number))
            return false;
    } else {
        while (*at < format->length && format->bytes[*at] >= '0' && format->bytes[*at] <= '9' && number <= MAX_FORMAT_WIDTH)
            number = number * 10 + (format->bytes[(*at)++] - '0');
    }
    if (number < 0 || number > MAX_FORMAT_WIDTH)
        return jinja_fail(run, SAMPAN_ELIMIT, "a width of more than %d", MAX_FORMAT_WIDTH);
    *out = (int)number;
    return true;
}

static bool read_percent_spec(struct jinja_run *run, const struct jinja_string *format, size_t *at, struct percent_arguments *arguments,
                              struct format_spec *spec)
{
    for (; *at < format->length; ++*at) {
        char c = format->bytes[*at];
        if (c == '-')
            spec->align = '<';
        else if (c == '+' || (c == ' ' && spec->sign != '+'))
            spec->sign = c;
        else if (c == '#')
            spec->alternate = true;
        else if (c == '0')
            spec->zero = true;
        else if (c != ' ')
            break;
    }
    if (!read_percent_number(run, format, at, arguments, &spec->width))
        return false;
    if (*at < format->length && format->bytes[*at] == '.') {
        ++*at;
        if (!read_percent_number(run, format, at, arguments, &spec->precision))
            return false;
        if (spec->precision > MAX_PRECISION)
            return jinja_fail(run, SAMPAN_ELIMIT, "a precision of %d, expected at most %d", spec->precision, MAX_PRECISION);
    }
    while (*at < format->length && (format->bytes[*at] == 'l' || format->bytes[*at] == 'h' || format->bytes[*at] == 'L'))
        ++*at;
    if (*at >= format->length)
        return jinja_fail(run, SAMPAN_EINVAL, "incomplete format");
    spec->type = format->bytes[(*at)++];
    return true;
}

/* One conversion; format[*at] is behind the '%'. */
static bool convert_percent(struct jinja_run *run, const struct jinja_string *format, size_t *at, struct percent_arguments *arguments)
{
    struct format_spec spec = {.fill = ' ', .precision = -1};
    struct jinja_value value = {.kind = JINJA_MISSING};
    if (*at < format->length && format->bytes[*at] == '(') {
        const char *end = memchr(format->bytes + *at, ')', format->length - *at);
        if (!end || arguments->values.kind != JINJA_DICT)
            return jinja_fail(run, SAMPAN_EINVAL, end ? "format requires a mapping" : "incomplete format key");
        size_t key = *at + 1, behind = (size_t)(end - format->bytes);
        const struct jinja_value *found = jinja_dict_find(run, arguments->values.as.dict, format->bytes + key, behind - key);
        if (!found)
            return jinja_fail(run, SAMPAN_EINVAL, "the mapping has no key '%.*s'", (int)(behind - key < 100 ? behind - key : 100), format->bytes + key);
        value = *found;
        *at = behind + 1;
    }
    if (!read_percent_spec(run, format, at, arguments, &spec))
        return false;
    if (spec.type == '%')
        return jinja_append_text(run, "%", ORIGIN_TEMPLATE);
    if (value.kind == JINJA_MISSING && !next_percent_value(run, arguments, &value))
        return false;
    return write_percent(run, value, &spec);
}

bool jinja_format_percent(struct jinja_run *run, const struct jinja_string *format, struct jinja_value values, struct jinja_value *out)
{
    struct percent_arguments arguments = {.values = values};
    size_t done = 0;
    if (!jinja_build(run))
        return false;
    while (done < format->length) {
        const char *percent = memchr(format->bytes + done, '%', format->length - done);
        size_t at = percent ? (size_t)(percent - format->bytes) : format->length;
        if (!jinja_append_slice(run, format, done, at))
            return false;
        done = at + 1;
        if (percent && (!jinja_step(run, 1) || !convert_percent(run, format, &done, &arguments)))
            return false;
    }
    bool mapping = values.kind == JINJA_DICT || values.kind == JINJA_LIST || values.kind == JINJA_RANGE;
    if (!mapping && arguments.used < (values.kind == JINJA_TUPLE ? values.as.list->count : 1))
        return jinja_fail(run, SAMPAN_EINVAL, "not all arguments converted during string formatting");
    return jinja_built(run, out);
}

/* --- format() --- */

struct braces {
    const struct jinja_arguments *arguments;
    size_t next_automatic;
    bool automatic, manual;
};

static bool parse_spec(struct jinja_run *run, const struct jinja_string *text, struct format_spec *spec)
{
    size_t at = 0;
    uint32_t c = 0;
    int n = text->length ? jinja_string_decode(text, 0, &c) : 0;
    *spec = (struct format_spec){.fill = ' ', .precision = -1};
    if (n && (size_t)n < text->length && strchr("<>=^", text->bytes[n])) {
        spec->fill = c;
        spec->align = text->bytes[n];
        at = (size_t)n + 1;
    } else if (text->length && strchr("<>=^", text->bytes[0]) && text->bytes[0]) {
        spec->align = text->bytes[at++];
    }
    if (at < text->length && (text->bytes[at] == '+' || text->bytes[at] == '-' || text->bytes[at] == ' '))
        spec->sign = text->bytes[at++];
    if (at < text->length && text->bytes[at] == '#')
        spec->alternate = at++ < text->length;
    if (at < text->length && text->bytes[at] == '0' && !spec->align) {
        spec->zero = true;
        spec->fill = '0';
        at++;
    }
    struct percent_arguments none = {.values = {.kind = JINJA_TUPLE}};
    if (at < text->length && text->bytes[at] != '*' && !read_percent_number(run, text, &at, &none, &spec->width))
        return false;
    if (at < text->length && (text->bytes[at] == ',' || text->bytes[at] == '_'))
        spec->grouping = text->bytes[at++];
    if (at + 1 < text->length && text->bytes[at] == '.' && text->bytes[at + 1] >= '0' && text->bytes[at + 1] <= '9') {
        at++;
        if (!read_percent_number(run, text, &at, &none, &spec->precision))
            return false;
    }
    if (at < text->length)
        spec->type = text->bytes[at++];
    return at == text->length || jinja_fail(run, SAMPAN_EINVAL, "invalid format specifier '%.*s'", (int)(text->length < 60 ? text->length : 60), text->bytes);
}

static bool write_with_spec(struct jinja_run *run, struct jinja_value value, const struct jinja_string *text)
{
    struct format_spec spec;
    int64_t integer = 0;
    if (!text->length)
        return jinja_write(run, value);
    if (!parse_spec(run, text, &spec))
        return false;
    if (value.kind == JINJA_STRING) {
        if ((spec.type && spec.type != 's') || spec.align == '=' || spec.sign || spec.grouping || spec.alternate)
            return jinja_fail(run, SAMPAN_EINVAL, "this format specifier is not allowed for a str");
        return write_formatted_text(run, value.as.string, &spec);
    }
    if (!jinja_is_number(value))
        return jinja_fail(run, SAMPAN_EINVAL, "unsupported format string passed to %s.__format__", jinja_type_name(value));
    if (spec.zero && !spec.align)
        spec.align = '=';
    bool integral = value.kind != JINJA_FLOAT;
    if (integral && (!spec.type || strchr("dnxXob", spec.type))) {
        if (spec.precision >= 0)
            return jinja_fail(run, SAMPAN_EINVAL, "precision not allowed in integer format specifier");
        return jinja_to_int(run, value, "a number", &integer) && write_integer(run, integer, &spec);
    }
    if (integral && spec.type == 'c')
        return write_character(run, value, &spec);
    if (spec.type && !strchr("eEfFgGn%", spec.type))
        return jinja_fail(run, SAMPAN_EINVAL, "unknown format code '%c'", spec.type);
    return write_float(run, jinja_as_real(value), &spec);
}

static bool is_digits(const struct jinja_string *format, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (format->bytes[i] < '0' || format->bytes[i] > '9')
            return false;
    return to > from && to - from < 10;
}

static int64_t digits_value(const struct jinja_string *format, size_t from, size_t to)
{
    int64_t value = 0;
    for (size_t i = from; i < to; i++)
        value = value * 10 + (format->bytes[i] - '0');
    return value;
}

/* The argument that the first part of a field's name stands for. */
static bool find_argument(struct jinja_run *run, struct braces *braces, const struct jinja_string *format, size_t from, size_t to, struct jinja_value *out)
{
    const struct jinja_arguments *arguments = braces->arguments;
    if (from < to && !is_digits(format, from, to)) {
        const struct jinja_value *found = arguments->keywords ? jinja_dict_find(run, arguments->keywords, format->bytes + from, to - from) : NULL;
        if (!found)
            return jinja_fail(run, SAMPAN_EINVAL, "format() was not given '%.*s'", (int)(to - from < 100 ? to - from : 100), format->bytes + from);
        *out = *found;
        return true;
    }
    size_t index = from < to ? (size_t)digits_value(format, from, to) : braces->next_automatic++;
    braces->automatic = braces->automatic || from == to;
    braces->manual = braces->manual || from < to;
    if (braces->automatic && braces->manual)
        return jinja_fail(run, SAMPAN_EINVAL, "cannot switch between automatic and manual field numbering");
    if (index >= arguments->n_positional)
        return jinja_fail(run, SAMPAN_EINVAL, "replacement index %zu out of range for positional args", index);
    *out = arguments->positional[index];
    return true;
}

/* "name.attribute[key]..." in format[from..to) */
static bool find_field(struct jinja_run *run, struct braces *braces, const struct jinja_string *format, size_t from, size_t to, struct jinja_value *out)
{
    size_t at = from;
    while (at < to && format->bytes[at] != '.' && format->bytes[at] != '[')
        at++;
    if (!find_argument(run, braces, format, from, at, out))
        return false;
    while (at < to) {
        bool bracket = format->bytes[at] == '[';
        size_t begin = ++at;
        while (at < to && (bracket ? format->bytes[at] != ']' : format->bytes[at] != '.' && format->bytes[at] != '['))
            at++;
        struct jinja_value key;
        if (at == begin || (bracket && at == to))
            return jinja_fail(run, SAMPAN_EINVAL, "an empty or unfinished attribute in a format string");
        if (!jinja_substring(run, format, begin, at, &key))
            return false;
        bool done = bracket ? jinja_get_item(run, *out, is_digits(format, begin, at) ? jinja_int(digits_value(format, begin, at)) : key, out)
                            : jinja_get_attribute(run, *out, key.as.string, out);
        if (!done)
            return false;
        at += bracket;
        if (at < to && format->bytes[at] != '.' && format->bytes[at] != '[')
            return jinja_fail(run, SAMPAN_EINVAL, "only '.' or '[' may follow ']' in a format field");
    }
    return true;
}

static bool write_braces(struct jinja_run *run, struct braces *braces, const struct jinja_string *format, int level);

/* A field "{name!conversion:specification}"; format[*at] is behind the '{', and behind the '}' afterwards. */
static bool write_field(struct jinja_run *run, struct braces *braces, const struct jinja_string *format, size_t *at, int level)
{
    size_t begin = *at, end = begin, open = 1, name_end, spec_begin;
    for (; end < format->length; end++) {
        open += format->bytes[end] == '{';
        open -= format->bytes[end] == '}';
        if (!open)
            break;
    }
    if (open)
        return jinja_fail(run, SAMPAN_EINVAL, "expected '}' before end of string");
    for (name_end = begin; name_end < end && format->bytes[name_end] != '!' && format->bytes[name_end] != ':'; name_end++)
        if (format->bytes[name_end] == '[')
            while (name_end + 1 < end && format->bytes[name_end + 1] != ']')
                name_end++;
    char conversion = name_end + 1 < end && format->bytes[name_end] == '!' ? format->bytes[name_end + 1] : 0;
    spec_begin = conversion ? name_end + 2 : name_end;
    if ((spec_begin < end && format->bytes[spec_begin] != ':') || (conversion && conversion != 'r' && conversion != 's'))
        return jinja_fail(run, conversion == 'a' ? SAMPAN_EUNSUPPORTED : SAMPAN_EINVAL, "a conversion in a format string that is neither !r nor !s");
    struct jinja_value value, spec, converted;
    if (!find_field(run, braces, format, begin, name_end, &value) || !jinja_substring(run, format, spec_begin < end ? spec_begin + 1 : end, end, &spec))
        return false;
    if (memchr(spec.as.string->bytes, '{', spec.as.string->length) &&
        !(jinja_build(run) && write_braces(run, braces, spec.as.string, level + 1) && jinja_built(run, &spec)))
        return false;
    *at = end + 1;
    if (conversion) {
        if (!jinja_build(run) || !(conversion == 'r' ? jinja_write_repr(run, value) : jinja_write(run, value)) || !jinja_built(run, &converted))
            return false;
        value = converted;
    }
    return write_with_spec(run, value, spec.as.string);
}

static bool write_braces(struct jinja_run *run, struct braces *braces, const struct jinja_string *format, int level)
{
    if (level > 1)
        return jinja_fail(run, SAMPAN_EINVAL, "max string recursion exceeded in a format string");
    for (size_t at = 0; at < format->length;) {
        size_t begin = at;
        while (at < format->length && format->bytes[at] != '{' && format->bytes[at] != '}')
            at++;
        if (!jinja_append_slice(run, format, begin, at))
            return false;
        if (at == format->length)
            break;
        bool doubled = at + 1 < format->length && format->bytes[at + 1] == format->bytes[at];
        if (doubled) {
            if (!jinja_append_slice(run, format, at, at + 1))
                return false;
            at += 2;
        } else if (format->bytes[at] == '}') {
            return jinja_fail(run, SAMPAN_EINVAL, "single '}' encountered in format string");
        } else if (!jinja_step(run, 1) || (at++, !write_field(run, braces, format, &at, level))) {
            return false;
        }
    }
    return true;
}

bool jinja_format_braces(struct jinja_run *run, const struct jinja_string *format, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct braces braces = {.arguments = arguments};
    return jinja_build(run) && write_braces(run, &braces, format, 0) && jinja_built(run, out);
}
