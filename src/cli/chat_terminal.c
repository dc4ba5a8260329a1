/* A chat at a terminal: messages and commands, one after the other. Commands are rows of a table: name, help, function. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/chat.h"
#include "cli/message_reader.h"
#include "cli/options.h"
#include "cli/terminal.h"

enum { CONVERSATION_FILE_LIMIT = 64 << 20, PATH_LIMIT = 4096 };

struct terminal_chat {
    struct chat *chat;
    const struct option_row *rows; /* for /set */
    struct message_reader reader;
    struct buffer last;     /* the user's last message */
    struct buffer own_file; /* which /save and /load named last: /save may replace it */
    bool replaces;          /* the next message replaces the last one */
    bool ends;
};

/* ---- Messages. */

static void answer_message(struct terminal_chat *terminal, const char *text, size_t length)
{
    struct chat *chat = terminal->chat;
    struct answer answer;
    answer_init(&answer);
    int status = chat_answer(chat, text, length, chat_print_event, chat, &answer);
    if (!status && !chat->last_was_newline)
        terminal_print("\n");
    interrupts_take(); /* the one that stopped the answer is used up */
    if (!status && answer.finish == SAMPAN_FINISH_CANCELLED)
        terminal_print("(stopped)\n");
    if (!status)
        chat_note_cut(chat, &answer);
    answer_free(&answer);
}

static void new_message(struct terminal_chat *terminal, const char *text, size_t length)
{
    buffer_clear(&terminal->last);
    buffer_append(&terminal->last, text, length);
    buffer_append(&terminal->last, "", 0);
    terminal->chat->request.choice = 0;
    answer_message(terminal, text, length);
}

/* The user's last message in terminal->last; false, said, where there is none. */
static bool find_last(struct terminal_chat *terminal)
{
    if (!terminal->chat->raw) {
        buffer_clear(&terminal->last);
        conversation_last_user(&terminal->chat->conversation, &terminal->last);
    }
    if (terminal->last.length)
        return true;
    cli_note("there is no message yet");
    return false;
}

/* ---- Commands. */

static void chat_reset(struct terminal_chat *terminal, const char *rest)
{
    (void)rest;
    conversation_reset(&terminal->chat->conversation);
    buffer_clear(&terminal->last);
    terminal_print("(begun anew)\n");
}

static void chat_regenerate(struct terminal_chat *terminal, const char *rest)
{
    struct chat *chat = terminal->chat;
    (void)rest;
    if (!find_last(terminal))
        return;
    if (chat->request.temperature <= 0)
        cli_note("every answer is the likeliest one, so the same comes again; /set temperature 0.8 changes that");
    chat->request.choice++; /* another draw with the same seed */
    if (!chat->raw)
        conversation_take_back(&chat->conversation);
    answer_message(terminal, terminal->last.data, terminal->last.length);
}

static void chat_edit(struct terminal_chat *terminal, const char *rest)
{
    if (!find_last(terminal))
        return;
    if (!*rest && terminal->reader.editor) {
        terminal->replaces = true; /* it stands in the next line, to be changed */
        return;
    }
    if (!*rest) {
        cli_note("give the new text: /edit TEXT");
        return;
    }
    conversation_take_back(&terminal->chat->conversation);
    new_message(terminal, rest, strlen(rest));
}

static void chat_system(struct terminal_chat *terminal, const char *rest)
{
    if (terminal->chat->raw) {
        cli_note("--raw knows no system prompt");
        return;
    }
    if (conversation_set_system(&terminal->chat->conversation, rest))
        cli_fail("out of memory while setting the system prompt");
    conversation_reset(&terminal->chat->conversation);
    buffer_clear(&terminal->last);
    terminal_print(*rest ? "(system prompt set, begun anew)\n" : "(system prompt removed, begun anew)\n");
}

/* ---- /set */

