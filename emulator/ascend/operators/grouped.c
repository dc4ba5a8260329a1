/* Grouped products: rows of x by expert, each group with its own weight. The group list lies on the DEVICE (the host never sees it); rows behind its total are
 * not written. Weights ND or in FRACTAL_NZ. int8 with scales (quantised), int8 or int4 with antiquant scales (weight only), or floating types. */
#include "operators/matrix.h"

#include <math.h>

struct grouped {
    const struct value *x, *weight, *bias, *scale, *offset, *anti_scale, *anti_offset, *token_scale, *out;
    const struct tensor *list;
    int64_t type, list_type, activation, groups;
    bool single; /* groupType 0: one x, one out; the weight is one tensor [E,k,n], or a list of E */
};

static const struct value *list_of(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    bool empty = !value || !value->present || !value->count || (value->count == 1 && tensor_count(value->tensors) == 0); /* one of zero size stands for none */
    return empty ? NULL : value;
}

static struct grouped grouped_of(const struct call *call)
{
    struct grouped g = {.x = list_of(call, "x"),
                        .weight = list_of(call, "weight"),
                        .bias = list_of(call, "biasOptional"),
                        .scale = list_of(call, "scaleOptional"),
                        .offset = list_of(call, "offsetOptional"),
                        .anti_scale = list_of(call, "antiquantScaleOptional"),
                        .anti_offset = list_of(call, "antiquantOffsetOptional"),
                        .token_scale = list_of(call, "perTokenScaleOptional"),
                        .out = list_of(call, "out"),
                        .list = call_tensor(call, "groupListOptional"),
                        .type = call_integer(call, "groupType"),
                        .list_type = call_integer(call, "groupListType"),
                        .activation = call_integer(call, "actType")};
    g.single = g.type == 0;
    if (g.weight)
        g.groups = !g.single || g.weight->count > 1 ? (int64_t)g.weight->count : g.weight->tensors[0].dims[0];
    return g;
}

/* The weight of group e as a (k,n) tensor; for one tensor [E,k,n] the part of it. */
static struct tensor weight_of(const struct grouped *g, int64_t e, int64_t *start)
{
    *start = 0;
    if (!g->single || g->weight->count > 1)
        return tensor_as_int4(&g->weight->tensors[e]);
    struct tensor w = tensor_as_int4(&g->weight->tensors[0]);
    int64_t c0 = 256 / type_bits(w.type), k = tensor_end(&w, 2), n = tensor_end(&w, 1);
    *start = w.format != ACL_FORMAT_FRACTAL_NZ        ? e * w.strides[0]
             : matrix_is_physical(&w)                 ? e * w.strides[0]
             : w.strides[w.n_dims - 1] == 1 || k == 1 ? e * matrix_nz_elements(w.type, k, n)
                                                      : e * ((n + 15) / 16 * 16 * ((k + c0 - 1) / c0 * c0));
    for (unsigned d = 1; d < w.n_dims; d++) {
        w.dims[d - 1] = w.dims[d];
        w.strides[d - 1] = w.strides[d];
    }
    w.n_dims--;
    if (w.format == ACL_FORMAT_FRACTAL_NZ && w.n_storage > w.n_dims && w.n_dims >= 4) { /* physical: storage without the experts, too */
        for (unsigned d = 1; d < w.n_storage; d++)
            w.storage[d - 1] = w.storage[d];
        w.n_storage--;
    }
    return w;
}

/* Element (e, column) of a list that holds [E,n] in one tensor, or (n) in each of E; group: of rows, for [E,G,n]. NULL list: otherwise. */
static float listed(const struct value *list, const struct grouped *g, int64_t e, int64_t group, int64_t column, float otherwise)
{
    if (!list)
        return otherwise;
    bool joined = g->single && list->count == 1;
    const struct tensor *t = &list->tensors[joined ? 0 : e];
    int64_t n = tensor_end(t, 1), groups = t->n_dims >= (joined ? 3u : 2u) ? tensor_end(t, 2) : 1,
            at = ((joined ? e : 0) * groups + group) * n + column;
    int64_t element = element_at(t, tensor_count(t) == 1 ? 0 : at);
    return t->type == ACL_UINT64 || t->type == ACL_INT64 ? scale_unpack((uint64_t)element_whole(t, element)) : (float)element_load(t, element);
}

