/* sampan run: a chat, or one answer.
 *
 * Three ways to be called. At a terminal it is a chat: lines are messages, lines that begin with '/' are commands, Ctrl-C stops an answer. In a pipe every
 * line is a message, whatever it looks like, and nothing but the answers goes to standard output. With --prompt it answers once. The last two are greedy
 * unless a sampling option says otherwise, so that they can be repeated. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/answer_grammar.h"
#include "cli/conversation.h"
#include "cli/logit_bias.h"
#include "cli/session.h"
#include "cli/terminal.h"

enum { DEFAULT_MAX_TOKENS = 1024 };
#define CHAT_TEMPERATURE 0.6
#define CHAT_TOP_P 0.95

struct chat {
    struct session session;
    struct conversation conversation;
    struct sampan_request request; /* what is the same for every message */
    struct sampan_text stops[LIMIT_STOP_STRINGS];
    struct sampan_logit_bias *biases;                                          /* owned */
    sampan_grammar *grammar;                                                   /* owned; of every answer, or NULL */
    bool raw;                                                                  /* no template, no history */
    bool last_was_newline;                                                     /* of what was printed */
    uint64_t n_messages, n_prompt_tokens, n_cached_tokens, n_generated_tokens; /* in all, for /stats */
    uint64_t prompt_ns, decode_ns;
};

/* ---- Sampling. */

static bool sampling_is_chosen(const struct option_value *values)
{
    return values[OPTION_TEMPERATURE].count || values[OPTION_TOP_K].count || values[OPTION_TOP_P].count || values[OPTION_MIN_P].count ||
           values[OPTION_TYPICAL_P].count || values[OPTION_SEED].count;
}

static int choose_sampling(struct chat *chat, const struct option_value *values, bool is_chat)
{
    struct sampan_request *request = &chat->request;
    *request = (struct sampan_request){
        .size = sizeof *request,
        .max_tokens = values[OPTION_MAX_TOKENS].count ? (int32_t)values[OPTION_MAX_TOKENS].integer : DEFAULT_MAX_TOKENS,
        .temperature = values[OPTION_TEMPERATURE].number,
        .top_k = (int32_t)values[OPTION_TOP_K].integer,
        .top_p = values[OPTION_TOP_P].number,
        .min_p = values[OPTION_MIN_P].number,
        .typical_p = values[OPTION_TYPICAL_P].number,
        .repetition_penalty = values[OPTION_REPETITION_PENALTY].number,
        .presence_penalty = values[OPTION_PRESENCE_PENALTY].number,
        .frequency_penalty = values[OPTION_FREQUENCY_PENALTY].number,
        .penalty_window = (int32_t)values[OPTION_PENALTY_WINDOW].integer,
        .min_tokens = (int32_t)values[OPTION_MIN_TOKENS].integer,
        .ignore_end = values[OPTION_IGNORE_END].count != 0,
        .seed = (uint64_t)values[OPTION_SEED].integer,
        .stops = chat->stops,
        .n_stops = (size_t)values[OPTION_STOP].count,
    };
    for (int i = 0; i < values[OPTION_STOP].count; i++)
        chat->stops[i] = (struct sampan_text){values[OPTION_STOP].texts[i], strlen(values[OPTION_STOP].texts[i])};
    if (!values[OPTION_TEMPERATURE].count && (is_chat || sampling_is_chosen(values))) {
        request->temperature = CHAT_TEMPERATURE;
        if (!values[OPTION_TOP_P].count)
            request->top_p = CHAT_TOP_P;
    }
    if (request->temperature > 0 && !values[OPTION_SEED].count)
        request->seed = (uint64_t)time(NULL) * 1000003u ^ (uint64_t)getpid();
    int status = logit_bias_parse(&values[OPTION_LOGIT_BIAS], &chat->biases, &request->n_logit_biases);
    request->logit_biases = chat->biases;
    return status;
}

/* ---- One answer. */

static bool *newline_state; /* of the chat that is printing: on_text has no other way to it */

static void print_piece(const char *text, size_t length)
{
    terminal_write_text(text, length);
    terminal_flush();
    *newline_state = text[length - 1] == '\n';
}

