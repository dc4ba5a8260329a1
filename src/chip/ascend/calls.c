#include "chip/ascend/calls.h"

#include <string.h>

#include "base/memory.h"

enum owned_kind { OWNED_TENSOR, OWNED_LIST, OWNED_INTEGERS, OWNED_SCALAR };

struct owned {
    enum owned_kind kind;
    void *handle;
};

#define NO_LIMIT INT64_C(2147483647) /* of a window's reach */

/* ---- Lists. */

void calls_init(struct call_list *list, const struct ascend_library *library)
{
    *list = (struct call_list){.library = library, .label = ""};
}

static void destroy_owned(const struct ascend_library *library, const struct owned *owned)
{
    switch (owned->kind) {
    case OWNED_TENSOR: library->destroy_tensor(owned->handle); break;
    case OWNED_LIST: library->destroy_tensor_list(owned->handle); break; /* and its tensors */
    case OWNED_INTEGERS: library->destroy_integers(owned->handle); break;
    case OWNED_SCALAR: library->destroy_scalar(owned->handle); break;
    }
}

void calls_clear(struct call_list *list)
{
    for (int32_t i = 0; i < list->count; i++)
        if (list->calls[i].executor)
            list->library->destroy_executor(list->calls[i].executor);
    for (int32_t i = 0; i < list->n_owned; i++)
        destroy_owned(list->library, &list->owned[i]);
    list->count = list->n_owned = 0;
    list->failed = 0;
    list->workspace_bytes = 0;
}

void calls_free(struct call_list *list)
{
    calls_clear(list);
    mem_free(list->calls);
    mem_free(list->owned);
    *list = (struct call_list){0};
}

/* Room for one more; false: no memory, kept in the list. */
static bool reserve(struct call_list *list, void **items, int32_t count, int32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    int32_t larger = *capacity ? 2 * *capacity : 64;
    void *grown = mem_realloc_array(*items, (size_t)larger, size);
    if (!grown) {
        list->failed = SAMPAN_ENOMEM;
        return false;
    }
    *items = grown;
    *capacity = larger;
    return true;
}

static void *own(struct call_list *list, enum owned_kind kind, void *handle)
{
    if (!handle) {
        list->failed = list->failed ? list->failed : SAMPAN_ENOMEM;
        return NULL;
    }
    void *items = list->owned;
    bool fits = reserve(list, &items, list->n_owned, &list->owned_capacity, sizeof *list->owned);
    list->owned = items;
    const struct owned owned = {kind, handle};
    if (!fits) {
        destroy_owned(list->library, &owned);
        return NULL;
    }
    list->owned[list->n_owned++] = owned;
    return handle;
}

/* A call with no arguments yet; never NULL: after a failure a dummy that nobody runs. */
static struct call *add_call(struct call_list *list, int name)
{
    static _Thread_local struct call dummy;
    void *items = list->calls;
    bool fits = reserve(list, &items, list->count, &list->capacity, sizeof *list->calls);
    list->calls = items;
    struct call *call = fits ? &list->calls[list->count++] : &dummy;
    *call = (struct call){.name = name, .label = list->label};
    return call;
}

static acl_tensor make_tensor(struct call_list *list, const struct view *view, bool is_owned)
{
    if (!view->data)
        return NULL;
    bool is_contiguous = true;
    int64_t contiguous[CALL_MAX_DIMS], count = 1;
    for (int32_t d = 0; d < view->n_dims; d++)
        is_contiguous = is_contiguous && view->strides[d] == 0;
    for (int32_t d = view->n_dims - 1; d >= 0; d--) {
        contiguous[d] = count;
        count *= view->dims[d];
    }
    acl_tensor tensor = list->library->create_tensor(view->dims, (uint64_t)view->n_dims, (int)view->type, is_contiguous ? contiguous : view->strides,
                                                     view->offset, view->is_nz ? ACL_NZ : ACL_ND, view->is_nz ? view->storage : view->dims,
                                                     view->is_nz ? 4 : (uint64_t)view->n_dims, view->data);
    if (!is_owned) {
        if (!tensor)
            list->failed = list->failed ? list->failed : SAMPAN_ENOMEM;
        return tensor;
    }
    return own(list, OWNED_TENSOR, tensor);
}

static void set_tensors(struct call_list *list, struct call *call, int count, const struct view *views)
{
    for (int i = 0; i < count; i++)
        call->tensors[i] = make_tensor(list, &views[i], true);
}

