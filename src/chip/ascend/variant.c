/* Shapes. The calls of one shape of step are described and prepared when it first occurs and kept: as a captured graph where every row is a sequence of its own
 * (decoding, and short pieces of prompts), otherwise as a list whose executors are reused. The shape used longest ago makes room for a new one. */
#include <string.h>

#include "base/memory.h"
#include "chip/ascend/plan.h"

/* ---- Launching. */

int ascend_launch(struct ascend_plan *plan, struct call_list *calls, int32_t first, int32_t end, struct error *err)
{
    for (int32_t i = first; i < end; i++) {
        int status = call_run(plan->chip, &calls->calls[i], plan->workspace, plan->workspace_bytes, plan->stream, err);
        if (status)
            return status;
        plan->counters.launches++;
    }
    return 0;
}

/* ---- Capture. */

static bool can_capture(const struct ascend_plan *plan)
{
    const struct ascend_library *library = plan->chip->library;
    return plan->chip->options.graphs && !plan->no_graphs && library->begin_capture && library->end_capture && library->replay && library->destroy_graph;
}

static bool can_update(const struct ascend_library *library)
{
    return library->begin_group && library->end_group && library->begin_update && library->end_update;
}

static bool is_attention(const struct call *call)
{
    return call->name == OPERATOR_ATTENTION_V2 || call->name == OPERATOR_ATTENTION_V3;
}

/* One call into the graph; with attention=updates an attention is a group of its own, whose task later steps replace. */
static int capture_call(struct ascend_plan *plan, struct variant *variant, int32_t index, int32_t *group, struct error *err)
{
    const struct ascend_library *library = plan->chip->library;
    bool is_group = variant->groups && is_attention(&variant->calls.calls[index]);
    int code = is_group ? library->begin_group(plan->stream) : 0;
    int status = code ? ascend_chip_fail(plan->chip, code, err, "capturing a step (task group)") : ascend_launch(plan, &variant->calls, index, index + 1, err);
    if (status || !is_group)
        return status;
    code = library->end_group(plan->stream, &variant->groups[*group]);
    (*group)++;
    return code ? ascend_chip_fail(plan->chip, code, err, "capturing a step (task group)") : 0;
}

/* Calls are not executed while they are captured. Thread-local mode: what other threads do with other devices is not looked at. */
static int capture(struct ascend_plan *plan, struct variant *variant, struct error *err)
{
    const struct ascend_library *library = plan->chip->library;
    int code = library->begin_capture(plan->stream, ACL_CAPTURE_THREAD_LOCAL);
    if (code)
        return ascend_chip_fail(plan->chip, code, err, "capturing a step (aclmdlRICaptureBegin)");
    int status = 0;
    int32_t group = 0;
    for (int32_t i = 0; !status && i < variant->calls.count; i++)
        status = capture_call(plan, variant, i, &group, err);
    code = library->end_capture(plan->stream, &variant->graph);
    if (code)
        variant->graph = NULL;
    if (code && !status)
        status = ascend_chip_fail(plan->chip, code, err, "capturing a step (aclmdlRICaptureEnd)");
    if (status && variant->graph) {
        library->destroy_graph(variant->graph);
        variant->graph = NULL;
    }
    return status;
}

/* ---- Making. */

static void free_variant(struct ascend_plan *plan, struct variant *variant)
{
    if (variant->graph)
        plan->chip->library->destroy_graph(variant->graph);
    calls_free(&variant->calls);
    mem_free(variant->lengths);
    mem_free(variant->groups);
    *variant = (struct variant){0};
}

