/* The sampler: published vectors of the generator, goldens of what transformers keeps and draws, the exact distribution by chi-square, odd logits, bits and
 * time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/philox.h"
#include "engine/sampler.h"

static void philox_gives_the_published_vectors(void **state)
{
    (void)state; /* Random123, tests/kat_vectors: philox4x32 10 */
    static const uint32_t vectors[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox_block(vectors[i], vectors[i] + 4, out);
        assert_memory_equal(out, vectors[i] + 6, sizeof out);
    }
}

/* The goldens' logits: the same formula as in make_sampler_goldens.py. */
static void golden_logits(float *logits, int32_t n, uint32_t seed)
{
    for (uint32_t i = 0; i < (uint32_t)n; i++) {
        uint32_t h = i * 2654435761u + seed * 2246822519u;
        h ^= h >> 15;
        h *= 2246822519u;
        h ^= h >> 13;
        h *= 3266489917u;
        h ^= h >> 16;
        double t = (double)h / 2147483648.0 - 1.0;
        logits[i] = (float)(12.0 * t * t * t);
    }
}

static int32_t read_number(FILE *file)
{
    int32_t number;
    assert_int_equal(fscanf(file, "%d", &number), 1);
    return number;
}

/* One line of the goldens, with the memory its lists lie in. */
struct golden {
    int32_t n, n_prompt, n_tokens, tokens[64], expected;
    uint32_t logit_seed;
    struct sampling_parameters p;
    struct sampling_bias biases[8];
    struct token_sequence banned[8];
    int32_t banned_ids[8][8];
};

static bool read_golden(FILE *file, struct golden *g)
{
    unsigned long long seed;
    struct sampling_parameters *p = &g->p;
    *g = (struct golden){0};
    if (fscanf(file, "%d %u %lf %d %lf %lf %lf %lf %lf %lf %d %llu %u %d %d", &g->n, &g->logit_seed, &p->temperature, &p->top_k, &p->top_p, &p->min_p,
               &p->typical_p, &p->repetition_penalty, &p->presence_penalty, &p->frequency_penalty, &p->penalty_window, &seed, &p->choice, &g->n_prompt,
               &g->n_tokens) != 15)
        return false;
    p->seed = seed;
    for (int32_t i = 0; i < g->n_tokens; i++)
        g->tokens[i] = read_number(file);
    p->n_biases = read_number(file);
    for (int32_t i = 0; i < p->n_biases; i++)
        assert_int_equal(fscanf(file, "%d %f", &g->biases[i].id, &g->biases[i].bias), 2);
    p->n_banned = read_number(file);
    for (int32_t i = 0; i < p->n_banned; i++) {
        g->banned[i] = (struct token_sequence){g->banned_ids[i], (size_t)read_number(file)};
        for (size_t k = 0; k < g->banned[i].count; k++)
            g->banned_ids[i][k] = read_number(file);
    }
    p->biases = g->biases;
    p->banned = g->banned;
    g->expected = read_number(file);
    return true;
}

static void choices_agree_with_transformers(void **state)
{
    (void)state;
    FILE *file = fopen(TEST_DATA "/sampler.txt", "r");
    assert_non_null(file);
    int32_t lines = 0, n_typical = 0;
    struct golden g;
    while (read_golden(file, &g)) {
        int32_t chosen;
        float *logits = malloc((size_t)g.n * sizeof *logits);
        golden_logits(logits, g.n, g.logit_seed);
        struct sampler sampler = {0};
        struct sampler_input input = {.logits = logits, .parameters = &g.p, .tokens = g.tokens, .n_prompt = g.n_prompt, .n_tokens = g.n_tokens};
        assert_int_equal(sampler_init(&sampler, g.n, NULL), 0);
        assert_int_equal(sampling_parameters_check(&g.p, g.n, NULL), 0);
        assert_int_equal(sampler_choose(&sampler, &input, &chosen, NULL), 0);
        lines++;
        n_typical += g.p.typical_p > 0 && g.p.temperature > 0;
        if (chosen != g.expected)
            fail_msg("line %d: %d was chosen, transformers' rules give %d", lines, chosen, g.expected);
        sampler_free(&sampler);
        free(logits);
    }
    fclose(file);
    assert_true(lines > 2000 && n_typical > 500);
}

