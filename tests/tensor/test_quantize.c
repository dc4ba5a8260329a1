/* The quantisers of --quantize: how far their blocks are from what they were made of, against what llama.cpp's are on the same numbers (goldens by
 * make_goldens.py), the same bytes on every machine, and any input. */
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

enum { BLOCKS = 64, ELEMENTS = BLOCKS * 256, KINDS = 6 };

/* As make_goldens.py draws them: every operation is exact or one rounding. */
static void draw(int kind, float *values)
{
    uint32_t state = 1;
    for (int i = 0; i < ELEMENTS; i++) {
        int64_t sum = -(1 << 21);
        for (int j = 0; j < 4; j++) {
            state = state * 1664525u + 1013904223u;
            sum += state >> 12;
        }
        float x = (float)sum * 0x1p-21f;
        switch (kind) {
        case 0: break;
        case 1: x = x * x * x; break;
        case 2: x = i % 97 == 0 ? x * 8.0f : x; break;
        case 3: x = fabsf(x); break;
        case 4: x = x + 0.5f; break;
        case 5: x = i % 512 < 256 ? x * 0x1p-12f : x * 0x1p6f; break;
        }
        values[i] = x;
    }
}

static double relative_error(const struct tensor_type_row *row, const float *values, float *back, unsigned char *blocks)
{
    double differences = 0, squares = 0;
    row->from_float(values, blocks, ELEMENTS);
    row->to_float(blocks, back, ELEMENTS);
    for (int i = 0; i < ELEMENTS; i++) {
        differences += ((double)values[i] - (double)back[i]) * ((double)values[i] - (double)back[i]);
        squares += (double)values[i] * (double)values[i];
    }
    return sqrt(differences / squares);
}

static void errors_are_no_larger_than_those_of_llama_cpp(void **state)
{
    (void)state;
    float *values = mem_alloc_array(ELEMENTS, sizeof *values), *back = mem_alloc_array(ELEMENTS, sizeof *back);
    unsigned char *blocks = mem_alloc(ELEMENTS * 2);
    FILE *golden = fopen(TEST_DATA "/quantizer_errors.txt", "r");
    assert_non_null(golden);
    char name[16];
    int kind, checked = 0;
    double theirs;
    while (fscanf(golden, "%15s %d %lf", name, &kind, &theirs) == 3) {
        enum tensor_type type;
        assert_true(tensor_type_from_name(name, &type));
        draw(kind, values);
        double ours = relative_error(&tensor_types[type], values, back, blocks);
        if (ours > theirs * 1.0001)
            fail_msg("%s of kind %d: relative error %.7f, llama.cpp's is %.7f", name, kind, ours, theirs);
        checked++;
    }
    fclose(golden);
    assert_int_equal(checked, 10 * KINDS);
    mem_free(values);
    mem_free(back);
    mem_free(blocks);
}

static uint64_t hash_bytes(const unsigned char *bytes, size_t length)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

/* Of this implementation: compilers, processors and optimisation change nothing. A better search changes them: then take the new ones. */
static const struct {
    enum tensor_type type;
    uint64_t hash;
} hashes[] = {
    {TENSOR_Q2_K, 0x931df5a36cc4c889u}, {TENSOR_Q3_K, 0xfd3d9076d44b7bf7u}, {TENSOR_Q4_K, 0x406d6531efecc983u},
    {TENSOR_Q5_K, 0x54a6cb3a63d70d0du}, {TENSOR_Q6_K, 0x1b969d46ef89b705u},
};

static void the_same_floats_give_the_same_bytes_everywhere(void **state)
{
    (void)state;
    float *values = mem_alloc_array(ELEMENTS, sizeof *values);
    unsigned char *blocks = mem_alloc(ELEMENTS * 2);
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        const struct tensor_type_row *row = &tensor_types[hashes[i].type];
        draw(1, values);
        row->from_float(values, blocks, ELEMENTS);
        uint64_t hash = hash_bytes(blocks, (size_t)(BLOCKS * row->block_bytes));
        if (hash != hashes[i].hash)
            fail_msg("%s: hash 0x%016llxu, expected 0x%016llxu", row->name, (unsigned long long)hash, (unsigned long long)hashes[i].hash);
    }
    mem_free(values);
    mem_free(blocks);
}

/* What cannot be kept gives some block, never undefined behaviour (the sanitizers watch); what can be kept exactly is. */
static void odd_blocks_are_survived_and_plain_ones_exact(void **state)
{
    (void)state;
    const float odd[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e-45f, -1e-45f, 1e-38f, 65504.0f, 1.0f};
    float values[256], back[256];
    unsigned char block[256];
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        const struct tensor_type_row *row = &tensor_types[t];
        if (!row->from_float || row->block_elements < 32)
            continue;
        size_t n = (size_t)row->block_elements;
        for (size_t a = 0; a < sizeof odd / sizeof odd[0]; a++) {
            for (size_t b = 0; b < sizeof odd / sizeof odd[0]; b++) {
                for (size_t i = 0; i < n; i++)
                    values[i] = i % 3 ? odd[a] : odd[b];
                row->from_float(values, block, n);
                row->to_float(block, back, n);
            }
        }
        for (size_t i = 0; i < n; i++)
            values[i] = 0.0f;
        row->from_float(values, block, n);
        row->to_float(block, back, n);
        for (size_t i = 0; i < n; i++)
            assert_true(back[i] == 0.0f);
    }
}

/* Values that a block can hold exactly come back as they are, or very nearly: the search finds its own block again. */
static void what_was_quantised_before_loses_little_the_second_time(void **state)
{
    (void)state;
    float *values = mem_alloc_array(ELEMENTS, sizeof *values), *back = mem_alloc_array(ELEMENTS, sizeof *back);
    unsigned char *blocks = mem_alloc(ELEMENTS * 2);
    for (int t = TENSOR_Q2_K; t <= TENSOR_Q6_K; t++) {
        draw(0, values);
        double first = relative_error(&tensor_types[t], values, back, blocks);
        memcpy(values, back, ELEMENTS * sizeof *values);
        double second = relative_error(&tensor_types[t], values, back, blocks);
        if (second > first / 2)
            fail_msg("%s: %.6f the first time, %.6f the second", tensor_types[t].name, first, second);
    }
    mem_free(values);
    mem_free(back);
    mem_free(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_no_larger_than_those_of_llama_cpp),
        cmocka_unit_test(the_same_floats_give_the_same_bytes_everywhere),
        cmocka_unit_test(odd_blocks_are_survived_and_plain_ones_exact),
        cmocka_unit_test(what_was_quantised_before_loses_little_the_second_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
