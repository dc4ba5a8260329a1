/* Is a regular expression of a tokenizer.json one that PCRE2 reads as Oniguruma does? Private to text/.
 *
 * The `tokenizers` library matches with Oniguruma in Ruby's syntax; we match with PCRE2. Most of the syntax is common; what means something else, or what
 * depends on the version of Unicode beyond general categories (for which there are stand-ins), is refused by name instead of being matched wrongly. */
#ifndef TEXT_TOKENIZER_PATTERN_H
#define TEXT_TOKENIZER_PATTERN_H

#include "base/error.h"
#include "file/tokenizer_spec.h"

/* 0 or SAMPAN_EUNSUPPORTED; the message names the construct and where it is. Syntax errors are left to the compiler of patterns. */
int pattern_check(struct byte_string pattern, struct error *err);

#endif
