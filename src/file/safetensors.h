/* safetensors, the format of weights in model folders. Source: the format's own description (huggingface/safetensors, README, "Format").
 *
 *   header length N u64, little endian | header, N bytes: a JSON object, then spaces | data, to the end of the file
 *   header:  {"__metadata__": {string: string}, NAME: {"dtype": "BF16", "shape": [out, in], "data_offsets": [begin, end]}, ...}
 *
 * Offsets count from the start of the data. The tensors cover the data exactly: no overlap, no hole, nothing behind the last one. Nothing is promised about
 * alignment. The file is hostile: the header's length is compared with the file and a limit before memory is taken, names are unique, the size of every tensor
 * is what its shape says. For rooms inside file/ only; everybody else sees a checkpoint. */
#ifndef FILE_SAFETENSORS_H
#define FILE_SAFETENSORS_H

#include "base/arena.h"
#include "file/checkpoint.h"

struct safetensors {
    struct checkpoint_tensor *tensors; /* [n_tensors] in the order of the header, in the arena */
    size_t n_tensors;
};

/* Parses the header of `file`, which the tensors then refer to. Messages name tensors and offsets, not the path. */
int safetensors_parse(const struct file *file, struct arena *arena, struct safetensors *safetensors, struct error *err);

#endif
