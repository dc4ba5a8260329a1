/* Faults on command: each kind in a child process of its own, because a fault is ordered by the environment when the process begins. The workload is a few
 * copies and operators; what must come is the documented code at the documented call, a usable message, and a device that works again after a reset. */
#include "tests/golden.h"

#include <sys/wait.h>

static const int64_t matrix[2] = {8, 64};

struct outcome {
    int first;      /* the first code other than 0, from any call */
    int sync;       /* of the synchronisation after the work */
    float result;   /* of element 0 */
    bool different; /* any element is wrong */
};

static void note(struct outcome *o, int code)
{
    if (code && !o->first)
        o->first = code;
}

/* y = -x a few times; 0.5 everywhere. Everything is checked, nothing is assumed to work. */
static struct outcome work(bool graph)
{
    struct outcome o = {0};
    uint16_t host[8 * 64], back[8 * 64] = {0};
    void *memory[2] = {NULL, NULL};
    aclmdlRI model = NULL;
    for (int i = 0; i < 8 * 64; i++)
        host[i] = aclFloatToFloat16(0.5f);
    note(&o, aclrtSetDevice(0));
    note(&o, aclrtCreateStream(&stream));
    note(&o, aclrtMalloc(&memory[0], sizeof host, ACL_MEM_HUGE_FIRST));
    note(&o, aclrtMalloc(&memory[1], sizeof host, ACL_MEM_HUGE_FIRST));
    if (o.first)
        return o;
    note(&o, aclrtMemcpy(memory[0], sizeof host, host, sizeof host, ACL_HOST_TO_DEVICE));
    aclTensor *x = plain_tensor(matrix, 2, ACL_FLOAT16, memory[0]), *y = plain_tensor(matrix, 2, ACL_FLOAT16, memory[1]);
    if (graph)
        note(&o, aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    for (int i = 0; i < 3; i++) {
        uint64_t size;
        aclOpExecutor *executor;
        int code = aclnnNegGetWorkspaceSize(x, y, &size, &executor);
        note(&o, code ? code : aclnnNeg(NULL, size, executor, stream));
    }
    if (graph) {
        note(&o, aclmdlRICaptureEnd(stream, &model));
        note(&o, aclmdlRIExecuteAsync(model, stream));
    }
    o.sync = aclrtSynchronizeStreamWithTimeout(stream, 5000);
    if (!o.sync)
        note(&o, aclrtMemcpy(back, sizeof back, memory[1], sizeof back, ACL_DEVICE_TO_HOST));
    o.result = aclFloat16ToFloat(back[0]);
    for (int i = 0; i < 8 * 64; i++)
        o.different = o.different || back[i] != aclFloatToFloat16(-0.5f);
    CHECK_OK(aclDestroyTensor(x));
    CHECK_OK(aclDestroyTensor(y));
    if (model)
        CHECK_OK(aclmdlRIDestroy(model));
    return o;
}

static void check_recovery(void)
{
    CHECK_OK(aclrtResetDeviceForce(0));
    struct outcome after = work(false);
    CHECK(!after.first && !after.sync && !after.different);
    CHECK_OK(aclrtResetDeviceForce(0));
}

static int child(const char *order, int first, int sync, bool different, bool graph)
{
    n_failed = 0; /* the parent's */
    setenv("ASCEND_EMULATOR_FAULT", order, 1);
    setenv("ASCEND_EMULATOR_HANG_MS", "50", 1);
    setenv("ASCEND_EMULATOR_SLOW_MS", "20", 1);
    CHECK_OK(aclInit(NULL));
    struct outcome o = work(graph);
    aclrtDeviceStatus status;
    CHECK_OK(aclrtQueryDeviceStatus(0, &status));
    bool lost = sync == RT_HBM_MULTI_BIT_ECC_ERROR || sync == RT_DEVICE_MEM_ERROR || sync == RT_LOST_HEARTBEAT;
    CHECK(status == (lost ? ACL_DEVICE_STATUS_ABNORMAL : ACL_DEVICE_STATUS_NORMAL));
    if (lost) {
        void *memory;
        CHECK_CODE(aclrtMalloc(&memory, 64, ACL_MEM_HUGE_FIRST), sync); /* every call, until a reset */
    }
    if (o.first != first && !(lost && o.first == sync)) /* an early launch may already see the lost device */
        fprintf(stderr, "%s: first code %d, expected %d\n", order, o.first, first);
    CHECK(o.first == first || (lost && o.first == sync));
    if (o.sync != sync)
        fprintf(stderr, "%s: synchronisation gave %d, expected %d\n", order, o.sync, sync);
    CHECK(o.sync == sync);
    CHECK(sync || first || o.different == different);
    check_recovery();
    CHECK_OK(aclFinalize());
    return checks_failed();
}

/* The test's own process never touches the library's state, so each child starts fresh. */
static void expect(const char *order, int first, int sync, bool different, bool graph)
{
    fflush(NULL);
    pid_t process = fork();
    if (!process)
        exit(child(order, first, sync, different, graph));
    int status = 1;
    waitpid(process, &status, 0);
    if (status) {
        n_failed++;
        fprintf(stderr, "order %s%s: the child ended with status 0x%x\n", order, graph ? " (graph)" : "", status);
    }
}

/* Whatever is ordered at whichever call: an error that says so, or the undisturbed result (a wrong bit may show); then a device that works again. */
static int child_of_sweep(const char *order, bool graph)
{
    n_failed = 0;
    setenv("ASCEND_EMULATOR_FAULT", order, 1);
    setenv("ASCEND_EMULATOR_HANG_MS", "10", 1);
    setenv("ASCEND_EMULATOR_SLOW_MS", "5", 1);
    CHECK_OK(aclInit(NULL));
    struct outcome o = work(graph);
    CHECK(o.first || o.sync || !o.different || !strncmp(order, "bit", 3));
    aclrtResetDeviceForce(0);
    struct outcome after = work(false); /* the fault may still be waiting for its call */
    CHECK(after.first || after.sync || !after.different || !strncmp(order, "bit", 3));
    check_recovery();
    return checks_failed();
}

static void sweep(void)
{
    static const char *const kinds[] = {"oom",   "ecc", "uce",  "heartbeat", "timeout", "exception", "vector",
                                        "aicpu", "dma", "link", "hang",      "slow",    "bit",       "capture"};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (int call = 1; call <= 20; call++) {
            char order[32];
            snprintf(order, sizeof order, "%s@%d", kinds[kind], call);
            fflush(NULL);
            pid_t process = fork();
            if (!process)
                exit(child_of_sweep(order, call % 2));
            int status = 1;
            waitpid(process, &status, 0);
            if (status)
                fprintf(stderr, "order %s: the child ended with status 0x%x\n", order, status);
            n_failed += status != 0;
        }
}

static int child_that_stops(void)
{
    n_failed = 0;
    setenv("ASCEND_EMULATOR_FAULT", "exception@1", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclrtSetStreamFailureMode(stream, 1));
    CHECK_CODE(aclrtSetStreamFailureMode(stream, 1), RT_PARAM_INVALID); /* once only */
    void *memory = device_memory(1024);
    CHECK_OK(aclrtMemsetAsync(memory, 1024, 1, 1024, stream));
    aclrtMemsetAsync(memory, 1024, 2, 1024, NULL); /* refused or dropped, depending on when the first one fails */
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_AICORE_EXCEPTION);
    CHECK_CODE(aclrtMemsetAsync(memory, 1024, 3, 1024, stream), RT_AICORE_EXCEPTION); /* until a reset */
    check_recovery();
    return checks_failed();
}

