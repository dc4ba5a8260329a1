/* Numbers between bounds: a small automaton over decimal digits that knows whether the digits so far still equal the beginning of a bound ("tight"), and
 * the remainder where a multiple is asked for.
 *
 * A number with n_fraction digits behind the point is the integer that its digits make (1.25 with two: 125); bounds are scaled in the same way. A
 * number may end earlier: missing digits count as zeros. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "text/grammar/json_build.h"

#define MAX_SCALED INT64_C(999999999999999999) /* 18 digits */
#define MAX_EXACT INT64_C(9007199254740991)    /* 2^53 - 1: integers that every reader of JSON keeps */
#define MAX_FRACTION 9
#define MAX_MULTIPLE 1000

struct digits {
    struct grammar_builder *builder;
    char low[24], high[24]; /* [n_integer + n_fraction] digits of the bounds */
    int n_integer, n_fraction;
    int64_t multiple;
    int32_t *nodes; /* [(n + 1), 2, 2, multiple], -1: not made */
    int32_t end;
};

static int32_t digits_node(struct digits *digits, int at, bool tight_low, bool tight_high, int64_t remainder);

/* Edges for the digit at `at`; runs of digits that lead to one node become one edge. */
static void add_digits(struct digits *digits, int32_t from, int at, bool tight_low, bool tight_high, int64_t remainder)
{
    int first = tight_low ? digits->low[at] - '0' : 0, last = tight_high ? digits->high[at] - '0' : 9;
    int32_t run_to = -1;
    int run_first = 0;
    for (int digit = first; digit <= last + 1; digit++) {
        int32_t to = -1;
        if (digit <= last)
            to = digits_node(digits, at + 1, tight_low && digit == first, tight_high && digit == last, (remainder * 10 + digit) % digits->multiple);
        if (to != run_to && run_to >= 0)
            builder_bytes(digits->builder, from, run_to, (uint8_t)('0' + run_first), (uint8_t)('0' + digit - 1));
        if (to != run_to)
            run_first = digit;
        run_to = to;
    }
}

/* The digits so far may be all: the rest counts as zeros, which must not fall below the lower bound. */
static bool may_end(const struct digits *digits, int at, bool tight_low, int64_t remainder)
{
    if (at < digits->n_integer || remainder)
        return false;
    for (int i = at; tight_low && i < digits->n_integer + digits->n_fraction; i++)
        if (digits->low[i] != '0')
            return false;
    return true;
}

static int32_t digits_node(struct digits *digits, int at, bool tight_low, bool tight_high, int64_t remainder)
{
    struct grammar_builder *builder = digits->builder;
    int64_t index = ((at * 2 + tight_low) * 2 + tight_high) * digits->multiple + remainder;
    if (builder->status || digits->nodes[index] >= 0)
        return builder->status ? 0 : digits->nodes[index];
    int32_t node = builder_node(builder);
    digits->nodes[index] = node;
    if (may_end(digits, at, tight_low, remainder))
        builder_epsilon(builder, node, digits->end);
    if (at == digits->n_integer + digits->n_fraction)
        return node;
    int32_t from = node;
    if (at == digits->n_integer) {
        from = builder_node(builder);
        builder_bytes(builder, node, from, '.', '.');
    }
    add_digits(digits, from, at, tight_low, tight_high, remainder);
    return node;
}

static int64_t power_of_ten(int n)
{
    int64_t power = 1;
    while (n-- > 0)
        power *= 10;
    return power;
}

/* Adds the numbers low .. high (scaled, 0 <= low <= high) whose integer part has exactly n_integer digits. */
static void add_length(struct grammar_builder *builder, struct fragment all, int64_t low, int64_t high, int n_integer, int n_fraction, int64_t multiple)
{
    int n = n_integer + n_fraction;
    int64_t smallest = n_integer > 1 ? power_of_ten(n - 1) : 0, largest = power_of_ten(n) - 1;
    low = low > smallest ? low : smallest;
    high = high < largest ? high : largest;
    if (low > high)
        return;
    struct digits digits = {.builder = builder, .n_integer = n_integer, .n_fraction = n_fraction, .multiple = multiple, .end = all.end};
    for (int i = n - 1; i >= 0; i--, low /= 10, high /= 10) {
        digits.low[i] = (char)('0' + low % 10);
        digits.high[i] = (char)('0' + high % 10);
    }
    size_t n_nodes = (size_t)(n + 1) * 4 * (size_t)multiple;
    digits.nodes = mem_alloc_array(n_nodes, sizeof *digits.nodes);
    if (!digits.nodes) {
        builder->status = builder->status ? builder->status : error_no_memory(builder->err, "compiling a JSON Schema");
        return;
    }
    memset(digits.nodes, -1, n_nodes * sizeof *digits.nodes);
    builder_epsilon(builder, all.start, digits_node(&digits, 0, true, true, 0));
    mem_free(digits.nodes);
}

