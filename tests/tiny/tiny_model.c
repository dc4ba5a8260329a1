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
#include "tiny/gguf_writer.h"
#include "tiny/random_blocks.h"

#define FILE_LIMIT ((size_t)1 << 31)

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
    struct gguf_writer gguf;
    struct tiny_tensor *tensors;
    int32_t n_tensors;
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

static void put_number(struct writer *writer, const char *key, int32_t value)
{
    gguf_add_integer(&writer->gguf, key, GGUF_UINT32, value);
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

static void write_token(int32_t id, char text[64])
{
    static const char *const control[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    if (id < TINY_FIRST_BYTE)
        snprintf(text, 64, "%s", control[id]);
    else if (id < TINY_FIRST_MERGE)
        byte_token(id - TINY_FIRST_BYTE, text);
    else if (id < TINY_FIRST_MERGE + N_MERGES)
        snprintf(text, 64, "%s%s", merges[id - TINY_FIRST_MERGE][0], merges[id - TINY_FIRST_MERGE][1]);
    else
        snprintf(text, 64, "<|unused_%d|>", id);
}

/* An array of n strings, each written by `write`. */
static void put_strings(struct writer *writer, const char *key, int32_t n, void (*write)(int32_t index, char text[64]))
{
    gguf_begin_string_array(&writer->gguf, key, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        char text[64];
        write(i, text);
        gguf_append_string(&writer->gguf, text, strlen(text));
    }
}

static void write_merge(int32_t index, char text[64])
{
    snprintf(text, 64, "%s %s", merges[index][0], merges[index][1]);
}

static void put_kinds(struct writer *writer, int32_t n)
{
    int32_t *kinds = mem_alloc_array((size_t)n, sizeof *kinds);
    for (int32_t id = 0; kinds && id < n; id++)
        kinds[id] = id < TINY_FIRST_BYTE ? 3 : id < TINY_FIRST_MERGE + N_MERGES ? 1 : 5; /* control, normal, unused */
    if (kinds)
        gguf_add_array(&writer->gguf, "tokenizer.ggml.token_type", GGUF_INT32, kinds, (size_t)n, (size_t)n * sizeof *kinds);
    mem_free(kinds);
}

static void put_tokenizer(struct writer *writer)
{
    struct gguf_writer *gguf = &writer->gguf;
    int32_t n = writer->options->n_vocabulary;
    gguf_add_string(gguf, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(gguf, "tokenizer.ggml.pre", "smollm");
    put_strings(writer, "tokenizer.ggml.tokens", n, write_token);
    put_kinds(writer, n);
    put_strings(writer, "tokenizer.ggml.merges", N_MERGES, write_merge);
    put_number(writer, "tokenizer.ggml.bos_token_id", TINY_IM_START);
    put_number(writer, "tokenizer.ggml.eos_token_id", TINY_IM_END);
    put_number(writer, "tokenizer.ggml.unknown_token_id", TINY_END_OF_TEXT);
    put_number(writer, "tokenizer.ggml.padding_token_id", TINY_IM_END);
    gguf_add_bool(gguf, "tokenizer.ggml.add_space_prefix", false);
    gguf_add_bool(gguf, "tokenizer.ggml.add_bos_token", false);
    gguf_add_string(gguf, "tokenizer.chat_template", chat_template);
}

static void put_metadata(struct writer *writer)
{
    const struct tiny_model_options *options = writer->options;
    gguf_add_string(&writer->gguf, "general.architecture", "llama");
    gguf_add_string(&writer->gguf, "general.name", "tiny random model");
    put_number(writer, "general.quantization_version", 2);
    put_number(writer, "llama.block_count", options->n_layers);
    put_number(writer, "llama.context_length", options->context_length);
    put_number(writer, "llama.embedding_length", options->hidden);
    put_number(writer, "llama.feed_forward_length", options->feed_forward);
    put_number(writer, "llama.attention.head_count", options->n_heads);
    put_number(writer, "llama.attention.head_count_kv", options->n_kv_heads);
    put_number(writer, "llama.vocab_size", options->n_vocabulary);
    put_number(writer, "llama.rope.dimension_count", options->head_width);
    if (options->head_width * options->n_heads != options->hidden) {
        put_number(writer, "llama.attention.key_length", options->head_width);
        put_number(writer, "llama.attention.value_length", options->head_width);
    }
    gguf_add_float(&writer->gguf, "llama.rope.freq_base", options->rope_theta);
    gguf_add_float(&writer->gguf, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
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

/* Each tensor has a random stream of its own, so that a change of one size or type leaves the others as they were. */
static int put_tensor(struct writer *writer, int32_t index)
{
    const struct tiny_tensor *tensor = &writer->tensors[index];
    const uint64_t shape[] = {(uint64_t)(tensor->rows ? tensor->rows : tensor->columns), (uint64_t)tensor->columns};
    unsigned char *data = mem_alloc(tensor_bytes(tensor));
    if (!data)
        return SAMPAN_ENOMEM;
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
    gguf_add_tensor(&writer->gguf, tensor->name, tensor->type, tensor->rows ? 2 : 1, shape, data);
    mem_free(data);
    return 0;
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
    struct writer writer = {.options = options};
    writer.tensors = mem_zalloc_array((size_t)options->n_layers * 9 + 3, sizeof *writer.tensors);
    if (!writer.tensors)
        return error_no_memory(err, "building a tiny model");
    gguf_writer_init(&writer.gguf, 3);
    list_tensors(&writer);
    put_metadata(&writer);
    for (int32_t i = 0; !code && i < writer.n_tensors; i++)
        code = put_tensor(&writer, i);
    if (!code) {
        gguf_writer_finish(&writer.gguf, file);
        while (file->length % writer.gguf.alignment && !file->failed)
            buffer_append_char(file, '\0');
        code = file->failed;
    }
    gguf_writer_free(&writer.gguf);
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
