#include "support_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tiny/tiny_model.h"

static char tiny_path[TINY_MODEL_PATH];

static void remove_tiny_model(void)
{
    unlink(tiny_path);
}

const char *support_tiny_model(void)
{
    struct tiny_model_options options = tiny_model_defaults();
    struct error err;
    if (tiny_path[0])
        return tiny_path;
    if (tiny_model_make(&options, tiny_path, &err)) {
        fprintf(stderr, "making a tiny model: %s\n", err.message);
        exit(1);
    }
    atexit(remove_tiny_model);
    return tiny_path;
}

const char *support_default_model(void)
{
    const char *path = getenv("SAMPAN_TEST_MODEL");
    if (!path)
        path = SOURCE_ROOT "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    return access(path, R_OK) == 0 ? path : NULL;
}
