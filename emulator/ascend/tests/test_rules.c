/* Rules of the interface that no other test holds, each where the chip makes a difference in a child process that plays it. STRICTNESS.md says which test holds
 * which rule. */
#include "tests/golden.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

static void set_up(void)
{
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
}

/* The body in a process of its own that plays this chip. */
static void on(const char *soc, void (*body)(void))
{
    fflush(NULL);
    pid_t process = fork();
    if (!process) {
        n_failed = 0;
        setenv("ASCEND_EMULATOR_SOC", soc, 1);
        setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1);
        body();
        exit(checks_failed());
    }
    int status = 1;
    waitpid(process, &status, 0);
    if (status)
        fprintf(stderr, "on %s: the child ended with status 0x%x\n", soc, status);
    n_failed += status != 0;
}

/* ---- life cycle, binding, limits ---- */
static void *without_a_context(void *unused)
{
    void *memory;
    aclrtStream made;
    int32_t device;
    CHECK_CODE(aclrtMalloc(&memory, 64, ACL_MEM_HUGE_FIRST), RT_CONTEXT_NULL);
    CHECK_CODE(aclrtCreateStream(&made), RT_CONTEXT_NULL);
    CHECK_CODE(aclrtGetDevice(&device), RT_CONTEXT_NULL);
    CHECK_CODE(aclrtSynchronizeDevice(), RT_CONTEXT_NULL);
    return unused;
}

static void a_thread_needs_a_context(void)
{
    pthread_t thread;
    set_up();
    CHECK(!pthread_create(&thread, NULL, without_a_context, NULL));
    pthread_join(thread, NULL);
}

static void streams_are_limited(void)
{
    unsigned limit = strcmp(getenv("ASCEND_EMULATOR_SOC"), "310P3") ? 1984 : 1024, made = 2; /* the default one and the test's */
    aclrtStream one;
    set_up();
    while (made <= limit && aclrtCreateStream(&one) == 0)
        made++;
    CHECK(made == limit);
    CHECK_CODE(aclrtCreateStream(&one), RT_NO_STREAM_RESOURCE);
}

static void events_are_limited(void)
{
    unsigned limit = strcmp(getenv("ASCEND_EMULATOR_SOC"), "310P3") ? 65536 : 1023, made = 0;
    aclrtEvent one;
    set_up();
    while (made <= limit && aclrtCreateEvent(&one) == 0)
        made++;
    CHECK(made == limit);
    CHECK_CODE(aclrtCreateEvent(&one), RT_NO_EVENT_RESOURCE);
}

static void timed_waits_take_minus_one_or_more_than_zero(void)
{
    aclrtEvent event;
    set_up();
    CHECK_OK(aclrtCreateEvent(&event));
    for (int timeout = -2; timeout <= 0; timeout += 2) {
        CHECK_CODE(aclrtSynchronizeStreamWithTimeout(stream, timeout), RT_PARAM_INVALID);
        CHECK_CODE(aclrtSynchronizeDeviceWithTimeout(timeout), RT_PARAM_INVALID);
        CHECK_CODE(aclrtSynchronizeEventWithTimeout(event, timeout), RT_PARAM_INVALID);
    }
    CHECK_OK(aclrtSynchronizeStreamWithTimeout(stream, -1));
    CHECK_OK(aclrtSynchronizeDeviceWithTimeout(1000));
}

static sem_t signal_given;

static void wait_for_signal(void *unused)
{
    (void)unused;
    sem_wait(&signal_given);
}

static void give_signal(void *unused)
{
    (void)unused;
    sem_post(&signal_given);
}

/* The first stream's work ends only if the second's runs meanwhile: on another device, then on the same one. */
static void devices_and_streams_work_at_the_same_time(void)
{
    aclrtStream other;
    set_up();
    sem_init(&signal_given, 0, 0);
    for (int device = 1; device >= 0; device--) {
        CHECK_OK(aclrtSetDevice(0));
        CHECK_OK(aclrtLaunchHostFunc(stream, wait_for_signal, NULL));
        CHECK_OK(aclrtSetDevice(device));
        CHECK_OK(aclrtCreateStream(&other));
        CHECK_OK(aclrtLaunchHostFunc(other, give_signal, NULL));
        CHECK_OK(aclrtSynchronizeStream(other));
        CHECK_OK(aclrtSetDevice(0));
        CHECK_OK(aclrtSynchronizeStream(stream));
    }
}

