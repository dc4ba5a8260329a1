/* The lexer: template source to tokens, by jinja2's rules with trim_blocks and lstrip_blocks set and keep_trailing_newline not: which white space
 * around tags belongs to the text is decided here and nowhere else. */
#ifndef TEXT_TEMPLATE_LEXER_H
#define TEXT_TEMPLATE_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum jinja_token_type {
    TOKEN_EOF,
    TOKEN_DATA, /* text between tags */
    TOKEN_VARIABLE_BEGIN,
    TOKEN_VARIABLE_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING, /* text: the value, escapes resolved */
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_OPERATOR /* text: the sign */
};

struct jinja_token {
    enum jinja_token_type type;
    int line;
    const char *text; /* in the source or the arena */
    size_t length;
    union {
        int64_t integer;
        double real;
    } number;
};

struct jinja_tokens {
    struct jinja_token *items; /* [count], owned; the last is TOKEN_EOF */
    size_t count, capacity;
};

/* `source` is valid UTF-8 with newlines already normalised to \n, and must outlive the tokens; resolved strings go to the arena.
 * SAMPAN_EFORMAT, SAMPAN_EUNSUPPORTED, SAMPAN_ELIMIT, SAMPAN_ENOMEM, with the line in the message. */
int jinja_tokenize(const char *source, size_t length, struct arena *arena, struct jinja_tokens *tokens, struct error *err);
void jinja_tokens_free(struct jinja_tokens *tokens);

#endif
