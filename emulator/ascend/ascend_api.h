/* The part of Huawei's public C interface (aclrt, aclmdlRI, aclnn base) that the emulator offers, in own words: names, argument order and numbers are facts
 * about the interface (CANN 8.1 to 9.1), the text is ours. The emulator is built from these declarations and its tests are written against them, so that a
 * symbol cannot drift from its declaration. The operators' prototypes come from operator_table.h. */
#ifndef ASCEND_API_H
#define ASCEND_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int aclError;
typedef int32_t aclnnStatus;
typedef void *aclrtStream;
typedef void *aclrtContext;
typedef void *aclrtEvent;
typedef void *aclmdlRI;
typedef void *aclrtTaskGrp;
typedef void *aclrtDrvMemHandle;
typedef struct aclTensor aclTensor;
typedef struct aclScalar aclScalar;
typedef struct aclIntArray aclIntArray;
typedef struct aclFloatArray aclFloatArray;
typedef struct aclBoolArray aclBoolArray;
typedef struct aclTensorList aclTensorList;
typedef struct aclScalarList aclScalarList;
typedef struct aclOpExecutor aclOpExecutor;

/* Result codes: 1xxxxx the caller's error, 2xxxxx resources, 5xxxxx device and internal; 161001... are those of operators. */
enum {
    ACL_OK = 0,
    ACL_INVALID_PARAM = 100000,
    ACL_UNINITIALIZED = 100001,
    ACL_REPEAT_INITIALIZE = 100002,
    ACL_REPEAT_FINALIZE = 100037,
    RT_PARAM_INVALID = 107000,
    RT_INVALID_DEVICE = 107001,
    RT_CONTEXT_NULL = 107002,
    RT_STREAM_CONTEXT = 107003,
    RT_EVENT_TIMESTAMP_INVALID = 107006,
    RT_EVENT_TIMESTAMP_REVERSAL = 107007,
    RT_INVALID_HANDLE = 107017,
    RT_STREAM_SUBSCRIBE = 107011,
    RT_THREAD_SUBSCRIBE = 107012,
    RT_STREAM_NO_CALLBACK = 107015,
    RT_WAIT_TIMEOUT = 107019,
    RT_DEVICE_TASK_ABORT = 107022,
    RT_STREAM_ABORT = 107023,
    RT_CAPTURE_DEPENDENCY = 107024,
    RT_STREAM_UNJOINED = 107025,
    RT_STREAM_CAPTURED = 107027,
    RT_EVENT_CAPTURED = 107028,
    RT_STREAM_NOT_CAPTURED = 107029,
    RT_CAPTURE_MODE_NOT_SUPPORT = 107030,
    RT_STREAM_CAPTURE_IMPLICIT = 107031,
    RT_CAPTURE_CONFLICT = 107032,
    RT_TASK_GROUP_STATUS = 107033,
    RT_STREAM_CAPTURE_UNMATCHED = 107036,
    RT_MODEL_RUNNING = 107037,
    RT_STREAM_CAPTURE_WRONG_THREAD = 107038,
    RT_MODEL_UPDATE_FAILED = 107040,
    RT_CAPTURE_MODE_BLOCK_ASYNC = 107041,
    RT_FEATURE_NOT_SUPPORT = 207000,
    RT_MEMORY_ALLOCATION = 207001,
    RT_NO_EVENT_RESOURCE = 207007,
    RT_NO_STREAM_RESOURCE = 207008,
    RT_INTERNAL_ERROR = 507000,
    RT_LOST_HEARTBEAT = 507010,
    RT_MODEL_EXECUTE = 507011,
    RT_SYS_DMA_ERROR = 507013,
    RT_AICORE_TIMEOUT = 507014,
    RT_AICORE_EXCEPTION = 507015,
    RT_AICPU_EXCEPTION = 507018,
    RT_VECTOR_CORE_EXCEPTION = 507035,
    RT_STREAM_SYNC_TIMEOUT = 507046,
    RT_EVENT_SYNC_TIMEOUT = 507047,
    RT_DEVICE_MEM_ERROR = 507053,
    RT_HBM_MULTI_BIT_ECC_ERROR = 507054,
    RT_LINK_ERROR = 507056,
    RT_DRV_INTERNAL_ERROR = 507899,
    RT_SOCKET_CLOSE = 507901,
    RT_STREAM_CAPTURE_INVALIDATED = 507903,
    ACLNN_PARAM_NULLPTR = 161001,
    ACLNN_PARAM_INVALID = 161002,
    ACLNN_RUNTIME_ERROR = 361001,
    ACLNN_INNER_TILING = 561002,
    ACLNN_INNER_FIND_KERNEL = 561003,
    ACLNN_INNER_NULLPTR = 561103,
};