/* Chi-square of draws at many positions against the exact distribution. */
static double chi_square(struct sampler *sampler, const float *logits, int32_t n, const struct sampling_parameters *p, const double *exact, int32_t draws,
                         int32_t *freedom)
{
    double *counts = calloc((size_t)n, sizeof *counts), sum = 0;
    int32_t *tokens = calloc((size_t)draws + 1, sizeof *tokens);
    for (int32_t i = 1; i <= draws; i++) {
        int32_t token;
        struct sampler_input input = {.logits = logits, .parameters = p, .tokens = tokens, .n_prompt = i, .n_tokens = i};
        assert_int_equal(sampler_choose(sampler, &input, &token, NULL), 0);
        counts[token]++;
    }
    double rest_expected = 0, rest_count = 0;
    *freedom = -1;
    for (int32_t i = 0; i < n; i++) {
        if (exact[i] == 0)
            assert_true(counts[i] == 0);
        if (exact[i] * draws < 5) {
            rest_expected += exact[i] * draws;
            rest_count += counts[i];
            continue;
        }
        sum += (counts[i] - exact[i] * draws) * (counts[i] - exact[i] * draws) / (exact[i] * draws);
        ++*freedom;
    }
    if (rest_expected >= 5) {
        sum += (rest_count - rest_expected) * (rest_count - rest_expected) / rest_expected;
        ++*freedom;
    }
    free(counts);
    free(tokens);
    return sum;
}

static void draws_follow_the_exact_distribution(void **state)
{
    (void)state;
    enum { N = 60, DRAWS = 40000 };
    float logits[N];
    golden_logits(logits, N, 4);
    struct sampler sampler = {0};
    assert_int_equal(sampler_init(&sampler, N, NULL), 0);
    for (int32_t kind = 0; kind < 4; kind++) {
        struct sampling_parameters p = {
            .temperature = 2.5, .seed = 11 + (uint64_t)kind, .top_k = kind == 1 ? 12 : 0, .min_p = kind == 2 ? 0.05 : 0, .choice = (uint32_t)kind};
        double exact[N], total = 0;
        float largest = logits[0];
        for (int32_t i = 0; i < N; i++)
            largest = logits[i] > largest ? logits[i] : largest;
        for (int32_t i = 0; i < N; i++) {
            int32_t above = 0;
            for (int32_t j = 0; j < N; j++)
                above += logits[j] > logits[i];
            exact[i] = exp((double)(logits[i] - largest) / 2.5);
            if ((p.top_k && above >= p.top_k) || exact[i] < p.min_p)
                exact[i] = 0;
            total += exact[i];
        }
        for (int32_t i = 0; i < N; i++)
            exact[i] /= total;
        int32_t freedom;
        double sum = chi_square(&sampler, logits, N, &p, exact, DRAWS, &freedom);
        assert_true(freedom > 5);
        assert_true(sum < freedom + 4 * sqrt(2.0 * freedom)); /* four standard deviations above the mean */
    }
    sampler_free(&sampler);
}

static int choose_plain(struct sampler *sampler, const float *logits, struct sampling_parameters p, int32_t position, int32_t *token, struct error *err)
{
    static int32_t tokens[4096];
    struct sampler_input input = {.logits = logits, .parameters = &p, .tokens = tokens, .n_prompt = position, .n_tokens = position};
    return sampler_choose(sampler, &input, token, err);
}

