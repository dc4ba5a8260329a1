#include "text/tokenizer.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"

/* Is the word whose bytes are a token's merged to just that token? Nearly always; found out when the word is first met. Whichever thread
 * finds out writes the same answer. */
enum whole_word { WHOLE_WORD_UNKNOWN, WHOLE_WORD_YES, WHOLE_WORD_NO };

enum { N_PASSES = 2 };

/* Memory: spec (not owned) | arena: bytes of the tokens that are written in the byte alphabet | maps, tables: one entry per token. */
struct tokenizer {
    const struct tokenizer_spec *spec;
    struct arena arena;
    struct byte_string *bytes;    /* [n_tokens]: what a token decodes to; in the arena or the spec */
    _Atomic unsigned char *whole; /* [n_tokens], enum whole_word */
    bool *ends_generation;        /* [n_tokens] */
    struct hash_map by_bytes;     /* ordinary tokens, by the bytes they stand for */
    struct hash_map by_text;      /* tokens whose published text is meant literally */
    size_t longest;               /* bytes of the longest ordinary token */
    int32_t byte_ids[256];        /* -1: this vocabulary has no token for the byte */
    struct bpe bpe;
    /* Added tokens are looked for twice: all but those that the library finds after normalizing, then these in what is left. */
    struct added_tokens added[N_PASSES];
    bool composes; /* NFC */
    struct pretokenizer *pretokenizer;
};

void token_list_free(struct token_list *list)
{
    mem_free(list->ids);
    *list = (struct token_list){0};
}

int token_list_append(struct token_list *list, int32_t id)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        int32_t *ids = mem_realloc_array(list->ids, capacity, sizeof *ids);
        if (!ids)
            return SAMPAN_ENOMEM;
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return 0;
}

/* ---- GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 + their rank among them ---- */

static bool stands_for_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* The byte a character of the alphabet stands for, -1 for other characters. */
static int byte_of_character(uint32_t character)
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

/* Writes the bytes that a text in the alphabet stands for; at most as many as the text has. false: a character outside the alphabet. */
static bool alphabet_to_bytes(const char *text, size_t length, char *bytes, size_t *n_bytes)
{
    *n_bytes = 0;
    for (size_t at = 0; at < length;) {
        uint32_t character;
        int n = utf8_decode(text + at, length - at, &character);
        int byte = n > 0 ? byte_of_character(character) : -1;
        if (byte < 0)
            return false;
        bytes[(*n_bytes)++] = (char)byte;
        at += (size_t)n;
    }
    return true;
}

/* ---- creation ---- */

static bool is_added(enum token_kind kind)
{
    return kind == TOKEN_CONTROL || kind == TOKEN_USER_DEFINED;
}

/* The token of a published text; -1: none. `scratch` has room for `length` bytes. */
static int32_t find_text(const struct tokenizer *tokenizer, const char *text, size_t length, char *scratch)
{
    uint32_t id;
    size_t n_bytes;
    if (!length)
        return -1;
    if (alphabet_to_bytes(text, length, scratch, &n_bytes) && hash_map_get(&tokenizer->by_bytes, scratch, n_bytes, &id))
        return (int32_t)id;
    if (hash_map_get(&tokenizer->by_text, text, length, &id))
        return (int32_t)id;
    return -1;
}

static int check_id(int32_t id, const char *name, const struct tokenizer_spec *spec, struct error *err)
{
    if (id >= -1 && id < spec->n_tokens)
        return 0;
    return error_set(err, SAMPAN_EFORMAT, "the tokenizer's %s token is %d, but the vocabulary has tokens 0 to %d", name, (int)id, spec->n_tokens - 1);
}

