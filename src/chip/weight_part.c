#include "chip/weight_part.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

#define PIECE_BYTES (256u << 10) /* of stored rows, converted at a time */

static uint64_t row_bytes(enum tensor_type type, int64_t columns)
{
    uint64_t bytes = 0;
    tensor_type_bytes(type, 1, (uint64_t)columns, &bytes); /* program_check has seen that it fits */
    return bytes;
}

static enum tensor_type stored_type(const struct weight_part *part)
{
    return part->is_quantized ? part->stored_type : part->type;
}

uint64_t weight_part_stored_bytes(const struct weight_part *part)
{
    uint64_t bytes = UINT64_MAX;
    tensor_type_bytes(stored_type(part), (uint64_t)part->rows, (uint64_t)part->columns, &bytes);
    return bytes;
}

static int read_stored(const struct weight_part *part, int64_t first_row, int64_t n_rows, void *destination, struct error *err)
{
    uint64_t each = row_bytes(stored_type(part), part->columns), offset = (uint64_t)first_row * each;
    if (!part->file) {
        memcpy(destination, (const char *)part->memory + offset, (size_t)n_rows * (size_t)each);
        return 0;
    }
    int status = file_read(part->file, part->offset + offset, destination, (size_t)n_rows * (size_t)each, err);
    if (status)
        error_prefix(err, "reading tensor '%s'", part->name ? part->name : "");
    return status;
}

/* Room for some rows as stored, and for one as floats. */
struct converter {
    unsigned char *stored; /* [n_rows] */
    float *values;         /* [columns] */
    int64_t n_rows;
};

static int converter_init(struct converter *converter, const struct weight_part *part, struct error *err)
{
    uint64_t each = row_bytes(part->stored_type, part->columns);
    converter->n_rows = each < PIECE_BYTES ? (int64_t)(PIECE_BYTES / each) : 1;
    converter->stored = mem_alloc_array((size_t)converter->n_rows, (size_t)each);
    converter->values = mem_alloc_array((size_t)part->columns, sizeof *converter->values);
    return converter->stored && converter->values ? 0 : error_no_memory(err, "quantising a weight");
}

static void converter_free(struct converter *converter)
{
    mem_free(converter->stored);
    mem_free(converter->values);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int read_quantized(const struct weight_part *part, int64_t first_row, int64_t n_rows, unsigned char *destination, struct error *err)
{
    uint64_t stored_row = row_bytes(part->stored_type, part->columns), row = row_bytes(part->type, part->columns);
    struct converter converter = {0};
    int status = converter_init(&converter, part, err);
    for (int64_t done = 0; !status && done < n_rows; done += converter.n_rows) {
        int64_t n = smaller(n_rows - done, converter.n_rows);
        status = read_stored(part, first_row + done, n, converter.stored, err);
        for (int64_t r = 0; !status && r < n; r++) {
            tensor_types[part->stored_type].to_float(converter.stored + (uint64_t)r * stored_row, converter.values, (size_t)part->columns);
            tensor_types[part->type].from_float(converter.values, destination + (uint64_t)(done + r) * row, (size_t)part->columns);
        }
    }
    converter_free(&converter);
    return status;
}

int weight_part_read(const struct weight_part *part, int64_t first_row, int64_t n_rows, void *destination, struct error *err)
{
    return part->is_quantized ? read_quantized(part, first_row, n_rows, destination, err) : read_stored(part, first_row, n_rows, destination, err);
}

/* ---- what quantising costs ---- */

struct error_sums {
    double differences, squares, largest;
};

static void add_row(struct error_sums *sums, const float *published, const float *quantized, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double difference = fabs((double)published[i] - (double)quantized[i]);
        sums->differences += difference * difference;
        sums->squares += (double)published[i] * (double)published[i];
        sums->largest = difference > sums->largest ? difference : sums->largest;
    }
}

int weight_part_measure_error(const struct weight_part *part, struct quantization_error *measured, struct error *err)
{
    uint64_t stored_row = row_bytes(part->stored_type, part->columns);
    struct converter converter = {0};
    struct error_sums sums = {0};
    int status = converter_init(&converter, part, err);
    unsigned char *quantized = mem_alloc((size_t)row_bytes(part->type, part->columns));
    float *back = mem_alloc_array((size_t)part->columns, sizeof *back);
    if (!status && (!quantized || !back))
        status = error_no_memory(err, "measuring what quantising costs");
    for (int64_t done = 0; !status && done < part->rows; done += converter.n_rows) {
        int64_t n = smaller(part->rows - done, converter.n_rows);
        status = read_stored(part, done, n, converter.stored, err);
        for (int64_t r = 0; !status && r < n; r++) {
            tensor_types[part->stored_type].to_float(converter.stored + (uint64_t)r * stored_row, converter.values, (size_t)part->columns);
            tensor_types[part->type].from_float(converter.values, quantized, (size_t)part->columns);
            tensor_types[part->type].to_float(quantized, back, (size_t)part->columns);
            add_row(&sums, converter.values, back, part->columns);
        }
    }
    converter_free(&converter);
    mem_free(quantized);
    mem_free(back);
    *measured = (struct quantization_error){sums.squares > 0 ? sqrt(sums.differences / sums.squares) : 0, sums.largest};
    return status;
}
