/* Which tokens end a generation: those that the files name and those whose text says so. */
#ifndef FILE_END_OF_GENERATION_H
#define FILE_END_OF_GENERATION_H

#include "base/arena.h"
#include "base/error.h"
#include "file/tokenizer_spec.h"

/* Sets spec->eog_ids from the ids that the files name (those below 0 are passed over) and the texts of the control tokens. Memory comes from the arena. */
int end_of_generation_fill(struct tokenizer_spec *spec, const int32_t *named, size_t n_named, struct arena *arena, struct error *err);

#endif
