#include "text/tokenizer/pattern.h"

#include <string.h>

static int refuse(struct byte_string pattern, size_t at, size_t length, const char *why, struct error *err)
{
    size_t left = pattern.length - at;
    return error_set(err, SAMPAN_EUNSUPPORTED, "the pre-tokenizer pattern '%.200s' contains '%.*s' at byte %zu, which this version does not support: %s",
                     pattern.data, (int)(length < left ? length : left), pattern.data + at, at, why);
}

static bool begins(struct byte_string pattern, size_t at, const char *text)
{
    size_t length = strlen(text);
    return length <= pattern.length - at && memcmp(pattern.data + at, text, length) == 0;
}

/* \p{L}, \P{Lu}, \pL: general categories only. Sets *end behind it. */
static int check_property(struct byte_string pattern, size_t at, size_t *end, struct error *err)
{
    static const char categories[] = " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Cc Cf Co ";
    const char *name = pattern.data + at + 3, *close = begins(pattern, at + 2, "{") ? memchr(name, '}', pattern.length - at - 3) : NULL;
    size_t length = close ? (size_t)(close - name) : 0;
    char wanted[5] = " ";
    if (length == 1 || length == 2) {
        memcpy(wanted + 1, name, length);
        wanted[length + 1] = ' ';
        if (strstr(categories, wanted)) {
            *end = at + 4 + length;
            return 0;
        }
    }
    return refuse(pattern, at, close ? length + 4 : 4, "of Unicode properties general categories work (\\p{L}, \\p{Lu}, ...)", err);
}

static int check_escape(struct byte_string pattern, size_t at, size_t *end, struct error *err)
{
    *end = at + 2;
    if (*end > pattern.length)
        return 0; /* the compiler of patterns complains */
    char c = pattern.data[at + 1];
    bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (c == 'p' || c == 'P')
        return check_property(pattern, at, end, err);
    if (c == 'x' && !begins(pattern, at + 2, "{"))
        return refuse(pattern, at, 4, "write \\x{...}", err);
    if (letter_or_digit && !strchr("rntfsSdDx", c))
        return refuse(pattern, at, 2, "of the escapes \\r \\n \\t \\f \\s \\S \\d \\D \\x{...} \\p{...} \\P{...} and escaped punctuation work", err);
    return 0;
}

static int check_class_byte(struct byte_string pattern, size_t at, struct error *err)
{
    if (pattern.data[at] == '[')
        return refuse(pattern, at, 8, "sets in sets and [:names:]; write '\\[' for the character", err);
    if (begins(pattern, at, "&&"))
        return refuse(pattern, at, 2, "intersections of sets", err);
    return 0;
}

static int check_byte(struct byte_string pattern, size_t at, struct error *err)
{
    static const char *const groups[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    if (begins(pattern, at, "(*"))
        return refuse(pattern, at, 2, "'*' repeats nothing", err);
    if (begins(pattern, at, "(?")) {
        for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
            if (begins(pattern, at, groups[i]))
                return 0;
        return refuse(pattern, at, 4, "of the groups (...) (?:...) (?i:...) (?=...) (?!...) (?<=...) (?<!...) (?>...) work", err);
    }
    if (pattern.data[at] == '^')
        return refuse(pattern, at, 1, "an anchor at the start of a line", err);
    if (begins(pattern, at, "{,"))
        return refuse(pattern, at, 2, "write {0,n}", err);
    if (begins(pattern, at, "}+"))
        return refuse(pattern, at, 2, "a repeated repetition", err);
    return 0;
}

int pattern_check(struct byte_string pattern, struct error *err)
{
    bool in_class = false;
    if (!pattern.length)
        return error_set(err, SAMPAN_EUNSUPPORTED, "a pre-tokenizer pattern is empty, which this version does not support");
    if (memchr(pattern.data, '\0', pattern.length))
        return error_set(err, SAMPAN_EUNSUPPORTED, "a pre-tokenizer pattern contains a NUL character, which this version does not support; write \\x{0}");
    for (size_t at = 0, end; at < pattern.length; at = end) {
        int status = 0;
        end = at + 1;
        if (pattern.data[at] == '\\') {
            status = check_escape(pattern, at, &end, err);
        } else if (in_class) {
            status = check_class_byte(pattern, at, err);
            in_class = pattern.data[at] != ']';
        } else if (pattern.data[at] == '[') {
            in_class = true;
            end += begins(pattern, end, "^");
            if (begins(pattern, end, "]"))
                return refuse(pattern, at, 3, "an empty set; write '\\]' for the character", err);
        } else {
            status = check_byte(pattern, at, err);
        }
        if (status)
            return status;
    }
    return 0;
}
