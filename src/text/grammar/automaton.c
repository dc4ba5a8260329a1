#include "text/grammar/automaton.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "text/grammar/build.h"
#include "text/grammar/compiled.h"

enum { NOT_KNOWN = -1, SET_TABLE = 4 * LIMIT_AUTOMATON_SET };

struct stack_entry {
    int32_t node, parent; /* where to go on, and what is below */
    int32_t depth;
};

/* An element of a state: node << 32 | stack. */
typedef uint64_t element;

struct state {
    size_t first; /* in `elements` */
    int32_t count;
    bool may_end;
    int32_t *next;  /* [n_classes] or NULL: states by byte class, NOT_KNOWN */
    uint32_t *mask; /* [n_words] or NULL */
};

/* Open addressing over numbers of things that are kept elsewhere; 0 is an empty slot. */
struct number_table {
    int32_t *slots;
    size_t capacity, count; /* capacity: a power of two */
};

struct grammar_automaton {
    const struct grammar *grammar;
    const struct token_trie *trie;
    struct stack_entry *stacks; /* [n_stacks]; 0 is the empty stack */
    struct state *states;       /* [n_states]; 0 is dead */
    element *elements;          /* [n_elements] of all states */
    size_t n_stacks, stack_capacity, n_states, state_capacity, n_elements, element_capacity;
    struct number_table stack_table, state_table;
    element *pending, *kept; /* [LIMIT_AUTOMATON_SET] the set being closed; what of it stays */
    element *visited;        /* [SET_TABLE] */
    uint32_t *visited_in;    /* [SET_TABLE] the closure in which the slot was filled */
    uint32_t closure;        /* its number */
    size_t n_pending, n_kept;
    int32_t *path; /* [max_depth + 1] states of the walk over the trie */
    size_t n_words;
    int64_t n_masks_made;
    size_t memory, mask_memory; /* bytes of everything that grows; of masks */
};

/* ---- Memory. */

static int too_large(struct error *err)
{
    return error_set(err, SAMPAN_ELIMIT, "following a grammar: it needs more than %d MiB for its states; make it less ambiguous or less deep",
                     (int)(LIMIT_AUTOMATON_MEMORY >> 20));
}

static int grow(struct grammar_automaton *automaton, void **items, size_t *capacity, size_t wanted, size_t size, struct error *err)
{
    if (wanted <= *capacity)
        return 0;
    size_t larger = *capacity ? *capacity * 2 : 64;
    while (larger < wanted)
        larger *= 2;
    if (automaton->memory + (larger - *capacity) * size > LIMIT_AUTOMATON_MEMORY)
        return too_large(err);
    void *memory = mem_realloc_array(*items, larger, size);
    if (!memory)
        return error_no_memory(err, "following a grammar");
    automaton->memory += (larger - *capacity) * size;
    *items = memory;
    *capacity = larger;
    return 0;
}

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
}

static uint64_t hash_stack(const struct stack_entry *entry)
{
    return mix(mix(1, (uint64_t)(uint32_t)entry->node), (uint64_t)(uint32_t)entry->parent);
}

static uint64_t hash_elements(const element *elements, size_t n, bool may_end)
{
    uint64_t h = may_end;
    for (size_t i = 0; i < n; i++)
        h = mix(h, elements[i]);
    return h;
}

static uint64_t hash_number(const struct grammar_automaton *automaton, const struct number_table *table, int32_t number)
{
    if (table == &automaton->stack_table)
        return hash_stack(&automaton->stacks[number]);
    const struct state *state = &automaton->states[number];
    return hash_elements(automaton->elements + state->first, (size_t)state->count, state->may_end);
}

