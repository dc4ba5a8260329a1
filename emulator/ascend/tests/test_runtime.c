/* The runtime as a program for the chip uses it: memory, copies, streams, events, capture, and what each mistake returns. Every check is one rule of the fact
 * sheet's sections 2 and 6; the program ends with a leak list that must be empty. */
#include "tests/check.h"

static void begin(void)
{
    CHECK_CODE(aclrtSetDevice(0), ACL_UNINITIALIZED);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclInit(NULL)); /* counted on newer releases */
    void *memory;
    CHECK_CODE(aclrtMalloc(&memory, 64, ACL_MEM_HUGE_FIRST), RT_CONTEXT_NULL);
    CHECK_CODE(aclrtSetDevice(99), RT_INVALID_DEVICE);
    CHECK_OK(aclrtSetDevice(0));
    CHECK(strcmp(aclrtGetSocName(), "Ascend910B4") == 0);
}

static void memory_is_poisoned_checked_and_counted(void)
{
    unsigned char *memory, host[256];
    size_t before, after, total;
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &before, &total));
    CHECK_CODE(aclrtMalloc((void **)&memory, 0, ACL_MEM_HUGE_FIRST), ACL_INVALID_PARAM);
    CHECK_OK(aclrtMalloc((void **)&memory, 256, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &after, &total));
    CHECK(before - after == 4096 && (uintptr_t)memory % 64 == 0);
    CHECK_OK(aclrtMemcpy(host, sizeof host, memory, 256, ACL_DEVICE_TO_HOST));
    CHECK(host[0] == 0xFF && host[255] == 0xFF);
    CHECK_CODE(aclrtMemcpy(host, 16, memory, 256, ACL_DEVICE_TO_HOST), RT_PARAM_INVALID); /* destMax */
    CHECK_CODE(aclrtMemcpy(memory + 200, 256, host, 64, ACL_HOST_TO_DEVICE), RT_PARAM_INVALID);
    CHECK_MESSAGE("beyond the buffer");
    CHECK_CODE(aclrtFree(memory + 64), RT_PARAM_INVALID);
    CHECK_CODE(aclrtFree(NULL), ACL_INVALID_PARAM);
    CHECK_CODE(aclrtFree(host), RT_PARAM_INVALID);
    CHECK_OK(aclrtFree(memory));
    CHECK_CODE(aclrtFree(memory), RT_PARAM_INVALID);
    CHECK_MESSAGE("double free");
    CHECK_CODE(aclrtMemcpy(host, sizeof host, memory, 256, ACL_DEVICE_TO_HOST), RT_PARAM_INVALID);
    CHECK_MESSAGE("was freed");
    CHECK_CODE(aclrtMalloc((void **)&memory, total + 1, ACL_MEM_HUGE_FIRST), RT_MEMORY_ALLOCATION);
    CHECK_MESSAGE("out of memory");
    CHECK(aclGetRecentErrMsg() == NULL); /* reading clears it */
}

