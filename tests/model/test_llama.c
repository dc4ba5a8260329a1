/* From a GGUF file to a program: the Llama family. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <unistd.h>

#include "chip/chip.h"
#include "model/model.h"
#include "tiny/tiny_model.h"

static void a_tiny_file_becomes_a_program_that_a_chip_runs(void **state)
{
    (void)state;
    struct tiny_model_options options = tiny_model_defaults();
    struct error err = {0};
    char path[TINY_MODEL_PATH];
    assert_int_equal(tiny_model_make(&options, path, &err), 0);
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_open(path, &checkpoint, &err), 0);
    struct arena arena;
    arena_init(&arena, 16 << 20);
    const struct program *program;
    if (model_write_program(checkpoint, NULL, &arena, &program, &err))
        fail_msg("%s", err.message);
    assert_int_equal(program->n_layers, 2);
    assert_int_equal(program->n_vocabulary, 288);
    assert_int_equal(program->n_ops, 1 + 2 * 9 + 4);

    struct chip *chip;
    struct plan *plan;
    struct plan_limits limits = {.max_tokens = 4, .max_sequences = 1, .max_logit_rows = 1, .max_context = 16, .n_blocks = {1}, .cache_type = TENSOR_F32};
    assert_int_equal(chip_open("reference", &chip, &err), 0);
    if (chip->interface->plan_create(chip, program, &limits, NULL, &plan, &err))
        fail_msg("%s", err.message);
    chip->interface->plan_free(plan);
    chip->interface->close(chip);
    arena_free(&arena);
    checkpoint_close(checkpoint);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tiny_file_becomes_a_program_that_a_chip_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