/* Room for one more number. */
static int grow_table(struct grammar_automaton *automaton, struct number_table *table, struct error *err)
{
    if (table->count * 2 < table->capacity)
        return 0;
    size_t capacity = table->capacity ? table->capacity * 2 : 256;
    if (automaton->memory + capacity * sizeof(int32_t) > LIMIT_AUTOMATON_MEMORY)
        return too_large(err);
    int32_t *slots = mem_zalloc_array(capacity, sizeof *slots);
    if (!slots)
        return error_no_memory(err, "following a grammar");
    for (size_t i = 0; i < table->capacity; i++) {
        if (!table->slots[i])
            continue;
        size_t at = (size_t)hash_number(automaton, table, table->slots[i]) & (capacity - 1);
        while (slots[at])
            at = (at + 1) & (capacity - 1);
        slots[at] = table->slots[i];
    }
    automaton->memory += (capacity - table->capacity) * sizeof(int32_t);
    mem_free(table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

/* ---- Interning. */

/* The number of the stack (node, parent), at least 1; negative on failure. */
static int32_t intern_stack(struct grammar_automaton *automaton, int32_t node, int32_t parent, struct error *err)
{
    struct stack_entry entry = {node, parent, automaton->stacks[parent].depth + 1};
    if (entry.depth > LIMIT_GRAMMAR_STACK)
        return error_set(err, SAMPAN_ELIMIT, "following a grammar: the text is nested deeper than %d levels", LIMIT_GRAMMAR_STACK);
    int status = grow_table(automaton, &automaton->stack_table, err);
    if (status)
        return status;
    struct number_table *table = &automaton->stack_table;
    size_t at = (size_t)hash_stack(&entry) & (table->capacity - 1);
    for (; table->slots[at]; at = (at + 1) & (table->capacity - 1)) {
        const struct stack_entry *found = &automaton->stacks[table->slots[at]];
        if (found->node == node && found->parent == parent)
            return table->slots[at];
    }
    status = grow(automaton, (void **)&automaton->stacks, &automaton->stack_capacity, automaton->n_stacks + 1, sizeof entry, err);
    if (status)
        return status;
    automaton->stacks[automaton->n_stacks] = entry;
    table->slots[at] = (int32_t)automaton->n_stacks;
    table->count++;
    return (int32_t)automaton->n_stacks++;
}

static bool state_equals(const struct grammar_automaton *automaton, int32_t number, const element *elements, size_t n, bool may_end)
{
    const struct state *state = &automaton->states[number];
    return state->may_end == may_end && (size_t)state->count == n && (!n || memcmp(automaton->elements + state->first, elements, n * sizeof *elements) == 0);
}

static int32_t intern_state(struct grammar_automaton *automaton, const element *elements, size_t n, bool may_end, struct error *err)
{
    if (!n && !may_end)
        return GRAMMAR_STATE_DEAD;
    int status = grow_table(automaton, &automaton->state_table, err);
    if (status)
        return status;
    struct number_table *table = &automaton->state_table;
    size_t at = (size_t)hash_elements(elements, n, may_end) & (table->capacity - 1);
    for (; table->slots[at]; at = (at + 1) & (table->capacity - 1))
        if (state_equals(automaton, table->slots[at], elements, n, may_end))
            return table->slots[at];
    status = grow(automaton, (void **)&automaton->states, &automaton->state_capacity, automaton->n_states + 1, sizeof *automaton->states, err);
    status = status ? status : grow(automaton, (void **)&automaton->elements, &automaton->element_capacity, automaton->n_elements + n, sizeof(element), err);
    if (status)
        return status;
    automaton->states[automaton->n_states] = (struct state){.first = automaton->n_elements, .count = (int32_t)n, .may_end = may_end};
    if (n)
        memcpy(automaton->elements + automaton->n_elements, elements, n * sizeof(element));
    automaton->n_elements += n;
    table->slots[at] = (int32_t)automaton->n_states;
    table->count++;
    return (int32_t)automaton->n_states++;
}

/* ---- Closing a set: everything that can be reached without a byte. */

static int add_pending(struct grammar_automaton *automaton, int32_t node, int32_t stack, struct error *err)
{
    element wanted = (uint64_t)(uint32_t)node << 32 | (uint32_t)stack;
    size_t at = (size_t)mix(7, wanted) & (SET_TABLE - 1);
    for (; automaton->visited_in[at] == automaton->closure; at = (at + 1) & (SET_TABLE - 1))
        if (automaton->visited[at] == wanted)
            return 0;
    if (automaton->n_pending == LIMIT_AUTOMATON_SET)
        return error_set(err, SAMPAN_ELIMIT, "following a grammar: a text can be read in more than %d ways; make the grammar less ambiguous",
                         LIMIT_AUTOMATON_SET);
    automaton->visited[at] = wanted;
    automaton->visited_in[at] = automaton->closure;
    automaton->pending[automaton->n_pending++] = wanted;
    return 0;
}

static void begin_closure(struct grammar_automaton *automaton)
{
    automaton->n_pending = automaton->n_kept = 0;
    if (++automaton->closure == 0) { /* after four billion closures old marks could be taken for new ones */
        memset(automaton->visited_in, 0, SET_TABLE * sizeof *automaton->visited_in);
        automaton->closure = 1;
    }
}

static int enter_rule(struct grammar_automaton *automaton, const struct grammar_edge *edge, int32_t stack, struct error *err)
{
    int32_t below = stack;
    if (!edge->tail) {
        below = intern_stack(automaton, edge->to, stack, err);
        if (below < 0)
            return below;
    }
    return add_pending(automaton, automaton->grammar->rule_starts[edge->rule], below, err);
}

static int compare_elements(const void *a, const void *b)
{
    element x = *(const element *)a, y = *(const element *)b;
    return x < y ? -1 : x > y;
}

/* The state of everything in `pending`; elements whose nodes have byte edges stay. Returns a state or a failure. */
static int32_t finish_closure(struct grammar_automaton *automaton, struct error *err)
{
    const struct grammar *grammar = automaton->grammar;
    bool may_end = false;
    for (size_t i = 0; i < automaton->n_pending; i++) {
        int32_t node = (int32_t)(automaton->pending[i] >> 32), stack = (int32_t)(uint32_t)automaton->pending[i];
        bool has_bytes = false;
        int status = 0;
        for (int32_t e = grammar->first_edge[node]; e < grammar->first_edge[node + 1] && !status; e++) {
            const struct grammar_edge *edge = &grammar->edges[e];
            if (edge->kind == EDGE_BYTES)
                has_bytes = true;
            else
                status = edge->kind == EDGE_CALL ? enter_rule(automaton, edge, stack, err) : add_pending(automaton, edge->to, stack, err);
        }
        if (!status && grammar->is_end[node] && stack)
            status = add_pending(automaton, automaton->stacks[stack].node, automaton->stacks[stack].parent, err);
        if (status)
            return status;
        may_end |= grammar->is_end[node] && !stack;
        if (has_bytes)
            automaton->kept[automaton->n_kept++] = automaton->pending[i];
    }
    if (automaton->n_kept > 1)
        qsort(automaton->kept, automaton->n_kept, sizeof(element), compare_elements);
    return intern_state(automaton, automaton->kept, automaton->n_kept, may_end, err);
}

static int32_t compute_next(struct grammar_automaton *automaton, int32_t number, uint8_t class, struct error *err)
{
    const struct grammar *grammar = automaton->grammar;
    const struct state *state = &automaton->states[number];
    begin_closure(automaton);
    for (int32_t i = 0; i < state->count; i++) {
        element from = automaton->elements[state->first + (size_t)i];
        int32_t node = (int32_t)(from >> 32), stack = (int32_t)(uint32_t)from;
        for (int32_t e = grammar->first_edge[node]; e < grammar->first_edge[node + 1]; e++) {
            const struct grammar_edge *edge = &grammar->edges[e];
            if (edge->kind != EDGE_BYTES || class < edge->first || class > edge->last)
                continue;
            int status = add_pending(automaton, edge->to, stack, err);
            if (status)
                return status;
        }
    }
    return finish_closure(automaton, err);
}

/* The state after one byte of `class`; a negative code on failure. */
static int32_t next_state(struct grammar_automaton *automaton, int32_t number, uint8_t class, struct error *err)
{
    struct state *state = &automaton->states[number];
    size_t n_classes = (size_t)automaton->grammar->n_classes;
    if (!state->next) {
        if (automaton->memory + n_classes * sizeof(int32_t) > LIMIT_AUTOMATON_MEMORY)
            return too_large(err);
        state->next = mem_alloc_array(n_classes, sizeof(int32_t));
        if (!state->next)
            return error_no_memory(err, "following a grammar");
        automaton->memory += n_classes * sizeof(int32_t);
        memset(state->next, 0xFF, n_classes * sizeof(int32_t)); /* NOT_KNOWN */
    }
    if (state->next[class] != NOT_KNOWN)
        return state->next[class];
    int32_t next = compute_next(automaton, number, class, err);
    if (next >= 0)
        automaton->states[number].next[class] = next; /* the array of states may have moved */
    return next;
}

/* ---- Life. */

int grammar_automaton_create(const struct grammar *grammar, const struct token_trie *trie, struct grammar_automaton **result, struct error *err)
{
    *result = NULL;
    struct grammar_automaton *automaton = mem_zalloc(sizeof *automaton);
    if (!automaton)
        return error_no_memory(err, "making an automaton of a grammar");
    automaton->grammar = grammar;
    automaton->trie = trie;
    automaton->n_words = trie ? ((size_t)trie->n_tokens + 31) / 32 : 0;
    automaton->pending = mem_alloc_array(LIMIT_AUTOMATON_SET, sizeof(element));
    automaton->kept = mem_alloc_array(LIMIT_AUTOMATON_SET, sizeof(element));
    automaton->visited = mem_alloc_array(SET_TABLE, sizeof(element));
    automaton->visited_in = mem_zalloc_array(SET_TABLE, sizeof(uint32_t));
    automaton->path = mem_alloc_array(trie ? (size_t)trie->max_depth + 1 : 1, sizeof(int32_t));
    int status = automaton->pending && automaton->kept && automaton->visited && automaton->visited_in && automaton->path
                     ? 0
                     : error_no_memory(err, "making an automaton of a grammar");
    status = status ? status : grow(automaton, (void **)&automaton->stacks, &automaton->stack_capacity, 1, sizeof *automaton->stacks, err);
    status = status ? status : grow(automaton, (void **)&automaton->states, &automaton->state_capacity, 1, sizeof *automaton->states, err);
    if (status) {
        grammar_automaton_free(automaton);
        return status;
    }
    automaton->stacks[automaton->n_stacks++] = (struct stack_entry){0};
    automaton->states[automaton->n_states++] = (struct state){0};
    *result = automaton;
    return 0;
}

void grammar_automaton_free(struct grammar_automaton *automaton)
{
    if (!automaton)
        return;
    for (size_t i = 0; i < automaton->n_states; i++) {
        mem_free(automaton->states[i].next);
        mem_free(automaton->states[i].mask);
    }
    void *memory[] = {automaton->stacks,  automaton->states, automaton->elements, automaton->stack_table.slots, automaton->state_table.slots,
                      automaton->pending, automaton->kept,   automaton->visited,  automaton->visited_in,        automaton->path};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        mem_free(memory[i]);
    mem_free(automaton);
}

/* ---- Use. */

int grammar_automaton_start(struct grammar_automaton *automaton, int32_t *state, struct error *err)
{
    begin_closure(automaton);
    int status = add_pending(automaton, automaton->grammar->rule_starts[0], 0, err);
    int32_t start = status ? status : finish_closure(automaton, err);
    *state = start < 0 ? GRAMMAR_STATE_DEAD : start;
    return start < 0 ? start : 0;
}

int grammar_automaton_advance(struct grammar_automaton *automaton, int32_t state, const char *bytes, size_t length, int32_t *next, struct error *err)
{
    for (size_t i = 0; i < length && state > 0; i++)
        state = next_state(automaton, state, automaton->grammar->byte_class[(unsigned char)bytes[i]], err);
    *next = state < 0 ? GRAMMAR_STATE_DEAD : state;
    return state < 0 ? state : 0;
}

bool grammar_automaton_may_end(const struct grammar_automaton *automaton, int32_t state)
{
    return automaton->states[state].may_end;
}

bool grammar_automaton_is_complete(const struct grammar_automaton *automaton, int32_t state)
{
    return automaton->states[state].may_end && automaton->states[state].count == 0;
}

static void drop_masks(struct grammar_automaton *automaton)
{
    for (size_t i = 0; i < automaton->n_states; i++) {
        mem_free(automaton->states[i].mask);
        automaton->states[i].mask = NULL;
    }
    automaton->mask_memory = 0;
}

/* One pass over the trie: a rejected byte jumps over everything that begins with it. */
static int fill_mask(struct grammar_automaton *automaton, int32_t state, uint32_t *mask, struct error *err)
{
    const struct token_trie *trie = automaton->trie;
    const uint8_t *byte_class = automaton->grammar->byte_class;
    automaton->path[0] = state;
    for (int32_t i = 0; i < trie->n_nodes;) {
        const struct token_trie_node *node = &trie->nodes[i];
        int32_t from = automaton->path[node->depth - 1];
        const int32_t *known = automaton->states[from].next;
        int32_t next = known ? known[byte_class[node->byte]] : NOT_KNOWN;
        if (next == NOT_KNOWN)
            next = next_state(automaton, from, byte_class[node->byte], err);
        if (next < 0)
            return next;
        if (next == GRAMMAR_STATE_DEAD) {
            i = node->next;
            continue;
        }
        for (int32_t token = node->token; token >= 0; token = trie->same[token])
            mask[token / 32] |= 1u << (token % 32);
        automaton->path[node->depth] = next;
        i++;
    }
    return 0;
}

int grammar_automaton_mask(struct grammar_automaton *automaton, int32_t state, const uint32_t **mask, struct error *err)
{
    *mask = automaton->states[state].mask;
    if (*mask)
        return 0;
    size_t bytes = automaton->n_words * sizeof(uint32_t);
    if (automaton->mask_memory + bytes > LIMIT_AUTOMATON_MASKS)
        drop_masks(automaton);
    uint32_t *made = mem_zalloc_array(automaton->n_words + 1, sizeof *made);
    if (!made)
        return error_no_memory(err, "making a mask of tokens");
    int status = fill_mask(automaton, state, made, err);
    if (status) {
        mem_free(made);
        return status;
    }
    automaton->states[state].mask = made;
    automaton->mask_memory += bytes;
    automaton->n_masks_made++;
    *mask = made;
    return 0;
}

void grammar_automaton_get_statistics(const struct grammar_automaton *automaton, struct grammar_automaton_statistics *statistics)
{
    *statistics = (struct grammar_automaton_statistics){
        .n_states = (int64_t)automaton->n_states,
        .n_stacks = (int64_t)automaton->n_stacks,
        .n_masks_made = automaton->n_masks_made,
        .memory = automaton->memory + automaton->mask_memory,
    };
}
