/* Rows sorted by expert: MoeInitRoutingV2, V3, QuantV2, MoeTokenPermute, MoeComputeExpertTokens. The flattened expert numbers are sorted stably; the i-th row
 * of the result is the token of the i-th entry. */
#include "operators/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct routing {
    const struct tensor *x, *ids, *scale, *offset, *out, *where, *counts, *before, *out_scale;
    int64_t rows, k, width, experts, first, last, capacity, active;
    bool padded, scatter;
    int64_t quant; /* -1: none, 0: static, 1: dynamic */
};

struct entry_of {
    int64_t expert, at; /* of the flattened list */
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry_of *x = a, *y = b;
    if (x->expert != y->expert)
        return x->expert < y->expert ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static struct routing routing_of(const struct call *call)
{
    int version = call->row->detail;
    const struct value *range = call_value(call, "activeExpertRangeOptional");
    struct routing r = {.x = call_tensor(call, "x"),
                        .ids = call_tensor(call, "expertIdx"),
                        .scale = call_tensor(call, "scaleOptional"),
                        .offset = call_tensor(call, "offsetOptional"),
                        .out = call_tensor(call, "expandedXOut"),
                        .where = call_tensor(call, "expandedRowIdxOut"),
                        .counts = call_tensor(call, "expertTokensCountOrCumsumOut"),
                        .before = call_tensor(call, "expertTokensBeforeCapacityOut"),
                        .out_scale = call_tensor(call, version == ROUTE_V3 ? "expandedScaleOut" : "dynamicQuantScaleOutOptional"),
                        .experts = call_integer(call, "expertNum"),
                        .capacity = call_integer(call, "expertCapacity"),
                        .active = call_integer(call, "activeNum"),
                        .padded = call_integer(call, "dropPadMode") == 1,
                        .scatter = call_integer(call, "rowIdxType") == 1,
                        .quant = version == ROUTE_V2 ? -1 : call_integer(call, "quantMode")};
    r.rows = r.x->n_dims == 2 ? r.x->dims[0] : 0;
    r.width = r.x->n_dims == 2 ? r.x->dims[1] : 0;
    r.k = r.ids->n_dims == 2 ? r.ids->dims[1] : 0;
    r.last = r.experts;
    if (range && range->present && range->count == 2) {
        r.first = range->integers[0];
        r.last = range->integers[1];
    }
    return r;
}

/* What the page of V3 leaves on A2 and A3. */
static int check_third(const struct call *call, const struct routing *r)
{
    int64_t type = call_integer(call, "expertTokensNumType");
    if (r->active != r->rows * r->k || r->padded || (type != 1 && type != 2) || !call_integer(call, "expertTokensNumFlag") || (r->quant != -1 && r->quant != 1))
        return fail(ACLNN_PARAM_INVALID,
                    "activeNum must be rows*k=%lld, dropPadMode 0, expertTokensNumType 1 or 2, expertTokensNumFlag true, quantMode -1 or 1",
                    (long long)(r->rows * r->k));
    if (r->first < 0 || r->last > r->experts || r->first >= r->last)
        return fail(ACLNN_PARAM_INVALID, "activeExpertRange [%lld, %lld) does not lie in [0, %lld)", (long long)r->first, (long long)r->last,
                    (long long)r->experts);
    int64_t local = r->last - r->first, expected = r->quant == 1 ? local * r->width : r->rows;
    if (r->scale && (r->scale->type != ACL_FLOAT || tensor_count(r->scale) != expected))
        return fail(ACLNN_PARAM_INVALID, "scale must be f32 with %lld elements: one a row, or with dynamic quantisation one a column of each local expert",
                    (long long)expected);
    bool counts = r->counts && r->counts->type == ACL_INT64 && tensor_count(r->counts) >= (type == 2 ? 2 * local : local);
    return counts
               ? 0
               : fail(ACLNN_PARAM_INVALID, "expertTokensCountOrCumsumOut must be i64 with a place for each local expert%s", type == 2 ? " and its number" : "");
}

static int check_routing(struct call *call)
{
    struct routing r = routing_of(call);
    bool third = call->row->detail == ROUTE_V3;
    int64_t flag = call_integer(call, "expertTokensCountOrCumsumFlag"), mode = call_integer(call, "dropPadMode");
    int result = check_type(r.x, "x", "f16 bf16 f32");
    if (!result)
        result = check_type(r.ids, "expertIdx", "i32");
    if (!result)
        result = check_type(r.where, "expandedRowIdxOut", "i32");
    if (!result && r.out->type != (r.quant == -1 ? r.x->type : ACL_INT8))
        result = fail(ACLNN_PARAM_INVALID, "expandedXOut is %s for x %s and quantMode %lld", type_name(r.out->type), type_name(r.x->type), (long long)r.quant);
    if (!result &&
        (r.x->n_dims != 2 || r.ids->n_dims != 2 || r.ids->dims[0] != r.rows || tensor_count(r.where) != r.rows * r.k || r.experts < 1 || mode < 0 || mode > 1))
        result = fail(ACLNN_PARAM_INVALID, "x (rows,H), expertIdx (rows,k), expandedRowIdxOut (rows*k), expertNum above 0 and dropPadMode 0 or 1 are expected");
    if (result || third)
        return result ? result : check_third(call, &r);
    if (r.padded && (r.capacity < 1 || r.capacity > r.rows))
        return fail(ACLNN_PARAM_INVALID, "expertCapacity is %lld; 1 to %lld is expected with dropPadMode 1", (long long)r.capacity, (long long)r.rows);
    if (flag < 0 || flag > 2 || (flag && !r.padded && (!r.counts || r.counts->type != ACL_INT32 || tensor_count(r.counts) != r.experts)))
        return fail(ACLNN_PARAM_INVALID, "expertTokensCountOrCumsumFlag is %lld; 0, or 1 (cumulative) or 2 (counts) with an i32 output of expertNum",
                    (long long)flag);
    int64_t made = r.padded ? r.experts * r.capacity : r.active && r.active < r.rows * r.k ? r.active : r.rows * r.k;
    if (tensor_count(r.out) != made * r.width)
        return fail(ACLNN_PARAM_INVALID, "expandedXOut has %lld elements; %lld rows of %lld are expected", (long long)tensor_count(r.out), (long long)made,
                    (long long)r.width);
    if (r.quant == 0 && (!r.scale || r.scale->type != ACL_FLOAT || tensor_count(r.scale) != 1 || (r.offset && tensor_count(r.offset) != 1)))
        return fail(ACLNN_PARAM_INVALID, "quantMode 0 needs a scale of one f32 (and an offset of one)");
    if (r.quant == 1 && (!r.out_scale || r.out_scale->type != ACL_FLOAT || tensor_count(r.out_scale) != made))
        return fail(ACLNN_PARAM_INVALID, "quantMode 1 needs dynamicQuantScaleOut, one f32 for each row of expandedXOut");
    return r.quant >= -1 && r.quant <= 1 ? 0 : fail(ACLNN_PARAM_INVALID, "quantMode is %lld; -1, 0 or 1 is expected", (long long)r.quant);
}

/* One row of x into row `to` of the result, quantised if asked for. */
static void place_row(const struct routing *r, const float *x, int64_t token, int64_t expert, int64_t to)
{
    const float *from = x + token * r->width;
    const struct tensor *s = r->scale;
    int64_t local = r->last - r->first, count = s ? tensor_count(s) : 0;
    float largest = 0, factor = 1, shift = 0;
    for (int64_t i = 0; i < r->width && r->quant == 1; i++) {
        float smooth = !s ? 1 : (float)element_load(s, element_at(s, (count == local * r->width ? expert - r->first : 0) * r->width + i));
        largest = fmaxf(largest, fabsf(from[i] * smooth));
    }
    if (r->quant == 1)
        factor = 127.0f / largest;
    if (r->quant == 0) {
        factor = (float)element_load(s, s->offset);
        shift = r->offset ? (float)element_load(r->offset, r->offset->offset) : 0;
    }
    for (int64_t i = 0; i < r->width; i++) {
        float smooth = r->quant == 1 && s ? (float)element_load(s, element_at(s, (count == local * r->width ? expert - r->first : 0) * r->width + i)) : 1;
        float value = r->quant == -1 ? from[i] : rintf(from[i] * smooth * factor + shift);
        element_store(r->out, element_at(r->out, to * r->width + i), (double)value);
    }
    if (r->quant == 1 && r->out_scale)
        element_store(r->out_scale, element_at(r->out_scale, to), (double)(1.0f / factor));
    else if (r->quant == -1 && s && r->out_scale)
        element_store(r->out_scale, element_at(r->out_scale, to), element_load(s, element_at(s, token)));
}

static void store_counts(const struct call *call, const struct routing *r, const int64_t *counts)
{
    int64_t flag = call_integer(call, "expertTokensCountOrCumsumFlag"), type = call_integer(call, "expertTokensNumType"), sum = 0;
    bool third = call->row->detail == ROUTE_V3;
    for (int64_t e = r->first; e < r->last; e++) {
        int64_t at = e - r->first;
        sum += counts[e];
        if (third && type == 2) {
            element_store(r->counts, element_at(r->counts, 2 * at), (double)e);
            element_store(r->counts, element_at(r->counts, 2 * at + 1), (double)counts[e]);
        } else if (r->counts && (third || (flag && !r->padded))) {
            element_store(r->counts, element_at(r->counts, at), (double)(flag == 1 ? sum : counts[e]));
        }
        if (r->before && r->padded && call_integer(call, "expertTokensBeforeCapacityFlag"))
            element_store(r->before, element_at(r->before, at), (double)counts[e]);
    }
}

/* The flattened list sorted, with counts for each expert; what lies outside [first, last) sorts behind. */
static struct entry_of *sort_entries(struct call *call, const struct routing *r, int64_t *counts)
{
    int64_t n = r->rows * r->k;
    struct entry_of *entries = call_scratch(call, (size_t)(n + 1) * sizeof *entries);
    for (int64_t i = 0; entries && i < n; i++) {
        int64_t expert = element_whole(r->ids, element_at(r->ids, i));
        bool inside = expert >= r->first && expert < r->last;
        entries[i] = (struct entry_of){inside ? expert : INT64_MAX, i};
        if (inside)
            counts[expert]++;
    }
    if (entries)
        qsort(entries, (size_t)n, sizeof *entries, compare_entries);
    return entries;
}

static int compute_routing(struct call *call)
{
    struct routing r = routing_of(call);
    int64_t n = r.rows * r.k, within = 0;
    int64_t *counts = call_scratch(call, (size_t)r.experts * sizeof *counts);
    float *x = floats_load(call, r.x);
    if (counts)
        memset(counts, 0, (size_t)r.experts * sizeof *counts);
    struct entry_of *entries = counts ? sort_entries(call, &r, counts) : NULL;
    if (!entries || !x)
        return call_no_memory();
    for (int64_t i = 0; i < tensor_count(r.out) && r.padded; i++)
        element_store(r.out, element_at(r.out, i), 0);
    for (int64_t i = 0; i < n; i++) {
        const struct entry_of *e = &entries[i];
        bool inside = e->expert != INT64_MAX;
        within = i && entries[i - 1].expert == e->expert ? within + 1 : 0;
        int64_t to = !r.padded ? i : within < r.capacity ? e->expert * r.capacity + within : -1;
        if (r.scatter && inside)
            element_store(r.where, element_at(r.where, i), (double)e->at);
        else if (!r.scatter)
            element_store(r.where, element_at(r.where, e->at), (double)(inside ? to : -1));
        if (inside && to >= 0 && (r.padded || to < tensor_count(r.out) / r.width))
            place_row(&r, x, e->at / r.k, e->expert, to);
    }
    store_counts(call, &r, counts);
    return 0;
}

const struct operator_implementation implementation_moe_routing = {.check = check_routing, .compute = compute_routing};

/* ---- MoeTokenPermute: rows by expert number; sortedIndices = argsort(argsort(indices)) ---- */
static int check_permute_tokens(struct call *call)
{
    const struct tensor *x = call_tensor(call, "tokens"), *ids = call_tensor(call, "indices"), *out = call_tensor(call, "permuteTokensOut");
    const struct tensor *sorted = call_tensor(call, "sortedIndicesOut");
    int result = check_type(x, "tokens", "f16 bf16 f32");
    if (!result)
        result = check_type(ids, "indices", "i32 i64");
    if (!result && (out->type != x->type || sorted->type != ACL_INT32 || call_integer(call, "paddedMode")))
        result = fail(ACLNN_PARAM_INVALID, "permuteTokensOut must be of tokens' type, sortedIndicesOut i32, paddedMode false");
    int64_t k = ids->n_dims == 2 ? ids->dims[1] : 1, n = tensor_count(ids), limit = call_integer(call, "numOutTokens");
    int64_t made = limit > 0 && limit < n ? limit : limit < 0 ? n + limit : n;
    bool fits = x->n_dims == 2 && (ids->n_dims == 1 || ids->n_dims == 2) && ids->dims[0] == x->dims[0] && k <= 512 && out->n_dims == 2 &&
                out->dims[0] == made && out->dims[1] == x->dims[1] && tensor_count(sorted) == n;
    return result || fits ? result
                          : fail(ACLNN_PARAM_INVALID, "tokens (n,H), indices (n,K up to 512), permuteTokensOut (%lld,H), sortedIndicesOut (n*K) are expected",
                                 (long long)made);
}

static int compute_permute_tokens(struct call *call)
{
    const struct tensor *x = call_tensor(call, "tokens"), *ids = call_tensor(call, "indices"), *out = call_tensor(call, "permuteTokensOut");
    const struct tensor *sorted = call_tensor(call, "sortedIndicesOut");
    int64_t n = tensor_count(ids), k = ids->n_dims == 2 ? ids->dims[1] : 1, width = x->dims[1];
    struct entry_of *entries = call_scratch(call, (size_t)(n + 1) * sizeof *entries);
    size_t size = type_size(x->type);
    if (!entries)
        return call_no_memory();
    for (int64_t i = 0; i < n; i++)
        entries[i] = (struct entry_of){element_whole(ids, element_at(ids, i)), i};
    qsort(entries, (size_t)n, sizeof *entries, compare_entries);
    for (int64_t i = 0; i < n; i++) {
        element_store(sorted, element_at(sorted, entries[i].at), (double)i);
        for (int64_t j = 0; j < width && i < out->dims[0]; j++)
            memcpy(out->data + (size_t)element_at(out, i * width + j) * size, x->data + (size_t)element_at(x, entries[i].at / k * width + j) * size, size);
    }
    return 0;
}

const struct operator_implementation implementation_moe_permute = {.check = check_permute_tokens, .compute = compute_permute_tokens};

/* ---- MoeComputeExpertTokens: of sorted expert numbers, how many are at most e ---- */
static int check_expert_tokens(struct call *call)
{
    const struct tensor *sorted = call_tensor(call, "sortedExperts"), *out = call_tensor(call, "out");
    int result = check_type(sorted, "sortedExperts", "i32");
    if (!result)
        result = check_type(out, "out", "i32");
    return result || (sorted->n_dims == 1 && out->n_dims == 1 && out->dims[0] == call_integer(call, "numExperts"))
               ? result
               : fail(ACLNN_PARAM_INVALID, "sortedExperts must have one dimension, out numExperts elements");
}

static int compute_expert_tokens(struct call *call)
{
    const struct tensor *sorted = call_tensor(call, "sortedExperts"), *out = call_tensor(call, "out");
    int64_t done = 0;
    for (int64_t e = 0; e < out->dims[0]; e++) {
        while (done < sorted->dims[0] && element_whole(sorted, element_at(sorted, done)) <= e)
            done++;
        element_store(out, element_at(out, e), (double)done);
    }
    return 0;
}

const struct operator_implementation implementation_moe_expert_tokens = {.check = check_expert_tokens, .compute = compute_expert_tokens};
