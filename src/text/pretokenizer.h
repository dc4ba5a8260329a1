/* Pre-tokenizers, private to text/: the patterns that cut a text into words before merging, by the names that GGUF files carry or by the stages
 * that a tokenizer.json lists.
 *
 * A pre-tokenizer is a short list of stages; each stage cuts every piece of the stage before it into the matches of its pattern and what lies
 * between them, and joins or drops those as its behaviour says. A piece is a string of its own: a look-ahead sees the piece's end. Patterns run on
 * PCRE2 (UTF, UCP, JIT where the system allows it).
 *
 * Unicode: characters that came into Unicode, or changed category, after the version in the oldest PCRE2 we support are looked up in
 * text/stand_ins.h and shown to the pattern as an old character of the same category and length, so the result does not depend on the PCRE2 installed. */
#ifndef TEXT_PRETOKENIZER_H
#define TEXT_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "file/tokenizer_spec.h"

struct pretokenizer;

/* NULL and "" mean "default". SAMPAN_EUNSUPPORTED: an unknown name; the message lists the known ones. Immutable, any number of threads. */
int pretokenizer_create(const char *name, struct pretokenizer **pretokenizer, struct error *err);

/* From stages. SAMPAN_EUNSUPPORTED: a pattern that PCRE2 would read differently from Oniguruma or not at all. The stages need not outlive the call. */
int pretokenizer_create_from_stages(const struct tokenizer_stage *stages, int n_stages, bool ignore_merges, struct pretokenizer **pretokenizer,
                                    struct error *err);
void pretokenizer_free(struct pretokenizer *pretokenizer); /* NULL is legal */

/* A word that is a token as a whole becomes that token without merging ("ignore_merges" of tokenizer.json). */
bool pretokenizer_prefers_whole_words(const struct pretokenizer *pretokenizer);

/* A text that does not begin with a space gets one before it is split: the caller's work. */
bool pretokenizer_adds_space(const struct pretokenizer *pretokenizer);

/* What one thread needs to match: {0} to begin with. */
struct pretokenizer_scratch {
    void *match_data, *match_context, *jit_stack;
    char *shadow; /* the text with stand-ins */
    size_t shadow_capacity;
};
void pretokenizer_scratch_free(struct pretokenizer_scratch *scratch);

/* Called for each word in order. An ill-formed byte is a word of its own. A return value other than 0 ends the split and is returned. */
typedef int pretokenizer_visit(void *context, const char *word, size_t length, bool ill_formed);

/* Cuts text[0..length); words cover it, except for what a stage removes. err is set for failures of the split itself, not for those of `visit`. */
int pretokenizer_split(const struct pretokenizer *pretokenizer, struct pretokenizer_scratch *scratch, const char *text, size_t length,
                       pretokenizer_visit *visit, void *context, struct error *err);

#endif
