/* Quantising while loading: which type each weight takes, and what it costs a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "model/quantize.h"
#include "sampan.h"
#include "tiny/tiny_model.h"

static void the_type_follows_the_rows_and_the_role(void **state)
{
    (void)state;
    static const struct {
        enum tensor_type asked, stored;
        int64_t columns;
        bool is_vocabulary;
        enum tensor_type expected;
    } cases[] = {
        {TENSOR_Q4_K, TENSOR_BF16, 4096, false, TENSOR_Q4_K}, {TENSOR_Q4_K, TENSOR_F16, 4096, true, TENSOR_Q6_K},
        {TENSOR_Q4_K, TENSOR_F32, 576, false, TENSOR_Q5_0},   {TENSOR_Q4_K, TENSOR_BF16, 576, true, TENSOR_Q8_0},
        {TENSOR_Q4_K, TENSOR_BF16, 100, false, TENSOR_BF16},  {TENSOR_Q4_K, TENSOR_Q8_0, 4096, false, TENSOR_Q8_0},
        {TENSOR_Q4_0, TENSOR_BF16, 576, false, TENSOR_Q4_0},  {TENSOR_Q2_K, TENSOR_BF16, 576, false, TENSOR_Q4_0},
        {TENSOR_Q6_K, TENSOR_BF16, 576, false, TENSOR_Q8_0},  {TENSOR_Q8_0, TENSOR_BF16, 576, true, TENSOR_Q8_0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(quantize_choose(cases[i].asked, cases[i].stored, cases[i].columns, cases[i].is_vocabulary), cases[i].expected);
}

static void a_type_that_cannot_be_asked_for_is_refused_with_those_that_can(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "f16", "i32", "Q4_K", "q4_k_m"};
    enum tensor_type type;
    struct error err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(quantize_type_from_name(wrong[i], &type, &err), SAMPAN_EINVAL);
        assert_non_null(strstr(err.message, "q8_0, q6_k, q5_k"));
    }
    assert_int_equal(quantize_type_from_name("q4_k", &type, &err), 0);
    assert_int_equal(type, TENSOR_Q4_K);
}

enum { IDS = 64, VOCABULARY = 288 };

static void score(const char *path, const char *chip, const char *quantize, double logprobs[IDS][VOCABULARY], char fingerprint[256])
{
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    struct sampan_logprob *scored;
    struct sampan_engine_options options = {.size = sizeof options, .chip = chip, .max_sequences = 1, .quantize = quantize};
    struct sampan_engine_description description = {.size = sizeof description};
    int32_t ids[IDS];
    for (int i = 0; i < IDS; i++)
        ids[i] = i * 37 % VOCABULARY;
    if (sampan_model_open(path, &model) || sampan_engine_open(model, &options, &engine) || sampan_score(engine, ids, IDS, VOCABULARY, &scored))
        fail_msg("%s", sampan_error_message());
    for (size_t i = 0; i < IDS * VOCABULARY; i++)
        logprobs[i / VOCABULARY][scored[i].id] = (double)scored[i].logprob;
    assert_int_equal(sampan_engine_describe(engine, &description), 0);
    snprintf(fingerprint, 256, "%s", description.system_fingerprint);
    sampan_free(scored);
    sampan_engine_close(engine);
    sampan_model_close(model);
}

static double divergence(double expected[IDS][VOCABULARY], double found[IDS][VOCABULARY])
{
    double sum = 0;
    for (int i = 0; i < IDS; i++)
        for (int id = 0; id < VOCABULARY; id++)
            sum += exp(expected[i][id]) * (expected[i][id] - found[i][id]);
    return sum / IDS;
}

/* Random weights suffer more from quantising than trained ones: the bounds say that nothing is broken, the order that bits are worth something. */
static void fewer_bits_cost_more_and_both_chips_agree(void **state)
{
    (void)state;
    static double published[IDS][VOCABULARY], reference[IDS][VOCABULARY], cpu[IDS][VOCABULARY];
    static const struct {
        const char *type, *fingerprint;
        double bound;
    } rows[] = {
        {"q8_0", "weights=bf16>q8_0;", 2e-3}, {"q6_k", "weights=bf16>q6_k;", 2e-2},          {"q5_k", "weights=bf16>q5_k+bf16>q6_k;", 6e-2},
        {"q4_k", "bf16>q4_k+bf16>q6_k", 0.3}, {"q3_k", "weights=bf16>q3_k+bf16>q6_k;", 1.2}, {"q2_k", "weights=bf16>q2_k+bf16>q6_k;", 4},
    };
    struct tiny_model_options options = tiny_model_defaults();
    char path[TINY_MODEL_PATH], fingerprint[256];
    struct error err = {0};
    options.hidden = options.feed_forward = 256;
    options.head_width = 64;
    options.n_vocabulary = VOCABULARY;
    options.type = options.embedding_type = TENSOR_BF16;
    if (tiny_model_make(&options, path, &err))
        fail_msg("%s", err.message);
    score(path, "reference", NULL, published, fingerprint);
    assert_non_null(strstr(fingerprint, "weights=bf16;"));
    double before = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        score(path, "reference", rows[i].type, reference, fingerprint);
        score(path, "cpu", rows[i].type, cpu, fingerprint);
        double cost = divergence(published, reference), between = fabs(divergence(reference, cpu));
        print_message("%s: mean KL from bf16 %.3g, cpu from reference %.2g\n", rows[i].type, cost, between);
        if (!strstr(fingerprint, rows[i].fingerprint))
            fail_msg("%s: '%s'", rows[i].type, fingerprint);
        assert_true(cost <= rows[i].bound && cost > before);
        assert_true(between <= 4e-3); /* the CPU chip's inputs have 8 bits */
        before = cost;
    }
    unlink(path);
}

static void a_model_without_anything_to_quantise_is_refused(void **state)
{
    (void)state;
    struct tiny_model_options options = tiny_model_defaults(); /* Q4_1 and Q8_0 */
    struct sampan_engine_options engine_options = {.size = sizeof engine_options, .quantize = "q8_0"};
    char path[TINY_MODEL_PATH];
    struct error err = {0};
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    if (tiny_model_make(&options, path, &err))
        fail_msg("%s", err.message);
    assert_int_equal(sampan_model_open(path, &model), 0);
    assert_int_equal(sampan_engine_open(model, &engine_options, &engine), SAMPAN_EINVAL);
    assert_non_null(strstr(sampan_error_message(), "no matrix in f32, f16 or bf16"));
    engine_options.quantize = "q9";
    assert_int_equal(sampan_engine_open(model, &engine_options, &engine), SAMPAN_EINVAL);
    sampan_model_close(model);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_type_follows_the_rows_and_the_role),
        cmocka_unit_test(a_type_that_cannot_be_asked_for_is_refused_with_those_that_can),
        cmocka_unit_test(a_model_without_anything_to_quantise_is_refused),
        cmocka_unit_test(fewer_bits_cost_more_and_both_chips_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
