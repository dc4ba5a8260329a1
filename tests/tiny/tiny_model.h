/* Tiny random Llama models as GGUF files, for whole-path tests and drills that must take milliseconds: a byte-level BPE tokenizer (three control tokens,
 * 256 bytes, a few merges), a ChatML template, weights of any type that spread the logits as a trained model does, so that greedy decoding has clear
 * winners and sampling has choices. The same options give the same bytes everywhere.
 *
 *     struct tiny_model_options options = tiny_model_defaults();
 *     options.n_layers = 3;
 *     char path[TINY_MODEL_PATH];
 *     if (tiny_model_make(&options, path, &err)) ...     a fresh file in $TMPDIR or /tmp
 *     ...
 *     unlink(path);
 *
 * The program `make_tiny` beside it does the same from a command line. */
#ifndef TESTS_TINY_TINY_MODEL_H
#define TESTS_TINY_TINY_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "tensor/type.h"

#define TINY_MODEL_PATH 512

/* Ids of the tokenizer: control tokens first, then the 256 bytes in order of their value, then the merges. */
enum { TINY_END_OF_TEXT = 0, TINY_IM_START = 1, TINY_IM_END = 2, TINY_FIRST_BYTE = 3, TINY_FIRST_MERGE = 259 };

struct tiny_model_options {
    int32_t n_layers;
    int32_t hidden;
    int32_t n_heads;
    int32_t n_kv_heads;
    int32_t head_width; /* even */
    int32_t feed_forward;
    int32_t n_vocabulary; /* with a tokenizer at least 272; ids beyond its tokens are TOKEN_UNUSED */
    int32_t context_length;
    uint64_t seed;
    enum tensor_type type;           /* of the linears */
    enum tensor_type embedding_type; /* of the embedding and the output head */
    bool tied;                       /* no output.weight: the head is the embedding */
    bool tokenizer;
    float logit_deviation; /* standard deviation of a row of logits; 2 to 4 is like a trained model */
    float rope_theta;
};

/* 2 layers, hidden 64, 4 heads over 2 kv heads of 16, feed-forward 128, vocabulary 288, context 512, Q4_1 with a Q8_0 embedding, deviation 3: some 100 kB. */
struct tiny_model_options tiny_model_defaults(void);

/* Appends the file's bytes. SAMPAN_EINVAL: sizes that do not fit together (a width that is no multiple of the type's block, ...). */
int tiny_model_build(const struct tiny_model_options *options, struct buffer *file, struct error *err);
int tiny_model_write(const struct tiny_model_options *options, const char *path, struct error *err);
/* Into a new temporary file, whose path goes to `path`; the caller unlinks it. */
int tiny_model_make(const struct tiny_model_options *options, char path[TINY_MODEL_PATH], struct error *err);

#endif
