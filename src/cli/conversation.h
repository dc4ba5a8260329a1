/* A conversation: what was said so far, as the JSON that templates read. */
#ifndef CLI_CONVERSATION_H
#define CLI_CONVERSATION_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sampan.h"

struct conversation {
    json_t *messages; /* array of {"role", "content"}; the system prompt, if any, first */
};

int conversation_init(struct conversation *conversation); /* 0 or SAMPAN_ENOMEM, as all of these */
void conversation_free(struct conversation *conversation);

/* Adds a message; bytes that are not UTF-8 become U+FFFD. */
int conversation_add(struct conversation *conversation, const char *role, const char *text, size_t length);
void conversation_drop_last(struct conversation *conversation);
void conversation_reset(struct conversation *conversation);                       /* keeps the system prompt */
int conversation_set_system(struct conversation *conversation, const char *text); /* "" or NULL removes it */
size_t conversation_count(const struct conversation *conversation);               /* messages without the system prompt */

/* The user's last message is appended to `text`; nothing where there is none. */
void conversation_last_user(const struct conversation *conversation, struct buffer *text);
/* Drops it and everything behind it. */
void conversation_take_back(struct conversation *conversation);

/* As the JSON object that templates read, {"messages": [...], "add_generation_prompt": true}, appended to `out` (out->failed). */
void conversation_write(const struct conversation *conversation, struct buffer *out);
/* From such an object, or from the array of messages alone; contents are strings. It replaces the conversation, or nothing changes and `err` says why. */
int conversation_read(struct conversation *conversation, const char *text, size_t length, struct error *err);

/* The prompt for the next answer; sampan_free(*ids). An exit code; a failure was said. */
int conversation_tokenize(const struct conversation *conversation, const sampan_model *model, int32_t **ids, size_t *n_ids);

#endif
