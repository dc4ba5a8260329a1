/* Old characters to show to a pattern in place of new ones, so that a split does not depend on the Unicode version of the PCRE2 installed.
 *
 * The patterns of published tokenizers were written for the `tokenizers` library, whose regular expressions know Unicode 16 (and whose `Digits`
 * splitter knows Unicode 17); PCRE2 10.40 to 10.42 know Unicode 14, later ones more. Every character whose category differs between these has a row
 * in the generated table stand_ins_table.h: it is shown as another one that had the wanted category all along and takes as many bytes in UTF-8. */
#ifndef TEXT_TOKENIZER_STAND_INS_H
#define TEXT_TOKENIZER_STAND_INS_H

#include <stdbool.h>
#include <stdint.h>

/* The character to show for `character`, itself where it is old. `digits`: digits are those of the `Digits` splitter. */
uint32_t stand_in_find(uint32_t character, bool digits);

#endif
