/* Requests with a grammar, against the simulated executor (whose logits are random, so that nothing but the grammar keeps an answer in shape). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "support_requests.h"
#include "text/grammar/automaton.h"

static struct token_trie *trie;

static struct constraint *compile(enum grammar_kind kind, const char *source)
{
    struct constraint *constraint;
    struct error err;
    if (!trie && token_trie_create(test_tokenizer(), &trie, &err))
        fail_msg("%s", err.message);
    if (constraint_create(kind, source, strlen(source), trie, &constraint, &err))
        fail_msg("%s", err.message);
    return constraint;
}

static struct test_request request_with(struct constraint *constraint, int32_t seed)
{
    struct test_request request = test_request_simple(5, seed, 60);
    request.request.constraint = constraint;
    request.request.sampling.temperature = seed % 3 ? 1.5 : 0;
    request.request.sampling.seed = (uint64_t)seed;
    return request;
}

static void run(const struct test_request *request, struct test_outcome *outcome)
{
    struct simulation_options options = test_simulation();
    test_run_alone(&options, request, outcome);
}

/* The whole answer belongs to the grammar where it ended by itself, and is a beginning of it where it was cut off. */
static void expect_member(struct constraint *constraint, const struct test_outcome *outcome)
{
    struct grammar_automaton *automaton;
    int32_t state;
    assert_true(outcome->ended);
    assert_int_not_equal(outcome->last.finish, FINISH_ERROR);
    assert_int_equal(grammar_automaton_create(constraint->grammar, trie, &automaton, NULL), 0);
    assert_int_equal(grammar_automaton_start(automaton, &state, NULL), 0);
    assert_int_equal(grammar_automaton_advance(automaton, state, outcome->text.data, outcome->text.length, &state, NULL), 0);
    if (outcome->last.finish == FINISH_EOG)
        assert_true(grammar_automaton_may_end(automaton, state));
    else
        assert_int_not_equal(state, GRAMMAR_STATE_DEAD);
    grammar_automaton_free(automaton);
}

static void every_answer_is_of_the_grammar_at_any_temperature(void **state)
{
    (void)state;
    static const char *const sources[] = {"(ab|ca)+\\.", "[a-h]{3}( [a-h]{2}){0,4}", "(1|2|3)+(,(1|2|3)+)*\\.", "é+a"};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct constraint *constraint = compile(GRAMMAR_REGEX, sources[i]);
        int32_t n_ended = 0;
        for (int32_t seed = 0; seed < 30; seed++) {
            struct test_request request = request_with(constraint, seed);
            struct test_outcome outcome;
            run(&request, &outcome);
            expect_member(constraint, &outcome);
            n_ended += outcome.last.finish == FINISH_EOG;
            test_outcome_free(&outcome);
        }
        assert_true(n_ended > 0);
        constraint_release(constraint);
    }
}

static void an_answer_ends_once_nothing_may_follow(void **state)
{
    (void)state;
    struct constraint *constraint = compile(GRAMMAR_CHOICES, "[\"abc\", \"ca.\"]");
    struct test_request request = request_with(constraint, 1);
    struct test_outcome outcome;
    request.request.ignore_eog = true; /* there is no end token to wait for */
    run(&request, &outcome);
    assert_int_equal(outcome.last.finish, FINISH_EOG);
    assert_int_equal(outcome.last.eog_token, -1);
    assert_int_equal(outcome.text.length, 3);
    expect_member(constraint, &outcome);
    test_outcome_free(&outcome);
    constraint_release(constraint);
}

/* What is banned, biased or held back stays so inside a grammar. */
static void a_grammar_joins_the_other_wishes(void **state)
{
    (void)state;
    struct constraint *constraint = compile(GRAMMAR_REGEX, "[abc]*");
    struct test_request request = request_with(constraint, 4);
    struct test_outcome outcome;
    request.request.min_tokens = 12;
    request.request.sampling.n_biases = 2;
    request.biases[0] = (struct sampling_bias){0, -100};
    request.biases[1] = (struct sampling_bias){1, 100};
    run(&request, &outcome);
    assert_true(outcome.n_tokens >= 12);
    for (int32_t i = 0; i < outcome.n_tokens; i++)
        assert_int_equal(outcome.tokens[i], 1);
    expect_member(constraint, &outcome);
    test_outcome_free(&outcome);
    constraint_release(constraint);
}

