#include "engine/pooling.h"

#include <math.h>

#include "base/memory.h"

int pooling_init(struct pooling *pooling, enum pooling_kind kind, bool normalize, int32_t width, struct error *err)
{
    *pooling = (struct pooling){.kind = kind, .normalize = normalize, .width = width};
    if (kind == POOLING_NONE)
        return 0;
    pooling->sums = mem_zalloc_array((size_t)width, sizeof *pooling->sums);
    pooling->values = mem_zalloc_array((size_t)width, sizeof *pooling->values);
    if (pooling->sums && pooling->values)
        return 0;
    pooling_free(pooling);
    return error_no_memory(err, "making room for an embedding");
}

void pooling_free(struct pooling *pooling)
{
    mem_free(pooling->sums);
    mem_free(pooling->values);
    *pooling = (struct pooling){0};
}

void pooling_add(struct pooling *pooling, const float *row)
{
    for (int32_t i = 0; i < pooling->width; i++)
        pooling->sums[i] += (double)row[i];
    pooling->n_rows++;
}

void pooling_finish(struct pooling *pooling)
{
    double squares = 0;
    for (int32_t i = 0; i < pooling->width; i++) {
        pooling->sums[i] /= pooling->n_rows > 0 ? pooling->n_rows : 1;
        squares += pooling->sums[i] * pooling->sums[i];
    }
    double scale = pooling->normalize && squares > 0 ? 1 / sqrt(squares) : 1;
    for (int32_t i = 0; i < pooling->width; i++)
        pooling->values[i] = (float)(pooling->sums[i] * scale);
}
