/* What a step hands out: argmax and the largest logits, each worker over its part of the vocabulary, joined when all are done. */
#include <math.h>
#include <string.h>

#include "chip/cpu/plan.h"

/* The n largest of x[first, last), descending, ties by ascending id; NaN counts as -infinity. Returns how many there are. */
static int32_t find_top(const float *x, int32_t first, int32_t last, int32_t n, float *values, int32_t *ids)
{
    int32_t count = 0;
    for (int32_t i = first; i < last; i++) {
        float value = isnan(x[i]) ? -INFINITY : x[i];
        if (count == n && !(value > values[n - 1]))
            continue;
        int32_t at = count < n ? count++ : n - 1;
        for (; at > 0 && value > values[at - 1]; at--) {
            values[at] = values[at - 1];
            ids[at] = ids[at - 1];
        }
        values[at] = value;
        ids[at] = i;
    }
    return count;
}

static void part_of_vocabulary(const struct cpu_plan *plan, int32_t worker, int32_t *first, int32_t *last)
{
    share_work(plan->program->n_vocabulary, worker, plan->n_workers, first, last);
}

void cpu_run_logits(struct cpu_plan *plan, const struct stage *stage, int32_t worker)
{
    const struct step *step = plan->step;
    struct worker_scratch *scratch = &plan->scratch[worker];
    int32_t first, last;
    part_of_vocabulary(plan, worker, &first, &last);
    for (int32_t l = 0; l < step->n_logit_rows && first < last; l++) {
        const float *row = buffer_row(&stage->logits.x, l);
        if (plan->results && step->wants[l] & WANT_LOGITS)
            memcpy(plan->results + (int64_t)l * plan->program->n_vocabulary + first, row + first, (size_t)(last - first) * sizeof *row);
        if (step->wants[l] & WANT_ARGMAX) {
            scratch->best_ids[l] = first + plan->chip->kernels.find_argmax(row + first, last - first);
            scratch->best[l] = row[scratch->best_ids[l]];
        }
        if (step->wants[l] & WANT_TOP && step->n_top > 0)
            find_top(row, first, last, step->n_top, scratch->top + (int64_t)l * STEP_MAX_TOP, scratch->top_ids + (int64_t)l * STEP_MAX_TOP);
    }
}

static void join_top(struct cpu_plan *plan, int32_t l)
{
    int32_t taken[POOL_MAX_WORKERS] = {0};
    int32_t n = plan->step->n_top;
    for (int32_t i = 0; i < n; i++) {
        int32_t best = -1;
        float value = 0;
        for (int32_t w = 0; w < plan->n_workers; w++) {
            int32_t first, last;
            part_of_vocabulary(plan, w, &first, &last);
            if (taken[w] >= last - first || taken[w] >= n)
                continue;
            float candidate = plan->scratch[w].top[(int64_t)l * STEP_MAX_TOP + taken[w]];
            if (best < 0 || candidate > value) {
                best = w;
                value = candidate;
            }
        }
        plan->top_ids[(int64_t)l * n + i] = best < 0 ? -1 : plan->scratch[best].top_ids[(int64_t)l * STEP_MAX_TOP + taken[best]];
        plan->top_logits[(int64_t)l * n + i] = best < 0 ? -INFINITY : value;
        if (best >= 0)
            taken[best]++;
    }
}

void cpu_join_logits(struct cpu_plan *plan)
{
    const struct step *step = plan->step;
    for (int32_t l = 0; l < step->n_logit_rows; l++) {
        plan->argmax[l] = -1;
        float best = -INFINITY;
        for (int32_t w = 0; w < plan->n_workers && step->wants[l] & WANT_ARGMAX; w++) {
            int32_t first, last;
            part_of_vocabulary(plan, w, &first, &last);
            if (first < last && (plan->argmax[l] < 0 || plan->scratch[w].best[l] > best)) {
                plan->argmax[l] = plan->scratch[w].best_ids[l];
                best = isnan(plan->scratch[w].best[l]) ? -INFINITY : plan->scratch[w].best[l];
            }
        }
        if (step->wants[l] & WANT_TOP && step->n_top > 0)
            join_top(plan, l);
    }
}
