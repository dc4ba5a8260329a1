/* The tokenizer: text to token ids and back, exactly as the model's training saw it.
 *
 * Way of the data: text with an origin per byte -> added tokens are cut out (template bytes only) -> pre-tokenizer pattern -> byte-level alphabet ->
 * ranked merges (a heap, O(n log n)) -> ids. Sources: GPT-2's byte-level BPE (Radford et al. 2019; Sennrich et al. 2016), the `tokenizers` library
 * as the oracle of its details.
 *
 * Invalid UTF-8 is kept byte for byte: each ill-formed byte is its own pre-token and comes back the same from decoding. Where a vocabulary has no
 * token for a byte (SmolLM2 lacks 21 of 256), the byte is left out, as the `tokenizers` library does; an ill-formed one becomes U+FFFD.
 * Thread: a tokenizer is immutable after creation and may be used by any number of threads at once. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "file/tokenizer_spec.h"

struct tokenizer;

/* The spec must outlive the tokenizer. SAMPAN_EUNSUPPORTED (unknown pre-tokenizer: named), SAMPAN_EFORMAT (merge of unknown tokens, duplicate tokens, ...). */
int tokenizer_create(const struct tokenizer_spec *spec, struct tokenizer **tokenizer, struct error *err);
void tokenizer_free(struct tokenizer *tokenizer); /* NULL is legal */

int tokenizer_n_tokens(const struct tokenizer *tokenizer);
const struct tokenizer_spec *tokenizer_get_spec(const struct tokenizer *tokenizer);

struct token_list {
    int32_t *ids; /* owned */
    size_t count;
    size_t capacity;
};
void token_list_free(struct token_list *list);
int token_list_append(struct token_list *list, int32_t id); /* 0 or SAMPAN_ENOMEM */

/* Where a byte of a prompt comes from. Added tokens (of any flag) are matched only inside runs of ORIGIN_TEMPLATE bytes, so that a user's
 * text can never become a control token. */
enum text_origin { ORIGIN_DATA = 0, ORIGIN_TEMPLATE = 1 };

/* A run of bytes of one origin; spans of a text are consecutive and cover it. */
struct text_span {
    size_t length; /* bytes */
    enum text_origin origin;
};

/* Appends the tokens of text[0..length) to `list`. With n_spans == 0 the whole text has ORIGIN_DATA. Merges and pre-tokens go across a change of origin as
 * the model expects (the text is one string); only the recognition of added tokens looks at the origin. No BOS or EOS is added. */
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length, const struct text_span *spans, size_t n_spans, struct token_list *list,
                     struct error *err);

/* What the post-processor does to a plain text: BOS in front, EOS behind, where the model says so. tokenizer_encode_plain = that around an encode of
 * trusted text (ORIGIN_TEMPLATE when `special`). */
int tokenizer_encode_plain(const struct tokenizer *tokenizer, const char *text, size_t length, bool special, struct token_list *list, struct error *err);

/* The bytes of one token. Control tokens give their written form. The pointer lives as long as the tokenizer; an id outside the vocabulary gives length 0. */
struct byte_string tokenizer_token_bytes(const struct tokenizer *tokenizer, int32_t id);
enum token_kind tokenizer_token_kind(const struct tokenizer *tokenizer, int32_t id);
bool tokenizer_is_eog(const struct tokenizer *tokenizer, int32_t id);                             /* ends a generation */
int32_t tokenizer_find_token(const struct tokenizer *tokenizer, const char *text, size_t length); /* by published text; -1: absent */

#endif
