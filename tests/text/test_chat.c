/* Where each byte of a prompt came from, and what a caller hears when something is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "text/chat.h"

/* Renders and draws the origins: the prompt's text, data in ( ), template text outside. */
static void expect_origins(const char *source, const char *variables, const char *expected)
{
    struct chat_template *chat_template;
    struct rendered_prompt prompt;
    struct error err = {0};
    struct buffer drawn;
    if (chat_template_create(source, strlen(source), "T", &chat_template, &err))
        fail_msg("%s", err.message);
    if (chat_template_render(chat_template, variables, strlen(variables), &prompt, &err))
        fail_msg("%s", err.message);
    buffer_init(&drawn, 1 << 20);
    size_t at = 0;
    for (size_t i = 0; i < prompt.n_spans; i++) {
        assert_true(prompt.spans[i].length > 0);
        assert_true(i == 0 || prompt.spans[i].origin != prompt.spans[i - 1].origin);
        if (prompt.spans[i].origin == ORIGIN_DATA)
            buffer_append_char(&drawn, '(');
        buffer_append(&drawn, prompt.text.data + at, prompt.spans[i].length);
        if (prompt.spans[i].origin == ORIGIN_DATA)
            buffer_append_char(&drawn, ')');
        at += prompt.spans[i].length;
    }
    assert_int_equal(at, prompt.text.length);
    assert_string_equal(drawn.data ? drawn.data : "", expected);
    buffer_free(&drawn);
    rendered_prompt_free(&prompt);
    chat_template_free(chat_template);
}

static void text_of_the_template_and_of_the_caller_are_told_apart(void **state)
{
    (void)state;
    expect_origins("<|a|>{{ x }}<|b|>", "{\"x\": \"<|a|>\"}", "<|a|>(<|a|>)<|b|>");
    expect_origins("{{ '<|' + x + '|>' }}", "{\"x\": \"user\"}", "<|(user)|>");
    expect_origins("{{ bos_token }}{{ x }}{{ eos_token }}", "{\"x\": \"d\", \"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}", "<s>(d)</s>");
    expect_origins("{{ x }}{{ y }}", "{\"x\": \"a\", \"y\": \"b\"}", "(ab)");
    expect_origins("{{ x }}", "{\"x\": \"\"}", "");
    expect_origins("a{{ x }}b", "{\"x\": \"\"}", "ab");
    expect_origins("{{ x }}{% for k in d %}{{ k }}{% endfor %}", "{\"x\": {\"bos_token\": \"a\"}, \"d\": {\"<|k|>\": 1}}", "({'bos_token': 'a'}<|k|>)");
    expect_origins("{{ x.bos_token }}", "{\"x\": {\"bos_token\": \"a\"}}", "(a)");
    expect_origins("{{ x_token }}", "{\"x_token\": \"<s>\"}", "(<s>)");
}

static void operations_keep_the_origin_of_what_they_copy(void **state)
{
    (void)state;
    const char *x = "{\"x\": \" ab-cd \", \"m\": [{\"r\": \"u\"}, {\"r\": \"v\"}]}";
    expect_origins("{{ ('<' ~ x ~ '>') | upper | replace('-', '+') }}", x, "<( AB)+(CD )>");
    expect_origins("{{ ('<' + x + '>')[1:4] }}", x, "( ab)");
    expect_origins("{{ ('<' + x + '>')[::-1] }}", x, ">( dc-ba )<");
    expect_origins("{{ ('<' + x | trim + '>')[:2] }}", x, "<(a)");
    expect_origins("{{ m | map(attribute='r') | join('|') }}", x, "(u)|(v)");
    expect_origins("{{ x.split('-') | join('-') }}", x, "( ab)-(cd )");
    expect_origins("{{ '%s|%5s' % (x | trim, 'q') }}", x, "(ab-cd)|    q");
    expect_origins("{{ '<{}>{:>7}'.format(x | trim, x | trim) }}", x, "<(ab-cd)>  (ab-cd)");
    expect_origins("{{ m | tojson }}", x, "([{\"r\": \"u\"}, {\"r\": \"v\"}])");
    expect_origins("{% set y %}<{{ x | trim }}>{% endset %}{{ y }}", x, "<(ab-cd)>");
    expect_origins("{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(m[0].r) }}", x, "<(u)>");
    expect_origins("{% filter upper %}a{{ m[0].r }}{% endfilter %}", x, "A(U)");
    expect_origins("{{ (x | trim | title).center(9, '*') }}", x, "**(Ab-Cd)**");
    expect_origins("{% for c in m[0].r + '!' %}{{ c }}{% endfor %}", x, "(u)!");
    expect_origins("{{ x | indent(2, true) | trim }}", x, "(ab-cd)");
    expect_origins("{{ '\\n'.join(['a', m[0].r]) | indent(2) }}", x, "a\n  (u)");
    expect_origins("{{ ('<' + m[0].r + '>') | escape }}", x, "&lt;(u)&gt;");
    expect_origins("{{ '[\"k\"]' | from_json | first }}", x, "(k)");
    expect_origins("{{ 1 }}{{ true }}{{ none }}", x, "1TrueNone");
}

