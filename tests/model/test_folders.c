/* Model folders (config.json and safetensors) of Llama and its relatives: tiny random bf16 checkpoints give what transformers computes from them in fp32, the
 * same weights in GGUF too, and a configuration that asks for other mathematics is refused by name. data/ is made by make_goldens.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "model/model.h"
#include "sampan.h"

enum { PATH = 512 };

static const struct golden_folder {
    const char *name;
    bool has_gguf;
} folders[] = {
    {"llama_tied", false},         {"llama_biases", true},    {"llama_rope_llama3", true}, {"llama_rope_linear", false},
    {"llama_rope_dynamic", false}, {"llama_rope_yarn", true}, {"llama_shards", false},     {"llama_rope_yarn_scaled", false},
    {"mistral_window", false},     {"mistral_heads", false},  {"ministral_layers", false}, {"smollm3", true},
    {"smollm3_window", false},     {"qwen2", true},           {"qwen2_window", false},     {"qwen3", true},
};

/* ---- goldens ---- */

struct golden {
    char *bytes;
    int32_t n_ids, n_vocabulary;
    const int32_t *ids;
    const float *logprobs; /* [n_ids, n_vocabulary] */
};

static void load_golden(const char *folder, struct golden *golden)
{
    char path[PATH + 16];
    size_t length;
    snprintf(path, sizeof path, "%s/golden.bin", folder);
    assert_int_equal(file_read_whole(path, 1 << 20, &golden->bytes, &length, NULL), 0);
    const int32_t *header = (const int32_t *)(const void *)golden->bytes;
    golden->n_ids = header[0];
    golden->n_vocabulary = header[1];
    golden->ids = header + 2;
    golden->logprobs = (const float *)(const void *)(golden->ids + golden->n_ids);
    assert_int_equal(length, sizeof(int32_t) * (size_t)(2 + golden->n_ids + golden->n_ids * golden->n_vocabulary));
}

/* Mean over the positions of the Kullback-Leibler divergence of ours from the golden's distribution, in nats. */
static double mean_divergence(const struct golden *golden, const struct sampan_logprob *ours)
{
    double sum = 0;
    size_t width = (size_t)golden->n_vocabulary;
    for (size_t i = 0; i < (size_t)golden->n_ids * width; i++) {
        double expected = (double)golden->logprobs[i / width * width + (size_t)ours[i].id];
        sum += exp(expected) * (expected - (double)ours[i].logprob);
    }
    return sum / golden->n_ids;
}

/* Where the golden's best token leads by more than `margin`, ours is the same. */
static void check_best_tokens(const struct golden *golden, const struct sampan_logprob *ours, float margin)
{
    size_t width = (size_t)golden->n_vocabulary;
    for (size_t i = 0; i < (size_t)golden->n_ids; i++) {
        const float *row = golden->logprobs + i * width;
        size_t best = 0;
        float second = -INFINITY;
        for (size_t id = 1; id < width; id++)
            best = row[id] > row[best] ? id : best;
        for (size_t id = 0; id < width; id++)
            second = id != best && row[id] > second ? row[id] : second;
        if (row[best] - second > margin && ours[i * width].id != (int32_t)best)
            fail_msg("position %zu: token %d, expected %zu by a margin of %g", i, ours[i * width].id, best, (double)(row[best] - second));
    }
}

static double divergence_of(const char *folder, const struct golden *golden, const char *chip)
{
    sampan_model *model = NULL;
    sampan_engine *engine = NULL;
    struct sampan_logprob *logprobs;
    struct sampan_engine_options options = {.size = sizeof options, .chip = chip, .max_sequences = 1};
    if (sampan_model_open(folder, &model) || sampan_engine_open(model, &options, &engine))
        fail_msg("%s", sampan_error_message());
    if (sampan_score(engine, golden->ids, (size_t)golden->n_ids, golden->n_vocabulary, &logprobs))
        fail_msg("%s", sampan_error_message());
    double divergence = mean_divergence(golden, logprobs);
    /* cpu:portable keeps keys and values in f16; the best dialect may also round what it multiplies with bf16 weights */
    check_best_tokens(golden, logprobs, strcmp(chip, "cpu") == 0 ? 0.2f : strcmp(chip, "reference") == 0 ? 0.001f : 0.02f);
    sampan_free(logprobs);
    sampan_engine_close(engine);
    sampan_model_close(model);
    return divergence;
}

static void check_golden(const char *path, const struct golden *golden)
{
    double reference = divergence_of(path, golden, "reference"), cpu = divergence_of(path, golden, "cpu"), plain = divergence_of(path, golden, "cpu:portable");
    print_message("%s: mean KL reference %.2g, cpu %.2g, cpu:portable %.2g\n", path + strlen(TEST_DATA) + 1, reference, cpu, plain);
    assert_true(fabs(reference) <= 1e-5);
    assert_true(fabs(plain) <= 1e-3); /* what is multiplied with bf16 weights is not rounded */
    assert_true(fabs(cpu) <= 4e-3);   /* it is where the machine has products of bf16 */
}