/* A list of one tensor or two; it owns them. */
static acl_tensor_list make_list(struct call_list *list, const struct view *a, const struct view *b)
{
    acl_tensor tensors[2] = {make_tensor(list, a, false), b ? make_tensor(list, b, false) : NULL};
    acl_tensor_list made = tensors[0] && (!b || tensors[1]) ? list->library->create_tensor_list(tensors, b ? 2 : 1) : NULL;
    for (int i = 0; !made && i < 2; i++)
        if (tensors[i])
            list->library->destroy_tensor(tensors[i]);
    return own(list, OWNED_LIST, made);
}

static acl_scalar make_scalar(struct call_list *list, float value)
{
    return own(list, OWNED_SCALAR, list->library->create_scalar(&value, ACL_F32));
}

/* ---- Phase one: the operators' arguments in the vendor's order. */

typedef int prepare_function(const struct call *call, ascend_function function, uint64_t *bytes, acl_executor *executor);

/* PREPARE(name, the types of the arguments, the arguments of call `c`) */
#define TYPES(...) __VA_ARGS__
#define PREPARE(name, types, ...)                                                                                                                              \
    static int prepare_##name(const struct call *c, ascend_function function, uint64_t *bytes, acl_executor *executor)                                         \
    {                                                                                                                                                          \
        return ((int (*)(types, uint64_t *, acl_executor *))function)(__VA_ARGS__, bytes, executor);                                                           \
    }

typedef acl_tensor T;
typedef acl_tensor_list L;
typedef acl_scalar S;

PREPARE(matmul, TYPES(T, T, T, int8_t), c->tensors[0], c->tensors[1], c->tensors[2], (int8_t)c->numbers[0])
PREPARE(one, TYPES(T), c->tensors[0])
PREPARE(quant_matmul, TYPES(T, T, T, T, T, T, T, T, T, bool, bool, int64_t, T), c->tensors[0], c->tensors[1], c->tensors[2], c->tensors[3], NULL, NULL, NULL,
        NULL, c->tensors[4], false, true, 0, c->tensors[5])
PREPARE(dynamic_quant, TYPES(T, T, T, T), c->tensors[0], NULL, c->tensors[1], c->tensors[2])
PREPARE(rms_norm, TYPES(T, T, double, T, T), c->tensors[0], c->tensors[1], c->reals[0], c->tensors[2], c->tensors[3])
PREPARE(add_rms_norm, TYPES(T, T, T, double, T, T, T), c->tensors[0], c->tensors[1], c->tensors[2], c->reals[0], c->tensors[3], c->tensors[4], c->tensors[5])
PREPARE(sum, TYPES(T, T, S, T), c->tensors[0], c->tensors[1], c->scalars[0], c->tensors[2])
PREPARE(sum_in_place, TYPES(T, T, S), c->tensors[0], c->tensors[1], c->scalars[0])
PREPARE(three, TYPES(T, T, T), c->tensors[0], c->tensors[1], c->tensors[2])
PREPARE(plus_scalar, TYPES(T, S, S, T), c->tensors[0], c->scalars[0], c->scalars[1], c->tensors[1])
PREPARE(with_scalar, TYPES(T, S, T), c->tensors[0], c->scalars[0], c->tensors[1])
PREPARE(rotary_v2, TYPES(T, T, T, T, int64_t, const char *), c->tensors[0], c->tensors[1], c->tensors[2], c->tensors[3], ACL_ROTARY_TOKENS, "half")
PREPARE(rotary, TYPES(T, T, T, T, int64_t), c->tensors[0], c->tensors[1], c->tensors[2], c->tensors[3], ACL_ROTARY_TOKENS)
PREPARE(rope_by_position, TYPES(T, T, T, T, acl_integers, int64_t, bool, T, T), c->tensors[0], c->tensors[1], c->tensors[2], c->tensors[3], NULL, c->numbers[0],
        c->numbers[1] != 0, c->tensors[4], c->tensors[5])
PREPARE(scatter_kv, TYPES(T, T, T, T, T, T, T, T, const char *, const char *, acl_integers, acl_integers), c->tensors[0], c->tensors[1], c->tensors[2],
        c->tensors[3], c->tensors[4], NULL, NULL, NULL, NULL, NULL, c->integers[0], c->integers[1])
