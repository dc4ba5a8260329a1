/* The tokenizer's inside, shared by the files of text/tokenizer/ and by the detokenizer; nobody else looks in. */
#ifndef TEXT_TOKENIZER_INTERNAL_H
#define TEXT_TOKENIZER_INTERNAL_H

#include "base/arena.h"
#include "base/hash_map.h"
#include "text/tokenizer.h"
#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/bpe.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/unigram.h"
#include "text/tokenizer/wordpiece.h"

/* Is the word whose bytes are a token's merged to just that token? Nearly always; found out when the word is first met. Whichever thread
 * finds out writes the same answer. */
enum whole_word { WHOLE_WORD_UNKNOWN, WHOLE_WORD_YES, WHOLE_WORD_NO };

enum { N_PASSES = 2, CHARACTER_PAGE = 256, CHARACTER_PAGES = 0x110000 / CHARACTER_PAGE };

/* Memory: spec (not owned) | arena: bytes of the tokens that are not published as they decode, character pages | maps, tables: one entry per token. */
struct tokenizer {
    const struct tokenizer_spec *spec;
    struct arena arena;
    struct byte_string *bytes;       /* [n_tokens]: what a token decodes to; in the arena or the spec */
    struct byte_string *first_bytes; /* [n_tokens]: the same for the first token that is decoded; NULL: no difference */
    struct decoding decoding;
    _Atomic unsigned char *whole; /* [n_tokens], enum whole_word */
    bool *ends_generation;        /* [n_tokens] */
    struct hash_map by_bytes;     /* ordinary tokens, by the bytes they stand for in words */
    struct hash_map by_text;      /* tokens whose published text is meant literally */
    size_t longest;               /* bytes of the longest ordinary token */
    int32_t byte_ids[256];        /* byte-level: the token of each byte; others: what a byte falls back to. -1: none */

    /* The model: which of these is used, spec->model says. */
    struct bpe bpe;
    int32_t *character_pages[CHARACTER_PAGES]; /* [CHARACTER_PAGE] tokens of single characters, -1: none; NULL: none at all */
    bool cuts_at_marks;                        /* no merge goes across the beginning of a "\u2581": words may be cut there */
    struct unigram unigram;
    struct wordpiece wordpiece;

    /* Added tokens are looked for twice: all but those that the library finds after normalizing, then these in what is left. */
    struct added_tokens added[N_PASSES];
    struct normalizer *normalizer;
    struct pretokenizer *pretokenizer;
};

/* Does a token belong to what the model makes words of? (Control tokens never.) */
bool tokenizer_is_ordinary(const struct tokenizer_spec *spec, int32_t id);

/* The token of a published text; -1: none. `scratch` has room for `length` bytes. */
int32_t tokenizer_find_text(const struct tokenizer *tokenizer, const char *text, size_t length, char *scratch);

unsigned tokenizer_added_flags(const struct tokenizer *tokenizer, int32_t id);

/* vocabulary.c: tokens into maps and tables. model.c: merges, tries, characters. */
int tokenizer_fill_vocabulary(struct tokenizer *tokenizer, struct error *err);
int tokenizer_fill_model(struct tokenizer *tokenizer, struct error *err);
void tokenizer_free_model(struct tokenizer *tokenizer);

/* words.c: working memory of one caller, {0} to begin with; the tokens of one word of the pre-tokenizer. 0 or SAMPAN_ENOMEM. */
struct word_scratch {
    struct bpe_scratch bpe;
    struct unigram_scratch unigram;
};
void word_scratch_free(struct word_scratch *scratch);
int tokenizer_encode_word(const struct tokenizer *tokenizer, struct word_scratch *scratch, const char *word, size_t length, bool ill_formed,
                          struct token_list *list);

#endif
