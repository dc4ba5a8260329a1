/* Methods of strings, lists, dicts and cyclers. Every byte of a result keeps the origin of the byte it was copied or converted from. */
#include <string.h>

#include "text/template/builtins.h"
#include "text/template/operate.h"
#include "text/template/unicode.h"

#define METHOD(name) static bool name(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out)

static bool is_given(struct jinja_value value)
{
    return value.kind != JINJA_MISSING && value.kind != JINJA_NONE;
}

/* The string that an argument must be; NULL: failed. */
static struct jinja_string *need_text(struct jinja_run *run, struct jinja_value value)
{
    if (value.kind == JINJA_STRING)
        return value.as.string;
    if (value.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(run, value);
    else
        jinja_fail(run, SAMPAN_EINVAL, "an argument is a %s, expected a str", jinja_type_name(value));
    return NULL;
}

/* --- stripping, padding, case --- */

static bool is_strippable(const struct jinja_string *chars, uint32_t character)
{
    if (!chars)
        return unicode_is_space(character);
    for (size_t at = 0; at < chars->length;) {
        uint32_t candidate;
        at += (size_t)jinja_string_decode(chars, at, &candidate);
        if (candidate == character)
            return true;
    }
    return false;
}

/* Where the character that ends at `end` begins. */
static size_t step_back(const struct jinja_string *string, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && ((unsigned char)string->bytes[at] & 0xC0) == 0x80)
        at--;
    return at;
}

bool jinja_strip(struct jinja_run *run, struct jinja_string *string, const struct jinja_string *chars, int sides, struct jinja_value *out)
{
    size_t from = 0, to = string->length;
    uint32_t character;
    while ((sides & STRIP_LEFT) && from < to) {
        int n = jinja_string_decode(string, from, &character);
        if (!is_strippable(chars, character))
            break;
        from += (size_t)n;
    }
    while ((sides & STRIP_RIGHT) && to > from) {
        size_t begin = step_back(string, to);
        jinja_string_decode(string, begin, &character);
        if (!is_strippable(chars, character))
            break;
        to = begin;
    }
    run->steps += (string->length - (to - from)) * (chars ? chars->length + 1 : 1) / 16;
    return jinja_substring(run, string, from, to, out);
}

static bool strip_method(struct jinja_run *run, struct jinja_value self, struct jinja_value chars, int sides, struct jinja_value *out)
{
    const struct jinja_string *set = NULL;
    if (is_given(chars) && !(set = need_text(run, chars)))
        return false;
    return jinja_strip(run, self.as.string, set, sides, out);
}

METHOD(call_strip)
{
    return strip_method(run, self, arguments[0], STRIP_LEFT | STRIP_RIGHT, out);
}

METHOD(call_lstrip)
{
    return strip_method(run, self, arguments[0], STRIP_LEFT, out);
}

METHOD(call_rstrip)
{
    return strip_method(run, self, arguments[0], STRIP_RIGHT, out);
}

/* Is the capital sigma at `at` the last letter of a word (then its small form is another one)? As CPython decides it. */
static bool is_final_sigma(const struct jinja_string *string, size_t at)
{
    uint32_t c = 0;
    size_t before = at;
    bool cased = false;
    while (before > 0) {
        before = step_back(string, before);
        jinja_string_decode(string, before, &c);
        if (unicode_is(c, UNICODE_CASE_IGNORABLE))
            continue;
        cased = unicode_is(c, UNICODE_UPPERCASE) || unicode_is(c, UNICODE_LOWERCASE) || unicode_is(c, UNICODE_TITLECASE);
        break;
    }
    for (size_t behind = at + 2; cased && behind < string->length;) {
        behind += (size_t)jinja_string_decode(string, behind, &c);
        if (unicode_is(c, UNICODE_CASE_IGNORABLE))
            continue;
        return !(unicode_is(c, UNICODE_UPPERCASE) || unicode_is(c, UNICODE_LOWERCASE) || unicode_is(c, UNICODE_TITLECASE));
    }
    return cased;
}

