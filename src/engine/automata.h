/* The automata of an engine: one per constraint, shared by all streams that carry it, so that what one of them learned (states, masks) serves the next. An
 * automaton nobody uses is kept for the next request with the same constraint, the few that were used last. Thread: the engine's. */
#ifndef ENGINE_AUTOMATA_H
#define ENGINE_AUTOMATA_H

#include <stddef.h>
#include <stdint.h>

#include "text/grammar/automaton.h"
#include "text/grammar/constraint.h"

#define AUTOMATA_KEPT 16 /* unused ones */

struct automaton_use {
    struct constraint *constraint; /* a reference of our own */
    struct grammar_automaton *automaton;
    int32_t n_streams;
    uint64_t last_use; /* ordinal */
};

struct automata {
    struct automaton_use *uses; /* [n], owned */
    size_t n, capacity;
    uint64_t n_uses;
};

/* The constraint's automaton, made when there is none; given back with automata_leave. SAMPAN_ENOMEM, SAMPAN_ELIMIT. */
int automata_join(struct automata *automata, struct constraint *constraint, struct grammar_automaton **automaton, struct error *err);
void automata_leave(struct automata *automata, const struct grammar_automaton *automaton); /* NULL is legal */
void automata_free(struct automata *automata);

#endif
