/* The public API: grammars of constrained output. */
#include <string.h>

#include "base/memory.h"
#include "sampan_internal.h"

/* The vocabulary's trie, made with the first grammar of a model. */
static int model_trie(sampan_model *model, const struct token_trie **trie, struct error *err)
{
    const struct tokenizer *tokenizer;
    int code = api_model_tokenizer(model, &tokenizer, err);
    if (code)
        return code;
    pthread_mutex_lock(&model->mutex);
    if (!model->trie)
        code = token_trie_create(tokenizer, &model->trie, err);
    *trie = model->trie;
    pthread_mutex_unlock(&model->mutex);
    return code;
}

int sampan_grammar_compile(sampan_model *model, int32_t kind, const char *source, size_t length, sampan_grammar **grammar)
{
    struct error *err = api_error();
    if (!grammar)
        return api_invalid("compiling a grammar", "the place for the grammar is NULL");
    *grammar = NULL;
    if (!model || (!source && length))
        return api_invalid("compiling a grammar", "a parameter is NULL");
    const struct token_trie *trie = NULL;
    sampan_grammar *made = mem_zalloc(sizeof *made);
    int code = made ? model_trie(model, &trie, err) : error_no_memory(err, "compiling a grammar");
    if (!code)
        code = constraint_create((enum grammar_kind)kind, source ? source : "", length, trie, &made->constraint, err);
    if (code) {
        mem_free(made);
        return code;
    }
    *grammar = made;
    return 0;
}

void sampan_grammar_free(sampan_grammar *grammar)
{
    if (!grammar)
        return;
    constraint_release(grammar->constraint);
    mem_free(grammar);
}
