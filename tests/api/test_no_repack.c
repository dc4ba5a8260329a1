/* Computing from the mapped file (no_repack): the same model, no copy of the weights, and a file that shrinks meanwhile is an error, not a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "sampan.h"
#include "tiny/tiny_model.h"

enum { IDS = 40, VOCABULARY = 288 };

struct opened {
    sampan_model *model;
    sampan_engine *engine;
    struct sampan_engine_description description;
};

static void open_engine(struct opened *opened, const char *path, const char *chip, bool no_repack)
{
    struct sampan_engine_options options = {.size = sizeof options, .chip = chip, .max_sequences = 2, .segments = 4, .no_repack = no_repack};
    *opened = (struct opened){.description = {.size = sizeof opened->description}};
    if (sampan_model_open(path, &opened->model) || sampan_engine_open(opened->model, &options, &opened->engine) ||
        sampan_engine_describe(opened->engine, &opened->description))
        fail_msg("%s", sampan_error_message());
}

static void close_engine(struct opened *opened)
{
    sampan_engine_close(opened->engine);
    sampan_model_close(opened->model);
}

static int score(struct opened *opened, float logprobs[IDS][VOCABULARY])
{
    struct sampan_logprob *scored;
    int32_t ids[IDS];
    for (int i = 0; i < IDS; i++)
        ids[i] = i * 53 % VOCABULARY;
    int code = sampan_score(opened->engine, ids, IDS, VOCABULARY, &scored);
    for (int i = 0; !code && i < IDS * VOCABULARY; i++)
        logprobs[i / VOCABULARY][scored[i].id] = scored[i].logprob;
    sampan_free(scored);
    return code;
}

static void make_model(char path[TINY_MODEL_PATH], enum tensor_type type, bool tied)
{
    struct tiny_model_options options = tiny_model_defaults();
    struct error err = {0};
    options.hidden = options.feed_forward = 256;
    options.head_width = 64;
    options.n_vocabulary = VOCABULARY;
    options.type = type;
    options.tied = tied;
    if (tiny_model_make(&options, path, &err))
        fail_msg("%s", err.message);
}

static void a_mapped_model_is_the_same_model(void **state)
{
    (void)state;
    static const enum tensor_type types[] = {TENSOR_Q4_1, TENSOR_BF16, TENSOR_Q4_K, TENSOR_Q8_0};
    static float loaded[IDS][VOCABULARY], mapped[IDS][VOCABULARY], cpu[IDS][VOCABULARY];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        char path[TINY_MODEL_PATH];
        struct opened opened;
        make_model(path, types[t], t % 2);
        open_engine(&opened, path, "reference", false);
        assert_int_equal(score(&opened, loaded), 0);
        close_engine(&opened);
        open_engine(&opened, path, "reference", true);
        assert_int_equal(score(&opened, mapped), 0);
        close_engine(&opened);
        assert_memory_equal(loaded, mapped, sizeof loaded); /* bit for bit */
        open_engine(&opened, path, "cpu", true);
        assert_int_equal(score(&opened, cpu), 0);
        assert_true(opened.description.weight_bytes < 16384); /* norms alone */
        assert_non_null(strstr(opened.description.system_fingerprint, "layout=published"));
        close_engine(&opened);
        double divergence = 0;
        for (int i = 0; i < IDS; i++)
            for (int id = 0; id < VOCABULARY; id++)
                divergence += exp((double)loaded[i][id]) * ((double)loaded[i][id] - (double)cpu[i][id]) / IDS;
        assert_true(fabs(divergence) <= 1e-3);
        unlink(path);
    }
}

static void a_file_that_shrinks_fails_requests_and_nothing_else(void **state)
{
    (void)state;
    static float logprobs[IDS][VOCABULARY];
    static const char *const chips[] = {"reference", "cpu"};
    for (int i = 0; i < 2; i++) {
        char path[TINY_MODEL_PATH];
        struct opened opened;
        make_model(path, TENSOR_Q8_0, false);
        open_engine(&opened, path, chips[i], true);
        assert_int_equal(score(&opened, logprobs), 0);
        assert_int_equal(truncate(path, 8192), 0);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(score(&opened, logprobs), SAMPAN_EIO);
            assert_non_null(strstr(sampan_error_message(), "shrank"));
        }
        close_engine(&opened);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapped_model_is_the_same_model),
        cmocka_unit_test(a_file_that_shrinks_fails_requests_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
