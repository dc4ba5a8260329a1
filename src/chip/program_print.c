/* Reading a program aloud: sizes, buffers, caches, then one operation per line, as one would explain the model at a blackboard.
 *
 * Labels of operations inside layers may begin with "layer N "; the printer takes that off, so that layers that do the same read the same, and tells a
 * run of equal layers once. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "chip/program.h"

enum { PRINT_LIMIT = 64 << 20, LABEL_WIDTH = 28 };

/* What the printers of operations share. */
struct printer {
    const struct program *program;
    bool whole;
    struct buffer *out;
};

static void print_buffer(const struct printer *printer, int32_t buffer)
{
    const struct program_buffer *found = &printer->program->buffers[buffer];
    buffer_printf(printer->out, "%s[%d]", found->name, found->width);
}

/* "q4_1[1536 x 576]", "q4_1+q8_0[...]" for parts of several types, "bf16>q4_k[...]" where it is quantised while it loads,
 * "q4_1[576 x 1536, 8 segments of units of 32]" where it is split-stable. */
static void print_weight(const struct printer *printer, int32_t index)
{
    const struct logical_weight *weight = &printer->program->weights[index];
    for (int32_t p = 0; p < weight->n_parts; p++)
        if (p == 0 || weight->parts[p].type != weight->parts[p - 1].type)
            buffer_printf(printer->out, "%s%s%s%s", p ? "+" : "", weight->parts[p].is_quantized ? tensor_types[weight->parts[p].stored_type].name : "",
                          weight->parts[p].is_quantized ? ">" : "", tensor_types[weight->parts[p].type].name);
    buffer_append_char(printer->out, '[');
    if (weight->role != WEIGHT_VECTOR)
        buffer_printf(printer->out, "%" PRId64 " x ", weight->rows);
    buffer_printf(printer->out, "%" PRId64, weight->columns);
    if (weight->segments > 1)
        buffer_printf(printer->out, ", %d segments of units of %d", weight->segments, weight->unit_columns);
    buffer_append_char(printer->out, ']');
}

static void print_optional_weight(const struct printer *printer, const char *before, int32_t weight)
{
    if (weight < 0)
        return;
    buffer_append_string(printer->out, before);
    print_weight(printer, weight);
}

/* ---- Operations, one function each. */

static void print_embed(const struct printer *printer, const struct op *op)
{
    print_buffer(printer, op->embed.out);
    buffer_append_string(printer->out, " = rows of ");
    print_weight(printer, op->embed.table);
    if (op->embed.scale != 1.0f)
        buffer_printf(printer->out, " * %.9g", (double)op->embed.scale);
}

static void print_norm(const struct printer *printer, const struct op *op)
{
    if (op->norm.residual >= 0) {
        print_buffer(printer, op->norm.x);
        buffer_append_string(printer->out, " += ");
        print_buffer(printer, op->norm.residual);
        buffer_append_string(printer->out, "; ");
    }
    print_buffer(printer, op->norm.out);
    buffer_append_string(printer->out, " = rms(");
    print_buffer(printer, op->norm.x);
    buffer_append_string(printer->out, ")");
    print_optional_weight(printer, " * ", op->norm.weight);
    buffer_printf(printer->out, ", epsilon %.6g", (double)op->norm.epsilon);
}

static void print_linear(const struct printer *printer, const struct op *op)
{
    const struct op_linear *linear = &op->linear;
    for (int32_t i = 0; i < linear->n_outputs; i++) {
        buffer_append_string(printer->out, i ? ", " : "");
        print_buffer(printer, linear->outs[i]);
        buffer_append_string(printer->out, " = ");
        print_weight(printer, linear->weights[i]);
        print_optional_weight(printer, " + ", linear->biases[i]);
    }
    buffer_append_string(printer->out, " of ");
    print_buffer(printer, linear->x);
}

static void print_cache(const struct printer *printer, int32_t group, int32_t layer)
{
    buffer_printf(printer->out, "cache '%s'", printer->program->groups[group].name);
    if (printer->whole)
        buffer_printf(printer->out, " layer %d", layer);
}

