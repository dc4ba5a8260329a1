#include "port/ops_table.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "chip/chip.h"

/* One line of the table: an operation in a shape that models have, between the buffers it needs. Weights are described and never read. */
enum {
    MAX_LINES = 96,
    MAX_COLUMNS = 128,
    MAX_NOTES = 64,
    HIDDEN = 1024,
    HEADS = 16,
    KV_HEADS = 4,
    WINDOW = 4096,
    VOCABULARY = 32000,
    CONTEXT = 8192,
    PROGRAM_MEMORY = 1 << 20,
};

struct line {
    enum op_kind kind;
    enum tensor_type weight; /* of the table, vector or linear */
    enum tensor_type cache;
    int32_t head_width;
    bool window, norms;
    enum rope_pairing pairing;
    char text[64];
};

struct column {
    const struct chip_interface *chip;
    char first[32], last[32];         /* names of the profiles that answer alike */
    unsigned char answers[MAX_LINES]; /* 0: yes; else the number of a note */
};

struct table {
    int n_lines, n_columns, n_notes;
    struct line lines[MAX_LINES];
    struct column columns[MAX_COLUMNS];
    char notes[MAX_NOTES][ERROR_MESSAGE_SIZE];
};

/* ---- Lines. */

static struct line *add_line(struct table *table, enum op_kind kind)
{
    struct line *line = &table->lines[table->n_lines < MAX_LINES ? table->n_lines++ : MAX_LINES - 1];
    *line = (struct line){.kind = kind, .weight = TENSOR_F32, .cache = TENSOR_F16, .head_width = 64};
    return line;
}

static void add_weight_lines(struct table *table, enum op_kind kind, bool plain_only, const char *what)
{
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (!tensor_types[type].to_float || (plain_only && tensor_types[type].block_elements > 1))
            continue;
        struct line *line = add_line(table, kind);
        line->weight = (enum tensor_type)type;
        snprintf(line->text, sizeof line->text, "%s %s", tensor_types[type].name, what);
    }
}

static void add_cache_lines(struct table *table)
{
    static const enum tensor_type types[] = {TENSOR_F16, TENSOR_BF16, TENSOR_F32};
    static const int32_t widths[] = {32, 80, 96, 128, 192, 256};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct line *line = add_line(table, OP_ROPE_CACHE);
        line->cache = types[i];
        snprintf(line->text, sizeof line->text, "%s cache, pairs of halves", tensor_types[types[i]].name);
    }
    struct line *line = add_line(table, OP_ROPE_CACHE);
    line->pairing = ROPE_ADJACENT;
    snprintf(line->text, sizeof line->text, "f16 cache, adjacent pairs");
    line = add_line(table, OP_ROPE_CACHE);
    line->norms = true;
    snprintf(line->text, sizeof line->text, "f16 cache, query and key norms");
    for (size_t i = 0; i < 2 * sizeof types / sizeof types[0]; i++) {
        line = add_line(table, OP_ATTENTION);
        line->cache = types[i / 2];
        line->window = i % 2;
        snprintf(line->text, sizeof line->text, "%s cache, heads of 64%s", tensor_types[line->cache].name, line->window ? ", sliding window" : "");
    }
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        line = add_line(table, OP_ATTENTION);
        line->head_width = widths[i];
        snprintf(line->text, sizeof line->text, "f16 cache, heads of %d", widths[i]);
    }
}

static void list_lines(struct table *table)
{
    add_weight_lines(table, OP_EMBED, false, "table");
    add_weight_lines(table, OP_NORM, true, "weight");
    add_weight_lines(table, OP_LINEAR, false, "weight");
    add_cache_lines(table);
    snprintf(add_line(table, OP_GATED_ACTIVATION)->text, sizeof table->lines[0].text, "SwiGLU");
    snprintf(add_line(table, OP_SELECT_ROWS)->text, sizeof table->lines[0].text, "with a residual");
    snprintf(add_line(table, OP_LOGITS)->text, sizeof table->lines[0].text, "rows, argmax, top");
}

/* ---- The program of a line. */

static int32_t describe_weight(struct program_builder *builder, enum weight_role role, enum tensor_type type, int64_t rows, int64_t columns)
{
    struct weight_part part = {.name = "weight", .type = type, .memory = "", .rows = rows, .columns = columns};
    struct logical_weight weight = {.name = "weight",
                                    .role = role,
                                    .rows = rows,
                                    .columns = columns,
                                    .n_parts = 1,
                                    .parts = &part,
                                    .segments = 1,
                                    .unit_columns = tensor_types[type].block_elements};
    tensor_type_bytes(type, (uint64_t)rows, (uint64_t)columns, &part.bytes);
    return program_add_weight(builder, &weight);
}

static int32_t add_buffer(struct program_builder *builder, const char *name, int32_t width)
{
    return program_add_buffer(builder, name, width, ROWS_TOKENS);
}