static int make_prompt(struct chat *chat, const char *text, size_t length, int32_t **ids, size_t *n_ids)
{
    if (chat->raw && sampan_tokenize(chat->session.model, text, length, SAMPAN_TOKENIZE_CONTROL | SAMPAN_TOKENIZE_BOS_EOS, ids, n_ids))
        return session_fail();
    if (!chat->raw && conversation_tokenize(&chat->conversation, chat->session.model, ids, n_ids))
        return EXIT_FAILED;
    int32_t context = chat->session.engine_description.context;
    if (*n_ids >= (size_t)context) {
        size_t n = *n_ids;
        sampan_free(*ids);
        *ids = NULL;
        if (!chat->raw && conversation_count(&chat->conversation) > 1)
            return cli_fail("the conversation has grown to %zu tokens, the context holds %" PRId32 "; /reset begins anew, --context N may allow more", n,
                            context);
        return cli_fail("the prompt has %zu tokens, the context holds %" PRId32 " with room for an answer; shorten it or use --context N", n, context);
    }
    if (!*n_ids) {
        sampan_free(*ids);
        *ids = NULL;
        return cli_fail("the prompt is empty; give it some text");
    }
    return EXIT_OK;
}

static void count_answer(struct chat *chat, const struct answer *answer)
{
    chat->n_messages++;
    chat->n_prompt_tokens += (uint64_t)answer->n_prompt_tokens;
    chat->n_cached_tokens += (uint64_t)answer->n_cached_tokens;
    chat->n_generated_tokens += (uint64_t)answer->n_generated_tokens;
    if (answer->first_token_ns) {
        chat->prompt_ns += answer->first_token_ns - answer->started_ns;
        chat->decode_ns += answer->ended_ns - answer->first_token_ns;
    }
}

/* Why an answer ended early, where a reader would wonder. */
static void note_cut(const struct chat *chat, const struct answer *answer, bool limit_was_given)
{
    if (answer->finish != SAMPAN_FINISH_LENGTH)
        return;
    if (answer->n_prompt_tokens + answer->n_generated_tokens >= chat->session.engine_description.context)
        cli_note("the context of %" PRId32 " tokens is full, so the answer was cut; --context N may allow more", chat->session.engine_description.context);
    else if (!limit_was_given)
        cli_note("the answer was cut after %" PRId32 " tokens; --max-tokens N allows more", answer->n_generated_tokens);
}

/* Answers a text (with a template: as the next message), keeps both in the history, and leaves the answer in `answer`. */
static int answer_text(struct chat *chat, const char *text, size_t length, void (*on_text)(const char *text, size_t length), struct answer *answer)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    if (!chat->raw && conversation_add(&chat->conversation, "user", text, length))
        return cli_fail("out of memory while adding a message of %zu bytes", length);
    int status = make_prompt(chat, text, length, &ids, &n_ids);
    if (!status) {
        struct sampan_request request = chat->request;
        request.prompt = ids;
        request.n_prompt = n_ids;
        newline_state = &chat->last_was_newline;
        chat->last_was_newline = true;
        status = session_answer(&chat->session, &request, on_text, answer) ? EXIT_FAILED : EXIT_OK;
    }
    sampan_free(ids);
    if (!chat->raw && status)
        conversation_drop_last(&chat->conversation);
    else if (!chat->raw && conversation_add(&chat->conversation, "assistant", answer->text.data ? answer->text.data : "", answer->text.length))
        status = cli_fail("out of memory while keeping an answer");
    if (!status)
        count_answer(chat, answer);
    return status;
}

/* ---- One prompt. */

static const char *finish_name(int32_t finish)
{
    static const char *const names[] = {"none", "end", "stop", "length", "cancelled", "error"};
    return finish >= 0 && finish < (int32_t)(sizeof names / sizeof *names) ? names[finish] : "unknown";
}

static double seconds(uint64_t nanoseconds)
{
    return (double)nanoseconds * 1e-9;
}

