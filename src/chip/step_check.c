/* step_check: refuses a step that does not fit the plan, before anything of it runs. It is called for every step, so it allocates nothing and costs a
 * few comparisons per row and per block-table entry that the step touches. */
#include <string.h>

#include "chip/chip.h"

static int check_counts(const struct step *step, const struct program *program, const struct plan_limits *limits, struct error *err)
{
    const struct {
        const char *what;
        int32_t found, most;
    } counts[] = {
        {"tokens", step->n_tokens, limits->max_tokens},
        {"sequences", step->n_sequences, limits->max_sequences},
        {"logit rows", step->n_logit_rows, limits->max_logit_rows},
        {"top candidates", step->n_top, STEP_MAX_TOP},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i].found < 0 || counts[i].found > counts[i].most)
            return error_set(err, SAMPAN_EINVAL, "%d %s, expected 0 to %d", counts[i].found, counts[i].what, counts[i].most);
    if (step->n_groups != program->n_groups)
        return error_set(err, SAMPAN_EINVAL, "block tables of %d cache groups, but the program has %d", step->n_groups, program->n_groups);
    if (step->n_edits < 0)
        return error_set(err, SAMPAN_EINVAL, "%d edits", step->n_edits);
    return 0;
}

static int check_tokens(const struct step *step, int32_t n_vocabulary, int32_t previous_logit_rows, struct error *err)
{
    for (int32_t r = 0; r < step->n_tokens; r++) {
        int32_t source = step->token_sources ? step->token_sources[r] : -1;
        if (source < -1 || source >= previous_logit_rows)
            return error_set(err, SAMPAN_EINVAL, "row %d takes its token from logit row %d of the previous step, which had %d", r, source, previous_logit_rows);
        if (source == -1 && (step->token_ids[r] < 0 || step->token_ids[r] >= n_vocabulary))
            return error_set(err, SAMPAN_EINVAL, "row %d has token %d, expected 0 to %d", r, step->token_ids[r], n_vocabulary - 1);
    }
    return 0;
}

/* Rows and positions of sequence s. */
static int check_sequence(const struct step *step, const struct plan_limits *limits, int32_t s, struct error *err)
{
    int32_t first = step->row_starts[s], last = step->row_starts[s + 1];
    if (first < 0 || last <= first || last > step->n_tokens)
        return error_set(err, SAMPAN_EINVAL, "sequence %d has rows %d to %d of %d, expected at least one, following the previous sequence's", s, first,
                         last - 1, step->n_tokens);
    if (step->lengths[s] < 1 || step->lengths[s] > limits->max_context)
        return error_set(err, SAMPAN_EINVAL, "sequence %d is %d tokens long, expected 1 to %d", s, step->lengths[s], limits->max_context);
    if (last - first > step->lengths[s])
        return error_set(err, SAMPAN_EINVAL, "sequence %d has %d rows but is %d tokens long", s, last - first, step->lengths[s]);
    for (int32_t r = first; r < last; r++)
        if (step->positions[r] != step->lengths[s] - (last - r))
            return error_set(err, SAMPAN_EINVAL, "row %d of sequence %d is at position %d, expected %d (positions ascend by one and end at length %d)", r, s,
                             step->positions[r], step->lengths[s] - (last - r), step->lengths[s]);
    return 0;
}

static int check_sequences(const struct step *step, const struct plan_limits *limits, struct error *err)
{
    uint64_t taken[(LIMIT_SEQUENCES + 63) / 64] = {0}; /* a bit per slot */
    if (step->n_sequences == 0)
        return step->n_tokens ? error_set(err, SAMPAN_EINVAL, "%d tokens, but no sequence", step->n_tokens) : 0;
    if (step->row_starts[0] != 0 || step->row_starts[step->n_sequences] != step->n_tokens)
        return error_set(err, SAMPAN_EINVAL, "the sequences' rows run from %d to %d, expected 0 to %d", step->row_starts[0],
                         step->row_starts[step->n_sequences], step->n_tokens);
    for (int32_t s = 0; s < step->n_sequences; s++) {
        int status = check_sequence(step, limits, s, err);
        if (status)
            return status;
        int32_t slot = step->slots[s];
        if (slot < 0 || slot >= limits->max_sequences || slot >= LIMIT_SEQUENCES)
            return error_set(err, SAMPAN_EINVAL, "sequence %d has slot %d, expected 0 to %d", s, slot, limits->max_sequences - 1);
        if (taken[slot / 64] >> (slot % 64) & 1)
            return error_set(err, SAMPAN_EINVAL, "sequence %d has slot %d, which another sequence of the step has", s, slot);
        taken[slot / 64] |= UINT64_C(1) << (slot % 64);
    }
    return 0;
}

