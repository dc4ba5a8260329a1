/* Any bytes opened as a GGUF: an error with a message, or a checkpoint whose every part can be touched and whose tokenizer works. Seeds (small files of
 * many kinds) are in corpus/gguf/, made by tests/file/make_fuzz_seeds.py. The bytes go through one memfd that is kept: opening costs no disk. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check_tokenizer.h"
#include "file/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz_gguf: %s\n", what);
        abort();
    }
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

static void touch_tensors(const struct checkpoint *checkpoint)
{
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

static void touch_tokenizer(const struct tokenizer_spec *spec)
{
    static const char text[] = " Hello  w\xC3\xB6rld 12\r\n e\xCC\x81 <s>ab</s>\xE2\x96\x81\xE3\x80\x80 \xFF[CLS]";
    const int32_t ids[] = {spec->bos_id, spec->eos_id, spec->eot_id, spec->unknown_id, spec->padding_id};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        require(ids[i] >= -1 && ids[i] < spec->n_tokens, "an id outside the vocabulary");
    for (int i = 0; i < spec->n_eog_ids; i++)
        require(spec->eog_ids[i] >= 0 && spec->eog_ids[i] < spec->n_tokens, "an end id outside the vocabulary");
    for (int i = 0; i < spec->n_tokens; i++)
        require(spec->tokens[i].text.data[spec->tokens[i].text.length] == '\0', "a token without its NUL");
    for (int i = 0; i < spec->n_merges; i++)
        require(spec->merges[i].left_length && spec->merges[i].right_length && spec->merges[i].text[spec->merges[i].left_length] == ' ', "a merge of nothing");
    check_tokenizer(spec, text, sizeof text - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static int descriptor = -1;
    static char path[64];
    struct checkpoint *checkpoint;
    struct error err = {0};
    if (descriptor < 0) {
        descriptor = memfd_create("fuzz_gguf", MFD_CLOEXEC);
        require(descriptor >= 0, "no memfd");
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    }
    require(ftruncate(descriptor, 0) == 0 && pwrite(descriptor, bytes, length, 0) == (ssize_t)length, "writing to the memfd");
    int code = checkpoint_open(path, &checkpoint, &err);
    if (code) {
        require(code == err.code && err.message[0] && !checkpoint, "an error without a message");
        return 0;
    }
    for (size_t i = 0; i < checkpoint->n_metadata; i++) {
        require(checkpoint_find(checkpoint, checkpoint->metadata[i].key) == &checkpoint->metadata[i].value, "a key that is not found");
        touch_value(&checkpoint->metadata[i].value);
    }
    touch_tensors(checkpoint);
    require(checkpoint->has_tokenizer == !checkpoint->tokenizer_problem, "neither tokenizer nor problem");
    if (checkpoint->has_tokenizer)
        touch_tokenizer(&checkpoint->tokenizer);
    checkpoint_close(checkpoint);
    return 0;
}
