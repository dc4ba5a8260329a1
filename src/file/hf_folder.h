/* A model as a folder, as Hugging Face's tools write it: config.json, generation_config.json, and weights in model.safetensors or in several files
 * ("shards") that model.safetensors.index.json lists:
 *
 *   {"metadata": {...}, "weight_map": {NAME: "model-00001-of-00002.safetensors", ...}}
 *
 * The index is hostile too: a shard is a plain file name inside the folder, every shard is there, and index and shards hold exactly the same tensors.
 * Beside them lies the tokenizer (tokenizer_json.h); a folder with tokenizer.json and without config.json is a checkpoint without tensors. For checkpoint.c
 * only. */
#ifndef FILE_HF_FOLDER_H
#define FILE_HF_FOLDER_H

#include "base/arena.h"
#include "base/hash_map.h"
#include "file/checkpoint.h"

struct hf_folder {
    struct file *files[LIMIT_SHARDS]; /* [n_files], owned by the caller, also after an error: file_close */
    size_t n_files;
};

/* Fills `view` (its path is set by the caller) and the two maps. Every message names the file. */
int hf_folder_read(struct hf_folder *folder, struct checkpoint *view, struct arena *arena, struct hash_map *keys, struct hash_map *names, struct error *err);

#endif
