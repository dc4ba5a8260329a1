/* Small programs with random weights in memory, and steps over them: what the tests of chip/ share. */
#ifndef TESTS_CHIP_SUPPORT_PROGRAM_H
#define TESTS_CHIP_SUPPORT_PROGRAM_H

#include "base/arena.h"
#include "chip/chip.h"

struct small_model_options {
    int32_t n_layers, hidden, n_heads, n_kv_heads, head_width, feed_forward, n_vocabulary;
    int32_t rotary_width;
    int32_t window;        /* 0: full attention; else every second layer sees a window, in a cache group of its own */
    int32_t segments;      /* of attention output and feed-forward down */
    enum tensor_type type; /* of the linears */
    enum rope_pairing pairing;
    bool biases;
    bool head_norms; /* RMS norm of each query and key head */
    float embed_scale;
};

struct small_model_options small_model_defaults(void); /* 2 layers, hidden 32, 4 heads over 2 of 8, feed-forward 64, vocabulary 50, F32 */
/* A decoder as model/ would write it; everything lives in the arena. Fails the running test where it cannot. */
const struct program *small_model_make(struct arena *arena, const struct small_model_options *options);

/* A weight of `rows` x `columns` in arena memory with the given values (F32). */
int32_t add_values(struct program_builder *builder, const char *name, enum weight_role role, int64_t rows, int64_t columns, const float *values);

/* Limits that fit small tests: 64 tokens, 8 sequences, 64 logit rows, context 512, blocks of 16, 64 blocks per group, cache F32, keep_buffers. */
struct plan_limits small_limits(const struct program *program);
struct plan *make_plan(struct chip *chip, const struct program *program, const struct plan_limits *limits);

/* A piece of a sequence in a step: tokens[first .. first + count) of it. */
struct piece {
    const int32_t *tokens; /* the whole sequence */
    int32_t first, count;
    const int32_t *blocks; /* its block table, the same for every group */
    int32_t slot;
};

/* Runs a step of these pieces; logits [rows of all pieces, n_vocabulary] of every row. `block_tokens` as in the plan's limits. */
void run_pieces(struct plan *plan, const struct program *program, int32_t block_tokens, const struct piece *pieces, int32_t n_pieces, float *logits);

#endif