static enum unicode_case case_of(enum jinja_casing casing, uint32_t character, bool first, bool in_word)
{
    switch (casing) {
    case CASING_UPPER: return UNICODE_UPPER;
    case CASING_FOLD: return UNICODE_FOLD;
    case CASING_CAPITALIZE: return first ? UNICODE_TITLE : UNICODE_LOWER;
    case CASING_TITLE: return in_word ? UNICODE_LOWER : UNICODE_TITLE;
    case CASING_SWAP: return unicode_is(character, UNICODE_UPPERCASE) ? UNICODE_LOWER : UNICODE_UPPER; /* called for cased ones only */
    default: return UNICODE_LOWER;
    }
}

bool jinja_convert_case(struct jinja_run *run, const struct jinja_string *string, enum jinja_casing casing, struct jinja_value *out)
{
    bool in_word = false;
    if (!jinja_build(run) || !jinja_step(run, string->length / 8))
        return false;
    for (size_t at = 0; at < string->length;) {
        uint32_t c, converted[3];
        size_t begin = at;
        at += (size_t)jinja_string_decode(string, at, &c);
        enum unicode_case which = case_of(casing, c, begin == 0, in_word);
        bool unchanged = casing == CASING_SWAP && !unicode_is(c, UNICODE_UPPERCASE) && !unicode_is(c, UNICODE_LOWERCASE);
        int n = unchanged ? 1 : unicode_convert(c, which, converted);
        if (unchanged)
            converted[0] = c;
        if (c == 0x3A3 && which == UNICODE_LOWER)
            converted[0] = is_final_sigma(string, begin) ? 0x3C2 : 0x3C3;
        for (int i = 0; i < n; i++)
            if (!jinja_append_character(run, converted[i], jinja_origin_at(string, begin)))
                return false;
        in_word = unicode_is(c, UNICODE_UPPERCASE) || unicode_is(c, UNICODE_LOWERCASE) || unicode_is(c, UNICODE_TITLECASE);
    }
    if (!jinja_built(run, out))
        return false;
    out->as.string->markup = string->markup;
    return true;
}

#define CASE_METHOD(name, casing)                                                                                                                              \
    METHOD(name)                                                                                                                                               \
    {                                                                                                                                                          \
        (void)arguments;                                                                                                                                       \
        return jinja_convert_case(run, self.as.string, casing, out);                                                                                           \
    }
CASE_METHOD(call_upper, CASING_UPPER)
CASE_METHOD(call_lower, CASING_LOWER)
CASE_METHOD(call_capitalize, CASING_CAPITALIZE)
CASE_METHOD(call_title, CASING_TITLE)
CASE_METHOD(call_swapcase, CASING_SWAP)
CASE_METHOD(call_casefold, CASING_FOLD)

bool jinja_pad(struct jinja_run *run, struct jinja_string *string, int64_t left, int64_t right, const struct jinja_string *fill, struct jinja_value *out)
{
    if (!jinja_build(run))
        return false;
    for (int64_t i = 0; i < left; i++)
        if (!jinja_step(run, 1) || !jinja_append_string(run, fill))
            return false;
    if (!jinja_append_string(run, string))
        return false;
    for (int64_t i = 0; i < right; i++)
        if (!jinja_step(run, 1) || !jinja_append_string(run, fill))
            return false;
    return jinja_built(run, out);
}

enum { PAD_LEFT = 1, PAD_RIGHT = 2 };
static bool pad_method(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, int sides, struct jinja_value *out)
{
    static const struct jinja_string space = {.bytes = " ", .length = 1, .origin = ORIGIN_TEMPLATE, .n_characters = 1};
    struct jinja_string *given = NULL;
    int64_t width;
    if (!jinja_to_int(run, arguments[0], "the width", &width) || (is_given(arguments[1]) && !(given = need_text(run, arguments[1]))))
        return false;
    if (given && jinja_string_count(given) != 1)
        return jinja_fail(run, SAMPAN_EINVAL, "the fill character must be exactly one character long");
    int64_t missing = width > jinja_string_count(self.as.string) ? width - jinja_string_count(self.as.string) : 0;
    if (missing < 0)
        missing = 0;
    int64_t left = sides == PAD_LEFT ? missing : sides == PAD_RIGHT ? 0 : missing / 2 + (missing & width & 1); /* CPython's str.center */
    return jinja_pad(run, self.as.string, left, missing - left, given ? given : &space, out);
}

METHOD(call_center)
{
    return pad_method(run, self, arguments, PAD_LEFT | PAD_RIGHT, out);
}

METHOD(call_ljust)
{
    return pad_method(run, self, arguments, PAD_RIGHT, out);
}

