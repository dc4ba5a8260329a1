#include "model/decoder_family.h"

#include <math.h>
#include <string.h>

#include "model/rope.h"

/* ---- The keys that all families of decoders share. Tensors as llama.cpp's converter names them, or as transformers does. */

#define SIZE(gguf, hugging_face, use, minimum, maximum, member)                                                                                                \
    {                                                                                                                                                          \
        gguf, hugging_face, use, minimum, maximum, offsetof(struct decoder, member), 0, NULL                                                                   \
    }
/* Both spellings of the nested object with the rotary rule. */
#define ROPE_RULE(key) KEY_READ(NULL, "rope_scaling." key), KEY_READ(NULL, "rope_parameters." key)

static const struct config_key shared_keys[] = {
    SIZE("block_count", "num_hidden_layers", CONFIG_REQUIRED, 1, LIMIT_LAYERS, n_layers),
    SIZE("context_length", "max_position_embeddings", CONFIG_REQUIRED, 1, LIMIT_CONTEXT, context_length),
    SIZE("embedding_length", "hidden_size", CONFIG_REQUIRED, 1, LIMIT_WIDTH, hidden),
    SIZE("feed_forward_length", "intermediate_size", CONFIG_REQUIRED, 1, LIMIT_WIDTH, feed_forward),
    SIZE("attention.head_count", "num_attention_heads", CONFIG_REQUIRED, 1, LIMIT_HEADS, n_heads),
    SIZE("attention.head_count_kv", "num_key_value_heads", CONFIG_OPTIONAL, 1, LIMIT_HEADS, n_kv_heads),
    SIZE("attention.key_length", "head_dim", CONFIG_OPTIONAL, 1, LIMIT_HEAD_WIDTH, key_width),
    SIZE("attention.value_length", NULL, CONFIG_OPTIONAL, 1, LIMIT_HEAD_WIDTH, value_width),
    SIZE("rope.dimension_count", NULL, CONFIG_OPTIONAL, 0, LIMIT_HEAD_WIDTH, rotary_width),
    SIZE("vocab_size", "vocab_size", CONFIG_OPTIONAL, 1, LIMIT_VOCABULARY, n_vocabulary),
    KEY_READ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    /* rotary embedding: rope.c */
    KEY_READ("rope.freq_base", "rope_theta"),
    KEY_READ("rope.scale_linear", NULL),
    KEY_READ("rope.scaling.type", NULL),
    KEY_READ("rope.scaling.factor", NULL),
    KEY_READ("rope.scaling.original_context_length", "original_max_position_embeddings"),
    KEY_READ("rope.scaling.yarn_beta_fast", NULL),
    KEY_READ("rope.scaling.yarn_beta_slow", NULL),
    KEY_HARMLESS("rope.scaling.finetuned", NULL),
    KEY_NEUTRAL("rope.scaling.attn_factor", NULL, 1),
    KEY_NEUTRAL("rope.scaling.yarn_attn_factor", NULL, 1),
    KEY_NEUTRAL("rope.scaling.yarn_ext_factor", NULL, 1),
    KEY_NEUTRAL("rope.scaling.yarn_log_multiplier", NULL, 0),
    ROPE_RULE("rope_type"),
    ROPE_RULE("type"),
    ROPE_RULE("rope_theta"),
    ROPE_RULE("factor"),
    ROPE_RULE("low_freq_factor"),
    ROPE_RULE("high_freq_factor"),
    ROPE_RULE("original_max_position_embeddings"),
    ROPE_RULE("attention_factor"),
    ROPE_RULE("beta_fast"),
    ROPE_RULE("beta_slow"),
    ROPE_RULE("mscale"),
    ROPE_RULE("mscale_all_dim"),
    ROPE_RULE("truncate"),
    KEY_NEUTRAL(NULL, "rope_parameters.partial_rotary_factor", 1),
    KEY_NEUTRAL(NULL, "rope_scaling.finetuned", 0),
    KEY_NEUTRAL(NULL, "partial_rotary_factor", 1),
    KEY_NEUTRAL(NULL, "rope_interleaved", 0),
    /* what would be other blocks */
    {NULL, "hidden_act", CONFIG_NEUTRAL, 0, 0, 0, 0, "silu"},
    KEY_NEUTRAL("use_parallel_residual", NULL, 0),
    KEY_NEUTRAL("expert_count", NULL, 0),
    KEY_NEUTRAL("expert_used_count", NULL, 0),
    KEY_NEUTRAL("expert_shared_count", NULL, 0),
    KEY_NEUTRAL("attention.sliding_window", NULL, 0),
    KEY_NEUTRAL("attention.causal", NULL, 1),
    KEY_NEUTRAL("attention.clamp_kqv", NULL, 0),
    KEY_NEUTRAL("attention.max_alibi_bias", NULL, 0),
    KEY_NEUTRAL("attn_logit_softcapping", NULL, 0),
    KEY_NEUTRAL("final_logit_softcapping", NULL, 0),
    KEY_NEUTRAL("logit_scale", NULL, 1),
    KEY_NEUTRAL("residual_scale", NULL, 1),
    KEY_NEUTRAL("embedding_scale", NULL, 1),
    KEY_NEUTRAL(NULL, "is_encoder_decoder", 0),
    KEY_NEUTRAL(NULL, "add_cross_attention", 0),
    KEY_NEUTRAL(NULL, "is_causal", 1),
    KEY_READ(NULL, "tie_word_embeddings"),
    /* harmless */
    KEY_HARMLESS("tensor_data_layout", NULL), /* tells where the rows' permutation came from */
    KEY_HARMLESS("pooling_type", NULL),
    KEY_HARMLESS(NULL, "is_decoder"),
    KEY_HARMLESS(NULL, "architectures"),
    KEY_HARMLESS(NULL, "model_type"),
    KEY_HARMLESS(NULL, "torch_dtype"),
    KEY_HARMLESS(NULL, "dtype"),
    KEY_HARMLESS(NULL, "transformers_version"),
    KEY_HARMLESS(NULL, "bos_token_id"),
    KEY_HARMLESS(NULL, "eos_token_id"),
    KEY_HARMLESS(NULL, "pad_token_id"),
    KEY_HARMLESS(NULL, "unk_token_id"),
    KEY_HARMLESS(NULL, "sep_token_id"),
    KEY_HARMLESS(NULL, "use_cache"),
    KEY_HARMLESS(NULL, "initializer_range"),
    KEY_HARMLESS(NULL, "attention_dropout"), /* in training */
    KEY_HARMLESS(NULL, "pretraining_tp"),    /* cuts the products into pieces: the same sums in another order */
    KEY_HARMLESS(NULL, "_name_or_path"),
    KEY_HARMLESS(NULL, "return_dict"),
    KEY_HARMLESS(NULL, "output_attentions"),
    KEY_HARMLESS(NULL, "output_hidden_states"),
    KEY_HARMLESS(NULL, "torchscript"),
    KEY_HARMLESS(NULL, "is_llama_config"),
    KEY_HARMLESS(NULL, "_attn_implementation_autoset"),
    KEY_HARMLESS(NULL, "unsloth_fixed"),
    KEY_HARMLESS(NULL, "unsloth_version"),
    KEY_HARMLESS(NULL, "max_sequence_length"),
    KEY_HARMLESS(NULL, "transformers.js_config.*"),
    KEY_HARMLESS(NULL, "task_specific_params.*"),
    KEY_HARMLESS(NULL, "id2label.*"),
    KEY_HARMLESS(NULL, "label2id.*"),
};

