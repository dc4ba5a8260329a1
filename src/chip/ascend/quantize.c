#include "chip/ascend/quantize.h"

#include <math.h>

void ascend_quantize_row(const float *row, int64_t n, int8_t *codes, float *scale, struct quantisation_error *error)
{
    float largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fabsf(row[i]) > largest ? fabsf(row[i]) : largest;
    *scale = largest > 0 ? largest / 127.0f : 1.0f;
    for (int64_t i = 0; i < n; i++) {
        float code = rintf(row[i] / *scale);
        code = code > 127 ? 127 : code < -127 ? -127 : code;
        codes[i] = (int8_t)code;
        double off = (double)row[i] - (double)code * (double)*scale;
        error->squared_error += off * off;
        error->squared_value += (double)row[i] * (double)row[i];
    }
}

double ascend_relative_error(const struct quantisation_error *error)
{
    return error->squared_value > 0 ? sqrt(error->squared_error / error->squared_value) : 0;
}
