/* A simulated executor: runs steps without a model, strictly by the contract, and as unhelpfully as the contract allows.
 *
 * What it computes. A cache cell (group, block, offset) holds the hash of everything that led to its position: of the token, the position and, through the
 * cells that
 * the row can reach by its block tables, of all that came before. Logits are a pure function of that. So a wrong block, stale data, a wrong order, a row too
 * many or a missing copy changes every later token.
 *
 * How it is unhelpful: cells start as garbage; cells behind a sequence's length are made garbage by each step; steps complete late, on request on another
 * thread;
 * a result's arrays are overwritten at the next wait; rows that did not ask hold garbage; submissions are refused as busy, slow, or answered by loss at random.
 * It checks every clause of the step's contract and keeps the first violation as text. */
#ifndef TESTS_ENGINE_SUPPORT_SIMULATED_EXECUTOR_H
#define TESTS_ENGINE_SUPPORT_SIMULATED_EXECUTOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/executor.h"

struct simulation_options {
    struct executor_description description;
    bool threaded;
    uint64_t seed;
    uint32_t late_permille;   /* a wait times out although there is a step */
    uint32_t busy_permille;   /* a submit is refused */
    uint32_t lost_permille;   /* a submit or wait reports the loss */
    uint32_t failed_permille; /* a wait reports that its step failed */
    uint32_t open_failed_permille;
    uint32_t slow_microseconds; /* threaded: a step takes up to that long */
    int32_t eog_id;             /* its logit is lowered, so that answers have some length; -1: none */
    float eog_offset;
    int64_t lose_at_step;  /* counted over all executors of the factory; -1: never. For directed tests */
    int64_t nan_at_step;   /* this step's logits are NaN; -1 */
    bool changes_numerics; /* every opening has another numerics id */
    int32_t deadly_token;  /* an executor is lost by a step that holds this token; 0: none */
    int32_t lives_steps;   /* an executor is lost when so many steps came back; 0: it is not */
};

struct simulation; /* a factory of simulated executors, with counters over all of them */

struct simulation *simulation_create(const struct simulation_options *options);
void simulation_free(struct simulation *simulation);
struct executor_factory simulation_factory(struct simulation *simulation);

/* NULL, or the first violation of the contract. */
const char *simulation_violation(const struct simulation *simulation);

struct simulation_counts {
    uint64_t n_opened, n_steps, n_rows, n_copies, n_chained_rows, n_full_logit_rows, n_argmax_rows, n_busy, n_lost;
    int32_t max_rows_of_prefill; /* largest number of rows of one sequence in a step */
    int32_t max_gap;             /* steps a sequence slot was left out while others ran; see test */
};
struct simulation_counts simulation_get_counts(struct simulation *simulation);
void simulation_set_lose_at(struct simulation *simulation, int64_t step); /* -1: never */

/* The same model without blocks, steps or engine: the logits after tokens[0 .. n), for an oracle. */
void simulation_logits(const struct simulation_options *options, const int32_t *tokens, int32_t n, float *logits);
void simulation_hidden(const struct simulation_options *options, const int32_t *tokens, int32_t n, float *hidden);

#endif
