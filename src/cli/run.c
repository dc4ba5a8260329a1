/* sampan run: a chat, or one answer.
 *
 * Three ways to be called. At a terminal it is a chat: lines are messages, lines that begin with '/' are commands, Ctrl-C stops an answer. In a pipe every
 * line is a message, whatever it looks like, and nothing but the answers goes to standard output. With --prompt it answers once. The last two are greedy
 * unless a sampling option says otherwise, so that they can be repeated.
 *
 * With --json an answer is one object on one line; with --stream besides, an object for each piece comes before it. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/answer_grammar.h"
#include "cli/chat.h"
#include "cli/terminal.h"

/* ---- JSON. */

static const char *finish_name(int32_t finish)
{
    static const char *const names[] = {"none", "end", "stop", "length", "cancelled", "error"};
    return finish >= 0 && finish < (int32_t)(sizeof names / sizeof *names) ? names[finish] : "unknown";
}

static double seconds(uint64_t nanoseconds)
{
    return (double)nanoseconds * 1e-9;
}

static void add_tokens(struct buffer *out, const int32_t *tokens, size_t n_tokens)
{
    buffer_append_string(out, ", \"tokens\": [");
    for (size_t i = 0; i < n_tokens; i++)
        buffer_printf(out, "%s%" PRId32, i ? ", " : "", tokens[i]);
    buffer_append_char(out, ']');
}

/* Writes a line of JSON out and frees it; an exit code. */
static int print_json(struct buffer *out)
{
    int status = EXIT_OK;
    if (out->failed)
        status = cli_fail("out of memory while writing the answer");
    else
        terminal_write(out->data, out->length);
    terminal_flush();
    buffer_free(out);
    return status;
}

static int print_answer_json(const struct chat *chat, const struct answer *answer)
{
    struct buffer out;
    const struct session *session = &chat->session;
    buffer_init(&out, (size_t)LIMIT_TEXT * 8);
    buffer_append_string(&out, "{\"text\": ");
    json_append_string(&out, answer->text.data, answer->text.length);
    add_tokens(&out, (const int32_t *)(const void *)answer->tokens.data, answer->tokens.length / sizeof(int32_t));
    buffer_printf(&out,
                  ", \"finish\": \"%s\", \"end_token\": %" PRId32 ", \"prompt_tokens\": %" PRId32 ", \"cached_tokens\": %" PRId32
                  ", \"generated_tokens\": %" PRId32,
                  finish_name(answer->finish), answer->end_token, answer->n_prompt_tokens, answer->n_cached_tokens, answer->n_generated_tokens);
    buffer_printf(&out, ", \"seconds_to_first_token\": %.6f, \"seconds\": %.6f, \"seed\": %" PRIu64 ", \"model\": ",
                  answer->first_token_ns ? seconds(answer->first_token_ns - answer->started_ns) : 0.0, seconds(answer->ended_ns - answer->started_ns),
                  chat->request.seed);
    json_append_string(&out, session->model_description.path, strlen(session->model_description.path));
    buffer_append_string(&out, ", \"system_fingerprint\": ");
    json_append_string(&out, session->engine_description.system_fingerprint, strlen(session->engine_description.system_fingerprint));
    buffer_append_string(&out, "}\n");
    return print_json(&out);
}

/* {"delta": "new text", "tokens": [...]} */
static void print_event_json(void *self, const struct sampan_event *event)
{
    struct buffer out;
    (void)self;
    if (!event->text_length && !event->n_tokens)
        return;
    buffer_init(&out, (size_t)LIMIT_TEXT * 8);
    buffer_append_string(&out, "{\"delta\": ");
    json_append_string(&out, event->text, event->text_length);
    add_tokens(&out, event->tokens, (size_t)event->n_tokens);
    buffer_append_string(&out, "}\n");
    print_json(&out);
}

/* ---- One prompt, or the lines of a pipe. */

