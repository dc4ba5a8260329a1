/* Streaming detokenizer: tokens in, whole UTF-8 characters out. Bytes that may still become a character are held back until the next token or
 * the end; bytes that cannot become one are given as U+FFFD, one per maximal ill-formed prefix, in stream mode, or unchanged in raw mode
 * (round trips). Control tokens are skipped unless wanted. What the model's decoder does at the ends of a text (no space in front, none after the last word) is
 * done here. A run of byte tokens that is not UTF-8 as a whole keeps its whole characters (the `tokenizers` library, which sees the end of the run first, gives
 * U+FFFD for each of its bytes). Holds a few bytes of state: a value that may be copied.
 * Thread: one at a time. */
#ifndef TEXT_DETOKENIZER_H
#define TEXT_DETOKENIZER_H

#include "base/buffer.h"
#include "text/tokenizer.h"

struct detokenizer {
    const struct tokenizer *tokenizer;
    bool show_control; /* control tokens as their written form */
    bool raw;          /* bytes unchanged, nothing held back */
    unsigned char held[4];
    int n_held;
    bool started;     /* a token has come */
    bool in_text;     /* nothing is stripped any more */
    bool holds_space; /* to be written when another token comes */
    uint32_t n_stripped;
};

void detokenizer_init(struct detokenizer *detokenizer, const struct tokenizer *tokenizer, bool show_control, bool raw);

/* Appends what became certain; 0 or the buffer's error code. */
int detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct buffer *out);
int detokenizer_finish(struct detokenizer *detokenizer, struct buffer *out); /* gives out what was held back */

#endif
