/* Memory of one rendering: its limits, strings with origins, builders, lists, dicts. What the values mean is in operate.c. */
#include "text/template/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash_map.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/template/operate.h"

enum { SMALL_DICT = 8, SPARE_BUILDER_BYTES = 1 << 16 };

void jinja_run_init(struct jinja_run *run, const struct jinja_limits *limits, struct error *err)
{
    *run = (struct jinja_run){.limits = *limits, .err = err, .hash_key = {0x9E3779B97F4A7C15u, (uint64_t)(uintptr_t)run}};
    arena_init(&run->arena, limits->memory);
    if (getrandom(run->hash_key, sizeof run->hash_key, GRND_NONBLOCK) < 0)
        run->hash_key[0] ^= (uint64_t)(uintptr_t)err; /* early boot: address randomisation is better than nothing */
}

static void free_builders(struct jinja_builder *builder)
{
    while (builder) {
        struct jinja_builder *below = builder->below;
        mem_free(builder->bytes);
        mem_free(builder->origins);
        mem_free(builder);
        builder = below;
    }
}

void jinja_run_free(struct jinja_run *run)
{
    free_builders(run->builder);
    free_builders(run->spare);
    arena_free(&run->arena);
}

bool jinja_fail(struct jinja_run *run, int code, const char *format, ...)
{
    if (run->code)
        return false;
    run->code = code;
    va_list arguments;
    va_start(arguments, format);
    error_set_v(run->err, code, format, arguments);
    va_end(arguments);
    if (run->line)
        error_prefix(run->err, "line %d", run->line);
    return false;
}

bool jinja_fail_memory(struct jinja_run *run)
{
    size_t used = run->arena.total + run->builder_bytes;
    if (used > run->limits.memory / 2)
        return jinja_fail(run, SAMPAN_ELIMIT, "the template's values need more than %zu MiB; it probably grows without end", run->limits.memory >> 20);
    return jinja_fail(run, SAMPAN_ENOMEM, "out of memory while rendering (%zu KiB in use)", used >> 10);
}

bool jinja_step(struct jinja_run *run, uint64_t steps)
{
    run->steps += steps;
    if (run->steps <= run->limits.steps)
        return true;
    return jinja_fail(run, SAMPAN_ELIMIT, "more than %llu steps; the template probably loops without end", (unsigned long long)run->limits.steps);
}

bool jinja_enter(struct jinja_run *run)
{
    if (run->depth >= run->limits.depth)
        return jinja_fail(run, SAMPAN_ELIMIT, "nested more than %d levels deep", run->limits.depth);
    run->depth++;
    return true;
}

void *jinja_alloc(struct jinja_run *run, size_t count, size_t size)
{
    void *memory = arena_alloc_array(&run->arena, count, size);
    if (!memory)
        jinja_fail_memory(run);
    return memory;
}

/* --- strings --- */

bool jinja_string_make(struct jinja_run *run, const char *bytes, size_t length, const unsigned char *origins, unsigned char origin, struct jinja_value *out)
{
    struct jinja_string *string = jinja_alloc(run, 1, sizeof *string);
    if (!string)
        return false;
    *string = (struct jinja_string){.bytes = bytes, .length = length, .origins = origins, .origin = origin, .n_characters = -1};
    *out = jinja_string_value(string);
    return true;
}

bool jinja_string_copy(struct jinja_run *run, const char *bytes, size_t length, enum text_origin origin, struct jinja_value *out)
{
    char *copy = arena_strndup(&run->arena, bytes, length);
    return copy ? jinja_string_make(run, copy, length, NULL, (unsigned char)origin, out) : jinja_fail_memory(run);
}

bool jinja_substring(struct jinja_run *run, const struct jinja_string *string, size_t from, size_t to, struct jinja_value *out)
{
    if (to < from)
        to = from;
    if (!jinja_string_make(run, string->bytes + from, to - from, string->origins ? string->origins + from : NULL, string->origin, out))
        return false;
    out->as.string->markup = string->markup;
    if (string->n_characters == (int64_t)string->length)
        out->as.string->n_characters = (int64_t)(to - from);
    return true;
}

int64_t jinja_string_count(struct jinja_string *string)
{
    if (string->n_characters < 0) {
        int64_t count = 0;
        for (size_t i = 0; i < string->length; i++)
            count += ((unsigned char)string->bytes[i] & 0xC0) != 0x80;
        string->n_characters = count;
    }
    return string->n_characters;
}

size_t jinja_string_offset(struct jinja_string *string, int64_t character)
{
    if (jinja_string_count(string) == (int64_t)string->length)
        return (size_t)character;
    size_t at = 0;
    while (at < string->length && (((unsigned char)string->bytes[at] & 0xC0) == 0x80 || character-- > 0))
        at++;
    return at;
}

