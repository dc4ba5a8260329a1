/* sampan score: log-probabilities and greedy tokens, the tool for comparing one implementation with another. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "cli/session.h"
#include "cli/terminal.h"

enum { DEFAULT_TOP = 5, IDS_FILE_LIMIT = 512 << 20 };

struct score {
    struct session session;
    int32_t *ids;
    size_t n_ids;
    int32_t n_top, n_generate;
    struct buffer out;       /* what is printed at the end: all or nothing */
    size_t n_positions;      /* printed so far */
    struct buffer generated; /* int32_t */
    bool json;
};

static int read_ids(struct score *score, const char *path)
{
    char *text;
    size_t length;
    struct error err;
    json_t *array;
    if (file_read_whole(path, IDS_FILE_LIMIT, &text, &length, &err))
        return cli_fail("%s", err.message);
    int code = json_parse(text, length, JSON_PARSE_ARRAY, &array, &err);
    mem_free(text);
    if (code)
        return cli_fail("reading '%s': %s", path, err.message);
    int status = EXIT_OK;
    score->n_ids = json_array_size(array);
    if (!score->n_ids)
        status = cli_fail("reading '%s': expected one JSON array of token ids, at least one", path);
    else if (!(score->ids = mem_alloc_array(score->n_ids, sizeof *score->ids)))
        status = cli_fail("out of memory while reading '%s'", path);
    for (size_t i = 0; !status && i < score->n_ids; i++) {
        const json_t *id = json_array_get(array, i);
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value > INT32_MAX)
            status = cli_fail("reading '%s': element %zu is not a token id; expected a whole number from 0 on", path, i);
        else
            score->ids[i] = (int32_t)value;
    }
    json_decref(array);
    return status;
}

static int check_ids(const struct score *score)
{
    int32_t n_vocabulary = score->session.engine_description.n_vocabulary;
    for (size_t i = 0; i < score->n_ids; i++)
        if (score->ids[i] >= n_vocabulary)
            return cli_fail("element %zu is %" PRId32 "; the model has token ids from 0 to %" PRId32, i, score->ids[i], n_vocabulary - 1);
    int32_t context = score->session.engine_description.context;
    if (score->n_ids + (size_t)score->n_generate > (size_t)context)
        return cli_fail("%zu tokens and %" PRId32 " to generate do not fit in the context of %" PRId32 "; use fewer or --context N", score->n_ids,
                        score->n_generate, context);
    return EXIT_OK;
}

/* ---- Output. */

static void append_token_text(struct score *score, int32_t id)
{
    const char *text;
    size_t length;
    if (score->session.model_description.has_tokenizer && !sampan_token_text(score->session.model, id, &text, &length))
        json_append_string(&score->out, text, length);
}

static void append_position(struct score *score, size_t position, const struct sampan_logprob *logprobs)
{
    struct buffer *out = &score->out;
    if (score->json)
        buffer_append_string(out, position ? ",\n{\"logprobs\": [" : "\n{\"logprobs\": [");
    else
        buffer_printf(out, "%6zu %8" PRId32 " ", position, score->ids[position]);
    for (int32_t k = 0; k < score->n_top; k++) {
        if (score->json) {
            buffer_printf(out, "%s[%" PRId32 ", %.9g]", k ? ", " : "", logprobs[k].id, (double)logprobs[k].logprob);
        } else {
            buffer_printf(out, "  %" PRId32 " ", logprobs[k].id);
            append_token_text(score, logprobs[k].id);
            buffer_printf(out, " %.4f", (double)logprobs[k].logprob);
        }
    }
    buffer_append_string(out, score->json ? "]}" : "\n");
}

static int take_event(void *self, const struct sampan_event *event)
{
    struct score *score = self;
    for (int32_t i = 0; i < event->n_prompt_positions && event->n_prompt_logprobs == score->n_top; i++)
        append_position(score, score->n_positions++, event->prompt_logprobs + (size_t)i * (size_t)score->n_top);
    buffer_append(&score->generated, event->tokens, (size_t)event->n_tokens * sizeof *event->tokens);
    return score->out.failed != 0;
}

static void append_beginning(struct score *score)
{
    if (!score->json) {
        buffer_append_string(&score->out, "position  token   likeliest next tokens: id, text, log-probability\n");
        return;
    }
    buffer_append_string(&score->out, "{\"tokens\": [");
    for (size_t i = 0; i < score->n_ids; i++)
        buffer_printf(&score->out, "%s%" PRId32, i ? ", " : "", score->ids[i]);
    buffer_append_string(&score->out, "],\n\"positions\": [");
}

