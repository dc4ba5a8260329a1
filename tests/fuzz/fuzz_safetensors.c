/* Any bytes as one file of a model folder: an error with a message, or a checkpoint whose every part can be touched. The first byte says which file the
 * rest is: the safetensors file, config.json, generation_config.json, or the index of two good shards. Seeds are in corpus/safetensors/, made by
 * tests/file/make_folder_seeds.py. The folder lies in memory (/dev/shm) where there is one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "file/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static char folder[64];
static const char *const file_names[] = {"model.safetensors", "config.json", "generation_config.json", "model.safetensors.index.json", "one.safetensors"};

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz_safetensors: %s\n", what);
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
    for (size_t i = 0; i < sizeof file_names / sizeof file_names[0]; i++)
        unlink(path_of(file_names[i]));
    rmdir(folder);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/sampan_fuzz_XXXXXX", file_is_folder("/dev/shm") ? "/dev/shm" : "/tmp");
    require(mkdtemp(folder) != NULL, "no folder");
    atexit(remove_folder);
}

/* A good folder, but for one file. */
static void write_folder(unsigned which, const uint8_t *bytes, size_t length)
{
    static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"]}";
    static const char header[] = "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}";
    char shard[8 + sizeof header - 1 + 4] = {(char)(sizeof header - 1)};
    memcpy(shard + 8, header, sizeof header - 1);
    write_file("config.json", config, sizeof config - 1);
    write_file("generation_config.json", "{}", 2);
    write_file("one.safetensors", shard, sizeof shard);
    if (which == 3)
        unlink(path_of("model.safetensors"));
    else
        write_file("model.safetensors", shard, sizeof shard);
    write_file(file_names[which], bytes, length);
}

static uint64_t touch_value(const struct metadata_value *value)
{
    uint64_t sum = 0;
    if (value->type == METADATA_STRING) {
        require(value->string.data[value->string.length] == '\0', "a string without its NUL");
        return value->string.length ? (unsigned char)value->string.data[value->string.length - 1] : 0;
    }
    for (size_t i = 0; value->type == METADATA_ARRAY && i < value->array.count; i++) {
        require(value->array.elements[i].type == value->array.element_type, "an element of another type");
        sum += touch_value(&value->array.elements[i]);
    }
    return sum + (value->type == METADATA_BOOL && value->b);
}

static void touch_checkpoint(const struct checkpoint *checkpoint)
{
    require(checkpoint->architecture && checkpoint->architecture[0], "no architecture");
    for (size_t i = 0; i < checkpoint->n_metadata; i++) {
        require(checkpoint_find(checkpoint, checkpoint->metadata[i].key) == &checkpoint->metadata[i].value, "a key that is not found");
        touch_value(&checkpoint->metadata[i].value);
    }
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        const struct checkpoint_tensor *tensor = &checkpoint->tensors[i];
        uint64_t elements = 1, bytes;
        require(tensor->offset <= tensor->file->size && tensor->bytes <= tensor->file->size - tensor->offset, "a tensor outside the file");
        require(checkpoint_find_tensor(checkpoint, tensor->name) == tensor, "a tensor that is not found");
        for (int d = 0; d < tensor->n_dimensions; d++)
            elements *= tensor->shape[d];
        require(tensor_type_bytes(tensor->type, 1, elements, &bytes) && bytes == tensor->bytes, "shape and size differ");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct checkpoint *checkpoint;
    struct error err = {0};
    if (!folder[0])
        make_folder();
    if (length == 0)
        return 0;
    write_folder(bytes[0] & 3, bytes + 1, length - 1);
    int code = checkpoint_open(folder, &checkpoint, &err);
    if (code) {
        require(code == err.code && err.message[0] && !checkpoint, "an error without a message");
        return 0;
    }
    touch_checkpoint(checkpoint);
    checkpoint_close(checkpoint);
    return 0;
}
