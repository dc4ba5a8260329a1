/* The two ends of the interpreter: a source becomes a tree once, a tree and variables become a prompt as often as wanted. */
#include "text/chat.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/evaluate.h"
#include "text/template/parse.h"

enum { EVALUATION_DEPTH = 10 * LIMIT_TEMPLATE_DEPTH }; /* a level of a template's nesting is several of the evaluator's */

struct chat_template {
    struct jinja_template parsed;
    char *name;
};

int chat_template_create(const char *source, size_t length, const char *name, struct chat_template **chat_template, struct error *err)
{
    size_t invalid;
    *chat_template = NULL;
    if (length > LIMIT_TEMPLATE_SOURCE)
        return error_set(err, SAMPAN_ELIMIT, "%s: %zu bytes, expected at most %u", name, length, LIMIT_TEMPLATE_SOURCE);
    if (!utf8_is_valid(source, length, &invalid))
        return error_set(err, SAMPAN_EFORMAT, "%s: not valid UTF-8 at byte %zu", name, invalid);
    struct chat_template *created = mem_zalloc(sizeof *created);
    if (!created)
        return error_no_memory(err, "reading a chat template");
    created->name = mem_strndup(name, strlen(name));
    int code = created->name ? jinja_parse(source, length, &created->parsed, err) : error_no_memory(err, "reading a chat template");
    if (code) {
        error_prefix(err, "%s", name);
        chat_template_free(created);
        return code;
    }
    *chat_template = created;
    return 0;
}

void chat_template_free(struct chat_template *chat_template)
{
    if (!chat_template)
        return;
    jinja_template_free(&chat_template->parsed);
    mem_free(chat_template->name);
    mem_free(chat_template);
}

void rendered_prompt_free(struct rendered_prompt *prompt)
{
    buffer_free(&prompt->text);
    mem_free(prompt->spans);
    *prompt = (struct rendered_prompt){0};
}

/* The special tokens that transformers hands to a template belong to the model, not to the caller's data. Exactly these: a name that merely looks like
 * one ("image_token" among a request's extra variables) stays data. */
static void trust_token_variables(const struct jinja_dict *variables)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < variables->count; i++) {
        const struct jinja_string *key = variables->entries[i].key.as.string;
        bool known = false;
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
            known = known || (key->length == strlen(names[n]) && memcmp(key->bytes, names[n], key->length) == 0);
        if (known && variables->entries[i].value.kind == JINJA_STRING)
            variables->entries[i].value.as.string->origin = ORIGIN_TEMPLATE;
    }
}

static size_t count_spans(const struct jinja_builder *builder)
{
    size_t count = builder->length != 0;
    for (size_t i = 1; builder->mixed && i < builder->length; i++)
        count += builder->origins[i] != builder->origins[i - 1];
    return count;
}

/* Makes the builder's content the prompt. */
static int take_prompt(const struct jinja_builder *builder, struct rendered_prompt *prompt, struct error *err)
{
    size_t n_spans = count_spans(builder);
    buffer_init(&prompt->text, LIMIT_TEMPLATE_OUTPUT);
    prompt->spans = mem_zalloc_array(n_spans, sizeof *prompt->spans);
    if (!prompt->spans || buffer_append(&prompt->text, builder->length ? builder->bytes : "", builder->length)) {
        rendered_prompt_free(prompt);
        return error_no_memory(err, "rendering a chat template");
    }
    for (size_t i = 0; i < builder->length; i++) {
        enum text_origin origin = (enum text_origin)(builder->mixed ? builder->origins[i] : builder->origin);
        if (i == 0 || prompt->spans[prompt->n_spans - 1].origin != origin)
            prompt->spans[prompt->n_spans++].origin = origin;
        prompt->spans[prompt->n_spans - 1].length++;
    }
    return 0;
}

int chat_template_render(const struct chat_template *chat_template, const char *variables_json, size_t length, struct rendered_prompt *prompt,
                         struct error *err)
{
    static const struct jinja_limits limits = {
        .steps = LIMIT_TEMPLATE_STEPS, .memory = LIMIT_TEMPLATE_MEMORY, .output = LIMIT_TEMPLATE_OUTPUT, .depth = EVALUATION_DEPTH};
    *prompt = (struct rendered_prompt){0};
    if (length > LIMIT_TEXT)
        return error_set(err, SAMPAN_ELIMIT, "%s: variables of %zu bytes, expected at most %u", chat_template->name, length, LIMIT_TEXT);
    struct jinja_run run;
    struct jinja_value variables;
    jinja_run_init(&run, &limits, err);
    bool done = jinja_json_parse(&run, variables_json, length, true, &variables);
    if (done)
        trust_token_variables(variables.as.dict);
    done = done && jinja_build(&run) && jinja_render(&run, &chat_template->parsed, variables);
    int code = done ? take_prompt(run.builder, prompt, err) : run.code;
    jinja_run_free(&run);
    if (code && !done)
        error_prefix(err, "%s", chat_template->name);
    return code;
}
