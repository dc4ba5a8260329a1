/* Any bytes as a conversation, rendered and tokenized by a tiny model's ChatML template: an error with a reason, or a prompt with no more control tokens
 * than it shows. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sampan.h"
#include "tiny/tiny_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz_conversation: %s\n", what);
        abort();
    }
}

static const sampan_model *open_model(void)
{
    static sampan_model *model;
    struct tiny_model_options options = tiny_model_defaults();
    char path[TINY_MODEL_PATH];
    if (model)
        return model;
    require(tiny_model_make(&options, path, NULL) == 0 && sampan_model_open(path, &model) == 0, "no tiny model");
    unlink(path);
    return model;
}

/* What the template writes into a prompt, as often as it stands there. */
static size_t count(const char *text, size_t length, const char *what)
{
    size_t n = 0, size = strlen(what);
    for (size_t i = 0; i + size <= length; i++)
        n += memcmp(text + i, what, size) == 0;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const sampan_model *model = open_model();
    const char *conversation = (const char *)(length ? bytes : (const uint8_t *)"");
    char *text;
    int32_t *ids;
    size_t text_length, n_ids, n_control = 0;
    if (length > 1 << 16)
        return 0;
    int code = sampan_chat_render(model, conversation, length, &text, &text_length);
    require(!code || sampan_error_message()[0], "an error without a reason");
    if (!code && sampan_chat_tokenize(model, conversation, length, &ids, &n_ids) == 0) {
        for (size_t i = 0; i < n_ids; i++)
            n_control += ids[i] < TINY_FIRST_BYTE;
        require(n_control <= count(text, text_length, "<|im_start|>") + count(text, text_length, "<|im_end|>") + count(text, text_length, "<|endoftext|>"),
                "more control tokens than the prompt shows");
        sampan_free(ids);
    }
    sampan_free(text);
    return 0;
}