int jinja_string_decode(const struct jinja_string *string, size_t at, uint32_t *character)
{
    int n = utf8_decode(string->bytes + at, string->length - at, character);
    if (n > 0)
        return n;
    *character = UTF8_REPLACEMENT; /* cannot happen: every way in is checked */
    return 1;
}

bool jinja_string_is(const struct jinja_string *string, const char *text)
{
    return string->length == strlen(text) && memcmp(string->bytes, text, string->length) == 0;
}

bool jinja_string_equal(const struct jinja_string *a, const struct jinja_string *b)
{
    return a->length == b->length && (a->bytes == b->bytes || memcmp(a->bytes, b->bytes, a->length) == 0);
}

int64_t jinja_string_find(struct jinja_run *run, const struct jinja_string *string, const struct jinja_string *needle, size_t from, size_t to)
{
    if (to > string->length)
        to = string->length;
    if (from > to || needle->length > to - from)
        return -1;
    if (!needle->length)
        return (int64_t)from;
    run->steps += (to - from) / 64;
    const char *found = memmem(string->bytes + from, to - from, needle->bytes, needle->length);
    return found ? found - string->bytes : -1;
}

enum text_origin jinja_origin_at(const struct jinja_string *string, size_t at)
{
    return (enum text_origin)(string->origins ? string->origins[at] : string->origin);
}

/* --- builders --- */

bool jinja_build(struct jinja_run *run)
{
    struct jinja_builder *builder = run->spare;
    if (builder)
        run->spare = builder->below;
    else if (!(builder = mem_zalloc(sizeof *builder)))
        return jinja_fail_memory(run);
    builder->length = 0;
    builder->mixed = false;
    builder->below = run->builder;
    run->builder = builder;
    return true;
}

void jinja_build_drop(struct jinja_run *run)
{
    struct jinja_builder *builder = run->builder;
    run->builder = builder->below;
    if (builder->capacity > SPARE_BUILDER_BYTES) {
        run->builder_bytes -= builder->capacity + builder->origins_capacity;
        mem_free(builder->bytes);
        mem_free(builder->origins);
        *builder = (struct jinja_builder){0};
    }
    builder->below = run->spare;
    run->spare = builder;
}

bool jinja_built(struct jinja_run *run, struct jinja_value *out)
{
    const struct jinja_builder *builder = run->builder;
    size_t length = builder->length;
    const unsigned char *origins = NULL;
    char *bytes = arena_strndup(&run->arena, length ? builder->bytes : "", length);
    bool done = bytes != NULL;
    if (done && builder->mixed)
        done = (origins = (const unsigned char *)arena_strndup(&run->arena, (const char *)builder->origins, length)) != NULL;
    if (!done)
        jinja_fail_memory(run);
    else
        done = jinja_string_make(run, bytes, length, origins, builder->origin, out);
    jinja_build_drop(run);
    return done;
}

static bool grow_builder(struct jinja_run *run, struct jinja_builder *builder, size_t needed)
{
    size_t capacity = builder->capacity ? builder->capacity : 256;
    while (capacity < needed)
        capacity += capacity / 2;
    if (capacity - builder->capacity > run->limits.memory - run->builder_bytes)
        return jinja_fail_memory(run);
    char *bytes = mem_realloc_array(builder->bytes, capacity, 1);
    if (!bytes)
        return jinja_fail_memory(run);
    run->builder_bytes += capacity - builder->capacity;
    builder->bytes = bytes;
    builder->capacity = capacity;
    return true;
}

/* Makes `origins` as large as `bytes` and, where it was not in use, fills in what is there. */
static bool mix_origins(struct jinja_run *run, struct jinja_builder *builder)
{
    if (builder->origins_capacity < builder->capacity) {
        size_t more = builder->capacity - builder->origins_capacity;
        unsigned char *origins = more > run->limits.memory - run->builder_bytes ? NULL : mem_realloc_array(builder->origins, builder->capacity, 1);
        if (!origins)
            return jinja_fail_memory(run);
        run->builder_bytes += more;
        builder->origins = origins;
        builder->origins_capacity = builder->capacity;
    }
    if (!builder->mixed)
        memset(builder->origins, builder->origin, builder->length);
    builder->mixed = true;
    return true;
}

