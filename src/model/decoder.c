#include "model/decoder.h"

#include <string.h>

/* ---- Tables: sizes, tensors, names. */

enum decoder_size { SIZE_HIDDEN, SIZE_QUERY, SIZE_KEY, SIZE_HEAD, SIZE_VALUE, SIZE_ATTENDED, SIZE_FEED_FORWARD, SIZE_VOCABULARY, SIZE_COUNT };

/* Where a size comes from in GGUF and in config.json, for messages. */
static const char *const size_origins[SIZE_COUNT][2] = {
    [SIZE_HIDDEN] = {"embedding_length", "hidden_size"},
    [SIZE_QUERY] = {"attention.head_count * attention.key_length", "num_attention_heads * head_dim"},
    [SIZE_KEY] = {"attention.head_count_kv * attention.key_length", "num_key_value_heads * head_dim"},
    [SIZE_VALUE] = {"attention.head_count_kv * attention.value_length", "num_key_value_heads * head_dim"},
    [SIZE_ATTENDED] = {"attention.head_count * attention.value_length", "num_attention_heads * head_dim"},
    [SIZE_HEAD] = {"attention.key_length", "head_dim"},
    [SIZE_FEED_FORWARD] = {"feed_forward_length", "intermediate_size"},
    [SIZE_VOCABULARY] = {"vocab_size", "vocab_size"},
};

static int32_t size_of(const struct decoder *decoder, enum decoder_size size)
{
    const int32_t sizes[SIZE_COUNT] = {
        [SIZE_HIDDEN] = decoder->hidden,
        [SIZE_QUERY] = decoder->n_heads * decoder->key_width,
        [SIZE_KEY] = decoder->n_kv_heads * decoder->key_width,
        [SIZE_VALUE] = decoder->n_kv_heads * decoder->value_width,
        [SIZE_ATTENDED] = decoder->n_heads * decoder->value_width,
        [SIZE_HEAD] = decoder->key_width,
        [SIZE_FEED_FORWARD] = decoder->feed_forward,
        [SIZE_VOCABULARY] = decoder->n_vocabulary,
    };
    return sizes[size];
}

struct tensor_row {
    const char *gguf;         /* name without "blk.N." and ".weight" */
    const char *hugging_face; /* name without "model.layers.N." and ".weight" */
    bool is_per_layer;
    const char *label; /* for a person */
    enum weight_role role;
    enum decoder_size rows; /* of a linear or an embedding */
    enum decoder_size columns;
};

static const struct tensor_row tensor_rows[DECODER_TENSOR_COUNT] = {
    [DECODER_EMBEDDING] = {"token_embd", "model.embed_tokens", false, "token embedding", WEIGHT_EMBEDDING, SIZE_VOCABULARY, SIZE_HIDDEN},
    [DECODER_ATTENTION_NORM] = {"attn_norm", "input_layernorm", true, "attention norm", WEIGHT_VECTOR, SIZE_HIDDEN, SIZE_HIDDEN},
    [DECODER_QUERY] = {"attn_q", "self_attn.q_proj", true, "attention query", WEIGHT_LINEAR, SIZE_QUERY, SIZE_HIDDEN},
    [DECODER_KEY] = {"attn_k", "self_attn.k_proj", true, "attention key", WEIGHT_LINEAR, SIZE_KEY, SIZE_HIDDEN},
    [DECODER_VALUE] = {"attn_v", "self_attn.v_proj", true, "attention value", WEIGHT_LINEAR, SIZE_VALUE, SIZE_HIDDEN},
    [DECODER_ATTENTION_OUTPUT] = {"attn_output", "self_attn.o_proj", true, "attention output", WEIGHT_LINEAR, SIZE_HIDDEN, SIZE_ATTENDED},
    [DECODER_QUERY_NORM] = {"attn_q_norm", "self_attn.q_norm", true, "attention query norm", WEIGHT_VECTOR, SIZE_HEAD, SIZE_HEAD},
    [DECODER_KEY_NORM] = {"attn_k_norm", "self_attn.k_norm", true, "attention key norm", WEIGHT_VECTOR, SIZE_HEAD, SIZE_HEAD},
    [DECODER_FEED_FORWARD_NORM] = {"ffn_norm", "post_attention_layernorm", true, "feed-forward norm", WEIGHT_VECTOR, SIZE_HIDDEN, SIZE_HIDDEN},
    [DECODER_GATE] = {"ffn_gate", "mlp.gate_proj", true, "feed-forward gate", WEIGHT_LINEAR, SIZE_FEED_FORWARD, SIZE_HIDDEN},
    [DECODER_UP] = {"ffn_up", "mlp.up_proj", true, "feed-forward up", WEIGHT_LINEAR, SIZE_FEED_FORWARD, SIZE_HIDDEN},
    [DECODER_DOWN] = {"ffn_down", "mlp.down_proj", true, "feed-forward down", WEIGHT_LINEAR, SIZE_HIDDEN, SIZE_FEED_FORWARD},
    [DECODER_FINAL_NORM] = {"output_norm", "model.norm", false, "final norm", WEIGHT_VECTOR, SIZE_HIDDEN, SIZE_HIDDEN},
    [DECODER_HEAD] = {"output", "lm_head", false, "output head", WEIGHT_LINEAR, SIZE_VOCABULARY, SIZE_HIDDEN},
};

