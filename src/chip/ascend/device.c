#include "chip/ascend/device.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "chip/ascend/ascend.h"

enum { BLOCK_TOKENS = 128, STEPS_IN_FLIGHT = 2, DEFAULT_DEADLINE_MS = 60000, FIRST_FAILING_MS = 5000 };
#define MEMORY_BLOCK ((uint64_t)16 << 20)
#define COPY_PIECE ((uint64_t)64 << 20)

/* ---- Errors and threads. */

int ascend_chip_fail(struct ascend_chip *chip, int code, struct error *err, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    int status = ascend_fail(chip->library, code, err, "%s", what);
    if (status == SAMPAN_ELOST)
        chip->lost = true;
    return status;
}

static _Atomic uint64_t generations;
static _Thread_local uint64_t bound_generation; /* of the chip whose context is this thread's current one */

int ascend_bind(struct ascend_chip *chip, struct error *err)
{
    if (bound_generation == chip->generation)
        return 0;
    int code = chip->library->set_context(chip->context);
    if (code)
        return ascend_chip_fail(chip, code, err, "choosing device %d for this thread (aclrtSetCurrentContext)", chip->options.device);
    bound_generation = chip->generation;
    return 0;
}

void ascend_rebind(struct ascend_chip *chip)
{
    chip->generation = bound_generation = 1 + atomic_fetch_add(&generations, 1);
}

/* ---- Options. */

static int read_number(const char *key, const char *value, long least, long most, long *number, struct error *err)
{
    char *end;
    *number = strtol(value, &end, 10);
    if (!*value || *end || *number < least || *number > most)
        return error_set(err, SAMPAN_EINVAL, "opening an Ascend chip: option %s is '%s', expected a number from %ld to %ld", key, value, least, most);
    return 0;
}

static int read_choice(const char *key, const char *value, const char *yes, const char *no, bool *choice, struct error *err)
{
    *choice = strcmp(value, yes) == 0;
    if (!*choice && strcmp(value, no) != 0)
        return error_set(err, SAMPAN_EINVAL, "opening an Ascend chip: option %s is '%s', expected %s or %s", key, value, yes, no);
    return 0;
}

static int read_option(struct ascend_options *options, const char *key, const char *value, struct error *err)
{
    long number = 0;
    bool choice = false;
    int status;
    if (strcmp(key, "library") == 0) {
        int length = snprintf(options->library, sizeof options->library, "%s", value);
        return length < (int)sizeof options->library ? 0 : error_set(err, SAMPAN_EINVAL, "opening an Ascend chip: option library is too long");
    }
    if (strcmp(key, "device") == 0) {
        status = read_number(key, value, 0, 4095, &number, err);
        options->device = (int32_t)number;
    } else if (strcmp(key, "type") == 0) {
        status = read_choice(key, value, "f16", "bf16", &choice, err);
        options->type = choice ? TENSOR_F16 : TENSOR_BF16;
    } else if (strcmp(key, "graphs") == 0) {
        status = read_choice(key, value, "on", "off", &options->graphs, err);
    } else if (strcmp(key, "attention") == 0) {
        status = read_choice(key, value, "updates", "mask", &options->updates, err);
    } else if (strcmp(key, "rows") == 0) {
        status = read_number(key, value, 1, LIMIT_SEQUENCES, &number, err);
        options->fixed_rows = (int32_t)number;
    } else if (strcmp(key, "deadline") == 0) {
        status = read_number(key, value, 10, 3600000, &number, err);
        options->deadline_ms = (uint32_t)number;
    } else {
        status = error_set(err, SAMPAN_EINVAL,
                           "opening an Ascend chip: unknown option '%s'; there are library=FOLDER, device=N, type=bf16|f16, graphs=on|off, "
                           "attention=mask|updates, rows=N (fixed rows of a step), deadline=MILLISECONDS",
                           key);
    }
    return status;
}

