/* The template language against jinja2: goldens made by make_template_goldens.py, limits, hostile sources, memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/chat.h"
#include "text/template/builtins.h"

enum { FIXED_TIME = 1718454645 };

/* Renders; the code, and the text (to be freed with mem_free) or the message in err. */
static int render(const char *source, size_t length, const char *variables, char **text, size_t *text_length, struct error *err)
{
    struct chat_template *chat_template;
    struct rendered_prompt prompt;
    *text = NULL;
    *text_length = 0;
    int code = chat_template_create(source, length, "test", &chat_template, err);
    if (code)
        return code;
    code = chat_template_render(chat_template, variables, strlen(variables), &prompt, err);
    chat_template_free(chat_template);
    if (code)
        return code;
    *text = mem_strndup(prompt.text.data, prompt.text.length);
    *text_length = prompt.text.length;
    rendered_prompt_free(&prompt);
    return 0;
}

static json_t *load(const char *name)
{
    char path[500];
    json_error_t problem;
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, name);
    json_t *json = json_load_file(path, JSON_ALLOW_NUL, &problem);
    if (!json)
        fail_msg("%s: %s", path, problem.text);
    return json;
}

/* Compares with `expected` (JSON null: must fail); false and a line when they differ. */
static bool agrees(const char *source, size_t length, const char *variables, const json_t *expected)
{
    struct error err = {0};
    char *text;
    size_t text_length;
    int code = render(source, length, variables, &text, &text_length, &err);
    bool same = json_is_null(expected) ? code != 0 && err.message[0]
                                       : !code && text_length == json_string_length(expected) && !memcmp(text, json_string_value(expected), text_length);
    if (!same)
        print_error("template: %.*s\nvariables: %.300s\nexpected: %s\ngot: %s\n\n", (int)length, source, variables,
                    json_is_null(expected) ? "(an error)" : json_string_value(expected), code ? err.message : text);
    mem_free(text);
    return same;
}

static void the_language_means_what_it_means_to_jinja2(void **state)
{
    (void)state;
    json_t *cases = load("template_language.json"), *one;
    size_t i, wrong = 0;
    json_array_foreach(cases, i, one)
    {
        const json_t *source = json_array_get(one, 0);
        wrong += !agrees(json_string_value(source), json_string_length(source), json_string_value(json_array_get(one, 1)), json_array_get(one, 2));
    }
    assert_true(json_array_size(cases) > 1000);
    json_decref(cases);
    assert_int_equal(wrong, 0);
}

static void smollm2_prompts_are_those_of_transformers(void **state)
{
    (void)state;
    json_t *goldens = load("template_smollm2.json"), *cases = json_object_get(goldens, "cases"), *one;
    const json_t *source = json_object_get(goldens, "template");
    size_t i, wrong = 0;
    json_array_foreach(cases, i, one) wrong +=
        !agrees(json_string_value(source), json_string_length(source), json_string_value(json_array_get(one, 0)), json_array_get(one, 1));
    assert_true(json_array_size(cases) >= 40);
    json_decref(goldens);
    assert_int_equal(wrong, 0);
}

/* FNV-1a */
static uint64_t hash_text(const char *bytes, size_t length)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001B3u;
    return hash;
}

static bool published_agrees(const char *name, const char *source, size_t length, const char *variables, const char *expected)
{
    struct error err = {0};
    char *text, hash[20] = "";
    size_t text_length;
    int code = render(source, length, variables, &text, &text_length, &err);
    if (!code)
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hash_text(text, text_length));
    mem_free(text);
    bool same = strcmp(hash, expected) == 0;
    if (!same)
        print_error("%s with %.400s: %s\n", name, variables, code ? err.message : "another text than expected");
    return same;
}

static void published_templates_render_byte_for_byte(void **state)
{
    (void)state;
    const char *folder = getenv("SAMPAN_TEST_TEMPLATES");
    folder = folder ? folder : SOURCE_ROOT "/../shared/templates";
    if (!file_is_folder(folder)) {
        print_message("skipped: no folder %s (SAMPAN_TEST_TEMPLATES) with published templates\n", folder);
        skip();
    }
    json_t *goldens = load("template_published.json"), *conversations = json_object_get(goldens, "conversations"), *entry;
    const char *name;
    size_t wrong = 0, compared = 0;
    json_object_foreach(json_object_get(goldens, "templates"), name, entry)
    {
        char path[600], hash[20], *source;
        size_t length;
        struct error err;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (file_read_whole(path, 1 << 20, &source, &length, &err))
            continue;
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hash_text(source, length));
        for (size_t i = 0; strcmp(hash, json_string_value(json_object_get(entry, "source"))) == 0 && i < json_array_size(conversations); i++, compared++)
            wrong += !published_agrees(name, source, length, json_string_value(json_array_get(conversations, i)),
                                       json_string_value(json_array_get(json_object_get(entry, "outputs"), i)));
        mem_free(source);
    }
    json_decref(goldens);
    print_message("%zu prompts compared\n", compared);
    assert_int_equal(wrong, 0);
}