static void folders_give_what_transformers_computes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[PATH];
        struct golden golden;
        snprintf(path, sizeof path, TEST_DATA "/%s", folders[i].name);
        load_golden(path, &golden);
        check_golden(path, &golden);
        snprintf(path, sizeof path, TEST_DATA "/%s/model.gguf", folders[i].name);
        if (folders[i].has_gguf)
            check_golden(path, &golden);
        mem_free(golden.bytes);
    }
}

/* ---- a configuration changed in one place, over the weights of a good folder ---- */

struct change {
    const char *folder;
    const char *from, *to; /* in config.json */
    int code;
    const char *saying;
};

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* A folder with the changed config.json and a link to the weights. */
static void make_changed(const struct change *change, const char *folder)
{
    char path[PATH], target[PATH], changed[1 << 14];
    char *config;
    size_t length;
    snprintf(path, sizeof path, TEST_DATA "/%s/config.json", change->folder);
    assert_int_equal(file_read_whole(path, 1 << 13, &config, &length, NULL), 0);
    const char *at = strstr(config, change->from);
    if (!at)
        fail_msg("'%s' is not in %s", change->from, path);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - config), config, change->to, at + strlen(change->from));
    mem_free(config);
    snprintf(path, sizeof path, "%s/config.json", folder);
    write_file(path, changed, strlen(changed));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    snprintf(target, sizeof target, TEST_DATA "/%s/model.safetensors", change->folder);
    assert_int_equal(symlink(target, path), 0);
}

static void remove_changed(const char *folder)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

static void check_change(const struct change *change)
{
    char folder[] = "/tmp/sampan_folder_XXXXXX";
    struct checkpoint *checkpoint;
    const struct program *program;
    struct arena arena;
    struct error err = {0};
    assert_non_null(mkdtemp(folder));
    make_changed(change, folder);
    arena_init(&arena, 1 << 24);
    int code = checkpoint_open(folder, &checkpoint, &err);
    if (!code)
        code = model_write_program(checkpoint, NULL, &arena, &program, &err);
    checkpoint_close(checkpoint);
    arena_free(&arena);
    remove_changed(folder);
    if (code != change->code || (code && !strstr(err.message, change->saying)))
        fail_msg("%s -> %s: code %d, '%s', expected %d, '%s'", change->from, change->to, code, err.message, change->code, change->saying);
}

