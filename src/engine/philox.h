/* Philox4x32-10: a counter-based random generator (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A pure function from
 * (counter, key) to 128 random bits: a draw depends on where it stands, not on what was drawn before, so any token of any stream can be drawn again alone. */
#ifndef ENGINE_PHILOX_H
#define ENGINE_PHILOX_H

#include <stdint.h>

void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The uniform number in [0, 1), 53 bits, of a stream at a position: key = seed, counter = (position, choice, 0, 0). */
double philox_uniform(uint64_t seed, uint32_t choice, uint32_t position);

#endif
