/* A window into grammars for scripts (compare_grammar.py): reads one JSON object a line,
 *
 *     {"kind": 1, "source": "...", "texts": ["...", ...], "samples": 3, "seed": 7}
 *
 * and prints, a line each, {"error": "..."} or {"verdicts": [true, ...], "samples": ["...", ...]}: which texts the grammar accepts as a whole, and random
 * texts of it. A sample walks over bytes, so it meets every way through the grammar that masks of tokens can. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "text/grammar/automaton.h"

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15u;
    uint64_t z = (*state ^ (*state >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static json_t *judge(struct grammar_automaton *automaton, int32_t start, const json_t *texts)
{
    json_t *verdicts = json_array();
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        int32_t state;
        int status = grammar_automaton_advance(automaton, start, json_string_value(text), json_string_length(text), &state, NULL);
        json_array_append_new(verdicts, json_boolean(!status && grammar_automaton_may_end(automaton, state)));
    }
    return verdicts;
}

/* Ends with a probability that grows with the length, so that most samples are short and some are not. */
static bool sample(struct grammar_automaton *automaton, int32_t state, uint64_t *random, struct buffer *text)
{
    while (text->length < 20000) {
        if (grammar_automaton_may_end(automaton, state) && next_random(random) % 4 == 0)
            return true;
        int32_t next[256], choices = 0;
        char bytes[256];
        for (int byte = 0; byte < 256; byte++) {
            char c = (char)byte;
            int32_t to;
            if (grammar_automaton_advance(automaton, state, &c, 1, &to, NULL) || to == GRAMMAR_STATE_DEAD)
                continue;
            bytes[choices] = c;
            next[choices++] = to;
        }
        if (!choices)
            return grammar_automaton_may_end(automaton, state);
        /* What closes something is taken more often than its share, or nothing random would ever end. */
        int32_t chosen = (int32_t)(next_random(random) % (uint64_t)choices);
        for (int32_t i = 0; i < choices && text->length > 30; i++)
            if (strchr("\"}]", bytes[i]) && bytes[i] && next_random(random) % 3)
                chosen = i;
        buffer_append_char(text, bytes[chosen]);
        state = next[chosen];
    }
    return false;
}

static json_t *answer(const json_t *line)
{
    struct error err = {0};
    struct grammar *grammar;
    struct grammar_automaton *automaton = NULL;
    int32_t start = 0;
    const json_t *source = json_object_get(line, "source");
    uint64_t random = (uint64_t)json_integer_value(json_object_get(line, "seed"));
    int status = grammar_compile((enum grammar_kind)json_integer_value(json_object_get(line, "kind")), json_string_value(source), json_string_length(source),
                                 &grammar, &err);
    status = status ? status : grammar_automaton_create(grammar, NULL, &automaton, &err);
    status = status ? status : grammar_automaton_start(automaton, &start, &err);
    json_t *result = json_object();
    if (status) {
        json_object_set_new(result, "error", json_string(err.message));
    } else {
        json_t *samples = json_array();
        json_object_set_new(result, "verdicts", judge(automaton, start, json_object_get(line, "texts")));
        for (json_int_t i = 0; i < json_integer_value(json_object_get(line, "samples")); i++) {
            struct buffer text;
            buffer_init(&text, 1 << 20);
            buffer_append_string(&text, "");
            bool whole = sample(automaton, start, &random, &text);
            json_array_append_new(samples, whole ? json_stringn(text.data, text.length) : json_null());
            buffer_free(&text);
        }
        json_object_set_new(result, "samples", samples);
    }
    grammar_automaton_free(automaton);
    grammar_free(grammar);
    return result;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t length; (length = getline(&line, &capacity, stdin)) > 0;) {
        json_t *request = json_loadb(line, (size_t)length, 0, NULL);
        json_t *result = request ? answer(request) : json_pack("{s:s}", "error", "no JSON");
        json_dumpf(result, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        putchar('\n');
        fflush(stdout);
        json_decref(result);
        json_decref(request);
    }
    free(line);
    return 0;
}
