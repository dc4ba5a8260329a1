/* The engine in its own thread, an executor that completes on another one, several submitting threads and one reader: what each stream gives does not depend on
 * it, and the thread sanitizer finds nothing. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/queue.h"
#include "support_requests.h"

#define N_THREADS 3
#define N_EACH 25
#define N_ALL (N_THREADS * N_EACH)

struct shared {
    struct engine *engine;
    struct test_request requests[N_ALL];
    _Atomic uint64_t ids[N_ALL]; /* 0: not submitted yet */
    atomic_int next;
    bool cancelled[N_ALL];
    struct test_outcome outcomes[N_ALL];
};

static void pause_ns(long ns)
{
    struct timespec pause = {.tv_nsec = ns};
    nanosleep(&pause, NULL);
}

static void *submit_some(void *argument)
{
    struct shared *shared = argument;
    for (int i = 0; i < N_EACH; i++) {
        int at = atomic_fetch_add(&shared->next, 1);
        struct error err;
        uint64_t id;
        int status;
        while ((status = engine_submit(shared->engine, &shared->requests[at].request, &id, &err)) == SAMPAN_EBUSY)
            pause_ns(200000);
        if (status)
            id = UINT64_MAX;
        atomic_store(&shared->ids[at], id);
        if (shared->cancelled[at]) {
            pause_ns(300000);
            engine_cancel(shared->engine, id);
        }
    }
    return NULL;
}

static void read_events(struct shared *shared)
{
    struct engine_event event;
    struct error err;
    int32_t ended = 0;
    while (ended < N_ALL) {
        struct pollfd descriptor = {.fd = engine_descriptor(shared->engine), .events = POLLIN};
        poll(&descriptor, 1, 100);
        while (engine_next_event(shared->engine, 0, &event, &err) == 0) {
            int32_t i = 0;
            while (i < N_ALL && shared->outcomes[i].id != event.request) /* its submitter may not have written down the id yet */
                if (++i == N_ALL) {
                    for (int32_t k = 0; k < N_ALL; k++)
                        shared->outcomes[k].id = atomic_load(&shared->ids[k]);
                    i = 0;
                }
            test_outcome_take(&shared->outcomes[i], &event);
            if (event.finish != FINISH_NONE) {
                ended++;
                engine_release(shared->engine, event.request);
            }
        }
    }
}

static void run_threads(uint64_t seed, bool lossy)
{
    static struct shared shared;
    memset(&shared, 0, sizeof shared);
    struct simulation_options options = test_simulation();
    options.threaded = true;
    options.seed = seed;
    options.slow_microseconds = 200;
    options.lost_permille = lossy ? 3 : 0;
    options.busy_permille = 20;
    options.description.max_steps_in_flight = 2;
    options.description.groups[0].n_blocks = 80;
    struct simulation *simulation = simulation_create(&options);
    struct executor_factory factory = simulation_factory(simulation);
    struct engine_options engine_options = {.max_queued = 10, .max_rebuilds = 1000};
    struct error err;
    assert_int_equal(engine_create(&factory, test_tokenizer(), &engine_options, &shared.engine, &err), 0);
    for (int32_t i = 0; i < N_ALL; i++) {
        shared.requests[i] = test_request_simple(3 + i % 40, i % 7, 25);
        shared.requests[i].request.sampling.temperature = i % 3 ? 0 : 0.9;
        shared.requests[i].request.n_stops = (size_t)(i % 2);
        strcpy(shared.requests[i].stop_texts[0], "ab");
        test_request_point(&shared.requests[i]);
        shared.cancelled[i] = i % 9 == 0;
        test_outcome_init(&shared.outcomes[i], 0);
    }
    assert_int_equal(engine_start(shared.engine, &err), 0);
    assert_int_equal(engine_turn(shared.engine, 0, &err), SAMPAN_EINVAL);
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++)
        pthread_create(&threads[i], NULL, submit_some, &shared);
    read_events(&shared);
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    engine_free(shared.engine);
    if (simulation_violation(simulation))
        fail_msg("%s", simulation_violation(simulation));
    simulation_free(simulation);
    for (int32_t i = 0; i < N_ALL; i++) {
        struct test_outcome alone;
        bool cut_short = shared.cancelled[i] && shared.outcomes[i].last.finish == FINISH_CANCELLED;
        test_run_alone(&options, &shared.requests[i], &alone);
        const char *difference = test_outcomes_differ(&alone, &shared.outcomes[i], cut_short);
        if (difference)
            fail_msg("request %d: %s", i, difference);
        test_outcome_free(&alone);
        test_outcome_free(&shared.outcomes[i]);
    }
}

static void submitting_threads_a_reader_and_a_late_executor(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_threads(seed, false);
}

static void the_same_with_losses(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_threads(seed, true);
}

static void an_engine_is_freed_in_the_middle_of_everything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct simulation_options options = test_simulation();
        options.threaded = true;
        options.slow_microseconds = 2000;
        options.seed = seed;
        struct simulation *simulation = simulation_create(&options);
        struct executor_factory factory = simulation_factory(simulation);
        struct engine *engine;
        struct error err;
        assert_int_equal(engine_create(&factory, test_tokenizer(), NULL, &engine, &err), 0);
        assert_int_equal(engine_start(engine, &err), 0);
        for (int32_t i = 0; i < 20; i++) {
            struct test_request request = test_request_simple(30, i, 100);
            uint64_t id;
            test_request_point(&request);
            assert_int_equal(engine_submit(engine, &request.request, &id, &err), 0);
        }
        struct engine_event event;
        engine_next_event(engine, 2000000, &event, NULL);
        engine_free(engine);
        simulation_free(simulation);
    }
}

/* ---- The queue itself. */

static void *push_numbers(void *argument)
{
    struct queue *queue = argument;
    for (uint32_t i = 0; i < 2000; i++)
        while (queue_push(queue, &i) == SAMPAN_EBUSY)
            pause_ns(1000);
    return NULL;
}

static void a_queue_refuses_when_full_and_loses_nothing(void **state)
{
    (void)state;
    struct queue queue;
    uint32_t value = 7, sum = 0;
    assert_int_equal(queue_init(&queue, sizeof value, 4, NULL), 0);
    assert_false(queue_wait(&queue, 1000));
    queue_wake(&queue);
    assert_true(queue_wait(&queue, UINT64_MAX));
    for (int i = 0; i < 4; i++)
        assert_int_equal(queue_push(&queue, &value), 0);
    assert_int_equal(queue_push(&queue, &value), SAMPAN_EBUSY);
    for (int i = 0; i < 4; i++)
        assert_true(queue_pop(&queue, &value) && value == 7);
    assert_false(queue_pop(&queue, &value));
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, push_numbers, &queue);
    for (int n = 0; n < 4000;) {
        assert_true(queue_wait(&queue, UINT64_MAX));
        for (; queue_pop(&queue, &value); n++)
            sum += value;
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sum, 2u * (2000u * 1999u / 2));
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_refuses_when_full_and_loses_nothing),
        cmocka_unit_test(submitting_threads_a_reader_and_a_late_executor),
        cmocka_unit_test(the_same_with_losses),
        cmocka_unit_test(an_engine_is_freed_in_the_middle_of_everything),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("engine: threads", tests, NULL, NULL);
}