static void print_rope_cache(const struct printer *printer, const struct op *op)
{
    const struct op_rope_cache *rope = &op->rope_cache;
    if (rope->query_norm >= 0 || rope->key_norm >= 0) {
        buffer_append_string(printer->out, "heads normed");
        print_optional_weight(printer, ", of query by ", rope->query_norm);
        print_optional_weight(printer, ", of key by ", rope->key_norm);
        buffer_printf(printer->out, ", epsilon %.6g; ", (double)rope->norm_epsilon);
    }
    if (rope->rotary_width) {
        print_buffer(printer, rope->query);
        buffer_append_string(printer->out, ", ");
        print_buffer(printer, rope->key);
        buffer_printf(printer->out, " rotated: %d of each head, %s, %.6g down to %.6g per position", rope->rotary_width,
                      rope->pairing == ROPE_ADJACENT ? "adjacent pairs" : "pairs of halves", rope->frequencies[0],
                      rope->frequencies[rope->rotary_width / 2 - 1]);
        if (rope->magnitude != 1.0f)
            buffer_printf(printer->out, ", magnitude %.9g", (double)rope->magnitude);
        buffer_append_string(printer->out, "; ");
    }
    print_cache(printer, rope->group, rope->layer);
    buffer_append_string(printer->out, " <- ");
    print_buffer(printer, rope->key);
    buffer_append_string(printer->out, ", ");
    print_buffer(printer, rope->value);
}

static void print_attention(const struct printer *printer, const struct op *op)
{
    const struct op_attention *attention = &op->attention;
    print_buffer(printer, attention->out);
    buffer_append_string(printer->out, " = attention of ");
    print_buffer(printer, attention->query);
    buffer_append_string(printer->out, " over ");
    print_cache(printer, attention->group, attention->layer);
    buffer_printf(printer->out, ": %d heads over %d, scale %.9g", attention->n_heads, printer->program->groups[attention->group].streams[CACHE_KEYS].n_heads,
                  (double)attention->scale);
    if (attention->window)
        buffer_printf(printer->out, ", the last %d positions", attention->window);
}

static void print_gated_activation(const struct printer *printer, const struct op *op)
{
    print_buffer(printer, op->gated.out);
    buffer_append_string(printer->out, " = silu(");
    print_buffer(printer, op->gated.gate);
    buffer_append_string(printer->out, ") * ");
    print_buffer(printer, op->gated.up);
}

static void print_select_rows(const struct printer *printer, const struct op *op)
{
    print_buffer(printer, op->select_rows.out);
    buffer_append_string(printer->out, " = rows of ");
    print_buffer(printer, op->select_rows.x);
    if (op->select_rows.residual >= 0) {
        buffer_append_string(printer->out, " + ");
        print_buffer(printer, op->select_rows.residual);
    }
}

static void print_logits(const struct printer *printer, const struct op *op)
{
    print_buffer(printer, op->logits.x);
    buffer_append_string(printer->out, " handed out");
    if (op->logits.hidden >= 0) {
        buffer_append_string(printer->out, ", or ");
        print_buffer(printer, op->logits.hidden);
        buffer_append_string(printer->out, " where hidden rows are wanted");
    }
}

static void (*const op_printers[OP_KIND_COUNT])(const struct printer *, const struct op *) = {
    [OP_EMBED] = print_embed,
    [OP_NORM] = print_norm,
    [OP_LINEAR] = print_linear,
    [OP_ROPE_CACHE] = print_rope_cache,
    [OP_ATTENTION] = print_attention,
    [OP_GATED_ACTIVATION] = print_gated_activation,
    [OP_SELECT_ROWS] = print_select_rows,
    [OP_LOGITS] = print_logits,
};

/* ---- Layers. */

/* The label without the "layer N " it may begin with. */
static const char *label_in_layer(const struct op *op)
{
    int layer, length = 0;
    return sscanf(op->label, "layer %9d %n", &layer, &length) == 1 && layer == op->layer ? op->label + length : op->label;
}

/* The end of the run of operations of one layer (or of none) that begins at `first`. */
static int32_t find_end(const struct program *program, int32_t first)
{
    int32_t end = first + 1;
    while (end < program->n_ops && program->ops[end].layer == program->ops[first].layer)
        end++;
    return end;
}

