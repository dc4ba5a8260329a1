#include "engine/automata.h"

#include "base/memory.h"

static void free_use(struct automaton_use *use)
{
    grammar_automaton_free(use->automaton);
    constraint_release(use->constraint);
}

void automata_free(struct automata *automata)
{
    for (size_t i = 0; i < automata->n; i++)
        free_use(&automata->uses[i]);
    mem_free(automata->uses);
    *automata = (struct automata){0};
}

static struct automaton_use *find(struct automata *automata, const struct constraint *constraint)
{
    for (size_t i = 0; i < automata->n; i++)
        if (automata->uses[i].constraint == constraint)
            return &automata->uses[i];
    return NULL;
}

static int add(struct automata *automata, struct constraint *constraint, struct automaton_use **use, struct error *err)
{
    if (automata->n == automata->capacity) {
        size_t capacity = automata->capacity ? automata->capacity * 2 : 8;
        struct automaton_use *larger = mem_realloc_array(automata->uses, capacity, sizeof *larger);
        if (!larger)
            return error_no_memory(err, "following a grammar");
        automata->uses = larger;
        automata->capacity = capacity;
    }
    struct automaton_use made = {0};
    int status = grammar_automaton_create(constraint->grammar, constraint->trie, &made.automaton, err);
    if (status)
        return status;
    made.constraint = constraint_retain(constraint);
    automata->uses[automata->n] = made;
    *use = &automata->uses[automata->n++];
    return 0;
}

int automata_join(struct automata *automata, struct constraint *constraint, struct grammar_automaton **automaton, struct error *err)
{
    struct automaton_use *use = find(automata, constraint);
    int status = use ? 0 : add(automata, constraint, &use, err);
    if (status)
        return status;
    use->n_streams++;
    use->last_use = ++automata->n_uses;
    *automaton = use->automaton;
    return 0;
}

/* Frees unused automata, those unused for longest first, until few are left. */
static void forget_old(struct automata *automata)
{
    for (;;) {
        size_t n_unused = 0, oldest = 0;
        for (size_t i = 0; i < automata->n; i++) {
            if (automata->uses[i].n_streams)
                continue;
            if (!n_unused || automata->uses[i].last_use < automata->uses[oldest].last_use)
                oldest = i;
            n_unused++;
        }
        if (n_unused <= AUTOMATA_KEPT)
            return;
        free_use(&automata->uses[oldest]);
        automata->uses[oldest] = automata->uses[--automata->n];
    }
}

void automata_leave(struct automata *automata, const struct grammar_automaton *automaton)
{
    for (size_t i = 0; i < automata->n && automaton; i++) {
        if (automata->uses[i].automaton == automaton) {
            automata->uses[i].n_streams--;
            forget_old(automata);
            return;
        }
    }
}