/* The row of a parameter: its name as on the command line, dashes or underscores. NULL, said, where there is none. */
static const struct option_row *find_parameter(const struct terminal_chat *terminal, const char *name, size_t length)
{
    for (const int *id = chat_parameters; *id >= 0; id++)
        for (const struct option_row *row = terminal->rows; row->name; row++) {
            size_t i = 0;
            while (row->id == (enum option_id) * id && i < length && (row->name[i] == name[i] || (row->name[i] == '-' && name[i] == '_')))
                i++;
            if (i == length && i && !row->name[i] && row->id == (enum option_id) * id)
                return row;
        }
    cli_note("there is no parameter %.*s; /set lists them", (int)(length < 40 ? length : 40), name);
    return NULL;
}

static void list_parameters(const struct terminal_chat *terminal)
{
    for (const int *id = chat_parameters; *id >= 0; id++)
        for (const struct option_row *row = terminal->rows; row->name; row++)
            if (row->id == (enum option_id) * id)
                chat_print_parameter(terminal->chat, row);
    terminal_print("/set NAME VALUE changes one, /set NAME default takes the change back.\n");
}

/* The value of a parameter from what was typed; false when it was refused. */
static bool read_parameter(struct chat *chat, const struct option_row *row, const char *text, struct option_value *value)
{
    bool is_default = strcmp(text, "default") == 0 || (row->kind == OPTION_IS_FLAG && strcmp(text, "off") == 0);
    if (is_default || !row->repeats)
        *value = (struct option_value){0};
    if (is_default)
        return true;
    if (row->kind == OPTION_IS_FLAG && strcmp(text, "on") != 0) {
        cli_note("%s is on or off", row->name);
        return false;
    }
    char *kept = arena_strndup(&chat->texts, text, strlen(text)); /* values point into it */
    if (!kept) {
        cli_fail("out of memory while setting %s", row->name);
        return false;
    }
    return options_take_value(row, kept, value) == EXIT_OK;
}

static void chat_set(struct terminal_chat *terminal, const char *rest)
{
    struct chat *chat = terminal->chat;
    size_t length = strcspn(rest, " \t");
    const char *text = rest + length + strspn(rest + length, " \t");
    if (!*rest) {
        list_parameters(terminal);
        return;
    }
    const struct option_row *row = find_parameter(terminal, rest, length);
    if (!row)
        return;
    if (*text) {
        struct option_value before = chat->values[row->id], value = before;
        if (!read_parameter(chat, row, text, &value))
            return;
        chat->values[row->id] = value;
        if (chat_choose_sampling(chat)) { /* said why */
            chat->values[row->id] = before;
            chat_choose_sampling(chat);
        }
    }
    chat_print_parameter(chat, row);
}

/* ---- /save and /load */

static bool is_own_file(const struct terminal_chat *terminal, const char *path)
{
    return terminal->own_file.length && strcmp(terminal->own_file.data, path) == 0;
}

static void remember_file(struct terminal_chat *terminal, const char *path)
{
    buffer_clear(&terminal->own_file);
    buffer_append_string(&terminal->own_file, path);
}

/* Beside the place first, so that a full disk destroys nothing. */
static bool write_file(const char *path, const struct buffer *text)
{
    char beside[PATH_LIMIT];
    int n = snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    int descriptor = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return false;
    bool written = write(descriptor, text->data, text->length) == (ssize_t)text->length;
    if (close(descriptor) == 0 && written && rename(beside, path) == 0)
        return true;
    int problem = errno;
    unlink(beside);
    errno = problem ? problem : ENOSPC;
    return false;
}

static void chat_save(struct terminal_chat *terminal, const char *rest)
{
    struct buffer text;
    if (terminal->chat->raw) {
        cli_note("--raw keeps no conversation that could be saved");
        return;
    }
    if (!*rest && terminal->own_file.length)
        rest = terminal->own_file.data;
    if (!*rest) {
        cli_note("give a name: /save FILE.json");
        return;
    }
    if (file_exists(rest) && !is_own_file(terminal, rest)) {
        cli_note("'%s' is there already and is not of this chat; choose another name", rest);
        return;
    }
    buffer_init(&text, (size_t)CONVERSATION_FILE_LIMIT * 2);
    conversation_write(&terminal->chat->conversation, &text);
    buffer_append_char(&text, '\n');
    errno = 0;
    if (text.failed) {
        cli_fail("out of memory while saving the conversation");
    } else if (!write_file(rest, &text)) {
        cli_fail("saving '%s': %s", rest, strerror(errno));
    } else {
        terminal_print("(%zu messages saved)\n", conversation_count(&terminal->chat->conversation));
        remember_file(terminal, rest);
    }
    buffer_free(&text);
}

