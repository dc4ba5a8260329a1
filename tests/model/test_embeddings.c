/* Embeddings: hidden rows behind the final norm, pooled, against what transformers computes in fp32 (goldens by make_embedding_goldens.py), on tiny
 * checkpoints and, where SAMPAN_TEST_MODEL names it, on the default model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "sampan.h"

static const char *const folders[] = {"llama_tied", "llama_biases", "llama_rope_llama3", "llama_rope_linear", "mistral_window", "llama_shards"};

struct golden {
    int32_t n_ids, width;
    const int32_t *ids;
    const float *last, *mean; /* [width] */
};

static const char *next_golden(const char *at, struct golden *golden)
{
    const int32_t *header = (const int32_t *)(const void *)at;
    golden->n_ids = header[0];
    golden->width = header[1];
    golden->ids = header + 2;
    golden->last = (const float *)(const void *)(golden->ids + golden->n_ids);
    golden->mean = golden->last + golden->width;
    return (const char *)(golden->mean + golden->width);
}

static double length_of(const float *values, int32_t width)
{
    double squares = 0;
    for (int32_t i = 0; i < width; i++)
        squares += (double)values[i] * (double)values[i];
    return sqrt(squares);
}

/* |found - expected| / |expected| */
static double relative_error(const float *expected, const float *found, int32_t width)
{
    double squares = 0;
    for (int32_t i = 0; i < width; i++)
        squares += ((double)found[i] - (double)expected[i]) * ((double)found[i] - (double)expected[i]);
    return sqrt(squares) / length_of(expected, width);
}

static float *embed(sampan_engine *engine, const struct golden *golden, int32_t pooling, int32_t normalize)
{
    float *values;
    size_t width;
    if (sampan_embed(engine, golden->ids, (size_t)golden->n_ids, pooling, normalize, &values, &width))
        fail_msg("%s", sampan_error_message());
    assert_int_equal(width, golden->width);
    return values;
}

static void check_case(sampan_engine *engine, const struct golden *golden, double *worst)
{
    const struct {
        int32_t pooling;
        const float *expected;
    } rows[] = {{SAMPAN_POOLING_LAST, golden->last}, {SAMPAN_POOLING_MEAN, golden->mean}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float *plain = embed(engine, golden, rows[i].pooling, 0);
        double error = relative_error(rows[i].expected, plain, golden->width), length = length_of(plain, golden->width);
        *worst = error > *worst ? error : *worst;
        if (rows[i].pooling == SAMPAN_POOLING_MEAN) {
            sampan_free(plain);
            continue;
        }
        float *normalized = embed(engine, golden, rows[i].pooling, 1);
        assert_true(fabs(length_of(normalized, golden->width) - 1) < 1e-6);
        for (int32_t k = 0; k < golden->width; k++)
            assert_true(fabs((double)plain[k] / length - (double)normalized[k]) < 1e-6);
        sampan_free(plain);
        sampan_free(normalized);
    }
}

/* The cases at `at` on one chip; returns what is behind the last, and the largest error. */
static const char *check_model(const char *path, const char *chip, const char *at, int32_t n_cases, double *worst)
{
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    struct sampan_engine_options options = {.size = sizeof options, .chip = chip, .max_sequences = 2};
    struct sampan_engine_description description = {.size = sizeof description};
    if (sampan_model_open(path, &model) || sampan_engine_open(model, &options, &engine) || sampan_engine_describe(engine, &description))
        fail_msg("%s", sampan_error_message());
    for (int32_t i = 0; i < n_cases; i++) {
        struct golden golden;
        at = next_golden(at, &golden);
        assert_int_equal(description.embedding_width, golden.width);
        check_case(engine, &golden, worst);
    }
    sampan_engine_close(engine);
    sampan_model_close(model);
    return at;
}

static void tiny_checkpoints_give_what_transformers_computes(void **state)
{
    (void)state;
    char *bytes;
    size_t length;
    assert_int_equal(file_read_whole(TEST_DATA "/embeddings.bin", 1 << 20, &bytes, &length, NULL), 0);
    const char *at = bytes;
    double reference = 0, cpu = 0;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, TEST_DATA "/%s", folders[i]);
        check_model(path, "reference", at, 2, &reference);
        at = check_model(path, "cpu", at, 2, &cpu);
    }
    assert_ptr_equal(at, bytes + length);
    print_message("relative error: reference %.2g, cpu %.2g\n", reference, cpu);
    assert_true(reference < 1e-5);
    assert_true(cpu < 5e-2); /* inputs of 8 bits */
    mem_free(bytes);
}

static void the_default_model_gives_what_transformers_computes(void **state)
{
    (void)state;
    const char *model = getenv("SAMPAN_TEST_MODEL");
    if (!model || !*model)
        skip();
    char *bytes;
    size_t length;
    double reference = 0, cpu = 0;
    assert_int_equal(file_read_whole(TEST_DATA "/embeddings_smollm2.bin", 1 << 20, &bytes, &length, NULL), 0);
    check_model(model, "reference", bytes, 2, &reference); /* slow on purpose: one token, and seven */
    assert_ptr_equal(check_model(model, "cpu", bytes, 5, &cpu), bytes + length);
    print_message("relative error: reference %.2g, cpu %.2g\n", reference, cpu);
    assert_true(reference < 1e-5);
    assert_true(cpu < 5e-2);
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_checkpoints_give_what_transformers_computes),
        cmocka_unit_test(the_default_model_gives_what_transformers_computes),
    };
    return cmocka_run_group_tests_name("embeddings", tests, NULL, NULL);
}