METHOD(call_rjust)
{
    return pad_method(run, self, arguments, PAD_LEFT, out);
}

METHOD(call_zfill)
{
    static const struct jinja_string zero = {.bytes = "0", .length = 1, .origin = ORIGIN_TEMPLATE, .n_characters = 1};
    int64_t width;
    struct jinja_string *string = self.as.string;
    if (!jinja_to_int(run, arguments[0], "the width", &width))
        return false;
    int64_t missing = width > jinja_string_count(string) ? width - jinja_string_count(string) : 0;
    size_t sign = missing > 0 && string->length && (string->bytes[0] == '+' || string->bytes[0] == '-');
    struct jinja_value rest;
    if (!jinja_substring(run, string, sign, string->length, &rest) || !jinja_pad(run, rest.as.string, missing > 0 ? missing : 0, 0, &zero, out))
        return false;
    if (!sign)
        return true;
    struct jinja_string *padded = out->as.string;
    return jinja_build(run) && jinja_append_slice(run, string, 0, 1) && jinja_append_string(run, padded) && jinja_built(run, out);
}

/* --- searching and replacing --- */

bool jinja_replace(struct jinja_run *run, const struct jinja_string *string, const struct jinja_string *old, const struct jinja_string *new_text, int64_t count,
                   struct jinja_value *out)
{
    size_t done = 0;
    if (!jinja_build(run))
        return false;
    for (int64_t n = 0; count < 0 || n < count; n++) {
        int64_t found = jinja_string_find(run, string, old, old->length || !n ? done : done + 1, string->length);
        if (!old->length && found >= 0)
            while ((size_t)found < string->length && ((unsigned char)string->bytes[found] & 0xC0) == 0x80)
                found++;
        if (found < 0)
            break;
        if (!jinja_step(run, 1) || !jinja_append_slice(run, string, done, (size_t)found) || !jinja_append_string(run, new_text))
            return false;
        done = (size_t)found + old->length;
    }
    if (!jinja_append_slice(run, string, done, string->length) || !jinja_built(run, out))
        return false;
    out->as.string->markup = string->markup;
    return true;
}

METHOD(call_replace)
{
    struct jinja_string *old = need_text(run, arguments[0]), *new_text = old ? need_text(run, arguments[1]) : NULL;
    int64_t count = -1;
    if (!new_text || (arguments[2].kind != JINJA_MISSING && !jinja_to_int(run, arguments[2], "the count", &count)))
        return false;
    if (self.as.string->markup && !new_text->markup) { /* markupsafe escapes what is put into markup */
        struct jinja_value escaped;
        if (!jinja_build(run) || !jinja_append_escaped(run, new_text) || !jinja_built(run, &escaped))
            return false;
        new_text = escaped.as.string;
    }
    return jinja_replace(run, self.as.string, old, new_text, count, out);
}

/* start and end arguments of find, count, startswith, ...: byte positions. False with run->code 0: the range is empty in a way that nothing is found. */
static bool search_range(struct jinja_run *run, struct jinja_string *string, const struct jinja_value *bounds, size_t *from, size_t *to, bool *possible)
{
    int64_t length = jinja_string_count(string), start = 0, end = length;
    if ((is_given(bounds[0]) && !jinja_to_int(run, bounds[0], "the start", &start)) || (is_given(bounds[1]) && !jinja_to_int(run, bounds[1], "the end", &end)))
        return false;
    start = start < 0 ? start + length < 0 ? 0 : start + length : start;
    end = end < 0 ? end + length < 0 ? 0 : end + length : end > length ? length : end;
    *possible = start <= end && start <= length;
    *from = *possible ? jinja_string_offset(string, start) : 0;
    *to = *possible ? jinja_string_offset(string, end) : 0;
    return true;
}

static int64_t find_last(struct jinja_run *run, const struct jinja_string *string, const struct jinja_string *needle, size_t from, size_t to)
{
    run->steps += (to - from) / 16;
    for (size_t at = to; at >= from + needle->length; at--) {
        size_t begin = at - needle->length;
        if (memcmp(string->bytes + begin, needle->bytes, needle->length) == 0)
            return (int64_t)begin;
        if (at == 0)
            break;
    }
    return -1;
}

