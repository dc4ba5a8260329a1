/* What a family of decoders says of itself, as data, and the reading of a checkpoint by it: Llama and its relatives differ in a few rules, not in their
 * blocks. The keys that they share, with what each means, are one table in decoder_family.c; a family adds its own. */
#ifndef MODEL_DECODER_FAMILY_H
#define MODEL_DECODER_FAMILY_H

#include "model/config.h"
#include "model/decoder.h"

/* Which linears of a layer have biases. Where the rule and the tensors differ, one of them is wrong. */
struct bias_rule {
    const char *key; /* of config.json: a bool that says so; NULL: `is_there` always. A GGUF has no such key: its tensors tell, unless the rule is fixed */
    bool is_there;   /* where the key is absent, or always */
    size_t n_tensors;
    enum decoder_tensor tensors[4];
};

struct decoder_family {
    struct config_table keys;  /* of its own; they go before the shared ones */
    enum rope_pairing pairing; /* in GGUF; in folders pairs are halves of a head */
    double rope_theta;         /* where config.json leaves it out */
    int32_t head_width;        /* ditto; 0: hidden_size / num_attention_heads */
    bool is_head_tied;         /* ditto */
    bool has_head_norms;
    size_t n_biases;
    const struct bias_rule *biases; /* [n_biases] */
    /* Reads what the tables cannot say (windows, layers without rotation) once all sizes are known. NULL: nothing. */
    int (*refine)(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, struct error *err);
};

/* Tensors that files of all these families may hold and nobody needs (model_family.known_unused). */
extern const char *const decoder_known_unused[];

/* The write_program of all these families: reads the checkpoint by family->decoder and writes its program. */
int decoder_family_write_program(const struct model_family *family, struct model_source *source, const struct model_options *options, struct arena *arena,
                                 const struct program **program, struct error *err);

/* For refine: */
/* A window that no position is beyond is none. `key`: of either kind of file; absent or 0: none. */
int decoder_read_window(struct decoder *decoder, const struct checkpoint *checkpoint, const char *key, struct error *err);
/* config.json's layer_types ("full_attention" or "sliding_attention" for each layer) as has_window; *found tells whether it is there. */
int decoder_read_layer_types(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, bool *found, struct error *err);
/* has_window of Qwen's rule: use_sliding_window asks for it, layers from max_window_layers on have it; or layer_types says it. */
int decoder_read_upper_window(struct decoder *decoder, const struct checkpoint *checkpoint, struct arena *arena, struct error *err);
/* A flag for each layer, all `value`. NULL: out of memory, said. */
bool *decoder_layer_flags(const struct decoder *decoder, struct arena *arena, bool value, struct error *err);

#endif
