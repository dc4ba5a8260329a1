/* Looking inside a plan, for checkchip and tests: buffers and cache blocks. */
#include <string.h>

#include "base/memory.h"
#include "chip/ascend/plan.h"
#include "tensor/half.h"

static int find_buffer(struct ascend_plan *plan, int32_t buffer, int32_t n_rows, struct error *err)
{
    if (!plan->limits.keep_buffers)
        return error_set(err, SAMPAN_EINVAL, "buffers can be read and written only in a plan made with keep_buffers");
    if (plan->n_submitted != plan->n_waited)
        return error_set(err, SAMPAN_EBUSY, "buffers can be read and written only while no step is in flight");
    if (buffer < 0 || buffer >= plan->program->n_buffers)
        return error_set(err, SAMPAN_EINVAL, "buffer %d, but the program has %d", buffer, plan->program->n_buffers);
    int32_t most = plan->buffers[buffer].is_per_logit_row ? plan->limits.max_logit_rows : plan->limits.max_tokens;
    if (n_rows < 0 || n_rows > most)
        return error_set(err, SAMPAN_EINVAL, "%d rows of buffer '%s', which has %d", n_rows, plan->program->buffers[buffer].name, most);
    return ascend_bind(plan->chip, err);
}

static void widen(enum acl_type type, const uint16_t *bits, int64_t n, float *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = type == ACL_F16 ? f16_to_float(bits[i]) : bf16_to_float(bits[i]);
}

int ascend_plan_read_buffer(struct plan *base, int32_t buffer, int32_t n_rows, float *values, struct error *err)
{
    struct ascend_plan *plan = (struct ascend_plan *)base;
    int status = find_buffer(plan, buffer, n_rows, err);
    int64_t n = status ? 0 : (int64_t)n_rows * plan->buffers[buffer].width;
    if (status || n == 0)
        return status;
    const struct plan_buffer *found = &plan->buffers[buffer];
    const void *place = ascend_buffer_end(plan, buffer);
    if (found->type == ACL_F32)
        return ascend_download(plan->chip, values, place, (uint64_t)n * 4, plan->program->buffers[buffer].name, err);
    uint16_t *bits = mem_alloc_array((size_t)n, sizeof *bits);
    if (!bits)
        return error_no_memory(err, "reading a buffer");
    status = ascend_download(plan->chip, bits, place, (uint64_t)n * sizeof *bits, plan->program->buffers[buffer].name, err);
    if (!status)
        widen(found->type, bits, n, values);
    mem_free(bits);
    return status;
}

int ascend_plan_write_buffer(struct plan *base, int32_t buffer, int32_t n_rows, const float *values, struct error *err)
{
    struct ascend_plan *plan = (struct ascend_plan *)base;
    int status = find_buffer(plan, buffer, n_rows, err);
    int64_t n = status ? 0 : (int64_t)n_rows * plan->buffers[buffer].width;
    if (status || n == 0)
        return status;
    const struct plan_buffer *found = &plan->buffers[buffer];
    if (found->type == ACL_F32)
        return ascend_upload(plan->chip, found->places[0], values, (uint64_t)n * 4, plan->program->buffers[buffer].name, err);
    uint16_t *bits = mem_alloc_array((size_t)n, sizeof *bits);
    if (!bits)
        return error_no_memory(err, "writing a buffer");
    for (int64_t i = 0; i < n; i++)
        bits[i] = found->type == ACL_F16 ? float_to_f16(values[i]) : float_to_bf16(values[i]);
    status = ascend_upload(plan->chip, found->places[0], bits, (uint64_t)n * sizeof *bits, plan->program->buffers[buffer].name, err);
    mem_free(bits);
    return status;
}

int ascend_plan_read_block(struct plan *base, int32_t group, int32_t block, void *bytes, uint64_t capacity, uint64_t *length, struct error *err)
{
    struct ascend_plan *plan = (struct ascend_plan *)base;
    if (group < 0 || group >= plan->program->n_groups || block < 0 || block >= plan->limits.n_blocks[group])
        return error_set(err, SAMPAN_EINVAL, "block %d of cache group %d does not exist", block, group);
    const struct plan_group *found = &plan->groups[group];
    *length = plan->description.group_block_bytes[group];
    if (capacity < *length)
        return error_set(err, SAMPAN_EINVAL, "a block of cache group %d has %llu bytes, room for %llu was given", group, (unsigned long long)*length,
                         (unsigned long long)capacity);
    int status = ascend_bind(plan->chip, err);
    char *to = bytes;
    for (int32_t layer = 0; !status && layer < found->n_layers; layer++)
        for (int i = 0; !status && i < 2; i++) {
            const char *stream = found->memory + (uint64_t)layer * found->layer_bytes + (i ? found->block_bytes[0] * (uint64_t)found->n_blocks : 0);
            status = ascend_download(plan->chip, to, stream + (uint64_t)block * found->block_bytes[i], found->block_bytes[i], "a cache block", err);
            to += found->block_bytes[i];
        }
    return status;
}