static void chat_load(struct terminal_chat *terminal, const char *rest)
{
    struct error err;
    char *text = NULL;
    size_t length;
    if (terminal->chat->raw || !*rest) {
        cli_note(terminal->chat->raw ? "--raw keeps no conversation" : "give a name: /load FILE.json");
        return;
    }
    int code = file_read_whole(rest, CONVERSATION_FILE_LIMIT, &text, &length, &err);
    if (!code)
        code = conversation_read(&terminal->chat->conversation, text, length, &err);
    mem_free(text);
    if (code) {
        cli_fail("loading '%s': %s", rest, err.message);
        return;
    }
    buffer_clear(&terminal->last);
    terminal_print("(%zu messages loaded)\n", conversation_count(&terminal->chat->conversation));
    remember_file(terminal, rest);
}

/* ---- The rest. */

static double seconds(uint64_t nanoseconds)
{
    return (double)nanoseconds * 1e-9;
}

static void chat_stats(struct terminal_chat *terminal, const char *rest)
{
    char weights[32], cache[32];
    const struct chat *chat = terminal->chat;
    const struct sampan_engine_description *engine = &chat->session.engine_description;
    (void)rest;
    terminal_print("%" PRIu64 " answers: %" PRIu64 " prompt tokens (%" PRIu64 " of them reused), %" PRIu64 " generated\n", chat->n_messages,
                   chat->n_prompt_tokens, chat->n_cached_tokens, chat->n_generated_tokens);
    if (chat->prompt_ns && chat->decode_ns)
        terminal_print("prompt %.0f tokens/s, answers %.1f tokens/s\n", (double)(chat->n_prompt_tokens - chat->n_cached_tokens) / seconds(chat->prompt_ns),
                       chat->n_generated_tokens > chat->n_messages ? (double)(chat->n_generated_tokens - chat->n_messages) / seconds(chat->decode_ns) : 0.0);
    terminal_print("%s; weights %s, cache %s for %" PRId32 " tokens; %s\n", engine->chip, format_bytes(engine->weight_bytes, weights),
                   format_bytes(engine->cache_bytes, cache), engine->context, engine->system_fingerprint);
}

static void chat_exit(struct terminal_chat *terminal, const char *rest)
{
    (void)rest;
    terminal->ends = true;
}

static void chat_help(struct terminal_chat *terminal, const char *rest);

static const struct chat_command {
    const char *name;
    const char *help;
    void (*run)(struct terminal_chat *terminal, const char *rest);
} chat_commands[] = {
    {"/help", "this list", chat_help},
    {"/reset", "forget the conversation", chat_reset},
    {"/clear", "the same", chat_reset},
    {"/regenerate", "another answer to the last message", chat_regenerate},
    {"/edit", "[TEXT]: change the last message and answer it anew", chat_edit},
    {"/system", "[TEXT]: set the system prompt and begin anew; without TEXT remove it", chat_system},
    {"/set", "[NAME [VALUE]]: show or change how tokens are chosen, like /set temperature 0.3", chat_set},
    {"/save", "[FILE]: the conversation as JSON", chat_save},
    {"/load", "FILE: go on with a conversation that was saved", chat_load},
    {"/stats", "tokens and speed so far", chat_stats},
    {"/exit", "leave (also Ctrl-D, or Ctrl-C twice)", chat_exit},
    {"/quit", "the same", chat_exit},
};

enum { N_CHAT_COMMANDS = sizeof chat_commands / sizeof *chat_commands };