static void what_the_vocabulary_lacks_is_an_error_not_a_wrong_answer(void **state)
{
    (void)state;
    struct constraint *constraint = compile(GRAMMAR_REGEX, "a?Z");
    struct test_request request = request_with(constraint, 3);
    struct test_outcome outcome;
    run(&request, &outcome);
    assert_int_equal(outcome.last.finish, FINISH_ERROR);
    assert_non_null(strstr(outcome.message, "vocabulary has no token"));
    test_outcome_free(&outcome);
    constraint_release(constraint);
}

static void a_grammar_for_another_vocabulary_is_refused(void **state)
{
    (void)state;
    struct constraint *constraint = compile(GRAMMAR_REGEX, "a");
    struct token_trie other = *trie;
    struct simulation_options options = test_simulation();
    struct simulation *simulation = simulation_create(&options);
    struct executor_factory factory = simulation_factory(simulation);
    struct test_request request = request_with(constraint, 3);
    struct engine *engine;
    struct error err;
    uint64_t id;
    other.n_tokens++;
    constraint->trie = &other;
    test_request_point(&request);
    assert_int_equal(engine_create(&factory, test_tokenizer(), NULL, &engine, &err), 0);
    assert_int_equal(engine_submit(engine, &request.request, &id, &err), SAMPAN_EINVAL);
    engine_free(engine);
    simulation_free(simulation);
    constraint_release(constraint);
}

/* Many at once, blocks short (so that streams are preempted), the executor lost again and again: each answer is the one it gives alone. Half the streams share
 * one constraint, and all references are given up before the engine has read the requests. */
static void load_preemption_and_loss_change_no_answer(void **state)
{
    (void)state;
    enum { N = 24 };
    struct simulation_options options = test_simulation(), hard = options;
    hard.lost_permille = 30;
    hard.late_permille = 100;
    for (int32_t g = 0; g < hard.description.n_groups; g++)
        hard.description.groups[g].n_blocks = hard.description.groups[g].n_blocks / 3 + 24;
    struct simulation *simulation = simulation_create(&hard);
    struct executor_factory factory = simulation_factory(simulation);
    struct engine_options engine_options = {.max_rebuilds = 1000};
    struct engine *engine;
    struct error err;
    static struct test_request requests[N];
    static struct test_outcome outcomes[N], alone[N];
    struct constraint *shared = compile(GRAMMAR_REGEX, "([a-h]+( [a-h]+)*\\.)+");
    assert_int_equal(engine_create(&factory, test_tokenizer(), &engine_options, &engine, &err), 0);
    for (int32_t i = 0; i < N; i++) {
        struct constraint *own = i % 2 ? compile(GRAMMAR_REGEX, "(ab|[1-3]{2,})*,?") : constraint_retain(shared);
        uint64_t id;
        requests[i] = request_with(own, i);
        test_request_point(&requests[i]);
        run(&requests[i], &alone[i]);
        if (engine_submit(engine, &requests[i].request, &id, &err))
            fail_msg("%s", err.message);
        test_outcome_init(&outcomes[i], id);
        constraint_release(own);
    }
    constraint_release(shared);
    test_run_all(engine, outcomes, N);
    for (int32_t i = 0; i < N; i++) {
        const char *difference = test_outcomes_differ(&alone[i], &outcomes[i], false);
        if (difference)
            fail_msg("request %d: %s differ(s)", i, difference);
        test_outcome_free(&alone[i]);
        test_outcome_free(&outcomes[i]);
    }
    assert_true(simulation_get_counts(simulation).n_lost > 0);
    engine_free(engine);
    assert_null(simulation_violation(simulation));
    simulation_free(simulation);
}

static int free_trie(void **state)
{
    (void)state;
    token_trie_free(trie);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_of_the_grammar_at_any_temperature),
        cmocka_unit_test(an_answer_ends_once_nothing_may_follow),
        cmocka_unit_test(a_grammar_joins_the_other_wishes),
        cmocka_unit_test(what_the_vocabulary_lacks_is_an_error_not_a_wrong_answer),
        cmocka_unit_test(a_grammar_for_another_vocabulary_is_refused),
        cmocka_unit_test(load_preemption_and_loss_change_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, free_trie);
}
