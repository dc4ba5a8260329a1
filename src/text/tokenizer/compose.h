/* The normal forms of Unicode (Standard Annex 15), private to text/: characters are decomposed, marks put in canonical order, and in the composed forms
 * what can be composed is composed. The tables are those of the `tokenizers` library, which works with an old version of Unicode
 * (tests/text/make_compose_tables.py); a system's library would normalize newer characters that the model's training saw unchanged. Ill-formed bytes
 * stay as they are and compose with nothing. */
#ifndef TEXT_TOKENIZER_COMPOSE_H
#define TEXT_TOKENIZER_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

enum normal_form {
    FORM_COMPOSED = 1,
    FORM_COMPATIBLE = 2,
    FORM_NFD = 0,
    FORM_NFC = FORM_COMPOSED,
    FORM_NFKD = FORM_COMPATIBLE,
    FORM_NFKC = FORM_COMPOSED | FORM_COMPATIBLE,
};

/* Nothing in the text would change; one pass, exact for "true", cautious for "false". */
bool compose_is_normal(enum normal_form form, const char *text, size_t length);

/* Calls `visit` for each segment text[start..end) in order with what becomes of it: written[0..length), or NULL where it stays as it is. A value other than 0
 * ends the walk and is returned; also SAMPAN_ENOMEM. O(n log n) whatever the text is. */
typedef int compose_visit(void *context, size_t start, size_t end, const char *written, size_t length);
int compose_segments(enum normal_form form, const char *text, size_t length, compose_visit *visit, void *context);

/* Appends the form of the text. 0, SAMPAN_ENOMEM or SAMPAN_ELIMIT of the buffer. */
int compose_append(enum normal_form form, const char *text, size_t length, struct buffer *out);

#endif
