#include "chip/cpu/peaks.h"

#include "base/clock.h"
#include "chip/cpu/pool.h"

enum { PASSES = 3 };
#define PASS_NS UINT64_C(15000000)
#define FIRST_ROUNDS UINT64_C(1000)

typedef uint64_t (*spin_function)(enum chip_rate rate, uint64_t rounds);

/* A dialect without a row has no measurement: its peaks stay unknown. */
static const spin_function spin_functions[DIALECT_COUNT] = {
    [DIALECT_PORTABLE] = cpu_spin_portable,
#if defined(__x86_64__)
    [DIALECT_AVX2] = cpu_spin_avx2,         [DIALECT_AVX512] = cpu_spin_avx512, [DIALECT_AVX512_BF16] = cpu_spin_avx512, [DIALECT_AMX] = cpu_spin_avx512,
#endif
};

struct pass {
    spin_function spin;
    enum chip_rate rate;
    uint64_t rounds;
    uint64_t operations; /* of one worker */
};

static void run_worker(void *argument, int32_t worker)
{
    struct pass *pass = argument;
    uint64_t operations = pass->spin(pass->rate, pass->rounds);
    if (worker == 0)
        pass->operations = operations;
}

/* Rounds that take about PASS_NS on one thread; 0: no such arithmetic. */
static uint64_t choose_rounds(spin_function spin, enum chip_rate rate)
{
    for (uint64_t rounds = FIRST_ROUNDS;; rounds *= 4) {
        uint64_t started = clock_monotonic_ns();
        if (!spin(rate, rounds))
            return 0;
        uint64_t time = clock_monotonic_ns() - started;
        if (time >= PASS_NS / 4)
            return rounds * PASS_NS / time + 1;
    }
}

static double measure_rate(struct pool *pool, spin_function spin, enum chip_rate rate)
{
    struct pass pass = {.spin = spin, .rate = rate, .rounds = choose_rounds(spin, rate)};
    double best = 0;
    for (int i = 0; pass.rounds && i < PASSES; i++) {
        uint64_t started = clock_monotonic_ns();
        pool_run(pool, run_worker, &pass);
        double seconds = (double)(clock_monotonic_ns() - started) * 1e-9;
        double found = seconds > 0 ? (double)pass.operations * pool_n_workers(pool) / seconds : 0;
        best = found > best ? found : best;
    }
    return best;
}

int cpu_measure_peaks(enum cpu_dialect dialect, int32_t threads, double peaks[RATE_COUNT], struct error *err)
{
    struct pool *pool;
    for (int rate = 0; rate < RATE_COUNT; rate++)
        peaks[rate] = 0;
    if (!spin_functions[dialect])
        return 0;
    int code = pool_create(threads, &pool, err);
    if (code)
        return code;
    for (int rate = 0; rate < RATE_COUNT; rate++)
        peaks[rate] = measure_rate(pool, spin_functions[dialect], (enum chip_rate)rate);
    pool_free(pool);
    return 0;
}
