#include "text/tokenizer/charsmap.h"

#include <string.h>

static uint32_t read_u32(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

int charsmap_open(struct byte_string blob, struct charsmap *map, struct error *err)
{
    const unsigned char *bytes = (const unsigned char *)blob.data;
    size_t size = blob.length >= 4 ? read_u32(bytes) : 0;
    if (size < 4 || size % 4 || size > blob.length - 4)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer's character map has %zu bytes and says its trie has %zu; the file is damaged, fetch it again",
                         blob.length, size);
    *map = (struct charsmap){bytes + 4, size / 4, blob.data + 4 + size, blob.length - 4 - size};
    return 0;
}

static uint32_t children_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

size_t charsmap_find(const struct charsmap *map, const char *text, size_t length, bool longest, struct byte_string *normalized)
{
    size_t found = 0;
    uint32_t at = children_of(read_u32(map->units)), value = 0;
    for (size_t i = 0; i < length && text[i]; i++) {
        at ^= (unsigned char)text[i];
        if (at >= map->n_units)
            break;
        uint32_t unit = read_u32(map->units + 4 * (size_t)at);
        if ((unit & (1u << 31 | 0xFF)) != (unsigned char)text[i])
            break;
        at ^= children_of(unit);
        if (!(unit >> 8 & 1) || at >= map->n_units)
            continue;
        value = read_u32(map->units + 4 * (size_t)at) & 0x7FFFFFFF;
        found = i + 1;
        if (!longest)
            break;
    }
    if (!found)
        return 0;
    const char *start = map->strings + (value < map->strings_length ? value : map->strings_length);
    size_t left = map->strings_length - (size_t)(start - map->strings);
    const char *end = left ? memchr(start, '\0', left) : NULL;
    *normalized = (struct byte_string){start, end ? (size_t)(end - start) : left};
    return found;
}
