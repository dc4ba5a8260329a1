/* port_check: numbers computed by hand on a chip that exists only here, refusals, what does not fit, and prediction against what a real plan takes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "file/checkpoint.h"
#include "fleet/local_executor.h"
#include "model/model.h"
#include "port/check.h"
#include "tiny/tiny_model.h"

struct loaded {
    char path[TINY_MODEL_PATH];
    struct checkpoint *checkpoint;
    struct arena arena;
    const struct program *program;
};

/* 2 layers, hidden 64, 4 heads of 16 over 2, feed-forward 128, vocabulary 288, context 512. */
static void load_quantized(struct loaded *loaded, struct tiny_model_options options, const enum tensor_type *quantize)
{
    struct model_options model_options = {.quantize = quantize};
    struct error err = {0};
    arena_init(&loaded->arena, 64 << 20);
    if (tiny_model_make(&options, loaded->path, &err) || checkpoint_open(loaded->path, &loaded->checkpoint, &err) ||
        model_write_program(loaded->checkpoint, &model_options, &loaded->arena, &loaded->program, &err))
        fail_msg("%s", err.message);
}

static void load(struct loaded *loaded, struct tiny_model_options options)
{
    load_quantized(loaded, options, NULL);
}

static void unload(struct loaded *loaded)
{
    checkpoint_close(loaded->checkpoint);
    arena_free(&loaded->arena);
    unlink(loaded->path);
}

/* ---- A chip that exists only here: two bytes for every weight and every cache element, 1,000 bytes of buffers, and one whim: what it refuses. */

static enum op_kind refused_kind = OP_KIND_COUNT;
static bool fuses; /* weights of one linear lie in the copy of its first */

static int toy_supports(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err)
{
    (void)profile, (void)program;
    if (op->kind == refused_kind)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the toy chip does not like '%s'", op->label);
    if (cache_type != TENSOR_F16 && op->kind == OP_ATTENTION)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the toy chip keeps its cache in f16, not in %s", tensor_types[cache_type].name);
    return 0;
}

static int toy_estimate(const char *profile, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                        struct weight_estimate *weights, struct error *err)
{
    (void)profile, (void)err;
    *sizes = (struct plan_description){.buffer_bytes = 1000};
    for (int32_t w = 0; w < program->n_weights; w++) {
        uint64_t bytes = 2 * (uint64_t)program->weights[w].rows * (uint64_t)program->weights[w].columns;
        sizes->weight_bytes += bytes;
        if (weights)
            weights[w] = (struct weight_estimate){.bytes = bytes, .shared_with = w, .change = WEIGHT_CONVERTED, .form = "f16", .rate = RATE_F16, .passes = 1};
    }
    for (int32_t i = 0; weights && fuses && i < program->n_ops; i++)
        for (int32_t o = 1; program->ops[i].kind == OP_LINEAR && o < program->ops[i].linear.n_outputs; o++) {
            struct weight_estimate *first = &weights[program->ops[i].linear.weights[0]], *other = &weights[program->ops[i].linear.weights[o]];
            first->bytes += other->bytes;
            other->bytes = 0;
            other->shared_with = program->ops[i].linear.weights[0];
        }
    for (int32_t g = 0; g < program->n_groups; g++) {
        sizes->group_block_bytes[g] = 2 * cache_group_elements(&program->groups[g]) * (uint64_t)program->groups[g].n_layers * (uint64_t)limits->block_tokens;
        sizes->cache_bytes += sizes->group_block_bytes[g] * (uint64_t)limits->n_blocks[g];
    }
    return 0;
}

static const struct chip_interface toy = {.kind = "toy", .supports = toy_supports, .plan_estimate = toy_estimate};

static struct chip_profile toy_profile(void)
{
    return (struct chip_profile){.name = "1",
                                 .product = "a toy",
                                 .cache_type = TENSOR_F16,
                                 .block_tokens = 16,
                                 .memory_bytes = 1100000,
                                 .memory_reserved = 100000,
                                 .memory_bandwidth = 1e6,
                                 .peak = {[RATE_F16] = 1e7},
                                 .attention_rate = RATE_F16};
}