static int check_spec(const struct tokenizer_spec *spec, struct error *err)
{
    if (spec->model != TOKENIZER_BPE_BYTE_LEVEL)
        return error_set(err, SAMPAN_EUNSUPPORTED, "the tokenizer is of kind %d; only byte-level BPE is supported", (int)spec->model);
    if (spec->n_tokens < 1 || spec->n_tokens > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_EFORMAT, "the vocabulary has %d tokens, expected 1 to %d", spec->n_tokens, LIMIT_VOCABULARY);
    if (spec->n_merges < 0 || spec->n_merges > 4 * LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer has %d merges, expected 0 to %d", spec->n_merges, 4 * LIMIT_VOCABULARY);
    const struct {
        int32_t id;
        const char *name;
    } ids[] = {{spec->bos_id, "BOS"}, {spec->eos_id, "EOS"}, {spec->eot_id, "end-of-turn"}, {spec->unknown_id, "unknown"}, {spec->padding_id, "padding"}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int status = check_id(ids[i].id, ids[i].name, spec, err);
        if (status)
            return status;
    }
    for (int i = 0; i < spec->n_eog_ids; i++) {
        int status = check_id(spec->eog_ids[i], "end-of-generation", spec, err);
        if (status)
            return status;
    }
    for (int i = 0; i < spec->n_before + spec->n_behind; i++) {
        int status = check_id(i < spec->n_before ? spec->before[i] : spec->behind[i - spec->n_before], "post-processor's", spec, err);
        if (status)
            return status;
    }
    if ((spec->add_bos && spec->bos_id < 0) || (spec->add_eos && spec->eos_id < 0))
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer wants %s added to each text but names no such token",
                         spec->add_bos && spec->bos_id < 0 ? "BOS" : "EOS");
    return 0;
}

/* Enters one token into bytes and maps. `scratch` has room for LIMIT_TOKEN_BYTES. */
static int enter_token(struct tokenizer *tokenizer, int32_t id, char *scratch, struct error *err)
{
    const struct tokenizer_token *token = &tokenizer->spec->tokens[id];
    struct byte_string text = token->text;
    if (text.length > LIMIT_TOKEN_BYTES)
        return error_set(err, SAMPAN_EFORMAT, "token %d has %zu bytes, expected at most %d", (int)id, text.length, LIMIT_TOKEN_BYTES);
    tokenizer->bytes[id] = text;
    if (!text.length)
        return 0; /* some vocabularies are padded with empty tokens */
    int32_t other = find_text(tokenizer, text.data, text.length, scratch);
    if (other >= 0) {
        if (token->kind == TOKEN_UNUSED)
            return 0;
        return error_set(err, SAMPAN_EFORMAT, "tokens %d and %d of the vocabulary have the same text '%.100s'; each text may occur once", (int)other, (int)id,
                         text.data);
    }
    size_t n_bytes;
    bool ordinary = !is_added(token->kind) && token->kind != TOKEN_UNUSED && alphabet_to_bytes(text.data, text.length, scratch, &n_bytes);
    if (!ordinary)
        return hash_map_put(&tokenizer->by_text, text.data, text.length, (uint32_t)id, NULL) ? error_no_memory(err, "reading the vocabulary") : 0;
    char *bytes = arena_strndup(&tokenizer->arena, scratch, n_bytes);
    if (!bytes || hash_map_put(&tokenizer->by_bytes, bytes, n_bytes, (uint32_t)id, NULL))
        return error_no_memory(err, "reading the vocabulary");
    tokenizer->bytes[id] = (struct byte_string){bytes, n_bytes};
    if (n_bytes > tokenizer->longest)
        tokenizer->longest = n_bytes;
    return 0;
}

static unsigned added_flags(const struct tokenizer_spec *spec, int32_t id)
{
    return spec->added_flags ? spec->added_flags[id] : 0;
}

/* The library looks for "normalized" tokens in the normalized text. We look in the text as it is - which origin a byte has is known only there - and that
 * is the same where the token itself is normalized; where a mark follows that would change its last character it is not found (follows_mark). */
