/* Weights onto the device: read by pread, converted and sent piece by piece; then turned into fractals in place by the vendor's operator. The host never
 * holds more than a piece. */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "chip/ascend/plan.h"
#include "chip/ascend/quantize.h"
#include "chip/weight_part.h"
#include "tensor/half.h"

#define PIECE_BYTES ((uint64_t)4 << 20) /* of published bytes read at once, at least one row */

/* What loading one plan's weights shares. */
struct loader {
    struct ascend_plan *plan;
    const struct progress *progress;
    uint64_t done, total;     /* published bytes */
    unsigned char *published; /* [published_room] */
    uint64_t published_room;
    float *row; /* [row_room] */
    int64_t row_room;
    unsigned char *out; /* device form of a piece, page-locked */
    uint64_t out_room;
    float *scales; /* [scales_room] of a piece */
    int64_t scales_room;
    struct error *err;
};

/* ---- Room. */

static void measure_part(const struct weight_part *part, struct loader *loader)
{
    uint64_t row_bytes = part->bytes / (uint64_t)part->rows, piece_rows = PIECE_BYTES / row_bytes;
    piece_rows = piece_rows == 0 ? 1 : piece_rows > (uint64_t)part->rows ? (uint64_t)part->rows : piece_rows;
    uint64_t out = piece_rows * (uint64_t)part->columns * 4; /* the widest form */
    loader->published_room = piece_rows * row_bytes > loader->published_room ? piece_rows * row_bytes : loader->published_room;
    loader->out_room = out > loader->out_room ? out : loader->out_room;
    loader->row_room = part->columns > loader->row_room ? part->columns : loader->row_room;
    loader->scales_room = (int64_t)piece_rows > loader->scales_room ? (int64_t)piece_rows : loader->scales_room;
}

static int make_room(struct loader *loader)
{
    const struct ascend_plan *plan = loader->plan;
    loader->out_room = 1 << 16;
    loader->row_room = 1;
    for (int32_t w = 0; w < plan->n_weights; w++) {
        if (plan->weights[w].n_members == 0 && (uint64_t)plan->weights[w].columns * 4 > loader->out_room)
            loader->out_room = (uint64_t)plan->weights[w].columns * 4;
        for (int32_t m = 0; m < plan->weights[w].n_members; m++)
            for (int32_t p = 0; p < plan->program->weights[plan->weights[w].members[m]].n_parts; p++)
                measure_part(&plan->program->weights[plan->weights[w].members[m]].parts[p], loader);
    }
    loader->published = mem_alloc(loader->published_room + 1);
    loader->row = mem_alloc_array((size_t)loader->row_room, sizeof *loader->row);
    loader->scales = mem_alloc_array((size_t)loader->scales_room + 1, sizeof *loader->scales);
    if (!loader->published || !loader->row || !loader->scales)
        return error_no_memory(loader->err, "loading weights");
    void *out = NULL;
    int code = plan->chip->library->allocate_host(&out, loader->out_room);
    loader->out = out;
    return code ? ascend_chip_fail(plan->chip, code, loader->err, "taking page-locked memory for weights (aclrtMallocHost)") : 0;
}

/* ---- Rows. */

static void narrow_row(const struct ascend_plan *plan, const float *row, int64_t n, uint16_t *out)
{
    if (plan->type == ACL_F16)
        for (int64_t i = 0; i < n; i++)
            out[i] = float_to_f16(row[i]);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = float_to_bf16(row[i]);
}

/* Published rows of one type, as bytes, into the device form at loader->out. */
static void convert_rows(struct loader *loader, const struct device_weight *weight, const struct weight_part *part, const unsigned char *bytes, int64_t n,
                         struct quantisation_error *error)
{
    uint64_t row_bytes = part->bytes / (uint64_t)part->rows;
    for (int64_t r = 0; r < n; r++) {
        float *row = weight->form == FORM_VECTOR32 ? (float *)(void *)loader->out : loader->row;
        tensor_types[part->type].to_float(bytes + (uint64_t)r * row_bytes, row, (size_t)part->columns);
        if (weight->form == FORM_INT8)
            ascend_quantize_row(row, part->columns, (int8_t *)loader->out + r * part->columns, &loader->scales[r], error);
        else if (weight->form != FORM_VECTOR32)
            narrow_row(loader->plan, row, part->columns, (uint16_t *)(void *)loader->out + r * part->columns);
    }
}

static size_t element_bytes(const struct ascend_plan *plan, const struct device_weight *weight)
{
    return weight->form == FORM_INT8 ? 1 : weight->form == FORM_VECTOR32 ? 4 : acl_type_bytes(plan->type);
}

