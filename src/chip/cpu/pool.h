/* The worker pool of the CPU chip. Worker 0 is the thread that calls pool_run (the engine's); the others wait for work.
 *
 * pool_run hands one function to all workers, who walk the same plan and meet at pool_barrier; it returns when all of them have finished. Waiting is a spin of
 * at most POOL_SPIN_NS on one flag, then a futex sleep: two workers, a server and its clients may share two cores, so nothing spins without bound.
 * Workers 1.. are pinned one per CPU of the process's affinity mask when there are at most as many as CPUs; the caller's thread is never pinned (threads that
 * it makes later would inherit the mask).
 *
 * Thread: create, run and free from one thread at a time. */
#ifndef CHIP_CPU_POOL_H
#define CHIP_CPU_POOL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

#define POOL_MAX_WORKERS 256
#define POOL_SPIN_NS 20000

struct pool;

typedef void (*pool_function)(void *argument, int32_t worker);

int pool_create(int32_t n_workers, struct pool **pool, struct error *err);
void pool_free(struct pool *pool); /* NULL is legal */
int32_t pool_n_workers(const struct pool *pool);

void pool_run(struct pool *pool, pool_function function, void *argument);

/* Called by every worker from inside the function. What any worker wrote before is seen by all behind it. */
void pool_barrier(struct pool *pool);

/* The next piece of work, 0, 1, 2, ...: each number goes to one worker. Tickets start anew behind every barrier, so that each stage between two
 * barriers may use them once. */
int32_t pool_ticket(struct pool *pool);

/* The next of n_pieces pieces of work for this worker, -1: none is left. Each worker goes through its own share of adjacent pieces (work.h) first, then through
 * what others have left of theirs: memory is read by the worker that it lies near to, and nobody waits for a slow one. All workers give the same n_pieces; as
 * with tickets, once between two barriers. */
int32_t pool_take(struct pool *pool, int32_t n_pieces, int32_t worker);

#endif
