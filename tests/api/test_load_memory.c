/* Loading holds no second copy: in a child process the peak of resident memory stays below what the engine keeps (weights, cache, buffers) plus 64 MiB, for
 * both kinds of file, for weights quantised on the way, and for the default model. The made models are a few hundred MB of zeros in sparse files.
 * Sanitizers keep memory of their own: under them nothing is measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "sampan.h"
#include "tiny/gguf_writer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MIB ((uint64_t)1 << 20)

/* ---- made models ---- */

enum { HIDDEN = 2048, WIDE = 5632, VOCABULARY = 8192 };

static const struct {
    const char *gguf, *hugging_face;
    uint64_t rows, columns; /* rows 0: a vector of f32 */
} layer_tensors[] = {
    {"attn_norm", "input_layernorm", 0, HIDDEN},         {"attn_q", "self_attn.q_proj", HIDDEN, HIDDEN},
    {"attn_k", "self_attn.k_proj", HIDDEN, HIDDEN},      {"attn_v", "self_attn.v_proj", HIDDEN, HIDDEN},
    {"attn_output", "self_attn.o_proj", HIDDEN, HIDDEN}, {"ffn_norm", "post_attention_layernorm", 0, HIDDEN},
    {"ffn_gate", "mlp.gate_proj", WIDE, HIDDEN},         {"ffn_up", "mlp.up_proj", WIDE, HIDDEN},
    {"ffn_down", "mlp.down_proj", HIDDEN, WIDE},
};
enum { N_LAYER_TENSORS = sizeof layer_tensors / sizeof layer_tensors[0] };

struct maker {
    bool is_gguf;
    struct gguf_writer gguf;
    struct buffer header; /* of safetensors */
    uint64_t offset;
};

