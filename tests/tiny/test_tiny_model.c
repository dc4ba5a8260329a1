/* tests/tiny: the tiny models are what other tests believe they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "tiny/random_blocks.h"
#include "tiny/tiny_model.h"

static void the_same_options_give_the_same_bytes_and_another_seed_others(void **state)
{
    (void)state;
    struct tiny_model_options options = tiny_model_defaults();
    struct buffer first, second, third;
    struct error err;
    buffer_init(&first, SIZE_MAX / 2);
    buffer_init(&second, SIZE_MAX / 2);
    buffer_init(&third, SIZE_MAX / 2);
    assert_int_equal(tiny_model_build(&options, &first, &err), 0);
    assert_int_equal(tiny_model_build(&options, &second, &err), 0);
    options.seed++;
    assert_int_equal(tiny_model_build(&options, &third, &err), 0);
    assert_int_equal(first.length, second.length);
    assert_memory_equal(first.data, second.data, first.length);
    assert_int_equal(first.length, third.length);
    assert_memory_not_equal(first.data, third.data, first.length);
    assert_true(first.length < 200000);
    buffer_free(&first);
    buffer_free(&second);
    buffer_free(&third);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct buffer file;
    struct error err;
    buffer_init(&file, SIZE_MAX / 2);
    struct tiny_model_options options = tiny_model_defaults();
    options.hidden = 48; /* no multiple of a block of 32 */
    assert_int_equal(tiny_model_build(&options, &file, &err), SAMPAN_EINVAL);
    options = tiny_model_defaults();
    options.n_kv_heads = 3;
    assert_int_equal(tiny_model_build(&options, &file, &err), SAMPAN_EINVAL);
    options = tiny_model_defaults();
    options.n_vocabulary = 100;
    assert_int_equal(tiny_model_build(&options, &file, &err), SAMPAN_EINVAL);
    options.tokenizer = false;
    assert_int_equal(tiny_model_build(&options, &file, &err), 0);
    buffer_free(&file);
}

static void random_weights_of_every_type_have_the_deviation_asked_for(void **state)
{
    (void)state;
    enum { N = 256 * 400 };
    float *values = mem_alloc_array(N, sizeof *values);
    unsigned char *bytes = mem_alloc_array(N, sizeof *values);
    assert_non_null(values);
    assert_non_null(bytes);
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (type == TENSOR_I32)
            continue;
        struct random random = {7};
        random_weights(&random, (enum tensor_type)type, 0.05f, bytes, N);
        tensor_types[type].to_float(bytes, values, N);
        double sum = 0, squares = 0;
        for (int i = 0; i < N; i++) {
            assert_true(isfinite(values[i]));
            sum += (double)values[i];
            squares += (double)values[i] * (double)values[i];
        }
        double deviation = sqrt(squares / N);
        if (deviation < 0.04 || deviation > 0.06 || fabs(sum / N) > 0.005)
            fail_msg("%s: mean %g, deviation %g", tensor_types[type].name, sum / N, deviation);
    }
    mem_free(values);
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_options_give_the_same_bytes_and_another_seed_others),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(random_weights_of_every_type_have_the_deviation_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
