/* One word of the pre-tokenizer into tokens, by the model's algorithm. */
#include <stdatomic.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer/internal.h"

static const char space_mark[] = "\xE2\x96\x81"; /* U+2581 */
enum { SPACE_MARK = sizeof space_mark - 1, SYMBOL_BYTES = 160 /* a character and both affixes */ };

void word_scratch_free(struct word_scratch *scratch)
{
    bpe_scratch_free(&scratch->bpe);
    unigram_scratch_free(&scratch->unigram);
}

static int append_unknown(const struct tokenizer *tokenizer, struct token_list *list)
{
    return tokenizer->spec->unknown_id >= 0 ? token_list_append(list, tokenizer->spec->unknown_id) : 0;
}

static bool has_byte_tokens(const struct tokenizer *tokenizer, const char *bytes, size_t length)
{
    if (!tokenizer->spec->byte_fallback)
        return false;
    for (size_t i = 0; i < length; i++)
        if (tokenizer->byte_ids[(unsigned char)bytes[i]] < 0)
            return false;
    return true;
}

/* ---- BPE over characters ---- */

/* The token of a character, written with the affixes that its place in the word asks for; -1: none. */
static int32_t find_symbol(const struct tokenizer *tokenizer, const char *text, size_t length, uint32_t character, bool is_first, bool is_last)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    const struct byte_string prefix = is_first ? (struct byte_string){"", 0} : spec->subword_prefix;
    const struct byte_string suffix = is_last ? spec->word_suffix : (struct byte_string){"", 0};
    char written[SYMBOL_BYTES];
    uint32_t id;
    if (!prefix.length && !suffix.length) {
        const int32_t *page = tokenizer->character_pages[character / CHARACTER_PAGE];
        return page ? page[character % CHARACTER_PAGE] : -1;
    }
    memcpy(written, prefix.data, prefix.length);
    memcpy(written + prefix.length, text, length);
    memcpy(written + prefix.length + length, suffix.data, suffix.length);
    size_t n = prefix.length + length + suffix.length;
    return hash_map_get(&tokenizer->by_bytes, written, n, &id) ? (int32_t)id : -1;
}

/* An unknown character waits: it is fused with the next one, or given when a known one comes (bytes do not count, as in the `tokenizers` library). */
static void push_waiting(const struct tokenizer *tokenizer, struct bpe_scratch *scratch, bool *waiting)
{
    if (*waiting)
        bpe_push(scratch, tokenizer->spec->unknown_id);
    *waiting = false;
}

static void push_characters(const struct tokenizer *tokenizer, struct bpe_scratch *scratch, const char *word, size_t length)
{
    bool waiting = false;
    for (size_t at = 0, end; at < length; at = end) {
        uint32_t character = 0;
        int n = utf8_decode(word + at, length - at, &character);
        end = at + (n > 0 ? (size_t)n : 1);
        int32_t id = n > 0 ? find_symbol(tokenizer, word + at, end - at, character, at == 0, end == length) : -1;
        if (id >= 0) {
            push_waiting(tokenizer, scratch, &waiting);
            bpe_push(scratch, id);
        } else if (has_byte_tokens(tokenizer, word + at, end - at)) {
            for (; at < end; at++)
                bpe_push(scratch, tokenizer->byte_ids[(unsigned char)word[at]]);
        } else if (tokenizer->spec->unknown_id >= 0) {
            if (!tokenizer->spec->fuse_unknown)
                push_waiting(tokenizer, scratch, &waiting);
            waiting = true;
        }
    }
    push_waiting(tokenizer, scratch, &waiting);
}

/* The same over bytes: what has no token is left out. */
static void push_bytes(const struct tokenizer *tokenizer, struct bpe_scratch *scratch, const char *word, size_t length)
{
    bool plain = !tokenizer->spec->subword_prefix.length && !tokenizer->spec->word_suffix.length;
    for (size_t at = 0; at < length; at++) {
        int32_t id = plain ? tokenizer->byte_ids[(unsigned char)word[at]] : -1;
        if (!plain && ((at && tokenizer->spec->subword_prefix.length) || (at + 1 == length && tokenizer->spec->word_suffix.length)))
            id = find_symbol(tokenizer, word + at, 1, (unsigned char)word[at], at == 0, at + 1 == length);
        else if (!plain)
            id = tokenizer->byte_ids[(unsigned char)word[at]];
        if (id >= 0)
            bpe_push(scratch, id);
    }
}

