/* What a process may use, read from a made-up /proc and /sys: control groups of both versions, limits of ancestors, files that are only cached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/machine.h"
#include "base/support_made_root.h"

#define MIB ((uint64_t)1 << 20)

static struct machine inspect(void)
{
    struct machine machine;
    machine_inspect_below(made_root, &machine);
    return machine;
}

static void put_meminfo(void)
{
    made_root_put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB");
}

static void without_limits_the_machine_itself_counts(void **state)
{
    (void)state;
    put_meminfo();
    made_root_put("/proc/self/cgroup", "0::/user.slice");
    made_root_put("/sys/fs/cgroup/user.slice/memory.max", "max");
    made_root_put("/sys/fs/cgroup/user.slice/cpu.max", "max 100000");
    struct machine machine = inspect();
    assert_int_equal(machine.memory_total, 16384 * MIB);
    assert_int_equal(machine.memory_available, 8192 * MIB);
    assert_false(machine.memory_limited);
    assert_true(machine.cpu_quota == 0);
}

static void version_two_limits_bind_on_the_way_up_and_cached_files_are_free(void **state)
{
    (void)state;
    put_meminfo();
    made_root_put("/proc/self/cgroup", "0::/pod/container");
    made_root_put("/sys/fs/cgroup/pod/container/memory.max", "4294967296");
    made_root_put("/sys/fs/cgroup/pod/container/memory.current", "3221225472");
    made_root_put("/sys/fs/cgroup/pod/container/memory.stat", "anon 1048576\nfile 3220176896\ninactive_file 2147483648\nactive_file 1");
    made_root_put("/sys/fs/cgroup/pod/container/cpu.max", "150000 100000");
    struct machine machine = inspect();
    assert_true(machine.memory_limited);
    assert_int_equal(machine.memory_total, 4096 * MIB);
    assert_int_equal(machine.memory_available, 3072 * MIB); /* 4 GiB less 3 in use, of which 2 are files */
    assert_true(machine.cpu_quota == 1.5);
    made_root_put("/sys/fs/cgroup/pod/memory.max", "2147483648"); /* the pod has less than its container */
    made_root_put("/sys/fs/cgroup/pod/memory.current", "1073741824");
    machine = inspect();
    assert_int_equal(machine.memory_total, 2048 * MIB);
    assert_int_equal(machine.memory_available, 1024 * MIB);
}

static void version_one_says_the_same_by_other_names(void **state)
{
    (void)state;
    put_meminfo();
    made_root_put("/proc/self/cgroup", "5:memory:/job\n3:cpu,cpuacct:/job");
    made_root_put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"); /* none */
    made_root_put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1073741824");
    made_root_put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "805306368");
    made_root_put("/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 536870912");
    made_root_put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "50000");
    made_root_put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000");
    struct machine machine = inspect();
    assert_int_equal(machine.memory_total, 1024 * MIB);
    assert_int_equal(machine.memory_available, 768 * MIB);
    assert_true(machine.cpu_quota == 0.5);
    assert_int_equal(machine.n_usable, 1);
}

/* In a container the group's path is often that of the host, and only the mount itself is there. */
static void a_group_that_is_not_there_is_looked_for_at_the_mount(void **state)
{
    (void)state;
    put_meminfo();
    made_root_put("/proc/self/cgroup", "0::/docker/0123456789abcdef");
    made_root_put("/sys/fs/cgroup/memory.max", "536870912");
    made_root_put("/sys/fs/cgroup/memory.current", "536870912");
    struct machine machine = inspect();
    assert_int_equal(machine.memory_total, 512 * MIB);
    assert_int_equal(machine.memory_available, 1); /* none is left, which is not the same as unknown */
}

static void broken_and_missing_files_are_no_limits(void **state)
{
    (void)state;
    struct machine machine = inspect();
    assert_int_equal(machine.memory_total, 0);
    assert_int_equal(machine.memory_available, 0);
    put_meminfo();
    made_root_put("/proc/self/cgroup", "0::/a\nnonsense\n1:memory\n:::");
    made_root_put("/sys/fs/cgroup/a/memory.max", "-1");
    made_root_put("/sys/fs/cgroup/memory.max", "lots");
    made_root_put("/sys/fs/cgroup/a/cpu.max", "-1 0");
    machine = inspect();
    assert_int_equal(machine.memory_available, 8192 * MIB);
    assert_false(machine.memory_limited);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, made_root_set_up, made_root_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_limits_the_machine_itself_counts), TEST(version_two_limits_bind_on_the_way_up_and_cached_files_are_free),
        TEST(version_one_says_the_same_by_other_names), TEST(a_group_that_is_not_there_is_looked_for_at_the_mount),
        TEST(broken_and_missing_files_are_no_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
