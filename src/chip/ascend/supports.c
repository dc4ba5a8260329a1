/* What a profile can run: data only. The limits are those of CANN's operators as their pages state them. */
#include <string.h>

#include "chip/ascend/plan.h"

enum {
    MAX_HEADS = 256, /* of fused attention */
    MAX_HEADS_PER_KV = 64,
    MAX_HEAD_WIDTH = 512,
    HEAD_UNIT = 16,
    MAX_CACHE_WIDTH = 65535, /* heads * width of a cache's row */
    UNIFIED_BUFFER = 192 * 1024,
};

static bool is_available(const struct ascend_library *library, const struct ascend_profile *profile, enum ascend_operator_name name)
{
    return library ? ascend_has(library, name) : !profile->is_version_81 || ascend_operator_in_81(name);
}

/* The working set of the rotation in place, as its page reckons it. */
static bool rotary_fits(int64_t heads, int64_t width, enum acl_type type)
{
    int64_t table = type == ACL_BF16 ? 4 : 2;
    return heads * width * table * 5 + width * 2 * 4 + (type == ACL_BF16 ? width * 8 : 0) <= UNIFIED_BUFFER;
}

enum rope_form ascend_choose_rope(const struct ascend_library *library, const struct ascend_profile *profile, const struct program *program,
                                  const struct op_rope_cache *rope, enum acl_type type)
{
    const struct cache_stream *keys = &program->groups[rope->group].streams[CACHE_KEYS];
    bool has_apply = is_available(library, profile, OPERATOR_ROTARY_V2) || is_available(library, profile, OPERATOR_ROTARY);
    if (!rope->rotary_width)
        return ROPE_NONE;
    if (has_apply && rope->pairing == ROPE_HALVES && rope->rotary_width == keys->width && (keys->width == 64 || keys->width == 128) &&
        rotary_fits(rope->n_heads + keys->n_heads, keys->width, type))
        return ROPE_APPLY;
    if (is_available(library, profile, OPERATOR_ROPE_BY_POSITION) && keys->width % 32 == 0 && rope->rotary_width % 32 == 0)
        return ROPE_BY_POSITION;
    return ROPE_COMPOSED;
}

static int check_cache_group(const struct program_cache_group *group, struct error *err)
{
    if (group->kind != CACHE_FULL_ATTENTION && group->kind != CACHE_SLIDING_WINDOW)
        return error_set(err, SAMPAN_EUNSUPPORTED, "cache group '%s' is of a kind that is not served yet (only keys and values of attention are)", group->name);
    const struct cache_stream *keys = &group->streams[CACHE_KEYS], *values = &group->streams[CACHE_VALUES];
    if (keys->width != values->width)
        return error_set(err, SAMPAN_EUNSUPPORTED, "fused attention takes keys and values of one width, found %d and %d", keys->width, values->width);
    if (keys->width % HEAD_UNIT || keys->width > MAX_HEAD_WIDTH)
        return error_set(err, SAMPAN_EUNSUPPORTED, "fused attention takes heads of a multiple of %d up to %d elements, found %d", HEAD_UNIT, MAX_HEAD_WIDTH,
                         keys->width);
    if ((int64_t)keys->n_heads * keys->width > MAX_CACHE_WIDTH)
        return error_set(err, SAMPAN_EUNSUPPORTED, "fused attention takes at most %d elements of keys per token, found %d heads of %d", MAX_CACHE_WIDTH,
                         keys->n_heads, keys->width);
    return 0;
}

static int check_attention(const struct program *program, const struct op_attention *attention, struct error *err)
{
    int32_t kv_heads = program->groups[attention->group].streams[CACHE_KEYS].n_heads;
    if (attention->n_heads > MAX_HEADS || attention->n_heads / kv_heads > MAX_HEADS_PER_KV)
        return error_set(err, SAMPAN_EUNSUPPORTED, "fused attention takes at most %d heads, %d for each head of the keys; found %d over %d", MAX_HEADS,
                         MAX_HEADS_PER_KV, attention->n_heads, kv_heads);
    return 0;
}

static int check_weights(const struct program *program, const struct op_operands *operands, struct error *err)
{
    for (int32_t w = 0; w < operands->n_weights; w++) {
        const struct logical_weight *weight = &program->weights[operands->weights[w]];
        for (int32_t p = 0; p < weight->n_parts; p++)
            if (!tensor_types[weight->parts[p].type].to_float)
                return error_set(err, SAMPAN_EUNSUPPORTED, "'%s' is of type %s, for which there is no conversion", weight->parts[p].name,
                                 tensor_types[weight->parts[p].type].name);
    }
    return 0;
}

int ascend_supports(const char *text, const struct program *program, const struct op *op, enum tensor_type cache_type, struct error *err)
{
    struct ascend_profile profile;
    struct op_operands operands;
    int status = ascend_profile_read(text, &profile, err);
    if (status)
        return status;
    if ((int)op->kind < 0 || op->kind >= OP_KIND_COUNT)
        return error_set(err, SAMPAN_EUNSUPPORTED, "Ascend has no operation '%s'", op_kind_name(op->kind));
    op_get_operands(op, &operands);
    if (operands.group >= 0) {
        if (cache_type != TENSOR_F16 && cache_type != TENSOR_BF16)
            return error_set(err, SAMPAN_EUNSUPPORTED, "Ascend keeps its cache in bf16 or f16, not in %s",
                             (unsigned)cache_type < TENSOR_TYPE_COUNT ? tensor_types[cache_type].name : "an unknown type");
        status = check_cache_group(&program->groups[operands.group], err);
    }
    if (!status && op->kind == OP_ATTENTION)
        status = check_attention(program, &op->attention, err);
    return status ? status : check_weights(program, &operands, err);
}
