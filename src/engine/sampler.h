/* The sampler: from a row of logits to a token. A pure function of (logits row, parameters, token log, position); there is no hidden state.
 *
 * Order: what a grammar does not allow is left out -> biases -> bans (-inf biases, banned sequences, tokens that end an answer before min_tokens) ->
 * repetition, presence, frequency penalties -> temperature -> top-k -> top-p -> min-p -> typical-p -> one draw.
 * Each step works on what the one before left; shares are of the mass that is left.
 *
 * Definitions. Candidates are ordered by logit, descending, ties by ascending id. top-k keeps the first k of them. top-p keeps the shortest beginning whose
 * share of the remaining mass reaches p. min-p keeps those with at least min_p times the first one's probability. typical-p orders them anew by
 * |-ln(probability) - entropy|, which is the distance of a logit (over temperature) from its mean, ties by ascending id, and keeps the shortest beginning
 * whose share reaches p (Meister et al. 2022). The draw takes, in the order by logit, the first candidate at which the running sum of the masses exceeds u
 * times their total, u = Philox4x32-10(seed, choice, position) in [0, 1).
 *
 * Bits. Weights are exp((logit - largest) / temperature) in double, with an exponential of our own (sampler.c), so that no C library decides a token. Sums run
 * in a fixed order: with 0 < top_k <= 1,024 along the candidates; otherwise candidates are first binned (1/32 nat), each bin summed by ascending id and
 * bins added in the order of candidates. Only the bins in which a cut or the draw falls are sorted: a whole vocabulary is never sorted.
 *
 * Cost: two or three passes over the row, three more with typical-p; 50,000 tokens take well below a millisecond. Thread: one at a time per sampler. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/engine.h"

#define SAMPLER_BINS 1024
#define SAMPLER_BINS_PER_NAT 32
#define SAMPLER_MAX_HEAP 1024 /* largest top-k that is selected by a heap instead of bins */

struct sampler_candidate {
    double distance; /* (logit - largest) / temperature, at most 0; in the order of typical-p: minus the distance from the mean */
    int32_t id;
};

struct sampler {
    int32_t n_vocabulary;
    float *row;                           /* [n_vocabulary] penalised copy */
    int32_t *output_counts;               /* [n_vocabulary] zero between calls */
    unsigned char *seen;                  /* [n_vocabulary] zero between calls */
    double *weights;                      /* [n_vocabulary] */
    uint16_t *bins;                       /* [n_vocabulary], SAMPLER_BINS: no candidate any more */
    struct sampler_candidate *candidates; /* [n_vocabulary] */
    struct sampler_candidate short_list[SAMPLER_MAX_HEAP];
    double bin_mass[SAMPLER_BINS];
    int32_t bin_count[SAMPLER_BINS];
};

/* What a draw depends on. */
struct sampler_input {
    const float *logits; /* [n_vocabulary] */
    const struct sampling_parameters *parameters;
    const int32_t *tokens; /* [n_tokens] token log: prompt, then output; the draw's position is n_tokens */
    int32_t n_prompt;
    int32_t n_tokens;
    const int32_t *held_back; /* [n_held_back] not chosen this time */
    int32_t n_held_back;
    const uint32_t *allowed; /* bit id % 32 of word id / 32, for n_allowed ids: tokens that may be chosen, none beyond; NULL: all */
    int32_t n_allowed;
    const int32_t *ends; /* [n_ends] tokens that may be chosen beside those of `allowed` */
    int32_t n_ends;
};

int sampler_init(struct sampler *sampler, int32_t n_vocabulary, struct error *err);
void sampler_free(struct sampler *sampler);

/* SAMPAN_EINVAL names the parameter, its value and its range; SAMPAN_ELIMIT the list that is too long. */
int sampling_parameters_check(const struct sampling_parameters *parameters, int32_t n_vocabulary, struct error *err);
bool sampling_parameters_are_plain_greedy(const struct sampling_parameters *parameters); /* the token is the row's argmax */

/* SAMPAN_EINTERNAL: a logit is NaN, or no token is possible. */
int sampler_choose(struct sampler *sampler, const struct sampler_input *input, int32_t *token, struct error *err);

/* The model's own log-probabilities of a row (before penalties, temperature and truncation): out[0] is `chosen` unless that is -1, the rest the n_top
 * largest, descending, ties by ascending id. n_top at most LIMIT_LOGPROBS; entries beyond the vocabulary get id -1. */
int sampler_log_probabilities(struct sampler *sampler, const float *logits, int32_t chosen, int32_t n_top, struct engine_logprob *out, struct error *err);

#endif
