/* Two-phase calls: phase one checks and freezes the arguments in an executor, phase two queues it and consumes it, unless it was made repeatable. */
#include "operator.h"

#include <stdlib.h>
#include <string.h>

struct aclOpExecutor {
    struct object object;
    struct call call;
    uint64_t workspace;
    bool repeatable;
    uint64_t launches;
};

static __thread const aclOpExecutor *newest; /* by the phase one that this thread ran last */

/* Whether the chip brings the tensor into a contiguous form first. */
static bool is_copied(const struct call *call, const struct value *value, const struct tensor *tensor)
{
    bool read = value->role == ROLE_INPUT || value->role == ROLE_OPTIONAL;
    if (tensor->format != ACL_FORMAT_ND || tensor_is_contiguous(tensor))
        return false;
    return !(read && call->row->implementation->transposes && tensor_is_transposed(tensor));
}

static bool has_strided(const struct call *call)
{
    for (size_t i = 0; i < call->n_values; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++)
            if (is_copied(call, &call->values[i], &call->values[i].tensors[j]))
                return true;
    return false;
}

static int check_int4(const struct call *call)
{
    for (size_t i = 0; i < call->n_values && !call->row->implementation->int4; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++)
            if (call->values[i].tensors[j].type == ACL_INT4)
                return fail(ACLNN_PARAM_INVALID, "%s is int4, which this operator does not take", call->values[i].name);
    return 0;
}

static uint64_t workspace_of(const struct call *call)
{
    uint64_t bytes = call->row->implementation->workspace ? call->row->implementation->workspace(call) : 0;
    if (has_strided(call))
        bytes += 4096; /* the chip copies strided tensors first */
    return (bytes + 511) / 512 * 512;
}

static bool is_empty(const struct call *call)
{
    for (size_t i = 0; i < call->n_values; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++)
            if (call->values[i].role != ROLE_INPUT && call->values[i].role != ROLE_OPTIONAL && tensor_count(&call->values[i].tensors[j]))
                return false;
    return true;
}

int operator_prepare(const struct operator_row *row, const struct argument *arguments, size_t n_arguments, uint64_t *workspace, aclOpExecutor **executor)
{
    struct context *context;
    newest = NULL;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!workspace || !executor)
        return fail(ACLNN_PARAM_NULLPTR, "%s is NULL", workspace ? "executor" : "workspaceSize");
    *executor = NULL;
    *workspace = 0;
    if (!(row->socs & emulator_settings()->soc.family))
        return fail(ACLNN_RUNTIME_ERROR, "%s does not have this operator", emulator_settings()->soc.name);
    aclOpExecutor *made = calloc(1, sizeof *made);
    if (!made)
        return call_no_memory();
    made->call.row = row;
    made->call.device = context->device;
    result = call_freeze(&made->call, arguments, n_arguments);
    if (!result)
        result = check_int4(&made->call);
    if (!result && row->implementation->check)
        result = row->implementation->check(&made->call);
    if (result) {
        call_free(&made->call);
        free(made);
        return result;
    }
    made->workspace = is_empty(&made->call) ? 0 : workspace_of(&made->call);
    object_add(&made->object, OBJECT_EXECUTOR);
    *workspace = made->workspace;
    *executor = made;
    newest = made;
    return 0;
}

static int run_kernel(struct task *task, struct stream *stream)
{
    (void)stream;
    return call_run(*(struct call **)task->payload, task->fault == FAULT_BIT);
}

static void release_kernel(struct task *task)
{
    struct call *call = *(struct call **)task->payload;
    call_free(call);
    free(call);
}

/* The arguments' objects must live until phase two; afterwards they may go. */
static int check_objects(const struct call *call)
{
    for (size_t i = 0; i < call->n_values; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++) {
            const struct tensor *tensor = &call->values[i].tensors[j];
            if (!object_is(tensor->object, OBJECT_TENSOR) || tensor->object->object.id != tensor->object_id)
                return fail(ACLNN_INNER_NULLPTR, "%s was destroyed between phase one and phase two", call->values[i].name);
        }
    return 0;
}

