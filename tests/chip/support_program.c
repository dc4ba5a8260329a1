#include "chip/support_program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tiny/random_blocks.h"

struct small_model_options small_model_defaults(void)
{
    return (struct small_model_options){
        .n_layers = 2,
        .hidden = 32,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_width = 8,
        .feed_forward = 64,
        .n_vocabulary = 50,
        .rotary_width = 8,
        .segments = 1,
        .type = TENSOR_F32,
        .pairing = ROPE_ADJACENT,
        .embed_scale = 1,
    };
}

/* What the writers of a small model share. */
struct writer {
    struct arena *arena;
    struct program_builder *builder;
    const struct small_model_options *options;
    struct random random;
    int32_t hidden, normed, query, key, value, attended, projected, gate, up, activated;
    int32_t groups[2];
    const double *frequencies;
};

static int32_t add_random(struct writer *writer, const char *name, enum weight_role role, int64_t rows, int64_t columns, int32_t segments, int32_t unit)
{
    enum tensor_type type = role == WEIGHT_LINEAR ? writer->options->type : TENSOR_F32;
    struct weight_part part = {.name = name, .type = type, .rows = rows, .columns = columns};
    assert_true(tensor_type_bytes(type, (uint64_t)rows, (uint64_t)columns, &part.bytes));
    void *memory = arena_alloc(writer->arena, part.bytes);
    assert_non_null(memory);
    random_weights(&writer->random, type, role == WEIGHT_LINEAR ? 1.5f / sqrtf((float)columns) : 1.0f, memory, (size_t)(rows * columns));
    part.memory = memory;
    struct logical_weight weight = {
        .name = name, .role = role, .rows = rows, .columns = columns, .n_parts = 1, .parts = &part, .segments = segments, .unit_columns = unit};
    return program_add_weight(writer->builder, &weight);
}

static int32_t add_linear_weight(struct writer *writer, const char *name, int64_t rows, int64_t columns)
{
    return add_random(writer, name, WEIGHT_LINEAR, rows, columns, 1, (int32_t)columns);
}

static int32_t add_vector(struct writer *writer, const char *name, int64_t columns)
{
    return add_random(writer, name, WEIGHT_VECTOR, 1, columns, 1, (int32_t)columns);
}

static int32_t add_bias(struct writer *writer, int64_t columns)
{
    return writer->options->biases ? add_vector(writer, "bias", columns) : -1;
}

static void add_norm(struct writer *writer, int32_t residual)
{
    struct op norm = {.kind = OP_NORM, .label = "norm"};
    norm.norm = (struct op_norm){.x = writer->hidden, .residual = residual, .out = writer->normed, .epsilon = 1e-5f};
    norm.norm.weight = add_vector(writer, "norm", writer->options->hidden);
    program_add_op(writer->builder, &norm);
}

static void add_attention(struct writer *writer, int32_t layer)
{
    const struct small_model_options *options = writer->options;
    int32_t width = options->n_heads * options->head_width, kv_width = options->n_kv_heads * options->head_width, hidden = options->hidden;
    int32_t windowed = options->window ? layer % 2 : 0, index = options->window ? layer / 2 : layer;

    struct op linear = {.kind = OP_LINEAR, .label = "query, key, value"};
    linear.linear = (struct op_linear){.x = writer->normed, .n_outputs = 3, .outs = {writer->query, writer->key, writer->value}};
    const int32_t widths[] = {width, kv_width, kv_width};
    for (int i = 0; i < 3; i++) {
        linear.linear.weights[i] = add_linear_weight(writer, "query, key or value", widths[i], hidden);
        linear.linear.biases[i] = add_bias(writer, widths[i]);
    }
    program_add_op(writer->builder, &linear);

    struct op rope = {.kind = OP_ROPE_CACHE, .label = "rope"};
    rope.rope_cache = (struct op_rope_cache){.query = writer->query,
                                             .key = writer->key,
                                             .value = writer->value,
                                             .query_norm = -1,
                                             .key_norm = -1,
                                             .norm_epsilon = 1e-6f,
                                             .n_heads = options->n_heads,
                                             .rotary_width = options->rotary_width,
                                             .pairing = options->pairing,
                                             .frequencies = writer->frequencies,
                                             .magnitude = 1,
                                             .group = writer->groups[windowed],
                                             .layer = index};
    if (options->head_norms) {
        rope.rope_cache.query_norm = add_vector(writer, "query norm", options->head_width);
        rope.rope_cache.key_norm = add_vector(writer, "key norm", options->head_width);
    }
    program_add_op(writer->builder, &rope);

    struct op attention = {.kind = OP_ATTENTION, .label = "attention"};
    attention.attention = (struct op_attention){.query = writer->query,
                                                .out = writer->attended,
                                                .n_heads = options->n_heads,
                                                .scale = 1 / sqrtf((float)options->head_width),
                                                .window = windowed ? options->window : 0,
                                                .group = writer->groups[windowed],
                                                .layer = index};
    program_add_op(writer->builder, &attention);

    struct op output = {.kind = OP_LINEAR, .label = "attention output"};
    output.linear = (struct op_linear){.x = writer->attended, .n_outputs = 1, .outs = {writer->projected}};
    output.linear.weights[0] = add_random(writer, "output", WEIGHT_LINEAR, hidden, width, options->segments, options->head_width);
    output.linear.biases[0] = add_bias(writer, hidden);
    program_add_op(writer->builder, &output);
}

