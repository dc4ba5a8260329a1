/* UTF-8 (RFC 3629): decoding without trust. Overlong forms, surrogates and values above U+10FFFF are invalid. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT 0xFFFDu

/* Decodes the character at the start of text[0..length). Returns its number of bytes (1-4) and sets *character; where the bytes are invalid returns
 * minus the length of the maximal ill-formed prefix (1-3, as Unicode section 3.9 recommends replacing); 0 when length is 0 or when the bytes are
 * a valid beginning that is cut off by the end. */
int utf8_decode(const char *text, size_t length, uint32_t *character);
int utf8_encode(uint32_t character, char out[4]);                           /* 1-4 bytes; surrogates and too large values are written as U+FFFD */
bool utf8_is_valid(const char *text, size_t length, size_t *first_invalid); /* first_invalid may be NULL */

#endif
