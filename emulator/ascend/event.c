/* Events: a count of records issued and a count of records completed. A wait takes the count that is issued when it is enqueued; the three ways to create an
 * event differ in what they allow (fact sheet 2.5). Elapsed time is the devices' modelled time. */
#include "emulator.h"

#include <stdlib.h>
#include <string.h>

static unsigned n_events[16];

struct event_task {
    struct event *event;
    uint64_t target;
    uint64_t milliseconds; /* of a wait; 0: the limit of all waits, if there is one */
};

unsigned event_count(const struct device *device)
{
    return n_events[device->index];
}

void event_unreference(struct event *event)
{
    if (!--event->references)
        free(event);
}

static int event_create(aclrtEvent *out, enum event_maker maker, uint32_t flags)
{
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!out)
        return fail(ACL_INVALID_PARAM, "event is NULL");
    if (flags & ~0x7Bu)
        return fail(RT_PARAM_INVALID, "flag 0x%x has unknown bits", flags);
    struct event *event = calloc(1, sizeof *event);
    if (!event)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for an event");
    event->device = context->device;
    event->maker = maker;
    event->flags = flags;
    event->references = 1;
    pthread_mutex_lock(&emulator_lock);
    bool fits = n_events[context->device->index] < emulator_settings()->soc.max_events;
    n_events[context->device->index] += fits;
    pthread_mutex_unlock(&emulator_lock);
    if (!fits) {
        free(event);
        return fail(RT_NO_EVENT_RESOURCE, "device %d has no more than %u events", context->device->index, emulator_settings()->soc.max_events);
    }
    object_add(&event->object, OBJECT_EVENT);
    *out = event;
    return 0;
}

EXPORT aclError aclrtCreateEvent(aclrtEvent *event)
{
    ENTER();
    return event_create(event, EVENT_PLAIN, 0);
}

EXPORT aclError aclrtCreateEventWithFlag(aclrtEvent *event, uint32_t flag)
{
    ENTER();
    return event_create(event, EVENT_FLAGGED, flag);
}

EXPORT aclError aclrtCreateEventExWithFlag(aclrtEvent *event, uint32_t flag)
{
    ENTER();
    return event_create(event, EVENT_EX, flag);
}