static int64_t groups_of_rows(const struct value *list, const struct grouped *g)
{
    if (!list)
        return 1;
    const struct tensor *t = &list->tensors[0];
    return t->n_dims >= (g->single && list->count == 1 ? 3u : 2u) ? tensor_end(t, 2) : 1;
}

static const struct legal_group {
    const char *x, *w, *bias, *scale, *token, *anti, *out; /* "-": absent */
} legal_groups[] = {{"f16", "f16", "- f16", "-", "-", "-", "f16"},       {"bf16", "bf16", "- f32", "-", "-", "-", "bf16"},
                    {"f32", "f32", "- f32", "-", "-", "-", "f32"},       {"i8", "i8", "- i32", "u64 i64", "-", "-", "i8"},
                    {"i8", "i8", "- i32", "bf16", "- f32", "-", "bf16"}, {"i8", "i8", "- i32", "f32", "- f32", "-", "f16"},
                    {"i8", "i8", "- i32", "-", "-", "-", "i32"},         {"i4", "i4", "-", "u64 i64", "- f32", "-", "f16 bf16"},
                    {"f16", "i8 i4", "- f16", "-", "-", "f16", "f16"},   {"bf16", "i8 i4", "- f32", "-", "-", "bf16", "bf16"}};

static bool among(const struct value *list, const char *types)
{
    if (!list)
        return type_listed(types, "-");
    struct tensor first = tensor_as_int4(&list->tensors[0]);
    return type_listed(types, type_name(list->tensors[0].type)) || type_listed(types, type_name(first.type));
}

static int check_group_types(const struct grouped *g)
{
    for (size_t i = 0; i < sizeof legal_groups / sizeof *legal_groups; i++) {
        const struct legal_group *row = &legal_groups[i];
        if (among(g->x, row->x) && among(g->weight, row->w) && among(g->bias, row->bias) && among(g->scale, row->scale) && among(g->token_scale, row->token) &&
            among(g->anti_scale, row->anti) && among(g->out, row->out))
            return 0;
    }
    return fail(ACLNN_PARAM_INVALID, "x %s, weight %s, bias %s, scale %s, per-token scale %s, antiquant scale %s, out %s: no legal row",
                type_name(g->x->tensors[0].type), type_name(g->weight->tensors[0].type), g->bias ? type_name(g->bias->tensors[0].type) : "none",
                g->scale ? type_name(g->scale->tensors[0].type) : "none", g->token_scale ? type_name(g->token_scale->tensors[0].type) : "none",
                g->anti_scale ? type_name(g->anti_scale->tensors[0].type) : "none", type_name(g->out->tensors[0].type));
}

static int check_one(const struct grouped *g, int64_t e)
{
    int64_t start;
    struct tensor w = weight_of(g, e, &start), x = tensor_as_int4(&g->x->tensors[g->single ? 0 : e]);
    struct product p = product_of(&x, &w, &g->out->tensors[g->single ? 0 : e], false, false);
    if (!p.fits || x.n_dims != 2)
        return fail(ACLNN_PARAM_INVALID, "group %lld: x (m,k), its weight (k,n) and out (m,n) do not fit: m=%lld k=%lld n=%lld", (long long)e, (long long)p.m,
                    (long long)p.k, (long long)p.n);
    const struct value *wide[4] = {g->bias, g->scale, g->anti_scale, g->anti_offset};
    for (int i = 0; i < 4; i++) {
        const struct tensor *t = !wide[i] ? NULL : &wide[i]->tensors[g->single && wide[i]->count == 1 ? 0 : e];
        if (t && (tensor_end(t, 1) != p.n || (g->single && wide[i]->count == 1 && (t->n_dims < 2 || t->dims[0] != g->groups))))
            return fail(ACLNN_PARAM_INVALID, "%s must be [E,n] (antiquant also [E,G,n]) with E=%lld and n=%lld", wide[i]->name, (long long)g->groups,
                        (long long)p.n);
    }
    if (g->token_scale && tensor_count(&g->token_scale->tensors[g->single ? 0 : e]) != p.m)
        return fail(ACLNN_PARAM_INVALID, "perTokenScale must have m=%lld elements", (long long)p.m);
    return 0;
}

