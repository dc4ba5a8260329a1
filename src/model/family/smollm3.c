/* SmolLM3 (Hugging Face 2025): Llama's blocks; every fourth layer does not rotate query and key, so that it sees content without position ("NoPE",
 * Kazemnejad et al. 2023). In GGUF, query and key rows are permuted as Llama's are. */
#include "model/decoder_family.h"
#include "model/family/family.h"

static const struct config_key smollm3_keys[] = {
    KEY_READ(NULL, "no_rope_layers"),     KEY_READ(NULL, "no_rope_layer_interval"), KEY_READ(NULL, "attention_bias"), KEY_READ(NULL, "mlp_bias"),
    KEY_READ(NULL, "use_sliding_window"), KEY_READ(NULL, "sliding_window"),         KEY_READ(NULL, "layer_types"),    KEY_HARMLESS(NULL, "max_window_layers"),
};

static const struct bias_rule smollm3_biases[] = {
    {"attention_bias", false, 4, {DECODER_QUERY, DECODER_KEY, DECODER_VALUE, DECODER_ATTENTION_OUTPUT}},
    {"mlp_bias", false, 3, {DECODER_GATE, DECODER_UP, DECODER_DOWN}},
};

/* no_rope_layers says 1 for each layer that does rotate, whatever its name suggests; without it every no_rope_layer_interval-th layer does not. */
static int read_rotations(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, struct error *err)
{
    const struct metadata_value *listed = checkpoint_find(checkpoint, "no_rope_layers");
    int64_t interval = 4;
    bool found;
    if (listed && (listed->type != METADATA_ARRAY || listed->array.element_type != METADATA_UNSIGNED || listed->array.count < (size_t)decoder->n_layers))
        return error_set(err, SAMPAN_EFORMAT, "metadata 'no_rope_layers' is no list of at least %d numbers, one per layer", decoder->n_layers);
    int status = checkpoint_get_int(checkpoint, "no_rope_layer_interval", 1, INT32_MAX, &interval, &found, err);
    bool *flags = status ? NULL : decoder_layer_flags(decoder, arena, true, err);
    for (int32_t layer = 0; flags && layer < decoder->n_layers; layer++)
        flags[layer] = listed ? listed->array.elements[layer].u != 0 : (layer + 1) % interval != 0;
    decoder->has_rotation = flags;
    return status || flags ? status : SAMPAN_ENOMEM;
}

/* With use_sliding_window, layer_types says which layers have it; without layer_types those that do not rotate. */
static int read_layers(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, struct error *err)
{
    bool is_used = false, found;
    int status = read_rotations(decoder, checkpoint, arena, err);
    if (!status)
        status = checkpoint_get_bool(checkpoint, "use_sliding_window", &is_used, &found, err);
    if (!status && is_used)
        status = decoder_read_window(decoder, checkpoint, "sliding_window", err);
    if (status || !decoder->window)
        return status;
    status = decoder_read_layer_types(decoder, checkpoint, arena, &found, err);
    if (status || found)
        return status;
    bool *flags = decoder_layer_flags(decoder, arena, false, err);
    for (int32_t layer = 0; flags && layer < decoder->n_layers; layer++)
        flags[layer] = !decoder->has_rotation[layer];
    decoder->has_window = flags;
    return flags ? 0 : SAMPAN_ENOMEM;
}

static const struct decoder_family smollm3 = {
    .keys = {smollm3_keys, sizeof smollm3_keys / sizeof smollm3_keys[0]},
    .pairing = ROPE_ADJACENT,
    .rope_theta = 2000000,
    .is_head_tied = true,
    .n_biases = sizeof smollm3_biases / sizeof smollm3_biases[0],
    .biases = smollm3_biases,
    .refine = read_layers,
};

static const char *const architectures[] = {"smollm3", "SmolLM3ForCausalLM", NULL};

const struct model_family smollm3_family = {
    .name = "smollm3",
    .architectures = architectures,
    .known_unused = decoder_known_unused,
    .write_program = decoder_family_write_program,
    .decoder = &smollm3,
};
