/* The public API, first half: the library itself, models, text and chats. See include/sampan.h for what each function promises; this file joins the rooms. */
#include "sampan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "sampan_internal.h"
#include "text/detokenizer.h"

/* ---- The library. */

struct error *api_error(void)
{
    static _Thread_local struct error error;
    return &error;
}

const char *sampan_version(void)
{
    return SAMPAN_VERSION;
}

const char *sampan_error_message(void)
{
    return api_error()->message;
}

const char *sampan_error_name(int code)
{
    return error_code_name(code);
}

void sampan_free(void *memory)
{
    mem_free(memory);
}

int api_invalid(const char *what, const char *problem)
{
    return error_set(api_error(), SAMPAN_EINVAL, "%s: %s", what, problem);
}

static int read_size(const void *theirs, const char *what, size_t *size, struct error *err)
{
    if (!theirs)
        return error_set(err, SAMPAN_EINVAL, "%s: the struct is NULL", what);
    memcpy(size, theirs, sizeof *size);
    if (*size < sizeof *size || *size > 65536)
        return error_set(err, SAMPAN_EINVAL, "%s: the struct's size is %zu; set it to sizeof of the struct", what, *size);
    return 0;
}

int api_read_struct(void *ours, size_t known, const void *theirs, const char *what, struct error *err)
{
    size_t size = 0;
    int code = read_size(theirs, what, &size, err);
    if (code)
        return code;
    memset(ours, 0, known);
    memcpy(ours, theirs, size < known ? size : known);
    for (size_t i = known; i < size; i++)
        if (((const char *)theirs)[i])
            return error_set(err, SAMPAN_EUNSUPPORTED, "%s: a field that this library (version %s) does not know is set; use a newer library", what,
                             SAMPAN_VERSION);
    return 0;
}

int api_write_struct(void *theirs, const void *ours, size_t known, const char *what, struct error *err)
{
    size_t size = 0;
    int code = read_size(theirs, what, &size, err);
    if (code)
        return code;
    size_t filled = size < known ? size : known;
    memcpy((char *)theirs + sizeof size, (const char *)ours + sizeof size, filled - sizeof size);
    memset((char *)theirs + filled, 0, size - filled);
    return 0;
}

/* ---- Models. */

/* A whole number under one of the keys that files use for it; 0 when absent or odd: describing never fails. */
static int32_t find_number(const struct checkpoint *checkpoint, const char *gguf_key, const char *config_key)
{
    char key[256];
    int64_t value = 0;
    bool found = false;
    snprintf(key, sizeof key, "%s.%s", checkpoint->architecture ? checkpoint->architecture : "", gguf_key);
    const char *chosen = checkpoint->kind == CHECKPOINT_GGUF ? key : config_key;
    if (checkpoint_get_int(checkpoint, chosen, 0, INT32_MAX, &value, &found, NULL) || !found)
        return 0;
    return (int32_t)value;
}

static void count_tensors(const struct checkpoint *checkpoint, struct sampan_model_description *description)
{
    uint64_t bytes_of_type[TENSOR_TYPE_COUNT] = {0};
    int largest = -1;
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        const struct checkpoint_tensor *tensor = &checkpoint->tensors[i];
        uint64_t elements = 1;
        for (int d = 0; d < tensor->n_dimensions; d++)
            elements *= tensor->shape[d];
        description->n_parameters += elements;
        description->weight_bytes += tensor->bytes;
        bytes_of_type[tensor->type] += tensor->bytes;
        if (largest < 0 || bytes_of_type[tensor->type] > bytes_of_type[largest])
            largest = (int)tensor->type;
    }
    description->quantization = largest < 0 ? "" : tensor_types[largest].name;
}

