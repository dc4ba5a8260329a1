/* Sets of characters as sorted, disjoint ranges of code points. Surrogates are never members. */
#ifndef TEXT_GRAMMAR_CHARACTER_SET_H
#define TEXT_GRAMMAR_CHARACTER_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "text/grammar/build.h"

struct character_set {
    struct character_range *ranges; /* [n], owned */
    size_t n, capacity;
    bool failed; /* memory ran out: the set must not be used */
};

void character_set_free(struct character_set *set);
void character_set_add(struct character_set *set, uint32_t first, uint32_t last); /* any order, overlaps allowed until it is tidied */
void character_set_add_all(struct character_set *set, const struct character_range *ranges, size_t n);
void character_set_tidy(struct character_set *set);   /* sorts and joins */
void character_set_negate(struct character_set *set); /* tidied before and after */

#endif
