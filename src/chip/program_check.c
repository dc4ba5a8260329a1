/* program_check: refuses a program that a chip could not trust. After it, every index is in range, every width fits, every weight is made of parts that
 * lie inside their files, and nothing is read before it was written; so chips compile without checking again. */
#include <math.h>

#include "base/memory.h"
#include "base/step.h"
#include "chip/program.h"
#include "chip/weight_part.h"

/* What the checks of one operation share. */
struct check {
    const struct program *program;
    const struct op *op;
    int32_t index; /* of op */
    struct error *err;
};

static int fail(const struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(const struct check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(check->err, SAMPAN_EINVAL, format, arguments);
    va_end(arguments);
    error_prefix(check->err, "checking the program '%s', operation %d (%s, %s)", check->program->name, check->index, check->op->label ? check->op->label : "",
                 op_kind_name(check->op->kind));
    return SAMPAN_EINVAL;
}

/* ---- Buffers and weights of an operation. */

/* A buffer operand: in range, of `width` (0: any) and `rows`. */
static int check_buffer(const struct check *check, const char *what, int32_t buffer, int64_t width, enum buffer_rows rows)
{
    if (buffer < 0 || buffer >= check->program->n_buffers)
        return fail(check, "%s is buffer %d, but the program has buffers 0 to %d", what, buffer, check->program->n_buffers - 1);
    const struct program_buffer *found = &check->program->buffers[buffer];
    if (width && found->width != width)
        return fail(check, "%s, buffer '%s', is %d wide, expected %lld", what, found->name, found->width, (long long)width);
    if (found->rows != rows)
        return fail(check, "%s, buffer '%s', has a row per %s, expected one per %s", what, found->name, found->rows == ROWS_TOKENS ? "token" : "logit row",
                    rows == ROWS_TOKENS ? "token" : "logit row");
    return 0;
}

static int check_weight(const struct check *check, const char *what, int32_t weight, enum weight_role role, int64_t rows, int64_t columns)
{
    if (weight < 0 || weight >= check->program->n_weights)
        return fail(check, "%s is weight %d, but the program has weights 0 to %d", what, weight, check->program->n_weights - 1);
    const struct logical_weight *found = &check->program->weights[weight];
    if (found->role != role)
        return fail(check, "%s, weight '%s', has role %d, expected %d", what, found->name, (int)found->role, (int)role);
    if (found->rows != rows || found->columns != columns)
        return fail(check, "%s, weight '%s', is [%lld, %lld], expected [%lld, %lld]", what, found->name, (long long)found->rows, (long long)found->columns,
                    (long long)rows, (long long)columns);
    return 0;
}

/* An optional vector (bias, norm weight). */
static int check_vector(const struct check *check, const char *what, int32_t weight, int64_t columns)
{
    return weight == -1 ? 0 : check_weight(check, what, weight, WEIGHT_VECTOR, 1, columns);
}

/* Width and kind of rows of a buffer that is known only by its index; 0 where it is out of range (check_buffer then says so). */
static int64_t buffer_width(const struct check *check, int32_t buffer)
{
    return buffer >= 0 && buffer < check->program->n_buffers ? check->program->buffers[buffer].width : 0;
}

static enum buffer_rows rows_of_buffer(const struct check *check, int32_t buffer)
{
    return buffer >= 0 && buffer < check->program->n_buffers ? check->program->buffers[buffer].rows : ROWS_TOKENS;
}

/* ---- Operations, one function each. */

static int check_embed(const struct check *check)
{
    const struct op_embed *embed = &check->op->embed;
    int status = check_buffer(check, "the output", embed->out, 0, ROWS_TOKENS);
    if (!status)
        status = check_weight(check, "the table", embed->table, WEIGHT_EMBEDDING, check->program->n_vocabulary, buffer_width(check, embed->out));
    if (!status && !isfinite(embed->scale))
        status = fail(check, "the scale is not a finite number");
    return status;
}

static int check_norm(const struct check *check)
{
    const struct op_norm *norm = &check->op->norm;
    int64_t width = buffer_width(check, norm->x);
    enum buffer_rows rows = rows_of_buffer(check, norm->x);
    if (norm->kind != NORM_RMS)
        return fail(check, "unknown kind of norm %d", (int)norm->kind);
    int status = check_buffer(check, "the input", norm->x, width, rows);
    if (!status && norm->residual != -1)
        status = check_buffer(check, "the residual", norm->residual, width, rows);
    if (!status)
        status = check_buffer(check, "the output", norm->out, width, rows);
    if (!status)
        status = check_vector(check, "the norm weight", norm->weight, width);
    if (status)
        return status;
    if (norm->out == norm->x || norm->residual == norm->x || norm->residual == norm->out)
        return fail(check, "input, residual and output must be different buffers");
    if (!isfinite(norm->epsilon) || norm->epsilon < 0)
        return fail(check, "epsilon is %g, expected a finite number of at least 0", (double)norm->epsilon);
    return 0;
}

static int check_linear(const struct check *check)
{
    const struct op_linear *linear = &check->op->linear;
    enum buffer_rows rows = rows_of_buffer(check, linear->x);
    int64_t columns = buffer_width(check, linear->x);
    if (linear->n_outputs < 1 || linear->n_outputs > OP_LINEAR_MAX)
        return fail(check, "%d outputs, expected 1 to %d", linear->n_outputs, OP_LINEAR_MAX);
    int status = check_buffer(check, "the input", linear->x, columns, rows);
    for (int32_t i = 0; !status && i < linear->n_outputs; i++) {
        int64_t width = buffer_width(check, linear->outs[i]);
        status = check_buffer(check, "an output", linear->outs[i], width, rows);
        if (!status)
            status = check_weight(check, "the weight", linear->weights[i], WEIGHT_LINEAR, width, columns);
        if (!status)
            status = check_vector(check, "the bias", linear->biases[i], width);
        if (!status && linear->outs[i] == linear->x)
            status = fail(check, "an output is the input buffer");
        for (int32_t j = 0; !status && j < i; j++)
            if (linear->outs[i] == linear->outs[j])
                status = fail(check, "two outputs are the same buffer");
    }
    return status;
}

/* The cache group and layer of an attention operation. */
static int check_cache(const struct check *check, int32_t group, int32_t layer, int32_t n_heads)
{
    const struct program *program = check->program;
    if (group < 0 || group >= program->n_groups)
        return fail(check, "cache group %d, but the program has %d", group, program->n_groups);
    const struct program_cache_group *found = &program->groups[group];
    if (found->kind != CACHE_FULL_ATTENTION && found->kind != CACHE_SLIDING_WINDOW)
        return fail(check, "cache group '%s' does not hold keys and values", found->name);
    if (layer < 0 || layer >= found->n_layers)
        return fail(check, "layer %d of cache group '%s', which has %d", layer, found->name, found->n_layers);
    if (n_heads < 1 || n_heads > LIMIT_HEADS || n_heads % found->streams[CACHE_KEYS].n_heads)
        return fail(check, "%d heads, expected a multiple of the cache's %d, at most %d", n_heads, found->streams[CACHE_KEYS].n_heads, LIMIT_HEADS);
    return 0;
}

static int check_rope_cache(const struct check *check)
{
    const struct op_rope_cache *rope = &check->op->rope_cache;
    int status = check_cache(check, rope->group, rope->layer, rope->n_heads);
    if (status)
        return status;
    const struct program_cache_group *group = &check->program->groups[rope->group];
    status = check_buffer(check, "query", rope->query, (int64_t)rope->n_heads * group->streams[CACHE_KEYS].width, ROWS_TOKENS);
    if (!status)
        status = check_buffer(check, "key", rope->key, (int64_t)group->streams[CACHE_KEYS].n_heads * group->streams[CACHE_KEYS].width, ROWS_TOKENS);
    if (!status)
        status = check_buffer(check, "value", rope->value, (int64_t)group->streams[CACHE_VALUES].n_heads * group->streams[CACHE_VALUES].width, ROWS_TOKENS);
    if (!status)
        status = check_vector(check, "the query norm", rope->query_norm, group->streams[CACHE_KEYS].width);
    if (!status)
        status = check_vector(check, "the key norm", rope->key_norm, group->streams[CACHE_KEYS].width);
    if (status)
        return status;
    if (rope->query == rope->key || rope->query == rope->value || rope->key == rope->value)
        return fail(check, "query, key and value must be different buffers");
    if (rope->pairing != ROPE_HALVES && rope->pairing != ROPE_ADJACENT)
        return fail(check, "unknown pairing %d of the rotation", (int)rope->pairing);
    if (rope->rotary_width < 0 || rope->rotary_width % 2 || rope->rotary_width > group->streams[CACHE_KEYS].width)
        return fail(check, "a rotary width of %d, expected an even number of at most the head width %d", rope->rotary_width, group->streams[CACHE_KEYS].width);
    if (rope->rotary_width && !rope->frequencies)
        return fail(check, "the rotation has no frequencies");
    for (int32_t i = 0; i < rope->rotary_width / 2; i++)
        if (!isfinite(rope->frequencies[i]))
            return fail(check, "frequency %d of the rotation is not a finite number", i);
    if (!isfinite(rope->magnitude) || !isfinite(rope->norm_epsilon) || rope->norm_epsilon < 0)
        return fail(check, "magnitude and epsilon must be finite numbers, epsilon at least 0");
    return 0;
}

static int check_attention(const struct check *check)
{
    const struct op_attention *attention = &check->op->attention;
    int status = check_cache(check, attention->group, attention->layer, attention->n_heads);
    if (status)
        return status;
    const struct program_cache_group *group = &check->program->groups[attention->group];
    status = check_buffer(check, "query", attention->query, (int64_t)attention->n_heads * group->streams[CACHE_KEYS].width, ROWS_TOKENS);
    if (!status)
        status = check_buffer(check, "the output", attention->out, (int64_t)attention->n_heads * group->streams[CACHE_VALUES].width, ROWS_TOKENS);
    if (status)
        return status;
    if (attention->out == attention->query)
        return fail(check, "query and output must be different buffers");
    if (!isfinite(attention->scale))
        return fail(check, "the scale is not a finite number");
    if (attention->window < 0)
        return fail(check, "a window of %d positions", attention->window);
    if (group->kind == CACHE_SLIDING_WINDOW && (!attention->window || attention->window > group->window))
        return fail(check, "a window of %d positions (0: all) over cache group '%s', which keeps %d", attention->window, group->name, group->window);
    return 0;
}

static int check_gated_activation(const struct check *check)
{
    const struct op_gated_activation *gated = &check->op->gated;
    int64_t width = buffer_width(check, gated->gate);
    enum buffer_rows rows = rows_of_buffer(check, gated->gate);
    if (gated->kind != ACTIVATION_SILU)
        return fail(check, "unknown activation %d", (int)gated->kind);
    int status = check_buffer(check, "gate", gated->gate, width, rows);
    if (!status)
        status = check_buffer(check, "up", gated->up, width, rows);
    return status ? status : check_buffer(check, "the output", gated->out, width, rows);
}

static int check_select_rows(const struct check *check)
{
    const struct op_select_rows *select = &check->op->select_rows;
    int64_t width = buffer_width(check, select->x);
    int status = check_buffer(check, "the input", select->x, width, ROWS_TOKENS);
    if (!status && select->residual != -1)
        status = check_buffer(check, "the residual", select->residual, width, ROWS_TOKENS);
    return status ? status : check_buffer(check, "the output", select->out, width, ROWS_LOGITS);
}

static int check_logits(const struct check *check)
{
    if (check->index != check->program->n_ops - 1)
        return fail(check, "logits must be the last operation, but %d follow", check->program->n_ops - 1 - check->index);
    int32_t hidden = check->op->logits.hidden;
    int status = check_buffer(check, "the input", check->op->logits.x, check->program->n_vocabulary, ROWS_LOGITS);
    return status || hidden == -1 ? status : check_buffer(check, "the hidden rows", hidden, buffer_width(check, hidden), ROWS_LOGITS);
}

static int (*const op_checks[OP_KIND_COUNT])(const struct check *) = {
    [OP_EMBED] = check_embed,
    [OP_NORM] = check_norm,
    [OP_LINEAR] = check_linear,
    [OP_ROPE_CACHE] = check_rope_cache,
    [OP_ATTENTION] = check_attention,
    [OP_GATED_ACTIVATION] = check_gated_activation,
    [OP_SELECT_ROWS] = check_select_rows,
    [OP_LOGITS] = check_logits,
};

/* ---- Weights, groups, buffers. */

static int check_part(const struct logical_weight *weight, const struct weight_part *part, struct error *err)
{
    const char *name = part->name ? part->name : "";
    if ((int)part->type < 0 || part->type >= TENSOR_TYPE_COUNT || !tensor_types[part->type].to_float)
        return error_set(err, SAMPAN_EINVAL, "weight '%s': part '%s' has a type that is not a number type (%d)", weight->name, name, (int)part->type);
    uint64_t bytes;
    if (part->rows < 1 || part->columns != weight->columns)
        return error_set(err, SAMPAN_EINVAL, "weight '%s': part '%s' is [%lld, %lld], expected %lld columns", weight->name, name, (long long)part->rows,
                         (long long)part->columns, (long long)weight->columns);
    if (!tensor_type_bytes(part->type, (uint64_t)part->rows, (uint64_t)part->columns, &bytes))
        return error_set(err, SAMPAN_EINVAL, "weight '%s': part '%s': %lld columns are not a multiple of the block of %s, %d", weight->name, name,
                         (long long)part->columns, tensor_types[part->type].name, tensor_types[part->type].block_elements);
    if (part->bytes != bytes)
        return error_set(err, SAMPAN_EINVAL, "weight '%s': part '%s' says %llu bytes, its shape and type need %llu", weight->name, name,
                         (unsigned long long)part->bytes, (unsigned long long)bytes);
    if (part->is_quantized && (part->stored_type > TENSOR_BF16 || !tensor_types[part->type].from_float))
        return error_set(err, SAMPAN_EINVAL, "weight '%s': part '%s' cannot be quantised from type %d to %s", weight->name, name, (int)part->stored_type,
                         tensor_types[part->type].name);
    uint64_t stored = weight_part_stored_bytes(part);
    if (part->file && (part->offset > part->file->size || stored > part->file->size - part->offset))
        return error_set(err, SAMPAN_EINVAL, "weight '%s': part '%s' at offset %llu, %llu bytes, lies outside %s of %llu bytes", weight->name, name,
                         (unsigned long long)part->offset, (unsigned long long)stored, part->file->path, (unsigned long long)part->file->size);
    if (!part->file && !part->memory)
        return error_set(err, SAMPAN_EINVAL, "weight '%s': part '%s' has neither a file nor memory", weight->name, name);
    if (weight->segments > 1 && weight->unit_columns % tensor_types[part->type].block_elements)
        return error_set(err, SAMPAN_EINVAL, "weight '%s': segments of units of %d columns cut the blocks of %s, %d columns", weight->name,
                         weight->unit_columns, tensor_types[part->type].name, tensor_types[part->type].block_elements);
    return 0;
}

/* Of a shard: the whole it is a part of. */
static int check_shard(const struct logical_weight *weight, struct error *err)
{
    int32_t whole = weight->whole_segments;
    if (whole < weight->segments || whole > LIMIT_SPLIT_SEGMENTS || whole & (whole - 1) || weight->first_segment < 0 ||
        weight->first_segment > whole - weight->segments || weight->first_segment % weight->segments)
        return error_set(err, SAMPAN_EINVAL, "weight '%s' is segments %d to %d of %d, expected a run of a power of two's length at a multiple of it",
                         weight->name, weight->first_segment, weight->first_segment + weight->segments - 1, whole);
    if (weight->whole_columns < 1 || weight->whole_columns > LIMIT_VOCABULARY || weight->whole_columns % weight->unit_columns)
        return error_set(err, SAMPAN_EINVAL, "weight '%s' is a shard of %lld columns, which units of %d do not divide", weight->name,
                         (long long)weight->whole_columns, weight->unit_columns);
    int64_t first, last;
    weight_segment(weight, weight->segments - 1, &first, &last);
    if (last != weight->columns)
        return error_set(err, SAMPAN_EINVAL, "weight '%s' has %lld columns, its segments %lld", weight->name, (long long)weight->columns, (long long)last);
    return 0;
}

static int check_segments(const struct logical_weight *weight, struct error *err)
{
    int32_t segments = weight->segments;
    if (segments < 1 || segments > LIMIT_SPLIT_SEGMENTS || segments & (segments - 1) || (segments > 1 && weight->role != WEIGHT_LINEAR))
        return error_set(err, SAMPAN_EINVAL, "weight '%s' has %d segments, expected a power of two up to %d, and 1 unless it is a linear's", weight->name,
                         segments, LIMIT_SPLIT_SEGMENTS);
    if (weight->unit_columns < 1 || weight->columns % weight->unit_columns)
        return error_set(err, SAMPAN_EINVAL, "weight '%s': units of %d columns do not divide its %lld columns", weight->name, weight->unit_columns,
                         (long long)weight->columns);
    if (weight->whole_segments)
        return check_shard(weight, err);
    return weight->first_segment ? error_set(err, SAMPAN_EINVAL, "weight '%s' begins at segment %d of no whole", weight->name, weight->first_segment) : 0;
}

static int check_logical_weight(const struct logical_weight *weight, struct error *err)
{
    if (weight->rows < 1 || weight->rows > LIMIT_VOCABULARY || weight->columns < 1 || weight->columns > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_EINVAL, "weight '%s' is [%lld, %lld], expected 1 to %d each", weight->name, (long long)weight->rows,
                         (long long)weight->columns, LIMIT_VOCABULARY);
    if (weight->role != WEIGHT_VECTOR && weight->role != WEIGHT_LINEAR && weight->role != WEIGHT_EMBEDDING)
        return error_set(err, SAMPAN_EINVAL, "weight '%s' has an unknown role, %d", weight->name, (int)weight->role);
    if (weight->role == WEIGHT_VECTOR && weight->rows != 1)
        return error_set(err, SAMPAN_EINVAL, "weight '%s' is a vector with %lld rows", weight->name, (long long)weight->rows);
    int status = check_segments(weight, err);
    if (status)
        return status;
    if (weight->n_parts < 1 || !weight->parts)
        return error_set(err, SAMPAN_EINVAL, "weight '%s' has no parts", weight->name);
    int64_t rows = 0;
    for (int32_t p = 0; p < weight->n_parts; p++) {
        status = check_part(weight, &weight->parts[p], err);
        if (status)
            return status;
        if (weight->parts[p].rows > weight->rows - rows)
            return error_set(err, SAMPAN_EINVAL, "weight '%s': its parts have more than its %lld rows", weight->name, (long long)weight->rows);
        rows += weight->parts[p].rows;
    }
    if (rows != weight->rows)
        return error_set(err, SAMPAN_EINVAL, "weight '%s': its parts have %lld rows, expected %lld", weight->name, (long long)rows, (long long)weight->rows);
    return 0;
}

static int check_stream(const struct program_cache_group *group, const struct cache_stream *stream, struct error *err)
{
    if (stream->n_heads < 1 || stream->n_heads > LIMIT_HEADS)
        return error_set(err, SAMPAN_EINVAL, "cache group '%s' has %s of %d heads, expected 1 to %d", group->name, stream->name, stream->n_heads, LIMIT_HEADS);
    if (stream->width < 1 || stream->width > LIMIT_HEAD_WIDTH)
        return error_set(err, SAMPAN_EINVAL, "cache group '%s' has %s of %d elements, expected 1 to %d", group->name, stream->name, stream->width,
                         LIMIT_HEAD_WIDTH);
    return 0;
}

static int check_group(const struct program_cache_group *group, struct error *err)
{
    if ((int)group->kind < 0 || group->kind > CACHE_RECURRENT_STATE)
        return error_set(err, SAMPAN_EINVAL, "cache group '%s' has an unknown kind, %d", group->name, (int)group->kind);
    if (group->n_layers < 1 || group->n_layers > LIMIT_LAYERS)
        return error_set(err, SAMPAN_EINVAL, "cache group '%s' has %d layers, expected 1 to %d", group->name, group->n_layers, LIMIT_LAYERS);
    bool is_attention = group->kind == CACHE_FULL_ATTENTION || group->kind == CACHE_SLIDING_WINDOW;
    if (group->n_streams < 1 || group->n_streams > CACHE_MAX_STREAMS || (is_attention && group->n_streams != 2))
        return error_set(err, SAMPAN_EINVAL, "cache group '%s' has %d streams, expected %s", group->name, group->n_streams,
                         is_attention ? "keys and values" : "1 to 4");
    for (int32_t i = 0; i < group->n_streams; i++) {
        int status = check_stream(group, &group->streams[i], err);
        if (status)
            return status;
    }
    if (is_attention && group->streams[CACHE_KEYS].n_heads != group->streams[CACHE_VALUES].n_heads)
        return error_set(err, SAMPAN_EINVAL, "cache group '%s' has keys of %d heads and values of %d, expected as many", group->name,
                         group->streams[CACHE_KEYS].n_heads, group->streams[CACHE_VALUES].n_heads);
    if ((group->kind == CACHE_SLIDING_WINDOW) != (group->window != 0) || group->window < 0)
        return error_set(err, SAMPAN_EINVAL, "cache group '%s' has a window of %d positions, which does not fit its kind", group->name, group->window);
    return 0;
}

static int check_tables(const struct program *program, struct error *err)
{
    if (program->n_vocabulary < 1 || program->n_vocabulary > LIMIT_VOCABULARY || program->n_layers < 0 || program->n_layers > LIMIT_LAYERS ||
        program->context_length < 1 || program->context_length > LIMIT_CONTEXT)
        return error_set(err, SAMPAN_EINVAL, "vocabulary of %d, %d layers, context of %d: expected 1 to %d, 0 to %d, 1 to %d", program->n_vocabulary,
                         program->n_layers, program->context_length, LIMIT_VOCABULARY, LIMIT_LAYERS, LIMIT_CONTEXT);
    if (program->n_groups < 0 || program->n_groups > STEP_MAX_GROUPS)
        return error_set(err, SAMPAN_EINVAL, "%d cache groups, expected at most %d", program->n_groups, STEP_MAX_GROUPS);
    if (program->n_ops < 1 || program->n_buffers < 1 || program->n_weights < 0)
        return error_set(err, SAMPAN_EINVAL, "it has %d operations over %d buffers", program->n_ops, program->n_buffers);
    for (int32_t b = 0; b < program->n_buffers; b++)
        if (program->buffers[b].width < 1 || program->buffers[b].width > LIMIT_VOCABULARY)
            return error_set(err, SAMPAN_EINVAL, "buffer '%s' is %d wide, expected 1 to %d", program->buffers[b].name, program->buffers[b].width,
                             LIMIT_VOCABULARY);
    for (int32_t w = 0; w < program->n_weights; w++) {
        int status = check_logical_weight(&program->weights[w], err);
        if (status)
            return status;
    }
    for (int32_t g = 0; g < program->n_groups; g++) {
        int status = check_group(&program->groups[g], err);
        if (status)
            return status;
    }
    return 0;
}

/* ---- Order: what is read was written. */

struct order {
    unsigned char *defined;                              /* [n_buffers] some operation writes it without reading it */
    unsigned char *written;                              /* [n_buffers] written by now */
    unsigned char cached[STEP_MAX_GROUPS][LIMIT_LAYERS]; /* keys and values written by now */
};

static bool contains(const int32_t *list, int32_t count, int32_t value)
{
    for (int32_t i = 0; i < count; i++)
        if (list[i] == value)
            return true;
    return false;
}

static void mark_defined(const struct program *program, unsigned char *defined)
{
    for (int32_t i = 0; i < program->n_ops; i++) {
        struct op_operands operands;
        op_get_operands(&program->ops[i], &operands);
        for (int32_t w = 0; w < operands.n_writes; w++)
            if (!contains(operands.reads, operands.n_reads, operands.writes[w]))
                defined[operands.writes[w]] = 1;
    }
}

int32_t program_count_inputs(const struct program *program, int32_t *first)
{
    int32_t count = 0;
    for (int32_t b = program->n_buffers - 1; b >= 0; b--) {
        bool is_read = false, is_defined = false;
        for (int32_t i = 0; i < program->n_ops && !is_defined; i++) {
            struct op_operands operands;
            op_get_operands(&program->ops[i], &operands);
            bool reads = contains(operands.reads, operands.n_reads, b);
            is_read = is_read || reads;
            is_defined = !reads && contains(operands.writes, operands.n_writes, b);
        }
        if (is_read && !is_defined) {
            *first = b;
            count++;
        }
    }
    return count;
}

static int check_op_order(const struct check *check, struct order *order)
{
    struct op_operands operands;
    op_get_operands(check->op, &operands);
    for (int32_t i = 0; i < operands.n_reads; i++)
        if (order->defined[operands.reads[i]] && !order->written[operands.reads[i]])
            return fail(check, "it reads buffer '%s', which is written only later", check->program->buffers[operands.reads[i]].name);
    for (int32_t i = 0; i < operands.n_writes; i++)
        order->written[operands.writes[i]] = 1;
    if (operands.group < 0)
        return 0;
    unsigned char *cached = &order->cached[operands.group][operands.layer];
    if (check->op->kind == OP_ATTENTION && !*cached)
        return fail(check, "it reads layer %d of cache group %d before keys and values of this step are in it", operands.layer, operands.group);
    if (check->op->kind == OP_ROPE_CACHE && *cached)
        return fail(check, "layer %d of cache group %d is written twice", operands.layer, operands.group);
    *cached = 1;
    return 0;
}

static int check_ops(const struct program *program, struct order *order, struct error *err)
{
    struct check check = {.program = program, .err = err};
    for (check.index = 0; check.index < program->n_ops; check.index++) {
        check.op = &program->ops[check.index];
        if ((int)check.op->kind < 0 || check.op->kind >= OP_KIND_COUNT)
            return fail(&check, "unknown kind of operation %d", (int)check.op->kind);
        if (check.op->layer < -1 || check.op->layer >= program->n_layers)
            return fail(&check, "it belongs to layer %d, but the program has %d", check.op->layer, program->n_layers);
        int status = op_checks[check.op->kind](&check);
        if (status)
            return status;
    }
    mark_defined(program, order->defined);
    for (check.index = 0; check.index < program->n_ops; check.index++) {
        check.op = &program->ops[check.index];
        int status = check_op_order(&check, order);
        if (status)
            return status;
    }
    return 0;
}

int program_check(const struct program *program, struct error *err)
{
    int status = check_tables(program, err);
    if (status) {
        error_prefix(err, "checking the program '%s'", program->name);
        return status;
    }
    struct order *order = mem_zalloc(sizeof *order);
    unsigned char *flags = mem_zalloc_array((size_t)program->n_buffers, 2);
    if (order && flags) {
        order->defined = flags;
        order->written = flags + program->n_buffers;
        status = check_ops(program, order, err);
    } else {
        status = error_no_memory(err, "checking a program");
    }
    mem_free(flags);
    mem_free(order);
    return status;
}
