#include "support_scenarios.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "sampan.h"
#include "support_models.h"

#define CONVERSATION                                                                                                                                           \
    "{\"messages\": [{\"role\": \"system\", \"content\": \"be brief\"}, {\"role\": \"user\", \"content\": \"hello 12\"}], \"add_generation_prompt\": true, "   \
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"a\": [1, 2.5, null, \"\\u00e9\"]}}}]}"

static void hash_bytes(uint64_t *digest, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        *digest = (*digest ^ ((const unsigned char *)bytes)[i]) * 0x100000001B3u;
}

static void hash_number(uint64_t *digest, int64_t number)
{
    hash_bytes(digest, &number, sizeof number);
}

static const char *model_path(const struct scenario *scenario)
{
    return strcmp(scenario->model, "folder") == 0 ? support_folder() : support_gguf();
}

static int take_message(int code, char *message)
{
    if (code)
        snprintf(message, ERROR_MESSAGE_SIZE, "%s", sampan_error_message());
    return code;
}

/* ---- Models and text. */

static int use_text(const sampan_model *model, uint64_t *digest)
{
    int32_t *ids = NULL;
    size_t n_ids = 0, length = 0;
    char *text = NULL;
    int code = sampan_tokenize(model, "hello hello, 42 worlds", 22, SAMPAN_TOKENIZE_BOS_EOS, &ids, &n_ids);
    if (!code) {
        hash_bytes(digest, ids, n_ids * sizeof *ids);
        code = sampan_detokenize(model, ids, n_ids, SAMPAN_DETOKENIZE_CONTROL, &text, &length);
    }
    if (!code)
        hash_bytes(digest, text, length);
    sampan_free(ids);
    sampan_free(text);
    ids = NULL;
    text = NULL;
    if (!code)
        code = sampan_chat_render(model, CONVERSATION, strlen(CONVERSATION), &text, &length);
    if (!code) {
        hash_bytes(digest, text, length);
        code = sampan_chat_tokenize(model, CONVERSATION, strlen(CONVERSATION), &ids, &n_ids);
    }
    if (!code)
        hash_bytes(digest, ids, n_ids * sizeof *ids);
    sampan_free(ids);
    sampan_free(text);
    return code;
}

static int run_open(const struct scenario *scenario, uint64_t *digest, char *message)
{
    sampan_model *model = NULL;
    struct sampan_model_description description = {.size = sizeof description};
    int code = sampan_model_open(model_path(scenario), &model);
    if (!code)
        code = sampan_model_describe(model, &description);
    if (!code) {
        hash_number(digest, (int64_t)description.n_parameters);
        hash_bytes(digest, description.name, strlen(description.name));
        hash_number(digest, description.n_vocabulary);
        hash_number(digest, description.has_chat_template);
        code = use_text(model, digest);
    }
    take_message(code, message);
    sampan_model_close(model);
    return code;
}

/* ---- Engines. */

struct opened {
    sampan_model *model;
    sampan_engine *engine;
};

static int open_engine(const struct scenario *scenario, struct opened *opened)
{
    struct sampan_engine_options options = {
        .size = sizeof options, .chip = scenario->chip, .max_sequences = 4, .max_step_tokens = 16, .context = 96, .threads = 2};
    if (strcmp(scenario->chip, "reference") == 0)
        options.threads = 0;
    *opened = (struct opened){0};
    int code = sampan_model_open(model_path(scenario), &opened->model);
    return code ? code : sampan_engine_open(opened->model, &options, &opened->engine);
}

static void close_engine(struct opened *opened)
{
    sampan_engine_close(opened->engine);
    sampan_model_close(opened->model);
}

/* How an answer falls into events is chance: each kind of content has a digest of its own. */
struct answer_digest {
    uint64_t tokens, text, logprobs, prompt_logprobs, end;
};

static int collect(void *self, const struct sampan_event *event)
{
    struct answer_digest *answer = self;
    hash_bytes(&answer->tokens, event->tokens, (size_t)event->n_tokens * sizeof *event->tokens);
    hash_bytes(&answer->text, event->text, event->text_length);
    hash_bytes(&answer->logprobs, event->logprobs, (size_t)event->n_tokens * (size_t)event->n_logprobs * sizeof *event->logprobs);
    hash_bytes(&answer->prompt_logprobs, event->prompt_logprobs,
               (size_t)event->n_prompt_positions * (size_t)event->n_prompt_logprobs * sizeof *event->prompt_logprobs);
    if (event->finish)
        hash_number(&answer->end, event->finish);
    return 0;
}

static const int32_t prompt[] = {5, 17, 90, 31, 8, 44, 45, 46};
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

