/* A step: every worker walks the stages; small row-wise operations are here, the large ones in linear.c, attention.c and logits.c. */
#include <math.h>
#include <string.h>

#include "chip/cpu/plan.h"

static void apply_edits(struct cpu_plan *plan, const struct step *step)
{
    for (int32_t e = 0; e < step->n_edits; e++) {
        const struct cache_edit *edit = &step->edits[e];
        const struct cache_group *group = &plan->groups[edit->group];
        uint8_t *to = group->blocks + (uint64_t)edit->to * group->block_bytes;
        if (edit->kind == CACHE_ZERO)
            memset(to, 0, group->block_bytes);
        else if (edit->kind == CACHE_COPY && edit->from != edit->to)
            memcpy(to, group->blocks + (uint64_t)edit->from * group->block_bytes, group->block_bytes);
    }
}

/* cos and sin of a row's angles, for every kind of rotation in the program. */
static void make_rope_row(struct cpu_plan *plan, int32_t row)
{
    for (int32_t t = 0; t < plan->n_rope_tables; t++) {
        struct rope_table *table = &plan->rope_tables[t];
        float *cosines = table->cosines + row * table->stride, *sines = table->sines + row * table->stride;
        for (int32_t i = 0; i < table->n_pairs; i++) {
            double angle = plan->step->positions[row] * table->frequencies[i];
            cosines[i] = (float)cos(angle) * table->magnitude;
            sines[i] = (float)sin(angle) * table->magnitude;
        }
    }
}

static void run_embed(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    int32_t first, last;
    share_work(plan->step->n_tokens, worker, plan->n_workers, &first, &last);
    for (int32_t r = first; r < last; r++) {
        float *out = buffer_row(&stage->embed.out, r);
        cpu_weight_read_row(stage->embed.table, plan->token_ids[r], out);
        for (int32_t i = 0; stage->embed.scale != 1.0f && i < stage->embed.out.width; i++)
            out[i] *= stage->embed.scale;
    }
}

static void run_gated(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    int32_t first, last;
    share_work(stage_rows(plan, stage->rows), worker, plan->n_workers, &first, &last);
    for (int32_t r = first; r < last; r++)
        plan->chip->kernels.gate_silu(buffer_row(&stage->gated.gate, r), buffer_row(&stage->gated.up, r), buffer_row(&stage->gated.out, r),
                                      stage->gated.out.width);
}

static void run_select(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    int32_t first, last;
    share_work(plan->step->n_logit_rows, worker, plan->n_workers, &first, &last);
    for (int32_t l = first; l < last; l++) {
        int32_t r = plan->step->logit_rows[l];
        float *out = buffer_row(&stage->select.out, l);
        if (stage->select.residual.rows)
            plan->chip->kernels.add(buffer_row(&stage->select.x, r), buffer_row(&stage->select.residual, r), out, stage->select.out.width);
        else
            memcpy(out, buffer_row(&stage->select.x, r), (size_t)stage->select.out.width * sizeof *out);
    }
}

static void run_stage(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    switch (stage->kind) {
    case STAGE_EMBED: run_embed(plan, stage, worker); break;
    case STAGE_NORM: cpu_run_norm(plan, &stage->norm, stage->rows, worker); break;
    case STAGE_LINEAR: cpu_run_linear(plan, stage, worker); break;
    case STAGE_ROPE: cpu_run_rope(plan, stage, worker); break;
    case STAGE_ATTENTION: cpu_run_attention(plan, stage, worker); break;
    case STAGE_GATED: run_gated(plan, stage, worker); break;
    case STAGE_SELECT: run_select(plan, stage, worker); break;
    case STAGE_LOGITS: cpu_run_logits(plan, stage, worker); break;
    }
}

/* Before the stages: edits and lists by worker 0, angles by all. Ends in a barrier only where the first stage would not wait otherwise. */
static void prepare_step(struct cpu_plan *plan, int32_t worker)
{
    const struct step *step = plan->step;
    if (worker == 0) {
        apply_edits(plan, step);
        for (int32_t r = 0; r < step->n_tokens; r++) {
            int32_t source = step->token_sources ? step->token_sources[r] : -1;
            plan->token_ids[r] = source >= 0 ? plan->argmax[source] : step->token_ids[r];
        }
        for (int32_t s = 0; s < step->n_sequences; s++) {
            for (int32_t r = step->row_starts[s]; r < step->row_starts[s + 1]; r++)
                plan->sequence_of_row[r] = s;
        }
        cpu_list_attention_tiles(plan, step);
    }
    int32_t first, last;
    share_work(step->n_tokens, worker, plan->n_workers, &first, &last);
    for (int32_t r = first; r < last; r++)
        make_rope_row(plan, r);
    pool_barrier(plan->chip->pool);
}

/* A rotation that attention does along the way. */
static bool goes_with_next(const struct cpu_plan *plan, int32_t i)
{
    const struct stage *next = &plan->stages[i + 1];
    return plan->single_rows && plan->stages[i].kind == STAGE_ROPE && i + 1 < plan->n_stages && next->kind == STAGE_ATTENTION && next->attention.rope;
}

void cpu_run_step(void *argument, int32_t worker)
{
    struct cpu_plan *plan = argument;
    int32_t n_stages = plan->wants == WANT_HIDDEN ? plan->head_stage : plan->n_stages;
    prepare_step(plan, worker);
    for (int32_t i = 0; i < n_stages; i++) {
        if (stage_rows(plan, plan->stages[i].rows) == 0 || goes_with_next(plan, i))
            continue; /* the same for every worker */
        run_stage(plan, &plan->stages[i], worker);
        if (i + 1 < plan->n_stages)
            pool_barrier(plan->chip->pool);
    }
    if (n_stages < plan->n_stages && plan->head_has_norm)
        cpu_run_norm(plan, &plan->stages[n_stages].linear.norm, plan->stages[n_stages].rows, worker);
}