static int describe_checkpoint(sampan_model *model, struct error *err)
{
    const struct checkpoint *checkpoint = model->checkpoint;
    struct sampan_model_description *description = &model->description;
    const char *name = "";
    bool found = false;
    if (checkpoint_get_string(checkpoint, "general.name", &name, &found, NULL) || !found)
        name = "";
    if (!(model->name = mem_strndup(name, strlen(name))))
        return error_no_memory(err, "describing a model");
    *description = (struct sampan_model_description){
        .size = sizeof *description,
        .path = checkpoint->path,
        .name = model->name,
        .architecture = checkpoint->architecture ? checkpoint->architecture : "",
        .n_layers = find_number(checkpoint, "block_count", "num_hidden_layers"),
        .hidden_size = find_number(checkpoint, "embedding_length", "hidden_size"),
        .context_length = find_number(checkpoint, "context_length", "max_position_embeddings"),
        .bos_token = -1,
        .eos_token = -1,
        .has_tokenizer = checkpoint->has_tokenizer,
    };
    if (checkpoint->has_tokenizer) {
        description->n_vocabulary = checkpoint->tokenizer.n_tokens;
        description->bos_token = checkpoint->tokenizer.bos_id;
        description->eos_token = checkpoint->tokenizer.eos_id;
        description->has_chat_template = checkpoint->tokenizer.chat_template != NULL;
    }
    count_tensors(checkpoint, description);
    return 0;
}

int sampan_model_open(const char *path, sampan_model **model)
{
    struct error *err = api_error();
    if (!model)
        return api_invalid("opening a model", "the out parameter is NULL");
    *model = NULL;
    if (!path)
        return api_invalid("opening a model", "the path is NULL");
    sampan_model *made = mem_zalloc(sizeof *made);
    if (!made)
        return error_no_memory(err, "opening a model");
    pthread_mutex_init(&made->mutex, NULL);
    int code = checkpoint_open(path, &made->checkpoint, err);
    if (!code)
        code = describe_checkpoint(made, err);
    if (code) {
        sampan_model_close(made);
        return code;
    }
    *model = made;
    return 0;
}

void sampan_model_close(sampan_model *model)
{
    if (!model)
        return;
    chat_template_free(model->chat.chat_template);
    chat_template_free(model->chat_with_tools.chat_template);
    token_trie_free(model->trie);
    tokenizer_free(model->tokenizer);
    checkpoint_close(model->checkpoint);
    pthread_mutex_destroy(&model->mutex);
    mem_free(model->name);
    mem_free(model);
}

int sampan_model_describe(const sampan_model *model, struct sampan_model_description *description)
{
    if (!model)
        return api_invalid("describing a model", "the model is NULL");
    return api_write_struct(description, &model->description, sizeof model->description, "describing a model", api_error());
}

/* ---- What the maker recommends. */

struct recommendation {
    const char *config_key, *gguf_key;
    double minimum, maximum;
    size_t offset; /* in struct sampan_request */
    bool is_integer;
};

static const struct recommendation recommendations[] = {
    {"generation_config.temperature", "general.sampling.temp", 0, 100, offsetof(struct sampan_request, temperature), false},
    {"generation_config.top_k", "general.sampling.top_k", 0, LIMIT_VOCABULARY, offsetof(struct sampan_request, top_k), true},
    {"generation_config.top_p", "general.sampling.top_p", 0, 1, offsetof(struct sampan_request, top_p), false},
    {"generation_config.min_p", "general.sampling.min_p", 0, 1, offsetof(struct sampan_request, min_p), false},
    {"generation_config.typical_p", NULL, 0, 1, offsetof(struct sampan_request, typical_p), false},
    {"generation_config.repetition_penalty", "general.sampling.penalty_repeat", 0.01, 100, offsetof(struct sampan_request, repetition_penalty), false},
};

/* One recommendation into our copy of the request; *n_set counts. */
static int recommend(const struct checkpoint *checkpoint, const struct recommendation *row, struct sampan_request *request, int32_t *n_set, struct error *err)
{
    const char *key = checkpoint->kind == CHECKPOINT_GGUF ? row->gguf_key : row->config_key;
    void *field = (char *)request + row->offset;
    double number = 0;
    int64_t whole = 0;
    bool found = false;
    int code = 0;
    if (key && row->is_integer)
        code = checkpoint_get_int(checkpoint, key, (int64_t)row->minimum, (int64_t)row->maximum, &whole, &found, err);
    else if (key)
        code = checkpoint_get_float(checkpoint, key, row->minimum, row->maximum, &number, &found, err);
    if (code || !found)
        return code;
    if (row->is_integer)
        *(int32_t *)field = (int32_t)whole;
    else
        *(double *)field = number;
    ++*n_set;
    return 0;
}

