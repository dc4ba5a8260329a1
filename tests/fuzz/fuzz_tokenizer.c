/* Tokenizer: any text with any origins encodes, raw decoding gives the text back, and bytes of data never become a control token.
 *
 * Input: one byte (row of the pre-tokenizer), one byte n, n bytes (span lengths, alternating origins), then the text. The vocabulary is built in: the
 * 256 bytes, a few merges, four added tokens that overlap. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_ADDED = 4, N_MERGES = 8, N_TOKENS = N_ADDED + 256 + N_MERGES, N_ROWS = 5 };

static struct tokenizer *tokenizers[N_ROWS];

static void make_tokenizers(void)
{
    static const char *const rows[N_ROWS] = {"gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-v3"};
    static const char *const added[N_ADDED] = {"<|", "<|a|>", "a|><", "<|a|>b"};
    static const char *const merges[N_MERGES] = {"a a", "aa aa", "\xC4\xA0 \xC4\xA0", "\xC4\xA0\xC4\xA0 a", "< |", "a b", "\xC3\xB0 \xC5\x81", "1 2"};
    static struct tokenizer_token tokens[N_TOKENS];
    static char texts[256][4], joined[N_MERGES][16];
    static struct tokenizer_merge merge_strings[N_MERGES];
    static struct tokenizer_spec specs[N_ROWS];
    for (int i = 0; i < N_ADDED; i++)
        tokens[i] = (struct tokenizer_token){.text = {added[i], strlen(added[i])}, .kind = i == 2 ? TOKEN_USER_DEFINED : TOKEN_CONTROL};
    tokens[0].text = (struct byte_string){"<||", 3}; /* "<|" itself is made by a merge */
    uint32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        int n = utf8_encode(printable ? byte : next++, texts[byte]);
        tokens[N_ADDED + byte].text = (struct byte_string){texts[byte], (size_t)n};
    }
    for (int i = 0; i < N_MERGES; i++) {
        size_t left = strcspn(merges[i], " ");
        merge_strings[i] = (struct tokenizer_merge){merges[i], (uint32_t)left, (uint32_t)(strlen(merges[i]) - left - 1)};
        snprintf(joined[i], sizeof joined[i], "%.*s%s", (int)left, merges[i], merges[i] + left + 1);
        tokens[N_ADDED + 256 + i].text = (struct byte_string){joined[i], strlen(joined[i])};
    }
    for (int i = 0; i < N_ROWS; i++) {
        specs[i] = (struct tokenizer_spec){.n_tokens = N_TOKENS,
                                           .tokens = tokens,
                                           .n_merges = N_MERGES,
                                           .merges = merge_strings,
                                           .pretokenizer = rows[i],
                                           .bos_id = -1,
                                           .eos_id = -1,
                                           .eot_id = -1,
                                           .unknown_id = -1,
                                           .padding_id = -1};
        struct error err;
        if (tokenizer_create(&specs[i], &tokenizers[i], &err)) {
            fprintf(stderr, "%s\n", err.message);
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!tokenizers[0])
        make_tokenizers();
    if (size < 2)
        return 0;
    const struct tokenizer *tokenizer = tokenizers[data[0] % N_ROWS];
    size_t n_spans = data[1], length = 0, n_control = 0;
    data += 2, size -= 2;
    n_spans = n_spans < size ? n_spans : size;
    struct text_span spans[256];
    bool any_template = false;
    for (size_t i = 0; i < n_spans; i++) {
        size_t left = size - n_spans - length;
        spans[i] = (struct text_span){i + 1 == n_spans || data[i] > left ? left : data[i], i % 2 ? ORIGIN_TEMPLATE : ORIGIN_DATA};
        any_template |= i % 2 && spans[i].length;
        length += spans[i].length;
    }
    const char *text = (const char *)data + n_spans;
    length = size - n_spans;
    struct token_list list = {0};
    struct error err;
    if (tokenizer_encode(tokenizer, text, length, spans, n_spans, &list, &err)) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    struct detokenizer detokenizer;
    struct buffer back;
    buffer_init(&back, 1u << 24);
    detokenizer_init(&detokenizer, tokenizer, true, true);
    for (size_t i = 0; i < list.count; i++) {
        n_control += list.ids[i] < N_ADDED;
        detokenizer_push(&detokenizer, list.ids[i], &back);
    }
    if (back.length != length || (length && memcmp(back.data, text, length) != 0))
        abort(); /* raw decoding must give the input */
    if (n_control && !any_template)
        abort(); /* data became an added token */
    buffer_clear(&back);
    detokenizer_init(&detokenizer, tokenizer, true, false);
    for (size_t i = 0; i < list.count; i++)
        detokenizer_push(&detokenizer, list.ids[i], &back);
    detokenizer_finish(&detokenizer, &back);
    if (!utf8_is_valid(back.length ? back.data : "", back.length, NULL))
        abort(); /* stream mode gives whole characters only */
    buffer_free(&back);
    token_list_free(&list);
    return 0;
}