static void configurations_are_read_or_refused_by_name(void **state)
{
    (void)state;
#define TIED "llama_tied"
    static const struct change changes[] = {
        /* other mathematics */
        {TIED, "\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", SAMPAN_EUNSUPPORTED, "metadata 'hidden_act'"},
        {TIED, "\"hidden_act\"", "\"logit_scale\": 2, \"hidden_act\"", SAMPAN_EUNSUPPORTED, "metadata 'logit_scale' is unknown"},
        {TIED, "\"hidden_act\"", "\"quantization_config\": {\"quant_method\": \"gptq\"}, \"hidden_act\"", SAMPAN_EUNSUPPORTED,
         "'quantization_config.quant_method'"},
        {TIED, "\"hidden_act\"", "\"partial_rotary_factor\": 0.5, \"hidden_act\"", SAMPAN_EUNSUPPORTED, "'partial_rotary_factor'"},
        {TIED, "\"hidden_act\"", "\"partial_rotary_factor\": 1, \"hidden_act\"", 0, NULL},
        {TIED, "\"hidden_act\"", "\"sliding_window\": 16, \"hidden_act\"", SAMPAN_EUNSUPPORTED, "'sliding_window' is 16"},
        {TIED, "\"hidden_act\"", "\"sliding_window\": null, \"hidden_act\"", 0, NULL},
        {TIED, "\"hidden_act\"", "\"transformers.js_config\": {\"dtype\": {\"cpu\": \"q4\"}}, \"hidden_act\"", 0, NULL},
        {TIED, "LlamaForCausalLM", "CamelForCausalLM", SAMPAN_EUNSUPPORTED, "CamelForCausalLM"},
        /* rope */
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": \"longrope\"", SAMPAN_EUNSUPPORTED, "'longrope'"},
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": \"dynamic\"", SAMPAN_ENOTFOUND, "rope_parameters.factor"},
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": \"linear\"", SAMPAN_ENOTFOUND, "rope_parameters.factor"},
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": \"linear\", \"factor\": 0", SAMPAN_EFORMAT, "rope_parameters.factor"},
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": \"linear\", \"factor\": NaN", SAMPAN_EFORMAT, "rope_parameters.factor"},
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": \"linear\", \"factor\": Infinity", SAMPAN_EFORMAT, "rope_parameters.factor"},
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": \"linear\", \"factor\": 99999999999999999999999", SAMPAN_EFORMAT, "rope_parameters.factor"},
        {TIED, "\"rope_type\": \"default\"", "\"rope_type\": 7", SAMPAN_EFORMAT, "rope_parameters.rope_type"},
        {"llama_rope_yarn", "\"beta_fast\": 4.0", "\"beta_fast\": 0", SAMPAN_EFORMAT, "rope_parameters.beta_fast"},
        {"llama_rope_yarn", "\"factor\": 4.0", "\"factor\": 4.0, \"attention_factor\": -1", SAMPAN_EFORMAT, "rope_parameters.attention_factor"},
        {"llama_rope_yarn", "\"factor\": 4.0", "\"factor\": 4.0, \"finetune\": 1", SAMPAN_EUNSUPPORTED, "'rope_parameters.finetune' is unknown"},
        {"llama_rope_yarn", "\"factor\": 4.0", "\"factor\": null", 0, NULL},
        {"llama_rope_yarn", "\"rope_theta\": 500.0", "\"rope_theta\": 1.0", SAMPAN_EFORMAT, "base of the rotary embedding"},
        {"llama_rope_yarn_scaled", "\"truncate\": false", "\"truncate\": 0", SAMPAN_EFORMAT, "rope_scaling.truncate"},
        {"llama_rope_llama3", "\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0", SAMPAN_EFORMAT, "high_freq_factor"},
        {"llama_rope_llama3", "\"low_freq_factor\": 1.0", "\"low_freq_factor\": null", SAMPAN_ENOTFOUND, "low_freq_factor"},
        /* sizes against tensors */
        {TIED, "\"hidden_size\": 32", "\"hidden_size\": 64", SAMPAN_EFORMAT, "hidden_size"},
        {TIED, "\"hidden_size\": 32", "\"hidden_size\": -1", SAMPAN_EFORMAT, "metadata 'hidden_size'"},
        {TIED, "\"hidden_size\": 32", "\"hidden_size\": 32.5", SAMPAN_EFORMAT, "metadata 'hidden_size'"},
        {TIED, "\"hidden_size\": 32", "\"hidden_size\": null", SAMPAN_ENOTFOUND, "metadata 'hidden_size'"},
        {TIED, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", SAMPAN_EFORMAT, "multiple of"},
        {TIED, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", SAMPAN_EUNSUPPORTED, "model.layers.1."},
        {TIED, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", SAMPAN_ENOTFOUND, "model.layers.2."},
        {TIED, "\"vocab_size\": 128", "\"vocab_size\": 127", SAMPAN_EFORMAT, "vocab_size"},
        /* the head, biases */
        {TIED, "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false", SAMPAN_ENOTFOUND, "lm_head.weight"},
        {TIED, "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": \"yes\"", SAMPAN_EFORMAT, "tie_word_embeddings"},
        {TIED, "\"attention_bias\": false", "\"attention_bias\": true", SAMPAN_ENOTFOUND, "q_proj.bias"},
        {"llama_biases", "\"attention_bias\": true", "\"attention_bias\": false", SAMPAN_EUNSUPPORTED, "q_proj.bias"},
        {"llama_biases", "\"mlp_bias\": true", "\"mlp_bias\": false", SAMPAN_EUNSUPPORTED, "gate_proj.bias"},
        {"llama_biases", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", 0, NULL},
        {"qwen2", "\"use_sliding_window\": false", "\"use_sliding_window\": 3", SAMPAN_EFORMAT, "use_sliding_window"},
        {"qwen2_window", "\"max_window_layers\": 1", "\"max_window_layers\": -1", 0, NULL}, /* layer_types tells */
        {"qwen3", "\"attention_bias\": false", "\"attention_bias\": true", SAMPAN_ENOTFOUND, "q_proj.bias"},
        {"mistral_window", "MistralForCausalLM", "Qwen2ForCausalLM", SAMPAN_ENOTFOUND,
         "q_proj.bias' is missing, but the family 'Qwen2ForCausalLM' always has it"},
        {"qwen2", "Qwen2ForCausalLM", "LlamaForCausalLM", SAMPAN_EUNSUPPORTED, "'max_window_layers' is unknown to the family 'LlamaForCausalLM'"},
        {"qwen3", "\"head_dim\": 16,", "", SAMPAN_EFORMAT, "expected [512, 32]"}, /* 128, as transformers takes it */
        /* what differs between layers */
        {"ministral_layers", "\"full_attention\",", "", SAMPAN_EFORMAT, "'layer_types' is no list of 2 strings"},
        {"ministral_layers", "\"full_attention\"", "\"chunked_attention\"", SAMPAN_EUNSUPPORTED, "'chunked_attention' for layer 0"},
        {"smollm3_window", "\"no_rope_layers\": [", "\"no_rope_layers\": [\"x\"], \"unsloth_version\": [", SAMPAN_EFORMAT, "'no_rope_layers' is no list"},
        {"smollm3_window", "\"no_rope_layer_interval\": 4", "\"no_rope_layer_interval\": 0", SAMPAN_EFORMAT, "'no_rope_layer_interval' is 0"},
        /* a window that reaches over the whole context is none */
        {"mistral_window", "\"sliding_window\": 8", "\"sliding_window\": 128", 0, NULL},
        {"mistral_window", "\"sliding_window\": 8", "\"sliding_window\": 0", SAMPAN_EFORMAT, "sliding_window"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_change(&changes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_give_what_transformers_computes),
        cmocka_unit_test(configurations_are_read_or_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
