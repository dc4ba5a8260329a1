/* Conversions of all element types against goldens of ggml's reference (make_goldens.py), and the properties of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "tensor/half.h"
#include "tensor/type.h"

/* Equal bits; a NaN equals any NaN, because its sign and payload depend on the processor. */
static void assert_same_floats(const float *ours, const float *expected, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (float_bits(ours[i]) != float_bits(expected[i]) && !(isnan(ours[i]) && isnan(expected[i])))
            fail_msg("%s: element %zu is %.9g (%08x), expected %.9g (%08x)", what, i, (double)ours[i], float_bits(ours[i]), (double)expected[i],
                     float_bits(expected[i]));
}

static unsigned char *read_golden(const char *direction, const char *type_name, size_t *n_blocks, size_t *length)
{
    char path[512];
    char *data;
    struct error err;
    snprintf(path, sizeof path, "%s/%s_%s.bin", TEST_DATA, direction, type_name);
    if (file_read_whole(path, 1 << 24, &data, length, &err))
        fail_msg("%s", err.message);
    uint32_t count;
    memcpy(&count, data, sizeof count);
    *n_blocks = count;
    return (unsigned char *)data;
}

static void every_type_converts_to_float_as_the_reference_does(void **state)
{
    (void)state;
    int checked = 0;
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        const struct tensor_type_row *row = &tensor_types[t];
        if (!row->to_float || row->type == TENSOR_F32)
            continue;
        size_t n_blocks, length;
        unsigned char *golden = read_golden("to", row->name, &n_blocks, &length);
        size_t n = n_blocks * (size_t)row->block_elements, bytes = n_blocks * (size_t)row->block_bytes;
        assert_int_equal(length, 4 + bytes + n * sizeof(float));
        float *expected = mem_alloc_array(n, sizeof(float));
        float *ours = mem_alloc_array(n, sizeof(float));
        memcpy(expected, golden + 4 + bytes, n * sizeof(float));
        row->to_float(golden + 4, ours, n);
        assert_same_floats(ours, expected, n, row->name);
        mem_free(ours);
        mem_free(expected);
        mem_free(golden);
        checked++;
    }
    assert_int_equal(checked, 12);
}

static void every_quantiser_gives_the_bytes_of_the_reference(void **state)
{
    (void)state;
    int checked = 0;
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        const struct tensor_type_row *row = &tensor_types[t];
        if (!row->from_float || row->type == TENSOR_F32 || row->block_elements == 256) /* those search: test_quantize.c */
            continue;
        size_t n_blocks, length;
        unsigned char *golden = read_golden("from", row->name, &n_blocks, &length);
        size_t n = n_blocks * (size_t)row->block_elements, bytes = n_blocks * (size_t)row->block_bytes;
        assert_int_equal(length, 4 + bytes + n * sizeof(float));
        float *source = mem_alloc_array(n, sizeof(float));
        unsigned char *ours = mem_alloc(bytes);
        memcpy(source, golden + 4, n * sizeof(float));
        row->from_float(source, ours, n);
        const unsigned char *expected = golden + 4 + n * sizeof(float);
        for (size_t i = 0; i < bytes; i++)
            if (ours[i] != expected[i])
                fail_msg("%s: block %zu, byte %zu is %02x, expected %02x", row->name, i / (size_t)row->block_bytes, i % (size_t)row->block_bytes, ours[i],
                         expected[i]);
        mem_free(ours);
        mem_free(source);
        mem_free(golden);
        checked++;
    }
    assert_int_equal(checked, 7);
}

static void f32_is_copied_bit_for_bit_in_both_directions(void **state)
{
    (void)state;
    const uint32_t bits[4] = {0x7FA00001u, 0x80000000u, 1u, 0xFF7FFFFFu};
    uint32_t there[4], back[4];
    float floats[4];
    tensor_types[TENSOR_F32].to_float(bits, floats, 4);
    memcpy(there, floats, sizeof there);
    assert_memory_equal(there, bits, sizeof bits);
    tensor_types[TENSOR_F32].from_float(floats, back, 4);
    assert_memory_equal(back, bits, sizeof bits);
}

static void conversions_accept_bytes_at_any_address(void **state)
{
    (void)state;
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        const struct tensor_type_row *row = &tensor_types[t];
        if (!row->to_float)
            continue;
        unsigned char bytes[2 * 210 + 1] = {0};
        float aligned[256], unaligned[256];
        for (int i = 0; i < row->block_bytes; i++)
            bytes[i] = (unsigned char)(i * 37 + 11);
        row->to_float(bytes, aligned, (size_t)row->block_elements);
        memmove(bytes + 1, bytes, (size_t)row->block_bytes);
        row->to_float(bytes + 1, unaligned, (size_t)row->block_elements);
        assert_same_floats(unaligned, aligned, (size_t)row->block_elements, row->name);
    }
}

static void quantising_nonsense_is_harmless(void **state)
{
    (void)state;
    const float values[] = {NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e-45f, -1e-40f, 0.0f, -0.0f};
    enum { N = sizeof values / sizeof values[0] };
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        if (!tensor_types[t].from_float)
            continue;
        for (int first = 0; first < N; first++)
            for (int second = 0; second < N; second++) {
                float source[32];
                unsigned char block[256];
                for (int i = 0; i < 32; i++)
                    source[i] = values[i % 3 ? first : second];
                tensor_types[t].from_float(source, block, 32);
            }
    }
}

static void the_table_is_indexed_by_type_and_found_by_name_and_number(void **state)
{
    (void)state;
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        const struct tensor_type_row *row = &tensor_types[t];
        enum tensor_type found;
        assert_int_equal(row->type, t);
        assert_true(row->block_elements > 0 && row->block_bytes > 0);
        assert_true(tensor_type_from_name(row->name, &found));
        assert_int_equal(found, t);
        assert_true(tensor_type_from_ggml((uint32_t)row->ggml_type, &found));
        assert_int_equal(found, t);
    }
    enum tensor_type unknown;
    assert_false(tensor_type_from_name("q4_9", &unknown));
    assert_false(tensor_type_from_ggml(4, &unknown));
    assert_false(tensor_type_from_ggml(UINT32_MAX, &unknown));
}

static void sizes_are_refused_when_they_overflow_or_cut_a_block(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    assert_true(tensor_type_bytes(TENSOR_Q4_1, 3, 64, &bytes));
    assert_int_equal(bytes, 120);
    assert_true(tensor_type_bytes(TENSOR_Q6_K, 1, 256, &bytes));
    assert_int_equal(bytes, 210);
    assert_false(tensor_type_bytes(TENSOR_Q4_1, 3, 65, &bytes));
    assert_false(tensor_type_bytes(TENSOR_F32, UINT64_MAX / 4, 2, &bytes));
    assert_false(tensor_type_bytes(TENSOR_F32, 1, UINT64_MAX / 2, &bytes));
    assert_false(tensor_type_bytes(TENSOR_Q8_0, 1, UINT64_MAX - 31, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_converts_to_float_as_the_reference_does),
        cmocka_unit_test(every_quantiser_gives_the_bytes_of_the_reference),
        cmocka_unit_test(f32_is_copied_bit_for_bit_in_both_directions),
        cmocka_unit_test(conversions_accept_bytes_at_any_address),
        cmocka_unit_test(quantising_nonsense_is_harmless),
        cmocka_unit_test(the_table_is_indexed_by_type_and_found_by_name_and_number),
        cmocka_unit_test(sizes_are_refused_when_they_overflow_or_cut_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
