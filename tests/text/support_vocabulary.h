/* Vocabularies for tests: a tiny one made here, and the default model's where it is present. */
#ifndef TESTS_TEXT_SUPPORT_VOCABULARY_H
#define TESTS_TEXT_SUPPORT_VOCABULARY_H

#include <stddef.h>

#include "file/checkpoint.h"
#include "file/tokenizer_spec.h"
#include "text/tokenizer.h"

/* 0 <|end|> (control, BOS and EOS), 1 <|im|> (control), 2 <think> (user-defined), 3 <|im|>s (control), 4..259 the bytes in order of value,
 * then the results of the merges "h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "a a", "aa aa". */
enum { TINY_END = 0, TINY_CONTROL = 1, TINY_THINK = 2, TINY_CONTROL_S = 3, TINY_BYTE = 4, TINY_MERGED = 260, TINY_N_MERGES = 8, TINY_N_TOKENS = 268 };
struct tiny_vocabulary {
    struct tokenizer_spec spec;
    struct tokenizer_token tokens[TINY_N_TOKENS];
    struct tokenizer_merge merges[TINY_N_MERGES];
    char byte_texts[256][3];
    int32_t eog_ids[1];
};
void tiny_vocabulary_init(struct tiny_vocabulary *vocabulary); /* points into itself: do not copy */

/* The default model; NULL (and a printed reason) where it is absent. */
struct checkpoint *open_default_model(void);

/* Encodes with assertions; the ids as "1 2 3" in a static buffer. */
const char *encode_as_text(const struct tokenizer *tokenizer, const char *text, size_t length, const struct text_span *spans, size_t n_spans);

#endif
