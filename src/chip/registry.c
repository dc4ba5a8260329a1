/* The registry: one row per kind of chip, and opening one by its description "kind[:profile][,key=value...]". */
#include <stddef.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "chip/chip.h"
#include "chip/ascend/ascend.h"
#include "chip/cpu/cpu.h"
#include "chip/reference/reference.h"

/* In order of preference for "auto"; the reference is last because it is slow and always there. */
const struct chip_interface *const chip_registry[] = {
    &ascend_chip_interface,
    &cpu_chip_interface,
    &reference_chip,
    NULL,
};

int chip_refuse_kind(const char *kind, struct error *err)
{
    struct buffer names;
    buffer_init(&names, 512);
    for (size_t i = 0; chip_registry[i]; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", chip_registry[i]->kind);
    int status = error_set(err, SAMPAN_ENOTFOUND, "opening chip '%s': this build has no such kind; there are: %s, and auto for the best of them", kind,
                           names.data ? names.data : "");
    buffer_free(&names);
    return status;
}

static const struct chip_interface *find_kind(const char *kind)
{
    struct chip_description description;
    bool automatic = strcmp(kind, "auto") == 0;
    for (size_t i = 0; chip_registry[i]; i++)
        if (automatic ? chip_registry[i]->probe(&description, 1) > 0 : strcmp(chip_registry[i]->kind, kind) == 0)
            return chip_registry[i];
    return NULL;
}

const struct chip_interface *chip_find_kind(const char *description)
{
    size_t length = strcspn(description, ":,");
    for (size_t i = 0; chip_registry[i]; i++)
        if (strlen(chip_registry[i]->kind) == length && strncmp(chip_registry[i]->kind, description, length) == 0)
            return chip_registry[i];
    return NULL;
}

bool chip_split_profile(const char *description, char *profile, size_t capacity)
{
    const char *from = description + strcspn(description, ":,");
    from += *from == ':';
    size_t length = strcspn(from, ",");
    if (length >= capacity)
        return false;
    memcpy(profile, from, length);
    profile[length] = '\0';
    return true;
}

int chip_open(const char *description, struct chip **chip, struct error *err)
{
    if (!description)
        description = "auto";
    size_t length = strlen(description);
    char *copy = mem_strndup(description, length);
    if (!copy)
        return error_no_memory(err, "opening a chip");
    /* kind[:profile][,options]: the first comma ends the profile, so that options may hold colons. */
    char *options = copy + strcspn(copy, ",");
    if (*options)
        *options++ = '\0';
    char *profile = copy + strcspn(copy, ":");
    if (*profile)
        *profile++ = '\0';
    const struct chip_interface *interface = find_kind(copy);
    int status = interface ? interface->open(profile, options, chip, err) : chip_refuse_kind(copy, err);
    mem_free(copy);
    return status;
}
