/* A plan's life: create, describe, print, free. */
#include "chip/ascend/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "chip/ascend/ascend.h"

enum { ARENA_LIMIT = 1 << 30 };

/* ---- Host memory of steps. */

static int take_host(struct ascend_plan *plan, void *place, uint64_t bytes, struct error *err)
{
    void *memory = NULL;
    int code = bytes ? plan->chip->library->allocate_host(&memory, bytes) : 0;
    memcpy(place, &memory, sizeof memory);
    return code ? ascend_chip_fail(plan->chip, code, err, "taking %" PRIu64 " bytes of page-locked memory for steps (aclrtMallocHost)", bytes) : 0;
}

static int make_slot(struct ascend_plan *plan, struct step_slot *slot, struct error *err)
{
    const struct program *program = plan->program;
    uint64_t rows = (uint64_t)plan->max_logit_rows, hidden = (uint64_t)program_hidden_width(program);
    bool has_logits = program->ops[program->n_ops - 1].kind == OP_LOGITS;
    uint64_t vocabulary = has_logits ? (uint64_t)program->n_vocabulary : 0, top = has_logits ? TOP_CANDIDATES : 0;
    int status = take_host(plan, &slot->inputs, plan->inputs_bytes, err);
    if (!status)
        status = take_host(plan, &slot->argmax, rows * 4, err);
    if (!status)
        status = take_host(plan, &slot->logits, rows * vocabulary * 4, err);
    if (!status)
        status = take_host(plan, &slot->top_values, rows * top * 4, err);
    if (!status)
        status = take_host(plan, &slot->top_ids, rows * top * 8, err);
    if (!status)
        status = take_host(plan, &slot->hidden_bits, rows * hidden * acl_type_bytes(plan->type), err);
    if (status)
        return status;
    slot->result_argmax = arena_alloc_array(&plan->arena, rows, sizeof *slot->result_argmax);
    slot->result_top_ids = arena_alloc_array(&plan->arena, rows * top + 1, sizeof *slot->result_top_ids);
    slot->result_top_logits = arena_alloc_array(&plan->arena, rows * top + 1, sizeof *slot->result_top_logits);
    slot->hidden = arena_alloc_array(&plan->arena, rows * hidden + 1, sizeof *slot->hidden);
    if (!slot->result_argmax || !slot->result_top_ids || !slot->result_top_logits || !slot->hidden)
        return error_no_memory(err, "making room for the results of a step");
    int code = plan->chip->library->create_event(&slot->done, ACL_EVENT_SYNCHRONISE);
    return code ? ascend_chip_fail(plan->chip, code, err, "making an event (aclrtCreateEventExWithFlag)") : 0;
}

static int make_step_tables(struct ascend_plan *plan, struct error *err)
{
    size_t sequences = (size_t)plan->limits.max_sequences, rows = (size_t)plan->max_rows > sequences ? (size_t)plan->max_rows : sequences;
    plan->previous_wants = arena_alloc_array(&plan->arena, (size_t)plan->max_logit_rows, sizeof *plan->previous_wants);
    plan->variants = arena_alloc_array(&plan->arena, PLAN_MAX_GRAPHS + PLAN_MAX_EAGER, sizeof *plan->variants);
    plan->spans = arena_alloc_array(&plan->arena, sequences, sizeof *plan->spans);
    plan->span_lengths = arena_alloc_array(&plan->arena, rows, sizeof *plan->span_lengths);
    plan->place_ends = arena_alloc_array(&plan->arena, (size_t)plan->n_attentions + 1, sizeof *plan->place_ends);
    if (!plan->previous_wants || !plan->variants || !plan->spans || !plan->span_lengths || !plan->place_ends)
        return error_no_memory(err, "making room for steps");
    calls_init(&plan->step_calls, plan->chip->library);
    int status = 0;
    for (int i = 0; !status && i < STEP_SLOTS; i++)
        status = make_slot(plan, &plan->slots[i], err);
    return status;
}

/* ---- Create. */

/* After a failure later tasks are dropped instead of computing on what failed, so that a fault of a step is known before a later step's result is read. */
static int make_stream(struct ascend_plan *plan, struct error *err)
{
    const struct ascend_library *library = plan->chip->library;
    int code = library->create_stream(&plan->stream);
    if (!code)
        code = library->set_failure_mode(plan->stream, ACL_STOP_ON_FAILURE);
    return code ? ascend_chip_fail(plan->chip, code, err, "making a stream (aclrtCreateStream)") : 0;
}