PREPARE(by_index, TYPES(T, int64_t, T, T), c->tensors[0], 0, c->tensors[1], c->tensors[2])
PREPARE(along_last, TYPES(T, int64_t, T), c->tensors[0], -1, c->tensors[1])
PREPARE(concatenate, TYPES(L, int64_t, T), c->lists[0], -1, c->tensors[0])
PREPARE(cast, TYPES(T, int, T), c->tensors[0], (int)c->numbers[0], c->tensors[1])
PREPARE(arg_max, TYPES(T, int64_t, bool, T), c->tensors[0], 1, false, c->tensors[1])
PREPARE(top_k, TYPES(T, int64_t, int64_t, bool, bool, T, T), c->tensors[0], c->numbers[0], 1, true, true, c->tensors[1], c->tensors[2])

/* numbers: heads, kv heads, sparse mode, block tokens, positions before. What follows the query: the two lists, positional bias, mask, lengths of queries
 * and keys, ten tensors of quantisation and paging among which only the block table is used, ... */
#define ATTENTION_HEAD                                                                                                                                         \
    c->tensors[0], c->lists[0], c->lists[1], NULL, c->tensors[1], NULL, c->integers[0], NULL, NULL, NULL, NULL, NULL, NULL, NULL, c->tensors[2], NULL, NULL,   \
        NULL, NULL, NULL, NULL, NULL, NULL, NULL
#define ATTENTION_HEAD_TYPES T, L, L, T, T, acl_integers, acl_integers, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, acl_integers
#define ATTENTION_TAIL                                                                                                                                         \
    c->numbers[0], c->reals[0], c->numbers[4], c->numbers[2] == ACL_SPARSE_BAND ? 0 : NO_LIMIT, "BSND", c->numbers[1], c->numbers[2], 0, c->numbers[3], 0,     \
        false, 0, 0, c->tensors[3], NULL
#define ATTENTION_TAIL_TYPES int64_t, double, int64_t, int64_t, const char *, int64_t, int64_t, int64_t, int64_t, int64_t, bool, int64_t, int64_t, T, T

PREPARE(attention_v2, TYPES(ATTENTION_HEAD_TYPES, ATTENTION_TAIL_TYPES), ATTENTION_HEAD, ATTENTION_TAIL)
PREPARE(attention_v3, TYPES(ATTENTION_HEAD_TYPES, T, T, T, ATTENTION_TAIL_TYPES), ATTENTION_HEAD, NULL, NULL, NULL, ATTENTION_TAIL)

static prepare_function *const prepare_functions[OPERATOR_COUNT] = {
    [OPERATOR_MATMUL] = prepare_matmul,
    [OPERATOR_WEIGHT_TO_NZ] = prepare_one,
    [OPERATOR_QUANT_MATMUL] = prepare_quant_matmul,
    [OPERATOR_DYNAMIC_QUANT] = prepare_dynamic_quant,
    [OPERATOR_RMS_NORM] = prepare_rms_norm,
    [OPERATOR_ADD_RMS_NORM] = prepare_add_rms_norm,
    [OPERATOR_ADD] = prepare_sum,
    [OPERATOR_ADD_IN_PLACE] = prepare_sum_in_place,
    [OPERATOR_SUBTRACT] = prepare_sum,
    [OPERATOR_MULTIPLY] = prepare_three,
    [OPERATOR_ADD_SCALAR] = prepare_plus_scalar,
    [OPERATOR_MULTIPLY_SCALAR] = prepare_with_scalar,
    [OPERATOR_AT_LEAST] = prepare_with_scalar,
    [OPERATOR_ABOVE] = prepare_with_scalar,
    [OPERATOR_ROTARY_V2] = prepare_rotary_v2,
    [OPERATOR_ROTARY] = prepare_rotary,
    [OPERATOR_ROPE_BY_POSITION] = prepare_rope_by_position,
    [OPERATOR_SCATTER_KV] = prepare_scatter_kv,
    [OPERATOR_INDEX_COPY] = prepare_by_index,
    [OPERATOR_ATTENTION_V2] = prepare_attention_v2,
    [OPERATOR_ATTENTION_V3] = prepare_attention_v3,
    [OPERATOR_EMBEDDING] = prepare_three,
    [OPERATOR_SELECT] = prepare_by_index,
    [OPERATOR_SWIGLU] = prepare_along_last,
    [OPERATOR_CONCATENATE] = prepare_concatenate,
    [OPERATOR_CAST] = prepare_cast,
    [OPERATOR_ARG_MAX] = prepare_arg_max,
    [OPERATOR_TOP_K] = prepare_top_k,
};

