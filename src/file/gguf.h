/* GGUF, the single-file format of the ggml project, versions 2 and 3 (little endian). Source: the format's specification, docs/gguf.md of ggml.
 *
 *   magic "GGUF" | version u32 | n_tensors u64 | n_metadata u64
 *   metadata entry x n_metadata:  key string | type u32 | value             string: length u64 | bytes
 *                                                                           array: element type u32 | count u64 | elements (arrays may nest)
 *   tensor info x n_tensors:      name string | n_dimensions u32 | dimensions u64 each, fastest first | type u32 | offset u64
 *   padding to the alignment (general.alignment, default 32)
 *   tensor data: each tensor at its offset from here, a multiple of the alignment
 *
 * The file is hostile: every count and length is compared with the bytes that are left before anything is allocated for it, names are unique, extents
 * lie inside the file and do not overlap. For rooms inside file/ only; everybody else sees a checkpoint. */
#ifndef FILE_GGUF_H
#define FILE_GGUF_H

#include "base/arena.h"
#include "base/hash_map.h"
#include "file/checkpoint.h"

struct gguf {
    struct metadata_entry *metadata; /* [n_metadata], in the arena, as everything below */
    size_t n_metadata;
    struct checkpoint_tensor *tensors; /* [n_tensors] */
    size_t n_tensors;
};

/* Parses the header of `file`. Metadata indices by key and tensor indices by name go into the two maps (empty at the call; freed by the caller, also after an
 * error). Messages name offset, key or tensor, not the path. */
int gguf_parse(const struct file *file, struct arena *arena, struct gguf *gguf, struct hash_map *keys, struct hash_map *names, struct error *err);

#endif
