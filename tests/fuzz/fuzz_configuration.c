/* Any bytes as one of the configuration files of a model folder: an error with a message, or a model that can be described, whose tokenizer and template
 * can be made and whose program, if its family takes it, passes the chips' check. The first byte, a digit, says which file the rest is; the others are
 * good ones. Seeds are in corpus/configuration/, made by tests/file/make_folder_seeds.py. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "file/checkpoint.h"
#include "model/model.h"
#include "sampan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static char folder[64];

/* What the folder holds but for one file; NULL: nothing. */
static const struct {
    const char *name, *good;
} files[] = {
    {"config.json", "{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":1,\"max_position_embeddings\":64,\"hidden_size\":4,"
                    "\"intermediate_size\":4,\"num_attention_heads\":2,\"vocab_size\":8,\"tie_word_embeddings\":true}"},
    {"generation_config.json", "{\"eos_token_id\":1}"},
    {"tokenizer_config.json", "{\"bos_token\":\"a\",\"chat_template\":\"{{ messages[0].content }}\"}"},
    {"special_tokens_map.json", NULL},
    {"chat_template.json", NULL},
    {"tokenizer.json", "{\"added_tokens\":[],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]},"
                       "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"}}"},
};
enum { N_FILES = sizeof files / sizeof files[0], N_FUZZED = N_FILES - 1 /* tokenizer.json has a target of its own */ };

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz_configuration: %s\n", what);
        abort();
    }
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t length)
{
    FILE *file = fopen(path_of(name), "wb");
    require(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0, "writing a file");
}

static void remove_folder(void)
{
    for (size_t i = 0; i < N_FILES; i++)
        unlink(path_of(files[i].name));
    unlink(path_of("model.safetensors"));
    rmdir(folder);
}

/* One layer of zeros: hidden 4, feed-forward 4, vocabulary 8. */
static void write_weights(void)
{
    static const struct {
        const char *name, *shape;
        int bytes;
    } tensors[] = {
        {"model.embed_tokens.weight", "8,4", 64},
        {"model.norm.weight", "4", 8},
        {"model.layers.0.input_layernorm.weight", "4", 8},
        {"model.layers.0.post_attention_layernorm.weight", "4", 8},
        {"model.layers.0.self_attn.q_proj.weight", "4,4", 32},
        {"model.layers.0.self_attn.k_proj.weight", "4,4", 32},
        {"model.layers.0.self_attn.v_proj.weight", "4,4", 32},
        {"model.layers.0.self_attn.o_proj.weight", "4,4", 32},
        {"model.layers.0.mlp.gate_proj.weight", "4,4", 32},
        {"model.layers.0.mlp.up_proj.weight", "4,4", 32},
        {"model.layers.0.mlp.down_proj.weight", "4,4", 32},
    };
    char header[4096] = "{";
    static char file[8192];
    size_t at = 1;
    int offset = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        at += (size_t)snprintf(header + at, sizeof header - at, "%s\"%s\":{\"dtype\":\"F16\",\"shape\":[%s],\"data_offsets\":[%d,%d]}", i ? "," : "",
                               tensors[i].name, tensors[i].shape, offset, offset + tensors[i].bytes);
        offset += tensors[i].bytes;
    }
    at += (size_t)snprintf(header + at, sizeof header - at, "}");
    uint64_t length = at;
    memcpy(file, &length, sizeof length);
    memcpy(file + sizeof length, header, at);
    write_file("model.safetensors", file, sizeof length + at + (size_t)offset);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/sampan_fuzz_XXXXXX", file_is_folder("/dev/shm") ? "/dev/shm" : "/tmp");
    require(mkdtemp(folder) != NULL, "no folder");
    atexit(remove_folder);
    write_weights();
}

static void write_program(void)
{
    struct checkpoint *checkpoint;
    struct arena arena;
    struct error err = {0};
    const struct program *program;
    require(checkpoint_open(folder, &checkpoint, NULL) == 0, "a model that opens once and not again");
    arena_init(&arena, 16 << 20);
    int code = model_write_program(checkpoint, NULL, &arena, &program, &err);
    if (code)
        require(code == err.code && err.message[0] && code != SAMPAN_EINTERNAL, "a program refused without a reason");
    else
        require(program_check(program, &err) == 0, err.message);
    arena_free(&arena);
    checkpoint_close(checkpoint);
}

static void use_model(sampan_model *model)
{
    static const char conversation[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"ab\"}],\"tools\":[1]}";
    struct sampan_request request = {.size = sizeof request};
    struct sampan_model_description description = {.size = sizeof description};
    char *text = NULL;
    size_t length;
    require(sampan_model_describe(model, &description) == 0, "a model that cannot be described");
    if (sampan_model_recommend(model, &request, NULL))
        require(sampan_error_message()[0], "a recommendation refused without a reason");
    if (sampan_chat_render(model, conversation, sizeof conversation - 1, &text, &length))
        require(sampan_error_message()[0], "a chat refused without a reason");
    sampan_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    sampan_model *model;
    if (!folder[0])
        make_folder();
    if (length == 0)
        return 0;
    for (size_t i = 0; i < N_FILES; i++) {
        if (i == (unsigned char)(bytes[0] - '0') % N_FUZZED)
            write_file(files[i].name, bytes + 1, length - 1);
        else if (files[i].good)
            write_file(files[i].name, files[i].good, strlen(files[i].good));
        else
            unlink(path_of(files[i].name));
    }
    if (sampan_model_open(folder, &model)) {
        require(sampan_error_message()[0] && !model, "an error without a message");
        return 0;
    }
    use_model(model);
    sampan_model_close(model);
    write_program();
    return 0;
}
