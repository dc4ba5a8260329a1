/* Clocks. Logic that depends on time takes a `struct clock`, so that tests turn the hands themselves. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*now_ns)(void *self); /* monotonic, any origin */
    void *self;
};

extern const struct clock clock_monotonic; /* CLOCK_MONOTONIC */

static inline uint64_t clock_now_ns(const struct clock *clock)
{
    return clock->now_ns(clock->self);
}

uint64_t clock_monotonic_ns(void); /* the real one, for measuring */

#endif
