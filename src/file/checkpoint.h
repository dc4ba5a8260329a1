/* A checkpoint: one view of a published model, whatever the files. It has metadata (typed key/value pairs), tensors (name, type, shape, where the
 * bytes are) and a tokenizer spec. Opening reads headers only; weights stay in the files until a chip reads them.
 *
 * Kinds: GGUF (one file), and a folder with config.json and safetensors (one or several), whose metadata is config.json with nested objects flattened by
 * dots ("rope_scaling.rope_type") and generation_config.json behind "generation_config.".
 * Everything returned belongs to the checkpoint and lives until checkpoint_close. Thread: immutable after opening, any number of readers. */
#ifndef FILE_CHECKPOINT_H
#define FILE_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/file_map.h"
#include "base/limits.h"
#include "file/tokenizer_spec.h"
#include "tensor/type.h"

enum checkpoint_kind { CHECKPOINT_GGUF, CHECKPOINT_HUGGING_FACE };

enum metadata_type { METADATA_UNSIGNED, METADATA_SIGNED, METADATA_FLOAT, METADATA_BOOL, METADATA_STRING, METADATA_ARRAY };

struct metadata_value {
    enum metadata_type type;
    union {
        uint64_t u;
        int64_t i;
        double f;
        bool b;
        struct byte_string string;
        struct {
            enum metadata_type element_type;
            size_t count;
            const struct metadata_value *elements; /* [count] */
        } array;
    };
};

struct metadata_entry {
    const char *key;
    struct metadata_value value;
};

struct checkpoint_tensor {
    const char *name;
    enum tensor_type type;
    int n_dimensions;
    /* Outermost first, as row-major C: a linear's weight is [out, in]. (GGUF writes it the other way round.) Unused ones are absent, not 1. */
    uint64_t shape[LIMIT_TENSOR_DIMENSIONS];
    const struct file *file;
    uint64_t offset; /* bytes from the start of the file; the whole extent was checked to lie inside it */
    uint64_t bytes;
};

struct checkpoint {
    enum checkpoint_kind kind;
    const char *path;         /* as opened */
    const char *architecture; /* "llama": general.architecture, or architectures[0] of config.json */
    size_t n_metadata;
    const struct metadata_entry *metadata; /* [n_metadata] in file order */
    size_t n_null_keys;
    const char *const *null_keys; /* [n_null_keys] keys of a folder's configuration whose value is null; they are not in metadata */
    size_t n_tensors;
    const struct checkpoint_tensor *tensors; /* [n_tensors] in file order */
    bool has_tokenizer;
    struct tokenizer_spec tokenizer; /* valid when has_tokenizer */
    const char *tokenizer_problem;   /* otherwise: one line that says why there is none; NULL when has_tokenizer */
    const char *weights_problem;     /* a folder without weights, for its tokenizer alone: one line that says what is missing; else NULL */
};

/* SAMPAN_ENOTFOUND, SAMPAN_EIO, SAMPAN_EFORMAT, SAMPAN_EUNSUPPORTED, SAMPAN_ELIMIT, SAMPAN_ENOMEM; the message names path, offset, key or tensor. */
int checkpoint_open(const char *path, struct checkpoint **checkpoint, struct error *err);
void checkpoint_close(struct checkpoint *checkpoint); /* NULL is legal */

/* Maps the files of all tensors (base/file_map.h says at which risk), once; they stay mapped until checkpoint_close. Thread: one at a time. */
int checkpoint_map(struct checkpoint *checkpoint, struct error *err);
/* Where a tensor's bytes are in memory; NULL: its file is not mapped. */
const void *checkpoint_mapped_bytes(const struct checkpoint *checkpoint, const struct checkpoint_tensor *tensor);

const struct checkpoint_tensor *checkpoint_find_tensor(const struct checkpoint *checkpoint, const char *name); /* NULL: absent */
const struct metadata_value *checkpoint_find(const struct checkpoint *checkpoint, const char *key);            /* NULL: absent */

bool checkpoint_is_null(const struct checkpoint *checkpoint, const char *key); /* the configuration says null, which checkpoint_find shows as absent */

/* Typed access with range checks. *found may be NULL, then an absent key is SAMPAN_ENOTFOUND; a value of another kind, or outside
 * [minimum, maximum], is SAMPAN_EFORMAT and the message gives key, value and range. Integers of any width and signedness are accepted where they fit; in a
 * folder, whose JSON does not tell them apart, an integer also as a float. */
int checkpoint_get_int(const struct checkpoint *checkpoint, const char *key, int64_t minimum, int64_t maximum, int64_t *value, bool *found, struct error *err);
int checkpoint_get_float(const struct checkpoint *checkpoint, const char *key, double minimum, double maximum, double *value, bool *found, struct error *err);
int checkpoint_get_bool(const struct checkpoint *checkpoint, const char *key, bool *value, bool *found, struct error *err);
int checkpoint_get_string(const struct checkpoint *checkpoint, const char *key, const char **value, bool *found, struct error *err);

#endif
