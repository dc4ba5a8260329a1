/* config.json and generation_config.json of a model folder as metadata of the checkpoint: one entry per value, nested objects flattened with dots
 * ("rope_scaling.rope_type"), null as absent (its key is kept apart: to some readers
 * a key that is not there has a default, and null has not). An array whose elements are all strings, all bools or all numbers is an
 * array; any other is flattened by index ("layers.0.name"). generation_config.json is optional; its keys come behind "generation_config.". */
#ifndef FILE_HF_CONFIG_H
#define FILE_HF_CONFIG_H

#include "base/arena.h"
#include "base/hash_map.h"
#include "file/checkpoint.h"

struct hf_config {
    struct metadata_entry *entries; /* [n_entries], in the arena, as everything below */
    size_t n_entries;
    const char **nulls; /* [n_nulls] keys whose value is null */
    size_t n_nulls;
    const char *architecture; /* architectures[0] */
};

/* The keys' map is empty at the call and freed by the caller, also after an error. Every message names the file. */
int hf_config_read(const char *folder, struct arena *arena, struct hf_config *config, struct hash_map *keys, struct error *err);

#endif
