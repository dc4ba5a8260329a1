/* Frequencies of the rotary embedding, with the scaling rules of the files applied. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "model/decoder.h"

/* Fills decoder's frequencies (in the arena) and rope_magnitude; its rotary_width and context_length are known. With f = base^(-2i / rotary_width) and
 * o the context length of the model before its extension:
 *
 *   default  f
 *   linear   f / factor (Chen et al. 2023)
 *   llama3   by wavelength w = 2 pi / f: f where w < o / high_freq_factor, f / factor where w > o / low_freq_factor, and between them
 *            s = (o / w - low) / (high - low) mixes the two (Llama 3.1)
 *   yarn     f (1 - r) + f / factor r, where r rises from 0 to 1 between the indices at which o holds beta_fast and beta_slow turns; cos and sin are
 *            multiplied by attention_factor, or by 0.1 ln(factor) + 1 (Peng et al. 2023). The context becomes o * factor where that is longer
 *   dynamic  f: the rule changes f only beyond max_position_embeddings, and no context of ours is longer
 *
 * In config.json the rule stands under "rope_scaling" or, in newer ones, "rope_parameters"; `theta` is the base where it says nothing. In GGUF it is
 * rope.scaling.type (none, linear or yarn), and the tensor rope_freqs.weight divides f (so Llama 3.1's converter writes its rule). Any other type is
 * SAMPAN_EUNSUPPORTED by name. */
int rope_read(struct model_source *source, double theta, struct arena *arena, struct decoder *decoder, struct error *err);

#endif
