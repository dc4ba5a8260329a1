/* checkchip: is this chip right? In the manner of dav1d's checkasm, for each operation of chip/program.h, over a grid of shapes and weight types:
 *   - a program of one or two operations is compiled on the reference chip and on the chip under test, both get the same inputs and the same step, and every
 *     output is compared within a bound derived from the arithmetic allowed (each check_*.c states its own);
 *   - a chip whose element type (chip_description) is narrower than f32 gets inputs rounded to that type, as does the reference, and each check's bound grows
 *     by the roundings that type allows: one for each weight, for each value kept between two of the chip's operators, and for the result;
 *   - on a chip that promises more than GUARANTEE_NONE, bits are compared: one row alone and among many, attention whole and in chunks, other block
 *     numbers, NaN in everything that must not be read, one worker and two, segments summed apart and joined;
 *   - --bench times each operation in the shapes of a real model.
 * What the chip's supports() refuses is listed with its reason.
 *
 * The core is a library, so that test_wrong_chips.c can hand it chips that are wrong on purpose. */
#ifndef TESTS_CHECKCHIP_H
#define TESTS_CHECKCHIP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "chip/chip.h"
#include "tiny/random_blocks.h"

/* ---- From the outside. */

struct checkchip_options {
    const char *chip;                       /* as chip_open takes it; NULL: the best there is */
    const struct chip_interface *interface; /* tests: this chip instead of `chip` */
    const char *op;                         /* only checks whose name begins so; NULL: all */
    uint64_t seed;
    bool quick;   /* fewer rows and shapes: below 20 s */
    bool bench;   /* time instead of checking */
    bool require; /* a refusal is a failure */
    FILE *out;
};

struct checkchip_totals {
    int n_passed, n_failed, n_refused;
};

/* 0: it ran (look at the totals); otherwise the chip could not be opened: a SAMPAN_E... code and the reason in err. */
int checkchip_run(const struct checkchip_options *options, struct checkchip_totals *totals, struct error *err);
void checkchip_list(FILE *out); /* the names of the checks */

/* ---- Inside. */

struct context {
    const struct checkchip_options *options;
    struct chip *reference;
    struct chip *tested;
    struct chip *workers[2]; /* the tested chip opened with one and with two workers; NULL: it has no such option */
    struct chip_description description;
    struct random random;
    struct checkchip_totals totals;
    /* The row being written. */
    const char *op;
    char what[160];
    double worst; /* largest error / bound so far */
    bool failed;
};

/* The unit roundoff of the chip's element type: the largest relative error of one rounding. 0 for f32, whose roundings the bounds count themselves. */
double element_unit(const struct context *context);
/* ... and the largest absolute one near zero, where numbers have no more exponents. */
double element_least(const struct context *context);

static inline bool promises_bits(const struct context *context)
{
    return context->description.guarantee != GUARANTEE_NONE;
}

/* One line of the table: row_begin, any number of row_fail, row_end (or row_refused). */
void row_begin(struct context *context, const char *op, const char *format, ...) __attribute__((format(printf, 3, 4)));
void row_fail(struct context *context, const char *format, ...) __attribute__((format(printf, 2, 3)));
void row_refused(struct context *context, const char *reason);
void row_end(struct context *context);

/* found[i] must lie within bounds[i] of expected[i], or equal it bit for bit where bounds is NULL; width is for messages. False: row_fail was called. */
bool compare_values(struct context *context, const char *where, const float *expected, const float *found, const double *bounds, int64_t n, int32_t width);

/* A program under test: built by a check, compiled on every chip, with the inputs of n_rows rows. */
#define RIG_MAX_BUFFERS 8

enum rig_plan { PLAN_REFERENCE, PLAN_TESTED, PLAN_ONE_WORKER, PLAN_TWO_WORKERS, RIG_PLANS };

struct rig {
    struct context *context;
    struct arena arena;
    struct program_builder *builder;
    const struct program *program;
    struct plan_limits limits;
    int32_t n_rows;   /* rows of data */
    int32_t n_inputs; /* buffers written before each step */
    int32_t inputs[RIG_MAX_BUFFERS];
    float *values[RIG_MAX_BUFFERS]; /* [n_rows, width] of input i */
    int32_t n_outputs;              /* buffers read after it */
    int32_t outputs[RIG_MAX_BUFFERS];
    int32_t *tokens;               /* [n_rows] */
    struct plan *plans[RIG_PLANS]; /* NULL: no such chip */
};