/* A hung device: the timed wait returns, the abort frees the stream, what was queued is gone, and work goes on. */
static int child_that_aborts(void)
{
    n_failed = 0;
    setenv("ASCEND_EMULATOR_FAULT", "hang@1", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    unsigned char *memory = device_memory(64), back;
    CHECK_OK(aclrtMemsetAsync(memory, 64, 1, 64, stream));
    CHECK_OK(aclrtMemsetAsync(memory, 64, 2, 64, stream));
    CHECK_CODE(aclrtSynchronizeStreamWithTimeout(stream, 20), RT_STREAM_SYNC_TIMEOUT);
    CHECK_OK(aclrtStreamAbort(stream));
    CHECK_OK(aclrtMemcpy(&back, 1, memory, 1, ACL_DEVICE_TO_HOST));
    CHECK(back == 0xFF);
    CHECK_OK(aclrtMemsetAsync(memory, 64, 3, 64, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtMemcpy(&back, 1, memory, 1, ACL_DEVICE_TO_HOST));
    CHECK(back == 3);
    CHECK_OK(aclrtDeviceTaskAbort(0, 0));
    return checks_failed();
}

/* What was made before a reset can be destroyed after it, not used; a capture or an update that was open is gone. */
static int child_that_resets(void)
{
    n_failed = 0;
    setenv("ASCEND_EMULATOR_FAULT", "ecc@19", 1); /* well after the set-up below */
    aclrtEvent event;
    aclmdlRI graph, none;
    aclrtStream other, third;
    aclrtTaskGrp group;
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclrtCreateStream(&other));
    CHECK_OK(aclrtCreateStream(&third));
    CHECK_OK(aclrtCreateEvent(&event));
    void *memory = device_memory(64);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_RELAXED));
    CHECK_OK(aclmdlRICaptureTaskGrpBegin(stream));
    CHECK_OK(aclrtMemsetAsync(memory, 64, 1, 64, stream));
    CHECK_OK(aclmdlRICaptureTaskGrpEnd(stream, &group));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    CHECK_OK(aclmdlRICaptureTaskUpdateBegin(third, group));
    CHECK_OK(aclrtMemsetAsync(memory, 64, 2, 64, third));
    CHECK_OK(aclmdlRICaptureBegin(other, ACL_CAPTURE_RELAXED));
    CHECK_OK(aclrtMemsetAsync(memory, 64, 2, 64, other));
    CHECK_OK(aclrtRecordEvent(event, other));
    CHECK_OK(aclrtRecordEvent(event, stream));
    CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_HBM_MULTI_BIT_ECC_ERROR);
    CHECK_MESSAGE("ECC");
    CHECK_OK(aclrtResetDeviceForce(0));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_INVALID_HANDLE);
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_CODE(aclmdlRIExecuteAsync(graph, stream), RT_INVALID_HANDLE);
    CHECK_MESSAGE("was reset since");
    CHECK_CODE(aclmdlRICaptureEnd(other, &none), RT_INVALID_HANDLE);
    CHECK_OK(aclmdlRIDestroy(graph));
    CHECK_OK(aclrtDestroyEvent(event));
    CHECK_OK(aclrtDestroyStream(stream));
    CHECK_OK(aclrtResetDevice(0));
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    return checks_failed();
}