static int enter_added_token(struct tokenizer *tokenizer, int32_t id, struct error *err)
{
    struct byte_string text = tokenizer->spec->tokens[id].text;
    int pass = (added_flags(tokenizer->spec, id) & ADDED_FOUND_AFTER_NORMALIZING) != 0;
    if (pass && tokenizer->composes && !normalizer_is_composed(text.data, text.length))
        return error_set(err, SAMPAN_EUNSUPPORTED, "the added token %d, '%.100s', is looked for after normalizing but is not in normalized form itself",
                         (int)id, text.data);
    return added_tokens_add(&tokenizer->added[pass], text, id) ? error_no_memory(err, "reading the added tokens") : 0;
}

static int enter_vocabulary(struct tokenizer *tokenizer, char *scratch, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    size_t n = (size_t)spec->n_tokens;
    tokenizer->bytes = mem_zalloc_array(n, sizeof *tokenizer->bytes);
    tokenizer->whole = mem_zalloc_array(n, sizeof *tokenizer->whole);
    tokenizer->ends_generation = mem_zalloc_array(n, sizeof *tokenizer->ends_generation);
    if (!tokenizer->bytes || !tokenizer->whole || !tokenizer->ends_generation || hash_map_reserve(&tokenizer->by_bytes, n) ||
        added_tokens_init(&tokenizer->added[0]) || added_tokens_init(&tokenizer->added[1]))
        return error_no_memory(err, "reading the vocabulary");
    for (int unused = 0; unused < 2; unused++) { /* the unused ones last: they take no text from others */
        for (int32_t id = 0; id < spec->n_tokens; id++) {
            if ((spec->tokens[id].kind == TOKEN_UNUSED) != (unused == 1))
                continue;
            int status = enter_token(tokenizer, id, scratch, err);
            if (status)
                return status;
            if (is_added(spec->tokens[id].kind))
                status = enter_added_token(tokenizer, id, err);
            if (status)
                return status;
        }
    }
    if (added_tokens_finish(&tokenizer->added[0]) || added_tokens_finish(&tokenizer->added[1]))
        return error_no_memory(err, "reading the added tokens");
    for (int i = 0; i < spec->n_eog_ids; i++)
        if (spec->eog_ids[i] >= 0)
            tokenizer->ends_generation[spec->eog_ids[i]] = true;
    for (unsigned byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        uint32_t id;
        tokenizer->byte_ids[byte] = hash_map_get(&tokenizer->by_bytes, &one, 1, &id) ? (int32_t)id : -1;
    }
    return 0;
}

/* "left right": ranked by its place in the list. The joined text must be a token, and not a control token: data may never become one. */
static int enter_merge(struct tokenizer *tokenizer, int rank, char *scratch, struct error *err)
{
    struct byte_string merge = tokenizer->spec->merges[rank];
    if (merge.length > 2 * LIMIT_TOKEN_BYTES + 1)
        return error_set(err, SAMPAN_EFORMAT, "merge %d has %zu bytes, expected at most %d", rank, merge.length, 2 * LIMIT_TOKEN_BYTES + 1);
    const char *space = merge.length ? memchr(merge.data, ' ', merge.length) : NULL;
    size_t left_length = space ? (size_t)(space - merge.data) : 0, right_length = space ? merge.length - left_length - 1 : 0;
    if (!left_length || !right_length || memchr(space + 1, ' ', right_length))
        return error_set(err, SAMPAN_EFORMAT, "merge %d is '%.100s', expected two tokens with one space between them", rank, merge.length ? merge.data : "");
    int32_t left = find_text(tokenizer, merge.data, left_length, scratch);
    int32_t right = find_text(tokenizer, space + 1, right_length, scratch);
    char *joined_text = scratch + 2 * LIMIT_TOKEN_BYTES;
    memcpy(joined_text, merge.data, left_length);
    memcpy(joined_text + left_length, space + 1, right_length);
    int32_t joined = find_text(tokenizer, joined_text, left_length + right_length, scratch);
    if (left < 0 || right < 0 || joined < 0)
        return error_set(err, SAMPAN_EFORMAT, "merge %d is '%.100s', but %s is not in the vocabulary; the file is damaged or was written by a faulty converter",
                         rank, merge.data,
                         left < 0    ? "its left token"
                         : right < 0 ? "its right token"
                                     : "the token it makes");
    if (tokenizer->spec->tokens[joined].kind == TOKEN_CONTROL)
        return error_set(err, SAMPAN_EFORMAT, "merge %d, '%.100s', makes the control token %d; ordinary text must never become a control token", rank,
                         merge.data, (int)joined);
    bpe_put(&tokenizer->bpe, left, right, (uint32_t)rank, joined);
    return 0;
}