int sampan_model_recommend(const sampan_model *model, struct sampan_request *request, int32_t *n_set)
{
    struct error *err = api_error();
    struct sampan_request ours;
    int32_t n = 0;
    if (n_set)
        *n_set = 0;
    if (!model)
        return api_invalid("asking for recommended sampling", "the model is NULL");
    int code = api_read_struct(&ours, sizeof ours, request, "asking for recommended sampling", err);
    for (size_t i = 0; !code && i < sizeof recommendations / sizeof recommendations[0]; i++)
        code = recommend(model->checkpoint, &recommendations[i], &ours, &n, err);
    bool samples = true, found = false;
    if (!code && model->checkpoint->kind != CHECKPOINT_GGUF)
        code = checkpoint_get_bool(model->checkpoint, "generation_config.do_sample", &samples, &found, err);
    if (code)
        return code;
    if (found && !samples) { /* the maker says: always the likeliest token */
        ours.temperature = 0;
        n++;
    }
    if (n_set)
        *n_set = n;
    return api_write_struct(request, &ours, sizeof ours, "asking for recommended sampling", err);
}

/* ---- Text. */

int api_model_tokenizer(sampan_model *model, const struct tokenizer **tokenizer, struct error *err)
{
    *tokenizer = NULL;
    if (!model->checkpoint->has_tokenizer)
        return error_set(err, SAMPAN_EUNSUPPORTED, "'%s' has no tokenizer that can be used, only token ids: %s", model->checkpoint->path,
                         model->checkpoint->tokenizer_problem ? model->checkpoint->tokenizer_problem : "the file has none");
    pthread_mutex_lock(&model->mutex);
    if (!model->tokenizer_made) {
        int code = tokenizer_create(&model->checkpoint->tokenizer, &model->tokenizer, &model->tokenizer_error);
        model->tokenizer_made = code != SAMPAN_ENOMEM; /* memory may come back */
    }
    *tokenizer = model->tokenizer;
    pthread_mutex_unlock(&model->mutex);
    if (*tokenizer)
        return 0;
    if (err)
        *err = model->tokenizer_error;
    error_prefix(err, "making the tokenizer of '%s'", model->checkpoint->path);
    return model->tokenizer_error.code;
}

/* Hands a token list over as a plain array. */
static void give_tokens(struct token_list *list, int32_t **ids, size_t *n_ids)
{
    *ids = list->ids;
    *n_ids = list->count;
    *list = (struct token_list){0};
}

static int tokenize(const struct tokenizer *tokenizer, const char *text, size_t length, uint32_t flags, struct token_list *list, struct error *err)
{
    bool control = flags & SAMPAN_TOKENIZE_CONTROL;
    if (flags & SAMPAN_TOKENIZE_BOS_EOS)
        return tokenizer_encode_plain(tokenizer, text, length, control, list, err);
    struct text_span all = {length, ORIGIN_TEMPLATE};
    return tokenizer_encode(tokenizer, text, length, &all, control && length, list, err);
}

int sampan_tokenize(const sampan_model *model, const char *text, size_t length, uint32_t flags, int32_t **ids, size_t *n_ids)
{
    struct error *err = api_error();
    if (!model || !ids || !n_ids || (!text && length))
        return api_invalid("tokenizing", "a parameter is NULL");
    *ids = NULL;
    *n_ids = 0;
    if (flags & ~(uint32_t)(SAMPAN_TOKENIZE_CONTROL | SAMPAN_TOKENIZE_BOS_EOS))
        return api_invalid("tokenizing", "an unknown flag is set");
    if (length > LIMIT_TEXT)
        return error_set(err, SAMPAN_ELIMIT, "tokenizing: the text has %zu bytes, at most %u", length, LIMIT_TEXT);
    const struct tokenizer *tokenizer;
    struct token_list list = {0};
    int code = api_model_tokenizer((sampan_model *)model, &tokenizer, err);
    if (!code)
        code = tokenize(tokenizer, text ? text : "", length, flags, &list, err);
    if (!code && !list.ids && !(list.ids = mem_alloc(sizeof *list.ids))) /* no token at all is still an array */
        code = error_no_memory(err, "tokenizing");
    if (!code)
        give_tokens(&list, ids, n_ids);
    token_list_free(&list);
    return code;
}

