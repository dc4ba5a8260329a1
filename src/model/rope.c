#include "model/rope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/config.h"

enum rope_type { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN };

struct rope_rule {
    const char *group; /* config.json: the nested object in which the rule stands */
    enum rope_type type;
    double base, factor, original;
    double low, high;            /* llama3 */
    double beta_fast, beta_slow; /* yarn */
    bool is_truncated;           /* yarn: the two indices are rounded outwards */
    double magnitude;
};

static const double pi = 3.14159265358979323846;

/* ---- GGUF ---- */

static int read_gguf_number(const struct checkpoint *checkpoint, const char *key, double minimum, double *value, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    bool found;
    config_key_name(checkpoint, key, name);
    return checkpoint_get_float(checkpoint, name, minimum, 1e12, value, &found, err);
}

static int read_gguf_integer(const struct checkpoint *checkpoint, const char *key, double *value, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    bool found;
    int64_t integer = 0;
    config_key_name(checkpoint, key, name);
    int status = checkpoint_get_int(checkpoint, name, 0, LIMIT_CONTEXT, &integer, &found, err);
    if (!status && integer > 0) /* 0: not set */
        *value = (double)integer;
    return status;
}

/* Without a type a factor means linear, as the oldest files have it. */
static int read_gguf_type(const struct checkpoint *checkpoint, enum rope_type *type, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    const char *text = "linear";
    bool found;
    config_key_name(checkpoint, "rope.scaling.type", name);
    int status = checkpoint_get_string(checkpoint, name, &text, &found, err);
    *type = strcmp(text, "none") == 0 ? ROPE_DEFAULT : strcmp(text, "yarn") == 0 ? ROPE_YARN : ROPE_LINEAR;
    if (!status && *type == ROPE_LINEAR && strcmp(text, "linear") != 0)
        return error_set(err, SAMPAN_EUNSUPPORTED,
                         "metadata '%s' is '%s', supported are 'none', 'linear' and 'yarn' (and factors in the tensor 'rope_freqs.weight')", name, text);
    return status;
}

static double yarn_magnitude(double factor, double scale)
{
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

static int read_gguf_rule(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    int status = read_gguf_number(checkpoint, "rope.freq_base", 1, &rule->base, err);
    if (!status)
        status = read_gguf_type(checkpoint, &rule->type, err);
    if (!status && rule->type != ROPE_DEFAULT)
        status = read_gguf_number(checkpoint, "rope.scale_linear", 0, &rule->factor, err);
    if (!status && rule->type != ROPE_DEFAULT) /* the newer key wins */
        status = read_gguf_number(checkpoint, "rope.scaling.factor", 0, &rule->factor, err);
    if (rule->factor == 0) /* "not set" in files of llama.cpp's converter */
        rule->factor = 1;
    if (status || rule->type != ROPE_YARN)
        return status;
    status = read_gguf_integer(checkpoint, "rope.scaling.original_context_length", &rule->original, err);
    if (!status)
        status = read_gguf_number(checkpoint, "rope.scaling.yarn_beta_fast", 1e-6, &rule->beta_fast, err);
    if (!status)
        status = read_gguf_number(checkpoint, "rope.scaling.yarn_beta_slow", 1e-6, &rule->beta_slow, err);
    rule->magnitude = yarn_magnitude(rule->factor, 1);
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

/* `found` NULL: the key must be there. */
static int read_rule_number(const struct checkpoint *checkpoint, const char *group, const char *key, double minimum, double *value, bool *found,
                            struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    snprintf(name, sizeof name, "%s%s%s", group, *group ? "." : "", key);
    return checkpoint_get_float(checkpoint, name, minimum, 1e12, value, found, err);
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

/* The one beside the nested object goes before the one in it; without either it is max_position_embeddings. */
static int read_original(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    bool found;
    int status = read_rule_number(checkpoint, "", "original_max_position_embeddings", 1, &rule->original, &found, err);
    return status || found ? status : read_rule_number(checkpoint, rule->group, "original_max_position_embeddings", 1, &rule->original, &found, err);
}

static int read_linear(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    return read_rule_number(checkpoint, rule->group, "factor", 1e-6, &rule->factor, NULL, err);
}

/* Only that it is well said: within max_position_embeddings nothing changes. */
static int read_dynamic(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    double ignored;
    return read_rule_number(checkpoint, rule->group, "factor", 1e-6, &ignored, NULL, err);
}

static int read_llama3(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    int status = read_linear(checkpoint, rule, err);
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "low_freq_factor", 1e-6, &rule->low, NULL, err);
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "high_freq_factor", 1e-6, &rule->high, NULL, err);
    if (!status)
        status = read_original(checkpoint, rule, err);
    if (!status && rule->high <= rule->low)
        status =
            error_set(err, SAMPAN_EFORMAT, "metadata '%s.high_freq_factor' is %g, expected more than low_freq_factor, %g", rule->group, rule->high, rule->low);
    return status;
}

/* attention_factor; or, as DeepSeek has it, the ratio of two magnitudes; or Peng et al.'s rule. */
static int read_yarn_magnitude(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    double scale = 0, scale_all = 0;
    bool found;
    rule->magnitude = yarn_magnitude(rule->factor, 1);
    int status = read_rule_number(checkpoint, rule->group, "mscale", 0, &scale, &found, err);
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "mscale_all_dim", 0, &scale_all, &found, err);
    if (!status && scale > 0 && scale_all > 0)
        rule->magnitude = yarn_magnitude(rule->factor, scale) / yarn_magnitude(rule->factor, scale_all);
    return status ? status : read_rule_number(checkpoint, rule->group, "attention_factor", 1e-6, &rule->magnitude, &found, err);
}