static int prepare_call(struct ascend_chip *chip, struct call *call, bool repeatable, struct error *err)
{
    const struct ascend_operator *found = &chip->library->operators[call->name];
    if (call->executor)
        chip->library->destroy_executor(call->executor);
    call->executor = NULL;
    int code = prepare_functions[call->name](call, found->prepare, &call->workspace_bytes, &call->executor);
    if (code) {
        call->executor = NULL;
        return ascend_chip_fail(chip, code, err, "%s: %sGetWorkspaceSize", call->label, found->symbol);
    }
    call->repeatable = repeatable && chip->library->make_repeatable(call->executor) == 0;
    return 0;
}

int calls_prepare(struct ascend_chip *chip, struct call_list *list, int32_t first, bool repeatable, struct error *err)
{
    if (list->failed == SAMPAN_ENOMEM)
        return error_no_memory(err, "describing the calls of a step");
    for (int32_t i = first; i < list->count; i++) {
        struct call *call = &list->calls[i];
        if (call->name == CALL_NO_OPERATOR)
            continue;
        int status = prepare_call(chip, call, repeatable, err);
        if (status)
            return status;
        if (call->workspace_bytes > list->workspace_bytes)
            list->workspace_bytes = call->workspace_bytes;
    }
    return 0;
}

int call_run(struct ascend_chip *chip, struct call *call, void *workspace, uint64_t workspace_bytes, acl_stream stream, struct error *err)
{
    if (!call->executor) {
        int status = prepare_call(chip, call, false, err);
        if (status)
            return status;
    }
    acl_executor executor = call->executor;
    if (!call->repeatable)
        call->executor = NULL; /* consumed, whatever comes of it */
    if (call->workspace_bytes > workspace_bytes)
        return error_set(err, SAMPAN_EINTERNAL, "%s: %s wants %llu bytes of workspace, %llu are there", call->label,
                         chip->library->operators[call->name].symbol, (unsigned long long)call->workspace_bytes, (unsigned long long)workspace_bytes);
    int code = chip->library->operators[call->name].run(call->workspace_bytes ? workspace : NULL, call->workspace_bytes, executor, stream);
    return code ? ascend_chip_fail(chip, code, err, "%s: %s", call->label, chip->library->operators[call->name].symbol) : 0;
}

/* ---- Views. */

size_t acl_type_bytes(enum acl_type type)
{
    switch (type) {
    case ACL_I8:
    case ACL_BOOL: return 1;
    case ACL_F16:
    case ACL_BF16: return 2;
    case ACL_F32:
    case ACL_I32: return 4;
    case ACL_I64: return 8;
    }
    return 0;
}

struct view view_1d(void *data, enum acl_type type, int64_t count)
{
    return (struct view){.data = data, .type = type, .n_dims = 1, .dims = {count}};
}

struct view view_2d(void *data, enum acl_type type, int64_t rows, int64_t columns)
{
    return (struct view){.data = data, .type = type, .n_dims = 2, .dims = {rows, columns}};
}

struct view view_3d(void *data, enum acl_type type, int64_t a, int64_t b, int64_t c)
{
    return (struct view){.data = data, .type = type, .n_dims = 3, .dims = {a, b, c}};
}

struct view view_4d(void *data, enum acl_type type, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (struct view){.data = data, .type = type, .n_dims = 4, .dims = {a, b, c, d}};
}

/* Columns of a fractal: 32 bytes. */
static int64_t fractal_columns(enum acl_type type)
{
    return 32 / (int64_t)acl_type_bytes(type);
}

uint64_t view_nz_bytes(enum acl_type type, int64_t n, int64_t k)
{
    int64_t c0 = fractal_columns(type);
    return (uint64_t)((n + 15) / 16 * 16) * (uint64_t)((k + c0 - 1) / c0 * c0) * acl_type_bytes(type);
}

struct view view_weight(void *data, enum acl_type type, int64_t n, int64_t k, bool is_nz)
{
    int64_t c0 = fractal_columns(type);
    struct view view = {.data = data, .type = type, .n_dims = 2, .dims = {k, n}, .strides = {1, k}, .is_nz = is_nz};
    view.storage[0] = (k + c0 - 1) / c0;
    view.storage[1] = (n + 15) / 16;
    view.storage[2] = 16;
    view.storage[3] = c0;
    return view;
}