static void greedy_takes_the_lowest_id_of_a_tie(void **state)
{
    (void)state;
    float logits[8] = {1, 3, 2, 3, 3, 0, -1, 3};
    struct sampler sampler = {0};
    assert_int_equal(sampler_init(&sampler, 8, NULL), 0);
    int32_t token;
    assert_int_equal(choose_plain(&sampler, logits, (struct sampling_parameters){0}, 1, &token, NULL), 0);
    assert_int_equal(token, 1);
    for (int32_t i = 1; i < 50; i++) { /* top-k keeps exactly k, the lowest ids of a tie */
        assert_int_equal(choose_plain(&sampler, logits, (struct sampling_parameters){.temperature = 1, .top_k = 2}, i, &token, NULL), 0);
        assert_true(token == 1 || token == 3);
    }
    sampler_free(&sampler);
}

static void nan_is_an_error_and_infinities_are_not(void **state)
{
    (void)state;
    float logits[6] = {0, NAN, 1, 2, 3, 4};
    struct sampler sampler = {0};
    struct error err;
    assert_int_equal(sampler_init(&sampler, 6, NULL), 0);
    int32_t token;
    assert_int_equal(choose_plain(&sampler, logits, (struct sampling_parameters){0}, 1, &token, &err), SAMPAN_EINTERNAL);
    assert_non_null(strstr(err.message, "1 of 6 logits are NaN"));
    float infinite[6] = {-INFINITY, 1, INFINITY, -INFINITY, INFINITY, 5};
    float none[6] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    for (int32_t i = 1; i < 60; i++) {
        struct sampling_parameters p = {.temperature = 1.3, .top_k = i % 3 ? 0 : 3, .top_p = i % 2 ? 0.9 : 0, .min_p = i % 5 ? 0 : 0.1};
        assert_int_equal(choose_plain(&sampler, infinite, p, i, &token, NULL), 0);
        assert_true(token == 2 || token == 4);
        assert_int_equal(choose_plain(&sampler, none, p, i, &token, NULL), SAMPAN_EINTERNAL);
    }
    struct engine_logprob out[3];
    assert_int_equal(sampler_log_probabilities(&sampler, infinite, 4, 2, out, NULL), 0);
    assert_float_equal(out[0].logprob, -0.693147f, 1e-5);
    sampler_free(&sampler);
}

static void banned_tokens_are_never_chosen(void **state)
{
    (void)state;
    float logits[4] = {9, 8, 1, 0};
    int32_t banned[] = {0, 1, 77}, tokens[300] = {0}, token;
    struct sampler sampler = {0};
    assert_int_equal(sampler_init(&sampler, 4, NULL), 0);
    for (int32_t i = 1; i < 200; i++) {
        struct sampling_parameters p = {.temperature = i % 2 ? 5 : 0};
        struct sampler_input input = {
            .logits = logits, .parameters = &p, .tokens = tokens, .n_prompt = i, .n_tokens = i, .held_back = banned, .n_held_back = 3};
        assert_int_equal(sampler_choose(&sampler, &input, &token, NULL), 0);
        assert_true(token >= 2);
    }
    sampler_free(&sampler);
}

static void log_probabilities_are_the_models_own_and_sum_to_one(void **state)
{
    (void)state;
    enum { N = 1000 };
    float logits[N];
    golden_logits(logits, N, 9);
    struct sampler sampler = {0};
    static struct engine_logprob out[LIMIT_LOGPROBS + 1];
    assert_int_equal(sampler_init(&sampler, N, NULL), 0);
    assert_int_equal(sampler_log_probabilities(&sampler, logits, 17, LIMIT_LOGPROBS, out, NULL), 0);
    double total = 0, mass = 0;
    for (int32_t i = 0; i < N; i++)
        mass += exp((double)logits[i]);
    assert_int_equal(out[0].id, 17);
    assert_float_equal(out[0].logprob, (float)(logits[17] - log(mass)), 1e-6);
    for (int32_t i = 1; i <= N; i++) {
        total += exp((double)out[i].logprob);
        assert_true(i == 1 || out[i].logprob <= out[i - 1].logprob);
        assert_float_equal(out[i].logprob, (float)(logits[out[i].id] - log(mass)), 2e-6);
    }
    assert_float_equal(total, 1.0, 1e-5);
    assert_int_equal(out[N + 1].id, -1); /* more asked than the vocabulary has */
    sampler_free(&sampler);
}

