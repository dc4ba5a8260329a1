/* What the two halves of the public API share: the model handle, the thread's error message, and the reading of structs that may be older or newer than
 * ours. */
#ifndef SAMPAN_INTERNAL_H
#define SAMPAN_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "file/checkpoint.h"
#include "sampan.h"
#include "text/chat.h"
#include "text/grammar/constraint.h"
#include "text/tokenizer.h"

/* Tokenizer and template are made when first wanted: describing a model, or scoring ids with it, needs neither; and a model whose template is refused can
 * still be used without it. `made` once set, a failure is kept and returned each time. */
struct sampan_model {
    struct checkpoint *checkpoint;
    pthread_mutex_t mutex; /* guards the making */
    bool tokenizer_made;
    struct tokenizer *tokenizer;
    struct token_trie *trie; /* of the tokenizer's vocabulary; made with the first grammar */
    struct error tokenizer_error;
    struct model_template {
        bool made;
        struct chat_template *chat_template;
        struct error error;
    } chat, chat_with_tools; /* the latter where the model has a template of its own for it */
    char *name;              /* owned */
    struct sampan_model_description description;
};

/* A caller's reference to a constraint; requests under way and engines have their own. */
struct sampan_grammar {
    struct constraint *constraint;
};

/* The message of the calling thread: pass api_error() to functions that take `struct error *err`. */
struct error *api_error(void);

/* Keeps the message beginning with "what: ". */
int api_invalid(const char *what, const char *problem);

int api_model_tokenizer(sampan_model *model, const struct tokenizer **tokenizer, struct error *err);

/* Copies a caller's options struct of `size` bytes (its first member) into ours of `known` bytes: what the caller does not have is zero; what we do not
 * know must be zero. */
int api_read_struct(void *ours, size_t known, const void *theirs, const char *what, struct error *err);
/* The other way round: fills as much as the caller has, and keeps its size. */
int api_write_struct(void *theirs, const void *ours, size_t known, const char *what, struct error *err);

#endif