static void append_end(struct score *score)
{
    const int32_t *generated = (const int32_t *)(const void *)score->generated.data;
    size_t n_generated = score->generated.length / sizeof *generated;
    buffer_append_string(&score->out, score->json ? "]" : "");
    if (score->n_generate) {
        buffer_append_string(&score->out, score->json ? ",\n\"generated\": [" : "generated:");
        for (size_t i = 0; i < n_generated; i++)
            buffer_printf(&score->out, "%s%" PRId32, score->json ? i ? ", " : "" : " ", generated[i]);
        buffer_append_string(&score->out, score->json ? "]" : "\n");
    }
    buffer_append_string(&score->out, score->json ? "}\n" : "");
}

/* ---- The command. */

static int compute(struct score *score)
{
    struct sampan_request request = {
        .size = sizeof request,
        .prompt = score->ids,
        .n_prompt = score->n_ids,
        .max_tokens = score->n_generate ? score->n_generate : SAMPAN_PROMPT_ONLY,
        .n_prompt_logprobs = score->n_top,
        .ignore_end = 1,
    };
    append_beginning(score);
    int code = sampan_generate(score->session.engine, &request, take_event, score);
    if (score->out.failed || score->generated.failed)
        return cli_fail("out of memory while collecting the log-probabilities of %zu positions", score->n_ids);
    if (code)
        return session_fail();
    if (score->n_positions != score->n_ids)
        return cli_fail("the engine gave log-probabilities of %zu positions, expected %zu: this is a bug, please report it", score->n_positions, score->n_ids);
    append_end(score);
    if (score->out.failed)
        return cli_fail("out of memory while writing the result");
    terminal_write(score->out.data, score->out.length);
    return EXIT_OK;
}

static int prepare(struct score *score, const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    const char *text = values[OPTION_TEXT].text;
    int status = session_open_model(&score->session, arguments);
    if (!status && values[OPTION_IDS].count)
        status = read_ids(score, values[OPTION_IDS].text);
    else if (!status && sampan_tokenize(score->session.model, text, strlen(text), SAMPAN_TOKENIZE_BOS_EOS, &score->ids, &score->n_ids))
        status = session_fail();
    if (!status && !score->n_ids)
        status = cli_fail("the text is empty; expected at least one token");
    if (!status)
        status = session_open_engine(&score->session, arguments, 1);
    return status ? status : check_ids(score);
}

static int run_score(const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    struct score score = {
        .n_top = values[OPTION_TOP].count ? (int32_t)values[OPTION_TOP].integer : DEFAULT_TOP,
        .n_generate = (int32_t)values[OPTION_GENERATE].integer,
        .json = values[OPTION_JSON].count,
    };
    if (values[OPTION_IDS].count + values[OPTION_TEXT].count != 1)
        return cli_usage("score needs either --ids FILE.json or --text STR");
    buffer_init(&score.out, (size_t)2 << 30);
    buffer_init(&score.generated, (size_t)LIMIT_CONTEXT * sizeof(int32_t));
    int status = prepare(&score, arguments);
    if (!status)
        status = compute(&score);
    session_close(&score.session);
    buffer_free(&score.out);
    buffer_free(&score.generated);
    mem_free(score.ids);
    return status;
}

static const struct option_row score_options[] = {
    {OPTION_IDS, "ids", OPTION_IS_TEXT, "FILE.json", "token ids: one JSON array", 0, 0, false},
    {OPTION_TEXT, "text", OPTION_IS_TEXT, "STR", "or a text, with the tokenizer's BOS", 0, 0, false},
    {OPTION_TOP, "top", OPTION_IS_INTEGER, "K", "the K likeliest tokens after each position (default: 5)", 1, LIMIT_LOGPROBS, false},
    {OPTION_GENERATE, "generate", OPTION_IS_INTEGER, "N", "continue with N greedy tokens, past any that would end an answer", 0, LIMIT_CONTEXT, false},
    {OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "print one JSON object: tokens, positions, generated", 0, 0, false},
    OPTION_ROWS_ENGINE,
    OPTION_ROWS_END,
};

static const char *const score_examples[] = {
    "sampan score model.gguf --text \"The capital of France is\" --top 3",
    "sampan score model.gguf --ids ids.json --top 64 --generate 32 --json",
    "sampan score model.gguf --ids ids.json --chip reference --json   # the oracle, slowly",
    NULL,
};

const struct command score_command = {
    "score",
    "log-probabilities and greedy tokens of given ids or text",
    "MODEL",
    1,
    1,
    score_options,
    score_examples,
    "Position i holds the distribution of the token after ids[0..i], as natural logarithms, the likeliest first. With --ids no tokenizer is needed.",
    run_score,
};
