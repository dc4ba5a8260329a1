#include "serve/generation.h"

#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "serve/metrics.h"

struct generations {
    struct event *readable; /* the engine's descriptor */
    struct generation *first;
    int32_t count;
    /* From an engine's request to its choice: open addressing, linear probing. */
    struct slot {
        uint64_t request; /* 0: empty */
        struct generation *generation;
        int32_t choice;
    } * slots;
    size_t capacity, used;
};

/* ---- The table. */

static size_t home_of(const struct generations *all, uint64_t request)
{
    return (size_t)(request * 0x9E3779B97F4A7C15u >> 32) & (all->capacity - 1);
}

static size_t slot_of(const struct generations *all, uint64_t request)
{
    size_t at = home_of(all, request);
    while (all->slots[at].request && all->slots[at].request != request)
        at = (at + 1) & (all->capacity - 1);
    return at;
}

static int reserve(struct generations *all, size_t more)
{
    if ((all->used + more) * 2 <= all->capacity)
        return 0;
    struct generations larger = {.capacity = all->capacity ? all->capacity : 64};
    while ((all->used + more) * 2 > larger.capacity)
        larger.capacity *= 2;
    larger.slots = mem_zalloc_array(larger.capacity, sizeof *larger.slots);
    if (!larger.slots)
        return SAMPAN_ENOMEM;
    for (size_t i = 0; i < all->capacity; i++)
        if (all->slots[i].request)
            larger.slots[slot_of(&larger, all->slots[i].request)] = all->slots[i];
    mem_free(all->slots);
    all->slots = larger.slots;
    all->capacity = larger.capacity;
    return 0;
}

/* Takes one out and moves those behind it that it kept from their place. */
static void forget(struct generations *all, uint64_t request)
{
    size_t hole = slot_of(all, request), mask = all->capacity - 1;
    if (!all->slots[hole].request)
        return;
    all->used--;
    all->slots[hole].request = 0;
    for (size_t at = (hole + 1) & mask; all->slots[at].request; at = (at + 1) & mask) {
        size_t home = home_of(all, all->slots[at].request);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        all->slots[hole] = all->slots[at];
        all->slots[at].request = 0;
        hole = at;
    }
}

/* ---- Life of a generation. */

static void end_choice(struct generation *generation, struct choice *choice)
{
    if (!choice->request)
        return;
    sampan_release(generation->server->engine, choice->request);
    forget(generation->server->generations, choice->request);
    choice->request = 0;
    generation->n_open--;
}

static void free_generation(struct generation *generation)
{
    struct generations *all = generation->server->generations;
    for (int32_t i = 0; i < generation->n_choices; i++) {
        end_choice(generation, &generation->choices[i]);
        buffer_free(&generation->choices[i].text);
    }
    if (generation->handler->on_free)
        generation->handler->on_free(generation);
    if (generation->previous)
        generation->previous->next = generation->next;
    else
        all->first = generation->next;
    if (generation->next)
        generation->next->previous = generation->previous;
    all->count--;
    mem_free(generation->choices);
    mem_free(generation);
}

static void on_gone(struct exchange *exchange)
{
    free_generation(exchange->handler_data);
}

int generation_start(struct exchange *exchange, struct sampan_request *request, int32_t n, const struct generation_handler *handler, void *data)
{
    struct server *server = exchange->server;
    struct generations *all = server->generations;
    struct generation *generation = mem_zalloc(sizeof *generation);
    struct choice *choices = mem_zalloc_array((size_t)n, sizeof *choices);
    if (!generation || !choices || reserve(all, (size_t)n)) {
        mem_free(generation);
        mem_free(choices);
        return SAMPAN_ENOMEM;
    }
    static const struct generation_handler nothing; /* a refused one takes nothing of the dialect with it */
    *generation = (struct generation){.server = server,
                                      .exchange = exchange,
                                      .handler = &nothing,
                                      .n_choices = n,
                                      .choices = choices,
                                      .next = all->first,
                                      .started_ns = clock_now_ns(&clock_monotonic)};
    if (all->first)
        all->first->previous = generation;
    all->first = generation;
    all->count++;
    for (int32_t i = 0; i < n; i++) {
        request->choice = (uint32_t)i;
        choices[i].index = i;
        buffer_init(&choices[i].text, 64u << 20);
        int code = sampan_submit(server->engine, request, &choices[i].request);
        if (code) {
            choices[i].request = 0;
            free_generation(generation);
            return code;
        }
        generation->n_open++;
        all->used++;
        all->slots[slot_of(all, choices[i].request)] = (struct slot){choices[i].request, generation, i};
    }
    generation->handler = handler;
    generation->data = data;
    exchange->handler_data = generation;
    exchange->on_gone = on_gone;
    return 0;
}

int32_t generation_n_completion_tokens(const struct generation *generation)
{
    int32_t n = 0;
    for (int32_t i = 0; i < generation->n_choices; i++)
        n += generation->choices[i].n_generated;
    return n;
}

/* ---- Events. */

static void take_event(struct server *server, const struct sampan_event *event)
{
    const struct slot *slot = &server->generations->slots[slot_of(server->generations, event->request)];
    if (!slot->request)
        return; /* of a client that has left */
    struct generation *generation = slot->generation;
    struct choice *choice = &generation->choices[slot->choice];
    generation->n_prompt_tokens = event->n_prompt_tokens;
    generation->n_cached_tokens = event->n_cached_tokens;
    choice->n_generated = event->n_generated_tokens;
    choice->finish = event->finish;
    if (event->n_tokens && !generation->first_token_ns)
        generation->first_token_ns = clock_now_ns(&clock_monotonic);
    metrics_count_event(server->metrics, generation, event);
    if (event->finish == SAMPAN_FINISH_ERROR) {
        generation->exchange->on_gone = NULL;
        generation->handler->on_failed(generation, event->code, event->message);
        free_generation(generation);
        return;
    }
    generation->handler->on_event(generation, choice->index, event);
    if (event->finish != SAMPAN_FINISH_NONE)
        end_choice(generation, choice);
    if (generation->n_open == 0) {
        generation->exchange->on_gone = NULL;
        metrics_count_generation(server->metrics, generation);
        generation->handler->on_end(generation);
        free_generation(generation);
    }
}

static void on_readable(evutil_socket_t socket, short what, void *self)
{
    struct server *server = self;
    struct sampan_event event = {.size = sizeof event};
    (void)socket;
    (void)what;
    /* A turn of the loop takes what is there, but not for ever: clients wait too. */
    for (int i = 0; i < 256 && sampan_next_event(server->engine, 0, &event) == 0; i++)
        take_event(server, &event);
}

int generations_open(struct server *server, struct error *err)
{
    struct generations *all = mem_zalloc(sizeof *all);
    server->generations = all;
    if (!all || reserve(all, 1))
        return error_no_memory(err, "starting the server");
    all->readable = event_new(server->base, sampan_descriptor(server->engine), EV_READ | EV_PERSIST, on_readable, server);
    if (!all->readable || event_add(all->readable, NULL))
        return error_set(err, SAMPAN_EIO, "starting the server: the engine's descriptor cannot be watched");
    return 0;
}

void generations_close(struct server *server)
{
    struct generations *all = server->generations;
    if (!all)
        return;
    while (all->first)
        free_generation(all->first);
    if (all->readable)
        event_free(all->readable);
    mem_free(all->slots);
    mem_free(all);
    server->generations = NULL;
}

int32_t generations_count(const struct server *server)
{
    return server->generations->count;
}
