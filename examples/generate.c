/* One answer, printed while it is made: the shortest way through sampan.h.
 *
 *     generate MODEL "What is the capital of France?"
 *
 * Opens a model, loads it on the best chip there is, turns one chat message into tokens by the model's own template, and lets sampan_generate call back with
 * each piece of text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sampan.h>

static int fail(const char *doing)
{
    fprintf(stderr, "generate: %s: %s\n", doing, sampan_error_message());
    return 1;
}

/* Called with each event; a non-zero return would stop the answer. */
static int print_text(void *self, const struct sampan_event *event)
{
    (void)self;
    fwrite(event->text, 1, event->text_length, stdout);
    fflush(stdout);
    return ferror(stdout);
}

/* {"messages": [{"role": "user", "content": TEXT}], "add_generation_prompt": true}; the caller frees it. */
static char *make_conversation(const char *text)
{
    static const char head[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"", tail[] = "\"}], \"add_generation_prompt\": true}";
    char *json = malloc(sizeof head + 6 * strlen(text) + sizeof tail); /* a byte becomes six at most */
    if (!json)
        return NULL;
    char *to = json + sprintf(json, "%s", head);
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\')
            to += sprintf(to, "\\u%04x", (unsigned char)*text);
        else
            *to++ = *text;
    }
    memcpy(to, tail, sizeof tail);
    return json;
}

static int answer(const sampan_model *model, sampan_engine *engine, const char *text)
{
    struct sampan_request request = {.size = sizeof request};
    int32_t *prompt = NULL;
    char *conversation = make_conversation(text);
    if (!conversation)
        return 1;
    int code = sampan_chat_tokenize(model, conversation, strlen(conversation), &prompt, &request.n_prompt);
    free(conversation);
    if (code)
        return fail("reading the message");
    request.prompt = prompt;
    request.max_tokens = 256;
    request.temperature = 0; /* greedy: the same answer each time */
    code = sampan_generate(engine, &request, print_text, NULL);
    sampan_free(prompt);
    putchar('\n');
    return code ? fail("answering") : 0;
}

int main(int argc, char **argv)
{
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    int status;
    if (argc != 3) {
        fprintf(stderr, "usage: generate MODEL MESSAGE\n");
        return 2;
    }
    if (sampan_model_open(argv[1], &model))
        return fail("opening the model");
    if (sampan_engine_open(model, NULL, &engine)) /* NULL: all defaults */
        status = fail("loading the model");
    else
        status = answer(model, engine, argv[2]);
    sampan_engine_close(engine);
    sampan_model_close(model);
    return status;
}