static void add_feed_forward(struct writer *writer)
{
    const struct small_model_options *options = writer->options;
    struct op linear = {.kind = OP_LINEAR, .label = "gate, up"};
    linear.linear = (struct op_linear){.x = writer->normed, .n_outputs = 2, .biases = {-1, -1}, .outs = {writer->gate, writer->up}};
    for (int i = 0; i < 2; i++)
        linear.linear.weights[i] = add_linear_weight(writer, "gate or up", options->feed_forward, options->hidden);
    program_add_op(writer->builder, &linear);
    struct op gated = {.kind = OP_GATED_ACTIVATION, .label = "activation", .gated = {.gate = writer->gate, .up = writer->up, .out = writer->activated}};
    program_add_op(writer->builder, &gated);
    struct op down = {.kind = OP_LINEAR, .label = "down"};
    down.linear = (struct op_linear){.x = writer->activated, .n_outputs = 1, .outs = {writer->projected}};
    int32_t block = tensor_types[options->type].block_elements;
    down.linear.weights[0] = add_random(writer, "down", WEIGHT_LINEAR, options->hidden, options->feed_forward, options->segments, block);
    down.linear.biases[0] = add_bias(writer, options->hidden);
    program_add_op(writer->builder, &down);
}

static void add_head(struct writer *writer)
{
    const struct small_model_options *options = writer->options;
    int32_t selected = program_add_buffer(writer->builder, "selected", options->hidden, ROWS_LOGITS);
    int32_t normed = program_add_buffer(writer->builder, "selected, normed", options->hidden, ROWS_LOGITS);
    int32_t logits = program_add_buffer(writer->builder, "logits", options->n_vocabulary, ROWS_LOGITS);
    struct op select = {.kind = OP_SELECT_ROWS, .label = "select", .select_rows = {.x = writer->hidden, .residual = writer->projected, .out = selected}};
    program_add_op(writer->builder, &select);
    struct op norm = {.kind = OP_NORM, .label = "final norm", .norm = {.x = selected, .residual = -1, .weight = -1, .out = normed, .epsilon = 1e-5f}};
    norm.norm.weight = add_vector(writer, "final norm", options->hidden);
    program_add_op(writer->builder, &norm);
    struct op head = {.kind = OP_LINEAR, .label = "head"};
    head.linear = (struct op_linear){.x = normed, .n_outputs = 1, .biases = {-1}, .outs = {logits}};
    head.linear.weights[0] = add_linear_weight(writer, "head", options->n_vocabulary, options->hidden);
    program_add_op(writer->builder, &head);
    struct op last = {.kind = OP_LOGITS, .label = "logits", .logits = {.x = logits, .hidden = normed}};
    program_add_op(writer->builder, &last);
}