/* Every block-table entry that the step reads or writes in group g. */
static int check_table(const struct step *step, const struct program_cache_group *group, const struct plan_limits *limits, int32_t g, struct error *err)
{
    const struct step_block_table *table = &step->tables[g];
    for (int32_t s = 0; s < step->n_sequences; s++) {
        int32_t first_position = 0;
        if (group->kind == CACHE_SLIDING_WINDOW && step->positions[step->row_starts[s]] >= group->window)
            first_position = step->positions[step->row_starts[s]] - group->window + 1;
        int32_t last_entry = (step->lengths[s] - 1) / limits->block_tokens;
        if (!table->blocks || last_entry >= table->stride)
            return error_set(err, SAMPAN_EINVAL, "sequence %d of %d tokens needs %d block-table entries in cache group '%s', the table has %d", s,
                             step->lengths[s], last_entry + 1, group->name, table->blocks ? table->stride : 0);
        const int32_t *blocks = table->blocks + (int64_t)s * table->stride;
        for (int32_t i = first_position / limits->block_tokens; i <= last_entry; i++)
            if (blocks[i] < 0 || blocks[i] >= limits->n_blocks[g])
                return error_set(err, SAMPAN_EINVAL, "sequence %d: entry %d of the block table of cache group '%s' is block %d, expected 0 to %d", s, i,
                                 group->name, blocks[i], limits->n_blocks[g] - 1);
    }
    return 0;
}

static int check_logit_rows(const struct step *step, const struct program *program, struct error *err)
{
    bool has_logits = program->ops[program->n_ops - 1].kind == OP_LOGITS;
    for (int32_t l = 0; l < step->n_logit_rows; l++) {
        if (step->logit_rows[l] < 0 || step->logit_rows[l] >= step->n_tokens || (l > 0 && step->logit_rows[l] <= step->logit_rows[l - 1]))
            return error_set(err, SAMPAN_EINVAL, "logit row %d is token row %d, expected ascending rows below %d", l, step->logit_rows[l], step->n_tokens);
        if (step->wants[l] & ~(WANT_LOGITS | WANT_ARGMAX | WANT_TOP | WANT_HIDDEN))
            return error_set(err, SAMPAN_EINVAL, "logit row %d wants 0x%x, which has unknown bits", l, (unsigned)step->wants[l]);
        if (step->wants[l] && !has_logits)
            return error_set(err, SAMPAN_EINVAL, "logit row %d wants logits of a program that has none", l);
        if (step->wants[l] & WANT_HIDDEN && program_hidden_width(program) == 0)
            return error_set(err, SAMPAN_EINVAL, "logit row %d wants the hidden row of a program that hands none out", l);
        if (step->wants[l] & WANT_TOP && step->n_top < 1)
            return error_set(err, SAMPAN_EINVAL, "logit row %d wants the largest logits, but the step's n_top is %d", l, step->n_top);
    }
    return 0;
}

static bool is_in(int32_t value, int32_t count)
{
    return value >= 0 && value < count;
}

static int check_edit(const struct cache_edit *edit, int32_t index, const struct program *program, const struct plan_limits *limits, struct error *err)
{
    if (!is_in(edit->group, program->n_groups))
        return error_set(err, SAMPAN_EINVAL, "edit %d is of cache group %d, but the program has %d", index, edit->group, program->n_groups);
    const struct program_cache_group *group = &program->groups[edit->group];
    int32_t n_blocks = limits->n_blocks[edit->group];
    bool has_state = group->kind == CACHE_RECURRENT_STATE;
    bool good;
    switch (edit->kind) {
    case CACHE_COPY: good = is_in(edit->from, n_blocks) && is_in(edit->to, n_blocks); break;
    case CACHE_ZERO: good = is_in(edit->to, n_blocks); break;
    case CACHE_SNAPSHOT: good = has_state && is_in(edit->from, limits->max_sequences) && is_in(edit->to, n_blocks); break;
    case CACHE_RESTORE: good = has_state && is_in(edit->from, n_blocks) && is_in(edit->to, limits->max_sequences); break;
    default: return error_set(err, SAMPAN_EINVAL, "edit %d has an unknown kind, %d", index, edit->kind);
    }
    if (!good && !has_state && edit->kind >= CACHE_SNAPSHOT)
        return error_set(err, SAMPAN_EUNSUPPORTED, "edit %d saves or restores state of cache group '%s', which has none", index, group->name);
    if (!good)
        return error_set(err, SAMPAN_EINVAL, "edit %d goes from %d to %d in cache group '%s' of %d blocks", index, edit->from, edit->to, group->name, n_blocks);
    return 0;
}

static int check_parts(const struct step *step, const struct program *program, const struct plan_limits *limits, int32_t previous_logit_rows, struct error *err)
{
    int status = check_counts(step, program, limits, err);
    if (!status)
        status = check_tokens(step, program->n_vocabulary, previous_logit_rows, err);
    if (!status)
        status = check_sequences(step, limits, err);
    for (int32_t g = 0; !status && g < program->n_groups; g++)
        if (program->groups[g].kind != CACHE_RECURRENT_STATE)
            status = check_table(step, &program->groups[g], limits, g, err);
    if (!status)
        status = check_logit_rows(step, program, err);
    for (int32_t e = 0; !status && e < step->n_edits; e++)
        status = check_edit(&step->edits[e], e, program, limits, err);
    return status;
}

int step_check(const struct step *step, const struct program *program, const struct plan_limits *limits, int32_t previous_logit_rows, struct error *err)
{
    int status = check_parts(step, program, limits, previous_logit_rows, err);
    if (status)
        error_prefix(err, "step %llu", (unsigned long long)step->id);
    return status;
}
