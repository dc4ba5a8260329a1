/* An open device: options, the context that threads bind to, memory in large pieces. Private to chip/ascend/. */
#ifndef CHIP_ASCEND_DEVICE_H
#define CHIP_ASCEND_DEVICE_H

#include "chip/ascend/errors.h"
#include "chip/ascend/profiles.h"
#include "chip/chip.h"

struct ascend_options {
    char library[512];     /* folder; "": the usual search */
    int32_t device;        /* as the runtime counts */
    enum tensor_type type; /* of activations and dense weights: TENSOR_BF16 or TENSOR_F16 */
    bool graphs;           /* capture decode steps and replay them */
    bool updates;          /* captured attention takes true lengths by updating its tasks, not a mask on the device */
    int32_t fixed_rows;    /* every step runs this many rows, so that a row's result depends on no other: guarantee `batch`; 0: off */
    uint32_t deadline_ms;  /* a step that takes longer: the device is lost */
};

struct ascend_chip {
    struct chip base; /* first */
    const struct ascend_library *library;
    struct ascend_profile profile;
    struct ascend_options options;
    acl_context context;
    uint64_t generation; /* of this opening: what a thread remembers of an earlier one is stale */
    char version[64];    /* of CANN, as it says */
    bool lost;           /* a call found the device gone: it is reset by force when it is closed */
};

int ascend_chip_open(const char *profile, const char *options, struct chip **chip, struct error *err);
void ascend_chip_close(struct chip *chip);
int ascend_chip_health(struct chip *chip, struct error *err);
void ascend_chip_describe(const struct chip *chip, struct chip_description *description);
int ascend_chip_probe(struct chip_description *descriptions, int max);

/* Makes the device's context the calling thread's; one call of the runtime where the thread used another before, none otherwise. */
int ascend_bind(struct ascend_chip *chip, struct error *err);
/* After a reset: the chip has a new context, which is this thread's. */
void ascend_rebind(struct ascend_chip *chip);

/* ascend_fail, and remembers a loss. */
int ascend_chip_fail(struct ascend_chip *chip, int code, struct error *err, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- Memory: buffers are pieces of large blocks, each at a multiple of ACL_ALIGNMENT with ACL_TAIL bytes behind it, all freed at once. */

enum { MEMORY_MAX_BLOCKS = 4096 };

struct ascend_memory {
    void **blocks; /* [n_blocks] */
    int32_t n_blocks, capacity;
    char *next; /* free part of the newest block */
    uint64_t left;
    uint64_t total; /* bytes taken from the device */
};

/* SAMPAN_ENOMEM says for what, how much, and how much is free. */
int ascend_memory_take(struct ascend_chip *chip, struct ascend_memory *memory, uint64_t bytes, void **pointer, const char *what, struct error *err);
void ascend_memory_free(struct ascend_chip *chip, struct ascend_memory *memory);
uint64_t ascend_padded(uint64_t bytes); /* what a piece takes */

/* Synchronous: nothing that runs may use the memory. */
int ascend_upload(struct ascend_chip *chip, void *device, const void *host, uint64_t bytes, const char *what, struct error *err);
int ascend_download(struct ascend_chip *chip, void *host, const void *device, uint64_t bytes, const char *what, struct error *err);
int ascend_zero(struct ascend_chip *chip, void *device, uint64_t bytes, const char *what, struct error *err);

static inline enum acl_type ascend_type_of(enum tensor_type type)
{
    return type == TENSOR_F32 ? ACL_F32 : type == TENSOR_F16 ? ACL_F16 : ACL_BF16;
}

#endif
