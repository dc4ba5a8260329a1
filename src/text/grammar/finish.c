/* From a builder to a grammar: nodes that cannot reach their rule's end are dropped (so that the automaton has no dead ends), what cannot be run is refused,
 * the rest is packed. Everything is linear in the number of edges. */
#include <string.h>

#include "base/memory.h"
#include "text/grammar/build.h"
#include "text/grammar/compiled.h"
#include "text/grammar/grammar.h"

struct work {
    struct grammar_builder *builder;
    size_t n_nodes, n_edges, n_rules;
    int32_t *incoming_first, *incoming; /* [n_nodes + 1], [n_edges]: edges by where they lead */
    int32_t *callers_first, *callers;   /* [n_rules + 1], [n_edges]: calls by rule */
    int32_t *outgoing_first, *outgoing; /* [n_nodes + 1], [n_edges]: edges by where they start */
    int32_t *start_of;                  /* [n_nodes]: the rule that starts here, or -1 */
    unsigned char *productive;          /* [n_nodes]: can reach the end of its rule */
    unsigned char *nullable;            /* [n_nodes]: ... without a byte */
    unsigned char *visited;             /* [n_nodes] */
    int32_t *stack;                     /* [n_nodes + 1] */
    int32_t *number;                    /* [n_nodes]: in the packed grammar, -1: not reached */
    int32_t *rule_number;               /* [n_rules] ditto */
    int32_t *order;                     /* [n_nodes]: reached nodes, by number */
    int32_t n_reached, n_reached_rules;
};

static int take_memory(struct work *work, void **memory, size_t count, size_t size)
{
    *memory = mem_zalloc_array(count + 1, size);
    return *memory ? 0 : error_no_memory(work->builder->err, "compiling a grammar");
}

static int begin_work(struct work *work, struct grammar_builder *builder)
{
    *work = (struct work){.builder = builder, .n_nodes = (size_t)builder->n_nodes, .n_edges = builder->n_edges, .n_rules = builder->n_rules};
    const struct {
        void **memory;
        size_t count, size;
    } wanted[] = {
        {(void **)&work->incoming_first, work->n_nodes, 4}, {(void **)&work->incoming, work->n_edges, 4},
        {(void **)&work->callers_first, work->n_rules, 4},  {(void **)&work->callers, work->n_edges, 4},
        {(void **)&work->outgoing_first, work->n_nodes, 4}, {(void **)&work->outgoing, work->n_edges, 4},
        {(void **)&work->start_of, work->n_nodes, 4},       {(void **)&work->productive, work->n_nodes, 1},
        {(void **)&work->nullable, work->n_nodes, 1},       {(void **)&work->visited, work->n_nodes, 1},
        {(void **)&work->stack, work->n_nodes, 4},          {(void **)&work->number, work->n_nodes, 4},
        {(void **)&work->rule_number, work->n_rules, 4},    {(void **)&work->order, work->n_nodes, 4},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int status = take_memory(work, wanted[i].memory, wanted[i].count, wanted[i].size);
        if (status)
            return status;
    }
    return 0;
}

static void end_work(struct work *work)
{
    void *memory[] = {work->incoming_first, work->incoming, work->callers_first, work->callers, work->outgoing_first, work->outgoing,    work->start_of,
                      work->productive,     work->nullable, work->visited,       work->stack,   work->number,         work->rule_number, work->order};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        mem_free(memory[i]);
}

/* ---- Edges by end, by start, by rule: counting sort. */

enum key { BY_END, BY_START, BY_RULE };

static int32_t key_of(const struct build_edge *edge, enum key key)
{
    return key == BY_END ? edge->to : key == BY_START ? edge->from : edge->kind == EDGE_CALL ? edge->rule : -1;
}

static void index_edges(const struct work *work, enum key key, size_t n_keys, int32_t *first, int32_t *sorted)
{
    const struct build_edge *edges = work->builder->edges;
    for (size_t i = 0; i < work->n_edges; i++)
        if (key_of(&edges[i], key) >= 0)
            first[key_of(&edges[i], key) + 1]++;
    for (size_t i = 0; i < n_keys; i++)
        first[i + 1] += first[i];
    for (size_t i = 0; i < work->n_edges; i++)
        if (key_of(&edges[i], key) >= 0)
            sorted[first[key_of(&edges[i], key)]++] = (int32_t)i;
    for (size_t i = n_keys; i > 0; i--) /* each `first` now points behind its run */
        first[i] = first[i - 1];
    first[0] = 0;
}