static bool find_method(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, bool last, bool must_be_there,
                        struct jinja_value *out)
{
    struct jinja_string *needle = need_text(run, arguments[0]), *string = self.as.string;
    size_t from, to;
    bool possible;
    if (!needle || !search_range(run, string, arguments + 1, &from, &to, &possible))
        return false;
    int64_t found = !possible || needle->length > to - from ? -1
                    : last                                  ? find_last(run, string, needle, from, to)
                                                            : jinja_string_find(run, string, needle, from, to);
    if (found < 0 && must_be_there)
        return jinja_fail(run, SAMPAN_EINVAL, "substring not found");
    int64_t character = found < 0 ? -1 : 0;
    for (int64_t i = 0; i < found; i++)
        character += ((unsigned char)string->bytes[i] & 0xC0) != 0x80;
    *out = jinja_int(character);
    return true;
}

METHOD(call_find)
{
    return find_method(run, self, arguments, false, false, out);
}

METHOD(call_rfind)
{
    return find_method(run, self, arguments, true, false, out);
}

METHOD(call_index)
{
    return find_method(run, self, arguments, false, true, out);
}

METHOD(call_rindex)
{
    return find_method(run, self, arguments, true, true, out);
}

METHOD(call_count)
{
    struct jinja_string *needle = need_text(run, arguments[0]), *string = self.as.string;
    size_t from, to;
    bool possible;
    if (!needle || !search_range(run, string, arguments + 1, &from, &to, &possible))
        return false;
    int64_t count = 0;
    if (possible && !needle->length) {
        count = 1;
        for (size_t i = from; i < to; i++)
            count += ((unsigned char)string->bytes[i] & 0xC0) != 0x80;
    }
    while (possible && needle->length) {
        int64_t found = jinja_string_find(run, string, needle, from, to);
        if (found < 0)
            break;
        if (!jinja_step(run, 1))
            return false;
        count++;
        from = (size_t)found + needle->length;
    }
    *out = jinja_int(count);
    return true;
}

static bool has_affix(const struct jinja_string *string, const struct jinja_string *affix, size_t from, size_t to, bool at_end)
{
    if (affix->length > to - from)
        return false;
    return memcmp(string->bytes + (at_end ? to - affix->length : from), affix->bytes, affix->length) == 0;
}

static bool affix_method(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, bool at_end, struct jinja_value *out)
{
    size_t from, to;
    bool possible, found = false;
    if (!search_range(run, self.as.string, arguments + 1, &from, &to, &possible))
        return false;
    size_t count = arguments[0].kind == JINJA_TUPLE ? arguments[0].as.list->count : 1;
    for (size_t i = 0; i < count && !found; i++) {
        struct jinja_string *affix = need_text(run, arguments[0].kind == JINJA_TUPLE ? arguments[0].as.list->items[i] : arguments[0]);
        if (!affix)
            return false;
        found = possible && has_affix(self.as.string, affix, from, to, at_end);
    }
    *out = jinja_bool(found);
    return true;
}

METHOD(call_startswith)
{
    return affix_method(run, self, arguments, false, out);
}

METHOD(call_endswith)
{
    return affix_method(run, self, arguments, true, out);
}

METHOD(call_removeprefix)
{
    struct jinja_string *affix = need_text(run, arguments[0]), *string = self.as.string;
    return affix && jinja_substring(run, string, has_affix(string, affix, 0, string->length, false) ? affix->length : 0, string->length, out);
}

METHOD(call_removesuffix)
{
    struct jinja_string *affix = need_text(run, arguments[0]), *string = self.as.string;
    return affix && jinja_substring(run, string, 0, string->length - (has_affix(string, affix, 0, string->length, true) ? affix->length : 0), out);
}

/* --- splitting and joining --- */

static bool add_part(struct jinja_run *run, const struct jinja_string *string, size_t from, size_t to, struct jinja_list *list)
{
    struct jinja_value part;
    return jinja_step(run, 1) && jinja_substring(run, string, from, to, &part) && jinja_list_append(run, list, part);
}

static bool split_on_space(struct jinja_run *run, const struct jinja_string *string, int64_t limit, struct jinja_list *list)
{
    size_t at = 0, begin = 0;
    bool in_word = false;
    while (at < string->length) {
        uint32_t c;
        size_t here = at;
        at += (size_t)jinja_string_decode(string, at, &c);
        bool space = unicode_is_space(c);
        if (!space && !in_word) {
            begin = here;
            in_word = true;
            if (limit >= 0 && (int64_t)list->count >= limit) /* the rest, as it is */
                return add_part(run, string, begin, string->length, list);
        } else if (space && in_word) {
            in_word = false;
            if (!add_part(run, string, begin, here, list))
                return false;
        }
    }
    return !in_word || add_part(run, string, begin, string->length, list);
}

