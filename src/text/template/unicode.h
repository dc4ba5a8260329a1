/* What Python's str knows about characters: classes and case mappings, from generated tables. */
#ifndef TEXT_TEMPLATE_UNICODE_H
#define TEXT_TEMPLATE_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

enum unicode_class {
    UNICODE_UNPRINTABLE,
    UNICODE_ALPHABETIC,
    UNICODE_DECIMAL,
    UNICODE_DIGIT,
    UNICODE_NUMERIC,
    UNICODE_UPPERCASE,
    UNICODE_LOWERCASE,
    UNICODE_TITLECASE,
    UNICODE_CASE_IGNORABLE
};
enum unicode_case { UNICODE_UPPER, UNICODE_LOWER, UNICODE_TITLE, UNICODE_FOLD };

bool unicode_is(uint32_t character, enum unicode_class which);
bool unicode_is_space(uint32_t character);      /* str.isspace, which is also the \s of Python's regular expressions */
bool unicode_is_line_break(uint32_t character); /* where str.splitlines splits */

/* The mapping of one character: 1-3 characters. The final sigma depends on its neighbours and is the caller's. */
int unicode_convert(uint32_t character, enum unicode_case which, uint32_t out[3]);

#endif
