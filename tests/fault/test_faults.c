/* Every scenario with every fault: memory that runs out, reads that fail, end early, are interrupted, come in pieces or give other bytes, no descriptor and no
 * thread left, each at every call in turn. What must hold every time:
 *
 *   - an error with a code that fits and a reason in words, or the very answer that comes without the fault;
 *   - nothing crashes or hangs (a watchdog says which fault did), nothing is left allocated;
 *   - afterwards the scenario works again.
 *
 * Some calls of each kind are tried in ./test, all of them with SAMPAN_TEST_FAULTS=all (`make fault-sweep-host`). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "support_faults.h"
#include "support_scenarios.h"

enum { MOST_CALLS = 500000, SAMPLES = 40, SECONDS_PER_RUN = 60, MOST_REPORTS = 30 };

static const struct scenario *current;
static enum fault_kind current_kind;
static int64_t current_call;

static void say_which_hangs(int signal)
{
    char text[256];
    (void)signal;
    int length = snprintf(text, sizeof text, "%s: it hangs when %s at call %lld\n", current->name, fault_names[current_kind], (long long)current_call);
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(3);
    abort();
}

struct outcome {
    int code;
    uint64_t digest;
    char message[ERROR_MESSAGE_SIZE];
};

static void run_once(const struct scenario *scenario, struct outcome *outcome)
{
    *outcome = (struct outcome){.digest = 0xCBF29CE484222325u};
    alarm(SECONDS_PER_RUN);
    outcome->code = scenario->run(scenario, &outcome->digest, outcome->message);
    alarm(0);
}

/* Codes that tell what happened. */
static bool code_fits(enum fault_kind kind, const struct outcome *outcome)
{
    int code = outcome->code;
    switch (kind) {
    case FAULT_MEMORY_ONCE:
    case FAULT_MEMORY_GONE: return code == SAMPAN_ENOMEM;
    case FAULT_THREAD_FAILS: return code == SAMPAN_ENOMEM;
    case FAULT_READ_FAILS:
    case FAULT_READ_ENDS:
    case FAULT_OPEN_FAILS: return code == SAMPAN_EIO;
    case FAULT_READ_CHANGED: return code != SAMPAN_EINTERNAL || strstr(outcome->message, "NaN");
    default: return false; /* interrupted and short reads are no failure */
    }
}

/* NULL, or what is wrong with the outcome. */
static const char *judge(enum fault_kind kind, const struct outcome *usual, const struct outcome *outcome)
{
    if (outcome->code && !*outcome->message)
        return "an error without a reason";
    if (outcome->code)
        return code_fits(kind, outcome) ? NULL : "the code does not fit";
    bool same = outcome->digest == usual->digest;
    return same || kind == FAULT_READ_CHANGED ? NULL : "it worked, but gave something else";
}

static int64_t calls_of(const struct scenario *scenario, enum fault_kind kind, struct outcome *outcome)
{
    int64_t before = fault_count(kind);
    run_once(scenario, outcome);
    if (outcome->code)
        fail_msg("%s, without a fault: %s", scenario->name, outcome->message);
    return fault_count(kind) - before;
}

static int n_wrong;

static void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (n_wrong++ < MOST_REPORTS) {
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
    }
    va_end(arguments);
}

static void sweep(const struct scenario *scenario, enum fault_kind kind, bool all)
{
    struct outcome usual, outcome;
    current = scenario;
    current_kind = kind;
    int64_t n = calls_of(scenario, kind, &usual), step = all || n <= SAMPLES ? 1 : n / SAMPLES, met = 0, errors = 0;
    assert_true(n < MOST_CALLS);
    for (int64_t call = 0; call < n; call += step) {
        current_call = call;
        int64_t live = fault_live_allocations();
        fault_arm(kind, call);
        run_once(scenario, &outcome);
        fault_disarm();
        const char *wrong = fault_was_met() || !outcome.code ? judge(kind, &usual, &outcome) : "an error although nothing failed";
        if (!wrong && fault_live_allocations() != live)
            wrong = "memory is left behind";
        if (wrong)
            report("%s: %s at call %lld of %lld: %s (code %d, '%s')", scenario->name, fault_names[kind], (long long)call, (long long)n, wrong, outcome.code,
                   outcome.message);
        met += fault_was_met();
        errors += outcome.code != 0;
    }
    run_once(scenario, &outcome);
    if (outcome.code || outcome.digest != usual.digest)
        report("%s: does not work any more after %s: %s", scenario->name, fault_names[kind], outcome.message);
    print_message("  %-34s %-24s %6lld calls, %5lld faults, %5lld errors\n", scenario->name, fault_names[kind], (long long)n, (long long)met,
                  (long long)errors);
}

static void every_fault(void **state)
{
    const char *which = getenv("SAMPAN_TEST_FAULTS");
    enum fault_kind kind = *(const enum fault_kind *)*state;
    n_wrong = 0;
    for (const struct scenario *scenario = scenarios; scenario->name; scenario++)
        sweep(scenario, kind, which && strcmp(which, "all") == 0);
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    static enum fault_kind kinds[FAULT_KINDS];
    struct CMUnitTest tests[FAULT_KINDS - 1];
    for (int i = 1; i < FAULT_KINDS; i++) {
        kinds[i] = (enum fault_kind)i;
        tests[i - 1] = (struct CMUnitTest){.name = fault_names[i], .test_func = every_fault, .initial_state = &kinds[i]};
    }
    faults_init();
    signal(SIGALRM, say_which_hangs);
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
