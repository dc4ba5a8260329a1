/* sampan render: what a chat template makes of a conversation, exactly. */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "text/chat.h"

static bool is_template_file(const char *path)
{
    size_t length = strlen(path), ending = strlen(".jinja");
    return length > ending && strcmp(path + length - ending, ".jinja") == 0;
}

/* A template on its own: no model, so no bos_token unless the conversation brings it. */
static int render_file(const char *path, const char *conversation, size_t length)
{
    struct error err;
    struct chat_template *chat_template = NULL;
    struct rendered_prompt prompt = {0};
    char *source;
    size_t source_length;
    int code = file_read_whole(path, LIMIT_TEMPLATE_SOURCE, &source, &source_length, &err);
    if (!code)
        code = chat_template_create(source, source_length, path, &chat_template, &err);
    if (!code)
        code = chat_template_render(chat_template, conversation, length, &prompt, &err);
    if (!code)
        terminal_write_text(prompt.text.data, prompt.text.length);
    rendered_prompt_free(&prompt);
    chat_template_free(chat_template);
    mem_free(source);
    return code ? cli_fail("%s", err.message) : EXIT_OK;
}

static int render_with_model(const struct arguments *arguments, const char *conversation, size_t length)
{
    struct session session = {0};
    char *text = NULL;
    size_t text_length = 0;
    int status = session_open_model(&session, arguments);
    if (!status && sampan_chat_render(session.model, conversation, length, &text, &text_length))
        status = session_fail();
    if (!status)
        terminal_write_text(text, text_length);
    sampan_free(text);
    session_close(&session);
    return status;
}

static int run_render(const struct arguments *arguments)
{
    struct error err;
    char *conversation;
    size_t length;
    if (!arguments->values[OPTION_CONVERSATION].count)
        return cli_usage("render needs --conversation FILE.json");
    if (file_read_whole(arguments->values[OPTION_CONVERSATION].text, LIMIT_TEXT, &conversation, &length, &err))
        return cli_fail("%s", err.message);
    const char *path = arguments->operands[0];
    int status = is_template_file(path) ? render_file(path, conversation, length) : render_with_model(arguments, conversation, length);
    mem_free(conversation);
    return status;
}

static const struct option_row render_options[] = {
    {OPTION_CONVERSATION, "conversation", OPTION_IS_TEXT, "FILE.json", "{\"messages\": [...], \"add_generation_prompt\": true, ...}", 0, 0, false},
    OPTION_ROWS_END,
};

static const char *const render_examples[] = {
    "sampan render model.gguf --conversation chat.json        # with the model's own template",
    "sampan render template.jinja --conversation chat.json    # with a template file",
    NULL,
};

const struct command render_command = {
    "render",
    "what a chat template makes of a conversation",
    "MODEL|FILE.jinja",
    1,
    1,
    render_options,
    render_examples,
    "Prints the prompt exactly, with nothing before or behind it. Every key of the conversation is a variable of the template; with a model, bos_token and "
    "eos_token are\n"
    "the model's unless given.",
    run_render,
};
