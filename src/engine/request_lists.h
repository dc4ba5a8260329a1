/* The lists of a request beside its prompt: biases, banned sequences, tokens that end the answer. Copied when it is accepted, in one piece of memory. */
#ifndef ENGINE_REQUEST_LISTS_H
#define ENGINE_REQUEST_LISTS_H

#include <stdbool.h>

#include "engine/engine.h"

struct request_lists {
    void *memory;              /* owned: everything the pointers below and in the copied parameters point to; NULL: no lists */
    const int32_t *end_tokens; /* [n_stop_tokens + EOG ids]: not chosen before min_tokens; the request's own stop tokens come first */
    int32_t n_end_tokens;
    int32_t n_stop_tokens;
};

/* SAMPAN_EINVAL or SAMPAN_ELIMIT: a stop token outside the vocabulary, too many of them. The other lists: sampling_parameters_check. */
int request_lists_check(const struct engine_request *request, int32_t n_vocabulary, struct error *err);

/* Copies the lists and points `sampling` (a copy of the request's parameters) at them. `tokenizer` may be NULL. SAMPAN_ENOMEM. */
int request_lists_init(struct request_lists *lists, const struct engine_request *request, const struct tokenizer *tokenizer,
                       struct sampling_parameters *sampling, struct error *err);
void request_lists_free(struct request_lists *lists);

bool request_lists_has_stop_token(const struct request_lists *lists, int32_t token);

#endif
