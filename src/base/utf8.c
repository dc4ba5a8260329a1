#include "base/utf8.h"

int utf8_decode(const char *text, size_t length, uint32_t *character)
{
    const unsigned char *in = (const unsigned char *)text;
    if (!length)
        return 0;
    if (in[0] < 0x80) {
        *character = in[0];
        return 1;
    }
    /* Table 3-7 of the Unicode standard: the lead byte fixes the length and the range of the second byte. */
    int n;
    unsigned low = 0x80, high = 0xBF;
    uint32_t value;
    if (in[0] >= 0xC2 && in[0] <= 0xDF) {
        n = 2;
        value = in[0] & 0x1Fu;
    } else if (in[0] >= 0xE0 && in[0] <= 0xEF) {
        n = 3;
        value = in[0] & 0x0Fu;
        if (in[0] == 0xE0)
            low = 0xA0;
        if (in[0] == 0xED)
            high = 0x9F;
    } else if (in[0] >= 0xF0 && in[0] <= 0xF4) {
        n = 4;
        value = in[0] & 0x07u;
        if (in[0] == 0xF0)
            low = 0x90;
        if (in[0] == 0xF4)
            high = 0x8F;
    } else {
        return -1;
    }
    for (int i = 1; i < n; i++) {
        if ((size_t)i >= length)
            return 0;
        if (in[i] < low || in[i] > high)
            return -i;
        value = value << 6 | (in[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *character = value;
    return n;
}

int utf8_encode(uint32_t character, char out[4])
{
    if (character > 0x10FFFF || (character >= 0xD800 && character <= 0xDFFF))
        character = UTF8_REPLACEMENT;
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        out[0] = (char)(0xC0 | character >> 6);
        out[1] = (char)(0x80 | (character & 0x3F));
        return 2;
    }
    if (character < 0x10000) {
        out[0] = (char)(0xE0 | character >> 12);
        out[1] = (char)(0x80 | (character >> 6 & 0x3F));
        out[2] = (char)(0x80 | (character & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | character >> 18);
    out[1] = (char)(0x80 | (character >> 12 & 0x3F));
    out[2] = (char)(0x80 | (character >> 6 & 0x3F));
    out[3] = (char)(0x80 | (character & 0x3F));
    return 4;
}

bool utf8_is_valid(const char *text, size_t length, size_t *first_invalid)
{
    size_t at = 0;
    while (at < length) {
        uint32_t character;
        int n = utf8_decode(text + at, length - at, &character);
        if (n <= 0) {
            if (first_invalid)
                *first_invalid = at;
            return false;
        }
        at += (size_t)n;
    }
    return true;
}