/* ---- What can reach an end. */

static void mark(struct work *work, unsigned char *marks, int32_t node, size_t *top)
{
    if (marks[node])
        return;
    marks[node] = 1;
    work->stack[(*top)++] = node;
}

/* Marks the nodes from which their rule's end can be reached: with any edges, or without consuming a byte. A call counts once its rule's start is marked. */
static void mark_reaching_end(struct work *work, bool with_bytes, unsigned char *marks)
{
    const struct grammar_builder *builder = work->builder;
    size_t top = 0;
    for (size_t r = 0; r < work->n_rules; r++)
        mark(work, marks, builder->rules[r].end, &top);
    while (top) {
        int32_t node = work->stack[--top];
        for (int32_t i = work->incoming_first[node]; i < work->incoming_first[node + 1]; i++) {
            const struct build_edge *edge = &builder->edges[work->incoming[i]];
            bool passable =
                edge->kind == EDGE_EPSILON || (edge->kind == EDGE_BYTES && with_bytes) || (edge->kind == EDGE_CALL && marks[builder->rules[edge->rule].start]);
            if (passable)
                mark(work, marks, edge->from, &top);
        }
        int32_t rule = work->start_of[node];
        for (int32_t i = rule < 0 ? 0 : work->callers_first[rule]; rule >= 0 && i < work->callers_first[rule + 1]; i++) {
            const struct build_edge *edge = &builder->edges[work->callers[i]];
            if (marks[edge->to])
                mark(work, marks, edge->from, &top);
        }
    }
}

static bool is_useful(const struct work *work, const struct build_edge *edge)
{
    return work->productive[edge->to] && (edge->kind != EDGE_CALL || work->productive[work->builder->rules[edge->rule].start]);
}

/* ---- Left recursion: a rule that can call itself before any byte was consumed would be entered for ever. */

enum colour { WHITE, GREY, BLACK };

static int refuse_left_recursion(struct work *work, int32_t rule)
{
    return builder_fail(work->builder, SAMPAN_EINVAL,
                        "rule '%s' can begin with itself (left recursion), which has no end; write it so that something comes before the repetition",
                        work->builder->rules[rule].name);
}

/* Appends to `found` the rules that `rule` may call before consuming a byte. Nodes belong to one rule each, so all these walks together are linear. */
static int32_t find_left_calls(struct work *work, int32_t rule, int32_t *found)
{
    const struct grammar_builder *builder = work->builder;
    size_t top = 0;
    int32_t n = 0;
    mark(work, work->visited, builder->rules[rule].start, &top);
    while (top) {
        int32_t node = work->stack[--top];
        for (int32_t i = work->outgoing_first[node]; i < work->outgoing_first[node + 1]; i++) {
            const struct build_edge *edge = &builder->edges[work->outgoing[i]];
            if (!is_useful(work, edge) || edge->kind == EDGE_BYTES)
                continue;
            if (edge->kind == EDGE_CALL)
                found[n++] = edge->rule;
            if (edge->kind == EDGE_EPSILON || work->nullable[builder->rules[edge->rule].start])
                mark(work, work->visited, edge->to, &top);
        }
    }
    return n;
}

struct left_calls {
    int32_t *first;        /* [n_rules + 1] */
    int32_t *rules;        /* [n_edges] */
    int32_t *path, *next;  /* [n_rules] the walk: rules and the next call to look at */
    unsigned char *colour; /* [n_rules] */
};

static int walk_left_calls(struct work *work, struct left_calls *calls, int32_t root)
{
    size_t depth = 0;
    calls->path[depth] = root;
    calls->next[depth++] = calls->first[root];
    calls->colour[root] = GREY;
    while (depth) {
        int32_t rule = calls->path[depth - 1];
        if (calls->next[depth - 1] == calls->first[rule + 1]) {
            calls->colour[rule] = BLACK;
            depth--;
            continue;
        }
        int32_t called = calls->rules[calls->next[depth - 1]++];
        if (calls->colour[called] == GREY)
            return refuse_left_recursion(work, called);
        if (calls->colour[called] == BLACK)
            continue;
        calls->colour[called] = GREY;
        calls->path[depth] = called;
        calls->next[depth++] = calls->first[called];
    }
    return 0;
}

