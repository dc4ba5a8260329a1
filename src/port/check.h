/* Will this model run on that chip? From headers and data alone: the program of a checkpoint is walked with a chip's supports(), its memory is estimated to
 * the byte (plan_estimate), and its speed is bounded by the chip's memory bandwidth and peak arithmetic. Nothing is loaded, and the chip need not be here, so
 * this answers for a model far larger than this machine and for a machine not yet bought.
 *
 * Speed. A step of B sequences at position p reads every weight it multiplies by once, one row of the embedding for each token, and the keys and values of
 * p positions for each sequence (of a sliding window, its window); it writes one position. Activations are not counted: they stay in caches. It computes 2 *
 * rows * columns operations for each linear and token, and 2 * heads * (key width + value width) * p for each attention. A step cannot take less than
 * bytes / bandwidth, nor less than operations / peak at any one rate; tokens/s = B / the larger. These are bounds that no program exceeds, not forecasts.
 *
 * Thread: any; everything returned lives in the arena given. */
#ifndef PORT_CHECK_H
#define PORT_CHECK_H

#include "base/arena.h"
#include "chip/chip.h"

enum {
    PORT_DEFAULT_CONTEXT = 4096, /* positions, where the model has as many */
    PORT_DEFAULT_BATCH = 16,     /* sequences, where as many fit */
};

struct port_question {
    const struct program *program;
    const struct chip_interface *chip;  /* the kind */
    const struct chip_profile *profile; /* of that kind; unknown figures leave unknown answers */
    int32_t context;                    /* positions of each sequence; 0: PORT_DEFAULT_CONTEXT or the model's, whichever is shorter */
    int32_t batch;                      /* sequences at once; 0: PORT_DEFAULT_BATCH or as many as fit */
    bool cache_type_given;              /* false: the profile's */
    enum tensor_type cache_type;
    double price_per_hour; /* of the chip, in any currency; 0: none given */
};

/* One reason for which operations are refused, and the operations. Reasons that differ only in numbers (of layers, say) are one. */
struct port_refusal {
    const char *reason; /* of the first such operation */
    enum op_kind kind;
    int32_t n_ops;
    const char *where; /* "layers 0-3, 7 and outside the layers" */
};

/* Weights that the chip holds in the same way. */
struct port_form {
    enum tensor_type published;
    const char *form; /* as in weight_estimate */
    enum weight_change change;
    int32_t n_weights;
    uint64_t published_bytes, held_bytes; /* a copy that two weights share counts once */
};

enum port_verdict {
    PORT_RUNS,
    PORT_REFUSED,       /* supports() refuses operations: see refusals */
    PORT_CONTEXT_LONG,  /* the context asked for is longer than the model's */
    PORT_WEIGHTS_LARGE, /* weights and buffers alone do not fit */
    PORT_CACHE_LARGE,   /* not one sequence of that context fits, or not as many as were asked for */
    PORT_VERDICT_COUNT
};

struct port_speed {
    int32_t batch, position;       /* sequences, and positions that each has behind it */
    double bytes;                  /* read and written by a step */
    double operations[RATE_COUNT]; /* of a step, by the arithmetic used */
    double memory_seconds;         /* 0: the bandwidth is not known */
    double compute_seconds;        /* 0: a peak it needs is not known */
    double tokens_per_second;      /* bound; 0: not known */
    bool memory_bound;             /* which of the two bounds it */
};

enum port_speed_row { SPEED_ONE_START, SPEED_ONE_END, SPEED_BATCH_START, SPEED_BATCH_END, SPEED_PREFILL, PORT_SPEEDS };

struct port_answer {
    enum port_verdict verdict;
    char problem[512]; /* one sentence for a verdict other than PORT_RUNS: found, expected, what to do; "" otherwise */
    int32_t n_refusals;
    const struct port_refusal *refusals;
    /* What follows is 0 where operations are refused. */
    enum tensor_type cache_type;
    int32_t context, batch, block_tokens, max_tokens;
    int32_t n_forms;
    const struct port_form *forms; /* largest first */
    uint64_t published_bytes;      /* of all weights */
    struct plan_description sizes; /* weights and buffers; cache_bytes: of `batch` sequences of `context` positions */
    uint64_t token_bytes;          /* cache per position, all groups, in the chip's layout */
    uint64_t group_token_bytes[STEP_MAX_GROUPS];
    uint64_t sequence_bytes;                                    /* cache of one sequence of `context` positions */
    uint64_t usable_bytes;                                      /* of the chip's memory, less what is reserved; 0: not known */
    int64_t sequences_fit;                                      /* of `context` positions; -1: not known */
    int32_t longest_context;                                    /* of which one sequence fits, at most the model's; -1: not known */
    struct port_speed speeds[PORT_SPEEDS];                      /* SPEED_PREFILL: a prompt of `context` tokens in steps of max_tokens */
    double cost_per_million_generated, cost_per_million_prompt; /* at least, at the batch's and the prefill's bounds; 0: no price, or a speed is not known */
};

/* Answers the question; the verdict is in the answer. An error means that it could not be answered (memory, a program that is broken). */
int port_check(const struct port_question *question, struct arena *arena, struct port_answer *answer, struct error *err);

const char *port_verdict_name(enum port_verdict verdict);  /* "runs", "refused", ... */
const char *weight_change_name(enum weight_change change); /* "as published", "same values", ... */

/* refusals.c: asks supports() for every operation. */
int port_list_refusals(const struct port_question *question, enum tensor_type cache_type, struct arena *arena, struct port_answer *answer, struct error *err);

/* speed.c: fills speeds and costs; sizes, context and batch are known. weights[n_weights] as estimated; counted[n_weights]: all false, for its use. */
void port_bound_speeds(const struct port_question *question, const struct weight_estimate *weights, bool *counted, struct port_answer *answer);

#endif
