/* What the names of pre-tokenizers in GGUF files stand for, private to text/. */
#ifndef TEXT_TOKENIZER_PRETOKENIZER_NAMES_H
#define TEXT_TOKENIZER_PRETOKENIZER_NAMES_H

#include <stdbool.h>

#include "base/error.h"
#include "file/tokenizer_spec.h"

struct pretokenizer_row {
    const char *names; /* separated by spaces, as converters write them */
    bool prefers_whole_words;
    int n_stages;
    const struct tokenizer_stage *stages;
};

#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

const struct pretokenizer_row *pretokenizer_find_row(const char *name); /* NULL: unknown */

/* SAMPAN_EUNSUPPORTED with a message that lists the known names. */
int pretokenizer_refuse_name(const char *name, struct error *err);

#endif
