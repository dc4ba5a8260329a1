/* RMS norm with the residual addition, and rotary embedding with the write to the cache. */
#include <math.h>

#include "chip/reference/reference.h"

/* Squares added in ascending index in double, the mean rounded once to fp32; the rest in fp32: (x * inverse) * weight. */
void reference_rms_norm(const float *x, const float *weight, float epsilon, int64_t n, float *out)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float mean = (float)(sum / (double)n);
    float inverse = 1.0f / sqrtf(mean + epsilon);
    for (int64_t i = 0; i < n; i++)
        out[i] = weight ? x[i] * inverse * weight[i] : x[i] * inverse;
}

void reference_norm(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    const struct op_norm *norm = &op->norm;
    int64_t width = plan->program->buffers[norm->x].width;
    const float *weight = reference_vector(plan, norm->weight);
    int32_t n_rows = reference_rows(plan, step, norm->x);
    for (int32_t r = 0; r < n_rows; r++) {
        float *x = reference_row(plan, norm->x, r);
        const float *residual = norm->residual >= 0 ? reference_row(plan, norm->residual, r) : NULL;
        for (int64_t i = 0; residual && i < width; i++)
            x[i] += residual[i];
        reference_rms_norm(x, weight, norm->epsilon, width, reference_row(plan, norm->out, r));
    }
}

/* Rotates pair i of a head: a' = a cos - b sin, b' = a sin + b cos, each product rounded. */
static void rotate_head(const struct op_rope_cache *rope, int32_t position, float *head)
{
    int32_t n_pairs = rope->rotary_width / 2;
    for (int32_t i = 0; i < n_pairs; i++) {
        double angle = (double)position * rope->frequencies[i];
        float cosine = (float)cos(angle) * rope->magnitude, sine = (float)sin(angle) * rope->magnitude;
        float *a = rope->pairing == ROPE_ADJACENT ? &head[2 * i] : &head[i];
        float *b = rope->pairing == ROPE_ADJACENT ? &head[2 * i + 1] : &head[i + n_pairs];
        float rotated = *a * cosine - *b * sine;
        *b = *a * sine + *b * cosine;
        *a = rotated;
    }
}

/* Norm (where there is one) and rotation of each head of a row, in place. */
static void prepare_heads(const struct op_rope_cache *rope, const float *norm, int32_t position, int32_t n_heads, int32_t width, float *row)
{
    for (int32_t h = 0; h < n_heads; h++) {
        float *head = row + (int64_t)h * width;
        if (norm)
            reference_rms_norm(head, norm, rope->norm_epsilon, width, head);
        rotate_head(rope, position, head);
    }
}

void reference_rope_cache(struct reference_plan *plan, const struct step *step, const struct op *op)
{
    const struct op_rope_cache *rope = &op->rope_cache;
    const struct program_cache_group *group = &plan->program->groups[rope->group];
    enum tensor_type type = plan->limits.cache_type;
    const float *query_norm = reference_vector(plan, rope->query_norm), *key_norm = reference_vector(plan, rope->key_norm);
    int64_t key_elements = (int64_t)group->streams[CACHE_KEYS].n_heads * group->streams[CACHE_KEYS].width,
            value_elements = (int64_t)group->streams[CACHE_KEYS].n_heads * group->streams[CACHE_VALUES].width;
    for (int32_t s = 0; s < step->n_sequences; s++) {
        for (int32_t r = step->row_starts[s]; r < step->row_starts[s + 1]; r++) {
            int32_t position = step->positions[r];
            float *key = reference_row(plan, rope->key, r);
            prepare_heads(rope, query_norm, position, rope->n_heads, group->streams[CACHE_KEYS].width, reference_row(plan, rope->query, r));
            prepare_heads(rope, key_norm, position, group->streams[CACHE_KEYS].n_heads, group->streams[CACHE_KEYS].width, key);
            unsigned char *token = reference_cache_token(plan, step, rope->group, rope->layer, s, position);
            reference_cache_store(type, key, token, key_elements);
            reference_cache_store(type, reference_row(plan, rope->value, r), token + (uint64_t)key_elements * reference_cache_element_bytes(type),
                                  value_elements);
        }
    }
}