/* A word, or a part of one that no merge leaves. */
static int encode_merged(const struct tokenizer *tokenizer, struct bpe_scratch *scratch, const char *word, size_t length, struct token_list *list)
{
    uint32_t id = 0;
    enum whole_word whole = WHOLE_WORD_NO;
    if (length <= tokenizer->longest && hash_map_get(&tokenizer->by_bytes, word, length, &id)) {
        whole = (enum whole_word)atomic_load_explicit(&tokenizer->whole[id], memory_order_relaxed);
        if (whole == WHOLE_WORD_YES || pretokenizer_prefers_whole_words(tokenizer->pretokenizer))
            return token_list_append(list, (int32_t)id);
    }
    size_t before = list->count;
    int status = bpe_begin_word(scratch, length);
    if (!status && tokenizer->spec->model == TOKENIZER_BPE_BYTE_LEVEL)
        push_bytes(tokenizer, scratch, word, length);
    else if (!status)
        push_characters(tokenizer, scratch, word, length);
    if (!status)
        status = bpe_end_word(&tokenizer->bpe, scratch, list);
    if (!status && whole == WHOLE_WORD_UNKNOWN) {
        bool yes = list->count == before + 1 && list->ids[before] == (int32_t)id;
        atomic_store_explicit(&tokenizer->whole[id], yes ? WHOLE_WORD_YES : WHOLE_WORD_NO, memory_order_relaxed);
    }
    return status;
}

/* Where the part that starts at `start` ends: before the next mark that does not follow a mark. */
static size_t find_cut(const char *word, size_t length, size_t start)
{
    bool after_mark = true;
    for (size_t at = start; at < length;) {
        bool mark = word[at] == space_mark[0] && length - at >= SPACE_MARK && memcmp(word + at, space_mark, SPACE_MARK) == 0;
        if (mark && !after_mark)
            return at;
        after_mark = mark;
        at += mark ? SPACE_MARK : 1;
    }
    return length;
}

static int encode_parts(const struct tokenizer *tokenizer, struct bpe_scratch *scratch, const char *word, size_t length, struct token_list *list)
{
    int status = 0;
    for (size_t start = 0, end; start < length && !status; start = end) {
        end = tokenizer->cuts_at_marks ? find_cut(word, length, start) : length;
        status = encode_merged(tokenizer, scratch, word + start, end - start, list);
    }
    return status;
}

/* ---- Unigram, WordPiece ---- */

/* Unknown characters in a row are one piece: the tokens of its bytes, or one unknown token. */
static int append_unknown_run(const struct tokenizer *tokenizer, const char *bytes, size_t length, struct token_list *list)
{
    int status = 0;
    if (!has_byte_tokens(tokenizer, bytes, length))
        return append_unknown(tokenizer, list);
    for (size_t i = 0; i < length && !status; i++)
        status = token_list_append(list, tokenizer->byte_ids[(unsigned char)bytes[i]]);
    return status;
}

static int encode_unigram(const struct tokenizer *tokenizer, struct unigram_scratch *scratch, const char *word, size_t length, struct token_list *list)
{
    size_t n = 0;
    int status = unigram_segment(&tokenizer->unigram, scratch, word, length, &n);
    for (size_t i = 0; i < n && !status;) {
        const struct unigram_place *piece = &scratch->places[i];
        if (piece->id != UNIGRAM_UNKNOWN) {
            status = token_list_append(list, piece->id);
            i++;
            continue;
        }
        for (i++; i < n && scratch->places[i].id == UNIGRAM_UNKNOWN;)
            i++;
        status = append_unknown_run(tokenizer, word + piece->start, (i < n ? scratch->places[i].start : length) - piece->start, list);
    }
    return status;
}

static int encode_wordpiece(const struct tokenizer *tokenizer, const char *word, size_t length, struct token_list *list)
{
    bool covered;
    int status = wordpiece_encode_word(&tokenizer->wordpiece, word, length, list, &covered);
    return status || covered ? status : append_unknown(tokenizer, list);
}

int tokenizer_encode_word(const struct tokenizer *tokenizer, struct word_scratch *scratch, const char *word, size_t length, bool ill_formed,
                          struct token_list *list)
{
    if (ill_formed && tokenizer->byte_ids[(unsigned char)*word] < 0) {
        word = "\xEF\xBF\xBD"; /* no token can say this byte: U+FFFD, as whoever decodes the input first would put there */
        length = 3;
    }
    switch (tokenizer->spec->model) {
    case TOKENIZER_UNIGRAM: return encode_unigram(tokenizer, &scratch->unigram, word, length, list);
    case TOKENIZER_WORDPIECE: return encode_wordpiece(tokenizer, word, length, list);
    case TOKENIZER_BPE_BYTE_LEVEL: return encode_merged(tokenizer, &scratch->bpe, word, length, list);
    case TOKENIZER_BPE:
    case TOKENIZER_BPE_SCORED: return encode_parts(tokenizer, &scratch->bpe, word, length, list);
    }
    return 0;
}
