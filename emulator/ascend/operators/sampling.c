/* ApplyTopKTopP: what is not among the k largest, or not in the smallest set whose probabilities reach p, becomes -inf. Rows are sorted upwards and stably. */
#include "operators/support.h"

#include <math.h>
#include <stdlib.h>

struct place {
    float value;
    int64_t index;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static int check_top_k_top_p(struct call *call)
{
    const struct tensor *logits = call_tensor(call, "logits"), *p = call_tensor(call, "p"), *k = call_tensor(call, "k"), *out = call_tensor(call, "out");
    int result = check_type(logits, "logits", "f16 bf16 f32");
    if (!result && !p && !k)
        result = fail(ACLNN_PARAM_NULLPTR, "p and k are both NULL");
    if (!result && (logits->n_dims != 2 || out->type != logits->type || !tensor_same_shape(logits, out)))
        result = fail(ACLNN_PARAM_INVALID, "logits must be (batch, vocabulary) and out the same");
    if (!result && p && (p->type != logits->type || p->n_dims != 1 || p->dims[0] != logits->dims[0]))
        result = fail(ACLNN_PARAM_INVALID, "p must be of logits' type with one element for each row");
    if (!result && k && (k->type != ACL_INT32 || k->n_dims != 1 || k->dims[0] != logits->dims[0]))
        result = fail(ACLNN_PARAM_INVALID, "k must be i32 with one element for each row");
    return result;
}

/* From the lowest upwards: how many places are cut off. */
static int64_t cut_of(const struct place *row, int64_t n, int64_t k, float p)
{
    int64_t cut = 0;
    float sum = 0, total = 0;
    if (k > 0 && k < n)
        while (row[cut].value < row[n - k].value)
            cut++;
    for (int64_t i = cut; i < n; i++)
        total += expf(row[i].value - row[n - 1].value);
    for (; p < 1 && cut + 1 < n; cut++) { /* the largest always stays */
        sum += expf(row[cut].value - row[n - 1].value) / total;
        if (sum > 1 - p)
            break;
    }
    return cut;
}

static int compute_top_k_top_p(struct call *call)
{
    const struct tensor *logits = call_tensor(call, "logits"), *p = call_tensor(call, "p"), *k = call_tensor(call, "k"), *out = call_tensor(call, "out");
    int64_t rows = logits->dims[0], n = logits->dims[1];
    float *values = floats_load(call, logits);
    struct place *row = call_scratch(call, (size_t)(n + 1) * sizeof *row);
    if (!values || !row)
        return call_no_memory();
    for (int64_t r = 0; r < rows && n; r++) {
        for (int64_t i = 0; i < n; i++)
            row[i] = (struct place){values[r * n + i], i};
        qsort(row, (size_t)n, sizeof *row, compare_places);
        int64_t cut = cut_of(row, n, k ? element_whole(k, element_at(k, r)) : 0, p ? (float)element_load(p, element_at(p, r)) : 1);
        for (int64_t i = 0; i < cut; i++)
            values[r * n + row[i].index] = -INFINITY;
    }
    floats_store(out, values);
    return 0;
}

const struct operator_implementation implementation_top_k_top_p = {.check = check_top_k_top_p, .compute = compute_top_k_top_p};
