/* How an operator is described and executed. A row of operator_table.h gives its symbol, the chips that have it, its implementation and its arguments in ABI
 * order; from the row come both exports. Phase one copies every argument into a struct call (shapes, strides, attributes, the contents of host arrays: frozen
 * from here on), runs the common checks and the implementation's check. Phase two queues the call; on the worker its device addresses are resolved and pinned,
 * then compute runs. Implementations read arguments by name. */
#ifndef OPERATOR_H
#define OPERATOR_H

#include "emulator.h"

#define MAX_DIMS 8

struct tensor {
    bool present;
    const struct aclTensor *object; /* the caller's; must live until phase two */
    uint64_t object_id;
    int64_t dims[MAX_DIMS], strides[MAX_DIMS], offset, storage[MAX_DIMS]; /* elements */
    unsigned n_dims, n_storage;
    aclDataType type;
    aclFormat format;
    uint64_t address;
    unsigned char *data; /* while computing: element 0 of the storage */
    struct block *block;
};

struct aclTensor {
    struct object object;
    struct tensor tensor;
};
struct aclScalar {
    struct object object;
    aclDataType type;
    double value;
};
struct array { /* IntArray, FloatArray, BoolArray: values as int64 or double */
    struct object object;
    uint64_t size;
    int64_t *integers;
    double *reals;
};
struct handle_list { /* TensorList, ScalarList */
    struct object object;
    uint64_t size;
    const void **items;
};

enum argument_kind { ARGUMENT_TENSOR, ARGUMENT_LIST, ARGUMENT_INTEGERS, ARGUMENT_SCALAR, ARGUMENT_INTEGER, ARGUMENT_REAL, ARGUMENT_TEXT };
enum role { ROLE_INPUT, ROLE_OPTIONAL, ROLE_OUTPUT, ROLE_OPTIONAL_OUTPUT, ROLE_REFERENCE };

struct argument { /* as passed by the caller */
    const char *name;
    enum argument_kind kind;
    enum role role;
    const void *handle;
    int64_t integer;
    double real;
};

struct value { /* as frozen by phase one */
    const char *name;
    enum argument_kind kind;
    enum role role;
    bool present;
    struct tensor *tensors;
    size_t count; /* tensors, or integers */
    int64_t *integers;
    int64_t integer;
    double real;
    aclDataType scalar_type;
    char text[32];
};

struct call;

struct operator_implementation {
    int (*check)(struct call *call);                    /* phase one; NULL: nothing beyond the common checks */
    int (*compute)(struct call *call);                  /* on the worker; 0 or a late code */
    double (*cube_operations)(const struct call *call); /* for the modelled time; NULL: memory-bound */
    uint64_t (*workspace)(const struct call *call);     /* NULL: 0 unless a tensor is strided */
    bool int4;                                          /* takes tensors of int4 */
    bool transposes;                                    /* reads matrices with their last two axes swapped as they are, without copying them */
};

struct operator_row {
    const char *name; /* aclnn... */
    unsigned socs;
    const struct operator_implementation *implementation;
    int detail; /* which of the operators an implementation serves */
    const char *limits;
};

struct call {
    const struct operator_row *row;
    struct value *values;
    size_t n_values;
    struct device *device;
    uint64_t order;                      /* seed of the order of sums; 0: canonical */
    uint64_t workspace, workspace_bytes; /* device address; scribbled over by every execution */
    void **scratch;
    size_t n_scratch;
};

/* executor.c */
int operator_prepare(const struct operator_row *row, const struct argument *arguments, size_t n_arguments, uint64_t *workspace, aclOpExecutor **executor);
int operator_launch(const struct operator_row *row, void *workspace, uint64_t workspace_size, aclOpExecutor *executor, aclrtStream stream);

/* call.c: arguments by name; absent or unknown: NULL, 0 */
struct tensor *call_tensor(const struct call *call, const char *name);
const struct value *call_value(const struct call *call, const char *name);
int64_t call_integer(const struct call *call, const char *name);
double call_real(const struct call *call, const char *name);
const char *call_text(const struct call *call, const char *name); /* "" when absent */
void *call_scratch(struct call *call, size_t bytes);              /* NULL: no host memory; freed after compute */
int call_no_memory(void);
int call_freeze(struct call *call, const struct argument *arguments, size_t n_arguments);
struct call *call_copy(const struct call *call);
void call_free(struct call *call); /* what it holds, not itself */
int call_run(struct call *call, bool flip_bit);
void call_describe(const struct call *call, char *text, size_t size);
double call_time_ns(const struct call *call);

/* tensor.c */
int64_t tensor_end(const struct tensor *tensor, unsigned back); /* the dimension so many from the end, 1 the last; 1 where there is none */
int64_t tensor_count(const struct tensor *tensor);
size_t type_size(aclDataType type); /* bytes; 1 for int4, of which two lie in a byte: see type_bits */
int type_bits(aclDataType type);
bool type_listed(const char *types, const char *own);      /* a word of a list such as "f16 bf16" */
struct tensor tensor_as_int4(const struct tensor *tensor); /* an INT32 tensor seen as the eight int4 in each element; others as they are */
const char *type_name(aclDataType type);
bool type_is_float(aclDataType type);
bool tensor_is_contiguous(const struct tensor *tensor);
bool tensor_is_transposed(const struct tensor *tensor); /* contiguous but for the last two axes, which are swapped */
bool tensor_same_shape(const struct tensor *a, const struct tensor *b);
uint64_t tensor_bytes(const struct tensor *tensor);                               /* from element 0 of the storage to the last element of the view */
int check_type(const struct tensor *tensor, const char *name, const char *types); /* types as "f16 bf16 f32 i8 i32 i64 bool" */

/* numeric.c: element access and rounding (nearest, ties to even; fp16 overflow to infinity, on 310P to +-65504) */
float half_to_float(uint16_t half);
uint16_t float_to_half(float value);
float bf16_to_float(uint16_t bits);
uint16_t float_to_bf16(float value);
double element_load(const struct tensor *tensor, int64_t element);   /* element counted from the storage's start */
int64_t element_whole(const struct tensor *tensor, int64_t element); /* exact, of an integer type */
void element_store(const struct tensor *tensor, int64_t element, double value);
float round_to_type(aclDataType type, float value);                 /* through the type and back */
int64_t element_at(const struct tensor *tensor, int64_t logical);   /* row-major index in the view -> element of the storage */
float *floats_load(struct call *call, const struct tensor *tensor); /* the whole view, row-major; NULL: no memory */
void floats_store(const struct tensor *tensor, const float *values);
void floats_from(aclDataType type, const unsigned char *from, int64_t count, float *to); /* count contiguous elements of a floating type or int8 */
void doubles_load_broadcast(const struct tensor *tensor, const int64_t *dims, unsigned n_dims, double *to);
int32_t dot_int8(const int8_t *a, const int8_t *b, int64_t count);        /* exact; wraps beyond 32 bits */
float dot(const float *a, const float *b, int64_t count, uint64_t order); /* fp32 products and sums; order chooses the split of the range */

#endif