static bool append_with_origins(struct jinja_run *run, const char *bytes, size_t length, const unsigned char *origins, unsigned char origin)
{
    struct jinja_builder *builder = run->builder;
    if (!length)
        return true;
    if (length > run->limits.output - builder->length)
        return jinja_fail(run, SAMPAN_ELIMIT, "a text of more than %zu bytes; the template probably grows without end", run->limits.output);
    run->steps += length / 256;
    if (builder->length + length > builder->capacity && !grow_builder(run, builder, builder->length + length))
        return false;
    if (!builder->length && !origins)
        builder->origin = origin;
    bool mixed = builder->mixed || origins || (builder->length && builder->origin != origin);
    if (mixed && !mix_origins(run, builder))
        return false;
    memcpy(builder->bytes + builder->length, bytes, length);
    if (origins)
        memcpy(builder->origins + builder->length, origins, length);
    else if (mixed)
        memset(builder->origins + builder->length, origin, length);
    builder->length += length;
    return true;
}

bool jinja_append(struct jinja_run *run, const char *bytes, size_t length, enum text_origin origin)
{
    return append_with_origins(run, bytes, length, NULL, (unsigned char)origin);
}

bool jinja_append_text(struct jinja_run *run, const char *text, enum text_origin origin)
{
    return jinja_append(run, text, strlen(text), origin);
}

bool jinja_append_slice(struct jinja_run *run, const struct jinja_string *string, size_t from, size_t to)
{
    return append_with_origins(run, string->bytes + from, to - from, string->origins ? string->origins + from : NULL, string->origin);
}

bool jinja_append_string(struct jinja_run *run, const struct jinja_string *string)
{
    return jinja_append_slice(run, string, 0, string->length);
}

bool jinja_append_character(struct jinja_run *run, uint32_t character, enum text_origin origin)
{
    char bytes[4];
    return jinja_append(run, bytes, (size_t)utf8_encode(character, bytes), origin);
}

bool jinja_append_escaped(struct jinja_run *run, const struct jinja_string *string)
{
    size_t done = 0;
    for (size_t i = 0; i < string->length; i++) {
        const char *entity;
        switch (string->bytes[i]) {
        case '&': entity = "&amp;"; break;
        case '<': entity = "&lt;"; break;
        case '>': entity = "&gt;"; break;
        case '"': entity = "&#34;"; break;
        case '\'': entity = "&#39;"; break;
        default: continue;
        }
        if (!jinja_append_slice(run, string, done, i) || !jinja_append_text(run, entity, jinja_origin_at(string, i)))
            return false;
        done = i + 1;
    }
    return jinja_append_slice(run, string, done, string->length);
}

/* --- lists --- */

bool jinja_list_make(struct jinja_run *run, size_t capacity, struct jinja_list **list)
{
    *list = jinja_alloc(run, 1, sizeof **list);
    if (!*list)
        return false;
    (*list)->capacity = capacity;
    return !capacity || ((*list)->items = jinja_alloc(run, capacity, sizeof *(*list)->items)) != NULL;
}

bool jinja_list_append(struct jinja_run *run, struct jinja_list *list, struct jinja_value value)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        struct jinja_value *items = jinja_alloc(run, capacity, sizeof *items);
        if (!items)
            return false;
        if (list->count)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = value;
    return true;
}

bool jinja_pair(struct jinja_run *run, struct jinja_value first, struct jinja_value second, struct jinja_value *out)
{
    struct jinja_list *list;
    if (!jinja_list_make(run, 2, &list))
        return false;
    list->items[0] = first;
    list->items[1] = second;
    list->count = 2;
    *out = (struct jinja_value){.kind = JINJA_TUPLE, .as.list = list};
    return true;
}

int64_t jinja_range_length(const struct jinja_range *range)
{
    if (range->step > 0 && range->start < range->stop)
        return (int64_t)(((uint64_t)range->stop - (uint64_t)range->start - 1) / (uint64_t)range->step + 1);
    if (range->step < 0 && range->start > range->stop)
        return (int64_t)(((uint64_t)range->start - (uint64_t)range->stop - 1) / (0 - (uint64_t)range->step) + 1);
    return 0;
}

/* --- dicts --- */

bool jinja_dict_make(struct jinja_run *run, size_t capacity, struct jinja_dict **dict)
{
    *dict = jinja_alloc(run, 1, sizeof **dict);
    if (!*dict)
        return false;
    (*dict)->capacity = capacity;
    return !capacity || ((*dict)->entries = jinja_alloc(run, capacity, sizeof *(*dict)->entries)) != NULL;
}