static struct port_answer ask(struct loaded *loaded, const struct chip_profile *profile, struct port_question question)
{
    struct port_answer answer;
    struct error err = {0};
    question.program = loaded->program;
    if (!question.chip)
        question.chip = &toy;
    question.profile = profile;
    if (port_check(&question, &loaded->arena, &answer, &err))
        fail_msg("%s", err.message);
    return answer;
}

static void assert_close(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fabs(expected)))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

/* Elements: a layer's linears 64*64 + 2 * 32*64 + 64*64 + 3 * 128*64 = 36,864, its norms 128; embedding and head 288*64 = 18,432 each; the last norm 64.
 * All: 2 * 36,992 + 2 * 18,432 + 64 = 110,912, two bytes each. A token keeps 2 layers * 2 heads * (16 + 16) elements of two bytes = 256. */
enum { WEIGHT_BYTES = 221824, TOKEN_BYTES = 256, ROOM = 1000000 - WEIGHT_BYTES - 1000 };

static void memory_is_what_arithmetic_says(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    load(&loaded, tiny_model_defaults());
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){.context = 100, .batch = 3});
    assert_int_equal(answer.verdict, PORT_RUNS);
    assert_string_equal(answer.problem, "");
    assert_int_equal(answer.sizes.weight_bytes, WEIGHT_BYTES);
    assert_int_equal(answer.token_bytes, TOKEN_BYTES);
    assert_int_equal(answer.sequence_bytes, 7 * 16 * TOKEN_BYTES); /* 100 tokens: seven blocks of 16 */
    assert_int_equal(answer.sizes.cache_bytes, 3 * 7 * 16 * TOKEN_BYTES);
    assert_int_equal(answer.usable_bytes, 1000000);
    assert_int_equal(answer.sequences_fit, ROOM / (7 * 16 * TOKEN_BYTES)); /* 27 */
    assert_int_equal(answer.longest_context, 512);
    assert_int_equal(answer.published_bytes, program_weight_bytes(loaded.program));
    /* Linears are published as Q4_1, embedding and head as Q8_0, norms as F32; all become f16. */
    assert_int_equal(answer.n_forms, 3);
    assert_int_equal(answer.forms[0].published, TENSOR_Q4_1);
    assert_int_equal(answer.forms[0].n_weights, 14);
    assert_int_equal(answer.forms[0].held_bytes, 2 * 2 * 36864);
    assert_int_equal(answer.forms[0].published_bytes, 2 * 36864 / 32 * 20);
    assert_int_equal(answer.forms[0].change, WEIGHT_CONVERTED);
    assert_int_equal(answer.forms[1].published, TENSOR_Q8_0);
    assert_int_equal(answer.forms[2].published, TENSOR_F32);
    assert_int_equal(answer.forms[2].n_weights, 5);
    unload(&loaded);
}

/* A step reads all weights but the embedding (WEIGHT_BYTES - 36,864), and for each sequence one row of it (128), writes one position (256) and reads p * 256.
 * It computes 2 * (2 * 36,864 + 18,432) = 184,320 operations and 2 layers * 2 * 4 heads * 32 * p = 512 p of attention for each. */
static void speeds_are_what_arithmetic_says(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    load(&loaded, tiny_model_defaults());
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){.context = 100, .batch = 3, .price_per_hour = 7.2});
    const double fixed = WEIGHT_BYTES - 36864;
    const struct port_speed *speeds = answer.speeds;
    assert_close(speeds[SPEED_ONE_START].bytes, fixed + 384);
    assert_close(speeds[SPEED_ONE_START].operations[RATE_F16], 184320);
    assert_close(speeds[SPEED_ONE_START].tokens_per_second, 1e6 / (fixed + 384));
    assert_true(speeds[SPEED_ONE_START].memory_bound);
    assert_close(speeds[SPEED_ONE_END].bytes, fixed + 384 + 25600);
    assert_close(speeds[SPEED_BATCH_END].bytes, fixed + 3 * (384 + 25600));
    assert_close(speeds[SPEED_BATCH_END].operations[RATE_F16], 3 * (184320 + 51200));
    assert_close(speeds[SPEED_BATCH_END].tokens_per_second, 3 / ((fixed + 3 * (384 + 25600)) * 1e-6));
    /* Prefill of 100 tokens: no head; on average 50 positions before each. */
    assert_close(speeds[SPEED_PREFILL].operations[RATE_F16], 100 * (2 * 2 * 36864 + 512 * 50));
    assert_close(speeds[SPEED_PREFILL].compute_seconds, 100 * (2 * 2 * 36864 + 512 * 50) / 1e7);
    assert_close(speeds[SPEED_PREFILL].tokens_per_second, 1e7 / (2 * 2 * 36864 + 512 * 50));
    assert_false(speeds[SPEED_PREFILL].memory_bound);
    assert_close(answer.cost_per_million_generated, 7.2 / 3600 * 1e6 / speeds[SPEED_BATCH_END].tokens_per_second);
    assert_close(answer.cost_per_million_prompt, 7.2 / 3600 * 1e6 / speeds[SPEED_PREFILL].tokens_per_second);
    unload(&loaded);
}

