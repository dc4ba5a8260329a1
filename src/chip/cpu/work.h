/* How work is shared out among workers. */
#ifndef CHIP_CPU_WORK_H
#define CHIP_CPU_WORK_H

#include <stdint.h>

/* Part `worker` of n things: adjacent, as even as can be, the same for every caller. */
static inline void share_work(int32_t n, int32_t worker, int32_t n_workers, int32_t *first, int32_t *last)
{
    *first = (int32_t)((int64_t)n * worker / n_workers);
    *last = (int32_t)((int64_t)n * (worker + 1) / n_workers);
}

#endif