static int make_lengths(struct ascend_plan *plan, struct variant *variant, struct error *err)
{
    size_t n = (size_t)variant->key.n_rows;
    variant->span = (struct span){.n_rows = variant->key.n_rows, .is_rows = true, .n_tables = variant->key.n_rows, .table_blocks = variant->key.table_blocks};
    ascend_place_span(plan, &variant->span, &variant->layout.end);
    variant->lengths = mem_alloc_array(n, sizeof *variant->lengths);
    if (plan->chip->options.updates)
        variant->groups = mem_zalloc_array((size_t)plan->n_attentions + 1, sizeof *variant->groups);
    if (!variant->lengths || (plan->chip->options.updates && !variant->groups))
        return error_no_memory(err, "describing a shape of steps");
    for (size_t i = 0; i < n; i++) /* with updates the first task is replaced before it runs */
        variant->lengths[i] = plan->chip->options.updates ? 1 : (int64_t)variant->key.table_blocks * plan->limits.block_tokens;
    return 0;
}

static int prepare_list(struct ascend_plan *plan, struct variant *variant, bool repeatable, struct error *err)
{
    int status = calls_prepare(plan->chip, &variant->calls, 0, repeatable, err);
    plan->counters.preparations += (uint64_t)variant->calls.count;
    return status ? status : ascend_workspace_reserve(plan, variant->calls.workspace_bytes, err);
}

static int make_variant(struct ascend_plan *plan, struct variant *variant, const struct variant_key *key, struct error *err)
{
    *variant = (struct variant){.key = *key, .is_in_use = true};
    calls_init(&variant->calls, plan->chip->library);
    variant->layout = ascend_input_layout(plan, key->n_rows, key->n_logit_rows);
    int status = key->table_blocks ? make_lengths(plan, variant, err) : 0;
    if (!status) {
        ascend_compile(plan, variant);
        bool captures = key->table_blocks && can_capture(plan);
        status = prepare_list(plan, variant, !captures, err);
        if (!status && captures) {
            status = capture(plan, variant, err);
            if (!status || status == SAMPAN_ELOST)
                return status;
            plan->no_graphs = true; /* this driver does not capture: go on without */
            status = prepare_list(plan, variant, true, err);
        }
    }
    return status;
}

/* A free place, or that of the shape used longest ago among those of the same kind; none of it is running: `used` lies before the oldest step in flight. */
static struct variant *find_place(struct ascend_plan *plan, bool is_graph)
{
    int32_t first = is_graph ? 0 : PLAN_MAX_GRAPHS, end = is_graph ? PLAN_MAX_GRAPHS : PLAN_MAX_GRAPHS + PLAN_MAX_EAGER;
    struct variant *oldest = NULL;
    for (int32_t i = first; i < end; i++) {
        struct variant *variant = &plan->variants[i];
        if (!variant->is_in_use)
            return variant;
        if (!oldest || variant->used < oldest->used)
            oldest = variant;
    }
    return oldest;
}

static bool is_same_key(const struct variant_key *a, const struct variant_key *b)
{
    return a->n_rows == b->n_rows && a->n_logit_rows == b->n_logit_rows && a->table_blocks == b->table_blocks && a->has_head == b->has_head &&
           a->has_top == b->has_top;
}

int ascend_variant_get(struct ascend_plan *plan, const struct variant_key *key, struct variant **found, struct error *err)
{
    for (int32_t i = 0; i < PLAN_MAX_GRAPHS + PLAN_MAX_EAGER; i++)
        if (plan->variants[i].is_in_use && is_same_key(&plan->variants[i].key, key)) {
            *found = &plan->variants[i];
            return 0;
        }
    if (plan->chip->options.updates && key->table_blocks && !can_update(plan->chip->library))
        return error_set(err, SAMPAN_EUNSUPPORTED, "option attention=updates: this version of CANN cannot update captured tasks");
    struct variant *variant = find_place(plan, key->table_blocks != 0);
    free_variant(plan, variant);
    int status = make_variant(plan, variant, key, err);
    if (status) {
        free_variant(plan, variant);
        return status;
    }
    *found = variant;
    return 0;
}

void ascend_variants_free(struct ascend_plan *plan)
{
    for (int32_t i = 0; plan->variants && i < PLAN_MAX_GRAPHS + PLAN_MAX_EAGER; i++)
        if (plan->variants[i].is_in_use)
            free_variant(plan, &plan->variants[i]);
}
