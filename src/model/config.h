/* Reading a family's sizes from metadata (of a GGUF, or config.json) by a table, so that every key is either read, known to be harmless, or refused: a key that
 * nobody knows may change the mathematics, and a model computed wrongly is worse than one refused. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "file/checkpoint.h"

enum config_use {
    CONFIG_REQUIRED, /* an integer in [minimum, maximum], stored as int32_t at `offset` of the record */
    CONFIG_OPTIONAL, /* the same; where absent the record is left as it is */
    CONFIG_READ,     /* known, and read by the family itself */
    CONFIG_HARMLESS, /* known not to change the mathematics */
    CONFIG_NEUTRAL,  /* changes the mathematics in a way not supported unless its value is `neutral` (bool: 0 or 1), or the string neutral_text */
};

struct config_key {
    /* Behind "<architecture>." in GGUF; NULL: not there. */
    const char *gguf;
    /* In config.json, nested objects with dots; one that ends in ".*" stands for all keys that begin so. NULL: not there. */
    const char *hugging_face;
    enum config_use use;
    int64_t minimum, maximum;
    size_t offset;
    double neutral;
    const char *neutral_text;
};

/* Rows without a size. */
#define KEY_READ(gguf, hugging_face)                                                                                                                           \
    {                                                                                                                                                          \
        gguf, hugging_face, CONFIG_READ, 0, 0, 0, 0, NULL                                                                                                      \
    }
#define KEY_HARMLESS(gguf, hugging_face)                                                                                                                       \
    {                                                                                                                                                          \
        gguf, hugging_face, CONFIG_HARMLESS, 0, 0, 0, 0, NULL                                                                                                  \
    }
#define KEY_NEUTRAL(gguf, hugging_face, value)                                                                                                                 \
    {                                                                                                                                                          \
        gguf, hugging_face, CONFIG_NEUTRAL, 0, 0, 0, value, NULL                                                                                               \
    }

/* A family's own keys and those it shares; where two name the same key the earlier table decides. */
struct config_table {
    const struct config_key *keys;
    size_t count;
};

/* Fills `record` and refuses unknown keys. SAMPAN_ENOTFOUND, SAMPAN_EFORMAT, SAMPAN_EUNSUPPORTED; the message names the key. */
int config_read(const struct checkpoint *checkpoint, const struct config_table *tables, size_t n_tables, void *record, struct error *err);

/* "<architecture>.<key>" of a GGUF; the longest key of any table fits. */
#define CONFIG_KEY_SIZE 256
void config_key_name(const struct checkpoint *checkpoint, const char *key, char name[CONFIG_KEY_SIZE]);

#endif
