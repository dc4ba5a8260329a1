/* Steps of any content, sent to the reference chip one after the other: refused with a reason, or run without touching what is not theirs. Each begins as a
 * right one, and the input changes it: so most of it is right and the checks behind the first are met too. */
#include <string.h>

#include "support_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { TOKENS = 8, SEQUENCES = 3, ROWS = 8, STRIDE = 5, EDITS = 3, STEPS = 6 };

/* Arrays longer than any right step needs: what a wrong count reads beyond them is a finding of the sanitizer in the check. */
struct content {
    int32_t ids[TOKENS], sources[TOKENS], positions[TOKENS], row_starts[SEQUENCES + 1], lengths[SEQUENCES], slots[SEQUENCES], rows[ROWS], wants[ROWS];
    int32_t blocks[SEQUENCES * STRIDE];
    struct cache_edit edits[EDITS];
};

/* Sequence s has one or two rows behind `s` positions. */
static void make_right(struct content *c, struct step *step, uint64_t id)
{
    int32_t row = 0;
    memset(c, 0, sizeof *c);
    for (int32_t s = 0; s < 2; s++) {
        c->row_starts[s] = row;
        for (int32_t k = 0; k <= s; k++, row++) {
            c->ids[row] = 10 + row;
            c->sources[row] = -1;
            c->positions[row] = s + k;
            c->rows[row] = row;
            c->wants[row] = WANT_LOGITS | WANT_ARGMAX;
        }
        c->lengths[s] = c->positions[row - 1] + 1;
        c->slots[s] = s;
        for (int32_t i = 0; i < STRIDE; i++)
            c->blocks[s * STRIDE + i] = i ? -1 : s;
    }
    c->row_starts[2] = row;
    *step = (struct step){.id = id,
                          .n_tokens = row,
                          .token_ids = c->ids,
                          .token_sources = c->sources,
                          .positions = c->positions,
                          .n_sequences = 2,
                          .row_starts = c->row_starts,
                          .lengths = c->lengths,
                          .slots = c->slots,
                          .n_groups = 1,
                          .tables = {{c->blocks, STRIDE}},
                          .n_logit_rows = row,
                          .logit_rows = c->rows,
                          .wants = c->wants,
                          .edits = c->edits};
}

/* Counts stay within the arrays here: who calls a chip says how long they are, and no check can know better. */
static int32_t within(int32_t number, int32_t most)
{
    return number > most ? most : number;
}

static void change(struct content *c, struct step *step, struct input *input)
{
    int32_t where = support_number(input), value = support_number(input), n = (int32_t)(sizeof *c / sizeof(int32_t));
    if (where >= 0 && where < 12) {
        int32_t *const counts[] = {&step->n_tokens, &step->n_sequences, &step->n_logit_rows,    &step->n_edits,
                                   &step->n_groups, &step->n_top,       &step->tables[0].stride};
        static const int32_t most[] = {TOKENS, SEQUENCES, ROWS, EDITS, 1, INT32_MAX, STRIDE};
        size_t i = (size_t)where % (sizeof most / sizeof *most);
        *counts[i] = within(value, most[i]);
        return;
    }
    int32_t *all = (int32_t *)c;
    all[(uint32_t)where % (uint32_t)n] = value;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct input input = {bytes, length};
    const struct program *program = support_program();
    struct plan_limits limits = support_limits(program);
    struct plan *plan;
    struct error err;
    if (length > 512 || support_chip()->interface->plan_create(support_chip(), program, &limits, NULL, &plan, &err))
        return 0;
    uint64_t id = 0;
    for (int i = 0; i < STEPS && input.length; i++) {
        struct content content;
        struct step step;
        struct step_result result;
        make_right(&content, &step, id);
        for (int32_t changes = support_number(&input) & 7; changes > 0; changes--)
            change(&content, &step, &input);
        err.message[0] = '\0';
        int code = plan->interface->plan_submit(plan, &step, &err);
        support_require(!code || err.message[0], "a refusal without a reason");
        if (code)
            continue;
        support_require(plan->interface->plan_wait(plan, 1000000000u, &result, &err) == 0 && result.id == step.id, "a step that was taken did not run");
        id++;
    }
    plan->interface->plan_free(plan);
    return 0;
}
