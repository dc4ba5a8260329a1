/* Which tokens end a generation.
 *
 * A chat model says "I am done" with a token of its own, and a GGUF names only one or two of them (eos, eot, eom); published files are often converted from
 * a base model's configuration, where eos is the end of a document and not of a turn. Without the other tokens such a model would go on speaking for its user.
 * So, as the widely used engines do, tokens with these texts end a generation too - but only where the vocabulary itself declares them as control
 * tokens: ordinary text that happens to look like one (or a user-defined token) never stops an answer. */
#include "file/end_of_generation.h"

#include <stdbool.h>
#include <string.h>

static const char *const end_of_generation_texts[] = {
    /* clang-format off */
    "<|im_end|>",                                                     /* ChatML: Qwen, SmolLM, ... */
    "<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>", "[EOS]",     /* end of document */
    "<|eot_id|>", "<|eom_id|>",                                       /* Llama 3: end of turn, of message (a tool call follows) */
    "<end_of_turn>",                                                  /* Gemma */
    "<|end|>",                                                        /* Phi 3 */
    "<|return|>", "<|call|>",                                         /* gpt-oss (harmony): final answer, tool call */
    "<|calls|>", "<|flush|>",                                         /* Solar Open */
    "<EOT>", "_<EOT>", "[EOT]",                                       /* Refact, Kimi */
    "<end_of_utterance>",                                             /* SmolVLM */
    "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>", /* DeepSeek: full-width bars, low lines */
    /* clang-format on */
};
enum { N_END_TEXTS = sizeof end_of_generation_texts / sizeof end_of_generation_texts[0] };

static bool token_is(const struct tokenizer_token *token, const char *text)
{
    return token->text.length == strlen(text) && memcmp(token->text.data, text, token->text.length) == 0;
}

static bool is_end_text(const struct tokenizer_token *token)
{
    for (int i = 0; i < N_END_TEXTS; i++)
        if (token_is(token, end_of_generation_texts[i]))
            return true;
    return false;
}

static bool has_id(const int32_t *ids, int n, int32_t id)
{
    for (int i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static int find_control_token(const struct tokenizer_spec *spec, const char *text)
{
    for (int i = 0; i < spec->n_tokens; i++)
        if (spec->tokens[i].kind == TOKEN_CONTROL && token_is(&spec->tokens[i], text))
            return i;
    return -1;
}

/* In harmony (and Solar Open) <|end|> closes a message, not the generation: the model goes on from its thoughts to its answer. */
static bool end_token_closes_a_message_only(const struct tokenizer_spec *spec)
{
    return (find_control_token(spec, "<|return|>") >= 0 && find_control_token(spec, "<|call|>") >= 0) ||
           (find_control_token(spec, "<|flush|>") >= 0 && find_control_token(spec, "<|calls|>") >= 0);
}

int end_of_generation_fill(struct tokenizer_spec *spec, const int32_t *named, size_t n_named, struct arena *arena, struct error *err)
{
    bool end_is_message = end_token_closes_a_message_only(spec);
    int n = 0, n_found = 0;
    for (int i = 0; i < spec->n_tokens; i++)
        n_found += spec->tokens[i].kind == TOKEN_CONTROL && is_end_text(&spec->tokens[i]);
    int32_t *ids = arena_alloc_array(arena, (size_t)n_found + n_named, sizeof *ids);
    if (!ids)
        return error_no_memory(err, "collecting the tokens that end a generation");
    for (size_t i = 0; i < n_named; i++)
        if (named[i] >= 0 && !has_id(ids, n, named[i]))
            ids[n++] = named[i];
    int n_by_name = n;
    for (int i = 0; n_found > 0 && i < spec->n_tokens; i++) {
        const struct tokenizer_token *token = &spec->tokens[i];
        if (token->kind != TOKEN_CONTROL || !is_end_text(token) || has_id(ids, n_by_name, i))
            continue;
        if (!(end_is_message && token_is(token, "<|end|>")))
            ids[n++] = i;
    }
    spec->eog_ids = ids;
    spec->n_eog_ids = n;
    return 0;
}