/* Without force as well: a lost device is usable again after as many resets as it was set. */
static int child_that_resets_gently(void)
{
    n_failed = 0;
    aclrtDeviceStatus status;
    setenv("ASCEND_EMULATOR_FAULT", "heartbeat@1", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    void *memory = device_memory(64);
    CHECK_OK(aclrtMemsetAsync(memory, 64, 1, 64, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_LOST_HEARTBEAT);
    CHECK_CODE(aclrtSetDevice(0), RT_LOST_HEARTBEAT);
    CHECK_OK(aclrtResetDevice(0));
    CHECK_CODE(aclrtSetDevice(0), RT_LOST_HEARTBEAT); /* it was set twice */
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtQueryDeviceStatus(0, &status));
    CHECK(status == ACL_DEVICE_STATUS_NORMAL);
    CHECK_CODE(aclrtMemset(memory, 64, 1, 64), RT_PARAM_INVALID); /* its memory is gone */
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclrtMemsetAsync(device_memory(64), 64, 1, 64, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    return checks_failed();
}

/* A driver that refuses: capture at first, then the update of a captured task. */
static int child_that_captures(void)
{
    n_failed = 0;
    aclmdlRI graph;
    aclrtTaskGrp group;
    setenv("ASCEND_EMULATOR_FAULT", "capture@1,update@1", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    void *memory = device_memory(64);
    CHECK_CODE(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL), RT_FEATURE_NOT_SUPPORT);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL)); /* once */
    CHECK_OK(aclmdlRICaptureTaskGrpBegin(stream));
    CHECK_OK(aclrtMemsetAsync(memory, 64, 1, 64, stream));
    CHECK_OK(aclmdlRICaptureTaskGrpEnd(stream, &group));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    CHECK_CODE(aclmdlRICaptureTaskUpdateBegin(stream, group), RT_FEATURE_NOT_SUPPORT);
    CHECK_OK(aclmdlRICaptureTaskUpdateBegin(stream, group));
    CHECK_OK(aclrtMemsetAsync(memory, 64, 2, 64, stream));
    CHECK_OK(aclmdlRICaptureTaskUpdateEnd(stream));
    CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclmdlRIDestroy(graph));
    return checks_failed();
}