typedef enum {
    ACL_DT_UNDEFINED = -1,
    ACL_FLOAT = 0,
    ACL_FLOAT16 = 1,
    ACL_INT8 = 2,
    ACL_INT32 = 3,
    ACL_UINT8 = 4,
    ACL_INT16 = 6,
    ACL_UINT16 = 7,
    ACL_UINT32 = 8,
    ACL_INT64 = 9,
    ACL_UINT64 = 10,
    ACL_DOUBLE = 11,
    ACL_BOOL = 12,
    ACL_BF16 = 27,
    ACL_INT4 = 29
} aclDataType;

typedef enum {
    ACL_FORMAT_UNDEFINED = -1,
    ACL_FORMAT_NCHW = 0,
    ACL_FORMAT_NHWC = 1,
    ACL_FORMAT_ND = 2,
    ACL_FORMAT_FRACTAL_NZ = 29,
    ACL_FORMAT_NCL = 47
} aclFormat;
typedef enum {
    ACL_MEM_HUGE_FIRST = 0,
    ACL_MEM_HUGE_ONLY = 1,
    ACL_MEM_NORMAL_ONLY = 2,
    ACL_MEM_P2P_NORMAL_ONLY = 5,
    ACL_MEM_HUGE1G_ONLY = 6
} aclrtMemMallocPolicy;
typedef enum {
    ACL_HOST_TO_HOST = 0,
    ACL_HOST_TO_DEVICE = 1,
    ACL_DEVICE_TO_HOST = 2,
    ACL_DEVICE_TO_DEVICE = 3,
    ACL_MEMCPY_DEFAULT = 4,
    ACL_HOST_TO_BUF_TO_DEVICE = 5,
    ACL_INNER_DEVICE_TO_DEVICE = 6,
    ACL_INTER_DEVICE_TO_DEVICE = 7
} aclrtMemcpyKind;
typedef enum { ACL_DDR_MEM = 0, ACL_HBM_MEM = 1, ACL_HBM_MEM_HUGE = 4, ACL_HBM_MEM_NORMAL = 5 } aclrtMemAttr;
typedef enum { ACL_DEVICE = 0, ACL_HOST = 1 } aclrtRunMode;
typedef enum { ACL_STREAM_COMPLETE = 0, ACL_STREAM_NOT_READY = 1 } aclrtStreamStatus;
typedef enum { ACL_EVENT_RECORDED_NOT_READY = 0, ACL_EVENT_RECORDED_COMPLETE = 1 } aclrtEventRecordedStatus;
typedef enum { ACL_EVENT_COMPLETE = 0, ACL_EVENT_NOT_READY = 1 } aclrtEventStatus;
typedef enum { ACL_DEVICE_STATUS_NORMAL = 0, ACL_DEVICE_STATUS_ABNORMAL = 1 } aclrtDeviceStatus;
typedef enum { ACL_OPT_DETERMINISTIC = 0, ACL_OPT_ENABLE_DEBUG_KERNEL = 1, ACL_OPT_STRONG_CONSISTENCY = 2 } aclSysParamOpt;
typedef enum { ACL_CAPTURE_GLOBAL = 0, ACL_CAPTURE_THREAD_LOCAL = 1, ACL_CAPTURE_RELAXED = 2 } aclmdlRICaptureMode;
typedef enum { ACL_CAPTURE_NONE = 0, ACL_CAPTURE_ACTIVE = 1, ACL_CAPTURE_INVALIDATED = 2 } aclmdlRICaptureStatus;