/* ---- Adding weights and operations. */

static int32_t keep_failure(struct decoder_writer *writer, int status)
{
    if (!writer->status)
        writer->status = status;
    return -1;
}

const char *decoder_tensor_name(const struct checkpoint *checkpoint, struct arena *arena, enum decoder_tensor tensor, int32_t layer, const char *suffix)
{
    const struct tensor_row *row = &tensor_rows[tensor];
    bool is_gguf = checkpoint->kind == CHECKPOINT_GGUF;
    const char *name = is_gguf ? row->gguf : row->hugging_face;
    return row->is_per_layer ? arena_printf(arena, "%s.%d.%s.%s", is_gguf ? "blk" : "model.layers", layer, name, suffix)
                             : arena_printf(arena, "%s.%s", name, suffix);
}

static const char *tensor_name(struct decoder_writer *writer, enum decoder_tensor tensor, const char *suffix)
{
    const char *name = decoder_tensor_name(writer->source->checkpoint, writer->arena, tensor, writer->layer, suffix);
    if (!name)
        keep_failure(writer, error_no_memory(writer->err, "writing a program"));
    return name;
}

/* "layer 3 attention query", or just the label outside layers. */
static const char *layer_label(struct decoder_writer *writer, const char *label, const char *suffix)
{
    const char *text =
        writer->layer >= 0 ? arena_printf(writer->arena, "layer %d %s%s", writer->layer, label, suffix) : arena_printf(writer->arena, "%s%s", label, suffix);
    if (!text)
        keep_failure(writer, error_no_memory(writer->err, "writing a program"));
    return text;
}

