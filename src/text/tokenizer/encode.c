/* The way of a text: added tokens are cut out of the template's bytes, what lies between them is normalized, the added tokens that are looked for in
 * normalized text are cut out of that, and the rest goes through the pre-tokenizer to the model. */
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/tokenizer/characters.h"
#include "text/tokenizer/internal.h"

/* A run of template bytes: text[start..end). Neighbouring spans of one origin are one run. */
struct template_run {
    size_t start, end;
};

struct template_runs {
    struct template_run *items; /* [count], ascending, owned */
    size_t count, capacity;
};

/* The text of one pass: the whole as it was given, then a normalized part of it between two added tokens. */
struct view {
    const char *text;
    size_t length;
    bool first; /* begins where the whole text does */
    struct template_runs runs;
    struct added_token_matches matches; /* of the run at hand */
};

struct encoding {
    const struct tokenizer *tokenizer;
    struct token_list *list;
    struct view views[N_PASSES];
    size_t next_run;       /* the first run of views[0] that may still have bytes for views[1] */
    struct buffer origins; /* of the part that is normalized */
    struct normalizer_scratch normalizer;
    struct pretokenizer_scratch pretokenizer;
    struct word_scratch words;
    struct error *err;
};

static int no_memory(const struct encoding *encoding)
{
    return error_no_memory(encoding->err, "tokenizing");
}

/* ---- runs ---- */

