/* Constrained output: what each kind of grammar accepts, what is refused and with which words, that masks of tokens say the same as the bytes do, that there
 * are no dead ends, and that hostile sources cost little. The JSON Schema cases come from compare_grammar.py, which asks the jsonschema library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/memory.h"
#include "support_vocabulary.h"
#include "text/grammar/automaton.h"

struct machine {
    struct grammar *grammar;
    struct grammar_automaton *automaton;
    int32_t start;
};

static int machine_open(struct machine *machine, enum grammar_kind kind, const char *source, const struct token_trie *trie, struct error *err)
{
    *machine = (struct machine){0};
    int status = grammar_compile(kind, source, strlen(source), &machine->grammar, err);
    status = status ? status : grammar_automaton_create(machine->grammar, trie, &machine->automaton, err);
    return status ? status : grammar_automaton_start(machine->automaton, &machine->start, err);
}

static void machine_close(struct machine *machine)
{
    grammar_automaton_free(machine->automaton);
    grammar_free(machine->grammar);
}

static bool accepts(struct machine *machine, const char *text, size_t length)
{
    int32_t state;
    assert_int_equal(grammar_automaton_advance(machine->automaton, machine->start, text, length, &state, NULL), 0);
    return grammar_automaton_may_end(machine->automaton, state);
}

/* ---- Languages. */