static int fill_tokenizer(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    int status = spec->n_stages ? pretokenizer_create_from_stages(spec->stages, spec->n_stages, spec->ignore_merges, &tokenizer->pretokenizer, err)
                                : pretokenizer_create(spec->pretokenizer, &tokenizer->pretokenizer, err);
    if (status)
        return status;
    tokenizer->composes = spec->n_normalizers > 0; /* NFC is the only one, and applying it again changes nothing */
    char *scratch = mem_alloc(4 * LIMIT_TOKEN_BYTES);
    if (!scratch || bpe_init(&tokenizer->bpe, (size_t)spec->n_merges))
        status = error_no_memory(err, "reading the merges");
    if (!status)
        status = enter_vocabulary(tokenizer, scratch, err);
    for (int rank = 0; rank < spec->n_merges && !status; rank++)
        status = enter_merge(tokenizer, rank, scratch, err);
    mem_free(scratch);
    return status;
}

int tokenizer_create(const struct tokenizer_spec *spec, struct tokenizer **out, struct error *err)
{
    *out = NULL;
    int status = check_spec(spec, err);
    if (status)
        return status;
    struct tokenizer *tokenizer = mem_zalloc(sizeof *tokenizer);
    if (!tokenizer)
        return error_no_memory(err, "making a tokenizer");
    tokenizer->spec = spec;
    arena_init(&tokenizer->arena, LIMIT_METADATA_MEMORY);
    status = fill_tokenizer(tokenizer, err);
    if (status) {
        tokenizer_free(tokenizer);
        return status;
    }
    *out = tokenizer;
    return 0;
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    pretokenizer_free(tokenizer->pretokenizer);
    added_tokens_free(&tokenizer->added[0]);
    added_tokens_free(&tokenizer->added[1]);
    bpe_free(&tokenizer->bpe);
    hash_map_free(&tokenizer->by_bytes);
    hash_map_free(&tokenizer->by_text);
    mem_free(tokenizer->bytes);
    mem_free((void *)tokenizer->whole);
    mem_free(tokenizer->ends_generation);
    arena_free(&tokenizer->arena);
    mem_free(tokenizer);
}

/* ---- encoding ---- */

/* A run of template bytes: text[start..end). Neighbouring spans of one origin are one run. */
struct template_run {
    size_t start, end;
};

struct encoding {
    const struct tokenizer *tokenizer;
    struct token_list *list;
    const char *text;
    struct template_run *runs; /* [n_runs], ascending, owned */
    size_t n_runs;
    size_t run[N_PASSES]; /* the first run that may still have bytes for this pass */
    struct added_token_matches matches[N_PASSES];
    struct buffer prepared; /* a normalized text, or one with a space in front */
    struct pretokenizer_scratch pretokenizer_scratch;
    struct bpe_scratch bpe_scratch;
};