static void a_copy_that_weights_share_is_read_once(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    load(&loaded, tiny_model_defaults());
    struct port_answer apart = ask(&loaded, &profile, (struct port_question){.context = 100, .batch = 3});
    fuses = true;
    struct port_answer fused = ask(&loaded, &profile, (struct port_question){.context = 100, .batch = 3});
    fuses = false;
    assert_close(fused.speeds[SPEED_BATCH_END].bytes, apart.speeds[SPEED_BATCH_END].bytes);
    assert_close(fused.speeds[SPEED_PREFILL].operations[RATE_F16], apart.speeds[SPEED_PREFILL].operations[RATE_F16]);
    assert_int_equal(fused.published_bytes, apart.published_bytes);
    assert_int_equal(fused.forms[0].held_bytes, apart.forms[0].held_bytes);
    assert_int_equal(fused.forms[0].n_weights, 14);
    unload(&loaded);
}

static void a_large_batch_is_bound_by_arithmetic(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    profile.peak[RATE_F16] = 1e6;
    load(&loaded, tiny_model_defaults());
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){.context = 16, .batch = 100});
    const struct port_speed *speed = &answer.speeds[SPEED_BATCH_START];
    assert_false(speed->memory_bound);
    assert_close(speed->tokens_per_second, 1e6 / 184320);
    unload(&loaded);
}

static void unknown_figures_leave_unknown_answers(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    load(&loaded, tiny_model_defaults());
    profile.peak[RATE_F16] = 0;
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){.price_per_hour = 1});
    assert_true(answer.speeds[SPEED_ONE_END].tokens_per_second > 0); /* memory bounds decoding alone */
    assert_true(answer.speeds[SPEED_PREFILL].tokens_per_second <= 0);
    assert_true(answer.cost_per_million_prompt <= 0);
    profile.memory_bandwidth = 0;
    profile.memory_bytes = 0;
    answer = ask(&loaded, &profile, (struct port_question){0});
    assert_int_equal(answer.verdict, PORT_RUNS);
    assert_int_equal(answer.sequences_fit, -1);
    assert_int_equal(answer.longest_context, -1);
    assert_true(answer.speeds[SPEED_ONE_END].tokens_per_second <= 0);
    assert_int_equal(answer.sizes.weight_bytes, WEIGHT_BYTES); /* known all the same */
    assert_int_equal(answer.context, 512);                     /* the model's, shorter than the default */
    assert_int_equal(answer.batch, PORT_DEFAULT_BATCH);
    unload(&loaded);
}

static void each_reason_of_refusal_is_told_once(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    struct tiny_model_options options = tiny_model_defaults();
    options.n_layers = 3;
    load(&loaded, options);
    refused_kind = OP_ROPE_CACHE; /* its words name the layer: only numbers differ */
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){.cache_type_given = true, .cache_type = TENSOR_BF16});
    refused_kind = OP_KIND_COUNT;
    assert_int_equal(answer.verdict, PORT_REFUSED);
    assert_int_equal(answer.n_refusals, 2);
    assert_int_equal(answer.refusals[0].kind, OP_ROPE_CACHE);
    assert_int_equal(answer.refusals[0].n_ops, 3);
    assert_string_equal(answer.refusals[0].where, "layers 0-2");
    assert_non_null(strstr(answer.refusals[0].reason, "does not like"));
    assert_int_equal(answer.refusals[1].kind, OP_ATTENTION);
    assert_non_null(strstr(answer.refusals[1].reason, "not in bf16"));
    assert_string_equal(answer.problem, answer.refusals[0].reason);
    refused_kind = OP_LOGITS;
    answer = ask(&loaded, &profile, (struct port_question){0});
    refused_kind = OP_KIND_COUNT;
    assert_int_equal(answer.n_refusals, 1);
    assert_string_equal(answer.refusals[0].where, "outside the layers");
    unload(&loaded);
}

