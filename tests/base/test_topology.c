/* The machine's build, read from a made-up /sys and /proc: cores with two threads, caches, two memory nodes; and from none at all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/support_made_root.h"
#include "base/topology.h"

static void put_cpu(int cpu, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, name);
    made_root_put(path, text);
}

/* Eight CPUs: four cores of two threads (0 and 4, 1 and 5, ...), two packages; this process may use 0, 1, 4 and 5. */
static void put_machine(void)
{
    static const char *const siblings[] = {"0,4", "1,5", "2,6", "3,7"};
    made_root_put("/sys/devices/system/cpu/online", "0-7");
    for (int cpu = 0; cpu < 8; cpu++) {
        put_cpu(cpu, "topology/thread_siblings_list", siblings[cpu % 4]);
        put_cpu(cpu, "topology/physical_package_id", cpu % 4 < 2 ? "0" : "1");
        put_cpu(cpu, "cache/index0/level", "1");
        put_cpu(cpu, "cache/index0/type", "Data");
        put_cpu(cpu, "cache/index0/size", "48K");
        put_cpu(cpu, "cache/index0/shared_cpu_list", siblings[cpu % 4]);
        put_cpu(cpu, "cache/index1/level", "3");
        put_cpu(cpu, "cache/index1/type", "Unified");
        put_cpu(cpu, "cache/index1/size", "32M");
        put_cpu(cpu, "cache/index1/shared_cpu_list", cpu % 4 < 2 ? "0-1,4-5" : "2-3,6-7");
        put_cpu(cpu, "cpufreq/scaling_governor", "powersave");
    }
    made_root_put("/sys/devices/system/node/node0/cpulist", "0-1,4-5");
    made_root_put("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       1024 kB\nNode 0 MemFree:        512 kB");
    made_root_put("/sys/devices/system/node/node2/cpulist", "2-3,6-7");
    made_root_put("/sys/devices/system/node/node2/meminfo", "Node 2 MemTotal:       2048 kB\nNode 2 MemFree:        100 kB");
    made_root_put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    made_root_put("/proc/meminfo", "MemTotal: 3072 kB\nSwapTotal:        400 kB\nSwapFree:         300 kB");
}

static void a_machine_is_read_as_far_as_it_may_be_used(void **state)
{
    (void)state;
    struct machine machine = {.n_cpus = 4, .cpus = {0, 1, 4, 5}};
    struct topology topology;
    put_machine();
    topology_inspect(made_root, &machine, &topology);
    assert_int_equal(topology.n_online, 8);
    assert_int_equal(topology.n_cores, 2);
    assert_int_equal(topology.n_packages, 1);
    assert_int_equal(topology.n_caches, 2);
    assert_int_equal(topology.caches[0].level, 1);
    assert_int_equal(topology.caches[0].kind, 'd');
    assert_int_equal(topology.caches[0].bytes, 48 << 10);
    assert_int_equal(topology.caches[0].count, 2);
    assert_int_equal(topology.caches[1].kind, 'u');
    assert_int_equal(topology.caches[1].bytes, 32 << 20);
    assert_int_equal(topology.caches[1].count, 1);
    assert_int_equal(topology.n_nodes, 2);
    assert_int_equal(topology.nodes[0].n_cpus, 4);
    assert_int_equal(topology.nodes[0].memory_total, 1 << 20);
    assert_int_equal(topology.nodes[1].number, 2);
    assert_int_equal(topology.nodes[1].n_cpus, 0);
    assert_int_equal(topology.nodes[1].memory_free, 100 << 10);
    assert_string_equal(topology.huge_pages, "madvise");
    assert_string_equal(topology.governor, "powersave");
    assert_int_equal(topology.swap_total, 400 << 10);
    assert_int_equal(topology.swap_free, 300 << 10);
}

static void without_sys_and_proc_nothing_is_known(void **state)
{
    (void)state;
    struct machine machine = {.n_cpus = 1};
    struct topology topology;
    topology_inspect("/nowhere", &machine, &topology);
    assert_int_equal(topology.n_online, 0);
    assert_int_equal(topology.n_cores, 0);
    assert_int_equal(topology.n_caches, 0);
    assert_int_equal(topology.n_nodes, 0);
    assert_string_equal(topology.huge_pages, "");
    assert_int_equal(topology.swap_total, 0);
}

static void nonsense_in_its_files_is_harmless(void **state)
{
    (void)state;
    struct machine machine = {.n_cpus = 2, .cpus = {0, 1}};
    struct topology topology;
    put_machine();
    made_root_put("/sys/devices/system/cpu/online", "zero-many");
    put_cpu(0, "topology/thread_siblings_list", "99999999999999999999");
    put_cpu(1, "topology/physical_package_id", "-1");
    put_cpu(0, "cache/index0/size", "-5");
    put_cpu(0, "cache/index1/size", "");
    made_root_put("/sys/kernel/mm/transparent_hugepage/enabled", "[an unlikely long word in brackets]");
    topology_inspect(made_root, &machine, &topology);
    assert_int_equal(topology.n_online, 0);
    assert_int_equal(topology.n_cores, 0);
    assert_int_equal(topology.n_packages, 0);
    assert_string_equal(topology.huge_pages, "");
}

static void lists_of_cpus_are_understood(void **state)
{
    (void)state;
    assert_true(topology_list_has("0-3,8,10-11", 0));
    assert_true(topology_list_has("0-3,8,10-11", 3));
    assert_true(topology_list_has("0-3,8,10-11", 8));
    assert_true(topology_list_has("0-3,8,10-11", 11));
    assert_false(topology_list_has("0-3,8,10-11", 4));
    assert_false(topology_list_has("0-3,8,10-11", 12));
    assert_false(topology_list_has("", 0));
    assert_false(topology_list_has("x", 0));
    assert_false(topology_list_has("3-1", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_is_read_as_far_as_it_may_be_used, made_root_set_up, made_root_tear_down),
        cmocka_unit_test(without_sys_and_proc_nothing_is_known),
        cmocka_unit_test_setup_teardown(nonsense_in_its_files_is_harmless, made_root_set_up, made_root_tear_down),
        cmocka_unit_test(lists_of_cpus_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
