/* What the runtime tells the program: callbacks that a thread of the program's own executes (the older way to host functions), exceptions of tasks, and the
 * details and repair of a device error. */
#include "emulator.h"

#include <stdlib.h>
#include <string.h>

/* ---- callbacks: a stream is subscribed to a thread, which executes what is queued for it in aclrtProcessReport ---- */
struct report {
    struct report *next;
    uint64_t thread;
    void (*function)(void *);
    void *argument;
    bool *done; /* somebody waits for it; NULL: nobody does */
};

struct subscription {
    struct subscription *next;
    uint64_t thread;
    struct stream *stream;
};

struct callback_task {
    void (*function)(void *);
    void *argument;
    bool blocks;
};

static struct report *reports; /* these with emulator_lock */
static struct subscription *subscriptions;

/* With the lock. */
static struct subscription **find_subscription(const struct stream *stream)
{
    struct subscription **at = &subscriptions;
    while (*at && (*at)->stream != stream)
        at = &(*at)->next;
    return at;
}

EXPORT aclError aclrtSubscribeReport(uint64_t thread, aclrtStream handle)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    struct subscription *made = calloc(1, sizeof *made);
    if (!made)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a subscription");
    pthread_mutex_lock(&emulator_lock);
    bool taken = *find_subscription(stream) != NULL;
    if (!taken) {
        *made = (struct subscription){subscriptions, thread, stream};
        subscriptions = made;
    }
    pthread_mutex_unlock(&emulator_lock);
    if (taken)
        free(made);
    return taken ? fail(RT_STREAM_SUBSCRIBE, "the stream is subscribed to a thread already") : 0;
}

EXPORT aclError aclrtUnSubscribeReport(uint64_t thread, aclrtStream handle)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    pthread_mutex_lock(&emulator_lock);
    struct subscription **at = find_subscription(stream), *found = *at;
    bool good = found && found->thread == thread;
    if (good) {
        *at = found->next;
        free(found);
    }
    pthread_cond_broadcast(&emulator_progress);
    pthread_mutex_unlock(&emulator_lock);
    return good ? 0 : fail(RT_STREAM_NO_CALLBACK, "the stream is not subscribed to this thread");
}

void reports_forget(const struct stream *stream)
{
    struct subscription **at = find_subscription(stream), *found = *at;
    if (found) {
        *at = found->next;
        free(found);
    }
}

static int run_callback(struct task *task, struct stream *stream)
{
    struct callback_task *work = task->payload;
    struct report *report = calloc(1, sizeof *report);
    bool done = false;
    if (!report)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a callback");
    pthread_mutex_lock(&emulator_lock);
    struct subscription *subscription = *find_subscription(stream);
    if (!subscription) {
        pthread_mutex_unlock(&emulator_lock);
        free(report);
        return fail(RT_STREAM_NO_CALLBACK, "the stream lost its subscription before the callback ran");
    }
    *report = (struct report){NULL, subscription->thread, work->function, work->argument, work->blocks ? &done : NULL};
    struct report **end = &reports;
    while (*end)
        end = &(*end)->next;
    *end = report;
    pthread_cond_broadcast(&emulator_progress);
    while (work->blocks && !done && !stream->aborting)
        wait_until(NULL);
    for (struct report *r = reports; r && !done; r = r->next) /* aborted: nobody waits any more */
        if (r->done == &done)
            r->done = NULL;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtLaunchCallback(void (*function)(void *), void *argument, int blockType, aclrtStream handle)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!function || (blockType != 0 && blockType != 1))
        return fail(ACL_INVALID_PARAM, "fn is NULL, or blockType %d neither 0 (no block) nor 1 (block)", blockType);
    pthread_mutex_lock(&emulator_lock);
    bool subscribed = *find_subscription(stream) != NULL;
    pthread_mutex_unlock(&emulator_lock);
    if (!subscribed)
        return fail(RT_STREAM_NO_CALLBACK, "no thread is subscribed to the stream: call aclrtSubscribeReport first");
    struct task *task = task_create(TASK_HOST, "aclrtLaunchCallback", sizeof(struct callback_task));
    if (task) {
        *(struct callback_task *)task->payload = (struct callback_task){function, argument, blockType == 1};
        task->run = run_callback;
    }
    return stream_submit(stream, task);
}

