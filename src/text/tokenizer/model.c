/* What the model makes words with: ranked merges, tries, tokens of single characters and bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/tokenizer/internal.h"

static const char space_mark[] = "\xE2\x96\x81"; /* U+2581 */
enum { SPACE_MARK = sizeof space_mark - 1, LONGEST_AFFIX = 64, MERGES = 4 * LIMIT_VOCABULARY };

static bool uses_affixes(const struct tokenizer_spec *spec)
{
    return spec->subword_prefix.length || spec->word_suffix.length;
}

/* ---- bytes and characters ---- */

static int hexadecimal(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void fill_bytes(struct tokenizer *tokenizer)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    for (unsigned byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        uint32_t id;
        bool known = spec->model == TOKENIZER_BPE_BYTE_LEVEL && hash_map_get(&tokenizer->by_bytes, &one, 1, &id);
        tokenizer->byte_ids[byte] = known ? (int32_t)id : -1;
    }
    for (int32_t id = 0; id < spec->n_tokens && spec->byte_fallback && spec->model != TOKENIZER_BPE_BYTE_LEVEL; id++) {
        const struct byte_string text = spec->tokens[id].text;
        if (spec->tokens[id].kind != TOKEN_BYTE || text.length != 6)
            continue;
        int high = hexadecimal(text.data[3]), low = hexadecimal(text.data[4]);
        if (memcmp(text.data, "<0x", 3) == 0 && text.data[5] == '>' && high >= 0 && low >= 0)
            tokenizer->byte_ids[high << 4 | low] = id;
    }
}

static int enter_character(struct tokenizer *tokenizer, int32_t id, struct error *err)
{
    const struct byte_string text = tokenizer->spec->tokens[id].text;
    uint32_t character;
    if (utf8_decode(text.data, text.length, &character) != (int)text.length)
        return 0;
    int32_t **page = &tokenizer->character_pages[character / CHARACTER_PAGE];
    if (!*page) {
        *page = arena_alloc_array(&tokenizer->arena, CHARACTER_PAGE, sizeof **page);
        if (!*page)
            return error_no_memory(err, "reading the vocabulary");
        for (int i = 0; i < CHARACTER_PAGE; i++)
            (*page)[i] = -1;
    }
    (*page)[character % CHARACTER_PAGE] = id;
    return 0;
}

static int fill_characters(struct tokenizer *tokenizer, struct error *err)
{
    int status = 0;
    for (int32_t id = 0; id < tokenizer->spec->n_tokens && !status; id++)
        if (tokenizer_is_ordinary(tokenizer->spec, id) && tokenizer->spec->tokens[id].text.length <= 4)
            status = enter_character(tokenizer, id, err);
    return status;
}

/* Does a mark follow another character somewhere in the text? */
static bool crosses_mark(const char *text, size_t length)
{
    for (size_t at = 1; at + SPACE_MARK <= length; at++)
        if (memcmp(text + at, space_mark, SPACE_MARK) == 0 && (at < SPACE_MARK || memcmp(text + at - SPACE_MARK, space_mark, SPACE_MARK) != 0))
            return true;
    return false;
}

/* ---- listed merges ---- */

static int refuse_merge(const struct tokenizer_merge *merge, int rank, const char *why, int32_t id, struct error *err)
{
    enum { SHOWN = 100 };
    int n_left = merge->left_length < SHOWN ? (int)merge->left_length : SHOWN, n_right = merge->right_length < SHOWN ? (int)merge->right_length : SHOWN;
    const char *right = merge->text + merge->left_length + 1;
    if (id >= 0)
        return error_set(err, SAMPAN_EFORMAT, "merge %d is '%.*s %.*s', but %s the control token %d; ordinary text must never become a control token", rank,
                         n_left, merge->text, n_right, right, why, (int)id);
    return error_set(err, SAMPAN_EFORMAT, "merge %d is '%.*s %.*s', but %s is not in the vocabulary; the file is damaged or was written by a faulty converter",
                     rank, n_left, merge->text, n_right, right, why);
}

