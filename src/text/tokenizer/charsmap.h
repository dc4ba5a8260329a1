/* SentencePiece's precompiled character map, private to text/: strings and what each becomes, as one blob.
 *
 *   u32 size of the trie in bytes | trie: u32 units of a double array (Darts-clone) | normalized strings, each ended by NUL
 *
 * all little-endian. A unit holds a label (8 bits), whether a leaf hangs on it (bit 8), and the offset of its children (bits 10-30, times 256 where bit
 * 9 is set); a leaf holds the place of the normalized string. The blob is hostile: every step is checked. */
#ifndef TEXT_TOKENIZER_CHARSMAP_H
#define TEXT_TOKENIZER_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "file/tokenizer_spec.h"

struct charsmap {
    const unsigned char *units; /* [4 * n_units], in the blob */
    size_t n_units;
    const char *strings; /* [strings_length], the last is ended by the end at the latest */
    size_t strings_length;
};

/* The blob must outlive the map. SAMPAN_EFORMAT. */
int charsmap_open(struct byte_string blob, struct charsmap *map, struct error *err);

/* The key that text[0..length) begins with: the longest, or the shortest. Its length, 0: none. *normalized points into the blob. */
size_t charsmap_find(const struct charsmap *map, const char *text, size_t length, bool longest, struct byte_string *normalized);

#endif