static int encode_word(void *context, const char *word, size_t length, bool ill_formed)
{
    struct encoding *encoding = context;
    const struct tokenizer *tokenizer = encoding->tokenizer;
    if (ill_formed && tokenizer->byte_ids[(unsigned char)*word] < 0) {
        word = "\xEF\xBF\xBD"; /* no token can say this byte: U+FFFD, as whoever decodes the input first would put there */
        length = 3;
    }
    uint32_t id = 0;
    enum whole_word whole = WHOLE_WORD_NO;
    if (length <= tokenizer->longest && hash_map_get(&tokenizer->by_bytes, word, length, &id)) {
        whole = (enum whole_word)atomic_load_explicit(&tokenizer->whole[id], memory_order_relaxed);
        if (whole == WHOLE_WORD_YES || pretokenizer_prefers_whole_words(tokenizer->pretokenizer))
            return token_list_append(encoding->list, (int32_t)id);
    }
    size_t before = encoding->list->count;
    int status = bpe_encode_word(&tokenizer->bpe, tokenizer->byte_ids, word, length, &encoding->bpe_scratch, encoding->list);
    if (!status && whole == WHOLE_WORD_UNKNOWN) {
        bool yes = encoding->list->count == before + 1 && encoding->list->ids[before] == (int32_t)id;
        atomic_store_explicit(&tokenizer->whole[id], yes ? WHOLE_WORD_YES : WHOLE_WORD_NO, memory_order_relaxed);
    }
    return status;
}

/* The text between added tokens as the pre-tokenizer is to see it: normalized, with a space in front, as the model has it. */
static int prepare_ordinary(struct encoding *encoding, const char **text, size_t *length, struct error *err)
{
    const struct tokenizer *tokenizer = encoding->tokenizer;
    bool composes = tokenizer->composes && !normalizer_is_composed(*text, *length);
    bool adds_space = pretokenizer_adds_space(tokenizer->pretokenizer) && **text != ' ';
    if (!composes && !adds_space)
        return 0;
    buffer_clear(&encoding->prepared);
    int status = adds_space ? buffer_append_char(&encoding->prepared, ' ') : 0;
    if (!status)
        status = composes ? normalizer_compose(*text, *length, &encoding->prepared) : buffer_append(&encoding->prepared, *text, *length);
    *text = encoding->prepared.data;
    *length = encoding->prepared.length;
    return status ? error_set(err, status, "tokenizing: %s", error_code_name(status)) : 0;
}

static int encode_ordinary(struct encoding *encoding, size_t start, size_t end, struct error *err)
{
    const char *text = encoding->text + start;
    size_t length = end - start;
    if (!length)
        return 0;
    if (err)
        err->code = 0;
    int status = prepare_ordinary(encoding, &text, &length, err);
    if (!status)
        status = pretokenizer_split(encoding->tokenizer->pretokenizer, &encoding->pretokenizer_scratch, text, length, encode_word, encoding, err);
    if (status && err && !err->code)
        return error_no_memory(err, "tokenizing");
    return status;
}

static int check_spans(size_t length, const struct text_span *spans, size_t n_spans, struct error *err)
{
    size_t sum = 0;
    for (size_t i = 0; i < n_spans; i++) {
        if (spans[i].length > length - sum)
            return error_set(err, SAMPAN_EINVAL, "tokenizing %zu bytes: span %zu ends beyond the text; spans must cover exactly the text", length, i);
        sum += spans[i].length;
    }
    if (n_spans && sum != length)
        return error_set(err, SAMPAN_EINVAL, "tokenizing %zu bytes: the spans cover only %zu of them; spans must cover exactly the text", length, sum);
    return 0;
}

static int find_runs(struct encoding *encoding, size_t length, const struct text_span *spans, size_t n_spans, struct error *err)
{
    size_t at = 0;
    if (!n_spans)
        return 0;
    encoding->runs = mem_alloc_array(n_spans, sizeof *encoding->runs);
    if (!encoding->runs)
        return error_no_memory(err, "tokenizing");
    for (size_t i = 0; i < n_spans && at < length; at += spans[i++].length) {
        if (spans[i].origin != ORIGIN_TEMPLATE || !spans[i].length)
            continue;
        if (encoding->n_runs && encoding->runs[encoding->n_runs - 1].end == at)
            encoding->runs[encoding->n_runs - 1].end += spans[i].length;
        else
            encoding->runs[encoding->n_runs++] = (struct template_run){at, at + spans[i].length};
    }
    return 0;
}

