/* Streams: a queue and a worker thread each. A launch only queues; what goes wrong while a task executes is kept in the stream and is the result of the next
 * synchronisation, as on the device. Modelled time runs per stream: a task begins when the one before it ended, or later at an event it waited for. */
#include "emulator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

pthread_mutex_t emulator_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t emulator_progress;
__thread bool in_callback;

static struct stream *all_streams;
static pthread_once_t progress_once = PTHREAD_ONCE_INIT;

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void init_progress(void)
{
    init_condition(&emulator_progress);
}

struct timespec deadline_after(int32_t milliseconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_sec += milliseconds / 1000;
    now.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (now.tv_nsec >= 1000000000) {
        now.tv_sec++;
        now.tv_nsec -= 1000000000;
    }
    return now;
}

bool wait_until(struct timespec *deadline)
{
    if (!deadline)
        return pthread_cond_wait(&emulator_progress, &emulator_lock) == 0;
    return pthread_cond_timedwait(&emulator_progress, &emulator_lock, deadline) != ETIMEDOUT;
}

struct task *task_create(enum task_kind kind, const char *name, size_t payload_size)
{
    struct task *task = calloc(1, sizeof *task + payload_size);
    if (task) {
        task->kind = kind;
        task->name = name;
        task->payload = task + 1;
    }
    return task;
}

void task_release(struct task *task)
{
    if (task->release)
        task->release(task);
    free(task->description);
    free(task);
}

int task_execute(struct task *task, struct stream *stream)
{
    const char *outer = entry_name();
    entry_set_name(task->name);
    count_add(COUNT_TASKS, 1);
    int code = task->run ? task->run(task, stream) : 0;
    entry_set_name(outer);
    if (task->modelled_ns > 0) {
        count_add(COUNT_DEVICE_NS, (uint64_t)task->modelled_ns);
        trace_device((unsigned)stream->context->device->index, (int)stream->object.id, task->name, task->description, stream->clock_ns, task->modelled_ns);
        stream->clock_ns += task->modelled_ns;
    }
    return code;
}

static bool is_fatal(int code)
{
    return code == RT_LOST_HEARTBEAT || code == RT_DEVICE_MEM_ERROR || code == RT_HBM_MULTI_BIT_ECC_ERROR || code == RT_DRV_INTERNAL_ERROR ||
           code == RT_SOCKET_CLOSE;
}

/* With the lock: keeps the first failure until somebody synchronises. */
static void keep_fault(struct stream *stream, int code, const char *message)
{
    if (!stream->fault) {
        stream->fault = code;
        snprintf(stream->fault_message, sizeof stream->fault_message, "%s", message);
    }
    if (is_fatal(code)) {
        struct device *device = stream->context->device;
        if (code == RT_DEVICE_MEM_ERROR && !device->lost)
            memory_damage(device);
        device->lost = code;
        device->aborted = false;
        snprintf(device->lost_message, sizeof device->lost_message, "%.255s", message);
    }
    stream->context->device->last_fault = code;
    if (stream->context->stop_on_failure)
        stream->context->stopped = code;
    exception_report(stream, code);
    pthread_cond_broadcast(&emulator_progress);
}

/* With the lock: a device that hangs does nothing until the limit, an abort or a reset. */
static void hang(struct stream *stream)
{
    unsigned longest = emulator_settings()->hang_milliseconds;
    if (op_execute_milliseconds && op_execute_milliseconds < longest)
        longest = op_execute_milliseconds;
    struct timespec deadline = deadline_after((int32_t)longest);
    while (!stream->aborting && !stream->closing && wait_until(&deadline))
        ;
}

/* With the lock, which is released while the task runs. */
static void perform(struct stream *stream, struct task *task)
{
    struct device *device = stream->context->device;
    bool is_event = task->kind == TASK_EVENT_RECORD || task->kind == TASK_EVENT_WAIT || task->kind == TASK_EVENT_RESET;
    if ((stream->aborting || device->lost || stream->context->stopped) && !is_event)
        return;
    if (task->fault == FAULT_HANG)
        hang(stream);
    int code = fault_code(task->fault);
    entry_set_name(task->name);
    if (code) {
        if (!stream->aborting)
            keep_fault(stream, fail(code, "%s (ordered by ASCEND_EMULATOR_FAULT)", fault_text(task->fault)), fail_message());
        return;
    }
    pthread_mutex_unlock(&emulator_lock);
    if (task->fault == FAULT_SLOW) {
        struct timespec pause = {emulator_settings()->slow_milliseconds / 1000, (long)(emulator_settings()->slow_milliseconds % 1000) * 1000000};
        nanosleep(&pause, NULL);
    }
    code = task_execute(task, stream);
    pthread_mutex_lock(&emulator_lock);
    if (code)
        keep_fault(stream, code, fail_message());
}

static void *run_stream(void *argument)
{
    struct stream *stream = argument;
    pthread_mutex_lock(&emulator_lock);
    for (;;) {
        while (!stream->head && !stream->closing)
            pthread_cond_wait(&stream->posted, &emulator_lock);
        struct task *task = stream->head;
        if (!task)
            break;
        stream->head = task->next;
        if (!stream->head)
            stream->tail = NULL;
        perform(stream, task);
        pthread_mutex_unlock(&emulator_lock);
        task_release(task);
        pthread_mutex_lock(&emulator_lock);
        stream->completed++;
        if (!stream->head)
            stream->aborting = stream->closing && stream->aborting;
        pthread_cond_broadcast(&emulator_progress);
    }
    pthread_mutex_unlock(&emulator_lock);
    return NULL;
}

