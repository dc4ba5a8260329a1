/* What normalizers and pre-tokenizers ask about a character, private to text/. The answers are those of the `tokenizers` library, whose parts follow different
 * versions of Unicode (tests/text/make_character_tables.py asks it about every code point); a system's library would answer otherwise for newer characters. */
#ifndef TEXT_TOKENIZER_CHARACTERS_H
#define TEXT_TOKENIZER_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in the generated table. */
enum character_flags {
    CHARACTER_WHITE_SPACE = 1 << 0,
    CHARACTER_WORD = 1 << 1, /* \w */
    CHARACTER_PUNCTUATION = 1 << 2,
    CHARACTER_ACCENT = 1 << 3,       /* StripAccents drops it */
    CHARACTER_BERT_REMOVED = 1 << 4, /* BertNormalizer's clean_text: dropped, or shown as a space */
    CHARACTER_BERT_SPACE = 1 << 5,
    CHARACTER_CHINESE = 1 << 6,     /* BertNormalizer puts spaces around it */
    CHARACTER_NMT_REMOVED = 1 << 7, /* the normalizer Nmt: dropped, or shown as a space */
    CHARACTER_NMT_SPACE = 1 << 8,
    CHARACTER_EXTENDS = 1 << 9,  /* belongs to the grapheme cluster before it */
    CHARACTER_CONTROL = 1 << 10, /* a cluster of its own */
    CHARACTER_PREPENDS = 1 << 11,
    CHARACTER_BERT_ACCENT = 1 << 12, /* BertNormalizer drops it: a nonspacing mark */
    CHARACTER_PICTOGRAPH = 1 << 13,  /* joins a pictograph and ZERO WIDTH JOINER before it */
};

unsigned character_flags(uint32_t character);

/* The script as UnicodeScripts sees it; 0 goes with any. */
unsigned character_script(uint32_t character);

/* Lower case of one character: one or two characters (second 0: one). */
void character_lower(uint32_t character, uint32_t lower[2]);

/* Length of the grapheme cluster at the start of well-formed text[0..length), length > 0. Exact for clusters below six bytes (Unicode Standard Annex 29 without
 * Hangul, flags and conjuncts, whose characters have three bytes or more): a longer cluster may be given in parts, each of one character. */
size_t character_cluster(const char *text, size_t length);

#endif
