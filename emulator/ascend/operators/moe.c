/* Mixture of experts: gating, sorting rows by expert, and joining what the experts give. Scores in fp32; ties go to the lowest expert. */
#include "operators/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scored {
    float score;
    int64_t index;
};

static int compare_scored(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static void softmax(float *row, int64_t count)
{
    float largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmaxf(largest, row[i]);
    for (int64_t i = 0; i < count; i++)
        sum += row[i] = expf(row[i] - largest);
    for (int64_t i = 0; i < count; i++)
        row[i] /= sum;
}

/* ---- MoeGatingTopK: softmax or sigmoid, groups, bias for the choice only ---- */
static int check_gating(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *bias = call_tensor(call, "biasOptional"), *y = call_tensor(call, "yOut");
    const struct tensor *ids = call_tensor(call, "expertIdxOut"), *scores = call_tensor(call, "outOut");
    int64_t k = call_integer(call, "k"), groups = call_integer(call, "groupCount"), kept = call_integer(call, "kGroup"), norm = call_integer(call, "normType");
    int64_t mode = call_integer(call, "groupSelectMode");
    int result = check_type(x, "x", "f16 bf16 f32");
    if (!result && (y->type != x->type || ids->type != ACL_INT32 || (bias && bias->type != x->type)))
        result = fail(ACLNN_PARAM_INVALID, "yOut and bias must be of x's type, expertIdxOut i32");
    int64_t experts = !result && x->n_dims == 2 ? x->dims[1] : 0;
    if (!result && (experts < 1 || experts > 2048 || groups < 1 || experts % groups || (experts / groups + 31) / 32 * 32 * groups > 2048))
        result = fail(ACLNN_INNER_TILING, "x must be (rows, experts) with up to 2,048 experts in groupCount %lld equal groups (each rounded up to 32)",
                      (long long)groups);
    if (!result && (kept < 1 || kept > groups || k < 1 || k > experts / groups * kept || mode < 0 || mode > 1 || (mode == 1 && experts / groups < 2)))
        result = fail(ACLNN_INNER_TILING, "k is %lld, kGroup %lld, groupSelectMode %lld: k up to kGroup groups of %lld experts is expected", (long long)k,
                      (long long)kept, (long long)mode, (long long)(experts / (groups ? groups : 1)));
    if (!result && (call_integer(call, "renorm") || norm < 0 || norm > 1))
        result = fail(ACLNN_INNER_TILING, "renorm must be 0, normType 0 (softmax) or 1 (sigmoid)");
    if (!result && (y->n_dims != 2 || y->dims[0] != x->dims[0] || y->dims[1] != k || !tensor_same_shape(y, ids) || (bias && tensor_count(bias) != experts)))
        result = fail(ACLNN_INNER_TILING, "yOut and expertIdxOut must be (rows, k), bias (experts)");
    if (!result && call_integer(call, "outFlag") && (!scores || scores->type != ACL_FLOAT || !tensor_same_shape(scores, x)))
        result = fail(ACLNN_INNER_TILING, "outFlag is true: outOut must be f32 of x's shape");
    return result;
}

/* Experts outside the best groups get no chance. */
static void keep_groups(const struct call *call, float *choice, int64_t experts, struct scored *ranked)
{
    int64_t groups = call_integer(call, "groupCount"), kept = call_integer(call, "kGroup"), each = experts / groups;
    for (int64_t g = 0; g < groups; g++) {
        float first = -INFINITY, second = -INFINITY;
        for (int64_t i = 0; i < each; i++) {
            float value = choice[g * each + i];
            second = value > first ? first : fmaxf(second, value);
            first = fmaxf(first, value);
        }
        ranked[g] = (struct scored){call_integer(call, "groupSelectMode") ? first + second : first, g};
    }
    qsort(ranked, (size_t)groups, sizeof *ranked, compare_scored);
    for (int64_t g = kept; g < groups; g++)
        for (int64_t i = 0; i < each; i++)
            choice[ranked[g].index * each + i] = -INFINITY;
}

static int compute_gating(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *bias = call_tensor(call, "biasOptional"), *y = call_tensor(call, "yOut");
    const struct tensor *ids = call_tensor(call, "expertIdxOut");
    int64_t rows = x->dims[0], experts = x->dims[1], k = call_integer(call, "k");
    bool sigmoid = call_integer(call, "normType") == 1;
    float *scores = floats_load(call, x), *shift = bias ? floats_load(call, bias) : NULL, *choice = call_scratch(call, (size_t)experts * sizeof *choice);
    struct scored *ranked = call_scratch(call, (size_t)experts * sizeof *ranked);
    if (!scores || (bias && !shift) || !choice || !ranked)
        return call_no_memory();
    for (int64_t r = 0; r < rows; r++) {
        float *row = scores + r * experts, sum = 0;
        for (int64_t i = 0; i < experts && sigmoid; i++)
            row[i] = 1.0f / (1.0f + expf(-row[i]));
        if (!sigmoid)
            softmax(row, experts);
        for (int64_t i = 0; i < experts; i++)
            choice[i] = row[i] + (shift ? shift[i] : 0);
        keep_groups(call, choice, experts, ranked);
        for (int64_t i = 0; i < experts; i++)
            ranked[i] = (struct scored){choice[i], i};
        qsort(ranked, (size_t)experts, sizeof *ranked, compare_scored);
        for (int64_t j = 0; j < k; j++)
            sum += row[ranked[j].index];
        for (int64_t j = 0; j < k; j++) {
            float value = row[ranked[j].index] / (sigmoid ? sum + (float)call_real(call, "eps") : 1.0f) * (float)call_real(call, "routedScalingFactor");
            element_store(y, element_at(y, r * k + j), (double)value);
            element_store(ids, element_at(ids, r * k + j), (double)ranked[j].index);
        }
    }
    if (call_integer(call, "outFlag"))
        floats_store(call_tensor(call, "outOut"), scores);
    return 0;
}

const struct operator_implementation implementation_moe_gating = {.check = check_gating, .compute = compute_gating};

/* ---- MoeGatingTopKSoftmax and V2 ---- */
static int check_gating_softmax(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *finished = call_tensor(call, "finishedOptional"), *y = call_tensor(call, "yOut");
    const struct tensor *ids = call_tensor(call, "expertIdxOut"), *rows = call_tensor(call, "rowIdxOut"), *all = call_tensor(call, "softmaxResultOutOptional");
    int64_t k = call_integer(call, "k"), renorm = call_integer(call, "renorm");
    int result = check_type(x, "x", "f16 bf16 f32");
    if (!result && (y->type != x->type || ids->type != ACL_INT32 || (rows && rows->type != ACL_INT32) || (finished && finished->type != ACL_BOOL)))
        result = fail(ACLNN_PARAM_INVALID, "yOut must be of x's type, expertIdxOut and rowIdxOut i32, finished bool");
    if (!result && (x->n_dims < 2 || k < 1 || k > 1024 || k > tensor_end(x, 1) || renorm < 0 || renorm > 1))
        result = fail(ACLNN_PARAM_INVALID, "k is %lld and renorm %lld: 1 to 1,024 and at most the experts, and 0 or 1 are expected", (long long)k,
                      (long long)renorm);
    int64_t experts = !result ? tensor_end(x, 1) : 1, n = experts ? tensor_count(x) / experts : 0;
    if (!result &&
        (tensor_count(y) != n * k || tensor_count(ids) != n * k || (rows && tensor_count(rows) != n * k) || (finished && tensor_count(finished) != n)))
        result = fail(ACLNN_PARAM_INVALID, "the outputs must have rows x k elements, finished one for each row");
    if (!result && call_integer(call, "outputSoftmaxResultFlag") && (!all || all->type != ACL_FLOAT || tensor_count(all) != tensor_count(x)))
        result = fail(ACLNN_PARAM_INVALID, "outputSoftmaxResultFlag is true: softmaxResultOut must be f32 of x's shape");
    return result;
}

static int compute_gating_softmax(struct call *call)
{
    const struct tensor *x = call_tensor(call, "x"), *finished = call_tensor(call, "finishedOptional"), *y = call_tensor(call, "yOut");
    const struct tensor *ids = call_tensor(call, "expertIdxOut"), *row_ids = call_tensor(call, "rowIdxOut");
    int64_t experts = tensor_end(x, 1), rows = experts ? tensor_count(x) / experts : 0, k = call_integer(call, "k");
    float *scores = floats_load(call, x);
    struct scored *ranked = call_scratch(call, (size_t)experts * sizeof *ranked);
    if (!scores || !ranked)
        return call_no_memory();
    for (int64_t r = 0; r < rows; r++) {
        float *row = scores + r * experts, sum = 0;
        bool done = finished && element_whole(finished, element_at(finished, r));
        softmax(row, experts);
        for (int64_t i = 0; i < experts; i++)
            ranked[i] = (struct scored){row[i], i};
        qsort(ranked, (size_t)experts, sizeof *ranked, compare_scored);
        for (int64_t j = 0; j < k; j++)
            sum += ranked[j].score;
        for (int64_t j = 0; j < k; j++) {
            element_store(y, element_at(y, r * k + j), (double)(ranked[j].score / (call_integer(call, "renorm") ? sum : 1.0f)));
            element_store(ids, element_at(ids, r * k + j), (double)(done ? experts : ranked[j].index));
            if (row_ids)
                element_store(row_ids, element_at(row_ids, r * k + j), (double)(j * rows + r));
        }
    }
    if (call_integer(call, "outputSoftmaxResultFlag"))
        floats_store(call_tensor(call, "softmaxResultOutOptional"), scores);
    return 0;
}

const struct operator_implementation implementation_moe_gating_softmax = {.check = check_gating_softmax, .compute = compute_gating_softmax};

/* ---- MoeFinalizeRoutingV2: out = x1 + x2 + sum of scaled (row + bias) ---- */
struct finalize {
    const struct tensor *rows, *where, *x1, *x2, *bias, *scales, *experts, *out;
    int64_t mode, n, k, width, available;
};

static struct finalize finalize_of(const struct call *call)
{
    struct finalize f = {.rows = call_tensor(call, "expandedX"),
                         .where = call_tensor(call, "expandedRowIdx"),
                         .x1 = call_tensor(call, "x1Optional"),
                         .x2 = call_tensor(call, "x2Optional"),
                         .bias = call_tensor(call, "biasOptional"),
                         .scales = call_tensor(call, "scalesOptional"),
                         .experts = call_tensor(call, "expertIdxOptional"),
                         .out = call_tensor(call, "out"),
                         .mode = call_integer(call, "dropPadMode")};
    f.n = f.out->n_dims == 2 ? f.out->dims[0] : 0;
    f.width = f.out->n_dims == 2 ? f.out->dims[1] : 1;
    f.k = f.scales && f.scales->n_dims == 2 ? f.scales->dims[1] : 1;
    f.available = f.width ? tensor_count(f.rows) / f.width : 0;
    return f;
}

static int check_finalize(struct call *call)
{
    struct finalize f = finalize_of(call);
    const struct tensor *like[3] = {f.x1, f.x2, f.bias};
    int result = check_type(f.rows, "expandedX", "f16 bf16 f32");
    if (!result && (f.where->type != ACL_INT32 || f.out->type != f.rows->type || (f.experts && f.experts->type != ACL_INT32)))
        result = fail(ACLNN_PARAM_INVALID, "out must be of expandedX's type, expandedRowIdx and expertIdx i32");
    for (int i = 0; i < 3 && !result; i++)
        if (like[i] && like[i]->type != f.rows->type)
            result = fail(ACLNN_PARAM_INVALID, "x1, x2 and bias must be of expandedX's type");
    if (!result && f.scales && f.scales->type != f.rows->type && !(f.rows->type == ACL_BF16 && f.scales->type == ACL_FLOAT))
        result = fail(ACLNN_PARAM_INVALID, "scales is %s, expandedX %s", type_name(f.scales->type), type_name(f.rows->type));
    if (!result && ((f.x2 && !f.x1) || (f.bias && !f.experts)))
        result = fail(ACLNN_PARAM_INVALID, "x2 needs x1, bias needs expertIdx");
    if (!result && (f.mode < 0 || f.mode > 3))
        result = fail(ACLNN_PARAM_INVALID, "dropPadMode is %lld; 0 to 3 is expected", (long long)f.mode);
    bool fits = f.out->n_dims == 2 && f.rows->n_dims >= 2 && tensor_end(f.rows, 1) == f.width && tensor_count(f.where) == f.n * f.k &&
                (!f.scales || f.scales->dims[0] == f.n) && (!f.experts || tensor_count(f.experts) == f.n * f.k) &&
                (!f.bias || tensor_end(f.bias, 1) == f.width) && (!f.x1 || tensor_same_shape(f.x1, f.out)) && (!f.x2 || tensor_same_shape(f.x2, f.out));
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "out (n,H), expandedX (..,H), expandedRowIdx (n*K), scales and expertIdx (n,K) do not fit");
}

