#include "text/tokenizer/characters.h"

#include "base/utf8.h"

struct character_row {
    uint32_t first, last, value;
};

struct lower_row {
    uint32_t first, last, step; /* every step-th character */
    int32_t difference;
    uint32_t second;
};

#include "text/tokenizer/character_tables.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static unsigned find_value(const struct character_row *rows, size_t n_rows, uint32_t character)
{
    size_t low = 0, high = n_rows; /* the first row with last >= character is in [low, high] */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rows[middle].last < character)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n_rows && rows[low].first <= character ? rows[low].value : 0;
}

unsigned character_flags(uint32_t character)
{
    if ((character | 0x20) - 'a' < 26 || character - '0' < 10)
        return CHARACTER_WORD; /* the most frequent ones */
    if (character == ' ')
        return CHARACTER_WHITE_SPACE;
    return find_value(character_rows, COUNT(character_rows), character);
}

unsigned character_script(uint32_t character)
{
    return find_value(script_rows, COUNT(script_rows), character);
}

void character_lower(uint32_t character, uint32_t lower[2])
{
    size_t low = 0, high = COUNT(lower_rows);
    lower[0] = character - 'A' < 26 ? character + 32 : character;
    lower[1] = 0;
    if (character < 0x80)
        return;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (lower_rows[middle].last < character)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == COUNT(lower_rows) || lower_rows[low].first > character || (character - lower_rows[low].first) % lower_rows[low].step)
        return;
    lower[0] = character + (uint32_t)lower_rows[low].difference;
    lower[1] = lower_rows[low].second;
}

size_t character_cluster(const char *text, size_t length)
{
    enum { ZERO_WIDTH_JOINER = 0x200D };
    uint32_t before = 0, character = 0;
    size_t at = (size_t)utf8_decode(text, length, &before);
    unsigned flags = character_flags(before);
    bool pictograph = flags & CHARACTER_PICTOGRAPH && !(flags & CHARACTER_EXTENDS);
    if (before == '\r' && at < length && text[at] == '\n')
        return at + 1;
    while (at < length && !(flags & CHARACTER_CONTROL)) {
        int n = utf8_decode(text + at, length - at, &character);
        unsigned next = character_flags(character);
        bool joins = next & CHARACTER_EXTENDS || (flags & CHARACTER_PREPENDS && !(next & CHARACTER_CONTROL)) ||
                     (pictograph && before == ZERO_WIDTH_JOINER && next & CHARACTER_PICTOGRAPH);
        if (!joins)
            break;
        at += (size_t)n;
        if (!(next & CHARACTER_EXTENDS))
            pictograph = next & CHARACTER_PICTOGRAPH;
        flags = next;
        before = character;
    }
    return at;
}
