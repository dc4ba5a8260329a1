/* Waiting for a step: bounded, then the stream is asked for a fault, then results are put into the form that step_result promises. */
#include <string.h>

#include "base/clock.h"
#include "chip/ascend/plan.h"
#include "tensor/half.h"

#define NS_PER_MS UINT64_C(1000000)

/* ---- Time. */

/* Since when the oldest step could have been running. */
static uint64_t begun_ns(const struct ascend_plan *plan, const struct step_slot *slot)
{
    return slot->submitted_ns > plan->last_done_ns ? slot->submitted_ns : plan->last_done_ns;
}

static int fail_deadline(struct ascend_plan *plan, const struct step_slot *slot, struct error *err)
{
    plan->chip->lost = true;
    error_set(err, SAMPAN_ELOST,
              "step %llu did not end within %u ms: Ascend device %d does nothing any more; it is reset (option deadline=MILLISECONDS sets how long to wait)",
              (unsigned long long)slot->step->id, plan->chip->options.deadline_ms, plan->chip->options.device);
    return ascend_plan_fail(plan, SAMPAN_ELOST, err);
}

/* Waits for the event at most patience_ns; *reached says whether it came. */
static int wait_a_while(struct ascend_plan *plan, const struct step_slot *slot, uint64_t patience_ns, bool *reached)
{
    const struct ascend_library *library = plan->chip->library;
    int code, event_status = ACL_EVENT_NOT_READY;
    if (patience_ns < NS_PER_MS) { /* the timed call knows whole milliseconds only, and takes no 0 */
        code = library->query_event(slot->done, &event_status);
        *reached = !code && event_status == ACL_EVENT_COMPLETE;
        return code;
    }
    code = library->synchronize_event(slot->done, (int32_t)(patience_ns / NS_PER_MS));
    *reached = code == 0;
    return code == ACL_EVENT_SYNC_TIMEOUT || code == ACL_STREAM_SYNC_TIMEOUT ? 0 : code;
}

/* 0: reached. SAMPAN_ETIMEOUT: not within timeout_ns. SAMPAN_ELOST: a fault, or not within the chip's own deadline. */
static int wait_for_event(struct ascend_plan *plan, struct step_slot *slot, uint64_t timeout_ns, struct error *err)
{
    uint64_t deadline = begun_ns(plan, slot) + plan->chip->options.deadline_ms * NS_PER_MS, now = clock_monotonic_ns();
    uint64_t end = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    bool reached = false;
    for (;;) {
        uint64_t until = end < deadline ? end : deadline;
        int code = wait_a_while(plan, slot, until > now ? until - now : 0, &reached);
        if (code)
            return ascend_plan_fail(plan, ascend_chip_fail(plan->chip, code, err, "waiting for step %llu", (unsigned long long)slot->step->id), err);
        if (reached)
            return 0;
        now = clock_monotonic_ns();
        if (now >= deadline)
            return fail_deadline(plan, slot, err);
        if (now >= end)
            return error_set(err, SAMPAN_ETIMEOUT, "step %llu is still running", (unsigned long long)slot->step->id);
    }
}

/* A fault of a step behind this one is reported here as well: the plan is lost either way. */
static int ask_for_fault(struct ascend_plan *plan, const struct step_slot *slot, struct error *err)
{
    int stream_status = 0;
    int code = plan->chip->library->query_stream(plan->stream, &stream_status);
    if (!code)
        return 0;
    return ascend_plan_fail(plan, ascend_chip_fail(plan->chip, code, err, "running step %llu", (unsigned long long)slot->step->id), err);
}

/* ---- Results. */

struct candidate {
    float logit;
    int32_t id;
};

/* Larger logits first, NaN last, ties by ascending id. */
static bool comes_before(const struct candidate *a, const struct candidate *b)
{
    float x = a->logit != a->logit ? -__builtin_inff() : a->logit, y = b->logit != b->logit ? -__builtin_inff() : b->logit;
    return x > y || (!(x < y) && a->id < b->id);
}

static void sift_in(struct candidate *list, int32_t count, const struct candidate *candidate)
{
    int32_t at = count;
    for (; at > 0 && comes_before(candidate, &list[at - 1]); at--)
        list[at] = list[at - 1];
    list[at] = *candidate;
}

