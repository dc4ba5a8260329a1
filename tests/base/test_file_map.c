/* Mapped files: what is read, and what becomes of a page that can no longer be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_map.h"

enum { LENGTH = 5 * 4096 + 100 };

struct fixture {
    char path[64];
    struct file *file;
    struct file_map map;
};

/* Maps within the test: cmocka handles signals itself from its beginning on. */
static struct fixture *open_map(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(file_map_open(fixture->file, &fixture->map, NULL), 0);
    return fixture;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    char bytes[LENGTH];
    snprintf(fixture.path, sizeof fixture.path, "/tmp/sampan_map_XXXXXX");
    int descriptor = mkstemp(fixture.path);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i % 251 + 1);
    assert_int_equal(write(descriptor, bytes, sizeof bytes), sizeof bytes);
    close(descriptor);
    assert_int_equal(file_open(fixture.path, &fixture.file, NULL), 0);
    fixture.map = (struct file_map){0};
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    file_map_close(&fixture->map);
    file_close(fixture->file);
    unlink(fixture->path);
    return 0;
}

static void a_map_shows_the_whole_file(void **state)
{
    const struct fixture *fixture = open_map(state);
    assert_int_equal(fixture->map.size, LENGTH);
    for (size_t i = 0; i < LENGTH; i++)
        assert_int_equal(fixture->map.bytes[i], i % 251 + 1);
}

static void what_a_shrunken_file_lost_reads_as_zeros_and_is_counted(void **state)
{
    const struct fixture *fixture = open_map(state);
    uint64_t before = file_map_losses();
    assert_int_equal(truncate(fixture->path, 2 * 4096), 0);
    assert_int_equal(fixture->map.bytes[4096], 4096 % 251 + 1); /* what is still there */
    assert_int_equal(file_map_losses(), before);
    for (size_t i = 2 * 4096; i < LENGTH; i++)
        assert_int_equal(fixture->map.bytes[i], 0);
    assert_int_equal(file_map_losses(), before + 1); /* one fault for the whole rest */
}

static void many_maps_come_and_go(void **state)
{
    const struct fixture *fixture = *state;
    struct file_map maps[40];
    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
            assert_int_equal(file_map_open(fixture->file, &maps[i], NULL), 0);
        for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
            file_map_close(&maps[i]);
    }
}

static void an_empty_file_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    struct file *file;
    struct file_map map;
    struct error err = {0};
    assert_int_equal(truncate(fixture->path, 0), 0);
    assert_int_equal(file_open(fixture->path, &file, NULL), 0);
    assert_int_equal(file_map_open(file, &map, &err), SAMPAN_EFORMAT);
    assert_non_null(strstr(err.message, fixture->path));
    file_close(file);
}

static void note_and_leave(int number)
{
    _exit(number == SIGBUS ? 42 : 1);
}

/* A bus error that is not ours ends the program as it would have, or goes to the handler that was there. */
static void other_bus_errors_are_left_alone(void **state)
{
    (void)state;
    for (int with_handler = 0; with_handler < 2; with_handler++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            char path[] = "/tmp/sampan_map_XXXXXX", other[] = "/tmp/sampan_map_XXXXXX";
            struct file *file;
            struct file_map map;
            int descriptor = mkstemp(path), second = mkstemp(other);
            signal(SIGBUS, with_handler ? note_and_leave : SIG_DFL); /* in this child ours is not installed by the parent's maps alone */
            unlink(other);
            if (ftruncate(descriptor, 4096) || ftruncate(second, 4096) || file_open(path, &file, NULL) || file_map_open(file, &map, NULL))
                _exit(2);
            unlink(path);
            volatile const char *foreign = mmap(NULL, 8192, PROT_READ, MAP_SHARED, second, 0);
            _exit(foreign[4096] ? 3 : 4); /* beyond the file */
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (with_handler)
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
        else
            assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) || (WIFEXITED(status) && WEXITSTATUS(status) > 4)); /* a sanitizer's own report */
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_bus_errors_are_left_alone),
        TEST(a_map_shows_the_whole_file),
        TEST(what_a_shrunken_file_lost_reads_as_zeros_and_is_counted),
        TEST(many_maps_come_and_go),
        TEST(an_empty_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