static void expect_failure(const char *source, int expected_code, const char *expected_words)
{
    struct error err = {0};
    char *text;
    size_t length;
    int code = render(source, strlen(source), "{\"s\": \"data\"}", &text, &length, &err);
    mem_free(text);
    if (code != expected_code || !strstr(err.message, expected_words))
        fail_msg("%.200s: code %d, '%s'; expected %d, '...%s...'", source, code, err.message, expected_code, expected_words);
}

static void the_unknown_is_refused_when_loaded_by_name_and_line(void **state)
{
    (void)state;
    struct chat_template *chat_template;
    struct error err;
    static const char *const sources[][2] = {
        {"a\n\n{{ 1 | frobnicate }}", "line 3: there is no filter named 'frobnicate'"},
        {"\n{% if x %}{{ 1 is frobbed }}{% endif %}", "line 2: there is no test named 'frobbed'"},
        {"\n{% frob %}", "line 2: there is no tag named 'frob'"},
        {"\n\n\n{{ frob(1) }}", "line 4: there is no function named 'frob'"},
        {"{% include 'x' %}", "line 1: the tag 'include' is not supported"},
        {"{% for x in y recursive %}{% endfor %}", "line 1: recursive for loops are not supported"},
        {"\n{{ x.encode('utf-8') }}", "line 2: the method 'encode' is not supported"},
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        assert_int_equal(chat_template_create(sources[i][0], strlen(sources[i][0]), "T", &chat_template, &err), SAMPAN_EUNSUPPORTED);
        assert_null(chat_template);
        if (!strstr(err.message, sources[i][1]))
            fail_msg("'%s', expected '%s'", err.message, sources[i][1]);
    }
    const char *guarded = "{% if frob is defined %}{{ frob(1) }}{% endif %}";
    assert_int_equal(chat_template_create(guarded, strlen(guarded), "T", &chat_template, &err), 0);
    chat_template_free(chat_template);
    assert_int_equal(chat_template_create("\xFF", 1, "T", &chat_template, &err), SAMPAN_EFORMAT);
}

static void a_template_that_loops_or_grows_ends_at_a_limit(void **state)
{
    (void)state;
    expect_failure("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", SAMPAN_ELIMIT, "steps");
    expect_failure("{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}", SAMPAN_ELIMIT, "grows without end");
    expect_failure("{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = n.l + n.l %}{% endfor %}", SAMPAN_ELIMIT, "");
    expect_failure("{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}", SAMPAN_ELIMIT, "");
    expect_failure(
        "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}",
        SAMPAN_ELIMIT, "");
    expect_failure("{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}", SAMPAN_ELIMIT, "deep");
    expect_failure("{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l | tojson }}", SAMPAN_ELIMIT, "deep");
    expect_failure("{% set n = namespace() %}{% set n.n = n %}{{ n }}", SAMPAN_ELIMIT, "deep");
    expect_failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", SAMPAN_ELIMIT, "deep");
    expect_failure("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", SAMPAN_ELIMIT, "deep");
    expect_failure("{{ 'a' * 999999999 }}", SAMPAN_ELIMIT, "");
    expect_failure("{{ [1] * 999999999 }}", SAMPAN_ELIMIT, "");
    expect_failure("{{ range(100001) }}", SAMPAN_ELIMIT, "range too big");
    expect_failure("{{ 2 ** 64 }}", SAMPAN_ELIMIT, "64 bits");
    expect_failure("{{ range(0, 9223372036854775807, 92233720368549)[::1] }}", SAMPAN_ELIMIT, "64 bits");
    expect_failure("{{ 'a' | center(99999999999) }}", SAMPAN_ELIMIT, "");
    expect_failure("{{ '%99999999d' % 1 }}", SAMPAN_ELIMIT, "width");
    expect_failure("{{ 'a' | indent(99999999999, true) }}", SAMPAN_ELIMIT, "");
    expect_failure("{% for i in range(99999) %}{{ 'a' * 10000 }}{% endfor %}", SAMPAN_ELIMIT, "");
}

/* count times `repeated`, between two texts */
static char *nest(const char *before, const char *repeated, size_t count, const char *after)
{
    struct buffer buffer;
    buffer_init(&buffer, 1 << 24);
    buffer_append_string(&buffer, before);
    for (size_t i = 0; i < count; i++)
        buffer_append_string(&buffer, repeated);
    buffer_append_string(&buffer, after);
    assert_int_equal(buffer.failed, 0);
    return buffer.data;
}