static int read_options(const char *text, struct ascend_options *options, struct error *err)
{
    *options = (struct ascend_options){.type = TENSOR_BF16, .graphs = true, .deadline_ms = DEFAULT_DEADLINE_MS};
    while (*text) {
        char key[16] = "", value[sizeof options->library] = "";
        size_t length = strcspn(text, ","), name = strcspn(text, "=,");
        if (name >= sizeof key || name == length || length - name > sizeof value)
            return error_set(err, SAMPAN_EINVAL, "opening an Ascend chip: '%.*s' is no option; key=value is expected", (int)length, text);
        memcpy(key, text, name);
        memcpy(value, text + name + 1, length - name - 1);
        int status = read_option(options, key, value, err);
        if (status)
            return status;
        text += length + (text[length] == ',');
    }
    return 0;
}

/* ---- Opening. */

static int init_runtime(const struct ascend_library *library, struct error *err)
{
    int code = library->init(NULL);
    return code && code != ACL_REPEATED_INIT ? ascend_fail(library, code, err, "starting Ascend's runtime (aclInit)") : 0;
}

static void read_version(struct ascend_chip *chip)
{
    char text[128] = "";
    int32_t major = 0, minor = 0, patch = 0;
    chip->library->get_version(&major, &minor, &patch);
    if (chip->library->get_version_text && chip->library->get_version_text((char[]){"runtime"}, text) == 0 && *text)
        snprintf(chip->version, sizeof chip->version, "CANN %.40s", text);
    else
        snprintf(chip->version, sizeof chip->version, "runtime API %" PRId32 ".%" PRId32, major, minor);
    chip->profile.is_version_81 = major < 1 || (major == 1 && minor < 15);
}

/* What is asked for must be what is there. */
static int check_soc(struct ascend_chip *chip, const char *profile, struct error *err)
{
    const char *name = chip->library->get_soc_name();
    const struct ascend_soc *found = name ? ascend_soc_find(name) : NULL;
    if (!found)
        return error_set(err, SAMPAN_EUNSUPPORTED, "opening an Ascend chip: the device says it is '%s', which is not known here", name ? name : "nothing");
    if (found->refusal)
        return error_set(err, SAMPAN_EUNSUPPORTED, "opening an Ascend chip: %s", found->refusal);
    if (*profile && *profile != '+' && *profile != '@' && found != chip->profile.soc)
        return error_set(err, SAMPAN_EUNSUPPORTED, "opening an Ascend chip: asked for a %s, but device %d is a %s", chip->profile.soc->name,
                         chip->options.device, found->name);
    chip->profile.soc = found;
    return 0;
}

static int open_device(struct ascend_chip *chip, const char *profile, struct error *err)
{
    const struct ascend_library *library = chip->library;
    int status = init_runtime(library, err);
    if (!status)
        status = check_soc(chip, profile, err);
    if (status)
        return status;
    uint32_t count = 0;
    int code = library->get_device_count(&count);
    if (!code && (uint32_t)chip->options.device >= count)
        return error_set(err, SAMPAN_ENOTFOUND, "opening an Ascend chip: device %d, but there are %" PRIu32, chip->options.device, count);
    if (!code) {
        code = library->set_device(chip->options.device);
        if (code &&
            ascend_error_code(ascend_error_find(code)->class) == SAMPAN_ELOST) { /* lost by an earlier fault, perhaps of another process: reset it once */
            library->reset_device_force(chip->options.device);
            code = library->set_device(chip->options.device);
        }
    }
    if (code)
        return ascend_chip_fail(chip, code, err, "opening Ascend device %d (aclrtSetDevice)", chip->options.device);
    code = library->get_context(&chip->context);
    if (code) {
        status = ascend_chip_fail(chip, code, err, "opening Ascend device %d (aclrtGetCurrentContext)", chip->options.device);
        library->reset_device(chip->options.device);
        return status;
    }
    ascend_rebind(chip);
    read_version(chip);
    return 0;
}

