#include "chip/cpu/weights.h"

#include <string.h>

#include "base/memory.h"
#include "chip/weight_part.h"
#include "tensor/half.h"

#define PIECE_BYTES (1u << 20) /* read at once; at least one panel's rows */

/* How the published block types map to panels. */
struct panel_type {
    enum tensor_type type;
    enum panel_kind kind;
    int code_offset; /* bytes of d [, m] [, fifth bits] before the codes */
    int high_bits;   /* offset of the fifth bits, 0: none */
};

static const struct panel_type panel_types[] = {
    {TENSOR_Q4_0, PANEL_U4, 2, 0},     {TENSOR_Q4_1, PANEL_U4_MIN, 4, 0}, {TENSOR_Q5_0, PANEL_U8, 6, 2},
    {TENSOR_Q5_1, PANEL_U8_MIN, 8, 4}, {TENSOR_Q8_0, PANEL_U8, 2, 0},
};

static const struct panel_type *find_panel_type(enum tensor_type type)
{
    for (size_t i = 0; i < sizeof panel_types / sizeof *panel_types; i++) {
        if (panel_types[i].type == type)
            return &panel_types[i];
    }
    return NULL;
}

static bool kind_has_min(enum panel_kind kind)
{
    return kind == PANEL_U4_MIN || kind == PANEL_U8_MIN;
}
static bool kind_is_wide(enum panel_kind kind)
{
    return kind == PANEL_U8 || kind == PANEL_U8_MIN;
}

