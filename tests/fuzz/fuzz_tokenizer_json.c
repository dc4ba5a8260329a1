/* tokenizer.json: any bytes give an error or a spec; where a tokenizer can be made of it, it encodes, and bytes of data never become an added token. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "file/tokenizer_json_parts.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = " Hello  w\xC3\xB6rld 123\r\n e\xCC\x81 <|end|> <think>\xE3\x80\x80 \xFF";
    struct arena arena;
    struct tokenizer_spec spec;
    struct tokenizer *tokenizer = NULL;
    struct token_list list = {0};
    struct error err;
    arena_init(&arena, 64u << 20);
    if (!tokenizer_json_parse((const char *)data, size, &arena, &spec, &err) && !tokenizer_create(&spec, &tokenizer, &err)) {
        const struct text_span span = {sizeof text - 1, ORIGIN_TEMPLATE};
        if (!tokenizer_encode(tokenizer, text, sizeof text - 1, NULL, 0, &list, &err))
            for (size_t i = 0; i < list.count; i++)
                if (tokenizer_token_kind(tokenizer, list.ids[i]) == TOKEN_CONTROL)
                    abort();
        list.count = 0;
        if (!tokenizer_encode(tokenizer, text, sizeof text - 1, &span, 1, &list, &err))
            for (size_t i = 0; i < list.count; i++)
                if (list.ids[i] < 0 || list.ids[i] >= spec.n_tokens)
                    abort();
    }
    token_list_free(&list);
    tokenizer_free(tokenizer);
    arena_free(&arena);
    return 0;
}