/* Ranked by its place in the list. The joined text must be a token, and not a control token: data may never become one. */
static int enter_merge(struct tokenizer *tokenizer, int rank, char *scratch, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    const struct tokenizer_merge *merge = &spec->merges[rank];
    size_t n_left = merge->left_length, n_right = merge->right_length, skipped = 0;
    if (!n_left || !n_right || n_left > LIMIT_TOKEN_BYTES || n_right > LIMIT_TOKEN_BYTES)
        return error_set(err, SAMPAN_EFORMAT, "merge %d joins tokens of %zu and %zu bytes, expected 1 to %d", rank, n_left, n_right, LIMIT_TOKEN_BYTES);
    const char *right_text = merge->text + n_left + 1;
    if (spec->subword_prefix.length && n_right > spec->subword_prefix.length)
        skipped = spec->subword_prefix.length; /* the library drops as many bytes, whatever they are */
    int32_t left = tokenizer_find_text(tokenizer, merge->text, n_left, scratch);
    int32_t right = tokenizer_find_text(tokenizer, right_text, n_right, scratch);
    char *joined_text = scratch + 2 * LIMIT_TOKEN_BYTES;
    memcpy(joined_text, merge->text, n_left);
    memcpy(joined_text + n_left, right_text + skipped, n_right - skipped);
    int32_t joined = tokenizer_find_text(tokenizer, joined_text, n_left + n_right - skipped, scratch);
    if (left < 0 || right < 0 || joined < 0)
        return refuse_merge(merge, rank, left < 0 ? "its left token" : right < 0 ? "its right token" : "the token it makes", -1, err);
    if (spec->tokens[joined].kind == TOKEN_CONTROL)
        return refuse_merge(merge, rank, "it makes", joined, err);
    if (crosses_mark(joined_text, n_left + n_right - skipped))
        tokenizer->cuts_at_marks = false;
    bpe_put(&tokenizer->bpe, left, right, (uint32_t)rank, joined);
    return 0;
}

static int fill_listed_merges(struct tokenizer *tokenizer, struct error *err)
{
    int status = 0;
    char *scratch = mem_alloc(4 * LIMIT_TOKEN_BYTES);
    if (!scratch || bpe_init(&tokenizer->bpe, (size_t)tokenizer->spec->n_merges))
        status = error_no_memory(err, "reading the merges");
    for (int rank = 0; rank < tokenizer->spec->n_merges && !status; rank++)
        status = enter_merge(tokenizer, rank, scratch, err);
    mem_free(scratch);
    return status;
}

/* ---- merges by score: every way to cut a token into two others, ranked by its score ---- */

/* ids[i]: the token that is text[0..i) (forwards) or text[i..length) (backwards, in a trie of reversed texts), -1: none. */
static void find_parts(const struct trie *trie, struct byte_string text, bool backwards, int32_t *ids)
{
    uint32_t node = 0;
    for (size_t i = 0; i <= text.length; i++)
        ids[i] = -1;
    for (size_t i = 0; i < text.length; i++) {
        node = trie_step(trie, node, (unsigned char)text.data[backwards ? text.length - 1 - i : i]);
        if (node == TRIE_NONE)
            return;
        ids[backwards ? text.length - 1 - i : i + 1] = trie->nodes[node].id;
    }
}

/* What merges by score are made with. */
struct scored {
    struct trie forwards, backwards;
    struct trie_entry *entries; /* [n] ordinary tokens */
    char *reversed;             /* their texts, backwards, one after the other */
    double *scores;             /* [n] all scores, descending, each once */
    size_t n, n_scores;
    int32_t *prefixes, *suffixes; /* [longest + 1] */
};

static void scored_free(struct scored *scored)
{
    trie_free(&scored->forwards);
    trie_free(&scored->backwards);
    mem_free(scored->entries);
    mem_free(scored->reversed);
    mem_free(scored->scores);
    mem_free(scored->prefixes);
    mem_free(scored->suffixes);
}

static int compare_descending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a < b) - (a > b);
}

