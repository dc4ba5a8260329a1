/* Parts of weights as chips read them: rows as published, or quantised on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "chip/weight_part.h"
#include "tiny/random_blocks.h"

enum { ROWS = 700, COLUMNS = 512 };

struct fixture {
    unsigned char *stored; /* bf16 [ROWS, COLUMNS] */
    char path[64];
    struct file *file;
    struct weight_part part;
};

static int set_up(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof *fixture);
    struct random random = {7};
    size_t length = (size_t)ROWS * COLUMNS * 2;
    fixture->stored = mem_alloc(length);
    random_weights(&random, TENSOR_BF16, 0.05f, fixture->stored, (size_t)ROWS * COLUMNS);
    snprintf(fixture->path, sizeof fixture->path, "/tmp/sampan_part_XXXXXX");
    int descriptor = mkstemp(fixture->path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, "x", 1), 1); /* tensors lie anywhere */
    assert_int_equal(write(descriptor, fixture->stored, length), length);
    close(descriptor);
    assert_int_equal(file_open(fixture->path, &fixture->file, NULL), 0);
    fixture->part =
        (struct weight_part){.name = "w", .type = TENSOR_Q4_K, .file = fixture->file, .offset = 1, .rows = ROWS, .columns = COLUMNS, .is_quantized = true};
    fixture->part.stored_type = TENSOR_BF16;
    fixture->part.bytes = (uint64_t)ROWS * COLUMNS / 256 * 144;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    file_close(fixture->file);
    unlink(fixture->path);
    mem_free(fixture->stored);
    mem_free(fixture);
    return 0;
}

/* The whole tensor by the table's own conversions. */
static void quantize_whole(const struct fixture *fixture, enum tensor_type type, void *blocks)
{
    float *values = mem_alloc_array((size_t)ROWS * COLUMNS, sizeof *values);
    tensor_types[TENSOR_BF16].to_float(fixture->stored, values, (size_t)ROWS * COLUMNS);
    tensor_types[type].from_float(values, blocks, (size_t)ROWS * COLUMNS);
    mem_free(values);
}

static void any_rows_are_those_of_the_whole_quantised(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        int64_t first, n;
    } runs[] = {{0, ROWS}, {0, 1}, {ROWS - 1, 1}, {3, 251}, {250, 300}};
    unsigned char *expected = mem_alloc((size_t)fixture->part.bytes), *rows = mem_alloc((size_t)fixture->part.bytes);
    size_t row_bytes = COLUMNS / 256 * 144;
    quantize_whole(fixture, TENSOR_Q4_K, expected);
    for (int from_memory = 0; from_memory < 2; from_memory++) {
        struct weight_part part = fixture->part;
        part.file = from_memory ? NULL : part.file;
        part.memory = fixture->stored;
        for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
            struct error err = {0};
            if (weight_part_read(&part, runs[i].first, runs[i].n, rows, &err))
                fail_msg("%s", err.message);
            assert_memory_equal(rows, expected + (size_t)runs[i].first * row_bytes, (size_t)runs[i].n * row_bytes);
        }
    }
    mem_free(expected);
    mem_free(rows);
}

static void rows_as_published_are_copied(void **state)
{
    const struct fixture *fixture = *state;
    struct weight_part part = fixture->part;
    unsigned char rows[3 * COLUMNS * 2];
    part.type = TENSOR_BF16;
    part.is_quantized = false;
    assert_int_equal(weight_part_read(&part, 100, 3, rows, NULL), 0);
    assert_memory_equal(rows, fixture->stored + (size_t)100 * COLUMNS * 2, sizeof rows);
    assert_int_equal(weight_part_stored_bytes(&part), (uint64_t)ROWS * COLUMNS * 2);
    assert_int_equal(weight_part_stored_bytes(&fixture->part), (uint64_t)ROWS * COLUMNS * 2);
}

static void the_error_is_measured_over_all_rows(void **state)
{
    const struct fixture *fixture = *state;
    size_t n = (size_t)ROWS * COLUMNS;
    unsigned char *blocks = mem_alloc((size_t)fixture->part.bytes);
    float *values = mem_alloc_array(n, sizeof *values), *back = mem_alloc_array(n, sizeof *back);
    double differences = 0, squares = 0, largest = 0;
    quantize_whole(fixture, TENSOR_Q4_K, blocks);
    tensor_types[TENSOR_BF16].to_float(fixture->stored, values, n);
    tensor_types[TENSOR_Q4_K].to_float(blocks, back, n);
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)values[i] - (double)back[i]);
        differences += difference * difference;
        squares += (double)values[i] * (double)values[i];
        largest = fmax(largest, difference);
    }
    struct quantization_error measured;
    assert_int_equal(weight_part_measure_error(&fixture->part, &measured, NULL), 0);
    assert_true(fabs(measured.relative_rms - sqrt(differences / squares)) < 1e-9);
    assert_true(measured.largest == largest);
    assert_true(measured.relative_rms > 0.05 && measured.relative_rms < 0.09); /* some 4.5 bits of normal numbers */
    mem_free(blocks);
    mem_free(values);
    mem_free(back);
}

static void a_file_that_shrank_is_an_error_that_names_the_tensor(void **state)
{
    const struct fixture *fixture = *state;
    struct quantization_error measured;
    struct error err = {0};
    unsigned char row[COLUMNS / 256 * 144];
    assert_int_equal(truncate(fixture->path, 1000), 0);
    assert_int_equal(weight_part_read(&fixture->part, 10, 1, row, &err), SAMPAN_EIO);
    assert_non_null(strstr(err.message, "'w'"));
    assert_int_equal(weight_part_measure_error(&fixture->part, &measured, &err), SAMPAN_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_rows_are_those_of_the_whole_quantised, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_as_published_are_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_error_is_measured_over_all_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_shrank_is_an_error_that_names_the_tensor, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