struct view view_quant_weight(void *data, int64_t n, int64_t k)
{
    struct view view = view_weight(data, ACL_I8, n, k, true);
    view.n_dims = 4;
    for (int32_t d = 0; d < 4; d++) {
        view.dims[d] = view.storage[d];
        view.strides[d] = 0;
    }
    return view;
}

/* ---- Operators. */

void add_place(struct call_list *list, int64_t number)
{
    add_call(list, CALL_NO_OPERATOR)->numbers[0] = number;
}

void add_matmul(struct call_list *list, struct view x, struct view weight, struct view out)
{
    set_tensors(list, add_call(list, OPERATOR_MATMUL), 3, (const struct view[]){x, weight, out});
}

void add_weight_to_nz(struct call_list *list, struct view weight)
{
    set_tensors(list, add_call(list, OPERATOR_WEIGHT_TO_NZ), 1, &weight);
}

void add_quant_matmul(struct call_list *list, struct view x, struct view x_scales, struct view weight, struct view weight_scales, struct view bias,
                      struct view out)
{
    set_tensors(list, add_call(list, OPERATOR_QUANT_MATMUL), 6, (const struct view[]){x, weight, x_scales, weight_scales, bias, out});
}

void add_dynamic_quant(struct call_list *list, struct view x, struct view out, struct view scales)
{
    set_tensors(list, add_call(list, OPERATOR_DYNAMIC_QUANT), 3, (const struct view[]){x, out, scales});
}

void add_rms_norm(struct call_list *list, struct view x, struct view gamma, double epsilon, struct view rstd, struct view out)
{
    struct call *call = add_call(list, OPERATOR_RMS_NORM);
    call->reals[0] = epsilon;
    set_tensors(list, call, 4, (const struct view[]){x, gamma, out, rstd});
}

void add_add_rms_norm(struct call_list *list, struct view x, struct view residual, struct view gamma, double epsilon, struct view rstd, struct view sum,
                      struct view out)
{
    struct call *call = add_call(list, OPERATOR_ADD_RMS_NORM);
    call->reals[0] = epsilon;
    set_tensors(list, call, 6, (const struct view[]){x, residual, gamma, out, rstd, sum});
}

static void add_binary(struct call_list *list, int name, int count, const struct view *views, bool with_alpha)
{
    struct call *call = add_call(list, name);
    if (with_alpha)
        call->scalars[0] = make_scalar(list, 1.0f);
    set_tensors(list, call, count, views);
}

void add_sum(struct call_list *list, struct view a, struct view b, struct view out)
{
    add_binary(list, OPERATOR_ADD, 3, (const struct view[]){a, b, out}, true);
}

void add_sum_in_place(struct call_list *list, struct view x, struct view b)
{
    add_binary(list, OPERATOR_ADD_IN_PLACE, 2, (const struct view[]){x, b}, true);
}

void add_difference(struct call_list *list, struct view a, struct view b, struct view out)
{
    add_binary(list, OPERATOR_SUBTRACT, 3, (const struct view[]){a, b, out}, true);
}

void add_product(struct call_list *list, struct view a, struct view b, struct view out)
{
    add_binary(list, OPERATOR_MULTIPLY, 3, (const struct view[]){a, b, out}, false);
}

static void add_scalar_call(struct call_list *list, int name, struct view x, float scalar, bool with_alpha, struct view out)
{
    struct call *call = add_call(list, name);
    call->scalars[0] = make_scalar(list, scalar);
    if (with_alpha)
        call->scalars[1] = make_scalar(list, 1.0f);
    set_tensors(list, call, 2, (const struct view[]){x, out});
}

void add_plus_scalar(struct call_list *list, struct view x, float scalar, struct view out)
{
    add_scalar_call(list, OPERATOR_ADD_SCALAR, x, scalar, true, out);
}

void add_times_scalar(struct call_list *list, struct view x, float scalar, struct view out)
{
    add_scalar_call(list, OPERATOR_MULTIPLY_SCALAR, x, scalar, false, out);
}

void add_at_least(struct call_list *list, struct view x, float scalar, struct view out)
{
    add_scalar_call(list, OPERATOR_AT_LEAST, x, scalar, false, out);
}