/* ---- memory ---- */
static void policies_are_single_and_round_to_pages(void)
{
    void *memory;
    size_t before, after, total;
    set_up();
    CHECK_CODE(aclrtMalloc(&memory, 64, (aclrtMemMallocPolicy)(ACL_MEM_HUGE_ONLY | 0x1000)), ACL_INVALID_PARAM);
    CHECK_CODE(aclrtMalloc(&memory, 64, (aclrtMemMallocPolicy)99), ACL_INVALID_PARAM);
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &before, &total));
    CHECK_OK(aclrtMalloc(&memory, (1 << 20) + 1, ACL_MEM_HUGE_FIRST)); /* above 1 MiB: huge pages */
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &after, &total));
    CHECK(before - after == 2 << 20);
    CHECK_OK(aclrtMalloc(&memory, 4096, ACL_MEM_NORMAL_ONLY)); /* 32 bytes are added on this chip: a second page */
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &before, &total));
    CHECK(after - before == 8192);
}

/* ---- operators by chip ---- */
static int mm_of(int32_t type, int8_t mode)
{
    uint64_t size;
    aclOpExecutor *executor;
    aclTensor *a = plain_tensor(DIMS(4, 32), type, device_memory(4096)), *b = plain_tensor(DIMS(32, 16), type, device_memory(4096));
    return aclnnMmGetWorkspaceSize(a, b, plain_tensor(DIMS(4, 16), type, device_memory(4096)), mode, &size, &executor);
}

static void the_small_chip_has_no_bf16_no_fp32_products_and_no_attention(void)
{
    uint64_t size;
    aclOpExecutor *executor;
    set_up();
    CHECK_OK(mm_of(ACL_FLOAT16, 0));
    CHECK_CODE(mm_of(ACL_BF16, 0), ACLNN_PARAM_INVALID);
    CHECK_MESSAGE("Ascend310P3");
    CHECK_CODE(mm_of(ACL_FLOAT, 0), ACLNN_PARAM_INVALID);
    CHECK_OK(mm_of(ACL_FLOAT, 1)); /* in fp16 */
    CHECK_CODE(mm_of(ACL_FLOAT, 3), ACLNN_PARAM_INVALID);
    aclTensor *x = plain_tensor(DIMS(4, 32), ACL_FLOAT16, device_memory(4096)), *index = plain_tensor(DIMS(4), ACL_INT32, device_memory(64));
    CHECK_CODE(aclnnInplaceIndexCopyGetWorkspaceSize(x, 0, index, x, &size, &executor), ACLNN_RUNTIME_ERROR);
    CHECK_MESSAGE("does not have this operator");
    uint16_t big = 0x7BFF, sum; /* 65504 + 65504 saturates there, and is infinite elsewhere */
    aclTensor *one = tensor_from(DIMS(1), ACL_FLOAT16, &big), *out = plain_tensor(DIMS(1), ACL_FLOAT16, device_memory(32));
    float two = 2;
    aclScalar *factor = aclCreateScalar(&two, ACL_FLOAT);
    RUN(Muls, one, factor, out);
    void *address;
    CHECK_OK(aclGetRawTensorAddr(out, &address));
    CHECK_OK(aclrtMemcpy(&sum, 2, address, 2, ACL_DEVICE_TO_HOST));
    CHECK(sum == 0x7BFF);
}

