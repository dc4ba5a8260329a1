/* How fast this machine reads memory: the limit that decoding is measured against. */
#ifndef BASE_BANDWIDTH_H
#define BASE_BANDWIDTH_H

#include <stdint.h>

/* Bytes per second that `threads` threads read together from memory that no cache holds: the best of several passes, some tenths of a second. Takes at most a
 * quarter of the memory that is free. 0: memory or threads could not be had, or too little memory is free to outgrow the caches. */
double bandwidth_measure(int32_t threads);

#endif
