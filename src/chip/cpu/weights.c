#include "chip/cpu/weights.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "chip/cpu/pack.h"
#include "chip/cpu/work.h"
#include "chip/weight_part.h"

#define PIECE_BYTES ((uint64_t)256 << 10) /* read at once by a worker; at least one row */

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

/* Panels need whole published blocks (of bf16: pairs) in every segment. */
static bool segments_fit(const struct logical_weight *weight, int64_t block)
{
    for (int32_t i = 0; weight->segments > 1 && i < weight->segments; i++) {
        int64_t first, last;
        if (weight_segment(weight, i, &first, &last) && (first % block || last % block))
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

static int64_t count_panels(const struct cpu_weight *weight)
{
    return (weight->rows + PANEL_OUTPUTS - 1) / PANEL_OUTPUTS;
}

/* Is the embedding i also a linear's weight? */
static bool is_tied(const struct program *program, int32_t i)
{
    for (int32_t j = 0; j < program->n_weights; j++) {
        if (program->weights[j].role == WEIGHT_LINEAR && same_parts(&program->weights[i], &program->weights[j]))
            return true;
    }
    return false;
}

static int lay_out_one(const struct logical_weight *logical, bool rows_only, struct cpu_weight *weight, struct error *err)
{
    enum tensor_type type = logical->parts[0].type;
    const int kind = panel_kind_of(type);
    const int64_t block = tensor_types[type].block_elements > 1 ? tensor_types[type].block_elements : 2;
    *weight = (struct cpu_weight){.rows = logical->rows,
                                  .columns = logical->columns,
                                  .type = type,
                                  .segments = logical->segments,
                                  .unit_columns = logical->unit_columns,
                                  .first_segment = logical->first_segment,
                                  .whole_segments = logical->whole_segments,
                                  .whole_columns = logical->whole_columns};
    weight->is_mapped = logical->role != WEIGHT_VECTOR && logical->n_parts == 1 && logical->parts[0].is_mapped;
    if (logical->role == WEIGHT_VECTOR) {
        weight->layout = LAYOUT_VECTOR;
        weight->n_bytes = (uint64_t)round_up(logical->rows * logical->columns, LANES) * sizeof(float);
    } else if (kind >= 0 && !rows_only && !weight->is_mapped && logical->columns % tensor_types[type].block_elements == 0 && segments_fit(logical, block)) {
        weight->layout = LAYOUT_PANELS;
        weight->kind = (enum panel_kind)kind;
        weight->panel_bytes = panel_bytes(weight->kind, logical->columns);
        weight->n_bytes = (uint64_t)(count_panels(weight) * weight->panel_bytes);
    } else {
        uint64_t row_bytes;
        weight->layout = LAYOUT_ROWS;
        if (!tensor_type_bytes(type, 1, (uint64_t)logical->columns, &row_bytes) ||
            !tensor_type_bytes(type, (uint64_t)logical->rows, (uint64_t)logical->columns, &weight->n_bytes))
            return error_set(err, SAMPAN_EINVAL, "%s: %lld columns are no whole number of %s blocks", logical->name, (long long)logical->columns,
                             tensor_types[type].name);
        weight->row_bytes = (int64_t)row_bytes;
        if (weight->is_mapped)
            weight->n_bytes = 0;
    }
    return 0;
}

int cpu_weights_lay_out(const struct program *program, struct cpu_weight *weights, uint64_t *total, struct error *err)
{
    *total = 0;
    for (int32_t i = 0; i < program->n_weights; i++) {
        int code = cpu_weight_supports(&program->weights[i], err);
        bool rows_only = program->weights[i].role == WEIGHT_EMBEDDING && !is_tied(program, i);
        if (!code)
            code = lay_out_one(&program->weights[i], rows_only, &weights[i], err);
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

struct weight_estimate cpu_weight_estimate(const struct cpu_weight *weight, int32_t i, bool products_of_bf16)
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
        estimate.form = weight->is_mapped ? "rows in the mapped file" : tensor_types[weight->type].name;
        break;
    case LAYOUT_PANELS:
        estimate.change = WEIGHT_REARRANGED;
        estimate.form = weight->kind >= PANEL_INTEGER_COUNT ? "panels of 16 outputs" : "panels of 16 outputs, integer products";
        estimate.rate = weight->kind < PANEL_INTEGER_COUNT ? RATE_INT8 : weight->kind == PANEL_BF16 && products_of_bf16 ? RATE_BF16 : RATE_F32;
        break;
    }
    return estimate;
}

/* ---- Loading */

static void store_rows(struct cpu_weight *weight, int64_t first_row, int64_t n_rows, const uint8_t *piece, int64_t row_bytes)
{
    for (int64_t r = 0; r < n_rows; r++, piece += row_bytes) {
        int64_t row = first_row + r;
        if (weight->layout == LAYOUT_VECTOR)
            tensor_types[weight->type].to_float(piece, (float *)(void *)weight->bytes + row * weight->columns, (size_t)weight->columns);
        else if (weight->layout == LAYOUT_ROWS)
            memcpy(weight->bytes + row * row_bytes, piece, (size_t)row_bytes);
        else
            panel_pack_row(weight->kind, piece, weight->columns, weight->bytes + row / PANEL_OUTPUTS * weight->panel_bytes, (int)(row % PANEL_OUTPUTS));
    }
}

struct loader {
    const struct program *program;
    struct cpu_weight *weights;
    const struct progress *progress;
    uint64_t total; /* published bytes */
    _Atomic uint64_t counted;
    atomic_bool stopped;
    int32_t n_workers;
    uint8_t *pieces; /* [n_workers][piece_bytes] */
    uint64_t piece_bytes;
    int *codes;           /* [n_workers] */
    struct error *errors; /* [n_workers] */
};

static int load_rows(const struct loader *loader, struct cpu_weight *weight, const struct logical_weight *logical, int64_t first, int64_t last, uint8_t *piece,
                     struct error *err)
{
    uint64_t row_bytes = 0;
    int64_t part_first = 0;
    int code = 0;
    tensor_type_bytes(weight->type, 1, (uint64_t)weight->columns, &row_bytes);
    const int64_t rows_at_once = (int64_t)(loader->piece_bytes / row_bytes);
    for (int32_t p = 0; p < logical->n_parts && !code; part_first += logical->parts[p++].rows) {
        int64_t end = part_first + logical->parts[p].rows < last ? part_first + logical->parts[p].rows : last;
        for (int64_t row = first > part_first ? first : part_first; row < end && !code; row += rows_at_once) {
            int64_t n = end - row < rows_at_once ? end - row : rows_at_once;
            code = weight_part_read(&logical->parts[p], row - part_first, n, piece, err);
            if (!code)
                store_rows(weight, row, n, piece, (int64_t)row_bytes);
        }
    }
    return code;
}

/* A worker's share of every weight, in whole panels. */
static void load_share(void *argument, int32_t worker)
{
    struct loader *loader = argument;
    int *code = &loader->codes[worker];
    struct error *err = &loader->errors[worker];
    for (int32_t i = 0; i < loader->program->n_weights && !*code && !atomic_load(&loader->stopped); i++) {
        struct cpu_weight *weight = &loader->weights[i];
        const struct logical_weight *logical = &loader->program->weights[i];
        int32_t first, last;
        if (weight->shared_with != i || weight->is_mapped)
            continue;
        share_work((int32_t)count_panels(weight), worker, loader->n_workers, &first, &last);
        int64_t end = (int64_t)last * PANEL_OUTPUTS < weight->rows ? (int64_t)last * PANEL_OUTPUTS : weight->rows;
        *code = load_rows(loader, weight, logical, (int64_t)first * PANEL_OUTPUTS, end, loader->pieces + (uint64_t)worker * loader->piece_bytes, err);
        if (*code)
            error_prefix(err, "loading %s", logical->name);
        uint64_t bytes = 0;
        tensor_type_bytes(weight->type, (uint64_t)(end - (int64_t)first * PANEL_OUTPUTS), (uint64_t)weight->columns, &bytes);
        uint64_t done = atomic_fetch_add(&loader->counted, bytes) + bytes;
        if (worker == 0 && !*code && loader->progress && loader->progress->report && loader->progress->report(loader->progress->self, done, loader->total))
            *code = error_set(err, SAMPAN_ECANCELLED, "loading the weights was stopped");
    }
    if (*code)
        atomic_store(&loader->stopped, true);
}

/* Bytes of the longest published row, and at least PIECE_BYTES. Fails where a row is no whole number of blocks. */
static int measure_piece(const struct program *program, uint64_t *piece_bytes, struct error *err)
{
    *piece_bytes = PIECE_BYTES;
    for (int32_t i = 0; i < program->n_weights; i++) {
        const struct logical_weight *logical = &program->weights[i];
        uint64_t row_bytes;
        if (!tensor_type_bytes(logical->parts[0].type, 1, (uint64_t)logical->columns, &row_bytes) || !row_bytes)
            return error_set(err, SAMPAN_EINVAL, "%s: %lld columns are no whole number of %s blocks", logical->name, (long long)logical->columns,
                             tensor_types[logical->parts[0].type].name);
        *piece_bytes = row_bytes > *piece_bytes ? row_bytes : *piece_bytes;
    }
    return 0;
}

static uint64_t owned_bytes(const struct program *program, const struct cpu_weight *weights)
{
    uint64_t total = 0, bytes;
    for (int32_t i = 0; i < program->n_weights; i++) {
        if (weights[i].shared_with == i && !weights[i].is_mapped &&
            tensor_type_bytes(weights[i].type, (uint64_t)weights[i].rows, (uint64_t)weights[i].columns, &bytes))
            total += bytes;
    }
    return total;
}

int cpu_weights_load(const struct program *program, struct cpu_weight *weights, struct pool *pool, const struct progress *progress, struct error *err)
{
    struct loader loader = {
        .program = program, .weights = weights, .progress = progress, .total = owned_bytes(program, weights), .n_workers = pool_n_workers(pool)};
    size_t n = (size_t)loader.n_workers;
    int code = measure_piece(program, &loader.piece_bytes, err);
    if (code)
        return code;
    loader.pieces = mem_alloc_array(n, loader.piece_bytes);
    loader.codes = mem_zalloc_array(n, sizeof *loader.codes);
    loader.errors = mem_zalloc_array(n, sizeof *loader.errors);
    if (loader.pieces && loader.codes && loader.errors) {
        pool_run(pool, load_share, &loader);
        for (size_t w = 0; w < n && !code; w++) {
            code = loader.codes[w];
            if (code && err)
                *err = loader.errors[w];
        }
    } else {
        code = error_no_memory(err, "reading the weights");
    }
    mem_free(loader.pieces);
    mem_free(loader.codes);
    mem_free(loader.errors);
    return code;
}

/* ---- Reading rows back (embedding) */

void cpu_weight_read_row(const struct cpu_weight *weight, int64_t row, float *out)
{
    if (weight->layout == LAYOUT_PANELS)
        panel_read_row(weight->kind, weight->bytes + row / PANEL_OUTPUTS * weight->panel_bytes, (int)(row % PANEL_OUTPUTS), weight->columns, out);
    else
        tensor_types[weight->type].to_float(weight->bytes + row * weight->row_bytes, out, (size_t)weight->columns);
}
