/* What must hold for any tokenizer that could be made, whatever file it came from, and any text: used by the targets that make tokenizers. */
#ifndef TESTS_FUZZ_CHECK_TOKENIZER_H
#define TESTS_FUZZ_CHECK_TOKENIZER_H

#include <stdlib.h>

#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

/* As a stream: whole characters only, whatever the ids are. */
static inline void check_decoding(const struct tokenizer *tokenizer, const struct token_list *list)
{
    struct buffer out;
    buffer_init(&out, 1u << 26);
    for (int show = 0; show < 2; show++) {
        struct detokenizer detokenizer;
        detokenizer_init(&detokenizer, tokenizer, show, false);
        buffer_clear(&out);
        for (size_t i = 0; i < list->count; i++)
            detokenizer_push(&detokenizer, list->ids[i], &out);
        detokenizer_finish(&detokenizer, &out);
        if (!out.failed && !utf8_is_valid(out.length ? out.data : "", out.length, NULL))
            abort();
    }
    buffer_free(&out);
}

/* text[0..length) as data, as template, and half and half. */
static inline void check_tokenizer(const struct tokenizer_spec *spec, const char *text, size_t length)
{
    struct tokenizer *tokenizer;
    struct token_list list = {0};
    struct error err = {0};
    if (tokenizer_create(spec, &tokenizer, &err)) {
        if (!err.message[0])
            abort(); /* an error says what is wrong */
        return;
    }
    for (int mode = 0; mode < 3; mode++) {
        size_t half = mode == 2 ? length / 2 : 0;
        const struct text_span spans[2] = {{half, ORIGIN_TEMPLATE}, {length - half, mode == 1 ? ORIGIN_TEMPLATE : ORIGIN_DATA}};
        list.count = 0;
        if (tokenizer_encode(tokenizer, text, length, spans, 2, &list, &err))
            continue;
        for (size_t i = 0; i < list.count; i++) {
            if (list.ids[i] < 0 || list.ids[i] >= spec->n_tokens)
                abort();
            if (mode == 0 && tokenizer_token_kind(tokenizer, list.ids[i]) == TOKEN_CONTROL && list.ids[i] != spec->unknown_id)
                abort(); /* data became a control token */
        }
        check_decoding(tokenizer, &list);
    }
    token_list_free(&list);
    tokenizer_free(tokenizer);
}

#endif
