/* The bytes of a part of a weight as its chip wants them: read from the file by pread (or from memory), and quantised on the way where the program says
 * so. Every chip reads its weights through here, so that quantising while loading is no chip's business. */
#ifndef CHIP_WEIGHT_PART_H
#define CHIP_WEIGHT_PART_H

#include "base/error.h"
#include "chip/program.h"

/* Bytes of the part in its file. */
uint64_t weight_part_stored_bytes(const struct weight_part *part);

/* Rows first_row .. first_row + n_rows - 1 as `type` has them, into destination [n_rows, bytes of a row]. Whole rows, because blocks of a row are quantised
 * together. SAMPAN_EIO, SAMPAN_ENOMEM; the message names the part. Thread: any. */
int weight_part_read(const struct weight_part *part, int64_t first_row, int64_t n_rows, void *destination, struct error *err);

/* How far the quantised values are from those published: the root of the sum of squared differences over that of squares (0 for a part of zeros), and the
 * largest difference. The part is_quantized; its file is read whole, piece by piece. */
struct quantization_error {
    double relative_rms;
    double largest;
};
int weight_part_measure_error(const struct weight_part *part, struct quantization_error *measured, struct error *err);

#endif
