#include "text/grammar/character_set.h"

#include <stdlib.h>

#include "base/memory.h"

#define LAST_CHARACTER 0x10FFFFu

void character_set_free(struct character_set *set)
{
    mem_free(set->ranges);
    *set = (struct character_set){0};
}

static void append(struct character_set *set, uint32_t first, uint32_t last)
{
    if (set->failed || first > last)
        return;
    if (set->n == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 8;
        struct character_range *larger = mem_realloc_array(set->ranges, capacity, sizeof *larger);
        if (!larger) {
            set->failed = true;
            return;
        }
        set->ranges = larger;
        set->capacity = capacity;
    }
    set->ranges[set->n++] = (struct character_range){first, last};
}

void character_set_add(struct character_set *set, uint32_t first, uint32_t last)
{
    append(set, first, last < 0xD7FF ? last : 0xD7FF); /* around the surrogates */
    append(set, first > 0xE000 ? first : 0xE000, last);
}

void character_set_add_all(struct character_set *set, const struct character_range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        character_set_add(set, ranges[i].first, ranges[i].last);
}

static int compare_ranges(const void *a, const void *b)
{
    const struct character_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

void character_set_tidy(struct character_set *set)
{
    if (set->failed || set->n < 2)
        return;
    qsort(set->ranges, set->n, sizeof *set->ranges, compare_ranges);
    size_t kept = 0;
    for (size_t i = 1; i < set->n; i++) {
        struct character_range *last = &set->ranges[kept];
        if (set->ranges[i].first <= last->last + 1) {
            if (set->ranges[i].last > last->last)
                last->last = set->ranges[i].last;
        } else {
            set->ranges[++kept] = set->ranges[i];
        }
    }
    set->n = kept + 1;
}

void character_set_negate(struct character_set *set)
{
    struct character_set others = {0};
    uint32_t next = 0;
    character_set_tidy(set);
    for (size_t i = 0; i < set->n; i++) {
        if (set->ranges[i].first > next)
            character_set_add(&others, next, set->ranges[i].first - 1);
        next = set->ranges[i].last + 1;
    }
    if (next <= LAST_CHARACTER)
        character_set_add(&others, next, LAST_CHARACTER);
    others.failed |= set->failed;
    character_set_free(set);
    *set = others;
    character_set_tidy(set);
}