static int child_with_an_old_driver(void)
{
    n_failed = 0;
    aclmdlRI graph;
    aclrtTaskGrp group;
    setenv("ASCEND_EMULATOR_OLD_DRIVER", "1", 1);
    setenv("ASCEND_EMULATOR_SOC", "310P3", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_OK(aclmdlRICaptureTaskGrpBegin(stream));
    CHECK_OK(aclmdlRICaptureTaskGrpEnd(stream, &group));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    CHECK_CODE(aclmdlRICaptureTaskUpdateBegin(stream, group), RT_FEATURE_NOT_SUPPORT);
    CHECK_MESSAGE("26.0.RC1");
    CHECK_OK(aclmdlRIDestroy(graph));
    return checks_failed();
}

static void run_child(int (*body)(void), const char *what)
{
    fflush(NULL);
    pid_t process = fork();
    if (!process)
        exit(body());
    int status = 1;
    waitpid(process, &status, 0);
    if (status)
        fprintf(stderr, "%s: the child ended with status 0x%x\n", what, status);
    n_failed += status != 0;
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1);
    expect("", 0, 0, false, false);
    expect("oom@1", RT_MEMORY_ALLOCATION, 0, false, false);
    for (int graph = 0; graph < 2; graph++) {
        expect("ecc@1", 0, RT_HBM_MULTI_BIT_ECC_ERROR, false, graph);
        expect("uce@7", 0, RT_DEVICE_MEM_ERROR, false, graph);
        expect("heartbeat@8", 0, RT_LOST_HEARTBEAT, false, graph);
        expect("timeout@9", 0, RT_AICORE_TIMEOUT, false, graph);
        expect("exception@1", 0, RT_AICORE_EXCEPTION, false, graph);
        expect("link@1", 0, RT_LINK_ERROR, false, graph);
        expect("vector@1", 0, RT_VECTOR_CORE_EXCEPTION, false, graph);
        expect("aicpu@1", 0, RT_AICPU_EXCEPTION, false, graph);
        expect("dma@1", 0, RT_SYS_DMA_ERROR, false, graph);
        expect("dma@+9", 0, RT_SYS_DMA_ERROR, false, graph);
        expect("hang@1", 0, RT_AICORE_TIMEOUT, false, graph);
        expect("slow@1", 0, 0, false, graph);
        expect("slow%5:1000", 0, 0, false, graph);
    }
    expect("bit@14", 0, 0, true, false); /* the last of the three results */
    expect("bit@1", 0, 0, false, false); /* an earlier one is overwritten */
    expect("exception@1000000", 0, 0, false, false);
    sweep();
    run_child(child_that_stops, "stop on failure");
    run_child(child_that_aborts, "abort");
    run_child(child_that_resets, "reset");
    run_child(child_that_resets_gently, "reset without force");
    run_child(child_that_captures, "capture and update");
    run_child(child_with_an_old_driver, "old driver");
    return checks_failed();
}
