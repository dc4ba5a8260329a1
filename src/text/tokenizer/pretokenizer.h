/* Pre-tokenizers, private to text/: how a text is cut into words before the model sees it, by the names that GGUF files carry or by the stages that a
 * tokenizer.json lists.
 *
 * A pre-tokenizer is a short list of stages; each stage cuts every piece of the stage before it into the matches of its pattern and what lies
 * between them, and joins or drops those as its behaviour says. A piece is a string of its own: a look-ahead sees the piece's end. Some stages rewrite
 * a piece first (spaces as "▁", a space in front). */
#ifndef TEXT_TOKENIZER_PRETOKENIZER_H
#define TEXT_TOKENIZER_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "file/tokenizer_spec.h"
#include "text/tokenizer/regex.h"

enum { PRETOKENIZER_STAGES = 16 }; /* at most; published: up to 5 */

struct pretokenizer;

/* NULL and "" mean "default". SAMPAN_EUNSUPPORTED: an unknown name; the message lists the known ones. Immutable, any number of threads. */
int pretokenizer_create(const char *name, struct pretokenizer **pretokenizer, struct error *err);

/* From stages (none: a text is one word). SAMPAN_EUNSUPPORTED: see regex_compile. What the stages point to must outlive the pre-tokenizer. */
int pretokenizer_create_from_stages(const struct tokenizer_stage *stages, int n_stages, bool ignore_merges, struct pretokenizer **pretokenizer,
                                    struct error *err);
void pretokenizer_free(struct pretokenizer *pretokenizer); /* NULL is legal */

/* A word that is a token as a whole becomes that token without merging ("ignore_merges" of tokenizer.json). */
bool pretokenizer_prefers_whole_words(const struct pretokenizer *pretokenizer);

/* What one thread needs: {0} to begin with. */
struct pretokenizer_scratch {
    struct regex_scratch regex;
    struct buffer rewritten[PRETOKENIZER_STAGES][2]; /* by stage: text, what is shown to patterns */
    struct buffer word;                              /* out of the alphabet for bytes again */
};
void pretokenizer_scratch_free(struct pretokenizer_scratch *scratch);

/* Called for each word in order. An ill-formed byte is a word of its own. A return value other than 0 ends the split and is returned. */
typedef int pretokenizer_visit(void *context, const char *word, size_t length, bool ill_formed);

/* Cuts text[0..length); words cover it, except for what a stage removes or rewrites. `first`: the text begins where the whole text does.
 * err is set for failures of the split itself, not for those of `visit`. */
int pretokenizer_split(const struct pretokenizer *pretokenizer, struct pretokenizer_scratch *scratch, const char *text, size_t length, bool first,
                       pretokenizer_visit *visit, void *context, struct error *err);

#endif