static int detokenize(const struct tokenizer *tokenizer, const int32_t *ids, size_t n_ids, uint32_t flags, struct buffer *out, struct error *err)
{
    struct detokenizer detokenizer;
    detokenizer_init(&detokenizer, tokenizer, flags & SAMPAN_DETOKENIZE_CONTROL, flags & SAMPAN_DETOKENIZE_BYTES);
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || ids[i] >= tokenizer_n_tokens(tokenizer))
            return error_set(err, SAMPAN_EINVAL, "detokenizing: id %" PRId32 " at index %zu; the vocabulary has ids 0 to %d", ids[i], i,
                             tokenizer_n_tokens(tokenizer) - 1);
        if (detokenizer_push(&detokenizer, ids[i], out))
            break;
    }
    detokenizer_finish(&detokenizer, out);
    buffer_append(out, "", 0); /* an empty text is still a string */
    if (out->failed)
        return error_set(err, out->failed, "detokenizing %zu ids: %s", n_ids, error_code_name(out->failed));
    return 0;
}

int sampan_detokenize(const sampan_model *model, const int32_t *ids, size_t n_ids, uint32_t flags, char **text, size_t *length)
{
    struct error *err = api_error();
    if (!model || !text || !length || (!ids && n_ids))
        return api_invalid("detokenizing", "a parameter is NULL");
    *text = NULL;
    *length = 0;
    if (flags & ~(uint32_t)(SAMPAN_DETOKENIZE_CONTROL | SAMPAN_DETOKENIZE_BYTES))
        return api_invalid("detokenizing", "an unknown flag is set");
    const struct tokenizer *tokenizer;
    int code = api_model_tokenizer((sampan_model *)model, &tokenizer, err);
    if (code)
        return code;
    struct buffer out;
    buffer_init(&out, (size_t)LIMIT_TEXT * 4);
    code = detokenize(tokenizer, ids, n_ids, flags, &out, err);
    if (code) {
        buffer_free(&out);
        return code;
    }
    *text = out.data;
    *length = out.length;
    return 0;
}

int sampan_token_text(const sampan_model *model, int32_t id, const char **text, size_t *length)
{
    if (!model || !text || !length)
        return api_invalid("looking up a token", "a parameter is NULL");
    *text = NULL;
    *length = 0;
    const struct tokenizer *tokenizer;
    int code = api_model_tokenizer((sampan_model *)model, &tokenizer, api_error());
    if (code)
        return code;
    if (id < 0 || id >= tokenizer_n_tokens(tokenizer))
        return error_set(api_error(), SAMPAN_EINVAL, "looking up token %" PRId32 ": the vocabulary has ids 0 to %d", id, tokenizer_n_tokens(tokenizer) - 1);
    struct byte_string bytes = tokenizer_token_bytes(tokenizer, id);
    *text = bytes.data ? bytes.data : "";
    *length = bytes.length;
    return 0;
}

int sampan_token_ends_answer(const sampan_model *model, int32_t id)
{
    const struct tokenizer *tokenizer;
    if (!model || api_model_tokenizer((sampan_model *)model, &tokenizer, NULL) || id < 0 || id >= tokenizer_n_tokens(tokenizer))
        return 0;
    return tokenizer_is_eog(tokenizer, id);
}

/* ---- Chats. */

static int model_template(sampan_model *model, bool has_tools, const struct chat_template **chat_template, struct error *err)
{
    const struct tokenizer_spec *spec = &model->checkpoint->tokenizer;
    bool is_for_tools = has_tools && spec->tool_template;
    struct model_template *wanted = is_for_tools ? &model->chat_with_tools : &model->chat;
    const char *source = is_for_tools ? spec->tool_template : spec->chat_template;
    size_t length = is_for_tools ? spec->tool_template_length : spec->chat_template_length;
    if (!model->checkpoint->has_tokenizer || !source)
        return error_set(err, SAMPAN_EUNSUPPORTED, "'%s' has no chat template: give it plain text instead (--raw)", model->checkpoint->path);
    pthread_mutex_lock(&model->mutex);
    if (!wanted->made) {
        int code = chat_template_create(source, length, is_for_tools ? "chat template 'tool_use'" : "chat template", &wanted->chat_template, &wanted->error);
        wanted->made = code != SAMPAN_ENOMEM;
    }
    *chat_template = wanted->chat_template;
    pthread_mutex_unlock(&model->mutex);
    if (*chat_template)
        return 0;
    if (err)
        *err = wanted->error;
    error_prefix(err, "loading the chat template of '%s'", model->checkpoint->path);
    return wanted->error.code;
}

