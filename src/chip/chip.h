/* The one interface a chip implements.
 *
 * A chip compiles a program into a plan once (weights in its own layout, buffers, caches, perhaps captured graphs) and runs the plan every step. Submission is
 * asynchronous: submit returns as soon as the step is accepted, wait gives its result; up to max_steps_in_flight steps may be between the two,
 * executed in order. A chip may run a step whenever it likes between the two, all of it inside submit or inside wait included; so nothing but wait says
 * that a step has begun. A refused submit (any code but 0) consumes nothing: no edit ran, the step in flight and "the previous step" are what they were,
 * and the caller may change the step and submit again. No host decision is needed inside a step: everything a step varies by is in the step's arrays.
 *
 * A chip never aborts the process: every function returns 0 or a negative SAMPAN_E... with the operation, the shape and the chip's own message.
 * After SAMPAN_ELOST the plan is dead: only plan_free and close may be called; another open may find the device well again.
 *
 * Thread: one thread at a time per plan (the engine's). Chips make and own whatever further threads they need.
 * Until the first release this interface changes whenever a second chip teaches better; after it, it only grows. */
#ifndef CHIP_CHIP_H
#define CHIP_CHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/step.h"
#include "chip/program.h"
#include "tensor/type.h"

/* ---- What a chip promises about bits (DESIGN rules 3-5). */
enum chip_guarantee {
    GUARANTEE_NONE,  /* the same step twice may differ with the batch */
    GUARANTEE_BATCH, /* a row's result does not depend on the other rows, chunking, block numbers, workers, replay */
    GUARANTEE_SPLIT, /* ... nor on how many chips share the split-stable sums */
};

struct chip_description {
    char name[128];        /* "AMD EPYC 9454, 2 workers, avx512" for a person */
    char numerics_id[128]; /* kind, dialect, kernel generation: "cpu:avx512:1"; the plan adds weight and cache types and S */
    enum chip_guarantee guarantee;
    uint64_t memory_total;         /* bytes the chip may use; 0: unknown */
    uint64_t memory_available;     /* now */
    int32_t block_tokens;          /* preferred tokens per cache block */
    int32_t max_steps_in_flight;   /* 1: submit before wait, one at a time */
    bool computes_from_maps;       /* weight_part.is_mapped is used where it is set: no copy in a layout of its own */
    int32_t max_top;               /* candidates per row it can return, at most STEP_MAX_TOP; 0: none */
    bool gives_hidden_rows;        /* a step may ask for WANT_HIDDEN */
    int32_t max_tokens;            /* rows of a step, where the chip sets a limit; 0: none */
    enum tensor_type element_type; /* that activations are rounded to between operations, and weights that are not quantised */
    enum tensor_type cache_type;   /* preferred element type of keys and values: what an executor takes when nothing else is asked */
};

/* ---- Profiles: what chips of a kind are, as data. No hardware is needed, so that port/ can reckon for chips that are not here. */

/* Arithmetic whose peak a profile may state. A multiplication and an addition count as two operations. */
enum chip_rate { RATE_F32, RATE_F16, RATE_BF16, RATE_INT8, RATE_COUNT };

enum { CHIP_MAX_PROFILES = 64 };

struct chip_profile {
    char name[32];     /* what stands behind "kind:": "910B4", "avx512"; "" where a kind has only one */
    char product[128]; /* for a person: "Ascend 910B4", "AMD EPYC 9454, avx512" */
    bool is_here;      /* this machine has it, and the memory figures are its own */
    enum chip_guarantee guarantee;
    enum tensor_type cache_type; /* preferred, as in chip_description */
    int32_t block_tokens;        /* ditto */
    /* Figures; 0 where unknown. Each source says where they are from ("vendor's product page", "measured"); NULL where nothing is known. */
    uint64_t memory_bytes;
    uint64_t memory_free;          /* now, where is_here */
    uint64_t memory_reserved;      /* not for weights, caches and buffers: driver, contexts, the rest of the process */
    double memory_bandwidth;       /* bytes/s */
    double peak[RATE_COUNT];       /* operations/s; 0 also where the chip has no such arithmetic */
    enum chip_rate attention_rate; /* arithmetic of its attention */
    const char *memory_source, *bandwidth_source, *peak_source;
};