static void copies_are_asynchronous_and_refuse_what_the_chip_refuses(void)
{
    aclrtStream stream;
    unsigned char *device, *pinned, pageable[64] = {7};
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclrtMalloc((void **)&device, 64, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtMallocHost((void **)&pinned, 64));
    CHECK_CODE(aclrtMemcpyAsync(pinned, 64, pageable, 64, ACL_HOST_TO_HOST, stream), RT_FEATURE_NOT_SUPPORT);
    CHECK_CODE(aclrtMemcpyAsync(device, 64, pageable, 64, ACL_DEVICE_TO_HOST, stream), RT_PARAM_INVALID);
    CHECK_OK(aclrtMemcpyAsync(device, 64, pageable, 64, ACL_HOST_TO_DEVICE, stream));
    CHECK_OK(aclrtMemcpyAsync(pinned, 64, device, 64, ACL_DEVICE_TO_HOST, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(pinned[0] == 7);
    CHECK_OK(aclrtMemcpyAsync(device + 32, 64, pinned, 64, ACL_HOST_TO_DEVICE, stream)); /* a bad range is found on the device */
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_SYS_DMA_ERROR);
    CHECK_OK(aclrtSynchronizeStream(stream)); /* reported once */
    CHECK_CODE(aclrtSynchronizeStreamWithTimeout(stream, 0), RT_PARAM_INVALID);
    CHECK_OK(aclrtFreeHost(pinned));
    CHECK_CODE(aclrtFreeHost(pinned), RT_PARAM_INVALID);
    CHECK_OK(aclrtFree(device));
    CHECK_OK(aclrtDestroyStream(stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_INVALID_HANDLE);
    CHECK_CODE(aclrtDestroyStream(pageable), RT_INVALID_HANDLE);
}

static void pause_stream(void *milliseconds)
{
    usleep((unsigned)*(int *)milliseconds * 1000);
    void *memory;
    CHECK_CODE(aclrtSynchronizeDevice(), RT_FEATURE_NOT_SUPPORT); /* callbacks may not synchronise, enqueue, allocate or free */
    CHECK_OK(aclrtSetDevice(0));
    CHECK_CODE(aclrtRecordEvent(NULL, NULL), RT_FEATURE_NOT_SUPPORT);
    CHECK_CODE(aclrtMalloc(&memory, 64, ACL_MEM_HUGE_FIRST), RT_FEATURE_NOT_SUPPORT);
    CHECK_OK(aclrtResetDevice(0));
}

static void events_order_streams(void)
{
    aclrtStream first, second;
    aclrtEvent event, flagged, extended;
    aclrtEventRecordedStatus status;
    aclrtStreamStatus stream_status;
    int wait = 30;
    CHECK_OK(aclrtCreateStream(&first));
    CHECK_OK(aclrtCreateStream(&second));
    CHECK_OK(aclrtCreateEvent(&event));
    CHECK_OK(aclrtLaunchHostFunc(first, pause_stream, &wait));
    CHECK_OK(aclrtRecordEvent(event, first));
    CHECK_OK(aclrtStreamWaitEvent(second, event));
    CHECK_OK(aclrtStreamQuery(second, &stream_status));
    CHECK(stream_status == ACL_STREAM_NOT_READY);
    CHECK_OK(aclrtQueryEventStatus(event, &status));
    CHECK(status == ACL_EVENT_RECORDED_NOT_READY);
    CHECK_CODE(aclrtSynchronizeStreamWithTimeout(second, 1), RT_STREAM_SYNC_TIMEOUT);
    CHECK_CODE(aclrtSynchronizeEventWithTimeout(event, 1), RT_EVENT_SYNC_TIMEOUT);
    CHECK_OK(aclrtSynchronizeEvent(event));
    CHECK_OK(aclrtSynchronizeStream(second));
    CHECK_OK(aclrtQueryEventStatus(event, &status));
    CHECK(status == ACL_EVENT_RECORDED_COMPLETE);
    CHECK_CODE(aclrtResetEvent(event, first), RT_PARAM_INVALID); /* plain events are not reset */
    CHECK_OK(aclrtCreateEventWithFlag(&flagged, ACL_EVENT_TIME_LINE));
    CHECK_CODE(aclrtStreamWaitEvent(first, flagged), RT_PARAM_INVALID);
    CHECK_MESSAGE("SYNC");
    float elapsed;
    CHECK_CODE(aclrtEventElapsedTime(&elapsed, flagged, event), RT_EVENT_TIMESTAMP_INVALID);
    CHECK_OK(aclrtCreateEventExWithFlag(&extended, ACL_EVENT_SYNC));
    CHECK_OK(aclrtQueryEventStatus(extended, &status)); /* never recorded: complete */
    CHECK(status == ACL_EVENT_RECORDED_COMPLETE);
    CHECK_CODE(aclrtResetEvent(extended, first), RT_PARAM_INVALID);
    aclrtEventStatus old;
    CHECK_CODE(aclrtQueryEvent(extended, &old), RT_PARAM_INVALID);
    CHECK_OK(aclrtDestroyEvent(extended));
    CHECK_OK(aclrtDestroyEvent(flagged));
    CHECK_OK(aclrtDestroyEvent(event));
    CHECK_OK(aclrtDestroyStream(first));
    CHECK_OK(aclrtDestroyStream(second));
}

static void streams_belong_to_their_context(void)
{
    aclrtContext context, original;
    aclrtStream stream;
    CHECK_OK(aclrtGetCurrentContext(&original));
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclrtCreateContext(&context, 0));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_STREAM_CONTEXT);
    CHECK_OK(aclrtSetCurrentContext(original));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtDestroyContext(context));
    CHECK_CODE(aclrtDestroyContext(original), RT_PARAM_INVALID); /* the default one */
    CHECK_OK(aclrtDestroyStream(stream));
}