/* The n largest of a whole row: needed where the device's order among equals could matter. */
static void select_from_row(const float *logits, int32_t width, int32_t n, struct candidate *list)
{
    int32_t count = 0;
    for (int32_t i = 0; i < width; i++) {
        struct candidate candidate = {logits[i], i};
        if (count == n && !comes_before(&candidate, &list[n - 1]))
            continue;
        sift_in(list, count < n ? count++ : n - 1, &candidate);
    }
}

static void fill_top(struct ascend_plan *plan, struct step_slot *slot, int32_t row)
{
    int32_t width = plan->program->n_vocabulary, k = width < TOP_CANDIDATES ? width : TOP_CANDIDATES, n = slot->step->n_top, count = 0;
    const float *values = slot->top_values + (int64_t)row * k;
    const int64_t *ids = slot->top_ids + (int64_t)row * k;
    struct candidate list[TOP_CANDIDATES];
    bool is_clear = n < k && values[n] < values[n - 1]; /* nobody outside ties with the last; false for NaN */
    if (is_clear || (n >= k && values[k - 1] == values[k - 1]))
        for (int32_t i = 0; i < k && i < n; i++)
            sift_in(list, count++, &(struct candidate){values[i], (int32_t)ids[i]});
    else
        select_from_row(slot->logits + (int64_t)row * width, width, n < width ? n : width, list);
    for (int32_t i = 0; i < n; i++) {
        slot->result_top_ids[(int64_t)row * n + i] = i < width ? list[i].id : -1;
        slot->result_top_logits[(int64_t)row * n + i] = i < width ? list[i].logit : -__builtin_inff();
    }
}

/* The device ranks NaN above all numbers, the engine below: a row that holds one is looked at again. */
static void fill_results(struct ascend_plan *plan, struct step_slot *slot, struct step_result *result)
{
    const struct step *step = slot->step;
    int32_t hidden_width = program_hidden_width(plan->program);
    for (int32_t l = 0; l < step->n_logit_rows; l++) {
        slot->result_argmax[l] = step->wants[l] & WANT_ARGMAX ? slot->argmax[l] : -1;
        if (step->wants[l] & WANT_TOP)
            fill_top(plan, slot, l);
    }
    for (int64_t i = 0; slot->wants & WANT_HIDDEN && i < (int64_t)step->n_logit_rows * hidden_width; i++)
        slot->hidden[i] = plan->type == ACL_F16 ? f16_to_float(slot->hidden_bits[i]) : bf16_to_float(slot->hidden_bits[i]);
    *result = (struct step_result){
        .id = step->id,
        .n_logit_rows = step->n_logit_rows,
        .logits = slot->wants & WANT_LOGITS ? slot->logits : NULL,
        .argmax = slot->result_argmax,
        .top_ids = slot->wants & WANT_TOP ? slot->result_top_ids : NULL,
        .top_logits = slot->wants & WANT_TOP ? slot->result_top_logits : NULL,
        .hidden = slot->wants & WANT_HIDDEN ? slot->hidden : NULL,
    };
}

int ascend_plan_wait(struct plan *base, uint64_t timeout_ns, struct step_result *result, struct error *err)
{
    struct ascend_plan *plan = (struct ascend_plan *)base;
    if (plan->broken)
        return error_set(err, SAMPAN_ELOST, "the plan was lost by an earlier fault of the device; open it again");
    if (plan->n_waited == plan->n_submitted)
        return error_set(err, SAMPAN_EINVAL, "waiting for a step of the Ascend chip, but none was submitted");
    int status = ascend_bind(plan->chip, err);
    if (status)
        return status == SAMPAN_ELOST ? ascend_plan_fail(plan, status, err) : status;
    struct step_slot *slot = &plan->slots[plan->n_waited % STEP_SLOTS];
    status = wait_for_event(plan, slot, timeout_ns, err);
    if (!status)
        status = ask_for_fault(plan, slot, err);
    if (status)
        return status;
    plan->last_done_ns = clock_monotonic_ns();
    plan->n_waited++;
    fill_results(plan, slot, result);
    return 0;
}