static uint64_t order_of(const struct call *call)
{
    pthread_mutex_lock(&emulator_lock);
    int64_t level = deterministic_level;
    pthread_mutex_unlock(&emulator_lock);
    if (level >= 2)
        return 0;
    uint64_t hash = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < call->n_values; i++)
        for (unsigned d = 0; call->values[i].tensors && d < call->values[i].tensors->n_dims; d++)
            hash = (hash ^ (uint64_t)call->values[i].tensors->dims[d]) * 0xff51afd7ed558ccdu;
    if (emulator_settings()->seed && level == 0)
        hash = (hash ^ emulator_settings()->seed ^ count_get(COUNT_LAUNCHES)) * 0xff51afd7ed558ccdu;
    return hash >> 33 | 1;
}

static int check_workspace(const aclOpExecutor *executor, const void *workspace, uint64_t size)
{
    if (size < executor->workspace)
        return fail(ACLNN_PARAM_INVALID, "workspaceSize is %llu, phase one asked for %llu", (unsigned long long)size, (unsigned long long)executor->workspace);
    if (!executor->workspace)
        return 0;
    int device;
    void *base;
    size_t buffer;
    if (!workspace || !memory_is_device(workspace, &device, &base, &buffer) || !base)
        return fail(ACLNN_PARAM_INVALID, "the workspace %p is not live device memory", workspace);
    if ((const char *)workspace + executor->workspace > (char *)base + buffer)
        return fail(ACLNN_PARAM_INVALID, "the workspace reaches beyond its buffer of %zu bytes", buffer);
    return 0;
}

static void executor_free(aclOpExecutor *executor)
{
    if (newest == executor)
        newest = NULL;
    object_take(executor, OBJECT_EXECUTOR);
    call_free(&executor->call);
    free(executor);
}

static struct task *make_task(const aclOpExecutor *executor, const void *workspace)
{
    struct task *task = task_create(TASK_KERNEL, executor->call.row->name, sizeof(struct call *));
    struct call *call = call_copy(&executor->call);
    if (!task || !call) {
        free(task);
        if (call) {
            call_free(call);
            free(call);
        }
        return NULL;
    }
    call->order = order_of(call);
    call->workspace = (uint64_t)(uintptr_t)workspace;
    call->workspace_bytes = executor->workspace;
    *(struct call **)task->payload = call;
    task->run = run_kernel;
    task->release = release_kernel;
    task->modelled_ns = call_time_ns(call);
    if (trace_is_on() && (task->description = malloc(512)))
        call_describe(call, task->description, 512);
    return task;
}

int operator_launch(const struct operator_row *row, void *workspace, uint64_t workspace_size, aclOpExecutor *executor, aclrtStream handle)
{
    struct stream *stream;
    newest = NULL;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!executor || !object_is(executor, OBJECT_EXECUTOR))
        return fail(ACLNN_INNER_NULLPTR, "%p is not a live executor: it was run already (only a repeatable one runs twice), destroyed, or never was one",
                    (void *)executor);
    if (executor->call.row != row)
        return fail(ACLNN_INNER_NULLPTR, "the executor was made by %sGetWorkspaceSize", executor->call.row->name);
    if (executor->call.device != stream->context->device)
        return fail(RT_STREAM_CONTEXT, "the executor was made on device %d, the stream is on device %d", executor->call.device->index,
                    stream->context->device->index);
    if (!executor->repeatable || !executor->launches)
        result = check_objects(&executor->call);
    if (!result)
        result = check_workspace(executor, workspace, workspace_size);
    if (result)
        return result;
    executor->launches++;
    count_add(COUNT_LAUNCHES, 1);
    if (!is_empty(&executor->call))
        result = stream_submit(stream, make_task(executor, workspace));
    if (!executor->repeatable)
        executor_free(executor);
    return result;
}

EXPORT aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor *executor)
{
    ENTER();
    if (!executor || !object_is(executor, OBJECT_EXECUTOR))
        return fail(ACLNN_INNER_NULLPTR, "executor %p is not a live one", (void *)executor);
    if (executor != newest)
        return fail(ACLNN_INNER_NULLPTR, "this must follow the executor's phase one directly; another operator was prepared or launched in between");
    if (has_strided(&executor->call))
        return fail(561000, "the operator copies a strided tensor internally; such an executor cannot be made repeatable");
    executor->repeatable = true;
    return 0;
}