EXPORT aclError aclrtDestroyEvent(aclrtEvent handle)
{
    ENTER();
    struct event *event = handle;
    if (!object_take(handle, OBJECT_EVENT))
        return object_refuse(handle, OBJECT_EVENT);
    pthread_mutex_lock(&emulator_lock);
    n_events[event->device->index]--;
    event_unreference(event);
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

static void release_event_task(struct task *task)
{
    pthread_mutex_lock(&emulator_lock);
    event_unreference(((struct event_task *)task->payload)->event);
    pthread_mutex_unlock(&emulator_lock);
}

static int run_record(struct task *task, struct stream *stream)
{
    struct event_task *work = task->payload;
    pthread_mutex_lock(&emulator_lock);
    if (work->event->completed < work->target)
        work->event->completed = work->target;
    work->event->time_ns = stream->clock_ns;
    pthread_cond_broadcast(&emulator_progress);
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

static int run_wait(struct task *task, struct stream *stream)
{
    struct event_task *work = task->payload;
    bool in_time = true;
    pthread_mutex_lock(&emulator_lock);
    uint64_t longest = work->milliseconds ? work->milliseconds : (uint64_t)op_wait_seconds * 1000;
    struct timespec deadline = deadline_after(longest > INT32_MAX ? INT32_MAX : (int32_t)longest);
    while (in_time && work->event->completed < work->target && !stream->aborting && !stream->context->device->lost)
        in_time = wait_until(longest ? &deadline : NULL);
    if (in_time && work->target && stream->clock_ns < work->event->time_ns)
        stream->clock_ns = work->event->time_ns;
    pthread_mutex_unlock(&emulator_lock);
    return in_time ? 0
                   : fail(RT_WAIT_TIMEOUT, "the event was not recorded within the %llu ms that this wait, or aclrtSetOpWaitTimeout, allows",
                          (unsigned long long)longest);
}

static int submit(struct stream *stream, struct event *event, enum task_kind kind, uint64_t target, uint64_t milliseconds)
{
    struct task *task = task_create(kind, entry_name(), sizeof(struct event_task));
    if (task) {
        *(struct event_task *)task->payload = (struct event_task){event, target, milliseconds};
        task->run = kind == TASK_EVENT_RECORD ? run_record : kind == TASK_EVENT_WAIT ? run_wait : NULL;
        task->release = release_event_task;
        pthread_mutex_lock(&emulator_lock);
        event->references++;
        pthread_mutex_unlock(&emulator_lock);
    }
    return stream_submit(stream, task);
}

static int check_both(aclrtEvent handle, aclrtStream stream_handle, struct event **event, struct stream **stream)
{
    int result = stream_check(stream_handle, stream);
    if (result)
        return result;
    if (!object_is(handle, OBJECT_EVENT))
        return object_refuse(handle, OBJECT_EVENT);
    *event = handle;
    if (!stream_handle) {
        pthread_mutex_lock(&emulator_lock);
        bool capturing = capture_in_context((*stream)->context);
        pthread_mutex_unlock(&emulator_lock);
        if (capturing)
            return fail(RT_STREAM_CAPTURE_IMPLICIT, "the default stream cannot record, wait or reset while another stream is being captured");
    }
    return 0;
}

EXPORT aclError aclrtRecordEvent(aclrtEvent handle, aclrtStream stream_handle)
{
    ENTER();
    struct event *event = NULL;
    struct stream *stream = NULL;
    int result = check_both(handle, stream_handle, &event, &stream);
    if (result)
        return result;
    pthread_mutex_lock(&emulator_lock);
    if (stream->capture) {
        result = capture_record(stream, event);
        pthread_mutex_unlock(&emulator_lock);
        return result;
    }
    uint64_t target = ++event->issued;
    event->was_reset = false;
    event->capture = NULL;
    pthread_mutex_unlock(&emulator_lock);
    return submit(stream, event, TASK_EVENT_RECORD, target, 0);
}

static int wait_for_event(aclrtStream stream_handle, aclrtEvent handle, uint64_t milliseconds)
{
    struct event *event = NULL;
    struct stream *stream = NULL;
    int result = check_both(handle, stream_handle, &event, &stream);
    if (result)
        return result;
    if (event->maker != EVENT_PLAIN && !(event->flags & ACL_EVENT_SYNC))
        return fail(RT_PARAM_INVALID, "the event was created without the SYNC flag (0x1); a stream cannot wait for it");
    pthread_mutex_lock(&emulator_lock);
    if (stream->capture || event->capture) {
        result = capture_wait(stream, event);
        pthread_mutex_unlock(&emulator_lock);
        return result;
    }
    uint64_t target = event->was_reset || (!event->issued && event->maker != EVENT_EX) ? event->issued + 1 : event->issued;
    pthread_mutex_unlock(&emulator_lock);
    return submit(stream, event, TASK_EVENT_WAIT, target, milliseconds);
}

EXPORT aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event)
{
    ENTER();
    return wait_for_event(stream, event, 0);
}

EXPORT aclError aclrtStreamWaitEventWithTimeout(aclrtStream stream, aclrtEvent event, int32_t timeout)
{
    ENTER();
    return timeout < 0 ? fail(RT_PARAM_INVALID, "timeout is %d ms; 0 (no limit) or more is expected", timeout)
                       : wait_for_event(stream, event, (uint64_t)timeout);
}

EXPORT aclError aclrtGetEventAvailNum(uint32_t *count)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!count)
        return fail(ACL_INVALID_PARAM, "eventCount is NULL");
    pthread_mutex_lock(&emulator_lock);
    *count = emulator_settings()->soc.max_events - event_count(context->device);
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtResetEvent(aclrtEvent handle, aclrtStream stream_handle)
{
    ENTER();
    struct event *event = NULL;
    struct stream *stream = NULL;
    int result = check_both(handle, stream_handle, &event, &stream);
    if (result)
        return result;
    if (event->maker == EVENT_EX)
        return fail(RT_PARAM_INVALID, "an event of aclrtCreateEventExWithFlag cannot be reset");
    if (event->maker == EVENT_PLAIN || !(event->flags & ACL_EVENT_SYNC))
        return fail(RT_PARAM_INVALID, "only an event created by aclrtCreateEventWithFlag with the SYNC flag can be reset");
    pthread_mutex_lock(&emulator_lock);
    event->was_reset = true;
    pthread_mutex_unlock(&emulator_lock);
    return submit(stream, event, TASK_EVENT_RESET, event->issued, 0);
}