static bool split_on(struct jinja_run *run, const struct jinja_string *string, const struct jinja_string *separator, int64_t limit, struct jinja_list *list)
{
    size_t done = 0;
    while (limit < 0 || (int64_t)list->count < limit) {
        int64_t found = jinja_string_find(run, string, separator, done, string->length);
        if (found < 0)
            break;
        if (!add_part(run, string, done, (size_t)found, list))
            return false;
        done = (size_t)found + separator->length;
    }
    return add_part(run, string, done, string->length, list);
}

static void reverse_list(struct jinja_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        struct jinja_value other = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = other;
    }
}

/* From the right, so that with a limit the left part stays whole. */
static bool split_right_on(struct jinja_run *run, const struct jinja_string *string, const struct jinja_string *separator, int64_t limit,
                           struct jinja_list *list)
{
    size_t end = string->length;
    while (limit < 0 || (int64_t)list->count < limit) {
        int64_t found = find_last(run, string, separator, 0, end);
        if (found < 0)
            break;
        if (!add_part(run, string, (size_t)found + separator->length, end, list))
            return false;
        end = (size_t)found;
    }
    if (!add_part(run, string, 0, end, list))
        return false;
    reverse_list(list);
    return true;
}

static bool split_right_on_space(struct jinja_run *run, const struct jinja_string *string, int64_t limit, struct jinja_list *list)
{
    size_t end = string->length;
    while (end > 0) {
        uint32_t c;
        size_t begin = step_back(string, end), from;
        jinja_string_decode(string, begin, &c);
        if (unicode_is_space(c)) {
            end = begin;
            continue;
        }
        from = begin;
        bool rest = limit >= 0 && (int64_t)list->count >= limit;
        while (from > 0) {
            size_t before = step_back(string, from);
            jinja_string_decode(string, before, &c);
            if (unicode_is_space(c) && !rest)
                break;
            from = before;
        }
        if (!add_part(run, string, from, end, list))
            return false;
        if (rest)
            break;
        end = from;
    }
    reverse_list(list);
    return true;
}

static bool split_method(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, bool right, struct jinja_value *out)
{
    struct jinja_list *list;
    int64_t limit = -1;
    const struct jinja_string *separator = NULL;
    if (arguments[1].kind != JINJA_MISSING && !jinja_to_int(run, arguments[1], "maxsplit", &limit))
        return false;
    if ((is_given(arguments[0]) && !(separator = need_text(run, arguments[0]))) || !jinja_list_make(run, 4, &list))
        return false;
    if (separator && !separator->length)
        return jinja_fail(run, SAMPAN_EINVAL, "empty separator");
    bool done;
    if (!separator)
        done = right && limit >= 0 ? split_right_on_space(run, self.as.string, limit, list) : split_on_space(run, self.as.string, limit, list);
    else
        done = right && limit >= 0 ? split_right_on(run, self.as.string, separator, limit, list) : split_on(run, self.as.string, separator, limit, list);
    *out = (struct jinja_value){.kind = JINJA_LIST, .as.list = list};
    return done;
}

METHOD(call_split)
{
    return split_method(run, self, arguments, false, out);
}

METHOD(call_rsplit)
{
    return split_method(run, self, arguments, true, out);
}

bool jinja_split_lines(struct jinja_run *run, const struct jinja_string *string, bool keep_ends, struct jinja_list **list)
{
    size_t begin = 0;
    if (!jinja_list_make(run, 4, list))
        return false;
    for (size_t at = 0; at < string->length;) {
        uint32_t c;
        size_t end = at;
        at += (size_t)jinja_string_decode(string, at, &c);
        if (!unicode_is_line_break(c))
            continue;
        if (c == '\r' && at < string->length && string->bytes[at] == '\n')
            at++;
        if (!add_part(run, string, begin, keep_ends ? at : end, *list))
            return false;
        begin = at;
    }
    return begin == string->length || add_part(run, string, begin, string->length, *list);
}

