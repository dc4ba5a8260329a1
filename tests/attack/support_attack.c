#include "support_attack.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "sampan.h"
#include "tiny/tiny_model.h"

enum { SECONDS = 30 }; /* of this process's own time, sanitizers included; the attacks take hours where they work. Who sleeps for ever meets ctest's limit */

/* ---- A GGUF file in memory. */

void attack_file_init(struct buffer *file)
{
    struct tiny_model_options options = tiny_model_defaults();
    struct error err;
    buffer_init(file, 16u << 20);
    if (tiny_model_build(&options, file, &err))
        fail_msg("%s", err.message);
}

/* Behind a string of the file: its length is in front of it. */
static char *find_string(struct buffer *file, const char *text)
{
    size_t length = strlen(text);
    for (size_t at = 8; at + length <= file->length; at++) {
        uint64_t before;
        memcpy(&before, file->data + at - 8, 8);
        if (before == length && memcmp(file->data + at, text, length) == 0)
            return file->data + at + length;
    }
    fail_msg("the tiny model has no '%s'", text);
    return NULL;
}

char *attack_find_value(struct buffer *file, const char *key)
{
    return find_string(file, key) + 4;
}

char *attack_find_tensor(struct buffer *file, const char *tensor)
{
    return find_string(file, tensor);
}

void attack_put(char *at, uint64_t value, size_t size)
{
    memcpy(at, &value, size);
}

/* ---- Files. */

static char root[] = "/tmp/sampan_attack_XXXXXX";
static bool made;

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    if (system(command)) /* NOLINT: a fixed command on a folder of our own */
        fprintf(stderr, "%s failed\n", command);
}

const char *attack_path(const char *name)
{
    static char paths[4][512];
    static int next;
    if (!made) {
        assert_non_null(mkdtemp(root));
        atexit(remove_root);
        made = true;
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

void attack_write(const char *name, const void *bytes, size_t length)
{
    const char *slash = strrchr(name, '/');
    if (slash) {
        char folder[256];
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - name), name);
        mkdir(attack_path(folder), 0700);
    }
    FILE *file = fopen(attack_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void attack_copy(const char *from, const char *name)
{
    char path[512];
    struct buffer bytes;
    char piece[4096];
    size_t got;
    buffer_init(&bytes, 1u << 24);
    snprintf(path, sizeof path, SOURCE_ROOT "/tests/model/data/llama_tied/%s", from);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        buffer_append(&bytes, piece, got);
    fclose(file);
    attack_write(name, bytes.data, bytes.length);
    buffer_free(&bytes);
}

void attack_remove(const char *name)
{
    unlink(attack_path(name));
}

/* ---- Using a model. */

static int use_text(const sampan_model *model)
{
    int32_t *ids = NULL;
    size_t n_ids, length;
    char *text = NULL;
    int code = sampan_tokenize(model, "hello <|im_end|> \xFF 12", 19, SAMPAN_TOKENIZE_CONTROL | SAMPAN_TOKENIZE_BOS_EOS, &ids, &n_ids);
    if (!code)
        code = sampan_detokenize(model, ids, n_ids, 0, &text, &length);
    sampan_free(ids);
    sampan_free(text);
    return code;
}

int attack_use_model(const char *path, char message[1024])
{
    static const int32_t prompt[] = {5, 6, 7};
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    struct sampan_engine_options options = {.size = sizeof options, .chip = "reference", .max_sequences = 1, .context = 32, .max_step_tokens = 8};
    struct sampan_request request = {.size = sizeof request, .prompt = prompt, .n_prompt = 3, .max_tokens = 3, .ignore_end = 1};
    struct sampan_model_description description = {.size = sizeof description};
    int code = sampan_model_open(path, &model);
    if (!code)
        code = sampan_model_describe(model, &description);
    if (!code && description.has_tokenizer)
        code = use_text(model);
    if (!code)
        code = sampan_engine_open(model, &options, &engine);
    if (!code)
        code = sampan_generate(engine, &request, NULL, NULL);
    snprintf(message, 1024, "%s", code ? sampan_error_message() : "");
    sampan_engine_close(engine);
    sampan_model_close(model);
    return code;
}

/* ---- The watchdog. */

static const char *current;

static void say_which_hangs(int signal)
{
    (void)signal;
    const char text[] = ": this attack works: it takes longer than it may\n";
    if (write(STDERR_FILENO, current, strlen(current)) < 0 || write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(3);
    abort();
}

void attack_begins(const char *name)
{
    const struct itimerval timer = {.it_value = {.tv_sec = SECONDS}};
    current = name;
    signal(SIGPROF, say_which_hangs);
    setitimer(ITIMER_PROF, &timer, NULL);
}

void attack_ended(void)
{
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
}
