#include "base/clock.h"

#include <stddef.h>
#include <time.h>

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t monotonic_now(void *self)
{
    (void)self;
    return clock_monotonic_ns();
}

const struct clock clock_monotonic = {monotonic_now, NULL};
