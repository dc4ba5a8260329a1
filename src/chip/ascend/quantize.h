/* Rows of weights as int8 with one scale each: symmetric, nearest, ties to even. Private to chip/ascend/. */
#ifndef CHIP_ASCEND_QUANTIZE_H
#define CHIP_ASCEND_QUANTIZE_H

#include <stdint.h>

struct quantisation_error {
    double squared_error, squared_value; /* sums over what was quantised so far */
};

/* codes[i] = round(row[i] / scale), scale = largest magnitude / 127 (1 for a row of zeros); adds to the error. */
void ascend_quantize_row(const float *row, int64_t n, int8_t *codes, float *scale, struct quantisation_error *error);

/* Root of squared error over squared value; 0 for nothing. */
double ascend_relative_error(const struct quantisation_error *error);

#endif