static int64_t round_up(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

int cpu_weight_supports(const struct logical_weight *weight, struct error *err)
{
    for (int32_t i = 0; i < weight->n_parts; i++) {
        const struct weight_part *part = &weight->parts[i];
        if ((unsigned)part->type >= TENSOR_TYPE_COUNT || !tensor_types[part->type].to_float)
            return error_set(err, SAMPAN_EUNSUPPORTED, "%s (%s): the CPU chip has no conversion for this element type", weight->name, part->name);
        if (part->type != weight->parts[0].type)
            return error_set(err, SAMPAN_EUNSUPPORTED, "%s is made of parts of different types (%s and %s); the CPU chip needs one", weight->name,
                             tensor_types[weight->parts[0].type].name, tensor_types[part->type].name);
    }
    return 0;
}

/* Panels need whole blocks in every segment. */
static bool segments_fit_blocks(const struct logical_weight *weight)
{
    for (int32_t i = 0; weight->segments > 1 && i < weight->segments; i++) {
        int64_t first, last;
        if (weight_segment(weight, i, &first, &last) && (first % LINEAR_BLOCK || last % LINEAR_BLOCK))
            return false;
    }
    return true;
}

static bool same_parts(const struct logical_weight *a, const struct logical_weight *b)
{
    if (a->n_parts != b->n_parts || a->rows != b->rows || a->columns != b->columns)
        return false;
    for (int32_t i = 0; i < a->n_parts; i++) {
        const struct weight_part *p = &a->parts[i], *q = &b->parts[i];
        if (p->type != q->type || p->file != q->file || p->offset != q->offset || p->memory != q->memory || p->rows != q->rows)
            return false;
    }
    return true;
}

static int lay_out_one(const struct logical_weight *logical, struct cpu_weight *weight, struct error *err)
{
    enum tensor_type type = logical->parts[0].type;
    const struct panel_type *panel = find_panel_type(type);
    *weight = (struct cpu_weight){.rows = logical->rows,
                                  .columns = logical->columns,
                                  .type = type,
                                  .segments = logical->segments,
                                  .unit_columns = logical->unit_columns,
                                  .first_segment = logical->first_segment,
                                  .whole_segments = logical->whole_segments,
                                  .whole_columns = logical->whole_columns};
    if (logical->role == WEIGHT_VECTOR) {
        weight->layout = LAYOUT_VECTOR;
        weight->n_bytes = (uint64_t)round_up(logical->rows * logical->columns, LANES) * sizeof(float);
    } else if (panel && logical->columns % LINEAR_BLOCK == 0 && segments_fit_blocks(logical)) {
        weight->layout = LAYOUT_PANELS;
        weight->kind = panel->kind;
        weight->n_blocks = (int32_t)(logical->columns / LINEAR_BLOCK);
        weight->scale_area = round_up((int64_t)weight->n_blocks * (kind_has_min(panel->kind) ? 64 : 32), 64);
        weight->panel_bytes = weight->scale_area + (int64_t)weight->n_blocks * (kind_is_wide(panel->kind) ? 512 : 256);
        weight->n_bytes = (uint64_t)(round_up(logical->rows, PANEL_OUTPUTS) / PANEL_OUTPUTS * weight->panel_bytes);
    } else {
        uint64_t row_bytes;
        weight->layout = LAYOUT_ROWS;
        if (!tensor_type_bytes(type, 1, (uint64_t)logical->columns, &row_bytes) ||
            !tensor_type_bytes(type, (uint64_t)logical->rows, (uint64_t)logical->columns, &weight->n_bytes))
            return error_set(err, SAMPAN_EINVAL, "%s: %lld columns are no whole number of %s blocks", logical->name, (long long)logical->columns,
                             tensor_types[type].name);
        weight->row_bytes = (int64_t)row_bytes;
    }
    return 0;
}

int cpu_weights_lay_out(const struct program *program, struct cpu_weight *weights, uint64_t *total, struct error *err)
{
    *total = 0;
    for (int32_t i = 0; i < program->n_weights; i++) {
        int code = cpu_weight_supports(&program->weights[i], err);
        if (!code)
            code = lay_out_one(&program->weights[i], &weights[i], err);
        if (code)
            return code;
        weights[i].shared_with = i;
        for (int32_t j = 0; j < i && weights[i].layout != LAYOUT_VECTOR; j++) {
            if (weights[j].shared_with == j && weights[j].layout == weights[i].layout && same_parts(&program->weights[i], &program->weights[j]))
                weights[i].shared_with = j;
        }
        if (weights[i].shared_with == i)
            *total += (uint64_t)round_up((int64_t)weights[i].n_bytes, 64);
    }
    return 0;
}

struct weight_estimate cpu_weight_estimate(const struct cpu_weight *weight, int32_t i)
{
    struct weight_estimate estimate = {
        .bytes = weight->shared_with == i ? (weight->n_bytes + 63) / 64 * 64 : 0, .shared_with = weight->shared_with, .rate = RATE_F32, .passes = 1};
    switch (weight->layout) {
    case LAYOUT_VECTOR:
        estimate.change = weight->type == TENSOR_F32 ? WEIGHT_AS_PUBLISHED : WEIGHT_REARRANGED;
        estimate.form = "f32";
        break;
    case LAYOUT_ROWS:
        estimate.change = WEIGHT_AS_PUBLISHED;
        estimate.form = tensor_types[weight->type].name;
        break;
    case LAYOUT_PANELS:
        estimate.change = WEIGHT_REARRANGED;
        estimate.form = kind_is_wide(weight->kind) ? "panels of 8-bit codes" : "panels of 4-bit codes";
        estimate.rate = RATE_INT8;
        estimate.passes = INPUT_BLOCK_BYTES / (double)LINEAR_BLOCK; /* planes of the input */
        break;
    }
    return estimate;
}

/* ---- Packing */

static void store_word(uint8_t *codes, int register_index, int lane, const uint8_t bytes[4])
{
    memcpy(codes + (register_index * PANEL_OUTPUTS + lane) * 4, bytes, 4);
}

/* The fifth bit of column c of a Q5 block. */
static int fifth_bit(const uint8_t *bits, int column)
{
    return bits[column / 8] >> (column % 8) & 1;
}

static void pack_codes(const struct panel_type *panel, const uint8_t *block, uint8_t *codes, int lane)
{
    const uint8_t *published = block + panel->code_offset;
    if (panel->high_bits) {
        int offset = panel->kind == PANEL_U8 ? 128 - 16 : 0;
        for (int j = 0; j < 8; j++) {
            uint8_t word[4];
            for (int t = 0; t < 4; t++) {
                int column = 4 * j + t;
                int nibble = column < 16 ? published[column] & 15 : published[column - 16] >> 4;
                word[t] = (uint8_t)((nibble | fifth_bit(block + panel->high_bits, column) << 4) + offset);
            }
            store_word(codes, j, lane, word);
        }
    } else if (kind_is_wide(panel->kind)) {
        for (int j = 0; j < 8; j++) {
            uint32_t word;
            memcpy(&word, published + 4 * j, 4);
            word ^= 0x80808080u; /* int8 + 128 */
            memcpy(codes + (j * PANEL_OUTPUTS + lane) * 4, &word, 4);
        }
    } else {
        for (int j = 0; j < 4; j++)
            store_word(codes, j, lane, published + 4 * j);
    }
}

/* One published row into its lane of its panel. */
static void pack_row(const struct panel_type *panel, const struct cpu_weight *weight, int64_t row, const uint8_t *published)
{
    uint8_t *base = weight->bytes + row / PANEL_OUTPUTS * weight->panel_bytes;
    int lane = (int)(row % PANEL_OUTPUTS);
    bool has_min = kind_has_min(weight->kind);
    int64_t scale_step = has_min ? 64 : 32, code_step = kind_is_wide(weight->kind) ? 512 : 256;
    int block_bytes = tensor_types[panel->type].block_bytes;
    for (int32_t b = 0; b < weight->n_blocks; b++, published += block_bytes) {
        memcpy(base + b * scale_step + lane * 2, published, 2);
        if (has_min)
            memcpy(base + b * scale_step + 32 + lane * 2, published + 2, 2);
        pack_codes(panel, published, base + weight->scale_area + b * code_step, lane);
    }
}

static void store_rows(const struct panel_type *panel, struct cpu_weight *weight, int64_t first_row, int64_t n_rows, const uint8_t *piece, int64_t row_bytes)
{
    if (weight->layout == LAYOUT_VECTOR) {
        for (int64_t r = 0; r < n_rows; r++)
            tensor_types[weight->type].to_float(piece + r * row_bytes, (float *)(void *)weight->bytes + (first_row + r) * weight->columns,
                                                (size_t)weight->columns);
    } else if (weight->layout == LAYOUT_ROWS) {
        memcpy(weight->bytes + first_row * row_bytes, piece, (size_t)(n_rows * row_bytes));
    } else {
        for (int64_t r = 0; r < n_rows; r++)
            pack_row(panel, weight, first_row + r, piece + r * row_bytes);
    }
}

static int load_part(struct cpu_weight *weight, const struct weight_part *part, int64_t first_row, uint8_t *piece, int64_t piece_rows, int64_t row_bytes,
                     struct error *err)
{
    const struct panel_type *panel = weight->layout == LAYOUT_PANELS ? find_panel_type(weight->type) : NULL;
    for (int64_t row = 0; row < part->rows; row += piece_rows) {
        int64_t n = part->rows - row < piece_rows ? part->rows - row : piece_rows;
        int code = weight_part_read(part, row, n, piece, err);
        if (code)
            return code;
        store_rows(panel, weight, first_row + row, n, piece, row_bytes);
    }
    return 0;
}

int cpu_weight_load(const struct program *program, struct cpu_weight *weights, int32_t i, uint64_t *counted, const struct progress *progress, uint64_t total,
                    struct error *err)
{
    const struct logical_weight *logical = &program->weights[i];
    struct cpu_weight *weight = &weights[i];
    uint64_t row_bytes;
    if (!tensor_type_bytes(weight->type, 1, (uint64_t)weight->columns, &row_bytes) || !row_bytes)
        return error_set(err, SAMPAN_EINVAL, "%s: %lld columns are no whole number of %s blocks", logical->name, (long long)weight->columns,
                         tensor_types[weight->type].name);
    int64_t piece_rows = PIECE_BYTES / row_bytes ? (int64_t)(PIECE_BYTES / row_bytes) : 1;
    if (piece_rows > weight->rows)
        piece_rows = weight->rows;
    uint8_t *piece = mem_alloc_array((size_t)piece_rows, (size_t)row_bytes);
    if (!piece)
        return error_no_memory(err, "reading a weight");
    int code = 0;
    int64_t first_row = 0;
    for (int32_t p = 0; p < logical->n_parts && !code; p++) {
        code = load_part(weight, &logical->parts[p], first_row, piece, piece_rows, (int64_t)row_bytes, err);
        first_row += logical->parts[p].rows;
        *counted += (uint64_t)logical->parts[p].rows * row_bytes;
        if (!code && progress && progress->report && progress->report(progress->self, *counted, total))
            code = error_set(err, SAMPAN_ECANCELLED, "loading the weights was stopped");
    }
    mem_free(piece);
    return code ? code : 0;
}

/* ---- Reading rows back (embedding) */

static void read_panel_row(const struct cpu_weight *weight, int64_t row, float *out)
{
    const uint8_t *base = weight->bytes + row / PANEL_OUTPUTS * weight->panel_bytes;
    int lane = (int)(row % PANEL_OUTPUTS);
    bool has_min = kind_has_min(weight->kind), wide = kind_is_wide(weight->kind);
    int bias = has_min ? 0 : wide ? 128 : 8;
    for (int32_t b = 0; b < weight->n_blocks; b++, out += LINEAR_BLOCK) {
        uint16_t halves[2] = {0, 0};
        const uint8_t *scales = base + (int64_t)b * (has_min ? 64 : 32) + lane * 2;
        const uint8_t *codes = base + weight->scale_area + (int64_t)b * (wide ? 512 : 256) + lane * 4;
        memcpy(&halves[0], scales, 2);
        if (has_min)
            memcpy(&halves[1], scales + 32, 2);
        float d = f16_to_float(halves[0]), m = f16_to_float(halves[1]);
        for (int c = 0; c < LINEAR_BLOCK; c++) {
            int byte = codes[(wide ? c : c % 16) / 4 * 64 + c % 4];
            int code = wide ? byte : c < 16 ? byte & 15 : byte >> 4;
            float value = (float)(code - bias) * d;
            out[c] = has_min ? value + m : value;
        }
    }
}

void cpu_weight_read_row(const struct cpu_weight *weight, int64_t row, float *out)
{
    if (weight->layout == LAYOUT_PANELS)
        read_panel_row(weight, row, out);
    else
        tensor_types[weight->type].to_float(weight->bytes + row * weight->row_bytes, out, (size_t)weight->columns);
}