static void add_tensor(struct maker *maker, const char *name, uint64_t rows, uint64_t columns)
{
    enum tensor_type type = rows == 0 ? TENSOR_F32 : maker->is_gguf ? TENSOR_Q4_1 : TENSOR_BF16;
    uint64_t bytes;
    assert_true(tensor_type_bytes(type, rows ? rows : 1, columns, &bytes));
    if (maker->is_gguf) {
        const uint64_t dimensions[] = {columns, rows};
        gguf_add_tensor_info(&maker->gguf, name, strlen(name), rows ? 2 : 1, dimensions, (uint32_t)tensor_types[type].ggml_type, maker->offset);
    } else {
        buffer_printf(&maker->header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [", maker->offset ? ", " : "{", name, rows ? "BF16" : "F32");
        if (rows)
            buffer_printf(&maker->header, "%llu, ", (unsigned long long)rows);
        buffer_printf(&maker->header, "%llu], \"data_offsets\": [%llu, %llu]}", (unsigned long long)columns, (unsigned long long)maker->offset,
                      (unsigned long long)(maker->offset + bytes));
    }
    maker->offset += bytes; /* each a multiple of 32 */
}

static void add_tensors(struct maker *maker, int n_layers)
{
    char name[128];
    add_tensor(maker, maker->is_gguf ? "token_embd.weight" : "model.embed_tokens.weight", VOCABULARY, HIDDEN);
    for (int layer = 0; layer < n_layers; layer++) {
        for (int i = 0; i < N_LAYER_TENSORS; i++) {
            snprintf(name, sizeof name, maker->is_gguf ? "blk.%d.%s.weight" : "model.layers.%d.%s.weight", layer,
                     maker->is_gguf ? layer_tensors[i].gguf : layer_tensors[i].hugging_face);
            add_tensor(maker, name, layer_tensors[i].rows, layer_tensors[i].columns);
        }
    }
    add_tensor(maker, maker->is_gguf ? "output_norm.weight" : "model.norm.weight", 0, HIDDEN);
}

/* The header, then a hole as long as the data. */
static void write_sparse(const char *path, const void *header, size_t length, uint64_t data_bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(header, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate(path, (off_t)(length + data_bytes)), 0);
}

static void make_gguf(const char *path, int n_layers)
{
    struct maker maker = {.is_gguf = true};
    struct buffer file;
    static const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"llama.block_count", 0},           {"llama.context_length", 256},    {"llama.embedding_length", HIDDEN}, {"llama.feed_forward_length", WIDE},
        {"llama.attention.head_count", 16}, {"llama.vocab_size", VOCABULARY},
    };
    gguf_writer_init(&maker.gguf, 3);
    gguf_add_string(&maker.gguf, "general.architecture", "llama");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        gguf_add_integer(&maker.gguf, numbers[i].key, GGUF_UINT32, i ? numbers[i].value : n_layers);
    gguf_add_float(&maker.gguf, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    add_tensors(&maker, n_layers);
    buffer_init(&file, 1 << 20);
    gguf_writer_finish(&maker.gguf, &file);
    while (file.length % 32)
        buffer_append_char(&file, '\0');
    write_sparse(path, file.data, file.length, maker.offset);
    buffer_free(&file);
    gguf_writer_free(&maker.gguf);
}

static void make_safetensors(const char *folder, int n_layers)
{
    struct maker maker = {0};
    struct buffer file;
    char path[256];
    buffer_init(&maker.header, 1 << 20);
    buffer_init(&file, 1 << 20);
    add_tensors(&maker, n_layers);
    buffer_append_char(&maker.header, '}');
    uint64_t length = maker.header.length;
    buffer_append(&file, &length, sizeof length);
    buffer_append(&file, maker.header.data, maker.header.length);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    write_sparse(path, file.data, file.length, maker.offset);
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *config = fopen(path, "w");
    assert_non_null(config);
    fprintf(config,
            "{\"architectures\": [\"LlamaForCausalLM\"], \"num_hidden_layers\": %d, \"max_position_embeddings\": 256, \"hidden_size\": %d, "
            "\"intermediate_size\": %d, \"num_attention_heads\": 16, \"vocab_size\": %d, \"tie_word_embeddings\": true}",
            n_layers, HIDDEN, WIDE, VOCABULARY);
    fclose(config);
    buffer_free(&maker.header);
    buffer_free(&file);
}

/* ---- measuring ---- */

struct measured {
    uint64_t before, peak;  /* resident bytes of the child: before opening anything, and the most until the engine stood */
    uint64_t weights, kept; /* kept: weights, cache and buffers */
    char problem[256];
};

static uint64_t status_bytes(const char *key)
{
    char text[4096];
    const char *line = file_read_small("/proc/self/status", text, sizeof text) ? strstr(text, key) : NULL;
    return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

static void load(const char *path, const char *quantize, bool no_repack, struct measured *measured)
{
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    struct sampan_engine_options options = {
        .size = sizeof options, .chip = "cpu", .context = 128, .max_sequences = 1, .max_step_tokens = 16, .quantize = quantize, .no_repack = no_repack};
    struct sampan_engine_description description = {.size = sizeof description};
    measured->before = status_bytes("VmRSS:");
    if (sampan_model_open(path, &model) || sampan_engine_open(model, &options, &engine) || sampan_engine_describe(engine, &description)) {
        snprintf(measured->problem, sizeof measured->problem, "%s", sampan_error_message());
        return;
    }
    measured->peak = status_bytes("VmHWM:");
    measured->weights = description.weight_bytes;
    measured->kept = description.weight_bytes + description.cache_bytes + description.buffer_bytes;
    sampan_engine_close(engine);
    sampan_model_close(model);
}

static void check_loading(const char *path, const char *quantize, bool no_repack, uint64_t least_weights)
{
    struct measured measured = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        load(path, quantize, no_repack, &measured);
        _exit(write(ends[1], &measured, sizeof measured) == sizeof measured ? 0 : 1);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], &measured, sizeof measured);
    close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(length, sizeof measured);
    if (measured.problem[0])
        fail_msg("%s", measured.problem);
    print_message("%s %s: weights %.1f MiB, kept %.1f MiB, peak %.1f MiB above %.1f MiB\n", strrchr(path, '/') + 1,
                  quantize    ? quantize
                  : no_repack ? "mapped"
                              : "as published",
                  (double)measured.weights / MIB, (double)measured.kept / MIB, (double)(measured.peak - measured.before) / MIB, (double)measured.before / MIB);
    assert_true(measured.weights >= least_weights);
    assert_true(measured.peak - measured.before >= measured.weights); /* else the measure is wrong */
    assert_true(measured.peak - measured.before <= measured.kept + 64 * MIB);
}

static void loading_holds_no_second_copy(void **state)
{
    (void)state;
    char folder[] = "/tmp/sampan_load_XXXXXX", gguf[256], path[256];
    if (SANITIZED)
        skip();
    assert_non_null(mkdtemp(folder));
    snprintf(gguf, sizeof gguf, "%s/made.gguf", folder);
    make_gguf(gguf, 6);
    check_loading(gguf, NULL, false, 180 * MIB);
    check_loading(gguf, NULL, true, 0); /* no copy at all: a model larger than memory */
    unlink(gguf);
    make_safetensors(folder, 2);
    check_loading(folder, NULL, false, 200 * MIB);
    check_loading(folder, NULL, true, 0);
    check_loading(folder, "q8_0", false, 100 * MIB);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    rmdir(folder);
}

static void the_default_model_loads_in_its_own_size(void **state)
{
    (void)state;
    const char *path = getenv("SAMPAN_TEST_MODEL");
    if (SANITIZED || !path)
        skip();
    check_loading(path, NULL, false, 80 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_holds_no_second_copy),
        cmocka_unit_test(the_default_model_loads_in_its_own_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
