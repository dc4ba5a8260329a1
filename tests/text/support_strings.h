/* The test strings: made from pools.txt by a generator that exists here and, the same, in make_tokenizer_goldens.py, so that goldens need only hashes.
 *
 *   random numbers  SplitMix64 (Steele, Lea, Flood 2014): z = (state += 0x9E3779B97F4A7C15); z = (z ^ z>>30) * 0xBF58476D1CE4E5B9;
 *                   z = (z ^ z>>27) * 0x94D049BB133111EB; z ^ z>>31. String i starts with state = i << 32.
 *   string          number of parts = next % 20; each part: pool = next % n_pools; piece = next % n_pieces of that pool; a range: its character
 *                   first + next % size; how often = next % 24 == 0 ? 1 + next % 40 : 1 (the same part again)
 *   every 400th     one part only, 1 + next % 4000 times
 * Surrogates (in no range) do not occur. */
#ifndef TESTS_TEXT_SUPPORT_STRINGS_H
#define TESTS_TEXT_SUPPORT_STRINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

uint64_t random_next(uint64_t *state);

struct pools;

struct pools *pools_open(const char *path); /* NULL: unreadable */
void pools_close(struct pools *pools);

void pools_make_string(const struct pools *pools, uint64_t index, struct buffer *out); /* replaces what was in `out` */

#define FNV_START 0xCBF29CE484222325u
uint64_t fnv1a(uint64_t hash, const void *bytes, size_t length); /* 64-bit FNV-1a */

#endif
