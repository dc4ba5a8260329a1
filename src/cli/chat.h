/* What run's three ways of being called share: a conversation with a model, how its tokens are chosen, and one answer after the other. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "base/arena.h"
#include "cli/command.h"
#include "cli/conversation.h"
#include "cli/session.h"

struct chat {
    struct session session;
    struct conversation conversation;
    struct option_value values[OPTION_COUNT]; /* of the command line; /set changes them */
    struct sampan_request request;            /* what is the same for every message, from these values */
    struct sampan_text stops[LIMIT_STOP_STRINGS];
    struct sampan_logit_bias *biases;                                          /* owned */
    sampan_grammar *grammar;                                                   /* owned; of every answer, or NULL */
    struct arena texts;                                                        /* of values that /set changed */
    bool is_chat;                                                              /* at a terminal: sampled unless told otherwise */
    bool raw;                                                                  /* no template, no history */
    bool last_was_newline;                                                     /* of what was printed */
    uint64_t n_messages, n_prompt_tokens, n_cached_tokens, n_generated_tokens; /* in all, for /stats */
    uint64_t prompt_ns, decode_ns;
};

/* Opens model and engine and makes the request of the values. Exit code. */
int chat_open(struct chat *chat, const struct arguments *arguments, bool is_chat);
void chat_close(struct chat *chat);

/* The request anew from the values: after /set. Exit code. */
int chat_choose_sampling(struct chat *chat);

/* The options that say how tokens are chosen, in the order of --help, ending with -1; and the value that is in effect, as text. */
extern const int chat_parameters[];
void chat_print_parameter(const struct chat *chat, const struct option_row *row);

/* Answers a text (with a template: as the next message), keeps both in the history, and leaves the answer in `answer`. Exit
 * code. */
int chat_answer(struct chat *chat, const char *text, size_t length, void (*on_event)(void *self, const struct sampan_event *event), void *self,
                struct answer *answer);

/* on_event for chat_answer, self: the chat. Prints new text at once. */
void chat_print_event(void *self, const struct sampan_event *event);

/* Says why an answer was cut, where a reader would wonder. */
void chat_note_cut(const struct chat *chat, const struct answer *answer);

/* A chat at a terminal, to its end; exit code. `rows`: run's options, for /set. */
int chat_at_terminal(struct chat *chat, const struct option_row *rows);

#endif
