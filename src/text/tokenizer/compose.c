/* Segment by segment: a segment begins at a character that nothing before it can change or join ("stable"), so most of a text is copied. */
#include "text/tokenizer/compose.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/utf8.h"

struct compose_class {
    uint32_t first, last; /* characters */
    unsigned char combining;
    unsigned char unstable; /* NFC may be another one, or it may join the character before it */
};

struct compose_row {
    uint32_t key, second, third;
};

#include "text/tokenizer/compatible_tables.h"
#include "text/tokenizer/compose_tables.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Hangul syllables are computed (Unicode Standard, 3.12): L + V (+ T). */
enum { HANGUL_S = 0xAC00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11A7, N_L = 19, N_V = 21, N_T = 28, N_S = N_L * N_V * N_T };

static const struct compose_class *find_class(uint32_t character)
{
    size_t low = 0, high = COUNT(classes);
    if (character < 0x300) /* the table begins there */
        return NULL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (character < classes[middle].first)
            high = middle;
        else if (character > classes[middle].last)
            low = middle + 1;
        else
            return &classes[middle];
    }
    return NULL;
}

static const struct compose_row *find_row(const struct compose_row *rows, size_t n_rows, uint32_t character)
{
    size_t low = 0, high = n_rows;
    if (character < 0xA0) /* the tables begin there */
        return NULL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rows[middle].key == character)
            return &rows[middle];
        if (rows[middle].key < character)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const struct compose_row *find_decomposition(uint32_t character)
{
    return find_row(decompositions, COUNT(decompositions), character);
}

/* Its parts are compatible_parts[second..second + third), wholly decomposed. */
static const struct compose_row *find_compatible(enum normal_form form, uint32_t character)
{
    return form & FORM_COMPATIBLE ? find_row(compatible, COUNT(compatible), character) : NULL;
}

