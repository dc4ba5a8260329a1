#include "model/config.h"

#include <stdio.h>
#include <string.h>

void config_key_name(const struct checkpoint *checkpoint, const char *key, char name[CONFIG_KEY_SIZE])
{
    snprintf(name, CONFIG_KEY_SIZE, "%s.%s", checkpoint->architecture, key);
}

/* The key's name in this kind of file; NULL: it has none there. */
static const char *name_of(const struct checkpoint *checkpoint, const struct config_key *key)
{
    return checkpoint->kind == CHECKPOINT_GGUF ? key->gguf : key->hugging_face;
}

static int read_size(const struct checkpoint *checkpoint, const struct config_key *key, void *record, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    int64_t value = 0;
    bool found = true;
    if (checkpoint->kind == CHECKPOINT_GGUF)
        config_key_name(checkpoint, key->gguf, name);
    else
        snprintf(name, sizeof name, "%s", key->hugging_face);
    int status = checkpoint_get_int(checkpoint, name, key->minimum, key->maximum, &value, key->use == CONFIG_OPTIONAL ? &found : NULL, err);
    if (!status && found)
        *(int32_t *)(void *)((char *)record + key->offset) = (int32_t)value;
    return status;
}

static bool is_neutral(const struct metadata_value *value, const struct config_key *key)
{
    switch (value->type) {
    case METADATA_UNSIGNED: return !key->neutral_text && (double)value->u == key->neutral;
    case METADATA_SIGNED: return !key->neutral_text && (double)value->i == key->neutral;
    case METADATA_FLOAT: return !key->neutral_text && value->f == key->neutral;
    case METADATA_BOOL: return !key->neutral_text && (double)value->b == key->neutral;
    case METADATA_STRING: return key->neutral_text && strcmp(value->string.data, key->neutral_text) == 0;
    case METADATA_ARRAY: return false;
    }
    return false;
}

static bool names_key(const char *pattern, const char *key)
{
    size_t length = pattern ? strlen(pattern) : 0;
    if (length > 2 && strcmp(pattern + length - 2, ".*") == 0)
        return strncmp(pattern, key, length - 1) == 0;
    return pattern && strcmp(pattern, key) == 0;
}

static int refuse_value(const struct checkpoint *checkpoint, const struct metadata_entry *entry, const struct config_key *key, struct error *err)
{
    char supported[32];
    snprintf(supported, sizeof supported, "%g", key->neutral);
    return error_set(err, SAMPAN_EUNSUPPORTED, "metadata '%s' asks for a feature that the family '%s' does not have yet (only %s is supported)", entry->key,
                     checkpoint->architecture, key->neutral_text ? key->neutral_text : supported);
}

/* The first row that names the key; NULL: none. */
static const struct config_key *find_key(const struct checkpoint *checkpoint, const char *key, const struct config_table *tables, size_t n_tables)
{
    for (size_t t = 0; t < n_tables; t++)
        for (size_t i = 0; i < tables[t].count; i++)
            if (names_key(name_of(checkpoint, &tables[t].keys[i]), key))
                return &tables[t].keys[i];
    return NULL;
}

static int check_entry(const struct checkpoint *checkpoint, const struct metadata_entry *entry, const char *key, const struct config_table *tables,
                       size_t n_tables, struct error *err)
{
    const struct config_key *row = find_key(checkpoint, key, tables, n_tables);
    if (!row)
        return error_set(err, SAMPAN_EUNSUPPORTED, "metadata '%s' is unknown to the family '%s': it may change the mathematics, so the model is refused",
                         entry->key, checkpoint->architecture);
    return row->use == CONFIG_NEUTRAL && !is_neutral(&entry->value, row) ? refuse_value(checkpoint, entry, row, err) : 0;
}

/* The part of a metadata key that the table is about; NULL: it is not the family's business. */
static const char *family_key(const struct checkpoint *checkpoint, const char *key)
{
    size_t prefix = strlen(checkpoint->architecture);
    if (checkpoint->kind == CHECKPOINT_HUGGING_FACE)
        return strncmp(key, "generation_config.", strlen("generation_config.")) == 0 ? NULL : key;
    return strncmp(key, checkpoint->architecture, prefix) == 0 && key[prefix] == '.' ? key + prefix + 1 : NULL;
}

int config_read(const struct checkpoint *checkpoint, const struct config_table *tables, size_t n_tables, void *record, struct error *err)
{
    int status = 0;
    for (size_t i = 0; !status && i < checkpoint->n_metadata; i++) {
        const char *key = family_key(checkpoint, checkpoint->metadata[i].key);
        status = key ? check_entry(checkpoint, &checkpoint->metadata[i], key, tables, n_tables, err) : 0;
    }
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t i = 0; !status && i < tables[t].count; i++) {
            const struct config_key *row = &tables[t].keys[i];
            const char *name = name_of(checkpoint, row);
            if (row->use <= CONFIG_OPTIONAL && name && find_key(checkpoint, name, tables, n_tables) == row)
                status = read_size(checkpoint, row, record, err);
        }
    }
    return status;
}
