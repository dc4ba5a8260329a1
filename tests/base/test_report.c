/* Reports: rows are kept in order, cut at their size, counted by verdict, and a failure to grow is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/report.h"

static void rows_keep_section_value_and_advice(void **state)
{
    (void)state;
    struct report report;
    report_init(&report);
    report.section = "memory";
    report_add(&report, REPORT_FACT, "total", NULL, "%d GiB", 8);
    report.section = "cpu";
    report_add(&report, REPORT_WARNING, "quota", "raise cpu.max", "%s", "half a CPU");
    assert_int_equal(report.n_rows, 2);
    assert_string_equal(report.rows[0].section, "memory");
    assert_string_equal(report.rows[0].value, "8 GiB");
    assert_string_equal(report.rows[0].advice, "");
    assert_string_equal(report.rows[1].section, "cpu");
    assert_string_equal(report.rows[1].advice, "raise cpu.max");
    assert_int_equal(report_count(&report, REPORT_WARNING), 1);
    assert_int_equal(report_count(&report, REPORT_BROKEN), 0);
    report_free(&report);
    assert_int_equal(report.n_rows, 0);
}

static void long_texts_are_cut_and_many_rows_grow(void **state)
{
    (void)state;
    struct report report;
    char text[1000];
    report_init(&report);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 100; i++)
        report_add(&report, REPORT_WELL, text, text, "%s", text);
    assert_int_equal(report.n_rows, 100);
    assert_int_equal(strlen(report.rows[99].name), sizeof report.rows[0].name - 1);
    assert_int_equal(strlen(report.rows[99].advice), sizeof report.rows[0].advice - 1);
    assert_int_equal(report.failed, 0);
    report_free(&report);
}

static void running_out_of_memory_is_kept(void **state)
{
    (void)state;
    struct report report;
    report_init(&report);
    mem_fail_after(0);
    report_add(&report, REPORT_FACT, "a", NULL, "b");
    mem_fail_after(-1);
    assert_int_equal(report.failed, SAMPAN_ENOMEM);
    assert_int_equal(report.n_rows, 0);
    report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_keep_section_value_and_advice),
        cmocka_unit_test(long_texts_are_cut_and_many_rows_grow),
        cmocka_unit_test(running_out_of_memory_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