static int check_left_recursion(struct work *work)
{
    struct left_calls calls = {0};
    int status = take_memory(work, (void **)&calls.first, work->n_rules, 4);
    status = status ? status : take_memory(work, (void **)&calls.rules, work->n_edges, 4);
    status = status ? status : take_memory(work, (void **)&calls.path, work->n_rules, 4);
    status = status ? status : take_memory(work, (void **)&calls.next, work->n_rules, 4);
    status = status ? status : take_memory(work, (void **)&calls.colour, work->n_rules, 1);
    for (size_t r = 0; !status && r < work->n_rules; r++)
        calls.first[r + 1] = calls.first[r] + find_left_calls(work, (int32_t)r, calls.rules + calls.first[r]);
    for (size_t r = 0; !status && r < work->n_rules; r++)
        if (calls.colour[r] == WHITE)
            status = walk_left_calls(work, &calls, (int32_t)r);
    mem_free(calls.first);
    mem_free(calls.rules);
    mem_free(calls.path);
    mem_free(calls.next);
    mem_free(calls.colour);
    return status;
}

/* ---- Packing. */

static void reach_node(struct work *work, int32_t node)
{
    if (work->number[node] >= 0)
        return;
    work->number[node] = work->n_reached;
    work->order[work->n_reached++] = node;
}

/* Numbers nodes and rules in the order in which a walk from rule 0 meets them. */
static void number_reached(struct work *work)
{
    const struct grammar_builder *builder = work->builder;
    memset(work->number, -1, work->n_nodes * sizeof(int32_t));
    memset(work->rule_number, -1, work->n_rules * sizeof(int32_t));
    work->rule_number[0] = work->n_reached_rules++;
    reach_node(work, builder->rules[0].start);
    for (int32_t at = 0; at < work->n_reached; at++) {
        int32_t node = work->order[at];
        for (int32_t i = work->outgoing_first[node]; i < work->outgoing_first[node + 1]; i++) {
            const struct build_edge *edge = &builder->edges[work->outgoing[i]];
            if (!is_useful(work, edge))
                continue;
            reach_node(work, edge->to);
            if (edge->kind != EDGE_CALL)
                continue;
            if (work->rule_number[edge->rule] < 0)
                work->rule_number[edge->rule] = work->n_reached_rules++;
            reach_node(work, builder->rules[edge->rule].start);
        }
    }
}

/* Bytes share a class unless some edge begins or ends between them. */
static void choose_classes(const struct work *work, struct grammar *grammar)
{
    bool begins[257] = {true};
    const struct grammar_builder *builder = work->builder;
    for (size_t i = 0; i < work->n_edges; i++) {
        const struct build_edge *edge = &builder->edges[i];
        if (edge->kind == EDGE_BYTES && work->number[edge->from] >= 0 && is_useful(work, edge)) {
            begins[edge->first] = true;
            begins[edge->last + 1] = true;
        }
    }
    int32_t class = -1;
    for (int byte = 0; byte < 256; byte++) {
        class += begins[byte];
        grammar->byte_class[byte] = (uint8_t) class;
    }
    grammar->n_classes = class + 1;
}

/* Behind `node` there is nothing but the end of its rule. */
static bool only_ends(const struct work *work, int32_t node, const unsigned char *is_end)
{
    for (int steps = 0; steps < 64; steps++) {
        int32_t begin = work->outgoing_first[node], end = work->outgoing_first[node + 1];
        if (is_end[node])
            return begin == end;
        if (end - begin != 1 || work->builder->edges[work->outgoing[begin]].kind != EDGE_EPSILON)
            return false;
        node = work->builder->edges[work->outgoing[begin]].to;
    }
    return false;
}