const char *const decoder_known_unused[] = {
    "blk.*.attn_rot_embd",
    "an old buffer of rotary frequencies, computed here",
    "blk.*.attn_rot_embd.weight",
    "the same",
    "model.layers.*.self_attn.rotary_emb.inv_freq",
    "the same in old safetensors",
    "model.rotary_emb.inv_freq",
    "the same",
    NULL,
    NULL,
};

/* ---- Sizes that files leave out. */

static int fill_vocabulary(struct decoder *decoder, const struct checkpoint *checkpoint, struct error *err)
{
    const char *name = checkpoint->kind == CHECKPOINT_GGUF ? "token_embd.weight" : "model.embed_tokens.weight";
    const struct checkpoint_tensor *embedding = checkpoint_find_tensor(checkpoint, name);
    if (!decoder->n_vocabulary && embedding && embedding->n_dimensions == 2 && embedding->shape[0] <= LIMIT_VOCABULARY)
        decoder->n_vocabulary = (int32_t)embedding->shape[0];
    if (decoder->n_vocabulary)
        return 0;
    return error_set(err, SAMPAN_ENOTFOUND, "neither metadata 'vocab_size' nor a tensor '%s' of two dimensions says how large the vocabulary is", name);
}

static int fill_sizes(struct decoder *decoder, const struct decoder_family *family, const struct checkpoint *checkpoint, struct error *err)
{
    bool is_gguf = checkpoint->kind == CHECKPOINT_GGUF;
    if (!decoder->n_kv_heads)
        decoder->n_kv_heads = decoder->n_heads;
    if (!is_gguf && !decoder->key_width && !checkpoint_is_null(checkpoint, "head_dim"))
        decoder->key_width = family->head_width;
    if (!is_gguf)
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
    return fill_vocabulary(decoder, checkpoint, err);
}