static int32_t add_group(struct program_builder *builder, const struct line *line)
{
    struct program_cache_group group = {.name = "cache",
                                        .kind = line->window ? CACHE_SLIDING_WINDOW : CACHE_FULL_ATTENTION,
                                        .window = line->window ? WINDOW : 0,
                                        .n_layers = 1,
                                        ATTENTION_STREAMS(KV_HEADS, line->head_width, line->head_width)};
    return program_add_group(builder, &group);
}

static struct op write_rope(struct program_builder *builder, const struct line *line, const double *frequencies)
{
    return (struct op){.kind = OP_ROPE_CACHE,
                       .rope_cache = {.query = add_buffer(builder, "query", HEADS * line->head_width),
                                      .key = add_buffer(builder, "key", KV_HEADS * line->head_width),
                                      .value = add_buffer(builder, "value", KV_HEADS * line->head_width),
                                      .query_norm = line->norms ? describe_weight(builder, WEIGHT_VECTOR, TENSOR_F32, 1, line->head_width) : -1,
                                      .key_norm = line->norms ? describe_weight(builder, WEIGHT_VECTOR, TENSOR_F32, 1, line->head_width) : -1,
                                      .norm_epsilon = 1e-6f,
                                      .n_heads = HEADS,
                                      .rotary_width = line->head_width,
                                      .pairing = line->pairing,
                                      .frequencies = frequencies,
                                      .magnitude = 1,
                                      .group = add_group(builder, line)}};
}

/* Attention reads what a rope_cache before it has written: two operations, of which the last is asked about. */
static struct op write_attention(struct program_builder *builder, const struct line *line, const double *frequencies)
{
    struct op rope = write_rope(builder, line, frequencies);
    rope.label = "before it";
    program_add_op(builder, &rope);
    return (struct op){.kind = OP_ATTENTION,
                       .attention = {.query = rope.rope_cache.query,
                                     .out = add_buffer(builder, "out", HEADS * line->head_width),
                                     .n_heads = HEADS,
                                     .scale = 0.125f,
                                     .window = line->window ? WINDOW : 0,
                                     .group = rope.rope_cache.group}};
}

static struct op write_op(struct program_builder *builder, const struct line *line, const double *frequencies)
{
    int32_t x = add_buffer(builder, "x", HIDDEN), y = add_buffer(builder, "y", HIDDEN), logits;
    switch (line->kind) {
    case OP_EMBED: return (struct op){.kind = OP_EMBED, .embed = {describe_weight(builder, WEIGHT_EMBEDDING, line->weight, VOCABULARY, HIDDEN), y, 1}};
    case OP_NORM:
        return (struct op){.kind = OP_NORM,
                           .norm = {.kind = NORM_RMS,
                                    .x = x,
                                    .residual = add_buffer(builder, "residual", HIDDEN),
                                    .weight = describe_weight(builder, WEIGHT_VECTOR, line->weight, 1, HIDDEN),
                                    .out = y,
                                    .epsilon = 1e-5f}};
    case OP_LINEAR:
        return (struct op){
            .kind = OP_LINEAR,
            .linear = {
                .x = x, .n_outputs = 1, .weights = {describe_weight(builder, WEIGHT_LINEAR, line->weight, HIDDEN, HIDDEN)}, .biases = {-1}, .outs = {y}}};
    case OP_ROPE_CACHE: return write_rope(builder, line, frequencies);
    case OP_ATTENTION: return write_attention(builder, line, frequencies);
    case OP_GATED_ACTIVATION: return (struct op){.kind = OP_GATED_ACTIVATION, .gated = {ACTIVATION_SILU, x, add_buffer(builder, "up", HIDDEN), y}};
    case OP_SELECT_ROWS:
        return (struct op){.kind = OP_SELECT_ROWS,
                           .select_rows = {x, add_buffer(builder, "residual", HIDDEN), program_add_buffer(builder, "rows", HIDDEN, ROWS_LOGITS)}};
    case OP_LOGITS:
    case OP_KIND_COUNT: break;
    }
    logits = program_add_buffer(builder, "logits", VOCABULARY, ROWS_LOGITS);
    return (struct op){.kind = OP_LOGITS, .logits = {.x = logits, .hidden = -1}};
}

static int write_program(const struct line *line, struct arena *arena, const struct program **program, struct error *err)
{
    struct program_builder *builder;
    double *frequencies = arena_alloc_array(arena, (size_t)line->head_width, sizeof *frequencies);
    if (!frequencies)
        return error_no_memory(err, "writing the table of operations");
    int status = program_builder_create(arena, line->text, &builder, err);
    if (status)
        return status;
    for (int32_t i = 0; i < line->head_width; i++)
        frequencies[i] = 1.0 / (1 + i);
    struct op op = write_op(builder, line, frequencies);
    op.label = "operation";
    program_add_op(builder, &op);
    status = program_builder_finish(builder, VOCABULARY, 1, CONTEXT, program, err);
    return status ? error_prefix(err, "writing the table of operations, '%s'", line->text) : 0;
}

