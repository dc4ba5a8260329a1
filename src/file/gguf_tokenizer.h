/* The tokenizer keys of GGUF metadata (tokenizer.ggml.*, tokenizer.chat_template) as a tokenizer_spec. */
#ifndef FILE_GGUF_TOKENIZER_H
#define FILE_GGUF_TOKENIZER_H

#include "base/arena.h"
#include "file/checkpoint.h"

/* Sets has_tokenizer and tokenizer, or tokenizer_problem where the file has none or one of a kind that sampan does not know; what is there but wrong is
 * an error (SAMPAN_EFORMAT, SAMPAN_ELIMIT). Memory comes from the arena; strings are shared with the metadata. */
int gguf_fill_tokenizer(struct checkpoint *checkpoint, struct arena *arena, struct error *err);

#endif
