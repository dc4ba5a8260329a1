/* GPT-2's alphabet for bytes (Radford et al. 2019), private to text/: printable Latin-1 stands for itself, the other 68 bytes for U+0100 + their rank
 * among them. */
#ifndef TEXT_TOKENIZER_BYTE_ALPHABET_H
#define TEXT_TOKENIZER_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The byte a character of the alphabet stands for, -1 for other characters. */
int byte_alphabet_find(uint32_t character);

/* The character that stands for a byte. */
uint32_t byte_alphabet_character(unsigned char byte);

/* Writes the bytes that a text in the alphabet stands for; at most as many as the text has. false: a character outside the alphabet. */
bool byte_alphabet_to_bytes(const char *text, size_t length, char *bytes, size_t *n_bytes);

#endif
