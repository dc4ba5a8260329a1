/* Ascend's libraries, opened at run time: one row per symbol. A required symbol that is missing refuses the library; an optional one is NULL, and whoever
 * wants it has a fallback (operators.c). Nothing here touches a device. */
#ifndef CHIP_ASCEND_LIBRARY_H
#define CHIP_ASCEND_LIBRARY_H

#include "base/error.h"
#include "chip/ascend/acl.h"

/* X(NEEDED or OPTIONAL, field, symbol, result, arguments): runtime, graphs, tensors. OPTIONAL: newer than CANN 8.1, or not there on every chip. */
#define ASCEND_SYMBOLS(X)                                                                                                                                      \
    X(NEEDED, init, "aclInit", int, (const char *configuration))                                                                                               \
    X(NEEDED, recent_message, "aclGetRecentErrMsg", const char *, (void))                                                                                      \
    X(NEEDED, get_version, "aclrtGetVersion", int, (int32_t * major, int32_t * minor, int32_t * patch))                                                        \
    X(OPTIONAL, get_version_text, "aclsysGetVersionStr", int, (char *package, char *text))                                                                     \
    X(NEEDED, get_soc_name, "aclrtGetSocName", const char *, (void))                                                                                           \
    X(NEEDED, set_option, "aclrtSetSysParamOpt", int, (int option, int64_t value))                                                                             \
    X(NEEDED, get_device_count, "aclrtGetDeviceCount", int, (uint32_t * count))                                                                                \
    X(NEEDED, set_device, "aclrtSetDevice", int, (int32_t device))                                                                                             \
    X(NEEDED, reset_device, "aclrtResetDevice", int, (int32_t device))                                                                                         \
    X(NEEDED, reset_device_force, "aclrtResetDeviceForce", int, (int32_t device))                                                                              \
    X(NEEDED, query_device, "aclrtQueryDeviceStatus", int, (int32_t device, int *status))                                                                      \
    X(NEEDED, get_context, "aclrtGetCurrentContext", int, (acl_context * context))                                                                             \
    X(NEEDED, set_context, "aclrtSetCurrentContext", int, (acl_context context))                                                                               \
    X(NEEDED, create_stream, "aclrtCreateStream", int, (acl_stream * stream))                                                                                  \
    X(NEEDED, destroy_stream, "aclrtDestroyStream", int, (acl_stream stream))                                                                                  \
    X(NEEDED, destroy_stream_force, "aclrtDestroyStreamForce", int, (acl_stream stream))                                                                       \
    X(NEEDED, synchronize_stream, "aclrtSynchronizeStreamWithTimeout", int, (acl_stream stream, int32_t milliseconds))                                         \
    X(NEEDED, query_stream, "aclrtStreamQuery", int, (acl_stream stream, int *status))                                                                         \
    X(NEEDED, set_failure_mode, "aclrtSetStreamFailureMode", int, (acl_stream stream, uint64_t mode))                                                          \
    X(NEEDED, create_event, "aclrtCreateEventExWithFlag", int, (acl_event * event, uint32_t flag))                                                             \
    X(NEEDED, destroy_event, "aclrtDestroyEvent", int, (acl_event event))                                                                                      \
    X(NEEDED, record_event, "aclrtRecordEvent", int, (acl_event event, acl_stream stream))                                                                     \
    X(NEEDED, query_event, "aclrtQueryEventStatus", int, (acl_event event, int *status))                                                                       \
    X(NEEDED, synchronize_event, "aclrtSynchronizeEventWithTimeout", int, (acl_event event, int32_t milliseconds))                                             \
    X(NEEDED, allocate, "aclrtMalloc", int, (void **pointer, size_t size, int policy))                                                                         \
    X(NEEDED, release, "aclrtFree", int, (void *pointer))                                                                                                      \
    X(NEEDED, allocate_host, "aclrtMallocHost", int, (void **pointer, size_t size))                                                                            \
    X(NEEDED, release_host, "aclrtFreeHost", int, (void *pointer))                                                                                             \
    X(NEEDED, copy, "aclrtMemcpy", int, (void *to, size_t room, const void *from, size_t count, int kind))                                                     \
    X(NEEDED, copy_async, "aclrtMemcpyAsync", int, (void *to, size_t room, const void *from, size_t count, int kind, acl_stream stream))                       \
    X(NEEDED, copy_2d_async, "aclrtMemcpy2dAsync", int,                                                                                                        \
      (void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height, int kind, acl_stream stream))                              \
    X(NEEDED, fill, "aclrtMemset", int, (void *pointer, size_t room, int32_t value, size_t count))                                                             \
    X(NEEDED, get_memory, "aclrtGetMemInfo", int, (int kind, size_t *available, size_t *total))                                                                \
    X(OPTIONAL, begin_capture, "aclmdlRICaptureBegin", int, (acl_stream stream, int mode))                                                                     \
    X(OPTIONAL, end_capture, "aclmdlRICaptureEnd", int, (acl_stream stream, acl_graph * graph))                                                                \
    X(OPTIONAL, replay, "aclmdlRIExecuteAsync", int, (acl_graph graph, acl_stream stream))                                                                     \
    X(OPTIONAL, destroy_graph, "aclmdlRIDestroy", int, (acl_graph graph))                                                                                      \
    X(OPTIONAL, begin_group, "aclmdlRICaptureTaskGrpBegin", int, (acl_stream stream))                                                                          \
    X(OPTIONAL, end_group, "aclmdlRICaptureTaskGrpEnd", int, (acl_stream stream, acl_group * group))                                                           \
    X(OPTIONAL, begin_update, "aclmdlRICaptureTaskUpdateBegin", int, (acl_stream stream, acl_group group))                                                     \
    X(OPTIONAL, end_update, "aclmdlRICaptureTaskUpdateEnd", int, (acl_stream stream))                                                                          \
    X(NEEDED, create_tensor, "aclCreateTensor", acl_tensor,                                                                                                    \
      (const int64_t *dims, uint64_t n_dims, int type, const int64_t *strides, int64_t offset, int format, const int64_t *storage, uint64_t n_storage,         \
       void *data))                                                                                                                                            \
    X(NEEDED, destroy_tensor, "aclDestroyTensor", int, (acl_tensor tensor))                                                                                    \
    X(NEEDED, create_tensor_list, "aclCreateTensorList", acl_tensor_list, (const acl_tensor *tensors, uint64_t count))                                         \
    X(NEEDED, destroy_tensor_list, "aclDestroyTensorList", int, (acl_tensor_list list))                                                                        \
    X(NEEDED, create_integers, "aclCreateIntArray", acl_integers, (const int64_t *values, uint64_t count))                                                     \
    X(NEEDED, destroy_integers, "aclDestroyIntArray", int, (acl_integers array))                                                                               \
    X(NEEDED, create_scalar, "aclCreateScalar", acl_scalar, (void *value, int type))                                                                           \
    X(NEEDED, destroy_scalar, "aclDestroyScalar", int, (acl_scalar scalar))                                                                                    \
    X(NEEDED, make_repeatable, "aclSetAclOpExecutorRepeatable", int, (acl_executor executor))                                                                  \
    X(NEEDED, destroy_executor, "aclDestroyAclOpExecutor", int, (acl_executor executor))