static int32_t least_common_multiple(int32_t a, int32_t b)
{
    int32_t x = a, y = b;
    while (y) {
        int32_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static int32_t add_named_weight(struct decoder_writer *writer, const char *label, const char *name, const struct weight_shape *shape, int32_t unit_columns)
{
    struct weight_part part;
    if (writer->status || !label || !name)
        return -1;
    int status = model_source_get_part(writer->source, name, shape, &part, writer->err);
    if (status)
        return keep_failure(writer, status);
    struct logical_weight weight = {
        .name = label,
        .role = shape->role,
        .rows = part.rows,
        .columns = part.columns,
        .n_parts = 1,
        .parts = &part,
        .segments = unit_columns ? writer->segments : 1,
        .unit_columns = unit_columns ? least_common_multiple(unit_columns, tensor_types[part.type].block_elements) : (int32_t)part.columns,
    };
    return program_add_weight(writer->builder, &weight);
}

static struct weight_shape shape_of(const struct decoder_writer *writer, const struct tensor_row *row)
{
    enum checkpoint_kind kind = writer->source->checkpoint->kind;
    return (struct weight_shape){
        .role = row->role,
        .rows = size_of(writer->decoder, row->rows),
        .columns = size_of(writer->decoder, row->columns),
        .is_vocabulary = row->rows == SIZE_VOCABULARY,
        .rows_from = size_origins[row->rows][kind],
        .columns_from = size_origins[row->columns][kind],
    };
}

int32_t decoder_add_weight(struct decoder_writer *writer, enum decoder_tensor tensor, int32_t unit_columns)
{
    const struct weight_shape shape = shape_of(writer, &tensor_rows[tensor]);
    return add_named_weight(writer, layer_label(writer, tensor_rows[tensor].label, ""), tensor_name(writer, tensor, "weight"), &shape, unit_columns);
}

int32_t decoder_add_bias(struct decoder_writer *writer, enum decoder_tensor tensor)
{
    const char *name = tensor_name(writer, tensor, "bias");
    if (!name || !checkpoint_find_tensor(writer->source->checkpoint, name))
        return -1;
    struct weight_shape shape = shape_of(writer, &tensor_rows[tensor]);
    shape.role = WEIGHT_VECTOR;
    shape.columns = shape.rows;
    shape.columns_from = shape.rows_from;
    return add_named_weight(writer, layer_label(writer, tensor_rows[tensor].label, " bias"), name, &shape, 0);
}

void decoder_add_op(struct decoder_writer *writer, const char *label, struct op *op)
{
    op->label = layer_label(writer, label, "");
    if (writer->status)
        return;
    program_set_layer(writer->builder, writer->layer);
    program_add_op(writer->builder, op);
}

void decoder_add_linear(struct decoder_writer *writer, const char *label, int32_t x, int32_t n, const enum decoder_tensor *tensors, const int32_t *outs,
                        int32_t unit_columns)
{
    struct op op = {.kind = OP_LINEAR, .linear = {.x = x, .n_outputs = n}};
    for (int32_t i = 0; i < n; i++) {
        op.linear.weights[i] = decoder_add_weight(writer, tensors[i], unit_columns);
        op.linear.biases[i] = decoder_add_bias(writer, tensors[i]);
        op.linear.outs[i] = outs[i];
    }
    decoder_add_op(writer, label, &op);
}

static void add_norm(struct decoder_writer *writer, enum decoder_tensor tensor, int32_t x, int32_t residual, int32_t out)
{
    struct op op = {.kind = OP_NORM, .norm = {.kind = NORM_RMS, .x = x, .residual = residual, .out = out, .epsilon = writer->decoder->norm_epsilon}};
    op.norm.weight = decoder_add_weight(writer, tensor, 0);
    decoder_add_op(writer, tensor_rows[tensor].label, &op);
}

/* ---- The program. */

static void add_buffers(struct decoder_writer *writer)
{
    const struct {
        const char *name;
        enum decoder_size width;
        int32_t *index;
    } buffers[] = {
        {"hidden", SIZE_HIDDEN, &writer->hidden}, {"normed", SIZE_HIDDEN, &writer->normed},
        {"query", SIZE_QUERY, &writer->query},    {"key", SIZE_KEY, &writer->key},
        {"value", SIZE_VALUE, &writer->value},    {"attended", SIZE_ATTENDED, &writer->attended},
        {"branch", SIZE_HIDDEN, &writer->branch}, {"gate", SIZE_FEED_FORWARD, &writer->gate},
        {"up", SIZE_FEED_FORWARD, &writer->up},   {"activated", SIZE_FEED_FORWARD, &writer->activated},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        *buffers[i].index = program_add_buffer(writer->builder, buffers[i].name, size_of(writer->decoder, buffers[i].width), ROWS_TOKENS);
}

/* A GGUF without a head shares the embedding's tensor ("tied"): a second logical weight over the same bytes. */
static int32_t add_head_weight(struct decoder_writer *writer)
{
    const char *name = tensor_name(writer, DECODER_HEAD, "weight");
    const struct decoder *decoder = writer->decoder;
    if (!name)
        return -1;
    if (decoder->is_head_tied)
        model_source_find(writer->source, name); /* known, and not used */
    else if (decoder->is_head_required || checkpoint_find_tensor(writer->source->checkpoint, name))
        return decoder_add_weight(writer, DECODER_HEAD, 0);
    const struct weight_shape shape = shape_of(writer, &tensor_rows[DECODER_HEAD]);
    return add_named_weight(writer, "output head, tied to the embedding", tensor_name(writer, DECODER_EMBEDDING, "weight"), &shape, 0);
}

static void add_head(struct decoder_writer *writer)
{
    const struct decoder *decoder = writer->decoder;
    int32_t selected = program_add_buffer(writer->builder, "selected", decoder->hidden, ROWS_LOGITS);
    int32_t normed = program_add_buffer(writer->builder, "selected_normed", decoder->hidden, ROWS_LOGITS);
    int32_t logits = program_add_buffer(writer->builder, "logits", decoder->n_vocabulary, ROWS_LOGITS);
    struct op select = {.kind = OP_SELECT_ROWS, .select_rows = {.x = writer->hidden, .residual = writer->branch, .out = selected}};
    decoder_add_op(writer, "rows whose logits are wanted", &select);
    add_norm(writer, DECODER_FINAL_NORM, selected, -1, normed);
    struct op head = {.kind = OP_LINEAR, .linear = {.x = normed, .n_outputs = 1, .outs = {logits}}};
    head.linear.weights[0] = add_head_weight(writer);
    head.linear.biases[0] = decoder_add_bias(writer, DECODER_HEAD);
    decoder_add_op(writer, "output head", &head);
    struct op last = {.kind = OP_LOGITS, .logits = {.x = logits, .hidden = normed}};
    decoder_add_op(writer, "logits", &last);
}

bool decoder_layer_has_window(const struct decoder *decoder, int32_t layer)
{
    return decoder->window && (!decoder->has_window || decoder->has_window[layer]);
}

/* One cache group of the layers that see all positions, one of those with a window: only the latter may let old blocks go. */
static void add_groups(struct decoder_writer *writer)
{
    const struct decoder *decoder = writer->decoder;
    int32_t n_windowed = 0;
    for (int32_t layer = 0; layer < decoder->n_layers; layer++)
        n_windowed += decoder_layer_has_window(decoder, layer);
    struct program_cache_group group = {
        .name = "attention",
        .kind = CACHE_FULL_ATTENTION,
        .n_layers = decoder->n_layers - n_windowed,
        ATTENTION_STREAMS(decoder->n_kv_heads, decoder->key_width, decoder->value_width),
    };
    if (group.n_layers)
        writer->full_group = program_add_group(writer->builder, &group);
    if (!n_windowed)
        return;
    if (group.n_layers)
        group.name = "attention, window";
    group.kind = CACHE_SLIDING_WINDOW;
    group.window = decoder->window;
    group.n_layers = n_windowed;
    writer->window_group = program_add_group(writer->builder, &group);
}

static void choose_group(struct decoder_writer *writer)
{
    bool is_windowed = decoder_layer_has_window(writer->decoder, writer->layer);
    writer->group = is_windowed ? writer->window_group : writer->full_group;
    writer->group_layer = is_windowed ? writer->n_windowed : writer->layer - writer->n_windowed;
    writer->n_windowed += is_windowed;
}

static void add_operations(struct decoder_writer *writer)
{
    const struct decoder *decoder = writer->decoder;
    struct op embed = {.kind = OP_EMBED, .embed = {.out = writer->hidden, .scale = decoder->embed_scale}};
    embed.embed.table = decoder_add_weight(writer, DECODER_EMBEDDING, 0);
    decoder_add_op(writer, "token embedding", &embed);
    for (writer->layer = 0; writer->layer < decoder->n_layers && !writer->status; writer->layer++) {
        choose_group(writer);
        add_norm(writer, DECODER_ATTENTION_NORM, writer->hidden, writer->layer ? writer->branch : -1, writer->normed);
        attention_write(writer);
        add_norm(writer, DECODER_FEED_FORWARD_NORM, writer->hidden, writer->branch, writer->normed);
        feed_forward_write(writer);
    }
    writer->layer = -1;
    add_head(writer);
}

static int choose_segments(const struct decoder *decoder, const struct model_options *options, int32_t *segments, struct error *err)
{
    *segments = options && options->segments ? options->segments : decoder->hidden < 2048 ? 1 : 8;
    if (*segments < 1 || *segments > LIMIT_SPLIT_SEGMENTS || *segments & (*segments - 1))
        return error_set(err, SAMPAN_EINVAL, "%d segments of split-stable sums, expected a power of two up to %d", *segments, LIMIT_SPLIT_SEGMENTS);
    return 0;
}

/* Contradictions between sizes that no tensor's shape would show clearly. */
static int check_sizes(const struct decoder *decoder, struct error *err)
{
    if (decoder->n_heads % decoder->n_kv_heads)
        return error_set(err, SAMPAN_EFORMAT, "attention.head_count is %d, expected a multiple of attention.head_count_kv, %d", decoder->n_heads,
                         decoder->n_kv_heads);
    if (decoder->rotary_width % 2 || decoder->rotary_width > decoder->key_width)
        return error_set(err, SAMPAN_EFORMAT, "rope.dimension_count is %d, expected an even number of at most the head width %d (attention.key_length)",
                         decoder->rotary_width, decoder->key_width);
    return 0;
}

int decoder_write_program(const struct decoder *decoder, struct model_source *source, const struct model_options *options, struct arena *arena,
                          const struct program **program, struct error *err)
{
    struct decoder_writer writer = {.source = source, .decoder = decoder, .arena = arena, .layer = -1, .err = err};
    int status = check_sizes(decoder, err);
    if (!status)
        status = choose_segments(decoder, options, &writer.segments, err);
    if (status)
        return status;
    const char *name = arena_printf(arena, "%s, %d layers", source->checkpoint->architecture, decoder->n_layers);
    if (!name)
        return error_no_memory(err, "writing a program");
    status = program_builder_create(arena, name, &writer.builder, err);
    if (status)
        return status;
    add_buffers(&writer);
    add_groups(&writer);
    add_operations(&writer);
    if (writer.status)
        return writer.status;
    return program_builder_finish(writer.builder, decoder->n_vocabulary, decoder->n_layers, decoder->context_length, program, err);
}