enum { ACL_EVENT_SYNC = 0x1, ACL_EVENT_CAPTURE_PROGRESS = 0x2, ACL_EVENT_TIME_LINE = 0x8, ACL_EVENT_EXTERNAL = 0x20 };
enum { ACL_STREAM_FAST_LAUNCH = 1, ACL_STREAM_FAST_SYNC = 2, ACL_STREAM_PERSISTENT = 4 };

typedef struct {
    uint32_t id;
    int32_t type; /* 0 host, 1 device, 2 not registered */
    uint32_t pageSize;
    uint32_t reserved[4];
} aclrtPtrAttributes;

typedef struct {
    int32_t handleType, allocationType, memAttr; /* 0 or 2; 0; as aclrtMemAttr */
    uint32_t locationId;
    int32_t locationType; /* 1: device */
    uint32_t padding;
    uint64_t reserve;
} aclrtPhysicalMemProp;
_Static_assert(sizeof(aclrtPhysicalMemProp) == 32, "as documented");

typedef struct aclrtExceptionInfo aclrtExceptionInfo;

typedef struct { /* one damaged range */
    void *addr;
    size_t len;
    size_t reserved[14];
} aclrtMemUceInfo;

typedef struct {
    uint8_t tryRepair, hasDetail;
    int32_t errorType; /* 0 none, 1 memory, 2 L2, 3 AI Core, 4 link, 0xFFFF others */
    size_t count;
    aclrtMemUceInfo damaged[20];
} aclrtErrorInfo;
_Static_assert(sizeof(aclrtMemUceInfo) == 128 && sizeof(aclrtErrorInfo) == 2576, "as documented");

/* life, devices, contexts */
aclError aclInit(const char *configPath);
aclError aclFinalize(void);
aclError aclFinalizeReference(uint64_t *refCount);
const char *aclGetRecentErrMsg(void);
aclError aclrtPeekAtLastError(int level);
aclError aclrtGetLastError(int level);
aclError aclrtGetVersion(int32_t *major, int32_t *minor, int32_t *patch);
aclError aclsysGetVersionStr(char *package, char *version);
const char *aclrtGetSocName(void);
aclError aclrtGetRunMode(aclrtRunMode *mode);
aclError aclrtSetSysParamOpt(aclSysParamOpt option, int64_t value);
aclError aclrtGetSysParamOpt(aclSysParamOpt option, int64_t *value);
aclError aclrtCtxSetSysParamOpt(aclSysParamOpt option, int64_t value);
aclError aclrtCtxGetSysParamOpt(aclSysParamOpt option, int64_t *value);
aclError aclrtGetDeviceCount(uint32_t *count);
aclError aclrtSetDevice(int32_t device);
aclError aclrtGetDevice(int32_t *device);
aclError aclrtResetDevice(int32_t device);
aclError aclrtResetDeviceForce(int32_t device);
aclError aclrtCreateContext(aclrtContext *context, int32_t device);
aclError aclrtDestroyContext(aclrtContext context);
aclError aclrtSetCurrentContext(aclrtContext context);
aclError aclrtGetCurrentContext(aclrtContext *context);
aclError aclrtSynchronizeDevice(void);
aclError aclrtSynchronizeDeviceWithTimeout(int32_t timeout);
aclError aclrtQueryDeviceStatus(int32_t device, aclrtDeviceStatus *status);
aclError aclrtGetDeviceInfo(uint32_t device, int attribute, int64_t *value);
aclError aclGetDeviceCapability(uint32_t device, int information, int64_t *value);
aclError aclrtDeviceCanAccessPeer(int32_t *can, int32_t device, int32_t peer);
aclError aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t flags);
aclError aclrtDeviceDisablePeerAccess(int32_t peer);
aclError aclrtDeviceTaskAbort(int32_t device, uint32_t timeout);