static void capture_refuses_what_would_not_replay(aclrtStream stream, unsigned char *device, unsigned char *host)
{
    aclmdlRI graph;
    CHECK_CODE(aclmdlRICaptureBegin(NULL, ACL_CAPTURE_GLOBAL), RT_PARAM_INVALID);
    CHECK_CODE(aclmdlRICaptureBegin(stream, (aclmdlRICaptureMode)5), RT_PARAM_INVALID);
    CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_NOT_CAPTURED);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_CODE(aclrtMemcpy(device, 64, host, 64, ACL_HOST_TO_DEVICE), RT_CAPTURE_MODE_NOT_SUPPORT);
    CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_CAPTURE_INVALIDATED);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_CODE(aclrtMemcpyAsync(device, 64, host, 64, ACL_HOST_TO_DEVICE, stream), RT_CAPTURE_MODE_BLOCK_ASYNC); /* pageable */
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_STREAM_CAPTURED);
    CHECK_CODE(aclrtSynchronizeDevice(), RT_STREAM_CAPTURED);
    CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_CAPTURE_INVALIDATED);
    aclrtEvent outside;
    aclrtStream other;
    CHECK_OK(aclrtCreateEvent(&outside));
    CHECK_OK(aclrtCreateStream(&other));
    CHECK_OK(aclrtRecordEvent(outside, other));
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_THREAD_LOCAL));
    CHECK_CODE(aclrtRecordEvent(outside, NULL), RT_STREAM_CAPTURE_IMPLICIT);
    CHECK_CODE(aclrtStreamWaitEvent(stream, outside), RT_CAPTURE_DEPENDENCY);
    CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_CAPTURE_INVALIDATED);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_RELAXED));
    CHECK_OK(aclrtRecordEvent(outside, stream));
    CHECK_OK(aclrtStreamWaitEvent(other, outside)); /* joins, is not joined back */
    CHECK_CODE(aclmdlRICaptureEnd(other, &graph), RT_STREAM_CAPTURE_UNMATCHED);
    CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_UNJOINED);
    CHECK_OK(aclrtSynchronizeStream(other));
    CHECK_OK(aclrtDestroyEvent(outside));
    CHECK_OK(aclrtDestroyStream(other));
}

static void captured_work_runs_only_when_replayed(void)
{
    aclrtStream stream, side;
    aclrtEvent fork, join;
    aclmdlRI graph;
    unsigned char *device, pageable[64] = {1}, back[64] = {0};
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclrtCreateStream(&side));
    CHECK_OK(aclrtCreateEvent(&fork));
    CHECK_OK(aclrtCreateEvent(&join));
    CHECK_OK(aclrtMalloc((void **)&device, 64, ACL_MEM_HUGE_FIRST));
    capture_refuses_what_would_not_replay(stream, device, pageable);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_OK(aclrtMemsetAsync(device, 64, 3, 64, stream));
    CHECK_OK(aclrtRecordEvent(fork, stream));
    CHECK_OK(aclrtStreamWaitEvent(side, fork));
    CHECK_OK(aclrtMemsetAsync(device, 64, 5, 32, side));
    CHECK_OK(aclrtRecordEvent(join, side));
    CHECK_OK(aclrtStreamWaitEvent(stream, join));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtMemcpy(back, 64, device, 64, ACL_DEVICE_TO_HOST));
    CHECK(back[0] == 0xFF); /* nothing ran */
    CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtMemcpy(back, 64, device, 64, ACL_DEVICE_TO_HOST));
    CHECK(back[0] == 5 && back[63] == 3);
    CHECK_OK(aclmdlRIDestroy(graph));
    CHECK_CODE(aclmdlRIExecuteAsync(graph, stream), RT_INVALID_HANDLE);
    CHECK_OK(aclrtFree(device));
    CHECK_OK(aclrtDestroyEvent(fork));
    CHECK_OK(aclrtDestroyEvent(join));
    CHECK_OK(aclrtDestroyStream(side));
    CHECK_OK(aclrtDestroyStream(stream));
}

static void copies_between_devices_need_peer_access(void)
{
    unsigned char *here, *there;
    int32_t can;
    CHECK_OK(aclrtMalloc((void **)&here, 64, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtSetDevice(1));
    CHECK_OK(aclrtMalloc((void **)&there, 64, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtMemset(there, 64, 1, 64));
    CHECK_CODE(aclrtMemcpy(there, 64, here, 64, ACL_DEVICE_TO_DEVICE), RT_PARAM_INVALID);
    CHECK_MESSAGE("no peer access");
    CHECK_OK(aclrtDeviceCanAccessPeer(&can, 1, 0));
    CHECK_OK(aclrtDeviceEnablePeerAccess(0, 0));
    CHECK_OK(aclrtMemcpy(there, 64, here, 64, ACL_DEVICE_TO_DEVICE));
    CHECK_OK(aclrtFree(there));
    CHECK_OK(aclrtResetDevice(1));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtFree(here));
    CHECK_OK(aclrtResetDevice(0)); /* counts: two sets, two resets */
}

int main(void)
{
    setenv("ASCEND_EMULATOR_DEVICES", "2", 1);
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    begin();
    memory_is_poisoned_checked_and_counted();
    copies_are_asynchronous_and_refuse_what_the_chip_refuses();
    events_order_streams();
    streams_belong_to_their_context();
    captured_work_runs_only_when_replayed();
    copies_between_devices_need_peer_access();
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclFinalize());
    return checks_failed();
}