/* 0: they do not compose. */
static uint32_t find_composition(uint32_t first, uint32_t second)
{
    if (first - HANGUL_L < N_L && second - HANGUL_V < N_V)
        return HANGUL_S + ((first - HANGUL_L) * N_V + (second - HANGUL_V)) * N_T;
    if (first - HANGUL_S < N_S && (first - HANGUL_S) % N_T == 0 && second - HANGUL_T - 1 < N_T - 1)
        return first + (second - HANGUL_T);
    size_t low = 0, high = COUNT(compositions);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct compose_row *row = &compositions[middle];
        if (row->key == first && row->second == second)
            return row->third;
        if (row->key < first || (row->key == first && row->second < second))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* ---- one segment ---- */

/* Characters as sortable numbers: combining class << 56 | position << 24 | character. Marks between two starters are sorted, which keeps the order of
 * equal classes because positions differ. */
struct segment {
    uint64_t *items; /* owned */
    size_t count, capacity;
};

static uint32_t character_of(uint64_t item)
{
    return item & 0xFFFFFF;
}

static unsigned combining_of(uint64_t item)
{
    return (unsigned)(item >> 56);
}

static int push(struct segment *segment, uint32_t character)
{
    if (segment->count == segment->capacity) {
        size_t capacity = segment->capacity ? 2 * segment->capacity : 64;
        uint64_t *items = mem_realloc_array(segment->items, capacity, sizeof *items);
        if (!items)
            return SAMPAN_ENOMEM;
        segment->items = items;
        segment->capacity = capacity;
    }
    const struct compose_class *found = find_class(character);
    segment->items[segment->count] = (uint64_t)(found ? found->combining : 0) << 56 | (uint64_t)segment->count << 24 | character;
    segment->count++;
    return 0;
}

/* Depth of recursion: decompositions in the table nest at most four deep. */
static int push_decomposed(struct segment *segment, enum normal_form form, uint32_t character)
{
    uint32_t syllable = character - HANGUL_S;
    const struct compose_row *parts = find_compatible(form, character);
    if (parts) {
        int status = 0;
        for (uint32_t i = 0; i < parts->third && !status; i++)
            status = push(segment, compatible_parts[parts->second + i]);
        return status;
    }
    if (syllable < N_S) {
        int status = push(segment, HANGUL_L + syllable / (N_V * N_T));
        if (!status)
            status = push(segment, HANGUL_V + syllable / N_T % N_V);
        return status || syllable % N_T == 0 ? status : push(segment, HANGUL_T + syllable % N_T);
    }
    const struct compose_row *row = find_decomposition(character);
    if (!row)
        return push(segment, character);
    int status = push_decomposed(segment, form, row->second);
    return status || !row->third ? status : push_decomposed(segment, form, row->third);
}

static int compare_items(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void order_marks(struct segment *segment)
{
    for (size_t at = 0; at < segment->count;) {
        size_t start = at;
        while (at < segment->count && combining_of(segment->items[at]))
            at++;
        if (at - start > 1)
            qsort(segment->items + start, at - start, sizeof *segment->items, compare_items);
        at += at == start;
    }
}

/* A mark joins the last starter unless one of the same or a higher class stands between them. */
static void join_characters(struct segment *segment)
{
    size_t n = 0, starter = SIZE_MAX;
    unsigned between = 0; /* class of the last character kept behind the starter */
    bool adjacent = false;
    for (size_t i = 0; i < segment->count; i++) {
        uint64_t item = segment->items[i];
        unsigned combining = combining_of(item);
        if (starter != SIZE_MAX && (adjacent || between < combining)) {
            uint32_t composed = find_composition(character_of(segment->items[starter]), character_of(item));
            if (composed) {
                segment->items[starter] = composed;
                continue;
            }
        }
        segment->items[n] = item;
        adjacent = combining == 0;
        between = combining;
        if (adjacent)
            starter = n;
        n++;
    }
    segment->count = n;
}

static int normalize_segment(struct segment *segment, enum normal_form form, const char *text, size_t length, struct buffer *out)
{
    segment->count = 0;
    for (size_t at = 0; at < length;) {
        uint32_t character = 0;
        at += (size_t)utf8_decode(text + at, length - at, &character);
        int status = push_decomposed(segment, form, character);
        if (status)
            return status;
    }
    order_marks(segment);
    if (form & FORM_COMPOSED)
        join_characters(segment);
    for (size_t i = 0; i < segment->count; i++) {
        char bytes[4];
        buffer_append(out, bytes, (size_t)utf8_encode(character_of(segment->items[i]), bytes));
    }
    return out->failed;
}

/* ---- a text ---- */

/* What a character means for its segment: the class of the first character of its decomposition, and whether the form writes it otherwise. */
static const struct compose_class *look_at(enum normal_form form, uint32_t character, bool *is_written_otherwise)
{
    const struct compose_row *parts = find_compatible(form, character);
    *is_written_otherwise = parts || (!(form & FORM_COMPOSED) && (character - HANGUL_S < N_S || find_decomposition(character)));
    return find_class(parts ? compatible_parts[parts->second] : character);
}

/* The segment that starts at `start`: its end, and whether it may change. An ill-formed byte is a segment. */
static size_t find_segment_end(enum normal_form form, const char *text, size_t length, size_t start, bool *changes)
{
    size_t at = start;
    unsigned last = 0;
    *changes = false;
    while (at < length) {
        uint32_t character = 0;
        bool is_written_otherwise;
        int n = utf8_decode(text + at, length - at, &character);
        if (n <= 0)
            return at > start ? at : at + 1;
        const struct compose_class *found = look_at(form, character, &is_written_otherwise);
        if (!found && at > start)
            return at;
        unsigned combining = found ? found->combining : 0;
        *changes |= is_written_otherwise || (found && ((found->unstable && form & FORM_COMPOSED) || combining < last));
        last = combining;
        at += (size_t)n;
    }
    return at;
}

bool compose_is_normal(enum normal_form form, const char *text, size_t length)
{
    bool changes;
    for (size_t at = 0; at < length;) {
        if (!((unsigned char)text[at] & 0x80)) { /* no ASCII character changes; what follows one is looked at alone, which is enough here */
            at++;
            continue;
        }
        at = find_segment_end(form, text, length, at, &changes);
        if (changes)
            return false;
    }
    return true;
}

int compose_segments(enum normal_form form, const char *text, size_t length, compose_visit *visit, void *context)
{
    struct segment segment = {0};
    struct buffer written;
    size_t at = 0, kept = 0; /* text[kept..at) stays as it is */
    int status = 0;
    buffer_init(&written, SIZE_MAX / 2);
    while (at < length && !status) {
        bool changes;
        size_t end = find_segment_end(form, text, length, at, &changes);
        if (changes) {
            buffer_clear(&written);
            status = normalize_segment(&segment, form, text + at, end - at, &written);
            if (!status && kept < at)
                status = visit(context, kept, at, NULL, 0);
            if (!status)
                status = visit(context, at, end, written.data, written.length);
            kept = end;
        }
        at = end;
    }
    if (!status && kept < length)
        status = visit(context, kept, length, NULL, 0);
    mem_free(segment.items);
    buffer_free(&written);
    return status;
}

struct appending {
    const char *text;
    struct buffer *out;
};

static int append_segment(void *context, size_t start, size_t end, const char *written, size_t length)
{
    const struct appending *appending = context;
    return written ? buffer_append(appending->out, written, length) : buffer_append(appending->out, appending->text + start, end - start);
}

int compose_append(enum normal_form form, const char *text, size_t length, struct buffer *out)
{
    struct appending appending = {text, out};
    return compose_segments(form, text, length, append_segment, &appending);
}
