/* The exported calls on streams, and host functions in a stream. */
#include "emulator.h"

#include <stdlib.h>

static int create_stream(aclrtStream *out, uint32_t flags)
{
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!out)
        return fail(ACL_INVALID_PARAM, "stream is NULL");
    if (flags & ~0x3Fu)
        return fail(RT_PARAM_INVALID, "flag 0x%x has unknown bits", flags);
    struct stream *stream = stream_create(context, flags);
    if (!stream)
        return fail(RT_NO_STREAM_RESOURCE, "device %d has no more than %u streams, default streams included", context->device->index,
                    emulator_settings()->soc.max_streams);
    object_add(&stream->object, OBJECT_STREAM);
    *out = stream;
    return 0;
}

EXPORT aclError aclrtCreateStream(aclrtStream *stream)
{
    ENTER();
    return create_stream(stream, 0);
}

EXPORT aclError aclrtCreateStreamWithConfig(aclrtStream *stream, uint32_t priority, uint32_t flag)
{
    ENTER();
    (void)priority;
    return create_stream(stream, flag);
}

static int refuse_captured(struct stream *stream, const char *what)
{
    pthread_mutex_lock(&emulator_lock);
    bool captured = stream->capture != NULL;
    capture_invalidate(stream->capture);
    pthread_mutex_unlock(&emulator_lock);
    return captured ? fail(RT_STREAM_CAPTURED, "the stream is being captured and cannot be %s before the capture ends", what) : 0;
}

static int destroy_stream(aclrtStream handle, bool force)
{
    struct stream *stream = handle;
    if (!handle || !object_is(handle, OBJECT_STREAM))
        return object_refuse(handle, OBJECT_STREAM);
    int result = refuse_captured(stream, "destroyed");
    if (result)
        return result;
    object_take(handle, OBJECT_STREAM);
    stream_destroy(stream, force);
    return 0;
}

EXPORT aclError aclrtDestroyStream(aclrtStream stream)
{
    ENTER();
    return destroy_stream(stream, false);
}

EXPORT aclError aclrtDestroyStreamForce(aclrtStream stream)
{
    ENTER();
    return destroy_stream(stream, true);
}

static int synchronize(aclrtStream handle, int32_t timeout)
{
    struct stream *stream;
    if (timeout == 0 || timeout < -1)
        return fail(RT_PARAM_INVALID, "timeout is %d ms; -1 (for ever) or a positive number is expected", timeout);
    int result = stream_check(handle, &stream);
    if (!result)
        result = refuse_captured(stream, "synchronised");
    return result ? result : stream_wait(stream, timeout);
}

EXPORT aclError aclrtSynchronizeStream(aclrtStream stream)
{
    ENTER();
    return synchronize(stream, -1);
}

EXPORT aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout)
{
    ENTER();
    return synchronize(stream, timeout);
}

EXPORT aclError aclrtStreamQuery(aclrtStream handle, aclrtStreamStatus *status)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!status)
        return fail(ACL_INVALID_PARAM, "status is NULL");
    result = refuse_captured(stream, "queried");
    if (result)
        return result;
    pthread_mutex_lock(&emulator_lock);
    *status = stream->completed == stream->submitted ? ACL_STREAM_COMPLETE : ACL_STREAM_NOT_READY;
    result = *status == ACL_STREAM_COMPLETE ? stream_take_fault(stream) : 0;
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

EXPORT aclError aclrtStreamAbort(aclrtStream handle)
{
    ENTER();
    struct stream *stream = handle;
    if (!handle || !object_is(handle, OBJECT_STREAM))
        return object_refuse(handle, OBJECT_STREAM);
    if (emulator_settings()->soc.family == SOC_310P)
        return fail(RT_FEATURE_NOT_SUPPORT, "%s cannot abort a stream", emulator_settings()->soc.name);
    pthread_mutex_lock(&emulator_lock);
    stream->aborting = stream->completed < stream->submitted;
    pthread_cond_broadcast(&emulator_progress);
    while (stream->completed < stream->submitted)
        wait_until(NULL);
    stream->fault = 0;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtSetStreamFailureMode(aclrtStream handle, uint64_t mode)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (mode > 1)
        return fail(RT_PARAM_INVALID, "mode is %llu; 0 (continue) or 1 (stop) is expected", (unsigned long long)mode);
    if (!handle && emulator_settings()->soc.family == SOC_310P)
        return fail(RT_PARAM_INVALID, "%s takes no failure mode for the default stream", emulator_settings()->soc.name);
    pthread_mutex_lock(&emulator_lock);
    bool again = stream->failure_mode_set;
    stream->failure_mode_set = true;
    if (!again && mode)
        stream->context->stop_on_failure = true;
    pthread_mutex_unlock(&emulator_lock);
    return again ? fail(RT_PARAM_INVALID, "the failure mode of a stream is set once") : 0;
}

EXPORT aclError aclrtStreamGetId(aclrtStream handle, int32_t *id)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!id)
        return fail(ACL_INVALID_PARAM, "streamId is NULL");
    *id = (int32_t)stream->object.id;
    return 0;
}

EXPORT aclError aclrtGetStreamAvailableNum(uint32_t *count)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!count)
        return fail(ACL_INVALID_PARAM, "streamCount is NULL");
    pthread_mutex_lock(&emulator_lock);
    *count = emulator_settings()->soc.max_streams - stream_count(context->device);
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

struct host_call {
    void (*function)(void *);
    void *arguments;
};

static int run_host_call(struct task *task, struct stream *stream)
{
    (void)stream;
    struct host_call *call = task->payload;
    in_callback = true;
    call->function(call->arguments);
    in_callback = false;
    return 0;
}

EXPORT aclError aclrtLaunchHostFunc(aclrtStream handle, void (*function)(void *), void *arguments)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!function)
        return fail(ACL_INVALID_PARAM, "fn is NULL");
    struct task *task = task_create(TASK_HOST, "aclrtLaunchHostFunc", sizeof(struct host_call));
    if (task) {
        *(struct host_call *)task->payload = (struct host_call){function, arguments};
        task->run = run_host_call;
    }
    return stream_submit(stream, task);
}
