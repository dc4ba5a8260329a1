/* Writes tiny random Llama models as GGUF version 3 (the layout of ggml's gguf.md: header, metadata, tensor infos, data aligned to 32 bytes).
 *
 * Scales. Activations are kept near 1 by hand: the embedding has deviation 1, each linear 1 / sqrt(inputs) times a gain. The final norm makes its output's
 * root mean square 1, so a head of deviation d / sqrt(hidden) gives logits of deviation d. */
#include "tiny/tiny_model.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "tiny/random_blocks.h"

#define ALIGNMENT 32
#define FILE_LIMIT ((size_t)1 << 31)

enum gguf_value { GGUF_UINT32 = 4, GGUF_INT32 = 5, GGUF_FLOAT32 = 6, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9 };

static const char chat_template[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are tiny.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* Left and right of each merge, in GPT-2's printable alphabet (\xC4\xA0 is the space). */
static const char *const merges[][2] = {
    {"\xC4\xA0", "t"}, {"h", "e"}, {"i", "n"},  {"e", "r"},  {"a", "n"}, {"\xC4\xA0t", "he"}, {"o", "u"},
    {"r", "e"},        {"l", "l"}, {"an", "d"}, {"in", "g"}, {"o", "n"}, {"\xC4\xA0", "a"},
};
#define N_MERGES ((int32_t)(sizeof merges / sizeof merges[0]))

struct tiny_tensor {
    char name[64];
    enum tensor_type type;
    int64_t rows; /* 0: a vector */
    int64_t columns;
    float mean; /* vectors */
    float deviation;
};

struct writer {
    const struct tiny_model_options *options;
    struct buffer *out;
    struct tiny_tensor *tensors;
    int32_t n_tensors;
    uint32_t n_metadata;
};

struct tiny_model_options tiny_model_defaults(void)
{
    return (struct tiny_model_options){
        .n_layers = 2,
        .hidden = 64,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_width = 16,
        .feed_forward = 128,
        .n_vocabulary = 288,
        .context_length = 512,
        .seed = 1,
        .type = TENSOR_Q4_1,
        .embedding_type = TENSOR_Q8_0,
        .tied = false,
        .tokenizer = true,
        .logit_deviation = 3.0f,
        .rope_theta = 10000.0f,
    };
}

/* ---- Metadata */

static void put_u32(struct buffer *out, uint32_t value)
{
    buffer_append(out, &value, sizeof value);
}

static void put_u64(struct buffer *out, uint64_t value)
{
    buffer_append(out, &value, sizeof value);
}

static void put_string(struct buffer *out, const char *text)
{
    put_u64(out, strlen(text));
    buffer_append(out, text, strlen(text));
}

static void put_key(struct writer *writer, const char *key, enum gguf_value type)
{
    put_string(writer->out, key);
    put_u32(writer->out, (uint32_t)type);
    writer->n_metadata++;
}

static void put_metadata_u32(struct writer *writer, const char *key, int32_t value)
{
    put_key(writer, key, GGUF_UINT32);
    put_u32(writer->out, (uint32_t)value);
}

static void put_metadata_float(struct writer *writer, const char *key, float value)
{
    put_key(writer, key, GGUF_FLOAT32);
    buffer_append(writer->out, &value, sizeof value);
}

static void put_metadata_bool(struct writer *writer, const char *key, bool value)
{
    put_key(writer, key, GGUF_BOOL);
    buffer_append_char(writer->out, value ? 1 : 0);
}

static void put_metadata_string(struct writer *writer, const char *key, const char *value)
{
    put_key(writer, key, GGUF_STRING);
    put_string(writer->out, value);
}

static void put_array(struct writer *writer, const char *key, enum gguf_value element_type, int32_t count)
{
    put_key(writer, key, GGUF_ARRAY);
    put_u32(writer->out, (uint32_t)element_type);
    put_u64(writer->out, (uint64_t)count);
}

/* GPT-2's alphabet: printable bytes are themselves, the others take code points from 256 on, in order. */
static void byte_token(int byte, char text[5])
{
    int unprintable = 0;
    for (int b = 0; b <= byte; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte) {
            uint32_t code = printable ? (uint32_t)b : 256u + (uint32_t)unprintable;
            if (code < 0x80)
                snprintf(text, 5, "%c", (char)code);
            else
                snprintf(text, 5, "%c%c", (char)(0xC0u | code >> 6), (char)(0x80u | (code & 0x3Fu)));
        }
        unprintable += !printable;
    }
}

