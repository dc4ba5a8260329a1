/* Stop strings: where a stream's text ends, and how much of it may be shown before that is certain.
 *
 * One Knuth-Morris-Pratt matcher per stop string runs over the stream's bytes, so a stop is found across token and character boundaries, at a cost of one step
 * per byte and stop whatever the text (Knuth, Morris, Pratt 1977). The longest suffix of the text that is a beginning of some stop is held back: what is
 * before it can never become part of a stop and may be shown; a stop's own bytes never are.
 *
 * Which stop counts: the one whose last byte comes first; among those that end at the same byte the longest (it begins first), then the lowest index. */
#ifndef ENGINE_STOP_STRINGS_H
#define ENGINE_STOP_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct stop_string {
    const char *text;  /* [length] bytes (NULs allowed), inside the owner's memory */
    uint32_t length;   /* 1 .. LIMIT_STOP_STRING */
    uint32_t matched;  /* bytes of `text` that the end of the stream matches now */
    uint32_t *failure; /* [length]: failure[i] = longest proper border of text[0 .. i] */
};

struct stop_strings {
    uint32_t count;
    struct stop_string *stops; /* [count], owned together with what they point to */
    uint64_t n_bytes;          /* of the stream so far */
    int32_t found;             /* index of the stop that ended the stream, -1 */
    uint64_t safe;             /* bytes of the stream that may be shown: before the stop when found, else what cannot become one */
};

struct engine_stop;

/* Copies the stops. SAMPAN_EINVAL names the one that is empty or too long. */
int stop_strings_init(struct stop_strings *strings, const struct engine_stop *stops, size_t n_stops, struct error *err);
void stop_strings_free(struct stop_strings *strings);

/* Takes in more of the stream's text; true once a stop was found (further text is ignored). No allocation. */
bool stop_strings_push(struct stop_strings *strings, const char *text, size_t length);

#endif
