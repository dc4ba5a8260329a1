/* The tokenizer of a folder as Hugging Face publishes it: tokenizer.json (vocabulary, merges, added tokens, the stages of the way through) with
 * tokenizer_config.json (BOS, EOS, chat template) and chat_template.jinja, as a tokenizer_spec.
 *
 * Known: byte-level BPE. Whatever a file asks for that is not known is named, never left out silently. */
#ifndef FILE_TOKENIZER_JSON_H
#define FILE_TOKENIZER_JSON_H

#include "base/arena.h"
#include "base/error.h"
#include "file/checkpoint.h"
#include "file/tokenizer_spec.h"

/* `view` (NULL is legal) gives what else is known of the folder: the tokens that end a generation by "generation_config.eos_token_id" and "eos_token_id".
 * 0 with *problem == NULL: the spec is filled; memory comes from the arena. 0 with *problem: one line that says why there is no tokenizer that can be used
 * (no tokenizer.json, or of a kind that sampan does not know). What is there but wrong is an error: SAMPAN_EFORMAT, SAMPAN_ELIMIT, SAMPAN_EIO. */
int tokenizer_json_read(const char *folder, const struct checkpoint *view, struct arena *arena, struct tokenizer_spec *spec, const char **problem,
                        struct error *err);

#endif
