#include "engine/token_log.h"

#include <string.h>

#include "base/memory.h"
#include "engine/engine.h"

static struct engine_logprob *make_rows(int32_t rows, int32_t width)
{
    size_t count;
    if (!mem_multiply((size_t)rows, (size_t)width, &count))
        return NULL;
    return mem_alloc_array(count, sizeof(struct engine_logprob));
}

int token_log_init(struct token_log *log, const int32_t *prompt, int32_t n_prompt, int32_t max_new, int32_t logprob_width, int32_t prompt_logprob_width,
                   struct error *err)
{
    *log = (struct token_log){
        .n_prompt = n_prompt, .n_tokens = n_prompt, .max_new = max_new, .logprob_width = logprob_width, .prompt_logprob_width = prompt_logprob_width};
    log->tokens = mem_alloc_array((size_t)n_prompt + (size_t)max_new, sizeof *log->tokens);
    log->logprobs = logprob_width ? make_rows(max_new, logprob_width) : NULL;
    log->prompt_logprobs = prompt_logprob_width ? make_rows(n_prompt, prompt_logprob_width) : NULL;
    if (!log->tokens || (logprob_width && !log->logprobs) || (prompt_logprob_width && !log->prompt_logprobs)) {
        token_log_free(log);
        return error_no_memory(err, "making the token log of a request");
    }
    memcpy(log->tokens, prompt, (size_t)n_prompt * sizeof *prompt);
    return 0;
}

void token_log_free(struct token_log *log)
{
    mem_free(log->tokens);
    mem_free(log->logprobs);
    mem_free(log->prompt_logprobs);
    *log = (struct token_log){0};
}