int ascend_chip_open(const char *profile, const char *options, struct chip **out, struct error *err)
{
    *out = NULL;
    struct ascend_chip *chip = mem_zalloc(sizeof *chip);
    if (!chip)
        return error_no_memory(err, "opening an Ascend chip");
    chip->base.interface = &ascend_chip_interface;
    int status = ascend_profile_read(profile, &chip->profile, err);
    if (!status)
        status = read_options(options, &chip->options, err);
    if (!status)
        status = ascend_library_open(chip->options.library, &chip->library, err);
    if (!status)
        status = open_device(chip, profile, err);
    if (status) {
        mem_free(chip);
        return status;
    }
    *out = &chip->base;
    return 0;
}

void ascend_chip_close(struct chip *base)
{
    struct ascend_chip *chip = (struct ascend_chip *)base;
    if (!chip)
        return;
    if (chip->lost)
        chip->library->reset_device_force(chip->options.device);
    else if (!ascend_bind(chip, NULL))
        chip->library->reset_device(chip->options.device);
    bound_generation = 0;
    mem_free(chip);
}

int ascend_chip_health(struct chip *base, struct error *err)
{
    struct ascend_chip *chip = (struct ascend_chip *)base;
    int device_status = ACL_DEVICE_NORMAL;
    int code = chip->library->query_device(chip->options.device, &device_status);
    if (code)
        return ascend_chip_fail(chip, code, err, "asking Ascend device %d for its state (aclrtQueryDeviceStatus)", chip->options.device);
    if (device_status == ACL_DEVICE_NORMAL)
        return 0;
    chip->lost = true;
    return error_set(err, SAMPAN_ELOST, "Ascend device %d says its state is abnormal (aclrtQueryDeviceStatus: %d)", chip->options.device, device_status);
}

void ascend_chip_describe(const struct chip *base, struct chip_description *description)
{
    struct ascend_chip *chip = (struct ascend_chip *)base; /* the runtime's calls take no const */
    size_t available = 0, total = 0;
    *description = (struct chip_description){
        .guarantee = chip->options.fixed_rows ? GUARANTEE_BATCH : GUARANTEE_NONE,
        .block_tokens = BLOCK_TOKENS,
        .max_steps_in_flight = STEPS_IN_FLIGHT,
        .max_top = STEP_MAX_TOP,
        .gives_hidden_rows = true,
        .element_type = chip->options.type,
        .cache_type = chip->options.type,
        .max_tokens = chip->options.fixed_rows,
    };
    if (!ascend_bind(chip, NULL) && chip->library->get_memory(ACL_HBM, &available, &total) == 0) {
        description->memory_available = available;
        description->memory_total = total;
    }
    snprintf(description->name, sizeof description->name, "Ascend %s, device %d, %s", chip->profile.soc->name, chip->options.device, chip->version);
    snprintf(description->numerics_id, sizeof description->numerics_id, "ascend:%s:%s", chip->profile.soc->name, chip->version);
}

int ascend_chip_probe(struct chip_description *descriptions, int max)
{
    const struct ascend_library *library;
    uint32_t count = 0;
    const char *name;
    if (max < 1 || ascend_library_open("", &library, NULL) || init_runtime(library, NULL) || library->get_device_count(&count) || count == 0 ||
        !(name = library->get_soc_name()))
        return 0;
    const struct ascend_soc *soc = ascend_soc_find(name);
    int written = 0;
    for (; soc && !soc->refusal && written < max && (uint32_t)written < count; written++) {
        descriptions[written] = (struct chip_description){.memory_total = soc->memory_bytes,
                                                          .block_tokens = BLOCK_TOKENS,
                                                          .max_steps_in_flight = STEPS_IN_FLIGHT,
                                                          .max_top = STEP_MAX_TOP,
                                                          .gives_hidden_rows = true,
                                                          .element_type = TENSOR_BF16,
                                                          .cache_type = TENSOR_BF16};
        snprintf(descriptions[written].name, sizeof descriptions[written].name, "Ascend %s, device %d", soc->name, written);
        snprintf(descriptions[written].numerics_id, sizeof descriptions[written].numerics_id, "ascend:%s", soc->name);
    }
    return written;
}

/* ---- Memory. */

