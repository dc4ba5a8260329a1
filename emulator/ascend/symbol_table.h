/* The symbols of the runtime and of the operator base that the emulator exports. FULL: the documented behaviour; PARTIAL: with the limits stated; MISSING: the
 * symbol exists and fails with a message. Exports of the missing ones, the libraries' symbol lists and the coverage table (COVERAGE.md) come from here. */
#ifndef SYMBOL_TABLE_H
#define SYMBOL_TABLE_H

#define RUNTIME_SYMBOLS(FULL, PARTIAL, MISSING) \
    PARTIAL(aclInit, "the configuration file is not read") \
    FULL(aclFinalize) \
    FULL(aclFinalizeReference) \
    FULL(aclGetRecentErrMsg) \
    FULL(aclrtPeekAtLastError) \
    FULL(aclrtGetLastError) \
    FULL(aclrtGetVersion) \
    FULL(aclsysGetVersionStr) \
    FULL(aclrtGetSocName) \
    FULL(aclrtGetRunMode) \
    PARTIAL(aclrtSetSysParamOpt, "DETERMINISTIC acts; the others are accepted") \
    PARTIAL(aclrtGetSysParamOpt, "DETERMINISTIC only") \
    PARTIAL(aclrtCtxSetSysParamOpt, "acts on the process") \
    PARTIAL(aclrtCtxGetSysParamOpt, "DETERMINISTIC only") \
    FULL(aclrtGetDeviceCount) \
    FULL(aclrtSetDevice) \
    FULL(aclrtGetDevice) \
    FULL(aclrtResetDevice) \
    FULL(aclrtResetDeviceForce) \
    FULL(aclrtCreateContext) \
    FULL(aclrtDestroyContext) \
    FULL(aclrtSetCurrentContext) \
    FULL(aclrtGetCurrentContext) \
    FULL(aclrtSynchronizeDevice) \
    FULL(aclrtSynchronizeDeviceWithTimeout) \
    FULL(aclrtQueryDeviceStatus) \
    PARTIAL(aclrtGetDeviceInfo, "attributes 101, 102, 201, 301, 601") \
    PARTIAL(aclGetDeviceCapability, "core numbers only") \
    FULL(aclrtDeviceCanAccessPeer) \
    FULL(aclrtDeviceEnablePeerAccess) \
    FULL(aclrtDeviceDisablePeerAccess) \
    PARTIAL(aclrtDeviceTaskAbort, "no time limit, no callbacks") \
    FULL(aclrtCreateStream) \
    PARTIAL(aclrtCreateStreamWithConfig, "priority has no effect") \
    FULL(aclrtDestroyStream) \
    FULL(aclrtDestroyStreamForce) \
    FULL(aclrtSynchronizeStream) \
    FULL(aclrtSynchronizeStreamWithTimeout) \
    FULL(aclrtStreamQuery) \
    FULL(aclrtStreamAbort) \
    FULL(aclrtSetStreamFailureMode) \
    FULL(aclrtStreamGetId) \
    FULL(aclrtGetStreamAvailableNum) \
    FULL(aclrtLaunchHostFunc) \
    FULL(aclrtCreateEvent) \
    PARTIAL(aclrtCreateEventWithFlag, "TIME_LINE events and others are alike") \
    FULL(aclrtCreateEventExWithFlag) \
    FULL(aclrtDestroyEvent) \
    FULL(aclrtRecordEvent) \
    FULL(aclrtResetEvent) \
    FULL(aclrtStreamWaitEvent) \
    FULL(aclrtQueryEventStatus) \
    FULL(aclrtQueryEvent) \
    FULL(aclrtSynchronizeEvent) \
    FULL(aclrtSynchronizeEventWithTimeout) \
    FULL(aclrtEventElapsedTime) \
    PARTIAL(aclrtSetOpExecuteTimeOut, "ends a hang that was ordered") \
    FULL(aclrtSetOpWaitTimeout) \
    PARTIAL(aclrtMalloc, "policies act on page rounding only") \
    FULL(aclrtMallocAlign32) \
    FULL(aclrtMallocCached) \
    FULL(aclrtFree) \
    FULL(aclrtFreeWithDevSync) \
    FULL(aclrtMallocHost) \
    FULL(aclrtFreeHost) \
    PARTIAL(aclrtHostRegister, "makes copies asynchronous; kernels cannot reach the memory") \
    FULL(aclrtHostUnregister) \
    FULL(aclrtMemcpy) \
    FULL(aclrtMemcpyAsync) \
    FULL(aclrtMemcpy2d) \
    FULL(aclrtMemcpy2dAsync) \
    FULL(aclrtMemset) \
    FULL(aclrtMemsetAsync) \
    FULL(aclrtGetMemInfo) \
    FULL(aclrtPointerGetAttributes) \
    FULL(aclrtMemGetAddressRange) \
    FULL(aclrtReserveMemAddress) \
    FULL(aclrtReleaseMemAddress) \
    FULL(aclrtMallocPhysical) \
    FULL(aclrtFreePhysical) \
    FULL(aclrtMapMem) \
    FULL(aclrtUnmapMem) \
    FULL(aclrtMemGetAllocationGranularity) \
    FULL(aclGetCannAttribute) \
    FULL(aclrtCtxGetCurrentDefaultStream) \
    FULL(aclrtDevicePeerAccessStatus) \
    FULL(aclrtEventGetTimestamp) \
    FULL(aclrtExceptionInfoCallbackRegister) \
    FULL(aclrtExceptionInfoCallbackUnregister) \
    FULL(aclrtGetDeviceIdFromExceptionInfo) \
    FULL(aclrtGetErrorCodeFromExceptionInfo) \
    FULL(aclrtGetEventAvailNum) \
    FULL(aclrtGetOpExecuteTimeout) \
    FULL(aclrtGetOpTimeOutInterval) \
    FULL(aclrtGetPrimaryCtxState) \
    FULL(aclrtGetStreamIdFromExceptionInfo) \
    FULL(aclrtGetTaskIdFromExceptionInfo) \
    FULL(aclrtGetThreadIdFromExceptionInfo) \
    FULL(aclrtLaunchCallback) \
    FULL(aclrtMemFlush) \
    FULL(aclrtMemInvalidate) \
    FULL(aclrtProcessReport) \
    FULL(aclrtSetExceptionInfoCallback) \
    FULL(aclrtStreamWaitEventWithTimeout) \
    FULL(aclrtSubscribeReport) \
    FULL(aclrtUnSubscribeReport) \
    PARTIAL(aclrtGetErrorVerbose, "details of memory errors") \
    PARTIAL(aclrtRepairError, "of memory errors (507053)") \
    PARTIAL(aclrtGetMemUceInfo, "one range") \
    PARTIAL(aclrtMemUceRepair, "the whole device") \
    PARTIAL(aclrtMallocHostWithCfg, "configuration NULL") \
    PARTIAL(aclrtMallocWithCfg, "configuration NULL") \
    PARTIAL(aclrtMemsetD32, "words of four equal bytes") \
    PARTIAL(aclrtSetOpExecuteTimeOutV2, "ends a hang that was ordered") \
    PARTIAL(aclrtSetOpExecuteTimeOutWithMs, "ends a hang that was ordered") \
    FULL(aclmdlRICaptureBegin) \
    FULL(aclmdlRICaptureEnd) \
    FULL(aclmdlRICaptureGetInfo) \
    FULL(aclmdlRICaptureThreadExchangeMode) \
    PARTIAL(aclmdlRIExecuteAsync, "side streams are replayed one after another") \
    FULL(aclmdlRIExecute) \
    FULL(aclmdlRIDestroy) \
    FULL(aclmdlRIDebugPrint) \
    FULL(aclmdlRICaptureTaskGrpBegin) \
    FULL(aclmdlRICaptureTaskGrpEnd) \
    FULL(aclmdlRICaptureTaskUpdateBegin) \
    FULL(aclmdlRICaptureTaskUpdateEnd) \
    FULL(aclDataTypeSize) \
    FULL(aclFloat16ToFloat) \
    FULL(aclFloatToFloat16) \
    MISSING(aclmdlRIAbort) \
    MISSING(aclmdlRIAddCondTask) \
    MISSING(aclmdlRIBindStream) \
    MISSING(aclmdlRIBuildBegin) \
    MISSING(aclmdlRIBuildEnd) \
    MISSING(aclmdlRICaptureToModelRIBegin) \
    MISSING(aclmdlRICondHandleCreate) \
    MISSING(aclmdlRICondHandleGetCondPtr) \
    MISSING(aclmdlRIDebugJsonPrint) \
    MISSING(aclmdlRIEndTask) \
    MISSING(aclmdlRIGetName) \
    MISSING(aclmdlRIGetStreams) \
    MISSING(aclmdlRIGetTasksByStream) \
    MISSING(aclmdlRISetName) \
    MISSING(aclmdlRITaskDisable) \
    MISSING(aclmdlRITaskGetParams) \
    MISSING(aclmdlRITaskGetType) \
    MISSING(aclmdlRITaskSetParams) \
    MISSING(aclmdlRIUnbindStream) \
    MISSING(aclmdlRIUpdate) \
    MISSING(aclrtActiveStream) \
    MISSING(aclrtCmoAsync) \
    FULL(aclrtDeviceGetBareTgid) \
    MISSING(aclrtDeviceGetUuid) \
    MISSING(aclrtGetDeviceResLimit) \
    MISSING(aclrtGetDeviceUtilizationRate) \
    MISSING(aclrtGetDevicesTopo) \
    MISSING(aclrtGetMemUsageInfo) \
    MISSING(aclrtGetPhyDevIdByLogicDevId) \
    MISSING(aclrtGetStreamAttribute) \
    MISSING(aclrtHostGetDevicePointer) \
    MISSING(aclrtHostRegisterV2) \
    MISSING(aclrtIpcGetEventHandle) \
    FULL(aclrtIpcMemClose) \
    PARTIAL(aclrtIpcMemGetExportKey, "a buffer is exported whole") \
    FULL(aclrtIpcMemImportByKey) \
    MISSING(aclrtIpcMemImportPidInterServer) \
    MISSING(aclrtIpcMemSetAttr) \
    FULL(aclrtIpcMemSetImportPid) \
    MISSING(aclrtIpcOpenEventHandle) \
    MISSING(aclrtMemExportToShareableHandle) \
    MISSING(aclrtMemImportFromShareableHandle) \
    MISSING(aclrtMemPoolCreate) \
    MISSING(aclrtMemPoolDestroy) \
    MISSING(aclrtMemPoolFreeAsync) \
    MISSING(aclrtMemPoolMallocAsync) \
    MISSING(aclrtMemPoolTrimTo) \
    MISSING(aclrtMemSetAccess) \
    MISSING(aclrtMemSetPidToShareableHandle) \
    MISSING(aclrtMemcpyAsyncWithOffset) \
    MISSING(aclrtMemcpyBatch) \
    MISSING(aclrtMemcpyBatchAsync) \
    MISSING(aclrtQueryEventWaitStatus) \
    MISSING(aclrtReduceAsync) \
    MISSING(aclrtRegDeviceStateCallback) \
    MISSING(aclrtRegStreamStateCallback) \
    MISSING(aclrtSetDeviceResLimit) \
    MISSING(aclrtSetDeviceTaskAbortCallback) \
    MISSING(aclrtSetStreamAttribute) \
    MISSING(aclrtSetStreamResLimit) \
    MISSING(aclrtSwitchStream) \
    MISSING(aclrtUseStreamResInCurrentThread) \
    MISSING(aclrtValueWait) \
    MISSING(aclrtValueWrite) \
    MISSING(aclsysGetCANNVersion) \
    MISSING(aclsysGetVersionNum)