/* ---- added tokens ---- */

/* Unicode's White_Space, as in "\\s". */
static bool is_white_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Where the white space that ends at `end` begins, not before `start`. */
static size_t skip_space_before(const char *text, size_t start, size_t end)
{
    while (end > start) {
        size_t at = end - 1;
        while (at > start && end - at < 4 && ((unsigned char)text[at] & 0xC0) == 0x80)
            at--;
        uint32_t character;
        if (utf8_decode(text + at, end - at, &character) != (int)(end - at) || !is_white_space(character))
            break;
        end = at;
    }
    return end;
}

static size_t skip_space_behind(const char *text, size_t at, size_t end)
{
    uint32_t character;
    for (int n; at < end && (n = utf8_decode(text + at, end - at, &character)) > 0 && is_white_space(character);)
        at += (size_t)n;
    return at;
}

/* Would normalizing change the character before text[at..end)? */
static bool follows_mark(const char *text, size_t at, size_t end)
{
    uint32_t character;
    int n = utf8_decode(text + at, end - at, &character);
    return n > 0 && !normalizer_is_composed(text + at, (size_t)n);
}

static int encode_range(struct encoding *encoding, int pass, size_t start, size_t end, struct error *err);

/* Takes the matches of one run (listed from its end) in text[start..end). *at: up to where the text is encoded. */
static int take_matches(struct encoding *encoding, int pass, size_t start, size_t end, size_t *at, struct error *err)
{
    const struct tokenizer *tokenizer = encoding->tokenizer;
    struct added_token_matches *matches = &encoding->matches[pass];
    size_t next = start; /* the next match begins here or later */
    int status = 0;
    for (size_t i = matches->count; i-- > 0 && !status;) {
        const struct added_token_match match = matches->items[i];
        unsigned flags = added_flags(tokenizer->spec, match.id);
        size_t from = match.start, to = match.start + match.length;
        if (match.start < next || (pass && tokenizer->composes && follows_mark(encoding->text, to, end)))
            continue;
        next = to;
        if (flags & ADDED_TAKES_SPACE_BEFORE)
            from = skip_space_before(encoding->text, *at < from ? *at : from, from);
        if (flags & ADDED_TAKES_SPACE_BEHIND)
            to = skip_space_behind(encoding->text, to, end);
        if (*at < from)
            status = encode_range(encoding, pass + 1, *at, from, err);
        if (!status && token_list_append(encoding->list, match.id))
            status = error_no_memory(err, "tokenizing");
        *at = to > *at ? to : *at;
    }
    return status;
}