static void print_ops(const struct printer *printer, int32_t first, int32_t end)
{
    for (int32_t i = first; i < end; i++) {
        const struct op *op = &printer->program->ops[i];
        bool inside = op->layer >= 0;
        buffer_printf(printer->out, "%s%-*s  %-16s ", inside ? "    " : "  ", inside ? LABEL_WIDTH : LABEL_WIDTH + 2, label_in_layer(op),
                      op_kind_name(op->kind));
        op_printers[op->kind](printer, op);
        buffer_append_char(printer->out, '\n');
    }
}

/* Layers told so far: the text of the last one printed, and which equal ones follow it. */
struct folding {
    struct buffer text;
    int32_t printed;     /* layer, -1: none */
    int32_t first, last; /* equal layers after it; first > last: none */
};

static void close_folding(const struct printer *printer, struct folding *folding)
{
    if (folding->first == folding->last)
        buffer_printf(printer->out, "  layer %d as layer %d\n", folding->first, folding->printed);
    else if (folding->first < folding->last)
        buffer_printf(printer->out, "  layers %d to %d as layer %d\n", folding->first, folding->last, folding->printed);
    folding->first = 0;
    folding->last = -1;
}

static void print_layer(const struct printer *printer, struct folding *folding, int32_t layer, int32_t first, int32_t end)
{
    struct buffer text;
    buffer_init(&text, PRINT_LIMIT);
    const struct printer inner = {.program = printer->program, .whole = printer->whole, .out = &text};
    print_ops(&inner, first, end);
    bool is_equal = folding->printed >= 0 && !text.failed && text.length == folding->text.length && memcmp(text.data, folding->text.data, text.length) == 0;
    if (is_equal && !printer->whole) {
        folding->first = folding->first > folding->last ? layer : folding->first;
        folding->last = layer;
        buffer_free(&text);
        return;
    }
    close_folding(printer, folding);
    buffer_printf(printer->out, "  layer %d\n", layer);
    if (text.failed)
        printer->out->failed = printer->out->failed ? printer->out->failed : text.failed;
    else
        buffer_append(printer->out, text.data, text.length);
    buffer_free(&folding->text);
    folding->text = text;
    folding->printed = layer;
}

/* ---- The whole. */

static void print_sizes(const struct printer *printer)
{
    const struct program *program = printer->program;
    struct buffer *out = printer->out;
    buffer_printf(out, "%s: vocabulary %d, context %d\n", program->name, program->n_vocabulary, program->context_length);
    buffer_printf(out, "weights: %d, %" PRIu64 " bytes as published\n", program->n_weights, program_weight_bytes(program));
    for (int32_t g = 0; g < program->n_groups; g++) {
        const struct program_cache_group *group = &program->groups[g];
        buffer_printf(out, "cache '%s': %s", group->name, cache_kind_name(group->kind));
        if (group->window)
            buffer_printf(out, " of %d", group->window);
        buffer_printf(out, ", %d layers", group->n_layers);
        for (int32_t i = 0; i < group->n_streams; i++)
            buffer_printf(out, ", %s of %d x %d", group->streams[i].name, group->streams[i].n_heads, group->streams[i].width);
        buffer_append_string(out, "\n");
    }
    buffer_printf(out, "cache per token: %" PRIu64 " elements\n", program_cache_bytes_per_token(program, 1));
    buffer_append_string(out, "buffers:");
    for (int32_t b = 0; b < program->n_buffers; b++)
        buffer_printf(out, "%s %s[%d]%s", b ? "," : "", program->buffers[b].name, program->buffers[b].width,
                      program->buffers[b].rows == ROWS_LOGITS ? " (logit rows)" : "");
    buffer_append_string(out, "\noperations:\n");
}

void program_print(const struct program *program, bool whole, struct buffer *out)
{
    const struct printer printer = {.program = program, .whole = whole, .out = out};
    struct folding folding = {.printed = -1, .last = -1};
    buffer_init(&folding.text, PRINT_LIMIT);
    print_sizes(&printer);
    for (int32_t first = 0; first < program->n_ops;) {
        int32_t end = find_end(program, first), layer = program->ops[first].layer;
        if (layer >= 0) {
            print_layer(&printer, &folding, layer, first, end);
        } else {
            close_folding(&printer, &folding);
            print_ops(&printer, first, end);
        }
        first = end;
    }
    close_folding(&printer, &folding);
    buffer_free(&folding.text);
}
