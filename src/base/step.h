/* The step: one batch of tokens of many sequences (prefill chunks and decode tokens mixed), as plain arrays. It is the message between the engine, which
 * writes it and knows no chip, and a chip, which executes it and knows no request; so it lives above both, and knows neither.
 *
 * Rows. A step has n_tokens token rows. The rows of one sequence are consecutive, their positions ascend by one, and sequences do not repeat
 * within a step. Row r's token is token_ids[r], or, where token_sources[r] >= 0, the argmax token of logit row token_sources[r] of the step submitted just
 * before this one (which must have asked for it with WANT_ARGMAX): so a next step may be submitted before the host has seen the last one.
 *
 * Cache. Keys, values and other state live in blocks of fixed size, per cache group. Sequence s has in group g the block table
 * tables[g].blocks[s * tables[g].stride + i], which holds positions [i * block_tokens, (i + 1) * block_tokens). Entries that the step does not touch
 * (before a sliding window, beyond the length) may be -1. Edits run in order before the first operation. Steps execute in the order of submission, so a
 * block may be given to another sequence by any step submitted later.
 *
 * All arrays belong to the engine and stay unchanged until the step was waited for. Everything is int32 so that a chip with its own memory
 * uploads the arrays as they are into fixed device buffers (shapes bucketed, captured once, replayed). */
#ifndef BASE_STEP_H
#define BASE_STEP_H

#include <stdint.h>

#define STEP_MAX_GROUPS 8
#define STEP_MAX_TOP 64 /* candidates a chip may be asked for per row */

enum cache_edit_kind {
    CACHE_COPY,     /* block `to` becomes a copy of block `from` (copy on write) */
    CACHE_ZERO,     /* block `to` becomes zero */
    CACHE_SNAPSHOT, /* recurrent state: slot `from` is saved in block `to` */
    CACHE_RESTORE,  /* recurrent state: slot `to` is loaded from block `from` */
};

struct cache_edit {
    int32_t kind; /* enum cache_edit_kind */
    int32_t group;
    int32_t from;
    int32_t to;
};

struct step_block_table {
    const int32_t *blocks; /* [n_sequences, stride] */
    int32_t stride;        /* entries per sequence */
};

/* What is wanted of a logit row; bits. */
enum step_want {
    WANT_LOGITS = 1, /* the whole row, float, on the host */
    WANT_ARGMAX = 2, /* the id of the largest logit (lowest id on ties); required where a later step names this row as a source */
    WANT_TOP = 4,    /* the step's n_top largest, descending, ties by ascending id */
    WANT_HIDDEN = 8, /* the row that the output head reads: the final norm's, float, on the host. Where no row wants more, the head does not run */
};

struct step {
    uint64_t id; /* ordinal, ascending by one per executor */
    int32_t n_tokens;
    const int32_t *token_ids;     /* [n_tokens] */
    const int32_t *token_sources; /* [n_tokens], -1 or a logit row of the previous step; NULL: all -1 */
    const int32_t *positions;     /* [n_tokens] absolute */
    int32_t n_sequences;
    const int32_t *row_starts; /* [n_sequences + 1]: rows of sequence s are [row_starts[s], row_starts[s + 1]) */
    const int32_t *lengths;    /* [n_sequences]: tokens of the sequence in the cache once this step ran = last position + 1 */
    const int32_t *slots;      /* [n_sequences]: the sequence's slot for per-sequence state, 0 .. max_sequences - 1 */
    int32_t n_groups;
    struct step_block_table tables[STEP_MAX_GROUPS]; /* [n_groups] */
    int32_t n_logit_rows;
    const int32_t *logit_rows; /* [n_logit_rows] token rows, ascending */
    const int32_t *wants;      /* [n_logit_rows] bits of enum step_want */
    int32_t n_top;             /* for WANT_TOP, at most STEP_MAX_TOP */
    int32_t n_edits;
    const struct cache_edit *edits; /* [n_edits] */
};

/* What came back. Arrays belong to the executor and stay valid until the next wait on it (a submit does not touch them). */
struct step_result {
    uint64_t id; /* of the step */
    int32_t n_logit_rows;
    const float *logits;     /* [n_logit_rows, n_vocabulary]; rows that did not ask hold anything. NULL: no row asked */
    const int32_t *argmax;   /* [n_logit_rows]; -1 where not asked */
    const int32_t *top_ids;  /* [n_logit_rows, n_top] or NULL */
    const float *top_logits; /* [n_logit_rows, n_top] or NULL */
    const float *hidden;     /* [n_logit_rows, hidden width]; rows that did not ask hold anything. NULL: no row asked */
};

#endif