static void what_does_not_fit_says_what_would(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    load(&loaded, tiny_model_defaults());
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){.context = 513});
    assert_int_equal(answer.verdict, PORT_CONTEXT_LONG);
    assert_non_null(strstr(answer.problem, "513"));
    assert_non_null(strstr(answer.problem, "use 512 or less"));

    profile.memory_bytes = profile.memory_reserved + WEIGHT_BYTES + 1000 + 2 * 16 * TOKEN_BYTES; /* two blocks of cache */
    answer = ask(&loaded, &profile, (struct port_question){.context = 100});
    assert_int_equal(answer.verdict, PORT_CACHE_LARGE);
    assert_int_equal(answer.longest_context, 32);
    assert_int_equal(answer.sequences_fit, 0);
    assert_non_null(strstr(answer.problem, "a context of 32 fits"));
    answer = ask(&loaded, &profile, (struct port_question){.context = 16, .batch = 3});
    assert_int_equal(answer.verdict, PORT_CACHE_LARGE);
    assert_non_null(strstr(answer.problem, "2 fit"));
    answer = ask(&loaded, &profile, (struct port_question){.context = 16}); /* as many as fit */
    assert_int_equal(answer.verdict, PORT_RUNS);
    assert_int_equal(answer.batch, 2);

    profile.memory_bytes = profile.memory_reserved + WEIGHT_BYTES;
    answer = ask(&loaded, &profile, (struct port_question){0});
    assert_int_equal(answer.verdict, PORT_WEIGHTS_LARGE);
    assert_non_null(strstr(answer.problem, "216.6 KiB")); /* the weights */
    profile.memory_reserved = UINT64_MAX;
    assert_int_equal(ask(&loaded, &profile, (struct port_question){0}).verdict, PORT_WEIGHTS_LARGE);
    unload(&loaded);
}

/* On a chip that is here, what is free now counts. */
static void a_chip_that_is_here_has_what_is_free(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    load(&loaded, tiny_model_defaults());
    profile.is_here = true;
    profile.memory_free = profile.memory_reserved + 1000;
    assert_int_equal(ask(&loaded, &profile, (struct port_question){0}).verdict, PORT_WEIGHTS_LARGE);
    profile.is_here = false;
    assert_int_equal(ask(&loaded, &profile, (struct port_question){0}).verdict, PORT_RUNS);
    unload(&loaded);
}

/* A cache that no arithmetic holds is an answer, not an overflow. */
static void enormous_questions_are_answered(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    struct tiny_model_options options = tiny_model_defaults();
    options.context_length = LIMIT_CONTEXT;
    load(&loaded, options);
    profile.memory_bytes = UINT64_MAX;
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){.context = LIMIT_CONTEXT, .batch = LIMIT_SEQUENCES});
    assert_int_equal(answer.sequence_bytes, (uint64_t)LIMIT_CONTEXT * TOKEN_BYTES);
    assert_int_equal(answer.sizes.cache_bytes, (uint64_t)LIMIT_CONTEXT * TOKEN_BYTES * LIMIT_SEQUENCES);
    assert_int_equal(answer.sequences_fit, LIMIT_SEQUENCES);
    unload(&loaded);
}

static void impossible_questions_are_refused(void **state)
{
    (void)state;
    struct loaded loaded;
    struct chip_profile profile = toy_profile();
    struct port_answer answer;
    load(&loaded, tiny_model_defaults());
    struct port_question question = {.program = loaded.program, .chip = &toy, .profile = &profile, .context = -1};
    assert_int_equal(port_check(&question, &loaded.arena, &answer, NULL), SAMPAN_EINVAL);
    question.context = 0;
    question.batch = LIMIT_SEQUENCES + 1;
    assert_int_equal(port_check(&question, &loaded.arena, &answer, NULL), SAMPAN_EINVAL);
    question.batch = 0;
    question.price_per_hour = NAN;
    assert_int_equal(port_check(&question, &loaded.arena, &answer, NULL), SAMPAN_EINVAL);
    unload(&loaded);
}