/* Operators: X(NEEDED or OPTIONAL, name, symbol); each symbol is two functions. What stands in for an optional one is said in operators.c. */
#define ASCEND_OPERATORS(X)                                                                                                                                    \
    X(NEEDED, MATMUL, "aclnnMm")                                                                                                                               \
    X(NEEDED, WEIGHT_TO_NZ, "aclnnTransMatmulWeight")                                                                                                          \
    X(NEEDED, QUANT_MATMUL, "aclnnQuantMatmulWeightNz")                                                                                                        \
    X(NEEDED, DYNAMIC_QUANT, "aclnnDynamicQuant")                                                                                                              \
    X(NEEDED, RMS_NORM, "aclnnRmsNorm")                                                                                                                        \
    X(OPTIONAL, ADD_RMS_NORM, "aclnnAddRmsNorm")                                                                                                               \
    X(NEEDED, ADD, "aclnnAdd")                                                                                                                                 \
    X(NEEDED, ADD_IN_PLACE, "aclnnInplaceAdd")                                                                                                                 \
    X(NEEDED, SUBTRACT, "aclnnSub")                                                                                                                            \
    X(NEEDED, MULTIPLY, "aclnnMul")                                                                                                                            \
    X(NEEDED, ADD_SCALAR, "aclnnAdds")                                                                                                                         \
    X(NEEDED, MULTIPLY_SCALAR, "aclnnMuls")                                                                                                                    \
    X(NEEDED, AT_LEAST, "aclnnGeScalar")                                                                                                                       \
    X(NEEDED, ABOVE, "aclnnGtScalar")                                                                                                                          \
    X(OPTIONAL, ROTARY_V2, "aclnnApplyRotaryPosEmbV2")                                                                                                         \
    X(OPTIONAL, ROTARY, "aclnnApplyRotaryPosEmb")                                                                                                              \
    X(OPTIONAL, ROPE_BY_POSITION, "aclnnRopeWithSinCosCache")                                                                                                  \
    X(OPTIONAL, SCATTER_KV, "aclnnScatterPaKvCache")                                                                                                           \
    X(NEEDED, INDEX_COPY, "aclnnInplaceIndexCopy")                                                                                                             \
    X(OPTIONAL, ATTENTION_V3, "aclnnFusedInferAttentionScoreV3")                                                                                               \
    X(NEEDED, ATTENTION_V2, "aclnnFusedInferAttentionScoreV2")                                                                                                 \
    X(NEEDED, EMBEDDING, "aclnnEmbedding")                                                                                                                     \
    X(NEEDED, SELECT, "aclnnIndexSelect")                                                                                                                      \
    X(NEEDED, SWIGLU, "aclnnSwiGlu")                                                                                                                           \
    X(NEEDED, CONCATENATE, "aclnnCat")                                                                                                                         \
    X(NEEDED, CAST, "aclnnCast")                                                                                                                               \
    X(NEEDED, ARG_MAX, "aclnnArgMax")                                                                                                                          \
    X(NEEDED, TOP_K, "aclnnTopk")

