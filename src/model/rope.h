/* Frequencies of the rotary embedding, with the scaling rules of GGUF files applied. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "base/arena.h"
#include "model/source.h"

/* frequency[i] = base^(-2i / rotary_width) / factor / factors[i], i < rotary_width / 2, in the arena. `base` is rope.freq_base (default 10,000);
 * `factor` is the linear scaling (Chen et al. 2023); `factors` is the tensor rope_freqs.weight, in which Llama 3.1's converter writes its piecewise
 * rule. Any other rope.scaling.type is SAMPAN_EUNSUPPORTED by name. */
int rope_read_frequencies(struct model_source *source, int32_t rotary_width, struct arena *arena, const double **frequencies, struct error *err);

#endif
