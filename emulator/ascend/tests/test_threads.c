/* Several threads, each with streams of its own on two devices, at work at once: launches, events between streams, allocation, capture and replay. What
 * it checks is that results are right and, under the thread sanitizer, that the emulator has no races of its own. */
#include "tests/check.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS 30
#define COUNT 256

static void run(aclrtStream stream, aclTensor *x, aclTensor *y)
{
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_OK(aclnnNegGetWorkspaceSize(x, y, &size, &executor));
    CHECK_OK(aclnnNeg(NULL, size, executor, stream));
}

/* a = round; b = -a on one stream; c = -b on another, ordered by an event; c comes back. */
static void one_round(aclrtStream first, aclrtStream second, aclrtEvent event, float *host, float round)
{
    int64_t dims[1] = {COUNT};
    void *memory[3];
    aclTensor *tensors[3];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(aclrtMalloc(&memory[i], COUNT * sizeof *host, ACL_MEM_HUGE_FIRST));
        tensors[i] = aclCreateTensor(dims, 1, ACL_FLOAT, NULL, 0, ACL_FORMAT_ND, dims, 1, memory[i]);
    }
    for (int i = 0; i < COUNT; i++)
        host[i] = round + (float)i;
    CHECK_OK(aclrtMemcpyAsync(memory[0], COUNT * sizeof *host, host, COUNT * sizeof *host, ACL_HOST_TO_DEVICE, first));
    run(first, tensors[0], tensors[1]);
    CHECK_OK(aclrtRecordEvent(event, first));
    CHECK_OK(aclrtStreamWaitEvent(second, event));
    run(second, tensors[1], tensors[2]);
    CHECK_OK(aclrtMemcpyAsync(host, COUNT * sizeof *host, memory[2], COUNT * sizeof *host, ACL_DEVICE_TO_HOST, second));
    CHECK_OK(aclrtSynchronizeStream(second));
    for (int i = 0; i < COUNT; i++)
        CHECK(host[i] == round + (float)i);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(aclDestroyTensor(tensors[i]));
        CHECK_OK(aclrtFree(memory[i]));
    }
}

static void *work(void *argument)
{
    int index = *(int *)argument;
    aclrtStream first, second;
    aclrtEvent event;
    aclmdlRI graph;
    float *host;
    void *counter;
    CHECK_OK(aclrtSetDevice(index % 2));
    CHECK_OK(aclrtCreateStream(&first));
    CHECK_OK(aclrtCreateStream(&second));
    CHECK_OK(aclrtCreateEvent(&event));
    CHECK_OK(aclrtMallocHost((void **)&host, COUNT * sizeof *host));
    for (int round = 0; round < ROUNDS; round++)
        one_round(first, second, event, host, (float)(index * 1000 + round));
    CHECK_OK(aclrtMalloc(&counter, 64, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclmdlRICaptureBegin(first, ACL_CAPTURE_THREAD_LOCAL));
    CHECK_OK(aclrtMemsetAsync(counter, 64, index + 1, 64, first));
    CHECK_OK(aclmdlRICaptureEnd(first, &graph));
    for (int round = 0; round < ROUNDS; round++)
        CHECK_OK(aclmdlRIExecuteAsync(graph, round % 2 ? first : second));
    CHECK_OK(aclrtSynchronizeStream(first));
    CHECK_OK(aclrtSynchronizeStream(second));
    CHECK_OK(aclrtMemcpy(host, 64, counter, 64, ACL_DEVICE_TO_HOST));
    CHECK(*(unsigned char *)host == index + 1);
    CHECK_OK(aclmdlRIDestroy(graph));
    CHECK_OK(aclrtFree(counter));
    CHECK_OK(aclrtFreeHost(host));
    CHECK_OK(aclrtDestroyEvent(event));
    CHECK_OK(aclrtDestroyStream(first));
    CHECK_OK(aclrtDestroyStream(second));
    return NULL;
}

int main(void)
{
    setenv("ASCEND_EMULATOR_DEVICES", "2", 1);
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    pthread_t threads[THREADS];
    int index[THREADS];
    CHECK_OK(aclInit(NULL));
    for (int i = 0; i < THREADS; i++) {
        index[i] = i;
        CHECK(pthread_create(&threads[i], NULL, work, &index[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        CHECK_OK(aclrtResetDevice(i % 2));
    CHECK_OK(aclFinalize());
    return checks_failed();
}