static const struct {
    enum grammar_kind kind;
    const char *source;
    const char *accepted[8], *rejected[8];
} languages[] = {
    {GRAMMAR_REGEX, "a+b|c{2,3}", {"ab", "aaab", "cc", "ccc"}, {"", "a", "c", "cccc", "abc"}},
    {GRAMMAR_REGEX, "\\d{3}-[a-f]*?(x|y)?", {"123-", "123-abcx", "000-y"}, {"12-", "123-g", "123-xy"}},
    {GRAMMAR_REGEX, "[^a-z]é.", {"Aéz", "1éü", "𝄞é𝄞"}, {"aéz", "Aé\n", "Aez"}},
    {GRAMMAR_REGEX, "^(ab|)$|^\\u00e4\\u{1D11E}$", {"ab", "", "ä𝄞"}, {"a", "abab"}},
    {GRAMMAR_REGEX, "(a{0}b{0,2}){2}", {"", "b", "bbbb"}, {"a", "bbbbb"}},
    {GRAMMAR_REGEX, "[\\w-]+@[\\w.]+\\.[a-z]{2,}", {"a-b@c.de", "x@y.z.org"}, {"a@b", "a b@c.de"}},
    {GRAMMAR_CHOICES, "[\"yes\", \"no\", \"maybe so\", \"ja\\n\"]", {"yes", "no", "maybe so", "ja\n"}, {"", "ye", "yesno"}},
    {GRAMMAR_GBNF,
     "# greetings\nroot ::= greeting (\", \" name)* \".\"\nname ::= [A-Z] [a-z]{1,5}\ngreeting ::= \"hello\" | \"good \" (\"day\"\n | \"morning\")\n | \"hi\"",
     {"hello.", "good morning, Al, Cy.", "hi, Bob."},
     {"hello", "good .", "hello, B.", "hello,Bob."}},
    {GRAMMAR_GBNF, "root ::= \"(\" root* \")\" | [^()\\x0A]", {"()", "(a(b)(()))", "é"}, {"", "(", "(\n)", "ab"}},
    {GRAMMAR_JSON_OBJECT,
     "",
     {"{}", "{\"a\": 1}", "{\"a\":[1,-2.5e3,{\"b\":null}], \"c\":\"x\\u00e9\\/\"}", "{\n  \"a\": true\n}"},
     {"", "[]", "{\"a\":1,}", "{\"a\":01}", "{a:1}", "{\"\\ud800\":1}", "{\"a\"\n:1}"}},
    {GRAMMAR_JSON_SCHEMA, "true", {"null", "[]", "\"\"", "0.5"}, {"", "nul", "'a'"}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":120},\"b\":{\"type\":\"string\",\"maxLength\":3}},"
     "\"required\":[\"b\"],\"additionalProperties\":false}",
     {"{\"b\":\"abc\"}", "{\"a\":-5,\"b\":\"\"}", "{ \"a\": 120, \"b\": \"é€𝄞\" }"},
     {"{}", "{\"a\":121,\"b\":\"\"}", "{\"a\":-6,\"b\":\"\"}", "{\"b\":\"abcd\"}", "{\"b\":\"\",\"a\":1}", "{\"b\":\"\",\"c\":1}"}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"number\"},\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},{\"type\":\"null\"}]}},"
     "\"required\":[\"v\",\"next\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/n\"}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1.5,\"next\":{\"v\":2e3,\"next\":{\"v\":0,\"next\":null}}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"number\",\"exclusiveMinimum\":-0.1,\"maximum\":12.34}",
     {"0", "-0.09", "12.34", "12.339999999", "3.5"},
     {"-0.1", "12.35", "13", "-1", "00"}},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10,\"maximum\":1000}", {"14", "21", "994"}, {"7", "20", "1001", "14.0"}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"ab\":{\"const\":1},\"abc\":{}},\"additionalProperties\":{\"type\":\"boolean\"}}",
     {"{\"ab\":1}", "{\"a\":true,\"abcd\":false,\"\":true}", "{\"abc\":[],\"b\":true}"},
     {"{\"ab\":true}", "{\"x\":1}"}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2024-02-29\"", "\"1999-12-31\"", "\"2000-02-29\""},
     {"\"2023-02-29\"", "\"1900-02-29\"", "\"2023-04-31\"", "\"0000-01-01\""}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"string\",\"pattern\":\"b.\",\"minLength\":3,\"maxLength\":4}",
     {"\"abc\"", "\"b\\\"\\\\\"", "\"bbbb\""},
     {"\"bc\"", "\"abcde\"", "\"aab\"", "\"aaa\""}},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"enum\":[\"a\",1,\"bb\"],\"maxLength\":1}", {"\"a\""}, {"1", "\"bb\""}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"properties\":{\"a\":{\"minimum\":3}}}]}",
     {"{\"a\":3}"},
     {"{\"a\":2}", "{}"}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"}},\"required\":[\"k\"]},{\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]},{\"type\":"
     "\"null\"}]}",
     {"{\"k\":\"a\"}", "{\"k\":\"b\"}", "null"},
     {"{\"k\":\"c\"}", "{}"}},
    {GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"array\",\"prefixItems\":[{\"const\":0}],\"items\":{\"type\":\"null\"},\"minItems\":1,\"maxItems\":3}",
     {"[0]", "[0, null,null]", "[ 0 ]"},
     {"[]", "[null]", "[0,null,null,null]", "[0,0]"}},
};

static void each_source_has_its_language(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++) {
        struct machine machine;
        struct error err = {0};
        if (machine_open(&machine, languages[i].kind, languages[i].source, NULL, &err))
            fail_msg("%s: %s", languages[i].source, err.message);
        for (size_t k = 0; k < 8 && languages[i].accepted[k]; k++)
            if (!accepts(&machine, languages[i].accepted[k], strlen(languages[i].accepted[k])))
                fail_msg("%s should accept '%s'", languages[i].source, languages[i].accepted[k]);
        for (size_t k = 0; k < 8 && languages[i].rejected[k]; k++)
            if (accepts(&machine, languages[i].rejected[k], strlen(languages[i].rejected[k])))
                fail_msg("%s should not accept '%s'", languages[i].source, languages[i].rejected[k]);
        machine_close(&machine);
    }
}