static int print_answer_json(const struct chat *chat, const struct answer *answer)
{
    struct buffer out;
    const int32_t *tokens = (const int32_t *)(const void *)answer->tokens.data;
    size_t n_tokens = answer->tokens.length / sizeof *tokens;
    buffer_init(&out, (size_t)LIMIT_TEXT * 8);
    buffer_append_string(&out, "{\"text\": ");
    json_append_string(&out, answer->text.data, answer->text.length);
    buffer_append_string(&out, ", \"tokens\": [");
    for (size_t i = 0; i < n_tokens; i++)
        buffer_printf(&out, "%s%" PRId32, i ? ", " : "", tokens[i]);
    buffer_printf(&out, "], \"finish\": \"%s\", \"prompt_tokens\": %" PRId32 ", \"cached_tokens\": %" PRId32 ", \"generated_tokens\": %" PRId32,
                  finish_name(answer->finish), answer->n_prompt_tokens, answer->n_cached_tokens, answer->n_generated_tokens);
    buffer_printf(&out, ", \"seconds_to_first_token\": %.6f, \"seconds\": %.6f, \"model\": ",
                  answer->first_token_ns ? seconds(answer->first_token_ns - answer->started_ns) : 0.0, seconds(answer->ended_ns - answer->started_ns));
    json_append_string(&out, chat->session.model_description.path, strlen(chat->session.model_description.path));
    buffer_append_string(&out, ", \"system_fingerprint\": ");
    json_append_string(&out, chat->session.engine_description.system_fingerprint, strlen(chat->session.engine_description.system_fingerprint));
    buffer_append_string(&out, "}\n");
    if (out.failed) {
        buffer_free(&out);
        return cli_fail("out of memory while writing the answer");
    }
    terminal_write(out.data, out.length);
    buffer_free(&out);
    return EXIT_OK;
}

static int run_prompt(struct chat *chat, const struct option_value *values)
{
    struct answer answer;
    bool json = values[OPTION_JSON].count;
    const char *prompt = values[OPTION_PROMPT].text;
    answer_init(&answer);
    int status = answer_text(chat, prompt, strlen(prompt), json ? NULL : print_piece, &answer);
    if (!status && json)
        status = print_answer_json(chat, &answer);
    else if (!status && !chat->last_was_newline)
        terminal_print("\n");
    if (!status && answer.finish == SAMPAN_FINISH_CANCELLED && !terminal_output_is_gone())
        status = cli_fail("interrupted");
    if (!status)
        note_cut(chat, &answer, values[OPTION_MAX_TOKENS].count);
    answer_free(&answer);
    return status;
}

/* ---- A pipe. */

static int run_pipe(struct chat *chat, const struct option_value *values)
{
    struct line_reader reader;
    const char *line;
    size_t length;
    int status = EXIT_OK;
    enum line_status read = LINE_END;
    line_reader_init(&reader, STDIN_FILENO);
    while (!status && !terminal_output_is_gone() && (read = line_reader_next(&reader, &line, &length)) == LINE_READ) {
        struct answer answer;
        if (!length)
            continue;
        answer_init(&answer);
        status = answer_text(chat, line, length, print_piece, &answer);
        if (!status && !chat->last_was_newline)
            terminal_print("\n");
        terminal_flush();
        if (!status && answer.finish == SAMPAN_FINISH_CANCELLED && !terminal_output_is_gone())
            status = cli_fail("interrupted");
        if (!status)
            note_cut(chat, &answer, values[OPTION_MAX_TOKENS].count);
        answer_free(&answer);
    }
    if (!status && read == LINE_INTERRUPTED)
        status = cli_fail("interrupted");
    line_reader_free(&reader);
    return read == LINE_FAILED ? EXIT_FAILED : status;
}

/* ---- A chat at a terminal. */