/* streams, events, callbacks */
aclError aclrtCreateStream(aclrtStream *stream);
aclError aclrtCreateStreamWithConfig(aclrtStream *stream, uint32_t priority, uint32_t flag);
aclError aclrtDestroyStream(aclrtStream stream);
aclError aclrtDestroyStreamForce(aclrtStream stream);
aclError aclrtSynchronizeStream(aclrtStream stream);
aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout);
aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus *status);
aclError aclrtStreamAbort(aclrtStream stream);
aclError aclrtSetStreamFailureMode(aclrtStream stream, uint64_t mode);
aclError aclrtStreamGetId(aclrtStream stream, int32_t *id);
aclError aclrtGetStreamAvailableNum(uint32_t *count);
aclError aclrtLaunchHostFunc(aclrtStream stream, void (*function)(void *), void *arguments);
aclError aclrtCreateEvent(aclrtEvent *event);
aclError aclrtCreateEventWithFlag(aclrtEvent *event, uint32_t flag);
aclError aclrtCreateEventExWithFlag(aclrtEvent *event, uint32_t flag);
aclError aclrtDestroyEvent(aclrtEvent event);
aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream);
aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream);
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event);
aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus *status);
aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus *status);
aclError aclrtSynchronizeEvent(aclrtEvent event);
aclError aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout);
aclError aclrtEventElapsedTime(float *milliseconds, aclrtEvent start, aclrtEvent end);
aclError aclrtSetOpExecuteTimeOut(uint32_t seconds);
aclError aclrtSetOpWaitTimeout(uint32_t seconds);

/* callbacks on a thread of the program's own, exceptions, details and repair of errors */
aclError aclrtSubscribeReport(uint64_t threadId, aclrtStream stream);
aclError aclrtUnSubscribeReport(uint64_t threadId, aclrtStream stream);
aclError aclrtLaunchCallback(void (*function)(void *), void *argument, int blockType, aclrtStream stream);
aclError aclrtProcessReport(int32_t timeout);
aclError aclrtSetExceptionInfoCallback(void (*function)(aclrtExceptionInfo *));
aclError aclrtExceptionInfoCallbackRegister(void (*function)(aclrtExceptionInfo *));
aclError aclrtExceptionInfoCallbackUnregister(void (*function)(aclrtExceptionInfo *));
uint32_t aclrtGetTaskIdFromExceptionInfo(const aclrtExceptionInfo *info);
uint32_t aclrtGetStreamIdFromExceptionInfo(const aclrtExceptionInfo *info);
uint32_t aclrtGetThreadIdFromExceptionInfo(const aclrtExceptionInfo *info);
uint32_t aclrtGetDeviceIdFromExceptionInfo(const aclrtExceptionInfo *info);
uint32_t aclrtGetErrorCodeFromExceptionInfo(const aclrtExceptionInfo *info);
aclError aclrtGetErrorVerbose(int32_t device, aclrtErrorInfo *info);
aclError aclrtRepairError(int32_t device, const aclrtErrorInfo *info);
aclError aclrtGetMemUceInfo(int32_t device, aclrtMemUceInfo *array, size_t size, size_t *count);
aclError aclrtMemUceRepair(int32_t device, aclrtMemUceInfo *array, size_t size);
aclError aclrtSetOpExecuteTimeOutWithMs(uint32_t milliseconds);
aclError aclrtSetOpExecuteTimeOutV2(uint64_t microseconds, uint64_t *actual);
aclError aclrtGetOpExecuteTimeout(uint32_t *milliseconds);
aclError aclrtGetOpTimeOutInterval(uint64_t *microseconds);
aclError aclrtGetEventAvailNum(uint32_t *count);
aclError aclrtEventGetTimestamp(aclrtEvent event, uint64_t *microseconds);
aclError aclrtStreamWaitEventWithTimeout(aclrtStream stream, aclrtEvent event, int32_t timeout);
aclError aclrtCtxGetCurrentDefaultStream(aclrtStream *stream);
aclError aclrtGetPrimaryCtxState(int32_t device, uint32_t *flags, int32_t *active);
aclError aclrtDevicePeerAccessStatus(int32_t device, int32_t peer, int32_t *status);
aclError aclGetCannAttribute(int attribute, int32_t *value);

