/* Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's blocks with biases on query, key and value. */
#include "model/decoder_family.h"
#include "model/family/family.h"

static const struct config_key qwen2_keys[] = {
    KEY_READ(NULL, "use_sliding_window"), KEY_READ(NULL, "sliding_window"),  KEY_READ(NULL, "max_window_layers"),
    KEY_READ(NULL, "layer_types"),        KEY_NEUTRAL(NULL, "use_mrope", 0),
};

static const struct bias_rule qwen2_biases[] = {
    {NULL, true, 3, {DECODER_QUERY, DECODER_KEY, DECODER_VALUE}},
    {NULL, false, 4, {DECODER_ATTENTION_OUTPUT, DECODER_GATE, DECODER_UP, DECODER_DOWN}},
};

static const struct decoder_family qwen2 = {
    .keys = {qwen2_keys, sizeof qwen2_keys / sizeof qwen2_keys[0]},
    .pairing = ROPE_HALVES,
    .rope_theta = 10000,
    .n_biases = sizeof qwen2_biases / sizeof qwen2_biases[0],
    .biases = qwen2_biases,
    .refine = decoder_read_upper_window,
};

static const char *const architectures[] = {"qwen2", "Qwen2ForCausalLM", NULL};

const struct model_family qwen2_family = {
    .name = "qwen2",
    .architectures = architectures,
    .known_unused = decoder_known_unused,
    .write_program = decoder_family_write_program,
    .decoder = &qwen2,
};
