#include "text/tokenizer/stand_ins.h"

#include <stddef.h>

struct stand_in_row {
    uint32_t first, last; /* characters */
    uint32_t shown;       /* instead of them */
    uint32_t shown_digits;
};

static const struct stand_in_row rows[] = {
#include "text/tokenizer/stand_ins_table.h"
};

uint32_t stand_in_find(uint32_t character, bool digits)
{
    size_t low = 0, high = sizeof rows / sizeof *rows; /* the first row with last >= character is in [low, high] */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rows[middle].last < character)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == sizeof rows / sizeof *rows || character < rows[low].first)
        return character;
    return digits ? rows[low].shown_digits : rows[low].shown;
}
