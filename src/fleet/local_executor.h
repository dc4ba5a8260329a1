/* The executor of one chip in this process: opens the chip, has the program compiled, sizes the cache, and passes steps through. A factory, so that the engine
 * can open it again after a loss. */
#ifndef FLEET_LOCAL_EXECUTOR_H
#define FLEET_LOCAL_EXECUTOR_H

#include "chip/chip.h"
#include "engine/executor.h"

struct local_executor_options {
    const char *chip;              /* "cpu:avx2,threads=2"; NULL: auto */
    const struct program *program; /* outlives the factory, with its files */
    int32_t max_context;           /* positions of one sequence; 0: the model's, as far as cache memory allows */
    int32_t max_tokens;            /* rows of a step; 0: 512 */
    int32_t max_sequences;         /* 0: 16 */
    int32_t block_tokens;          /* 0: the chip's preference */
    uint64_t cache_bytes;          /* 0: sized from what is free, at most what max_sequences full contexts need */
    enum tensor_type cache_type;   /* TENSOR_F16 by default for cpu; the reference chip takes TENSOR_F32 */
    bool cache_type_given;         /* false: the chip's default */
    struct progress progress;
};

struct local_factory;

int local_factory_create(const struct local_executor_options *options, struct local_factory **factory, struct error *err);
void local_factory_free(struct local_factory *factory); /* after the engine; NULL is legal */
struct executor_factory local_factory_interface(struct local_factory *factory);

/* The description of the plan last opened: sizes and numerics id, for reports. False before the first open. */
bool local_factory_describe(const struct local_factory *factory, struct chip_description *chip, struct plan_description *plan, struct plan_limits *limits);

/* For tests and drills: the executor reports SAMPAN_ELOST at its n-th submit from now on (0 = the next); -1: never. */
void local_factory_lose_after(struct local_factory *factory, int64_t n);

#endif
