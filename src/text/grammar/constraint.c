#include "text/grammar/constraint.h"

#include "base/memory.h"

int constraint_create(enum grammar_kind kind, const char *source, size_t length, const struct token_trie *trie, struct constraint **result, struct error *err)
{
    *result = NULL;
    struct constraint *constraint = mem_zalloc(sizeof *constraint);
    if (!constraint)
        return error_no_memory(err, "compiling a grammar");
    int status = grammar_compile(kind, source, length, &constraint->grammar, err);
    if (status) {
        mem_free(constraint);
        return status;
    }
    constraint->trie = trie;
    atomic_init(&constraint->references, 1);
    *result = constraint;
    return 0;
}

struct constraint *constraint_retain(struct constraint *constraint)
{
    if (constraint)
        atomic_fetch_add(&constraint->references, 1);
    return constraint;
}

void constraint_release(struct constraint *constraint)
{
    if (!constraint || atomic_fetch_sub(&constraint->references, 1) > 1)
        return;
    grammar_free(constraint->grammar);
    mem_free(constraint);
}