/* With the lock: the first callback for this thread leaves the queue. */
static struct report *take_report(uint64_t thread)
{
    for (struct report **at = &reports; *at; at = &(*at)->next)
        if ((*at)->thread == thread) {
            struct report *found = *at;
            *at = found->next;
            return found;
        }
    return NULL;
}

static bool is_subscribed(uint64_t thread)
{
    for (struct subscription *s = subscriptions; s; s = s->next)
        if (s->thread == thread)
            return true;
    return false;
}

EXPORT aclError aclrtProcessReport(int32_t timeout)
{
    ENTER();
    uint64_t thread = (uint64_t)pthread_self();
    if (timeout == 0 || timeout < -1)
        return fail(RT_PARAM_INVALID, "timeout is %d ms; -1 (for ever) or a positive number is expected", timeout);
    struct timespec deadline = deadline_after(timeout > 0 ? timeout : 0);
    struct report *report = NULL;
    int result = 0;
    pthread_mutex_lock(&emulator_lock);
    while (!result && !(report = take_report(thread))) {
        if (!is_subscribed(thread))
            result = fail(RT_THREAD_SUBSCRIBE, "no stream is subscribed to this thread");
        else if (!wait_until(timeout < 0 ? NULL : &deadline))
            result = fail(RT_WAIT_TIMEOUT, "no callback came within %d ms", timeout);
    }
    pthread_mutex_unlock(&emulator_lock);
    if (!report)
        return result;
    in_callback = true;
    report->function(report->argument);
    in_callback = false;
    pthread_mutex_lock(&emulator_lock);
    if (report->done)
        *report->done = true;
    pthread_cond_broadcast(&emulator_progress);
    pthread_mutex_unlock(&emulator_lock);
    free(report);
    return 0;
}

/* ---- exceptions: one function, called on the stream's thread before a synchronisation returns ---- */
struct aclrtExceptionInfo {
    uint32_t task, stream, thread, device, code;
};

static void (*exception_function)(aclrtExceptionInfo *);

void exception_report(const struct stream *stream, int code)
{
    void (*function)(aclrtExceptionInfo *) = exception_function;
    if (!function)
        return;
    aclrtExceptionInfo info = {(uint32_t)stream->completed, (uint32_t)stream->object.id, (uint32_t)pthread_self(), (uint32_t)stream->context->device->index,
                               (uint32_t)code};
    pthread_mutex_unlock(&emulator_lock);
    in_callback = true;
    function(&info);
    in_callback = false;
    pthread_mutex_lock(&emulator_lock);
}

