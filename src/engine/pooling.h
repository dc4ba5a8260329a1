/* Pooling: one vector for a whole prompt, from the hidden rows (the final norm's output) of its tokens: an embedding.
 *
 *   last:  the row of the last token (what causal models are trained for)
 *   mean:  the rows added in ascending position in double, divided by their number, rounded to float
 *   normalised: v / sqrt(sum of v^2), the sum in ascending order in double; a vector of zeros stays as it is
 *
 * The order is fixed and rows come one by one, so neither chunks nor batches nor a rebuild change a bit. Memory is taken when the request is accepted. */
#ifndef ENGINE_POOLING_H
#define ENGINE_POOLING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum pooling_kind { POOLING_NONE, POOLING_LAST, POOLING_MEAN, POOLING_KIND_COUNT };

struct pooling {
    enum pooling_kind kind;
    bool normalize;
    int32_t width;
    int32_t n_rows;
    double *sums;  /* [width] */
    float *values; /* [width], once finished */
};

int pooling_init(struct pooling *pooling, enum pooling_kind kind, bool normalize, int32_t width, struct error *err); /* kind NONE takes nothing */
void pooling_free(struct pooling *pooling);
void pooling_add(struct pooling *pooling, const float *row); /* [width]: of the next position (mean), or of the last (last) */
void pooling_finish(struct pooling *pooling);

#endif
