/* Operations row by row: embedding, gated activation, selection of rows, and what is wanted of the logits. */
#include <math.h>
#include <string.h>

#include "chip/reference/reference.h"

/* out = table[token] * scale: one rounding, none where the scale is 1. */
void reference_embed(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    const struct op_embed *embed = &op->embed;
    int32_t width = plan->program->buffers[embed->out].width;
    for (int32_t r = 0; r < step->n_tokens; r++) {
        float *out = reference_row(plan, embed->out, r);
        reference_weight_row(plan, embed->table, plan->token_ids[r], out);
        for (int32_t i = 0; embed->scale != 1.0f && i < width; i++)
            out[i] *= embed->scale;
    }
}

/* out = silu(gate) * up, silu(x) = x / (1 + exp(-x)) in double, rounded to fp32 before the product. */
void reference_gated_activation(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    const struct op_gated_activation *gated = &op->gated;
    int64_t width = plan->program->buffers[gated->gate].width;
    int32_t n_rows = reference_rows(plan, step, gated->gate);
    for (int32_t r = 0; r < n_rows; r++) {
        const float *gate = reference_row(plan, gated->gate, r), *up = reference_row(plan, gated->up, r);
        float *out = reference_row(plan, gated->out, r);
        for (int64_t i = 0; i < width; i++) {
            double x = (double)gate[i];
            out[i] = (float)(x / (1.0 + exp(-x))) * up[i];
        }
    }
}

void reference_select_rows(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    const struct op_select_rows *select = &op->select_rows;
    int64_t width = plan->program->buffers[select->x].width;
    for (int32_t l = 0; l < step->n_logit_rows; l++) {
        const float *x = reference_row(plan, select->x, step->logit_rows[l]);
        const float *residual = select->residual >= 0 ? reference_row(plan, select->residual, step->logit_rows[l]) : NULL;
        float *out = reference_row(plan, select->out, l);
        for (int64_t i = 0; i < width; i++)
            out[i] = residual ? x[i] + residual[i] : x[i];
    }
}

/* NaN counts as minus infinity, so that every row has an order. */
static float comparable(float logit)
{
    return isnan(logit) ? -INFINITY : logit;
}

static int32_t find_largest(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (comparable(logits[i]) > comparable(logits[best]))
            best = i;
    return best;
}

/* The n_top largest in descending order, ties by ascending id: insertion into a short sorted list. Ids beyond the vocabulary are -1. */
static void find_top(const float *logits, int32_t n, int32_t n_top, int32_t *ids, float *values)
{
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++) {
        float value = comparable(logits[i]);
        if (count == n_top && value <= values[count - 1])
            continue;
        int32_t at = count < n_top ? count++ : n_top - 1;
        for (; at > 0 && value > values[at - 1]; at--) {
            ids[at] = ids[at - 1];
            values[at] = values[at - 1];
        }
        ids[at] = i;
        values[at] = value;
    }
    for (; count < n_top; count++) {
        ids[count] = -1;
        values[count] = -INFINITY;
    }
}

void reference_logits(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    int32_t n_vocabulary = plan->program->n_vocabulary;
    for (int32_t l = 0; l < step->n_logit_rows; l++) {
        const float *logits = reference_row(plan, op->logits.x, l);
        int64_t top = (int64_t)l * step->n_top;
        if (step->wants[l] & WANT_ARGMAX)
            plan->argmax[l] = find_largest(logits, n_vocabulary);
        if (step->wants[l] & WANT_TOP)
            find_top(logits, n_vocabulary, step->n_top, plan->top_ids + top, plan->top_logits + top);
    }
}
