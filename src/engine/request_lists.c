#include "engine/request_lists.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"

int request_lists_check(const struct engine_request *request, int32_t n_vocabulary, struct error *err)
{
    if (request->n_stop_tokens > LIMIT_STOP_TOKENS)
        return error_set(err, SAMPAN_ELIMIT, "stop_tokens has %zu entries, expected at most %d", request->n_stop_tokens, LIMIT_STOP_TOKENS);
    if (request->n_stop_tokens && !request->stop_tokens)
        return error_set(err, SAMPAN_EINVAL, "stop_tokens has %zu entries, but the list is NULL", request->n_stop_tokens);
    for (size_t i = 0; i < request->n_stop_tokens; i++)
        if (request->stop_tokens[i] < 0 || request->stop_tokens[i] >= n_vocabulary)
            return error_set(err, SAMPAN_EINVAL, "entry %zu of stop_tokens is token %d, expected 0 to %d", i, request->stop_tokens[i], n_vocabulary - 1);
    return 0;
}

/* Bytes of everything: sequences first, whose pointers want the widest alignment. The limits keep the sums far from any overflow. */
static size_t size_of_lists(const struct engine_request *request, int32_t n_eog)
{
    const struct sampling_parameters *p = &request->sampling;
    size_t size = (size_t)p->n_banned * sizeof *p->banned + (size_t)p->n_biases * sizeof *p->biases;
    for (int32_t i = 0; i < p->n_banned; i++)
        size += p->banned[i].count * sizeof *p->banned[i].ids;
    return size + (request->n_stop_tokens + (size_t)n_eog) * sizeof *request->stop_tokens;
}

static void *take(char **next, const void *source, size_t size)
{
    void *copy = *next;
    if (size)
        memcpy(copy, source, size);
    *next += size;
    return copy;
}

int request_lists_init(struct request_lists *lists, const struct engine_request *request, const struct tokenizer *tokenizer,
                       struct sampling_parameters *sampling, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer && request->min_tokens > 0 ? tokenizer_get_spec(tokenizer) : NULL;
    int32_t n_eog = spec ? spec->n_eog_ids : 0;
    size_t size = size_of_lists(request, n_eog);
    *lists = (struct request_lists){0};
    sampling->banned = NULL;
    sampling->biases = NULL;
    if (!size)
        return 0;
    char *next = lists->memory = mem_alloc(size);
    if (!next)
        return error_no_memory(err, "accepting the lists of a request");
    struct token_sequence *banned = take(&next, request->sampling.banned, (size_t)sampling->n_banned * sizeof *banned);
    sampling->banned = banned;
    sampling->biases = take(&next, request->sampling.biases, (size_t)sampling->n_biases * sizeof *sampling->biases);
    for (int32_t i = 0; i < sampling->n_banned; i++)
        banned[i].ids = take(&next, banned[i].ids, banned[i].count * sizeof *banned[i].ids);
    lists->end_tokens = take(&next, request->stop_tokens, request->n_stop_tokens * sizeof *lists->end_tokens);
    if (n_eog)
        take(&next, spec->eog_ids, (size_t)n_eog * sizeof *spec->eog_ids);
    lists->n_stop_tokens = (int32_t)request->n_stop_tokens;
    lists->n_end_tokens = lists->n_stop_tokens + n_eog;
    return 0;
}

void request_lists_free(struct request_lists *lists)
{
    mem_free(lists->memory);
    *lists = (struct request_lists){0};
}

bool request_lists_has_stop_token(const struct request_lists *lists, int32_t token)
{
    for (int32_t i = 0; i < lists->n_stop_tokens; i++)
        if (lists->end_tokens[i] == token)
            return true;
    return false;
}