static void biases_are_added_and_banned_sequences_not_completed(void **state)
{
    (void)state;
    float logits[6] = {9, 8, INFINITY, 3, 2, 1};
    int32_t tokens[] = {0, 4, 5}, token, pair[] = {5, 0}, other[] = {4, 1}, alone[] = {2}, longer[] = {3, 0, 4, 5, 1};
    struct token_sequence banned[] = {{alone, 1}, {pair, 2}, {other, 2}, {longer, 5}};
    struct sampler sampler = {0};
    assert_int_equal(sampler_init(&sampler, 6, NULL), 0);
    struct sampling_parameters p = {.banned = banned, .n_banned = 4};
    struct sampler_input input = {.logits = logits, .parameters = &p, .tokens = tokens, .n_prompt = 1, .n_tokens = 3};
    assert_int_equal(sampler_choose(&sampler, &input, &token, NULL), 0);
    assert_int_equal(token, 1); /* 2 alone and 5 0 are banned; the log does not end in 4, and is shorter than the last sequence */
    struct sampling_bias biases[] = {{1, -INFINITY}, {2, -INFINITY}, {4, 4}, {4, 4.5f}, {0, -1}};
    p = (struct sampling_parameters){.biases = biases, .n_biases = 5};
    assert_int_equal(sampler_choose(&sampler, &input, &token, NULL), 0);
    assert_int_equal(token, 4); /* 2 + 4 + 4.5 against 9 - 1; -inf wins over an infinite logit */
    assert_false(sampling_parameters_are_plain_greedy(&p));
    sampler_free(&sampler);
}

