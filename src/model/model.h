/* From a checkpoint to a program: which family it is, what its sizes are, and the forward pass as a list of operations.
 *
 * A family is one file in family/ and one row in families.c. Nothing here knows on which chip the program will run. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/arena.h"
#include "base/error.h"
#include "chip/program.h"
#include "file/checkpoint.h"

struct model_options {
    int32_t segments;                 /* S of the split-stable sums; 0: 1 below a hidden size of 2,048, else 8 */
    bool is_mapped;                   /* checkpoint_map was called: weights that are not quantised are computed from where they lie in the file */
    const enum tensor_type *quantize; /* matrices of f32, f16 and bf16 become about this type while they load (quantize.h); NULL: as published */
};

struct decoder_family;
struct model_source; /* a checkpoint that remembers which tensors were asked for: model/source.h */

/* One family: the architecture names it answers to, in GGUF and in config.json, and how it writes its program. */
struct model_family {
    const char *name;                 /* "llama" */
    const char *const *architectures; /* NULL-terminated */
    /* Tensor name patterns ("rope_freqs.weight", "blk.*.attn_rot_embd") that may be present and are not used, with the reason. NULL-terminated pairs. */
    const char *const *known_unused;
    int (*write_program)(const struct model_family *family, struct model_source *source, const struct model_options *options, struct arena *arena,
                         const struct program **program, struct error *err);
    const struct decoder_family *decoder; /* of a family of decoders: decoder_family.h */
};

extern const struct model_family *const model_families[]; /* NULL-terminated */

/* The family of a checkpoint; SAMPAN_EUNSUPPORTED names the architecture found and those known. */
int model_find_family(const struct checkpoint *checkpoint, const struct model_family **family, struct error *err);

/* Writes the program and checks that every tensor of the file is used by it or known as unused: a missing or superfluous one, one of the wrong shape
 * or type, is an
 * error that names it. */
int model_write_program(const struct checkpoint *checkpoint, const struct model_options *options, struct arena *arena, const struct program **program,
                        struct error *err);

#endif
