#include "support_vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/utf8.h"

static struct byte_string string_of(const char *text)
{
    return (struct byte_string){text, strlen(text)};
}

void tiny_vocabulary_init(struct tiny_vocabulary *vocabulary)
{
    static const char *const added[] = {"<|end|>", "<|im|>", "<think>", "<|im|>s"};
    static const char *const merges[TINY_N_MERGES] = {"h e", "l l", "he ll", "hell o", "\xC4\xA0 w", "\xC4\xA0w o", "a a", "aa aa"};
    static const char *const merged[TINY_N_MERGES] = {"he", "ll", "hell", "hello", "\xC4\xA0w", "\xC4\xA0wo", "aa", "aaaa"};
    memset(vocabulary, 0, sizeof *vocabulary);
    for (int i = 0; i < TINY_BYTE; i++)
        vocabulary->tokens[i] = (struct tokenizer_token){.text = string_of(added[i]), .kind = i == TINY_THINK ? TOKEN_USER_DEFINED : TOKEN_CONTROL};
    uint32_t next_unprintable = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        char *text = vocabulary->byte_texts[byte];
        int n = utf8_encode(printable ? byte : next_unprintable++, text); /* at most two bytes */
        vocabulary->tokens[TINY_BYTE + byte].text = (struct byte_string){text, (size_t)n};
    }
    for (int i = 0; i < TINY_N_MERGES; i++) {
        size_t n_left = strcspn(merges[i], " ");
        vocabulary->merges[i] = (struct tokenizer_merge){merges[i], (uint32_t)n_left, (uint32_t)(strlen(merges[i]) - n_left - 1)};
        vocabulary->tokens[TINY_MERGED + i].text = string_of(merged[i]);
    }
    vocabulary->eog_ids[0] = TINY_END;
    vocabulary->spec = (struct tokenizer_spec){
        .model = TOKENIZER_BPE_BYTE_LEVEL,
        .n_tokens = TINY_N_TOKENS,
        .tokens = vocabulary->tokens,
        .n_merges = TINY_N_MERGES,
        .merges = vocabulary->merges,
        .pretokenizer = "gpt-2",
        .bos_id = TINY_END,
        .eos_id = TINY_END,
        .eot_id = -1,
        .unknown_id = -1,
        .padding_id = -1,
        .n_eog_ids = 1,
        .eog_ids = vocabulary->eog_ids,
    };
}

struct checkpoint *open_default_model(void)
{
    const char *path = getenv("SAMPAN_TEST_MODEL");
    if (!path)
        path = SOURCE_ROOT "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    struct error err = {0};
    struct checkpoint *checkpoint;
    if (checkpoint_open(path, &checkpoint, &err)) {
        print_message("skipped: the default model cannot be read: %s\n", err.message);
        return NULL;
    }
    return checkpoint;
}

const char *encode_as_text(const struct tokenizer *tokenizer, const char *text, size_t length, const struct text_span *spans, size_t n_spans)
{
    static char written[4096];
    struct token_list list = {0};
    struct error err = {0};
    if (tokenizer_encode(tokenizer, text, length, spans, n_spans, &list, &err))
        fail_msg("%s", err.message);
    size_t at = 0;
    written[0] = '\0';
    for (size_t i = 0; i < list.count && at < sizeof written - 16; i++)
        at += (size_t)snprintf(written + at, sizeof written - at, i ? " %d" : "%d", (int)list.ids[i]);
    token_list_free(&list);
    return written;
}