static void add_buffers(struct writer *writer)
{
    const struct small_model_options *options = writer->options;
    int32_t width = options->n_heads * options->head_width, kv_width = options->n_kv_heads * options->head_width;
    const struct {
        const char *name;
        int32_t width, *index;
    } buffers[] = {
        {"hidden", options->hidden, &writer->hidden},
        {"normed", options->hidden, &writer->normed},
        {"query", width, &writer->query},
        {"key", kv_width, &writer->key},
        {"value", kv_width, &writer->value},
        {"attended", width, &writer->attended},
        {"projected", options->hidden, &writer->projected},
        {"gate", options->feed_forward, &writer->gate},
        {"up", options->feed_forward, &writer->up},
        {"activated", options->feed_forward, &writer->activated},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        *buffers[i].index = program_add_buffer(writer->builder, buffers[i].name, buffers[i].width, ROWS_TOKENS);
}

const struct program *small_model_make(struct arena *arena, const struct small_model_options *options)
{
    struct error err = {0};
    struct writer writer = {.arena = arena, .options = options, .random = {.state = 1}};
    assert_int_equal(program_builder_create(arena, "small", &writer.builder, &err), 0);
    add_buffers(&writer);
    double *frequencies = arena_alloc_array(arena, (size_t)options->rotary_width / 2 + 1, sizeof *frequencies);
    for (int32_t i = 0; i < options->rotary_width / 2; i++)
        frequencies[i] = pow(10000, -2.0 * i / options->rotary_width);
    writer.frequencies = frequencies;
    struct program_cache_group group = {.name = "full",
                                        .kind = CACHE_FULL_ATTENTION,
                                        .n_layers = options->window ? (options->n_layers + 1) / 2 : options->n_layers,
                                        ATTENTION_STREAMS(options->n_kv_heads, options->head_width, options->head_width)};
    writer.groups[0] = program_add_group(writer.builder, &group);
    if (options->window) {
        group.name = "window";
        group.kind = CACHE_SLIDING_WINDOW;
        group.window = options->window;
        group.n_layers = options->n_layers / 2;
        writer.groups[1] = program_add_group(writer.builder, &group);
    }
    struct op embed = {.kind = OP_EMBED, .label = "embedding", .embed = {.out = writer.hidden, .scale = options->embed_scale}};
    embed.embed.table = add_random(&writer, "embedding", WEIGHT_EMBEDDING, options->n_vocabulary, options->hidden, 1, options->hidden);
    program_add_op(writer.builder, &embed);
    for (int32_t layer = 0; layer < options->n_layers; layer++) {
        program_set_layer(writer.builder, layer);
        add_norm(&writer, layer ? writer.projected : -1);
        add_attention(&writer, layer);
        add_norm(&writer, writer.projected);
        add_feed_forward(&writer);
    }
    program_set_layer(writer.builder, -1);
    add_head(&writer);
    const struct program *program = NULL;
    if (program_builder_finish(writer.builder, options->n_vocabulary, options->n_layers, 512, &program, &err))
        fail_msg("%s", err.message);
    return program;
}

int32_t add_values(struct program_builder *builder, const char *name, enum weight_role role, int64_t rows, int64_t columns, const float *values)
{
    struct weight_part part = {.name = name, .type = TENSOR_F32, .rows = rows, .columns = columns, .memory = values, .bytes = (uint64_t)(rows * columns) * 4};
    struct logical_weight weight = {
        .name = name, .role = role, .rows = rows, .columns = columns, .n_parts = 1, .parts = &part, .segments = 1, .unit_columns = (int32_t)columns};
    return program_add_weight(builder, &weight);
}

struct plan_limits small_limits(const struct program *program)
{
    struct plan_limits limits = {
        .max_tokens = 64, .max_sequences = 8, .max_logit_rows = 64, .max_context = 512, .block_tokens = 16, .cache_type = TENSOR_F32, .keep_buffers = true};
    for (int32_t g = 0; g < program->n_groups; g++)
        limits.n_blocks[g] = 64;
    return limits;
}

struct plan *make_plan(struct chip *chip, const struct program *program, const struct plan_limits *limits)
{
    struct error err = {0};
    struct plan *plan = NULL;
    if (chip->interface->plan_create(chip, program, limits, NULL, &plan, &err))
        fail_msg("%s", err.message);
    return plan;
}

void run_pieces(struct plan *plan, const struct program *program, int32_t block_tokens, const struct piece *pieces, int32_t n_pieces, float *logits)
{
    enum { ROWS = 512, SEQUENCES = 16, STRIDE = 64 };
    static int32_t ids[ROWS], positions[ROWS], rows[ROWS], wants[ROWS], tables[SEQUENCES * STRIDE], windows[SEQUENCES * STRIDE];
    int32_t window = program->n_groups > 1 ? program->groups[1].window : 0;
    int32_t row_starts[SEQUENCES + 1] = {0}, lengths[SEQUENCES], slots[SEQUENCES], n = 0;
    for (int32_t s = 0; s < n_pieces; s++) {
        for (int32_t i = 0; i < pieces[s].count; i++, n++) {
            ids[n] = pieces[s].tokens[pieces[s].first + i];
            positions[n] = pieces[s].first + i;
            rows[n] = n;
            wants[n] = WANT_LOGITS;
        }
        row_starts[s + 1] = n;
        lengths[s] = pieces[s].first + pieces[s].count;
        slots[s] = pieces[s].slot;
        for (int32_t i = 0; i < STRIDE; i++)
            tables[s * STRIDE + i] = i <= (lengths[s] - 1) / block_tokens ? pieces[s].blocks[i] : -1;
        for (int32_t i = 0; i < STRIDE; i++) /* blocks wholly before the window are absent */
            windows[s * STRIDE + i] = (i + 1) * block_tokens > pieces[s].first - window + 1 ? tables[s * STRIDE + i] : -1;
    }
    struct step step = {.n_tokens = n,
                        .token_ids = ids,
                        .positions = positions,
                        .n_sequences = n_pieces,
                        .row_starts = row_starts,
                        .lengths = lengths,
                        .slots = slots,
                        .n_groups = program->n_groups,
                        .n_logit_rows = n,
                        .logit_rows = rows,
                        .wants = wants};
    for (int32_t g = 0; g < program->n_groups; g++)
        step.tables[g] = (struct step_block_table){.blocks = g ? windows : tables, .stride = STRIDE};
    struct error err = {0};
    struct step_result result;
    if (plan->interface->plan_submit(plan, &step, &err) || plan->interface->plan_wait(plan, UINT64_MAX, &result, &err))
        fail_msg("%s", err.message);
    memcpy(logits, result.logits, (size_t)n * (size_t)program->n_vocabulary * sizeof *logits);
}