static int answer_once(struct chat *chat, const char *text, size_t length)
{
    struct answer answer;
    bool json = chat->values[OPTION_JSON].count, stream = chat->values[OPTION_STREAM].count;
    answer_init(&answer);
    int status = chat_answer(chat, text, length, !json ? chat_print_event : stream ? print_event_json : NULL, chat, &answer);
    if (!status && json)
        status = print_answer_json(chat, &answer);
    else if (!status && !chat->last_was_newline)
        terminal_print("\n");
    terminal_flush();
    if (!status && answer.finish == SAMPAN_FINISH_CANCELLED && !terminal_output_is_gone())
        status = cli_fail("interrupted");
    if (!status)
        chat_note_cut(chat, &answer);
    answer_free(&answer);
    return status;
}

static int run_pipe(struct chat *chat)
{
    struct line_reader reader;
    const char *line;
    size_t length;
    int status = EXIT_OK;
    enum line_status read = LINE_END;
    line_reader_init(&reader, STDIN_FILENO);
    while (!status && !terminal_output_is_gone() && (read = line_reader_next(&reader, &line, &length)) == LINE_READ)
        if (length)
            status = answer_once(chat, line, length);
    if (!status && read == LINE_INTERRUPTED)
        status = cli_fail("interrupted");
    line_reader_free(&reader);
    return read == LINE_FAILED ? EXIT_FAILED : status;
}

/* ---- The command. */

extern const struct command run_command;

static int run_run(const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    static struct chat chat; /* some 20 KB */
    bool is_chat = !values[OPTION_PROMPT].count && !values[OPTION_JSON].count && terminal_is_interactive();
    if (values[OPTION_STREAM].count && !values[OPTION_JSON].count)
        return cli_usage("--stream goes with --json; without it an answer is printed while it is made");
    if (values[OPTION_RAW].count && values[OPTION_SYSTEM].count)
        return cli_usage("--system needs the chat template, which --raw switches off");
    interrupts_catch();
    int status = chat_open(&chat, arguments, is_chat);
    const char *prompt = values[OPTION_PROMPT].text;
    if (!status)
        status = prompt ? answer_once(&chat, prompt, strlen(prompt)) : is_chat ? chat_at_terminal(&chat, run_command.options) : run_pipe(&chat);
    chat_close(&chat);
    return status;
}
static const struct option_row run_options[] = {
    {OPTION_PROMPT, "prompt", OPTION_IS_TEXT, "TEXT", "answer this once and leave", 0, 0, false},
    {OPTION_SYSTEM, "system", OPTION_IS_TEXT, "TEXT", "the system prompt", 0, 0, false},
    {OPTION_RAW, "raw", OPTION_IS_FLAG, NULL, "continue the text as it is: no chat template, no history", 0, 0, false},
    {OPTION_MAX_TOKENS, "max-tokens", OPTION_IS_INTEGER, "N", "tokens of an answer at most (default: 1024; 0: as the context allows)", 0, LIMIT_CONTEXT, false},
    {OPTION_TEMPERATURE, "temperature", OPTION_IS_NUMBER, "T", "0 takes the likeliest token each time (default: in a chat as the model says, or 0.6; else 0)",
     0, 100, false},
    {OPTION_TOP_K, "top-k", OPTION_IS_INTEGER, "K", "sample from the K likeliest tokens (0: all)", 0, LIMIT_VOCABULARY, false},
    {OPTION_TOP_P, "top-p", OPTION_IS_NUMBER, "P", "sample from the likeliest that make up P (default: in a chat as the model says, or 0.95)", 0, 1, false},
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
    {OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "each answer as one JSON object on one line: text, tokens, counts, times", 0, 0, false},
    {OPTION_STREAM, "stream", OPTION_IS_FLAG, NULL, "with --json: before it an object for each piece, as it comes", 0, 0, false},
    {OPTION_NO_HISTORY, "no-history", OPTION_IS_FLAG, NULL, "a chat neither reads nor keeps the history of its lines", 0, 0, false},
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
