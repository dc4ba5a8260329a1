/* Programs as data: names and operands of operations, segments of split-stable sums, sizes, and the builder with which model/ and tests write a program.
 * program_check.c refuses a broken one, program_print.c reads it aloud. */
#include "chip/program.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- What an operation touches. */

const char *op_kind_name(enum op_kind kind)
{
    static const char *const names[OP_KIND_COUNT] = {
        [OP_EMBED] = "embed",
        [OP_NORM] = "norm",
        [OP_LINEAR] = "linear",
        [OP_ROPE_CACHE] = "rope_cache",
        [OP_ATTENTION] = "attention",
        [OP_GATED_ACTIVATION] = "gated_activation",
        [OP_SELECT_ROWS] = "select_rows",
        [OP_LOGITS] = "logits",
    };
    return (int)kind >= 0 && kind < OP_KIND_COUNT ? names[kind] : "unknown";
}

const char *cache_kind_name(enum cache_kind kind)
{
    static const char *const names[] = {
        [CACHE_FULL_ATTENTION] = "all positions", [CACHE_SLIDING_WINDOW] = "a window", [CACHE_LATENT] = "latent",
        [CACHE_SPARSE_INDEX] = "sparse index",    [CACHE_RECURRENT_STATE] = "state",
    };
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

static void add_read(struct op_operands *operands, int32_t buffer)
{
    if (buffer >= 0)
        operands->reads[operands->n_reads++] = buffer;
}

static void add_write(struct op_operands *operands, int32_t buffer)
{
    operands->writes[operands->n_writes++] = buffer;
}

static void add_weight(struct op_operands *operands, int32_t weight)
{
    if (weight >= 0)
        operands->weights[operands->n_weights++] = weight;
}

static void get_linear_operands(const struct op_linear *linear, struct op_operands *operands)
{
    int32_t n_outputs = linear->n_outputs < 0 ? 0 : linear->n_outputs > OP_LINEAR_MAX ? OP_LINEAR_MAX : linear->n_outputs;
    add_read(operands, linear->x);
    for (int32_t i = 0; i < n_outputs; i++) {
        add_weight(operands, linear->weights[i]);
        add_write(operands, linear->outs[i]);
    }
    for (int32_t i = 0; i < n_outputs; i++)
        add_weight(operands, linear->biases[i]);
}

static void get_rope_cache_operands(const struct op_rope_cache *rope, struct op_operands *operands)
{
    const int32_t buffers[] = {rope->query, rope->key, rope->value};
    for (size_t i = 0; i < 3; i++) {
        add_read(operands, buffers[i]);
        add_write(operands, buffers[i]); /* query rotated; key and value left in any state */
    }
    add_weight(operands, rope->query_norm);
    add_weight(operands, rope->key_norm);
    operands->group = rope->group;
    operands->layer = rope->layer;
}

void op_get_operands(const struct op *op, struct op_operands *operands)
{
    *operands = (struct op_operands){.group = -1, .layer = -1};
    switch (op->kind) {
    case OP_EMBED:
        add_weight(operands, op->embed.table);
        add_write(operands, op->embed.out);
        break;
    case OP_NORM:
        add_read(operands, op->norm.x);
        add_read(operands, op->norm.residual);
        if (op->norm.residual >= 0)
            add_write(operands, op->norm.x);
        add_weight(operands, op->norm.weight);
        add_write(operands, op->norm.out);
        break;
    case OP_LINEAR: get_linear_operands(&op->linear, operands); break;
    case OP_ROPE_CACHE: get_rope_cache_operands(&op->rope_cache, operands); break;
    case OP_ATTENTION:
        add_read(operands, op->attention.query);
        add_write(operands, op->attention.out);
        operands->group = op->attention.group;
        operands->layer = op->attention.layer;
        break;
    case OP_GATED_ACTIVATION:
        add_read(operands, op->gated.gate);
        add_read(operands, op->gated.up);
        add_write(operands, op->gated.out);
        break;
    case OP_SELECT_ROWS:
        add_read(operands, op->select_rows.x);
        add_read(operands, op->select_rows.residual);
        add_write(operands, op->select_rows.out);
        break;
    case OP_LOGITS:
        add_read(operands, op->logits.x);
        add_read(operands, op->logits.hidden);
        break;
    case OP_KIND_COUNT: break;
    }
}

/* ---- Sizes. */

static int32_t hidden_buffer(const struct program *program)
{
    const struct op *last = &program->ops[program->n_ops - 1];
    return last->kind == OP_LOGITS ? last->logits.hidden : -1;
}

int32_t program_head_begin(const struct program *program)
{
    int32_t hidden = hidden_buffer(program), begin = program->n_ops;
    for (int32_t i = 0; hidden >= 0 && i < program->n_ops; i++) {
        struct op_operands operands;
        op_get_operands(&program->ops[i], &operands);
        for (int32_t w = 0; w < operands.n_writes; w++)
            begin = operands.writes[w] == hidden ? i + 1 : begin;
    }
    return begin;
}

int32_t program_hidden_width(const struct program *program)
{
    int32_t hidden = hidden_buffer(program);
    return hidden >= 0 ? program->buffers[hidden].width : 0;
}

/* Where segment `i` of the whole begins. */
static int64_t segment_start(const struct logical_weight *weight, int64_t i)
{
    int64_t segments = weight->whole_segments ? weight->whole_segments : weight->segments;
    int64_t columns = weight->whole_segments ? weight->whole_columns : weight->columns;
    return i * (columns / weight->unit_columns) / segments * weight->unit_columns;
}

bool weight_segment(const struct logical_weight *weight, int32_t i, int64_t *first, int64_t *last)
{
    int64_t skipped = segment_start(weight, weight->first_segment);
    *first = segment_start(weight, weight->first_segment + i) - skipped;
    *last = segment_start(weight, weight->first_segment + i + 1) - skipped;
    return *first < *last;
}

bool weight_part_is_same(const struct weight_part *a, const struct weight_part *b)
{
    return a->file == b->file && a->offset == b->offset && a->memory == b->memory && a->bytes == b->bytes && a->type == b->type;
}

/* Only an embedding table is ever referred to twice (a tied head), so only those are compared. */
static bool is_tied_part(const struct program *program, const struct logical_weight *weight, const struct weight_part *part)
{
    if (weight->role != WEIGHT_LINEAR)
        return false;
    for (int32_t w = 0; w < program->n_weights; w++)
        for (int32_t p = 0; program->weights[w].role == WEIGHT_EMBEDDING && p < program->weights[w].n_parts; p++)
            if (weight_part_is_same(part, &program->weights[w].parts[p]))
                return true;
    return false;
}

static void append_type(char *types, size_t size, bool is_quantized, int stored, int type)
{
    size_t length = strlen(types);
    snprintf(types + length, size - length, "%s%s%s%s", length ? "+" : "", is_quantized ? tensor_types[stored].name : "", is_quantized ? ">" : "",
             tensor_types[type].name);
}

bool program_has_maps(const struct program *program)
{
    for (int32_t w = 0; w < program->n_weights; w++)
        for (int32_t p = 0; p < program->weights[w].n_parts; p++)
            if (program->weights[w].parts[p].is_mapped)
                return true;
    return false;
}

void program_describe_weights(const struct program *program, char *types, size_t size, int32_t *segments)
{
    bool used[TENSOR_TYPE_COUNT] = {false}, quantized[TENSOR_BF16 + 1][TENSOR_TYPE_COUNT] = {{false}};
    *segments = 1;
    for (int32_t w = 0; w < program->n_weights; w++) {
        const struct logical_weight *weight = &program->weights[w];
        *segments = weight->segments > *segments ? weight->segments : *segments;
        for (int32_t p = 0; weight->role != WEIGHT_VECTOR && p < weight->n_parts; p++) {
            const struct weight_part *part = &weight->parts[p];
            if (part->is_quantized)
                quantized[part->stored_type][part->type] = true;
            else
                used[part->type] = true;
        }
    }
    types[0] = '\0';
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (used[type])
            append_type(types, size, false, type, type);
        for (int stored = 0; stored <= TENSOR_BF16; stored++)
            if (quantized[stored][type])
                append_type(types, size, true, stored, type);
    }
}