/* memory */
aclError aclrtMallocWithCfg(void **pointer, size_t size, aclrtMemMallocPolicy policy, void *config);
aclError aclrtMallocHostWithCfg(void **pointer, uint64_t size, void *config);
aclError aclrtMemsetD32(void *pointer, size_t maximum, uint32_t value, size_t count);
aclError aclrtMemFlush(void *pointer, size_t size);
aclError aclrtMemInvalidate(void *pointer, size_t size);
aclError aclrtMalloc(void **pointer, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtMallocAlign32(void **pointer, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtMallocCached(void **pointer, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtFree(void *pointer);
aclError aclrtFreeWithDevSync(void *pointer);
aclError aclrtMallocHost(void **pointer, size_t size);
aclError aclrtFreeHost(void *pointer);
aclError aclrtHostRegister(void *pointer, uint64_t size, int type, void **device_pointer);
aclError aclrtHostUnregister(void *pointer);
aclError aclrtMemcpy(void *destination, size_t maximum, const void *source, size_t count, aclrtMemcpyKind kind);
aclError aclrtMemcpyAsync(void *destination, size_t maximum, const void *source, size_t count, aclrtMemcpyKind kind, aclrtStream stream);
aclError aclrtMemcpy2d(void *destination, size_t destination_pitch, const void *source, size_t source_pitch, size_t width, size_t height, aclrtMemcpyKind kind);
aclError aclrtMemcpy2dAsync(void *destination, size_t destination_pitch, const void *source, size_t source_pitch, size_t width, size_t height,
                            aclrtMemcpyKind kind, aclrtStream stream);
aclError aclrtMemset(void *pointer, size_t maximum, int32_t value, size_t count);
aclError aclrtMemsetAsync(void *pointer, size_t maximum, int32_t value, size_t count, aclrtStream stream);
aclError aclrtGetMemInfo(aclrtMemAttr attribute, size_t *free_bytes, size_t *total_bytes);
aclError aclrtPointerGetAttributes(const void *pointer, aclrtPtrAttributes *attributes);
aclError aclrtMemGetAddressRange(void *pointer, void **base, size_t *size);

typedef enum { ACL_RT_MEM_GRANULARITY_MINIMUM = 0, ACL_RT_MEM_GRANULARITY_RECOMMENDED = 1 } aclrtMemGranularityOptions;
aclError aclrtReserveMemAddress(void **pointer, size_t size, size_t alignment, void *expected, uint64_t flags);
aclError aclrtReleaseMemAddress(void *pointer);
aclError aclrtMallocPhysical(aclrtDrvMemHandle *handle, size_t size, const aclrtPhysicalMemProp *property, uint64_t flags);
aclError aclrtFreePhysical(aclrtDrvMemHandle handle);
aclError aclrtMapMem(void *pointer, size_t size, size_t offset, aclrtDrvMemHandle handle, uint64_t flags);
aclError aclrtUnmapMem(void *pointer);
aclError aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp *property, aclrtMemGranularityOptions option, size_t *granularity);

aclError aclrtDeviceGetBareTgid(int32_t *pid);
aclError aclrtIpcMemGetExportKey(void *pointer, size_t size, char *key, size_t length, uint64_t flags);
aclError aclrtIpcMemSetImportPid(const char *key, int32_t *pids, size_t count);
aclError aclrtIpcMemImportByKey(void **pointer, const char *key, uint64_t flags);
aclError aclrtIpcMemClose(const char *key);

/* capture and replay */
aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode mode);
aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI *model);
aclError aclmdlRICaptureGetInfo(aclrtStream stream, aclmdlRICaptureStatus *status, aclmdlRI *model);
aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode *mode);
aclError aclmdlRIExecuteAsync(aclmdlRI model, aclrtStream stream);
aclError aclmdlRIExecute(aclmdlRI model, int32_t timeout);
aclError aclmdlRIDestroy(aclmdlRI model);
aclError aclmdlRIDebugPrint(aclmdlRI model);
aclError aclmdlRICaptureTaskGrpBegin(aclrtStream stream);
aclError aclmdlRICaptureTaskGrpEnd(aclrtStream stream, aclrtTaskGrp *group);
aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream stream, aclrtTaskGrp group);
aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream stream);

/* tensors, scalars, arrays, executors */
aclTensor *aclCreateTensor(const int64_t *viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t *stride, int64_t offset, aclFormat format,
                           const int64_t *storageDims, uint64_t storageDimsNum, void *tensorData);
aclnnStatus aclInitTensor(aclTensor *tensor, const int64_t *viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t *stride, int64_t offset,
                          aclFormat format, const int64_t *storageDims, uint64_t storageDimsNum, void *tensorData);