static void eight_bit_floats_are_for_the_newest_chip(void)
{
    uint64_t size;
    aclOpExecutor *executor;
    set_up();
    aclTensor *x = plain_tensor(DIMS(4, 32), 36, device_memory(4096)); /* FLOAT8_E4M3FN */
    CHECK(x != NULL);
    CHECK_CODE(aclnnInplaceZeroGetWorkspaceSize(x, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(mm_of(ACL_BF16, 2), ACLNN_PARAM_INVALID); /* USE_FP16 with bf16 */
}

/* A plain matrix that only claims to be in fractals gives numbers, and wrong ones: no error. */
static void a_false_format_gives_wrong_numbers(void)
{
    set_up();
    aclTensor *a = pattern_tensor(DIMS(4, 32), ACL_FLOAT16, 1, 1), *b = pattern_tensor(DIMS(32, 16), ACL_FLOAT16, 2, 1);
    aclTensor *right = plain_tensor(DIMS(4, 16), ACL_FLOAT16, device_memory(128)), *wrong = plain_tensor(DIMS(4, 16), ACL_FLOAT16, device_memory(128));
    void *address[3];
    uint16_t back[2][64];
    CHECK_OK(aclGetRawTensorAddr(b, &address[0]));
    int64_t wide[4] = {2, 1, 16, 16};
    aclTensor *transposed = aclCreateTensor((const int64_t[]){32, 16}, 2, ACL_FLOAT16, (const int64_t[]){1, 32}, 0, ACL_FORMAT_FRACTAL_NZ, wide, 4, address[0]);
    RUN(Mm, a, b, right, 0);
    RUN(Mm, a, transposed, wrong, 0);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(aclGetRawTensorAddr(i ? wrong : right, &address[i]));
        CHECK_OK(aclrtMemcpy(back[i], 128, address[i], 128, ACL_DEVICE_TO_HOST));
    }
    CHECK(memcmp(back[0], back[1], 128) != 0);
}

static void executors_stay_on_their_device(void)
{
    uint64_t size;
    aclOpExecutor *executor;
    aclrtStream there;
    set_up();
    aclTensor *x = plain_tensor(DIMS(4, 32), ACL_FLOAT16, device_memory(256));
    CHECK_OK(aclnnNegGetWorkspaceSize(x, x, &size, &executor));
    CHECK_OK(aclrtSetDevice(1));
    CHECK_OK(aclrtCreateStream(&there));
    CHECK_CODE(aclnnNeg(NULL, size, executor, stream), RT_STREAM_CONTEXT); /* a stream of another context than the thread's */
    CHECK_CODE(aclnnNeg(NULL, size, executor, there), RT_STREAM_CONTEXT);
    CHECK_MESSAGE("made on device 0");
}

/* ---- capture ---- */
static void *end_elsewhere(void *graph)
{
    CHECK_OK(aclrtSetDevice(0));
    CHECK_CODE(aclmdlRICaptureEnd(stream, graph), RT_STREAM_CAPTURE_WRONG_THREAD);
    return NULL;
}

static void slow_task(void *unused)
{
    (void)unused;
    usleep(30000);
}

static void captures_refuse_the_rest(void)
{
    aclmdlRI graph, second;
    aclrtStream other;
    aclrtEvent event;
    aclrtTaskGrp group;
    aclrtStreamStatus status;
    aclrtEventRecordedStatus recorded;
    pthread_t thread;
    set_up();
    unsigned char *memory = device_memory(64);
    CHECK_OK(aclrtCreateStream(&other));
    CHECK_OK(aclrtCreateEvent(&event));
    CHECK_CODE(aclmdlRICaptureTaskGrpBegin(stream), RT_STREAM_NOT_CAPTURED);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_CODE(aclmdlRICaptureTaskGrpEnd(stream, &group), RT_TASK_GROUP_STATUS);
    CHECK_OK(aclmdlRICaptureTaskGrpBegin(stream));
    CHECK_CODE(aclmdlRICaptureTaskGrpBegin(stream), RT_TASK_GROUP_STATUS);
    CHECK_OK(aclmdlRICaptureTaskGrpEnd(stream, &group));
    CHECK_OK(aclrtRecordEvent(event, stream));
    CHECK_CODE(aclrtQueryEventStatus(event, &recorded), RT_EVENT_CAPTURED);
    CHECK_CODE(aclrtSynchronizeEvent(event), RT_EVENT_CAPTURED);
    CHECK(!pthread_create(&thread, NULL, end_elsewhere, &graph));
    pthread_join(thread, NULL);
    CHECK_CODE(aclrtMemset(memory, 64, 0, 64), RT_CAPTURE_MODE_NOT_SUPPORT);
    CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_CAPTURE_INVALIDATED);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_RELAXED));
        CHECK_OK(aclrtMemset(memory, 64, 0, 64)); /* RELAXED allows it */
        CHECK_CODE(i == 0   ? aclrtStreamQuery(stream, &status)
                   : i == 1 ? aclrtDestroyStream(stream)
                            : aclmdlRICaptureBegin(stream, ACL_CAPTURE_RELAXED),
                   RT_STREAM_CAPTURED);
        CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_CAPTURE_INVALIDATED);
    }
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_RELAXED));
    CHECK_OK(aclmdlRICaptureBegin(other, ACL_CAPTURE_RELAXED));
    CHECK_OK(aclrtRecordEvent(event, stream));
    CHECK_CODE(aclrtStreamWaitEvent(other, event), RT_CAPTURE_CONFLICT); /* one capture may not depend on another */
    CHECK_CODE(aclmdlRICaptureEnd(stream, &graph), RT_STREAM_CAPTURE_INVALIDATED);
    CHECK_CODE(aclmdlRICaptureEnd(other, &second), RT_STREAM_CAPTURE_INVALIDATED);
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_OK(aclrtLaunchHostFunc(stream, slow_task, NULL));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
    CHECK_CODE(aclmdlRIDestroy(graph), RT_MODEL_RUNNING);
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclmdlRIDestroy(graph));
}

