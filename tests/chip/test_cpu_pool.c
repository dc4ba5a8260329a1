/* The CPU chip's worker pool: every worker runs, barriers order memory, tickets are handed out once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/machine.h"
#include "chip/cpu/pool.h"

enum { ROUNDS = 300, MAX_WORKERS = 5, TICKETS = 100 };

struct shared {
    struct pool *pool;
    int32_t n;
    int32_t values[MAX_WORKERS]; /* plain memory: only the barrier orders it */
    int32_t wrong;
    int32_t taken[TICKETS];
};

static void pass_values_around(void *argument, int32_t worker)
{
    struct shared *shared = argument;
    for (int32_t round = 0; round < ROUNDS; round++) {
        shared->values[worker] = round;
        pool_barrier(shared->pool);
        if (shared->values[(worker + 1) % shared->n] != round)
            __atomic_fetch_add(&shared->wrong, 1, __ATOMIC_RELAXED);
        pool_barrier(shared->pool);
    }
}

static void behind_a_barrier_every_worker_sees_what_all_wrote_before(void **state)
{
    (void)state;
    for (int32_t n = 1; n <= MAX_WORKERS; n++) { /* more workers than CPUs must only be slower */
        struct shared shared = {.n = n};
        assert_int_equal(pool_create(n, &shared.pool, NULL), 0);
        for (int i = 0; i < 3; i++)
            pool_run(shared.pool, pass_values_around, &shared);
        assert_int_equal(shared.wrong, 0);
        pool_free(shared.pool);
    }
}

static void take_tickets(void *argument, int32_t worker)
{
    struct shared *shared = argument;
    (void)worker;
    for (int stage = 0; stage < 50; stage++) {
        for (int32_t ticket = pool_ticket(shared->pool); ticket < TICKETS; ticket = pool_ticket(shared->pool))
            shared->taken[ticket]++; /* nobody else has this one */
        pool_barrier(shared->pool);
    }
}

static void every_ticket_goes_to_one_worker_in_every_stage_and_every_run(void **state)
{
    (void)state;
    for (int32_t n = 1; n <= 4; n++) {
        struct shared shared = {.n = n};
        assert_int_equal(pool_create(n, &shared.pool, NULL), 0);
        pool_run(shared.pool, take_tickets, &shared);
        pool_run(shared.pool, take_tickets, &shared);
        for (int32_t i = 0; i < TICKETS; i++)
            assert_int_equal(shared.taken[i], 100);
        pool_free(shared.pool);
    }
}

/* The first worker takes nothing: others finish its share. */
static void take_pieces(void *argument, int32_t worker)
{
    struct shared *shared = argument;
    for (int stage = 0; stage < 50; stage++) {
        for (int32_t piece; (worker > 0 || shared->n == 1) && (piece = pool_take(shared->pool, TICKETS, worker)) >= 0;)
            shared->taken[piece]++;
        pool_barrier(shared->pool);
    }
}

static void every_piece_goes_to_one_worker_and_a_share_left_over_to_others(void **state)
{
    (void)state;
    for (int32_t n = 1; n <= 4; n++) {
        struct shared shared = {.n = n};
        assert_int_equal(pool_create(n, &shared.pool, NULL), 0);
        pool_run(shared.pool, take_pieces, &shared);
        pool_run(shared.pool, take_pieces, &shared);
        for (int32_t i = 0; i < TICKETS; i++)
            assert_int_equal(shared.taken[i], 100);
        pool_free(shared.pool);
    }
}

static void a_pool_of_no_workers_is_refused(void **state)
{
    (void)state;
    struct pool *pool;
    struct error err;
    assert_int_equal(pool_create(0, &pool, &err), SAMPAN_EINVAL);
    assert_null(pool);
    assert_int_equal(pool_create(POOL_MAX_WORKERS + 1, &pool, &err), SAMPAN_EINVAL);
    pool_free(NULL);
}

static void cgroup_limits_are_read_as_the_kernel_writes_them(void **state)
{
    (void)state;
    assert_true(machine_parse_cpu_max("150000 100000\n") == 1.5);
    assert_true(machine_parse_cpu_max("max 100000\n") == 0);
    assert_true(machine_parse_cpu_max("-1 100000") == 0);
    assert_true(machine_parse_cpu_max("") == 0);
    assert_int_equal(machine_parse_memory_limit("max\n"), 0);
    assert_int_equal(machine_parse_memory_limit("9223372036854771712\n"), 0);
    assert_int_equal(machine_parse_memory_limit("1073741824\n"), 1 << 30);
    static struct machine machine;
    machine_inspect(&machine);
    assert_true(machine.n_cpus >= 1 && machine.n_usable >= 1 && machine.n_usable <= machine.n_cpus);
    assert_true(machine.page_bytes >= 4096 && machine.cpu_model[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind_a_barrier_every_worker_sees_what_all_wrote_before),
        cmocka_unit_test(every_piece_goes_to_one_worker_and_a_share_left_over_to_others),
        cmocka_unit_test(every_ticket_goes_to_one_worker_in_every_stage_and_every_run),
        cmocka_unit_test(a_pool_of_no_workers_is_refused),
        cmocka_unit_test(cgroup_limits_are_read_as_the_kernel_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