/* Fixed shapes give fixed bits only if the operators are asked for a fixed order: the strongest that this version knows. The setting is the process's. */
static int ask_for_determinism(struct ascend_plan *plan, struct error *err)
{
    int64_t strongest = plan->chip->profile.is_version_81 ? 1 : 3;
    int code = plan->chip->options.fixed_rows ? plan->chip->library->set_option(ACL_DETERMINISTIC, strongest) : 0;
    plan->asked_for_determinism = plan->chip->options.fixed_rows && !code;
    return code ? ascend_chip_fail(plan->chip, code, err, "asking for determinism (aclrtSetSysParamOpt)") : 0;
}

static void write_numerics_id(struct ascend_plan *plan)
{
    const struct ascend_chip *chip = plan->chip;
    char rows[32] = "";
    if (chip->options.fixed_rows)
        snprintf(rows, sizeof rows, ";rows=%d", chip->options.fixed_rows);
    snprintf(plan->description.numerics_id, sizeof plan->description.numerics_id, "ascend:%s:%s;weights=%s%s;cache=%s%s", chip->profile.soc->name,
             chip->version, tensor_types[chip->options.type].name,
             chip->profile.int8 == INT8_ALL ? "+w8a8"
             : chip->profile.int8           ? "+int8"
                                            : "",
             tensor_types[plan->limits.cache_type].name, rows);
}

static int check_program(const struct ascend_plan *plan, const struct program *program, struct error *err)
{
    int status = program_check(program, err);
    for (int32_t i = 0; !status && i < program->n_ops; i++) {
        status = ascend_supports(plan->chip->profile.soc->name, program, &program->ops[i], plan->limits.cache_type, err);
        if (status)
            error_prefix(err, "operation %d (%s)", i, program->ops[i].label);
    }
    return status;
}

static int build(struct ascend_plan *plan, const struct program *program, const struct progress *progress, struct error *err)
{
    int status = ascend_bind(plan->chip, err);
    if (!status)
        status = check_program(plan, program, err);
    if (!status)
        status = program_copy(&plan->arena, program, &plan->program, err);
    if (!status)
        status = ascend_layout_make(plan, &plan->chip->profile, err);
    if (!status)
        status = make_stream(plan, err);
    if (!status)
        status = ask_for_determinism(plan, err);
    if (!status)
        status = ascend_buffers_make(plan, err);
    if (!status)
        status = ascend_weights_load(plan, progress, err);
    if (!status)
        status = make_step_tables(plan, err);
    if (!status)
        write_numerics_id(plan);
    return status;
}

int ascend_plan_create(struct chip *chip, const struct program *program, const struct plan_limits *limits, const struct progress *progress, struct plan **out,
                       struct error *err)
{
    *out = NULL;
    struct ascend_plan *plan = mem_zalloc(sizeof *plan);
    if (!plan)
        return error_no_memory(err, "compiling a program for Ascend");
    plan->base.interface = &ascend_chip_interface;
    plan->chip = (struct ascend_chip *)chip;
    plan->limits = *limits;
    plan->type = ascend_type_of(plan->chip->options.type);
    arena_init(&plan->arena, ARENA_LIMIT);
    int status = build(plan, program, progress, err);
    if (status) {
        error_prefix(err, "compiling '%s' for Ascend %s", program->name, plan->chip->profile.soc->name);
        ascend_plan_free(&plan->base);
        return status;
    }
    *out = &plan->base;
    return 0;
}

/* ---- Free. */

int ascend_plan_fail(struct ascend_plan *plan, int status, struct error *err)
{
    plan->broken = true;
    plan->chip->lost = true; /* whatever it was, what is on the device cannot be trusted: closing resets it */
    if (err && status != SAMPAN_ELOST)
        err->code = SAMPAN_ELOST;
    return SAMPAN_ELOST;
}

static void free_slot(const struct ascend_plan *plan, struct step_slot *slot)
{
    const struct ascend_library *library = plan->chip->library;
    void *const memory[] = {slot->inputs, slot->argmax, slot->logits, slot->top_values, slot->top_ids, slot->hidden_bits};
    if (slot->done)
        library->destroy_event(slot->done);
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        if (memory[i])
            library->release_host(memory[i]);
}

