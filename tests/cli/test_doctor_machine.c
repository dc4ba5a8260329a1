/* What doctor says of machines that are made up: each weakness is one warning with advice, a good machine has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/doctor_machine.h"

static struct doctor_machine good_machine(void)
{
    struct doctor_machine found = {
        .machine = {.n_cpus = 8,
                    .n_usable = 8,
                    .memory_total = (uint64_t)64 << 30,
                    .memory_available = (uint64_t)60 << 30,
                    .page_bytes = 4096,
                    .huge_page_bytes = 2 << 20,
                    .cpu_model = "a good CPU"},
        .topology = {.n_online = 8, .n_cores = 8, .n_packages = 1, .n_caches = 1, .caches = {{3, 'u', 32 << 20, 1}}, .n_nodes = 1, .nodes = {{.n_cpus = 8}}},
        .lock_limit = UINT64_MAX,
        .file_limit = 1024,
    };
    strcpy(found.topology.huge_pages, "madvise");
    strcpy(found.topology.governor, "performance");
    return found;
}

static const struct report_row *find_row(const struct report *report, const char *name)
{
    for (size_t i = 0; i < report->n_rows; i++)
        if (strcmp(report->rows[i].name, name) == 0)
            return &report->rows[i];
    fail_msg("there is no row '%s'", name);
    return NULL;
}

/* Exactly one warning, in the row named, with advice that has these words. */
static void assert_warns(const struct doctor_machine *found, const char *name, const char *advice)
{
    struct report report;
    report_init(&report);
    doctor_judge_machine(found, &report);
    assert_int_equal(report_count(&report, REPORT_WARNING), 1);
    assert_int_equal(report_count(&report, REPORT_BROKEN), 0);
    const struct report_row *row = find_row(&report, name);
    assert_int_equal(row->verdict, REPORT_WARNING);
    if (!strstr(row->advice, advice))
        fail_msg("'%s' advises '%s', not '%s'", name, row->advice, advice);
    report_free(&report);
}

static void a_good_machine_has_no_warnings(void **state)
{
    (void)state;
    struct doctor_machine found = good_machine();
    struct report report;
    report_init(&report);
    doctor_judge_machine(&found, &report);
    assert_int_equal(report_count(&report, REPORT_WARNING), 0);
    assert_string_equal(find_row(&report, "model")->value, "a good CPU");
    assert_string_equal(find_row(&report, "total")->value, "64.0 GiB");
    assert_true(find_row(&report, "free")->number == (double)((uint64_t)60 << 30));
    assert_string_equal(find_row(&report, "L3 cache")->value, "1 x 32.0 MiB");
    report_free(&report);
}

static void each_weakness_is_one_warning_with_advice(void **state)
{
    (void)state;
    struct doctor_machine found = good_machine();
    found.machine.cpu_quota = 1.5;
    found.machine.n_usable = 2;
    assert_warns(&found, "CPU quota", "cpu.max");
    found = good_machine();
    found.topology.n_cores = 4;
    assert_warns(&found, "cores", "--threads");
    found = good_machine();
    strcpy(found.topology.governor, "powersave");
    assert_warns(&found, "clock", "performance");
    found = good_machine();
    found.machine.memory_available = (uint64_t)100 << 20;
    assert_warns(&found, "free", "memory.max");
    found = good_machine();
    found.topology.swap_total = (uint64_t)32 << 30;
    found.topology.swap_free = (uint64_t)12 << 30;
    assert_warns(&found, "swap", "disk");
    found = good_machine();
    strcpy(found.topology.huge_pages, "never");
    assert_warns(&found, "huge pages", "transparent_hugepage");
    found = good_machine();
    found.topology.n_nodes = 2;
    found.topology.nodes[1] = (struct topology_node){.number = 1, .n_cpus = 4};
    assert_warns(&found, "NUMA", "numactl");
    found = good_machine();
    found.file_limit = 64;
    assert_warns(&found, "open files", "ulimit");
}

/* A whole quota, a node whose CPUs may not be used, swap that is not used: as it should be. */
static void what_only_looks_weak_is_no_warning(void **state)
{
    (void)state;
    struct doctor_machine found = good_machine();
    struct report report;
    report_init(&report);
    found.machine.cpu_quota = 2;
    found.machine.n_usable = 2;
    found.topology.n_nodes = 2;
    found.topology.nodes[1] = (struct topology_node){.number = 1};
    found.topology.swap_total = found.topology.swap_free = 1 << 30;
    doctor_judge_machine(&found, &report);
    assert_int_equal(report_count(&report, REPORT_WARNING), 0);
    report_free(&report);
}

static void what_is_not_known_is_said(void **state)
{
    (void)state;
    struct doctor_machine found = {.machine = {.n_cpus = 1, .n_usable = 1}};
    struct report report;
    report_init(&report);
    doctor_judge_machine(&found, &report);
    assert_int_equal(report_count(&report, REPORT_WARNING), 0);
    assert_non_null(strstr(find_row(&report, "cores")->value, "not known"));
    assert_non_null(strstr(find_row(&report, "NUMA")->value, "not known"));
    assert_non_null(strstr(find_row(&report, "huge pages")->value, "not known"));
    assert_non_null(strstr(find_row(&report, "total")->value, "not known"));
    assert_true(find_row(&report, "free")->number < 0);
    report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_machine_has_no_warnings),
        cmocka_unit_test(each_weakness_is_one_warning_with_advice),
        cmocka_unit_test(what_only_looks_weak_is_no_warning),
        cmocka_unit_test(what_is_not_known_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
