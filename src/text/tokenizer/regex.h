/* Regular expressions of tokenizers, matched by PCRE2 (UTF, UCP, JIT where the system allows it), private to text/.
 *
 * Patterns are written for Oniguruma; pattern.h refuses what means something else here. Unicode: characters that came into Unicode, or changed category,
 * after the version in the oldest PCRE2 we support are looked up in stand_ins.h and shown to the pattern as an old character of the same category and
 * length, so the result does not depend on the PCRE2 installed. */
#ifndef TEXT_TOKENIZER_REGEX_H
#define TEXT_TOKENIZER_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "file/tokenizer_spec.h"

struct regex; /* immutable, any number of threads */

/* `literal`: the pattern is plain text. `trusted`: a pattern of our own, which may use all of PCRE2. SAMPAN_EUNSUPPORTED: PCRE2 would read it differently from
 * Oniguruma or not at all; SAMPAN_ENOMEM. */
enum regex_source { REGEX_PUBLISHED, REGEX_LITERAL, REGEX_TRUSTED };
int regex_compile(struct byte_string pattern, enum regex_source source, struct regex **regex, struct error *err);
void regex_free(struct regex *regex); /* NULL is legal */

/* Does the pattern ask for categories of characters or for case, so that it must be shown stand-ins? (Literal characters and ranges are compared with the
 * text itself.) */
bool regex_needs_shadow(const struct regex *regex);

/* What one thread needs to match: {0} to begin with. */
struct regex_scratch {
    void *match_data, *match_context, *jit_stack;
    char *shadow; /* the text with stand-ins */
    size_t shadow_capacity;
};
void regex_scratch_free(struct regex_scratch *scratch);

/* Before matching in texts of up to `length` bytes. 0 or SAMPAN_ENOMEM. */
int regex_prepare(struct regex_scratch *scratch, size_t length, struct error *err);

/* What to show to patterns in place of well-formed text[0..length): the text itself where no character needs a stand-in, else a copy in the scratch that
 * lives until the next call. `digits`: see stand_in_find. NULL: out of memory. */
const char *regex_shadow(struct regex_scratch *scratch, const char *text, size_t length, bool digits, struct error *err);

/* The first match in well-formed subject[0..length) from `at` on: 1 and [*start, *end), or 0, or an error. */
int regex_find(const struct regex *regex, struct regex_scratch *scratch, const char *subject, size_t length, size_t at, size_t *start, size_t *end,
               struct error *err);

#endif