/* Sizes a plan is compiled for; the step never exceeds them. */
struct plan_limits {
    int32_t max_tokens;    /* rows of a step */
    int32_t max_sequences; /* of a step, and slots */
    int32_t max_logit_rows;
    int32_t max_context;               /* positions of one sequence */
    int32_t block_tokens;              /* tokens per cache block, a divisor of ATTENTION_SPAN; 0: the chip's preference */
    int32_t n_blocks[STEP_MAX_GROUPS]; /* per cache group of the program */
    enum tensor_type cache_type;       /* TENSOR_F16, TENSOR_BF16 or TENSOR_F32; refused where unsupported */
    bool keep_buffers;                 /* every buffer keeps its own memory so that plan_read_buffer sees it after a step (checkchip, debugging) */
};

struct plan_description {
    uint64_t weight_bytes; /* in the chip's layout */
    uint64_t cache_bytes;
    uint64_t buffer_bytes;
    uint64_t group_block_bytes[STEP_MAX_GROUPS];
    char numerics_id[192];
};

/* How a chip would hold a logical weight, and with which arithmetic it would multiply. */
enum weight_change {
    WEIGHT_AS_PUBLISHED,
    WEIGHT_REARRANGED,  /* another layout or a wider type: the same values */
    WEIGHT_CONVERTED,   /* rounded to another floating-point type */
    WEIGHT_REQUANTISED, /* other codes and scales than published */
};

struct weight_estimate {
    uint64_t bytes;      /* in the chip's layout; 0 where it lies in another's copy (a tied head, query, key and value in one) */
    int32_t shared_with; /* index of the weight that owns the copy, or its own */
    enum weight_change change;
    const char *form;    /* "f16", "panels of 4-bit codes": a static string */
    enum chip_rate rate; /* of the products of a linear */
    double passes;       /* products computed for each one of the mathematics: 2 where an input is split into two int8 planes */
};

struct report; /* base/report.h */

/* Loading reports how far it is; a non-zero return stops it (SAMPAN_ECANCELLED). May be NULL. */
struct progress {
    int (*report)(void *self, uint64_t done_bytes, uint64_t total_bytes);
    void *self;
};

struct buffer;
struct chip; /* each implementation has its own; the first member is `const struct chip_interface *interface` */
struct plan; /* ditto */

/* Options of opening, as "key=value" pairs in the chip string: "cpu:avx2", "cpu:avx512,threads=2", "reference". */
struct chip_interface {
    const char *kind; /* "cpu" */

    /* One line for each device of this kind found on this machine; returns the number written, at most `max`. Never fails: no device is 0. */
    int (*probe)(struct chip_description *descriptions, int max);

    /* `profile` is the part behind "kind:" ("avx2", "910B4", "" = the best there is); `options` the "key=value,..." behind the first comma or "". */
    int (*open)(const char *profile, const char *options, struct chip **chip, struct error *err);
    void (*close)(struct chip *chip); /* after its plans were freed; NULL is legal */
    void (*describe)(const struct chip *chip, struct chip_description *description);
    /* 0: well. Otherwise a code and the chip's own words. Cheap enough to be asked between steps, while steps are in flight included: an executor does so
     * once a second. */
    int (*health)(struct chip *chip, struct error *err);

    /* Can this profile run this operation? Data only: no hardware is touched, so port/ asks it for chips that are not there. 0, or SAMPAN_EUNSUPPORTED with the
     * reason ("910B4 has no fp8"). `program` gives widths and weight types of the operation's operands. */
    int (*supports)(const char *profile, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err);

    /* The profiles of this kind, best first; returns the number written, at most `max` (CHIP_MAX_PROFILES is room enough). Data, and what is quick to read of
     * this machine; the list of names is the same on every machine. */
    int (*profiles)(struct chip_profile *profiles, int max);
    /* Fills what is unknown of a profile that is here (bandwidth, peaks) by measuring for at most two seconds. NULL: there is nothing to measure. */
    int (*measure)(struct chip_profile *profile, struct error *err);
    /* What plan_create would take on this profile, to the byte for weights and cache (buffers may depend on the number of workers), and how it would hold each
     * weight: weights[program->n_weights], or NULL. numerics_id stays empty. No hardware and no weight is touched. The program is one that supports() accepts
     * whole; limits as for plan_create. */
    int (*plan_estimate)(const char *profile, const struct program *program, const struct plan_limits *limits, struct plan_description *sizes,
                         struct weight_estimate *weights, struct error *err);

