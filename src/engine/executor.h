/* The executor: whatever runs a step for the engine. One chip in this process, a fleet, or a simulation in a test: the engine sees no difference.
 *
 * Memory for weights and cache belongs to the executor; the engine only hands out block numbers (per group, 0 .. n_blocks - 1). Steps run in the order of
 * submission; up to max_steps_in_flight are out at once. SAMPAN_ELOST from any call means: this executor is gone (its caches with it); the engine
 * closes it, opens another from the factory and rebuilds every stream from its token log. */
#ifndef ENGINE_EXECUTOR_H
#define ENGINE_EXECUTOR_H

#include <stdint.h>

#include "base/error.h"
#include "base/step.h"

enum executor_guarantee { EXECUTOR_GUARANTEE_NONE, EXECUTOR_GUARANTEE_BATCH, EXECUTOR_GUARANTEE_SPLIT };

enum executor_group_kind {
    EXECUTOR_GROUP_ALL_POSITIONS, /* blocks of every position are needed: full attention, latent, sparse index */
    EXECUTOR_GROUP_WINDOW,        /* blocks wholly before position - window + 1 are never read again */
    EXECUTOR_GROUP_STATE,         /* one state per sequence (recurrent); snapshots in blocks */
};

struct executor_group {
    enum executor_group_kind kind;
    int32_t block_tokens;
    int32_t n_blocks;
    int32_t window; /* positions, for EXECUTOR_GROUP_WINDOW */
    uint64_t block_bytes;
};

struct executor_description {
    char numerics_id[192]; /* results are bit-identical within one id */
    enum executor_guarantee guarantee;
    int32_t n_vocabulary;
    int32_t max_tokens;    /* rows of a step */
    int32_t max_sequences; /* of a step, and number of slots */
    int32_t max_logit_rows;
    int32_t max_context;         /* positions of one sequence */
    int32_t max_steps_in_flight; /* at least 1 */
    int32_t max_top;
    int32_t hidden_width; /* of the rows for WANT_HIDDEN; 0: it gives none */
    int32_t n_groups;
    struct executor_group groups[STEP_MAX_GROUPS];
};

struct executor;

struct executor_interface {
    void (*describe)(const struct executor *executor, struct executor_description *description);
    /* The step and its arrays stay unchanged until it was waited for. */
    int (*submit)(struct executor *executor, const struct step *step, struct error *err);
    /* The oldest step in flight; SAMPAN_ETIMEOUT when it is not done in time (it stays in flight). */
    int (*wait)(struct executor *executor, uint64_t timeout_ns, struct step_result *result, struct error *err);
    void (*close)(struct executor *executor); /* abandons what is in flight */
};

struct executor {
    const struct executor_interface *interface;
};

/* Where executors come from: called at the start and after each loss. */
struct executor_factory {
    int (*open)(void *self, struct executor **executor, struct error *err);
    void *self;
};

#endif
