#include "model/quantize.h"

#include "base/buffer.h"

static const struct quantize_row {
    enum tensor_type type;
    enum tensor_type small_blocks; /* for rows that are no multiple of 256 */
    enum tensor_type vocabulary;   /* for the embedding and the head */
} rows[] = {
    {TENSOR_Q8_0, TENSOR_Q8_0, TENSOR_Q8_0}, {TENSOR_Q6_K, TENSOR_Q8_0, TENSOR_Q6_K}, {TENSOR_Q5_K, TENSOR_Q5_1, TENSOR_Q6_K},
    {TENSOR_Q5_1, TENSOR_Q5_1, TENSOR_Q6_K}, {TENSOR_Q5_0, TENSOR_Q5_0, TENSOR_Q6_K}, {TENSOR_Q4_K, TENSOR_Q5_0, TENSOR_Q6_K},
    {TENSOR_Q4_1, TENSOR_Q4_1, TENSOR_Q6_K}, {TENSOR_Q4_0, TENSOR_Q4_0, TENSOR_Q6_K}, {TENSOR_Q3_K, TENSOR_Q4_0, TENSOR_Q6_K},
    {TENSOR_Q2_K, TENSOR_Q4_0, TENSOR_Q6_K},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static const struct quantize_row *find_row(enum tensor_type type)
{
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}

int quantize_type_from_name(const char *name, enum tensor_type *type, struct error *err)
{
    struct buffer names;
    if (tensor_type_from_name(name, type) && find_row(*type))
        return 0;
    buffer_init(&names, 512);
    for (int i = 0; i < N_ROWS; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", tensor_types[rows[i].type].name);
    error_set(err, SAMPAN_EINVAL, "quantising while loading: '%.40s' is no type for that, expected one of %s", name, names.data ? names.data : "");
    buffer_free(&names);
    return SAMPAN_EINVAL;
}

static bool fits(enum tensor_type type, int64_t columns)
{
    return columns % tensor_types[type].block_elements == 0;
}

enum tensor_type quantize_choose(enum tensor_type asked, enum tensor_type stored, int64_t columns, bool is_vocabulary)
{
    const struct quantize_row *row = find_row(asked);
    bool is_plain = stored == TENSOR_F32 || stored == TENSOR_F16 || stored == TENSOR_BF16;
    if (!row || !is_plain)
        return stored;
    if (is_vocabulary)
        row = find_row(row->vocabulary);
    enum tensor_type type = fits(row->type, columns) ? row->type : row->small_blocks;
    return fits(type, columns) ? type : stored;
}
