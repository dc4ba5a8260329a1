#include "cli/chat.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/answer_grammar.h"
#include "cli/logit_bias.h"
#include "cli/terminal.h"

enum { DEFAULT_MAX_TOKENS = 1024, TEXTS_LIMIT = 64 << 20 };

/* At a terminal, where neither the model's maker nor the user says anything. */
#define CHAT_TEMPERATURE 0.6
#define CHAT_TOP_P 0.95

/* ---- Sampling. */

enum parameter_kind { PARAMETER_DOUBLE, PARAMETER_INT32, PARAMETER_UINT64, PARAMETER_FLAG };

/* An option that becomes a field of the request as it is. `samples`: whoever gives it wants an answer that is not the likeliest. */
static const struct parameter {
    enum option_id option;
    enum parameter_kind kind;
    size_t offset;
    bool samples;
} parameters[] = {
    {OPTION_TEMPERATURE, PARAMETER_DOUBLE, offsetof(struct sampan_request, temperature), true},
    {OPTION_TOP_K, PARAMETER_INT32, offsetof(struct sampan_request, top_k), true},
    {OPTION_TOP_P, PARAMETER_DOUBLE, offsetof(struct sampan_request, top_p), true},
    {OPTION_MIN_P, PARAMETER_DOUBLE, offsetof(struct sampan_request, min_p), true},
    {OPTION_TYPICAL_P, PARAMETER_DOUBLE, offsetof(struct sampan_request, typical_p), true},
    {OPTION_REPETITION_PENALTY, PARAMETER_DOUBLE, offsetof(struct sampan_request, repetition_penalty), false},
    {OPTION_PRESENCE_PENALTY, PARAMETER_DOUBLE, offsetof(struct sampan_request, presence_penalty), false},
    {OPTION_FREQUENCY_PENALTY, PARAMETER_DOUBLE, offsetof(struct sampan_request, frequency_penalty), false},
    {OPTION_PENALTY_WINDOW, PARAMETER_INT32, offsetof(struct sampan_request, penalty_window), false},
    {OPTION_MAX_TOKENS, PARAMETER_INT32, offsetof(struct sampan_request, max_tokens), false},
    {OPTION_MIN_TOKENS, PARAMETER_INT32, offsetof(struct sampan_request, min_tokens), false},
    {OPTION_IGNORE_END, PARAMETER_FLAG, offsetof(struct sampan_request, ignore_end), false},
    {OPTION_SEED, PARAMETER_UINT64, offsetof(struct sampan_request, seed), true},
};

#define N_PARAMETERS (sizeof parameters / sizeof parameters[0])

const int chat_parameters[] = {OPTION_MAX_TOKENS,
                               OPTION_TEMPERATURE,
                               OPTION_TOP_K,
                               OPTION_TOP_P,
                               OPTION_MIN_P,
                               OPTION_TYPICAL_P,
                               OPTION_REPETITION_PENALTY,
                               OPTION_PRESENCE_PENALTY,
                               OPTION_FREQUENCY_PENALTY,
                               OPTION_PENALTY_WINDOW,
                               OPTION_LOGIT_BIAS,
                               OPTION_MIN_TOKENS,
                               OPTION_IGNORE_END,
                               OPTION_SEED,
                               OPTION_STOP,
                               -1};

static void apply_parameter(const struct parameter *parameter, const struct option_value *value, struct sampan_request *request)
{
    void *field = (char *)request + parameter->offset;
    switch (parameter->kind) {
    case PARAMETER_DOUBLE: *(double *)field = value->number; break;
    case PARAMETER_INT32: *(int32_t *)field = (int32_t)value->integer; break;
    case PARAMETER_UINT64: *(uint64_t *)field = (uint64_t)value->integer; break;
    case PARAMETER_FLAG: *(int32_t *)field = 1; break;
    }
}

/* What the model's maker recommends, and what suits a chat where nothing is said. A temperature that was given goes with the top-p that was given. */
static int recommend_sampling(struct chat *chat, bool was_chosen)
{
    struct sampan_request *request = &chat->request, recommended = {.size = sizeof recommended, .temperature = CHAT_TEMPERATURE, .top_p = CHAT_TOP_P};
    if (sampan_model_recommend(chat->session.model, &recommended, NULL))
        return session_fail();
    request->temperature = recommended.temperature;
    if (request->temperature <= 0 && was_chosen) /* a seed or a top-k makes sense only so */
        request->temperature = CHAT_TEMPERATURE;
    request->top_p = chat->values[OPTION_TEMPERATURE].count ? 0 : recommended.top_p;
    request->top_k = recommended.top_k;
    request->min_p = recommended.min_p;
    request->typical_p = recommended.typical_p;
    request->repetition_penalty = recommended.repetition_penalty;
    return EXIT_OK;
}

