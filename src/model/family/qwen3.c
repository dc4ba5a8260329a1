/* Qwen3, dense (Yang et al. 2025): Llama's blocks with each head of query and key RMS-normalised before the rotation, and no biases unless asked for. */
#include "model/decoder_family.h"
#include "model/family/family.h"

static const struct config_key qwen3_keys[] = {
    KEY_READ(NULL, "attention_bias"),    KEY_READ(NULL, "use_sliding_window"), KEY_READ(NULL, "sliding_window"),
    KEY_READ(NULL, "max_window_layers"), KEY_READ(NULL, "layer_types"),
};

static const struct bias_rule qwen3_biases[] = {
    {"attention_bias", false, 4, {DECODER_QUERY, DECODER_KEY, DECODER_VALUE, DECODER_ATTENTION_OUTPUT}},
    {NULL, false, 3, {DECODER_GATE, DECODER_UP, DECODER_DOWN}},
};

static const struct decoder_family qwen3 = {
    .keys = {qwen3_keys, sizeof qwen3_keys / sizeof qwen3_keys[0]},
    .pairing = ROPE_HALVES,
    .rope_theta = 10000,
    .head_width = 128,
    .has_head_norms = true,
    .n_biases = sizeof qwen3_biases / sizeof qwen3_biases[0],
    .biases = qwen3_biases,
    .refine = decoder_read_upper_window,
};

static const char *const architectures[] = {"qwen3", "Qwen3ForCausalLM", NULL};

const struct model_family qwen3_family = {
    .name = "qwen3",
    .architectures = architectures,
    .known_unused = decoder_known_unused,
    .write_program = decoder_family_write_program,
    .decoder = &qwen3,
};