/* ---- Prediction against reality. */

/* What check says of a model, an engine's executor then takes, to the byte. */
static void compare_with_executor(const char *chip_name, struct loaded *loaded, int32_t context, int32_t batch)
{
    struct local_executor_options options = {.chip = chip_name, .program = loaded->program, .max_context = context, .max_sequences = batch};
    struct local_factory *factory;
    struct error err = {0};
    assert_int_equal(local_factory_create(&options, &factory, NULL), 0);
    struct executor_factory interface = local_factory_interface(factory);
    struct executor *executor;
    if (interface.open(interface.self, &executor, &err))
        fail_msg("%s", err.message);
    struct chip_description chip;
    struct plan_description plan;
    struct plan_limits limits;
    assert_true(local_factory_describe(factory, &chip, &plan, &limits));

    static struct chip_profile profiles[CHIP_MAX_PROFILES];
    const struct chip_interface *kind = chip_find_kind(chip_name);
    assert_true(kind->profiles(profiles, CHIP_MAX_PROFILES) > 0);
    struct port_answer answer = ask(loaded, &profiles[0], (struct port_question){.chip = kind, .context = context, .batch = batch});
    assert_int_equal(answer.verdict, PORT_RUNS);
    assert_int_equal(answer.sizes.weight_bytes, plan.weight_bytes);
    assert_int_equal(answer.sizes.cache_bytes, plan.cache_bytes);
    assert_int_equal(answer.sizes.buffer_bytes, plan.buffer_bytes);
    assert_int_equal(answer.max_tokens, limits.max_tokens);
    executor->interface->close(executor);
    local_factory_free(factory);
}

static void predicted_memory_is_what_an_engine_takes(void **state)
{
    (void)state;
    static const enum tensor_type types[] = {TENSOR_Q4_1, TENSOR_Q8_0, TENSOR_BF16};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct tiny_model_options options = tiny_model_defaults();
        struct loaded loaded;
        options.type = types[i];
        options.tied = i % 2;
        options.head_width = 24; /* the CPU chip pads values to 32 */
        load(&loaded, options);
        compare_with_executor("cpu", &loaded, 500, 3);
        compare_with_executor("cpu", &loaded, 64, 600); /* more sequences than a step usually has rows */
        compare_with_executor("reference", &loaded, 77, 5);
        unload(&loaded);
    }
}

static void weights_quantised_while_they_load_are_told_as_such(void **state)
{
    (void)state;
    static const enum tensor_type q8_0 = TENSOR_Q8_0;
    struct tiny_model_options options = tiny_model_defaults();
    struct chip_profile profile = toy_profile();
    struct loaded loaded;
    options.type = options.embedding_type = TENSOR_BF16;
    load_quantized(&loaded, options, &q8_0);
    struct port_answer answer = ask(&loaded, &profile, (struct port_question){0});
    assert_int_equal(answer.n_forms, 2);
    assert_int_equal(answer.forms[0].published, TENSOR_BF16);
    assert_int_equal(answer.forms[0].change, WEIGHT_REQUANTISED);
    assert_int_equal(answer.forms[0].published_bytes, 2 * (2 * 36864 + 2 * 18432));
    compare_with_executor("cpu", &loaded, 500, 3);
    unload(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_what_arithmetic_says),           cmocka_unit_test(speeds_are_what_arithmetic_says),
        cmocka_unit_test(a_copy_that_weights_share_is_read_once),   cmocka_unit_test(a_large_batch_is_bound_by_arithmetic),
        cmocka_unit_test(unknown_figures_leave_unknown_answers),    cmocka_unit_test(each_reason_of_refusal_is_told_once),
        cmocka_unit_test(what_does_not_fit_says_what_would),        cmocka_unit_test(a_chip_that_is_here_has_what_is_free),
        cmocka_unit_test(enormous_questions_are_answered),          cmocka_unit_test(impossible_questions_are_refused),
        cmocka_unit_test(predicted_memory_is_what_an_engine_takes), cmocka_unit_test(weights_quantised_while_they_load_are_told_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