static int allocate_grammar(struct work *work, struct grammar **result)
{
    struct grammar *grammar = mem_zalloc(sizeof *grammar);
    *result = grammar;
    if (!grammar)
        return error_no_memory(work->builder->err, "compiling a grammar");
    grammar->n_nodes = work->n_reached;
    grammar->n_rules = work->n_reached_rules;
    int status = take_memory(work, (void **)&grammar->first_edge, (size_t)work->n_reached, sizeof(int32_t));
    status = status ? status : take_memory(work, (void **)&grammar->edges, work->n_edges, sizeof *grammar->edges);
    status = status ? status : take_memory(work, (void **)&grammar->rule_starts, (size_t)work->n_reached_rules, sizeof(int32_t));
    return status ? status : take_memory(work, (void **)&grammar->is_end, (size_t)work->n_reached, 1);
}

static void pack(const struct work *work, const unsigned char *is_end, struct grammar *grammar)
{
    const struct grammar_builder *builder = work->builder;
    for (size_t r = 0; r < work->n_rules; r++)
        if (work->rule_number[r] >= 0)
            grammar->rule_starts[work->rule_number[r]] = work->number[builder->rules[r].start];
    for (int32_t at = 0; at < work->n_reached; at++) {
        int32_t node = work->order[at];
        grammar->first_edge[at] = grammar->n_edges;
        grammar->is_end[at] = is_end[node];
        for (int32_t i = work->outgoing_first[node]; i < work->outgoing_first[node + 1]; i++) {
            const struct build_edge *edge = &builder->edges[work->outgoing[i]];
            if (!is_useful(work, edge))
                continue;
            grammar->edges[grammar->n_edges++] = (struct grammar_edge){
                .to = work->number[edge->to],
                .rule = edge->kind == EDGE_CALL ? work->rule_number[edge->rule] : -1,
                .kind = edge->kind,
                .first = grammar->byte_class[edge->first],
                .last = grammar->byte_class[edge->last],
                .tail = edge->kind == EDGE_CALL && only_ends(work, edge->to, is_end),
            };
        }
    }
    grammar->first_edge[work->n_reached] = grammar->n_edges;
}

static int make_grammar(struct work *work, struct grammar **grammar)
{
    unsigned char *is_end = work->visited; /* no walk needs it any more */
    memset(is_end, 0, work->n_nodes);
    for (size_t r = 0; r < work->n_rules; r++)
        is_end[work->builder->rules[r].end] = 1;
    number_reached(work);
    int status = allocate_grammar(work, grammar);
    if (status) {
        grammar_free(*grammar);
        *grammar = NULL;
        return status;
    }
    choose_classes(work, *grammar);
    pack(work, is_end, *grammar);
    return 0;
}

static int check_defined(struct grammar_builder *builder)
{
    for (size_t r = 0; r < builder->n_rules; r++)
        if (builder->rules[r].start < 0)
            return builder_fail(builder, SAMPAN_EINVAL, "the grammar uses rule '%s', which it does not define", builder->rules[r].name);
    return builder->status;
}

int builder_finish(struct grammar_builder *builder, struct grammar **grammar)
{
    *grammar = NULL;
    if (builder->status || check_defined(builder))
        return builder->status;
    struct work work;
    int status = begin_work(&work, builder);
    if (!status) {
        index_edges(&work, BY_END, work.n_nodes, work.incoming_first, work.incoming);
        index_edges(&work, BY_START, work.n_nodes, work.outgoing_first, work.outgoing);
        index_edges(&work, BY_RULE, work.n_rules, work.callers_first, work.callers);
        memset(work.start_of, -1, work.n_nodes * sizeof(int32_t));
        for (size_t r = 0; r < work.n_rules; r++)
            work.start_of[builder->rules[r].start] = (int32_t)r;
        mark_reaching_end(&work, true, work.productive);
        mark_reaching_end(&work, false, work.nullable);
        if (!work.productive[builder->rules[0].start])
            status = builder_fail(builder, SAMPAN_EINVAL, "no text can satisfy the grammar: its parts contradict one another or never end");
    }
    status = status ? status : check_left_recursion(&work);
    status = status ? status : make_grammar(&work, grammar);
    end_work(&work);
    return status;
}

void grammar_free(struct grammar *grammar)
{
    if (!grammar)
        return;
    mem_free(grammar->first_edge);
    mem_free(grammar->edges);
    mem_free(grammar->rule_starts);
    mem_free(grammar->is_end);
    mem_free(grammar);
}
