/* Normalizers: what a tokenizer does to a text before it is cut into words, private to text/.
 *
 * NFC (Unicode Standard Annex 15): characters are decomposed, marks put in canonical order, and what can be composed is composed. The tables are those of the
 * `tokenizers` library, which works with an old version of Unicode (tests/text/make_compose_tables.py); a system's library would normalize newer
 * characters that the model's training saw unchanged. Ill-formed bytes stay as they are and compose with nothing. */
#ifndef TEXT_NORMALIZER_H
#define TEXT_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

/* Nothing in the text would change; one pass, exact for "true", cautious for "false". */
bool normalizer_is_composed(const char *text, size_t length);

/* Appends NFC of the text; O(n log n) whatever the text is. 0, SAMPAN_ENOMEM or SAMPAN_ELIMIT of the buffer. */
int normalizer_compose(const char *text, size_t length, struct buffer *out);

#endif
