/* Random numbers and random weights for tests: every type of tensor/type.h, made block by block without a quantiser, with scales as published models have
 * them (values around zero of a given standard deviation, some negative scales where the format has them, some blocks all zero). The same seed gives
 * the same bytes on every machine: integers and exact products only. */
#ifndef TESTS_TINY_RANDOM_BLOCKS_H
#define TESTS_TINY_RANDOM_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/type.h"

/* splitmix64 (Steele, Lea, Flood 2014): the state is the seed. */
struct random {
    uint64_t state;
};

uint64_t random_u64(struct random *random);
int32_t random_below(struct random *random, int32_t n); /* 0 .. n - 1; n > 0 */
float random_uniform(struct random *random, float low, float high);
float random_normal(struct random *random); /* mean 0, standard deviation 1: the sum of 12 uniforms, so within +-6 */

/* n elements (a multiple of the type's block) of mean 0 and about the given standard deviation; TENSOR_I32 is not a weight and is zeroed. */
void random_weights(struct random *random, enum tensor_type type, float deviation, void *destination, size_t n);

#endif