unsigned stream_count(const struct device *device)
{
    unsigned count = 0;
    for (const struct stream *s = all_streams; s; s = s->next)
        count += s->context->device == device;
    return count;
}

struct stream *stream_create(struct context *context, uint32_t flags)
{
    pthread_once(&progress_once, init_progress);
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->context = context;
    stream->flags = flags;
    init_condition(&stream->posted);
    pthread_mutex_lock(&emulator_lock);
    bool fits = stream_count(context->device) < emulator_settings()->soc.max_streams;
    if (fits) {
        stream->next = all_streams;
        all_streams = stream;
    }
    pthread_mutex_unlock(&emulator_lock);
    if (!fits) {
        pthread_cond_destroy(&stream->posted);
        free(stream);
        return NULL;
    }
    return stream;
}

void stream_destroy(struct stream *stream, bool drop)
{
    pthread_mutex_lock(&emulator_lock);
    stream->closing = true;
    stream->aborting = stream->aborting || drop;
    pthread_cond_signal(&stream->posted);
    pthread_cond_broadcast(&emulator_progress);
    bool started = stream->started;
    pthread_mutex_unlock(&emulator_lock);
    if (started)
        pthread_join(stream->thread, NULL);
    pthread_mutex_lock(&emulator_lock);
    capture_abandon(stream);
    reports_forget(stream);
    for (struct stream **at = &all_streams; *at; at = &(*at)->next)
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    pthread_mutex_unlock(&emulator_lock);
    pthread_cond_destroy(&stream->posted);
    free(stream);
}

static int queue_task(struct stream *stream, struct task *task)
{
    if (!stream->started && pthread_create(&stream->thread, NULL, run_stream, stream)) {
        task_release(task);
        return fail(RT_NO_STREAM_RESOURCE, "the host gives no thread for another stream");
    }
    stream->started = true;
    if (task->kind != TASK_EVENT_RECORD && task->kind != TASK_EVENT_WAIT && task->kind != TASK_EVENT_RESET)
        task->fault = fault_take_task();
    task->next = NULL;
    if (stream->tail)
        stream->tail->next = task;
    else
        stream->head = task;
    stream->tail = task;
    stream->submitted++;
    pthread_cond_signal(&stream->posted);
    return 0;
}

int stream_submit(struct stream *stream, struct task *task)
{
    if (!task)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a task");
    pthread_mutex_lock(&emulator_lock);
    int result = stream->update ? capture_update_add(stream, task) : stream->capture ? capture_add(stream, task) : queue_task(stream, task);
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

int stream_take_fault(struct stream *stream)
{
    int fault = stream->fault;
    if (fault)
        fail_adopt(fault, stream->fault_message);
    stream->fault = 0;
    return fault;
}

static int wait_locked(struct stream *stream, struct timespec *deadline)
{
    uint64_t target = stream->submitted;
    while (stream->completed < target) {
        if (stream->aborting)
            return fail(RT_STREAM_ABORT, "the stream was aborted while this call waited");
        if (!wait_until(deadline))
            return fail(RT_STREAM_SYNC_TIMEOUT, "the stream's work did not end in time; it goes on");
    }
    return 0;
}

int stream_wait(struct stream *stream, int32_t timeout)
{
    struct timespec deadline = deadline_after(timeout > 0 ? timeout : 0);
    pthread_mutex_lock(&emulator_lock);
    int result = wait_locked(stream, timeout < 0 ? NULL : &deadline);
    if (!result)
        result = stream_take_fault(stream);
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

int streams_wait_context(struct context *context, int32_t timeout)
{
    struct timespec deadline = deadline_after(timeout > 0 ? timeout : 0);
    int result = 0;
    pthread_mutex_lock(&emulator_lock);
    if (capture_in_context(context))
        result = fail(RT_STREAM_CAPTURED, "a stream of this context is being captured; the device cannot be synchronised before the capture ends");
    for (struct stream *s = all_streams; s && !result; s = s->next) {
        if (s->context->device != context->device)
            continue;
        result = wait_locked(s, timeout < 0 ? NULL : &deadline);
        if (!result)
            result = stream_take_fault(s);
    }
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

void streams_destroy_context(struct context *context)
{
    for (;;) {
        pthread_mutex_lock(&emulator_lock);
        struct stream *found = all_streams;
        while (found && found->context != context)
            found = found->next;
        bool drop = found && context->device->lost != 0;
        pthread_mutex_unlock(&emulator_lock);
        if (!found)
            return;
        object_take(found, OBJECT_STREAM);
        stream_destroy(found, drop);
    }
}

void streams_abort_device(struct device *device)
{
    pthread_mutex_lock(&emulator_lock);
    for (struct stream *s = all_streams; s; s = s->next)
        if (s->context->device == device) {
            s->aborting = s->completed < s->submitted;
            s->fault = 0;
        }
    device->aborted = true;
    pthread_cond_broadcast(&emulator_progress);
    for (struct stream *s = all_streams; s; s = s->next)
        while (s->context->device == device && s->completed < s->submitted)
            wait_until(NULL);
    pthread_mutex_unlock(&emulator_lock);
}