METHOD(call_splitlines)
{
    struct jinja_list *list;
    if (!jinja_split_lines(run, self.as.string, arguments[0].kind != JINJA_MISSING && jinja_is_true(arguments[0]), &list))
        return false;
    *out = (struct jinja_value){.kind = JINJA_LIST, .as.list = list};
    return true;
}

static bool partition_method(struct jinja_run *run, struct jinja_value self, struct jinja_value separator, bool last, struct jinja_value *out)
{
    struct jinja_string *needle = need_text(run, separator), *string = self.as.string;
    struct jinja_list *list;
    if (!needle || !jinja_list_make(run, 3, &list))
        return false;
    if (!needle->length)
        return jinja_fail(run, SAMPAN_EINVAL, "empty separator");
    int64_t found = last ? find_last(run, string, needle, 0, string->length) : jinja_string_find(run, string, needle, 0, string->length);
    size_t cut = found >= 0 ? (size_t)found : last ? 0 : string->length, behind = found >= 0 ? cut + needle->length : cut;
    *out = (struct jinja_value){.kind = JINJA_TUPLE, .as.list = list};
    return add_part(run, string, 0, cut, list) && add_part(run, string, cut, behind, list) && add_part(run, string, behind, string->length, list);
}

METHOD(call_partition)
{
    return partition_method(run, self, arguments[0], false, out);
}

METHOD(call_rpartition)
{
    return partition_method(run, self, arguments[0], true, out);
}

METHOD(call_join)
{
    struct jinja_list *items;
    if (!jinja_to_list(run, arguments[0], &items) || !jinja_build(run))
        return false;
    for (size_t i = 0; i < items->count; i++) {
        struct jinja_string *item = need_text(run, items->items[i]);
        if (!item || (i && !jinja_append_string(run, self.as.string)) || !jinja_append_string(run, item))
            return false;
    }
    return jinja_built(run, out);
}

METHOD(call_expandtabs)
{
    int64_t width = 8, column = 0;
    struct jinja_string *string = self.as.string;
    if ((arguments[0].kind != JINJA_MISSING && !jinja_to_int(run, arguments[0], "tabsize", &width)) || !jinja_build(run))
        return false;
    for (size_t at = 0; at < string->length;) {
        uint32_t c;
        size_t begin = at;
        at += (size_t)jinja_string_decode(string, at, &c);
        int64_t spaces = c == '\t' && width > 0 ? width - column % width : 0;
        for (int64_t i = 0; i < spaces; i++)
            if (!jinja_step(run, 1) || !jinja_append(run, " ", 1, jinja_origin_at(string, begin)))
                return false;
        if (c != '\t' && !jinja_append_slice(run, string, begin, at))
            return false;
        column = c == '\n' || c == '\r' ? 0 : c == '\t' ? column + spaces : column + 1;
    }
    return jinja_built(run, out);
}

/* --- questions --- */

bool jinja_string_is_case(const struct jinja_string *string, bool upper)
{
    bool cased = false;
    for (size_t at = 0; at < string->length;) {
        uint32_t c;
        at += (size_t)jinja_string_decode(string, at, &c);
        if (unicode_is(c, upper ? UNICODE_LOWERCASE : UNICODE_UPPERCASE) || unicode_is(c, UNICODE_TITLECASE))
            return false;
        cased = cased || unicode_is(c, upper ? UNICODE_UPPERCASE : UNICODE_LOWERCASE);
    }
    return cased;
}

/* Not empty, and every character is of one of the classes; or, without classes, white space. */
static bool all_are(struct jinja_run *run, const struct jinja_string *string, const int *classes, int n_classes, struct jinja_value *out)
{
    bool all = string->length > 0;
    for (size_t at = 0; all && at < string->length;) {
        uint32_t c;
        at += (size_t)jinja_string_decode(string, at, &c);
        bool fits = n_classes == 0 && unicode_is_space(c);
        for (int i = 0; i < n_classes && !fits; i++)
            fits = unicode_is(c, (enum unicode_class)classes[i]);
        all = fits;
    }
    *out = jinja_bool(all);
    return jinja_step(run, string->length / 8);
}

#define CLASS_METHOD(name, n, ...)                                                                                                                             \
    METHOD(name)                                                                                                                                               \
    {                                                                                                                                                          \
        static const int classes[] = {__VA_ARGS__};                                                                                                            \
        (void)arguments;                                                                                                                                       \
        return all_are(run, self.as.string, classes, n, out);                                                                                                  \
    }
