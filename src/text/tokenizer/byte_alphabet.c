#include "text/tokenizer/byte_alphabet.h"

#include "base/utf8.h"

static bool stands_for_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

int byte_alphabet_find(uint32_t character)
{
    if (character < 0x100)
        return stands_for_itself(character) ? (int)character : -1;
    character -= 0x100;
    if (character <= 0x20)
        return (int)character; /* 00-20 */
    if (character <= 0x42)
        return (int)character - 0x21 + 0x7F; /* 7F-A0 */
    return character == 0x43 ? 0xAD : -1;
}

uint32_t byte_alphabet_character(unsigned char byte)
{
    if (stands_for_itself(byte))
        return byte;
    return byte <= 0x20 ? 0x100u + byte : byte == 0xAD ? 0x143u : 0x121u + (byte - 0x7Fu);
}

bool byte_alphabet_to_bytes(const char *text, size_t length, char *bytes, size_t *n_bytes)
{
    *n_bytes = 0;
    for (size_t at = 0; at < length;) {
        uint32_t character;
        int n = utf8_decode(text + at, length - at, &character);
        int byte = n > 0 ? byte_alphabet_find(character) : -1;
        if (byte < 0)
            return false;
        bytes[(*n_bytes)++] = (char)byte;
        at += (size_t)n;
    }
    return true;
}
