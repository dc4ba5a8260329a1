/* The way back from one token to bytes, as a list of decoders has it, private to text/.
 *
 * What a decoder does to a token depends on the token alone, but for three things: whether it is the first (spaces in front are dropped), whether it is
 * the last (the space that stands for the end of a word is dropped), and what is stripped from the whole text. So each token is decoded once, when the
 * tokenizer is made; the detokenizer does the rest. */
#ifndef TEXT_TOKENIZER_DECODER_H
#define TEXT_TOKENIZER_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "file/tokenizer_spec.h"
#include "text/tokenizer/regex.h"

enum { DECODERS = 16 }; /* at most; published: up to 5 */

struct decoding {
    const struct tokenizer_decoder *steps; /* [n_steps] what is done to each token */
    int n_steps;
    bool depends_on_first;
    bool holds_last_space;    /* a space at the end of a token is written when the next token comes */
    struct byte_string strip; /* one character of which the whole text loses up to `strip_start` in front */
    uint32_t strip_start;
    struct regex *replaced[DECODERS]; /* of DECODER_REPLACE */
    struct regex_scratch scratch;     /* used while the tokenizer is made */
};

/* SAMPAN_EUNSUPPORTED: an order of decoders that is not known. */
int decoding_open(struct decoding *decoding, const struct tokenizer_decoder *decoders, int n_decoders, struct error *err);
void decoding_close_scratch(struct decoding *decoding); /* when all tokens are decoded */
void decoding_free(struct decoding *decoding);

/* Replaces `out` by what a token of this text decodes to. 0, SAMPAN_ENOMEM, SAMPAN_ELIMIT. */
int decoding_apply(struct decoding *decoding, struct byte_string text, bool first, struct buffer *out, struct error *err);

#endif
