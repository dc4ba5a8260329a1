/* How fast this machine reads memory: the limit that decoding is measured against. */
#ifndef CLI_BANDWIDTH_H
#define CLI_BANDWIDTH_H

#include <stdint.h>

/* Bytes per second that `threads` threads read together from memory that no cache holds: the best of several passes. 0: memory or threads could not be had.
 * */
double bandwidth_measure(int32_t threads);

#endif
