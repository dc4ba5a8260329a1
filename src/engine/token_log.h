/* The token log: everything a stream is. The prompt and every accepted token, with the log-probabilities that were asked for; all memory is taken when the
 * request is accepted, so that nothing grows while steps run and a slow reader costs nothing.
 *
 *   tokens:          [ prompt ............. | accepted ........ | room up to max_new ]
 *                      0          n_prompt    ^ n_tokens
 *   logprobs:        [max_new][1 + alternatives]      row i belongs to tokens[n_prompt + i]
 *   prompt_logprobs: [n_prompt][alternatives]
 *
 * The engine appends; a reader looks only at what was published to it, and nothing published ever changes. From the log alone a stream can be rebuilt
 * on another executor. */
#ifndef ENGINE_TOKEN_LOG_H
#define ENGINE_TOKEN_LOG_H

#include <stdint.h>

#include "base/error.h"

struct engine_logprob;

struct token_log {
    int32_t *tokens;
    int32_t n_prompt;
    int32_t n_tokens; /* prompt + accepted */
    int32_t max_new;
    int32_t logprob_width; /* per accepted token; 0: none kept */
    struct engine_logprob *logprobs;
    int32_t prompt_logprob_width;
    int32_t n_prompt_taken; /* prompt positions whose rows were taken, where all are wanted: log-probabilities, hidden rows */
    struct engine_logprob *prompt_logprobs;
};

int token_log_init(struct token_log *log, const int32_t *prompt, int32_t n_prompt, int32_t max_new, int32_t logprob_width, int32_t prompt_logprob_width,
                   struct error *err);
void token_log_free(struct token_log *log);

static inline int32_t token_log_n_new(const struct token_log *log)
{
    return log->n_tokens - log->n_prompt;
}

#endif
