/* Binary search in the generated tables; ASCII, which is nearly everything, is answered without it. */
#include "text/template/unicode.h"

#include <stddef.h>

#include "text/template/unicode_tables.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    const struct unicode_range *ranges;
    size_t count;
} classes[] = {
    [UNICODE_UNPRINTABLE] = {unicode_unprintable, COUNT(unicode_unprintable)},
    [UNICODE_ALPHABETIC] = {unicode_alphabetic, COUNT(unicode_alphabetic)},
    [UNICODE_DECIMAL] = {unicode_decimal, COUNT(unicode_decimal)},
    [UNICODE_DIGIT] = {unicode_digit, COUNT(unicode_digit)},
    [UNICODE_NUMERIC] = {unicode_numeric, COUNT(unicode_numeric)},
    [UNICODE_UPPERCASE] = {unicode_uppercase, COUNT(unicode_uppercase)},
    [UNICODE_LOWERCASE] = {unicode_lowercase, COUNT(unicode_lowercase)},
    [UNICODE_TITLECASE] = {unicode_titlecase, COUNT(unicode_titlecase)},
    [UNICODE_CASE_IGNORABLE] = {unicode_case_ignorable, COUNT(unicode_case_ignorable)},
};

static const struct {
    const struct unicode_mapping *mappings;
    size_t n_mappings;
    const struct unicode_expansion *expansions;
    size_t n_expansions;
} cases[] = {
    [UNICODE_UPPER] = {unicode_to_upper, COUNT(unicode_to_upper), unicode_expand_upper, COUNT(unicode_expand_upper)},
    [UNICODE_LOWER] = {unicode_to_lower, COUNT(unicode_to_lower), unicode_expand_lower, COUNT(unicode_expand_lower)},
    [UNICODE_TITLE] = {unicode_to_title, COUNT(unicode_to_title), unicode_expand_title, COUNT(unicode_expand_title)},
    [UNICODE_FOLD] = {unicode_to_fold, COUNT(unicode_to_fold), unicode_expand_fold, COUNT(unicode_expand_fold)},
};

bool unicode_is(uint32_t character, enum unicode_class which)
{
    size_t low = 0, high = classes[which].count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct unicode_range *range = &classes[which].ranges[middle];
        if (character < range->first)
            high = middle;
        else if (character > range->last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

bool unicode_is_space(uint32_t c)
{
    if (c < 0x80)
        return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool unicode_is_line_break(uint32_t c)
{
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/* Runs of different strides may interleave (Latin Extended), so neighbours of the found run are looked at as well. */
static bool map_one(uint32_t character, enum unicode_case which, uint32_t *out)
{
    size_t low = 0, high = cases[which].n_mappings;
    while (low < high) { /* the first run that begins behind the character */
        size_t middle = (low + high) / 2;
        if (cases[which].mappings[middle].first <= character)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t back = 0; back < 4 && low > back; back++) {
        const struct unicode_mapping *run = &cases[which].mappings[low - 1 - back];
        if (character <= run->last && (character - run->first) % (uint32_t)run->stride == 0) {
            *out = (uint32_t)((int32_t)character + run->delta);
            return true;
        }
    }
    return false;
}

int unicode_convert(uint32_t character, enum unicode_case which, uint32_t out[3])
{
    out[0] = character;
    if (character < 0x80) {
        bool up = which == UNICODE_UPPER || which == UNICODE_TITLE;
        if (up && character >= 'a' && character <= 'z')
            out[0] = character - 32;
        else if (!up && character >= 'A' && character <= 'Z')
            out[0] = character + 32;
        return 1;
    }
    size_t low = 0, high = cases[which].n_expansions;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct unicode_expansion *expansion = &cases[which].expansions[middle];
        if (character == expansion->from) {
            int n = 0;
            while (n < 3 && expansion->to[n]) {
                out[n] = expansion->to[n];
                n++;
            }
            return n;
        }
        if (character < expansion->from)
            high = middle;
        else
            low = middle + 1;
    }
    map_one(character, which, &out[0]);
    return 1;
}