/* Rows [first, first + n) of a part to rows from `to` on of the device weight (columns from `to` on of a vector). */
static int send_rows(struct loader *loader, struct device_weight *weight, const struct weight_part *part, int64_t first, int64_t n, int64_t to,
                     struct quantisation_error *error)
{
    struct ascend_plan *plan = loader->plan;
    uint64_t row_bytes = part->bytes / (uint64_t)part->rows, length = (uint64_t)n * row_bytes;
    int status = weight_part_read(part, first, n, loader->published, loader->err);
    if (status)
        return status;
    convert_rows(loader, weight, part, loader->published, n, error);
    bool is_vector = weight->form == FORM_VECTOR || weight->form == FORM_VECTOR32;
    uint64_t size = element_bytes(plan, weight), at = (uint64_t)to * (is_vector ? 1 : (uint64_t)weight->columns) * size;
    status = ascend_upload(plan->chip, (char *)weight->data + at, loader->out, (uint64_t)n * (uint64_t)part->columns * size, part->name, loader->err);
    if (!status && weight->form == FORM_INT8)
        status = ascend_upload(plan->chip, (float *)weight->scales + to, loader->scales, (uint64_t)n * sizeof(float), part->name, loader->err);
    loader->done += length;
    if (!status && loader->progress && loader->progress->report && loader->progress->report(loader->progress->self, loader->done, loader->total))
        status = error_set(loader->err, SAMPAN_ECANCELLED, "loading was stopped while reading tensor '%s'", part->name);
    return status;
}

static int send_member(struct loader *loader, struct device_weight *weight, const struct logical_weight *logical, int64_t to, struct quantisation_error *error)
{
    for (int32_t p = 0; p < logical->n_parts; p++) {
        const struct weight_part *part = &logical->parts[p];
        uint64_t row_bytes = part->bytes / (uint64_t)part->rows;
        int64_t piece = (int64_t)(PIECE_BYTES / row_bytes);
        piece = piece < 1 ? 1 : piece;
        for (int64_t first = 0; first < part->rows; first += piece) {
            int64_t n = part->rows - first < piece ? part->rows - first : piece;
            int status = send_rows(loader, weight, part, first, n, to, error);
            if (status)
                return status;
            to += n;
        }
    }
    return 0;
}

static int send_ones(struct loader *loader, struct device_weight *weight)
{
    for (int64_t i = 0; i < weight->columns; i++)
        ((uint16_t *)(void *)loader->out)[i] = loader->plan->type == ACL_F16 ? float_to_f16(1.0f) : float_to_bf16(1.0f);
    return ascend_upload(loader->plan->chip, weight->data, loader->out, (uint64_t)weight->columns * 2, "a norm without weight", loader->err);
}

/* ---- Fractals. */

static int turn_into_fractals(struct loader *loader, struct device_weight *weight)
{
    struct ascend_plan *plan = loader->plan;
    struct call_list calls;
    calls_init(&calls, plan->chip->library);
    calls.label = plan->program->weights[weight->members[0]].name;
    add_weight_to_nz(&calls, view_2d(weight->data, weight->form == FORM_INT8 ? ACL_I8 : plan->type, weight->rows, weight->columns));
    int status = calls_prepare(plan->chip, &calls, 0, false, loader->err);
    if (!status)
        status = ascend_workspace_reserve(plan, calls.workspace_bytes, loader->err);
    if (!status)
        status = call_run(plan->chip, &calls.calls[0], plan->workspace, plan->workspace_bytes, plan->stream, loader->err);
    if (!status) {
        int code = plan->chip->library->synchronize_stream(plan->stream, (int32_t)plan->chip->options.deadline_ms);
        if (code)
            status = ascend_chip_fail(plan->chip, code, loader->err, "turning '%s' into fractals", calls.label);
    }
    calls_free(&calls);
    return status;
}

static int load_weight(struct loader *loader, struct device_weight *weight)
{
    struct ascend_plan *plan = loader->plan;
    struct quantisation_error error = {0};
    const char *name = weight->n_members ? plan->program->weights[weight->members[0]].name : "a norm without weight";
    int status = ascend_memory_take(plan->chip, &plan->memory, weight->bytes, &weight->data, name, loader->err);
    if (!status && weight->scale_bytes)
        status = ascend_memory_take(plan->chip, &plan->memory, weight->scale_bytes, &weight->scales, name, loader->err);
    if (!status && weight->n_members == 0)
        status = send_ones(loader, weight);
    bool is_vector = weight->form == FORM_VECTOR || weight->form == FORM_VECTOR32;
    int64_t to = 0;
    for (int32_t m = 0; !status && m < weight->n_members; m++) {
        const struct logical_weight *logical = &plan->program->weights[weight->members[m]];
        status = send_member(loader, weight, logical, to, &error);
        to += is_vector ? logical->columns : logical->rows;
    }
    if (!status && (weight->form == FORM_FRACTALS || weight->form == FORM_INT8))
        status = turn_into_fractals(loader, weight);
    weight->error = ascend_relative_error(&error);
    return status;
}

int ascend_weights_load(struct ascend_plan *plan, const struct progress *progress, struct error *err)
{
    struct loader loader = {.plan = plan, .progress = progress, .total = program_weight_bytes(plan->program), .err = err};
    int status = make_room(&loader);
    for (int32_t w = 0; !status && w < plan->n_weights; w++)
        status = load_weight(&loader, &plan->weights[w]);
    if (loader.out)
        plan->chip->library->release_host(loader.out);
    mem_free(loader.published);
    mem_free(loader.row);
    mem_free(loader.scales);
    return status;
}