static struct fragment build_range(struct grammar_builder *builder, int64_t low, int64_t high, int n_fraction, int64_t multiple)
{
    int32_t start = builder_node(builder), minus = builder_node(builder);
    struct fragment all = {start, builder_node(builder)}, negative = {minus, all.end};
    for (int n_integer = 1; n_integer + n_fraction <= 18; n_integer++) {
        if (high >= 0)
            add_length(builder, all, low > 0 ? low : 0, high, n_integer, n_fraction, multiple);
        if (low < 0)
            add_length(builder, negative, high < 0 ? -high : 1, -low, n_integer, n_fraction, multiple);
    }
    builder_bytes(builder, start, minus, '-', '-');
    return all;
}

/* ---- Bounds. */

struct bounds {
    bool has_low, has_high, low_open, high_open;
    double low, high;
};

static void tighten(struct bounds *bounds, json_t *schema, const char *key, bool is_low, bool open)
{
    json_t *json = json_object_get(schema, key);
    if (!json)
        return;
    double value = json_number_value(json);
    if (is_low && (!bounds->has_low || value > bounds->low || (value == bounds->low && open))) {
        bounds->has_low = true;
        bounds->low = value;
        bounds->low_open = open;
    }
    if (!is_low && (!bounds->has_high || value < bounds->high || (value == bounds->high && open))) {
        bounds->has_high = true;
        bounds->high = value;
        bounds->high_open = open;
    }
}

/* A bound times ten to the n, rounded inwards: what is left out is a sliver that no short decimal falls into. */
static int64_t scale_bound(double bound, int n, bool is_low, bool open)
{
    long double scaled = (long double)bound * (long double)power_of_ten(n), nearest = roundl(scaled);
    /* A decimal bound like 0.1 is not exact in binary; take the decimal that was written. */
    bool exact = fabsl(scaled - nearest) <= fabsl(scaled) * 1e-15L;
    long double value = exact ? nearest : is_low ? ceill(scaled) : floorl(scaled);
    if (exact && open)
        value += is_low ? 1 : -1;
    if (value > (long double)MAX_SCALED)
        return MAX_SCALED;
    return value < -(long double)MAX_SCALED ? -MAX_SCALED : (int64_t)value;
}

/* Digits behind the point: as many as the bounds have and at least six, as far as 18 digits allow. */
static int choose_fraction(const struct bounds *bounds)
{
    double largest = fmax(bounds->has_low ? fabs(bounds->low) : 0, bounds->has_high ? fabs(bounds->high) : 0);
    int n = MAX_FRACTION;
    while (n > 0 && largest * (double)power_of_ten(n) > 1e17)
        n--;
    return n;
}

static int64_t read_multiple(struct schema_compiler *compiler, json_t *schema)
{
    json_t *json = json_object_get(schema, "multipleOf");
    double value = json_number_value(json);
    if (!json)
        return 1;
    if (value < 1 || value > MAX_MULTIPLE || value != floor(value))
        builder_fail(compiler->builder, SAMPAN_EUNSUPPORTED, "the JSON Schema has multipleOf %g; whole numbers from 1 to %d work", value, MAX_MULTIPLE);
    return compiler->builder->status ? 1 : (int64_t)value;
}

struct fragment build_number_value(struct schema_compiler *compiler, json_t *schema, bool integer)
{
    struct bounds bounds = {0};
    int64_t multiple = read_multiple(compiler, schema);
    tighten(&bounds, schema, "minimum", true, false);
    tighten(&bounds, schema, "exclusiveMinimum", true, true);
    tighten(&bounds, schema, "maximum", false, false);
    tighten(&bounds, schema, "exclusiveMaximum", false, true);
    if (!bounds.has_low && !bounds.has_high && multiple == 1)
        return build_call(compiler->builder, common_rule(compiler, integer ? RULE_INTEGER : RULE_NUMBER));
    integer = integer || multiple != 1; /* a multiple of a whole number is one */
    int n_fraction = integer ? 0 : choose_fraction(&bounds);
    int64_t limit = integer ? MAX_EXACT : MAX_SCALED;
    int64_t low = bounds.has_low ? scale_bound(bounds.low, n_fraction, true, bounds.low_open) : -limit;
    int64_t high = bounds.has_high ? scale_bound(bounds.high, n_fraction, false, bounds.high_open) : limit;
    if (!bounds.has_low && low > high)
        low = -MAX_SCALED;
    if (!bounds.has_high && high < low)
        high = MAX_SCALED;
    return build_range(compiler->builder, low, high, n_fraction, multiple);
}
