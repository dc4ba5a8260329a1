/* What quantising a model while it loads costs, tensor by tensor: the part of `sampan inspect --quantize TYPE` that reads the weights. */
#ifndef CLI_QUANTIZATION_REPORT_H
#define CLI_QUANTIZATION_REPORT_H

#include <stdbool.h>

#include "base/buffer.h"
#include "chip/program.h"

/* Appends a table, or the member "quantization" of a JSON object. Reads all the weights. Exit code, after a message. */
int quantization_report(const struct program *program, bool json, struct buffer *out);

#endif