/* Sets *entry to the entry of the key, or NULL; *slot to its place in the index (where there is one). */
static bool find_entry(struct jinja_run *run, const struct jinja_dict *dict, struct jinja_value key, uint64_t hash, struct jinja_entry **entry, size_t *slot)
{
    *entry = NULL;
    if (!dict->index) {
        for (size_t i = 0; i < dict->count; i++) {
            bool equal = false;
            if (dict->entries[i].hash == hash && !jinja_equal(run, dict->entries[i].key, key, &equal))
                return false;
            if (equal) {
                *entry = &dict->entries[i];
                return true;
            }
        }
        return true;
    }
    size_t mask = dict->index_size - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        *slot = i;
        if (!dict->index[i])
            return true;
        struct jinja_entry *candidate = &dict->entries[dict->index[i] - 1];
        bool equal = false;
        if (candidate->hash == hash && !jinja_equal(run, candidate->key, key, &equal))
            return false;
        if (equal) {
            *entry = candidate;
            return true;
        }
    }
}

static bool grow_dict(struct jinja_run *run, struct jinja_dict *dict)
{
    if (dict->count >= UINT32_MAX / 4)
        return jinja_fail_memory(run);
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
        struct jinja_entry *entries = jinja_alloc(run, capacity, sizeof *entries);
        if (!entries)
            return false;
        if (dict->count)
            memcpy(entries, dict->entries, dict->count * sizeof *entries);
        dict->entries = entries;
        dict->capacity = capacity;
    }
    if (dict->count < SMALL_DICT || dict->count * 2 < dict->index_size)
        return true;
    size_t size = dict->index_size ? dict->index_size * 2 : (size_t)SMALL_DICT * 4;
    while (size <= dict->count * 2)
        size *= 2;
    uint32_t *index = jinja_alloc(run, size, sizeof *index);
    if (!index)
        return false;
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = (size_t)dict->entries[i].hash & (size - 1);
        while (index[at])
            at = (at + 1) & (size - 1);
        index[at] = (uint32_t)i + 1;
    }
    dict->index = index;
    dict->index_size = size;
    return true;
}

bool jinja_dict_put(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value key, struct jinja_value value)
{
    uint64_t hash;
    struct jinja_entry *entry;
    size_t slot = 0;
    if (!jinja_hash(run, key, &hash) || !grow_dict(run, dict) || !find_entry(run, dict, key, hash, &entry, &slot))
        return false;
    if (entry) {
        entry->value = value;
        return true;
    }
    dict->entries[dict->count++] = (struct jinja_entry){.key = key, .value = value, .hash = hash};
    if (dict->index)
        dict->index[slot] = (uint32_t)dict->count;
    return true;
}

bool jinja_dict_get(struct jinja_run *run, const struct jinja_dict *dict, struct jinja_value key, const struct jinja_value **found)
{
    uint64_t hash;
    struct jinja_entry *entry;
    size_t slot = 0;
    *found = NULL;
    if (!jinja_hash(run, key, &hash) || !find_entry(run, dict, key, hash, &entry, &slot))
        return false;
    if (entry)
        *found = &entry->value;
    return true;
}

const struct jinja_value *jinja_dict_find(struct jinja_run *run, const struct jinja_dict *dict, const char *name, size_t length)
{
    struct jinja_string string = {.bytes = name, .length = length, .n_characters = -1};
    const struct jinja_value *found = NULL;
    jinja_dict_get(run, dict, jinja_string_value(&string), &found);
    return found;
}

bool jinja_view_item(struct jinja_run *run, const struct jinja_view *view, size_t at, struct jinja_value *out)
{
    const struct jinja_entry *entry = &view->dict->entries[at];
    if (view->which == JINJA_VIEW_ITEMS)
        return jinja_pair(run, entry->key, entry->value, out);
    *out = view->which == JINJA_VIEW_KEYS ? entry->key : entry->value;
    return true;
}

/* --- undefined --- */

bool jinja_undefined_make(struct jinja_run *run, const char *hint, const struct jinja_string *name, const char *object_type, struct jinja_value *out)
{
    struct jinja_undefined *undefined = jinja_alloc(run, 1, sizeof *undefined);
    if (!undefined)
        return false;
    *undefined = (struct jinja_undefined){.hint = hint, .name = name, .object_type = object_type};
    *out = (struct jinja_value){.kind = JINJA_UNDEFINED, .as.undefined = undefined};
    return true;
}

bool jinja_fail_undefined(struct jinja_run *run, struct jinja_value value)
{
    const struct jinja_undefined *undefined = value.as.undefined;
    if (undefined->hint)
        return jinja_fail(run, SAMPAN_EINVAL, "%s", undefined->hint);
    int length = undefined->name ? (int)(undefined->name->length < 200 ? undefined->name->length : 200) : 0;
    const char *name = undefined->name ? undefined->name->bytes : "";
    if (!undefined->object_type)
        return jinja_fail(run, SAMPAN_EINVAL, "'%.*s' is undefined", length, name);
    return jinja_fail(run, SAMPAN_EINVAL, "'%s object' has no attribute '%.*s'", undefined->object_type, length, name);
}
