/* JSON texts (RFC 8259), read strictly into jansson's values; and strings written.
 *
 * jansson's own reader takes a failed allocation for a syntax error, or loses a character by it, and says little about what it expected. This one reads
 * hostile input: a failed allocation is SAMPAN_ENOMEM, nesting is bounded, strings are valid UTF-8, names are unique, numbers fit. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum json_parse_flag {
    JSON_PARSE_NUL = 1,   /* strings may hold \u0000; names never */
    JSON_PARSE_ANY = 2,   /* the text may be any value; otherwise an object */
    JSON_PARSE_ARRAY = 4, /* the text is an array */
};

/* *value is released with json_decref. SAMPAN_EFORMAT: "line 1, column 2: found ..., expected ..."; SAMPAN_ELIMIT: nested deeper than LIMIT_JSON_DEPTH;
 * SAMPAN_ENOMEM. Numbers without fraction and exponent are integers and must fit 64 bits, others are reals. */
int json_parse(const char *text, size_t length, uint32_t flags, json_t **value, struct error *err);

/* The members of an object one by one, in the order of the text, so that a long text never stands in memory as values (jansson takes up to forty bytes for
 * one): `take` gets each name and value, which is released behind it; a non-zero return, with its error in err, ends the reading and is returned. Equal
 * names are left to `take` to refuse. A member of more than member_limit bytes is SAMPAN_ELIMIT; other errors as json_parse. */
int json_parse_members(const char *text, size_t length, size_t member_limit, int (*take)(void *self, const char *name, const json_t *value, struct error *err),
                       void *self, struct error *err);

/* Appends a quoted string; what is not UTF-8 becomes U+FFFD. A failure stays in the buffer. */
void json_append_string(struct buffer *out, const char *text, size_t length);

#endif
