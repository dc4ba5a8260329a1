#include "support_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiny/tiny_model.h"

#define SHARDS SOURCE_ROOT "/tests/model/data/llama_shards/"

static char root[] = "/tmp/sampan_faults_XXXXXX";
static char removal[128];
static bool made;

static void remove_all(void)
{
    if (system(removal)) /* NOLINT: a fixed command on a folder of our own */
        fprintf(stderr, "%s failed\n", removal);
}

static void make_root(void)
{
    if (made)
        return;
    if (!mkdtemp(root)) {
        perror(root);
        exit(1);
    }
    made = true;
    snprintf(removal, sizeof removal, "rm -rf %s", root);
    atexit(remove_all);
}

const char *support_path(const char *name)
{
    static char paths[8][256];
    static int next;
    make_root();
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

void support_write(const char *name, const char *text)
{
    FILE *file = fopen(support_path(name), "wb");
    if (!file || fwrite(text, 1, strlen(text), file) != strlen(text) || fclose(file)) {
        perror(name);
        exit(1);
    }
}

const char *support_gguf(void)
{
    static char path[256];
    struct tiny_model_options options = tiny_model_defaults();
    struct error err;
    if (path[0])
        return path;
    snprintf(path, sizeof path, "%s", support_path("tiny.gguf"));
    if (tiny_model_write(&options, path, &err)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return path;
}

/* Byte-level BPE over the printable characters: 3 control tokens, 94 characters, space and newline, two merges. */
static void write_tokenizer(void)
{
    static char text[8192];
    size_t at = 0;
    int id = 0;
#define ADD(...) at += (size_t)snprintf(text + at, sizeof text - at, __VA_ARGS__)
    ADD("{\"version\":\"1.0\",\"added_tokens\":[");
    static const char *const control[] = {"<unk>", "<s>", "</s>"};
    for (int i = 0; i < 3; i++)
        ADD("%s{\"id\":%d,\"content\":\"%s\",\"special\":true,\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false}", i ? "," : "", i,
            control[i]);
    ADD("],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\d\"},"
        "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]},"
        "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (; id < 3; id++)
        ADD("%s\"%s\":%d", id ? "," : "", control[id], id);
    for (int c = 33; c < 127; c++)
        ADD(",\"%s%c\":%d", c == '"' || c == '\\' ? "\\" : "", c, id++);
    ADD(",\"\xC4\xA0\":%d,\"\xC4\x8A\":%d,\"he\":%d,\"llo\":%d,\"lo\":%d},\"merges\":[\"h e\",\"l o\",\"l lo\"]}}", id, id + 1, id + 2, id + 3, id + 4);
#undef ADD
    support_write("folder/tokenizer.json", text);
}

const char *support_folder(void)
{
    static char path[256];
    static const char *const linked[] = {"config.json",
                                         "generation_config.json",
                                         "model.safetensors.index.json",
                                         "model-00001-of-00004.safetensors",
                                         "model-00002-of-00004.safetensors",
                                         "model-00003-of-00004.safetensors",
                                         "model-00004-of-00004.safetensors"};
    if (path[0])
        return path;
    snprintf(path, sizeof path, "%s", support_path("folder"));
    if (mkdir(path, 0700)) {
        perror(path);
        exit(1);
    }
    for (size_t i = 0; i < sizeof linked / sizeof *linked; i++) {
        char from[512], to[512];
        snprintf(from, sizeof from, SHARDS "%s", linked[i]);
        snprintf(to, sizeof to, "%s/%s", path, linked[i]);
        if (symlink(from, to)) {
            perror(to);
            exit(1);
        }
    }
    write_tokenizer();
    support_write("folder/tokenizer_config.json",
                  "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\", \"special\": true}, \"add_bos_token\": true}");
    support_write("folder/chat_template.jinja", "{% for message in messages %}{{ bos_token }}{{ message.role | upper }}: {{ message['content'] | trim }}\n"
                                                "{% endfor %}{% if add_generation_prompt %}A:{% endif %}");
    return path;
}