static int check_grouped(struct call *call)
{
    struct grouped g = grouped_of(call);
    int64_t split = call_integer(call, "splitItem");
    static const char *const absent[] = {"activationInputOptional",      "activationQuantScaleOptional", "activationQuantOffsetOptional",
                                         "activationFeatureOutOptional", "dynQuantScaleOutOptional",     "offsetOptional"};
    if (!g.x || !g.weight || !g.out)
        return fail(ACLNN_PARAM_NULLPTR, "x, weight and out must hold tensors");
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (list_of(call, absent[i]))
            return fail(ACLNN_PARAM_INVALID, "%s must be NULL (or hold one tensor of zero size)", absent[i]);
    if (g.type != 0 && g.type != -1)
        return fail(ACLNN_PARAM_INVALID, "groupType is %lld; -1 (lists) or 0 (rows) is expected: the emulator does not split along k", (long long)g.type);
    if (g.single ? split != 2 && split != 3 : split != 0 && split != 1)
        return fail(ACLNN_PARAM_INVALID, "splitItem is %lld; 2 or 3 with groupType 0, 0 or 1 with -1 are expected", (long long)split);
    if (g.list_type < 0 || g.list_type > 2 || g.activation < 0 || g.activation > 5 || g.activation == 3)
        return fail(ACLNN_PARAM_INVALID, "groupListType is %lld (0 to 2), actType %lld (0, 1, 2, 4 or 5)", (long long)g.list_type, (long long)g.activation);
    if (g.single ? g.x->count != 1 || g.out->count != 1 || !g.list : g.x->count != g.weight->count || g.out->count != g.weight->count || g.list)
        return fail(ACLNN_PARAM_INVALID, "groupType 0 takes one x, one out and a groupList; -1 as many of each as weights, and no groupList");
    if (g.groups < 1 || g.groups > 1024 || (g.weight->count > 1 && g.weight->count > 128))
        return fail(ACLNN_PARAM_INVALID, "%lld groups in %zu tensors; up to 1,024 in one, or 128 tensors", (long long)g.groups, g.weight->count);
    int64_t entries = g.list_type == 2 ? 2 * g.groups : g.groups;
    if (g.list && (g.list->type != ACL_INT64 ||
                   (g.list_type == 2 ? tensor_count(g.list) > entries || g.list->n_dims != 2 || g.list->dims[1] != 2 : tensor_count(g.list) != entries)))
        return fail(ACLNN_PARAM_INVALID, "groupList must be i64 with %lld elements%s", (long long)entries, g.list_type == 2 ? " at most, as (E,2)" : "");
    int result = check_group_types(&g);
    for (int64_t e = 0; e < (g.single ? 1 : g.groups) && !result; e++)
        result = check_one(&g, e);
    return result;
}

static float activated(int64_t kind, float x)
{
    switch (kind) {
    case 1: return x > 0 ? x : 0;
    case 2: return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case 4: return x / (1.0f + expf(-1.702f * fabsf(x))) * expf(0.851f * (x - fabsf(x)));
    case 5: return x / (1.0f + expf(-x));
    default: return x;
    }
}

struct group_rows {
    int64_t expert, first, count;
};

/* One column of the weight as the product takes it: widened and scaled where only the weight is quantised. */
static void load_column(const struct grouped *g, const struct tensor *x, const struct matrix *b, int64_t e, int64_t column, float *to)
{
    int64_t k = b->rows, parts = groups_of_rows(g->anti_scale, g), each = (k + parts - 1) / parts;
    for (int64_t r = 0; r < k; r++) {
        float value = (float)element_load(b->tensor, matrix_element(b, r, column));
        if (g->anti_scale)
            value = round_to_type(x->type, (value + listed(g->anti_offset, g, e, r / each, column, 0)) * listed(g->anti_scale, g, e, r / each, column, 1));
        to[r] = value;
    }
}