static void put_token(struct buffer *out, int32_t id)
{
    static const char *const control[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    char text[64];
    if (id < TINY_FIRST_BYTE)
        snprintf(text, sizeof text, "%s", control[id]);
    else if (id < TINY_FIRST_MERGE)
        byte_token(id - TINY_FIRST_BYTE, text);
    else if (id < TINY_FIRST_MERGE + N_MERGES)
        snprintf(text, sizeof text, "%s%s", merges[id - TINY_FIRST_MERGE][0], merges[id - TINY_FIRST_MERGE][1]);
    else
        snprintf(text, sizeof text, "<|unused_%d|>", id);
    put_string(out, text);
}

static void put_tokenizer(struct writer *writer)
{
    int32_t n = writer->options->n_vocabulary;
    put_metadata_string(writer, "tokenizer.ggml.model", "gpt2");
    put_metadata_string(writer, "tokenizer.ggml.pre", "smollm");
    put_array(writer, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (int32_t id = 0; id < n; id++)
        put_token(writer->out, id);
    put_array(writer, "tokenizer.ggml.token_type", GGUF_INT32, n);
    for (int32_t id = 0; id < n; id++)
        put_u32(writer->out, id < TINY_FIRST_BYTE ? 3 : id < TINY_FIRST_MERGE + N_MERGES ? 1 : 5); /* control, normal, unused */
    put_array(writer, "tokenizer.ggml.merges", GGUF_STRING, N_MERGES);
    for (int32_t i = 0; i < N_MERGES; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s %s", merges[i][0], merges[i][1]);
        put_string(writer->out, text);
    }
    put_metadata_u32(writer, "tokenizer.ggml.bos_token_id", TINY_IM_START);
    put_metadata_u32(writer, "tokenizer.ggml.eos_token_id", TINY_IM_END);
    put_metadata_u32(writer, "tokenizer.ggml.unknown_token_id", TINY_END_OF_TEXT);
    put_metadata_u32(writer, "tokenizer.ggml.padding_token_id", TINY_IM_END);
    put_metadata_bool(writer, "tokenizer.ggml.add_space_prefix", false);
    put_metadata_bool(writer, "tokenizer.ggml.add_bos_token", false);
    put_metadata_string(writer, "tokenizer.chat_template", chat_template);
}

static void put_metadata(struct writer *writer)
{
    const struct tiny_model_options *options = writer->options;
    put_metadata_string(writer, "general.architecture", "llama");
    put_metadata_string(writer, "general.name", "tiny random model");
    put_metadata_u32(writer, "general.quantization_version", 2);
    put_metadata_u32(writer, "llama.block_count", options->n_layers);
    put_metadata_u32(writer, "llama.context_length", options->context_length);
    put_metadata_u32(writer, "llama.embedding_length", options->hidden);
    put_metadata_u32(writer, "llama.feed_forward_length", options->feed_forward);
    put_metadata_u32(writer, "llama.attention.head_count", options->n_heads);
    put_metadata_u32(writer, "llama.attention.head_count_kv", options->n_kv_heads);
    put_metadata_u32(writer, "llama.vocab_size", options->n_vocabulary);
    put_metadata_u32(writer, "llama.rope.dimension_count", options->head_width);
    if (options->head_width * options->n_heads != options->hidden) {
        put_metadata_u32(writer, "llama.attention.key_length", options->head_width);
        put_metadata_u32(writer, "llama.attention.value_length", options->head_width);
    }
    put_metadata_float(writer, "llama.rope.freq_base", options->rope_theta);
    put_metadata_float(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (options->tokenizer)
        put_tokenizer(writer);
}

/* ---- Tensors */

static void add_vector(struct writer *writer, const char *name, int64_t columns)
{
    struct tiny_tensor *tensor = &writer->tensors[writer->n_tensors++];
    *tensor = (struct tiny_tensor){.type = TENSOR_F32, .columns = columns, .mean = 1.0f, .deviation = 0.1f};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
}

static void add_matrix(struct writer *writer, const char *name, enum tensor_type type, int64_t rows, int64_t columns, float deviation)
{
    struct tiny_tensor *tensor = &writer->tensors[writer->n_tensors++];
    *tensor = (struct tiny_tensor){.type = type, .rows = rows, .columns = columns, .deviation = deviation};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
}

static void add_layer(struct writer *writer, int32_t layer)
{
    const struct tiny_model_options *options = writer->options;
    int64_t hidden = options->hidden, wide = options->feed_forward;
    int64_t query = (int64_t)options->n_heads * options->head_width, key = (int64_t)options->n_kv_heads * options->head_width;
    const struct {
        const char *part;
        int64_t rows, columns;
        float gain;
    } matrices[] = {
        {"attn_q", query, hidden, 1.3f},  {"attn_k", key, hidden, 1.3f},  {"attn_v", key, hidden, 1.0f},    {"attn_output", hidden, query, 1.5f},
        {"ffn_gate", wide, hidden, 1.0f}, {"ffn_up", wide, hidden, 1.0f}, {"ffn_down", hidden, wide, 1.5f},
    };
    char name[64];
    snprintf(name, sizeof name, "blk.%d.attn_norm.weight", layer);
    add_vector(writer, name, hidden);
    snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", layer);
    add_vector(writer, name, hidden);
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, matrices[i].part);
        add_matrix(writer, name, options->type, matrices[i].rows, matrices[i].columns, matrices[i].gain / sqrtf((float)matrices[i].columns));
    }
}

static void list_tensors(struct writer *writer)
{
    const struct tiny_model_options *options = writer->options;
    float head = options->logit_deviation / sqrtf((float)options->hidden);
    add_matrix(writer, "token_embd.weight", options->embedding_type, options->n_vocabulary, options->hidden, options->tied ? head : 1.0f);
    for (int32_t layer = 0; layer < options->n_layers; layer++)
        add_layer(writer, layer);
    add_vector(writer, "output_norm.weight", options->hidden);
    if (!options->tied)
        add_matrix(writer, "output.weight", options->embedding_type, options->n_vocabulary, options->hidden, head);
}

static uint64_t tensor_elements(const struct tiny_tensor *tensor)
{
    return (uint64_t)tensor->columns * (uint64_t)(tensor->rows ? tensor->rows : 1);
}

static uint64_t tensor_bytes(const struct tiny_tensor *tensor)
{
    const struct tensor_type_row *row = &tensor_types[tensor->type];
    return tensor_elements(tensor) / (uint64_t)row->block_elements * (uint64_t)row->block_bytes;
}

static uint64_t align_up(uint64_t value)
{
    return (value + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_tensor_infos(struct writer *writer)
{
    uint64_t offset = 0;
    for (int32_t i = 0; i < writer->n_tensors; i++) {
        const struct tiny_tensor *tensor = &writer->tensors[i];
        put_string(writer->out, tensor->name);
        put_u32(writer->out, tensor->rows ? 2 : 1);
        put_u64(writer->out, (uint64_t)tensor->columns);
        if (tensor->rows)
            put_u64(writer->out, (uint64_t)tensor->rows);
        put_u32(writer->out, (uint32_t)tensor_types[tensor->type].ggml_type);
        put_u64(writer->out, offset);
        offset += align_up(tensor_bytes(tensor));
    }
}

static void put_padding(struct buffer *out)
{
    while (out->length % ALIGNMENT && !out->failed)
        buffer_append_char(out, '\0');
}

/* Each tensor has a random stream of its own, so that a change of one size or type leaves the others as they were. */
static void put_tensor_data(struct writer *writer, int32_t index)
{
    const struct tiny_tensor *tensor = &writer->tensors[index];
    uint64_t bytes = tensor_bytes(tensor);
    put_padding(writer->out);
    if (buffer_reserve(writer->out, bytes + ALIGNMENT))
        return;
    unsigned char *data = mem_alloc(bytes);
    if (!data) {
        writer->out->failed = SAMPAN_ENOMEM;
        return;
    }
    struct random random = {writer->options->seed};
    for (const char *c = tensor->name; *c; c++)
        random.state = random_u64(&random) + (unsigned char)*c;
    random_weights(&random, tensor->type, tensor->deviation, data, tensor_elements(tensor));
    for (int64_t i = 0; !tensor->rows && i < tensor->columns; i++) {
        float value;
        memcpy(&value, data + i * 4, sizeof value);
        value += tensor->mean;
        memcpy(data + i * 4, &value, sizeof value);
    }
    buffer_append(writer->out, data, bytes);
    mem_free(data);
}

static int check_options(const struct tiny_model_options *options, struct error *err)
{
    int block = tensor_types[options->type].block_elements, embedding_block = tensor_types[options->embedding_type].block_elements;
    int64_t query = (int64_t)options->n_heads * options->head_width;
    if (options->n_layers < 1 || options->hidden < 1 || options->n_heads < 1 || options->n_kv_heads < 1 || options->n_heads % options->n_kv_heads ||
        options->head_width < 2 || options->head_width % 2 || options->feed_forward < 1 || options->context_length < 1)
        return error_set(err, SAMPAN_EINVAL, "tiny model: sizes must be positive, heads a multiple of kv heads, the head width even");
    if (options->hidden % block || options->feed_forward % block || query % block || options->hidden % embedding_block)
        return error_set(err, SAMPAN_EINVAL, "tiny model: hidden %d, feed-forward %d and heads x width %lld must be multiples of the types' blocks (%d, %d)",
                         options->hidden, options->feed_forward, (long long)query, block, embedding_block);
    if (options->n_vocabulary < (options->tokenizer ? TINY_FIRST_MERGE + N_MERGES : 2))
        return error_set(err, SAMPAN_EINVAL, "tiny model: a vocabulary of %d is too small, with a tokenizer it takes %d", options->n_vocabulary,
                         TINY_FIRST_MERGE + N_MERGES);
    return 0;
}

int tiny_model_build(const struct tiny_model_options *options, struct buffer *file, struct error *err)
{
    int code = check_options(options, err);
    if (code)
        return code;
    struct writer writer = {.options = options, .out = file};
    struct buffer metadata;
    buffer_init(&metadata, FILE_LIMIT);
    writer.tensors = mem_zalloc_array((size_t)options->n_layers * 9 + 3, sizeof *writer.tensors);
    if (!writer.tensors)
        return error_no_memory(err, "building a tiny model");
    list_tensors(&writer);
    writer.out = &metadata;
    put_metadata(&writer);
    writer.out = file;
    buffer_append(file, "GGUF", 4);
    put_u32(file, 3);
    put_u64(file, (uint64_t)writer.n_tensors);
    put_u64(file, writer.n_metadata);
    buffer_append(file, metadata.data, metadata.length);
    put_tensor_infos(&writer);
    for (int32_t i = 0; i < writer.n_tensors; i++)
        put_tensor_data(&writer, i);
    put_padding(file);
    code = metadata.failed ? metadata.failed : file->failed;
    buffer_free(&metadata);
    mem_free(writer.tensors);
    return code ? error_set(err, code, "building a tiny model: %s", error_code_name(code)) : 0;
}

static int write_descriptor(const struct tiny_model_options *options, int descriptor, const char *path, struct error *err)
{
    struct buffer file;
    buffer_init(&file, FILE_LIMIT);
    int code = tiny_model_build(options, &file, err);
    for (size_t done = 0; !code && done < file.length;) {
        ssize_t written = write(descriptor, file.data + done, file.length - done);
        if (written <= 0)
            code = error_set(err, SAMPAN_EIO, "writing %s failed", path);
        else
            done += (size_t)written;
    }
    buffer_free(&file);
    if (close(descriptor) && !code)
        code = error_set(err, SAMPAN_EIO, "closing %s failed", path);
    if (code)
        unlink(path);
    return code;
}

int tiny_model_write(const struct tiny_model_options *options, const char *path, struct error *err)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor < 0)
        return error_set(err, SAMPAN_EIO, "creating %s failed", path);
    return write_descriptor(options, descriptor, path, err);
}

int tiny_model_make(const struct tiny_model_options *options, char path[TINY_MODEL_PATH], struct error *err)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, TINY_MODEL_PATH, "%s/sampan_tiny_XXXXXX.gguf", folder && *folder ? folder : "/tmp");
    int descriptor = mkstemps(path, 5);
    if (descriptor < 0)
        return error_set(err, SAMPAN_EIO, "creating a temporary file in %s failed", folder && *folder ? folder : "/tmp");
    return write_descriptor(options, descriptor, path, err);
}