/* ---- Norms, head, biases. */

static int read_epsilon(struct decoder *decoder, const struct checkpoint *checkpoint, struct error *err)
{
    char name[CONFIG_KEY_SIZE] = "rms_norm_eps";
    double epsilon = 1e-6; /* where config.json leaves it out, as transformers does */
    bool found, is_gguf = checkpoint->kind == CHECKPOINT_GGUF;
    if (is_gguf)
        config_key_name(checkpoint, "attention.layer_norm_rms_epsilon", name);
    int status = checkpoint_get_float(checkpoint, name, 0, 1, &epsilon, is_gguf ? NULL : &found, err);
    decoder->norm_epsilon = (float)epsilon;
    return status;
}

static int read_head(struct decoder *decoder, const struct decoder_family *family, const struct checkpoint *checkpoint, struct error *err)
{
    bool found;
    if (checkpoint->kind == CHECKPOINT_GGUF) /* tied when there is no tensor for it */
        return 0;
    decoder->is_head_tied = family->is_head_tied;
    int status = checkpoint_get_bool(checkpoint, "tie_word_embeddings", &decoder->is_head_tied, &found, err);
    decoder->is_head_required = !decoder->is_head_tied;
    return status;
}

static int check_bias(const struct checkpoint *checkpoint, const struct bias_rule *rule, bool is_expected, const char *name, struct error *err)
{
    bool is_there = checkpoint_find_tensor(checkpoint, name) != NULL;
    if (is_there == is_expected)
        return 0;
    if (!rule->key)
        return error_set(err, is_expected ? SAMPAN_ENOTFOUND : SAMPAN_EUNSUPPORTED, "tensor '%s' is %s, but the family '%s' always has %s", name,
                         is_expected ? "missing" : "there", checkpoint->architecture, is_expected ? "it" : "this linear without a bias");
    if (is_expected)
        return error_set(err, SAMPAN_ENOTFOUND, "tensor '%s' is missing, but '%s' in config.json is true", name, rule->key);
    return error_set(err, SAMPAN_EUNSUPPORTED, "tensor '%s' is there, but '%s' in config.json is not true: one of them is wrong", name, rule->key);
}

/* transformers leaves a bias out when the configuration does not ask for it, whatever the file holds. */
static int check_bias_rule(const struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, const struct bias_rule *rule,
                           struct error *err)
{
    bool is_expected = rule->is_there, found;
    if (rule->key && checkpoint->kind == CHECKPOINT_GGUF)
        return 0;
    int status = rule->key ? checkpoint_get_bool(checkpoint, rule->key, &is_expected, &found, err) : 0;
    for (int32_t layer = 0; !status && layer < decoder->n_layers; layer++) {
        for (size_t i = 0; !status && i < rule->n_tensors; i++) {
            const char *name = decoder_tensor_name(checkpoint, arena, rule->tensors[i], layer, "bias");
            status = name ? check_bias(checkpoint, rule, is_expected, name, err) : error_no_memory(err, "checking biases");
        }
    }
    return status;
}

/* ---- Windows. */

bool *decoder_layer_flags(const struct decoder *decoder, struct arena *arena, bool value, struct error *err)
{
    bool *flags = arena_alloc_array(arena, (size_t)decoder->n_layers, sizeof *flags);
    if (!flags)
        error_no_memory(err, "reading what differs between layers");
    for (int32_t layer = 0; flags && layer < decoder->n_layers; layer++)
        flags[layer] = value;
    return flags;
}