bool rig_open(struct rig *rig, struct context *context, int32_t n_rows);              /* false: the row is done */
int32_t rig_input(struct rig *rig, const char *name, int32_t width, float deviation); /* a buffer of n_rows random rows */
int32_t rig_output(struct rig *rig, const char *name, int32_t width, enum buffer_rows rows);
/* A random weight over memory of the rig's arena. */
int32_t rig_weight(struct rig *rig, const char *name, enum weight_role role, enum tensor_type type, int64_t rows, int64_t columns, float deviation);
/* Finishes the program and compiles it on every chip. False: the row is done (refused or failed), close the rig. */
bool rig_compile(struct rig *rig, int32_t n_vocabulary);
void rig_close(struct rig *rig);
int32_t rig_width(const struct rig *rig, int32_t buffer);
void *rig_memory(struct rig *rig, size_t count, size_t size); /* zeroed, of the arena; never NULL: the process ends */
float *rig_floats(struct rig *rig, int64_t n);
double *rig_doubles(struct rig *rig, int64_t n);
/* Whether the tested chip computes with a weight in int8. */
bool rig_weight_is_int8(struct rig *rig, int32_t weight);
const float *rig_dequantise(struct rig *rig, int32_t weight); /* [rows, columns] */

/* Submits a step and waits for it; reads and writes buffers. False: row_fail was called. */
bool rig_step(struct rig *rig, enum rig_plan which, const struct step *step, struct step_result *result);
bool rig_write(struct rig *rig, enum rig_plan which, int32_t buffer, int32_t n_rows, const float *values);
bool rig_read(struct rig *rig, enum rig_plan which, int32_t buffer, int32_t n_rows, float *values);

/* Rows [first, first + n) as one sequence of n tokens at positions first.., all outputs to outs[i] + first * width. */
bool rig_run_rows(struct rig *rig, enum rig_plan which, int32_t first, int32_t n, float *const outs[]);

/* The whole check of an operation that looks at rows one by one: bounds, batches, workers, NaN; ends the row. bound() writes a bound per element of output
 * i, [n_rows, width], zero before, given the reference's values. */
typedef void bound_function(struct rig *rig, int32_t output, const float *expected, double *bounds);
void check_rowwise(struct rig *rig, bound_function *bound);

/* A step, grown sequence by sequence; group 0 only. */
#define STEPPER_ROWS 2048
#define STEPPER_SEQUENCES 16
#define STEPPER_BLOCKS 512

struct stepper {
    struct step step;
    int32_t token_ids[STEPPER_ROWS], token_sources[STEPPER_ROWS], positions[STEPPER_ROWS];
    int32_t row_starts[STEPPER_SEQUENCES + 1], lengths[STEPPER_SEQUENCES], slots[STEPPER_SEQUENCES];
    int32_t blocks[STEPPER_SEQUENCES * STEPPER_BLOCKS];
    int32_t logit_rows[STEPPER_ROWS], wants[STEPPER_ROWS];
    struct cache_edit edits[16];
};

void stepper_init(struct stepper *stepper);
/* n tokens of a sequence from `position` on; table: [n_entries], or NULL for programs without cache. */
void stepper_add(struct stepper *stepper, int32_t position, int32_t n, const int32_t *tokens, const int32_t *table, int32_t n_entries);
void stepper_want(struct stepper *stepper, int32_t row, int32_t wants);
void stepper_edit(struct stepper *stepper, enum cache_edit_kind kind, int32_t from, int32_t to);

/* ---- The checks. */

struct check_row {
    const char *name;
    void (*check)(struct context *context);
    void (*bench)(struct context *context); /* NULL: none */
};
extern const struct check_row check_table[]; /* ends with a NULL name */

void check_embed(struct context *context);
void check_norm(struct context *context);
void check_gated(struct context *context);
void check_select(struct context *context);
void check_rope(struct context *context);
void check_linear(struct context *context);
void check_split(struct context *context);
void check_attention(struct context *context);
void check_edits(struct context *context);
void check_logits(struct context *context);
void check_sources(struct context *context);

void bench_embed(struct context *context);
void bench_norm(struct context *context);
void bench_gated(struct context *context);
void bench_rope(struct context *context);
void bench_linear(struct context *context);
void bench_attention(struct context *context);
void bench_logits(struct context *context);

#endif