static void penalties_look_at_their_window_only(void **state)
{
    (void)state;
    float logits[4] = {5, 4.5f, 4, 0};
    int32_t tokens[] = {3, 0, 1, 3}, token;
    struct sampler sampler = {0};
    assert_int_equal(sampler_init(&sampler, 4, NULL), 0);
    const struct {
        int32_t window, expected;
    } cases[] = {{0, 2}, {4, 2}, {3, 2}, {2, 0}, {1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int repetition = 0; repetition < 2; repetition++) {
            struct sampling_parameters p = {
                .penalty_window = cases[i].window, .repetition_penalty = repetition ? 2 : 0, .presence_penalty = repetition ? 0 : 3};
            struct sampler_input input = {.logits = logits, .parameters = &p, .tokens = tokens, .n_prompt = 1, .n_tokens = 4};
            assert_int_equal(sampler_choose(&sampler, &input, &token, NULL), 0);
            assert_int_equal(token, cases[i].expected);
        }
    sampler_free(&sampler);
}

static void parameters_outside_their_range_are_named(void **state)
{
    (void)state;
    struct error err;
    struct sampling_bias outside = {99, 1}, nan = {0, NAN}, infinite = {0, INFINITY}, large = {0, 1001};
    int32_t ids[LIMIT_BANNED_SEQUENCE + 1] = {0}, wrong[] = {-1};
    struct token_sequence empty = {ids, 0}, long_one = {ids, LIMIT_BANNED_SEQUENCE + 1}, unknown = {wrong, 1}, null = {NULL, 1};
    const struct {
        struct sampling_parameters p;
        const char *name;
        int code;
    } cases[] = {
        {{.temperature = -1}, "temperature", SAMPAN_EINVAL},
        {{.temperature = NAN}, "temperature", SAMPAN_EINVAL},
        {{.temperature = 1e-9}, "temperature", SAMPAN_EINVAL},
        {{.top_p = 1.5}, "top_p", SAMPAN_EINVAL},
        {{.min_p = -0.1}, "min_p", SAMPAN_EINVAL},
        {{.typical_p = 2}, "typical_p", SAMPAN_EINVAL},
        {{.top_k = -3}, "top_k", SAMPAN_EINVAL},
        {{.penalty_window = -1}, "penalty_window", SAMPAN_EINVAL},
        {{.repetition_penalty = -1}, "repetition_penalty", SAMPAN_EINVAL},
        {{.biases = &outside, .n_biases = 1}, "logit_bias names token 99", SAMPAN_EINVAL},
        {{.biases = &nan, .n_biases = 1}, "logit_bias of token 0", SAMPAN_EINVAL},
        {{.biases = &infinite, .n_biases = 1}, "logit_bias of token 0", SAMPAN_EINVAL},
        {{.biases = &large, .n_biases = 1}, "logit_bias of token 0", SAMPAN_EINVAL},
        {{.biases = NULL, .n_biases = 1}, "logit_bias", SAMPAN_EINVAL},
        {{.biases = &nan, .n_biases = -1}, "logit_bias", SAMPAN_ELIMIT},
        {{.biases = &nan, .n_biases = LIMIT_LOGIT_BIASES + 1}, "logit_bias", SAMPAN_ELIMIT},
        {{.banned = &empty, .n_banned = 1}, "banned", SAMPAN_EINVAL},
        {{.banned = &long_one, .n_banned = 1}, "banned", SAMPAN_EINVAL},
        {{.banned = &unknown, .n_banned = 1}, "banned names token -1", SAMPAN_EINVAL},
        {{.banned = &null, .n_banned = 1}, "banned", SAMPAN_EINVAL},
        {{.banned = &null, .n_banned = LIMIT_BANNED_SEQUENCES + 1}, "banned", SAMPAN_ELIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sampling_parameters_check(&cases[i].p, 10, &err), cases[i].code);
        assert_non_null(strstr(err.message, cases[i].name));
    }
}

/* Not a speed test on a shared machine: only that nothing sorts a whole vocabulary. The time is printed. */
static void a_draw_from_a_large_vocabulary_takes_well_below_a_millisecond(void **state)
{
    (void)state;
    enum { N = 50000 };
    static float logits[N];
    golden_logits(logits, N, 3);
    struct sampler sampler = {0};
    assert_int_equal(sampler_init(&sampler, N, NULL), 0);
    struct sampling_parameters kinds[] = {{0},
                                          {.temperature = 1},
                                          {.temperature = 1, .top_k = 40, .top_p = 0.95},
                                          {.temperature = 1, .top_p = 0.95},
                                          {.temperature = 1, .min_p = 0.05},
                                          {.temperature = 1, .typical_p = 0.95}};
    const char *names[] = {"greedy", "temperature", "top-k 40, top-p", "top-p", "min-p", "typical-p"};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        uint64_t best = UINT64_MAX;
        for (int32_t i = 1; i < 40; i++) {
            int32_t token;
            uint64_t start = clock_monotonic_ns();
            assert_int_equal(choose_plain(&sampler, logits, kinds[k], i, &token, NULL), 0);
            uint64_t took = clock_monotonic_ns() - start;
            best = took < best ? took : best;
        }
        print_message("%s over %d tokens: %.3f ms\n", names[k], N, (double)best / 1e6);
        assert_true(best < 20000000); /* sanitizers included */
    }
    sampler_free(&sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(choices_agree_with_transformers),
        cmocka_unit_test(draws_follow_the_exact_distribution),
        cmocka_unit_test(greedy_takes_the_lowest_id_of_a_tie),
        cmocka_unit_test(nan_is_an_error_and_infinities_are_not),
        cmocka_unit_test(banned_tokens_are_never_chosen),
        cmocka_unit_test(log_probabilities_are_the_models_own_and_sum_to_one),
        cmocka_unit_test(biases_are_added_and_banned_sequences_not_completed),
        cmocka_unit_test(penalties_look_at_their_window_only),
        cmocka_unit_test(parameters_outside_their_range_are_named),
        cmocka_unit_test(a_draw_from_a_large_vocabulary_takes_well_below_a_millisecond),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
