/* sampan tokenize: text to token ids and back, a line at a time. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "cli/session.h"
#include "cli/terminal.h"

struct tokenize {
    struct session session;
    bool special, decode;
    struct buffer out; /* one line */
    size_t line;       /* number of the line in work, from 1; 0: --text */
};

static int fail_line(const struct tokenize *tokenize, const char *message)
{
    return tokenize->line ? cli_fail("line %zu: %s", tokenize->line, message) : cli_fail("%s", message);
}

static int print_line(struct tokenize *tokenize)
{
    if (buffer_append_char(&tokenize->out, '\n'))
        return fail_line(tokenize, "out of memory");
    terminal_write(tokenize->out.data, tokenize->out.length);
    return EXIT_OK;
}

static int encode_text(struct tokenize *tokenize, const char *text, size_t length)
{
    int32_t *ids;
    size_t n_ids;
    uint32_t flags = tokenize->special ? SAMPAN_TOKENIZE_CONTROL | SAMPAN_TOKENIZE_BOS_EOS : 0;
    if (sampan_tokenize(tokenize->session.model, text, length, flags, &ids, &n_ids))
        return fail_line(tokenize, sampan_error_message());
    buffer_clear(&tokenize->out);
    buffer_append_char(&tokenize->out, '[');
    for (size_t i = 0; i < n_ids; i++)
        buffer_printf(&tokenize->out, i ? ", %" PRId32 : "%" PRId32, ids[i]);
    buffer_append_char(&tokenize->out, ']');
    sampan_free(ids);
    return print_line(tokenize);
}

static int decode_ids(struct tokenize *tokenize, const int32_t *ids, size_t n_ids)
{
    char *text;
    size_t length;
    if (sampan_detokenize(tokenize->session.model, ids, n_ids, tokenize->special ? SAMPAN_DETOKENIZE_CONTROL : 0, &text, &length))
        return fail_line(tokenize, sampan_error_message());
    buffer_clear(&tokenize->out);
    json_append_string(&tokenize->out, text, length);
    sampan_free(text);
    return print_line(tokenize);
}

static int decode_array(struct tokenize *tokenize, const json_t *array)
{
    size_t count = json_array_size(array);
    if (!json_is_array(array))
        return fail_line(tokenize, "expected a JSON array of token ids");
    int32_t *ids = mem_alloc_array(count, sizeof *ids);
    if (!ids)
        return fail_line(tokenize, "out of memory");
    int status = EXIT_OK;
    for (size_t i = 0; i < count && !status; i++) {
        const json_t *id = json_array_get(array, i);
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value > INT32_MAX)
            status = fail_line(tokenize, "an element is not a token id; expected whole numbers from 0 on");
        else
            ids[i] = (int32_t)value;
    }
    if (!status)
        status = decode_ids(tokenize, ids, count);
    mem_free(ids);
    return status;
}

static int work_on_line(struct tokenize *tokenize, const char *line, size_t length)
{
    struct error problem;
    json_t *value;
    int status = EXIT_OK;
    if (json_parse(line, length, JSON_PARSE_NUL | JSON_PARSE_ANY, &value, &problem))
        return fail_line(tokenize, problem.message);
    if (tokenize->decode)
        status = decode_array(tokenize, value);
    else if (json_is_string(value))
        status = encode_text(tokenize, json_string_value(value), json_string_length(value));
    else
        status = fail_line(tokenize, "expected a JSON string");
    json_decref(value);
    return status;
}

static int work_on_input(struct tokenize *tokenize)
{
    struct line_reader reader;
    const char *line;
    size_t length;
    int status = EXIT_OK;
    enum line_status read = LINE_END;
    line_reader_init(&reader, STDIN_FILENO);
    while (!status && !terminal_output_is_gone() && (read = line_reader_next(&reader, &line, &length)) == LINE_READ) {
        tokenize->line++;
        if (length)
            status = work_on_line(tokenize, line, length);
    }
    line_reader_free(&reader);
    return read == LINE_FAILED ? EXIT_FAILED : status;
}

static int run_tokenize(const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    struct tokenize tokenize = {.special = values[OPTION_SPECIAL].count, .decode = values[OPTION_DECODE].count};
    const char *text = values[OPTION_TEXT].text;
    if (values[OPTION_JSONL].count + values[OPTION_TEXT].count != 1)
        return cli_usage("tokenize needs either --jsonl (lines on standard input) or --text STR");
    buffer_init(&tokenize.out, (size_t)1 << 30);
    int status = session_open_model(&tokenize.session, arguments);
    if (!status && text && tokenize.decode)
        status = work_on_line(&tokenize, text, strlen(text));
    else if (!status)
        status = text ? encode_text(&tokenize, text, strlen(text)) : work_on_input(&tokenize);
    buffer_free(&tokenize.out);
    session_close(&tokenize.session);
    return status;
}

static const struct option_row tokenize_options[] = {
    {OPTION_JSONL, "jsonl", OPTION_IS_FLAG, NULL, "read one JSON string per line, print one JSON array of ids per line", 0, 0, false},
    {OPTION_TEXT, "text", OPTION_IS_TEXT, "STR", "work on this text instead", 0, 0, false},
    {OPTION_SPECIAL, "special", OPTION_IS_FLAG, NULL, "control tokens in the text are recognised, BOS and EOS added as the model has it", 0, 0, false},
    {OPTION_DECODE, "decode", OPTION_IS_FLAG, NULL, "the other way round: arrays of ids in, JSON strings out", 0, 0, false},
    OPTION_ROWS_END,
};

static const char *const tokenize_examples[] = {
    "sampan tokenize model.gguf --text \"Hello, world\"",
    "sampan tokenize model.gguf --jsonl < strings.jsonl > ids.jsonl",
    "sampan tokenize model.gguf --jsonl --decode --special < ids.jsonl",
    "sampan tokenize model.gguf --decode --text \"[1, 2, 3]\"",
    "sampan tokenize folder/ --text \"Hello\"                  # a folder with tokenizer.json",
    NULL,
};

const struct command tokenize_command = {
    "tokenize",
    "text to token ids and back",
    "MODEL",
    1,
    1,
    tokenize_options,
    tokenize_examples,
    "Without --special all input is data: nothing written in it becomes a control token. With --decode control tokens are left out unless --special is given, "
    "and bytes\n"
    "that are not UTF-8 become U+FFFD.",
    run_tokenize,
};