static int run_generate(const struct scenario *scenario, uint64_t *digest, char *message)
{
    struct opened opened;
    struct answer_digest answer = {0};
    struct sampan_request request = {.size = sizeof request, .prompt = prompt, .n_prompt = N_PROMPT, .max_tokens = 5, .ignore_end = 1};
    int code = open_engine(scenario, &opened);
    if (!code)
        code = sampan_generate(opened.engine, &request, collect, &answer);
    hash_bytes(digest, &answer, sizeof answer);
    take_message(code, message);
    close_engine(&opened);
    return code;
}

static int run_score(const struct scenario *scenario, uint64_t *digest, char *message)
{
    struct opened opened;
    struct sampan_logprob *logprobs = NULL;
    int code = open_engine(scenario, &opened);
    if (!code)
        code = sampan_score(opened.engine, prompt, N_PROMPT, 3, &logprobs);
    if (!code)
        hash_bytes(digest, logprobs, N_PROMPT * 3 * sizeof *logprobs);
    take_message(code, message);
    sampan_free(logprobs);
    close_engine(&opened);
    return code;
}

static int run_embed(const struct scenario *scenario, uint64_t *digest, char *message)
{
    struct opened opened;
    float *embedding = NULL;
    size_t width = 0;
    int code = open_engine(scenario, &opened);
    if (!code)
        code = sampan_embed(opened.engine, prompt, N_PROMPT, SAMPAN_POOLING_MEAN, 1, &embedding, &width);
    if (!code)
        hash_bytes(digest, embedding, width * sizeof *embedding);
    take_message(code, message);
    sampan_free(embedding);
    close_engine(&opened);
    return code;
}

/* Several requests at once, every list a request can have, one of them cancelled: it may have ended before, so its answer is not looked at. */
static int run_requests(const struct scenario *scenario, uint64_t *digest, char *message)
{
    enum { REQUESTS = 4, CANCELLED = 3 };
    const struct sampan_text stops[] = {{"never", 5}, {"xyzzy", 5}};
    const struct sampan_logit_bias biases[] = {{7, -INFINITY}, {9, 2}};
    const struct sampan_tokens banned[] = {{prompt, 2}, {prompt, 1}};
    struct opened opened;
    uint64_t ids[REQUESTS] = {0};
    struct answer_digest digests[REQUESTS] = {0};
    int code = open_engine(scenario, &opened), n_ended = 0, n_submitted = 0;
    for (; n_submitted < REQUESTS && !code; n_submitted += !code) {
        struct sampan_request request = {.size = sizeof request, .prompt = prompt, .n_prompt = N_PROMPT, .max_tokens = 4 + n_submitted, .ignore_end = 1};
        request.temperature = n_submitted;
        request.want_logprobs = n_submitted == 1;
        request.n_alternatives = 2;
        request.n_prompt_logprobs = n_submitted == 2 ? 2 : 0;
        request.stops = stops;
        request.n_stops = n_submitted == 1 ? 2 : 0;
        request.logit_biases = biases;
        request.n_logit_biases = n_submitted == 2 ? 2 : 0;
        request.banned = banned;
        request.n_banned = n_submitted == 2 ? 2 : 0;
        request.stop_tokens = prompt + 1;
        request.n_stop_tokens = 1;
        code = sampan_submit(opened.engine, &request, &ids[n_submitted]);
    }
    if (!code)
        sampan_cancel(opened.engine, ids[CANCELLED]);
    while (!code && n_ended < REQUESTS) {
        struct sampan_event event = {.size = sizeof event};
        code = sampan_next_event(opened.engine, UINT64_C(20000000000), &event);
        for (int i = 0; i < REQUESTS && !code; i++)
            if (event.request == ids[i] && i != CANCELLED)
                collect(&digests[i], &event);
        n_ended += !code && event.finish != SAMPAN_FINISH_NONE;
        if (!code && event.finish == SAMPAN_FINISH_ERROR) {
            code = event.code;
            snprintf(message, ERROR_MESSAGE_SIZE, "%s", event.message);
        }
    }
    if (code && !*message)
        take_message(code, message);
    for (int i = 0; i < n_submitted; i++)
        sampan_release(opened.engine, ids[i]);
    hash_bytes(digest, digests, sizeof digests);
    close_engine(&opened);
    return code;
}

/* ---- Commands, in this process, with streams of their own. */

struct streams {
    int saved[3];
};

static int make_stream(const char *content)
{
    int descriptor = memfd_create("stream", MFD_CLOEXEC);
    if (descriptor < 0 || (content && write(descriptor, content, strlen(content)) != (ssize_t)strlen(content)) || lseek(descriptor, 0, SEEK_SET)) {
        perror("memfd");
        exit(1);
    }
    return descriptor;
}