static void deep_nesting_does_not_reach_the_end_of_the_stack(void **state)
{
    (void)state;
    static const char *const repeated[] = {
        "(", "[", "{'a':", "-", "not ", "1 if 1 else ", "a[", "f(", "1 + ", "1 and ", "1 | ", "x.y", "a|upper", "a is defined and ", "1 ** ", "1 ~ ", "1 < "};
    for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++) {
        char *source = nest("{{ ", repeated[i], 20000, "1 }}"), *text;
        struct error err;
        size_t length;
        render(source, strlen(source), "{}", &text, &length, &err); /* any answer, but an answer */
        mem_free(text);
        mem_free(source);
    }
    static const char *const tags[] = {"{% if 1 %}",         "{% for x in [1] %}", "{% macro m() %}", "{% set x %}",
                                       "{% filter upper %}", "{% with %}",         "{% call m() %}"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        char *source = nest("", tags[i], 20000, "");
        expect_failure(source, SAMPAN_ELIMIT, "nested more than");
        mem_free(source);
    }
    struct chat_template *chat_template;
    struct rendered_prompt prompt;
    struct error err;
    assert_int_equal(chat_template_create("x", 1, "T", &chat_template, &err), 0);
    char *json = nest("{\"a\": ", "[", 20000, "");
    assert_int_equal(chat_template_render(chat_template, json, strlen(json), &prompt, &err), SAMPAN_ELIMIT);
    mem_free(json);
    json = nest("{\"a\": [{}", ",{}", 3000000, "]}");
    assert_int_equal(chat_template_render(chat_template, json, strlen(json), &prompt, &err), SAMPAN_ELIMIT);
    mem_free(json);
    chat_template_free(chat_template);
}

static void every_failing_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    static const char source[] =
        "{% macro m(a, b=2) %}[{{ a }}{{ caller() }}{{ kwargs }}]{% endmacro %}{% set ns = namespace(x='') %}{% for m_ in messages if m_.role %}"
        "{% set ns.x = ns.x + m_.content | upper | trim ~ loop.index %}{{ '<|' + m_.role + '|>' + m_['content'] }}{% endfor %}{% call m(1, z=3) %}{{ ns.x }}{% "
        "endcall %}"
        "{% set big %}{% for i in range(300) %}{{ s }}{{ i }}{% endfor %}{% endset %}{{ big | length }}{{ big | replace('1', s) }}{{ messages | "
        "tojson(indent=2) }}{{ [3, 1, 2] | sort }}"
        "{{ '%s %5d' % (s, 4) }}{{ '{:>9} {a}'.format(s, a=messages) }}{{ s.split('a') }}{{ messages | map(attribute='role') | join(',') | title }}{{ messages "
        "| groupby('role') }}";
    static const char variables[] =
        "{\"s\": \"data, \\u00e9\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"b\", \"content\": \"x\"}]}";
    int failures = 0;
    for (int64_t n = 0;; n++) {
        struct error err = {0};
        char *text;
        size_t length;
        mem_fail_after(n);
        int code = render(source, sizeof source - 1, variables, &text, &length, &err);
        mem_fail_after(-1);
        bool copied = text != NULL;
        mem_free(text);
        if (!code && copied)
            break;
        if (code && code != SAMPAN_ENOMEM)
            fail_msg("allocation %lld: code %d, %s", (long long)n, code, err.message);
        failures++;
    }
    assert_true(failures > 15);
}

static void a_failure_without_an_error_to_fill_is_still_a_failure(void **state)
{
    (void)state;
    struct chat_template *chat_template;
    struct rendered_prompt prompt;
    assert_int_equal(chat_template_create("{{ 'x", 5, "T", &chat_template, NULL), SAMPAN_EFORMAT);
    assert_int_equal(chat_template_create("{% if %}", 8, "T", &chat_template, NULL), SAMPAN_EFORMAT);
    assert_int_equal(chat_template_create("{{ x.y.z }}", 11, "T", &chat_template, NULL), 0);
    assert_int_equal(chat_template_render(chat_template, "{}", 2, &prompt, NULL), SAMPAN_EINVAL);
    assert_int_equal(chat_template_render(chat_template, "{", 1, &prompt, NULL), SAMPAN_EFORMAT);
    chat_template_free(chat_template);
}

int main(void)
{
    jinja_fix_time(FIXED_TIME);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_language_means_what_it_means_to_jinja2),
        cmocka_unit_test(smollm2_prompts_are_those_of_transformers),
        cmocka_unit_test(published_templates_render_byte_for_byte),
        cmocka_unit_test(the_unknown_is_refused_when_loaded_by_name_and_line),
        cmocka_unit_test(a_template_that_loops_or_grows_ends_at_a_limit),
        cmocka_unit_test(deep_nesting_does_not_reach_the_end_of_the_stack),
        cmocka_unit_test(every_failing_allocation_is_an_error_and_leaks_nothing),
        cmocka_unit_test(a_failure_without_an_error_to_fill_is_still_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