static void schemas_agree_with_the_jsonschema_library(void **state)
{
    (void)state;
    FILE *file = fopen(TEST_DATA "/grammar_cases.jsonl", "r");
    assert_non_null(file);
    char *line = NULL;
    size_t capacity = 0, n_schemas = 0, n_texts = 0;
    while (getline(&line, &capacity, file) > 0) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
        char *schema = json_dumps(json_object_get(row, "schema"), JSON_COMPACT | JSON_ENCODE_ANY);
        static const char *const sides[] = {"invalid", "valid"};
        struct machine machine;
        struct error err = {0};
        if (machine_open(&machine, GRAMMAR_JSON_SCHEMA, schema, NULL, &err))
            fail_msg("%s: %s", schema, err.message);
        for (int side = 0; side < 2; side++) {
            const json_t *texts = json_object_get(row, sides[side]), *text;
            size_t i;
            json_array_foreach(texts, i, text)
            {
                if (accepts(&machine, json_string_value(text), json_string_length(text)) != (side == 1))
                    fail_msg("%s: '%s' is %s", schema, json_string_value(text), sides[side]);
                n_texts++;
            }
        }
        machine_close(&machine);
        free(schema);
        json_decref(row);
        n_schemas++;
    }
    free(line);
    fclose(file);
    assert_true(n_schemas >= 50 && n_texts >= 500);
}

/* ---- Refusals. */

static const struct {
    enum grammar_kind kind;
    const char *source;
    int code;
    const char *says;
} refusals[] = {
    {GRAMMAR_REGEX, "(a", SAMPAN_EINVAL, "not closed by ')'"},
    {GRAMMAR_REGEX, "a)", SAMPAN_EINVAL, "without its group"},
    {GRAMMAR_REGEX, "a**", SAMPAN_EINVAL, "nothing in front"},
    {GRAMMAR_REGEX, "[b-a]", SAMPAN_EINVAL, "ends before it begins"},
    {GRAMMAR_REGEX, "a(?=b)", SAMPAN_EUNSUPPORTED, "of the groups"},
    {GRAMMAR_REGEX, "\\bword", SAMPAN_EUNSUPPORTED, "of the escapes"},
    {GRAMMAR_REGEX, "(a)\\1", SAMPAN_EUNSUPPORTED, "of the escapes"},
    {GRAMMAR_REGEX, "a^b", SAMPAN_EUNSUPPORTED, "an anchor"},
    {GRAMMAR_REGEX, "a{3,2}", SAMPAN_EINVAL, "m <= n"},
    {GRAMMAR_REGEX, "((a{900}){900}){900}", SAMPAN_ELIMIT, "too large"},
    {GRAMMAR_CHOICES, "[]", SAMPAN_EINVAL, "at least one string"},
    {GRAMMAR_CHOICES, "[1]", SAMPAN_EINVAL, "at least one string"},
    {GRAMMAR_GBNF, "", SAMPAN_EINVAL, "'root', which it does not define"},
    {GRAMMAR_GBNF, "root ::= x", SAMPAN_EINVAL, "'x', which it does not define"},
    {GRAMMAR_GBNF, "root ::= \"a\"\nroot ::= \"b\"", SAMPAN_EINVAL, "line 2"},
    {GRAMMAR_GBNF, "root ::= root \"a\" | \"b\"", SAMPAN_EINVAL, "left recursion"},
    {GRAMMAR_GBNF, "root ::= a\na ::= \"x\"? b\nb ::= a \"y\" | \"z\"", SAMPAN_EINVAL, "left recursion"},
    {GRAMMAR_GBNF, "root ::= \"a\" root", SAMPAN_EINVAL, "no text can satisfy"},
    {GRAMMAR_GBNF, "root ::= \"a", SAMPAN_EINVAL, "at the end of the text"},
    {GRAMMAR_JSON_SCHEMA, "{", SAMPAN_EINVAL, "not valid JSON"},
    {GRAMMAR_JSON_SCHEMA, "[]", SAMPAN_EINVAL, "neither an object"},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"text\"}", SAMPAN_EINVAL, "type 'text'"},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"minLength\":\"3\"}", SAMPAN_EINVAL, "'minLength'"},
    {GRAMMAR_JSON_SCHEMA, "{\"a\":1,\"a\":2}", SAMPAN_EINVAL, "duplicate"},
    {GRAMMAR_JSON_SCHEMA, "{\"not\":{}}", SAMPAN_EUNSUPPORTED, "'not'"},
    {GRAMMAR_JSON_SCHEMA, "{\"properties\":{\"a\":{\"if\":{}}}}", SAMPAN_EUNSUPPORTED, "'if'"},
    {GRAMMAR_JSON_SCHEMA, "{\"minimun\":1}", SAMPAN_EUNSUPPORTED, "'minimun', which is no known keyword"},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"format\":\"uri\"}", SAMPAN_EUNSUPPORTED, "'uri'"},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"array\",\"uniqueItems\":true}", SAMPAN_EUNSUPPORTED, "uniqueItems"},
    {GRAMMAR_JSON_SCHEMA, "{\"oneOf\":[{\"type\":\"string\"},{\"minLength\":3}]}", SAMPAN_EUNSUPPORTED, "alternatives 0 and 1"},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", SAMPAN_EINVAL, "no text can satisfy"},
    {GRAMMAR_JSON_SCHEMA, "{\"$ref\":\"#/$defs/x\"}", SAMPAN_EINVAL, "'#/$defs/x', which is not in it"},
    {GRAMMAR_JSON_SCHEMA, "{\"$ref\":\"https://example.com/s.json\"}", SAMPAN_EINVAL, "which is not in it"},
    {GRAMMAR_JSON_SCHEMA, "{\"$ref\":\"#\"}", SAMPAN_EINVAL, ""},
    {GRAMMAR_JSON_SCHEMA, "{\"allOf\":[{\"$ref\":\"#\"}]}", SAMPAN_ELIMIT, "deeper"},
    {GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"maxLength\":400000,\"pattern\":\"a\"}", SAMPAN_ELIMIT, "length"},
};