uint64_t ascend_padded(uint64_t bytes)
{
    return (bytes + ACL_TAIL + ACL_ALIGNMENT - 1) / ACL_ALIGNMENT * ACL_ALIGNMENT;
}

static int add_block(struct ascend_chip *chip, struct ascend_memory *memory, uint64_t bytes, const char *what, struct error *err)
{
    if (memory->n_blocks == memory->capacity) {
        int32_t larger = memory->capacity ? 2 * memory->capacity : 16;
        void **grown = larger <= MEMORY_MAX_BLOCKS ? mem_realloc_array(memory->blocks, (size_t)larger, sizeof *grown) : NULL;
        if (!grown)
            return error_no_memory(err, what);
        memory->blocks = grown;
        memory->capacity = larger;
    }
    uint64_t size = bytes > MEMORY_BLOCK ? bytes : MEMORY_BLOCK;
    void *block = NULL;
    int code = chip->library->allocate(&block, size, ACL_HUGE_PAGES_FIRST);
    if (code) {
        size_t available = 0, total = 0;
        int status = ascend_chip_fail(chip, code, err, "taking %" PRIu64 " bytes of device memory for %s (aclrtMalloc)", size, what);
        if (status == SAMPAN_ENOMEM && chip->library->get_memory(ACL_HBM, &available, &total) == 0 && err) {
            char found[sizeof err->message];
            snprintf(found, sizeof found, "%s", err->message);
            error_set(err, SAMPAN_ENOMEM, "%.800s; %zu of %zu bytes are free: choose a smaller context, fewer sequences, or +w8a8", found, available, total);
        }
        return status;
    }
    memory->blocks[memory->n_blocks++] = block;
    memory->next = block;
    memory->left = size;
    memory->total += size;
    return 0;
}

int ascend_memory_take(struct ascend_chip *chip, struct ascend_memory *memory, uint64_t bytes, void **pointer, const char *what, struct error *err)
{
    uint64_t padded = ascend_padded(bytes);
    if (memory->left < padded) {
        int status = add_block(chip, memory, padded, what, err);
        if (status)
            return status;
    }
    *pointer = memory->next;
    memory->next += padded;
    memory->left -= padded;
    return 0;
}

void ascend_memory_free(struct ascend_chip *chip, struct ascend_memory *memory)
{
    for (int32_t i = 0; i < memory->n_blocks; i++)
        chip->library->release(memory->blocks[i]); /* of a lost device it fails; the reset takes it back */
    mem_free(memory->blocks);
    *memory = (struct ascend_memory){0};
}

static int copy_pieces(struct ascend_chip *chip, char *to, const char *from, uint64_t bytes, enum acl_copy_kind kind, const char *what, struct error *err)
{
    for (uint64_t at = 0; at < bytes; at += COPY_PIECE) {
        uint64_t piece = bytes - at < COPY_PIECE ? bytes - at : COPY_PIECE;
        int code = chip->library->copy(to + at, piece, from + at, piece, (int)kind);
        if (code)
            return ascend_chip_fail(chip, code, err, "copying %" PRIu64 " bytes of %s (aclrtMemcpy)", piece, what);
    }
    return 0;
}

int ascend_upload(struct ascend_chip *chip, void *device, const void *host, uint64_t bytes, const char *what, struct error *err)
{
    return copy_pieces(chip, device, host, bytes, ACL_TO_DEVICE, what, err);
}

int ascend_download(struct ascend_chip *chip, void *host, const void *device, uint64_t bytes, const char *what, struct error *err)
{
    return copy_pieces(chip, host, device, bytes, ACL_TO_HOST, what, err);
}

int ascend_zero(struct ascend_chip *chip, void *device, uint64_t bytes, const char *what, struct error *err)
{
    for (uint64_t at = 0; at < bytes; at += COPY_PIECE) {
        uint64_t piece = bytes - at < COPY_PIECE ? bytes - at : COPY_PIECE;
        int code = chip->library->fill((char *)device + at, piece, 0, piece);
        if (code)
            return ascend_chip_fail(chip, code, err, "zeroing %s (aclrtMemset)", what);
    }
    return 0;
}