static int compute_finalize(struct call *call)
{
    struct finalize f = finalize_of(call);
    const struct tensor *all[5] = {f.rows, f.x1, f.x2, f.bias, f.scales};
    float *values[5] = {0}, *sum = call_scratch(call, (size_t)f.width * sizeof *sum);
    for (int i = 0; i < 5; i++)
        if (all[i] && !(values[i] = floats_load(call, all[i])))
            return call_no_memory();
    if (!sum)
        return call_no_memory();
    for (int64_t r = 0; r < f.n; r++) {
        for (int64_t i = 0; i < f.width; i++)
            sum[i] = (values[1] ? values[1][r * f.width + i] : 0) + (values[2] ? values[2][r * f.width + i] : 0);
        for (int64_t j = 0; j < f.k; j++) {
            int64_t from = element_whole(f.where, element_at(f.where, f.mode < 2 ? j * f.n + r : r * f.k + j));
            int64_t expert = f.experts ? element_whole(f.experts, element_at(f.experts, r * f.k + j)) : 0,
                    experts = f.bias ? tensor_count(f.bias) / f.width : 1;
            if (from == -1 && f.mode % 2 == 1)
                continue; /* dropped */
            if (from < 0 || from >= f.available || (f.bias && (expert < 0 || expert >= experts)))
                return fail(RT_AICORE_EXCEPTION, "row %lld of token %lld (expert %lld) lies outside expandedX's %lld rows", (long long)from, (long long)r,
                            (long long)expert, (long long)f.available);
            for (int64_t i = 0; i < f.width; i++)
                sum[i] += (values[4] ? values[4][r * f.k + j] : 1) * (values[0][from * f.width + i] + (values[3] ? values[3][expert * f.width + i] : 0));
        }
        for (int64_t i = 0; i < f.width; i++)
            element_store(f.out, element_at(f.out, r * f.width + i), (double)sum[i]);
    }
    return 0;
}

