/* The decoder: embedding, layers of attention and gated feed-forward with RMS norms before them, final norm, head. The shape of Llama and its
 * many relatives; a family describes itself in a struct decoder and the writer turns that and the file's tensors into a program.
 *
 * In the program a block's result stays in the buffer `branch` until the next norm adds it to `hidden` (the residual addition is fused into norms), so:
 *   hidden = embed;   per layer:  normed = norm(hidden [+ branch]);  branch = attention(normed);
 *                                normed = norm(hidden + branch);    branch = feed_forward(normed)
 *   selected = hidden + branch of the rows whose logits are wanted;  logits = head(norm(selected)) */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include <stdbool.h>

#include "base/arena.h"
#include "chip/program.h"
#include "model/model.h"
#include "model/source.h"

/* Sizes and rules of a decoder. Families fill the sizes by a table of metadata keys (config.h). */
struct decoder {
    int32_t n_layers;
    int32_t context_length;
    int32_t n_vocabulary;
    int32_t hidden;
    int32_t feed_forward;
    int32_t n_heads;
    int32_t n_kv_heads;
    int32_t key_width; /* of one head */
    int32_t value_width;
    int32_t rotary_width;
    enum rope_pairing pairing;
    const double *frequencies; /* [rotary_width / 2], in the arena */
    float rope_magnitude;
    float attention_scale;
    float norm_epsilon;
    float embed_scale;
    int32_t window;           /* positions that attention sees, its own included, in the layers that have one; 0: all */
    const bool *has_window;   /* [n_layers] in the arena, with a window: which layers have it; NULL: all */
    const bool *has_rotation; /* [n_layers] in the arena: which layers rotate query and key; NULL: all */
    bool has_head_norms;      /* each head of query and key is RMS-normalised before the rotation (Qwen3) */
    bool is_head_tied;        /* the head is the embedding even where the file has a head (config.json's tie_word_embeddings) */
    bool is_head_required;    /* without a head in the file the head is not tied, the file is incomplete (config.json) */
};

/* Tensors of a decoder. Which names they have in which kind of file is a table in decoder.c. */
enum decoder_tensor {
    DECODER_EMBEDDING,
    DECODER_ATTENTION_NORM,
    DECODER_QUERY,
    DECODER_KEY,
    DECODER_VALUE,
    DECODER_ATTENTION_OUTPUT,
    DECODER_QUERY_NORM,
    DECODER_KEY_NORM,
    DECODER_FEED_FORWARD_NORM,
    DECODER_GATE,
    DECODER_UP,
    DECODER_DOWN,
    DECODER_FINAL_NORM,
    DECODER_HEAD,
    DECODER_TENSOR_COUNT
};

/* What the building blocks share while a program is written. A failure is kept in `status` and `err`; adders then return -1 and do nothing. */
struct decoder_writer {
    struct model_source *source;
    const struct decoder *decoder;
    struct program_builder *builder;
    struct arena *arena;
    int32_t segments; /* S of the split-stable sums */
    int32_t layer;    /* being written; -1 outside layers */
    int32_t group;    /* cache group of the layer, and the layer's index in it */
    int32_t group_layer;
    int32_t n_windowed; /* layers written so far that have a window */
    int32_t full_group, window_group;

    /* Buffers with a row per token */
    int32_t hidden, normed, branch;
    int32_t query, key, value, attended;
    int32_t gate, up, activated;

    int status;
    struct error *err;
};

/* The whole program. decoder's sizes are checked against each other and against the tensors. */
int decoder_write_program(const struct decoder *decoder, struct model_source *source, const struct model_options *options, struct arena *arena,
                          const struct program **program, struct error *err);

/* For the building blocks: */
bool decoder_layer_has_window(const struct decoder *decoder, int32_t layer);
/* The weight of a tensor; `unit_columns` > 0: a split-stable sum in units of the least common multiple of it and the type's block. */
int32_t decoder_add_weight(struct decoder_writer *writer, enum decoder_tensor tensor, int32_t unit_columns);
/* Its bias, or -1 where the file has none. */
int32_t decoder_add_bias(struct decoder_writer *writer, enum decoder_tensor tensor);
/* The name of a tensor in the checkpoint's kind of file, in the arena; layer: -1 outside layers; suffix "weight" or "bias". NULL: out of memory. */
const char *decoder_tensor_name(const struct checkpoint *checkpoint, struct arena *arena, enum decoder_tensor tensor, int32_t layer, const char *suffix);
/* outs[i] = tensors[i] of x, biases included. */
void decoder_add_linear(struct decoder_writer *writer, const char *label, int32_t x, int32_t n, const enum decoder_tensor *tensors, const int32_t *outs,
                        int32_t unit_columns);
/* Adds an operation labelled "layer N <label>". */
void decoder_add_op(struct decoder_writer *writer, const char *label, struct op *op);

/* Building blocks: from `normed` to `branch`. */
void attention_write(struct decoder_writer *writer);    /* attention.c */
void feed_forward_write(struct decoder_writer *writer); /* ffn.c */

#endif