static void print_statistics(const struct chat *chat)
{
    char weights[32], cache[32];
    const struct sampan_engine_description *engine = &chat->session.engine_description;
    terminal_print("%" PRIu64 " answers: %" PRIu64 " prompt tokens (%" PRIu64 " of them reused), %" PRIu64 " generated\n", chat->n_messages,
                   chat->n_prompt_tokens, chat->n_cached_tokens, chat->n_generated_tokens);
    if (chat->prompt_ns && chat->decode_ns)
        terminal_print("prompt %.0f tokens/s, answers %.1f tokens/s\n", (double)(chat->n_prompt_tokens - chat->n_cached_tokens) / seconds(chat->prompt_ns),
                       chat->n_generated_tokens > chat->n_messages ? (double)(chat->n_generated_tokens - chat->n_messages) / seconds(chat->decode_ns) : 0.0);
    terminal_print("%s; weights %s, cache %s for %" PRId32 " tokens; %s\n", engine->chip, format_bytes(engine->weight_bytes, weights),
                   format_bytes(engine->cache_bytes, cache), engine->context, engine->system_fingerprint);
}

enum chat_command_result { CHAT_GOES_ON, CHAT_ENDS };

struct chat_command {
    const char *name;
    const char *help;
    enum chat_command_result (*run)(struct chat *chat, const char *rest);
};

static enum chat_command_result chat_reset(struct chat *chat, const char *rest)
{
    (void)rest;
    conversation_reset(&chat->conversation);
    terminal_print("(begun anew)\n");
    return CHAT_GOES_ON;
}

static enum chat_command_result chat_system(struct chat *chat, const char *rest)
{
    if (conversation_set_system(&chat->conversation, rest))
        cli_fail("out of memory while setting the system prompt");
    conversation_reset(&chat->conversation);
    terminal_print(*rest ? "(system prompt set, begun anew)\n" : "(system prompt removed, begun anew)\n");
    return CHAT_GOES_ON;
}

static enum chat_command_result chat_stats(struct chat *chat, const char *rest)
{
    (void)rest;
    print_statistics(chat);
    return CHAT_GOES_ON;
}

static enum chat_command_result chat_exit(struct chat *chat, const char *rest)
{
    (void)chat, (void)rest;
    return CHAT_ENDS;
}

static enum chat_command_result chat_help(struct chat *chat, const char *rest);

static const struct chat_command chat_commands[] = {
    {"/help", "this list", chat_help},
    {"/reset", "forget the conversation", chat_reset},
    {"/system", "TEXT: set the system prompt and begin anew; without TEXT remove it", chat_system},
    {"/stats", "tokens and speed so far", chat_stats},
    {"/exit", "leave (also Ctrl-D, or Ctrl-C twice)", chat_exit},
    {"/quit", "the same", chat_exit},
};

static enum chat_command_result chat_help(struct chat *chat, const char *rest)
{
    (void)chat, (void)rest;
    for (size_t i = 0; i < sizeof chat_commands / sizeof *chat_commands; i++)
        terminal_print("  %-8s %s\n", chat_commands[i].name, chat_commands[i].help);
    terminal_print("Ctrl-C stops an answer.\n");
    return CHAT_GOES_ON;
}

/* `line` begins with '/' and is NUL-terminated. */
static enum chat_command_result run_chat_command(struct chat *chat, const char *line)
{
    size_t length = strcspn(line, " \t");
    const char *rest = line + length + strspn(line + length, " \t");
    for (size_t i = 0; i < sizeof chat_commands / sizeof *chat_commands; i++)
        if (strlen(chat_commands[i].name) == length && strncmp(line, chat_commands[i].name, length) == 0)
            return chat_commands[i].run(chat, rest);
    cli_note("there is no command %.*s; /help lists them", (int)(length < 40 ? length : 40), line);
    return CHAT_GOES_ON;
}

static void chat_message(struct chat *chat, const char *line, size_t length, bool limit_was_given)
{
    struct answer answer;
    answer_init(&answer);
    int status = answer_text(chat, line, length, print_piece, &answer);
    if (!status && !chat->last_was_newline)
        terminal_print("\n");
    interrupts_take(); /* the one that stopped the answer is used up */
    if (!status && answer.finish == SAMPAN_FINISH_CANCELLED)
        terminal_print("(stopped)\n");
    if (!status)
        note_cut(chat, &answer, limit_was_given);
    answer_free(&answer);
}