void add_above(struct call_list *list, struct view x, float scalar, struct view out)
{
    add_scalar_call(list, OPERATOR_ABOVE, x, scalar, false, out);
}

void add_rotary(struct call_list *list, struct view query, struct view key, struct view cosines, struct view sines)
{
    int name = ascend_has(list->library, OPERATOR_ROTARY_V2) ? OPERATOR_ROTARY_V2 : OPERATOR_ROTARY;
    set_tensors(list, add_call(list, name), 4, (const struct view[]){query, key, cosines, sines});
}

void add_rope_by_position(struct call_list *list, struct view positions, struct view query, struct view key, struct view table, int64_t head_width, bool halves,
                          struct view query_out, struct view key_out)
{
    struct call *call = add_call(list, OPERATOR_ROPE_BY_POSITION);
    call->numbers[0] = head_width;
    call->numbers[1] = halves;
    set_tensors(list, call, 6, (const struct view[]){positions, query, key, table, query_out, key_out});
}

void add_scatter_kv(struct call_list *list, struct view key, struct view key_cache, struct view slots, struct view value, struct view value_cache)
{
    static const int64_t strides[] = {1, 1}, offsets[] = {0, 0}; /* unused, but wanted */
    struct call *call = add_call(list, OPERATOR_SCATTER_KV);
    call->integers[0] = own(list, OWNED_INTEGERS, list->library->create_integers(strides, 2));
    call->integers[1] = own(list, OWNED_INTEGERS, list->library->create_integers(offsets, 2));
    set_tensors(list, call, 5, (const struct view[]){key, key_cache, slots, value, value_cache});
}

void add_index_copy(struct call_list *list, struct view cache, struct view slots, struct view rows)
{
    set_tensors(list, add_call(list, OPERATOR_INDEX_COPY), 3, (const struct view[]){cache, slots, rows});
}

void add_embedding(struct call_list *list, struct view table, struct view indices, struct view out)
{
    set_tensors(list, add_call(list, OPERATOR_EMBEDDING), 3, (const struct view[]){table, indices, out});
}

void add_select(struct call_list *list, struct view table, struct view indices, struct view out)
{
    set_tensors(list, add_call(list, OPERATOR_SELECT), 3, (const struct view[]){table, indices, out});
}

void add_swiglu(struct call_list *list, struct view x, struct view out)
{
    set_tensors(list, add_call(list, OPERATOR_SWIGLU), 2, (const struct view[]){x, out});
}

void add_concatenate(struct call_list *list, struct view a, struct view b, struct view out)
{
    struct call *call = add_call(list, OPERATOR_CONCATENATE);
    call->lists[0] = make_list(list, &a, &b);
    set_tensors(list, call, 1, &out);
}

void add_cast(struct call_list *list, struct view x, struct view out)
{
    struct call *call = add_call(list, OPERATOR_CAST);
    call->numbers[0] = out.type;
    set_tensors(list, call, 2, (const struct view[]){x, out});
}

void add_arg_max(struct call_list *list, struct view x, struct view out)
{
    set_tensors(list, add_call(list, OPERATOR_ARG_MAX), 2, (const struct view[]){x, out});
}

void add_top_k(struct call_list *list, struct view x, int64_t k, struct view values, struct view ids)
{
    struct call *call = add_call(list, OPERATOR_TOP_K);
    call->numbers[0] = k;
    set_tensors(list, call, 3, (const struct view[]){x, values, ids});
}

void add_attention(struct call_list *list, const struct attention_call *attention)
{
    struct call *call = add_call(list, ascend_has(list->library, OPERATOR_ATTENTION_V3) ? OPERATOR_ATTENTION_V3 : OPERATOR_ATTENTION_V2);
    const int64_t numbers[] = {attention->n_heads, attention->n_kv_heads, attention->sparse, attention->block_tokens,
                               attention->sparse == ACL_SPARSE_BAND ? attention->before : NO_LIMIT};
    memcpy(call->numbers, numbers, sizeof numbers);
    call->reals[0] = attention->scale;
    call->lists[0] = make_list(list, &attention->keys, NULL);
    call->lists[1] = make_list(list, &attention->values, NULL);
    call->integers[0] = own(list, OWNED_INTEGERS, list->library->create_integers(attention->lengths, (uint64_t)attention->batch));
    set_tensors(list, call, 4, (const struct view[]){attention->query, attention->mask, attention->table, attention->out});
}
