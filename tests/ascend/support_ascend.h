/* A tiny model on the emulated device: a plan, a schedule of steps that meets every kind of shape, and the emulator's figures. */
#ifndef TESTS_SUPPORT_ASCEND_H
#define TESTS_SUPPORT_ASCEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "checkchip/checkchip.h"
#include "chip/chip.h"
#include "file/checkpoint.h"
#include "tiny/tiny_model.h"

struct bench { /* a model, a chip, a plan */
    char path[TINY_MODEL_PATH];
    struct arena arena;
    struct checkpoint *checkpoint;
    const struct program *program;
    struct plan_limits limits;
    struct chip *chip;
    struct plan *plan;
    uint64_t next_step;
    int32_t vocabulary;
};

#define BENCH_CONTEXT 400
#define BENCH_BLOCKS 24

/* The test fails where something goes wrong. n_layers 0: the default. */
void bench_open(struct bench *bench, const char *chip, int32_t n_layers);
void bench_close(struct bench *bench);

/* Submits and waits; `logits` [n_logit_rows, vocabulary] and `argmax` may be NULL. */
void bench_step(struct bench *bench, struct stepper *stepper, float *logits, int32_t *argmax);

/* Tokens of a sequence, made up from its number and their positions. */
void bench_tokens(const struct bench *bench, int32_t sequence, int32_t position, int32_t n, int32_t *tokens);
/* n rows of `sequence` from `position` on; its blocks are 4 * sequence and following. */
void bench_add(struct bench *bench, struct stepper *stepper, int32_t sequence, int32_t position, int32_t n);

/* Long and short prompts, decoding of one, two and three sequences with chained tokens, prompts beside decoding. Returns how many floats of logits it wrote. */
int64_t bench_run_schedule(struct bench *bench, float *logits, int64_t capacity);

uint64_t emulator_count(const char *name);

#endif