/* ---- time limits ---- */
static void an_endless_wait_ends_at_the_limit(void)
{
    aclrtEvent never;
    set_up();
    CHECK_OK(aclrtSetOpWaitTimeout(1));
    CHECK_OK(aclrtCreateEventWithFlag(&never, ACL_EVENT_SYNC));
    CHECK_OK(aclrtStreamWaitEvent(stream, never)); /* never recorded */
    CHECK_CODE(aclrtSynchronizeStreamWithTimeout(stream, 20), RT_STREAM_SYNC_TIMEOUT);
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_WAIT_TIMEOUT);
    CHECK_MESSAGE("was not recorded within");
}

static void a_hung_operator_ends_at_its_limit(void)
{
    setenv("ASCEND_EMULATOR_FAULT", "hang@1", 1);
    set_up();
    CHECK_OK(aclrtSetOpExecuteTimeOut(1)); /* a second, instead of the 20 that a hung device hangs */
    CHECK_OK(aclrtMemsetAsync(device_memory(64), 64, 0, 64, stream));
    CHECK_CODE(aclrtSynchronizeStreamWithTimeout(stream, 10000), RT_AICORE_TIMEOUT);
}

int main(void)
{
    setenv("ASCEND_EMULATOR_DEVICES", "2", 1);
    on("910B4", a_thread_needs_a_context);
    on("910B4", devices_and_streams_work_at_the_same_time);
    on("910B4", streams_are_limited);
    on("310P3", streams_are_limited);
    on("910B4", events_are_limited);
    on("310P3", events_are_limited);
    on("910B4", timed_waits_take_minus_one_or_more_than_zero);
    on("910B4", policies_are_single_and_round_to_pages);
    on("310P3", the_small_chip_has_no_bf16_no_fp32_products_and_no_attention);
    on("910_9382", eight_bit_floats_are_for_the_newest_chip);
    on("910B4", a_false_format_gives_wrong_numbers);
    on("910B4", executors_stay_on_their_device);
    on("910B4", captures_refuse_the_rest);
    on("910B4", an_endless_wait_ends_at_the_limit);
    on("910B4", a_hung_operator_ends_at_its_limit);
    return checks_failed();
}