static int read_yarn(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    char name[CONFIG_KEY_SIZE];
    bool found;
    double context = rule->original; /* as rope_read left it */
    int status = read_original(checkpoint, rule, err);
    rule->factor = context / rule->original;
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "factor", 1e-6, &rule->factor, &found, err);
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "beta_fast", 1e-6, &rule->beta_fast, &found, err);
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "beta_slow", 1e-6, &rule->beta_slow, &found, err);
    snprintf(name, sizeof name, "%s.truncate", rule->group);
    if (!status)
        status = checkpoint_get_bool(checkpoint, name, &rule->is_truncated, &found, err);
    return status ? status : read_yarn_magnitude(checkpoint, rule, err);
}

static const struct rope_type_row {
    const char *name;
    enum rope_type type;
    int (*read)(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err);
} rope_types[] = {
    {"default", ROPE_DEFAULT, NULL},         {"linear", ROPE_LINEAR, read_linear}, {"llama3", ROPE_LLAMA3, read_llama3},
    {"dynamic", ROPE_DEFAULT, read_dynamic}, {"yarn", ROPE_YARN, read_yarn},
};

static int read_rule(const struct checkpoint *checkpoint, struct rope_rule *rule, struct error *err)
{
    const char *type;
    bool found;
    int status = read_rule_number(checkpoint, "", "rope_theta", 1, &rule->base, &found, err);
    rule->group = "rope_scaling";
    if (checkpoint_find(checkpoint, "rope_parameters.rope_type") || checkpoint_find(checkpoint, "rope_parameters.rope_theta"))
        rule->group = "rope_parameters";
    if (!status)
        status = read_rule_number(checkpoint, rule->group, "rope_theta", 1, &rule->base, &found, err);
    if (!status)
        status = read_rule_type(checkpoint, rule->group, &type, err);
    if (status)
        return status;
    for (size_t i = 0; i < sizeof rope_types / sizeof rope_types[0]; i++) {
        if (strcmp(type, rope_types[i].name) == 0) {
            rule->type = rope_types[i].type;
            return rope_types[i].read ? rope_types[i].read(checkpoint, rule, err) : 0;
        }
    }
    return error_set(err, SAMPAN_EUNSUPPORTED, "metadata '%s.rope_type' is '%s', supported are default, linear, dynamic, llama3 and yarn", rule->group, type);
}