static float finish_sum(const struct grouped *g, float sum, int64_t e, int64_t column, int64_t row)
{
    bool whole = g->bias && g->bias->tensors[0].type == ACL_INT32;
    if (whole)
        sum += listed(g->bias, g, e, 0, column, 0);
    sum *= listed(g->scale, g, e, 0, column, 1);
    if (g->token_scale) {
        const struct tensor *t = &g->token_scale->tensors[g->single ? 0 : e];
        sum *= (float)element_load(t, element_at(t, row));
    }
    return activated(g->activation, whole ? sum : sum + listed(g->bias, g, e, 0, column, 0));
}

static int multiply_group(struct call *call, const struct grouped *g, const struct group_rows *rows)
{
    int64_t start, e = rows->expert;
    struct tensor w = weight_of(g, e, &start), x = tensor_as_int4(&g->x->tensors[g->single ? 0 : e]);
    const struct tensor *out = &g->out->tensors[g->single ? 0 : e];
    int64_t k = x.dims[1], n = out->dims[1];
    struct matrix b = matrix_of(&w, k, n, false, start);
    int result = matrix_check_buffer(call, &b, "weight");
    float *left = call_scratch(call, (size_t)(rows->count * k + 1) * sizeof *left), *column = call_scratch(call, (size_t)(k + 1) * sizeof *column);
    if (result || !left || !column)
        return result ? result : call_no_memory();
    bool exact = !type_is_float(x.type);
    for (int64_t i = 0; i < rows->count * k; i++)
        left[i] = (float)element_load(&x, element_at(&x, rows->first * k + i));
    for (int64_t c = 0; c < n; c++) {
        load_column(g, &x, &b, e, c, column);
        for (int64_t r = 0; r < rows->count; r++) {
            const float *own = left + r * k;
            double whole = 0; /* products of small integers: exact in fp64 */
            for (int64_t i = 0; i < k && exact; i++)
                whole += (double)own[i] * (double)column[i];
            float sum = finish_sum(g, exact ? (float)whole : dot(own, column, k, call->order), e, c, rows->first + r);
            double stored = out->type == ACL_INT32 ? whole + (double)listed(g->bias, g, e, 0, c, 0) : out->type == ACL_INT8 ? (double)rintf(sum) : (double)sum;
            element_store(out, element_at(out, (rows->first + r) * n + c), stored);
        }
    }
    return 0;
}

static int compute_grouped(struct call *call)
{
    struct grouped g = grouped_of(call);
    int64_t done = 0, entries = !g.single ? g.groups : g.list_type == 2 ? g.list->dims[0] : tensor_count(g.list);
    for (int64_t i = 0; i < entries; i++) {
        struct group_rows rows = {.expert = i};
        if (!g.single) {
            rows.count = g.x->tensors[i].dims[0];
        } else {
            int64_t value = element_whole(g.list, element_at(g.list, g.list_type == 2 ? 2 * i + 1 : i));
            rows.expert = g.list_type == 2 ? element_whole(g.list, element_at(g.list, 2 * i)) : i;
            rows.first = done;
            rows.count = g.list_type == 0 ? value - done : value;
        }
        if (rows.count < 0 || rows.expert < 0 || rows.expert >= g.groups || (g.single && rows.first + rows.count > g.x->tensors[0].dims[0]))
            return fail(RT_AICORE_EXCEPTION, "groupList entry %lld gives group %lld %lld rows from row %lld; x has %lld", (long long)i, (long long)rows.expert,
                        (long long)rows.count, (long long)rows.first, (long long)g.x->tensors[0].dims[0]);
        int result = rows.count ? multiply_group(call, &g, &rows) : 0;
        if (result)
            return result;
        done += rows.count;
    }
    return 0;
}

static double grouped_operations(const struct call *call)
{
    struct grouped g = grouped_of(call);
    double total = 0;
    for (size_t i = 0; i < g.x->count; i++)
        total += 2.0 * (double)tensor_count(&g.x->tensors[i]) * (double)g.out->tensors[i].dims[1];
    return total;
}

static uint64_t grouped_workspace(const struct call *call)
{
    (void)call;
    return 1 << 20;
}

const struct operator_implementation implementation_grouped_matmul = {.check = check_grouped,
                                                                      .compute = compute_grouped,
                                                                      .cube_operations = grouped_operations,
                                                                      .workspace = grouped_workspace,
                                                                      .transposes = true,
                                                                      .int4 = true};