EXPORT aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor *executor)
{
    ENTER();
    if (!executor || !object_is(executor, OBJECT_EXECUTOR))
        return fail(ACLNN_INNER_NULLPTR, "executor %p is not a live one", (void *)executor);
    executor_free(executor);
    return 0;
}

static bool is_counted(const struct value *value, bool inputs, bool outputs)
{
    bool output = value->role == ROLE_OUTPUT || value->role == ROLE_OPTIONAL_OUTPUT;
    return (value->kind == ARGUMENT_TENSOR || value->kind == ARGUMENT_LIST) && (output ? outputs : inputs);
}

static int set_address(aclOpExecutor *executor, size_t index, const aclTensor *tensor, void *address, bool inputs, bool outputs)
{
    if (!executor || !object_is(executor, OBJECT_EXECUTOR) || !tensor)
        return fail(ACLNN_INNER_NULLPTR, "executor or tensor is NULL or gone");
    if (!executor->repeatable)
        return fail(ACLNN_INNER_NULLPTR, "the executor is not repeatable");
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++) /* inputs first, then outputs; list elements in order */
        for (size_t i = 0; i < executor->call.n_values; i++) {
            struct value *value = &executor->call.values[i];
            if (!is_counted(value, inputs && pass == 0, outputs && pass == 1))
                continue;
            size_t count = value->kind == ARGUMENT_LIST && value->present ? value->count : 1;
            if (index < at + count) {
                if (!value->present)
                    return fail(ACLNN_PARAM_INVALID, "tensor %zu (%s) was NULL in phase one", index, value->name);
                value->tensors[index - at].address = (uint64_t)(uintptr_t)address;
                return 0;
            }
            at += count;
        }
    return fail(ACLNN_PARAM_INVALID, "index %zu; the executor has %zu such tensors", index, at);
}

EXPORT aclnnStatus aclSetInputTensorAddr(aclOpExecutor *executor, size_t index, aclTensor *tensor, void *address)
{
    ENTER();
    return set_address(executor, index, tensor, address, true, false);
}

EXPORT aclnnStatus aclSetOutputTensorAddr(aclOpExecutor *executor, size_t index, aclTensor *tensor, void *address)
{
    ENTER();
    return set_address(executor, index, tensor, address, false, true);
}

EXPORT aclnnStatus aclSetTensorAddr(aclOpExecutor *executor, size_t index, aclTensor *tensor, void *address)
{
    ENTER();
    return set_address(executor, index, tensor, address, true, true);
}

/* Of the index-th argument that is a list, the given element. */
static int set_dynamic(aclOpExecutor *executor, size_t index, size_t element, const aclTensorList *list, void *address, bool inputs, bool outputs)
{
    if (!executor || !object_is(executor, OBJECT_EXECUTOR) || !list)
        return fail(ACLNN_INNER_NULLPTR, "executor or list is NULL or gone");
    if (!executor->repeatable)
        return fail(ACLNN_INNER_NULLPTR, "the executor is not repeatable");
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < executor->call.n_values; i++) {
            struct value *value = &executor->call.values[i];
            if (!is_counted(value, inputs && pass == 0, outputs && pass == 1) || at++ != index)
                continue;
            if (value->kind != ARGUMENT_LIST || !value->present || element >= value->count)
                return fail(ACLNN_PARAM_INVALID, "argument %zu (%s) is no list, was NULL in phase one, or has fewer than %zu tensors", index, value->name,
                            element + 1);
            value->tensors[element].address = (uint64_t)(uintptr_t)address;
            return 0;
        }
    return fail(ACLNN_PARAM_INVALID, "index %zu; the executor has %zu such arguments", index, at);
}

EXPORT aclnnStatus aclSetDynamicInputTensorAddr(aclOpExecutor *executor, size_t index, size_t element, aclTensorList *list, void *address)
{
    ENTER();
    return set_dynamic(executor, index, element, list, address, true, false);
}

EXPORT aclnnStatus aclSetDynamicOutputTensorAddr(aclOpExecutor *executor, size_t index, size_t element, aclTensorList *list, void *address)
{
    ENTER();
    return set_dynamic(executor, index, element, list, address, false, true);
}

EXPORT aclnnStatus aclSetDynamicTensorAddr(aclOpExecutor *executor, size_t index, size_t element, aclTensorList *list, void *address)
{
    ENTER();
    return set_dynamic(executor, index, element, list, address, true, true);
}