/* ---- both ---- */

/* The index, of a pair, at which `original` positions hold `turns` turns. */
static double yarn_index(const struct rope_rule *rule, double turns, int32_t rotary_width)
{
    return rotary_width * log(rule->original / (turns * 2 * pi)) / (2 * log(rule->base));
}

static double yarn_frequency(const struct rope_rule *rule, int32_t i, int32_t rotary_width, double frequency)
{
    double first = yarn_index(rule, rule->beta_fast, rotary_width), last = yarn_index(rule, rule->beta_slow, rotary_width);
    first = fmax(rule->is_truncated ? floor(first) : first, 0);
    last = fmin(rule->is_truncated ? ceil(last) : last, rotary_width - 1);
    if (first == last)
        last += 0.001;
    double ramp = fmin(fmax((i - first) / (last - first), 0), 1);
    return frequency / rule->factor * ramp + frequency * (1 - ramp);
}

static double llama3_frequency(const struct rope_rule *rule, double frequency)
{
    double wavelength = 2 * pi / frequency;
    if (wavelength < rule->original / rule->high)
        return frequency;
    if (wavelength > rule->original / rule->low)
        return frequency / rule->factor;
    double smooth = (rule->original / wavelength - rule->low) / (rule->high - rule->low);
    return (1 - smooth) * frequency / rule->factor + smooth * frequency;
}

static double scaled_frequency(const struct rope_rule *rule, int32_t i, int32_t rotary_width)
{
    double frequency = pow(rule->base, -2.0 * i / rotary_width);
    switch (rule->type) {
    case ROPE_DEFAULT: break;
    case ROPE_LINEAR: return frequency / rule->factor;
    case ROPE_LLAMA3: return llama3_frequency(rule, frequency);
    case ROPE_YARN: return yarn_frequency(rule, i, rotary_width, frequency);
    }
    return frequency;
}

static void extend_context(const struct rope_rule *rule, struct decoder *decoder)
{
    double extended = floor(rule->original * rule->factor);
    if (rule->type == ROPE_YARN && extended > decoder->context_length)
        decoder->context_length = extended < LIMIT_CONTEXT ? (int32_t)extended : LIMIT_CONTEXT;
}

int rope_read(struct model_source *source, double theta, struct arena *arena, struct decoder *decoder, struct error *err)
{
    const struct checkpoint *checkpoint = source->checkpoint;
    bool is_gguf = checkpoint->kind == CHECKPOINT_GGUF;
    int32_t n_pairs = decoder->rotary_width / 2;
    struct rope_rule rule = {
        .base = theta, .factor = 1, .original = decoder->context_length, .beta_fast = 32, .beta_slow = 1, .is_truncated = true, .magnitude = 1};
    int status = is_gguf ? read_gguf_rule(checkpoint, &rule, err) : read_rule(checkpoint, &rule, err);
    if (status)
        return status;
    if (rule.type == ROPE_YARN && rule.base <= 1)
        return error_set(err, SAMPAN_EFORMAT, "the base of the rotary embedding is %g, expected more than 1 with yarn", rule.base);
    double *made = arena_alloc_array(arena, (size_t)n_pairs + 1, sizeof *made); /* never empty */
    if (!made)
        return error_no_memory(err, "making the frequencies of the rotary embedding");
    for (int32_t i = 0; i < n_pairs; i++)
        made[i] = scaled_frequency(&rule, i, decoder->rotary_width);
    status = is_gguf ? apply_factors(source, n_pairs, arena, made, err) : 0;
    decoder->frequencies = made;
    decoder->rope_magnitude = (float)rule.magnitude;
    extend_context(&rule, decoder);
    return status;
}