static void what_does_not_work_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct grammar *grammar;
        struct error err = {0};
        int code = grammar_compile(refusals[i].kind, refusals[i].source, strlen(refusals[i].source), &grammar, &err);
        if (code != refusals[i].code || !strstr(err.message, refusals[i].says))
            fail_msg("%s: %d '%s', expected %d '...%s...'", refusals[i].source, code, err.message, refusals[i].code, refusals[i].says);
        assert_null(grammar);
    }
}

/* n times `open`, then `inside`, then n times `close`. */
static char *nest(const char *open, const char *inside, const char *close, size_t n)
{
    char *text = malloc(n * (strlen(open) + strlen(close)) + strlen(inside) + 1), *at = text;
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, inside);
    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, close);
    return text;
}

static void hostile_sources_are_refused_by_a_limit(void **state)
{
    (void)state;
    const struct {
        enum grammar_kind kind;
        char *source;
    } rows[] = {
        {GRAMMAR_REGEX, nest("(", "a", ")", 100000)},
        {GRAMMAR_GBNF, nest("(", "\"a\"", ")", 100000)},
        {GRAMMAR_JSON_SCHEMA, nest("{\"items\":", "{}", "}", 1000)},
        {GRAMMAR_JSON_SCHEMA, nest("{\"allOf\":[{\"allOf\":[{}]},{\"allOf\":[{}]},", "{}", "]}", 1000)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grammar *grammar;
        char gbnf[16] = "root ::= ";
        char *source = rows[i].source;
        if (rows[i].kind == GRAMMAR_GBNF) {
            source = malloc(strlen(gbnf) + strlen(rows[i].source) + 1);
            assert_non_null(source);
            strcpy(stpcpy(source, gbnf), rows[i].source);
        }
        assert_int_equal(grammar_compile(rows[i].kind, source, strlen(source), &grammar, NULL), SAMPAN_ELIMIT);
        if (source != rows[i].source)
            free(source);
        free(rows[i].source);
    }
}

/* Each level combines the one below with itself: 2^30 schemas if it were written out. */
static void schemas_that_multiply_are_refused(void **state)
{
    (void)state;
    char source[8192];
    size_t n = (size_t)snprintf(source, sizeof source, "{\"$ref\":\"#/$defs/d30\",\"$defs\":{\"d0\":{\"minimum\":1}");
    for (int i = 1; i <= 30; i++)
        n += (size_t)snprintf(source + n, sizeof source - n, ",\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]}", i, i - 1, i - 1);
    snprintf(source + n, sizeof source - n, "}}");
    struct grammar *grammar;
    struct error err = {0};
    int code = grammar_compile(GRAMMAR_JSON_SCHEMA, source, strlen(source), &grammar, &err);
    if (code != SAMPAN_ELIMIT)
        fail_msg("%d: %s", code, err.message);
}

/* ---- Tokens. */

struct vocabulary {
    struct tiny_vocabulary tiny;
    struct tokenizer *tokenizer;
    struct token_trie *trie;
};

static void vocabulary_open(struct vocabulary *vocabulary)
{
    struct error err = {0};
    tiny_vocabulary_init(&vocabulary->tiny);
    if (tokenizer_create(&vocabulary->tiny.spec, &vocabulary->tokenizer, &err) || token_trie_create(vocabulary->tokenizer, &vocabulary->trie, &err))
        fail_msg("%s", err.message);
}

static void vocabulary_close(struct vocabulary *vocabulary)
{
    token_trie_free(vocabulary->trie);
    tokenizer_free(vocabulary->tokenizer);
}

static bool in_mask(const uint32_t *mask, int32_t id)
{
    return mask[id / 32] >> (id % 32) & 1;
}

static void check_mask(struct vocabulary *vocabulary, struct machine *machine, int32_t state)
{
    const uint32_t *mask;
    assert_int_equal(grammar_automaton_mask(machine->automaton, state, &mask, NULL), 0);
    for (int32_t id = 0; id < TINY_N_TOKENS; id++) {
        struct byte_string bytes = tokenizer_token_bytes(vocabulary->tokenizer, id);
        int32_t next = GRAMMAR_STATE_DEAD;
        if (tokenizer_token_kind(vocabulary->tokenizer, id) != TOKEN_CONTROL)
            assert_int_equal(grammar_automaton_advance(machine->automaton, state, bytes.data, bytes.length, &next, NULL), 0);
        if (in_mask(mask, id) != (next != GRAMMAR_STATE_DEAD))
            fail_msg("token %d ('%.*s'): the mask says %d", id, (int)bytes.length, bytes.data, in_mask(mask, id));
    }
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

/* Walks at random by masks; every state's mask is what its bytes say, and no state is a dead end. */
static void masks_say_what_the_bytes_say_and_there_are_no_dead_ends(void **state)
{
    (void)state;
    static struct vocabulary vocabulary;
    uint32_t random = 1;
    vocabulary_open(&vocabulary);
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++) {
        struct machine machine;
        assert_int_equal(machine_open(&machine, languages[i].kind, languages[i].source, vocabulary.trie, NULL), 0);
        for (int walk = 0; walk < 4; walk++) {
            int32_t at = machine.start;
            for (int step = 0; step < 40 && !grammar_automaton_is_complete(machine.automaton, at); step++) {
                const uint32_t *mask;
                int32_t allowed[TINY_N_TOKENS], n = 0;
                if (step < 12)
                    check_mask(&vocabulary, &machine, at);
                assert_int_equal(grammar_automaton_mask(machine.automaton, at, &mask, NULL), 0);
                for (int32_t id = 0; id < TINY_N_TOKENS; id++)
                    if (in_mask(mask, id))
                        allowed[n++] = id;
                if (!n)
                    fail_msg("%s: a dead end", languages[i].source);
                struct byte_string bytes = tokenizer_token_bytes(vocabulary.tokenizer, allowed[next_random(&random) % (uint32_t)n]);
                assert_int_equal(grammar_automaton_advance(machine.automaton, at, bytes.data, bytes.length, &at, NULL), 0);
                assert_int_not_equal(at, GRAMMAR_STATE_DEAD);
            }
        }
        machine_close(&machine);
    }
    vocabulary_close(&vocabulary);
}

/* Another history of questions gives the same answers. */
static void masks_depend_on_the_text_alone(void **state)
{
    (void)state;
    static struct vocabulary vocabulary;
    static const char text[] = "{\"a\": [1, {\"hello\": \"he";
    struct machine fresh, used;
    const uint32_t *a, *b;
    int32_t x, y;
    vocabulary_open(&vocabulary);
    assert_int_equal(machine_open(&used, GRAMMAR_JSON_OBJECT, "", vocabulary.trie, NULL), 0);
    for (size_t i = sizeof text - 1; i-- > 0;) {
        assert_int_equal(grammar_automaton_advance(used.automaton, used.start, text, i, &y, NULL), 0);
        assert_int_equal(grammar_automaton_mask(used.automaton, y, &b, NULL), 0);
    }
    for (size_t i = 0; i < sizeof text; i++) {
        assert_int_equal(machine_open(&fresh, GRAMMAR_JSON_OBJECT, "", vocabulary.trie, NULL), 0);
        assert_int_equal(grammar_automaton_advance(fresh.automaton, fresh.start, text, i, &x, NULL), 0);
        assert_int_equal(grammar_automaton_advance(used.automaton, used.start, text, i, &y, NULL), 0);
        assert_int_equal(grammar_automaton_mask(fresh.automaton, x, &a, NULL), 0);
        assert_int_equal(grammar_automaton_mask(used.automaton, y, &b, NULL), 0);
        assert_memory_equal(a, b, (TINY_N_TOKENS + 31) / 32 * sizeof *a);
        machine_close(&fresh);
    }
    machine_close(&used);
    vocabulary_close(&vocabulary);
}

static void deep_nesting_is_followed_and_bounded(void **state)
{
    (void)state;
    struct machine machine;
    struct error err = {0};
    char *deep = nest("[", "", "]", 20000), *deeper = nest("[", "", "", 100000);
    int32_t at;
    assert_int_equal(machine_open(&machine, GRAMMAR_JSON_SCHEMA, "{\"type\":\"array\"}", NULL, &err), 0);
    assert_true(accepts(&machine, deep, strlen(deep)));
    assert_int_equal(grammar_automaton_advance(machine.automaton, machine.start, deeper, strlen(deeper), &at, &err), SAMPAN_ELIMIT);
    machine_close(&machine);
    free(deep);
    free(deeper);
}

/* ---- Memory. */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static struct vocabulary vocabulary;
    vocabulary_open(&vocabulary);
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i += 3) {
        int status = SAMPAN_ENOMEM;
        for (int64_t n = 0; status; n++) {
            struct machine machine;
            const uint32_t *mask;
            mem_fail_after(n);
            status = machine_open(&machine, languages[i].kind, languages[i].source, vocabulary.trie, NULL);
            if (!status)
                status = grammar_automaton_mask(machine.automaton, machine.start, &mask, NULL);
            mem_fail_after(-1);
            machine_close(&machine);
            if (status && status != SAMPAN_ENOMEM)
                fail_msg("%s: allocation %d gives %d", languages[i].source, (int)n, status);
        }
    }
    vocabulary_close(&vocabulary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_source_has_its_language),
        cmocka_unit_test(schemas_agree_with_the_jsonschema_library),
        cmocka_unit_test(what_does_not_work_is_refused_by_name),
        cmocka_unit_test(hostile_sources_are_refused_by_a_limit),
        cmocka_unit_test(schemas_that_multiply_are_refused),
        cmocka_unit_test(masks_say_what_the_bytes_say_and_there_are_no_dead_ends),
        cmocka_unit_test(masks_depend_on_the_text_alone),
        cmocka_unit_test(deep_nesting_is_followed_and_bounded),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
