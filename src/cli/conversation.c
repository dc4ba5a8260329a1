#include "cli/conversation.h"

#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "cli/session.h"
#include "cli/terminal.h"

int conversation_init(struct conversation *conversation)
{
    conversation->messages = json_array();
    return conversation->messages ? 0 : SAMPAN_ENOMEM;
}

void conversation_free(struct conversation *conversation)
{
    json_decref(conversation->messages);
    conversation->messages = NULL;
}

/* A JSON string of any bytes. */
static json_t *make_string(const char *text, size_t length)
{
    struct buffer clean;
    buffer_init(&clean, (size_t)LIMIT_TEXT * 3);
    buffer_append(&clean, "", 0);
    for (size_t at = 0; at < length;) {
        uint32_t character;
        int n = utf8_decode(text + at, length - at, &character);
        if (n > 0)
            buffer_append(&clean, text + at, (size_t)n);
        else
            buffer_append_string(&clean, "\xEF\xBF\xBD");
        at += n > 0 ? (size_t)n : n < 0 ? (size_t)-n : length - at;
    }
    json_t *string = clean.failed ? NULL : json_stringn(clean.data, clean.length);
    buffer_free(&clean);
    return string;
}

static json_t *make_message(const char *role, const char *text, size_t length)
{
    json_t *message = json_object();
    if (message && !json_object_set_new(message, "role", json_string(role)) && !json_object_set_new(message, "content", make_string(text, length)))
        return message;
    json_decref(message);
    return NULL;
}

int conversation_add(struct conversation *conversation, const char *role, const char *text, size_t length)
{
    return json_array_append_new(conversation->messages, make_message(role, text, length)) ? SAMPAN_ENOMEM : 0;
}

void conversation_drop_last(struct conversation *conversation)
{
    size_t count = json_array_size(conversation->messages);
    if (count)
        json_array_remove(conversation->messages, count - 1);
}

static bool has_system(const struct conversation *conversation)
{
    const char *role = json_string_value(json_object_get(json_array_get(conversation->messages, 0), "role"));
    return role && strcmp(role, "system") == 0;
}

size_t conversation_count(const struct conversation *conversation)
{
    return json_array_size(conversation->messages) - has_system(conversation);
}

void conversation_reset(struct conversation *conversation)
{
    while (conversation_count(conversation))
        conversation_drop_last(conversation);
}

int conversation_set_system(struct conversation *conversation, const char *text)
{
    if (has_system(conversation))
        json_array_remove(conversation->messages, 0);
    if (!text || !*text)
        return 0;
    return json_array_insert_new(conversation->messages, 0, make_message("system", text, strlen(text))) ? SAMPAN_ENOMEM : 0;
}

/* The index of the user's last message; the number of messages where there is none. */
static size_t find_last_user(const struct conversation *conversation)
{
    size_t n = json_array_size(conversation->messages);
    for (size_t i = n; i > 0; i--) {
        const char *role = json_string_value(json_object_get(json_array_get(conversation->messages, i - 1), "role"));
        if (role && strcmp(role, "user") == 0)
            return i - 1;
    }
    return n;
}

void conversation_last_user(const struct conversation *conversation, struct buffer *text)
{
    const json_t *content = json_object_get(json_array_get(conversation->messages, find_last_user(conversation)), "content");
    if (content)
        buffer_append(text, json_string_value(content), json_string_length(content));
    buffer_append(text, "", 0);
}

void conversation_take_back(struct conversation *conversation)
{
    size_t first = find_last_user(conversation);
    while (json_array_size(conversation->messages) > first)
        conversation_drop_last(conversation);
}

/* ---- As text. */

static void write_string(struct buffer *out, const json_t *string)
{
    json_append_string(out, json_string_value(string), json_string_length(string));
}

void conversation_write(const struct conversation *conversation, struct buffer *out)
{
    size_t i;
    json_t *message;
    buffer_append_string(out, "{\"messages\": [");
    json_array_foreach(conversation->messages, i, message)
    {
        buffer_append_string(out, i ? ",\n  {\"role\": " : "\n  {\"role\": ");
        write_string(out, json_object_get(message, "role"));
        buffer_append_string(out, ", \"content\": ");
        write_string(out, json_object_get(message, "content"));
        buffer_append_char(out, '}');
    }
    buffer_append_string(out, "],\n \"add_generation_prompt\": true}");
}

/* The messages of a parsed conversation, each with its role and its content; NULL and `err` where it is none. */
static json_t *copy_messages(const json_t *whole, struct error *err)
{
    const json_t *messages = json_is_array(whole) ? whole : json_object_get(whole, "messages");
    json_t *copy = json_array();
    size_t i;
    json_t *message;
    if (!json_is_array(messages)) {
        error_set(err, SAMPAN_EFORMAT, "it is no conversation: expected {\"messages\": [...]}");
        json_decref(copy);
        return NULL;
    }
    json_array_foreach(messages, i, message)
    {
        const json_t *role = json_object_get(message, "role"), *content = json_object_get(message, "content");
        if (!json_is_string(role) || !json_is_string(content)) {
            error_set(err, SAMPAN_EFORMAT, "message %zu has no role or no content that is a text", i);
            json_decref(copy);
            return NULL;
        }
        if (json_array_append_new(copy, make_message(json_string_value(role), json_string_value(content), json_string_length(content)))) {
            error_no_memory(err, "reading a conversation");
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

int conversation_read(struct conversation *conversation, const char *text, size_t length, struct error *err)
{
    json_t *whole;
    int code = json_parse(text, length, JSON_PARSE_NUL | JSON_PARSE_ANY, &whole, err);
    if (code)
        return code;
    json_t *messages = copy_messages(whole, err);
    json_decref(whole);
    if (!messages)
        return err->code;
    json_decref(conversation->messages);
    conversation->messages = messages;
    return 0;
}

int conversation_tokenize(const struct conversation *conversation, const sampan_model *model, int32_t **ids, size_t *n_ids)
{
    struct buffer text;
    buffer_init(&text, (size_t)LIMIT_TEXT * 4);
    conversation_write(conversation, &text);
    int status = EXIT_OK;
    if (text.failed)
        status = cli_fail("putting the conversation together: %s", error_code_name(text.failed));
    else if (sampan_chat_tokenize(model, text.data, text.length, ids, n_ids))
        status = session_fail();
    buffer_free(&text);
    return status;
}