#define BASE_SYMBOLS(FULL, PARTIAL, MISSING) \
    FULL(aclSetDynamicInputTensorAddr) \
    FULL(aclSetDynamicOutputTensorAddr) \
    FULL(aclSetDynamicTensorAddr) \
    FULL(aclCreateTensor) \
    FULL(aclInitTensor) \
    FULL(aclCreateScalar) \
    FULL(aclCreateIntArray) \
    FULL(aclCreateFloatArray) \
    FULL(aclCreateBoolArray) \
    FULL(aclCreateTensorList) \
    FULL(aclCreateScalarList) \
    FULL(aclDestroyTensor) \
    FULL(aclDestroyScalar) \
    FULL(aclDestroyIntArray) \
    FULL(aclDestroyFloatArray) \
    FULL(aclDestroyBoolArray) \
    FULL(aclDestroyTensorList) \
    FULL(aclDestroyScalarList) \
    PARTIAL(aclGetViewShape, "the result is from malloc") \
    PARTIAL(aclGetStorageShape, "the result is from malloc") \
    PARTIAL(aclGetViewStrides, "the result is from malloc") \
    FULL(aclGetViewOffset) \
    FULL(aclGetFormat) \
    FULL(aclGetDataType) \
    FULL(aclGetIntArraySize) \
    FULL(aclGetFloatArraySize) \
    FULL(aclGetBoolArraySize) \
    FULL(aclGetTensorListSize) \
    FULL(aclGetScalarListSize) \
    FULL(aclGetRawTensorAddr) \
    FULL(aclSetRawTensorAddr) \
    FULL(aclnnInit) \
    FULL(aclnnFinalize) \
    FULL(aclSetAclOpExecutorRepeatable) \
    FULL(aclDestroyAclOpExecutor) \
    FULL(aclSetInputTensorAddr) \
    FULL(aclSetOutputTensorAddr) \
    FULL(aclSetTensorAddr) \
    MISSING(aclDumpOpTensors)

#endif