    /* Compiles: checks (program_check, supports), reads the weights from their files into the chip's own layout by pread, piece by piece (never a second
     * whole copy), allocates buffers and caches. The program and its files may be gone afterwards unless the chip's description says otherwise. */
    int (*plan_create)(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress, struct plan **plan,
                       struct error *err);
    void (*plan_free)(struct plan *plan); /* waits for what is in flight; NULL is legal */
    void (*plan_describe)(const struct plan *plan, struct plan_description *description);

    /* Reads the plan aloud: what became of the weights (layout, error of a new quantisation), what was fused, where memory went. NULL: nothing to tell. */
    void (*plan_print)(const struct plan *plan, struct buffer *out);

    /* Accepts a step. The step and its arrays stay unchanged until it was waited for (a chip with its own memory may have copied them before). SAMPAN_EBUSY
     * when max_steps_in_flight are out. Row sources ("the token of row r") are resolved on the chip: no result needs to have reached the host. */
    int (*plan_submit)(struct plan *plan, const struct step *step, struct error *err);
    /* The oldest step in flight: waits at most timeout_ns (UINT64_MAX: for ever), SAMPAN_ETIMEOUT when it is not done. A step that failed gives its error
     * here or in submit. A device that does nothing any more is no time-out but, after a deadline of the chip's own, SAMPAN_ELOST. The result's arrays lie
     * on the host and stay valid until the next wait. */
    int (*plan_wait)(struct plan *plan, uint64_t timeout_ns, struct step_result *result, struct error *err);

    /* Raw access to a program buffer, float [n_rows, width]: checkchip and debugging. Needs keep_buffers; no step may be in flight. */
    int (*plan_read_buffer)(struct plan *plan, int32_t buffer, int32_t n_rows, float *values, struct error *err);
    int (*plan_write_buffer)(struct plan *plan, int32_t buffer, int32_t n_rows, const float *values, struct error *err);
    /* Bytes of cache block `block` of a group, in the plan's own layout; *length is the group's block bytes. For tests of edits and bit-identity. */
    int (*plan_read_block)(struct plan *plan, int32_t group, int32_t block, void *bytes, uint64_t capacity, uint64_t *length, struct error *err);

    /* What only this kind can tell of an open chip on its first day: versions, devices, bandwidth, peaks; appends rows to the report. An error means that the
     * report could not be written, not that a row is bad. NULL: nothing beyond what `sampan doctor` finds for every chip (description, health, each
     * operation against the reference). */
    int (*diagnose)(struct chip *chip, struct report *report, struct error *err);
};

struct chip {
    const struct chip_interface *interface;
};
struct plan {
    const struct chip_interface *interface;
};

/* Checks a step against the limits it was compiled for (counts, row ranges, positions, block numbers, sources): the same for every chip. SAMPAN_EINVAL. */
int step_check(const struct step *step, const struct program *program, const struct plan_limits *limits, int32_t previous_logit_rows, struct error *err);

/* ---- The registry: one row per kind. */
extern const struct chip_interface *const chip_registry[]; /* NULL-terminated, in order of preference */

/* The kind named (the part before ':' and ','), or NULL. */
const struct chip_interface *chip_find_kind(const char *description);
/* SAMPAN_ENOTFOUND, with the kinds there are. */
int chip_refuse_kind(const char *kind, struct error *err);
/* What stands behind the ':' in `profile`; false when it does not fit. "" where there is none. */
bool chip_split_profile(const char *description, char *profile, size_t capacity);

/* Opens "kind[:profile][,key=value...]"; NULL or "auto": the first kind that has a device. An unknown kind is SAMPAN_ENOTFOUND and names those there are. */
int chip_open(const char *description, struct chip **chip, struct error *err);

#endif
