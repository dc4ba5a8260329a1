/* The first byte is the kind of grammar, the rest its source. What compiles is followed for some bytes, taken from the source: it may reject them, never crash,
 * hang or run into a dead end. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "text/grammar/automaton.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every live state that is not complete goes on by some byte. */
static void check_alive(struct grammar_automaton *automaton, int32_t state)
{
    bool goes_on = grammar_automaton_may_end(automaton, state);
    for (int byte = 0; byte < 256 && !goes_on; byte++) {
        char c = (char)byte;
        int32_t next;
        if (grammar_automaton_advance(automaton, state, &c, 1, &next, NULL))
            return; /* a limit */
        goes_on = next != GRAMMAR_STATE_DEAD;
    }
    if (!goes_on)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grammar *grammar;
    struct grammar_automaton *automaton;
    struct error err;
    int32_t state;
    if (size < 1 || size > 20000 || grammar_compile((enum grammar_kind)(data[0] % GRAMMAR_KIND_COUNT), (const char *)data + 1, size - 1, &grammar, &err))
        return 0;
    if (!grammar_automaton_create(grammar, NULL, &automaton, &err)) {
        if (!grammar_automaton_start(automaton, &state, &err)) {
            for (size_t i = 1; i < size && i < 64; i++) {
                int32_t next;
                check_alive(automaton, state);
                if (grammar_automaton_advance(automaton, state, (const char *)data + i, 1, &next, &err))
                    break;
                state = next != GRAMMAR_STATE_DEAD ? next : state;
            }
        }
        grammar_automaton_free(automaton);
    }
    grammar_free(grammar);
    return 0;
}