uint64_t program_weight_bytes(const struct program *program)
{
    uint64_t bytes = 0;
    for (int32_t w = 0; w < program->n_weights; w++) {
        const struct logical_weight *weight = &program->weights[w];
        for (int32_t p = 0; p < weight->n_parts; p++)
            if (!is_tied_part(program, weight, &weight->parts[p]))
                bytes += weight->parts[p].bytes;
    }
    return bytes;
}

uint64_t cache_group_elements(const struct program_cache_group *group)
{
    uint64_t elements = 0;
    for (int32_t i = 0; i < group->n_streams; i++)
        elements += (uint64_t)group->streams[i].n_heads * (uint64_t)group->streams[i].width;
    return elements;
}

uint64_t program_cache_bytes_per_token(const struct program *program, int element_bytes)
{
    uint64_t elements = 0;
    for (int32_t g = 0; g < program->n_groups; g++)
        elements += (uint64_t)program->groups[g].n_layers * cache_group_elements(&program->groups[g]);
    return elements * (uint64_t)element_bytes;
}

/* ---- The builder: four growing lists in the arena. A list that grows is copied; the old copy stays in the arena (at most as much again). */

enum { BUILDER_MAX_ITEMS = 1 << 20 }; /* far above LIMIT_LAYERS times what one layer needs */

