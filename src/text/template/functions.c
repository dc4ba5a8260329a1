/* Matching arguments to parameters, and the functions that every template can call. */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "text/template/builtins.h"
#include "text/template/operate.h"

static int64_t fixed_time = -1;

void jinja_fix_time(int64_t seconds)
{
    fixed_time = seconds;
}

/* The number of the parameter called `name`, or -1. */
static int find_parameter(const char *parameters, const struct jinja_string *name)
{
    int n = 0;
    for (const char *at = parameters; *at; n++) {
        size_t length = strcspn(at, " ");
        if (length == name->length && *at != '.' && memcmp(at, name->bytes, length) == 0)
            return n;
        at += length + (at[length] == ' ');
    }
    return -1;
}

static size_t count_parameters(const char *parameters)
{
    size_t n = *parameters != '\0';
    for (const char *at = parameters; *at; at++)
        n += *at == ' ';
    return n;
}

bool jinja_call_builtin(struct jinja_run *run, const struct jinja_builtin *builtin, struct jinja_value self, const struct jinja_arguments *arguments,
                        struct jinja_value *out)
{
    if (builtin->call_with)
        return builtin->call_with(run, self, arguments, out);
    const char *parameters = builtin->parameters ? builtin->parameters : "";
    size_t n_parameters = count_parameters(parameters);
    struct jinja_value matched[JINJA_MAX_PARAMETERS] = {{.kind = JINJA_MISSING}};
    if (arguments->n_positional > n_parameters)
        return jinja_fail(run, SAMPAN_EINVAL, "%s takes %zu arguments, %zu given", builtin->name, n_parameters, arguments->n_positional);
    for (size_t i = 0; i < arguments->n_positional; i++)
        matched[i] = arguments->positional[i];
    for (size_t i = 0; arguments->keywords && i < arguments->keywords->count; i++) {
        const struct jinja_entry *entry = &arguments->keywords->entries[i];
        int parameter = find_parameter(parameters, entry->key.as.string);
        if (parameter < 0)
            return jinja_fail(run, SAMPAN_EINVAL, "%s takes no keyword argument '%.*s'", builtin->name, JINJA_TEXT(entry->key.as.string));
        if (matched[parameter].kind != JINJA_MISSING)
            return jinja_fail(run, SAMPAN_EINVAL, "%s was given its argument '%.*s' twice", builtin->name, JINJA_TEXT(entry->key.as.string));
        matched[parameter] = entry->value;
    }
    for (int i = 0; i < builtin->required; i++)
        if (matched[i].kind == JINJA_MISSING)
            return jinja_fail(run, SAMPAN_EINVAL, "%s needs %d argument%s", builtin->name, builtin->required, builtin->required == 1 ? "" : "s");
    return builtin->call(run, self, matched, out);
}

static bool call_raise_exception(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out)
{
    struct jinja_string *message;
    (void)self;
    (void)out;
    if (!jinja_to_string(run, arguments[0], &message))
        return false;
    return jinja_fail(run, SAMPAN_EINVAL, "the template refuses: %.*s", (int)(message->length < 800 ? message->length : 800), message->bytes);
}

static bool call_strftime_now(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out)
{
    char format[256], text[1024];
    struct tm parts;
    (void)self;
    const struct jinja_string *wanted = arguments[0].as.string;
    if (arguments[0].kind != JINJA_STRING)
        return jinja_fail(run, SAMPAN_EINVAL, "strftime_now needs a string");
    if (wanted->length >= sizeof format || memchr(wanted->bytes, '\0', wanted->length))
        return jinja_fail(run, SAMPAN_ELIMIT, "strftime_now: a format of %zu bytes, expected at most %zu without NUL", wanted->length, sizeof format - 1);
    memcpy(format, wanted->bytes, wanted->length);
    format[wanted->length] = '\0';
    time_t now = fixed_time >= 0 ? (time_t)fixed_time : time(NULL);
    if (!(fixed_time >= 0 ? gmtime_r(&now, &parts) : localtime_r(&now, &parts)))
        return jinja_fail(run, SAMPAN_EINTERNAL, "the time of day is not known");
    size_t length = strftime(text, sizeof text, format, &parts);
    return jinja_string_copy(run, text, length, (enum text_origin)wanted->origin, out);
}

static bool call_range(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out)
{
    enum { MAX_RANGE = 100000 }; /* jinja2's sandbox has this limit */
    struct jinja_range range = {0, 0, 1};
    bool one = arguments[1].kind == JINJA_MISSING;
    (void)self;
    if (!jinja_to_int(run, arguments[0], "range's argument", one ? &range.stop : &range.start) ||
        (!one && !jinja_to_int(run, arguments[1], "range's argument", &range.stop)))
        return false;
    if (arguments[2].kind != JINJA_MISSING && !jinja_to_int(run, arguments[2], "range's argument", &range.step))
        return false;
    if (range.step == 0)
        return jinja_fail(run, SAMPAN_EINVAL, "range() arg 3 must not be zero");
    int64_t length = jinja_range_length(&range);
    if (length > MAX_RANGE || length < 0)
        return jinja_fail(run, SAMPAN_ELIMIT, "range too big: more than %d items", MAX_RANGE);
    struct jinja_range *made = jinja_alloc(run, 1, sizeof *made);
    if (!made)
        return false;
    *made = range;
    *out = (struct jinja_value){.kind = JINJA_RANGE, .as.range = made};
    return true;
}