static uint32_t rank_of(const struct scored *scored, double score)
{
    size_t low = 0, high = scored->n_scores;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (scored->scores[middle] > score)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

static int collect_ordinary(const struct tokenizer_spec *spec, struct trie_entry **entries, size_t *n, size_t *n_bytes, size_t *longest)
{
    *entries = mem_alloc_array((size_t)spec->n_tokens, sizeof **entries);
    *n = *n_bytes = *longest = 0;
    for (int32_t id = 0; *entries && id < spec->n_tokens; id++) {
        const struct byte_string text = spec->tokens[id].text;
        if (!tokenizer_is_ordinary(spec, id))
            continue;
        (*entries)[(*n)++] = (struct trie_entry){text, id};
        *n_bytes += text.length;
        *longest = text.length > *longest ? text.length : *longest;
    }
    return *entries ? 0 : SAMPAN_ENOMEM;
}

static int prepare_scored(const struct tokenizer_spec *spec, struct scored *scored)
{
    size_t n_bytes, longest;
    if (collect_ordinary(spec, &scored->entries, &scored->n, &n_bytes, &longest))
        return SAMPAN_ENOMEM;
    scored->reversed = mem_alloc(n_bytes);
    scored->scores = mem_alloc_array(scored->n, sizeof *scored->scores);
    scored->prefixes = mem_alloc_array(longest + 1, sizeof *scored->prefixes);
    scored->suffixes = mem_alloc_array(longest + 1, sizeof *scored->suffixes);
    if (!scored->reversed || !scored->scores || !scored->prefixes || !scored->suffixes)
        return SAMPAN_ENOMEM;
    int status = trie_make(&scored->forwards, scored->entries, scored->n);
    char *to = scored->reversed;
    for (size_t i = 0; i < scored->n; i++) {
        struct byte_string *text = &scored->entries[i].text;
        for (size_t k = 0; k < text->length; k++)
            to[k] = text->data[text->length - 1 - k];
        text->data = to;
        to += text->length;
        scored->scores[i] = spec->tokens[scored->entries[i].id].score;
    }
    if (!status)
        status = trie_make(&scored->backwards, scored->entries, scored->n);
    qsort(scored->scores, scored->n, sizeof *scored->scores, compare_descending);
    for (size_t i = 0; i < scored->n; i++)
        if (!i || scored->scores[i] != scored->scores[scored->n_scores - 1])
            scored->scores[scored->n_scores++] = scored->scores[i];
    return status;
}

/* Calls bpe_put for each merge, or only counts them where `puts` is false. */
static size_t walk_scored(struct tokenizer *tokenizer, struct scored *scored, bool puts)
{
    size_t n = 0;
    for (size_t i = 0; i < scored->n; i++) {
        int32_t id = scored->entries[i].id;
        const struct tokenizer_token *token = &tokenizer->spec->tokens[id];
        find_parts(&scored->forwards, token->text, false, scored->prefixes);
        find_parts(&scored->backwards, token->text, true, scored->suffixes);
        for (size_t at = 1; at < token->text.length; at++) {
            if (scored->prefixes[at] < 0 || scored->suffixes[at] < 0)
                continue;
            n++;
            if (puts)
                bpe_put(&tokenizer->bpe, scored->prefixes[at], scored->suffixes[at], rank_of(scored, token->score), id);
        }
        if (crosses_mark(token->text.data, token->text.length))
            tokenizer->cuts_at_marks = false;
    }
    return n;
}

static int fill_scored_merges(struct tokenizer *tokenizer, struct error *err)
{
    struct scored scored = {0};
    int status = prepare_scored(tokenizer->spec, &scored);
    size_t n = status ? 0 : walk_scored(tokenizer, &scored, false);
    if (!status && n > MERGES)
        status = error_set(err, SAMPAN_ELIMIT, "the vocabulary has %zu pairs of tokens that form a third, expected at most %d", n, MERGES);
    else if (status || bpe_init(&tokenizer->bpe, n))
        status = error_no_memory(err, "ranking the merges of the vocabulary");
    if (!status)
        walk_scored(tokenizer, &scored, true);
    scored_free(&scored);
    return status;
}

/* ---- tries ---- */

static int check_piece(const struct tokenizer_spec *spec, int32_t id, struct error *err)
{
    if (spec->tokens[id].text.length <= LIMIT_PIECE_BYTES)
        return 0;
    return error_set(err, SAMPAN_ELIMIT, "token %d has %zu bytes, expected at most %d in a model of this kind", (int)id, spec->tokens[id].text.length,
                     LIMIT_PIECE_BYTES);
}

/* Ordinary tokens that begin with `prefix`, without it. */
static int make_trie(const struct tokenizer_spec *spec, struct byte_string prefix, struct trie *trie, struct error *err)
{
    struct trie_entry *entries;
    size_t n, n_bytes, longest, kept = 0;
    int status = collect_ordinary(spec, &entries, &n, &n_bytes, &longest) ? error_no_memory(err, "reading the vocabulary") : 0;
    for (size_t i = 0; i < n && !status; i++) {
        const struct byte_string text = entries[i].text;
        status = check_piece(spec, entries[i].id, err);
        if (text.length > prefix.length && (!prefix.length || memcmp(text.data, prefix.data, prefix.length) == 0))
            entries[kept++] = (struct trie_entry){{text.data + prefix.length, text.length - prefix.length}, entries[i].id};
    }
    if (!status && trie_make(trie, entries, kept))
        status = error_no_memory(err, "reading the vocabulary");
    mem_free(entries);
    return status;
}

static int fill_unigram(struct tokenizer *tokenizer, struct error *err)
{
    enum { UNKNOWN_PENALTY = 10 };
    const struct tokenizer_spec *spec = tokenizer->spec;
    double lowest = spec->tokens[0].score;
    for (int32_t id = 1; id < spec->n_tokens; id++)
        lowest = spec->tokens[id].score < lowest ? spec->tokens[id].score : lowest;
    tokenizer->unigram.tokens = spec->tokens;
    tokenizer->unigram.unknown_score = lowest - UNKNOWN_PENALTY;
    tokenizer->unigram.single_precision = spec->single_precision;
    return make_trie(spec, (struct byte_string){"", 0}, &tokenizer->unigram.trie, err);
}

static int fill_wordpiece(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    tokenizer->wordpiece.longest_word = spec->longest_word;
    int status = make_trie(spec, (struct byte_string){"", 0}, &tokenizer->wordpiece.words, err);
    return status ? status : make_trie(spec, spec->subword_prefix, &tokenizer->wordpiece.subwords, err);
}

/* ---- all ---- */

static int check_scores(const struct tokenizer_spec *spec, struct error *err)
{
    for (int32_t id = 0; id < spec->n_tokens; id++)
        if (!(spec->tokens[id].score > -1e30 && spec->tokens[id].score < 1e30))
            return error_set(err, SAMPAN_EFORMAT, "the score of token %d is %g, expected a number of a reasonable size", (int)id, spec->tokens[id].score);
    return 0;
}

int tokenizer_fill_model(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    int status = 0;
    if (spec->subword_prefix.length > LONGEST_AFFIX || spec->word_suffix.length > LONGEST_AFFIX)
        return error_set(err, SAMPAN_ELIMIT, "the prefix or suffix of the model's tokens has more than %d bytes", LONGEST_AFFIX);
    fill_bytes(tokenizer);
    switch (spec->model) {
    case TOKENIZER_BPE_BYTE_LEVEL: return fill_listed_merges(tokenizer, err);
    case TOKENIZER_BPE:
    case TOKENIZER_BPE_SCORED:
        status = check_scores(spec, err);
        if (!status)
            status = fill_characters(tokenizer, err);
        if (status)
            return status;
        const int32_t *page = tokenizer->character_pages[0x2581 / CHARACTER_PAGE];
        tokenizer->cuts_at_marks = page && page[0x2581 % CHARACTER_PAGE] >= 0 && !uses_affixes(spec) && !spec->ignore_merges;
        return spec->model == TOKENIZER_BPE ? fill_listed_merges(tokenizer, err) : fill_scored_merges(tokenizer, err);
    case TOKENIZER_UNIGRAM: status = check_scores(spec, err); return status ? status : fill_unigram(tokenizer, err);
    case TOKENIZER_WORDPIECE: return fill_wordpiece(tokenizer, err);
    }
    return error_set(err, SAMPAN_EINTERNAL, "a tokenizer of the unknown kind %d", (int)spec->model);
}

void tokenizer_free_model(struct tokenizer *tokenizer)
{
    bpe_free(&tokenizer->bpe);
    trie_free(&tokenizer->unigram.trie);
    trie_free(&tokenizer->wordpiece.words);
    trie_free(&tokenizer->wordpiece.subwords);
}