static void greet(const struct chat *chat)
{
    char weights[32], cache[32];
    const struct sampan_model_description *model = &chat->session.model_description;
    const struct sampan_engine_description *engine = &chat->session.engine_description;
    terminal_style(STYLE_DIM);
    terminal_write_text(*model->name ? model->name : model->path, strlen(*model->name ? model->name : model->path));
    terminal_print(", %s, %s; %s; context %" PRId32 " tokens, cache %s\n/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves\n", model->quantization,
                   format_bytes(engine->weight_bytes, weights), engine->chip, engine->context, format_bytes(engine->cache_bytes, cache));
    terminal_style(STYLE_PLAIN);
}

static void print_chat_prompt(void)
{
    terminal_style(STYLE_BOLD);
    terminal_print("> ");
    terminal_style(STYLE_PLAIN);
}

static int run_chat(struct chat *chat, const struct option_value *values)
{
    struct line_reader reader;
    bool asked_to_leave = false;
    int status = EXIT_OK;
    line_reader_init(&reader, STDIN_FILENO);
    greet(chat);
    while (!terminal_output_is_gone()) {
        const char *line;
        size_t length;
        print_chat_prompt();
        enum line_status read = line_reader_next(&reader, &line, &length);
        if (read == LINE_INTERRUPTED && interrupts_take() < 2 && !asked_to_leave) {
            asked_to_leave = true;
            terminal_print("\n(Ctrl-C again or Ctrl-D leaves)\n");
            continue;
        }
        if (read != LINE_READ) {
            status = read == LINE_FAILED ? EXIT_FAILED : EXIT_OK;
            terminal_print("\n");
            break;
        }
        asked_to_leave = false;
        if (length && line[0] == '/') {
            char *command = mem_strndup(line, length);
            enum chat_command_result result = command ? run_chat_command(chat, command) : CHAT_GOES_ON;
            mem_free(command);
            if (result == CHAT_ENDS)
                break;
        } else if (length) {
            chat_message(chat, line, length, values[OPTION_MAX_TOKENS].count);
        }
    }
    line_reader_free(&reader);
    return status;
}

/* ---- The command. */

static int open_chat(struct chat *chat, const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    chat->raw = values[OPTION_RAW].count;
    if (conversation_init(&chat->conversation) || conversation_set_system(&chat->conversation, values[OPTION_SYSTEM].text))
        return cli_fail("out of memory while beginning");
    int status = session_open_model(&chat->session, arguments);
    if (status)
        return status;
    const struct sampan_model_description *model = &chat->session.model_description;
    if (!model->has_tokenizer)
        return cli_fail("'%s' has no tokenizer, so there is no text to work with; sampan score --ids works on ids", model->path);
    if (!chat->raw && !model->has_chat_template)
        return cli_fail("'%s' has no chat template, so it cannot chat; --raw continues plain text", model->path);
    status = answer_grammar_make(arguments, chat->session.model, &chat->grammar);
    if (status)
        return status;
    chat->request.grammar = chat->grammar;
    return session_open_engine(&chat->session, arguments, 1);
}

static int run_run(const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    static struct chat chat;
    chat = (struct chat){0};
    bool is_chat = !values[OPTION_PROMPT].count && terminal_is_interactive();
    if (values[OPTION_JSON].count && !values[OPTION_PROMPT].count)
        return cli_usage("--json goes with --prompt TEXT");
    if (values[OPTION_RAW].count && values[OPTION_SYSTEM].count)
        return cli_usage("--system needs the chat template, which --raw switches off");
    interrupts_catch();
    int status = choose_sampling(&chat, values, is_chat);
    if (!status)
        status = open_chat(&chat, arguments);
    if (!status)
        status = values[OPTION_PROMPT].count ? run_prompt(&chat, values) : is_chat ? run_chat(&chat, values) : run_pipe(&chat, values);
    conversation_free(&chat.conversation);
    sampan_grammar_free(chat.grammar);
    session_close(&chat.session);
    mem_free(chat.biases);
    return status;
}