int chat_choose_sampling(struct chat *chat)
{
    struct sampan_request *request = &chat->request;
    const struct option_value *values = chat->values;
    bool was_chosen = false;
    *request = (struct sampan_request){
        .size = sizeof *request,
        .max_tokens = DEFAULT_MAX_TOKENS,
        .stops = chat->stops,
        .n_stops = (size_t)values[OPTION_STOP].count,
        .grammar = chat->grammar,
    };
    for (size_t i = 0; i < N_PARAMETERS; i++)
        was_chosen = was_chosen || (parameters[i].samples && values[parameters[i].option].count);
    int status = chat->is_chat || was_chosen ? recommend_sampling(chat, was_chosen) : EXIT_OK;
    for (size_t i = 0; i < N_PARAMETERS; i++)
        if (values[parameters[i].option].count)
            apply_parameter(&parameters[i], &values[parameters[i].option], request);
    for (int i = 0; i < values[OPTION_STOP].count; i++)
        chat->stops[i] = (struct sampan_text){values[OPTION_STOP].texts[i], strlen(values[OPTION_STOP].texts[i])};
    if (request->temperature > 0 && !values[OPTION_SEED].count)
        request->seed = (uint64_t)time(NULL) * 1000003u ^ (uint64_t)getpid();
    mem_free(chat->biases);
    chat->biases = NULL;
    if (!status)
        status = logit_bias_parse(&values[OPTION_LOGIT_BIAS], &chat->biases, &request->n_logit_biases);
    request->logit_biases = chat->biases;
    return status;
}

static void print_texts(const struct option_value *value)
{
    for (int i = 0; i < value->count; i++) {
        terminal_print(" ");
        terminal_write_text(value->texts[i], strlen(value->texts[i]));
    }
    terminal_print(value->count ? "\n" : " none\n");
}

void chat_print_parameter(const struct chat *chat, const struct option_row *row)
{
    terminal_print("  %-20s", row->name);
    for (size_t i = 0; i < N_PARAMETERS; i++) {
        const void *field = (const char *)&chat->request + parameters[i].offset;
        if (parameters[i].option != row->id)
            continue;
        switch (parameters[i].kind) {
        case PARAMETER_DOUBLE: terminal_print(" %g\n", *(const double *)field); return;
        case PARAMETER_INT32: terminal_print(" %" PRId32 "\n", *(const int32_t *)field); return;
        case PARAMETER_UINT64: terminal_print(" %" PRIu64 "\n", *(const uint64_t *)field); return;
        case PARAMETER_FLAG: terminal_print(*(const int32_t *)field ? " on\n" : " off\n"); return;
        }
    }
    print_texts(&chat->values[row->id]);
}

/* ---- One answer. */

void chat_print_event(void *self, const struct sampan_event *event)
{
    struct chat *chat = self;
    if (!event->text_length)
        return;
    terminal_write_text(event->text, event->text_length);
    terminal_flush();
    chat->last_was_newline = event->text[event->text_length - 1] == '\n';
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

void chat_note_cut(const struct chat *chat, const struct answer *answer)
{
    if (answer->finish != SAMPAN_FINISH_LENGTH)
        return;
    if (answer->n_prompt_tokens + answer->n_generated_tokens >= chat->session.engine_description.context)
        cli_note("the context of %" PRId32 " tokens is full, so the answer was cut; --context N may allow more", chat->session.engine_description.context);
    else if (!chat->values[OPTION_MAX_TOKENS].count)
        cli_note("the answer was cut after %" PRId32 " tokens; --max-tokens N allows more", answer->n_generated_tokens);
}

int chat_answer(struct chat *chat, const char *text, size_t length, void (*on_event)(void *self, const struct sampan_event *event), void *self,
                struct answer *answer)
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
        chat->last_was_newline = true;
        status = session_answer(&chat->session, &request, on_event, self, answer) ? EXIT_FAILED : EXIT_OK;
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

/* ---- Opening. */

static int open_parts(struct chat *chat, const struct arguments *arguments)
{
    if (conversation_init(&chat->conversation) || conversation_set_system(&chat->conversation, chat->values[OPTION_SYSTEM].text))
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
    if (!status)
        status = chat_choose_sampling(chat);
    return status ? status : session_open_engine(&chat->session, arguments, 1);
}

int chat_open(struct chat *chat, const struct arguments *arguments, bool is_chat)
{
    *chat = (struct chat){.is_chat = is_chat, .raw = arguments->values[OPTION_RAW].count != 0};
    memcpy(chat->values, arguments->values, sizeof chat->values);
    arena_init(&chat->texts, TEXTS_LIMIT);
    return open_parts(chat, arguments);
}

void chat_close(struct chat *chat)
{
    conversation_free(&chat->conversation);
    sampan_grammar_free(chat->grammar);
    session_close(&chat->session);
    mem_free(chat->biases);
    arena_free(&chat->texts);
}
