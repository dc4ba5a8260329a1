/* One call of an operator: its frozen arguments, the common checks, resolving addresses on the worker, and the modelled time. */
#include "operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct value *call_value(const struct call *call, const char *name)
{
    for (size_t i = 0; i < call->n_values; i++)
        if (!strcmp(call->values[i].name, name))
            return &call->values[i];
    return NULL;
}

struct tensor *call_tensor(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    return value && value->present && value->count && value->tensors ? value->tensors : NULL;
}

int64_t call_integer(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    return value ? value->integer : 0;
}

double call_real(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    return value ? value->real : 0;
}

const char *call_text(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    return value ? value->text : "";
}

void *call_scratch(struct call *call, size_t bytes)
{
    void **grown = realloc(call->scratch, (call->n_scratch + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    call->scratch = grown;
    void *memory = malloc(bytes ? bytes : 1);
    if (memory)
        call->scratch[call->n_scratch++] = memory;
    return memory;
}

int call_no_memory(void)
{
    return fail(RT_INTERNAL_ERROR, "the emulator has no host memory to compute this");
}

static int freeze_tensor(struct tensor *to, const aclTensor *tensor, const char *name)
{
    if (!object_is(tensor, OBJECT_TENSOR)) {
        object_refuse(tensor, OBJECT_TENSOR);
        return fail(ACLNN_INNER_NULLPTR, "%s: %p is not a live aclTensor", name, (const void *)tensor);
    }
    *to = tensor->tensor;
    to->object = tensor;
    to->object_id = tensor->object.id;
    if (to->address % 32)
        return fail(ACLNN_PARAM_INVALID, "%s: the address 0x%llx is not a multiple of 32", name, (unsigned long long)to->address);
    if (to->type == ACL_BF16 && emulator_settings()->soc.family == SOC_310P)
        return fail(ACLNN_PARAM_INVALID, "%s is bf16, which %s does not have", name, emulator_settings()->soc.name);
    if ((int)to->type >= 34 && emulator_settings()->soc.family != SOC_950)
        return fail(ACLNN_PARAM_INVALID, "%s has type %d, which %s does not have", name, (int)to->type, emulator_settings()->soc.name);
    return 0;
}

static int freeze_handle(struct value *value, const struct argument *from)
{
    value->present = from->handle != NULL;
    if (!from->handle)
        return from->role == ROLE_OPTIONAL || from->role == ROLE_OPTIONAL_OUTPUT ? 0 : fail(ACLNN_PARAM_NULLPTR, "%s is NULL and not optional", from->name);
    if (from->kind == ARGUMENT_TEXT) {
        snprintf(value->text, sizeof value->text, "%s", (const char *)from->handle);
        return 0;
    }
    if (from->kind == ARGUMENT_SCALAR) {
        const aclScalar *scalar = from->handle;
        if (!object_is(scalar, OBJECT_SCALAR))
            return object_refuse(scalar, OBJECT_SCALAR);
        value->real = scalar->value;
        value->scalar_type = scalar->type;
        return 0;
    }
    if (from->kind == ARGUMENT_INTEGERS) {
        const struct array *array = from->handle;
        if (!object_is(array, OBJECT_INT_ARRAY))
            return object_refuse(array, OBJECT_INT_ARRAY);
        value->count = array->size;
        value->integers = malloc((array->size + 1) * sizeof *value->integers);
        if (value->integers)
            memcpy(value->integers, array->integers, array->size * sizeof *value->integers);
        return value->integers ? 0 : call_no_memory();
    }
    const struct handle_list *list = from->handle;
    if (from->kind == ARGUMENT_LIST && !object_is(list, OBJECT_TENSOR_LIST))
        return object_refuse(list, OBJECT_TENSOR_LIST);
    value->count = from->kind == ARGUMENT_LIST ? list->size : 1;
    value->tensors = calloc(value->count, sizeof *value->tensors);
    int result = value->tensors ? 0 : call_no_memory();
    for (size_t i = 0; i < value->count && !result; i++)
        result = freeze_tensor(&value->tensors[i], from->kind == ARGUMENT_LIST ? list->items[i] : from->handle, from->name);
    return result;
}

int call_freeze(struct call *call, const struct argument *arguments, size_t n_arguments)
{
    call->values = calloc(n_arguments, sizeof *call->values);
    if (!call->values)
        return call_no_memory();
    call->n_values = n_arguments;
    int result = 0;
    for (size_t i = 0; i < n_arguments; i++) {
        struct value *value = &call->values[i];
        value->name = arguments[i].name;
        value->kind = arguments[i].kind;
        value->role = arguments[i].role;
        value->integer = arguments[i].integer;
        value->real = arguments[i].real;
        if (!result && value->kind != ARGUMENT_INTEGER && value->kind != ARGUMENT_REAL)
            result = freeze_handle(value, &arguments[i]);
    }
    return result;
}

void call_free(struct call *call)
{
    for (size_t i = 0; i < call->n_values; i++) {
        free(call->values[i].tensors);
        free(call->values[i].integers);
    }
    free(call->values);
    call->values = NULL;
    call->n_values = 0;
}

static bool copy_value(struct value *to)
{
    if (to->tensors) {
        struct tensor *tensors = malloc(to->count * sizeof *tensors);
        if (tensors)
            memcpy(tensors, to->tensors, to->count * sizeof *tensors);
        to->tensors = tensors;
        return tensors != NULL;
    }
    if (to->integers) {
        int64_t *integers = malloc((to->count + 1) * sizeof *integers);
        if (integers)
            memcpy(integers, to->integers, to->count * sizeof *integers);
        to->integers = integers;
        return integers != NULL;
    }
    return true;
}

struct call *call_copy(const struct call *call)
{
    struct call *copy = malloc(sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *call;
    copy->values = malloc(call->n_values * sizeof *copy->values);
    bool good = copy->values != NULL;
    if (good)
        memcpy(copy->values, call->values, call->n_values * sizeof *copy->values);
    for (size_t i = 0; good && i < call->n_values; i++)
        if (!copy_value(&copy->values[i])) {
            copy->n_values = i + 1;
            call_free(copy);
            good = false;
        }
    if (!good)
        free(copy);
    return good ? copy : NULL;
}

static int resolve(struct call *call)
{
    char why[160];
    for (size_t i = 0; i < call->n_values; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++) {
            struct tensor *tensor = &call->values[i].tensors[j];
            uint64_t bytes = tensor_bytes(tensor);
            tensor->data = NULL;
            tensor->block = NULL;
            if (!bytes || !tensor->present)
                continue;
            if (tensor->address % 32)
                return fail(RT_AICORE_EXCEPTION, "argument %s: the address 0x%llx is not a multiple of 32", call->values[i].name,
                            (unsigned long long)tensor->address);
            tensor->block = memory_pin(call->device, tensor->address, bytes, &tensor->data, why);
            if (!tensor->block)
                return fail(RT_AICORE_EXCEPTION, "argument %s: %s", call->values[i].name, why);
        }
    return 0;
}

static int release_pins(struct call *call)
{
    const char *freed = NULL;
    for (size_t i = 0; i < call->n_values; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++) {
            struct tensor *tensor = &call->values[i].tensors[j];
            if (tensor->block && !memory_unpin(tensor->block))
                freed = call->values[i].name;
            tensor->block = NULL;
        }
    for (size_t i = 0; i < call->n_scratch; i++)
        free(call->scratch[i]);
    free(call->scratch);
    call->scratch = NULL;
    call->n_scratch = 0;
    return freed ? fail(RT_AICORE_EXCEPTION, "argument %s: its buffer was freed while the operator was at work", freed) : 0;
}

static void flip_one_bit(struct call *call)
{
    for (size_t i = call->n_values; i-- > 0;) {
        struct value *value = &call->values[i];
        struct tensor *tensor = value->tensors;
        if (tensor && tensor->data && (value->role == ROLE_OUTPUT || value->role == ROLE_REFERENCE) && tensor_count(tensor)) {
            size_t size = type_size(tensor->type);
            tensor->data[(size_t)element_at(tensor, tensor_count(tensor) / 2) * size + size - 1] ^= 0x20; /* high in the exponent */
            return;
        }
    }
}

/* Operators use their workspace: whatever the caller kept there is gone, and an argument may not lie in it. */
static int scribble_workspace(const struct call *call)
{
    char why[160];
    unsigned char *contents;
    if (!call->workspace_bytes)
        return 0;
    for (size_t i = 0; i < call->n_values; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++) {
            const struct tensor *tensor = &call->values[i].tensors[j];
            uint64_t bytes = tensor_bytes(tensor);
            if (bytes && tensor->address < call->workspace + call->workspace_bytes && call->workspace < tensor->address + bytes)
                return fail(RT_AICORE_EXCEPTION, "argument %s lies in the operator's own workspace", call->values[i].name);
        }
    struct block *block = memory_pin(call->device, call->workspace, call->workspace_bytes, &contents, why);
    if (!block)
        return fail(RT_AICORE_EXCEPTION, "workspace: %s", why);
    memset(contents, 0xFF, call->workspace_bytes);
    return memory_unpin(block) ? 0 : fail(RT_AICORE_EXCEPTION, "the workspace was freed while the operator was at work");
}

int call_run(struct call *call, bool flip_bit)
{
    int result = resolve(call);
    if (!result)
        result = scribble_workspace(call);
    if (!result)
        result = call->row->implementation->compute(call);
    if (!result && flip_bit)
        flip_one_bit(call);
    int freed = release_pins(call);
    return result ? result : freed;
}

void call_describe(const struct call *call, char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (size_t i = 0; i < call->n_values && used + 1 < size; i++) {
        const struct tensor *tensor = call->values[i].tensors;
        if (!tensor || !tensor->present)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s %s[", used ? ", " : "", call->values[i].name, type_name(tensor->type));
        for (unsigned d = 0; d < tensor->n_dims && used + 1 < size; d++)
            used += (size_t)snprintf(text + used, size - used, d ? ",%lld" : "%lld", (long long)tensor->dims[d]);
        if (used + 1 < size)
            used += (size_t)snprintf(text + used, size - used, "]");
    }
}

double call_time_ns(const struct call *call)
{
    const struct soc_profile *soc = &emulator_settings()->soc;
    double bytes = 0;
    for (size_t i = 0; i < call->n_values; i++)
        for (size_t j = 0; call->values[i].tensors && j < call->values[i].count; j++)
            bytes += (double)tensor_count(&call->values[i].tensors[j]) * (double)type_bits(call->values[i].tensors[j].type) / 8;
    double memory = bytes / soc->bandwidth * 1e9, cube = 0;
    if (call->row->implementation->cube_operations)
        cube = call->row->implementation->cube_operations(call) / soc->cube_flops * 1e9;
    return 2000 + (memory > cube ? memory : cube); /* 2 us: what a launch costs on the device */
}
