#include "model/config.h"

#include <stdio.h>
#include <string.h>

void config_key_name(const struct checkpoint *checkpoint, const char *key, char name[CONFIG_KEY_SIZE])
{
    snprintf(name, CONFIG_KEY_SIZE, "%s.%s", checkpoint->architecture, key);
}

static int read_size(const struct checkpoint *checkpoint, const struct config_key *key, void *record, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    int64_t value = 0;
    bool found = true;
    config_key_name(checkpoint, key->key, name);
    int status = checkpoint_get_int(checkpoint, name, key->minimum, key->maximum, &value, key->use == CONFIG_OPTIONAL ? &found : NULL, err);
    if (!status && found)
        *(int32_t *)(void *)((char *)record + key->offset) = (int32_t)value;
    return status;
}

static bool is_neutral(const struct metadata_value *value, double neutral)
{
    switch (value->type) {
    case METADATA_UNSIGNED: return (double)value->u == neutral;
    case METADATA_SIGNED: return (double)value->i == neutral;
    case METADATA_FLOAT: return value->f == neutral;
    case METADATA_BOOL: return (double)value->b == neutral;
    case METADATA_STRING:
    case METADATA_ARRAY: return false;
    }
    return false;
}

static int check_entry(const struct checkpoint *checkpoint, const struct metadata_entry *entry, const char *key, const struct config_key *keys, size_t n_keys,
                       struct error *err)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (strcmp(keys[i].key, key) != 0)
            continue;
        if (keys[i].use == CONFIG_NEUTRAL && !is_neutral(&entry->value, keys[i].neutral))
            return error_set(err, SAMPAN_EUNSUPPORTED, "metadata '%s' asks for a feature that the family '%s' does not have yet (only %g is supported)",
                             entry->key, checkpoint->architecture, keys[i].neutral);
        return 0;
    }
    return error_set(err, SAMPAN_EUNSUPPORTED, "metadata '%s' is unknown to the family '%s': it may change the mathematics, so the model is refused",
                     entry->key, checkpoint->architecture);
}

int config_read(const struct checkpoint *checkpoint, const struct config_key *keys, size_t n_keys, void *record, struct error *err)
{
    size_t prefix = strlen(checkpoint->architecture);
    for (size_t i = 0; i < checkpoint->n_metadata; i++) {
        const struct metadata_entry *entry = &checkpoint->metadata[i];
        if (strncmp(entry->key, checkpoint->architecture, prefix) != 0 || entry->key[prefix] != '.')
            continue;
        int status = check_entry(checkpoint, entry, entry->key + prefix + 1, keys, n_keys, err);
        if (status)
            return status;
    }
    for (size_t i = 0; i < n_keys; i++) {
        int status = keys[i].use <= CONFIG_OPTIONAL ? read_size(checkpoint, &keys[i], record, err) : 0;
        if (status)
            return status;
    }
    return 0;
}