/* With the lock. */
static bool is_complete(const struct event *event)
{
    if (!event->issued)
        return event->maker == EVENT_EX;
    return !event->was_reset && event->completed >= event->issued;
}

static int query(aclrtEvent handle, bool *complete)
{
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!object_is(handle, OBJECT_EVENT))
        return object_refuse(handle, OBJECT_EVENT);
    struct event *event = handle;
    pthread_mutex_lock(&emulator_lock);
    bool captured = event->capture != NULL;
    *complete = is_complete(event);
    pthread_mutex_unlock(&emulator_lock);
    return captured ? fail(RT_EVENT_CAPTURED, "the event was recorded inside a capture, it has no state outside the graph") : 0;
}

EXPORT aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus *status)
{
    ENTER();
    bool complete = false;
    if (!status)
        return fail(ACL_INVALID_PARAM, "status is NULL");
    int result = query(event, &complete);
    *status = complete ? ACL_EVENT_RECORDED_COMPLETE : ACL_EVENT_RECORDED_NOT_READY;
    return result;
}

EXPORT aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus *status)
{
    ENTER();
    bool complete = false;
    if (!status)
        return fail(ACL_INVALID_PARAM, "status is NULL");
    if (object_is(event, OBJECT_EVENT) && ((struct event *)event)->maker == EVENT_EX)
        return fail(RT_PARAM_INVALID, "an event of aclrtCreateEventExWithFlag is asked by aclrtQueryEventStatus, not by this older call");
    int result = query(event, &complete);
    *status = complete ? ACL_EVENT_COMPLETE : ACL_EVENT_NOT_READY;
    return result;
}

EXPORT aclError aclrtSynchronizeEventWithTimeout(aclrtEvent handle, int32_t timeout)
{
    ENTER();
    bool complete;
    if (timeout == 0 || timeout < -1)
        return fail(RT_PARAM_INVALID, "timeout is %d ms; -1 (for ever) or a positive number is expected", timeout);
    int result = query(handle, &complete);
    if (result)
        return result;
    struct event *event = handle;
    if (event->flags & ACL_EVENT_EXTERNAL)
        return fail(RT_FEATURE_NOT_SUPPORT, "an EXTERNAL event cannot be synchronised");
    struct timespec deadline = deadline_after(timeout > 0 ? timeout : 0);
    pthread_mutex_lock(&emulator_lock);
    event->references++;
    uint64_t target = event->issued;
    while (event->completed < target && !event->device->lost && !result)
        if (!wait_until(timeout < 0 ? NULL : &deadline))
            result = fail(RT_EVENT_SYNC_TIMEOUT, "the event was not reached within %d ms", timeout);
    if (!result && event->device->lost)
        result = fail(event->device->lost, "the device was lost before the event was reached");
    event_unreference(event);
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

EXPORT aclError aclrtSynchronizeEvent(aclrtEvent event)
{
    ENTER();
    return aclrtSynchronizeEventWithTimeout(event, -1);
}

EXPORT aclError aclrtEventElapsedTime(float *milliseconds, aclrtEvent start, aclrtEvent end)
{
    ENTER();
    bool first, second;
    if (!milliseconds)
        return fail(ACL_INVALID_PARAM, "milliseconds is NULL");
    int result = query(start, &first);
    if (!result)
        result = query(end, &second);
    if (result)
        return result;
    if (!first || !second)
        return fail(RT_EVENT_TIMESTAMP_INVALID, "%s event was not recorded, or not reached yet", first ? "the second" : "the first");
    pthread_mutex_lock(&emulator_lock);
    double elapsed = ((struct event *)end)->time_ns - ((struct event *)start)->time_ns;
    pthread_mutex_unlock(&emulator_lock);
    if (elapsed < 0)
        return fail(RT_EVENT_TIMESTAMP_REVERSAL, "the second event was reached before the first");
    *milliseconds = (float)(elapsed * 1e-6);
    return 0;
}

EXPORT aclError aclrtEventGetTimestamp(aclrtEvent event, uint64_t *microseconds)
{
    ENTER();
    bool complete;
    if (!microseconds)
        return fail(ACL_INVALID_PARAM, "timestamp is NULL");
    int result = query(event, &complete);
    if (result)
        return result;
    if (!complete)
        return fail(RT_EVENT_TIMESTAMP_INVALID, "the event was not recorded, or not reached yet");
    pthread_mutex_lock(&emulator_lock);
    *microseconds = (uint64_t)(((struct event *)event)->time_ns * 1e-3);
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}
