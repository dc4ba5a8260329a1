/* Normalizers, private to text/: what a tokenizer does to a text before it is cut into words, as a list of steps.
 *
 * A text comes with the origin of each byte, and so does what it becomes: a byte that was made from several has the template's origin only where all of
 * them had, and what a step puts in by itself counts as the template's (it is nobody's data). So added tokens can be looked for in normalized text
 * without a user's text ever becoming one. Ill-formed bytes stay as they are. Every step is linear in the text, or n log n. */
#ifndef TEXT_TOKENIZER_NORMALIZER_H
#define TEXT_TOKENIZER_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "file/tokenizer_spec.h"
#include "text/tokenizer/regex.h"

struct normalizer; /* immutable, any number of threads */

/* What the steps point to must outlive the normalizer. SAMPAN_EFORMAT (a damaged character map), SAMPAN_EUNSUPPORTED (a pattern), SAMPAN_ENOMEM. */
int normalizer_create(const struct tokenizer_normalizer *steps, int n_steps, struct normalizer **normalizer, struct error *err);
void normalizer_free(struct normalizer *normalizer); /* NULL is legal */

struct normal_text {
    const char *bytes;
    size_t length;
    const unsigned char *origins; /* [length] enum text_origin; NULL: not wanted */
    bool first;                   /* its first byte was the first byte of the whole text, or was put in front of it */
};

/* What one thread needs: {0} to begin with. */
struct normalizer_scratch {
    struct regex_scratch regex;
    struct buffer bytes[2], origins[2];
};
void normalizer_scratch_free(struct normalizer_scratch *scratch);

/* out is the text itself where nothing changes, or lies in the scratch until the next call. SAMPAN_ENOMEM, SAMPAN_ELIMIT (the text grows beyond all
 * measure). */
int normalizer_run(const struct normalizer *normalizer, struct normalizer_scratch *scratch, struct normal_text text, struct normal_text *out,
                   struct error *err);

#endif