static int add_run(struct template_runs *runs, size_t start, size_t end)
{
    if (runs->count && runs->items[runs->count - 1].end == start) {
        runs->items[runs->count - 1].end = end;
        return 0;
    }
    if (runs->count == runs->capacity) {
        size_t capacity = runs->capacity ? 2 * runs->capacity : 16;
        struct template_run *items = mem_realloc_array(runs->items, capacity, sizeof *items);
        if (!items)
            return SAMPAN_ENOMEM;
        runs->items = items;
        runs->capacity = capacity;
    }
    runs->items[runs->count++] = (struct template_run){start, end};
    return 0;
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

static int find_runs(struct template_runs *runs, const struct text_span *spans, size_t n_spans)
{
    size_t at = 0;
    int status = 0;
    for (size_t i = 0; i < n_spans && !status; at += spans[i++].length)
        if (spans[i].origin == ORIGIN_TEMPLATE && spans[i].length)
            status = add_run(runs, at, at + spans[i].length);
    return status;
}

/* The runs of the whole text inside [start, end), from there counted. */
static int clip_runs(struct encoding *encoding, size_t start, size_t end, struct template_runs *clipped)
{
    const struct template_runs *runs = &encoding->views[0].runs;
    int status = 0;
    while (encoding->next_run < runs->count && runs->items[encoding->next_run].end <= start)
        encoding->next_run++;
    clipped->count = 0;
    for (size_t i = encoding->next_run; i < runs->count && runs->items[i].start < end && !status; i++) {
        size_t from = runs->items[i].start > start ? runs->items[i].start : start, to = runs->items[i].end < end ? runs->items[i].end : end;
        status = add_run(clipped, from - start, to - start);
    }
    return status;
}

/* Runs as one origin per byte, and back. */
static int write_origins(struct buffer *origins, const struct template_runs *runs, size_t length)
{
    buffer_clear(origins);
    if (buffer_reserve(origins, length))
        return SAMPAN_ENOMEM;
    memset(origins->data, ORIGIN_DATA, length);
    for (size_t i = 0; i < runs->count; i++)
        memset(origins->data + runs->items[i].start, ORIGIN_TEMPLATE, runs->items[i].end - runs->items[i].start);
    return 0;
}

static int read_origins(struct template_runs *runs, const unsigned char *origins, size_t length)
{
    int status = 0;
    runs->count = 0;
    for (size_t at = 0, end; at < length && !status; at = end) {
        for (end = at + 1; end < length && origins[end] == origins[at];)
            end++;
        if (origins[at] == ORIGIN_TEMPLATE)
            status = add_run(runs, at, end);
    }
    return status;
}

/* ---- added tokens ---- */

static bool is_white_space(uint32_t character)
{
    return character_flags(character) & CHARACTER_WHITE_SPACE;
}

/* Where the character that ends at `end` begins, not before `start`; its value, or 0 where it is ill-formed. */
static size_t step_back(const char *text, size_t start, size_t end, uint32_t *character)
{
    size_t at = end - 1;
    while (at > start && end - at < 4 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    if (utf8_decode(text + at, end - at, character) != (int)(end - at))
        *character = 0;
    return at;
}

/* Where the white space that ends at `end` begins, not before `start`. */
static size_t skip_space_before(const char *text, size_t start, size_t end)
{
    while (end > start) {
        uint32_t character;
        size_t at = step_back(text, start, end, &character);
        if (!is_white_space(character))
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

/* Does a letter, digit, mark or low line stand right before or behind text[start..end)? */
static bool is_within_word(const struct view *view, size_t start, size_t end)
{
    uint32_t character = 0;
    if (start)
        step_back(view->text, 0, start, &character);
    if (start && character_flags(character) & CHARACTER_WORD)
        return true;
    return utf8_decode(view->text + end, view->length - end, &character) > 0 && character_flags(character) & CHARACTER_WORD;
}

static int encode_view(struct encoding *encoding, int pass);

/* view.text[start..end) without added tokens of this pass. */
static int encode_gap(struct encoding *encoding, int pass, size_t start, size_t end);

/* Takes the matches of one run (listed from its end). *at: up to where the text is encoded; *next: where the next match may begin. */
static int take_matches(struct encoding *encoding, int pass, size_t *at, size_t *next)
{
    struct view *view = &encoding->views[pass];
    int status = 0;
    for (size_t i = view->matches.count; i-- > 0 && !status;) {
        const struct added_token_match match = view->matches.items[i];
        unsigned flags = tokenizer_added_flags(encoding->tokenizer, match.id);
        size_t from = match.start, to = match.start + match.length;
        if (match.start < *next)
            continue;
        *next = to;
        if (flags & ADDED_IS_WHOLE_WORD && is_within_word(view, from, to))
            continue;
        if (flags & ADDED_TAKES_SPACE_BEFORE)
            from = skip_space_before(view->text, *at < from ? *at : from, from);
        if (flags & ADDED_TAKES_SPACE_BEHIND)
            to = skip_space_behind(view->text, to, view->length);
        if (*at < from)
            status = encode_gap(encoding, pass, *at, from);
        if (!status && token_list_append(encoding->list, match.id))
            status = no_memory(encoding);
        *at = to > *at ? to : *at;
    }
    return status;
}

static int encode_view(struct encoding *encoding, int pass)
{
    struct view *view = &encoding->views[pass];
    const struct added_tokens *added = &encoding->tokenizer->added[pass];
    size_t at = 0, next = 0, n_runs = added->n_nodes > 1 ? view->runs.count : 0; /* one node: no tokens */
    int status = 0;
    for (size_t i = 0; i < n_runs && !status; i++) {
        view->matches.count = 0;
        if (added_tokens_find(added, view->text, view->runs.items[i].start, view->runs.items[i].end, &view->matches))
            return no_memory(encoding);
        status = take_matches(encoding, pass, &at, &next);
    }
    return !status && at < view->length ? encode_gap(encoding, pass, at, view->length) : status;
}

/* ---- between added tokens ---- */

/* Makes views[1] of views[0].text[start..end), normalized. */
static int normalize_gap(struct encoding *encoding, size_t start, size_t end)
{
    const struct tokenizer *tokenizer = encoding->tokenizer;
    const struct view *whole = &encoding->views[0];
    struct view *view = &encoding->views[1];
    struct normal_text text = {whole->text + start, end - start, NULL, whole->first && start == 0};
    view->runs.count = 0;
    if (tokenizer->added[1].n_nodes > 1 && clip_runs(encoding, start, end, &view->runs))
        return no_memory(encoding);
    bool tracks = view->runs.count && tokenizer->spec->n_normalizers;
    if (tracks && write_origins(&encoding->origins, &view->runs, end - start))
        return no_memory(encoding);
    text.origins = tracks ? (const unsigned char *)encoding->origins.data : NULL;
    int status = normalizer_run(tokenizer->normalizer, &encoding->normalizer, text, &text, encoding->err);
    if (!status && tracks && read_origins(&view->runs, text.origins, text.length))
        return no_memory(encoding);
    view->text = text.bytes;
    view->length = text.length;
    view->first = text.first;
    return status;
}

static int visit_word(void *context, const char *word, size_t length, bool ill_formed)
{
    struct encoding *encoding = context;
    return tokenizer_encode_word(encoding->tokenizer, &encoding->words, word, length, ill_formed, encoding->list) ? no_memory(encoding) : 0;
}

static int encode_gap(struct encoding *encoding, int pass, size_t start, size_t end)
{
    if (pass == 0) {
        int status = normalize_gap(encoding, start, end);
        return status ? status : encode_view(encoding, 1);
    }
    const struct view *view = &encoding->views[1];
    return pretokenizer_split(encoding->tokenizer->pretokenizer, &encoding->pretokenizer, view->text + start, end - start, view->first && start == 0,
                              visit_word, encoding, encoding->err);
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length, const struct text_span *spans, size_t n_spans, struct token_list *list,
                     struct error *err)
{
    if (length > LIMIT_TEXT)
        return error_set(err, SAMPAN_ELIMIT, "tokenizing a text of %zu bytes; the limit is %u", length, LIMIT_TEXT);
    int status = check_spans(length, spans, n_spans, err);
    if (status)
        return status;
    struct encoding encoding = {.tokenizer = tokenizer, .list = list, .views = {{.text = text, .length = length, .first = true}}, .err = err};
    buffer_init(&encoding.origins, LIMIT_TEXT);
    size_t before = list->count;
    status = find_runs(&encoding.views[0].runs, spans, n_spans) ? no_memory(&encoding) : encode_view(&encoding, 0);
    if (status)
        list->count = before;
    for (int pass = 0; pass < N_PASSES; pass++) {
        mem_free(encoding.views[pass].runs.items);
        mem_free(encoding.views[pass].matches.items);
    }
    buffer_free(&encoding.origins);
    normalizer_scratch_free(&encoding.normalizer);
    pretokenizer_scratch_free(&encoding.pretokenizer);
    word_scratch_free(&encoding.words);
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
