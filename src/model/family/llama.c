/* Llama (Touvron et al. 2023) and the models that are one in all but name: Mistral 7B v0.2+, SmolLM2, TinyLlama, Yi and others. Keys and tensors as llama.cpp's
 * converter writes them; its query and key rows are permuted so that rotary pairs are adjacent. */
#include <math.h>

#include "model/config.h"
#include "model/decoder.h"
#include "model/family/family.h"
#include "model/rope.h"

static const struct config_key llama_keys[] = {
    {"block_count", CONFIG_REQUIRED, 1, LIMIT_LAYERS, offsetof(struct decoder, n_layers), 0},
    {"context_length", CONFIG_REQUIRED, 1, LIMIT_CONTEXT, offsetof(struct decoder, context_length), 0},
    {"embedding_length", CONFIG_REQUIRED, 1, LIMIT_WIDTH, offsetof(struct decoder, hidden), 0},
    {"feed_forward_length", CONFIG_REQUIRED, 1, LIMIT_WIDTH, offsetof(struct decoder, feed_forward), 0},
    {"attention.head_count", CONFIG_REQUIRED, 1, LIMIT_HEADS, offsetof(struct decoder, n_heads), 0},
    {"attention.head_count_kv", CONFIG_OPTIONAL, 1, LIMIT_HEADS, offsetof(struct decoder, n_kv_heads), 0},
    {"attention.key_length", CONFIG_OPTIONAL, 1, LIMIT_HEAD_WIDTH, offsetof(struct decoder, key_width), 0},
    {"attention.value_length", CONFIG_OPTIONAL, 1, LIMIT_HEAD_WIDTH, offsetof(struct decoder, value_width), 0},
    {"rope.dimension_count", CONFIG_OPTIONAL, 0, LIMIT_HEAD_WIDTH, offsetof(struct decoder, rotary_width), 0},
    {"vocab_size", CONFIG_OPTIONAL, 1, LIMIT_VOCABULARY, offsetof(struct decoder, n_vocabulary), 0},
    {"attention.layer_norm_rms_epsilon", CONFIG_READ, 0, 0, 0, 0},
    {"rope.freq_base", CONFIG_READ, 0, 0, 0, 0},
    {"rope.scale_linear", CONFIG_READ, 0, 0, 0, 0},
    {"rope.scaling.type", CONFIG_READ, 0, 0, 0, 0},
    {"rope.scaling.factor", CONFIG_READ, 0, 0, 0, 0},
    {"rope.scaling.original_context_length", CONFIG_HARMLESS, 0, 0, 0, 0}, /* of yarn, which is refused by its type */
    {"rope.scaling.finetuned", CONFIG_HARMLESS, 0, 0, 0, 0},
    {"tensor_data_layout", CONFIG_HARMLESS, 0, 0, 0, 0}, /* tells where the rows' permutation came from */
    {"rope.scaling.attn_factor", CONFIG_NEUTRAL, 0, 0, 0, 1},
    {"use_parallel_residual", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"expert_count", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"expert_used_count", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"expert_shared_count", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"attention.sliding_window", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"attention.causal", CONFIG_NEUTRAL, 0, 0, 0, 1},
    {"attention.clamp_kqv", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"attention.max_alibi_bias", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"attn_logit_softcapping", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"final_logit_softcapping", CONFIG_NEUTRAL, 0, 0, 0, 0},
    {"logit_scale", CONFIG_NEUTRAL, 0, 0, 0, 1},
    {"residual_scale", CONFIG_NEUTRAL, 0, 0, 0, 1},
    {"embedding_scale", CONFIG_NEUTRAL, 0, 0, 0, 1},
};

/* Sizes that old files leave out. */
static int fill_defaults(struct decoder *decoder, const struct checkpoint *checkpoint, struct error *err)
{
    if (!decoder->n_kv_heads)
        decoder->n_kv_heads = decoder->n_heads;
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

static int read_decoder(struct model_source *source, struct arena *arena, struct decoder *decoder, struct error *err)
{
    const struct checkpoint *checkpoint = source->checkpoint;
    char name[CONFIG_KEY_SIZE];
    double epsilon;
    *decoder = (struct decoder){.rotary_width = -1, .pairing = ROPE_ADJACENT, .rope_magnitude = 1, .embed_scale = 1};
    int status = config_read(checkpoint, llama_keys, sizeof llama_keys / sizeof llama_keys[0], decoder, err);
    if (!status)
        status = fill_defaults(decoder, checkpoint, err);
    config_key_name(checkpoint, "attention.layer_norm_rms_epsilon", name);
    if (!status)
        status = checkpoint_get_float(checkpoint, name, 0, 1, &epsilon, NULL, err);
    if (!status)
        status = rope_read_frequencies(source, decoder->rotary_width, arena, &decoder->frequencies, err);
    if (status)
        return status;
    decoder->norm_epsilon = (float)epsilon;
    decoder->attention_scale = (float)(1 / sqrt((double)decoder->key_width));
    return 0;
}

static int write_program(struct model_source *source, const struct model_options *options, struct arena *arena, const struct program **program,
                         struct error *err)
{
    struct decoder decoder;
    int status = read_decoder(source, arena, &decoder, err);
    return status ? status : decoder_write_program(&decoder, source, options, arena, program, err);
}

static const char *const architectures[] = {"llama", NULL};
static const char *const known_unused[] = {
    "blk.*.attn_rot_embd", "an old buffer of rotary frequencies, computed here", "blk.*.attn_rot_embd.weight", "the same", NULL, NULL,
};

const struct model_family llama_family = {
    .name = "llama",
    .architectures = architectures,
    .known_unused = known_unused,
    .write_program = write_program,
};