/* dict(mapping or pairs, **keywords) */
static bool fill_dict(struct jinja_run *run, const struct jinja_arguments *arguments, struct jinja_dict *dict)
{
    if (arguments->n_positional > 1)
        return jinja_fail(run, SAMPAN_EINVAL, "dict expected at most 1 argument, got %zu", arguments->n_positional);
    struct jinja_value from = arguments->n_positional ? arguments->positional[0] : (struct jinja_value){.kind = JINJA_MISSING};
    const struct jinja_dict *sources[] = {from.kind == JINJA_DICT ? from.as.dict : NULL, arguments->keywords};
    if (from.kind != JINJA_MISSING && from.kind != JINJA_DICT) {
        struct jinja_list *pairs, *pair;
        if (!jinja_to_list(run, from, &pairs))
            return false;
        for (size_t i = 0; i < pairs->count; i++) {
            if (!jinja_to_list(run, pairs->items[i], &pair))
                return false;
            if (pair->count != 2)
                return jinja_fail(run, SAMPAN_EINVAL, "dict: an item has %zu parts, expected a key and a value", pair->count);
            if (!jinja_dict_put(run, dict, pair->items[0], pair->items[1]))
                return false;
        }
    }
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; sources[s] && i < sources[s]->count; i++)
            if (!jinja_dict_put(run, dict, sources[s]->entries[i].key, sources[s]->entries[i].value))
                return false;
    return true;
}

static bool call_dict(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_dict *dict;
    (void)self;
    if (!jinja_dict_make(run, 0, &dict) || !fill_dict(run, arguments, dict))
        return false;
    *out = (struct jinja_value){.kind = JINJA_DICT, .as.dict = dict};
    return true;
}

static bool call_namespace(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    if (!call_dict(run, self, arguments, out))
        return false;
    for (size_t i = 0; i < out->as.dict->count; i++) {
        struct jinja_value key = out->as.dict->entries[i].key;
        if (key.kind == JINJA_STRING && key.as.string->length && key.as.string->bytes[0] == '_')
            return jinja_fail(run, SAMPAN_EINVAL, "a namespace's attribute may not begin with an underscore");
    }
    out->kind = JINJA_NAMESPACE;
    return true;
}

static bool make_stateful(struct jinja_run *run, enum jinja_kind kind, struct jinja_list *items, struct jinja_value *out)
{
    struct jinja_iterator *iterator = jinja_alloc(run, 1, sizeof *iterator);
    if (!iterator)
        return false;
    iterator->items = items;
    *out = (struct jinja_value){.kind = kind, .as.cycler = iterator};
    return true;
}

static bool call_cycler(struct jinja_run *run, struct jinja_value self, const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_list *items;
    (void)self;
    if (!arguments->n_positional || arguments->keywords)
        return jinja_fail(run, SAMPAN_EINVAL, "cycler() needs at least one item");
    if (!jinja_list_make(run, 0, &items))
        return false;
    for (size_t i = 0; i < arguments->n_positional; i++)
        if (!jinja_list_append(run, items, arguments->positional[i]))
            return false;
    return make_stateful(run, JINJA_CYCLER, items, out);
}

static bool call_joiner(struct jinja_run *run, struct jinja_value self, const struct jinja_value *arguments, struct jinja_value *out)
{
    struct jinja_list *items;
    struct jinja_value nothing, separator = arguments[0];
    (void)self;
    if (!jinja_string_copy(run, "", 0, ORIGIN_TEMPLATE, &nothing) || !jinja_list_make(run, 2, &items))
        return false;
    if (separator.kind == JINJA_MISSING && !jinja_string_copy(run, ", ", 2, ORIGIN_TEMPLATE, &separator))
        return false;
    return jinja_list_append(run, items, nothing) && jinja_list_append(run, items, separator) && make_stateful(run, JINJA_JOINER, items, out);
}

static const struct jinja_builtin functions[] = {
    {"raise_exception", "message", 1, call_raise_exception, NULL},
    {"strftime_now", "format", 1, call_strftime_now, NULL},
    {"range", ". . .", 1, call_range, NULL},
    {"dict", NULL, 0, NULL, call_dict},
    {"namespace", NULL, 0, NULL, call_namespace},
    {"cycler", NULL, 0, NULL, call_cycler},
    {"joiner", "sep", 0, call_joiner, NULL},
};

const struct jinja_builtin *jinja_find_function(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strlen(functions[i].name) == length && memcmp(functions[i].name, name, length) == 0)
            return &functions[i];
    return NULL;
}
