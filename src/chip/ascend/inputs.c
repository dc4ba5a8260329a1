/* A step's numbers as the device reads them: one region of int32 and a few other arrays, filled in page-locked memory and sent in one copy. Padded rows
 * have token 0 at position 0, write into spare blocks (each row into a slot of its own) and read nothing but zeros. */
#include <string.h>

#include "chip/ascend/plan.h"

/* ---- Layout. */

static uint64_t place(uint64_t *end, uint64_t bytes)
{
    uint64_t at = *end;
    *end = (at + bytes + 63) / 64 * 64; /* tensors begin at multiples of 32 bytes */
    return at;
}

struct input_layout ascend_input_layout(const struct ascend_plan *plan, int32_t n_rows, int32_t n_logit_rows)
{
    struct input_layout layout = {0};
    uint64_t end = 0, rows = (uint64_t)n_rows;
    layout.tokens = place(&end, rows * 4);
    layout.sources = place(&end, rows * 4);
    layout.positions = place(&end, rows * 4);
    layout.long_positions = place(&end, rows * 8);
    layout.logit_rows = place(&end, (uint64_t)n_logit_rows * 4);
    for (int32_t g = 0; g < plan->program->n_groups; g++)
        layout.slots[g] = place(&end, rows * 4);
    layout.end = end;
    return layout;
}

void ascend_place_span(const struct ascend_plan *plan, struct span *span, uint64_t *end)
{
    span->lengths_at = place(end, (uint64_t)span->n_rows * 4);
    for (int32_t g = 0; g < plan->program->n_groups; g++)
        span->tables_at[g] = place(end, (uint64_t)span->n_tables * (uint64_t)span->table_blocks * 4);
}

/* ---- Rows. */

static void pack_tokens(const struct ascend_plan *plan, const struct step *step, const struct variant_key *key, const struct input_layout *layout, char *inputs)
{
    int32_t *tokens = (int32_t *)(void *)(inputs + layout->tokens), *sources = (int32_t *)(void *)(inputs + layout->sources);
    int32_t *positions = (int32_t *)(void *)(inputs + layout->positions);
    int64_t *long_positions = (int64_t *)(void *)(inputs + layout->long_positions);
    int32_t own = (int32_t)((plan->inputs_at + layout->tokens) / 4); /* index in the pool of this step's first token */
    for (int32_t r = 0; r < key->n_rows; r++) {
        bool is_row = r < step->n_tokens;
        int32_t source = is_row && step->token_sources ? step->token_sources[r] : -1;
        tokens[r] = is_row && source < 0 ? step->token_ids[r] : 0;
        sources[r] = source >= 0 ? source : own + r;
        positions[r] = is_row ? step->positions[r] : 0;
        long_positions[r] = positions[r];
    }
}

static void pack_slots(const struct ascend_plan *plan, const struct step *step, const struct variant_key *key, int32_t g, int32_t *slots)
{
    int32_t block = plan->limits.block_tokens;
    const struct step_block_table *table = &step->tables[g];
    for (int32_t s = 0; s < step->n_sequences; s++)
        for (int32_t r = step->row_starts[s]; r < step->row_starts[s + 1]; r++) {
            int32_t position = step->positions[r];
            slots[r] = table->blocks[(int64_t)s * table->stride + position / block] * block + position % block;
        }
    for (int32_t r = step->n_tokens; r < key->n_rows; r++)
        slots[r] = plan->groups[g].first_spare * block + (r - step->n_tokens);
}

void ascend_pack_rows(struct ascend_plan *plan, const struct step *step, const struct variant_key *key, const struct input_layout *layout, char *inputs)
{
    pack_tokens(plan, step, key, layout, inputs);
    int32_t *logit_rows = (int32_t *)(void *)(inputs + layout->logit_rows);
    for (int32_t l = 0; l < key->n_logit_rows; l++)
        logit_rows[l] = l < step->n_logit_rows ? step->logit_rows[l] : 0;
    for (int32_t g = 0; g < plan->program->n_groups; g++)
        pack_slots(plan, step, key, g, (int32_t *)(void *)(inputs + layout->slots[g]));
}

/* ---- Spans. */

/* Blocks of one sequence up to `length` positions; what lies beyond, or before a window, is the block of zeros. */
static void pack_table(const struct ascend_plan *plan, const struct step *step, int32_t g, int32_t sequence, int32_t length, int32_t n_blocks, int32_t *entries)
{
    const int32_t *blocks = sequence >= 0 ? step->tables[g].blocks + (int64_t)sequence * step->tables[g].stride : NULL;
    int32_t used = sequence >= 0 ? (length + plan->limits.block_tokens - 1) / plan->limits.block_tokens : 0;
    for (int32_t i = 0; i < n_blocks; i++)
        entries[i] = i < used && blocks[i] >= 0 ? blocks[i] : plan->groups[g].null_block;
}

void ascend_pack_span(struct ascend_plan *plan, const struct step *step, const struct span *span, char *inputs)
{
    float *lengths = (float *)(void *)(inputs + span->lengths_at);
    int32_t sequence = span->sequence;
    for (int32_t i = 0; i < span->n_tables; i++) {
        int32_t row = span->is_rows ? span->first_row + i : span->first_row + span->n_rows - 1;
        bool is_row = row < step->n_tokens;
        while (is_row && span->is_rows && row >= step->row_starts[sequence + 1])
            sequence++;
        int32_t length = is_row ? step->positions[row] + 1 : 1;
        if (span->is_rows)
            lengths[i] = (float)length;
        for (int32_t g = 0; g < plan->program->n_groups; g++)
            pack_table(plan, step, g, is_row ? sequence : -1, length, span->table_blocks,
                       (int32_t *)(void *)(inputs + span->tables_at[g]) + (int64_t)i * span->table_blocks);
    }
}
