#include "support_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "file/checkpoint.h"
#include "model/model.h"
#include "tiny/tiny_model.h"

void support_require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

const struct program *support_program(void)
{
    static const struct program *program;
    static struct arena arena;
    struct tiny_model_options options = tiny_model_defaults();
    struct model_options model = {0};
    char path[TINY_MODEL_PATH];
    static struct checkpoint *checkpoint; /* its files are read as long as the program is used */
    if (program)
        return program;
    arena_init(&arena, 64u << 20);
    options.type = options.embedding_type = TENSOR_F32;
    options.n_layers = options.n_kv_heads = 1; /* small: every input makes a plan of its own */
    options.n_heads = 2;
    options.hidden = options.feed_forward = 32;
    options.n_vocabulary = 272;
    support_require(tiny_model_make(&options, path, NULL) == 0 && checkpoint_open(path, &checkpoint, NULL) == 0, "no tiny model");
    support_require(model_write_program(checkpoint, &model, &arena, &program, NULL) == 0, "no program");
    unlink(path);
    return program; /* its weights are read from the open file */
}

struct chip *support_chip(void)
{
    static struct chip *chip;
    if (!chip)
        support_require(chip_open("reference", &chip, NULL) == 0, "no reference chip");
    return chip;
}

struct plan_limits support_limits(const struct program *program)
{
    struct plan_limits limits = {.max_tokens = 8, .max_sequences = 3, .max_logit_rows = 8, .max_context = 64, .block_tokens = 16, .cache_type = TENSOR_F32};
    for (int32_t g = 0; g < program->n_groups && g < STEP_MAX_GROUPS; g++)
        limits.n_blocks[g] = 6;
    return limits;
}

int32_t support_number(struct input *input)
{
    static const int32_t edges[] = {INT32_MIN, INT32_MAX, INT32_MIN + 1, INT32_MAX - 1, -1000,      1000,      65536, -65536, 288, 287,
                                    64,        63,        256,           1 << 30,       0x55555555, -(1 << 30)};
    if (!input->length)
        return 0;
    uint8_t byte = *input->bytes++;
    input->length--;
    return byte < 200 ? byte - 8 : edges[byte % 16];
}