int decoder_read_window(struct decoder *decoder, const struct checkpoint *checkpoint, const char *key, struct error *err)
{
    int64_t window = 0, minimum = checkpoint->kind == CHECKPOINT_GGUF ? 0 : 1; /* 0 means none in GGUF alone */
    bool found;
    int status = checkpoint_get_int(checkpoint, key, minimum, LIMIT_CONTEXT, &window, &found, err);
    if (!status && found)
        decoder->window = window < decoder->context_length ? (int32_t)window : 0;
    return status;
}

int decoder_read_layer_types(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, bool *found, struct error *err)
{
    const struct metadata_value *types = checkpoint_find(checkpoint, "layer_types");
    *found = types != NULL;
    if (!types)
        return 0;
    if (types->type != METADATA_ARRAY || types->array.element_type != METADATA_STRING || types->array.count != (size_t)decoder->n_layers)
        return error_set(err, SAMPAN_EFORMAT, "metadata 'layer_types' is no list of %d strings, one per layer", decoder->n_layers);
    bool *flags = decoder_layer_flags(decoder, arena, false, err);
    if (!flags)
        return SAMPAN_ENOMEM;
    for (int32_t layer = 0; layer < decoder->n_layers; layer++) {
        const char *type = types->array.elements[layer].string.data;
        flags[layer] = strcmp(type, "sliding_attention") == 0;
        if (!flags[layer] && strcmp(type, "full_attention") != 0)
            return error_set(err, SAMPAN_EUNSUPPORTED, "metadata 'layer_types' has '%s' for layer %d, supported are full_attention and sliding_attention", type,
                             layer);
    }
    decoder->has_window = flags;
    return 0;
}

int decoder_read_upper_window(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, struct error *err)
{
    bool is_used = false, found;
    int64_t first = 28; /* as transformers does where the key is absent */
    int status = checkpoint_get_bool(checkpoint, "use_sliding_window", &is_used, &found, err);
    if (status || !is_used)
        return status;
    decoder->window = checkpoint_is_null(checkpoint, "sliding_window") || decoder->context_length <= 4096 ? 0 : 4096;
    status = decoder_read_window(decoder, checkpoint, "sliding_window", err);
    if (!status)
        status = decoder_read_layer_types(decoder, checkpoint, arena, &found, err);
    if (status || found || !decoder->window)
        return status;
    status = checkpoint_get_int(checkpoint, "max_window_layers", 0, LIMIT_LAYERS, &first, &found, err);
    bool *flags = status ? NULL : decoder_layer_flags(decoder, arena, false, err);
    for (int64_t layer = first; flags && layer < decoder->n_layers; layer++)
        flags[layer] = true;
    decoder->has_window = flags;
    return status || flags ? status : SAMPAN_ENOMEM;
}

/* ---- The whole. */

static int read_decoder(const struct decoder_family *family, struct model_source *source, struct arena *arena, struct decoder *decoder, struct error *err)
{
    const struct checkpoint *checkpoint = source->checkpoint;
    const struct config_table tables[] = {family->keys, {shared_keys, sizeof shared_keys / sizeof shared_keys[0]}};
    *decoder = (struct decoder){.rotary_width = -1, .embed_scale = 1, .has_head_norms = family->has_head_norms};
    decoder->pairing = checkpoint->kind == CHECKPOINT_GGUF ? family->pairing : ROPE_HALVES;
    int status = config_read(checkpoint, tables, 2, decoder, err);
    if (!status)
        status = fill_sizes(decoder, family, checkpoint, err);
    if (!status)
        status = read_epsilon(decoder, checkpoint, err);
    if (!status)
        status = read_head(decoder, family, checkpoint, err);
    for (size_t i = 0; !status && i < family->n_biases; i++)
        status = check_bias_rule(decoder, checkpoint, arena, &family->biases[i], err);
    if (!status)
        status = rope_read(source, family->rope_theta, arena, decoder, err);
    if (!status && family->refine)
        status = family->refine(decoder, checkpoint, arena, err);
    if (!status)
        decoder->attention_scale = (float)(1 / sqrt((double)decoder->key_width));
    return status;
}

int decoder_family_write_program(const struct model_family *family, struct model_source *source, const struct model_options *options, struct arena *arena,
                                 const struct program **program, struct error *err)
{
    struct decoder decoder;
    int status = read_decoder(family->decoder, source, arena, &decoder, err);
    return status ? status : decoder_write_program(&decoder, source, options, arena, program, err);
}