CLASS_METHOD(call_isspace, 0, 0)
CLASS_METHOD(call_isalpha, 1, UNICODE_ALPHABETIC)
CLASS_METHOD(call_isdigit, 1, UNICODE_DIGIT)
CLASS_METHOD(call_isdecimal, 1, UNICODE_DECIMAL)
CLASS_METHOD(call_isnumeric, 1, UNICODE_NUMERIC)
CLASS_METHOD(call_isalnum, 4, UNICODE_ALPHABETIC, UNICODE_DECIMAL, UNICODE_DIGIT, UNICODE_NUMERIC)

METHOD(call_isupper)
{
    (void)run;
    (void)arguments;
    *out = jinja_bool(jinja_string_is_case(self.as.string, true));
    return true;
}

METHOD(call_islower)
{
    (void)run;
    (void)arguments;
    *out = jinja_bool(jinja_string_is_case(self.as.string, false));
    return true;
}

METHOD(call_isascii)
{
    (void)run;
    (void)arguments;
    bool ascii = true;
    for (size_t i = 0; i < self.as.string->length; i++)
        ascii = ascii && (unsigned char)self.as.string->bytes[i] < 0x80;
    *out = jinja_bool(ascii);
    return true;
}

static bool call_format(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    return jinja_format_braces(run, self.as.string, arguments, out);
}

/* --- lists, dicts, cyclers --- */

METHOD(call_list_index)
{
    for (size_t i = 0; i < self.as.list->count; i++) {
        bool equal;
        if (!jinja_equal(run, self.as.list->items[i], arguments[0], &equal))
            return false;
        if (equal) {
            *out = jinja_int((int64_t)i);
            return true;
        }
    }
    return jinja_fail(run, SAMPAN_EINVAL, "list.index(x): x not in list");
}

METHOD(call_list_count)
{
    int64_t count = 0;
    for (size_t i = 0; i < self.as.list->count; i++) {
        bool equal;
        if (!jinja_equal(run, self.as.list->items[i], arguments[0], &equal))
            return false;
        count += equal;
    }
    *out = jinja_int(count);
    return true;
}

METHOD(call_copy) /* nothing can be changed, so a copy is the thing itself */
{
    (void)run;
    (void)arguments;
    *out = self;
    return true;
}

METHOD(call_get)
{
    const struct jinja_value *found;
    if (!jinja_dict_get(run, self.as.dict, arguments[0], &found))
        return false;
    *out = found ? *found : arguments[1].kind != JINJA_MISSING ? arguments[1] : jinja_none();
    return true;
}

static bool make_view(struct jinja_run *run, struct jinja_value self, enum jinja_view_kind which, struct jinja_value *out)
{
    struct jinja_view *view = jinja_alloc(run, 1, sizeof *view);
    if (!view)
        return false;
    *view = (struct jinja_view){.dict = self.as.dict, .which = which};
    *out = (struct jinja_value){.kind = JINJA_VIEW, .as.view = view};
    return true;
}

METHOD(call_keys)
{
    (void)arguments;
    return make_view(run, self, JINJA_VIEW_KEYS, out);
}

METHOD(call_values)
{
    (void)arguments;
    return make_view(run, self, JINJA_VIEW_VALUES, out);
}

METHOD(call_items)
{
    (void)arguments;
    return make_view(run, self, JINJA_VIEW_ITEMS, out);
}

METHOD(call_next)
{
    struct jinja_iterator *cycler = self.as.cycler;
    (void)run;
    (void)arguments;
    *out = cycler->items->items[cycler->position];
    cycler->position = (cycler->position + 1) % cycler->items->count;
    return true;
}

METHOD(call_reset)
{
    (void)run;
    (void)arguments;
    self.as.cycler->position = 0;
    *out = jinja_none();
    return true;
}

/* --- tables --- */

