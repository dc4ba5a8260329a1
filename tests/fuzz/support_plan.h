/* A tiny model's program and a chip that runs it, for the targets that send steps and programs. */
#ifndef TESTS_FUZZ_SUPPORT_PLAN_H
#define TESTS_FUZZ_SUPPORT_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "chip/chip.h"
#include "chip/program.h"

void support_require(int condition, const char *what); /* aborts with a message */

const struct program *support_program(void);                      /* 1 layer, vocabulary 272; made once */
struct chip *support_chip(void);                                  /* the reference */
struct plan_limits support_limits(const struct program *program); /* 8 tokens, 3 sequences, 8 logit rows, context 64, blocks of 16, 6 of them */

/* The input as numbers, mostly small ones: a byte below 200 stands for itself less 8, the others for numbers at the edges. 0 behind its end. */
struct input {
    const uint8_t *bytes;
    size_t length;
};
int32_t support_number(struct input *input);

#endif