/* Appends "key": "text of the token", unless the conversation has the key. */
static void add_token_variable(const struct tokenizer_spec *spec, int32_t id, const char *key, const json_t *conversation, struct buffer *out)
{
    if (json_object_get(conversation, key) || id < 0 || id >= spec->n_tokens)
        return;
    const struct byte_string *token = &spec->tokens[id].text;
    if (!utf8_is_valid(token->data, token->length, NULL))
        return; /* a template has no use for it */
    buffer_printf(out, "\"%s\":", key);
    json_append_string(out, token->data, token->length);
    buffer_append_char(out, ',');
}

/* The conversation with bos_token and eos_token put in front of its own variables, as JSON text. */
static int complete_conversation(const struct tokenizer_spec *spec, const char *conversation, size_t length, struct buffer *out, bool *has_tools,
                                 struct error *err)
{
    json_t *variables;
    int code = json_parse(conversation, length, JSON_PARSE_NUL, &variables, err);
    if (code)
        return error_prefix(err, "reading the conversation");
    *has_tools = json_array_size(json_object_get(variables, "tools")) > 0;
    const char *brace = memchr(conversation, '{', length); /* there is one: it is an object */
    size_t rest = length - (size_t)(brace + 1 - conversation);
    buffer_append_char(out, '{');
    add_token_variable(spec, spec->bos_id, "bos_token", variables, out);
    add_token_variable(spec, spec->eos_id, "eos_token", variables, out);
    if (!json_object_size(variables) && out->length > 1)
        out->length--; /* the last comma */
    buffer_append(out, brace + 1, rest);
    json_decref(variables);
    return out->failed ? error_set(err, out->failed, "rendering a chat: %s", error_code_name(out->failed)) : 0;
}

static int render(sampan_model *model, const char *conversation, size_t length, struct rendered_prompt *prompt, struct error *err)
{
    const struct chat_template *chat_template = NULL;
    struct buffer variables;
    buffer_init(&variables, (size_t)LIMIT_TEXT * 2);
    bool has_tools = false;
    int code = complete_conversation(&model->checkpoint->tokenizer, conversation, length, &variables, &has_tools, err);
    if (!code)
        code = model_template(model, has_tools, &chat_template, err);
    if (!code)
        code = chat_template_render(chat_template, variables.data, variables.length, prompt, err);
    buffer_free(&variables);
    return code;
}

int sampan_chat_render(const sampan_model *model, const char *conversation, size_t length, char **text, size_t *text_length)
{
    struct error *err = api_error();
    if (!model || !conversation || !text || !text_length)
        return api_invalid("rendering a chat", "a parameter is NULL");
    *text = NULL;
    *text_length = 0;
    struct rendered_prompt prompt = {0};
    int code = render((sampan_model *)model, conversation, length, &prompt, err);
    if (!code && buffer_append(&prompt.text, "", 0))
        code = error_no_memory(err, "rendering a chat");
    if (!code) {
        *text = prompt.text.data;
        *text_length = prompt.text.length;
        prompt.text.data = NULL; /* handed over */
    }
    rendered_prompt_free(&prompt);
    return code;
}

int sampan_chat_tokenize(const sampan_model *model, const char *conversation, size_t length, int32_t **ids, size_t *n_ids)
{
    struct error *err = api_error();
    if (!model || !conversation || !ids || !n_ids)
        return api_invalid("tokenizing a chat", "a parameter is NULL");
    *ids = NULL;
    *n_ids = 0;
    const struct tokenizer *tokenizer;
    struct rendered_prompt prompt = {0};
    struct token_list list = {0};
    int code = api_model_tokenizer((sampan_model *)model, &tokenizer, err);
    if (!code)
        code = render((sampan_model *)model, conversation, length, &prompt, err);
    if (!code && prompt.text.length)
        code = tokenizer_encode(tokenizer, prompt.text.data, prompt.text.length, prompt.spans, prompt.n_spans, &list, err);
    if (!code && !list.count)
        code = error_set(err, SAMPAN_EINVAL, "tokenizing a chat: the template gave an empty prompt");
    if (!code)
        give_tokens(&list, ids, n_ids);
    rendered_prompt_free(&prompt);
    token_list_free(&list);
    return code;
}
