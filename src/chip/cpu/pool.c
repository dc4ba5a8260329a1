#include "chip/cpu/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/memory.h"
#include "chip/cpu/work.h"

/* A counter that others wait on: its value changes, sleepers are woken. Alone on its cache line. */
struct flag {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
};

struct worker {
    struct pool *pool;
    int32_t index;
    int32_t cpu; /* to be pinned to, -1: not */
    pthread_t thread;
};

/* How many pieces of a worker's range are taken. */
struct share {
    _Alignas(64) _Atomic int32_t taken;
};

struct pool {
    struct flag job;                         /* one more for every pool_run */
    struct flag barrier;                     /* one more for every barrier passed */
    _Alignas(64) _Atomic int32_t arrived;    /* at the current barrier */
    _Alignas(64) _Atomic int32_t tickets[2]; /* the stage's counter, and the one being made ready for the next stage */
    _Alignas(64) int32_t n_workers;
    int32_t n_started;      /* threads that exist, worker 0 included */
    pool_function function; /* NULL: leave */
    void *argument;
    struct worker *workers; /* [n_workers], owned */
    struct share *shares;   /* [2][n_workers], owned; as tickets */
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_while(_Atomic uint32_t *value, uint32_t seen)
{
    syscall(SYS_futex, (void *)value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *value)
{
    syscall(SYS_futex, (void *)value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Waits until the flag differs from `seen`. */
static void wait_for_change(struct flag *flag, uint32_t seen)
{
    uint64_t deadline = 0;
    for (;;) {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(&flag->value, memory_order_acquire) != seen)
                return;
            relax();
        }
        uint64_t now = clock_monotonic_ns();
        if (!deadline)
            deadline = now + POOL_SPIN_NS;
        else if (now > deadline)
            break;
    }
    /* Sequentially consistent with raise_flag: either the raiser sees the sleeper or the sleeper sees the new value. */
    atomic_fetch_add(&flag->sleepers, 1);
    while (atomic_load(&flag->value) == seen)
        sleep_while(&flag->value, seen);
    atomic_fetch_sub(&flag->sleepers, 1);
}

static void raise_flag(struct flag *flag)
{
    atomic_fetch_add(&flag->value, 1);
    if (atomic_load(&flag->sleepers))
        wake_all(&flag->value);
}

/* Those of the stage that ends now. */
static void reset_counters(struct pool *pool, uint32_t side)
{
    atomic_store_explicit(&pool->tickets[side], 0, memory_order_relaxed);
    for (int32_t w = 0; w < pool->n_workers; w++)
        atomic_store_explicit(&pool->shares[(int32_t)side * pool->n_workers + w].taken, 0, memory_order_relaxed);
}

void pool_barrier(struct pool *pool)
{
    if (pool->n_workers == 1) {
        reset_counters(pool, 0);
        return;
    }
    uint32_t seen = atomic_load_explicit(&pool->barrier.value, memory_order_relaxed); /* cannot change before this worker arrives */
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 < pool->n_workers) {
        wait_for_change(&pool->barrier, seen);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    reset_counters(pool, seen & 1);
    raise_flag(&pool->barrier);
}

int32_t pool_ticket(struct pool *pool)
{
    uint32_t stage = pool->n_workers == 1 ? 0 : atomic_load_explicit(&pool->barrier.value, memory_order_relaxed);
    return atomic_fetch_add_explicit(&pool->tickets[stage & 1], 1, memory_order_relaxed);
}

int32_t pool_take(struct pool *pool, int32_t n_pieces, int32_t worker)
{
    uint32_t side = pool->n_workers == 1 ? 0 : atomic_load_explicit(&pool->barrier.value, memory_order_relaxed) & 1;
    for (int32_t i = 0; i < pool->n_workers; i++) {
        int32_t owner = worker + i < pool->n_workers ? worker + i : worker + i - pool->n_workers, first, last;
        struct share *share = &pool->shares[(int32_t)side * pool->n_workers + owner];
        share_work(n_pieces, owner, pool->n_workers, &first, &last);
        if (atomic_load_explicit(&share->taken, memory_order_relaxed) >= last - first)
            continue;
        int32_t piece = first + atomic_fetch_add_explicit(&share->taken, 1, memory_order_relaxed);
        if (piece < last)
            return piece;
    }
    return -1;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    if (worker->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)worker->cpu, &set);
        (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* only speed depends on it */
    }
    for (uint32_t seen = 0;; seen++) {
        wait_for_change(&pool->job, seen);
        if (!pool->function)
            return NULL;
        pool->function(pool->argument, worker->index);
        pool_barrier(pool);
    }
}

void pool_run(struct pool *pool, pool_function function, void *argument)
{
    pool->function = function;
    pool->argument = argument;
    if (pool->n_workers > 1)
        raise_flag(&pool->job);
    function(argument, 0);
    pool_barrier(pool);
}

int pool_create(int32_t n_workers, struct pool **out, struct error *err)
{
    *out = NULL;
    if (n_workers < 1 || n_workers > POOL_MAX_WORKERS)
        return error_set(err, SAMPAN_EINVAL, "%d CPU workers asked for; 1 to %d are possible", n_workers, POOL_MAX_WORKERS);
    struct pool *pool = mem_alloc_aligned(64, sizeof *pool);
    struct worker *workers = mem_zalloc_array((size_t)n_workers, sizeof *workers);
    struct machine *machine = mem_alloc(sizeof *machine);
    struct share *shares = mem_alloc_aligned(64, 2 * (size_t)n_workers * sizeof *shares);
    if (!pool || !workers || !machine || !shares) {
        mem_free(pool);
        mem_free(shares);
        mem_free(workers);
        mem_free(machine);
        return error_no_memory(err, "the CPU worker pool");
    }
    memset(pool, 0, sizeof *pool);
    memset(shares, 0, 2 * (size_t)n_workers * sizeof *shares);
    pool->shares = shares;
    machine_inspect(machine);
    pool->n_workers = n_workers;
    pool->workers = workers;
    pool->n_started = 1;
    int code = 0;
    for (int32_t i = 1; i < n_workers && !code; i++) {
        workers[i] = (struct worker){.pool = pool, .index = i, .cpu = n_workers <= machine->n_cpus ? machine->cpus[i] : -1};
        int failure = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        if (failure)
            code = error_set(err, SAMPAN_ENOMEM, "starting CPU worker %d of %d: %s; try threads=%d", i + 1, n_workers, strerror(failure), i);
        else
            pool->n_started++;
    }
    mem_free(machine);
    if (code)
        pool_free(pool);
    else
        *out = pool;
    return code;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pool->function = NULL;
    raise_flag(&pool->job);
    for (int32_t i = 1; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    mem_free(pool->workers);
    mem_free(pool->shares);
    mem_free(pool);
}

int32_t pool_n_workers(const struct pool *pool)
{
    return pool->n_workers;
}