static void errors_name_the_template_the_line_and_the_fault(void **state)
{
    (void)state;
    static const struct {
        const char *source, *variables;
        int code;
        const char *message;
    } cases[] = {
        {"\n\n{{ x.y.z }}", "{\"x\": {}}", SAMPAN_EINVAL, "T: line 3: 'dict object' has no attribute 'y'"},
        {"{{ nope + 1 }}", "{}", SAMPAN_EINVAL, "T: line 1: 'nope' is undefined"},
        {"\n{{ raise_exception('Roles must alternate!') }}", "{}", SAMPAN_EINVAL, "T: line 2: the template refuses: Roles must alternate!"},
        {"x", "{\"a\": }", SAMPAN_EFORMAT, "not valid JSON at line 1, column 7"},
        {"x", "{\"a\": 1, \"a\": 2}", SAMPAN_EFORMAT, "duplicate name 'a'"},
        {"x", "[]", SAMPAN_EINVAL, "not a JSON object"},
        {"x", "{\"a\": 123456789012345678901234567890}", SAMPAN_EFORMAT, "an integer beyond 64 bits"},
        {"{{ d.pop('a') }}", "{\"d\": {\"a\": 1}}", SAMPAN_EINVAL, "templates may not change values"},
        {"{{ 1 / 0 }}", "{}", SAMPAN_EINVAL, "division by zero"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chat_template *chat_template;
        struct rendered_prompt prompt;
        struct error err = {0};
        assert_int_equal(chat_template_create(cases[i].source, strlen(cases[i].source), "T", &chat_template, &err), 0);
        assert_int_equal(chat_template_render(chat_template, cases[i].variables, strlen(cases[i].variables), &prompt, &err), cases[i].code);
        assert_null(prompt.spans);
        assert_null(prompt.text.data);
        if (!strstr(err.message, cases[i].message))
            fail_msg("'%s', expected '%s'", err.message, cases[i].message);
        chat_template_free(chat_template);
    }
}

static void one_template_renders_again_and_again(void **state)
{
    (void)state;
    const char *source = "{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ x }}";
    struct chat_template *chat_template;
    struct error err;
    assert_int_equal(chat_template_create(source, strlen(source), "T", &chat_template, &err), 0);
    for (int i = 0; i < 3; i++) {
        struct rendered_prompt prompt;
        assert_int_equal(chat_template_render(chat_template, "{\"x\": 2}", 8, &prompt, &err), 0);
        assert_string_equal(prompt.text.data, "12");
        rendered_prompt_free(&prompt);
    }
    chat_template_free(chat_template);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_the_template_and_of_the_caller_are_told_apart),
        cmocka_unit_test(operations_keep_the_origin_of_what_they_copy),
        cmocka_unit_test(errors_name_the_template_the_line_and_the_fault),
        cmocka_unit_test(one_template_renders_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
