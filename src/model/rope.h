/* Frequencies of the rotary embedding, with the scaling rules of the files applied. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "base/arena.h"
#include "model/source.h"

/* frequency[i] = base^(-2i / rotary_width) / factor / factors[i], i < rotary_width / 2, in the arena. `base` is rope.freq_base (default 10,000);
 * `factor` is the linear scaling (Chen et al. 2023); `factors` is the tensor rope_freqs.weight, in which Llama 3.1's converter writes its piecewise
 * rule. Any other rope.scaling.type is SAMPAN_EUNSUPPORTED by name.
 *
 * In config.json the same stands under "rope_scaling" or, in newer ones, "rope_parameters": rope_type (or type) default, linear, or llama3, Llama 3.1's rule by
 * wavelength w = 2 pi / frequency and o = original_max_position_embeddings: frequencies with w < o / high_freq_factor stay, those with
 * w > o / low_freq_factor are divided by the factor, and between them s = (o / w - low) / (high - low) mixes the two. Others are SAMPAN_EUNSUPPORTED. */
int rope_read_frequencies(struct model_source *source, int32_t rotary_width, struct arena *arena, const double **frequencies, struct error *err);

#endif