const struct operator_implementation implementation_moe_finalize = {.check = check_finalize, .compute = compute_finalize};

/* ---- MoeTokenUnpermute ---- */
static int check_unpermute(struct call *call)
{
    const struct tensor *rows = call_tensor(call, "permutedTokens"), *where = call_tensor(call, "sortedIndices"), *probs = call_tensor(call, "probsOptional");
    const struct tensor *out = call_tensor(call, "out");
    int result = check_type(rows, "permutedTokens", "f16 bf16 f32");
    if (!result && (where->type != ACL_INT32 || out->type != rows->type || call_integer(call, "paddedMode")))
        result = fail(ACLNN_PARAM_INVALID, "sortedIndices must be i32, out of permutedTokens' type, paddedMode false");
    int64_t k = probs ? (probs->n_dims == 2 ? probs->dims[1] : 0) : 1;
    bool fits = rows->n_dims == 2 && out->n_dims == 2 && rows->dims[1] == out->dims[1] && k > 0 && tensor_count(where) == out->dims[0] * k &&
                (!probs || probs->dims[0] == out->dims[0]);
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "permutedTokens (..,H), sortedIndices (n*K), probs (n,K) and out (n,H) do not fit");
}

static int compute_unpermute(struct call *call)
{
    const struct tensor *rows = call_tensor(call, "permutedTokens"), *where = call_tensor(call, "sortedIndices"), *probs = call_tensor(call, "probsOptional");
    const struct tensor *out = call_tensor(call, "out");
    int64_t n = out->dims[0], width = out->dims[1], k = probs ? probs->dims[1] : 1;
    float *values = floats_load(call, rows), *weights = probs ? floats_load(call, probs) : NULL;
    if (!values || (probs && !weights))
        return call_no_memory();
    for (int64_t i = 0; i < n * width; i++) {
        float sum = 0;
        for (int64_t j = 0; j < k; j++) {
            int64_t from = element_whole(where, element_at(where, i / width * k + j));
            if (from >= rows->dims[0] || from < 0) /* cut off by numOutTokens */
                continue;
            sum += (weights ? weights[i / width * k + j] : 1) * values[from * width + i % width];
        }
        element_store(out, element_at(out, i), (double)sum);
    }
    return 0;
}

const struct operator_implementation implementation_moe_unpermute = {.check = check_unpermute, .compute = compute_unpermute};
