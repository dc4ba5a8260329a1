/* tokenizer.json, a NUL, a text: any bytes give an error or a spec; where a tokenizer can be made of it, what check_tokenizer.h says holds for the text
 * (a usual one where the input has none). Seeds: tests/text/make_tokenizer_seeds.py. */
#include <stdint.h>
#include <string.h>

#include "check_tokenizer.h"
#include "file/tokenizer_json_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char usual[] = " Hello  w\xC3\xB6rld 123\r\n e\xCC\x81 <|end|> <think>\xE3\x80\x80 \xFF";
    const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
    size_t length = nul ? (size_t)(nul - data) : size;
    struct arena arena;
    struct tokenizer_spec spec;
    struct error err = {0};
    arena_init(&arena, 64u << 20);
    int code = tokenizer_json_parse((const char *)data, length, &arena, &spec, &err);
    if (code && !err.message[0])
        abort();
    if (!code && nul)
        check_tokenizer(&spec, (const char *)nul + 1, size - length - 1);
    else if (!code)
        check_tokenizer(&spec, usual, sizeof usual - 1);
    arena_free(&arena);
    return 0;
}
