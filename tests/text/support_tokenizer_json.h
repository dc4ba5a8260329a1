/* Tokenizers out of tokenizer.json for tests: opened from a folder, with parts replaced, asked about the generated strings. */
#ifndef TESTS_TEXT_SUPPORT_TOKENIZER_JSON_H
#define TESTS_TEXT_SUPPORT_TOKENIZER_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "file/tokenizer_json.h"
#include "support_strings.h"
#include "text/tokenizer.h"

/* A tokenizer of a folder, with what it stands on. */
struct opened {
    struct arena arena;
    struct tokenizer_spec spec;
    struct tokenizer *tokenizer;
};

void open_folder(const char *folder, struct opened *opened); /* with assertions */
void close_folder(struct opened *opened);

/* Writes a tokenizer.json with some of its parts replaced into a new folder ("/tmp/sampan_test_XXXXXX"). */
void write_variant(const char *path, const json_t *replace, char *folder);
void remove_variant(const char *folder);

/* Hashes of blocks of strings of one mode (see make_tokenizer_json_goldens.py); *out has count / block places. */
void hash_strings(const struct pools *pools, const struct opened *opened, bool as_template, size_t count, size_t block, uint64_t *out);

/* How many of n hashes are not as listed in hexadecimal. */
size_t count_differences(const uint64_t *found, size_t n, const json_t *expected);

#endif