struct list {
    void *items;
    int32_t count;
    int32_t capacity;
};

struct program_builder {
    struct arena *arena;
    const char *name;
    struct list buffers; /* struct program_buffer */
    struct list weights; /* struct logical_weight */
    struct list groups;  /* struct program_cache_group */
    struct list ops;     /* struct op */
    int32_t layer;       /* of the operations being added, -1: none */
    int failed;          /* 0, or the code of the first failure */
};

int program_builder_create(struct arena *arena, const char *name, struct program_builder **builder, struct error *err)
{
    struct program_builder *made = arena_alloc(arena, sizeof *made);
    if (!made)
        return error_no_memory(err, "beginning a program");
    made->arena = arena;
    made->layer = -1;
    made->name = arena_strndup(arena, name, strlen(name));
    if (!made->name)
        return error_no_memory(err, "beginning a program");
    *builder = made;
    return 0;
}

/* Appends an item and returns its index, or -1 with `failed` set. */
static int32_t append_item(struct program_builder *builder, struct list *list, const void *item, size_t size)
{
    if (builder->failed)
        return -1;
    if (list->count == list->capacity) {
        if (list->count >= BUILDER_MAX_ITEMS) {
            builder->failed = SAMPAN_ELIMIT;
            return -1;
        }
        int32_t capacity = list->capacity ? 2 * list->capacity : 32;
        void *items = arena_alloc_array(builder->arena, (size_t)capacity, size);
        if (!items) {
            builder->failed = SAMPAN_ENOMEM;
            return -1;
        }
        if (list->count)
            memcpy(items, list->items, (size_t)list->count * size);
        list->items = items;
        list->capacity = capacity;
    }
    memcpy((char *)list->items + (size_t)list->count * size, item, size);
    return list->count++;
}

static const char *copy_text(struct program_builder *builder, const char *text)
{
    const char *copy = text ? arena_strndup(builder->arena, text, strlen(text)) : "";
    if (!copy && !builder->failed)
        builder->failed = SAMPAN_ENOMEM;
    return copy;
}

int32_t program_add_buffer(struct program_builder *builder, const char *name, int32_t width, enum buffer_rows rows)
{
    struct program_buffer buffer = {.name = copy_text(builder, name), .width = width, .rows = rows};
    return append_item(builder, &builder->buffers, &buffer, sizeof buffer);
}