static void chat_help(struct terminal_chat *terminal, const char *rest)
{
    (void)rest;
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++)
        terminal_print("  %-12s %s\n", chat_commands[i].name, chat_commands[i].help);
    terminal_print("Ctrl-C stops an answer. Several lines: %s\"\"\" opens a block and \"\"\" ends it, or end a line with \\.\n",
                   terminal->reader.editor ? "Alt-Enter, or " : "");
}

static const char *command_name_at(const void *table, int index)
{
    return index < N_CHAT_COMMANDS ? ((const struct chat_command *)table)[index].name : NULL;
}

/* `line` begins with '/'. */
static void run_command_line(struct terminal_chat *terminal, const char *line)
{
    size_t length = strcspn(line, " \t");
    const char *rest = line + length + strspn(line + length, " \t");
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++)
        if (strlen(chat_commands[i].name) == length && strncmp(line, chat_commands[i].name, length) == 0) {
            chat_commands[i].run(terminal, rest);
            return;
        }
    char name[40];
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), line);
    const char *nearest = options_nearest(name, command_name_at, chat_commands);
    if (nearest)
        cli_note("there is no command %s; did you mean %s?", name, nearest);
    else
        cli_note("there is no command %s; /help lists them", name);
}

/* ---- The loop. */

static void greet(const struct chat *chat)
{
    char weights[32], cache[32];
    const struct sampan_model_description *model = &chat->session.model_description;
    const struct sampan_engine_description *engine = &chat->session.engine_description;
    const char *name = *model->name ? model->name : model->path;
    terminal_style(STYLE_DIM);
    terminal_write_text(name, strlen(name));
    terminal_print(", %s, %s; %s; context %" PRId32 " tokens, cache %s\n/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves\n", model->quantization,
                   format_bytes(engine->weight_bytes, weights), engine->chip, engine->context, format_bytes(engine->cache_bytes, cache));
    terminal_style(STYLE_PLAIN);
    terminal_flush();
}

static void take_message(struct terminal_chat *terminal, const char *message, size_t length, bool is_block)
{
    bool replaces = terminal->replaces;
    terminal->replaces = false;
    if (!length)
        return;
    if (message[0] == '/' && !is_block && !replaces) {
        run_command_line(terminal, message);
        return;
    }
    if (replaces)
        conversation_take_back(&terminal->chat->conversation);
    new_message(terminal, message, length);
}

static int run_loop(struct terminal_chat *terminal)
{
    bool asked_to_leave = false;
    while (!terminal->ends && !terminal_output_is_gone()) {
        const char *message;
        size_t length = 0;
        bool is_block = false;
        enum line_status read = message_reader_next(&terminal->reader, terminal->replaces ? terminal->last.data : NULL, &message, &length, &is_block);
        if (read == LINE_INTERRUPTED && interrupts_take() < 2 && (length || !asked_to_leave)) {
            asked_to_leave = length == 0; /* else it only dropped what was typed, as in a shell */
            terminal->replaces = false;
            terminal_print(asked_to_leave ? "\n(Ctrl-C again or Ctrl-D leaves)\n" : "\n");
            continue;
        }
        if (read == LINE_FAILED)
            return EXIT_FAILED;
        if (read != LINE_READ) {
            terminal_print("\n");
            break;
        }
        asked_to_leave = false;
        take_message(terminal, message, length, is_block);
    }
    return EXIT_OK;
}

int chat_at_terminal(struct chat *chat, const struct option_row *rows)
{
    struct terminal_chat terminal = {.chat = chat, .rows = rows};
    buffer_init(&terminal.last, LIMIT_TEXT);
    buffer_init(&terminal.own_file, PATH_LIMIT);
    greet(chat);
    message_reader_init(&terminal.reader, !chat->values[OPTION_NO_HISTORY].count);
    int status = run_loop(&terminal);
    message_reader_free(&terminal.reader);
    buffer_free(&terminal.last);
    buffer_free(&terminal.own_file);
    return status;
}
