/* Llama (Touvron et al. 2023) and the models that are one in all but name: Mistral and Ministral 8B (with a sliding window), SmolLM2, TinyLlama, Yi and others.
 * In GGUF, llama.cpp's converter permutes query and key rows so that rotary pairs are adjacent. */
#include <string.h>

#include "model/decoder_family.h"
#include "model/family/family.h"

static const struct config_key llama_keys[] = {
    KEY_READ("attention.sliding_window", "sliding_window"),
    KEY_READ(NULL, "attention_bias"),
    KEY_READ(NULL, "mlp_bias"),
    KEY_READ(NULL, "layer_types"),
};

static const struct bias_rule llama_biases[] = {
    {"attention_bias", false, 4, {DECODER_QUERY, DECODER_KEY, DECODER_VALUE, DECODER_ATTENTION_OUTPUT}},
    {"mlp_bias", false, 3, {DECODER_GATE, DECODER_UP, DECODER_DOWN}},
};

static bool is_mistral(const struct checkpoint *checkpoint)
{
    return strcmp(checkpoint->architecture, "MistralForCausalLM") == 0 || strcmp(checkpoint->architecture, "MinistralForCausalLM") == 0;
}

/* Mistral's windows. Where config.json says nothing of one, transformers takes 4,096 positions; null says that there is none. */
static int read_windows(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, struct error *err)
{
    char key[CONFIG_KEY_SIZE] = "sliding_window";
    bool found;
    if (checkpoint->kind == CHECKPOINT_GGUF) {
        config_key_name(checkpoint, "attention.sliding_window", key);
        return decoder_read_window(decoder, checkpoint, key, err);
    }
    if (is_mistral(checkpoint) && !checkpoint_is_null(checkpoint, key) && decoder->context_length > 4096)
        decoder->window = 4096;
    int status = decoder_read_window(decoder, checkpoint, key, err);
    if (!status)
        status = decoder_read_layer_types(decoder, checkpoint, arena, &found, err);
    if (status || is_mistral(checkpoint))
        return status;
    for (int32_t layer = 0; layer < decoder->n_layers; layer++)
        if (decoder_layer_has_window(decoder, layer))
            return error_set(err, SAMPAN_EUNSUPPORTED, "metadata 'sliding_window' is %d, which only Mistral and Ministral have, not %s", decoder->window,
                             checkpoint->architecture);
    return 0;
}

static const struct decoder_family llama = {
    .keys = {llama_keys, sizeof llama_keys / sizeof llama_keys[0]},
    .pairing = ROPE_ADJACENT,
    .rope_theta = 10000,
    .n_biases = sizeof llama_biases / sizeof llama_biases[0],
    .biases = llama_biases,
    .refine = read_windows,
};

static const char *const architectures[] = {"llama", "LlamaForCausalLM", "MistralForCausalLM", "MinistralForCausalLM", NULL};

const struct model_family llama_family = {
    .name = "llama",
    .architectures = architectures,
    .known_unused = decoder_known_unused,
    .write_program = decoder_family_write_program,
    .decoder = &llama,
};
