#include "model/source.h"

#include <stdio.h>
#include <string.h>

#include "model/quantize.h"

const struct checkpoint_tensor *model_source_find(struct model_source *source, const char *name)
{
    const struct checkpoint_tensor *tensor = checkpoint_find_tensor(source->checkpoint, name);
    if (tensor)
        source->used[tensor - source->checkpoint->tensors] = 1;
    return tensor;
}

/* "[49152, 576]" */
static void write_shape(const struct checkpoint_tensor *tensor, char *text, size_t size)
{
    size_t length = 0;
    for (int d = 0; d < tensor->n_dimensions && length < size; d++)
        length += (size_t)snprintf(text + length, size - length, "%s%llu", d ? ", " : "[", (unsigned long long)tensor->shape[d]);
    if (length < size)
        snprintf(text + length, size - length, "]");
}

static int check_shape(const struct checkpoint_tensor *tensor, const struct weight_shape *shape, struct error *err)
{
    char found[LIMIT_TENSOR_DIMENSIONS * 24];
    write_shape(tensor, found, sizeof found);
    if (shape->role == WEIGHT_VECTOR) {
        if (tensor->n_dimensions != 1 || tensor->shape[0] != (uint64_t)shape->columns)
            return error_set(err, SAMPAN_EFORMAT, "tensor '%s' is %s, expected [%lld] by the metadata (%s)", tensor->name, found, (long long)shape->columns,
                             shape->columns_from);
    } else if (tensor->n_dimensions != 2 || tensor->shape[0] != (uint64_t)shape->rows || tensor->shape[1] != (uint64_t)shape->columns) {
        return error_set(err, SAMPAN_EFORMAT, "tensor '%s' is %s, expected [%lld, %lld] by the metadata (%s, %s)", tensor->name, found, (long long)shape->rows,
                         (long long)shape->columns, shape->rows_from, shape->columns_from);
    }
    return 0;
}

static void quantize_part(struct model_source *source, struct weight_part *part, enum tensor_type type)
{
    if (type == part->type || !tensor_type_bytes(type, (uint64_t)part->rows, (uint64_t)part->columns, &part->bytes))
        return;
    source->n_quantized++;
    part->is_mapped = false;
    part->is_quantized = true;
    part->stored_type = part->type;
    part->type = type;
}

int model_source_get_part(struct model_source *source, const char *name, const struct weight_shape *shape, struct weight_part *part, struct error *err)
{
    const struct checkpoint_tensor *tensor = model_source_find(source, name);
    if (!tensor)
        return error_set(err, SAMPAN_ENOTFOUND, "tensor '%s' is missing: the file is incomplete, or not of the family '%s'", name,
                         source->checkpoint->architecture);
    int status = check_shape(tensor, shape, err);
    if (status)
        return status;
    if (!tensor_types[tensor->type].to_float)
        return error_set(err, SAMPAN_EUNSUPPORTED, "tensor '%s' is of type %s, expected a type that holds weights", name, tensor_types[tensor->type].name);
    *part = (struct weight_part){
        .name = tensor->name,
        .type = tensor->type,
        .file = tensor->file,
        .offset = tensor->offset,
        .bytes = tensor->bytes,
        .rows = shape->role == WEIGHT_VECTOR ? 1 : shape->rows,
        .columns = shape->columns,
    };
    part->memory = source->is_mapped ? checkpoint_mapped_bytes(source->checkpoint, tensor) : NULL;
    part->is_mapped = part->memory != NULL;
    if (source->quantize && shape->role != WEIGHT_VECTOR)
        quantize_part(source, part, quantize_choose(*source->quantize, part->type, part->columns, shape->is_vocabulary));
    return 0;
}

/* '*' matches any run of characters. Backtracks only to the last star, so it is linear in practice and at most quadratic. */
static bool matches(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static bool is_known_unused(const char *name, const char *const *known_unused)
{
    for (size_t i = 0; known_unused[i]; i += 2) /* pattern, reason */
        if (matches(known_unused[i], name))
            return true;
    return false;
}

int model_source_check_all_used(const struct model_source *source, const char *const *known_unused, struct error *err)
{
    const struct checkpoint *checkpoint = source->checkpoint;
    for (size_t i = 0; i < checkpoint->n_tensors; i++)
        if (!source->used[i] && !is_known_unused(checkpoint->tensors[i].name, known_unused))
            return error_set(err, SAMPAN_EUNSUPPORTED,
                             "tensor '%s' is not part of the family '%s' as sampan knows it: leaving it out would compute another model",
                             checkpoint->tensors[i].name, checkpoint->architecture);
    return 0;
}