static const struct option_row run_options[] = {
    {OPTION_PROMPT, "prompt", OPTION_IS_TEXT, "TEXT", "answer this once and leave", 0, 0, false},
    {OPTION_SYSTEM, "system", OPTION_IS_TEXT, "TEXT", "the system prompt", 0, 0, false},
    {OPTION_RAW, "raw", OPTION_IS_FLAG, NULL, "continue the text as it is: no chat template, no history", 0, 0, false},
    {OPTION_MAX_TOKENS, "max-tokens", OPTION_IS_INTEGER, "N", "tokens of an answer at most (default: 1024; 0: as the context allows)", 0, LIMIT_CONTEXT, false},
    {OPTION_TEMPERATURE, "temperature", OPTION_IS_NUMBER, "T", "0 takes the likeliest token each time (default: 0.6 in a chat, else 0)", 0, 100, false},
    {OPTION_TOP_K, "top-k", OPTION_IS_INTEGER, "K", "sample from the K likeliest tokens (0: all)", 0, LIMIT_VOCABULARY, false},
    {OPTION_TOP_P, "top-p", OPTION_IS_NUMBER, "P", "sample from the likeliest that make up P (default: 0.95 in a chat)", 0, 1, false},
    {OPTION_MIN_P, "min-p", OPTION_IS_NUMBER, "P", "sample from those at least P times as likely as the likeliest", 0, 1, false},
    {OPTION_TYPICAL_P, "typical-p", OPTION_IS_NUMBER, "P", "sample from those as likely as is typical that make up P", 0, 1, false},
    {OPTION_REPETITION_PENALTY, "repetition-penalty", OPTION_IS_NUMBER, "R", "above 1: tokens seen before become less likely", 0.01, 100, false},
    {OPTION_PRESENCE_PENALTY, "presence-penalty", OPTION_IS_NUMBER, "R", "taken off tokens that the answer has", -100, 100, false},
    {OPTION_FREQUENCY_PENALTY, "frequency-penalty", OPTION_IS_NUMBER, "R", "... once for each time", -100, 100, false},
    {OPTION_PENALTY_WINDOW, "penalty-window", OPTION_IS_INTEGER, "N", "the penalties look at the last N tokens (0: all)", 0, LIMIT_CONTEXT, false},
    {OPTION_LOGIT_BIAS, "logit-bias", OPTION_IS_TEXT, "ID=BIAS", "added to a token's logit; -inf: never chosen; several with commas", 0, 0, true},
    {OPTION_MIN_TOKENS, "min-tokens", OPTION_IS_INTEGER, "N", "the answer does not end before N tokens", 0, LIMIT_CONTEXT, false},
    {OPTION_IGNORE_END, "ignore-end", OPTION_IS_FLAG, NULL, "tokens that end an answer do not", 0, 0, false},
    {OPTION_SEED, "seed", OPTION_IS_INTEGER, "N", "the same seed gives the same answer (default: another each time)", 0, 9.2e18, false},
    {OPTION_STOP, "stop", OPTION_IS_TEXT, "TEXT", "end the answer before this text", 0, 0, true},
    {OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "with --prompt: print one JSON object with text, tokens, counts and times", 0, 0, false},
    OPTION_ROWS_GRAMMAR,
    OPTION_ROWS_ENGINE,
    OPTION_ROWS_END,
};

static const char *const run_examples[] = {
    "sampan run                                    # chat with the default model",
    "sampan run model.gguf --system \"Be brief.\"    # chat with another, and a system prompt",
    "sampan run --prompt \"What is 2+2?\"            # one answer, the likeliest",
    "sampan run --prompt \"A tale\" --temperature 0.8 --seed 7",
    "echo \"What is the capital of France?\" | sampan run",
    "sampan run --prompt \"A person.\" --json-schema person.json   # an answer that validates",
    "sampan run --prompt \"Is 7 prime?\" --choice yes --choice no",
    "sampan run --raw --prompt \"Once upon a time\" --max-tokens 50",
    NULL,
};

const struct command run_command = {
    "run",
    "chat with a model, or answer one prompt",
    "[MODEL]",
    0,
    1,
    run_options,
    run_examples,
    "MODEL is a GGUF file or a model's folder; without it the environment variable SAMPAN_MODEL or the default model. In a chat /help lists the\n"
    "commands, Ctrl-C stops an answer and Ctrl-D leaves. In a pipe every line is a message, and only the answers are printed; they and --prompt are\n"
    "greedy unless a sampling option is given.",
    run_run,
};