void ascend_plan_free(struct plan *base)
{
    struct ascend_plan *plan = (struct ascend_plan *)base;
    if (!plan)
        return;
    struct ascend_chip *chip = plan->chip;
    const struct ascend_library *library = chip->library;
    ascend_bind(chip, NULL);
    if (plan->asked_for_determinism)
        library->set_option(ACL_DETERMINISTIC, 0);
    if (plan->stream && !chip->lost && library->synchronize_stream(plan->stream, (int32_t)chip->options.deadline_ms))
        chip->lost = true; /* a fault after the last wait, or a hang */
    if (chip->lost) {
        /* Nothing may be left running into memory that is given back: the reset ends streams and frees device memory, and makes the handles void. */
        library->reset_device_force(chip->options.device);
        library->set_device(chip->options.device);
        chip->lost = false;
        if (!library->get_context(&chip->context))
            ascend_rebind(chip);
        plan->stream = NULL;
        plan->memory.n_blocks = 0;
    }
    if (plan->stream)
        library->destroy_stream(plan->stream);
    ascend_variants_free(plan);
    calls_free(&plan->step_calls);
    for (int i = 0; i < STEP_SLOTS; i++)
        free_slot(plan, &plan->slots[i]);
    ascend_memory_free(chip, &plan->memory);
    arena_free(&plan->arena);
    mem_free(plan);
}

/* ---- Telling. */

void ascend_plan_describe(const struct plan *base, struct plan_description *description)
{
    *description = ((const struct ascend_plan *)base)->description;
}

static const char *form_name(enum weight_form form)
{
    static const char *const names[] = {
        [FORM_VECTOR] = "vectors", [FORM_VECTOR32] = "f32 vectors", [FORM_TABLE] = "tables", [FORM_FRACTALS] = "fractals", [FORM_INT8] = "int8 fractals"};
    return names[form];
}

static void print_weights(const struct ascend_plan *plan, struct buffer *out)
{
    for (int form = FORM_VECTOR; form <= FORM_INT8; form++) {
        uint64_t bytes = 0;
        int32_t count = 0;
        for (int32_t w = 0; w < plan->n_weights; w++)
            if (plan->weights[w].form == (enum weight_form)form) {
                bytes += plan->weights[w].bytes + plan->weights[w].scale_bytes;
                count++;
            }
        if (count)
            buffer_printf(out, "weights as %s: %d, %" PRIu64 " bytes\n", form_name((enum weight_form)form), count, bytes);
    }
    for (int32_t w = 0; w < plan->n_weights; w++)
        if (plan->weights[w].form == FORM_INT8)
            buffer_printf(out, "  %s%s: int8, relative error %.3g\n", plan->program->weights[plan->weights[w].members[0]].name,
                          plan->weights[w].n_members > 1 ? " and its partner" : "", plan->weights[w].error);
}

void ascend_plan_print(const struct plan *base, struct buffer *out)
{
    const struct ascend_plan *plan = (const struct ascend_plan *)base;
    static const char *const ropes[] = {[ROPE_NONE] = "none", [ROPE_APPLY] = "in place", [ROPE_BY_POSITION] = "by position", [ROPE_COMPOSED] = "composed"};
    buffer_printf(out, "Ascend %s, %s, activations %s\n", plan->chip->profile.soc->name, plan->chip->version, tensor_types[plan->chip->options.type].name);
    print_weights(plan, out);
    for (int32_t i = 0; i < plan->n_ropes; i++)
        buffer_printf(out, "rotation of %d of %d elements: %s\n", plan->ropes[i].rotary_width, plan->ropes[i].head_width, ropes[plan->ropes[i].form]);
    buffer_printf(out, "device memory: %" PRIu64 " bytes taken; weights %" PRIu64 ", cache %" PRIu64 ", buffers and workspace %" PRIu64 "\n",
                  plan->memory.total, plan->description.weight_bytes, plan->description.cache_bytes, plan->description.buffer_bytes);
    buffer_printf(out,
                  "steps of up to %d rows run each row as a sequence%s; %" PRIu64 " steps, %" PRIu64 " replays, %" PRIu64 " operators launched, %" PRIu64
                  " prepared\n",
                  plan->row_sequences, plan->chip->options.graphs && !plan->no_graphs ? " in a captured graph" : "", plan->counters.steps,
                  plan->counters.replays, plan->counters.launches, plan->counters.preparations);
}