static int set_exception_function(void (*function)(aclrtExceptionInfo *))
{
    pthread_mutex_lock(&emulator_lock);
    exception_function = function;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtSetExceptionInfoCallback(void (*function)(aclrtExceptionInfo *))
{
    ENTER();
    return set_exception_function(function);
}

EXPORT aclError aclrtExceptionInfoCallbackRegister(void (*function)(aclrtExceptionInfo *))
{
    ENTER();
    return function ? set_exception_function(function) : fail(ACL_INVALID_PARAM, "callback is NULL");
}

EXPORT aclError aclrtExceptionInfoCallbackUnregister(void (*function)(aclrtExceptionInfo *))
{
    ENTER();
    pthread_mutex_lock(&emulator_lock);
    bool same = function && exception_function == function;
    pthread_mutex_unlock(&emulator_lock);
    return same ? set_exception_function(NULL) : fail(ACL_INVALID_PARAM, "callback is not the one that was registered");
}

EXPORT uint32_t aclrtGetTaskIdFromExceptionInfo(const aclrtExceptionInfo *info)
{
    return info ? info->task : UINT32_MAX;
}

EXPORT uint32_t aclrtGetStreamIdFromExceptionInfo(const aclrtExceptionInfo *info)
{
    return info ? info->stream : UINT32_MAX;
}

EXPORT uint32_t aclrtGetThreadIdFromExceptionInfo(const aclrtExceptionInfo *info)
{
    return info ? info->thread : UINT32_MAX;
}

EXPORT uint32_t aclrtGetDeviceIdFromExceptionInfo(const aclrtExceptionInfo *info)
{
    return info ? info->device : UINT32_MAX;
}

EXPORT uint32_t aclrtGetErrorCodeFromExceptionInfo(const aclrtExceptionInfo *info)
{
    return info ? info->code : UINT32_MAX;
}

/* ---- an error's details, and repair: details before the abort, repair after it ---- */
static int find_device(int32_t index, const void *out, struct device **device)
{
    *device = device_at(index);
    if (!*device)
        return fail(RT_INVALID_DEVICE, "device %d does not exist; there are %u", index, emulator_settings()->n_devices);
    return out ? 0 : fail(ACL_INVALID_PARAM, "an out-pointer is NULL");
}

static const struct {
    int code;
    int32_t type; /* memory 1, AI Core 3, link 4, others 0xFFFF */
    bool repairs;
} error_types[] = {{0, 0, false},
                   {RT_DEVICE_MEM_ERROR, 1, true},
                   {RT_AICORE_EXCEPTION, 3, false},
                   {RT_AICORE_TIMEOUT, 3, false},
                   {RT_VECTOR_CORE_EXCEPTION, 3, false},
                   {RT_LINK_ERROR, 4, false}};

EXPORT aclError aclrtGetErrorVerbose(int32_t index, aclrtErrorInfo *info)
{
    ENTER();
    struct device *device;
    int result = find_device(index, info, &device);
    if (result)
        return result;
    memset(info, 0, sizeof *info);
    pthread_mutex_lock(&emulator_lock);
    int code = device->lost ? device->lost : device->last_fault;
    info->errorType = 0xFFFF;
    for (size_t i = 0; i < sizeof error_types / sizeof *error_types; i++)
        if (error_types[i].code == code) {
            info->errorType = error_types[i].type;
            info->tryRepair = error_types[i].repairs;
        }
    if (info->errorType == 1) {
        info->hasDetail = 1;
        info->count = 1;
        info->damaged[0] = (aclrtMemUceInfo){.addr = device->damaged, .len = device->damaged_bytes};
    }
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtGetMemUceInfo(int32_t index, aclrtMemUceInfo *array, size_t size, size_t *count)
{
    ENTER();
    struct device *device;
    int result = find_device(index, count, &device);
    if (result)
        return result;
    if (size && !array)
        return fail(ACL_INVALID_PARAM, "memUceInfoArray is NULL");
    pthread_mutex_lock(&emulator_lock);
    *count = device->lost == RT_DEVICE_MEM_ERROR && size ? 1 : 0;
    if (*count)
        *array = (aclrtMemUceInfo){.addr = device->damaged, .len = device->damaged_bytes};
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

static int repair(struct device *device)
{
    int result = 0;
    pthread_mutex_lock(&emulator_lock);
    if (device->lost != RT_DEVICE_MEM_ERROR)
        result = fail(RT_FEATURE_NOT_SUPPORT, "device %d has %s: only a memory error (507053) is repaired, reset it otherwise", device->index,
                      device->lost ? device->lost_message : "no error");
    else if (!device->aborted)
        result = fail(RT_PARAM_INVALID, "device %d: repair comes after aclrtDeviceTaskAbort", device->index);
    else
        device->lost = device->last_fault = 0;
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

EXPORT aclError aclrtRepairError(int32_t index, const aclrtErrorInfo *info)
{
    ENTER();
    struct device *device;
    int result = find_device(index, info, &device);
    if (!result && (!info->tryRepair || info->errorType != 1))
        result = fail(RT_FEATURE_NOT_SUPPORT, "tryRepair is %d and the type %d: reset the device", info->tryRepair, info->errorType);
    return result ? result : repair(device);
}

EXPORT aclError aclrtMemUceRepair(int32_t index, aclrtMemUceInfo *array, size_t size)
{
    ENTER();
    struct device *device;
    int result = find_device(index, array, &device);
    if (!result && !size)
        result = fail(ACL_INVALID_PARAM, "arraySize is 0");
    return result ? result : repair(device);
}