static const struct jinja_builtin string_methods[] = {
    {"strip", ".", 0, call_strip, NULL},
    {"lstrip", ".", 0, call_lstrip, NULL},
    {"rstrip", ".", 0, call_rstrip, NULL},
    {"split", "sep maxsplit", 0, call_split, NULL},
    {"rsplit", "sep maxsplit", 0, call_rsplit, NULL},
    {"splitlines", "keepends", 0, call_splitlines, NULL},
    {"partition", ".", 1, call_partition, NULL},
    {"rpartition", ".", 1, call_rpartition, NULL},
    {"join", ".", 1, call_join, NULL},
    {"replace", ". . .", 2, call_replace, NULL},
    {"startswith", ". . .", 1, call_startswith, NULL},
    {"endswith", ". . .", 1, call_endswith, NULL},
    {"removeprefix", ".", 1, call_removeprefix, NULL},
    {"removesuffix", ".", 1, call_removesuffix, NULL},
    {"find", ". . .", 1, call_find, NULL},
    {"rfind", ". . .", 1, call_rfind, NULL},
    {"index", ". . .", 1, call_index, NULL},
    {"rindex", ". . .", 1, call_rindex, NULL},
    {"count", ". . .", 1, call_count, NULL},
    {"upper", "", 0, call_upper, NULL},
    {"lower", "", 0, call_lower, NULL},
    {"title", "", 0, call_title, NULL},
    {"capitalize", "", 0, call_capitalize, NULL},
    {"swapcase", "", 0, call_swapcase, NULL},
    {"casefold", "", 0, call_casefold, NULL},
    {"center", ". .", 1, call_center, NULL},
    {"ljust", ". .", 1, call_ljust, NULL},
    {"rjust", ". .", 1, call_rjust, NULL},
    {"zfill", ".", 1, call_zfill, NULL},
    {"expandtabs", "tabsize", 0, call_expandtabs, NULL},
    {"isspace", "", 0, call_isspace, NULL},
    {"isalpha", "", 0, call_isalpha, NULL},
    {"isdigit", "", 0, call_isdigit, NULL},
    {"isdecimal", "", 0, call_isdecimal, NULL},
    {"isnumeric", "", 0, call_isnumeric, NULL},
    {"isalnum", "", 0, call_isalnum, NULL},
    {"isupper", "", 0, call_isupper, NULL},
    {"islower", "", 0, call_islower, NULL},
    {"isascii", "", 0, call_isascii, NULL},
    {"format", NULL, 0, NULL, call_format},
    {0},
};

static const struct jinja_builtin list_methods[] = {
    {"index", ".", 1, call_list_index, NULL},
    {"count", ".", 1, call_list_count, NULL},
    {"copy", "", 0, call_copy, NULL},
    {0},
};

static const struct jinja_builtin dict_methods[] = {
    {"get", ". .", 1, call_get, NULL},  {"keys", "", 0, call_keys, NULL}, {"values", "", 0, call_values, NULL},
    {"items", "", 0, call_items, NULL}, {"copy", "", 0, call_copy, NULL}, {0},
};

static const struct jinja_builtin cycler_methods[] = {{"next", "", 0, call_next, NULL}, {"reset", "", 0, call_reset, NULL}, {0}};

static bool is_among(const struct jinja_string *name, const char *const *words)
{
    for (; *words; words++)
        if (jinja_string_is(name, *words))
            return true;
    return false;
}

const struct jinja_builtin *jinja_find_method(enum jinja_kind kind, const struct jinja_string *name, bool *forbidden)
{
    static const char *const of_lists[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove", NULL};
    static const char *const of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    const struct jinja_builtin *table = kind == JINJA_STRING                        ? string_methods
                                        : kind == JINJA_LIST || kind == JINJA_TUPLE ? list_methods
                                        : kind == JINJA_DICT                        ? dict_methods
                                        : kind == JINJA_CYCLER                      ? cycler_methods
                                                                                    : NULL;
    *forbidden = (kind == JINJA_LIST && is_among(name, of_lists)) || (kind == JINJA_DICT && is_among(name, of_dicts));
    for (; table && table->name; table++)
        if (jinja_string_is(name, table->name) && !(kind == JINJA_TUPLE && table->call == call_copy))
            return table;
    return NULL;
}

bool jinja_method_is_missing(const struct jinja_string *name)
{
    static const char *const words[] = {"encode",           "decode",     "translate", "maketrans",  "format_map", "isidentifier",
                                        "isprintable",      "istitle",    "fromkeys",  "bit_length", "to_bytes",   "from_bytes",
                                        "as_integer_ratio", "is_integer", "hex",       "conjugate",  NULL};
    return is_among(name, words);
}
