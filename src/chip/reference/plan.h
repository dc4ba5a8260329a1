/* Compiling for the reference chip: private to chip/reference/. */
#ifndef CHIP_REFERENCE_PLAN_H
#define CHIP_REFERENCE_PLAN_H

#include "chip/reference/reference.h"

#define REFERENCE_NUMERICS_ID "reference:1"
#define REFERENCE_BLOCK_TOKENS 16

/* One row per kind of operation. */
struct reference_operation {
    void (*run)(struct reference_plan *plan, const struct step *step, const struct op *op);
};
extern const struct reference_operation reference_operations[OP_KIND_COUNT];

int reference_plan_create(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress,
                          struct plan **plan, struct error *err);
int reference_plan_estimate(const char *profile, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                            struct weight_estimate *weights, struct error *err);
void reference_plan_free(struct plan *plan);

#endif