static void redirect(struct streams *streams, const char *input)
{
    fflush(NULL);
    for (int i = 0; i < 3; i++) {
        int descriptor = make_stream(i == 0 ? input : NULL);
        streams->saved[i] = dup(i);
        dup2(descriptor, i);
        close(descriptor);
    }
}

/* Back to the usual streams; what the command wrote goes to `out` and `messages`, NUL-terminated. */
static void restore(struct streams *streams, char *out, char *messages, size_t size)
{
    fflush(NULL);
    for (int i = 2; i >= 0; i--) {
        char *text = i == 1 ? out : messages;
        if (i) {
            ssize_t got = lseek(i, 0, SEEK_SET) ? -1 : read(i, text, size - 1);
            text[got > 0 ? got : 0] = '\0';
        }
        dup2(streams->saved[i], i);
        close(streams->saved[i]);
    }
    clearerr(stdout);
}

static int run_command_words(const struct scenario *scenario, uint64_t *digest, char *message)
{
    static struct arguments arguments;
    static char out[1 << 20], messages[1 << 16];
    char words[16][256], *argv[16];
    int argc = 0;
    const struct command *const all[] = {&run_command, &inspect_command, &check_command, &score_command, &tokenize_command, &render_command};
    const struct command *command = NULL;
    struct streams streams;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, scenario->words[0]) == 0)
            command = all[i];
    for (const char *const *word = scenario->words + 1; *word; word++, argc++) {
        snprintf(words[argc], sizeof words[0], "%s",
                 strcmp(*word, "MODEL") == 0  ? model_path(scenario)
                 : strcmp(*word, "CHAT") == 0 ? support_path("chat.json")
                                              : *word);
        argv[argc] = words[argc];
    }
    support_write("chat.json", CONVERSATION);
    memset(&arguments, 0, sizeof arguments);
    redirect(&streams, scenario->input ? scenario->input : "");
    int status = options_parse(command, argc, argv, &arguments);
    status = terminal_finish(status ? status : command->run(&arguments));
    restore(&streams, out, messages, sizeof messages);
    hash_bytes(digest, out, strlen(out));
    if (status == EXIT_OK)
        return 0;
    snprintf(message, ERROR_MESSAGE_SIZE, "%.1000s", messages);
    size_t length = strlen(messages);
    if (status != EXIT_FAILED || strncmp(messages, "sampan: ", 8) != 0 || strchr(messages, '\n') != messages + length - 1)
        return SAMPAN_EINTERNAL; /* not one clear line */
    return strstr(messages, "out of memory") || strstr(messages, "no room for") || strstr(messages, "starting CPU worker") ? SAMPAN_ENOMEM : SAMPAN_EIO;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

const struct scenario scenarios[] = {
    {"open a GGUF file and use its text", run_open, "gguf", NULL, NULL, NULL},
    {"open a folder and use its text", run_open, "folder", NULL, NULL, NULL},
    {"generate on the CPU", run_generate, "gguf", "cpu", NULL, NULL},
    {"generate on the reference", run_generate, "gguf", "reference", NULL, NULL},
    {"generate from a folder", run_generate, "folder", "cpu:portable", NULL, NULL},
    {"several requests at once", run_requests, "gguf", "cpu", NULL, NULL},
    {"score", run_score, "gguf", "cpu", NULL, NULL},
    {"embed", run_embed, "folder", "reference", NULL, NULL},
    {"sampan run", run_command_words, "gguf", NULL, WORDS("run", "MODEL", "--prompt", "hi", "--max-tokens", "4", "--context", "96", "--logit-bias", "5=1"),
     NULL},
    {"sampan run in a pipe", run_command_words, "folder", NULL,
     WORDS("run", "MODEL", "--max-tokens", "3", "--threads", "1", "--context", "96", "--system", "be brief"), "hello\nyou\n"},
    {"sampan inspect", run_command_words, "folder", NULL, WORDS("inspect", "MODEL", "--tensors", "--metadata", "--program", "--json"), NULL},
    {"sampan check --ops", run_command_words, "gguf", NULL, WORDS("check", "--ops"), NULL},
    {"sampan score", run_command_words, "gguf", NULL, WORDS("score", "MODEL", "--text", "hello", "--top", "3", "--generate", "2", "--json", "--context", "96"),
     NULL},
    {"sampan tokenize", run_command_words, "folder", NULL, WORDS("tokenize", "MODEL", "--jsonl", "--special"), "\"hello\"\n\"<s> 12\\u00e9\"\n"},
    {"sampan render", run_command_words, "folder", NULL, WORDS("render", "MODEL", "--conversation", "CHAT"), NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