#define ASCEND_OPERATOR_NAME(need, name, symbol) OPERATOR_##name,
enum ascend_operator_name { ASCEND_OPERATORS(ASCEND_OPERATOR_NAME) OPERATOR_COUNT };
#undef ASCEND_OPERATOR_NAME

typedef void (*ascend_function)(void); /* of whatever shape: cast where it is called */

struct ascend_operator {
    const char *symbol;
    ascend_function prepare; /* ...GetWorkspaceSize; NULL: missing */
    int (*run)(void *workspace, uint64_t bytes, acl_executor executor, acl_stream stream);
};

struct ascend_library {
#define ASCEND_FIELD(need, field, symbol, result, arguments) result(*field) arguments;
    ASCEND_SYMBOLS(ASCEND_FIELD)
#undef ASCEND_FIELD
    struct ascend_operator operators[OPERATOR_COUNT];
    char folder[512]; /* where it was found; "" for the loader's own search */
};

/* Opens the libraries once per process and folder (they stay open: the runtime behind them does not like to go). Searched in this order: `folder` alone
 * when it is not ""; otherwise $ASCEND_HOME_PATH/lib64, $ASCEND_TOOLKIT_HOME/lib64, the loader's search path, /usr/local/Ascend/cann/lib64 and
 * /usr/local/Ascend/ascend-toolkit/latest/lib64. SAMPAN_ENOTFOUND names what was tried; SAMPAN_EUNSUPPORTED the symbol that is missing. Thread: any. */
int ascend_library_open(const char *folder, const struct ascend_library **library, struct error *err);

static inline bool ascend_has(const struct ascend_library *library, enum ascend_operator_name name)
{
    return library->operators[name].prepare != NULL;
}

/* An operator's symbol exists since CANN 8.1, or only in newer versions: for profiles that are not there. */
bool ascend_operator_in_81(enum ascend_operator_name name);

#endif
