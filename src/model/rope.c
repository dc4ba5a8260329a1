#include "model/rope.h"

#include <math.h>
#include <string.h>

#include "model/config.h"

/* The factor of linear scaling: 1 unless the metadata asks for it. Without a type, a factor means linear, as the oldest files have it. */
static int read_linear_factor(const struct checkpoint *checkpoint, double *factor, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    const char *type = "linear";
    bool found;
    config_key_name(checkpoint, "rope.scaling.type", name);
    int status = checkpoint_get_string(checkpoint, name, &type, &found, err);
    if (status)
        return status;
    *factor = 1;
    if (found && strcmp(type, "none") == 0)
        return 0;
    if (found && strcmp(type, "linear") != 0)
        return error_set(err, SAMPAN_EUNSUPPORTED, "metadata '%s' is '%s', supported are 'none' and 'linear' (and factors in the tensor 'rope_freqs.weight')",
                         name, type);
    const char *const keys[] = {"rope.scale_linear", "rope.scaling.factor"}; /* the newer one wins */
    for (size_t i = 0; !status && i < 2; i++) {
        config_key_name(checkpoint, keys[i], name);
        status = checkpoint_get_float(checkpoint, name, 0, 1e6, factor, &found, err);
    }
    if (*factor == 0) /* "not set" in files of llama.cpp's converter */
        *factor = 1;
    return status;
}

/* Divides by the factors of tensor rope_freqs.weight, where the file has it. */
static int apply_factors(struct model_source *source, int32_t n_pairs, struct arena *arena, double *frequencies, struct error *err)
{
    static const char name[] = "rope_freqs.weight";
    if (!checkpoint_find_tensor(source->checkpoint, name))
        return 0;
    const struct weight_shape shape = {.role = WEIGHT_VECTOR, .columns = n_pairs, .columns_from = "half of rope.dimension_count"};
    struct weight_part part;
    int status = model_source_get_part(source, name, &shape, &part, err);
    if (status)
        return status;
    void *bytes = arena_alloc(arena, (size_t)part.bytes); /* n_pairs is at most LIMIT_HEAD_WIDTH / 2 */
    float *factors = arena_alloc_array(arena, (size_t)n_pairs, sizeof *factors);
    if (!bytes || !factors)
        return error_no_memory(err, "reading the factors of the rotary embedding");
    status = file_read(part.file, part.offset, bytes, (size_t)part.bytes, err);
    if (status)
        return status;
    tensor_types[part.type].to_float(bytes, factors, (size_t)n_pairs);
    for (int32_t i = 0; i < n_pairs; i++) {
        if (!isfinite(factors[i]) || factors[i] <= 0)
            return error_set(err, SAMPAN_EFORMAT, "tensor '%s': factor %d is %g, expected a positive number", name, i, (double)factors[i]);
        frequencies[i] /= (double)factors[i];
    }
    return 0;
}

int rope_read_frequencies(struct model_source *source, int32_t rotary_width, struct arena *arena, const double **frequencies, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    double base = 10000, factor = 1;
    bool found;
    int32_t n_pairs = rotary_width / 2;
    config_key_name(source->checkpoint, "rope.freq_base", name);
    int status = checkpoint_get_float(source->checkpoint, name, 1, 1e12, &base, &found, err);
    if (!status)
        status = read_linear_factor(source->checkpoint, &factor, err);
    if (status)
        return status;
    double *made = arena_alloc_array(arena, (size_t)n_pairs + 1, sizeof *made); /* never empty */
    if (!made)
        return error_no_memory(err, "making the frequencies of the rotary embedding");
    for (int32_t i = 0; i < n_pairs; i++)
        made[i] = pow(base, -2.0 * i / rotary_width) / factor;
    status = apply_factors(source, n_pairs, arena, made, err);
    if (!status)
        *frequencies = made;
    return status;
}
