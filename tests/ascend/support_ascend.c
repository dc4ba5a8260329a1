#include "ascend/support_ascend.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"

#define CHECK(call, error)                                                                                                                                     \
    do {                                                                                                                                                       \
        if (call)                                                                                                                                              \
            fail_msg("%s", (error).message);                                                                                                                   \
    } while (0)

void bench_open(struct bench *bench, const char *chip, int32_t n_layers)
{
    struct tiny_model_options options = tiny_model_defaults();
    struct model_options model_options = {0};
    struct chip_description description;
    struct error err = {0};
    *bench = (struct bench){0};
    options.hidden = 96;
    options.n_heads = 4;
    options.n_kv_heads = 2;
    options.head_width = 32;
    options.feed_forward = 160;
    options.context_length = 512;
    options.n_layers = n_layers ? n_layers : options.n_layers;
    arena_init(&bench->arena, 64 << 20);
    CHECK(tiny_model_make(&options, bench->path, &err), err);
    CHECK(checkpoint_open(bench->path, &bench->checkpoint, &err), err);
    CHECK(model_write_program(bench->checkpoint, &model_options, &bench->arena, &bench->program, &err), err);
    CHECK(chip_open(chip, &bench->chip, &err), err);
    bench->chip->interface->describe(bench->chip, &description);
    bench->vocabulary = bench->program->n_vocabulary;
    bench->limits = (struct plan_limits){.max_tokens = description.max_tokens ? description.max_tokens : 64,
                                         .max_sequences = 8,
                                         .max_logit_rows = 16,
                                         .max_context = BENCH_CONTEXT,
                                         .block_tokens = description.block_tokens,
                                         .n_blocks = {BENCH_BLOCKS},
                                         .cache_type = description.cache_type};
    CHECK(bench->chip->interface->plan_create(bench->chip, bench->program, &bench->limits, NULL, &bench->plan, &err), err);
}

void bench_close(struct bench *bench)
{
    if (bench->plan)
        bench->chip->interface->plan_free(bench->plan);
    if (bench->chip)
        bench->chip->interface->close(bench->chip);
    checkpoint_close(bench->checkpoint);
    arena_free(&bench->arena);
    unlink(bench->path);
}

void bench_step(struct bench *bench, struct stepper *stepper, float *logits, int32_t *argmax)
{
    struct step_result result;
    struct error err = {0};
    CHECK(bench->plan->interface->plan_submit(bench->plan, &stepper->step, &err), err);
    CHECK(bench->plan->interface->plan_wait(bench->plan, UINT64_MAX, &result, &err), err);
    assert_int_equal(result.n_logit_rows, stepper->step.n_logit_rows);
    if (logits && result.logits)
        memcpy(logits, result.logits, (size_t)result.n_logit_rows * (size_t)bench->vocabulary * sizeof *logits);
    if (argmax && result.argmax)
        memcpy(argmax, result.argmax, (size_t)result.n_logit_rows * sizeof *argmax);
}

void bench_tokens(const struct bench *bench, int32_t sequence, int32_t position, int32_t n, int32_t *tokens)
{
    for (int32_t i = 0; i < n; i++)
        tokens[i] = (sequence * 37 + (position + i) * 11 + (position + i) / 7) % bench->vocabulary;
}

void bench_add(struct bench *bench, struct stepper *stepper, int32_t sequence, int32_t position, int32_t n)
{
    int32_t tokens[512], table[4];
    bench_tokens(bench, sequence, position, n, tokens);
    for (int32_t i = 0; i < 4; i++)
        table[i] = 4 * sequence + i;
    stepper_add(stepper, position, n, tokens, table, 4);
}

/* One step of the schedule; returns what it wrote. */
static int64_t run_one(struct bench *bench, struct stepper *stepper, float *logits, int64_t capacity, int64_t at)
{
    int64_t n = (int64_t)stepper->step.n_logit_rows * bench->vocabulary;
    assert_true(at + n <= capacity);
    bench_step(bench, stepper, logits + at, NULL);
    return at + n;
}

int64_t bench_run_schedule(struct bench *bench, float *logits, int64_t capacity)
{
    static struct stepper stepper;
    static const int32_t wants = WANT_LOGITS | WANT_ARGMAX;
    int32_t lengths[3] = {0, 0, 0};
    int64_t at = 0;
    const struct {
        int32_t rows[3]; /* of each sequence */
        bool chained;    /* tokens are the argmax of the step before */
    } schedule[] = {
        {{60, 0, 0}, false}, {{60, 0, 0}, false}, {{20, 0, 0}, false}, {{0, 5, 0}, false}, {{1, 1, 0}, false},  {{1, 1, 0}, true},  {{1, 1, 0}, true},
        {{1, 1, 30}, false}, {{1, 1, 1}, false},  {{1, 1, 1}, true},   {{1, 0, 0}, false}, {{0, 1, 11}, false}, {{1, 1, 1}, false},
    };
    for (size_t i = 0; i < sizeof schedule / sizeof schedule[0]; i++) {
        stepper_init(&stepper);
        for (int32_t s = 0; s < 3; s++) {
            int32_t n = schedule[i].rows[s];
            if (n == 0)
                continue;
            bench_add(bench, &stepper, s, lengths[s], n);
            lengths[s] += n;
            stepper_want(&stepper, stepper.step.n_tokens - 1, wants);
            if (schedule[i].chained)
                stepper.token_sources[stepper.step.n_tokens - 1] = stepper.step.n_sequences - 1;
        }
        if (schedule[i].chained)
            stepper.step.token_sources = stepper.token_sources;
        at = run_one(bench, &stepper, logits, capacity, at);
    }
    return at;
}

uint64_t emulator_count(const char *name)
{
    static uint64_t (*count)(const char *);
    if (!count) {
        char path[512];
        snprintf(path, sizeof path, "%s/lib64/libascend_emulator.so", getenv("ASCEND_HOME_PATH") ? getenv("ASCEND_HOME_PATH") : "");
        void *library = dlopen(path, RTLD_NOW);
        void *symbol = library ? dlsym(library, "ascendEmulatorCount") : NULL;
        assert_non_null(symbol);
        memcpy(&count, &symbol, sizeof count);
    }
    return count(name);
}
