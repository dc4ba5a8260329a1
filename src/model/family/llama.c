/* Llama (Touvron et al. 2023) and the models that are one in all but name: Mistral 7B v0.2+, SmolLM2, TinyLlama, Yi and others. Keys and tensors as llama.cpp's
 * converter writes them (its query and key rows are permuted so that rotary pairs are adjacent), or as transformers does (pairs are halves of a head). */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/decoder.h"
#include "model/family/family.h"
#include "model/rope.h"

static const struct config_key llama_keys[] = {
    {"block_count", "num_hidden_layers", CONFIG_REQUIRED, 1, LIMIT_LAYERS, offsetof(struct decoder, n_layers), 0, NULL},
    {"context_length", "max_position_embeddings", CONFIG_REQUIRED, 1, LIMIT_CONTEXT, offsetof(struct decoder, context_length), 0, NULL},
    {"embedding_length", "hidden_size", CONFIG_REQUIRED, 1, LIMIT_WIDTH, offsetof(struct decoder, hidden), 0, NULL},
    {"feed_forward_length", "intermediate_size", CONFIG_REQUIRED, 1, LIMIT_WIDTH, offsetof(struct decoder, feed_forward), 0, NULL},
    {"attention.head_count", "num_attention_heads", CONFIG_REQUIRED, 1, LIMIT_HEADS, offsetof(struct decoder, n_heads), 0, NULL},
    {"attention.head_count_kv", "num_key_value_heads", CONFIG_OPTIONAL, 1, LIMIT_HEADS, offsetof(struct decoder, n_kv_heads), 0, NULL},
    {"attention.key_length", "head_dim", CONFIG_OPTIONAL, 1, LIMIT_HEAD_WIDTH, offsetof(struct decoder, key_width), 0, NULL},
    {"attention.value_length", NULL, CONFIG_OPTIONAL, 1, LIMIT_HEAD_WIDTH, offsetof(struct decoder, value_width), 0, NULL},
    {"rope.dimension_count", NULL, CONFIG_OPTIONAL, 0, LIMIT_HEAD_WIDTH, offsetof(struct decoder, rotary_width), 0, NULL},
    {"vocab_size", "vocab_size", CONFIG_OPTIONAL, 1, LIMIT_VOCABULARY, offsetof(struct decoder, n_vocabulary), 0, NULL},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", CONFIG_READ, 0, 0, 0, 0, NULL},
    {"rope.freq_base", NULL, CONFIG_READ, 0, 0, 0, 0, NULL},
    {"rope.scale_linear", NULL, CONFIG_READ, 0, 0, 0, 0, NULL},
    {"rope.scaling.type", NULL, CONFIG_READ, 0, 0, 0, 0, NULL},
    {"rope.scaling.factor", NULL, CONFIG_READ, 0, 0, 0, 0, NULL},
    {"rope.scaling.original_context_length", NULL, CONFIG_HARMLESS, 0, 0, 0, 0, NULL}, /* of yarn, which is refused by its type */
    {"rope.scaling.finetuned", NULL, CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {"tensor_data_layout", NULL, CONFIG_HARMLESS, 0, 0, 0, 0, NULL}, /* tells where the rows' permutation came from */
    {"rope.scaling.attn_factor", NULL, CONFIG_NEUTRAL, 0, 0, 0, 1, NULL},
    {"use_parallel_residual", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"expert_count", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"expert_used_count", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"expert_shared_count", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"attention.sliding_window", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"attention.causal", NULL, CONFIG_NEUTRAL, 0, 0, 0, 1, NULL},
    {"attention.clamp_kqv", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"attention.max_alibi_bias", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"attn_logit_softcapping", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"final_logit_softcapping", NULL, CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {"logit_scale", NULL, CONFIG_NEUTRAL, 0, 0, 0, 1, NULL},
    {"residual_scale", NULL, CONFIG_NEUTRAL, 0, 0, 0, 1, NULL},
    {"embedding_scale", NULL, CONFIG_NEUTRAL, 0, 0, 0, 1, NULL},
    /* config.json alone */
    {NULL, "rope_theta", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_scaling.rope_type", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_scaling.type", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_scaling.rope_theta", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_scaling.factor", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_scaling.low_freq_factor", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_scaling.high_freq_factor", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_scaling.original_max_position_embeddings", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_parameters.rope_type", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_parameters.type", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_parameters.rope_theta", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_parameters.factor", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_parameters.low_freq_factor", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_parameters.high_freq_factor", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "rope_parameters.original_max_position_embeddings", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "tie_word_embeddings", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "attention_bias", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "mlp_bias", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "sliding_window", CONFIG_READ, 0, 0, 0, 0, NULL},
    {NULL, "hidden_act", CONFIG_NEUTRAL, 0, 0, 0, 0, "silu"},
    {NULL, "partial_rotary_factor", CONFIG_NEUTRAL, 0, 0, 0, 1, NULL},
    {NULL, "rope_parameters.partial_rotary_factor", CONFIG_NEUTRAL, 0, 0, 0, 1, NULL},
    {NULL, "rope_interleaved", CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {NULL, "is_decoder", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "is_encoder_decoder", CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {NULL, "add_cross_attention", CONFIG_NEUTRAL, 0, 0, 0, 0, NULL},
    {NULL, "architectures", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "model_type", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "torch_dtype", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "dtype", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "transformers_version", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "bos_token_id", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "eos_token_id", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "pad_token_id", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "unk_token_id", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "sep_token_id", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "use_cache", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "initializer_range", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "attention_dropout", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "pretraining_tp", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "_name_or_path", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "return_dict", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "output_attentions", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "output_hidden_states", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "torchscript", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "is_llama_config", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "_attn_implementation_autoset", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "unsloth_fixed", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "unsloth_version", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "max_sequence_length", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "transformers.js_config.*", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "task_specific_params.*", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "id2label.*", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
    {NULL, "label2id.*", CONFIG_HARMLESS, 0, 0, 0, 0, NULL},
};

/* Sizes that old files leave out. */
static int fill_defaults(struct decoder *decoder, const struct checkpoint *checkpoint, struct error *err)
{
    if (!decoder->n_kv_heads)
        decoder->n_kv_heads = decoder->n_heads;
    if (checkpoint->kind == CHECKPOINT_HUGGING_FACE)
        decoder->value_width = decoder->key_width; /* head_dim is both */
    if (!decoder->key_width || !decoder->value_width) {
        int32_t width = decoder->hidden / decoder->n_heads;
        if (decoder->hidden % decoder->n_heads || width > LIMIT_HEAD_WIDTH)
            return error_set(err, SAMPAN_EFORMAT, "embedding_length is %d, expected a multiple of attention.head_count, %d, with heads of at most %d",
                             decoder->hidden, decoder->n_heads, LIMIT_HEAD_WIDTH);
        decoder->key_width = decoder->key_width ? decoder->key_width : width;
        decoder->value_width = decoder->value_width ? decoder->value_width : width;
    }
    if (decoder->rotary_width < 0)
        decoder->rotary_width = decoder->key_width;
    const struct checkpoint_tensor *embedding = checkpoint_find_tensor(checkpoint, "token_embd.weight");
    if (!decoder->n_vocabulary && embedding && embedding->n_dimensions == 2 && embedding->shape[0] <= LIMIT_VOCABULARY)
        decoder->n_vocabulary = (int32_t)embedding->shape[0];
    if (!decoder->n_vocabulary)
        return error_set(err, SAMPAN_ENOTFOUND,
                         "neither metadata '%s.vocab_size' nor a tensor 'token_embd.weight' of two dimensions says how large the vocabulary is",
                         checkpoint->architecture);
    return 0;
}

static int read_gguf(struct decoder *decoder, const struct checkpoint *checkpoint, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    double epsilon;
    config_key_name(checkpoint, "attention.layer_norm_rms_epsilon", name);
    int status = checkpoint_get_float(checkpoint, name, 0, 1, &epsilon, NULL, err);
    if (!status)
        decoder->norm_epsilon = (float)epsilon;
    return status;
}

/* ---- what config.json says apart from sizes ---- */

/* transformers leaves a bias out when the configuration does not ask for it, whatever the file holds: where the two differ one of them is wrong. */
static int check_biases(const struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, const char *key,
                        const enum decoder_tensor *tensors, size_t n, struct error *err)
{
    bool is_asked_for = false, found;
    int status = checkpoint_get_bool(checkpoint, key, &is_asked_for, &found, err);
    for (int32_t layer = 0; !status && layer < decoder->n_layers; layer++) {
        for (size_t i = 0; !status && i < n; i++) {
            const char *name = decoder_tensor_name(checkpoint, arena, tensors[i], layer, "bias");
            if (!name)
                status = error_no_memory(err, "checking biases");
            else if (is_asked_for && !checkpoint_find_tensor(checkpoint, name))
                status = error_set(err, SAMPAN_ENOTFOUND, "tensor '%s' is missing, but '%s' in config.json is true", name, key);
            else if (!is_asked_for && checkpoint_find_tensor(checkpoint, name))
                status = error_set(err, SAMPAN_EUNSUPPORTED, "tensor '%s' is there, but '%s' in config.json is not true: one of them is wrong", name, key);
        }
    }
    return status;
}

/* Mistral's; a window that no position is beyond is none. */
static int read_window(struct decoder *decoder, const struct checkpoint *checkpoint, struct error *err)
{
    int64_t window = 0;
    bool found;
    int status = checkpoint_get_int(checkpoint, "sliding_window", 1, LIMIT_CONTEXT, &window, &found, err);
    if (status || !found || window >= decoder->context_length)
        return status;
    if (strcmp(checkpoint->architecture, "MistralForCausalLM") != 0)
        return error_set(err, SAMPAN_EUNSUPPORTED, "metadata 'sliding_window' is %d, which only MistralForCausalLM has, not %s", (int)window,
                         checkpoint->architecture);
    decoder->window = (int32_t)window;
    return 0;
}

static int read_hugging_face(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, struct error *err)
{
    static const enum decoder_tensor attention[] = {DECODER_QUERY, DECODER_KEY, DECODER_VALUE, DECODER_ATTENTION_OUTPUT};
    static const enum decoder_tensor feed_forward[] = {DECODER_GATE, DECODER_UP, DECODER_DOWN};
    double epsilon = 1e-6; /* where the configuration leaves it out, as transformers does */
    bool found;
    int status = checkpoint_get_float(checkpoint, "rms_norm_eps", 0, 1, &epsilon, &found, err);
    if (!status)
        status = checkpoint_get_bool(checkpoint, "tie_word_embeddings", &decoder->is_head_tied, &found, err);
    if (!status)
        status = read_window(decoder, checkpoint, err);
    if (!status)
        status = check_biases(decoder, checkpoint, arena, "attention_bias", attention, 4, err);
    if (!status)
        status = check_biases(decoder, checkpoint, arena, "mlp_bias", feed_forward, 3, err);
    decoder->norm_epsilon = (float)epsilon;
    decoder->is_head_required = !decoder->is_head_tied;
    decoder->pairing = ROPE_HALVES;
    return status;
}

static int read_decoder(struct model_source *source, struct arena *arena, struct decoder *decoder, struct error *err)
{
    const struct checkpoint *checkpoint = source->checkpoint;
    *decoder = (struct decoder){.rotary_width = -1, .pairing = ROPE_ADJACENT, .rope_magnitude = 1, .embed_scale = 1};
    int status = config_read(checkpoint, llama_keys, sizeof llama_keys / sizeof llama_keys[0], decoder, err);
    if (!status)
        status = fill_defaults(decoder, checkpoint, err);
    if (!status)
        status = checkpoint->kind == CHECKPOINT_GGUF ? read_gguf(decoder, checkpoint, err) : read_hugging_face(decoder, checkpoint, arena, err);
    if (!status)
        status = rope_read_frequencies(source, decoder->rotary_width, arena, &decoder->frequencies, err);
    if (!status)
        decoder->attention_scale = (float)(1 / sqrt((double)decoder->key_width));
    return status;
}

static int write_program(struct model_source *source, const struct model_options *options, struct arena *arena, const struct program **program,
                         struct error *err)
{
    struct decoder decoder;
    int status = read_decoder(source, arena, &decoder, err);
    return status ? status : decoder_write_program(&decoder, source, options, arena, program, err);
}

static const char *const architectures[] = {"llama", "LlamaForCausalLM", "MistralForCausalLM", NULL};
static const char *const known_unused[] = {
    "blk.*.attn_rot_embd",
    "an old buffer of rotary frequencies, computed here",
    "blk.*.attn_rot_embd.weight",
    "the same",
    "model.layers.*.self_attn.rotary_emb.inv_freq",
    "the same in old safetensors",
    NULL,
    NULL,
};

const struct model_family llama_family = {
    .name = "llama",
    .architectures = architectures,
    .known_unused = known_unused,
    .write_program = write_program,
};
