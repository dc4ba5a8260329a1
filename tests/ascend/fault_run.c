/* One short generation through the public interface, for fault_sweep.py: two requests at once, the second one's prompt long enough to be queued call by call.
 *
 *   fault_run MODEL CHIP       prints "tokens ..." for each request, "rebuilds N calls N" and exits with 0; or "error: ..." and exits with 3 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sampan.h"

enum { REQUESTS = 2, ANSWER = 6, LONGEST = 24 };

static int fail(const char *what)
{
    printf("error: %s: %s\n", what, sampan_error_message());
    return 3;
}

static uint64_t count_calls(void)
{
    char path[512];
    uint64_t (*count)(const char *) = NULL;
    const char *home = getenv("ASCEND_HOME_PATH");
    snprintf(path, sizeof path, "%s/lib64/libascend_emulator.so", home ? home : "");
    void *library = dlopen(path, RTLD_NOW), *symbol = library ? dlsym(library, "ascendEmulatorCount") : NULL;
    memcpy(&count, &symbol, sizeof count);
    return count ? count("calls") : 0;
}

struct answer {
    uint64_t id;
    int32_t tokens[ANSWER];
    int n;
};

static int submit(sampan_engine *engine, struct answer *answer, int which)
{
    int32_t prompt[LONGEST];
    struct sampan_request request = {.size = sizeof request, .prompt = prompt, .n_prompt = which ? LONGEST : 5, .max_tokens = ANSWER, .ignore_end = 1};
    for (int32_t i = 0; i < LONGEST; i++)
        prompt[i] = (which * 31 + i * 7) % 200 + 20;
    return sampan_submit(engine, &request, &answer->id);
}

static int collect(sampan_engine *engine, struct answer *answers)
{
    for (int open = REQUESTS; open > 0;) {
        struct sampan_event event = {.size = sizeof event};
        int code = sampan_next_event(engine, UINT64_C(20000000000), &event);
        if (code)
            return fail("waiting for an answer");
        struct answer *answer = event.request == answers[0].id ? &answers[0] : &answers[1];
        for (int32_t i = 0; i < event.n_tokens && answer->n < ANSWER; i++)
            answer->tokens[answer->n++] = event.tokens[i];
        if (event.finish == SAMPAN_FINISH_ERROR) {
            printf("error: request %d: %s\n", answer == &answers[1], event.message);
            return 3;
        }
        open -= event.finish != SAMPAN_FINISH_NONE;
        if (event.finish != SAMPAN_FINISH_NONE)
            sampan_release(engine, event.request);
    }
    return 0;
}

int main(int argc, char **argv)
{
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    struct answer answers[REQUESTS] = {{0}};
    struct sampan_statistics statistics = {.size = sizeof statistics};
    if (argc != 3)
        return 2;
    struct sampan_engine_options options = {.size = sizeof options, .chip = argv[2], .context = 64, .max_sequences = 2, .cache_bytes = 4 << 20};
    if (sampan_model_open(argv[1], &model))
        return fail("opening the model");
    int status = sampan_engine_open(model, &options, &engine) ? fail("opening the engine") : 0;
    for (int i = 0; !status && i < REQUESTS; i++)
        status = submit(engine, &answers[i], i) ? fail("submitting") : 0;
    if (!status)
        status = collect(engine, answers);
    if (engine)
        sampan_engine_statistics(engine, &statistics);
    for (int i = 0; !status && i < REQUESTS; i++) {
        printf("tokens");
        for (int n = 0; n < answers[i].n; n++)
            printf(" %" PRId32, answers[i].tokens[n]);
        printf("\n");
    }
    sampan_engine_close(engine);
    sampan_model_close(model);
    if (!status)
        printf("rebuilds %" PRIu64 " calls %" PRIu64 "\n", statistics.n_rebuilds, count_calls());
    return status;
}
