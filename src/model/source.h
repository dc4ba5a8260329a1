/* A checkpoint while a family reads it. It remembers which tensors were asked for, so that those left over can be refused by name; and it
 * turns tensors into logical weights, their shape checked against what the metadata says. */
#ifndef MODEL_SOURCE_H
#define MODEL_SOURCE_H

#include <stdbool.h>

#include "chip/program.h"
#include "file/checkpoint.h"

struct model_source {
    const struct checkpoint *checkpoint;
    unsigned char *used;              /* [n_tensors] */
    const enum tensor_type *quantize; /* model_options */
    bool is_mapped;                   /* ditto */
    int32_t n_quantized;              /* matrices so far that are */
};

/* NULL: absent. Marks it as used. */
const struct checkpoint_tensor *model_source_find(struct model_source *source, const char *name);

/* What a weight must be, and why: `rows_from` and `columns_from` name the sizes ("embedding_length") for the message when a tensor says otherwise. */
struct weight_shape {
    enum weight_role role; /* WEIGHT_VECTOR: one dimension, `columns` */
    int64_t rows;
    int64_t columns;
    bool is_vocabulary; /* the embedding or the output head */
    const char *rows_from;
    const char *columns_from;
};

/* The tensor as the one part of a weight: SAMPAN_ENOTFOUND, or SAMPAN_EFORMAT with the tensor's and the expected shape, or SAMPAN_EUNSUPPORTED for its type.
 * A matrix is quantised where model_options ask for it. */
int model_source_get_part(struct model_source *source, const char *name, const struct weight_shape *shape, struct weight_part *part, struct error *err);

/* Every tensor that nobody asked for must match one of the patterns ('*' stands for any characters): SAMPAN_EUNSUPPORTED names the first that does not. */
int model_source_check_all_used(const struct model_source *source, const char *const *known_unused, struct error *err);

#endif
