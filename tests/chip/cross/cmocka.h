/* Just enough of cmocka's interface to run a test program where the library is not: cross-compiled, under an emulator. */
#ifndef TESTS_CHIP_CROSS_CMOCKA_H
#define TESTS_CHIP_CROSS_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*function)(void **state);
};

#define cmocka_unit_test(test)                                                                                                                                 \
    {                                                                                                                                                          \
#test, test                                                                                                                                            \
    }

static inline void check_that(int good, const char *what, const char *file, int line)
{
    if (good)
        return;
    printf("%s:%d: %s\n", file, line, what);
    exit(1);
}
#define assert_true(condition) check_that(!!(condition), #condition, __FILE__, __LINE__)
#define assert_int_equal(a, b) check_that((long long)(a) == (long long)(b), #a " == " #b, __FILE__, __LINE__)
#define assert_memory_equal(a, b, size) check_that(memcmp((a), (b), (size)) == 0, #a " and " #b " hold the same bytes", __FILE__, __LINE__)

#define cmocka_run_group_tests(tests, setup, teardown) run_tests(tests, sizeof(tests) / sizeof *(tests))
static inline int run_tests(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tests[i].function(NULL);
        printf("ok %s\n", tests[i].name);
    }
    return 0;
}

#endif