/* ---- Asking. */

static unsigned char note_number(struct table *table, const char *reason)
{
    int i = 0;
    while (i < table->n_notes && strcmp(table->notes[i], reason) != 0)
        i++;
    if (i == MAX_NOTES)
        return MAX_NOTES; /* the last note speaks for the rest */
    if (i == table->n_notes)
        snprintf(table->notes[table->n_notes++], sizeof table->notes[0], "%s", reason);
    return (unsigned char)(i + 1);
}

static int ask_line(struct table *table, int index, struct column *column, struct arena *arena, struct error *err)
{
    const struct line *line = &table->lines[index];
    const struct program *program = NULL;
    struct error refusal;
    int status = write_program(line, arena, &program, err);
    if (!status && program && column->chip->supports(column->first, program, &program->ops[program->n_ops - 1], line->cache, &refusal))
        column->answers[index] = note_number(table, refusal.message);
    return status;
}

static int ask_profile(struct table *table, const struct chip_interface *chip, const char *name, struct error *err)
{
    struct column *column = &table->columns[table->n_columns], *before = table->n_columns ? column - 1 : NULL;
    struct arena arena;
    int status = 0;
    if (table->n_columns == MAX_COLUMNS)
        return error_set(err, SAMPAN_ELIMIT, "writing the table of operations: more than %d profiles", MAX_COLUMNS);
    memset(column, 0, sizeof *column);
    column->chip = chip;
    snprintf(column->first, sizeof column->first, "%s", name);
    for (int i = 0; !status && i < table->n_lines; i++) {
        arena_init(&arena, PROGRAM_MEMORY);
        status = ask_line(table, i, column, &arena, err);
        arena_free(&arena);
    }
    if (before && before->chip == chip && memcmp(before->answers, column->answers, sizeof column->answers) == 0)
        snprintf(before->last, sizeof before->last, "%s", name);
    else
        table->n_columns++;
    return status;
}

static int ask_everyone(struct table *table, struct error *err)
{
    struct chip_profile *profiles = mem_alloc_array(CHIP_MAX_PROFILES, sizeof *profiles);
    int status = 0;
    if (!profiles)
        return error_no_memory(err, "writing the table of operations");
    for (size_t k = 0; !status && chip_registry[k]; k++) {
        int n = chip_registry[k]->profiles(profiles, CHIP_MAX_PROFILES);
        for (int i = 0; !status && i < n; i++)
            status = ask_profile(table, chip_registry[k], profiles[i].name, err);
    }
    mem_free(profiles);
    return status;
}

/* ---- Writing. */

static void write_table(const struct table *table, struct buffer *out)
{
    buffer_append_string(out, "| operation | with |");
    for (int c = 0; c < table->n_columns; c++) {
        const struct column *column = &table->columns[c];
        buffer_printf(out, " %s%s%s%s%s |", column->chip->kind, *column->first ? ":" : "", column->first, *column->last ? " to " : "", column->last);
    }
    buffer_append_string(out, "\n|---|---|");
    for (int c = 0; c < table->n_columns; c++)
        buffer_append_string(out, "---|");
    for (int i = 0; i < table->n_lines; i++) {
        bool again = i && table->lines[i].kind == table->lines[i - 1].kind;
        buffer_printf(out, "\n| %s | %s |", again ? "" : op_kind_name(table->lines[i].kind), table->lines[i].text);
        for (int c = 0; c < table->n_columns; c++) {
            if (table->columns[c].answers[i])
                buffer_printf(out, " no (%d) |", table->columns[c].answers[i]);
            else
                buffer_append_string(out, " yes |");
        }
    }
    buffer_append_string(out, "\n");
    for (int n = 0; n < table->n_notes; n++)
        buffer_printf(out, "\n(%d) %s\n", n + 1, table->notes[n]);
}

int port_write_ops_table(struct buffer *out, struct error *err)
{
    struct table *table = mem_zalloc(sizeof *table);
    if (!table)
        return error_no_memory(err, "writing the table of operations");
    list_lines(table);
    int status = ask_everyone(table, err);
    if (!status) {
        buffer_append_string(out,
                             "# Operations\n\nWhat each chip can run: operation by type and shape, as the chips themselves answer. Generated by `sampan check "
                             "--ops > docs/OPS.md`; a test fails when this file is\nstale. Operations are described in `src/chip/program.h`; `sampan check "
                             "MODEL` asks the same for every operation of a model.\n\n");
        write_table(table, out);
    }
    mem_free(table);
    return status ? status : out->failed;
}
