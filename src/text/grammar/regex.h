/* Regular expressions as grammars: what JavaScript, Python and PCRE agree on.
 *
 *     literals  .  [sets]  (groups, (?: ) too)  |  * + ? {m} {m,} {m,n} (also lazy: the same texts)  ^ $ at the ends of the outermost alternatives
 *     \d \D \w \W \s \S  \t \n \r \f \v \0 \xHH \uHHHH \u{H...}  escaped punctuation
 *
 * \d, \w and \s are ASCII's, and their complements leave out whatever the dialects disagree on, so that every text made here matches in each of them.
 * Look-around, back-references, \b, \p{...} and inline flags are refused by name and place. */
#ifndef TEXT_GRAMMAR_REGEX_H
#define TEXT_GRAMMAR_REGEX_H

#include "text/grammar/build.h"

struct regex_options {
    enum character_form form;
    bool search;              /* the pattern may match anywhere in the text (JSON Schema); otherwise the whole text */
    int64_t minimum, maximum; /* length of the whole text in characters; maximum BUILD_UNBOUNDED */
};

/* A fragment of the texts that match. Failures are the builder's. */
struct fragment build_regex(struct grammar_builder *builder, const char *pattern, size_t length, const struct regex_options *options);

#endif
