/* What the runtime tells the program: callbacks on a thread of its own, exceptions, error details and repair; and the smaller calls around them. */
#include "tests/golden.h"

#include <pthread.h>
#include <sys/wait.h>

static int in_child(int (*body)(void))
{
    fflush(NULL);
    pid_t process = fork();
    if (!process) {
        n_failed = 0;
        setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1);
        exit(body() || checks_failed());
    }
    int status = 1;
    waitpid(process, &status, 0);
    return status;
}

static void set_up(void)
{
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
}

/* ---- callbacks ---- */
static _Atomic int stop, order, saw_first, saw_second;

static void *serve(void *unused)
{
    while (!stop)
        aclrtProcessReport(5);
    return unused;
}

static void first(void *memory)
{
    usleep(20000);
    *(int *)memory = 1;
    saw_first = ++order;
    CHECK_CODE(aclrtSynchronizeDevice(), RT_FEATURE_NOT_SUPPORT);
}

static void second(void *memory)
{
    saw_second = *(int *)memory ? ++order : -1;
}

static int callbacks_run_on_the_subscribed_thread(void)
{
    pthread_t thread;
    int shared = 0;
    set_up();
    CHECK_CODE(aclrtLaunchCallback(first, &shared, 1, stream), RT_STREAM_NO_CALLBACK);
    CHECK_CODE(aclrtProcessReport(5), RT_THREAD_SUBSCRIBE);
    CHECK_CODE(aclrtProcessReport(0), RT_PARAM_INVALID);
    CHECK(!pthread_create(&thread, NULL, serve, NULL));
    CHECK_OK(aclrtSubscribeReport((uint64_t)thread, stream));
    CHECK_CODE(aclrtSubscribeReport((uint64_t)thread, stream), RT_STREAM_SUBSCRIBE);
    CHECK_OK(aclrtLaunchCallback(first, &shared, 1, stream)); /* blocks what follows */
    CHECK_OK(aclrtLaunchCallback(second, &shared, 1, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(saw_first == 1 && saw_second == 2);
    CHECK_OK(aclrtLaunchCallback(first, &shared, 0, stream)); /* does not */
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtUnSubscribeReport((uint64_t)thread, stream));
    CHECK_CODE(aclrtUnSubscribeReport((uint64_t)thread, stream), RT_STREAM_NO_CALLBACK);
    stop = 1;
    pthread_join(thread, NULL);
    return 0;
}

/* ---- exceptions ---- */
static _Atomic uint32_t seen_code, seen_device = 99;

static void on_exception(aclrtExceptionInfo *info)
{
    seen_code = aclrtGetErrorCodeFromExceptionInfo(info);
    seen_device = aclrtGetDeviceIdFromExceptionInfo(info);
    CHECK(aclrtGetStreamIdFromExceptionInfo(info) != UINT32_MAX && aclrtGetTaskIdFromExceptionInfo(info) != UINT32_MAX);
}

static int exceptions_are_told_before_the_synchronisation_returns(void)
{
    setenv("ASCEND_EMULATOR_FAULT", "vector@1", 1);
    set_up();
    void *memory = device_memory(64);
    CHECK_OK(aclrtExceptionInfoCallbackRegister(on_exception));
    CHECK_OK(aclrtMemsetAsync(memory, 64, 0, 64, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_VECTOR_CORE_EXCEPTION);
    CHECK(seen_code == RT_VECTOR_CORE_EXCEPTION && seen_device == 0);
    aclrtErrorInfo info;
    CHECK_OK(aclrtGetErrorVerbose(0, &info));
    CHECK(info.errorType == 3 && !info.tryRepair && !info.hasDetail);
    CHECK_CODE(aclrtRepairError(0, &info), RT_FEATURE_NOT_SUPPORT);
    CHECK_OK(aclrtExceptionInfoCallbackUnregister(on_exception));
    CHECK_CODE(aclrtExceptionInfoCallbackUnregister(on_exception), ACL_INVALID_PARAM);
    return 0;
}

/* ---- repair: details, abort, repair, upload again ---- */
static int a_memory_error_is_repaired_without_a_reset(void)
{
    setenv("ASCEND_EMULATOR_FAULT", "uce@8", 1);
    set_up();
    unsigned char *old = device_memory(64), *damaged = device_memory(64), host[64] = {5}, back[64];
    aclrtErrorInfo info;
    aclrtMemUceInfo range;
    size_t count;
    CHECK_OK(aclrtMemcpy(old, 64, host, 64, ACL_HOST_TO_DEVICE));
    CHECK_OK(aclrtMemcpy(damaged, 64, host, 64, ACL_HOST_TO_DEVICE));
    CHECK_OK(aclrtGetErrorVerbose(0, &info));
    CHECK(info.errorType == 0);
    CHECK_OK(aclrtMemsetAsync(old + 32, 32, 0, 32, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_DEVICE_MEM_ERROR);
    CHECK_CODE(aclrtMemcpy(back, 64, old, 64, ACL_DEVICE_TO_HOST), RT_DEVICE_MEM_ERROR); /* every call */
    CHECK_OK(aclrtGetErrorVerbose(0, &info));
    CHECK(info.tryRepair && info.errorType == 1 && info.hasDetail && info.count == 1 && info.damaged[0].addr == damaged && info.damaged[0].len == 64);
    CHECK_OK(aclrtGetMemUceInfo(0, &range, 1, &count));
    CHECK(count == 1 && range.addr == damaged);
    CHECK_CODE(aclrtRepairError(0, &info), RT_PARAM_INVALID); /* first the abort */
    CHECK_MESSAGE("aclrtDeviceTaskAbort");
    CHECK_OK(aclrtDeviceTaskAbort(0, 0));
    CHECK_OK(aclrtRepairError(0, &info));
    CHECK_OK(aclrtMemcpy(back, 64, old, 64, ACL_DEVICE_TO_HOST)); /* the rest is kept */
    CHECK(back[0] == 5);
    CHECK_OK(aclrtMemcpy(back, 64, damaged, 64, ACL_DEVICE_TO_HOST));
    CHECK(back[0] == 0xFF);
    CHECK_OK(aclrtMemcpy(damaged, 64, host, 64, ACL_HOST_TO_DEVICE));
    CHECK_OK(aclrtMemsetAsync(old, 64, 7, 64, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    return 0;
}

static int other_losses_are_not_repaired(void)
{
    setenv("ASCEND_EMULATOR_FAULT", "ecc@1", 1);
    set_up();
    aclrtErrorInfo info;
    void *memory = device_memory(64);
    CHECK_OK(aclrtMemsetAsync(memory, 64, 0, 64, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_HBM_MULTI_BIT_ECC_ERROR);
    CHECK_OK(aclrtGetErrorVerbose(0, &info));
    CHECK(!info.tryRepair && info.errorType == 0xFFFF);
    CHECK_OK(aclrtDeviceTaskAbort(0, 0));
    info.tryRepair = 1, info.errorType = 1;
    CHECK_CODE(aclrtRepairError(0, &info), RT_FEATURE_NOT_SUPPORT);
    return 0;
}

/* ---- the smaller calls ---- */
static int the_smaller_calls(void)
{
    uint64_t interval, actual, stamp;
    uint32_t limit, available, fewer;
    int32_t value, active;
    unsigned char *memory, back[8];
    aclrtEvent event, never;
    aclrtStream current = &limit;
    set_up();
    CHECK_OK(aclrtGetOpExecuteTimeout(&limit));
    CHECK(limit == 1091000);
    CHECK_OK(aclrtSetOpExecuteTimeOutWithMs(1500));
    CHECK_OK(aclrtGetOpExecuteTimeout(&limit));
    CHECK(limit == 1500);
    CHECK_OK(aclrtGetOpTimeOutInterval(&interval));
    CHECK_OK(aclrtSetOpExecuteTimeOutV2(interval + 1, &actual));
    CHECK(actual == 2 * interval);
    CHECK_OK(aclrtGetEventAvailNum(&available));
    CHECK_OK(aclrtCreateEvent(&event));
    CHECK_OK(aclrtCreateEventWithFlag(&never, ACL_EVENT_SYNC));
    CHECK_OK(aclrtGetEventAvailNum(&fewer));
    CHECK(available == fewer + 2);
    CHECK_CODE(aclrtEventGetTimestamp(event, &stamp), RT_EVENT_TIMESTAMP_INVALID);
    CHECK_OK(aclrtRecordEvent(event, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtEventGetTimestamp(event, &stamp));
    CHECK_OK(aclrtStreamWaitEventWithTimeout(stream, never, 30));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_WAIT_TIMEOUT);
    CHECK_OK(aclrtCtxGetCurrentDefaultStream(&current));
    CHECK_OK(aclrtSynchronizeStream(current));
    CHECK_OK(aclrtGetPrimaryCtxState(0, NULL, &active));
    CHECK(active);
    CHECK_OK(aclrtDevicePeerAccessStatus(0, 1, &value));
    CHECK(value == 0);
    CHECK_OK(aclrtDeviceEnablePeerAccess(1, 0));
    CHECK_OK(aclrtDevicePeerAccessStatus(0, 1, &value));
    CHECK(value == 1);
    CHECK_OK(aclGetCannAttribute(1, &value));
    CHECK(value == 1);
    CHECK_OK(aclrtMallocWithCfg((void **)&memory, 64, (aclrtMemMallocPolicy)(ACL_MEM_HUGE_FIRST | 0x1000), NULL));
    CHECK_OK(aclrtMemsetD32(memory, 64, 0x05050505, 2));
    CHECK_CODE(aclrtMemsetD32(memory, 64, 0, 17), RT_PARAM_INVALID);
    CHECK_OK(aclrtMemFlush(memory, 64));
    CHECK_CODE(aclrtMemInvalidate(memory, 65), RT_PARAM_INVALID);
    CHECK_OK(aclrtMemcpy(back, 8, memory, 8, ACL_DEVICE_TO_HOST));
    CHECK(back[0] == 5 && back[7] == 5);
    return 0;
}

/* Of a repeatable executor also the tensors of a list get other addresses. */
static int lists_of_a_repeatable_executor_are_rebound(void)
{
    uint64_t size;
    aclOpExecutor *executor;
    float value;
    set_up();
    aclTensor *out = pattern_tensor(DIMS(4), ACL_FLOAT, 0, 0), *other = pattern_tensor(DIMS(2), ACL_FLOAT, 3, 1);
    const aclTensor *parts[2] = {pattern_tensor(DIMS(2), ACL_FLOAT, 1, 1), pattern_tensor(DIMS(2), ACL_FLOAT, 2, 1)};
    aclTensorList *list = aclCreateTensorList(parts, 2);
    void *address, *result;
    CHECK_OK(aclGetRawTensorAddr(other, &address));
    CHECK_OK(aclGetRawTensorAddr(out, &result));
    CHECK_OK(aclnnCatGetWorkspaceSize(list, 0, out, &size, &executor));
    CHECK_OK(aclSetAclOpExecutorRepeatable(executor));
    CHECK_CODE(aclSetDynamicInputTensorAddr(executor, 0, 2, list, address), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclSetDynamicTensorAddr(executor, 1, 0, list, address), ACLNN_PARAM_INVALID); /* out is no list */
    CHECK_OK(aclSetDynamicInputTensorAddr(executor, 0, 1, list, address));
    CHECK_OK(aclnnCat(NULL, size, executor, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtMemcpy(&value, 4, (char *)result + 8, 4, ACL_DEVICE_TO_HOST));
    CHECK(value == pattern_value(3, 0));
    CHECK_OK(aclDestroyAclOpExecutor(executor));
    return 0;
}

int main(void)
{
    setenv("ASCEND_EMULATOR_DEVICES", "2", 1);
    static int (*const bodies[])(void) = {callbacks_run_on_the_subscribed_thread,
                                          exceptions_are_told_before_the_synchronisation_returns,
                                          a_memory_error_is_repaired_without_a_reset,
                                          other_losses_are_not_repaired,
                                          the_smaller_calls,
                                          lists_of_a_repeatable_executor_are_rebound};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        CHECK(in_child(bodies[i]) == 0);
    return checks_failed();
}
