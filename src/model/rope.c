#include "model/rope.h"

#include <math.h>
#include <stdio.h>
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

/* ---- config.json ---- */

/* What the rules need; `group` is the nested object in which they stand. */
struct rope_rule {
    const char *group;
    double base, factor;
    double low, high, original; /* of llama3 */
    bool is_llama3;
};

static int read_rule_number(const struct checkpoint *checkpoint, const char *group, const char *key, double minimum, double *value, bool is_optional,
                            struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    bool found;
    snprintf(name, sizeof name, "%s%s%s", group, *group ? "." : "", key);
    return checkpoint_get_float(checkpoint, name, minimum, 1e12, value, is_optional ? &found : NULL, err);
}

/* "default" where nothing is said; the newer name goes before the older. */
static int read_rule_type(const struct checkpoint *checkpoint, const char *group, const char **type, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    bool found = false;
    int status = 0;
    *type = "default";
    static const char *const keys[] = {"rope_type", "type"};
    for (size_t i = 0; !status && !found && i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(name, sizeof name, "%s.%s", group, keys[i]);
        status = checkpoint_get_string(checkpoint, name, type, &found, err);
    }
    return status;
}

static int read_llama3(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    rule->is_llama3 = true;
    int status = read_rule_number(checkpoint, rule->group, "low_freq_factor", 1e-6, &rule->low, false, err);
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "high_freq_factor", 1e-6, &rule->high, false, err);
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "original_max_position_embeddings", 1, &rule->original, false, err);
    if (!status && rule->high <= rule->low)
        status =
            error_set(err, SAMPAN_EFORMAT, "metadata '%s.high_freq_factor' is %g, expected more than low_freq_factor, %g", rule->group, rule->high, rule->low);
    return status;
}

static int read_rule(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    const char *type;
    *rule = (struct rope_rule){.group = "rope_scaling", .base = 10000, .factor = 1};
    int status = read_rule_number(checkpoint, "", "rope_theta", 1, &rule->base, true, err);
    if (checkpoint_find(checkpoint, "rope_parameters.rope_type") || checkpoint_find(checkpoint, "rope_parameters.rope_theta"))
        rule->group = "rope_parameters";
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "rope_theta", 1, &rule->base, true, err);
    if (!status)
        status = read_rule_type(checkpoint, rule->group, &type, err);
    if (status || strcmp(type, "default") == 0)
        return status;
    if (strcmp(type, "linear") != 0 && strcmp(type, "llama3") != 0)
        return error_set(err, SAMPAN_EUNSUPPORTED, "metadata '%s.rope_type' is '%s', supported are 'default', 'linear' and 'llama3'", rule->group, type);
    status = read_rule_number(checkpoint, rule->group, "factor", 1e-6, &rule->factor, false, err);
    return status || strcmp(type, "linear") == 0 ? status : read_llama3(checkpoint, rule, err);
}

static double apply_rule(const struct rope_rule *rule, double frequency)
{
    const double pi = 3.14159265358979323846;
    if (!rule->is_llama3)
        return frequency / rule->factor;
    double wavelength = 2 * pi / frequency;
    if (wavelength < rule->original / rule->high)
        return frequency;
    if (wavelength > rule->original / rule->low)
        return frequency / rule->factor;
    double smooth = (rule->original / wavelength - rule->low) / (rule->high - rule->low);
    return (1 - smooth) * frequency / rule->factor + smooth * frequency;
}

/* ---- both ---- */

static int read_gguf_rule(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    bool found;
    *rule = (struct rope_rule){.base = 10000, .factor = 1};
    config_key_name(checkpoint, "rope.freq_base", name);
    int status = checkpoint_get_float(checkpoint, name, 1, 1e12, &rule->base, &found, err);
    return status ? status : read_linear_factor(checkpoint, &rule->factor, err);
}

int rope_read_frequencies(struct model_source *source, int32_t rotary_width, struct arena *arena, const double **frequencies, struct error *err)
{
    bool is_gguf = source->checkpoint->kind == CHECKPOINT_GGUF;
    struct rope_rule rule;
    int32_t n_pairs = rotary_width / 2;
    int status = is_gguf ? read_gguf_rule(source->checkpoint, &rule, err) : read_rule(source->checkpoint, &rule, err);
    if (status)
        return status;
    double *made = arena_alloc_array(arena, (size_t)n_pairs + 1, sizeof *made); /* never empty */
    if (!made)
        return error_no_memory(err, "making the frequencies of the rotary embedding");
    for (int32_t i = 0; i < n_pairs; i++)
        made[i] = apply_rule(&rule, pow(rule.base, -2.0 * i / rotary_width));
    status = is_gguf ? apply_factors(source, n_pairs, arena, made, err) : 0;
    if (!status)
        *frequencies = made;
    return status;
}
