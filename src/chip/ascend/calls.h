/* Two-phase calls as data. A call names an operator, its tensors and attributes; phase one (call_prepare) makes the vendor's executor from it, phase two
 * (call_run) queues it. A list of calls owns the tensors, arrays and executors it made. Which arguments an operator takes, in the vendor's order, is
 * known to calls.c alone; everyone else adds calls through the functions below, one per operator. Private to chip/ascend/.
 *
 * A failure to make a tensor or to grow a list is kept in the list and reported by calls_prepare. */
#ifndef CHIP_ASCEND_CALLS_H
#define CHIP_ASCEND_CALLS_H

#include "chip/ascend/device.h"

enum { CALL_MAX_TENSORS = 7, CALL_MAX_DIMS = 4, CALL_NO_OPERATOR = -1 };

/* A tensor as a call sees it: where it lies and its shape. strides all 0: contiguous. Plain data; the vendor's object is made when a call is added. */
struct view {
    void *data;
    enum acl_type type;
    int32_t n_dims;
    int64_t dims[CALL_MAX_DIMS];
    int64_t strides[CALL_MAX_DIMS]; /* elements */
    int64_t offset;                 /* elements; 0 but where an operator wants the whole named */
    bool is_nz;                     /* FRACTAL_NZ; storage then says its physical shape */
    int64_t storage[4];
};

struct call {
    int name; /* enum ascend_operator_name, or CALL_NO_OPERATOR: a place where calls of the step are put in */
    acl_tensor tensors[CALL_MAX_TENSORS];
    acl_tensor_list lists[2];
    acl_integers integers[2];
    acl_scalar scalars[2];
    int64_t numbers[5];
    double reals[1];
    const char *label; /* of the program's operation, for messages */
    /* after phase one */
    acl_executor executor;
    uint64_t workspace_bytes;
    bool repeatable; /* the executor survives its run */
};

struct owned;

struct call_list {
    const struct ascend_library *library;
    struct call *calls; /* [count] */
    int32_t count, capacity;
    struct owned *owned; /* tensors, arrays, lists, scalars, in order of making */
    int32_t n_owned, owned_capacity;
    const char *label;        /* of the calls added next */
    int failed;               /* 0 or SAMPAN_E... */
    uint64_t workspace_bytes; /* the largest, after calls_prepare */
};

void calls_init(struct call_list *list, const struct ascend_library *library);
void calls_clear(struct call_list *list); /* destroys what was made, keeps the memory of the lists */
void calls_free(struct call_list *list);

/* Phase one of the calls from `first` on; with `repeatable` the executors are made so where the operator allows it. */
int calls_prepare(struct ascend_chip *chip, struct call_list *list, int32_t first, bool repeatable, struct error *err);
/* Phase two. An executor that is not repeatable is gone afterwards; one that is missing is made again first. */
int call_run(struct ascend_chip *chip, struct call *call, void *workspace, uint64_t workspace_bytes, acl_stream stream, struct error *err);

/* ---- Views. */
struct view view_2d(void *data, enum acl_type type, int64_t rows, int64_t columns);
struct view view_1d(void *data, enum acl_type type, int64_t count);
struct view view_3d(void *data, enum acl_type type, int64_t a, int64_t b, int64_t c);
struct view view_4d(void *data, enum acl_type type, int64_t a, int64_t b, int64_t c, int64_t d);
/* A weight [n, k] as the second factor [k, n] of a product: swapped strides; in NZ its storage is that of [n, k]. */
struct view view_weight(void *data, enum acl_type type, int64_t n, int64_t k, bool is_nz);
/* The same as the quantised product wants it: int8 in NZ, named by its physical shape. */
struct view view_quant_weight(void *data, int64_t n, int64_t k);
size_t acl_type_bytes(enum acl_type type);
uint64_t view_nz_bytes(enum acl_type type, int64_t n, int64_t k); /* of a weight in NZ */

/* ---- Operators. Outputs last; in-place ones first, as `x`. */
void add_place(struct call_list *list, int64_t number); /* CALL_NO_OPERATOR */
void add_matmul(struct call_list *list, struct view x, struct view weight, struct view out);
void add_weight_to_nz(struct call_list *list, struct view weight); /* in place; contiguous [n, k] in memory of view_nz_bytes */
/* x int8 [r, k], scales f32 [r]; weight int8 NZ [n, k] with f32 scales [n]; bias f32 [n] or data NULL. */
void add_quant_matmul(struct call_list *list, struct view x, struct view x_scales, struct view weight, struct view weight_scales, struct view bias,
                      struct view out);
void add_dynamic_quant(struct call_list *list, struct view x, struct view out, struct view scales);
void add_rms_norm(struct call_list *list, struct view x, struct view gamma, double epsilon, struct view rstd, struct view out);
void add_add_rms_norm(struct call_list *list, struct view x, struct view residual, struct view gamma, double epsilon, struct view rstd, struct view sum,
                      struct view out);
void add_sum(struct call_list *list, struct view a, struct view b, struct view out);
void add_sum_in_place(struct call_list *list, struct view x, struct view b);
void add_difference(struct call_list *list, struct view a, struct view b, struct view out);
void add_product(struct call_list *list, struct view a, struct view b, struct view out);
void add_plus_scalar(struct call_list *list, struct view x, float scalar, struct view out);
void add_times_scalar(struct call_list *list, struct view x, float scalar, struct view out);
void add_at_least(struct call_list *list, struct view x, float scalar, struct view out); /* bool */
void add_above(struct call_list *list, struct view x, float scalar, struct view out);    /* bool */
/* query [r, heads, width] and key in place by cos and sin [r, 1, width], halves; with whichever version of the operator there is. */
void add_rotary(struct call_list *list, struct view query, struct view key, struct view cosines, struct view sines);
/* positions i64 [r], query and key [r, heads * width], table [positions, rotary]: cosines, then sines. */
void add_rope_by_position(struct call_list *list, struct view positions, struct view query, struct view key, struct view table, int64_t head_width, bool halves,
                          struct view query_out, struct view key_out);
void add_scatter_kv(struct call_list *list, struct view key, struct view key_cache, struct view slots, struct view value, struct view value_cache);
void add_index_copy(struct call_list *list, struct view cache, struct view slots, struct view rows); /* dimension 0 */
void add_embedding(struct call_list *list, struct view table, struct view indices, struct view out);
void add_select(struct call_list *list, struct view table, struct view indices, struct view out); /* dimension 0 */
void add_swiglu(struct call_list *list, struct view x, struct view out);                          /* last dimension */
void add_concatenate(struct call_list *list, struct view a, struct view b, struct view out);      /* last dimension */
void add_cast(struct call_list *list, struct view x, struct view out);
void add_arg_max(struct call_list *list, struct view x, struct view out); /* dimension 1; i32 [rows] */
void add_top_k(struct call_list *list, struct view x, int64_t k, struct view values, struct view ids);

struct attention_call {
    struct view query, out;   /* [batch, queries, heads, width] */
    struct view keys, values; /* [blocks, block tokens, kv heads * width] */
    struct view mask;         /* bool; data NULL: none */
    struct view table;        /* i32 [batch, blocks of a sequence] */
    const int64_t *lengths;   /* [batch], host */
    int32_t batch;
    int64_t n_heads, n_kv_heads, block_tokens;
    double scale;
    enum acl_sparse_mode sparse;
    int64_t before; /* positions before the query's that a band keeps */
};
void add_attention(struct call_list *list, const struct attention_call *attention);

#endif