aclScalar *aclCreateScalar(void *value, aclDataType dataType);
aclIntArray *aclCreateIntArray(const int64_t *value, uint64_t size);
aclFloatArray *aclCreateFloatArray(const float *value, uint64_t size);
aclBoolArray *aclCreateBoolArray(const bool *value, uint64_t size);
aclTensorList *aclCreateTensorList(const aclTensor *const *value, uint64_t size);
aclScalarList *aclCreateScalarList(const aclScalar *const *value, uint64_t size);
aclnnStatus aclDestroyTensor(const aclTensor *tensor);
aclnnStatus aclDestroyScalar(const aclScalar *scalar);
aclnnStatus aclDestroyIntArray(const aclIntArray *array);
aclnnStatus aclDestroyFloatArray(const aclFloatArray *array);
aclnnStatus aclDestroyBoolArray(const aclBoolArray *array);
aclnnStatus aclDestroyTensorList(const aclTensorList *list);
aclnnStatus aclDestroyScalarList(const aclScalarList *list);
aclnnStatus aclGetViewShape(const aclTensor *tensor, int64_t **dims, uint64_t *count);
aclnnStatus aclGetStorageShape(const aclTensor *tensor, int64_t **dims, uint64_t *count);
aclnnStatus aclGetViewStrides(const aclTensor *tensor, int64_t **strides, uint64_t *count);
aclnnStatus aclGetViewOffset(const aclTensor *tensor, int64_t *offset);
aclnnStatus aclGetFormat(const aclTensor *tensor, aclFormat *format);
aclnnStatus aclGetDataType(const aclTensor *tensor, aclDataType *dataType);
aclnnStatus aclGetIntArraySize(const aclIntArray *array, uint64_t *size);
aclnnStatus aclGetFloatArraySize(const aclFloatArray *array, uint64_t *size);
aclnnStatus aclGetBoolArraySize(const aclBoolArray *array, uint64_t *size);
aclnnStatus aclGetTensorListSize(const aclTensorList *list, uint64_t *size);
aclnnStatus aclGetScalarListSize(const aclScalarList *list, uint64_t *size);
aclnnStatus aclGetRawTensorAddr(const aclTensor *tensor, void **address);
aclnnStatus aclSetRawTensorAddr(aclTensor *tensor, void *address);
size_t aclDataTypeSize(aclDataType dataType);
float aclFloat16ToFloat(uint16_t value);
uint16_t aclFloatToFloat16(float value);
aclnnStatus aclnnInit(const char *configPath);
aclnnStatus aclnnFinalize(void);
aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor *executor);
aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor *executor);
aclnnStatus aclSetInputTensorAddr(aclOpExecutor *executor, size_t index, aclTensor *tensor, void *address);
aclnnStatus aclSetOutputTensorAddr(aclOpExecutor *executor, size_t index, aclTensor *tensor, void *address);
aclnnStatus aclSetDynamicInputTensorAddr(aclOpExecutor *executor, size_t index, size_t element, aclTensorList *list, void *address);
aclnnStatus aclSetDynamicOutputTensorAddr(aclOpExecutor *executor, size_t index, size_t element, aclTensorList *list, void *address);
aclnnStatus aclSetDynamicTensorAddr(aclOpExecutor *executor, size_t index, size_t element, aclTensorList *list, void *address);
aclnnStatus aclSetTensorAddr(aclOpExecutor *executor, size_t index, aclTensor *tensor, void *address);
aclnnStatus aclnnCalculateMatmulWeightSize(const aclIntArray *shape, uint64_t *elements);
aclnnStatus aclnnNpuFormatCastCalculateSizeAndFormat(const aclTensor *source, int dstFormat, int additionalDtype, int64_t **dstShape, uint64_t *dstShapeSize,
                                                     int *actualFormat);
aclnnStatus aclnnCalculateMatmulWeightSizeV2(const aclIntArray *shape, aclDataType dataType, uint64_t *elements);

/* The emulator's own: figures of this process, by name: "calls" (exported functions called), "launches" (operators launched by the host), "copies", "replays",
 * "tasks" (what devices executed, replayed work included), "device_ns" (modelled device time), "allocated" (bytes now); UINT64_MAX for an unknown name. */
uint64_t ascendEmulatorCount(const char *name);

#endif
