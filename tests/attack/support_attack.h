/* What the attacks of this folder share: a sound tiny model whose bytes can be changed by name, folders, and what came of using a model. */
#ifndef TESTS_ATTACK_SUPPORT_ATTACK_H
#define TESTS_ATTACK_SUPPORT_ATTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/* ---- A GGUF file in memory. */
void attack_file_init(struct buffer *file);                        /* the tiny model */
char *attack_find_value(struct buffer *file, const char *key);     /* of a metadata key; behind its type */
char *attack_find_tensor(struct buffer *file, const char *tensor); /* its info, behind the name: n_dimensions (4), dimensions (8 each), type (4), offset (8) */
void attack_put(char *at, uint64_t value, size_t size);            /* little endian */

/* ---- Files in a folder of their own. */
const char *attack_path(const char *name);
void attack_write(const char *name, const void *bytes, size_t length); /* "a/b": the folder a is made */
void attack_copy(const char *from, const char *name);                  /* of tests/model/data/llama_tied */
void attack_remove(const char *name);

/* ---- Everything a program would do with a model, on the reference chip. 0 or the first error, whose message is in sampan_error_message() or `message`. */
int attack_use_model(const char *path, char message[1024]);

/* ---- A watchdog: ends the test with the attack's name when it takes longer than attacks may. */
void attack_begins(const char *name);
void attack_ended(void);

#endif