int32_t program_add_weight(struct program_builder *builder, const struct logical_weight *weight)
{
    struct logical_weight copy = *weight;
    copy.name = copy_text(builder, weight->name);
    struct weight_part *parts = weight->n_parts > 0 ? arena_alloc_array(builder->arena, (size_t)weight->n_parts, sizeof *parts) : NULL;
    if (weight->n_parts > 0 && !parts) {
        builder->failed = builder->failed ? builder->failed : SAMPAN_ENOMEM;
        return -1;
    }
    for (int32_t i = 0; i < weight->n_parts; i++) {
        parts[i] = weight->parts[i];
        parts[i].name = copy_text(builder, weight->parts[i].name);
    }
    copy.parts = parts;
    return append_item(builder, &builder->weights, &copy, sizeof copy);
}

int32_t program_add_group(struct program_builder *builder, const struct program_cache_group *group)
{
    struct program_cache_group copy = *group;
    copy.name = copy_text(builder, group->name);
    for (int32_t i = 0; i < CACHE_MAX_STREAMS; i++)
        copy.streams[i].name = copy_text(builder, group->streams[i].name);
    return append_item(builder, &builder->groups, &copy, sizeof copy);
}

void program_set_layer(struct program_builder *builder, int32_t layer)
{
    builder->layer = layer;
}

void program_add_op(struct program_builder *builder, const struct op *op)
{
    struct op copy = *op;
    copy.layer = builder->layer;
    copy.label = copy_text(builder, op->label);
    append_item(builder, &builder->ops, &copy, sizeof copy);
}

int program_builder_finish(struct program_builder *builder, int32_t n_vocabulary, int32_t n_layers, int32_t context_length, const struct program **program,
                           struct error *err)
{
    if (builder->failed == SAMPAN_ELIMIT)
        return error_set(err, SAMPAN_ELIMIT, "writing the program '%s': more than %d entries in one of its lists", builder->name, BUILDER_MAX_ITEMS);
    struct program *made = builder->failed ? NULL : arena_alloc(builder->arena, sizeof *made);
    if (!made)
        return error_no_memory(err, "writing a program");
    *made = (struct program){
        .name = builder->name,
        .n_vocabulary = n_vocabulary,
        .n_layers = n_layers,
        .context_length = context_length,
        .n_buffers = builder->buffers.count,
        .buffers = builder->buffers.items,
        .n_weights = builder->weights.count,
        .weights = builder->weights.items,
        .n_groups = builder->groups.count,
        .groups = builder->groups.items,
        .n_ops = builder->ops.count,
        .ops = builder->ops.items,
    };
    int status = program_check(made, err);
    if (status)
        return status;
    *program = made;
    return 0;
}

static int copy_op(struct arena *arena, struct program_builder *builder, const struct op *op, struct error *err)
{
    struct op copy = *op;
    if (op->kind == OP_ROPE_CACHE && op->rope_cache.rotary_width) {
        size_t count = (size_t)op->rope_cache.rotary_width / 2;
        double *frequencies = arena_alloc_array(arena, count, sizeof *frequencies);
        if (!frequencies)
            return error_no_memory(err, "copying a program");
        memcpy(frequencies, op->rope_cache.frequencies, count * sizeof *frequencies);
        copy.rope_cache.frequencies = frequencies;
    }
    program_set_layer(builder, op->layer);
    program_add_op(builder, &copy);
    return 0;
}

int program_copy(struct arena *arena, const struct program *program, const struct program **copy, struct error *err)
{
    struct program_builder *builder = NULL;
    int status = program_builder_create(arena, program->name, &builder, err);
    if (status)
        return status;
    for (int32_t b = 0; b < program->n_buffers; b++)
        program_add_buffer(builder, program->buffers[b].name, program->buffers[b].width, program->buffers[b].rows);
    for (int32_t w = 0; w < program->n_weights; w++)
        program_add_weight(builder, &program->weights[w]);
    for (int32_t g = 0; g < program->n_groups; g++)
        program_add_group(builder, &program->groups[g]);
    for (int32_t i = 0; !status && i < program->n_ops; i++)
        status = copy_op(arena, builder, &program->ops[i], err);
    return status ? status : program_builder_finish(builder, program->n_vocabulary, program->n_layers, program->context_length, copy, err);
}
