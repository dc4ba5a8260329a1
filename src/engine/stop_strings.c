#include "engine/stop_strings.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "engine/engine.h"

static void compute_failure(struct stop_string *stop)
{
    uint32_t border = 0;
    stop->failure[0] = 0;
    for (uint32_t i = 1; i < stop->length; i++) {
        while (border && stop->text[i] != stop->text[border])
            border = stop->failure[border - 1];
        if (stop->text[i] == stop->text[border])
            border++;
        stop->failure[i] = border;
    }
}

static int check_stops(const struct engine_stop *stops, size_t n_stops, size_t *n_bytes, struct error *err)
{
    if (n_stops > LIMIT_STOP_STRINGS)
        return error_set(err, SAMPAN_EINVAL, "%zu stop strings given, at most %d are allowed", n_stops, LIMIT_STOP_STRINGS);
    *n_bytes = 0;
    for (size_t i = 0; i < n_stops; i++) {
        if (!stops[i].text || stops[i].length == 0)
            return error_set(err, SAMPAN_EINVAL, "stop string %zu is empty; give at least one byte", i);
        if (stops[i].length > LIMIT_STOP_STRING)
            return error_set(err, SAMPAN_EINVAL, "stop string %zu has %zu bytes, at most %d are allowed", i, stops[i].length, LIMIT_STOP_STRING);
        *n_bytes += stops[i].length;
    }
    return 0;
}

int stop_strings_init(struct stop_strings *strings, const struct engine_stop *stops, size_t n_stops, struct error *err)
{
    *strings = (struct stop_strings){.found = -1};
    size_t n_bytes = 0;
    int status = check_stops(stops, n_stops, &n_bytes, err);
    if (status || n_stops == 0)
        return status;
    /* One piece of memory: the structs, then all failure tables, then all texts. */
    strings->stops = mem_alloc(n_stops * sizeof(struct stop_string) + n_bytes * (sizeof(uint32_t) + 1));
    if (!strings->stops)
        return error_no_memory(err, "taking in stop strings");
    uint32_t *failure = (uint32_t *)(strings->stops + n_stops);
    char *text = (char *)(failure + n_bytes);
    for (size_t i = 0; i < n_stops; i++) {
        memcpy(text, stops[i].text, stops[i].length);
        strings->stops[i] = (struct stop_string){.text = text, .length = (uint32_t)stops[i].length, .failure = failure};
        compute_failure(&strings->stops[i]);
        text += stops[i].length;
        failure += stops[i].length;
    }
    strings->count = (uint32_t)n_stops;
    return 0;
}

void stop_strings_free(struct stop_strings *strings)
{
    mem_free(strings->stops);
    *strings = (struct stop_strings){.found = -1};
}

static void advance(struct stop_string *stop, char byte)
{
    if (stop->matched == stop->length)
        stop->matched = stop->failure[stop->length - 1];
    while (stop->matched && stop->text[stop->matched] != byte)
        stop->matched = stop->failure[stop->matched - 1];
    if (stop->text[stop->matched] == byte)
        stop->matched++;
}

bool stop_strings_push(struct stop_strings *strings, const char *text, size_t length)
{
    for (size_t at = 0; at < length && strings->found < 0; at++) {
        strings->n_bytes++;
        for (uint32_t i = 0; i < strings->count; i++) {
            struct stop_string *stop = &strings->stops[i];
            advance(stop, text[at]);
            if (stop->matched == stop->length && (strings->found < 0 || stop->length > strings->stops[strings->found].length))
                strings->found = (int32_t)i;
        }
    }
    uint32_t held = 0;
    if (strings->found >= 0)
        held = strings->stops[strings->found].length;
    else
        for (uint32_t i = 0; i < strings->count; i++)
            held = strings->stops[i].matched > held ? strings->stops[i].matched : held;
    strings->safe = strings->n_bytes - held;
    return strings->found >= 0;
}