/* Encodes text[start..end), in which the added tokens of earlier passes do not occur. Depth of recursion: the number of passes. */
static int encode_range(struct encoding *encoding, int pass, size_t start, size_t end, struct error *err)
{
    if (pass == N_PASSES)
        return encode_ordinary(encoding, start, end, err);
    if (encoding->tokenizer->added[pass].n_nodes == 1) /* no tokens in it */
        return encode_range(encoding, pass + 1, start, end, err);
    size_t at = start;
    int status = 0;
    for (; encoding->run[pass] < encoding->n_runs && !status; encoding->run[pass]++) {
        const struct template_run *run = &encoding->runs[encoding->run[pass]];
        if (run->start >= end)
            break;
        size_t from = run->start > start ? run->start : start, to = run->end < end ? run->end : end;
        encoding->matches[pass].count = 0;
        if (from < to && added_tokens_find(&encoding->tokenizer->added[pass], encoding->text, from, to, &encoding->matches[pass]))
            status = error_no_memory(err, "looking for added tokens");
        if (!status)
            status = take_matches(encoding, pass, from, end, &at, err);
        if (run->end > end)
            break; /* the rest of the run belongs to the next range */
    }
    if (!status && at < end)
        status = encode_range(encoding, pass + 1, at, end, err);
    return status;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length, const struct text_span *spans, size_t n_spans, struct token_list *list,
                     struct error *err)
{
    if (length > LIMIT_TEXT)
        return error_set(err, SAMPAN_ELIMIT, "tokenizing a text of %zu bytes; the limit is %u", length, LIMIT_TEXT);
    int status = check_spans(length, spans, n_spans, err);
    if (status)
        return status;
    struct encoding encoding = {.tokenizer = tokenizer, .list = list, .text = text};
    buffer_init(&encoding.prepared, 4 * (size_t)LIMIT_TEXT); /* NFC grows a text at most threefold */
    size_t before = list->count;
    status = find_runs(&encoding, length, spans, n_spans, err);
    if (!status)
        status = encode_range(&encoding, 0, 0, length, err);
    if (status)
        list->count = before;
    mem_free(encoding.runs);
    for (int pass = 0; pass < N_PASSES; pass++)
        mem_free(encoding.matches[pass].items);
    buffer_free(&encoding.prepared);
    pretokenizer_scratch_free(&encoding.pretokenizer_scratch);
    bpe_scratch_free(&encoding.bpe_scratch);
    return status;
}

static int append_all(struct token_list *list, const int32_t *ids, int n)
{
    int status = 0;
    for (int i = 0; i < n && !status; i++)
        status = token_list_append(list, ids[i]);
    return status;
}

int tokenizer_encode_plain(const struct tokenizer *tokenizer, const char *text, size_t length, bool special, struct token_list *list, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    const struct text_span span = {length, special ? ORIGIN_TEMPLATE : ORIGIN_DATA};
    size_t before = list->count;
    bool listed = spec->n_before + spec->n_behind > 0;
    int status = listed ? append_all(list, spec->before, spec->n_before) : append_all(list, &spec->bos_id, spec->add_bos);
    if (status)
        error_no_memory(err, "tokenizing");
    else
        status = tokenizer_encode(tokenizer, text, length, &span, 1, list, err);
    if (!status && (listed ? append_all(list, spec->behind, spec->n_behind) : append_all(list, &spec->eos_id, spec->add_eos)))
        status = error_no_memory(err, "tokenizing");
    if (status)
        list->count = before;
    return status;
}

/* ---- looking things up ---- */

int tokenizer_n_tokens(const struct tokenizer *tokenizer)
{
    return tokenizer->spec->n_tokens;
}

const struct tokenizer_spec *tokenizer_get_spec(const struct tokenizer *tokenizer)
{
    return tokenizer->spec;
}

static bool is_known(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->spec->n_tokens;
}

struct byte_string tokenizer_token_bytes(const struct tokenizer *tokenizer, int32_t id)
{
    return is_known(tokenizer, id) ? tokenizer->bytes[id] : (struct byte_string){"", 0};
}

enum token_kind tokenizer_token_kind(const struct tokenizer *tokenizer, int32_t id)
{
    return is_known(tokenizer, id) ? tokenizer->spec->tokens[id].kind : TOKEN_UNUSED;
}

bool tokenizer_is_eog(const struct tokenizer *tokenizer, int32_t id)
{
    return is_known(tokenizer, id) && tokenizer->ends_generation[id];
}

int32_t tokenizer_find_token(const struct tokenizer *tokenizer, const char *text, size_t length)
{
    char scratch[512];
    uint32_t id;
    if (length <= sizeof scratch)
        return find_text(tokenizer, text, length, scratch);
    if (hash_map_get(&tokenizer->by_text, text, length, &id))
        return (int32_t)id;
    for (int32_t i = 0; i < tokenizer->spec->n_tokens; i++) /* a rare long token: no memory to fail on */
        if (tokenizer->spec->tokens[i].text.length == length && memcmp(tokenizer->spec->tokens[i].text.data, text, length) == 0)
            return i;
    return -1;
}
