/* Memory that runs out at each allocation in turn, from opening a model to the end of an answer: an error code or the answer, never a crash or a hang. Leaks
 * show in the sanitized build. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "sampan.h"
#include "support_model.h"

enum { MOST_ALLOCATIONS = 200000 };

static int chat_once(void)
{
    const char *conversation = "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"add_generation_prompt\": true}";
    struct sampan_engine_options options = {.size = sizeof options, .max_sequences = 1, .context = 128, .threads = 1};
    struct sampan_request request = {.size = sizeof request, .max_tokens = 4, .ignore_end = 1};
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    int32_t *ids = NULL;
    int code = sampan_model_open(support_tiny_model(), &model);
    if (!code)
        code = sampan_chat_tokenize(model, conversation, strlen(conversation), &ids, &request.n_prompt);
    if (!code)
        code = sampan_engine_open(model, &options, &engine);
    request.prompt = ids;
    if (!code)
        code = sampan_generate(engine, &request, NULL, NULL);
    sampan_free(ids);
    sampan_engine_close(engine);
    sampan_model_close(model);
    return code;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_int_equal(chat_once(), 0); /* once before counting: it also makes the model */
    uint64_t before = mem_allocation_count();
    assert_int_equal(chat_once(), 0);
    int64_t n = (int64_t)(mem_allocation_count() - before);
    int64_t step = n / 1500 + 1; /* all of them while they are few */
    int failures = 0, runs = 0;
    assert_true(n > 50 && n < MOST_ALLOCATIONS);
    for (int64_t i = 0; i < n; i += i < 200 ? 1 : step) {
        mem_fail_after(i);
        int code = chat_once();
        mem_fail_after(-1);
        runs++;
        failures += code != 0;
        if (code && strlen(sampan_error_message()) == 0)
            fail_msg("allocation %lld: code %d without a message", (long long)i, code);
    }
    print_message("%lld allocations, %d made to fail, %d of them an error\n", (long long)n, runs, failures);
    assert_true(failures > runs * 3 / 4); /* the others can be done without: compiled patterns, what is known of the machine */
    assert_int_equal(chat_once(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
